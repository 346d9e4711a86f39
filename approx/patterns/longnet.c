/* approx/patterns/longnet.c -- LongNet: segments of growing length, ever more thinly.
 *
 * Math    in blocks; for some k: floor(i / W_k) = floor(j / W_k), and the places i mod
 *         W_k and j mod W_k are both s mod r_k, with s = h mod r_k in head h, or 0 in
 *         all. Every query sees itself.
 * Oracle  power_longnet: 9.884 % of the triangle of 128 blocks, stays at 80 reached.
 *         {(8,1), (32,4), (128,16)} with phase 0: 1, 8, 14, 29, 38, 56 and no more; the
 *         phases of 16 heads together: 1, 20, 92, 128.
 * Source  Ding et al., LongNet, arXiv 2307.02486; the form that PowerAttention (Chen et
 *         al., arXiv 2503.03588) writes with the bits of i xor j is power_longnet.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "approx/generate.h"

typedef struct longnet {
    atn_list segments, dilations;
    int64_t block;
    int phase;
    bool causal;
} longnet;

enum { PHASE_HEAD, PHASE_ZERO };

static const atn_param params[] = {
    ATN_PARAM_LIST(longnet, segments, "2048x4096x8192x16384x32768", 1, ATN_EXTENT_MOST,
                   "lengths of segments"),
    ATN_PARAM_LIST(longnet, dilations, "1x2x4x6x12", 1, ATN_EXTENT_MOST,
                   "of each length, of how many places one is taken"),
    ATN_PARAM_CHOICE(longnet, phase, PHASE_HEAD, "head|zero",
                     "places at which the heads begin: in turn, or all at the first"),
    ATN_PARAM_BOOL(longnet, causal, 1, "keys up to the query only"),
    ATN_PARAM_BLOCK(longnet, 1),
    ATN_PARAM_END,
};

static const atn_preset presets[] = {
    {"power_longnet",
     "block=256,segments=8x16x32x64x128,dilations=1x2x4x8x16,phase=zero",
     "the LongNet that PowerAttention is compared with"},
    {NULL, NULL, NULL},
};

static atn_status check(atn_ctx *cx, const longnet *t)
{
    atn_status st = ATN_OK;

    if (t->segments.n != t->dilations.n || t->segments.n == 0)
        ATN_FAIL(ATN_USAGE,
                 "longnet: %d segments and %d dilations (give one dilation for each "
                 "length of a segment)",
                 t->segments.n, t->dilations.n);
    for (int k = 0; k < t->segments.n; k++)
        if (t->dilations.at[k] > t->segments.at[k])
            ATN_FAIL(
                ATN_USAGE,
                "longnet: dilation %lld is above its segment of %lld (give %lld or "
                "less)",
                (long long)t->dilations.at[k], (long long)t->segments.at[k],
                (long long)t->segments.at[k]);
done:
    return st;
}

static atn_status make(atn_ctx *cx, const void *params_, const atn_layout *l,
                       atn_pattern **out)
{
    static const atn_span self = {0, 1};
    const longnet *t = params_;
    const atn_frame f = atn_generator_frame(l, t->block, t->causal);
    const atn_idx heads = t->phase == PHASE_ZERO ? 1 : l->heads;
    const atn_arena_mark mark = atn_arena_save(cx);
    atn_pattern *all = NULL, *one = NULL, *both = NULL;
    atn_idx *phase = NULL;
    atn_status st = ATN_OK;

    ATN_TRY(check(cx, t));
    ATN_TAKE(phase, heads);
    ATN_TRY(atn_pattern_shift(cx, &f, &self, 1, 0, &all));
    for (int k = 0; k < t->segments.n; k++) {
        for (atn_idx h = 0; h < heads; h++) phase[h] = h % t->dilations.at[k];
        ATN_TRY(atn_pattern_residues(cx, &f, t->segments.at[k], t->dilations.at[k],
                                     phase, heads, &one));
        st = atn_generator_join(cx, all, one, &both);
        all = both;
        one = both = NULL;
        ATN_TRY(st);
    }
    *out = all;
    all = NULL;
done:
    atn_pattern_destroy(cx, all);
    atn_pattern_destroy(cx, one);
    atn_arena_rewind(cx, mark);
    return st;
}

const atn_generator atn_generator_longnet = {
    .id = "longnet",
    .title = "LongNet",
    .source = "Ding et al., LongNet, arXiv 2307.02486",
    .text = "the query's segments of several lengths, the longer the more thinly",
    .params = params,
    .params_size = sizeof(longnet),
    .presets = presets,
    .make = make,
};
