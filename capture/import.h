/* capture/import.h -- makes a capture of tensors from elsewhere. */
// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "core/run.h"

/* Each of q, k, v, p is FILE.npy, or FILE.npz or FILE.safetensors, :name after it where
 * the file holds several; shapes
 * [layers, heads, n, d], [heads, n, d] or [n, d] (p: n_q, n_k for n, d), with steps
 * [steps, layers, heads, n, d] or [steps, heads, n, d]. k and v may have fewer heads
 * than q (grouped queries). */
typedef struct atn_import_args {
    const char *q, *k, *v; /* v may be NULL */
    const char *p;         /* in place of q and k */
    const char
        *d_o; /* gradient of a loss by the heads' outputs, as q but d_v; may be NULL */
    const char
        *tokens;       /* JSON list of strings, or an object holding one; may be NULL */
    const char *roles; /* JSON list of a role a key; may be NULL */
    const char *grid;  /* "AxBxC" tokens, the first keys; may be NULL */
    atn_idx prompt;    /* tokens of the prompt, 0 = unknown */
    bool steps;        /* the first axis is of steps */
    const char *out_dir;
    bool causal;    /* query i sees keys j <= i + n_k - n_q */
    atn_idx window; /* 0 = none */
    double scale;   /* 0 = 1/sqrt(d) */
    atn_idx d;      /* of the queries that made p; 0 = unknown. Only of p */
    bool force;
} atn_import_args;

typedef struct atn_import_result {
    atn_idx steps, layers, heads, kv_heads, nq, nk, d, dv;
    bool causal;          /* as recorded */
    bool causal_detected; /* weights alone: nothing lies above the diagonal */
} atn_import_result;

/* What the arguments alone tell: USAGE for what is missing or excludes another.
 * atn_import asks it as well. */
atn_status atn_import_check(atn_ctx *cx, const atn_import_args *args) ATN_WARN_UNUSED;
/* DATA names file, tensor, shape and rule. Weights that are exactly 0 above the diagonal
 * are recorded as causal without being asked; --causal with weight above it is DATA, and
 * so is a row with a negative weight or a sum above 1. */
atn_status atn_import(atn_ctx *cx, const atn_import_args *args, atn_run *run,
                      atn_import_result *out) ATN_WARN_UNUSED;
