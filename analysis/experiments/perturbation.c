/* analysis/experiments/perturbation.c -- logits and weights that are off: by noise, by
 * short formats, by the worst signs there are.
 *
 * Math    theory/perturbation.c. Every row, in every variant: noise of +-.1 and +-1;
 *         logits in bf16 and fp16, as they are and less the largest; on 255 levels from
 *         the smallest to the largest of the row; +delta on a set of keys whose weight
 *         comes near 1 / (1 + e^delta) from below, by taking the largest that still
 *         fits, and -delta on the others; exponentials off by factors, random and with
 *         the worst signs, and in bf16; logits of queries and keys in bf16, fp16 and
 *         int8 with one scale a token.
 * Cost    a softmax a row and variant, and three products of queries and keys.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "analysis/experiments/perturbed.h"
#include "analysis/experiments/worst.h"
#include "approx/method.h"
#include "core/rng.h"
#include "core/rows.h"

extern const atn_experiment atn_experiment_perturbation;

typedef enum how {
    NOISE,     /* y = z + size u */
    SHORT,     /* y in format `size` */
    SHIFTED,   /* y - max in format `size` */
    GRID,      /* y on 255 levels */
    SIGNS,     /* y = z +- size */
    FACTORS,   /* weights times 1 + size u */
    WORST,     /* weights times 1 +- size */
    EXPONENTS, /* exponentials in format `size` */
    PRODUCTS,  /* y of queries and keys in format `size` */
} how;

static const struct {
    const char *text;
    how how;
    double size;
} variants[] = {
    {"noise of +-0.1", NOISE, .1},
    {"noise of +-1", NOISE, 1},
    {"bf16 logits", SHORT, 0},
    {"fp16 logits", SHORT, 1},
    {"bf16 logits, less the largest", SHIFTED, 0},
    {"fp16 logits, less the largest", SHIFTED, 1},
    {"int8 logits", GRID, 0},
    {"worst signs of 0.1", SIGNS, .1},
    {"worst signs of 1", SIGNS, 1},
    {"factors up to 1.01", FACTORS, .01},
    {"factors up to 1.3", FACTORS, .3},
    {"worst factors of 1.3 and 0.7", WORST, .3},
    {"bf16 exponentials", EXPONENTS, 0},
    {"bf16 q and k", PRODUCTS, 0},
    {"fp16 q and k", PRODUCTS, 1},
    {"int8 q and k", PRODUCTS, 2},
};
enum { VARIANTS = ATN_LEN(variants), FORMATS = 3, ROWS = 16 };

/* Bounds of a variant. */
enum { LOGITS, LENGTH, WEIGHTS, SPECIAL, SHARP, BOUNDS };

typedef struct asking {
    const atn_head_facts *f;
    uint64_t seed;
    const atn_bound *bound[VARIANTS][BOUNDS]; /* NULL = says nothing here */
    double *q[FORMATS], *k[FORMATS];
    double *q_off[FORMATS], *k_off[FORMATS], *q_length, *k_length;
    atn_worst *worst; /* [tasks][VARIANTS][BOUNDS] */
} asking;

/* One row, its keys alone. */
typedef struct row {
    atn_idx i, lo, n;
    const double *z, *p;
    double *y, *w;    /* [n] changed logits (or exponentials), weights */
    atn_idx *order;   /* [n] by weight, descending */
    atn_worst *worst; /* [BOUNDS] */
} row;

static void take(const asking *s, const row *r, int v, int b, atn_quantities q,
                 double measured, double scale)
{
    const atn_bound *bound = s->bound[v][b];

    if (bound)
        atn_worst_take(&r->worst[b], bound->relation, atn_bound_predict(bound, &q),
                       measured, scale);
}

static double largest_of(const double *z, atn_idx n)
{
    double max = -INFINITY;

    for (atn_idx j = 0; j < n; j++) max = fmax(max, z[j]);
    return max;
}

/* Marks in y [n] with 1 keys that weigh as near below `mass` as taking the largest that
 * fits comes; returns their weight. */
static double mark_keys(const row *r, double mass)
{
    double sum = 0;

    for (atn_idx k = 0; k < r->n; k++) {
        const atn_idx j = r->order[k];
        const bool fits = sum + r->p[j] <= mass;

        if (fits) sum += r->p[j];
        r->y[j] = fits ? 1 : -1;
    }
    return sum;
}

/* ---- logits ---- */

static void shorten(const atn_short_format *f, const row *r, double shift)
{
    for (atn_idx j = 0; j < r->n; j++)
        r->y[j] = atn_short_round(f, r->z[j] - shift) + shift;
}

/* Returns the step. */
static double put_on_grid(const row *r)
{
    const double most = largest_of(r->z, r->n);
    double least = INFINITY, step;

    for (atn_idx j = 0; j < r->n; j++) least = fmin(least, r->z[j]);
    step = (most - least) / 255;
    for (atn_idx j = 0; j < r->n; j++)
        r->y[j] = step > 0 ? least + rint((r->z[j] - least) / step) * step : r->z[j];
    return step;
}

static double furthest(const row *r, double shift)
{
    double most = 0;

    for (atn_idx j = 0; j < r->n; j++) most = fmax(most, fabs(r->z[j] - shift));
    return most;
}

/* Fills y and says what the special bounds of the variant need. */
static atn_quantities change_logits(const row *r, int v, atn_rng *rng)
{
    const double size = variants[v].size;
    const atn_short_format *f = &atn_short_formats[size == 1];
    const double shift = variants[v].how == SHIFTED ? largest_of(r->z, r->n) : 0;
    atn_quantities q = {.x = {size}};

    switch (variants[v].how) {
    case SHORT:
    case SHIFTED:
        shorten(f, r, shift);
        q = (atn_quantities){.x = {ldexp(1, -f->bits), ldexp(1, f->tiny - 1),
                                   furthest(r, shift), f->range}};
        break;
    case GRID:
        q.x[0] = put_on_grid(r);
        break;
    case SIGNS:
        q.x[1] = mark_keys(r, 1 / (1 + exp(size)));
        for (atn_idx j = 0; j < r->n; j++) r->y[j] = r->z[j] + size * r->y[j];
        break;
    default:
        for (atn_idx j = 0; j < r->n; j++)
            r->y[j] = r->z[j] + size * (2 * atn_rng_uniform(rng) - 1);
    }
    return q;
}

/* The bounds that all changed logits keep, y being there. */
static atn_perturbed check_logits(const asking *s, const row *r, int v)
{
    const atn_perturbed c = atn_perturbed_row(r->z, r->p, r->y, r->n, r->w);

    take(s, r, v, LOGITS, (atn_quantities){.x = {c.delta}}, c.variation, 1);
    take(s, r, v, LENGTH, (atn_quantities){.x = {c.change}}, c.length, 1);
    return c;
}

static void check_changed(const asking *s, const row *r, int v, atn_rng *rng)
{
    const atn_quantities q = change_logits(r, v, rng);
    const atn_perturbed c = check_logits(s, r, v);

    take(s, r, v, SPECIAL, q, c.variation, 1);
    take(s, r, v, SHARP, q, c.variation, 1);
}

/* Row `at` of the logits y of other queries and keys. */
static void check_products(const asking *s, row *r, int v, double *y)
{
    const int f = (int)variants[v].size;
    const double scale = s->f->head.scale;

    r->y = y + r->lo;
    check_logits(s, r, v);
    for (atn_idx k = 0; k < r->n; k++) {
        const atn_idx j = r->lo + k;

        take(s, r, v, SPECIAL,
             (atn_quantities){.x = {fabs(scale), s->q_length[r->i], s->k_length[j],
                                    s->q_off[f][r->i], s->k_off[f][j]}},
             fabs(r->y[k] - r->z[k]),
             fabs(scale) * s->q_length[r->i] * s->k_length[j] + fabs(r->z[k]));
    }
}

/* ---- weights ---- */

static void check_weights(const asking *s, const row *r, int v, atn_rng *rng)
{
    const double size = variants[v].size, e = (1 - size) / (1 + size);
    const double max = largest_of(r->z, r->n);
    double sum = 0, off = 0, variation = 0;

    if (variants[v].how == WORST) mark_keys(r, sqrt(e) / (1 + sqrt(e)));
    for (atn_idx j = 0; j < r->n; j++) {
        const double a = exp(r->z[j] - max);

        if (variants[v].how == EXPONENTS) {
            r->w[j] = atn_short_round(&atn_short_formats[0], a);
            if (a > 0) off = fmax(off, fabs(r->w[j] / a - 1));
        } else { /* off as it is meant: a may be too small to show it */
            const double by =
                variants[v].how == WORST ? r->y[j] : 2 * atn_rng_uniform(rng) - 1;

            r->w[j] = a * (1 + size * by);
            off = fmax(off, fabs(size * by));
        }
        sum += r->w[j];
    }
    for (atn_idx j = 0; j < r->n; j++) variation += fabs(r->w[j] / sum - r->p[j]) / 2;
    take(s, r, v, WEIGHTS, (atn_quantities){.x = {fmin(off, 1)}}, variation, 1);
}

/* ---- rows ---- */

typedef struct weighed {
    double p;
    atn_idx j;
} weighed;

static int descending(const void *a, const void *b)
{
    const weighed *x = a, *y = b;

    if (x->p != y->p) return x->p < y->p ? 1 : -1;
    return (x->j > y->j) - (x->j < y->j);
}

static atn_status order_keys(atn_ctx *cx, const row *r)
{
    const atn_arena_mark mark = atn_arena_save(cx);
    atn_status st = ATN_OK;
    weighed *all = NULL;

    ATN_TAKE(all, r->n);
    for (atn_idx j = 0; j < r->n; j++) all[j] = (weighed){r->p[j], j};
    qsort(all, (size_t)r->n, sizeof *all, descending);
    for (atn_idx j = 0; j < r->n; j++) r->order[j] = all[j].j;
done:
    atn_arena_rewind(cx, mark);
    return st;
}

/* y [FORMATS]: logits of the row by other queries and keys. */
static atn_status check_row(atn_ctx *cx, const asking *s, row *r, atn_worst *worst,
                            double *const y[FORMATS])
{
    double *const own = r->y;
    atn_rng rng = atn_rng_stream(s->seed, "perturbation", s->f->head.layer,
                                 ((atn_idx)s->f->head.head << 32) + r->i);
    atn_status st = ATN_OK;

    ATN_TRY(order_keys(cx, r));
    for (int v = 0; v < VARIANTS; v++) {
        r->worst = worst + v * BOUNDS;
        r->y = own;
        if (variants[v].how == PRODUCTS)
            check_products(s, r, v, y[(int)variants[v].size]);
        else if (s->bound[v][WEIGHTS])
            check_weights(s, r, v, &rng);
        else
            check_changed(s, r, v, &rng);
    }
    r->y = own;
done:
    return st;
}

static atn_status check_rows(atn_ctx *cx, atn_idx task, void *state)
{
    const asking *s = state;
    const atn_head_facts *f = s->f;
    const atn_arena_mark mark = atn_arena_save(cx);
    const atn_idx first = task * ROWS, n = ATN_MIN(ROWS, f->nq - first);
    double *y[FORMATS], *at[FORMATS];
    atn_status st = ATN_OK;
    row r = {0};

    ATN_TAKE(r.y, f->nk);
    ATN_TAKE(r.w, f->nk);
    ATN_TAKE(r.order, f->nk);
    for (int k = 0; k < FORMATS; k++) {
        ATN_TAKE(y[k], n * f->nk);
        atn_perturbed_logits(f, s->q[k], s->k[k], first, n, y[k]);
    }
    for (r.i = first; r.i < first + n; r.i++) {
        atn_idx hi;

        atn_sight_row(&f->head.sight, r.i, &r.lo, &hi);
        r.n = hi - r.lo;
        r.z = f->s + r.i * f->nk + r.lo;
        r.p = f->p + r.i * f->nk + r.lo;
        for (int k = 0; k < FORMATS; k++) at[k] = y[k] + (r.i - first) * f->nk;
        if (isnan(f->lse[r.i])) continue;
        ATN_TRY(check_row(cx, s, &r, s->worst + task * VARIANTS * BOUNDS, at));
    }
done:
    atn_arena_rewind(cx, mark);
    return st;
}

/* ---- the head ---- */

static void choose_bounds(asking *s)
{
    static const atn_bound *const special[] = {
        [SHORT] = &atn_bound_rounded_logits,
        [SHIFTED] = &atn_bound_rounded_logits,
        [GRID] = &atn_bound_quantised_logits,
        [SIGNS] = &atn_bound_perturbed_logits_pattern,
        [PRODUCTS] = &atn_bound_quantised_products,
    };

    for (int v = 0; v < VARIANTS; v++) {
        const how h = variants[v].how;
        const bool weights = h == FACTORS || h == WORST || h == EXPONENTS;

        if (weights) {
            s->bound[v][WEIGHTS] = &atn_bound_perturbed_weights;
            continue;
        }
        s->bound[v][LOGITS] = &atn_bound_perturbed_logits;
        s->bound[v][LENGTH] = &atn_bound_perturbed_logits_l2;
        s->bound[v][SPECIAL] = special[h];
        if (h == SIGNS) s->bound[v][SHARP] = &atn_bound_perturbed_logits_sharp;
    }
}

static void lengths(const double *x, atn_idx rows, atn_idx n, double *out)
{
    for (atn_idx i = 0; i < rows; i++) {
        double sum = 0;

        for (atn_idx e = 0; e < n; e++) sum += x[i * n + e] * x[i * n + e];
        out[i] = sqrt(sum);
    }
}

static atn_status shorten_all(atn_ctx *cx, asking *s)
{
    const atn_head_facts *f = s->f;
    atn_status st = ATN_OK;

    ATN_TAKE(s->q_length, f->nq);
    ATN_TAKE(s->k_length, f->nk);
    lengths(f->q, f->nq, f->d, s->q_length);
    lengths(f->k, f->nk, f->d, s->k_length);
    for (int k = 0; k < FORMATS; k++) {
        const atn_short_format *to =
            k < ATN_SHORT_FORMATS ? &atn_short_formats[k] : NULL;

        ATN_TAKE(s->q[k], f->nq * f->d);
        ATN_TAKE(s->k[k], f->nk * f->d);
        ATN_TAKE(s->q_off[k], f->nq);
        ATN_TAKE(s->k_off[k], f->nk);
        atn_short_rows(to, f->q, f->nq, f->d, s->q[k]);
        atn_short_rows(to, f->k, f->nk, f->d, s->k[k]);
        atn_rows_apart(f->q, s->q[k], f->nq, f->d, s->q_off[k]);
        atn_rows_apart(f->k, s->k[k], f->nk, f->d, s->k_off[k]);
    }
done:
    return st;
}

static atn_status head(atn_ctx *cx, const atn_trial_head *t, atn_checks *out)
{
    enum { CELLS = VARIANTS * BOUNDS };
    const atn_arena_mark mark = atn_arena_save(cx);
    const atn_idx tasks = (t->facts->nq + ROWS - 1) / ROWS;
    asking s = {.f = t->facts, .seed = t->seed};
    atn_status st = ATN_OK;

    choose_bounds(&s);
    ATN_TRY(shorten_all(cx, &s));
    ATN_TAKE(s.worst, (tasks + 1) * CELLS);
    memset(s.worst, 0, (size_t)((tasks + 1) * CELLS) * sizeof *s.worst);
    ATN_TRY(atn_parallel(cx, tasks, check_rows, &s, "perturbation"));
    for (int c = 0; c < CELLS; c++) {
        const int v = c / BOUNDS;
        atn_check one;

        if (!s.bound[v][c % BOUNDS]) continue;
        for (atn_idx k = 1; k < tasks; k++)
            atn_worst_join(&s.worst[c], &s.worst[k * CELLS + c]);
        one = atn_worst_check(&s.worst[c], s.bound[v][c % BOUNDS], variants[v].text);
        ATN_TRY(atn_checks_add(cx, out, &one));
    }
done:
    atn_arena_rewind(cx, mark);
    return st;
}

const atn_experiment atn_experiment_perturbation = {
    .id = "perturbation",
    .label = "V2",
    .title = "Logits and weights that are off",
    .text =
        "weights under noise, short formats and the worst signs, against how far the "
        "logits are off",
    .source = "own derivation",
    .qk = true,
    .sides = ATN_BOTH_WAYS,
    .head = head,
    .bounds =
        "perturbed_logits perturbed_logits_l2 perturbed_logits_pattern "
        "perturbed_logits_sharp perturbed_weights quantised_logits rounded_logits "
        "quantised_products",
};
