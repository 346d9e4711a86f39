/* core/linalg.c -- dense linear algebra in double, see the header. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "core/linalg.h"

#include <limits.h>
#include <math.h>

#include <cblas.h>

/* LAPACK, in Fortran: everything by address. */
void dsyevd_(const char *jobz, const char *uplo, const int *n, double *a,
             const int *lda, double *w, double *work, const int *lwork, int *iwork,
             const int *liwork, int *info);

void dgeev_(const char *jobvl, const char *jobvr, const int *n, double *a,
            const int *lda, double *wr, double *wi, double *vl, const int *ldvl,
            double *vr, const int *ldvr, double *work, const int *lwork, int *info);

bool atn_cholesky(double *a, atn_idx n)
{
    for (atn_idx i = 0; i < n; i++)
        for (atn_idx j = 0; j <= i; j++) {
            double sum = a[i * n + j];

            for (atn_idx k = 0; k < j; k++) sum -= a[i * n + k] * a[j * n + k];
            if (i != j) {
                a[i * n + j] = sum / a[j * n + j];
                continue;
            }
            if (!(sum > 0)) return false;
            a[i * n + i] = sqrt(sum);
        }
    return true;
}

void atn_cholesky_half(double *a, atn_idx n)
{
    double most = 0;

    for (atn_idx i = 0; i < n; i++) most = ATN_MAX(most, a[i * n + i]);
    for (atn_idx j = 0; j < n; j++) {
        double pivot = a[j * n + j];

        for (atn_idx k = 0; k < j; k++) pivot -= a[j * n + k] * a[j * n + k];
        pivot = pivot > 1e-13 * most ? sqrt(pivot) : 0;
        for (atn_idx i = 0; i < n; i++) {
            double x = a[i * n + j];

            if (i < j) continue;
            for (atn_idx k = 0; k < j; k++) x -= a[i * n + k] * a[j * n + k];
            a[i * n + j] = pivot > 0 ? (i == j ? pivot : x / pivot) : 0;
        }
    }
    for (atn_idx i = 0; i < n; i++)
        for (atn_idx j = i + 1; j < n; j++) a[i * n + j] = 0;
}

void atn_cholesky_solve(const double *l, atn_idx n, double *b)
{
    for (atn_idx i = 0; i < n; i++) {
        for (atn_idx k = 0; k < i; k++) b[i] -= l[i * n + k] * b[k];
        b[i] /= l[i * n + i];
    }
    for (atn_idx i = n - 1; i >= 0; i--) {
        for (atn_idx k = i + 1; k < n; k++) b[i] -= l[k * n + i] * b[k];
        b[i] /= l[i * n + i];
    }
}

void atn_gram_add(bool of_rows, const double *a, atn_idx rows, atn_idx n, double *c)
{
    ATN_ASSERT(rows <= INT_MAX && n <= INT_MAX);
    if (rows == 0 || n == 0) return;
    cblas_dsyrk(CblasRowMajor, CblasLower, of_rows ? CblasNoTrans : CblasTrans, (int)n,
                (int)rows, 1, a, (int)(of_rows ? rows : n), 1, c, (int)n);
}

static int blas_size(atn_idx n)
{
    ATN_ASSERT(n >= 0 && n <= INT_MAX);
    return (int)n;
}

void atn_gemm_wide(atn_product_of of, double alpha, atn_cwide a, atn_cwide b,
                   double beta, atn_wide c)
{
    const bool turn_a = of == ATN_ATB, turn_b = of == ATN_ABT;
    const atn_idx inner = turn_a ? a.rows : a.cols;

    ATN_ASSERT((turn_a ? a.cols : a.rows) == c.rows);
    ATN_ASSERT((turn_b ? b.rows : b.cols) == c.cols);
    ATN_ASSERT((turn_b ? b.cols : b.rows) == inner);
    if (c.rows == 0 || c.cols == 0) return;
    cblas_dgemm(CblasRowMajor, turn_a ? CblasTrans : CblasNoTrans,
                turn_b ? CblasTrans : CblasNoTrans, blas_size(c.rows),
                blas_size(c.cols), blas_size(inner), alpha, a.data,
                blas_size(ATN_MAX(a.ld, 1)), b.data, blas_size(ATN_MAX(b.ld, 1)), beta,
                c.data, blas_size(c.ld));
}

static atn_status check_finite(atn_ctx *cx, const double *a, atn_idx n)
{
    for (atn_idx i = 0; i < n * n; i++)
        if (!isfinite(a[i]))
            return atn_fail(cx, ATN_DATA, __FILE__, __LINE__,
                            "eigenvalues: entry %lld of a %lld x %lld matrix is not "
                            "finite",
                            (long long)i, (long long)n, (long long)n);
    return ATN_OK;
}

double atn_eigenvalues_bytes(atn_idx n)
{
    return (2 * (double)n + 1 + 64 * (double)n) * sizeof(double);
}

atn_status atn_eigenvalues(atn_ctx *cx, double *a, atn_idx n, double *values)
{
    const atn_arena_mark mark = atn_arena_save(cx);
    const atn_idx room = 66 * n + 1; /* blocks of up to 64 columns */
    const int size = (int)n, length = (int)room, one = 1;
    atn_status st = ATN_OK;
    double *work = NULL;
    int info = 0, whole = 0;

    ATN_ASSERT(n >= 0 && room <= INT_MAX);
    if (n == 0) goto done;
    ATN_TRY(check_finite(cx, a, n));
    ATN_TAKE(work, room);
    dsyevd_("N", "L", &size, a, &size, values, work, &length, &whole, &one, &info);
    if (info != 0)
        ATN_FAIL(ATN_INTERNAL, "eigenvalues of a %lld x %lld matrix: dsyevd gave %d",
                 (long long)n, (long long)n, info);
done:
    atn_arena_rewind(cx, mark);
    return st;
}

double atn_eigenvectors_bytes(atn_idx n)
{
    const double m = (double)n;

    return sizeof(double) * (1 + 70 * m + 2 * m * m) + sizeof(int) * (3 + 5 * m);
}

/* LAPACK's columns are our rows. */
atn_status atn_eigenvectors(atn_ctx *cx, double *a, atn_idx n, double *values)
{
    const atn_arena_mark mark = atn_arena_save(cx);
    const atn_idx room = 1 + 70 * n + 2 * n * n, whole = 3 + 5 * n;
    const int size = (int)n, length = (int)room, whole_length = (int)whole;
    atn_status st = ATN_OK;
    double *work = NULL;
    int info = 0, *iwork = NULL;

    ATN_ASSERT(n >= 0 && n < 1 << 15 && room <= INT_MAX);
    if (n == 0) goto done;
    ATN_TRY(check_finite(cx, a, n));
    ATN_TAKE(work, room);
    ATN_TAKE(iwork, whole);
    dsyevd_("V", "L", &size, a, &size, values, work, &length, iwork, &whole_length,
            &info);
    if (info != 0)
        ATN_FAIL(ATN_INTERNAL, "eigenvectors of a %lld x %lld matrix: dsyevd gave %d",
                 (long long)n, (long long)n, info);
done:
    atn_arena_rewind(cx, mark);
    return st;
}

/* The transpose, which LAPACK sees, has the same eigenvalues. */
atn_status atn_eigenvalues_general(atn_ctx *cx, double *a, atn_idx n, double *re,
                                   double *im)
{
    const atn_arena_mark mark = atn_arena_save(cx);
    const atn_idx room = 66 * n + 1;
    const int size = (int)n, length = (int)room, one = 1;
    atn_status st = ATN_OK;
    double *work = NULL, none = 0;
    int info = 0;

    ATN_ASSERT(n >= 0 && room <= INT_MAX);
    if (n == 0) goto done;
    ATN_TRY(check_finite(cx, a, n));
    ATN_TAKE(work, room);
    dgeev_("N", "N", &size, a, &size, re, im, &none, &one, &none, &one, work, &length,
           &info);
    if (info != 0)
        ATN_FAIL(ATN_INTERNAL, "eigenvalues of a %lld x %lld matrix: dgeev gave %d",
                 (long long)n, (long long)n, info);
done:
    atn_arena_rewind(cx, mark);
    return st;
}

/* ---- orthonormal vectors ---- */

enum { PANEL = 8 };

static double inner(const double *x, const double *y, atn_idx n)
{
    return cblas_ddot((int)n, x, 1, y, 1);
}

/* x [m][n] less what the a orthonormal vectors q have of it. */
static void project_out(const double *q, atn_idx a, double *x, atn_idx m, atn_idx n)
{
    double c[PANEL * 64];

    for (atn_idx b = 0; b < a; b += 64) {
        const int some = (int)ATN_MIN(a - b, 64);

        cblas_dgemm(CblasRowMajor, CblasNoTrans, CblasTrans, (int)m, some, (int)n, 1, x,
                    (int)n, q + b * n, (int)n, 0, c, some);
        cblas_dgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, (int)m, (int)n, some, -1,
                    c, some, q + b * n, (int)n, 1, x, (int)n);
    }
}

/* Gram and Schmidt, in panels and twice, which is enough. */
void atn_orthonormalise(double *q, atn_idx r, atn_idx n)
{
    for (atn_idx first = 0; first < r; first += PANEL) {
        const atn_idx m = ATN_MIN(r - first, (atn_idx)PANEL);
        double before[PANEL], *x = q + first * n;

        for (atn_idx i = 0; i < m; i++)
            before[i] = sqrt(inner(x + i * n, x + i * n, n));
        for (int twice = 0; twice < 2; twice++) project_out(q, first, x, m, n);
        for (atn_idx i = 0; i < m; i++) {
            double *y = x + i * n, length;

            for (int twice = 0; twice < 2; twice++) project_out(x, i, y, 1, n);
            length = sqrt(inner(y, y, n));
            for (atn_idx k = 0; k < n; k++)
                y[k] = length > 1e-12 * before[i] ? y[k] / length : 0;
        }
    }
}
