/* capture/forward.h -- the forward pass of every family, over the backend's operations.
 *
 * Math    x = embedding; per layer q, k, v = projections of norm(x), norms and rotary
 *         embedding on q and k, o = softmax attention, x += W_O o, x += MLP(norm(x)),
 *         with the norms where the family puts them; logits = norm(x) E^T.
 * Oracle  Hugging Face transformers, eager, float32: within 1e-5 of the largest value.
 * Cost    weights are widened to float32 one layer at a time; see atn_forward_memory.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "capture/place.h"

/* What one attention did, in host memory that lives until the visitor returns. */
typedef struct atn_layer_dump {
    const atn_place *place;
    atn_idx at;     /* its index among the places of the run */
    const float *q; /* [heads, nq, d] as it enters the dot product */
    const float *k; /* [kv_heads, nk, d] */
    const float *v; /* [kv_heads, nk, dv] */
    const float
        *q_pre; /* [heads, nq, d] before the rotary embedding; NULL unless wanted */
    const float *k_pre;
    const float *p;        /* [heads, nq, nk]; NULL unless wanted */
    const float *h;        /* [nq, width] input of the layer; NULL unless wanted */
    const float *attn_out; /* [nq, width] behind W_O and its bias; NULL unless wanted */
    const float *sink, *alibi; /* [heads] where the place has them, else NULL */
    /* [width] factors of what the attention adds to the rows; NULL = none. They are in
     * attn_out. */
    const float *gate;
    const float *rel_bias; /* [buckets, heads], likewise */
} atn_layer_dump;

/* Called on a thread of its own, layer after layer, while the next one is computed; cx
 * is that thread's, without a device. */
typedef atn_status atn_layer_visit(atn_ctx *cx, const atn_layer_dump *dump,
                                   void *state);

typedef struct atn_forward_args {
    atn_input input;
    atn_layer_visit *visit;
    void *state;
    double visit_bytes;      /* memory that the visitor takes for one place */
    const bool *visit_place; /* [places], NULL = all */
    bool want_pre, want_p, want_h, want_attn_out;
    atn_idx
        last_place; /* computed up to here when neither loss nor logits are wanted */
    bool want_loss, want_label;
    float *logits; /* NULL, or host [n, vocab]; [labels] of an image */
} atn_forward_args;

typedef struct atn_forward_result {
    bool has_loss;
    double loss; /* mean next-token loss, nats */
    atn_idx loss_tokens;
    bool has_label; /* the likeliest class of an image */
    atn_idx label;
    double label_probability;
} atn_forward_result;

atn_status atn_forward(atn_ctx *cx, const atn_model *m, const atn_forward_args *args,
                       atn_forward_result *out) ATN_WARN_UNUSED;
/* Bytes of memory that the pass takes beside the mapped weights, on host and device. */
double atn_forward_memory(const atn_ctx *cx, const atn_model *m,
                          const atn_forward_args *args);
/* MEMORY when there is no room for the pass; atn_forward asks it as well. */
atn_status atn_forward_check(atn_ctx *cx, const atn_model *m,
                             const atn_forward_args *args) ATN_WARN_UNUSED;
/* W_O of a place as [heads * d, width], so that C_h = O_h W_O[h d .. (h + 1) d). Owned
 * by the caller. The pass has looked for NaN in it. */
atn_status atn_model_w_o(atn_ctx *cx, const atn_model *m, const atn_place *at,
                         float **out) ATN_WARN_UNUSED;
