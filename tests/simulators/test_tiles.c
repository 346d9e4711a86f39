/* Tiles: dense references, windows, pictures, refusals, and what does not depend on
 * threads or memory. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "approx/pattern.h"
#include "simulators/tile_twin.h"

static atn_pattern *make(atn_ctx *cx, const char *id, const char *params, atn_idx n)
{
    const atn_layout l = atn_layout_square(n, 1, 0);
    atn_pattern *p = NULL;

    CHECK_OK(atn_pattern_make(cx, id, params, &l, &p));
    return p;
}

static atn_tiling plain(atn_idx bm, atn_idx bn, atn_idx pack)
{
    const atn_tiling t = {.q = {1, {bm}}, .k = {1, {bn}}, .pack = pack};

    return t;
}

/* ---- golden numbers ---- */

/* Five tiles of 4 over 18 tokens (the last of 2) and keys in tiles of 6: causal Q tile
 * m sees keys up to 4 m + 3, so 1 2 2 3 3 tiles = 11; full ones end at or before 4 m:
 * 0 0 1 2 2 = 5. Of Flex the last Q tile, which is cut, has none: 3. */
static void causal_by_hand(atn_ctx *cx)
{
    static const int visits[] = {1, 2, 2, 3, 3}, masked[] = {1, 2, 1, 1, 1};
    atn_pattern *p = make(cx, "causal", NULL, 18);
    const atn_tiling t = plain(4, 6, 0);
    atn_tile_bounds b;
    atn_tiles c;

    CHECK_OK(atn_tiles_count(cx, p, 0, &t, &c));
    CHECK_EQ(c.ctas, 5);
    CHECK_EQ(c.other, 3);
    for (int m = 0; m < 5; m++) {
        CHECK_EQ(c.visits[m], visits[m]);
        CHECK_EQ(c.masked[m], masked[m]);
    }
    CHECK_EQ(c.visited, 11);
    CHECK_EQ(c.full, 5);
    CHECK_EQ(c.flex_full, 3);
    CHECK_EQ(c.flex_partial, 8);
    CHECK_EQ(c.pairs, 18 * 19 / 2);
    CHECK_EQ(c.max, 3);
    CHECK_EQ(c.histogram[1], 1);
    CHECK_EQ(c.histogram[2], 2);
    CHECK_EQ(c.histogram[3], 2);
    CHECK_NEAR(c.waste, 11.0 * 24 / 171, 1e-12);
    /* against itself it gains nothing, against the square 15 / 11 */
    b = atn_tiles_bounds(p, &t, &c, true);
    CHECK_NEAR(b.flop, 1, 1e-12);
    CHECK_NEAR(b.sum, 1, 1e-12);
    CHECK_NEAR(b.max, 1, 1e-12);
    b = atn_tiles_bounds(p, &t, &c, false);
    CHECK_NEAR(b.flop, 324.0 / 171, 1e-12);
    CHECK_NEAR(b.sum, 15.0 / 11, 1e-12);
    atn_tiles_release(cx, &c);
    atn_pattern_destroy(cx, p);
}

/* The dense causal reference is what counting the causal pattern gives: any tile,
 * offset, packed heads, and direction. */
static void dense_is_causal(atn_ctx *cx)
{
    const atn_span past = {0, 1 << 20};
    uint64_t r = 5;

    for (int trial = 0; trial < 300; trial++) {
        const atn_idx nk = twin_draw(&r, 1, 300), nq = twin_draw(&r, 1, (int)nk);
        const atn_frame f = {nk, nq, nk - nq, 1, true};
        atn_tiling t =
            plain(twin_draw(&r, 1, 40), twin_draw(&r, 1, 40), twin_draw(&r, 0, 4));
        atn_dense_tiles d;
        atn_pattern *p = NULL;
        atn_tiles c;

        t.backward = trial % 2;
        CHECK_OK(atn_pattern_shift(cx, &f, &past, 1, 0, &p));
        CHECK_OK(atn_tiles_count(cx, p, 0, &t, &c));
        d = atn_tiles_dense(p, &t, true);
        CHECK_NEAR(d.visited, c.visited, 0);
        CHECK_NEAR(d.pairs, c.pairs, 0);
        CHECK_NEAR(d.ctas, c.ctas, 0);
        CHECK_NEAR(d.max, c.max, 0);
        atn_tiles_release(cx, &c);
        atn_pattern_destroy(cx, p);
    }
}

/* 2^31 tokens: 2^24 tiles of 128 and the window of 4096 a tile: 33 visits of all but
 * the first 32, which see 1 .. 32. Pairs w n - w (w - 1) / 2. */
static void two_billion_tokens(atn_ctx *cx)
{
    const atn_idx n = ATN_PATTERN_KEYS_MOST, tiles = n / 128;
    const atn_tiling t = plain(128, 128, 0), one = plain(1, 1, 0);
    const atn_axes g = {
        3, {{2048, 64, 8, 1, false}, {1024, 32, 8, 1, false}, {1024, 32, 8, 1, false}}};
    const atn_tiling boxes = {
        .q = {3, {2, 8, 8}}, .k = {3, {2, 8, 8}}, .layout = ATN_LAYOUT_GRID};
    atn_pattern *p = make(cx, "window", "window=4096", n);
    atn_tiles c;

    CHECK_OK(atn_tiles_count(cx, p, 0, &t, &c));
    CHECK_EQ(c.visited, (tiles - 32) * 33 + 32 * 33 / 2);
    CHECK_EQ(c.pairs, n * 4096 - (int64_t)4096 * 4095 / 2);
    atn_tiles_release(cx, &c);
    CHECK_FAILS(atn_tiles_count(cx, p, 0, &one, &c), ATN_USAGE, "larger tiles");
    CHECK(c.visits == NULL);
    atn_pattern_destroy(cx, p);
    CHECK_OK(atn_pattern_axes(cx, &g, &p));
    CHECK_OK(atn_tiles_count(cx, p, 0, &boxes, &c));
    CHECK_EQ(c.pairs, n * 64 * 32 * 32);
    CHECK_EQ(c.ctas, tiles);
    atn_tiles_release(cx, &c);
    cx->mem_limit = 1 << 20;
    CHECK_FAILS(atn_tiles_count(cx, p, 0, &boxes, &c), ATN_MEMORY, "counting tiles");
    atn_pattern_destroy(cx, p);
}

/* ---- windows ---- */

static void check_window(atn_ctx *cx, const char *id, const char *params, bool is,
                         atn_idx left, atn_idx right)
{
    atn_pattern *p = make(cx, id, params, 64);
    atn_idx l = 7, r = 7;

    CHECK_EQ(atn_pattern_window(p, &l, &r), is);
    if (is) {
        CHECK_EQ(l, left);
        CHECK_EQ(r, right);
    }
    atn_pattern_destroy(cx, p);
}

static void windows(atn_ctx *cx)
{
    check_window(cx, "full", NULL, true, -1, -1);
    check_window(cx, "causal", NULL, true, -1, 0);
    check_window(cx, "window", "window=5", true, 4, 0);
    check_window(cx, "window", "window=64", true, -1, 0);
    check_window(cx, "window", "window=5,two_sided=yes", true, 4, 4);
    check_window(cx, "window", "window=2,block=8", false, 0, 0);
    check_window(cx, "window", "window=8,block=8", true, -1, 0);
    check_window(cx, "stream", NULL, true, -1, 0); /* its window is longer */
    check_window(cx, "stream", "window=9", false, 0, 0);
    check_window(cx, "power", "block=1", false, 0, 0);
    check_window(cx, "documents", "lengths=16", false, 0, 0);
    check_window(cx, "gna", "window=9", false, 0, 0);
    check_window(cx, "gna", "window=9,causal=1", true, 8, 0);
    check_window(cx, "gna", "window=64", true, -1, -1);
}

/* What is called a window is one, pair by pair; and is not called so in vain. */
static void windows_pair_by_pair(atn_ctx *cx)
{
    uint64_t r = 8;
    int found = 0;

    for (int trial = 0; trial < 3000; trial++) {
        const atn_idx nk = twin_draw(&r, 1, 12), nq = twin_draw(&r, 1, (int)nk);
        const atn_frame f = {nk, nq, nk - nq, twin_draw(&r, 1, 3),
                             twin_draw(&r, 0, 1) == 1};
        atn_span o = {twin_draw(&r, -9, 3), 0}, room[4];
        atn_idx left, right;
        atn_pattern *p = NULL;

        o.hi = o.lo + twin_draw(&r, 1, 20);
        CHECK_OK(atn_pattern_shift(cx, &f, &o, 1, twin_draw(&r, 0, 3) / 2, &p));
        if (atn_pattern_window(p, &left, &right)) {
            found++;
            for (atn_idx i = f.first; i < nk; i++) {
                const atn_idx lo = left < 0 ? 0 : ATN_MAX(i - left, 0),
                              hi = right < 0 ? nk : ATN_MIN(i + right + 1, nk);

                CHECK_EQ(atn_pattern_keys(p, 0, i, room), 1);
                CHECK_EQ(room[0].lo, lo);
                CHECK_EQ(room[0].hi, hi);
            }
        }
        atn_pattern_destroy(cx, p);
    }
    CHECK(found > 300);
}

/* ---- pictures ---- */

/* Of 18 causal tokens as above: 1 partial, 2 full; then all in two cells a side, tiles
 * 0 1 | 2 3 4 and 0 | 1 2. */
static void picture(atn_ctx *cx)
{
    static const float want[5][3] = {
        {1, 0, 0}, {1, 1, 0}, {2, 1, 0}, {2, 2, 1}, {2, 2, 1}};
    atn_pattern *p = make(cx, "causal", NULL, 18);
    const atn_tiling t = plain(4, 6, 0);
    float x[30];

    CHECK_OK(atn_tiles_image(cx, p, 0, &t, (atn_mat){x, 5, 3, 3}));
    for (int i = 0; i < 15; i++) CHECK_NEAR(x[i], want[i / 3][i % 3], 0);
    CHECK_OK(atn_tiles_image(cx, p, 0, &t, (atn_mat){x, 2, 2, 2}));
    CHECK_NEAR(x[0], 1, 1e-6);
    CHECK_NEAR(x[1], 1.0 / 4, 1e-6);
    CHECK_NEAR(x[2], 2, 1e-6);
    CHECK_NEAR(x[3], 7.0 / 6, 1e-6);
    /* more cells than tiles: a tile is drawn several times */
    CHECK_OK(atn_tiles_image(cx, p, 0, &t, (atn_mat){x, 10, 3, 3}));
    for (int i = 0; i < 30; i++) CHECK_NEAR(x[i], want[i / 6][i % 3], 0);
    atn_pattern_destroy(cx, p);
}

/* The picture of a grid at full size adds up to its counts. */
static void picture_of_grid(atn_ctx *cx)
{
    const atn_axes g = {
        3, {{9, 5, 2, 1, false}, {8, 3, 1, 2, true}, {12, 4, 4, 1, false}}};
    const atn_tiling t = {
        .q = {3, {2, 2, 4}}, .k = {3, {3, 2, 2}}, .layout = ATN_LAYOUT_GRID};
    int64_t full = 0, partial = 0;
    atn_pattern *p = NULL;
    atn_tiles c;
    float *x;

    CHECK_OK(atn_pattern_axes(cx, &g, &p));
    CHECK_OK(atn_tiles_count(cx, p, 0, &t, &c));
    x = calloc((size_t)(c.ctas * c.other), sizeof *x);
    CHECK_OK(atn_tiles_image(cx, p, 0, &t, (atn_mat){x, c.ctas, c.other, c.other}));
    for (atn_idx m = 0; m < c.ctas; m++) {
        atn_idx seen = 0;

        for (atn_idx k = 0; k < c.other; k++) {
            full += x[m * c.other + k] > 1.5f;
            partial += x[m * c.other + k] > 0.5f && x[m * c.other + k] < 1.5f;
            seen += x[m * c.other + k] > 0.5f;
        }
        CHECK_EQ(seen, c.visits[m]);
    }
    CHECK_EQ(full, c.full);
    CHECK_EQ(partial, c.partial + c.padding);
    free(x);
    atn_tiles_release(cx, &c);
    atn_pattern_destroy(cx, p);
}

/* ---- refusals ---- */

static void refusals(atn_ctx *cx)
{
    atn_pattern *p = make(cx, "causal", NULL, 60);
    atn_tiling t = {.q = {2, {4, 4}}, .k = {1, {16}}};
    atn_tiles c;

    CHECK_FAILS(atn_tiles_count(cx, p, 0, &t, &c), ATN_USAGE, "as many of both");
    t.k = t.q;
    CHECK_FAILS(atn_tiles_count(cx, p, 0, &t, &c), ATN_USAGE, "tiles of rank 1");
    t.layout = ATN_LAYOUT_GRID;
    CHECK_FAILS(atn_tiles_count(cx, p, 0, &t, &c), ATN_USAGE, "no grid of its own");
    t.grid = (atn_list){2, {6, 9}};
    CHECK_FAILS(atn_tiles_count(cx, p, 0, &t, &c), ATN_USAGE, "a grid of 54 tokens");
    t.grid = (atn_list){3, {3, 4, 5}};
    CHECK_FAILS(atn_tiles_count(cx, p, 0, &t, &c), ATN_USAGE, "a tile of rank 3");
    t.grid = (atn_list){2, {6, 10}};
    t.pack = 2;
    CHECK_FAILS(atn_tiles_count(cx, p, 0, &t, &c), ATN_USAGE, "2 heads share");
    t = plain(0, 4, 0);
    CHECK_FAILS(atn_tiles_count(cx, p, 0, &t, &c), ATN_USAGE, "side 0 is 0");
    t = plain(4, 4, 0);
    t.layout = ATN_LAYOUT_STRIDE;
    CHECK_FAILS(atn_tiles_count(cx, p, 0, &t, &c), ATN_USAGE, "stride 0 of 60");
    t.stride = 61;
    CHECK_FAILS(atn_tiles_count(cx, p, 0, &t, &c), ATN_USAGE, "not in 1..60");
    atn_pattern_destroy(cx, p);
}

/* ---- threads and memory ---- */

static void same(const atn_tiles *a, const atn_tiles *b)
{
    CHECK_EQ(a->visited, b->visited);
    CHECK_EQ(a->full, b->full);
    CHECK_EQ(a->flex_full, b->flex_full);
    CHECK_EQ(a->pairs, b->pairs);
    CHECK(memcmp(a->visits, b->visits, (size_t)a->ctas * sizeof *a->visits) == 0);
    CHECK(memcmp(a->masked, b->masked, (size_t)a->ctas * sizeof *a->masked) == 0);
}

static void threads(atn_ctx *cx)
{
    static const char *const ids[] = {"s2", "longnet", "power", "documents", "strided"};

    for (size_t i = 0; i < ATN_LEN(ids); i++)
        for (int k = 0; k < 4; k++) {
            const char *params = i == 3 ? "lengths=300" : NULL;
            atn_pattern *p = make(cx, ids[i], params, 5000);
            atn_tiling t = plain(32, 48, 0);
            atn_tiles a, b;

            t.layout = k / 2 ? ATN_LAYOUT_STRIDE : ATN_LAYOUT_PLAIN;
            t.stride = 7;
            t.backward = k % 2;
            cx->threads = 1;
            CHECK_OK(atn_tiles_count(cx, p, 0, &t, &a));
            cx->threads = 4;
            CHECK_OK(atn_tiles_count(cx, p, 0, &t, &b));
            same(&a, &b);
            atn_tiles_release(cx, &a);
            atn_tiles_release(cx, &b);
            atn_pattern_destroy(cx, p);
        }
}

static atn_status whole(atn_ctx *cx, const atn_pattern *p, const atn_tiling *t)
{
    atn_status st = ATN_OK;
    float x[16];
    atn_tiles c;

    ATN_TRY(atn_tiles_count(cx, p, 0, t, &c));
    atn_tiles_release(cx, &c);
    ATN_TRY(atn_tiles_image(cx, p, 0, t, (atn_mat){x, 4, 4, 4}));
done:
    return st;
}

static void failing(atn_ctx *cx)
{
    const atn_tiling tilings[] = {
        {.q = {1, {8}}, .k = {1, {8}}},
        {.q = {1, {8}}, .k = {1, {8}}, .backward = true},
        {.q = {1, {8}}, .k = {1, {8}}, .layout = ATN_LAYOUT_STRIDE, .stride = 5},
        {.q = {2, {4, 4}},
         .k = {2, {4, 4}},
         .layout = ATN_LAYOUT_GRID,
         .grid = {2, {20, 15}}}};
    static const char *const ids[][2] = {
        {"s2", NULL}, {"window", "window=9"}, {"gna", "window=9"}};

    for (size_t i = 0; i < ATN_LEN(ids) * ATN_LEN(tilings); i++) {
        atn_pattern *p = make(cx, ids[i / 4][0], ids[i / 4][1], 300);
        atn_status st = ATN_MEMORY;

        for (long k = 0; st == ATN_MEMORY; k++) {
            check_failing f = {k};
            atn_ctx small;

            atn_ctx_init(&small);
            small.threads = 1;
            small.alloc = (atn_allocator){check_failing_resize, &f};
            st = whole(&small, p, &tilings[i % 4]);
            CHECK(st == ATN_OK || st == ATN_MEMORY);
            atn_ctx_release(&small);
        }
        atn_pattern_destroy(cx, p);
    }
}

CHECK_MAIN({"causal by hand", causal_by_hand}, {"dense is causal", dense_is_causal},
           {"two billion tokens", two_billion_tokens}, {"windows", windows},
           {"windows pair by pair", windows_pair_by_pair}, {"picture", picture},
           {"picture of a grid", picture_of_grid}, {"refusals", refusals},
           {"threads", threads}, {"failing", failing})
