/* capture/import.h -- makes a capture of tensors from elsewhere. */
// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "core/run.h"

/* Each of q, k, v, p, d_o is a source: FILE.npy, or FILE.npz or FILE.safetensors, :name
 * after it where the file holds several; or one for each stack, "encoder=SOURCE,
 * decoder=SOURCE,cross=SOURCE" without the blank. Shapes [layers, heads, n, d], [heads,
 * n, d] or [n, d] (p: n_q, n_k for n, d), with steps [steps, layers, heads, n, d] or
 * [steps, heads, n, d]. k and v may have fewer heads than q (grouped queries). */
typedef struct atn_import_args {
    const char *q, *k, *v; /* v may be NULL */
    const char *p;         /* in place of q and k */
    const char *bertviz;   /* in place of all tensors: data of a BertViz view */
    /* in place of all: a directory of arrays and index.json, as atn_export_npy makes,
     * or its index.json */
    const char *npy;
    const char
        *d_o; /* gradient of a loss by the heads' outputs, as q but d_v; may be NULL */
    /* JSON list of strings, or an object holding one; of several stacks one file with
     * members of their names, or "encoder=FILE,decoder=FILE"; may be NULL */
    const char *tokens;
    const char *roles; /* JSON list of a role a key; may be NULL. This and the next two
                          are of one stack */
    const char *grid;  /* "AxBxC" tokens, the first keys; may be NULL */
    atn_idx prompt;    /* tokens of the prompt, 0 = unknown */
    bool steps;        /* the first axis is of steps */
    const char *out_dir;
    bool causal;    /* query i sees keys j <= i + n_k - n_q; of stacks: the decoder */
    atn_idx window; /* 0 = none */
    double scale;   /* 0 = 1/sqrt(d) */
    atn_idx d;      /* of the queries that made p; 0 = unknown. Only of p */
    bool force;
} atn_import_args;

/* One stack, or encoder, decoder and cross. */
enum { ATN_IMPORT_STACKS = 3, ATN_IMPORT_SLOTS = 1 + ATN_IMPORT_STACKS };

typedef struct atn_import_part {
    const char *stack; /* "" of one stack */
    atn_idx steps, layers, heads, kv_heads, nq, nk, d, dv;
    bool causal;          /* as recorded */
    atn_idx empty, low;   /* rows of attention of zeros alone, and that sum below 1 */
    bool causal_detected; /* weights alone: nothing lies above the diagonal */
} atn_import_part;

typedef struct atn_import_result {
    atn_import_part part[ATN_IMPORT_STACKS];
    int n;
    char note[200]; /* what the capture could not take over, or empty */
} atn_import_result;

/* The sources that an argument names, in heap memory: slot 0 where they are for one
 * stack, else those of encoder, decoder, cross; NULL = none. USAGE names a stack that
 * is there twice or without a file, and a file without a stack among others. */
atn_status atn_import_sources(atn_ctx *cx, const char *spec,
                              char *out[ATN_IMPORT_SLOTS]) ATN_WARN_UNUSED;
/* The path of a source, without :name, in heap memory. */
char *atn_import_path(atn_ctx *cx, const char *source) ATN_WARN_UNUSED;
/* What the arguments alone tell: USAGE for what is missing or excludes another.
 * atn_import asks it as well. */
atn_status atn_import_check(atn_ctx *cx, const atn_import_args *args) ATN_WARN_UNUSED;
/* DATA names file, tensor, shape and rule. Weights that are exactly 0 above the
 * diagonal are recorded as causal without being asked, but of an encoder and of
 * cross-attention; --causal with weight above it is DATA, and so are --window with
 * weight outside and a row with a negative weight or a sum above 1. */
atn_status atn_import(atn_ctx *cx, const atn_import_args *args, atn_run *run,
                      atn_import_result *out) ATN_WARN_UNUSED;
