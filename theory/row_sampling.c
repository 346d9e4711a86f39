/* theory/row_sampling.c -- the sum of a row, estimated from m of its keys.
 *
 * Math    D = sum_j A_j; D^ = (n / m) sum_t A_(l_t), l_t uniform with replacement. One
 *         draw has n P_l with mean 1 and variance n sum P^2 - 1 = n / N2 - 1, so
 *             Var(D^) / D^2 = (n / N2 - 1) / m,   N2 = 1 / sum P^2.
 *         Chebyshev: Pr(|D^/D - 1| >= eps) <= (n / N2 - 1) / (m eps^2); Bernstein, with
 *         b = n max P: 2 exp(-m eps^2 / (2 (n / N2 - 1) + 2 b eps / 3)).
 * Oracle  P = (.1 .4 .2 .3): n / N2 = 1.2, so .2 / m. Uniform: 0; one key of n: (n - 1)
 *         / m.
 * Source  own derivation; Bernstein's inequality.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "theory/bound.h"

#include <math.h>

#define KEYS                                                                           \
    {                                                                                  \
        "keys", "n, that the row sees", false, 1, INFINITY                             \
    }
#define EFF                                                                            \
    {                                                                                  \
        "effective", "N2 = 1 / sum P^2, effective keys", false, 1, INFINITY            \
    }
#define DRAWS                                                                          \
    {                                                                                  \
        "draws", "m, with replacement", false, 1, INFINITY                             \
    }
#define ERR                                                                            \
    {                                                                                  \
        "error", "eps, relative", false, 0, INFINITY                                   \
    }
#define RISK                                                                           \
    {                                                                                  \
        "risk", "eta, of an error that large", false, 0, 1                             \
    }
#define LARGEST                                                                        \
    {                                                                                  \
        "largest", "the largest weight", false, 0, 1                                   \
    }

static const atn_quantity variance_of[] = {KEYS, EFF, DRAWS, {0}};
static const atn_quantity chebyshev_of[] = {KEYS, EFF, DRAWS, ERR, {0}};
static const atn_quantity bernstein_of[] = {KEYS, EFF, DRAWS, ERR, LARGEST, {0}};
static const atn_quantity samples_of[] = {KEYS, EFF, ERR, RISK, LARGEST, {0}};

/* n / N2 - 1, not below 0. */
static double spread(const atn_quantities *q)
{
    return fmax(q->x[0] / q->x[1] - 1, 0);
}

static double variance(const atn_quantities *q)
{
    return spread(q) / q->x[2];
}

static double chebyshev(const atn_quantities *q)
{
    const double m = q->x[2], eps = q->x[3];

    return fmin(spread(q) / (m * eps * eps), 1);
}

static double bernstein(const atn_quantities *q)
{
    const double m = q->x[2], eps = q->x[3], b = q->x[0] * q->x[4];

    return fmin(2 * exp(-m * eps * eps / (2 * spread(q) + 2 * b * eps / 3)), 1);
}

/* The fewer of both. */
static double samples(const atn_quantities *q)
{
    const double eps = q->x[2], eta = q->x[3], b = q->x[0] * q->x[4];
    const double v = spread(q);

    return fmin(v / (eps * eps * eta),
                (2 * v + 2 * b * eps / 3) * log(2 / eta) / (eps * eps));
}

const atn_bound atn_bound_row_sum_variance = {
    .id = "row_sum_variance",
    .label = "B17",
    .title = "variance of a sampled row sum",
    .statement = "Var(D^_i) / D_i^2 = (n / N2_i - 1) / m",
    .assumption = "keys drawn uniformly, with replacement",
    .source = "own derivation",
    .verified = true,
    .in_mean = true,
    .relation = ATN_IN_MEAN,
    .quantities = variance_of,
    .predict = variance,
};
const atn_bound atn_bound_row_sum_chebyshev = {
    .id = "row_sum_chebyshev",
    .label = "B17",
    .title = "how often a sampled row sum is far off, by its variance",
    .statement = "Pr(|D^_i / D_i - 1| >= eps) <= (n / N2_i - 1) / (m eps^2)",
    .assumption = "keys drawn uniformly, with replacement",
    .source = "Chebyshev's inequality",
    .verified = true,
    .in_mean = true,
    .relation = ATN_AT_MOST,
    .quantities = chebyshev_of,
    .predict = chebyshev,
};
const atn_bound atn_bound_row_sum_bernstein = {
    .id = "row_sum_bernstein",
    .label = "B17",
    .title = "how often a sampled row sum is far off, by its largest weight",
    .statement = "Pr(|D^_i / D_i - 1| >= eps) <= "
                 "2 exp(-m eps^2 / (2 (n / N2_i - 1) + 2 n max_j P_ij eps / 3))",
    .assumption = "keys drawn uniformly, with replacement",
    .source = "Bernstein's inequality",
    .verified = true,
    .in_mean = true,
    .relation = ATN_AT_MOST,
    .quantities = bernstein_of,
    .predict = bernstein,
};
const atn_bound atn_bound_row_sum_samples = {
    .id = "row_sum_samples",
    .label = "B17",
    .title = "keys to draw for a row sum: more than there are, and sampling is no gain",
    .statement = "m >= the smaller of (n / N2 - 1) / (eps^2 eta) and "
                 "(2 (n / N2 - 1) + 2 n max P eps / 3) ln(2 / eta) / eps^2",
    .assumption = "keys drawn uniformly, with replacement",
    .source = "Chebyshev's and Bernstein's inequality",
    .verified = true,
    .relation = ATN_AT_LEAST,
    .quantities = samples_of,
    .predict = samples,
};
