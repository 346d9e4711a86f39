/* cli/measuring.h -- attnscope calibrate --measure: the timings come from the GPU. */
// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "cli/options.h"

/* The options of it, for the command's table. */
#define ATN_OPTIONS_MEASURE                                                              \
    {"measure",                                                                          \
     0,                                                                                  \
     ATN_OPT_FLAG,                                                                       \
     NULL,                                                                               \
     "time attnscope's own kernel on a GPU: the table is a file of timings",             \
     0,                                                                                  \
     0},                                                                                 \
        {"device", 0, ATN_OPT_TEXT, "cuda[:N]", "with --measure: the GPU (cuda)", 0, 0}, \
        {"quick",                                                                        \
         0,                                                                              \
         ATN_OPT_FLAG,                                                                   \
         NULL,                                                                           \
         "with --measure: 56 launches, enough for four coefficients (about 1200)",       \
         0,                                                                              \
         0},                                                                             \
        {"tokens",                                                                       \
         0,                                                                              \
         ATN_OPT_COUNT,                                                                  \
         "N",                                                                            \
         "with --measure: only this length (512 to 16k)",                                \
         1,                                                                              \
         0x1p20},                                                                        \
    {                                                                                    \
        "runs", 0, ATN_OPT_I64, "N",                                                     \
            "with --measure: of a launch, of which the median counts (20)", 1, 10000     \
    }

/* Times and writes; with --dry-run names the launches, and needs no GPU. UNAVAILABLE
 * where there is none. */
atn_status atn_cli_measure(atn_cli *cli) ATN_WARN_UNUSED;
/* An option that goes with --measure alone; i counts, NULL = no more. */
const char *atn_cli_measure_option(int i);
