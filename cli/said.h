/* cli/said.h -- what the processes of one command said, each message once.
 *
 * A part of the work prints its warnings as they come and notes them (core/shard.h); of
 * the ranks that mpirun started only the first prints. Who merges says what the parts
 * noted, then what it has to say itself, and nothing twice.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "cli/command.h"
#include "core/shard.h"

typedef struct atn_said {
    atn_ctx own;         /* for the texts; prints */
    atn_ctx *cx;         /* whose messages come here; borrowed */
    atn_log_level level; /* that is printed, errors always */
    bool silent;         /* nothing is */
    atn_bytes texts;     /* a byte of the level and a text each, with its end */
} atn_said;

/* From here on messages of cli's context go through s, which cli then knows. */
void atn_said_open(atn_said *s, atn_cli *cli, bool silent);
void atn_said_close(atn_said *s); /* a zeroed one is fine */
/* Prints what a silent one has kept back. */
void atn_said_tell(atn_said *s);
/* Warnings of a part go to its notes; nothing where cli has no said. */
atn_status atn_said_note(atn_cli *cli) ATN_WARN_UNUSED;
/* The warnings that parts noted. */
atn_status atn_said_replay(atn_ctx *cx, const atn_shard *s) ATN_WARN_UNUSED;
