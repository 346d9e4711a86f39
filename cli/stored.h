/* cli/stored.h -- results of approx that lie in RUN/results, as inputs of a trade-off.
 *
 * Whole ones come before samples of rows, those as usual before those with
 * --as-published, --draws, --grid or --prompt, and then the latest first: where several
 * have a case the first is taken. What is of another capture, a sweep, or cannot be
 * read is left out and said.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "analysis/tradeoff.h"
#include "cli/output.h"

enum { ATN_STORED_FILES = 32 };

typedef struct atn_stored_one {
    atn_table *approx, *tiles; /* tiles NULL = there is none */
    char *name;
    char started[32]; /* "" = computed just now */
    bool sample, odd; /* odd: with options that were not asked for now */
} atn_stored_one;

typedef struct atn_stored {
    atn_stored_one at[ATN_STORED_FILES];
    int n;
} atn_stored;

/* seed: that results must be of; NULL = any. DATA: more of them than there is room for.
 * The caller releases out, also on failure. */
atn_status atn_stored_find(atn_ctx *cx, const atn_subject *s, const uint64_t *seed,
                           atn_stored *out) ATN_WARN_UNUSED;
/* As atn_tradeoff_run takes them, [ATN_STORED_FILES]; borrowed. */
void atn_stored_inputs(const atn_stored *s, atn_tradeoff_input *out);
void atn_stored_release(atn_ctx *cx, atn_stored *s);
