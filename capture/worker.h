/* capture/worker.h -- a thread that does jobs while the one that hands them out goes on: layers are
 * written, and the next weights looked at, while this layer is computed.
 *
 * It has one job at a time and does them in the order of the hand-overs. What a job reads must
 * stay as it is until the next hand-over, or a wait, has returned. After a job has failed none is
 * begun any more; the failure comes back from every later call.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "core/ctx.h"

typedef struct atn_worker atn_worker;
/* cx is the worker's, without a device. */
typedef atn_status atn_job(atn_ctx *cx, void *state);

/* A job may use `threads` threads. OS when there is no thread to be had. */
atn_status atn_worker_create(atn_ctx *cx, int threads,
                             atn_worker **out) ATN_WARN_UNUSED;
/* Waits until the job before is done, and leaves this one to the worker. */
atn_status atn_worker_hand(atn_ctx *cx, atn_worker *w, atn_job *job,
                           void *state) ATN_WARN_UNUSED;
/* Waits until nothing is left to do. */
atn_status atn_worker_wait(atn_ctx *cx, atn_worker *w) ATN_WARN_UNUSED;
/* Finishes the job that it has, then ends. NULL is fine. */
void atn_worker_destroy(atn_ctx *cx, atn_worker *w);
