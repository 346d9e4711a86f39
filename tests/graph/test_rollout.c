/* tests/graph/test_rollout.c -- rollout and flow through layers of attention. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "check.h"

#include "core/rng.h"
#include "graph/flow.h"
#include "graph/rollout.h"

static const float A1[] = {1, 0, .5f, .5f}, A2[] = {1, 0, .25f, .75f};

static atn_head given(const float *p, atn_idx n)
{
    return (atn_head){
        .p = {p, n, n, n}, .nq = n, .nk = n, .sight = {.causal = true, .key_last = n}};
}

/* Rows of S_2 S_1: at .5, S_1 = [1 0; .25 .75], S_2 = [1 0; .125 .875]: .125 + .21875 and
 * .65625. At 0: .25 + .375, .375. */
static void rollout_by_hand(atn_ctx *cx)
{
    static const double want[2][2] = {{.34375, .65625}, {.625, .375}};
    const atn_head h1 = given(A1, 2), h2 = given(A2, 2);

    for (int none = 0; none < 2; none++) {
        const double rho = none ? 0 : .5;
        const atn_rollout_layer l1 = {&h1, 1, ATN_ROLLOUT_MEAN, rho};
        const atn_rollout_layer l2 = {&h2, 1, ATN_ROLLOUT_MEAN, rho};
        double w[4] = {1, 0, 0, 1};

        CHECK_OK(atn_rollout_step(cx, &l2, 2, w));
        CHECK_OK(atn_rollout_step(cx, &l1, 2, w));
        CHECK_NEAR(w[0], 1, 1e-7);
        CHECK_NEAR(w[1], 0, 1e-7);
        CHECK_NEAR(w[2], want[none][0], 1e-7);
        CHECK_NEAR(w[3], want[none][1], 1e-7);
    }
}

/* Two heads: the mean of (.5 .5) and (.1 .9) is (.3 .7); the largest entries are (.5 .9), over
 * 1.4. A quarter of the token itself. */
static void heads_combine(atn_ctx *cx)
{
    const float b[] = {1, 0, .1f, .9f};
    const atn_head h[] = {given(A1, 2), given(b, 2)};
    double s[4];

    CHECK_OK(atn_rollout_matrix(cx, &(atn_rollout_layer){h, 2, ATN_ROLLOUT_MEAN, .25},
                                1, s));
    CHECK_NEAR(s[0], 1, 1e-7);
    CHECK_NEAR(s[2], .75 * .3, 1e-7);
    CHECK_NEAR(s[3], .75 * .7 + .25, 1e-7);
    CHECK_OK(
        atn_rollout_matrix(cx, &(atn_rollout_layer){h, 2, ATN_ROLLOUT_MAX, .25}, 1, s));
    CHECK_NEAR(s[2], .75 * .5 / 1.4, 1e-7);
    CHECK_NEAR(s[3], .75 * .9 / 1.4 + .25, 1e-7);
}

/* Rows whose weights sum to 1/2 are scaled with the token's own part; one without weight, or
 * that sees nothing, stays. */
static void light_rows(atn_ctx *cx)
{
    const float p[] = {0, 0, 0, .3f, .2f, 0, 0, 0, 0};
    atn_head h = given(p, 3);
    double s[9];

    CHECK_OK(atn_rollout_matrix(cx, &(atn_rollout_layer){&h, 1, ATN_ROLLOUT_MEAN, .5},
                                1, s));
    CHECK_NEAR(s[0], 1, 0);
    CHECK_NEAR(s[3], .15 / .75, 1e-7);
    CHECK_NEAR(s[4], (.1 + .5) / .75, 1e-7);
    CHECK_NEAR(s[8], 1, 0);
    h.sight.key_first = 2; /* rows 0 and 1 see nothing */
    CHECK_OK(
        atn_rollout_matrix(cx, &(atn_rollout_layer){&h, 1, ATN_ROLLOUT_MEAN, 0}, 1, s));
    for (int i = 0; i < 9; i++) CHECK_NEAR(s[i], i % 4 == 0, 0);
}

/* ---- random layers ---- */

enum { N = 23, LAYERS = 3, HEADS = 3, D = 4 };

typedef struct random_model {
    float q[LAYERS][HEADS][N * D], k[LAYERS][HEADS][N * D];
    atn_head h[LAYERS][HEADS];
} random_model;

static void make(random_model *m, int trial)
{
    atn_rng r = atn_rng_stream(7, "test/rollout", trial, 0);

    for (int l = 0; l < LAYERS; l++)
        for (int h = 0; h < HEADS; h++) {
            for (int i = 0; i < N * D; i++) {
                m->q[l][h][i] = (float)atn_rng_normal(&r);
                m->k[l][h][i] = (float)atn_rng_normal(&r);
            }
            m->h[l][h] = (atn_head){.q = {m->q[l][h], N, D, D},
                                    .k = {m->k[l][h], N, D, D},
                                    .nq = N,
                                    .nk = N,
                                    .scale = 1,
                                    .sight = {.causal = trial % 2 == 0,
                                              .key_first = trial % 3,
                                              .key_last = N,
                                              .window = trial % 4 == 1 ? 5 : 0},
                                    .has_sink = trial == 2,
                                    .sink = 1};
        }
}

static bool sees(const atn_sight *s, int i, int j)
{
    if (j < s->key_first || j >= s->key_last || (s->causal && j > i)) return false;
    if (!s->window) return true;
    return s->causal ? i - j < s->window : abs(i - j) <= s->window;
}

/* The step matrix by definition. */
static void twin_matrix(const atn_head *heads, bool max, double rho, double s[N][N])
{
    double p[HEADS][N][N] = {0};

    for (int h = 0; h < HEADS; h++)
        for (int i = 0; i < N; i++) {
            double z = heads[h].has_sink ? exp(heads[h].sink) : 0;

            for (int j = 0; j < N; j++) {
                double x = 0;
                if (!sees(&heads[h].sight, i, j)) continue;
                for (int c = 0; c < D; c++)
                    x += (double)heads[h].q.data[i * D + c] *
                         (double)heads[h].k.data[j * D + c];
                z += p[h][i][j] = exp(x);
            }
            for (int j = 0; j < N; j++) p[h][i][j] /= z > 0 ? z : 1;
        }
    for (int i = 0; i < N; i++) {
        double sum = 0, whole = 0;

        for (int j = 0; j < N; j++) {
            s[i][j] = 0;
            for (int h = 0; h < HEADS; h++)
                s[i][j] =
                    max ? fmax(s[i][j], p[h][i][j]) : s[i][j] + p[h][i][j] / HEADS;
            sum += s[i][j];
        }
        for (int j = 0; j < N; j++) {
            if (max && sum > 0) s[i][j] /= sum;
            s[i][j] = (1 - rho) * s[i][j] + rho * (i == j);
            whole += s[i][j];
        }
        for (int j = 0; j < N; j++) s[i][j] = sum > 0 ? s[i][j] / whole : i == j;
    }
}

static void against_the_twin(atn_ctx *cx)
{
    static const double rhos[] = {.5, 0, .8, 1};

    for (int trial = 0; trial < 8; trial++) {
        const bool max = trial / 2 % 2;
        const double rho = rhos[trial % 4];
        double w[2 * N] = {0}, want[2][N] = {{0}}, s[N][N], dense[N * N];
        static random_model m;

        make(&m, trial);
        w[N - 1] = want[0][N - 1] = 1;
        w[N + 10] = want[1][10] = 1;
        for (int l = LAYERS - 1; l >= 0; l--) {
            const atn_rollout_layer layer = {m.h[l], HEADS, max, rho};

            CHECK_OK(atn_rollout_step(cx, &layer, 2, w));
            twin_matrix(m.h[l], max, rho, s);
            for (int a = 0; a < 2; a++) {
                double next[N] = {0}, sum = 0;
                for (int i = 0; i < N; i++)
                    for (int j = 0; j < N; j++) next[j] += want[a][i] * s[i][j];
                memcpy(want[a], next, sizeof next);
                for (int j = 0; j < N; j++) {
                    CHECK_NEAR(w[a * N + j], want[a][j], 1e-6);
                    sum += w[a * N + j];
                }
                CHECK_NEAR(sum, 1, 1e-6);
            }
            CHECK_OK(atn_rollout_matrix(cx, &layer, 1, dense));
            for (int i = 0; i < N * N; i++) CHECK_NEAR(dense[i], s[i / N][i % N], 1e-6);
        }
    }
}

/* Blocks of 4: the mean over rows of the sums over keys; rows sum to 1. */
static void blocks(atn_ctx *cx)
{
    enum { B = 4, NB = (N + B - 1) / B };
    static random_model m;
    const atn_rollout_layer layer = {m.h[0], HEADS, ATN_ROLLOUT_MEAN, .5};
    double s[N][N], got[NB * NB];

    make(&m, 0);
    twin_matrix(m.h[0], false, .5, s);
    CHECK_OK(atn_rollout_matrix(cx, &layer, B, got));
    for (int a = 0; a < NB; a++) {
        const int end = a * B + B < N ? a * B + B : N;
        double sum = 0;

        for (int b = 0; b < NB; b++) {
            double want = 0;
            for (int i = a * B; i < end; i++)
                for (int j = b * B; j < N && j < b * B + B; j++)
                    want += s[i][j] / (end - a * B);
            CHECK_NEAR(got[a * NB + b], want, 1e-6);
            sum += got[a * NB + b];
        }
        CHECK_NEAR(sum, 1, 1e-6);
    }
}

/* ---- flow ---- */

static void flow_by_hand(atn_ctx *cx)
{
    const double s1[] = {1, 0, .25, .75}, s2[] = {1, 0, .125, .875};
    const double a1[] = {1, 0, .5, .5}, a2[] = {1, 0, .25, .75};
    const double *const with[] = {s1, s2}, *const without[] = {a1, a2};
    double f[2];

    CHECK_OK(atn_flow(cx, with, 2, 2, 1, f));
    CHECK_NEAR(f[0], .375, 1e-12);
    CHECK_NEAR(f[1], .75, 1e-12);
    CHECK_OK(atn_flow(cx, without, 2, 2, 1, f));
    CHECK_NEAR(f[0], .75, 1e-12);
    CHECK_NEAR(f[1], .5, 1e-12);
    CHECK_OK(atn_flow(cx, with, 2, 2, 0, f));
    CHECK_NEAR(f[0], 1, 1e-12);
    CHECK_NEAR(f[1], 0, 0);
}

static double twin_flow(const double *const *s, int layers, int n, int source, int sink)
{
    /* the smallest cut: all ways to put nodes on the side of the source */
    const int inner = (layers - 1) * n;
    double best = INFINITY;

    for (long set = 0; set < 1L << inner; set++) {
        double cut = 0;

        for (int l = layers; l > 0; l--)
            for (int i = 0; i < n; i++) {
                const bool from =
                    l == layers ? i == source : set >> ((l - 1) * n + i) & 1;
                for (int j = 0; from && j < n; j++) {
                    /* nodes of the bottom but the sink drain nothing: on this side */
                    const bool to = l == 1 ? j != sink : set >> ((l - 2) * n + j) & 1;
                    if (!to) cut += s[l - 1][i * n + j];
                }
            }
        if (cut < best) best = cut;
    }
    return best;
}

/* Largest flow = smallest cut, of random layers with holes; and not below the rollout. */
static void flow_against_cuts(atn_ctx *cx)
{
    for (int trial = 0; trial < 30; trial++) {
        const int n = 3 + trial % 2, layers = 2 + trial % 3;
        double s[4][16] = {{0}}, flow[4];
        const double *const all[] = {s[0], s[1], s[2], s[3]};
        atn_rng r = atn_rng_stream(8, "test/flow", trial, 0);

        for (int l = 0; l < layers; l++)
            for (int i = 0; i < n; i++) {
                double sum = 0;
                for (int j = 0; j < n; j++)
                    sum += s[l][i * n + j] =
                        atn_rng_uniform(&r) < .4 ? 0 : atn_rng_uniform(&r);
                for (int j = 0; j < n; j++) s[l][i * n + j] /= sum > 0 ? sum : 1;
            }
        for (int source = 0; source < n; source++) {
            double roll[4] = {0};

            roll[source] = 1;
            for (int l = layers - 1; l >= 0; l--) {
                double next[4] = {0};
                for (int i = 0; i < n; i++)
                    for (int j = 0; j < n; j++) next[j] += roll[i] * s[l][i * n + j];
                memcpy(roll, next, sizeof next);
            }
            CHECK_OK(atn_flow(cx, all, layers, n, source, flow));
            for (int j = 0; j < n; j++) {
                CHECK_NEAR(flow[j], twin_flow(all, layers, n, source, j), 1e-9);
                CHECK_LE(roll[j], flow[j] + 1e-9);
            }
        }
    }
}

static void flow_above_rollout(atn_ctx *cx)
{
    static random_model m;
    double s[LAYERS][N * N], w[N] = {0}, flow[N];
    const double *const all[] = {s[0], s[1], s[2]};

    make(&m, 0);
    w[N - 1] = 1;
    for (int l = LAYERS - 1; l >= 0; l--) {
        const atn_rollout_layer layer = {m.h[l], HEADS, ATN_ROLLOUT_MEAN, .5};
        CHECK_OK(atn_rollout_matrix(cx, &layer, 1, s[l]));
        CHECK_OK(atn_rollout_step(cx, &layer, 1, w));
    }
    CHECK_OK(atn_flow(cx, all, LAYERS, N, N - 1, flow));
    for (int j = 0; j < N; j++) {
        CHECK_LE(w[j], flow[j] + 1e-6);
        CHECK_LE(flow[j], 1 + 1e-6);
    }
}

static void failures(atn_ctx *cx)
{
    static random_model m;
    const double one[1] = {1};
    const double *const all[] = {one};
    atn_status st = ATN_MEMORY;
    double f[300];

    make(&m, 0);
    CHECK_FAILS(atn_flow(cx, all, 1, 257, 0, f), ATN_USAGE, "257 nodes");
    for (long k = 0; st != ATN_OK; k++) {
        const atn_rollout_layer layer = {m.h[0], HEADS, ATN_ROLLOUT_MEAN, .5};
        static double dense[N * N];
        const double *const level[] = {dense};
        check_failing fail = {k};
        double w[N] = {1};
        atn_ctx c;

        CHECK(k < 1000);
        atn_ctx_init(&c);
        c.threads = 1;
        c.alloc = (atn_allocator){check_failing_resize, &fail};
        st = atn_rollout_step(&c, &layer, 1, w);
        if (st == ATN_OK) st = atn_rollout_matrix(&c, &layer, 1, dense);
        if (st == ATN_OK) st = atn_flow(&c, level, 1, N, 3, f);
        CHECK(st == ATN_OK || st == ATN_MEMORY);
        fail.left = 1 << 20;
        atn_ctx_release(&c);
    }
}

CHECK_MAIN({"rollout by hand", rollout_by_hand}, {"heads combine", heads_combine},
           {"light rows", light_rows}, {"against the twin", against_the_twin},
           {"blocks", blocks}, {"flow by hand", flow_by_hand},
           {"flow against cuts", flow_against_cuts},
           {"flow above rollout", flow_above_rollout}, {"failures", failures})
