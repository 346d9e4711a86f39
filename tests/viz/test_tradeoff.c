/* tests/viz/test_tradeoff.c -- error against speed-up: the front, and what is below a
 * logarithm. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "viz/drawn.h"

#include "viz/palette.h"

#define HEAD "method,family,budget,speedup,output_error_relative"

/* A table without on_front is one of a front: its points are filled, not rings. */
static void a_front_is_filled(atn_ctx *cx)
{
    static const atn_figure_opts bare = {.params = "names=0"};
    atn_table *front = drawn_table(cx, HEAD "\nm,a,,2,.1\nn,a,,3,.5\n");
    atn_table *rings = drawn_table(cx, HEAD ",on_front\nm,a,,2,.1,0\nn,a,,3,.5,0\n");
    const unsigned char *ink = atn_palette_category(0);
    const drawn_part inside = {.15, 1, .05, .75};
    const int few = drawn_in(cx, "tradeoff", rings, &bare, ink, inside);

    CHECK_LE(10, few);
    CHECK_LE(2 * few, drawn_in(cx, "tradeoff", front, &bare, ink, inside));
    atn_table_destroy(cx, front);
    atn_table_destroy(cx, rings);
}

/* The lowest of a hundred strips of the plot that has this colour. */
static int lowest(atn_ctx *cx, const atn_table *t, int category)
{
    static const atn_figure_opts bare = {.params = "names=0"};
    int at = -1;

    for (int i = 0; i < 85; i++) {
        const drawn_part strip = {.15, 1, .01 * i, .01 * (i + 1)};

        if (drawn_in(cx, "tradeoff", t, &bare, atn_palette_category(category), strip))
            at = i;
    }
    return at;
}

/* An error of 1e-7 stands above one of 0, and both below all that the logarithm has. */
static void small_errors_are_apart(atn_ctx *cx)
{
    atn_table *t =
        drawn_table(cx, HEAD "\nm,a,,1,0\nn,b,,2,1e-7\no,c,,3,.1\np,d,,4,1\n");
    const int zero = lowest(cx, t, 0), tiny = lowest(cx, t, 1), low = lowest(cx, t, 2);

    CHECK_LE(0, low);
    CHECK_LE(low + 2, tiny);
    CHECK_LE(tiny + 2, zero);
    atn_table_destroy(cx, t);
}

CHECK_MAIN({"a front is filled", a_front_is_filled},
           {"small errors are apart", small_errors_are_apart})
