/* core/tile_list.h -- which tiles of keys every tile of queries computes: what a
 * block-sparse kernel is given.
 *
 * Math    queries in tiles of `rows`, keys in tiles of `keys`. Of a tile of queries the
 *         list has those from the first key that one of them sees to the last; one has
 *         pairs to mask unless all that lie within the matrix are seen.
 * Cost    a look at the mask a query.
 * Limits  of a thinned list every tile of queries keeps the same share of its tiles, so
 *         that how many are computed is known without the draw.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "core/problem.h"

typedef struct atn_tile_list {
    atn_idx heads; /* lists: head h of a launch has list h % heads */
    atn_idx tiles; /* of queries */
    int64_t *ptr;  /* [heads * tiles + 1] */
    int32_t *item; /* [ptr[heads * tiles]] 2 * (tile of keys) + (has pairs to mask),
                      ascending within a list */
} atn_tile_list;
void atn_tile_list_release(atn_ctx *cx, atn_tile_list *l); /* a zeroed one is fine */

typedef struct atn_tile_sizes {
    atn_idx nq, nk, rows, keys;
} atn_tile_sizes;

/* Everything that the mask shows, one list for all heads. DATA where there are too many
 * tiles. */
atn_status atn_tile_list_of_sight(atn_ctx *cx, const atn_sight *s,
                                  const atn_tile_sizes *t,
                                  atn_tile_list *out) ATN_WARN_UNUSED;

/* Of `visits` tiles those kept at a density of (0, 1]: rounded, at least one. */
atn_idx atn_tiles_kept(double density, atn_idx visits);
/* `heads` lists that each keep atn_tiles_kept of the only list of `from`: tiles with
 * pairs to mask first, from the last one back (the diagonal of a causal mask), then
 * others by chance, of the stream (cx->seed, "tiles/thin", head, tile). */
atn_status atn_tile_list_thin(atn_ctx *cx, const atn_tile_list *from, double density,
                              atn_idx heads, atn_tile_list *out) ATN_WARN_UNUSED;
