/* Coefficients of prefill kernels: times that come from known ones, outliers, few rows,
 * quantiles. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "check.h"

#include "simulators/timing_work.h"

enum { ROWS = 800 };

typedef struct rows {
    atn_timing t[ROWS];
    const atn_timing *at[ROWS];
    atn_idx n;
} rows;

static void add(rows *r, atn_idx batch, atn_idx len, atn_idx heads, atn_idx kv,
                atn_idx window)
{
    atn_timing *t = &r->t[r->n];

    if (heads % kv != 0 || r->n >= ROWS) return;
    *t = (atn_timing){.launch = {.pass = ATN_PASS_FORWARD,
                                 .batch = batch,
                                 .heads = heads,
                                 .kv_heads = kv,
                                 .head_dim = 128,
                                 .value_dim = 128,
                                 .q_len = len,
                                 .kv_len = len,
                                 .bytes = 2,
                                 .causal = true},
                      .density = 1,
                      .window = window < len ? window : 0,
                      .window_given = window};
    r->at[r->n++] = t;
}

static rows *shapes(void)
{
    static const atn_idx lens[] = {3000, 512, 16384, 1024, 8192};
    static const atn_idx batches[] = {4, 1, 16}, heads[] = {8, 64, 24};
    static const atn_idx kvs[] = {1, 8, 4, 64, 3}, windows[] = {0, 128, 2048};
    rows *r = calloc(1, sizeof *r);

    CHECK(r != NULL);
    for (int i = 0; i < 5 * 3 * 3 * 5 * 3; i++)
        add(r, batches[i % 3], lens[i / 3 % 5], heads[i / 15 % 3], kvs[i / 45 % 5],
            windows[i / 225 % 3]);
    return r;
}

static void open_fa3(atn_ctx *cx, atn_kernel *k, atn_device *d)
{
    CHECK_OK(atn_device_read(cx, "h200", d));
    CHECK_OK(atn_kernel_read(cx, "fa3", k));
    atn_kernel_settle(k, d->architecture);
}

/* Every term has a coefficient, the clock is one of the grid: all come back. */
static void all_terms_come_back(atn_ctx *cx)
{
    const double c[] = {8.4, 2.7, 1.6, .27, .75, .09, 2.2, .73,
                        7.8, .7,  .8,  1.7, 4,   6,   19};
    atn_time_fit known = {.model = ATN_MODEL_FULL, .slow = .12, .theta_ms = 6}, got;
    atn_kernel k;
    atn_device d;
    rows *r = shapes();
    const atn_fit_case fit = {&k, &d, ATN_MODEL_FULL, r->at, r->n, NULL};

    open_fa3(cx, &k, &d);
    memcpy(known.c, c, sizeof c);
    for (atn_idx i = 0; i < r->n; i++)
        CHECK_OK(atn_timing_predict(cx, &k, &d, &known, r->at[i], &r->t[i].us));
    CHECK_OK(atn_fit_prefill(cx, &fit, &got));
    CHECK_NEAR(got.slow, .12, 0);
    CHECK_NEAR(got.theta_ms, 6, 0);
    for (int i = 0; i < ATN_TERM_CTA_MHA; i++)
        if (i != ATN_TERM_KV) CHECK_NEAR(got.c[i], known.c[i], 1e-6);
    CHECK_LE(got.mape, 1e-9);
    CHECK_NEAR(got.low, 1, 1e-8);
    CHECK_NEAR(got.high, 1, 1e-8);
    CHECK_EQ(got.rows, r->n);
    CHECK_STR(got.gpu, "h200");
    CHECK_STR(got.architecture, "sm90");
    CHECK_EQ(got.head_dim, 128);
    atn_kernel_release(cx, &k);
    free(r);
}

/* Four coefficients; rows of 512 tokens and windows as long as the sequence do not
 * count, and one row that is three times too slow is dropped. */
static void four_come_back(atn_ctx *cx)
{
    atn_time_fit known = {.model = ATN_MODEL_FOUR, .c = {13, 5.7, 1.7, .4}}, got;
    atn_kernel k;
    atn_device d;
    rows *r = shapes();
    const atn_fit_case fit = {&k, &d, ATN_MODEL_FOUR, r->at, r->n, NULL};
    atn_idx counts = 0, slow = -1;

    open_fa3(cx, &k, &d);
    for (atn_idx i = 0; i < r->n; i++) {
        CHECK_OK(atn_timing_predict(cx, &k, &d, &known, r->at[i], &r->t[i].us));
        if (r->t[i].launch.q_len < 1024 || r->t[i].window_given >= r->t[i].launch.q_len)
            r->t[i].us *= 50;
        else
            counts++, slow = i;
    }
    r->t[slow].us *= 3;
    CHECK_OK(atn_fit_prefill(cx, &fit, &got));
    CHECK_EQ(got.rows, counts - 1);
    for (int i = 0; i < 4; i++) CHECK_NEAR(got.c[i], known.c[i], 1e-8);
    for (int i = 4; i < ATN_TERMS; i++) CHECK_NEAR(got.c[i], 0, 0);
    CHECK_NEAR(got.slow, 0, 0);
    atn_kernel_release(cx, &k);
    free(r);
}

/* The baseline packs no groups and cuts no keys: a launch of one KV head is one of as
 * many heads. */
static void four_know_no_groups(atn_ctx *cx)
{
    rows *r = calloc(1, sizeof *r);
    atn_regressors x, y;
    atn_kernel k;
    atn_device d;

    CHECK(r != NULL);
    open_fa3(cx, &k, &d);
    add(r, 1, 1000, 8, 1, 0);
    add(r, 1, 1000, 8, 8, 0);
    CHECK_OK(atn_timing_regressors(cx, &k, &d, ATN_MODEL_FOUR, r->at[0], &x));
    CHECK_OK(atn_timing_regressors(cx, &k, &d, ATN_MODEL_FOUR, r->at[1], &y));
    for (int i = 0; i < 4; i++) CHECK_NEAR(x.x[i], y.x[i], 0);
    CHECK_NEAR(x.x[ATN_TERM_CTA], 1, 0); /* 64 CTAs on 132 SMs */
    CHECK_NEAR(x.x[ATN_TERM_TILE], 8, 0);
    CHECK_OK(atn_timing_regressors(cx, &k, &d, ATN_MODEL_FULL, r->at[0], &x));
    CHECK_NEAR(x.x[ATN_TERM_SPLIT], 1, 0); /* 63 packed CTAs of 8 blocks: 2 pieces */
    CHECK_NEAR(x.x[ATN_TERM_GQA], 0, 0);   /* groups of 8 are cheap */
    CHECK_NEAR(x.x[ATN_TERM_KV + 1], 1, 0);
    CHECK_OK(atn_timing_regressors(cx, &k, &d, ATN_MODEL_FULL, r->at[1], &x));
    CHECK_NEAR(x.x[ATN_TERM_GQA], x.x[ATN_TERM_CTA], 0);
    /* 1024 numbers a token: between nodes 512 and 2048, a third of the way. */
    CHECK_NEAR(x.x[ATN_TERM_KV + 3], 2.0 / 3, 1e-15);
    CHECK_NEAR(x.x[ATN_TERM_KV + 4], 1.0 / 3, 1e-15);
    /* 2 * 1000 * 128 * (16 + 32) bytes of 50e6: all in L2. */
    CHECK_NEAR(x.x[ATN_TERM_L2], 0, 0);
    atn_kernel_release(cx, &k);
    free(r);
}

/* A kernel without a window rule pays by its policy, as its tiles are. Causal, 1000
 * tokens, 128 x 128: 8 Q tiles of 1 to 8 tiles, one of each on the diagonal; of the
 * blocks at density 0.5 round(n / 2), at least 1. */
static void policies_and_densities(atn_ctx *cx)
{
    static const struct {
        atn_mask_policy policy;
        double density, tiles, masked;
    } c[] = {{ATN_MASK_PARTIAL, 1, 36, 8},
             {ATN_MASK_ALL, 1, 36, 36},
             {ATN_MASK_SKIP, 1, 36, 0},
             {ATN_MASK_PARTIAL, .5, 20, 8}};
    rows *r = calloc(1, sizeof *r);
    atn_regressors x;
    atn_kernel k;
    atn_device d;
    atn_work w;

    CHECK(r != NULL);
    open_fa3(cx, &k, &d);
    k.window_rule = false;
    add(r, 3, 1000, 2, 2, 0);
    for (size_t i = 0; i < sizeof c / sizeof c[0]; i++) {
        k.policy = c[i].policy;
        r->t[0].density = c[i].density;
        CHECK_OK(atn_timing_work(cx, &k, &d, ATN_MODEL_FOUR, r->at[0], &w, &x));
        CHECK_NEAR(w.ctas, 6 * 8, 0);
        CHECK_NEAR(w.tiles, 6 * c[i].tiles, 0);
        CHECK_NEAR(w.masked, 6 * c[i].masked, 0);
    }
    atn_kernel_release(cx, &k);
    free(r);
}

/* Of 3 ms with a = 0.2, theta = 4: 3 (1 + 0.2 * 9 / 25); bare: without the KV write. */
static void clock_and_bare(atn_ctx *cx)
{
    atn_time_fit f = {.model = ATN_MODEL_FULL, .slow = .2, .theta_ms = 4};
    atn_regressors x = {{0}};

    (void)cx;
    f.c[ATN_TERM_TILE] = 2;
    f.c[ATN_TERM_KV + 2] = 500;
    x.x[ATN_TERM_TILE] = 1000;
    x.x[ATN_TERM_KV + 2] = 2;
    CHECK_NEAR(atn_prefill_time(&f, &x, false), 3000 * (1 + .2 * 9 / 25), 1e-9);
    CHECK_NEAR(atn_prefill_time(&f, &x, true), 2000 * (1 + .2 * 4 / 20), 1e-9);
}

static void few_rows(atn_ctx *cx)
{
    atn_kernel k;
    atn_device d;
    rows *r = shapes();
    const atn_fit_case full = {&k, &d, ATN_MODEL_FULL, r->at, 20, NULL};
    const atn_fit_case four = {&k, &d, ATN_MODEL_FOUR, r->at, 5, NULL};
    atn_time_fit got;

    open_fa3(cx, &k, &d);
    for (atn_idx i = 0; i < r->n; i++) r->t[i].us = 100;
    CHECK_FAILS(atn_fit_prefill(cx, &full, &got), ATN_DATA, "at least 45");
    CHECK_FAILS(atn_fit_prefill(cx, &four, &got), ATN_DATA, "at least 8");
    atn_kernel_release(cx, &k);
    free(r);
}

/* Launches of windows that see the same tiles take 100, 200, 400, .. us: the least
 * squares of the relative errors give 100 (2 - 2^-7) / (4/3) = 149 us, near the second
 * row alone (- 25 %); one row is no fit. */
static void outliers_alone(atn_ctx *cx)
{
    atn_kernel k;
    atn_device d;
    atn_time_fit got;
    rows *r = calloc(1, sizeof *r);
    const atn_fit_case four = {&k, &d, ATN_MODEL_FOUR, r->at, 8, NULL};

    open_fa3(cx, &k, &d);
    for (int i = 0; i < 8; i++) {
        add(r, 1, 4096, 8, 8, 2060 + i);
        r->t[i].us = 100 << i;
    }
    CHECK_FAILS(atn_fit_prefill(cx, &four, &got), ATN_DATA,
                "of 8 rows 7 are off by 40 % or more");
    atn_kernel_release(cx, &k);
    free(r);
}

CHECK_MAIN({"all terms come back", all_terms_come_back},
           {"four come back", four_come_back},
           {"four know no groups", four_know_no_groups},
           {"policies and densities", policies_and_densities},
           {"clock and bare", clock_and_bare}, {"few rows", few_rows},
           {"outliers alone", outliers_alone})
