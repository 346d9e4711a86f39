/* core/io/pattern.h -- pattern files: JSON, schema attnscope/pattern/1.
 *
 *   {"schema": "attnscope/pattern/1", "keys": 8, "queries": 8, "first": 0,
 *    "block": 1, "causal": true, "heads": [HEAD, ...]}
 *
 * keys must be there; queries (default keys), first (the position of query 0; default
 * keys - queries, at least 0), block (1) and causal (false) may be left out. One HEAD
 * holds for all, or there is one for every head:
 *   {"rows": [[[lo, hi], ...], ...]}    key intervals [lo, hi) of every block row
 *   {"blocks": [[c, ...], ...]}         key blocks of every block row
 *   {"slices": [[q0, q1, k0, k1, TYPE], ...]}
 * rows and blocks count in blocks of `block` tokens, ascending, disjoint; the first
 * block row is that of position `first`. Slices are of tokens (block 1), queries
 * [q0, q1) against keys [k0, k1) by position; TYPE is "full", "causal" (the diagonal
 * ends at the lower right corner), "inverse" (keys from the diagonal on that begins at
 * the upper left) or "both", or 0 to 3 for these. No two slices of a head may have a
 * query and a key in common. Other members are refused.
 * In a causal pattern keys after a query are left out.
 *
 * Cost    reading: the tree of the text, 20 to 40 times the file where it is mostly
 *         numbers. It counts in --mem-limit and is refused before it is made; without a
 *         limit above 8 GiB. The pattern keeps rows as intervals and slices as they
 *         are, however many rows they have. Writing: a row at a time.
 * Source  slices are those of MagiAttention and LongCA-bench (arXiv 2510.17896).
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "core/pattern.h"

/* DATA naming file, place, rule and value; NOINPUT; MEMORY. */
atn_status atn_pattern_load(atn_ctx *cx, const char *path,
                            atn_pattern **out) ATN_WARN_UNUSED;
/* All rows of one head, or of all (head = -1), as "rows", one after another;
 * atomically. CANTCREATE when the file exists and !force; DATA when it would be larger
 * than what atn_pattern_load takes, 1 GiB. */
atn_status atn_pattern_save(atn_ctx *cx, const atn_pattern *p, atn_idx head,
                            const char *path, bool force) ATN_WARN_UNUSED;
