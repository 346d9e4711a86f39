/* analysis/adapter_tables.h -- p-Laplacian message passing on captured heads, in
 * tables.
 *
 * Limits  one layer in memory at a time, and of a head what graph/adapter.h says; the
 *         form pgnn and the response hold n x n matrices of one head and refuse more
 *         nodes than dense_most.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "analysis/token_labels.h"
#include "core/table.h"
#include "graph/adapter.h"
#include "graph/pgnn.h"

typedef enum atn_adapter_form {
    ATN_FORM_BIPARTITE, /* queries against keys, both change */
    ATN_FORM_NODES,     /* the tokens are the nodes, P is directed */
    ATN_FORM_PGNN /* W = (P + P') / 2 without its diagonal, normalised by degree */
} atn_adapter_form;
#define ATN_ADAPTER_FORM "bipartite|nodes|pgnn"

enum { ATN_ADAPTER_ITERATIONS_MOST = 10000, ATN_ADAPTER_DENSE_EVER = 32000 };

typedef struct atn_adapter_opts {
    const double *p; /* [n_p] values 1 .. 3; NULL = 1, 1.5, 2, 2.5, 3 */
    int n_p;
    double mu, eps, damping;
    double snap; /* < 0: 1e-6, and 0 of the form pgnn, whose energy would not be sure to
                    fall without the pairs that snap drops */
    int iterations;
    atn_adapter_beta beta;
    atn_adapter_self self;
    atn_pgnn_alpha alpha; /* of the form pgnn */
    atn_adapter_form form;
    bool stop; /* iterate no further once the energy has increased */
    const atn_token_labels *labels; /* NULL = none */
    atn_idx skip_rows;              /* rows out of the means; the response has all */
    atn_idx dense_most; /* nodes at most where a matrix is held; 0 = 4096, and 2048 of
                           the response, whose eigenvectors take long */
    /* of atn_adapter_layer_table: */
    const char *weights; /* a safetensors file; NULL = random */
    atn_idx rank;        /* numbers after the down projection; 0 = those of the file, or
                            D / 8 brought to a multiple of the heads */
    uint64_t seed;       /* of random weights */
} atn_adapter_opts;

/* The defaults: p NULL, mu .2, eps 1e-8, snap by the form, damping 1, 10 iterations,
 * paper, keep, bipartite, no labels, seed 0. */
extern const atn_adapter_opts atn_adapter_opts_default;
/* USAGE: which option, its rule, the value. The others below begin with it. */
atn_status atn_adapter_opts_check(atn_ctx *cx,
                                  const atn_adapter_opts *o) ATN_WARN_UNUSED;

/* A head that is bad (holds NaN, or overflows) is named in the log; its cells stay
 * empty and the others go on. *failed counts such heads (NULL = not asked). A layer
 * that lacks what the table needs is named once and has no rows. */

/* Kind "adapter": keys, p, iteration (0 = plain attention), then what
 * atn_adapter_state has, and the changes against iteration 0. */
atn_status atn_adapter_table(atn_ctx *cx, const atn_capture *c,
                             const atn_selection *sel, const atn_adapter_opts *o,
                             atn_table **out, atn_idx *failed) ATN_WARN_UNUSED;

/* Kind "response": keys, p, bin: how much of a signal's energy in a band of graph
 * frequencies is there after all iterations that are done; see
 * docs/cards/graph/adapter.md. */
atn_status atn_adapter_response_table(atn_ctx *cx, const atn_capture *c,
                                      const atn_selection *sel,
                                      const atn_adapter_opts *o, atn_table **out,
                                      atn_idx *failed) ATN_WARN_UNUSED;

/* A p-adapter after every selected layer, forward only. layers, kind "adapter_layers":
 * keys of the layer, p, and what the adapter adds; heads (NULL = not wanted), kind
 * "adapter_heads": the table of atn_adapter_table for the heads of the adapter, on
 * its own features. All heads of a layer take part, whatever is selected. */
atn_status atn_adapter_layer_table(atn_ctx *cx, const atn_capture *c,
                                   const atn_selection *sel, const atn_adapter_opts *o,
                                   atn_table **layers, atn_table **heads,
                                   atn_idx *failed) ATN_WARN_UNUSED;
