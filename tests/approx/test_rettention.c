/* tests/approx/test_rettention.c -- a static mask, and the mass that it had. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "core/apply.h"
#include "tests/approx/history.h"

enum { STEPS = 12 };

/* Row 4 of the first fixture, bidirectional, |i - j| <= 1. */
static void golden(atn_ctx *cx)
{
    double w[8];
    atn_input in[2];
    atn_plan p;
    zoo z[2], *at[2];

    for (int s = 0; s < 2; s++) {
        zoo_first(&z[s]);
        zoo_causal(&z[s], false);
        at[s] = &z[s];
    }
    history_stack(at, in, 2);
    zoo_plan(cx, &z[1], "rettention:ratio=.25,t0=0", 0, &p);
    CHECK_OK(atn_plan_rows(cx, &z[1].head[0], &p, 4, 1, w));
    CHECK_NEAR(w[3] + w[4] + w[5], .362941, 1e-6);
    CHECK_NEAR(w[0] + w[1] + w[2] + w[6] + w[7], 0, 0);
    CHECK_NEAR(zoo_output(&z[1], 0, w), .362941 * 4.154698, 2e-6);
    CHECK_NEAR(p.residual[4], 2.305242, 1e-6);
    CHECK_NEAR(zoo_output(&z[1], 0, w) + (double)p.residual[4], 3.813151, 2e-6);
    zoo_release(cx, &p, 1);
    for (int s = 0; s < 2; s++) zoo_free(&z[s]);
}

/* ---- a twin ---- */

typedef struct mask {
    long half;
    long frames, places; /* 0: no video */
} mask;

static bool in_mask(const mask *m, long i, long j)
{
    const long grid = m->frames * m->places;

    if (m->frames == 0) return labs(i - j) <= m->half;
    if (i >= grid || j >= grid) return true;
    return labs(i % m->places - j % m->places) <= m->half;
}

/* Row i of the step z from the refresh step r; o [dv]. */
static void twin_row(const zoo *z, const zoo *r, atn_idx head, const mask *m, long i,
                     double more, double *w, double *o)
{
    const atn_head *h = &z->head[head];
    double a[ZOO_MOST], rho = 0, mass = 0;

    for (atn_idx e = 0; e < h->v.cols; e++) o[e] = 0;
    zoo_dense(r, head, i, a);
    for (long j = 0; j < h->nk; j++) {
        if (in_mask(m, i, j))
            rho += a[j];
        else
            for (atn_idx e = 0; e < h->v.cols; e++)
                o[e] += a[j] * (double)atn_crow(r->head[head].v, j)[e];
    }
    zoo_dense(z, head, i, a);
    for (long j = 0; j < h->nk; j++) mass += in_mask(m, i, j) ? a[j] : 0;
    for (long j = 0; j < h->nk; j++) {
        w[j] = in_mask(m, i, j) ? (rho + more) * a[j] / mass : 0;
        for (atn_idx e = 0; e < h->v.cols; e++)
            o[e] += w[j] * (double)atn_crow(h->v, j)[e];
    }
}

static void check_step(atn_ctx *cx, const zoo *z, const zoo *r, const char *spec,
                       const mask *m, double more)
{
    for (atn_idx head = 0; head < z->in.heads; head++) {
        const atn_head *h = &z->head[head];
        float out[ZOO_MOST];
        double w[ZOO_MOST], got[ZOO_MOST], o[8];
        atn_plan p;

        zoo_plan(cx, z, spec, head, &p);
        CHECK_OK(atn_plan_apply(cx, h, &p, (atn_mat){out, h->nq, h->v.cols, h->v.cols},
                                NULL, "test"));
        for (long i = 0; i < h->nq; i++) {
            twin_row(z, r, head, m, i, more, w, o);
            CHECK_OK(atn_plan_rows(cx, h, &p, i, 1, got));
            for (long j = 0; j < h->nk; j++) CHECK_NEAR(got[j], w[j], 1e-6);
            for (atn_idx e = 0; e < h->v.cols; e++)
                CHECK_NEAR(out[i * h->v.cols + e], o[e], 2e-5);
        }
        zoo_release(cx, &p, 1);
    }
}

static void against_the_twin(atn_ctx *cx)
{
    uint64_t seed = 77;

    for (int trial = 0; trial < 60; trial++) {
        const bool video = trial % 3 == 0;
        const long frames = 1 + (long)(4 * zoo_uniform(&seed));
        const long rows = 1 + (long)(3 * zoo_uniform(&seed)), cols = 4;
        const long n = video ? frames * rows * cols + (long)(5 * zoo_uniform(&seed))
                             : 1 + (long)(40 * zoo_uniform(&seed));
        const double ratio = zoo_uniform(&seed);
        const long t0 = (long)(4 * zoo_uniform(&seed));
        const long every = 1 + (long)(5 * zoo_uniform(&seed));
        const long places = video ? rows * cols : n;
        const mask m = {(long)(ratio * (double)places) / 2, video ? frames : 0, places};
        const atn_list grid = {3, {frames, rows, cols}};
        atn_input in[STEPS];
        zoo z[STEPS], *at[STEPS];
        char spec[200];

        for (int k = 0; k < STEPS; k++) {
            zoo_random(&z[k], 2, 2, n, n, seed + (uint64_t)k);
            zoo_causal(&z[k], false);
            z[k].in.grid = &grid;
            at[k] = &z[k];
        }
        history_stack(at, in, STEPS);
        snprintf(spec, sizeof spec,
                 "rettention:ratio=%.17g,lambda=.03,t0=%ld,refresh=%ld,video=%s", ratio,
                 t0, every, video ? "yes" : "no");
        for (int t = 0; t < STEPS; t++) {
            const mask all = {n, 0, n};
            const bool dense = t < t0 || t % every == 0;

            check_step(cx, &z[t], &z[t - t % every], spec, dense ? &all : &m,
                       dense ? 0 : .03 * (double)(t % every - 1));
        }
        for (int k = 0; k < STEPS; k++) zoo_free(&z[k]);
    }
}

/* ---- oracles ---- */

/* Nothing changes from step to step and lambda is 0: every step is dense attention.
 * Sink logits are in both sums. */
static void frozen_inputs_are_exact(atn_ctx *cx)
{
    atn_input in[STEPS];
    float out[64];
    zoo z[STEPS], *at[STEPS];

    for (int k = 0; k < STEPS; k++) {
        zoo_random(&z[k], 1, 1, 12, 12, 9);
        zoo_causal(&z[k], false);
        z[k].head[0].has_sink = true;
        z[k].head[0].sink = .7;
        at[k] = &z[k];
    }
    history_stack(at, in, STEPS);
    for (int t = 0; t < STEPS; t++) {
        atn_plan p;

        zoo_plan(cx, &z[t], "rettention:ratio=.4,lambda=0", 0, &p);
        CHECK(p.branch[0].part[0].all == (t <= 5 || t == 10));
        CHECK_OK(atn_plan_apply(cx, &z[t].head[0], &p, (atn_mat){out, 12, 5, 5}, NULL,
                                "test"));
        for (int i = 0; i < 12; i++) {
            double a[12], w[12], o = 0, e = exp(.7), sum = 0, near = 0, kept = 0;

            zoo_dense(&z[t], 0, i, a);
            /* the sum of exponents of this row, from one of its weights */
            for (int j = 0; j < 12; j++) {
                double s = 0;

                for (int c = 0; c < 8; c++)
                    s += (double)z[t].q[8 * i + c] * (double)z[t].k[8 * j + c];
                sum += exp(s / sqrt(8));
            }
            for (int j = 0; j < 12; j++)
                o += a[j] * sum / (sum + e) * (double)z[t].v[5 * j];
            CHECK_NEAR(out[5 * i], o, 1e-5);
            /* what is kept weighs what it did: int(.4 12) / 2 to either side */
            CHECK_OK(atn_plan_rows(cx, &z[t].head[0], &p, i, 1, w));
            for (int j = 0; j < 12; j++) {
                kept += w[j];
                if (p.branch[0].part[0].all || abs(i - j) <= 2)
                    near += a[j] * sum / (sum + e);
            }
            CHECK_NEAR(kept, near, 1e-6);
        }
        zoo_release(cx, &p, 1);
    }
    for (int k = 0; k < STEPS; k++) zoo_free(&z[k]);
}

static void costs_and_refusals(atn_ctx *cx)
{
    atn_input in[7];
    atn_plan p;
    atn_choice c;
    zoo z[7], *at[7];

    for (int k = 0; k < 7; k++) {
        zoo_second(&z[k]);
        zoo_causal(&z[k], false);
        at[k] = &z[k];
    }
    history_stack(at, in, 7);
    zoo_plan(cx, &z[6], "rettention:ratio=2,lambda=0", 0, &p); /* M is everything */
    for (int i = 0; i < 24; i++) {
        CHECK_NEAR(p.branch[0].scale[i], 1, 1e-6);
        CHECK_NEAR(p.residual[i], 0, 1e-5);
    }
    zoo_release(cx, &p, 1);
    /* step 0 leaves nothing to a sparse step, 5 does: 24 + 2 * 23 pairs of 5 numbers */
    zoo_plan(cx, &z[0], "rettention:ratio=.1", 0, &p);
    CHECK_NEAR(p.index_flops, 0, 0);
    zoo_release(cx, &p, 1);
    zoo_plan(cx, &z[5], "rettention:ratio=.1", 0, &p);
    CHECK_NEAR(p.index_flops, 2 * 5 * 70 + 3 * 24, 0);
    zoo_release(cx, &p, 1);
    zoo_plan(cx, &z[6], "rettention:ratio=.1", 0, &p);
    CHECK_NEAR(p.index_flops, 2 * 24, 0);
    CHECK_NEAR(p.index_bytes, 2 * 24 * 2, 0);
    zoo_release(cx, &p, 1);
    CHECK_OK(atn_choice_read(cx, "rettention_hunyuan", "t0=0", &c));
    CHECK_FAILS(atn_choice_plan(cx, &c, &z[6].in, 0, &p), ATN_DATA,
                "video=yes reads the frames of a grid, and the capture names none");
    z[6].in.grid = &(atn_list){3, {5, 5, 1}};
    CHECK_FAILS(atn_choice_plan(cx, &c, &z[6].in, 0, &p), ATN_DATA,
                "a grid of 5 frames has more than the 24 tokens of layer 0");
    z[6].in.grid = &(atn_list){3, {INT64_MAX / 4, INT64_MAX / 4, 5}};
    CHECK_FAILS(atn_choice_plan(cx, &c, &z[6].in, 0, &p), ATN_DATA, "a grid of");
    CHECK_OK(atn_choice_read(cx, "rettention", NULL, &c));
    z[6].in.steps = 0;
    CHECK_FAILS(atn_choice_check(cx, &c, &z[6].in), ATN_DATA, "several steps");
    z[6].in.steps = 7;
    z[5].head[0].q.cols = 3;
    CHECK_FAILS(atn_choice_plan(cx, &c, &z[6].in, 0, &p), ATN_DATA,
                "rettention goes from step 5 to step 6");
    for (int k = 0; k < 7; k++) zoo_free(&z[k]);
}

static void robust(atn_ctx *cx)
{
    const atn_list grid = {3, {2, 5, 5}};
    atn_input in[2];
    zoo z[2], *at[2];

    for (int s = 0; s < 2; s++) {
        zoo_random(&z[s], 1, 1, 60, 60, 1 + (uint64_t)s);
        zoo_causal(&z[s], false);
        z[s].in.grid = &grid;
        at[s] = &z[s];
    }
    history_stack(at, in, 2);
    history_robust(cx, &z[1], "rettention:t0=0,ratio=.2");
    history_robust(cx, &z[1], "rettention:t0=0,ratio=.2,video=yes");
    for (int s = 0; s < 2; s++) zoo_free(&z[s]);
}

CHECK_MAIN({"golden", golden}, {"against the twin", against_the_twin},
           {"frozen inputs are exact", frozen_inputs_are_exact},
           {"costs and refusals", costs_and_refusals}, {"robust", robust})
