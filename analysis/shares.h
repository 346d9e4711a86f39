/* analysis/shares.h -- the selected heads that fall to one part of the work.
 *
 * Math    a head weighs its visible pairs times d + dv, and a little for itself; parts
 *         are stretches of heads in the order of the selection, so that each loads few
 *         layers.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "analysis/select.h"
#include "core/shard.h"

/* The heads [*from, *to) among all selected ones. s NULL = all of them. */
atn_status atn_share_heads(atn_ctx *cx, const atn_shard *s, const atn_capture *c,
                           const atn_selection *sel, atn_idx *from,
                           atn_idx *to) ATN_WARN_UNUSED;
