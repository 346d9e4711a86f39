/* analysis/tradeoff_time.c -- the launch of a layer.
 *
 * Math    CTAs of all heads in the kernel's order (simulators/work.h), the coefficients
 *         of the kernel (simulators/model.h), without what a harness times beside; not
 *         shorter than its bytes from HBM. Where CTAs are not known: ceil(nq / bm) a
 *         head, with the pairs in executed tiles over bm bn visits shared out evenly
 *         among them, one of each masked under a causal mask: a lower bound of tiles
 *         that are smaller than the kernel's.
 * Source  cards/simulators.md 2.1, 6.1, 6.3.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#include <math.h>
#include <string.h>

#include "analysis/tradeoff_internal.h"
#include "simulators/machine.h"

/* One launch that is to be timed. */
typedef struct timed {
    const atn_kernel *kernel;
    const atn_kernel_tile *tile;
    const atn_time_model *model;
    const atn_launch *launch;
    const atn_cta_list *lists;
    atn_idx n;
} timed;

/* ---- a launch ---- */

static double hbm_us(const atn_tradeoff *t, const atn_launch *s)
{
    const double rows = (double)s->heads * (double)s->q_len;
    const double keys = (double)s->kv_heads * (double)s->kv_len;

    return atn_machine_hbm(t->opts.device,
                           s->bytes * (double)s->batch * (rows + keys) *
                               ((double)s->head_dim + (double)s->value_dim));
}

/* What the longest share of a tile is. */
static trade_limit tile_limit(const atn_tradeoff *t, const timed *x)
{
    const atn_tile_times b =
        atn_machine_tile(x->kernel, t->opts.device, (int)x->launch->head_dim,
                         ATN_PASS_FORWARD, x->tile->q.at[0], x->tile->k.at[0]);
    const double at[] = {b.mma, b.exp, b.smem, b.l2};
    int most = TRADE_BY_MMA;

    for (int k = 1; k < (int)ATN_LEN(at); k++)
        if (at[k] > at[most]) most = k;
    return (trade_limit)most;
}

static trade_limit limit_of(const atn_tradeoff *t, const timed *x, const atn_work *w,
                            double us, double hbm)
{
    const double *c = x->model->fit.c;
    const double sms = atn_device_get(t->opts.device, ATN_DEVICE_SMS);
    const double fixed = c[ATN_TERM_T0] + c[ATN_TERM_CTA] * w->x_ctas;

    if (us < 100 || 2 * c[ATN_TERM_T0] > us) return TRADE_BY_LAUNCH;
    if (2 * fixed > us) return TRADE_BY_CTA;
    if (hbm >= us) return TRADE_BY_HBM;
    if (w->x_tiles > 1.25 * w->tiles / sms) return TRADE_BY_TAIL;
    return tile_limit(t, x);
}

static atn_status time_of(atn_ctx *cx, const atn_tradeoff *t, const timed *x,
                          trade_time *out)
{
    const atn_work_case c = {.kernel = x->kernel,
                             .device = t->opts.device,
                             .launch = x->launch,
                             .lists = x->lists,
                             .n_lists = x->n,
                             .bm = x->tile->q.at[0],
                             .bn = x->tile->k.at[0],
                             .left = -1,
                             .right = -1};
    const atn_time_fit *fit = &x->model->fit;
    const double hbm = hbm_us(t, x->launch);
    atn_status st = ATN_OK;
    atn_work w = {0};
    atn_regressors r;
    double us;

    ATN_TRY(atn_work_make(cx, &c, &atn_schedule_full, &w));
    atn_prefill_regressors(x->kernel, t->opts.device, x->launch, &w, &r);
    us = atn_prefill_time(fit, &r, true);
    out->limit = limit_of(t, x, &w, us, hbm);
    us = fmax(us, hbm);
    out->ms = us / 1000;
    out->low = out->ms * (fit->low > 0 ? fit->low : 1);
    out->high = out->ms * (fit->high > 0 ? fit->high : 1);
    out->index = 0;
    out->visited = w.tiles;
    out->cells = w.tiles * (double)x->tile->q.at[0] * (double)x->tile->k.at[0];
done:
    atn_work_release(cx, &w);
    return st;
}

/* ---- dense ---- */

static atn_idx floor_of(atn_idx x, atn_idx by)
{
    return x / by;
}

static atn_idx ceil_of(atn_idx x, atn_idx by)
{
    return (x + by - 1) / by;
}

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
    full = floor_of(hi, bn) - ceil_of(lo_last, bn);
    if (hi == s->key_last && hi % bn) full++;
    *visits = (int32_t)(ceil_of(hi_last, bn) - floor_of(lo, bn));
    *masked = (int32_t)(*visits - ATN_MAX(full, 0));
}

/* Rows of a packed tile are heads of a group side by side. */
atn_status atn_trade_dense_time(atn_ctx *cx, const atn_tradeoff *t,
                                const trade_layer *l, trade_time *out)
{
    const atn_arena_mark mark = atn_arena_save(cx);
    const atn_idx pack = t->dense.packs_gqa ? l->launch.heads / l->launch.kv_heads : 1;
    const atn_idx bm = l->dense_tile->q.at[0], bn = l->dense_tile->k.at[0];
    const atn_idx rows = l->info->nq * pack, ctas = ceil_of(rows, bm);
    atn_sight sight = l->info->sight;
    int32_t *visits = NULL, *masked = NULL;
    atn_status st = ATN_OK;
    atn_cta_list list;
    timed x = {.kernel = &t->dense,
               .tile = l->dense_tile,
               .model = &l->dense_model,
               .launch = &l->launch,
               .lists = &list,
               .n = 1};

    ATN_TAKE(visits, ctas);
    ATN_TAKE(masked, ctas);
    for (atn_idx m = 0; m < ctas; m++)
        dense_cta(&sight, m * bm / pack,
                  ATN_MIN(((m + 1) * bm - 1) / pack + 1, l->info->nq), bn, &visits[m],
                  &masked[m]);
    list = (atn_cta_list){ctas, visits, masked};
    ATN_TRY(time_of(cx, t, &x, out));
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
    const double hbm = atn_machine_hbm(d, bytes) / 1000,
                 launch = atn_machine_launch() / 1000;
    trade_time x = {.ms = launch + fmax(flops / reach, hbm)};

    x.high = launch + flops / reach + hbm;
    x.low = launch +
            fmax(flops / peak, bytes / (1e6 * atn_device_get(d, ATN_DEVICE_HBM_GBS)));
    x.limit = x.ms < 0.1            ? TRADE_BY_LAUNCH
              : hbm > flops / reach ? TRADE_BY_HBM
                                    : TRADE_BY_MMA;
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

static void expand(const atn_cta_runs *r, atn_mask_policy policy, int32_t *visits,
                   int32_t *masked)
{
    bool any = false;

    for (atn_idx i = 0; i < r->n; i++) any |= r->run[i].masked > 0;
    for (atn_idx i = 0; i < r->n; i++)
        for (int64_t k = 0; k < r->run[i].count; k++) {
            *visits++ = r->run[i].visits;
            *masked++ = policy == ATN_MASK_SKIP         ? 0
                        : policy == ATN_MASK_ALL && any ? r->run[i].visits
                        : policy == ATN_MASK_ALL        ? 0
                                                        : r->run[i].masked;
        }
}

static atn_idx ctas_of(const atn_cta_runs *r)
{
    atn_idx n = 0;

    for (atn_idx i = 0; i < r->n; i++) n += r->run[i].count;
    return n;
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
                             const trade_cell *cell, trade_time *out)
{
    const bool packed = packs(l, cell);
    const atn_arena_mark mark = atn_arena_save(cx);
    atn_cta_list *lists = NULL;
    atn_status st = ATN_OK;
    atn_idx n = 0;
    timed x = {.kernel = packed ? &t->packed : &t->sparse,
               .tile = l->tile,
               .model = &l->model,
               .launch = &l->launch};

    ATN_TAKE(lists, l->heads);
    for (atn_idx h = 0; h < l->info->heads; h += packed ? l->pack : 1) {
        const trade_head *head = &cell->head[h];
        const atn_cta_runs *runs = packed ? &head->packed : &head->runs;
        int32_t *visits = NULL, *masked = NULL;
        const atn_idx ctas = ctas_of(runs);

        if (!head->there) continue;
        ATN_TAKE(visits, ATN_MAX(ctas, 1));
        ATN_TAKE(masked, ATN_MAX(ctas, 1));
        expand(runs, t->sparse.policy, visits, masked);
        lists[n++] = (atn_cta_list){ctas, visits, masked};
    }
    x.lists = lists;
    x.n = n;
    ATN_TRY(time_of(cx, t, &x, out));
done:
    atn_arena_rewind(cx, mark);
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
    time->limit = time->ms < 0.1 ? TRADE_BY_LAUNCH : TRADE_BY_L2;
}

/* Without CTAs: those of a mean head, shared out evenly. */
static atn_status mean_runs(atn_ctx *cx, const trade_layer *l, const trade_cell *cell,
                            atn_cta_runs *out)
{
    const atn_idx bm = l->tile->q.at[0], bn = l->tile->k.at[0];
    const atn_idx ctas = ceil_of(l->info->nq, bm), most = ceil_of(l->info->nk, bn);
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
    if (index.ms > time->ms) time->limit = TRADE_BY_PASSES;
    time->index = index.ms;
    time->ms += index.ms;
    time->low += index.low;
    time->high += index.high;
    if (time->ms < 0.1) time->limit = TRADE_BY_LAUNCH;
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
        ATN_TRY(lists_time(cx, t, l, cell, &cell->time));
        try_gathered(t, l, cell);
    }
    add_index(t, cell);
done:
    return st;
}
