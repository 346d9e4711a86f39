/* Facts of heads of every kind, against dense rows made by loops of the test. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "layer_model.h"

#include "analysis/experiments/facts.h"
#include "core/plan.h"

/* The row of the dense model without the share of a sink, cut to the first `keys` of the
 * tokens from `first` on. */
static void wanted_row(const layer_model *m, atn_idx h, atn_idx i, atn_idx first,
                       atn_idx keys, double *out)
{
    const double *p = m->p + (h * m->n + i) * m->problem.nk;
    double sum = 0;

    for (atn_idx j = 0; j < keys; j++) sum += p[first + j];
    for (atn_idx j = 0; j < keys; j++) out[j] = sum > 0 ? p[first + j] / sum : 0;
}

static void check_row(const atn_facts *f, atn_idx i, const double *want)
{
    const double *p = f->p + i * f->nk;
    double h = 0, squares = 0, sum = 0;

    for (atn_idx j = 0; j < f->nk; j++) {
        CHECK_NEAR(p[j], want[j], 2e-6);
        sum += p[j];
        squares += p[j] * p[j];
        if (p[j] > 0) h -= p[j] * log(p[j]);
        CHECK((p[j] > 0) <= isfinite(f->s[i * f->nk + j]));
        if (p[j] > 0) CHECK_NEAR(exp(f->s[i * f->nk + j] - f->lse[i]), p[j], 1e-12);
    }
    if (sum == 0) {
        CHECK(isnan(f->lse[i]) && isnan(f->entropy[i]) && isnan(f->renyi[i]));
        return;
    }
    CHECK_NEAR(sum, 1, 1e-12);
    CHECK_NEAR(f->entropy[i], h, 1e-10);
    CHECK_NEAR(f->renyi[i], -log(squares), 1e-10);
}

static void check_output(const atn_facts *f)
{
    for (atn_idx i = 0; f->o && i < f->nq; i++)
        for (atn_idx e = 0; e < f->dv; e++) {
            double o = 0;

            for (atn_idx j = 0; j < f->nk; j++)
                o += f->p[i * f->nk + j] * (double)atn_crow(f->head.v, j)[e];
            CHECK_NEAR(f->o[i * f->dv + e], o, 1e-12);
        }
}

static void kinds(atn_ctx *cx)
{
    double want[LAYER_MOST];

    for (int kind = 0; kind + 1 < LAYER_KINDS; kind++) { /* not of some rows */
        layer_model m = layer_make(cx, kind);
        const atn_idx first = ATN_MAX(m.problem.sight.key_first, 0);
        atn_facts f;
        atn_idx row;

        layer_dense(&m);
        for (atn_idx h = 0; h < m.problem.heads; h++) {
            const atn_head whole = atn_problem_head(&m.problem, h);

            (void)atn_head_trim(&whole, &row);
            CHECK_OK(atn_facts_make(cx, &whole, LAYER_MOST, &f));
            CHECK(!f.cut);
            for (atn_idx i = 0; i < f.nq; i++) {
                wanted_row(&m, h, row + i, first, f.nk, want);
                check_row(&f, i, want);
            }
            check_output(&f);
            atn_facts_release(cx, &f);
        }
        layer_drop(&m);
    }
}

/* The first rows of a causal head are those of the whole. */
static void cut(atn_ctx *cx)
{
    layer_model m = layer_make(cx, 0);
    const atn_head h = atn_problem_head(&m.problem, 1);
    atn_facts whole, part;

    CHECK_OK(atn_facts_make(cx, &h, LAYER_MOST, &whole));
    CHECK_OK(atn_facts_make(cx, &h, 9, &part));
    CHECK(part.cut && !whole.cut);
    CHECK_EQ(part.nq, 9);
    CHECK_EQ(part.nk, 9);
    for (atn_idx i = 0; i < 9; i++)
        for (atn_idx j = 0; j < 9; j++)
            CHECK_NEAR(part.p[i * 9 + j], whole.p[i * whole.nk + j], 1e-15);
    atn_facts_release(cx, &whole);
    atn_facts_release(cx, &part);
    layer_drop(&m);
}

static void spectrum(atn_ctx *cx)
{
    layer_model m = layer_make(cx, 2);
    const atn_head h = atn_problem_head(&m.problem, 0);
    double squares = 0, sigma = 0;
    atn_facts f;
    atn_idx r;

    CHECK_OK(atn_facts_make(cx, &h, LAYER_MOST, &f));
    CHECK_OK(atn_facts_spectrum(cx, &f, false));
    CHECK(f.sigma && !f.u);
    CHECK_OK(atn_facts_spectrum(cx, &f, true));
    r = ATN_MIN(f.nq, f.nk);
    for (atn_idx e = 0; e < f.nq * f.nk; e++) squares += f.p[e] * f.p[e];
    for (atn_idx k = 0; k < r; k++) sigma += f.sigma[k] * f.sigma[k];
    CHECK_NEAR(sigma, squares, 1e-10);
    for (atn_idx i = 0; i < f.nq; i++)
        for (atn_idx j = 0; j < f.nk; j++) {
            double p = 0;

            for (atn_idx k = 0; k < r; k++)
                p += f.u[i * r + k] * f.sigma[k] * f.vt[k * f.nk + j];
            CHECK_NEAR(p, f.p[i * f.nk + j], 1e-12);
        }
    atn_facts_release(cx, &f);
    layer_drop(&m);
}

static void failures(atn_ctx *cx)
{
    layer_model m = layer_make(cx, 0);
    atn_head h = atn_problem_head(&m.problem, 0);
    atn_facts f;

    CHECK(atn_facts_bytes(&h, LAYER_MOST) > 3.0 * 8 * (double)(h.nq * h.nk));
    for (long left = 0; left < 40; left++) {
        check_failing fail = {left};
        atn_status st;
        atn_ctx poor;

        atn_ctx_init(&poor);
        poor.alloc = (atn_allocator){check_failing_resize, &fail};
        st = atn_facts_make(&poor, &h, LAYER_MOST, &f);
        CHECK(st == ATN_OK || st == ATN_MEMORY);
        atn_facts_release(&poor, &f);
        atn_ctx_release(&poor);
    }
    m.q[3] = INFINITY;
    CHECK_FAILS(atn_facts_make(cx, &h, LAYER_MOST, &f), ATN_DATA, "row 0");
    atn_facts_release(cx, &f);
    layer_drop(&m);
}

CHECK_MAIN({"kinds", kinds}, {"cut", cut}, {"spectrum", spectrum},
           {"failures", failures})
