/* analysis/measures/sink_columns.c -- which keys the weight gathers on.
 *
 * Math    a_k = mean of P_ik over the rows whose position is k or later (all rows where
 *         the head is not causal), 0-based, rows that count only. The first key's a_k;
 *         the key with the largest column sum, and that with the largest a_k among k in
 *         the first half of the keys: the last keys are judged by a few rows. Sinks:
 *         keys k in the first half of the keys with a_k > epsilon. Gini of the raw
 *         column sums over all keys.
 * Oracle  F4: a = .45, .316667, .5, .25, sums 1.8, .95, 1, .25; uniform causal, n = 64:
 *         a_0 = .0741233; all weight on key 0: a_0 = 1, every other 0, Gini
 *         (n - 1) / n.
 * Source  card B3; Gu et al., arXiv 2410.10781.
 * Cost    column sums; the Gini sorts them.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#include <math.h>
#include <string.h>

#include "analysis/measure.h"
#include "analysis/sums.h"

extern const atn_measure atn_measure_sink_columns;

typedef struct sink_params {
    double epsilon;
} sink_params;

static const atn_param params[] = {
    ATN_PARAM_F64(sink_params, epsilon, 0.3, 0, 1,
                  "a key is a sink above this mean weight"),
    ATN_PARAM_END,
};

static double gini_of(const atn_head_stats *s)
{
    const atn_idx first = s->sight->key_first, keys = s->sight->key_last - first;
    const double n = (double)keys;
    double ranked = 0, sum = 0;

    memcpy(s->scratch, s->columns + first, (size_t)keys * sizeof *s->scratch);
    atn_sort(s->scratch, keys);
    for (atn_idx k = 0; k < keys; k++) {
        ranked += (2.0 * (double)(k + 1) - n - 1) * s->scratch[k];
        sum += s->scratch[k];
    }
    return sum > 0 ? ranked / (n * sum) : (double)NAN;
}

enum { FIRST, TOP_KEY, TOP_MASS, BEST_KEY, BEST_MASS, COUNT, GINI };

static void compute(const atn_head_stats *s, const void *p, double *out)
{
    const double epsilon = ((const sink_params *)p)->epsilon;
    const atn_idx top = atn_column_top(s);
    double best_mass = NAN;
    const atn_idx best = atn_column_best(s, &best_mass);

    if (top < 0) return;
    out[COUNT] = 0;
    for (atn_idx k = s->sight->key_first;
         k < s->sight->key_last && k <= atn_first_half(s); k++)
        out[COUNT] += atn_column_mean(s, k) > epsilon;
    out[FIRST] = atn_column_mean(s, s->sight->key_first);
    out[TOP_KEY] = (double)top;
    out[TOP_MASS] = atn_column_mean(s, top);
    if (best >= 0) out[BEST_KEY] = (double)best;
    out[BEST_MASS] = best_mass;
    out[GINI] = gini_of(s);
}

static const atn_measure_col cols[] = {
    {"sink_columns_first", "", "[0, 1]",
     "mean weight on the first key, rows at or after it", NULL},
    {"sink_columns_top_key", "", "[0, nk)", "key with the largest column sum", NULL},
    {"sink_columns_top_mass", "", "[0, 1]", "its mean weight, rows at or after it",
     NULL},
    {"sink_columns_best_key", "", "[0, nk)",
     "key of the first half with the largest mean weight", NULL},
    {"sink_columns_best_mass", "", "[0, 1]", "that weight", NULL},
    {"sink_columns_count", "keys", "[0, nk/2 + 1]",
     "keys of the first half whose mean weight is above epsilon (0.3)", NULL},
    {"sink_columns_gini", "", "[0, 1)", "Gini coefficient of the column sums", NULL},
    ATN_MEASURE_COLS_END,
};

const atn_measure atn_measure_sink_columns = {
    .id = "sink_columns",
    .title = "Keys that gather the weight",
    .source = "Gu et al., arXiv 2410.10781 (a_k, sinks above epsilon)",
    .needs = ATN_NEED_COLUMNS,
    .params = params,
    .params_size = sizeof(sink_params),
    .cols = cols,
    .compute = compute,
};
