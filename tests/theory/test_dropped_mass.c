/* Bounds of dropped weight: by hand, and against random rows, masks and values. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "bound_value.h"

#include "core/rng.h"

enum { N = 7, DV = 2 };

/* P = (.3 .5 .2), the first two kept, values (1 0) (0 1) (1 1): o = (.5 .7), mu_K =
 * (.375 .625), mu_C = (1 1), so |o^ - o| = .2 |(-.625 -.375)| = .145774 and |o~ - o| =
 * .2 sqrt 2. */
static void by_hand(atn_ctx *cx)
{
    const double apart = sqrt(.625 * .625 + .375 * .375);

    (void)cx;
    CHECK_NEAR(BOUND("dropped_mass_weights", .8), .4, 1e-15);
    CHECK_NEAR(BOUND("dropped_mass_error", .8, apart), .145773797, 1e-9);
    CHECK_NEAR(BOUND("dropped_mass_error", .8, apart), hypot(.375 - .5, .625 - .7),
               1e-15);
    CHECK_NEAR(BOUND("dropped_mass_raw", .8, sqrt(2)), .282842712, 1e-9);
    CHECK_NEAR(BOUND("dropped_mass_diameter", .8, sqrt(2)), .282842712, 1e-9);
    CHECK_NEAR(BOUND("dropped_mass_raw_values", .75, 6), 1.5, 1e-15);
    CHECK_NEAR(BOUND("dropped_mass_gain", .8, apart, sqrt(2)),
               .04 * (apart * apart - 2), 1e-15);
    CHECK_NEAR(BOUND("variation_error", .25, 3), .75, 1e-15);
    CHECK_NEAR(BOUND("pinsker", .32), .4, 1e-15);
    CHECK(isnan(BOUND("dropped_mass_weights", 1.5)));
    CHECK(isnan(BOUND("pinsker", -1)));
    CHECK(isnan(BOUND("variation_error", .5, NAN)));
}

typedef struct drawn {
    double p[N], v[N][DV];
    bool kept[N];
} drawn;

static drawn draw(int trial)
{
    atn_rng r = atn_rng_stream(1, "test/dropped", trial, 0);
    double sum = 0;
    drawn d;

    for (int j = 0; j < N; j++) {
        sum += d.p[j] = pow(atn_rng_uniform(&r), 3) + 1e-3;
        d.kept[j] = j == trial % N || atn_rng_uniform(&r) < .4;
        for (int e = 0; e < DV; e++) d.v[j][e] = atn_rng_normal(&r);
    }
    for (int j = 0; j < N; j++) d.p[j] /= sum;
    return d;
}

static double apart(const double *x, const double *y)
{
    return hypot(x[0] - y[0], x[1] - y[1]);
}

/* Brute force: the output of the mask, renormalised and raw, and of all keys. */
static void random_rows(atn_ctx *cx)
{
    (void)cx;
    for (int trial = 0; trial < 300; trial++) {
        const drawn d = draw(trial);
        double m = 0, l1 = 0, o[DV] = {0}, kept[DV] = {0}, mean[DV] = {0},
               raw[DV] = {0}, other[DV] = {0}, diameter = 0, longest = 0,
               zero[DV] = {0}, kl = 0;

        for (int j = 0; j < N; j++) m += d.kept[j] ? d.p[j] : 0;
        for (int j = 0; j < N; j++) {
            l1 += fabs((d.kept[j] ? d.p[j] / m : 0) - d.p[j]);
            if (d.kept[j]) kl += d.p[j] / m * log(1 / m);
            longest = fmax(longest, apart(d.v[j], zero));
            for (int l = 0; l < j; l++)
                diameter = fmax(diameter, apart(d.v[j], d.v[l]));
            for (int e = 0; e < DV; e++) {
                o[e] += d.p[j] * d.v[j][e];
                kept[e] += d.kept[j] ? d.p[j] / m * d.v[j][e] : 0;
                raw[e] += d.kept[j] ? d.p[j] * d.v[j][e] : 0;
                if (!d.kept[j]) other[e] += d.p[j] / (1 - m) * d.v[j][e];
            }
        }
        memcpy(mean, kept, sizeof mean);
        if (m > 1 - 1e-9) continue;
        CHECK_NEAR(BOUND("dropped_mass_weights", m), l1, 1e-12);
        CHECK_NEAR(BOUND("dropped_mass_error", m, apart(mean, other)), apart(kept, o),
                   1e-12);
        CHECK_NEAR(BOUND("dropped_mass_raw", m, apart(other, zero)), apart(raw, o),
                   1e-12);
        CHECK_NEAR(
            BOUND("dropped_mass_gain", m, apart(mean, other), apart(other, zero)),
            pow(apart(kept, o), 2) - pow(apart(raw, o), 2), 1e-12);
        CHECK_LE(apart(kept, o), BOUND("dropped_mass_diameter", m, diameter) + 1e-12);
        CHECK_LE(apart(raw, o), BOUND("dropped_mass_raw_values", m, longest) + 1e-12);
        CHECK_LE(apart(kept, o), BOUND("variation_error", l1 / 2, diameter) + 1e-12);
        CHECK_LE(l1 / 2, BOUND("pinsker", kl) + 1e-12);
    }
}

CHECK_MAIN({"by hand", by_hand}, {"random rows", random_rows})
