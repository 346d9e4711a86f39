/* tests/viz/test_panels.c -- curves of heads in panels: figures distance and coverage. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "viz/drawn.h"

#include "viz/palette.h"
#include "viz/panels.h"

/* layers x heads curves of 4 bins; head h has its weight in bin h % 4. */
static atn_table *profile(atn_ctx *cx, int layers, int heads)
{
    static const int first[] = {0, 1, 2, 4};
    atn_table *t = NULL;

    CHECK_OK(atn_table_create(cx, "distance", &t));
    CHECK_OK(atn_table_add_col(cx, t, "layer", ATN_COL_I64, "", "", NULL));
    CHECK_OK(atn_table_add_col(cx, t, "head", ATN_COL_I64, "", "", NULL));
    CHECK_OK(
        atn_table_add_col(cx, t, "distance_first_tokens", ATN_COL_I64, "", "", NULL));
    CHECK_OK(atn_table_add_col(cx, t, "mass_share", ATN_COL_F64, "", "", NULL));
    for (int i = 0; i < layers * heads * 4; i++) {
        CHECK_OK(atn_table_add_row(cx, t));
        atn_table_set_i64(t, 0, i / 4 / heads);
        atn_table_set_i64(t, 1, i / 4 % heads);
        atn_table_set_i64(t, 2, first[i % 4]);
        atn_table_set_f64(t, 3, i % 4 == i / 4 % heads % 4);
    }
    return t;
}

static int lines_of(atn_ctx *cx, const atn_table *t, const char *params, int i, int n)
{
    return drawn_with(cx, "distance", t, &(atn_figure_opts){.params = params},
                      atn_palette_series(i, n));
}

/* Three layers of two heads: lines of heads, two colours; lines of layers, three. */
static void heads_or_layers(atn_ctx *cx)
{
    atn_table *t = profile(cx, 3, 2);

    for (int i = 0; i < 2; i++) CHECK_LE(300, lines_of(cx, t, NULL, i, 2));
    CHECK_EQ(lines_of(cx, t, "lines=heads", 2, 3), 0);
    /* the three means are the same curve: the last covers the others, but in the legend */
    CHECK_LE(300, lines_of(cx, t, "lines=layers", 2, 3));
    atn_table_destroy(cx, t);
    /* 13 layers, or 17 heads, are too many for panels */
    t = profile(cx, 13, 2);
    CHECK_LE(300, lines_of(cx, t, NULL, 12, 13));
    atn_table_destroy(cx, t);
    t = profile(cx, 2, 17);
    CHECK_LE(300, lines_of(cx, t, NULL, 1, 2));
    atn_table_destroy(cx, t);
}

/* A value between missing ones is a dot; a curve is broken where one is missing. */
static void missing_values_break(atn_ctx *cx)
{
    atn_table *whole = drawn_table(cx, "layer,head,coverage,share_mean\n0,0,.5,.1\n"
                                       "0,0,.8,.1\n0,0,.9,.1\n"),
              *broken = drawn_table(cx, "layer,head,coverage,share_mean\n0,0,.5,.1\n"
                                        "0,0,.8,\n0,0,.9,.1\n");
    const unsigned char *ink = atn_palette_series(0, 1);

    CHECK_LE(400, drawn_pixels(cx, "coverage", whole, ink));
    CHECK_LE(10, drawn_pixels(cx, "coverage", broken, ink));
    CHECK_LE(drawn_pixels(cx, "coverage", broken, ink), 150);
    atn_table_destroy(cx, whole);
    atn_table_destroy(cx, broken);
}

/* The mean of a layer is over its heads: curves 0 and 1 meet at .5, the level curve of the other
 * layer lies on it, and only one colour is to be seen beside the legend. */
static void layers_are_means(atn_ctx *cx)
{
    atn_table *t =
        drawn_table(cx, "layer,head,coverage,share_mean\n0,0,.5,0\n0,1,.5,1\n"
                        "0,0,.9,1\n0,1,.9,0\n1,0,.5,.5\n1,0,.9,.5\n");

    CHECK_LE(drawn_pixels(cx, "coverage", t, atn_palette_series(0, 2)), 200);
    CHECK_LE(400, drawn_pixels(cx, "coverage", t, atn_palette_series(1, 2)));
    atn_table_destroy(cx, t);
}

static void refusals(atn_ctx *cx)
{
    atn_table *t = drawn_table(cx, "layer,head,coverage,share_mean\n0,0,.5,nan\n");

    drawn_fails(cx, "coverage", t, "both an x and a y");
    drawn_fails(cx, "distance", t, "distance_first_tokens");
    CHECK_OK(atn_table_set_meta(cx, t, "y", "nope"));
    drawn_fails(cx, "coverage", t, "no numeric column for y");
    atn_table_destroy(cx, t);
    t = drawn_table(cx, "layer,head,x\n0,0,1\n");
    drawn_fails(cx, "coverage", t, "no column coverage");
    atn_table_destroy(cx, t);
    CHECK_OK(atn_table_create(cx, "coverage", &t));
    for (int c = 0; c < 4; c++)
        CHECK_OK(atn_table_add_col(
            cx, t, (const char *const[]){"layer", "head", "coverage", "share_mean"}[c],
            c < 2 ? ATN_COL_I64 : ATN_COL_F64, "", "", NULL));
    for (int i = 0; i < 300; i++) {
        CHECK_OK(atn_table_add_row(cx, t));
        atn_table_set_i64(t, 0, 0);
        atn_table_set_i64(t, 1, 0);
        atn_table_set_f64(t, 2, i / 300.);
        atn_table_set_f64(t, 3, 1);
    }
    drawn_fails(cx, "coverage", t, "more than 256 values, too many for curves (");
    atn_table_destroy(cx, t);
}

CHECK_MAIN({"heads or layers", heads_or_layers},
           {"missing values break", missing_values_break},
           {"layers are means", layers_are_means}, {"refusals", refusals})
