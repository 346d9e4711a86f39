/* analysis/layer_facts.h -- gathers what layer measures want of one captured layer.
 *
 * Cost    with ATN_WANT_OUT one pass over the rows of every head, 2 nq nk (d + dv) flop
 *         and heads * nq * dv floats; else only what is read from the file.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "analysis/measure.h"

typedef struct atn_layer_wants {
    unsigned wants; /* ATN_WANT_* */
    const bool *keep;
    atn_idx skip_rows;
    const atn_head *head; /* [heads] of the problem, their rows perhaps sampled */
    bool strict; /* w_o or h that hold NaN are an error; else named, and absent */
} atn_layer_wants;

/* out is zeroed first; release it also on failure. What the capture does not hold stays
 * NULL. */
atn_status atn_layer_facts_load(atn_ctx *cx, const atn_capture *c, int at,
                                const atn_problem *p, const atn_layer_wants *wants,
                                atn_layer_facts *out) ATN_WARN_UNUSED;
void atn_layer_facts_release(atn_ctx *cx, atn_layer_facts *f);
/* As messages name the layer. */
atn_layer_label atn_layer_facts_name(const atn_layer_facts *f);
/* NULL when the measure can run on these facts, else what is missing: "values", ... */
const char *atn_layer_facts_lack(const atn_layer_facts *f, unsigned wants);

/* One more tensor [rows, cols] of the layer in heap memory, NULL where the capture has
 * none. */
atn_status atn_layer_tensor(atn_ctx *cx, const atn_layer_facts *f, const char *name,
                            atn_idx rows, const float **out,
                            atn_idx *cols) ATN_WARN_UNUSED;

/* Token ids of the keys of layer `at`, where its queries are the same tokens; NULL =
 * unknown. */
const int32_t *atn_layer_token_ids(const atn_capture *c, int at);
/* The first row of the heads that skip_rows leaves; nq when there is none. */
atn_idx atn_layer_first_row(const atn_layer_facts *f);
/* Queries and keys are the same tokens, so that a query has a key of its own. */
bool atn_layer_is_self(const atn_layer_facts *f);

/* dL/dO of all heads [heads, problem->nq, dv] in heap memory, NULL when the capture has
 * no "d_o". */
atn_status atn_layer_gradient(atn_ctx *cx, const atn_layer_facts *f,
                              float **out) ATN_WARN_UNUSED;

/* P V of every head into out [heads, nq, dv]; the heads have values. */
atn_status atn_outputs(atn_ctx *cx, const atn_head *heads, atn_idx n_heads,
                       float *out) ATN_WARN_UNUSED;
