/* tests/viz/test_bars.c -- layers of stacks and steps are groups apart. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "viz/drawn.h"

#include "viz/palette.h"

/* Two bars of layer 0: of one stack they stand side by side in the middle, of two
 * stacks or steps with the gap of groups. */
static void groups_are_apart(atn_ctx *cx)
{
    const drawn_part middle = {.5, .59, .3, .6};
    const unsigned char *blue = atn_palette_series(0, 1);
    const atn_figure_opts usual = {0};
    atn_table *t[] = {drawn_table(cx, "stack,layer,head,v\na,0,0,3\na,0,0,3\n"),
                      drawn_table(cx, "stack,layer,head,v\na,0,0,3\nb,0,0,3\n"),
                      drawn_table(cx, "step,layer,head,v\n1,0,0,3\n2,0,0,3\n"),
                      drawn_table(cx, "layer,v\n0,3\n1,3\n")};

    CHECK_LE(100, drawn_in(cx, "bars", t[0], &usual, blue, middle));
    for (int i = 1; i < 4; i++)
        CHECK_EQ(drawn_in(cx, "bars", t[i], &usual, blue, middle), 0);
    for (int i = 0; i < 4; i++) {
        CHECK_LE(1000, drawn_pixels(cx, "bars", t[i], blue));
        atn_table_destroy(cx, t[i]);
    }
}

CHECK_MAIN({"groups are apart", groups_are_apart})
