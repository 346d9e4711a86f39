/* graph/frequency.h -- what a head does to slow and fast signals over its tokens.
 *
 * Math    of signals X (a row a token): DC their column means, HC = X - DC. ratio =
 *         |HC(X)| / |DC(X)| (Frobenius), gain = |HC(P X)| / |HC(X)|, worst gain =
 *         |(I - J) P|_2 with J = 11'/n, all of them over the rows that have weight;
 *         residual = sqrt(|HC|_1 |HC|_inf), the largest sums of a column and of a row.
 *         P = 1/nk + P_h (AttnScale): its |P_h|_F; with (1 + l) P_h in place of P_h the
 *         gain grows by 1 + l, so l = 1 / gain - 1 keeps the energy.
 *         The graph: S = (P + P') / 2, D its row sums, L = I - D^-1/2 S D^-1/2 (an
 *         isolated node: 1 / sqrt(0) = 0), eigenvalues in [0, 2], vectors u_k. Rayleigh
 *         quotient tr(X'L X) / tr(X'X); energy |u_k'X|^2 as shares in bins of [0, 2],
 *         the last one closed; low share: eigenvalue < 1; response of a bin: the root
 *         of its energy in P X over that in X.
 * Oracle  P = 1/n: HC(P X) = 0; P = I: gain 1. UC(8), x = 1..8: ratio .509175 ->
 *         .416598, gain .5, worst .842756; F4: .848458; H4 with its x: Rayleigh
 *         .414693, eigenvalues 0, .404287, .573079, .804029.
 * Source  Wang, Zheng et al., ICLR 2022 (VITA-Group/ViT-Anti-Oversmoothing); Dong,
 *         Cordonnier, Loukas, arXiv 2103.03404.
 * Cost    one edge walk; one more for the Rayleigh quotient; two products of the rows a
 *         step where the spectrum streams, one a step and one more for the worst gain.
 * Limits  products are float32: streamed values are good to about 1e-5. The graph needs
 *         as many queries as keys. Eigenvalues of a causal P itself are its diagonal
 *         and say nothing.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "graph/homophily.h"

typedef struct atn_frequency {
    double ratio_in, ratio_out, gain;
    double residual_in, residual_out;
    double high_norm, keep_lambda; /* |P_h|_F, l */
} atn_frequency;

/* From a walk with f = factor of the features and the sums self, mass, square, pf. */
atn_status atn_frequency_of(atn_ctx *cx, const atn_head *h, const atn_features *f,
                            const atn_edge_want *want, const atn_edge_sums *s,
                            atn_frequency *out) ATN_WARN_UNUSED;

/* |P_h|_F alone, which needs no features: from self, mass, square. */
double atn_graph_high_norm(const atn_head *h, const atn_edge_sums *s);

/* Queries and keys are the same tokens, all of them, and padding sees nothing. */
bool atn_graph_is_square(const atn_head *h, bool self);
/* degree [n] D, from a walk with self, mass and columns. */
void atn_graph_degrees(const atn_head *h, const atn_edge_sums *s, double *degree);
/* One more walk; NaN where x (n, d) is 0. */
atn_status atn_graph_rayleigh(atn_ctx *cx, const atn_head *h, atn_cmat x,
                              const double *degree, double *out) ATN_WARN_UNUSED;

typedef struct atn_worst_gain {
    double value, residual; /* of the square: some singular value's lies so near */
    int walks;
} atn_worst_gain;
/* Ends once the residual is below 1e-5 of the square, or after `steps` walks. */
atn_status atn_graph_worst_gain(atn_ctx *cx, const atn_head *h, int steps,
                                atn_worst_gain *out) ATN_WARN_UNUSED;

enum { ATN_GRAPH_DENSE_MOST = 4096, ATN_GRAPH_BINS_MOST = 4096 };

typedef struct atn_graph_opts {
    int bins;      /* >= 1; 0 = one entry an eigenvalue, which needs them all */
    atn_idx dense; /* all eigenvalues of so many tokens at most, <= DENSE_MOST */
    int steps;     /* of Lanczos beyond */
    double edge;   /* components: edges of this weight and above */
} atn_graph_opts;

typedef struct atn_graph_bin {
    double low, high; /* of eigenvalues; equal where the entry is one eigenvalue */
    double count;     /* eigenvalues in it; NaN = not known */
    double energy;    /* share of X */
    double response;  /* NaN where X has no energy there */
} atn_graph_bin;

typedef struct atn_graph_spectrum {
    atn_idx nodes; /* tokens that are no padding */
    bool exact;
    atn_idx n;
    atn_graph_bin *bin;              /* [n] owned */
    double low_share, low_share_out; /* of X, of P X */
    double second, second_residual;  /* smallest eigenvalue beside that of D^1/2 1 */
    double largest, largest_residual;
    double zeros;      /* eigenvalues below 1e-6; NaN unless exact */
    double components; /* of the graph of edges P_ij >= edge, either way */
} atn_graph_spectrum;

/* The bin of an eigenvalue among equal ones of [0, 2]; what is less than `edge` below
 * the end of a bin is on it: isolated nodes have 1, but for rounding. */
atn_idx atn_graph_bin_of(double value, atn_idx bins, double edge);
#define ATN_GRAPH_EDGE_EXACT    1e-9 /* of eigenvalues from LAPACK */
#define ATN_GRAPH_EDGE_STREAMED 1e-5 /* of Ritz values */

/* Of a square head; X (n, d), or d = 0: then energies and responses are NaN. USAGE for
 * bins = 0 with too many tokens. */
atn_status atn_graph_spectrum_run(atn_ctx *cx, const atn_head *h, atn_cmat x,
                                  const atn_graph_opts *o,
                                  atn_graph_spectrum *out) ATN_WARN_UNUSED;
void atn_graph_spectrum_release(atn_ctx *cx, atn_graph_spectrum *s);
