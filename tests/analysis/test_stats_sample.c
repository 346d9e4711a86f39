/* tests/analysis/test_stats_sample.c -- rows drawn by strata, and the error they carry. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "check.h"

#include "analysis/stats_plan.h"
#include "core/rng.h"

/* Ascending, distinct, two a stretch; weights add up to the rows, fractions are 2 / length. */
static void draws_are_stratified(atn_ctx *cx)
{
    static const atn_idx cases[][3] = {
        {100, 0, 10}, {101, 7, 33}, {8, 0, 8}, {9, 1, 4}};

    for (size_t c = 0; c < sizeof cases / sizeof *cases; c++) {
        const atn_idx nq = cases[c][0], skip = cases[c][1], rows = nq - skip;
        atn_row_sample s;
        double weight = 0;

        CHECK_OK(atn_row_sample_draw(cx, nq, skip, cases[c][2], &s));
        CHECK(s.n == cases[c][2] / 2 * 2 && s.strata == s.n / 2 && s.nq == nq);
        for (atn_idx i = 0; i < s.n; i++) {
            const atn_idx from = skip + i / 2 * rows / s.strata;
            const atn_idx end = skip + (i / 2 + 1) * rows / s.strata;

            CHECK(s.row[i] >= from && s.row[i] < end);
            CHECK(i == 0 || s.row[i] > s.row[i - 1]);
            CHECK_NEAR(s.weight[i], (double)(end - from) / 2, 0);
            CHECK_NEAR(s.fraction[i / 2], 2 / (double)(end - from), 1e-15);
            weight += s.weight[i];
        }
        CHECK_NEAR(weight, (double)rows, 1e-9);
    }
}

/* Uniform causal attention: the first key has 1 / (i + 1), so means and errors are known. */
typedef struct drawn {
    double mean, error;
} drawn;

static drawn one_draw(atn_ctx *cx, const atn_head *h, atn_idx n, uint64_t seed)
{
    const atn_stats_plan_opts opts = {.measures = "sink", .sampled = true};
    const atn_arena_mark mark = atn_arena_save(cx);
    atn_row_stats *rows = NULL;
    atn_stats_plan plan;
    atn_row_sample s;
    atn_head_stats head;
    double values[4];
    atn_head some;

    cx->seed = seed;
    CHECK_OK(atn_stats_plan_make(cx, &opts, &plan));
    CHECK(plan.n_slots == 4 && plan.slot[1].kind == ATN_SLOT_ERROR);
    CHECK_OK(atn_row_sample_draw(cx, h->nq, 0, n, &s));
    CHECK_OK(atn_head_sample(cx, h, s.row, s.n, &some));
    CHECK_OK(atn_row_stats_run(cx, &some, 1, NULL, &plan.rows, &rows));
    head = atn_row_stats_head(rows, 0);
    CHECK_OK(atn_stats_plan_values(cx, &plan, &head, &s, values));
    atn_row_stats_destroy(cx, rows);
    atn_stats_plan_release(cx, &plan);
    atn_arena_rewind(cx, mark);
    return (drawn){values[0], values[1]};
}

/* Over many draws the estimate is unbiased and its mean squared error is what is printed. */
static void error_is_honest(atn_ctx *cx)
{
    enum { N = 512, DRAWS = 400 };
    static float zero[N];
    const atn_head h = {.q = {zero, N, 1, 1},
                        .k = {zero, N, 1, 1},
                        .nq = N,
                        .nk = N,
                        .scale = 1,
                        .sight = {.causal = true, .key_last = N}};
    double harmonic = 0, bias = 0, square = 0, said = 0;

    for (int i = 1; i <= N; i++) harmonic += 1. / i;
    for (int d = 0; d < DRAWS; d++) {
        const drawn x = one_draw(cx, &h, 64, (uint64_t)d + 1);
        const double off = x.mean - harmonic / N;

        bias += off / DRAWS;
        square += off * off / DRAWS;
        said += x.error * x.error / DRAWS;
    }
    cx->seed = 0;
    CHECK_LE(fabs(bias), 4 * sqrt(square / DRAWS));
    CHECK_LE(said, 1.5 * square);
    CHECK_LE(square, 1.5 * said);
    /* every row drawn: no error is left */
    CHECK_NEAR(one_draw(cx, &h, N, 3).error, 0, 1e-12);
    CHECK_NEAR(one_draw(cx, &h, N, 3).mean, harmonic / N, 1e-7);
}

CHECK_MAIN({"draws are stratified", draws_are_stratified},
           {"the printed error is honest", error_is_honest})
