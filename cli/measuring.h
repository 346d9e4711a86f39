/* cli/measuring.h -- attnscope calibrate --measure: the timings come from the GPU. */
// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "cli/options.h"

/* Times and writes; with --dry-run names the launches, and needs no GPU. UNAVAILABLE
 * where there is none. */
atn_status atn_cli_measure(atn_cli *cli) ATN_WARN_UNUSED;
/* An option that goes with --measure alone; i counts, NULL = no more. */
const char *atn_cli_measure_option(int i);
