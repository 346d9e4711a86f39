/* graph/adapter_internal.h -- what the sources of the adapter share. */
// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "core/rows.h"
#include "graph/adapter.h"
#include "graph/pairs.h"

/* Of one row: some weights, and the state that they come from. */
typedef struct adapter_row {
    bool seen;
    double alpha, mass, beta, self, kl, entropy, distance, homophily;
    double same, labelled; /* weight on keys of the same label, of any */
    double energy, anchor; /* sum of its pairs; |q - q0|^2 */
    double change, plain;  /* |q - O|^2, |O|^2 */
} adapter_row;

typedef struct adapter_walk {
    const atn_adapter_input *in;
    const atn_adapter_params *a;
    const atn_head *h;
    atn_idx nq, nk, c, wide; /* wide: with the signals */
    atn_idx tile_rows, tiles, groups;
    int iteration;
    bool moves;          /* there is a next iteration */
    atn_points q, v;     /* (n, wide) now */
    atn_points q0, v0;   /* at first; sum holds 1 / |x|, 0 for 0 */
    double *plain;       /* (nq, c) O */
    double *sent, *sums; /* [groups][nk, wide], [groups][nk]: M'q and M'1 */
    adapter_row *row;    /* [nq] of the step from here, and of where it starts */
    adapter_row *given;  /* [nq] of P */
    double floor;        /* of the energy, what is rounding */
} adapter_walk;

/* Tiles of one group of w (an adapter_walk), in a fixed order. */
atn_status atn_adapter_group(atn_ctx *cx, atn_idx group, void *w) ATN_WARN_UNUSED;
/* x <- x + damping (alpha moved + beta first - x), all [wide]. alpha 0: no messages
 * came, and x <- first. anchor = 2 mu / p. */
void atn_adapter_move(const adapter_walk *w, const double *moved, double alpha,
                      double anchor, const double *first, double *x);
/* Bytes of one such task. */
double atn_adapter_tile_bytes(atn_idx rows, atn_idx nk, atn_idx wide);
/* The place of query i among the keys, -1 where it is no key. */
atn_idx atn_adapter_own(const atn_adapter_input *in, atn_idx i);
