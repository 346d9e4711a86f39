/* capture/forward.c -- one forward pass for all families, see the header. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include <math.h>

#include "capture/forward_internal.h"
#include "core/kernels/kernels.h"
#include "core/rows.h"

enum { CHECK_THREADS = 4, W_O_ROWS = 16 };

/* For rows 0 .. n - 1. */
static atn_status take_rope(atn_ctx *cx, atn_pass *ps, int table, atn_idx n)
{
    const atn_arena_mark mark = atn_arena_save(cx);
    const atn_rope *r = table ? &ps->c->local_rope : &ps->c->rope;
    const atn_idx count = n * (r->dim / 2);
    const atn_backend *be = cx->backend;
    atn_status st = ATN_OK;
    float *cosine = NULL, *sine = NULL;

    ATN_TAKE(cosine, count);
    ATN_TAKE(sine, count);
    ATN_TRY(atn_rope_tables(cx, r, (double)ps->c->max_positions, n, cosine, sine));
    ATN_TRY(be->alloc(cx, ATN_F32, count, &ps->cosine[table]));
    ATN_TRY(be->alloc(cx, ATN_F32, count, &ps->sine[table]));
    ATN_TRY(be->upload(cx, ps->cosine[table], cosine));
    ATN_TRY(be->upload(cx, ps->sine[table], sine));
done:
    atn_arena_rewind(cx, mark);
    return st;
}

static atn_status take_alibi(atn_ctx *cx, atn_pass *ps)
{
    atn_status st = ATN_OK;

    ATN_TAKE(ps->slopes, ps->c->heads);
    for (atn_idx h = 0; h < ps->c->heads; h++)
        ps->slopes[h] = (float)atn_alibi_slope(h, ps->c->heads);
done:
    return st;
}

static atn_status take_dump(atn_ctx *cx, const atn_pass *ps, atn_host_layer *d)
{
    const atn_config *c = ps->c;
    const atn_forward_args *a = ps->args;
    const atn_idx n = atn_model_tokens_most(ps->m, &a->input),
                  q = n * c->heads * c->head_dim, kv = n * c->kv_heads * c->head_dim;
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
    if (c->arch->names.modulation) ATN_TAKE(d->gate, c->width);
    if (c->arch->names.sinks) ATN_TAKE(d->sink, c->heads);
done:
    return st;
}

static atn_status take_buffers(atn_ctx *cx, atn_pass *ps)
{
    const atn_config *c = ps->c;
    const atn_input *in = &ps->args->input;
    const atn_idx n = atn_model_tokens_most(ps->m, in), q = c->heads * c->head_dim,
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
    if (c->experts > 0) {
        ATN_TRY(atn_pass_take_experts(cx, ps));
    } else {
        ATN_TRY(be->alloc(cx, ATN_F32, n * c->ffn, &ps->up));
        if (c->gated) ATN_TRY(be->alloc(cx, ATN_F32, n * c->ffn, &ps->gate));
    }
    if (c->arch->names.sinks) ATN_TAKE(ps->sink, c->heads);
    if (c->arch->rope) ATN_TRY(take_rope(cx, ps, 0, n));
    if (c->two_ropes) ATN_TRY(take_rope(cx, ps, 1, n));
    if (c->parallel) ATN_TRY(be->alloc(cx, ATN_F32, n * c->width, &ps->t2));
    if (atn_model_stacks(ps->m, in) > 1)
        ATN_TRY(be->alloc(cx, ATN_F32, atn_model_tokens(ps->m, in) * c->width,
                          &ps->memory));
    for (int s = 0; s < c->n_stacks; s++)
        if (c->stacks[s].rel.buckets)
            ATN_TAKE(ps->rel_table[s], c->stacks[s].rel.buckets * c->heads);
    if (c->stacks[0].rel.buckets) ATN_TAKE(ps->rel, c->heads * (2 * n - 1));
    if (c->arch->alibi) ATN_TRY(take_alibi(cx, ps));
    if (c->arch->names.modulation) {
        ATN_TAKE(ps->modulation, 6 * c->width);
        ATN_TRY(be->alloc(cx, ATN_F32, 6 * c->width, &ps->mod));
    }
    if (!visits) goto done;
    if (ps->args->want_p) ATN_TRY(be->alloc(cx, ATN_F32, c->heads * n * n, &ps->p));
    for (size_t i = 0; i < ATN_LEN(ps->dumps); i++)
        ATN_TRY(take_dump(cx, ps, &ps->dumps[i]));
done:
    return st;
}

static void release_buffers(atn_ctx *cx, atn_pass *ps)
{
    atn_buf *const all[] = {
        &ps->x,        &ps->t,         &ps->q,       &ps->k,         &ps->v,
        &ps->o,        &ps->up,        &ps->gate,    &ps->p,         &ps->w_q,
        &ps->w_k,      &ps->w_v,       &ps->w_o,     &ps->w_gate,    &ps->w_up,
        &ps->w_down,   &ps->b_q,       &ps->b_k,     &ps->b_v,       &ps->b_o,
        &ps->b_gate,   &ps->b_up,      &ps->b_down,  &ps->norm1_w,   &ps->norm1_b,
        &ps->norm2_w,  &ps->norm2_b,   &ps->q_norm,  &ps->k_norm,    &ps->cosine[0],
        &ps->sine[0],  &ps->cosine[1], &ps->sine[1], &ps->norm1_out, &ps->norm2_out,
        &ps->w_router, &ps->b_router,  &ps->route,   &ps->rows,      &ps->t2,
        &ps->memory,   &ps->mod};

    for (size_t i = 0; i < ATN_LEN(all); i++)
        if (all[i]->base) cx->backend->release(cx, all[i]);
}

/* Of patches while they are projected, and of the modulation; as many on the host. */
static double patch_values(const atn_model *m)
{
    const atn_config *c = &m->config;
    const double k = (double)c->channels * (double)c->patch * (double)c->patch,
                 patches = (double)(c->max_positions - c->specials);

    return (c->patch > 0 ? k * (patches + (double)c->width) : 0) +
           (c->arch->names.modulation ? 6 * (double)c->width : 0);
}

/* Numbers that the backend holds: a layer's weights, activations, a chunk of the
 * logits. */
static double backend_values(const atn_model *m, const atn_forward_args *a)
{
    const atn_config *c = &m->config;
    const double n = (double)atn_model_tokens_most(m, &a->input),
                 width = (double)c->width, ffn = (double)c->ffn;
    const double memory = atn_model_stacks(m, &a->input) > 1
                              ? width * (double)atn_model_tokens(m, &a->input)
                              : 0;
    const double q = (double)(c->heads * c->head_dim),
                 kv = (double)(c->kv_heads * c->head_dim), mlps = c->gated ? 3 : 2;
    const double mlp = c->experts > 0 ? atn_experts_values(c, n)
                                      : mlps * width * ffn + n * (mlps - 1) * ffn;
    const double layer = width * (2 * q + 2 * kv) + mlp;
    const double rows = n * ((c->parallel ? 3 : 2) * width + 2 * q + 2 * kv +
                             (c->two_ropes ? 2 : 1) * (double)c->rope.dim);
    const double chunk = (double)ATN_MIN((atn_idx)ATN_VOCAB_CHUNK, c->vocab);
    /* of embeddings with a width of their own */
    const double map = atn_config_maps(c) ? (double)c->embed_width * (n + width) : 0;
    const double head =
        chunk * ((double)c->embed_width + ATN_MIN(n, (double)ATN_ROW_CHUNK));

    return layer + rows + memory + map + patch_values(m) +
           (atn_forward_wants_head(m, a) ? head : 0) +
           (a->visit && a->want_p ? (double)c->heads * n * n : 0);
}

/* The rows of attention that the threads of the CPU have in hand. */
static double row_bytes(const atn_ctx *cx, atn_idx n)
{
    const atn_head head = {.nq = n, .nk = n};

    return cx->backend == &atn_backend_cpu ? atn_rows_stream_bytes(cx, &head, 1) : 0;
}

/* Of biases by relative position: the tables of all stacks, and the one that runs. */
static double rel_values(const atn_config *c, double n)
{
    const double heads = (double)c->heads;
    double values = 0;

    for (int s = 0; s < c->n_stacks; s++)
        values += heads * (double)c->stacks[s].rel.buckets;
    return values > 0 ? values + heads * (2 * n - 1) : 0;
}

/* In host memory: the two layers on their way to the visitor and what it takes, the
 * places of the embeddings' rows, the loss, and the rows of attention. */
static double host_bytes(const atn_ctx *cx, const atn_model *m,
                         const atn_forward_args *a)
{
    const atn_config *c = &m->config;
    const double n = (double)atn_model_tokens_most(m, &a->input),
                 width = (double)c->width, q = (double)(c->heads * c->head_dim),
                 kv = (double)(c->kv_heads * c->head_dim);
    const double dump = q + 2 * kv + (a->want_pre ? q + kv : 0) +
                        (a->want_h ? width : 0) + (a->want_attn_out ? width : 0) +
                        (a->want_p ? (double)c->heads * n : 0);

    /* q, k, v or gate on the way out of a tensor that holds several of them by columns
     * or head by head */
    const double slice = c->arch->fused != ATN_FUSED_NONE ? 4 * width * q : 0;

    return slice +
           4 * (2 * n + (double)a->input.n_target + patch_values(m) + rel_values(c, n) +
                (a->visit ? 2 * n * dump : 0)) +
           (a->visit ? a->visit_bytes : 0) +
           (atn_forward_wants_head(m, a) ? 20 * n : 0) +
           (c->arch->scaled_embed || c->head_softcap > 0 ? 4 * ATN_HOST_PIECE : 0) +
           (c->experts > 0 ? atn_experts_bytes(c, n) : 0) +
           row_bytes(cx, atn_model_tokens_most(m, &a->input));
}

double atn_forward_memory(const atn_ctx *cx, const atn_model *m,
                          const atn_forward_args *a)
{
    return 4 * backend_values(m, a) + host_bytes(cx, m, a);
}

/* Refused before it starts: what the backend holds, rounded operands among it, and what
 * the host does. On the CPU they are one memory. */
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
    if (cx->backend->weight_type != ATN_F32)
        device += 2 * (double)(atn_model_tokens_most(m, &a->input) * operands);
    ATN_TRY(cx->backend->room(cx, device, what));
    ATN_TRY(atn_mem_check(cx, host, what));
done:
    return st;
}

/* Of the stack that place `at` begins; what the one before it gave is kept for its
 * cross-attention. */
static atn_status begin_stack(atn_ctx *cx, atn_pass *ps, atn_idx at, int32_t *decoder)
{
    const atn_input *in = &ps->args->input;
    atn_status st = ATN_OK;

    if (ps->stack && ps->places[at].of != ps->stack)
        ATN_TRY(atn_pass_final_norm(cx, ps, ps->memory));
    ps->stack = ps->places[at].of;
    ps->n = ps->places[at].nq;
    if (ps->c->patch > 0) return atn_pass_embed_patches(cx, ps, ps->places[at].step);
    ps->ids = in->ids;
    if (at > 0) {
        atn_model_decoder_ids(ps->m, in, decoder);
        ps->ids = decoder;
    }
    ATN_TRY(atn_pass_load_rel(cx, ps, at));
    ATN_TRY(atn_pass_embed(cx, ps));
done:
    return st;
}

/* A layer handed over when the user stops the work, or the GPU is lost, is not lost. A
 * visitor that failed is what went wrong first. */
static atn_status finish(atn_ctx *cx, atn_pass *ps, atn_status st)
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
    const bool head = atn_forward_wants_head(m, args),
               label = atn_forward_wants_label(m, args);
    /* on the CPU all threads have enough to do */
    const int check_threads =
        cx->backend == &atn_backend_cpu ? 1 : ATN_MIN(cx->threads, (int)CHECK_THREADS);
    atn_status st = ATN_OK;
    atn_pass ps = {.m = m, .c = &m->config, .args = args, .loaded = -1};
    int32_t *decoder = NULL;
    atn_idx step = 0;

    *out = (atn_forward_result){0};
    ATN_ASSERT(atn_model_tokens(m, &args->input) > 0);
    ATN_TRY(atn_forward_check(cx, m, args));
    ATN_TRY(atn_model_places(cx, m, &args->input, &ps.places, &ps.n_places));
    ps.last = ps.n_places - 1;
    if (!head && !label) ps.last = ATN_MIN(args->last_place, ps.last);
    ATN_TRY(take_buffers(cx, &ps));
    ATN_TAKE(decoder, args->input.n_target);
    ATN_TRY(atn_worker_create(cx, check_threads, &ps.checker));
    if (args->visit) ATN_TRY(atn_worker_create(cx, 1, &ps.visitor));
    ATN_TRY(atn_pass_check_ahead(cx, &ps, 0));
    for (atn_idx at = 0; at <= ps.last; at++) {
        if (ps.places[at].of != ps.stack || ps.places[at].step != step)
            ATN_TRY(begin_stack(cx, &ps, at, decoder));
        step = ps.places[at].step;
        ATN_TRY(atn_progress(cx, "layers", (double)at, (double)ps.last + 1));
        ATN_TRY(atn_pass_place(cx, &ps, at));
    }
    if (head) ATN_TRY(atn_pass_head(cx, &ps, out));
    if (label) ATN_TRY(atn_pass_labels(cx, &ps, out));
done:
    st = finish(cx, &ps, st);
    release_buffers(cx, &ps);
    atn_free(cx, ps.places);
    atn_arena_rewind(cx, mark);
    return st;
}

atn_status atn_model_w_o(atn_ctx *cx, const atn_model *m, const atn_place *at,
                         float **out)
{
    const atn_arena_mark mark = atn_arena_save(cx);
    const atn_st_tensor *t =
        atn_model_tensor(m, atn_place_names(at).o, at->layer, false);
    const bool turned = m->config.arch->in_out;
    const atn_idx width = t->shape[turned], inner = t->shape[!turned];
    atn_status st = ATN_OK;
    float *w = NULL;

    *out = NULL;
    if (turned) {
        ATN_NEW(*out, t->count);
        atn_widen(t->data, t->type, t->count, *out);
        return ATN_OK;
    }
    ATN_TAKE(w, W_O_ROWS * inner);
    ATN_NEW(*out, width * inner);
    for (atn_idx i = 0; i < width; i += W_O_ROWS) {
        const atn_idx rows = ATN_MIN((atn_idx)W_O_ROWS, width - i);

        atn_widen((const char *)t->data + atn_dtype_bytes(t->type, i * inner), t->type,
                  rows * inner, w);
        for (atn_idx j = 0; j < inner; j++)
            for (atn_idx r = 0; r < rows; r++)
                (*out)[j * width + i + r] = w[r * inner + j];
    }
done:
    atn_arena_rewind(cx, mark);
    return st;
}
