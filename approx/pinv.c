/* approx/pinv.c -- pseudo-inverses, see the header. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "approx/pinv.h"

#include <math.h>
#include <string.h>

#include "core/linalg.h"
#include "core/svd.h"

static const double DROP = 1e-15; /* of the largest singular value */

double atn_pinv_bytes(atn_idx m)
{
    const double square = (double)m * (double)m * sizeof(double);

    return 3 * square + (double)m * sizeof(double) + atn_svd_bytes(m, m, true) + 512;
}

atn_status atn_pinv_exact(atn_ctx *cx, const double *a, atn_idx m, double *left,
                          double *right, atn_idx *r)
{
    const atn_arena_mark mark = atn_arena_save(cx);
    double *copy = NULL, *s = NULL, *u = NULL, *vt = NULL;
    atn_status st = ATN_OK;
    atn_idx rank = 0;

    ATN_TAKE(copy, m * m);
    ATN_TAKE(s, m);
    ATN_TAKE(u, m * m);
    ATN_TAKE(vt, m * m);
    memcpy(copy, a, (size_t)(m * m) * sizeof *a);
    ATN_TRY(atn_svd(cx, copy, m, m, s, u, vt));
    while (rank < m && s[rank] > DROP * s[0]) rank++;
    for (atn_idx i = 0; i < m; i++)
        for (atn_idx k = 0; k < rank; k++) {
            left[i * rank + k] = vt[k * m + i];
            right[k * m + i] = u[i * m + k] / s[k];
        }
    *r = rank;
done:
    atn_arena_rewind(cx, mark);
    return st;
}

static void begin(const double *a, atn_idx m, double *z)
{
    double most = 0;

    for (atn_idx j = 0; j < m; j++) {
        double column = 0;

        for (atn_idx i = 0; i < m; i++) column += fabs(a[i * m + j]);
        most = ATN_MAX(most, column);
    }
    for (atn_idx i = 0; i < m; i++)
        for (atn_idx j = 0; j < m; j++)
            z[i * m + j] = most > 0 ? a[j * m + i] / most : 0;
}

/* t <- c - t */
static void less(double c, double *t, atn_idx m)
{
    for (atn_idx e = 0; e < m * m; e++) t[e] = -t[e];
    for (atn_idx i = 0; i < m; i++) t[i * m + i] += c;
}

atn_status atn_pinv_steps(atn_ctx *cx, const double *a, atn_idx m, int64_t steps,
                          double *z)
{
    const atn_arena_mark mark = atn_arena_save(cx);
    double *x = NULL, *t = NULL, *y = NULL;
    atn_status st = ATN_OK;

    ATN_TAKE(x, m * m);
    ATN_TAKE(t, m * m);
    ATN_TAKE(y, m * m);
    begin(a, m, z);
    for (int64_t k = 0; k < steps; k++) {
        const atn_cwide of_a = {a, m, m, m}, of_x = {x, m, m, m};
        const atn_cwide of_t = {t, m, m, m}, of_y = {y, m, m, m};
        const atn_cwide of_z = {z, m, m, m};

        atn_gemm_wide(ATN_AB, 1, of_a, of_z, 0, (atn_wide){x, m, m, m});
        memcpy(t, x, (size_t)(m * m) * sizeof *t);
        less(7, t, m);
        atn_gemm_wide(ATN_AB, 1, of_x, of_t, 0, (atn_wide){y, m, m, m});
        less(15, y, m);
        atn_gemm_wide(ATN_AB, 1, of_x, of_y, 0, (atn_wide){t, m, m, m});
        less(13, t, m);
        atn_gemm_wide(ATN_AB, .25, of_z, of_t, 0, (atn_wide){y, m, m, m});
        memcpy(z, y, (size_t)(m * m) * sizeof *z);
    }
done:
    atn_arena_rewind(cx, mark);
    return st;
}
