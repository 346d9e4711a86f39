/* core/kernels/entries.c -- attention over keys that are picked: logits of some keys of
 * a row, their softmax, the weighted sum of their values.
 *
 * Math    core/apply.h. Products in float, 16 lanes; sums of weights in double.
 * Oracle  tests/core/test_kernels.c, tests/core/test_apply.c.
 * Cost    2 d flop a logit, 2 d_v a value; keys are read where they lie.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "core/kernels/kernels.h"
#include "core/kernels/lanes.h"

enum { BLOCK = 256, AT_ONCE = 4, WIDE = 4 };

/* Whether all are finite comes from sums of 0 x. */
ATN_CLONES double atn_row_exp_sum(float *x, atn_idx n, float max, bool *finite)
{
    atn_double8 sums[2] = {{0}};
    double sum[ATN_LANES];
    float zero = 0;
    int j = 0, m = 0;

    for (atn_idx at = 0; at < n; at += BLOCK) {
        float *w = x + at, zeros[ATN_LANES] = {0};

        m = (int)ATN_MIN((atn_idx)BLOCK, n - at);
        for (j = 0; j + ATN_LANES <= m; j += ATN_LANES)
            for (int l = 0; l < ATN_LANES; l++) zeros[l] += 0 * w[j + l];
        for (; j < m; j++) zero += 0 * w[j];
        for (int l = 0; l < ATN_LANES; l++) zero += zeros[l];
        for (int i = 0; i < m; i++) w[i] = atn_expf(w[i] - max);
        for (j = 0; j + ATN_LANES <= m; j += ATN_LANES)
            for (int h = 0; h < 2; h++) {
                atn_double8 y;

                atn_widen8(w + j + 8 * h, &y);
                sums[h] += y;
            }
    }
    memcpy(sum, sums, sizeof sum);
    for (int l = 0; j < m; j++, l++) sum[l] += (double)x[n - m + j];
    *finite = zero == 0;
    return atn_fold16(sum);
}

ATN_CLONES void atn_row_slope_at(float *x, const int32_t *key, atn_idx n, float slope,
                                 atn_idx at, atn_idx end)
{
    for (atn_idx j = 0; j < n; j++)
        x[j] += key[j] < end ? slope * (float)((atn_idx)key[j] - at) : 0.0f;
}

void atn_row_bias_at(float *x, const int32_t *key, atn_idx n, const float *bias,
                     atn_idx zero, atn_idx end)
{
    for (atn_idx j = 0; j < n; j++)
        if (key[j] < end) x[j] += bias[zero + key[j]];
}

ATN_PART float fold(const atn_float16 *x)
{
    float l[ATN_LANES];

    memcpy(l, x, sizeof l);
    for (int w = ATN_LANES / 2; w > 0; w /= 2)
        for (int i = 0; i < w; i++) l[i] += l[i + w];
    return l[0];
}

/* n <= AT_ONCE keys of x. */
ATN_PART void dots(const float *q, const float *const *k, int n, atn_idx d, float scale,
                   float *x)
{
    atn_float16 sum[AT_ONCE] = {{0}}, a, b;
    float rest[AT_ONCE] = {0};
    atn_idx e = 0;

    for (; e + ATN_LANES <= d; e += ATN_LANES) {
        memcpy(&a, q + e, sizeof a);
        for (int c = 0; c < n; c++) {
            memcpy(&b, k[c] + e, sizeof b);
            sum[c] += a * b;
        }
    }
    for (; e < d; e++)
        for (int c = 0; c < n; c++) rest[c] += q[e] * k[c][e];
    for (int c = 0; c < n; c++) x[c] = scale * (fold(&sum[c]) + rest[c]);
}

ATN_CLONES void atn_row_dots(const float *q, const atn_picks *k, float scale, float *x)
{
    const float *at[AT_ONCE];
    atn_idx j = 0;

    for (; j + AT_ONCE <= k->n; j += AT_ONCE) {
        for (int c = 0; c < AT_ONCE; c++) at[c] = k->data + k->key[j + c] * k->ld;
        dots(q, at, AT_ONCE, k->d, scale, x + j);
    }
    for (; j < k->n; j++) {
        at[0] = k->data + k->key[j] * k->ld;
        dots(q, at, 1, k->d, scale, x + j);
    }
}

/* `vectors` of 16 numbers from e on. */
ATN_PART void mix_from(const float *w, const atn_picks *v, atn_idx e, int vectors,
                       float *out)
{
    atn_float16 sum[WIDE] = {{0}}, b;

    for (atn_idx j = 0; j < v->n; j++)
        for (int c = 0; c < vectors; c++) {
            memcpy(&b, v->data + v->key[j] * v->ld + e + c * ATN_LANES, sizeof b);
            sum[c] += w[j] * b;
        }
    memcpy(out + e, sum, (size_t)vectors * sizeof *sum);
}

ATN_CLONES void atn_row_mix(const float *w, const atn_picks *v, float *out)
{
    atn_idx e = 0;

    for (; e + WIDE * ATN_LANES <= v->d; e += WIDE * ATN_LANES)
        mix_from(w, v, e, WIDE, out);
    for (; e + ATN_LANES <= v->d; e += ATN_LANES) mix_from(w, v, e, 1, out);
    for (; e < v->d; e++) {
        float sum = 0;

        for (atn_idx j = 0; j < v->n; j++) sum += w[j] * v->data[v->key[j] * v->ld + e];
        out[e] = sum;
    }
}
