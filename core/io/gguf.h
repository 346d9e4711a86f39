/* core/io/gguf.h -- GGUF files, version 2 and 3, read through a memory map.
 *
 * Layout  "GGUF", u32 version, u64 tensors, u64 keys; keys (name, type, value); tensor
 *         infos (name, u32 rank, u64 dimensions with the fastest first, u32 type, u64
 *         offset); data from the next multiple of general.alignment on. Little-endian.
 * Rules   at most 1e5 keys, 1e6 tensors, 1e7 entries of all arrays; names are UTF-8 of
 *         at most 1 KiB, no name twice; rank 1 to 4; every tensor lies within the file
 *         at a multiple of the alignment, none over another; all else is DATA naming
 *         file, rule and value. F32, F16, BF16, F64 and Q8_0 can be loaded, other types
 *         are named by whoever wants such a tensor.
 * Source  ggml-org/ggml docs/gguf.md.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "core/io/safetensors.h"

/* keys (the caller's, json_decref): key -> number, boolean, text or list of these; a
 * text or a number that JSON cannot hold, and lists within lists, are null. tensors
 * (the caller's, atn_st_close): by GGUF's names, shapes row-major. */
atn_status atn_gguf_open(atn_ctx *cx, const char *path, json_t **keys,
                         atn_st **tensors) ATN_WARN_UNUSED;
