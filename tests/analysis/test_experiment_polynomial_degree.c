/* V17 on random heads of every kind; weights that are wrong are found. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "check.h"
#include "experiment_heads.h"

#include "theory/polynomial.h"

extern const atn_experiment atn_experiment_polynomial_degree;

static void all_kinds_hold(atn_ctx *cx)
{
    for (int kind = 0; kind < DENSE_KINDS; kind++) {
        experiment_case e;

        if (kind == DENSE_GIVEN) continue;
        e = experiment_run(cx, &atn_experiment_polynomial_degree, (dense_kind)kind, 23,
                           0);
        CHECK_EQ(experiment_count(&e, ATN_VIOLATED), 0);
        CHECK_EQ(e.checks.n, 11);
        CHECK_EQ(experiment_count(&e, ATN_REPORTED), 1);
        if (kind == DENSE_CAUSAL) CHECK(experiment_count(&e, ATN_HOLDS) >= 6);
        experiment_drop(cx, &e);
    }
}

/* The measured error of a degree is the largest of the twin's, row by row below what is
 * predicted, and near it: the end of the range is where it is largest. */
static void error_is_measured(atn_ctx *cx)
{
    experiment_case e =
        experiment_run(cx, &atn_experiment_polynomial_degree, DENSE_CAUSAL, 30, 0);

    for (atn_idx i = 0; i < e.checks.n; i++) {
        const atn_check *c = &e.checks.check[i];

        if (strcmp(c->bound->id, "taylor_error") != 0 || c->only_report) continue;
        if (c->verdict != ATN_HOLDS) continue;
        CHECK_NEAR(c->measured, c->predicted, 1e-6 * c->predicted + 1e-12);
        CHECK(c->cases > 0);
    }
    experiment_drop(cx, &e);
}

static void wrong_weights_are_found(atn_ctx *cx)
{
    experiment_case e = experiment_facts(cx, DENSE_CAUSAL, 30);
    double *p = e.facts.p + 20 * 30, some = p[3] / 2;

    p[3] -= some;
    p[7] += some;
    experiment_go(cx, &atn_experiment_polynomial_degree, &e, 0);
    CHECK(experiment_count(&e, ATN_VIOLATED) > 0);
    experiment_drop(cx, &e);
}

static void threads_and_memory(atn_ctx *cx)
{
    experiment_same(cx, &atn_experiment_polynomial_degree, DENSE_CAUSAL, 50, 0);
    experiment_failing(cx, &atn_experiment_polynomial_degree, DENSE_CAUSAL, 9, 0);
}

CHECK_MAIN({"all kinds hold", all_kinds_hold}, {"error is measured", error_is_measured},
           {"wrong weights are found", wrong_weights_are_found},
           {"threads and memory", threads_and_memory})
