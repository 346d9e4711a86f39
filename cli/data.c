/* cli/data.c -- finding the built-in data sets, wherever the program lives. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "cli/data.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/io/file.h"

#ifndef ATN_DATA_DIR
#    define ATN_DATA_DIR "/usr/share/attnscope"
#endif
#ifndef ATN_SOURCE_DIR
#    define ATN_SOURCE_DIR "."
#endif

/* "<prefix>/share/attnscope" of a program at <prefix>/bin; false when that is unknown. */
static bool beside_program(char out[PATH_MAX + 32])
{
    char path[PATH_MAX];
    const ssize_t n = readlink("/proc/self/exe", path, sizeof path - 1);

    if (n <= 0) return false;
    path[n] = '\0';
    for (int up = 0; up < 2; up++) {
        char *slash = strrchr(path, '/');

        if (!slash) return false;
        *slash = '\0';
    }
    snprintf(out, PATH_MAX + 32, "%s/share/attnscope", path);
    return true;
}

atn_status atn_data_find(atn_ctx *cx, const char *name, char **out)
{
    char beside[PATH_MAX + 32];
    const char *own = getenv("ATTNSCOPE_DATA");
    const char *places[4] = {NULL};
    int n = 0;

    *out = NULL;
    if (own && *own) {
        places[n++] = own;
    } else {
        if (beside_program(beside)) places[n++] = beside;
        places[n++] = ATN_DATA_DIR;
        places[n++] = ATN_SOURCE_DIR;
    }
    for (int i = 0; i < n; i++) {
        char *path = atn_path_join(cx, places[i], name);

        if (!path) return cx->err.code;
        if (atn_file_exists(path) || atn_dir_exists(path)) {
            *out = path;
            return ATN_OK;
        }
        atn_free(cx, path);
    }
    return atn_fail(cx, ATN_NOINPUT, __FILE__, __LINE__,
                    "the built-in %s is not in %s%s%s%s%s (set ATTNSCOPE_DATA to the "
                    "folder that holds it)",
                    name, places[0], n > 1 ? ", " : "", n > 1 ? places[1] : "",
                    n > 2 ? ", " : "", n > 2 ? places[2] : "");
}
