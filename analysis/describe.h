/* analysis/describe.h -- what a capture holds, as tables: facts about the whole, and
 * one row a layer. */
// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "analysis/select.h"
#include "core/table.h"

/* Table of kind "facts": columns fact, value, both text. Model, sizes, tokens, loss,
 * whether the capture is complete; what the manifest does not say is left out. */
atn_status atn_describe_capture(atn_ctx *cx, const atn_capture *c,
                                atn_table **out) ATN_WARN_UNUSED;

/* Table of kind "inspect", one row a selected layer: [stack, step,] layer, heads,
 * kv_heads, d, d_v, queries, keys, scale, mask, window, softcap, tensors. */
atn_status atn_describe_layers(atn_ctx *cx, const atn_capture *c,
                               const atn_selection *sel,
                               atn_table **out) ATN_WARN_UNUSED;

/* Appends a row to a table of kind "facts" made by atn_facts_create. */
atn_status atn_facts_create(atn_ctx *cx, atn_table **out) ATN_WARN_UNUSED;
atn_status atn_facts_add(atn_ctx *cx, atn_table *t, const char *fact, const char *fmt,
                         ...) ATN_WARN_UNUSED __attribute__((format(printf, 4, 5)));
