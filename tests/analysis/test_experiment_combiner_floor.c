/* The floor of Combiner: golden numbers, brute force, heads of all kinds, rows that are
 * wrong. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "check.h"
#include "experiment_heads.h"

extern const atn_experiment atn_experiment_combiner_floor;

/* G8: rows sin(.1 (i+1)(l+1)), cos(.07 (i+1)(l+2)), s = 1/2, segments of 4. */
static void golden(atn_ctx *cx)
{
    static const double want[] = {.0012782559, .0006103570};

    for (int causal = 0; causal < 2; causal++) {
        experiment_case e = {
            .x = make_dense(causal ? DENSE_CAUSAL : DENSE_BOTH_WAYS, 8, 0)};
        const atn_check *c;
        atn_head *h = &e.x.h;

        for (int i = 0; i < 32; i++) {
            e.x.q[i] = (float)sin(.1 * (i / 4 + 1) * (i % 4 + 1));
            e.x.k[i] = (float)cos(.07 * (i / 4 + 1) * (i % 4 + 2));
        }
        h->q = (atn_cmat){e.x.q, 8, 4, 4};
        h->k = (atn_cmat){e.x.k, 8, 4, 4};
        h->scale = .5;
        h->sight.window = 0;
        CHECK_OK(atn_head_facts_make(cx, h, 1024, &e.facts));
        experiment_go(cx, &atn_experiment_combiner_floor, &e, 0);
        c = experiment_find(&e, "combiner_floor", "segments of 4, pool max");
        CHECK_NEAR(c->predicted, want[causal], 1e-8);
        CHECK_EQ(c->verdict, ATN_HOLDS);
        c = experiment_find(&e, "combiner_floor", "segments of 4, pool mean");
        CHECK_NEAR(c->predicted, want[causal], 1e-8);
        experiment_drop(cx, &e);
    }
}

/* KL of the rows against those with their own masses and shares of the mean: no shares
 * a little off do better. */
static double divergence(const atn_head_facts *f, int span, const double *off)
{
    double sum = 0;

    for (int s = 0; s < f->nk / span; s++) {
        double share[64], all = 0;

        for (int j = 0; j < span; j++) {
            share[j] = 0;
            for (int i = (s + 1) * span; i < f->nq; i++)
                share[j] += f->p[i * f->nk + s * span + j];
            share[j] *= 1 + off[s * span + j];
            all += share[j];
        }
        for (int i = (s + 1) * span; i < f->nq; i++) {
            const double *p = f->p + i * f->nk + s * span;
            double mass = 0;

            for (int j = 0; j < span; j++) mass += p[j];
            for (int j = 0; j < span; j++)
                sum += p[j] * log(p[j] * all / (mass * share[j]));
        }
    }
    return sum / (double)f->nq;
}

static void by_brute_force(atn_ctx *cx)
{
    experiment_case e =
        experiment_run(cx, &atn_experiment_combiner_floor, DENSE_CAUSAL, 48, 0);
    const atn_check *c =
        experiment_find(&e, "combiner_floor", "segments of 8, pool mean");
    atn_rng r = atn_rng_stream(4, "test/floor", 0, 0);

    for (int trial = 0; trial < 20; trial++) {
        double off[48] = {0};

        for (int j = 0; j < 48 && trial > 0; j++) off[j] = .1 * atn_rng_uniform(&r);
        if (trial == 0)
            CHECK_NEAR(divergence(&e.facts, 8, off), c->predicted, 1e-10);
        else
            CHECK_LE(c->predicted, divergence(&e.facts, 8, off));
    }
    CHECK(c->predicted > 1e-4);
    experiment_drop(cx, &e);
}

static void kinds(atn_ctx *cx)
{
    for (int k = 0; k < DENSE_KINDS; k++)
        for (atn_idx n = 1; n < 100; n += 9) {
            experiment_case e = experiment_facts(cx, (dense_kind)k, n);

            if (e.x.h.q.data) experiment_go(cx, &atn_experiment_combiner_floor, &e, 0);
            CHECK_EQ(experiment_count(&e, ATN_VIOLATED), 0);
            if (k == DENSE_CAUSAL || k == DENSE_BOTH_WAYS)
                CHECK_EQ(experiment_count(&e, ATN_HOLDS), e.checks.n);
            if (k == DENSE_CAUSAL) CHECK(e.checks.n >= 2);
            experiment_drop(cx, &e);
        }
}

/* Rows that sum to next to nothing come out below the floor. */
static void wrong_rows_are_found(atn_ctx *cx)
{
    experiment_case e = experiment_facts(cx, DENSE_CAUSAL, 36);

    for (atn_idx i = 0; i < 36 * 36; i++) e.facts.p[i] *= 1e-6;
    experiment_go(cx, &atn_experiment_combiner_floor, &e, 0);
    CHECK_EQ(experiment_count(&e, ATN_VIOLATED), e.checks.n);
    experiment_drop(cx, &e);
}

static void threads_and_memory(atn_ctx *cx)
{
    experiment_same(cx, &atn_experiment_combiner_floor, DENSE_CAUSAL, 50, 0);
    experiment_failing(cx, &atn_experiment_combiner_floor, DENSE_CAUSAL, 12, 0);
}

CHECK_MAIN({"golden", golden}, {"by brute force", by_brute_force}, {"kinds", kinds},
           {"wrong rows are found", wrong_rows_are_found},
           {"threads and memory", threads_and_memory})
