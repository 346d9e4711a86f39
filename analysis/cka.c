/* analysis/cka.c -- linear CKA of pairs, one pair a task, see the header. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "analysis/cka.h"

#include <math.h>
#include <string.h>

#include "analysis/similarity_internal.h"
#include "core/kernels/kernels.h"

enum {
    FEATURE_ROWS = 128, /* rows of a tile: keeps the float32 sums of a GEMM short */
    GRAM_ROWS = 32,
};

typedef struct job {
    const atn_cmat *x;
    atn_idx m;
    double **mean;          /* [m][d] */
    double *dot, *diagonal; /* [m, m] |Y'X|_F^2, sum_i s_i t_i */
    double *trace;          /* [m] sum_i s_i */
} job;

/* What one pair takes. */
typedef struct scratch {
    float *a, *b;   /* centred rows */
    float *left;    /* the rows of a, transposed; or a tile of K */
    float *product; /* of a tile: X'Y; or a tile of L */
    double *sum;    /* [dx, dy] */
} scratch;

static bool by_features(atn_cmat x, atn_cmat y)
{
    const double n = (double)x.rows, dx = (double)x.cols, dy = (double)y.cols;

    return dx * dy <= n * (dx + dy);
}

static double pair_bytes(atn_cmat x, atn_cmat y)
{
    const double n = (double)x.rows, dx = (double)x.cols, dy = (double)y.cols;
    const double rows = ATN_MIN(n, (double)FEATURE_ROWS);

    if (by_features(x, y)) return 4 * rows * (2 * dx + dy) + 12 * dx * dy;
    return 4 * n * (dx + dy) + 8 * n * ATN_MIN(n, (double)GRAM_ROWS);
}

static double square_products(const float *a, atn_idx da, const float *b, atn_idx db,
                              atn_idx rows, double *trace)
{
    double sum = 0;

    for (atn_idx i = 0; i < rows; i++) {
        const double s = atn_row_square(a + i * da, da);
        *trace += s;
        sum += s * atn_row_square(b + i * db, db);
    }
    return sum;
}

/* |Y'X|_F^2 through the d_x x d_y matrix. */
static double feature_pair(const job *j, atn_idx p, atn_idx q, const scratch *s,
                           double *diagonal, double *trace)
{
    const atn_cmat x = j->x[p], y = j->x[q];
    const atn_mat product = {s->product, x.cols, y.cols, ATN_MAX(y.cols, 1)};
    double dot = 0;

    memset(s->sum, 0, (size_t)(x.cols * y.cols) * sizeof *s->sum);
    for (atn_idx at = 0; at < x.rows; at += FEATURE_ROWS) {
        const atn_idx rows = ATN_MIN((atn_idx)FEATURE_ROWS, x.rows - at);
        const atn_cmat left = {s->left, x.cols, rows, rows};
        const atn_cmat right = {s->b, rows, y.cols, ATN_MAX(y.cols, 1)};

        atn_mat_centre(x, j->mean[p], at, rows, s->a);
        atn_mat_centre(y, j->mean[q], at, rows, s->b);
        *diagonal += square_products(s->a, x.cols, s->b, y.cols, rows, trace);
        for (atn_idx i = 0; i < rows; i++)
            for (atn_idx c = 0; c < x.cols; c++)
                s->left[c * rows + i] = s->a[i * x.cols + c];
        atn_gemm(false, 1, left, right, 0, product);
        for (atn_idx c = 0; c < x.cols * y.cols; c++)
            s->sum[c] += (double)s->product[c];
    }
    for (atn_idx c = 0; c < x.cols * y.cols; c++) dot += s->sum[c] * s->sum[c];
    return dot;
}

/* The same as sum_ij K_ij L_ij, a tile of rows of both at a time. */
static double gram_pair(const job *j, atn_idx p, atn_idx q, const scratch *s,
                        double *diagonal, double *trace)
{
    const atn_idx n = j->x[p].rows, dx = j->x[p].cols, dy = j->x[q].cols;
    const atn_cmat all_x = {s->a, n, dx, dx}, all_y = {s->b, n, dy, dy};
    double dot = 0;

    atn_mat_centre(j->x[p], j->mean[p], 0, n, s->a);
    atn_mat_centre(j->x[q], j->mean[q], 0, n, s->b);
    *diagonal = square_products(s->a, dx, s->b, dy, n, trace);
    for (atn_idx at = 0; at < n; at += GRAM_ROWS) {
        const atn_idx rows = ATN_MIN((atn_idx)GRAM_ROWS, n - at);
        const atn_cmat x = {s->a + at * dx, rows, dx, dx};
        const atn_cmat y = {s->b + at * dy, rows, dy, dy};
        const atn_mat k = {s->left, rows, n, n}, l = {s->product, rows, n, n};

        atn_gemm(true, 1, x, all_x, 0, k);
        atn_gemm(true, 1, y, all_y, 0, l);
        dot += atn_row_dot(s->left, s->product, rows * n);
    }
    return dot;
}

static atn_status take_scratch(atn_ctx *cx, atn_cmat x, atn_cmat y, scratch *s)
{
    const bool features = by_features(x, y);
    const atn_idx n = x.rows, held = features ? ATN_MIN(n, (atn_idx)FEATURE_ROWS) : n;
    const atn_idx tile = ATN_MIN(n, (atn_idx)GRAM_ROWS) * n;
    atn_status st = ATN_OK;

    ATN_TAKE(s->a, held * x.cols);
    ATN_TAKE(s->b, held * y.cols);
    ATN_TAKE(s->left, features ? held * x.cols : tile);
    ATN_TAKE(s->product, features ? x.cols * y.cols : tile);
    if (features) ATN_TAKE(s->sum, x.cols * y.cols);
done:
    return st;
}

static atn_status one_pair(atn_ctx *cx, atn_idx at, void *state)
{
    const job *j = state;
    const atn_arena_mark mark = atn_arena_save(cx);
    atn_status st = ATN_OK;
    scratch s = {0};
    atn_idx p = 0, q = at;
    double trace = 0, diagonal = 0, dot;

    for (; q > p; q -= p) p++; /* the place `at` of a lower triangle */
    ATN_TRY(take_scratch(cx, j->x[p], j->x[q], &s));
    dot = by_features(j->x[p], j->x[q]) ? feature_pair(j, p, q, &s, &diagonal, &trace)
                                        : gram_pair(j, p, q, &s, &diagonal, &trace);
    j->dot[p * j->m + q] = dot;
    j->diagonal[p * j->m + q] = diagonal;
    if (p == q) j->trace[p] = trace;
done:
    atn_arena_rewind(cx, mark);
    return st;
}

/* n (n - 3) HSIC of matrices a and b. */
static double hsic(const job *j, atn_idx a, atn_idx b)
{
    const atn_idx at = ATN_MAX(a, b) * j->m + ATN_MIN(a, b);
    const double n = (double)j->x[0].rows;

    return j->dot[at] - j->diagonal[at] +
           j->trace[a] * j->trace[b] / ((n - 1) * (n - 2)) -
           2 * j->diagonal[at] / (n - 2);
}

/* xy / sqrt(xx yy), 1 for a matrix with itself; NaN without variation. */
static double ratio(double xy, double xx, double yy, bool same)
{
    if (!(xx > 0 && yy > 0)) return NAN;
    return same ? 1 : ATN_MAX(-1.0, ATN_MIN(xy / sqrt(xx) / sqrt(yy), 1.0));
}

static void finish(const job *j, double *cka, double *debiased)
{
    const atn_idx m = j->m, n = j->x[0].rows;

    for (atn_idx a = 0; a < m; a++)
        for (atn_idx b = 0; b <= a; b++) {
            const double *dot = j->dot;

            cka[a * m + b] = cka[b * m + a] =
                ratio(dot[a * m + b], dot[a * m + a], dot[b * m + b], a == b);
            if (!debiased) continue;
            debiased[a * m + b] = debiased[b * m + a] =
                n > 3 ? ratio(hsic(j, a, b), hsic(j, a, a), hsic(j, b, b), a == b)
                      : (double)NAN;
        }
}

static double most_bytes(const atn_cmat *x, atn_idx m)
{
    double most = 1;

    for (atn_idx a = 0; a < m; a++)
        for (atn_idx b = 0; b <= a; b++) most = ATN_MAX(most, pair_bytes(x[a], x[b]));
    return most;
}

double atn_cka_bytes(const atn_ctx *cx, const atn_cmat *x, atn_idx m)
{
    const double most = most_bytes(x, m);
    double means = 0;

    for (atn_idx a = 0; a < m; a++) means += 8 * (double)x[a].cols;
    return most * atn_sim_threads(cx, most) + means + 16 * (double)m * (double)m;
}

atn_status atn_cka_pairs(atn_ctx *cx, const atn_cmat *x, atn_idx m, double *cka,
                         double *debiased)
{
    const atn_arena_mark mark = atn_arena_save(cx);
    const int threads = cx->threads;
    atn_status st = ATN_OK;
    job j = {.x = x, .m = m};

    ATN_ASSERT(m > 0);
    ATN_TRY(atn_mem_check(cx, atn_cka_bytes(cx, x, m), "CKA"));
    ATN_TAKE(j.mean, m);
    ATN_TAKE(j.dot, m * m);
    ATN_TAKE(j.diagonal, m * m);
    ATN_TAKE(j.trace, m);
    for (atn_idx a = 0; a < m; a++) {
        ATN_ASSERT(x[a].rows == x[0].rows);
        ATN_TAKE(j.mean[a], x[a].cols);
        atn_mat_mean(x[a], j.mean[a]);
    }
    cx->threads = atn_sim_threads(cx, most_bytes(x, m));
    st = atn_parallel(cx, m * (m + 1) / 2, one_pair, &j, "CKA");
    cx->threads = threads;
    ATN_TRY(st);
    finish(&j, cka, debiased);
done:
    atn_arena_rewind(cx, mark);
    return st;
}
