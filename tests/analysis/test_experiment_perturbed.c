/* V2 on random heads holds; weights, values or logits that are something else are
 * found. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "check.h"
#include "experiment_heads.h"

#include "analysis/experiments/perturbed.h"
#include "core/svd.h"

extern const atn_experiment atn_experiment_perturbation,
    atn_experiment_quantised_values, atn_experiment_compressed_keys;

static const atn_check *find(const experiment_case *e, const char *bound,
                             const char *variant)
{
    for (atn_idx i = 0; i < e->checks.n; i++)
        if (strcmp(e->checks.check[i].bound->id, bound) == 0 &&
            strcmp(e->checks.check[i].variant, variant) == 0)
            return &e->checks.check[i];
    fail_msg("no check %s %s", bound, variant);
    return NULL;
}

/* bf16 keeps 8 bits, fp16 11; halves go to even; small ones lose digits. */
static void formats(atn_ctx *cx)
{
    const atn_short_format *b = &atn_short_formats[0], *h = &atn_short_formats[1];

    (void)cx;
    CHECK_NEAR(atn_short_round(b, 1.0040), 1.0078125, 0);
    CHECK_NEAR(atn_short_round(b, 1.0038), 1, 0);
    CHECK_NEAR(atn_short_round(b, 1.00390625), 1, 0); /* to even */
    CHECK_NEAR(atn_short_round(h, 2049), 2048, 0);
    CHECK_NEAR(atn_short_round(h, -2050.9), -2050, 0);
    CHECK_NEAR(atn_short_round(h, 0x1.8p-24), 0x1p-23, 0);
    CHECK_NEAR(atn_short_round(h, 0x1p-26), 0, 0);
    CHECK_NEAR(atn_short_round(b, 0), 0, 0);
    for (int i = 1; i < 2000; i++) { /* the same as the narrowing of core */
        const float x = (float)(exp(i * .01 - 10) * (i % 2 ? 1 : -1));
        uint16_t bits = atn_bf16_from_f32(x);
        const uint32_t wide = (uint32_t)bits << 16;
        float y;

        memcpy(&y, &wide, sizeof y);
        CHECK_NEAR(atn_short_round(b, (double)x), y, 0);
    }
}

static void int8_rows(atn_ctx *cx)
{
    const double x[] = {-2.54, 1, .5, 0, 0, 0, .01, -.02, .0101};
    double y[9], off[3];

    (void)cx;
    atn_short_rows(NULL, x, 3, 3, y);
    CHECK_NEAR(y[0], -2.54, 1e-15);
    CHECK_NEAR(y[1], 1, 1e-15); /* steps of .02 */
    CHECK_NEAR(y[2], .5, 1e-15);
    CHECK_NEAR(y[4], 0, 0);
    CHECK_NEAR(y[6], .02 * 64 / 127, 1e-15); /* 63.5 goes to even */
    atn_rows_apart(x, y, 3, 3, off);
    CHECK_NEAR(off[0], 0, 1e-14);
    CHECK_NEAR(off[2], hypot(y[6] - x[6], y[8] - x[8]), 1e-15);
}

/* Weights (.25 .75), the first logit up by ln 3: (.5 .5). */
static void one_row(atn_ctx *cx)
{
    const double z[] = {0, log(3)}, p[] = {.25, .75}, y[] = {log(3) + 7, log(3) + 7};
    double w[2];
    const atn_perturbed c = atn_perturbed_row(z, p, y, 2, w);

    (void)cx;
    CHECK_NEAR(w[0], .5, 1e-15);
    CHECK_NEAR(c.variation, .25, 1e-15);
    CHECK_NEAR(c.length, .25 * sqrt(2), 1e-15);
    CHECK_NEAR(c.delta, log(3) / 2, 1e-14);
    CHECK_NEAR(c.change, log(3) / sqrt(2), 1e-14);
}

static void all_kinds_hold(atn_ctx *cx)
{
    const atn_experiment *all[] = {&atn_experiment_perturbation,
                                   &atn_experiment_quantised_values,
                                   &atn_experiment_compressed_keys};

    for (int kind = 0; kind < DENSE_KINDS; kind++)
        for (int k = 0; k < 3; k++) {
            experiment_case e;

            if (kind == DENSE_GIVEN && all[k]->qk) continue; /* the runner sees to it */
            e = experiment_run(cx, all[k], kind, 40, 25);
            CHECK_EQ(experiment_count(&e, ATN_VIOLATED), 0);
            if (kind != DENSE_BLIND) CHECK_LE(2, experiment_count(&e, ATN_HOLDS));
            experiment_drop(cx, &e);
        }
}

/* On rows of many keys the worst signs reach tanh(delta / 2) to 1e-6. */
static void the_bound_is_reached(atn_ctx *cx)
{
    experiment_case e = {.x = make_dense(DENSE_CROSS, 400, 1)};
    const atn_check *c;

    CHECK_OK(atn_head_facts_make(cx, &e.x.h, 1024, &e.facts));
    experiment_go(cx, &atn_experiment_perturbation, &e, 0);
    c = find(&e, "perturbed_logits", "worst signs of 1");
    CHECK_NEAR(c->predicted, tanh(.5), 1e-12);
    CHECK_NEAR(c->measured, tanh(.5), 1e-6);
    CHECK_EQ(find(&e, "perturbed_logits_sharp", "worst signs of 1")->verdict,
             ATN_HOLDS);
    CHECK_EQ(experiment_count(&e, ATN_VIOLATED), 0);
    experiment_drop(cx, &e);
}

/* Weights that are not those of the logits. */
static void wrong_weights_are_found(atn_ctx *cx)
{
    experiment_case e = experiment_facts(cx, DENSE_CROSS, 40);

    e.facts.p[0] += .01;
    e.facts.p[1] -= .01;
    experiment_go(cx, &atn_experiment_perturbation, &e, 0);
    CHECK_EQ(find(&e, "rounded_logits", "fp16 logits, less the largest")->verdict,
             ATN_VIOLATED);
    CHECK_EQ(find(&e, "perturbed_logits_pattern", "worst signs of 1")->verdict,
             ATN_VIOLATED);
    experiment_drop(cx, &e);
}

/* Logits that are not those of the queries and keys. */
static void wrong_logits_are_found(atn_ctx *cx)
{
    experiment_case e = experiment_facts(cx, DENSE_CROSS, 40);

    e.facts.s[7] += .1;
    experiment_go(cx, &atn_experiment_perturbation, &e, 0);
    CHECK_EQ(find(&e, "quantised_products", "fp16 q and k")->verdict, ATN_VIOLATED);
    CHECK_EQ(find(&e, "quantised_products", "fp16 q and k")->failures, 1);
    experiment_drop(cx, &e);
}

static void wrong_values_are_found(atn_ctx *cx)
{
    experiment_case e = experiment_facts(cx, DENSE_CROSS, 40);

    e.facts.o[9] += 1;
    experiment_go(cx, &atn_experiment_quantised_values, &e, 25);
    CHECK_EQ(find(&e, "quantised_values", "fp16 values")->verdict, ATN_VIOLATED);
    experiment_drop(cx, &e);
    e = experiment_facts(cx, DENSE_CROSS, 40);
    for (atn_idx i = 0; i < e.facts.nq; i++) e.facts.renyi[i] += 1;
    experiment_go(cx, &atn_experiment_quantised_values, &e, 400);
    CHECK_EQ(find(&e, "quantised_values_mean", "uniform errors of width 1")->verdict,
             ATN_VIOLATED);
    experiment_drop(cx, &e);
}

/* Rank 2 of 5 by dense loops: no keys of rank 2 come closer than the weighted ones, and
 * what they are off is the tail of the spectrum of Q K'. */
static void keys_of_rank_two(atn_ctx *cx)
{
    experiment_case e =
        experiment_run(cx, &atn_experiment_compressed_keys, DENSE_CROSS, 40, 0);
    const atn_check *best =
        find(&e, "compressed_keys_error", "by queries, rank 2 of 5");
    const atn_check *plain =
        find(&e, "compressed_keys_floor", "keys alone, rank 2 of 5");
    const atn_idx nq = e.facts.nq, nk = e.facts.nk;
    double *qk = calloc((size_t)(nq * nk), sizeof *qk), sigma[50], tail = 0;

    for (atn_idx i = 0; i < nq * nk; i++)
        for (atn_idx c = 0; c < DENSE_D; c++)
            qk[i] += (double)e.x.q[i / nk * DENSE_D + c] *
                     (double)e.x.k[i % nk * DENSE_D + c];
    CHECK_OK(atn_svd(cx, qk, nq, nk, sigma, NULL, NULL));
    for (int k = 2; k < 5; k++) tail += sigma[k] * sigma[k];
    CHECK_NEAR(best->predicted, tail, 1e-9 * tail);
    CHECK_NEAR(best->measured, tail, 1e-9 * tail);
    CHECK_LE(tail, plain->measured);
    CHECK_EQ(plain->verdict, ATN_HOLDS);
    free(qk);
    experiment_drop(cx, &e);
}

static void wrong_keys_are_found(atn_ctx *cx)
{
    experiment_case e = experiment_facts(cx, DENSE_CROSS, 40);

    for (atn_idx j = 0; j < e.facts.nk; j++) /* weights of other keys */
        for (atn_idx i = 0; i < e.facts.nq; i++)
            e.facts.p[i * e.facts.nk + j] = j == i % e.facts.nk;
    experiment_go(cx, &atn_experiment_compressed_keys, &e, 0);
    CHECK_LE(1, experiment_count(&e, ATN_VIOLATED));
    experiment_drop(cx, &e);
}

/* Zero queries, keys all the same, logits of 1e4. */
static void degenerate(atn_ctx *cx)
{
    const atn_experiment *all[] = {&atn_experiment_perturbation,
                                   &atn_experiment_quantised_values,
                                   &atn_experiment_compressed_keys};

    for (int k = 0; k < 9; k++) {
        experiment_case e = {.x = make_dense(DENSE_CAUSAL, 40, 2)};

        for (atn_idx i = 0; i < 40 * DENSE_D; i++)
            if (k / 3 == 0)
                e.x.q[i] = 0;
            else if (k / 3 == 1)
                e.x.k[i] = 1;
            else
                e.x.q[i] *= 1e4f;
        CHECK_OK(atn_head_facts_make(cx, &e.x.h, 1024, &e.facts));
        experiment_go(cx, all[k % 3], &e, 25);
        CHECK_EQ(experiment_count(&e, ATN_VIOLATED), 0);
        experiment_drop(cx, &e);
    }
}

static void threads_do_not_matter(atn_ctx *cx)
{
    experiment_same(cx, &atn_experiment_perturbation, DENSE_CAUSAL, 60, 0);
    experiment_same(cx, &atn_experiment_quantised_values, DENSE_CAUSAL, 60, 9);
    experiment_same(cx, &atn_experiment_compressed_keys, DENSE_CAUSAL, 60, 0);
}

static void failing(atn_ctx *cx)
{
    experiment_failing(cx, &atn_experiment_perturbation, DENSE_CAUSAL, 9, 0);
    experiment_failing(cx, &atn_experiment_quantised_values, DENSE_CAUSAL, 9, 3);
    experiment_failing(cx, &atn_experiment_compressed_keys, DENSE_CAUSAL, 9, 0);
}

CHECK_MAIN({"formats", formats}, {"int8 rows", int8_rows}, {"one row", one_row},
           {"all kinds hold", all_kinds_hold},
           {"the bound is reached", the_bound_is_reached},
           {"wrong weights are found", wrong_weights_are_found},
           {"wrong logits are found", wrong_logits_are_found},
           {"wrong values are found", wrong_values_are_found},
           {"keys of rank two", keys_of_rank_two},
           {"wrong keys are found", wrong_keys_are_found}, {"degenerate", degenerate},
           {"threads do not matter", threads_do_not_matter}, {"failing", failing})
