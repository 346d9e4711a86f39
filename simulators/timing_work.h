/* simulators/timing_work.h -- the work of a launch that was timed. */
// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "simulators/fit.h"

/* The tile that the kernel takes for it; NULL = it has none. */
const atn_kernel_tile *atn_timing_tile(const atn_kernel *k, const atn_timing *row);
/* The model is about such rows: four coefficients about q_len >= 1024 and windows
 * shorter than the sequence, all others about everything from 512 on. */
bool atn_timing_counts(const atn_timing *row, atn_time_kind kind);
/* Work and regressors of a prefill or backward row. The four coefficients know neither
 * packed groups nor splits and take the longest CTA first. work may be NULL. */
atn_status atn_timing_work(atn_ctx *cx, const atn_kernel *k, const atn_device *d,
                           atn_time_kind kind, const atn_timing *row, atn_work *work,
                           atn_regressors *out) ATN_WARN_UNUSED;
static inline atn_status atn_timing_regressors(atn_ctx *cx, const atn_kernel *k,
                                               const atn_device *d, atn_time_kind kind,
                                               const atn_timing *row,
                                               atn_regressors *out)
{
    return atn_timing_work(cx, k, d, kind, row, NULL, out);
}
/* How many of these that the model is about are of shapes of their own (launch, window,
 * density), counted up to `most` <= ATN_SHAPES_MOST: a row that comes again says
 * nothing new. */
enum { ATN_SHAPES_MOST = 64 };
atn_idx atn_timing_shapes(const atn_timing *const *row, atn_idx n, atn_time_kind kind,
                          atn_idx most);
/* DATA where a number of the fit is not finite, or is none of a kernel file. */
atn_status atn_fit_check(atn_ctx *cx, const atn_time_fit *f) ATN_WARN_UNUSED;
/* Shapes that a prefill model needs at least. */
atn_idx atn_fit_least_rows(atn_time_kind kind);
