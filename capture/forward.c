/* capture/forward.c -- one forward pass for all families, see the header. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "capture/forward.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "capture/worker.h"
#include "core/kernels/kernels.h"
#include "core/rows.h"

enum {
    VOCAB_CHUNK = 4096,
    ROW_CHUNK = 4096,
    CHECK_PIECE = 1 << 18,
    CHECK_THREADS = 4,
    EMBED_ROWS = 64,
    W_O_ROWS = 16
};

/* Host memory of one layer on its way to the visitor, as in atn_layer_dump. */
typedef struct host_layer {
    float *q, *k, *v, *q_pre, *k_pre, *h, *attn_out, *p;
    atn_layer_dump dump;
    const atn_forward_args *args;
} host_layer;

/* Buffers of a pass; weights hold one layer and are filled again for the next. */
typedef struct pass {
    const atn_model *m;
    const atn_config *c;
    const atn_forward_args *args;
    atn_buf x, t, q, k, v, o, up, gate, p;                      /* activations */
    atn_buf w_q, w_k, w_v, w_o, w_gate, w_up, w_down;           /* weights */
    atn_buf b_q, b_k, b_v, b_o, b_gate, b_up, b_down;           /* biases */
    atn_buf norm1_w, norm1_b, norm2_w, norm2_b, q_norm, k_norm; /* norms */
    atn_buf cosine, sine;                                       /* [n, dim / 2] */
    host_layer dumps[2]; /* one is filled while the visitor has the other */
    int next_dump;
    atn_worker *visitor; /* NULL = none wanted */
    atn_worker *checker; /* looks at the weights of the next layer, the head's last */
    atn_idx last, checking; /* the last layer; the one it looks at */
} pass;

/* ---- weights ---- */

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

static void layer_weights(pass *ps, weight *out)
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

static const atn_st_tensor *tensor_at(const pass *ps, const weight *p, atn_idx layer,
                                      bool bias)
{
    return p->name && (!bias || p->bias) ? atn_model_tensor(ps->m, p->name, layer, bias)
                                         : NULL;
}

static atn_status check_named(atn_ctx *cx, const pass *ps, const weight *p,
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
static atn_status load_named(atn_ctx *cx, const pass *ps, const weight *p,
                             atn_idx layer)
{
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
        ATN_TRY(be->upload_widen(cx, *to, t->data, t->type));
        atn_st_forget(t);
    }
done:
    return st;
}

/* A norm beside the layers. */
static atn_status load_norm(atn_ctx *cx, pass *ps, const char *name)
{
    const weight p = {name, ps->c->arch->norm == ATN_NORM_LAYER, &ps->norm1_w,
                      &ps->norm1_b};
    atn_status st = ATN_OK;

    ATN_TRY(check_named(cx, ps, &p, 0));
    ATN_TRY(load_named(cx, ps, &p, 0));
done:
    return st;
}

static const atn_st_tensor *head_of(const pass *ps)
{
    const atn_arch_names *n = &ps->c->arch->names;

    return atn_model_tensor(ps->m, ps->c->tied ? n->embed : n->head, 0, false);
}

static bool wants_head(const atn_model *m, const atn_forward_args *a)
{
    return m->has_head && (a->want_loss || a->logits);
}

/* The checker's job: all weights of a layer, or the head's behind the last. */
static atn_status check_layer(atn_ctx *cx, void *state)
{
    pass *ps = state;
    atn_status st = ATN_OK;
    weight all[WEIGHTS];

    if (ps->checking > ps->last) return check_weight(cx, ps->m, head_of(ps), NULL);
    layer_weights(ps, all);
    for (int i = 0; i < WEIGHTS; i++)
        ATN_TRY(check_named(cx, ps, &all[i], ps->checking));
done:
    return st;
}

/* Lets the checker go on to layer l, if there is something to check. */
static atn_status check_ahead(atn_ctx *cx, pass *ps, atn_idx l)
{
    if (l > ps->last && !wants_head(ps->m, ps->args)) return ATN_OK;
    ps->checking = l;
    return atn_worker_hand(cx, ps->checker, check_layer, ps);
}

static atn_status load_layer(atn_ctx *cx, pass *ps, atn_idx l)
{
    atn_status st = ATN_OK;
    weight all[WEIGHTS];

    layer_weights(ps, all);
    ATN_TRY(atn_worker_wait(cx, ps->checker));
    for (int i = 0; i < WEIGHTS; i++) ATN_TRY(load_named(cx, ps, &all[i], l));
    ATN_TRY(check_ahead(cx, ps, l + 1));
done:
    return st;
}

/* ---- embedding ---- */

/* A table of embeddings, and which of its rows stands at which position. */
typedef struct table {
    const pass *ps;
    const atn_st_tensor *t;
    const char *what; /* that a row belongs to: "token id" */
    const int32_t *rows;
} table;

/* Of EMBED_ROWS positions: a row with NaN or infinity is named. */
static atn_status check_rows(atn_ctx *cx, atn_idx piece, void *state)
{
    const table *b = state;
    const atn_idx width = b->ps->c->width, first = piece * EMBED_ROWS;
    const size_t row = (size_t)width * atn_dtype_size(b->t->type);
    atn_status st = ATN_OK;

    for (atn_idx i = first; i < ATN_MIN(first + EMBED_ROWS, b->ps->args->n); i++)
        if (!atn_all_finite((const char *)b->t->data + (size_t)b->rows[i] * row,
                            b->t->type, width))
            ATN_FAIL(ATN_DATA,
                     "%s: weight \"%s\" holds NaN or infinity in row %d, %s %d",
                     b->t->path, b->t->name, b->rows[i], b->what, b->rows[i]);
done:
    return st;
}

/* x = rows of the table `name`, or x += them; no name, no table. */
static atn_status embed_table(atn_ctx *cx, pass *ps, const char *name, const char *what,
                              const int32_t *rows, bool add)
{
    const atn_idx n = ps->args->n, width = ps->c->width;
    table b = {ps, name ? atn_model_tensor(ps->m, name, 0, false) : NULL, what, rows};
    atn_status st = ATN_OK;

    if (!b.t) return ATN_OK;
    ATN_TRY(atn_parallel(cx, (n + EMBED_ROWS - 1) / EMBED_ROWS, check_rows, &b,
                         "embedding"));
    ATN_TRY(cx->backend->embed(cx, b.t->data, b.t->type, rows, n, width, add,
                               atn_buf_at(ps->x, 0, n * width)));
done:
    return st;
}

/* Only the rows that are needed are read from the file. Token types are all 0. */
static atn_status embed(atn_ctx *cx, pass *ps)
{
    const atn_arena_mark mark = atn_arena_save(cx);
    const atn_arch_names *names = &ps->c->arch->names;
    const atn_idx width = ps->c->width, n = ps->args->n;
    atn_status st = ATN_OK;
    int32_t *places = NULL, *types = NULL;

    ATN_TAKE(places, n);
    ATN_TAKE(types, n);
    for (atn_idx i = 0; i < n; i++) {
        places[i] = (int32_t)i;
        types[i] = 0;
    }
    ATN_TRY(embed_table(cx, ps, names->embed, "token id", ps->args->ids, false));
    ATN_TRY(embed_table(cx, ps, names->type, "token type", types, true));
    ATN_TRY(embed_table(cx, ps, names->position, "position", places, true));
    if (names->embed_norm) {
        ATN_TRY(load_norm(cx, ps, names->embed_norm));
        ATN_TRY(cx->backend->norm(cx, ps->c->arch->norm, ps->x, ps->norm1_w,
                                  ps->norm1_b, (float)ps->c->eps, 0, n, width, ps->x));
    }
done:
    atn_arena_rewind(cx, mark);
    return st;
}

/* ---- one layer ---- */

static atn_status dump_heads(atn_ctx *cx, const pass *ps, atn_buf buf, atn_idx heads,
                             float *out)
{
    return cx->backend->download_heads(cx, buf, ps->args->n, heads, ps->c->head_dim,
                                       out);
}

static atn_status qk_norm(atn_ctx *cx, const pass *ps, atn_buf x, atn_buf w,
                          atn_idx heads)
{
    const bool full = ps->c->arch->qk_norm == ATN_QK_FULL;
    const atn_idx d = ps->c->head_dim, n = ps->args->n;

    return cx->backend->norm(cx, ATN_NORM_RMS, x, w, (atn_buf){0}, (float)ps->c->eps, 0,
                             full ? n : n * heads, full ? heads * d : d, x);
}

static atn_status project(atn_ctx *cx, pass *ps, atn_buf in, const host_layer *to)
{
    const atn_config *c = ps->c;
    const atn_idx n = ps->args->n, q = c->heads * c->head_dim,
                  kv = c->kv_heads * c->head_dim;
    const atn_backend *be = cx->backend;
    atn_status st = ATN_OK;

    ATN_TRY(be->linear(cx, in, ps->w_q, ps->b_q, false, false, n, q, c->width, ps->q));
    ATN_TRY(be->linear(cx, in, ps->w_k, ps->b_k, false, false, n, kv, c->width, ps->k));
    ATN_TRY(be->linear(cx, in, ps->w_v, ps->b_v, false, false, n, kv, c->width, ps->v));
    if (c->arch->qk_norm != ATN_QK_NONE) {
        ATN_TRY(qk_norm(cx, ps, ps->q, ps->q_norm, c->heads));
        ATN_TRY(qk_norm(cx, ps, ps->k, ps->k_norm, c->kv_heads));
    }
    if (to && ps->args->want_pre) {
        ATN_TRY(dump_heads(cx, ps, ps->q, c->heads, to->q_pre));
        ATN_TRY(dump_heads(cx, ps, ps->k, c->kv_heads, to->k_pre));
    }
    if (c->arch->rope) {
        ATN_TRY(be->rope(cx, ps->q, ps->cosine, ps->sine, n, c->heads, c->head_dim,
                         c->rope.dim));
        ATN_TRY(be->rope(cx, ps->k, ps->cosine, ps->sine, n, c->kv_heads, c->head_dim,
                         c->rope.dim));
    }
done:
    return st;
}

/* o <- softmax(q k^T) v, then t <- o W_O^T. */
static atn_status attend(atn_ctx *cx, pass *ps, atn_idx l, bool dump)
{
    const atn_config *c = ps->c;
    const atn_idx n = ps->args->n, q = c->heads * c->head_dim;
    const bool want_p = dump && ps->args->want_p;
    const atn_attn_args a = {
        .q = ps->q,
        .k = ps->k,
        .v = ps->v,
        .out = ps->o,
        .heads = c->heads,
        .kv_heads = c->kv_heads,
        .nq = n,
        .nk = n,
        .d = c->head_dim,
        .dv = c->head_dim,
        .scale = 1 / sqrt((double)c->head_dim),
        .sight = {.causal = c->arch->causal, .window = c->window[l], .key_last = n},
        .p = want_p ? ps->p : (atn_buf){0},
        .layer = (int)l};
    atn_status st = ATN_OK;

    ATN_TRY(cx->backend->attention(cx, &a));
    ATN_TRY(cx->backend->linear(cx, ps->o, ps->w_o, ps->b_o, false, false, n, c->width,
                                q, ps->t));
done:
    return st;
}

/* t <- MLP(in) */
static atn_status mlp(atn_ctx *cx, pass *ps, atn_buf in)
{
    const atn_config *c = ps->c;
    const atn_idx n = ps->args->n;
    const atn_backend *be = cx->backend;
    atn_status st = ATN_OK;

    ATN_TRY(be->linear(cx, in, ps->w_up, ps->b_up, false, false, n, c->ffn, c->width,
                       ps->up));
    if (c->gated) {
        ATN_TRY(be->linear(cx, in, ps->w_gate, ps->b_gate, false, false, n, c->ffn,
                           c->width, ps->gate));
        ATN_TRY(be->activate(cx, c->act, ps->gate, ps->up, n * c->ffn, ps->up));
    } else {
        ATN_TRY(be->activate(cx, c->act, ps->up, (atn_buf){0}, n * c->ffn, ps->up));
    }
    ATN_TRY(be->linear(cx, ps->up, ps->w_down, ps->b_down, false, false, n, c->width,
                       c->ffn, ps->t));
done:
    return st;
}

static atn_status norm(atn_ctx *cx, const pass *ps, atn_buf x, atn_buf w, atn_buf b,
                       atn_buf y)
{
    return cx->backend->norm(cx, ps->c->arch->norm, x, w, b, (float)ps->c->eps, 0,
                             ps->args->n, ps->c->width, y);
}

/* x <- x + t with the norm where the family has it. */
static atn_status join(atn_ctx *cx, pass *ps, atn_buf w, atn_buf b)
{
    const atn_norm_place place = ps->c->arch->place;
    atn_status st = ATN_OK;

    if (place == ATN_NORM_OUTPUT) ATN_TRY(norm(cx, ps, ps->t, w, b, ps->t));
    ATN_TRY(cx->backend->add(cx, ps->t, ps->args->n * ps->c->width, ps->x));
    if (place == ATN_NORM_POST) ATN_TRY(norm(cx, ps, ps->x, w, b, ps->x));
done:
    return st;
}

static atn_status visit(atn_ctx *cx, void *state)
{
    const host_layer *h = state;

    return h->args->visit(cx, &h->dump, h->args->state);
}

/* Copies the layer to the host and leaves it to the visitor. */
static atn_status dump_layer(atn_ctx *cx, pass *ps, atn_idx l, host_layer *to)
{
    const atn_config *c = ps->c;
    atn_status st = ATN_OK;

    to->args = ps->args;
    to->dump = (atn_layer_dump){.layer = l,
                                .n = ps->args->n,
                                .q = to->q,
                                .k = to->k,
                                .v = to->v,
                                .q_pre = to->q_pre,
                                .k_pre = to->k_pre,
                                .p = to->p,
                                .h = to->h,
                                .attn_out = to->attn_out};
    ATN_TRY(dump_heads(cx, ps, ps->q, c->heads, to->q));
    ATN_TRY(dump_heads(cx, ps, ps->k, c->kv_heads, to->k));
    ATN_TRY(dump_heads(cx, ps, ps->v, c->kv_heads, to->v));
    if (ps->args->want_p) ATN_TRY(cx->backend->download(cx, ps->p, to->p));
    if (ps->args->want_attn_out)
        ATN_TRY(cx->backend->download(cx, atn_buf_at(ps->t, 0, ps->args->n * c->width),
                                      to->attn_out));
    ATN_TRY(atn_worker_hand(cx, ps->visitor, visit, to));
    ps->next_dump = 1 - ps->next_dump;
done:
    return st;
}

static atn_status run_layer(atn_ctx *cx, pass *ps, atn_idx l)
{
    const atn_forward_args *a = ps->args;
    const bool pre = ps->c->arch->place == ATN_NORM_PRE;
    const bool dump = a->visit && (!a->visit_layer || a->visit_layer[l]);
    host_layer *to = dump ? &ps->dumps[ps->next_dump] : NULL;
    atn_status st = ATN_OK;

    ATN_TRY(load_layer(cx, ps, l));
    if (dump && a->want_h)
        ATN_TRY(cx->backend->download(cx, atn_buf_at(ps->x, 0, a->n * ps->c->width),
                                      to->h));
    if (pre) ATN_TRY(norm(cx, ps, ps->x, ps->norm1_w, ps->norm1_b, ps->t));
    ATN_TRY(project(cx, ps, pre ? ps->t : ps->x, to));
    ATN_TRY(attend(cx, ps, l, dump));
    if (dump) ATN_TRY(dump_layer(cx, ps, l, to));
    ATN_TRY(join(cx, ps, ps->norm1_w, ps->norm1_b));
    if (pre) ATN_TRY(norm(cx, ps, ps->x, ps->norm2_w, ps->norm2_b, ps->t));
    ATN_TRY(mlp(cx, ps, pre ? ps->t : ps->x));
    ATN_TRY(join(cx, ps, ps->norm2_w, ps->norm2_b));
done:
    return st;
}

/* ---- logits and loss ---- */

/* One chunk of the vocabulary for all rows, ROW_CHUNK of them at a time. */
static atn_status logits_chunk(atn_ctx *cx, pass *ps, atn_buf w, atn_buf logits,
                               atn_idx first, atn_idx width, const int32_t *targets,
                               double *lse, double *hit)
{
    const atn_idx n = ps->args->n, dim = ps->c->width, vocab = ps->c->vocab;
    atn_status st = ATN_OK;

    for (atn_idx at = 0; at < n; at += ROW_CHUNK) {
        const atn_idx rows = ATN_MIN((atn_idx)ROW_CHUNK, n - at);

        ATN_TRY(cx->backend->linear(cx, atn_buf_at(ps->t, at * dim, rows * dim), w,
                                    (atn_buf){0}, false, false, rows, width, dim,
                                    logits));
        if (lse)
            st = cx->backend->cross_entropy(cx, logits, targets + at, rows, width,
                                            first, lse + at, hit + at);
        if (st == ATN_DATA)
            ATN_FAIL(ATN_DATA,
                     "the logits of some position of %lld .. %lld hold NaN or infinity "
                     "(look for huge weights in the last layers)",
                     (long long)at, (long long)(at + rows - 1));
        ATN_TRY(st);
        for (atn_idx i = 0; ps->args->logits && i < rows; i++)
            ATN_TRY(cx->backend->download(cx, atn_buf_at(logits, i * width, width),
                                          ps->args->logits + (at + i) * vocab + first));
    }
done:
    return st;
}

static atn_status run_head(atn_ctx *cx, pass *ps, atn_forward_result *out)
{
    const atn_arena_mark mark = atn_arena_save(cx);
    const atn_config *c = ps->c;
    const atn_st_tensor *head = head_of(ps);
    const atn_idx n = ps->args->n, chunk = ATN_MIN((atn_idx)VOCAB_CHUNK, c->vocab);
    const size_t row_bytes = (size_t)c->width * atn_dtype_size(head->type);
    atn_status st = ATN_OK;
    atn_buf w = {0}, logits = {0};
    int32_t *targets = NULL;
    double *lse = NULL, *hit = NULL;

    ATN_TRY(atn_worker_wait(cx, ps->checker));
    ATN_TRY(load_norm(cx, ps, c->arch->names.final_norm));
    ATN_TRY(norm(cx, ps, ps->x, ps->norm1_w, ps->norm1_b, ps->t));
    ATN_TRY(cx->backend->alloc(cx, cx->backend->weight_type, chunk * c->width, &w));
    ATN_TRY(cx->backend->alloc(cx, ATN_F32, ATN_MIN((atn_idx)ROW_CHUNK, n) * chunk,
                               &logits));
    ATN_TAKE(targets, n);
    ATN_TAKE(lse, n);
    ATN_TAKE(hit, n);
    for (atn_idx i = 0; i < n; i++) {
        targets[i] = i + 1 < n ? ps->args->ids[i + 1] : -1;
        lse[i] = -INFINITY;
        hit[i] = 0;
    }
    for (atn_idx first = 0; first < c->vocab; first += chunk) {
        const atn_idx width = ATN_MIN(chunk, c->vocab - first);

        ATN_TRY(atn_progress(cx, "logits", (double)first, (double)c->vocab));
        ATN_TRY(cx->backend->upload_widen(
            cx, atn_buf_at(w, 0, width * c->width),
            (const char *)head->data + (size_t)first * row_bytes, head->type));
        ATN_TRY(logits_chunk(cx, ps, w, logits, first, width, targets,
                             ps->args->want_loss ? lse : NULL, hit));
    }
    for (atn_idx i = 0; i + 1 < n; i++) out->loss += lse[i] - hit[i];
    out->has_loss = ps->args->want_loss && n > 1;
    out->loss_tokens = n - 1;
    out->loss = out->has_loss ? out->loss / (double)(n - 1) : 0;
done:
    cx->backend->release(cx, &w);
    cx->backend->release(cx, &logits);
    atn_arena_rewind(cx, mark);
    return st;
}

/* ---- the pass ---- */

static atn_status take_rope(atn_ctx *cx, pass *ps)
{
    const atn_arena_mark mark = atn_arena_save(cx);
    const atn_idx count = ps->args->n * (ps->c->rope.dim / 2);
    const atn_backend *be = cx->backend;
    atn_status st = ATN_OK;
    float *cosine = NULL, *sine = NULL;

    ATN_TAKE(cosine, count);
    ATN_TAKE(sine, count);
    ATN_TRY(atn_rope_tables(cx, ps->c, ps->args->n, cosine, sine));
    ATN_TRY(be->alloc(cx, ATN_F32, count, &ps->cosine));
    ATN_TRY(be->alloc(cx, ATN_F32, count, &ps->sine));
    ATN_TRY(be->upload(cx, ps->cosine, cosine));
    ATN_TRY(be->upload(cx, ps->sine, sine));
done:
    atn_arena_rewind(cx, mark);
    return st;
}

static atn_status take_dump(atn_ctx *cx, const pass *ps, host_layer *d)
{
    const atn_config *c = ps->c;
    const atn_forward_args *a = ps->args;
    const atn_idx n = a->n, q = n * c->heads * c->head_dim,
                  kv = n * c->kv_heads * c->head_dim;
    atn_status st = ATN_OK;

    ATN_TAKE(d->q, q);
    ATN_TAKE(d->k, kv);
    ATN_TAKE(d->v, kv);
    if (a->want_pre) {
        ATN_TAKE(d->q_pre, q);
        ATN_TAKE(d->k_pre, kv);
    }
    if (a->want_h) ATN_TAKE(d->h, n * c->width);
    if (a->want_attn_out) ATN_TAKE(d->attn_out, n * c->width);
    if (a->want_p) ATN_TAKE(d->p, c->heads * n * n);
done:
    return st;
}

static atn_status take_buffers(atn_ctx *cx, pass *ps)
{
    const atn_config *c = ps->c;
    const atn_idx n = ps->args->n, q = c->heads * c->head_dim,
                  kv = c->kv_heads * c->head_dim;
    const bool visits = ps->args->visit != NULL;
    const atn_backend *be = cx->backend;
    atn_status st = ATN_OK;

    ATN_TRY(be->alloc(cx, ATN_F32, n * c->width, &ps->x));
    ATN_TRY(be->alloc(cx, ATN_F32, n * c->width, &ps->t));
    ATN_TRY(be->alloc(cx, ATN_F32, n * q, &ps->q));
    ATN_TRY(be->alloc(cx, ATN_F32, n * kv, &ps->k));
    ATN_TRY(be->alloc(cx, ATN_F32, n * kv, &ps->v));
    ATN_TRY(be->alloc(cx, ATN_F32, n * q, &ps->o));
    ATN_TRY(be->alloc(cx, ATN_F32, n * c->ffn, &ps->up));
    if (c->gated) ATN_TRY(be->alloc(cx, ATN_F32, n * c->ffn, &ps->gate));
    if (c->arch->rope) {
        ATN_TRY(take_rope(cx, ps));
    }
    if (!visits) goto done;
    if (ps->args->want_p) ATN_TRY(be->alloc(cx, ATN_F32, c->heads * n * n, &ps->p));
    for (size_t i = 0; i < ATN_LEN(ps->dumps); i++)
        ATN_TRY(take_dump(cx, ps, &ps->dumps[i]));
done:
    return st;
}

static void release_buffers(atn_ctx *cx, pass *ps)
{
    atn_buf *const all[] = {&ps->x,       &ps->t,       &ps->q,       &ps->k,
                            &ps->v,       &ps->o,       &ps->up,      &ps->gate,
                            &ps->p,       &ps->w_q,     &ps->w_k,     &ps->w_v,
                            &ps->w_o,     &ps->w_gate,  &ps->w_up,    &ps->w_down,
                            &ps->b_q,     &ps->b_k,     &ps->b_v,     &ps->b_o,
                            &ps->b_gate,  &ps->b_up,    &ps->b_down,  &ps->norm1_w,
                            &ps->norm1_b, &ps->norm2_w, &ps->norm2_b, &ps->q_norm,
                            &ps->k_norm,  &ps->cosine,  &ps->sine};

    for (size_t i = 0; i < ATN_LEN(all); i++)
        if (all[i]->base) cx->backend->release(cx, all[i]);
}

/* Numbers that the backend holds: a layer's weights, activations, a chunk of the logits. */
static double backend_values(const atn_model *m, const atn_forward_args *a)
{
    const atn_config *c = &m->config;
    const double n = (double)a->n, width = (double)c->width, ffn = (double)c->ffn;
    const double q = (double)(c->heads * c->head_dim),
                 kv = (double)(c->kv_heads * c->head_dim), mlps = c->gated ? 3 : 2;
    const double layer = width * (2 * q + 2 * kv) + mlps * width * ffn;
    const double rows =
        n * (2 * width + 2 * q + 2 * kv + (mlps - 1) * ffn + (double)c->rope.dim);
    const double chunk = (double)ATN_MIN((atn_idx)VOCAB_CHUNK, c->vocab);
    const double head = chunk * (width + ATN_MIN(n, (double)ROW_CHUNK));

    return layer + rows + (wants_head(m, a) ? head : 0) +
           (a->visit && a->want_p ? (double)c->heads * n * n : 0);
}

/* The rows of attention that the threads of the CPU have in hand. */
static double row_bytes(const atn_ctx *cx, const atn_forward_args *a)
{
    const atn_head head = {.nq = a->n, .nk = a->n};

    return cx->backend == &atn_backend_cpu ? atn_rows_stream_bytes(cx, &head, 1) : 0;
}

/* In host memory: the two layers on their way to the visitor and what it takes, the places
 * of the embeddings' rows, the loss, and the rows of attention. */
static double host_bytes(const atn_ctx *cx, const atn_model *m,
                         const atn_forward_args *a)
{
    const atn_config *c = &m->config;
    const double n = (double)a->n, width = (double)c->width,
                 q = (double)(c->heads * c->head_dim),
                 kv = (double)(c->kv_heads * c->head_dim);
    const double dump = q + 2 * kv + (a->want_pre ? q + kv : 0) +
                        (a->want_h ? width : 0) + (a->want_attn_out ? width : 0) +
                        (a->want_p ? (double)c->heads * n : 0);

    return 4 * (2 * n + (a->visit ? 2 * n * dump : 0)) +
           (a->visit ? a->visit_bytes : 0) + (wants_head(m, a) ? 20 * n : 0) +
           row_bytes(cx, a);
}

double atn_forward_memory(const atn_ctx *cx, const atn_model *m,
                          const atn_forward_args *a)
{
    return 4 * backend_values(m, a) + host_bytes(cx, m, a);
}

/* Refused before it starts: what the backend holds, rounded operands among it, and what the
 * host does. On the CPU they are one memory. */
atn_status atn_forward_check(atn_ctx *cx, const atn_model *m, const atn_forward_args *a)
{
    const atn_config *c = &m->config;
    const atn_idx operands =
        ATN_MAX(c->ffn, c->width) + c->head_dim * (c->heads + 2 * c->kv_heads);
    const char *what = "the forward pass";
    const double host = host_bytes(cx, m, a);
    double device = 4 * backend_values(m, a);
    atn_status st = ATN_OK;

    if (cx->backend == &atn_backend_cpu)
        return cx->backend->room(cx, device + host, what);
    if (cx->backend->weight_type != ATN_F32) device += 2 * (double)(a->n * operands);
    ATN_TRY(cx->backend->room(cx, device, what));
    ATN_TRY(atn_mem_check(cx, host, what));
done:
    return st;
}

/* A layer handed over when the user stops the work, or the GPU is lost, is not lost. A
 * visitor that failed is what went wrong first. */
static atn_status finish(atn_ctx *cx, pass *ps, atn_status st)
{
    atn_status visited = ATN_OK;

    atn_worker_destroy(cx, ps->checker);
    if (ps->visitor) visited = atn_worker_wait(cx, ps->visitor);
    atn_worker_destroy(cx, ps->visitor);
    return visited != ATN_OK ? visited : st;
}

atn_status atn_forward(atn_ctx *cx, const atn_model *m, const atn_forward_args *args,
                       atn_forward_result *out)
{
    const atn_arena_mark mark = atn_arena_save(cx);
    const bool head = wants_head(m, args);
    /* on the CPU all threads have enough to do */
    const int check_threads =
        cx->backend == &atn_backend_cpu ? 1 : ATN_MIN(cx->threads, (int)CHECK_THREADS);
    atn_status st = ATN_OK;
    pass ps = {.m = m, .c = &m->config, .args = args};

    *out = (atn_forward_result){0};
    ATN_ASSERT(args->n > 0);
    ps.last = m->config.layers - 1;
    if (!head) ps.last = ATN_MIN(args->last_layer, ps.last);
    ATN_TRY(atn_forward_check(cx, m, args));
    ATN_TRY(take_buffers(cx, &ps));
    ATN_TRY(atn_worker_create(cx, check_threads, &ps.checker));
    if (args->visit) ATN_TRY(atn_worker_create(cx, 1, &ps.visitor));
    ATN_TRY(check_ahead(cx, &ps, 0));
    ATN_TRY(embed(cx, &ps));
    for (atn_idx l = 0; l <= ps.last; l++) {
        ATN_TRY(atn_progress(cx, "layers", (double)l, (double)ps.last + 1));
        ATN_TRY(run_layer(cx, &ps, l));
    }
    if (head) ATN_TRY(run_head(cx, &ps, out));
done:
    st = finish(cx, &ps, st);
    release_buffers(cx, &ps);
    atn_arena_rewind(cx, mark);
    return st;
}

atn_status atn_model_w_o(atn_ctx *cx, const atn_model *m, atn_idx layer, float **out)
{
    const atn_arena_mark mark = atn_arena_save(cx);
    const atn_st_tensor *t = atn_model_tensor(m, m->config.arch->names.o, layer, false);
    const size_t size = atn_dtype_size(t->type);
    const atn_idx width = t->shape[0], inner = t->shape[1];
    atn_status st = ATN_OK;
    float *w = NULL;

    *out = NULL;
    ATN_TAKE(w, W_O_ROWS * inner);
    ATN_NEW(*out, width * inner);
    for (atn_idx i = 0; i < width; i += W_O_ROWS) {
        const atn_idx rows = ATN_MIN((atn_idx)W_O_ROWS, width - i);

        atn_widen((const char *)t->data + (size_t)(i * inner) * size, t->type,
                  rows * inner, w);
        for (atn_idx j = 0; j < inner; j++)
            for (atn_idx r = 0; r < rows; r++)
                (*out)[j * width + i + r] = w[r * inner + j];
    }
done:
    atn_arena_rewind(cx, mark);
    return st;
}
