/* V18: everything holds but bfloat16, which is reported to be wrong. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "check.h"
#include "experiment_heads.h"

extern const atn_experiment atn_experiment_tensor_attention;

static atn_checks run(atn_ctx *cx, uint64_t seed)
{
    const atn_trial_model t = {.seed = seed};
    atn_checks c = {0};

    CHECK_OK(atn_experiment_tensor_attention.once(cx, &t, &c));
    atn_checks_judge(&c);
    return c;
}

static int count(const atn_checks *c, atn_verdict v)
{
    int n = 0;

    for (atn_idx i = 0; i < c->n; i++) n += c->check[i].verdict == v;
    return n;
}

static const atn_check *find(const atn_checks *c, const char *id, const char *variant)
{
    for (atn_idx i = 0; i < c->n; i++)
        if (strcmp(c->check[i].bound->id, id) == 0 &&
            strcmp(c->check[i].variant, variant) == 0)
            return &c->check[i];
    fail_msg("no check %s of %s", id, variant);
    return NULL;
}

/* M = 101, n = 8: matches at 0, 5, 7; the least is .9981, the largest else .0116; of 8
 * outputs in bf16 .857 0 .667 .667 0 .8 .75 .8 three are on the wrong side. */
static void card(atn_ctx *cx)
{
    atn_checks c = run(cx, 0);

    CHECK_EQ(count(&c, ATN_VIOLATED), 0);
    CHECK_EQ(count(&c, ATN_REPORTED), 4);
    CHECK(count(&c, ATN_HOLDS) > 40);
    CHECK_NEAR(find(&c, "match3_hit", "M 101, n 8, logits in float64")->measured, .9981,
               5e-5);
    CHECK_NEAR(find(&c, "match3_miss", "M 101, n 8, logits in float64")->measured,
               .0116, 5e-5);
    CHECK_EQ(find(&c, "match3_indicator", "M 101, n 8, logits in float32")->failures,
             0);
    CHECK_EQ(find(&c, "match3_indicator", "M 101, n 8, float32 products")->failures, 0);
    CHECK_EQ(find(&c, "match3_indicator", "M 101, n 8, logits in bfloat16")->failures,
             3);
    atn_checks_release(cx, &c);
}

static void seeds_and_threads(atn_ctx *cx)
{
    for (uint64_t seed = 1; seed < 12; seed++) {
        atn_checks a, b;

        cx->threads = 1;
        a = run(cx, seed);
        cx->threads = 4;
        b = run(cx, seed);
        CHECK_EQ(count(&a, ATN_VIOLATED), 0);
        CHECK_EQ(a.n, b.n);
        for (atn_idx i = 0; i < a.n; i++)
            CHECK(experiment_equal(a.check[i].measured, b.check[i].measured));
        atn_checks_release(cx, &a);
        atn_checks_release(cx, &b);
    }
}

/* Bounds by hand: e = .6 gives 1/3 of the range; X = 2 asks for degree 8. */
static void predictions(atn_ctx *cx)
{
    const atn_bound *b = atn_bound_find("tensor_error");

    (void)cx;
    CHECK_NEAR(atn_bound_predict(b, &(atn_quantities){.x = {.6, 6}}), 2, 1e-15);
    CHECK(isnan(atn_bound_predict(b, &(atn_quantities){.x = {1.1, 6}})));
    b = atn_bound_find("taylor_error");
    CHECK(atn_bound_predict(b, &(atn_quantities){.x = {8, 2}}) < 1e-2);
    CHECK(atn_bound_predict(b, &(atn_quantities){.x = {7, 2}}) > 1e-2);
    CHECK(isnan(atn_bound_predict(b, &(atn_quantities){.x = {3, 9}})));
    CHECK_NEAR(
        atn_bound_predict(atn_bound_find("match3_hit"), &(atn_quantities){.x = {8}}),
        256.0 / 257, 1e-15);
}

CHECK_MAIN({"card", card}, {"seeds and threads", seeds_and_threads},
           {"predictions", predictions})
