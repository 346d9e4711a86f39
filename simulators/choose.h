/* simulators/choose.h -- the kernel that suits a GPU and a pattern, where none was
 * named.
 *
 * Among the built-in kernels of the architecture that have the pass: one for this head
 * dim, before others; for a neighbourhood on a grid one that takes such; one with
 * coefficients fitted on this architecture; one that takes the mask; of equal ones the
 * one for fewer masks, then the first. One for choices of blocks alone must have a tile
 * that divides the pattern's.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "core/pattern.h"
#include "simulators/work.h"

/* What a pattern is to a kernel: one of ATN_TAKES_*. */
unsigned atn_pattern_takes(const atn_pattern *p);
/* The same of heads that have a pattern each, p [n], n > 1 where they differ; and the
 * least of their blocks. */
unsigned atn_patterns_take(const atn_pattern *const *p, atn_idx n);
atn_idx atn_least_block(const atn_pattern *const *p, atn_idx n);
/* Some query of some head sees a key behind its own position: *query and *key are such
 * a pair. At most a walk over the rows, which ends at the first one that does. */
atn_status atn_pattern_ahead(atn_ctx *cx, const atn_pattern *p, bool *ahead,
                             atn_idx *query, atn_idx *key) ATN_WARN_UNUSED;
/* Built-in kernels that run on an architecture and have one of these passes (1 <<
 * atn_pass), as "fa2, flex"; "" = none. Cut at size. */
atn_status atn_kernels_on(atn_ctx *cx, const char *architecture, unsigned passes,
                          char *out, size_t size) ATN_WARN_UNUSED;
/* USAGE where the kernel does not run on this GPU, naming those that do. */
atn_status atn_kernel_check(atn_ctx *cx, const atn_kernel *k, const atn_device *d,
                            atn_pass pass) ATN_WARN_UNUSED;
/* Settled for the device. USAGE where no kernel with this pass is described for this
 * GPU, with what to do. Release *out. */
atn_status atn_kernel_choose(atn_ctx *cx, const atn_device *d, const atn_pattern *p,
                             const atn_launch *l, atn_kernel *out) ATN_WARN_UNUSED;
/* The same for heads that have a pattern each, p [n]. */
atn_status atn_kernel_choose_heads(atn_ctx *cx, const atn_device *d,
                                   const atn_pattern *const *p, atn_idx n,
                                   const atn_launch *l,
                                   atn_kernel *out) ATN_WARN_UNUSED;
/* Of a tile of one axis whose sides do not divide blocks of so many tokens: the largest
 * sides within it that do, and that matrix instructions have (ATN_MMA_ROWS, _KEYS).
 * false, and nothing is changed: they do already, or there are none. */
bool atn_tile_in_blocks(atn_idx block, atn_list *q, atn_list *k);
