/* tests/viz/test_tile_map.c -- the states of tiles and their colours. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "viz/drawn.h"

#include "viz/palette.h"

static const unsigned char EMPTY[3] = {232, 232, 228};
enum { CELL = 96 * 96, SWATCH = 300 }; /* pixels, of few cells; of a legend's entry */

static atn_table *map_of(atn_ctx *cx, const float *cells, atn_idx rows, atn_idx cols)
{
    atn_table *t = NULL;

    CHECK_OK(atn_table_create(cx, "tiles", &t));
    CHECK_OK(atn_table_set_matrix(cx, t, (atn_cmat){cells, rows, cols, cols}, "query",
                                  "key"));
    return t;
}

static int pixels(atn_ctx *cx, const atn_table *t, const unsigned char rgb[3])
{
    return drawn_pixels(cx, "tile_map", t, rgb);
}

static void check_cells(atn_ctx *cx, const atn_table *t, const unsigned char rgb[3],
                        int cells)
{
    CHECK_LE(0.9 * cells * CELL, pixels(cx, t, rgb));
    CHECK_LE(pixels(cx, t, rgb), cells * CELL + SWATCH);
}

/* Three states, three colours: 4 empty, 3 partial, 2 full. */
static void states(atn_ctx *cx)
{
    const float m[] = {1, 0, 0, 2, 1, 0, 0, 2, 1};
    atn_table *t = map_of(cx, m, 3, 3);

    check_cells(cx, t, EMPTY, 4);
    check_cells(cx, t, atn_palette_category(1), 3);
    check_cells(cx, t, atn_palette_category(0), 2);
    atn_table_destroy(cx, t);
}

/* Queries go down: the full tile of the last row and first column is below on the
 * left. */
static void is_not_transposed(atn_ctx *cx)
{
    float m[64] = {0};
    atn_table *t;

    m[8 * 7 + 0] = 2;
    t = map_of(cx, m, 8, 8);
    CHECK_LE(800, drawn_in(cx, "tile_map", t, &(atn_figure_opts){0},
                           atn_palette_category(0), (drawn_part){0, .3, .5, .9}));
    atn_table_destroy(cx, t);
}

/* A cell that joins few visited tiles with many empty ones is not as pale as those. */
static void means_stay_visible(atn_ctx *cx)
{
    const float m[] = {.01f, 0};
    atn_table *t = map_of(cx, m, 1, 2);

    check_cells(cx, t, EMPTY, 1);
    atn_table_destroy(cx, t);
}

/* Nothing but what is not there, and one cell. */
static void refusals(atn_ctx *cx)
{
    static const float bad[] = {0, 3}, none[] = {NAN, NAN};
    atn_table *t = map_of(cx, bad, 1, 2);

    drawn_fails(cx, "tile_map", t, "no states of tiles");
    atn_table_destroy(cx, t);
    t = map_of(cx, none, 1, 2);
    drawn_fails(cx, "tile_map", t, "no tile");
    atn_table_destroy(cx, t);
    t = drawn_table(cx, "layer,x\n0,1\n");
    drawn_fails(cx, "tile_map", t, "no matrix");
    atn_table_destroy(cx, t);
}

CHECK_MAIN({"states", states}, {"is not transposed", is_not_transposed},
           {"means stay visible", means_stay_visible}, {"refusals", refusals})
