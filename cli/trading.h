/* cli/trading.h -- the trade-off of a capture as command lines ask for it: from stored
 * results of approx, or computed.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "analysis/tradeoff.h"
#include "cli/output.h"

typedef struct atn_trading {
    atn_device device;
    atn_kernel kernel, dense;
    atn_tradeoff *tradeoff;
    bool stored; /* from results of approx that were there */
} atn_trading;

/* What else the options of a command say. */
typedef struct atn_trading_opts {
    const char *methods, *budgets; /* given: computed anew; NULL = not */
    const atn_list *grid;          /* likewise */
    atn_idx prompt;                /* likewise; 0 = not */
    atn_idx sample;                /* likewise; 0 = all rows */
    bool no_sharing, no_hybrids, keep;
} atn_trading_opts;

/* Reads --gpu, --kernel, --dense-kernel and --batch. Release it also on failure. */
atn_status atn_trading_run(atn_cli *cli, atn_subject *s, const atn_trading_opts *o,
                           atn_trading *out) ATN_WARN_UNUSED;
/* The table "facts": what would be taken of stored results, or computed. */
atn_status atn_trading_plan(atn_cli *cli, atn_subject *s, const atn_trading_opts *o,
                            atn_table **out) ATN_WARN_UNUSED;
void atn_trading_release(atn_ctx *cx, atn_trading *t);
