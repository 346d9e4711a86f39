/* core/io/capture_internal.h -- an opened capture, between its manifest and its layers. */
// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "core/io/capture.h"

struct atn_capture {
    char *dir;
    json_t *manifest;
    bool complete;
    atn_model_info model;
    atn_layer_info *layers;
    int n_layers;
    int32_t *ids;
    const char **texts; /* borrowed from the manifest */
    atn_idx n_tokens;
};

/* Reads and checks capture.json of c->dir. */
atn_status atn_capture_read_manifest(atn_ctx *cx, atn_capture *c) ATN_WARN_UNUSED;
