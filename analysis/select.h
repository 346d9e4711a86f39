/* analysis/select.h -- which layers and heads of a capture a command works on. */
// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "core/io/capture.h"

typedef struct atn_select_args { /* as typed; NULL = all */
    const char *stack, *steps, *layers, *heads;
} atn_select_args;

typedef struct atn_selection {
    int n;   /* selected layers */
    int *at; /* [n] indices into atn_capture_layers */
    atn_idx max_heads;
    bool *heads;     /* [n * max_heads]; heads[i * max_heads + h] */
    atn_idx n_heads; /* selected (layer, head) pairs */
    bool many_stacks,
        many_steps; /* the capture has more than one: tables show the column */
} atn_selection;

/* USAGE when an argument is malformed or selects nothing. */
atn_status atn_select(atn_ctx *cx, const atn_capture *c, const atn_select_args *args,
                      atn_selection *out) ATN_WARN_UNUSED;
void atn_selection_release(atn_ctx *cx, atn_selection *s);
/* Selected heads of layer i of the selection. */
atn_idx atn_selection_heads(const atn_selection *s, int i);
/* Options, of those asked for, that make the selected heads fewer: " --stack NAME
 * --steps T", each where the heads differ in it. */
enum {
    ATN_NARROW_STACK = 1,
    ATN_NARROW_STEP = 2,
    ATN_NARROW_LAYER = 4,
    ATN_NARROW_HEAD = 8,
    ATN_NARROW_ALL = 15
};
typedef struct atn_narrower {
    char text[64];
} atn_narrower;
atn_narrower atn_selection_narrower(const atn_capture *c, const atn_selection *s,
                                    unsigned of);
/* The selected layers from `first` on that are of one stack and step end before
 * this. */
int atn_selection_part(const atn_capture *c, const atn_selection *s, int first);
