/* tests/analysis/test_row_stats.c -- how much memory the row statistics take, and how many heads
 * go together.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "check.h"

#include "analysis/row_stats.h"

enum { N = 2000 };

static atn_head zeros(const float *x, atn_idx n)
{
    return (atn_head){.q = {x, n, 1, 1},
                      .k = {x, n, 1, 1},
                      .nq = n,
                      .nk = n,
                      .scale = 1,
                      .sight = {.causal = true, .key_last = n}};
}

/* What is kept is counted where a run is counted, and is all of the estimate but the scratch: with
 * tokens 8 bytes a key for the earlier place and 16 to find it by. Without a sum a head keeps 3
 * numbers a row; what all heads share is 24 bytes a row and key, and 9 a row with tokens. */
static void estimate_and_use(atn_ctx *cx)
{
    static const unsigned needs[] = {0, ATN_NEED_FIRST,
                                     ATN_NEED_COLUMNS | ATN_NEED_DIAGONALS};
    float *x = calloc(N, sizeof *x);
    int32_t *tokens = calloc(N, sizeof *tokens);
    atn_head h[3];

    for (int i = 0; i < 3; i++) h[i] = zeros(x, N);
    for (size_t i = 0; i < ATN_LEN(needs); i++)
        for (atn_idx n = 1; n <= 3; n += 2) {
            const atn_row_stats_opts o = {.needs = needs[i]};
            const size_t before = *cx->in_use;
            const double bytes = atn_row_stats_bytes(h, n, &o);
            atn_row_stats *s = NULL;

            CHECK_OK(atn_row_stats_run(cx, h, n, tokens, &o, &s));
            CHECK_NEAR((double)(*cx->in_use - before) + 24. * N, bytes, 100);
            if (i == 0) CHECK_NEAR(bytes, (24. * (double)n + 24 + 9 + 24) * N, 5000);
            atn_row_stats_destroy(cx, s);
            CHECK_EQ(*cx->in_use, before);
        }
    free(x);
    free(tokens);
}

CHECK_MAIN({"estimate and use", estimate_and_use})
