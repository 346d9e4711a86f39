/* analysis/range_max.c -- the largest of any stretch of an array. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "analysis/range_max.h"

#include <math.h>

enum { EDGE = 64 };

static int levels_of(atn_idx blocks)
{
    int levels = 1;

    while ((atn_idx)1 << levels <= blocks) levels++;
    return levels;
}

static float max_of(const float *x, atn_idx lo, atn_idx hi)
{
    float max = -INFINITY;

    for (atn_idx j = lo; j < hi; j++) max = x[j] > max ? x[j] : max;
    return max;
}

double atn_range_max_bytes(atn_idx n)
{
    const atn_idx blocks = n / EDGE + 1;

    return (double)blocks * levels_of(blocks) * sizeof(float);
}

atn_status atn_range_max_init(atn_ctx *cx, const float *x, atn_idx n,
                              atn_range_max *out)
{
    const atn_idx blocks = (n + EDGE - 1) / EDGE;
    atn_status st = ATN_OK;

    *out =
        (atn_range_max){.x = x, .n = n, .blocks = blocks, .levels = levels_of(blocks)};
    ATN_NEW(out->table, out->levels * blocks);
    for (atn_idx b = 0; b < blocks; b++)
        out->table[b] = max_of(x, b * EDGE, ATN_MIN((b + 1) * EDGE, n));
    for (int l = 1; l < out->levels; l++) {
        const float *half = out->table + (l - 1) * blocks;
        const atn_idx step = (atn_idx)1 << (l - 1);

        for (atn_idx b = 0; b + 2 * step <= blocks; b++)
            out->table[l * blocks + b] = fmaxf(half[b], half[b + step]);
    }
done:
    return st;
}

void atn_range_max_release(atn_ctx *cx, atn_range_max *m)
{
    atn_free(cx, m->table);
    *m = (atn_range_max){0};
}

float atn_range_max_of(const atn_range_max *m, atn_idx lo, atn_idx hi)
{
    const atn_idx first = (lo + EDGE - 1) / EDGE, last = hi / EDGE;
    float max;
    int l = 0;

    if (first >= last) return max_of(m->x, lo, hi);
    max = fmaxf(max_of(m->x, lo, first * EDGE), max_of(m->x, last * EDGE, hi));
    while ((atn_idx)2 << l <= last - first) l++;
    return fmaxf(max, fmaxf(m->table[l * m->blocks + first],
                            m->table[l * m->blocks + last - ((atn_idx)1 << l)]));
}
