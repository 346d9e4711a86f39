/* analysis/best_k.c -- a heap of the best so far, see the header. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "analysis/best_k.h"

/* a is chosen after b: a smaller score, or the same at a higher index. */
static bool worse(const double *score, atn_idx a, atn_idx b)
{
    return score[a] < score[b] || (score[a] == score[b] && a > b);
}

static void sift_down(const double *score, atn_idx *heap, atn_idx n, atn_idx at)
{
    for (atn_idx child; (child = 2 * at + 1) < n; at = child) {
        const atn_idx held = heap[at];

        if (child + 1 < n && worse(score, heap[child + 1], heap[child])) child++;
        if (!worse(score, heap[child], held)) return;
        heap[at] = heap[child];
        heap[child] = held;
    }
}

atn_idx atn_best_k(const double *score, atn_idx n, atn_idx k, atn_idx *best)
{
    const atn_idx held = ATN_MIN(n, k);

    if (held < 1) return 0;
    for (atn_idx b = 0; b < held; b++) best[b] = b;
    for (atn_idx i = held / 2 - 1; i >= 0; i--) sift_down(score, best, held, i);
    for (atn_idx b = held; b < n; b++) {
        if (!(score[b] > score[best[0]])) continue; /* equal: the lower index stays */
        best[0] = b;
        sift_down(score, best, held, 0);
    }
    for (atn_idx left = held - 1; left > 0; left--) {
        const atn_idx last = best[0];

        best[0] = best[left];
        best[left] = last;
        sift_down(score, best, left, 0);
    }
    return held;
}
