/* analysis/measures/grid_distance.c -- mean attention distance on a grid of image
 * patches.
 *
 * Math    token first + y width + x lies at (x, y); d_i = sum_j P_ij |x_i - x_j| over
 *         the keys of the grid, Euclidean, times the patch's size, divided by the row's
 *         weight on the grid; mean over the rows of the grid.
 * Oracle  identity 0; uniform attention on a w x w grid: the mean distance of two
 *         cells.
 * Source  card B2; mean attention distance, Dosovitskiy et al. 2020, Raghu et al.
 *         2108.08810.
 * Cost    one pass over the rows; a table of distances by (dx, dy), width * height
 *         doubles.
 * Limits  tokens before the grid (a class token, registers) and, where the capture says
 *         what the grid is, text behind it are on neither side; a grid whose last line
 *         is not full is taken as it is. A plane: of a grid with frames the width has
 *         to be given. Empty for cross-attention, whose queries are on no grid.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#include <math.h>

#include "analysis/measure.h"

extern const atn_measure atn_measure_grid_distance;

typedef struct grid_params {
    int64_t width, first;
    double patch;
} grid_params;

static const atn_param params[] = {
    ATN_PARAM_I64(grid_params, width, 0, 0, 1 << 20,
                  "patches a line; 0 = the capture's grid, or where it has none, a "
                  "square of all tokens after the first ones"),
    ATN_PARAM_I64(grid_params, first, 1, 0, 1 << 20,
                  "tokens before a grid that the capture does not say"),
    ATN_PARAM_F64(grid_params, patch, 1, 1e-9, 1e9, "size of a patch"),
    ATN_PARAM_END,
};

enum { DISTANCE, MASS, COLS };

typedef struct walk {
    const atn_head *heads;
    atn_idx width, first, nk; /* nk: where the grid ends */
    const double *table;      /* [lines, width] distance by |dy|, |dx| */
    double *value, *mass;     /* [heads, nq] */
} walk;

static double row_distance(const walk *w, atn_idx at, const float *row, atn_idx lo,
                           atn_idx hi, double *mass)
{
    const atn_idx x = (at - w->first) % w->width, y = (at - w->first) / w->width;
    double sum = 0;

    *mass = 0;
    for (atn_idx j = ATN_MAX(lo, w->first); j < ATN_MIN(hi, w->nk); j++) {
        const atn_idx dx = (j - w->first) % w->width - x;
        const atn_idx dy = (j - w->first) / w->width - y;
        const double p = (double)row[j];

        sum += p * w->table[(dy < 0 ? -dy : dy) * w->width + (dx < 0 ? -dx : dx)];
        *mass += p;
    }
    return *mass > 0 ? sum / *mass : (double)NAN;
}

static atn_status visit(atn_ctx *cx, const atn_head *h, const atn_tile *t, atn_cmat p,
                        const atn_row_info *info, void *state)
{
    const walk *w = state;

    (void)cx;
    for (atn_idx r = 0; r < t->rows; r++) {
        const atn_idx i = t->first + r, at = atn_sight_at(&h->sight, i);
        const atn_idx to = (h - w->heads) * h->nq + i;

        w->value[to] = NAN;
        if (at < w->first || at >= w->nk || info[r].lo == info[r].hi) continue;
        w->value[to] = row_distance(w, at, atn_crow(p, r) - t->key0, info[r].lo,
                                    info[r].hi, &w->mass[to]);
        w->mass[to] /= info[r].mass;
    }
    return ATN_OK;
}

/* The grid of the capture; false = it says none, or another width is given. */
static bool grid_of(const atn_layer_facts *f, const grid_params *p, walk *w)
{
    const atn_list *g = f->capture ? atn_capture_grid(f->capture) : NULL;

    if (!g || p->width > 0 || g->n > 2) return false;
    w->width = g->at[g->n - 1];
    w->first = atn_capture_grid_first(f->capture);
    w->nk = w->first + (g->n == 2 ? g->at[0] : 1) * w->width;
    return w->nk <= f->head[0].nk;
}

/* That of the parameters; of width 0 when the tokens are no square and no width is
 * given. */
static void given_grid(const atn_layer_facts *f, const grid_params *p, walk *w)
{
    const atn_idx nk = f->head[0].nk, cells = nk - p->first,
                  side = (atn_idx)floor(sqrt((double)ATN_MAX(cells, 0)) + 0.5);

    w->nk = nk;
    w->first = p->first;
    w->width = p->width > 0 ? p->width : cells > 0 && side * side == cells ? side : 0;
}

static atn_status take_table(atn_ctx *cx, const grid_params *p, walk *w)
{
    const atn_idx lines = (w->nk - w->first - 1) / w->width + 1;
    atn_status st = ATN_OK;
    double *table = NULL;

    ATN_TAKE(table, lines * w->width);
    for (atn_idx y = 0; y < lines; y++)
        for (atn_idx x = 0; x < w->width; x++)
            table[y * w->width + x] = p->patch * hypot((double)x, (double)y);
    w->table = table;
done:
    return st;
}

static void mean_rows(const atn_layer_facts *f, const double *x, double *out)
{
    double sum = 0, n = 0;

    for (atn_idx i = 0; i < f->head[0].nq; i++) {
        if (atn_sight_query(&f->head[0].sight, i) < f->skip_rows || isnan(x[i]))
            continue;
        sum += x[i];
        n++;
    }
    *out = n > 0 ? sum / n : (double)NAN;
}

static atn_status layer(atn_ctx *cx, const atn_layer_facts *f, const void *params_,
                        double *out)
{
    const grid_params *p = params_;
    const atn_idx nq = f->head[0].nq;
    const atn_arena_mark mark = atn_arena_save(cx);
    walk w = {.heads = f->head};
    atn_status st = ATN_OK;

    if (f->head[0].sight.cross) goto done; /* queries on no grid */
    if (!grid_of(f, p, &w)) given_grid(f, p, &w);
    if (w.width == 0 || w.nk <= w.first)
        ATN_FAIL(ATN_USAGE,
                 "grid_distance: %lld keys less %lld first ones are no square (give "
                 "grid_distance:width=PATCHES,first=TOKENS)",
                 (long long)w.nk, (long long)w.first);
    ATN_TRY(atn_mem_check(cx, 16.0 * (double)f->heads * (double)nq, "grid distance"));
    ATN_TAKE(w.value, f->heads * nq);
    ATN_TAKE(w.mass, f->heads * nq);
    ATN_TRY(take_table(cx, p, &w));
    for (atn_idx i = 0; i < f->heads * nq; i++) w.value[i] = w.mass[i] = NAN;
    ATN_TRY(atn_rows_stream(cx, f->head, f->heads, visit, &w, "grid distance"));
    for (atn_idx h = 0; h < f->heads; h++) {
        mean_rows(f, w.value + h * nq, &out[h * COLS + DISTANCE]);
        mean_rows(f, w.mass + h * nq, &out[h * COLS + MASS]);
    }
done:
    atn_arena_rewind(cx, mark);
    return st;
}

static const atn_measure_col cols[] = {
    {"grid_distance_mean", "", ">= 0",
     "mean distance of query and key on the grid, in sizes of a patch (or patch=SIZE)",
     NULL},
    {"grid_distance_share", "", "[0, 1]",
     "mean share of a row's weight that lies on the grid", NULL},
    ATN_MEASURE_COLS_END,
};

const atn_measure atn_measure_grid_distance = {
    .id = "grid_distance",
    .title = "Mean attention distance on a grid of patches",
    .source = "Dosovitskiy et al. 2020; Raghu et al., arXiv 2108.08810",
    .named = true,
    .passes = 1,
    .params = params,
    .params_size = sizeof(grid_params),
    .cols = cols,
    .layer = layer,
};
