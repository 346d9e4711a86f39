/* Runs an experiment on a random head of a kind, for tests. */
// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "analysis/dense_heads.h"
#include "analysis/experiments/checks.h"

typedef struct experiment_case {
    dense_head x;
    atn_head_facts facts;
    atn_checks checks;
} experiment_case;

static inline experiment_case experiment_facts(atn_ctx *cx, dense_kind kind, atn_idx n)
{
    experiment_case e = {.x = make_dense(kind, n, 1)};

    CHECK_OK(atn_head_facts_make(cx, &e.x.h, 1024, &e.facts));
    return e;
}

static inline atn_status experiment_try(atn_ctx *cx, const atn_experiment *of,
                                        experiment_case *e, int64_t trials)
{
    const atn_trial_head t = {&e->facts, trials, 5, trials};
    const atn_status st = of->head(cx, &t, &e->checks);

    atn_checks_judge(&e->checks);
    return st;
}

static inline void experiment_go(atn_ctx *cx, const atn_experiment *of,
                                 experiment_case *e, int64_t trials)
{
    CHECK_OK(experiment_try(cx, of, e, trials));
}

static inline experiment_case experiment_run(atn_ctx *cx, const atn_experiment *of,
                                             dense_kind kind, atn_idx n, int64_t trials)
{
    experiment_case e = experiment_facts(cx, kind, n);

    experiment_go(cx, of, &e, trials);
    return e;
}

static inline int experiment_count(const experiment_case *e, atn_verdict v)
{
    int n = 0;

    for (atn_idx i = 0; i < e->checks.n; i++) n += e->checks.check[i].verdict == v;
    return n;
}

static inline const atn_check *experiment_find(const experiment_case *e, const char *id,
                                               const char *variant)
{
    for (atn_idx i = 0; i < e->checks.n; i++) {
        const atn_check *c = &e->checks.check[i];

        if (strcmp(c->bound->id, id) == 0 && strcmp(c->variant, variant) == 0) return c;
    }
    fail_msg("no check %s of %s", variant, id);
    return NULL;
}

static inline void experiment_drop(atn_ctx *cx, experiment_case *e)
{
    atn_checks_release(cx, &e->checks);
    atn_head_facts_release(cx, &e->facts);
    drop_dense(&e->x);
}

/* What a check measured of `trials` draws in all, of a seed. */
static inline double experiment_sum(atn_ctx *cx, const atn_experiment *of,
                                    experiment_case *e, const char *variant,
                                    uint64_t seed, int64_t trials)
{
    const atn_trial_head t = {&e->facts, trials, seed, trials};

    atn_checks_release(cx, &e->checks);
    CHECK_OK(of->head(cx, &t, &e->checks));
    for (atn_idx i = 0; i < e->checks.n; i++)
        if (strcmp(e->checks.check[i].variant, variant) == 0)
            return e->checks.check[i].measured * (double)trials;
    fail_msg("no check %s", variant);
    return NAN;
}

/* The draws of one seed are not those of another, `step` above it, moved by one. */
static inline void experiment_own_draws(atn_ctx *cx, const atn_experiment *of,
                                        const char *variant, uint64_t step)
{
    experiment_case e = experiment_facts(cx, DENSE_CROSS, 20);
    const double all = experiment_sum(cx, of, &e, variant, 5, 61);
    const double first = experiment_sum(cx, of, &e, variant, 5, 1);
    const double moved = experiment_sum(cx, of, &e, variant, 5 + step, 60);

    CHECK(!(fabs(all - first - moved) <= 1e-9 * fabs(all)));
    experiment_drop(cx, &e);
}

static inline bool experiment_equal(double a, double b)
{
    return a == b || (isnan(a) && isnan(b));
}

/* 1 and 4 threads, bitwise. */
static inline void experiment_same(atn_ctx *cx, const atn_experiment *of,
                                   dense_kind kind, atn_idx n, int64_t trials)
{
    experiment_case a, b;

    cx->threads = 1;
    a = experiment_run(cx, of, kind, n, trials);
    cx->threads = 4;
    b = experiment_run(cx, of, kind, n, trials);
    CHECK_EQ(a.checks.n, b.checks.n);
    for (atn_idx i = 0; i < a.checks.n; i++) {
        const atn_check *p = &a.checks.check[i], *q = &b.checks.check[i];

        CHECK(experiment_equal(p->measured, q->measured));
        CHECK(experiment_equal(p->predicted, q->predicted));
        CHECK(experiment_equal(p->statistic, q->statistic));
    }
    experiment_drop(cx, &a);
    experiment_drop(cx, &b);
}

/* Every allocation fails once, the outcome is MEMORY, and nothing leaks. */
static inline void experiment_failing(atn_ctx *cx, const atn_experiment *of,
                                      dense_kind kind, atn_idx n, int64_t trials)
{
    atn_status st = ATN_MEMORY;
    long allowed = 0;

    for (; st == ATN_MEMORY; allowed++) {
        experiment_case e = experiment_facts(cx, kind, n);
        check_failing f = {allowed};
        atn_ctx poor;

        atn_ctx_init(&poor);
        poor.threads = 1;
        poor.alloc = (atn_allocator){check_failing_resize, &f};
        st = experiment_try(&poor, of, &e, trials);
        atn_checks_release(&poor, &e.checks);
        atn_ctx_release(&poor);
        experiment_drop(cx, &e);
        CHECK(allowed < 100000);
    }
    CHECK_EQ(st, ATN_OK);
    CHECK(allowed > 1);
}
