/* analysis/kmeans.h -- Lloyd's clusters of vectors, deterministic to the last label.
 *
 * Math    m centroids, at first the vectors floor((c + 1/2) n / m); then in turn every
 *         vector goes to its nearest centroid, the lower of equally near ones, and
 *         every centroid to the mean of its vectors; one without any stays. Until no
 *         label moves, or for `rounds` rounds.
 * Cost    2 n m d flop a round. Distances are compared in float32 products first and
 *         decided in double among those within the rounding error of the best.
 *         Memory n + 2 m vectors and a tile of distances.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "core/mat.h"

/* label [x.rows] <- 0 .. m - 1; 1 <= m <= x.rows. One thread. */
atn_status atn_kmeans(atn_ctx *cx, atn_cmat x, atn_idx m, int rounds,
                      int32_t *label) ATN_WARN_UNUSED;
/* Bytes it takes for n vectors of length d. */
double atn_kmeans_bytes(atn_idx n, atn_idx d, atn_idx m);
