/* viz/report.h -- one self-contained HTML file: sections, tables, figures, the run
 * record.
 *
 * No network and no script is needed to read it; figures are SVG inside data URIs, raw
 * numbers are embedded as JSON. Every text is escaped; control characters and bidi
 * overrides are made visible. What is long is kept in a temporary file until it is
 * saved.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "core/run.h"
#include "viz/figure.h"

typedef struct atn_report atn_report;

enum { ATN_REPORT_BYTES = 128 << 10 }; /* that one keeps in memory, about */

atn_status atn_report_create(atn_ctx *cx, const char *title, const char *subtitle,
                             atn_report **out) ATN_WARN_UNUSED;
void atn_report_destroy(atn_ctx *cx, atn_report *r);
/* Begins a section (it ends where the next begins) and an entry of the table of
 * contents. */
atn_status atn_report_section(atn_ctx *cx, atn_report *r,
                              const char *heading) ATN_WARN_UNUSED;
atn_status atn_report_paragraph(atn_ctx *cx, atn_report *r,
                                const char *text) ATN_WARN_UNUSED;
/* A table, in groups of columns that fit on paper, and its rows as JSON (ids table1,
 * table2, ...). On the screen rows beyond max_rows (0 = all) are folded; on paper they
 * are not. */
atn_status atn_report_table(atn_ctx *cx, atn_report *r, const atn_table *t,
                            const char *caption, atn_idx max_rows) ATN_WARN_UNUSED;
/* A figure with its caption and the command that redraws it (may be NULL). */
atn_status atn_report_figure(atn_ctx *cx, atn_report *r, const atn_figure *f,
                             const atn_table *t, const atn_figure_opts *o,
                             const char *caption, const char *command) ATN_WARN_UNUSED;
/* Appends the run record as the last section and writes the file atomically; warns in
 * the log above 20 MB. */
atn_status atn_report_save(atn_ctx *cx, atn_report *r, const atn_run *run,
                           const char *path, bool force) ATN_WARN_UNUSED;
