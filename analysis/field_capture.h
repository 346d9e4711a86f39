/* analysis/field_capture.h -- how far the last token of a capture can see through its
 * layers, and where its state comes from.
 *
 * Math    the layers' patterns are what their masks show, or what a method keeps of
 *         them (analysis/head_patterns.h), heads joined; the field is
 *         graph/field.h's. Beside it, of each depth, the rollout (graph/rollout.h) of
 *         the model's own attention from the last token: how much of it comes from
 *         tokens that the patterns reach.
 * Oracle  patterns that keep all keys reach the whole rollout.
 * Source  cards A5, B7, B8.
 * Limits  layers of self-attention of one stack and step, of equal length.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "analysis/field_tables.h"
#include "analysis/head_patterns.h"
#include "analysis/select.h"

typedef struct atn_field_capture_opts {
    const atn_from *from; /* NULL = the masks themselves */
    const char *pattern;  /* how that is called */
    int depth;            /* 0 = as many as there are layers; above, they repeat */
    bool every, walks, diameter; /* the last one: only where the layers repeat */
    bool rollout, flow;          /* beside it; flow joins tokens to 256 nodes at most */
} atn_field_capture_opts;

/* Tables "field" and "pattern"; a row of the latter a layer. */
atn_status atn_field_capture(atn_ctx *cx, const atn_capture *c,
                             const atn_selection *sel, const atn_field_capture_opts *o,
                             atn_table **field, atn_table **patterns) ATN_WARN_UNUSED;
/* The pattern of layer i of the selection: what the mask shows, which is the same for
 * all heads, or what the method `from` keeps, of the selected heads joined or one by
 * one. */
atn_status atn_capture_pattern(atn_ctx *cx, const atn_capture *c,
                               const atn_selection *sel, int i, const atn_from *from,
                               bool joined, atn_pattern **out) ATN_WARN_UNUSED;
/* The same of the selected layers [first, end), whose queries are their keys, joined;
 * out [end - first], owned. */
atn_status atn_capture_patterns(atn_ctx *cx, const atn_capture *c,
                                const atn_selection *sel, int first, int end,
                                const atn_from *from,
                                atn_pattern **out) ATN_WARN_UNUSED;
