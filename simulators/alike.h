/* simulators/alike.h -- whether heads that have a pattern each see the same.
 *
 * Math    by what they state, where that is all of a pattern (offsets, axes), else row
 *         by row.
 * Oracle  a window stated as offsets and as rows is one; a key more in one row is not.
 * Cost    nothing where structure decides; else the rows up to the first that differs.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "core/pattern.h"

/* p [n], of one head each; those with more are alike only where they are one object. */
atn_status atn_heads_alike(atn_ctx *cx, const atn_pattern *const *p, atn_idx n,
                           bool *alike) ATN_WARN_UNUSED;
