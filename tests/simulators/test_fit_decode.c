/* Coefficients of decode steps: times that are known to come from some, the card's
 * errors on measured ones, bad rows. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "check.h"

#include "simulators/timing_work.h"

enum { ROWS = 240 };

#define TILE(dim, masks, rows, keys)                                                   \
    {                                                                                  \
        .head_dim = dim, .takes = masks, .q = {1, {rows}}, .k = {1, {keys}},           \
        .usual = true, .overlap = NAN                                                  \
    }
enum { BOTH = ATN_TAKES_CAUSAL | ATN_TAKES_WINDOW };

/* Tiles of card 6.3. */
static atn_kernel fa3(void)
{
    static atn_kernel_tile tiles[] = {
        TILE(64, BOTH, 192, 128), TILE(128, BOTH, 128, 128), TILE(192, BOTH, 128, 96),
        TILE(256, ATN_TAKES_CAUSAL, 128, 80), TILE(256, ATN_TAKES_WINDOW, 128, 64)};

    return (atn_kernel){.id = "packed",
                        .packs_gqa = true,
                        .split = ATN_SPLIT_VARLEN,
                        .tile = tiles,
                        .tiles = ATN_LEN(tiles)};
}

static atn_kernel trtllm(void)
{
    static atn_kernel_tile tiles[] = {TILE(256, BOTH, 128, 128)};

    return (atn_kernel){
        .id = "filled", .split = ATN_SPLIT_FILL, .tile = tiles, .tiles = 1};
}

static atn_device gpu(const char *id)
{
    atn_device d = {.architecture = "sm90"};

    snprintf(d.id, sizeof d.id, "%s", id);
    d.number[ATN_DEVICE_SMS].value = strcmp(id, "b200") == 0 ? 148 : 132;
    return d;
}

/* Shapes of a serving engine, drawn. */
static void shapes(atn_timing *row, const atn_timing **list)
{
    unsigned r = 11;

    for (int i = 0; i < ROWS; i++) {
        unsigned draw[5];
        atn_timing *t = &row[i];

        for (int k = 0; k < 5; k++) draw[k] = (r = r * 1664525u + 1013904223u) >> 8;
        memset(t, 0, sizeof *t);
        t->launch.pass = ATN_PASS_DECODE;
        t->launch.batch = (atn_idx)1 << draw[0] % 8;
        t->launch.kv_heads = (atn_idx)1 << draw[1] % 4;
        t->launch.heads = t->launch.kv_heads << draw[2] % 5;
        t->launch.head_dim = t->launch.value_dim = 128;
        t->launch.q_len = 1;
        t->launch.kv_len = 1 + draw[3] % 30000;
        t->launch.bytes = 2;
        t->window = draw[4] % 3 || t->launch.kv_len <= 128 ? 0 : 128;
        t->line = i + 2;
        list[i] = t;
    }
}

static void time_rows(const atn_kernel *k, const atn_device *d, const atn_time_fit *f,
                      atn_timing *row)
{
    for (int i = 0; i < ROWS; i++) {
        atn_decode_case c;

        CHECK(atn_decode_case_of(k, &row[i].launch, row[i].window, &c));
        row[i].us = atn_decode_time(k, d, f, &row[i].launch, &c, false);
    }
}

static double worst(const atn_kernel *k, const atn_device *d, const atn_time_fit *f,
                    const atn_timing *row)
{
    double most = 0;

    for (int i = 0; i < ROWS; i++) {
        atn_decode_case c;

        CHECK(atn_decode_case_of(k, &row[i].launch, row[i].window, &c));
        most = check_worst(
            most,
            fabs(atn_decode_time(k, d, f, &row[i].launch, &c, false) / row[i].us - 1));
    }
    return most;
}

/* Rows that the model itself has timed. Several minima lie close together, so times are
 * compared, not coefficients; of the baseline both. */
static void finds_what_made_the_times(atn_ctx *cx)
{
    static const double kv[] = {0.7, 1.1, 2.1, 5.8, 7.6, 28.1};
    const atn_kernel kernels[] = {fa3(), trtllm()};
    const atn_device d = gpu("h200");
    static atn_timing row[ROWS];
    const atn_timing *list[ROWS];

    for (int i = 0; i < 2; i++) {
        const atn_kernel *k = &kernels[i];
        atn_time_fit f = {.model = ATN_MODEL_FULL, .power = i ? 1 : 2}, got;
        atn_fit_case c = {k, &d, ATN_MODEL_FULL, list, ROWS, kv};

        shapes(row, list);
        f.c[ATN_TERM_T0] = 9, f.c[ATN_TERM_CTA] = 1.2, f.c[ATN_TERM_TILE] = 0.8;
        f.c[ATN_TERM_BYTE] = 0.22, f.c[ATN_TERM_SPLIT] = 1.9, f.c[ATN_TERM_PART] = 2.5;
        f.c[ATN_TERM_WINDOW] = 1.6, f.c[ATN_TERM_SEQ] = 7.7, f.c[ATN_TERM_QO] = 1;
        f.c[ATN_TERM_KV_TOKEN] = 70;
        if (i) f.c[ATN_TERM_CTA_MHA] = 0.4;
        if (!i) memcpy(f.c + ATN_TERM_KV, kv, sizeof kv);
        time_rows(k, &d, &f, row);
        CHECK_OK(atn_fit_decode(cx, &c, &got));
        CHECK_LE(worst(k, &d, &got, row), 2e-4);
        CHECK_NEAR(got.low, 1, 1e-4);
        CHECK_NEAR(got.high, 1, 1e-4);
        CHECK_EQ(got.rows, ROWS);
        CHECK_EQ(got.head_dim, 128);
        CHECK_EQ(got.pass, ATN_PASS_DECODE);
        CHECK_STR(got.gpu, "h200");
        CHECK_STR(got.architecture, "sm90");
        CHECK_NEAR(got.c[ATN_TERM_MASK], 0, 0);
        CHECK_NEAR(got.c[ATN_TERM_KV + 3], i ? 0 : 5.8, 0);
        c.kind = f.model = ATN_MODEL_FOUR;
        time_rows(k, &d, &f, row);
        CHECK_OK(atn_fit_decode(cx, &c, &got));
        CHECK_NEAR(got.c[ATN_TERM_T0], 9, 1e-6);
        CHECK_NEAR(got.c[ATN_TERM_BYTE], 0.22, 1e-8);
    }
}

/* The loss of the card, by its words. */
static double loss(const atn_kernel *k, const atn_device *d, const atn_time_fit *f,
                   const atn_timing *row)
{
    double sum = 0;

    for (int i = 0; i < ROWS; i++) {
        atn_decode_case c;
        double e;

        CHECK(atn_decode_case_of(k, &row[i].launch, row[i].window, &c));
        e = atn_decode_time(k, d, f, &row[i].launch, &c, false) / row[i].us - 1;
        sum += 0.02 * (sqrt(1 + e / 0.1 * (e / 0.1)) - 1);
    }
    return sum;
}

/* Times with errors, some of them gross: no coefficient moved by a thousandth, and no
 * pair of them, gives a smaller loss. */
static void ends_in_a_minimum(atn_ctx *cx)
{
    const atn_kernel k = fa3();
    const atn_device d = gpu("h200");
    static atn_timing row[ROWS];
    const atn_timing *list[ROWS];
    const atn_fit_case c = {&k, &d, ATN_MODEL_FULL, list, ROWS, NULL};
    atn_time_fit f = {.model = ATN_MODEL_FULL, .power = 2};
    double least;

    shapes(row, list);
    f.c[ATN_TERM_T0] = 9, f.c[ATN_TERM_CTA] = 1.2, f.c[ATN_TERM_TILE] = 0.8;
    f.c[ATN_TERM_BYTE] = 0.22, f.c[ATN_TERM_SPLIT] = 1.9, f.c[ATN_TERM_WINDOW] = 1.6;
    time_rows(&k, &d, &f, row);
    for (int i = 0; i < ROWS; i++)
        row[i].us *= i % 20 == 3 ? 1.8 : 0.9 + 0.2 * (i * 7919 % 1000) / 1000;
    CHECK_OK(atn_fit_decode(cx, &c, &f));
    least = loss(&k, &d, &f, row);
    for (int i = 0; i < ATN_TERMS; i++)
        for (int j = 0; j <= i; j++)
            for (int sign = 0; sign < 4; sign++) {
                atn_time_fit near = f;

                near.c[i] *= sign & 1 ? 1.001 : 0.999;
                if (j < i) near.c[j] *= sign & 2 ? 1.001 : 0.999;
                CHECK_LE(least * (1 - 1e-7), loss(&k, &d, &near, row));
            }
}

/* Two fits of the same rows are the same to the bit, whatever the threads. */
static void repeats(atn_ctx *cx)
{
    const atn_kernel k = fa3();
    const atn_device d = gpu("h200");
    static atn_timing row[ROWS];
    const atn_timing *list[ROWS];
    const atn_fit_case c = {&k, &d, ATN_MODEL_FULL, list, ROWS, NULL};
    atn_time_fit a, b;

    shapes(row, list);
    for (int i = 0; i < ROWS; i++)
        row[i].us =
            8 + 0.01 * (double)(i * 7919 % 1000) + 1e-4 * (double)row[i].launch.kv_len;
    cx->threads = 1;
    CHECK_OK(atn_fit_decode(cx, &c, &a));
    cx->threads = 4;
    CHECK_OK(atn_fit_decode(cx, &c, &b));
    CHECK(memcmp(a.c, b.c, sizeof a.c) == 0);
    CHECK(a.mape == b.mape && a.power == b.power && a.low == b.low);
    for (int i = 0; i < ATN_TERMS; i++) CHECK(a.c[i] >= 0);
}

static void bad_rows(atn_ctx *cx)
{
    const atn_kernel k = fa3();
    const atn_device d = gpu("h200");
    static atn_timing row[ROWS];
    const atn_timing *list[ROWS];
    atn_fit_case c = {&k, &d, ATN_MODEL_FULL, list, 5, NULL};
    atn_time_fit f;

    shapes(row, list);
    for (int i = 0; i < ROWS; i++) row[i].us = 10;
    CHECK_FAILS(atn_fit_decode(cx, &c, &f), ATN_DATA, "5 rows");
    c.n = 0;
    CHECK_FAILS(atn_fit_decode(cx, &c, &f), ATN_DATA, "at least");
    c.n = ROWS;
    row[7].us = 0;
    CHECK_FAILS(atn_fit_decode(cx, &c, &f), ATN_DATA, "line 9");
    row[7].us = NAN;
    CHECK_FAILS(atn_fit_decode(cx, &c, &f), ATN_DATA, "line 9");
    row[7].us = 10;
    row[8].launch.kv_heads = 0;
    CHECK_FAILS(atn_fit_decode(cx, &c, &f), ATN_DATA, "line 10");
    row[8].launch.kv_heads = 1;
    row[8].launch.head_dim = 300;
    CHECK_FAILS(atn_fit_decode(cx, &c, &f), ATN_DATA, "head_dim 300");
    row[8].launch.head_dim = 128;
    CHECK_OK(
        atn_fit_decode(cx, &c, &f)); /* every row 10 us: nothing but t0 is needed */
    CHECK_NEAR(f.mape, 0, 1e-3);
}

static void no_memory(atn_ctx *cx)
{
    const atn_kernel k = fa3();
    const atn_device d = gpu("h200");
    static atn_timing row[ROWS];
    const atn_timing *list[ROWS];
    const atn_fit_case c = {&k, &d, ATN_MODEL_FOUR, list, ROWS, NULL};
    atn_time_fit f;
    atn_status st = ATN_MEMORY;

    (void)cx;
    shapes(row, list);
    for (int i = 0; i < ROWS; i++) row[i].us = 10 + i;
    for (long left = 0; st != ATN_OK && left < 20; left++) {
        check_failing fail = {left};
        atn_ctx own;

        atn_ctx_init(&own);
        own.alloc = (atn_allocator){check_failing_resize, &fail};
        st = atn_fit_decode(&own, &c, &f);
        CHECK(st == ATN_OK || st == ATN_MEMORY);
        atn_ctx_release(&own);
    }
    CHECK_EQ(st, ATN_OK);
}

/* ---- the card's errors ---- */

/* Table of decode errors in card 6.3, in percent: baseline, recommended, its windows
 * (0 = not given); kv nodes of the prefill fit (its second table), where a node was
 * not met the neighbour's. */
static const struct {
    const char *gpu, *kernel;
    int head_dim;
    atn_idx fit, check;
    double two, all, window;
    double kv[6];
} card[] = {
    {"h200",
     "fa3",
     64,
     394,
     377,
     25.6,
     5.8,
     10.8,
     {.74, 1.05, 2.13, 5.85, 7.64, 27.99}},
    {"h200", "fa3", 128, 405, 386, 18.6, 4.9, 5.1, {.83, .83, 1.72, 4.74, 6.08, 19}},
    {"h200", "fa3", 192, 64, 75, 16.5, 7.4, 8.6, {1.47, 1.47, 1.35, 4.83, 4.99, 4.99}},
    {"h200", "fa3", 256, 103, 91, 13.7, 6.7, 4.5, {1.52, 1.52, 1.52, 3.99, 3.03, 3.03}},
    {"h200", "trtllm", 64, 299, 307, 35.8, 18.1, 29.1, {0}},
    {"h200", "trtllm", 128, 242, 249, 28.9, 16.8, 0, {0}},
    {"h200", "trtllm", 192, 64, 77, 30.4, 23.5, 35.7, {0}},
    {"h200", "trtllm", 256, 179, 171, 31.1, 18.4, 0, {0}},
    {"b200", "trtllm", 64, 307, 313, 21.8, 6.4, 5.7, {0}},
    {"b200", "trtllm", 128, 234, 252, 21.4, 6.2, 0, {0}},
    {"b200", "trtllm", 256, 171, 198, 21.4, 7.5, 0, {0}},
};

/* Rows of entry i; left out as in the card: FlashInfer's of b200, d 256. */
static bool is_of(const atn_timing *t, int i, const char *split)
{
    return t->launch.pass == ATN_PASS_DECODE && strcmp(t->gpu, card[i].gpu) == 0 &&
           strstr(t->kernel, card[i].kernel) && strcmp(t->split, split) == 0 &&
           t->launch.head_dim == card[i].head_dim &&
           !(card[i].gpu[0] == 'b' && card[i].head_dim == 256 &&
             t->window_given == 1024);
}

static double errors(const atn_kernel *k, const atn_device *d, const atn_time_fit *f,
                     const atn_timings *t, int i, bool windows, atn_idx *n)
{
    double sum = 0;

    *n = 0;
    for (atn_idx r = 0; r < t->n; r++) {
        atn_decode_case c;

        if (!is_of(&t->row[r], i, "check") || (windows && !t->row[r].window)) continue;
        CHECK(atn_decode_case_of(k, &t->row[r].launch, t->row[r].window, &c));
        sum += fabs(
            atn_decode_time(k, d, f, &t->row[r].launch, &c, false) / t->row[r].us - 1);
        (*n)++;
    }
    return 100 * sum / (double)*n;
}

static void errors_of_the_card(atn_ctx *cx)
{
    const atn_kernel kernels[] = {fa3(), trtllm()};
    const atn_timing **list;
    atn_timings t;

    CHECK_OK(atn_timings_load(cx, check_shared("data/attention-timings.csv"), &t));
    list = calloc((size_t)t.n, sizeof *list);
    CHECK(list);
    for (int i = 0; i < (int)ATN_LEN(card); i++) {
        const atn_kernel *k = &kernels[card[i].kernel[0] == 't'];
        const atn_device d = gpu(card[i].gpu);
        atn_fit_case c = {k, &d, ATN_MODEL_FULL, list, 0, card[i].kv};
        atn_time_fit full, two;
        double all, base, window;
        atn_idx n, windows;

        for (atn_idx r = 0; r < t.n; r++)
            if (is_of(&t.row[r], i, "fit")) list[c.n++] = &t.row[r];
        CHECK_EQ(c.n, card[i].fit);
        CHECK_OK(atn_fit_decode(cx, &c, &full));
        c.kind = ATN_MODEL_FOUR;
        CHECK_OK(atn_fit_decode(cx, &c, &two));
        base = errors(k, &d, &two, &t, i, false, &n);
        all = errors(k, &d, &full, &t, i, false, &n);
        window = errors(k, &d, &full, &t, i, true, &windows);
        print_message("%s %s d%d: %.1f (%.1f), %.1f (%.1f), windows %.1f (%.1f)\n",
                      card[i].gpu, card[i].kernel, card[i].head_dim, base, card[i].two,
                      all, card[i].all, windows > 0 ? window : 0, card[i].window);
        CHECK_EQ(n, card[i].check);
        CHECK_LE(base, 1.15 * card[i].two);
        CHECK_LE(all, 1.15 * card[i].all);
        if (card[i].window > 0) CHECK_LE(window, 1.15 * card[i].window);
    }
    free(list);
    atn_timings_release(cx, &t);
}

/* The same errors from the coefficients that the program brings, found as a command
 * finds them. */
static void errors_of_what_is_shipped(atn_ctx *cx)
{
    atn_timings t;

    CHECK_OK(atn_timings_load(cx, check_shared("data/attention-timings.csv"), &t));
    for (int i = 0; i < (int)ATN_LEN(card); i++) {
        const atn_launch l = {
            .pass = ATN_PASS_DECODE, .head_dim = card[i].head_dim, .bytes = 2};
        atn_time_model m;
        atn_kernel k;
        atn_device d;
        atn_idx n;

        CHECK_OK(atn_device_read(cx, card[i].gpu, &d));
        CHECK_OK(atn_kernel_read(cx, card[i].kernel, &k));
        atn_kernel_settle(&k, d.architecture);
        CHECK_OK(atn_time_model_find(cx, &k, &d, &l, NULL, &m));
        CHECK(m.calibrated);
        CHECK_EQ(m.fit.rows, card[i].fit);
        CHECK_LE(errors(&k, &d, &m.fit, &t, i, false, &n), 1.15 * card[i].all);
        CHECK_EQ(n, card[i].check);
        if (card[i].window > 0)
            CHECK_LE(errors(&k, &d, &m.fit, &t, i, true, &n), 1.15 * card[i].window);
        atn_kernel_release(cx, &k);
    }
    atn_timings_release(cx, &t);
}

CHECK_MAIN({"finds what made the times", finds_what_made_the_times},
           {"ends in a minimum", ends_in_a_minimum}, {"repeats", repeats},
           {"bad rows", bad_rows}, {"no memory", no_memory},
           {"errors of the card", errors_of_the_card},
           {"errors of what is shipped", errors_of_what_is_shipped})
