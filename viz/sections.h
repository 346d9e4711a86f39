/* viz/sections.h -- what the rows of a table are about: the layers of its stacks and
 * steps, and the heads in them.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "core/table.h"

enum { ATN_SECTIONS_MAX = 4096, ATN_SECTION_HEADS = 4096 };

/* A section is one layer of one stack and step, a group all layers of one stack and
 * step. Groups are in order of appearance, the sections of a group by layer. In the
 * arena. */
typedef struct atn_sections {
    int n, groups;
    int *of;                 /* [rows of the table] its section */
    int64_t *layer;          /* [n] */
    int *group;              /* [n] */
    const char **name;       /* [n] "3", "decoder 3", with steps "7.3", "decoder 7.3" */
    const char *axis;        /* what the names are: "layer", "step.layer" */
    const char **group_name; /* [groups] "decoder", "step 7", "decoder, step 7" or "" */
    atn_idx heads;           /* largest head + 1 */
} atn_sections;

/* Why t has no layers and heads; NULL = it has. */
const char *atn_sections_check(const atn_table *t);
/* USAGE above ATN_SECTIONS_MAX sections. t passed the check, or has whole numbers in a
 * column layer and no heads. */
atn_status atn_sections_find(atn_ctx *cx, const atn_table *t,
                             atn_sections *out) ATN_WARN_UNUSED;
/* The groups alone, of any table: a section is a group here, and has no name. */
atn_status atn_groups_find(atn_ctx *cx, const atn_table *t,
                           atn_sections *out) ATN_WARN_UNUSED;
int64_t atn_section_head(const atn_table *t, atn_idx row);
