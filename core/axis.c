/* core/axis.c -- the arithmetic of one axis of neighbourhood attention. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "core/axis.h"

#include "core/pattern.h"

static atn_status check_axis(atn_ctx *cx, int i, const atn_axis *a)
{
    atn_status st = ATN_OK;
    atn_idx span = 0;

    if (a->length < 1 || a->length > ATN_PATTERN_KEYS_MOST)
        ATN_FAIL(ATN_USAGE, "axis %d: length %lld is not in 1..%lld", i,
                 (long long)a->length, (long long)ATN_PATTERN_KEYS_MOST);
    if (a->window < 1 || a->stride < 1 || a->dilation < 1)
        ATN_FAIL(ATN_USAGE,
                 "axis %d: window %lld, stride %lld, dilation %lld: each must be at "
                 "least 1",
                 i, (long long)a->window, (long long)a->stride, (long long)a->dilation);
    if (a->stride > a->window)
        ATN_FAIL(ATN_USAGE,
                 "axis %d: stride %lld is above the window %lld, so keys would be seen "
                 "by no query (give a stride of at most the window)",
                 i, (long long)a->stride, (long long)a->window);
    if (!atn_mul(a->window, a->dilation, &span) || span > a->length)
        ATN_FAIL(ATN_USAGE,
                 "axis %d: window %lld times dilation %lld is above the length %lld "
                 "(make one of them smaller)",
                 i, (long long)a->window, (long long)a->dilation, (long long)a->length);
done:
    return st;
}

atn_status atn_axes_check(atn_ctx *cx, const atn_axes *a)
{
    atn_status st = ATN_OK;
    atn_idx tokens = 1;

    if (a->rank < 1 || a->rank > ATN_AXES_MOST)
        ATN_FAIL(ATN_USAGE, "a grid has 1 to %d axes, not %d", ATN_AXES_MOST, a->rank);
    for (int i = 0; i < a->rank; i++) {
        ATN_TRY(check_axis(cx, i, &a->at[i]));
        if (!atn_mul(tokens, a->at[i].length, &tokens) ||
            tokens > ATN_PATTERN_KEYS_MOST)
            ATN_FAIL(ATN_USAGE, "the grid has more than %lld tokens",
                     (long long)ATN_PATTERN_KEYS_MOST);
    }
done:
    return st;
}

atn_idx atn_axes_tokens(const atn_axes *a)
{
    atn_idx n = 1;

    for (int i = 0; i < a->rank; i++) n *= a->at[i].length;
    return n;
}

atn_idx atn_axis_group(const atn_axis *a, atn_idx g)
{
    return g < a->length ? (a->length - g + a->dilation - 1) / a->dilation : 0;
}

void atn_axis_window(const atn_axis *a, atn_idx n, atn_idx i, atn_idx *lo, atn_idx *hi)
{
    const atn_idx first = i / a->stride * a->stride; /* of the query's stride group */

    if (a->causal) {
        const atn_idx leader = ATN_MIN(first + a->stride - 1, n - 1);

        *lo = ATN_MAX(leader - a->window + 1, 0);
        *hi = ATN_MIN(i + 1, n);
    } else {
        const atn_idx leader = ATN_MIN(first + a->stride / 2, n - 1);
        const atn_idx start = ATN_MAX(leader - a->window / 2, 0);

        *lo = ATN_MIN(start, n - a->window);
        *hi = *lo + a->window;
    }
}

/* Pairs of a causal group of n: by stride groups, whose members share their start. */
static int64_t causal_pairs(const atn_axis *a, atn_idx n)
{
    int64_t pairs = 0;

    for (atn_idx i = 0; i < n; i += a->stride) {
        const atn_idx end = ATN_MIN(i + a->stride, n);
        atn_idx lo, hi;

        atn_axis_window(a, n, i, &lo, &hi);
        /* sum of i + 1 - lo over [i, end) */
        pairs += (end - i) * (i + 1 + end - 2 * lo) / 2;
    }
    return pairs;
}

int64_t atn_axis_pairs(const atn_axis *a)
{
    const atn_idx short_groups = a->dilation - a->length % a->dilation;
    const atn_idx n = a->length / a->dilation;

    if (!a->causal) return a->length * a->window;
    return short_groups * causal_pairs(a, n) +
           (a->dilation - short_groups) * causal_pairs(a, n + 1);
}

int64_t atn_axes_pairs(const atn_axes *a)
{
    int64_t pairs = 1;

    for (int i = 0; i < a->rank; i++) pairs *= atn_axis_pairs(&a->at[i]);
    return pairs;
}
