/* Calibration: errors of both prefill models on the rows kept for checking against
 * those published with them, shipped fits, groups, tables. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "check.h"

#include "simulators/calibrate.h"
#include "simulators/timing_work.h"

typedef struct bench {
    atn_timings t;
    atn_kernel k;
    atn_device d;
    atn_timing_groups fit, check;
} bench;

typedef struct case_of {
    const char *gpu, *kernel;
    int head_dim;
    atn_idx bm, bn; /* of the baseline; 0 = the kernel's */
    double min_ms;
    atn_idx fit_rows, check_rows;
    double dense, window; /* percent */
    int w;
    double pairs, flop, tiles, model;
    double t0, tile;
} case_of;

/* cards/simulators.md 6.3, both tables: errors in percent on check rows. */
static const case_of full[] = {
    {"h200", "fa3", 64, 0, 0, 0, 676, 675, 2.9, 4.8, 128, 52, 357, 112, 5.6, 8.41,
     1.59},
    {"h200", "fa3", 128, 0, 0, 0, 731, 739, 2.1, 1.7, 128, 46, 364, 142, 1.7, 8.41,
     1.59},
    {"h200", "fa3", 192, 0, 0, 0, 126, 105, 2.5, 2.1, 128, 6, 440, 184, 2.3, 7.85,
     1.61},
    {"h200", "fa3", 256, 0, 0, 0, 147, 132, 3.8, 5.3, 1024, 0, 0, 0, 0, 8.11, 1.73},
    {"h200", "trtllm", 64, 0, 0, 0, 794, 774, 2.3, 2.3, 128, 60, 600, 261, 2.2, 15.44,
     1.13},
    {"h200", "trtllm", 128, 0, 0, 0, 486, 421, 2.3, 2.2, 8192, 0, 0, 0, 0, 9.70, 1.85},
    {"h200", "trtllm", 192, 0, 0, 0, 121, 102, 2.9, 3.2, 128, 0, 0, 0, 0, 13.51, 2.68},
    {"h200", "trtllm", 256, 0, 0, 0, 367, 387, 2.8, 0, 0, 0, 0, 0, 0, 9.84, 3.37},
    {"b200", "trtllm", 64, 0, 0, 0, 723, 713, 2.2, 2.8, 128, 44, 587, 147, 2.2, 12.93,
     1.49},
    {"b200", "trtllm", 128, 0, 0, 0, 433, 428, 3.4, 1.7, 8192, 0, 0, 0, 0, 12.80, 1.66},
    {"b200", "trtllm", 256, 0, 0, 0, 351, 384, 4.2, 0, 0, 0, 0, 0, 0, 8.84, 1.59},
};
static const case_of four[] = {
    {"h200", "fa3", 64, 192, 128, .2, 360, 323, 9.1, 20.6, 128, 33, 340, 67, 18.6, 89.6,
     1.555},
    {"h200", "fa3", 128, 128, 128, .02, 609, 604, 9.3, 19.3, 128, 42, 390, 153, 17.4,
     13.0, 1.678},
    {"h200", "fa3", 256, 128, 80, .2, 83, 80, 8.7, 11.3, 1024, 0, 0, 0, 0, 64.6, 1.757},
    {"h200", "trtllm", 64, 64, 128, .2, 458, 450, 2.4, 2.7, 128, 49, 593, 257, 2.1,
     31.8, .578},
    {"h200", "trtllm", 128, 64, 128, .2, 305, 272, 3.5, 2.5, 8192, 0, 0, 0, 0, 34.7,
     1.002},
    {"b200", "trtllm", 64, 256, 128, .2, 363, 375, 4.0, 5.0, 128, 35, 602, 151, 3.7,
     31.7, 1.568},
    {"b200", "trtllm", 128, 256, 128, .2, 245, 246, 5.3, 5.0, 8192, 0, 0, 0, 0, 25.6,
     1.947},
};

static void set_tile(atn_kernel *k, const case_of *c)
{
    static const unsigned takes[] = {ATN_TAKES_CAUSAL, ATN_TAKES_WINDOW};

    for (int i = 0; c->bm && i < 2; i++) {
        const atn_kernel_tile *t =
            atn_kernel_tile_of(k, c->head_dim, ATN_PASS_FORWARD, takes[i], 1, 0);

        CHECK(t != NULL);
        k->tile[t - k->tile].q.at[0] = c->bm;
        k->tile[t - k->tile].k.at[0] = c->bn;
    }
}

static void open_bench(atn_ctx *cx, bench *b, const case_of *c)
{
    atn_timing_choice choice = {.kernel = &b->k,
                                .device = &b->d,
                                .split = "fit",
                                .min_ms = c->min_ms,
                                .head_dim = c->head_dim,
                                .pass = ATN_PASS_FORWARD};

    CHECK_OK(atn_device_read(cx, c->gpu, &b->d));
    CHECK_OK(atn_kernel_read(cx, c->kernel, &b->k));
    atn_kernel_settle(&b->k, b->d.architecture);
    set_tile(&b->k, c);
    CHECK_OK(atn_timing_groups_find(cx, &b->t, "file", &choice, &b->fit));
    choice.split = "check";
    CHECK_OK(atn_timing_groups_find(cx, &b->t, "file", &choice, &b->check));
    CHECK_EQ(b->fit.n, 1);
    CHECK_EQ(b->check.n, 1);
}

static void close_bench(atn_ctx *cx, bench *b)
{
    atn_timing_groups_release(cx, &b->fit);
    atn_timing_groups_release(cx, &b->check);
    atn_kernel_release(cx, &b->k);
}

static double cell(const atn_table *t, const char *rows_of, const char *column)
{
    const int of = atn_table_find_col(t, "rows_of"),
              col = atn_table_find_col(t, column);

    CHECK(col >= 0);
    for (atn_idx i = 0; i < atn_table_rows(t); i++)
        if (!rows_of || strcmp(atn_table_get_str(t, i, of), rows_of) == 0)
            return atn_table_get_f64(t, i, col);
    return NAN;
}

/* Equal to the digit that is printed, but for 5.35 that was printed 5.3. */
static void errors_of(const case_of *c, const atn_check_tables *t)
{
    char window[32];

    snprintf(window, sizeof window, "window %d", c->w);
    CHECK_NEAR(100 * cell(t->errors, "dense", "error_mean"), c->dense, .0521);
    if (c->w) CHECK_NEAR(100 * cell(t->errors, window, "error_mean"), c->window, .0501);
    CHECK_NEAR(cell(t->errors, "all", "rows"), (double)c->check_rows, 0);
    if (c->pairs == 0) return;
    CHECK_NEAR(cell(t->speedups, NULL, "pairs"), c->pairs, 0);
    CHECK_NEAR(100 * cell(t->speedups, NULL, "speedup_error_flop_mean"), c->flop, .51);
    CHECK_NEAR(100 * cell(t->speedups, NULL, "speedup_error_tiles_mean"), c->tiles,
               .51);
    CHECK_NEAR(100 * cell(t->speedups, NULL, "speedup_error_model_mean"), c->model,
               .0501);
}

static void errors_as_published(atn_ctx *cx, const case_of *cases, int n,
                                atn_time_kind kind)
{
    bench b = {0};

    CHECK_OK(atn_timings_load(cx, check_shared("data/attention-timings.csv"), &b.t));
    for (int i = 0; i < n; i++) {
        const case_of *c = &cases[i];
        atn_check_tables t;
        atn_time_fit f;
        int checked = 0;

        open_bench(cx, &b, c);
        CHECK_OK(atn_calibrate(cx, &b.fit, 0, kind, &b.k, &f));
        CHECK_EQ(atn_timing_group_counts(&b.fit.group[0], kind), c->fit_rows);
        if (kind == ATN_MODEL_FULL) { /* what is shipped is this fit */
            const atn_time_fit *own =
                atn_kernel_own_fit(&b.k, &b.d, c->head_dim, ATN_PASS_FORWARD, kind);

            CHECK(own != NULL);
            for (int k = 0; k < ATN_TERMS; k++)
                CHECK_NEAR(own->c[k], f.c[k], 2e-6 + 1e-6 * f.c[k]);
            CHECK_NEAR(own->slow, f.slow, 0);
            CHECK_EQ(own->rows, f.rows);
        }
        CHECK_NEAR(f.c[ATN_TERM_T0], c->t0, kind == ATN_MODEL_FULL ? .0051 : .31);
        CHECK_NEAR(f.c[ATN_TERM_TILE], c->tile, kind == ATN_MODEL_FULL ? .0051 : .0011);
        CHECK_OK(atn_kernel_put_fit(cx, &b.k, &f));
        CHECK_OK(atn_check_tables_create(cx, &t));
        CHECK_OK(atn_check_tables_add(cx, &t, &b.check, kind, &checked));
        CHECK_EQ(checked, 1);
        errors_of(c, &t);
        atn_check_tables_destroy(cx, &t);
        close_bench(cx, &b);
    }
    atn_timings_release(cx, &b.t);
}

static void full_as_published(atn_ctx *cx)
{
    errors_as_published(cx, full, sizeof full / sizeof full[0], ATN_MODEL_FULL);
}

static void four_as_published(atn_ctx *cx)
{
    errors_as_published(cx, four, sizeof four / sizeof four[0], ATN_MODEL_FOUR);
}

/* ---- made-up rows ---- */

static void open_made_up(atn_ctx *cx, bench *b)
{
    char path[600];

    snprintf(path, sizeof path, "%s/timings/timings.csv", ATN_TEST_FIXTURES);
    CHECK_OK(atn_timings_load(cx, path, &b->t));
    CHECK_OK(atn_device_read(cx, "h200", &b->d));
    CHECK_OK(atn_kernel_read(cx, "fa3", &b->k));
    atn_kernel_settle(&b->k, b->d.architecture);
}

static void groups_and_what_is_missing(atn_ctx *cx)
{
    bench b = {0};
    atn_timing_choice c = {.kernel = &b.k, .device = &b.d, .pass = -1};
    atn_kernel other;

    open_made_up(cx, &b);
    CHECK_OK(atn_timing_groups_find(cx, &b.t, "file", &c, &b.fit));
    CHECK_EQ(b.fit.n, 2);
    CHECK_EQ(b.fit.group[0].pass, ATN_PASS_FORWARD);
    CHECK_EQ(b.fit.group[1].pass, ATN_PASS_DECODE);
    CHECK_EQ(b.fit.group[0].n + b.fit.group[1].n, b.t.n);
    for (atn_idx i = 0; i < b.fit.group[1].n; i++)
        CHECK_EQ(b.fit.group[1].row[i]->launch.q_len, 1);
    atn_timing_groups_release(cx, &b.fit);
    c.split = "check";
    c.named = "fa3";
    CHECK_OK(atn_timing_groups_find(cx, &b.t, "file", &c, &b.fit));
    CHECK_LE(b.fit.group[0].n, b.t.n / 2);
    atn_timing_groups_release(cx, &b.fit);
    c.named = "fa";
    CHECK_FAILS(atn_timing_groups_find(cx, &b.t, "file", &c, &b.fit), ATN_DATA,
                "splits in the file: fit, check");
    c.named = NULL;
    c.head_dim = 64;
    CHECK_FAILS(atn_timing_groups_find(cx, &b.t, "file", &c, &b.fit), ATN_DATA, "head");
    c.head_dim = 0;
    CHECK_OK(atn_kernel_read(cx, "fa2", &other));
    c.kernel = &other;
    CHECK_FAILS(atn_timing_groups_find(cx, &b.t, "file", &c, &b.fit), ATN_DATA,
                "kernels in the file: mine-fa3; GPUs: h200");
    atn_kernel_release(cx, &other);
    for (atn_idx i = 0; i < b.t.n; i++) b.t.row[i].launch.head_dim = 1024;
    c.kernel = &b.k;
    c.split = NULL;
    CHECK_FAILS(
        atn_timing_groups_find(cx, &b.t, "file", &c, &b.fit), ATN_DATA,
        "no tile for head_dim 1024, nor for any other row chosen (nearest: 256)");
    atn_kernel_release(cx, &b.k);
    atn_timings_release(cx, &b.t);
}

/* A kernel file keeps the fits of others and gets the new one; it reads back equal. */
static void fits_into_a_file(atn_ctx *cx)
{
    bench b = {0};
    const atn_timing_choice c = {.kernel = &b.k, .device = &b.d, .pass = -1};
    char path[600];
    atn_time_fit f;
    const atn_time_fit *own;
    atn_kernel back;
    int fits;

    open_made_up(cx, &b);
    fits = b.k.fits;
    CHECK_OK(atn_timing_groups_find(cx, &b.t, "file", &c, &b.fit));
    CHECK_OK(atn_calibrate(cx, &b.fit, 0, ATN_MODEL_FOUR, &b.k, &f));
    CHECK_OK(atn_kernel_put_fit(cx, &b.k, &f));
    CHECK_EQ(b.k.fits, fits); /* in place of the one shipped */
    f.head_dim = 96;
    CHECK_OK(atn_kernel_put_fit(cx, &b.k, &f));
    CHECK_EQ(b.k.fits, fits + 1);
    snprintf(path, sizeof path, "%s/k.json", check_scratch("calibrate"));
    CHECK_OK(atn_kernel_save(cx, &b.k, path, false));
    CHECK_OK(atn_kernel_read(cx, path, &back));
    CHECK_EQ(back.fits, fits + 1);
    own = atn_kernel_own_fit(&back, &b.d, 128, ATN_PASS_FORWARD, -1);
    CHECK(own && own->model == ATN_MODEL_FOUR);
    for (int k = 0; k < ATN_TERMS; k++) CHECK_NEAR(own->c[k], f.c[k], 0);
    CHECK(!atn_kernel_own_fit(&back, &b.d, 128, ATN_PASS_FORWARD, ATN_MODEL_FULL));
    atn_kernel_release(cx, &back);
    close_bench(cx, &b);
    atn_timings_release(cx, &b.t);
}

/* Errors by hand: rows twice as slow as predicted are off by a half; of one that is as
 * predicted, and its dense twin too, the speed-up is right. */
static void errors_by_hand(atn_ctx *cx)
{
    bench b = {0};
    const atn_timing_choice c = {
        .kernel = &b.k, .device = &b.d, .pass = 0, .head_dim = 128};
    atn_check_tables t;
    int checked = 0;

    open_made_up(cx, &b);
    CHECK_OK(atn_timing_groups_find(cx, &b.t, "file", &c, &b.check));
    for (atn_idx i = 0; i < b.t.n; i++) {
        atn_timing *row = &b.t.row[i];
        const atn_time_fit *f =
            atn_kernel_own_fit(&b.k, &b.d, 128, ATN_PASS_FORWARD, ATN_MODEL_FULL);

        if (row->launch.pass != ATN_PASS_FORWARD) continue;
        CHECK_OK(atn_timing_predict(cx, &b.k, &b.d, f, row, &row->us));
        row->us *= row->launch.batch == 4 ? 2 : 1;
    }
    CHECK_OK(atn_check_tables_create(cx, &t));
    CHECK_OK(atn_check_tables_add(cx, &t, &b.check, -1, &checked));
    CHECK_NEAR(cell(t.errors, "dense", "error_mean"), .5 / 3, 1e-12);
    CHECK_NEAR(cell(t.errors, "dense", "error_median"), 0, 1e-12);
    CHECK_NEAR(cell(t.errors, "window 128", "error_p90"), .5, 1e-12);
    CHECK_NEAR(cell(t.errors, "all", "ratio_p95"), 2, 1e-12);
    CHECK_NEAR(cell(t.speedups, NULL, "speedup_error_model_p90"), 0, 1e-12);
    CHECK(cell(t.speedups, NULL, "speedup_error_flop_mean") > .5);
    atn_check_tables_destroy(cx, &t);
    atn_timing_groups_release(cx, &b.check);
    atn_kernel_release(cx, &b.k);
    atn_timings_release(cx, &b.t);
}

/* Groups, a fit, tables and errors with ever more allocations that succeed. */
static atn_status all_of_it(atn_ctx *cx, bench *b)
{
    const atn_timing_choice c = {.kernel = &b->k, .device = &b->d, .pass = 0};
    atn_check_tables t = {NULL, NULL};
    atn_timing_groups g = {0};
    atn_table *fits = NULL;
    atn_time_fit f;
    atn_status st = ATN_OK;
    int checked = 0;

    ATN_TRY(atn_timing_groups_find(cx, &b->t, "file", &c, &g));
    ATN_TRY(atn_calibrate(cx, &g, 0, ATN_MODEL_FOUR, &b->k, &f));
    ATN_TRY(atn_calibrate_table(cx, &g, &f, &fits));
    ATN_TRY(atn_check_tables_create(cx, &t));
    ATN_TRY(atn_check_tables_add(cx, &t, &g, -1, &checked));
done:
    atn_check_tables_destroy(cx, &t);
    atn_table_destroy(cx, fits);
    atn_timing_groups_release(cx, &g);
    return st;
}

static void memory_runs_out(atn_ctx *cx)
{
    bench b = {0};

    open_made_up(cx, &b);
    for (long left = 0;; left += 1 + left / 16) {
        check_failing f = {left};
        atn_ctx failing;
        atn_status st;

        atn_ctx_init(&failing);
        failing.alloc = (atn_allocator){check_failing_resize, &f};
        st = all_of_it(&failing, &b);
        atn_ctx_release(&failing);
        if (st == ATN_OK) break;
        CHECK_EQ(st, ATN_MEMORY);
        CHECK_LE(left, 100000);
    }
    atn_kernel_release(cx, &b.k);
    atn_timings_release(cx, &b.t);
}

CHECK_MAIN({"full model as published", full_as_published},
           {"four coefficients as published", four_as_published},
           {"groups and what is missing", groups_and_what_is_missing},
           {"fits into a file", fits_into_a_file}, {"errors by hand", errors_by_hand},
           {"memory runs out", memory_runs_out})
