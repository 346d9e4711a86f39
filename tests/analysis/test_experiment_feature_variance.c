/* V12: entries of random features. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "check.h"
#include "short_head.h"

extern const atn_experiment atn_experiment_feature_variance;

static void short_heads_hold(atn_ctx *cx)
{
    static const dense_kind of[] = {DENSE_CAUSAL, DENSE_CROSS, DENSE_WINDOW,
                                    DENSE_LEFT_PADDING, DENSE_ALIBI};

    for (size_t k = 0; k < sizeof of / sizeof *of; k++) {
        experiment_case e = short_case(cx, of[k], 40, .35f);

        experiment_go(cx, &atn_experiment_feature_variance, &e, 20000);
        CHECK_EQ(experiment_count(&e, ATN_VIOLATED), 0);
        CHECK_LE(11, experiment_count(&e, ATN_HOLDS)); /* 3 means, 4 variances, tail,
                                                          and of the library */
        CHECK_EQ(e.checks.n, 15);
        experiment_drop(cx, &e);
    }
}

/* Long queries: no draws, the closed form alone. */
static void long_heads_are_only_said(atn_ctx *cx)
{
    experiment_case e = short_case(cx, DENSE_CAUSAL, 40, 20);

    experiment_go(cx, &atn_experiment_feature_variance, &e, 100);
    CHECK_EQ(experiment_count(&e, ATN_REPORTED), e.checks.n);
    CHECK_EQ(e.checks.n, 4);
    experiment_drop(cx, &e);
    e = experiment_run(cx, &atn_experiment_feature_variance, DENSE_BLIND, 8, 100);
    CHECK_EQ(e.checks.n, 0);
    experiment_drop(cx, &e);
}

/* Few draws of squares that are as skew as these are no test, and say so. */
static void skew_means_are_no_test(atn_ctx *cx)
{
    experiment_case e = short_case(cx, DENSE_CROSS, 40, .35f);
    const atn_check *c;

    experiment_go(cx, &atn_experiment_feature_variance, &e, 60);
    c = experiment_find(&e, "feature_variance", "positive, one draw");
    CHECK_EQ(c->verdict, ATN_REPORTED);
    CHECK(strstr(c->note, "too skew"));
    experiment_drop(cx, &e);
}

/* Fewer pairs than are asked for, or none: one token, queries of zeros, large logits. */
static void few_pairs(atn_ctx *cx)
{
    static const float by[] = {.35f, 0, 300};
    static const atn_idx n[] = {1, 40, 3};

    for (int c = 0; c < 3; c++) {
        experiment_case e = {.x = make_dense(DENSE_CAUSAL, n[c], 1)};

        for (atn_idx k = 0; k < n[c] * DENSE_D; k++) e.x.q[k] *= by[c];
        CHECK_OK(atn_head_facts_make(cx, &e.x.h, 1024, &e.facts));
        experiment_go(cx, &atn_experiment_feature_variance, &e, 200);
        CHECK_EQ(experiment_count(&e, ATN_VIOLATED), 0);
        experiment_drop(cx, &e);
    }
}

static void threads_do_not_matter(atn_ctx *cx)
{
    experiment_same(cx, &atn_experiment_feature_variance, DENSE_CAUSAL, 30, 200);
}

static void failing(atn_ctx *cx)
{
    experiment_failing(cx, &atn_experiment_feature_variance, DENSE_CROSS, 8, 16);
}

CHECK_MAIN({"short heads hold", short_heads_hold},
           {"long heads are only said", long_heads_are_only_said},
           {"skew means are no test", skew_means_are_no_test}, {"few pairs", few_pairs},
           {"threads do not matter", threads_do_not_matter},
           {"failing allocator", failing})
