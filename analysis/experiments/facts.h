/* analysis/experiments/facts.h -- what experiments know of a head: its weights in
 * double, and what is computed from them once.
 *
 * Math    P_ij = e^{s_ij} / sum_l e^{s_il} over the keys that row i sees, so that rows
 *         sum to 1: the share of a sink logit is left out, and given weights are divided
 *         by their sum. H_i = -sum P ln P, H2_i = -ln sum P^2. A row that sees nothing,
 *         or of which given weights are 0, is 0.
 * Cost    16 bytes a pair of query and key, and as much again for vectors of the SVD.
 * Limits  dense: heads are cut to their first tokens where they are longer.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "core/problem.h"

typedef struct atn_head_facts {
    atn_head head; /* without padding, cut; views */
    atn_idx nq, nk, d, dv;
    bool cut;          /* it was longer */
    double *s;         /* [nq, nk] logits as the softmax takes them, -inf unseen;
                            of given weights their logarithms */
    double *p;         /* [nq, nk] */
    double *q, *k, *v; /* [nq, d], [nk, d], [nk, dv] in double; NULL = there are none */
    double *o;         /* [nq, dv] P V, NULL without values */
    double *lse, *entropy, *renyi; /* [nq]; NAN of rows that see nothing */
    double *sigma;  /* singular values of P, descending [min(nq, nk)]; see below */
    double *u, *vt; /* [nq, r], [r, nk] of r = min(nq, nk) */
} atn_head_facts;

/* All but sigma, u and vt. h is whole or without padding. DATA where a logit is NaN or
 * infinite. Release it also on failure. */
atn_status atn_head_facts_make(atn_ctx *cx, const atn_head *h, atn_idx most,
                               atn_head_facts *out) ATN_WARN_UNUSED;
/* Sees to sigma, and with vectors to u and vt. */
atn_status atn_head_facts_spectrum(atn_ctx *cx, atn_head_facts *f,
                                   bool vectors) ATN_WARN_UNUSED;
void atn_head_facts_release(atn_ctx *cx, atn_head_facts *f);
double atn_head_facts_bytes(const atn_head *h, atn_idx most); /* of all, with vectors */
