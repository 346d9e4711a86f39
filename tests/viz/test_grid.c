/* tests/viz/test_grid.c -- cells of numbers and texts, heads without a value and without a row. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "viz/drawn.h"

#include "viz/palette.h"

/* Three cells of four hold the largest value: three times the pixels of the fourth, but for the
 * values printed in them. */
static void cells_have_their_colours(atn_ctx *cx)
{
    atn_table *t = drawn_table(cx, "layer,head,x\n0,0,1\n0,1,1\n1,1,0\n1,0,1\n");
    const unsigned char(*v)[3] = atn_palette_find("viridis");
    const int high = drawn_pixels(cx, "grid", t, v[255]),
              low = drawn_pixels(cx, "grid", t, v[0]);

    CHECK_LE(2000, low);
    CHECK_NEAR((double)high / low, 3, 0.3);
    CHECK_LE(drawn_pixels(cx, "grid", t, DRAWN_MASKED), 20);
    atn_table_destroy(cx, t);
}

/* Layer 1 has one head, whose value is missing: one cell is grey, and one blank. */
static void missing_is_grey_absent_is_blank(atn_ctx *cx)
{
    atn_table *t = drawn_table(cx, "layer,head,x\n0,0,1\n0,1,1\n1,0,\n"),
              *full = drawn_table(cx, "layer,head,x\n0,0,1\n0,1,1\n1,0,\n1,1,1\n");
    const int grey = drawn_pixels(cx, "grid", t, DRAWN_MASKED);
    const int more = drawn_pixels(cx, "grid", t, DRAWN_WHITE) -
                     drawn_pixels(cx, "grid", full, DRAWN_WHITE);

    CHECK_LE(2000, grey);
    /* the blank cell is as large; in the other picture a value is printed there */
    CHECK_NEAR((double)more / grey, 1, 0.15);
    atn_table_destroy(cx, t);
    atn_table_destroy(cx, full);
}

static void texts_are_categories(atn_ctx *cx)
{
    atn_table *t = drawn_table(cx, "layer,head,type\n0,0,sink\n0,1,local\n0,2,sink\n");
    int n[3];

    CHECK_OK(atn_table_set_meta(cx, t, "y", "type"));
    /* in the order of the alphabet: local, sink */
    for (int i = 0; i < 3; i++)
        n[i] = drawn_pixels(cx, "grid", t, atn_palette_category(i));
    CHECK_NEAR((double)n[1] / n[0], 2, 0.4);
    CHECK_EQ(n[2], 0);
    atn_table_destroy(cx, t);
}

/* Meta categories keeps the colours of texts, whichever occur; others come behind. */
static void categories_keep_their_colours(atn_ctx *cx)
{
    static const int wanted[] = {3, 1, 4};
    atn_table *t = drawn_table(cx, "layer,head,type\n0,0,a\n0,1,b\n0,2,z\n");

    CHECK_OK(atn_table_set_meta(cx, t, "y", "type"));
    CHECK_OK(atn_table_set_meta(cx, t, "categories", "c,b,d,a"));
    for (int i = 0; i < 3; i++)
        CHECK_LE(1000, drawn_pixels(cx, "grid", t, atn_palette_category(wanted[i])));
    CHECK_EQ(drawn_pixels(cx, "grid", t, atn_palette_category(0)), 0);
    CHECK_EQ(drawn_pixels(cx, "grid", t, atn_palette_category(2)), 0);
    atn_table_destroy(cx, t);
}

/* Every column of the list has a panel of its own: two of them twice the cells. */
static void columns_have_panels(atn_ctx *cx)
{
    atn_table *t = drawn_table(cx, "layer,head,x,type\n0,0,1,a\n0,1,1,b\n1,0,1,a\n");

    CHECK_OK(atn_table_set_meta(cx, t, "y", "x,type"));
    CHECK_LE(300, drawn_pixels(cx, "grid", t, atn_palette_find("viridis")[255]));
    CHECK_LE(300, drawn_pixels(cx, "grid", t, atn_palette_category(1)));
    atn_table_destroy(cx, t);
}

static void refusals(atn_ctx *cx)
{
    char csv[512] = "layer,head,type,x\n", names[128] = "";
    atn_table *t;

    for (int i = 0; i < 13; i++)
        snprintf(csv + strlen(csv), sizeof csv - strlen(csv), "0,%d,t%d,\n", i, i);
    t = drawn_table(cx, csv);
    CHECK_OK(atn_table_set_meta(cx, t, "y", "type"));
    drawn_fails(cx, "grid", t, "column type has more than 12 different texts");
    CHECK_OK(atn_table_set_meta(cx, t, "y", "x"));
    drawn_fails(cx, "grid", t, "column x has no value in any row");
    CHECK_OK(atn_table_set_meta(cx, t, "y", "head,nope"));
    drawn_fails(cx, "grid", t, "no column of that name");
    for (int i = 0; i < 13; i++) strcat(names, "head,");
    CHECK_OK(atn_table_set_meta(cx, t, "y", names));
    drawn_fails(cx, "grid", t, "at most 12 columns");
    atn_table_destroy(cx, t);
    /* many layers of one head and one of many: an area beyond all drawing */
    CHECK_OK(atn_table_create(cx, "t", &t));
    for (int c = 0; c < 3; c++)
        CHECK_OK(atn_table_add_col(cx, t,
                                   c == 0   ? "layer"
                                   : c == 1 ? "head"
                                            : "x",
                                   ATN_COL_I64, "", "", NULL));
    for (int i = 0; i < 4000; i++) {
        CHECK_OK(atn_table_add_row(cx, t));
        atn_table_set_i64(t, 0, i);
        atn_table_set_i64(t, 1, i == 9 ? 4000 : 0);
        atn_table_set_i64(t, 2, i);
    }
    drawn_fails(cx, "grid", t, "4000 layers of 4001");
    atn_table_destroy(cx, t);
}

CHECK_MAIN({"cells have their colours", cells_have_their_colours},
           {"missing is grey, absent is blank", missing_is_grey_absent_is_blank},
           {"texts are categories", texts_are_categories},
           {"categories keep their colours", categories_keep_their_colours},
           {"columns have panels", columns_have_panels}, {"refusals", refusals})
