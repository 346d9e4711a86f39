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

/* Lines are drawn where the table says what degrees reach. Degree 2 at X below 1: 1000
 * features at d = 43, so with reach "1" the line ends there. */
static void lines_need_reaches(atn_ctx *cx)
{
    atn_table *t = drawn_table(cx, HEAD "0,0,.6,8,false,1,false\n"
                                        "0,1,4,64,false,1,false\n");
    const int bare = ink(cx, t, inside);
    int one;

    CHECK_OK(atn_table_set_meta(cx, t, "taylor_reach_e2", "1"));
    one = ink(cx, t, inside);
    CHECK_LE(one + 50, bare);
    CHECK_OK(atn_table_set_meta(cx, t, "taylor_reach_e2", "1 2 3"));
    CHECK_LE(ink(cx, t, inside) + 50, one);
    CHECK_OK(atn_table_set_meta(cx, t, "taylor_reach_e2", "1 2 nonsense"));
    CHECK_LE(ink(cx, t, inside), one);
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
    CHECK_OK(atn_table_set_meta(cx, t, "taylor_reach_e2", "1 2 3"));
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
           {"lines need reaches", lines_need_reaches}, {"extremes", extremes},
           {"refusals", refusals})
