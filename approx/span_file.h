/* approx/span_file.h -- plans of elastic spans in files: a rule for every head, in
 * one of two forms.
 *
 *     {"schema": "attnscope/moa/1", "block": 64,
 *      "layers": [{"layer": 0, "heads": [[alpha, beta], ...]}, ...]}
 *
 * with layers in any order, each once; or, as the authors of MoA publish them,
 *
 *     {"alphas": [[alpha of a head, ...], ...], "betas": [[beta of a head, ...], ...]}
 *
 * a list for every layer of the model, in order. alpha in tokens, 0 <= beta <= 1,
 * blocks of 64; no other keys.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "approx/span_rules.h"

/* The rules of the heads of one layer into out [heads]; layers = of the model, 0 =
 * unknown. NOINPUT; DATA names the file and what is wrong, or the first difference. */
atn_status atn_span_file_read(atn_ctx *cx, const char *path, int layer, atn_idx heads,
                              int layers, atn_span_rule *out) ATN_WARN_UNUSED;
