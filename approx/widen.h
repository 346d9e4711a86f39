/* approx/widen.h -- rows of queries or keys in double, for operators. */
// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "core/problem.h"

/* *out [x.rows, x.cols] <- scale x, x being the queries or the keys of h, in heap
 * memory that the caller frees also on failure. DATA names the row where one is NaN or
 * infinite; `owner` is the method. */
atn_status atn_widen_rows(atn_ctx *cx, const char *owner, const atn_head *h, atn_cmat x,
                          double scale, double **out) ATN_WARN_UNUSED;
