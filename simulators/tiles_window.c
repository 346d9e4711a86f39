/* simulators/tiles_window.c -- patterns that are windows. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "simulators/tiles.h"

/* Of tokens, [lo, hi) the offsets i - j that are seen. */
static bool window_of(const atn_pattern *p, atn_span seen, atn_idx *left,
                      atn_idx *right)
{
    const atn_frame *f = &p->frame;
    const atn_idx before = f->first + f->nq - 1, behind = f->nk - 1 - f->first;

    if (seen.lo > 0 || seen.hi < 1) return false;
    *left = seen.hi - 1 >= before ? -1 : seen.hi - 1;
    *right = f->causal ? 0 : -seen.lo >= behind ? -1 : -seen.lo;
    return true;
}

/* Offsets of blocks say which tokens are seen where they leave out none. */
static bool window_of_shift(const atn_pattern *p, atn_idx *left, atn_idx *right)
{
    const atn_idx b = p->frame.block;
    atn_span seen;

    if (p->n_offsets != 1) return false;
    seen = p->offsets[0];
    if (b > 1) {
        const bool past = seen.lo <= 0 && seen.hi >= p->row1;
        const bool future = p->frame.causal || seen.lo <= p->row0 - p->cols + 1;

        if (!past || !future) return false;
        *left = -1;
        *right = p->frame.causal ? 0 : -1;
        return true;
    }
    if (!window_of(p, seen, left, right)) return false;
    /* the first keys are in the window already */
    return p->prefix == 0 || (*left < 0 && (*right < 0 || p->frame.causal ||
                                            p->prefix <= p->frame.first + *right + 1));
}

static bool window_of_axes(const atn_axes *g, atn_idx *left, atn_idx *right)
{
    const atn_axis *a = &g->at[0];
    bool full = true;

    for (int i = 0; i < g->rank; i++)
        full &= g->at[i].window == g->at[i].length && !g->at[i].causal;
    *left = *right = -1;
    if (full) return true;
    if (g->rank > 1 || !a->causal || a->dilation > 1 || a->stride > 1) return false;
    *left = a->window >= a->length ? -1 : a->window - 1;
    *right = 0;
    return true;
}

bool atn_pattern_window(const atn_pattern *p, atn_idx *left, atn_idx *right)
{
    if (p->axes) return window_of_axes(p->axes, left, right);
    return p->shift && p->heads == 1 && window_of_shift(p, left, right);
}
