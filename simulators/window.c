/* simulators/window.c -- visits and masked tiles of a window, by FA3's block range.
 *
 * Math    rows r of `pack` heads interleaved: row r is query floor(r / pack). Q tile m
 *         holds queries q0 .. q1 - 1; with o = Lk - Lq its blocks are
 *         [max(0, floor((q0 + o - left) / bn)), min(ceil(Lk / bn),
 *         ceil((q1 + o + right) / bn))). Not masked are those between the edge of the
 *         window and the diagonal, as the kernel takes them: it may mask a tile that
 *         need not be.
 * Oracle  visits equal the tiles with an allowed pair.
 * Source  cards/simulators.md 2.1; FlashAttention 3, block.h.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "simulators/work.h"

static atn_idx floor_div(atn_idx a, atn_idx b)
{
    return a >= 0 ? a / b : -atn_ceil_div(-a, b);
}

static atn_idx ceil_div(atn_idx a, atn_idx b)
{
    return -floor_div(-a, b);
}

static atn_idx clamp(atn_idx x, atn_idx lo, atn_idx hi)
{
    return ATN_MAX(lo, ATN_MIN(x, hi));
}

atn_idx atn_window_ctas(const atn_window_rule *w)
{
    return ceil_div(w->q_len * w->pack, w->bm);
}

/* Queries of Q tile m by position, [q0, q1), and the tiles [lo, hi) that they visit. */
typedef struct range {
    atn_idx q0, q1, lo, hi;
} range;

static range range_of(const atn_window_rule *w, atn_idx m)
{
    const atn_idx off = w->kv_len - w->q_len;
    range r = {.q0 = m * w->bm / w->pack + off,
               .q1 = ((m + 1) * w->bm - 1) / w->pack + 1 + off,
               .hi = ceil_div(w->kv_len, w->bn)};

    if (w->right >= 0) r.hi = ATN_MIN(r.hi, ceil_div(r.q1 + w->right, w->bn));
    if (w->left >= 0) r.lo = ATN_MAX(0, floor_div(r.q0 - w->left, w->bn));
    r.hi = ATN_MAX(r.hi, r.lo);
    return r;
}

static void give(const range *r, atn_idx inner_lo, atn_idx inner_hi, int32_t *visits,
                 int32_t *masked)
{
    const atn_idx from = clamp(inner_lo, r->lo, r->hi);
    const atn_idx to = clamp(inner_hi, r->lo, r->hi);

    *visits = (int32_t)(r->hi - r->lo);
    *masked = (int32_t)(r->hi - r->lo - ATN_MAX(0, to - from));
}

void atn_window_tiles(const atn_window_rule *w, atn_idx m, int32_t *visits,
                      int32_t *masked)
{
    const range r = range_of(w, m);
    const atn_idx to = w->right >= 0 ? floor_div(r.q0 + w->right, w->bn) : r.hi;
    const atn_idx from =
        w->left >= 0 ? ceil_div(ATN_MAX(0, r.q1 - w->left), w->bn) : r.lo;

    give(&r, from, to, visits, masked);
}

void atn_window_partial(const atn_window_rule *w, atn_idx m, int32_t *visits,
                        int32_t *partial)
{
    const range r = range_of(w, m);
    /* The last query that there is, and the last key that the first one sees. */
    const atn_idx last = ATN_MIN(r.q1, w->kv_len) - 1, end = r.q0 + w->right;
    const atn_idx to =
        w->right >= 0 && end < w->kv_len - 1 ? floor_div(end + 1, w->bn) : r.hi;
    const atn_idx from =
        w->left >= 0 ? ceil_div(ATN_MAX(0, last - w->left), w->bn) : r.lo;

    give(&r, from, to, visits, partial);
}
