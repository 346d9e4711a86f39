/* tests/analysis/test_head_plans.c -- patterns of the heads of a captured layer, one by
 * one, and what choosing them cost. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "analysis/head_plans.h"

#include "stored_model.h"

enum { N = 24, D = 4, HEADS = 3, K = 3 };

typedef struct made {
    float q[HEADS * N * D], k[HEADS * N * D], v[HEADS * N * D];
    stored_model m;
} made;

static void make(atn_ctx *cx, made *x, atn_idx padding, bool broken)
{
    atn_rng r = atn_rng_stream(7, "test/head_plans", 0, 0);

    memset(x, 0, sizeof *x);
    for (int i = 0; i < HEADS * N * D; i++) {
        x->q[i] = (float)atn_rng_normal(&r);
        x->k[i] = (float)atn_rng_normal(&r);
        x->v[i] = (float)atn_rng_normal(&r);
    }
    if (broken) x->q[2 * N * D + 5] = NAN;
    x->m.layers = 1;
    x->m.layer[0] = (stored_layer){
        .heads = HEADS,
        .kv_heads = HEADS,
        .nq = N,
        .nk = N,
        .d = D,
        .dv = D,
        .scale = 0.5,
        .sight = {.causal = true, .key_first = padding, .key_last = padding ? N : 0},
        .q = x->q,
        .k = x->k,
        .v = x->v};
    store_model(cx, &x->m, "head_plans");
}

static bool sees(const atn_pattern *p, atn_idx i, atn_idx j)
{
    atn_span room[N + 1];
    const atn_idx n = atn_pattern_keys(p, 0, i, room);
    bool in = false;

    for (atn_idx s = 0; s < n; s++) in |= room[s].lo <= j && j < room[s].hi;
    return in;
}

/* Key j is among the K largest of the keys up to i of head h, without the padding: by
 * products in double. */
static bool taken(const made *x, int h, atn_idx padding, atn_idx i, atn_idx j)
{
    double logit[N];
    int before = 0;

    for (atn_idx c = padding; c <= i; c++) {
        logit[c] = 0;
        for (int e = 0; e < D; e++)
            logit[c] += (double)x->q[(h * N + i) * D + e] * x->k[(h * N + c) * D + e];
    }
    if (j > i) return false;
    for (atn_idx c = padding; c <= i; c++) before += logit[c] > logit[j];
    return before < K;
}

static void one_by_one(atn_ctx *cx)
{
    made *x = malloc(sizeof *x);

    for (atn_idx padding = 0; padding < 6; padding += 5) {
        atn_head_plans p;
        atn_from from;

        make(cx, x, padding, false);
        CHECK_OK(atn_from_read(cx, "topk:k=3", &from));
        CHECK_OK(atn_head_plans_make(cx, x->m.capture, 0, &from, NULL, &p));
        CHECK_EQ(p.n, HEADS);
        for (int h = 0; h < HEADS; h++) {
            CHECK_EQ(p.head[h]->frame.nk, N - padding);
            for (atn_idx i = padding; i < N; i++)
                for (atn_idx j = padding; j < N; j++)
                    CHECK_EQ(sees(p.head[h], i - padding, j - padding),
                             taken(x, h, padding, i, j));
        }
        atn_head_plans_release(cx, &p);
        CHECK(!p.head && p.n == 0);
        CHECK_OK(atn_head_plans_make(cx, x->m.capture, 0, NULL, NULL, &p));
        CHECK_EQ(p.n, HEADS);
        CHECK_EQ(p.tile_rows, 1);
        CHECK_NEAR(p.index_flops, 0, 0);
        for (atn_idx i = 0; i < N - padding; i++)
            for (atn_idx j = 0; j < N - padding; j++)
                CHECK_EQ(sees(p.head[1], i, j), j <= i);
        atn_head_plans_release(cx, &p);
        drop_stored(cx, &x->m);
    }
    free(x);
}

/* The heads that are kept are those alone, in their order; costs add up. */
static void some_heads(atn_ctx *cx)
{
    static const bool last[HEADS] = {false, false, true}, others[HEADS] = {true, true},
                      none[HEADS] = {false};
    made *x = malloc(sizeof *x);
    atn_head_plans all, a, b;
    atn_from from;

    make(cx, x, 0, false);
    CHECK_OK(atn_from_read(cx, "quest:block=4,k=2,dense=0,dense_prompt=no", &from));
    CHECK_OK(atn_head_plans_make(cx, x->m.capture, 0, &from, NULL, &all));
    CHECK_OK(atn_head_plans_make(cx, x->m.capture, 0, &from, last, &a));
    CHECK_OK(atn_head_plans_make(cx, x->m.capture, 0, &from, others, &b));
    CHECK(a.n == 1 && b.n == 2);
    for (atn_idx i = 0; i < N; i++)
        for (atn_idx j = 0; j < N; j++) {
            CHECK_EQ(sees(a.head[0], i, j), sees(all.head[2], i, j));
            CHECK_EQ(sees(b.head[1], i, j), sees(all.head[1], i, j));
        }
    CHECK_LE(1, all.index_flops);
    CHECK_NEAR(a.index_flops + b.index_flops, all.index_flops, 1e-9 * all.index_flops);
    CHECK_NEAR(a.index_bytes + b.index_bytes, all.index_bytes, 1e-9 * all.index_bytes);
    atn_head_plans_release(cx, &all);
    atn_head_plans_release(cx, &a);
    atn_head_plans_release(cx, &b);
    CHECK_FAILS(atn_head_plans_make(cx, x->m.capture, 0, &from, none, &a), ATN_USAGE,
                "no head is chosen");
    drop_stored(cx, &x->m);
    free(x);
}

/* A head that holds NaN is named, unless it is left out; a method that weighs all keys
 * has no pattern. */
static void refused(atn_ctx *cx)
{
    static const bool good[HEADS] = {true, true, false};
    made *x = malloc(sizeof *x);
    atn_head_plans p;
    atn_from from;

    make(cx, x, 0, true);
    CHECK_OK(atn_from_read(cx, "topk:k=3", &from));
    CHECK_FAILS(atn_head_plans_make(cx, x->m.capture, 0, &from, NULL, &p), ATN_DATA,
                "head 2: a query, key, value or weight is NaN");
    CHECK(!p.head && p.n == 0);
    CHECK_OK(atn_head_plans_make(cx, x->m.capture, 0, &from, good, &p));
    CHECK_EQ(p.n, 2);
    atn_head_plans_release(cx, &p);
    drop_stored(cx, &x->m);
    make(cx, x, 0, false);
    CHECK_OK(atn_from_read(cx, "performer", &from));
    CHECK_FAILS(atn_head_plans_make(cx, x->m.capture, 0, &from, NULL, &p), ATN_USAGE,
                "no pattern to simulate");
    drop_stored(cx, &x->m);
    free(x);
}

static void memory_runs_out(atn_ctx *cx)
{
    made *x = malloc(sizeof *x);

    make(cx, x, 0, false);
    for (long left = 0;; left += 1 + left / 16) {
        check_failing f = {left};
        atn_ctx failing;
        atn_status st;
        atn_head_plans p = {0};
        atn_from from;

        atn_ctx_init(&failing);
        failing.alloc = (atn_allocator){check_failing_resize, &f};
        st = atn_from_read(&failing, "topk:k=3", &from);
        if (st == ATN_OK)
            st = atn_head_plans_make(&failing, x->m.capture, 0, &from, NULL, &p);
        atn_head_plans_release(&failing, &p);
        atn_ctx_release(&failing);
        if (st == ATN_OK) break;
        CHECK_EQ(st, ATN_MEMORY);
        CHECK_LE(left, 100000);
    }
    drop_stored(cx, &x->m);
    free(x);
}

CHECK_MAIN({"one by one", one_by_one}, {"some heads", some_heads}, {"refused", refused},
           {"memory runs out", memory_runs_out})
