/* capture/forward_modulation.c -- what timestep and class make of the norms and
 * sublayers of a layer (adaLN-Zero).
 *
 * Math    f = 256 features of the timestep t: cos(t w_i), then sin, w_i = 10000^(-i /
 *         span); c = W_2 silu(W_1 f + b_1) + b_2 + row of the class;
 *         m = W_m silu(c) + b_m: shift, scale, gate of the attention, then of the MLP;
 *         x <- x + gate * sublayer(norm(x) (1 + scale) + shift).
 * Source  Peebles, Xie: Scalable Diffusion Models with Transformers (arXiv 2212.09748),
 *         models.py.
 * Cost    one row through five matrices, on the host in double; gates go into the
 *         weights and the bias of the sublayer's last projection.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#include <math.h>

#include "capture/forward_internal.h"
#include "core/kernels/kernels.h"

enum { MATRIX_ROWS = 64 };

/* y = W x + b */
typedef struct row_job {
    const atn_st_tensor *w, *b;
    const float *x;
    float *y;
} row_job;

static atn_status some_rows(atn_ctx *cx, atn_idx piece, void *state)
{
    const atn_arena_mark mark = atn_arena_save(cx);
    const row_job *j = state;
    const atn_idx k = j->w->shape[1], first = piece * MATRIX_ROWS,
                  end = ATN_MIN(first + MATRIX_ROWS, j->w->shape[0]);
    const size_t size = atn_dtype_size(j->w->type), bias = atn_dtype_size(j->b->type);
    atn_status st = ATN_OK;
    float *row = NULL;

    ATN_TAKE(row, k);
    for (atn_idx i = first; i < end; i++) {
        float b = 0;

        atn_widen((const char *)j->w->data + (size_t)(i * k) * size, j->w->type, k,
                  row);
        atn_widen((const char *)j->b->data + (size_t)i * bias, j->b->type, 1, &b);
        j->y[i] = (float)(atn_row_dot(row, j->x, k) + (double)b);
        if (!isfinite(j->y[i]))
            ATN_FAIL(ATN_DATA,
                     "%s: weight \"%s\" or its bias makes NaN or infinity in row %lld",
                     j->w->path, j->w->name, (long long)i);
    }
done:
    atn_arena_rewind(cx, mark);
    return st;
}

static atn_status through(atn_ctx *cx, const atn_pass *ps, const char *name,
                          atn_idx layer, const float *x, float *y)
{
    row_job j = {atn_model_tensor(ps->m, name, layer, false),
                 atn_model_tensor(ps->m, name, layer, true), x, y};

    return atn_parallel(cx, (j.w->shape[0] + MATRIX_ROWS - 1) / MATRIX_ROWS, some_rows,
                        &j, "modulation");
}

static void silu(float *x, atn_idx n)
{
    for (atn_idx i = 0; i < n; i++)
        x[i] = (float)((double)x[i] / (1 + exp(-(double)x[i])));
}

static void features(double time, double span, float out[ATN_TIME_FEATURES])
{
    const int half = ATN_TIME_FEATURES / 2;

    for (int i = 0; i < half; i++) {
        const double angle = time * pow(10000, -(double)i / span);

        out[i] = (float)cos(angle);
        out[half + i] = (float)sin(angle);
    }
}

atn_status atn_pass_modulate(atn_ctx *cx, atn_pass *ps, const atn_place *at)
{
    const atn_arena_mark mark = atn_arena_save(cx);
    const atn_config *c = ps->c;
    const atn_arch_names *n = &c->arch->names;
    const atn_input *in = &ps->args->input;
    const atn_idx width = c->width;
    const atn_st_tensor *classes =
        atn_model_tensor(ps->m, n->classes, at->layer, false);
    atn_status st = ATN_OK;
    float time[ATN_TIME_FEATURES], *hidden = NULL, *sum = NULL, *row = NULL;

    ATN_TAKE(hidden, width);
    ATN_TAKE(sum, width);
    ATN_TAKE(row, width);
    features((double)in->timesteps[at->step], c->arch->time_span, time);
    ATN_TRY(through(cx, ps, n->time_in, at->layer, time, hidden));
    silu(hidden, width);
    ATN_TRY(through(cx, ps, n->time_out, at->layer, hidden, sum));
    atn_widen((const char *)classes->data + (size_t)(in->classes[at->step] * width) *
                                                atn_dtype_size(classes->type),
              classes->type, width, row);
    for (atn_idx i = 0; i < width; i++) sum[i] += row[i];
    silu(sum, width);
    ATN_TRY(through(cx, ps, n->modulation, at->layer, sum, ps->modulation));
    ATN_TRY(cx->backend->upload(cx, ps->mod, ps->modulation));
    ps->loaded = -1; /* the gates are in the weights */
done:
    atn_arena_rewind(cx, mark);
    return st;
}
