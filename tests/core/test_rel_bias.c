/* tests/core/test_rel_bias.c -- buckets of distances, and the tables made of them. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "check.h"

#include "core/rel_bias.h"

/* Numbers of transformers 5 at 32 buckets to 128, x = key - query. */
static void buckets_by_the_model(atn_ctx *cx)
{
    static const int encoder[][2] = {{-200, 15}, {-64, 14}, {-16, 10}, {-8, 8},
                                     {-7, 7},    {0, 0},    {1, 17},   {8, 24},
                                     {16, 26},   {64, 30},  {128, 31}},
                     decoder[][2] = {{1, 0},    {-15, 15}, {-16, 16},
                                     {-32, 21}, {-64, 26}, {-127, 31}};
    const atn_rel_rule both = {32, 128, true}, one = {32, 128, false};

    (void)cx;
    for (size_t i = 0; i < ATN_LEN(encoder); i++)
        CHECK_EQ(atn_rel_bucket(&both, encoder[i][0]), encoder[i][1]);
    for (size_t i = 0; i < ATN_LEN(decoder); i++)
        CHECK_EQ(atn_rel_bucket(&one, decoder[i][0]), decoder[i][1]);
}

/* The smallest distance of each logarithmic bucket. */
static void where_buckets_begin(atn_ctx *cx)
{
    static const int encoder[] = {8, 12, 16, 23, 32, 46, 64, 91},
                     decoder[] = {16, 19, 21, 24, 27, 31, 35, 40,
                                  46, 52, 59, 67, 77, 87, 99, 113};
    const atn_rel_rule both = {32, 128, true}, one = {32, 128, false};

    (void)cx;
    for (int b = 0; b < 8; b++) {
        CHECK_EQ(atn_rel_bucket(&both, -encoder[b]), 8 + b);
        CHECK_EQ(atn_rel_bucket(&both, 1 - encoder[b]), 7 + b);
        CHECK_EQ(atn_rel_bucket(&both, encoder[b]), 24 + b);
    }
    for (int b = 0; b < 16; b++) {
        CHECK_EQ(atn_rel_bucket(&one, -decoder[b]), 16 + b);
        CHECK_EQ(atn_rel_bucket(&one, 1 - decoder[b]), 15 + b);
    }
}

/* Float32, as models compute it, and double give the same bucket; every bucket lies in
 * the table and farther keys never have a lower one. */
static void buckets_against_double(atn_ctx *cx)
{
    static const atn_rel_rule rules[] = {
        {32, 128, true}, {32, 128, false}, {2, 3, false}, {4, 2, true}, {16, 40, true}};

    (void)cx;
    for (size_t i = 0; i < ATN_LEN(rules); i++) {
        const atn_rel_rule r = rules[i];
        const int n = (int)(r.bidirectional ? r.buckets / 2 : r.buckets), m = n / 2;
        int last = 0;

        CHECK(!atn_rel_check(&r));
        for (int d = 0; d < 2000; d++) {
            const int got = (int)atn_rel_bucket(&r, -d);
            const double far = m + floor(log((double)d / m) /
                                         log((double)r.max_distance / m) * (n - m));

            CHECK(got >= last && got < n);
            last = got;
            if (i < 2) CHECK_EQ(got, d < m ? d : (int)fmin(far, n - 1));
            CHECK_EQ(atn_rel_bucket(&r, d), d == 0 || !r.bidirectional ? 0 : n + got);
        }
        CHECK_EQ(last, n - 1);
        CHECK(atn_rel_bucket(&r, INT64_MIN / 2) == n - 1);
    }
}

/* Two heads, three queries from position 2 on, four keys: distances -4 to 1. */
static void tables_by_distance(atn_ctx *cx)
{
    const atn_rel_rule r = {4, 8, false}; /* 0 1 | 2 .. 3 | 4 .. */
    const float table[] = {10, -10, 11, -11, 12, -12, 13, -13};
    const float want[] = {13, 12, 12, 11, 10, 10, -13, -12, -12, -11, -10, -10};
    float out[12];

    (void)cx;
    atn_rel_expand(&r, table, 2, 3, 4, 2, out);
    for (int e = 0; e < 12; e++) CHECK_NEAR(out[e], want[e], 0);
    {
        const atn_problem p = {.heads = 2,
                               .kv_heads = 2,
                               .nq = 3,
                               .nk = 4,
                               .rel_bias = out,
                               .sight = {.offset = 2, .key_last = 4}};
        const atn_head h = atn_problem_head(&p, 1);

        CHECK_NEAR(atn_head_bias(&h, 3, 2), -10, 0); /* ahead */
        CHECK_NEAR(atn_head_bias(&h, 3, 4), -11, 0); /* the last query, one back */
        CHECK_NEAR(atn_head_bias(&h, 0, 4), -13, 0);
        CHECK(atn_head_has_bias(&h));
    }
}

static void rules_that_are_none(atn_ctx *cx)
{
    (void)cx;
    CHECK(strstr(atn_rel_check(&(atn_rel_rule){1, 9, false}), "fewer than two"));
    CHECK(strstr(atn_rel_check(&(atn_rel_rule){2, 9, true}), "fewer than two"));
    CHECK(strstr(atn_rel_check(&(atn_rel_rule){7, 9, true}), "odd number"));
    CHECK(strstr(atn_rel_check(&(atn_rel_rule){8, 4, false}), "buckets of their own"));
    CHECK(!atn_rel_check(&(atn_rel_rule){8, 5, false}));
}

CHECK_MAIN({"buckets by the model", buckets_by_the_model},
           {"where buckets begin", where_buckets_begin},
           {"buckets against double", buckets_against_double},
           {"tables by distance", tables_by_distance},
           {"rules that are none", rules_that_are_none})
