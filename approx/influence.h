/* approx/influence.h -- how much every entry of P matters, summed over blocks.
 *
 * Math    taking key j out of row i and renormalising the row moves the output by
 *           |dO_i| = P_ij / (1 - P_ij) |O_i - v_j|                          (proxy)
 *         and, to first order, a loss with the gradient g_ij = dL/dO_i . v_j by
 *           E_ij = P_ij (sum_t P_it g_it - g_ij) / (1 - P_ij)               (gradient)
 *         with 1 - P_ij no smaller than 1e-6; of a row that sees one key, |P v| and |P
 *         g|: nothing is left there. Absolute values are summed over blocks of 64
 *         positions and 64 keys, the last ones as large as they are; several heads are
 *         pooled by the larger.
 * Oracle  P = (.5 .3 .2), g = (1 2 4): E = (.9, -.042857, -.525), the exact changes of
 *         a loss that is linear in P; equal g, or equal values, give 0; sum_j
 *         (1 - P_ij) E_ij = 0.
 * Source  Fu et al. (MoA), arXiv 2406.14909; with g_ij = dO_i . v_j no n x n gradient
 *         is kept.
 * Cost    one pass over the rows, of 2 nq nk (d + 2 dv) flop: P, O and O_i . v_j, from
 *         which come the distances; 2 nq nk dv more with d_o. Memory 8 bytes a block,
 *         and two or three tiles a thread.
 * Limits  where some P_ij is above 1/2, 1 - P_ij and O_i - v_j come from the other
 *         entries of the row, which lose no digits; a value near the output is
 *         subtracted, number by number.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "core/rows.h"

enum { ATN_INFLUENCE_BLOCK = 64 };

typedef struct atn_influence {
    atn_idx rows, keys; /* blocks */
    double *proxy;      /* [rows, keys]; owned */
    double *gradient;   /* [rows, keys], NULL without d_o; owned */
} atn_influence;

/* Of n_heads heads that share their values and sight, pooled. d_o [n_heads, layer_rows,
 * dv] by rows of the layer, or NULL. Rows i < skip_rows are left out. Release out also
 * on failure. */
atn_status atn_influence_run(atn_ctx *cx, const atn_head *heads, atn_idx n_heads,
                             const float *d_o, atn_idx layer_rows, atn_idx skip_rows,
                             atn_influence *out) ATN_WARN_UNUSED;
/* Bytes of that at most without d_o, heads with values. */
double atn_influence_bytes(const atn_ctx *cx, const atn_head *h, atn_idx n_heads);
void atn_influence_release(atn_ctx *cx, atn_influence *x);
