/* Largest dot products against loops in double: ties, near ties, signs, threads. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "approx/dots.h"
#include "tests/approx/zoo.h"

enum { N = 300, M = 37, D = 12, K = 40 };

static double dot(const float *x, const float *y)
{
    double s = 0;

    for (int c = 0; c < D; c++) s += (double)x[c] * (double)y[c];
    return s;
}

/* Rows that repeat, and rows that differ in the last bit of one number. */
static void fill(float *x, int rows, uint64_t seed)
{
    for (int e = 0; e < rows * D; e++) x[e] = (float)(zoo_uniform(&seed) - .5);
    for (int i = 7; i < rows; i += 7) {
        memcpy(x + i * D, x + (i - 5) * D, D * sizeof *x);
        if (i % 2) x[i * D + i % D] = nextafterf(x[i * D + i % D], 1);
    }
}

static int nearest(const float *x, const float *y, int m, bool signs)
{
    double most = -INFINITY;
    int best = -1;

    for (int c = 0; c < (signs ? 2 * m : m); c++) {
        const double s = c < m ? dot(x, y + c * D) : -dot(x, y + (c - m) * D);

        if (s > most) {
            most = s;
            best = c;
        }
    }
    return best;
}

static void nearest_rows(atn_ctx *cx)
{
    static float x[N * D], y[M * D];
    static int32_t label[N];
    const atn_cmat xs = {x, N, D, D}, ys = {y, M, D, D};

    fill(x, N, 1);
    fill(y, M, 2);
    for (int signs = 0; signs < 2; signs++) {
        CHECK_OK(atn_dots_nearest(cx, xs, ys, signs, label, "test"));
        for (int i = 0; i < N; i++) CHECK_EQ(label[i], nearest(x + i * D, y, M, signs));
    }
    memset(x, 0, sizeof x); /* all equal: the first */
    CHECK_OK(atn_dots_nearest(cx, xs, ys, true, label, "test"));
    for (int i = 0; i < N; i++) CHECK_EQ(label[i], 0);
}

static void best_rows(atn_ctx *cx)
{
    static float x[N * D], y[M * D];
    static int32_t best[M * N];
    static bool taken[N];
    int64_t ties[M];

    fill(x, N, 3);
    fill(y, M, 4);
    for (int k = 1; k <= N; k = 3 * k + 1) {
        CHECK_OK(atn_dots_best(cx, (atn_cmat){x, N, D, D}, (atn_cmat){y, M, D, D},
                               &(atn_dots_list){k, best, ties}, "test"));
        for (int c = 0; c < M; c++) {
            double last = INFINITY;
            int left = 0;

            memset(taken, 0, sizeof taken);
            for (int e = 0; e < k; e++) { /* one by one */
                int at = -1;

                for (int i = 0; i < N; i++)
                    if (!taken[i] && (at < 0 || dot(x + i * D, y + c * D) >
                                                    dot(x + at * D, y + c * D)))
                        at = i;
                taken[at] = true;
                last = dot(x + at * D, y + c * D);
            }
            for (int i = 0, e = 0; i < N; i++) {
                if (taken[i]) CHECK_EQ(best[c * k + e++], i);
                left += !taken[i] && dot(x + i * D, y + c * D) == last;
            }
            CHECK_EQ(ties[c], left);
        }
    }
}

/* Products beyond float: an answer, no crash. */
static void huge_numbers(atn_ctx *cx)
{
    static float x[N * D], y[M * D];
    static int32_t label[N], best[M * 5];
    int64_t ties[M];

    for (int e = 0; e < N * D; e++) x[e] = e % 3 ? 3e38f : -3e38f;
    for (int e = 0; e < M * D; e++) y[e] = e % 5 ? 3e38f : -3e38f;
    CHECK_OK(atn_dots_nearest(cx, (atn_cmat){x, N, D, D}, (atn_cmat){y, M, D, D}, true,
                              label, "test"));
    for (int i = 0; i < N; i++) CHECK(label[i] >= 0 && label[i] < 2 * M);
    CHECK_OK(atn_dots_best(cx, (atn_cmat){x, N, D, D}, (atn_cmat){y, M, D, D},
                           &(atn_dots_list){5, best, ties}, "test"));
    for (int e = 0; e < M * 5; e++) CHECK(best[e] >= 0 && best[e] < N);
}

static void threads_do_not_matter(atn_ctx *cx)
{
    static float x[N * D], y[M * D];
    static int32_t one[N], four[N];

    fill(x, N, 5);
    fill(y, M, 6);
    cx->threads = 1;
    CHECK_OK(atn_dots_nearest(cx, (atn_cmat){x, N, D, D}, (atn_cmat){y, M, D, D}, true,
                              one, "test"));
    cx->threads = 4;
    CHECK_OK(atn_dots_nearest(cx, (atn_cmat){x, N, D, D}, (atn_cmat){y, M, D, D}, true,
                              four, "test"));
    CHECK(memcmp(one, four, sizeof one) == 0);
}

CHECK_MAIN({"nearest rows", nearest_rows}, {"best rows", best_rows},
           {"huge numbers", huge_numbers},
           {"threads do not matter", threads_do_not_matter})
