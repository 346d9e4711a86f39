/* tests/viz/test_similarity.c -- a panel a stack and step. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "viz/drawn.h"

static const unsigned char DARK[3] = {68, 1, 84}, YELLOW[3] = {253, 231, 37};

/* All alike in one stack, none in the other: six bright cells and two dark ones, less
 * the numbers in them; where later rows took the place of earlier ones there were two
 * of each. */
static void stacks_are_apart(atn_ctx *cx)
{
    atn_table *t = drawn_table(cx, "stack,layer_a,layer_b,cos_elem\n"
                                   "a,0,0,1\na,0,1,1\na,1,1,1\n"
                                   "b,0,0,1\nb,0,1,0\nb,1,1,1\n");
    const int bright = drawn_pixels(cx, "similarity", t, YELLOW),
              dark = drawn_pixels(cx, "similarity", t, DARK);

    CHECK_LE(2000, dark);
    CHECK_LE(2.5 * dark, bright);
    CHECK_LE(bright, 3.5 * dark);
    atn_table_destroy(cx, t);
}

/* Members are counted by panel: stacks with other layers have no grey cells. */
static void panels_have_their_own_members(atn_ctx *cx)
{
    atn_table *t = drawn_table(cx, "step,layer_a,layer_b,cos_elem\n"
                                   "0,0,0,1\n0,0,1,.5\n0,1,1,1\n1,3,3,0\n");

    CHECK_EQ(drawn_pixels(cx, "similarity", t, DRAWN_MASKED), 0);
    CHECK_LE(2000, drawn_pixels(cx, "similarity", t, DARK));
    atn_table_destroy(cx, t);
}

static void too_many_panels(atn_ctx *cx)
{
    char csv[8000] = "step,layer_a,layer_b,cos_elem\n";
    size_t n = strlen(csv), size;
    atn_table *t;
    char *svg;

    for (int i = 0; i < 65; i++)
        n += (size_t)snprintf(csv + n, sizeof csv - n, "%d,0,0,1\n", i);
    t = drawn_table(cx, csv);
    CHECK_FAILS(atn_figure_svg(cx, atn_figure_find("similarity"), t,
                               &(atn_figure_opts){0}, &svg, &size),
                ATN_USAGE, "at most 64 stacks and steps");
    atn_table_destroy(cx, t);
}

CHECK_MAIN({"stacks are apart", stacks_are_apart},
           {"panels have their own members", panels_have_their_own_members},
           {"too many panels", too_many_panels})
