/* tests/viz/test_waterfall.c -- bars of steps: lengths, pieces, panels. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "viz/drawn.h"

#include "viz/palette.h"

#define HEAD  "pattern,step,text,time_ms,speedup\n"
#define STEPS "p,flop,FLOP bound,1,8\np,tiles,tiles,2,4\np,mask,mask,2,4\n"

static int pixels(atn_ctx *cx, const atn_table *t, const char *params, int category)
{
    const atn_figure_opts o = {.params = params};

    return drawn_with(cx, "waterfall", t, &o, atn_palette_category(category));
}

/* Of 8, 4, 4 on a linear axis the dark bars are 16 parts, the pale piece 4: it is of
 * one step. Nothing is green. */
static void pieces_have_their_lengths(atn_ctx *cx)
{
    atn_table *t = drawn_table(cx, HEAD STEPS);
    const int dark = pixels(cx, t, NULL, 0), pale = pixels(cx, t, NULL, 1);

    CHECK_LE(3.6 * pale, dark);
    CHECK_LE(dark, 4.2 * pale);
    CHECK_EQ(pixels(cx, t, NULL, 4), 0);
    atn_table_destroy(cx, t);
}

/* Of times 1, 2, 2 the dark parts are 1 + 1 + 2, the pale one 1; a step that gives back
 * is green. */
static void times_grow(atn_ctx *cx)
{
    atn_table *t = drawn_table(cx, HEAD STEPS);
    const int dark = pixels(cx, t, "value=time", 0);
    const int pale = pixels(cx, t, "value=time", 1);

    CHECK_LE(3.6 * pale, dark);
    CHECK_LE(dark, 4.2 * pale);
    atn_table_destroy(cx, t);
    t = drawn_table(cx, HEAD "p,flop,,1,2\np,tiles,,2,3\n");
    CHECK_LE(100, pixels(cx, t, NULL, 4));
    CHECK_EQ(pixels(cx, t, NULL, 1), 0);
    atn_table_destroy(cx, t);
}

/* A step without a value has no bar, and the next is measured against the last one that
 * has: 8 against 4 again. */
static void a_gap_is_bridged(atn_ctx *cx)
{
    atn_table *t = drawn_table(cx, HEAD "p,flop,,1,8\np,tiles,,2,\np,mask,,2,4\n");
    const int dark = pixels(cx, t, NULL, 0), pale = pixels(cx, t, NULL, 1);

    CHECK_LE(2.7 * pale, dark);
    CHECK_LE(dark, 3.2 * pale);
    atn_table_destroy(cx, t);
}

/* A second pattern, or the first step again, begins anew: nothing of it is lost. */
static void panels_begin_anew(atn_ctx *cx)
{
    atn_table *other = drawn_table(cx, HEAD "p,flop,,1,8\nq,flop,,2,4\n");
    atn_table *same = drawn_table(cx, HEAD "p,flop,,1,8\np,flop,,2,4\n");
    atn_table *kernels = drawn_table(cx, "step,kernel,speedup\nflop,a,8\ntiles,b,4\n");

    CHECK_EQ(pixels(cx, other, NULL, 1), 0);
    CHECK_EQ(pixels(cx, same, NULL, 1), 0);
    CHECK_EQ(pixels(cx, kernels, NULL, 1), 0);
    atn_table_destroy(cx, other);
    atn_table_destroy(cx, same);
    atn_table_destroy(cx, kernels);
}

/* The simulator's own table: the step is a number, its name in id. The dense step is no
 * bar, and of times neither is the whole: 1 to 2 leaves one pale piece. */
static void steps_by_id(atn_ctx *cx)
{
    atn_table *t =
        drawn_table(cx, "pattern,gpu,kernel,step,id,time_ms,speedup,limited_by\n"
                        "p,g,k,0,dense,8,1,mma\np,g,k,1,flop,1,8,mma\n"
                        "p,g,k,2,tiles,2,4,mma\np,g,k,3,whole,100,,launch\n");
    const int dark = pixels(cx, t, NULL, 0), pale = pixels(cx, t, NULL, 1);

    CHECK_LE(2.7 * pale, dark);
    CHECK_LE(dark, 3.2 * pale);
    CHECK_EQ(pixels(cx, t, NULL, 4), 0);
    CHECK_LE(1.8 * pixels(cx, t, "value=time", 1), pixels(cx, t, "value=time", 0));
    CHECK_LE(pixels(cx, t, "value=time", 0), 2.2 * pixels(cx, t, "value=time", 1));
    atn_table_destroy(cx, t);
}

/* One row; numbers that a drawing could not hold; no column of times. */
static void extremes(atn_ctx *cx)
{
    atn_table *t = drawn_table(cx, "step,speedup\nflop,1\n");

    CHECK_LE(50, pixels(cx, t, NULL, 0));
    atn_table_destroy(cx, t);
    t = drawn_table(cx, HEAD "p,flop,,1e-300,1e300\np,tiles,,1,1e-300\np,a,,-1,-1\n");
    CHECK_LE(50, pixels(cx, t, NULL, 0) + pixels(cx, t, NULL, 1));
    atn_table_destroy(cx, t);
    t = drawn_table(cx, HEAD "p,flop,,1,\np,tiles,,2,\n"); /* times instead */
    CHECK_LE(50, pixels(cx, t, NULL, 0));
    atn_table_destroy(cx, t);
    t = drawn_table(cx, HEAD "p,flop,,1,\np,tiles,,,\n"); /* no dense, no time */
    CHECK_LE(50, pixels(cx, t, NULL, 0));
    atn_table_destroy(cx, t);
}

static void refusals(atn_ctx *cx)
{
    atn_table *t = drawn_table(cx, "layer,x\n0,1\n");
    char *svg = NULL;
    size_t n = 0;

    drawn_fails(cx, "waterfall", t, "no column id nor step");
    atn_table_destroy(cx, t);
    t = drawn_table(cx, "step,x\nflop,1\n");
    drawn_fails(cx, "waterfall", t, "no numeric column speedup");
    atn_table_destroy(cx, t);
    t = drawn_table(cx, "step,speedup\nflop,0\ntiles,-1\n");
    drawn_fails(cx, "waterfall", t, "no row has a speed-up");
    CHECK_FAILS(atn_figure_svg(cx, atn_figure_find("waterfall"), t,
                               &(atn_figure_opts){.params = "value=time"}, &svg, &n),
                ATN_USAGE, "no row has a speed-up");
    atn_table_destroy(cx, t);
    t = drawn_table(cx, "step,speedup\nflop,2\n");
    CHECK_FAILS(atn_figure_svg(cx, atn_figure_find("waterfall"), t,
                               &(atn_figure_opts){.params = "value=time"}, &svg, &n),
                ATN_USAGE, "no times");
    CHECK_FAILS(atn_figure_svg(cx, atn_figure_find("waterfall"), t,
                               &(atn_figure_opts){.height_in = .5}, &svg, &n),
                ATN_USAGE, "no room");
    atn_table_destroy(cx, t);
}

CHECK_MAIN({"pieces have their lengths", pieces_have_their_lengths},
           {"times grow", times_grow}, {"a gap is bridged", a_gap_is_bridged},
           {"panels begin anew", panels_begin_anew}, {"steps by id", steps_by_id},
           {"extremes", extremes}, {"refusals", refusals})
