/* tests/simulators/test_measure.c -- launches that are timed: their lists against the
 * work that a fit counts for them; the fit of made-up times; names of GPUs. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "check.h"

#include <sys/stat.h>

#include "core/tile_list.h"
#include "simulators/calibrate.h"
#include "simulators/measure.h"
#include "simulators/timing_work.h"

static atn_kernel kernel;
static atn_device device;
static atn_timings rows;

static void open(atn_ctx *cx, const atn_measure_plan *plan)
{
    CHECK_OK(atn_device_read(cx, "h200", &device));
    CHECK_OK(atn_kernel_read(cx, "attnscope", &kernel));
    atn_kernel_settle(&kernel, device.architecture);
    CHECK_OK(atn_measure_rows(cx, plan, &rows));
}

static void close(atn_ctx *cx)
{
    atn_timings_release(cx, &rows);
    atn_kernel_release(cx, &kernel);
}

/* Tiles, and masked ones, of the lists that are launched are those that a fit counts:
 * of every row of up to 4096 tokens, the random ones drawn. */
static void lists(atn_ctx *cx)
{
    open(cx, &(atn_measure_plan){.gpu = "h200", .bytes = INFINITY});
    for (atn_idx i = 0; i < rows.n; i++) {
        const atn_timing *row = &rows.row[i];
        const atn_launch *s = &row->launch;
        const atn_sight sight = {
            .causal = true, .window = row->window, .key_last = s->kv_len};
        const atn_tile_sizes sizes = {s->q_len, s->kv_len, 128, 64};
        atn_tile_list all, some;
        atn_regressors x;
        atn_work w;
        atn_idx masked = 0, n;

        if (s->q_len > 4096 || s->batch > 2) continue;
        CHECK_OK(atn_tile_list_of_sight(cx, &sight, &sizes, &all));
        CHECK_OK(atn_tile_list_thin(cx, &all, row->density, 2, &some));
        n = some.ptr[2 * some.tiles];
        for (atn_idx e = 0; e < n; e++) masked += some.item[e] & 1;
        CHECK_OK(atn_timing_work(cx, &kernel, &device, ATN_MODEL_FULL, row, &w, &x));
        CHECK_EQ(w.ctas, s->batch * s->heads * all.tiles);
        CHECK_EQ(w.tiles, s->batch * s->heads / 2 * n);
        CHECK_EQ(w.masked, s->batch * s->heads / 2 * masked);
        for (int k = 0; k < 6; k++) CHECK(x.x[ATN_TERM_KV + k] == 0);
        atn_tile_list_release(cx, &some);
        atn_tile_list_release(cx, &all);
    }
    close(cx);
}

/* Every row stands once, is of this GPU, and each head dim has rows enough of either
 * split for the model: all terms, or four coefficients where it is quick. */
static void splits(atn_ctx *cx)
{
    for (int quick = 0; quick < 2; quick++) {
        const atn_time_kind kind = quick ? ATN_MODEL_FOUR : ATN_MODEL_FULL;
        atn_idx n[2][2] = {{0}};

        open(cx, &(atn_measure_plan){.gpu = "here", .bytes = INFINITY, .quick = quick});
        if (quick) CHECK_EQ(rows.n, 56);
        for (atn_idx i = 0; i < rows.n; i++) {
            const atn_timing *row = &rows.row[i];

            CHECK_STR(row->gpu, "here");
            CHECK_STR(row->kernel, "attnscope");
            CHECK(strcmp(row->split, "fit") == 0 || strcmp(row->split, "check") == 0);
            CHECK(row->window < row->launch.q_len);
            n[row->launch.head_dim == 128][*row->split == 'f'] +=
                atn_timing_counts(row, kind);
            for (atn_idx k = 0; k < i; k++)
                CHECK(memcmp(&rows.row[k].launch, &row->launch, sizeof row->launch) ||
                      rows.row[k].window != row->window ||
                      rows.row[k].density != row->density);
        }
        for (int d = 0; d < 2; d++) {
            CHECK_LE(atn_fit_least_rows(kind), n[d][1]);
            CHECK_LE(atn_fit_least_rows(kind), n[d][0]);
        }
        close(cx);
    }
}

/* What does not fit into the card is left out; nothing is left of a tiny one. */
static void memory(atn_ctx *cx)
{
    const atn_measure_plan none = {.gpu = "x", .bytes = 1 << 20},
                           small = {.gpu = "x", .bytes = 64 << 20, .head_dim = 64};
    double most = 0;

    CHECK_FAILS(atn_measure_rows(cx, &none, &rows), ATN_DATA, "no launch is left");
    CHECK_FAILS(atn_measure_rows(
                    cx, &(atn_measure_plan){.bytes = INFINITY, .head_dim = 96}, &rows),
                ATN_DATA, "64 and 128");
    open(cx, &small);
    for (atn_idx i = 0; i < rows.n; i++) {
        const atn_launch *s = &rows.row[i].launch;
        const double heads = (double)(s->batch * (2 * s->heads + 2 * s->kv_heads));

        CHECK_EQ(s->head_dim, 64);
        most = fmax(most, 2 * 64 * heads * (double)s->q_len);
    }
    CHECK(most > 32 << 20 && most < 64 << 20);
    close(cx);
}

/* Times made of known coefficients, through a file: they come back. */
static void recovered(atn_ctx *cx)
{
    const atn_time_fit made = {.model = ATN_MODEL_FULL,
                               .head_dim = 128,
                               .c = {[ATN_TERM_T0] = 6,
                                     [ATN_TERM_CTA] = 2.5,
                                     [ATN_TERM_TILE] = 1.25,
                                     [ATN_TERM_MASK] = .5,
                                     [ATN_TERM_QO] = .125,
                                     [ATN_TERM_L2] = 3},
                               .slow = .12,
                               .theta_ms = 8};
    const char *path = ATN_TEST_SCRATCH "/measured.csv";
    atn_timing_groups groups;
    atn_table *t = NULL;
    atn_time_fit found;

    mkdir(ATN_TEST_SCRATCH, 0777);
    open(cx, &(atn_measure_plan){.gpu = "h200", .bytes = 2e9, .head_dim = 128});
    for (atn_idx i = 0; i < rows.n; i++)
        CHECK_OK(atn_timing_predict(cx, &kernel, &device, &made, &rows.row[i],
                                    &rows.row[i].us));
    CHECK_OK(atn_measure_table(cx, &rows, &t));
    atn_timings_release(cx, &rows);
    CHECK_OK(atn_table_save(cx, t, NULL, ATN_TABLE_CSV, path, true));
    atn_table_destroy(cx, t);
    CHECK_OK(atn_timings_load(cx, path, &rows));
    CHECK_OK(atn_timing_groups_find(
        cx, &rows, path,
        &(atn_timing_choice){
            .kernel = &kernel, .device = &device, .split = "fit", .pass = -1},
        &groups));
    CHECK_EQ(groups.n, 1);
    CHECK_OK(atn_calibrate(cx, &groups, 0, -1, &kernel, &found));
    CHECK_EQ(found.model, ATN_MODEL_FULL);
    for (int i = 0; i < ATN_TERMS; i++)
        CHECK_NEAR(found.c[i], made.c[i], 1e-3 * (1 + made.c[i]));
    CHECK_NEAR(found.slow, .12, 1e-12);
    CHECK_LE(found.mape, 1e-4);
    atn_timing_groups_release(cx, &groups);
    close(cx);
    remove(path);
}

/* Names as NVIDIA's driver has them. */
static void names(atn_ctx *cx)
{
    static const char *const all[][2] = {{"NVIDIA H200", "h200"},
                                         {"NVIDIA H100 80GB HBM3", "h100"},
                                         {"NVIDIA H100 PCIe", "h100-pcie"},
                                         {"NVIDIA A100-SXM4-40GB", "a100-40gb"},
                                         {"NVIDIA A100-SXM4-80GB", "a100"},
                                         {"NVIDIA A10G", "a10g"},
                                         {"NVIDIA L4", "l4"},
                                         {"NVIDIA L40S", "l40s"},
                                         {"NVIDIA GeForce RTX 4090", "rtx4090"},
                                         {"NVIDIA B200", "b200"},
                                         {"NVIDIA GB200", "gb200"},
                                         {"Tesla T4", "t4"},
                                         {"Tesla V100-SXM2-16GB", "v100"},
                                         {"NVIDIA L40", NULL},
                                         {"NVIDIA GeForce RTX 4090 Ti", "rtx4090"},
                                         {"host shim", NULL},
                                         {"", NULL}};

    (void)cx;
    for (size_t i = 0; i < ATN_LEN(all); i++) {
        const char *found = atn_measure_device(all[i][0]);

        if (all[i][1])
            CHECK_STR(found, all[i][1]);
        else
            CHECK(found == NULL);
    }
}

static void failing(atn_ctx *cx)
{
    const atn_measure_plan plan = {.gpu = "x", .bytes = INFINITY, .quick = true};
    atn_status st = ATN_MEMORY;

    (void)cx;
    for (long k = 0; st == ATN_MEMORY; k++) {
        check_failing f = {k};
        atn_timings some = {0};
        atn_table *t = NULL;
        atn_ctx small;

        atn_ctx_init(&small);
        small.alloc = (atn_allocator){check_failing_resize, &f};
        st = atn_measure_rows(&small, &plan, &some);
        if (st == ATN_OK) st = atn_measure_table(&small, &some, &t);
        CHECK(st == ATN_OK || st == ATN_MEMORY);
        atn_table_destroy(&small, t);
        atn_timings_release(&small, &some);
        atn_ctx_release(&small);
    }
}

CHECK_MAIN({"lists", lists}, {"splits", splits}, {"memory", memory},
           {"recovered", recovered}, {"names", names}, {"failing", failing})
