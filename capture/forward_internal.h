/* capture/forward_internal.h -- what the parts of the forward pass share: its buffers,
 * and the way from files to embedding, layers and head.
 *
 * forward.c runs the parts and counts their memory; forward_weights.c checks and loads,
 * forward_embed.c makes the first rows, forward_layer.c is one layer, forward_experts.c
 * a mixture of experts in it, forward_head.c logits and loss, forward_host.c what the
 * host does to rows.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "capture/forward.h"
#include "capture/worker.h"

enum {
    ATN_VOCAB_CHUNK = 4096,
    ATN_ROW_CHUNK = 4096,
    ATN_EXPERT_ROWS = 1024, /* that an expert has in hand */
    ATN_HOST_PIECE = 1 << 18,
};

/* Host memory of one place on its way to the visitor, as in atn_layer_dump. */
typedef struct atn_host_layer {
    float *q, *k, *v, *q_pre, *k_pre, *h, *attn_out, *p, *sink, *gate;
    atn_layer_dump dump;
    const atn_forward_args *args;
} atn_host_layer;

/* Buffers of a pass; weights hold one layer and are filled again for the next. */
typedef struct atn_pass {
    const atn_model *m;
    const atn_config *c;
    const atn_forward_args *args;
    atn_place *places; /* owned */
    atn_idx n_places;
    const atn_stack *stack;                                     /* that runs */
    const int32_t *ids;                                         /* [n] that it reads */
    atn_idx n;                                                  /* its rows */
    atn_buf x, t, q, k, v, o, up, gate, p;                      /* activations */
    atn_buf w_q, w_k, w_v, w_o, w_gate, w_up, w_down;           /* weights */
    atn_buf b_q, b_k, b_v, b_o, b_gate, b_up, b_down;           /* biases */
    atn_buf norm1_w, norm1_b, norm2_w, norm2_b, q_norm, k_norm; /* norms */
    atn_buf norm1_out, norm2_out;                               /* behind sublayers */
    atn_buf cosine[2], sine[2]; /* [n, dim / 2]; the second of the layers with a window
                                   where they have their own */
    int table;                  /* of the layer in hand */
    float *sink;                /* [heads] of it, where it has any */
    atn_buf w_router, b_router, route, rows; /* mixture of experts */
    float *rel_table[ATN_STACKS_MOST];       /* [buckets, heads] of each; NULL = none */
    float *rel;     /* [heads, 2 n - 1] of the stack that runs, see atn_problem */
    atn_buf memory; /* [tokens, width] of the first stack; base NULL = it is the last */
    atn_buf t2;     /* a second t, where MLP and attention read the same x */
    float *slopes;  /* [heads] of alibi; in the arena */
    atn_idx loaded; /* the place whose weights are there, -1 = none */
    /* [6, width] shift, scale, gate of the attention, then of the MLP, on host and
     * device; NULL = the family has none */
    float *modulation;
    atn_buf mod;
    atn_host_layer dumps[2]; /* one is filled while the visitor has the other */
    int next_dump;
    atn_worker *visitor; /* NULL = none wanted */
    atn_worker *checker; /* looks at the weights of the next layer, the head's last */
    atn_idx last, checking; /* the last place; the one it looks at */
} atn_pass;

/* ---- forward_weights.c ---- */

/* Loads the weights of place `at`, and of the MLP behind it, checked for NaN and
 * infinity, and lets the checker go on. */
atn_status atn_pass_load_place(atn_ctx *cx, atn_pass *ps, atn_idx at) ATN_WARN_UNUSED;
/* Lets the checker go on to place `at`, if there is something to check. */
atn_status atn_pass_check_ahead(atn_ctx *cx, atn_pass *ps, atn_idx at) ATN_WARN_UNUSED;
/* A matrix beside the layers, checked; *w and *b (NULL: no bias) are allocated. */
atn_status atn_pass_load_map(atn_ctx *cx, const atn_pass *ps, const char *name,
                             atn_buf *w, atn_buf *b) ATN_WARN_UNUSED;
/* The bias by relative position of the stack that begins with place `at`. */
atn_status atn_pass_load_rel(atn_ctx *cx, atn_pass *ps, atn_idx at) ATN_WARN_UNUSED;
/* A norm beside the layers into norm1. */
atn_status atn_pass_load_norm(atn_ctx *cx, atn_pass *ps,
                              const char *name) ATN_WARN_UNUSED;
/* DATA where a weight beside the layers holds NaN or infinity. */
atn_status atn_pass_check_weight(atn_ctx *cx, const atn_pass *ps,
                                 const char *name) ATN_WARN_UNUSED;
/* The matrix of the logits, and whether they are wanted. */
const atn_st_tensor *atn_model_head(const atn_model *m);
bool atn_forward_wants_head(const atn_model *m, const atn_forward_args *a);
bool atn_forward_wants_label(const atn_model *m, const atn_forward_args *a);

/* ---- forward_patches.c, forward_modulation.c ---- */

/* x = the rows of the image, or of the latents of a step. */
atn_status atn_pass_embed_patches(atn_ctx *cx, atn_pass *ps,
                                  atn_idx step) ATN_WARN_UNUSED;
/* The likeliest class. */
atn_status atn_pass_labels(atn_ctx *cx, atn_pass *ps,
                           atn_forward_result *out) ATN_WARN_UNUSED;
/* ps->modulation of a layer at a step. */
atn_status atn_pass_modulate(atn_ctx *cx, atn_pass *ps,
                             const atn_place *at) ATN_WARN_UNUSED;

/* Looks for NaN and infinity in a tensor, `name` its template or NULL. */
atn_status atn_pass_check(atn_ctx *cx, const atn_pass *ps, const atn_st_tensor *t,
                          const char *name) ATN_WARN_UNUSED;

/* ---- forward_host.c ---- */

/* x <- f(x, by) for count values that go to the host and back: operations that are not
 * worth a kernel. */
typedef void atn_host_map(float *x, atn_idx n, double by);
atn_status atn_pass_map(atn_ctx *cx, atn_buf x, atn_idx count, atn_host_map *f,
                        double by) ATN_WARN_UNUSED;
void atn_host_scale(float *x, atn_idx n, double by);
void atn_host_softcap(float *x, atn_idx n, double cap); /* cap tanh(x / cap) */

/* ---- forward_experts.c ---- */

/* t <- the weighted mean of what the chosen experts make of `in`. */
atn_status atn_pass_experts(atn_ctx *cx, atn_pass *ps, atn_idx layer,
                            atn_buf in) ATN_WARN_UNUSED;
atn_status atn_pass_take_experts(atn_ctx *cx, atn_pass *ps) ATN_WARN_UNUSED;
/* Of n tokens: numbers that the backend holds beside the layer, and bytes of the
 * host. */
double atn_experts_values(const atn_config *c, double n);
double atn_experts_bytes(const atn_config *c, double n);

/* ---- forward_embed.c, forward_layer.c, forward_head.c ---- */

/* x = the rows that enter the first layer of the stack. */
atn_status atn_pass_embed(atn_ctx *cx, atn_pass *ps) ATN_WARN_UNUSED;
/* x <- the attention of place `at` and the MLP behind it, if there is one. */
atn_status atn_pass_place(atn_ctx *cx, atn_pass *ps, atn_idx at) ATN_WARN_UNUSED;
/* y = norm(x) of the family; y may be x. */
atn_status atn_pass_norm(atn_ctx *cx, const atn_pass *ps, atn_buf x, atn_buf w,
                         atn_buf b, atn_buf y) ATN_WARN_UNUSED;
/* y = the last norm of the stack of x. */
atn_status atn_pass_final_norm(atn_ctx *cx, atn_pass *ps, atn_buf y) ATN_WARN_UNUSED;
atn_status atn_pass_head(atn_ctx *cx, atn_pass *ps,
                         atn_forward_result *out) ATN_WARN_UNUSED;
