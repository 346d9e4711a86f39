/* analysis/head_subsets.c -- which heads a token can do without, see the header. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "analysis/head_subsets.h"

#include <math.h>
#include <string.h>

static const double TIE = 1e-12;

static double trace(const double *gram, atn_idx n)
{
    double sum = 0;

    for (atn_idx h = 0; h < n; h++) sum += gram[h * n + h];
    return sum;
}

/* Drops h: r holds the inner products of all heads with what is dropped. */
static double drop(const double *gram, atn_idx n, atn_idx h, double so_far, double *r)
{
    const double error = so_far + gram[h * n + h] + 2 * r[h];

    for (atn_idx i = 0; i < n; i++) r[i] += gram[i * n + h];
    return error;
}

void atn_head_order_errors(const double *gram, atn_idx n, const int *order,
                           double *error, double *r)
{
    double so_far = 0;

    memset(r, 0, (size_t)n * sizeof *r);
    error[n] = 0;
    for (atn_idx k = n - 1; k >= 0; k--) {
        so_far = drop(gram, n, order[k], so_far, r);
        error[k] = ATN_MAX(so_far, 0.0);
    }
}

atn_status atn_head_subsets_greedy(atn_ctx *cx, const double *gram, atn_idx n,
                                   double *error, bool *dropped)
{
    const atn_arena_mark mark = atn_arena_save(cx);
    const double tie = TIE * trace(gram, n);
    atn_status st = ATN_OK;
    double *r = NULL, so_far = 0;

    ATN_TAKE(r, n);
    memset(r, 0, (size_t)n * sizeof *r);
    memset(dropped, 0, (size_t)(n * (n + 1)) * sizeof *dropped);
    error[n] = 0;
    for (atn_idx k = n - 1; k >= 0; k--) {
        const bool *before = dropped + (k + 1) * n;
        bool *now = dropped + k * n;
        double best = INFINITY;
        atn_idx which = 0;

        for (atn_idx h = 0; h < n; h++) {
            const double with = so_far + gram[h * n + h] + 2 * r[h];
            if (before[h] || !(with < best - tie)) continue;
            best = with;
            which = h;
        }
        memcpy(now, before, (size_t)n * sizeof *now);
        now[which] = true;
        so_far = drop(gram, n, which, so_far, r);
        error[k] = ATN_MAX(so_far, 0.0);
    }
done:
    atn_arena_rewind(cx, mark);
    return st;
}

/* ---- all sets ---- */

/* Sets are masks in which head h is bit n - 1 - h: among sets of one size, the larger
 * mask comes first in lexicographic order. */
typedef struct search {
    const double *gram;
    int n, low;                     /* heads; bits of the lower part */
    double *error_low, *error_high; /* of the sets of each part */
    double *across;                 /* of a lower set with the upper set at hand */
    double best[ATN_SUBSETS_EXACT + 1];
    uint32_t set[ATN_SUBSETS_EXACT + 1]; /* by how many are dropped */
    double tie;
} search;

static int head_of(const search *s, int bit)
{
    return s->n - 1 - bit;
}

static double entry(const search *s, int bit_a, int bit_b)
{
    return s->gram[head_of(s, bit_a) * s->n + head_of(s, bit_b)];
}

/* error[set] for all sets of the `bits` bits from `first` on. */
static void part_errors(const search *s, int first, int bits, double *error)
{
    error[0] = 0;
    for (uint32_t set = 1; set < 1u << bits; set++) {
        const int top = 31 - __builtin_clz(set);
        const uint32_t rest = set ^ (1u << top);
        double sum = entry(s, first + top, first + top);

        for (int b = 0; b < top; b++)
            if (rest >> b & 1) sum += 2 * entry(s, first + top, first + b);
        error[set] = error[rest] + sum;
    }
}

/* All sets with the upper part `high`. */
static void one_high(search *s, uint32_t high)
{
    double with[ATN_SUBSETS_EXACT] = {0};
    const int upper = __builtin_popcount(high);

    for (int b = 0; b < s->low; b++)
        for (int u = s->low; u < s->n; u++)
            if (high >> (u - s->low) & 1) with[b] += 2 * entry(s, b, u);
    s->across[0] = 0;
    for (uint32_t set = 1; set < 1u << s->low; set++)
        s->across[set] = s->across[set & (set - 1)] + with[__builtin_ctz(set)];
    for (uint32_t set = 1u << s->low; set-- > 0;) {
        const int count = upper + __builtin_popcount(set);
        const double error = s->error_high[high] + s->error_low[set] + s->across[set];

        if (!(error < s->best[count] - s->tie)) continue;
        s->best[count] = error;
        s->set[count] = high << s->low | set;
    }
}

static atn_status exact(atn_ctx *cx, const double *gram, atn_idx n, double *error,
                        bool *dropped)
{
    const atn_arena_mark mark = atn_arena_save(cx);
    atn_status st = ATN_OK;
    search s = {.gram = gram, .n = (int)n, .low = (int)n / 2};

    s.tie = TIE * trace(gram, n);
    ATN_TAKE(s.error_low, 1 << s.low);
    ATN_TAKE(s.across, 1 << s.low);
    ATN_TAKE(s.error_high, 1 << (s.n - s.low));
    part_errors(&s, 0, s.low, s.error_low);
    part_errors(&s, s.low, s.n - s.low, s.error_high);
    for (int c = 0; c <= s.n; c++) s.best[c] = INFINITY;
    for (uint32_t high = 1u << (s.n - s.low); high-- > 0;) one_high(&s, high);
    for (int c = 0; c <= s.n; c++) {
        const atn_idx k = n - c;

        error[k] = ATN_MAX(s.best[c], 0.0);
        for (int bit = 0; bit < s.n; bit++)
            dropped[k * n + head_of(&s, bit)] = s.set[c] >> bit & 1;
    }
done:
    atn_arena_rewind(cx, mark);
    return st;
}

atn_status atn_head_subsets(atn_ctx *cx, const double *gram, atn_idx n, double *error,
                            bool *dropped)
{
    return n <= ATN_SUBSETS_EXACT
               ? exact(cx, gram, n, error, dropped)
               : atn_head_subsets_greedy(cx, gram, n, error, dropped);
}
