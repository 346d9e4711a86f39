/* viz/token_map.h -- a map of all pairs of tokens: queries down, keys across, at their
 * real positions whatever a cell joins.
 *
 * The table has a matrix of cells; how many tokens they cover say meta queries and
 * keys, else column tokens, else meta tokens_per_cell; of nothing a cell is a token.
 * Where tokens_per_cell stands beside these, the last cell may cover fewer.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "viz/plot.h"

typedef struct atn_token_map {
    double right, foot; /* room that the figure wants beside and below */
    const char *unit;   /* what positions count; NULL = tokens */
    /* found: */
    atn_ruler down, across;
    double left, top, w, h, below; /* below: axis and its title */
} atn_token_map;

/* Why t has no such matrix; NULL = it has. */
const char *atn_token_map_check(const atn_table *t);
/* USAGE where nothing is left of the page. */
atn_status atn_token_map_fit(atn_ctx *cx, const atn_table *t, atn_canvas *c,
                             atn_token_map *m) ATN_WARN_UNUSED;
double atn_token_map_height(const atn_canvas *c, const atn_token_map *m);
double atn_token_map_foot(const atn_token_map *m); /* where the room below begins */
/* Cells by their colours (atn_cells), rules every `rule` tokens where they stand apart,
 * frame and axes. */
atn_status atn_token_map_draw(atn_ctx *cx, atn_canvas *c, const atn_token_map *m,
                              atn_cells cells, double rule) ATN_WARN_UNUSED;

/* Column `name` of the first row as a number; NaN = has none. */
double atn_token_map_fact(const atn_table *t, const char *name);
/* "32768 tokens in blocks of 256, head 3; a cell joins 64 x 64 pairs", as far as the
 * table says so. */
void atn_token_map_facts(const atn_table *t, const atn_token_map *m, char *out,
                         size_t size);
/* The heading; a table without a title is headed by its column pattern, else by
 * `otherwise`. */
void atn_token_map_heading(atn_canvas *c, const atn_table *t, const atn_figure_opts *o,
                           const char *otherwise);
