/* tests/approx/test_stream_cache.c -- positions as in StreamingLLM's cache. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "tests/approx/history.h"

enum { N = 30, D = 6, R = 2 }; /* four numbers turn, two do not */
static const double turn[R] = {1, .13};

/* x turned by `by` positions. */
static void turned(const float *x, double by, double *out)
{
    for (int c = 0; c < D; c++) out[c] = (double)x[c];
    for (int e = 0; e < R; e++) {
        const double a = by * turn[e];

        out[e] = (double)x[e] * cos(a) - (double)x[e + R] * sin(a);
        out[e + R] = (double)x[e] * sin(a) + (double)x[e + R] * cos(a);
    }
}

/* A layer whose queries and keys are `pre` turned by their positions. */
static void make(zoo *z, float *pre_q, float *pre_k, uint64_t seed)
{
    double x[D];

    zoo_shape(z, 1, 1, N, N, D, 1);
    for (int e = 0; e < N * D; e++) {
        pre_q[e] = (float)(3 * zoo_uniform(&seed) - 1.5);
        pre_k[e] = (float)(3 * zoo_uniform(&seed) - 1.5);
    }
    for (int i = 0; i < N; i++) {
        turned(pre_q + i * D, i, x);
        for (int c = 0; c < D; c++) z->q[i * D + c] = (float)x[c];
        turned(pre_k + i * D, i, x);
        for (int c = 0; c < D; c++) z->k[i * D + c] = (float)x[c];
        z->v[i] = (float)i;
    }
    z->in.turn = turn;
    z->in.rotary = R;
}

/* The cache by hand: the keys kept in order, key at place c turned by c, the query
 * by the last place. */
static void against_a_cache(atn_ctx *cx)
{
    float pre_q[N * D], pre_k[N * D];
    zoo z;

    make(&z, pre_q, pre_k, 3);
    for (long sink = 0; sink < 5; sink++)
        for (long window = 1; window < 9; window += 3) {
            char spec[64];

            snprintf(spec, sizeof spec, "stream_cache:sink=%ld,window=%ld", sink,
                     window);
            for (long i = 0; i < N; i++) {
                double w[N], want[N] = {0}, q[D], k[D], sum = 0;
                long kept = 0, place = 0;

                for (long j = 0; j <= i; j++) kept += j < sink || i - j < window;
                turned(pre_q + i * D, (double)(kept - 1), q);
                for (long j = 0; j <= i; j++) {
                    double s = 0;

                    if (!(j < sink || i - j < window)) continue;
                    turned(pre_k + j * D, (double)place++, k);
                    for (int c = 0; c < D; c++) s += q[c] * k[c];
                    sum += want[j] = exp(s / sqrt(D));
                }
                zoo_row(cx, &z, spec, 0, i, w);
                for (int j = 0; j < N; j++) CHECK_NEAR(w[j], want[j] / sum, 1e-6);
            }
        }
    zoo_free(&z);
}

/* Rows that the cache has room for, and models without a rotary embedding, are those of
 * the pattern stream. */
static void limits(atn_ctx *cx)
{
    float pre_q[N * D], pre_k[N * D];
    double a[N], b[N];
    zoo z;

    make(&z, pre_q, pre_k, 4);
    for (int i = 0; i < N; i++) {
        bool same = true;

        zoo_row(cx, &z, "stream_cache:sink=3,window=5", 0, i, a);
        zoo_row(cx, &z, "stream:sink=3,window=5", 0, i, b);
        for (int j = 0; j < N; j++) same &= fabs(a[j] - b[j]) < 1e-9;
        CHECK_EQ(same, i < 8);
    }
    z.in.rotary = 0;
    z.in.turn = NULL;
    for (int i = 0; i < N; i++) {
        zoo_row(cx, &z, "stream_cache:sink=3,window=5", 0, i, a);
        zoo_row(cx, &z, "stream:sink=3,window=5", 0, i, b);
        CHECK(memcmp(a, b, sizeof a) == 0);
    }
    zoo_row(cx, &z, "stream_cache", 0, 29, a); /* room for all */
    zoo_check_set(&z, 0, a, "0-29");
    zoo_free(&z);
    zoo_first(&z); /* the mask form of the card */
    zoo_golden(cx, &z, "stream_cache:sink=1,window=3", 0, 7, "0,5-7", .690788,
               3.848321);
    zoo_free(&z);
}

/* A chunk of queries stands at the positions of the whole. */
static void chunks(atn_ctx *cx)
{
    static const char spec[] = "stream_cache:sink=2,window=4";
    float pre_q[N * D], pre_k[N * D];
    double a[N], b[N];
    zoo z, part;

    make(&z, pre_q, pre_k, 5);
    history_cut(&z, 11, N, &part);
    for (int i = 11; i < N; i++) {
        zoo_row(cx, &z, spec, 0, i, a);
        zoo_row(cx, &part, spec, 0, i - 11, b);
        CHECK(memcmp(a, b, sizeof a) == 0);
    }
    zoo_free(&z);
}

static void refusals(atn_ctx *cx)
{
    float pre_q[N * D], pre_k[N * D];
    atn_choice c;
    atn_plan p;
    zoo z;

    make(&z, pre_q, pre_k, 6);
    CHECK_OK(atn_choice_read(cx, "stream_cache", NULL, &c));
    z.in.rotary = -1;
    CHECK_FAILS(atn_choice_check(cx, &c, &z.in), ATN_DATA,
                "stream_cache turns queries to other positions, and the capture does "
                "not say how its model does that (capture the model itself)");
    z.in.rotary = 4;
    CHECK_FAILS(atn_choice_plan(cx, &c, &z.in, 0, &p), ATN_DATA,
                "4 pairs of numbers turn, and queries of layer 0 have 6 numbers");
    z.in.rotary = R;
    z.head[0].alibi_slope = .5;
    CHECK_FAILS(atn_choice_plan(cx, &c, &z.in, 0, &p), ATN_DATA,
                "layer 0 adds a bias by distance");
    CHECK_FAILS(atn_choice_read(cx, "stream_cache", "window=0", &c), ATN_USAGE,
                "window");
    zoo_free(&z);
}

static void robust(atn_ctx *cx)
{
    float pre_q[N * D], pre_k[N * D];
    atn_plan p;
    zoo z;

    make(&z, pre_q, pre_k, 7);
    history_robust(cx, &z, "stream_cache:sink=2,window=4");
    zoo_plan(cx, &z, "stream_cache:sink=2,window=4", 0, &p);
    CHECK_NEAR(p.index_flops, 6 * N * R, 0);
    CHECK(!atn_plan_is_mask(&p));
    zoo_release(cx, &p, 1);
    zoo_free(&z);
}

CHECK_MAIN({"against a cache", against_a_cache}, {"limits", limits}, {"chunks", chunks},
           {"refusals", refusals}, {"robust", robust})
