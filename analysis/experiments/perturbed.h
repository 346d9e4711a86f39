/* analysis/experiments/perturbed.h -- what experiments share whose logits are off, and
 * numbers in short formats.
 *
 * Math    a format has numbers of `bits` significant bits and steps of 2^tiny at least;
 *         rounding is to the nearest, ties to even: off by 2^-bits |x| at most.
 * Oracle  bf16 of 1.0040 is 1.0078125, of 1.0038 it is 1; fp16 of 2049 is 2048.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "analysis/experiments/facts.h"

typedef struct atn_short_format {
    const char *id;
    int bits, tiny;
    double range; /* the largest */
} atn_short_format;
enum { ATN_SHORT_FORMATS = 2 };
extern const atn_short_format atn_short_formats[ATN_SHORT_FORMATS]; /* bf16, fp16 */
double atn_short_round(const atn_short_format *f, double x);
/* y <- x [rows, n] on 255 levels from - to + the largest of each row; NULL: `f`. */
void atn_short_rows(const atn_short_format *f, const double *x, atn_idx rows, atn_idx n,
                    double *y);
const char *atn_short_name(int i); /* of formats 0 and 1, and "int8" */
/* off [rows] <- |y - x|_2 of every row. */
void atn_rows_apart(const double *x, const double *y, atn_idx rows, atn_idx n,
                    double *off);

/* A row of n logits z with weights p, whose logits are y in truth: w <- its weights. */
typedef struct atn_perturbed {
    double variation; /* half of |w - p|_1 */
    double length;    /* |w - p|_2 */
    double delta;     /* half the range of y - z */
    double change;    /* |y - z|_2 less the mean */
} atn_perturbed;
atn_perturbed atn_perturbed_row(const double *z, const double *p, const double *y,
                                atn_idx n, double *w);

/* y [n, nk] <- logits of rows [first, first + n) of other queries [nq, d] and keys
 * [nk, d], with the bias and cap of the head; unseen ones, too. */
void atn_perturbed_logits(const atn_head_facts *f, const double *q, const double *k,
                          atn_idx first, atn_idx n, double *y);
