/* analysis/experiments/column_sampling.c -- V9: products from sampled columns.
 *
 * Math    the estimate of a draw is X = sum_t P e_{j_t} v_{j_t}' / (m p_{j_t}); with
 *         Y_j = P e_j v_j' / p_j - P V and y_jl = <Y_j, Y_l>,
 *             |X - P V|_F^2 = sum_tu y_{j_t j_u} / m^2,
 *             Var = ((E y_jj^2 - (E y_jj)^2) + 2 (m - 1) E y_jl^2) / m^3,
 *         which gives the standard error of a mean of draws. y_jl comes from the Gram
 *         matrices of the columns of P and of the values.
 *         The tail: t is where Bernstein's inequality says 5 %. Rows that normalise
 *         themselves are drawn as they stand, with columns shared by all rows.
 * Cost    n^2 (n + d_v) flop and 8 n^2 bytes a head; m^2 a draw.
 * Limits  a mean over draws is judged where its skewness by single columns, and by
 *         squares as of a normal number, is below 0.1: a column that is heavy and rare is seen in few draws or in none. Rows of B23
 *         are judged where weights vary little: (sum_j P^2 / p - 1) / m <= 0.02, and the
 *         fourth moment of a draw is at most 2 m times the squared second.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "analysis/experiments/experiment.h"
#include "analysis/experiments/means.h"
#include "approx/method.h"
#include "core/linalg.h"
#include "core/rng.h"
#include "core/rows.h"

enum { TAIL_DRAWS = 200, ROW_DRAWS = 2000, ROWS_MOST = 64, CHUNK = 16 };
static const double TAIL = .05, SKEW_MOST = .1, ROW_VARIANCE = .02, ROW_TAILS = 2;
static const double LO = .7, HI = 1.3;
/* Columns of less, and chances of less, are none: nobody draws them, and squares of
 * theirs are below any double. */
static const double COLUMN_LEAST = 1e-140, CHANCE_LEAST = 1e-150;

typedef enum rule { BY_VALUES, BEST, UNIFORM, BY_ROWS, RULES } rule;
static const char *const rule_names[RULES] = {"values", "best", "uniform", "rows"};

typedef struct sampling {
    const atn_head_facts *f;
    atn_idx n, m;
    uint64_t seed;
    int64_t draws, tails, each; /* of moments, of tails, of a row */
    rule of;
    double *a, *b;  /* [n] |P e_j|, |v_j| */
    double *w;      /* [n, dv] (P V)' P e_j */
    double *gram;   /* [n, n] (P e_j . P e_l) (v_j . v_l) */
    double *inner;  /* [dv, dv] (P V)' P V */
    double square;  /* |P V|_F^2 */
    double *p, *up; /* [n] chances, and their running sum */
    double *error;  /* [the most of all draws] */
    double *found;  /* [each][ROWS_MOST] squared errors of rows */
    double *most;   /* [n] norms of Y_j */
    atn_idx *row;   /* of B23 */
    atn_idx rows;
} sampling;

static double dot(const double *x, const double *y, atn_idx n)
{
    double sum = 0;

    for (atn_idx c = 0; c < n; c++) sum += x[c] * y[c];
    return sum;
}

static atn_cwide wide(const double *x, atn_idx rows, atn_idx cols)
{
    return (atn_cwide){x, rows, cols, cols};
}

/* ---- what all draws share ---- */

static void columns_square(sampling *s, const double *columns, const double *values)
{
    for (atn_idx j = 0; j < s->n; j++) {
        s->a[j] = sqrt(fmax(columns[j * s->n + j], 0));
        if (s->a[j] < COLUMN_LEAST) s->a[j] = 0;
        s->b[j] = sqrt(fmax(values[j * s->n + j], 0));
    }
    for (atn_idx e = 0; e < s->n * s->n; e++) s->gram[e] = columns[e] * values[e];
}

static atn_status prepare(atn_ctx *cx, sampling *s)
{
    const atn_head_facts *f = s->f;
    const atn_idx n = s->n, dv = f->dv;
    const atn_cwide p = wide(f->p, f->nq, n), v = wide(f->v, n, dv);
    const atn_cwide o = wide(f->o, f->nq, dv);
    atn_status st = ATN_OK;
    double *values = NULL;

    ATN_TRY(atn_mem_check(cx, 16.0 * (double)n * (double)n, "sampled columns"));
    ATN_TAKE(s->a, n);
    ATN_TAKE(s->b, n);
    ATN_TAKE(s->w, n * dv);
    ATN_TAKE(s->gram, n * n);
    ATN_TAKE(values, n * n);
    ATN_TAKE(s->inner, dv * dv);
    ATN_TAKE(s->p, n);
    ATN_TAKE(s->up, n);
    ATN_TAKE(s->most, n);
    ATN_TAKE(s->error, ATN_MAX(ATN_MAX(s->draws, s->tails), s->each));
    ATN_TAKE(s->found, ROWS_MOST * s->each);
    ATN_TAKE(s->row, ROWS_MOST);
    atn_gemm_wide(ATN_ATB, 1, p, p, 0, (atn_wide){s->gram, n, n, n});
    atn_gemm_wide(ATN_ABT, 1, v, v, 0, (atn_wide){values, n, n, n});
    atn_gemm_wide(ATN_ATB, 1, p, o, 0, (atn_wide){s->w, n, dv, dv});
    atn_gemm_wide(ATN_ATB, 1, o, o, 0, (atn_wide){s->inner, dv, dv, dv});
    columns_square(s, s->gram, values);
    s->square = dot(f->o, f->o, f->nq * dv);
done:
    return st;
}

/* sqrt(sum_i P_ij^2 |v_j - o_i|^2): what rows that normalise themselves need of j. */
static double row_need(const sampling *s, atn_idx j)
{
    const atn_head_facts *f = s->f;
    double sum = 0;

    for (atn_idx i = 0; i < f->nq; i++) {
        const double p = f->p[i * s->n + j];
        double far = 0;

        if (p == 0) continue;
        for (atn_idx c = 0; c < f->dv; c++) {
            const double x = f->v[j * f->dv + c] - f->o[i * f->dv + c];
            far += x * x;
        }
        sum += p * p * far;
    }
    return sqrt(sum);
}

static void set_chances(sampling *s, rule of)
{
    double sum = 0, up = 0;

    s->of = of;
    for (atn_idx j = 0; j < s->n; j++) {
        s->p[j] = of == BY_VALUES ? s->b[j] * s->b[j]
                  : of == BEST    ? s->a[j] * s->b[j]
                  : of == BY_ROWS ? row_need(s, j)
                                  : 1;
        sum += s->p[j];
    }
    for (atn_idx j = 0; j < s->n; j++) {
        s->p[j] = sum > 0 ? s->p[j] / sum : 1 / (double)s->n;
        if (s->p[j] < CHANCE_LEAST) s->p[j] = 0;
        s->up[j] = up += s->p[j];
    }
}

/* The first column whose running sum is above x; one without a chance is none. */
static atn_idx draw_column(const sampling *s, atn_rng *r)
{
    const double x = atn_rng_uniform(r) * s->up[s->n - 1];
    atn_idx lo = 0, hi = s->n - 1;

    while (lo < hi) {
        const atn_idx mid = (lo + hi) / 2;
        if (s->up[mid] > x)
            hi = mid;
        else
            lo = mid + 1;
    }
    return lo;
}

static void draw_columns(const sampling *s, const char *what, atn_idx draw, atn_idx *at)
{
    const atn_head *h = &s->f->head;
    char purpose[64];
    atn_rng r;

    snprintf(purpose, sizeof purpose, "column_sampling/%s/%s", what, rule_names[s->of]);
    r = atn_rng_stream(s->seed, purpose, h->layer, h->head + (draw << 20));
    for (atn_idx t = 0; t < s->m; t++) at[t] = draw_column(s, &r);
}

/* ---- the second moment ---- */

static double inner(const sampling *s, atn_idx j, atn_idx l)
{
    const double *v = s->f->v;
    const atn_idx dv = s->f->dv;
    const double cj = dot(s->w + j * dv, v + j * dv, dv) / s->p[j];
    const double cl = dot(s->w + l * dv, v + l * dv, dv) / s->p[l];

    return s->gram[j * s->n + l] / (s->p[j] * s->p[l]) - cj - cl + s->square;
}

static double squared_error(const sampling *s, const atn_idx *at)
{
    const double m = (double)s->m;
    const atn_idx dv = s->f->dv;
    double twice = 0, once = 0;

    for (atn_idx t = 0; t < s->m; t++) {
        const double *row = s->gram + at[t] * s->n;
        double sum = 0;

        for (atn_idx u = 0; u < s->m; u++) sum += row[at[u]] / s->p[at[u]];
        twice += sum / s->p[at[t]];
        once += dot(s->w + at[t] * dv, s->f->v + at[t] * dv, dv) / s->p[at[t]];
    }
    return twice / (m * m) - 2 * once / m + s->square;
}

static atn_status moment_task(atn_ctx *cx, atn_idx c, void *state)
{
    const atn_arena_mark mark = atn_arena_save(cx);
    sampling *s = state;
    atn_status st = ATN_OK;
    atn_idx *at = NULL;

    ATN_TAKE(at, s->m);
    for (atn_idx d = c * CHUNK; d < ATN_MIN((c + 1) * CHUNK, s->draws); d++) {
        draw_columns(s, "moment", d, at);
        s->error[d] = squared_error(s, at);
    }
done:
    atn_arena_rewind(cx, mark);
    return st;
}

/* Variance of the squared error of a draw, and the skewness that single columns give
 * the mean of `draws`. */
static double error_variance(const sampling *s, double *skew)
{
    const double m = (double)s->m;
    double two = 0, four = 0, six = 0, cross = 0, variance;

    for (atn_idx j = 0; j < s->n; j++) {
        const double y = s->p[j] > 0 ? inner(s, j, j) : 0;

        two += s->p[j] * y;
        four += s->p[j] * y * y;
        six += s->p[j] * y * y * y;
        for (atn_idx l = 0; l < s->n; l++) {
            const double x = s->p[j] * s->p[l] > 0 ? inner(s, j, l) : 0;
            cross += s->p[j] * s->p[l] * x * x;
        }
    }
    variance = (four - two * two + 2 * (m - 1) * cross) / (m * m * m);
    *skew = (six / pow(m, 5) / pow(variance, 1.5) + sqrt(8)) / sqrt((double)s->draws);
    return variance;
}

static atn_status check_moment(atn_ctx *cx, sampling *s, rule of, atn_checks *out)
{
    atn_check c = {.bound = &atn_bound_amm_second_moment, .trials = s->draws};
    atn_quantities q = {.list = {s->a, s->b, s->p}, .x = {0}};
    double skew, error, sum = 0;
    atn_status st = ATN_OK;

    set_chances(s, of);
    for (int i = 0; i < 3; i++) q.n[i] = (size_t)s->n;
    q.x[3] = sqrt(s->square);
    q.x[4] = (double)s->m;
    ATN_TRY(atn_parallel(cx, (s->draws + CHUNK - 1) / CHUNK, moment_task, s,
                         "sampled columns"));
    for (int64_t d = 0; d < s->draws; d++) sum += s->error[d];
    error = sqrt(fmax(error_variance(s, &skew), 0) / (double)s->draws);
    c.predicted = atn_bound_predict(c.bound, &q);
    c.measured = sum / (double)s->draws;
    c.scale = s->square;
    c.statistic = c.measured - c.predicted;
    /* without spread all that is left is rounding */
    if (fabs(c.statistic) <= 1e-9 * s->square)
        c.statistic = 0;
    else
        c.statistic /= error;
    c.only_report = skew > SKEW_MOST;
    snprintf(c.variant, sizeof c.variant, "%s m=%lld", rule_names[of], (long long)s->m);
    if (c.only_report)
        snprintf(c.note, sizeof c.note,
                 "a heavy, rare column: skewness of the mean %.2g", skew);
    ATN_TRY(atn_checks_add(cx, out, &c));
done:
    return st;
}

/* ---- the tail ---- */

static atn_status largest(atn_ctx *cx, double *a, atn_idx n, double *out)
{
    const atn_arena_mark mark = atn_arena_save(cx);
    atn_status st = ATN_OK;
    double *values = NULL;

    ATN_TAKE(values, n);
    ATN_TRY(atn_eigenvalues(cx, a, n, values));
    *out = fmax(values[n - 1], 0);
done:
    atn_arena_rewind(cx, mark);
    return st;
}

/* |P e_j v_j' / p_j - P V|_op of CHUNK columns. */
static atn_status term_task(atn_ctx *cx, atn_idx chunk, void *state)
{
    const atn_arena_mark mark = atn_arena_save(cx);
    const sampling *s = state;
    const atn_idx dv = s->f->dv;
    atn_status st = ATN_OK;
    double *g = NULL;

    ATN_TAKE(g, dv * dv);
    for (atn_idx j = chunk * CHUNK; j < ATN_MIN((chunk + 1) * CHUNK, s->n); j++) {
        const double *w = s->w + j * dv, *v = s->f->v + j * dv;
        const double p = s->p[j], x = s->a[j] * s->a[j];

        s->most[j] = 0;
        if (!(p > 0)) continue;
        for (atn_idx c = 0; c < dv; c++)
            for (atn_idx e = 0; e < dv; e++)
                g[c * dv + e] = s->inner[c * dv + e] - (w[c] * v[e] + v[c] * w[e]) / p +
                                x * v[c] * v[e] / (p * p);
        ATN_TRY(largest(cx, g, dv, &s->most[j]));
        s->most[j] = sqrt(s->most[j]);
    }
done:
    atn_arena_rewind(cx, mark);
    return st;
}

/* |X - P V|_op of CHUNK draws. */
static atn_status tail_task(atn_ctx *cx, atn_idx chunk, void *state)
{
    const atn_arena_mark mark = atn_arena_save(cx);
    sampling *s = state;
    const atn_head_facts *f = s->f;
    const atn_idx dv = f->dv, m = s->m;
    atn_status st = ATN_OK;
    double *x = NULL, *g = NULL, *cols = NULL, *vals = NULL;
    atn_idx *at = NULL;

    ATN_TAKE(at, m);
    ATN_TAKE(x, f->nq * dv);
    ATN_TAKE(g, dv * dv);
    ATN_TAKE(cols, f->nq * m);
    ATN_TAKE(vals, m * dv);
    for (atn_idx d = chunk * CHUNK; d < ATN_MIN((chunk + 1) * CHUNK, s->tails); d++) {
        draw_columns(s, "tail", d, at);
        for (atn_idx t = 0; t < m; t++) {
            const double by = 1 / ((double)m * s->p[at[t]]);

            for (atn_idx i = 0; i < f->nq; i++)
                cols[i * m + t] = f->p[i * s->n + at[t]];
            for (atn_idx c = 0; c < dv; c++)
                vals[t * dv + c] = by * f->v[at[t] * dv + c];
        }
        memcpy(x, f->o, (size_t)(f->nq * dv) * sizeof *x);
        atn_gemm_wide(ATN_AB, 1, wide(cols, f->nq, m), wide(vals, m, dv), -1,
                      (atn_wide){x, f->nq, dv, dv});
        atn_gemm_wide(ATN_ATB, 1, wide(x, f->nq, dv), wide(x, f->nq, dv), 0,
                      (atn_wide){g, dv, dv, dv});
        ATN_TRY(largest(cx, g, dv, &s->error[d]));
        s->error[d] = sqrt(s->error[d]);
    }
done:
    atn_arena_rewind(cx, mark);
    return st;
}

/* The larger of the norms of E Y Y' and E Y' Y. */
static atn_status variance_norm(atn_ctx *cx, const sampling *s, double *out)
{
    const atn_arena_mark mark = atn_arena_save(cx);
    const atn_head_facts *f = s->f;
    const atn_idx n = s->n, nq = f->nq, dv = f->dv;
    atn_status st = ATN_OK;
    double *x = NULL, *left = NULL, *y = NULL, *right = NULL, one, two;

    ATN_TAKE(x, nq * n);
    ATN_TAKE(left, nq * nq);
    ATN_TAKE(y, n * dv);
    ATN_TAKE(right, dv * dv);
    for (atn_idx j = 0; j < n; j++) {
        const double by = s->p[j] > 0 ? 1 / sqrt(s->p[j]) : 0;

        for (atn_idx i = 0; i < nq; i++) x[i * n + j] = f->p[i * n + j] * s->b[j] * by;
        for (atn_idx c = 0; c < dv; c++)
            y[j * dv + c] = f->v[j * dv + c] * s->a[j] * by;
    }
    atn_gemm_wide(ATN_ABT, 1, wide(f->o, nq, dv), wide(f->o, nq, dv), 0,
                  (atn_wide){left, nq, nq, nq});
    atn_gemm_wide(ATN_ABT, 1, wide(x, nq, n), wide(x, nq, n), -1,
                  (atn_wide){left, nq, nq, nq});
    memcpy(right, s->inner, (size_t)(dv * dv) * sizeof *right);
    atn_gemm_wide(ATN_ATB, 1, wide(y, n, dv), wide(y, n, dv), -1,
                  (atn_wide){right, dv, dv, dv});
    ATN_TRY(largest(cx, left, nq, &one));
    ATN_TRY(largest(cx, right, dv, &two));
    *out = fmax(one, two);
done:
    atn_arena_rewind(cx, mark);
    return st;
}

static atn_status check_tail(atn_ctx *cx, sampling *s, rule of, atn_checks *out)
{
    const double rows = (double)s->f->nq, width = (double)s->f->dv, m = (double)s->m;
    const double a = log((rows + width) / TAIL);
    atn_check c = {.bound = &atn_bound_amm_bernstein, .trials = s->tails};
    double v = 0, most = 0, t;
    int64_t beyond = 0;
    atn_status st = ATN_OK;

    set_chances(s, of);
    ATN_TRY(variance_norm(cx, s, &v));
    ATN_TRY(atn_parallel(cx, (s->n + CHUNK - 1) / CHUNK, term_task, s, "terms"));
    for (atn_idx j = 0; j < s->n; j++) most = fmax(most, s->most[j]);
    v /= m;
    most /= m;
    t = a * most / 3 + sqrt(a * a * most * most / 9 + 2 * a * v);
    ATN_TRY(atn_parallel(cx, (s->tails + CHUNK - 1) / CHUNK, tail_task, s, "tails"));
    for (int64_t d = 0; d < s->tails; d++)
        beyond += s->error[d] > t + 1e-9 * sqrt(s->square);
    c.predicted =
        atn_bound_predict(c.bound, &(atn_quantities){.x = {rows, width, v, most, t}});
    c.measured = (double)beyond / (double)s->tails;
    c.statistic = fmax(0, (c.measured - c.predicted) /
                              sqrt(TAIL * (1 - TAIL) / (double)s->tails));
    snprintf(c.variant, sizeof c.variant, "%s m=%lld", rule_names[of], (long long)s->m);
    snprintf(c.note, sizeof c.note, "error t = %.4g of |PV|_F %.4g", t,
             sqrt(s->square));
    ATN_TRY(atn_checks_add(cx, out, &c));
done:
    return st;
}

/* ---- rows that normalise themselves ---- */

/* |v_j - o_i| of all keys. */
static void distances(const sampling *s, atn_idx i, double *out)
{
    const atn_head_facts *f = s->f;

    for (atn_idx j = 0; j < s->n; j++) {
        double sum = 0;

        for (atn_idx c = 0; c < f->dv; c++) {
            const double x = f->v[j * f->dv + c] - f->o[i * f->dv + c];
            sum += x * x;
        }
        out[j] = sqrt(sum);
    }
}

static bool row_is_judged(const sampling *s, atn_idx i, const double *far)
{
    const double *p = s->f->p + i * s->n;
    double weights = 0, two = 0, four = 0;

    for (atn_idx j = 0; j < s->n; j++) {
        double x;

        if (p[j] == 0) continue;
        if (!(s->p[j] > 0)) return false;
        x = p[j] / s->p[j];
        weights += p[j] * x;
        two += s->p[j] * pow(x * far[j], 2);
        four += s->p[j] * pow(x * far[j], 4);
    }
    return weights > 0 && (weights - 1) / (double)s->m <= ROW_VARIANCE && two > 0 &&
           four <= ROW_TAILS * (double)s->m * two * two;
}

/* Squared error of row i, from these columns. */
static double row_error(const sampling *s, atn_idx i, const atn_idx *at, double *o)
{
    const atn_head_facts *f = s->f;
    double sum = 0, error = 0;

    memset(o, 0, (size_t)f->dv * sizeof *o);
    for (atn_idx t = 0; t < s->m; t++) {
        const double w = f->p[i * s->n + at[t]] / s->p[at[t]];

        sum += w;
        for (atn_idx c = 0; c < f->dv; c++) o[c] += w * f->v[at[t] * f->dv + c];
    }
    for (atn_idx c = 0; c < f->dv; c++) {
        const double x = (sum > 0 ? o[c] / sum : 0) - f->o[i * f->dv + c];
        error += x * x;
    }
    return error;
}

/* Of row r, all draws. */
static atn_status row_task(atn_ctx *cx, atn_idx r, void *state)
{
    const atn_arena_mark mark = atn_arena_save(cx);
    sampling *s = state;
    atn_status st = ATN_OK;
    atn_idx *at = NULL;
    double *o = NULL;

    ATN_TAKE(at, s->m);
    ATN_TAKE(o, s->f->dv);
    for (atn_idx d = 0; d < s->each; d++) {
        draw_columns(s, "row", r + d * ROWS_MOST, at);
        s->found[d * ROWS_MOST + r] = row_error(s, s->row[r], at, o);
    }
done:
    atn_arena_rewind(cx, mark);
    return st;
}

static atn_quantities of_row(const sampling *s, atn_idx i, const double *far)
{
    const size_t n = (size_t)s->n;

    return (atn_quantities){.list = {s->f->p + i * s->n, far, s->p},
                            .n = {n, n, n},
                            .x = {0, 0, 0, (double)s->m}};
}

/* Rows that are judged, evenly spread: about ROWS_MOST of them. */
static void choose_rows(sampling *s, double *far)
{
    const atn_idx step = ATN_MAX(s->f->nq / ROWS_MOST, 1);

    s->rows = 0;
    for (atn_idx i = step / 2; i < s->f->nq && s->rows < ROWS_MOST; i += step) {
        distances(s, i, far);
        if (row_is_judged(s, i, far)) s->row[s->rows++] = i;
    }
}

static double longest_square(const sampling *s)
{
    double most = 0;

    for (atn_idx j = 0; j < s->n; j++) most = fmax(most, s->b[j] * s->b[j]);
    return most;
}

static atn_status check_rows(atn_ctx *cx, sampling *s, rule of, atn_checks *out)
{
    atn_check c = {
        .bound = &atn_bound_self_normalised, .lo = LO, .hi = HI, .trials = s->each};
    atn_status st = ATN_OK;
    double *far = NULL;
    atn_mean m;

    ATN_TAKE(far, s->n);
    set_chances(s, of);
    choose_rows(s, far);
    ATN_TRY(atn_parallel(cx, s->rows, row_task, s, "sampled rows"));
    for (atn_idx r = 0; r < s->rows; r++) {
        atn_quantities q;

        distances(s, s->row[r], far);
        q = of_row(s, s->row[r], far);
        c.predicted += atn_bound_predict(c.bound, &q);
    }
    c.cases = s->rows;
    c.not_here = !(s->rows > 0 && c.predicted > 1e-24 * longest_square(s));
    for (int64_t d = 0; d < s->each && !c.not_here; d++) {
        s->error[d] = 0;
        for (atn_idx r = 0; r < s->rows; r++)
            s->error[d] += s->found[d * ROWS_MOST + r] / c.predicted;
    }
    m = atn_mean_of(s->error, c.not_here ? 0 : s->each);
    c.measured = c.not_here ? NAN : m.mean * c.predicted;
    c.statistic = atn_mean_outside(&m, LO, HI);
    c.only_report = !atn_mean_is_known(&m, 1);
    snprintf(c.variant, sizeof c.variant, "%s m=%lld", rule_names[of], (long long)s->m);
    if (c.not_here)
        snprintf(c.note, sizeof c.note, "no row of small enough variance has an error");
    else
        snprintf(c.note, sizeof c.note, "measured / predicted %.3f +- %.2g", m.mean,
                 m.error);
    ATN_TRY(atn_checks_add(cx, out, &c));
done:
    return st;
}

/* No chances are better than those of the row: the row where the two are closest. */
static atn_status check_best(atn_ctx *cx, sampling *s, rule of, atn_checks *out)
{
    atn_check c = {.bound = &atn_bound_self_normalised_best, .predicted = NAN};
    double closest = INFINITY;
    atn_status st = ATN_OK;
    double *far = NULL;

    ATN_TAKE(far, s->n);
    set_chances(s, of);
    for (atn_idx i = 0; i < s->f->nq; i++) {
        atn_quantities q;
        double got, best;

        distances(s, i, far);
        q = of_row(s, i, far);
        got = atn_bound_predict(&atn_bound_self_normalised, &q);
        q.x[2] = (double)s->m;
        best = atn_bound_predict(c.bound, &q);
        if (isnan(got)) continue;
        c.cases++;
        c.failures += got < best * (1 - 1e-9);
        if (c.cases > 1 && !(got < closest * best)) continue;
        closest = best > 0 ? got / best : INFINITY;
        c.measured = got;
        c.predicted = best;
    }
    c.not_here = c.cases == 0;
    if (c.not_here) c.measured = NAN;
    snprintf(c.variant, sizeof c.variant, "%s m=%lld", rule_names[of], (long long)s->m);
    ATN_TRY(atn_checks_add(cx, out, &c));
done:
    return st;
}

static atn_status head(atn_ctx *cx, const atn_trial_head *t, atn_checks *out)
{
    const atn_arena_mark mark = atn_arena_save(cx);
    sampling s = {.f = t->facts,
                  .n = t->facts->nk,
                  .seed = t->seed,
                  .draws = t->trials,
                  .tails = t->asked > 0 ? t->asked : TAIL_DRAWS,
                  .each = t->asked > 0 ? t->asked : ROW_DRAWS};
    atn_status st = ATN_OK;

    if (s.n == 0 || t->facts->nq == 0 || t->facts->dv == 0) return ATN_OK;
    ATN_TRY(prepare(cx, &s));
    s.m = ATN_MAX(s.n / 8, 1);
    for (rule of = BY_VALUES; of <= UNIFORM; of++)
        ATN_TRY(check_moment(cx, &s, of, out));
    for (rule of = BY_VALUES; of <= BEST; of++) ATN_TRY(check_tail(cx, &s, of, out));
    s.m = ATN_MAX(s.n / 4, 1);
    for (rule of = UNIFORM; of <= BY_ROWS; of++) {
        ATN_TRY(check_rows(cx, &s, of, out));
        ATN_TRY(check_best(cx, &s, of, out));
    }
done:
    atn_arena_rewind(cx, mark);
    return st;
}

const atn_experiment atn_experiment_column_sampling = {
    .id = "column_sampling",
    .label = "V9",
    .title = "Products from sampled columns",
    .text =
        "the mean squared error of P V from sampled columns, for three choices of "
        "chances; its tail; rows that normalise themselves, and the best chances for "
        "them (an inequality of the mathematics)",
    .source = "cards/kernel-theory.md, B16, B23 and V9",
    .values = true,
    .sides = ATN_BOTH_WAYS,
    .trials = 10000,
    .head = head,
    .bounds = "amm_second_moment amm_bernstein self_normalised self_normalised_best",
};
