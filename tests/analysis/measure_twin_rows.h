/* Columns that are means over rows, by definition over a twin's dense rows; and what every
 * column of a twin is kept in. */
// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "measure_twin.h"

enum { CELLS = 128, LEVELS = 6, SPANS = 3 };
static const double levels[LEVELS] = {.5, .8, .9, .95, .99, .999};
static const double NEAR = 1e-6;
static const double UNIT =
    1.0 / 8388608; /* a share that is this much short is reached */

typedef struct settings { /* parameters of the specs */
    atn_idx size, keys, k, repeat;
    int coverage;
    double max_above, sink_above;
    bool force, no_first, no_current;
} settings;

typedef struct cell {
    const char *name;
    double value, range;
    bool unsure;
} cell;

typedef struct cells {
    cell at[CELLS];
    int n;
} cells;

static inline void put(cells *c, const char *name, double value, double range,
                       bool unsure)
{
    CHECK(c->n < CELLS);
    c->at[c->n++] = (cell){name, value, range, unsure};
}

typedef struct row_arg {
    const settings *set;
    double level;
    bool unsure;
} row_arg;

typedef double row_of(const twin *t, atn_idx i, row_arg *a);

static inline void put_mean(cells *c, const twin *t, const char *name, row_of *f,
                            row_arg a, double range)
{
    double sum = 0, n = 0;

    a.unsure = false;
    for (atn_idx i = 0; i < t->nq; i++) {
        const double x = t->counts[i] ? f(t, i, &a) : NAN;

        if (isnan(x)) continue;
        sum += x;
        n++;
    }
    put(c, name, n > 0 ? sum / n : NAN, range, a.unsure);
}

static inline double weight(const twin *t, atn_idx i, atn_idx j)
{
    return j >= 0 && j < t->nk ? t->p[i][j] : 0;
}

static inline double away(const twin *t, atn_idx i, atn_idx j)
{
    return fabs((double)(i + t->offset - j));
}

static inline double distance_row(const twin *t, atn_idx i, row_arg *a)
{
    double sum = 0;

    (void)a;
    for (atn_idx j = 0; j < t->nk; j++) sum += t->p[i][j] * away(t, i, j);
    return sum;
}

static inline double relative_row(const twin *t, atn_idx i, row_arg *a)
{
    const atn_idx at = i + t->offset;

    return at >= 1 ? distance_row(t, i, a) / (double)at : NAN;
}

/* The weight beside the first key; NaN where it is next to nothing. */
static inline double rest_row(const twin *t, atn_idx i, row_arg *a)
{
    double rest = 0;

    for (atn_idx j = 0; j < t->nk; j++) rest += j == t->first ? 0 : t->p[i][j];
    if (rest > 0 && fabs(rest / t->mass[i] - 1e-6) < 1e-9) a->unsure = true;
    return rest > 1e-6 * t->mass[i] ? rest : NAN;
}

static inline double rest_distance_row(const twin *t, atn_idx i, row_arg *a)
{
    double sum = 0;

    for (atn_idx j = 0; j < t->nk; j++)
        sum += j == t->first ? 0 : t->p[i][j] * away(t, i, j);
    return sum / rest_row(t, i, a);
}

static inline double missing_row(const twin *t, atn_idx i, row_arg *a)
{
    double sum = 0;

    (void)a;
    for (atn_idx j = 0; j < t->nk; j++) sum += t->p[i][j];
    return 1 - sum;
}

static inline double entropy_row(const twin *t, atn_idx i, row_arg *a)
{
    double sum = 0;

    (void)a;
    if (!(t->mass[i] > 0)) return NAN;
    for (atn_idx j = 0; j < t->nk; j++)
        if (t->own[i][j] > 0) sum -= t->own[i][j] * log(t->own[i][j]);
    return sum;
}

static inline double normalised_row(const twin *t, atn_idx i, row_arg *a)
{
    return t->n[i] > 1 ? entropy_row(t, i, a) / log((double)t->n[i]) : NAN;
}

static inline double effective_row(const twin *t, atn_idx i, row_arg *a)
{
    return exp(entropy_row(t, i, a));
}

static inline double divergence_row(const twin *t, atn_idx i, row_arg *a)
{
    return t->mass[i] > 0 ? log((double)t->n[i]) - entropy_row(t, i, a) : NAN;
}

static inline double participation_row(const twin *t, atn_idx i, row_arg *a)
{
    double sum = 0;

    (void)a;
    for (atn_idx j = 0; j < t->nk; j++) sum += t->own[i][j] * t->own[i][j];
    return sum > 0 ? 1 / sum : NAN;
}

static inline double diagonal_row(const twin *t, atn_idx i, row_arg *a)
{
    (void)a;
    return i + t->offset >= 1 ? weight(t, i, i + t->offset) : NAN;
}

static inline double previous_row(const twin *t, atn_idx i, row_arg *a)
{
    (void)a;
    return i + t->offset >= 1 ? weight(t, i, i + t->offset - 1) : NAN;
}

static inline double first_row(const twin *t, atn_idx i, row_arg *a)
{
    (void)a;
    return weight(t, i, t->first);
}

static inline double first_four_row(const twin *t, atn_idx i, row_arg *a)
{
    (void)a;
    return weight(t, i, t->first) + weight(t, i, t->first + 1) +
           weight(t, i, t->first + 2) + weight(t, i, t->first + 3);
}

/* Weight on the keys `shift` after an earlier place of the row's token; NaN without one. */
static inline double repeated_row(const twin *t, atn_idx i, atn_idx shift)
{
    const atn_idx at = i + t->offset;
    double sum = 0;
    bool any = false;

    for (atn_idx m = 0; t->has_tokens && m < at; m++) {
        if (t->token[m] != t->token[at]) continue;
        any = true;
        sum += weight(t, i, m + shift);
    }
    return any ? sum : NAN;
}

static inline double induction_row(const twin *t, atn_idx i, row_arg *a)
{
    (void)a;
    return repeated_row(t, i, 1);
}

static inline double duplicate_row(const twin *t, atn_idx i, row_arg *a)
{
    (void)a;
    return repeated_row(t, i, 0);
}

typedef struct keyed {
    double w;
    atn_idx key;
} keyed;

static inline int heavier(const void *a, const void *b)
{
    const keyed *x = a, *y = b;

    if (x->w != y->w) return x->w > y->w ? -1 : 1;
    return (x->key > y->key) - (x->key < y->key);
}

/* The visible keys, heaviest first, equal ones by key. */
static inline atn_idx ranked(const twin *t, atn_idx i, keyed *out)
{
    atn_idx n = 0;

    for (atn_idx j = 0; j < t->nk; j++)
        if (t->sees[i][j]) out[n++] = (keyed){t->p[i][j], j};
    qsort(out, (size_t)n, sizeof *out, heavier);
    return n;
}

static inline double topk_row(const twin *t, atn_idx i, row_arg *a)
{
    keyed key[TWIN_MOST];
    const atn_idx n = ranked(t, i, key);
    double sum = 0;

    for (atn_idx k = 0; k < n && k < a->set->k; k++) sum += key[k].w;
    return sum;
}

/* Is the share x (of 1) of what is to be reached enough? */
static inline bool reached(double x, double level, bool *unsure)
{
    if (fabs(x - level * (1 - UNIT)) < NEAR && fabs(x - level) > 1e-12) *unsure = true;
    return x >= level * (1 - UNIT);
}

/* How many of the ranked keys reach the level. */
static inline atn_idx enough(const twin *t, atn_idx i, const keyed *key, atn_idx n,
                             double level, bool *unsure)
{
    double sum = 0;
    atn_idx k = 0;

    if (t->mass[i] <= 0) return 0;
    while (k < n && !reached(sum / t->mass[i], level, unsure)) sum += key[k++].w;
    return k;
}

static inline double keys_row(const twin *t, atn_idx i, row_arg *a)
{
    keyed key[TWIN_MOST];
    const atn_idx n = ranked(t, i, key);

    return t->mass[i] > 0 ? (double)enough(t, i, key, n, a->level, &a->unsure) : NAN;
}

static inline double density_row(const twin *t, atn_idx i, row_arg *a)
{
    return keys_row(t, i, a) / (double)t->n[i];
}

static inline double span_row(const twin *t, atn_idx i, row_arg *a)
{
    if (t->mass[i] <= 0) return NAN;
    for (atn_idx s = 0;; s++) {
        double sum = 0;

        for (atn_idx j = 0; j < t->nk; j++)
            if (away(t, i, j) <= (double)s) sum += t->own[i][j];
        if (reached(sum, a->level, &a->unsure)) return (double)s;
    }
}

static inline double gini_row(const twin *t, atn_idx i, row_arg *a)
{
    double apart = 0; /* sum of |p_j - p_k| over pairs, another form of the same */

    (void)a;
    if (t->mass[i] <= 0) return NAN;
    for (atn_idx j = 0; j < t->nk; j++)
        for (atn_idx k = 0; k < t->nk; k++)
            if (t->sees[i][j] && t->sees[i][k])
                apart += fabs(t->own[i][j] - t->own[i][k]);
    return apart / (2 * (double)t->n[i]);
}

static inline double smoothed_row(const twin *t, atn_idx i, row_arg *a)
{
    double sum = 0;

    (void)a;
    if (t->mass[i] <= 0) return NAN;
    for (atn_idx j = 0; j < t->nk; j++) {
        const double q = .9999 * t->own[i][j] + .0001 / (double)t->n[i];
        if (t->sees[i][j]) sum -= q * log(q);
    }
    return sum;
}

static inline double largest_row(const twin *t, atn_idx i, row_arg *a)
{
    double most = 0;

    (void)a;
    if (!(t->mass[i] > 0)) return NAN;
    for (atn_idx j = 0; j < t->nk; j++) most = fmax(most, t->p[i][j]);
    return most;
}

static inline double largest_rest_row(const twin *t, atn_idx i, row_arg *a)
{
    double most = 0;

    for (atn_idx j = 0; j < t->nk; j++)
        if (j != t->first) most = fmax(most, t->p[i][j]);
    return most / rest_row(t, i, a);
}

static inline double largest_inner_row(const twin *t, atn_idx i, row_arg *a)
{
    double most = 0;

    (void)a;
    for (atn_idx j = 0; j < t->nk; j++)
        if (j != t->last - 1) most = fmax(most, t->p[i][j]);
    return most;
}

static inline void row_measures(const twin *t, const settings *set, cells *c)
{
    const double nk = (double)t->nk, far = (double)ATN_MAX(t->nk, t->nq);
    const double nats = log(fmax(nk, 2));
    const struct {
        const char *name;
        row_of *f;
        double range, level;
    } cols[] = {
        {"distance_mean_tokens", distance_row, far, 0},
        {"distance_relative", relative_row, far, 0},
        {"distance_without_first_tokens", rest_distance_row, far, 0},
        {"missing_mass", missing_row, 1, 0},
        {"entropy_mean_nats", entropy_row, nats, 0},
        {"entropy_normalised", normalised_row, 1, 0},
        {"effective_keys", effective_row, nk, 0},
        {"participation_ratio", participation_row, nk, 0},
        {"uniform_kl_nats", divergence_row, nats, 0},
        {"diagonal_mass", diagonal_row, 1, 0},
        {"previous_mass", previous_row, 1, 0},
        {"sink_mass", first_row, 1, 0},
        {"sink_mass_first4", first_four_row, 1, 0},
        {"induction_score", induction_row, 1, 0},
        {"duplicate_score", duplicate_row, 1, 0},
        {"topk_mass", topk_row, 1, 0},
        {"coverage_50_mean_keys", keys_row, nk, .5},
        {"coverage_80_mean_keys", keys_row, nk, .8},
        {"coverage_90_mean_keys", keys_row, nk, .9},
        {"coverage_95_mean_keys", keys_row, nk, .95},
        {"coverage_99_mean_keys", keys_row, nk, .99},
        {"coverage_999_mean_keys", keys_row, nk, .999},
        {"coverage_50_density", density_row, 1, .5},
        {"coverage_80_density", density_row, 1, .8},
        {"coverage_90_density", density_row, 1, .9},
        {"coverage_95_density", density_row, 1, .95},
        {"coverage_99_density", density_row, 1, .99},
        {"coverage_999_density", density_row, 1, .999},
        {"span_50_mean_tokens", span_row, far, .5},
        {"span_90_mean_tokens", span_row, far, .9},
        {"span_95_mean_tokens", span_row, far, .95},
        {"gini_mean", gini_row, 1, 0},
        {"smoothed_mean_nats", smoothed_row, nats, 0},
        {"confidence_mean", largest_row, 1, 0},
        {"confidence_without_first", largest_rest_row, 1, 0},
        {"confidence_without_last", largest_inner_row, 1, 0},
    };

    for (size_t i = 0; i < sizeof cols / sizeof *cols; i++)
        put_mean(c, t, cols[i].name, cols[i].f, (row_arg){set, cols[i].level, false},
                 cols[i].range);
}
