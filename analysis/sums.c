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

double atn_column_rows(const atn_head_stats *s, atn_idx k)
{
    return rows_between(s, s->sight->causal ? k : ATN_MIN(s->sight->offset, 0),
                        s->nq + s->sight->offset);
}

double atn_column_mean(const atn_head_stats *s, atn_idx k)
{
    const double rows = atn_column_rows(s, k);

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

int atn_distance_bin(atn_idx distance)
{
    int b = 0;

    for (; distance > 0; distance >>= 1) b++;
    return b;
}

void atn_distance_shares(const atn_head_stats *s, int bins, double *share)
{
    double mass = 0;

    for (int b = 0; b < bins; b++) share[b] = 0;
    for (atn_idx e = 0; e < s->nq + s->nk - 1; e++) {
        const atn_idx apart = e - (s->nk - 1) + s->sight->offset;
        const int b = atn_distance_bin(apart < 0 ? -apart : apart);

        share[ATN_MIN(b, bins - 1)] += s->diagonals[e];
        mass += s->diagonals[e];
    }
    for (int b = 0; b < bins; b++) share[b] = mass > 0 ? share[b] / mass : (double)NAN;
}
