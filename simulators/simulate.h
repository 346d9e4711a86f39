/* simulators/simulate.h -- what a pattern gains on a GPU: bounds, time, and where the
 * gain goes.
 *
 * Math    levels of cards/simulators.md 6.1: FLOP bound (bound_flop), tile bounds
 *         (bound_sum, bound_max), time of the launch from its tiles (work.h) and a
 *         model (model.h), passes beside it (index, permutation, combine), and the
 *         share that attention has of the whole (Amdahl). The waterfall is the
 *         speed-up as each of these is taken into account.
 * Source  cards/simulators.md, sections 1, 2, 6.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "core/table.h"
#include "simulators/model.h"
#include "simulators/tiles.h"

/* Passes that are not attention: index building, sorting, sampling, scoring. */
typedef struct atn_extra_work {
    double flops, bytes; /* of all heads and the whole batch */
    double launches;
} atn_extra_work;

/* What attention is a part of; all 0 = nothing is known, no end-to-end column. */
typedef struct atn_whole {
    double share;        /* of the dense time that attention takes, 0 to 1; or */
    double linear_flops; /* of everything else, this pass of the batch, which takes as
                            long as that, or as its bytes */
    double linear_bytes; /* of its weights, and of their gradients */
    double dense_layers; /* share of layers, steps or heads that stay dense, 0 to 1 */
    int layers;          /* attention layers; 0 = 1 */
} atn_whole;

typedef struct atn_sim_opts {
    const atn_device *device;
    const atn_kernel *kernel; /* of the pattern; its tiles are those of the device */
    const atn_kernel *dense;  /* that it is compared with; NULL = the same */
    atn_launch shape;         /* q_len, kv_len 0 = the pattern's */
    atn_tiling tiling;        /* q.n = 0: the kernel's usual tile */
    int policy;               /* atn_mask_policy, -1 = the kernel's */
    bool permute;             /* the tokens of a grid are permuted at every call, where
                                 the kernel has them in tiles */
    bool copies;              /* they are, whatever the kernel says, in every layout but
                                 that of the tokens' own order */
    bool full;                /* dense is the full square even for a causal pattern */
    bool causal;              /* dense is the triangle, also of a grid; USAGE where a
                                 query sees a key ahead of it. Neither: the triangle
                                 where the pattern is no grid and sees none ahead */
    bool bare;                /* leave out what a harness times beside */
    bool slots;               /* keep the schedule */
    atn_extra_work extra;
    atn_whole whole;
} atn_sim_opts;
void atn_sim_defaults(atn_sim_opts *o); /* batch 1, 32 heads, 128, 2 bytes, forward */

/* A step of the waterfall: the time, and the speed-up over the dense launch, once this
 * is taken into account, too. "kernel" is there where the dense one is another kernel,
 * "whole" where something is known of the rest; its time is that of everything. */
enum { ATN_SIM_STEPS = 8, ATN_SIM_NOTE = 512 };
typedef struct atn_sim_step {
    const char *id, *text; /* "dense", "flop", "tiles", "mask", "kernel", "waves",
                              "passes", "whole" */
    double time_ms, speedup;
} atn_sim_step;

typedef enum atn_limit {
    ATN_LIMIT_MMA,
    ATN_LIMIT_EXP,
    ATN_LIMIT_SMEM,
    ATN_LIMIT_L2,
    ATN_LIMIT_HBM,
    ATN_LIMIT_TAIL,   /* one CTA, or a wave that is not full */
    ATN_LIMIT_LAUNCH, /* time or that of dense below 0.1 ms: no ratio is said then */
    ATN_LIMIT_CTA,    /* what does not shrink with the mask is more than half of the
                         kernel: its CTAs begin and end, one launch does not matter */
    ATN_LIMIT_PASSES, /* index, permutation, combine */
    ATN_LIMITS
} atn_limit;
extern const char *const atn_limit_names[ATN_LIMITS];

typedef struct atn_sim {
    atn_tiles tiles;  /* of head 0, or of the first heads that share tiles; sums over
                         heads below */
    atn_launch shape; /* with all that was left open */
    atn_tiling tiling;
    atn_tile_bounds bounds;
    /* Query heads that share the rows of a Q tile, 1 = none; 0 = decoding, whose
       tiles are counted for every head. */
    atn_idx packed;
    /* Mean over heads, of shared tiles their part; max of all CTAs. */
    double pairs, visited, full, partial, padding, max, ctas;
    /* The same visits where cells beyond an end count as masked; NaN of a decode step,
       whose tiles have but one query. */
    double flex_full, flex_partial;
    double waste;                   /* cells of visited tiles over pairs, all heads */
    double flops, bytes, intensity; /* of the launch; flop a byte */
    atn_work work;
    atn_time_model model, dense_model;
    double kernel_ms, passes_ms, time_ms, low_ms, high_ms;
    double dense_ms, dense_low_ms, dense_high_ms;
    bool causal;                               /* the dense reference is the triangle */
    double speedup, speedup_low, speedup_high; /* dense_ms / time_ms; NaN where the
                                                  launch is the limit */
    double whole_ms, whole_speedup;            /* NaN = nothing is known of the rest;
                                                  no speed-up of less than 0.1 ms */
    double break_even; /* density of pairs, of a pattern with as much waste and as many
                          masked tiles: slower exactly where its own is above; NaN =
                          none, for what does not shrink takes as long as dense */
    double break_even_tiles;  /* share of the dense tiles, of tiles at large */
    double fixed_ms, tile_ms; /* a and b of card 6.1, of tiles: T(rho) = a + rho b */
    atn_limit limit;
    atn_sim_step step[ATN_SIM_STEPS];
    int steps;
    char note[ATN_SIM_NOTE]; /* what must be known to read the numbers; "" = nothing */
} atn_sim;

/* p: [n] patterns of the query heads; n = 1: its own heads (p->heads), or all alike.
 * USAGE, MEMORY, and DATA where the launch does not fit in the memory of the device,
 * naming what it needs, before anything is simulated. Patterns of heads that share a
 * tile are kept meanwhile (atn_pattern_keep): no other thread may keep or destroy
 * them. */
atn_status atn_simulate(atn_ctx *cx, const atn_pattern *const *p, atn_idx n,
                        const atn_sim_opts *o, atn_sim *out) ATN_WARN_UNUSED;
void atn_sim_release(atn_ctx *cx, atn_sim *s);

/* The table "simulate": a row a case. */
typedef struct atn_sim_case {
    const char *pattern;
    const atn_sim_opts *opts;
    const atn_sim *sim;
} atn_sim_case;
atn_status atn_sim_table(atn_ctx *cx, const atn_sim_case *c, int n,
                         atn_table **out) ATN_WARN_UNUSED;
/* The table "waterfall": a row a step. */
atn_status atn_sim_waterfall(atn_ctx *cx, const atn_sim_case *c, int n,
                             atn_table **out) ATN_WARN_UNUSED;
