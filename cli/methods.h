/* cli/methods.h -- methods as people read of them: the listing and the help. */
// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "approx/method.h"
#include "core/table.h"

/* The columns and rows of `list methods` beside id and title. */
atn_status atn_methods_fill(atn_ctx *cx, atn_table *t) ATN_WARN_UNUSED;
/* A line a method, by family. */
atn_status atn_methods_print(atn_ctx *cx) ATN_WARN_UNUSED;
/* `help method NAME`: parameters with ranges, what it needs, what it costs. USAGE names
 * an unknown id with the nearest. */
atn_status atn_method_help(atn_ctx *cx, const char *id) ATN_WARN_UNUSED;
