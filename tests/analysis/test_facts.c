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

static void check_row(const atn_head_facts *f, atn_idx i, const double *want)
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

static void check_output(const atn_head_facts *f)
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
        atn_head_facts f;
        atn_idx row;

        layer_dense(&m);
        for (atn_idx h = 0; h < m.problem.heads; h++) {
            const atn_head whole = atn_problem_head(&m.problem, h);

            (void)atn_head_trim(&whole, &row);
            CHECK_OK(atn_head_facts_make(cx, &whole, LAYER_MOST, &f));
            CHECK(!f.cut);
            for (atn_idx i = 0; i < f.nq; i++) {
                wanted_row(&m, h, row + i, first, f.nk, want);
                check_row(&f, i, want);
            }
            check_output(&f);
            atn_head_facts_release(cx, &f);
        }
        layer_drop(&m);
    }
}

/* The first rows of a causal head are those of the whole. */
static void cut(atn_ctx *cx)
{
    layer_model m = layer_make(cx, 0);
    const atn_head h = atn_problem_head(&m.problem, 1);
    atn_head_facts whole, part;

    CHECK_OK(atn_head_facts_make(cx, &h, LAYER_MOST, &whole));
    CHECK_OK(atn_head_facts_make(cx, &h, 9, &part));
    CHECK(part.cut && !whole.cut);
    CHECK_EQ(part.nq, 9);
    CHECK_EQ(part.nk, 9);
    for (atn_idx i = 0; i < 9; i++)
        for (atn_idx j = 0; j < 9; j++)
            CHECK_NEAR(part.p[i * 9 + j], whole.p[i * whole.nk + j], 1e-15);
    atn_head_facts_release(cx, &whole);
    atn_head_facts_release(cx, &part);
    layer_drop(&m);
}

static void spectrum(atn_ctx *cx)
{
    layer_model m = layer_make(cx, 2);
    const atn_head h = atn_problem_head(&m.problem, 0);
    double squares = 0, sigma = 0;
    atn_head_facts f;
    atn_idx r;

    CHECK_OK(atn_head_facts_make(cx, &h, LAYER_MOST, &f));
    CHECK_OK(atn_head_facts_spectrum(cx, &f, false));
    CHECK(f.sigma && !f.u);
    CHECK_OK(atn_head_facts_spectrum(cx, &f, true));
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
    atn_head_facts_release(cx, &f);
    layer_drop(&m);
}

/* Statistics of rows in the tables of kernel-theory.md, n = 8, d = 4, scale 1/2:
 * q_il = sin(.1 (i+1)(l+1)), k_il = cos(.07 (i+1)(l+2)). By loops in double they meet
 * all digits, of facts, which are of floats, six. */
enum { SQUARES, ENTROPY, ALPHA, TAU, STATISTICS, G8_N = 8, G8_D = 4 };

static void statistics(const double *p, double *out)
{
    memset(out, 0, STATISTICS * sizeof *out);
    for (int i = 0; i < G8_N; i++) {
        double column = 0;

        for (int j = 0; j < G8_N; j++) {
            const double x = p[i * G8_N + j];

            column += p[j * G8_N + i] * p[j * G8_N + i];
            if (x > 0) out[ENTROPY] -= x * log(x) / G8_N;
        }
        out[SQUARES] += column;
        out[ALPHA] = fmax(out[ALPHA], G8_N * column);
        for (int l = 0; l < G8_N; l++) {
            double same = 0;

            for (int j = 0; j < G8_N; j++)
                same += fmin(p[i * G8_N + j], p[l * G8_N + j]);
            out[TAU] = fmax(out[TAU], 1 - same);
        }
    }
}

static void golden(atn_ctx *cx)
{
    static const double want[2][STATISTICS] = {
        {1.2867905488, 1.9332375908, 3.4782626291, .1878766946},
        {2.8542568327, 1.2746331339, 14.4964628569, .8055657525}};
    static const double sigma[2][4] = {
        {1.1271832806, .1266933290, .0139690393, 1.0127885570},
        {1.5158533698, .6363326210, .3181686406, 1.2421632100}};
    double q[G8_N * G8_D], k[G8_N * G8_D], p[G8_N * G8_N], got[STATISTICS];
    float a[G8_N * G8_D], b[G8_N * G8_D];

    for (int e = 0; e < G8_N * G8_D; e++) {
        a[e] = (float)(q[e] = sin(.1 * (e / G8_D + 1) * (e % G8_D + 1)));
        b[e] = (float)(k[e] = cos(.07 * (e / G8_D + 1) * (e % G8_D + 2)));
    }
    for (int causal = 0; causal < 2; causal++) {
        const atn_head h = {.q = {a, G8_N, G8_D, G8_D},
                            .k = {b, G8_N, G8_D, G8_D},
                            .nq = G8_N,
                            .nk = G8_N,
                            .scale = .5,
                            .sight = {.causal = causal, .key_last = G8_N}};
        atn_head_facts f;

        for (int i = 0; i < G8_N; i++) {
            double sum = 0;

            for (int j = 0; j < G8_N; j++) {
                double s = 0;

                for (int c = 0; c < G8_D; c++) s += q[i * G8_D + c] * k[j * G8_D + c];
                sum += p[i * G8_N + j] = causal && j > i ? 0 : exp(s / 2);
            }
            for (int j = 0; j < G8_N; j++) p[i * G8_N + j] /= sum;
        }
        statistics(p, got);
        for (int e = 0; e < STATISTICS; e++) CHECK_NEAR(got[e], want[causal][e], 1e-9);
        CHECK_OK(atn_head_facts_make(cx, &h, 1024, &f));
        CHECK_OK(atn_head_facts_spectrum(cx, &f, false));
        statistics(f.p, got);
        for (int e = 0; e < STATISTICS; e++) CHECK_NEAR(got[e], want[causal][e], 2e-6);
        for (int e = 0; e < 3; e++) CHECK_NEAR(f.sigma[e], sigma[causal][e], 1e-6);
        CHECK_NEAR(got[SQUARES] / (f.sigma[0] * f.sigma[0]), sigma[causal][3], 1e-6);
        got[ENTROPY] = 0;
        for (int i = 0; i < G8_N; i++) got[ENTROPY] += f.entropy[i] / G8_N;
        CHECK_NEAR(got[ENTROPY], want[causal][ENTROPY], 1e-6);
        atn_head_facts_release(cx, &f);
    }
}

static void failures(atn_ctx *cx)
{
    layer_model m = layer_make(cx, 0);
    atn_head h = atn_problem_head(&m.problem, 0);
    atn_head_facts f;

    CHECK(atn_head_facts_bytes(&h, LAYER_MOST) > 3.0 * 8 * (double)(h.nq * h.nk));
    for (long left = 0; left < 40; left++) {
        check_failing fail = {left};
        atn_status st;
        atn_ctx poor;

        atn_ctx_init(&poor);
        poor.alloc = (atn_allocator){check_failing_resize, &fail};
        st = atn_head_facts_make(&poor, &h, LAYER_MOST, &f);
        CHECK(st == ATN_OK || st == ATN_MEMORY);
        atn_head_facts_release(&poor, &f);
        atn_ctx_release(&poor);
    }
    m.q[3] = INFINITY;
    CHECK_FAILS(atn_head_facts_make(cx, &h, LAYER_MOST, &f), ATN_DATA, "row 0");
    atn_head_facts_release(cx, &f);
    layer_drop(&m);
}

CHECK_MAIN({"kinds", kinds}, {"cut", cut}, {"spectrum", spectrum}, {"golden", golden},
           {"failures", failures})
