/* approx/token_gates.h -- numbers of every token, such as gates, that only a file of
 * draws can bring: captured models have none. */
// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "approx/method.h"

typedef struct atn_gates {
    const char *method; /* for messages, and the purpose */
    const char *what;   /* name of the tensor */
    const atn_head *head;
    atn_idx cols; /* 0 = one number a token */
    double hi;    /* from 0 up to this */
} atn_gates;

/* out [nk] or [nk, cols] <- the file's, if it has them, which *found says; else it
 * stays as it is. DATA names the first that is out of range. */
atn_status atn_gates_read(atn_ctx *cx, const atn_input *in, const atn_gates *g,
                          double *out, bool *found) ATN_WARN_UNUSED;
