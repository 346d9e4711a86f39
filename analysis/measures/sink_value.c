/* analysis/measures/sink_value.c -- is a sink a way of doing nothing?
 *
 * Math    three keys k: the first that is no padding; the one with the largest column
 *         sum ("top"); the one with the largest a_k among k <= floor(nk / 2) ("best",
 *         see sink_columns).
 *         norm          |v_k| / mean_j |v_j| over the keys that are no padding
 *         contribution  mean_i P_ik |v_k W_O| / mean_i |C_i|, C_i = row i of P V W_O
 * Oracle  rows (1), (.5, .5), values (1,0), (0,3), W_O = I: norm 1/2, contribution
 *         .75 / 1.290569.
 * Source  card B3; Gu et al., arXiv 2410.10781: keys of sinks have small values.
 * Cost    one pass for the column sums, a head at a time; 2 nq dv D flop a head.
 * Limits  means are over the rows that count. Without W_O norms only; on sampled rows
 *         the first key only. Values of zero have no ratio.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#include <math.h>

#include "analysis/contributions.h"
#include "analysis/layer_facts.h"
#include "analysis/sums.h"
#include "core/kernels/kernels.h"

extern const atn_measure atn_measure_sink_value;

enum { FIRST, TOP, BEST, KEYS };
enum { NORM, CONTRIBUTION, EACH, N_COLS = KEYS * EACH };

/* Adds the lengths of the rows of C to those of the tile's group, [GROUPS, heads]. */
static atn_status add_lengths(atn_ctx *cx, const atn_layer_facts *f,
                              const atn_contributions *t, void *state)
{
    double *sum = (double *)state + t->group * t->heads;

    (void)cx;
    (void)f;
    for (atn_idx h = 0; h < t->heads; h++)
        for (atn_idx r = 0; r < t->rows; r++)
            sum[h] +=
                sqrt(atn_row_square(t->c + (h * t->rows + r) * t->width, t->width));
    return ATN_OK;
}

/* sum[heads] <- sum over the rows of |C_i|; those that see no key add 0. */
static atn_status output_lengths(atn_ctx *cx, const atn_layer_facts *f, double *sum)
{
    const atn_arena_mark mark = atn_arena_save(cx);
    const atn_idx all = ATN_CONTRIBUTION_GROUPS * f->heads;
    atn_status st = ATN_OK;
    double *of = NULL;

    ATN_TAKE(of, all);
    for (atn_idx i = 0; i < all; i++) of[i] = 0;
    ATN_TRY(atn_contributions_each(cx, f, add_lengths, of));
    for (atn_idx h = 0; h < f->heads; h++) {
        sum[h] = 0;
        for (atn_idx g = 0; g < ATN_CONTRIBUTION_GROUPS; g++)
            sum[h] += of[g * f->heads + h];
    }
done:
    atn_arena_rewind(cx, mark);
    return st;
}

static double mean_value_norm(const atn_head *h)
{
    double sum = 0;

    for (atn_idx j = h->sight.key_first; j < h->sight.key_last; j++)
        sum += sqrt(atn_row_square(atn_crow(h->v, j), h->v.cols));
    return sum / (double)(h->sight.key_last - h->sight.key_first);
}

/* |v W_O| of one value; y [width] is scratch. */
static double projected_norm(const atn_layer_facts *f, const atn_head *h, atn_idx k,
                             double *y)
{
    const float *v = atn_crow(h->v, k),
                *w = f->w_o + (h - f->head) * h->v.cols * f->width;
    double square = 0;

    for (atn_idx e = 0; e < f->width; e++) y[e] = 0;
    for (atn_idx c = 0; c < h->v.cols; c++)
        atn_row_add(w + c * f->width, f->width, (double)v[c], y);
    for (atn_idx e = 0; e < f->width; e++) square += y[e] * y[e];
    return sqrt(square);
}

/* The three keys of a head and the sums of their columns; NaN, -1: unknown. */
static void find_keys(const atn_head_stats *s, atn_idx key[KEYS], double sum[KEYS],
                      double *rows)
{
    double mass;

    *rows = sum[FIRST] = 0;
    for (atn_idx i = 0; i < s->nq; i++) {
        if (!atn_row_counts(s, i)) continue;
        *rows += 1;
        sum[FIRST] += atn_row_value(s, ATN_ROW_FIRST, i);
    }
    key[FIRST] = s->sight->key_first;
    key[TOP] = s->columns ? atn_column_top(s) : -1;
    key[BEST] = s->columns ? atn_column_best(s, &mass) : -1;
    for (int k = TOP; k < KEYS; k++) sum[k] = key[k] >= 0 ? s->columns[key[k]] : NAN;
}

/* lengths: sum of |C_i|, NaN when unknown. */
static atn_status one_head(atn_ctx *cx, const atn_layer_facts *f, const atn_head *h,
                           double lengths, double *out)
{
    const atn_row_stats_opts opts = {
        .needs = ATN_NEED_FIRST | (h->sight.rows ? 0 : (unsigned)ATN_NEED_COLUMNS),
        .skip_rows = f->skip_rows};
    const atn_arena_mark mark = atn_arena_save(cx);
    const double mean = mean_value_norm(h);
    atn_status st = ATN_OK;
    atn_row_stats *stats = NULL;
    atn_head_stats s;
    atn_idx key[KEYS];
    double sum[KEYS], rows, *y = NULL;

    ATN_TAKE(y, ATN_MAX(f->width, 1));
    ATN_TRY(atn_row_stats_run(cx, h, 1, NULL, &opts, &stats));
    s = atn_row_stats_head(stats, 0);
    find_keys(&s, key, sum, &rows);
    for (int k = 0; k < KEYS && rows > 0; k++) {
        double *to = out + k * EACH;

        if (key[k] < 0) continue;
        if (mean > 0)
            to[NORM] = sqrt(atn_row_square(atn_crow(h->v, key[k]), h->v.cols)) / mean;
        if (lengths > 0)
            to[CONTRIBUTION] = sum[k] * projected_norm(f, h, key[k], y) / lengths;
    }
done:
    atn_row_stats_destroy(cx, stats);
    atn_arena_rewind(cx, mark);
    return st;
}

static atn_status layer(atn_ctx *cx, const atn_layer_facts *f, const void *params,
                        double *out)
{
    const atn_arena_mark mark = atn_arena_save(cx);
    atn_status st = ATN_OK;
    double *lengths = NULL;

    (void)params;
    ATN_TAKE(lengths, f->heads);
    for (atn_idx h = 0; h < f->heads; h++) lengths[h] = NAN;
    if (atn_contributions_known(f)) ATN_TRY(output_lengths(cx, f, lengths));
    for (atn_idx h = 0; h < f->heads; h++)
        if (f->keep[h])
            ATN_TRY(one_head(cx, f, &f->head[h], lengths[h], out + h * N_COLS));
done:
    atn_arena_rewind(cx, mark);
    return st;
}

static const atn_measure_col cols[] = {
    {"sink_value_first_norm", "", ">= 0",
     "norm of the first key's value / mean norm of the values", NULL},
    {"sink_value_first_contribution", "", ">= 0",
     "norm of what it adds to the output / mean norm of the output", NULL},
    {"sink_value_top_norm", "", ">= 0",
     "the first for the key of the largest column sum", NULL},
    {"sink_value_top_contribution", "", ">= 0", "the second for that key", NULL},
    {"sink_value_best_norm", "", ">= 0",
     "the first for the key of the first half with the largest mean weight", NULL},
    {"sink_value_best_contribution", "", ">= 0", "the second for that key", NULL},
    ATN_MEASURE_COLS_END,
};

const atn_measure atn_measure_sink_value = {
    .id = "sink_value",
    .title = "Values of sinks",
    .source = "Gu et al., arXiv 2410.10781 (small values of sinks)",
    .wants = ATN_WANT_OUT | ATN_WANT_W_O,
    .named = true,
    .passes = 1,
    .cols = cols,
    .layer = layer,
};
