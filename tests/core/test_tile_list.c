/* tests/core/test_tile_list.c -- lists of tiles against the mask asked pair by pair. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "check.h"

#include "core/rng.h"
#include "core/tile_list.h"

/* 10 queries, 11 keys, tiles of 4 x 3, causal, query 0 at key 1: rows 0-3 see keys
 * 0..4, tiles 0 (row 0 sees keys 0, 1: masked) and 1; rows 4-7 keys 0..8: tiles 0, 1
 * (all see keys 0..5) plain, 2 masked; rows 8, 9 see 0..9, 0..10: 0 to 2 plain, 3
 * masked. */
static void golden(atn_ctx *cx)
{
    static const int32_t want[] = {1, 3, 0, 2, 5, 0, 2, 4, 7};
    static const int64_t ptr[] = {0, 2, 5, 9};
    const atn_sight s = {.causal = true, .offset = 1, .key_last = 11};
    atn_tile_list l;

    CHECK_OK(atn_tile_list_of_sight(cx, &s, &(atn_tile_sizes){10, 11, 4, 3}, &l));
    CHECK_EQ(l.heads, 1);
    CHECK_EQ(l.tiles, 3);
    for (int i = 0; i < 4; i++) CHECK_EQ(l.ptr[i], ptr[i]);
    for (int i = 0; i < 9; i++) CHECK_EQ(l.item[i], want[i]);
    atn_tile_list_release(cx, &l);
}

static bool sees(const atn_sight *s, atn_idx i, atn_idx j)
{
    const atn_idx at = i + s->offset;

    if (j < s->key_first || j >= s->key_last) return false;
    if (s->causal && j > at) return false;
    if (s->window == 0) return true;
    return s->causal ? j > at - s->window : j >= at - s->window && j <= at + s->window;
}

static void check_tile(const atn_sight *s, const atn_tile_sizes *t, atn_idx tile,
                       const atn_tile_list *l, atn_idx k)
{
    bool any = false, all = true;
    int item = -1;

    for (atn_idx i = tile * t->rows; i < ATN_MIN((tile + 1) * t->rows, t->nq); i++)
        for (atn_idx j = k * t->keys; j < ATN_MIN((k + 1) * t->keys, t->nk); j++) {
            any = any || sees(s, i, j);
            all = all && sees(s, i, j);
        }
    for (int64_t e = l->ptr[tile]; e < l->ptr[tile + 1]; e++)
        if (l->item[e] / 2 == k) item = l->item[e];
    CHECK_EQ(item >= 0, any);
    if (any) CHECK_EQ(item & 1, !all);
}

/* 400 masks: each tile is listed exactly where one of its pairs is seen. */
static void random_masks(atn_ctx *cx)
{
    atn_rng r = atn_rng_stream(3, "test/tiles", 0, 0);

    for (int c = 0; c < 400; c++) {
        const atn_tile_sizes t = {1 + atn_rng_below(&r, 40), 1 + atn_rng_below(&r, 40),
                                  1 + atn_rng_below(&r, 9), 1 + atn_rng_below(&r, 9)};
        const atn_sight s = {.causal = c & 1,
                             .window = c & 2 ? 1 + atn_rng_below(&r, 30) : 0,
                             .offset = atn_rng_below(&r, 21) - 10,
                             .key_first = c & 4 ? atn_rng_below(&r, t.nk) : 0,
                             .key_last = t.nk};
        atn_tile_list l;

        CHECK_OK(atn_tile_list_of_sight(cx, &s, &t, &l));
        CHECK_EQ(l.tiles, (t.nq + t.rows - 1) / t.rows);
        for (atn_idx i = 0; i < l.tiles; i++)
            for (atn_idx k = 0; k * t.keys < t.nk; k++) check_tile(&s, &t, i, &l, k);
        atn_tile_list_release(cx, &l);
    }
}

/* Counts are those that are known without the draw; masked tiles come first, from the
 * last back; what is kept ascends, is of the full list, and is the same every time. */
static void thinned(atn_ctx *cx)
{
    static const double densities[] = {.01, .3, .5, 1};
    const atn_sight s = {.causal = true, .key_last = 1000};
    const atn_tile_sizes t = {1000, 1000, 32, 16};
    atn_tile_list all, some, again;

    CHECK_EQ(atn_tiles_kept(.5, 3), 2);
    CHECK_EQ(atn_tiles_kept(.05, 8), 1);
    CHECK_EQ(atn_tiles_kept(.5, 0), 0);
    CHECK_EQ(atn_tiles_kept(1, 7), 7);
    CHECK_OK(atn_tile_list_of_sight(cx, &s, &t, &all));
    for (size_t d = 0; d < ATN_LEN(densities); d++) {
        bool apart = false;

        CHECK_OK(atn_tile_list_thin(cx, &all, densities[d], 3, &some));
        CHECK_OK(atn_tile_list_thin(cx, &all, densities[d], 3, &again));
        for (atn_idx i = 0; i < 3 * all.tiles; i++) {
            const atn_idx tile = i % all.tiles, n = all.ptr[tile + 1] - all.ptr[tile];
            const int32_t *item = some.item + some.ptr[i];
            const atn_idx kept = some.ptr[i + 1] - some.ptr[i];
            const int32_t last = all.item[all.ptr[tile + 1] - 1];
            int masked = 0, there = 0;

            CHECK_EQ(kept, atn_tiles_kept(densities[d], n));
            CHECK_EQ(item[kept - 1], last);
            for (atn_idx e = 0; e < kept; e++) {
                CHECK(e == 0 || item[e] > item[e - 1]);
                CHECK(item[e] / 2 <= last / 2);
                CHECK_EQ(item[e], again.item[again.ptr[i] + e]);
                masked += item[e] & 1;
                if (i >= all.tiles)
                    apart = apart || item[e] != some.item[some.ptr[tile] + e];
            }
            for (int64_t e = all.ptr[tile]; e < all.ptr[tile + 1]; e++)
                there += all.item[e] & 1;
            CHECK_EQ(there,
                     tile < 31 ? 2 : 1); /* 32 queries over keys in tiles of 16 */
            CHECK_EQ(masked, ATN_MIN(kept, there));
        }
        CHECK_EQ(apart, densities[d] > .1 && densities[d] < 1);
        atn_tile_list_release(cx, &some);
        atn_tile_list_release(cx, &again);
    }
    atn_tile_list_release(cx, &all);
}

static void failing(atn_ctx *cx)
{
    const atn_sight s = {.causal = true, .key_last = 300};
    atn_status st = ATN_MEMORY;

    (void)cx;
    for (long k = 0; st == ATN_MEMORY; k++) {
        check_failing f = {k};
        atn_tile_list all, some = {0};
        atn_ctx small;

        atn_ctx_init(&small);
        small.alloc = (atn_allocator){check_failing_resize, &f};
        st = atn_tile_list_of_sight(&small, &s, &(atn_tile_sizes){300, 300, 32, 16},
                                    &all);
        if (st == ATN_OK) st = atn_tile_list_thin(&small, &all, .5, 2, &some);
        CHECK(st == ATN_OK || st == ATN_MEMORY);
        atn_tile_list_release(&small, &some);
        atn_tile_list_release(&small, &all);
        atn_ctx_release(&small);
    }
}

CHECK_MAIN({"golden", golden}, {"random masks", random_masks}, {"thinned", thinned},
           {"failing", failing})
