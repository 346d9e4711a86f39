/* tests/viz/test_speedup.c -- speed-up by density: curves, break-even, the pattern. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "viz/drawn.h"

#include "viz/palette.h"

#define HEAD                                                                           \
    "pattern,kernel,gpu,is_point,density,density_pairs,speedup,break_even_tile_"       \
    "density\n"
#define CURVE "p,k,g,false,.01,,8,.6\np,k,g,false,.1,,4,.6\np,k,g,false,1,,.5,.6\n"

static int pixels(atn_ctx *cx, const atn_table *t, int i, int n)
{
    const drawn_part inside = {.1, 1, .05, .8};

    return drawn_in(cx, "speedup", t, &(atn_figure_opts){0}, atn_palette_series(i, n),
                    inside);
}

/* The pattern itself is a disc on its curve, and begins no curve of its own. */
static void the_pattern_is_a_disc(atn_ctx *cx)
{
    atn_table *bare = drawn_table(cx, HEAD CURVE),
              *with = drawn_table(cx, HEAD CURVE "p,k,g,true,.2,.1,2,.6\n");
    const int curve = pixels(cx, bare, 0, 1);

    CHECK_LE(100, curve);
    CHECK_LE(curve + 60, pixels(cx, with, 0, 1));
    atn_table_destroy(cx, bare);
    atn_table_destroy(cx, with);
}

/* Nor is it a part of the curve: no line goes to where it is. */
static void the_pattern_is_apart(atn_ctx *cx)
{
    const drawn_part between = {.3, .6, .6, .8};
    atn_table *t = drawn_table(cx, HEAD CURVE "p,k,g,true,.01,,.5,.6\n");

    CHECK_EQ(drawn_in(cx, "speedup", t, &(atn_figure_opts){0}, atn_palette_series(0, 1),
                      between),
             0);
    atn_table_destroy(cx, t);
}

/* Another pattern, kernel or GPU, or a density that falls back, is another curve. */
static void curves_begin_anew(atn_ctx *cx)
{
    static const char *const second[] = {"q,k,g,false,.02,,3,\nq,k,g,false,.5,,2,\n",
                                         "p,l,g,false,.02,,3,\np,l,g,false,.5,,2,\n",
                                         "p,k,h,false,.02,,3,\np,k,h,false,.5,,2,\n",
                                         "p,k,g,false,.02,,3,\np,k,g,false,.5,,2,\n"};

    for (size_t i = 0; i < ATN_LEN(second); i++) {
        char csv[400];
        atn_table *t;

        snprintf(csv, sizeof csv, "%s%s", HEAD CURVE, second[i]);
        t = drawn_table(cx, csv);
        CHECK_LE(60, pixels(cx, t, 1, 2));
        atn_table_destroy(cx, t);
    }
}

/* Break-even is a line of dots that goes down from speed-up 1, here below .02. */
static void break_even_is_marked(atn_ctx *cx)
{
    const drawn_part below = {.15, .6, .6, .8};
    int n[2];

    for (int i = 0; i < 2; i++) {
        atn_table *t =
            drawn_table(cx, i ? HEAD "p,k,g,false,.01,,8,.02\np,k,g,false,1,,.02,.02\n"
                              : HEAD "p,k,g,false,.01,,8,\np,k,g,false,1,,.02,\n");

        n[i] = drawn_in(cx, "speedup", t, &(atn_figure_opts){0}, DRAWN_WHITE, below);
        atn_table_destroy(cx, t);
    }
    CHECK_LE(n[1] + 50, n[0]);
}

/* A launch-bound pattern, one density alone, values that no page holds. */
static void extremes(atn_ctx *cx)
{
    atn_table *t = drawn_table(cx, HEAD CURVE "p,k,g,true,.2,.1,,.6\n");

    CHECK_LE(50, pixels(cx, t, 0, 1));
    atn_table_destroy(cx, t);
    t = drawn_table(cx, "density,speedup\n.3,2\n");
    CHECK_LE(10, pixels(cx, t, 0, 1));
    atn_table_destroy(cx, t);
    t = drawn_table(cx, "density,speedup\n1e-300,1e300\n1,1e-300\n,3\n.1,\n-1,2\n");
    CHECK_LE(0, pixels(cx, t, 0, 1));
    atn_table_destroy(cx, t);
}

static void refusals(atn_ctx *cx)
{
    atn_table *t = drawn_table(cx, "layer,x\n0,1\n");

    drawn_fails(cx, "speedup", t, "no numeric column density");
    atn_table_destroy(cx, t);
    t = drawn_table(cx, "density,x\n0,1\n");
    drawn_fails(cx, "speedup", t, "no numeric column speedup");
    atn_table_destroy(cx, t);
    t = drawn_table(cx, "density,speedup\n0,1\n1,0\n");
    drawn_fails(cx, "speedup", t, "no row has both");
    atn_table_destroy(cx, t);
    t = drawn_table(cx, "density,speedup,time_ms\n.5,,.05\n1,,.09\n");
    drawn_fails(cx, "speedup", t, "launch bound");
    atn_table_destroy(cx, t);
    t = drawn_table(cx, "density,speedup,limited_by\n.5,,launch\n.5,,mma\n");
    drawn_fails(cx, "speedup", t, "--batch");
    atn_table_destroy(cx, t);
}

/* Every row of simulate is a disc by its tiles, and a ring by its pairs; where it says
 * nothing of the density by tiles, a disc by its pairs alone. */
static void of_simulate(atn_ctx *cx)
{
    const drawn_part left = {.1, .45, .05, .8}, right = {.45, 1, .05, .8};
    const atn_figure_opts log = {.params = "x_axis=log"};
    atn_table *t =
        drawn_table(cx, "pattern,density,tile_density,visited_tiles,speedup\n"
                        "p,.01,.5,9,2\nq,.012,.4,9,3\n");

    for (int i = 0; i < 2; i++) {
        CHECK_LE(20, drawn_in(cx, "speedup", t, &log, atn_palette_series(i, 2), left));
        CHECK_LE(60, drawn_in(cx, "speedup", t, &log, atn_palette_series(i, 2), right));
    }
    atn_table_destroy(cx, t);
    t = drawn_table(cx, "pattern,density,visited_tiles,speedup\np,.01,9,2\nq,.9,9,1\n");
    CHECK_LE(60, drawn_in(cx, "speedup", t, &log, atn_palette_series(0, 2), left));
    CHECK_LE(60, drawn_in(cx, "speedup", t, &log, atn_palette_series(1, 2), right));
    CHECK_EQ(drawn_in(cx, "speedup", t, &log, atn_palette_series(0, 2), right), 0);
    atn_table_destroy(cx, t);
}

/* Of more curves than colours each is solid, and has a mark of its own. */
static void many_curves(atn_ctx *cx)
{
    char csv[2000] = "pattern,is_point,density,speedup\n";
    atn_table *t;

    for (int i = 0; i < 9; i++)
        snprintf(csv + strlen(csv), sizeof csv - strlen(csv),
                 "p%d,false,.01,%d\np%d,false,1,%d\np%d,true,.%d,%d\n", i, 20 - i, i,
                 20 - i, i, i + 1, 20 - i);
    t = drawn_table(cx, csv);
    for (int i = 0; i < ATN_PALETTE_DISTINCT; i++)
        CHECK_LE(300, pixels(cx, t, i, ATN_PALETTE_DISTINCT));
    atn_table_destroy(cx, t);
}

CHECK_MAIN({"the pattern is a disc", the_pattern_is_a_disc},
           {"the pattern is apart", the_pattern_is_apart},
           {"curves begin anew", curves_begin_anew},
           {"break-even is marked", break_even_is_marked}, {"extremes", extremes},
           {"of simulate", of_simulate}, {"many curves", many_curves},
           {"refusals", refusals})
