/* core/param.h -- parameters as tables: one row gives parsing, range errors and help.
 *
 * A spec is `id[:key=value[,key=value...]]`. In a list of specs a piece without `=`, or
 * one with `:`, begins a new spec. Numbers take the suffixes k, m (1024-based for
 * counts). A value ends at a comma; it may hold `:` and `=`.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "core/ctx.h"

typedef enum atn_param_type {
    ATN_PARAM_I64_T,
    ATN_PARAM_F64_T,
    ATN_PARAM_BOOL_T,
    ATN_PARAM_CHOICE_T,
    ATN_PARAM_LIST_T,
    ATN_PARAM_TEXT_T
} atn_param_type;

enum {
    ATN_LIST_MOST = 64,
    ATN_TEXT_MOST = 256 /* bytes of a text, its end included */
};

/* Integers "AxBxC": the shape of a grid, borders, columns. */
typedef struct atn_list {
    int n;
    int64_t at[ATN_LIST_MOST];
} atn_list;

typedef struct atn_param {
    const char *name; /* NULL ends a table */
    atn_param_type type;
    size_t offset; /* of the field in the parameter struct: int64_t, double, bool, int,
                      atn_list, char[] */
    double def, min, max; /* of a list: of each number; def is not used. TEXT: max is
                             the bytes of the field */
    const char
        *choices;     /* CHOICE: "a|b|c"; the field is the index. LIST: the default */
    const char *unit; /* "" = none */
    const char *text; /* help, lower case, no full stop */
} atn_param;

#define ATN_PARAM_I64(s, f, d, lo, hi, text)                                           \
    {                                                                                  \
#        f, ATN_PARAM_I64_T, offsetof(s, f), d, lo, hi, NULL, "", text                 \
    }
#define ATN_PARAM_F64(s, f, d, lo, hi, text)                                           \
    {                                                                                  \
#        f, ATN_PARAM_F64_T, offsetof(s, f), d, lo, hi, NULL, "", text                 \
    }
#define ATN_PARAM_BOOL(s, f, d, text)                                                  \
    {                                                                                  \
#        f, ATN_PARAM_BOOL_T, offsetof(s, f), d, 0, 1, NULL, "", text                  \
    }
#define ATN_PARAM_CHOICE(s, f, d, list, text)                                          \
    {                                                                                  \
#        f, ATN_PARAM_CHOICE_T, offsetof(s, f), d, 0, 0, list, "", text                \
    }
/* `list` is the default, "AxBxC" or "" for an empty one. */
#define ATN_PARAM_LIST(s, f, list, lo, hi, text)                                       \
    {                                                                                  \
#        f, ATN_PARAM_LIST_T, offsetof(s, f), 0, lo, hi, list, "", text                \
    }
/* A text such as the name of a file, in char f[ATN_TEXT_MOST]; empty by default. */
#define ATN_PARAM_TEXT(s, f, text)                                                     \
    {                                                                                  \
#        f, ATN_PARAM_TEXT_T, offsetof(s, f), 0, 0, sizeof(((s *)0)->f), "", "", text  \
    }
#define ATN_PARAM_END                                                                  \
    {                                                                                  \
        NULL, ATN_PARAM_I64_T, 0, 0, 0, 0, NULL, NULL, NULL                            \
    }

/* Fills `params` (a struct) with the defaults of `table`. */
void atn_param_defaults(const atn_param *table, void *params);
/* Parses "key=value,key=value" (NULL or "" = nothing) over what params holds. USAGE
 * names owner, key, value and range, or the nearest key and all keys with ranges. */
atn_status atn_param_parse(atn_ctx *cx, const char *owner, const atn_param *table,
                           const char *text, void *params) ATN_WARN_UNUSED;
/* The next spec of a list, cut out of *rest in place: *id, and *params
 * ("key=value,...") or NULL. false when none is left. Empty pieces are passed over. */
bool atn_spec_next(char **rest, char **id, char **params);
/* Writes "key=value,..." of all rows into out (NUL-terminated, truncated at size). */
void atn_param_print(const atn_param *table, const void *params, char *out,
                     size_t size);

/* What the row takes: "1..64", "1 or more" where nothing reaches the maximum, "AxBxC of
 * 1..9", "a|b", "yes|no", "text"; truncated at size. Returns the bytes that it needs,
 * as snprintf does. */
size_t atn_param_range(const atn_param *row, char *out, size_t size);

/* "4k", "128k", "1m", "17" -> count (1024-based); "256MiB", "2GiB", "1.5g" -> bytes. */
atn_status atn_parse_count(atn_ctx *cx, const char *what, const char *text,
                           atn_idx *out) ATN_WARN_UNUSED;
atn_status atn_parse_bytes(atn_ctx *cx, const char *what, const char *text,
                           size_t *out) ATN_WARN_UNUSED;
atn_status atn_parse_f64(atn_ctx *cx, const char *what, const char *text,
                         double *out) ATN_WARN_UNUSED;
/* "AxBxC": 1 to `most` whole numbers from 1 to 2^31; false where text is not that. */
bool atn_shape_read(const char *text, int most, atn_list *out);
/* The other way; returns the bytes that it needs, as snprintf does. */
size_t atn_list_text(const atn_list *list, char *out, size_t size);
/* Of all its numbers; 1 of none. */
atn_idx atn_list_product(const atn_list *list);
bool atn_list_same(const atn_list *a, const atn_list *b);
/* List syntax "0,5-8,-1" over 0..n-1 (negative counts from the end); ascending, unique,
 * in heap memory. NULL or "all" selects everything. USAGE names the piece and the
 * range. */
atn_status atn_parse_list(atn_ctx *cx, const char *what, const char *text, atn_idx n,
                          atn_idx **items, atn_idx *count) ATN_WARN_UNUSED;
/* Heads: "3,5" (these heads of every layer) or pairs "2.3,5.1". keep[layer * heads +
 * head] is set to true for what is selected; `layers` says which layers count.
 * NULL = all. */
atn_status atn_parse_heads(atn_ctx *cx, const char *text, atn_idx layers, atn_idx heads,
                           bool *keep) ATN_WARN_UNUSED;
/* Index of the first candidate that begins with text, else of the nearest by edit
 * distance, -1 when none is near (distance above a third of its length). For "did you
 * mean". */
int atn_nearest(const char *text, const char *const *candidates, int count);
/* Adds a name to the list "a, b" in `list`, of `size` bytes, unless it is there already
 * or there is no room. */
void atn_name_add(char *list, size_t size, const char *name);
/* "(nearest: b; known: a, b, c)" or "(known: a, b, c)" into out, cut at size. */
void atn_known(const char *text, const char *const *candidates, int count, char *out,
               size_t size);
