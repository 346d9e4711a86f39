/* approx/shares.h -- keys in at most 64 shares, to be summed side by side and added up
 * in order: cut by the number of keys alone.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "core/ctx.h"

enum { ATN_SHARES_MOST = 64, ATN_SHARE_TILE = 256 };

/* Keys of a share: whole tiles. */
static inline atn_idx atn_share_keys(atn_idx nk)
{
    const atn_idx tiles = (nk + ATN_SHARE_TILE - 1) / ATN_SHARE_TILE;

    return (tiles + ATN_SHARES_MOST - 1) / ATN_SHARES_MOST * ATN_SHARE_TILE;
}

static inline atn_idx atn_shares_of(atn_idx nk)
{
    return nk > 0 ? (nk - 1) / atn_share_keys(nk) + 1 : 0;
}
