/* The fixtures themselves, and static patterns as methods. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "tests/approx/zoo.h"

/* Dense outputs of both fixtures as the card has them. */
static void fixtures_are_those_of_the_card(atn_ctx *cx)
{
    double w[24];
    zoo z;

    (void)cx;
    zoo_first(&z);
    zoo_dense(&z, 0, 6, w);
    CHECK_NEAR(zoo_output(&z, 0, w), 3.015184, 1e-6);
    zoo_dense(&z, 0, 7, w);
    CHECK_NEAR(zoo_output(&z, 0, w), 3.294745, 1e-6);
    zoo_free(&z);
    zoo_second(&z);
    zoo_dense(&z, 0, 23, w);
    CHECK_NEAR(zoo_output(&z, 0, w), 11.411265, 1e-6);
    zoo_dense(&z, 1, 23, w);
    CHECK_NEAR(zoo_output(&z, 1, w), 12.000670, 1e-6);
    zoo_causal(&z, false);
    zoo_dense(&z, 0, 5, w);
    CHECK_NEAR(zoo_output(&z, 0, w), 11.105678, 1e-6);
    zoo_free(&z);
}

static void static_patterns_are_methods(atn_ctx *cx)
{
    zoo z;

    zoo_first(&z);
    zoo_golden(cx, &z, "stream:sink=1,window=3", 0, 7, "0,5-7", .690788, 3.848321);
    zoo_golden(cx, &z, "causal", 0, 7, "0-7", 1, 3.294745);
    zoo_golden(cx, &z, "full", 0, 6, "0-6", 1, 3.015184);
    zoo_free(&z);
}

CHECK_MAIN({"fixtures", fixtures_are_those_of_the_card},
           {"static patterns", static_patterns_are_methods})
