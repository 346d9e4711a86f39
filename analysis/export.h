/* analysis/export.h -- layers of a capture for other tools: arrays, a BertViz view, a
 * MInference configuration.
 *
 * Cost    one layer in memory at a time, and tiles of its attention.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "analysis/select.h"

typedef struct atn_export_opts {
    const char *path;
    bool force, dry;     /* dry: everything but writing */
    const char *tensors; /* npy: "q,k,p"; NULL = all that every layer has of q k v p */
    int digits;          /* bertviz: significant ones, 3 to 9 */
    double bytes_most;   /* bertviz */
    double ratio;        /* minference: sizes of the candidates times this */
} atn_export_opts;

typedef struct atn_export_result {
    atn_idx layers, heads, files; /* heads of a layer, the most */
    double bytes;                 /* what is written, bertviz: at most */
    double score;                 /* minference: mean over heads */
    bool whole; /* minference: a candidate covers every text of this length */
} atn_export_result;

/* Before a file is made: USAGE for a selection that the form cannot hold, DATA for what
 * the capture lacks, MEMORY for what is too large; CANTCREATE when it exists. */

/* A directory of [STACK.]TENSOR.npy of shape [steps,] layers, heads, n, d and
 * index.json. With q and k go sink and alibi, [steps,] layers, heads, and rel_bias,
 * [steps,] layers, buckets, heads, where layers have them; atn_import takes back all.
 * Where heads were chosen, k and v are those that each of them reads. p is computed
 * where it is asked for and not stored. With force an earlier export alone is
 * replaced. */
atn_status atn_export_npy(atn_ctx *cx, const atn_capture *c, const atn_selection *sel,
                          const atn_export_opts *o,
                          atn_export_result *r) ATN_WARN_UNUSED;
/* JSON, the parameters of BertViz's head_view and model_view. */
atn_status atn_export_bertviz(atn_ctx *cx, const atn_capture *c,
                              const atn_selection *sel, const atn_export_opts *o,
                              atn_export_result *r) ATN_WARN_UNUSED;
/* JSON, a list of layers of {"head": [type, columns, diagonals, share]}, the best of
 * the candidates that MInference searches.
 * Math    a_shape (100, 800), vertical_slash (30, 800), (100, 750), (500, 700), (3500,
 *         100), sizes times ratio; columns and diagonals by the last 64 rows, the first
 *         30 of each among them. share: mean over rows from min(2500, n / 2) on of what
 *         a row has on them. The first of equal ones.
 * Source  microsoft/MInference, minference_forward.py; analysis/vertical_slash.h. */
atn_status atn_export_minference(atn_ctx *cx, const atn_capture *c,
                                 const atn_selection *sel, const atn_export_opts *o,
                                 atn_export_result *r) ATN_WARN_UNUSED;
