/* tests/approx/test_features.c -- attention by features, against loops. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "approx/features.h"
#include "tests/approx/g8.h"

/* A case: shapes, mask, and what the features have. */
typedef struct scene {
    zoo z;
    atn_features f;
} scene;

typedef struct way {
    atn_idx nq, nk, window, n;
    bool causal;
    atn_idx shift; /* of the offset, beside nk - nq */
    bool is_signed, logs, factors, normalise;
    double decay, floor, eps;
} way;

static double *numbers(atn_ctx *cx, atn_idx n, double lo, double hi, uint64_t *seed)
{
    double *x = atn_alloc(cx, n, sizeof *x);

    if (!x) fail_msg("%s", cx->err.text);
    for (atn_idx e = 0; e < n; e++) x[e] = lo + (hi - lo) * zoo_uniform(seed);
    return x;
}

static void set(atn_ctx *cx, scene *s, const way *w, uint64_t seed)
{
    const double least = w->is_signed ? -1 : 0;

    zoo_random(&s->z, 1, 1, w->nq, w->nk, seed);
    s->z.head[0].sight.causal = w->causal;
    s->z.head[0].sight.window = w->window;
    s->z.head[0].sight.offset += w->shift;
    s->f = (atn_features){.n = w->n,
                          .decay = w->decay,
                          .normalise = w->normalise,
                          .floor = w->floor,
                          .eps = w->eps};
    s->f.q = numbers(cx, w->nq * w->n, least, 1, &seed);
    s->f.k = numbers(cx, w->nk * w->n, least, 1, &seed);
    if (w->logs) s->f.log_q = numbers(cx, w->nq, -3, 3, &seed);
    if (w->logs) s->f.log_k = numbers(cx, w->nk, -40, 40, &seed);
    if (w->factors) s->f.row = numbers(cx, w->nq, -2, 2, &seed);
    if (w->factors) s->f.key = numbers(cx, w->nk, -2, 2, &seed);
}

/* Weights [nq, nk] by the definition, the largest logarithm taken out. */
static void twin(const scene *s, double *w)
{
    const atn_head *h = &s->z.head[0];
    const atn_features *f = &s->f;

    for (atn_idx i = 0; i < h->nq; i++) {
        const atn_idx at = i + h->sight.offset, d = h->sight.window;
        double top = -INFINITY, sum = 0;

        for (int pass = 0; pass < 3; pass++)
            for (atn_idx j = 0; j < h->nk; j++) {
                const double log = (f->log_k ? f->log_k[j] : 0) +
                                   (f->log_q ? f->log_q[i] : 0) -
                                   f->decay * (double)(at - j);
                double *a = &w[i * h->nk + j], dot = 0;

                *a = pass == 0 ? 0 : *a;
                if (h->sight.causal && j > at) continue;
                if (d > 0 && (h->sight.causal ? at - j >= d : llabs(at - j) > d))
                    continue;
                if (pass == 0) top = fmax(top, log);
                for (atn_idx r = 0; r < f->n; r++)
                    dot += f->q[i * f->n + r] * f->k[j * f->n + r];
                if (pass == 1) sum += *a = dot * exp(log - top);
                if (pass < 2) continue;
                if (f->normalise)
                    *a /= fmax(sum + f->eps * exp(-top), f->floor * exp(-top));
                else
                    *a *= exp(top);
                *a *= (f->row ? f->row[i] : 1) * (f->key ? f->key[j] : 1);
            }
    }
}

/* The plan takes the features; weights and outputs meet the twin. */
static void compare(atn_ctx *cx, scene *s, double tolerance)
{
    const atn_head *h = &s->z.head[0];
    const atn_idx dv = h->v.cols;
    double *w = calloc((size_t)(h->nq * h->nk), sizeof *w);
    double *got = calloc((size_t)(h->nq * h->nk), sizeof *got);
    double *o = calloc((size_t)(h->nq * dv), sizeof *o);
    atn_plan p = {0};

    CHECK(w && got && o);
    twin(s, w);
    CHECK_OK(atn_features_plan(cx, h, &s->f, 0, &p));
    CHECK(!s->f.q);
    CHECK_OK(atn_plan_check(cx, h, &p));
    CHECK_OK(atn_plan_rows(cx, h, &p, 0, h->nq, got));
    CHECK_OK(p.op.kind->apply(cx, h, p.op.state, o, "test"));
    for (atn_idx i = 0; i < h->nq; i++) {
        double most = 0;

        for (atn_idx j = 0; j < h->nk; j++) most = fmax(most, fabs(w[i * h->nk + j]));
        for (atn_idx j = 0; j < h->nk; j++)
            CHECK_NEAR(got[i * h->nk + j], w[i * h->nk + j], tolerance * most);
    }
    g8_same(&s->z, w, o, tolerance);
    atn_plan_release(cx, &p);
    zoo_free(&s->z);
    free(w);
    free(got);
    free(o);
}

static const way ways[] = {
    /* nq nk window n causal shift signed logs factors normalise decay floor eps */
    {5, 5, 0, 3, true, 0, false, false, false, true, 0, 0, 0},
    {1, 1, 0, 1, true, 0, true, true, true, false, .1, 0, 0},
    {150, 150, 0, 4, true, 0, false, true, false, true, 0, 0, 0},
    {700, 700, 0, 3, true, 0, false, true, true, true, 0, 0, .5},
    {700, 700, 0, 2, true, 0, true, false, false, false, .05, 0, 0},
    {600, 600, 0, 2, true, 0, false, true, false, true, 3, 0, 0},
    {70, 400, 0, 3, true, 0, false, true, false, true, 0, 0, 0},
    {40, 700, 0, 3, false, 0, false, true, true, true, 0, 0, 0},
    {330, 300, 0, 3, false, 0, false, false, false, true, 0, 20, 0},
    {300, 300, 7, 3, true, 0, false, true, false, true, 0, 0, 0},
    {300, 300, 150, 3, true, 0, false, true, true, false, .2, 0, 0},
    {200, 210, 9, 3, false, -3, false, true, false, true, 0, 0, 0},
    {100, 100, 0, 3, true, -30, false, true, false, true, 0, 0, 0},
    {100, 90, 0, 3, true, 40, false, true, false, true, .3, 0, 0},
    {2, 900, 0, 5, true, 0, false, true, false, true, 0, 1e-3, 0},
};

static void meets_loops(atn_ctx *cx)
{
    for (size_t k = 0; k < ATN_LEN(ways); k++) {
        scene s;

        set(cx, &s, &ways[k], 31 + k);
        compare(cx, &s, 1e-10);
    }
}

static void random_small(atn_ctx *cx)
{
    uint64_t seed = 5;

    for (int k = 0; k < 200; k++) {
        way w = {.nq = 1 + (atn_idx)(9 * zoo_uniform(&seed)),
                 .nk = 1 + (atn_idx)(9 * zoo_uniform(&seed)),
                 .n = 1 + (atn_idx)(4 * zoo_uniform(&seed)),
                 .causal = k & 1,
                 .logs = k & 2,
                 .factors = k & 4,
                 .normalise = k & 8};
        scene s;

        if (k & 16) w.window = 1 + (atn_idx)(5 * zoo_uniform(&seed));
        if (k & 32 && w.causal) w.decay = zoo_uniform(&seed);
        w.is_signed = !w.normalise;
        w.shift = (atn_idx)(5 * zoo_uniform(&seed)) - 2;
        set(cx, &s, &w, 77 + (uint64_t)k);
        compare(cx, &s, 1e-11);
    }
}

/* One feature of 1: the mean of the keys seen. */
static void mean_of_keys(atn_ctx *cx)
{
    scene s;
    atn_plan p = {0};
    double o[300 * 5], sum = 0;

    set(cx, &s, &(way){300, 300, 0, 1, true, .normalise = true}, 3);
    for (int i = 0; i < 300; i++) s.f.q[i] = s.f.k[i] = 1;
    CHECK_OK(atn_features_plan(cx, &s.z.head[0], &s.f, 0, &p));
    CHECK_NEAR(p.numbers, 2, 0);
    CHECK_OK(p.op.kind->apply(cx, &s.z.head[0], p.op.state, o, "test"));
    for (int i = 0; i < 300; i++) {
        sum += (double)s.z.v[5 * i + 2];
        CHECK_NEAR(o[5 * i + 2], sum / (i + 1), 1e-12);
    }
    atn_plan_release(cx, &p);
    zoo_free(&s.z);
}

/* Keys of scales e^0, e^400, e^800 ..: nothing overflows, and a row's weights are those
 * of what it has seen, whatever comes later. */
static void running_maximum(atn_ctx *cx)
{
    const way w = {520, 520, 0, 3, true, .logs = true, .normalise = true};
    static double o[2][520 * 5];

    for (int run = 0; run < 2; run++) {
        scene s;
        atn_plan p = {0};

        set(cx, &s, &w, 9);
        for (int j = 0; j < 520; j++) s.f.log_k[j] = j % 100 == 0 ? 4.0 * j : 0;
        for (int j = 310; run && j < 520; j++) {
            s.f.log_k[j] = 1e4;
            s.z.v[5 * j] = 100;
        }
        CHECK_OK(atn_features_plan(cx, &s.z.head[0], &s.f, 0, &p));
        CHECK_OK(p.op.kind->apply(cx, &s.z.head[0], p.op.state, o[run], "test"));
        for (int e = 0; e < 520 * 5; e++) CHECK(isfinite(o[run][e]));
        for (int e = 0; e < 5; e++) /* key 300 has all weight from there on */
            if (!run) CHECK_NEAR(o[0][305 * 5 + e], s.z.v[300 * 5 + e], 1e-12);
        atn_plan_release(cx, &p);
        zoo_free(&s.z);
    }
    CHECK(memcmp(o[0], o[1], 310 * 5 * sizeof(double)) == 0);
    CHECK(o[0][519 * 5] != o[1][519 * 5]);
}

/* Rows 600 .. of a prefill, by themselves. */
static void chunk_of_queries(atn_ctx *cx)
{
    const way w = {700, 700, 0, 3, true, .logs = true, .normalise = true, .decay = .01};
    static double whole[700 * 5], part[100 * 5];
    scene s;
    atn_plan p = {0};
    atn_features tail;
    atn_head h;

    set(cx, &s, &w, 21);
    tail = (atn_features){.n = 3, .normalise = true, .decay = .01};
    tail.q = atn_alloc(cx, 300, sizeof(double));
    tail.k = atn_alloc(cx, 2100, sizeof(double));
    tail.log_k = atn_alloc(cx, 700, sizeof(double));
    CHECK(tail.q && tail.k && tail.log_k);
    memcpy(tail.q, s.f.q + 1800, 300 * sizeof(double));
    memcpy(tail.k, s.f.k, 2100 * sizeof(double));
    memcpy(tail.log_k, s.f.log_k, 700 * sizeof(double));
    CHECK_OK(atn_features_plan(cx, &s.z.head[0], &s.f, 0, &p));
    CHECK_OK(p.op.kind->apply(cx, &s.z.head[0], p.op.state, whole, "test"));
    atn_plan_release(cx, &p);
    h = s.z.head[0];
    h.nq = 100;
    h.q = (atn_cmat){atn_crow(h.q, 600), 100, h.q.cols, h.q.ld};
    h.sight.offset = 600;
    CHECK_OK(atn_features_plan(cx, &h, &tail, 0, &p));
    CHECK_OK(p.op.kind->apply(cx, &h, p.op.state, part, "test"));
    for (int e = 0; e < 500; e++) CHECK_NEAR(part[e], whole[3000 + e], 1e-12);
    atn_plan_release(cx, &p);
    zoo_free(&s.z);
}

/* Splitting the features: un-normalised sums add up. */
static void splitting(atn_ctx *cx)
{
    const way w = {100, 100, 0, 4, true, .normalise = true};
    double sums[3][100 * 6], log[100];
    scene s, t;

    set(cx, &s, &w, 12);
    set(cx, &t, &w, 12);
    CHECK_OK(atn_features_sums(cx, &s.z.head[0], &s.f, true, sums[0], log, "test"));
    for (int half = 0; half < 2; half++) {
        for (int e = 0; e < 400; e++)
            t.f.q[e] = (e % 4 < 2) == (half == 0) ? s.f.q[e] : 0;
        CHECK_OK(atn_features_sums(cx, &t.z.head[0], &t.f, true, sums[1 + half], log,
                                   "test"));
    }
    for (int e = 0; e < 600; e++)
        CHECK_NEAR(sums[1][e] + sums[2][e], sums[0][e], 1e-12);
    CHECK_NEAR(log[7], 0, 0);
    atn_features_release(cx, &s.f);
    atn_features_release(cx, &t.f);
    zoo_free(&s.z);
    zoo_free(&t.z);
}

/* Rows 0 and 2 have no weight at all, row 3 one that cancels; row 1 is fine. */
static void vanishing(atn_ctx *cx)
{
    static const double q[] = {0, 0, 1, 0, 0, 0, 1, 1};
    static const double k[] = {1, 1, 1, 1, 1, 1, 1, -3};
    scene s;
    atn_plan p = {0};
    double o[20];

    set(cx, &s, &(way){4, 4, 0, 2, false, .normalise = true}, 1);
    memcpy(s.f.q, q, sizeof q);
    memcpy(s.f.k, k, sizeof k);
    s.f.k[7] = -7; /* 4 + 1 + 1 + 1 - 7 = 0 */
    CHECK_OK(atn_features_plan(cx, &s.z.head[0], &s.f, 0, &p));
    CHECK_EQ(p.op.vanished, 3);
    CHECK_OK(p.op.kind->apply(cx, &s.z.head[0], p.op.state, o, "test"));
    for (int e = 0; e < 5; e++) CHECK(o[e] == 0 && o[10 + e] == 0);
    CHECK(o[5] != 0);
    atn_plan_release(cx, &p);
    zoo_free(&s.z);
}

static void threads(atn_ctx *cx)
{
    for (size_t k = 0; k < ATN_LEN(ways); k++) {
        static double o[2][700 * 5];
        const size_t size = (size_t)ways[k].nq * 5 * sizeof(double);

        for (int run = 0; run < 2; run++) {
            scene s;
            atn_plan p = {0};

            cx->threads = run ? 4 : 1;
            set(cx, &s, &ways[k], 8);
            CHECK_OK(atn_features_plan(cx, &s.z.head[0], &s.f, 0, &p));
            CHECK_OK(p.op.kind->apply(cx, &s.z.head[0], p.op.state, o[run], "test"));
            atn_plan_release(cx, &p);
            zoo_free(&s.z);
        }
        CHECK(memcmp(o[0], o[1], size) == 0);
    }
}

static void failing(atn_ctx *cx)
{
    const way w = {300, 300, 0, 2, true, .logs = true, .normalise = true};
    static double o[1500];
    atn_status st = ATN_MEMORY;

    for (long left = 0; st != ATN_OK; left++) {
        check_failing fail = {left};
        atn_plan p = {0};
        atn_ctx poor;
        scene s;

        atn_ctx_init(&poor);
        set(&poor, &s, &w, 2);
        poor.threads = 1 + (int)(left % 2);
        poor.alloc = (atn_allocator){check_failing_resize, &fail};
        st = atn_features_plan(&poor, &s.z.head[0], &s.f, 0, &p);
        if (st == ATN_OK)
            st = p.op.kind->apply(&poor, &s.z.head[0], p.op.state, o, "test");
        CHECK(st == ATN_OK || st == ATN_MEMORY);
        atn_plan_release(&poor, &p);
        zoo_free(&s.z);
        atn_ctx_release(&poor);
        CHECK_EQ(poor.in_use_here, 0);
    }
    (void)cx;
}

/* What it says that it takes, it takes at most. */
static void bytes(atn_ctx *cx)
{
    for (size_t k = 0; k < ATN_LEN(ways); k++) {
        static double o[700 * 5];
        scene s;
        atn_plan p = {0};
        atn_ctx small;

        set(cx, &s, &ways[k], 8);
        CHECK_OK(atn_features_plan(cx, &s.z.head[0], &s.f, 0, &p));
        atn_ctx_init(&small);
        small.threads = 2;
        small.mem_limit = (size_t)p.op.kind->bytes(&small, &s.z.head[0], p.op.state);
        CHECK_OK(p.op.kind->apply(&small, &s.z.head[0], p.op.state, o, "test"));
        atn_ctx_release(&small);
        atn_plan_release(cx, &p);
        zoo_free(&s.z);
    }
}

CHECK_MAIN({"meets loops", meets_loops}, {"random small cases", random_small},
           {"the mean of the keys", mean_of_keys}, {"running maximum", running_maximum},
           {"a chunk of queries", chunk_of_queries}, {"splitting features", splitting},
           {"vanishing rows", vanishing}, {"threads", threads},
           {"failing allocations", failing}, {"bytes", bytes})
