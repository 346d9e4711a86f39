/* tests/approx/lines_twin.h -- what a plan keeps of one head, and sums of its last
 * rows, written out: what minference and flexprefill are checked with. */
// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "tests/approx/zoo.h"

enum { LINES_N = 320 };

typedef struct lines_twin {
    zoo z;
    atn_idx nq, nk, first; /* the query at place i stands at position first + i */
    double *p;             /* [nq, nk] dense weights */
    double column[LINES_N], diagonal[LINES_N]; /* of the last rows */
} lines_twin;

static inline void lines_make(lines_twin *t, atn_idx nq, atn_idx nk, atn_idx window,
                              uint64_t seed)
{
    zoo_random(&t->z, 1, 1, nq, nk, seed);
    t->z.head[0].sight.window = window;
    t->nq = nq;
    t->nk = nk;
    t->first = nk - nq;
    t->p = malloc((size_t)(nq * nk) * sizeof *t->p);
    for (atn_idx i = 0; i < nq; i++) zoo_dense(&t->z, 0, i, t->p + i * nk);
}

static inline void lines_free(lines_twin *t)
{
    free(t->p);
    zoo_free(&t->z);
}

static inline bool lines_sees(const lines_twin *t, atn_idx i, atn_idx j)
{
    const atn_idx away = t->first + i - j, w = t->z.head[0].sight.window;

    return away >= 0 && (w == 0 || away < w);
}

static inline void lines_sum(lines_twin *t, atn_idx last)
{
    for (int x = 0; x < LINES_N; x++) t->column[x] = t->diagonal[x] = 0;
    for (atn_idx i = ATN_MAX(t->nq - last, 0); i < t->nq; i++)
        for (atn_idx j = 0; j < t->nk; j++)
            if (lines_sees(t, i, j)) {
                t->column[j] += t->p[i * t->nk + j];
                t->diagonal[t->first + i - j] += t->p[i * t->nk + j];
            }
}

/* The k best of x [n]: the first `forced` before all, then the larger, then the lower
 * place. */
static inline void lines_best(const double *x, atn_idx n, atn_idx k, atn_idx forced,
                              bool *out)
{
    for (atn_idx j = 0; j < n; j++) {
        atn_idx rank = 0;

        for (atn_idx c = 0; c < n; c++) {
            const bool above = c < forced && j < forced ? c < j
                               : c < forced             ? true
                               : j < forced             ? false
                                            : x[c] > x[j] || (x[c] == x[j] && c < j);

            rank += c != j && above;
        }
        out[j] = rank < k;
    }
}

/* Does the plan of the spec keep what `want` [nq, nk] says? */
static inline void lines_check(atn_ctx *cx, lines_twin *t, const char *spec,
                               bool as_published, const bool *want)
{
    atn_plan plan;
    atn_span *spans;

    t->z.in.as_published = as_published;
    t->z.in.head = t->z.head;
    CHECK_EQ(zoo_plan(cx, &t->z, spec, 0, &plan), 1);
    spans = malloc(sizeof *spans * (size_t)(plan.branch[0].part[0].pattern
                                                ? plan.branch[0].part[0].pattern->room
                                                : 1));
    for (atn_idx i = 0; i < t->nq; i++) {
        const atn_part *part = &plan.branch[0].part[0];
        const atn_idx n =
            part->all ? 0 : atn_pattern_keys(part->pattern, 0, t->first + i, spans);

        for (atn_idx j = 0; j < t->nk; j++) {
            bool in = part->all;

            for (atn_idx s = 0; s < n; s++) in |= spans[s].lo <= j && j < spans[s].hi;
            if (lines_sees(t, i, j) && in != want[i * t->nk + j])
                fail_msg("%s: row %lld, key %lld: %d", spec, (long long)i, (long long)j,
                         in);
        }
    }
    free(spans);
    atn_plan_release(cx, &plan);
}

/* Means of blocks at absolute positions of the rows of a tensor whose first row stands
 * at `first`, in double. */
static inline void lines_means(atn_cmat x, atn_idx first, atn_idx block, double *out)
{
    const atn_idx base = first / block;

    for (atn_idx b = base; b * block < first + x.rows; b++) {
        const atn_idx from = ATN_MAX(b * block, first);
        const atn_idx to = ATN_MIN((b + 1) * block, first + x.rows);

        for (atn_idx c = 0; c < x.cols; c++) {
            double sum = 0;

            for (atn_idx i = from; i < to; i++)
                sum += (double)atn_crow(x, i - first)[c];
            out[(b - base) * x.cols + c] = sum / (double)(to - from);
        }
    }
}
