/* cli/gpus.h -- devices and kernels of the simulator as people read of them: listings
 * and help. */
// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "core/table.h"

/* The columns and rows of `list devices` and `list kernels` beside id and title. */
atn_status atn_devices_fill(atn_ctx *cx, atn_table *t) ATN_WARN_UNUSED;
atn_status atn_kernels_fill(atn_ctx *cx, atn_table *t) ATN_WARN_UNUSED;
/* A line each; a number that was not checked ends in ?. */
atn_status atn_devices_print(atn_ctx *cx) ATN_WARN_UNUSED;
atn_status atn_kernels_print(atn_ctx *cx) ATN_WARN_UNUSED;
/* `help device NAME`, `help kernel NAME`: everything there is, with its source. NAME
 * may be a file. */
atn_status atn_device_help(atn_ctx *cx, const char *name) ATN_WARN_UNUSED;
atn_status atn_kernel_help(atn_ctx *cx, const char *name) ATN_WARN_UNUSED;
