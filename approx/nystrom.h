/* approx/nystrom.h -- what is between the landmarks of Nystromformer, for experiments. */
// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "core/problem.h"

/* f [m, m] <- softmax over the landmarks of the keys, of each of the queries;
 * 1 <= m <= nq, nk. MEMORY. */
atn_status atn_nystrom_middle(atn_ctx *cx, const atn_head *h, atn_idx m,
                              double *f) ATN_WARN_UNUSED;
