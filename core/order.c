/* core/order.c -- see the header. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "core/order.h"

#include "core/pattern.h"

int atn_by_idx(const void *a_, const void *b_)
{
    const atn_idx a = *(const atn_idx *)a_, b = *(const atn_idx *)b_;

    return (a > b) - (a < b);
}

int atn_by_int32(const void *a_, const void *b_)
{
    const int32_t a = *(const int32_t *)a_, b = *(const int32_t *)b_;

    return (a > b) - (a < b);
}

int atn_by_begin(const void *a_, const void *b_)
{
    const atn_span *a = a_, *b = b_;

    return (a->lo > b->lo) - (a->lo < b->lo);
}

atn_idx atn_common_divisor(atn_idx a, atn_idx b)
{
    while (b) {
        const atn_idx rest = a % b;

        a = b;
        b = rest;
    }
    return a;
}
