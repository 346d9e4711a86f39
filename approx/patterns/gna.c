/* approx/patterns/gna.c -- generalized neighbourhood attention on a grid of 1 to 3 axes
 * (core/axis.h).
 *
 * Math    core/axis.h; the mask is the product over the axes. Tokens in row-major order
 *         of the grid, which is that of shape, else that of the layer, else one axis
 *         of all tokens. It must hold all of them: text beyond it has no place.
 * Oracle  L = 8, w = 4, s = 2: windows begin at 0 0 1 1 3 3 4 4. Without causal axes
 *         every query sees the product of the windows. stride = window: blocks.
 * Source  Hassani et al., Generalized Neighborhood Attention, arXiv 2504.16922; Hassani
 *         et al., arXiv 2403.04690; NATTEN, reference/mask.hpp. Grids of the presets:
 *         NATTEN, docs/profiler.md.
 * Limits  the whole grid at once: no chunk of its queries.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "approx/generate.h"

#include <string.h>

typedef struct gna {
    atn_list shape, window, stride, dilation, causal;
} gna;

static const atn_param params[] = {
    ATN_PARAM_LIST(gna, shape, "", 1, ATN_EXTENT_MOST,
                   "lengths of the axes; none = the layer's grid, else one axis"),
    ATN_PARAM_LIST(gna, window, "7", 1, ATN_EXTENT_MOST,
                   "keys along an axis, one number for all or one for each"),
    ATN_PARAM_LIST(gna, stride, "1", 1, ATN_EXTENT_MOST,
                   "neighbours along an axis that share a window"),
    ATN_PARAM_LIST(gna, dilation, "1", 1, ATN_EXTENT_MOST,
                   "distance of one key to the next"),
    ATN_PARAM_LIST(gna, causal, "0", 0, 1, "1 = no key ahead along the axis"),
    ATN_PARAM_END,
};

static const atn_preset presets[] = {
    {"gna_flux", "shape=256x256,window=80,stride=16",
     "NATTEN's example on the grid of FLUX at 4K"},
    {"gna_hunyuan", "shape=30x48x80,window=18x24x24,stride=16x8x8",
     "NATTEN's example on the grid of HunyuanVideo"},
    {NULL, NULL, NULL},
};

static atn_idx tokens(const void *params_)
{
    const gna *t = params_;
    atn_idx n = t->shape.n > 0;

    for (int i = 0; i < t->shape.n; i++)
        if (!atn_mul(n, t->shape.at[i], &n)) return 0;
    return n;
}

static atn_status check_list(atn_ctx *cx, const char *name, const atn_list *list,
                             int rank)
{
    if (list->n == 1 || list->n == rank) return ATN_OK;
    return atn_fail(
        cx, ATN_USAGE, __FILE__, __LINE__,
        "gna: %s has %d numbers and the grid has %d axes (give one for all, or one for "
        "each; shape=AxB names a grid, as --grid AxB of approx does)",
        name, list->n, rank);
}

/* The lengths of the axes. */
static atn_list grid_of(const gna *t, const atn_layout *l)
{
    if (t->shape.n > 0) return t->shape;
    return l->grid ? *l->grid : (atn_list){1, {l->nk}};
}

static atn_status read_axes(atn_ctx *cx, const gna *t, const atn_list *grid,
                            atn_axes *axes)
{
    const int rank = grid->n;
    atn_status st = ATN_OK;

    if (rank > ATN_AXES_MOST)
        ATN_FAIL(ATN_USAGE,
                 "gna: shape has %d axes, at most %d are possible (give 1 to "
                 "%d, as shape=AxB)",
                 rank, ATN_AXES_MOST, ATN_AXES_MOST);
    ATN_TRY(check_list(cx, "window", &t->window, rank));
    ATN_TRY(check_list(cx, "stride", &t->stride, rank));
    ATN_TRY(check_list(cx, "dilation", &t->dilation, rank));
    ATN_TRY(check_list(cx, "causal", &t->causal, rank));
    axes->rank = rank;
    for (int i = 0; i < rank; i++)
        axes->at[i] = (atn_axis){
            .length = grid->at[i],
            .window = t->window.at[t->window.n > 1 ? i : 0],
            .stride = t->stride.at[t->stride.n > 1 ? i : 0],
            .dilation = t->dilation.at[t->dilation.n > 1 ? i : 0],
            .causal = t->causal.at[t->causal.n > 1 ? i : 0] != 0,
        };
done:
    return st;
}

/* The rules of an axis, and whose axes they are. */
static atn_status check_axes(atn_ctx *cx, const atn_axes *axes)
{
    const atn_status st = atn_axes_check(cx, axes);
    char text[ATN_ERR_TEXT];

    if (st != ATN_USAGE) return st;
    memcpy(text, cx->err.text, sizeof text);
    return atn_fail(cx, st, __FILE__, __LINE__, "gna: %s", text);
}

/* The grid has the n tokens that there are. */
static atn_status check_tokens(atn_ctx *cx, const gna *t, const atn_axes *axes,
                               atn_idx n)
{
    const long long tokens = (long long)atn_axes_tokens(axes), all = (long long)n;
    atn_status st = ATN_OK;

    if (tokens == all) goto done;
    if (t->shape.n > 0)
        ATN_FAIL(ATN_USAGE,
                 "gna: the grid of shape has %lld tokens, the text has %lld (give a "
                 "shape= of %lld tokens)",
                 tokens, all, all);
    ATN_FAIL(
        ATN_USAGE,
        "gna: the grid of the layer has %lld tokens and there are %lld: the others, "
        "special tokens or text, have no place on it (give a shape=AxB or --grid AxB "
        "of "
        "%lld tokens, or shape=%lld, one axis)",
        tokens, all, all, all);
done:
    return st;
}

static atn_status make(atn_ctx *cx, const void *params_, const atn_layout *l,
                       atn_pattern **out)
{
    const gna *t = params_;
    const atn_list grid = grid_of(t, l);
    atn_status st = ATN_OK;
    atn_axes axes = {0};

    ATN_TRY(read_axes(cx, t, &grid, &axes));
    ATN_TRY(check_axes(cx, &axes));
    if (l->nq != l->nk || l->first != 0)
        ATN_FAIL(ATN_USAGE,
                 "gna: %lld queries from position %lld on against %lld keys are no "
                 "whole grid (give all queries)",
                 (long long)l->nq, (long long)l->first, (long long)l->nk);
    ATN_TRY(check_tokens(cx, t, &axes, l->nk));
    ATN_TRY(atn_pattern_axes(cx, &axes, out));
done:
    return st;
}

const atn_generator atn_generator_gna = {
    .id = "gna",
    .title = "Generalized neighbourhood attention",
    .source = "Hassani et al., arXiv 2504.16922 and 2403.04690",
    .text = "neighbours on a grid, the window moved inwards at its ends",
    .params = params,
    .params_size = sizeof(gna),
    .presets = presets,
    .tokens = tokens,
    .make = make,
};
