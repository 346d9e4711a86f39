/* tests/analysis/test_clusters.c -- trees, cuts and maps of heads, and their table. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "similarity_model.h"

#include "analysis/clusters.h"

enum { MAX_LEAVES = 24 };

static void silent(void *user, atn_log_level level, const char *text)
{
    (void)user;
    (void)level;
    (void)text;
}

/* a-c 2 and b-d 2 tie: a has the smaller index, so a-c is first. Then the mean of a-b 4,
 * a-d 8, b-c 6, c-d 10 is 7. Cophenetic: deviations of d in thirds -4 -10 8 2 -10 14, of the
 * heights 5 -10 5 5 -10 5, so 300 / sqrt(480 * 300). */
static void four_by_hand(atn_ctx *cx)
{
    const double d[] = {0, 4, 2, 8, 4, 0, 6, 2, 2, 6, 0, 10, 8, 2, 10, 0};
    static const atn_idx left[] = {0, 1, 4}, right[] = {2, 3, 5}, size[] = {2, 2, 4};
    static const double height[] = {2, 2, 7};
    static const atn_idx order[] = {0, 2, 1, 3}, two[] = {0, 1, 0, 1};
    static const atn_idx three[] = {0, 1, 0, 2};
    atn_cluster_tree t;
    atn_idx cluster[4];

    CHECK_OK(atn_cluster_link(cx, d, 4, &t));
    for (int i = 0; i < 3; i++) {
        CHECK_EQ(t.left[i], left[i]);
        CHECK_EQ(t.right[i], right[i]);
        CHECK_EQ(t.size[i], size[i]);
        CHECK_NEAR(t.height[i], height[i], 0);
    }
    for (int i = 0; i < 4; i++) {
        CHECK_EQ(t.order[i], order[i]);
        CHECK_EQ(t.drawn[order[i]], i);
    }
    CHECK_NEAR(atn_cluster_half(&t), 3.5, 0);
    CHECK_EQ(atn_cluster_cut(&t, 3.5, cluster), 2);
    for (int i = 0; i < 4; i++) CHECK_EQ(cluster[i], two[i]);
    CHECK_EQ(atn_cluster_cut(&t, 1.9, cluster), 4);
    CHECK_EQ(atn_cluster_cut(&t, 7, cluster), 1);
    CHECK_EQ(atn_cluster_cut_into(&t, 3, cluster), 3);
    for (int i = 0; i < 4; i++) CHECK_EQ(cluster[i], three[i]);
    CHECK_NEAR(atn_cluster_cophenetic(&t, d), 0.790569, 1e-6);
    atn_cluster_release(cx, &t);
}

static void one_and_two_leaves(atn_ctx *cx)
{
    const double one = 0, two[] = {0, 3, 3, 0};
    double xy[4], stress = -1;
    atn_cluster_tree t;
    atn_idx cluster[2];

    CHECK_OK(atn_cluster_link(cx, &one, 1, &t));
    CHECK_EQ(atn_cluster_cut(&t, atn_cluster_half(&t), cluster), 1);
    CHECK_EQ(cluster[0], 0);
    CHECK(isnan(atn_cluster_cophenetic(&t, &one)));
    CHECK_OK(atn_cluster_map(cx, &one, 1, xy, &stress));
    CHECK_NEAR(stress, 0, 0);
    CHECK_NEAR(fabs(xy[0]) + fabs(xy[1]), 0, 0);
    atn_cluster_release(cx, &t);
    CHECK_OK(atn_cluster_link(cx, two, 2, &t));
    CHECK_EQ(atn_cluster_cut(&t, atn_cluster_half(&t), cluster), 2);
    CHECK(isnan(atn_cluster_cophenetic(&t, two)));
    CHECK_OK(atn_cluster_map(cx, two, 2, xy, &stress));
    CHECK_NEAR(fabs(xy[0] - xy[2]), 3, 1e-4);
    CHECK_NEAR(fabs(xy[1]) + fabs(xy[3]), 0, 1e-9);
    atn_cluster_release(cx, &t);
}

/* ---- the twin: sets of members, every mean anew ---- */

typedef struct twin {
    int n, member[MAX_LEAVES], merges; /* member: smallest of its set */
    double height[MAX_LEAVES];
    int first[MAX_LEAVES], second[MAX_LEAVES]; /* smallest members that merge */
    double meet[MAX_LEAVES][MAX_LEAVES];
} twin;

static double mean_between(const twin *w, const double *d, int a, int b)
{
    long double sum = 0;
    int pairs = 0;

    for (int i = 0; i < w->n; i++)
        for (int j = 0; j < w->n; j++)
            if (w->member[i] == a && w->member[j] == b) {
                sum += d[i * w->n + j];
                pairs++;
            }
    return (double)(sum / pairs);
}

static void twin_link(twin *w, const double *d, int n)
{
    *w = (twin){.n = n};
    for (int i = 0; i < n; i++) w->member[i] = i;
    for (; w->merges + 1 < n; w->merges++) {
        double best = INFINITY;
        int a = -1, b = -1;

        for (int i = 0; i < n; i++)
            for (int j = i + 1; j < n; j++) {
                double x;
                if (w->member[i] != i || w->member[j] != j) continue;
                x = mean_between(w, d, i, j);
                if (x < best - 1e-9) {
                    best = x;
                    a = i;
                    b = j;
                }
            }
        w->height[w->merges] = best;
        w->first[w->merges] = a;
        w->second[w->merges] = b;
        for (int i = 0; i < n; i++)
            for (int j = 0; j < n; j++)
                if (w->member[i] == a && w->member[j] == b)
                    w->meet[i][j] = w->meet[j][i] = best;
        for (int i = 0; i < n; i++)
            if (w->member[i] == b) w->member[i] = a;
    }
}

static double twin_cophenetic(const twin *w, const double *d)
{
    double n = 0, u = 0, v = 0, uu = 0, vv = 0, uv = 0;

    for (int pass = 0; pass < 2; pass++)
        for (int i = 0; i < w->n; i++)
            for (int j = 0; j < i; j++) {
                const double x = d[i * w->n + j], y = w->meet[i][j];
                if (pass == 0) {
                    n++;
                    u += x;
                    v += y;
                    continue;
                }
                uu += (x - u / n) * (x - u / n);
                vv += (y - v / n) * (y - v / n);
                uv += (x - u / n) * (y - v / n);
            }
    return uv / sqrt(uu * vv);
}

static atn_idx smallest(const atn_cluster_tree *t, atn_idx node)
{
    return node < t->n ? node
                       : ATN_MIN(smallest(t, t->left[node - t->n]),
                                 smallest(t, t->right[node - t->n]));
}

/* Small integers tie often; dyadic weights keep their means exact. */
static void random_distances(double *d, int n, int trial)
{
    atn_rng r = atn_rng_stream(1, "test/clusters", trial, n);

    for (int i = 0; i < n; i++)
        for (int j = 0; j <= i; j++)
            d[i * n + j] = d[j * n + i] = i == j      ? 0
                                          : trial % 2 ? (double)atn_rng_below(&r, 4)
                                                      : atn_rng_uniform(&r);
}

static void against_the_twin(atn_ctx *cx)
{
    for (int trial = 0; trial < 60; trial++) {
        const int n = 2 + trial % (MAX_LEAVES - 1);
        double d[MAX_LEAVES * MAX_LEAVES], want;
        atn_cluster_tree t;
        twin w;

        random_distances(d, n, trial);
        twin_link(&w, d, n);
        CHECK_OK(atn_cluster_link(cx, d, n, &t));
        for (int i = 0; i + 1 < n; i++) {
            CHECK_NEAR(t.height[i], w.height[i], 1e-9);
            CHECK_EQ(smallest(&t, t.left[i]), w.first[i]);
            CHECK_EQ(smallest(&t, t.right[i]), w.second[i]);
            if (i > 0) CHECK_LE(t.height[i - 1], t.height[i]);
        }
        want = twin_cophenetic(&w, d);
        if (n > 3) CHECK_NEAR(atn_cluster_cophenetic(&t, d), want, 1e-9);
        atn_cluster_release(cx, &t);
    }
}

/* The order of the heads does not matter where nothing ties: every cut parts the same sets. */
static void order_does_not_matter(atn_ctx *cx)
{
    enum { N = 15 };
    double d[N * N], e[N * N];
    atn_cluster_tree t, u;
    atn_idx a[N], b[N];

    random_distances(d, N, 0);
    for (int i = 0; i < N; i++)
        for (int j = 0; j < N; j++)
            e[(i * 4 % N) * N + j * 4 % N] = d[i * N + j]; /* 4 and 15 are coprime */
    CHECK_OK(atn_cluster_link(cx, d, N, &t));
    CHECK_OK(atn_cluster_link(cx, e, N, &u));
    for (int k = 1; k <= N; k++) {
        CHECK_EQ(atn_cluster_cut_into(&t, k, a), k);
        CHECK_EQ(atn_cluster_cut_into(&u, k, b), k);
        for (int i = 0; i < N; i++)
            for (int j = 0; j < N; j++)
                CHECK((a[i] == a[j]) == (b[i * 4 % N] == b[j * 4 % N]));
    }
    atn_cluster_release(cx, &t);
    atn_cluster_release(cx, &u);
}

/* ---- the map ---- */

static double far(const double *xy, int a, int b)
{
    return hypot(xy[2 * a] - xy[2 * b], xy[2 * a + 1] - xy[2 * b + 1]);
}

/* Points of the plane are found again, but for turning; the same on any number of threads. */
static void plane_is_found(atn_ctx *cx)
{
    enum { N = 12 };
    const double triangle[] = {0, 5, 3, 5, 0, 4, 3, 4, 0};
    double d[N * N], at[2 * N], xy[2 * N], again[2 * N], stress;
    atn_rng r = atn_rng_stream(2, "test/clusters", 0, 0);

    CHECK_OK(atn_cluster_map(cx, triangle, 3, xy, &stress));
    CHECK_NEAR(stress, 0, 1e-4);
    CHECK_NEAR(far(xy, 0, 1), 5, 1e-3);
    CHECK_NEAR(far(xy, 1, 2), 4, 1e-3);
    CHECK_NEAR(far(xy, 0, 2), 3, 1e-3);
    for (int i = 0; i < 2 * N; i++) at[i] = atn_rng_normal(&r);
    for (int i = 0; i < N; i++)
        for (int j = 0; j < N; j++) d[i * N + j] = far(at, i, j);
    CHECK_OK(atn_cluster_map(cx, d, N, xy, &stress));
    CHECK_NEAR(stress, 0, 1e-3);
    for (int i = 0; i < N; i++)
        for (int j = 0; j < N; j++) CHECK_NEAR(far(xy, i, j), d[i * N + j], 1e-2);
    cx->threads = 1;
    CHECK_OK(atn_cluster_map(cx, d, N, again, &stress));
    CHECK(memcmp(xy, again, sizeof xy) == 0);
}

/* Equal heads lie on one point; four points all 1 apart do not fit the plane: the best of the
 * two known critical layouts is the square, side s and diagonal s sqrt 2 with 4 (s - 1) + 2
 * sqrt 2 (s sqrt 2 - 1) = 0, s = (2 + sqrt 2) / 4, stress-1 0.1691. */
static void maps_with_known_stress(atn_ctx *cx)
{
    const double same[9] = {0};
    double simplex[16], xy[8], stress;
    const double s = (2 + sqrt(2)) / 4;

    CHECK_OK(atn_cluster_map(cx, same, 3, xy, &stress));
    CHECK_NEAR(stress, 0, 0);
    for (int i = 0; i < 6; i++) CHECK_NEAR(xy[i], 0, 1e-12);
    for (int i = 0; i < 16; i++) simplex[i] = i % 5 != 0;
    CHECK_OK(atn_cluster_map(cx, simplex, 4, xy, &stress));
    CHECK_NEAR(
        stress,
        sqrt((4 * (s - 1) * (s - 1) + 2 * (s * sqrt(2) - 1) * (s * sqrt(2) - 1)) / 6),
        1e-5);
}

/* ---- the table ---- */

static double cell(const atn_table *t, atn_idx row, const char *col)
{
    const int c = atn_table_find_col(t, col);

    if (c < 0) fail_msg("no column %s", col);
    return atn_table_get_f64(t, row, c);
}

static atn_status both_of(atn_ctx *cx, const model *m, bool js, atn_idx k,
                          atn_table **out, atn_table **totals)
{
    const atn_cluster_opts o = {js ? ATN_CLUSTER_JS : ATN_CLUSTER_COSINE, k};
    atn_similarity_part part = {0};
    atn_similarity s = {.part = &part, .parts = 1, .opts.distances = js};
    atn_status st = ATN_OK;

    ATN_TRY(compare(cx, m, &s.opts, &part));
    ATN_TRY(atn_clusters_table(cx, &s, &o, out, totals));
done:
    atn_similarity_part_release(cx, &part);
    return st;
}

static atn_status clusters_of(atn_ctx *cx, const model *m, bool js, atn_idx k,
                              atn_table **out)
{
    return both_of(cx, m, js, k, out, NULL);
}

/* Two layers of six heads, in three groups of equal ones, spread over both layers. */
static void planted_groups(atn_ctx *cx)
{
    static const int group[12] = {1, 0, 1, 2, 0, 1, 2, 2, 0, 1, 0, 2};
    static const int want[12] = {0, 1, 0, 2, 1, 0, 2, 2, 1, 0, 1, 2};
    model m = make_model(cx, 2, 6, 6, 40);
    atn_table *t = NULL;

    for (int i = 11; i >= 0; i--) {
        const atn_idx size = 40 * 6;
        float *q = m.q[i / 6] + i % 6 * size, *k = m.k[i / 6] + i % 6 * size;
        const int g = group[i];
        /* heads 1, 0, 3 of layer 0 are the first of groups 0, 1, 2 */
        static const int first[] = {1, 0, 3};

        memcpy(q, m.q[0] + first[g] * size, (size_t)size * sizeof *q);
        memcpy(k, m.k[0] + first[g] * size, (size_t)size * sizeof *k);
    }
    for (int js = 0; js < 2; js++)
        for (int k = 0; k <= 3; k += 3) {
            CHECK_OK(clusters_of(cx, &m, js, k, &t));
            CHECK_EQ(atn_table_rows(t), 23);
            for (int i = 0; i < 12; i++) {
                CHECK_EQ(cell(t, i, "node"), i);
                CHECK_EQ(cell(t, i, "layer"), i / 6);
                CHECK_EQ(cell(t, i, "head"), i % 6);
                CHECK_EQ(cell(t, i, "cluster"), want[i]);
            }
            /* nine merges of equal heads, then two of groups */
            CHECK_NEAR(cell(t, 12 + 8, "height"), 0, 2e-3);
            CHECK(isnan(cell(t, 12 + 9, "cluster")));
            CHECK(cell(t, 12 + 9, "height") > 0.05);
            CHECK_EQ(cell(t, 22, "size"), 12);
            CHECK_STR(atn_table_get_meta(t, "clusters"), "3");
            CHECK_STR(atn_table_get_meta(t, "distance"),
                      js ? "sqrt(JS)" : "1 - cos_elem");
            atn_table_destroy(cx, t);
        }
    drop_model(&m);
}

static void table_cells(atn_ctx *cx)
{
    static const char *const names[] = {"node",  "layer",  "head", "left",
                                        "right", "height", "size", "cluster",
                                        "order", "mds_x",  "mds_y"};
    model m = make_model(cx, 2, 2, 1, 20);
    atn_table *t = NULL;

    CHECK_OK(clusters_of(cx, &m, true, 2, &t));
    CHECK_EQ(atn_table_cols(t), 12);
    for (int c = 0; c < 11; c++) CHECK_STR(atn_table_col_name(t, c), names[c]);
    CHECK_EQ(atn_table_rows(t), 7);
    for (int i = 0; i < 7; i++) {
        CHECK((i < 4) == isnan(cell(t, i, "left")));
        CHECK((i < 4) == isnan(cell(t, i, "right")));
        CHECK((i < 4) == isnan(cell(t, i, "height")));
        CHECK((i < 4) != isnan(cell(t, i, "mds_x")));
        CHECK((i < 4) != isnan(cell(t, i, "order")));
    }
    CHECK(isnan(cell(t, 6, "cluster")));
    CHECK(strstr(atn_table_get_meta(t, "title"), "Clusters"));
    CHECK(atn_table_get_meta(t, "cut") && atn_table_get_meta(t, "cophenetic"));
    CHECK(atn_table_get_meta(t, "mds_stress"));
    atn_table_destroy(cx, t);
    drop_model(&m);
}

/* What the meta says of one part, as a row; of two parts, a row each. */
static void totals_of_parts(atn_ctx *cx)
{
    static const char *const names[] = {"clusters", "cut", "cophenetic", "mds_stress"};
    model m = make_model(cx, 2, 3, 1, 20);
    atn_similarity_part part[2] = {0};
    const atn_cluster_opts o = {ATN_CLUSTER_COSINE, 2};
    atn_similarity two = {.part = part, .parts = 2, .many_steps = true};
    atn_table *t = NULL, *totals = NULL;

    CHECK_OK(both_of(cx, &m, false, 2, &t, &totals));
    CHECK_EQ(atn_table_rows(totals), 1);
    CHECK_EQ(cell(totals, 0, "heads"), 6);
    CHECK_EQ(cell(totals, 0, "clusters"), 2);
    CHECK_EQ(cell(totals, 0, "apart"), 0);
    CHECK_STR(atn_table_get_meta(totals, "distance"), "1 - cos_elem");
    for (size_t i = 0; i < ATN_LEN(names); i++) {
        const double want = atof(atn_table_get_meta(t, names[i]));

        CHECK_NEAR(cell(totals, 0, names[i]), want, 1e-8 * fabs(want));
    }
    atn_table_destroy(cx, t);
    atn_table_destroy(cx, totals);
    for (int i = 0; i < 2; i++) {
        CHECK_OK(compare(cx, &m, &two.opts, &part[i]));
        part[i].step = 4 + i;
    }
    CHECK_OK(atn_clusters_table(cx, &two, &o, &t, &totals));
    CHECK_EQ(atn_table_rows(totals), 2);
    CHECK_EQ(cell(totals, 1, "step"), 5);
    CHECK_NEAR(cell(totals, 1, "cut"), cell(totals, 0, "cut"), 0);
    atn_table_destroy(cx, t);
    atn_table_destroy(cx, totals);
    for (int i = 0; i < 2; i++) atn_similarity_part_release(cx, &part[i]);
    drop_model(&m);
}

/* A head without any weight has no divergence: it is as far from all as heads can be. */
static void incomparable_is_far(atn_ctx *cx)
{
    const float p[] = {1, 0, .5f, .5f, 1, 0, .4f, .6f, 0, 0, 0, 0};
    const atn_problem layer = {.heads = 3,
                               .kv_heads = 3,
                               .nq = 2,
                               .nk = 2,
                               .p = p,
                               .sight = {.causal = true, .key_last = 2}};
    model m = {.n = 1, .p = {layer}};
    atn_table *t = NULL;

    cx->log_sink = silent;
    CHECK_OK(clusters_of(cx, &m, true, 0, &t));
    CHECK_NEAR(cell(t, 4, "height"), sqrt(log(2)), 1e-12);
    CHECK_EQ(cell(t, 2, "cluster"), 1);
    CHECK_EQ(cell(t, 1, "cluster"), 0);
    atn_table_destroy(cx, t);
    CHECK_OK(clusters_of(cx, &m, false, 0, &t));
    CHECK_NEAR(cell(t, 4, "height"), 1, 1e-12);
    atn_table_destroy(cx, t);
}

static void refusals(atn_ctx *cx)
{
    model m = make_model(cx, 1, 2, 1, 8);
    const atn_cluster_opts js = {ATN_CLUSTER_JS, 0};
    atn_similarity none = {0};
    atn_table *t = NULL;

    CHECK_FAILS(clusters_of(cx, &m, false, 3, &t), ATN_USAGE, "3 are wanted of 2");
    CHECK_FAILS(clusters_of(cx, &m, false, -1, &t), ATN_USAGE, "-1 are wanted");
    CHECK_FAILS(atn_clusters_table(cx, &none, &js, &t, NULL), ATN_USAGE, "Jensen");
    drop_model(&m);
}

static void allocations_may_fail(atn_ctx *cx)
{
    atn_status st = ATN_MEMORY;

    for (long k = 0; st != ATN_OK; k++) {
        check_failing f = {k};
        model m = make_model(cx, 2, 2, 1, 8);
        atn_table *t = NULL, *totals = NULL;
        atn_ctx c;

        CHECK(k < 1000);
        atn_ctx_init(&c);
        c.threads = 1;
        c.alloc = (atn_allocator){check_failing_resize, &f};
        st = both_of(&c, &m, true, 0, &t, &totals);
        CHECK(st == ATN_OK || st == ATN_MEMORY);
        CHECK((st == ATN_OK) == (t != NULL) && (t != NULL) == (totals != NULL));
        f.left = 1 << 20;
        atn_table_destroy(&c, t);
        atn_table_destroy(&c, totals);
        atn_ctx_release(&c);
        drop_model(&m);
    }
}

CHECK_MAIN({"four by hand", four_by_hand}, {"one and two leaves", one_and_two_leaves},
           {"against the twin", against_the_twin},
           {"order does not matter", order_does_not_matter},
           {"plane is found", plane_is_found},
           {"maps with known stress", maps_with_known_stress},
           {"planted groups", planted_groups}, {"table cells", table_cells},
           {"totals of parts", totals_of_parts},
           {"incomparable is far", incomparable_is_far}, {"refusals", refusals},
           {"allocations may fail", allocations_may_fail})
