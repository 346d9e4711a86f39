/* KDEformer: the golden row, a dense twin, the mean over all draws of one sample. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "tests/approx/low_rank.h"

enum { MOST = 40 };

typedef struct twin {
    int nq, nk, d, dv, b, m, r;
    double s;
    double q[MOST][8], k[MOST][8], v[MOST][8], planes[8][8];
    int order[MOST], q_order[MOST]; /* sorted */
    double p[MOST];                 /* of sorted keys */
    double w[MOST][MOST];           /* un-normalised */
} twin;

/* Stable insertion by word ^ word / 2. */
static void sort(const twin *t, double x[MOST][8], int n, int *order)
{
    int place[MOST];

    for (int i = 0; i < n; i++) {
        int word = 0, at = i;

        for (int l = 0; l < t->r; l++) {
            double sum = 0;

            for (int c = 0; c < t->d; c++) sum += x[i][c] * t->planes[c][l];
            word += sum > 0 ? 1 << l : 0;
        }
        place[i] = word ^ (word / 2);
        for (; at > 0 && place[order[at - 1]] > place[i]; at--)
            order[at] = order[at - 1];
        order[at] = i;
    }
}

/* The largest eigenvalue of [V, 1]' [V, 1], by powers. */
static double gram(const twin *t)
{
    double x[9], y[9], length = 0;

    for (int c = 0; c <= t->dv; c++) x[c] = 1 + .1 * c;
    for (int step = 0; step < 4000; step++) {
        for (int c = 0; c <= t->dv; c++) y[c] = 0;
        for (int j = 0; j < t->nk; j++) {
            double sum = x[t->dv];

            for (int c = 0; c < t->dv; c++) sum += t->v[j][c] * x[c];
            for (int c = 0; c < t->dv; c++) y[c] += sum * t->v[j][c];
            y[t->dv] += sum;
        }
        length = 0;
        for (int c = 0; c <= t->dv; c++) length += y[c] * y[c];
        length = sqrt(length);
        for (int c = 0; c <= t->dv; c++) x[c] = y[c] / length;
    }
    return length;
}

static void twin_begin(twin *t)
{
    double sum = 0, g = gram(t);

    sort(t, t->q, t->nq, t->q_order);
    sort(t, t->k, t->nk, t->order);
    for (int s = 0; s < t->nk; s++) {
        double square = 1;

        for (int c = 0; c < t->dv; c++)
            square += t->v[t->order[s]][c] * t->v[t->order[s]][c];
        t->p[s] = sqrt(square) / g + 1.0 / t->nk;
        sum += t->p[s];
    }
    for (int s = 0; s < t->nk; s++) t->p[s] /= sum;
}

static double weight(const twin *t, int i, int j)
{
    double z = 0;

    for (int c = 0; c < t->d; c++) z += t->s * t->q[i][c] * t->k[j][c];
    return exp(z);
}

static void twin_run(twin *t, const int32_t *slot)
{
    const int blocks = (t->nk + t->b - 1) / t->b;
    const int rows = t->nq == t->nk ? t->b : (t->nq + blocks - 1) / blocks;

    memset(t->w, 0, sizeof t->w);
    for (int a = 0; a < t->nq; a++) {
        const int i = t->q_order[a], own = a / rows;

        for (int s = 0; s < t->nk; s++)
            if (s / t->b == own) t->w[i][t->order[s]] = weight(t, i, t->order[s]);
        for (int e = 0; e < t->m; e++)
            if (slot[e] / t->b != own)
                t->w[i][t->order[slot[e]]] +=
                    weight(t, i, t->order[slot[e]]) / (t->m * t->p[slot[e]]);
    }
}

static void normalise(twin *t)
{
    for (int i = 0; i < t->nq; i++) {
        double sum = 0;

        for (int j = 0; j < t->nk; j++) sum += t->w[i][j];
        for (int j = 0; j < t->nk; j++) t->w[i][j] /= sum;
    }
}

static void draw(atn_ctx *cx, zoo *z, const twin *t, const int32_t *slot)
{
    float planes[64];
    const atn_st_out two[] = {
        {"projections.layer-000", ATN_F32, 2, {t->d, t->r}, planes},
        {"samples.layer-000.head-000", ATN_I32, 1, {t->m}, slot}};

    for (int c = 0; c < t->d; c++)
        for (int l = 0; l < t->r; l++) planes[c * t->r + l] = (float)t->planes[c][l];
    zoo_draws(cx, z, "kdeformer", two, t->m > 0 ? 2 : 1);
}

static void twin_of(twin *t, const zoo *z)
{
    const atn_head *h = &z->head[0];

    t->nq = (int)h->nq;
    t->nk = (int)h->nk;
    t->d = (int)h->q.cols;
    t->dv = (int)h->v.cols;
    t->s = h->scale;
    for (int i = 0; i < t->nk; i++) {
        for (int c = 0; c < t->d; c++) {
            t->k[i][c] = (double)atn_crow(h->k, i)[c];
            if (i < t->nq) t->q[i][c] = (double)atn_crow(h->q, i)[c];
        }
        for (int c = 0; c < t->dv; c++) t->v[i][c] = (double)atn_crow(h->v, i)[c];
    }
}

static void golden(atn_ctx *cx)
{
    const char *spec = "kdeformer:block=3,samples=4,projections=3";
    const g8 x = g8_exact();
    static twin t;
    double o[32] = {0}, w[64], sum = 0;
    zoo z;

    g8_zoo(&z, false);
    twin_of(&t, &z);
    t.b = 3;
    t.m = 4;
    t.r = 3;
    for (int i = 0; i < 8; i++)
        for (int c = 0; c < 4; c++) {
            t.q[i][c] = x.q[i][c];
            t.k[i][c] = x.k[i][c];
            t.v[i][c] = x.v[i][c];
            if (i < 3) t.planes[c][i] = g8_planes[c][i];
        }
    twin_begin(&t);
    for (int s = 0; s < 8; s++) sum += t.p[s];
    CHECK_NEAR(sum, 1, 1e-12);
    twin_run(&t, g8_samples);
    normalise(&t);
    for (int i = 0; i < 8; i++)
        for (int j = 0; j < 8; j++)
            for (int c = 0; c < 4; c++) o[4 * i + c] += t.w[i][j] * x.v[j][c];
    g8_check("kdeformer", o, 1e-9);
    draw(cx, &z, &t, g8_samples);
    g8_run(cx, &z, spec, o, w);
    g8_check("kdeformer", o, 2e-5);
    for (int e = 0; e < 64; e++) CHECK_NEAR(w[e], t.w[e / 8][e % 8], 1e-6);
    zoo_draws_end(&z, cx);
    zoo_free(&z);
}

static void against_twin(atn_ctx *cx)
{
    for (int trial = 0; trial < 20; trial++) {
        const int nk = 9 + trial, nq = trial % 2 ? nk : 4 + trial;
        uint64_t seed = 40 + (uint64_t)trial;
        int32_t slot[8];
        static twin t;
        char spec[100];
        double *w = low_doubles(nq * nk);
        zoo z;

        zoo_random(&z, 1, 1, nq, nk, seed);
        zoo_causal(&z, false);
        twin_of(&t, &z);
        t.b = 1 + trial % 5;
        t.m = trial % 8;
        t.r = 1 + trial % 4;
        for (int c = 0; c < 8; c++)
            for (int l = 0; l < t.r; l++)
                t.planes[c][l] = (double)(float)(zoo_uniform(&seed) - .5);
        for (int e = 0; e < t.m; e++) slot[e] = (int32_t)(zoo_uniform(&seed) * nk);
        twin_begin(&t);
        twin_run(&t, slot);
        normalise(&t);
        draw(cx, &z, &t, slot);
        snprintf(spec, sizeof spec, "kdeformer:block=%d,samples=%d,projections=%d", t.b,
                 t.m, t.r);
        g8_run(cx, &z, spec, NULL, w);
        for (int i = 0; i < nq; i++)
            for (int j = 0; j < nk; j++) CHECK_NEAR(w[i * nk + j], t.w[i][j], 1e-6);
        low_agree(cx, &z, spec, 1e-5);
        free(w);
        zoo_draws_end(&z, cx);
        zoo_free(&z);
    }
}

/* With one sample the mean over all slots, weighed by p, is e^z of every key. Weights
 * come normalised: a key of the own block, whose weight is known, gives the scale. */
static void unbiased(atn_ctx *cx)
{
    enum { N = 12 };
    double mean[N][N] = {{0}};
    static twin t;
    zoo z;

    zoo_random(&z, 1, 1, N, N, 9);
    zoo_causal(&z, false);
    twin_of(&t, &z);
    t.b = 3;
    t.m = 1;
    t.r = 2;
    for (int c = 0; c < 8; c++)
        for (int l = 0; l < 2; l++) t.planes[c][l] = c % 3 - 1 + l;
    twin_begin(&t);
    for (int32_t s = 0; s < N; s++) {
        double w[N * N];

        draw(cx, &z, &t, &s);
        g8_run(cx, &z, "kdeformer:block=3,samples=1,projections=2", NULL, w);
        zoo_draws_end(&z, cx);
        for (int a = 0; a < N; a++) {
            const int i = t.q_order[a], own = t.order[a / 3 * 3];
            const double scale = weight(&t, i, own) / w[i * N + own];

            for (int j = 0; j < N; j++) mean[i][j] += t.p[s] * scale * w[i * N + j];
        }
    }
    for (int i = 0; i < N; i++)
        for (int j = 0; j < N; j++) CHECK_NEAR(mean[i][j] / weight(&t, i, j), 1, 1e-6);
    zoo_free(&z);
}

/* Values all of a length: slots are drawn uniformly, 40000 of them by five standard
 * errors. */
static void draws(atn_ctx *cx)
{
    enum { N = 20, M = 40000 };
    double w[N * N];
    zoo z;

    zoo_random(&z, 1, 1, N, N, 2);
    zoo_causal(&z, false);
    for (int e = 0; e < N * 5; e++) z.v[e] = e % 5 == 0 ? 2 : 0;
    for (int e = 0; e < N * 8; e++) z.q[e] = 0;
    g8_run(cx, &z, "kdeformer:block=1,samples=40000", NULL, w);
    for (int e = 0; e < N * N; e++)
        CHECK_NEAR(w[e] * N, 1, 5 * sqrt((double)N / M) + 1e-6);
    zoo_free(&z);
    low_round_trip(cx, "kdeformer", "kdeformer:block=4,samples=5");
}

/* Masks, caps, biases and sinks are taken as they are. */
static void limits(atn_ctx *cx)
{
    double w[30 * 30], a[30];
    zoo z;

    zoo_random(&z, 1, 1, 30, 30, 2);
    zoo_causal(&z, false);
    selection_is_dense(cx, &z, "kdeformer:block=30", 0);
    g8_run(cx, &z, "kdeformer:block=30", NULL, w);
    zoo_dense(&z, 0, 7, a);
    for (int j = 0; j < 30; j++) CHECK_NEAR(w[7 * 30 + j], a[j], 1e-12);
    z.head[0].sight.window = 4;
    z.head[0].alibi_slope = .2;
    z.head[0].sight.softcap = 20;
    z.head[0].has_sink = true;
    g8_run(cx, &z, "kdeformer:block=3,samples=20", NULL, w);
    for (int e = 0; e < 900; e++)
        if (abs(e / 30 - e % 30) > 4) CHECK_EQ(w[e] != 0, 0);
    low_agree(cx, &z, "kdeformer:block=3,samples=20", 1e-5);
    zoo_free(&z);
}

static void worst(atn_ctx *cx)
{
    zoo z;

    low_worst(cx, "kdeformer:block=2,samples=3");
    low_chunk(cx, "kdeformer:block=16,samples=9");
    zoo_random(&z, 1, 1, 600, 900, 3);
    selection_fails(cx, &z, "kdeformer", ATN_DATA, "bidirectional");
    zoo_causal(&z, false);
    low_threads(cx, &z, "kdeformer:block=16,samples=9");
    zoo_free(&z);
    zoo_random(&z, 1, 1, 40, 40, 3);
    zoo_causal(&z, false);
    selection_failing(&z, "kdeformer:block=8,samples=9");
    z.head[0].v.data = NULL;
    selection_fails(cx, &z, "kdeformer:block=8", ATN_DATA, "values");
    zoo_free(&z);
}

CHECK_MAIN({"golden row", golden}, {"against the twin", against_twin},
           {"unbiased", unbiased}, {"draws", draws}, {"limits", limits},
           {"heads at their worst", worst})
