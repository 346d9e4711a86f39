/* core/io/safetensors.h -- safetensors files, single or sharded, read through a memory
 * map.
 *
 * Layout  u64 LE header length N, N bytes of JSON {name: {dtype, shape, data_offsets}},
 *         data.
 * Rules   every rule of the format is enforced, including the two the official reader
 *         leaves out (first byte '{', no duplicate names); each broken rule is DATA
 *         naming file, rule and value. Limits: N <= 100 MB, 1e6 tensors, rank <= 8,
 *         name <= 1 KiB.
 * Oracle  one F32 2x2 tensor "t": N = 64, 88 bytes in all.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <jansson.h>

#include "core/io/file.h"
#include "core/mat.h"

enum { ATN_ST_MAX_RANK = 8 };

typedef struct atn_st_tensor {
    const char *name;  /* borrowed from the file */
    const char *dtype; /* as spelled: "BF16" */
    bool loadable;     /* type below is valid: F32 F16 BF16 F64 I32 I64 U8;
                          of GGUF Q8_0 */
    atn_dtype type;
    int rank;
    atn_idx shape[ATN_ST_MAX_RANK];
    atn_idx count;    /* product of shape */
    const void *data; /* mapped, any alignment */
    size_t bytes;
    const char *path; /* the file that holds it */
} atn_st_tensor;

typedef struct atn_st atn_st;

/* Opens one file, or (when path ends in .index.json) a sharded set through its
 * index. */
atn_status atn_st_open(atn_ctx *cx, const char *path, atn_st **out) ATN_WARN_UNUSED;
/* The n tensors of a mapped file of another format, as if it were one of safetensors:
 * steals map and tensors, whose names `names` (stolen, too) holds. On failure all three
 * are released as well. */
atn_status atn_st_adopt(atn_ctx *cx, const char *path, atn_map map, json_t *names,
                        atn_st_tensor *tensors, atn_idx n,
                        atn_st **out) ATN_WARN_UNUSED;
void atn_st_close(atn_ctx *cx, atn_st *f);
atn_idx atn_st_count(const atn_st *f);
const atn_st_tensor *atn_st_at(const atn_st *f, atn_idx i); /* by name, ascending */
const atn_st_tensor *atn_st_find(const atn_st *f, const char *name); /* NULL = absent */
const json_t *atn_st_metadata(const atn_st *f); /* object or NULL */
/* Tells the kernel that the tensor's pages are no longer needed (layer-at-a-time
 * loading). */
void atn_st_forget(const atn_st_tensor *t);

/* Writer: tensors are given with their data; the file is written atomically, header
 * padded to 8, tensors ordered by dtype then name as the official writer does. */
typedef struct atn_st_out {
    const char *name;
    atn_dtype type;
    int rank;
    atn_idx shape[ATN_ST_MAX_RANK];
    const void *data;
} atn_st_out;
/* metadata: object of strings or NULL. hex, if not NULL, receives the XXH3-128 of the
 * file. */
atn_status atn_st_save(atn_ctx *cx, const char *path, const atn_st_out *tensors,
                       atn_idx n, const json_t *metadata, bool force,
                       char hex[33]) ATN_WARN_UNUSED;
