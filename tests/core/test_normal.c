/* Quantiles of the normal distribution, against its error function. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "check.h"

#include "core/normal.h"

static void quantiles(atn_ctx *cx)
{
    (void)cx;
    CHECK_NEAR(atn_normal_above(.5), 0, 1e-15);
    CHECK_NEAR(atn_normal_above(.025), 1.959963984540054, 1e-12); /* of tables */
    for (double p = 1e-9; p < 1; p *= 3)
        CHECK_NEAR(erfc(atn_normal_above(p) / sqrt(2)) / 2, p, 1e-12 * p + 1e-16);
    CHECK_NEAR(atn_normal_critical(.001, 1), 3.290526731491894, 1e-10);
    CHECK_NEAR(atn_normal_critical(.001, 0), atn_normal_critical(.001, 1), 0);
    CHECK_NEAR(atn_normal_critical(.001, 100), atn_normal_above(5e-6), 1e-13);
}

CHECK_MAIN({"quantiles", quantiles})
