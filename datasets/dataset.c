/* datasets/dataset.c -- finds the files of a data set, see the header. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "datasets/dataset.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/io/file.h"

#ifndef ATN_DATA_INSTALLED
#define ATN_DATA_INSTALLED "/usr/share/attnscope"
#endif
#ifndef ATN_DATA_SOURCE
#define ATN_DATA_SOURCE "."
#endif

const atn_dataset atn_datasets[] = {
#define ATN_SET(id, title) {#id, title},
#include "datasets/sets.def"
#undef ATN_SET
    {NULL, NULL},
};

/* "<directory of the program>/../share/attnscope"; empty when it cannot be told. */
static void beside_program(char *out, size_t size)
{
    char exe[2048];
    const ssize_t n = readlink("/proc/self/exe", exe, sizeof exe - 1);
    char *slash;

    out[0] = '\0';
    if (n <= 0) return;
    exe[n] = '\0';
    slash = strrchr(exe, '/');
    if (!slash) return;
    *slash = '\0';
    snprintf(out, size, "%s/../share/attnscope", exe);
}

atn_status atn_dataset_path(atn_ctx *cx, const char *id, const char *name, char **out)
{
    char beside[2200];
    const char *env = getenv("ATTNSCOPE_DATA");
    const char *places[4] = {env && *env ? env : NULL, beside, ATN_DATA_INSTALLED, ATN_DATA_SOURCE};

    beside_program(beside, sizeof beside);
    for (size_t i = 0; i < ATN_LEN(places); i++) {
        if (!places[i] || !*places[i]) continue;
        *out = atn_strfmt(cx, "%s/datasets/%s/%s", places[i], id, name);
        if (!*out) return cx->err.code;
        if (atn_file_exists(*out) || atn_dir_exists(*out)) return ATN_OK;
        atn_free(cx, *out);
        *out = NULL;
    }
    return atn_fail(cx, ATN_NOINPUT, __FILE__, __LINE__,
                    "datasets/%s/%s is neither under $ATTNSCOPE_DATA nor in %s, %s or %s", id, name,
                    beside, ATN_DATA_INSTALLED, ATN_DATA_SOURCE);
}
