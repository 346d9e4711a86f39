/* tests/analysis/test_row_stats.c -- how much memory the row statistics take, and how
 * many heads go together.
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

/* What is kept is counted where a run is counted, and is all of the estimate but the
 * scratch: with tokens 8 bytes a key for the earlier place and 16 to find it by.
 * Without a sum a head keeps 3 numbers a row; what all heads share is 24 bytes a row
 * and key, and 9 a row with tokens. */
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

/* Without a limit 64 MiB / (24 bytes a row and head + what a head is described by),
 * here of 2^14 rows of one key; then half of what is left behind the shared part; never
 * fewer than 1. */
static void batches(atn_ctx *cx)
{
    enum { ROWS = 1 << 14 };
    const atn_row_stats_opts o = {0};
    atn_head h = {.nq = ROWS, .nk = 1, .sight = {.offset = 1, .key_last = 1}};
    const double each = 24. * ROWS + sizeof(atn_row_out);
    const double shared = atn_row_stats_bytes(&h, 0, &o);
    void *used;

    CHECK_EQ(atn_row_stats_batch(cx, &h, &o), (atn_idx)(0x1p26 / each));
    cx->mem_limit = (size_t)(shared + 2 * 7.5 * each);
    CHECK_EQ(atn_row_stats_batch(cx, &h, &o), 7);
    used = atn_alloc(cx, (atn_idx)(4 * each), 1);
    CHECK_EQ(atn_row_stats_batch(cx, &h, &o), 5);
    cx->mem_limit = 1000;
    CHECK_EQ(atn_row_stats_batch(cx, &h, &o), 1);
    cx->mem_limit = 0;
    atn_free(cx, used);
    /* 2^14 keys are 2^28 pairs a head; 2^9 keys are two heads of 2^23 */
    h.nk = h.sight.key_last = ROWS;
    CHECK_EQ(atn_row_stats_batch(cx, &h, &o), 1);
    h.nk = h.sight.key_last = 1 << 9;
    CHECK_EQ(atn_row_stats_batch(cx, &h, &o), 2);
}

CHECK_MAIN({"estimate and use", estimate_and_use}, {"batches", batches})
