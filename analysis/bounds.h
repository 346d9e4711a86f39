/* analysis/bounds.h -- published bounds against what is measured on captured heads.
 *
 * Runs the experiments of analysis/experiments over the selected heads and gives every
 * check its verdict. Heads go to threads, so what comes out does not depend on how many
 * there are.
 *
 * Cost    a head is cut to its first tokens (1024, unless an experiment says
 *         otherwise): 24 bytes a pair of query and key and thread, and what experiments
 *         take.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "analysis/experiments/checks.h"
#include "core/shard.h"
#include "core/table.h"

typedef struct atn_bounds_opts {
    const char *names; /* bounds or experiments by id or label, "a,b"; NULL = all */
    int64_t trials;    /* of random checks; 0 = what each experiment has */
    atn_idx most;      /* tokens of a head; 0 = what each experiment has */
    bool all_heads;    /* also of experiments that are for some heads */
    atn_shard *shard; /* the part that is done and noted, or all to put together; NULL =
                          all is done. Verdicts of a part are none: they hang on all */
} atn_bounds_opts;

/* An experiment of the run. */
typedef struct atn_bounds_part {
    const atn_experiment *of;
    atn_idx heads;  /* that it ran on */
    char *left_out; /* why it did not run on some heads; NULL = it did on all; owned */
} atn_bounds_part;

typedef struct atn_bounds {
    const atn_capture *capture;
    const atn_selection *selection;
    atn_checks checks;     /* in the order of experiments, then heads */
    atn_bounds_part *part; /* [parts] */
    int parts;
    atn_idx failed; /* heads that hold no numbers */
    int64_t trials; /* as asked for; 0 = they were not */
    atn_idx most;
} atn_bounds;

/* USAGE: there is no bound or experiment `name`; the nearest one. */
atn_status atn_bound_unknown(atn_ctx *cx, const char *name) ATN_WARN_UNUSED;

/* USAGE names an unknown name with the nearest, and a bound that nothing checks.
 * Release it also on failure. */
atn_status atn_bounds_run(atn_ctx *cx, const atn_capture *c, const atn_selection *sel,
                          const atn_bounds_opts *o, atn_bounds *out) ATN_WARN_UNUSED;
void atn_bounds_release(atn_ctx *cx, atn_bounds *b);
/* analysis/bounds_share.c: the notes of a part: checks from `first` on, of the model or
 * of heads; a run out of those of all. */
atn_status atn_bounds_note(atn_ctx *cx, const atn_bounds *b, atn_idx first, bool model,
                           atn_shard *s) ATN_WARN_UNUSED;
atn_status atn_bounds_merge(atn_ctx *cx, atn_bounds *b,
                            const atn_shard *s) ATN_WARN_UNUSED;
atn_idx atn_bounds_count(const atn_bounds *b, atn_verdict v);

/* The table "bounds": a row a check. */
atn_status atn_bounds_table(atn_ctx *cx, const atn_bounds *b,
                            atn_table **out) ATN_WARN_UNUSED;
/* The table "verdicts": a row a bound, how its checks came out and how near the nearest
 * was. */
atn_status atn_bounds_verdicts(atn_ctx *cx, const atn_bounds *b,
                               atn_table **out) ATN_WARN_UNUSED;
