/* analysis/similarity.h -- do layers and heads attend alike, and which layers could
 * share?
 *
 * EchoAtt's question: layers whose attention matrices are alike can share one. The four
 * similarities say how alike, copy_err says what sharing would break, and the plan
 * groups layers into blocks whose followers use their leader's matrix.
 *
 * Math    C_ab = <P_a, P_b>_F / (|P_a| |P_b|) and R_ab = mean_i cos(P_a,i, P_b,i)
 *         between heads; between layers, head h against head h:
 *         cos_elem = mean_h C, cos_row = mean_h R, cos_avg = cosine of the head means,
 *         match = max over permutations pi of mean_h C_{h, pi(h)},
 *         pearson = mean_h correlation over the keys that both rows may see,
 *         js, tv = mean_h of the mean Jensen-Shannon divergence and total variation of
 *         rows, copy_err(l -> l') = |[P_l V_l' - P_l' V_l'] W_O,l'|_F / |[P_l' V_l']
 *         W_O,l'|_F.
 * Source  Rajabzadeh et al., arXiv 2409.14595 (no code published); readings in
 *         docs/cards/measure/similarity.md.
 * Limits  layers that are compared need equal query and key counts. Never n x n.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "analysis/select.h"
#include "core/table.h"

typedef struct atn_similarity_opts {
    atn_idx skip_rows;     /* rows i < skip_rows are left out */
    atn_idx exclude_first; /* keys j < exclude_first are dropped, rows renormalised */
    bool copy_err;         /* costs more than all the rest: V and W_O of every layer */
    bool distances;  /* Jensen-Shannon and total variation: a logarithm an entry and
                              pair of heads, far slower than all the rest */
    atn_idx jaccard; /* of the so many best keys; 0 = not asked for */
    bool spearman, cka, smoothed; /* see atn_sim_extra */
    atn_idx tile_rows;            /* rows of a tile, 0 = chosen from the shape */
} atn_similarity_opts;

void atn_similarity_defaults(atn_similarity_opts *opts); /* copy_err, nothing else */

/* Comparisons beyond the usual ones, each asked for, for each walks over the rows
 * anew. */
typedef enum atn_sim_extra {
    ATN_SIM_JACCARD,  /* mean over rows of |A and B| / |A or B|, the k best keys */
    ATN_SIM_SPEARMAN, /* rank correlation of the column sums */
    ATN_SIM_CKA,      /* of the outputs P V, see analysis/cka.h; needs values */
    ATN_SIM_CKA_DEBIASED,
    ATN_SIM_JS_SMOOTHED,     /* js of .999 P + .001 / n, n the keys that the row sees */
    ATN_SIM_JS_SMOOTHED_SUM, /* the same summed over rows, as Clark et al. have it */
    ATN_SIM_EXTRAS
} atn_sim_extra;

/* What one layer costs; the quantities that the plan adds up. */
typedef struct atn_layer_cost {
    atn_idx heads, kv_heads, d, dv; /* d 0 = unknown: nothing is known to be saved */
    double n;                       /* keys */
    double n_eff; /* keys that a query sees on average: n / 2 if causal, n if not */
    double n_q;   /* queries; 0 = n */
} atn_layer_cost;

/* One set of layers that were compared: those of one stack and one step. All matrices
 * are row-major doubles, symmetric but for copy_err. Owned; see
 * atn_similarity_release. */
typedef struct atn_similarity_part {
    char *stack;         /* "" for a single stack */
    const char *pattern; /* of its layers (analysis/keys.h), "mixed"; NULL = unknown */
    int step;
    int layers;             /* L */
    int *layer;             /* [L] index in the model */
    atn_layer_cost *cost;   /* [L] */
    atn_idx width;          /* D as the model or W_O says, 0 = unknown */
    atn_idx heads;          /* M, all compared heads */
    int *head_layer, *head; /* [M] layer in the model, head */
    double *head_elem, *head_row, *head_pearson; /* [M x M]: C, R, Pearson */
    bool aligned; /* every layer has the same heads; else the next five are NULL */
    double *cos_elem, *cos_row, *cos_avg, *match, *pearson; /* [L x L] */
    double *head_js,
        *head_tv;    /* [M x M] mean over rows, nats; NULL when not asked for */
    double *js, *tv; /* [L x L] mean_h, head against the same head; as above */
    double *head_extra[ATN_SIM_EXTRAS], *extra[ATN_SIM_EXTRAS]; /* in the same way */
    double *copy_err; /* [L x L], row = leader, column = follower; NULL: see copy_why */
    const char
        *copy_why;  /* why there is no copy_err; NULL if there is or none was asked */
    bool copy_bare; /* no layer has W_O: copy_err is of the heads' outputs before it */
    atn_idx empty_rows; /* rows without weight, summed over heads */
} atn_similarity_part;

typedef struct atn_similarity {
    atn_similarity_part *part;
    int parts;
    bool many_stacks, many_steps; /* tables show the column */
    atn_model_info model;         /* sizes only are used; its strings are borrowed */
    atn_similarity_opts opts;
} atn_similarity;

/* MEMORY when the comparison, its inputs included, would go over --mem-limit. */
atn_status atn_similarity_check(atn_ctx *cx, const atn_capture *c,
                                const atn_selection *sel,
                                const atn_similarity_opts *opts) ATN_WARN_UNUSED;
/* Compares the selected layers and heads of a capture; out is zeroed first. DATA when
 * the layers of a stack differ in query or key count; MEMORY before the work,
 * over --mem-limit. */
atn_status atn_similarity_run(atn_ctx *cx, const atn_capture *c,
                              const atn_selection *sel, const atn_similarity_opts *opts,
                              atn_similarity *out) ATN_WARN_UNUSED;
/* The same on layers in memory. keep[i * max_heads + h] says which heads count
 * (NULL = all), max_heads being the largest head count; w_o[i] is [heads dv, width]
 * (NULL, or NULL entries, where absent). part is zeroed first, its stack is "". */
atn_status atn_similarity_compare(atn_ctx *cx, const atn_problem *layers, int n,
                                  const bool *keep, const float *const *w_o,
                                  atn_idx width, const atn_similarity_opts *opts,
                                  atn_similarity_part *part) ATN_WARN_UNUSED;
void atn_similarity_part_release(atn_ctx *cx, atn_similarity_part *part);
void atn_similarity_release(atn_ctx *cx, atn_similarity *s);

/* Bytes that the comparison takes beside its inputs; only the shapes of layers are
 * read. */
atn_status atn_similarity_bytes(atn_ctx *cx, const atn_problem *layers, int n,
                                const bool *keep, atn_idx width,
                                const atn_similarity_opts *opts,
                                double *bytes) ATN_WARN_UNUSED;

/* ---- the sharing plan ---- */

typedef enum atn_similarity_metric {
    ATN_SIM_COS_ELEM,
    ATN_SIM_COS_ROW,
    ATN_SIM_COS_AVG,
    ATN_SIM_MATCH,
} atn_similarity_metric;
typedef enum atn_share_gain {
    ATN_SHARE_PARAMS, /* most saved parameters */
    ATN_SHARE_FLOPS,  /* most saved FLOPs */
    ATN_SHARE_ERROR,  /* least summed copy_err at `budget` following layers */
} atn_share_gain;

#define ATN_SIMILARITY_METRICS "cos_elem|cos_row|cos_avg|match"
#define ATN_SHARE_GAINS        "params|flops|error"

typedef struct atn_share_opts {
    double threshold;              /* least similarity to the leader */
    int64_t first_keep, last_keep; /* layers at either end that stay alone */
    int64_t kmax;                  /* layers a block, 0 = all */
    int metric;                    /* atn_similarity_metric */
    int gain;                      /* atn_share_gain */
    int64_t budget;                /* followers wanted under ATN_SHARE_ERROR, 0 = all */
    double bytes;                  /* of one number in weights and caches */
} atn_share_opts;

/* 0.9, 1, 1, 0, cos_elem, params, 0, 2 */
void atn_share_defaults(atn_share_opts *opts);

/* The dynamic programme. s [n x n] similarities, cost [n] the gain of a layer that
 * follows, err [n x n] or NULL (gain ERROR maximises -sum err(leader -> follower)
 * instead). Writes leader[n]. Equal gain: the larger summed similarity; equal again:
 * the smaller leader of the last block, and so on backwards. USAGE for negative or NaN
 * parameters. */
atn_status atn_share_solve(atn_ctx *cx, int n, const double *s, const double *cost,
                           const double *err, const atn_share_opts *opts,
                           int *leader) ATN_WARN_UNUSED;

/* Sizes of a model; 0 = unknown. */
typedef struct atn_share_sizes {
    double width, ffn, vocab;
    bool gated, tied;
} atn_share_sizes;

/* What a plan saves and the most it can gain; NaN where the sizes are unknown. */
typedef struct atn_share_total {
    int layers, followers;
    double params,
        params_share;          /* weights saved; their share of the model's matrices */
    double flops, flops_share; /* a token */
    double cache_bytes;        /* keys that need no cache, all n of them */
    double flop_bound;         /* speed-up, by FLOPs */
    double attn_byte_bound;    /* of the attention alone, unfused, by score traffic */
    double decode_byte_bound;  /* of one decoding step, by weights and cache reads */
    double similarity_min, copy_err_sum; /* NaN: none */
} atn_share_total;

/* A follower saves 2 (D H d + D H_kv d) + 2 n_eff H d FLOPs a token. */
void atn_share_bounds(const atn_layer_cost *cost, int n, const int *leader,
                      const atn_share_sizes *sizes, double bytes, atn_share_total *out);

/* ---- tables ---- */

/* layer_a, layer_b, cos_elem, cos_row, cos_avg, match, pearson[, copy_err][, js_nats,
 * tv][, ... the extras asked for]: every ordered pair; copy_err is of layer_b using
 * layer_a's matrix. Carries the cos_elem matrix. */
atn_status atn_similarity_layers_table(atn_ctx *cx, const atn_similarity *s,
                                       atn_table **out) ATN_WARN_UNUSED;
/* layer_a, head_a, layer_b, head_b, cos_elem, cos_row, pearson[, js_nats, tv][, ...]:
 * every unordered pair and the diagonal. Carries the cos_elem matrix. */
atn_status atn_similarity_heads_table(atn_ctx *cx, const atn_similarity *s,
                                      atn_table **out) ATN_WARN_UNUSED;
/* plan: layer, leader, role, similarity, saved_params, saved_flops, saved_cache_bytes,
 * copy_err. totals (may be NULL): one row a part, the fields of atn_share_total. */
atn_status atn_similarity_plan_table(atn_ctx *cx, const atn_similarity *s,
                                     const atn_share_opts *opts, atn_table **plan,
                                     atn_table **totals) ATN_WARN_UNUSED;
