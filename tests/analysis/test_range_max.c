/* Largest numbers of stretches against a loop. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "check.h"

#include "analysis/range_max.h"
#include "core/rng.h"

static float largest(const float *x, atn_idx lo, atn_idx hi)
{
    float max = -INFINITY;

    for (atn_idx j = lo; j < hi; j++) max = fmaxf(max, x[j]);
    return max;
}

/* Lengths around the edges of blocks and of powers of two of them. */
static void any_stretch(atn_ctx *cx)
{
    static const atn_idx lengths[] = {1, 63, 64, 65, 127, 128, 129, 500, 1000};

    for (size_t s = 0; s < sizeof lengths / sizeof *lengths; s++) {
        const atn_idx n = lengths[s];
        atn_rng r = atn_rng_stream(5, "test/range_max", n, 0);
        float *x = malloc((size_t)n * sizeof *x);
        atn_range_max m;

        for (atn_idx i = 0; i < n; i++) x[i] = (float)atn_rng_normal(&r);
        CHECK_OK(atn_range_max_init(cx, x, n, &m));
        for (int trial = 0; trial < 2000; trial++) {
            const atn_idx lo = atn_rng_below(&r, n);
            const atn_idx hi = lo + atn_rng_below(&r, n - lo + 1);

            CHECK(atn_range_max_of(&m, lo, hi) == largest(x, lo, hi));
        }
        CHECK(atn_range_max_of(&m, 0, n) == largest(x, 0, n));
        CHECK_LE((double)(m.levels * m.blocks) * 4, atn_range_max_bytes(n));
        atn_range_max_release(cx, &m);
        free(x);
    }
}

static void nothing_at_all(atn_ctx *cx)
{
    atn_range_max m;

    CHECK_OK(atn_range_max_init(cx, NULL, 0, &m));
    CHECK(atn_range_max_of(&m, 0, 0) == -INFINITY);
    atn_range_max_release(cx, &m);
    atn_range_max_release(cx, &m);
}

static void without_memory(atn_ctx *cx)
{
    const float x[3] = {1, 3, 2};
    check_failing f = {0};
    atn_range_max m;

    cx->alloc = (atn_allocator){check_failing_resize, &f};
    CHECK_FAILS(atn_range_max_init(cx, x, 3, &m), ATN_MEMORY, "");
    atn_range_max_release(cx, &m);
}

CHECK_MAIN({"any stretch", any_stretch}, {"nothing at all", nothing_at_all},
           {"without memory", without_memory})
