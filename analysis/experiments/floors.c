/* analysis/experiments/floors.c -- norms of the weights by their entropies, and what a
 * rank or so many entries leave: B4 to B8.
 *
 * Math    theory/norms.c, theory/floors.c. Two errors E of the weights stand for all:
 *         without what a rank of 16 has of them, and without the 16 largest of every
 *         row. Singular values are measured, entropies are those of the facts.
 * Cost    the singular vectors of the weights, the singular values of one error.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#include <math.h>
#include <string.h>

#include "analysis/experiments/worst.h"
#include "approx/alternate.h"
#include "core/linalg.h"
#include "core/mat.h"
#include "core/svd.h"

extern const atn_experiment atn_experiment_floors;

enum { KEPT = 16 };

typedef struct measured {
    const atn_head_facts *f;
    atn_checks *out;
    double rows, squares, f2, column, alpha, largest;
    double value_op, value_most;
} measured;

static atn_status add(atn_ctx *cx, const measured *m, const atn_bound *b,
                      const char *variant, atn_quantities q, double x)
{
    /* weights are of size 1, and so is what rounding is relative to */
    atn_check c = {.bound = b, .measured = x, .scale = 1};

    c.predicted = atn_bound_predict(c.bound, &q);
    snprintf(c.variant, sizeof c.variant, "%s", variant);
    return atn_checks_add(cx, m->out, &c);
}

#define Q1(a)       ((atn_quantities){.x = {(a)}})
#define Q2(a, b)    ((atn_quantities){.x = {(a), (b)}})
#define Q3(a, b, c) ((atn_quantities){.x = {(a), (b), (c)}})

/* The largest singular value of x [m, n], which stays. */
static atn_status largest_value(atn_ctx *cx, const double *x, atn_idx m, atn_idx n,
                                double *out)
{
    const atn_arena_mark mark = atn_arena_save(cx);
    atn_status st = ATN_OK;
    double *copy = NULL, *s = NULL;

    *out = 0;
    if (m * n == 0) return ATN_OK;
    ATN_TAKE(copy, m * n);
    ATN_TAKE(s, ATN_MIN(m, n));
    memcpy(copy, x, (size_t)(m * n) * sizeof *x);
    ATN_TRY(atn_svd(cx, copy, m, n, s, NULL, NULL));
    *out = s[0];
done:
    atn_arena_rewind(cx, mark);
    return st;
}

static double most_of(const double *x, atn_idx n)
{
    double most = 0;

    for (atn_idx e = 0; e < n; e++) most = fmax(most, fabs(x[e]));
    return most;
}

static double square_of(const double *x, atn_idx n)
{
    double sum = 0;

    for (atn_idx e = 0; e < n; e++) sum += x[e] * x[e];
    return sum;
}

/* The largest sum of absolute numbers: of rows (by = 1), or of columns. */
static atn_status largest_sum(atn_ctx *cx, const double *x, atn_idx m, atn_idx n,
                              bool rows, double *out)
{
    const atn_arena_mark mark = atn_arena_save(cx);
    atn_status st = ATN_OK;
    double *sum = NULL;

    ATN_TAKE(sum, rows ? m : n);
    memset(sum, 0, (size_t)(rows ? m : n) * sizeof *sum);
    for (atn_idx i = 0; i < m; i++)
        for (atn_idx j = 0; j < n; j++) sum[rows ? i : j] += fabs(x[i * n + j]);
    *out = most_of(sum, rows ? m : n);
done:
    atn_arena_rewind(cx, mark);
    return st;
}

/* ---- weights ---- */

static void take_columns(const atn_head_facts *f, measured *m)
{
    for (atn_idx j = 0; j < f->nk; j++) {
        double sum = 0, squares = 0;

        for (atn_idx i = 0; i < f->nq; i++) {
            const double p = f->p[i * f->nk + j];

            sum += p;
            squares += p * p;
        }
        m->column = fmax(m->column, sum);
        m->alpha = fmax(m->alpha, (double)f->nk * squares);
    }
}

static atn_idx seen_by(const atn_head_facts *f, atn_idx i)
{
    atn_idx lo, hi;

    atn_sight_row(&f->head.sight, i, &lo, &hi);
    return hi - lo;
}

/* B5 row by row: the worst of them. */
static atn_status row_checks(atn_ctx *cx, const measured *m)
{
    const atn_head_facts *f = m->f;
    const atn_bound *least = &atn_bound_collision_least;
    const atn_bound *most = &atn_bound_collision_most;
    atn_worst low = {0}, high = {0};
    atn_status st = ATN_OK;
    atn_check c;

    for (atn_idx i = 0; i < f->nq; i++) {
        const double *p = f->p + i * f->nk;
        const atn_quantities h = Q1(f->entropy[i]), top = Q1(most_of(p, f->nk));
        const double squares = square_of(p, f->nk);
        const bool one = seen_by(f, i) < 2;

        if (isnan(f->lse[i])) continue;
        atn_worst_take_row(&low, ATN_AT_LEAST, atn_bound_predict(least, &h), squares, 0,
                           one);
        atn_worst_take_row(&high, ATN_AT_MOST, atn_bound_predict(most, &top), squares,
                           0, one);
    }
    c = atn_worst_check(&low, least, "");
    ATN_TRY(atn_checks_add(cx, m->out, &c));
    c = atn_worst_check(&high, most, "");
    ATN_TRY(atn_checks_add(cx, m->out, &c));
done:
    return st;
}

static atn_status weight_checks(atn_ctx *cx, const measured *m)
{
    const atn_head_facts *f = m->f;
    const double op = f->sigma[0], srank = m->f2 / (op * op);
    const double nk = (double)f->nk, r = (double)ATN_MIN(f->nq, f->nk);
    atn_status st = ATN_OK;
    atn_quantities seen = {0};
    double *renyi = NULL;

    ATN_TAKE(renyi, f->nq);
    for (atn_idx i = 0; i < f->nq; i++)
        if (!isnan(f->renyi[i])) renyi[seen.n[0]++] = f->renyi[i];
    seen.list[0] = renyi;
    ATN_TRY(add(cx, m, &atn_bound_norm_sums, "weights", Q2(m->column, 1), op));
    ATN_TRY(add(cx, m, &atn_bound_norm_entry, "weights", Q1(op),
                most_of(f->p, f->nq * f->nk)));
    ATN_TRY(add(cx, m, &atn_bound_norm_frobenius, "weights", Q1(sqrt(m->f2)), op));
    ATN_TRY(add(cx, m, &atn_bound_norm_rank, "weights", Q2(r, op), sqrt(m->f2)));
    ATN_TRY(add(cx, m, &atn_bound_norm_least, "", Q2(m->rows, nk), op));
    ATN_TRY(add(cx, m, &atn_bound_norm_column, "", Q1(m->column), op));
    /* by the singular values, which know nothing of rows */
    ATN_TRY(add(cx, m, &atn_bound_square_sum, "", seen,
                square_of(f->sigma, ATN_MIN(f->nq, f->nk))));
    ATN_TRY(row_checks(cx, m));
    ATN_TRY(
        add(cx, m, &atn_bound_stable_rank_least, "", Q2(m->squares, m->column), srank));
    ATN_TRY(add(cx, m, &atn_bound_stable_rank_most, "", Q3(m->squares, nk, m->rows),
                srank));
    ATN_TRY(add(cx, m, &atn_bound_square_alpha, "", Q1(m->alpha), m->f2));
done:
    return st;
}

/* ---- floors ---- */

/* Ranks 1, 2, 4 .. and what they leave; the rank that an accuracy takes. */
static atn_status rank_checks(atn_ctx *cx, const measured *m)
{
    static const double errors[] = {.5, .2, .1, .05};
    const atn_head_facts *f = m->f;
    const atn_idx r = ATN_MIN(f->nq, f->nk);
    const double srank = m->f2 / (f->sigma[0] * f->sigma[0]);
    atn_status st = ATN_OK;
    char variant[32];

    for (atn_idx k = 1; k <= ATN_MIN(r, 64); k *= 2) {
        snprintf(variant, sizeof variant, "rank=%lld", (long long)k);
        ATN_TRY(add(cx, m, &atn_bound_rank_floor, variant, Q2((double)k, srank),
                    square_of(f->sigma + k, r - k) / m->f2));
    }
    for (size_t e = 0; e < ATN_LEN(errors); e++) {
        double left = 0;
        atn_idx k = r;

        while (k > 0 && (left + f->sigma[k - 1] * f->sigma[k - 1]) / m->f2 <=
                            errors[e] * errors[e]) {
            left += f->sigma[k - 1] * f->sigma[k - 1];
            k--;
        }
        snprintf(variant, sizeof variant, "error=%g", errors[e]);
        ATN_TRY(add(cx, m, &atn_bound_rank_needed, variant, Q2(errors[e], srank),
                    (double)k));
    }
done:
    return st;
}

/* What the k largest of every row leave: of the row, and of all against the k rows
 * largest of the head, whose squares are `best`. x [nq, nk] is scratch. */
static atn_status entry_checks(atn_ctx *cx, const measured *m, atn_idx k, double best,
                               double *x)
{
    const atn_head_facts *f = m->f;
    const atn_bound *of_row = &atn_bound_row_entries_floor;
    atn_worst worst = {0};
    double left = 0;
    atn_status st = ATN_OK;
    char variant[32];
    atn_check c;

    snprintf(variant, sizeof variant, "k=%lld", (long long)k);
    ATN_TRY(atn_keep_rows(cx, &f->head, f->p, k, true, x));
    for (atn_idx i = 0; i < f->nq; i++) {
        const double *p = f->p + i * f->nk;
        const atn_quantities q = Q3((double)k, most_of(p, f->nk), f->renyi[i]);
        double row = 0;

        if (isnan(f->lse[i])) continue;
        for (atn_idx j = 0; j < f->nk; j++)
            if (x[i * f->nk + j] == 0) row += p[j] * p[j];
        left += row;
        atn_worst_take_row(&worst, ATN_AT_LEAST, atn_bound_predict(of_row, &q),
                           row / square_of(p, f->nk), 1, seen_by(f, i) <= k);
    }
    c = atn_worst_check(&worst, of_row, variant);
    ATN_TRY(atn_checks_add(cx, m->out, &c));
    ATN_TRY(
        add(cx, m, &atn_bound_entries_floor, variant, Q2(best, m->f2), left / m->f2));
done:
    return st;
}

/* Of 1, 4, 16 and 64 entries a row; all weights are sorted once. */
static atn_status all_entry_checks(atn_ctx *cx, const measured *m, double *x)
{
    static const atn_idx kept[] = {1, 4, 16, 64};
    const atn_head_facts *f = m->f;
    const atn_idx all = f->nq * f->nk;
    double best[ATN_LEN(kept)];
    atn_status st = ATN_OK;

    memcpy(x, f->p, (size_t)all * sizeof *x);
    atn_sort(x, all);
    for (size_t k = 0; k < ATN_LEN(kept); k++) {
        const atn_idx n = ATN_MIN(kept[k] * f->nq, all);

        best[k] = square_of(x + all - n, n);
    }
    for (size_t k = 0; k < ATN_LEN(kept); k++)
        if (kept[k] < f->nk) ATN_TRY(entry_checks(cx, m, kept[k], best[k], x));
done:
    return st;
}

/* ---- errors ---- */

/* e <- weights without what the 16 largest singular values have of them. */
static atn_status without_rank(atn_ctx *cx, const atn_head_facts *f, double *e)
{
    const atn_idx r = ATN_MIN(f->nq, f->nk), kept = ATN_MIN(r, (atn_idx)KEPT);
    const atn_arena_mark mark = atn_arena_save(cx);
    atn_status st = ATN_OK;
    double *u = NULL;

    ATN_TAKE(u, f->nq * kept);
    for (atn_idx i = 0; i < f->nq; i++)
        for (atn_idx k = 0; k < kept; k++)
            u[i * kept + k] = f->u[i * r + k] * f->sigma[k];
    memcpy(e, f->p, (size_t)(f->nq * f->nk) * sizeof *e);
    atn_gemm_wide(ATN_AB, -1, (atn_cwide){u, f->nq, kept, kept},
                  (atn_cwide){f->vt, kept, f->nk, f->nk}, 1,
                  (atn_wide){e, f->nq, f->nk, f->nk});
done:
    atn_arena_rewind(cx, mark);
    return st;
}

static atn_status error_checks(atn_ctx *cx, const measured *m, const char *variant,
                               const double *e)
{
    const atn_head_facts *f = m->f;
    const atn_idx all = f->nq * f->nk;
    const double size = sqrt(square_of(e, all));
    atn_status st = ATN_OK;
    double op, column, row, out;
    double *o = NULL;

    ATN_TRY(largest_value(cx, e, f->nq, f->nk, &op));
    ATN_TRY(largest_sum(cx, e, f->nq, f->nk, false, &column));
    ATN_TRY(largest_sum(cx, e, f->nq, f->nk, true, &row));
    ATN_TRY(add(cx, m, &atn_bound_norm_sums, variant, Q2(column, row), op));
    ATN_TRY(add(cx, m, &atn_bound_norm_entry, variant, Q1(op), most_of(e, all)));
    ATN_TRY(add(cx, m, &atn_bound_norm_frobenius, variant, Q1(size), op));
    if (!f->v) goto done;
    ATN_TAKE(o, f->nq * f->dv);
    atn_gemm_wide(ATN_AB, 1, (atn_cwide){e, f->nq, f->nk, f->nk},
                  (atn_cwide){f->v, f->nk, f->dv, f->dv}, 0,
                  (atn_wide){o, f->nq, f->dv, f->dv});
    ATN_TRY(largest_value(cx, o, f->nq, f->dv, &out));
    ATN_TRY(add(cx, m, &atn_bound_output_frobenius, variant, Q2(size, m->value_op),
                sqrt(square_of(o, f->nq * f->dv))));
    ATN_TRY(add(cx, m, &atn_bound_output_operator, variant, Q2(op, m->value_op), out));
    ATN_TRY(add(cx, m, &atn_bound_output_max, variant, Q2(row, m->value_most),
                most_of(o, f->nq * f->dv)));
done:
    return st;
}

static atn_status head(atn_ctx *cx, const atn_trial_head *t, atn_checks *out)
{
    const atn_head_facts *f = t->facts;
    const atn_arena_mark mark = atn_arena_save(cx);
    measured m = {.f = f, .out = out};
    atn_status st = ATN_OK;
    double *x = NULL;

    for (atn_idx i = 0; f->nk > 0 && i < f->nq; i++) m.rows += !isnan(f->lse[i]);
    if (m.rows == 0) goto done;
    ATN_TRY(atn_head_facts_spectrum(cx, t->facts, true));
    for (atn_idx i = 0; i < f->nq; i++)
        if (!isnan(f->renyi[i])) m.squares += exp(-f->renyi[i]);
    m.f2 = square_of(f->p, f->nq * f->nk);
    take_columns(f, &m);
    if (f->v) {
        ATN_TRY(largest_value(cx, f->v, f->nk, f->dv, &m.value_op));
        m.value_most = most_of(f->v, f->nk * f->dv);
    }
    ATN_TRY(weight_checks(cx, &m));
    ATN_TRY(rank_checks(cx, &m));
    ATN_TAKE(x, f->nq * f->nk);
    ATN_TRY(all_entry_checks(cx, &m, x));
    ATN_TRY(without_rank(cx, f, x));
    ATN_TRY(error_checks(cx, &m, "without rank 16", x));
    ATN_TRY(atn_keep_rows(cx, &f->head, f->p, KEPT, true, x));
    for (atn_idx e = 0; e < f->nq * f->nk; e++) x[e] = f->p[e] - x[e];
    ATN_TRY(error_checks(cx, &m, "without 16 a row", x));
done:
    atn_arena_rewind(cx, mark);
    return st;
}

const atn_experiment atn_experiment_floors = {
    .id = "floors",
    .label = "V3",
    .title = "Norms, stable rank and floors",
    .text = "norms of the weights by entropies; what a rank or so many entries leave",
    .source = "elementary",
    .sides = ATN_BOTH_WAYS,
    .head = head,
    .bounds = "output_frobenius output_operator output_max norm_sums norm_entry "
              "norm_frobenius norm_rank norm_least norm_column square_sum "
              "collision_least collision_most stable_rank_least stable_rank_most "
              "square_alpha rank_floor rank_needed entries_floor row_entries_floor",
};
