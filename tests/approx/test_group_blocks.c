/* Blocks that a group chooses together, called by itself. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "approx/group_blocks.h"
#include "tests/approx/zoo.h"

static void check_keys(const atn_pattern *p, atn_idx i, const atn_span *want, int n)
{
    atn_span s[16];

    CHECK_EQ(atn_pattern_keys(p, 0, i, s), n);
    for (int k = 0; k < n; k++) CHECK(s[k].lo == want[k].lo && s[k].hi == want[k].hi);
}

/* Second fixture, block 4, k = 3: rows 18 and 23 of the card; scores of one head are 15
 * for each row of a block and one more at the ends of blocks. */
static void golden(atn_ctx *cx)
{
    const atn_group_rule rule = {"test", 4, 3, false};
    atn_group_choice c;
    atn_cmat means;
    zoo z;

    zoo_second(&z);
    CHECK_OK(atn_group_means(cx, &z.head[0], 4, &means));
    CHECK(means.rows == 6 && means.cols == 4);
    /* keys 20 .. 23, coordinate 0: (7 j mod 13 - 6) / 4 = 1, -.5, 1.25, -.25 */
    CHECK_NEAR(means.data[5 * 4], .375, 0);
    CHECK_OK(atn_group_blocks(cx, z.head, 2, &rule, means, &c));
    check_keys(c.pattern, 18, (atn_span[]){{4, 8}, {12, 19}}, 2);
    check_keys(c.pattern, 23, (atn_span[]){{4, 8}, {16, 24}}, 2);
    CHECK_EQ(c.tally.scored, 4 * 15 + 6);
    atn_pattern_destroy(cx, c.pattern);
    zoo_free(&z);
}

/* Head 1 points away from block 0 as much as head 0 points to it, and more weakly to
 * block 1: by itself head 0 keeps block 0, together they keep block 1. */
static void the_group_decides(atn_ctx *cx)
{
    static const float key[] = {1, 0, 1, 0, 0, 1, 0, 1, 0, 0, 0, 0};
    static const float query[2][2] = {{3, 1}, {-3, 2}};
    const atn_group_rule rule = {"test", 2, 2, false};
    atn_group_choice one, both;
    atn_cmat means;
    zoo z;

    zoo_shape(&z, 2, 2, 6, 6, 2, 1);
    memcpy(z.k, key, sizeof key);
    for (int h = 0; h < 2; h++)
        for (int i = 0; i < 6; i++)
            memcpy(z.q + (h * 6 + i) * 2, query[h], sizeof query[h]);
    CHECK_OK(atn_group_means(cx, &z.head[0], 2, &means));
    CHECK_OK(atn_group_blocks(cx, z.head, 1, &rule, means, &one));
    CHECK_OK(atn_group_blocks(cx, z.head, 2, &rule, means, &both));
    check_keys(one.pattern, 4, (atn_span[]){{0, 2}, {4, 5}}, 2);
    check_keys(both.pattern, 4, (atn_span[]){{2, 5}}, 1);
    atn_pattern_destroy(cx, one.pattern);
    atn_pattern_destroy(cx, both.pattern);
    zoo_free(&z);
}

CHECK_MAIN({"golden", golden}, {"the group decides", the_group_decides})
