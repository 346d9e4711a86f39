/* theory/dropped_mass.c -- what an output loses when a row keeps some of its keys only.
 *
 * Math    m = P_i(K) of the keys kept, mu_K and mu_C the mean values of those kept and
 *         of the others, by weight: o = m mu_K + (1 - m) mu_C. Renormalised, o^ = mu_K;
 *         not, o~ = m mu_K. Of any rows that sum to 1, P^ - P is two positive parts of
 *         mass TV each, so o^ - o is TV times the difference of two averages of values.
 * Oracle  P = (.3 .5 .2), K the first two keys, values (1 0) (0 1) (1 1): mu_K =
 *         (.375 .625), |o^ - o| = .145774, |o~ - o| = .282843, l1 = .4.
 * Source  own derivation; Pinsker's inequality.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "theory/bound.h"

#include <math.h>

#define MASS                                                                           \
    {                                                                                  \
        "kept_mass", "weight of the keys kept, 0 to 1", false, 0, 1                    \
    }
#define END                                                                            \
    {                                                                                  \
        0                                                                              \
    }

static const atn_quantity mass_alone[] = {MASS, END};
static const atn_quantity mass_distance[] = {
    MASS,
    {"distance", "|mu_K - mu_C|, between the mean values kept and dropped", false, 0,
     INFINITY},
    END};
static const atn_quantity mass_diameter[] = {
    MASS, {"diameter", "largest |v_a - v_b|", false, 0, INFINITY}, END};
static const atn_quantity mass_mean[] = {
    MASS, {"dropped_mean", "|mu_C|, of the values dropped", false, 0, INFINITY}, END};
static const atn_quantity mass_largest[] = {
    MASS, {"largest_value", "largest |v_j|", false, 0, INFINITY}, END};
static const atn_quantity mass_both[] = {
    MASS,
    {"distance", "|mu_K - mu_C|", false, 0, INFINITY},
    {"dropped_mean", "|mu_C|", false, 0, INFINITY},
    END};
static const atn_quantity variation_diameter[] = {
    {"variation", "total variation: half of |P^ - P|_1", false, 0, 1},
    {"diameter", "largest |v_a - v_b|", false, 0, INFINITY},
    END};
static const atn_quantity divergence[] = {
    {"divergence", "KL(P^ || P), nats", false, 0, INFINITY}, END};

static double weights(const atn_quantities *q)
{
    return 2 * (1 - q->x[0]);
}

/* Of all that is (1 - m) times a length. */
static double share_of_length(const atn_quantities *q)
{
    return (1 - q->x[0]) * q->x[1];
}

static double gain(const atn_quantities *q)
{
    const double c = 1 - q->x[0];

    return c * c * (q->x[1] * q->x[1] - q->x[2] * q->x[2]);
}

static double variation(const atn_quantities *q)
{
    return q->x[0] * q->x[1];
}

static double pinsker(const atn_quantities *q)
{
    return sqrt(q->x[0] / 2);
}

const atn_bound atn_bound_dropped_mass_weights = {
    .id = "dropped_mass_weights",
    .label = "B1",
    .title = "weights move by twice the mass dropped",
    .statement = "|P^_i - P_i|_1 = 2 (1 - m_i)",
    .assumption = "the weights kept are divided by their sum m_i",
    .source = "own derivation",
    .verified = true,
    .relation = ATN_EQUAL,
    .quantities = mass_alone,
    .predict = weights,
};
const atn_bound atn_bound_dropped_mass_error = {
    .id = "dropped_mass_error",
    .label = "B1",
    .title = "error of a renormalised mask",
    .statement = "|o^_i - o_i| = (1 - m_i) |mu_K - mu_C|",
    .assumption = "the weights kept are divided by their sum m_i",
    .source = "own derivation",
    .verified = true,
    .relation = ATN_EQUAL,
    .quantities = mass_distance,
    .predict = share_of_length,
};
const atn_bound atn_bound_dropped_mass_diameter = {
    .id = "dropped_mass_diameter",
    .label = "B1",
    .title = "error of a renormalised mask, from the spread of the values",
    .statement = "|o^_i - o_i| <= (1 - m_i) diam(V)",
    .assumption = "the weights kept are divided by their sum m_i",
    .source = "own derivation",
    .verified = true,
    .relation = ATN_AT_MOST,
    .quantities = mass_diameter,
    .predict = share_of_length,
};
const atn_bound atn_bound_dropped_mass_raw = {
    .id = "dropped_mass_raw",
    .label = "B2",
    .title = "error of a mask without renormalising",
    .statement = "|o~_i - o_i| = (1 - m_i) |mu_C|",
    .source = "own derivation",
    .verified = true,
    .relation = ATN_EQUAL,
    .quantities = mass_mean,
    .predict = share_of_length,
};
const atn_bound atn_bound_dropped_mass_raw_values = {
    .id = "dropped_mass_raw_values",
    .label = "B2",
    .title = "error of a mask without renormalising, from the longest value",
    .statement = "|o~_i - o_i| <= (1 - m_i) max_j |v_j|",
    .source = "own derivation",
    .verified = true,
    .relation = ATN_AT_MOST,
    .quantities = mass_largest,
    .predict = share_of_length,
};
const atn_bound atn_bound_dropped_mass_gain = {
    .id = "dropped_mass_gain",
    .label = "B2",
    .title = "does renormalising help? below 0 it does",
    .statement = "|o^_i - o_i|^2 - |o~_i - o_i|^2 = "
                 "(1 - m_i)^2 (|mu_K - mu_C|^2 - |mu_C|^2)",
    .source = "own derivation",
    .verified = true,
    .relation = ATN_EQUAL,
    .quantities = mass_both,
    .predict = gain,
};
const atn_bound atn_bound_variation_error = {
    .id = "variation_error",
    .label = "B3",
    .title = "error of any rows that sum to 1",
    .statement = "|o^_i - o_i| <= TV_i diam(V)",
    .assumption = "both rows sum to 1",
    .source = "own derivation",
    .verified = true,
    .relation = ATN_AT_MOST,
    .quantities = variation_diameter,
    .predict = variation,
};
const atn_bound atn_bound_pinsker = {
    .id = "pinsker",
    .label = "B3",
    .title = "total variation from the divergence",
    .statement = "TV_i <= sqrt(KL_i / 2)",
    .assumption = "both rows sum to 1",
    .source = "Pinsker's inequality",
    .verified = true,
    .relation = ATN_AT_MOST,
    .quantities = divergence,
    .predict = pinsker,
};
