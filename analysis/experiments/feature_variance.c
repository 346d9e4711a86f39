/* analysis/experiments/feature_variance.c -- entries of random features: mean and
 * variance of single draws, against their closed forms.
 *
 * Math    theory/features.c. PAIRS pairs of a query and a key that it sees, squares of
 *         q' + k' (of q' - k' for cosines) being MOST at most; of each, `trials` draws.
 *         The mean of squared errors of pair k is v_k in the mean, and has a standard
 *         error from the fourth moment, as all E X^r are known. Differences in
 *         standard errors are added up and divided by the root of the pairs, so that no
 *         pair outweighs the others. The skewness g of that sum is known, too, and
 *         taken out (means.h); only as many of the shortest pairs count as leave it
 *         below SKEW_MOST. Means of 16 cosines that are off by TAIL are counted.
 *         Orthogonal draws, of the first pair: reported.
 * Cost    2 PAIRS d random numbers a trial.
 * Limits  no bias, cap: an entry is e^{q'.k'}. Where squares are larger the fourth
 *         moment is beyond any number of trials, and only the closed form is said.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "analysis/experiments/experiment.h"
#include "analysis/experiments/means.h"
#include "approx/method.h"
#include "approx/random_features.h"
#include "core/linalg.h"
#include "core/mat.h"
#include "core/rng.h"
#include "core/rows.h"

extern const atn_experiment atn_experiment_feature_variance;

enum { PAIRS = 32, TRIES = 4096, KINDS = 4, GROUP = 16, FOURIER = 3 };
enum { LIBRARY_MOST = 20000 };
static const double MOST = 1.5, LEAST = 1e-3, TAIL = .5, SKEW_MOST = .3;
static const char *const kind_names[KINDS] = {"positive", "hyperbolic", "trig",
                                              "gaussian"};

typedef struct pair {
    atn_idx i, j;
    double square;
    double mean[2], square_error[2]; /* of the two kinds of its side */
    double beyond;
} pair;

typedef struct drawing {
    const atn_trial_head *t;
    pair *pair; /* [2][PAIRS]: of sums, of differences */
    int n[2];
    double *square; /* [2][TRIES] of all pairs tried */
    int tried;
} drawing;

static bool of_differences(int kind)
{
    return kind >= 2;
}

/* |q' + k'|^2, or |q' - k'|^2. */
static double square_of(const atn_head_facts *f, atn_idx i, atn_idx j, bool minus)
{
    double sum = 0;

    for (atn_idx c = 0; c < f->d; c++) {
        const double x =
            f->q[i * f->d + c] + (minus ? -f->k[j * f->d + c] : f->k[j * f->d + c]);

        sum += x * x;
    }
    return fabs(f->head.scale) * sum;
}

static void choose(drawing *w)
{
    const atn_head_facts *f = w->t->facts;
    atn_rng rng = atn_rng_stream(w->t->seed, "feature_variance/pairs", f->head.layer,
                                 f->head.head);

    for (int try = 0; try < TRIES && f->nq > 0; try++) {
        const atn_idx i = atn_rng_below(&rng, f->nq);
        atn_idx lo, hi, j;

        atn_sight_row(&f->head.sight, i, &lo, &hi);
        if (lo >= hi) continue;
        j = lo + atn_rng_below(&rng, hi - lo);
        for (int side = 0; side < 2; side++) {
            const double square = square_of(f, i, j, side);

            w->square[side * TRIES + w->tried] = square;
            if (square >= LEAST && square <= MOST && w->n[side] < PAIRS)
                w->pair[side * PAIRS + w->n[side]++] =
                    (pair){i, j, square, {0}, {0}, 0};
        }
        w->tried++;
    }
}

static int by_square(const void *a, const void *b)
{
    const pair *x = a, *y = b;

    return (x->square > y->square) - (x->square < y->square);
}

/* An estimate from one direction: a = w . q', b = w . k', relative to the entry; of the
 * last kind as it is. */
static double estimate(int kind, double a, double b, double half, double entry)
{
    switch (kind) {
    case 0:
        return exp(a + b - half - entry);
    case 1:
        return exp(-half - entry) * cosh(a + b);
    case 2: /* both features, as a method has them */
        return exp(half - entry) * (cos(a) * cos(b) + sin(a) * sin(b));
    default:
        return cos(a) * cos(b) + sin(a) * sin(b);
    }
}

static double choose_of(int n, int k)
{
    double c = 1;

    for (int e = 1; e <= k; e++) c = c * (n - k + e) / e;
    return c;
}

/* E X^r, x = the square; of X relative to the entry, or of the cosine: cosh^r and cos^r
 * are means of cosh and cos of multiples. */
static double moment(int kind, double x, int r)
{
    static const double sign[] = {0, 1, -1, -1};
    const double s = sign[kind] * x;
    double sum = 0;

    if (kind == 0) return exp((r * r - r) * x / 2);
    for (int k = 0; k <= r; k++)
        sum += choose_of(r, k) * exp((r - 2 * k) * (r - 2 * k) * s / 2);
    return sum / (1 << r) * (kind == FOURIER ? 1 : exp(-r * s / 2));
}

/* Moment r about the mean. */
static double central(int kind, double x, int r)
{
    const double m = moment(kind, x, 1);
    double sum = pow(-m, r);

    for (int k = 1; k <= r; k++)
        sum += choose_of(r, k) * pow(-m, r - k) * moment(kind, x, k);
    return sum;
}

/* Skewness of one draw, or of its squared error. */
static double skew_of(int kind, double x, bool squares)
{
    const double two = central(kind, x, 2), four = central(kind, x, 4);

    if (!squares) return central(kind, x, 3) / pow(two, 1.5);
    return (central(kind, x, 6) - 3 * four * two + 2 * two * two * two) /
           pow(fmax(four - two * two, 1e-12 * two * two), 1.5);
}

/* How many pairs count, which are sorted by their squares, and the skewness of their
 * mean. */
static int counted(const drawing *w, int kind, bool squares, double *skew)
{
    const int side = of_differences(kind);
    double sum = 0;
    int n = 0;

    for (int k = 0; k < w->n[side]; k++) {
        double mean;

        sum += skew_of(kind, w->pair[side * PAIRS + k].square, squares);
        mean = sum / pow(k + 1, 1.5) / sqrt((double)w->t->trials);
        if (!(fabs(mean) <= SKEW_MOST)) continue;
        n = k + 1;
        *skew = mean;
    }
    return n;
}

static atn_status draw_pair(atn_ctx *cx, atn_idx task, void *state)
{
    drawing *w = state;
    const atn_head_facts *f = w->t->facts;
    const int side = (int)(task / PAIRS);
    pair *p = &w->pair[task];
    atn_rng rng = atn_rng_stream(w->t->seed, "feature_variance", f->head.layer,
                                 f->head.head * 2 * PAIRS + task);
    const double root = sqrt(fabs(f->head.scale)), trials = (double)w->t->trials;
    double half = 0, entry = 0, group = 0;
    const double *q, *k;

    (void)cx;
    if (task % PAIRS >= w->n[side]) return ATN_OK; /* there is no such pair */
    q = f->q + p->i * f->d;
    k = f->k + p->j * f->d;
    for (atn_idx c = 0; c < f->d; c++) {
        half += root * root * (q[c] * q[c] + k[c] * k[c]) / 2;
        entry += root * root * q[c] * k[c];
    }
    for (int64_t t = 0; t < w->t->trials; t++) {
        double a = 0, b = 0;

        for (atn_idx c = 0; c < f->d; c++) {
            const double normal = root * atn_rng_normal(&rng);

            a += normal * q[c];
            b += normal * k[c];
        }
        for (int e = 0; e < 2; e++) {
            const int kind = 2 * side + e;
            const double x = estimate(kind, a, b, half, entry);
            const double off = x - moment(kind, p->square, 1);

            p->mean[e] += x / trials;
            p->square_error[e] += off * off / trials;
            if (kind == FOURIER) group += off / GROUP;
        }
        if (t % GROUP != GROUP - 1) continue;
        p->beyond += fabs(group) >= TAIL;
        group = 0;
    }
    p->beyond /= floor(trials / GROUP);
    return ATN_OK;
}

static double predicted(int kind, double square)
{
    const atn_bound *b =
        kind == FOURIER ? &atn_bound_fourier_variance : &atn_bound_feature_variance;
    const atn_quantities of_kernel = {.x = {square, 1}};
    const atn_quantities of_entry = {.x = {kind, square, 1}};

    return atn_bound_predict(b, kind == FOURIER ? &of_kernel : &of_entry);
}

/* The closed form at the middle square, where there is nothing to draw. */
static atn_status only_say(atn_ctx *cx, drawing *w, int kind, atn_checks *out)
{
    double *square = w->square + of_differences(kind) * TRIES;
    atn_check c = {.bound = kind == FOURIER ? &atn_bound_fourier_variance
                                            : &atn_bound_feature_variance,
                   .measured = NAN,
                   .only_report = true,
                   .cases = w->tried};

    if (w->tried == 0) return ATN_OK;
    atn_sort(square, w->tried);
    c.predicted = predicted(kind, square[w->tried / 2]);
    snprintf(c.variant, sizeof c.variant, "%s, one draw, middle pair",
             kind_names[kind]);
    snprintf(c.note, sizeof c.note, "squares are above %g: too rare to be drawn", MOST);
    return atn_checks_add(cx, out, &c);
}

/* The mean of draws, or of their squared errors. */
static atn_check check_moment(const drawing *w, int kind, bool squares)
{
    const pair *pairs = &w->pair[of_differences(kind) * PAIRS];
    double skew = 0;
    const int found = counted(w, kind, squares, &skew);
    const int n = found > 0 ? found : w->n[of_differences(kind)];
    const double trials = (double)w->t->trials;
    atn_check c = {.trials = w->t->trials, .cases = n, .only_report = found == 0};

    c.bound = !squares          ? &atn_bound_feature_mean
              : kind == FOURIER ? &atn_bound_fourier_variance
                                : &atn_bound_feature_variance;
    for (int k = 0; k < n; k++) {
        const pair *p = &pairs[k];
        const double v = predicted(kind, p->square), said = squares ? v : 1;
        const double is = squares ? p->square_error[kind % 2] : p->mean[kind % 2];
        const double four = central(kind, p->square, 4);
        const double error =
            squares ? sqrt(fmax(four - v * v, 1e-12 * v * v)) : sqrt(v);

        c.predicted += said / n;
        c.measured += is / n;
        c.statistic += (is - said) / error * sqrt(trials / n);
    }
    c.statistic = atn_mean_unskewed(c.statistic, skew);
    snprintf(c.variant, sizeof c.variant, "%s%s", kind_names[kind],
             squares ? ", one draw" : "");
    if (c.only_report)
        snprintf(c.note, sizeof c.note, "too skew for so few draws: no test");
    else
        snprintf(c.note, sizeof c.note, "|z|^2 up to %.2g; measured / predicted %.4f",
                 pairs[n - 1].square, c.measured / c.predicted);
    return c;
}

static atn_status check_kind(atn_ctx *cx, drawing *w, int kind, atn_checks *out)
{
    atn_status st = ATN_OK;
    atn_check c;

    if (w->n[of_differences(kind)] == 0) return only_say(cx, w, kind, out);
    if (kind != FOURIER) {
        c = check_moment(w, kind, false);
        ATN_TRY(atn_checks_add(cx, out, &c));
    }
    c = check_moment(w, kind, true);
    ATN_TRY(atn_checks_add(cx, out, &c));
done:
    return st;
}

/* ---- the features of the library ---- */

typedef struct library {
    atn_random_map map;
    float *x;                 /* [2 PAIRS, d] queries, then keys, of the pairs */
    double *phi, *log, *draw; /* [2 PAIRS, width], [2 PAIRS], [m] means over pairs */
} library;

/* Draw r of the entry of pair k, relative to it: its features are r and, of those with
 * two a draw, m + r. */
static double library_entry(const drawing *w, const library *l, int kind, int k,
                            atn_idx r)
{
    const atn_head_facts *f = w->t->facts;
    const atn_idx m = l->map.omega.rows, width = atn_random_width(l->map.kind, m);
    const pair *p = &w->pair[of_differences(kind) * PAIRS + k];
    const double *a = l->phi + k * width, *b = l->phi + (PAIRS + k) * width;
    double sum = 0, entry = 0;

    for (atn_idx e = r; e < width; e += m) sum += a[e] * b[e];
    for (atn_idx c = 0; c < f->d; c++)
        entry += f->head.scale * f->q[p->i * f->d + c] * f->k[p->j * f->d + c];
    return (double)m * sum * exp(l->log[k] + l->log[PAIRS + k] - entry);
}

/* The mean over draws and pairs, and that of squared errors by what is said of each:
 * draws are shared by the pairs, so their own spread tells how well it is known. */
static atn_status check_library(atn_ctx *cx, const drawing *w, library *l, int kind,
                                bool squares, atn_checks *out)
{
    const atn_idx m = l->map.omega.rows;
    double skew = 0;
    const int n = counted(w, kind, squares, &skew);
    atn_check c = {.bound =
                       squares ? &atn_bound_feature_variance : &atn_bound_feature_mean,
                   .predicted = 1,
                   .trials = m,
                   .cases = n};
    atn_mean mean;

    if (n == 0) return ATN_OK;
    for (atn_idx r = 0; r < m; r++) {
        l->draw[r] = 0;
        for (int k = 0; k < n; k++) {
            const double square = w->pair[of_differences(kind) * PAIRS + k].square;
            const double x = library_entry(w, l, kind, k, r), off = x - 1;

            l->draw[r] += (squares ? off * off / predicted(kind, square) : x) / n;
        }
    }
    mean = atn_mean_of(l->draw, m);
    c.measured = mean.mean;
    c.statistic = atn_mean_statistic(&mean, 1, 1e-5); /* the features are of floats */
    c.only_report = !atn_mean_is_known(&mean, 1);
    snprintf(c.variant, sizeof c.variant, "%s by the library%s", kind_names[kind],
             squares ? ", by what is said" : "");
    snprintf(c.note, sizeof c.note, "means over pairs; standard error %.2g",
             mean.error);
    return atn_checks_add(cx, out, &c);
}

static atn_status check_libraries(atn_ctx *cx, const drawing *w, atn_checks *out)
{
    static const atn_map_kind kinds[] = {ATN_MAP_POSITIVE, ATN_MAP_HYPERBOLIC,
                                         ATN_MAP_TRIGONOMETRIC};
    const atn_head_facts *f = w->t->facts;
    const atn_arena_mark mark = atn_arena_save(cx);
    const atn_idx d = f->d, m = ATN_MIN(w->t->trials, (int64_t)LIBRARY_MOST);
    atn_rng rng = atn_rng_stream(w->t->seed, "feature_variance/library", f->head.layer,
                                 f->head.head);
    atn_status st = ATN_OK;
    float *omega = NULL;
    library l = {0};

    if (!(f->head.scale > 0)) return ATN_OK;
    ATN_TAKE(omega, m * d);
    ATN_TAKE(l.x, 2 * PAIRS * d);
    ATN_TAKE(l.phi, 2 * PAIRS * 2 * m);
    ATN_TAKE(l.log, 2 * PAIRS);
    ATN_TAKE(l.draw, m);
    memset(l.x, 0, (size_t)(2 * PAIRS * d) * sizeof *l.x);
    for (atn_idx e = 0; e < m * d; e++) omega[e] = (float)atn_rng_normal(&rng);
    for (int kind = 0; kind < FOURIER; kind++) {
        const int side = of_differences(kind);

        for (int k = 0; k < w->n[side]; k++)
            for (atn_idx c = 0; c < d; c++) {
                const pair *p = &w->pair[side * PAIRS + k];

                l.x[k * d + c] = (float)f->q[p->i * d + c];
                l.x[(PAIRS + k) * d + c] = (float)f->k[p->j * d + c];
            }
        l.map = (atn_random_map){kinds[kind], {omega, m, d, d}, f->head.scale, NULL};
        ATN_TRY(atn_random_features(cx, &l.map, (atn_cmat){l.x, 2 * PAIRS, d, d}, l.phi,
                                    l.log, "features of pairs"));
        ATN_TRY(check_library(cx, w, &l, kind, false, out));
        ATN_TRY(check_library(cx, w, &l, kind, true, out));
    }
done:
    atn_arena_rewind(cx, mark);
    return st;
}

/* Only more than is said speaks against it. */
static atn_status check_tail(atn_ctx *cx, const drawing *w, atn_checks *out)
{
    const double groups = floor((double)w->t->trials / GROUP) * w->n[1];
    atn_check c = {
        .bound = &atn_bound_fourier_tail, .trials = w->t->trials, .cases = w->n[1]};
    double error;

    if (groups < 1) return ATN_OK;
    c.predicted = atn_bound_predict(c.bound, &(atn_quantities){.x = {GROUP, TAIL}});
    for (int k = 0; k < w->n[1]; k++) c.measured += w->pair[PAIRS + k].beyond / w->n[1];
    error = sqrt((c.predicted * (1 - c.predicted) + 1 / groups) / groups);
    c.statistic = fmax((c.measured - c.predicted) / error, 0);
    snprintf(c.variant, sizeof c.variant, "m=%d, t=%g", GROUP, TAIL);
    return atn_checks_add(cx, out, &c);
}

/* ---- orthogonal draws ---- */

/* Of m orthogonal directions of normal length: the mean estimate of one pair. */
static double orthogonal_mean(const atn_head_facts *f, const pair *p, atn_idx m,
                              atn_rng *rng, double *omega)
{
    const double root = sqrt(fabs(f->head.scale));
    double sum = 0;

    for (atn_idx e = 0; e < m * f->d; e++) omega[e] = atn_rng_normal(rng);
    atn_orthonormalise(omega, m, f->d);
    for (atn_idx r = 0; r < m; r++) {
        double length = 0, along = 0;

        for (atn_idx c = 0; c < f->d; c++) {
            const double x = atn_rng_normal(rng);

            length += x * x;
            along += omega[r * f->d + c] * root *
                     (f->q[p->i * f->d + c] + f->k[p->j * f->d + c]);
        }
        sum += exp(sqrt(length) * along - p->square / 2) / (double)m;
    }
    return sum;
}

static atn_status say_orthogonal(atn_ctx *cx, const drawing *w, atn_checks *out)
{
    const atn_head_facts *f = w->t->facts;
    const atn_arena_mark mark = atn_arena_save(cx);
    const atn_idx m = ATN_MIN(f->d, (atn_idx)8);
    const int64_t trials = ATN_MAX(w->t->trials / 10, 1);
    atn_rng rng = atn_rng_stream(w->t->seed, "feature_variance/orthogonal",
                                 f->head.layer, f->head.head);
    atn_check c = {.bound = &atn_bound_orthogonal_draws, .only_report = true};
    atn_status st = ATN_OK;
    double *omega = NULL;

    if (w->n[0] == 0) return ATN_OK;
    ATN_TAKE(omega, m * f->d);
    c.trials = trials;
    for (int64_t t = 0; t < trials; t++) {
        const double off = orthogonal_mean(f, &w->pair[0], m, &rng, omega) - 1;

        c.measured += off * off / (double)trials;
    }
    c.predicted = atn_bound_predict(
        c.bound, &(atn_quantities){.x = {w->pair[0].square, (double)f->d, (double)m}});
    snprintf(c.variant, sizeof c.variant, "m=%d", (int)m);
    snprintf(c.note, sizeof c.note,
             "%lld draws of one pair; independent ones have %.4g", (long long)trials,
             predicted(0, w->pair[0].square) / (double)m);
    ATN_TRY(atn_checks_add(cx, out, &c));
done:
    atn_arena_rewind(cx, mark);
    return st;
}

static atn_status head(atn_ctx *cx, const atn_trial_head *t, atn_checks *out)
{
    const atn_arena_mark mark = atn_arena_save(cx);
    drawing w = {.t = t};
    atn_status st = ATN_OK;

    ATN_TAKE(w.pair, 2 * PAIRS);
    ATN_TAKE(w.square, 2 * TRIES);
    memset(w.pair, 0, 2 * PAIRS * sizeof *w.pair);
    choose(&w);
    for (int side = 0; side < 2; side++)
        qsort(w.pair + side * PAIRS, (size_t)w.n[side], sizeof *w.pair, by_square);
    ATN_TRY(atn_parallel(cx, 2 * PAIRS, draw_pair, &w, "variance of features"));
    for (int kind = 0; kind < KINDS; kind++) ATN_TRY(check_kind(cx, &w, kind, out));
    ATN_TRY(check_libraries(cx, &w, out));
    ATN_TRY(check_tail(cx, &w, out));
    ATN_TRY(say_orthogonal(cx, &w, out));
done:
    atn_arena_rewind(cx, mark);
    return st;
}

const atn_experiment atn_experiment_feature_variance = {
    .id = "feature_variance",
    .label = "V12",
    .title = "Entries of random features",
    .text =
        "mean and variance of one draw of every kind of feature, against their "
        "closed forms: by draws made here, pair by pair, and by the features of the "
        "library, whose draws the pairs share",
    .source = "own derivation; features of Performer (arXiv 2009.14794)",
    .qk = true,
    .sides = ATN_BOTH_WAYS,
    .trials = 20000,
    .head = head,
    .bounds = "feature_mean feature_variance fourier_variance fourier_tail "
              "orthogonal_draws",
};
