/* V10 on the card's clusters: errors and slope as it expects them. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "check.h"
#include "cluster_head.h"

extern const atn_experiment atn_experiment_hyper_error;

/* Card 2 (e): means of 5 seeds .67, .47, .34, .23, .17 for 64 .. 1024 samples, slope
 * -.48 to -.52. */
static void clusters_as_expected(atn_ctx *cx)
{
    static const char *const sizes[] = {"m=64", "m=128", "m=256", "m=512", "m=1024"};
    static const double wanted[] = {.67, .47, .34, .23, .17};
    experiment_case e = cluster_case(cx, 1);
    const atn_check *slope;

    experiment_go(cx, &atn_experiment_hyper_error, &e, 5);
    for (int k = 0; k < 5; k++) {
        const atn_check *c = experiment_find(&e, "hyper_error", sizes[k]);

        CHECK_NEAR(c->measured, wanted[k], .25 * wanted[k]);
        CHECK_LE(c->measured, c->predicted);
        CHECK_EQ(c->verdict, ATN_REPORTED);
    }
    slope = experiment_find(&e, "hyper_slope", "");
    CHECK_NEAR(slope->measured, -.5, .05);
    CHECK(experiment_find(&e, "hyper_samples", "eps=0.1")->measured > 1024);
    experiment_drop(cx, &e);
}

/* All weight on the own position: nothing is sampled of any weight, the error is 0, and
 * there is no slope. */
static void no_error_no_slope(atn_ctx *cx)
{
    experiment_case e =
        experiment_run(cx, &atn_experiment_hyper_error, DENSE_ONE, 1, 2);

    CHECK_EQ(experiment_find(&e, "hyper_slope", "")->verdict, ATN_NOT_APPLICABLE);
    experiment_drop(cx, &e);
    e = experiment_run(cx, &atn_experiment_hyper_error, DENSE_BLIND, 8, 2);
    CHECK_EQ(e.checks.n, 0);
    experiment_drop(cx, &e);
}

static void kinds(atn_ctx *cx)
{
    const dense_kind of[] = {DENSE_CAUSAL, DENSE_DECODING, DENSE_CROSS, DENSE_WINDOW,
                             DENSE_LEFT_PADDING};

    for (size_t k = 0; k < sizeof of / sizeof *of; k++) {
        experiment_case e =
            experiment_run(cx, &atn_experiment_hyper_error, of[k], 40, 3);

        CHECK_EQ(experiment_count(&e, ATN_VIOLATED), 0);
        CHECK_EQ(e.checks.n, 7);
        experiment_drop(cx, &e);
    }
}

static void threads_do_not_matter(atn_ctx *cx)
{
    experiment_same(cx, &atn_experiment_hyper_error, DENSE_CAUSAL, 40, 3);
}

static void failing(atn_ctx *cx)
{
    experiment_failing(cx, &atn_experiment_hyper_error, DENSE_CROSS, 8, 1);
}

CHECK_MAIN({"clusters as expected", clusters_as_expected},
           {"no error, no slope", no_error_no_slope}, {"kinds of heads", kinds},
           {"threads do not matter", threads_do_not_matter},
           {"failing allocator", failing})
