/* core/tile_list.c -- lists of tiles from a mask, all of them or some by chance. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "core/tile_list.h"

#include <math.h>

#include "core/rng.h"

void atn_tile_list_release(atn_ctx *cx, atn_tile_list *l)
{
    atn_free(cx, l->ptr);
    atn_free(cx, l->item);
    *l = (atn_tile_list){0};
}

/* What the queries of a tile see: keys [lo, hi) one of them, [all_lo, all_hi) all. */
typedef struct span {
    atn_idx lo, hi, all_lo, all_hi;
} span;

static span span_of(const atn_sight *s, const atn_tile_sizes *t, atn_idx tile)
{
    const atn_idx first = tile * t->rows, end = ATN_MIN(first + t->rows, t->nq);
    span v = {t->nk, 0, 0, t->nk};

    for (atn_idx i = first; i < end; i++) {
        atn_idx lo, hi;

        atn_sight_row(s, i, &lo, &hi);
        lo = ATN_MAX(lo, 0);
        hi = ATN_MAX(ATN_MIN(hi, t->nk), lo);
        v.all_lo = ATN_MAX(v.all_lo, lo);
        v.all_hi = ATN_MIN(v.all_hi, hi);
        if (lo == hi) continue;
        v.lo = ATN_MIN(v.lo, lo);
        v.hi = ATN_MAX(v.hi, hi);
    }
    return v;
}

static atn_idx visits_of(const span *v, const atn_tile_sizes *t)
{
    return v->lo < v->hi ? (v->hi - 1) / t->keys - v->lo / t->keys + 1 : 0;
}

atn_status atn_tile_list_of_sight(atn_ctx *cx, const atn_sight *s,
                                  const atn_tile_sizes *t, atn_tile_list *out)
{
    atn_status st = ATN_OK;
    atn_idx n = 0;

    ATN_ASSERT(t->rows > 0 && t->keys > 0);
    *out = (atn_tile_list){.heads = 1, .tiles = (t->nq + t->rows - 1) / t->rows};
    if (t->nk / t->keys > INT32_MAX / 4)
        ATN_FAIL(ATN_DATA, "%lld keys are more tiles of %lld than a list can name",
                 (long long)t->nk, (long long)t->keys);
    ATN_NEW(out->ptr, out->tiles + 1);
    for (atn_idx i = 0; i < out->tiles; i++) {
        const span v = span_of(s, t, i);

        out->ptr[i + 1] = n += visits_of(&v, t);
    }
    ATN_NEW(out->item, n);
    for (atn_idx i = 0; i < out->tiles; i++) {
        const span v = span_of(s, t, i);
        int32_t *to = out->item + out->ptr[i];

        for (atn_idx k = v.lo / t->keys; to < out->item + out->ptr[i + 1]; k++) {
            const atn_idx end = ATN_MIN((k + 1) * t->keys, t->nk);

            *to++ = (int32_t)(2 * k + (k * t->keys < v.all_lo || end > v.all_hi));
        }
    }
done:
    if (st != ATN_OK) atn_tile_list_release(cx, out);
    return st;
}

/* ---- thinning ---- */

atn_idx atn_tiles_kept(double density, atn_idx visits)
{
    const atn_idx kept = (atn_idx)llround(density * (double)visits);

    return ATN_MIN(visits, ATN_MAX(1, kept));
}

/* order <- the places of n items: those to mask from the last back, then the others. */
static atn_idx put_masked_first(const int32_t *item, atn_idx n, int32_t *order)
{
    atn_idx masked = 0, at;

    for (atn_idx i = n - 1; i >= 0; i--)
        if (item[i] & 1) order[masked++] = (int32_t)i;
    at = masked;
    for (atn_idx i = 0; i < n; i++)
        if (!(item[i] & 1)) order[at++] = (int32_t)i;
    return masked;
}

/* Keeps `kept` of n items, in their order. order [n], keeps [n]: scratch. */
static void thin(atn_rng *r, const int32_t *item, atn_idx n, atn_idx kept,
                 int32_t *order, bool *keeps, int32_t *to)
{
    const atn_idx masked = put_masked_first(item, n, order);

    for (atn_idx i = masked; i < kept; i++) {
        const atn_idx with = i + atn_rng_below(r, n - i);
        const int32_t place = order[with];

        order[with] = order[i];
        order[i] = place;
    }
    for (atn_idx i = 0; i < n; i++) keeps[i] = false;
    for (atn_idx i = 0; i < kept; i++) keeps[order[i]] = true;
    for (atn_idx i = 0; i < n; i++)
        if (keeps[i]) *to++ = item[i];
}

atn_status atn_tile_list_thin(atn_ctx *cx, const atn_tile_list *from, double density,
                              atn_idx heads, atn_tile_list *out)
{
    const atn_arena_mark mark = atn_arena_save(cx);
    atn_status st = ATN_OK;
    atn_idx lists = 0, most = 0, n = 0, all;
    int32_t *order = NULL;
    bool *keeps = NULL;

    ATN_ASSERT(from->heads == 1 && density > 0 && density <= 1 && heads > 0);
    *out = (atn_tile_list){.heads = heads, .tiles = from->tiles};
    for (atn_idx i = 0; i < from->tiles; i++) {
        const atn_idx visits = from->ptr[i + 1] - from->ptr[i];

        most = ATN_MAX(most, visits);
        n += atn_tiles_kept(density, visits);
    }
    if (!atn_mul(heads, from->tiles, &lists) || !atn_mul(heads, n, &all))
        ATN_FAIL(ATN_MEMORY, "lists of %lld tiles of %lld heads overflow", (long long)n,
                 (long long)heads);
    ATN_NEW(out->ptr, lists + 1);
    ATN_NEW(out->item, all);
    ATN_TAKE(order, most);
    ATN_TAKE(keeps, most);
    for (atn_idx l = 0; l < lists; l++) {
        const atn_idx tile = l % from->tiles, first = from->ptr[tile],
                      visits = from->ptr[tile + 1] - first,
                      kept = atn_tiles_kept(density, visits);
        atn_rng r = atn_rng_stream(cx->seed, "tiles/thin", l / from->tiles, tile);

        thin(&r, from->item + first, visits, kept, order, keeps,
             out->item + out->ptr[l]);
        out->ptr[l + 1] = out->ptr[l] + kept;
    }
done:
    atn_arena_rewind(cx, mark);
    if (st != ATN_OK) atn_tile_list_release(cx, out);
    return st;
}
