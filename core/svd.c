/* core/svd.c -- singular values and vectors by LAPACK. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "core/svd.h"

#include <limits.h>
#include <math.h>

/* Of LAPACK, which OpenBLAS brings; its column-major a is the transpose of ours. */
extern void dgesdd_(const char *jobz, const int *m, const int *n, double *a,
                    const int *lda, double *s, double *u, const int *ldu, double *vt,
                    const int *ldvt, double *work, const int *lwork, int *iwork,
                    int *info);

/* Numbers of workspace: what dgesdd asks for at least, and blocks of 64 columns. */
static double work_numbers(atn_idx m, atn_idx n, bool vectors)
{
    const double r = (double)ATN_MIN(m, n), most = (double)ATN_MAX(m, n);

    if (!vectors) return 7 * r + 64 * (r + most) + 3 * r;
    return 4 * r * r + 7 * r + 64 * (r + most) + most;
}

double atn_svd_bytes(atn_idx m, atn_idx n, bool vectors)
{
    return work_numbers(m, n, vectors) * sizeof(double) +
           8 * (double)ATN_MIN(m, n) * sizeof(int);
}

atn_status atn_svd(atn_ctx *cx, double *a, atn_idx m, atn_idx n, double *s, double *u,
                   double *vt)
{
    const atn_arena_mark mark = atn_arena_save(cx);
    const double room = work_numbers(m, n, u != NULL);
    const int rows = (int)m, cols = (int)n, rank = (int)ATN_MIN(m, n);
    const int length = (int)ATN_MIN(room, (double)INT_MAX);
    atn_status st = ATN_OK;
    double *work = NULL, none = 0;
    int info = 0, *iwork = NULL;

    ATN_ASSERT(m >= 0 && n >= 0 && (u != NULL) == (vt != NULL));
    if (m == 0 || n == 0) goto done;
    if ((double)m * (double)n > INT_MAX || room > INT_MAX)
        ATN_FAIL(
            ATN_MEMORY,
            "singular values of a %lld x %lld matrix%s: there is no counting above "
            "%d numbers, of the matrix and %.0f of workspace (take fewer tokens)",
            (long long)m, (long long)n, u ? " with vectors" : "", INT_MAX, room);
    for (atn_idx i = 0; i < m * n; i++)
        if (!isfinite(a[i]))
            ATN_FAIL(
                ATN_DATA,
                "singular values: entry %lld of a %lld x %lld matrix is not finite",
                (long long)i, (long long)m, (long long)n);
    ATN_TAKE(work, length);
    ATN_TAKE(iwork, 8 * (atn_idx)rank);
    dgesdd_(u ? "S" : "N", &cols, &rows, a, &cols, s, u ? vt : &none, u ? &cols : &rank,
            u ? u : &none, &rank, work, &length, iwork, &info);
    if (info != 0)
        ATN_FAIL(ATN_INTERNAL,
                 "singular values of a %lld x %lld matrix: dgesdd gave %d",
                 (long long)m, (long long)n, info);
done:
    atn_arena_rewind(cx, mark);
    return st;
}
