/* BI-1 and BI-2 on random heads; angles that are not those of the planes are found. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "check.h"
#include "experiment_heads.h"

extern const atn_experiment atn_experiment_binary_codes;

static void random_heads_hold(atn_ctx *cx)
{
    static const dense_kind kinds[] = {DENSE_CAUSAL, DENSE_CROSS, DENSE_WINDOW,
                                       DENSE_RIGHT_PADDING};

    for (size_t k = 0; k < ATN_LEN(kinds); k++) {
        experiment_case e =
            experiment_run(cx, &atn_experiment_binary_codes, kinds[k], 30, 200);

        CHECK_EQ(e.checks.n, 9);
        CHECK_EQ(experiment_count(&e, ATN_HOLDS), 8);
        CHECK_EQ(experiment_count(&e, ATN_REPORTED), 1);
        CHECK_LE(fabs(e.checks.check[8].measured), 1);
        experiment_drop(cx, &e);
    }
}

/* Queries and keys that point the same way in one number, which is most of both: codes
 * rank as the logits do where there are two kinds of keys. */
static void ranks(atn_ctx *cx)
{
    experiment_case e = {.x = make_dense(DENSE_CROSS, 16, 1)};

    for (atn_idx i = 0; i < e.x.h.nq; i++)
        for (int c = 0; c < DENSE_D; c++) e.x.q[i * DENSE_D + c] = c == 0 ? 1 : -.1f;
    for (atn_idx j = 0; j < e.x.h.nk; j++)
        for (int c = 0; c < DENSE_D; c++)
            e.x.k[j * DENSE_D + c] = c == 0 && j % 3 == 0 ? 1 : c == 1 ? .1f : 0;
    CHECK_OK(atn_head_facts_make(cx, &e.x.h, 1024, &e.facts));
    experiment_go(cx, &atn_experiment_binary_codes, &e, 50);
    CHECK_NEAR(e.checks.check[e.checks.n - 1].measured, 1, 1e-12);
    experiment_drop(cx, &e);
}

/* Angles of doubled first numbers: planes see others. */
static void wrong_angle_is_found(atn_ctx *cx)
{
    experiment_case e =
        experiment_run(cx, &atn_experiment_binary_codes, DENSE_CROSS, 30, 500);
    int found = 0;

    for (atn_idx i = 0; i + 1 < e.checks.n; i += 2) {
        atn_check *c = &e.checks.check[i];
        const double p = c->predicted, b = i < 2 ? 16 : i < 4 ? 64 : i < 6 ? 256 : 1024;

        c->statistic = (c->measured - (p + .03)) / sqrt(p * (1 - p) / b / 500);
    }
    atn_checks_judge(&e.checks);
    for (atn_idx i = 0; i < e.checks.n; i++)
        found += e.checks.check[i].verdict == ATN_VIOLATED;
    CHECK_LE(3, found);
    experiment_drop(cx, &e);
}

static void small_and_empty(atn_ctx *cx)
{
    static const dense_kind few[] = {DENSE_ONE, DENSE_BLIND, DENSE_LEFT_PADDING};

    for (size_t k = 0; k < ATN_LEN(few); k++) {
        experiment_case e =
            experiment_run(cx, &atn_experiment_binary_codes, few[k], 9, 50);

        CHECK_EQ(experiment_count(&e, ATN_VIOLATED), 0);
        experiment_drop(cx, &e);
    }
}

static void threads_and_memory(atn_ctx *cx)
{
    experiment_same(cx, &atn_experiment_binary_codes, DENSE_CAUSAL, 20, 40);
    experiment_failing(cx, &atn_experiment_binary_codes, DENSE_CAUSAL, 12, 5);
}

static void seeds_share_nothing(atn_ctx *cx)
{
    experiment_own_draws(cx, &atn_experiment_binary_codes, "b=16", 1);
}

CHECK_MAIN({"seeds share nothing", seeds_share_nothing},
           {"random heads hold", random_heads_hold}, {"ranks", ranks},
           {"a wrong angle is found", wrong_angle_is_found},
           {"small and empty", small_and_empty},
           {"threads, failing allocator", threads_and_memory})
