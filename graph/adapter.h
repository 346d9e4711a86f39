/* graph/adapter.h -- p-Laplacian message passing on the attention of a head, streamed.
 *
 * Math    query features q (nq, c), key features v (nk, c), weights P; e = eps:
 *           G_ij = || sqrt(P_ij + e) (v_j - q_i) + e 1 ||^(p - 2),  M_ij = P_ij G_ij
 *           a_i = 1 / (sum_j M_ij + 2 mu / p),  b_i = 2 mu / p a_i,  A~_ij = a_i M_ij
 *         One step of queries q_i <- sum_j A~_ij v_j + b_i q0_i; of keys, with column
 *         sums in a', v_j <- a'_j (sum_i M_ij q_i + 2 mu / p v0_j); both from the state
 *         before, then F <- F + damping (F_new - F). p < 2 favours near pairs, p > 2
 *         far ones; p = 2 gives (P V + mu q) / (1 + mu) where rows sum to 1. What gets
 *         no weight, query or key, stays as it was at first: b = 1.
 *         energy = sum_ij || sqrt(P_ij) (q_i - v_j) ||^p + mu (|q - q0|^2 + |v - v0|^2)
 *         never increases for 1 <= p <= 2 but for what e does to it. With `nodes`
 *         queries and keys are the same nodes F: F_i <- sum_j A~_ij F_j + b_i F0_i and
 *         energy = half the sum over pairs + mu |F - F0|^2, without such a promise.
 * Oracle  P = (.75, .25), q = .5, v = (1, 3), mu = .2: p = 2 A~ = (.625, .208333), out
 *         1.333333; p = 1.5 (.699224, .137180), out 1.192561.
 * Source  Wu, Zhang et al., AAAI 2024, arXiv 2312.10613, and its code for e; K > 1 and
 *         the energy are our own derivation, card A2.
 * Cost    iterations + 1 walks over the rows, each 2 (3 c + d) flop a visible pair (2 c
 *         more from the second step on) and five vectorised logarithms or exponentials.
 *         Memory about 8 (c + signals) (5 nq + 13 nk) bytes and a few tiles.
 * Limits  near pairs: distances are formed by GEMM in double; where that gives d^2 <
 *         1e-6 (|q|^2 + |v|^2) again from the difference, and pairs closer than snap
 *         max(|q|, |v|) count as equal. Eight threads a head at most. Sampled heads are
 *         not taken.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "core/problem.h"

typedef enum atn_adapter_beta {
    ATN_BETA_PAPER,
    ATN_BETA_CODE /* the anchors b_i q0_i are dropped, as the published code does */
} atn_adapter_beta;
#define ATN_ADAPTER_BETA "paper|code"

typedef enum atn_adapter_self {
    ATN_SELF_KEEP,
    ATN_SELF_DROP /* P_ii = 0, rows not renormalised */
} atn_adapter_self;
#define ATN_ADAPTER_SELF "keep|drop"

typedef struct atn_adapter_params {
    double p;       /* 1 .. 3 */
    double mu;      /* >= 0 */
    double eps;     /* >= 0; with 0 a pair of equal features at p < 2 is left out */
    double snap;    /* >= 0, relative */
    double damping; /* 0 < damping <= 1 */
    int iterations; /* >= 1 */
    atn_adapter_beta beta;
    atn_adapter_self self;
    bool nodes; /* queries and keys are the same nodes */
    bool stop;  /* at the first iteration whose energy is above the one before */
} atn_adapter_params;

/* p 1.5, mu .2, eps 1e-8, snap 1e-6, one iteration, paper, keep. */
extern const atn_adapter_params atn_adapter_defaults;
/* USAGE names the parameter, its range and the value. */
atn_status atn_adapter_check(atn_ctx *cx, const atn_adapter_params *a) ATN_WARN_UNUSED;

typedef struct atn_adapter_input {
    const atn_head *head;
    bool own;   /* queries are the tokens of the keys: there are pairs of a token with
                   itself, and the labels are theirs, too */
    atn_cmat q; /* (nq, c); data NULL = query i has the features of its own key */
    atn_cmat v; /* (nk, c); data NULL = the head's values */
    /* what is carried along by the same weights without a say in them */
    atn_idx signals;       /* 0 = none */
    const double *q_sent;  /* (nq, signals); NULL = those of the query's own key */
    const double *v_sent;  /* (nk, signals) */
    const int32_t *labels; /* [nk], < 0 = unlabelled; NULL = none */
    atn_idx skip_rows;     /* rows before it are in no mean, but in everything else */
} atn_adapter_input;

/* One iteration; number 0 is plain attention. Means are over the rows that see a key;
 * of kl, entropy, distance and homophily over those that have mass. NaN = has none. */
typedef struct atn_adapter_state {
    double energy;
    bool rose; /* the energy is above that of the iteration before, beyond rounding */
    double change;       /* |out - O|_F / |O|_F, O = P v0 */
    double mass;         /* mean sum_j A~_ij; iteration 0: of P */
    double beta;         /* mean b_i */
    double self_share;   /* mean A~_ii */
    double kl;           /* mean KL(P_i || A~_i), both normalised, nats */
    double entropy;      /* mean of A~_i normalised, nats */
    double distance;     /* mean sum_j A~_ij |q0_i - v0_j|, normalised */
    double homophily;    /* mean sum_j A~_ij cos(q0_i, v0_j), normalised */
    double edge;         /* sum A~_ij [y_i = y_j] / sum A~_ij over labelled pairs */
    atn_idx rows, empty; /* rows of the means; those of them without mass */
} atn_adapter_state;

/* Fills state [iterations + 1], of which *done + 1 are set (done NULL = not asked), and
 * out (nq, c + signals), the last q with its signals (NULL = not wanted). USAGE: a
 * parameter, features missing or of another width; DATA as atn_rows_fill. */
atn_status atn_adapter_run(atn_ctx *cx, const atn_adapter_input *in,
                           const atn_adapter_params *a, atn_adapter_state *state,
                           double *out, int *done) ATN_WARN_UNUSED;
/* Bytes that it takes beside its inputs and outputs. */
double atn_adapter_bytes(const atn_ctx *cx, const atn_adapter_input *in);
