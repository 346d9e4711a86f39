/* core/io/npz.h -- NumPy .npz archives: a zip file of .npy arrays, read.
 *
 * Rules   zip and zip64 of one disk, nothing before the first member nor after the end
 *         but the archive's comment; members named NAME.npy, each name once, without
 *         '/' or '\', stored or deflated, not encrypted, not overlapping; a member
 *         unpacks to at most 1000 times its packed bytes + 4 KiB and to exactly what
 *         the directory says, with its CRC-32. All of it is checked before a member is
 *         unpacked.
 * Source  PKWARE APPNOTE.TXT 4.3 and 4.5.3; numpy/lib/npyio.py.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "core/io/npy.h"

typedef struct atn_npz atn_npz;

/* NOINPUT when it cannot be opened, DATA with the member and the rule that it
 * breaks. */
atn_status atn_npz_open(atn_ctx *cx, const char *path, atn_npz **out) ATN_WARN_UNUSED;
void atn_npz_close(atn_ctx *cx, atn_npz *z); /* NULL is fine */
atn_idx atn_npz_count(const atn_npz *z);
const char *atn_npz_name(const atn_npz *z, atn_idx i);    /* without .npy */
atn_idx atn_npz_find(const atn_npz *z, const char *name); /* -1 = no such member */
/* Unpacks member i and reads it as atn_npy_load_floats does. MEMORY when its unpacked
 * bytes are more than --mem-limit leaves. */
atn_status atn_npz_load_floats(atn_ctx *cx, const atn_npz *z, atn_idx i,
                               atn_npy *out) ATN_WARN_UNUSED;
