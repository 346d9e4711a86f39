/* core/table.h -- result tables: typed columns with units, rows, and a run record.
 *
 * The only thing a measure returns and the only thing a figure accepts. Columns are
 * added first, then rows appended; a cell may be missing. A table may carry one dense
 * matrix.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <stdio.h>

#include "core/mat.h"

typedef enum atn_col_type {
    ATN_COL_I64,
    ATN_COL_F32,
    ATN_COL_F64,
    ATN_COL_STR,
    ATN_COL_BOOL
} atn_col_type;

typedef struct atn_table atn_table;
struct atn_run; /* core/run.h */

/* kind is the schema noun: "stats" gives "attnscope/stats/1". */
atn_status atn_table_create(atn_ctx *cx, const char *kind,
                            atn_table **out) ATN_WARN_UNUSED;
void atn_table_destroy(atn_ctx *cx, atn_table *t);

/* Appends a column; name is the published name with its unit inside
 * ("entropy_mean_nats"), unit the bare unit for axes ("nats", "" = none), text one line
 * of help (may be NULL). Only before the first row. Returns its index through out (may
 * be NULL). */
atn_status atn_table_add_col(atn_ctx *cx, atn_table *t, const char *name,
                             atn_col_type type, const char *unit, const char *text,
                             int *out) ATN_WARN_UNUSED;
/* Appends an empty row (all cells missing); its index is atn_table_rows() - 1. */
atn_status atn_table_add_row(atn_ctx *cx, atn_table *t) ATN_WARN_UNUSED;
/* Set a cell of the last row. The column's type must match (asserted). */
void atn_table_set_i64(atn_table *t, int col, int64_t v);
void atn_table_set_f64(atn_table *t, int col, double v); /* F32 and F64 columns */
void atn_table_set_bool(atn_table *t, int col, bool v);
atn_status atn_table_set_str(atn_ctx *cx, atn_table *t, int col,
                             const char *v) ATN_WARN_UNUSED;

/* As text it is to fit a screen: 4 significant digits, names of columns over several
 * lines, none that is empty in all rows, what all rows say in a line of its own, long
 * texts without their middle. Where it is wider than cx->columns it comes in several
 * parts, or, of up to three rows, with a line a column. */
void atn_table_be_brief(atn_table *t);
bool atn_table_is_brief(const atn_table *t);

const char *atn_table_kind(const atn_table *t);
int atn_table_cols(const atn_table *t);
atn_idx atn_table_rows(const atn_table *t);
const char *atn_table_col_name(const atn_table *t, int col);
const char *atn_table_col_unit(const atn_table *t, int col);
const char *atn_table_col_text(const atn_table *t, int col);
atn_col_type atn_table_col_type(const atn_table *t, int col);
int atn_table_find_col(const atn_table *t, const char *name); /* -1 = none */
bool atn_table_has(const atn_table *t, atn_idx row, int col); /* false = missing */
/* Any numeric or boolean cell as double; NaN when missing or a string. */
double atn_table_get_f64(const atn_table *t, atn_idx row, int col);
int64_t atn_table_get_i64(const atn_table *t, atn_idx row, int col);
const char *atn_table_get_str(const atn_table *t, atn_idx row,
                              int col); /* borrowed; NULL = missing */
/* The same; "" where it is missing, of a column that is no text or not there (-1), or
 * of a row that the table has not. */
const char *atn_table_text(const atn_table *t, atn_idx row, int col);

/* Free text facts that travel with the table into figure captions and JSONL ("title",
 * "subtitle", "x_label", "pool", "command", ...). get returns NULL when absent;
 * borrowed. */
atn_status atn_table_set_meta(atn_ctx *cx, atn_table *t, const char *key,
                              const char *value) ATN_WARN_UNUSED;
const char *atn_table_get_meta(const atn_table *t, const char *key);
int atn_table_metas(const atn_table *t);
void atn_table_meta_at(const atn_table *t, int i, const char **key, const char **value);

/* One dense matrix (rows x cols float, copied); axes are named, NaN = masked cell. */
atn_status atn_table_set_matrix(atn_ctx *cx, atn_table *t, atn_cmat m,
                                const char *row_axis,
                                const char *col_axis) ATN_WARN_UNUSED;
atn_cmat atn_table_get_matrix(const atn_table *t); /* data NULL = none */
const char *atn_table_row_axis(const atn_table *t);
const char *atn_table_col_axis(const atn_table *t);

/* A table of the columns named, in this order; those that t lacks are left out. Rows
 * and facts are copied, a matrix is not. */
atn_status atn_table_pick(atn_ctx *cx, const atn_table *t, const char *const *names,
                          int n, atn_table **out) ATN_WARN_UNUSED;

typedef enum atn_table_format {
    ATN_TABLE_TEXT,
    ATN_TABLE_CSV,
    ATN_TABLE_JSONL
} atn_table_format;

/* Writes all rows. TEXT is aligned for people (6 significant digits); CSV is RFC 4180
 * with %.9g / %.17g; JSONL has "schema" and "run" (fingerprint) in every row, NaN/Inf
 * as null plus "<column>_reason", and the run record as last line. run may be NULL. IO
 * on failure. */
atn_status atn_table_write(atn_ctx *cx, const atn_table *t, const struct atn_run *run,
                           atn_table_format format, FILE *out) ATN_WARN_UNUSED;
/* The same for n tables that belong together: a blank line between texts, and the title
 * of a brief one that is not the first; one run
 * record at the very end of JSONL. */
atn_status atn_tables_write(atn_ctx *cx, const atn_table *const *tables, int n,
                            const struct atn_run *run, atn_table_format format,
                            FILE *out) ATN_WARN_UNUSED;
/* Atomically writes PATH and, for CSV, PATH.run.json, and PATH.npy when there is a
 * matrix. Refuses to overwrite unless force (CANTCREATE). */
atn_status atn_table_save(atn_ctx *cx, const atn_table *t, const struct atn_run *run,
                          atn_table_format format, const char *path,
                          bool force) ATN_WARN_UNUSED;
/* Reads a CSV (or JSONL, by content) table back; column types are inferred (I64, F64,
 * BOOL, STR); metadata comes from PATH.run.json and the matrix from PATH.npy where they
 * are there. */
atn_status atn_table_load(atn_ctx *cx, const char *path,
                          atn_table **out) ATN_WARN_UNUSED;
/* The same; the column of this name ("*" = all, NULL = none) stays text as it stands in
 * a CSV. */
atn_status atn_table_load_text(atn_ctx *cx, const char *path, const char *column,
                               atn_table **out) ATN_WARN_UNUSED;
/* A CSV in memory, without what may lie beside a file; `what` names it in messages. */
atn_status atn_table_parse(atn_ctx *cx, const char *what, const char *text, size_t size,
                           atn_table **out) ATN_WARN_UNUSED;
