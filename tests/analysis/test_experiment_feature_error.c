/* V13: outputs by random features. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "check.h"
#include "short_head.h"

extern const atn_experiment atn_experiment_feature_error;

static void short_heads_hold(atn_ctx *cx)
{
    static const dense_kind of[] = {DENSE_CAUSAL,   DENSE_CROSS,        DENSE_WINDOW,
                                    DENSE_DECODING, DENSE_LEFT_PADDING, DENSE_SINK};

    for (size_t k = 0; k < sizeof of / sizeof *of; k++) {
        experiment_case e = short_case(cx, of[k], 40, .35f);

        experiment_go(cx, &atn_experiment_feature_error, &e, 200);
        CHECK_EQ(experiment_count(&e, ATN_VIOLATED), 0);
        CHECK_LE(6, experiment_count(&e, ATN_HOLDS));
        CHECK_LE(4, experiment_count(&e, ATN_REPORTED));
        CHECK_LE(
            experiment_find(&e, "hyperbolic_output", "hyperbolic, m=512")->measured,
            experiment_find(&e, "feature_output", "positive, m=512")->measured);
        experiment_drop(cx, &e);
    }
}

/* Weights, or outputs, that are not those of the queries and keys are found. */
static void wrong_facts_are_found(atn_ctx *cx)
{
    for (int way = 0; way < 2; way++) {
        experiment_case e = short_case(cx, DENSE_CROSS, 40, .35f);

        for (atn_idx c = 0; way == 0 && c < e.facts.nq * e.facts.nk; c++)
            e.facts.p[c] *= 1.5;
        for (atn_idx c = 0; way == 1 && c < e.facts.nq * e.facts.dv; c++)
            e.facts.o[c] += .3;
        experiment_go(cx, &atn_experiment_feature_error, &e, 200);
        CHECK_LE(1, experiment_count(&e, ATN_VIOLATED));
        experiment_drop(cx, &e);
    }
}

static void other_heads(atn_ctx *cx)
{
    experiment_case e = short_case(cx, DENSE_CROSS, 40, 5);

    /* too long: reported as it is, judged with smaller logits */
    experiment_go(cx, &atn_experiment_feature_error, &e, 200);
    CHECK_EQ(experiment_count(&e, ATN_VIOLATED), 0);
    CHECK_EQ(experiment_count(&e, ATN_REPORTED), 10);
    CHECK_EQ(experiment_count(&e, ATN_HOLDS), 6);
    experiment_drop(cx, &e);
    e = short_case(cx, DENSE_SOFTCAP, 20, .3f);
    experiment_go(cx, &atn_experiment_feature_error, &e, 5);
    CHECK_EQ(experiment_count(&e, ATN_NOT_APPLICABLE), 1);
    CHECK_EQ(e.checks.n, 1);
    experiment_drop(cx, &e);
    e = experiment_run(cx, &atn_experiment_feature_error, DENSE_BLIND, 8, 2);
    CHECK_EQ(experiment_count(&e, ATN_NOT_APPLICABLE), 6);
    experiment_drop(cx, &e);
}

/* Constant keys have no error of outputs but rounding, zero queries no products: no
 * seed makes a violation of them. */
static void degenerate_heads_hold(atn_ctx *cx)
{
    for (int way = 0; way < 2; way++) {
        experiment_case e = {.x = make_dense(way ? DENSE_CROSS : DENSE_CAUSAL, 48, 1)};

        for (atn_idx c = 0; way == 0 && c < e.x.h.nq * DENSE_D; c++) e.x.q[c] = 0;
        for (atn_idx c = 0; way == 1 && c < e.x.h.nk * DENSE_D; c++) e.x.k[c] = .3f;
        CHECK_OK(atn_head_facts_make(cx, &e.x.h, 1024, &e.facts));
        for (uint64_t seed = 0; seed < 12; seed++) {
            const atn_trial_head t = {&e.facts, 100, seed, 100};

            CHECK_OK(atn_experiment_feature_error.head(cx, &t, &e.checks));
            atn_checks_judge(&e.checks);
            CHECK_EQ(experiment_count(&e, ATN_VIOLATED), 0);
            atn_checks_release(cx, &e.checks);
        }
        experiment_drop(cx, &e);
    }
}

static void threads_do_not_matter(atn_ctx *cx)
{
    experiment_same(cx, &atn_experiment_feature_error, DENSE_CAUSAL, 30, 10);
}

static void failing(atn_ctx *cx)
{
    experiment_failing(cx, &atn_experiment_feature_error, DENSE_CROSS, 8, 1);
}

CHECK_MAIN({"short heads hold", short_heads_hold},
           {"wrong facts are found", wrong_facts_are_found},
           {"other heads", other_heads},
           {"degenerate heads hold", degenerate_heads_hold},
           {"threads do not matter", threads_do_not_matter},
           {"failing allocator", failing})
