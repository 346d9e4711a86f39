/* simulators/embedded.h -- the files of devices/, kernels/ and published/, in the
 * program.
 *
 * cmake/embed.cmake writes the table at build; a new file is found by itself.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <stddef.h>

typedef struct atn_embedded {
    const char *folder; /* "devices"; NULL ends the table */
    const char *id;     /* name of the file without its ending */
    const char *name;   /* "simulators/devices/h100.json", for messages */
    const char *text;   /* size bytes and a NUL */
    size_t size;
} atn_embedded;
extern const atn_embedded atn_embedded_files[]; /* sorted by folder, id */
