/* simulators/fit.h -- coefficients from timings (level L3 of cards/simulators.md 6.1).
 *
 * Math    prefill: non-negative least squares on rows divided by the measured time
 *         (Lawson-Hanson); of the full model for every clock (a, theta) of a grid, the
 *         best of which is kept. Decode: Levenberg-Marquardt on logarithms, for every
 *         P. Residuals: 5 % and 95 % of measured / predicted.
 * Source  cards/simulators.md 6.3; Lawson and Hanson, Solving Least Squares Problems.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "simulators/model.h"
#include "simulators/timings.h"

/* Least |A x - b| with x >= 0; A [m, n] row-major, columns scaled to norm 1 inside. */
atn_status atn_nnls(atn_ctx *cx, const double *a, const double *b, atn_idx m, atn_idx n,
                    double *x) ATN_WARN_UNUSED;

typedef struct atn_fit_case {
    const atn_kernel *kernel;
    const atn_device *device;
    atn_time_kind kind;
    const atn_timing *const *rows; /* [n] of one GPU, kernel, head dim and pass, all to
                                      be fitted to */
    atn_idx n;
    const double *kv; /* [6] nodes of the prefill fit, for decode; NULL = 0 */
} atn_fit_case;
/* DATA says how many rows are needed. */
atn_status atn_fit_prefill(atn_ctx *cx, const atn_fit_case *c,
                           atn_time_fit *out) ATN_WARN_UNUSED;
atn_status atn_fit_decode(atn_ctx *cx, const atn_fit_case *c,
                          atn_time_fit *out) ATN_WARN_UNUSED;
/* Predicted us of a row, harness and all. */
atn_status atn_timing_predict(atn_ctx *cx, const atn_kernel *k, const atn_device *d,
                              const atn_time_fit *f, const atn_timing *row,
                              double *us) ATN_WARN_UNUSED;
