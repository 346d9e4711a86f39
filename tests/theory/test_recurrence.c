/* Identities and bounds of recurrences: by hand, and merging by brute force. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "check.h"

#include "theory/bound.h"

static double predict(const char *id, const atn_quantities *q)
{
    const atn_bound *b = atn_bound_find(id);

    CHECK(b);
    return atn_bound_predict(b, q);
}

static void golden(atn_ctx *cx)
{
    const atn_quantities merged = {.x = {.25, .5, 1, 2, 4, 1}};
    const atn_quantities turned = {.x = {.25, .5, 1, 2, .5, 1}};
    atn_quantities far = {.x = {3, log(2), 1}};

    (void)cx;
    CHECK_NEAR(predict("merge_error", &merged), 1.75, 1e-15);
    CHECK_NEAR(predict("merge_error", &turned), 1.75, 1e-15); /* .25 + 1.5 + .125 */
    CHECK_NEAR(predict("decay_cut", &far), 1.5, 1e-14);
    CHECK_NEAR(predict("decay_sum", &(atn_quantities){.x = {3, log(2)}}), 6, 1e-14);
    CHECK(isnan(predict("decay_sum", &(atn_quantities){.x = {3, 0}})));
    CHECK_NEAR(predict("titans_stable", &(atn_quantities){.x = {.5, 4}}), .375, 1e-15);
    far.x[1] = 0;
    CHECK(isnan(predict("decay_cut", &far)));
    CHECK_NEAR(predict("scan_prefix", &(atn_quantities){.x = {-3.5}}), -3.5, 0);
}

/* Two numbers for two parts, all combinations of errors: never beyond, and met. */
static void merging_by_brute_force(atn_ctx *cx)
{
    double closest = INFINITY;

    (void)cx;
    for (int c = 0; c <= 4; c++)
        for (int t = 0; t <= 4; t++)
            for (int e = 0; e < 81; e++) {
                const double share = c / 4., taken = t / 4.;
                const double o1 = e % 3 - 1, o2 = 2 * (e / 3 % 3);
                const double got1 = o1 + e / 9 % 3 - 1, got2 = o2 + e / 27 - 1;
                const double error = fabs(taken * got1 + (1 - taken) * got2 -
                                          share * o1 - (1 - share) * o2);
                const atn_quantities q = {.x = {share, taken, fabs(got1 - o1),
                                                fabs(got2 - o2), fabs(got1 - got2),
                                                fabs(o1 - o2)}};
                const double most = predict("merge_error", &q);

                CHECK_LE(error, most + 1e-12);
                if (error > 0) closest = fmin(closest, most - error);
            }
    CHECK_NEAR(closest, 0, 1e-12);
}

/* The sum of the tail itself. */
static void tails(atn_ctx *cx)
{
    (void)cx;
    for (int w = 0; w < 5; w++)
        for (int l = 1; l < 4; l++) {
            const atn_quantities q = {.x = {2, .3 * l, w}};
            double sum = 0;

            for (int j = w + 1; j < 2000; j++) sum += 2 * exp(-.3 * l * j);
            CHECK_NEAR(predict("decay_cut", &q), sum, 1e-12);
        }
}

CHECK_MAIN({"golden", golden}, {"merging by brute force", merging_by_brute_force},
           {"tails", tails})
