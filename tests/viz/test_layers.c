/* tests/viz/test_layers.c -- dots of heads and the line through the means of layers. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "viz/drawn.h"

#include "viz/palette.h"

/* Values that differ within a layer, .2 and .8 against .5 twice, leave the line where it is; .2
 * twice do not. Layer 2 holds the range of y. */
static void line_is_of_means(atn_ctx *cx)
{
    static const char *const csv[] = {"0.5,0.5", "0.2,0.8", "0.2,0.2"};
    int n[3];

    for (int i = 0; i < 3; i++) {
        char text[200];
        atn_table *t;

        snprintf(text, sizeof text,
                 "layer,head,x\n0,0,%.3s\n0,1,%.3s\n1,0,.5\n1,1,.5\n2,0,0\n2,1,1\n",
                 csv[i], csv[i] + 4);
        t = drawn_table(cx, text);
        n[i] = drawn_pixels(cx, "layers", t, atn_palette_series(0, 1));
        atn_table_destroy(cx, t);
    }
    CHECK_LE(600, n[0]);
    CHECK_EQ(n[0], n[1]);
    CHECK(n[2] != n[0]);
}

/* A layer without values is passed over, a single layer has a short level line. */
static void gaps_and_single_layers(atn_ctx *cx)
{
    atn_table *t = drawn_table(cx, "layer,head,x\n0,0,1\n1,0,\n2,0,1\n"),
              *one = drawn_table(cx, "layer,head,x\n3,0,1\n");

    CHECK_LE(600, drawn_pixels(cx, "layers", t, atn_palette_series(0, 1)));
    CHECK_LE(20, drawn_pixels(cx, "layers", one, atn_palette_series(0, 1)));
    atn_table_destroy(cx, t);
    atn_table_destroy(cx, one);
}

static void stacks_have_colours(atn_ctx *cx)
{
    atn_table *t = drawn_table(cx, "stack,layer,head,x\na,0,0,1\na,1,0,2\nb,0,0,3\n"
                                   "b,1,0,1\n");

    for (int i = 0; i < 2; i++)
        CHECK_LE(500, drawn_pixels(cx, "layers", t, atn_palette_series(i, 2)));
    CHECK_EQ(drawn_pixels(cx, "layers", t, atn_palette_series(2, 3)), 0);
    atn_table_destroy(cx, t);
}

/* Under a title of its own the axis is in the words of the table, not by the column's name; a
 * column with a unit keeps its name. */
static void labels_are_words(atn_ctx *cx)
{
    static const unsigned char ink[3] = {38, 38, 38};
    static const char *const cols[][2] = {
        {"", ""}, {"", "of many words, [0, 1]"}, {"u", "of many words"}};
    const drawn_part left = {0, .035, 0, 1};
    const atn_figure_opts titled = {.title = "T"};
    int n[3];

    for (int k = 0; k < 3; k++) {
        atn_table *t = NULL;

        CHECK_OK(atn_table_create(cx, "t", &t));
        CHECK_OK(atn_table_add_col(cx, t, "layer", ATN_COL_I64, "", "", NULL));
        CHECK_OK(atn_table_add_col(cx, t, "head", ATN_COL_I64, "", "", NULL));
        CHECK_OK(
            atn_table_add_col(cx, t, "x_u", ATN_COL_F64, cols[k][0], cols[k][1], NULL));
        CHECK_OK(atn_table_add_row(cx, t));
        for (int c = 0; c < 2; c++) atn_table_set_i64(t, c, 0);
        atn_table_set_f64(t, 2, 1);
        n[k] = drawn_in(cx, "layers", t, &titled, ink, left);
        atn_table_destroy(cx, t);
    }
    CHECK_LE(2 * n[0], n[1]);
    CHECK_LE(2 * n[2], n[1]);
}

static void refusals(atn_ctx *cx)
{
    atn_table *t = drawn_table(cx, "layer,head,x,name\n0,0,,a\n0,1,,b\n");

    CHECK_OK(atn_table_set_meta(cx, t, "y", "name"));
    drawn_fails(cx, "layers", t, "--y name: holds text, not numbers");
    CHECK_OK(atn_table_set_meta(cx, t, "y", "nope"));
    drawn_fails(cx, "layers", t, "no numeric column");
    atn_table_destroy(cx, t);
    t = drawn_table(cx, "layer,head,x\n0,0,nan\n0,1,nan\n");
    drawn_fails(cx, "layers", t, "no number in any row");
    atn_table_destroy(cx, t);
}

CHECK_MAIN({"line is of means", line_is_of_means},
           {"gaps and single layers", gaps_and_single_layers},
           {"stacks have colours", stacks_have_colours},
           {"labels are words", labels_are_words}, {"refusals", refusals})
