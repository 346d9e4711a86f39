/* approx/quest.h -- the bounds of pages that Quest ranks, for its test. */
// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "approx/blocks.h"

/* u <- the bounds of query i on the pages of `block` keys that it sees some key of,
 * *seen (none: lo == hi); u has room for all pages of the head. */
atn_status atn_quest_bounds(atn_ctx *cx, const atn_head *h, atn_idx block, atn_idx i,
                            float *u, atn_span *seen) ATN_WARN_UNUSED;
