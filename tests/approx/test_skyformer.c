/* Skyformer: rows of the golden tables, a dense twin in double, the completion of all
 * rows, the identity with the softmax. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "tests/approx/low_rank.h"
#include "tests/approx/pinv_twin.h"

enum { MOST = PINV_MOST };

/* ---- the twin ---- */

typedef struct twin {
    int nq, nk, d, m, row[MOST];
    double s, ridge;
    double x[2 * MOST][8]; /* [Q; K] */
    double w[MOST][MOST];
} twin;

/* e^{-|x' - y'|^2 / 2} with x' = sqrt(s) x. */
static double kernel(const twin *t, int i, int j)
{
    double sum = 0;

    for (int c = 0; c < t->d; c++) {
        const double a = sqrt(t->s) * t->x[i][c], b = sqrt(t->s) * t->x[j][c];

        sum += (a - b) * (a - b);
    }
    return exp(-sum / 2);
}

static void twin_run(twin *t, int iterations)
{
    static double g[MOST][MOST], z[MOST][MOST];
    double r[MOST];

    for (int u = 0; u < t->m; u++) {
        r[u] = 0;
        for (int v = 0; v < t->m; v++) {
            g[u][v] = kernel(t, t->row[u], t->row[v]) + (u == v ? t->ridge : 0);
            r[u] += g[u][v];
        }
        r[u] = pow(r[u], -.5);
    }
    for (int u = 0; u < t->m; u++)
        for (int v = 0; v < t->m; v++) g[u][v] *= iterations ? r[u] * r[v] : 1;
    if (iterations)
        pinv_steps(t->m, iterations, g, z);
    else
        pinv_inverse(t->m, g, z); /* r cancels */
    for (int i = 0; i < t->nq; i++)
        for (int j = 0; j < t->nk; j++) {
            double sum = 0;

            for (int u = 0; u < t->m; u++)
                for (int v = 0; v < t->m; v++)
                    sum += kernel(t, i, t->row[u]) * z[u][v] *
                           (iterations ? r[u] * r[v] : 1) *
                           kernel(t, t->row[v], t->nq + j);
            t->w[i][j] = sum;
        }
}

static void twin_of(twin *t, const zoo *z, const int32_t *row, int m, double ridge)
{
    const atn_head *h = &z->head[0];
    const int d = (int)h->q.cols;

    *t = (twin){.nq = (int)h->nq, .nk = (int)h->nk, .d = d, .m = m, .s = h->scale};
    t->ridge = ridge;
    for (int v = 0; v < m; v++) t->row[v] = row[v];
    for (int i = 0; i < t->nq + t->nk; i++)
        for (int c = 0; c < d; c++)
            t->x[i][c] =
                i < t->nq ? (double)z->q[i * d + c] : (double)z->k[(i - t->nq) * d + c];
}

static void draw(atn_ctx *cx, zoo *z, const int32_t *row, atn_idx m)
{
    const atn_st_out t = {"samples.layer-000.head-000", ATN_I32, 1, {m}, row};

    zoo_draws(cx, z, "skyformer", &t, 1);
}

/* ---- */

static void golden(atn_ctx *cx)
{
    const g8 exact = g8_exact();
    static twin t;
    zoo z;

    g8_zoo(&z, false);
    draw(cx, &z, g8_landmarks, 6);
    for (int iterations = 0; iterations <= 6; iterations += 6) {
        const char *row = iterations ? "skyformer 6 steps" : "skyformer exact";
        double o[32] = {0}, w[64];
        char spec[80];

        twin_of(&t, &z, g8_landmarks, 6, .1);
        for (int i = 0; i < 16; i++)
            for (int c = 0; c < 4; c++)
                t.x[i][c] = i < 8 ? exact.q[i][c] : exact.k[i - 8][c];
        twin_run(&t, iterations);
        for (int i = 0; i < 8; i++)
            for (int j = 0; j < 8; j++)
                for (int c = 0; c < 4; c++) o[4 * i + c] += t.w[i][j] * exact.v[j][c];
        g8_check(row, o, 1e-9);
        snprintf(spec, sizeof spec, "skyformer:samples=6,iterations=%d", iterations);
        g8_run(cx, &z, spec, o, w);
        g8_check(row, o, 2e-5);
        twin_of(&t, &z, g8_landmarks, 6, .1);
        twin_run(&t, iterations);
        for (int e = 0; e < 64; e++) CHECK_NEAR(w[e], t.w[e / 8][e % 8], 1e-9);
        low_exactly(cx, &z, spec);
    }
    zoo_draws_end(&z, cx);
    zoo_free(&z);
}

static void against_twin(atn_ctx *cx)
{
    for (int trial = 0; trial < 16; trial++) {
        const int nk = 9 + trial, nq = trial % 2 ? nk : 4 + trial, m = 2 + trial % 7;
        static const double ridges[] = {.1, .5, 2};
        int32_t row[8];
        static twin t;
        char spec[120];
        double *w;
        zoo z;

        zoo_random(&z, 1, 1, nq, nk, 50 + (uint64_t)trial);
        zoo_causal(&z, false);
        for (int v = 0; v < m; v++) row[v] = (v * 5 + trial) % (nq + nk);
        row[m - 1] = row[0]; /* repeats stay */
        draw(cx, &z, row, m);
        twin_of(&t, &z, row, m, ridges[trial % 3]);
        twin_run(&t, trial % 4);
        snprintf(spec, sizeof spec, "skyformer:samples=%d,iterations=%d,ridge=%g", m,
                 trial % 4, ridges[trial % 3]);
        w = low_doubles(nq * nk);
        g8_run(cx, &z, spec, NULL, w);
        for (int i = 0; i < nq; i++)
            for (int j = 0; j < nk; j++) CHECK_NEAR(w[i * nk + j], t.w[i][j], 1e-9);
        low_exactly(cx, &z, spec);
        free(w);
        zoo_draws_end(&z, cx);
        zoo_free(&z);
    }
}

/* All rows once and no ridge: C itself, which the softmax is a scaling of. */
static void completion(atn_ctx *cx)
{
    double o[32], w[64];
    int32_t row[16];
    zoo z;

    for (int v = 0; v < 16; v++) row[v] = v * 7 % 16;
    g8_zoo(&z, false);
    draw(cx, &z, row, 16);
    g8_run(cx, &z, "skyformer:samples=16,ridge=0,iterations=0", o, w);
    g8_check("gaussian kernel", o, 2e-5);
    for (int i = 0; i < 8; i++) {
        double a[8], sum = 0;

        zoo_dense(&z, 0, i, a);
        for (int j = 0; j < 8; j++) {
            const float *q = z.q + 4 * i, *k = z.k + 4 * j;
            double c = 0;

            for (int e = 0; e < 4; e++)
                c += ((double)q[e] - (double)k[e]) * ((double)q[e] - (double)k[e]);
            CHECK_NEAR(w[8 * i + j], exp(-c / 4), 1e-8);
            sum += w[8 * i + j] * exp(selection_dot(k, k, 4) / 4);
        }
        for (int j = 0; j < 8; j++)
            CHECK_NEAR(w[8 * i + j] *
                           exp(selection_dot(z.k + 4 * j, z.k + 4 * j, 4) / 4) / sum,
                       a[j], 1e-8);
    }
    zoo_draws_end(&z, cx);
    zoo_free(&z);
}

/* Steps grow: the exact inverse. */
static void steps_grow(atn_ctx *cx)
{
    double far[64], w[64];
    zoo z;

    g8_zoo(&z, false);
    g8_run(cx, &z, "skyformer:samples=6,iterations=0", NULL, w);
    g8_run(cx, &z, "skyformer:samples=6,iterations=40", NULL, far);
    for (int e = 0; e < 64; e++) CHECK_NEAR(far[e], w[e], 1e-9);
    zoo_free(&z);
}

/* Half of the samples are queries; what a file says is checked. */
static void samples(atn_ctx *cx)
{
    static const int32_t wrong[] = {0, 3, 16, 9};
    zoo z;

    g8_zoo(&z, false);
    draw(cx, &z, wrong, 4);
    selection_fails(cx, &z, "skyformer:samples=4", ATN_DATA, "samples");
    zoo_draws_end(&z, cx);
    z.head[0].scale = -1;
    selection_fails(cx, &z, "skyformer", ATN_DATA, "not negative");
    zoo_free(&z);
    low_round_trip(cx, "skyformer", "skyformer:samples=5");
}

static void worst(atn_ctx *cx)
{
    zoo z;

    low_worst(cx, "skyformer:samples=6");
    low_worst(cx, "skyformer:samples=1,iterations=0");
    low_worst(cx, "skyformer:samples=40,iterations=0,ridge=.01");
    low_refuses(cx, "skyformer:samples=4", false);
    low_chunk(cx, "skyformer:samples=9");
    zoo_random(&z, 1, 1, 600, 900, 3);
    zoo_causal(&z, false);
    low_threads(cx, &z, "skyformer:samples=17");
    selection_failing(&z, "skyformer:samples=5");
    selection_failing(&z, "skyformer:samples=5,iterations=0");
    zoo_free(&z);
}

CHECK_MAIN({"golden rows", golden}, {"against the twin", against_twin},
           {"completion of all rows", completion}, {"steps grow", steps_grow},
           {"samples", samples}, {"heads at their worst", worst})
