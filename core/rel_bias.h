/* core/rel_bias.h -- a bias by relative position whose distances share buckets (T5).
 *
 * Math    x = key - query, n = buckets (bidirectional: buckets / 2), m = n / 2, D = |x|
 *         (one-directional: max(-x, 0)). D < m has bucket D, others
 *         min(m + floor(ln(D / m) / ln(max / m) (n - m)), n - 1), plus n where x > 0
 *         in a bidirectional rule.
 * Oracle  32 buckets to 128: -200 -> 15, -16 -> 10, 1 -> 17, 128 -> 31; one-directional
 *         1 -> 0, -16 -> 16, -127 -> 31.
 * Source  Raffel et al., arXiv:1910.10683; HF v5 modeling_t5.py, in its float32.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "core/problem.h"

typedef struct atn_rel_rule {
    atn_idx buckets; /* 0 = there is no bias */
    atn_idx max_distance;
    bool bidirectional;
} atn_rel_rule;

/* NULL, or what is wrong with the rule. */
const char *atn_rel_check(const atn_rel_rule *r);
/* The bucket of key - query. */
atn_idx atn_rel_bucket(const atn_rel_rule *r, atn_idx x);
/* out [heads, nq + nk - 1], as atn_problem has it <- table [buckets, heads]: of query i
 * at i + offset. */
void atn_rel_expand(const atn_rel_rule *r, const float *table, atn_idx heads,
                    atn_idx nq, atn_idx nk, atn_idx offset, float *out);
