/* tests/approx/test_recycled.c -- a few keys for many steps, all of them now and
 * then. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "tests/approx/history.h"

static void golden(atn_ctx *cx)
{
    static const char spec[] = "recycled:prompt=12,k=4,stride=4";
    double w[24];
    zoo z;

    zoo_second(&z);
    zoo_golden(cx, &z, spec, 0, 12, "0,2,4,6,12", .386398, 4.754853);
    zoo_golden(cx, &z, spec, 0, 14, "0,2,4,6,14", .260452, 6.837618);
    zoo_golden(cx, &z, spec, 0, 16, "1,5,9,11,16", .267593, 8.226822);
    for (int i = 15; i < 24; i += 4) { /* full steps */
        zoo_row(cx, &z, spec, 1, i, w);
        for (int j = 0; j < 24; j++) CHECK_EQ(w[j] != 0, j <= i);
    }
    zoo_free(&z);
}

/* ---- a twin ---- */

typedef struct sizes {
    long prompt, k, every;
    bool dynamic;
    double similar;
} sizes;

/* alive <- the k best of it by score. */
static void best(const double *score, bool *alive, long n, long k)
{
    bool stays[ZOO_MOST];

    for (long j = 0; j < n; j++) {
        long beaten = 0;

        for (long l = 0; l < n; l++)
            beaten +=
                alive[l] && (score[l] > score[j] || (score[l] == score[j] && l < j));
        stays[j] = alive[j] && beaten < k;
    }
    memcpy(alive, stays, (size_t)n);
}

static double cosine(const zoo *z, long a, long b)
{
    double mean = 0;

    for (atn_idx h = 0; h < z->in.heads; h++) {
        const float *x = atn_crow(z->head[h].q, a), *y = atn_crow(z->head[h].q, b);
        double xy = 0, xx = 0, yy = 0;

        for (atn_idx c = 0; c < z->head[h].q.cols; c++) {
            xy += (double)x[c] * (double)y[c];
            xx += (double)x[c] * (double)x[c];
            yy += (double)y[c] * (double)y[c];
        }
        mean += xy / sqrt(xx * yy);
    }
    return mean / (double)z->in.heads;
}

static void twin_sets(const zoo *z, atn_idx head, bool *sets, const void *arg)
{
    const sizes *s = arg;
    const atn_idx first = head / z->in.group * z->in.group;
    const long n = (long)z->head[head].nk, w = (long)z->head[head].sight.window;
    bool alive[ZOO_MOST] = {0};
    long full = s->prompt - 1;

    for (long t = 0; t < n; t++) {
        double score[ZOO_MOST] = {0}, a[ZOO_MOST];
        const long step = t - s->prompt + 1;
        bool all = t < s->prompt;

        if (!all)
            all = step % s->every == 0 &&
                  (!s->dynamic || cosine(z, t, full) < s->similar);
        for (long j = 0; j <= t; j++) alive[j] |= all || j == t;
        for (long j = 0; w && j <= t - w; j++) alive[j] = false;
        memcpy(sets + t * n, alive, (size_t)(t + 1));
        for (atn_idx g = first; g < first + z->in.group; g++) {
            double sum = 0;

            zoo_dense(z, g, t, a);
            for (long j = 0; j <= t; j++) sum += alive[j] ? a[j] : 0;
            for (long j = 0; j <= t; j++) score[j] += alive[j] ? a[j] / sum : 0;
        }
        if (t >= s->prompt - 1) best(score, alive, t + 1, s->k);
        if (all) full = t;
    }
}

static void against_the_twin(atn_ctx *cx)
{
    uint64_t seed = 21;

    for (int trial = 0; trial < 120; trial++) {
        const atn_idx n = 1 + (atn_idx)(34 * zoo_uniform(&seed));
        const atn_idx group = trial % 2 ? 2 : 1;
        const sizes s = {.prompt = 1 + (long)((double)n * zoo_uniform(&seed)),
                         .k = 1 + (long)(9 * zoo_uniform(&seed)),
                         .every = 1 + (long)(7 * zoo_uniform(&seed)),
                         .dynamic = trial % 3 == 0,
                         .similar = 1.4 * zoo_uniform(&seed) - .7};
        char spec[160];
        zoo z;

        snprintf(spec, sizeof spec,
                 "recycled:prompt=%ld,k=%ld,form=%s,stride=%ld,check=%ld,similar=%.17g",
                 s.prompt, s.k, s.dynamic ? "dynamic" : "fixed", s.every, s.every,
                 s.similar);
        zoo_random(&z, 4, group, n, n, seed);
        if (trial % 5 == 0)
            for (int h = 0; h < 4; h++) z.head[h].sight.window = 1 + trial % 11;
        history_twin(cx, &z, spec, twin_sets, &s);
        zoo_free(&z);
    }
}

/* ---- limits and properties ---- */

static void limits(atn_ctx *cx)
{
    double w[24];
    int kept = 0;
    zoo z;

    zoo_second(&z);
    zoo_row(cx, &z, "recycled:prompt=2,k=1,stride=1", 0, 17, w);
    zoo_check_set(&z, 0, w, "0-17");
    zoo_row(cx, &z, "recycled:prompt=2", 0, 23, w); /* 4096 keys */
    zoo_check_set(&z, 0, w, "0-23");
    zoo_row(cx, &z, "recycled:prompt=4,k=2,form=dynamic,similar=2,check=1", 0, 23, w);
    zoo_check_set(&z, 0, w, "0-23");
    zoo_row(cx, &z, "recycled:prompt=4,k=2,form=dynamic,similar=-1,check=1", 0, 23, w);
    for (int j = 0; j < 24; j++) kept += w[j] != 0;
    CHECK_EQ(kept, 3);
    zoo_free(&z);
}

/* Equal queries: what the small cache holds of a row falls only by new keys. */
static void equal_queries_recover_the_same(atn_ctx *cx)
{
    double w[24], a[24], first = 0;
    zoo z;

    zoo_second(&z);
    z.in.heads = z.in.group = 1;
    for (int i = 1; i < 24; i++) memcpy(z.q + 4 * i, z.q, 4 * sizeof *z.q);
    for (int j = 12; j < 24; j++) /* new keys weigh nothing */
        for (int c = 0; c < 4; c++) z.k[4 * j + c] = -40 * z.q[c];
    for (int i = 12; i < 20; i++) {
        double mass = 0;

        zoo_row(cx, &z, "recycled:prompt=12,k=3,stride=50", 0, i, w);
        zoo_dense(&z, 0, i, a);
        for (int j = 0; j <= i; j++) mass += w[j] != 0 ? a[j] : 0;
        if (i == 12) first = mass;
        CHECK_NEAR(mass, first, 1e-9);
    }
    zoo_free(&z);
}

static void steps(atn_ctx *cx)
{
    const atn_idx cuts[] = {12, 13, 16, 24};
    atn_plan p[2];
    atn_choice c;
    zoo z, part;

    zoo_second(&z);
    history_steps(cx, &z, "recycled:prompt=12,k=4,stride=4", cuts, 4);
    history_cut(&z, 11, 24, &part); /* row 11 is enough */
    zoo_plan(cx, &part, "recycled:prompt=12,k=4,stride=4", 0, p);
    zoo_release(cx, p, 2);
    history_cut(&z, 12, 24, &part);
    CHECK_OK(atn_choice_read(cx, "recycled", "prompt=12", &c));
    CHECK_FAILS(atn_choice_plan(cx, &c, &part.in, 0, p), ATN_DATA,
                "no query of token 11");
    zoo_free(&z);
}

static void costs(atn_ctx *cx)
{
    atn_plan p[2];
    zoo z;

    zoo_second(&z);
    zoo_plan(cx, &z, "recycled:prompt=12,k=4,stride=12", 0, p);
    /* row 11 again, 8 flop a logit; 11 rows of five keys; the full row 23 again. A
     * weight is added by each of two heads, a sum compared by both together. */
    for (int h = 0; h < 2; h++) {
        CHECK_NEAR(p[h].index_flops, 12 * (8 + 1.5) + 11 * 5 * 1.5 + 24 * (8 + 1.5), 0);
        CHECK_NEAR(p[h].index_bytes, 2 * 1.5 * (12 + 11 * 5 + 24), 0);
    }
    zoo_release(cx, p, 2);
    zoo_free(&z);
}

static void robust(atn_ctx *cx)
{
    zoo z;

    zoo_random(&z, 2, 2, 50, 50, 3);
    history_robust(cx, &z, "recycled:prompt=20,k=6,stride=7");
    history_robust(cx, &z, "recycled:prompt=20,k=6,form=dynamic,check=2");
    zoo_free(&z);
}

CHECK_MAIN({"golden", golden}, {"against the twin", against_the_twin},
           {"limits", limits},
           {"equal queries recover the same", equal_queries_recover_the_same},
           {"steps", steps}, {"costs", costs}, {"robust", robust})
