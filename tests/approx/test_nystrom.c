/* Nystromformer: rows of the golden tables, a dense twin in double, limits, the map of
 * the residual. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "tests/approx/low_rank.h"
#include "tests/approx/pinv_twin.h"

#include "approx/pinv.h"

enum { MOST = PINV_MOST };

/* ---- the twin: O = F1 Z F3 V with everything written out ---- */

typedef struct twin {
    int nq, nk, d, m;
    double s;
    double q[MOST][8], k[MOST][8];
    double w[MOST][MOST];
} twin;

static void softmax_rows(int rows, int cols, double x[MOST][MOST])
{
    for (int i = 0; i < rows; i++) {
        double max = -INFINITY, sum = 0;

        for (int j = 0; j < cols; j++) max = fmax(max, x[i][j]);
        for (int j = 0; j < cols; j++) sum += exp(x[i][j] - max);
        for (int j = 0; j < cols; j++) x[i][j] = exp(x[i][j] - max) / sum;
    }
}

static void logits(const twin *t, double a[MOST][8], int rows, double b[MOST][8],
                   int cols, double x[MOST][MOST])
{
    for (int i = 0; i < rows; i++)
        for (int j = 0; j < cols; j++) {
            x[i][j] = 0;
            for (int c = 0; c < t->d; c++) x[i][j] += t->s * a[i][c] * b[j][c];
        }
    softmax_rows(rows, cols, x);
}

/* Row i belongs to the segment in which it lies when those of floor(n / m) rows come
 * first. */
static void means(double x[MOST][8], int n, int m, double out[MOST][8])
{
    int at = 0;

    for (int v = 0; v < m; v++) {
        const int rows = v < m * (n / m + 1) - n ? n / m : n / m + 1;

        for (int c = 0; c < 8; c++) {
            out[v][c] = 0;
            for (int i = 0; i < rows; i++) out[v][c] += x[at + i][c] / rows;
        }
        at += rows;
    }
    CHECK_EQ(at, n);
}

static void twin_run(twin *t, int iterations)
{
    static double a[MOST][8], b[MOST][8], f1[MOST][MOST], f2[MOST][MOST],
        f3[MOST][MOST], z[MOST][MOST], g[MOST][MOST];

    means(t->q, t->nq, t->m, a);
    means(t->k, t->nk, t->m, b);
    logits(t, t->q, t->nq, b, t->m, f1);
    logits(t, a, t->m, b, t->m, f2);
    logits(t, a, t->m, t->k, t->nk, f3);
    if (iterations > 0)
        pinv_steps(t->m, iterations, f2, z);
    else
        pinv_inverse(t->m, f2, z);
    for (int i = 0; i < t->nq; i++)
        for (int v = 0; v < t->m; v++) {
            g[i][v] = 0;
            for (int u = 0; u < t->m; u++) g[i][v] += f1[i][u] * z[u][v];
        }
    for (int i = 0; i < t->nq; i++)
        for (int j = 0; j < t->nk; j++) {
            t->w[i][j] = 0;
            for (int v = 0; v < t->m; v++) t->w[i][j] += g[i][v] * f3[v][j];
        }
}

static void twin_of_g8(twin *t, const g8 *x, int m)
{
    *t = (twin){8, 8, 4, m, .5, {{0}}, {{0}}, {{0}}};
    for (int i = 0; i < 8; i++)
        for (int c = 0; c < 4; c++) {
            t->q[i][c] = x->q[i][c];
            t->k[i][c] = x->k[i][c];
        }
}

static void twin_output(const twin *t, const g8 *x, double *o)
{
    for (int i = 0; i < 8; i++)
        for (int c = 0; c < 4; c++) {
            o[4 * i + c] = 0;
            for (int j = 0; j < 8; j++) o[4 * i + c] += t->w[i][j] * x->v[j][c];
        }
}

/* ---- */

static void golden(atn_ctx *cx)
{
    static const struct {
        const char *row, *spec;
        int m, iterations;
    } cases[] = {{"nystrom 4 exact", "nystrom:landmarks=4,iterations=0", 4, 0},
                 {"nystrom 4 6 steps", "nystrom:landmarks=4", 4, 6},
                 {"nystrom 3", "nystrom:landmarks=3", 3, 6}};
    const g8 exact = g8_exact();
    zoo z;

    g8_zoo(&z, false);
    for (size_t e = 0; e < ATN_LEN(cases); e++) {
        const g8 floats = g8_of(&z);
        double o[32], w[64];
        static twin t;

        twin_of_g8(&t, &exact, cases[e].m);
        twin_run(&t, cases[e].iterations);
        twin_output(&t, &exact, o);
        g8_check(cases[e].row, o, 1e-9);
        g8_run(cx, &z, cases[e].spec, o, w);
        /* the inputs alone, as floats, move what an inverse of condition 2.7e4 gives */
        g8_check(cases[e].row, o, cases[e].iterations ? 2e-5 : 1e-3);
        twin_of_g8(&t, &floats, cases[e].m);
        twin_run(&t, cases[e].iterations);
        for (int i = 0; i < 8; i++)
            for (int j = 0; j < 8; j++) CHECK_NEAR(w[8 * i + j], t.w[i][j], 1e-9);
        low_exactly(cx, &z, cases[e].spec);
    }
    zoo_free(&z);
}

/* Random heads, also of fewer queries than keys. */
static void against_twin(atn_ctx *cx)
{
    for (int trial = 0; trial < 24; trial++) {
        const int nk = 9 + trial, nq = trial % 2 ? nk : 5 + trial / 2;
        const int m = 1 + trial % 5, iterations = trial % 3 ? trial % 7 : 0;
        static twin t;
        char spec[80];
        double *w;
        zoo z;

        zoo_random(&z, 1, 1, nq, nk, 90 + (uint64_t)trial);
        zoo_causal(&z, false);
        t = (twin){nq, nk, 8, m, z.head[0].scale, {{0}}, {{0}}, {{0}}};
        for (int i = 0; i < nk; i++)
            for (int c = 0; c < 8; c++) {
                if (i < nq) t.q[i][c] = (double)z.q[8 * i + c];
                t.k[i][c] = (double)z.k[8 * i + c];
            }
        twin_run(&t, iterations);
        snprintf(spec, sizeof spec, "nystrom:landmarks=%d,iterations=%d", m,
                 iterations);
        w = low_doubles(nq * nk);
        g8_run(cx, &z, spec, NULL, w);
        for (int i = 0; i < nq; i++)
            for (int j = 0; j < nk; j++)
                CHECK_NEAR(w[i * nk + j], t.w[i][j], 1e-9 * (1 + fabs(t.w[i][j])));
        low_exactly(cx, &z, spec);
        free(w);
        zoo_free(&z);
    }
}

/* As many landmarks as tokens, and the exact inverse: dense attention. Inverted, rows
 * sum to 1. More landmarks than tokens are as many. */
static void limits(atn_ctx *cx)
{
    zoo z;

    for (int n = 1; n <= 20; n += 3) {
        double w[20 * 20], a[20], sum;

        zoo_random(&z, 1, 1, n, n, 31);
        zoo_causal(&z, false);
        g8_run(cx, &z, "nystrom:landmarks=64,iterations=0", NULL, w);
        for (int i = 0; i < n; i++) {
            zoo_dense(&z, 0, i, a);
            for (int j = 0; j < n; j++) CHECK_NEAR(w[i * n + j], a[j], 1e-8);
        }
        g8_run(cx, &z, "nystrom:landmarks=3,iterations=0", NULL, w);
        for (int i = 0; i < n; i++) {
            sum = 0;
            for (int j = 0; j < n; j++) sum += w[i * n + j];
            CHECK_NEAR(sum, 1, 1e-9);
        }
        zoo_free(&z);
    }
}

/* A diagonal of 1 and sqrt(.001): X has the eigenvalues 1 and .001, so the residual
 * begins at .999 and goes the way that the head of approx/pinv.h says. */
static void residual(atn_ctx *cx)
{
    static const double way[] = {.999, .997, .989, .966, .895, .697, .313};
    const double small = sqrt(.001), a[4] = {1, 0, 0, small};
    double e = .999, z[4];

    for (int k = 0; k <= 6; k++) {
        CHECK_OK(atn_pinv_steps(cx, a, 2, k, z));
        CHECK_NEAR(1 - small * z[3], e, 1e-12);
        CHECK_NEAR(e, way[k], 5.1e-4);
        CHECK_NEAR(z[0], 1, 1e-12);
        CHECK_NEAR(z[1], 0, 0);
        e = (3 * e * e * e + e * e * e * e) / 4;
    }
}

/* Of a rank-one matrix the pseudo-inverse has rank one: A A^+ A = A. */
static void rank_one(atn_ctx *cx)
{
    double a[9], left[9], right[9];
    atn_idx r;

    for (int e = 0; e < 9; e++) a[e] = (1 + e / 3) * (2 - e % 3);
    CHECK_OK(atn_pinv_exact(cx, a, 3, left, right, &r));
    CHECK_EQ(r, 1);
    for (int i = 0; i < 3; i++)
        for (int j = 0; j < 3; j++) /* |u|^2 = 14, |v|^2 = 5 */
            CHECK_NEAR(left[i] * right[j], (2 - i) * (1 + j) / 70.0, 1e-14);
}

static void cost(atn_ctx *cx)
{
    atn_plan plans[ZOO_HEADS_MOST];
    atn_spending spent;
    atn_choice c;
    atn_cost k;
    zoo z;

    zoo_random(&z, 1, 1, 60, 60, 2);
    zoo_causal(&z, false);
    zoo_plan(cx, &z, "nystrom:landmarks=5", 0, plans);
    CHECK_OK(atn_plan_cost(cx, &z.head[0], &plans[0], &k));
    /* 4 n m d + 4 n m dv + 2 m^2 dv, and of the index sums, F2, 48 m^3 */
    CHECK_NEAR(k.flops, 4 * 60 * 5 * (8 + 5) + 2 * 25 * 5, 1e-6);
    CHECK_NEAR(k.index_flops, 8 * 120 + 2 * 25 * 8 + 48 * 125, 1e-6);
    CHECK_NEAR(k.numbers, 60 * 10, 0);
    CHECK_OK(atn_choice_read(cx, "nystrom", "landmarks=5", &c));
    CHECK(atn_choice_spends(&c, &z.in, 0, &spent));
    CHECK_NEAR(spent.executed, k.executed, 0);
    CHECK_NEAR(spent.numbers, plans[0].numbers, 0);
    zoo_release(cx, plans, 1);
    zoo_free(&z);
}

static void worst(atn_ctx *cx)
{
    zoo z;

    low_worst(cx, "nystrom:landmarks=6");
    low_worst(cx, "nystrom:landmarks=30,iterations=0");
    low_refuses(cx, "nystrom:landmarks=4", false);
    low_chunk(cx, "nystrom:landmarks=9");
    zoo_random(&z, 1, 1, 600, 900, 3);
    zoo_causal(&z, false);
    low_threads(cx, &z, "nystrom:landmarks=17");
    low_threads(cx, &z, "nystrom:landmarks=5,iterations=0");
    selection_failing(&z, "nystrom:landmarks=5");
    selection_failing(&z, "nystrom:landmarks=5,iterations=0");
    zoo_free(&z);
}

CHECK_MAIN({"golden rows", golden}, {"against the twin", against_twin},
           {"limits", limits}, {"map of the residual", residual},
           {"pseudo-inverse of rank one", rank_one}, {"cost", cost},
           {"heads at their worst", worst})
