/* Scatterbrain against a dense twin in double: golden rows, both supports, limits. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "tests/approx/g8.h"

#include "core/rng.h"

enum { MOST = 40, DIM = 16 };

/* A head in double, and projections. */
typedef struct twin {
    int nq, nk, d, m;
    bool positive;
    double scale, slope, sink;
    double q[MOST][DIM], k[MOST][DIM], omega[DIM][DIM];
    bool sees[MOST][MOST];
    double met[MOST][MOST]; /* rounds in which a pair is in the support */
} twin;

static double twin_logit(const twin *t, int i, int j, int offset)
{
    double s = 0;

    for (int c = 0; c < t->d; c++) s += t->q[i][c] * t->k[j][c];
    return t->scale * s + t->slope * (j - i - offset);
}

/* phi(q_i) . phi(k_j) by its definition, as it stands. */
static double twin_feature(const twin *t, int i, int j, int offset)
{
    const double root = sqrt(t->scale);
    double half = 0, sum = 0;

    for (int c = 0; c < t->d; c++)
        half += t->scale * (t->q[i][c] * t->q[i][c] + t->k[j][c] * t->k[j][c]) / 2;
    for (int r = 0; r < t->m; r++) {
        double u = 0;

        for (int c = 0; c < t->d; c++)
            u += root * t->omega[r][c] * (t->q[i][c] + t->k[j][c]);
        sum += t->positive ? exp(u - half) : (exp(u - half) + exp(-u - half)) / 2;
    }
    return sum / t->m * exp(t->slope * (j - i - offset));
}

/* Rows of w [nq, nk]. A pair that t rounds show counts 1 / t in each. */
static void twin_weights(const twin *t, int offset, double *w)
{
    for (int i = 0; i < t->nq; i++) {
        double sum = isnan(t->sink) ? 0 : exp(t->sink);

        for (int j = 0; j < t->nk; j++) {
            double *x = &w[i * t->nk + j], met = t->met[i][j];

            *x = t->sees[i][j] ? twin_feature(t, i, j, offset) : 0;
            for (int r = 0; r < (int)met && t->sees[i][j]; r++)
                *x += exp(twin_logit(t, i, j, offset) - log(met)) -
                      twin_feature(t, i, j, offset) / met;
            sum += *x;
        }
        for (int j = 0; j < t->nk && sum > 0; j++) w[i * t->nk + j] /= sum;
    }
}

static void twin_band(twin *t, int window, int offset)
{
    for (int i = 0; i < t->nq; i++)
        for (int j = 0; j < t->nk; j++) {
            const int off = j - i - offset;
            t->met[i][j] = off >= -(window / 2) && off < (window + 1) / 2;
        }
}

static twin twin_of(const zoo *z)
{
    const atn_head *h = &z->head[0];
    twin t = {.nq = (int)h->nq,
              .nk = (int)h->nk,
              .d = (int)h->q.cols,
              .scale = h->scale,
              .slope = h->alibi_slope,
              .sink = h->has_sink ? h->sink : NAN};

    for (int i = 0; i < t.nq; i++)
        for (int c = 0; c < t.d; c++) t.q[i][c] = (double)atn_crow(h->q, i)[c];
    for (int j = 0; j < t.nk; j++)
        for (int c = 0; c < t.d; c++) t.k[j][c] = (double)atn_crow(h->k, j)[c];
    for (int i = 0; i < t.nq; i++)
        for (int j = 0; j < t.nk; j++) {
            const int back = i + (int)h->sight.offset - j;

            t.sees[i][j] = !h->sight.causal || back >= 0;
            if (h->sight.window && h->sight.causal)
                t.sees[i][j] = t.sees[i][j] && back < h->sight.window;
            else if (h->sight.window)
                t.sees[i][j] = abs(back) <= h->sight.window;
        }
    return t;
}

/* Implied weights, and the output in double, of head 0. */
static void run_within(atn_ctx *cx, const zoo *z, const char *spec, double tolerance,
                       double *w, double *o)
{
    const atn_head *h = &z->head[0];
    atn_plan p[ZOO_HEADS_MOST];
    const atn_idx n = zoo_plan(cx, z, spec, 0, p);

    CHECK(p[0].op.kind);
    CHECK_OK(atn_plan_rows(cx, h, &p[0], 0, h->nq, w));
    CHECK_OK(p[0].op.kind->apply(cx, h, p[0].op.state, o, "test"));
    g8_same(z, w, o, tolerance);
    zoo_release(cx, p, n);
}

static void run(atn_ctx *cx, const zoo *z, const char *spec, double *w, double *o)
{
    run_within(cx, z, spec, 1e-10, w, o);
}

static void same(const twin *t, const double *w, int offset, double tolerance)
{
    double wanted[MOST * MOST];

    twin_weights(t, offset, wanted);
    for (int e = 0; e < t->nq * t->nk; e++) CHECK_NEAR(w[e], wanted[e], tolerance);
}

/* ---- golden rows ---- */

static void set_omega(twin *t, float *x, int m, uint64_t seed)
{
    atn_rng r = atn_rng_stream(seed, "test/omega", 0, 0);

    t->m = m;
    for (int e = 0; e < m * t->d; e++) {
        x[e] = (float)atn_rng_normal(&r);
        t->omega[e / t->d][e % t->d] = (double)x[e];
    }
}

/* Card "G8": hyperbolic, 2 I, a band of |i - j| <= 1: 8 features, window 3. */
static void golden(atn_ctx *cx)
{
    for (int causal = 0; causal < 2; causal++) {
        const char *row = causal ? "scatterbrain 2I causal" : "scatterbrain 2I";
        const g8 x = g8_exact();
        float two[16] = {2, 0, 0, 0, 0, 2, 0, 0, 0, 0, 2, 0, 0, 0, 0, 2};
        double w[64], o[32] = {0};
        twin t;
        zoo z;

        g8_zoo(&z, causal);
        t = twin_of(&z);
        t.m = 4;
        for (int r = 0; r < 4; r++) t.omega[r][r] = 2;
        twin_band(&t, 3, 0);
        g8_draws(cx, &z, "scatterbrain", "projections", -1, two, 4, 4);
        run(cx, &z, "scatterbrain:window=3,features=8", w, o);
        same(&t, w, 0, 1e-12);
        g8_check(row, o, 2e-5);
        memcpy(t.k, (double[MOST][DIM]){{0}}, sizeof t.k);
        for (int e = 0; e < 32; e++) {
            t.q[e / 4][e % 4] = x.q[e / 4][e % 4];
            t.k[e / 4][e % 4] = x.k[e / 4][e % 4];
            o[e] = 0;
        }
        twin_weights(&t, 0, w);
        for (int e = 0; e < 8 * 8 * 4; e++)
            o[e / 32 * 4 + e % 4] += w[e / 4] * x.v[e / 4 % 8][e % 4];
        g8_check(row, o, 1e-9);
        zoo_draws_end(&z, cx);
        zoo_free(&z);
    }
}

/* ---- the twin over random heads ---- */

typedef struct setting {
    int nq, nk, window;
    bool causal, positive;
    int sight;
    double slope, sink;
} setting;

static const setting settings[] = {
    {17, 17, 5, true, false, 0, 0, NAN},  {17, 17, 4, false, false, 0, 0, NAN},
    {7, 20, 6, true, true, 0, 0, NAN},    {20, 9, 3, false, true, 0, 0, NAN},
    {24, 24, 6, true, false, 9, 0, NAN},  {24, 24, 30, false, false, 5, 0, NAN},
    {16, 16, 4, true, false, 0, .25, .7}, {16, 16, 0, true, true, 0, -.1, -2},
    {1, 1, 1, true, false, 0, 0, NAN},    {30, 30, 64, true, false, 0, 0, 1},
};

static void make(zoo *z, const setting *s, uint64_t seed)
{
    zoo_random(z, 1, 1, s->nq, s->nk, seed);
    zoo_causal(z, s->causal);
    if (!s->causal) z->head[0].sight.offset = 0;
    z->head[0].sight.window = s->sight;
    z->head[0].alibi_slope = s->slope;
    z->head[0].has_sink = !isnan(s->sink);
    z->head[0].sink = isnan(s->sink) ? 0 : s->sink;
}

static void local_is_the_twin(atn_ctx *cx)
{
    for (size_t e = 0; e < ATN_LEN(settings); e++) {
        const setting *s = &settings[e];
        double w[MOST * MOST], o[MOST * 8];
        float omega[3 * 8];
        char spec[128];
        int offset;
        twin t;
        zoo z;

        make(&z, s, 11 + e);
        t = twin_of(&z);
        t.positive = s->positive;
        offset = (int)z.head[0].sight.offset;
        set_omega(&t, omega, 3, e);
        twin_band(&t, s->window, offset);
        g8_draws(cx, &z, "scatterbrain", "projections", -1, omega, 3, 8);
        snprintf(spec, sizeof spec, "scatterbrain:window=%d,features=%d,kind=%s",
                 s->window, s->positive ? 3 : 6,
                 s->positive ? "positive" : "hyperbolic");
        run(cx, &z, spec, w, o);
        same(&t, w, offset, 1e-12);
        zoo_draws_end(&z, cx);
        zoo_free(&z);
    }
}

/* Clusters by definition: the rank of a token is how many come before it. */
static void twin_clusters(twin *t, const float *g, int cluster)
{
    const int clusters = (t->nk + cluster - 1) / cluster;
    const int of_q = (t->nq + clusters - 1) / clusters;
    double all[2] = {0}, fq[MOST], fk[MOST], sq[MOST], sk[MOST];

    for (int i = 0; i < t->nq; i++) {
        fq[i] = sq[i] = 0;
        for (int c = 0; c < t->d; c++) {
            sq[i] += t->q[i][c] * t->q[i][c];
            fq[i] += (double)g[c] * t->q[i][c];
        }
        all[0] = fmax(all[0], sq[i]);
    }
    for (int j = 0; j < t->nk; j++) {
        fk[j] = sk[j] = 0;
        for (int c = 0; c < t->d; c++) {
            sk[j] += t->k[j][c] * t->k[j][c];
            fk[j] += (double)g[c] * t->k[j][c];
        }
        all[1] = fmax(all[1], sk[j]);
    }
    for (int i = 0; i < t->nq; i++)
        fq[i] += (double)g[t->d + 1] * sqrt(all[0] + all[1] - sq[i]);
    for (int j = 0; j < t->nk; j++)
        fk[j] += (double)g[t->d] * sqrt(all[0] + all[1] - sk[j]);
    for (int i = 0; i < t->nq; i++)
        for (int j = 0; j < t->nk; j++) {
            int a = 0, b = 0;

            for (int x = 0; x < t->nq; x++)
                a += fq[x] < fq[i] || (fq[x] == fq[i] && x < i);
            for (int x = 0; x < t->nk; x++)
                b += fk[x] < fk[j] || (fk[x] == fk[j] && x < j);
            t->met[i][j] += a / of_q == b / cluster;
        }
}

/* Three rounds of clusters of four; a pair that t of them show counts once. */
static void clusters_are_the_twin(atn_ctx *cx)
{
    for (size_t e = 0; e < ATN_LEN(settings); e++) {
        const setting *s = &settings[e];
        double w[MOST * MOST], o[MOST * 8];
        float omega[2 * 8], g[3 * 10];
        const atn_st_out objects[] = {
            {"projections.layer-000", ATN_F32, 2, {2, 8}, omega},
            {"directions.layer-000", ATN_F32, 2, {3, 10}, g}};
        atn_rng r = atn_rng_stream(e, "test/directions", 0, 0);
        twin t;
        zoo z;

        make(&z, s, 31 + e);
        t = twin_of(&z);
        set_omega(&t, omega, 2, e);
        for (int x = 0; x < 30; x++) g[x] = (float)atn_rng_normal(&r);
        for (int x = 0; x < 3; x++)
            twin_clusters(&t, g + 10 * x, s->nk < 4 ? s->nk : 4);
        zoo_draws(cx, &z, "scatterbrain", objects, 2);
        run(cx, &z, "scatterbrain:support=lsh,rounds=3,window=12,features=4", w, o);
        same(&t, w, (int)z.head[0].sight.offset, 1e-12);
        zoo_draws_end(&z, cx);
        zoo_free(&z);
    }
}

/* ---- limits ---- */

static void dense_row(const zoo *z, int i, double *w)
{
    const atn_head *h = &z->head[0];
    double top = -INFINITY, sum = 0;
    atn_idx lo, hi;

    atn_sight_row(&h->sight, i, &lo, &hi);
    for (atn_idx j = 0; j < h->nk; j++) {
        w[j] = -INFINITY;
        if (j < lo || j >= hi) continue;
        w[j] = 0;
        for (atn_idx c = 0; c < h->q.cols; c++)
            w[j] += (double)atn_crow(h->q, i)[c] * (double)atn_crow(h->k, j)[c];
        w[j] *= h->scale;
        top = fmax(top, w[j]);
    }
    for (atn_idx j = 0; j < h->nk; j++) sum += w[j] = exp(w[j] - top);
    for (atn_idx j = 0; j < h->nk; j++) w[j] /= sum;
}

/* Everything in the support: the softmax, however wild the features are. */
static void all_pairs_are_dense(atn_ctx *cx)
{
    static const char *const specs[] = {"scatterbrain:window=80,features=4",
                                        "scatterbrain:support=lsh,rounds=1,window=33"};

    for (int k = 0; k < 2; k++)
        for (int causal = 0; causal < 2; causal++)
            for (double scale = .1; scale < 2e4; scale *= 30) {
                double w[33 * 33], o[33 * 5], row[33];
                zoo z;

                zoo_random(&z, 1, 1, 33, 33, 5);
                zoo_causal(&z, causal);
                z.head[0].scale = scale;
                run(cx, &z, specs[k], w, o);
                for (int i = 0; i < 33; i++) {
                    dense_row(&z, i, row);
                    for (int j = 0; j < 33; j++)
                        CHECK_NEAR(w[i * 33 + j], row[j], 1e-12);
                }
                zoo_free(&z);
            }
}

/* Large logits: the fast way and the plain one agree, whatever cancels (run checks). */
static void nothing_cancels(atn_ctx *cx)
{
    for (int window = 0; window < 24; window += 7)
        for (double scale = .01; scale < 2e4; scale *= 10) {
            double w[30 * 30], o[30 * 5];
            char spec[80];
            zoo z;

            zoo_random(&z, 1, 1, 30, 30, (uint64_t)window + 3);
            z.head[0].scale = scale;
            snprintf(spec, sizeof spec, "scatterbrain:window=%d,features=4", window);
            run(cx, &z, spec, w, o);
            for (int i = 0; i < 30; i++) {
                double sum = 0;

                for (int j = 0; j < 30; j++) {
                    CHECK_LE(0, w[i * 30 + j]);
                    sum += w[i * 30 + j];
                }
                CHECK_NEAR(sum, 1, 1e-12);
            }
            zoo_free(&z);
        }
}

/* w = 20 e_0, q = e_0; k_0 = e_0 has a feature of e^39 for a weight of e, all others,
 * -5 e_0, next to nothing: row 0, which has key 0 in its support, is 1 at key 0, and the
 * sums of features less that key would be rounding. */
static void what_cancels_is_summed(atn_ctx *cx)
{
    float omega[8] = {20};
    double w[36], o[30];
    zoo z;

    zoo_random(&z, 1, 1, 6, 6, 2);
    zoo_causal(&z, false);
    z.head[0].scale = 1;
    for (int e = 0; e < 48; e++) {
        z.q[e] = e % 8 == 0;
        z.k[e] = e == 0 ? 1 : e % 8 == 0 ? -5 : 0;
    }
    g8_draws(cx, &z, "scatterbrain", "projections", -1, omega, 1, 8);
    run(cx, &z, "scatterbrain:window=1,features=1,kind=positive", w, o);
    CHECK_NEAR(w[0], 1, 1e-12);
    for (int c = 0; c < 5; c++) CHECK_NEAR(o[c], (double)z.v[c], 1e-12);
    zoo_draws_end(&z, cx);
    zoo_free(&z);
}

/* An empty support is the method performer with the same projections. */
static void empty_is_favor(atn_ctx *cx)
{
    double w[400], favor[400], o[100];
    float omega[4 * 8];
    twin t = {.d = 8};
    zoo z;

    zoo_random(&z, 1, 1, 20, 20, 8);
    set_omega(&t, omega, 4, 2);
    g8_draws(cx, &z, "scatterbrain", "projections", -1, omega, 4, 8);
    run(cx, &z, "scatterbrain:window=0,features=8", w, o);
    t = twin_of(&z);
    set_omega(&t, omega, 4, 2);
    twin_weights(&t, 0, favor);
    for (int e = 0; e < 400; e++) CHECK_NEAR(w[e], favor[e], 1e-12);
    zoo_draws_end(&z, cx);
    zoo_free(&z);
}

/* ---- numbers, refusals, degenerate heads ---- */

/* T2T: numbers 98 is a window of 49 and 24 features, 24 is 12 and 6. */
static void numbers_are_shared_out(atn_ctx *cx)
{
    static const struct {
        const char *spec;
        double numbers;
    } cases[] = {{"scatterbrain:numbers=98", 49 + 2 * 24},
                 {"scatterbrain:numbers=24", 12 + 2 * 6},
                 {"scatterbrain:numbers=98,window=9,features=5", 9 + 2 * 4},
                 {"scatterbrain:numbers=98,support=lsh", 48 + 2 * 24},
                 {"scatterbrain:numbers=24,kind=positive", 12 + 2 * 6}};
    zoo z;

    zoo_random(&z, 1, 1, 12, 12, 3);
    for (size_t e = 0; e < ATN_LEN(cases); e++) {
        atn_plan p[ZOO_HEADS_MOST];
        const atn_idx n = zoo_plan(cx, &z, cases[e].spec, 0, p);

        CHECK_NEAR(p[0].numbers, cases[e].numbers, 0);
        zoo_release(cx, p, n);
    }
    zoo_free(&z);
}

static void capped_logits_are_refused(atn_ctx *cx)
{
    atn_plan p = {0};
    atn_choice c;
    zoo z;

    zoo_random(&z, 1, 1, 6, 6, 3);
    z.head[0].sight.softcap = 5;
    CHECK_OK(atn_choice_read(cx, "scatterbrain", "", &c));
    CHECK_FAILS(atn_choice_plan(cx, &c, &z.in, 0, &p), ATN_DATA, "soft-cap");
    z.head[0].sight.softcap = 0;
    z.k[13] = NAN;
    CHECK_FAILS(atn_choice_plan(cx, &c, &z.in, 0, &p), ATN_DATA, "key 1 has a NaN");
    zoo_free(&z);
}

static void degenerate(atn_ctx *cx)
{
    static const char *const params[] = {
        "", "window=0,features=1,kind=positive", "support=lsh,window=3,rounds=5",
        "numbers=4,support=lsh,orthogonal=no", "norms=sqrt,features=40"};
    double w[400], o[100];

    zoo_survives_all(cx, "scatterbrain", params, (int)ATN_LEN(params));
    for (int k = 0; k < 3; k++) {
        zoo z;

        zoo_random(&z, 1, 1, 20, 20, 8);
        for (int e = 0; e < 160; e++) {
            if (k == 0) z.q[e] = 0;
            if (k == 1) z.k[e] = z.k[e % 8];
            if (k == 2) z.q[e] *= 4000;
        }
        /* of queries of length 10^4 |q'|^2 is 10^7: its rounding is what is left */
        run_within(cx, &z, "scatterbrain:window=6,features=4", k == 2 ? 1e-7 : 1e-10, w,
                   o);
        run_within(cx, &z, "scatterbrain:window=6,features=4,support=lsh",
                   k == 2 ? 1e-7 : 1e-10, w, o);
        for (int e = 0; e < 400; e++) CHECK(isfinite(w[e]));
        zoo_free(&z);
    }
}

/* Local and causal: what comes later changes nothing. */
static void later_keys_do_not_matter(atn_ctx *cx)
{
    double a[400], b[400], o[100];
    zoo z;

    zoo_random(&z, 1, 1, 20, 20, 8);
    run(cx, &z, "scatterbrain:window=6,features=4", a, o);
    for (int e = 13 * 8; e < 160; e++) {
        z.k[e] *= -30;
        z.q[e] += 1;
    }
    run(cx, &z, "scatterbrain:window=6,features=4", b, o);
    CHECK(memcmp(a, b, 13 * 20 * sizeof *a) == 0);
    CHECK(memcmp(a, b, sizeof a) != 0);
    zoo_free(&z);
}

static void threads_and_failures(atn_ctx *cx)
{
    static const char *const specs[] = {"scatterbrain:window=6,features=4",
                                        "scatterbrain:window=6,support=lsh"};
    double w[400], o[2][900 * 5];
    zoo z, small;

    zoo_random(&small, 1, 1, 9, 9, 8);
    for (int k = 0; k < 2; k++) {
        for (int e = 0; e < 2; e++) {
            atn_plan p[ZOO_HEADS_MOST];
            atn_idx n;

            zoo_random(&z, 1, 1, 900, 900, 8);
            cx->threads = e ? 4 : 1;
            n = zoo_plan(cx, &z, specs[k], 0, p);
            CHECK_OK(p[0].op.kind->apply(cx, &z.head[0], p[0].op.state, o[e], "test"));
            zoo_release(cx, p, n);
            zoo_free(&z);
        }
        CHECK(memcmp(o[0], o[1], sizeof o[0]) == 0);
        zoo_failing(&small, "scatterbrain", strchr(specs[k], ':') + 1);
    }
    run(cx, &small, specs[0], w, o[0]);
    zoo_free(&small);
}

CHECK_MAIN({"golden rows", golden}, {"local is the twin", local_is_the_twin},
           {"clusters are the twin", clusters_are_the_twin},
           {"all pairs are dense", all_pairs_are_dense},
           {"nothing cancels", nothing_cancels},
           {"what cancels is summed", what_cancels_is_summed},
           {"empty is FAVOR+", empty_is_favor},
           {"numbers are shared out", numbers_are_shared_out},
           {"capped logits are refused", capped_logits_are_refused},
           {"degenerate heads", degenerate},
           {"later keys do not matter", later_keys_do_not_matter},
           {"threads and failures", threads_and_failures})
