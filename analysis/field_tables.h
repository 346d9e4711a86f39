/* analysis/field_tables.h -- receptive fields, patterns and their pictures as tables. */
// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "core/table.h"
#include "graph/field.h"

/* A receptive field, and what else is known of each depth. */
typedef struct atn_field_case {
    const char *pattern; /* how it is called */
    const char *stack;   /* NULL = not of a capture; the columns below */
    int64_t step;
    const atn_field *field;
    /* rollout of the last token beside it, [depth + 1] each; NULL = none */
    const double *rollout_reached_mass, *rollout_tokens_90, *rollout_distance;
    const double *flow_reached_mass; /* NULL = none */
} atn_field_case;

enum { /* columns beside the field's own */
       ATN_FIELD_PATTERN = 1,
       ATN_FIELD_STACK = 2,
       ATN_FIELD_STEP = 4,
       ATN_FIELD_ROLLOUT = 8,
       ATN_FIELD_FLOW = 16,
       ATN_FIELD_WALKS = 32,
};
/* Kind "field": a row a depth of every case. */
atn_status atn_field_table(atn_ctx *cx, const atn_field_case *cases, int n,
                           unsigned columns, atn_table **out) ATN_WARN_UNUSED;

/* A pattern that layers of a stack have. */
typedef struct atn_pattern_case {
    const char *pattern; /* how it is called */
    const char *layers;  /* which layers have it, "0-4" */
    const atn_pattern *p;
    const atn_field *field; /* of the whole stack, NULL = none */
} atn_pattern_case;
/* Kind "pattern": counts and densities, a row a case and head. */
atn_status atn_pattern_table(atn_ctx *cx, const atn_pattern_case *cases, int n,
                             atn_table **out) ATN_WARN_UNUSED;

/* Kind "pattern" with a matrix: the share of the pairs of a cell that head `head` of
 * the pattern has; cells a side at most. One row, as above. */
atn_status atn_pattern_image_table(atn_ctx *cx, const atn_pattern_case *c, atn_idx head,
                                   atn_idx cells, atn_table **out) ATN_WARN_UNUSED;
/* Kind "reach" with a matrix: the first depth at which a pair is reached, depth + 1 =
 * not within depth. */
atn_status atn_reach_table(atn_ctx *cx, const char *name,
                           const atn_pattern *const *layers, int n, int depth,
                           atn_idx cells, atn_table **out) ATN_WARN_UNUSED;
