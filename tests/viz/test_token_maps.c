/* tests/viz/test_token_maps.c -- maps of pairs of tokens: figures pattern and reach. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "viz/drawn.h"

#include "viz/palette.h"
#include "viz/token_map.h"

static const unsigned char NOT_KEPT[3] = {228, 228, 224}, ITSELF[3] = {20, 20, 24};
enum { CELL = 96 * 96, SWATCH = 300 }; /* pixels, of few cells; of a legend's entry */

static atn_table *map_of(atn_ctx *cx, const float *cells, atn_idx rows, atn_idx cols)
{
    atn_table *t = NULL;

    CHECK_OK(atn_table_create(cx, "map", &t));
    CHECK_OK(atn_table_set_matrix(cx, t, (atn_cmat){cells, rows, cols, cols}, "query",
                                  "key"));
    return t;
}

static const unsigned char *ink(double x)
{
    return atn_palette_at(atn_palette_find("ink"), x);
}

/* About so many cells have the colour: rules, frames and a swatch aside. */
static void check_cells(atn_ctx *cx, const char *figure, const atn_table *t,
                        const unsigned char rgb[3], int cells)
{
    const int n = drawn_pixels(cx, figure, t, rgb);

    CHECK_LE(0.9 * cells * CELL, n);
    CHECK_LE(n, cells * CELL + SWATCH);
}

/* Kept: (0, 0), (2, 0), (2, 2); visible and not kept: the other three of six. */
static void pattern_cells(atn_ctx *cx)
{
    const float m[] = {1, NAN, NAN, 0, 0, NAN, 1, 0, 1};
    atn_table *t = map_of(cx, m, 3, 3);

    check_cells(cx, "pattern", t, ink(1), 3);
    check_cells(cx, "pattern", t, NOT_KEPT, 3);
    CHECK_EQ(drawn_pixels(cx, "pattern", t, DRAWN_MASKED), 0);
    atn_table_destroy(cx, t);
}

/* Queries go down: what the last query keeps of the first key is below on the left. */
static void pattern_is_not_transposed(atn_ctx *cx)
{
    float m[64] = {0};
    atn_table *t;

    for (int i = 0; i < 8; i++)
        for (int j = i + 1; j < 8; j++) m[8 * i + j] = NAN;
    m[8 * 7 + 0] = .5f;
    m[8 * 7 + 7] = 1;
    t = map_of(cx, m, 8, 8);
    CHECK_LE(800, drawn_in(cx, "pattern", t, &(atn_figure_opts){0}, ink(.5),
                           (drawn_part){0, .3, .5, 1}));
    atn_table_destroy(cx, t);
}

/* 512 cells of a million tokens: a diagonal of which a cell holds 1/2048, beside one that fills
 * its cells. It is to be seen whole, also where a cell has no pixel of its own. */
static void thin_diagonals_stay(atn_ctx *cx)
{
    enum { N = 512 };
    float *m = calloc(N * N, sizeof *m);
    atn_table *t;

    for (int i = 0; i < N; i++) {
        for (int j = i + 1; j < N; j++) m[N * i + j] = NAN;
        m[N * i + i] = 1;
        if (i >= 200) m[N * i + i - 200] = 1.f / 2048;
    }
    t = map_of(cx, m, N, N);
    CHECK_LE(312, drawn_pixels(cx, "pattern", t, ink(1. / 2048)));
    /* of 72 points of a map, 2 pixels each, 312/512 have the diagonal */
    CHECK_LE(60, drawn_with(cx, "pattern", t, &(atn_figure_opts){.width_in = 2},
                            ink(1. / 2048)));
    free(m);
    atn_table_destroy(cx, t);
}

static void large_maps_stay_small(atn_ctx *cx)
{
    enum { N = 2500 };
    float *m = calloc(N * N, sizeof *m);
    atn_table *t = map_of(cx, m, N, N);

    for (int f = 0; f < 2; f++) {
        char *svg = NULL;
        size_t n = 0;

        CHECK_OK(atn_figure_svg(cx, atn_figure_find(f ? "reach" : "pattern"), t,
                                &(atn_figure_opts){0}, &svg, &n));
        CHECK_LE((double)n, 1 << 20);
        atn_free(cx, svg);
    }
    free(m);
    atn_table_destroy(cx, t);
}

/* Tokens of a cell: column tokens, else meta tokens_per_cell; a table that says less than a token a
 * cell is not believed. Labels of more digits leave the map less room. */
static void positions_are_tokens(atn_ctx *cx)
{
    float m[1600] = {0};
    int n[3];
    atn_table *t = map_of(cx, m, 40, 40);

    n[0] = drawn_pixels(cx, "pattern", t, NOT_KEPT);
    CHECK_OK(atn_table_set_meta(cx, t, "tokens_per_cell", "26215"));
    n[1] = drawn_pixels(cx, "pattern", t, NOT_KEPT);
    CHECK_OK(atn_table_set_meta(cx, t, "tokens_per_cell", "1e-9"));
    n[2] = drawn_pixels(cx, "pattern", t, NOT_KEPT);
    CHECK(n[1] != n[0] && n[2] == n[0]);
    atn_table_destroy(cx, t);
}

/* Layers 0, 1, 3 and not reached of depth 3; the last is no colour of a layer. */
static void reach_cells(atn_ctx *cx)
{
    const float m[] = {0, NAN, NAN, 1, 0, NAN, 4, 3, 0};
    const unsigned char(*v)[3] = atn_palette_find("viridis"),
                   ground[3] = {199, 199, 199};
    atn_table *t = map_of(cx, m, 3, 3);
    int hatched;

    CHECK_OK(atn_table_set_meta(cx, t, "depth", "3"));
    check_cells(cx, "reach", t, ITSELF, 3);
    check_cells(cx, "reach", t, atn_palette_at(v, .15), 1);
    check_cells(cx, "reach", t, atn_palette_at(v, .98), 1);
    CHECK_LE(drawn_pixels(cx, "reach", t, atn_palette_at(v, .565)), SWATCH);
    /* the ground of the hatching, besides what the edges of texts have of this grey */
    hatched = drawn_pixels(cx, "reach", t, ground);
    CHECK_OK(atn_table_set_meta(cx, t, "depth", "4"));
    CHECK_LE(200 + drawn_pixels(cx, "reach", t, ground), hatched);
    atn_table_destroy(cx, t);
}

/* 64 layers in tens: 1 and 10 share a colour, 11 has the next of seven, 64 the last. */
static void reach_groups_layers(atn_ctx *cx)
{
    const float m[] = {1, 64, 10, 11};
    const unsigned char(*v)[3] = atn_palette_find("viridis");
    atn_table *t = map_of(cx, m, 1, 4);

    CHECK_OK(atn_table_set_meta(cx, t, "depth", "64"));
    check_cells(cx, "reach", t, atn_palette_at(v, .15), 2);
    check_cells(cx, "reach", t, atn_palette_at(v, .15 + .83 / 6), 1);
    check_cells(cx, "reach", t, atn_palette_at(v, .98), 1);
    atn_table_destroy(cx, t);
}

/* Of 48 layers only six reach anything: each has a colour of its own. */
static void reach_counts_to_the_last(atn_ctx *cx)
{
    const float m[] = {5, 6, 1, 2};
    const unsigned char(*v)[3] = atn_palette_find("viridis");
    atn_table *t = map_of(cx, m, 1, 4);

    CHECK_OK(atn_table_set_meta(cx, t, "depth", "48"));
    for (int k = 0; k < 4; k++)
        check_cells(cx, "reach", t, atn_palette_at(v, .15 + .83 / 5 * (m[k] - 1)), 1);
    atn_table_destroy(cx, t);
}

/* --palette is honoured, a scale is not. */
static void reach_has_palettes(atn_ctx *cx)
{
    const float m[] = {1, 2};
    const unsigned char *v = atn_palette_at(atn_palette_find("viridis"), .98),
                        *c = atn_palette_at(atn_palette_find("cividis"), .98);
    const atn_figure_opts with = {.palette = "cividis"};
    atn_table *t = map_of(cx, m, 1, 2);
    char *svg = NULL;
    size_t n = 0;

    CHECK_LE(CELL / 2, drawn_with(cx, "reach", t, &with, c));
    CHECK_EQ(drawn_with(cx, "reach", t, &with, v), 0);
    CHECK_FAILS(atn_figure_svg(cx, atn_figure_find("reach"), t,
                               &(atn_figure_opts){.palette = "jet"}, &svg, &n),
                ATN_USAGE, "'jet'");
    CHECK_FAILS(atn_figure_svg(cx, atn_figure_find("reach"), t,
                               &(atn_figure_opts){.scale = "log"}, &svg, &n),
                ATN_USAGE, "--scale");
    CHECK_FAILS(atn_figure_svg(cx, atn_figure_find("growth"), t,
                               &(atn_figure_opts){.palette = "cividis"}, &svg, &n),
                ATN_USAGE, "figure growth");
    atn_table_destroy(cx, t);
}

/* 600 tokens in blocks of 256: the last of three cells is 88 wide, a third of another. */
static void last_block_in_part(atn_ctx *cx)
{
    const float m[] = {1, 2, 3};
    const unsigned char(*v)[3] = atn_palette_find("viridis");
    double n[3];
    atn_table *t = map_of(cx, m, 1, 3);

    CHECK_OK(atn_table_set_meta(cx, t, "keys", "600"));
    CHECK_OK(atn_table_set_meta(cx, t, "tokens_per_cell", "256"));
    for (int k = 0; k < 3; k++)
        n[k] = drawn_pixels(cx, "reach", t, atn_palette_at(v, .15 + .83 / 2 * k));
    CHECK_NEAR(n[0] / n[1], 1, .05);
    CHECK_LE(n[2] - SWATCH, .38 * n[1]);
    /* cells of 300 would not need the third: alike in width, as without the number */
    CHECK_OK(atn_table_set_meta(cx, t, "tokens_per_cell", "300"));
    n[2] = drawn_pixels(cx, "reach", t, atn_palette_at(v, .98));
    CHECK_LE(.7 * n[1], n[2]);
    atn_table_destroy(cx, t);
}

/* Where everything is kept, the legend has no entry for what is not. */
static void legend_names_what_there_is(atn_ctx *cx)
{
    const float all[] = {1, NAN, 1, 1}, none[] = {0, NAN, 0, 0};
    atn_table *t[] = {map_of(cx, all, 2, 2), map_of(cx, none, 2, 2)};

    CHECK_EQ(drawn_pixels(cx, "pattern", t[0], NOT_KEPT), 0);
    check_cells(cx, "pattern", t[1], NOT_KEPT, 3);
    for (int k = 0; k < 2; k++) atn_table_destroy(cx, t[k]);
}

static void facts_are_counted(atn_ctx *cx)
{
    const float m[] = {1, 1};
    atn_token_map map = {.down = {.total = 1, .unit = 1},
                         .across = {.total = 1, .unit = 1}};
    atn_table *t = map_of(cx, m, 1, 2);
    char text[200];

    atn_token_map_facts(t, &map, text, sizeof text);
    CHECK_STR(text, "1 token");
    map.across.total = 2;
    atn_token_map_facts(t, &map, text, sizeof text);
    CHECK_STR(text, "1 query, 2 keys");
    atn_table_destroy(cx, t);
}

/* Of cells that are joined the first layer of any is drawn. */
static void reach_joins_by_the_first(atn_ctx *cx)
{
    enum { N = 2048 };
    const unsigned char(*v)[3] = atn_palette_find("viridis");
    float *m = calloc(N * N, sizeof *m);
    atn_table *t;

    for (int i = 0; i < N; i++)
        for (int j = 0; j < N; j++) m[N * i + j] = (i + j) % 2 ? 2 : 1;
    t = map_of(cx, m, N, N);
    CHECK_LE(drawn_pixels(cx, "reach", t, atn_palette_at(v, .98)), SWATCH);
    CHECK_LE(CELL, drawn_pixels(cx, "reach", t, atn_palette_at(v, .15)));
    free(m);
    atn_table_destroy(cx, t);
}

static void refusals(atn_ctx *cx)
{
    static const struct {
        float cell;
        const char *pattern, *reach;
    } bad[] = {{1.5f, "no shares", NULL},
               {.5f, NULL, "whole numbers"},
               {-.5f, "no shares", "no number of layers"},
               {INFINITY, "no shares", "no number of layers"},
               {NAN, "no visible pair", "no visible pair"}};
    atn_table *t = NULL;

    for (size_t i = 0; i < ATN_LEN(bad); i++) {
        t = map_of(cx, &bad[i].cell, 1, 1);
        if (bad[i].pattern) drawn_fails(cx, "pattern", t, bad[i].pattern);
        if (bad[i].reach) drawn_fails(cx, "reach", t, bad[i].reach);
        atn_table_destroy(cx, t);
    }
    t = map_of(cx, &(float){4}, 1, 1);
    CHECK_OK(atn_table_set_meta(cx, t, "depth", "2"));
    drawn_fails(cx, "reach", t, "0 .. depth + 1");
    CHECK_OK(atn_table_set_meta(cx, t, "depth", "-1"));
    drawn_fails(cx, "reach", t, "no number of layers");
    atn_table_destroy(cx, t);
    CHECK_OK(atn_table_create(cx, "pattern", &t));
    CHECK_OK(
        atn_table_set_matrix(cx, t, (atn_cmat){&(float){1}, 1, 1, 1}, "query", "key"));
    drawn_fails(cx, "reach", t, "shares of pairs");
    atn_table_destroy(cx, t);
    CHECK_OK(atn_table_create(cx, "none", &t));
    drawn_fails(cx, "pattern", t, "no matrix");
    drawn_fails(cx, "reach", t, "no matrix");
    atn_table_destroy(cx, t);
}

CHECK_MAIN({"pattern cells", pattern_cells},
           {"pattern is not transposed", pattern_is_not_transposed},
           {"thin diagonals stay", thin_diagonals_stay},
           {"large maps stay small", large_maps_stay_small},
           {"positions are tokens", positions_are_tokens}, {"reach cells", reach_cells},
           {"reach groups layers", reach_groups_layers},
           {"reach joins by the first", reach_joins_by_the_first},
           {"reach counts to the last", reach_counts_to_the_last},
           {"reach has palettes", reach_has_palettes},
           {"last block in part", last_block_in_part},
           {"legend names what there is", legend_names_what_there_is},
           {"facts are counted", facts_are_counted}, {"refusals", refusals})
