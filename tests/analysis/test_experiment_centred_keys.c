/* V14: keys less their mean. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "check.h"
#include "short_head.h"

extern const atn_experiment atn_experiment_centred_keys;

/* The card's table: n = 8, d = 4, scale 1/2; an offset of 3 in every coordinate. */
static void golden(atn_ctx *cx)
{
    for (int offset = 0; offset <= 3; offset += 3) {
        float q[32], k[32], v[8] = {0};
        experiment_case e = {0};
        const atn_head h = {.q = {q, 8, 4, 4},
                            .k = {k, 8, 4, 4},
                            .v = {v, 8, 1, 1},
                            .nq = 8,
                            .nk = 8,
                            .scale = .5,
                            .sight = {.key_last = 8}};
        const atn_check *c;

        for (int i = 0; i < 32; i++) {
            q[i] = (float)sin(.1 * (i / 4 + 1) * (i % 4 + 1));
            k[i] = (float)(cos(.07 * (i / 4 + 1) * (i % 4 + 2)) + offset);
        }
        CHECK_OK(atn_head_facts_make(cx, &h, 1024, &e.facts));
        experiment_go(cx, &atn_experiment_centred_keys, &e, 0);
        CHECK_EQ(e.checks.n, 2);
        c = &e.checks.check[0];
        CHECK_EQ(c->verdict, ATN_HOLDS);
        CHECK_LE(c->measured, 1e-12);
        c = &e.checks.check[1];
        CHECK_EQ(c->verdict, ATN_REPORTED);
        CHECK_NEAR(c->predicted, offset ? 32.8392717447 : 2.7454838344, 2e-6);
        CHECK_NEAR(c->measured, 1.4088539599, 1e-6);
        atn_checks_release(cx, &e.checks);
        atn_head_facts_release(cx, &e.facts);
    }
}

static void kinds(atn_ctx *cx)
{
    for (int k = 0; k < DENSE_KINDS; k++) {
        experiment_case e;

        if (k == DENSE_GIVEN) continue;
        e = experiment_run(cx, &atn_experiment_centred_keys, (dense_kind)k, 40, 0);
        CHECK_EQ(experiment_count(&e, ATN_VIOLATED), 0);
        CHECK_EQ(experiment_count(&e, ATN_HOLDS),
                 k != DENSE_SOFTCAP && k != DENSE_BLIND);
        experiment_drop(cx, &e);
    }
}

/* One weight that is off by 1e-6. */
static void wrong_weight_is_found(atn_ctx *cx)
{
    experiment_case e = experiment_facts(cx, DENSE_CAUSAL, 40);

    e.facts.p[25 * 40 + 3] += 1e-6;
    experiment_go(cx, &atn_experiment_centred_keys, &e, 0);
    CHECK_EQ(experiment_count(&e, ATN_VIOLATED), 1);
    experiment_drop(cx, &e);
}

static void threads_do_not_matter(atn_ctx *cx)
{
    experiment_same(cx, &atn_experiment_centred_keys, DENSE_CAUSAL, 40, 0);
}

static void failing(atn_ctx *cx)
{
    experiment_failing(cx, &atn_experiment_centred_keys, DENSE_CROSS, 8, 0);
}

CHECK_MAIN({"golden", golden}, {"kinds of heads", kinds},
           {"a wrong weight is found", wrong_weight_is_found},
           {"threads do not matter", threads_do_not_matter},
           {"failing allocator", failing})
