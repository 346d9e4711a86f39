/* analysis/clusters.h -- heads that attend alike, as a tree of groups and as a map.
 *
 * Math    distance of two heads: sqrt(JS) of their rows, or 1 - cos of their matrices.
 *         Average linkage (UPGMA): the two nearest groups A, B merge at the height
 *         d(A, B) = mean of d(a, b) over a in A, b in B, until one is left. The
 *         cophenetic distance of two heads is the height at which they meet; its
 *         correlation with d over all pairs says how well the tree tells the distances.
 *         The map: positions x in the plane of least stress sum_a<b
 *         (|x_a - x_b| - d_ab)^2.
 * Source  Sokal and Michener 1958 (UPGMA); Clark et al., arXiv 1906.04341
 *         (Jensen-Shannon distance, metric MDS with 5 starts).
 * Limits  n^2 doubles beside the distances.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "analysis/similarity.h"

/* A node below n is a leaf; node n + i is merge i, in order of height. Owned. */
typedef struct atn_cluster_tree {
    atn_idx n; /* leaves */
    /* [n - 1] nodes of a merge; left holds the smallest member */
    atn_idx *left, *right;
    atn_idx *size;  /* [n - 1] leaves below */
    double *height; /* [n - 1] never falls */
    atn_idx *order; /* [n] place of a leaf when the tree is drawn, left to right */
    atn_idx *drawn; /* [n] the leaf at each place */
} atn_cluster_tree;

/* distance is [n x n], symmetric, finite, >= 0. Ties: the pair of groups whose smaller,
 * then larger smallest member is least. tree is zeroed first. */
atn_status atn_cluster_link(atn_ctx *cx, const double *distance, atn_idx n,
                            atn_cluster_tree *tree) ATN_WARN_UNUSED;
void atn_cluster_release(atn_ctx *cx, atn_cluster_tree *tree);
/* The height of the default cut: half of that of the last merge; 0 for one leaf. */
double atn_cluster_half(const atn_cluster_tree *tree);
/* Groups that stand when all merges up to `height`, or all but the last k - 1, are
 * made. cluster[n] gets their numbers, by smallest member from 0; returns how many
 * there are. */
atn_idx atn_cluster_cut(const atn_cluster_tree *tree, double height, atn_idx *cluster);
atn_idx atn_cluster_cut_into(const atn_cluster_tree *tree, atn_idx k, atn_idx *cluster);
/* Pearson over the pairs; NaN where either side is constant. */
double atn_cluster_cophenetic(const atn_cluster_tree *tree, const double *distance);

/* The map, by SMACOF from 5 random starts (cx->seed, "clusters/mds"), the best kept:
 * centred, its long axis along x, the leaf farthest out on the positive side of either
 * axis. xy [n][2]. stress gets sqrt(sum (|x_a - x_b| - d)^2 / sum d^2), 0 for one
 * leaf. */
atn_status atn_cluster_map(atn_ctx *cx, const double *distance, atn_idx n, double *xy,
                           double *stress) ATN_WARN_UNUSED;

/* ---- of a comparison of heads ---- */

typedef enum atn_cluster_distance {
    ATN_CLUSTER_JS,    /* sqrt of the mean divergence; needs opts.distances */
    ATN_CLUSTER_COSINE /* 1 - cos_elem */
} atn_cluster_distance;
#define ATN_CLUSTER_DISTANCES "js|cosine"

typedef struct atn_cluster_opts {
    int distance; /* atn_cluster_distance */
    atn_idx k;    /* clusters wanted, 0 = cut at half of the largest height */
} atn_cluster_opts;

/* Kind "clusters": [stack, step,] node, layer, head, left, right, height, size,
 * cluster, order, mds_x, mds_y. One row a node, the leaves first: layer, head, order,
 * mds_x and mds_y are of leaves, left, right and height of merges; cluster is empty for
 * a merge of several. Meta distance, cut, clusters, cophenetic, mds_stress (of a table
 * of one part). A pair of heads that cannot be compared counts as farthest apart. USAGE
 * for more clusters than heads. totals may be NULL; kind "clusters_totals", one row a
 * part: [stack, step,] heads, clusters, cut, cophenetic, mds_stress, apart (pairs that
 * cannot be compared). */
atn_status atn_clusters_table(atn_ctx *cx, const atn_similarity *s,
                              const atn_cluster_opts *opts, atn_table **out,
                              atn_table **totals) ATN_WARN_UNUSED;
