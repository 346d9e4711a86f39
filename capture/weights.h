/* capture/weights.h -- what a capture says of the model's weights, so that whoever
 * analyses it can read them from the model directory without knowing families.
 *
 * The form is that of "weights" and "rotary" in docs/guide/capture-format.md; a weight
 * is named by file, tensor, the place of its heads in it, and the XXH3-128 of the
 * tensor's bytes.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "capture/place.h"

/* {"w_q", "w_k", "w_v"} of a place. The caller owns *out. */
atn_status atn_model_place_weights(atn_ctx *cx, const atn_model *m, const atn_place *at,
                                   json_t **out) ATN_WARN_UNUSED;
/* {"embed"} and, where the model gives logits, "unembed"; neither where a map stands
 * between them and the residual stream. */
atn_status atn_model_token_weights(atn_ctx *cx, const atn_model *m,
                                   json_t **out) ATN_WARN_UNUSED;
/* The rotary embedding of an input of n tokens; JSON null where the family has none.
 * The model's is that of most layers; one that has another says so. */
atn_status atn_model_rotary(atn_ctx *cx, const atn_model *m, atn_idx n,
                            json_t **out) ATN_WARN_UNUSED;
/* *out NULL where the layer has the model's. */
atn_status atn_layer_rotary(atn_ctx *cx, const atn_model *m, atn_idx layer, atn_idx n,
                            json_t **out) ATN_WARN_UNUSED;
