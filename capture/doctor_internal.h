/* capture/doctor_internal.h -- what a departure looks like, and what a tensor is taken
 * for. */
// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "capture/doctor.h"

/* Stages of a place, bits. */
typedef struct atn_seen {
    unsigned compared, agreed;
} atn_seen;

/* A stage of ours and the reference's, both [heads, rows, cols]. */
typedef struct atn_pair {
    atn_stage stage;
    const float *ours, *reference;
    atn_idx heads, rows, cols;
    const atn_model *m;
    const atn_place *place;    /* NULL of logits and loss */
    const atn_layer_dump *run; /* the place as we computed it; NULL likewise */
    /* of departing attention weights, where they were given: [heads, nq, d] and
     * [kv_heads, nk, d] of the reference */
    const float *q, *k;
    atn_seen here, before; /* of this place so far, and of the one before it */
    bool departed;         /* of logits and loss: a stage before them did */
    double tolerance;
} atn_pair;

static inline bool atn_stage_in(unsigned stages, atn_stage s)
{
    return stages >> s & 1;
}

/* Writes what the departure usually comes from, or "". */
atn_status atn_doctor_hint(atn_ctx *cx, const atn_pair *p,
                           char hint[ATN_HINT_TEXT]) ATN_WARN_UNUSED;
/* The same of attention weights. */
atn_status atn_doctor_weights_hint(atn_ctx *cx, const atn_pair *p,
                                   char *hint) ATN_WARN_UNUSED;
/* ---- doctor_given.c ---- */

/* What a run has: its places, and rows and columns of its logits (0 = it has none). */
typedef struct atn_run_shape {
    const atn_model *m;
    const atn_place *places; /* [n] */
    atn_idx n, steps, rows, cols;
    atn_idx predicted; /* tokens that the loss is the mean of */
} atn_run_shape;

/* Says of a tensor under the name `name` what it is, and checks its shape and type. */
void atn_given_take(const atn_run_shape *r, const char *name, const atn_st_tensor *t,
                    atn_given *out);
/* NULL = nothing to read. */
atn_given *atn_given_find(const atn_doctor *d, const char *stack, atn_stage stage,
                          atn_idx layer);
/* Axes are the same but for those of 1. */
bool atn_same_shape(const atn_idx *a, int rank_a, const atn_idx *b, int rank_b);
/* "[2, 4, 24]" */
void atn_shape_text(const atn_idx *shape, int rank, char *out, size_t size);
