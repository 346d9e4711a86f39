/* tests/approx/operator_checks.h -- what is asked of every method that plans an
 * operator: the fast way is the plain one on all masks; chunks of queries; nothing from
 * later keys; degenerate heads; threads; failing allocations. */
// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "tests/approx/g8.h"

/* Weights w [nq, nk] and outputs o [nq, dv] of head 0, in double; NULL = not wanted. */
static inline void op_run(atn_ctx *cx, const zoo *z, const char *spec, double *w,
                          double *o)
{
    const atn_head *h = &z->head[0];
    atn_plan plans[ZOO_HEADS_MOST];
    const atn_idx n = zoo_plan(cx, z, spec, 0, plans);
    const atn_operator *op = &plans[0].op;

    CHECK(op->kind);
    if (w) CHECK_OK(atn_plan_rows(cx, h, &plans[0], 0, h->nq, w));
    if (o) CHECK_OK(op->kind->apply(cx, h, op->state, o, "test"));
    for (atn_idx e = 0; o && e < h->nq * h->v.cols; e++) CHECK(isfinite(o[e]));
    zoo_release(cx, plans, n);
}

enum { OP_MOST = 160 };

/* apply = rows v, and weights are 0 where the mask shows nothing. */
static inline void op_same(atn_ctx *cx, const char *spec, unsigned sides)
{
    static double w[OP_MOST * OP_MOST], o[OP_MOST * 8];
    static const int shapes[][3] = {{97, 97, 0}, {1, 1, 0},    {130, 150, 0},
                                    {20, 97, 0}, {97, 97, 11}, {40, 150, 70}};

    for (size_t k = 0; k < 2 * ATN_LEN(shapes); k++) {
        const int *s = shapes[k / 2];
        zoo z;

        if (!(sides & (k % 2 ? ATN_CAUSAL : ATN_BIDIRECTIONAL))) continue;
        zoo_random(&z, 1, 1, s[0], s[1], 41 + k);
        zoo_causal(&z, k % 2);
        z.head[0].sight.window = s[2];
        op_run(cx, &z, spec, w, o);
        g8_same(&z, w, o, 1e-9);
        for (atn_idx i = 0; i < s[0]; i++) {
            atn_idx lo, hi;

            atn_sight_row(&z.head[0].sight, i, &lo, &hi);
            for (atn_idx j = 0; j < s[1]; j++)
                if (j < lo || j >= hi) CHECK(w[i * s[1] + j] == 0);
        }
        zoo_free(&z);
    }
}

/* Of a causal head: rows 40 .. of 60 by themselves, and rows below 30 whatever comes
 * after. */
static inline void op_causal(atn_ctx *cx, const char *spec)
{
    static double whole[60 * 5], part[20 * 5], other[60 * 5];
    zoo z;
    atn_head *h = &z.head[0];

    zoo_random(&z, 1, 1, 60, 60, 5);
    op_run(cx, &z, spec, NULL, whole);
    h->q = (atn_cmat){z.q + 40 * 8, 20, 8, 8};
    h->nq = 20;
    h->sight.offset = 40;
    op_run(cx, &z, spec, NULL, part);
    for (int e = 0; e < 100; e++) CHECK_NEAR(part[e], whole[200 + e], 1e-9);
    h->q = (atn_cmat){z.q, 60, 8, 8};
    h->nq = 60;
    h->sight.offset = 0;
    for (int e = 30 * 8; e < 60 * 8; e++) z.k[e] += 3;
    for (int e = 30 * 5; e < 60 * 5; e++) z.v[e] = 9;
    op_run(cx, &z, spec, NULL, other);
    CHECK(memcmp(whole, other, 150 * sizeof(double)) == 0);
    CHECK(whole[299] != other[299]);
    zoo_free(&z);
}

/* Zero queries, equal keys, logits of 1e4, zero keys: all numbers are finite. */
static inline void op_degenerate(atn_ctx *cx, const char *spec, unsigned sides)
{
    static double w[24 * 24], o[24 * 5];

    for (int way = 0; way < 10; way++) {
        zoo z;

        if (!(sides & (way & 1 ? ATN_CAUSAL : ATN_BIDIRECTIONAL))) continue;
        zoo_random(&z, 1, 1, 24, 24, 6);
        zoo_causal(&z, way & 1);
        for (int e = 0; e < 24 * 8; e++) {
            if (way / 2 == 0) z.q[e] = 0;
            if (way / 2 == 1) z.k[e] = z.k[e % 8];
            if (way / 2 == 2) z.q[e] *= 100, z.k[e] *= 100;
            if (way / 2 == 3) z.k[e] = 0;
            if (way / 2 == 4) z.q[e] *= -1e4f;
        }
        op_run(cx, &z, spec, w, o);
        for (int e = 0; e < 24 * 24; e++) CHECK(isfinite(w[e]));
        zoo_free(&z);
    }
}

/* The same bits on 1 and 4 threads. */
static inline void op_threads(atn_ctx *cx, const char *spec, unsigned sides)
{
    static double o[2][700 * 5];

    for (int way = 0; way < 2; way++) {
        zoo z;

        if (!(sides & (way ? ATN_CAUSAL : ATN_BIDIRECTIONAL))) continue;
        zoo_random(&z, 1, 1, 700, 700, 3);
        zoo_causal(&z, way);
        for (int run = 0; run < 2; run++) {
            cx->threads = run ? 4 : 1;
            op_run(cx, &z, spec, NULL, o[run]);
        }
        CHECK(memcmp(o[0], o[1], sizeof o[0]) == 0);
        zoo_free(&z);
    }
}

static inline void op_all(atn_ctx *cx, const char *spec, unsigned sides)
{
    op_same(cx, spec, sides);
    op_degenerate(cx, spec, sides);
    op_threads(cx, spec, sides);
}
