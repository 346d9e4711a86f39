/* cli/bounds.h -- bounds and experiments as people read of them. */
// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "core/table.h"

/* The columns and rows of `list bounds` and `list experiments` beside id and title. */
atn_status atn_bounds_fill(atn_ctx *cx, atn_table *t) ATN_WARN_UNUSED;
atn_status atn_experiments_fill(atn_ctx *cx, atn_table *t) ATN_WARN_UNUSED;
void atn_bounds_print(void);
void atn_experiments_print(void);
/* `help bound NAME`, of a bound or an experiment, by id or label. USAGE names an unknown
 * one with the nearest. */
atn_status atn_bound_help(atn_ctx *cx, const char *name) ATN_WARN_UNUSED;
