/* graph/field_axes.c -- fields of neighbourhoods on a grid.
 *
 * Math    every layer is the neighbourhood of a grid of the same lengths and, axis by
 *         axis, of the same dilation, or sees everything. A row is a product over the
 *         axes, of windows that all hold their own coordinate, so a union over it is a
 *         product again: R_k(i) = product of R_k of the axes. Along an axis the members
 *         of one dilation group see windows of the group whose ends never go back,
 *         which compose as in field_intervals.c. After a layer that sees everything, at
 *         the top or below it, everything is reached, since every row has a residual.
 * Cost    a layer: the lengths of the axes; the numbers of every token: a product each.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "graph/field_internal.h"

/* Coordinates of an axis in order of their group, then of their place in it. */
typedef struct line {
    atn_idx length, dilation;
    atn_span *at, *next; /* [length] places */
    atn_idx *place;      /* [length] of coordinate x */
} line;

typedef struct grid {
    const atn_field_plan *plan;
    line axis[ATN_AXES_MOST]; /* the last ones; those before have length 1 */
    bool all;                 /* everything is reached */
} grid;

static bool all_seen(const atn_pattern *p)
{
    return atn_field_dense(p) && !p->frame.causal;
}

const atn_axes *atn_field_grid(const atn_field_plan *p)
{
    for (int i = 0; i < p->n; i++)
        if (p->layers[i]->axes) return p->layers[i]->axes;
    return NULL;
}

static bool alike(const atn_axes *a, const atn_axes *b)
{
    if (a->rank != b->rank) return false;
    for (int x = 0; x < a->rank; x++)
        if (a->at[x].length != b->at[x].length ||
            a->at[x].dilation != b->at[x].dilation)
            return false;
    return true;
}

static atn_status fits(atn_ctx *cx, const atn_field_plan *p, bool *out)
{
    const atn_axes *like = atn_field_grid(p);

    (void)cx;
    *out = like && p->block == 1;
    for (int i = 0; i < p->n && *out; i++)
        *out = p->layers[i]->axes ? alike(p->layers[i]->axes, like)
                                  : all_seen(p->layers[i]);
    return ATN_OK;
}

static double bytes(const atn_field_plan *p)
{
    const atn_axes *a = atn_field_grid(p);
    double sum = 0;

    for (int x = 0; x < a->rank; x++) sum += (double)a->at[x].length;
    return sum * (2 * sizeof(atn_span) + 2 * sizeof(atn_idx));
}

static double work(const atn_field_plan *p)
{
    const atn_axes *a = atn_field_grid(p);
    double sum = 0;

    for (int x = 0; x < a->rank; x++) sum += (double)a->at[x].length;
    return 10 * sum;
}

static void close_grid(atn_ctx *cx, void *state)
{
    grid *g = state;

    for (int x = 0; g && x < ATN_AXES_MOST; x++) {
        atn_free(cx, g->axis[x].at);
        atn_free(cx, g->axis[x].next);
        atn_free(cx, g->axis[x].place);
    }
    atn_free(cx, g);
}

static atn_status open_line(atn_ctx *cx, const atn_axis *a, line *l)
{
    atn_status st = ATN_OK;
    atn_idx place = 0;

    l->length = a->length;
    l->dilation = a->dilation;
    ATN_NEW(l->at, a->length);
    ATN_NEW(l->next, a->length);
    ATN_NEW(l->place, a->length);
    for (atn_idx g = 0; g < a->dilation; g++)
        for (atn_idx x = g; x < a->length; x += a->dilation, place++) {
            l->place[x] = place;
            l->at[place] = (atn_span){place, place + 1};
        }
done:
    return st;
}

static atn_status open_grid(atn_ctx *cx, const atn_field_plan *p, atn_idx row,
                            void **state)
{
    static const atn_axis point = {1, 1, 1, 1, false};
    const atn_axes *a = atn_field_grid(p);
    const int before = ATN_AXES_MOST - a->rank;
    atn_status st = ATN_OK;
    grid *g = NULL;

    (void)row;
    *state = NULL;
    ATN_TRY(atn_mem_check(cx, bytes(p), "field"));
    ATN_NEW(g, 1);
    g->plan = p;
    for (int x = 0; x < ATN_AXES_MOST; x++)
        ATN_TRY(open_line(cx, x < before ? &point : &a->at[x - before], &g->axis[x]));
    *state = g;
    g = NULL;
done:
    close_grid(cx, g);
    return st;
}

static void step_line(const atn_axis *a, line *l)
{
    atn_span *old = l->at;
    atn_idx first = 0;

    for (atn_idx g = 0; g < a->dilation; g++) {
        const atn_idx n = atn_axis_group(a, g);

        for (atn_idx i = 0; i < n; i++) {
            atn_idx lo, hi;

            atn_axis_window(a, n, i, &lo, &hi);
            l->next[first + i] = (atn_span){old[first + lo].lo, old[first + hi - 1].hi};
        }
        first += n;
    }
    l->at = l->next;
    l->next = old;
}

static atn_status step(atn_ctx *cx, void *state, int k)
{
    grid *g = state;
    const atn_pattern *p = atn_field_layer(g->plan, k);

    (void)cx;
    g->all |= !p->axes;
    for (int x = 0; !g->all && x < p->axes->rank; x++)
        step_line(&p->axes->at[x], &g->axis[ATN_AXES_MOST - p->axes->rank + x]);
    return ATN_OK;
}

/* Whether coordinate `row` reaches coordinate `key`. */
static bool along(const line *l, atn_idx row, atn_idx key)
{
    const atn_span s = l->at[l->place[row]];

    return l->place[key] >= s.lo && l->place[key] < s.hi;
}

static atn_status mark(atn_ctx *cx, const void *state, atn_idx row, uint8_t *reached,
                       bool *own)
{
    const grid *g = state;
    const line *a = g->axis;
    const atn_idx z0 = row % a[2].length, y0 = row / a[2].length % a[1].length;
    const atn_idx x0 = row / a[2].length / a[1].length;
    atn_status st = ATN_OK;
    atn_idx j = 0;

    for (atn_idx x = 0; x < a[0].length; x++)
        for (atn_idx y = 0; y < a[1].length; y++) {
            const bool plane = along(&a[0], x0, x) && along(&a[1], y0, y);

            for (atn_idx z = 0; z < a[2].length; z++, j++) {
                reached[j] = g->all || (plane && along(&a[2], z0, z));
                ATN_TRY(atn_field_scanned(cx, j, g->plan->nodes));
            }
        }
    *own = true;
done:
    return st;
}

/* Whether a coordinate of `rows` reaches one of `keys` along the last axis: of each
 * group the first and the last of `rows` say what all of them reach. */
static bool line_meets(const line *l, atn_span rows, atn_span keys)
{
    const atn_idx d = l->dilation;

    for (atn_idx z = rows.lo; z < ATN_MIN(rows.hi, rows.lo + d); z++) {
        const atn_idx group = z % d, last = z + (rows.hi - 1 - z) / d * d;
        const atn_idx lo = l->at[l->place[z]].lo, hi = l->at[l->place[last]].hi;
        const atn_idx from = group + (lo - l->place[group]) * d;
        /* the first key of the group at or behind keys.lo */
        const atn_idx key = keys.lo + ((group - keys.lo) % d + d) % d;

        if (ATN_MAX(key, from) < ATN_MIN(keys.hi, from + (hi - lo) * d)) return true;
    }
    return false;
}

/* The part of line `at` of length n that is in s. */
static atn_span part(atn_span s, atn_idx at, atn_idx n)
{
    return (atn_span){ATN_MAX(s.lo - at * n, 0), ATN_MIN(s.hi - at * n, n)};
}

static bool meets(const void *state, atn_span rows, atn_span keys)
{
    const grid *g = state;
    const line *a = g->axis;
    const atn_idx n = a[2].length, m = a[1].length;

    if (g->all) return true;
    for (atn_idx i = rows.lo / n; i * n < rows.hi; i++)
        for (atn_idx j = keys.lo / n; j * n < keys.hi; j++)
            if (along(&a[0], i / m, j / m) && along(&a[1], i % m, j % m) &&
                line_meets(&a[2], part(rows, i, n), part(keys, j, n)))
                return true;
    return false;
}

/* Members that coordinate x reaches. */
static atn_idx extent(const line *l, atn_idx x)
{
    const atn_span s = l->at[l->place[x]];

    return s.hi - s.lo;
}

static atn_status tally(atn_ctx *cx, const void *state, atn_field_tally *out)
{
    const grid *g = state;
    const line *a = g->axis;
    const atn_idx nodes = g->plan->nodes;
    atn_status st = ATN_OK;
    atn_idx i = 0;

    *out = (atn_field_tally){0};
    for (atn_idx x = 0; x < a[0].length; x++)
        for (atn_idx y = 0; y < a[1].length; y++) {
            const atn_idx plane = extent(&a[0], x) * extent(&a[1], y);

            for (atn_idx z = 0; z < a[2].length; z++, i++) {
                atn_field_count(out, g->plan, i,
                                g->all ? nodes : plane * extent(&a[2], z), true);
                ATN_TRY(atn_field_scanned(cx, i, nodes));
            }
        }
done:
    return st;
}

/* Pairs are products over the axes; of all rows together as many as can be, none is
 * short of one. */
static void peek(const void *state, atn_field_peek *out)
{
    const grid *g = state;
    const atn_idx nodes = g->plan->nodes;
    const int64_t visible = g->plan->causal ? nodes * (nodes + 1) / 2 : nodes * nodes;

    *out = (atn_field_peek){.reached = 1, .own = true, .growth = 1};
    for (int x = 0; x < ATN_AXES_MOST; x++) {
        const line *l = &g->axis[x];
        int64_t sum = 0;

        for (atn_idx i = 0; i < l->length; i++) sum += extent(l, i);
        out->reached *= extent(l, l->length - 1);
        out->growth *= sum;
    }
    if (g->all) {
        out->reached = nodes;
        out->growth = visible;
    }
    out->all = out->growth == visible;
}

const atn_field_engine atn_field_axes = {
    .id = "axes",
    .every = true,
    .fits = fits,
    .work = work,
    .open = open_grid,
    .step = step,
    .mark = mark,
    .meets = meets,
    .tally = tally,
    .peek = peek,
    .close = close_grid,
};
