/* analysis/measures/distance.c -- how far back the weight lies.
 *
 * Math    d_i = sum_j P_ij |t_i - j| with t_i the query's position; relative d_i / t_i over
 *         rows with t_i >= 1; without the first key: (d_i - P_if |t_i - f|) / (1 - P_if).
 * Oracle  identity 0; previous token (n-1)/n; uniform causal (n-1)/4; F4 0.575.
 * Source  card B2; mean attention distance, Dosovitskiy et al. 2020.
 * Limits  one-dimensional positions; a sink at the first key inflates the distance, hence the
 *         third column; rows with no weight beside the first key stay out of it.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#include <math.h>

#include "analysis/measure.h"

extern const atn_measure atn_measure_distance;

static void compute(const atn_head_rows *r, double *out)
{
    double relative = 0, rest = 0;
    atn_idx n_relative = 0, n_rest = 0;

    for (atn_idx i = r->skip_rows; i < r->nq; i++) {
        const double t = (double)(i + r->offset);

        if (r->seen[i] == 0) continue;
        if (t >= 1) {
            relative += r->distance[i] / t;
            n_relative++;
        }
        if (r->rest[i] > 1e-6 * r->mass[i]) {
            rest += r->rest_distance[i] / r->rest[i];
            n_rest++;
        }
    }
    out[0] = atn_rows_mean(r, r->distance);
    out[1] = n_relative > 0 ? relative / (double)n_relative : NAN;
    out[2] = n_rest > 0 ? rest / (double)n_rest : NAN;
}

const atn_measure atn_measure_distance = {
    .id = "distance",
    .title = "Mean attention distance",
    .source = "Dosovitskiy et al. 2020 (mean attention distance), in token positions",
    .needs = ATN_NEED_MOMENTS | ATN_NEED_FIRST,
    .cols = {{"distance_mean_tokens", "tokens", "mean distance of query and key: sum p |i - j|"},
             {"distance_relative", "", "mean of distance / position, positions >= 1"},
             {"distance_without_first_tokens", "tokens",
              "the same with the first key left out and the row renormalised"}},
    .compute = compute,
};
