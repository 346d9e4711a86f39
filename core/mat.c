/* core/mat.c -- type conversion and the two BLAS calls of matrix views.
 *
 * Oracle  every F16 and BF16 pattern widens exactly; narrowing rounds to nearest even.
 * Limits  GEMM and SYRK run on the calling thread: parallelism is over tiles,
 *         elsewhere.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "core/mat.h"

#include <gsl/gsl_sort_double.h>

#include <limits.h>
#include <string.h>

#include <cblas.h>

#include "core/kernels/kernels.h"

static const struct {
    const char *name;
    size_t size;
    atn_idx block;
} dtypes[] = {
    [ATN_F32] = {"F32", 4, 1},   [ATN_F16] = {"F16", 2, 1},
    [ATN_BF16] = {"BF16", 2, 1}, [ATN_F64] = {"F64", 8, 1},
    [ATN_I32] = {"I32", 4, 1},   [ATN_I64] = {"I64", 8, 1},
    [ATN_U8] = {"U8", 1, 1},     [ATN_Q8_0] = {"Q8_0", 34, 32},
};

atn_idx atn_dtype_block(atn_dtype t)
{
    return dtypes[t].block;
}

size_t atn_dtype_bytes(atn_dtype t, atn_idx count)
{
    ATN_ASSERT(count % dtypes[t].block == 0);
    return (size_t)(count / dtypes[t].block) * dtypes[t].size;
}

size_t atn_dtype_size(atn_dtype t)
{
    return dtypes[t].size;
}

const char *atn_dtype_name(atn_dtype t)
{
    return dtypes[t].name;
}

/* Binary16 to binary32: normal numbers move the exponent bias from 15 to 127;
 * subnormals are scaled by a multiplication, which is exact. */
static float f32_from_f16(uint16_t h)
{
    const uint32_t sign = (uint32_t)(h & 0x8000) << 16;
    const uint32_t exponent = (h >> 10) & 31, fraction = h & 0x3ff;

    if (exponent == 0) {
        const float x = (float)fraction * 0x1p-24f;
        return sign ? -x : x;
    }
    if (exponent == 31) return atn_bits_float(sign | 0x7f800000u | fraction << 13);
    return atn_bits_float(sign | (exponent + 112) << 23 | fraction << 13);
}

uint16_t atn_f16_from_f32(float x)
{
    const uint32_t bits = atn_float_bits(x), sign = bits >> 16 & 0x8000;
    const uint32_t magnitude = bits & 0x7fffffff;

    if (magnitude > 0x7f800000u) return (uint16_t)(sign | 0x7e00);
    if (magnitude >= 0x477ff000u) return (uint16_t)(sign | 0x7c00); /* rounds to inf */
    if (magnitude < 0x38800000u) {
        /* subnormal: adding 0.5 leaves the value in units of 2^-24, rounded to even */
        const float shifted = atn_bits_float(magnitude) + 0.5f;
        return (uint16_t)(sign | (atn_float_bits(shifted) - 0x3f000000u));
    }
    return (
        uint16_t)(sign |
                  ((magnitude - 0x38000000u + 0xfff + (magnitude >> 13 & 1)) >> 13));
}

uint16_t atn_bf16_from_f32(float x)
{
    const uint32_t bits = atn_float_bits(x);

    if ((bits & 0x7fffffff) > 0x7f800000u) return (uint16_t)(bits >> 16 | 0x40);
    return (uint16_t)((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}

static void widen_q8_0(const unsigned char *p, atn_idx count, float *dst)
{
    const atn_idx block = dtypes[ATN_Q8_0].block;

    for (atn_idx i = 0; i < count; i += block, p += dtypes[ATN_Q8_0].size) {
        uint16_t half;
        float scale;

        memcpy(&half, p, sizeof half);
        scale = f32_from_f16(half);
        for (atn_idx e = 0; e < block; e++)
            dst[i + e] = scale * (float)(signed char)p[2 + e];
    }
}

/* Is an infinite or NaN scale among them? */
static bool finite_q8_0(const unsigned char *p, atn_idx count)
{
    for (atn_idx i = 0; i < count; i += dtypes[ATN_Q8_0].block) {
        if (!atn_finite16(p, 1, 0x7c00)) return false;
        p += dtypes[ATN_Q8_0].size;
    }
    return true;
}

void atn_widen(const void *src, atn_dtype type, atn_idx count, float *dst)
{
    const unsigned char *p = src;

    ATN_ASSERT(type == ATN_F32 || type == ATN_F16 || type == ATN_BF16 ||
               type == ATN_F64 || type == ATN_Q8_0);
    ATN_ASSERT(count % dtypes[type].block == 0);
    if (type == ATN_Q8_0) widen_q8_0(p, count, dst);
    if (type == ATN_F32) memcpy(dst, src, (size_t)count * sizeof *dst);
    if (type == ATN_BF16) atn_widen_bf16(src, count, dst);
    for (atn_idx i = 0; type == ATN_F64 && i < count; i++) {
        double x;
        memcpy(&x, p + 8 * i, sizeof x);
        dst[i] = (float)x;
    }
    for (atn_idx i = 0; type == ATN_F16 && i < count; i++) {
        uint16_t h;
        memcpy(&h, p + 2 * i, sizeof h);
        dst[i] = f32_from_f16(h);
    }
}

bool atn_all_finite(const void *src, atn_dtype type, atn_idx count)
{
    const unsigned char *p = src;
    bool fine = true;

    if (type == ATN_F32) return atn_finite32(src, count);
    if (type == ATN_F16) return atn_finite16(src, count, 0x7c00);
    if (type == ATN_BF16) return atn_finite16(src, count, 0x7f80);
    if (type == ATN_Q8_0) return finite_q8_0(p, count);
    for (atn_idx i = 0; i < count; i++) {
        float x;
        atn_widen(p + 8 * i, type, 1, &x);
        fine = fine && atn_finite32(&x, 1);
    }
    return fine;
}

void atn_narrow(const float *src, atn_dtype type, atn_idx count, uint16_t *dst)
{
    ATN_ASSERT(type == ATN_F16 || type == ATN_BF16);
    if (type == ATN_BF16) atn_narrow_bf16(src, count, dst);
    for (atn_idx i = 0; type == ATN_F16 && i < count; i++)
        dst[i] = atn_f16_from_f32(src[i]);
}

static int blas_int(atn_idx n)
{
    ATN_ASSERT(n >= 0 && n <= INT_MAX);
    return (int)n;
}

void atn_gemm(bool trans_b, float alpha, atn_cmat a, atn_cmat b, float beta, atn_mat c)
{
    ATN_ASSERT(a.rows == c.rows && (trans_b ? b.rows : b.cols) == c.cols);
    ATN_ASSERT(a.cols == (trans_b ? b.cols : b.rows));
    if (c.rows == 0 || c.cols == 0) return;
    cblas_sgemm(CblasRowMajor, CblasNoTrans, trans_b ? CblasTrans : CblasNoTrans,
                blas_int(c.rows), blas_int(c.cols), blas_int(a.cols), alpha, a.data,
                blas_int(ATN_MAX(a.ld, 1)), b.data, blas_int(ATN_MAX(b.ld, 1)), beta,
                c.data, blas_int(c.ld));
}

void atn_syrk(float alpha, atn_cmat a, float beta, atn_mat c)
{
    ATN_ASSERT(a.rows == c.rows && c.rows == c.cols);
    if (c.rows == 0) return;
    cblas_ssyrk(CblasRowMajor, CblasLower, CblasNoTrans, blas_int(c.rows),
                blas_int(a.cols), alpha, a.data, blas_int(ATN_MAX(a.ld, 1)), beta,
                c.data, blas_int(c.ld));
}

void atn_mat_mean(atn_cmat x, double *mean)
{
    const float *base = x.rows > 0 ? atn_crow(x, 0) : NULL;

    for (atn_idx c = 0; c < x.cols; c++) mean[c] = 0;
    for (atn_idx i = 1; i < x.rows; i++)
        for (atn_idx c = 0; c < x.cols; c++)
            mean[c] += (double)atn_crow(x, i)[c] - (double)base[c];
    for (atn_idx c = 0; c < x.cols && base; c++)
        mean[c] = (double)base[c] + mean[c] / (double)x.rows;
}

void atn_mat_centre(atn_cmat x, const double *mean, atn_idx first, atn_idx rows,
                    float *out)
{
    for (atn_idx i = 0; i < rows; i++) {
        const float *from = atn_crow(x, first + i);
        float *to = out + i * x.cols;

        for (atn_idx c = 0; c < x.cols; c++) to[c] = (float)((double)from[c] - mean[c]);
    }
}

void atn_mat_add_lower(const float *part, atn_idx m, double *sum)
{
    for (atn_idx i = 0; i < m; i++)
        for (atn_idx j = 0; j <= i; j++) sum[i * m + j] += (double)part[i * m + j];
}

void atn_sort(double *x, atn_idx n)
{
    gsl_sort(x, 1, (size_t)n);
}

double atn_quantile(const double *sorted, atn_idx n, double q)
{
    const double at = q * (double)(n - 1);
    const atn_idx i = (atn_idx)at;

    if (n == 0) return (double)NAN;
    if (i + 1 >= n) return sorted[n - 1];
    return sorted[i] + (at - (double)i) * (sorted[i + 1] - sorted[i]);
}
