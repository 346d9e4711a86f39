/* tests/capture/model_checks.h -- what several tests ask of a model, and of a capture
 * of it. */
// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "check.h"

#include "capture/forward.h"
#include "core/io/capture.h"

/* Opens the model and runs it with an allocator that fails at the k-th call, for every
 * k until all goes well: only MEMORY comes of it. */
static inline void forward_allocations_fail(const char *dir,
                                            const atn_forward_args *args)
{
    atn_status st = ATN_MEMORY;
    long k = 0;

    for (; st != ATN_OK && k < 5000; k++) {
        check_failing f = {k};
        atn_ctx one;
        atn_model m = {0};
        atn_forward_result result;

        atn_ctx_init(&one);
        one.alloc = (atn_allocator){check_failing_resize, &f};
        one.threads = 1;
        one.log_level = ATN_LOG_ERROR;
        st = atn_model_open(&one, dir, &m);
        if (st == ATN_OK) st = atn_forward(&one, &m, args, &result);
        if (st != ATN_OK) CHECK_EQ(st, ATN_MEMORY);
        atn_model_close(&one, &m);
        atn_ctx_release(&one);
    }
    CHECK_EQ(st, ATN_OK);
    CHECK_LE(20, k);
}

/* A tensor of count numbers of layer i of the capture, the caller's; NULL where count
 * is 0. */
static inline float *captured_tensor(atn_ctx *cx, const atn_capture *c, int i,
                                     const char *name, atn_idx count)
{
    float *x = NULL;
    atn_idx shape[ATN_ST_MAX_RANK], n = 1;
    int rank = 0;

    CHECK_OK(atn_capture_tensor(cx, c, i, name, &x, &rank, shape));
    for (int r = 0; r < rank; r++) n *= shape[r];
    CHECK_EQ(x ? n : 0, count);
    return x;
}
