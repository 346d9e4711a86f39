/* graph/homophily.h -- do tokens look at tokens like themselves? Of labels, and of
 * feature vectors.
 *
 * Math    edges i -> j of weight P_ij; y labels 0 .. C-1, or below 0 for none: edges
 *         with such an end are left out. M their mass, D_k, E_k that of rows and of
 *         keys of class k, c_k and n the labelled keys of class k and of all.
 *           edge        share of M between equal labels
 *           node        mean over rows of the share of the row's mass
 *           margin      e = sum_k D_k E_k / M^2
 *           adjusted    (edge - e) / (1 - e)
 *           null        edge of uniform attention over the same visible keys, of the
 *                       rows that have weight
 *           adjusted_causal  (edge - null) / (1 - null)
 *           insensitive 1 / (C-1) sum_k max(0, H_kk - c_k / n), H_kl the share of the
 *                       mass of rows of class k that goes to class l
 *         bipartite (query i and key i are two nodes): node over rows and keys alike,
 *         adjusted with e = sum_k (D_k + E_k)^2 / (2 M)^2. All of them with self edges
 *         and without (rows are not scaled up; the null's are).
 *         Features x: cosine C = mean over rows of sum_j P_ij cos(x_i, x_j) / mass_i,
 *         null the same of uniform attention, lift their difference; dirichlet
 *         sum_ij P_ij |x_i - x_j|^2, normalised over 2 sum_i |x_i|^2; gap mean
 *         |O_i - x_i| and 1 - cos(O_i, x_i), O = P x; bipartite cosine: of O_i with
 *         x_j. Centred: all cosines are of x - mean and of P (x - mean).
 * Oracle  H4, y = (0,1,0,1): edge .725, e .5, adjusted .45, null 2/3, adjusted_causal
 *         .175; without self .352941, node .323810, H = [.4 .6; 2/3 1/3], insensitive
 *         0; cosine .603033, null .531990, dirichlet 3.7, normalised .37. Edges 0-1,
 *         2-3, 0-2, y = (0,0,1,1): 2/3, .75, 1/3, insensitive 1/3.
 * Source  edge: Zhu et al. 2020; node: Pei et al. 2020; insensitive: Lim et al. 2021;
 *         adjusted: Platonov et al. (yandex-research/heterophilous-graphs);
 *         features and the causal null: ours, after Wu et al. (p-adapter, card A2).
 * Cost    one edge walk; O(n + C) memory of labels, n (4 d + 8 r) bytes of features.
 * Limits  a class-insensitive value needs two classes, an adjusted one a margin below
 *         1; else NaN.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "graph/edge_walk.h"

/* Borrowed. */
typedef struct atn_labels {
    const int32_t *query, *key; /* [nq], [nk] */
    atn_idx classes;            /* C: labels are below it, each of them occurs */
} atn_labels;

typedef struct atn_homophily {
    double edge, node, adjusted, adjusted_causal, insensitive;
    double margin, null;
    double bipartite_node, bipartite_adjusted;
} atn_homophily;

/* From the sums of a walk with labels (self, mass, counted, same, key_counted and
 * key_same of it), with self edges or without. */
atn_status atn_homophily_of(atn_ctx *cx, const atn_head *h, const atn_labels *l,
                            const atn_edge_want *want, const atn_edge_sums *s,
                            bool with_self, atn_homophily *out) ATN_WARN_UNUSED;
/* The matrix H [C, C] from `pairs` and self edges; a row without mass is 0. */
void atn_class_matrix(const atn_head *h, const atn_labels *l, const atn_edge_want *want,
                      const atn_edge_sums *s, bool with_self, double *matrix);

/* Features of the tokens of a head and what is made of them for a walk. */
typedef struct atn_features {
    atn_idx n, d;
    bool centred;  /* cosines are of x - mean */
    double *mean;  /* [d] of the tokens that are no padding */
    float *factor; /* (n, 2 d) x - mean, and the unit vectors (0 of a zero vector) */
    float *square; /* [n] |x - mean|^2 */
    double *norm;  /* [n] |x|^2 */
} atn_features;

/* x (nk, d); arena memory. `centred`: unit vectors of x - mean. */
atn_status atn_features_make(atn_ctx *cx, const atn_head *h, atn_cmat x, bool centred,
                             atn_features *f) ATN_WARN_UNUSED;
double atn_homophily_bytes(const atn_head *h, atn_idx d);

typedef struct atn_feature_homophily {
    double cosine, null;               /* with self edges */
    double cosine_nodiag, null_nodiag; /* without */
    double cosine_output;              /* bipartite */
    double dirichlet, normalised, energy;
    double gap, gap_cosine;
} atn_feature_homophily;

/* From a walk with f = factor, g = square, and the sums self, mass, dot, pf (and
 * energy). Queries and keys must be the same tokens, else only the bipartite cosine has
 * a value. */
atn_status atn_feature_homophily_of(atn_ctx *cx, const atn_head *h,
                                    const atn_features *f, const atn_edge_want *want,
                                    const atn_edge_sums *s,
                                    atn_feature_homophily *out) ATN_WARN_UNUSED;
