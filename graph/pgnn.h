/* graph/pgnn.h -- p-Laplacian message passing on a weighted graph that is held whole.
 *
 * Math    weights W (n, n), degrees d_i = sum_j W_ij (1 / sqrt 0 = 0), features X:
 *           g_ij = sqrt(W_ij) (F_i / sqrt d_i - F_j / sqrt d_j)
 *           M_ij = W_ij |g_ij|^(p - 2), 0 where p < 2 and g_ij = 0
 *           a_i = 1 / (sum_j M_ij / d_i + 2 mu / p),  b_i = 2 mu / p a_i
 *           F_i <- a_i sum_j M_ij F_j / sqrt(d_i d_j) + b_i X_i, from F = X on,
 *         then F <- F + damping (F_new - F).
 *         energy = 1/2 sum over ordered pairs |g_ij|^p + mu |F - X|^2; for symmetric W
 *         and 1 <= p <= 2 it never increases unless an edge has g_ij = 0 at p < 2.
 *         At p = 2, along an eigenvector of D^-1/2 W D^-1/2 with eigenvalue s:
 *           h_K(s) = x^K + b (1 - x^K) / (1 - x), x = s / (1 + mu), b = mu / (1 + mu).
 * Oracle  path 1-2-3, unit weights, X = (1, 0, -2), mu = .5: K = 1 p = 1.5 gives (.4,
 *         -.192665, -.970563); the minimum at p = 2 is (.2, -.282843, -.8), energy 1.6.
 * Source  Fu, Zhao, Bian, ICML 2022, arXiv 2111.07337. Its code scales each message by
 *         the a of its sender: ATN_ALPHA_CODE.
 * Cost    4 n^2 c flop a step and two logarithms a pair. Memory n^2 doubles are the
 *         caller's; beside them 8 n (3 c + 6) bytes and a few tiles of rows.
 * Limits  dense.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "core/ctx.h"

typedef enum atn_pgnn_alpha { ATN_ALPHA_PAPER, ATN_ALPHA_CODE } atn_pgnn_alpha;
#define ATN_PGNN_ALPHA "paper|code"

typedef struct atn_pgnn_params {
    double p;       /* 1 .. 3 */
    double mu;      /* >= 0 */
    double damping; /* 0 < damping <= 1 */
    double snap;    /* features this near, relatively, are equal; 0 = none but equal */
    int iterations; /* >= 1 */
    atn_pgnn_alpha alpha;
    bool stop; /* at the first iteration whose energy is above the one before */
} atn_pgnn_params;

/* p 2, mu .1, two iterations, no damping and no snapping, paper. */
extern const atn_pgnn_params atn_pgnn_defaults;
/* USAGE names the parameter, its range and the value. */
atn_status atn_pgnn_check(atn_ctx *cx, const atn_pgnn_params *a) ATN_WARN_UNUSED;

typedef struct atn_pgnn_graph {
    const double *w; /* (n, n), >= 0, borrowed */
    atn_idx n;
    const double *x; /* (n, c) the anchors, borrowed */
    atn_idx c;       /* columns of x and f */
    atn_idx ruling;  /* the first of them that gradients are made of; the others are
                        carried along. 1 .. c */
} atn_pgnn_graph;

/* What the caller may see of the iterations; either function may be NULL. */
typedef struct atn_pgnn_watch {
    /* Row i of iteration 1 on: the weights [n] with which it takes the features of
     * others, b_i, and its sum of M_ij / d_i. On any thread; may write only to what
     * belongs to row i. `room` [n] is scratch. */
    void (*row)(int iteration, atn_idx i, const double *weight, double beta, double sum,
                double *room, void *state);
    /* F (n, c) after iteration 0 on, before its next. */
    void (*step)(int iteration, const double *f, void *state);
    void *state;
} atn_pgnn_watch;

/* What rounding may leave of its energy, graph/pairs.h. */
double atn_pgnn_floor(const atn_pgnn_graph *g, double p);

/* f (n, c) becomes F after *done iterations (done NULL = not asked), energy
 * [iterations + 1] those from X on. watch NULL = none. */
atn_status atn_pgnn_run(atn_ctx *cx, const atn_pgnn_graph *g, const atn_pgnn_params *a,
                        const atn_pgnn_watch *watch, double *f, double *energy,
                        int *done) ATN_WARN_UNUSED;
/* Bytes that it takes beside its arguments. */
double atn_pgnn_bytes(const atn_ctx *cx, const atn_pgnn_graph *g);

/* h_K(s) at p = 2; of damped steps with x = 1 - t + t s / (1 + mu) and
 * b = t mu / (1 + mu), t the damping; K < 0: its limit mu / (1 + mu - s). */
double atn_pgnn_response(double s, double mu, double damping, int iterations);
