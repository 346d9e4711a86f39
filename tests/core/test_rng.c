/* tests/core/test_rng.c -- Philox4x32-10: published known answers, streams, moments. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "check.h"

#include "core/rng.h"

/* Random123 1.14, tests/kat_vectors, lines "philox4x32 10". */
static void known_answers(atn_ctx *cx)
{
    static const uint32_t kat[3][10] = {
        {0, 0, 0, 0, 0, 0, 0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8},
        {~0u, ~0u, ~0u, ~0u, ~0u, ~0u, 0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd},
        {0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344, 0xa4093822, 0x299f31d0,
         0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1},
    };

    (void)cx;
    for (int i = 0; i < 3; i++) {
        uint32_t out[4];
        atn_philox4x32(kat[i], kat[i] + 4, out);
        for (int j = 0; j < 4; j++) CHECK_EQ(out[j], kat[i][6 + j]);
    }
}

static void streams_depend_on_every_part(atn_ctx *cx)
{
    atn_rng base = atn_rng_stream(1, "a", 2, 3), same = atn_rng_stream(1, "a", 2, 3);
    atn_rng other[] = {atn_rng_stream(0, "a", 2, 3), atn_rng_stream(1, "b", 2, 3),
                       atn_rng_stream(1, "a", 3, 3), atn_rng_stream(1, "a", 2, 2),
                       atn_rng_stream(1, "a", 3, 2)};
    const uint32_t first = atn_rng_u32(&base);

    (void)cx;
    CHECK_EQ(first, atn_rng_u32(&same));
    for (size_t i = 0; i < ATN_LEN(other); i++) CHECK(atn_rng_u32(&other[i]) != first);
}

/* 200000 draws: mean and variance within 5 standard errors. */
static void moments(atn_ctx *cx)
{
    enum { N = 200000 };
    atn_rng r = atn_rng_stream(3, "moments", 0, 0);
    double mean = 0, square = 0, normal = 0, normal_square = 0;

    (void)cx;
    for (int i = 0; i < N; i++) {
        const double u = atn_rng_uniform(&r), z = atn_rng_normal(&r);
        CHECK(u >= 0 && u < 1);
        mean += u / N;
        square += u * u / N;
        normal += z / N;
        normal_square += z * z / N;
    }
    CHECK_NEAR(mean, .5, 5 * sqrt(1. / 12 / N));
    CHECK_NEAR(square - mean * mean, 1. / 12, 5 * sqrt(1. / 180 / N));
    CHECK_NEAR(normal, 0, 5 / sqrt(N));
    CHECK_NEAR(normal_square, 1, 5 * sqrt(2. / N));
}

static void below_is_uniform(atn_ctx *cx)
{
    enum { N = 70000 };
    atn_rng r = atn_rng_stream(4, "below", 0, 0);
    int count[7] = {0};

    (void)cx;
    for (int i = 0; i < N; i++) count[atn_rng_below(&r, 7)]++;
    for (int i = 0; i < 7; i++) CHECK_NEAR(count[i], N / 7., 5 * sqrt(N / 7.));
    CHECK_EQ(atn_rng_below(&r, 1), 0);
}

CHECK_MAIN({"known answers", known_answers},
           {"streams depend on every part", streams_depend_on_every_part},
           {"moments", moments}, {"below is uniform", below_is_uniform})
