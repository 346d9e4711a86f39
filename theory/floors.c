/* theory/floors.c -- what no approximation of a rank, of so many entries, or of both
 * together can undercut: B7, B8, B9.
 *
 * Math    rank r: |M - R|_F^2 >= sum_{i>r} sigma_i^2 >= |M|_F^2 - r |M|_op^2.
 *         k entries: |M - S|_F^2 >= |M|_F^2 - the k largest squares; of a row of P with
 *         sum of squares e^-H2 the share that is left is at least
 *         1 - k max_j P_ij^2 / e^-H2.
 *         Both: M in blocks M_b, S of k entries, L of rank r. In block b with k_b of the
 *         entries S_b + L_b has rank r + k_b at most, so it leaves the tail of
 *         sigma_i(M_b)^2 beyond r + k_b. That is convex in k_b, so altogether no less is
 *         left than all sigma_i(M_b)^2, i > r, without the k largest of them.
 * Source  Eckart, Young; card "general bounds", B7 to B9.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "theory/bound.h"

#include <math.h>

#define AMOUNT(name, text)                                                             \
    {                                                                                  \
        name, text, false, 0, INFINITY                                                 \
    }
#define QUANTITIES_END                                                                 \
    {                                                                                  \
        NULL, NULL, false, 0, 0                                                        \
    }

/* ---- B7 ---- */

static const atn_quantity rank_of[] = {AMOUNT("rank", "of the approximation"),
                                       AMOUNT("stable_rank", "|M|_F^2 / |M|_op^2"),
                                       QUANTITIES_END};
static const atn_quantity accuracy[] = {
    {"error", "relative Frobenius error", false, 0, 1},
    AMOUNT("stable_rank", "|M|_F^2 / |M|_op^2"),
    QUANTITIES_END};

static double rank_leaves(const atn_quantities *q)
{
    return q->x[1] > 0 ? fmax(1 - q->x[0] / q->x[1], 0) : NAN;
}

static double rank_needed(const atn_quantities *q)
{
    return (1 - q->x[0] * q->x[0]) * q->x[1];
}

const atn_bound atn_bound_rank_floor = {
    .id = "rank_floor",
    .label = "B7",
    .title = "What a rank leaves at least",
    .statement = "|M - R|_F^2 / |M|_F^2 >= 1 - rank / srank M",
    .source = "Eckart, Young; sigma_i <= sigma_1",
    .verified = true,
    .relation = ATN_AT_LEAST,
    .quantities = rank_of,
    .predict = rank_leaves,
};
const atn_bound atn_bound_rank_needed = {
    .id = "rank_needed",
    .label = "B7",
    .title = "The rank that an accuracy takes at least",
    .statement = "rank >= (1 - error^2) srank M",
    .source = "Eckart, Young; sigma_i <= sigma_1",
    .verified = true,
    .relation = ATN_AT_LEAST,
    .quantities = accuracy,
    .predict = rank_needed,
};

/* ---- B8 ---- */

static const atn_quantity entries_of[] = {
    AMOUNT("largest_squares", "sum of the k largest squares of entries"),
    AMOUNT("squares", "sum of all of them"), QUANTITIES_END};
static const atn_quantity row_of[] = {
    AMOUNT("k", "entries of the row"), AMOUNT("largest", "largest weight of the row"),
    AMOUNT("renyi", "its Renyi-2 entropy, nats"), QUANTITIES_END};

static double entries_leave(const atn_quantities *q)
{
    return q->x[1] > 0 ? fmax(1 - q->x[0] / q->x[1], 0) : NAN;
}

static double row_leaves(const atn_quantities *q)
{
    return fmax(1 - q->x[0] * q->x[1] * q->x[1] / exp(-q->x[2]), 0);
}

const atn_bound atn_bound_entries_floor = {
    .id = "entries_floor",
    .label = "B8",
    .title = "What so many entries leave at least",
    .statement = "|M - S|_F^2 / |M|_F^2 >= 1 - (k largest squares) / |M|_F^2",
    .source = "elementary",
    .verified = true,
    .relation = ATN_AT_LEAST,
    .quantities = entries_of,
    .predict = entries_leave,
};
const atn_bound atn_bound_row_entries_floor = {
    .id = "row_entries_floor",
    .label = "B8",
    .title = "What so many entries of a row leave at least",
    .statement = "|P_i - S_i|^2 / |P_i|^2 >= 1 - k max_j P_ij^2 exp(H2_i)",
    .source = "elementary",
    .verified = true,
    .relation = ATN_AT_LEAST,
    .quantities = row_of,
    .predict = row_leaves,
};

/* ---- B9 ---- */

static const atn_quantity tails[] = {
    {"squares", "sigma_i(M_b)^2 of i > rank of all blocks, largest first", true, 0,
     INFINITY},
    AMOUNT("k", "entries in all"),
    QUANTITIES_END};

static bool falls(const atn_quantities *q)
{
    for (size_t i = 1; i < q->n[0]; i++)
        if (q->list[0][i] > q->list[0][i - 1]) return false;
    return true;
}

/* From the smallest up, so that a small tail is no difference of large numbers. */
static double both_leave(const atn_quantities *q)
{
    double sum = 0;

    for (size_t i = q->n[0]; i > 0 && (double)(i - 1) >= q->x[1]; i--)
        sum += q->list[0][i - 1];
    return sum;
}

const atn_bound atn_bound_sparse_lowrank_floor = {
    .id = "sparse_lowrank_floor",
    .label = "B9",
    .title = "What entries and a rank together leave at least",
    .statement = "|M - S - L|_F^2 >= sum of sigma_i(M_b)^2, i > rank, all blocks b, "
                 "less the k largest of them",
    .source = "derived: Eckart, Young in every block",
    .verified = true,
    .relation = ATN_AT_LEAST,
    .quantities = tails,
    .assumes = falls,
    .predict = both_leave,
};

/* ---- where sparse and low rank cross ---- */

static const atn_quantity nothing[] = {QUANTITIES_END};

static double usual_crossing(const atn_quantities *q)
{
    (void)q;
    return .97;
}

const atn_bound atn_bound_crossing_entropy = {
    .id = "crossing_entropy",
    .label = "SB-5",
    .title = "Entropy at which a rank and as many entries leave as much",
    .statement = "H / ln n about .97 where both store 32 numbers a row",
    .assumption = "as measured on points around centres, n = 512",
    .source = "own measurement, card 1 (e)",
    .verified = false,
    .expectation = true,
    .relation = ATN_ABOUT,
    .quantities = nothing,
    .predict = usual_crossing,
};
