/* analysis/massive.h -- the few huge numbers in a hidden state.
 *
 * Math    over the entries x_ic of some tokens: the three largest |x| with their
 *         places, the median of |x| (of an even number the mean of the middle two), and
 *         the entries of at least `least` and at least `ratio` times the median.
 * Oracle  planted: one entry 500 among numbers of 1 is found where it was put; median
 *         of 4 1 3 2 is 2.5.
 * Source  Sun et al., arXiv 2402.17762 (locuslab/massive-activations).
 * Cost    three walks over the entries; the median is exact, by the bits of the floats.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "core/mat.h"

enum { ATN_MASSIVE_TOP = 3 };

typedef struct atn_massive {
    double top[ATN_MASSIVE_TOP]; /* |x| descending; NaN where there are fewer entries */
    atn_idx row[ATN_MASSIVE_TOP], channel[ATN_MASSIVE_TOP];
    double median;
    atn_idx entries, rows, channels; /* massive ones, and where they are */
    bool *massive_row;               /* [x.rows] owned; those with a massive entry */
} atn_massive;

/* Of the rows [first, last) of x. Equal numbers: the first row, then channel. DATA when
 * an entry is not finite. out is zeroed first. */
atn_status atn_massive_find(atn_ctx *cx, atn_cmat x, atn_idx first, atn_idx last,
                            double least, double ratio,
                            atn_massive *out) ATN_WARN_UNUSED;
void atn_massive_release(atn_ctx *cx, atn_massive *m);
