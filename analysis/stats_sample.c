/* analysis/stats_sample.c -- a stratified sample of the query rows of a layer. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "analysis/stats_sample.h"

#include "core/rng.h"

atn_status atn_row_sample_draw(atn_ctx *cx, atn_idx nq, atn_idx skip_rows, atn_idx n,
                               atn_row_sample *out)
{
    atn_rng rng = atn_rng_stream(cx->seed, "stats/rows", nq, skip_rows);
    const atn_idx rows = nq - skip_rows;
    atn_status st = ATN_OK;

    ATN_ASSERT(n >= ATN_SAMPLE_LEAST && n <= rows);
    *out = (atn_row_sample){.n = n / 2 * 2, .strata = n / 2, .nq = nq};
    ATN_TAKE(out->row, out->n);
    ATN_TAKE(out->weight, out->n);
    ATN_TAKE(out->fraction, out->strata);
    for (atn_idx s = 0; s < out->strata; s++) {
        const atn_idx from = skip_rows + s * rows / out->strata;
        const atn_idx size = skip_rows + (s + 1) * rows / out->strata - from;
        const atn_idx a = atn_rng_below(&rng, size);
        atn_idx b = atn_rng_below(&rng, size - 1);

        b += b >= a;
        out->row[2 * s] = from + ATN_MIN(a, b);
        out->row[2 * s + 1] = from + ATN_MAX(a, b);
        out->weight[2 * s] = out->weight[2 * s + 1] = (double)size / 2;
        out->fraction[s] = 2 / (double)size;
    }
done:
    return st;
}
