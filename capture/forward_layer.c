/* capture/forward_layer.c -- a place of a layer: projections, attention, MLP, and what
 * the visitor gets. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "capture/forward_internal.h"

#include <string.h>

/* To out [heads, n, d]. */
static atn_status dump_heads(atn_ctx *cx, const atn_pass *ps, atn_buf buf, atn_idx n,
                             atn_idx heads, float *out)
{
    return cx->backend->download_heads(cx, buf, n, heads, ps->c->head_dim, out);
}

static atn_status qk_norm(atn_ctx *cx, const atn_pass *ps, atn_buf x, atn_buf w,
                          atn_idx n, atn_idx heads)
{
    const bool full = ps->c->arch->qk_norm == ATN_QK_FULL;
    const atn_idx d = ps->c->head_dim;

    return cx->backend->norm(cx, ATN_NORM_RMS, x, w, (atn_buf){0}, (float)ps->c->eps,
                             ps->c->arch->norm_offset, full ? n : n * heads,
                             full ? heads * d : d, x);
}

static atn_status project(atn_ctx *cx, atn_pass *ps, const atn_place *at, atn_buf in,
                          const atn_host_layer *to)
{
    const atn_config *c = ps->c;
    const atn_buf keys = at->cross ? ps->memory : in;
    const atn_buf cosine = ps->cosine[ps->table], sine = ps->sine[ps->table];
    const atn_idx nq = at->nq, nk = at->nk, q = c->heads * c->head_dim,
                  kv = c->kv_heads * c->head_dim, width = c->width;
    const bool kn = c->arch->in_out;
    const atn_backend *be = cx->backend;
    atn_status st = ATN_OK;

    ATN_TRY(be->linear(cx, in, ps->w_q, ps->b_q, kn, false, nq, q, width, ps->q));
    ATN_TRY(be->linear(cx, keys, ps->w_k, ps->b_k, kn, false, nk, kv, width, ps->k));
    ATN_TRY(be->linear(cx, keys, ps->w_v, ps->b_v, kn, false, nk, kv, width, ps->v));
    if (c->arch->qk_norm != ATN_QK_NONE) {
        ATN_TRY(qk_norm(cx, ps, ps->q, ps->q_norm, nq, c->heads));
        ATN_TRY(qk_norm(cx, ps, ps->k, ps->k_norm, nk, c->kv_heads));
    }
    if (to && ps->args->want_pre) {
        ATN_TRY(dump_heads(cx, ps, ps->q, nq, c->heads, to->q_pre));
        ATN_TRY(dump_heads(cx, ps, ps->k, nk, c->kv_heads, to->k_pre));
    }
    if (c->arch->rope) {
        ATN_TRY(
            be->rope(cx, ps->q, cosine, sine, nq, c->heads, c->head_dim, c->rope.dim));
        ATN_TRY(be->rope(cx, ps->k, cosine, sine, nk, c->kv_heads, c->head_dim,
                         c->rope.dim));
    }
done:
    return st;
}

/* Attention of the place, of the buffer that holds the largest. */
static atn_buf p_of(const atn_pass *ps, const atn_place *at)
{
    return atn_buf_at(ps->p, 0, at->heads * at->nq * at->nk);
}

/* o <- softmax(q k^T) v, then t <- o W_O^T. */
static atn_status attend(atn_ctx *cx, atn_pass *ps, const atn_place *at, bool dump)
{
    const atn_config *c = ps->c;
    const atn_idx n = at->nq, q = at->heads * at->dv;
    const bool want_p = dump && ps->args->want_p;
    const atn_attn_args a = {.q = ps->q,
                             .k = ps->k,
                             .v = ps->v,
                             .out = ps->o,
                             .heads = at->heads,
                             .kv_heads = at->kv_heads,
                             .nq = at->nq,
                             .nk = at->nk,
                             .d = at->d,
                             .dv = at->dv,
                             .scale = at->scale,
                             .sight = at->sight,
                             .sink = at->has_sink ? ps->sink : NULL,
                             .alibi_slope = at->has_alibi ? ps->slopes : NULL,
                             .rel_bias = at->rel.buckets ? ps->rel : NULL,
                             .p = want_p ? p_of(ps, at) : (atn_buf){0},
                             .layer = (int)at->layer};
    atn_status st = ATN_OK;

    ATN_TRY(cx->backend->attention(cx, &a));
    ATN_TRY(cx->backend->linear(cx, ps->o, ps->w_o, ps->b_o, c->arch->in_out, false, n,
                                c->width, q, ps->t));
done:
    return st;
}

/* t <- MLP(in) */
static atn_status mlp(atn_ctx *cx, atn_pass *ps, atn_buf in)
{
    const atn_config *c = ps->c;
    const atn_idx n = ps->n;
    const bool kn = c->arch->in_out;
    const atn_backend *be = cx->backend;
    atn_status st = ATN_OK;

    ATN_TRY(
        be->linear(cx, in, ps->w_up, ps->b_up, kn, false, n, c->ffn, c->width, ps->up));
    if (c->gated) {
        ATN_TRY(be->linear(cx, in, ps->w_gate, ps->b_gate, kn, false, n, c->ffn,
                           c->width, ps->gate));
        ATN_TRY(be->activate(cx, c->act, ps->gate, ps->up, n * c->ffn, ps->up));
    } else {
        ATN_TRY(be->activate(cx, c->act, ps->up, (atn_buf){0}, n * c->ffn, ps->up));
    }
    ATN_TRY(be->linear(cx, ps->up, ps->w_down, ps->b_down, kn, false, n, c->width,
                       c->ffn, ps->t));
done:
    return st;
}

atn_status atn_pass_norm(atn_ctx *cx, const atn_pass *ps, atn_buf x, atn_buf w,
                         atn_buf b, atn_buf y)
{
    return cx->backend->norm(cx, ps->c->arch->norm, x, w, b, (float)ps->c->eps,
                             ps->c->arch->norm_offset, ps->n, ps->c->width, y);
}

/* What a sublayer reads: x, or its norm in `to` - in x itself, where the residual is
 * normed. The modulation from `part` on gives shift and scale, where there is one. */
static atn_status enter(atn_ctx *cx, const atn_pass *ps, atn_buf w, atn_buf b,
                        atn_idx part, atn_buf to, atn_buf *in)
{
    const atn_config *c = ps->c;
    const float eps = (float)(part ? c->mlp_eps : c->eps);

    *in = ps->x;
    if (c->place != ATN_NORM_PRE && c->place != ATN_NORM_BOTH) return ATN_OK;
    if (!c->residual_normed) *in = to;
    if (ps->modulation)
        return cx->backend->norm(cx, c->arch->norm, ps->x,
                                 atn_buf_at(ps->mod, (part + 1) * c->width, c->width),
                                 atn_buf_at(ps->mod, part * c->width, c->width), eps, 1,
                                 ps->n, c->width, *in);
    return atn_pass_norm(cx, ps, ps->x, w, b, *in);
}

/* x <- x + t with the norm where the family has it. */
static atn_status join(atn_ctx *cx, atn_pass *ps, atn_buf w, atn_buf b)
{
    const atn_norm_place place = ps->c->place;
    atn_status st = ATN_OK;

    if (place == ATN_NORM_OUTPUT || place == ATN_NORM_BOTH)
        ATN_TRY(atn_pass_norm(cx, ps, ps->t, w, b, ps->t));
    ATN_TRY(cx->backend->add(cx, ps->t, ps->n * ps->c->width, ps->x));
    if (place == ATN_NORM_POST) ATN_TRY(atn_pass_norm(cx, ps, ps->x, w, b, ps->x));
done:
    return st;
}

static atn_status visit(atn_ctx *cx, void *state)
{
    const atn_host_layer *h = state;

    return h->args->visit(cx, &h->dump, h->args->state);
}

/* Copies the place to the host and leaves it to the visitor. */
static atn_status dump_place(atn_ctx *cx, atn_pass *ps, atn_idx at, atn_host_layer *to)
{
    const atn_config *c = ps->c;
    const atn_place *p = &ps->places[at];
    atn_status st = ATN_OK;

    to->args = ps->args;
    to->dump = (atn_layer_dump){
        .place = p,
        .at = at,
        .q = to->q,
        .k = to->k,
        .v = to->v,
        .q_pre = to->q_pre,
        .k_pre = to->k_pre,
        .p = to->p,
        .h = to->h,
        .attn_out = to->attn_out,
        .alibi = ps->slopes,
        .sink = to->sink,
        .rel_bias = p->rel.buckets ? ps->rel_table[p->of - c->stacks] : NULL};
    if (to->sink) memcpy(to->sink, ps->sink, (size_t)c->heads * sizeof *to->sink);
    if (ps->modulation) {
        memcpy(to->gate, ps->modulation + 2 * c->width,
               (size_t)c->width * sizeof(float));
        to->dump.gate = to->gate;
    }
    ATN_TRY(dump_heads(cx, ps, ps->q, p->nq, c->heads, to->q));
    ATN_TRY(dump_heads(cx, ps, ps->k, p->nk, c->kv_heads, to->k));
    ATN_TRY(dump_heads(cx, ps, ps->v, p->nk, c->kv_heads, to->v));
    if (ps->args->want_p) ATN_TRY(cx->backend->download(cx, p_of(ps, p), to->p));
    if (ps->args->want_attn_out)
        ATN_TRY(cx->backend->download(cx, atn_buf_at(ps->t, 0, ps->n * c->width),
                                      to->attn_out));
    ATN_TRY(atn_worker_hand(cx, ps->visitor, visit, to));
    ps->next_dump = 1 - ps->next_dump;
done:
    return st;
}

atn_status atn_pass_place(atn_ctx *cx, atn_pass *ps, atn_idx at)
{
    const atn_place *place = &ps->places[at];
    const atn_forward_args *a = ps->args;
    const bool parallel = ps->c->parallel, both = ps->c->place == ATN_NORM_BOTH;
    const bool dump = a->visit && (!a->visit_place || a->visit_place[at]);
    atn_host_layer *to = dump ? &ps->dumps[ps->next_dump] : NULL;
    atn_status st = ATN_OK;
    atn_buf in;

    if (ps->modulation) ATN_TRY(atn_pass_modulate(cx, ps, place));
    ATN_TRY(atn_pass_load_place(cx, ps, at));
    ps->table = atn_config_rope(ps->c, place->layer) == &ps->c->local_rope;
    if (dump && a->want_h)
        ATN_TRY(cx->backend->download(cx, atn_buf_at(ps->x, 0, ps->n * ps->c->width),
                                      to->h));
    ATN_TRY(enter(cx, ps, ps->norm1_w, ps->norm1_b, 0, ps->t, &in));
    ATN_TRY(project(cx, ps, place, in, to));
    ATN_TRY(attend(cx, ps, place, dump));
    if (dump) ATN_TRY(dump_place(cx, ps, at, to));
    if (parallel) ATN_TRY(enter(cx, ps, ps->norm2_w, ps->norm2_b, 3, ps->t2, &in));
    ATN_TRY(join(cx, ps, both ? ps->norm1_out : ps->norm1_w, ps->norm1_b));
    if (!place->last) goto done;
    if (!parallel) ATN_TRY(enter(cx, ps, ps->norm2_w, ps->norm2_b, 3, ps->t, &in));
    ATN_TRY(ps->c->experts > 0 ? atn_pass_experts(cx, ps, place->layer, in)
                               : mlp(cx, ps, in));
    ATN_TRY(join(cx, ps, both ? ps->norm2_out : ps->norm2_w, ps->norm2_b));
done:
    return st;
}
