/* tests/approx/block_cases.h -- small layers with corners, and methods on them: the
 * kept keys of all rows against a brute force of the test, threads, allocations. */
// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "tests/approx/zoo.h"

enum { CASES = 40 };

/* One token, chunks of queries, sliding windows, groups; of odd `trial` all numbers are
 * quarters, so that scores tie. */
static inline void case_layer(zoo *z, int trial)
{
    static const int keys[] = {24, 1, 33, 7, 2, 40, 17, 12};
    static const int heads[] = {1, 4, 2, 3}, groups[] = {1, 2, 2, 1};
    static const int windows[] = {0, 0, 9, 0, 3};
    const int nk = keys[trial % 8], shape = trial / 2 % 4;
    const int nq = trial % 3 == 0 ? (nk + 2) / 3 : nk;

    zoo_random(z, heads[shape], groups[shape], nq, nk, (uint64_t)trial + 1);
    if (trial % 2 == 1) {
        for (int e = 0; e < heads[shape] * nq * 8; e++)
            z->q[e] = rintf(4 * z->q[e]) / 4;
        for (int e = 0; e < heads[shape] / groups[shape] * nk * 8; e++)
            z->k[e] = rintf(4 * z->k[e]) / 4;
    }
    for (int h = 0; h < heads[shape]; h++) z->head[h].sight.window = windows[trial % 5];
}

/* q_i . x of a head, in double. */
static inline double case_dot(const zoo *z, atn_idx head, atn_idx i, const double *x)
{
    const float *q = atn_crow(z->head[head].q, i);
    double sum = 0;

    for (atn_idx t = 0; t < z->head[head].q.cols; t++) sum += (double)q[t] * x[t];
    return sum;
}

/* Mean key of tokens [from, to). */
static inline void case_mean(const zoo *z, atn_idx head, atn_idx from, atn_idx to,
                             double *x)
{
    for (atn_idx t = 0; t < z->head[head].k.cols; t++) {
        x[t] = 0;
        for (atn_idx j = from; j < to; j++)
            x[t] += (double)atn_crow(z->head[head].k, j)[t];
        x[t] /= (double)(to - from);
    }
}

/* Marks the k best of n scores in keep; -INFINITY is none, the lower index first. */
static inline void case_best(const double *score, int n, int k, bool *keep)
{
    for (int c = 0; c < n; c++) keep[c] = false;
    for (; k > 0; k--) {
        int best = -1;

        for (int c = 0; c < n; c++)
            if (!keep[c] && score[c] > -INFINITY &&
                (best < 0 || score[c] > score[best]))
                best = c;
        if (best < 0) return;
        keep[best] = true;
    }
}

/* The keys [nk] that row i of a head keeps. */
typedef void case_want(const zoo *z, atn_idx head, atn_idx i, const void *p,
                       bool *want);

typedef struct case_rule {
    const char *spec;
    case_want *want;
    const void *p; /* handed to it */
} case_rule;

/* The rows of a plan are dense attention over the keys wanted, renormalised. */
static inline void case_check_head(atn_ctx *cx, const zoo *z, const atn_plan *plan,
                                   atn_idx head, const case_rule *r)
{
    const atn_head *h = &z->head[head];

    for (atn_idx i = 0; i < h->nq; i++) {
        double w[ZOO_MOST], a[ZOO_MOST], mass = 0;
        bool keep[ZOO_MOST] = {false};

        CHECK_OK(atn_plan_rows(cx, h, plan, i, 1, w));
        zoo_dense(z, head, i, a);
        r->want(z, head, i, r->p, keep);
        for (atn_idx j = 0; j < h->nk; j++) mass += keep[j] ? a[j] : 0;
        for (atn_idx j = 0; j < h->nk; j++)
            if ((w[j] != 0) != (keep[j] && a[j] > 0) ||
                (w[j] != 0 && fabs(w[j] - a[j] / mass) > 1e-9))
                fail_msg("%s, head %lld, row %lld, key %lld: weight %g, %s", r->spec,
                         (long long)head, (long long)i, (long long)j, w[j],
                         keep[j] ? "is to be kept" : "is not");
    }
}

static inline void case_rows(atn_ctx *cx, const zoo *z, const char *spec,
                             case_want *want, const void *p)
{
    const case_rule r = {spec, want, p};
    atn_idx n;

    for (atn_idx first = 0; first < z->in.heads; first += n) {
        atn_plan plans[ZOO_HEADS_MOST];

        n = zoo_plan(cx, z, spec, first, plans);
        for (atn_idx k = 0; k < n; k++)
            case_check_head(cx, z, &plans[k], first + k, &r);
        zoo_release(cx, plans, n);
    }
}

/* The first unit planned by one thread and by four: the same weights, bit by bit, the
 * same counts. */
static inline void case_threads(atn_ctx *cx, const zoo *z, const char *spec)
{
    const int before = cx->threads;
    atn_plan one[ZOO_HEADS_MOST], four[ZOO_HEADS_MOST];
    atn_idx n;

    cx->threads = 1;
    n = zoo_plan(cx, z, spec, 0, one);
    cx->threads = 4;
    zoo_plan(cx, z, spec, 0, four);
    for (atn_idx h = 0; h < n; h++) {
        CHECK(one[h].index_flops == four[h].index_flops);
        CHECK(one[h].index_bytes == four[h].index_bytes);
        CHECK_EQ(one[h].ties, four[h].ties);
        for (atn_idx i = 0; i < z->head[h].nq; i++) {
            double a[ZOO_MOST], b[ZOO_MOST];

            CHECK_OK(atn_plan_rows(cx, &z->head[h], &one[h], i, 1, a));
            CHECK_OK(atn_plan_rows(cx, &z->head[h], &four[h], i, 1, b));
            CHECK(memcmp(a, b, (size_t)z->head[h].nk * sizeof *a) == 0);
        }
    }
    zoo_release(cx, one, n);
    zoo_release(cx, four, n);
    cx->threads = before;
}

/* The plan of the first unit is refused with `code` and a message with `part`. */
static inline void case_refused(atn_ctx *cx, const zoo *z, const char *id,
                                const char *params, atn_status code, const char *part)
{
    atn_plan plans[ZOO_HEADS_MOST];
    atn_choice c;

    CHECK_OK(atn_choice_read(cx, id, params, &c));
    CHECK_FAILS(atn_choice_plan(cx, &c, &z->in, 0, plans), code, part);
}
