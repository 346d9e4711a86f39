/* core/run.h -- the run record: what made a result (version, argv, seed, inputs,
 * host). */
// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <jansson.h>

#include "core/ctx.h"

#define ATN_VERSION "0.1.0"

typedef struct atn_run {
    json_t *json;         /* owned; the object written under schema attnscope/run/1 */
    char fingerprint[33]; /* XXH3-128, hex: argv, options and input hashes; no times */
} atn_run;

/* Starts a record: tool version, git commit and build flags, argv, seed, threads, start
 * time UTC (SOURCE_DATE_EPOCH honoured), host CPU and cores, BLAS. */
atn_status atn_run_init(atn_ctx *cx, atn_run *run, int argc,
                        const char *const *argv) ATN_WARN_UNUSED;
void atn_run_release(atn_run *run);
/* Adds an input file: path as given, size, XXH3-128 of its content (of header and size
 * for files above 64 MiB). */
atn_status atn_run_add_input(atn_ctx *cx, atn_run *run,
                             const char *path) ATN_WARN_UNUSED;
/* The work of n processes together, which began at `begun` of atn_seconds: for start
 * and elapsed time, and the number of ranks beside the host's. */
void atn_run_of_ranks(atn_run *run, double begun, int n);
/* The seed that counts, where it is not that of the context at the start. */
void atn_run_set_seed(atn_run *run, uint64_t seed);
/* Adds a resolved option or a fact ("threshold", "0.9"). */
atn_status atn_run_add_option(atn_ctx *cx, atn_run *run, const char *key,
                              const char *value) ATN_WARN_UNUSED;
/* Adds elapsed time and peak memory, and computes the fingerprint. Call it before
 * writing. */
atn_status atn_run_finish(atn_ctx *cx, atn_run *run) ATN_WARN_UNUSED;

/* The processor in words, "unknown" where the system does not say. */
void atn_cpu_name(char *out, size_t size);
