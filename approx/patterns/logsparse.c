/* approx/patterns/logsparse.c -- the query, and the keys at distances of powers of two.
 *
 * Math    D = i - j in blocks: D < window or D = 2^k, k = 0, 1, ..; with restart R only
 *         the keys of the query's own subsequence, j >= floor(i / R) R.
 * Oracle  row 7 of 8: {7, 6, 5, 3}; row i >= 1 sees floor(log2 i) + 2 keys; a distance
 *         is as many layers as it has binary ones. n = 16 reaches 1, 5, 11, 15, 16.
 * Source  Li et al., LogSparse Transformer, arXiv 1907.00235.
 * Limits  the mask alone; the paper's convolutions of queries and keys are no part.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "approx/generate.h"

typedef struct logsparse {
    int64_t window, restart, block;
} logsparse;

static const atn_param params[] = {
    ATN_PARAM_I64(logsparse, window, 1, 1, ATN_EXTENT_MOST,
                  "nearest blocks, the query's own among them"),
    ATN_PARAM_I64(logsparse, restart, 0, 0, ATN_EXTENT_MOST,
                  "length of the subsequences that it begins anew in; 0 = one"),
    ATN_PARAM_BLOCK(logsparse, 1),
    ATN_PARAM_END,
};

static atn_status make(atn_ctx *cx, const void *params_, const atn_layout *l,
                       atn_pattern **out)
{
    const logsparse *t = params_;
    const atn_frame f = atn_generator_frame(l, t->block, true);
    const atn_idx reach = atn_generator_reach(&f);
    const atn_arena_mark mark = atn_arena_save(cx);
    atn_pattern *all = NULL, *own = NULL;
    atn_span offsets[ATN_POWERS_MOST + 1];
    atn_idx *starts = NULL, n = 0;
    atn_status st = ATN_OK;

    n = atn_generator_powers(reach, t->window, offsets);
    ATN_TRY(atn_pattern_shift(cx, &f, offsets, n, 0, &all));
    if (t->restart) {
        ATN_TRY(atn_generator_borders(cx, reach, t->restart, &starts, &n));
        ATN_TRY(atn_pattern_segments(cx, &f, starts, n, &own));
        st = atn_pattern_intersection(cx, all, own, out);
        own = NULL;
    } else {
        *out = all;
    }
    all = NULL;
done:
    atn_pattern_destroy(cx, all);
    atn_pattern_destroy(cx, own);
    atn_arena_rewind(cx, mark);
    return st;
}

const atn_generator atn_generator_logsparse = {
    .id = "logsparse",
    .title = "LogSparse",
    .source = "Li et al., LogSparse Transformer, arXiv 1907.00235",
    .text = "the query, and the keys at distances of powers of two",
    .params = params,
    .params_size = sizeof(logsparse),
    .budget = "window",
    .make = make,
};
