/* tests/viz/test_tensor_regime.c -- the regime map: filled points, lines of equal R. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "viz/drawn.h"

#include "viz/palette.h"

#define HEAD "layer,head,x_max_tensor,d,fast_tensor_e2,x_max_matrix,fast_matrix_e1\n"
static const drawn_part inside = {.15, .97, .15, .8};

static int coloured(atn_ctx *cx, const atn_table *t, const char *params)
{
    const atn_figure_opts o = {.params = params};

    return drawn_in(cx, "tensor_regime", t, &o, atn_palette_category(0), inside);
}

/* A head in the regime is a disc, another a ring; each case has its own. */
static void the_regime_is_filled(atn_ctx *cx)
{
    atn_table *on = drawn_table(cx, HEAD "0,0,.5,8,true,3,false\n"),
              *off = drawn_table(cx, HEAD "0,0,.5,8,false,3,true\n");

    CHECK_LE(coloured(cx, off, NULL) + 10, coloured(cx, on, NULL));
    CHECK_LE(coloured(cx, on, "which=matrix,eps=1") + 10,
             coloured(cx, off, "which=matrix,eps=1"));
    atn_table_destroy(cx, on);
    atn_table_destroy(cx, off);
}

static int ink(atn_ctx *cx, const atn_table *t, drawn_part part)
{
    const atn_figure_opts o = {0};

    return drawn_in(cx, "tensor_regime", t, &o, DRAWN_WHITE, part);
}

/* Lines need nothing but the error. Degree 2 serves logits to .71 at 1e-1 and to .083
 * at 1e-4: there 1000 features end at d = 43, and here, left of all that is drawn. */
static void lines_need_no_run_record(atn_ctx *cx)
{
    atn_table *t = drawn_table(cx, HEAD "0,0,.6,8,false,1,false\n"
                                        "0,1,4,64,false,1,false\n");
    const atn_figure_opts close = {.params = "eps=4"}, far = {.params = "eps=1"};
    const drawn_part upper = {.2, .3, .15, .45};
    const int bare = drawn_in(cx, "tensor_regime", t, &close, DRAWN_WHITE, upper);

    CHECK_LE(drawn_in(cx, "tensor_regime", t, &far, DRAWN_WHITE, upper) + 50, bare);
    atn_table_destroy(cx, t);
}

/* No logits at all, one head, logits of 1e30: nothing is off the page. */
static void extremes(atn_ctx *cx)
{
    atn_table *t = drawn_table(cx, HEAD "0,0,0,8,true,0,true\n");

    CHECK_LE(8, drawn_pixels(cx, "tensor_regime", t, atn_palette_category(0)));
    atn_table_destroy(cx, t);
    t = drawn_table(cx,
                    HEAD "0,0,1e30,8,false,0,true\n0,1,1e-30,100000,false,0,true\n");
    CHECK_LE(ink(cx, t, inside), 1 << 30);
    atn_table_destroy(cx, t);
}

static void refusals(atn_ctx *cx)
{
    atn_table *t = drawn_table(cx, "layer,x\n0,1\n");

    drawn_fails(cx, "tensor_regime", t, "no numeric columns x_max_tensor and d");
    atn_table_destroy(cx, t);
    t = drawn_table(cx, HEAD "0,0,,8,true,0,true\n0,1,1,,true,0,true\n");
    drawn_fails(cx, "tensor_regime", t, "no ");
    atn_table_destroy(cx, t);
}

CHECK_MAIN({"the regime is filled", the_regime_is_filled},
           {"lines need no run record", lines_need_no_run_record},
           {"extremes", extremes}, {"refusals", refusals})
