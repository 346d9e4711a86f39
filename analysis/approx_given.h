/* analysis/approx_given.h -- what budgets fitted, kept beside the draws of a run, so that
 * a later one takes it in place of a search.
 *
 * A tensor "fitted-<method>.layer-LLL" [heads, 3] F64 of draws.safetensors:
 *   the value of the parameter; the pairs of the head that it was fitted to; 0 met,
 *   1 least, 2 most. NaN where nothing was fitted.
 * A value is taken where this run has the same number of pairs to fit to.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "analysis/approx_fit.h"

/* One layer of a case. */
typedef struct atn_given {
    const atn_choice *choice;
    atn_idx layer, heads;
    double *earlier; /* [heads, 3], NaN where the file has nothing */
    double *now;     /* likewise, of this run */
} atn_given;

/* In the arena. DATA names a value that the parameter cannot have. d NULL = no file. */
atn_status atn_given_read(atn_ctx *cx, const atn_draws *d,
                          atn_given *g) ATN_WARN_UNUSED;
/* Is there a value of head h for so many pairs? */
bool atn_given_of(const atn_given *g, atn_idx h, double pairs, atn_fit_given *out);
/* What was fitted for a unit of n heads to `pairs` each. */
void atn_given_note(atn_given *g, const atn_fitted *f, atn_idx first, double pairs);
/* Keeps what was noted, if anything was. d may be NULL. */
atn_status atn_given_keep(atn_ctx *cx, atn_draws *d,
                          const atn_given *g) ATN_WARN_UNUSED;
