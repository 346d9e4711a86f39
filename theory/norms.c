/* theory/norms.c -- norms of weights whose rows sum to 1: B4, B5, B6.
 *
 * Math    X any matrix, P of rows that sum to 1 (or see nothing), H and H2 the Shannon and
 *         Renyi-2 entropy of a row.
 *         |X V|_F <= |X|_F |V|_op; |X V|_op <= |X|_op |V|_op;
 *         max |X V| <= max_i |X_i|_1 max |V|; |X|_op^2 <= |X|_1 |X|_inf;
 *         max |X| <= |X|_op <= |X|_F <= sqrt(rank) |X|_op.
 *         |P|_op^2 >= rows / keys (P on 1 / sqrt(keys)); |P|_op^2 <= max column sum (the
 *         bound above, for |P|_inf <= 1); |P|_F^2 = sum e^-H2;
 *         e^-H <= e^-H2 <= max_j P_ij (Jensen; a mean of weights).
 *         Stable rank |P|_F^2 / |P|_op^2 from these; alpha = keys max_j |P e_j|^2 is not
 *         less than the sum of all |P e_j|^2.
 * Source  elementary; card "general bounds", B4 to B6.
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

static double product(const atn_quantities *q)
{
    return q->x[0] * q->x[1];
}

static double first(const atn_quantities *q)
{
    return q->x[0];
}

static double root_of_product(const atn_quantities *q)
{
    return sqrt(q->x[0] * q->x[1]);
}

static double root_times(const atn_quantities *q)
{
    return sqrt(q->x[0]) * q->x[1];
}

static double root_of_ratio(const atn_quantities *q)
{
    return q->x[1] > 0 ? sqrt(q->x[0] / q->x[1]) : NAN;
}

static double ratio(const atn_quantities *q)
{
    return q->x[1] > 0 ? q->x[0] / q->x[1] : NAN;
}

static double scaled(const atn_quantities *q)
{
    return q->x[2] > 0 ? q->x[0] * q->x[1] / q->x[2] : NAN;
}

static double collision(const atn_quantities *q)
{
    return exp(-q->x[0]);
}

static double collisions(const atn_quantities *q)
{
    double sum = 0;

    for (size_t i = 0; i < q->n[0]; i++) sum += exp(-q->list[0][i]);
    return sum;
}

static const char source[] = "elementary; norms of products, Jensen, Schur";

/* ---- B4 ---- */

static const atn_quantity error_f[] = {
    AMOUNT("error_frobenius", "Frobenius norm of the error of the weights"),
    AMOUNT("value_norm", "largest singular value of the values"), QUANTITIES_END};
static const atn_quantity error_op[] = {
    AMOUNT("error_operator", "largest singular value of the error of the weights"),
    AMOUNT("value_norm", "largest singular value of the values"), QUANTITIES_END};
static const atn_quantity error_row[] = {
    AMOUNT("error_row", "largest sum of absolute errors of a row"),
    AMOUNT("value_most", "largest absolute number of the values"), QUANTITIES_END};
static const atn_quantity sums[] = {
    AMOUNT("column_sum", "largest sum of absolute numbers of a column"),
    AMOUNT("row_sum", "largest sum of absolute numbers of a row"), QUANTITIES_END};
static const atn_quantity operator_norm[] = {
    AMOUNT("operator", "largest singular value"), QUANTITIES_END};
static const atn_quantity frobenius_norm[] = {AMOUNT("frobenius", "Frobenius norm"),
                                              QUANTITIES_END};
static const atn_quantity rank_norm[] = {AMOUNT("rank", "rank, or more than it"),
                                         AMOUNT("operator", "largest singular value"),
                                         QUANTITIES_END};

const atn_bound atn_bound_output_frobenius = {
    .id = "output_frobenius",
    .label = "B4",
    .title = "Error of the output, Frobenius norm",
    .statement = "|E V|_F <= |E|_F |V|_op",
    .source = source,
    .verified = true,
    .relation = ATN_AT_MOST,
    .quantities = error_f,
    .predict = product,
};
const atn_bound atn_bound_output_operator = {
    .id = "output_operator",
    .label = "B4",
    .title = "Error of the output, operator norm",
    .statement = "|E V|_op <= |E|_op |V|_op",
    .source = source,
    .verified = true,
    .relation = ATN_AT_MOST,
    .quantities = error_op,
    .predict = product,
};
const atn_bound atn_bound_output_max = {
    .id = "output_max",
    .label = "B4",
    .title = "Largest error of a number of the output",
    .statement = "max |E V| <= max_i |E_i|_1 max |V|",
    .source = source,
    .verified = true,
    .relation = ATN_AT_MOST,
    .quantities = error_row,
    .predict = product,
};
const atn_bound atn_bound_norm_sums = {
    .id = "norm_sums",
    .label = "B4",
    .title = "Operator norm by sums of rows and columns",
    .statement = "|X|_op <= sqrt(|X|_1 |X|_inf)",
    .source = "Schur's test",
    .verified = true,
    .relation = ATN_AT_MOST,
    .quantities = sums,
    .predict = root_of_product,
};
const atn_bound atn_bound_norm_entry = {
    .id = "norm_entry",
    .label = "B4",
    .title = "No entry is beyond the operator norm",
    .statement = "max |X| <= |X|_op",
    .source = source,
    .verified = true,
    .relation = ATN_AT_MOST,
    .quantities = operator_norm,
    .predict = first,
};
const atn_bound atn_bound_norm_frobenius = {
    .id = "norm_frobenius",
    .label = "B4",
    .title = "Operator norm by the Frobenius norm",
    .statement = "|X|_op <= |X|_F",
    .source = source,
    .verified = true,
    .relation = ATN_AT_MOST,
    .quantities = frobenius_norm,
    .predict = first,
};
const atn_bound atn_bound_norm_rank = {
    .id = "norm_rank",
    .label = "B4",
    .title = "Frobenius norm by the rank",
    .statement = "|X|_F <= sqrt(rank X) |X|_op",
    .source = source,
    .verified = true,
    .relation = ATN_AT_MOST,
    .quantities = rank_norm,
    .predict = root_times,
};

/* ---- B5 ---- */

static const atn_quantity shape[] = {AMOUNT("rows", "rows that see a key"),
                                     AMOUNT("keys", "columns"), QUANTITIES_END};
static const atn_quantity columns[] = {AMOUNT("column_sum", "largest sum of a column"),
                                       QUANTITIES_END};
static const atn_quantity renyi_all[] = {
    {"renyi", "Renyi-2 entropies of the rows, nats", true, 0, INFINITY},
    QUANTITIES_END};
static const atn_quantity entropy[] = {AMOUNT("entropy", "entropy of a row, nats"),
                                       QUANTITIES_END};
static const atn_quantity largest[] = {AMOUNT("largest", "largest weight of a row"),
                                       QUANTITIES_END};

static double root_of_first(const atn_quantities *q)
{
    return sqrt(q->x[0]);
}

const atn_bound atn_bound_norm_least = {
    .id = "norm_least",
    .label = "B5",
    .title = "Operator norm of rows that sum to 1, from below",
    .statement = "|P|_op >= sqrt(rows / keys)",
    .assumption = "rows sum to 1",
    .source = source,
    .verified = true,
    .relation = ATN_AT_LEAST,
    .quantities = shape,
    .predict = root_of_ratio,
};
const atn_bound atn_bound_norm_column = {
    .id = "norm_column",
    .label = "B5",
    .title = "Operator norm of rows that sum to 1, from above",
    .statement = "|P|_op <= sqrt(max column sum)",
    .assumption = "rows are not negative and sum to 1 at most",
    .source = source,
    .verified = true,
    .relation = ATN_AT_MOST,
    .quantities = columns,
    .predict = root_of_first,
};
const atn_bound atn_bound_square_sum = {
    .id = "square_sum",
    .label = "B5",
    .title = "Frobenius norm by entropies",
    .statement = "|P|_F^2 = sum_i exp(-H2_i)",
    .source = source,
    .verified = true,
    .relation = ATN_EQUAL,
    .quantities = renyi_all,
    .predict = collisions,
};
const atn_bound atn_bound_collision_least = {
    .id = "collision_least",
    .label = "B5",
    .title = "Sum of squares of a row, from below",
    .statement = "exp(-H2_i) >= exp(-H_i)",
    .assumption = "the row sums to 1",
    .source = source,
    .verified = true,
    .relation = ATN_AT_LEAST,
    .quantities = entropy,
    .predict = collision,
};
const atn_bound atn_bound_collision_most = {
    .id = "collision_most",
    .label = "B5",
    .title = "Sum of squares of a row, from above",
    .statement = "exp(-H2_i) <= max_j P_ij",
    .assumption = "the row is not negative and sums to 1",
    .source = source,
    .verified = true,
    .relation = ATN_AT_MOST,
    .quantities = largest,
    .predict = first,
};

/* ---- B6 ---- */

static const atn_quantity stable_low[] = {
    AMOUNT("squares", "sum_i exp(-H2_i)"),
    AMOUNT("column_sum", "largest sum of a column"), QUANTITIES_END};
static const atn_quantity stable_high[] = {
    AMOUNT("squares", "sum_i exp(-H2_i)"), AMOUNT("keys", "columns"),
    AMOUNT("rows", "rows that see a key"), QUANTITIES_END};
static const atn_quantity alphas[] = {
    AMOUNT("alpha", "keys times the largest squared norm of a column"), QUANTITIES_END};

const atn_bound atn_bound_stable_rank_least = {
    .id = "stable_rank_least",
    .label = "B6",
    .title = "Stable rank, from below",
    .statement = "srank P >= sum_i exp(-H2_i) / max column sum",
    .assumption = "rows are not negative and sum to 1 at most",
    .source = source,
    .verified = true,
    .relation = ATN_AT_LEAST,
    .quantities = stable_low,
    .predict = ratio,
};
const atn_bound atn_bound_stable_rank_most = {
    .id = "stable_rank_most",
    .label = "B6",
    .title = "Stable rank, from above",
    .statement = "srank P <= (keys / rows) sum_i exp(-H2_i)",
    .assumption = "rows sum to 1",
    .source = source,
    .verified = true,
    .relation = ATN_AT_MOST,
    .quantities = stable_high,
    .predict = scaled,
};
const atn_bound atn_bound_square_alpha = {
    .id = "square_alpha",
    .label = "B6",
    .title = "Sums of squares by the heaviest column",
    .statement = "sum_i exp(-H2_i) <= alpha",
    .source = source,
    .verified = true,
    .relation = ATN_AT_MOST,
    .quantities = alphas,
    .predict = first,
};
