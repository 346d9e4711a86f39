/* simulators/model.h -- from work to time: the models of card 6.3, and where their
 * coefficients come from.
 *
 * Math    tau = sum of coefficients times regressors (atn_term), t = tau (1 + a tau^2 /
 *         (tau^2 + theta^2)); decode: card 6.3. The machine model gives the same
 *         coefficients from the data sheet (machine.h).
 * Source  cards/simulators.md 6.3.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "simulators/work.h"

/* A time below this is mostly the launch's: no ratio of such times is said. */
#define ATN_RATIO_MS 0.1

/* Regressors of a forward or backward launch; of decode those of its own model. */
typedef struct atn_regressors {
    double x[ATN_TERMS];
} atn_regressors;
void atn_prefill_regressors(const atn_kernel *k, const atn_device *d,
                            const atn_launch *s, const atn_work *w,
                            atn_regressors *out);

/* kv [6] <- `amount` at the nodes of the KV write beside `width` (KV heads times head
 * dim); they are 0. */
void atn_kv_spread(double width, double amount, double *kv);

/* Time in us. bare: without what a harness times with the kernel (the KV write). */
double atn_prefill_time(const atn_time_fit *f, const atn_regressors *x, bool bare);
/* The clock that long runs lose: tau to t, and t to tau; in us. */
double atn_time_slowed(const atn_time_fit *f, double us);
double atn_time_unslowed(const atn_time_fit *f, double us);

/* One decode step: `seen` keys of kv_len are read, in `blocks` tiles of bn keys. */
typedef struct atn_decode_case {
    atn_idx seen, blocks, bn, bm;
    bool window;
} atn_decode_case;
/* That of a window (0 = none), with the usual tiles of the kernel; false where it has
 * none or the shape is no decode step. */
bool atn_decode_case_of(const atn_kernel *k, const atn_launch *s, atn_idx window,
                        atn_decode_case *out);
/* NaN throughout where the shape is impossible (no sequence, fewer heads than KV
 * heads).
 */
void atn_decode_regressors(const atn_kernel *k, const atn_device *d,
                           const atn_launch *s, const atn_decode_case *c,
                           atn_regressors *out);
/* Time in us of these: not linear, CTAs and tiles overlap with the bytes. */
double atn_decode_sum(const atn_time_fit *f, const atn_regressors *x, bool bare);
/* Both steps. */
double atn_decode_time(const atn_kernel *k, const atn_device *d, const atn_time_fit *f,
                       const atn_launch *s, const atn_decode_case *c, bool bare);

/* The fit for this device: of it; or of a GPU of the same architecture, scaled (tiles
 * by the tensor rate, CTAs by the clock, the last KV nodes by HBM); or of `like`
 * likewise; or of the machine model. *how says which, in words for a note. */
typedef struct atn_time_model {
    atn_time_fit fit;
    char how[ATN_DEVICE_TEXT];
    bool calibrated; /* else the machine model */
} atn_time_model;
atn_status atn_time_model_find(atn_ctx *cx, const atn_kernel *k, const atn_device *d,
                               const atn_launch *l, const atn_kernel_tile *tile,
                               atn_time_model *out) ATN_WARN_UNUSED;
