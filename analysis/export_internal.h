/* analysis/export_internal.h -- an export of arrays, between choosing and writing
 * them. */
// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <jansson.h>

#include "analysis/export.h"

enum {
    ATN_EXPORT_Q,
    ATN_EXPORT_K,
    ATN_EXPORT_V,
    ATN_EXPORT_P,
    ATN_EXPORT_SINK, /* this and those after it go with q and k */
    ATN_EXPORT_ALIBI,
    ATN_EXPORT_REL,
    ATN_EXPORT_TENSORS,
    ATN_EXPORT_STACKS = 3
};
extern const char *const atn_export_names[ATN_EXPORT_TENSORS];

/* The selected layers of one stack, in all steps. */
typedef struct atn_export_group {
    const char *stack;
    atn_idx steps, layers, heads, kv_heads;
    atn_idx buckets; /* of rel_bias, 0 = none */
    bool has[ATN_EXPORT_TENSORS];
} atn_export_group;

typedef struct atn_exporting {
    const atn_capture *c;
    const atn_selection *sel;
    const atn_export_opts *o;
    bool wanted[ATN_EXPORT_TENSORS];
    bool each; /* heads were chosen: k and v are those of each */
    atn_export_group groups[ATN_EXPORT_STACKS];
    int n;
    char *part; /* owned: where it is made */
} atn_exporting;

const atn_layer_info *atn_export_layer(const atn_exporting *w, int i);
const bool *atn_export_heads(const atn_exporting *w, int i);
/* The group of layer i. */
const atn_export_group *atn_export_group_of(const atn_exporting *w, int i);
/* "encoder.q.npy", in heap memory. */
char *atn_export_file(atn_ctx *cx, const atn_export_group *g,
                      int tensor) ATN_WARN_UNUSED;

/* ---- export_index.c ---- */

/* index.json in w->part: what the manifest says of the layers and tokens, so that an
 * import makes the same capture of the arrays. */
atn_status atn_export_index(atn_ctx *cx, const atn_exporting *w) ATN_WARN_UNUSED;
