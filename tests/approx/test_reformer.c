/* Reformer: rows of the fixture, an independent dense twin, two chunks are dense, seams
 * of the published list. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "tests/approx/g8.h"

static const float card_rotation[] = {1, 1, 0, 1, -1, 1, 0, 1, -1, 1, 0, 1};

static void golden(atn_ctx *cx)
{
    const atn_st_out out[] = {
        {"rotations-000.layer-000.head-000", ATN_F32, 2, {4, 3}, card_rotation}};
    zoo z;

    zoo_second(&z);
    zoo_draws(cx, &z, "reformer-golden", out, 1);
    zoo_weighted(cx, &z, "reformer:bucket=4,n_hashes=1,shared=1", 0, 23,
                 "0:.103260 1:.222213 7:.124461 9:.100134 11:.103260 12:.222213 "
                 "18:.124461",
                 8.037347);
    zoo_weighted(cx, &z, "reformer:bucket=4,n_hashes=1", 0, 23,
                 "0:.048926 3:.071187 4:.053735 10:.170769 14:.187553 15:.141573 "
                 "19:.155487",
                 13.767479);
    zoo_draws_end(&z, cx);
    zoo_free(&z);
}

/* The row of G8-b: keys are the queries, two rounds of its rotations, chunks of 2. */
static void golden_outputs(atn_ctx *cx)
{
    float r[2][G8_D * 2];
    const atn_st_out two[] = {
        {"rotations-000.layer-000.head-000", ATN_F32, 2, {G8_D, 2}, r[0]},
        {"rotations-001.layer-000.head-000", ATN_F32, 2, {G8_D, 2}, r[1]}};
    double o[G8_N * G8_D], w[G8_N * G8_N];
    zoo z;

    for (int e = 0; e < 4 * G8_D; e++)
        r[e / 8][e % 8] = (float)g8_rotation(e / 8, e % 8 / 2, e % 2);
    g8_zoo(&z, true);
    zoo_draws(cx, &z, "reformer-g8", two, 2);
    g8_run(cx, &z, "reformer:bucket=2,n_hashes=2,shared=yes", o, w);
    g8_check("reformer causal", o, 2e-5);
    g8_same(&z, w, o, 1e-6);
    zoo_draws_end(&z, cx);
    zoo_free(&z);
}

/* ---- the twin ---- */

enum { TWIN_MOST = 64, ROUNDS_MOST = 5 };

typedef struct twin {
    const zoo *z;
    atn_idx head;
    int rounds, bucket;
    bool shared, discount, across, published;
    const float *rotation[ROUNDS_MOST]; /* [d, buckets / 2] */
    double own[TWIN_MOST][TWIN_MOST], seam[TWIN_MOST][TWIN_MOST];
    double w[TWIN_MOST];
} twin;

static int twin_buckets(int n, int bucket)
{
    int chunks = (n + bucket - 1) / bucket;

    return chunks % 2 ? chunks + 1 : chunks;
}

/* The first of [x R; -x R] that is largest. */
static int twin_label(const float *x, const float *r, int d, int buckets)
{
    double most = -INFINITY;
    int label = 0;

    for (int b = 0; b < buckets; b++) {
        const int c = b % (buckets / 2);
        double s = 0;

        for (int e = 0; e < d; e++)
            s += (double)x[e] * (double)r[e * (buckets / 2) + c];
        if (b >= buckets / 2) s = -s;
        if (s > most) {
            most = s;
            label = b;
        }
    }
    return label;
}

/* at [n]: rows in the order of label, then of themselves. */
static void twin_order(const int *label, int n, int *at)
{
    int e = 0;

    for (int l = 0; l <= 2 * TWIN_MOST; l++)
        for (int i = 0; i < n; i++)
            if (label[i] == l) at[e++] = i;
}

static void twin_pairs(twin *t)
{
    static int ql[ROUNDS_MOST][TWIN_MOST], kl[ROUNDS_MOST][TWIN_MOST];
    static int q[ROUNDS_MOST][TWIN_MOST], k[ROUNDS_MOST][TWIN_MOST];
    const atn_head *h = &t->z->head[t->head];
    const int nq = (int)h->nq, nk = (int)h->nk, d = (int)h->q.cols;
    const int b = t->bucket < nk ? t->bucket : nk;
    const int chunks = (nk + b - 1) / b, buckets = twin_buckets(nk, b);
    const int wide = nq == nk ? b : (nq + chunks - 1) / chunks;

    for (int r = 0; r < t->rounds; r++) {
        for (int i = 0; i < nq; i++)
            ql[r][i] = twin_label(atn_crow(h->q, i), t->rotation[r], d, buckets);
        for (int j = 0; j < nk; j++)
            kl[r][j] = twin_label(atn_crow(t->shared ? h->q : h->k, j), t->rotation[r],
                                  d, buckets);
        twin_order(ql[r], nq, q[r]);
        twin_order(kl[r], nk, k[r]);
    }
    memset(t->own, 0, sizeof t->own);
    memset(t->seam, 0, sizeof t->seam);
    for (int r = 0; r < t->rounds; r++)
        for (int e = 0; e < nq; e++)
            for (int s = 0; s < t->rounds; s++)
                for (int f = 0; f < nk; f++) {
                    const int c = e / wide, of = f / b, i = q[r][e], j = k[s][f];
                    const int last = t->published ? (r + t->rounds - 1) % t->rounds : r;
                    const bool here = s == r && of == c;
                    const bool before =
                        c > 0 ? s == r && of == c - 1
                              : s == last && of == chunks - 1 && !(s == r && of == c);

                    if (!here && !before) continue;
                    if (!t->across && (s != r || ql[r][i] != kl[s][j])) continue;
                    (s == r ? t->own : t->seam)[i][j]++;
                }
}

static void twin_row(twin *t, int i)
{
    const atn_head *h = &t->z->head[t->head];
    const int self = (int)(i + h->sight.offset), d = (int)h->q.cols;
    double sum = 0;
    atn_idx lo, hi;

    atn_sight_row(&h->sight, i, &lo, &hi);
    for (int j = 0; j < h->nk; j++) {
        const float *k = atn_crow(t->shared ? h->q : h->k, j);
        double times = t->own[i][j] + t->seam[i][j], s = 0, length = 0;

        if (times > 0 && t->discount)
            times = t->published ? times / (t->own[i][j] + 1e-9) : 1;
        if (j < lo || j >= hi || (t->shared && j == self)) times = 0;
        for (int c = 0; c < d; c++) {
            s += (double)atn_crow(h->q, i)[c] * (double)k[c];
            length += (double)k[c] * (double)k[c];
        }
        t->w[j] = times * exp(h->scale * s / (t->shared ? sqrt(length) : 1));
        sum += t->w[j];
    }
    for (int j = 0; j < h->nk; j++) t->w[j] = sum > 0 ? t->w[j] / sum : 0;
    if (t->shared && sum == 0) t->w[self] = 1;
}

static void compare(atn_ctx *cx, zoo *z, twin *t, uint64_t *seed)
{
    static const char *const names[] = {
        "rotations-000.layer-000.head-000", "rotations-001.layer-000.head-000",
        "rotations-002.layer-000.head-000", "rotations-003.layer-000.head-000",
        "rotations-004.layer-000.head-000"};
    static float numbers[ROUNDS_MOST][8 * TWIN_MOST];
    const atn_head *h = &z->head[t->head];
    const atn_idx d = h->q.cols;
    const atn_idx half =
        twin_buckets((int)h->nk, t->bucket < h->nk ? t->bucket : (int)h->nk) / 2;
    atn_st_out out[ROUNDS_MOST];
    char spec[128];
    double w[TWIN_MOST];
    atn_plan p;

    for (int r = 0; r < t->rounds; r++) {
        for (atn_idx e = 0; e < d * half; e++)
            numbers[r][e] = (float)(zoo_uniform(seed) - .5);
        t->rotation[r] = numbers[r];
        out[r] = (atn_st_out){names[r], ATN_F32, 2, {d, half}, numbers[r]};
    }
    zoo_draws(cx, z, "reformer-twin", out, t->rounds);
    z->in.as_published = t->published;
    snprintf(spec, sizeof spec,
             "reformer:n_hashes=%d,bucket=%d,shared=%d,discount=%d,across=%d",
             t->rounds, t->bucket, t->shared, t->discount, t->across);
    zoo_plan(cx, z, spec, t->head, &p);
    twin_pairs(t);
    for (atn_idx i = 0; i < h->nq; i++) {
        CHECK_OK(atn_plan_rows(cx, h, &p, i, 1, w));
        twin_row(t, (int)i);
        for (atn_idx j = 0; j < h->nk; j++) CHECK_NEAR(w[j], t->w[j], 1e-6);
    }
    CHECK_EQ(atn_plan_is_mask(&p), t->discount && !t->published && !t->shared);
    atn_plan_release(cx, &p);
    zoo_draws_end(z, cx);
}

static void twins(atn_ctx *cx)
{
    static twin t;
    uint64_t seed = 2;

    for (int trial = 0; trial < 150; trial++) {
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
                   .rounds = 1 + trial % 4,
                   .bucket = 1 + trial * 3 % 9,
                   .shared = shared,
                   .discount = trial % 11 < 4,
                   .across = trial % 13 < 9};
        if (t.head == 1) t.head = 0; /* names of the draws are of head 0 */
        compare(cx, &z, &t, &seed);
        zoo_free(&z);
    }
}

static void twins_as_published(atn_ctx *cx)
{
    static twin t;
    uint64_t seed = 12;

    for (int trial = 0; trial < 60; trial++) {
        const int bucket = 1 + trial % 5;
        zoo z;

        zoo_random(&z, 1, 1, 2 * bucket * (1 + trial % 4), 2 * bucket * (1 + trial % 4),
                   (uint64_t)trial);
        zoo_causal(&z, trial % 5 != 0);
        t = (twin){.z = &z,
                   .rounds = 1 + trial % 3,
                   .bucket = bucket,
                   .shared = trial % 5 > 1,
                   .discount = trial % 2,
                   .across = trial % 7 < 5,
                   .published = true};
        compare(cx, &z, &t, &seed);
        zoo_free(&z);
    }
}

/* ---- two chunks ---- */

/* Everything is seen: dense attention, shared dense attention without oneself, whatever
 * the rotations; as published with one round. */
static void two_chunks_are_dense(atn_ctx *cx)
{
    double w[TWIN_MOST], more[TWIN_MOST], a[TWIN_MOST];
    zoo z;

    for (int n = 1; n <= 16; n += 5) {
        zoo_random(&z, 1, 1, n, n, (uint64_t)n);
        for (atn_idx i = 0; i < n; i++) {
            zoo_dense(&z, 0, i, a);
            zoo_row(cx, &z, "reformer:bucket=8,n_hashes=1", 0, i, w);
            for (int j = 0; j < n; j++) CHECK_NEAR(w[j], a[j], 1e-6);
            zoo_row(cx, &z, "reformer:bucket=8,n_hashes=5", 0, i, w);
            for (int j = 0; j < n; j++) CHECK_NEAR(w[j], a[j], 1e-6);
            zoo_row(cx, &z, "reformer:bucket=8,n_hashes=1,shared=1", 0, i, w);
            zoo_row(cx, &z, "reformer:bucket=8,n_hashes=3,shared=1", 0, i, more);
            for (int j = 0; j < n; j++) CHECK_NEAR(w[j], more[j], 1e-6);
            CHECK(i > 0 ? w[i] == 0 : w[0] == 1);
        }
        zoo_free(&z);
    }
    zoo_random(&z, 1, 1, 16, 16, 3);
    z.in.as_published = true;
    for (atn_idx i = 0; i < 16; i++) {
        zoo_dense(&z, 0, i, a);
        zoo_row(cx, &z, "reformer:bucket=8,n_hashes=1", 0, i, w);
        for (int j = 0; j < 16; j++) CHECK_NEAR(w[j], a[j], 1e-6);
    }
    zoo_free(&z);
}

/* As published, two rounds of two chunks: a key of the chunk across the seam counts
 * twice for some row, so the rows are not dense; with the discount it would count 1e9
 * where the round itself does not show it. */
static void seams_as_published(atn_ctx *cx)
{
    double w[TWIN_MOST], a[TWIN_MOST], worst = 0;
    zoo z;

    zoo_random(&z, 1, 1, 16, 16, 3);
    zoo_causal(&z, false);
    z.in.as_published = true;
    for (atn_idx i = 0; i < 16; i++) {
        zoo_dense(&z, 0, i, a);
        zoo_row(cx, &z, "reformer:bucket=8,n_hashes=2", 0, i, w);
        for (int j = 0; j < 16; j++) worst = check_worst(worst, fabs(w[j] - a[j]));
    }
    CHECK_LE(1e-3, worst);
    zoo_free(&z);
}

/* ---- orders, counts, refusals ---- */

/* Every round holds every query once, and every key twice where there are more than two
 * chunks. */
static void rounds_are_permutations(atn_ctx *cx)
{
    enum { N = 43, ROUNDS = 3 };
    int rows[N] = {0}, keys[N] = {0};
    const atn_groups *g;
    atn_plan p;
    zoo z;

    zoo_random(&z, 1, 1, N, N, 5);
    zoo_plan(cx, &z, "reformer:bucket=5,n_hashes=3", 0, &p);
    g = &p.branch[0].part[0].groups;
    CHECK_EQ(g->n, ROUNDS * 9);
    for (int64_t e = 0; e < g->row_ptr[g->n]; e++) rows[g->row[e]]++;
    for (int64_t e = 0; e < g->key_ptr[g->n]; e++) keys[g->key[e]]++;
    for (int e = 0; e < N; e++) CHECK(rows[e] == ROUNDS && keys[e] == 2 * ROUNDS);
    /* 2 sides, 3 rounds, d = 8, 10 buckets for 9 chunks */
    CHECK_NEAR(p.index_flops, 3. * 2 * N * 8 * 10, 0);
    CHECK_NEAR(p.index_bytes, 2. * 3 * 2 * N * (8 + 3), 0);
    atn_plan_release(cx, &p);
    zoo_free(&z);
}

static void refused(atn_ctx *cx)
{
    atn_choice c;
    atn_plan p;
    zoo z;

    zoo_random(&z, 1, 1, 20, 20, 6);
    z.in.as_published = true;
    CHECK_OK(atn_choice_read(cx, "reformer", "bucket=4", &c));
    CHECK_FAILS(atn_choice_plan(cx, &c, &z.in, 0, &p), ATN_USAGE, "2 bucket = 8");
    CHECK_OK(atn_choice_read(cx, "reformer", "bucket=64", &c));
    CHECK_FAILS(atn_choice_plan(cx, &c, &z.in, 0, &p), ATN_USAGE, "20 tokens");
    zoo_free(&z);
    zoo_random(&z, 1, 1, 5, 20, 6);
    CHECK_OK(atn_choice_read(cx, "reformer", "shared=1", &c));
    CHECK_FAILS(atn_choice_plan(cx, &c, &z.in, 0, &p), ATN_DATA, "5 of the 20");
    zoo_free(&z);
}

static void looks_ahead(atn_ctx *cx)
{
    atn_choice c;
    zoo z;

    zoo_random(&z, 1, 1, 20, 20, 4);
    CHECK_OK(atn_choice_read(cx, "reformer", NULL, &c));
    CHECK_EQ(atn_choice_looks(&c, &z.in), ATN_LOOKS_KEYS | ATN_LOOKS_QUERIES);
    CHECK_OK(atn_choice_read(cx, "reformer", "shared=1", &c));
    CHECK_EQ(atn_choice_looks(&c, &z.in), ATN_LOOKS_QUERIES);
    zoo_free(&z);
}

static void threads_do_not_matter(atn_ctx *cx)
{
    enum { N = 700 };
    static const char *const specs[] = {"reformer:bucket=16,n_hashes=4",
                                        "reformer:bucket=16,n_hashes=4,discount=1"};
    static double one[3 * N], four[3 * N];
    zoo z;

    zoo_random(&z, 1, 1, N, N, 9);
    for (int s = 0; s < 2; s++) {
        for (int k = 0; k < 2; k++) {
            atn_plan p;

            cx->threads = k ? 4 : 1;
            zoo_plan(cx, &z, specs[s], 0, &p);
            CHECK_OK(atn_plan_rows(cx, &z.head[0], &p, 500, 3, k ? four : one));
            atn_plan_release(cx, &p);
        }
        CHECK(memcmp(one, four, sizeof one) == 0);
    }
    zoo_free(&z);
}

static void allocations_fail(atn_ctx *cx)
{
    static const char *const specs[] = {"bucket=4,n_hashes=2,across=0,shared=1",
                                        "bucket=4,n_hashes=2,discount=1"};
    zoo z;

    (void)cx;
    zoo_random(&z, 1, 1, 48, 48, 9);
    for (int s = 0; s < 4; s++) {
        z.in.as_published = s >= 2;
        zoo_failing(&z, "reformer", specs[s % 2]);
    }
    zoo_free(&z);
}

static void any_parameters(atn_ctx *cx)
{
    static const char *const params[] = {"bucket=1",
                                         "bucket=1,n_hashes=64",
                                         "bucket=1000000000",
                                         "bucket=2,across=0",
                                         "bucket=2,across=0,discount=1,shared=1",
                                         "bucket=12,n_hashes=2,discount=1",
                                         "bucket=6,shared=1,n_hashes=3"};

    zoo_survives_all(cx, "reformer", params, (int)ATN_LEN(params));
}

CHECK_MAIN({"golden", golden}, {"golden outputs", golden_outputs}, {"twins", twins},
           {"twins as published", twins_as_published},
           {"two chunks are dense", two_chunks_are_dense},
           {"seams as published", seams_as_published},
           {"rounds are permutations", rounds_are_permutations}, {"refused", refused},
           {"looks ahead", looks_ahead},
           {"threads do not matter", threads_do_not_matter},
           {"allocations fail", allocations_fail}, {"any parameters", any_parameters})
