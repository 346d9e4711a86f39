/* core/rng.h -- counter-based random streams: Philox4x32-10.
 *
 * Math    value(counter) = Philox4x32-10(key = (seed, stream), counter); ten rounds of
 *         hi/lo 32-bit products with M0 = D2511F53, M1 = CD9E8D57, key bumps
 *         W0 = 9E3779B9, W1 = BB67AE85.
 * Oracle  the three known answers of Random123's tests/kat_vectors, in the tests.
 * Source  Salmon, Moraes, Dror, Shaw: Parallel random numbers: as easy as 1, 2, 3 (SC
 *         2011).
 * Limits  a stream gives 2^66 words; a result depends on (seed, purpose, layer, head,
 *         draw) alone, never on order, threads or device.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "core/ctx.h"

typedef struct atn_rng {
    uint32_t key[2];
    uint32_t counter[4]; /* [0..1] draw counter, [2..3] stream id */
    uint32_t block[4];
    int left; /* words of block not yet handed out */
} atn_rng;

/* One block: counter[4], key[2] -> out[4]. */
void atn_philox4x32(const uint32_t counter[4], const uint32_t key[2], uint32_t out[4]);

/* The stream (cx->seed, purpose, layer, head); purpose is a fixed string such as
 * "hyper/lsh". */
atn_rng atn_rng_stream(uint64_t seed, const char *purpose, atn_idx layer, atn_idx head);
uint32_t atn_rng_u32(atn_rng *r);
double atn_rng_uniform(atn_rng *r);           /* [0, 1), 53 bits */
double atn_rng_normal(atn_rng *r);            /* mean 0, variance 1 (Box-Muller) */
atn_idx atn_rng_below(atn_rng *r, atn_idx n); /* uniform in 0..n-1, n >= 1, unbiased */
