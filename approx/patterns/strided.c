/* approx/patterns/strided.c -- the nearest keys, and those at multiples of a distance.
 *
 * Math    D = i - j >= 0 in blocks. First half D < local, second D mod stride = 0; the
 *         first `sink` blocks in both. local = 0 is local = stride, the published form.
 * Oracle  local = stride: with both halves every j <= i is at most two layers away, a
 *         multiple of the stride first, then less than a stride. stride = 1 or local >=
 *         n: causal attention. power_slash at 128 blocks: 10, 30, 50 .. 128 reached.
 * Source  Child et al., Sparse Transformer, arXiv 1904.10509, openai/sparse_attention;
 *         power_slash: Chen et al., PowerAttention, arXiv 2503.03588, whose text gives
 *         three slash blocks at 128 blocks, read as stride 32.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "approx/generate.h"

typedef struct strided {
    int64_t stride, local, sink, block;
    int form;
} strided;

static const atn_param params[] = {
    ATN_PARAM_I64(strided, stride, 128, 1, ATN_EXTENT_MOST,
                  "distances of which it divides are seen"),
    ATN_PARAM_I64(strided, local, 0, 0, ATN_EXTENT_MOST,
                  "nearest blocks, the query's own among them; 0 = stride"),
    ATN_PARAM_I64(strided, sink, 0, 0, ATN_EXTENT_MOST, "first blocks, seen by all"),
    ATN_PARAM_CHOICE(strided, form, ATN_HALVES_MERGED, ATN_HALVES, ATN_HALVES_TEXT),
    ATN_PARAM_BLOCK(strided, 1),
    ATN_PARAM_END,
};

static const atn_preset presets[] = {
    {"power_slash", "block=256,stride=32,local=6,sink=1",
     "the stride slash that PowerAttention is compared with"},
    {NULL, NULL, NULL},
};

/* The pattern of the halves (bits, as atn_generator_half) of one head. */
static atn_status half(atn_ctx *cx, const strided *t, const atn_frame *f, int halves,
                       atn_pattern **out)
{
    const atn_idx reach = atn_generator_reach(f);
    const atn_idx most = atn_generator_comb(reach, t->stride, reach, false, NULL);
    const atn_arena_mark mark = atn_arena_save(cx);
    atn_status st = ATN_OK;
    atn_span *offsets = NULL;
    atn_idx n = 0;

    ATN_TAKE(offsets, most + 1);
    if (halves & 1)
        n += atn_generator_comb(reach, 1, t->local ? t->local : t->stride, false,
                                offsets);
    if (halves & 2)
        n += atn_generator_comb(reach, t->stride, reach, false, offsets + n);
    ATN_TRY(atn_pattern_shift(cx, f, offsets, n, atn_generator_first(f, t->sink), out));
done:
    atn_arena_rewind(cx, mark);
    return st;
}

static atn_status make(atn_ctx *cx, const void *params_, const atn_layout *l,
                       atn_pattern **out)
{
    const strided *t = params_;
    const atn_frame f = atn_generator_frame(l, t->block, true);
    const atn_idx heads = t->form == ATN_HALVES_HEADS ? l->heads : 1;
    const atn_arena_mark mark = atn_arena_save(cx);
    atn_pattern **each = NULL;
    atn_status st = ATN_OK;
    atn_idx n = 0;

    ATN_TRY(atn_generator_halves(cx, "strided", t->form, l));
    ATN_TAKE(each, heads);
    for (; n < heads; n++)
        ATN_TRY(half(cx, t, &f, atn_generator_half(t->form, l, n), &each[n]));
    st = atn_generator_heads(cx, each, heads, out);
    n = 0;
done:
    while (n > 0) atn_pattern_destroy(cx, each[--n]);
    atn_arena_rewind(cx, mark);
    return st;
}

static double bytes(const void *params_, const atn_layout *l)
{
    const strided *t = params_;
    const double reach = (double)((l->first + l->nq) / t->block + 1);
    const double teeth = reach / (double)t->stride + 2;

    return 64 * teeth * (double)(t->form == ATN_HALVES_HEADS ? l->heads : 1);
}

const atn_generator atn_generator_strided = {
    .id = "strided",
    .title = "Strided (Sparse Transformer)",
    .source = "Child et al., Sparse Transformer, arXiv 1904.10509",
    .text = "the nearest keys, and those at multiples of a distance",
    .params = params,
    .params_size = sizeof(strided),
    .budget = "local",
    .presets = presets,
    .by_layer = true,
    .make = make,
    .bytes = bytes,
};
