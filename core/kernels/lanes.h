/* core/kernels/lanes.h -- vectors of the compiler, for loops that it does not turn into
 * vector code by itself; wider than the machine's, they are split.
 *
 * Only pointers to them are handed on: how a vector is passed depends on the
 * instruction set.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <stdint.h>
#include <string.h>

/* A part of a function with ATN_CLONES: it has to be compiled with each of them. */
#define ATN_PART static inline __attribute__((always_inline))

typedef float atn_float16 __attribute__((vector_size(64)));
typedef int32_t atn_int16x32 __attribute__((vector_size(64)));
typedef double atn_double8 __attribute__((vector_size(64)));
typedef int64_t atn_int8x64 __attribute__((vector_size(64)));

/* *y = x[0..8) in double. A loop: __builtin_convertvector takes five instructions in
 * GCC 12. */
ATN_PART void atn_widen8(const float *x, atn_double8 *y)
{
    double wide[8];

    for (int l = 0; l < 8; l++) wide[l] = (double)x[l];
    memcpy(y, wide, sizeof wide);
}

/* *y = |*x| */
ATN_PART void atn_abs8(const atn_double8 *x, atn_double8 *y)
{
    *y = (atn_double8)((atn_int8x64)*x & INT64_MAX);
}

/* *m = the larger of it and x[0..16), lane by lane. */
ATN_PART void atn_max16(const float *x, atn_float16 *m)
{
    atn_float16 y;
    atn_int16x32 above;

    memcpy(&y, x, sizeof y);
    above = y > *m;
    *m = (atn_float16)(((atn_int16x32)y & above) | ((atn_int16x32)*m & ~above));
}

/* Adds the lanes pairwise: 8 + 8, 4 + 4, ... */
ATN_PART double atn_fold16(double lanes[16])
{
    for (int l = 0; l < 8; l++) lanes[l] += lanes[l + 8];
    for (int l = 0; l < 4; l++) lanes[l] += lanes[l + 4];
    return (lanes[0] + lanes[2]) + (lanes[1] + lanes[3]);
}

/* Sum of x[0..n) in double: element j goes to lane j mod 16. */
ATN_PART double atn_sum_lanes(const float *x, int64_t n)
{
    atn_double8 sums[2] = {{0}};
    double lanes[16];
    int64_t j = 0;

    for (; j + 16 <= n; j += 16)
        for (int h = 0; h < 2; h++) {
            atn_double8 y;

            atn_widen8(x + j + 8 * h, &y);
            sums[h] += y;
        }
    memcpy(lanes, sums, sizeof lanes);
    for (int l = 0; j < n; j++, l++) lanes[l] += (double)x[j];
    return atn_fold16(lanes);
}

/* Bit j of the result is byte j, 0 or 1, of the 64 at `flag`. */
ATN_PART uint64_t atn_mask64(const uint8_t *flag)
{
    uint64_t mask = 0;

    for (int i = 0; i < 8; i++) {
        uint64_t eight;

        memcpy(&eight, flag + 8 * i, sizeof eight); /* byte 0 is the lowest */
        mask |= (eight * UINT64_C(0x0102040810204080) >> 56) << (8 * i);
    }
    return mask;
}
