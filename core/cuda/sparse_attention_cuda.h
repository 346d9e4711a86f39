/* core/cuda/sparse_attention_cuda.h -- attention over lists of tiles on a GPU: run it,
 * or time it.
 *
 * Queries, keys, values and weights are rounded to bf16, sums are float
 * (core/kernels/cuda/sparse_attention.cu). The context's backend must be a GPU's.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "core/cuda/backend_cuda.h"
#include "core/tile_list.h"

/* The tile that lists are made for; head dims are padded to 64 or 128. */
enum { ATN_SPARSE_ROWS = 128, ATN_SPARSE_KEYS = 64, ATN_SPARSE_DIM_MOST = 128 };

typedef struct atn_sparse_launch {
    atn_idx heads, kv_heads; /* of all sequences together */
    atn_idx nq, nk, d;
    double scale;       /* above 0 */
    atn_sight sight;    /* asked in tiles that have pairs to mask; no softcap */
    atn_tile_list list; /* borrowed; tiles of ATN_SPARSE_ROWS x ATN_SPARSE_KEYS */
} atn_sparse_launch;

/* q [heads, nq, d], k and v [kv_heads, nk, d] -> out [heads, nq, d] and, unless NULL,
 * lse [heads, nq], -inf where a row sees nothing (its output is 0). DATA for a shape
 * that the kernel does not take or a list that does not fit it. */
atn_status atn_sparse_attention(atn_ctx *cx, const atn_sparse_launch *l, const float *q,
                                const float *k, const float *v, float *out,
                                float *lse) ATN_WARN_UNUSED;

/* Seconds of `reps` launches, each between two events, after `warm` others; random
 * normal numbers, the output in bf16. */
atn_status atn_sparse_time(atn_ctx *cx, const atn_sparse_launch *l, int warm, int reps,
                           double *seconds) ATN_WARN_UNUSED;
/* Bytes of the GPU's memory that this takes, without the list's items. */
double atn_sparse_bytes(const atn_sparse_launch *l);
