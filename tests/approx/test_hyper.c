/* HyperAttention: rows of the fixture, an independent dense twin, the exhaustive form
 * of the Monte-Carlo oracle, Gray codes, limits. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "tests/approx/g8.h"

/* ---- rows of the card ---- */

/* Projections by columns: (1,1,1,0) (1,-1,0,1) (0,1,-1,1). */
static const float card_planes[] = {1, 1, 0, 1, -1, 1, 1, 0, -1, 0, 1, 1};

static void golden(atn_ctx *cx)
{
    static const int32_t three[] = {0, 5, 13}, pairs[] = {0, 5, 0, 5, 0, 5};
    const atn_st_out flat[] = {
        {"projections.layer-000", ATN_F32, 2, {4, 3}, card_planes},
        {"samples.layer-000.head-000", ATN_I32, 2, {1, 3}, three}};
    const atn_st_out deep[] = {
        {"projections.layer-000", ATN_F32, 2, {4, 3}, card_planes},
        {"samples.layer-000.head-000", ATN_I32, 2, {3, 2}, pairs}};
    const char *one = "hyper:projections=3,block=4,samples=3,min=4";
    const char *two = "hyper:projections=3,block=5,samples=2,min=6";
    zoo z;

    zoo_second(&z);
    zoo_causal(&z, false);
    zoo_draws(cx, &z, "hyper-flat", flat, 2);
    zoo_weighted(cx, &z, one, 0, 8,
                 "0:.177576 1:.077475 9:.353153 10:.068372 13:.177576 14:.077475 "
                 "23:.068372",
                 8.905268);
    zoo_weighted(cx, &z, one, 0, 15,
                 "0:.127912 1:.050813 9:.555625 10:.043463 13:.127912 14:.050813 "
                 "23:.043463",
                 8.859940);
    atn_draws_forget(cx, z.in.draws);
    z.in.as_published = true;
    zoo_weighted(cx, &z, one, 0, 8,
                 "0:.340605 5:.074723 9:.084672 13:.340605 18:.074723 22:.084672",
                 8.771320);
    zoo_weighted(cx, &z, one, 0, 15,
                 "0:.134730 2:.033493 6:.039157 9:.585240 13:.134730 15:.033493 "
                 "19:.039157",
                 8.566957);
    zoo_draws_end(&z, cx);
    zoo_causal(&z, true);
    zoo_draws(cx, &z, "hyper-deep", deep, 2);
    zoo_weighted(cx, &z, two, 0, 23,
                 "0:.114413 1:.073098 10:.066557 11:.200800 12:.075786 14:.073098 "
                 "18:.015809",
                 9.321470);
    z.in.as_published = false;
    zoo_weighted(cx, &z, two, 0, 23,
                 "0:.147485 2:.071127 6:.078118 11:.258845 12:.097693 15:.071127 "
                 "18:.020378",
                 11.422486);
    zoo_draws_end(&z, cx);
    zoo_free(&z);
}

/* The rows of G8-b: hyperplanes and samples of its formulas, blocks of 3, sorted by
 * place on the Gray path and by the table of the published code. */
static void golden_outputs(atn_ctx *cx)
{
    static const char *const rows[][2] = {
        {"hyper inverse", "hyper:projections=3,block=3,samples=4,min=1"},
        {"hyper reference", "hyper:projections=3,block=3,samples=4,min=1,order=table"}};
    float planes[G8_D * G8_BITS];
    const atn_st_out two[] = {
        {"projections.layer-000", ATN_F32, 2, {G8_D, G8_BITS}, planes},
        {"samples.layer-000.head-000", ATN_I32, 2, {1, G8_SAMPLES}, g8_samples}};

    for (int e = 0; e < G8_D * G8_BITS; e++)
        planes[e] = (float)g8_planes[e / G8_BITS][e % G8_BITS];
    for (size_t e = 0; e < ATN_LEN(rows); e++) {
        double o[G8_N * G8_D], w[G8_N * G8_N];
        zoo z;

        g8_zoo(&z, false);
        zoo_draws(cx, &z, "hyper-g8", two, 2);
        g8_run(cx, &z, rows[e][1], o, w);
        g8_check(rows[e][0], o, 2e-5);
        g8_same(&z, w, o, 1e-6);
        zoo_draws_end(&z, cx);
        zoo_free(&z);
    }
}

/* ---- the twin: rows of un-normalised weights, written out ---- */

enum { TWIN_MOST = 64, CALLS_MOST = 256 };

typedef struct twin {
    const zoo *z;
    atn_idx head;
    bool published, table; /* sorted by the table of the code */
    int r, b, m, min;
    const float *planes; /* [d, r] */
    const int32_t *slots;
    int calls, of[CALLS_MOST];      /* calls that sample, and their keys */
    double w[TWIN_MOST][TWIN_MOST]; /* e^z times what it counts for */
    double pad[TWIN_MOST];
} twin;

/* Tokens by position, -1 = a row of zeros. */
typedef struct tokens {
    int n, at[TWIN_MOST + 8];
} tokens;

static double twin_exp(const twin *t, int row, int key)
{
    const atn_head *h = &t->z->head[t->head];
    double s = 0;

    for (atn_idx c = 0; c < h->q.cols; c++)
        s += (double)atn_crow(h->q, row)[c] * (double)atn_crow(h->k, key)[c];
    return exp(h->scale * s);
}

static void twin_add(twin *t, int row, int key, double times)
{
    atn_idx lo, hi;

    atn_sight_row(&t->z->head[t->head].sight, row, &lo, &hi);
    if (key >= lo && key < hi) t->w[row][key] += times * twin_exp(t, row, key);
}

static int twin_place(const twin *t, const float *x)
{
    const int d = (int)t->z->head[t->head].q.cols;
    int word = 0;

    for (int l = 0; l < t->r; l++) {
        double s = 0;

        for (int c = 0; c < d; c++) s += (double)x[c] * (double)t->planes[c * t->r + l];
        word += s > 0 ? 1 << l : 0;
    }
    if (t->published || t->table) return word ^ (word / 2);
    for (int place = 0;; place++)
        if ((place ^ (place / 2)) == word) return place;
}

/* Insertion sort by place, stable; `off` from a token to its row of x. */
static void twin_sort(const twin *t, atn_cmat x, int off, tokens *s)
{
    int place[TWIN_MOST + 8];

    for (int i = 0; i < s->n; i++) {
        const int token = s->at[i];
        const int mine = token < 0 ? 0 : twin_place(t, atn_crow(x, token - off));
        int at = i;

        for (; at > 0 && place[at - 1] > mine; at--) {
            place[at] = place[at - 1];
            s->at[at] = s->at[at - 1];
        }
        place[at] = mine;
        s->at[at] = token;
    }
}

static void twin_core(twin *t, tokens q, tokens k)
{
    const atn_head *h = &t->z->head[t->head];
    const int off = (int)h->sight.offset, b = t->b;
    const int blocks = (k.n + b - 1) / b;
    int wide = q.n == k.n ? b : (q.n + blocks - 1) / blocks;
    const int32_t *slots = t->slots + t->calls * t->m;
    bool samples, real = false;

    for (int e = 0; e < q.n; e++) real = real || q.at[e] >= 0;
    if (!real) return;
    if (q.n < t->min) {
        for (int e = 0; e < q.n; e++)
            for (int f = 0; f < k.n && q.at[e] >= 0; f++)
                if (k.at[f] >= 0) twin_add(t, q.at[e] - off, k.at[f], 1);
        return;
    }
    if (t->published) wide = (q.n + b - 1) / b * b / blocks;
    samples = t->m > 0 && q.n > wide && k.n > b;
    if (samples) t->of[t->calls++] = k.n;
    if (!t->slots) return; /* only counting */
    twin_sort(t, h->q, off, &q);
    twin_sort(t, h->k, 0, &k);
    for (int e = 0; e < q.n; e++) {
        const int block = e / wide, row = q.at[e] - off;

        if (q.at[e] < 0) continue;
        for (int f = block * b; f < (block + 1) * b; f++)
            if (f < k.n)
                twin_add(t, row, k.at[f], 1);
            else
                t->pad[row] += t->published;
        for (int s = 0; samples && s < t->m; s++)
            if (slots[s] / b != block)
                twin_add(t, row, k.at[slots[s]], (double)k.n / t->m);
    }
}

/* Level by level. */
static void twin_causal(twin *t)
{
    const atn_head *h = &t->z->head[t->head];
    const int off = (int)h->sight.offset;
    static tokens level[2 * TWIN_MOST];
    int first = 0, n = 1;

    level[0].n = (int)h->nk;
    for (int i = 0; i < level[0].n; i++) level[0].at[i] = i;
    for (; first < n; first++) {
        tokens all = level[first], left = {0}, right = {0}, rows = {0};
        int half;

        if (all.n <= t->min) {
            for (int e = 0; e < all.n; e++)
                for (int f = 0; f <= e; f++)
                    if (all.at[e] >= off && all.at[f] >= 0)
                        twin_add(t, all.at[e] - off, all.at[f], 1);
            continue;
        }
        if (t->published && all.n % 2) all.at[all.n++] = -1;
        half = (all.n + 1) / 2;
        for (int e = 0; e < all.n; e++) {
            tokens *to = e < half ? &left : &right;

            to->at[to->n++] = all.at[e];
        }
        for (int e = 0; e < right.n; e++)
            if (t->published || right.at[e] >= off) rows.at[rows.n++] = right.at[e];
        twin_core(t, rows, left);
        level[n++] = left;
        level[n++] = right;
    }
}

static void twin_run(twin *t)
{
    const atn_head *h = &t->z->head[t->head];
    tokens q = {0}, k = {0};

    t->calls = 0;
    memset(t->w, 0, sizeof t->w);
    memset(t->pad, 0, sizeof t->pad);
    if (h->sight.causal) {
        twin_causal(t);
        return;
    }
    for (int i = 0; i < h->nq; i++) q.at[q.n++] = i + (int)h->sight.offset;
    for (int j = 0; j < h->nk; j++) k.at[k.n++] = j;
    twin_core(t, q, k);
}

/* The plan against the twin, with draws of the test's own. */
static void compare(atn_ctx *cx, zoo *z, twin *t, uint64_t *seed)
{
    const atn_idx d = z->head[0].q.cols, nk = z->head[0].nk;
    float planes[8 * 8];
    int32_t slots[CALLS_MOST * 8] = {0};
    char spec[96], name[48];
    double w[TWIN_MOST];
    atn_plan p;
    atn_idx n;

    for (atn_idx e = 0; e < d * t->r; e++) planes[e] = (float)(zoo_uniform(seed) - .5);
    t->planes = planes;
    t->slots = NULL;
    twin_run(t);
    CHECK(t->calls <= CALLS_MOST);
    for (int c = 0; c < t->calls; c++)
        for (int s = 0; s < t->m; s++)
            slots[c * t->m + s] = (int32_t)(zoo_uniform(seed) * t->of[c]);
    snprintf(name, sizeof name, "samples.layer-000.head-%03d", (int)t->head);
    {
        const atn_st_out out[] = {
            {"projections.layer-000", ATN_F32, 2, {d, t->r}, planes},
            {name, ATN_I32, 2, {t->calls, t->m}, slots}};

        zoo_draws(cx, z, "hyper-twin", out, t->calls > 0 ? 2 : 1);
    }
    t->slots = slots;
    twin_run(t);
    z->in.as_published = t->published;
    snprintf(spec, sizeof spec,
             "hyper:projections=%d,block=%d,samples=%d,min=%d,order=%s", t->r, t->b,
             t->m, t->min, t->table ? "table" : "path");
    n = zoo_plan(cx, z, spec, t->head, &p);
    for (atn_idx i = 0; i < z->head[0].nq; i++) {
        double sum = t->pad[i];

        CHECK_OK(atn_plan_rows(cx, &z->head[t->head], &p, i, 1, w));
        for (atn_idx j = 0; j < nk; j++) sum += t->w[i][j];
        for (atn_idx j = 0; j < nk; j++)
            CHECK_NEAR(w[j], sum > 0 ? t->w[i][j] / sum : 0, 1e-6);
    }
    zoo_release(cx, &p, n);
    zoo_draws_end(z, cx);
}

static void twins(atn_ctx *cx)
{
    static const int blocks[] = {1, 2, 4, 5, 7}, mins[] = {1, 3, 6, 9};
    static twin t;
    uint64_t seed = 3;

    for (int trial = 0; trial < 160; trial++) {
        const int nk = 1 + trial * 7 % 45;
        const int nq = trial % 4 == 3 ? 1 + trial % nk : nk;
        zoo z;

        zoo_random(&z, 2, 2, nq, nk, (uint64_t)trial);
        zoo_causal(&z, trial % 3 != 0);
        for (int h = 0; h < 2; h++)
            z.head[h].sight.window = trial % 5 == 4 ? 1 + trial % 11 : 0;
        t = (twin){.z = &z,
                   .head = trial & 1,
                   .published = trial % 7 == 2 && nq == nk,
                   .table = trial % 4 == 1,
                   .r = 1 + trial % 5,
                   .b = blocks[trial % 5],
                   .m = trial % 6,
                   .min = mins[trial % 4]};
        compare(cx, &z, &t, &seed);
        zoo_free(&z);
    }
}

/* Odd lengths and short blocks: what the published code pads. */
static void twins_as_published(atn_ctx *cx)
{
    static twin t;
    uint64_t seed = 8;

    for (int trial = 0; trial < 60; trial++) {
        const int n = 1 + trial * 5 % 47;
        zoo z;

        zoo_random(&z, 1, 1, n, n, (uint64_t)(100 + trial));
        zoo_causal(&z, trial % 4 != 0);
        t = (twin){.z = &z,
                   .published = true,
                   .r = 1 + trial % 4,
                   .b = 2 + trial % 4,
                   .m = 1 + trial % 5,
                   .min = 1 + trial % 6};
        compare(cx, &z, &t, &seed);
        zoo_free(&z);
    }
}

/* ---- the Monte-Carlo oracle, all of it ---- */

/* Adds e^(z + log weight) of every entry of the plan. */
static void add_entries(const zoo *z, const atn_plan *p, double *w)
{
    const atn_head *h = &z->head[0];
    static twin t;
    atn_span spans[8];

    t.z = z;
    for (int b = 0; b < p->branch[0].parts; b++) {
        const atn_part *part = &p->branch[0].part[b];
        const atn_groups *g = &part->groups;

        for (int i = 0; i < h->nq && part->pattern; i++) {
            const atn_idx n = atn_pattern_keys(part->pattern, 0, i, spans);

            for (atn_idx s = 0; s < n; s++)
                for (atn_idx j = spans[s].lo; j < spans[s].hi; j++)
                    w[i * h->nk + j] += twin_exp(&t, i, (int)j);
        }
        for (atn_idx k = 0; k < g->n; k++)
            for (int64_t e = g->row_ptr[k]; e < g->row_ptr[k + 1]; e++)
                for (int64_t f = g->key_ptr[k]; f < g->key_ptr[k + 1]; f++)
                    w[g->row[e] * h->nk + g->key[f]] +=
                        twin_exp(&t, g->row[e], g->key[f]) *
                        exp((double)g->log_weight[f]);
    }
}

/* Mean over runs with one sample each, slot s of every call in turn. */
static void exhaustive(atn_ctx *cx, bool causal, int calls, const char *spec)
{
    enum { N = 24 };
    static double w[N * N];
    static const float planes[8 * 7] = {1, -1};
    static twin t;
    const int runs = causal ? N / 2 : N;
    zoo z;

    memset(w, 0, sizeof w);
    zoo_random(&z, 1, 1, N, N, 17);
    zoo_causal(&z, causal);
    t.z = &z;
    for (int s = 0; s < runs; s++) {
        const int32_t slots[] = {s, s % 6, s % 6};
        const atn_st_out out[] = {
            {"projections.layer-000", ATN_F32, 2, {8, 7}, planes},
            {"samples.layer-000.head-000", ATN_I32, 2, {calls, 1}, slots}};
        atn_plan p;

        zoo_draws(cx, &z, "hyper-exhaustive", out, 2);
        zoo_plan(cx, &z, spec, 0, &p);
        add_entries(&z, &p, w);
        atn_plan_release(cx, &p);
        zoo_draws_end(&z, cx);
    }
    for (int i = 0; i < N; i++)
        for (int j = 0; j < N; j++)
            CHECK_NEAR(w[i * N + j] / runs, causal && j > i ? 0 : twin_exp(&t, i, j),
                       1e-5 * twin_exp(&t, i, j));
    zoo_free(&z);
}

static void samples_are_unbiased(atn_ctx *cx)
{
    exhaustive(cx, false, 1, "hyper:block=4,samples=1,min=4");
    exhaustive(cx, false, 1, "hyper:block=7,samples=1,min=4");
    exhaustive(cx, true, 3, "hyper:block=2,samples=1,min=6");
}

/* ---- the order of the hash ---- */

/* Keys with all 128 words of 7 bits, queries that hash alike: block t of one query has
 * the key at place t. Neighbours differ in one bit, as published 31 of 127 in more. */
static void order(atn_ctx *cx, bool published, int wanted_pairs, int wanted_most)
{
    enum { N = 128, R = 7 };
    float planes[R * R] = {0};
    const atn_st_out out[] = {{"projections.layer-000", ATN_F32, 2, {R, R}, planes}};
    int seen[N], pairs = 0, most = 0;
    atn_plan p;
    zoo z;

    for (int c = 0; c < R; c++) planes[c * R + c] = 1;
    zoo_shape(&z, 1, 1, N, N, R, 1);
    zoo_causal(&z, false);
    z.in.as_published = published;
    for (int i = 0; i < N; i++) {
        z.v[i] = 0;
        for (int c = 0; c < R; c++) {
            z.q[i * R + c] = 0;
            z.k[i * R + c] = i >> c & 1 ? 1 : -1;
        }
    }
    zoo_draws(cx, &z, "hyper-order", out, 1);
    zoo_plan(cx, &z, "hyper:block=1,samples=0,min=1", 0, &p);
    for (int t = 0; t < N; t++) {
        const atn_groups *g = &p.branch[0].part[0].groups;

        CHECK_EQ(g->row[g->row_ptr[t]], t);
        CHECK_EQ(g->key_ptr[t + 1] - g->key_ptr[t], 1);
        seen[t] = g->key[g->key_ptr[t]];
    }
    for (int t = 1; t < N; t++) {
        const int bits = __builtin_popcount((unsigned)(seen[t] ^ seen[t - 1]));

        pairs += bits > 1;
        most = bits > most ? bits : most;
    }
    CHECK_EQ(pairs, wanted_pairs);
    CHECK_EQ(most, wanted_most);
    atn_plan_release(cx, &p);
    zoo_draws_end(&z, cx);
    zoo_free(&z);
}

static void neighbours_differ_in_one_bit(atn_ctx *cx)
{
    order(cx, false, 0, 1);
    order(cx, true, 31, 4);
}

/* Both sides of a call are permutations: without samples every key of a call is in one
 * block, and every query. */
static void sorts_are_permutations(atn_ctx *cx)
{
    enum { N = 57 };
    int rows[N] = {0}, keys[N] = {0};
    atn_plan p;
    zoo z;

    zoo_random(&z, 1, 1, N, N, 23);
    zoo_causal(&z, false);
    zoo_plan(cx, &z, "hyper:block=5,samples=0,min=2", 0, &p);
    for (int64_t e = 0; e < N; e++) {
        rows[p.branch[0].part[0].groups.row[e]]++;
        keys[p.branch[0].part[0].groups.key[e]]++;
    }
    for (int e = 0; e < N; e++) CHECK(rows[e] == 1 && keys[e] == 1);
    CHECK_EQ(p.branch[0].part[0].groups.n, 12);
    atn_plan_release(cx, &p);
    zoo_free(&z);
}

/* ---- limits ---- */

static void is_dense(atn_ctx *cx, const zoo *z, const char *spec)
{
    double w[TWIN_MOST], a[TWIN_MOST];

    for (atn_idx i = 0; i < z->head[0].nq; i++) {
        zoo_row(cx, z, spec, 0, i, w);
        zoo_dense(z, 0, i, a);
        for (atn_idx j = 0; j < z->head[0].nk; j++) CHECK_NEAR(w[j], a[j], 1e-6);
    }
}

static void dense_limits(atn_ctx *cx)
{
    for (int n = 1; n <= 41; n += 8)
        for (int causal = 0; causal < 2; causal++) {
            zoo z;

            zoo_random(&z, 1, 1, n, n, (uint64_t)n);
            zoo_causal(&z, causal);
            is_dense(cx, &z, "hyper");
            is_dense(cx, &z, "hyper:min=42");
            is_dense(cx, &z, "hyper:min=1,block=64,samples=0");
            is_dense(cx, &z, "hyper:min=1,block=64,samples=9");
            z.in.as_published = true;
            is_dense(cx, &z, "hyper:min=42");
            zoo_free(&z);
        }
}

/* Every key of a call drawn as often as any other: dense, whatever the blocks hide.
 * Calls of 13 causal tokens with min 3 have 7, 4 and 3 keys; 84 is a multiple of all. */
static void complete_samples_are_dense(atn_ctx *cx)
{
    static const struct {
        int n, calls, keys[3], samples, min;
        bool causal;
    } of[] = {{13, 1, {13}, 13, 1, false},
              {13, 1, {13}, 39, 1, false},
              {13, 3, {7, 4, 3}, 84, 3, true},
              {8, 3, {4, 2, 2}, 4, 2, true}};

    for (size_t e = 0; e < ATN_LEN(of); e++)
        for (int block = 1; block < 3; block++) {
            int32_t slots[3 * 84];
            int drawn = 0;
            char spec[96];
            zoo z;

            for (int c = 0; c < of[e].calls; c++)
                for (int s = 0; of[e].keys[c] > block && s < of[e].samples; s++)
                    slots[drawn++] = (5 * s + 2) % of[e].keys[c];
            if (of[e].keys[0] % 5 == 0) fail_msg("not all keys would be drawn");
            drawn /= of[e].samples;
            {
                const float planes[] = {1, -1, 0, 2, -1, 1, 0,  1,
                                        2, -1, 0, 1, 1,  1, -1, 0};
                const atn_st_out two[] = {
                    {"projections.layer-000", ATN_F32, 2, {8, 2}, planes},
                    {"samples.layer-000.head-000",
                     ATN_I32,
                     2,
                     {drawn, of[e].samples},
                     slots}};

                zoo_random(&z, 1, 1, of[e].n, of[e].n, 4);
                zoo_causal(&z, of[e].causal);
                zoo_draws(cx, &z, "hyper-complete", two, 2);
            }
            snprintf(spec, sizeof spec,
                     "hyper:projections=2,block=%d,samples=%d,min=%d", block,
                     of[e].samples, of[e].min);
            is_dense(cx, &z, spec);
            zoo_draws_end(&z, cx);
            zoo_free(&z);
        }
}

/* What the plan says of itself: nothing ahead where all is exact. */
static void looks_ahead(atn_ctx *cx)
{
    atn_choice c;
    zoo z;

    zoo_random(&z, 1, 1, 20, 20, 4);
    CHECK_OK(atn_choice_read(cx, "hyper", "min=11,block=2", &c));
    CHECK_EQ(atn_choice_looks(&c, &z.in), 0);
    CHECK_OK(atn_choice_read(cx, "hyper", "min=10,block=2", &c));
    CHECK_EQ(atn_choice_looks(&c, &z.in), ATN_LOOKS_QUERIES);
    zoo_free(&z);
}

static void counts_its_hash(atn_ctx *cx)
{
    atn_plan p;
    zoo z;

    zoo_random(&z, 1, 1, 40, 40, 4); /* d = 8 */
    zoo_causal(&z, false);
    zoo_plan(cx, &z, "hyper:min=4,block=8,projections=3", 0, &p);
    CHECK_NEAR(p.index_flops, 2. * 80 * 8 * 3, 0);
    /* tokens and their hashes, and both sides once more for the sort */
    CHECK_NEAR(p.index_bytes, 2. * (80 * 9 + 2 * 80), 0);
    atn_plan_release(cx, &p);
    zoo_plan(cx, &z, "hyper", 0, &p);
    CHECK_NEAR(p.index_flops, 0, 0);
    atn_plan_release(cx, &p);
    zoo_free(&z);
}

/* ---- what is refused ---- */

static void refused(atn_ctx *cx)
{
    static const int32_t slots[] = {0, 12, 0, 5, 0, 6};
    static const float planes[8 * 7] = {1, -1};
    const atn_st_out out[] = {
        {"projections.layer-000", ATN_F32, 2, {8, 7}, planes},
        {"samples.layer-000.head-000", ATN_I32, 2, {3, 2}, slots}};
    atn_choice c;
    atn_plan p;
    zoo z;

    zoo_random(&z, 1, 1, 24, 24, 6);
    CHECK_OK(atn_choice_read(cx, "hyper", "block=2,samples=2,min=6", &c));
    zoo_draws(cx, &z, "hyper-refused", out, 1);
    CHECK_FAILS(atn_choice_plan(cx, &c, &z.in, 0, &p), ATN_DATA,
                "no tensor \"samples.layer-000.head-000\"");
    zoo_draws_end(&z, cx);
    zoo_draws(cx, &z, "hyper-refused", out, 2);
    CHECK_FAILS(atn_choice_plan(cx, &c, &z.in, 0, &p), ATN_DATA, "0..11");
    zoo_draws_end(&z, cx);
    zoo_free(&z);
    { /* in range of the longest call, not of its own */
        static const int32_t late[] = {0, 11, 0, 5, 0, 6};
        const atn_st_out again[] = {
            {"projections.layer-000", ATN_F32, 2, {8, 7}, planes},
            {"samples.layer-000.head-000", ATN_I32, 2, {3, 2}, late}};

        zoo_random(&z, 1, 1, 24, 24, 6);
        zoo_draws(cx, &z, "hyper-refused", again, 2);
        CHECK_FAILS(atn_choice_plan(cx, &c, &z.in, 0, &p), ATN_DATA, "6 keys");
        zoo_draws_end(&z, cx);
        zoo_free(&z);
    }
    zoo_random(&z, 1, 1, 9, 24, 6);
    z.in.as_published = true;
    CHECK_FAILS(atn_choice_plan(cx, &c, &z.in, 0, &p), ATN_USAGE, "9 queries");
    zoo_causal(&z, false);
    CHECK_OK(atn_choice_read(cx, "hyper", "block=7,min=1", &c));
    CHECK_FAILS(atn_choice_plan(cx, &c, &z.in, 0, &p), ATN_USAGE, "4 blocks");
    zoo_free(&z);
}

/* ---- threads, allocations ---- */

static void threads_do_not_matter(atn_ctx *cx)
{
    enum { N = 700 };
    static double one[N], four[N];
    const char *spec = "hyper:min=100,block=20,samples=20";
    zoo z;

    zoo_random(&z, 1, 1, N, N, 9);
    for (atn_idx i = 90; i < N; i += 101) {
        cx->threads = 1;
        zoo_row(cx, &z, spec, 0, i, one);
        cx->threads = 4;
        zoo_row(cx, &z, spec, 0, i, four);
        CHECK(memcmp(one, four, sizeof one) == 0);
    }
    zoo_free(&z);
}

static void allocations_fail(atn_ctx *cx)
{
    zoo z;

    (void)cx;
    zoo_random(&z, 1, 1, 45, 45, 9);
    z.in.as_published = true;
    zoo_failing(&z, "hyper", "min=6,block=4,samples=3");
    zoo_free(&z);
}

static void any_parameters(atn_ctx *cx)
{
    static const char *const params[] = {"block=1,min=1",
                                         "block=1000000000,min=1",
                                         "samples=70000,min=1,block=1",
                                         "samples=1000000,min=9,block=3",
                                         "projections=24,min=1,block=2",
                                         "min=1000000000",
                                         "samples=0,min=2,block=1"};

    zoo_survives_all(cx, "hyper", params, (int)ATN_LEN(params));
}

/* Rows of the tensors that are drawn; 0: there is none. */
static void check_drawn(atn_ctx *cx, zoo *z, const char *spec, atn_idx planes,
                        atn_idx rows)
{
    char path[600];
    atn_st *f = NULL;
    atn_plan p;

    snprintf(path, sizeof path, "%s/d.safetensors", check_scratch("hyper-drawn"));
    CHECK_OK(atn_draws_open(cx, NULL, &z->in.draws));
    zoo_plan(cx, z, spec, 0, &p);
    atn_plan_release(cx, &p);
    CHECK_OK(atn_draws_save(cx, z->in.draws, path, true));
    if (planes > 0) {
        const atn_st_tensor *t;

        CHECK_OK(atn_st_open(cx, path, &f));
        CHECK_EQ(atn_st_count(f), rows > 0 ? 2 : 1);
        t = atn_st_find(f, "samples.layer-000.head-000");
        CHECK_EQ(t ? t->shape[0] : 0, rows);
        CHECK_EQ(atn_st_find(f, "projections.layer-000")->shape[1], planes);
        atn_st_close(cx, f);
    } else {
        CHECK(fopen(path, "rb") == NULL);
    }
    zoo_draws_end(z, cx);
}

/* 13 tokens: 6 queries against 7 keys, and 3 against 4 within the first 7, which are
 * exact. 7 tokens: 3 queries against 4, or 4 with the row of zeros. */
static void calls_that_draw(atn_ctx *cx)
{
    zoo z;

    zoo_random(&z, 1, 1, 13, 13, 2);
    check_drawn(cx, &z, "hyper:min=6,block=2,samples=3,projections=3", 3, 1);
    check_drawn(cx, &z, "hyper:min=3,block=2,samples=3,projections=3", 3, 3);
    check_drawn(cx, &z, "hyper:min=3,block=4,samples=3,projections=3", 3, 1);
    check_drawn(cx, &z, "hyper:min=3,block=7,samples=3,projections=3", 3, 0);
    check_drawn(cx, &z, "hyper:min=7,block=2,samples=3,projections=3", 0, 0);
    check_drawn(cx, &z, "hyper:min=3,block=2,samples=0,projections=3", 3, 0);
    zoo_free(&z);
    zoo_random(&z, 1, 1, 7, 7, 2);
    check_drawn(cx, &z, "hyper:min=4,block=2,samples=3,projections=3", 0, 0);
    z.in.as_published = true;
    check_drawn(cx, &z, "hyper:min=4,block=2,samples=3,projections=3", 3, 1);
    zoo_free(&z);
}

CHECK_MAIN({"calls that draw", calls_that_draw}, {"golden", golden},
           {"golden outputs", golden_outputs}, {"twins", twins},
           {"twins as published", twins_as_published},
           {"samples are unbiased", samples_are_unbiased},
           {"neighbours differ in one bit", neighbours_differ_in_one_bit},
           {"sorts are permutations", sorts_are_permutations},
           {"dense limits", dense_limits},
           {"complete samples are dense", complete_samples_are_dense},
           {"looks ahead", looks_ahead}, {"counts its hash", counts_its_hash},
           {"refused", refused}, {"calls that draw", calls_that_draw},
           {"threads do not matter", threads_do_not_matter},
           {"allocations fail", allocations_fail}, {"any parameters", any_parameters})
