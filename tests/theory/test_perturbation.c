/* Bounds of perturbed softmaxes: by hand, where they are reached, and by brute
 * force. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "bound_value.h"

#include "core/linalg.h"
#include "core/rng.h"

static void by_hand(atn_ctx *cx)
{
    const double sigma[] = {5, 3, 2, 1};
    const atn_quantities q = {.x = {0, 2}, .list = {sigma}, .n = {4}};

    (void)cx;
    CHECK_NEAR(BOUND("perturbed_logits", 1), .462117157, 1e-9); /* tanh .5 */
    CHECK_NEAR(BOUND("perturbed_logits_l2", 3), 1.5, 0);
    CHECK_NEAR(BOUND("perturbed_weights", .6), 1.0 / 3, 1e-15);
    CHECK_NEAR(BOUND("perturbed_weights", 1), 1, 0);
    CHECK_NEAR(BOUND("quantised_logits", .4), .099667995, 1e-9); /* tanh .1 */
    /* at |s| = 50: bf16 delta .1953125, tanh of half of it .0973; fp16 .0122 */
    CHECK_NEAR(BOUND("rounded_logits", 0x1p-8, 0, 50, 1e38), .0973470, 1e-7);
    CHECK_NEAR(BOUND("rounded_logits", 0x1p-11, 0, 50, 65504), .0122064, 1e-7);
    CHECK_NEAR(BOUND("rounded_logits", 0x1p-11, .5, 0, 65504), tanh(.25), 1e-15);
    CHECK(isnan(BOUND("rounded_logits", 0x1p-11, 0, 65505, 65504)));
    CHECK_NEAR(BOUND("quantised_products", .5, 3, 4, .1, .2),
               .5 * (.1 * 4 + 3 * .2 + .02), 1e-15);
    CHECK_NEAR(BOUND("quantised_values", .7), .7, 0);
    CHECK_NEAR(BOUND("quantised_values_mean", log(4), 2), .5, 1e-15);
    CHECK_NEAR(BOUND("compressed_keys", 2), tanh(1), 1e-15);
    CHECK_NEAR(bound_value("compressed_keys_error", &q), 5, 1e-15);
    CHECK_NEAR(bound_value("compressed_keys_floor", &q), 5, 1e-15);
    CHECK(isnan(BOUND("perturbed_weights", 1.1)));
}

/* Two keys, one of weight 1 / (1 + e^delta): the bound is reached. */
static void sharp(atn_ctx *cx)
{
    (void)cx;
    for (double delta = .01; delta < 6; delta *= 2) {
        const double a = 1 / (1 + exp(delta)), up = a * exp(delta),
                     down = (1 - a) * exp(-delta);
        const double tv = up / (up + down) - a;

        CHECK_NEAR(tv, BOUND("perturbed_logits", delta), 1e-14);
        CHECK_NEAR(BOUND("perturbed_logits_pattern", delta, a), tv, 1e-14);
        CHECK_NEAR(BOUND("perturbed_logits_sharp", delta, a), tv - 1e-6, 1e-14);
        CHECK(isnan(BOUND("perturbed_logits_sharp", delta, a + .01 + .1 / delta)));
        /* the same by factors 1 +- e of e = tanh delta */
        CHECK_NEAR(BOUND("perturbed_weights", tanh(delta)), tv, 1e-12);
    }
    CHECK_NEAR(BOUND("perturbed_logits_pattern", 3, 0), 0, 0);
    CHECK_NEAR(BOUND("perturbed_logits_pattern", 900, .25), .75, 1e-15);
    /* wherever it is applicable it is true */
    for (double a = 0; a <= 1; a += 1.0 / 4096)
        for (double delta = .1; delta < 3; delta += .4) {
            const double least = BOUND("perturbed_logits_sharp", delta, a);

            if (!isnan(least))
                CHECK_LE(least, BOUND("perturbed_logits_pattern", delta, a));
        }
}

/* Random logits and changes of every size. */
static void random_rows(atn_ctx *cx)
{
    enum { N = 6 };

    (void)cx;
    for (int trial = 0; trial < 2000; trial++) {
        atn_rng r = atn_rng_stream(1, "test/perturbed", trial, 0);
        const double size = 4 * atn_rng_uniform(&r), shift = atn_rng_normal(&r);
        double z[N], y[N], a = 0, b = 0, tv = 0, l2 = 0, ds = 0, e = 0;

        for (int j = 0; j < N; j++) {
            z[j] = 2 * atn_rng_normal(&r);
            y[j] = z[j] + shift + size * (2 * atn_rng_uniform(&r) - 1);
            a += exp(z[j]);
            b += exp(y[j]);
            ds += (y[j] - z[j] - shift) * (y[j] - z[j] - shift);
            e = fmax(e, fabs(exp(y[j] - z[j] - shift) - 1));
        }
        for (int j = 0; j < N; j++) {
            const double off = exp(y[j]) / b - exp(z[j]) / a;

            tv += fabs(off) / 2;
            l2 += off * off;
        }
        CHECK_LE(tv, BOUND("perturbed_logits", size));
        CHECK_LE(sqrt(l2), BOUND("perturbed_logits_l2", sqrt(ds)) + 1e-15);
        if (e <= 1) CHECK_LE(tv, BOUND("perturbed_weights", e) + 1e-15);
    }
}

CHECK_MAIN({"by hand", by_hand}, {"sharp", sharp}, {"random rows", random_rows})
