/* analysis/shares.c -- heads of one part, see the header. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "analysis/shares.h"

static double weight_of(const atn_layer_info *l)
{
    const atn_head h = {.nq = l->nq, .nk = l->nk, .sight = l->sight};

    return 1 + atn_visible_pairs(&h) * (double)(l->d + l->dv);
}

atn_status atn_share_heads(atn_ctx *cx, const atn_shard *s, const atn_capture *c,
                           const atn_selection *sel, atn_idx *from, atn_idx *to)
{
    const atn_arena_mark mark = atn_arena_save(cx);
    atn_status st = ATN_OK;
    double *weight = NULL;
    atn_idx n = 0;

    ATN_TAKE(weight, sel->n_heads);
    for (int i = 0; i < sel->n; i++) {
        const double w = weight_of(atn_capture_layer(c, sel->at[i]));
        const atn_idx heads = atn_selection_heads(sel, i);

        for (atn_idx h = 0; h < heads; h++) weight[n++] = w;
    }
    ATN_ASSERT(n == sel->n_heads);
    atn_shard_range(s, weight, n, from, to);
done:
    atn_arena_rewind(cx, mark);
    return st;
}
