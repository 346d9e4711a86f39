/* analysis/bilinear.c -- the bilinear form behind the logits of a head, see the
 * header. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "analysis/bilinear.h"

#include <math.h>
#include <string.h>

#include "core/kernels/kernels.h"
#include "core/linalg.h"

void atn_form_fill(atn_cmat w_q, atn_cmat w_k, atn_form *f)
{
    const atn_idx d = f->d, width = w_q.cols;

    for (atn_idx a = 0; a < d; a++)
        for (atn_idx b = 0; b < d; b++) {
            const float *qa = atn_crow(w_q, a), *qb = atn_crow(w_q, b);
            const float *ka = atn_crow(w_k, a), *kb = atn_crow(w_k, b);

            f->kq[a * d + b] = atn_row_dot(ka, qb, width);
            if (b > a) continue;
            f->qq[a * d + b] = f->qq[b * d + a] = atn_row_dot(qa, qb, width);
            f->kk[a * d + b] = f->kk[b * d + a] = atn_row_dot(ka, kb, width);
        }
}

static double share_of(const double *qq, const double *kk, const double *kq, atn_idx d)
{
    double square = 0, trace = 0;

    for (atn_idx a = 0; a < d; a++)
        for (atn_idx b = 0; b < d; b++) {
            square += qq[a * d + b] * kk[a * d + b];
            trace += kq[a * d + b] * kq[b * d + a];
        }
    if (!(square > 0)) return NAN;
    return ATN_MIN(ATN_MAX(0.5 + 0.5 * trace / square, 0.0), 1.0);
}

/* |M|^2 */
static double square_of(const atn_form *f)
{
    double sum = 0;

    for (atn_idx i = 0; i < f->d * f->d; i++) sum += f->qq[i] * f->kk[i];
    return sum;
}

double atn_form_share(const atn_form *f)
{
    return share_of(f->qq, f->kk, f->kq, f->d);
}

/* ---- rotary embedding ---- */

/* x <- R x: rows e and e + r turn by delta turn[e]. */
static void turn_rows(double *x, atn_idx d, const double *turn, atn_idx r, double delta)
{
    for (atn_idx e = 0; e < r; e++) {
        const double c = cos(delta * turn[e]), s = sin(delta * turn[e]);
        double *lo = x + e * d, *hi = x + (e + r) * d;

        for (atn_idx j = 0; j < d; j++) {
            const double a = lo[j], b = hi[j];
            lo[j] = a * c - b * s;
            hi[j] = a * s + b * c;
        }
    }
}

static void transpose(double *x, atn_idx d)
{
    for (atn_idx i = 0; i < d; i++)
        for (atn_idx j = 0; j < i; j++) {
            const double t = x[i * d + j];
            x[i * d + j] = x[j * d + i];
            x[j * d + i] = t;
        }
}

atn_status atn_form_share_rotary(atn_ctx *cx, const atn_form *f, const double *turn,
                                 atn_idx r, atn_idx n, bool both_ways, double *share)
{
    const atn_arena_mark mark = atn_arena_save(cx);
    const atn_idx d = f->d, first = both_ways ? 1 - n : 0;
    atn_status st = ATN_OK;
    double *kk = NULL, *kq = NULL, sum = 0;

    ATN_ASSERT(2 * r <= d && n >= 1);
    ATN_TAKE(kk, d * d);
    ATN_TAKE(kq, d * d);
    for (atn_idx back = first; back < n; back++) {
        memcpy(kk, f->kk, (size_t)(d * d) * sizeof *kk);
        memcpy(kq, f->kq, (size_t)(d * d) * sizeof *kq);
        turn_rows(kk, d, turn, r, -(double)back);
        transpose(kk, d); /* R G R': turn the columns, too */
        turn_rows(kk, d, turn, r, -(double)back);
        turn_rows(kq, d, turn, r, -(double)back);
        sum += share_of(f->qq, kk, kq, d);
    }
    *share = sum / (double)(n - first);
done:
    atn_arena_rewind(cx, mark);
    return st;
}

/* ---- eigenvalues ---- */

/* g [2d, 2d] = B B' + shift I. */
static void stack(const atn_form *f, double shift, double *g)
{
    const atn_idx d = f->d, n = 2 * d;

    for (atn_idx a = 0; a < d; a++)
        for (atn_idx b = 0; b < d; b++) {
            g[a * n + b] = f->qq[a * d + b] + (a == b ? shift : 0);
            g[(a + d) * n + b + d] = f->kk[a * d + b] + (a == b ? shift : 0);
            g[(a + d) * n + b] = f->kq[a * d + b];
            g[b * n + a + d] = f->kq[a * d + b];
        }
}

/* s = L' J L from the lower triangle of l [n, n]. */
static void sandwich(const double *l, atn_idx n, double *s)
{
    const atn_idx d = n / 2;

    for (atn_idx i = 0; i < n; i++)
        for (atn_idx j = 0; j <= i; j++) {
            double sum = 0;

            /* (L' J L)_ij = 1/2 sum_k L_ki L_(k+d)j + L_(k+d)i L_kj, L lower */
            for (atn_idx k = 0; k < d; k++) {
                const double low_i = k >= i ? l[k * n + i] : 0;
                const double low_j = k >= j ? l[k * n + j] : 0;
                const double up_i = k + d >= i ? l[(k + d) * n + i] : 0;
                const double up_j = k + d >= j ? l[(k + d) * n + j] : 0;
                sum += low_i * up_j + up_i * low_j;
            }
            s[i * n + j] = s[j * n + i] = sum / 2;
        }
}

atn_status atn_form_positive(atn_ctx *cx, const atn_form *f, double *share)
{
    const atn_arena_mark mark = atn_arena_save(cx);
    const atn_idx n = 2 * f->d;
    atn_status st = ATN_OK;
    double *g = NULL, *s = NULL, *value = NULL, trace = 0, above = 0, all = 0;
    double ridge = 1e-13;

    *share = NAN;
    ATN_TAKE(g, n * n);
    ATN_TAKE(s, n * n);
    ATN_TAKE(value, n);
    for (atn_idx a = 0; a < f->d; a++)
        trace += f->qq[a * f->d + a] + f->kk[a * f->d + a];
    if (!(square_of(f) > 0)) goto done;
    do { /* rows of B that depend on one another leave B B' singular */
        stack(f, ridge * trace, g);
        ridge *= 100;
    } while (!atn_cholesky(g, n) && ridge < 1e-4);
    sandwich(g, n, s);
    ATN_TRY(atn_eigenvalues(cx, s, n, value));
    for (atn_idx i = 0; i < n; i++) {
        all += value[i] * value[i];
        if (value[i] > 0) above += value[i] * value[i];
    }
    /* an antisymmetric M leaves rounding */
    if (all > 1e-12 * square_of(f)) *share = above / all;
done:
    atn_arena_rewind(cx, mark);
    return st;
}

double atn_form_bytes(atn_idx d)
{
    const double n = 2 * (double)d;

    return 8 * (2 * n * n + 2 * n) + atn_eigenvalues_bytes(2 * d);
}
