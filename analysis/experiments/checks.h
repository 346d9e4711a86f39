/* analysis/experiments/checks.h -- lists of checks and their verdicts, by the rules of
 * analysis/experiments/experiment.h. */
// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "analysis/experiments/experiment.h"

/* Sets hypotheses, critical, slack and verdict of all. */
void atn_checks_judge(atn_checks *c);
void atn_checks_release(atn_ctx *cx, atn_checks *c); /* a zeroed one is fine */
