/* analysis/approx_estimate.c -- what a run of approximations would take.
 *
 * Math    bytes: of the layer that takes most; its tensors, the dense side of its
 *         selected heads, how many keys the best possible has in each of their rows
 *         beside every case, and of every head under way the output, the numbers of its
 *         rows, what planning says it takes, its plans among it, and applying; of a
 *         budget three plans, which are alive while it is fitted, or one where spending
 *         is known by shapes; with --dump the
 *         outputs of a layer.
 *         flop: dense attention of every head twice, and the executed pairs of every
 *         case, all of them where there is no budget; choosing is not counted.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#include <math.h>
#include <string.h>

#include "analysis/approx_internal.h"
#include "analysis/approx_oracle.h"
#include "analysis/keys.h"

/* SAMPLES: of the budget parameter, between its least and largest value. ROWS: whose
 * spans the executor has at a time. LITTLE: names, lists, tables. */
enum { SAMPLES = 24, ROWS = 32, LITTLE = 1 << 18 };

/* A layer by its shapes alone. */
typedef struct shapes {
    const atn_layer_info *info;
    const atn_head *head; /* [heads] without data */
    const atn_input *in;
    atn_row_sample sample; /* its number of rows */
} shapes;

static shapes shapes_of(const atn_approx *a, const atn_layer_info *l,
                        atn_approx_layer *layer)
{
    const atn_input *in = atn_approx_layer_input(layer, NULL);
    const atn_idx rows = a->opts->sample;
    shapes s = {.info = l, .head = in->head, .in = in};

    s.sample.n = rows > 0 && rows < s.head[0].nq ? rows : 0;
    return s;
}

static double dense_bytes(const atn_ctx *cx, const atn_approx *a, const shapes *s,
                          double *pass)
{
    static const float some = 0;
    const float *data = s->info->has_v ? &some : NULL;
    const atn_dense_opts o = {.sample = s->sample.n > 0 ? &s->sample : NULL,
                              .w_o = s->info->has_w_o ? data : NULL,
                              .width = atn_capture_model(a->capture)->width,
                              .top_k = a->opts->top_k > 0 ? a->opts->top_k
                                                          : ATN_APPROX_TOP_K,
                              .matrix = a->matrix};
    atn_head h = s->head[0];

    h.v.data = data; /* asked for, never read */
    if (!s->info->has_qk) h.p.data = &some;
    return atn_dense_bytes(cx, &h, &o, pass);
}

/* ---- a case ---- */

/* Bytes of planning with the budget parameter at x; NAN = as in the choice. */
static atn_status bytes_at(atn_ctx *cx, const shapes *s, const atn_choice *choice,
                           double x, double *bytes)
{
    const atn_arena_mark mark = atn_arena_save(cx);
    atn_status st = ATN_OK;
    atn_choice c = *choice;
    char *values = NULL;
    bool falls;

    ATN_TAKE(values, ATN_MAX(c.params_size, 1));
    if (c.params_size > 0) memcpy(values, choice->values, c.params_size);
    if (!isnan(x)) atn_approx_put(atn_choice_budget(choice, &falls), values, x);
    c.values = values;
    *bytes = atn_choice_bytes(cx, &c, s->in);
done:
    atn_arena_rewind(cx, mark);
    return st;
}

/* Pairs of a head that a budget allows. */
static double budget_pairs(const shapes *s, const atn_approx_budget *b)
{
    const atn_head *h = &s->head[0];
    const double pairs = atn_visible_pairs(h);

    if (!b->text[0]) return pairs;
    if (isnan(b->share)) return fmin((double)b->keys * (double)h->nq, pairs);
    return fmin(b->share, 1) * pairs;
}

/* The value of sample k of a parameter up to `to`: its ends, and doubled ones between. */
static double sample_of(const atn_param *p, double to, int k)
{
    const double x = k == 0 ? p->min : p->min + (to - p->min) * exp2(k - SAMPLES);

    return p->type == ATN_PARAM_I64_T ? ceil(x) : x;
}

static atn_status largest_of(atn_ctx *cx, const shapes *s, const atn_choice *c,
                             const atn_param *p, bool plans, double *out)
{
    *out = p->max;
    if (p->type != ATN_PARAM_I64_T) return ATN_OK;
    return atn_fit_ceiling(cx, c, s->in, 0, plans, out);
}

/* Is what the budget parameter at x spends beyond the budget? False where that is not
 * known. */
static atn_status is_beyond(atn_ctx *cx, const shapes *s, const atn_approx_case *c,
                            double x, bool *known, bool *beyond)
{
    const atn_arena_mark mark = atn_arena_save(cx);
    const double pairs = budget_pairs(s, c->budget);
    const double numbers = isnan(c->budget->share) ? (double)c->budget->keys : 0;
    atn_choice choice = c->method->choice;
    atn_status st = ATN_OK;
    char *values = NULL;
    atn_spending by;
    bool falls;

    ATN_TAKE(values, ATN_MAX(choice.params_size, 1));
    if (choice.params_size > 0) memcpy(values, choice.values, choice.params_size);
    atn_approx_put(atn_choice_budget(&choice, &falls), values, x);
    choice.values = values;
    *known = !falls && atn_choice_spends(&choice, s->in, 0, &by);
    *beyond = *known && atn_fit_spent(numbers, pairs, &by) > pairs;
done:
    atn_arena_rewind(cx, mark);
    return st;
}

/* One plan, at any value up to the first one that is beyond the budget. known false: it
 * is not said for some value what is spent. */
static atn_status known_bytes(atn_ctx *cx, const shapes *s, const atn_approx_case *c,
                              const atn_param *p, bool *known, double *most)
{
    atn_status st = ATN_OK;
    bool beyond = false;
    double bytes, to;

    ATN_TRY(largest_of(cx, s, &c->method->choice, p, false, &to));
    *known = true;
    *most = 0;
    for (int k = 0; k <= SAMPLES && *known && !beyond; k++) {
        const double x = sample_of(p, to, k);

        ATN_TRY(bytes_at(cx, s, &c->method->choice, x, &bytes));
        ATN_TRY(is_beyond(cx, s, c, x, known, &beyond));
        *most = fmax(*most, bytes);
    }
done:
    return st;
}

/* The most at any value that a search may try: at its ends, and at doubled values in
 * between, of which bytes are no more than twice as far apart. */
static atn_status most_bytes(atn_ctx *cx, const shapes *s, const atn_choice *c,
                             const atn_param *p, double *least, double *most)
{
    atn_status st = ATN_OK;
    double to;

    ATN_TRY(largest_of(cx, s, c, p, true, &to));
    *least = INFINITY;
    *most = 0;
    for (int k = 0; k <= SAMPLES; k++) {
        double bytes;

        ATN_TRY(bytes_at(cx, s, c, sample_of(p, to, k), &bytes));
        *least = fmin(*least, bytes);
        *most = fmax(*most, bytes);
    }
done:
    return st;
}

/* The plans of a unit as the budget is fitted: the nearest on both sides of it, and one
 * that is made. Of integers what a step goes beyond the budget is no more than it. */
static atn_status fitting_bytes(atn_ctx *cx, const shapes *s, const atn_approx_case *c,
                                double *out)
{
    const atn_choice *choice = &c->method->choice;
    const double unit = (double)atn_choice_heads(choice, s->in);
    const double rows = 96 * (double)s->head[0].nq;
    double least, most, start, entries;
    atn_status st = ATN_OK;
    const atn_param *p;
    bool falls, known;

    ATN_TRY(bytes_at(cx, s, choice, NAN, &start));
    *out = start;
    p = c->budget->text[0] ? atn_choice_budget(choice, &falls) : NULL;
    if (!p) return ATN_OK;
    ATN_TRY(known_bytes(cx, s, c, p, &known, out));
    if (known) return ATN_OK;
    ATN_TRY(most_bytes(cx, s, choice, p, &least, &most));
    most = fmax(most, start);
    *out = 3 * most;
    if (p->type != ATN_PARAM_I64_T) return ATN_OK;
    /* lists of so many entries, twice while they are made */
    entries = sizeof(int32_t) * 2 * budget_pairs(s, c->budget) * unit;
    *out = fmin(*out, fmax(start, least + 2 * entries) +
                          2 * fmax(start, entries + rows * unit));
done:
    return st;
}

/* Bytes at most of applying and counting any plan of a head, beside the plan. */
static double applying_bytes(const atn_ctx *cx, const atn_head *h)
{
    const double nq = (double)h->nq, nk = (double)h->nk;
    const double dv = h->v.data ? (double)h->v.cols : 0;
    atn_plan dense = {.tile_rows = 1, .tile_keys = 1};

    atn_plan_all(&dense);
    /* spans of some rows in two parts; numbers of a row, and pieces of groups */
    return atn_plan_apply_bytes(cx, h, &dense) +
           cx->threads * (2 * ROWS * nk / 2 * sizeof(atn_span) + 0x1p16) +
           nq * (64 + 8 * dv) + 64 * (nq + nk);
}

/* ---- a layer ---- */

/* One head, or unit of heads, with all that is made for it, the dearest case. */
static atn_status unit_bytes(const atn_ctx *cx, const atn_approx *a, const shapes *s,
                             int threads, double *out)
{
    const atn_head *h = &s->head[0];
    const atn_idx rows = s->sample.n > 0 ? s->sample.n : h->nq;
    const double dv = s->info->has_v ? (double)h->v.cols : 0;
    atn_status st = ATN_OK;
    atn_ctx one = *cx;
    double most = 0;

    one.arena = (atn_arena){0};
    one.threads = threads;
    for (int c = 0; c < a->n_cases; c++) {
        double bytes = 0;

        st = fitting_bytes(&one, s, &a->cases[c], &bytes);
        if (st != ATN_OK) break;
        most = fmax(most, bytes);
    }
    *out = most + applying_bytes(&one, h) + (double)h->nq * dv * sizeof(float) +
           atn_approx_compare_bytes(threads, h, rows) + (double)h->nq * sizeof(int64_t);
    atn_ctx_release(&one);
    return st;
}

static atn_status layer_bytes(atn_ctx *cx, const atn_approx *a,
                              const atn_approx_source *source, const shapes *s, int at,
                              atn_idx selected, double *out)
{
    const atn_head *h = &s->head[0];
    const atn_idx rows = s->sample.n > 0 ? s->sample.n : h->nq;
    const bool by_head = s->sample.n == 0 && atn_approx_by_head(a, h, s->in->heads);
    double pass = 0, dense = dense_bytes(cx, a, s, &pass), each;
    atn_status st = ATN_OK;

    ATN_TRY(unit_bytes(cx, a, s, by_head ? 1 : cx->threads, &each));
    each = fmax(each, fmax(pass, atn_approx_oracle_bytes(cx, h, rows, a->each)));
    if (by_head) each *= (double)ATN_MIN((atn_idx)cx->threads, s->in->heads);
    *out = atn_approx_layer_bytes(source, at) + dense * (double)selected + each +
           (double)h->nk * sizeof(double) +
           (double)selected * a->each * (double)rows * sizeof(int32_t) + LITTLE;
    if (a->opts->dump && s->info->has_v)
        *out += (double)selected * (double)s->info->nq * (double)s->info->dv *
                sizeof(float);
done:
    return st;
}

/* flop of a pair, and how many pairs all cases of a head execute. */
static double layer_flops(const atn_approx *a, const shapes *s)
{
    const atn_head *h = &s->head[0];
    const double pairs = atn_visible_pairs(h);
    const double pair = 2 * (double)(s->info->d + s->info->dv);
    const double some = s->sample.n > 0 ? (double)s->sample.n / (double)h->nq : 1;
    double all = 2 * some * pairs * a->sweep.temperatures;

    for (int c = 0; c < a->n_cases; c++) all += budget_pairs(s, a->cases[c].budget);
    return pair * all;
}

atn_status atn_approx_need(atn_ctx *cx, const atn_approx *a,
                           const atn_approx_source *source, int i, atn_approx_cost *out)
{
    const int at = a->selection->at[i];
    const atn_idx selected = atn_selection_heads(a->selection, i);
    atn_approx_layer layer = {0};
    double bytes = 0;
    atn_status st = ATN_OK;
    shapes s;

    ATN_TRY(atn_approx_layer_shape(cx, source, at, &layer));
    s = shapes_of(a, atn_capture_layer(a->capture, at), &layer);
    ATN_TRY(layer_bytes(cx, a, source, &s, at, selected, &bytes));
    out->bytes = fmax(out->bytes, bytes);
    out->flops += layer_flops(a, &s) * (double)selected;
    out->heads += selected;
    out->cases = a->n_cases;
done:
    st = atn_layer_named(cx, atn_capture_layer(a->capture, at), st);
    atn_approx_layer_release(cx, &layer);
    return st;
}
