/* approx/tally.c -- counts of a choice, see the header. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "approx/tally.h"

atn_tally atn_tally_sum(const atn_tally *of, atn_idx n)
{
    atn_tally sum = {0};

    for (atn_idx t = 0; t < n; t++) {
        sum.scored += of[t].scored;
        sum.ties += of[t].ties;
        sum.keys += of[t].keys;
        sum.rows += of[t].rows;
    }
    return sum;
}

void atn_tally_cost(const atn_tally *t, const atn_head *h, atn_idx n, atn_idx heads,
                    atn_plan *out)
{
    const double d = (double)h->k.cols, keys = (double)h->nk * d / (double)heads;
    const double vectors = 2 * (double)n * d / (double)heads;
    const double scores = (double)t->scored;

    out->index_flops += keys + 2 * d * scores;
    out->index_bytes +=
        ATN_COST_BYTES * (keys + vectors + (double)h->nq * d + 2 * scores);
    out->ties += t->ties;
}

void atn_tally_gathered(const atn_tally *t, atn_idx d, atn_plan *out)
{
    out->index_flops += 2.0 * (double)d * (double)t->scored;
    out->index_bytes += ATN_COST_BYTES * (double)d * (double)(t->keys + t->rows);
    out->ties += t->ties;
}

void atn_tally_share(atn_plan *out, atn_idx n)
{
    out[0].index_flops /= (double)n;
    out[0].index_bytes /= (double)n;
    for (atn_idx h = 1; h < n; h++) {
        out[h].index_flops = out[0].index_flops;
        out[h].index_bytes = out[0].index_bytes;
        out[h].ties = out[0].ties;
    }
}
