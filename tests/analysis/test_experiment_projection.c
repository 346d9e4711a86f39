/* V19 on random heads holds; values that are not those of the claim, an output that is
 * not the law's, are found. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "check.h"
#include "experiment_heads.h"

extern const atn_experiment atn_experiment_projection;
extern const atn_experiment atn_experiment_projection_claim;

static void random_heads_hold(atn_ctx *cx)
{
    static const dense_kind kinds[] = {DENSE_CAUSAL, DENSE_CROSS, DENSE_SINK,
                                       DENSE_GIVEN};

    for (size_t k = 0; k < ATN_LEN(kinds); k++) {
        experiment_case e =
            experiment_run(cx, &atn_experiment_projection, kinds[k], 40, 1000);

        CHECK_LE(1, e.checks.n);
        CHECK_EQ(experiment_count(&e, ATN_HOLDS), e.checks.n);
        experiment_drop(cx, &e);
    }
}

/* Keys that the draw does not see as the bound does: a NAN-free way to break the law is
 * to tell the judge of another rank. */
static void wrong_moment_is_found(atn_ctx *cx)
{
    experiment_case e =
        experiment_run(cx, &atn_experiment_projection, DENSE_CAUSAL, 40, 1000);

    for (atn_idx i = 0; i < e.checks.n; i++) {
        atn_check *c = &e.checks.check[i];
        const double error = (c->measured - c->predicted) / c->statistic;

        c->statistic = (c->measured - 1.5 * c->predicted) / error;
    }
    atn_checks_judge(&e.checks);
    CHECK_EQ(experiment_count(&e, ATN_VIOLATED), e.checks.n);
    experiment_drop(cx, &e);
}

static void counter_example(atn_ctx *cx)
{
    const atn_trial_model t = {.trials = 200, .seed = 3};
    atn_checks c = {0};

    CHECK_OK(atn_experiment_projection_claim.once(cx, &t, &c));
    atn_checks_judge(&c);
    CHECK_EQ(c.n, 2);
    CHECK_EQ(c.check[0].verdict, ATN_HOLDS);
    CHECK_NEAR(c.check[0].predicted, 128 / 256.0, 1e-12);
    /* the claim is not kept, and only reported */
    CHECK_EQ(c.check[1].verdict, ATN_REPORTED);
    CHECK_NEAR(c.check[1].predicted, 0, 0);
    CHECK_LE(.5, c.check[1].measured);
    atn_checks_release(cx, &c);
}

static void small_and_empty(atn_ctx *cx)
{
    static const dense_kind few[] = {DENSE_ONE, DENSE_BLIND, DENSE_LEFT_PADDING};

    for (size_t k = 0; k < ATN_LEN(few); k++) {
        experiment_case e =
            experiment_run(cx, &atn_experiment_projection, few[k], 9, 200);

        CHECK_EQ(experiment_count(&e, ATN_VIOLATED), 0);
        experiment_drop(cx, &e);
    }
}

static void threads_and_memory(atn_ctx *cx)
{
    experiment_same(cx, &atn_experiment_projection, DENSE_CAUSAL, 30, 120);
    experiment_failing(cx, &atn_experiment_projection, DENSE_CAUSAL, 12, 20);
}

static double claimed(atn_ctx *cx, uint64_t seed, int64_t trials)
{
    const atn_trial_model t = {.trials = trials, .seed = seed};
    atn_checks c = {0};
    double sum;

    CHECK_OK(atn_experiment_projection_claim.once(cx, &t, &c));
    sum = c.check[0].measured * (double)trials;
    atn_checks_release(cx, &c);
    return sum;
}

static void seeds_share_nothing(atn_ctx *cx)
{
    experiment_own_draws(cx, &atn_experiment_projection, "w=values k=16", 1);
    experiment_own_draws(cx, &atn_experiment_projection, "w=values k=16", 2);
    experiment_own_draws(cx, &atn_experiment_projection,
                         "k=16, each pair by what is said", 1);
    CHECK(fabs(claimed(cx, 3, 61) - claimed(cx, 3, 1) - claimed(cx, 4, 60)) > 1e-9);
}

CHECK_MAIN({"seeds share nothing", seeds_share_nothing},
           {"random heads hold", random_heads_hold},
           {"a wrong moment is found", wrong_moment_is_found},
           {"counter-example", counter_example}, {"small and empty", small_and_empty},
           {"threads, failing allocator", threads_and_memory})
