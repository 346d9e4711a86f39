/* simulators/choose.h -- the kernel that suits a GPU and a pattern, where none was
 * named.
 *
 * Among the built-in kernels of the architecture that have the pass: one for this head
 * dim, before others; for a neighbourhood on a grid one that takes such; one with
 * coefficients fitted on this architecture; one that takes the mask; of equal ones the
 * one for fewer masks, then the first.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "core/pattern.h"
#include "simulators/work.h"

/* What a pattern is to a kernel: one of ATN_TAKES_*. */
unsigned atn_pattern_takes(const atn_pattern *p);
/* Settled for the device. USAGE where no kernel is described for this GPU, with what to
 * do. Release *out. */
atn_status atn_kernel_choose(atn_ctx *cx, const atn_device *d, const atn_pattern *p,
                             const atn_launch *l, atn_kernel *out) ATN_WARN_UNUSED;
