/* V1 and V5 on random heads hold; rows or outputs that are something else are found. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include <float.h>

#include "check.h"
#include "experiment_heads.h"

#include "analysis/experiments/worst.h"

extern const atn_experiment atn_experiment_dropped_mass, atn_experiment_entropy;

static bool is_of(const atn_check *c, const char *bound, const char *variant)
{
    return strcmp(c->bound->id, bound) == 0 && strcmp(c->variant, variant) == 0;
}

static const atn_check *find(const experiment_case *e, const char *bound,
                             const char *variant)
{
    for (atn_idx i = 0; i < e->checks.n; i++)
        if (is_of(&e->checks.check[i], bound, variant)) return &e->checks.check[i];
    fail_msg("no check %s %s", bound, variant);
    return NULL;
}

static void all_kinds_hold(atn_ctx *cx)
{
    for (int kind = 0; kind < DENSE_KINDS; kind++) {
        experiment_case e =
            experiment_run(cx, &atn_experiment_dropped_mass, kind, 40, 0);

        CHECK_EQ(experiment_count(&e, ATN_VIOLATED), 0);
        CHECK_EQ(e.checks.n, 10 * 8 + 2 * 2);
        if (kind != DENSE_BLIND) CHECK_LE(60, experiment_count(&e, ATN_HOLDS));
        experiment_drop(cx, &e);
        e = experiment_run(cx, &atn_experiment_entropy, kind, 40, 0);
        CHECK_EQ(experiment_count(&e, ATN_VIOLATED), 0);
        if (kind != DENSE_BLIND) CHECK_LE(1, experiment_count(&e, ATN_HOLDS));
        experiment_drop(cx, &e);
    }
}

/* The largest weight that a row of the dense head lacks of its k best: by the loops of
 * the test. */
static double beyond(const dense_head *x, atn_idx i, int k, double *entropy)
{
    const double *p = x->p + i * x->h.nk;
    bool taken[64] = {false};
    double sum = 0, rest;

    *entropy = 0;
    for (atn_idx j = 0; j < x->h.nk; j++) {
        sum += p[j];
        if (p[j] > 0) *entropy -= p[j] * log(p[j]);
    }
    for (rest = sum; k > 0; k--) {
        atn_idx best = -1;

        for (atn_idx j = 0; j < x->h.nk; j++)
            if (!taken[j] && (best < 0 || p[j] > p[best])) best = j;
        if (best < 0) break;
        taken[best] = true;
        rest -= p[best];
    }
    return rest;
}

/* What is kept as the worst is the worst. */
static void worst_row(atn_ctx *cx)
{
    experiment_case e = experiment_run(cx, &atn_experiment_entropy, DENSE_CROSS, 40, 0);
    const atn_check *c = find(&e, "entropy_topk_upper", "k=4");
    double ratio = 0, h;

    for (atn_idx i = 0; i < e.x.h.nq; i++) {
        const double b = beyond(&e.x, i, 4, &h);

        ratio = fmax(ratio, b / (h / log(5)));
    }
    CHECK_NEAR(c->measured / c->predicted, ratio, 1e-9);
    CHECK_EQ(c->cases, e.x.h.nq);
    experiment_drop(cx, &e);
}

/* Outputs that are not P V. */
static void wrong_output_is_found(atn_ctx *cx)
{
    experiment_case e = experiment_facts(cx, DENSE_CAUSAL, 40);

    e.facts.o[30 * e.facts.dv] += 1e-6;
    experiment_go(cx, &atn_experiment_dropped_mass, &e, 0);
    CHECK_EQ(find(&e, "dropped_mass_error", "topk k=4")->verdict, ATN_VIOLATED);
    CHECK_EQ(find(&e, "dropped_mass_error", "topk k=4")->failures, 1);
    CHECK_EQ(find(&e, "dropped_mass_raw", "window 16")->verdict, ATN_VIOLATED);
    CHECK_EQ(find(&e, "dropped_mass_weights", "window 16")->verdict, ATN_HOLDS);
    experiment_drop(cx, &e);
}

/* Weights that are no softmax of the queries and keys. */
static void wrong_weights_are_found(atn_ctx *cx)
{
    experiment_case e = experiment_facts(cx, DENSE_CROSS, 40);
    double *p = e.facts.p + 5 * e.facts.nk;

    p[3] += 1e-4; /* the row still sums to 1 */
    p[17] -= 1e-4;
    experiment_go(cx, &atn_experiment_dropped_mass, &e, 0);
    CHECK_LE(1, experiment_count(&e, ATN_VIOLATED));
    experiment_drop(cx, &e);
}

/* Entropies that are not those of the rows: a logit that the row does not have. */
static void wrong_entropy_is_found(atn_ctx *cx)
{
    experiment_case e = experiment_facts(cx, DENSE_CROSS, 40);

    for (atn_idx i = 0; i < e.facts.nq; i++) e.facts.lse[i] -= 3;
    experiment_go(cx, &atn_experiment_entropy, &e, 0);
    CHECK_EQ(find(&e, "entropy_topk_upper", "k=1")->verdict, ATN_VIOLATED);
    experiment_drop(cx, &e);
    e = experiment_facts(cx, DENSE_CROSS, 40);
    for (atn_idx i = 0; i < e.facts.nq; i++) e.facts.lse[i] += 3;
    experiment_go(cx, &atn_experiment_entropy, &e, 0);
    CHECK_EQ(find(&e, "entropy_topk_lower", "k=1")->verdict, ATN_VIOLATED);
    experiment_drop(cx, &e);
}

/* One-hot rows, zero queries, logits of 1e4. */
static void degenerate(atn_ctx *cx)
{
    static const float sizes[] = {0, 300, 1e4f};

    for (int k = 0; k < 3; k++) {
        experiment_case e = {.x = make_dense(DENSE_CAUSAL, 40, 2)};

        for (atn_idx i = 0; i < 40 * DENSE_D; i++) e.x.q[i] *= sizes[k];
        CHECK_OK(atn_head_facts_make(cx, &e.x.h, 1024, &e.facts));
        experiment_go(cx, &atn_experiment_dropped_mass, &e, 0);
        experiment_go(cx, &atn_experiment_entropy, &e, 0);
        CHECK_EQ(experiment_count(&e, ATN_VIOLATED), 0);
        experiment_drop(cx, &e);
    }
}

/* Parts that weigh e^-800, or less than any double: their means are there all the same,
 * and what holds does. Normal keys and values, queries of up to 800. */
static void tiny_parts(atn_ctx *cx)
{
    for (int by = 200; by <= 800; by += 100) {
        experiment_case e = {.x = make_dense(DENSE_CAUSAL, 128, by)};
        atn_idx denormal = 0, pairs;

        for (atn_idx i = 0; i < 128 * DENSE_D; i++) e.x.q[i] *= (float)by;
        CHECK_OK(atn_head_facts_make(cx, &e.x.h, 1024, &e.facts));
        pairs = e.facts.nq * e.facts.nk;
        for (atn_idx i = 0; i < pairs; i++)
            denormal += e.facts.p[i] > 0 && e.facts.p[i] < DBL_MIN;
        CHECK_LE(1, denormal);
        experiment_go(cx, &atn_experiment_dropped_mass, &e, 0);
        experiment_go(cx, &atn_experiment_entropy, &e, 0);
        CHECK_EQ(experiment_count(&e, ATN_VIOLATED), 0);
        /* rows that keep only what weighs nothing count, too */
        CHECK_EQ(find(&e, "dropped_mass_error", "window 4")->cases, 128);
        experiment_drop(cx, &e);
    }
}

static void the_worst(atn_ctx *cx)
{
    atn_worst w = {0}, more = {0};

    (void)cx;
    atn_worst_take(&w, ATN_AT_MOST, 2, 1, 0);
    atn_worst_take(&w, ATN_AT_MOST, 4, 3, 0);
    atn_worst_take(&w, ATN_AT_MOST, NAN, 9, 0);
    CHECK_NEAR(w.predicted, 4, 0);
    CHECK_EQ(w.cases, 2);
    CHECK_EQ(w.failures, 0);
    atn_worst_take(&more, ATN_AT_MOST, 1, 1.5, 0);
    atn_worst_take(&more, ATN_AT_MOST, 100, 101, 0);
    atn_worst_join(&w, &more);
    CHECK_NEAR(w.predicted, 1, 0);
    CHECK_EQ(w.cases, 4);
    CHECK_EQ(w.failures, 2);
    atn_worst_take(&w, ATN_AT_MOST, 1, NAN, 0);
    CHECK(isnan(w.measured));
    CHECK_EQ(w.failures, 3);
    w = (atn_worst){0};
    atn_worst_take(&w, ATN_AT_LEAST, 1, 2, 0);
    atn_worst_take(&w, ATN_AT_LEAST, 1, 1.5, 0);
    CHECK_NEAR(w.measured, 1.5, 0);
    atn_worst_take(&w, ATN_AT_LEAST, 1, 1 - 1e-7, 1e3);
    CHECK_EQ(w.failures, 0);
    w = (atn_worst){0};
    atn_worst_take(&w, ATN_EQUAL, 1, 1 + 1e-11, 0);
    atn_worst_take(&w, ATN_EQUAL, 0, 1e-8, 0);
    CHECK_EQ(w.failures, 1);
    CHECK_NEAR(w.measured, 1e-8, 0);
}

static void threads_do_not_matter(atn_ctx *cx)
{
    experiment_same(cx, &atn_experiment_dropped_mass, DENSE_CAUSAL, 60, 0);
    experiment_same(cx, &atn_experiment_entropy, DENSE_CAUSAL, 60, 0);
}

static void failing(atn_ctx *cx)
{
    experiment_failing(cx, &atn_experiment_dropped_mass, DENSE_CAUSAL, 9, 0);
    experiment_failing(cx, &atn_experiment_entropy, DENSE_CAUSAL, 9, 0);
}

CHECK_MAIN({"all kinds hold", all_kinds_hold}, {"worst row", worst_row},
           {"a wrong output is found", wrong_output_is_found},
           {"wrong weights are found", wrong_weights_are_found},
           {"a wrong entropy is found", wrong_entropy_is_found},
           {"degenerate", degenerate}, {"tiny parts", tiny_parts},
           {"the worst", the_worst}, {"threads do not matter", threads_do_not_matter},
           {"failing", failing})
