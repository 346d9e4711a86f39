/* core/wide_rows.h -- logits and weights in double, for choices that hang on their
 * order.
 *
 * Math    s_ij as in core/problem.h; every product of a query and a key is summed in
 *         the same order, so equal keys have equal logits, and a row has the same ones
 *         in any tile, any chunk of queries and any number of threads.
 * Oracle  the same bits for all tilings; a twin in double to 1e-15 of |q| |k|.
 * Cost    2 d flop in double and one exp an entry; about half the speed of
 *         core/rows.h.
 * Limits  one thread. Float rows in, so products are exact and sums round once a term.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "core/rows.h"

/* out (rows of a, rows of b), ld apart, <- scale a b'. */
atn_status atn_wide_product(atn_ctx *cx, atn_cmat a, atn_cmat b, double scale,
                            double *out, atn_idx ld) ATN_WARN_UNUSED;

/* The logit of a scaled product s of the query at position `at` and a key: with bias
 * and cap. */
double atn_wide_logit(const atn_head *h, double s, atn_idx at, atn_idx key);
/* Logits z [n] become weights; -INFINITY = no sink logit. */
void atn_wide_soften(double *z, atn_idx n, double sink);

/* out [t->rows, t->keys] <- the logits after bias and cap, whatever the mask shows; of
 * given rows their weights. */
atn_status atn_wide_logits(atn_ctx *cx, const atn_head *h, const atn_tile *t,
                           double *out) ATN_WARN_UNUSED;
/* The logits x [n] of the keys that query i sees become its weights; *mass is their
 * sum: 1, or less with a sink logit. Given weights stay. n = 0 is fine. DATA with
 * layer, head and row when one is NaN or infinite. */
atn_status atn_wide_softmax(atn_ctx *cx, const atn_head *h, atn_idx i, double *x,
                            atn_idx n, double *mass) ATN_WARN_UNUSED;

/* Rows of a tile of all keys that stays near 2 MiB, 8 .. 64. */
atn_idx atn_wide_rows(const atn_head *h);
/* Bytes of such a tile, with what the two above take beside it, on one thread. */
double atn_wide_bytes(const atn_head *h);
