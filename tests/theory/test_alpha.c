/* alpha and the rank of logarithms: where they say something. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "bound_value.h"

static void alpha(atn_ctx *cx)
{
    (void)cx;
    CHECK_NEAR(BOUND("alpha_causal", 512, 1), 512, 0);
    CHECK(isnan(BOUND("alpha_causal", 512, 2)));
    CHECK_NEAR(BOUND("alpha_growth", 64), 64, 0);
    CHECK(!atn_bound_find("alpha_growth")->verified);
    CHECK(atn_bound_find("alpha_causal")->verified);
}

static void log_rank(atn_ctx *cx)
{
    (void)cx;
    CHECK_NEAR(BOUND("log_rank", 33, 34, 0), 1e-6, 0);
    CHECK(isnan(BOUND("log_rank", 33, 33, 0)));
    CHECK(isnan(BOUND("log_rank", 33, 200, 30)));
}

CHECK_MAIN({"alpha", alpha}, {"log rank", log_rank})
