/* Orders for qsort, and the greatest common divisor. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "core/order.h"

#include <math.h>
#include <stdlib.h>

#include "core/pattern.h"
#include "tests/check.h"

/* By hand; differences of the first and last number do not fit their type. */
static void ascending(atn_ctx *cx)
{
    atn_idx wide[] = {5, INT64_MAX, -1, INT64_MIN, 5};
    int32_t narrow[] = {0, INT32_MAX, INT32_MIN, -7};
    atn_span spans[] = {{9, 10}, {INT64_MIN, 0}, {3, 4}};

    (void)cx;
    qsort(wide, ATN_LEN(wide), sizeof *wide, atn_by_idx);
    CHECK(wide[0] == INT64_MIN && wide[1] == -1 && wide[2] == 5 && wide[3] == 5);
    CHECK(wide[4] == INT64_MAX);
    qsort(narrow, ATN_LEN(narrow), sizeof *narrow, atn_by_int32);
    CHECK(narrow[0] == INT32_MIN && narrow[1] == -7 && narrow[2] == 0);
    qsort(spans, ATN_LEN(spans), sizeof *spans, atn_by_begin);
    CHECK(spans[0].hi == 0 && spans[1].hi == 4 && spans[2].hi == 10);
}

/* Against the definition. */
static void divisors(atn_ctx *cx)
{
    (void)cx;
    CHECK(atn_common_divisor(0, 0) == 0 && atn_common_divisor(0, 6) == 6);
    for (atn_idx a = 0; a < 40; a++)
        for (atn_idx b = 1; b < 40; b++) {
            atn_idx most = 1;

            for (atn_idx c = 2; c < 40; c++)
                if (a % c == 0 && b % c == 0) most = c;
            CHECK_EQ(atn_common_divisor(a, b), most);
        }
}

/* Unsorted numbers are sorted; between them on a line, at the ends them. */
static void quantiles(atn_ctx *cx)
{
    double x[] = {8, 1, 4, 2};

    (void)cx;
    atn_sort(x, 4);
    CHECK_NEAR(atn_quantile(x, 4, .5), 3, 1e-15);
    CHECK_NEAR(atn_quantile(x, 4, .9), 6.8, 1e-15);
    CHECK_NEAR(atn_quantile(x, 4, 1), 8, 0);
    CHECK_NEAR(atn_quantile(x, 1, .05), 1, 0);
    CHECK(isnan(atn_quantile(x, 0, .5)));
}

CHECK_MAIN({"ascending", ascending}, {"divisors", divisors}, {"quantiles", quantiles})
