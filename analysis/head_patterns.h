/* analysis/head_patterns.h -- patterns of captured heads: what a method keeps of a
 * layer, or what the model's own mask lets a query see.
 *
 * Math    the keys that have weight in the plan of the method (atn_plan_pattern), head
 *         by head, or what any of the heads keeps. Where the heads are planned in
 *         blocks of one size, so is the pattern.
 * Oracle  a static pattern: itself, as far as the mask goes.
 * Source  docs/cards/method, and what they name.
 * Cost    planning the heads, and their lists.
 * Limits  the first query must not stand before the first key.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "approx/method.h"
#include "core/io/capture.h"

/* A method, and what stands for the facts of the capture that it reads. */
typedef struct atn_from {
    atn_choice method;
    atn_list grid;  /* n = 0: the capture's */
    atn_idx prompt; /* 0 = the capture's */
} atn_from;

/* One spec of a method, "topk:k=32,block=64", "minference", "window:window=64", with
 * the facts of the capture; its values are in the arena. USAGE names the nearest id, or
 * what the parameters are. */
atn_status atn_from_read(atn_ctx *cx, const char *spec, atn_from *out) ATN_WARN_UNUSED;

/* What the method keeps of the heads that `keep` (NULL = all) names: one pattern that
 * is the union of all where joined, else one with as many heads; over the keys of
 * `whole`, a head as it is stored, padding and all. */
atn_status atn_heads_pattern(atn_ctx *cx, const atn_choice *c, const atn_input *in,
                             const bool *keep, bool joined, const atn_head *whole,
                             atn_pattern **out) ATN_WARN_UNUSED;
/* The same of layer `at` of a capture. DATA names a head that holds NaN, and what the
 * layer lacks for the method. */
atn_status atn_from_pattern(atn_ctx *cx, const atn_capture *capture, int at,
                            const atn_from *from, const bool *keep, bool joined,
                            atn_pattern **out) ATN_WARN_UNUSED;
/* What the mask of a head shows. */
atn_status atn_sight_pattern(atn_ctx *cx, const atn_head *h,
                             atn_pattern **out) ATN_WARN_UNUSED;
