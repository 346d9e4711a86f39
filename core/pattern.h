/* core/pattern.h -- which keys a query sees: for every row its sorted disjoint key
 * intervals, made on demand; a pattern never holds all of them unless it was given so.
 *
 * Math    keys stand at positions 0..nk-1, the queries at first..first+nq-1 of the same
 *         axis. A pattern is a set of blocks (a, c), rows and keys in blocks of `block`
 *         positions; query i sees the keys j of block floor(j / block) of block row
 *         floor(i / block) and, where the pattern is causal, of these only j <= i.
 * Oracle  brute force over all pairs at small sizes; the counts of cards/sparse.md.
 * Cost    a row: its intervals, and a binary search where there is something to find.
 * Limits  an object is immutable and may be read by many threads at once.
 *
 * Structure that a pattern has is stated in it, so that counting and reachability can
 * use it: `shift` (the same offsets i - j in every row, and perhaps the first keys),
 * `axes` (a product over the axes of a grid), `repeat` (rows that go on from earlier
 * ones). The algebra keeps what it can.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "core/axis.h"

enum { ATN_PATTERN_KEYS_LOG = 31 };
#define ATN_PATTERN_KEYS_MOST ((atn_idx)1 << ATN_PATTERN_KEYS_LOG) /* and queries */

typedef struct atn_span {
    atn_idx lo, hi; /* [lo, hi), not empty */
} atn_span;

/* What every pattern states of itself. */
typedef struct atn_frame {
    atn_idx nk, nq, first; /* of self-attention first = nk - nq */
    atn_idx block;         /* >= 1; 1 = tokens */
    bool causal;
} atn_frame;
/* n queries and keys at the same positions. */
atn_frame atn_frame_square(atn_idx n, atn_idx block, bool causal);

/* Rows that repeat: of two rows a' < a of one segment with a = a' mod step, the blocks
 * below a' - reach are the same. So what a has and a' has not is near a. */
typedef struct atn_repeat {
    atn_idx step;    /* <= ATN_REPEAT_MOST; 0: nothing is stated */
    atn_idx segment; /* blocks, the first begins at block 0; 0: all rows are in one */
    atn_idx reach;   /* >= 0 */
} atn_repeat;
enum { ATN_REPEAT_MOST = 4096 };
/* The same in blocks `factor` times as small. */
atn_repeat atn_repeat_scale(atn_repeat r, atn_idx factor);
/* Row a is among the first `step` of its segment: no earlier row says what it has. */
static inline bool atn_repeat_fresh(const atn_repeat *r, atn_idx a)
{
    return (r->segment > 0 ? a % r->segment : a) < r->step;
}

typedef struct atn_pattern atn_pattern;
struct atn_pattern {
    atn_frame frame;
    atn_idx row0, row1; /* block rows [row0, row1), by position */
    atn_idx cols;       /* blocks of keys */
    atn_idx heads;      /* 1: all heads alike; else head h < heads */
    atn_idx most;       /* intervals that a row can have */
    atn_idx room;       /* atn_span that atn_pattern_row may write, >= most, >= 1 */
    atn_idx all_most, all_room; /* the same of ATN_HEADS_ALL; 0: it may not be asked */

    bool shift; /* block row a sees the blocks a - o for o in `offsets` .. */
    const atn_span *offsets; /* [n_offsets] sorted, disjoint, not touching */
    atn_idx n_offsets;
    atn_idx prefix; /* .. and the first `prefix` blocks; clipped to what there is */

    const atn_axes *axes; /* NULL, or the grid that it is the neighbourhood of */
    atn_repeat repeat;    /* of every head */

    const struct atn_pattern_kind *kind; /* private */
    void *state;
    int keeps;
};
void atn_pattern_destroy(atn_ctx *cx, atn_pattern *p);
/* One more owner of p, who destroys it, too; not while another thread does so. */
atn_pattern *atn_pattern_keep(atn_pattern *p);

/* Block row a of head h: its intervals of key blocks into out [p->room]; returns their
 * number. They are sorted, disjoint, do not touch, lie in [0, cols) and, in a causal
 * pattern, in [0, a]. */
atn_idx atn_pattern_row(const atn_pattern *p, atn_idx head, atn_idx a, atn_span *out);
/* The same of blocks from `from` on alone: what is below costs nothing, where rows
 * repeat. Head ATN_HEADS_ALL: what any of the heads sees, out [p->all_room]. */
enum { ATN_HEADS_ALL = -1 };
atn_idx atn_pattern_row_from(const atn_pattern *p, atn_idx head, atn_idx a,
                             atn_idx from, atn_span *out);
/* atn_pattern_row in keys, for the query at position i; the last key block and
 * causality clip. */
atn_idx atn_pattern_keys(const atn_pattern *p, atn_idx head, atn_idx i, atn_span *out);

/* ---- making one: USAGE or MEMORY; arrays are copied unless it says otherwise ---- */

/* Block row a sees the blocks a - o, o in the union of n spans of offsets (any order,
 * may overlap, may be negative), and the first `prefix` blocks. */
atn_status atn_pattern_shift(atn_ctx *cx, const atn_frame *f, const atn_span *offsets,
                             atn_idx n, atn_idx prefix,
                             atn_pattern **out) ATN_WARN_UNUSED;
/* All rows of a box see all its keys. A row costs the boxes that have it. */
typedef struct atn_box {
    atn_span rows, keys; /* blocks */
} atn_box;
atn_status atn_pattern_boxes(atn_ctx *cx, const atn_frame *f, const atn_box *boxes,
                             atn_idx n, atn_pattern **out) ATN_WARN_UNUSED;
/* Boxes that a diagonal of slope 1 may cut: the keys of one end at that of its lower
 * right corner, begin at that of its upper left one, or both. They may overlap. */
enum { ATN_SLICE_ENDS = 1, ATN_SLICE_BEGINS = 2 };
typedef struct atn_slice {
    atn_span rows, keys; /* blocks */
    int cut;             /* of these; 0 = a box */
} atn_slice;
atn_status atn_pattern_slices(atn_ctx *cx, const atn_frame *f, const atn_slice *slices,
                              atn_idx n, atn_pattern **out) ATN_WARN_UNUSED;
/* Whether two of n slices have a pair in common, and one such place. n log n. */
typedef struct atn_meeting {
    atn_idx one, other; /* slices, one < other */
    atn_idx row, key;   /* the first row in which both have this key */
} atn_meeting;
atn_status atn_slices_meet(atn_ctx *cx, const atn_slice *slices, atn_idx n, bool *meet,
                           atn_meeting *out) ATN_WARN_UNUSED;
/* Segments begin at starts[0] = 0 < starts[1] < ..: a block sees those of its own. */
atn_status atn_pattern_segments(atn_ctx *cx, const atn_frame *f, const atn_idx *starts,
                                atn_idx n, atn_pattern **out) ATN_WARN_UNUSED;
/* All rows see the blocks c with (c - phase_h) mod period < width, phase_h of head h;
 * 1 <= width <= period. */
atn_status atn_pattern_columns(atn_ctx *cx, const atn_frame *f, atn_idx period,
                               atn_idx width, const atn_idx *phase, atn_idx heads,
                               atn_pattern **out) ATN_WARN_UNUSED;
/* Segments of `segment` blocks; in each, those whose place p there has p mod step =
 * phase_h see one another. */
atn_status atn_pattern_residues(atn_ctx *cx, const atn_frame *f, atn_idx segment,
                                atn_idx step, const atn_idx *phase, atn_idx heads,
                                atn_pattern **out) ATN_WARN_UNUSED;
/* Neighbourhood attention on a grid (core/axis.h); tokens in row-major order of the
 * grid. USAGE when an axis is not legal. */
atn_status atn_pattern_axes(atn_ctx *cx, const atn_axes *axes,
                            atn_pattern **out) ATN_WARN_UNUSED;
/* Given rows. ptr [heads * rows + 1] counts spans; those of head h and block row a are
 * spans [ptr[k], ptr[k + 1]), k = h * rows + a - row0, as atn_pattern_row gives them.
 * Takes both arrays (of atn_alloc), also on failure. */
atn_status atn_pattern_rows(atn_ctx *cx, const atn_frame *f, atn_idx heads,
                            int64_t *ptr, atn_span *spans,
                            atn_pattern **out) ATN_WARN_UNUSED;
/* The same, coded, where `share` block rows in a row have one list: block row a of head
 * h has list h * lists + a / share - row0 / share, items [ptr[k], ptr[k + 1]). Item
 * x >= 0 is block x, the two items ~lo, last the blocks lo .. last; ascending, not
 * touching. Takes both arrays, also on failure. */
atn_status atn_pattern_lists(atn_ctx *cx, const atn_frame *f, atn_idx share,
                             atn_idx heads, int64_t *ptr, int32_t *items,
                             atn_pattern **out) ATN_WARN_UNUSED;
/* Items of n sorted spans that do not touch, into out (NULL: none); their number. */
atn_idx atn_pattern_code(const atn_span *spans, atn_idx n, int32_t *out);
/* Head h is p[h], of one head each. Takes the n patterns, also on failure. */
atn_status atn_pattern_heads(atn_ctx *cx, atn_pattern **p, atn_idx n,
                             atn_pattern **out) ATN_WARN_UNUSED;

/* ---- algebra. Both operands are taken, also on failure, and must be of the same
 * queries and keys; heads are equal or one has 1. Different blocks meet in their
 * greatest common divisor, in tokens where only one is causal. ---- */

atn_status atn_pattern_union(atn_ctx *cx, atn_pattern *a, atn_pattern *b,
                             atn_pattern **out) ATN_WARN_UNUSED;
atn_status atn_pattern_intersection(atn_ctx *cx, atn_pattern *a, atn_pattern *b,
                                    atn_pattern **out) ATN_WARN_UNUSED;
atn_status atn_pattern_difference(atn_ctx *cx, atn_pattern *a, atn_pattern *b,
                                  atn_pattern **out) ATN_WARN_UNUSED;
/* One head: what any of the n heads from `first` on sees, behind the last one head 0.
 * Rows are merged when they are asked for; p stays the caller's and is kept. */
atn_status atn_pattern_together(atn_ctx *cx, const atn_pattern *p, atn_idx first,
                                atn_idx n, atn_pattern **out) ATN_WARN_UNUSED;
/* Two layers: i sees k through some j that i sees in `upper` and that sees k in
 * `lower`. Square patterns of one head each, which stay the caller's; the rows are
 * computed and held. */
atn_status atn_pattern_compose(atn_ctx *cx, const atn_pattern *upper,
                               const atn_pattern *lower,
                               atn_pattern **out) ATN_WARN_UNUSED;

/* ---- counting ---- */

/* Pairs (i, j) of one head, exact; of a grid in closed form, else the rows are
 * walked. */
atn_status atn_pattern_pairs(atn_ctx *cx, const atn_pattern *p, atn_idx head,
                             int64_t *pairs) ATN_WARN_UNUSED;

/* The densities of cards/sparse.md section 0, of one head. Sparsity is 1 - density. */
typedef struct atn_pattern_counts {
    int64_t pairs;
    int64_t blocks;              /* pairs of blocks with an entry */
    int64_t row_most, row_least; /* keys of a row */
    int64_t empty_rows;
    double full;       /* pairs / (nq nk) */
    double causal;     /* pairs / visible pairs; NaN where the pattern is not causal */
    double block_full; /* blocks / all */
    double block_causal; /* blocks / those with a visible pair; NaN as above */
    double kv;           /* row_most / nk */
    double mean;         /* mean over rows of keys / visible keys */
} atn_pattern_counts;
/* Cost: all rows once, of rows that repeat what is near; of a grid that is not causal
 * its axes; O(1) memory beside a row. */
atn_status atn_pattern_count(atn_ctx *cx, const atn_pattern *p, atn_idx head,
                             atn_pattern_counts *out) ATN_WARN_UNUSED;

/* out: the share of the pairs of a cell that the pattern has, queries and keys cut into
 * out.rows and out.cols nearly equal parts, of at least one each; NaN where a cell has
 * no visible pair. */
atn_status atn_pattern_image(atn_ctx *cx, const atn_pattern *p, atn_idx head,
                             atn_mat out) ATN_WARN_UNUSED;
