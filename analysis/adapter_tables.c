/* analysis/adapter_tables.c -- p-Laplacian message passing in tables: not there yet. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "analysis/adapter_tables.h"

const atn_adapter_opts atn_adapter_opts_default = {
    .mu = 0.2, .eps = 1e-8, .snap = 1e-6, .damping = 1, .iterations = 10};

static atn_status later(atn_ctx *cx)
{
    return atn_fail(cx, ATN_INTERNAL, __FILE__, __LINE__, "adapter: not there yet");
}

atn_status atn_adapter_opts_check(atn_ctx *cx, const atn_adapter_opts *o)
{
    (void)o;
    return later(cx);
}

atn_status atn_adapter_table(atn_ctx *cx, const atn_capture *c,
                             const atn_selection *sel, const atn_adapter_opts *o,
                             atn_table **out, atn_idx *failed)
{
    (void)c;
    (void)sel;
    (void)o;
    (void)out;
    (void)failed;
    return later(cx);
}

atn_status atn_adapter_response_table(atn_ctx *cx, const atn_capture *c,
                                      const atn_selection *sel,
                                      const atn_adapter_opts *o, atn_table **out,
                                      atn_idx *failed)
{
    return atn_adapter_table(cx, c, sel, o, out, failed);
}

atn_status atn_adapter_layer_table(atn_ctx *cx, const atn_capture *c,
                                   const atn_selection *sel, const atn_adapter_opts *o,
                                   atn_table **layers, atn_table **heads,
                                   atn_idx *failed)
{
    (void)heads;
    return atn_adapter_table(cx, c, sel, o, layers, failed);
}
