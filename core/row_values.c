/* core/row_values.c -- the row pass on the CPU, see the header. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "core/row_values.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/backend.h"
#include "core/kernels/kernels.h"

enum { REST = ATN_NEED_FIRST | ATN_NEED_MOMENTS };
static const double FIXED = 1099511627776.0; /* 2^40: one unit of the sums */
static const double REACHED =
    1 - 1.0 / 8388608; /* of what is to be reached, see the header */
static const double FIXED_LOGIT = 16777216.0; /* 2^24 */

const double atn_cover_levels[ATN_COVER_LEVELS] = {.5, .8, .9, .95, .99, .999};
const double atn_span_levels[ATN_SPAN_LEVELS] = {.5, .9, .95};

typedef struct sums {
    uint64_t *columns, *diagonals, *blocks, *logits; /* fixed point; NULL: not wanted */
    bool no_logits; /* some logit is -inf: the sums of all are NaN */
} sums;

typedef struct pass {
    const atn_head *heads;
    atn_row_want want; /* block_keys and what NEEDED implies filled in */
    atn_row_out *out;
    sums *sums; /* [n_heads] */
} pass;

/* The minimal set of each level: weights above least[l], and those equal to it up to key
 * last[l]. */
typedef struct cover {
    atn_idx count[ATN_COVER_LEVELS], last[ATN_COVER_LEVELS];
    float least[ATN_COVER_LEVELS];
} cover;

/* Weight of key j in a row stored from key `key0` on; 0 where the row does not see it. */
static double weight_at(const float *row, const atn_row_info *info, atn_idx key0,
                        atn_idx j)
{
    return j >= info->lo && j < info->hi ? (double)row[j - key0] : 0;
}

static void induction_row(const atn_row_want *want, atn_row_out *out, atn_idx i,
                          atn_idx at, const float *row, const atn_row_info *info,
                          atn_idx key0)
{
    double next = 0, same = 0;

    for (atn_idx m = want->earlier[at]; m >= 0; m = want->earlier[m]) {
        next += weight_at(row, info, key0, m + 1);
        same += weight_at(row, info, key0, m);
    }
    out->value[ATN_ROW_INDUCTION][i] = next;
    out->value[ATN_ROW_DUPLICATE][i] = same;
}

/* What the keys beside the first have, in all and times |t - j|. A row sees the first key as its
 * first or not at all; the difference is taken where it keeps at least half of its digits. */
static void rest_of(const float *seen, atn_idx n, atn_idx at, atn_idx first,
                    const atn_row_info *info, double weight, const double *distance,
                    double *rest, double *rest_distance)
{
    const double far = weight * fabs((double)(at - first));
    double square;

    *rest = info->mass - weight;
    *rest_distance = distance ? *distance - far : 0;
    if (weight <= 0.5 * info->mass && !(distance && far > 0.5 * *distance)) return;
    if (info->lo != first || n == 0) return;
    *rest = atn_row_sum(seen + 1, n - 1);
    atn_row_moments(seen + 1, n - 1, (double)(at - first - 1), &square, rest_distance);
}

static int descending(const void *a, const void *b)
{
    const float x = *(const float *)a, y = *(const float *)b;

    return (x < y) - (x > y);
}

static void cover_row(const float *w, atn_idx n, float *sorted, cover *c)
{
    double mass = 0, sum = 0;
    atn_idx k = 0;

    memcpy(sorted, w, (size_t)n * sizeof *sorted);
    qsort(sorted, (size_t)n, sizeof *sorted, descending);
    for (atn_idx j = 0; j < n; j++) mass += (double)sorted[j];
    for (int l = 0; l < ATN_COVER_LEVELS; l++) {
        const double enough = atn_cover_levels[l] * mass * REACHED;
        atn_idx ties = 0;

        while (k < n && sum < enough) sum += (double)sorted[k++];
        c->count[l] = k;
        c->least[l] = k > 0 ? sorted[k - 1] : INFINITY;
        c->last[l] = -1;
        for (atn_idx j = 0; j < k; j++) ties += sorted[j] == c->least[l];
        for (atn_idx j = 0; j < n && ties > 0; j++)
            if (w[j] == c->least[l]) {
                c->last[l] = j;
                ties--;
            }
    }
}

static void span_row(const float *w, const atn_row_info *info, atn_idx at, double mass,
                     double *const *value, atn_idx i)
{
    const atn_idx most = ATN_MAX(llabs(at - info->lo), llabs(at - info->hi));
    double sum = 0;
    atn_idx s = -1;

    for (int l = 0; l < ATN_SPAN_LEVELS; l++) {
        const double enough = atn_span_levels[l] * mass * REACHED;
        while (s < most && (s < 0 || sum < enough)) {
            s++;
            if (at - s >= info->lo && at - s < info->hi)
                sum += (double)w[at - s - info->lo];
            if (s > 0 && at + s >= info->lo && at + s < info->hi)
                sum += (double)w[at + s - info->lo];
        }
        value[ATN_ROW_SPAN_50 + l][i] = (double)s;
    }
}

static void max_row(const float *w, const atn_head *h, const atn_row_info *info,
                    double *const *value, atn_idx i)
{
    double max = -1, rest = 0, inner = 0;
    atn_idx at = -1;

    for (atn_idx j = info->lo; j < info->hi; j++) {
        const double x = (double)w[j - info->lo];
        if (x > max) {
            max = x;
            at = j;
        }
        if (j != h->sight.key_first) rest = fmax(rest, x);
        if (j != h->sight.key_last - 1) inner = fmax(inner, x);
    }
    value[ATN_ROW_MAX][i] = fmax(max, 0);
    value[ATN_ROW_MAX_AT][i] = (double)at;
    value[ATN_ROW_MAX_REST][i] = rest;
    value[ATN_ROW_MAX_INNER][i] = inner;
}

static void gini_row(const float *sorted, atn_idx n, double mass, double *value)
{
    double sum = 0;

    for (atn_idx k = 0; k < n; k++) /* descending: place n - k of the ascending order */
        sum += (double)(n - 1 - 2 * k) * (double)sorted[k];
    *value = mass > 0 ? sum / ((double)n * mass) : 0;
}

static void smoothed_row(const float *w, atn_idx n, double mass, double *value)
{
    const double floor = 1e-4 / (double)n, scale = mass > 0 ? .9999 / mass : 0;
    double sum = 0;

    for (atn_idx j = 0; j < n; j++) {
        const double q = scale * (double)w[j] + floor;
        sum -= q * log(q);
    }
    *value = sum;
}

/* Keys of the row no farther than half of all from its position. */
static void near_keys(const atn_head *h, atn_idx at, const atn_row_info *info,
                      atn_idx *from, atn_idx *to)
{
    *from = ATN_MIN(ATN_MAX(info->lo, at - h->nk / 2), info->hi);
    *to = ATN_MAX(ATN_MIN(info->hi, at + h->nk / 2 + 1), *from);
}

/* Of logits s, less than the largest. */
static void logits_row(const atn_head *h, atn_idx at, const float *s,
                       const atn_row_info *info, double *const *value, atn_idx i)
{
    double sum = 0, square = 0, near = 0, near_square = 0;
    atn_idx from, to;

    near_keys(h, at, info, &from, &to);
    for (atn_idx j = info->lo; j < info->hi; j++) {
        const double z = (double)s[j - info->lo] - info->max;
        sum += z;
        square += z * z;
        if (j >= from && j < to) {
            near += z;
            near_square += z * z;
        }
    }
    value[ATN_ROW_LOGIT][i] = sum;
    value[ATN_ROW_LOGIT_SQUARE][i] = square;
    value[ATN_ROW_LOGIT_NEAR][i] = near;
    value[ATN_ROW_LOGIT_SQUARE_NEAR][i] = near_square;
}

/* From sums of s - max to those of s - lse. */
static void shift_logits(const atn_head *h, atn_idx at, const atn_row_info *info,
                         double *const *value, atn_idx i)
{
    const double by = info->max - info->lse;
    atn_idx from, to;

    near_keys(h, at, info, &from, &to);
    for (int near = 0; near < 2; near++) {
        const double n = (double)(near ? to - from : info->hi - info->lo);
        double *sum = &value[near ? ATN_ROW_LOGIT_NEAR : ATN_ROW_LOGIT][i];
        double *square =
            &value[near ? ATN_ROW_LOGIT_SQUARE_NEAR : ATN_ROW_LOGIT_SQUARE][i];

        *square += by * (2 * *sum + n * by);
        *sum += n * by;
    }
}

static void row_values(const pass *ps, const atn_head *h, atn_row_out *out, atn_idx i,
                       const float *row, const atn_row_info *info, atn_idx key0,
                       float *heap, float *sorted, cover *c)
{
    const atn_row_want *want = &ps->want;
    const atn_idx at = atn_sight_at(&h->sight, i), n = info->hi - info->lo;
    const atn_idx first = h->sight.key_first;
    const float *seen = row + (info->lo - key0);
    double *const *value = out->value;
    double rest_distance = 0;

    out->seen[i] = n;
    value[ATN_ROW_ENTROPY][i] = info->entropy;
    value[ATN_ROW_MASS][i] = info->mass;
    if (want->needs & ATN_NEED_MOMENTS)
        atn_row_moments(seen, n, (double)(at - info->lo), &value[ATN_ROW_SQUARE][i],
                        &value[ATN_ROW_DISTANCE][i]);
    if (want->needs & ATN_NEED_FIRST) {
        double four = 0;
        for (atn_idx j = first; j < first + 4; j++)
            four += weight_at(row, info, key0, j);
        value[ATN_ROW_FIRST][i] = weight_at(row, info, key0, first);
        value[ATN_ROW_FIRST4][i] = four;
    }
    if (want->needs & ATN_NEED_FIRST)
        rest_of(seen, n, at, first, info, value[ATN_ROW_FIRST][i],
                want->needs & ATN_NEED_MOMENTS ? &value[ATN_ROW_DISTANCE][i] : NULL,
                &value[ATN_ROW_REST][i], &rest_distance);
    if ((want->needs & REST) == REST) value[ATN_ROW_REST_DISTANCE][i] = rest_distance;
    if (want->needs & ATN_NEED_LOCAL) {
        value[ATN_ROW_DIAGONAL][i] = weight_at(row, info, key0, at);
        value[ATN_ROW_PREVIOUS][i] = weight_at(row, info, key0, at - 1);
    }
    if (want->needs & ATN_NEED_TOPK)
        value[ATN_ROW_TOPK][i] = atn_row_topk(seen, n, want->top_k, heap);
    if (want->needs & ATN_NEED_TOKENS) induction_row(want, out, i, at, row, info, key0);
    if (want->needs & ATN_NEED_MAX) max_row(seen, h, info, value, i);
    if (want->needs & (ATN_NEED_COVER | ATN_NEED_GINI)) cover_row(seen, n, sorted, c);
    for (int l = 0; l < ATN_COVER_LEVELS && (want->needs & ATN_NEED_COVER); l++)
        value[ATN_ROW_KEYS_50 + l][i] = (double)c->count[l];
    if (want->needs & ATN_NEED_GINI)
        gini_row(sorted, n, atn_row_sum(seen, n), &value[ATN_ROW_GINI][i]);
    if (want->needs & ATN_NEED_SPAN)
        span_row(seen, info, at, atn_row_sum(seen, n), value, i);
    if (want->needs & ATN_NEED_SMOOTHED)
        smoothed_row(seen, n, atn_row_sum(seen, n), &value[ATN_ROW_SMOOTHED][i]);
    if (want->needs & ATN_NEED_LOGITS) {
        atn_idx from, to;
        near_keys(h, at, info, &from, &to);
        value[ATN_ROW_SQUARE_NEAR][i] =
            atn_row_square(seen + (from - info->lo), to - from);
        shift_logits(h, at, info, value, i);
    }
}

/* ---- sums over columns, diagonals, blocks ---- */

static void add_fixed(uint64_t *to, double x)
{
    const uint64_t units = (uint64_t)(x * FIXED + 0.5);

#pragma omp atomic
    *to += units;
}

/* Column sums of the tile first, then one addition a column to the shared sums. */
static void add_columns(const atn_tile *t, atn_cmat p, double *scratch, uint64_t *to)
{
    memset(scratch, 0, (size_t)t->keys * sizeof *scratch);
    for (atn_idx r = 0; r < t->rows; r++)
        for (atn_idx c = 0; c < t->keys; c++) scratch[c] += (double)atn_crow(p, r)[c];
    for (atn_idx c = 0; c < t->keys; c++) add_fixed(&to[t->key0 + c], scratch[c]);
}

/* Entry (i, j) lies on diagonal i - j + nk - 1; within a tile, on r - c + keys - 1. */
static void add_diagonals(const atn_tile *t, atn_cmat p, atn_idx nk, double *scratch,
                          uint64_t *to)
{
    const atn_idx n = t->rows + t->keys - 1,
                  base = t->first - t->key0 - (t->keys - 1) + nk - 1;

    if (t->keys == 0) return;
    memset(scratch, 0, (size_t)n * sizeof *scratch);
    for (atn_idx r = 0; r < t->rows; r++) {
        double *d = scratch + r + t->keys - 1;
        for (atn_idx c = 0; c < t->keys; c++) d[-c] += (double)atn_crow(p, r)[c];
    }
    for (atn_idx e = 0; e < n; e++) add_fixed(&to[base + e], scratch[e]);
}

static void add_blocks(const atn_tile *t, atn_cmat p, atn_idx nk,
                       const atn_row_want *want, const atn_row_out *out, uint64_t *to)
{
    const atn_idx edge = want->block_keys, across = (nk + edge - 1) / edge;

    for (atn_idx r = 0; r < t->rows; r++)
        for (atn_idx c = 0; c < t->keys;) {
            const atn_idx b = (t->key0 + c) / edge;
            const atn_idx n = ATN_MIN((b + 1) * edge - t->key0, t->keys) - c;
            const atn_idx cell = (t->first + r) / want->block * across + b;
            const float max = atn_row_max(atn_crow(p, r) + c, n);

            add_fixed(&to[cell], atn_row_sum(atn_crow(p, r) + c, n));
#pragma omp critical(atn_row_sums)
            if (out->block_max && out->block_max[cell] < max)
                out->block_max[cell] = max;
            c += n;
        }
}

static void add_logits(const atn_idx nk, atn_idx i, const float *s,
                       const atn_row_info *info, uint64_t *to)
{
    for (atn_idx j = info->lo; j < info->hi; j++) {
        const double z = (double)s[j - info->lo] - info->max;
        const uint64_t units = (uint64_t)llrint(z * FIXED_LOGIT);

#pragma omp atomic
        to[i - j + nk - 1] += units;
    }
}

static void shift_diagonals(const atn_idx nk, atn_idx i, const atn_row_info *info,
                            uint64_t *to)
{
    const uint64_t units = (uint64_t)llrint((info->max - info->lse) * FIXED_LOGIT);

    for (atn_idx j = info->lo; j < info->hi; j++)
#pragma omp atomic
        to[i - j + nk - 1] += units;
}

static void add_needed(const atn_row_want *want, atn_idx nk, atn_idx i,
                       const float *seen, const atn_row_info *info, const cover *c,
                       uint8_t *needed)
{
    const atn_idx across = (nk + want->block_keys - 1) / want->block_keys;

    for (atn_idx j = info->lo; j < info->hi; j++) {
        uint8_t bits = 0;

        for (int l = 0; l < ATN_COVER_LEVELS; l++)
            if (seen[j - info->lo] > c->least[l] ||
                (seen[j - info->lo] == c->least[l] && j - info->lo <= c->last[l]))
                bits |= (uint8_t)(1 << l);
#pragma omp atomic
        needed[i / want->block * across + j / want->block_keys] |= bits;
    }
}

/* Rows from `skip` on of a tile. */
static atn_tile rows_after(const atn_tile *t, atn_idx skip)
{
    const atn_idx cut = ATN_MIN(ATN_MAX(skip - t->first, (atn_idx)0), t->rows);

    return (atn_tile){t->first + cut, t->rows - cut, t->key0, t->keys};
}

static atn_status visit(atn_ctx *cx, const atn_head *h, const atn_tile *t, atn_mat s,
                        atn_row_info *info, void *state)
{
    const pass *ps = state;
    const atn_idx head = h - ps->heads, skip = ps->want.skip_rows;
    const atn_tile rest = rows_after(t, skip);
    const atn_cmat p = {s.data + (t->rows - rest.rows) * s.ld, rest.rows, s.cols, s.ld};
    sums *to = &ps->sums[head];
    atn_row_out *out = &ps->out[head];
    const atn_arena_mark mark = atn_arena_save(cx);
    atn_status st = ATN_OK;
    double *scratch = NULL;
    float *heap = NULL, *sorted = NULL;
    cover c;

    ATN_TAKE(heap, ATN_MIN(ps->want.top_k, h->nk));
    ATN_TAKE(scratch, t->rows + t->keys);
    ATN_TAKE(sorted, t->keys);
    for (atn_idx r = 0; r < t->rows; r++) {
        const atn_idx i = t->first + r, at = atn_sight_at(&h->sight, i);
        float *row = atn_row(s, r), *seen = row + (info[r].lo - t->key0);

        if (to->logits || (ps->want.needs & ATN_NEED_LOGITS)) {
            double max = info[r].max;
            if (h->p.data) {
                for (atn_idx j = 0; j < info[r].hi - info[r].lo; j++)
                    sorted[j] = logf(seen[j]);
                info[r].max = max = 0;
            } else
                memcpy(sorted, seen,
                       (size_t)(info[r].hi - info[r].lo) * sizeof *sorted);
            logits_row(h, at, sorted, &info[r], out->value, i);
            if (!isfinite(out->value[ATN_ROW_LOGIT][i])) {
#pragma omp atomic write
                to->no_logits = true;
                out->value[ATN_ROW_LOGIT][i] = out->value[ATN_ROW_LOGIT_NEAR][i] =
                    out->value[ATN_ROW_LOGIT_SQUARE][i] =
                        out->value[ATN_ROW_LOGIT_SQUARE_NEAR][i] = NAN;
            } else if (to->logits && i >= skip)
                add_logits(h->nk, i, sorted, &info[r], to->logits);
        }
        ATN_TRY(atn_rows_softmax(cx, h, t, r, s, info));
        if (h->p.data && info[r].mass > 0) info[r].lse = log(info[r].mass);
        row_values(ps, h, out, i, row, &info[r], t->key0, heap, sorted, &c);
        if (to->logits && i >= skip) shift_diagonals(h->nk, i, &info[r], to->logits);
        if ((ps->want.needs & ATN_NEED_NEEDED) && i >= skip)
            add_needed(&ps->want, h->nk, i, seen, &info[r], &c, out->needed);
    }
    if (to->columns) add_columns(&rest, p, scratch, to->columns);
    if (to->diagonals) add_diagonals(&rest, p, h->nk, scratch, to->diagonals);
    if (to->blocks) add_blocks(&rest, p, h->nk, &ps->want, out, to->blocks);
done:
    atn_arena_rewind(cx, mark);
    return st;
}

static void widen_sums(const uint64_t *from, atn_idx n, double *to)
{
    for (atn_idx i = 0; from && i < n; i++) to[i] = (double)from[i] / FIXED;
}

static void widen_logits(const sums *s, atn_idx n, double *to)
{
    for (atn_idx i = 0; s->logits && i < n; i++)
        to[i] = s->no_logits ? NAN : (double)(int64_t)s->logits[i] / FIXED_LOGIT;
}

static atn_idx blocks_of(const atn_head *h, const atn_row_want *want)
{
    return (h->nq + want->block - 1) / want->block *
           ((h->nk + want->block_keys - 1) / want->block_keys);
}

static atn_status take_sums(atn_ctx *cx, const atn_head *h, const atn_row_want *want,
                            atn_row_out *out, sums *s)
{
    atn_status st = ATN_OK;

    ATN_ASSERT(!h->sight.rows || !(want->needs & ATN_NEED_SUMS));
    if ((want->needs & (ATN_NEED_SUMS | ATN_NEED_LOGITS)) &&
        h->nq > ATN_ROWS_SUMMED_MOST)
        ATN_FAIL(ATN_DATA, "sums over columns take at most %d rows, not %lld",
                 ATN_ROWS_SUMMED_MOST, (long long)h->nq);
    if (want->needs & ATN_NEED_COLUMNS) ATN_NEW(s->columns, h->nk);
    if (want->needs & ATN_NEED_DIAGONALS) ATN_NEW(s->diagonals, h->nq + h->nk);
    if ((want->needs & ATN_NEED_LOGITS) && out->logit_diagonals)
        ATN_NEW(s->logits, h->nq + h->nk);
    if (want->needs & ATN_NEED_BLOCKS) {
        const atn_idx n = blocks_of(h, want);
        ATN_NEW(s->blocks, n);
        if (out->block_max) memset(out->block_max, 0, (size_t)n * sizeof(float));
        if (want->needs & ATN_NEED_NEEDED) memset(out->needed, 0, (size_t)n);
    }
done:
    return st;
}

atn_status atn_row_values_cpu(atn_ctx *cx, const atn_head *heads, atn_idx n_heads,
                              const atn_row_want *want, atn_row_out *out)
{
    atn_status st = ATN_OK;
    pass ps = {heads, *want, out, NULL};

    if (want->needs & ATN_NEED_NEEDED)
        ps.want.needs |= ATN_NEED_BLOCKS | ATN_NEED_COVER;
    if (want->block_keys == 0) ps.want.block_keys = want->block;
    ATN_NEW(ps.sums, n_heads);
    for (atn_idx h = 0; h < n_heads; h++)
        ATN_TRY(take_sums(cx, &heads[h], &ps.want, &out[h], &ps.sums[h]));
    ATN_TRY(atn_rows_stream_logits(cx, heads, n_heads, visit, &ps, "row statistics"));
    for (atn_idx h = 0; h < n_heads; h++) {
        const atn_head *head = &heads[h];
        widen_sums(ps.sums[h].columns, head->nk, out[h].columns);
        widen_sums(ps.sums[h].diagonals, head->nq + head->nk - 1, out[h].diagonals);
        widen_logits(&ps.sums[h], head->nq + head->nk - 1, out[h].logit_diagonals);
        if (ps.sums[h].blocks)
            widen_sums(ps.sums[h].blocks, blocks_of(head, &ps.want), out[h].blocks);
    }
done:
    for (atn_idx h = 0; ps.sums && h < n_heads; h++) {
        atn_free(cx, ps.sums[h].columns);
        atn_free(cx, ps.sums[h].diagonals);
        atn_free(cx, ps.sums[h].blocks);
        atn_free(cx, ps.sums[h].logits);
    }
    atn_free(cx, ps.sums);
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
