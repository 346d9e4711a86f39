/* Advice against trying everything, and the strides of the oracle rows. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "approx/pattern.h"
#include "simulators/advice.h"
#include "simulators/tile_twin.h"

static const atn_advice *advice_of(const atn_advices *a, atn_advice_kind kind)
{
    for (int i = 0; i < a->n; i++)
        if (a->at[i].kind == kind) return &a->at[i];
    return NULL;
}

static atn_pattern *axes_pattern(atn_ctx *cx, const atn_axes *g)
{
    atn_pattern *p = NULL;

    CHECK_OK(atn_pattern_axes(cx, g, &p));
    return p;
}

/* Rows 11 and 12 of cards/simulators.md 1.5: the smallest stride is 256, with 4096 and
 * 2048 visits; the rows without a stride have 4336 and, of 256 x 128, 2176. */
static void oracle_strides(atn_ctx *cx)
{
    const atn_axes g = {1, {{32768, 2048, 1, 1, false}}};
    atn_pattern *p = axes_pattern(cx, &g);

    for (int wide = 0; wide < 2; wide++) {
        const atn_advice_case c = {
            .p = p, .now = {.q = {1, {wide ? 256 : 128}}, .k = {1, {128}}}};
        const atn_advice *sparse;
        atn_advices a;
        char text[64];

        CHECK_OK(atn_advise(cx, &c, &a));
        sparse = advice_of(&a, ATN_ADVICE_STRIDE_SPARSE);
        CHECK(sparse && sparse->found);
        CHECK_EQ(sparse->stride.at[0], 256);
        CHECK_EQ(sparse->visited, wide ? 2048 : 4096);
        CHECK_EQ(sparse->partial, 0);
        CHECK_NEAR(sparse->bound_sum, 16, 1e-12);
        CHECK_NEAR(sparse->gain * (double)sparse->visited,
                   (double)advice_of(&a, ATN_ADVICE_NOW)->visited, 1e-6);
        CHECK_LE(advice_of(&a, ATN_ADVICE_STRIDE_LEAST)->visited, sparse->visited);
        atn_advice_setting(sparse, text, sizeof text);
        CHECK_STR(text, "256");
    }
    atn_pattern_destroy(cx, p);
}

/* Every stride of every axis, counted as a whole pattern. */
typedef struct tried {
    atn_idx sparse, least; /* the first that does it, 0 = none */
} tried;

static tried try_axis(atn_ctx *cx, const atn_axis *a, atn_idx tq, atn_idx tk)
{
    const atn_tiling t = {.q = {1, {tq}}, .k = {1, {tk}}, .layout = ATN_LAYOUT_GRID};
    tried best = {0, 0};
    int64_t least = INT64_MAX;

    for (atn_idx s = 1; s <= a->window; s++) {
        atn_axes g = {1, {*a}};
        atn_pattern *p;
        atn_tiles c;

        g.at[0].stride = s;
        p = axes_pattern(cx, &g);
        CHECK_OK(atn_tiles_count(cx, p, 0, &t, &c));
        if (c.sparse && best.sparse == 0) best.sparse = s;
        if (c.visited < least) best.least = s;
        least = ATN_MIN(least, c.visited);
        atn_tiles_release(cx, &c);
        atn_pattern_destroy(cx, p);
    }
    return best;
}

static void every_stride(atn_ctx *cx)
{
    uint64_t r = 9;

    for (int trial = 0; trial < 150; trial++) {
        atn_axes g = {.rank = twin_draw(&r, 1, 2)};
        atn_advice_case c = {.now = {.layout = ATN_LAYOUT_GRID}};
        const atn_advice *sparse, *least;
        atn_advices a;
        atn_pattern *p;
        bool found = true;

        c.now.q.n = c.now.k.n = g.rank;
        for (int i = 0; i < g.rank; i++) {
            atn_axis *x = &g.at[i];

            x->length = 4 * twin_draw(&r, 1, 12);
            x->dilation = twin_draw(&r, 0, 3) ? 1 : 2;
            x->window = twin_draw(&r, 1, (int)(x->length / x->dilation));
            x->stride = 1;
            x->causal = twin_draw(&r, 0, 4) == 0;
            c.now.q.at[i] = 1 << twin_draw(&r, 0, 2);
            c.now.k.at[i] = 1 << twin_draw(&r, 0, 2);
        }
        c.p = p = axes_pattern(cx, &g);
        CHECK_OK(atn_advise(cx, &c, &a));
        sparse = advice_of(&a, ATN_ADVICE_STRIDE_SPARSE);
        least = advice_of(&a, ATN_ADVICE_STRIDE_LEAST);
        for (int i = 0; i < g.rank; i++) {
            const tried t = try_axis(cx, &g.at[i], c.now.q.at[i], c.now.k.at[i]);

            found &= t.sparse > 0;
            if (sparse->found) CHECK_EQ(sparse->stride.at[i], t.sparse);
            CHECK_EQ(least->stride.at[i], t.least);
        }
        CHECK_EQ(sparse->found, found);
        if (found) CHECK_EQ(sparse->partial, 0);
        atn_pattern_destroy(cx, p);
    }
}

/* A million tokens: strides that the Q tile does not divide are not tried, and tiles of
 * a stride group are one. Of a stride s that 16 divides the windows begin at g s + s/2
 * - 2^18, clamped at 0 and 2^19, where g s / 16 are whole: aligned to 16 keys from s =
 * 32 on, and 16 is not (16 / 2 = 8). 2^16 tiles see 2^15 each then. */
static void long_axis(atn_ctx *cx)
{
    const atn_axes g = {1, {{1 << 20, 1 << 19, 1, 1, false}}};
    atn_pattern *p = axes_pattern(cx, &g);

    for (int backward = 0; backward < 2; backward++) {
        const atn_advice_case c = {.p = p,
                                   .now = {.q = {1, {16}},
                                           .k = {1, {16}},
                                           .layout = ATN_LAYOUT_GRID,
                                           .backward = backward == 1}};
        const atn_advice *sparse;
        atn_advices a;

        CHECK_OK(atn_advise(cx, &c, &a));
        sparse = advice_of(&a, ATN_ADVICE_STRIDE_SPARSE);
        CHECK(sparse->found);
        CHECK_EQ(sparse->stride.at[0], 32);
        CHECK_EQ(sparse->visited, INT64_C(1) << 31);
        CHECK_EQ(sparse->partial, 0);
        CHECK_EQ(advice_of(&a, ATN_ADVICE_STRIDE_LEAST)->visited, INT64_C(1) << 31);
    }
    atn_pattern_destroy(cx, p);
}

/* HunyuanVideo's case on a kernel that has two tiles: 18 % 4 != 0, so boxes of 4 x 4 x
 * 4 are partial; of 2 x 8 x 8 none is. */
static void best_tile(atn_ctx *cx)
{
    const atn_axes g = {
        3, {{30, 18, 16, 1, false}, {48, 24, 8, 1, false}, {80, 24, 8, 1, false}}};
    const atn_tiling tiles[] = {{.q = {3, {4, 4, 4}}, .k = {3, {4, 4, 4}}},
                                {.q = {1, {64}}, .k = {1, {64}}},
                                {.q = {3, {2, 8, 4}}, .k = {3, {2, 8, 8}}}};
    atn_pattern *p = axes_pattern(cx, &g);
    atn_advice_case c = {.p = p, .now = tiles[0], .tiles = tiles, .n_tiles = 3};
    const atn_advice *best, *now;
    atn_advices a;
    char text[64];

    c.now.layout = ATN_LAYOUT_GRID;
    CHECK_OK(atn_advise(cx, &c, &a));
    best = advice_of(&a, ATN_ADVICE_TILE);
    now = advice_of(&a, ATN_ADVICE_NOW);
    CHECK(best && best->found);
    CHECK_EQ(best->partial, 0);
    CHECK(now->partial > 0);
    CHECK_NEAR(best->gain, 1.19, 0.005); /* card 1.5, text oracle */
    atn_advice_setting(best, text, sizeof text);
    CHECK_STR(text, "2x8x4/2x8x8");
    CHECK_EQ(a.left_out, 0);
    best = advice_of(&a, ATN_ADVICE_PERMUTATION);
    atn_advice_setting(best, text, sizeof text);
    CHECK_STR(text, "grid 4x4x4/4x4x4");
    atn_pattern_destroy(cx, p);
}

/* Keys at multiples of 8 are in one tile once tokens go by their residue: 8 classes of
 * 64 tokens, of which a query sees its own; 64 x 64 pairs are one tile. */
static void best_order(atn_ctx *cx)
{
    const atn_frame f = atn_frame_square(512, 1, false);
    const atn_tiling now = {.q = {1, {64}}, .k = {1, {64}}};
    atn_advice_case c = {.now = now};
    const atn_advice *best;
    atn_span offsets[127];
    atn_pattern *p = NULL;
    atn_advices a;
    char text[64];

    for (int i = 0; i < 127; i++)
        offsets[i] = (atn_span){8 * (i - 63), 8 * (i - 63) + 1};
    CHECK_OK(atn_pattern_shift(cx, &f, offsets, 127, 0, &p));
    c.p = p;
    CHECK_OK(atn_advise(cx, &c, &a));
    best = advice_of(&a, ATN_ADVICE_PERMUTATION);
    atn_advice_setting(best, text, sizeof text);
    CHECK_STR(text, "stride 8");
    CHECK_EQ(best->visited, 8);
    CHECK_EQ(best->partial, 0);
    CHECK_NEAR(best->gain, 8, 1e-12);
    CHECK(advice_of(&a, ATN_ADVICE_STRIDE_SPARSE) == NULL);
    atn_pattern_destroy(cx, p);
}

/* The same 4 x 4 blocks of an 8 x 8 grid that a query sees, as rows of tokens: boxes
 * are what they are made for. */
static void given_grid(atn_ctx *cx)
{
    const atn_axes g = {2, {{8, 4, 4, 1, false}, {8, 4, 4, 1, false}}};
    const atn_tiling tiles[] = {{.q = {1, {16}}, .k = {1, {16}}},
                                {.q = {2, {4, 4}}, .k = {2, {4, 4}}}};
    atn_pattern *p = axes_pattern(cx, &g);
    const atn_advice_case c = {
        .p = p, .now = tiles[0], .tiles = tiles, .n_tiles = 2, .grid = {2, {8, 8}}};
    atn_advices a;
    char text[64];

    CHECK_OK(atn_advise(cx, &c, &a));
    atn_advice_setting(advice_of(&a, ATN_ADVICE_PERMUTATION), text, sizeof text);
    CHECK_STR(text, "grid 4x4/4x4");
    CHECK_EQ(advice_of(&a, ATN_ADVICE_PERMUTATION)->visited, 4);
    CHECK_EQ(advice_of(&a, ATN_ADVICE_NOW)->visited, 8);
    CHECK_EQ(advice_of(&a, ATN_ADVICE_STRIDE_SPARSE)->stride.at[1], 4);
    atn_pattern_destroy(cx, p);
}

static void tiles_of_kernel(atn_ctx *cx)
{
    atn_tiling *t;
    atn_kernel k = {0};
    int grids = 0, n;

    CHECK_OK(atn_kernel_read(cx, "fna_hopper", &k));
    t = calloc((size_t)k.tiles, sizeof *t);
    n = atn_advice_tiles(&k, 128, ATN_PASS_FORWARD, ATN_TAKES_GRID, t);
    for (int i = 0; i < n; i++) {
        grids += t[i].q.n == 3;
        CHECK_EQ(t[i].q.n, t[i].k.n);
        for (int j = 0; j < i; j++)
            CHECK(memcmp(&t[i].q, &t[j].q, sizeof t[i].q) != 0 ||
                  memcmp(&t[i].k, &t[j].k, sizeof t[i].k) != 0);
    }
    CHECK_EQ(grids, 2); /* 4x4x8/4x4x8 and 2x8x8/2x8x8 */
    free(t);
    atn_kernel_release(cx, &k);
}

/* A100, case 3 of card 1.5: of all factorisations of CUTLASS 2.x tiles the best has
 * 1.19 times less work than the default. */
static void best_of_all(atn_ctx *cx)
{
    const atn_axes g = {
        3, {{30, 18, 16, 1, false}, {48, 24, 8, 1, false}, {80, 24, 8, 1, false}}};
    atn_pattern *p = axes_pattern(cx, &g);
    atn_advice_case c = {
        .p = p,
        .now = {.q = {3, {4, 4, 4}}, .k = {3, {4, 4, 4}}, .layout = ATN_LAYOUT_GRID}};
    atn_kernel k = {0};
    atn_tiling *t;
    atn_advices a;

    CHECK_OK(atn_kernel_read(cx, "fna_cutlass2", &k));
    t = calloc((size_t)k.tiles, sizeof *t);
    c.tiles = t;
    c.n_tiles = atn_advice_tiles(&k, 128, ATN_PASS_FORWARD, ATN_TAKES_GRID, t);
    CHECK_OK(atn_advise(cx, &c, &a));
    CHECK_NEAR(advice_of(&a, ATN_ADVICE_TILE)->gain, 1.19, 0.005);
    CHECK_EQ(advice_of(&a, ATN_ADVICE_TILE)->partial, 0);
    free(t);
    atn_kernel_release(cx, &k);
    atn_pattern_destroy(cx, p);
}

/* A causal window and all of the triangle, as heads of one pattern and as two: the sums
 * are those of both, and the table shows their mean. */
static void all_heads(atn_ctx *cx)
{
    const atn_frame f = atn_frame_square(512, 1, true);
    const atn_tiling tiles[] = {{.q = {1, {64}}, .k = {1, {64}}},
                                {.q = {1, {32}}, .k = {1, {64}}}};
    const atn_span near = {0, 65}, all = {0, 512};
    const char *name = "two";
    atn_pattern *each[2], *joined;
    atn_advices a, b;
    atn_table *t;
    atn_advice_case c = {.now = tiles[0], .tiles = tiles, .n_tiles = 2, .n = 2};

    CHECK_OK(atn_pattern_shift(cx, &f, &near, 1, 0, &each[0]));
    CHECK_OK(atn_pattern_shift(cx, &f, &all, 1, 0, &each[1]));
    c.p = each[0];
    c.each = (const atn_pattern *const *)each;
    CHECK_OK(atn_advise(cx, &c, &a));
    /* 8 rows of tiles: 2 each but for the first, and 1 .. 8 */
    CHECK_EQ(a.at[0].visited, 15 + 36);
    CHECK_NEAR(a.at[0].bound_sum, 2 * 64 / 51., 1e-12);
    CHECK_OK(atn_advice_table(cx, &name, &a, 1, &t));
    CHECK_NEAR(atn_table_get_f64(t, 0, 3), 25.5, 0);
    atn_table_destroy(cx, t);
    CHECK_OK(atn_pattern_heads(cx, each, 2, &joined));
    c.p = joined;
    c.each = NULL;
    CHECK_OK(atn_advise(cx, &c, &b));
    CHECK_EQ(b.n, a.n);
    for (int i = 0; i < a.n; i++) {
        CHECK_EQ(a.at[i].visited, b.at[i].visited);
        CHECK_EQ(a.at[i].partial, b.at[i].partial);
    }
    atn_pattern_destroy(cx, joined);
}

static void as_a_table(atn_ctx *cx)
{
    const atn_axes g = {1, {{4096, 100, 1, 1, true}}};
    const char *name = "gna";
    atn_pattern *p = axes_pattern(cx, &g);
    const atn_advice_case c = {.p = p, .now = {.q = {1, {64}}, .k = {1, {64}}}};
    atn_table *t = NULL;
    atn_advices a;

    CHECK_OK(atn_advise(cx, &c, &a));
    CHECK_OK(atn_advice_table(cx, &name, &a, 1, &t));
    CHECK_EQ(atn_table_rows(t), a.n);
    CHECK_STR(atn_table_get_str(t, 0, 1), "now");
    CHECK_STR(atn_table_get_str(t, 0, 2), "64/64");
    /* the diagonal of a causal axis cuts every tile: no stride helps */
    CHECK_STR(atn_table_get_str(t, 1, 1), "stride_sparse");
    CHECK(atn_table_has(t, 1, 2) && !atn_table_has(t, 1, 3));
    atn_table_destroy(cx, t);
    atn_pattern_destroy(cx, p);
}

static void failing(atn_ctx *cx)
{
    const atn_axes g = {1, {{256, 32, 1, 2, false}}};
    atn_pattern *p = axes_pattern(cx, &g);
    const atn_advice_case c = {.p = p, .now = {.q = {1, {16}}, .k = {1, {16}}}};
    bool passed = false;

    for (long k = 0; !passed; k++) {
        check_failing f = {k};
        atn_ctx small;
        atn_advices a;
        atn_status st;

        atn_ctx_init(&small);
        small.threads = 1;
        small.alloc = (atn_allocator){check_failing_resize, &f};
        st = atn_advise(&small, &c, &a);
        CHECK(st == ATN_OK || st == ATN_MEMORY);
        passed = st == ATN_OK;
        atn_ctx_release(&small);
    }
    atn_pattern_destroy(cx, p);
}

/* The time of an advice is that of a simulation with its tiling, copies and all: the
 * order by residues visits a hundredth of the tiles of a strided mask, and copies what
 * the kernel then needs no longer. `now` is what was simulated. */
static void times(atn_ctx *cx)
{
    const atn_frame f = atn_frame_square(32768, 1, false);
    const atn_span near = {0, 1};
    const atn_idx phase = 0;
    atn_pattern *p, *diagonal;
    const atn_pattern *one;
    atn_advice_case c;
    atn_sim now, then;
    atn_advice *order;
    atn_device d;
    atn_kernel k;
    atn_sim_opts o;
    atn_advices a;

    CHECK_OK(atn_device_read(cx, "a100", &d));
    CHECK_OK(atn_kernel_read(cx, "flex", &k));
    CHECK_OK(atn_pattern_residues(cx, &f, 32768, 64, &phase, 1, &p));
    CHECK_OK(atn_pattern_shift(cx, &f, &near, 1, 0, &diagonal));
    CHECK_OK(atn_pattern_union(cx, p, diagonal, &p));
    one = p;
    atn_sim_defaults(&o);
    o.device = &d;
    o.kernel = &k;
    CHECK_OK(atn_simulate(cx, &one, 1, &o, &now));
    c = (atn_advice_case){.p = p, .now = now.tiling};
    CHECK_OK(atn_advise(cx, &c, &a));
    CHECK_OK(atn_advices_time(cx, &one, 1, &o, &now, &a));
    CHECK_NEAR(a.at[0].time_ms, now.time_ms, 0);
    CHECK_NEAR(a.at[0].speedup, now.speedup, 0);
    order = (atn_advice *)advice_of(&a, ATN_ADVICE_PERMUTATION);
    CHECK_EQ(order->tiling.layout, ATN_LAYOUT_STRIDE);
    o.tiling = order->tiling;
    CHECK_OK(atn_simulate(cx, &one, 1, &o, &then));
    CHECK_NEAR(order->time_ms, then.time_ms, 0);
    CHECK(then.passes_ms > 0 && order->time_ms > then.kernel_ms);
    CHECK(order->gain > 10 && order->time_ms < now.time_ms);
    CHECK(now.time_ms / order->time_ms < order->gain);
    atn_sim_release(cx, &now);
    atn_sim_release(cx, &then);
    atn_pattern_destroy(cx, p);
    atn_kernel_release(cx, &k);
}

/* A window of 3 is cut by tiles of 128 with every stride; the row says so, and has no
 * numbers. What cannot be run has no time. */
static void none_in_words(atn_ctx *cx)
{
    const atn_axes g = {1, {{4096, 3, 1, 1, false}}};
    atn_pattern *p = axes_pattern(cx, &g);
    const atn_pattern *one = p;
    const atn_advice_case c = {.p = p, .now = {.q = {1, {128}}, .k = {1, {128}}}};
    const char *name = "gna";
    atn_sim_opts o;
    atn_advice *sparse;
    atn_sim now = {.time_ms = 2, .speedup = 3};
    atn_table *t;
    atn_device d;
    atn_kernel k;
    atn_advices a;

    CHECK_OK(atn_device_read(cx, "h100", &d));
    CHECK_OK(atn_kernel_read(cx, "fna_hopper", &k));
    atn_sim_defaults(&o);
    o.device = &d;
    o.kernel = &k;
    CHECK_OK(atn_advise(cx, &c, &a));
    o.shape.head_dim = 4096; /* no tile */
    CHECK_OK(atn_advices_time(cx, &one, 1, &o, &now, &a));
    sparse = (atn_advice *)advice_of(&a, ATN_ADVICE_STRIDE_SPARSE);
    CHECK(sparse && !sparse->found);
    CHECK(isnan(advice_of(&a, ATN_ADVICE_STRIDE_LEAST)->time_ms));
    CHECK_EQ(cx->err.code, ATN_OK);
    CHECK_OK(atn_advice_table(cx, &name, &a, 1, &t));
    CHECK_STR(atn_table_get_str(t, 1, atn_table_find_col(t, "setting")),
              "none: every stride cuts a tile");
    CHECK(!atn_table_has(t, 1, atn_table_find_col(t, "time_ms")));
    CHECK_NEAR(atn_table_get_f64(t, 0, atn_table_find_col(t, "time_ms")), 2, 0);
    CHECK_NEAR(atn_table_get_f64(t, 0, atn_table_find_col(t, "speedup")), 3, 0);
    atn_table_destroy(cx, t);
    atn_pattern_destroy(cx, p);
    atn_kernel_release(cx, &k);
}

CHECK_MAIN({"times", times}, {"none in words", none_in_words},
           {"oracle strides", oracle_strides}, {"every stride", every_stride},
           {"a long axis", long_axis}, {"best tile", best_tile},
           {"best order", best_order}, {"given grid", given_grid},
           {"tiles of a kernel", tiles_of_kernel}, {"best of all", best_of_all},
           {"all heads", all_heads}, {"as a table", as_a_table}, {"failing", failing})
