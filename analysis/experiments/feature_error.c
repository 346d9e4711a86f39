/* analysis/experiments/feature_error.c -- outputs by random features: their errors, and
 * those of row sums, against what closed forms say.
 *
 * Math    theory/features.c. Up to ROWS rows, evenly spread over those with squares of
 *         q' + k' of at most MOST; `trials` times DRAWS directions, the same for all
 *         rows. The law of outputs is one of small errors: rows count whose predicted
 *         variance of the row sum is at most VARIANCE. A head without such rows is
 *         reported on as it is, with a tenth of the trials, and put to the test at a
 *         higher temperature: q' and k' times a number that makes the largest square
 *         MOST, weights and outputs with them. A row sum is a mean of DRAWS
 *         numbers, so its square error has a standard error of sqrt(2 / trials) of
 *         itself; rows share draws, so their statistics are averaged as if they were
 *         one.
 * Cost    DRAWS nk (d + ROWS) flop and DRAWS nk exponentials a trial; to predict, ROWS
 *         n^2 (d + dv).
 * Limits  no bias, cap: the softmax of q'.k' alone.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "analysis/experiments/experiment.h"
#include "approx/method.h"
#include "core/linalg.h"
#include "core/rng.h"
#include "core/rows.h"

extern const atn_experiment atn_experiment_feature_error;

enum { ROWS = 16, DRAWS = 512, KINDS = 3 };
static const double MOST = 2, VARIANCE = .02, RELATIVE = .1;
static const char *const kind_names[KINDS] = {"positive", "hyperbolic", "trig"};

typedef struct said {
    double sum, output; /* variance of the row sum, error of the output; of DRAWS */
} said;

typedef struct trying {
    const atn_trial_head *t;
    int64_t trials;
    double by;     /* the logits of the head are multiplied with this, 1 = as it is */
    bool judged;   /* else reported */
    double *p, *o; /* [ROWS, nk], [ROWS, dv] weights and outputs of the rows */
    double *q, *k; /* [ROWS, d], [nk, d] times the root of the scale */
    double *half;  /* [nk] |k'|^2 / 2 */
    double *dense; /* [ROWS, nk] weights e^{q'.k'}, of keys that are seen */
    int rows;
    atn_idx row[ROWS];
    said said[KINDS][ROWS];
    double *found; /* [trials][KINDS][ROWS][2] squares of both errors */
} trying;

/* ---- rows ---- */

static double square_sum(const atn_facts *f, atn_idx i, atn_idx j)
{
    double sum = 0;

    for (atn_idx c = 0; c < f->d; c++) {
        const double x = f->q[i * f->d + c] + f->k[j * f->d + c];

        sum += x * x;
    }
    return fabs(f->head.scale) * sum;
}

/* The largest square of a row that sees two keys or more; -1 = it does not. */
static double row_square(const atn_facts *f, atn_idx i)
{
    double most = 0;
    atn_idx lo, hi;

    atn_sight_row(&f->head.sight, i, &lo, &hi);
    if (isnan(f->lse[i]) || hi - lo < 2) return -1;
    for (atn_idx j = lo; j < hi; j++) most = fmax(most, square_sum(f, i, j));
    return most;
}

/* Rows whose squares are `most` at most. */
static atn_status choose(atn_ctx *cx, trying *w, double most)
{
    const atn_facts *f = w->t->facts;
    const atn_arena_mark mark = atn_arena_save(cx);
    atn_idx *list = NULL, n = 0;
    atn_status st = ATN_OK;

    ATN_TAKE(list, f->nq);
    for (atn_idx i = 0; i < f->nq; i++) {
        const double square = row_square(f, i);

        if (square >= 0 && square <= most) list[n++] = i;
    }
    w->rows = (int)ATN_MIN(n, (atn_idx)ROWS);
    for (int k = 0; k < w->rows; k++) w->row[k] = list[(2 * k + 1) * n / (2 * w->rows)];
done:
    atn_arena_rewind(cx, mark);
    return st;
}

static atn_status scale_up(atn_ctx *cx, trying *w)
{
    const atn_facts *f = w->t->facts;
    const double root = sqrt(f->head.scale * w->by);
    atn_status st = ATN_OK;

    ATN_TAKE(w->p, ROWS * f->nk);
    ATN_TAKE(w->o, ROWS * f->dv);
    ATN_TAKE(w->q, ROWS * f->d);
    ATN_TAKE(w->k, f->nk * f->d);
    ATN_TAKE(w->half, f->nk);
    ATN_TAKE(w->dense, ROWS * f->nk);
    for (atn_idx j = 0; j < f->nk; j++) {
        w->half[j] = 0;
        for (atn_idx c = 0; c < f->d; c++) {
            const double x = w->k[j * f->d + c] = root * f->k[j * f->d + c];

            w->half[j] += x * x / 2;
        }
    }
    for (int r = 0; r < w->rows; r++)
        for (atn_idx c = 0; c < f->d; c++)
            w->q[r * f->d + c] = root * f->q[w->row[r] * f->d + c];
done:
    return st;
}

/* Weights and outputs of row r: those of the head, or of its logits times `by`. */
static void set_row(trying *w, int r, atn_idx lo, atn_idx hi)
{
    const atn_facts *f = w->t->facts;
    const double *s = f->s + w->row[r] * f->nk, lse = f->lse[w->row[r]];
    double *p = w->p + r * f->nk, *o = w->o + r * f->dv, sum = 0;

    memcpy(p, f->p + w->row[r] * f->nk, (size_t)f->nk * sizeof *p);
    memcpy(o, f->o + w->row[r] * f->dv, (size_t)f->dv * sizeof *o);
    if (w->by == 1) return;
    for (atn_idx j = lo; j < hi; j++) sum += p[j] = exp(w->by * (s[j] - lse));
    for (atn_idx j = lo; j < hi; j++) p[j] /= sum;
    memset(o, 0, (size_t)f->dv * sizeof *o);
    for (atn_idx j = lo; j < hi; j++)
        for (atn_idx c = 0; c < f->dv; c++) o[c] += p[j] * f->v[j * f->dv + c];
}

/* ---- what is said ---- */

/* Products of q' + k'_j (of q' - k'_j for kind 2), and of v_j - o, [n, n]. */
static void products(const trying *w, int r, int minus, atn_idx lo, atn_idx n,
                     double *row, double *z, double *values)
{
    const atn_facts *f = w->t->facts;
    const double *o = w->o + r * f->dv;

    for (atn_idx j = 0; j < n; j++)
        for (atn_idx c = 0; c < f->d; c++) {
            const double k = w->k[(lo + j) * f->d + c];

            row[j * f->d + c] = w->q[r * f->d + c] + (minus ? -k : k);
        }
    atn_gemm_wide(ATN_ABT, 1, (atn_cwide){row, n, f->d, f->d},
                  (atn_cwide){row, n, f->d, f->d}, 0, (atn_wide){z, n, n, n});
    for (atn_idx j = 0; j < n; j++)
        for (atn_idx c = 0; c < f->dv; c++)
            row[j * f->dv + c] = f->v[(lo + j) * f->dv + c] - o[c];
    atn_gemm_wide(ATN_ABT, 1, (atn_cwide){row, n, f->dv, f->dv},
                  (atn_cwide){row, n, f->dv, f->dv}, 0, (atn_wide){values, n, n, n});
}

static atn_status say_row(atn_ctx *cx, atn_idx r, void *state)
{
    trying *w = state;
    const atn_facts *f = w->t->facts;
    const atn_arena_mark mark = atn_arena_save(cx);
    const atn_bound *of_sum = atn_bound_find("feature_row_sum");
    const atn_bound *of_output = atn_bound_find("feature_output");
    double *row = NULL, *z = NULL, *values = NULL;
    atn_status st = ATN_OK;
    atn_idx lo, hi, n;

    atn_sight_row(&f->head.sight, w->row[r], &lo, &hi);
    n = hi - lo;
    set_row(w, (int)r, lo, hi);
    ATN_TAKE(row, n * ATN_MAX(f->d, f->dv));
    ATN_TAKE(z, n * n);
    ATN_TAKE(values, n * n);
    for (int kind = 0; kind < KINDS; kind++) {
        atn_quantities q = {.x = {kind, 0, 0, 0, DRAWS}};

        if (kind != 1) products(w, (int)r, kind == 2, lo, n, row, z, values);
        q.list[1] = w->p + r * f->nk + lo;
        q.n[1] = (size_t)n;
        q.list[2] = z;
        q.list[3] = values;
        q.n[2] = q.n[3] = (size_t)(n * n);
        w->said[kind][r].output = atn_bound_predict(of_output, &q);
        q.x[3] = DRAWS;
        w->said[kind][r].sum = atn_bound_predict(of_sum, &q);
    }
    for (atn_idx j = lo; j < hi; j++) {
        double *a = &w->dense[r * f->nk + j];

        *a = 0;
        for (atn_idx c = 0; c < f->d; c++)
            *a += w->q[r * f->d + c] * w->k[j * f->d + c];
        *a = exp(*a);
    }
done:
    atn_arena_rewind(cx, mark);
    return st;
}

/* ---- trials ---- */

/* Features of one set of directions, without what is of their row alone. */
typedef struct maps {
    double *omega;        /* [DRAWS, d] */
    double *plus, *minus; /* [nk, DRAWS] e^u, e^-u, or cos u, sin u */
    double *of_q;         /* [2][ROWS, DRAWS] */
    double *a;            /* [ROWS, nk] weights */
} maps;

static void exponentials(const double *x, atn_idx rows, const trying *w, const maps *m,
                         bool turns, double *plus, double *minus)
{
    const atn_idx d = w->t->facts->d;

    atn_gemm_wide(ATN_ABT, 1, (atn_cwide){x, rows, d, d},
                  (atn_cwide){m->omega, DRAWS, d, d}, 0,
                  (atn_wide){plus, rows, DRAWS, DRAWS});
    for (atn_idx e = 0; e < rows * DRAWS; e++) {
        const double u = plus[e];

        plus[e] = turns ? cos(u) : exp(u);
        minus[e] = turns ? sin(u) : 1 / plus[e];
    }
}

/* Row r of the weights that are estimated, against the true ones. */
static void compare(const trying *w, const maps *m, int kind, int r, double *found)
{
    const atn_facts *f = w->t->facts;
    const double *true_a = w->dense + r * f->nk, *o = w->o + r * f->dv;
    double half = 0, sum = 0, whole = 0, error = 0;
    atn_idx lo, hi;

    for (atn_idx c = 0; c < f->d; c++) half += pow(w->q[r * f->d + c], 2) / 2;
    atn_sight_row(&f->head.sight, w->row[r], &lo, &hi);
    for (atn_idx j = lo; j < hi; j++) {
        const double h = half + w->half[j];
        double *a = &m->a[r * f->nk + j];

        *a *= exp(kind == 2 ? h : -h) / (kind == 1 ? 2 * DRAWS : DRAWS);
        sum += *a;
        whole += true_a[j];
    }
    for (atn_idx c = 0; c < f->dv; c++) {
        double x = 0;

        for (atn_idx j = lo; j < hi; j++)
            x += m->a[r * f->nk + j] * f->v[j * f->dv + c];
        error += pow(x / sum - o[c], 2);
    }
    found[0] = pow(sum / whole - 1, 2);
    found[1] = error;
}

static atn_status one_trial(atn_ctx *cx, atn_idx trial, void *state)
{
    trying *w = state;
    const atn_facts *f = w->t->facts;
    const atn_arena_mark mark = atn_arena_save(cx);
    atn_rng rng = atn_rng_stream(w->t->seed, "feature_error", f->head.layer,
                                 f->head.head * ((atn_idx)1 << 32) + trial);
    atn_status st = ATN_OK;
    maps m = {0};

    ATN_TAKE(m.omega, DRAWS * f->d);
    ATN_TAKE(m.plus, f->nk * DRAWS);
    ATN_TAKE(m.minus, f->nk * DRAWS);
    ATN_TAKE(m.of_q, 2 * ROWS * DRAWS);
    ATN_TAKE(m.a, ROWS * f->nk);
    for (atn_idx e = 0; e < DRAWS * f->d; e++) m.omega[e] = atn_rng_normal(&rng);
    for (int kind = 0; kind < KINDS; kind++) {
        double *q = m.of_q;
        const atn_wide a = {m.a, w->rows, f->nk, f->nk};

        if (kind != 1) {
            exponentials(w->q, w->rows, w, &m, kind == 2, q, q + ROWS * DRAWS);
            exponentials(w->k, f->nk, w, &m, kind == 2, m.plus, m.minus);
        }
        for (int part = 0; part < (kind == 0 ? 1 : 2); part++)
            atn_gemm_wide(
                ATN_ABT, 1, (atn_cwide){q + part * ROWS * DRAWS, w->rows, DRAWS, DRAWS},
                (atn_cwide){part ? m.minus : m.plus, f->nk, DRAWS, DRAWS}, part, a);
        for (int r = 0; r < w->rows; r++)
            compare(w, &m, kind, r, w->found + 2 * ((trial * KINDS + kind) * ROWS + r));
    }
done:
    atn_arena_rewind(cx, mark);
    return st;
}

/* Mean over trials of the square e of row r. */
static double mean_of(const trying *w, int kind, int r, int e)
{
    double sum = 0;

    for (int64_t t = 0; t < w->trials; t++)
        sum += w->found[2 * ((t * KINDS + kind) * ROWS + r) + e];
    return sum / (double)w->trials;
}

/* ---- checks ---- */

static bool counts(const trying *w, int kind, int r)
{
    const said *s = &w->said[kind][r];

    return (s->sum <= VARIANCE || !w->judged) && s->sum > 1e-12 && s->output > 1e-300;
}

static void name(const trying *w, int kind, char *out, size_t size)
{
    const int n = snprintf(out, size, "%s, m=%d", kind_names[kind], DRAWS);

    if (w->by != 1) snprintf(out + n, size - (size_t)n, ", logits times %.3g", w->by);
}

static atn_status check_kind(atn_ctx *cx, const trying *w, int kind, atn_checks *out)
{
    atn_check sum = {.bound = atn_bound_find("feature_row_sum"), .trials = w->trials};
    atn_check output = {.bound = atn_bound_find("feature_output"), .lo = .7, .hi = 1.3};
    atn_status st = ATN_OK;
    int n = 0;

    for (int r = 0; r < w->rows; r++) n += counts(w, kind, r);
    for (int r = 0; r < w->rows; r++) {
        const said *s = &w->said[kind][r];

        if (!counts(w, kind, r)) continue;
        sum.predicted += s->sum / n;
        sum.measured += mean_of(w, kind, r, 0) / n;
        sum.statistic +=
            (mean_of(w, kind, r, 0) / s->sum - 1) / n * sqrt((double)w->trials / 2);
        output.predicted += s->output / n;
        output.measured += mean_of(w, kind, r, 1) / n;
    }
    sum.cases = output.cases = n;
    sum.not_here = output.not_here = n == 0;
    sum.only_report = output.only_report = !w->judged;
    name(w, kind, sum.variant, sizeof sum.variant);
    name(w, kind, output.variant, sizeof output.variant);
    if (n == 0)
        snprintf(output.note, sizeof output.note,
                 "no row sees two keys and has a variance up to %g", VARIANCE);
    else
        snprintf(output.note, sizeof output.note, "measured / predicted %.3f",
                 output.measured / output.predicted);
    snprintf(sum.note, sizeof sum.note, "%s", output.not_here ? output.note : "");
    ATN_TRY(atn_checks_add(cx, out, &sum));
    ATN_TRY(atn_checks_add(cx, out, &output));
done:
    return st;
}

/* Directions that the output of the middle row takes, by its closed form. */
static atn_status say_draws(atn_ctx *cx, const trying *w, int kind, atn_checks *out)
{
    const atn_facts *f = w->t->facts;
    const int r = w->rows / 2;
    const double *o = w->o + r * f->dv;
    double length = 0;
    atn_check c = {.bound = atn_bound_find("feature_draws"),
                   .measured = DRAWS,
                   .only_report = true,
                   .cases = 1};

    for (atn_idx e = 0; e < f->dv; e++) length += o[e] * o[e];
    c.predicted = length > 0
                      ? w->said[kind][r].output * DRAWS / (RELATIVE * RELATIVE * length)
                      : NAN;
    snprintf(c.variant, sizeof c.variant, "%s, a middle row, eps=%g of |o|",
             kind_names[kind], RELATIVE);
    return atn_checks_add(cx, out, &c);
}

/* Equally many features are half as many draws, and twice the square error. */
static atn_status say_pairs(atn_ctx *cx, const trying *w, atn_checks *out)
{
    atn_check c = {.bound = atn_bound_find("hyperbolic_output"),
                   .only_report = true,
                   .cases = w->rows};

    for (int r = 0; r < w->rows; r++) {
        c.predicted += mean_of(w, 0, r, 1) / w->rows;
        c.measured += 2 * mean_of(w, 1, r, 1) / w->rows;
    }
    name(w, 1, c.variant, sizeof c.variant);
    snprintf(c.note, sizeof c.note, "measured / predicted %.3f",
             c.measured / c.predicted);
    return atn_checks_add(cx, out, &c);
}

static const char *excuse(const atn_facts *f)
{
    if (f->head.sight.softcap > 0) return "logits have a soft-cap";
    if (f->head.alibi_slope != 0) return "logits have a bias of positions";
    if (!(f->head.scale > 0)) return "the scale of logits is not positive";
    return NULL;
}

/* The rows chosen, at the temperature of w. */
static atn_status run(atn_ctx *cx, trying *w, atn_checks *out)
{
    const atn_arena_mark mark = atn_arena_save(cx);
    atn_status st = ATN_OK;

    if (w->rows > 0) {
        ATN_TRY(scale_up(cx, w));
        ATN_TAKE(w->found, w->trials * KINDS * ROWS * 2);
        ATN_TRY(atn_parallel(cx, w->rows, say_row, w, "errors of features"));
        ATN_TRY(atn_parallel(cx, w->trials, one_trial, w, "errors of features"));
    }
    for (int kind = 0; kind < KINDS; kind++) {
        ATN_TRY(check_kind(cx, w, kind, out));
        if (w->rows > 0 && w->by == 1) ATN_TRY(say_draws(cx, w, kind, out));
    }
    if (w->rows > 0 && w->judged) ATN_TRY(say_pairs(cx, w, out));
done:
    atn_arena_rewind(cx, mark);
    return st;
}

/* Long rows: reported as they are, judged with logits that make them short. */
static atn_status run_long(atn_ctx *cx, trying *w, atn_checks *out)
{
    double most = 0;
    atn_status st = ATN_OK;

    w->trials = ATN_MAX(w->t->trials / 10, 1);
    w->judged = false;
    ATN_TRY(run(cx, w, out));
    for (int r = 0; r < w->rows; r++)
        most = fmax(most, row_square(w->t->facts, w->row[r]));
    w->trials = w->t->trials;
    w->judged = true;
    w->by = MOST / most;
    ATN_TRY(run(cx, w, out));
done:
    return st;
}

static atn_status head(atn_ctx *cx, const atn_trial_head *t, atn_checks *out)
{
    const atn_arena_mark mark = atn_arena_save(cx);
    const char *why = excuse(t->facts);
    trying *w = NULL;
    atn_status st = ATN_OK;

    ATN_TAKE(w, 1);
    *w = (trying){.t = t, .trials = t->trials, .by = 1, .judged = true};
    if (why) {
        atn_check c = {.bound = atn_bound_find("feature_output"), .not_here = true};

        snprintf(c.note, sizeof c.note, "%s", why);
        st = atn_checks_add(cx, out, &c);
        goto done;
    }
    ATN_TRY(choose(cx, w, MOST));
    if (w->rows > 0) {
        ATN_TRY(run(cx, w, out));
    } else {
        ATN_TRY(choose(cx, w, INFINITY));
        ATN_TRY(w->rows > 0 ? run_long(cx, w, out) : run(cx, w, out));
    }
done:
    atn_arena_rewind(cx, mark);
    return st;
}

const atn_experiment atn_experiment_feature_error = {
    .id = "feature_error",
    .label = "V13",
    .title = "Outputs by random features",
    .text =
        "errors of outputs and of row sums by random features, against their closed "
        "forms, on rows where these hold",
    .source = "own derivation; features of Performer (arXiv 2009.14794)",
    .qk = true,
    .values = true,
    .sides = ATN_BOTH_WAYS,
    .trials = 200,
    .head = head,
    .bounds = "feature_row_sum feature_output feature_draws hyperbolic_output",
};
