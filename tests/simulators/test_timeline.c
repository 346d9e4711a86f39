/* tests/simulators/test_timeline.c -- the schedule of a launch, and the tiles of a
 * head, as tables. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "check.h"

#include "simulators/timeline.h"

enum { SMS = 132 };

typedef struct bed {
    atn_device device;
    atn_kernel kernel;
    atn_sim_opts o;
} bed;

static void open(atn_ctx *cx, bed *b, atn_idx heads)
{
    CHECK_OK(atn_device_read(cx, "h200", &b->device));
    CHECK_OK(atn_kernel_read(cx, "fa3", &b->kernel));
    atn_sim_defaults(&b->o);
    b->o.device = &b->device;
    b->o.kernel = &b->kernel;
    b->o.bare = true;
    b->o.shape.heads = b->o.shape.kv_heads = heads;
}

static atn_pattern *causal_of(atn_ctx *cx, atn_idx n)
{
    const atn_frame f = atn_frame_square(n, 1, true);
    const atn_span offsets = {0, n};
    atn_pattern *p;

    CHECK_OK(atn_pattern_shift(cx, &f, &offsets, 1, 0, &p));
    return p;
}

static double cell(const atn_table *t, atn_idx row, const char *name)
{
    const int col = atn_table_find_col(t, name);

    CHECK(col >= 0);
    return atn_table_get_f64(t, row, col);
}

static atn_status timeline(atn_ctx *cx, const bed *b, const atn_pattern *p,
                           atn_table **out)
{
    return atn_timeline_table(cx, "causal", &p, 1, &b->o, out);
}

/* 16 tiles of 128 queries of each of 12 heads, once each, tile i with i + 1 visits of
 * which one is masked. Each goes to the SM that is free first, and the last one ends
 * with the kernel. */
static void schedule(atn_ctx *cx)
{
    double free_at[SMS] = {0}, last = 0, first = 1e300;
    atn_pattern *p = causal_of(cx, 2048);
    int seen[12 * 16] = {0};
    atn_table *t = NULL;
    atn_sim sim;
    bed b;

    open(cx, &b, 12);
    CHECK_OK(timeline(cx, &b, p, &t));
    CHECK_OK(atn_simulate(cx, (const atn_pattern *const *)&p, 1, &b.o, &sim));
    CHECK_EQ(atn_table_rows(t), 12 * 16);
    CHECK_STR(atn_table_get_meta(t, "sms"), "132");
    for (atn_idx r = 0; r < atn_table_rows(t); r++)
        first = fmin(first, cell(t, r, "begin_ms"));
    for (int s = 0; s < SMS; s++) free_at[s] = first;
    for (atn_idx r = 0; r < atn_table_rows(t); r++) {
        const double tile = cell(t, r, "tile"), sm = cell(t, r, "sm");
        int least = 0;

        for (int s = 1; s < SMS; s++)
            if (free_at[s] < free_at[least] - 1e-12) least = s;
        CHECK_EQ(sm, least);
        CHECK_NEAR(cell(t, r, "begin_ms"), free_at[least], 1e-9);
        free_at[least] = cell(t, r, "end_ms");
        CHECK_EQ(cell(t, r, "visits"), tile + 1);
        CHECK_EQ(cell(t, r, "masked"), 1);
        seen[(int)(cell(t, r, "head") * 16 + tile)]++;
        last = fmax(last, cell(t, r, "end_ms"));
    }
    for (size_t i = 0; i < ATN_LEN(seen); i++) CHECK_EQ(seen[i], 1);
    CHECK_NEAR(last, sim.kernel_ms, 1e-12);
    atn_sim_release(cx, &sim);
    atn_kernel_release(cx, &b.kernel);
    atn_table_destroy(cx, t);
    atn_pattern_destroy(cx, p);
}

/* 64 tiles of 64 heads are 31 CTAs an SM: the time is of the mean, the schedule there
 * all the same, stretched to it. */
static void where_the_mean_is_taken(atn_ctx *cx)
{
    atn_pattern *p = causal_of(cx, 8192);
    atn_table *t = NULL;
    double last = 0;
    atn_sim sim;
    bed b;

    open(cx, &b, 64);
    CHECK_OK(timeline(cx, &b, p, &t));
    CHECK_OK(atn_simulate(cx, (const atn_pattern *const *)&p, 1, &b.o, &sim));
    CHECK(sim.work.mean);
    CHECK_EQ(atn_table_rows(t), 64 * 64);
    for (atn_idx r = 0; r < atn_table_rows(t); r++)
        last = fmax(last, cell(t, r, "end_ms"));
    CHECK_NEAR(last, sim.kernel_ms, 1e-12);
    atn_sim_release(cx, &sim);
    atn_kernel_release(cx, &b.kernel);
    atn_table_destroy(cx, t);
    atn_pattern_destroy(cx, p);
}

/* More than a million CTAs are not kept, and a decode step has none. */
static void refusals(atn_ctx *cx)
{
    atn_pattern *p = causal_of(cx, 131072);
    atn_table *t = NULL;
    bed b;

    open(cx, &b, 2048);
    b.o.shape.kv_heads = 256;
    b.o.shape.head_dim = 64;
    CHECK_FAILS(timeline(cx, &b, p, &t), ATN_MEMORY,
                "CTAs, more than the 1048576 that are kept");
    b.o.shape.heads = b.o.shape.kv_heads = 8;
    b.o.shape.pass = ATN_PASS_DECODE;
    CHECK_FAILS(timeline(cx, &b, p, &t), ATN_USAGE, "no schedule");
    CHECK(t == NULL);
    atn_kernel_release(cx, &b.kernel);
    atn_pattern_destroy(cx, p);
}

/* ---- tiles ---- */

static void tile_table(atn_ctx *cx, bed *b, const atn_pattern *p, atn_idx cells,
                       atn_table **out)
{
    atn_sim sim;

    CHECK_OK(atn_simulate(cx, &p, 1, &b->o, &sim));
    CHECK_OK(
        atn_tile_table(cx, &(atn_sim_case){"causal", &b->o, &sim}, p, 0, cells, out));
    atn_sim_release(cx, &sim);
}

/* 16 x 16 tiles: 120 full ones below the diagonal, 16 partial on it. Joined by four a
 * cell of the diagonal holds 6 full and 4 partial ones of 16: (12 + 4) / 16 = 1. */
static void tiles(atn_ctx *cx)
{
    atn_pattern *p = causal_of(cx, 2048);
    atn_table *t = NULL;
    atn_cmat m;
    bed b;

    open(cx, &b, 8);
    tile_table(cx, &b, p, 512, &t);
    m = atn_table_get_matrix(t);
    CHECK(m.rows == 16 && m.cols == 16);
    for (atn_idx i = 0; i < 16; i++)
        for (atn_idx j = 0; j < 16; j++)
            CHECK_EQ(atn_crow(m, i)[j], j > i ? 0 : j == i ? 1 : 2);
    CHECK_EQ(cell(t, 0, "visited_tiles"), 136);
    CHECK_EQ(cell(t, 0, "full_tiles"), 120);
    CHECK_EQ(cell(t, 0, "partial_tiles"), 16);
    CHECK_EQ(cell(t, 0, "padding_tiles"), 0);
    CHECK_EQ(cell(t, 0, "max_tiles"), 16);
    CHECK_EQ(cell(t, 0, "pairs"), 2048.0 * 2049 / 2);
    CHECK_STR(atn_table_get_str(t, 0, atn_table_find_col(t, "tile")), "128/128");
    CHECK_STR(atn_table_get_meta(t, "queries"), "16");
    atn_table_destroy(cx, t);
    t = NULL;
    tile_table(cx, &b, p, 5, &t); /* fewer, for each cell joins whole tiles */
    m = atn_table_get_matrix(t);
    CHECK(m.rows == 4 && m.cols == 4);
    CHECK_NEAR(atn_crow(m, 1)[1], 1, 1e-6);
    CHECK_NEAR(atn_crow(m, 3)[0], 2, 1e-6);
    CHECK_EQ(atn_crow(m, 0)[3], 0);
    CHECK_STR(atn_table_get_meta(t, "keys"), "16");
    atn_table_destroy(cx, t);
    atn_kernel_release(cx, &b.kernel);
    atn_pattern_destroy(cx, p);
}

/* Queries go down in the backward pass, too, where tiles of keys are stationary. */
static void backward(atn_ctx *cx)
{
    atn_pattern *p = causal_of(cx, 2048);
    atn_table *t = NULL;
    atn_cmat m;
    bed b;

    open(cx, &b, 8);
    b.o.shape.pass = ATN_PASS_BACKWARD;
    b.o.tiling.q = (atn_list){1, {64}};
    b.o.tiling.k = (atn_list){1, {128}};
    b.o.tiling.backward = true;
    tile_table(cx, &b, p, 512, &t);
    m = atn_table_get_matrix(t);
    CHECK(m.rows == 32 && m.cols == 16);
    CHECK_EQ(atn_crow(m, 31)[0], 2);
    CHECK_EQ(atn_crow(m, 0)[15], 0);
    atn_table_destroy(cx, t);
    atn_kernel_release(cx, &b.kernel);
    atn_pattern_destroy(cx, p);
}

CHECK_MAIN({"schedule", schedule}, {"where the mean is taken", where_the_mean_is_taken},
           {"refusals", refusals}, {"tiles", tiles}, {"backward", backward})
