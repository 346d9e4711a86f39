/* core/status.h -- the one map of statuses: enum, name, text and process exit code.
 *
 * Source  exit codes follow sysexits(3) where it has one; 1, 3, 75 and 130 are ours.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

/* X(name, exit code, what it means to a user) */
#define ATN_STATUS_MAP(X)                                                              \
    X(OK, 0, "success")                                                                \
    X(CHECK, 1, "the check asked for failed")                                          \
    X(INTERNAL, 2, "internal error, please report it")                                 \
    X(PARTIAL, 3, "finished, but some heads or inputs were left out")                  \
    X(USAGE, 64, "wrong use of the command line")                                      \
    X(DATA, 65, "bad data, unsupported model or capture")                              \
    X(NOINPUT, 66, "an input does not exist or cannot be opened")                      \
    X(UNAVAILABLE, 69, "a device or library is not available")                         \
    X(MEMORY, 71, "out of memory, or over --mem-limit")                                \
    X(OS, 71, "the operating system refused a request")                                \
    X(CANTCREATE, 73, "an output exists already or cannot be created")                 \
    X(IO, 74, "reading or writing failed")                                             \
    X(TERMINATED, 75, "stopped by SIGTERM or a time limit; captures can be resumed")   \
    X(INTERRUPTED, 130, "stopped by SIGINT; captures can be resumed")

typedef enum atn_status {
#define ATN_STATUS_ENUM(name, code, text) ATN_##name,
    ATN_STATUS_MAP(ATN_STATUS_ENUM)
#undef ATN_STATUS_ENUM
        ATN_STATUS_COUNT
} atn_status;

#define ATN_WARN_UNUSED __attribute__((warn_unused_result))

const char *atn_status_name(atn_status st); /* "DATA" */
const char *atn_status_text(atn_status st); /* one line for the man page */
int atn_status_exit(atn_status st);         /* process exit code */
