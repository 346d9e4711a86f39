/* Linformer: the golden row, a dense twin, E = F = 1, what is drawn. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "tests/approx/low_rank.h"

enum { MOST = 40 };

typedef struct sizes {
    int nq, nk, d, r;
    double s, sink; /* -INFINITY = none */
} sizes;

/* w [nq, nk] of given mixtures e, f [nk, r]. */
static void twin(const sizes *t, const double *q, const double *k, const double *e,
                 const double *f, double *w)
{
    for (int i = 0; i < t->nq; i++) {
        double z[MOST], sum = exp(t->sink);

        for (int v = 0; v < t->r; v++) {
            z[v] = 0;
            for (int j = 0; j < t->nk; j++)
                for (int c = 0; c < t->d; c++)
                    z[v] += t->s * q[i * t->d + c] * k[j * t->d + c] * e[j * t->r + v];
            sum += exp(z[v]);
        }
        for (int j = 0; j < t->nk; j++) {
            w[i * t->nk + j] = 0;
            for (int v = 0; v < t->r; v++)
                w[i * t->nk + j] += exp(z[v]) / sum * f[j * t->r + v];
        }
    }
}

/* Files hold normal numbers, which the method divides by sqrt(r). */
static void draw(atn_ctx *cx, zoo *z, const double *e, const double *f, int n, int r)
{
    float a[MOST * MOST], b[MOST * MOST];
    const atn_st_out two[] = {{"mix_keys.layer-000", ATN_F32, 2, {n, r}, a},
                              {"mix_values.layer-000", ATN_F32, 2, {n, r}, b}};

    for (int i = 0; i < n * r; i++) {
        a[i] = (float)(sqrt(r) * e[i]);
        b[i] = (float)(sqrt(r) * f[i]);
    }
    zoo_draws(cx, z, "linformer", two, 2);
}

static void golden(atn_ctx *cx)
{
    const sizes t = {8, 8, 4, 3, .5, -INFINITY};
    double e[24], f[24], o[32] = {0}, w[64], mine[64];
    const g8 x = g8_exact();
    zoo z;

    for (int j = 0; j < 8; j++)
        for (int c = 0; c < 3; c++) {
            e[3 * j + c] = g8_project_keys(j, c);
            f[3 * j + c] = g8_project_values(j, c);
        }
    twin(&t, x.q[0], x.k[0], e, f, mine);
    for (int i = 0; i < 8; i++)
        for (int j = 0; j < 8; j++)
            for (int c = 0; c < 4; c++) o[4 * i + c] += mine[8 * i + j] * x.v[j][c];
    g8_check("linformer", o, 1e-9);
    g8_zoo(&z, false);
    draw(cx, &z, e, f, 8, 3);
    g8_run(cx, &z, "linformer:rank=3", o, w);
    g8_check("linformer", o, 2e-5);
    for (int i = 0; i < 64; i++) CHECK_NEAR(w[i], mine[i], 1e-6);
    g8_same(&z, w, o, 1e-6);
    zoo_draws_end(&z, cx);
    zoo_free(&z);
}

static void against_twin(atn_ctx *cx)
{
    for (int trial = 0; trial < 12; trial++) {
        const int nk = 7 + trial, nq = trial % 2 ? nk : 3 + trial, r = 1 + trial % 6;
        static double q[MOST * 8], k[MOST * 8], e[MOST * MOST], f[MOST * MOST],
            w[MOST * MOST];
        sizes t = {nq, nk, 8, r, 0, -INFINITY};
        const bool share = trial % 3 == 0;
        uint64_t seed = 5 + (uint64_t)trial;
        double *got = low_doubles(nq * nk);
        char spec[80];
        zoo z;

        zoo_random(&z, 1, 1, nq, nk, seed);
        zoo_causal(&z, false);
        t.s = z.head[0].scale;
        if (trial % 4 == 0) {
            z.head[0].has_sink = true;
            z.head[0].sink = t.sink = .3;
        }
        for (int i = 0; i < nq * 8; i++) q[i] = (double)z.q[i];
        for (int i = 0; i < nk * 8; i++) k[i] = (double)z.k[i];
        for (int i = 0; i < nk * r; i++) {
            e[i] = zoo_uniform(&seed) - .5;
            f[i] = zoo_uniform(&seed) - .5;
        }
        draw(cx, &z, e, f, nk, r);
        twin(&t, q, k, e, share ? e : f, w);
        snprintf(spec, sizeof spec, "linformer:rank=%d,share=%s", r,
                 share ? "yes" : "no");
        g8_run(cx, &z, spec, NULL, got);
        for (int i = 0; i < nq * nk; i++) CHECK_NEAR(got[i], w[i], 1e-6);
        low_agree(cx, &z, spec, 1e-6);
        free(got);
        zoo_draws_end(&z, cx);
        zoo_free(&z);
    }
}

static void identity(atn_ctx *cx)
{
    double e[81], w[81], a[9];
    zoo z;

    for (int i = 0; i < 81; i++) e[i] = i / 9 == i % 9;
    zoo_random(&z, 1, 1, 9, 9, 3);
    zoo_causal(&z, false);
    draw(cx, &z, e, e, 9, 9);
    g8_run(cx, &z, "linformer:rank=9", NULL, w);
    for (int i = 0; i < 9; i++) {
        zoo_dense(&z, 0, i, a);
        for (int j = 0; j < 9; j++) CHECK_NEAR(w[9 * i + j], a[j], 1e-6);
    }
    zoo_draws_end(&z, cx);
    zoo_free(&z);
}

/* Zero queries: weights are the means of the rows of F. Their variance is 1 / rank, and
 * the mean of r of them has 1 / r^2: n = 4096 of them, within five standard errors. */
static void variance(atn_ctx *cx)
{
    enum { N = 4096, R = 6 };
    double *w = low_doubles(N), sum = 0, square = 0;
    zoo z;

    zoo_shape(&z, 1, 1, 1, N, 2, 1);
    for (int e = 0; e < 2 * N; e++) z.k[e] = 1;
    for (int e = 0; e < N; e++) z.v[e] = 1;
    z.q[0] = z.q[1] = 0;
    zoo_causal(&z, false);
    g8_run(cx, &z, "linformer:rank=6", NULL, w);
    for (int j = 0; j < N; j++) {
        sum += w[j];
        square += w[j] * w[j];
    }
    CHECK_NEAR(sum, 0, 5 * sqrt(N) / R);
    CHECK_NEAR(square * R * R / N, 1, 5 * sqrt(2.0 / N));
    free(w);
    zoo_free(&z);
}

static void cost(atn_ctx *cx)
{
    atn_plan plans[ZOO_HEADS_MOST];
    atn_spending spent;
    atn_choice c;
    atn_cost k;
    zoo z;

    zoo_random(&z, 1, 1, 30, 50, 2);
    zoo_causal(&z, false);
    zoo_plan(cx, &z, "linformer:rank=7", 0, plans);
    CHECK_OK(atn_plan_cost(cx, &z.head[0], &plans[0], &k));
    CHECK_NEAR(k.flops, 2 * 30 * 7 * (8 + 5), 1e-9);
    CHECK_NEAR(k.index_flops, 2 * 50 * 7 * (8 + 5), 1e-9);
    CHECK_OK(atn_choice_read(cx, "linformer", "rank=7", &c));
    CHECK(atn_choice_spends(&c, &z.in, 0, &spent));
    CHECK_NEAR(spent.executed, k.executed, 0);
    CHECK_NEAR(spent.numbers, plans[0].numbers, 0);
    zoo_release(cx, plans, 1);
    zoo_free(&z);
}

/* Heads that share keys are planned at once: the numbers of each by itself, at the cost
 * of one. */
static void shared_keys(atn_ctx *cx)
{
    static double w[30 * 50], alone[30 * 50];
    atn_plan plans[ZOO_HEADS_MOST], own[ZOO_HEADS_MOST];
    zoo z;

    zoo_random(&z, 4, 2, 30, 50, 2);
    zoo_causal(&z, false);
    for (int h = 0; h < 4; h += 2) {
        zoo_plan(cx, &z, "linformer:rank=7", h, plans);
        for (int a = 0; a < 2; a++) {
            const atn_head *head = &z.head[h + a];

            CHECK_NEAR(plans[a].index_flops, 50 * 7 * (8 + 5), 1e-9);
            z.in.group = 1;
            zoo_plan(cx, &z, "linformer:rank=7", h + a, own);
            z.in.group = 2;
            CHECK_OK(atn_plan_check(cx, head, &plans[a]));
            CHECK_OK(atn_plan_rows(cx, head, &plans[a], 0, 30, w));
            CHECK_OK(atn_plan_rows(cx, head, own, 0, 30, alone));
            CHECK(memcmp(w, alone, sizeof w) == 0);
            CHECK_NEAR(own[0].index_flops, 2 * 50 * 7 * (8 + 5), 1e-9);
            zoo_release(cx, own, 1);
        }
        zoo_release(cx, plans, 2);
    }
    zoo_failing(&z, "linformer", "rank=7");
    zoo_free(&z);
}

/* What is said to be enough memory for a group is, and not half of it. */
static void memory(atn_ctx *cx)
{
    atn_plan plans[ZOO_HEADS_MOST];
    double said;
    atn_choice c;
    zoo z;

    zoo_random(&z, 4, 4, 40, 3000, 2);
    zoo_causal(&z, false);
    CHECK_OK(atn_choice_read(cx, "linformer", "rank=90", &c));
    said = atn_choice_bytes(cx, &c, &z.in);
    cx->mem_limit = *cx->in_use + (size_t)said;
    CHECK_OK(atn_choice_plan(cx, &c, &z.in, 0, plans));
    zoo_release(cx, plans, 4);
    cx->mem_limit = *cx->in_use + (size_t)(said / 2);
    CHECK_EQ(atn_choice_plan(cx, &c, &z.in, 0, plans), ATN_MEMORY);
    atn_err_clear(cx);
    cx->mem_limit = 0;
    zoo_free(&z);
}

static void worst(atn_ctx *cx)
{
    zoo z;

    low_worst(cx, "linformer:rank=3");
    low_worst(cx, "linformer:rank=40,share=yes");
    low_refuses(cx, "linformer:rank=4", true);
    low_chunk(cx, "linformer:rank=9");
    low_round_trip(cx, "linformer", "linformer:rank=5");
    zoo_random(&z, 1, 1, 60, 90, 3);
    zoo_causal(&z, false);
    low_threads(cx, &z, "linformer:rank=40");
    selection_failing(&z, "linformer:rank=5");
    zoo_free(&z);
}

CHECK_MAIN({"golden row", golden}, {"against the twin", against_twin},
           {"identity", identity}, {"variance", variance}, {"cost", cost},
           {"shared keys", shared_keys}, {"memory", memory},
           {"heads at their worst", worst})
