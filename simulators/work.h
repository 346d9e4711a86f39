/* simulators/work.h -- one launch of an attention kernel: its CTAs in order, on SMs.
 *
 * Math    every CTA has n visits, m of them masked. CTAs go in the kernel's order to
 *         the SM that is free first (lowest index on ties), at cost cta + n + mask * m;
 *         the critical SM ends last. Its sums of (CTAs, tiles, masked) are what time is
 *         made of; from `dense_ctas` CTAs an SM on the mean over the SMs is taken.
 *         Splits, sections of heads, packed groups: cards/simulators.md 2.1, 6.3.
 * Source  cards/simulators.md 2.1, 6.3; FlashAttention.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "simulators/kernel.h"

typedef struct atn_launch {
    atn_pass pass;
    atn_idx batch, heads, kv_heads, head_dim, value_dim;
    atn_idx q_len, kv_len;
    double bytes; /* of a number: 2 */
    bool causal;  /* aligned at the lower right */
} atn_launch;

/* CTAs of one head in the order of their tiles. Borrowed. */
typedef struct atn_cta_list {
    atn_idx n;
    const int32_t *visits, *masked;
} atn_cta_list;

/* Tiles of a window by FA3's own block range, rows of `pack` heads interleaved: Q tile
 * m's visits and masked ones (card 2.1). left, right -1 = all. */
typedef struct atn_window_rule {
    atn_idx q_len, kv_len, left, right, bm, bn, pack;
} atn_window_rule;
atn_idx atn_window_ctas(const atn_window_rule *w);
void atn_window_tiles(const atn_window_rule *w, atn_idx m, int32_t *visits,
                      int32_t *masked);
/* The same, but of the visits those that hold a masked pair in range. */
void atn_window_partial(const atn_window_rule *w, atn_idx m, int32_t *visits,
                        int32_t *partial);

/* Split-KV (card 2.1). */
typedef struct atn_split_case {
    atn_split_rule rule;
    double ctas; /* of one sequence, or of all: what the rule looks at */
    atn_idx sms, blocks, kv_bytes;
    bool causal;
    atn_idx m_blocks;
} atn_split_case;
int atn_split_most(const atn_split_case *c);
/* Pieces that a kernel of variable lengths takes, up to `most`: each of as many
 * blocks of keys as an SM would have of all. */
typedef struct atn_split_all {
    double batch, q_tiles, blocks, heads; /* a head has q_tiles, a Q tile blocks */
    double sms;
} atn_split_all;
int atn_split_taken(const atn_split_all *s, int most);

typedef struct atn_work {
    double ctas, tiles, masked;       /* of all */
    double x_ctas, x_tiles, x_masked; /* of the critical SM, or the mean */
    double waves, occupancy;          /* CTAs / (slots * waves) */
    int splits;                       /* upper bound s; 1 = none */
    int splits_taken;                 /* s_dyn */
    bool mean;                        /* x_* are means */
    /* Of the schedule, where it was asked for: [items] in launch order. */
    struct atn_slot *slot;
    atn_idx slots;
} atn_work;
typedef struct atn_slot {
    int32_t sm;
    int32_t head, tile; /* batch * heads + head; stationary tile */
    int32_t visits, masked;
    double begin, end; /* in units of the cost, then in ms once a model is known */
} atn_slot;

typedef struct atn_schedule_rule {
    double cta, mask;   /* cost of a CTA, of a masked tile, in visits */
    double mean_from;   /* CTAs an SM from which the mean is taken; inf = never */
    bool longest_first; /* whatever the kernel's order */
    bool slots;         /* keep the schedule */
} atn_schedule_rule;
extern const atn_schedule_rule atn_schedule_full; /* 3.0, 0.1, 20 */
extern const atn_schedule_rule atn_schedule_four; /* 2.5, 0, 20, longest first */

typedef struct atn_work_case {
    const atn_kernel *kernel;
    const atn_device *device;
    const atn_launch *launch;
    /* [n_lists] of the heads, of KV heads where the kernel packs groups; n_lists = 1:
     * all alike. */
    const atn_cta_list *lists;
    atn_idx n_lists;
    atn_idx bm, bn;      /* tokens of a tile */
    atn_idx left, right; /* of a window, for the split rule; -1 = none */
} atn_work_case;
atn_status atn_work_make(atn_ctx *cx, const atn_work_case *c,
                         const atn_schedule_rule *rule, atn_work *out) ATN_WARN_UNUSED;
/* times: for each entry of a list so many CTAs alike in a row, >= 1. They are written
 * out one by one only where a schedule is made. */
atn_status atn_work_make_runs(atn_ctx *cx, const atn_work_case *c,
                              const int64_t *const *times,
                              const atn_schedule_rule *rule,
                              atn_work *out) ATN_WARN_UNUSED;
void atn_work_release(atn_ctx *cx, atn_work *w);
