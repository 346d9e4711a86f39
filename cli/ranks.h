/* cli/ranks.h -- the processes that mpirun started together: one command, its work
 * shared out over them.
 *
 * Every rank does its part of the command (core/shard.h); the notes of all are gathered
 * on rank 0, which runs the command with them as attnscope merge does, prints and
 * writes, and says once what the others had to warn of. A rank that fails tells rank 0,
 * which stops the others and ends with the message and exit code of that rank. A
 * command whose work is of one piece runs on rank 0 alone.
 *
 * Limits  built with ATN_MPI; MPI is initialised only where a launcher says that it
 *         started the process. All calls are made by the first thread.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "cli/command.h"
#include "core/shard.h"

typedef struct atn_ranks {
    int rank, size;    /* size 1 = there is one process alone */
    int local, locals; /* of the ranks of this machine */
    bool one_thread;   /* MPI does not go with threads */
    char prefix[96];   /* "[rank/size host] " */
    struct atn_ranks_mail *mail;
} atn_ranks;

/* How many processes a launcher of MPI says, in the environment, that it started; 0 =
 * there is no launcher, -1 = it does not say. */
int atn_ranks_launched(void);
/* Is this word of the environment, "NAME=value", of such a launcher? */
bool atn_ranks_is_launchers(const char *word);

/* UNAVAILABLE where a launcher started several and the program has no MPI. Sets the
 * prefix of the log and its level. */
atn_status atn_ranks_open(atn_ctx *cx, atn_ranks *r) ATN_WARN_UNUSED;
void atn_ranks_close(atn_ctx *cx, atn_ranks *r);
static inline bool atn_ranks_is_quiet(const atn_ranks *r)
{
    return r->rank > 0;
}

/* Once the options are read: threads and messages of this rank, and its part in *s and
 * cli, where the command's work can be shared out. *idle: there is nothing to do
 * here. */
atn_status atn_ranks_share(atn_ranks *r, atn_cli *cli, atn_shard *s,
                           bool *idle) ATN_WARN_UNUSED;
/* Looks for messages of other ranks: between units of work. */
void atn_ranks_poll(atn_ranks *r);
/* Every rank comes here once, with how its part went; cli NULL = there was no command.
 * On rank 0 the command then runs with what all found. */
atn_status atn_ranks_meet(atn_ranks *r, atn_ctx *cx, atn_cli *cli,
                          atn_status st) ATN_WARN_UNUSED;
