/* analysis/adapter_internal.h -- what the sources of the adapter's tables share. */
// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "analysis/adapter_tables.h"
#include "analysis/keys.h"

/* A head of the selection. */
typedef struct adapter_head {
    const atn_layer_info *info;
    atn_head head;
    bool own;              /* its queries are the tokens of its keys */
    const int32_t *labels; /* [nk], NULL = none */
} adapter_head;

typedef struct adapter_job {
    const atn_capture *c;
    const atn_selection *sel;
    const atn_adapter_opts *o;
    const double *p;
    int n_p;
    atn_idx failed;
} adapter_job;

/* One kind of table: what it works out of a head, and how that becomes rows. */
typedef struct adapter_kind {
    /* what all p share, into the arena; may be NULL */
    atn_status (*prepare)(atn_ctx *cx, const adapter_job *j, const adapter_head *h,
                          void *state);
    atn_status (*compute)(atn_ctx *cx, const adapter_job *j, const adapter_head *h,
                          double p, void *state);
    /* rows of the head and p; known: compute has succeeded, else cells stay empty */
    atn_status (*emit)(atn_ctx *cx, const adapter_job *j, const adapter_head *h,
                       double p, bool known, void *state);
    void *state;
    bool square; /* queries and keys must be the same tokens, all of them */
} adapter_kind;

/* Checks the options and fills the job. */
atn_status atn_adapter_job_init(atn_ctx *cx, const atn_capture *c,
                                const atn_selection *sel, const atn_adapter_opts *o,
                                adapter_job *j) ATN_WARN_UNUSED;
/* All selected heads, layer by layer. A head that meets bad data is named in the log
 * and counted; a layer without what is needed is named and left out. */
atn_status atn_adapter_each_head(atn_ctx *cx, adapter_job *j,
                                 const adapter_kind *k) ATN_WARN_UNUSED;
bool atn_adapter_layer_own(const atn_layer_info *l);
atn_adapter_params atn_adapter_opts_params(const atn_adapter_opts *o, double p);
/* The same of the form pgnn. */
atn_pgnn_params atn_adapter_opts_pgnn(const atn_adapter_opts *o, double p);
/* The labels of a layer's keys, arena memory, NULL = none. */
atn_status atn_adapter_labels(atn_ctx *cx, const adapter_job *j,
                              const atn_layer_info *l,
                              const int32_t **labels) ATN_WARN_UNUSED;

/* The rows of the iterations of a head. */
typedef struct adapter_rows {
    atn_table *table;
    atn_keys keys;
    int first; /* column p */
    bool labels;
    atn_adapter_state *state; /* [iterations + 1] */
    int done;
} adapter_rows;

atn_status atn_adapter_rows_create(atn_ctx *cx, const adapter_job *j, const char *kind,
                                   adapter_rows *r) ATN_WARN_UNUSED;
atn_status atn_adapter_rows_emit(atn_ctx *cx, const adapter_job *j,
                                 const adapter_head *h, double p, bool known,
                                 void *rows) ATN_WARN_UNUSED;

/* W = (P + P') / 2 of a square head into w [n, n], with its diagonal or without. */
atn_status atn_adapter_graph(atn_ctx *cx, const atn_head *h, bool diagonal,
                             double *w) ATN_WARN_UNUSED;
/* The states of the form pgnn; and f (n, dv) after the last, NULL = not wanted. */
atn_status atn_adapter_pgnn(atn_ctx *cx, const adapter_job *j, const adapter_head *h,
                            double p, atn_adapter_state *state,
                            int *done) ATN_WARN_UNUSED;
/* USAGE when the head has more nodes than a dense matrix takes. */
atn_status atn_adapter_dense_check(atn_ctx *cx, const adapter_job *j, const atn_head *h,
                                   atn_idx most, const char *what) ATN_WARN_UNUSED;
