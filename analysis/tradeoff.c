/* analysis/tradeoff.c -- layers and cases of a trade-off, and their sums. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "analysis/tradeoff_internal.h"

#include <math.h>
#include <string.h>

#include "simulators/machine.h"

const char *const atn_trade_sources[TRADE_SOURCES] = {
    "exact", "union", "gathered", "mean", "mean_gathered", "operator"};
const char *const atn_trade_fits[TRADE_FITS] = {"", "fixed", "met", "most", "least"};

/* ---- layers ---- */

/* Flop of the products of a layer beside attention and bytes of their weights, which
 * are read once; NaN where sizes are unknown. */
static void linear_of(const atn_model_info *m, atn_idx batch, trade_layer *l)
{
    const atn_layer_info *i = l->info;
    const double d = (double)m->width, b = (double)batch;
    const double q = (double)(i->heads * i->d), k = (double)(i->kv_heads * i->d);
    const double v = (double)(i->kv_heads * i->dv), o = (double)(i->heads * i->dv);
    const double nq = b * (double)i->nq, nk = b * (double)i->nk;

    const double f = (double)m->ffn * (m->gated ? 3 : 2), size = l->launch.bytes;

    l->linear_flops = l->projections = l->linear_bytes = l->projection_bytes = NAN;
    if (m->width <= 0) return;
    l->projections = 2 * d * (nq * q + nk * k);
    l->projection_bytes = size * d * (q + k);
    if (m->ffn <= 0) return;
    l->linear_flops = l->projections + 2 * d * (nk * v + nq * o) + 2 * nq * d * f;
    l->linear_bytes = l->projection_bytes + size * d * (v + o + f);
}

/* All heads of a group are selected, or none of them. */
static bool whole_groups(const atn_selection *sel, const trade_layer *l, atn_idx g)
{
    const bool *heads = sel->heads + l->place * sel->max_heads;

    for (atn_idx h = 0; h < l->info->heads; h++)
        if (heads[h] != heads[h / g * g]) return false;
    return true;
}

static void pack_of(const atn_tradeoff *t, trade_layer *l)
{
    const atn_idx g = l->info->heads / ATN_MAX(l->info->kv_heads, 1);

    l->pack = 1;
    if (t->packed.packs_gqa && g > 1 && g * l->info->kv_heads == l->info->heads &&
        whole_groups(t->selection, l, g))
        l->pack = g;
}

static void launch_of(const atn_tradeoff_opts *o, trade_layer *l)
{
    const atn_layer_info *i = l->info;
    const atn_idx g = i->heads / ATN_MAX(i->kv_heads, 1);
    const bool groups = g > 0 && l->heads % g == 0;

    l->launch = (atn_launch){.pass = ATN_PASS_FORWARD,
                             .batch = o->batch,
                             .heads = l->heads,
                             .kv_heads = groups ? l->heads / g : l->heads,
                             .head_dim = i->d,
                             .value_dim = i->dv > 0 ? i->dv : i->d,
                             .q_len = i->nq,
                             .kv_len = i->nk,
                             .bytes = 2,
                             .causal = i->sight.causal};
}

static atn_status no_tile(atn_ctx *cx, const atn_kernel *k, atn_idx d)
{
    int nearest = 0;

    (void)atn_kernel_has_head_dim(k, (int)ATN_MIN(d, 1 << 20), ATN_PASS_FORWARD,
                                  &nearest);
    return atn_fail(cx, ATN_USAGE, __FILE__, __LINE__,
                    "%s has no tile for heads of dim %lld; the nearest that it has is "
                    "%d (give another --kernel)",
                    k->id, (long long)d, nearest);
}

static const atn_kernel_tile *dense_tile(const atn_kernel *k, const atn_layer_info *i)
{
    const unsigned kind = i->sight.window > 0 ? ATN_TAKES_WINDOW
                          : i->sight.causal   ? ATN_TAKES_CAUSAL
                                              : ATN_TAKES_FULL;
    const atn_kernel_tile *t =
        atn_kernel_tile_of(k, (int)i->d, ATN_PASS_FORWARD, kind, 1, 0);

    return t && t->q.n == 1 && t->k.n == 1 ? t : atn_tile_of_choice(k, (int)i->d);
}

/* Queries, keys, values and outputs of a layer must fit. */
static atn_status check_memory(atn_ctx *cx, const atn_tradeoff *t, const trade_layer *l)
{
    const atn_launch *s = &l->launch;
    const double rows = (double)s->heads * (double)s->q_len;
    const double keys = (double)s->kv_heads * (double)s->kv_len;
    const double bytes = s->bytes * (double)s->batch * (rows + keys) *
                         ((double)s->head_dim + (double)s->value_dim);
    const double has = 1e9 * atn_device_get(t->opts.device, ATN_DEVICE_MEMORY_GB);
    atn_status st = ATN_OK;

    if (bytes > has)
        ATN_FAIL(ATN_DATA,
                 "layer %d at batch %lld takes %.3g GB of queries, keys, values and "
                 "outputs, and %s has %.3g GB (give a smaller --batch)",
                 l->info->layer, (long long)s->batch, bytes / 1e9, t->opts.device->id,
                 has / 1e9);
done:
    return st;
}

static atn_status make_layers(atn_ctx *cx, atn_tradeoff *t)
{
    const atn_selection *sel = t->selection;
    const atn_model_info *model = atn_capture_model(t->capture);
    atn_status st = ATN_OK;

    ATN_NEW(t->layer, sel->n);
    for (int i = 0; i < sel->n; i++) {
        trade_layer *l = &t->layer[t->layers++];

        l->info = atn_capture_layer(t->capture, sel->at[i]);
        l->place = i;
        l->heads = atn_selection_heads(sel, i);
        if (l->info->d <= 0)
            ATN_FAIL(ATN_DATA,
                     "layer %d holds attention alone, so its head dim is unknown "
                     "(capture queries and keys, or import --attn P.npy --d N)",
                     l->info->layer);
        launch_of(&t->opts, l);
        pack_of(t, l);
        l->tile = l->info->d <= 65536 ? atn_tile_of_choice(&t->sparse, (int)l->info->d)
                                      : NULL;
        if (!l->tile) ATN_TRY(no_tile(cx, &t->sparse, l->info->d));
        l->dense_tile = dense_tile(&t->dense, l->info);
        if (!l->dense_tile) ATN_TRY(no_tile(cx, &t->dense, l->info->d));
        ATN_TRY(atn_time_model_find(cx, &t->sparse, t->opts.device, &l->launch, l->tile,
                                    &l->model));
        ATN_TRY(atn_time_model_find(cx, &t->dense, t->opts.device, &l->launch,
                                    l->dense_tile, &l->dense_model));
        linear_of(model, t->opts.batch, l);
        ATN_TRY(check_memory(cx, t, l));
    }
done:
    return st;
}

/* ---- cases ---- */

static atn_status copy_text(atn_ctx *cx, const char *text, char **out)
{
    *out = atn_strdup(cx, text ? text : "");
    return *out ? ATN_OK : cx->err.code;
}

atn_status atn_trade_add(atn_ctx *cx, atn_tradeoff *t, trade_kind kind,
                         const trade_words *w, trade_case **out)
{
    atn_status st = ATN_OK;
    trade_case *c;

    if (t->n == t->room) {
        const int room = t->room ? 2 * t->room : 64;
        trade_case *more = atn_realloc(cx, t->at, room, sizeof *more);

        if (!more) return cx->err.code;
        t->at = more;
        t->room = room;
    }
    c = &t->at[t->n];
    *c = (trade_case){.kind = kind, .lo = NAN, .hi = NAN, .input = -1};
    t->n++;
    ATN_TRY(copy_text(cx, w->method, &c->method));
    ATN_TRY(copy_text(cx, w->family, &c->family));
    ATN_TRY(copy_text(cx, w->parameters, &c->parameters));
    ATN_TRY(copy_text(cx, w->budget, &c->budget));
    ATN_NEW(c->cell, t->layers);
    for (int l = 0; l < t->layers; l++) c->cell[l].of = -1;
    *out = c;
done:
    return st;
}

static void release_head(atn_ctx *cx, trade_head *h)
{
    atn_cta_runs_release(cx, &h->runs);
    atn_cta_runs_release(cx, &h->packed);
}

static void drop_heads(atn_ctx *cx, const trade_layer *l, trade_cell *cell)
{
    for (atn_idx h = 0; cell->head && h < l->info->heads; h++)
        release_head(cx, &cell->head[h]);
    atn_free(cx, cell->head);
    cell->head = NULL;
}

static void release_case(atn_ctx *cx, const atn_tradeoff *t, trade_case *c)
{
    for (int l = 0; c->cell && l < t->layers; l++)
        drop_heads(cx, &t->layer[l], &c->cell[l]);
    atn_free(cx, c->cell);
    atn_free(cx, c->method);
    atn_free(cx, c->family);
    atn_free(cx, c->parameters);
    atn_free(cx, c->budget);
    atn_free(cx, c->key);
    atn_free(cx, c->fitted);
}

void atn_tradeoff_destroy(atn_ctx *cx, atn_tradeoff *t)
{
    if (!t) return;
    for (int c = 0; c < t->n; c++) release_case(cx, t, &t->at[c]);
    atn_free(cx, t->at);
    atn_free(cx, t->layer);
    atn_free(cx, t);
}

/* All layers as they are. */
static atn_status add_dense(atn_ctx *cx, atn_tradeoff *t)
{
    const trade_words w = {.method = "dense", .family = "dense"};
    atn_status st = ATN_OK;
    trade_case *c;

    ATN_TRY(atn_trade_add(cx, t, TRADE_DENSE, &w, &c));
    for (int l = 0; l < t->layers; l++) {
        trade_cell *cell = &c->cell[l];

        ATN_TRY(atn_trade_dense_time(cx, t, &t->layer[l], &cell->time));
        cell->done = true;
        cell->heads = t->layer[l].heads;
        for (int v = 0; v < TRADE_MEANS; v++) cell->mean[v] = 0;
        cell->mean[TRADE_MASS] = cell->mean[TRADE_EXECUTED] = 1;
    }
done:
    return st;
}

/* Times of what was read; a case that lacks heads of a layer is none there. */
static atn_status time_cases(atn_ctx *cx, atn_tradeoff *t)
{
    atn_status st = ATN_OK;

    for (int c = 1; c < t->n; c++)
        for (int l = 0; l < t->layers; l++) {
            trade_cell *cell = &t->at[c].cell[l];

            ATN_TRY(atn_progress(cx, "tradeoff", (double)c * t->layers + l,
                                 (double)t->n * t->layers));
            cell->done = cell->heads == t->layer[l].heads;
            for (int v = 0; v < TRADE_MEANS; v++)
                cell->mean[v] =
                    cell->counted[v] > 0 ? cell->mean[v] / cell->counted[v] : NAN;
            if (cell->done) ATN_TRY(atn_trade_cell_time(cx, t, &t->layer[l], cell));
            drop_heads(cx, &t->layer[l], cell);
        }
done:
    return st;
}

/* ---- sums ---- */

/* Below 0.1 ms a launch is mostly starting. */
static atn_limit limit_of(const trade_case *c, const double share[ATN_LIMITS])
{
    int most = 0;

    if (c->all.time.ms < ATN_RATIO_MS * c->layers) return ATN_LIMIT_LAUNCH;
    for (int k = 1; k < ATN_LIMITS; k++)
        if (share[k] > share[most]) most = k;
    return (atn_limit)most;
}

static void add_times(const trade_time *x, trade_time *sum)
{
    sum->ms += x->ms;
    sum->low += x->low;
    sum->high += x->high;
    sum->index += x->index;
    sum->visited += x->visited;
    sum->cells += x->cells;
}

/* Layers of these take cases of several kinds: a mean over some of them would be of
 * some kinds. */
static bool must_all_say(const trade_case *c)
{
    return c->kind == TRADE_SHARED || c->kind == TRADE_HYBRID;
}

static void sum_case(const atn_tradeoff *t, trade_case *c)
{
    double share[ATN_LIMITS] = {0};
    trade_cell *all = &c->all;

    *all = (trade_cell){.of = -1};
    c->layers = 0;
    c->dense_ms = c->dense_cells = 0;
    for (int l = 0; l < t->layers; l++) {
        const trade_cell *cell = &c->cell[l];

        if (!cell->done) continue;
        c->layers++;
        for (int v = 0; v < TRADE_MEANS; v++) {
            if (isnan(cell->mean[v])) continue;
            all->mean[v] += cell->mean[v];
            all->counted[v]++;
        }
        add_times(&cell->time, &all->time);
        share[cell->time.limit] += cell->time.ms;
        all->saved_flops += cell->saved_flops;
        all->saved_bytes += cell->saved_bytes;
        all->fit = ATN_MAX(all->fit, cell->fit);
        all->source =
            c->layers == 1 ? cell->source : ATN_MAX(all->source, cell->source);
        c->dense_ms += t->at[0].cell[l].time.ms;
        c->dense_cells += t->at[0].cell[l].time.cells;
    }
    for (int v = 0; v < TRADE_MEANS; v++) {
        const double least = must_all_say(c) ? c->layers : 1;

        all->mean[v] = all->counted[v] >= least && c->layers > 0
                           ? all->mean[v] / all->counted[v]
                           : NAN;
    }
    all->time.limit = limit_of(c, share);
}

bool atn_tradeoff_beats(double x_time, double x_error, double y_time, double y_error)
{
    const double x = fmax(x_error, 1e-6), y = fmax(y_error, 1e-6);

    return x_time <= y_time && x <= y && (x_time < y_time || x < y);
}

bool atn_trade_starts(const trade_time *x, double dense_ms, int layers)
{
    return fmin(x->ms, dense_ms) < ATN_RATIO_MS * layers;
}

/* An output of 0 errs by 1: what errs as much is of no use. Times of starting have no
 * order. */
bool atn_trade_may_lead(const atn_tradeoff *t, const trade_case *c)
{
    if (c->kind == TRADE_DENSE) return true;
    return c->layers == t->layers && !c->oracle && c->all.mean[TRADE_ERROR] < 1 &&
           !atn_trade_starts(&c->all.time, c->dense_ms, c->layers);
}

static bool better(const trade_case *x, const trade_case *y)
{
    return atn_tradeoff_beats(x->all.time.ms, x->all.mean[TRADE_ERROR], y->all.time.ms,
                              y->all.mean[TRADE_ERROR]);
}

/* Of those that are equal in both the first one stands for all. */
static bool alike(const trade_case *x, const trade_case *y)
{
    return x->all.time.ms == y->all.time.ms &&
           fmax(x->all.mean[TRADE_ERROR], 1e-6) == fmax(y->all.mean[TRADE_ERROR], 1e-6);
}

static void find_front(atn_tradeoff *t)
{
    for (int c = 0; c < t->n; c++) {
        trade_case *y = &t->at[c];

        y->front = atn_trade_may_lead(t, y);
        for (int k = 0; y->front && k < t->n; k++) {
            const trade_case *x = &t->at[k];

            if (atn_trade_may_lead(t, x) && (better(x, y) || (k < c && alike(x, y))))
                y->front = false;
        }
    }
}

static void sum_linear(atn_tradeoff *t)
{
    const atn_model_info *m = atn_capture_model(t->capture);
    const double head = (double)m->width * (double)ATN_MAX(m->vocab, 0);

    t->linear_flops = t->linear_bytes = 0;
    for (int l = 0; l < t->layers; l++) {
        t->linear_flops += t->layer[l].linear_flops;
        t->linear_bytes += t->layer[l].linear_bytes;
    }
    if (t->layers == 0) return;
    t->linear_flops += 2 * head * (double)t->layer[0].info->nq * (double)t->opts.batch;
    t->linear_bytes += t->layer[0].launch.bytes * head;
}

/* ---- all ---- */

static atn_status check_inputs(atn_ctx *cx, const atn_tradeoff *t)
{
    atn_status st = ATN_OK;

    if (t->n < 2)
        ATN_FAIL(ATN_DATA, "no method of the tables is of heads that are selected "
                           "(attnscope approx RUN --keep makes such a table)");
done:
    return st;
}

/* With its layers; also on failure to be destroyed. */
static atn_status create(atn_ctx *cx, const atn_capture *c, const atn_selection *sel,
                         const atn_tradeoff_opts *o, atn_tradeoff **out)
{
    atn_status st = ATN_OK;
    atn_tradeoff *t = NULL;

    ATN_NEW(t, 1);
    *out = t;
    t->capture = c;
    t->selection = sel;
    t->opts = *o;
    if (t->opts.batch < 1) t->opts.batch = 1;
    if (!t->opts.dense) t->opts.dense = o->kernel;
    t->sparse = *o->kernel;
    t->dense = *t->opts.dense;
    t->packed = *o->kernel;
    t->sparse.packs_gqa = false;
    atn_kernel_settle(&t->sparse, o->device->architecture);
    t->packed.tiles = t->sparse.tiles; /* they share them */
    atn_kernel_settle(&t->dense, o->device->architecture);
    ATN_TRY(make_layers(cx, t));
done:
    return st;
}

atn_status atn_tradeoff_check(atn_ctx *cx, const atn_capture *c,
                              const atn_selection *sel, const atn_tradeoff_opts *o)
{
    atn_tradeoff *t = NULL;
    const atn_status st = create(cx, c, sel, o, &t);

    atn_tradeoff_destroy(cx, t);
    return st;
}

atn_status atn_tradeoff_run(atn_ctx *cx, const atn_capture *c, const atn_selection *sel,
                            const atn_tradeoff_input *in, int n,
                            const atn_similarity *similar, const atn_tradeoff_opts *o,
                            atn_tradeoff **out)
{
    atn_status st = ATN_OK;
    atn_tradeoff *t = NULL;

    *out = NULL;
    ATN_TRY(create(cx, c, sel, o, &t));
    ATN_TRY(add_dense(cx, t));
    for (int i = 0; i < n; i++) ATN_TRY(atn_trade_read(cx, t, &in[i], i));
    ATN_TRY(check_inputs(cx, t));
    ATN_TRY(time_cases(cx, t));
    if (similar) ATN_TRY(atn_trade_share(cx, t, similar));
    if (!o->no_hybrids) ATN_TRY(atn_trade_mix(cx, t));
    for (int k = 0; k < t->n; k++) sum_case(t, &t->at[k]);
    find_front(t);
    sum_linear(t);
    *out = t;
    t = NULL;
done:
    atn_tradeoff_destroy(cx, t);
    return st;
}
