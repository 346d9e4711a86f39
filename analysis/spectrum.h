/* analysis/spectrum.h -- singular values of an attention matrix, all of them or the
 * largest.
 *
 * Math    P over the rows that count (i >= skip_rows, a visible key); centred: P less
 *         its column means over these rows. Exact: eigenvalues of the smaller Gram
 *         matrix in double. Else subspace iteration on P'P with r + 8 vectors q, one of
 *         them c, the column sums, a walk a step; the values are those of q'P'P q and,
 *         centred, of that less (q'c)(q'c)' / rows.
 *           stable rank    |P|_F^2 / sigma_1^2
 *           effective rank exp(-sum p ln p), p = sigma / sum sigma
 *           participation  (sum sigma^2)^2 / sum sigma^4
 *         Of r values with T = |P|_F^2 - sum sigma^2 left for m - r more,
 *         each <= sigma_r: their sum s is in [T / sigma_r, sqrt((m - r) T)], their
 *         share l = s / (s + sum sigma), and the entropy at least -ln(1 - l) + (1 - l)
 *         H_r + l ln(sum sigma / sigma_r) at the least l, at most h(l) + (1 - l)
 *         H_r + l ln(m - r) at the best l of the range.
 * Oracle  sigma (4 3 2 1): effective 3.596115, stable 1.875, participation 2.542373;
 *         UC(8): 1.379779 the largest, 5.271648, 1.427603, |P|^2 2.717857; identity n,
 *         uniform 1.
 * Source  Roy and Vetterli 2007; Halko, Martinsson and Tropp, arXiv 0909.4061; bounds:
 *         ours.
 * Cost    exact: n^3 / 3 flop of the Gram matrix and as many of its eigenvalues, twice.
 *         Else 4 walks of 4 (r + 8) flop an entry each on top of the rows.
 * Limits  Ritz values are too small where the spectrum is flat; the tail is then
 *         counted too large.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "core/rows.h"

typedef struct atn_spectrum {
    atn_idx n;     /* values that are known */
    double *sigma; /* [n] descending; owned */
    double square; /* |M|_F^2 */
    double most;   /* how many there are; n where all are known */
} atn_spectrum;

typedef struct atn_spectrum_opts {
    atn_idx skip_rows;
    atn_idx dense;  /* all values where the smaller side has at most so many */
    atn_idx values; /* else so many */
} atn_spectrum_opts;

/* Walks over the rows that are not exact. */
enum { ATN_SPECTRUM_WALKS = 4 };

bool atn_spectrum_is_exact(const atn_head *h, const atn_spectrum_opts *o);
/* Both, or with NULL one, of the matrix and the centred matrix; zeroed first. */
atn_status atn_spectrum_run(atn_ctx *cx, const atn_head *h, const atn_spectrum_opts *o,
                            atn_spectrum *plain, atn_spectrum *centred) ATN_WARN_UNUSED;
/* Of scale q k', the rows that count over all keys, before bias, cap and mask, without
 * a walk; q and k are there. */
atn_status atn_spectrum_logits(atn_ctx *cx, const atn_head *h, atn_idx skip_rows,
                               atn_spectrum *out) ATN_WARN_UNUSED;
void atn_spectrum_release(atn_ctx *cx, atn_spectrum *s);
/* Bytes of one head. */
double atn_spectrum_bytes(const atn_head *h, const atn_spectrum_opts *o);

/* NaN for a matrix of zeros. */
double atn_spectrum_stable(const atn_spectrum *s);
/* The least the effective rank can be, and through most (may be NULL) the most; equal
 * where all values are known. */
double atn_spectrum_effective(const atn_spectrum *s, double *most);
double atn_spectrum_participation(const atn_spectrum *s); /* the least it can be */
/* Values of at least eps sigma_1; where all that are known are, there may be more. */
double atn_spectrum_above(const atn_spectrum *s, double eps);
/* Share of the square in values that are not known. */
double atn_spectrum_tail(const atn_spectrum *s);
