/* capture/forward_weights.c -- weights of a layer, checked and loaded, see forward_internal.h. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "capture/forward_internal.h"

#include <stdio.h>
#include <string.h>

enum { CHECK_PIECE = 1 << 18, GATED_ROWS = 64 };

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
    const size_t size = atn_dtype_size(t->type);
    const atn_idx first = piece * CHECK_PIECE,
                  end = ATN_MIN(first + CHECK_PIECE, t->count);
    const char *data = t->data;
    atn_idx at = first;

    if (atn_all_finite(data + (size_t)first * size, t->type, end - first))
        return ATN_OK;
    while (atn_all_finite(data + (size_t)at * size, t->type, 1)) at++;
    return bad_value(cx, j, at);
}

static atn_status check_weight(atn_ctx *cx, const atn_model *m, const atn_st_tensor *t,
                               const char *name)
{
    check_job j = {m, t, name};

    return atn_parallel(cx, (t->count + CHECK_PIECE - 1) / CHECK_PIECE, check_piece, &j,
                        "weights");
}

/* A weight by the name of the family's table, NULL = it has none, and where it goes. */
typedef struct weight {
    const char *name;
    bool bias;
    atn_buf *w, *b;
} weight;

enum { WEIGHTS = 11 };

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
                                 {n->down, c->bias_mlp, &ps->w_down, &ps->b_down}};

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

/* Factors of the rows of a weight: the gates of the layer; NULL = none. */
static const float *gate_of(const atn_pass *ps, const weight *p)
{
    const int part = p->w == &ps->w_o ? 2 : p->w == &ps->w_down ? 5 : -1;

    return ps->modulation && part >= 0 ? ps->modulation + part * ps->c->width : NULL;
}

/* A weight times the factors of its rows. */
static atn_status load_gated(atn_ctx *cx, const atn_st_tensor *t, const float *gate,
                             atn_buf to)
{
    const atn_arena_mark mark = atn_arena_save(cx);
    const atn_idx cols = t->count / t->shape[0];
    const size_t size = atn_dtype_size(t->type);
    atn_status st = ATN_OK;
    float *w = NULL;

    ATN_TAKE(w, GATED_ROWS * cols);
    for (atn_idx i = 0; i < t->shape[0]; i += GATED_ROWS) {
        const atn_idx rows = ATN_MIN((atn_idx)GATED_ROWS, t->shape[0] - i);

        atn_widen((const char *)t->data + (size_t)(i * cols) * size, t->type,
                  rows * cols, w);
        for (atn_idx r = 0; r < rows; r++)
            for (atn_idx j = 0; j < cols; j++) w[r * cols + j] *= gate[i + r];
        ATN_TRY(cx->backend->upload_widen(cx, atn_buf_at(to, i * cols, rows * cols), w,
                                          ATN_F32));
    }
done:
    atn_arena_rewind(cx, mark);
    return st;
}

/* Loads the weight and its bias into their buffers, allocated on first use. */
static atn_status load_named(atn_ctx *cx, const atn_pass *ps, const weight *p,
                             atn_idx layer)
{
    const float *gate = gate_of(ps, p);
    const atn_backend *be = cx->backend;
    atn_status st = ATN_OK;

    for (int bias = 0; bias < 2; bias++) {
        const atn_st_tensor *t = tensor_at(ps, p, layer, bias);
        atn_buf *to = bias ? p->b : p->w;

        if (!t) continue;
        if (!to->base)
            ATN_TRY(
                be->alloc(cx, t->rank > 1 ? be->weight_type : ATN_F32, t->count, to));
        ATN_ASSERT(to->count == t->count);
        if (gate)
            ATN_TRY(load_gated(cx, t, gate, *to));
        else
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

atn_status atn_pass_load_linear(atn_ctx *cx, atn_pass *ps, const char *name, atn_buf *w,
                                atn_buf *b)
{
    const weight p = {.name = name, .bias = true, .w = w, .b = b};
    atn_status st = ATN_OK;

    ATN_TRY(check_named(cx, ps, &p, 0));
    ATN_TRY(load_named(cx, ps, &p, 0));
done:
    return st;
}

atn_status atn_pass_check_weight(atn_ctx *cx, const atn_pass *ps, const char *name)
{
    const weight p = {.name = name};

    return check_named(cx, ps, &p, 0);
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

bool atn_forward_wants_label(const atn_model *m, const atn_forward_args *a)
{
    return m->labels > 0 && (a->want_label || a->logits);
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
    ATN_TRY(atn_pass_check_ahead(cx, ps, l + 1));
done:
    return st;
}
