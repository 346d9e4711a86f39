/* analysis/residual.h -- how much of a layer's output is what came in past the
 * attention.
 *
 * Math    x (n, D) the input of the layer, y = sum_h P_h V W_O^h what its attention
 *         adds to it; share = |x|_F / (|x|_F + |y|_F) over the rows i >= skip_rows.
 * Oracle  y = 0: 1; y = x: 1/2.
 * Source  card B7 (rho from the ratio of norms) and B17.
 * Cost    2 n H dv D flop.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "analysis/measure.h"

/* Facts that it reads. */
enum { ATN_RESIDUAL_WANTS = ATN_WANT_OUT | ATN_WANT_W_O | ATN_WANT_HIDDEN };

/* NaN where f lacks one of them, or x and y are zero. */
atn_status atn_residual_share(atn_ctx *cx, const atn_layer_facts *f,
                              double *share) ATN_WARN_UNUSED;
