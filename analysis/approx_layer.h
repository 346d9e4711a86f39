/* analysis/approx_layer.h -- a captured layer as methods see it: heads without padding,
 * and what else they may read.
 *
 * Cost    the tensors of the layer; where methods read earlier steps, those of its steps
 *         so far. A layer whose steps are loaded one after another keeps them, so that
 *         each is read once.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "approx/method.h"
#include "core/io/capture.h"

typedef struct atn_approx_source {
    const atn_capture *capture;
    unsigned reads;       /* ATN_READS_* of all methods together */
    const atn_list *grid; /* in place of the capture's; NULL = its own */
    atn_idx prompt;       /* likewise; 0 = its own */
    uint64_t seed;
    bool as_published;
    bool unmasked; /* causality and windows are taken off all heads */
    bool warms;    /* temperatures follow: not of weights alone */
} atn_approx_source;

/* One step of a layer. */
typedef struct atn_approx_step {
    atn_problem problem;
    atn_head *head; /* [heads] without padding */
    bool *bad;      /* [heads] that hold NaN or infinity */
    float *bias; /* biases by relative position at the temperature; NULL = none, or 1 */
    atn_idx first_row, first_key;
} atn_approx_step;

typedef struct atn_approx_layer {
    atn_approx_step *step; /* [steps] of the layer, or the one asked for */
    atn_input *in;         /* [steps] */
    int steps, at;         /* which was asked for; none behind it counts */
    int loaded, first;     /* steps that are; the first of all in the capture */
    atn_list grid;
    float *w_o; /* [heads dv, width], NULL = none */
    atn_idx width;
    bool *bad; /* [heads] in this step or one before it */
} atn_approx_layer;

/* Layer `at` of atn_capture_layers into l, which is zeroed or holds another one, of which
 * earlier steps of the same layer stay. The draws of the inputs are NULL. DATA names what
 * of the capture is unsound, USAGE a grid or prompt that does not fit. Release it also
 * on failure. */
atn_status atn_approx_layer_load(atn_ctx *cx, const atn_approx_source *s, int at,
                                 atn_approx_layer *l) ATN_WARN_UNUSED;
/* Before anything is read: its inputs, of heads that have shapes alone, as a method's
 * .bytes takes them. USAGE as there. */
atn_status atn_approx_layer_shape(atn_ctx *cx, const atn_approx_source *s, int at,
                                  atn_approx_layer *l) ATN_WARN_UNUSED;
/* Do methods read other steps, so that the steps of a layer should follow one another? */
bool atn_approx_reads_steps(const atn_approx_source *s);
/* The logits of all its heads times t; 1 is as they were. */
void atn_approx_layer_warm(atn_approx_layer *l, double t);
bool atn_approx_same_layer(const atn_layer_info *a, const atn_layer_info *b);
void atn_approx_layer_release(atn_ctx *cx, atn_approx_layer *l);
/* What the methods are to see, with these draws. */
const atn_input *atn_approx_layer_input(atn_approx_layer *l, atn_draws *draws);
/* Bytes of the layer. */
double atn_approx_layer_bytes(const atn_approx_source *s, int at);
