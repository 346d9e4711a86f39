/* capture/forward_weights.c -- weights of a layer, checked and loaded, see forward_internal.h. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "capture/forward_internal.h"

#include <stdio.h>
#include <string.h>

enum { CHECK_PIECE = 1 << 18 };

typedef struct check_job {
    const atn_model *m;
    const atn_st_tensor *t;
    const char *name; /* its template; NULL = the head */
} check_job;

/* A NaN or infinity at value `at`: by head and row within it where the tensor has heads - of
 * q, k and v the rows, of the output projection the columns -, else by row. */
static atn_status bad_value(atn_ctx *cx, const check_job *j, atn_idx at)
{
    const atn_arch_names *n = &j->m->config.arch->names;
    const atn_st_tensor *t = j->t;
    const atn_idx d = j->m->config.head_dim, cols = t->rank > 1 ? t->shape[1] : 1;
    const bool in_rows = j->name == n->q || j->name == n->k || j->name == n->v;
    const bool in_cols = j->name == n->o && t->rank > 1;
    atn_idx row = at / cols;
    char head[48] = "";

    if (in_rows || in_cols)
        snprintf(head, sizeof head, "head %lld, ",
                 (long long)((in_rows ? row : at % cols) / d));
    if (in_rows) row %= d;
    return atn_fail(cx, ATN_DATA, __FILE__, __LINE__,
                    "%s: weight \"%s\" holds NaN or infinity in %srow %lld", t->path,
                    t->name, head, (long long)row);
}

static atn_status check_piece(atn_ctx *cx, atn_idx piece, void *state)
{
    const check_job *j = state;
    const atn_st_tensor *t = j->t;
    const atn_idx block = atn_dtype_block(t->type), first = piece * CHECK_PIECE,
                  end = ATN_MIN(first + CHECK_PIECE, t->count);
    const char *data = t->data;
    atn_idx at = first;

    if (atn_all_finite(data + atn_dtype_bytes(t->type, first), t->type, end - first))
        return ATN_OK;
    while (atn_all_finite(data + atn_dtype_bytes(t->type, at), t->type, block))
        at += block;
    return bad_value(cx, j, at);
}

static atn_status check_weight(atn_ctx *cx, const atn_model *m, const atn_st_tensor *t,
                               const char *name)
{
    check_job j = {m, t, name};

    return atn_parallel(cx, (t->count + CHECK_PIECE - 1) / CHECK_PIECE, check_piece, &j,
                        "weights");
}

atn_status atn_pass_check(atn_ctx *cx, const atn_pass *ps, const atn_st_tensor *t,
                          const char *name)
{
    return check_weight(cx, ps->m, t, name);
}

/* A weight by the name of the family's table, NULL = it has none, and where it goes; NULL =
 * it is only checked. */
typedef struct weight {
    const char *name;
    bool bias;
    atn_buf *w, *b;
} weight;

enum { WEIGHTS = 15 };

static void layer_weights(atn_pass *ps, weight *out)
{
    const atn_config *c = ps->c;
    const atn_arch_names *n = &c->arch->names;
    const bool norm_bias = c->arch->norm == ATN_NORM_LAYER;
    const weight all[WEIGHTS] = {{n->attn_norm, norm_bias, &ps->norm1_w, &ps->norm1_b},
                                 {n->q, c->bias_qkv, &ps->w_q, &ps->b_q},
                                 {n->k, c->bias_qkv, &ps->w_k, &ps->b_k},
                                 {n->v, c->bias_qkv, &ps->w_v, &ps->b_v},
                                 {n->o, c->bias_o, &ps->w_o, &ps->b_o},
                                 {n->q_norm, false, &ps->q_norm, NULL},
                                 {n->k_norm, false, &ps->k_norm, NULL},
                                 {n->mlp_norm, norm_bias, &ps->norm2_w, &ps->norm2_b},
                                 {n->gate, c->bias_mlp, &ps->w_gate, &ps->b_gate},
                                 {n->up, c->bias_mlp, &ps->w_up, &ps->b_up},
                                 {n->down, c->bias_mlp, &ps->w_down, &ps->b_down},
                                 {n->attn_out_norm, norm_bias, &ps->norm1_out, NULL},
                                 {n->mlp_out_norm, norm_bias, &ps->norm2_out, NULL},
                                 {n->router, true, &ps->w_router, &ps->b_router},
                                 {n->sinks, false, NULL, NULL}};

    memcpy(out, all, sizeof all);
}

static const atn_st_tensor *tensor_at(const atn_pass *ps, const weight *p,
                                      atn_idx layer, bool bias)
{
    return p->name && (!bias || p->bias) ? atn_model_tensor(ps->m, p->name, layer, bias)
                                         : NULL;
}

static atn_status check_named(atn_ctx *cx, const atn_pass *ps, const weight *p,
                              atn_idx layer)
{
    atn_status st = ATN_OK;

    for (int bias = 0; bias < 2; bias++) {
        const atn_st_tensor *t = tensor_at(ps, p, layer, bias);
        if (t) ATN_TRY(check_weight(cx, ps->m, t, p->name));
    }
done:
    return st;
}

/* Loads the weight and its bias into their buffers, allocated on first use. */
static atn_status load_named(atn_ctx *cx, const atn_pass *ps, const weight *p,
                             atn_idx layer)
{
    const atn_backend *be = cx->backend;
    atn_status st = ATN_OK;

    for (int bias = 0; bias < 2; bias++) {
        const atn_st_tensor *t = tensor_at(ps, p, layer, bias);
        atn_buf *to = bias ? p->b : p->w;

        if (!t || !to) continue;
        if (!to->base)
            ATN_TRY(
                be->alloc(cx, t->rank > 1 ? be->weight_type : ATN_F32, t->count, to));
        ATN_ASSERT(to->count == t->count);
        ATN_TRY(be->upload_widen(cx, *to, t->data, t->type));
        atn_st_forget(t);
    }
done:
    return st;
}

/* A norm beside the layers. */
atn_status atn_pass_load_norm(atn_ctx *cx, atn_pass *ps, const char *name)
{
    const weight p = {name, ps->c->arch->norm == ATN_NORM_LAYER, &ps->norm1_w,
                      &ps->norm1_b};
    atn_status st = ATN_OK;

    ATN_TRY(check_named(cx, ps, &p, 0));
    ATN_TRY(load_named(cx, ps, &p, 0));
done:
    return st;
}

const atn_st_tensor *atn_model_head(const atn_model *m)
{
    const atn_arch_names *n = &m->config.arch->names;

    return atn_model_tensor(m, m->config.tied ? n->embed : n->head, 0, false);
}

bool atn_forward_wants_head(const atn_model *m, const atn_forward_args *a)
{
    return m->has_head && (a->want_loss || a->logits);
}

/* The checker's job: all weights of a layer, or the head's behind the last. */
static atn_status check_layer(atn_ctx *cx, void *state)
{
    atn_pass *ps = state;
    atn_status st = ATN_OK;
    weight all[WEIGHTS];

    if (ps->checking > ps->last)
        return check_weight(cx, ps->m, atn_model_head(ps->m), NULL);
    layer_weights(ps, all);
    for (int i = 0; i < WEIGHTS; i++)
        ATN_TRY(check_named(cx, ps, &all[i], ps->checking));
done:
    return st;
}

/* Lets the checker go on to layer l, if there is something to check. */
atn_status atn_pass_check_ahead(atn_ctx *cx, atn_pass *ps, atn_idx l)
{
    if (l > ps->last && !atn_forward_wants_head(ps->m, ps->args)) return ATN_OK;
    ps->checking = l;
    return atn_worker_hand(cx, ps->checker, check_layer, ps);
}

atn_status atn_pass_load_layer(atn_ctx *cx, atn_pass *ps, atn_idx l)
{
    atn_status st = ATN_OK;
    weight all[WEIGHTS];

    layer_weights(ps, all);
    ATN_TRY(atn_worker_wait(cx, ps->checker));
    for (int i = 0; i < WEIGHTS; i++) ATN_TRY(load_named(cx, ps, &all[i], l));
    if (ps->sink) {
        const atn_st_tensor *t =
            atn_model_tensor(ps->m, ps->c->arch->names.sinks, l, false);
        atn_widen(t->data, t->type, t->count, ps->sink);
    }
    ATN_TRY(atn_pass_check_ahead(cx, ps, l + 1));
done:
    return st;
}
