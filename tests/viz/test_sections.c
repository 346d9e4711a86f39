/* tests/viz/test_sections.c -- layers of stacks and steps are found, ordered and named. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "viz/drawn.h"

#include "viz/sections.h"

/* Rows in no order: groups as they appear, layers ascending in each. */
static void groups_and_layers(atn_ctx *cx)
{
    atn_table *t = drawn_table(cx, "stack,layer,head\nencoder,5,1\ncross,2,0\n"
                                   "encoder,0,3\ncross,0,0\nencoder,5,0\n");
    static const int of[] = {1, 3, 0, 2, 1};
    static const char *const name[] = {"encoder\xc2\xa0"
                                       "0",
                                       "encoder\xc2\xa0"
                                       "5",
                                       "cross\xc2\xa0"
                                       "0",
                                       "cross\xc2\xa0"
                                       "2"};
    atn_sections s;

    CHECK(atn_sections_check(t) == NULL);
    CHECK_OK(atn_sections_find(cx, t, &s));
    CHECK_EQ(s.n, 4);
    CHECK_EQ(s.groups, 2);
    CHECK_EQ(s.heads, 4);
    for (int r = 0; r < 5; r++) CHECK_EQ(s.of[r], of[r]);
    for (int i = 0; i < 4; i++) {
        CHECK_STR(s.name[i], name[i]);
        CHECK_EQ(s.group[i], i / 2);
    }
    CHECK_STR(s.group_name[1], "cross");
    CHECK_STR(s.axis, "layer");
    atn_table_destroy(cx, t);
}

/* Groups of a table without layers; layers of one without heads. */
static void groups_alone(atn_ctx *cx)
{
    atn_table *t = drawn_table(cx, "stack,step,layer_a\nb,3,1\na,3,1\nb,4,0\nb,3,0\n");
    static const int of[] = {0, 1, 2, 0};
    atn_sections s;

    CHECK_OK(atn_groups_find(cx, t, &s));
    CHECK_EQ(s.groups, 3);
    CHECK_EQ(s.n, 3);
    for (int r = 0; r < 4; r++) CHECK_EQ(s.of[r], of[r]);
    CHECK_STR(s.group_name[1], "a, step 3");
    atn_table_destroy(cx, t);
    t = drawn_table(cx, "layer,x\n2,1\n0,1\n");
    CHECK_OK(atn_sections_find(cx, t, &s));
    CHECK_EQ(s.of[0], 1);
    CHECK_EQ(s.heads, 1);
    atn_table_destroy(cx, t);
}

static void steps_have_names(atn_ctx *cx)
{
    atn_table *t = drawn_table(cx, "step,layer,head\n7,1,0\n12,1,0\n");
    atn_sections s;

    CHECK_OK(atn_sections_find(cx, t, &s));
    CHECK_EQ(s.n, 2);
    CHECK_STR(s.name[1], "12.1");
    CHECK_STR(s.group_name[0], "step 7");
    CHECK_STR(s.axis, "step.layer");
    atn_table_destroy(cx, t);
    t = drawn_table(cx, "layer,head\n11,0\n");
    CHECK_OK(atn_sections_find(cx, t, &s));
    CHECK_STR(s.name[0], "11");
    CHECK_STR(s.group_name[0], "");
    atn_table_destroy(cx, t);
}

static void refusals(atn_ctx *cx)
{
    static const char *const bad[][2] = {{"layer,head\n", "no rows"},
                                         {"layer,x\n1,2\n", "layer and head"},
                                         {"layer,head\n1.5,2\n", "layer and head"},
                                         {"layer,head\n1,-1\n", "outside 0 .. 4095"},
                                         {"layer,head\n1,4096\n", "outside 0 .. 4095"}};
    atn_table *t;
    atn_sections s;

    for (size_t i = 0; i < ATN_LEN(bad); i++) {
        t = drawn_table(cx, bad[i][0]);
        CHECK(atn_sections_check(t) && strstr(atn_sections_check(t), bad[i][1]));
        atn_table_destroy(cx, t);
    }
    CHECK_OK(atn_table_create(cx, "t", &t));
    CHECK_OK(atn_table_add_col(cx, t, "layer", ATN_COL_I64, "", "", NULL));
    CHECK_OK(atn_table_add_col(cx, t, "head", ATN_COL_I64, "", "", NULL));
    for (int i = 0; i <= ATN_SECTIONS_MAX; i++) {
        CHECK_OK(atn_table_add_row(cx, t));
        atn_table_set_i64(t, 0, i);
    }
    CHECK_FAILS(atn_sections_find(cx, t, &s), ATN_USAGE, "4096 layers");
    atn_table_destroy(cx, t);
}

CHECK_MAIN({"groups and layers", groups_and_layers}, {"groups alone", groups_alone},
           {"steps have names", steps_have_names}, {"refusals", refusals})
