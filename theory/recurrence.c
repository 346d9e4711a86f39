/* theory/recurrence.c -- identities between the ways to compute one attention: at once,
 * by a scan, in chunks, on several machines; and limits of methods.
 *
 * Math    the measured side is the fast way, the predicted one the plain way, which is
 *         a stated quantity: the two are equal but for rounding. Inequalities are:
 *           merging   o = c o_1 + (1 - c) o_2 of disjoint parts of the keys; with
 *                     approximate ones, e_k = |o~_k - o_k|,
 *                     |o~ - o| <= c e_1 + (1 - c) e_2 + |c~ - c| |o~_1 - o~_2| and
 *                              <= c~ e_1 + (1 - c~) e_2 + |c~ - c| |o_1 - o_2|
 *           decay     sum (q.k) v e^{-lam (i - j)} is at most
 *                     max |q| |k| |v| / (1 - e^{-lam}), and what is more than w tokens
 *                     back e^{-lam (w + 1)} times that
 *           segments  with the same shares q_X for all rows that read segment X as one,
 *                     KL(P_i || P^_i) splits into that of the masses, not below 0, and
 *                     sum_X sum_{j in X} P_ij ln(P_ij / (P_i(X) q_X(j))), of which the
 *                     mean is least at q_X = the mean of the rows in X
 * Oracle  c = .25, c~ = .5, e = 1, 2, |o~_1 - o~_2| = 4, |o_1 - o_2| = 1: 1.75 of the
 *         second against 2.75 of the first. lam = ln 2, w = 1, product 3: 1.5, all of it
 *         6. eta = .5, |k|^2 = 4: theta < .375.
 * Source  own derivations, each from the definition; cards/kernel-theory.md, cards 9 to
 *         14 and B22.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "theory/bound.h"

#include <math.h>

static const atn_quantity plain_way[] = {
    {"plain", "what the plain way gives", false, -INFINITY, INFINITY}, {0}};

static double plain(const atn_quantities *q)
{
    return q->x[0];
}

#define IDENTITY(name, of, what, says, from)                                           \
    const atn_bound atn_bound_##name = {                                               \
        .id = #name,                                                                   \
        .label = of,                                                                   \
        .title = what,                                                                 \
        .statement = says,                                                             \
        .source = from,                                                                \
        .verified = true,                                                              \
        .relation = ATN_EQUAL,                                                         \
        .quantities = plain_way,                                                       \
        .predict = plain,                                                              \
    }

IDENTITY(scan_prefix, "V21", "attention of one query by a scan",
         "scan of (s_j, 1, v_j) = softmax over every prefix, in any order of brackets",
         "Feng et al., arXiv 2405.13956; own derivation");
IDENTITY(merged_parts, "B22", "attention over parts of the keys, merged",
         "o = c o_1 + (1 - c) o_2, c = e^lse_1 / (e^lse_1 + e^lse_2)",
         "own derivation");
IDENTITY(chunked_decay, "V21", "decayed linear attention in chunks",
         "sum_{j<=i} e^{-lam (i - j)} (q_i.k_j) v_j, row by row = chunk by chunk",
         "Qin et al., arXiv 2405.17381; own derivation");
IDENTITY(
    ranks_decay, "V21", "linear attention on several machines",
    "rows of W ranks from one exchange of K'V = all at once, with or without decay",
    "Sun et al., arXiv 2502.07563; the decay is own derivation");
IDENTITY(rat_limit, "V21", "RAT at its limits",
         "chunk 1 and gate 0: softmax attention; one chunk: (1 - g) g^(i - j)",
         "own derivation");
IDENTITY(combiner_limit, "V21", "Combiner at its limits",
         "segments of one token, or of all, both ways without the summary of the own "
         "one: softmax attention",
         "own derivation");

static const atn_quantity of_segments[] = {
    {"information",
     "mean over rows of sum_j P_ij ln(P_ij / (P_i(X) q_X(j))), j in X, in nats", false,
     0, INFINITY},
    {0}};

const atn_bound atn_bound_combiner_floor = {
    .id = "combiner_floor",
    .label = "V21",
    .title = "what no Combiner over these segments gets below",
    .statement = "mean KL(P_i || P^_i) >= what rows tell about keys within segments "
                 "that they read as one, q_X the mean of these rows in X",
    .assumption = "the shares of a segment are the same for all rows that read it",
    .source = "own derivation",
    .verified = true,
    .relation = ATN_AT_LEAST,
    .quantities = of_segments,
    .predict = plain,
};

IDENTITY(titans_limit, "V21", "Titans at its limit",
         "one chunk, eta = alpha = 0, theta = 1/2: w_ij = q_i.k_j", "own derivation");
IDENTITY(titans_write, "V21", "what a memory has just written",
         "eta = alpha = 0, theta = 1/(2 |k|^2), token by token: W_t k_t = v_t",
         "own derivation");
IDENTITY(titans_chunk, "V21", "a linear memory in closed form",
         "chunk by chunk in closed form = token by token, the gradient at its start",
         "own derivation");
IDENTITY(flow_conserved, "V21", "what flows is conserved",
         "no mask, eps = 0: sum I^ = n_k, sum U^ = n_q, sum_j q_i.k_j / I_i = 1",
         "own derivation");
IDENTITY(golden, "V21", "golden outputs",
         "outputs of the fixed inputs of 8 tokens = those of another implementation",
         "own computation");

static const atn_quantity merging[] = {
    {"share", "c, weight of part 1", false, 0, 1},
    {"taken", "c~, weight that it is given", false, 0, 1},
    {"error_1", "|o~_1 - o_1|", false, 0, INFINITY},
    {"error_2", "|o~_2 - o_2|", false, 0, INFINITY},
    {"apart_taken", "|o~_1 - o~_2|", false, 0, INFINITY},
    {"apart", "|o_1 - o_2|", false, 0, INFINITY},
    {0}};

static double merged(const atn_quantities *q)
{
    const double c = q->x[0], taken = q->x[1], off = fabs(taken - c);
    const double by_true = c * q->x[2] + (1 - c) * q->x[3] + off * q->x[4];
    const double by_taken = taken * q->x[2] + (1 - taken) * q->x[3] + off * q->x[5];

    return fmin(by_true, by_taken);
}

const atn_bound atn_bound_merge_error = {
    .id = "merge_error",
    .label = "B22",
    .title = "error of merged parts",
    .statement = "|o~ - o| <= c e_1 + (1 - c) e_2 + |c~ - c| |o~_1 - o~_2|, or with c~ "
                 "and |o_1 - o_2|: the smaller",
    .source = "own derivation",
    .verified = true,
    .relation = ATN_AT_MOST,
    .quantities = merging,
    .predict = merged,
};

static const atn_quantity cutting[] = {
    {"product", "max |q| |k| |v|", false, 0, INFINITY},
    {"decay", "lam", false, 0, INFINITY},
    {"window", "w, tokens back that stay", false, 0, INFINITY},
    {0}};

static bool decays(const atn_quantities *q)
{
    return q->x[1] > 0;
}

static double cut(const atn_quantities *q)
{
    return q->x[0] * exp(-q->x[1] * (q->x[2] + 1)) / -expm1(-q->x[1]);
}

const atn_bound atn_bound_decay_cut = {
    .id = "decay_cut",
    .label = "V21",
    .title = "what a decay leaves far back",
    .statement = "|sum_{j<i-w}| <= max |q||k||v| e^{-lam (w + 1)} / (1 - e^{-lam})",
    .assumption = "lam > 0",
    .source = "own derivation",
    .verified = true,
    .relation = ATN_AT_MOST,
    .quantities = cutting,
    .assumes = decays,
    .predict = cut,
};

static const atn_quantity summing[] = {
    {"product", "max |q| |k| |v|", false, 0, INFINITY},
    {"decay", "lam", false, 0, INFINITY},
    {0}};

static double summed(const atn_quantities *q)
{
    return q->x[0] / -expm1(-q->x[1]);
}

const atn_bound atn_bound_decay_sum = {
    .id = "decay_sum",
    .label = "V21",
    .title = "how large decayed linear attention can be",
    .statement = "|o_i| <= max |q||k||v| / (1 - e^{-lam})",
    .assumption = "lam > 0",
    .source = "own derivation",
    .verified = true,
    .relation = ATN_AT_MOST,
    .quantities = summing,
    .assumes = decays,
    .predict = summed,
};

static const atn_quantity teaching[] = {
    {"momentum", "eta", false, 0, 1}, {"square", "|k|^2", false, 0, INFINITY}, {0}};

static bool has_length(const atn_quantities *q)
{
    return q->x[1] > 0;
}

static double steepest(const atn_quantities *q)
{
    return (1 + q->x[0]) / q->x[1];
}

const atn_bound atn_bound_titans_stable = {
    .id = "titans_stable",
    .label = "V21",
    .title = "how fast a linear memory with momentum can be taught",
    .statement =
        "one key and value, over and over: W_t k -> v where theta < (1 + eta) / "
        "|k|^2, and not beyond",
    .assumption = "alpha = 0, token by token; the key is not 0",
    .source = "own derivation: the heavy ball on a quadratic of curvature 2 |k|^2",
    .verified = true,
    .relation = ATN_ABOUT,
    .quantities = teaching,
    .assumes = has_length,
    .predict = steepest,
};
