/* core/kernels/formats.c -- number formats in bulk: narrowing to bf16, widening from
 * it, and the search for NaN and infinity, which in every IEEE format is an exponent of
 * all ones.
 *
 * Oracle  the single conversions of core/mat.c; every 16-bit pattern in
 *         tests/core/test_kernels.c.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "core/kernels/kernels.h"

ATN_CLONES bool atn_finite32(const void *x, atn_idx n)
{
    const char *p = x;
    uint32_t bad = 0;

    for (atn_idx i = 0; i < n; i++) {
        uint32_t bits;
        memcpy(&bits, p + 4 * i, sizeof bits);
        bad |= (bits & 0x7f800000u) == 0x7f800000u;
    }
    return bad == 0;
}

ATN_CLONES bool atn_finite16(const void *x, atn_idx n, uint16_t exponent)
{
    const char *p = x;
    uint16_t bad = 0;

    for (atn_idx i = 0; i < n; i++) {
        uint16_t bits;
        memcpy(&bits, p + 2 * i, sizeof bits);
        bad = (uint16_t)(bad | ((bits & exponent) == exponent));
    }
    return bad == 0;
}

ATN_CLONES void atn_widen_bf16(const void *x, atn_idx n, float *y)
{
    const char *p = x;

    for (atn_idx i = 0; i < n; i++) {
        uint16_t half;
        uint32_t bits;
        memcpy(&half, p + 2 * i, sizeof half);
        bits = (uint32_t)half << 16;
        memcpy(&y[i], &bits, sizeof bits);
    }
}

ATN_CLONES void atn_narrow_bf16(const float *x, atn_idx n, uint16_t *y)
{
    for (atn_idx i = 0; i < n; i++) {
        uint32_t bits, rounded;
        memcpy(&bits, &x[i], sizeof bits);
        rounded = (bits + 0x7fff + (bits >> 16 & 1)) >> 16;
        y[i] =
            (uint16_t)((bits & 0x7fffffff) > 0x7f800000u ? bits >> 16 | 0x40 : rounded);
    }
}
