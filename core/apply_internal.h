/* core/apply_internal.h -- what the sources of core/apply share. */
// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "core/apply.h"
#include "core/rows.h"

enum {
    ATN_APPLY_ROWS = 256,     /* of a tile at most */
    ATN_APPLY_COLS = 1024,    /* entries of a row that are in memory at once, at most */
    ATN_APPLY_PAIRS = 1 << 17 /* and of a tile */
};

/* Columns of a rectangle of so many rows. */
static inline atn_idx atn_apply_cols(atn_idx rows)
{
    return ATN_MIN((atn_idx)ATN_APPLY_COLS, ATN_APPLY_PAIRS / rows);
}

/* What is known of a softmax so far: the largest logit, or what takes its place, and sum
 * e^(z - max); beside it the sum of e^(z - max) v, not normalised. sum = 0 is no weight. Of MEAN, `sum` counts
 * the parts and beside it is the sum of their outputs. */
typedef struct atn_soft {
    double max, sum;
    bool any; /* there is an entry, if of no weight */
} atn_soft;

/* Progress of one call, of which a loop is the share from .. to. */
typedef struct atn_meter {
    void (*progress)(void *user, const char *what, double done, double total);
    void *user;
    double from, to;
} atn_meter;

typedef struct atn_run {
    const atn_head *h;
    const atn_plan *plan;
    const atn_branch *branch; /* at hand */
    atn_mat out;
    double *lse;
    atn_idx dv;     /* of the output; 0 = lse alone */
    bool first;     /* no branch has written to out yet */
    atn_soft *soft; /* [nq], of the groups of the branch; NULL = it has none */
    double *sum;    /* [nq, dv] */
    const char *what;
    atn_meter *meter;
} atn_run;

/* What a part reads in place of the head's; *k and *v, of the keys; p: logits. */
typedef struct atn_source {
    atn_cmat q, k, v;
} atn_source;
atn_source atn_source_of(const atn_run *run, const atn_part *part);

/* Columns [lo, hi). */
typedef struct atn_cut {
    atn_idx lo, hi;
} atn_cut;

/* Entries of a rectangle: rows, and columns that are keys. */
typedef struct atn_rect {
    const atn_run *run;
    const atn_part *part;
    atn_idx rows, cols;
    const int32_t *row; /* [rows] queries; NULL: first, first + 1, .. */
    atn_idx first;
    const int32_t *key; /* [cols], nk + v is virtual; NULL: key0, key0 + 1, .. */
    atn_idx key0;
    atn_cmat q, k, v;
    const float *log_weight; /* [cols], NULL = 0 */
    float *s;                /* [rows, ld] logits, then e^(logit - max) */
    atn_idx ld;
    float *o;      /* [rows, dv] */
    atn_soft *one; /* [rows] of these entries alone */
} atn_rect;

/* Rows begin an odd number of cache lines apart: steps of a power of 2 would share
 * sets. */
static inline atn_idx atn_apply_step(atn_idx cols)
{
    return ((cols + 15) / 16 | 1) * 16;
}

static inline atn_idx atn_rect_row(const atn_rect *t, atn_idx r)
{
    return t->row ? t->row[r] : t->first + r;
}

/* s <- logits before bias and cap, all pairs. */
void atn_rect_logits(const atn_rect *t);
/* Row r: the rest of its logits, in these columns, sorted and disjoint; e^(logit - max)
 * there and 0 in all others; one[r]. DATA where a logit is NaN or infinite. */
atn_status atn_rect_soften(atn_ctx *cx, const atn_rect *t, atn_idx r,
                           const atn_cut *cut, atn_idx cuts) ATN_WARN_UNUSED;
/* o <- the values by these weights, which with one[] may be rescaled. */
void atn_rect_mix(const atn_rect *t);

/* Row i alone with n <= ATN_APPLY_COLS real keys that it sees: one <- its softmax, o
 * [dv] <- the sum; x [n] is scratch. */
typedef struct atn_picked {
    const int32_t *key;
    const float *log_weight; /* NULL = 0 */
    atn_idx n;
    float *x, *o;
} atn_picked;
atn_status atn_row_picked(atn_ctx *cx, const atn_run *run, const atn_part *part,
                          atn_idx i, const atn_picked *e,
                          atn_soft *one) ATN_WARN_UNUSED;
/* The logit of row i and one key, which may be virtual and need not be seen, as a
 * softmax of one entry. */
atn_status atn_row_logit(atn_ctx *cx, const atn_run *run, const atn_part *part,
                         atn_idx i, int32_t key, atn_soft *one) ATN_WARN_UNUSED;

/* Adds a softmax and its sum o [dv] to another; dv = 0: no sums. */
void atn_soft_add(atn_soft *to, double *sum, const atn_soft *one, const float *o,
                  atn_idx dv);
void atn_soft_merge(atn_soft *to, double *sum, const atn_soft *one, const double *o,
                    atn_idx dv);
/* The same where the branch is a mean: one more output. */
void atn_soft_count(const atn_head *h, atn_soft *to, double *sum, const atn_soft *one,
                    const double *o, atn_idx dv);

/* Tiles of rows of the branch: all that patterns give, onto what groups gave, and the
 * output. */
atn_status atn_apply_tiles(atn_ctx *cx, const atn_run *run) ATN_WARN_UNUSED;
double atn_apply_tiles_bytes(const atn_ctx *cx, const atn_run *run);
/* Groups of the branch, into run->soft and run->sum. */
atn_status atn_apply_groups(atn_ctx *cx, const atn_run *run) ATN_WARN_UNUSED;
double atn_apply_groups_bytes(const atn_ctx *cx, const atn_run *run);

/* The branch has a group. */
bool atn_branch_grouped(const atn_branch *b);
/* Rows of a tile of the branch, which begin at positions that are a multiple of it. */
atn_idx atn_branch_rows(const atn_run *run);

/* ---- rows of patterns ---- */

/* The keys of one query: n spans of blocks of `block` keys, cut to [lo, hi). */
typedef struct atn_line {
    const atn_span *span;
    atn_idx n, block, lo, hi;
} atn_line;

/* The next span of keys at or after span *s; false: there is none. */
static inline bool atn_line_next(const atn_line *l, atn_idx *s, atn_span *out)
{
    for (; *s < l->n; ++*s) {
        out->lo = ATN_MAX(l->span[*s].lo * l->block, l->lo);
        out->hi = ATN_MIN(l->span[*s].hi * l->block, l->hi);
        if (out->lo >= l->hi) return false;
        if (out->lo >= out->hi) continue;
        ++*s;
        return true;
    }
    return false;
}

/* Lines of the queries first .. first + n - 1 of a part without groups; room has place
 * for atn_lines_room spans. */
void atn_lines_of(const atn_head *h, const atn_part *part, atn_idx first, atn_idx n,
                  atn_span *room, atn_line *out);
atn_idx atn_lines_room(const atn_head *h, const atn_part *part, atn_idx n);

/* ---- what is kept ---- */

/* Distinct keys, and virtual ones that stand for a key, of every row into kept [nq];
 * *tiles, unless it is NULL, <- tiles of the matrix in which a key is kept. */
atn_status atn_count_kept(atn_ctx *cx, const atn_head *h, const atn_plan *p,
                          int64_t *kept, double *tiles) ATN_WARN_UNUSED;
