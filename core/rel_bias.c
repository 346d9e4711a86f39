/* core/rel_bias.c -- buckets of distances, see the header. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "core/rel_bias.h"

#include <math.h>

static atn_idx of_one_side(const atn_rel_rule *r)
{
    return r->bidirectional ? r->buckets / 2 : r->buckets;
}

const char *atn_rel_check(const atn_rel_rule *r)
{
    if (of_one_side(r) < 2) return "there are fewer than two buckets a direction";
    if (r->bidirectional && r->buckets % 2 != 0)
        return "an odd number of buckets has no two directions";
    if (r->max_distance <= of_one_side(r) / 2)
        return "the largest distance lies among those that have buckets of their own";
    return NULL;
}

atn_idx atn_rel_bucket(const atn_rel_rule *r, atn_idx x)
{
    const atn_idx n = of_one_side(r), m = n / 2;
    const atn_idx ahead = r->bidirectional && x > 0 ? n : 0;
    const atn_idx far = r->bidirectional && x > 0 ? x : ATN_MAX(-x, (atn_idx)0);
    float part;

    if (far < m) return ahead + far;
    part = logf((float)far / (float)m) /
           (float)log((double)r->max_distance / (double)m) * (float)(n - m);
    return ahead + (part < (float)(n - m) ? m + (atn_idx)part : n - 1);
}

void atn_rel_expand(const atn_rel_rule *r, const float *table, atn_idx heads,
                    atn_idx nq, atn_idx nk, atn_idx offset, float *out)
{
    const atn_idx n = nq + nk - 1;

    for (atn_idx e = 0; e < n; e++) {
        const float *row = table + atn_rel_bucket(r, e - (nq - 1) - offset) * heads;

        for (atn_idx h = 0; h < heads; h++) out[h * n + e] = row[h];
    }
}
