/* datasets/dataset.h -- the built-in inputs and where their files are.
 *
 * A data set is a folder datasets/<id>/ and one line in sets.def. Files are looked for under
 * $ATTNSCOPE_DATA, beside the program (../share/attnscope), where the package was installed,
 * and in the source tree, in that order.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "core/ctx.h"

typedef struct atn_dataset {
    const char *id, *title;
} atn_dataset;

extern const atn_dataset atn_datasets[]; /* by id, ends with id NULL */

/* Path of a file or directory of a data set in heap memory; NOINPUT lists the places tried. */
atn_status atn_dataset_path(atn_ctx *cx, const char *id, const char *name, char **out) ATN_WARN_UNUSED;
