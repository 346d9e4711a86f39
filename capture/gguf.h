/* capture/gguf.h -- a GGUF file as a model: its keys as config.json would say them, its
 * family with GGUF's names of tensors.
 *
 * llama.cpp's converter renames tensors and changes some: rows of q and k of Llama's
 * relatives stand in adjacent rotary pairs (undone when they are loaded), Gemma's norms
 * hold 1 + w, fused projections are [Q; K; V], Conv1D matrices are turned.
 *
 * Source  ggml-org/llama.cpp convert_hf_to_gguf.py and src/llama-arch.cpp; ggml
 *         docs/gguf.md.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "capture/config.h"
#include "core/io/safetensors.h"

/* The only .gguf file of a directory that has no config.json, or `path` itself where it
 * is one; *out (owned by the caller) NULL when there is none. DATA when there are
 * several. */
atn_status atn_gguf_find(atn_ctx *cx, const char *path, char **out) ATN_WARN_UNUSED;
/* DATA naming the key that is missing or of no use, or the architecture that is not
 * read. The caller owns *config. */
atn_status atn_gguf_config(atn_ctx *cx, const char *path, const json_t *keys,
                           const atn_st *tensors, json_t **config) ATN_WARN_UNUSED;
/* Which projections have a bias, by the tensors of layer 0, beside those that always
 * have. */
void atn_gguf_biases(const atn_st *tensors, atn_config *c);
/* The table of a family for files of GGUF's architecture. */
atn_status atn_gguf_family(atn_ctx *cx, const char *path, const json_t *keys,
                           const atn_arch *family, atn_arch *out) ATN_WARN_UNUSED;
