/* Bounds by entropy: by hand, where they are tight, and against random rows. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "bound_value.h"

#include "core/rng.h"

/* p = (.1 .4 .2 .3): H = 1.2798542, so beyond the best one of .6 at most H / ln 2, at
 * least (H - ln 2) / ln 3. */
static void by_hand(atn_ctx *cx)
{
    const double h = -.1 * log(.1) - .4 * log(.4) - .2 * log(.2) - .3 * log(.3);

    (void)cx;
    CHECK_NEAR(h, 1.2798542, 1e-7);
    CHECK_NEAR(BOUND("entropy_topk_upper", h, 1), 1.8464393, 1e-7);
    CHECK_NEAR(BOUND("entropy_topk_lower", h, 1, 4), .5340438, 1e-7);
    CHECK(isnan(BOUND("entropy_topk_lower", h, 2, 4))); /* n = 2 k */
    CHECK(isnan(BOUND("entropy_topk_lower", h, 2, 3)));
    CHECK(isnan(BOUND("entropy_topk_upper", -1, 1)));
}

/* One weight of 1 - t and n - 1 equal ones: Fano's inequality is H = h(t) + t ln(n -
 * 1), and h(t) <= ln 2 with equality at t = 1 / 2. k = 1, n large: tight there. */
static void tight(atn_ctx *cx)
{
    const double t = .5, n = 1001, h = log(2) + t * log(n - 1);

    (void)cx;
    CHECK_NEAR(BOUND("entropy_topk_lower", h, 1, n), t, 1e-12);
    /* k + 1 equal weights: the upper one is 1, the truth 1 / (k + 1) */
    CHECK_NEAR(BOUND("entropy_topk_upper", log(5), 4), 1, 1e-12);
}

static int descending(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;

    return (x < y) - (x > y);
}

static void random_rows(atn_ctx *cx)
{
    enum { N = 12 };

    (void)cx;
    for (int trial = 0; trial < 500; trial++) {
        atn_rng r = atn_rng_stream(1, "test/entropy", trial, 0);
        const double power = 8 * atn_rng_uniform(&r);
        double p[N], sum = 0, h = 0, beyond = 1;

        for (int j = 0; j < N; j++) sum += p[j] = pow(atn_rng_uniform(&r), power);
        for (int j = 0; j < N; j++) {
            p[j] /= sum;
            if (p[j] > 0) h -= p[j] * log(p[j]);
        }
        qsort(p, N, sizeof *p, descending);
        for (int k = 1; k < N; k++) {
            const double least = BOUND("entropy_topk_lower", h, k, N);

            beyond -= p[k - 1];
            CHECK_LE(beyond, BOUND("entropy_topk_upper", h, k) + 1e-12);
            CHECK_EQ(isnan(least), N <= 2 * k);
            if (!isnan(least)) CHECK_LE(least, beyond + 1e-12);
        }
    }
}

CHECK_MAIN({"by hand", by_hand}, {"tight", tight}, {"random rows", random_rows})
