/* core/kernels/forward.c -- the elementwise and per-vector loops of a forward pass.
 *
 * Math    RMS: y = x / sqrt(mean x^2 + eps) (w + offset). Layer: y = (x - mean) /
 *         sqrt(var + eps) (w + offset) + b with the population variance. RoPE,
 *         half-split: (x1, x2) <- (x1 cos - x2 sin, x2 cos + x1 sin).
 *         silu x / (1 + e^-x); gelu x Phi(x), exact or with tanh(sqrt(2/pi)
 *         (x + 0.044715 x^3)).
 * Oracle  twins in double; the parity fixtures of whole models.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "core/kernels/kernels.h"

void atn_norm_rms(const float *x, const float *w, float eps, float w_offset, atn_idx n,
                  float *y)
{
    const double mean = atn_row_square(x, n) / (double)n;
    const float inverse = (float)(1.0 / sqrt(mean + (double)eps));

    for (atn_idx j = 0; j < n; j++) y[j] = x[j] * inverse * (w[j] + w_offset);
}

void atn_norm_layer(const float *x, const float *w, const float *b, float eps,
                    float w_offset, atn_idx n, float *y)
{
    const double mean = atn_row_sum(x, n) / (double)n;
    double var = 0;
    float inverse;

    for (atn_idx j = 0; j < n; j++) {
        const double c = (double)x[j] - mean;
        var += c * c;
    }
    inverse = (float)(1.0 / sqrt(var / (double)n + (double)eps));
    for (atn_idx j = 0; j < n; j++)
        y[j] =
            (float)((double)x[j] - mean) * inverse * (w[j] + w_offset) + (b ? b[j] : 0);
}

void atn_rope_half(float *x, const float *cosine, const float *sine, atn_idx half)
{
    for (atn_idx j = 0; j < half; j++) {
        const float a = x[j], b = x[j + half];
        x[j] = a * cosine[j] - b * sine[j];
        x[j + half] = b * cosine[j] + a * sine[j];
    }
}

/* Beyond +-88 the exponential saturates, and so does the function. */
static inline float sigmoid(float x)
{
    const float bounded = x > 87.0f ? 87.0f : x < -87.0f ? -87.0f : x;

    return 1.0f / (1.0f + atn_expf(-bounded));
}

ATN_CLONES void atn_silu(const float *x, const float *gate, atn_idx n, float *y)
{
    if (gate)
        for (atn_idx j = 0; j < n; j++) y[j] = x[j] * sigmoid(x[j]) * gate[j];
    else
        for (atn_idx j = 0; j < n; j++) y[j] = x[j] * sigmoid(x[j]);
}

void atn_gelu_erf(const float *x, const float *gate, atn_idx n, float *y)
{
    for (atn_idx j = 0; j < n; j++)
        y[j] =
            0.5f * x[j] * (1.0f + erff(x[j] * 0.70710678f)) * (gate ? gate[j] : 1.0f);
}

void atn_gelu_tanh(const float *x, const float *gate, atn_idx n, float *y)
{
    for (atn_idx j = 0; j < n; j++) {
        const float t = tanhf(0.79788456f * (x[j] + 0.044715f * x[j] * x[j] * x[j]));
        y[j] = 0.5f * x[j] * (1.0f + t) * (gate ? gate[j] : 1.0f);
    }
}

void atn_relu(const float *x, const float *gate, atn_idx n, float *y)
{
    for (atn_idx j = 0; j < n; j++)
        y[j] = (x[j] > 0 ? x[j] : 0) * (gate ? gate[j] : 1.0f);
}

ATN_CLONES void atn_vec_add(const float *x, atn_idx n, float *y)
{
    for (atn_idx j = 0; j < n; j++) y[j] += x[j];
}
