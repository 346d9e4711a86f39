/* tests/analysis/test_massive.c -- huge entries of hidden states, and the heads that see them. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "stored_model.h"

#include "analysis/massive.h"

/* |x| = 4 1 3 2 7 5: the middle two are 3 and 4. Without the last row 1 2 3 4. */
static void by_hand(atn_ctx *cx)
{
    const float x[] = {-4, 1, 3, -2, 7, 5};
    const atn_cmat rows = {x, 3, 2, 2};
    atn_massive m;

    CHECK_OK(atn_massive_find(cx, rows, 0, 3, 4.5, 1.5, &m));
    CHECK_NEAR(m.median, 3.5, 0);
    CHECK_NEAR(m.top[0], 7, 0);
    CHECK_NEAR(m.top[1], 5, 0);
    CHECK_NEAR(m.top[2], 4, 0);
    CHECK_EQ(m.row[0], 2);
    CHECK_EQ(m.channel[0], 0);
    CHECK_EQ(m.row[2], 0);
    /* at least 4.5 and 1.5 * 3.5 = 5.25: the 7 alone */
    CHECK_EQ(m.entries, 1);
    CHECK_EQ(m.rows, 1);
    CHECK_EQ(m.channels, 1);
    CHECK(m.massive_row[2] && !m.massive_row[0]);
    atn_massive_release(cx, &m);
    CHECK_OK(atn_massive_find(cx, rows, 0, 2, 2, 0, &m));
    CHECK_NEAR(m.median, 2.5, 0);
    CHECK_EQ(m.entries, 3);
    CHECK_EQ(m.rows, 2);
    CHECK_EQ(m.channels, 2);
    atn_massive_release(cx, &m);
    CHECK_OK(atn_massive_find(cx, rows, 1, 1, 2, 0, &m));
    CHECK(isnan(m.median) && isnan(m.top[0]));
    CHECK_EQ(m.entries, 0);
    atn_massive_release(cx, &m);
}

static int ascending(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

/* Numbers of every size, zeros and ties among them, against sorting. */
static void against_sorting(atn_ctx *cx)
{
    for (int trial = 0; trial < 40; trial++) {
        enum { MOST = 900 };
        static float x[MOST];
        double all[MOST];
        atn_rng r = atn_rng_stream(9, "test/massive", trial, 0);
        const int cols = 1 + trial % 7, rows = 1 + trial * 3, n = rows * cols;
        atn_massive m;
        double bound;
        int count = 0;

        for (int i = 0; i < n; i++) {
            const double size = pow(10, 30 * atn_rng_uniform(&r) - 15);
            x[i] = trial % 4 == 0 ? (float)atn_rng_below(&r, 4)
                                  : (float)(size * atn_rng_normal(&r));
            all[i] = fabs((double)x[i]);
        }
        CHECK_OK(
            atn_massive_find(cx, (atn_cmat){x, rows, cols, cols}, 0, rows, 1, 3, &m));
        qsort(all, (size_t)n, sizeof *all, ascending);
        CHECK_NEAR(m.median, n % 2 ? all[n / 2] : (all[n / 2] + all[n / 2 - 1]) / 2, 0);
        for (int i = 0; i < 3 && i < n; i++) {
            CHECK_NEAR(m.top[i], all[n - 1 - i], 0);
            CHECK_NEAR(fabs((double)x[m.row[i] * cols + m.channel[i]]), m.top[i], 0);
        }
        bound = fmax(1, 3 * m.median);
        for (int i = 0; i < n; i++) count += fabs((double)x[i]) >= bound;
        CHECK_EQ(m.entries, count);
        atn_massive_release(cx, &m);
    }
}

static void not_finite(atn_ctx *cx)
{
    const float x[] = {1, 2, INFINITY, 4};
    atn_massive m;

    CHECK_FAILS(atn_massive_find(cx, (atn_cmat){x, 2, 2, 2}, 0, 2, 1, 1, &m), ATN_DATA,
                "row 1, channel 0");
}

/* ---- the measure ---- */

enum { N = 12, D = 7 };
#define VALUE(row, name) stored_value("massive", out, row, name)

static stored_layer layer(const float *p, const float *h, atn_idx heads)
{
    return (stored_layer){.heads = heads,
                          .kv_heads = heads,
                          .nq = N,
                          .nk = N,
                          .p = p,
                          .h = h,
                          .width = D,
                          .sight = {.causal = true}};
}

/* Token 3 has 500 in channel 5 of layers 0 and 2, in channel 2 of layer 1. Head 0 looks at it
 * alone from row 3 on: 9 of 12 rows; head 1 never does. */
static void planted(atn_ctx *cx)
{
    static float p[2 * N * N], h[3][N * D];
    stored_model m = {
        .layers = 3,
        .layer = {layer(p, h[0], 2), layer(p, h[1], 2), layer(p, h[2], 2)}};
    double out[100];

    for (int l = 0; l < 3; l++) {
        for (int i = 0; i < N * D; i++) h[l][i] = i % 3 ? .25f : -.125f;
        h[l][3 * D + (l == 1 ? 2 : 5)] = -500;
    }
    h[2][7 * D] = 101; /* massive by size, and by ratio against .25 no less */
    for (int i = 0; i < N; i++) {
        p[i * N + (i >= 3 ? 3 : 0)] = 1;
        p[N * N + i * N + (i == 3 ? 0 : i)] = 1;
    }
    store_model(cx, &m, "massive/planted");
    CHECK_OK(stored_measure(cx, &m, "massive", 0, NULL, out));
    CHECK_NEAR(VALUE(0, "massive_max"), 500, 0);
    CHECK_NEAR(VALUE(0, "massive_second"), .25, 0);
    CHECK_NEAR(VALUE(0, "massive_median"), .25, 0);
    CHECK_NEAR(VALUE(0, "massive_max_ratio"), 2000, 0);
    CHECK_NEAR(VALUE(0, "massive_max_position"), 3, 0);
    CHECK_NEAR(VALUE(0, "massive_max_channel"), 5, 0);
    CHECK_NEAR(VALUE(0, "massive_count"), 1, 0);
    CHECK_NEAR(VALUE(0, "massive_tokens"), 1, 0);
    CHECK_NEAR(VALUE(0, "massive_persistence"), .5, 0);
    CHECK_NEAR(VALUE(2, "massive_persistence"), 0, 0);
    CHECK_NEAR(VALUE(4, "massive_persistence"), .5, 0);
    CHECK_NEAR(VALUE(0, "massive_mass"), .75, 1e-6);
    CHECK_NEAR(VALUE(1, "massive_mass"), 0, 1e-6);
    CHECK_LE(.9, VALUE(0, "massive_correlation")); /* rows 0 to 2 see key 0 */
    CHECK_LE(VALUE(1, "massive_correlation"), 0);
    CHECK_NEAR(VALUE(4, "massive_count"), 1, 0); /* 101 < 1000 * .25 */
    CHECK_OK(stored_measure(cx, &m, "massive", 3, NULL, out));
    CHECK_NEAR(VALUE(0, "massive_mass"), 1, 1e-6);
    CHECK_NEAR(VALUE(0, "massive_correlation"), 1, 1e-6);
    CHECK_OK(stored_measure(cx, &m, "massive", 0, "ratio=10", out));
    CHECK_NEAR(VALUE(4, "massive_count"), 2, 0);
    CHECK_NEAR(VALUE(4, "massive_tokens"), 2, 0);
    drop_stored(cx, &m);
}

static void warn(void *user, atn_log_level level, const char *text)
{
    *(int *)user += level == ATN_LOG_WARN && strstr(text, "--save h") != NULL;
}

/* Layers without h stay empty; padding is not looked at; fewer queries than keys have no head
 * values, and positions among the keys. */
static void what_is_missing(atn_ctx *cx)
{
    static float p[N * N], h[N * D];
    stored_model m = {.layers = 3,
                      .layer = {layer(p, NULL, 1), layer(p, h, 1), layer(p, h, 1)}};
    double out[60];
    int warned = 0;

    for (int i = 0; i < N; i++) p[i * N + i] = 1;
    for (int i = 0; i < N * D; i++) h[i] = 1;
    h[2] = 900;
    h[4 * D + 1] = 300;
    m.layer[1].sight.key_first = 1;
    m.layer[1].sight.key_last = N;
    m.layer[2].nq = 5;
    m.layer[2].sight.offset = N - 5;
    memset(p, 0, sizeof p);
    for (int i = 0; i < N; i++) p[i * N + i] = i > 0;
    store_model(cx, &m, "massive/missing");
    cx->log_sink = warn;
    cx->log_user = &warned;
    CHECK_OK(stored_measure(cx, &m, "massive", 0, NULL, out));
    CHECK_EQ(warned, 1);
    for (int c = 0; c < 12; c++) CHECK(isnan(out[c]));
    CHECK_NEAR(VALUE(1, "massive_max"), 300, 0);
    CHECK_NEAR(VALUE(1, "massive_max_position"), 4, 0);
    CHECK_NEAR(VALUE(1, "massive_count"), 0, 0); /* 300 times the median, not 1000 */
    CHECK(isnan(VALUE(1, "massive_mass")));
    CHECK_NEAR(VALUE(2, "massive_max"), 900, 0);
    CHECK_NEAR(VALUE(2, "massive_max_position"), N - 5, 0);
    CHECK(isnan(VALUE(2, "massive_correlation")));
    drop_stored(cx, &m);
}

static void allocations_may_fail(atn_ctx *cx)
{
    static float p[N * N], h[N * D];
    stored_model m = {.layers = 1, .layer = {layer(p, h, 1)}};
    const atn_measure *measure = atn_measure_find("massive");
    const double params[] = {100, 1000};
    atn_model_facts facts;
    atn_status st = ATN_MEMORY;

    for (int i = 0; i < N; i++) p[i * N + i] = 1;
    store_model(cx, &m, "massive/memory");
    facts = (atn_model_facts){m.capture, &m.selection, 0};
    for (long k = 0; st != ATN_OK; k++) {
        check_failing fail = {k};
        double out[30];
        atn_ctx c;

        CHECK(k < 1000);
        atn_ctx_init(&c);
        c.threads = 1;
        c.alloc = (atn_allocator){check_failing_resize, &fail};
        st = measure->model(&c, &facts, params, out);
        CHECK(st == ATN_OK || st == ATN_MEMORY);
        fail.left = 1 << 20;
        atn_ctx_release(&c);
    }
    drop_stored(cx, &m);
}

CHECK_MAIN({"by hand", by_hand}, {"against sorting", against_sorting},
           {"not finite", not_finite}, {"planted", planted},
           {"what is missing", what_is_missing},
           {"allocations may fail", allocations_may_fail})
