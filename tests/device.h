/* tests/device.h -- the backends that a test runs on.
 *
 * ATN_TEST_DEVICE=shim: the CUDA backend over the host shim, which must open; =gpu: over a real
 * GPU, and the program ends with 77 (skipped) where there is none; else the CPU.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/backend.h"
#include "core/cuda/backend_cuda.h"

static inline bool device_wanted(void)
{
    const char *name = getenv("ATN_TEST_DEVICE");

    return name && *name;
}

/* The CUDA backend in this arithmetic; says once what it is. */
static inline atn_backend *device_open(atn_ctx *cx, atn_math math)
{
    const char *name = getenv("ATN_TEST_DEVICE");
    atn_backend *be = NULL;
    const atn_status st = atn_cuda_open(cx, 0, math, &be);

    if (st == ATN_UNAVAILABLE && strcmp(name, "gpu") == 0) {
        fprintf(stderr, "skipped, no GPU: %s\n", cx->err.text);
        exit(77);
    }
    if (st != ATN_OK) {
        fprintf(stderr, "%s\n", cx->err.text);
        exit(1);
    }
    fprintf(stderr, "cuda (%s), %s\n", atn_cuda_info(be)->name, atn_math_name(math));
    return be;
}
