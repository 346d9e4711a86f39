/* core/row_values.c -- the row pass on the CPU, see the header. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "core/row_values.h"

#include <math.h>
#include <string.h>

#include "core/backend.h"
#include "core/row_sums.h"

enum { REST = ATN_NEED_FIRST | ATN_NEED_MOMENTS };

typedef struct pass {
    const atn_head *heads;
    atn_row_want want; /* block_keys and what NEEDED implies filled in */
    atn_row_out *out;
    atn_row_sums *sums; /* [n_heads] */
    atn_sum_locks locks;
} pass;

/* What the rows of a tile work in. */
typedef struct scratch {
    float *heap;     /* [min(top_k, nk)] */
    float *sorted;   /* [keys] of gini */
    atn_mat logs;    /* [rows, keys] source p: the logarithms of the weights */
    atn_cover cover; /* of the row at hand */
    atn_cover_scratch of_cover; /* [keys] each */
} scratch;

/* A row of a head, seen from key info->lo on. */
typedef struct row {
    const atn_row_want *want;
    const atn_head *h;
    double *const *value;
    const float *seen;
    const atn_row_info *info;
    atn_idx i, at, n; /* query, its position, visible keys */
} row;

/* Weight of key j; 0 where the row does not see it. */
static double weight_at(const row *r, atn_idx j)
{
    return j >= r->info->lo && j < r->info->hi ? (double)r->seen[j - r->info->lo] : 0;
}

static void set(const row *r, atn_row_field f, double x)
{
    if (r->value[f]) r->value[f][r->i] = x;
}

static void induction(const row *r)
{
    double next = 0, same = 0;

    for (atn_idx m = r->want->earlier[r->at]; m >= 0; m = r->want->earlier[m]) {
        next += weight_at(r, m + 1);
        same += weight_at(r, m);
    }
    set(r, ATN_ROW_INDUCTION, next);
    set(r, ATN_ROW_DUPLICATE, same);
}

/* What the keys beside the first have, in all and times |t - j|. A row sees the first
 * key as its first or not at all; the difference is taken where it keeps at least half
 * of its digits. */
static void rest_of(const row *r, double weight, const double *distance)
{
    const atn_idx first = r->h->sight.key_first;
    const double mass = r->info->mass, far = weight * fabs((double)(r->at - first));
    double rest = mass - weight, rest_distance = distance ? *distance - far : 0, square;

    if ((weight > 0.5 * mass || (distance && far > 0.5 * *distance)) &&
        r->info->lo == first && r->n > 0) {
        rest = atn_row_sum(r->seen + 1, r->n - 1);
        atn_row_moments(r->seen + 1, r->n - 1, (double)(r->at - first - 1), &square,
                        &rest_distance);
    }
    set(r, ATN_ROW_REST, rest);
    if ((r->want->needs & REST) == REST) set(r, ATN_ROW_REST_DISTANCE, rest_distance);
}

static void moments_and_first(const row *r)
{
    const unsigned needs = r->want->needs;
    const atn_idx first = r->h->sight.key_first;
    double square, distance, four = 0;

    if (needs & ATN_NEED_MOMENTS) {
        atn_row_moments(r->seen, r->n, (double)(r->at - r->info->lo), &square,
                        &distance);
        set(r, ATN_ROW_SQUARE, square);
        set(r, ATN_ROW_DISTANCE, distance);
    }
    if (!(needs & ATN_NEED_FIRST)) return;
    for (atn_idx j = first; j < first + 4; j++) four += weight_at(r, j);
    set(r, ATN_ROW_FIRST, weight_at(r, first));
    set(r, ATN_ROW_FIRST4, four);
    rest_of(r, weight_at(r, first), needs & ATN_NEED_MOMENTS ? &distance : NULL);
}

/* A row sees the first of all keys as its first, and the last as its last, or not at
 * all. */
static void largest(const row *r, float max)
{
    const atn_idx at = r->info->lo + atn_row_find(r->seen, r->n, max);
    const bool at_first = at == r->h->sight.key_first,
               at_last = at == r->h->sight.key_last - 1;
    const float rest = at_first ? atn_row_max(r->seen + 1, r->n - 1) : max,
                inner = at_last ? atn_row_max(r->seen, r->n - 1) : max;

    set(r, ATN_ROW_MAX, r->n > 0 ? (double)max : 0);
    set(r, ATN_ROW_MAX_AT, r->n > 0 ? (double)at : -1);
    set(r, ATN_ROW_MAX_REST, r->n > (at_first ? 1 : 0) ? (double)rest : 0);
    set(r, ATN_ROW_MAX_INNER, r->n > (at_last ? 1 : 0) ? (double)inner : 0);
}

static void shape(const row *r, scratch *s)
{
    const unsigned needs = r->want->needs;
    double span[ATN_SPAN_LEVELS];
    float max = 0;

    if (needs & (ATN_NEED_MAX | ATN_NEED_COVER)) max = atn_row_max(r->seen, r->n);
    if (needs & ATN_NEED_MAX) largest(r, max);
    if (needs & ATN_NEED_COVER) {
        atn_row_cover(r->seen, r->n, max, r->info->mass, &s->of_cover, &s->cover);
        for (int l = 0; l < ATN_COVER_LEVELS; l++)
            set(r, (atn_row_field)(ATN_ROW_KEYS_50 + l), (double)s->cover.count[l]);
    }
    if (needs & ATN_NEED_SPAN) {
        atn_row_span(r->seen, r->n, r->at - r->info->lo, r->info->mass, span);
        for (int l = 0; l < ATN_SPAN_LEVELS; l++)
            set(r, (atn_row_field)(ATN_ROW_SPAN_50 + l), span[l]);
    }
    if (needs & ATN_NEED_GINI) {
        memcpy(s->sorted, r->seen, (size_t)r->n * sizeof *s->sorted);
        atn_row_sort(s->sorted, r->n, s->of_cover.spare);
        set(r, ATN_ROW_GINI, atn_row_gini(s->sorted, r->n));
    }
    if (needs & ATN_NEED_SMOOTHED)
        set(r, ATN_ROW_SMOOTHED, atn_row_smoothed(r->seen, r->n, r->info->mass));
}

/* ---- logits ---- */

/* Sums of the logits and of their squares over all keys of a row, and over those no
 * farther than half of all keys from its position: [from, to) of the row. */
typedef struct logit_sums {
    double sum, square, sum_near, square_near;
    atn_idx from, to;
} logit_sums;

static logit_sums sum_logits(const row *r, const float *logits)
{
    const atn_idx half = r->h->nk / 2, t = r->at - r->info->lo;
    logit_sums s;
    double sum[2], square[2];

    s.from = ATN_MIN(ATN_MAX(t - half, (atn_idx)0), r->n);
    s.to = ATN_MAX(ATN_MIN(t + half + 1, r->n), s.from);
    atn_row_sum_square(logits + s.from, s.to - s.from, &s.sum_near, &s.square_near);
    atn_row_sum_square(logits, s.from, &sum[0], &square[0]);
    atn_row_sum_square(logits + s.to, r->n - s.to, &sum[1], &square[1]);
    s.sum = s.sum_near + sum[0] + sum[1];
    s.square = s.square_near + square[0] + square[1];
    return s;
}

/* Of z = s - lse, once lse is known. NaN where a logit is -inf. */
static void set_logits(const row *r, const logit_sums *s)
{
    const double lse = r->info->lse, n = (double)r->n, near = (double)(s->to - s->from);
    const double no = isfinite(s->sum) ? 0 : (double)NAN;

    set(r, ATN_ROW_LOGIT, s->sum - n * lse + no);
    set(r, ATN_ROW_LOGIT_SQUARE, s->square - lse * (2 * s->sum - n * lse) + no);
    set(r, ATN_ROW_LOGIT_NEAR, s->sum_near - near * lse + no);
    set(r, ATN_ROW_LOGIT_SQUARE_NEAR,
        s->square_near - lse * (2 * s->sum_near - near * lse) + no);
    set(r, ATN_ROW_SQUARE_NEAR, atn_row_square(r->seen + s->from, s->to - s->from));
}

/* Source p: the logarithms of the weights of the tile stand in for logits. */
static atn_status take_logs(atn_ctx *cx, const atn_tile *t, atn_mat p,
                            const atn_row_info *info, atn_mat *logs)
{
    atn_status st = ATN_OK;

    *logs = p;
    ATN_TAKE(logs->data, t->rows * p.ld);
    for (atn_idx r = 0; r < t->rows; r++) {
        const float *from = atn_row(p, r);
        float *to = atn_row(*logs, r);
        const atn_idx lo = info[r].lo - t->key0, hi = info[r].hi - t->key0;

        memset(to, 0, (size_t)t->keys * sizeof *to);
        for (atn_idx c = lo; c < hi; c++) to[c] = logf(from[c]);
    }
done:
    return st;
}

/* ---- the walk ---- */

static atn_status take_scratch(atn_ctx *cx, const pass *ps, const atn_head *h,
                               const atn_tile *t, scratch *s)
{
    const unsigned needs = ps->want.needs;
    atn_status st = ATN_OK;

    if (needs & ATN_NEED_TOPK) ATN_TAKE(s->heap, ATN_MIN(ps->want.top_k, h->nk));
    if (needs & ATN_NEED_GINI) ATN_TAKE(s->sorted, t->keys);
    if (needs & (ATN_NEED_COVER | ATN_NEED_GINI)) ATN_TAKE(s->of_cover.spare, t->keys);
    if (!(needs & ATN_NEED_COVER)) goto done;
    ATN_TAKE(s->of_cover.bin, t->keys);
    ATN_TAKE(s->of_cover.picked, t->keys);
done:
    return st;
}

/* A tile on its way. */
typedef struct tile_job {
    const pass *ps;
    const atn_head *h;
    const atn_tile *t;
    atn_mat p; /* logits, row after row their softmax */
    atn_row_info *info;
    scratch s;
    atn_tile_sums sums;
} tile_job;

static atn_status finish_row(atn_ctx *cx, tile_job *j, atn_idx at)
{
    const pass *ps = j->ps;
    const unsigned needs = ps->want.needs;
    atn_row_out *out = &ps->out[j->h - ps->heads];
    atn_row_info *info = &j->info[at];
    const row r = {.want = &ps->want,
                   .h = j->h,
                   .value = out->value,
                   .seen = atn_row(j->p, at) + (info->lo - j->t->key0),
                   .info = info,
                   .i = j->t->first + at,
                   .at = atn_sight_at(&j->h->sight, j->t->first + at),
                   .n = info->hi - info->lo};
    logit_sums logits = {0};
    atn_status st = ATN_OK;

    if (needs & ATN_NEED_LOGITS)
        logits = sum_logits(&r, j->s.logs.data
                                    ? atn_row(j->s.logs, at) + (info->lo - j->t->key0)
                                    : r.seen);
    ATN_TRY(atn_rows_softmax(cx, j->h, j->t, at, j->p, j->info));
    if (j->h->p.data) info->lse = info->mass > 0 ? log(info->mass) : 0;
    if (out->seen) out->seen[r.i] = r.n;
    set(&r, ATN_ROW_ENTROPY, info->entropy);
    set(&r, ATN_ROW_MASS, info->mass);
    moments_and_first(&r);
    if (needs & ATN_NEED_LOCAL) {
        set(&r, ATN_ROW_DIAGONAL, weight_at(&r, r.at));
        set(&r, ATN_ROW_PREVIOUS, weight_at(&r, r.at - 1));
    }
    if (needs & ATN_NEED_TOPK)
        set(&r, ATN_ROW_TOPK, atn_row_topk(r.seen, r.n, ps->want.top_k, j->s.heap));
    if (needs & ATN_NEED_TOKENS) induction(&r);
    shape(&r, &j->s);
    if (needs & ATN_NEED_LOGITS) set_logits(&r, &logits);
    if (r.i >= ps->want.skip_rows)
        atn_tile_sums_row(&j->sums, r.i, r.seen, info, &j->s.cover);
done:
    return st;
}

/* Rows from r on. */
static atn_cmat rows_of(atn_mat m, atn_idx r)
{
    return (atn_cmat){atn_row(m, r), m.rows - r, m.cols, m.ld};
}

static atn_status visit(atn_ctx *cx, const atn_head *h, const atn_tile *t, atn_mat p,
                        atn_row_info *info, void *state)
{
    pass *ps = state;
    const atn_idx skip =
        ATN_MIN(ATN_MAX(ps->want.skip_rows - t->first, (atn_idx)0), t->rows);
    const atn_tile rest = {t->first + skip, t->rows - skip, t->key0, t->keys};
    const atn_arena_mark mark = atn_arena_save(cx);
    tile_job j = {.ps = ps,
                  .h = h,
                  .t = t,
                  .p = p,
                  .info = info,
                  .sums = {.want = &ps->want,
                           .locks = &ps->locks,
                           .to = &ps->sums[h - ps->heads],
                           .h = h,
                           .t = rest}};
    atn_status st = ATN_OK;

    ATN_TRY(take_scratch(cx, ps, h, t, &j.s));
    ATN_TRY(atn_tile_sums_take(cx, &j.sums));
    if (h->p.data && (ps->want.needs & ATN_NEED_LOGITS))
        ATN_TRY(take_logs(cx, t, p, info, &j.s.logs));
    for (atn_idx r = 0, end; r < t->rows; r = end) {
        const bool skipped = r < skip;
        const atn_mat *logits = j.s.logs.data ? &j.s.logs : &p;

        end = skipped ? skip : ATN_MIN(r + ATN_ROWS_AT_A_TIME, t->rows);
        if (!skipped)
            atn_tile_sums_logits(&j.sums, rows_of(*logits, r), r - skip, end - r);
        for (atn_idx i = r; i < end; i++) ATN_TRY(finish_row(cx, &j, i));
        if (!skipped) atn_tile_sums_rows(&j.sums, rows_of(p, r), r - skip, end - r);
    }
    atn_tile_sums_add(&j.sums, rows_of(p, skip), info + skip);
done:
    atn_arena_rewind(cx, mark);
    return st;
}

/* Beside the stream's own. */
static double bytes_of(const atn_ctx *cx, const atn_head *heads, atn_idx n_heads,
                       const atn_row_want *want)
{
    double sums = 0, tile = 0;

    for (atn_idx h = 0; h < n_heads; h++) {
        double each = 0, more;

        if (want->needs & ATN_NEED_COVER) each += sizeof(uint16_t) + 2 * sizeof(float);
        if (want->needs & ATN_NEED_GINI) each += 2 * sizeof(float);
        if (heads[h].p.data && (want->needs & ATN_NEED_LOGITS))
            each += sizeof(float) * (double)atn_tile_rows(&heads[h]);
        more = each * (double)heads[h].nk + atn_tile_sums_bytes(&heads[h], want);
        tile = ATN_MAX(tile, more);
        sums += atn_row_sums_bytes(&heads[h], want);
    }
    return sums + tile * cx->threads + atn_rows_stream_bytes(cx, heads, n_heads);
}

atn_status atn_row_values_cpu(atn_ctx *cx, const atn_head *heads, atn_idx n_heads,
                              const atn_row_want *want, atn_row_out *out)
{
    atn_status st = ATN_OK;
    pass ps = {.heads = heads, .want = *want, .out = out};

    if (want->needs & ATN_NEED_NEEDED)
        ps.want.needs |= ATN_NEED_BLOCKS | ATN_NEED_COVER;
    if (want->block_keys == 0) ps.want.block_keys = want->block;
    atn_sum_locks_init(&ps.locks);
    for (atn_idx h = 0; h < n_heads && (ps.want.needs & ATN_NEED_COVER); h++)
        if (heads[h].nk > ATN_KEYS_COVERED_MOST)
            ATN_FAIL(ATN_DATA, "coverage takes at most %d keys, not %lld",
                     ATN_KEYS_COVERED_MOST, (long long)heads[h].nk);
    ATN_TRY(
        atn_mem_check(cx, bytes_of(cx, heads, n_heads, &ps.want), "row statistics"));
    ATN_NEW(ps.sums, n_heads);
    for (atn_idx h = 0; h < n_heads; h++)
        ATN_TRY(atn_row_sums_create(cx, &heads[h], &ps.want, &out[h], &ps.sums[h]));
    ATN_TRY(atn_rows_stream_logits(cx, heads, n_heads, visit, &ps, "row statistics"));
    for (atn_idx h = 0; h < n_heads; h++)
        atn_row_sums_widen(&ps.sums[h], &heads[h], &ps.want, &out[h]);
done:
    for (atn_idx h = 0; ps.sums && h < n_heads; h++)
        atn_row_sums_release(cx, &ps.sums[h]);
    atn_free(cx, ps.sums);
    atn_sum_locks_release(&ps.locks);
    return st;
}

unsigned atn_row_field_needs(atn_row_field f)
{
    static const unsigned needs[ATN_ROW_FIELDS] = {
        [ATN_ROW_SQUARE] = ATN_NEED_MOMENTS,
        [ATN_ROW_DISTANCE] = ATN_NEED_MOMENTS,
        [ATN_ROW_FIRST] = ATN_NEED_FIRST,
        [ATN_ROW_FIRST4] = ATN_NEED_FIRST,
        [ATN_ROW_REST] = ATN_NEED_FIRST,
        [ATN_ROW_REST_DISTANCE] = ATN_NEED_FIRST | ATN_NEED_MOMENTS,
        [ATN_ROW_DIAGONAL] = ATN_NEED_LOCAL,
        [ATN_ROW_PREVIOUS] = ATN_NEED_LOCAL,
        [ATN_ROW_TOPK] = ATN_NEED_TOPK,
        [ATN_ROW_INDUCTION] = ATN_NEED_TOKENS,
        [ATN_ROW_DUPLICATE] = ATN_NEED_TOKENS,
        [ATN_ROW_MAX] = ATN_NEED_MAX,
        [ATN_ROW_MAX_AT] = ATN_NEED_MAX,
        [ATN_ROW_MAX_REST] = ATN_NEED_MAX,
        [ATN_ROW_MAX_INNER] = ATN_NEED_MAX,
        [ATN_ROW_KEYS_50] = ATN_NEED_COVER,
        [ATN_ROW_KEYS_80] = ATN_NEED_COVER,
        [ATN_ROW_KEYS_90] = ATN_NEED_COVER,
        [ATN_ROW_KEYS_95] = ATN_NEED_COVER,
        [ATN_ROW_KEYS_99] = ATN_NEED_COVER,
        [ATN_ROW_KEYS_999] = ATN_NEED_COVER,
        [ATN_ROW_SPAN_50] = ATN_NEED_SPAN,
        [ATN_ROW_SPAN_90] = ATN_NEED_SPAN,
        [ATN_ROW_SPAN_95] = ATN_NEED_SPAN,
        [ATN_ROW_GINI] = ATN_NEED_GINI,
        [ATN_ROW_SMOOTHED] = ATN_NEED_SMOOTHED,
        [ATN_ROW_LOGIT] = ATN_NEED_LOGITS,
        [ATN_ROW_LOGIT_SQUARE] = ATN_NEED_LOGITS,
        [ATN_ROW_LOGIT_NEAR] = ATN_NEED_LOGITS,
        [ATN_ROW_LOGIT_SQUARE_NEAR] = ATN_NEED_LOGITS,
        [ATN_ROW_SQUARE_NEAR] = ATN_NEED_LOGITS,
    };

    return needs[f];
}

atn_status atn_row_values(atn_ctx *cx, const atn_head *heads, atn_idx n_heads,
                          const atn_row_want *want, atn_row_out *out)
{
    return cx->backend->row_values(cx, heads, n_heads, want, out);
}
