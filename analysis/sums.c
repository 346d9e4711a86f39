/* analysis/sums.c -- means from the sums over columns and diagonals of a head. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "analysis/sums.h"

/* Rows that count at positions [from, to): prefix counts of the row pass. */
static double rows_between(const atn_head_stats *s, atn_idx from, atn_idx to)
{
    const atn_idx a = ATN_MIN(ATN_MAX(from - s->sight->offset, 0), s->nq);
    const atn_idx b = ATN_MIN(ATN_MAX(to - s->sight->offset, 0), s->nq);

    return b > a ? (double)(s->counted[b] - s->counted[a]) : 0;
}

double atn_column_mean(const atn_head_stats *s, atn_idx k)
{
    const atn_idx end = s->nq + s->sight->offset;
    const double rows =
        rows_between(s, s->sight->causal ? k : ATN_MIN(s->sight->offset, 0), end);

    return rows > 0 ? s->columns[k] / rows : (double)NAN;
}

atn_idx atn_first_half(const atn_head_stats *s)
{
    return s->sight->key_first + (s->sight->key_last - s->sight->key_first) / 2;
}

atn_idx atn_column_top(const atn_head_stats *s)
{
    atn_idx top = -1;

    for (atn_idx k = s->sight->key_first; k < s->sight->key_last; k++)
        if (top < 0 || s->columns[k] > s->columns[top]) top = k;
    return top;
}

atn_idx atn_column_best(const atn_head_stats *s, double *mass)
{
    const atn_idx end = ATN_MIN(atn_first_half(s) + 1, s->sight->key_last);
    atn_idx best = -1;

    for (atn_idx k = s->sight->key_first; k < end; k++) {
        const double mean = atn_column_mean(s, k);

        if (isnan(mean) || (best >= 0 && mean <= *mass)) continue;
        best = k;
        *mass = mean;
    }
    return best;
}

double atn_diagonal_sum(const atn_head_stats *s, atn_idx delta)
{
    const atn_idx e = delta - s->sight->offset + s->nk - 1;

    return e >= 0 && e < s->nq + s->nk - 1 ? s->diagonals[e] : 0;
}

double atn_diagonal_entries(const atn_head_stats *s, atn_idx delta)
{
    return rows_between(s, s->sight->key_first + delta, s->sight->key_last + delta);
}
