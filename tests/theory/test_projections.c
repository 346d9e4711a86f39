/* Bounds of projections, landmarks and codes: by hand, and by sums over all draws that
 * there are. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "check.h"

#include "theory/bound.h"

static double predict(const char *id, const atn_quantities *q)
{
    const atn_bound *b = atn_bound_find(id);

    CHECK(b);
    return atn_bound_predict(b, q);
}

/* P = 1 of n = 3: |P|_F^2 = 3; w = (2, 1, 2). (3 * 9 + 9) / 2. */
static void golden(atn_ctx *cx)
{
    (void)cx;
    CHECK_NEAR(predict("linformer_moment", &(atn_quantities){.x = {sqrt(3), 3, 3, 2}}),
               18, 1e-13);
    CHECK_NEAR(predict("inner_product_moment", &(atn_quantities){.x = {3, 2, -4, 5}}),
               (9 * 4 + 16) / 5.0, 1e-13);
    /* eps^2 - eps^3 = 1/8 at eps = 1/2: ln n = 8, k = 5 * 8 * 8 */
    CHECK_NEAR(predict("linformer_relative", &(atn_quantities){.x = {10, exp(8), 320}}),
               5, 1e-9);
    CHECK(isnan(
        predict("linformer_relative", &(atn_quantities){.x = {10, exp(8), 269}})));
    /* 3, then 4: a tail of 5 */
    CHECK_NEAR(predict("nystrom_floor", &(atn_quantities){.x = {0, 1},
                                                          .list = {(double[]){9, 4, 3}},
                                                          .n = {3}}),
               5, 1e-14);
    CHECK_NEAR(predict("nystrom_floor", &(atn_quantities){.x = {0, 3},
                                                          .list = {(double[]){9, 4, 3}},
                                                          .n = {3}}),
               0, 0);
    CHECK_NEAR(predict("hamming_distance", &(atn_quantities){.x = {.05, 8}}),
               sqrt(log(40) / 16), 1e-14);
}

/* The law holds for any entries of mean 0, variance 1 and fourth moment 3: those of
 * chance 1/6 at +-sqrt 3, else 0. k = 1, n = 3: all 27 draws by their chances. */
static void mean_over_every_draw(atn_ctx *cx)
{
    static const double p[2][3] = {{.2, .5, .3}, {.7, .1, .2}}, w[3] = {1, -2, .5};
    static const double value[3] = {-1.7320508075688772, 0, 1.7320508075688772};
    static const double chance[3] = {1 / 6., 2 / 3., 1 / 6.};
    double frobenius = 0, length = 0, product = 0, mean = 0, inner = 0;

    (void)cx;
    for (int e = 0; e < 6; e++) frobenius += p[e / 3][e % 3] * p[e / 3][e % 3];
    for (int j = 0; j < 3; j++) length += w[j] * w[j];
    for (int draw = 0; draw < 27; draw++) {
        const int at[3] = {draw % 3, draw / 3 % 3, draw / 9};
        double rw = 0, by = 1;

        for (int j = 0; j < 3; j++) {
            rw += value[at[j]] * w[j];
            by *= chance[at[j]];
        }
        for (int i = 0; i < 2; i++) {
            double off = 0, pw = 0;

            for (int j = 0; j < 3; j++) {
                off += p[i][j] * value[at[j]] * rw;
                pw += p[i][j] * w[j];
            }
            mean += by * (off - pw) * (off - pw);
            if (i == 0) inner += by * (off - pw) * (off - pw);
            if (draw == 0) product += pw * pw;
        }
    }
    CHECK_NEAR(predict("linformer_moment",
                       &(atn_quantities){
                           .x = {sqrt(frobenius), sqrt(length), sqrt(product), 1}}),
               mean, 1e-12);
    /* one row is an inner product: .38 and 5.25, <x, y> = .2 - 1 + .15 */
    CHECK_NEAR(predict("inner_product_moment",
                       &(atn_quantities){.x = {sqrt(.38), sqrt(length), -.65, 1}}),
               inner, 1e-12);
}

/* The scalar iteration z <- z (13 - x (15 - x (7 - x))) / 4, x = a z, written out. */
static void residuals(atn_ctx *cx)
{
    static const double way[] = {.999, .997, .989, .966, .895, .697, .313};

    (void)cx;
    for (int k = 0; k <= 6; k++)
        CHECK_NEAR(predict("nystrom_residual", &(atn_quantities){.x = {.999, k}}),
                   way[k], 5.1e-4);
    for (double a = .05; a < 1; a += .1) {
        double z = a;

        for (int k = 0; k < 5; k++) {
            CHECK_NEAR(
                predict("nystrom_residual", &(atn_quantities){.x = {1 - a * a, k}}),
                1 - a * z, 1e-12);
            z *= (13 - a * z * (15 - a * z * (7 - a * z))) / 4;
        }
    }
}

/* Hoeffding against the exact chance of a binomial of 12 bits: never less. */
static void binomial_tails(atn_ctx *cx)
{
    (void)cx;
    for (double p = .1; p < .95; p += .2)
        for (double eta = .02; eta < .6; eta += .07) {
            const double most =
                predict("hamming_distance", &(atn_quantities){.x = {eta, 12}});
            double tail = 0, choose = 1;

            for (int k = 0; k <= 12; k++) {
                if (fabs(k / 12.0 - p) >= most)
                    tail += choose * pow(p, k) * pow(1 - p, 12 - k);
                choose *= (12.0 - k) / (k + 1);
            }
            CHECK_LE(tail, predict("hamming_tail", &(atn_quantities){.x = {eta, 12}}));
        }
}

CHECK_MAIN({"golden", golden}, {"mean over every draw", mean_over_every_draw},
           {"residuals", residuals}, {"binomial tails", binomial_tails})
