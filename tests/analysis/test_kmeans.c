/* tests/analysis/test_kmeans.c -- Lloyd's clusters. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "check.h"

#include "analysis/kmeans.h"
#include "core/rng.h"

enum { MOST = 400 };

static atn_cmat view(const float *x, atn_idx n, atn_idx d)
{
    const atn_cmat m = {x, n, d, d};

    return m;
}

/* On a line, 9 0 8 1 0 9 in two clusters: the first centres are places floor(1.5) and
 * floor(4.5), both 0, so that all goes to the lower; that moves to 4.5, where 9, 8 and 9 find it
 * nearer; then 26/3 and 1/3. Labels 0 1 0 1 1 0. One round stops at the first. */
static void golden(atn_ctx *cx)
{
    const float x[] = {9, 0, 8, 1, 0, 9};
    const int32_t want[] = {0, 1, 0, 1, 1, 0};
    int32_t label[6];

    CHECK_OK(atn_kmeans(cx, view(x, 6, 1), 2, 50, label));
    for (int i = 0; i < 6; i++) CHECK_EQ(label[i], want[i]);
    CHECK_OK(atn_kmeans(cx, view(x, 6, 1), 2, 1, label));
    for (int i = 0; i < 6; i++) CHECK_EQ(label[i], 0);
    /* centres 1 (place 1) and 3 (place 2): 2 is as near to both and goes to the lower */
    CHECK_OK(atn_kmeans(cx, view((const float[]){2, 1, 3}, 3, 1), 2, 1, label));
    CHECK_EQ(label[0], 0);
    CHECK_EQ(label[1], 0);
    CHECK_EQ(label[2], 1);
}

/* By definition, in double. */
static void dense_kmeans(const float *x, int n, int d, int m, int rounds, int *label)
{
    double *c = malloc((size_t)(m * d) * sizeof *c);

    for (int k = 0; k < m; k++)
        for (int e = 0; e < d; e++)
            c[k * d + e] = (double)x[(int)floor((k + .5) * n / m) * d + e];
    for (int i = 0; i < n; i++) label[i] = -1;
    for (int round = 0; round < rounds; round++) {
        bool moved = false;

        for (int i = 0; i < n; i++) {
            double least = INFINITY;
            int best = 0;

            for (int k = 0; k < m; k++) {
                double far = 0;
                for (int e = 0; e < d; e++)
                    far += ((double)x[i * d + e] - c[k * d + e]) *
                           ((double)x[i * d + e] - c[k * d + e]);
                if (far < least) {
                    least = far;
                    best = k;
                }
            }
            moved |= best != label[i];
            label[i] = best;
        }
        if (!moved) break;
        for (int k = 0; k < m; k++) {
            double sum[64] = {0}, members = 0;

            for (int i = 0; i < n; i++) {
                if (label[i] != k) continue;
                members++;
                for (int e = 0; e < d; e++) sum[e] += (double)x[i * d + e];
            }
            for (int e = 0; e < d && members > 0; e++) c[k * d + e] = sum[e] / members;
        }
    }
    free(c);
}

/* Random vectors, far from the origin too, where float32 products say little. */
static void dense_twin(atn_ctx *cx)
{
    static const int shapes[][3] = {{7, 3, 3},    {50, 5, 25},    {200, 16, 6},
                                    {390, 2, 40}, {101, 33, 101}, {64, 8, 1}};

    for (int trial = 0; trial < 12; trial++) {
        const int n = shapes[trial % 6][0], d = shapes[trial % 6][1],
                  m = shapes[trial % 6][2];
        atn_rng r = atn_rng_stream(cx->seed, "kmeans", trial, 0);
        float *x = malloc((size_t)(n * d) * sizeof *x);
        int32_t label[MOST];
        int want[MOST];

        for (int i = 0; i < n * d; i++)
            x[i] = (float)(atn_rng_normal(&r) + (trial < 6 ? 0 : 300));
        dense_kmeans(x, n, d, m, 50, want);
        CHECK_OK(atn_kmeans(cx, view(x, n, d), m, 50, label));
        for (int i = 0; i < n; i++) CHECK_EQ(label[i], want[i]);
        free(x);
    }
}

/* Groups far apart, in any order, are found when every group has a first centre. */
static void groups_are_found(atn_ctx *cx)
{
    enum { N = 60, M = 6 };
    atn_rng r = atn_rng_stream(cx->seed, "groups", 0, 0);
    float x[N * 2];
    int32_t label[N];

    for (int i = 0; i < N; i++) { /* places floor((c + .5) 10) are of group c */
        const int group = i / 10;
        x[2 * i] = (float)(100 * group + atn_rng_normal(&r));
        x[2 * i + 1] = (float)(50 * (group % 2) + atn_rng_normal(&r));
    }
    CHECK_OK(atn_kmeans(cx, view(x, N, 2), M, 50, label));
    for (int i = 0; i < N; i++) CHECK_EQ(label[i], i / 10);
}

static void memory_fails_clean(atn_ctx *cx)
{
    float x[MOST] = {0};
    int32_t label[MOST];
    const atn_arena_mark mark = atn_arena_save(cx);

    cx->mem_limit = 1000;
    CHECK_FAILS(atn_kmeans(cx, view(x, MOST, 1), 100, 5, label), ATN_MEMORY, "");
    CHECK(atn_arena_save(cx).used == mark.used);
}

/* The clock is asked within a round, also where no task around it ends. */
static void stops_in_time(atn_ctx *cx)
{
    float x[MOST];
    int32_t label[MOST];

    for (int i = 0; i < MOST; i++) x[i] = (float)(i * 37 % MOST);
    cx->deadline = 1e-3;
    CHECK_FAILS(atn_kmeans(cx, view(x, MOST, 1), 100, 5, label), ATN_TERMINATED,
                "clusters: stopped by the time limit");
    cx->deadline = 0;
    atn_cancel(2);
    CHECK_FAILS(atn_kmeans(cx, view(x, MOST, 1), 100, 5, label), ATN_INTERRUPTED,
                "SIGINT");
    atn_cancel(0);
    CHECK_OK(atn_kmeans(cx, view(x, MOST, 1), 100, 5, label));
}

CHECK_MAIN({"golden", golden}, {"dense twin", dense_twin},
           {"groups are found", groups_are_found}, {"stops in time", stops_in_time},
           {"memory fails clean", memory_fails_clean})
