/* cli/source_simulations.h -- the tables of figures waterfall, speedup, roofline,
 * tile_map and cta_timeline: of patterns given as words, or of a capture, on a GPU.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "cli/output.h"

typedef struct atn_sim_source {
    const char *figure;
    const atn_subject *subject; /* NULL = words: */
    const char *const *words;   /* [n] cli/patterns.h */
    int n;
    const char *head; /* of tile_map of words: a number; NULL = 0 */
    atn_idx cells;    /* of tile_map, 0 = 512 */
    atn_run *run;     /* gets the files of devices, kernels and words as inputs */
} atn_sim_source;

bool atn_draws_simulations(const char *figure);
/* The i-th option that simulations take and patterns do not; NULL = no more. */
const char *atn_sim_source_option(int i);
/* Reads GPU, kernel and launch from the options. USAGE where tile_map or cta_timeline,
 * which show one launch, get several. */
atn_status atn_sim_source_table(atn_cli *cli, const atn_sim_source *s,
                                atn_table **out) ATN_WARN_UNUSED;
