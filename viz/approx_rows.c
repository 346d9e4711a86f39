/* viz/approx_rows.c -- rows of a table of approx by method. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "viz/approx_rows.h"

#include <math.h>
#include <string.h>

/* Rows of the first head that are looked at. */
enum { ROWS_MOST = 512 };

static bool has_numbers(const atn_table *t, int col)
{
    if (!atn_is_number_col(t, col)) return false;
    for (atn_idx r = 0; r < atn_table_rows(t); r++)
        if (isfinite(atn_table_get_f64(t, r, col))) return true;
    return false;
}

atn_approx_rows atn_approx_rows_of(const atn_table *t, const char *x)
{
    const int matrix = atn_table_find_col(t, "error_matrix");
    const int y = has_numbers(t, matrix)
                      ? matrix
                      : atn_table_find_col(t, "output_error_relative");

    return (atn_approx_rows){
        .method = atn_meta_col(t, "series", atn_table_find_col(t, "method")),
        .x = atn_meta_col(t, "x", atn_table_find_col(t, x)),
        .y = atn_meta_col(t, "y", y)};
}

bool atn_approx_rows_has(const atn_table *t, const atn_approx_rows *r, atn_idx row)
{
    return isfinite(atn_table_get_f64(t, row, r->x)) &&
           isfinite(atn_table_get_f64(t, row, r->y)) &&
           atn_table_get_str(t, row, r->method);
}

/* Is row r of the head and temperature of row 0? */
static bool is_first(const atn_table *t, atn_idx r)
{
    static const char *const keys[] = {"step", "layer", "head", "temperature"};
    const int stack = atn_table_find_col(t, "stack");

    for (size_t k = 0; k < ATN_LEN(keys); k++) {
        const int col = atn_table_find_col(t, keys[k]);

        if (atn_is_number_col(t, col) &&
            atn_table_get_f64(t, r, col) != atn_table_get_f64(t, 0, col))
            return false;
    }
    if (stack >= 0 && atn_table_col_type(t, stack) == ATN_COL_STR) {
        const char *x = atn_table_get_str(t, r, stack);
        const char *y = atn_table_get_str(t, 0, stack);

        return x && y && strcmp(x, y) == 0;
    }
    return true;
}

/* A method at several budgets or settings, of one head at one temperature. */
static bool has_method_twice(const atn_table *t, int method)
{
    const char *seen[ROWS_MOST];
    int n = 0;

    for (atn_idx r = 0; r < atn_table_rows(t) && n < ROWS_MOST; r++) {
        const char *id = atn_table_get_str(t, r, method);

        if (!id || !is_first(t, r)) continue;
        for (int k = 0; k < n; k++)
            if (strcmp(seen[k], id) == 0) return true;
        seen[n++] = id;
    }
    return false;
}

const char *atn_approx_rows_check(const atn_table *t, const atn_approx_rows *r,
                                  const char *lacks_x)
{
    if (r->method < 0 || atn_table_col_type(t, r->method) != ATN_COL_STR)
        return "it has no column method of text (give a table of approx)";
    if (!atn_is_number_col(t, r->x)) return lacks_x;
    if (!atn_is_number_col(t, r->y))
        return "it has no numeric column error_matrix nor output_error_relative";
    if (has_method_twice(t, r->method))
        return "it has several rows of one method, head and temperature, those of "
               "budgets or parameters (give one of each)";
    for (atn_idx i = 0; i < atn_table_rows(t); i++)
        if (atn_approx_rows_has(t, r, i)) return NULL;
    return "no row has a method, an error and a value along the axis";
}
