/* analysis/approx_dense.h -- what dense attention gives for one head: the side of every
 * comparison that no method changes, computed once.
 *
 * Math    A_i is row i as shared out over the keys that it sees, lse_i the log-sum-exp
 *         of their logits. share_i of the weight is on keys: 1, or less where a sink
 *         logit takes some; o_i = share_i A_i V. Of given rows (source p) A is the row
 *         over its sum, and so is o.
 *         H_i = -sum_j A_ij ln A_ij, the entropy of the row.
 *         top_i: the min(k, seen) keys of largest weight, lower keys first where equal.
 *         |x|_W = |x W_O| of an output x of the head, by L with L L' = W_O W_O'.
 * Cost    one pass over the rows, 2 nq nk (d + dv) flop; memory atn_dense_bytes.
 * Limits  heads without padding. Of a sample its rows alone.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "analysis/range_max.h"
#include "analysis/stats_sample.h"
#include "core/problem.h"

typedef struct atn_dense {
    atn_head head; /* the rows that are compared: all of a head, or a sample of them */
    const atn_row_sample *sample; /* NULL = all; borrowed */
    atn_idx n, top_k;             /* rows; keys of top at most */
    atn_idx *seen;                /* [n] keys that the row sees */
    double *lse;                  /* [n] -inf where it sees none */
    double *share;                /* [n] */
    double *entropy;              /* [n] nats; NaN where it sees none */
    bool matrix;                  /* weights are compared, of masks, too */
    double *reach;                /* [n] |scale| |q_i| max_j |k_j|: logits are below */
    int32_t *top;                 /* [n, top_k] ascending, those of row i first */
    float *o;                     /* [n, dv]; NULL without values */
    float *norm;                  /* [nk] |v_j|; NULL without values */
    atn_range_max largest;        /* of norm */
    float *half;                  /* [dv, dv] L; NULL without W_O or values */
} atn_dense;

/* h: the whole head. w_o [dv, width] the rows of W_O that are its, or NULL. sample:
 * NULL = all rows. The rows of a sampled head live in the arena. DATA names a logit
 * that is no number. Release it also on failure. */
typedef struct atn_dense_opts {
    const atn_row_sample *sample;
    const float *w_o;
    atn_idx width, top_k;
    bool matrix;
} atn_dense_opts;
atn_status atn_dense_make(atn_ctx *cx, const atn_head *h, const atn_dense_opts *o,
                          atn_dense *out) ATN_WARN_UNUSED;
void atn_dense_release(atn_ctx *cx, atn_dense *d);
/* Bytes of the result and, beside it, of the pass. */
double atn_dense_bytes(const atn_ctx *cx, const atn_head *h, const atn_dense_opts *o,
                       double *pass);

/* Row r of the whole head that row i here is, and the rows that it stands for. */
static inline atn_idx atn_dense_row(const atn_dense *d, atn_idx i)
{
    return d->sample ? d->sample->row[i] : i;
}
static inline double atn_dense_weight(const atn_dense *d, atn_idx i)
{
    return d->sample ? d->sample->weight[i] : 1;
}
/* Keys of top of row i. */
static inline atn_idx atn_dense_tops(const atn_dense *d, atn_idx i)
{
    return d->seen[i] < d->top_k ? d->seen[i] : d->top_k;
}
