/* tests/approx/test_span_rules.c -- the grid of elastic spans, what they keep, and
 * plans of them. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "approx/span_rules.h"
#include "core/rng.h"
#include "tests/check.h"

/* 48 pairs for the lengths of the paper; every one fits, they are in order, and all
 * others that one can name do not fit. */
static void grid_of_rules(atn_ctx *cx)
{
    const atn_span_grid grid = {2048, 8192, 16384};
    atn_span_rule *r = NULL;
    atn_idx n = 0;
    int fit = 0;

    CHECK_OK(atn_span_rules(cx, &grid, &r, &n));
    CHECK_EQ(n, 48);
    for (int alpha = -2048; alpha <= 8192; alpha += 1024)
        for (int beta = 0; beta <= 8; beta++) {
            bool listed = false;
            const bool fits = alpha + beta / 8. * 8192 <= 8192 &&
                              alpha + beta / 8. * 16384 <= 16384 &&
                              alpha + beta / 8. * 2048 > 0;

            for (atn_idx i = 0; i < n; i++)
                listed |= r[i].alpha == alpha && r[i].beta == beta / 8.;
            CHECK_EQ(listed, fits);
            fit += fits;
        }
    CHECK_EQ(fit, 48);
    for (atn_idx i = 1; i < n; i++) {
        const double a = r[i - 1].alpha + r[i - 1].beta * 16384,
                     b = r[i].alpha + r[i].beta * 16384;
        CHECK(a < b || (a == b && r[i - 1].alpha < r[i].alpha));
    }
    /* floor(-1024 / 64) + 3/8 floor(8200 / 64) = -16 + 48; below 1 is 1 */
    CHECK_EQ(atn_span_blocks(&(atn_span_rule){-1024, .375}, 8200), 32);
    CHECK_EQ(atn_span_blocks(&(atn_span_rule){-1000, .5}, 1024), 1); /* -16 + 8 */
    CHECK_EQ(atn_span_blocks(&(atn_span_rule){100, .125}, 1000), 2); /* 1 + 1.875 */
    CHECK_EQ(atn_span_blocks(&(atn_span_rule){-100, .5}, 1024), 6);  /* -2 + 8 */
    atn_free(cx, r);
    /* the longest length may be the shorter one: what is above it goes */
    CHECK_OK(atn_span_rules(cx, &(atn_span_grid){2048, 8192, 4096}, &r, &n));
    for (atn_idx i = 0; i < n; i++) CHECK_LE(r[i].alpha + r[i].beta * 4096, 4096);
    CHECK_LE(1, n);
    CHECK_LE(n, 47);
    atn_free(cx, r);
}

/* Kept blocks counted one by one from the rule's mask. */
static bool in_mask(atn_idx a, atn_idx k, atn_idx b, bool causal)
{
    return k == 0 || (causal ? k <= a && a - k < b : llabs(a - k) < b);
}

static void kept_against_masks(atn_ctx *cx)
{
    enum { N = 9 };
    double influence[N * N], kept[N];
    atn_rng r = atn_rng_stream(3, "test/moa/kept", 0, 0);

    (void)cx;
    for (int causal = 0; causal < 2; causal++) {
        double all = 0;

        for (int i = 0; i < N * N; i++) {
            influence[i] = causal && i % N > i / N ? 0 : atn_rng_uniform(&r);
            all += influence[i];
        }
        CHECK_NEAR(atn_span_profile(influence, N, N, causal, kept), all, 1e-9);
        for (atn_idx b = 1; b <= N; b++) {
            double sum = 0;
            atn_idx most = 0;

            for (atn_idx a = 0; a < N; a++) {
                atn_idx row = 0;
                for (atn_idx k = 0; k < N; k++) {
                    if (!in_mask(a, k, b, causal)) continue;
                    sum += influence[a * N + k];
                    row++;
                }
                most = ATN_MAX(most, row);
            }
            CHECK_NEAR(kept[b - 1], sum / all, 1e-12);
            CHECK_EQ(atn_span_kept(b, N, causal), most);
        }
        CHECK_NEAR(kept[N - 1], 1, 1e-12);
    }
    memset(influence, 0, sizeof influence);
    CHECK_NEAR(atn_span_profile(influence, N, N, true, kept), 0, 0);
}

/* All 4^3 assignments of 4 rules to 3 heads, those with at most `limit` different
 * ones; of equal losses the cheaper, then the one that is first as a list. */
static double brute(const atn_span_task *t, atn_idx *pick)
{
    double best = INFINITY, best_cost = 0;

    for (int code = 0; code < 64; code++) {
        const int at[3] = {code / 16, code / 4 % 4, code % 4};
        bool used[4] = {false, false, false, false};
        double loss = 0, cost = 0;

        for (int u = 0; u < 3; u++) {
            used[at[u]] = true;
            loss += t->loss[u * 4 + at[u]];
            cost += (double)t->cost[at[u]];
        }
        if (cost > t->budget) continue;
        if (t->limit && used[0] + used[1] + used[2] + used[3] > t->limit) continue;
        if (loss > best || (loss == best && cost >= best_cost)) continue;
        best = loss;
        best_cost = cost;
        for (int u = 0; u < 3; u++) pick[u] = at[u];
    }
    return best;
}

static void plan_against_brute_force(atn_ctx *cx)
{
    atn_rng r = atn_rng_stream(4, "test/moa/plan", 0, 0);

    for (int trial = 0; trial < 600; trial++) {
        const bool whole = trial % 2; /* small integers: ties, without rounding */
        double loss[12], got = 0, cost = 0;
        atn_idx costs[4], pick[3], want[3];
        atn_span_task t = {.units = 3,
                           .choices = 4,
                           .loss = loss,
                           .cost = costs,
                           .limit = trial % 3,
                           .budget = (double)atn_rng_below(&r, 34) - .5};
        bool found = false;

        costs[0] = 1 + atn_rng_below(&r, 3);
        for (int c = 1; c < 4; c++) costs[c] = costs[c - 1] + 1 + atn_rng_below(&r, 3);
        for (int u = 0; u < 3; u++) {
            double left = 1 + 4 * atn_rng_uniform(&r);

            for (int c = 0; c < 4; c++) {
                loss[u * 4 + c] = whole ? (double)atn_rng_below(&r, 4) : left;
                left *= atn_rng_uniform(&r);
            }
        }
        CHECK_OK(atn_span_plan(cx, &t, pick, &found));
        CHECK_EQ(found, isfinite(brute(&t, want)));
        if (!found) continue;
        for (int u = 0; u < 3; u++) {
            got += loss[u * 4 + pick[u]];
            cost += (double)costs[pick[u]];
            if (t.limit == 0) CHECK_EQ(pick[u], want[u]);
        }
        CHECK_LE(cost, t.budget);
        CHECK_NEAR(got, brute(&t, want), 1e-9);
    }
}

/* By hand: losses 9 4 0, 9 5 3 and 9 9 1 at costs 1, 2 and 3, of which 6 may be
 * spent. */
static void any_number_of_rules(atn_ctx *cx)
{
    const double loss[] = {9, 4, 0, 9, 5, 3, 9, 9, 1};
    const atn_idx cost[] = {1, 2, 3};
    atn_span_task t = {
        .units = 3, .choices = 3, .loss = loss, .cost = cost, .budget = 6, .limit = 0};
    atn_idx pick[3];
    bool found;

    CHECK_OK(atn_span_plan(cx, &t, pick,
                           &found)); /* 4 + 9 + 1; so is 0 + 5 + 9, later as a list */
    CHECK(found && pick[0] == 1 && pick[1] == 0 && pick[2] == 2);
    t.limit = 2;
    CHECK_OK(atn_span_plan(
        cx, &t, pick,
        &found)); /* 4 + 5 + 9 at a cost of 5; as 0 + 9 + 9, of later choices */
    CHECK(found && pick[0] == 1 && pick[1] == 1 && pick[2] == 0);
    t.budget = 2;
    CHECK_OK(atn_span_plan(cx, &t, pick, &found));
    CHECK(!found);
    t.limit = 0;
    CHECK_OK(atn_span_plan(cx, &t, pick, &found));
    CHECK(!found);
    t.budget = 1e9; /* no more memory than there is to spend on */
    CHECK_OK(atn_span_plan(cx, &t, pick, &found));
    CHECK(found && pick[0] == 2 && pick[1] == 2 && pick[2] == 2);
    t.units = 0;
    CHECK_OK(atn_span_plan(cx, &t, pick, &found));
    cx->mem_limit = 1;
    t.units = 3;
    CHECK_FAILS(atn_span_plan(cx, &t, pick, &found), ATN_MEMORY, "a plan of spans");
    cx->mem_limit = 0;
}

/* At 1000 tokens (15 whole blocks) spans of 1, 2 and 9 blocks and one beyond the
 * text. */
static void choices_by_blocks(atn_ctx *cx)
{
    const atn_span_rule rules[] = {{2000, 0}, {64, 0}, {100, .125},
                                   {-40, 0},  {0, .6}, {70, .125}};
    const atn_span_rule *choice[15];

    (void)cx;
    CHECK_EQ(atn_span_choices(rules, 6, 1000, 15, choice), 4);
    CHECK(choice[0] == &rules[1] && choice[1] == &rules[2] && choice[2] == &rules[4] &&
          choice[3] == &rules[0]);
}

static void grids_are_checked(atn_ctx *cx)
{
    CHECK_OK(atn_span_grid_check(cx, "x", &(atn_span_grid){2048, 8192, 16384}));
    CHECK_FAILS(atn_span_grid_check(cx, "x", &(atn_span_grid){4096, 2048, 8192}),
                ATN_USAGE,
                "x: shortest=4096, profile=2048 and longest=8192 must ascend");
    for (int s = 1; s < 1100; s += 99) /* the remedy is one, and none less will do */
        for (int p = s; p < 1100; p += 70) {
            const double least = ATN_MAX(1024 - s, s);
            const atn_span_grid grid = {s, p, p}, mended = {s, least, least};

            CHECK_OK(atn_span_grid_check(cx, "x", &mended));
            if (s + p >= 1024)
                CHECK_OK(atn_span_grid_check(cx, "x", &grid));
            else
                CHECK_FAILS(atn_span_grid_check(cx, "x", &grid), ATN_USAGE,
                            "add up to 1024 at least (give profile=");
        }
}

CHECK_MAIN({"grid of rules", grid_of_rules}, {"kept against masks", kept_against_masks},
           {"plan against brute force", plan_against_brute_force},
           {"any number of rules", any_number_of_rules},
           {"choices by blocks", choices_by_blocks},
           {"grids are checked", grids_are_checked})
