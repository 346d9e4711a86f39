/* The method that newcomers copy does what it says. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "tests/approx/zoo.h"

extern const atn_method atn_method_template;

static void nearest_rows_are_those_of_a_window(atn_ctx *cx)
{
    const int64_t k = 3;
    double w[12], want[12];
    atn_plan plan = {.tile_rows = 1, .tile_keys = 1};
    zoo z;

    zoo_random(&z, 1, 1, 9, 12, 5);
    CHECK_OK(atn_method_template.plan(cx, &z.in, &k, 0, 1, &plan));
    CHECK_OK(atn_plan_check(cx, &z.head[0], &plan));
    for (atn_idx i = 0; i < 9; i++) {
        CHECK_OK(atn_plan_rows(cx, &z.head[0], &plan, i, 1, w));
        zoo_row(cx, &z, "window:window=3", 0, i, want);
        for (int j = 0; j < 12; j++) CHECK_NEAR(w[j], want[j], 1e-12);
    }
    atn_plan_release(cx, &plan);
    zoo_free(&z);
}

CHECK_MAIN({"nearest rows", nearest_rows_are_those_of_a_window})
