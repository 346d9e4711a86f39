/* simulators/simulate_internal.h -- parts of atn_simulate that know one another. */
// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "simulators/launch.h"
#include "simulators/simulate.h"

/* What is simulated, once defaults are filled in and it was seen to make sense. */
typedef struct sim_case {
    const atn_pattern *const *p; /* [n] */
    atn_idx n;
    const atn_sim_opts *o;
    atn_launch shape;
    unsigned kind;       /* ATN_TAKES_* of the pattern */
    bool causal;         /* the dense reference is the triangle; shape.causal: the
                            pattern is within it */
    atn_idx heads;       /* heads that the patterns have, 1 = all alike */
    atn_idx left, right; /* of a window, -1 = all */
    bool window;
    atn_tiling tiling;
    atn_kernel_tile tile, dense_tile;
    atn_idx bm, bn; /* tokens of a tile */
    atn_mask_policy policy;
    atn_idx pack;                     /* query heads that share a Q tile */
    const atn_kernel *kernel, *dense; /* as they run: packing heads, or not */
    bool permuted;
    bool usual; /* in: the kernel's usual tile, whatever the blocks */
    bool
        other; /* out: the tile is a small one in the blocks; the usual may be better */
} sim_case;

/* Fills everything of c after o; notes go to out->note. */
atn_status atn_sim_setup(atn_ctx *cx, sim_case *c, atn_sim *out) ATN_WARN_UNUSED;
/* USAGE where a tile that was asked for is out of all proportion; and a note where it
 * is one that no kernel could have. */
atn_status atn_sim_tile_check(atn_ctx *cx, const sim_case *c) ATN_WARN_UNUSED;
void atn_sim_say_tile(const sim_case *c, atn_sim *out);
/* DATA where it does not fit in the memory of the device. */
atn_status atn_sim_fits(atn_ctx *cx, const sim_case *c) ATN_WARN_UNUSED;

/* Head h of the patterns. */
static inline const atn_pattern *atn_sim_head(const sim_case *c, atn_idx h,
                                              atn_idx *head)
{
    *head = c->n > 1 || c->p[0]->heads == 1 ? 0 : h % c->p[0]->heads;
    return c->p[c->n > 1 ? h % c->n : 0];
}
void atn_sim_note(atn_sim *s, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));

/* CTA lists of the heads, or of the groups of heads that share tiles. In memory of the
 * arena. */
typedef struct sim_lists {
    atn_cta_list *list;
    atn_idx n;
} sim_lists;
/* Counts of all heads into out, and the lists of a launch that is no decode. */
atn_status atn_sim_count(atn_ctx *cx, const sim_case *c, atn_sim *out,
                         sim_lists *lists) ATN_WARN_UNUSED;
/* Of a decode step: keys that the last query sees, and tiles that have them. */
atn_status atn_sim_count_last(atn_ctx *cx, const sim_case *c, atn_sim *out,
                              atn_decode_case *d) ATN_WARN_UNUSED;
/* out->work, model, times, interval, break-even, limit, steps. */
atn_status atn_sim_times(atn_ctx *cx, const sim_case *c, const sim_lists *lists,
                         const atn_decode_case *d, atn_sim *out) ATN_WARN_UNUSED;
double atn_sim_bytes(const atn_launch *s);
/* Bytes of queries, keys, values and outputs once. */
double atn_sim_tensor_bytes(const atn_launch *s);

/* Passes beside the kernel, us. */
typedef struct sim_passes {
    double all, low, high;
} sim_passes;
sim_passes atn_sim_passes_of(const sim_case *c);

/* What the end needs to say where time goes. */
typedef struct sim_story {
    atn_launch_time time;
    sim_passes passes;
    double full_us; /* a full mask in this kernel */
} sim_story;
void atn_sim_find_whole(const sim_case *c, atn_sim *out);
void atn_sim_find_steps(const sim_case *c, const sim_story *s, atn_sim *out);
atn_limit atn_sim_limit(const sim_case *c, const sim_story *s, const atn_sim *out);
