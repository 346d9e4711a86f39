/* core/io/capture_internal.h -- an opened capture, between its manifest and its
 * layers. */
// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "core/io/capture.h"

/* Texts are borrowed from the manifest. */
typedef struct atn_sequence {
    atn_idx n;
    int32_t *ids;
    const char **texts;
} atn_sequence;

enum { ATN_SEQUENCES = 3 }; /* of the capture, its encoder, its decoder */

struct atn_capture {
    char *dir;
    json_t *manifest;
    bool complete;
    bool planned; /* no layer is on disk yet, and all count */
    atn_model_info model;
    double *turn; /* of the model */
    atn_layer_info *layers;
    int n_layers;
    double **turns; /* of layers with a rotary embedding of their own, or NULL */
    size_t n_turns;
    atn_sequence sequences[ATN_SEQUENCES];
    atn_idx nk_least, nk_most; /* keys of all layers that the manifest lists */
    atn_list *grid;            /* NULL: none */
    atn_idx grid_first;
    uint8_t *roles;
    atn_idx prompt;
};

/* Reads and checks capture.json of c->dir. */
atn_status atn_capture_read_manifest(atn_ctx *cx, atn_capture *c) ATN_WARN_UNUSED;
/* Checks c->manifest, and takes what it says. */
atn_status atn_capture_take_manifest(atn_ctx *cx, atn_capture *c) ATN_WARN_UNUSED;
/* "tokens" and "stack_tokens", once the layers are read. */
atn_status atn_capture_read_tokens(atn_ctx *cx, atn_capture *c) ATN_WARN_UNUSED;
void atn_capture_drop_tokens(atn_ctx *cx, atn_capture *c);
/* "grid", "grid_first", "roles" and "prompt", once the layers are read. */
atn_status atn_capture_read_facts(atn_ctx *cx, atn_capture *c) ATN_WARN_UNUSED;
/* Checks the form of "weights", member of obj; `what` is the place in the manifest. */
atn_status atn_capture_check_weights(atn_ctx *cx, const char *what,
                                     const json_t *obj) ATN_WARN_UNUSED;
/* A file name that does not leave the directory. */
bool atn_capture_safe_name(const char *name);
/* 32 hexadecimal digits. */
bool atn_capture_is_hash(const char *text);
