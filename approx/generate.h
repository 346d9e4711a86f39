/* approx/generate.h -- what the generators of approx/patterns share: frames of blocks,
 * combs of offsets, borders, and the rules that several have. */
// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "approx/pattern.h"

/* The largest block, window, stride .. that a parameter may ask for. */
#define ATN_EXTENT_MOST 0x1p40

/* The row of `block` in the parameter table of struct s. */
#define ATN_PARAM_BLOCK(s, size)                                                       \
    ATN_PARAM_I64(s, block, size, 1, ATN_EXTENT_MOST,                                  \
                  "tokens of a block, in which all lengths count")

atn_frame atn_generator_frame(const atn_layout *l, atn_idx block, bool causal);
/* Blocks of keys. */
atn_idx atn_generator_cols(const atn_frame *f);
/* Distances of a block row and a key block, forwards or backwards, lie below this. */
atn_idx atn_generator_reach(const atn_frame *f);

/* Offsets 0, step, 2 step .. of `count` teeth, and with `both` the same to the other
 * side, as far as they lie below reach. Writes them to out, NULL = count only; returns
 * the number of spans: 1 where step is 1. */
atn_idx atn_generator_comb(atn_idx reach, atn_idx step, atn_idx count, bool both,
                           atn_span *out);
/* The offsets 0 .. window - 1 and the powers of two below reach, at most
 * ATN_POWERS_MOST + 1 spans, into out; returns their number. */
enum { ATN_POWERS_MOST = 63 };
atn_idx atn_generator_powers(atn_idx reach, atn_idx window, atn_span *out);
/* Borders 0, step, 2 step .. below reach, in the arena. */
atn_status atn_generator_borders(atn_ctx *cx, atn_idx reach, atn_idx step,
                                 atn_idx **starts, atn_idx *n) ATN_WARN_UNUSED;
/* Borders of pieces whose lengths are given: one length is repeated, several must add
 * up to the blocks of keys. In the arena. USAGE names `id` and both sums. */
atn_status atn_generator_pieces(atn_ctx *cx, const char *id, const atn_frame *f,
                                const atn_list *lengths, atn_idx **starts,
                                atn_idx *n) ATN_WARN_UNUSED;
/* The numbers of the list, sorted, as spans (neighbours joined), in the arena. USAGE
 * where one is no block of keys; `what` is its name. */
atn_status atn_generator_places(atn_ctx *cx, const char *id, const char *what,
                                const atn_frame *f, const atn_list *list,
                                atn_span **spans, atn_idx *n) ATN_WARN_UNUSED;

/* The union, where either may be NULL; takes both, also on failure. */
atn_status atn_generator_join(atn_ctx *cx, atn_pattern *a, atn_pattern *b,
                              atn_pattern **out) ATN_WARN_UNUSED;
/* atn_pattern_heads of n, or the one there is. */
atn_status atn_generator_heads(atn_ctx *cx, atn_pattern **p, atn_idx n,
                               atn_pattern **out) ATN_WARN_UNUSED;

/* The first `count` blocks of keys, cut to those that there are. */
atn_idx atn_generator_first(const atn_frame *f, atn_idx count);
/* USAGE where `sink` blocks are more than there are keys. */
atn_status atn_generator_sink(atn_ctx *cx, const char *id, const char *what,
                              const atn_frame *f, atn_idx sink) ATN_WARN_UNUSED;
/* The halves of a factorised pattern: both in every head, heads 0, 2, .. the first and
 * 1, 3, .. the second, or layers likewise. */
#define ATN_HALVES "merged|heads|layers"
enum { ATN_HALVES_MERGED, ATN_HALVES_HEADS, ATN_HALVES_LAYERS };
#define ATN_HALVES_TEXT                                                                \
    "both halves in every head, or in turn over the heads or the layers"
/* USAGE where the heads are to share and there is one. */
atn_status atn_generator_halves(atn_ctx *cx, const char *id, int form,
                                const atn_layout *l) ATN_WARN_UNUSED;
/* Which halves head h has: bit 0 the first, bit 1 the second. */
int atn_generator_half(int form, const atn_layout *l, atn_idx h);
