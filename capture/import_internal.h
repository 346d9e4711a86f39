/* capture/import_internal.h -- an import, between reading its inputs and writing the
 * capture. */
// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <jansson.h>

#include "capture/import.h"

/* A tensor brought to [steps, layers, heads, rows, cols]. */
typedef struct atn_import_tensor {
    char *source; /* owned; as given, for messages */
    float *data;  /* owned, NULL = absent */
    atn_idx steps, layers, heads, rows, cols;
} atn_import_tensor;

typedef struct atn_import_stack {
    const char *name; /* "" of one stack */
    atn_import_tensor q, k, v, p, d_o;
    atn_import_part *r;
} atn_import_stack;

/* Whose tokens: of one stack, of an encoder, of a decoder. */
enum { ATN_IMPORT_ONE, ATN_IMPORT_ENCODER, ATN_IMPORT_DECODER, ATN_IMPORT_SEQUENCES };

typedef struct atn_import_text {
    json_t *texts, *ids; /* owned, NULL = none */
} atn_import_text;

typedef struct atn_importing {
    const atn_import_args *args;
    atn_import_stack stacks[ATN_IMPORT_STACKS];
    int n;
    atn_import_text text[ATN_IMPORT_SEQUENCES];
    json_t *roles;
    bool cross;     /* the texts of one stack are those of keys alone */
    atn_idx *layer; /* owned: numbers of the layers, NULL = 0, 1, .. */
    atn_import_result *r;
} atn_importing;

/* ---- import_tensor.c ---- */

/* Nothing where source is NULL. */
atn_status atn_import_tensor_read(atn_ctx *cx, const char *source, bool steps,
                                  atn_import_tensor *t) ATN_WARN_UNUSED;
void atn_import_tensor_release(atn_ctx *cx, atn_import_tensor *t);
/* Too many layers or steps are DATA. */
atn_status atn_import_tensor_check(atn_ctx *cx,
                                   const atn_import_tensor *t) ATN_WARN_UNUSED;
/* NaN and infinities are DATA with their place. */
atn_status atn_import_tensor_finite(atn_ctx *cx,
                                    const atn_import_tensor *t) ATN_WARN_UNUSED;
/* Rows of all steps, layers and heads. */
atn_idx atn_import_tensor_rows(const atn_import_tensor *t);

enum { ATN_IMPORT_SHAPE_TEXT = 128, ATN_IMPORT_PLACE_TEXT = 112 };
/* "layers, heads, rows, cols", after the steps where the import has them. */
const char *atn_import_shape_text(bool steps, const atn_import_tensor *t,
                                  char out[ATN_IMPORT_SHAPE_TEXT]);
/* "layer 0, head 1, row 2" of row i of all, after the step where there are several. */
const char *atn_import_place_text(const atn_import_tensor *t, atn_idx i,
                                  char out[ATN_IMPORT_PLACE_TEXT]);

/* ---- import_tokens.c ---- */

/* Texts and roles of args, once the shapes are known. */
atn_status atn_import_tokens(atn_ctx *cx, atn_importing *m) ATN_WARN_UNUSED;
/* Tokens that a sequence has: keys of its own stack, or of cross-attention. */
atn_idx atn_import_sequence_length(const atn_importing *m, int sequence);
/* DATA when the list `key` of `file` (NULL: of it all) is not of n strings. */
atn_status atn_import_texts_check(atn_ctx *cx, const char *file, const char *key,
                                  const json_t *list, atn_idx n) ATN_WARN_UNUSED;
/* Takes a checked list of texts, and numbers them where asked. */
atn_status atn_import_texts_take(atn_ctx *cx, const json_t *list, bool number,
                                 atn_import_text *out) ATN_WARN_UNUSED;

/* ---- import_bertviz.c ---- */

/* The stacks of args->bertviz, their tokens and the numbers of their layers. */
atn_status atn_import_bertviz(atn_ctx *cx, atn_importing *m) ATN_WARN_UNUSED;

/* ---- import_npy.c ---- */

/* The whole import of args->npy. */
atn_status atn_import_npy(atn_ctx *cx, const atn_import_args *args, atn_run *run,
                          atn_import_result *out) ATN_WARN_UNUSED;
