/* V6: what is predicted of stored weights, by hand. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "check.h"

#include "theory/bound.h"

static double predict(const char *id, atn_quantities q)
{
    const atn_bound *b = atn_bound_find(id);

    CHECK(b);
    return atn_bound_predict(b, &q);
}

/* u = 2^-24: 2 u 8 (4 + 2); 1e-5 + 2^-8; delta = 2^9 (16 + 16) u = 2^-10. */
static void golden(atn_ctx *cx)
{
    const double u = 1.0 / (1 << 24);

    (void)cx;
    CHECK_NEAR(predict("log_rank_rounding", (atn_quantities){.x = {8, 16, 4}}), 96 * u,
               1e-18);
    CHECK_NEAR(predict("log_rank_rounding", (atn_quantities){.x = {.1, 16, 4}}), 12 * u,
               1e-18);
    CHECK_NEAR(predict("stored_rows", (atn_quantities){.x = {0}}), 1e-5, 1e-20);
    CHECK_NEAR(predict("stored_rows", (atn_quantities){.x = {1. / 256}}),
               1e-5 + 1. / 256, 1e-17);
    CHECK_NEAR(predict("stored_softmax", (atn_quantities){.x = {512, 16, 48, 0}}),
               2. / 1024 + 64 * u, 1e-17);
    CHECK_NEAR(
        predict("stored_softmax", (atn_quantities){.x = {512, 16, 48, 1. / 256}}),
        2 * (1. / 1024 + 4) + 64 * u + 1. / 256, 1e-15);
}

CHECK_MAIN({"golden", golden})
