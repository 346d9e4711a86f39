/* core/backend.h -- the operations that a forward pass and the row stream are written
 * on.
 *
 * A backend is one struct of function pointers over atn_buf, memory that a backend
 * owns. The CPU table is complete and is the reference; another backend's table starts
 * as a copy of it and overrides single operations. An operation reads and writes
 * buffers of its own backend. All matrices are row-major; `ld` counts elements.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "core/mat.h"
#include "core/row_values.h"

struct atn_backend;

/* A piece of backend memory: base + offset elements of type. Copies are views. */
typedef struct atn_buf {
    const struct atn_backend *owner;
    void *base; /* host pointer on the CPU, device handle elsewhere; never dereferenced
                        outside its backend */
    atn_idx offset; /* elements */
    atn_idx count;  /* elements from offset on */
    atn_dtype type;
} atn_buf;

static inline atn_buf atn_buf_at(atn_buf b, atn_idx offset, atn_idx count)
{
    b.offset += offset;
    b.count = count;
    return b;
}

typedef enum atn_norm { ATN_NORM_LAYER, ATN_NORM_RMS } atn_norm;
typedef enum atn_act {
    ATN_ACT_SILU,
    ATN_ACT_GELU,
    ATN_ACT_GELU_TANH,
    ATN_ACT_RELU
} atn_act;

/* Softmax attention of one layer over buffers: q [nq, heads * d] and k, v
 * [nk, kv_heads * d] token-major (a head is a column block), out [nq, heads * dv]. */
typedef struct atn_attn_args {
    atn_buf q, k, v, out;
    atn_idx heads, kv_heads, nq, nk, d, dv;
    double scale;
    atn_sight sight;
    const float *sink;        /* host, [heads], NULL = none */
    const float *alibi_slope; /* host, [heads], NULL = none */
    const float *rel_bias;    /* host, as of an atn_problem, NULL = none */
    atn_buf p;                /* base NULL, or [heads, nq, nk] that receives P */
    int layer;                /* for messages */
} atn_attn_args;

typedef struct atn_backend {
    const char *name;       /* "cpu" */
    const char *device;     /* the machine in words; "cpu" on the CPU */
    const char *arithmetic; /* of matrix products: "f32", "tf32", "bf16" */
    atn_dtype weight_type;  /* of matrices that `linear` multiplies by */

    /* memory */
    /* Fails with MEMORY, before the work starts, when bytes more do not fit the
     * device. */
    atn_status (*room)(atn_ctx *cx, double bytes, const char *what);
    atn_status (*alloc)(atn_ctx *cx, atn_dtype type, atn_idx count, atn_buf *out);
    void (*release)(atn_ctx *cx, atn_buf *b); /* zeroed buffers are fine; zeroes *b */
    atn_status (*upload)(atn_ctx *cx, atn_buf dst,
                         const void *src); /* dst.count elements of dst.type */
    atn_status (*download)(atn_ctx *cx, atn_buf src, void *dst);
    /* out [heads, n, d] at host address <- src [n, heads * d] */
    atn_status (*download_heads)(atn_ctx *cx, atn_buf src, atn_idx n, atn_idx heads,
                                 atn_idx d, float *out);
    /* dst (F32, or weight_type) <- weights of `type` at host address src */
    atn_status (*upload_widen)(atn_ctx *cx, atn_buf dst, const void *src,
                               atn_dtype type);

    /* x [n, width] = rows[i] of a table in host memory, of `type`; add: x += instead */
    atn_status (*embed)(atn_ctx *cx, const void *table, atn_dtype type,
                        const int32_t *rows, atn_idx n, atn_idx width, bool add,
                        atn_buf x);

    /* y [m, n] = x [m, k] w^T (+ bias [n]); w [n, k] as Linear stores it, or [k, n]
     * when w_is_kn. bias.base NULL = none. accumulate: y += instead. */
    atn_status (*linear)(atn_ctx *cx, atn_buf x, atn_buf w, atn_buf bias, bool w_is_kn,
                         bool accumulate, atn_idx m, atn_idx n, atn_idx k, atn_buf y);
    /* normalises each of `rows` vectors of length dim; x and y may be the same buffer.
     * y = x / rms(x) * (w + w_offset) or (x - mean) / std * w + b; b.base
     * NULL = none */
    atn_status (*norm)(atn_ctx *cx, atn_norm kind, atn_buf x, atn_buf w, atn_buf b,
                       float eps, float w_offset, atn_idx rows, atn_idx dim, atn_buf y);
    /* half-split rotary embedding in place: x [n, heads * d], tables [n, rotary / 2];
     * dimensions from `rotary` on stay */
    atn_status (*rope)(atn_ctx *cx, atn_buf x, atn_buf cosine, atn_buf sine, atn_idx n,
                       atn_idx heads, atn_idx d, atn_idx rotary);
    /* y = act(x) [* gate]; gate.base NULL = none; y may be x */
    atn_status (*activate)(atn_ctx *cx, atn_act kind, atn_buf x, atn_buf gate,
                           atn_idx count, atn_buf y);
    atn_status (*add)(atn_ctx *cx, atn_buf x, atn_idx count, atn_buf y); /* y += x */
    atn_status (*attention)(atn_ctx *cx, const atn_attn_args *a);
    /* One chunk of a loss over a wide vocabulary: logits [n, width] are columns first
     * .. first + width. lse[i] (host) <- log(e^lse[i] + sum_j e^logit_ij), start from
     * -inf; hit[i] (host) <- the logit of targets[i] where the chunk holds it. DATA on
     * NaN. */
    atn_status (*cross_entropy)(atn_ctx *cx, atn_buf logits, const int32_t *targets,
                                atn_idx n, atn_idx width, atn_idx first, double *lse,
                                double *hit);
    /* the tile of the row stream, see core/rows.h */
    atn_status (*rows_fill)(atn_ctx *cx, const atn_head *h, const atn_tile *t,
                            atn_mat out, atn_row_info *info);
    /* the row pass, see core/row_values.h */
    atn_status (*row_values)(atn_ctx *cx, const atn_head *heads, atn_idx n_heads,
                             const atn_row_want *want, atn_row_out *out);
} atn_backend;

extern const atn_backend atn_backend_cpu;

/* Some of the n tokens: x [rows, heads * d] goes to the planes of out [heads, n, d],
 * whose first row is that of x; on cx->threads threads. */
atn_status atn_split_heads(atn_ctx *cx, const float *x, atn_idx rows, atn_idx n,
                           atn_idx heads, atn_idx d, float *out) ATN_WARN_UNUSED;

/* The reference of rows_fill, see core/rows.h. */
atn_status atn_rows_fill_cpu(atn_ctx *cx, const atn_head *h, const atn_tile *t,
                             atn_mat out, atn_row_info *info) ATN_WARN_UNUSED;
