/* analysis/stats_journal.h -- finished heads on disk, so that the same request goes on
 * after a crash, a signal or a time limit.
 *
 * One line of text says whose it is (a fingerprint of the request), then one line a
 * head: its row, its query rows without weight, and its values as hexadecimal floats;
 * or, of a head that is not through, "+", its row, and the first and the number of the
 * values that are. Heads that lack values are not kept: they are tried, and named,
 * again. A line that was cut short is dropped. The file stands beside the output until
 * that is written; one that holds nothing does not stay.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <stdio.h>

#include "core/ctx.h"

typedef struct atn_journal {
    FILE *file;
    char *path; /* owned */
    int width;  /* values a head */
    bool holds; /* something: lines after the first */
} atn_journal;

/* Values [first, first + n) of a head, 0 <= row < rows. */
typedef struct atn_journal_line {
    atn_idx row, empty; /* empty = -1: of a head that is not through */
    int first, n;
    const double *values; /* [n] */
} atn_journal_line;

typedef void atn_journal_found(void *user, const atn_journal_line *line);

/* Opens or continues PATH. CANTCREATE when it belongs to another request and !force. */
atn_status atn_journal_open(atn_ctx *cx, const char *path, const char fingerprint[33],
                            atn_idx rows, int width, bool force,
                            atn_journal_found *found, void *user,
                            atn_journal *out) ATN_WARN_UNUSED;
/* One more line, of a whole head where empty >= 0; on disk when it returns (IO
 * otherwise). */
atn_status atn_journal_add(atn_ctx *cx, atn_journal *j,
                           const atn_journal_line *line) ATN_WARN_UNUSED;
/* Closes; remove: the result is safe elsewhere. A file that holds nothing is removed in
 * any case. A zeroed one is fine. */
void atn_journal_close(atn_ctx *cx, atn_journal *j, bool remove_file);
/* Do these bytes begin a journal? */
bool atn_journal_is(const void *data, size_t size);
