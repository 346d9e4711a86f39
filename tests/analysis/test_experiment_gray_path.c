/* V11: the path, and what blocks hold of the card's clusters. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "check.h"
#include "cluster_head.h"

extern const atn_experiment atn_experiment_gray_path;

/* Card 2 (e), (g): .40 +- .04 of the weight by either order, against 1 / 16 of random
 * blocks; 31 of 127 published steps differ in up to 4 bits. */
static void clusters_as_expected(atn_ctx *cx)
{
    experiment_case e = cluster_case(cx, 1);
    const atn_check *c;

    experiment_go(cx, &atn_experiment_gray_path, &e, 10);
    CHECK_EQ(e.checks.n, 1);
    CHECK_OK(atn_experiment_gray_path.once(cx, &(atn_trial_model){0}, &e.checks));
    atn_checks_judge(&e.checks);
    c = experiment_find(&e, "gray_capture", "");
    CHECK_NEAR(c->measured, .4, .06);
    CHECK_NEAR(c->predicted, .4, .06);
    CHECK_EQ(c->verdict, ATN_REPORTED); /* nothing is claimed of it */
    c = experiment_find(&e, "gray_path", "Gray sequence");
    CHECK_EQ(c->verdict, ATN_HOLDS);
    CHECK_EQ(c->failures, 0);
    c = experiment_find(&e, "gray_path", "published table");
    CHECK_EQ(c->verdict, ATN_REPORTED);
    CHECK_EQ(c->failures, 31);
    CHECK_NEAR(c->measured, 4, 0);
    experiment_drop(cx, &e);
}

static void threads_do_not_matter(atn_ctx *cx)
{
    experiment_same(cx, &atn_experiment_gray_path, DENSE_CROSS, 40, 5);
    experiment_same(cx, &atn_experiment_gray_path, DENSE_BLIND, 5, 2);
}

static void failing(atn_ctx *cx)
{
    experiment_failing(cx, &atn_experiment_gray_path, DENSE_CAUSAL, 9, 2);
}

CHECK_MAIN({"clusters as expected", clusters_as_expected},
           {"threads do not matter", threads_do_not_matter},
           {"failing allocator", failing})
