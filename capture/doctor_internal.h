/* capture/doctor_internal.h -- what a departure looks like. */
// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "capture/doctor.h"

/* A stage of ours and the reference's, both [heads, rows, cols]. */
typedef struct atn_pair {
    atn_stage stage;
    const float *ours, *reference;
    atn_idx heads, rows, cols;
    const atn_model *m;
    const atn_place *place; /* NULL of logits */
    const float *p, *v;     /* of attn_out, where they are at hand */
    /* the stages before it in the same layer that were compared and agree, bits */
    unsigned agreed;
    double tolerance;
} atn_pair;

/* Writes what the departure usually comes from, or "". */
void atn_doctor_hint(const atn_pair *p, char hint[ATN_HINT_TEXT]);
