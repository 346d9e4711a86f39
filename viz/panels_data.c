/* viz/panels_data.c -- which values fall on which curve of which panel. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "viz/palette.h"
#include "viz/panels_internal.h"

enum { CELLS_MOST = 1 << 24, HEADS_MOST = 16 };
static const double WIDE = 100; /* a range that a linear axis does not show */

static int optional_col(const atn_table *t, const char *name)
{
    const int col = name ? atn_table_find_col(t, name) : -1;

    return atn_is_number_col(t, col) ? col : -1;
}

int atn_panel_y_col(const atn_table *t, const atn_curve_kind *k)
{
    return atn_meta_col(t, "y", atn_table_find_col(t, k->y[0][0]));
}

double atn_panel_x(const atn_panel_data *p, atn_idx row)
{
    const double x = atn_table_get_f64(p->t, row, p->x_col);

    return p->x_high_col < 0 ? x
                             : 0.5 * (x + atn_table_get_f64(p->t, row, p->x_high_col));
}

/* A column's value of its own for panels; a table without one has a single, 0. */
static double by_of(const atn_panel_data *p, atn_idx row)
{
    return p->by_col < 0 ? 0 : atn_table_get_f64(p->t, row, p->by_col);
}

/* ---- the different values ---- */

/* The place of x in a sorted list; with room it is put there. -1 = not there. */
static int place_of(double *list, int *n, double x, int room)
{
    int at = 0;

    while (at < *n && list[at] < x) at++;
    if (at < *n && list[at] == x) return at;
    if (*n >= room) return -1;
    memmove(list + at + 1, list + at, (size_t)(*n - at) * sizeof *list);
    list[at] = x;
    ++*n;
    return at;
}

static atn_status too_many(atn_ctx *cx, const atn_panel_data *p, int col, int most,
                           const char *what)
{
    return atn_fail(cx, ATN_USAGE, __FILE__, __LINE__,
                    "column %s has more than %d values, too many for %s",
                    atn_table_col_name(p->t, col), most, what);
}

static atn_status find_values(atn_ctx *cx, atn_panel_data *p)
{
    atn_status st = ATN_OK;

    for (atn_idx r = 0; r < atn_table_rows(p->t); r++) {
        const double x = atn_panel_x(p, r), by = by_of(p, r);

        if (!isfinite(x) || !isfinite(by)) continue;
        if (place_of(p->x, &p->n_x, x, ATN_PANELS_X) < 0)
            ATN_TRY(too_many(cx, p, p->x_col, ATN_PANELS_X, p->k->fewer));
        if (place_of(p->by, &p->n_by, by, ATN_PANELS_BY) < 0)
            ATN_TRY(too_many(cx, p, p->by_col, ATN_PANELS_BY,
                             "panels (choose fewer of them)"));
    }
    if (p->n_by == 0) p->n_by = 1; /* no row has a value: check says so before */
done:
    return st;
}

/* ---- where a row goes ---- */

const atn_curve_sum *atn_panel_curve(const atn_panel_data *p, const atn_curve_sum *of,
                                     int panel, int line)
{
    return of + ((atn_idx)panel * p->n_lines + line) * p->n_x;
}

/* The point of a row among all curves; -1 = none. */
static atn_idx point_of(atn_panel_data *p, atn_idx row)
{
    const double x = atn_panel_x(p, row), by = by_of(p, row);
    const int section = p->s.of[row];
    const int inner = p->by_head ? section : p->s.group[section];
    const int at = isfinite(x) ? place_of(p->x, &p->n_x, x, 0) : -1;
    const int outer = isfinite(by) ? place_of(p->by, &p->n_by, by, 0) : -1;
    const int line = atn_series_of(&p->series, p->t, row);

    if (at < 0 || outer < 0) return -1;
    return (((atn_idx)outer * (p->panels / p->n_by) + inner) * p->n_lines + line) *
               p->n_x +
           at;
}

static void add_value(atn_curve_sum *to, double v)
{
    if (!isfinite(v)) {
        if (to->n == 0) to->n = -1;
        return;
    }
    to->sum += v;
    to->n = ATN_MAX(to->n, 0) + 1;
}

/* The value of every head at the first x: [by, section, head]. */
static atn_status find_bases(atn_ctx *cx, atn_panel_data *p, double **out)
{
    const atn_idx heads = p->s.heads, n = (atn_idx)p->n_by * p->s.n * heads;
    atn_status st = ATN_OK;
    double *base = NULL;

    if (n > CELLS_MOST)
        ATN_FAIL(ATN_USAGE, "curves of %lld heads are too many to draw (choose fewer)",
                 (long long)n);
    ATN_TAKE(base, n);
    for (atn_idx i = 0; i < n; i++) base[i] = NAN;
    for (atn_idx r = 0; r < atn_table_rows(p->t); r++) {
        const double by = by_of(p, r);

        if (atn_panel_x(p, r) != p->x[0] || !isfinite(by)) continue;
        base[((atn_idx)place_of(p->by, &p->n_by, by, 0) * p->s.n + p->s.of[r]) * heads +
             atn_section_head(p->t, r)] = atn_table_get_f64(p->t, r, p->y_col);
    }
    *out = base;
done:
    return st;
}

static atn_status add_rows(atn_ctx *cx, atn_panel_data *p)
{
    atn_status st = ATN_OK;
    double *base = NULL;

    if (p->relative) ATN_TRY(find_bases(cx, p, &base));
    for (atn_idx r = 0; r < atn_table_rows(p->t); r++) {
        const atn_idx at = point_of(p, r);
        double y = atn_table_get_f64(p->t, r, p->y_col);

        if (at < 0) continue;
        if (base)
            y /= base[((atn_idx)place_of(p->by, &p->n_by, by_of(p, r), 0) * p->s.n +
                       p->s.of[r]) *
                          p->s.heads +
                      atn_section_head(p->t, r)];
        add_value(&p->y[at], y);
        if (p->other)
            add_value(&p->other[at], atn_table_get_f64(p->t, r, p->other_col));
    }
done:
    return st;
}

/* A stack of which no row has a value has no panel. */
static atn_status find_shown(atn_ctx *cx, atn_panel_data *p)
{
    const atn_idx cells = (atn_idx)p->n_lines * p->n_x;
    atn_status st = ATN_OK;

    ATN_TAKE(p->shown, p->panels);
    for (int panel = 0; panel < p->panels; panel++) {
        const atn_curve_sum *at = atn_panel_curve(p, p->y, panel, 0);
        atn_idx i = 0;

        while (i < cells && at[i].n <= 0) i++;
        if (i < cells) p->shown[p->n_shown++] = panel;
    }
done:
    return st;
}

/* ---- means, ranges, quartiles ---- */

double atn_panel_value(const atn_panel_data *p, const atn_curve_sum *at)
{
    const double mean = at->n > 0 ? at->sum / at->n : NAN;

    if (!p->log) return mean;
    return mean > 0 ? log10(mean) : NAN;
}

static atn_idx cells_of(const atn_panel_data *p)
{
    return (atn_idx)p->panels * p->n_lines * p->n_x;
}

static void find_range(atn_panel_data *p, int axis)
{
    double least = INFINITY, most = -INFINITY;

    for (atn_idx i = 0; i < cells_of(p); i++) {
        const double v = atn_panel_value(p, &p->y[i]);

        if (!isfinite(v)) continue;
        least = fmin(least, v);
        most = fmax(most, v);
    }
    p->log = p->k->loose && least > 0 && isfinite(least) &&
             (axis == ATN_Y_LOG || (axis == ATN_Y_AUTO && most > WIDE * least));
    p->low = p->log ? log10(least) : least;
    p->high = p->log ? log10(most) : most;
    if (!p->k->loose || (!p->log && least >= 0 && least < 0.5 * most))
        p->low = fmin(p->low, 0);
    if (!(p->high > p->low))
        p->high = p->low + (p->k->loose && p->low > 0 ? p->low : 1);
    if (p->low != 0) p->low -= 0.05 * (p->high - p->low);
    p->high += 0.05 * (p->high - p->low);
}

/* The largest median of the second column, of a spread all that is drawn of it. */
static double largest_median(const atn_panel_data *p)
{
    double most = -INFINITY, q[3];

    for (int panel = 0; panel < p->panels; panel++)
        for (int i = 0; i < p->n_x; i++)
            if (atn_panel_quartiles(p, p->other, panel, i, q)) most = fmax(most, q[1]);
    return most;
}

static void find_other_range(atn_panel_data *p)
{
    p->other_high = p->spread ? largest_median(p) : -INFINITY;
    for (atn_idx i = 0; i < cells_of(p) && !p->spread; i++)
        if (p->other[i].n > 0)
            p->other_high = fmax(p->other_high, p->other[i].sum / p->other[i].n);
    if (!isfinite(p->other_high)) /* an empty column has no axis */
        p->other = NULL;
    else if (!(p->other_high > 0))
        p->other_high = 1;
    p->other_high *= 1.05;
}

bool atn_panel_quartiles(const atn_panel_data *p, const atn_curve_sum *of, int panel,
                         int i, double q[3])
{
    int n = 0;

    for (int line = 0; line < p->n_lines; line++) {
        const atn_curve_sum *at = atn_panel_curve(p, of, panel, line) + i;
        const double v =
            of == p->other ? at->n > 0 ? at->sum / at->n : NAN : atn_panel_value(p, at);

        if (isfinite(v)) p->sorted[n++] = v;
    }
    if (n == 0 || 2 * n < p->n_lines) return false;
    atn_sort(p->sorted, n);
    for (int k = 0; k < 3; k++) q[k] = atn_quantile(p->sorted, n, 0.25 * (k + 1));
    return true;
}

/* ---- all of it ---- */

/* Lines of heads or of layers, and how. */
static atn_status choose_lines(atn_ctx *cx, atn_panel_data *p, int lines)
{
    const atn_curve_kind *k = p->k;
    atn_status st = ATN_OK;

    ATN_TRY(atn_series_find(cx, p->t, atn_table_find_col(p->t, "head"), &p->series));
    p->one_head = p->series.n == 1;
    p->by_head = lines == ATN_LINES_HEADS || lines == ATN_LINES_SPREAD ||
                 (lines == ATN_LINES_AUTO && p->n_by * p->s.n <= k->panels_most &&
                  (k->spread || p->series.n <= HEADS_MOST));
    p->spread =
        lines == ATN_LINES_SPREAD || (lines == ATN_LINES_AUTO && p->by_head &&
                                      k->spread && p->series.n > ATN_PALETTE_DISTINCT);
    if (!p->by_head)
        ATN_TRY(
            atn_series_find(cx, p->t, atn_table_find_col(p->t, "layer"), &p->series));
    p->series.lines = true;
    p->n_lines = p->series.n;
    p->panels = p->n_by * (p->by_head ? p->s.n : p->s.groups);
done:
    return st;
}

static bool is_relative(const atn_panel_data *p, const atn_panels_params *params)
{
    return p->k->relative && !(params && params->absolute) &&
           strcmp(atn_table_col_name(p->t, p->y_col), p->k->relative) == 0;
}

/* Of many layers at once a second curve each would only hide the first. */
static bool shows_other(const atn_panel_data *p)
{
    return p->other_col >= 0 && p->other_col != p->y_col &&
           (p->by_head || p->n_lines <= ATN_PALETTE_DISTINCT);
}

atn_status atn_panel_gather(atn_ctx *cx, const atn_table *t, atn_panels with,
                            atn_panel_data *p)
{
    const atn_curve_kind *k = with.kind;
    const atn_panels_params usual = {0};
    const atn_panels_params *params = with.params ? with.params : &usual;
    atn_status st = ATN_OK;

    *p = (atn_panel_data){.k = k,
                          .t = t,
                          .x_col = atn_table_find_col(t, k->x),
                          .x_high_col = optional_col(t, k->x_high),
                          .y_col = atn_panel_y_col(t, k),
                          .by_col = optional_col(t, k->by),
                          .other_col = optional_col(t, k->other)};
    p->relative = is_relative(p, params);
    ATN_TRY(atn_sections_find(cx, t, &p->s));
    ATN_TRY(find_values(cx, p));
    ATN_TRY(choose_lines(cx, p, params->lines));
    if ((double)p->panels * p->n_lines * p->n_x > CELLS_MOST)
        ATN_FAIL(ATN_USAGE,
                 "%d panels of %d curves are too many to draw (choose fewer layers)",
                 p->panels, p->n_lines);
    ATN_TAKE(p->sorted, p->n_lines);
    ATN_TAKE(p->y, cells_of(p));
    if (shows_other(p)) ATN_TAKE(p->other, cells_of(p));
    for (atn_idx i = 0; i < cells_of(p); i++) {
        p->y[i] = (atn_curve_sum){0, 0};
        if (p->other) p->other[i] = (atn_curve_sum){0, 0};
    }
    ATN_TRY(add_rows(cx, p));
    ATN_TRY(find_shown(cx, p));
    find_range(p, params->axis);
    if (!isfinite(p->low))
        ATN_FAIL(
            ATN_USAGE,
            "no head has a value of %s at its first %s to show the others by (give "
            "--params absolute=true)",
            atn_table_col_name(t, p->y_col), k->x);
    if (p->other) find_other_range(p);
done:
    return st;
}
