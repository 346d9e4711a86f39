/* tests/approx/test_performer.c -- FAVOR+ against its formulas. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "tests/approx/operator_checks.h"

enum { POSITIVE, HYPERBOLIC, TRIG };

/* Outputs by the definition, features not scaled; eps as published. */
typedef struct twin {
    int kind, m;
    bool causal;
    double eps;
    const double (*omega)[G8_D];
} twin;

static int map(const twin *t, const double *x, double top, double *phi)
{
    double half = 0;

    for (int l = 0; l < G8_D; l++) half += G8_SCALE * x[l] * x[l] / 2;
    for (int r = 0; r < t->m; r++) {
        double u = 0;

        for (int l = 0; l < G8_D; l++) u += t->omega[r][l] * x[l] * sqrt(G8_SCALE);
        phi[r] = t->kind == TRIG ? exp(half) * cos(u) : exp(u - half - top) + t->eps;
        phi[t->m + r] =
            t->kind == TRIG ? exp(half) * sin(u) : exp(-u - half - top) + t->eps;
    }
    return t->kind == POSITIVE ? t->m : 2 * t->m;
}

static double largest(const twin *t, const double *x)
{
    double top = -INFINITY;

    for (int r = 0; r < t->m; r++) {
        double u = 0;

        for (int l = 0; l < G8_D; l++) u += t->omega[r][l] * x[l] * sqrt(G8_SCALE);
        top = fmax(top, t->kind == HYPERBOLIC ? fabs(u) : u);
    }
    return top;
}

static void run_twin(const twin *t, const g8 *x, double o[G8_N][G8_D])
{
    double keys = -INFINITY, phi[64], psi[64];

    for (int j = 0; j < G8_N && t->eps > 0; j++) keys = fmax(keys, largest(t, x->k[j]));
    for (int i = 0; i < G8_N; i++) {
        const int width = map(t, x->q[i], t->eps > 0 ? largest(t, x->q[i]) : 0, phi);
        double sum = 0;

        memset(o[i], 0, sizeof o[i]);
        for (int j = 0; j < (t->causal ? i + 1 : G8_N); j++) {
            double a = 0;

            map(t, x->k[j], t->eps > 0 ? keys : 0, psi);
            for (int r = 0; r < width; r++) a += phi[r] * psi[r];
            sum += a;
            for (int l = 0; l < G8_D; l++) o[i][l] += a * x->v[j][l];
        }
        for (int l = 0; l < G8_D; l++) o[i][l] /= sum;
    }
}

/* Projections as floats, opened as draws. */
static void give(atn_ctx *cx, zoo *z, const twin *t)
{
    float omega[G8_OMEGA * G8_D];

    for (int e = 0; e < t->m * G8_D; e++)
        omega[e] = (float)t->omega[e / G8_D][e % G8_D];
    g8_draws(cx, z, "performer", "projections", -1, omega, t->m, G8_D);
}

static const double two[G8_D][G8_D] = {{2}, {0, 2}, {0, 0, 2}, {0, 0, 0, 2}};

static void golden(atn_ctx *cx)
{
    double b[G8_OMEGA][G8_D], o[G8_N][G8_D], got[G8_N * G8_D], w[G8_N * G8_N];
    const struct {
        const char *row, *spec;
        twin t;
    } rows[] = {
        {"hyperbolic 2I",
         "performer:kind=hyperbolic,features=8",
         {HYPERBOLIC, 4, false, 0, two}},
        {"positive b", "performer:features=6", {POSITIVE, 6, false, 0, b}},
        {"hyperbolic b causal",
         "performer:kind=hyperbolic,features=13",
         {HYPERBOLIC, 6, true, 0, b}},
        {"trig b", "performer:kind=trig,features=12", {TRIG, 6, false, 0, b}},
    };

    for (int e = 0; e < G8_OMEGA * G8_D; e++)
        b[e / G8_D][e % G8_D] = g8_omega(e / G8_D, e % G8_D);
    for (size_t k = 0; k < ATN_LEN(rows); k++) {
        const g8 exact = g8_exact();
        g8 floats;
        zoo z;

        run_twin(&rows[k].t, &exact, o);
        g8_check(rows[k].row, o[0], 1e-9);
        g8_zoo(&z, rows[k].t.causal);
        floats = g8_of(&z);
        give(cx, &z, &rows[k].t);
        g8_run(cx, &z, rows[k].spec, got, w);
        g8_check(rows[k].row, got, 2e-5);
        op_run(cx, &z, rows[k].spec, NULL, got);
        if (rows[k].t.omega != b) { /* no rounding of projections */
            run_twin(&rows[k].t, &floats, o);
            for (int e = 0; e < G8_N * G8_D; e++)
                CHECK_NEAR(got[e], o[e / G8_D][e % G8_D], 1e-9);
        }
        g8_same(&z, w, got, 1e-9);
        zoo_draws_end(&z, cx);
        zoo_free(&z);
    }
}

/* As published: eps 1e-6 after the maxima; a larger one by hand. */
static void published(atn_ctx *cx)
{
    for (int way = 0; way < 4; way++) {
        const double eps = way < 2 ? 1e-6 : .01;
        const twin t = {way & 1 ? HYPERBOLIC : POSITIVE, 4, way & 1, eps, two};
        const char *spec[] = {"performer:features=4",
                              "performer:kind=hyperbolic,features=8",
                              "performer:features=4,eps=.01",
                              "performer:kind=hyperbolic,features=8,eps=.01"};
        double o[G8_N][G8_D], got[G8_N * G8_D], w[G8_N * G8_N];
        g8 x;
        zoo z;

        g8_zoo(&z, t.causal);
        z.in.as_published = way < 2;
        x = g8_of(&z);
        give(cx, &z, &t);
        op_run(cx, &z, spec[way], w, got);
        run_twin(&t, &x, o);
        for (int e = 0; e < G8_N * G8_D; e++)
            CHECK_NEAR(got[e], o[e / G8_D][e % G8_D], 1e-10);
        zoo_draws_end(&z, cx);
        zoo_free(&z);
    }
}

/* Centred keys: the same as keys that have no mean; rows sum to 1. */
static void centred(atn_ctx *cx)
{
    double a[G8_N * G8_D], b[G8_N * G8_D], w[G8_N * G8_N], mean[G8_D] = {0};
    zoo z;

    g8_zoo(&z, false);
    for (int e = 0; e < G8_N * G8_D; e++) mean[e % G8_D] += (double)z.k[e] / G8_N;
    op_run(cx, &z, "performer:features=16,centre=1", w, a);
    for (int i = 0; i < G8_N; i++) {
        double sum = 0;

        for (int j = 0; j < G8_N; j++) sum += w[i * G8_N + j];
        CHECK_NEAR(sum, 1, 1e-12);
    }
    for (int e = 0; e < G8_N * G8_D; e++)
        z.k[e] = (float)((double)z.k[e] - mean[e % G8_D]);
    op_run(cx, &z, "performer:features=16", w, b);
    for (int e = 0; e < G8_N * G8_D; e++) CHECK_NEAR(a[e], b[e], 1e-6);
    zoo_free(&z);
}

/* Equal keys: uniform, whatever the projections; a bias of positions is exact then. */
static void equal_keys(atn_ctx *cx)
{
    static const char *const specs[] = {
        "performer:features=5", "performer:features=6,kind=hyperbolic",
        "performer:features=9,orthogonal=0", "performer:features=9,norms=sqrt"};

    for (size_t k = 0; k < ATN_LEN(specs); k++) {
        double w[20 * 20];
        zoo z;

        zoo_random(&z, 1, 1, 20, 20, 4);
        for (int e = 0; e < 20 * 8; e++) z.k[e] = z.k[e % 8];
        op_run(cx, &z, specs[k], w, NULL);
        for (int i = 0; i < 20; i++)
            CHECK_NEAR(w[i * 20 + i / 2], 1.0 / (i + 1), 1e-12);
        z.head[0].alibi_slope = .5;
        op_run(cx, &z, specs[k], w, NULL);
        CHECK_NEAR(w[19 * 20 + 17] / w[19 * 20 + 18], exp(-.5), 1e-12);
        op_run(cx, &z, "performer:features=5", w, NULL);
        zoo_free(&z);
    }
}

/* Many features: near the softmax. Small logits, so that 4096 draws do. */
static void many_features(atn_ctx *cx)
{
    static const char *const specs[] = {"performer:features=8192",
                                        "performer:features=8192,kind=hyperbolic",
                                        "performer:features=8192,kind=trig"};

    for (size_t k = 0; k < ATN_LEN(specs); k++) {
        double w[12 * 12], dense[12];
        zoo z;

        zoo_random(&z, 1, 1, 12, 12, 4);
        for (int e = 0; e < 12 * 8; e++) z.q[e] *= .4f, z.k[e] *= .4f;
        op_run(cx, &z, specs[k], w, NULL);
        for (int i = 0; i < 12; i++) {
            zoo_dense(&z, 0, i, dense);
            for (int j = 0; j < 12; j++) CHECK_NEAR(w[i * 12 + j], dense[j], .02);
        }
        zoo_free(&z);
    }
}

static void refused(atn_ctx *cx)
{
    atn_plan p;
    atn_choice c;
    zoo z;

    zoo_random(&z, 1, 1, 9, 9, 4);
    CHECK_OK(atn_choice_read(cx, "performer", "kind=trig,eps=.1", &c));
    CHECK_FAILS(atn_choice_plan(cx, &c, &z.in, 0, &p), ATN_USAGE, "eps");
    CHECK_OK(atn_choice_read(cx, "performer", NULL, &c));
    z.head[0].sight.softcap = 3;
    CHECK_FAILS(atn_choice_plan(cx, &c, &z.in, 0, &p), ATN_DATA, "soft-cap");
    z.head[0].sight.softcap = 0;
    z.head[0].has_sink = true;
    CHECK_FAILS(atn_choice_plan(cx, &c, &z.in, 0, &p), ATN_DATA, "sink");
    zoo_free(&z);
}

static void operators(atn_ctx *cx)
{
    op_all(cx, "performer:features=16", ATN_BOTH_WAYS);
    op_all(cx, "performer:features=16,kind=hyperbolic,norms=sqrt", ATN_BOTH_WAYS);
    op_all(cx, "performer:features=16,eps=1e-3", ATN_BOTH_WAYS);
    op_same(cx, "performer:features=16,centre=1", ATN_BOTH_WAYS);
    op_causal(cx, "performer:features=16");
    op_causal(cx, "performer:features=16,kind=hyperbolic");
}

static void failing(atn_ctx *cx)
{
    zoo z;

    (void)cx;
    zoo_random(&z, 1, 1, 9, 9, 2);
    zoo_failing(&z, "performer", "features=5,centre=1");
    zoo_free(&z);
}

static void survives(atn_ctx *cx)
{
    static const char *const list[] = {"features=1", "features=1,kind=trig",
                                       "features=300", "features=7,eps=1,centre=1"};

    zoo_survives_all(cx, "performer", list, ATN_LEN(list));
}

CHECK_MAIN({"golden rows", golden}, {"as published", published}, {"centred", centred},
           {"equal keys", equal_keys}, {"many features", many_features},
           {"refused", refused}, {"the operator", operators}, {"failing", failing},
           {"survives", survives})
