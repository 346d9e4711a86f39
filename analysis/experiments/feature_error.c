/* analysis/experiments/feature_error.c -- outputs by random features: their errors, and
 * those of row sums, against what closed forms say.
 *
 * Math    theory/features.c. Up to ROWS rows, evenly spread over those with squares of
 *         q' + k' of at most MOST; `trials` times DRAWS directions, the same for all
 *         rows. The law of outputs is one of small errors: rows count whose predicted
 *         variance of the row sum is at most VARIANCE. The ratio of errors has a
 *         standard error by the spread over trials, and is tested for being outside of
 *         [.7, 1.3].
 *         The law of row sums is exact, but the mean of squares of log-normal numbers is
 *         far from normal: rows count whose squares are at most SUM_MOST, and each GROUP
 *         of directions is a draw by itself. Rows share directions, so a draw is the
 *         mean over rows, relative to what is said of each.
 *         A head without rows up to MOST is reported on as it is, with a tenth of the trials,
 *         and one without rows up to SUM_MOST put to the test at a higher temperature: q' and k' times a number that
 *         makes the largest square SUM_MOST, weights and outputs with them.
 * Cost    DRAWS nk (d + ROWS) flop and DRAWS nk exponentials a trial; to predict, ROWS
 *         n^2 (d + dv).
 * Limits  no bias, cap: the softmax of q'.k' alone.
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

extern const atn_experiment atn_experiment_feature_error;

enum { ROWS = 16, DRAWS = 512, GROUP = 32, GROUPS = DRAWS / GROUP, KINDS = 3 };
static const double MOST = 2, SUM_MOST = .7, VARIANCE = .02, RELATIVE = .1;
static const double LO = .7, HI = 1.3; /* of errors of outputs */
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
    double least; /* outputs whose predicted error is below it have none but rounding */
    int rows;
    atn_idx row[ROWS];
    said said[KINDS][ROWS];
    bool sums[KINDS][ROWS], outputs[KINDS][ROWS]; /* which count */
    double *found; /* [KINDS][ROWS][trials] squared errors of outputs */
    double *sum;   /* [KINDS][trials * GROUPS] of row sums, relative, over rows */
} trying;

/* ---- rows ---- */

static double square_sum(const atn_head_facts *f, atn_idx i, atn_idx j)
{
    double sum = 0;

    for (atn_idx c = 0; c < f->d; c++) {
        const double x = f->q[i * f->d + c] + f->k[j * f->d + c];

        sum += x * x;
    }
    return fabs(f->head.scale) * sum;
}

/* The largest square of a row that sees two keys or more; -1 = it does not. */
static double row_square(const atn_head_facts *f, atn_idx i)
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
    const atn_head_facts *f = w->t->facts;
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
    const atn_head_facts *f = w->t->facts;
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
    const atn_head_facts *f = w->t->facts;
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
    const atn_head_facts *f = w->t->facts;
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
    const atn_head_facts *f = w->t->facts;
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

/* ---- which rows count ---- */

static bool counts_sum(const trying *w, int kind, int r)
{
    const double square = w->by * row_square(w->t->facts, w->row[r]);

    return (square <= SUM_MOST * (1 + 1e-9) || !w->judged) &&
           w->said[kind][r].sum > 1e-12;
}

static bool counts_output(const trying *w, int kind, int r)
{
    const said *s = &w->said[kind][r];

    return (s->sum <= VARIANCE || !w->judged) && s->output > w->least;
}

/* An error of 1e-12 of the longest value, in the mean square, is rounding. */
static void set_least(trying *w)
{
    const atn_head_facts *f = w->t->facts;
    double most = 0;

    for (atn_idx j = 0; j < f->nk; j++) {
        double sum = 0;

        for (atn_idx c = 0; c < f->dv; c++)
            sum += f->v[j * f->dv + c] * f->v[j * f->dv + c];
        most = fmax(most, sum);
    }
    w->least = fmax(1e-12 * most / DRAWS, 1e-300);
}

/* ---- trials ---- */

/* Features of one set of directions, without what is of their row alone. */
typedef struct maps {
    double *omega;        /* [DRAWS, d] */
    double *plus, *minus; /* [nk, DRAWS] e^u, e^-u, or cos u, sin u */
    double *of_q;         /* [2][ROWS, DRAWS] */
    double *a;            /* [ROWS, nk] weights */
    double *factor;       /* [ROWS, nk] that they lack */
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

/* What a feature leaves to its row: e^{-(|q'|^2 + |k'|^2) / 2}, of pairs half of it; of
 * cosines e^+. */
static void set_factors(const trying *w, const maps *m, int kind)
{
    const atn_head_facts *f = w->t->facts;

    for (int r = 0; r < w->rows; r++) {
        double half = 0;

        for (atn_idx c = 0; c < f->d; c++) half += pow(w->q[r * f->d + c], 2) / 2;
        for (atn_idx j = 0; j < f->nk; j++) {
            const double h = half + w->half[j];

            m->factor[r * f->nk + j] =
                exp(kind == 2 ? h : -h) / (kind == 1 ? 2.0 : 1.0);
        }
    }
}

/* Row sum of what has been added up, relative to the true one and a direction. */
static double relative_sum(const trying *w, const maps *m, int r)
{
    const atn_head_facts *f = w->t->facts;
    double sum = 0, whole = 0;
    atn_idx lo, hi;

    atn_sight_row(&f->head.sight, w->row[r], &lo, &hi);
    for (atn_idx j = lo; j < hi; j++) {
        sum += m->a[r * f->nk + j] * m->factor[r * f->nk + j];
        whole += w->dense[r * f->nk + j];
    }
    return sum / whole;
}

static double output_error(const trying *w, const maps *m, int r)
{
    const atn_head_facts *f = w->t->facts;
    const double *o = w->o + r * f->dv;
    double sum = 0, error = 0;
    atn_idx lo, hi;

    atn_sight_row(&f->head.sight, w->row[r], &lo, &hi);
    for (atn_idx j = lo; j < hi; j++)
        sum += m->a[r * f->nk + j] *= m->factor[r * f->nk + j];
    for (atn_idx c = 0; c < f->dv; c++) {
        double x = 0;

        for (atn_idx j = lo; j < hi; j++)
            x += m->a[r * f->nk + j] * f->v[j * f->dv + c];
        error += pow(x / sum - o[c], 2);
    }
    return error;
}

/* Adds the weights by group g of the directions. */
static void add_group(const trying *w, const maps *m, int kind, int g)
{
    const atn_idx nk = w->t->facts->nk;

    for (int part = 0; part < (kind == 0 ? 1 : 2); part++)
        atn_gemm_wide(
            ATN_ABT, 1,
            (atn_cwide){m->of_q + part * ROWS * DRAWS + g * GROUP, w->rows, GROUP,
                        DRAWS},
            (atn_cwide){(part ? m->minus : m->plus) + g * GROUP, nk, GROUP, DRAWS},
            g + part > 0, (atn_wide){m->a, w->rows, nk, nk});
}

static void try_kind(trying *w, const maps *m, int kind, atn_idx trial)
{
    double before[ROWS] = {0};

    set_factors(w, m, kind);
    for (int g = 0; g < GROUPS; g++) {
        double *x = &w->sum[(kind * w->trials + trial) * GROUPS + g];
        int n = 0;

        *x = 0;
        add_group(w, m, kind, g);
        for (int r = 0; r < w->rows; r++) {
            const double now = relative_sum(w, m, r);
            const double off = (now - before[r]) / GROUP - 1;

            before[r] = now;
            if (!w->sums[kind][r]) continue;
            *x += off * off / (w->said[kind][r].sum * GROUPS);
            n++;
        }
        if (n > 0) *x /= n;
    }
    for (int r = 0; r < w->rows; r++)
        w->found[(kind * ROWS + r) * w->trials + trial] = output_error(w, m, r);
}

static atn_status one_trial(atn_ctx *cx, atn_idx trial, void *state)
{
    trying *w = state;
    const atn_head_facts *f = w->t->facts;
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
    ATN_TAKE(m.factor, ROWS * f->nk);
    for (atn_idx e = 0; e < DRAWS * f->d; e++) m.omega[e] = atn_rng_normal(&rng);
    for (int kind = 0; kind < KINDS; kind++) {
        if (kind != 1) {
            exponentials(w->q, w->rows, w, &m, kind == 2, m.of_q,
                         m.of_q + ROWS * DRAWS);
            exponentials(w->k, f->nk, w, &m, kind == 2, m.plus, m.minus);
        }
        try_kind(w, &m, kind, trial);
    }
done:
    atn_arena_rewind(cx, mark);
    return st;
}

/* Mean over trials of the squared error of the output of row r. */
static double mean_of(const trying *w, int kind, int r)
{
    return atn_mean_of(w->found + (kind * ROWS + r) * w->trials, w->trials).mean;
}

/* ---- checks ---- */

static void name(const trying *w, int kind, int draws, char *out, size_t size)
{
    const int n = snprintf(out, size, "%s, m=%d", kind_names[kind], draws);

    if (w->by != 1) snprintf(out + n, size - (size_t)n, ", logits times %.3g", w->by);
}

/* What a mean of draws comes to; it is judged where they say enough. */
static void set_mean(atn_check *c, const atn_mean *m)
{
    c->measured = c->predicted * m->mean;
    if (!atn_mean_is_known(m, 1)) {
        c->only_report = true;
        snprintf(
            c->note, sizeof c->note,
            "measured / predicted %.3f; standard error %.2g, skewness %.2g: no test",
            m->mean, m->error, m->skew);
    } else {
        snprintf(c->note, sizeof c->note, "measured / predicted %.3f +- %.2g", m->mean,
                 m->error);
    }
}

static atn_status check_sum(atn_ctx *cx, const trying *w, int kind, atn_checks *out)
{
    atn_check c = {.bound = atn_bound_find("feature_row_sum"), .trials = w->trials};

    for (int r = 0; r < w->rows; r++) c.cases += w->sums[kind][r];
    c.not_here = c.cases == 0;
    c.only_report = !w->judged;
    name(w, kind, GROUP, c.variant, sizeof c.variant);
    if (c.not_here) {
        snprintf(c.note, sizeof c.note, "no row with |z|^2 <= %g has a variance",
                 SUM_MOST);
    } else {
        const atn_mean m =
            atn_mean_of(w->sum + kind * w->trials * GROUPS, w->trials * GROUPS);

        for (int r = 0; r < w->rows; r++)
            if (w->sums[kind][r])
                c.predicted += w->said[kind][r].sum * GROUPS / (double)c.cases;
        set_mean(&c, &m);
        c.statistic = atn_mean_statistic(&m, 1, 1e-9);
    }
    return atn_checks_add(cx, out, &c);
}

static atn_status check_output(atn_ctx *cx, const trying *w, int kind, atn_checks *out)
{
    const atn_arena_mark mark = atn_arena_save(cx);
    atn_check c = {.bound = atn_bound_find("feature_output"),
                   .trials = w->trials,
                   .lo = LO,
                   .hi = HI};
    atn_status st = ATN_OK;
    double *ratio = NULL;
    atn_mean m;

    for (int r = 0; r < w->rows; r++) c.cases += w->outputs[kind][r];
    c.not_here = c.cases == 0;
    c.only_report = !w->judged;
    name(w, kind, DRAWS, c.variant, sizeof c.variant);
    if (c.not_here) {
        snprintf(c.note, sizeof c.note,
                 "no row has an error and a variance of row sums up to %g", VARIANCE);
        ATN_TRY(atn_checks_add(cx, out, &c));
        goto done;
    }
    ATN_TAKE(ratio, w->trials);
    for (int r = 0; r < w->rows; r++)
        if (w->outputs[kind][r])
            c.predicted += w->said[kind][r].output / (double)c.cases;
    for (int64_t t = 0; t < w->trials; t++) {
        ratio[t] = 0;
        for (int r = 0; r < w->rows; r++)
            if (w->outputs[kind][r])
                ratio[t] += w->found[(kind * ROWS + r) * w->trials + t] /
                            ((double)c.cases * c.predicted);
    }
    m = atn_mean_of(ratio, w->trials);
    set_mean(&c, &m);
    c.statistic = atn_mean_outside(&m, LO, HI);
    ATN_TRY(atn_checks_add(cx, out, &c));
done:
    atn_arena_rewind(cx, mark);
    return st;
}

/* Directions that the output of the middle row takes, by its closed form. */
static atn_status say_draws(atn_ctx *cx, const trying *w, int kind, atn_checks *out)
{
    const atn_head_facts *f = w->t->facts;
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
                   .trials = w->trials,
                   .cases = w->rows};

    for (int r = 0; r < w->rows; r++) {
        c.predicted += mean_of(w, 0, r) / w->rows;
        c.measured += 2 * mean_of(w, 1, r) / w->rows;
    }
    name(w, 1, DRAWS, c.variant, sizeof c.variant);
    snprintf(c.note, sizeof c.note, "measured / predicted %.3f",
             c.measured / c.predicted);
    return atn_checks_add(cx, out, &c);
}

static const char *excuse(const atn_head_facts *f)
{
    if (f->head.sight.softcap > 0) return "logits have a soft-cap";
    if (atn_head_has_bias(&f->head)) return "logits have a bias of positions";
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
        ATN_TAKE(w->found, w->trials * KINDS * ROWS);
        ATN_TAKE(w->sum, w->trials * KINDS * GROUPS);
        ATN_TRY(atn_parallel(cx, w->rows, say_row, w, "errors of features"));
        for (int e = 0; e < KINDS * w->rows; e++) {
            const int kind = e / w->rows, r = e % w->rows;

            w->sums[kind][r] = counts_sum(w, kind, r);
            w->outputs[kind][r] = counts_output(w, kind, r);
        }
        ATN_TRY(atn_parallel(cx, w->trials, one_trial, w, "errors of features"));
    }
    for (int kind = 0; kind < KINDS; kind++) {
        ATN_TRY(check_sum(cx, w, kind, out));
        ATN_TRY(check_output(cx, w, kind, out));
        if (w->rows > 0 && w->by == 1) ATN_TRY(say_draws(cx, w, kind, out));
    }
    if (w->rows > 0 && w->judged) ATN_TRY(say_pairs(cx, w, out));
done:
    atn_arena_rewind(cx, mark);
    return st;
}

/* With logits that make all rows short. */
static atn_status run_short(atn_ctx *cx, trying *w, atn_checks *out)
{
    double most = 0;
    atn_status st = ATN_OK;

    for (int r = 0; r < w->rows; r++)
        most = fmax(most, row_square(w->t->facts, w->row[r]));
    w->trials = w->t->trials;
    w->judged = true;
    w->by = SUM_MOST / most;
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
    int sums = 0;

    ATN_TAKE(w, 1);
    *w = (trying){.t = t, .trials = t->trials, .by = 1, .judged = true};
    if (why) {
        atn_check c = {.bound = atn_bound_find("feature_output"), .not_here = true};

        snprintf(c.note, sizeof c.note, "%s", why);
        st = atn_checks_add(cx, out, &c);
        goto done;
    }
    set_least(w);
    ATN_TRY(choose(cx, w, MOST));
    if (w->rows == 0) {
        ATN_TRY(choose(cx, w, INFINITY));
        w->judged = w->rows == 0;
        if (!w->judged) w->trials = ATN_MAX(t->trials / 10, 1);
    }
    ATN_TRY(run(cx, w, out));
    for (int r = 0; r < w->rows; r++) sums += w->sums[0][r] && w->judged;
    if (w->rows > 0 && sums == 0) ATN_TRY(run_short(cx, w, out));
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
        "forms, on rows where these hold, by features computed here: what is tested "
        "is the law",
    .source = "own derivation; features of Performer (arXiv 2009.14794)",
    .qk = true,
    .values = true,
    .sides = ATN_BOTH_WAYS,
    .trials = 200,
    .head = head,
    .bounds = "feature_row_sum feature_output feature_draws hyperbolic_output",
};
