/* core/io/npy.h -- NumPy .npy arrays (reads v1.0 to 3.0, writes v1.0).
 *
 * Rules   header at most 10,000 bytes, a tiny literal parser (nothing is evaluated),
 *         rank <= 8, data exactly the size of the shape; '<f4' '<f8' '<f2' '<i4' '<i8'
 *         '<u4' '|u1' '|b1'; fortran_order is transposed on loading; all else is
 *         refused by name.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "core/io/file.h"
#include "core/mat.h"

typedef struct atn_npy {
    int rank;
    atn_idx shape[8];
    atn_idx count;
    bool is_float; /* f32 (or f64) holds the values; else i64 does */
    float *f32;    /* heap, owned; floats of every width become float32 */
    double *f64;   /* those of '<f8' instead, where they were asked for */
    int64_t *i64;
} atn_npy;

atn_status atn_npy_load(atn_ctx *cx, const char *path, atn_npy *out) ATN_WARN_UNUSED;
/* The same; DATA where it holds integers. */
atn_status atn_npy_load_floats(atn_ctx *cx, const char *path,
                               atn_npy *out) ATN_WARN_UNUSED;
/* The same of bytes in memory; `what` stands for the file in messages. */
atn_status atn_npy_parse_floats(atn_ctx *cx, const char *what, const void *data,
                                size_t size, atn_npy *out) ATN_WARN_UNUSED;
/* Floats alone, and '<f8' stays double. */
atn_status atn_npy_load_wide(atn_ctx *cx, const char *path,
                             atn_npy *out) ATN_WARN_UNUSED;
void atn_npy_release(atn_ctx *cx, atn_npy *a);
/* Atomic; '<f4'. */
atn_status atn_npy_save_f32(atn_ctx *cx, const char *path, const float *data, int rank,
                            const atn_idx *shape, bool force) ATN_WARN_UNUSED;
/* The same in '<f8'. */
atn_status atn_npy_save_f64(atn_ctx *cx, const char *path, const double *data, int rank,
                            const atn_idx *shape, bool force) ATN_WARN_UNUSED;
/* The header of an '<f4' array whose numbers the caller writes to out->file, as many as
 * the shape has, before atn_out_commit. */
atn_status atn_npy_begin_f32(atn_ctx *cx, const char *path, int rank,
                             const atn_idx *shape, bool force,
                             atn_out *out) ATN_WARN_UNUSED;
