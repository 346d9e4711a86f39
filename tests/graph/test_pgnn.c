// SPDX-License-Identifier: GPL-3.0-or-later
#include "check.h"

#include <string.h>

#include "core/rng.h"
#include "graph/pairs.h"
#include "graph/pgnn.h"

/* ---- golden ---- */

/* Path 1 - 2 - 3, unit weights. */
static const double path_w[] = {0, 1, 0, 1, 0, 1, 0, 1, 0}, path_x[] = {1, 0, -2};
static const double pair_w[] = {0, 1, 1, 0}, pair_x[] = {1, -1};

static double run(atn_ctx *cx, const double *w, const double *x, atn_idx n,
                  atn_pgnn_params a, double *f)
{
    const atn_pgnn_graph g = {w, n, x, 1, 1};
    double energy[1001];
    int done = -1;

    CHECK_OK(atn_pgnn_run(cx, &g, &a, NULL, f, energy, &done));
    CHECK_EQ(done, a.iterations);
    return energy[done];
}

static atn_pgnn_params of(double p, double mu, int iterations)
{
    atn_pgnn_params a = atn_pgnn_defaults;

    a.p = p;
    a.mu = mu;
    a.iterations = iterations;
    return a;
}

/* Card A2, path graph, mu = .5. By hand for p = 2, node 1: d = (1, 2, 1), a = 1 / (1 +
 * 1/2) = 2/3, b = 1/3, F = 2/3 * 0 / sqrt 2 + 1/3. */
static void golden_path(atn_ctx *cx)
{
    static const struct {
        double p;
        int k;
        double f[3];
    } want[] = {{2, 1, {.333333, -.471405, -.666667}},
                {1.75, 1, {.363636, -.323150, -.809203}},
                {1.5, 1, {.4, -.192665, -.970563}},
                {1.25, 1, {.444444, -.083760, -1.147279}},
                {2, 4, {.160494, -.226973, -.839506}},
                {1.5, 4, {.173649, -.218978, -.797631}}};
    double f[3];

    for (size_t t = 0; t < ATN_LEN(want); t++) {
        run(cx, path_w, path_x, 3, of(want[t].p, .5, want[t].k), f);
        for (int i = 0; i < 3; i++) CHECK_NEAR(f[i], want[t].f[i], 6e-7);
    }
}

/* Fixed points, found with an independent optimiser; p = 2 is mu ((1 + mu) I - S)^-1 X. */
static void golden_minimum(atn_ctx *cx)
{
    double f[3];

    CHECK_NEAR(run(cx, path_w, path_x, 3, of(2, .5, 400), f), 1.6, 1e-9);
    CHECK_NEAR(f[0], .2, 1e-9);
    CHECK_NEAR(f[1], -.282843, 6e-7);
    CHECK_NEAR(f[2], -.8, 1e-9);
    CHECK_NEAR(run(cx, path_w, path_x, 3, of(1.5, .5, 1000), f), 1.791188, 6e-7);
    CHECK_NEAR(f[0], .149553, 1e-6);
    CHECK_NEAR(f[1], -.243097, 1e-6);
    CHECK_NEAR(f[2], -.805763, 1e-6);
}

/* The published code scales by the a of the sender: node 2 sends with its own a. */
static void golden_alpha_of_code(atn_ctx *cx)
{
    atn_pgnn_params a = of(1.5, .5, 1);
    double f[3], g[3];

    a.alpha = ATN_ALPHA_CODE;
    run(cx, path_w, path_x, 3, a, f);
    CHECK_NEAR(f[0], .4, 6e-7);
    CHECK_NEAR(f[1], -.303658, 6e-7);
    CHECK_NEAR(f[2], -.970563, 6e-7);
    a = of(2, .5, 3); /* both agree at p = 2 */
    run(cx, path_w, path_x, 3, a, f);
    a.alpha = ATN_ALPHA_CODE;
    run(cx, path_w, path_x, 3, a, g);
    for (int i = 0; i < 3; i++) CHECK_NEAR(f[i], g[i], 1e-14);
}

/* Two nodes, one edge, mu = .1: g = 2, F = (-2^(p-2) + 2 mu / p) / (2^(p-2) + 2 mu / p). */
static void golden_pair(atn_ctx *cx)
{
    static const double want[][2] = {
        {1, -.428571}, {1.5, -.682706}, {2, -.818182}, {2.5, -.892920}, {3, -.935484}};
    double f[2];

    for (size_t t = 0; t < ATN_LEN(want); t++) {
        run(cx, pair_w, pair_x, 2, of(want[t][0], .1, 1), f);
        CHECK_NEAR(f[0], want[t][1], 6e-7);
        CHECK_NEAR(f[1], -want[t][1], 6e-7);
    }
    run(cx, pair_w, pair_x, 2, of(2, .1, 50), f); /* oscillates in sign */
    CHECK_NEAR(f[0], .055732, 6e-7);
}

/* ---- against loops of our own ---- */

enum { MOST = 40, COLS = 4 };

typedef struct graph {
    atn_idx n, c;
    double w[MOST * MOST], x[MOST * COLS];
} graph;

/* Symmetric, some edges missing, now and then a node alone. */
static graph random_graph(atn_ctx *cx, int trial)
{
    atn_rng r = atn_rng_stream(cx->seed, "test/pgnn", trial, 0);
    graph g = {.n = 1 + atn_rng_below(&r, MOST), .c = 1 + atn_rng_below(&r, COLS)};

    for (atn_idx i = 0; i < g.n; i++)
        for (atn_idx j = 0; j < i; j++) {
            const bool none = trial % 3 == 0 && (i == 2 || j == 2);
            const double w = none || atn_rng_uniform(&r) < .4 ? 0 : atn_rng_uniform(&r);

            g.w[i * g.n + j] = g.w[j * g.n + i] = w;
        }
    for (atn_idx i = 0; i < g.n * g.c; i++) g.x[i] = 2 * atn_rng_normal(&r);
    return g;
}

static double twin_gradient(const graph *g, const double *d, const double *f, atn_idx i,
                            atn_idx j)
{
    double sum = 0;

    for (atn_idx c = 0; c < g->c; c++) {
        const double a = d[i] > 0 ? f[i * g->c + c] / sqrt(d[i]) : 0;
        const double b = d[j] > 0 ? f[j * g->c + c] / sqrt(d[j]) : 0;

        sum += (a - b) * (a - b);
    }
    return sqrt(g->w[i * g->n + j] * sum);
}

static double twin_energy(const graph *g, const double *d, const double *f, double p,
                          double mu)
{
    double sum = 0;

    for (atn_idx i = 0; i < g->n; i++)
        for (atn_idx j = 0; j < g->n; j++)
            if (g->w[i * g->n + j] > 0) sum += pow(twin_gradient(g, d, f, i, j), p) / 2;
    for (atn_idx i = 0; i < g->n * g->c; i++)
        sum += mu * (f[i] - g->x[i]) * (f[i] - g->x[i]);
    return sum;
}

static void twin_step(const graph *g, const double *d, const atn_pgnn_params *a,
                      double *f)
{
    double m[MOST][MOST], alpha[MOST], next[MOST * COLS];

    for (atn_idx i = 0; i < g->n; i++) {
        double sum = 0;

        for (atn_idx j = 0; j < g->n; j++) {
            const double w = g->w[i * g->n + j];

            m[i][j] = w > 0 ? w * pow(twin_gradient(g, d, f, i, j), a->p - 2) : 0;
            sum += m[i][j];
        }
        alpha[i] = 1 / ((d[i] > 0 ? sum / d[i] : 0) + 2 * a->mu / a->p);
    }
    for (atn_idx i = 0; i < g->n; i++)
        for (atn_idx c = 0; c < g->c; c++) {
            double sum = 0;

            for (atn_idx j = 0; j < g->n; j++)
                if (m[i][j] > 0)
                    sum += (a->alpha == ATN_ALPHA_CODE ? alpha[j] : alpha[i]) *
                           m[i][j] * f[j * g->c + c] / sqrt(d[i] * d[j]);
            sum += 2 * a->mu / a->p * alpha[i] * g->x[i * g->c + c];
            next[i * g->c + c] = f[i * g->c + c] + a->damping * (sum - f[i * g->c + c]);
        }
    memcpy(f, next, sizeof next);
}

static void twin(atn_ctx *cx)
{
    for (int trial = 0; trial < 120; trial++) {
        const graph g = random_graph(cx, trial);
        const atn_pgnn_graph of_it = {g.w, g.n, g.x, g.c, g.c};
        atn_pgnn_params a =
            of(1 + trial % 9 * .25, .05 + .3 * (trial % 4), 1 + trial % 4);
        double d[MOST] = {0}, f[MOST * COLS], got[MOST * COLS], energy[5];

        a.damping = trial % 2 ? 1 : .6;
        a.alpha = trial % 5 == 0 ? ATN_ALPHA_CODE : ATN_ALPHA_PAPER;
        CHECK_OK(atn_pgnn_run(cx, &of_it, &a, NULL, got, energy, NULL));
        for (atn_idx i = 0; i < g.n; i++)
            for (atn_idx j = 0; j < g.n; j++) d[i] += g.w[i * g.n + j];
        memcpy(f, g.x, sizeof f);
        for (int k = 0; k <= a.iterations; k++) {
            const double e = twin_energy(&g, d, f, a.p, a.mu);

            CHECK_NEAR(energy[k], e, 1e-9 * (1 + e));
            if (k < a.iterations) twin_step(&g, d, &a, f);
        }
        for (atn_idx i = 0; i < g.n * g.c; i++) CHECK_NEAR(got[i], f[i], 1e-8);
    }
}

/* For 1 <= p <= 2 and symmetric W, with any mu and damping. */
static void energy_never_increases(atn_ctx *cx)
{
    for (int trial = 0; trial < 200; trial++) {
        const graph g = random_graph(cx, 1000 + trial);
        const atn_pgnn_graph of_it = {g.w, g.n, g.x, g.c, g.c};
        atn_pgnn_params a = of(1 + trial % 5 * .25, .01 * (1 + trial % 90), 12);
        double f[MOST * COLS], energy[13];

        a.damping = trial % 7 ? .1 * (3 + trial % 7) : 1;
        CHECK_OK(atn_pgnn_run(cx, &of_it, &a, NULL, f, energy, NULL));
        for (int k = 0; k < a.iterations; k++)
            CHECK_LE(energy[k + 1], energy[k] * (1 + 1e-9) + 1e-12);
    }
}

/* p > 2 has no such promise: two nodes far apart overshoot, and stopping is told. */
static void stops_on_increase(atn_ctx *cx)
{
    const double x[] = {10, -11};
    const atn_pgnn_graph g = {pair_w, 2, x, 1, 1};
    atn_pgnn_params a = of(3, .001, 9);
    double f[2], all[2], energy[10];
    int done = -1;

    a.stop = true;
    CHECK_OK(atn_pgnn_run(cx, &g, &a, NULL, f, energy, &done));
    CHECK(done >= 1 && done <= 9);
    if (done < 9) CHECK(energy[done] > energy[done - 1]);
    a.stop = false;
    a.iterations = done;
    CHECK_OK(atn_pgnn_run(cx, &g, &a, NULL, all, energy, NULL));
    for (int i = 0; i < 2; i++) CHECK_NEAR(f[i], all[i], 0);
}

/* ---- frequencies ---- */

/* The path's S has eigenvectors (1, sqrt 2, 1) / 2, (1, 0, -1) / sqrt 2, (1, -sqrt 2, 1) / 2 at
 * s = 1, 0, -1. */
static void response_is_closed_form(atn_ctx *cx)
{
    const double r = sqrt(.5);
    const double u[3][3] = {{.5, r, .5}, {r, 0, -r}, {.5, -r, .5}}, s[3] = {1, 0, -1};

    for (int k = 1; k <= 7; k++)
        for (int e = 0; e < 3; e++) {
            double f[3];

            run(cx, path_w, u[e], 3, of(2, .3, k), f);
            for (int i = 0; i < 3; i++)
                CHECK_NEAR(f[i], atn_pgnn_response(s[e], .3, 1, k) * u[e][i], 1e-14);
        }
    for (int e = 0; e < 3; e++) { /* damped */
        atn_pgnn_params a = of(2, .3, 5);
        double f[3];

        a.damping = .6;
        run(cx, path_w, u[e], 3, a, f);
        for (int i = 0; i < 3; i++)
            CHECK_NEAR(f[i], atn_pgnn_response(s[e], .3, .6, 5) * u[e][i], 1e-14);
    }
    CHECK_NEAR(atn_pgnn_response(1, .3, 1, -1), 1, 1e-15);
    CHECK_NEAR(atn_pgnn_response(-1, .3, 1, -1), .3 / 2.3, 1e-15);
    CHECK_NEAR(atn_pgnn_response(-.7, .3, 1, 200), atn_pgnn_response(-.7, .3, 1, -1),
               1e-14);
    CHECK_NEAR(atn_pgnn_response(.5, 0, 1, 3), .125, 1e-15);
    CHECK_NEAR(atn_pgnn_response(1, 0, 1, 5), 1, 1e-15);
}

/* What is carried along sees the same weights and has no say in them. */
static void carried_along(atn_ctx *cx)
{
    const graph g = random_graph(cx, 7);
    const atn_idx n = g.n, c = g.c, wide = 2 * c;
    double both[MOST * 2 * COLS], f[MOST * COLS], fs[MOST * 2 * COLS], energy[4], es[4];
    const atn_pgnn_graph alone = {g.w, n, g.x, c, c}, more = {g.w, n, both, wide, c};
    const atn_pgnn_params a = of(1.4, .2, 3);

    for (atn_idx i = 0; i < n; i++)
        for (atn_idx e = 0; e < c; e++) {
            both[i * wide + e] = g.x[i * c + e];
            both[i * wide + c + e] = 3 * g.x[i * c + e];
        }
    CHECK_OK(atn_pgnn_run(cx, &alone, &a, NULL, f, energy, NULL));
    CHECK_OK(atn_pgnn_run(cx, &more, &a, NULL, fs, es, NULL));
    for (int k = 0; k < 4; k++) CHECK_NEAR(energy[k], es[k], 1e-12 * energy[k]);
    for (atn_idx i = 0; i < n; i++)
        for (atn_idx e = 0; e < c; e++) {
            CHECK_NEAR(fs[i * wide + e], f[i * c + e], 1e-12);
            CHECK_NEAR(fs[i * wide + c + e], 3 * f[i * c + e], 1e-11);
        }
}

/* Relabelling the nodes relabels the result; the threads do not matter at all. */
static void order_and_threads(atn_ctx *cx)
{
    static graph g, h;
    const atn_pgnn_params a = of(1.3, .2, 4);
    double f[MOST * COLS], same[MOST * COLS], turned[MOST * COLS], energy[5];

    g = random_graph(cx, 22);
    h = g;
    for (atn_idx i = 0; i < g.n; i++) {
        for (atn_idx j = 0; j < g.n; j++)
            h.w[i * g.n + j] = g.w[(g.n - 1 - i) * g.n + g.n - 1 - j];
        for (atn_idx e = 0; e < g.c; e++)
            h.x[i * g.c + e] = g.x[(g.n - 1 - i) * g.c + e];
    }
    cx->threads = 1;
    CHECK_OK(atn_pgnn_run(cx, &(atn_pgnn_graph){g.w, g.n, g.x, g.c, g.c}, &a, NULL, f,
                          energy, NULL));
    cx->threads = 4;
    CHECK_OK(atn_pgnn_run(cx, &(atn_pgnn_graph){g.w, g.n, g.x, g.c, g.c}, &a, NULL,
                          same, energy, NULL));
    CHECK_OK(atn_pgnn_run(cx, &(atn_pgnn_graph){h.w, h.n, h.x, h.c, h.c}, &a, NULL,
                          turned, energy, NULL));
    CHECK(memcmp(f, same, (size_t)(g.n * g.c) * sizeof *f) == 0);
    for (atn_idx i = 0; i < g.n; i++)
        for (atn_idx e = 0; e < g.c; e++)
            CHECK_NEAR(turned[(g.n - 1 - i) * g.c + e], f[i * g.c + e], 1e-11);
}

/* ---- failure ---- */

static void refuses(atn_ctx *cx)
{
    static const struct {
        atn_pgnn_params a;
        const char *word;
    } bad[] = {
        {{.p = .99, .mu = .1, .damping = 1, .iterations = 1}, "p ="},
        {{.p = 3.01, .mu = .1, .damping = 1, .iterations = 1}, "p ="},
        {{.p = NAN, .mu = .1, .damping = 1, .iterations = 1}, "p ="},
        {{.p = 2, .mu = -.1, .damping = 1, .iterations = 1}, "mu ="},
        {{.p = 2, .mu = NAN, .damping = 1, .iterations = 1}, "mu ="},
        {{.p = 2, .mu = .1, .damping = 0, .iterations = 1}, "damping ="},
        {{.p = 2, .mu = .1, .damping = 1.1, .iterations = 1}, "damping ="},
        {{.p = 2, .mu = .1, .damping = 1, .snap = .1, .iterations = 1}, "snap ="},
        {{.p = 2, .mu = .1, .damping = 1, .iterations = 0}, "iterations"}};

    for (size_t t = 0; t < ATN_LEN(bad); t++) {
        CHECK_EQ(atn_pgnn_check(cx, &bad[t].a), ATN_USAGE);
        CHECK(strstr(cx->err.text, bad[t].word));
        atn_err_clear(cx);
    }
}

static void failing_allocation(atn_ctx *cx)
{
    const atn_pgnn_graph g = {path_w, 3, path_x, 1, 1};
    const atn_pgnn_params a = of(1.5, .5, 2);
    double f[3], energy[3];
    bool through = false;

    (void)cx;
    for (long k = 0; !through; k++) {
        check_failing failing = {k};
        atn_ctx small;
        atn_status st;

        atn_ctx_init(&small);
        small.alloc = (atn_allocator){check_failing_resize, &failing};
        st = atn_pgnn_run(&small, &g, &a, NULL, f, energy, NULL);
        through = st == ATN_OK;
        if (!through) CHECK_EQ(st, ATN_MEMORY);
        atn_ctx_release(&small);
        CHECK(k < 1000);
    }
}

/* The loops of graph/pairs.h against libm. */
static void logarithms_and_powers(atn_ctx *cx)
{
    enum { N = 1003 };
    static double x[N], ln[N], y[N];
    atn_rng r = atn_rng_stream(cx->seed, "test/pairs", 0, 0);
    double sum = 0;

    for (int e = -4; e <= 4; e++) {
        for (int i = 0; i < N; i++)
            x[i] = i < 40 ? 1 + (i - 20) * 1e-3 : exp(60 * atn_rng_normal(&r));
        x[N - 1] = 0;
        x[N - 2] = 1;
        atn_pairs_power(x, N, e / 8.0, ln, y);
        for (int i = 0; i < N - 1; i++) {
            const double l = log(x[i]), to = pow(x[i], e / 8.0);

            CHECK_NEAR(ln[i], l, 4e-16 * fabs(l));
            CHECK_NEAR(y[i], to, (4e-16 + 2e-16 * fabs(l)) * to);
        }
        CHECK_NEAR(y[N - 1], e == 0, 0);
        CHECK_NEAR(ln[N - 2], 0, 0);
    }
    for (int i = 0; i < N; i++) sum += (x[i] = (i * 37) % 101);
    CHECK_NEAR(atn_pairs_sum(x, N), sum, 0);
    CHECK_NEAR(atn_pairs_dot(x, x, 3), x[0] * x[0] + x[1] * x[1] + x[2] * x[2], 0);
}

/* Points as near as 1e-9 of their size keep their distance; equal ones have none. */
static void near_pairs_keep_their_digits(atn_ctx *cx)
{
    double x[] = {3, -4, 12, 3, -4, 12 + 1.3e-8, 3, -4, 12, 0, 0, 0}, square[4], d2[4];
    const atn_points p = {x, 4, 3, 3, square, NULL};

    (void)cx;
    atn_points_measure(&p);
    CHECK_NEAR(square[0], 169, 0);
    atn_pairs_distance(&p, 0, 1, &p, 0, 4, d2);
    atn_pairs_repair(&p, 0, &p, 0, 4, 0, d2);
    CHECK_NEAR(d2[0], 0, 0);
    CHECK_NEAR(sqrt(d2[1]), x[5] - x[2], 1e-15);
    CHECK_NEAR(d2[2], 0, 0);
    CHECK_NEAR(d2[3], 169, 0);
    atn_pairs_distance(&p, 0, 1, &p, 0, 4, d2);
    atn_pairs_repair(&p, 0, &p, 0, 4, 1.1e-9, d2); /* 1.3e-8 / 13 is nearer than that */
    CHECK_NEAR(d2[1], 0, 0);
    atn_pairs_distance(&p, 3, 1, &p, 3, 1, d2);
    atn_pairs_repair(&p, 3, &p, 3, 1, 0, d2);
    CHECK_NEAR(d2[0], 0, 0);
}

CHECK_MAIN({"golden path", golden_path}, {"golden minimum", golden_minimum},
           {"golden alpha of the code", golden_alpha_of_code},
           {"golden pair", golden_pair}, {"twin", twin},
           {"energy never increases", energy_never_increases},
           {"stops on increase", stops_on_increase},
           {"response is the closed form", response_is_closed_form},
           {"carried along", carried_along}, {"order and threads", order_and_threads},
           {"refuses", refuses}, {"failing allocation", failing_allocation},
           {"logarithms and powers", logarithms_and_powers},
           {"near pairs keep their digits", near_pairs_keep_their_digits})
