/* capture/forward_patches.c -- the rows that an image or latents become, and the
 * classes that are read off an image.
 *
 * Math    row s + (y / p) (W / p) + x / p = W_patch vec(patch) + b, a patch flattened
 *         [C, p, p] and patches row by row, behind the s special tokens; plus the
 *         position of the row. Positions that are in no file: the first half of the
 *         width speaks of the column, the second of the row, each sin then cos of
 *         position 10000^(-i / (width / 4)).
 * Oracle  transformers (ViT, DeiT), diffusers (DiT).
 * Cost    2 patches C p^2 width flop.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#include <math.h>
#include <string.h>

#include "capture/forward_internal.h"

/* [patches, C p p] <- [C, H, W] */
static void flatten(const atn_config *c, const float *image, float *out)
{
    const atn_idx p = c->patch, columns = c->image_w / p, rows = c->image_h / p;

    for (atn_idx at = 0; at < rows * columns; at++)
        for (atn_idx channel = 0; channel < c->channels; channel++)
            for (atn_idx y = 0; y < p; y++) {
                const atn_idx row = (at / columns) * p + y, column = at % columns * p;

                memcpy(out, image + (channel * c->image_h + row) * c->image_w + column,
                       (size_t)p * sizeof *out);
                out += p;
            }
}

/* x[specials ..] <- patches of the image */
static atn_status project_patches(atn_ctx *cx, atn_pass *ps, const float *image)
{
    const atn_arena_mark mark = atn_arena_save(cx);
    const atn_config *c = ps->c;
    const atn_idx n = ps->n - c->specials, k = c->channels * c->patch * c->patch;
    const atn_backend *be = cx->backend;
    atn_buf flat = {0}, w = {0}, b = {0};
    atn_status st = ATN_OK;
    float *host = NULL;

    ATN_TAKE(host, n * k);
    flatten(c, image, host);
    ATN_TRY(be->alloc(cx, ATN_F32, n * k, &flat));
    ATN_TRY(be->upload(cx, flat, host));
    ATN_TRY(atn_pass_load_map(cx, ps, c->arch->names.patch, &w, &b));
    ATN_TRY(be->linear(cx, flat, w, b, false, false, n, c->width, k,
                       atn_buf_at(ps->x, c->specials * c->width, n * c->width)));
done:
    be->release(cx, &flat);
    be->release(cx, &w);
    be->release(cx, &b);
    atn_arena_rewind(cx, mark);
    return st;
}

/* Of one token: sine then cosine of its column and of its row. */
static void sine_position(atn_idx width, atn_idx row, atn_idx column, float *out)
{
    const atn_idx half = width / 2, quarter = half / 2;

    for (atn_idx i = 0; i < quarter; i++) {
        const double turn = pow(10000, -(double)i / (double)quarter);

        out[i] = (float)sin((double)column * turn);
        out[quarter + i] = (float)cos((double)column * turn);
        out[half + i] = (float)sin((double)row * turn);
        out[half + quarter + i] = (float)cos((double)row * turn);
    }
}

static atn_status add_positions(atn_ctx *cx, atn_pass *ps)
{
    const atn_arena_mark mark = atn_arena_save(cx);
    const atn_config *c = ps->c;
    const char *name = c->arch->names.position;
    const atn_st_tensor *t = name ? atn_model_tensor(ps->m, name, 0, false) : NULL;
    const atn_idx columns = c->image_w / c->patch;
    atn_status st = ATN_OK;
    int32_t *rows = NULL;
    float *table = NULL;

    ATN_TAKE(rows, ps->n);
    for (atn_idx i = 0; i < ps->n; i++) rows[i] = (int32_t)i;
    if (t) ATN_TRY(atn_pass_check_weight(cx, ps, name));
    if (!t && c->arch->sine_positions) {
        ATN_TAKE(table, ps->n * c->width);
        for (atn_idx i = 0; i < ps->n; i++)
            sine_position(c->width, i / columns, i % columns, table + i * c->width);
    }
    if (t || table)
        ATN_TRY(cx->backend->embed(cx, t ? t->data : table, t ? t->type : ATN_F32, rows,
                                   ps->n, c->width, true,
                                   atn_buf_at(ps->x, 0, ps->n * c->width)));
done:
    atn_arena_rewind(cx, mark);
    return st;
}

atn_status atn_pass_embed_patches(atn_ctx *cx, atn_pass *ps, atn_idx step)
{
    const atn_config *c = ps->c;
    const atn_input *in = &ps->args->input;
    const atn_idx values = c->channels * c->image_h * c->image_w;
    const int32_t first = 0;
    atn_status st = ATN_OK;

    ATN_TRY(
        project_patches(cx, ps, in->image ? in->image : in->latents + step * values));
    for (atn_idx i = 0; i < c->specials; i++) {
        const char *name = c->arch->names.special[i];
        const atn_st_tensor *t = atn_model_tensor(ps->m, name, 0, false);

        ATN_TRY(atn_pass_check_weight(cx, ps, name));
        ATN_TRY(cx->backend->embed(cx, t->data, t->type, &first, 1, c->width, false,
                                   atn_buf_at(ps->x, i * c->width, c->width)));
    }
    ATN_TRY(add_positions(cx, ps));
done:
    return st;
}

/* ---- classes ---- */

/* logits += what reads classes off special token i. */
static atn_status add_labels(atn_ctx *cx, atn_pass *ps, atn_idx i, float *logits)
{
    const atn_arena_mark mark = atn_arena_save(cx);
    const atn_idx n = ps->m->labels, width = ps->c->width;
    const atn_backend *be = cx->backend;
    atn_buf w = {0}, b = {0}, y = {0};
    atn_status st = ATN_OK;
    float *one = NULL;

    ATN_TAKE(one, n);
    ATN_TRY(atn_pass_load_map(cx, ps, ps->c->arch->names.labels[i], &w, &b));
    ATN_TRY(be->alloc(cx, ATN_F32, n, &y));
    ATN_TRY(be->linear(cx, atn_buf_at(ps->t, i * width, width), w, b, false, false, 1,
                       n, width, y));
    ATN_TRY(be->download(cx, y, one));
    for (atn_idx l = 0; l < n; l++) logits[l] += one[l];
done:
    be->release(cx, &w);
    be->release(cx, &b);
    be->release(cx, &y);
    atn_arena_rewind(cx, mark);
    return st;
}

atn_status atn_pass_labels(atn_ctx *cx, atn_pass *ps, atn_forward_result *out)
{
    const atn_arena_mark mark = atn_arena_save(cx);
    const atn_arch_names *names = &ps->c->arch->names;
    const atn_idx n = ps->m->labels;
    atn_status st = ATN_OK;
    float *logits = NULL;
    double sum = 0;
    int readers = 0;

    ATN_TAKE(logits, n);
    memset(logits, 0, (size_t)n * sizeof *logits);
    ATN_TRY(atn_worker_wait(cx, ps->checker));
    ATN_TRY(atn_pass_final_norm(cx, ps, ps->t));
    for (atn_idx i = 0; i < 2; i++) {
        if (!names->labels[i] || !atn_model_tensor(ps->m, names->labels[i], 0, false))
            continue;
        ATN_TRY(add_labels(cx, ps, i, logits));
        readers++;
    }
    for (atn_idx l = 0; l < n; l++) {
        logits[l] /= (float)readers;
        if (logits[l] > logits[out->label]) out->label = l;
    }
    for (atn_idx l = 0; l < n; l++)
        sum += exp((double)logits[l] - (double)logits[out->label]);
    out->has_label = true;
    out->label_probability = 1 / sum;
    if (ps->args->logits) memcpy(ps->args->logits, logits, (size_t)n * sizeof *logits);
done:
    atn_arena_rewind(cx, mark);
    return st;
}
