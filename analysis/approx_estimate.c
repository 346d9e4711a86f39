/* analysis/approx_estimate.c -- what a run of approximations would take.
 *
 * Math    bytes: of the layer that takes most; its tensors, the dense side of its
 *         selected heads, how many keys the best possible has in each of their rows
 *         beside every case, and of every head under way the output, the numbers of its
 *         rows and what planning says it takes. Plans themselves are as large as what
 *         they keep, and are counted when they are made.
 *         flop: dense attention of every head twice, and the executed pairs of every
 *         case, all of them where there is no budget.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#include <math.h>
#include <string.h>

#include "analysis/approx_internal.h"
#include "analysis/approx_oracle.h"

/* A layer by its shapes alone. */
typedef struct shapes {
    const atn_layer_info *info;
    atn_head *head; /* [heads] without data */
    atn_input in;
    atn_row_sample sample; /* its number of rows */
} shapes;

static atn_status take_shapes(atn_ctx *cx, const atn_approx *a, const atn_layer_info *l,
                              shapes *s)
{
    const atn_problem p = {.layer = l->layer,
                           .heads = l->heads,
                           .kv_heads = l->kv_heads,
                           .nq = l->nq,
                           .nk = l->nk,
                           .d = l->d,
                           .dv = l->dv,
                           .scale = l->scale,
                           .sight = l->sight};
    const atn_idx rows = a->opts->sample;
    atn_status st = ATN_OK;
    atn_idx first;

    *s = (shapes){.info = l};
    ATN_TAKE(s->head, l->heads);
    for (atn_idx h = 0; h < l->heads; h++) {
        const atn_head whole = atn_problem_head(&p, h);

        s->head[h] = atn_head_trim(&whole, &first);
    }
    s->in = (atn_input){.head = s->head,
                        .heads = l->heads,
                        .group = l->heads / ATN_MAX(l->kv_heads, 1),
                        .layers = (int)atn_capture_model(a->capture)->layers};
    s->sample.n = rows > 0 && rows < s->head[0].nq ? rows : 0;
done:
    return st;
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
                                                          : ATN_APPROX_TOP_K};
    atn_head h = s->head[0];

    h.v.data = data; /* asked for, never read */
    if (!s->info->has_qk) h.p.data = &some;
    return atn_dense_bytes(cx, &h, &o, pass);
}

/* The most that a method takes for a unit while it plans. */
static double planning_bytes(const atn_approx *a, const shapes *s)
{
    double most = 0;

    for (int m = 0; m < a->list.n; m++) {
        const atn_choice *c = &a->list.method[m].choice;

        if (c->method && c->method->bytes)
            most = fmax(most, c->method->bytes(c->values, &s->in));
    }
    return most;
}

static double layer_bytes(const atn_ctx *cx, const atn_approx *a,
                          const atn_approx_source *source, const shapes *s, int at,
                          atn_idx selected)
{
    const atn_head *h = &s->head[0];
    const atn_idx rows = s->sample.n > 0 ? s->sample.n : h->nq;
    const double dv = s->info->has_v ? (double)h->v.cols : 0;
    const bool by_head = atn_approx_by_head(a, h, s->in.heads);
    double pass = 0, dense = dense_bytes(cx, a, s, &pass), each;

    each = (double)h->nq * dv * sizeof(float) +
           atn_approx_compare_bytes(by_head ? 1 : cx->threads, h, rows) +
           (double)h->nq * sizeof(int64_t) + planning_bytes(a, s);
    each = fmax(each, fmax(pass, atn_approx_oracle_bytes(cx, h, rows, a->n_cases)));
    if (by_head) each *= cx->threads;
    return atn_approx_layer_bytes(source, at) + dense * (double)selected + each +
           (double)h->nk * sizeof(double) +
           (double)selected * a->n_cases * (double)rows * sizeof(int32_t) +
           (double)a->n * a->n_cases * sizeof(atn_approx_cell);
}

/* flop of a pair, and how many pairs all cases of a head execute. */
static double layer_flops(const atn_approx *a, const shapes *s)
{
    const atn_head *h = &s->head[0];
    const double pairs = atn_visible_pairs(h);
    const double pair = 2 * (double)(s->info->d + s->info->dv);
    const double some = s->sample.n > 0 ? (double)s->sample.n / (double)h->nq : 1;
    double all = 2 * some * pairs;

    for (int c = 0; c < a->n_cases; c++) {
        const atn_approx_budget *b = a->cases[c].budget;

        all += !b->text[0]       ? pairs
               : isnan(b->share) ? fmin((double)b->keys * (double)h->nq, pairs)
                                 : b->share * pairs;
    }
    return pair * all;
}

atn_status atn_approx_need(atn_ctx *cx, const atn_approx *a,
                           const atn_approx_source *source, int i, atn_approx_cost *out)
{
    const atn_arena_mark mark = atn_arena_save(cx);
    const int at = a->selection->at[i];
    const atn_idx selected = atn_selection_heads(a->selection, i);
    atn_status st = ATN_OK;
    shapes s;

    ATN_TRY(take_shapes(cx, a, atn_capture_layer(a->capture, at), &s));
    out->bytes = fmax(out->bytes, layer_bytes(cx, a, source, &s, at, selected));
    out->flops += layer_flops(a, &s) * (double)selected;
    out->heads += selected;
    out->cases = a->n_cases;
done:
    atn_arena_rewind(cx, mark);
    return st;
}
