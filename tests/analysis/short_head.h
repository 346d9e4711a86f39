/* tests/analysis/short_head.h -- heads whose queries and keys are short: the laws of
 * random features can be seen in a few draws. */
// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "analysis/experiment_heads.h"

static inline experiment_case short_case(atn_ctx *cx, dense_kind kind, atn_idx n,
                                         float by)
{
    experiment_case e = {.x = make_dense(kind, n, 1)};

    for (atn_idx c = 0; c < e.x.h.nq * DENSE_D; c++) e.x.q[c] *= by;
    for (atn_idx c = 0; c < e.x.h.nk * DENSE_D; c++) e.x.k[c] *= by;
    CHECK_OK(atn_head_facts_make(cx, &e.x.h, 1024, &e.facts));
    return e;
}
