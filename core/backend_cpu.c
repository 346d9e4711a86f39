/* core/backend_cpu.c -- the complete reference table: host memory, OpenBLAS and OpenMP.
 *
 * Work is cut into panels whose shape depends on the problem alone, so results are the
 * same at any number of threads.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "core/backend.h"

#include <math.h>
#include <string.h>

#include "core/kernels/kernels.h"

enum { PANEL_ROWS = 128, PANEL_COLS = 512, VECTOR_CHUNK = 1 << 14 };

static float *f32(atn_buf b)
{
    ATN_ASSERT(b.owner == &atn_backend_cpu && b.type == ATN_F32);
    return (float *)b.base + b.offset;
}

static float *f32_or_null(atn_buf b)
{
    return b.base ? f32(b) : NULL;
}

static char *bytes_of(atn_buf b)
{
    return (char *)b.base + (size_t)b.offset * atn_dtype_size(b.type);
}

static atn_status cpu_alloc(atn_ctx *cx, atn_dtype type, atn_idx count, atn_buf *out)
{
    void *p = atn_alloc(cx, count, atn_dtype_size(type));

    *out = (atn_buf){&atn_backend_cpu, p, 0, count, type};
    return p ? ATN_OK : cx->err.code;
}

static void cpu_release(atn_ctx *cx, atn_buf *b)
{
    atn_free(cx, b->base);
    *b = (atn_buf){0};
}

static atn_status cpu_room(atn_ctx *cx, double bytes, const char *what)
{
    return atn_mem_check(cx, bytes, what);
}

static atn_status cpu_upload(atn_ctx *cx, atn_buf dst, const void *src)
{
    (void)cx;
    memcpy(bytes_of(dst), src, (size_t)dst.count * atn_dtype_size(dst.type));
    return ATN_OK;
}

static atn_status cpu_download(atn_ctx *cx, atn_buf src, void *dst)
{
    (void)cx;
    memcpy(dst, bytes_of(src), (size_t)src.count * atn_dtype_size(src.type));
    return ATN_OK;
}

typedef struct split_job {
    const float *x;
    float *out;
    atn_idx rows, n, heads, d;
} split_job;

static atn_status split_head(atn_ctx *cx, atn_idx h, void *state)
{
    const split_job *j = state;

    (void)cx;
    for (atn_idx i = 0; i < j->rows; i++)
        memcpy(j->out + (h * j->n + i) * j->d, j->x + (i * j->heads + h) * j->d,
               (size_t)j->d * sizeof *j->out);
    return ATN_OK;
}

atn_status atn_split_heads(atn_ctx *cx, const float *x, atn_idx rows, atn_idx n,
                           atn_idx heads, atn_idx d, float *out)
{
    split_job j = {x, out, rows, n, heads, d};

    return atn_parallel(cx, heads, split_head, &j, "copying heads");
}

static atn_status cpu_download_heads(atn_ctx *cx, atn_buf src, atn_idx n, atn_idx heads,
                                     atn_idx d, float *out)
{
    return atn_split_heads(cx, f32(src), n, n, heads, d, out);
}

static atn_status cpu_upload_widen(atn_ctx *cx, atn_buf dst, const void *src,
                                   atn_dtype type)
{
    (void)cx;
    atn_widen(src, type, dst.count, f32(dst));
    return ATN_OK;
}

/* ---- embedding ---- */

enum { EMBED_ROWS = 64 };

typedef struct embed_job {
    const char *table;
    const int32_t *rows;
    float *x;
    atn_idx n, width;
    atn_dtype type;
    bool add;
} embed_job;

static atn_status embed_rows(atn_ctx *cx, atn_idx piece, void *state)
{
    const atn_arena_mark mark = atn_arena_save(cx);
    const embed_job *j = state;
    const size_t row = atn_dtype_bytes(j->type, j->width);
    const atn_idx first = piece * EMBED_ROWS, end = ATN_MIN(first + EMBED_ROWS, j->n);
    atn_status st = ATN_OK;
    float *wide = NULL;

    ATN_TAKE(wide, j->width);
    for (atn_idx i = first; i < end; i++) {
        float *x = j->x + i * j->width;

        atn_widen(j->table + (size_t)j->rows[i] * row, j->type, j->width,
                  j->add ? wide : x);
        if (j->add) atn_vec_add(wide, j->width, x);
    }
done:
    atn_arena_rewind(cx, mark);
    return st;
}

static atn_status cpu_embed(atn_ctx *cx, const void *table, atn_dtype type,
                            const int32_t *rows, atn_idx n, atn_idx width, bool add,
                            atn_buf x)
{
    embed_job j = {table, rows, f32(x), n, width, type, add};

    return atn_parallel(cx, (n + EMBED_ROWS - 1) / EMBED_ROWS, embed_rows, &j,
                        "embedding");
}

/* ---- linear: panels of output, one GEMM each ---- */

typedef struct linear_job {
    const float *x, *w, *bias;
    float *y;
    atn_idx m, n, k, panels_n;
    bool w_is_kn, accumulate;
} linear_job;

static atn_status linear_panel(atn_ctx *cx, atn_idx i, void *state)
{
    const linear_job *j = state;
    const atn_idx r = i / j->panels_n * PANEL_ROWS, c = i % j->panels_n * PANEL_COLS;
    const atn_idx rows = ATN_MIN((atn_idx)PANEL_ROWS, j->m - r);
    const atn_idx cols = ATN_MIN((atn_idx)PANEL_COLS, j->n - c);
    const atn_cmat x = {j->x + r * j->k, rows, j->k, j->k};
    const atn_cmat w = j->w_is_kn ? (atn_cmat){j->w + c, j->k, cols, j->n}
                                  : (atn_cmat){j->w + c * j->k, cols, j->k, j->k};
    const atn_mat y = {j->y + r * j->n + c, rows, cols, j->n};

    (void)cx;
    atn_gemm(!j->w_is_kn, 1, x, w, j->accumulate ? 1 : 0, y);
    if (j->bias)
        for (atn_idx q = 0; q < rows; q++)
            atn_vec_add(j->bias + c, cols, atn_row(y, q));
    return ATN_OK;
}

static atn_status cpu_linear(atn_ctx *cx, atn_buf x, atn_buf w, atn_buf bias,
                             bool w_is_kn, bool accumulate, atn_idx m, atn_idx n,
                             atn_idx k, atn_buf y)
{
    linear_job j = {.x = f32(x),
                    .w = f32(w),
                    .bias = f32_or_null(bias),
                    .y = f32(y),
                    .m = m,
                    .n = n,
                    .k = k,
                    .panels_n = (n + PANEL_COLS - 1) / PANEL_COLS,
                    .w_is_kn = w_is_kn,
                    .accumulate = accumulate};
    const atn_idx panels_m = (m + PANEL_ROWS - 1) / PANEL_ROWS;

    return atn_parallel(cx, panels_m * j.panels_n, linear_panel, &j, "linear");
}

/* ---- loops over vectors ---- */

typedef struct norm_job {
    const float *x, *w, *b;
    float *y, eps, w_offset;
    atn_idx dim;
    atn_norm kind;
} norm_job;

static atn_status norm_vector(atn_ctx *cx, atn_idx i, void *state)
{
    const norm_job *j = state;
    const float *x = j->x + i * j->dim;
    float *y = j->y + i * j->dim;

    (void)cx;
    if (j->kind == ATN_NORM_RMS)
        atn_norm_rms(x, j->w, j->eps, j->w_offset, j->dim, y);
    else
        atn_norm_layer(x, j->w, j->b, j->eps, j->w_offset, j->dim, y);
    return ATN_OK;
}

static atn_status cpu_norm(atn_ctx *cx, atn_norm kind, atn_buf x, atn_buf w, atn_buf b,
                           float eps, float w_offset, atn_idx rows, atn_idx dim,
                           atn_buf y)
{
    norm_job j = {f32(x), f32(w), f32_or_null(b), f32(y), eps, w_offset, dim, kind};
    atn_status st = ATN_OK;

    for (atn_idx i = 0; i < rows; i++) st = norm_vector(cx, i, &j);
    return st;
}

static atn_status cpu_rope(atn_ctx *cx, atn_buf x, atn_buf cosine, atn_buf sine,
                           atn_idx n, atn_idx heads, atn_idx d, atn_idx rotary)
{
    const float *c = f32(cosine), *s = f32(sine);
    float *v = f32(x);
    const atn_idx half = rotary / 2;

    (void)cx;
    for (atn_idx i = 0; i < n; i++)
        for (atn_idx h = 0; h < heads; h++)
            atn_rope_half(v + (i * heads + h) * d, c + i * half, s + i * half, half);
    return ATN_OK;
}

typedef void activation(const float *x, const float *gate, atn_idx n, float *y);

typedef struct act_job {
    activation *f;
    const float *x, *gate;
    float *y;
    atn_idx count;
} act_job;

static atn_status act_chunk(atn_ctx *cx, atn_idx i, void *state)
{
    const act_job *j = state;
    const atn_idx at = i * VECTOR_CHUNK,
                  n = ATN_MIN((atn_idx)VECTOR_CHUNK, j->count - at);

    (void)cx;
    j->f(j->x + at, j->gate ? j->gate + at : NULL, n, j->y + at);
    return ATN_OK;
}

static atn_status cpu_activate(atn_ctx *cx, atn_act kind, atn_buf x, atn_buf gate,
                               atn_idx count, atn_buf y)
{
    static activation *const functions[] = {[ATN_ACT_SILU] = atn_silu,
                                            [ATN_ACT_GELU] = atn_gelu_erf,
                                            [ATN_ACT_GELU_TANH] = atn_gelu_tanh,
                                            [ATN_ACT_RELU] = atn_relu};
    act_job j = {functions[kind], f32(x), f32_or_null(gate), f32(y), count};

    return atn_parallel(cx, (count + VECTOR_CHUNK - 1) / VECTOR_CHUNK, act_chunk, &j,
                        "activation");
}

static atn_status cpu_add(atn_ctx *cx, atn_buf x, atn_idx count, atn_buf y)
{
    (void)cx;
    atn_vec_add(f32(x), count, f32(y));
    return ATN_OK;
}

/* ---- attention: the row stream of every head, then P V ---- */

typedef struct attention_job {
    const atn_attn_args *a;
    const float *v;
    float *out, *p;
} attention_job;

static atn_status attention_tile(atn_ctx *cx, const atn_head *h, const atn_tile *t,
                                 atn_cmat p, const atn_row_info *info, void *state)
{
    const attention_job *j = state;
    const atn_attn_args *a = j->a;
    const atn_idx ldv = a->kv_heads * a->dv, ldo = a->heads * a->dv;
    const atn_cmat v = {j->v + t->key0 * ldv + h->kv_head * a->dv, t->keys, a->dv, ldv};
    const atn_mat out = {j->out + t->first * ldo + h->head * a->dv, t->rows, a->dv,
                         ldo};

    (void)cx, (void)info;
    atn_gemm(false, 1, p, v, 0, out);
    for (atn_idx r = 0; j->p && r < t->rows; r++)
        memcpy(j->p + ((atn_idx)h->head * a->nq + t->first + r) * a->nk + t->key0,
               atn_crow(p, r), (size_t)t->keys * sizeof(float));
    return ATN_OK;
}

static atn_status cpu_attention(atn_ctx *cx, const atn_attn_args *a)
{
    const atn_arena_mark mark = atn_arena_save(cx);
    attention_job j = {a, f32(a->v), f32(a->out), f32_or_null(a->p)};
    atn_status st = ATN_OK;
    atn_head *heads = NULL;

    if (j.p) memset(j.p, 0, (size_t)(a->heads * a->nq * a->nk) * sizeof *j.p);
    ATN_TAKE(heads, a->heads);
    for (atn_idx h = 0; h < a->heads; h++) {
        const atn_idx kv = h * a->kv_heads / a->heads;
        heads[h] = (atn_head){
            .q = {f32(a->q) + h * a->d, a->nq, a->d, a->heads * a->d},
            .k = {f32(a->k) + kv * a->d, a->nk, a->d, a->kv_heads * a->d},
            .nq = a->nq,
            .nk = a->nk,
            .scale = a->scale,
            .sight = a->sight,
            .has_sink = a->sink != NULL,
            .sink = a->sink ? a->sink[h] : 0,
            .alibi_slope = a->alibi_slope ? a->alibi_slope[h] : 0,
            .rel_bias = a->rel_bias ? a->rel_bias + h * (a->nq + a->nk - 1) : NULL,
            .rel_zero = a->nq - 1 + a->sight.offset,
            .layer = a->layer,
            .head = (int)h,
            .kv_head = (int)kv};
    }
    ATN_TRY(atn_rows_stream(cx, heads, a->heads, attention_tile, &j, "attention"));
done:
    atn_arena_rewind(cx, mark);
    return st;
}

typedef struct entropy_job {
    const float *logits;
    const int32_t *targets;
    atn_idx width, first;
    double *lse, *hit;
} entropy_job;

static atn_status entropy_row(atn_ctx *cx, atn_idx i, void *state)
{
    const entropy_job *j = state;
    const atn_arena_mark mark = atn_arena_save(cx);
    const float *row = j->logits + i * j->width;
    const atn_idx target = j->targets[i] - j->first;
    atn_status st = ATN_OK;
    float *copy = NULL, max;
    double sum, dot, both;

    ATN_TAKE(copy, j->width);
    memcpy(copy, row, (size_t)j->width * sizeof *copy);
    max = atn_row_max(copy, j->width);
    sum = atn_row_exp(copy, j->width, max, &dot);
    if (!isfinite(max) || !isfinite(sum) || !isfinite(dot))
        ATN_FAIL(ATN_DATA, "the logits hold NaN or infinity");
    both = fmax(j->lse[i], (double)max);
    j->lse[i] = both + log(exp(j->lse[i] - both) + sum * exp((double)max - both));
    if (target >= 0 && target < j->width) j->hit[i] = (double)row[target];
done:
    atn_arena_rewind(cx, mark);
    return st;
}

static atn_status cpu_cross_entropy(atn_ctx *cx, atn_buf logits, const int32_t *targets,
                                    atn_idx n, atn_idx width, atn_idx first,
                                    double *lse, double *hit)
{
    entropy_job j = {f32(logits), targets, width, first, lse, hit};

    return atn_parallel(cx, n, entropy_row, &j, "loss");
}

const atn_backend atn_backend_cpu = {
    .name = "cpu",
    .device = "cpu",
    .arithmetic = "f32",
    .weight_type = ATN_F32,
    .room = cpu_room,
    .alloc = cpu_alloc,
    .release = cpu_release,
    .upload = cpu_upload,
    .download = cpu_download,
    .download_heads = cpu_download_heads,
    .upload_widen = cpu_upload_widen,
    .embed = cpu_embed,
    .linear = cpu_linear,
    .norm = cpu_norm,
    .rope = cpu_rope,
    .activate = cpu_activate,
    .add = cpu_add,
    .attention = cpu_attention,
    .cross_entropy = cpu_cross_entropy,
    .rows_fill = atn_rows_fill_cpu,
    .row_values = atn_row_values_cpu,
};
