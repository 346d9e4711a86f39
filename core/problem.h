/* core/problem.h -- the attention of one layer: Q, K, V of all heads, the scale, and
 * what every query may see. A head is the view that most code takes.
 *
 * Math    s_ij = scale q_i . k_j, then + slope (j - t) (ALiBi) or + b(j - t) (a bias by
 *         relative position), t = i + offset, then soft-cap s <- c tanh(s / c), then
 *         the mask; P_i = softmax over the keys that i sees, with exp(sink) added to
 *         the denominator where the head has a sink logit.
 *         Query i sees the keys [lo_i, hi_i): one interval, from causality with an
 *         offset, the sliding window and the padding.
 * Source  HF v5 masking_utils.py: a causal window of w shows w keys, the query's own
 *         among them; a bidirectional one shows |i - j| <= w.
 * Limits  query head h reads KV head floor(h H_kv / H). A row that sees nothing is all
 *         zero.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "core/mat.h"

typedef struct atn_sight {
    bool causal;
    atn_idx offset; /* position of query 0 among the keys: n_k - n_q when continuing */
    atn_idx window; /* 0 = none */
    atn_idx key_first; /* keys outside [key_first, key_last) are padding */
    atn_idx key_last;
    double softcap; /* 0 = none */
    /* queries are the same tokens as the keys: those that are padding see nothing,
     * either */
    bool pad_queries;
    /* queries stand in another text than the keys: their places among these mean
     * nothing but to a mask or bias that is there all the same */
    bool cross;
    /* NULL, or the head holds some rows only: query i is row rows[i], ascending.
     * Borrowed. */
    const atn_idx *rows;
} atn_sight;

/* The row of the layer that query i is. */
atn_idx atn_sight_query(const atn_sight *s, atn_idx i);
/* The position of query i among the keys; it may lie outside of them. */
atn_idx atn_sight_at(const atn_sight *s, atn_idx i);
/* The interval [lo, hi) of keys that query i sees; lo == hi when it sees none. */
void atn_sight_row(const atn_sight *s, atn_idx i, atn_idx *lo, atn_idx *hi);

/* What a token is for, where that is known. */
typedef enum atn_role { ATN_ROLE_NONE, ATN_ROLE_LANDMARK, ATN_ROLE_GLOBAL } atn_role;
enum { ATN_ROLES = 3 };
extern const char *const atn_role_names[ATN_ROLES]; /* "none", "landmark", "global" */
int atn_role_find(const char *name);                /* -1 = none of them */

/* One head: views, nothing owned. Either q and k, or p, is present. */
typedef struct atn_head {
    atn_cmat q; /* (nq, d) */
    atn_cmat k; /* (nk, d) */
    atn_cmat v; /* (nk, dv); data NULL when absent */
    atn_cmat p; /* (nq, nk) given rows; data NULL when there are q and k */
    atn_idx nq, nk;
    double scale;
    atn_sight sight;
    bool has_sink;
    double sink;        /* extra logit of the denominator */
    double alibi_slope; /* 0 = none */
    /* b(0) is rel_bias[rel_zero], key j of the query at t has rel_bias[rel_zero + j -
     * t]; NULL = none. Borrowed. */
    const float *rel_bias;
    atn_idx rel_zero;
    int layer, head, kv_head; /* identity, zero-based */
} atn_head;

/* One layer; tensors are contiguous [heads, n, d]. Borrowed unless `owned` says
 * otherwise (released by whoever loaded it, see core/io/capture.h). */
typedef struct atn_problem {
    int layer;
    atn_idx heads, kv_heads, nq, nk, d, dv;
    const float *q;           /* [heads, nq, d] or NULL */
    const float *k;           /* [kv_heads, nk, d] or NULL */
    const float *v;           /* [kv_heads, nk, dv] or NULL */
    const float *p;           /* [heads, nq, nk] or NULL */
    const float *sink;        /* [heads] or NULL */
    const float *alibi_slope; /* [heads] or NULL */
    const float *rel_bias; /* [heads, nq + nk - 1] or NULL, of j - i from 1 - nq on */
    double scale;
    atn_sight sight;
    void *owned; /* private to the loader */
} atn_problem;

atn_head atn_problem_head(const atn_problem *p, atn_idx head);
/* out: h with n of its rows only, those at `rows`, ascending, borrowed by out. Their q
 * (or p) is gathered into the arena of cx, where out lives until it is rewound. */
atn_status atn_head_sample(atn_ctx *cx, const atn_head *h, const atn_idx *rows,
                           atn_idx n, atn_head *out) ATN_WARN_UNUSED;
/* What the positions of key j and of a query at t add to their logit. */
static inline double atn_head_bias(const atn_head *h, atn_idx j, atn_idx t)
{
    const double rel = h->rel_bias ? (double)h->rel_bias[h->rel_zero + j - t] : 0;

    return rel + h->alibi_slope * (double)(j - t);
}
/* The logits depend on positions otherwise than through q and k. */
static inline bool atn_head_has_bias(const atn_head *h)
{
    return h->alibi_slope != 0 || h->rel_bias;
}
/* Number of visible (query, key) pairs of one head. */
double atn_visible_pairs(const atn_head *h);
