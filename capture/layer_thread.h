/* capture/layer_thread.h -- a thread that takes layers to their visitor while the next ones are
 * computed.
 *
 * It holds one layer at a time and visits in the order of the hand-overs. What is handed over
 * must stay as it is until the next hand-over, or a wait, has returned. After a visitor has
 * failed none is called any more; the failure comes back from every later call.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "capture/forward.h"

typedef struct atn_layer_thread atn_layer_thread;

/* OS when there is no thread to be had. The visitor gets a child of cx without a device. */
atn_status atn_layer_thread_create(atn_ctx *cx, atn_layer_visit *visit, void *state,
                                   atn_layer_thread **out) ATN_WARN_UNUSED;
/* Waits until the layer before is done, and leaves this one to the thread. */
atn_status atn_layer_thread_hand(atn_ctx *cx, atn_layer_thread *t,
                                 const atn_layer_dump *dump) ATN_WARN_UNUSED;
/* Waits until nothing is left to visit. */
atn_status atn_layer_thread_wait(atn_ctx *cx, atn_layer_thread *t) ATN_WARN_UNUSED;
/* Finishes the layer that it holds, then ends. NULL is fine. */
void atn_layer_thread_destroy(atn_ctx *cx, atn_layer_thread *t);
