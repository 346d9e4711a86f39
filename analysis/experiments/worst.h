/* analysis/experiments/worst.h -- the worst of many comparisons of one bound: rows,
 * pairs, blocks of a head.
 *
 * A case that does not hold is worse than one that does, by how much it misses relative
 * to what the runner allows; of those that hold the tightest is kept, of equals the larger prediction. Cases whose
 * assumption is not met (predicted NAN) are left out. A trivial case, as a row that sees
 * one key, is shown where there is no other; that it holds says nothing.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "analysis/experiments/experiment.h"

typedef struct atn_worst {
    double predicted, measured, scale; /* of the worst */
    double badness;
    int64_t cases, failures;
} atn_worst;

/* Of a zeroed one to begin with. scale as of atn_check. */
void atn_worst_take(atn_worst *w, atn_relation relation, double predicted,
                    double measured, double scale);
void atn_worst_take_row(atn_worst *w, atn_relation relation, double predicted,
                        double measured, double scale, bool trivial);
void atn_worst_join(atn_worst *w, const atn_worst *more);
/* As a check; without cases the assumption was never met, and it does not apply. */
atn_check atn_worst_check(const atn_worst *w, const atn_bound *b, const char *variant);
