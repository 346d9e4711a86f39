/* analysis/tradeoff_time.c -- the launch of a layer.
 *
 * Math    simulators/launch.h of the CTAs of all heads, without what a harness times
 *         beside. Where CTAs are not known: ceil(nq / bm) a head, with the pairs in
 *         executed tiles over bm bn visits shared out evenly among them, one of each
 *         masked under a causal mask: a lower bound of tiles that are smaller than the
 *         kernel's.
 * Oracle  atn_simulate of the same lists.
 * Source  cards/simulators.md 2.1, 6.1, 6.3.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#include <math.h>
#include <string.h>

#include "analysis/tradeoff_internal.h"
#include "simulators/machine.h"

/* ---- a launch ---- */

static atn_status time_of(atn_ctx *cx, const atn_launch_task *x, trade_time *out)
{
    atn_launch_time time = {0};
    atn_status st = ATN_OK;
    atn_work w = {0};

    ATN_TRY(atn_launch_run(cx, x, &w, &time));
    out->ms = time.kernel / 1000;
    out->low = out->ms * atn_launch_low(x->fit);
    out->high = out->ms * atn_launch_high(x->fit);
    out->index = 0;
    out->visited = w.tiles;
    out->limit =
        out->ms < ATN_RATIO_MS
            ? ATN_LIMIT_LAUNCH
            : atn_launch_limit(x->kernel, x->device, &x->shape, x->bm, x->bn, &time);
    out->cells = w.tiles * (double)x->bm * (double)x->bn;
done:
    atn_work_release(cx, &w);
    return st;
}

/* Bare, as all launches here are. */
static atn_launch_task task_of(const atn_tradeoff *t, const trade_layer *l, bool dense)
{
    const atn_kernel_tile *tile = dense ? l->dense_tile : l->tile;

    return (atn_launch_task){.kernel = dense ? &t->dense : &t->sparse,
                             .device = t->opts.device,
                             .fit = dense ? &l->dense_model.fit : &l->model.fit,
                             .shape = l->launch,
                             .bm = tile->q.at[0],
                             .bn = tile->k.at[0],
                             .left = -1,
                             .right = -1,
                             .bare = true};
}

/* ---- dense ---- */

/* Visits of the rows [r0, r1) of a mask whose ends do not fall. */
static void dense_cta(const atn_sight *s, atn_idx r0, atn_idx r1, atn_idx bn,
                      int32_t *visits, int32_t *masked)
{
    atn_idx lo = 0, hi = 0, lo_last = 0, hi_last = 0, full;

    atn_sight_row(s, r0, &lo, &hi);
    atn_sight_row(s, r1 - 1, &lo_last, &hi_last);
    *visits = *masked = 0;
    if (lo_last >= hi_last) return;
    if (lo >= hi) lo = hi = lo_last;
    full = hi / bn - atn_ceil_div(lo_last, bn);
    if (hi == s->key_last && hi % bn) full++;
    *visits = (int32_t)(atn_ceil_div(hi_last, bn) - lo / bn);
    *masked = (int32_t)(*visits - ATN_MAX(full, 0));
}

/* Full or causal, without padding. */
static bool is_plain(const atn_layer_info *i)
{
    const atn_sight *s = &i->sight;

    return s->window <= 0 && s->key_first == 0 && s->key_last == i->nk && !s->rows &&
           (!s->causal || s->offset == i->nk - i->nq);
}

/* Rows of a packed tile are heads of a group side by side. */
static atn_status masked_list(atn_ctx *cx, const atn_tradeoff *t, const trade_layer *l,
                              atn_cta_list *out)
{
    const atn_idx pack = t->dense.packs_gqa ? l->launch.heads / l->launch.kv_heads : 1;
    const atn_idx bm = l->dense_tile->q.at[0], bn = l->dense_tile->k.at[0];
    const atn_idx rows = l->info->nq * pack, ctas = atn_ceil_div(rows, bm);
    const atn_mask_policy policy = t->dense.policy;
    int32_t *visits = NULL, *masked = NULL;
    atn_status st = ATN_OK;
    bool any = false;

    ATN_TAKE(visits, ctas);
    ATN_TAKE(masked, ctas);
    for (atn_idx m = 0; m < ctas; m++) {
        dense_cta(&l->info->sight, m * bm / pack,
                  ATN_MIN(((m + 1) * bm - 1) / pack + 1, l->info->nq), bn, &visits[m],
                  &masked[m]);
        any |= masked[m] > 0;
        if (policy == ATN_MASK_SKIP) masked[m] = 0;
    }
    *out =
        (atn_cta_list){ctas, visits, any && policy == ATN_MASK_ALL ? visits : masked};
done:
    return st;
}

/* The window of a layer, as the kernel knows it. */
static void window_of(const atn_layer_info *i, atn_launch_task *x)
{
    const atn_sight *s = &i->sight;

    if (s->causal) x->right = 0;
    if (s->window <= 0) return;
    x->left = s->causal ? s->window - 1 : s->window;
    if (!s->causal) x->right = s->window;
}

atn_status atn_trade_dense_time(atn_ctx *cx, const atn_tradeoff *t,
                                const trade_layer *l, trade_time *out)
{
    const atn_arena_mark mark = atn_arena_save(cx);
    atn_launch_task x = task_of(t, l, true);
    atn_status st = ATN_OK;
    atn_cta_list list;

    window_of(l->info, &x);
    if (is_plain(l->info))
        ATN_TRY(atn_launch_dense(cx, x.kernel, &x.shape, x.bm, x.bn, &list));
    else
        ATN_TRY(masked_list(cx, t, l, &list));
    x.lists = &list;
    x.n_lists = 1;
    ATN_TRY(time_of(cx, &x, out));
done:
    atn_arena_rewind(cx, mark);
    return st;
}

/* ---- products and bytes ---- */

trade_time atn_trade_pass(const atn_tradeoff *t, double flops, double bytes)
{
    const atn_device *d = t->opts.device;
    const double peak = 1e9 * atn_device_get(d, ATN_DEVICE_TFLOPS_16); /* flop a ms */
    const double reach = peak * atn_machine_reach(d);
    const double hbm = atn_machine_hbm(d, bytes) / 1000;
    const double launch = atn_machine_pass(d, 1, 0, 0) / 1000;
    trade_time x = {.ms = atn_machine_pass(d, 1, flops, bytes) / 1000};

    x.high = launch + flops / reach + hbm;
    x.low = launch +
            fmax(flops / peak, bytes / (1e6 * atn_device_get(d, ATN_DEVICE_HBM_GBS)));
    x.limit = x.ms < ATN_RATIO_MS   ? ATN_LIMIT_LAUNCH
              : hbm > flops / reach ? ATN_LIMIT_HBM
                                    : ATN_LIMIT_MMA;
    return x;
}

static void operator_time(const atn_tradeoff *t, trade_cell *cell)
{
    const double b = (double)t->opts.batch;

    cell->source = TRADE_OPERATOR;
    cell->time =
        atn_trade_pass(t, b * cell->sum[TRADE_FLOPS], b * cell->sum[TRADE_BYTES]);
    cell->time.visited = cell->time.cells = NAN;
}

/* ---- tiles ---- */

/* Runs as the kernel pays for them. */
static void priced(const atn_cta_runs *r, atn_mask_policy policy, int32_t *visits,
                   int32_t *masked, int64_t *times)
{
    bool any = false;

    for (atn_idx i = 0; i < r->n; i++) any |= r->run[i].masked > 0;
    for (atn_idx i = 0; i < r->n; i++) {
        times[i] = r->run[i].count;
        visits[i] = r->run[i].visits;
        masked[i] = policy == ATN_MASK_SKIP         ? 0
                    : policy == ATN_MASK_ALL && any ? r->run[i].visits
                    : policy == ATN_MASK_ALL        ? 0
                                                    : r->run[i].masked;
    }
}

static bool same_runs(const atn_cta_runs *a, const atn_cta_runs *b)
{
    return a->n == b->n &&
           (a->n == 0 || memcmp(a->run, b->run, (size_t)a->n * sizeof *a->run) == 0);
}

/* The heads of every group have one static pattern: as packed rows they visit what any
 * of them does. */
static bool packs(const trade_layer *l, const trade_cell *cell)
{
    if (l->pack == 1 || cell->chosen) return false;
    for (atn_idx h = 0; h < l->info->heads; h++) {
        const trade_head *x = &cell->head[h],
                         *first = &cell->head[h / l->pack * l->pack];

        if (!x->there) continue;
        if (x->packed.n == 0 || !same_runs(&x->packed, &first->packed) ||
            !same_runs(&x->runs, &first->runs))
            return false;
    }
    return true;
}

/* A list a head, or a group where it is packed. */
static atn_status lists_time(atn_ctx *cx, const atn_tradeoff *t, const trade_layer *l,
                             const trade_cell *cell, bool joint, trade_time *out)
{
    const bool packed = !joint && packs(l, cell);
    const atn_arena_mark mark = atn_arena_save(cx);
    atn_launch_task x = task_of(t, l, false);
    const int64_t **all = NULL;
    atn_cta_list *lists = NULL;
    atn_status st = ATN_OK;
    atn_idx n = 0;

    if (packed) x.kernel = &t->packed;
    ATN_TAKE(lists, l->heads);
    ATN_TAKE(all, l->heads);
    for (atn_idx h = 0; h < l->info->heads; h += packed ? l->pack : 1) {
        const trade_head *head = &cell->head[h];
        const atn_cta_runs *runs = packed  ? &head->packed
                                   : joint ? head->runs.joint
                                           : &head->runs;
        int32_t *visits = NULL, *masked = NULL;
        int64_t *times = NULL;

        if (!head->there) continue;
        ATN_TAKE(visits, ATN_MAX(runs->n, 1));
        ATN_TAKE(masked, ATN_MAX(runs->n, 1));
        ATN_TAKE(times, ATN_MAX(runs->n, 1));
        priced(runs, t->sparse.policy, visits, masked, times);
        all[n] = times;
        lists[n++] = (atn_cta_list){runs->n, visits, masked};
    }
    x.lists = lists;
    x.n_lists = n;
    x.times = all;
    ATN_TRY(time_of(cx, &x, out));
done:
    atn_arena_rewind(cx, mark);
    return st;
}

/* Where the groups of every head are one mask, its tiles. */
static atn_status try_union(atn_ctx *cx, const atn_tradeoff *t, const trade_layer *l,
                            trade_cell *cell)
{
    trade_time time = {0};
    atn_status st = ATN_OK;

    for (atn_idx h = 0; h < l->info->heads; h++)
        if (cell->head[h].there && !cell->head[h].runs.joint) return ATN_OK;
    ATN_TRY(lists_time(cx, t, l, cell, true, &time));
    if (!(time.ms < cell->time.ms)) goto done;
    cell->time = time;
    cell->source = TRADE_UNION;
done:
    return st;
}

/* Where the keys of every head are scattered: tiles of 16 rows, by the data sheet, as
 * many of them at once as there are SMs. */
static void try_gathered(const atn_tradeoff *t, const trade_layer *l, trade_cell *cell)
{
    const trade_head *head = cell->head;
    trade_time *time = &cell->time;
    const double sms = atn_device_get(t->opts.device, ATN_DEVICE_SMS);
    const atn_idx bn = l->tile->k.at[0];
    const double b = (double)t->opts.batch;
    const double launch = atn_machine_launch() / 1000;
    double tiles = 0, ms, factor;

    for (atn_idx h = 0; h < l->info->heads; h++)
        if (head[h].there) tiles += head[h].runs.gathered;
    if (isnan(tiles)) return;
    ms = ceil(b * tiles / sms) *
         atn_machine_tile(&t->sparse, t->opts.device, (int)l->info->d, ATN_PASS_FORWARD,
                          16, bn)
             .all /
         1000;
    if (!(launch + ms < time->ms)) return;
    factor = (launch + ms) / time->ms;
    time->ms *= factor;
    time->low *= factor;
    time->high *= factor;
    time->visited = b * tiles;
    time->cells = b * tiles * 16 * (double)bn;
    cell->source = cell->source == TRADE_MEAN ? TRADE_MEAN_GATHERED : TRADE_GATHERED;
    time->limit = time->ms < ATN_RATIO_MS ? ATN_LIMIT_LAUNCH : ATN_LIMIT_L2;
}

/* Without CTAs: those of a mean head, shared out evenly. */
static atn_status mean_runs(atn_ctx *cx, const trade_layer *l, const trade_cell *cell,
                            atn_cta_runs *out)
{
    const atn_idx bm = l->tile->q.at[0], bn = l->tile->k.at[0];
    const atn_idx ctas = atn_ceil_div(l->info->nq, bm),
                  most = atn_ceil_div(l->info->nk, bn);
    const double own = (double)cell->tile_rows * (double)cell->tile_keys;
    const double visits = ceil(cell->sum[TRADE_TILES] * own / (double)cell->heads /
                               ((double)bm * (double)bn));
    const atn_idx all = (atn_idx)fmin(fmax(visits, 0), (double)ctas * (double)most);
    const int32_t few = (int32_t)(all / ctas);
    const atn_idx more = all % ctas;
    atn_status st = ATN_OK;

    *out = (atn_cta_runs){.gathered = NAN};
    if (own == 1 && cell->chosen)
        out->gathered =
            (double)l->info->nq * ceil(cell->sum[TRADE_TILES] / (double)cell->heads /
                                       (double)l->info->nq / (double)bn);
    if (more > 0)
        ATN_TRY(atn_cta_runs_add(cx, out, few + 1, l->info->sight.causal, more));
    if (ctas > more)
        ATN_TRY(atn_cta_runs_add(cx, out, few, few > 0 && l->info->sight.causal,
                                 ctas - more));
done:
    return st;
}

static atn_status fill_means(atn_ctx *cx, const trade_layer *l, trade_cell *cell)
{
    atn_status st = ATN_OK;

    for (atn_idx h = 0; h < l->info->heads; h++) {
        if (!cell->head[h].there) continue;
        atn_cta_runs_release(cx, &cell->head[h].runs);
        ATN_TRY(mean_runs(cx, l, cell, &cell->head[h].runs));
    }
    cell->source = TRADE_MEAN;
done:
    return st;
}

/* ---- a cell ---- */

static bool has_ctas(const trade_layer *l, const trade_cell *cell)
{
    for (atn_idx h = 0; h < l->info->heads; h++)
        if (cell->head[h].there && cell->head[h].runs.n == 0) return false;
    return true;
}

static void add_index(const atn_tradeoff *t, trade_cell *cell)
{
    const double b = (double)t->opts.batch;
    const double flops = b * cell->sum[TRADE_INDEX_FLOPS];
    const double bytes = b * cell->sum[TRADE_INDEX_BYTES];
    trade_time index, *time = &cell->time;

    if (!(flops > 0 || bytes > 0)) return;
    index = atn_trade_pass(t, flops, bytes);
    if (index.ms > time->ms) time->limit = ATN_LIMIT_PASSES;
    time->index = index.ms;
    time->ms += index.ms;
    time->low += index.low;
    time->high += index.high;
    if (time->ms < ATN_RATIO_MS) time->limit = ATN_LIMIT_LAUNCH;
}

atn_status atn_trade_cell_time(atn_ctx *cx, const atn_tradeoff *t, const trade_layer *l,
                               trade_cell *cell)
{
    atn_status st = ATN_OK;

    if (!(cell->sum[TRADE_TILES] > 0) && !has_ctas(l, cell)) {
        operator_time(t, cell);
    } else {
        cell->source = TRADE_EXACT;
        if (!has_ctas(l, cell)) ATN_TRY(fill_means(cx, l, cell));
        ATN_TRY(lists_time(cx, t, l, cell, false, &cell->time));
        ATN_TRY(try_union(cx, t, l, cell));
        try_gathered(t, l, cell);
    }
    add_index(t, cell);
done:
    return st;
}
