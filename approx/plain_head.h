/* approx/plain_head.h -- for methods that see queries and keys as a whole: what of a
 * head they cannot express is an error, and never left out in silence.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "approx/method.h"

/* What a method has a place for. */
enum { ATN_PLACE_SINK = 1, ATN_PLACE_BIAS = 2 };
/* DATA says what `method` has no place for: a soft-cap, a bias by relative position
 * and, unless they are among `places`, a sink logit and a bias of ALiBi. */
atn_status atn_bare_logits(atn_ctx *cx, const atn_head *h, const char *method,
                           unsigned places) ATN_WARN_UNUSED;
/* DATA says what `method` has no place for: a hidden key, a position bias, a soft-cap
 * and, unless `sink`, a sink logit; and a query or key that is not finite. */
atn_status atn_plain_head(atn_ctx *cx, const atn_head *h, const char *method,
                          bool sink) ATN_WARN_UNUSED;
