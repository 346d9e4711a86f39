/* cli/model_tables.h -- what a model directory is, as tables. */
// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "capture/model.h"
#include "core/table.h"

/* Kind "facts": family, sizes, weights, tokenizer. */
atn_status atn_model_facts(atn_ctx *cx, const atn_model *m,
                           atn_table **out) ATN_WARN_UNUSED;
/* Kind "model", a row an attention: [stack,] layer, heads, kv_heads, d, mask, window,
 * scale, softcap, sink, bias, rotary. */
atn_status atn_model_layers(atn_ctx *cx, const atn_model *m,
                            atn_table **out) ATN_WARN_UNUSED;
/* Kind "costs": work, memory and size of a capture by length of the text; one row of a
 * model that reads images or latents. */
atn_status atn_model_costs(atn_ctx *cx, const atn_model *m,
                           atn_table **out) ATN_WARN_UNUSED;
/* Whether the tokenizer runs; one that cannot is a fact of the model, not an error. */
atn_status atn_tokenizer_fact(atn_ctx *cx, const char *dir,
                              atn_table *t) ATN_WARN_UNUSED;
/* Kind "facts" of a directory that is no model we run: what its files say, `why`, and
 * the ways round. */
atn_status atn_strange_model_facts(atn_ctx *cx, const char *dir, const char *why,
                                   atn_table **out) ATN_WARN_UNUSED;
