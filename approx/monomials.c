/* approx/monomials.c -- walking over monomials, and their values from those before. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "approx/monomials.h"

#include "core/kernels/kernels.h"

double atn_monomials_count(atn_idx d, int degree)
{
    double n = 1;

    for (int t = 1; t <= degree; t++) n = n * (double)(d + t) / t;
    return n;
}

bool atn_monomials_next(atn_monomials *w)
{
    int p = w->t - 1;

    if (!w->begun) {
        w->begun = true;
        w->t = 0;
        return true;
    }
    while (p >= 0 && w->at[p] + 1 >= w->d) p--;
    if (p < 0) { /* the last one of its degree */
        if (w->t == w->degree || w->d < 1) return false;
        w->t++;
        memset(w->at, 0, sizeof w->at);
        return true;
    }
    w->at[p]++;
    for (int e = p + 1; e < w->t; e++) w->at[e] = w->at[p];
    return true;
}

void atn_monomials_block(atn_monomials *w, atn_idx most, atn_monomial_block *out)
{
    const atn_idx room = ATN_MIN(most, (atn_idx)ATN_MONOMIALS_BLOCK);

    out->n = 0;
    while (out->n < room && atn_monomials_next(w)) {
        const int r = out->n++;
        int same = 0;

        memcpy(out->at[r], w->at, sizeof out->at[r]);
        out->t[r] = w->t;
        while (r > 0 && same < out->t[r - 1] && same < w->t &&
               out->at[r - 1][same] == w->at[same])
            same++;
        out->same[r] = same;
    }
}

double atn_monomial_weight(const atn_monomial_block *b, int r, double s)
{
    double c = 1;
    int run = 0;

    for (int p = 0; p < b->t[r]; p++) {
        run = p > 0 && b->at[r][p] == b->at[r][p - 1] ? run + 1 : 1;
        c *= s / run;
    }
    return c;
}

static ATN_CLONES void times(const double *restrict x, const double *restrict y,
                             atn_idx n, double *restrict out)
{
    for (atn_idx i = 0; i < n; i++) out[i] = x[i] * y[i];
}

/* The product of the first p coordinates is row p - 1 of the stack. A monomial shares
 * with the one before at most all but its last coordinate, unless that one is of a
 * lower degree, and then it is on the stack whole. */
void atn_monomials_of(const atn_monomial_block *b, const double *x, atn_idx n,
                      double *stack, double *out)
{
    for (int r = 0; r < b->n; r++) {
        double *y = out + r * n;
        const int t = b->t[r];

        for (atn_idx i = 0; t == 0 && i < n; i++) y[i] = 1;
        for (int p = b->same[r]; p < t; p++) {
            const double *factor = x + b->at[r][p] * n;

            if (p == 0)
                memcpy(stack, factor, (size_t)n * sizeof *stack);
            else
                times(stack + (p - 1) * n, factor, n, stack + p * n);
        }
        if (t > 0) memcpy(y, stack + (t - 1) * n, (size_t)n * sizeof *y);
    }
}
