/* cli/parts.h -- the part of a command's work that --shard i/N does, in a file, and the
 * files of all parts.
 *
 * A part begins with the line "attnscope/part/1 HEADER NOTES", the lengths of what
 * follows: HEADER bytes of JSON (which part, of which command, options, capture and
 * program), NOTES bytes of core/shard.h, and 32 hexadecimal digits and a line feed, the
 * XXH3-128 of all before them.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "cli/output.h"
#include "core/io/file.h"
#include "core/shard.h"

/* Reads --shard, where the command has it and it is given, into *s and cli. USAGE names
 * what is no share; "slurm" reads SLURM_ARRAY_TASK_ID and its like. */
atn_status atn_cli_share(atn_cli *cli, atn_shard *s) ATN_WARN_UNUSED;

/* "i/N", or "slurm": part *index of *count. USAGE otherwise. */
atn_status atn_share_read(atn_ctx *cx, const char *text, long *index,
                          long *count) ATN_WARN_UNUSED;

/* In place of its tables a command hands out the notes of a part: to the file of -o,
 * or, where ranks work together, nowhere yet. run is finished here. */
atn_status atn_cli_emit_part(atn_cli *cli, atn_run *run) ATN_WARN_UNUSED;

/* A part that was read; path and notes are borrowed, the latter from the map. */
typedef struct atn_part_file {
    const char *path;
    atn_map map;
    json_t *header;
    atn_bytes notes;
    int index, count;
} atn_part_file;

/* NOINPUT, DATA: what is no part, is of another format, cut short or damaged. Zeroes
 * out first; release it also on failure. */
atn_status atn_part_open(atn_ctx *cx, const char *path,
                         atn_part_file *out) ATN_WARN_UNUSED;
void atn_part_release(atn_part_file *p);
/* USAGE where two parts are not of one request: names the option, or what else. */
atn_status atn_part_match(atn_ctx *cx, const atn_part_file *first,
                          const atn_part_file *p) ATN_WARN_UNUSED;
/* The command line of a part but for --shard and -o, with `dir` in place of its capture
 * (NULL = as it was), as JSON text without its brackets: for a message. Heap memory;
 * NULL = no memory. */
char *atn_part_command(atn_ctx *cx, const atn_part_file *p);
