/* analysis/experiments/perturbed.c -- rows whose logits are off; short formats. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "analysis/experiments/perturbed.h"

#include <math.h>

#include "core/linalg.h"

const atn_short_format atn_short_formats[ATN_SHORT_FORMATS] = {
    {"bf16", 8, -133, 0x1.fep127}, {"fp16", 11, -24, 65504}};

const char *atn_short_name(int i)
{
    return i < ATN_SHORT_FORMATS ? atn_short_formats[i].id : "int8";
}

double atn_short_round(const atn_short_format *f, double x)
{
    int exponent;
    double step;

    frexp(x, &exponent);
    step = ldexp(1, exponent - f->bits > f->tiny ? exponent - f->bits : f->tiny);
    return rint(x / step) * step;
}

static void round_row(const atn_short_format *f, const double *x, atn_idx n, double *y)
{
    double largest = 0;

    for (atn_idx e = 0; e < n; e++) largest = fmax(largest, fabs(x[e]));
    for (atn_idx e = 0; e < n; e++)
        if (f)
            y[e] = atn_short_round(f, x[e]);
        else
            y[e] = largest > 0 ? rint(x[e] / largest * 127) * largest / 127 : 0;
}

void atn_short_rows(const atn_short_format *f, const double *x, atn_idx rows, atn_idx n,
                    double *y)
{
    for (atn_idx i = 0; i < rows; i++) round_row(f, x + i * n, n, y + i * n);
}

void atn_rows_apart(const double *x, const double *y, atn_idx rows, atn_idx n,
                    double *off)
{
    for (atn_idx i = 0; i < rows; i++) {
        double sum = 0;

        for (atn_idx e = i * n; e < (i + 1) * n; e++)
            sum += (y[e] - x[e]) * (y[e] - x[e]);
        off[i] = sqrt(sum);
    }
}

atn_perturbed atn_perturbed_row(const double *z, const double *p, const double *y,
                                atn_idx n, double *w)
{
    double max = -INFINITY, sum = 0, mean = 0, least = INFINITY, most = -INFINITY;
    atn_perturbed r = {0};

    for (atn_idx j = 0; j < n; j++) max = fmax(max, y[j]);
    for (atn_idx j = 0; j < n; j++) sum += w[j] = exp(y[j] - max);
    for (atn_idx j = 0; j < n; j++) mean += (y[j] - z[j]) / (double)n;
    for (atn_idx j = 0; j < n; j++) {
        const double ds = y[j] - z[j];

        w[j] /= sum;
        r.variation += fabs(w[j] - p[j]) / 2;
        r.length += (w[j] - p[j]) * (w[j] - p[j]);
        r.change += (ds - mean) * (ds - mean);
        least = fmin(least, ds);
        most = fmax(most, ds);
    }
    r.length = sqrt(r.length);
    r.change = sqrt(r.change);
    r.delta = n > 0 ? (most - least) / 2 : 0;
    return r;
}

void atn_perturbed_logits(const atn_head_facts *f, const double *q, const double *k,
                          atn_idx first, atn_idx n, double *y)
{
    const atn_head *h = &f->head;
    const double cap = h->sight.softcap;

    atn_gemm_wide(ATN_ABT, h->scale, (atn_cwide){q + first * f->d, n, f->d, f->d},
                  (atn_cwide){k, f->nk, f->d, f->d}, 0, (atn_wide){y, n, f->nk, f->nk});
    for (atn_idx r = 0; r < n; r++)
        for (atn_idx j = 0; j < f->nk; j++) {
            double *z = &y[r * f->nk + j];

            if (atn_head_has_bias(h))
                *z += atn_head_bias(h, j, atn_sight_at(&h->sight, first + r));
            if (cap > 0) *z = cap * tanh(*z / cap);
        }
}
