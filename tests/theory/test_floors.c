/* tests/theory/test_floors.c -- floors and norms by numbers worked out by hand. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "tests/check.h"
#include "theory/bound.h"

static double at(const char *id, double a, double b, double c)
{
    const atn_bound *const bound = atn_bound_find(id);
    const atn_quantities q = {.x = {a, b, c}};

    CHECK(bound && bound->verified && !bound->in_mean);
    return atn_bound_predict(bound, &q);
}

static double of(const char *id, const double *list, size_t n, double k)
{
    const atn_bound *const bound = atn_bound_find(id);
    const atn_quantities q = {.list = {list}, .n = {n}, .x = {0, k}};

    CHECK(bound != NULL);
    return atn_bound_predict(bound, &q);
}

/* Two rows (.25 .75), (1 0) over two keys: |P|_F^2 = .625 + 1, column sums 1.25 .75,
 * P P' = (.625 .25; .25 1) has eigenvalues .8125 +- .3125, so 1.125 and .5; columns
 * squared 1.0625 .5625, alpha 2.125. */
static void norms(atn_ctx *cx)
{
    const double h2[] = {-log(.625), 0};
    const double srank = 1.625 / 1.125;

    (void)cx;
    CHECK_NEAR(of("square_sum", h2, 2, 0), 1.625, 1e-15);
    CHECK_NEAR(at("norm_least", 2, 2, 0), 1, 1e-15);
    CHECK_NEAR(at("norm_least", 2, 8, 0), .5, 1e-15);
    CHECK_NEAR(at("norm_column", 1.25, 0, 0), sqrt(1.25), 1e-15);
    CHECK_LE(sqrt(1.125), at("norm_column", 1.25, 0, 0));
    CHECK_NEAR(at("norm_sums", 1.25, 1, 0), sqrt(1.25), 1e-15);
    CHECK_NEAR(at("norm_rank", 2, sqrt(1.125), 0), 1.5, 1e-15);
    CHECK_NEAR(at("norm_entry", 3, 0, 0), 3, 0);
    CHECK_NEAR(at("norm_frobenius", 4, 0, 0), 4, 0);
    CHECK_NEAR(at("stable_rank_least", 1.625, 1.25, 0), 1.3, 1e-15);
    CHECK_NEAR(at("stable_rank_most", 1.625, 2, 2), 1.625, 1e-15);
    CHECK_NEAR(at("stable_rank_most", 1.625, 8, 2), 6.5, 1e-15);
    CHECK(srank >= 1.3 && srank <= 1.625);
    CHECK_NEAR(at("square_alpha", 2.125, 0, 0), 2.125, 0);
    /* H = -.25 ln .25 - .75 ln .75: e^-H = sqrt(.5) .75^.75 = .569877, below the squares .625 */
    CHECK_NEAR(at("collision_least", .5623351446188083, 0, 0), sqrt(.5) * pow(.75, .75),
               1e-15);
    CHECK_NEAR(at("collision_most", .75, 0, 0), .75, 0);
    CHECK_NEAR(at("output_frobenius", 2, 3, 0), 6, 0);
    CHECK_NEAR(at("output_operator", 2, 5, 0), 10, 0);
    CHECK_NEAR(at("output_max", .5, 3, 0), 1.5, 0);
    CHECK(isnan(at("norm_least", -1, 2, 0)));
    CHECK(isnan(at("norm_least", 1, 0, 0)));
}

static void one_kind(atn_ctx *cx)
{
    (void)cx;
    CHECK_NEAR(at("rank_floor", 1, 4, 0), .75, 1e-15);
    CHECK_NEAR(at("rank_floor", 9, 4, 0), 0, 0);
    CHECK_NEAR(at("rank_needed", .6, 10, 0), 6.4, 1e-14);
    CHECK(isnan(at("rank_needed", 1.5, 10, 0)));
    CHECK_NEAR(at("entries_floor", 3, 12, 0), .75, 1e-15);
    /* (.5 .3 .2): squares .38, one entry leaves .13 of it, as the bound says */
    CHECK_NEAR(at("row_entries_floor", 1, .5, -log(.38)), .13 / .38, 1e-14);
    CHECK_NEAR(at("row_entries_floor", 2, .5, -log(.38)), 0, 0);
}

/* Blocks (3, 1), (2, 2) and (1) of rank 0: squares 9 4 4 1 1, two entries take 9 and 4;
 * of rank 1 the tails are 1 and 4. */
static void both_kinds(atn_ctx *cx)
{
    const double none[] = {9, 4, 4, 1, 1}, one[] = {4, 1}, wrong[] = {1, 4};

    (void)cx;
    CHECK_NEAR(of("sparse_lowrank_floor", none, 5, 0), 19, 0);
    CHECK_NEAR(of("sparse_lowrank_floor", none, 5, 2), 6, 0);
    CHECK_NEAR(of("sparse_lowrank_floor", none, 5, 9), 0, 0);
    CHECK_NEAR(of("sparse_lowrank_floor", one, 2, 1), 1, 0);
    CHECK_NEAR(of("sparse_lowrank_floor", NULL, 0, 1), 0, 0);
    CHECK(isnan(of("sparse_lowrank_floor", wrong, 2, 1)));
}

/* diag(2, 2, 1) and all choices of one entry: with rank 1 nothing leaves less than 1,
 * which diag(0, 2, 0) + diag(2, 0, 0) reaches; the floor of one block says the same. */
static void a_floor_that_is_reached(atn_ctx *cx)
{
    const double tail[] = {4, 1};

    (void)cx;
    CHECK_NEAR(of("sparse_lowrank_floor", tail, 2, 1), 1, 0);
}

CHECK_MAIN({"norms", norms}, {"one kind", one_kind}, {"both kinds", both_kinds},
           {"a floor that is reached", a_floor_that_is_reached})
