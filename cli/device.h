/* cli/device.h -- --device and --dtype: the backend that a command computes on. */
// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "cli/options.h"
#include "core/cuda/backend_cuda.h"

/* Opens what --device and --dtype name and makes it the context's backend; commands
 * without these options keep the CPU. UNAVAILABLE when it cannot be had (with auto, the
 * CPU is taken instead and the reason logged), USAGE for a malformed name. */
atn_status atn_device_open(atn_cli *cli, atn_backend **out) ATN_WARN_UNUSED;
/* The GPU that --device cuda[:N] names, the first one where it is not given; USAGE for
 * auto and cpu. */
atn_status atn_device_open_gpu(atn_cli *cli, atn_backend **out) ATN_WARN_UNUSED;
void atn_device_close(atn_ctx *cx, atn_backend *be); /* back to the CPU; NULL is fine */
