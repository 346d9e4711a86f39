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
    return a >= 0 ? a / b : -((-a + b - 1) / b);
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

void atn_window_tiles(const atn_window_rule *w, atn_idx m, int32_t *visits,
                      int32_t *masked)
{
    const atn_idx off = w->kv_len - w->q_len;
    const atn_idx q0 = m * w->bm / w->pack;
    const atn_idx q1 = ((m + 1) * w->bm - 1) / w->pack + 1;
    atn_idx lo = 0, hi = ceil_div(w->kv_len, w->bn), inner_lo, inner_hi;

    if (w->right >= 0) hi = ATN_MIN(hi, ceil_div(q1 + off + w->right, w->bn));
    if (w->left >= 0) lo = ATN_MAX(lo, floor_div(q0 + off - w->left, w->bn));
    hi = ATN_MAX(hi, lo);
    inner_lo = lo;
    inner_hi = hi;
    if (w->right >= 0) inner_hi = clamp(floor_div(q0 + off + w->right, w->bn), lo, hi);
    if (w->left >= 0)
        inner_lo = clamp(ceil_div(ATN_MAX(0, q1 + off - w->left), w->bn), lo, hi);
    *visits = (int32_t)(hi - lo);
    *masked = (int32_t)(hi - lo - ATN_MAX(0, inner_hi - inner_lo));
}
