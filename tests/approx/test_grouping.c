/* Groups written one after the other, orders by label, unit rows. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "approx/grouping.h"
#include "tests/check.h"

static void grow_beyond_their_room(atn_ctx *cx)
{
    static const int32_t rows[] = {4, 2, 9}, keys[] = {7, 1};
    atn_branch b = {0};
    atn_plan p = {0};
    atn_grouping g;

    CHECK_OK(atn_grouping_open(cx, &(atn_grouping_size){0, 0, 0, true}, "test", &g));
    for (int k = 0; k < 50; k++) {
        CHECK_OK(atn_grouping_begin(cx, &g));
        CHECK_OK(atn_grouping_rows(cx, &g, rows, k % 4));
        CHECK_OK(atn_grouping_keys(cx, &g, keys, 2, 0));
        CHECK_OK(atn_grouping_keys(cx, &g, keys + 1, k % 2, -1.5));
    }
    atn_grouping_finish(cx, &g, &b);
    CHECK_EQ(b.parts, 1);
    CHECK_EQ(g.g.n, 0);
    for (int k = 0; k < 50; k++) {
        const atn_groups *got = &b.part[0].groups;
        const int64_t r = got->row_ptr[k], e = got->key_ptr[k];

        CHECK_EQ(got->row_ptr[k + 1] - r, k % 4);
        for (int x = 0; x < k % 4; x++) CHECK_EQ(got->row[r + x], rows[x]);
        CHECK_EQ(got->key_ptr[k + 1] - e, 2 + k % 2);
        CHECK(got->key[e] == 7 && got->key[e + 1] == 1);
        CHECK(got->log_weight[e] == 0 && got->log_weight[e + 1] == 0);
        if (k % 2) CHECK(got->key[e + 2] == 1 && got->log_weight[e + 2] == -1.5f);
    }
    p.branch[0] = b;
    atn_plan_release(cx, &p);
}

/* Without a group there is no part; what is over the limit is refused by name. */
static void nothing_and_too_much(atn_ctx *cx)
{
    atn_branch b = {0};
    atn_grouping g;

    CHECK_OK(atn_grouping_open(cx, &(atn_grouping_size){3, 5, 7, false}, "test", &g));
    atn_grouping_finish(cx, &g, &b);
    CHECK_EQ(b.parts, 0);
    cx->mem_limit = 1 << 20;
    CHECK_FAILS(atn_grouping_open(cx, &(atn_grouping_size){10, 1 << 20, 1 << 20, false},
                                  "the chunks", &g),
                ATN_MEMORY, "the chunks");
}

static void orders_are_stable(atn_ctx *cx)
{
    static const int32_t label[] = {3, 0, 3, 1, 0, 2147483647, 1};
    static const int32_t wanted[] = {1, 4, 3, 6, 0, 2, 5};
    int32_t order[7];

    CHECK_OK(atn_label_order(cx, label, 7, order));
    for (int e = 0; e < 7; e++) CHECK_EQ(order[e], wanted[e]);
    CHECK_OK(atn_label_order(cx, label, 0, order));
}

static void rows_of_length_one(atn_ctx *cx)
{
    static const float x[] = {3, -4, 0, 0, 1e-30f, 0};
    float unit[6];

    (void)cx;
    atn_unit_rows((atn_cmat){x, 3, 2, 2}, unit);
    CHECK_NEAR(unit[0], .6, 1e-7);
    CHECK_NEAR(unit[1], -.8, 1e-7);
    CHECK(unit[2] == 0 && unit[3] == 0 && unit[4] == 1 && unit[5] == 0);
}

CHECK_MAIN({"grow beyond their room", grow_beyond_their_room},
           {"nothing and too much", nothing_and_too_much},
           {"orders are stable", orders_are_stable},
           {"rows of length one", rows_of_length_one})
