/* core/kernels/kernels.h -- the CPU loops that time is spent in: plain C over pointers
 * and strides, no context, no allocation, no failure; compiled once per instruction
 * set.
 *
 * Reductions keep ATN_LANES partial sums, element j going to lane j mod ATN_LANES, and
 * add the lanes in a fixed tree: the order depends on the length alone.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <math.h>
#include <string.h>

#include "core/ctx.h"
#include "core/row_values_needs.h"

/* One binary for every x86-64: the loader picks the clone the processor has. Sanitizers
 * and ifunc resolvers do not mix. Clang before 18 names the dispatcher so that other
 * files do not find it. GCC before 12 does not know the levels v3 and v4 but single
 * features; the name of a processor (arch=haswell) would match that very model only. */
#if !defined(__x86_64__) || defined(ATN_SANITIZE) ||                                   \
    (defined(__clang__) && __clang_major__ < 18)
#    define ATN_CLONES __attribute__((noinline))
#elif defined(__clang__)
#    define ATN_CLONES                                                                 \
        __attribute__((target_clones("arch=x86-64-v4", "arch=x86-64-v3", "default")))
#elif __GNUC__ >= 12
#    define ATN_CLONES                                                                 \
        __attribute__((target_clones("arch=x86-64-v4", "arch=x86-64-v3", "default"),   \
                       optimize("O3"), noinline))
#else
#    define ATN_CLONES                                                                 \
        __attribute__((target_clones("avx512f", "avx2", "default"), optimize("O3"),    \
                       noinline))
#endif

enum { ATN_LANES = 16 };

/* The bits of a float, and back. */
static inline uint32_t atn_float_bits(float x)
{
    uint32_t bits;

    memcpy(&bits, &x, sizeof bits);
    return bits;
}

static inline float atn_bits_float(uint32_t bits)
{
    float x;

    memcpy(&x, &bits, sizeof x);
    return x;
}

/* e^x in float32 for x <= 88: 2^n times a degree-6 polynomial on |r| <= ln(2)/2
 * (Cody-Waite reduction); relative error below 1.2e-7; 0 below x = -87.3. */
static inline float atn_expf(float x)
{
    const float clamped = x < -87.33654f ? -87.33654f : x;
    const float shifted = clamped * 1.44269504f + 12582912.0f; /* 1.5 2^23: rounds */
    const float n = shifted - 12582912.0f;
    const float r = (clamped - n * 0.693359375f) + n * 2.12194440e-4f;
    float p = 1.9875691500e-4f;
    uint32_t bits;
    float power;

    p = p * r + 1.3981999507e-3f;
    p = p * r + 8.3334519073e-3f;
    p = p * r + 4.1665795894e-2f;
    p = p * r + 1.6666665459e-1f;
    p = p * r + 5.0000001201e-1f;
    p = p * r * r + r + 1.0f;
    memcpy(&bits, &shifted, sizeof bits);
    bits = (bits << 23) + 0x3f800000u;
    memcpy(&power, &bits, sizeof power);
    return x < -87.33654f ? 0.0f : p * power;
}

/* Largest of x[0..n), NaN passed over; -inf for n = 0. */
float atn_row_max(const float *x, atn_idx n);
/* x_j <- e^(x_j - max); returns the sum, and through dot the sum of e^(x_j - max)
 * (x_j - max), both in double; one of the
 * three is not finite when an element was NaN or infinite. */
double atn_row_exp(float *x, atn_idx n, float max, double *dot);
/* x_j <- x_j * a */
void atn_row_scale(float *x, atn_idx n, float a);
/* x_j <- cap tanh(x_j / cap) */
void atn_row_softcap(float *x, atn_idx n, float cap);
/* x_j <- x_j + slope (j + first) */
void atn_row_slope(float *x, atn_idx n, float slope, float first);
/* Sum x_j in double. */
double atn_row_sum(const float *x, atn_idx n);
/* The moments of a row of weights: sum w_j^2, and sum w_j |j - at| where `at` may lie
 * anywhere, in double. */
void atn_row_moments(const float *w, atn_idx n, double at, double *square,
                     double *distance);
/* -sum w_j ln w_j over w_j > 0, in double (rows given as weights). */
double atn_row_plogp(const float *w, atn_idx n);
/* Sum of the k largest of w[0..n) in double; heap is scratch of k floats. Added from
 * the largest down, so ties do not matter. */
double atn_row_topk(const float *w, atn_idx n, atn_idx k, float *heap);
/* The k-th largest, 1 <= k < n; heap as above. */
float atn_row_kth(const float *w, atn_idx n, atn_idx k, float *heap);
/* Sum x_j and sum x_j^2, in double. */
void atn_row_sum_square(const float *x, atn_idx n, double *sum, double *square);
/* Sum x_j^2 in double. */
double atn_row_square(const float *x, atn_idx n);
/* Sum x_j y_j in double. */
double atn_row_dot(const float *x, const float *y, atn_idx n);
/* y_j <- y_j + a x_j in double. */
void atn_row_add(const float *x, atn_idx n, double a, double *y);

/* The first j with x_j = value; n when there is none. */
atn_idx atn_row_find(const float *x, atn_idx n, float value);
/* Both sort the largest first: n <= ATN_FEW numbers, none of them NaN, elsewhere; any
 * number of them in place, with spare as long. */
enum { ATN_FEW = 128 };
void atn_row_sort_few(const float *x, int n, float *sorted);
void atn_row_sort(float *x, atn_idx n, float *spare);

/* Keys that are picked (core/kernels/entries.c). */
/* x_j <- e^(x_j - max), returns the sum in double; *finite: no x_j was NaN or
 * infinite. */
double atn_row_exp_sum(float *x, atn_idx n, float max, bool *finite);
/* x_j <- x_j + slope (key_j - at) where key_j < end */
void atn_row_slope_at(float *x, const int32_t *key, atn_idx n, float slope, atn_idx at,
                      atn_idx end);
/* x_j <- x_j + bias[zero + key_j] where key_j < end */
void atn_row_bias_at(float *x, const int32_t *key, atn_idx n, const float *bias,
                     atn_idx zero, atn_idx end);
/* n rows of d numbers, in any order, of those at data. */
typedef struct atn_picks {
    const float *data;
    atn_idx ld;
    const int32_t *key;
    atn_idx n, d;
} atn_picks;
/* x_j <- scale q . row j */
void atn_row_dots(const float *q, const atn_picks *k, float scale, float *x);
/* out [d] <- sum_j w_j row j */
void atn_row_mix(const float *w, const atn_picks *v, float *out);

/* Shares of a row's mass, see core/row_values.h. A share counts as reached where a sum
 * is less than one unit of float32 short of it: weights are float32. */
#define ATN_REACHED (1 - 1.0 / 8388608)

/* The minimal set of weights that reach each share: those above least, and of those
 * equal to it the ones up to place last. None where the row has no mass. */
typedef struct atn_cover {
    atn_idx count[ATN_COVER_LEVELS], last[ATN_COVER_LEVELS];
    float least[ATN_COVER_LEVELS];
} atn_cover;

typedef struct atn_cover_scratch { /* as long as the row */
    uint16_t *bin;
    float *picked, *spare;
} atn_cover_scratch;

/* n weights, the largest and (about) their sum given. */
void atn_row_cover(const float *w, atn_idx n, float max, double mass,
                   const atn_cover_scratch *s, atn_cover *c);
/* span[ATN_SPAN_LEVELS]: the smallest distances from place `at`, which may lie
 * outside. */
void atn_row_span(const float *w, atn_idx n, atn_idx at, double mass, double *span);
/* Of weights sorted the largest first. */
double atn_row_gini(const float *sorted, atn_idx n);
/* -sum q ln q of q = .9999 w / mass + .0001 / n */
double atn_row_smoothed(const float *w, atn_idx n, double mass);

/* Tiles of rows, ld apart. */
/* sum[c] += sum over the rows of column c. */
void atn_tile_columns(const float *p, atn_idx ld, atn_idx rows, atn_idx cols,
                      double *sum);
/* sum[c - r + rows - 1] += sum over the diagonal of (r, c); rows + cols - 1 sums. */
void atn_tile_diagonals(const float *p, atn_idx ld, atn_idx rows, atn_idx cols,
                        double *sum);
/* to_i += x_i unit, rounded; |x_i unit| < 2^51. Negative numbers wrap around. */
void atn_fixed_add(uint64_t *to, const double *x, atn_idx n, double unit);
/* max_b = the larger of it and the x_j of which (before + j) / edge = b. */
void atn_row_block_max(const float *x, atn_idx n, atn_idx before, atn_idx edge,
                       float *max);

/* to_i = the larger of it and x_i. */
void atn_vec_max(float *to, const float *x, atn_idx n);
/* to_i |= bit where x_i reaches least (i < end) or is above it (i >= end). */
void atn_vec_mark(const float *x, atn_idx n, float least, atn_idx end, uint8_t bit,
                  uint8_t *to);

/* The forward pass. Vectors of length n; shapes in core/backend.h. */
void atn_norm_rms(const float *x, const float *w, float eps, float w_offset, atn_idx n,
                  float *y);
void atn_norm_layer(const float *x, const float *w, const float *b, float eps,
                    float w_offset, atn_idx n, float *y);
void atn_rope_half(float *x, const float *cosine, const float *sine, atn_idx half);
void atn_silu(const float *x, const float *gate, atn_idx n,
              float *y); /* gate may be NULL */
void atn_gelu_erf(const float *x, const float *gate, atn_idx n, float *y);
void atn_gelu_tanh(const float *x, const float *gate, atn_idx n, float *y);
void atn_relu(const float *x, const float *gate, atn_idx n, float *y);
void atn_vec_add(const float *x, atn_idx n, float *y); /* y += x */

/* Products that do not depend on where a vector stands, for scores that are ranked: a
 * BLAS adds the columns at an edge in another order, and equal ones stop being equal.
 */
enum { ATN_PANEL = 16 };
/* Vectors x [n, d], rows ld apart, in panels [ceil(n / 16)][d][16]; zeros beyond n. */
void atn_panels_pack(const float *x, atn_idx ld, atn_idx n, atn_idx d, float *panels);
/* out[r][c] = sum_t q[r][t] x_c[t], in float32 and by ascending t whatever r and c, for
 * all 16 n vectors of n panels; out_ld >= 16 n. */
void atn_panels_dot(const float *q, atn_idx ld, atn_idx rows, const float *panels,
                    atn_idx n, atn_idx d, float *out, atn_idx out_ld);
/* The same in double: out [rows, n] <- scale q_r . x_c. A product of two floats is
 * exact, so that fused operations change nothing. */
void atn_panels_pack_wide(const float *x, atn_idx ld, atn_idx n, atn_idx d,
                          double *panels);
void atn_panels_dot_wide(const float *q, atn_idx ld, atn_idx rows, const double *panels,
                         atn_idx n, atn_idx d, double scale, double *out,
                         atn_idx out_ld);
/* Sum x_j y_j. */
double atn_wide_dot(const double *x, const double *y, atn_idx n);

/* Formats in bulk; what is stored may lie at any alignment. */
/* No exponent of n floats at x is all ones: neither NaN nor infinity. */
bool atn_finite32(const void *x, atn_idx n);
/* The same of 16-bit floats, whose exponent has the bits of `exponent`. */
bool atn_finite16(const void *x, atn_idx n, uint16_t exponent);
void atn_widen_bf16(const void *x, atn_idx n, float *y);
void atn_narrow_bf16(const float *x, atn_idx n, uint16_t *y); /* to nearest even */
