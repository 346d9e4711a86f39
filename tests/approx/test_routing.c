/* Routing Transformer: rows of the fixture, an independent dense twin, clusters that
 * are known, the published mean. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "tests/approx/zoo_draws.h"

static const float card_centroids[] = {1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1};

static void golden(atn_ctx *cx)
{
    const atn_st_out out[] = {
        {"centroids.layer-000.head-000", ATN_F32, 2, {4, 4}, card_centroids}};
    const char *row = "1:.143087 2:.108008 6:.118623 10:.130282 14:.143087 15:.108008 "
                      "19:.118623";
    double w[24];
    zoo z;

    zoo_second(&z);
    zoo_draws(cx, &z, "routing-golden", out, 1);
    zoo_weighted(cx, &z, "routing:clusters=4,window=8", 0, 23, row, 11.247326);
    zoo_row(cx, &z, "routing:clusters=4,window=8", 0, 20, w);
    for (int j = 0; j < 24; j++) CHECK(w[j] == 0);
    zoo_draws_end(&z, cx);
    zoo_weighted(cx, &z, "routing:clusters=4,window=8", 0, 23, row, 11.247326);
    zoo_free(&z);
}

/* ---- the twin ---- */

enum { TWIN_MOST = 64, D = 8 };

typedef struct twin {
    const zoo *z;
    atn_idx head;
    int k, window;
    bool shared, published;
    double point[2 * TWIN_MOST][D], centroid[TWIN_MOST][D];
    int q[TWIN_MOST][TWIN_MOST], keys[TWIN_MOST][TWIN_MOST];
    double w[TWIN_MOST];
} twin;

static double twin_dot(const double *x, const double *y)
{
    double s = 0;

    for (int c = 0; c < D; c++) s += x[c] * y[c];
    return s;
}

static void twin_unit(const float *x, double *out)
{
    double s = 0;

    for (int c = 0; c < D; c++) s += (double)x[c] * (double)x[c];
    for (int c = 0; c < D; c++) out[c] = (double)(float)((double)x[c] / sqrt(s));
}

static void twin_kmeans(twin *t, int nq, int points)
{
    for (int c = 0; c < t->k; c++)
        memcpy(t->centroid[c], t->point[(2 * c + 1) * nq / (2 * t->k)],
               sizeof t->centroid[c]);
    for (int round = 0; round < 10; round++) {
        double sum[TWIN_MOST][D] = {{0}};

        for (int i = 0; i < points; i++) {
            int best = 0;

            for (int c = 1; c < t->k; c++)
                if (twin_dot(t->point[i], t->centroid[c]) >
                    twin_dot(t->point[i], t->centroid[best]))
                    best = c;
            for (int e = 0; e < D; e++) sum[best][e] += t->point[i][e];
        }
        for (int c = 0; c < t->k; c++) {
            const double length = sqrt(twin_dot(sum[c], sum[c]));

            for (int e = 0; e < D && length > 0; e++)
                t->centroid[c][e] = (double)(float)(sum[c][e] / length);
        }
    }
}

/* The `take` nearest of n points to centroid c. */
static void twin_take(const twin *t, int c, int first, int n, int take, int *out)
{
    bool taken[TWIN_MOST] = {false};

    for (int e = 0; e < take; e++) {
        int best = -1;

        for (int i = 0; i < n; i++)
            if (!taken[i] &&
                (best < 0 || twin_dot(t->point[first + i], t->centroid[c]) >
                                 twin_dot(t->point[first + best], t->centroid[c])))
                best = i;
        taken[best] = true;
        out[e] = best;
    }
}

static void twin_row(twin *t, int i, int of_q, int of_k)
{
    const atn_head *h = &t->z->head[t->head];
    const int self = (int)(i + h->sight.offset);
    int clusters = 0;
    atn_idx lo, hi;

    memset(t->w, 0, sizeof t->w);
    atn_sight_row(&h->sight, i, &lo, &hi);
    for (int c = 0; c < t->k; c++) {
        double w[TWIN_MOST] = {0}, sum = 0;
        bool holds = false, alone = false, any = false;

        for (int e = 0; e < of_q; e++) holds = holds || t->q[c][e] == i;
        for (int e = 0; e < of_k && holds; e++) {
            const int j = t->keys[c][e];
            double s = 0;

            if (j < lo || j >= hi) continue;
            any = true;
            alone = alone || (t->shared && j == self);
            if (t->shared && j == self) continue;
            for (int x = 0; x < D; x++)
                s += (double)atn_crow(h->q, i)[x] *
                     (t->shared ? t->point[j][x] : (double)atn_crow(h->k, j)[x]);
            sum += w[j] = exp(h->scale * s);
        }
        if (!any) continue;
        clusters++;
        if (sum == 0 && alone) w[self] = sum = 1;
        for (int j = 0; j < h->nk; j++) t->w[j] += w[j] / sum;
    }
    for (int j = 0; j < h->nk && clusters > 0; j++)
        t->w[j] /= clusters + (t->published ? 1e-5 : 0);
}

static void compare(atn_ctx *cx, zoo *z, twin *t)
{
    const atn_head *h = &z->head[t->head];
    const int nq = (int)h->nq, nk = (int)h->nk;
    const int of_q = t->window < nq ? t->window : nq;
    const int of_k = t->window < nk ? t->window : nk;
    char spec[96];
    double w[TWIN_MOST];
    atn_plan p;

    for (int i = 0; i < nq; i++) twin_unit(atn_crow(h->q, i), t->point[i]);
    for (int j = 0; j < nk; j++) twin_unit(atn_crow(h->k, j), t->point[nq + j]);
    twin_kmeans(t, nq, t->shared ? nq : nq + nk);
    for (int c = 0; c < t->k; c++) {
        twin_take(t, c, 0, nq, of_q, t->q[c]);
        twin_take(t, c, t->shared ? 0 : nq, nk, of_k, t->keys[c]);
    }
    z->in.as_published = t->published;
    snprintf(spec, sizeof spec, "routing:clusters=%d,window=%d,shared=%d", t->k,
             t->window, t->shared);
    zoo_plan(cx, z, spec, t->head, &p);
    for (int i = 0; i < nq; i++) {
        CHECK_OK(atn_plan_rows(cx, h, &p, i, 1, w));
        twin_row(t, i, of_q, of_k);
        for (int j = 0; j < nk; j++) CHECK_NEAR(w[j], t->w[j], 1e-6);
    }
    atn_plan_release(cx, &p);
}

static void twins(atn_ctx *cx)
{
    static twin t;

    for (int trial = 0; trial < 120; trial++) {
        const int nk = 1 + trial * 11 % 43;
        const bool shared = trial % 3 == 1;
        const int nq = !shared && trial % 4 == 3 ? 1 + trial % nk : nk;
        zoo z;

        zoo_random(&z, 2, 2, nq, nk, (uint64_t)trial);
        zoo_causal(&z, trial % 5 != 0);
        for (int h = 0; h < 2; h++)
            z.head[h].sight.window = trial % 7 == 4 ? 1 + trial % 13 : 0;
        t = (twin){.z = &z,
                   .head = trial & 1,
                   .k = 1 + trial * 5 % (nk < 9 ? nk : 9),
                   .window = 1 + trial * 3 % 17,
                   .shared = shared,
                   .published = trial % 2};
        compare(cx, &z, &t);
        zoo_free(&z);
    }
}

/* ---- what is known ---- */

/* One cluster of everything, and the defaults on a short text, are dense. */
static void one_cluster_is_dense(atn_ctx *cx)
{
    double w[24], a[24];
    zoo z;

    zoo_random(&z, 1, 1, 24, 24, 3);
    for (atn_idx i = 0; i < 24; i++) {
        zoo_dense(&z, 0, i, a);
        zoo_row(cx, &z, "routing:clusters=1,window=24", 0, i, w);
        for (int j = 0; j < 24; j++) CHECK_NEAR(w[j], a[j], 1e-6);
        zoo_row(cx, &z, "routing", 0, i, w);
        for (int j = 0; j < 24; j++) CHECK_NEAR(w[j], a[j], 1e-6);
    }
    zoo_free(&z);
}

/* Three orthogonal directions, eight tokens of each, dealt out in turn: every token is
 * in exactly one cluster, and sees its own kind. */
static void orthogonal_groups(atn_ctx *cx)
{
    double w[24];
    zoo z;

    zoo_random(&z, 1, 1, 24, 24, 3);
    zoo_causal(&z, false);
    for (int i = 0; i < 24; i++)
        for (int c = 0; c < 8; c++)
            z.q[i * 8 + c] = z.k[i * 8 + c] = c == i % 3 ? (float)(1 + i) : 0;
    for (int i = 0; i < 24; i++) {
        zoo_row(cx, &z, "routing:clusters=3,window=8", 0, i, w);
        for (int j = 0; j < 24; j++) CHECK((w[j] != 0) == (j % 3 == i % 3));
    }
    zoo_free(&z);
}

/* 2 passes of k-means where the first already settles it, and the scores. Given
 * centroids cost the scores alone. */
static void counts_its_passes(atn_ctx *cx)
{
    const atn_st_out out[] = {
        {"centroids.layer-000.head-000", ATN_F32, 2, {4, 4}, card_centroids}};
    atn_plan p[ZOO_HEADS_MOST];
    zoo z;

    zoo_random(&z, 1, 1, 24, 24, 3);
    zoo_plan(cx, &z, "routing:clusters=1,window=8", 0, p);
    CHECK_NEAR(p[0].index_flops, 3 * 2. * 48 * 1 * 8, 0);
    CHECK_NEAR(p[0].index_bytes, 2 * (3 * 49. * 8 + 2 * 48), 0);
    zoo_release(cx, p, 1);
    zoo_free(&z);
    zoo_second(&z);
    zoo_draws(cx, &z, "routing-cost", out, 1);
    zoo_plan(cx, &z, "routing:clusters=4,window=8", 0, p);
    CHECK_NEAR(p[0].index_flops, 2. * 48 * 4 * 4, 0);
    zoo_release(cx, p, 1);
    zoo_draws_end(&z, cx);
    zoo_free(&z);
}

static void refused(atn_ctx *cx)
{
    atn_choice c;
    atn_plan p;
    zoo z;

    zoo_random(&z, 1, 1, 5, 20, 6);
    CHECK_OK(atn_choice_read(cx, "routing", "clusters=21", &c));
    CHECK_FAILS(atn_choice_plan(cx, &c, &z.in, 0, &p), ATN_USAGE, "21 clusters");
    CHECK_OK(atn_choice_read(cx, "routing", "shared=1", &c));
    CHECK_FAILS(atn_choice_plan(cx, &c, &z.in, 0, &p), ATN_DATA, "5 of the 20");
    zoo_free(&z);
}

static void looks_ahead(atn_ctx *cx)
{
    atn_choice c;
    zoo z;

    zoo_random(&z, 1, 1, 20, 20, 4);
    CHECK_OK(atn_choice_read(cx, "routing", NULL, &c));
    CHECK_EQ(atn_choice_looks(&c, &z.in), ATN_LOOKS_KEYS | ATN_LOOKS_QUERIES);
    CHECK_OK(atn_choice_read(cx, "routing", "shared=1", &c));
    CHECK_EQ(atn_choice_looks(&c, &z.in), ATN_LOOKS_QUERIES);
    zoo_free(&z);
}

static void threads_do_not_matter(atn_ctx *cx)
{
    enum { N = 700 };
    static double one[3 * N], four[3 * N];
    zoo z;

    zoo_random(&z, 1, 1, N, N, 9);
    for (int k = 0; k < 2; k++) {
        atn_plan p;

        cx->threads = k ? 4 : 1;
        zoo_plan(cx, &z, "routing:clusters=30,window=40", 0, &p);
        CHECK_OK(atn_plan_rows(cx, &z.head[0], &p, 500, 3, k ? four : one));
        atn_plan_release(cx, &p);
    }
    CHECK(memcmp(one, four, sizeof one) == 0);
    zoo_free(&z);
}

static void allocations_fail(atn_ctx *cx)
{
    zoo z;

    (void)cx;
    zoo_random(&z, 1, 1, 48, 48, 9);
    z.in.as_published = true;
    zoo_failing(&z, "routing", "window=8");
    zoo_failing(&z, "routing", "window=8,shared=1");
    zoo_free(&z);
}

static void any_parameters(atn_ctx *cx)
{
    static const char *const params[] = {"window=1",
                                         "window=1000000000",
                                         "clusters=1000000",
                                         "clusters=24,window=24",
                                         "clusters=7,window=1,shared=1",
                                         "clusters=2,window=3,shared=1"};

    zoo_survives_all(cx, "routing", params, (int)ATN_LEN(params));
}

CHECK_MAIN({"golden", golden}, {"twins", twins},
           {"one cluster is dense", one_cluster_is_dense},
           {"orthogonal groups", orthogonal_groups},
           {"counts its passes", counts_its_passes}, {"refused", refused},
           {"looks ahead", looks_ahead},
           {"threads do not matter", threads_do_not_matter},
           {"allocations fail", allocations_fail}, {"any parameters", any_parameters})
