/* approx/lightning.h -- the decay of the heads of Lightning Attention. */
// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "core/ctx.h"

/* Of head h of `heads`, before the factor of its layer. */
double atn_lightning_slope(atn_idx h, atn_idx heads);
