/* simulators/advice.c -- strides, tiles and orders, tried one after another. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "simulators/advice.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "core/order.h"
#include "simulators/tiles_internal.h"

enum { STRIDES_MOST = 16, POWER_MOST = 64 };

static const double order_steps = 536870912;  /* 2^29 */
static const atn_idx stride_steps = 67108864; /* 2^26 */

const char *const atn_advice_names[ATN_ADVICES] = {
    "now", "stride_sparse", "stride_least", "tile", "permutation"};

typedef struct adviser {
    const atn_advice_case *c;
    double now;    /* visited cells */
    int64_t pairs; /* of all heads */
    int left_out;
} adviser;

static double cells_of(const atn_tiling *t, int64_t visited)
{
    return (double)visited * (double)atn_list_product(&t->q) *
           (double)atn_list_product(&t->k);
}

static atn_idx heads_of(const atn_advice_case *c)
{
    return ATN_MAX(c->n, 1);
}

/* Counts the heads of p, or of the case where that is p, with the tiling of *a; their
 * pairs. */
static atn_status count(atn_ctx *cx, const adviser *x, const atn_pattern *p,
                        atn_advice *a, int64_t *pairs)
{
    const atn_advice_case *c = x->c;
    const double dense = atn_tiles_dense(p, &a->tiling, c->causal).visited;
    atn_status st = ATN_OK;
    atn_tiles n = {0};
    double cells;

    a->heads = heads_of(c);
    a->visited = a->partial = *pairs = 0;
    for (atn_idx h = 0; h < a->heads; h++) {
        const bool own = c->each && p == c->p;

        ATN_TRY(atn_tiles_count(cx, own ? c->each[h] : p, own ? 0 : c->head + h,
                                &a->tiling, &n));
        a->visited += n.visited;
        a->partial += n.partial;
        *pairs += n.pairs;
        atn_tiles_release(cx, &n);
    }
    a->found = true;
    a->bound_sum = a->visited > 0 ? dense * (double)a->heads / (double)a->visited : NAN;
    cells = cells_of(&a->tiling, a->visited);
    a->gain = cells > 0 ? x->now / cells : NAN;
done:
    atn_tiles_release(cx, &n);
    return st;
}

static void give(atn_advices *out, const atn_advice *a)
{
    out->at[out->n++] = *a;
}

/* ---- strides ---- */

/* Of a stride that the Q tile divides all members of a tile have the same window, and
 * so have the tiles of a stride group. */
static atn_idx tiles_alike(const atn_axis *a, atn_idx tq)
{
    return a->stride % tq ? 1 : a->stride / tq;
}

static bool axis_sparse(const atn_axis *a, atn_idx tq, atn_idx tk)
{
    const atn_idx tiles = atn_axis_tiles(a, tq), n = a->length / a->dilation;
    const atn_idx step = a->causal ? 1 : tiles_alike(a, tq);

    for (int more = 0; more < 2; more++) {
        if (more && a->length % a->dilation == 0) break;
        for (atn_idx i = 0; i < tiles; i += step) {
            const atn_axis_tile t = atn_axis_forward(a, n + more, tq, tk, i);

            if (t.real && t.full.hi - t.full.lo != t.seen.hi - t.seen.lo) return false;
        }
    }
    return true;
}

/* Visits of the Q tiles of a group of n, by stride groups; ends: where their keys end,
 * in tiles, all Q tiles together, of a causal axis. */
static int64_t group_visits(const atn_axis *a, atn_idx n, atn_idx tq, atn_idx tk,
                            int64_t ends)
{
    const atn_idx tiles = atn_axis_tiles(a, tq), step = tiles_alike(a, tq);
    int64_t visits = a->causal ? ends : 0;

    for (atn_idx i = 0; i < tiles; i += step) {
        const atn_idx alike = ATN_MIN(step, tiles - i);
        atn_idx lo, hi;

        atn_axis_window(a, n, i * tq, &lo, &hi);
        visits += alike * ((a->causal ? 0 : atn_ceil_div(hi, tk)) - lo / tk);
    }
    return visits;
}

static int64_t ends_of(atn_idx tiles, atn_idx n, atn_idx tq, atn_idx tk)
{
    int64_t ends = 0;

    for (atn_idx i = 0; i < tiles; i++)
        ends += atn_ceil_div(ATN_MIN((i + 1) * tq, n), tk);
    return ends;
}

/* Where all strides are too many to look at: those alone that the Q tile divides. Any
 * other one has tiles with members of two stride groups, and is sparse only where their
 * windows are the same for another reason (both at an end, all keys). */
static bool left_out(const atn_axis *x, atn_idx stride, atn_idx tq, bool all)
{
    return !all && x->stride % tq && x->stride > 1 && x->stride != stride;
}

static bool all_strides(const atn_axis *a, atn_idx side)
{
    return a->window <= stride_steps / atn_axis_tiles(a, side);
}

/* The smallest stride with which no tile of the axis is partial; 0 = none. */
static atn_status sparse_stride(atn_ctx *cx, const atn_axis *a, atn_idx tq, atn_idx tk,
                                atn_idx *out)
{
    const bool all = all_strides(a, tq);
    atn_status st = ATN_OK;
    atn_axis x = *a;

    *out = 0;
    for (x.stride = 1; x.stride <= a->window; x.stride++) {
        if (x.stride % 1024 == 0) ATN_TRY(atn_stopped(cx, "looking for a stride"));
        if (left_out(&x, a->stride, tq, all) || !axis_sparse(&x, tq, tk)) continue;
        *out = x.stride;
        break;
    }
done:
    return st;
}

/* Visits from either side are the same, but for tiles beyond the end of a shorter group
 * of a dilated axis. */
static int64_t visits_of(const atn_axis *x, atn_idx tq, atn_idx tk, const int64_t *ends)
{
    const atn_idx longer = x->length % x->dilation, n = x->length / x->dilation;
    int64_t visits = 0;

    if (x->stride % tq) return atn_axis_sum(x, tq, tk, false).visited;
    visits = (x->dilation - longer) * group_visits(x, n, tq, tk, ends[0]);
    if (longer > 0) visits += longer * group_visits(x, n + 1, tq, tk, ends[1]);
    return visits;
}

static atn_status least_stride(atn_ctx *cx, const atn_axis *a, atn_idx tq, atn_idx tk,
                               bool backward, atn_idx *out)
{
    const bool all = all_strides(a, backward ? tk : tq);
    const atn_idx tiles = atn_axis_tiles(a, tq), n = a->length / a->dilation;
    const int64_t ends[2] = {ends_of(tiles, n, tq, tk), ends_of(tiles, n + 1, tq, tk)};
    int64_t least = INT64_MAX;
    atn_status st = ATN_OK;
    atn_axis x = *a;

    *out = a->stride;
    for (x.stride = 1; x.stride <= a->window; x.stride++) {
        int64_t visited;

        if (x.stride % 1024 == 0) ATN_TRY(atn_stopped(cx, "looking for a stride"));
        if (left_out(&x, a->stride, tq, all)) continue;
        visited = all && backward ? atn_axis_sum(&x, tq, tk, true).visited
                                  : visits_of(&x, tq, tk, ends);
        if (visited >= least) continue;
        least = visited;
        *out = x.stride;
    }
done:
    return st;
}

/* The pattern with the strides of *a, counted. */
static atn_status try_strides(atn_ctx *cx, const adviser *x, atn_advice *a)
{
    atn_axes axes = *x->c->p->axes;
    atn_status st = ATN_OK;
    atn_pattern *p = NULL;
    int64_t pairs;

    for (int i = 0; i < axes.rank; i++) axes.at[i].stride = a->stride.at[i];
    ATN_TRY(atn_pattern_axes(cx, &axes, &p));
    ATN_TRY(count(cx, x, p, a, &pairs));
done:
    atn_pattern_destroy(cx, p);
    return st;
}

/* The tile that is now, or the first of the kernel, of this rank; false = none. */
static bool tile_of_rank(const atn_advice_case *c, int rank, atn_tiling *out)
{
    const int n = c->n_tiles;
    int i = 0;

    if (c->now.q.n == rank) {
        *out = c->now;
        return true;
    }
    while (i < n && c->tiles[i].q.n != rank) i++;
    if (i == n) return false;
    *out = c->now;
    out->q = c->tiles[i].q;
    out->k = c->tiles[i].k;
    return true;
}

static atn_status advise_strides(atn_ctx *cx, const adviser *x, atn_advices *out)
{
    const atn_axes *g = x->c->p->axes;
    atn_advice sparse = {.kind = ATN_ADVICE_STRIDE_SPARSE},
               least = {.kind = ATN_ADVICE_STRIDE_LEAST};
    atn_status st = ATN_OK;
    bool found = true;
    atn_tiling t;

    if (!g || !tile_of_rank(x->c, g->rank, &t) || x->c->now.pack > 1) return ATN_OK;
    if (heads_of(x->c) > 1) return ATN_OK; /* no two have the same axes */
    t.layout = ATN_LAYOUT_GRID;
    t.grid.n = 0;
    sparse.tiling = least.tiling = t;
    sparse.stride.n = least.stride.n = g->rank;
    for (int i = 0; i < g->rank; i++) {
        const atn_idx tq = t.q.at[i], tk = t.k.at[i];

        if (found) ATN_TRY(sparse_stride(cx, &g->at[i], tq, tk, &sparse.stride.at[i]));
        found = found && sparse.stride.at[i] > 0;
        ATN_TRY(least_stride(cx, &g->at[i], tq, tk, t.backward, &least.stride.at[i]));
    }
    if (found) ATN_TRY(try_strides(cx, x, &sparse));
    give(out, &sparse);
    ATN_TRY(try_strides(cx, x, &least));
    give(out, &least);
done:
    return st;
}

/* ---- tiles ---- */

static bool cheaper(const atn_advice *a, const atn_advice *b, bool partial)
{
    const double x = cells_of(&a->tiling, a->visited),
                 y = cells_of(&b->tiling, b->visited);

    return !b->found || x < y || (partial && x == y && a->partial < b->partial);
}

static atn_status advise_tile(atn_ctx *cx, const adviser *x, atn_advices *out)
{
    const atn_advice_case *c = x->c;
    atn_advice best = {.kind = ATN_ADVICE_TILE};
    atn_status st = ATN_OK;
    int64_t pairs;

    for (int i = 0; i < c->n_tiles; i++) {
        atn_advice a = {.kind = ATN_ADVICE_TILE, .tiling = c->now};

        if (c->tiles[i].q.n != c->now.q.n) continue;
        a.tiling.q = c->tiles[i].q;
        a.tiling.k = c->tiles[i].k;
        ATN_TRY(count(cx, x, c->p, &a, &pairs));
        if (cheaper(&a, &best, true)) best = a;
    }
    if (best.found) give(out, &best);
done:
    return st;
}

/* ---- orders ---- */

/* What a pattern shows of a period, in tokens, and powers of two; sorted by where they
 * come from, no two alike. */
static int add_stride(atn_idx *out, int n, atn_idx stride, const atn_pattern *p)
{
    if (stride < 2 || stride > p->frame.nk / 2 || n >= STRIDES_MOST) return n;
    for (int i = 0; i < n; i++)
        if (out[i] == stride) return n;
    out[n] = stride;
    return n + 1;
}

static int strides_of(const atn_pattern *p, atn_idx *out)
{
    const atn_idx b = p->frame.block;
    atn_idx common = 0, last;
    int n = 0;

    if (p->axes && p->axes->rank > 1) return 0;
    if (p->axes) n = add_stride(out, n, p->axes->at[0].dilation, p);
    for (atn_idx i = 0; p->shift && i < p->n_offsets; i++)
        common =
            atn_common_divisor(ATN_MAX(p->offsets[i].lo, -p->offsets[i].lo), common);
    n = add_stride(out, n, common * b, p);
    if (p->shift && p->n_offsets > 2) {
        last = p->n_offsets - 1;
        n = add_stride(out, n, (p->offsets[last].lo - p->offsets[last - 1].lo) * b, p);
    }
    n = add_stride(out, n, p->repeat.step * b, p);
    for (atn_idx power = 2; power <= POWER_MOST; power *= 2)
        n = add_stride(out, n, power, p);
    return n;
}

/* Steps that counting in this order takes, at most. */
static double steps_of(const adviser *x, const atn_tiling *t)
{
    const atn_pattern *p = x->c->p;
    const double pairs = (double)x->pairs;
    const double heads = (double)heads_of(x->c);
    const double spans = heads * (double)p->frame.nq * (double)p->room;
    const atn_idx b = p->frame.block;

    if (t->layout == ATN_LAYOUT_PLAIN) return ATN_MIN(pairs, spans);
    if (t->layout == ATN_LAYOUT_GRID)
        return atn_tiles_closed(p, t)
                   ? 0
                   : ATN_MIN(pairs, spans + pairs / (double)t->k.at[t->k.n - 1]);
    if (p->shift && (t->stride % b == 0 || b % t->stride == 0))
        return heads * (double)p->frame.nq / (double)t->q.at[0] *
               ((double)p->n_offsets * (double)t->stride + (double)t->stride);
    return ATN_MIN(pairs,
                   spans * (double)t->stride + pairs / (double)atn_list_product(&t->k));
}

static atn_status try_order(atn_ctx *cx, adviser *x, const atn_tiling *t,
                            atn_advice *best)
{
    atn_advice a = {.kind = ATN_ADVICE_PERMUTATION, .tiling = *t};
    atn_status st = ATN_OK;
    int64_t pairs;

    if (steps_of(x, t) > order_steps) {
        x->left_out++;
        return ATN_OK;
    }
    ATN_TRY(count(cx, x, x->c->p, &a, &pairs));
    if (cheaper(&a, best, false)) *best = a;
done:
    return st;
}

/* Boxes of the grid of the case, or of the pattern. */
static atn_status try_grid(atn_ctx *cx, adviser *x, atn_advice *best)
{
    const atn_advice_case *c = x->c;
    const atn_frame *f = &c->p->frame;
    const int rank = c->grid.n ? c->grid.n : c->p->axes ? c->p->axes->rank : 0;
    atn_tiling t;

    if (rank == 0 || c->now.pack > 1 || f->nq != f->nk || !tile_of_rank(c, rank, &t))
        return ATN_OK;
    t.layout = ATN_LAYOUT_GRID;
    t.grid = c->grid;
    return try_order(cx, x, &t, best);
}

static atn_status advise_order(atn_ctx *cx, adviser *x, atn_advices *out)
{
    const atn_advice_case *c = x->c;
    atn_advice best = {.kind = ATN_ADVICE_PERMUTATION};
    atn_idx strides[STRIDES_MOST];
    const int n = strides_of(c->p, strides);
    atn_status st = ATN_OK;
    atn_tiling t;

    if (!tile_of_rank(c, 1, &t)) {
        t = c->now;
        t.q = (atn_list){1, {atn_list_product(&c->now.q)}};
        t.k = (atn_list){1, {atn_list_product(&c->now.k)}};
    }
    t.layout = ATN_LAYOUT_PLAIN;
    t.grid.n = 0;
    ATN_TRY(try_order(cx, x, &t, &best));
    ATN_TRY(try_grid(cx, x, &best));
    t.layout = ATN_LAYOUT_STRIDE;
    for (int i = 0; i < n; i++) {
        t.stride = strides[i];
        ATN_TRY(try_order(cx, x, &t, &best));
    }
    if (best.found) give(out, &best);
done:
    return st;
}

/* ---- all of it ---- */

atn_status atn_advise(atn_ctx *cx, const atn_advice_case *c, atn_advices *out)
{
    atn_advice now = {.kind = ATN_ADVICE_NOW, .found = true, .tiling = c->now};
    adviser x = {.c = c};
    atn_status st = ATN_OK;

    *out = (atn_advices){.n = 0};
    ATN_TRY(count(cx, &x, c->p, &now, &x.pairs));
    x.now = cells_of(&c->now, now.visited);
    now.gain = now.visited > 0 ? 1 : NAN;
    give(out, &now);
    ATN_TRY(advise_strides(cx, &x, out));
    ATN_TRY(advise_tile(cx, &x, out));
    ATN_TRY(advise_order(cx, &x, out));
    out->left_out = x.left_out;
done:
    return st;
}

/* Behind the n tiles that are there, unless it is one of them. */
static int add_tile(const atn_kernel_tile *t, atn_tiling *out, int n)
{
    for (int i = 0; i < n; i++)
        if (atn_list_same(&out[i].q, &t->q) && atn_list_same(&out[i].k, &t->k))
            return n;
    out[n] = (atn_tiling){.q = t->q, .k = t->k};
    return n + 1;
}

int atn_advice_tiles(const atn_kernel *k, int head_dim, atn_pass pass, unsigned takes,
                     atn_tiling *out)
{
    const atn_kernel_tile *t;
    int n = 0;

    for (unsigned one = ATN_TAKES_FULL; one <= ATN_TAKES_ANY; one *= 2)
        for (int rank = 1; (takes & one) && rank <= ATN_AXES_MOST; rank++)
            for (int i = 0;; i++) {
                t = atn_kernel_tile_of(k, head_dim, pass, one, rank, i);
                if (!t) break;
                n = add_tile(t, out, n);
            }
    return n;
}

void atn_advice_setting(const atn_advice *a, char *out, size_t size)
{
    const bool stride =
        a->kind == ATN_ADVICE_STRIDE_SPARSE || a->kind == ATN_ADVICE_STRIDE_LEAST;
    char q[80], k[80];

    if (size > 0) out[0] = 0;
    if (!a->found) {
        snprintf(out, size, "none: every stride cuts a tile");
    } else if (stride) {
        atn_list_text(&a->stride, out, size);
    } else if (a->kind != ATN_ADVICE_PERMUTATION) {
        atn_list_text(&a->tiling.q, q, sizeof q);
        atn_list_text(&a->tiling.k, k, sizeof k);
        snprintf(out, size, "%s/%s", q, k);
    } else if (a->tiling.layout == ATN_LAYOUT_PLAIN) {
        snprintf(out, size, "plain");
    } else if (a->tiling.layout == ATN_LAYOUT_STRIDE) {
        snprintf(out, size, "stride %lld", (long long)a->tiling.stride);
    } else {
        atn_list_text(&a->tiling.q, q, sizeof q);
        atn_list_text(&a->tiling.k, k, sizeof k);
        snprintf(out, size, "grid %s/%s", q, k);
    }
}

/* ---- the table ---- */

enum {
    COL_PATTERN,
    COL_ADVICE,
    COL_SETTING,
    COL_VISITED,
    COL_PARTIAL,
    COL_BOUND,
    COL_GAIN,
    COL_TIME,
    COL_SPEEDUP
};

static atn_status add_columns(atn_ctx *cx, atn_table *t)
{
    static const struct {
        const char *name;
        atn_col_type type;
        const char *text;
    } columns[] = {
        {"pattern", ATN_COL_STR, "pattern that the advice is for"},
        {"advice", ATN_COL_STR, "what would be changed"},
        {"setting", ATN_COL_STR, "stride, tile or order, or that none does it"},
        {"visited_tiles", ATN_COL_F64, "tiles that a head visits, each on its own"},
        {"partial_tiles", ATN_COL_F64, "visited tiles in which a pair is masked"},
        {"bound_sum", ATN_COL_F64, "dense tiles over visited ones"},
        {"gain", ATN_COL_F64, "visited cells as it is over those with the advice"},
        {"time_ms", ATN_COL_F64, "predicted, with copies of tokens"},
        {"speedup", ATN_COL_F64, "over the dense launch; none below 0.1 ms"}};
    atn_status st = ATN_OK;

    for (size_t i = 0; i < ATN_LEN(columns); i++)
        ATN_TRY(atn_table_add_col(cx, t, columns[i].name, columns[i].type,
                                  i == COL_TIME ? "ms" : "", columns[i].text, NULL));
done:
    return st;
}

static atn_status add_row(atn_ctx *cx, atn_table *t, const char *name,
                          const atn_advice *a)
{
    atn_status st = ATN_OK;
    char setting[ATN_TEXT_MOST];

    ATN_TRY(atn_table_add_row(cx, t));
    ATN_TRY(atn_table_set_str(cx, t, COL_PATTERN, name));
    ATN_TRY(atn_table_set_str(cx, t, COL_ADVICE, atn_advice_names[a->kind]));
    atn_advice_setting(a, setting, sizeof setting);
    ATN_TRY(atn_table_set_str(cx, t, COL_SETTING, setting));
    if (!a->found) goto done;
    atn_table_set_f64(t, COL_VISITED, (double)a->visited / (double)a->heads);
    atn_table_set_f64(t, COL_PARTIAL, (double)a->partial / (double)a->heads);
    if (!isnan(a->bound_sum)) atn_table_set_f64(t, COL_BOUND, a->bound_sum);
    if (!isnan(a->gain)) atn_table_set_f64(t, COL_GAIN, a->gain);
    if (a->time_ms > 0) atn_table_set_f64(t, COL_TIME, a->time_ms);
    if (a->speedup > 0) atn_table_set_f64(t, COL_SPEEDUP, a->speedup);
done:
    return st;
}

atn_status atn_advice_table(atn_ctx *cx, const char *const *names,
                            const atn_advices *advices, int n, atn_table **out)
{
    atn_status st = ATN_OK;
    atn_table *t = NULL;

    *out = NULL;
    ATN_TRY(atn_table_create(cx, "advice", &t));
    ATN_TRY(add_columns(cx, t));
    for (int i = 0; i < n; i++)
        for (int k = 0; k < advices[i].n; k++)
            ATN_TRY(add_row(cx, t, names[i], &advices[i].at[k]));
    *out = t;
    t = NULL;
done:
    atn_table_destroy(cx, t);
    return st;
}
