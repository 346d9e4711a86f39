/* analysis/token_labels.h -- a label for every token of a capture: of what it is, where
 * it stands, or from a file.
 *
 *   class        what the text of the token is: special (<...>, or [...] in capitals),
 *                space, digit, punctuation, continuation (of a word: no space before it
 *                and a word or a number before it, or WordPiece's ##), word_start
 *   token        its id, for ids that occur at least twice; others have no label
 *   position[:N] its place among N equal buckets (8)
 *   segment      the line of the text that it stands in: a token with a line feed ends
 *                one, a special token is none
 *   FILE         CSV with a column label, a row a token; with a column position, in any
 *                order; other columns do not matter. Whole numbers or texts; "none" and
 *                whole numbers below 0 are no label
 *
 * Limits  the last label of a token is its only one. Bytes above 127 count as letters
 *         but for U+00A0-00BF and U+2000-206F, which are punctuation.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "analysis/select.h"

#define ATN_TOKEN_LABELS "class|token|position[:N]|segment|FILE"

typedef struct atn_token_labels {
    atn_idx n;      /* tokens */
    int32_t *label; /* [n], -1 = none */
    atn_idx classes;
    char **name; /* [classes] */
    char *what;  /* as asked for */
} atn_token_labels;

/* DATA: file, rule, row, value, what to do; or what the capture lacks. USAGE for bad
 * words. */
atn_status atn_token_labels_make(atn_ctx *cx, const atn_capture *c,
                                 const atn_selection *sel, const char *what,
                                 atn_token_labels *out) ATN_WARN_UNUSED;
void atn_token_labels_release(atn_ctx *cx, atn_token_labels *l);

/* The labels of the nk keys of a layer: tokens 0 .. nk - 1 that are no padding, and
 * their classes, those that occur, renumbered in order. of [*classes] is the class
 * before. Arena memory. key NULL where the layer's keys are not the labelled tokens:
 * there are more of them, or its queries are none of its keys (own false). The log says
 * so, and where no key has a label. */
atn_status atn_token_labels_layer(atn_ctx *cx, const atn_token_labels *l,
                                  const atn_layer_info *info, bool own, int32_t **key,
                                  atn_idx *classes, atn_idx **of) ATN_WARN_UNUSED;

/* The names of the classes of "class", in order. */
extern const char *const atn_token_class_names[];
enum { ATN_TOKEN_CLASSES = 6 };
/* texts [n] -> class of each. */
void atn_token_classes(const char *const *texts, atn_idx n, int32_t *label);
