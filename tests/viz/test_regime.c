/* tests/viz/test_regime.c -- errors of methods by temperature and by entropy. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "viz/drawn.h"

#include "viz/axes.h"
#include "viz/palette.h"

static const char *const two =
    "layer,head,temperature,method,error_matrix,row_entropy_mean_nats\n"
    "0,0,0.5,svd,.01,3\n0,0,0.5,topk,.5,3\n0,0,2,svd,.5,1\n0,0,2,topk,.01,1\n"
    "0,1,0.5,svd,.03,3\n0,1,0.5,topk,.7,3\n0,1,2,svd,.7,1\n0,1,2,topk,.03,1\n";

/* Colours of the two series in the four corners of the plot. */
static void lines_cross(atn_ctx *cx)
{
    const drawn_part left_low = {.1, .35, .5, .85}, left_high = {.1, .35, .1, .4};
    const drawn_part right_low = {.75, 1, .5, .85};
    const unsigned char *svd = atn_palette_series(0, 2);
    const unsigned char *topk = atn_palette_series(1, 2);
    const atn_figure_opts plain = {0};
    atn_table *t = drawn_table(cx, two);

    CHECK_LE(20, drawn_in(cx, "regime", t, &plain, svd, left_low));
    CHECK_EQ(drawn_in(cx, "regime", t, &plain, svd, right_low), 0);
    CHECK_EQ(drawn_in(cx, "regime", t, &plain, svd, left_high), 0);
    CHECK_LE(20, drawn_in(cx, "regime", t, &plain, topk, right_low));
    CHECK_LE(20, drawn_in(cx, "regime", t, &plain, topk, left_high));
    atn_table_destroy(cx, t);
}

/* Nothing is drawn left of the plot: no line begins at what was drawn before. */
static void lines_stay_inside(atn_ctx *cx)
{
    const drawn_part margin = {0, .1, .15, .85};
    const atn_figure_opts plain = {0};
    atn_table *t = drawn_table(cx, two);

    for (int s = 0; s < 2; s++)
        CHECK_EQ(drawn_in(cx, "regime", t, &plain, atn_palette_series(s, 2), margin),
                 0);
    atn_table_destroy(cx, t);
}

/* A point a head, method and temperature: more heads, more ink; other places where the
 * entropy is another. */
static void points_of_heads(atn_ctx *cx)
{
    const drawn_part left = {.1, .55, .1, .85};
    const atn_figure_opts plain = {0};
    atn_table *t = drawn_table(cx, two);
    atn_table *one = drawn_table(
        cx, "layer,head,method,error_matrix,row_entropy_mean_nats\n0,0,svd,.01,3\n"
            "0,0,topk,.5,3\n");
    const unsigned char *colour = atn_palette_series(0, 2);

    CHECK_LE(drawn_pixels(cx, "entropy_error", one, colour) + 20,
             drawn_pixels(cx, "entropy_error", t, colour));
    CHECK_LE(20, drawn_in(cx, "entropy_error", t, &plain, colour, left));
    CHECK_EQ(drawn_in(cx, "entropy_error", one, &plain, colour, left), 0);
    atn_table_destroy(cx, one);
    atn_table_destroy(cx, t);
}

/* What errs nowhere stands at the edge; outputs where weights were not compared. */
static void what_is_exact(atn_ctx *cx)
{
    atn_table *t = drawn_table(
        cx, "temperature,method,error_matrix,output_error_relative\n1,a,,0\n2,a,,0.5\n"
            "4,a,,0.001\n");
    const unsigned char *colour = atn_palette_series(0, 1);

    CHECK_LE(20, drawn_pixels(cx, "regime", t, colour));
    atn_table_destroy(cx, t);
}

/* Below a logarithm marks are hollow, and the foot says so; the legend shows marks. */
static void below_the_axis(atn_ctx *cx)
{
    static const char *const figure[] = {"entropy_error", "regime"};
    const char *head =
        "head,temperature,row_entropy_mean_nats,method,error_matrix\n0,1,1,a,";
    const unsigned char *colour = atn_palette_series(0, 1);
    const drawn_part low = {.1, 1, .5, .85}, foot = {.1, 1, .95, 1};
    const atn_figure_opts log = {.params = "y_axis=log"};

    for (int f = 0; f < 2; f++) {
        int solid, hollow;
        char csv[200];
        atn_table *t;

        snprintf(csv, sizeof csv, "%s1e-3\n1,2,2,a,1\n", head);
        t = drawn_table(cx, csv);
        solid = drawn_in(cx, figure[f], t, &log, colour, low);
        hollow = drawn_in(cx, figure[f], t, &log, DRAWN_WHITE, foot);
        atn_table_destroy(cx, t);
        snprintf(csv, sizeof csv, "%s0\n1,2,2,a,1\n2,3,3,a,1e-3\n", head);
        t = drawn_table(cx, csv);
        CHECK_LE(drawn_in(cx, figure[f], t, &log, DRAWN_WHITE, foot) + 50, hollow);
        CHECK_LE(drawn_in(cx, figure[f], t, &log, colour, low), 2 * solid);
        atn_table_destroy(cx, t);
    }
}

static void refused(atn_ctx *cx, const char *figure, const char *csv, const char *why)
{
    const atn_figure *f = atn_figure_find(figure);
    atn_table *t = drawn_table(cx, csv);
    const char *said = f->check(t);

    if (!said || !strstr(said, why)) fail_msg("%s: %s", figure, said ? said : "fits");
    atn_table_destroy(cx, t);
}

static void what_does_not_fit(atn_ctx *cx)
{
    refused(cx, "regime", "layer,method,error_matrix\n0,a,.1\n", "--sweep temperature");
    refused(cx, "regime", "temperature,error_matrix\n1,.1\n", "no column method");
    refused(cx, "regime", "temperature,method\n1,a\n", "error_matrix nor");
    refused(cx, "regime", "temperature,method,error_matrix\n1,a,.1\n1,a,.2\n",
            "several rows");
    refused(cx, "entropy_error", "method,error_matrix\na,.1\n", "--per head");
    refused(cx, "entropy_error",
            "head,method,error_matrix,row_entropy_mean_nats\n0,a,.1,1\n1,a,.2,1\n"
            "0,a,.3,1\n",
            "several rows");
}

/* A header alone lacks rows, whatever its columns. */
static void no_rows(atn_ctx *cx)
{
    static const char *const figure[] = {"regime", "entropy_error", "pareto",
                                         "tensor_regime"};
    atn_table *t = drawn_table(cx, "temperature,method,error_matrix,x_max_tensor,d\n");

    for (int f = 0; f < 4; f++) drawn_fails(cx, figure[f], t, "it has no rows");
    atn_table_destroy(cx, t);
}

/* Edges and ticks, of both kinds. */
static void axes(atn_ctx *cx)
{
    const double wide[] = {.25, 8, 1}, zero[] = {0, 1e-3, 1}, few[] = {3, 5};
    atn_axis x = atn_axis_of(wide, 3, ATN_AXIS_AUTO, false);

    (void)cx;
    CHECK(x.log);
    CHECK_NEAR(atn_axis_place(&x, 1), 0, 1e-15);
    CHECK(x.lo < log10(.25) && x.hi > log10(8));
    CHECK_NEAR(x.tick[0], .5, 1e-15);
    atn_axis_tick_at(&x, wide, 3);
    CHECK_EQ(x.ticks, 3);
    CHECK_NEAR(x.tick[1], 8, 0);
    x = atn_axis_of(zero, 3, ATN_AXIS_LOG, true);
    CHECK(x.log && isfinite(x.lo));
    CHECK_NEAR(atn_axis_place(&x, 0), x.lo, 0);
    CHECK(atn_axis_is_below(&x, 0) && !atn_axis_is_below(&x, 1e-3));
    x = atn_axis_of(few, 2, ATN_AXIS_AUTO, true);
    CHECK(!x.log);
    CHECK_NEAR(x.lo, 0, 0);
    x = atn_axis_of(few, 2, ATN_AXIS_AUTO, false);
    CHECK(x.lo > 2 && x.lo < 3 && x.hi > 5);
    x = atn_axis_of(few, 1, ATN_AXIS_LOG, false);
    CHECK(x.log && x.lo < log10(3) && x.hi > log10(3));
}

CHECK_MAIN({"lines cross", lines_cross}, {"lines stay inside", lines_stay_inside},
           {"points of heads", points_of_heads}, {"what is exact", what_is_exact},
           {"below the axis", below_the_axis}, {"what does not fit", what_does_not_fit},
           {"no rows", no_rows}, {"axes", axes})
