/* approx/lines.h -- vertical and slash lines, and means of blocks: how a head looks to
 * its last queries.
 *
 * Math    P of the last rows in double; column_j = sum_r P_rj, diagonal_g = sum_r
 *         P_r,at(r) - g, plain sums in the order of the rows. Long diagonals have fewer
 *         rows. A sink logit of the head is left out.
 * Oracle  both add up to the mass of the rows.
 * Cost    2 rows n d flop and one exp an entry; memory a few rows.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "approx/oracle.h"

typedef struct atn_lines {
    atn_idx rows;     /* that were summed, the last of the head */
    double *column;   /* [keys] from key `key0` on: those that some query sees */
    double *diagonal; /* [reach] by distance; what some query sees */
    atn_idx key0, keys, reach;
    double pairs; /* of these rows and their keys */
} atn_lines;
/* Into the arena. */
atn_status atn_lines_sum(atn_ctx *cx, const atn_head *h, atn_idx last,
                         atn_lines *out) ATN_WARN_UNUSED;

/* Bytes of that at most, with what making it takes. */
double atn_lines_bytes(const atn_head *h);

/* The k largest scores are kept; the first `forced` come first; score 0 is of line
 * `from`. */
typedef struct atn_lines_rule {
    atn_idx k, forced, from;
} atn_lines_rule;
/* Of score [n], where those forced are overwritten, as spans into out [k]; returns how
 * many spans. ties as of atn_cut_at_count; scratch [n]. */
atn_idx atn_lines_best(double *score, atn_idx n, const atn_lines_rule *r, atn_span *out,
                       double *scratch, int64_t *ties);
/* Sorted spans that do not touch. */
typedef struct atn_lines_list {
    atn_span *at;
    atn_idx n;
} atn_lines_list;
/* Columns and distances in blocks of the frame. */
atn_status atn_lines_pattern(atn_ctx *cx, const atn_frame *f, atn_lines_list columns,
                             atn_lines_list diagonals,
                             atn_pattern **out) ATN_WARN_UNUSED;
/* Bytes of it at most, with what making it takes. */
double atn_lines_pattern_bytes(double columns, double diagonals);

/* Means of the queries of every block at absolute positions, [lists, d], and of the
 * keys, [blocks, d]. In the arena. */
typedef struct atn_means {
    atn_idx d, first, lists, blocks; /* block rows first .. first + lists - 1 */
    float *q, *k;
} atn_means;
atn_status atn_means_of(atn_ctx *cx, const atn_head *h, atn_idx block,
                        atn_means *out) ATN_WARN_UNUSED;
/* Bytes of that, and of scores of ATN_MEANS_ROWS block rows, twice those of one block
 * row, on every thread. */
double atn_means_bytes(const atn_ctx *cx, const atn_head *h, atn_idx block);
/* Block rows that are scored together, so that keys are packed for all of them. */
enum { ATN_MEANS_ROWS = 16 };
/* z [n, blocks] <- scale times the products of the means of block rows first + at ..,
 * n of them. */
atn_status atn_means_product(atn_ctx *cx, const atn_means *m, atn_idx at, atn_idx n,
                             double scale, double *z) ATN_WARN_UNUSED;
