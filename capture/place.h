/* capture/place.h -- what a run of a model is given, and the attentions that it makes of it.
 *
 * A place is one attention: a layer of a stack at a step. An encoder alone and a decoder alone
 * have one stack, "". The places stand in the order in which the forward pass comes to them.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "capture/model.h"
#include "core/problem.h"

/* Of these a family takes what its atn_input_kind says; the rest stays zero. */
typedef struct atn_input {
    const int32_t *ids; /* [n], each below the vocabulary; of the encoder where two */
    atn_idx n;
    const int32_t *target; /* [n_target] of the decoder beside an encoder */
    atn_idx n_target;
    const float *image;     /* [channels, height, width] as the model takes it */
    const float *latents;   /* [steps, channels, height, width] */
    const float *timesteps; /* [steps] */
    const int32_t *classes; /* [steps] */
    atn_idx steps;          /* of latents; independent of one another */
} atn_input;

typedef struct atn_place {
    const char *stack; /* "", "encoder", "decoder", "cross" */
    atn_idx layer, step;
    atn_idx heads, kv_heads, d, dv, nq, nk;
    double scale;
    atn_sight sight;
    bool has_sink, has_alibi; /* a logit, a slope a head */
} atn_place;

/* Rows of the residual stream of the first stack. */
atn_idx atn_model_tokens(const atn_model *m, const atn_input *in);
/* All places of a run, in heap memory of the caller. */
atn_status atn_model_places(atn_ctx *cx, const atn_model *m, const atn_input *in,
                            atn_place **out, atn_idx *n) ATN_WARN_UNUSED;
/* m of the bias m (j - i) of head h; Press et al., arXiv 2108.12409. */
double atn_alibi_slope(atn_idx h, atn_idx heads);
/* FLOPs of a forward pass without the logits: 2 per multiply-add. */
double atn_model_flops(const atn_model *m, const atn_input *in);
