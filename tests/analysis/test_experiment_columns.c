/* V7 and V8: alpha of heads by hand and by dense loops; sampled row sums hold, and rows
 * that are others are found. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "check.h"
#include "experiment_heads.h"

extern const atn_experiment atn_experiment_alpha, atn_experiment_row_sampling;

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

/* G8: rows sin(.1 (i+1)(l+1)), cos(.07 (i+1)(l+2)), s = 1/2: alpha 3.4782626291, causal
 * 14.4964628569. */
static experiment_case g8(atn_ctx *cx, bool causal)
{
    experiment_case e = {.x =
                             make_dense(causal ? DENSE_CAUSAL : DENSE_BOTH_WAYS, 8, 0)};
    atn_head *h = &e.x.h;

    for (int i = 0; i < 8; i++)
        for (int l = 0; l < 4; l++) {
            e.x.q[i * 4 + l] = (float)sin(.1 * (i + 1) * (l + 1));
            e.x.k[i * 4 + l] = (float)cos(.07 * (i + 1) * (l + 2));
        }
    h->q = (atn_cmat){e.x.q, 8, 4, 4};
    h->k = (atn_cmat){e.x.k, 8, 4, 4};
    h->scale = .5;
    h->sight.window = 0;
    CHECK_OK(atn_head_facts_make(cx, h, 1024, &e.facts));
    return e;
}

static void golden(atn_ctx *cx)
{
    experiment_case e = g8(cx, false);

    experiment_go(cx, &atn_experiment_alpha, &e, 0);
    CHECK_NEAR(find(&e, "alpha_growth", "all keys")->measured, 3.4782626291, 1e-6);
    CHECK_EQ(find(&e, "alpha_growth", "all keys")->verdict, ATN_REPORTED);
    experiment_drop(cx, &e);
    e = g8(cx, true);
    experiment_go(cx, &atn_experiment_alpha, &e, 0);
    CHECK_NEAR(find(&e, "alpha_causal", "all keys")->measured, 14.4964628569, 1e-6);
    CHECK_EQ(find(&e, "alpha_causal", "all keys")->verdict, ATN_HOLDS);
    CHECK_NEAR(find(&e, "alpha_causal", "all keys")->predicted, 8, 0);
    experiment_drop(cx, &e);
}

/* n times the largest sum of squares of a column of the softmax over a rectangle. */
static double alpha(const experiment_case *e, atn_idx row, atn_idx rows, atn_idx key,
                    atn_idx keys, atn_idx skipped)
{
    const dense_head *x = &e->x;
    double best = 0;

    for (atn_idx j = key + skipped; j < key + keys; j++) {
        double sum = 0;

        for (atn_idx i = row; i < row + rows; i++) {
            double all = 0;

            for (atn_idx l = key; l < key + keys; l++) all += x->p[i * x->h.nk + l];
            if (all > 0) sum += pow(x->p[i * x->h.nk + j] / all, 2);
        }
        best = fmax(best, sum);
    }
    return best * (double)keys;
}

static void rectangles(atn_ctx *cx)
{
    experiment_case e = experiment_run(cx, &atn_experiment_alpha, DENSE_CAUSAL, 80, 0);

    CHECK_NEAR(find(&e, "alpha_causal", "all keys")->measured,
               alpha(&e, 0, 80, 0, 80, 0), 1e-9);
    CHECK_NEAR(find(&e, "alpha_growth", "all but the first 32 keys")->measured,
               alpha(&e, 0, 80, 0, 80, 32), 1e-9);
    CHECK_NEAR(find(&e, "alpha_causal", "first 20 tokens")->measured,
               alpha(&e, 0, 20, 0, 20, 0), 1e-9);
    CHECK_NEAR(find(&e, "alpha_growth", "first 40 tokens, but 32 keys")->measured,
               alpha(&e, 0, 40, 0, 40, 32), 1e-9);
    CHECK_NEAR(find(&e, "alpha_growth", "blocks of 40 keys off the diagonal")->measured,
               alpha(&e, 40, 40, 0, 40, 0), 1e-9);
    CHECK_NEAR(find(&e, "alpha_growth", "blocks of 20 keys off the diagonal")->measured,
               fmax(alpha(&e, 20, 20, 0, 20, 0), alpha(&e, 60, 20, 40, 20, 0)), 1e-9);
    CHECK_EQ(find(&e, "alpha_growth", "blocks of 20 keys off the diagonal")->cases, 2);
    experiment_drop(cx, &e);
}

/* A causal head whose first row looks elsewhere. */
static void small_alpha_is_found(atn_ctx *cx)
{
    experiment_case e = experiment_facts(cx, DENSE_CAUSAL, 16);

    for (atn_idx i = 0; i < 256; i++) e.facts.s[i] = i % 16 <= i / 16 ? 0 : -INFINITY;
    for (atn_idx i = 16; i < 256; i++) e.facts.s[i] = 0; /* rows that see all */
    experiment_go(cx, &atn_experiment_alpha, &e, 0);
    CHECK_EQ(find(&e, "alpha_causal", "all keys")->verdict, ATN_HOLDS);
    for (atn_idx j = 0; j < 2; j++) e.facts.s[j] = 0;
    experiment_go(cx, &atn_experiment_alpha, &e, 0);
    CHECK_LE(1, experiment_count(&e, ATN_NOT_APPLICABLE));
    experiment_drop(cx, &e);
}

static void all_kinds_hold(atn_ctx *cx)
{
    for (int kind = 0; kind < DENSE_KINDS; kind++) {
        experiment_case e = experiment_run(cx, &atn_experiment_alpha, kind, 70, 0);

        CHECK_EQ(experiment_count(&e, ATN_VIOLATED), 0);
        experiment_drop(cx, &e);
        e = experiment_run(cx, &atn_experiment_row_sampling, kind, 70, 4000);
        CHECK_EQ(experiment_count(&e, ATN_VIOLATED), 0);
        if (kind != DENSE_BLIND && kind != DENSE_ONE)
            CHECK_EQ(experiment_count(&e, ATN_HOLDS), 5);
        experiment_drop(cx, &e);
    }
}

/* The law: mean of (n sum P^2 - 1) / 16 over the eight rows. */
static void variance_by_loops(atn_ctx *cx)
{
    experiment_case e =
        experiment_run(cx, &atn_experiment_row_sampling, DENSE_CROSS, 64, 20000);
    const atn_check *c = find(&e, "row_sum_variance", "m=16");
    double mean = 0;

    for (int k = 0; k < 8; k++) {
        const double *p = e.x.p + (2 * k + 1) * e.x.h.nq / 16 * e.x.h.nk;
        double squares = 0;

        for (atn_idx j = 0; j < e.x.h.nk; j++) squares += p[j] * p[j];
        mean += ((double)e.x.h.nk * squares - 1) / 16 / 8;
    }
    CHECK_NEAR(c->predicted, mean, 1e-12);
    CHECK_NEAR(c->measured / c->predicted, 1, .1); /* criterion of the card */
    CHECK_EQ(c->trials, 20000);
    experiment_drop(cx, &e);
}

/* Rows that do not sum to 1: estimates are off by a tenth. */
static void wrong_rows_are_found(atn_ctx *cx)
{
    experiment_case e = experiment_facts(cx, DENSE_CROSS, 64);

    for (atn_idx i = 0; i < e.facts.nq * e.facts.nk; i++) e.facts.p[i] *= 1.3;
    experiment_go(cx, &atn_experiment_row_sampling, &e, 20000);
    CHECK_EQ(find(&e, "row_sum_variance", "m=16")->verdict, ATN_VIOLATED);
    experiment_drop(cx, &e);
}

static void needs(atn_ctx *cx)
{
    experiment_case e = experiment_facts(cx, DENSE_CROSS, 40);
    const atn_check *c;

    for (atn_idx i = 0; i < e.facts.nq * e.facts.nk; i++) e.facts.p[i] = 1.0 / 40;
    for (atn_idx i = 0; i < e.facts.nq; i++) e.facts.renyi[i] = log(40);
    experiment_go(cx, &atn_experiment_row_sampling, &e, 10);
    c = find(&e, "row_sum_samples", "50 % of rows, eps=0.1 eta=0.1, of the keys");
    CHECK_NEAR(c->predicted, 0, 1e-9); /* one is enough where all weigh the same */
    CHECK_NEAR(c->measured, 40, 0);
    CHECK_EQ(c->verdict, ATN_REPORTED);
    CHECK(strstr(c->note, "100.0 %"));
    experiment_drop(cx, &e);
}

static void threads_do_not_matter(atn_ctx *cx)
{
    experiment_same(cx, &atn_experiment_alpha, DENSE_CAUSAL, 70, 0);
    experiment_same(cx, &atn_experiment_row_sampling, DENSE_CAUSAL, 60, 200);
}

static void failing(atn_ctx *cx)
{
    experiment_failing(cx, &atn_experiment_alpha, DENSE_CAUSAL, 40, 0);
    experiment_failing(cx, &atn_experiment_row_sampling, DENSE_CAUSAL, 9, 10);
}

CHECK_MAIN({"golden", golden}, {"rectangles", rectangles},
           {"a small alpha is found", small_alpha_is_found},
           {"all kinds hold", all_kinds_hold}, {"variance by loops", variance_by_loops},
           {"wrong rows are found", wrong_rows_are_found}, {"needs", needs},
           {"threads do not matter", threads_do_not_matter}, {"failing", failing})
