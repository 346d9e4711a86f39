/* capture/doctor.h -- a model run against what another program computed from the same
 * weights: the first stage that departs, and what such a departure usually comes from.
 *
 * The reference is a capture directory, or a dump: a safetensors file. Of a stack named
 * s (no name for a single one) it may hold, stacked over the layers as "s.NAME" or a
 * layer a tensor as "s.NAME.L":
 *   hidden [L, n, width]        input of the layers; one more is the state behind the
 *                               last, and read as nothing. Also the output of the
 *                               layers, which is noticed
 *   q_pre, k_pre, q, k, v       [L, heads, n, d], before and behind the rotary
 *                               embedding; k and v may have their heads repeated
 *   attn [L, heads, nq, nk]     the weights; attn_out [L, n, width] behind W_O, and the
 *                               gate where the family has one
 * and of the model ids [n] (target_ids), logits [n, vocab], loss [1] or a number for
 * each predicted token, whose mean counts. Of a model of images pixels [C, H, W] as it
 * takes them in place of ids, and logits [labels]; of a diffusion transformer latents
 * [steps, C, H, W], timesteps and classes [steps], and the layers of all steps in a
 * row. Axes of 1, such as a batch of one, may stand anywhere.
 *
 * Math    a stage departs when max |ours - reference| > tolerance max |reference|, where
 *         a reference stored in F16 or BF16 is allowed its rounding, 2^-11 or 2^-8.
 * Source  symptoms: TransformerLens, docs on numerical divergence, and the families'
 *         code.
 * Limits  attention weights need n^2 numbers a layer: 4096 tokens without --mem-limit.
 *         Of a capture the first step is read, and its files are not checked against
 *         their hash.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "capture/forward.h"
#include "core/io/capture.h"

typedef enum atn_stage {
    ATN_STAGE_HIDDEN,
    ATN_STAGE_Q_PRE,
    ATN_STAGE_K_PRE,
    ATN_STAGE_Q,
    ATN_STAGE_K,
    ATN_STAGE_V,
    ATN_STAGE_ATTN,
    ATN_STAGE_ATTN_OUT,
    ATN_STAGE_LOGITS,
    ATN_STAGE_LOSS,
    ATN_STAGES
} atn_stage;
extern const char *const atn_stage_names[ATN_STAGES];

enum { ATN_HINT_TEXT = 400, ATN_GIVEN_NAME = 96, ATN_GIVEN_TEXT = 320 };

typedef enum atn_given_state {
    ATN_GIVEN_UNREAD,
    ATN_GIVEN_INPUT, /* what the model reads */
    ATN_GIVEN_READ,
    ATN_GIVEN_REFUSED, /* of another shape or type than the run has */
} atn_given_state;

/* One tensor of the reference, and what it was taken for. */
typedef struct atn_given {
    char name[ATN_GIVEN_NAME];
    atn_given_state state;
    /* why it is refused, or what a name that is near a known one lacks; "" = no more to
     * say */
    char why[ATN_GIVEN_TEXT];
    /* private, of one that is read */
    const atn_st_tensor *tensor; /* borrowed */
    const char *stack;           /* of the model, or "" */
    atn_stage stage;
    atn_idx layer; /* -1 = all of them, planes of each step */
    atn_idx planes;
    atn_idx times; /* so often is each head repeated */
    bool used;
} atn_given;

/* One tensor of ours beside the reference's. */
typedef struct atn_compared {
    const char *stack;
    atn_idx layer, step; /* layer -1 of logits and loss */
    atn_stage stage;
    double error, largest; /* max |ours - reference|, max |reference| */
    atn_idx head, row;     /* of the largest error; head -1 where there are none */
    bool departs;
    char hint[ATN_HINT_TEXT]; /* "" = nothing to say */
} atn_compared;

typedef struct atn_doctor {
    atn_compared *all; /* in the order of the computation; owned */
    atn_idx n;
    atn_idx first;            /* that departs, -1 = none */
    atn_given *given;         /* the tensors of the reference; owned */
    atn_idx n_given, refused; /* first that is refused, -1 = none */
} atn_doctor;

/* Compares all but what is refused. DATA for a reference of which nothing can be
 * compared; tolerance is relative. The input names the tokens of the reference. */
atn_status atn_doctor_run(atn_ctx *cx, const atn_model *m, const atn_input *in,
                          const atn_st *dump, double tolerance,
                          atn_doctor *out) ATN_WARN_UNUSED;
atn_status atn_doctor_run_capture(atn_ctx *cx, const atn_model *m, const atn_input *in,
                                  const atn_capture *reference, double tolerance,
                                  atn_doctor *out) ATN_WARN_UNUSED;
void atn_doctor_release(atn_ctx *cx, atn_doctor *d);

/* Token ids of a dump by name, as int32 in heap memory; *out NULL where it has none. */
atn_status atn_doctor_ids(atn_ctx *cx, const atn_st *dump, const char *name,
                          int32_t **out, atn_idx *n) ATN_WARN_UNUSED;

/* Those of a capture, and of one of an encoder and a decoder the target: what the
 * decoder read, without its first, and a last token that no layer reads. Owned; NULL =
 * unknown. */
atn_status atn_doctor_capture_ids(atn_ctx *cx, const atn_model *m, const atn_capture *c,
                                  int32_t **ids, atn_idx *n, int32_t **target,
                                  atn_idx *n_target) ATN_WARN_UNUSED;

/* What a dump holds of pixels, or latents, timesteps and classes; owned. */
typedef struct atn_doctor_planes {
    float *values, *timesteps;
    int32_t *classes;
} atn_doctor_planes;
/* Into `in`, of a model of images or latents; USAGE where the dump lacks them, DATA
 * where they are not of the model's size. */
atn_status atn_doctor_take_planes(atn_ctx *cx, const atn_model *m, const atn_st *dump,
                                  atn_doctor_planes *own,
                                  atn_input *in) ATN_WARN_UNUSED;
void atn_doctor_planes_release(atn_ctx *cx, atn_doctor_planes *own);
