/* HA-4: masks by brute force, and the card's clusters. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "check.h"
#include "cluster_head.h"

#include "analysis/experiments/hyper_mask.h"

extern const atn_experiment atn_experiment_hyper_conditions;

/* Card 2 (e): kappa 5.6 to 11.6, alpha 27 to 30, |P|_F^2 16. */
static void clusters_as_expected(atn_ctx *cx)
{
    experiment_case e = cluster_case(cx, 1);
    const atn_check *c;

    experiment_go(cx, &atn_experiment_hyper_conditions, &e, 0);
    CHECK_EQ(experiment_count(&e, ATN_HOLDS), 8);
    c = experiment_find(&e, "hyper_alpha", "all");
    CHECK_NEAR(c->predicted, 28.5, 3);
    CHECK_NEAR(c->measured, 16, 1);
    c = experiment_find(&e, "hyper_kappa", "without blocks");
    CHECK_NEAR(exp(c->measured), 8.6, 4.5);
    experiment_drop(cx, &e);
}

/* The largest of a row: every one left is at most every one taken, as many as asked. */
static void largest_are_masked(atn_ctx *cx)
{
    experiment_case e = experiment_facts(cx, DENSE_CAUSAL, 19);
    const atn_head_facts *f = &e.facts;
    bool mask[19 * 19];

    CHECK_OK(atn_largest_mask(cx, f, 4, mask));
    for (atn_idx i = 0; i < f->nq; i++) {
        double least = 2, most = -1;
        int n = 0;

        for (atn_idx j = 0; j < f->nk; j++) {
            const double p = f->p[i * f->nk + j];

            n += mask[i * f->nk + j];
            if (mask[i * f->nk + j])
                least = fmin(least, p);
            else
                most = fmax(most, p);
        }
        CHECK_EQ(n, 4);
        CHECK_LE(most, least);
    }
    experiment_drop(cx, &e);
}

/* Every key is in one block with as many queries as there are in a block. */
static void blocks_are_blocks(atn_ctx *cx)
{
    experiment_case e = experiment_facts(cx, DENSE_CROSS, 20);
    const atn_hash_blocks how = {3, 0, 3, 6, false};
    const atn_head_facts *f = &e.facts;
    bool mask[25 * 20];

    CHECK_EQ(f->nq, 25);
    CHECK_OK(atn_hash_mask(cx, f, &how, mask));
    for (atn_idx i = 0; i < 25; i++) {
        int n = 0;

        for (atn_idx j = 0; j < 20; j++) n += mask[i * 20 + j];
        CHECK(n == 6 || n == 2);
    }
    for (atn_idx j = 0; j < 20; j++) {
        int n = 0;

        for (atn_idx i = 0; i < 25; i++) n += mask[i * 20 + j];
        CHECK(n == 7 || n == 4);
    }
    experiment_drop(cx, &e);
}

/* kappa, alpha by loops of their own; a weight that is too large is found. */
static void left_by_brute_force(atn_ctx *cx)
{
    experiment_case e = experiment_facts(cx, DENSE_WINDOW, 17);
    const atn_head_facts *f = &e.facts;
    double norm[17], lo = INFINITY, hi = 0, square = 0;
    bool mask[17 * 17];
    atn_unmasked u;

    for (int c = 0; c < 17 * 17; c++) mask[c] = c % 3 == 0;
    atn_unmasked_of(f, mask, norm, &u);
    for (int i = 0; i < 17; i++) {
        double sum = 0;

        for (int j = 0; j < 17; j++) {
            if (mask[i * 17 + j]) continue;
            sum += exp(f->s[i * 17 + j]);
            square += f->p[i * 17 + j] * f->p[i * 17 + j];
        }
        if (sum == 0) continue;
        lo = fmin(lo, sum);
        hi = fmax(hi, sum);
    }
    CHECK_NEAR(u.ln_kappa, log(hi / lo), 1e-12);
    CHECK_NEAR(u.square, square, 1e-12);
    experiment_go(cx, &atn_experiment_hyper_conditions, &e, 0);
    CHECK_EQ(experiment_count(&e, ATN_VIOLATED), 0);
    experiment_drop(cx, &e);
}

static void threads_and_failures(atn_ctx *cx)
{
    experiment_same(cx, &atn_experiment_hyper_conditions, DENSE_CAUSAL, 30, 0);
    experiment_same(cx, &atn_experiment_hyper_conditions, DENSE_BLIND, 6, 0);
    experiment_failing(cx, &atn_experiment_hyper_conditions, DENSE_CAUSAL, 9, 0);
}

CHECK_MAIN({"clusters as expected", clusters_as_expected},
           {"the largest are masked", largest_are_masked},
           {"blocks are blocks", blocks_are_blocks},
           {"what is left, by brute force", left_by_brute_force},
           {"threads and failures", threads_and_failures})
