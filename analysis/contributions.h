/* analysis/contributions.h -- what every head adds to the residual stream, tile by
 * tile.
 *
 * Math    C_h = O_h W_O^h (nq, D) with O_h = P_h V and W_O^h the dv rows of W_O that
 *         belong to head h; the layer's output is Y = sum_h C_h. Gamma_hh' = <C_h,
 *         C_h'>_F.
 * Oracle  1' Gamma 1 = |Y|_F^2; C = (1,0), (1,0), (0,2): Gamma =
 *         [[1,1,0],[1,1,0],[0,0,4]].
 * Cost    2 nq H dv D flop for C, and nq D H (H + 1) flop for Gamma, whose products and
 *         sums are in double: it is inverted later, so it must stay positive
 *         semidefinite to the last bits. Memory one tile of all heads a thread, about
 *         16 MiB.
 * Limits  skipped rows are not visited. A bias of the output projection belongs to no
 *         head. Tiles and groups depend on the shape alone, so results are the same at
 *         any number of threads.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "analysis/measure.h"

enum { ATN_CONTRIBUTION_GROUPS = 32 };

typedef struct atn_contributions {
    atn_idx first, rows; /* rows [first, first + rows) of every head of the layer */
    atn_idx heads, width;
    const float *c; /* [heads, rows, width] */
    /* 0 .. ATN_CONTRIBUTION_GROUPS - 1: tiles of a group come one after another, in
     * order of their rows; different groups may come at the same time. */
    atn_idx group;
} atn_contributions;

/* Called once a tile with the context of its thread: may add to a place of its group or
 * its rows. */
typedef atn_status atn_contributions_visit(atn_ctx *cx, const atn_layer_facts *f,
                                           const atn_contributions *tile, void *state);

/* The facts hold what contributions need: f->out and f->w_o. */
bool atn_contributions_known(const atn_layer_facts *f);
/* Hands out the contributions of all heads of the layer; MEMORY before the work. f must
 * be known (see above). */
atn_status atn_contributions_each(atn_ctx *cx, const atn_layer_facts *f,
                                  atn_contributions_visit *visit,
                                  void *state) ATN_WARN_UNUSED;
/* gamma [heads, heads], both triangles. */
atn_status atn_contribution_gram(atn_ctx *cx, const atn_layer_facts *f,
                                 double *gamma) ATN_WARN_UNUSED;
/* square[heads] <- |C_h|_F^2; total <- |sum_h C_h|_F^2. Either may be NULL. */
atn_status atn_contribution_norms(atn_ctx *cx, const atn_layer_facts *f, double *square,
                                  double *total) ATN_WARN_UNUSED;
/* Bytes that atn_contributions_each takes beside its inputs. */
double atn_contributions_bytes(const atn_ctx *cx, const atn_layer_facts *f);
