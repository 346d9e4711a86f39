/* capture/forward_experts.c -- a mixture of experts in place of the MLP.
 *
 * Math    router logits r = W x + b; the k experts with the largest take part, with
 *         weights softmax over their r alone. Expert: y = x G + g; a = min(y_even,
 *         limit), u = y_odd clamped to +-limit; ((u + 1) a sigmoid(gain a)) D + d.
 *         Equal logits: smaller index.
 * Oracle  the fixture gpt_oss; a dense reference in test_experts.c.
 * Source  Hugging Face modeling_gpt_oss.py.
 * Cost    2 (width E + k 3 width ffn) a token. Experts are read one at a time, and only
 *         those that some token chose; rows go to the host and back around them, which
 *         is little beside the expert's weights.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "capture/forward_internal.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

enum { TASK_ROWS = 64 };

typedef struct mixture {
    atn_pass *ps;
    atn_idx layer, expert;
    float *in, *out; /* [n, width] */
    float *logits;   /* [n, E] */
    int32_t *choice; /* [n, k] */
    float *share;    /* [n, k] weights of the choices */
    int32_t *tokens; /* [n] of the expert in hand, ascending */
    float *their;    /* [n] its weight for them */
    atn_idx n_tokens;
    atn_idx first, rows;       /* of the tokens that are computed now */
    float *pairs, *hidden, *y; /* [rows, 2 ffn], [rows, ffn], [rows, width] */
} mixture;

static atn_idx row_chunk(atn_idx n)
{
    return ATN_MIN(n, (atn_idx)ATN_EXPERT_ROWS);
}

double atn_experts_values(const atn_config *c, double n)
{
    const double ffn = (double)c->ffn, width = (double)c->width, e = (double)c->experts,
                 rows = ATN_MIN(n, (double)ATN_EXPERT_ROWS);

    return width * e + 3 * width * ffn + n * e + rows * (3 * ffn + width);
}

double atn_experts_bytes(const atn_config *c, double n)
{
    const double rows = ATN_MIN(n, (double)ATN_EXPERT_ROWS), width = (double)c->width;

    return 4 * (2 * n * width + n * (double)c->experts +
                2 * n * (double)c->experts_per_token + 2 * n +
                rows * (3 * (double)c->ffn + width));
}

atn_status atn_pass_take_experts(atn_ctx *cx, atn_pass *ps)
{
    const atn_config *c = ps->c;
    const atn_idx n = atn_model_tokens_most(ps->m, &ps->args->input),
                  rows = row_chunk(n);
    const atn_backend *be = cx->backend;
    atn_status st = ATN_OK;

    ATN_TRY(be->alloc(cx, ATN_F32, rows * 2 * c->ffn, &ps->up));
    ATN_TRY(be->alloc(cx, ATN_F32, rows * c->ffn, &ps->gate));
    ATN_TRY(be->alloc(cx, ATN_F32, rows * c->width, &ps->rows));
    ATN_TRY(be->alloc(cx, ATN_F32, n * c->experts, &ps->route));
done:
    return st;
}

/* ---- routing ---- */

/* The k largest of a row's logits in descending order, and their softmax. */
static void choose(const mixture *x, atn_idx row)
{
    const atn_idx e = x->ps->c->experts, k = x->ps->c->experts_per_token;
    const float *r = x->logits + row * e;
    int32_t *choice = x->choice + row * k;
    float *share = x->share + row * k;
    double sum = 0;

    for (atn_idx s = 0; s < k; s++) {
        atn_idx best = -1;

        for (atn_idx i = 0; i < e; i++) {
            bool taken = false;

            for (atn_idx p = 0; p < s && !taken; p++) taken = choice[p] == i;
            if (!taken && (best < 0 || r[i] > r[best])) best = i;
        }
        choice[s] = (int32_t)best;
        sum += exp((double)r[best] - (double)r[choice[0]]);
    }
    for (atn_idx s = 0; s < k; s++)
        share[s] = (float)(exp((double)r[choice[s]] - (double)r[choice[0]]) / sum);
}

static atn_status choose_rows(atn_ctx *cx, atn_idx piece, void *state)
{
    const mixture *x = state;
    const atn_idx e = x->ps->c->experts, first = piece * TASK_ROWS;

    for (atn_idx i = first; i < ATN_MIN(first + TASK_ROWS, x->ps->n); i++) {
        for (atn_idx j = 0; j < e; j++)
            if (!isfinite(x->logits[i * e + j]))
                return atn_fail(cx, ATN_DATA, __FILE__, __LINE__,
                                "layer %lld: the router of the experts gives NaN or "
                                "infinity at position %lld (look for huge weights)",
                                (long long)x->layer, (long long)i);
        choose(x, i);
    }
    return ATN_OK;
}

static atn_status route(atn_ctx *cx, mixture *x, atn_buf in)
{
    const atn_pass *ps = x->ps;
    const atn_config *c = ps->c;
    const atn_backend *be = cx->backend;
    atn_status st = ATN_OK;

    ATN_TRY(be->linear(cx, in, ps->w_router, ps->b_router, false, false, ps->n,
                       c->experts, c->width, ps->route));
    ATN_TRY(be->download(cx, atn_buf_at(ps->route, 0, ps->n * c->experts), x->logits));
    ATN_TRY(be->download(cx, atn_buf_at(in, 0, ps->n * c->width), x->in));
    ATN_TRY(atn_parallel(cx, (ps->n + TASK_ROWS - 1) / TASK_ROWS, choose_rows, x,
                         "router"));
done:
    return st;
}

static void find_tokens(mixture *x)
{
    const atn_idx k = x->ps->c->experts_per_token;

    x->n_tokens = 0;
    for (atn_idx i = 0; i < x->ps->n * k; i++) {
        if (x->choice[i] != x->expert) continue;
        x->tokens[x->n_tokens] = (int32_t)(i / k);
        x->their[x->n_tokens++] = x->share[i];
    }
}

/* ---- one expert ---- */

/* Its slice of a tensor over all experts into a buffer, looked at for NaN. */
static atn_status load_slice(atn_ctx *cx, const mixture *x, const char *name,
                             atn_buf *to)
{
    const atn_st_tensor *t = atn_model_tensor(x->ps->m, name, x->layer, false);
    const atn_backend *be = cx->backend;
    atn_st_tensor part = *t;
    atn_status st = ATN_OK;
    char label[300];

    snprintf(label, sizeof label, "%s[%lld]", t->name, (long long)x->expert);
    part.name = label;
    part.rank = t->rank - 1;
    memmove(part.shape, t->shape + 1, (size_t)part.rank * sizeof *part.shape);
    part.count = t->count / t->shape[0];
    part.bytes = t->bytes / (size_t)t->shape[0];
    part.data = (const char *)t->data + (size_t)x->expert * part.bytes;
    ATN_TRY(atn_pass_check(cx, x->ps, &part, name));
    if (!to->base)
        ATN_TRY(
            be->alloc(cx, part.rank > 1 ? be->weight_type : ATN_F32, part.count, to));
    ATN_TRY(be->upload_widen(cx, *to, part.data, part.type));
    atn_st_forget(&part);
done:
    return st;
}

static atn_status load_expert(atn_ctx *cx, const mixture *x)
{
    const atn_arch_names *n = &x->ps->c->arch->names;
    atn_pass *ps = x->ps;
    atn_status st = ATN_OK;

    ATN_TRY(load_slice(cx, x, n->expert_gate_up, &ps->w_up));
    ATN_TRY(load_slice(cx, x, n->expert_gate_up_bias, &ps->b_up));
    ATN_TRY(load_slice(cx, x, n->expert_down, &ps->w_down));
    ATN_TRY(load_slice(cx, x, n->expert_down_bias, &ps->b_down));
done:
    return st;
}

static void activate_row(const mixture *x, atn_idx row)
{
    const atn_idx ffn = x->ps->c->ffn;
    const double limit = x->ps->c->expert_limit, gain = x->ps->c->expert_gain;
    const float *y = x->pairs + row * 2 * ffn;
    float *out = x->hidden + row * ffn;

    for (atn_idx i = 0; i < ffn; i++) {
        const double a = fmin((double)y[2 * i], limit),
                     u = fmin(fmax((double)y[2 * i + 1], -limit), limit);

        out[i] = (float)((u + 1) * a / (1 + exp(-gain * a)));
    }
}

static void add_row(const mixture *x, atn_idx row)
{
    const atn_idx width = x->ps->c->width, at = x->first + row;
    const float *y = x->y + row * width, share = x->their[at];
    float *out = x->out + x->tokens[at] * width;

    for (atn_idx i = 0; i < width; i++) out[i] += share * y[i];
}

static atn_status activate_rows(atn_ctx *cx, atn_idx piece, void *state)
{
    const mixture *x = state;
    const atn_idx first = piece * TASK_ROWS;

    (void)cx;
    for (atn_idx i = first; i < ATN_MIN(first + TASK_ROWS, x->rows); i++)
        activate_row(x, i);
    return ATN_OK;
}

static atn_status add_rows(atn_ctx *cx, atn_idx piece, void *state)
{
    const mixture *x = state;
    const atn_idx first = piece * TASK_ROWS;

    (void)cx;
    for (atn_idx i = first; i < ATN_MIN(first + TASK_ROWS, x->rows); i++) add_row(x, i);
    return ATN_OK;
}

/* The rows from x->first on through the expert, added to out. */
static atn_status run_rows(atn_ctx *cx, mixture *x)
{
    const atn_pass *ps = x->ps;
    const atn_idx n = x->rows, width = ps->c->width, ffn = ps->c->ffn,
                  tasks = (n + TASK_ROWS - 1) / TASK_ROWS;
    const atn_backend *be = cx->backend;
    atn_status st = ATN_OK;

    ATN_TRY(be->embed(cx, x->in, ATN_F32, x->tokens + x->first, n, width, false,
                      atn_buf_at(ps->rows, 0, n * width)));
    ATN_TRY(be->linear(cx, ps->rows, ps->w_up, ps->b_up, true, false, n, 2 * ffn, width,
                       ps->up));
    ATN_TRY(be->download(cx, atn_buf_at(ps->up, 0, n * 2 * ffn), x->pairs));
    ATN_TRY(atn_parallel(cx, tasks, activate_rows, x, "experts"));
    ATN_TRY(be->upload(cx, atn_buf_at(ps->gate, 0, n * ffn), x->hidden));
    ATN_TRY(be->linear(cx, ps->gate, ps->w_down, ps->b_down, true, false, n, width, ffn,
                       ps->rows));
    ATN_TRY(be->download(cx, atn_buf_at(ps->rows, 0, n * width), x->y));
    ATN_TRY(atn_parallel(cx, tasks, add_rows, x, "experts"));
done:
    return st;
}

static atn_status take_mixture(atn_ctx *cx, mixture *x)
{
    const atn_config *c = x->ps->c;
    const atn_idx n = x->ps->n, rows = row_chunk(n), k = c->experts_per_token;
    atn_status st = ATN_OK;

    ATN_TAKE(x->in, n * c->width);
    ATN_TAKE(x->out, n * c->width);
    ATN_TAKE(x->logits, n * c->experts);
    ATN_TAKE(x->choice, n * k);
    ATN_TAKE(x->share, n * k);
    ATN_TAKE(x->tokens, n);
    ATN_TAKE(x->their, n);
    ATN_TAKE(x->pairs, rows * 2 * c->ffn);
    ATN_TAKE(x->hidden, rows * c->ffn);
    ATN_TAKE(x->y, rows * c->width);
    memset(x->out, 0, (size_t)(n * c->width) * sizeof *x->out);
done:
    return st;
}

atn_status atn_pass_experts(atn_ctx *cx, atn_pass *ps, atn_idx layer, atn_buf in)
{
    const atn_arena_mark mark = atn_arena_save(cx);
    mixture x = {.ps = ps, .layer = layer};
    atn_status st = ATN_OK;

    ATN_TRY(take_mixture(cx, &x));
    ATN_TRY(route(cx, &x, in));
    for (x.expert = 0; x.expert < ps->c->experts; x.expert++) {
        find_tokens(&x);
        if (x.n_tokens == 0) continue;
        ATN_TRY(load_expert(cx, &x));
        for (x.first = 0; x.first < x.n_tokens; x.first += x.rows) {
            x.rows = ATN_MIN((atn_idx)ATN_EXPERT_ROWS, x.n_tokens - x.first);
            ATN_TRY(run_rows(cx, &x));
        }
    }
    ATN_TRY(cx->backend->upload(cx, atn_buf_at(ps->t, 0, ps->n * ps->c->width), x.out));
done:
    atn_arena_rewind(cx, mark);
    return st;
}
