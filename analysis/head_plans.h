/* analysis/head_plans.h -- what a method plans for the heads of a captured layer: a
 * pattern a head, and what choosing cost.
 *
 * Source  core/plan.h; analysis/head_patterns.h, which joins heads.
 * Cost    planning the heads, and their lists.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "analysis/head_patterns.h"

typedef struct atn_head_plans {
    atn_pattern **head; /* [n] over the keys of the head, without padding; owned */
    atn_idx n;
    atn_idx tile_rows, tile_keys;    /* of the plans, 1 where they differ */
    double index_flops, index_bytes; /* of all of them */
} atn_head_plans;

/* Layer `at` of a capture; from NULL = what the masks show. keep NULL = all heads. DATA
 * as atn_from_pattern; USAGE where the plan is no choice of keys. */
atn_status atn_head_plans_make(atn_ctx *cx, const atn_capture *capture, int at,
                               const atn_from *from, const bool *keep,
                               atn_head_plans *out) ATN_WARN_UNUSED;
void atn_head_plans_release(atn_ctx *cx, atn_head_plans *p);
