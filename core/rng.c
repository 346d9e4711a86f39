/* core/rng.c -- Philox4x32-10 streams, see the header. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "core/rng.h"

#include <math.h>
#include <string.h>
#include <xxhash.h>

void atn_philox4x32(const uint32_t counter[4], const uint32_t key[2], uint32_t out[4])
{
    uint32_t c0 = counter[0], c1 = counter[1], c2 = counter[2], c3 = counter[3];
    uint32_t k0 = key[0], k1 = key[1];

    for (int round = 0; round < 10; round++) {
        const uint64_t p0 = (uint64_t)0xD2511F53u * c0;
        const uint64_t p1 = (uint64_t)0xCD9E8D57u * c2;

        c0 = (uint32_t)(p1 >> 32) ^ c1 ^ k0;
        c1 = (uint32_t)p1;
        c2 = (uint32_t)(p0 >> 32) ^ c3 ^ k1;
        c3 = (uint32_t)p0;
        k0 += 0x9E3779B9u;
        k1 += 0xBB67AE85u;
    }
    out[0] = c0;
    out[1] = c1;
    out[2] = c2;
    out[3] = c3;
}

atn_rng atn_rng_stream(uint64_t seed, const char *purpose, atn_idx layer, atn_idx head)
{
    const int64_t where[2] = {layer, head};
    const uint64_t id = XXH3_64bits_withSeed(where, sizeof where,
                                             XXH3_64bits(purpose, strlen(purpose)));
    atn_rng r = {.key = {(uint32_t)seed, (uint32_t)(seed >> 32)},
                 .counter = {0, 0, (uint32_t)id, (uint32_t)(id >> 32)}};

    return r;
}

uint32_t atn_rng_u32(atn_rng *r)
{
    if (r->left == 0) {
        atn_philox4x32(r->counter, r->key, r->block);
        if (++r->counter[0] == 0) r->counter[1]++;
        r->left = 4;
    }
    return r->block[4 - r->left--];
}

double atn_rng_uniform(atn_rng *r)
{
    const uint64_t high = atn_rng_u32(r) >> 5,
                   low = atn_rng_u32(r) >> 6; /* 27 + 26 bits */

    return (double)(high << 26 | low) * 0x1p-53;
}

double atn_rng_normal(atn_rng *r)
{
    const double u = 1.0 - atn_rng_uniform(r); /* (0, 1] */
    const double angle = 6.283185307179586476925 * atn_rng_uniform(r);

    return sqrt(-2.0 * log(u)) * cos(angle);
}

atn_idx atn_rng_below(atn_rng *r, atn_idx n)
{
    const uint64_t range = (uint64_t)n, limit = UINT64_MAX - UINT64_MAX % range;
    uint64_t x;

    ATN_ASSERT(n >= 1);
    do {
        const uint64_t high = atn_rng_u32(r);
        x = high << 32 | atn_rng_u32(r);
    } while (x >= limit);
    return (atn_idx)(x % range);
}
