/* simulators/timeline.h -- what a simulation shows beside its numbers: the schedule of
 * its CTAs, the tiles of a head.
 *
 * Limits  a schedule is kept up to ATN_TIMELINE_MOST CTAs.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "simulators/simulate.h"

enum { ATN_TIMELINE_MOST = 1 << 20 };

/* The table "timeline": a row a CTA, in the order in which they are launched. Columns
 * sm, head (batch * heads + head), tile, begin_ms, end_ms, visits, masked; meta sms. It
 * is a schedule also where the time is made of the mean over the SMs. p, n as of
 * atn_simulate. USAGE of decode, which has no schedule; MEMORY above
 * ATN_TIMELINE_MOST. */
atn_status atn_timeline_table(atn_ctx *cx, const char *name,
                              const atn_pattern *const *p, atn_idx n,
                              const atn_sim_opts *o, atn_table **out) ATN_WARN_UNUSED;

/* The table "tiles" of head `head`: one row of counts and a matrix, Q tiles down, KV
 * tiles across, at most `cells` a side: 0 empty, 1 partial, 2 full, means where a cell
 * joins several. sim: of the same pattern and options. */
atn_status atn_tile_table(atn_ctx *cx, const atn_sim_case *c, const atn_pattern *p,
                          atn_idx head, atn_idx cells, atn_table **out) ATN_WARN_UNUSED;
