/* analysis/graph_tables.h -- the attention graph of every selected head, in tables:
 * homophily, frequencies, spectra.
 *
 * Limits  one layer in memory at a time. A head that is bad (holds NaN, or overflows)
 *         is named in the log, its cells stay empty and the others go on; *failed
 *         counts such heads. What a layer has not (values, labels, as many queries as
 *         keys) is said once, and its cells stay empty.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "analysis/token_labels.h"
#include "core/table.h"
#include "graph/frequency.h"

enum { /* columns of the table of heads */
       ATN_GRAPH_EDGE = 1,
       ATN_GRAPH_NODE = 2,
       ATN_GRAPH_ADJUSTED = 4,
       ATN_GRAPH_INSENSITIVE = 8,
       ATN_GRAPH_FEATURE = 16,
       ATN_GRAPH_FREQUENCY = 32,
       ATN_GRAPH_WORST = 64,
       ATN_GRAPH_LABELLED = 15 /* those that need labels */
};
#define ATN_GRAPH_HOMOPHILY "edge,node,adjusted,insensitive,feature" /* by their bits */

typedef enum atn_graph_self { /* which self edges the columns have */
                              ATN_GRAPH_BOTH,
                              ATN_GRAPH_KEEP,
                              ATN_GRAPH_DROP
} atn_graph_self;

typedef enum atn_graph_features {
    ATN_GRAPH_VALUES,
    ATN_GRAPH_HIDDEN
} atn_graph_features;
#define ATN_GRAPH_FEATURES "values|hidden"

enum { ATN_GRAPH_CLASSES_MOST = 256 };

typedef struct atn_graph_table_opts {
    unsigned what;                  /* ATN_GRAPH_* */
    const atn_token_labels *labels; /* where columns need them */
    atn_graph_self self;
    atn_graph_features features;
    bool centred;      /* cosines of features less their mean */
    double power;      /* of one more Dirichlet energy; 0 = none */
    atn_idx skip_rows; /* of homophily; frequencies take all rows */
    int worst_steps;   /* walks of the worst gain at most */
    atn_graph_opts spectrum;
} atn_graph_table_opts;

void atn_graph_defaults(atn_graph_table_opts *o);

/* The ATN_GRAPH_* that a column of the table of heads belongs to, 0 = there is none of
 * this name of n characters. */
unsigned atn_graph_column(const char *name, size_t n);
const char *atn_graph_column_name(int i); /* the i-th one; NULL = no more */
/* Kind "graph": [stack, step,] layer, head, pattern, then the columns. */
atn_status atn_graph_table(atn_ctx *cx, const atn_capture *c, const atn_selection *sel,
                           const atn_graph_table_opts *o, atn_table **out,
                           atn_idx *failed) ATN_WARN_UNUSED;
/* Kind "classes": keys, class and key_class with their names, homophily_class_share H:
 * the share of the mass of rows of one class that goes to keys of another. USAGE for
 * more than 256 classes. ATN_GRAPH_BOTH stands for DROP here. */
atn_status atn_graph_classes_table(atn_ctx *cx, const atn_capture *c,
                                   const atn_selection *sel,
                                   const atn_graph_table_opts *o, atn_table **out,
                                   atn_idx *failed) ATN_WARN_UNUSED;
/* Kind "spectrum": keys, bin, lambda, energy_share, response, a row a bin; and
 * "spectrum_ends": a row a head, the ends of its spectrum and its components. */
atn_status atn_graph_spectrum_tables(atn_ctx *cx, const atn_capture *c,
                                     const atn_selection *sel,
                                     const atn_graph_table_opts *o, atn_table **bins,
                                     atn_table **heads,
                                     atn_idx *failed) ATN_WARN_UNUSED;
