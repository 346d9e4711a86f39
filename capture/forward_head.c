/* capture/forward_head.c -- logits and the loss, a chunk of the vocabulary at a
 * time. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "capture/forward_internal.h"

#include <math.h>

/* One chunk of the vocabulary for all rows of x, ATN_ROW_CHUNK of them at a time. */
static atn_status logits_chunk(atn_ctx *cx, atn_pass *ps, atn_buf x, atn_buf w,
                               atn_buf logits, atn_idx first, atn_idx width,
                               const int32_t *targets, double *lse, double *hit)
{
    const atn_idx n = ps->n, dim = ps->c->embed_width, vocab = ps->c->vocab;
    atn_status st = ATN_OK;

    for (atn_idx at = 0; at < n; at += ATN_ROW_CHUNK) {
        const atn_idx rows = ATN_MIN((atn_idx)ATN_ROW_CHUNK, n - at);

        ATN_TRY(cx->backend->linear(cx, atn_buf_at(x, at * dim, rows * dim), w,
                                    (atn_buf){0}, false, false, rows, width, dim,
                                    logits));
        if (ps->c->head_softcap > 0)
            ATN_TRY(atn_pass_map(cx, logits, rows * width, atn_host_softcap,
                                 ps->c->head_softcap));
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

atn_status atn_pass_final_norm(atn_ctx *cx, atn_pass *ps, atn_buf y)
{
    atn_status st = ATN_OK;

    ATN_TRY(atn_pass_load_norm(cx, ps, ps->stack->names.final_norm));
    ATN_TRY(atn_pass_norm(cx, ps, ps->x, ps->norm1_w, ps->norm1_b, y));
done:
    return st;
}

/* The last norm, its weights divided by sqrt(width) where the logits are. */
static atn_status norm_before_head(atn_ctx *cx, atn_pass *ps, atn_buf y)
{
    const atn_arena_mark mark = atn_arena_save(cx);
    const char *name = ps->stack->names.final_norm;
    const atn_st_tensor *t = atn_model_tensor(ps->m, name, 0, false);
    atn_status st = ATN_OK;
    float *w = NULL;

    if (!ps->c->head_scaled) return atn_pass_final_norm(cx, ps, y);
    ATN_TRY(atn_pass_load_norm(cx, ps, name));
    ATN_TAKE(w, t->count);
    atn_widen(t->data, t->type, t->count, w);
    for (atn_idx i = 0; i < t->count; i++)
        w[i] = (float)((double)w[i] / sqrt((double)ps->c->width));
    ATN_TRY(cx->backend->upload(cx, ps->norm1_w, w));
    ATN_TRY(atn_pass_norm(cx, ps, ps->x, ps->norm1_w, ps->norm1_b, y));
done:
    atn_arena_rewind(cx, mark);
    return st;
}

/* What every row predicts: the next one, or the target of a decoder beside an encoder,
 * whose last row predicts as well. -1 = nothing. Returns their number. */
static atn_idx find_targets(const atn_pass *ps, int32_t *targets)
{
    const atn_input *in = &ps->args->input;
    const bool second = ps->stack != ps->c->stacks;
    atn_idx known = 0;

    for (atn_idx i = 0; i < ps->n; i++) {
        targets[i] = second ? in->target[i] : i + 1 < ps->n ? in->ids[i + 1] : -1;
        known += targets[i] >= 0;
    }
    return known;
}

/* The rows that are multiplied by the head, normed and mapped; own: the caller
 * releases them. */
static atn_status head_rows(atn_ctx *cx, atn_pass *ps, atn_buf *x, atn_buf *own)
{
    const atn_config *c = ps->c;
    atn_status st = ATN_OK;
    atn_buf w = {0};

    *x = ps->x;
    if (c->final_norm) {
        *x = ps->t;
        ATN_TRY(norm_before_head(cx, ps, *x));
    }
    if (!atn_config_maps(c)) goto done;
    ATN_TRY(cx->backend->alloc(cx, ATN_F32, ps->n * c->embed_width, own));
    ATN_TRY(atn_pass_load_map(cx, ps, c->arch->names.head_map, &w, NULL));
    ATN_TRY(cx->backend->linear(cx, *x, w, (atn_buf){0}, false, false, ps->n,
                                c->embed_width, c->width, *own));
    *x = *own;
done:
    cx->backend->release(cx, &w);
    return st;
}

atn_status atn_pass_head(atn_ctx *cx, atn_pass *ps, atn_forward_result *out)
{
    const atn_arena_mark mark = atn_arena_save(cx);
    const atn_config *c = ps->c;
    const atn_st_tensor *head = atn_model_head(ps->m);
    const atn_idx n = ps->n, chunk = ATN_MIN((atn_idx)ATN_VOCAB_CHUNK, c->vocab);
    const atn_idx dim = c->embed_width;
    const size_t row_bytes = atn_dtype_bytes(head->type, dim);
    atn_status st = ATN_OK;
    atn_buf w = {0}, logits = {0}, x = {0}, own = {0};
    atn_idx known;
    int32_t *targets = NULL;
    double *lse = NULL, *hit = NULL;

    ATN_TRY(atn_worker_wait(cx, ps->checker));
    ATN_TRY(head_rows(cx, ps, &x, &own));
    ATN_TRY(cx->backend->alloc(cx, cx->backend->weight_type, chunk * dim, &w));
    ATN_TRY(cx->backend->alloc(cx, ATN_F32, ATN_MIN((atn_idx)ATN_ROW_CHUNK, n) * chunk,
                               &logits));
    ATN_TAKE(targets, n);
    ATN_TAKE(lse, n);
    ATN_TAKE(hit, n);
    known = find_targets(ps, targets);
    for (atn_idx i = 0; i < n; i++) {
        lse[i] = -INFINITY;
        hit[i] = 0;
    }
    for (atn_idx first = 0; first < c->vocab; first += chunk) {
        const atn_idx width = ATN_MIN(chunk, c->vocab - first);

        ATN_TRY(atn_progress(cx, "logits", (double)first, (double)c->vocab));
        ATN_TRY(cx->backend->upload_widen(
            cx, atn_buf_at(w, 0, width * dim),
            (const char *)head->data + (size_t)first * row_bytes, head->type));
        ATN_TRY(logits_chunk(cx, ps, x, w, logits, first, width, targets,
                             ps->args->want_loss ? lse : NULL, hit));
    }
    for (atn_idx i = 0; i < n; i++)
        if (targets[i] >= 0) out->loss += lse[i] - hit[i];
    out->has_loss = ps->args->want_loss && known > 0;
    out->loss_tokens = known;
    out->loss = out->has_loss ? out->loss / (double)known : 0;
done:
    cx->backend->release(cx, &w);
    cx->backend->release(cx, &logits);
    cx->backend->release(cx, &own);
    atn_arena_rewind(cx, mark);
    return st;
}
