/* core/kernels/cuda/args.h -- what each CUDA kernel is given: one struct by value, the
 * same in C and in CUDA. Pointers are device pointers; shapes as in core/backend.h.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <stdint.h>

enum { ATN_CU_THREADS = 256 }; /* block size of the kernels of forward.cu */

typedef struct atn_cu_norm_args {
    const float *x, *w, *b; /* b NULL = none */
    float *y;
    int64_t dim;
    float eps, w_offset;
    int rms; /* else LayerNorm */
} atn_cu_norm_args;

typedef struct atn_cu_rope_args {
    float *x;
    const float *cosine, *sine;
    int64_t n, heads, d, half;
} atn_cu_rope_args;

typedef struct atn_cu_act_args {
    const float *x, *gate; /* gate NULL = none */
    float *y;
    int64_t count;
    int kind; /* enum atn_act */
} atn_cu_act_args;

typedef struct atn_cu_add_args { /* y[i] += x[i % period] */
    const float *x;
    float *y;
    int64_t count, period;
} atn_cu_add_args;

typedef enum atn_cu_type { ATN_CU_F32, ATN_CU_F16, ATN_CU_BF16 } atn_cu_type;

typedef struct atn_cu_widen_args { /* f32 <- type; add: y += instead */
    const void *x;
    float *y;
    int64_t count;
    int type, add;
} atn_cu_widen_args;

/* f32 [rows, cols] with stride ld -> rows of `words` 32-bit words: bf16 pairs, or
 * values rounded to tf32; zeros behind the columns. */
typedef struct atn_cu_pack_args {
    const float *x;
    uint32_t *y;
    int64_t rows, cols, ld, words;
    int tf32;
} atn_cu_pack_args;

typedef struct atn_cu_sight { /* atn_sight in device integers */
    int causal, offset, window, key_first, key_last;
    float softcap;
} atn_cu_sight;

enum {
    ATN_CU_TILE_KEYS = 1024, /* most keys of a block of atn_cu_softmax: 32 a lane */
    ATN_CU_TILE_HEADS = 16   /* most heads of a tile: gridDim.y */
};

/* A block of keys of some rows of some heads. state holds, of the blocks before, the
 * largest logit and the sum of e^(x - largest), sum 0 = nothing yet; out is softmax V
 * so far. The logits become weights of everything seen so far, and out and state
 * follow. With p the state is that of the whole rows: only their weights are written,
 * to p. */
typedef struct atn_cu_softmax_args {
    float *s; /* [heads][rows, ld] logits, ld a multiple of 4; then weights */
    uint16_t
        *narrow; /* same shape: receives the weights in bf16 instead, NULL = none */
    float *state, *out, *p;                                 /* p NULL = none */
    int64_t ld, state_step, out_ld, out_step, p_ld, p_step; /* step: between heads */
    atn_cu_sight sight;
    int rows, first, key0, keys, dv, has_sink;
    float sink[ATN_CU_TILE_HEADS], slope[ATN_CU_TILE_HEADS];
    const float *rel; /* [heads] biases rel_step apart, of distance -rel_zero on; NULL =
                         none */
    int64_t rel_step, rel_zero;
    int *bad; /* [heads] smallest row with NaN or infinity */
} atn_cu_softmax_args;

typedef struct atn_cu_loss_args { /* one block a row of logits [., width] */
    const float *logits;
    const int *targets; /* absolute ids */
    int64_t width;
    int first;  /* id of column 0 */
    float *out; /* [rows, 3]: max, sum of e^(x - max), the target's logit or 0 */
} atn_cu_loss_args;

/* ---- the row pass ---- */

enum {
    ATN_CU_ROW_TOPK_MOST = 32,
    /* after the fields of atn_row_field that kernels write: P = e^(logit - level) */
    ATN_CU_ROW_LEVEL = 13,
    ATN_CU_ROW_ARRAYS
};

/* Floats of a row of d in the shared memory of rows_f32.cu. */
#define ATN_CU_F32_PAD(d) (((d) + 3) / 4 * 4)

typedef struct atn_cu_head {
    const void *q, *k; /* [nq, ld], [nk, ld]: floats, or words of atn_cu_pack_args */
    float *values;     /* [ATN_CU_ROW_ARRAYS][nq] */
    unsigned long long *columns, *diagonals,
        *blocks;      /* fixed point 2^-40, NULL = none */
    const float *rel; /* bias of distance -rel_zero on, NULL = none */
    int64_t rel_zero;
    float scale, slope, sink;
    int has_sink;
} atn_cu_head;

typedef struct atn_cu_rows_args {
    const atn_cu_head *heads; /* [gridDim.y] */
    const int *tokens;        /* [nk], NULL = none */
    int *bad;                 /* [gridDim.y] smallest row with NaN or infinity */
    atn_cu_sight sight;
    int nq, nk, d;  /* d counts floats, or words */
    unsigned needs; /* ATN_NEED_* */
    int top_k, block;
    int pairs; /* a word holds two bf16, else one float */
} atn_cu_rows_args;

/* ---- attention over lists of tiles ---- */

enum { ATN_CU_SPARSE_ROWS = 128, ATN_CU_SPARSE_KEYS = 64, ATN_CU_SPARSE_THREADS = 256 };

/* One block a head (gridDim.y) and tile of queries (gridDim.x, the last one first).
 * Numbers are bf16, two a word, d / 2 words a row. */
typedef struct atn_cu_sparse_args {
    const uint32_t *q, *k,
        *v;              /* [heads, nq, d], [kv_heads, nk, d], [kv_heads, nk, d] */
    const int64_t *ptr;  /* [lists * gridDim.x + 1] into item */
    const int32_t *item; /* 2 * (tile of keys) + (it has pairs to mask) */
    uint32_t *out;       /* [heads, nq, d] bf16, NULL = none */
    float *wide;         /* the same in float, NULL = none */
    float *lse;          /* [heads, nq], -inf of an empty row; NULL = none */
    atn_cu_sight sight;  /* softcap 0 */
    int nq, nk, kv_heads;
    int lists; /* head h has list h % lists */
    float scale;
} atn_cu_sparse_args;
