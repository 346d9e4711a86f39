/* V9 on random heads holds; a head whose values are not those that are drawn is found. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "check.h"
#include "experiment_heads.h"

extern const atn_experiment atn_experiment_column_sampling;

static const dense_kind kinds[] = {DENSE_CAUSAL, DENSE_CROSS, DENSE_WINDOW,
                                   DENSE_SOFTCAP, DENSE_GIVEN};

static void random_heads_hold(atn_ctx *cx)
{
    for (size_t k = 0; k < sizeof kinds / sizeof *kinds; k++) {
        experiment_case e = experiment_run(cx, &atn_experiment_column_sampling,
                                           kinds[k], k == 4 ? 24 : 48, 2000);

        CHECK_EQ(e.checks.n, 9);
        CHECK_EQ(experiment_count(&e, ATN_VIOLATED), 0);
        CHECK_LE(4, experiment_count(&e, ATN_HOLDS));
        experiment_drop(cx, &e);
    }
}

/* The output belongs to other values: every mean is off. */
static void wrong_output_is_found(atn_ctx *cx)
{
    experiment_case e = experiment_facts(cx, DENSE_CROSS, 48);

    for (atn_idx i = 0; i < e.facts.nq * e.facts.dv; i++) e.facts.o[i] *= 4;
    experiment_go(cx, &atn_experiment_column_sampling, &e, 2000);
    CHECK_LE(3, experiment_count(&e, ATN_VIOLATED));
    experiment_drop(cx, &e);
}

/* What was asked for is drawn, of every kind, and a few of them are no test. */
static void trials_are_obeyed(atn_ctx *cx)
{
    static const int64_t asked[] = {300, 10};

    for (int k = 0; k < 2; k++) {
        experiment_case e = experiment_run(cx, &atn_experiment_column_sampling,
                                           DENSE_CROSS, 48, asked[k]);

        for (atn_idx i = 0; i < e.checks.n; i++) {
            const atn_check *c = &e.checks.check[i];

            if (!c->bound->in_mean) continue;
            CHECK_EQ(c->trials, asked[k]);
            if (asked[k] < 50) CHECK(c->verdict >= ATN_NOT_APPLICABLE);
        }
        experiment_drop(cx, &e);
    }
}

static void small_and_empty(atn_ctx *cx)
{
    const dense_kind few[] = {DENSE_ONE, DENSE_BLIND, DENSE_LEFT_PADDING};

    for (int k = 0; k < 3; k++) {
        experiment_case e =
            experiment_run(cx, &atn_experiment_column_sampling, few[k], 9, 100);

        CHECK_EQ(experiment_count(&e, ATN_VIOLATED), 0);
        experiment_drop(cx, &e);
    }
}

static void threads_do_not_matter(atn_ctx *cx)
{
    experiment_same(cx, &atn_experiment_column_sampling, DENSE_CAUSAL, 40, 200);
}

static void failing(atn_ctx *cx)
{
    experiment_failing(cx, &atn_experiment_column_sampling, DENSE_CAUSAL, 12, 20);
}

CHECK_MAIN({"random heads hold", random_heads_hold},
           {"a wrong output is found", wrong_output_is_found},
           {"trials are obeyed", trials_are_obeyed},
           {"small and empty", small_and_empty},
           {"threads do not matter", threads_do_not_matter},
           {"failing allocator", failing})
