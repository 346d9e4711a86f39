/* tests/viz/test_dendrogram.c -- trees that are none are refused, clusters have colours. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "viz/drawn.h"

#include "viz/palette.h"

#define HEAD "node,layer,head,left,right,height,cluster\n"

/* ((0, 2), (3, 1)): clusters of two leaves each; rows in no order. */
static const char tree[] = HEAD "5,,,3,1,.2,\n0,0,0,,,,0\n6,,,4,5,1,\n1,0,1,,,,1\n"
                                "3,1,1,,,,1\n4,,,0,2,.1,\n2,1,0,,,,0\n";

static void clusters_have_colours(atn_ctx *cx)
{
    atn_table *t = drawn_table(cx, tree);

    for (int i = 0; i < 2; i++)
        CHECK_LE(500, drawn_pixels(cx, "dendrogram", t, atn_palette_category(i)));
    CHECK_EQ(drawn_pixels(cx, "dendrogram", t, atn_palette_category(2)), 0);
    atn_table_destroy(cx, t);
}

/* Leaves of clusters of their own stay without colour. */
static void single_leaves_are_grey(atn_ctx *cx)
{
    atn_table *t = drawn_table(cx, HEAD "0,0,0,,,,0\n1,0,1,,,,1\n2,,,0,1,1,\n");

    CHECK_EQ(drawn_pixels(cx, "dendrogram", t, atn_palette_category(0)), 0);
    atn_table_destroy(cx, t);
}

/* A cut beyond the last merge still lies on the page. */
static void cut_is_drawn(atn_ctx *cx)
{
    atn_table *t = drawn_table(cx, tree);
    char *svg[2] = {NULL, NULL};
    size_t n[2];

    for (int i = 0; i < 2; i++) {
        CHECK_OK(atn_figure_svg(cx, atn_figure_find("dendrogram"), t,
                                &(atn_figure_opts){0}, &svg[i], &n[i]));
        CHECK_OK(atn_table_set_meta(cx, t, "cut", "1.5"));
    }
    CHECK(strstr(svg[1], "dasharray") && !strstr(svg[0], "dasharray"));
    atn_free(cx, svg[0]);
    atn_free(cx, svg[1]);
    atn_table_destroy(cx, t);
}

static void refusals(atn_ctx *cx)
{
    static const char *const bad[][2] = {
        {"layer,head,x\n0,0,1\n0,1,1\n0,2,1\n", "node, layer, head"},
        {HEAD "0,0,0,,,,0\n1,0,1,,,,1\n", "at least two heads"},
        {HEAD "0,0,0,,,,0\n1,0,1,,,,1\n2,0,2,,,,1\n", "node, layer, head"},
        {HEAD "0,0,0,,,,0\n1,0,1,,,,1\n1,,,0,1,1,\n", "row 3: node 1"},
        {HEAD "0,0,0,,,,0\n7,0,1,,,,1\n2,,,0,1,1,\n", "row 2: node 7"},
        {HEAD "0,0,0,,,,0\n1,0,1,,,,1\n2,,,0,2,1,\n", "row 3: node 2 is neither"},
        {HEAD "0,0,0,,,,0\n1,0,1,,,,1\n2,,,1,1,1,\n", "row 3: node 2 is neither"},
        {HEAD "0,0,0,,,,0\n1,0,1,,,,1\n2,,,0,-5,1,\n", "row 3: node 2 is neither"},
        {HEAD "0,0,0,,,,0\n1,0,1,,,,1\n2,,,0,1,nan,\n", "row 3: node 2 is neither"},
        {HEAD "0,0,0,1,2,.5,0\n1,0,1,,,,1\n2,,,0,1,1,\n", "row 1: node 0 is neither"},
        {HEAD "0,0,0,,,,0\n1,0,1,,,,1\n2,0,2,,,,1\n3,,,0,1,1,\n4,,,0,3,2,\n",
         "node 0 is joined twice"},
        {HEAD "0,0,0,,,,0\n1,0,1,,,,1\n2,,,0,1,1,\n3,,,0,1,1,\n", "4 rows are no tree"},
        {"stack,node,layer,head,left,right,height\na,0,0,0,,,\nb,1,0,1,,,\na,2,,,0,1,"
         "1\n",
         "several stacks"},
    };

    for (size_t i = 0; i < ATN_LEN(bad); i++) {
        atn_table *t = drawn_table(cx, bad[i][0]);

        print_message("%s\n", bad[i][1]);
        drawn_fails(cx, "dendrogram", t, bad[i][1]);
        atn_table_destroy(cx, t);
    }
}

CHECK_MAIN({"clusters have colours", clusters_have_colours},
           {"single leaves are grey", single_leaves_are_grey},
           {"cut is drawn", cut_is_drawn}, {"refusals", refusals})
