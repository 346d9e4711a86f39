/* capture/model.h -- an opened model directory: configuration and mapped weights.
 *
 * Weights stay in the file until a layer is computed, so a model larger than memory
 * runs.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "capture/config.h"
#include "core/io/safetensors.h"

typedef struct atn_model {
    char *dir, *weights_path; /* owned */
    char *name;               /* last part of the directory, or the hub's name; owned */
    atn_config config;
    atn_st *weights;
    const char *prefix; /* the base prefix that this file carries, "" = none */
    bool has_head;      /* logits can be computed */
    atn_idx labels;     /* classes of an image that the weights tell apart, 0 = none */
    bool *used;         /* [tensors of the files] the family asks for it; owned */
} atn_model;

/* Opens DIR (also a snapshot of a hub cache, or a GGUF file) and checks that every
 * tensor of the family's template is there with the shape the config implies. DATA
 * names the names tried and the nearest ones there are; a pickle-only directory is
 * refused with the way to convert it. */
atn_status atn_model_open(atn_ctx *cx, const char *dir, atn_model *out) ATN_WARN_UNUSED;
void atn_model_close(atn_ctx *cx, atn_model *m);

/* The tensor of a template (%d = layer) under the file's prefix; NULL when absent.
 * bias: the name with .bias for .weight. */
const atn_st_tensor *atn_model_tensor(const atn_model *m, const char *name,
                                      atn_idx layer, bool bias);
/* What config.json calls a class of the images; NULL = nothing. */
const char *atn_model_label(const atn_model *m, atn_idx label);

/* Counts that inspect and --dry-run print. */
double atn_model_parameters(const atn_model *m); /* numbers stored in the weights */
double atn_model_bytes(const atn_model *m);      /* of the weight files */
