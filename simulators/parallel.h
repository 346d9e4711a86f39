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
    ATN_CP_STRIPE
} atn_cp_order;

/* a [ranks, ranks] <- allowed pairs of head `head`. */
atn_status atn_cp_pairs(atn_ctx *cx, const atn_pattern *p, atn_idx head,
                        atn_cp_order order, atn_idx ranks, int64_t *a) ATN_WARN_UNUSED;
double atn_cp_ring_balance(const int64_t *a, atn_idx ranks);
double atn_cp_gather_balance(const int64_t *a, atn_idx ranks);
