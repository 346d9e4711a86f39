/* core/io/file.h -- reading whole files safely, and writing them so that a crash loses
 * nothing: written aside, flushed, renamed.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <stdio.h>

#include "core/ctx.h"

/* A read-only memory map. */
typedef struct atn_map {
    const unsigned char *data;
    size_t size;
} atn_map;

/* NOINPUT when the file cannot be opened, DATA when it is not a regular file. */
atn_status atn_map_open(atn_ctx *cx, const char *path, atn_map *out) ATN_WARN_UNUSED;
void atn_map_close(atn_map *m);

/* Whole file into NUL-terminated heap memory, refused above max_size bytes (DATA). "-"
 * reads standard input. */
atn_status atn_file_read(atn_ctx *cx, const char *path, size_t max_size, char **data,
                         size_t *size) ATN_WARN_UNUSED;
bool atn_ends_with(const char *text, const char *end);
bool atn_file_exists(const char *path);
bool atn_dir_exists(const char *path);
/* A directory without entries; one that cannot be read is none. */
bool atn_dir_is_empty(const char *path);
/* dir + "/" + name in heap memory. */
char *atn_path_join(atn_ctx *cx, const char *dir, const char *name) ATN_WARN_UNUSED;
/* mkdir, parents included; an existing directory is fine. CANTCREATE otherwise. */
atn_status atn_dir_make(atn_ctx *cx, const char *path) ATN_WARN_UNUSED;

/* Atomic writing: open makes "<path>.part-<pid>" beside the target (CANTCREATE; when
 * the target exists and !force: CANTCREATE naming --force); commit flushes, fsyncs,
 * renames and syncs the directory (IO names path and errno, e.g. disk full); abort
 * removes it. */
typedef struct atn_out {
    FILE *file;
    char *path, *temp;
} atn_out;
atn_status atn_out_open(atn_ctx *cx, const char *path, bool force,
                        atn_out *out) ATN_WARN_UNUSED;
atn_status atn_out_commit(atn_ctx *cx, atn_out *out) ATN_WARN_UNUSED;
/* Asks the disk to begin with what was written so far; does not wait. */
void atn_out_hurry(atn_out *out);
void atn_out_abort(atn_ctx *cx, atn_out *out); /* a zeroed or committed one is fine */

/* A rename is durable once its directory is on disk; best effort. */
void atn_sync_parent(const char *path);

/* XXH3-128 as 32 hex digits + NUL. */
void atn_hash_bytes(const void *data, size_t size, char hex[33]);
/* XXH3-64, for hash tables. */
uint64_t atn_hash_u64(const void *data, size_t size);
atn_status atn_hash_file(atn_ctx *cx, const char *path, char hex[33]) ATN_WARN_UNUSED;
/* True when the bytes are well-formed UTF-8 (no surrogates, no overlong forms); *bad is
 * the offset of the first offender. */
bool atn_utf8_valid(const char *text, size_t size, size_t *bad);
