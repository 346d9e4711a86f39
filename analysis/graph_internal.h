/* analysis/graph_internal.h -- what the tables of the attention graph share: the walk
 * over the selected layers and their heads. */
// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "analysis/graph_tables.h"
#include "analysis/keys.h"

/* One loaded layer. */
typedef struct atn_graph_layer {
    const atn_layer_info *info;
    const atn_problem *problem;
    bool self;           /* queries and keys are the same tokens */
    const float *hidden; /* [nk, width] features of the keys, NULL = not wanted */
    atn_idx width;
    bool features;           /* there are any */
    atn_labels labels;       /* key NULL = none */
    const atn_idx *class_of; /* [classes] class of the whole text */
} atn_graph_layer;

/* What is done with a head. `bad` heads have no values: their row only gets its keys.
 * */
typedef atn_status atn_graph_visit(atn_ctx *cx, const atn_graph_layer *l,
                                   const atn_head *h, bool bad, void *state);

/* Visits the selected heads in order. A visit that ends with DATA is repeated as bad.
 * *failed counts bad heads. */
atn_status atn_graph_each(atn_ctx *cx, const atn_capture *c, const atn_selection *sel,
                          const atn_graph_table_opts *o, unsigned what,
                          atn_graph_visit *visit, void *state,
                          atn_idx *failed) ATN_WARN_UNUSED;
/* The features of a head's keys; data NULL = there are none. */
atn_cmat atn_graph_features_of(const atn_graph_layer *l, const atn_head *h);
/* Sets a cell of the last row where there is a value. */
void atn_graph_put(atn_table *t, int col, double value);
