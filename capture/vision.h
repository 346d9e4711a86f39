/* capture/vision.h -- what image models and diffusion transformers are given, from
 * files. */
// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "capture/place.h"

/* *out [channels, height, width] in heap memory: the picture, preprocessed, or the
 * floats of a .npy file as they are. DATA for another size than the model's. */
atn_status atn_vision_image(atn_ctx *cx, const atn_model *m, const char *path,
                            float **out) ATN_WARN_UNUSED;

/* Owned. */
typedef struct atn_latents {
    float *values;    /* [steps, channels, height, width] */
    float *timesteps; /* [steps] */
    int32_t *classes; /* [steps] */
    atn_idx steps;
} atn_latents;

/* latents: .npy of [C, H, W] or [steps, C, H, W]; timesteps, classes: numbers between
 * commas, or .npy. One of a kind stands for every step; else all have as many. USAGE or
 * DATA where they do not fit one another or the model. */
atn_status atn_vision_latents(atn_ctx *cx, const atn_model *m, const char *latents,
                              const char *timesteps, const char *classes,
                              atn_latents *out) ATN_WARN_UNUSED;
void atn_latents_release(atn_ctx *cx, atn_latents *l);

/* Adds to a manifest: the texts of the tokens, "[CLS]" and "(row,column)" of a patch;
 * the grid of patches; "input" with kind, size and hash of what went in, timesteps and
 * classes. */
atn_status atn_vision_describe(atn_ctx *cx, const atn_model *m, const atn_input *in,
                               json_t *manifest) ATN_WARN_UNUSED;
