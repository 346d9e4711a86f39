/* Logits of hundreds: weights and chances below any double, in experiments that divide
 * by them. What holds does, and nothing is NaN that is judged. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "check.h"
#include "experiment_heads.h"

extern const atn_experiment atn_experiment_perturbation, atn_experiment_compressed_keys,
    atn_experiment_row_sampling, atn_experiment_column_sampling;

static experiment_case large(atn_ctx *cx, atn_idx n, int by)
{
    experiment_case e = {.x = make_dense(DENSE_CAUSAL, n, by)};

    for (atn_idx i = 0; i < n * DENSE_D; i++) e.x.q[i] *= (float)by;
    CHECK_OK(atn_head_facts_make(cx, &e.x.h, 1024, &e.facts));
    return e;
}

static void all_hold(atn_ctx *cx)
{
    static const atn_experiment *const all[] = {
        &atn_experiment_perturbation, &atn_experiment_compressed_keys,
        &atn_experiment_row_sampling, &atn_experiment_column_sampling};

    for (int by = 200; by <= 1000; by += 200)
        for (size_t k = 0; k < sizeof all / sizeof *all; k++) {
            experiment_case e = large(cx, 128, by);

            experiment_go(cx, all[k], &e, 200);
            for (atn_idx i = 0; i < e.checks.n; i++) {
                const atn_check *c = &e.checks.check[i];

                if (c->verdict == ATN_VIOLATED)
                    fail_msg("%d: %s, %s: %.17g against %.17g, %g", by, c->bound->id,
                             c->variant, c->measured, c->predicted, c->statistic);
                CHECK(c->verdict == ATN_NOT_APPLICABLE || !isnan(c->predicted));
            }
            experiment_drop(cx, &e);
        }
}

/* Factors of 1.3 say what they say, however small what they change is. */
static void factors_are_known(atn_ctx *cx)
{
    experiment_case e = large(cx, 128, 400);
    const atn_check *c;

    experiment_go(cx, &atn_experiment_perturbation, &e, 0);
    c = experiment_find(&e, "perturbed_weights", "worst factors of 1.3 and 0.7");
    CHECK_NEAR(c->predicted, .3 / (1 + sqrt(1 - .09)), 1e-12);
    experiment_drop(cx, &e);
}

CHECK_MAIN({"factors are known", factors_are_known}, {"all hold", all_hold})
