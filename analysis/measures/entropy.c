/* analysis/measures/entropy.c -- how many keys a row spreads its weight over.
 *
 * Math    H_i = -sum_j P_ij ln P_ij (rows renormalised where a sink logit takes mass);
 *         normalised H_i / ln n_i over rows with n_i > 1; effective keys exp H_i; participation
 *         ratio 1 / sum_j P_ij^2. Each is averaged over the rows.
 * Oracle  F4: 0.732693 nats; uniform causal: ln(n!) / n; 1 <= PR <= exp H <= n_i row by row.
 * Source  card B1; participation ratio is the Renyi entropy of order 2, exponentiated.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#include <math.h>

#include "analysis/measure.h"

extern const atn_measure atn_measure_entropy;

static void compute(const atn_head_rows *r, double *out)
{
    double normal = 0, keys = 0, ratio = 0;
    atn_idx n = 0, longer = 0;

    for (atn_idx i = r->skip_rows; i < r->nq; i++) {
        if (r->seen[i] == 0) continue;
        n++;
        keys += exp(r->entropy[i]);
        if (r->square[i] > 0) ratio += r->mass[i] * r->mass[i] / r->square[i];
        if (r->seen[i] == 1) continue;
        longer++;
        normal += r->entropy[i] / log((double)r->seen[i]);
    }
    out[0] = atn_rows_mean(r, r->entropy);
    out[1] = longer > 0 ? normal / (double)longer : NAN;
    out[2] = n > 0 ? keys / (double)n : NAN;
    out[3] = n > 0 ? ratio / (double)n : NAN;
}

const atn_measure atn_measure_entropy = {
    .id = "entropy",
    .title = "Entropy and effective number of keys",
    .source =
        "Shannon entropy of the rows; participation ratio = exp of the Renyi-2 entropy",
    .needs = ATN_NEED_MOMENTS,
    .cols = {{"entropy_mean_nats", "nats", "mean over rows of -sum p ln p"},
             {"entropy_normalised", "",
              "mean of entropy / ln(visible keys), rows with more "
              "than one"},
             {"effective_keys", "keys", "mean of exp(entropy)"},
             {"participation_ratio", "keys", "mean of 1 / sum p^2"}},
    .compute = compute,
};
