/* simulators/files.h -- what files of devices and of kernels share: built-in ones by
 * id, one's own by path, and texts in them.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "core/io/json.h"
#include "simulators/embedded.h"

/* A file of this kind is small; a larger one is none. */
enum { ATN_SIM_FILE_MOST = 1 << 20 };

/* The i-th file of a folder; NULL = no more. */
const atn_embedded *atn_embedded_at(const char *folder, int i);
/* By id, any case; NULL = none. */
const atn_embedded *atn_embedded_find(const char *folder, const char *id);

/* The file that a name means, which no built-in id is: NULL text where it is no path
 * (no such file, and neither a slash nor .json in it). Heap memory. */
atn_status atn_sim_file_read(atn_ctx *cx, const char *name, char **text,
                             size_t *size) ATN_WARN_UNUSED;
/* USAGE: there is no such device, naming the nearest of ids and `others` (NULL-ended,
 * may be NULL). */
atn_status atn_sim_file_unknown(atn_ctx *cx, const char *noun, const char *folder,
                                const char *name) ATN_WARN_UNUSED;

/* Strict JSON whose root is an object of this schema and of these keys. Caller
 * json_decref()s. */
typedef struct atn_sim_form {
    const char *schema;
    const char *const *keys;
    int n;
} atn_sim_form;
atn_status atn_sim_file_parse(atn_ctx *cx, const char *what, const char *text,
                              size_t size, const atn_sim_form *form,
                              json_t **out) ATN_WARN_UNUSED;

/* A text of 1 to size - 1 bytes without control characters. Missing: DATA where it is
 * needed, else "". */
atn_status atn_sim_text(atn_ctx *cx, const char *what, const json_t *obj,
                        const char *key, bool needed, char *out,
                        size_t size) ATN_WARN_UNUSED;
/* The same, of letters a-z, digits, '.', '_' and '-', a letter or digit first. */
atn_status atn_sim_id(atn_ctx *cx, const char *what, const json_t *obj, const char *key,
                      bool needed, char *out, size_t size) ATN_WARN_UNUSED;
/* Such an id from a string of a list. */
bool atn_sim_id_valid(const char *text, size_t size);
