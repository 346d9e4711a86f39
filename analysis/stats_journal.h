/* analysis/stats_journal.h -- finished heads on disk, so that the same request goes on
 * after a crash, a signal or a time limit.
 *
 * One line of text says whose it is (a fingerprint of the request), then one line a
 * head: its row, its query rows without weight, and its values as hexadecimal floats.
 * Heads that lack values are not kept: they are tried, and named, again. A line that
 * was cut short is dropped. The file stands beside the output until that is written.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <stdio.h>

#include "core/ctx.h"

typedef struct atn_journal {
    FILE *file;
    char *path; /* owned */
    int width;  /* values a head */
} atn_journal;

/* A head found in an existing file; row is in [0, rows). */
typedef void atn_journal_found(void *user, atn_idx row, atn_idx empty,
                               const double *values);

/* Opens or continues PATH. CANTCREATE when it belongs to another request and !force. */
atn_status atn_journal_open(atn_ctx *cx, const char *path, const char fingerprint[33],
                            atn_idx rows, int width, bool force,
                            atn_journal_found *found, void *user,
                            atn_journal *out) ATN_WARN_UNUSED;
/* One more head; on disk when it returns (IO otherwise). */
atn_status atn_journal_add(atn_ctx *cx, atn_journal *j, atn_idx row, atn_idx empty,
                           const double *values) ATN_WARN_UNUSED;
/* Closes; remove: the result is safe elsewhere. A zeroed one is fine. */
void atn_journal_close(atn_ctx *cx, atn_journal *j, bool remove_file);
