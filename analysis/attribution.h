/* analysis/attribution.h -- where a token's state after each layer comes from, over the
 * layers of a capture: rollout and flow of graph/ joined to captured heads.
 *
 * Source  cards B7 and B8; Abnar and Zuidema, arXiv 2005.00928.
 * Limits  layers of self-attention with equal n; the selected heads of a layer stand
 *         for it.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "analysis/measure.h"
#include "core/table.h"
#include "graph/rollout.h"

typedef enum atn_residual_kind {
    ATN_RESIDUAL_GIVEN,    /* rho */
    ATN_RESIDUAL_MEASURED, /* analysis/residual.h, a layer */
    ATN_RESIDUAL_NONE      /* rho = 0 */
} atn_residual_kind;
#define ATN_RESIDUALS "given|measured|none"

typedef struct atn_attribution_opts {
    double rho;
    int64_t token; /* row whose state is explained; -1 = the last that is no padding */
    int heads;     /* atn_rollout_heads */
    int residual;  /* atn_residual_kind */
} atn_attribution_opts;

/* Rows of a parameter table for a struct that begins with an atn_attribution_opts
 * `o`. */
#define ATN_ATTRIBUTION_PARAMS(s)                                                      \
    {"rho",                                                                            \
     ATN_PARAM_F64_T,                                                                  \
     offsetof(s, o.rho),                                                               \
     .5,                                                                               \
     0,                                                                                \
     1,                                                                                \
     NULL,                                                                             \
     "",                                                                               \
     "weight of the token itself in every layer"},                                     \
        {"token",                                                                      \
         ATN_PARAM_I64_T,                                                              \
         offsetof(s, o.token),                                                         \
         -1,                                                                           \
         -1,                                                                           \
         0x1p53,                                                                       \
         NULL,                                                                         \
         "",                                                                           \
         "position that is explained, -1 = the last"},                                 \
        {"heads",                                                                      \
         ATN_PARAM_CHOICE_T,                                                           \
         offsetof(s, o.heads),                                                         \
         0,                                                                            \
         0,                                                                            \
         0,                                                                            \
         ATN_ROLLOUT_HEADS,                                                            \
         "",                                                                           \
         "how the heads of a layer become one matrix"},                                \
    {                                                                                  \
        "residual", ATN_PARAM_CHOICE_T, offsetof(s, o.residual), 0, 0, 0,              \
            ATN_RESIDUALS, "", "rho, the share measured from h and w_o, or 0"          \
    }

/* Of the layers [first, end) of the selection, which are of one part. Owned. */
typedef struct atn_attribution {
    int layers;
    atn_idx n, block; /* nodes, and tokens a node */
    atn_idx tokens;
    atn_idx token, first; /* nodes of the token explained, and of the first key */
    double *w;            /* [layers, n] of its state after each layer, sums 1 */
    double *total;        /* [layers] before scaling: 1 for rollout */
    double *rho;          /* [layers] weight of the residual */
} atn_attribution;

/* out->layers stays 0, with a warning, where the layers do not allow it. */
atn_status atn_attribution_rollout(atn_ctx *cx, const atn_model_facts *m, int first,
                                   int end, const atn_attribution_opts *o,
                                   atn_attribution *out) ATN_WARN_UNUSED;
/* Tokens are averaged to blocks where there are more than `nodes`. */
atn_status atn_attribution_flow(atn_ctx *cx, const atn_model_facts *m, int first,
                                int end, const atn_attribution_opts *o, atn_idx nodes,
                                atn_attribution *out) ATN_WARN_UNUSED;
void atn_attribution_release(atn_ctx *cx, atn_attribution *a);

/* What is said of one layer: self, first, entropy, its exponential, mean distance,
 * largest share and where it is; returns what follows them in out. */
double *atn_attribution_say(const atn_attribution *a, int layer, double *out);

/* Either for a whole selection: put is called once a layer, with the values of its
 * first selected head; the others get the same. */
typedef void atn_attribution_put(const atn_attribution *a, int layer, double *out);
atn_status atn_attribution_model(atn_ctx *cx, const atn_model_facts *m,
                                 const atn_attribution_opts *o, atn_idx nodes, int cols,
                                 atn_attribution_put *put, double *out) ATN_WARN_UNUSED;

typedef struct atn_attribution_rows {
    bool last;    /* of the state after the last layer of a part alone */
    atn_idx flow; /* flow, too, of so many nodes at most; 0 = none */
} atn_attribution_rows;

/* Kind "rollout": [stack, step,] layer, pattern, position, token, text (where known),
 * rollout_mass and flow_mass: a row for every token, of the state after every layer. A
 * token has an equal part of the flow of its block. */
atn_status atn_rollout_table(atn_ctx *cx, const atn_model_facts *m,
                             const atn_attribution_opts *o,
                             const atn_attribution_rows *rows,
                             atn_table **out) ATN_WARN_UNUSED;
