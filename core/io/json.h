/* core/io/json.h -- jansson with our errors: strict reading (duplicate keys, bad UTF-8
 * and non-JSON numbers are refused) and typed access that names file and key.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <jansson.h>

#include "core/ctx.h"

/* Duplicate keys rejected; DATA names path, line and column. int_as_real for files that
 * hold integers beyond int64 (tokenizer_config.json). Caller json_decref()s. */
atn_status atn_json_load(atn_ctx *cx, const char *path, bool int_as_real,
                         json_t **out) ATN_WARN_UNUSED;
atn_status atn_json_parse(atn_ctx *cx, const char *what, const char *text, size_t size,
                          bool int_as_real, json_t **out) ATN_WARN_UNUSED;
/* Bytes that the tree of this text takes at most, by its brackets, commas and quotes:
 * 20 to 40 times its size where it is mostly numbers. */
double atn_json_bytes(const char *text, size_t size);
/* A tree that may be large: what it takes is known before it is made, and counted until
 * it is dropped. */
typedef struct atn_json_tree {
    json_t *root; /* owned */
    double bytes;
} atn_json_tree;
/* MEMORY when it would go beyond --mem-limit or, without one, the machine or 8 GiB; the
 * message calls the file `kind` ("a pattern file") and says what `else_` to do. */
atn_status atn_json_tree_parse(atn_ctx *cx, const char *path, const char *text,
                               size_t size, const char *kind, const char *else_,
                               atn_json_tree *out) ATN_WARN_UNUSED;
void atn_json_tree_drop(atn_ctx *cx, atn_json_tree *t); /* a zeroed one is fine */
/* Compact text with sorted keys in heap memory, for hashing; NULL with cx->err on
 * failure. */
char *atn_json_text(atn_ctx *cx, const json_t *value) ATN_WARN_UNUSED;
/* Atomically writes with sorted keys and indent 2; overwrites. */
atn_status atn_json_save(atn_ctx *cx, const char *path,
                         const json_t *value) ATN_WARN_UNUSED;

/* DATA where obj has a member that is none of known [n]; names it and the nearest. */
atn_status atn_json_check_keys(atn_ctx *cx, const char *what, const json_t *obj,
                               const char *const *known, int n) ATN_WARN_UNUSED;
/* Typed members. A missing (or null) key gives the default; a wrong type or an integer
 * outside [min, max] is DATA naming `what` (the file) and key. */
atn_status atn_json_get_i64(atn_ctx *cx, const char *what, const json_t *obj,
                            const char *key, int64_t def, int64_t min, int64_t max,
                            int64_t *out) ATN_WARN_UNUSED;
atn_status atn_json_get_f64(atn_ctx *cx, const char *what, const json_t *obj,
                            const char *key, double def, double *out) ATN_WARN_UNUSED;
/* Above 0 and finite. */
atn_status atn_json_get_positive(atn_ctx *cx, const char *what, const json_t *obj,
                                 const char *key, double def,
                                 double *out) ATN_WARN_UNUSED;
atn_status atn_json_get_bool(atn_ctx *cx, const char *what, const json_t *obj,
                             const char *key, bool def, bool *out) ATN_WARN_UNUSED;
/* Borrowed from obj. */
atn_status atn_json_get_str(atn_ctx *cx, const char *what, const json_t *obj,
                            const char *key, const char *def,
                            const char **out) ATN_WARN_UNUSED;
/* Like get_i64 but the key must be there. */
atn_status atn_json_need_i64(atn_ctx *cx, const char *what, const json_t *obj,
                             const char *key, int64_t min, int64_t max,
                             int64_t *out) ATN_WARN_UNUSED;
