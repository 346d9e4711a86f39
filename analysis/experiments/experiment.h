/* analysis/experiments/experiment.h -- an experiment: what a bound (theory/) says of a
 * captured head, and what is measured there.
 *
 * A new experiment is one file analysis/experiments/<id>.c and one line in
 * experiments.def; it gets its place in `attnscope bounds`, its listing and help from
 * the table. It adds checks; the runner gives them their verdicts, so that one rule
 * holds for all:
 *   slack      predicted - measured of "<=", measured - predicted of ">=",
 *              -|measured - predicted| of "=": positive or 0 holds
 *   holds      slack >= -1e-9 scale; scale is the larger of |predicted|, |measured| and
 *              what the check states
 *   random     |statistic| <= critical value of a two-sided normal test at 99.9 %,
 *              shared out over all random checks of the run (Bonferroni)
 *              A test of fewer than 50 draws is none: it is reported.
 *   reported   the bound is not verified, or the check says so: no verdict is given
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "analysis/experiments/facts.h"
#include "analysis/select.h"
#include "theory/bound.h"

typedef enum atn_verdict {
    ATN_HOLDS,
    ATN_VIOLATED,
    ATN_NOT_APPLICABLE,
    ATN_REPORTED,
    ATN_VERDICTS
} atn_verdict;
extern const char *const atn_verdict_names[ATN_VERDICTS]; /* "holds", .. */

enum { ATN_CHECK_TEXT = 96 };

/* One comparison. Set what is known; zeros mean what the comments say. */
typedef struct atn_check {
    const atn_bound *bound;
    char variant[ATN_CHECK_TEXT]; /* "topk k=16": which of several; "" = the only one */
    double predicted, measured;   /* predicted NAN: the assumption is not met */
    double scale; /* rounding is relative to this, too; 0 = the two sides alone */
    /* Random: draws, and how many standard errors lie between the two sides. 0 = it is
     * none. An in_mean bound without trials is reported. */
    int64_t trials;
    double statistic;
    double lo, hi;    /* of ATN_ABOUT: bounds of measured / predicted. Sides that are
                         rounding of the scale hold */
    bool only_report; /* whatever comes out; or */
    bool not_here;    /* the experiment does not apply: `note` says why */
    int64_t cases;    /* rows, pairs .. that this is the worst of; 0 = one */
    int64_t failures; /* of them, that did not hold by themselves */
    char note[ATN_CHECK_TEXT];
    /* set by the runner */
    const struct atn_experiment *experiment;
    int at;   /* of atn_capture_layers; -1 = of the model, or of no head */
    int head; /* -1 likewise */
    uint64_t seed;
    double slack, critical;
    int64_t hypotheses; /* checks of the run that share the level; 0 = not random */
    atn_verdict verdict;
} atn_check;

/* The list of an experiment under way. */
typedef struct atn_checks {
    atn_check *check; /* [n] owned */
    atn_idx n, room;
} atn_checks;

/* Adds a copy. MEMORY. */
atn_status atn_checks_add(atn_ctx *cx, atn_checks *c,
                          const atn_check *check) ATN_WARN_UNUSED;

/* One head, as an experiment sees it. */
typedef struct atn_trial_head {
    atn_head_facts *facts;
    int64_t trials; /* as asked for, else the experiment's */
    uint64_t seed;
    int64_t asked; /* trials as asked for; 0 = they were not */
} atn_trial_head;

typedef struct atn_trial_model {
    const atn_capture *capture;
    const atn_selection *selection;
    int64_t trials;
    uint64_t seed;
    atn_idx most; /* tokens, as of facts */
} atn_trial_model;

typedef struct atn_experiment {
    const char *id, *label; /* "dropped_mass", "V1" */
    const char *title, *text;
    const char *source;
    bool qk, values; /* it reads queries and keys, values; else weights are enough */
    unsigned sides;  /* ATN_CAUSAL, ATN_BIDIRECTIONAL of approx/method.h */
    atn_idx most;    /* tokens; of longer heads the first ones are taken. 0 = 1024 */
    int heads;       /* of the selected ones that it runs on, evenly spread; 0 = all */
    int64_t trials;  /* default; 0 = there are none */
    /* One of the first two, or none. `once` looks at no head, and is run beside them. */
    atn_status (*head)(atn_ctx *cx, const atn_trial_head *t, atn_checks *out);
    atn_status (*model)(atn_ctx *cx, const atn_trial_model *t, atn_checks *out);
    atn_status (*once)(atn_ctx *cx, const atn_trial_model *t, atn_checks *out);
    const char *bounds; /* ids that it checks, separated by spaces: for --bound */
} atn_experiment;

extern const atn_experiment *const atn_experiments[]; /* in order, NULL ends */
