/* analysis/keys.h -- the columns by which rows of a table are found: stack and step
 * where a capture has several, layer, head, and the pattern of attention that the layer
 * is.
 *
 * Source  the four patterns are those of CAB (Zhang et al. 2023), card A16.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "analysis/select.h"
#include "core/table.h"

/* "causal_self", "noncausal_self", "causal_cross" or "noncausal_cross". A layer is
 * cross where its stack says so, or where all keys are seen by another number of
 * queries. */
const char *atn_layer_pattern(const atn_layer_info *l);

enum { ATN_PART_WORDS = 96 };
/* "cross layers, step 2": the stack and the step that all selected layers are of, of a
 * capture that has several; "" = nothing to say. Returns out. */
const char *atn_part_words(const atn_capture *c, const atn_selection *sel,
                           char out[ATN_PART_WORDS]);
/* The same of one stack (NULL = not said) and step (-1). */
const char *atn_part_words_of(const char *stack, int step, char out[ATN_PART_WORDS]);
/* st: of a failure on layer l whose message calls it "layer 3", says "cross layer
 * 3". */
atn_status atn_layer_named(atn_ctx *cx, const atn_layer_info *l,
                           atn_status st) ATN_WARN_UNUSED;
/* Meta subtitle: the model, and atn_part_words. */
atn_status atn_part_subtitle(atn_ctx *cx, const atn_capture *c,
                             const atn_selection *sel, atn_table *t) ATN_WARN_UNUSED;

typedef struct atn_keys {
    int stack, step, layer, head, pattern; /* column, -1 = absent */
} atn_keys;

typedef enum atn_keys_of { ATN_KEYS_HEAD, ATN_KEYS_LAYER, ATN_KEYS_MODEL } atn_keys_of;

/* Adds the columns that rows of heads, layers or the model need. */
atn_status atn_keys_add(atn_ctx *cx, const atn_selection *sel, atn_keys_of of,
                        atn_table *t, atn_keys *k) ATN_WARN_UNUSED;
/* Sets those of the last row. */
atn_status atn_keys_set(atn_ctx *cx, atn_table *t, const atn_keys *k,
                        const atn_layer_info *l, atn_idx head) ATN_WARN_UNUSED;
