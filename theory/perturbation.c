/* theory/perturbation.c -- a softmax whose logits, weights, keys or values are off.
 *
 * Math    |ds_j| <= delta multiplies weights by factors in [e^-delta, e^delta]; of a
 *         set of mass a that goes up while the rest goes down, TV = a E / (a E + 1 - a)
 *         - a with E = e^(2 delta), at most tanh(delta / 2), at a = 1 / (1 + e^delta).
 *         A constant in ds is free: delta is half the range of ds. Weights off by
 *         factors in [1 - e, 1 + e] are delta = artanh e.
 * Oracle  delta = 1: tanh(.5) = .462117 at a = .268941. e = .6: 1/3. int8 with step .4:
 *         tanh(.1) = .099668. bf16 at |s| = 50: .0973.
 * Source  own derivation; Eckart, Young, Mirsky for the compression of keys.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "theory/bound.h"

#include <math.h>

#define DELTA                                                                          \
    {                                                                                  \
        "delta", "half the range of the change of a row's logits", false, 0, INFINITY  \
    }
#define END                                                                            \
    {                                                                                  \
        0                                                                              \
    }

static const atn_quantity delta_of[] = {DELTA, END};
static const atn_quantity pattern_of[] = {
    DELTA, {"mass", "weight of the keys whose logits rise", false, 0, 1}, END};
static const atn_quantity change_of[] = {
    {"change", "|ds|_2 of the row, less its mean", false, 0, INFINITY}, END};
static const atn_quantity ratio_of[] = {
    {"ratio", "e: weights are off by factors in [1 - e, 1 + e]", false, 0, 1}, END};
static const atn_quantity step_of[] = {
    {"step", "h, between neighbouring logits", false, 0, INFINITY}, END};
static const atn_quantity rounded_of[] = {
    {"unit", "u, half a step relative to the number: bf16 2^-8, fp16 2^-11", false, 0,
     1},
    {"tiny", "half the step near 0", false, 0, 1},
    {"largest", "largest |s_j| of the row, of what is rounded", false, 0, INFINITY},
    {"range", "the largest number that the format has", false, 0, INFINITY},
    END};
static const atn_quantity products_of[] = {
    {"scale", "of the logits", false, 0, INFINITY},
    {"query", "|q|", false, 0, INFINITY},
    {"key", "|k|", false, 0, INFINITY},
    {"query_off", "|dq|", false, 0, INFINITY},
    {"key_off", "|dk|", false, 0, INFINITY},
    END};
static const atn_quantity value_of[] = {
    {"value_off", "largest |dv_j|", false, 0, INFINITY}, END};
static const atn_quantity noise_of[] = {{"renyi", "H2_i, nats", false, 0, INFINITY},
                                        {"noise", "E |dv_j|^2", false, 0, INFINITY},
                                        END};
static const atn_quantity spectrum_of[] = {
    {"singular_values", "of Q K^T, descending", true, 0, INFINITY},
    {"rank", "r of the keys kept", false, 0, INFINITY},
    END};

static double tanh_half(const atn_quantities *q)
{
    return tanh(q->x[0] / 2);
}

static double pattern(const atn_quantities *q)
{
    const double a = q->x[1], less = exp(-2 * q->x[0]) * (1 - a);

    return a > 0 ? a / (a + less) - a : 0;
}

/* Second order in the distance from the best mass: f'' = -4 sinh(delta) there. */
static bool near_best(const atn_quantities *q)
{
    const double off = q->x[1] - 1 / (1 + exp(q->x[0]));

    return 4 * sinh(q->x[0]) * off * off <= 1e-6;
}

static double sharp(const atn_quantities *q)
{
    return tanh(q->x[0] / 2) - 1e-6;
}

static double half(const atn_quantities *q)
{
    return q->x[0] / 2;
}

static double factors(const atn_quantities *q)
{
    return q->x[0] / (1 + sqrt(1 - q->x[0] * q->x[0]));
}

static double steps(const atn_quantities *q)
{
    return tanh(q->x[0] / 4);
}

static bool in_range(const atn_quantities *q)
{
    return q->x[2] <= q->x[3];
}

static double rounded(const atn_quantities *q)
{
    return tanh(fmax(q->x[0] * q->x[2], q->x[1]) / 2);
}

static double products(const atn_quantities *q)
{
    const double dq = q->x[3], dk = q->x[4];

    return q->x[0] * (dq * q->x[2] + q->x[1] * dk + dq * dk);
}

static double as_it_is(const atn_quantities *q)
{
    return q->x[0];
}

static double averaged(const atn_quantities *q)
{
    return exp(-q->x[0]) * q->x[1];
}

static double tail(const atn_quantities *q)
{
    double sum = 0;

    for (size_t i = q->n[0]; i-- > 0;)
        if ((double)i >= q->x[1]) sum += q->list[0][i] * q->list[0][i];
    return sum;
}

const atn_bound atn_bound_perturbed_logits = {
    .id = "perturbed_logits",
    .label = "B11",
    .title = "weights of logits that are off",
    .statement = "TV_i <= tanh(delta_i / 2)",
    .source = "own derivation",
    .verified = true,
    .relation = ATN_AT_MOST,
    .quantities = delta_of,
    .predict = tanh_half,
};
const atn_bound atn_bound_perturbed_logits_pattern = {
    .id = "perturbed_logits_pattern",
    .label = "B11",
    .title = "weights when the logits of some keys rise by delta and all others fall",
    .statement = "TV_i = a E / (a E + 1 - a) - a, E = e^(2 delta)",
    .source = "own derivation",
    .verified = true,
    .relation = ATN_EQUAL,
    .quantities = pattern_of,
    .predict = pattern,
};
const atn_bound atn_bound_perturbed_logits_sharp = {
    .id = "perturbed_logits_sharp",
    .label = "B11",
    .title = "the worst signs reach the bound",
    .statement = "TV_i >= tanh(delta / 2) - 1e-6",
    .assumption = "some keys have 1 / (1 + e^delta) of the weight together",
    .source = "own derivation",
    .verified = true,
    .relation = ATN_AT_LEAST,
    .quantities = pattern_of,
    .assumes = near_best,
    .predict = sharp,
};
const atn_bound atn_bound_perturbed_logits_l2 = {
    .id = "perturbed_logits_l2",
    .label = "B11",
    .title = "weights of logits that are off, in length",
    .statement = "|dp|_2 <= |ds|_2 / 2",
    .source = "own derivation: the Jacobian of a softmax has norm 1/2 at most",
    .verified = true,
    .relation = ATN_AT_MOST,
    .quantities = change_of,
    .predict = half,
};
const atn_bound atn_bound_perturbed_weights = {
    .id = "perturbed_weights",
    .label = "B12",
    .title = "weights whose exponentials are off by factors",
    .statement = "TV_i <= e / (1 + sqrt(1 - e^2))",
    .assumption = "factors in [1 - e, 1 + e]",
    .source = "own derivation",
    .verified = true,
    .relation = ATN_AT_MOST,
    .quantities = ratio_of,
    .predict = factors,
};
const atn_bound atn_bound_quantised_logits = {
    .id = "quantised_logits",
    .label = "B13",
    .title = "weights of logits on a grid",
    .statement = "TV_i <= tanh(h / 4)",
    .assumption = "logits are rounded to the nearest multiple of h",
    .source = "own derivation",
    .verified = true,
    .relation = ATN_AT_MOST,
    .quantities = step_of,
    .predict = steps,
};
const atn_bound atn_bound_rounded_logits = {
    .id = "rounded_logits",
    .label = "B13",
    .title = "weights of logits in a short floating-point format",
    .statement = "TV_i <= tanh(u max_j |s_j| / 2)",
    .assumption = "no logit is beyond the range of the format",
    .source = "own derivation",
    .verified = true,
    .relation = ATN_AT_MOST,
    .quantities = rounded_of,
    .assumes = in_range,
    .predict = rounded,
};
const atn_bound atn_bound_quantised_products = {
    .id = "quantised_products",
    .label = "B13",
    .title = "logits of queries and keys that are off",
    .statement = "|ds_ij| <= scale (|dq_i| |k_j| + |q_i| |dk_j| + |dq_i| |dk_j|)",
    .source = "own derivation; a soft-cap makes it no larger",
    .verified = true,
    .relation = ATN_AT_MOST,
    .quantities = products_of,
    .predict = products,
};
const atn_bound atn_bound_quantised_values = {
    .id = "quantised_values",
    .label = "B14",
    .title = "output of values that are off",
    .statement = "|do_i| <= max_j |dv_j|",
    .source = "own derivation",
    .verified = true,
    .relation = ATN_AT_MOST,
    .quantities = value_of,
    .predict = as_it_is,
};
const atn_bound atn_bound_quantised_values_mean = {
    .id = "quantised_values_mean",
    .label = "B14",
    .title = "output of values with independent errors",
    .statement = "E |do_i|^2 = e^(-H2_i) E |dv|^2",
    .assumption = "errors of mean 0, independent from key to key",
    .source = "own derivation",
    .verified = true,
    .in_mean = true,
    .relation = ATN_IN_MEAN,
    .quantities = noise_of,
    .predict = averaged,
};
const atn_bound atn_bound_compressed_keys = {
    .id = "compressed_keys",
    .label = "B15",
    .title = "weights of compressed keys",
    .statement =
        "TV_i <= tanh(delta_i / 2), delta_i half the range of scale q_i . dk_j",
    .source = "own derivation",
    .verified = true,
    .relation = ATN_AT_MOST,
    .quantities = delta_of,
    .predict = tanh_half,
};
const atn_bound atn_bound_compressed_keys_error = {
    .id = "compressed_keys_error",
    .label = "B15",
    .title = "error of the logits when keys are cut to rank r by how queries use them",
    .statement = "|Q dK^T|_F^2 = sum_(i>r) sigma_i(Q K^T)^2",
    .assumption = "K^ = svd_r(K W) W^-1 with W = (Q^T Q)^(1/2)",
    .source = "Eckart, Young, Mirsky on Q K^T",
    .verified = true,
    .relation = ATN_EQUAL,
    .quantities = spectrum_of,
    .predict = tail,
};
const atn_bound atn_bound_compressed_keys_floor = {
    .id = "compressed_keys_floor",
    .label = "B15",
    .title = "error of the logits of any keys of rank r",
    .statement = "|Q dK^T|_F^2 >= sum_(i>r) sigma_i(Q K^T)^2",
    .source = "Eckart, Young, Mirsky on Q K^T",
    .verified = true,
    .relation = ATN_AT_LEAST,
    .quantities = spectrum_of,
    .predict = tail,
};
