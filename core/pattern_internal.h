/* core/pattern_internal.h -- what the sources of core/pattern share. */
// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "core/pattern.h"

struct atn_pattern_kind {
    /* Intervals of block row a of head h that meet `within`, sorted by their
     * beginnings; they may touch, overlap and reach beyond it. h is ATN_HEADS_ALL only
     * where heads > 1 and all_room > 0. */
    atn_idx (*row)(const atn_pattern *p, atn_idx h, atn_idx a, atn_span within,
                   atn_span *out);
    /* Blocks of the row, NULL = count what `row` gives. */
    atn_idx (*length)(const atn_pattern *p, atn_idx h, atn_idx a);
    void (*release)(atn_ctx *cx, atn_pattern *p); /* NULL = state is one allocation */
};

atn_status atn_frame_check(atn_ctx *cx, const atn_frame *f) ATN_WARN_UNUSED;
/* A pattern of this frame without rows; size bytes of zeroed state. USAGE when the
 * frame breaks a rule. */
atn_status atn_pattern_begin(atn_ctx *cx, const atn_frame *f,
                             const struct atn_pattern_kind *kind, size_t size,
                             atn_pattern **out) ATN_WARN_UNUSED;
/* Sorts n spans and joins what overlaps or touches, within [lo, hi); returns how many
 * are left. */
atn_idx atn_spans_tidy(atn_span *s, atn_idx n, atn_idx lo, atn_idx hi);
/* The same of spans that are sorted already. */
atn_idx atn_spans_join(atn_span *s, atn_idx n, atn_idx lo, atn_idx hi);

/* What holds of rows that are made of the rows of both. */
atn_repeat atn_repeat_both(atn_repeat a, atn_repeat b);
/* Of rows of every step-th block that see nothing outside their segment, the longest of
 * which has `longest` blocks. */
atn_repeat atn_repeat_within(atn_idx step, atn_idx segment, atn_idx longest);

/* The end of what block row a may see. */
static inline atn_idx atn_pattern_limit(const atn_pattern *p, atn_idx a)
{
    return p->frame.causal ? ATN_MIN(a + 1, p->cols) : p->cols;
}
