/* analysis/experiments/method_run.h -- a method on the head of an experiment, its output
 * in double where it is an operator. */
// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "analysis/experiments/experiment.h"
#include "approx/method.h"

/* A head by itself, planned at `params`; release the plan. *refused (ATN_CHECK_TEXT) is
 * "" or why the method does not take it, which is no failure: then nothing is planned. */
atn_status atn_method_try(atn_ctx *cx, const atn_head *h, const char *id,
                          const char *params, atn_plan *out,
                          char refused[ATN_CHECK_TEXT]) ATN_WARN_UNUSED;
/* The same of an input of one head, which may lend draws. */
atn_status atn_method_try_on(atn_ctx *cx, const atn_input *in, const char *id,
                             const char *params, atn_plan *out,
                             char refused[ATN_CHECK_TEXT]) ATN_WARN_UNUSED;
/* o [nq, dv] of a plan of this head. */
atn_status atn_method_output(atn_ctx *cx, const atn_head *h, const atn_plan *p,
                             double *o) ATN_WARN_UNUSED;
/* Adds a check that does not apply: why. */
atn_status atn_method_refused(atn_ctx *cx, atn_checks *out, const char *bound,
                              const char *variant, const char *why) ATN_WARN_UNUSED;
