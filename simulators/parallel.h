/* simulators/parallel.h -- context parallelism: one sequence on several GPUs.
 *
 * Math    rank of token i: floor(i P / L) (contiguous), c = floor(2 i P / L) and
 *         min(c, 2P - 1 - c) (zigzag), i mod P (stripe). a(q, k) = allowed pairs of the
 *         queries of rank q with the keys of rank k. Ring efficiency sum a / P / sum
 *         over steps t of max_q a(q, (q - t) mod P); all-gather efficiency sum a / P /
 *         max_q sum_k a(q, k). Volumes: cards/simulators.md 2.3.
 * Oracle  causal, contiguous: P / (2P - 1); zigzag 1; stripe (L + 1) / (L + P).
 * Source  cards/simulators.md 2.3; ring-flash-attention; LongCA-bench.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "simulators/simulate.h"

typedef enum atn_cp_order {
    ATN_CP_CONTIGUOUS,
    ATN_CP_ZIGZAG,
    ATN_CP_STRIPE,
    ATN_CP_ORDERS
} atn_cp_order;
extern const char *const atn_cp_order_names[ATN_CP_ORDERS];

/* ---- which pairs meet where; square patterns, 1 <= ranks <= tokens: else USAGE
 * ---- */

/* a [ranks, ranks] <- allowed pairs of head `head`. */
atn_status atn_cp_pairs(atn_ctx *cx, const atn_pattern *p, atn_idx head,
                        atn_cp_order order, atn_idx ranks, int64_t *a) ATN_WARN_UNUSED;
/* NaN without a pair. */
double atn_cp_ring_balance(const int64_t *a, atn_idx ranks);
double atn_cp_gather_balance(const int64_t *a, atn_idx ranks);
/* Of the keys that the ranks receive from one another, the share that no query of the
 * receiver sees; NaN for one rank. */
atn_status atn_cp_redundant(atn_ctx *cx, const atn_pattern *p, atn_idx head,
                            atn_cp_order order, atn_idx ranks,
                            double *share) ATN_WARN_UNUSED;

/* Positions lo, lo + step, .. below hi of each part; parts ascend. */
typedef struct atn_cp_share {
    atn_span part[2];
    int parts;
    atn_idx step;
} atn_cp_share;
atn_cp_share atn_cp_share_of(atn_cp_order order, atn_idx tokens, atn_idx ranks,
                             atn_idx rank);
atn_idx atn_cp_share_size(const atn_cp_share *s);
/* The patterns of n heads among these queries and keys, both in the order in which
 * their rank holds them, without the first and last rows and keys that no head needs:
 * what a kernel is launched on. out [n]; all NULL where no pair is left. Full, causal
 * and windowed ones say so (shift). */
typedef struct atn_cp_head {
    const atn_pattern *pattern;
    atn_idx head;
} atn_cp_head;
atn_status atn_cp_chunk(atn_ctx *cx, const atn_cp_head *heads, atn_idx n,
                        const atn_cp_share *queries, const atn_cp_share *keys,
                        atn_pattern **out) ATN_WARN_UNUSED;

/* ---- schemes ---- */

typedef enum atn_cp_kind {
    ATN_CP_RING,
    ATN_CP_GATHER,
    ATN_CP_EXCHANGE, /* Ulysses */
    ATN_CP_USP,
    ATN_CP_DOUBLE_RING,
    ATN_CP_LASP,
    ATN_CP_LASP2
} atn_cp_kind;

typedef struct atn_cp_scheme {
    const char *name; /* "ring", "zigzag", .. as --cp takes it */
    atn_cp_kind kind;
    atn_cp_order order; /* its usual one */
    const char *text;
} atn_cp_scheme;
enum { ATN_CP_SCHEMES = 9, ATN_CP_ALL = -1, ATN_CP_GPUS_MOST = 4096 };
extern const atn_cp_scheme atn_cp_schemes[ATN_CP_SCHEMES];
/* Index of a name, ATN_CP_ALL of "all". USAGE naming the nearest and all. */
atn_status atn_cp_scheme_find(atn_ctx *cx, const char *name,
                              int *scheme) ATN_WARN_UNUSED;
/* Index of the order's name. USAGE. */
atn_status atn_cp_order_find(atn_ctx *cx, const char *name, int *order) ATN_WARN_UNUSED;

typedef struct atn_cp_sizes {
    atn_idx gpus, ulysses; /* P and, of USP, U */
    atn_idx inner;         /* GPUs of an inner ring */
    atn_idx tokens, batch, heads, kv_heads, head_dim, value_dim;
    double bytes; /* of a number */
} atn_cp_sizes;
/* Bytes that a rank sends in a layer. */
typedef struct atn_cp_volume {
    double ring, exchange, gather, states; /* by what they are sent */
    double outer; /* of `ring`, to another node: double ring alone */
    double total;
} atn_cp_volume;
atn_cp_volume atn_cp_volume_of(atn_cp_kind kind, const atn_cp_sizes *s, bool backward);
/* Tokens of a GPU from which on computing on a chunk, `share` of whose pairs are
 * allowed, at `tflops` takes as long as its keys and values do at `gbs`. */
double atn_cp_hidden_tokens(const atn_cp_sizes *s, double tflops, double gbs,
                            double share);

/* ---- time ---- */

typedef struct atn_cp_opts {
    int scheme;                   /* of atn_cp_schemes, or ATN_CP_ALL */
    int order;                    /* atn_cp_order; -1 = the scheme's */
    atn_idx gpus;                 /* P */
    atn_idx ulysses;              /* U of USP; 0 = the largest that fits in a node */
    atn_idx node;                 /* GPUs that the fast link joins */
    double link_gbs, network_gbs; /* usable, a GPU and direction; 0 = 0.8 of half of
                                     the device's NVLink, 40 */
    double latency_us;
    double merge_bytes; /* that merging moves for a number of the result, forward; 0 = 8
                           and the number's own, one fused pass; a chain of passes: 55,
                           docs/guide/context-parallelism.md */
    bool backward;      /* forward and backward pass */
} atn_cp_opts;
void atn_cp_defaults(atn_cp_opts *o); /* ring, 8 GPUs a node, 10 us, forward */

enum { ATN_CP_TEXT = 160 };
typedef struct atn_cp_result {
    int scheme;
    atn_cp_order order;
    atn_idx ulysses; /* U; 1 = none */
    double balance, redundant;
    atn_cp_volume volume;
    double compute_ms; /* of the slowest ranks, merging of partial results included */
    double exposed_ms; /* transfers that nothing hides */
    double time_ms, single_ms; /* one GPU: as if it fitted */
    double time_low_ms,
        time_high_ms; /* compute_ms by the interval of the kernel's model,
                                         what is exposed as it is; NaN: a roofline */
    double efficiency, speedup;
    double hidden_tokens; /* NaN: nothing is hidden by this scheme */
    double memory_gb;     /* of a GPU, one layer */
    bool fits, single_fits;
    const char *limited_by; /* NULL with `note` */
    char note[ATN_CP_TEXT]; /* why the scheme is not possible; "" = it is */
} atn_cp_result;

typedef struct atn_cp {
    int n;
    atn_cp_result result[ATN_CP_SCHEMES];
    char model[ATN_DEVICE_TEXT + ATN_SIM_NOTE +
               4]; /* that the kernel's times are of, and
                                                   what must be known of it */
} atn_cp;

/* p [n] as of atn_simulate. Of ATN_CP_ALL what is not possible has a note; a scheme
 * that was asked for and is not is USAGE. */
atn_status atn_cp_run(atn_ctx *cx, const atn_pattern *const *p, atn_idx n,
                      const atn_sim_opts *o, const atn_cp_opts *c,
                      atn_cp *out) ATN_WARN_UNUSED;

/* The table "context_parallel": a row a scheme, and all that it depends on. */
typedef struct atn_cp_case {
    const char *pattern;
    atn_idx tokens;
    const atn_sim_opts *sim;
    const atn_cp_opts *opts;
    const atn_cp *cp;
} atn_cp_case;
atn_status atn_cp_table(atn_ctx *cx, const atn_cp_case *c, int n,
                        atn_table **out) ATN_WARN_UNUSED;
