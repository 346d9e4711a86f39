/* cli/graph_adapter.h -- the part of `attnscope graph` that passes messages with a
 * p-Laplacian: its options, its tables. */
// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "analysis/adapter_tables.h"
#include "cli/output.h"
#include "graph/pairs.h"

/* Rows of the command's table of options. */
/* clang-format off */
#define ATN_ADAPTER_OPTIONS                                                            \
    {"p", 0, ATN_OPT_TEXT, "LIST",                                                     \
     "instead: p-Laplacian message passing, for these p from 1 to 3", 0, 0},           \
    {"mu", 0, ATN_OPT_F64, "X", "p: weight of the anchors (0.2)", 0, 1e6},             \
    {"iterations", 0, ATN_OPT_I64, "K", "p: steps (10)", 1,                            \
     ATN_ADAPTER_ITERATIONS_MOST},                                                     \
    {"form", 0, ATN_OPT_CHOICE, ATN_ADAPTER_FORM,                                      \
     "p: queries against keys, the tokens as nodes, or pGNN (bipartite)", 0, 0},       \
    {"beta", 0, ATN_OPT_CHOICE, ATN_ADAPTER_BETA,                                      \
     "p: anchors as the paper has them or its code (paper)", 0, 0},                    \
    {"alpha", 0, ATN_OPT_CHOICE, ATN_PGNN_ALPHA,                                       \
     "form pgnn: scale of messages as the paper has it or its code (paper)", 0, 0},    \
    {"snap", 0, ATN_OPT_F64, "X",                                                      \
     "p: pairs so near, relatively, count as equal (1e-6, form pgnn 0)", 0,            \
     ATN_SNAP_MOST},                                                                   \
    {"eps", 0, ATN_OPT_F64, "X", "p: what keeps distances off 0 (1e-8)", 0, 1},        \
    {"damping", 0, ATN_OPT_F64, "X", "p: share of a step that is taken (1)", 0, 1},    \
    {"stop", 0, ATN_OPT_FLAG, NULL, "p: end where the energy has increased", 0, 0},    \
    {"response", 0, ATN_OPT_FLAG, NULL,                                                \
     "p: what is left of test signals, by graph frequency", 0, 0},                     \
    {"adapter", 0, ATN_OPT_TEXT, "FILE|random[:SEED]",                                 \
     "p: a p-adapter with these weights behind every layer", 0, 0},                    \
    {"rank", 0, ATN_OPT_COUNT, "N",                                                    \
     "adapter: numbers between its projections (of the file, or D / 8)", 1, 1e9}
/* clang-format on */

/* The tables of the request, two at most; *n of them. labels may be NULL. The run
 * record gets the seed of random weights. */
atn_status atn_cli_adapter_tables(atn_cli *cli, atn_subject *s,
                                  const atn_token_labels *labels, atn_table *t[2],
                                  int *n, atn_idx *failed) ATN_WARN_UNUSED;
enum { ATN_P_MOST = 64 };
/* --p LIST: the numbers into p [ATN_P_MOST], *n of them, 0 where it is not given. */
atn_status atn_cli_read_p(atn_cli *cli, double *p, int *n) ATN_WARN_UNUSED;
/* What can be said without the capture. */
atn_status atn_cli_adapter_check(atn_cli *cli) ATN_WARN_UNUSED;
