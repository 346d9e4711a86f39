/* graph/field.h -- how far a token can see through a stack of layers.
 *
 * Math    nodes are tokens, or blocks of them; layer l has an edge i -> j where i may
 *         see j, and i -> i, the residual. R_0(i) = {i}, R_k(i) = union of R_k-1(j)
 *         over the j that i sees in layer k: what the state of i after k layers can
 *         depend on. The heads of a layer are joined.
 * Oracle  card A5: windows min(N, k (w - 1) + 1), powers of two sum_t<=k C(m, t), the
 *         tables of 128, 256 and 512 blocks.
 * Source  Chen et al., PowerAttention, arXiv 2503.03588.
 * Cost    what the layers state decides. shift (all look back by the same offsets): N /
 *         64 words for each run of offsets and layer; axes (one grid): the lengths of
 *         its axes; intervals (windows with ends that never go back): N; bits
 *         (anything): N^2 / 8 bytes, N^2 / 64 words for each interval of a row;
 *         frontier (anything, one row): the rows that it reaches. Every token's numbers
 *         are N more.
 * Limits  reachable is not reached: how much weight arrives is another question
 *         (graph/rollout.h, graph/horizon.h).
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "core/pattern.h"

typedef struct atn_field_opts {
    int depth;     /* layers; layer k has pattern (k - 1) mod n of the list */
    bool every;    /* also the fields of all tokens, where memory allows */
    bool walks;    /* also the number of walks */
    bool diameter; /* go on beyond depth until the last token is complete and, with
                      `every`, every token, or growth stops */
} atn_field_opts;

/* After k layers; nodes are blocks of `block` tokens. The last token's: */
typedef struct atn_field_at {
    int depth;
    atn_idx reached;        /* nodes of R_k */
    atn_idx reached_tokens; /* tokens of R_k, exact: of its own block it may have seen
                               only itself */
    bool complete;          /* all tokens are reached: as the last one it may see all */
    atn_idx contiguous;     /* nodes on end from its own back that are reached */
    atn_idx first_missing;  /* least distance, in nodes, that is not; -1 = none */
    double accuracy;        /* reached / nodes: PowerAttention's passkey bound */
    double walks_log10;     /* walks of k steps from its node, self loops among them,
                               each edge once; NaN = not asked */
    double walks_first_log10; /* those that end at node 0; NaN = none or not asked */
    /* of every node; NaN or -1 where it was not computed. Node a can see a + 1 nodes
     * where all layers are causal, else all: */
    double pairs_share;   /* share of all visible (a, c) that are reached */
    double rows_complete; /* share of nodes whose tokens all reach all they can see */
    double least_share;   /* least reached / visible of a node */
    atn_idx least_row;    /* its node, the lowest of equal ones */
} atn_field_at;

typedef struct atn_field {
    atn_idx tokens, block, nodes;
    int depth;
    atn_field_at *at;   /* [depth + 1], owned */
    bool every;         /* the fields of all nodes were computed */
    int diameter;       /* least depth at which every token reaches all it can see; -1 =
                           never, -2 = not known, as without `every` */
    int complete;       /* least depth at which the last token is complete; the same */
    const char *method; /* how: "shift", "axes", "intervals", "bits", "frontier" */
} atn_field;

/* layers [n]: the patterns of layers 1..n, repeated beyond; square, of equal length,
 * else USAGE. Borrowed. Nodes are blocks of the greatest common divisor of their block
 * sizes, those of patterns that state that they see everything left out. Where the
 * fields of all nodes were asked for and their bits need more than --mem-limit, or
 * without one 2 GiB, it warns and computes those of the last token alone. A field that
 * stays the same for n layers has stopped growing; `diameter` goes on for some seconds,
 * 65536 layers at most: a million nodes of one window or stride for tens of thousands,
 * without structure for a hundred. What is not known then stays -2. Walks are NaN, with
 * a warning, where the rows have too many intervals, or the nodes need too much
 * memory (graph/field_walks.c). */
atn_status atn_field_run(atn_ctx *cx, const atn_pattern *const *layers, int n,
                         const atn_field_opts *o, atn_field *out) ATN_WARN_UNUSED;
void atn_field_release(atn_ctx *cx, atn_field *f);

/* The first depth at which key j is reached from query i, 0 = itself; of every pair of
 * nodes pooled to out, rows and columns nearly equal parts of the nodes, at least one
 * each: the least of a cell. What is not reached within `depth` is depth + 1, what can
 * never be seen (j > i where all layers are causal) NaN. MEMORY when the pattern has no
 * structure and too many nodes. */
atn_status atn_field_map(atn_ctx *cx, const atn_pattern *const *layers, int n,
                         int depth, atn_mat out) ATN_WARN_UNUSED;
/* The nodes that out of atn_field_map, atn_field_of and atn_field_run are about. */
atn_status atn_field_nodes(atn_ctx *cx, const atn_pattern *const *layers, int n,
                           atn_idx *block, atn_idx *nodes) ATN_WARN_UNUSED;
/* reached [nodes] <- 1 where node j is in R_depth of node `row`, else 0. */
atn_status atn_field_of(atn_ctx *cx, const atn_pattern *const *layers, int n, int depth,
                        atn_idx row, uint8_t *reached) ATN_WARN_UNUSED;
