/* core/table.c -- result tables in memory; reading and writing are in table_io.c.
 *
 * A cell is 8 bytes in its column's array; strings are owned copies. Rows grow by
 * doubling.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "core/table.h"

#include <math.h>
#include <string.h>

typedef union cell {
    int64_t i64; /* also bool */
    double f64;
    char *str;
} cell;

typedef struct column {
    char *name, *unit, *text;
    atn_col_type type;
    cell *cells;
    bool *has;
} column;

typedef struct meta {
    char *key, *value;
} meta;

struct atn_table {
    char *kind;
    column *cols;
    int n_cols;
    atn_idx n_rows, room;
    meta *metas;
    int n_metas;
    atn_mat matrix;
    char *row_axis, *col_axis;
    bool brief;
};

atn_status atn_table_create(atn_ctx *cx, const char *kind, atn_table **out)
{
    atn_status st = ATN_OK;
    atn_table *t = NULL;

    *out = NULL;
    ATN_NEW(t, 1);
    t->kind = atn_strdup(cx, kind);
    if (!t->kind) {
        st = cx->err.code;
        goto done;
    }
    *out = t;
    t = NULL;
done:
    atn_table_destroy(cx, t);
    return st;
}

static void destroy_column(atn_ctx *cx, column *c, atn_idx n_rows)
{
    if (c->type == ATN_COL_STR && c->cells)
        for (atn_idx r = 0; r < n_rows; r++)
            if (c->has[r]) atn_free(cx, c->cells[r].str);
    atn_free(cx, c->name);
    atn_free(cx, c->unit);
    atn_free(cx, c->text);
    atn_free(cx, c->cells);
    atn_free(cx, c->has);
}

void atn_table_destroy(atn_ctx *cx, atn_table *t)
{
    if (!t) return;
    for (int c = 0; c < t->n_cols; c++) destroy_column(cx, &t->cols[c], t->n_rows);
    for (int m = 0; m < t->n_metas; m++) {
        atn_free(cx, t->metas[m].key);
        atn_free(cx, t->metas[m].value);
    }
    atn_free(cx, t->kind);
    atn_free(cx, t->cols);
    atn_free(cx, t->metas);
    atn_free(cx, t->matrix.data);
    atn_free(cx, t->row_axis);
    atn_free(cx, t->col_axis);
    atn_free(cx, t);
}

atn_status atn_table_add_col(atn_ctx *cx, atn_table *t, const char *name,
                             atn_col_type type, const char *unit, const char *text,
                             int *out)
{
    column *grown = atn_realloc(cx, t->cols, t->n_cols + 1, sizeof *grown), *c;

    ATN_ASSERT(t->n_rows == 0);
    if (!grown) return cx->err.code;
    t->cols = grown;
    c = &grown[t->n_cols];
    *c = (column){atn_strdup(cx, name),
                  atn_strdup(cx, unit ? unit : ""),
                  atn_strdup(cx, text ? text : ""),
                  type,
                  NULL,
                  NULL};
    t->n_cols++;
    if (!c->name || !c->unit || !c->text) return cx->err.code;
    if (out) *out = t->n_cols - 1;
    return ATN_OK;
}

static atn_status grow(atn_ctx *cx, atn_table *t)
{
    const atn_idx room = ATN_MAX(2 * t->room, (atn_idx)16);

    for (int i = 0; i < t->n_cols; i++) {
        column *c = &t->cols[i];
        cell *cells = atn_realloc(cx, c->cells, room, sizeof *cells);
        bool *has;

        if (!cells) return cx->err.code;
        c->cells = cells;
        has = atn_realloc(cx, c->has, room, sizeof *has);
        if (!has) return cx->err.code;
        c->has = has;
    }
    t->room = room;
    return ATN_OK;
}

atn_status atn_table_add_row(atn_ctx *cx, atn_table *t)
{
    if (t->n_rows == t->room && grow(cx, t) != ATN_OK) return cx->err.code;
    for (int c = 0; c < t->n_cols; c++) t->cols[c].has[t->n_rows] = false;
    t->n_rows++;
    return ATN_OK;
}

static cell *last_cell(atn_table *t, int col)
{
    ATN_ASSERT(col >= 0 && col < t->n_cols && t->n_rows > 0);
    t->cols[col].has[t->n_rows - 1] = true;
    return &t->cols[col].cells[t->n_rows - 1];
}

void atn_table_set_i64(atn_table *t, int col, int64_t v)
{
    ATN_ASSERT(t->cols[col].type == ATN_COL_I64);
    last_cell(t, col)->i64 = v;
}

void atn_table_set_f64(atn_table *t, int col, double v)
{
    ATN_ASSERT(t->cols[col].type == ATN_COL_F32 || t->cols[col].type == ATN_COL_F64);
    last_cell(t, col)->f64 = v;
}

void atn_table_set_bool(atn_table *t, int col, bool v)
{
    ATN_ASSERT(t->cols[col].type == ATN_COL_BOOL);
    last_cell(t, col)->i64 = v;
}

atn_status atn_table_set_str(atn_ctx *cx, atn_table *t, int col, const char *v)
{
    char *copy = atn_strdup(cx, v);
    column *c = &t->cols[col];

    ATN_ASSERT(c->type == ATN_COL_STR && t->n_rows > 0);
    if (!copy) return cx->err.code;
    if (c->has[t->n_rows - 1]) atn_free(cx, c->cells[t->n_rows - 1].str);
    last_cell(t, col)->str = copy;
    return ATN_OK;
}

void atn_table_be_brief(atn_table *t)
{
    t->brief = true;
}

bool atn_table_is_brief(const atn_table *t)
{
    return t->brief;
}

const char *atn_table_kind(const atn_table *t)
{
    return t->kind;
}
int atn_table_cols(const atn_table *t)
{
    return t->n_cols;
}
atn_idx atn_table_rows(const atn_table *t)
{
    return t->n_rows;
}
const char *atn_table_col_name(const atn_table *t, int col)
{
    return t->cols[col].name;
}
const char *atn_table_col_unit(const atn_table *t, int col)
{
    return t->cols[col].unit;
}
const char *atn_table_col_text(const atn_table *t, int col)
{
    return t->cols[col].text;
}
atn_col_type atn_table_col_type(const atn_table *t, int col)
{
    return t->cols[col].type;
}

int atn_table_find_col(const atn_table *t, const char *name)
{
    for (int c = 0; c < t->n_cols; c++)
        if (strcmp(t->cols[c].name, name) == 0) return c;
    return -1;
}

bool atn_table_has(const atn_table *t, atn_idx row, int col)
{
    ATN_ASSERT(row >= 0 && row < t->n_rows && col >= 0 && col < t->n_cols);
    return t->cols[col].has[row];
}

double atn_table_get_f64(const atn_table *t, atn_idx row, int col)
{
    const atn_col_type type = t->cols[col].type;

    if (!atn_table_has(t, row, col) || type == ATN_COL_STR) return NAN;
    if (type == ATN_COL_I64 || type == ATN_COL_BOOL)
        return (double)t->cols[col].cells[row].i64;
    return t->cols[col].cells[row].f64;
}

int64_t atn_table_get_i64(const atn_table *t, atn_idx row, int col)
{
    const atn_col_type type = t->cols[col].type;

    if (!atn_table_has(t, row, col)) return 0;
    ATN_ASSERT(type == ATN_COL_I64 || type == ATN_COL_BOOL);
    return t->cols[col].cells[row].i64;
}

const char *atn_table_get_str(const atn_table *t, atn_idx row, int col)
{
    if (!atn_table_has(t, row, col)) return NULL;
    ATN_ASSERT(t->cols[col].type == ATN_COL_STR);
    return t->cols[col].cells[row].str;
}

const char *atn_table_text(const atn_table *t, atn_idx row, int col)
{
    const char *text = NULL;

    if (col >= 0 && row < t->n_rows && t->cols[col].type == ATN_COL_STR)
        text = atn_table_get_str(t, row, col);
    return text ? text : "";
}

/* ---- metadata and matrix ---- */

atn_status atn_table_set_meta(atn_ctx *cx, atn_table *t, const char *key,
                              const char *value)
{
    char *copy = atn_strdup(cx, value);
    meta *grown;

    if (!copy) return cx->err.code;
    for (int m = 0; m < t->n_metas; m++) {
        if (strcmp(t->metas[m].key, key) != 0) continue;
        atn_free(cx, t->metas[m].value);
        t->metas[m].value = copy;
        return ATN_OK;
    }
    grown = atn_realloc(cx, t->metas, t->n_metas + 1, sizeof *grown);
    if (grown) {
        t->metas = grown;
        grown[t->n_metas] = (meta){atn_strdup(cx, key), copy};
        if (grown[t->n_metas].key) {
            t->n_metas++;
            return ATN_OK;
        }
    }
    atn_free(cx, copy);
    return cx->err.code;
}

const char *atn_table_get_meta(const atn_table *t, const char *key)
{
    for (int m = 0; m < t->n_metas; m++)
        if (strcmp(t->metas[m].key, key) == 0) return t->metas[m].value;
    return NULL;
}

int atn_table_metas(const atn_table *t)
{
    return t->n_metas;
}

void atn_table_meta_at(const atn_table *t, int i, const char **key, const char **value)
{
    *key = t->metas[i].key;
    *value = t->metas[i].value;
}

atn_status atn_table_set_matrix(atn_ctx *cx, atn_table *t, atn_cmat m,
                                const char *row_axis, const char *col_axis)
{
    atn_status st = ATN_OK;
    atn_idx count = 0;
    float *data = NULL;

    if (!atn_mul(m.rows, m.cols, &count))
        ATN_FAIL(ATN_MEMORY, "table matrix overflows");
    ATN_NEW(data, count);
    for (atn_idx i = 0; i < m.rows; i++)
        memcpy(data + i * m.cols, atn_crow(m, i), (size_t)m.cols * sizeof *data);
    atn_free(cx, t->matrix.data);
    atn_free(cx, t->row_axis);
    atn_free(cx, t->col_axis);
    t->matrix = (atn_mat){data, m.rows, m.cols, m.cols};
    t->row_axis = atn_strdup(cx, row_axis);
    t->col_axis = atn_strdup(cx, col_axis);
    if (!t->row_axis || !t->col_axis) st = cx->err.code;
done:
    return st;
}

atn_cmat atn_table_get_matrix(const atn_table *t)
{
    return atn_const(t->matrix);
}
const char *atn_table_row_axis(const atn_table *t)
{
    return t->row_axis;
}
const char *atn_table_col_axis(const atn_table *t)
{
    return t->col_axis;
}

static atn_status copy_cell(atn_ctx *cx, const column *from, atn_idx row, atn_table *to,
                            int col)
{
    if (!from->has[row]) return ATN_OK;
    if (from->type == ATN_COL_STR)
        return atn_table_set_str(cx, to, col, from->cells[row].str);
    *last_cell(to, col) = from->cells[row];
    to->cols[col].has[to->n_rows - 1] = true;
    return ATN_OK;
}

atn_status atn_table_pick(atn_ctx *cx, const atn_table *t, const char *const *names,
                          int n, atn_table **out)
{
    const atn_arena_mark mark = atn_arena_save(cx);
    atn_status st = ATN_OK;
    atn_table *p = NULL;
    int *from = NULL;

    *out = NULL;
    ATN_TAKE(from, n);
    ATN_TRY(atn_table_create(cx, t->kind, &p));
    for (int i = 0; i < n; i++) {
        const int at = atn_table_find_col(t, names[i]);
        const column *c = at < 0 ? NULL : &t->cols[at];

        if (!c) continue;
        from[p->n_cols] = at;
        ATN_TRY(atn_table_add_col(cx, p, c->name, c->type, c->unit, c->text, NULL));
    }
    for (atn_idx r = 0; r < t->n_rows; r++) {
        ATN_TRY(atn_table_add_row(cx, p));
        for (int c = 0; c < p->n_cols; c++)
            ATN_TRY(copy_cell(cx, &t->cols[from[c]], r, p, c));
    }
    for (int i = 0; i < t->n_metas; i++)
        ATN_TRY(atn_table_set_meta(cx, p, t->metas[i].key, t->metas[i].value));
    *out = p;
    p = NULL;
done:
    atn_table_destroy(cx, p);
    atn_arena_rewind(cx, mark);
    return st;
}
