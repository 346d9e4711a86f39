/* capture/place.h -- what a run of a model is given, and the attentions that it makes
 * of it.
 *
 * A place is one attention: a layer of a stack at a step. An encoder alone and a
 * decoder alone have one stack, "". Beside an encoder a layer of the decoder makes two,
 * its self-attention and that to the rows of the encoder, of the stack "cross". The
 * places stand in the order in which the forward pass comes to them.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "capture/model.h"
#include "core/problem.h"

/* Of these a family takes what its atn_input_kind says; the rest stays zero. */
typedef struct atn_input {
    const int32_t *ids; /* [n], each below the vocabulary; of the encoder where two */
    atn_idx n;
    /* [n_target] what a decoder beside an encoder predicts; without it the encoder
     * alone runs */
    const int32_t *target;
    atn_idx n_target;
    const float *image;     /* [channels, height, width] as the model takes it */
    const float *latents;   /* [steps, channels, height, width] */
    const float *timesteps; /* [steps] */
    const int32_t *classes; /* [steps] */
    atn_idx steps;          /* of latents; independent of one another */
} atn_input;

typedef struct atn_place {
    const char *stack;   /* "", "encoder", "decoder", "cross" */
    const atn_stack *of; /* whose layer it is; of the model */
    bool cross;          /* its keys are the rows of the first stack */
    bool last;           /* the MLP of the layer follows */
    atn_idx layer, step;
    atn_idx heads, kv_heads, d, dv, nq, nk;
    double scale;
    atn_sight sight;
    bool has_sink, has_alibi; /* a logit, a slope a head */
    atn_rel_rule rel;         /* buckets 0 = no bias by relative position */
} atn_place;

/* Names of the weights of a place, and of the MLP that follows it. */
atn_arch_names atn_place_names(const atn_place *p);

/* Stacks that run. */
int atn_model_stacks(const atn_model *m, const atn_input *in);
/* Whether the run comes to the logits, where the model has any. */
bool atn_model_reaches_head(const atn_model *m, const atn_input *in);
/* Rows of the residual stream of the first stack, and the most that a stack has. */
atn_idx atn_model_tokens(const atn_model *m, const atn_input *in);
atn_idx atn_model_tokens_most(const atn_model *m, const atn_input *in);
/* What the decoder reads, [n_target]: its first token, then all of the target but the
 * last. */
void atn_model_decoder_ids(const atn_model *m, const atn_input *in, int32_t *out);
/* All places of a run, in heap memory of the caller. */
atn_status atn_model_places(atn_ctx *cx, const atn_model *m, const atn_input *in,
                            atn_place **out, atn_idx *n) ATN_WARN_UNUSED;
/* m of the bias m (j - i) of head h; Press et al., arXiv 2108.12409. */
double atn_alibi_slope(atn_idx h, atn_idx heads);
/* Numbers of a place in a capture: q, k, v, w_o, and what goes with them. */
double atn_place_values(const atn_place *p, atn_idx width);
/* FLOPs of a forward pass without the logits: 2 per multiply-add. */
double atn_model_flops(const atn_model *m, const atn_input *in);
