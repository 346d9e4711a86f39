/* capture/forward_weights.c -- weights of a layer, checked and loaded, see
 * forward_internal.h. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "capture/forward_internal.h"

#include <stdio.h>
#include <string.h>

#include "capture/slice.h"

enum { CHECK_PIECE = 1 << 18, GATED_ROWS = 64 };

typedef struct check_job {
    const atn_model *m;
    const atn_st_tensor *t;
    const char *name; /* its template; NULL = the head */
} check_job;

/* The head that value `at` of q, k, v or the output projection belongs to, by the
 * names n, and its output there; false elsewhere. */
static bool head_by(const check_job *j, const atn_arch_names *n, atn_idx at,
                    atn_idx *head, atn_idx *row)
{
    const atn_config *c = &j->m->config;
    const atn_idx cols = j->t->rank > 1 ? j->t->shape[1] : 1;
    const bool turned = c->arch->in_out && j->t->rank > 1;
    const atn_idx output = turned ? at % cols : at / cols,
                  input = turned ? at / cols : at % cols;

    *row = output;
    if (!j->name) return false;
    for (int part = ATN_PART_Q; part <= ATN_PART_V; part++) {
        const atn_slice s = atn_slice_of(c, n, (atn_part)part);

        if (s.name == j->name && atn_slice_has(&s, output, head, row)) return true;
    }
    *row = output;
    if (j->name != n->o || j->t->rank < 2) return false;
    *head = input / c->head_dim;
    return true;
}

static bool head_of(const check_job *j, atn_idx at, atn_idx *head, atn_idx *row)
{
    const atn_config *c = &j->m->config;

    for (int i = 0; i < 2 * c->n_stacks; i++) {
        const atn_arch_names n = atn_stack_names(&c->stacks[i / 2], i % 2);

        if (head_by(j, &n, at, head, row)) return true;
    }
    return false;
}

static atn_status bad_value(atn_ctx *cx, const check_job *j, atn_idx at)
{
    const atn_st_tensor *t = j->t;
    atn_idx head = 0, row = 0;
    char text[48] = "";

    if (head_of(j, at, &head, &row))
        snprintf(text, sizeof text, "head %lld, ", (long long)head);
    return atn_fail(
        cx, ATN_DATA, __FILE__, __LINE__,
        "%s: weight \"%s\" holds NaN or infinity in %s%s %lld", t->path, t->name, text,
        j->name && j->m->config.arch->in_out && t->rank > 1 ? "column" : "row",
        (long long)row);
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

/* A weight and where it goes, NULL = it is only checked: a slice of a tensor, or, with
 * slice.heads 0, all of it. */
typedef struct weight {
    atn_slice slice;
    bool bias;
    atn_buf *w, *b;
} weight;

enum { WEIGHTS = 15 };

static weight whole(const char *name, bool bias, atn_buf *w, atn_buf *b)
{
    return (weight){{.name = name}, bias, w, b};
}

static void place_weights(atn_pass *ps, const atn_place *at, weight *out)
{
    const atn_config *c = ps->c;
    const atn_arch_names names = atn_place_names(at), *n = &names;
    const bool norm_bias = c->arch->norm == ATN_NORM_LAYER;
    const bool qkv = c->bias_qkv, mlp = c->bias_mlp;
    const weight all[WEIGHTS] = {
        whole(n->attn_norm, norm_bias, &ps->norm1_w, &ps->norm1_b),
        {atn_slice_of(c, n, ATN_PART_Q), qkv, &ps->w_q, &ps->b_q},
        {atn_slice_of(c, n, ATN_PART_K), qkv, &ps->w_k, &ps->b_k},
        {atn_slice_of(c, n, ATN_PART_V), qkv, &ps->w_v, &ps->b_v},
        whole(n->o, c->bias_o, &ps->w_o, &ps->b_o),
        whole(n->q_norm, false, &ps->q_norm, NULL),
        whole(n->k_norm, false, &ps->k_norm, NULL),
        whole(n->mlp_norm, norm_bias, &ps->norm2_w, &ps->norm2_b),
        {atn_slice_of(c, n, ATN_PART_GATE), mlp, &ps->w_gate, &ps->b_gate},
        {atn_slice_of(c, n, ATN_PART_UP), mlp, &ps->w_up, &ps->b_up},
        whole(n->down, mlp, &ps->w_down, &ps->b_down),
        whole(n->attn_out_norm, norm_bias, &ps->norm1_out, NULL),
        whole(n->mlp_out_norm, norm_bias, &ps->norm2_out, NULL),
        whole(n->router, true, &ps->w_router, &ps->b_router),
        whole(n->sinks, false, NULL, NULL)};

    memcpy(out, all, sizeof all);
}

static const atn_st_tensor *tensor_at(const atn_pass *ps, const weight *p,
                                      atn_idx layer, bool bias)
{
    return p->slice.name && (!bias || p->bias)
               ? atn_model_tensor(ps->m, p->slice.name, layer, bias)
               : NULL;
}

static atn_status check_named(atn_ctx *cx, const atn_pass *ps, const weight *p,
                              atn_idx layer)
{
    atn_status st = ATN_OK;

    for (int bias = 0; bias < 2; bias++) {
        const atn_st_tensor *t = tensor_at(ps, p, layer, bias);
        if (t) ATN_TRY(check_weight(cx, ps->m, t, p->slice.name));
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

/* to <- the slice of t: directly where it stands in one piece, else through a copy. */
static atn_status upload_slice(atn_ctx *cx, const atn_st_tensor *t, const atn_slice *s,
                               bool in_out, atn_buf to)
{
    const atn_arena_mark mark = atn_arena_save(cx);
    const atn_idx inputs = t->count / s->outputs;
    const char *data = t->data;
    atn_status st = ATN_OK;
    char *copy = NULL;

    if (s->pairs || (s->heads * s->d != s->outputs && (s->step != s->d || in_out))) {
        ATN_TAKE(copy, (atn_idx)atn_dtype_bytes(t->type, to.count));
        atn_slice_copy(s, data, t->type, inputs, in_out, copy);
        data = copy;
    } else
        data += atn_dtype_bytes(t->type, s->first * inputs);
    ATN_TRY(cx->backend->upload_widen(cx, to, data, t->type));
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
        atn_slice s = p->slice;
        atn_idx count;

        if (!t || !to) continue;
        if (s.heads == 0)
            s = (atn_slice){
                .heads = 1, .d = t->count, .step = t->count, .outputs = t->count};
        count = s.heads * s.d * (t->count / s.outputs);
        /* a norm of the embeddings may be narrower than the layers' */
        if (to->base && to->count != count) be->release(cx, to);
        if (!to->base)
            ATN_TRY(be->alloc(cx, t->rank > 1 ? be->weight_type : ATN_F32, count, to));
        if (gate)
            ATN_TRY(load_gated(cx, t, gate, *to));
        else
            ATN_TRY(upload_slice(cx, t, &s, ps->c->arch->in_out && t->rank > 1, *to));
        atn_st_forget(t);
    }
done:
    return st;
}

atn_status atn_pass_load_map(atn_ctx *cx, const atn_pass *ps, const char *name,
                             atn_buf *w, atn_buf *b)
{
    const weight p = whole(name, b != NULL, w, b);
    atn_status st = ATN_OK;

    ATN_TRY(check_named(cx, ps, &p, 0));
    ATN_TRY(load_named(cx, ps, &p, 0));
done:
    return st;
}

/* A norm beside the layers. */
atn_status atn_pass_load_norm(atn_ctx *cx, atn_pass *ps, const char *name)
{
    const weight p =
        whole(name, ps->c->arch->norm == ATN_NORM_LAYER, &ps->norm1_w, &ps->norm1_b);
    atn_status st = ATN_OK;

    ps->loaded = -1;
    ATN_TRY(check_named(cx, ps, &p, 0));
    ATN_TRY(load_named(cx, ps, &p, 0));
done:
    return st;
}

atn_status atn_pass_check_weight(atn_ctx *cx, const atn_pass *ps, const char *name)
{
    const weight p = whole(name, false, NULL, NULL);

    return check_named(cx, ps, &p, 0);
}

atn_status atn_pass_load_rel(atn_ctx *cx, atn_pass *ps, atn_idx at)
{
    const atn_place *p = &ps->places[at];
    const char *name = p->of->names.rel_bias;
    float *table = ps->rel_table[p->of - ps->c->stacks];
    const atn_st_tensor *t;
    atn_status st = ATN_OK;

    if (!name) return ATN_OK;
    t = atn_model_tensor(ps->m, name, 0, false);
    ATN_TRY(check_weight(cx, ps->m, t, name));
    atn_widen(t->data, t->type, t->count, table);
    atn_rel_expand(&p->rel, table, p->heads, p->nq, p->nk, p->sight.offset, ps->rel);
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
    return atn_model_reaches_head(m, &a->input) && (a->want_loss || a->logits);
}

bool atn_forward_wants_label(const atn_model *m, const atn_forward_args *a)
{
    return m->labels > 0 && (a->want_label || a->logits);
}

/* Whether places a and b have the same weights; -1 = no place. */
static bool share_weights(const atn_pass *ps, atn_idx a, atn_idx b)
{
    const atn_place *x = &ps->places[a], *y = &ps->places[b];
    atn_idx group, inner;

    return a >= 0 && b >= 0 && x->of == y->of && x->cross == y->cross &&
           atn_config_block(ps->c, x->layer, &group, &inner) ==
               atn_config_block(ps->c, y->layer, &group, &inner);
}

/* The checker's job: all weights of a place, or the head's behind the last. */
static atn_status check_place(atn_ctx *cx, void *state)
{
    atn_pass *ps = state;
    atn_status st = ATN_OK;
    weight all[WEIGHTS];

    if (ps->checking > ps->last)
        return check_weight(cx, ps->m, atn_model_head(ps->m), NULL);
    if (share_weights(ps, ps->checking, ps->checking - 1)) return ATN_OK;
    place_weights(ps, &ps->places[ps->checking], all);
    for (int i = 0; i < WEIGHTS; i++)
        ATN_TRY(check_named(cx, ps, &all[i], ps->places[ps->checking].layer));
done:
    return st;
}

atn_status atn_pass_check_ahead(atn_ctx *cx, atn_pass *ps, atn_idx at)
{
    if (at > ps->last && !atn_forward_wants_head(ps->m, ps->args)) return ATN_OK;
    ps->checking = at;
    return atn_worker_hand(cx, ps->checker, check_place, ps);
}

atn_status atn_pass_load_place(atn_ctx *cx, atn_pass *ps, atn_idx at)
{
    atn_status st = ATN_OK;
    weight all[WEIGHTS];

    place_weights(ps, &ps->places[at], all);
    ATN_TRY(atn_worker_wait(cx, ps->checker));
    for (int i = 0; i < WEIGHTS && !share_weights(ps, ps->loaded, at); i++)
        ATN_TRY(load_named(cx, ps, &all[i], ps->places[at].layer));
    ps->loaded = at;
    if (ps->sink) {
        const atn_st_tensor *t = atn_model_tensor(ps->m, ps->c->arch->names.sinks,
                                                  ps->places[at].layer, false);
        atn_widen(t->data, t->type, t->count, ps->sink);
    }
    ATN_TRY(atn_pass_check_ahead(cx, ps, at + 1));
done:
    return st;
}
