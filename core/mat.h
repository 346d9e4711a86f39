/* core/mat.h -- row-major float32 matrix views; a head of a (tokens, heads, d) tensor
 * is a view with ld = heads * d, so nothing is copied. Views own nothing and go by
 * value. */
// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "core/ctx.h"

typedef struct atn_mat {
    float *data;
    atn_idx rows, cols;
    atn_idx ld; /* elements between rows, >= cols */
} atn_mat;

typedef struct atn_cmat {
    const float *data; /* NULL = absent */
    atn_idx rows, cols;
    atn_idx ld;
} atn_cmat;

static inline float *atn_row(atn_mat m, atn_idx i)
{
    return m.data + i * m.ld;
}
static inline const float *atn_crow(atn_cmat m, atn_idx i)
{
    return m.data + i * m.ld;
}
static inline atn_cmat atn_const(atn_mat m)
{
    const atn_cmat c = {m.data, m.rows, m.cols, m.ld};
    return c;
}

/* Element types of stored tensors. */
typedef enum atn_dtype {
    ATN_F32,
    ATN_F16,
    ATN_BF16,
    ATN_F64,
    ATN_I32,
    ATN_I64,
    ATN_U8,
    ATN_Q8_0 /* GGUF's: of 32 numbers an F16 scale, then 32 signed bytes */
} atn_dtype;
/* Numbers that are stored together: 32 of Q8_0, else 1; and the bytes of so many. */
atn_idx atn_dtype_block(atn_dtype t);
size_t atn_dtype_size(atn_dtype t);
/* Bytes of count numbers, whole blocks. */
size_t atn_dtype_bytes(atn_dtype t, atn_idx count);
const char *atn_dtype_name(atn_dtype t); /* safetensors spelling: "BF16" */

/* Widens count elements of type F32, F16, BF16, F64 or Q8_0 at src (any alignment) to
 * float; whole blocks. */
void atn_widen(const void *src, atn_dtype type, atn_idx count, float *dst);
/* None of count elements of those types is NaN or infinite; a double counts as its
 * float. */
bool atn_all_finite(const void *src, atn_dtype type, atn_idx count);
/* Narrows count floats to type F16 or BF16. */
void atn_narrow(const float *src, atn_dtype type, atn_idx count, uint16_t *dst);
/* The nearest BF16 / F16 (round to nearest even). */
uint16_t atn_bf16_from_f32(float x);
uint16_t atn_f16_from_f32(float x);

/* C = alpha A op(B) + beta C on one thread through OpenBLAS; op(B) = B^T if trans_b.
 * A (m, k), B (k, n) or (n, k), C (m, n). */
void atn_gemm(bool trans_b, float alpha, atn_cmat a, atn_cmat b, float beta, atn_mat c);
/* C = alpha A A^T + beta C on one thread, A (m, k). Only the lower triangle of C (m, m)
 * is read and written. */
void atn_syrk(float alpha, atn_cmat a, float beta, atn_mat c);

/* mean [cols] of the columns, by the distance from the first row, so that equal rows
 * centre to zero; zeros where there is no row. */
void atn_mat_mean(atn_cmat x, double *mean);
/* out [rows, cols] <- rows [first, first + rows) less the mean. */
void atn_mat_centre(atn_cmat x, const double *mean, atn_idx first, atn_idx rows,
                    float *out);
/* sum [m, m] += part [m, m], lower triangles. */
void atn_mat_add_lower(const float *part, atn_idx m, double *sum);

/* Ascending; NaN must not be among them. */
void atn_sort(double *x, atn_idx n);
/* Of n sorted numbers, linear between order statistics (type 7); NaN of none. */
double atn_quantile(const double *sorted, atn_idx n, double q);
