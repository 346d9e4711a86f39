/* core/apply_groups.c -- groups: rectangles of rows and keys that lie anywhere.
 *
 * Math    round(g) = 1 + the last round of the rows of g, groups in their order, so
 *         that no row stands twice in a round and every row meets its groups in order.
 * Cost    4 d flop for all rows and keys of a group; 12 bytes a group, 24 for every 128
 *         rows of it, and a state in double of all rows.
 * Limits  groups of a round go in parallel, small ones several a task.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#include <math.h>
#include <string.h>

#include "core/apply_internal.h"

enum {
    ROWS = 128, /* of a piece */
    FEW_ROWS = 3,
    TASK_PAIRS = 1 << 16, /* pairs of a task, about */
    TASK_OVERHEAD = 256,  /* that a piece counts beside its pairs */
};

/* Up to ROWS rows of a group. */
typedef struct group_piece {
    int64_t group;
    int32_t part, from; /* of its rows, / ROWS */
} group_piece;

typedef struct schedule {
    const atn_run *run;
    atn_idx groups, pieces, rounds, tasks;
    group_piece *piece; /* [pieces] by round, then in their order */
    atn_idx *task;      /* [tasks + 1] first piece */
    atn_idx *round;     /* [rounds + 1] first task */
    atn_idx begin;      /* task of the round at hand */
} schedule;

static atn_idx rows_of(const atn_groups *g, atn_idx at)
{
    return g->row_ptr[at + 1] - g->row_ptr[at];
}

static atn_idx keys_of(const atn_groups *g, atn_idx at)
{
    return g->key_ptr[at + 1] - g->key_ptr[at];
}

static atn_idx pieces_of(const atn_groups *g, atn_idx at)
{
    return (rows_of(g, at) + ROWS - 1) / ROWS;
}

bool atn_branch_grouped(const atn_branch *b)
{
    for (int i = 0; i < b->parts; i++)
        if (b->part[i].groups.n > 0) return true;
    return false;
}

static void count_groups(const atn_branch *b, atn_idx *groups, atn_idx *pieces)
{
    *groups = *pieces = 0;
    for (int i = 0; i < b->parts; i++) {
        const atn_groups *g = &b->part[i].groups;

        *groups += g->n;
        for (atn_idx at = 0; at < g->n; at++) *pieces += pieces_of(g, at);
    }
}

/* round[g] of all groups; last [nq] is scratch of zeros. */
static atn_idx find_rounds(const atn_branch *b, int32_t *round, int32_t *last)
{
    atn_idx id = 0;
    int32_t most = 0;

    for (int i = 0; i < b->parts; i++) {
        const atn_groups *g = &b->part[i].groups;

        for (atn_idx at = 0; at < g->n; at++, id++) {
            const int32_t *row = g->row + g->row_ptr[at];
            const atn_idx n = rows_of(g, at);
            int32_t mine = 0;

            for (atn_idx r = 0; r < n; r++) mine = ATN_MAX(mine, last[row[r]]);
            for (atn_idx r = 0; r < n; r++) last[row[r]] = mine + 1;
            round[id] = mine;
            most = ATN_MAX(most, mine + 1);
        }
    }
    return most;
}

/* Pieces by round; at [rounds + 1] <- the first of each. */
static void sort_pieces(schedule *s, const int32_t *round, atn_idx *at)
{
    const atn_branch *b = s->run->branch;
    atn_idx id = 0;

    memset(at, 0, (size_t)(s->rounds + 1) * sizeof *at);
    for (int i = 0; i < b->parts; i++)
        for (atn_idx g = 0; g < b->part[i].groups.n; g++, id++)
            at[round[id] + 1] += pieces_of(&b->part[i].groups, g);
    for (atn_idx r = 0; r < s->rounds; r++) at[r + 1] += at[r];
    id = 0;
    for (int i = 0; i < b->parts; i++)
        for (atn_idx g = 0; g < b->part[i].groups.n; g++, id++)
            for (atn_idx k = 0; k < pieces_of(&b->part[i].groups, g); k++)
                s->piece[at[round[id]]++] = (group_piece){g, i, (int32_t)k};
    for (atn_idx r = s->rounds; r > 0; r--) at[r] = at[r - 1];
    at[0] = 0;
}

static atn_idx piece_rows(const atn_groups *g, const group_piece *p)
{
    return ATN_MIN((atn_idx)ROWS, rows_of(g, p->group) - (atn_idx)p->from * ROWS);
}

/* Pieces of a round to tasks; at as above. */
static void make_tasks(schedule *s, const atn_idx *at)
{
    s->tasks = 0;
    for (atn_idx r = 0; r < s->rounds; r++) {
        atn_idx pairs = TASK_PAIRS;

        s->round[r] = s->tasks;
        for (atn_idx i = at[r]; i < at[r + 1]; i++) {
            const group_piece *p = &s->piece[i];
            const atn_groups *g = &s->run->branch->part[p->part].groups;

            if (pairs >= TASK_PAIRS) {
                s->task[s->tasks++] = i;
                pairs = 0;
            }
            pairs += piece_rows(g, p) * keys_of(g, p->group) + TASK_OVERHEAD;
        }
    }
    s->round[s->rounds] = s->tasks;
    s->task[s->tasks] = s->pieces;
}

/* ---- a piece ---- */

typedef struct bench {
    const atn_run *run;
    const atn_part *part;
    atn_source from;
    const int32_t *row; /* [rows] */
    atn_idx rows;
    const int32_t *of_key; /* [n] keys of the group */
    const float *of_weight;
    atn_idx n;
    bool virtuals;
    bool own; /* its softmax is not one with that of the rest */
    int32_t *key;
    float *log_weight, *q, *k, *v, *s, *o, *x;
    atn_cut *cut;
    atn_soft *one, *soft;
    double *sum;
} bench;

static const float *row_or_virtual(atn_cmat m, const float *virtuals, atn_idx cols,
                                   atn_idx nk, atn_idx j)
{
    return j < nk ? atn_crow(m, j) : virtuals + (j - nk) * cols;
}

/* The next keys of the group from *at on that have a weight. */
static atn_idx take_keys(bench *w, atn_idx *at)
{
    atn_idx n = 0;

    for (; *at < w->n && n < ATN_APPLY_COLS; ++*at) {
        const float weight = w->of_weight ? w->of_weight[*at] : 0;

        if (weight == -INFINITY) continue;
        w->key[n] = w->of_key[*at];
        w->log_weight[n++] = weight;
    }
    return n;
}

static void gather_keys(bench *w, atn_idx n)
{
    const atn_plan *p = w->run->plan;
    const atn_cmat k = w->from.k, v = w->from.v;
    const atn_idx nk = w->run->h->nk, dv = w->run->dv;

    for (atn_idx c = 0; c < n; c++) {
        const atn_idx j = w->key[c];

        if (k.data)
            memcpy(w->k + c * k.cols, row_or_virtual(k, p->vk, k.cols, nk, j),
                   (size_t)k.cols * sizeof *w->k);
        if (dv > 0)
            memcpy(w->v + c * dv, row_or_virtual(v, p->vv, dv, nk, j),
                   (size_t)dv * sizeof *w->v);
    }
}

static void gather_queries(bench *w)
{
    const atn_cmat q = w->from.q;

    for (atn_idx r = 0; q.data && r < w->rows; r++)
        memcpy(w->q + r * q.cols, atn_crow(q, w->row[r]),
               (size_t)q.cols * sizeof *w->q);
}

/* Columns of n keys that a query which sees [lo, hi) has. */
static atn_idx seen_cuts(const bench *w, atn_idx n, atn_span seen)
{
    const atn_idx nk = w->run->h->nk;
    atn_idx cuts = 0;

    for (atn_idx c = 0; c < n; c++) {
        const atn_idx j = w->key[c];

        if (j < nk && (j < seen.lo || j >= seen.hi)) continue;
        if (cuts > 0 && w->cut[cuts - 1].hi == c)
            w->cut[cuts - 1].hi++;
        else
            w->cut[cuts++] = (atn_cut){c, c + 1};
    }
    return cuts;
}

/* The smallest interval that has the real ones of n keys; whether they are all of it,
 * in order. */
static atn_span range_of(const bench *w, atn_idx n, bool *whole)
{
    atn_span x = {INT64_MAX, 0};

    *whole = true;
    for (atn_idx c = 0; c < n; c++) {
        const atn_idx j = w->key[c];

        *whole &= j < w->run->h->nk && j == w->key[0] + c;
        if (j >= w->run->h->nk) continue;
        x.lo = ATN_MIN(x.lo, j);
        x.hi = ATN_MAX(x.hi, j + 1);
    }
    return x;
}

/* Keys that follow one another are read where they lie. */
static atn_rect rect_of(bench *w, atn_idx n, bool whole)
{
    const atn_idx dv = w->run->dv, d = w->from.q.cols;
    atn_rect t = {.run = w->run,
                  .part = w->part,
                  .rows = w->rows,
                  .cols = n,
                  .row = w->row,
                  .key0 = w->key[0],
                  .q = {w->q, w->rows, d, d},
                  .log_weight = w->of_weight ? w->log_weight : NULL,
                  .s = w->s,
                  .ld = atn_apply_step(n),
                  .o = w->o,
                  .one = w->one};

    if (whole) {
        if (w->from.k.data)
            t.k = (atn_cmat){atn_crow(w->from.k, t.key0), n, d, w->from.k.ld};
        if (dv > 0) t.v = (atn_cmat){atn_crow(w->from.v, t.key0), n, dv, w->from.v.ld};
        return t;
    }
    gather_keys(w, n);
    t.key = w->key;
    t.k = (atn_cmat){w->k, n, d, d};
    t.v = (atn_cmat){w->v, n, dv, dv};
    return t;
}

/* What the entries of row r are added to: those of the branch, or of this group. */
static void add_to(bench *w, atn_idx r, const atn_soft *one, const float *o)
{
    const atn_run *run = w->run;
    const atn_idx i = w->row[r], dv = run->dv;

    if (w->own)
        atn_soft_add(&w->soft[r], w->sum + r * dv, one, o, dv);
    else
        atn_soft_add(&run->soft[i], run->sum + i * dv, one, o, dv);
}

static atn_status add_rect(atn_ctx *cx, bench *w, atn_idx n)
{
    bool whole;
    const atn_span range = range_of(w, n, &whole);
    const atn_rect t = rect_of(w, n, whole);
    atn_status st = ATN_OK;

    atn_rect_logits(&t);
    for (atn_idx r = 0; r < w->rows; r++) {
        atn_idx cuts = 1;
        atn_span seen;

        atn_sight_row(&w->run->h->sight, w->row[r], &seen.lo, &seen.hi);
        w->cut[0] = (atn_cut){0, n};
        if (range.lo < seen.lo || range.hi > seen.hi) cuts = seen_cuts(w, n, seen);
        ATN_TRY(atn_rect_soften(cx, &t, r, w->cut, cuts));
    }
    atn_rect_mix(&t);
    for (atn_idx r = 0; r < w->rows; r++)
        add_to(w, r, &w->one[r], w->o + r * w->run->dv);
done:
    return st;
}

static atn_status add_picked(atn_ctx *cx, bench *w, atn_idx r, atn_idx n)
{
    const atn_picked e = {w->key, w->of_weight ? w->log_weight : NULL, n, w->x, w->o};
    atn_status st = ATN_OK;
    atn_soft one;

    ATN_TRY(atn_row_picked(cx, w->run, w->part, w->row[r], &e, &one));
    add_to(w, r, &one, w->o);
done:
    return st;
}

static atn_status add_row(atn_ctx *cx, bench *w, atn_idx r)
{
    atn_status st = ATN_OK;
    atn_idx at = 0;
    atn_span seen;

    atn_sight_row(&w->run->h->sight, w->row[r], &seen.lo, &seen.hi);
    while (at < w->n) {
        const atn_idx taken = take_keys(w, &at);
        atn_idx n = 0;

        for (atn_idx c = 0; c < taken; c++) {
            if (w->key[c] < seen.lo || w->key[c] >= seen.hi) continue;
            w->key[n] = w->key[c];
            w->log_weight[n++] = w->log_weight[c];
        }
        if (n > 0) ATN_TRY(add_picked(cx, w, r, n));
    }
done:
    return st;
}

/* The softmax of the group as one entry, which has the logit of `key`. */
static atn_status as_one(atn_ctx *cx, bench *w, atn_idx r, int32_t key)
{
    const atn_idx dv = w->run->dv;
    atn_status st = ATN_OK;
    atn_soft one;

    if (!(w->soft[r].sum > 0)) return ATN_OK;
    ATN_TRY(atn_row_logit(cx, w->run, w->part, w->row[r], key, &one));
    for (atn_idx x = 0; x < dv; x++) w->sum[r * dv + x] /= w->soft[r].sum;
    w->soft[r] = one;
done:
    return st;
}

/* The softmax of a group of its own joins that of the branch. */
static atn_status close_row(atn_ctx *cx, bench *w, atn_idx r, int32_t logit)
{
    const atn_run *run = w->run;
    const atn_idx i = w->row[r], dv = run->dv;
    double *sum = run->sum + i * dv, *mine = w->sum + r * dv;
    atn_status st = ATN_OK;

    if (run->branch->merge == ATN_MERGE_MEAN) {
        atn_soft_count(run->h, &run->soft[i], sum, &w->soft[r], mine, dv);
        return ATN_OK;
    }
    ATN_TRY(as_one(cx, w, r, logit));
    atn_soft_merge(&run->soft[i], sum, &w->soft[r], mine, dv);
done:
    return st;
}

static int32_t logit_of(const atn_groups *g, const group_piece *p)
{
    return g->logit ? g->logit[p->group] : -1;
}

static void open_piece(bench *w, const group_piece *p)
{
    const atn_groups *g;

    w->part = &w->run->branch->part[p->part];
    g = &w->part->groups;
    w->from = atn_source_of(w->run, w->part);
    w->row = g->row + g->row_ptr[p->group] + (atn_idx)p->from * ROWS;
    w->rows = piece_rows(g, p);
    w->of_key = g->key + g->key_ptr[p->group];
    w->of_weight = g->log_weight ? g->log_weight + g->key_ptr[p->group] : NULL;
    w->n = keys_of(g, p->group);
    w->virtuals = false;
    for (atn_idx c = 0; c < w->n; c++) w->virtuals |= w->of_key[c] >= w->run->h->nk;
    w->own = w->run->branch->merge == ATN_MERGE_MEAN || logit_of(g, p) >= 0;
    if (!w->own) return;
    memset(w->soft, 0, (size_t)w->rows * sizeof *w->soft);
    memset(w->sum, 0, (size_t)(w->rows * w->run->dv) * sizeof *w->sum);
}

static atn_status one_piece(atn_ctx *cx, bench *w, const group_piece *p)
{
    atn_status st = ATN_OK;
    bool few;

    open_piece(w, p);
    few = w->rows <= FEW_ROWS && !w->virtuals;
    if (!few) gather_queries(w);
    for (atn_idx at = 0; !few && at < w->n;) {
        const atn_idx n = take_keys(w, &at);

        if (n > 0) ATN_TRY(add_rect(cx, w, n));
    }
    for (atn_idx r = 0; r < w->rows; r++) {
        if (few) ATN_TRY(add_row(cx, w, r));
        if (w->own) ATN_TRY(close_row(cx, w, r, logit_of(&w->part->groups, p)));
    }
done:
    return st;
}

static double task_bytes(const atn_run *run)
{
    const double d = (double)run->h->k.cols, dv = (double)run->dv, rows = ROWS,
                 cols = ATN_APPLY_COLS;

    return cols * (3 * sizeof(float) + sizeof(atn_cut)) +
           (rows * d + cols * (d + dv) + rows * (cols + 16)) * sizeof(float) +
           rows * dv * (sizeof(float) + sizeof(double)) + 2 * rows * sizeof(atn_soft) +
           12 * 64;
}

static atn_status take_bench(atn_ctx *cx, const atn_run *run, bench *w)
{
    const atn_idx d = run->h->k.cols, dv = run->dv;
    atn_status st = ATN_OK;

    *w = (bench){.run = run};
    ATN_TAKE(w->key, ATN_APPLY_COLS);
    ATN_TAKE(w->log_weight, ATN_APPLY_COLS);
    ATN_TAKE(w->x, ATN_APPLY_COLS);
    ATN_TAKE(w->cut, ATN_APPLY_COLS);
    ATN_TAKE(w->q, ROWS * d);
    ATN_TAKE(w->k, ATN_APPLY_COLS * d);
    ATN_TAKE(w->v, ATN_APPLY_COLS * dv);
    ATN_TAKE(w->s, ROWS * atn_apply_step(ATN_APPLY_COLS));
    ATN_TAKE(w->o, ROWS * dv);
    ATN_TAKE(w->one, ROWS);
    ATN_TAKE(w->soft, ROWS);
    ATN_TAKE(w->sum, ROWS * dv);
done:
    return st;
}

static atn_status group_task(atn_ctx *cx, atn_idx task, void *state)
{
    const atn_arena_mark mark = atn_arena_save(cx);
    const schedule *s = state;
    const atn_idx *piece = s->task + s->begin + task;
    atn_status st = ATN_OK;
    bench w;

    ATN_TRY(take_bench(cx, s->run, &w));
    for (atn_idx i = piece[0]; i < piece[1]; i++)
        ATN_TRY(one_piece(cx, &w, &s->piece[i]));
done:
    atn_arena_rewind(cx, mark);
    return st;
}

/* ---- all ---- */

static atn_status plan_rounds(atn_ctx *cx, const atn_run *run, schedule *s)
{
    atn_status st = ATN_OK;
    int32_t *round = NULL, *last = NULL;
    atn_idx *at = NULL;

    *s = (schedule){.run = run};
    count_groups(run->branch, &s->groups, &s->pieces);
    ATN_TAKE(s->piece, s->pieces);
    ATN_TAKE(s->task, s->pieces + 1);
    ATN_TAKE(round, s->groups);
    ATN_TAKE(last, run->h->nq);
    memset(last, 0, (size_t)run->h->nq * sizeof *last);
    s->rounds = find_rounds(run->branch, round, last);
    ATN_TAKE(s->round, s->rounds + 1);
    ATN_TAKE(at, s->rounds + 1);
    sort_pieces(s, round, at);
    make_tasks(s, at);
done:
    return st;
}

double atn_apply_groups_bytes(const atn_ctx *cx, const atn_run *run)
{
    const double nq = (double)run->h->nq;
    atn_idx groups, pieces;

    count_groups(run->branch, &groups, &pieces);
    return (double)pieces * (sizeof(group_piece) + sizeof(atn_idx)) +
           (double)groups * (sizeof(int32_t) + 2 * sizeof(atn_idx)) +
           nq * sizeof(int32_t) + 8 * 64 + (double)cx->threads * task_bytes(run);
}

atn_status atn_apply_groups(atn_ctx *cx, const atn_run *run)
{
    const double from = run->meter->from, share = run->meter->to - from;
    const atn_arena_mark mark = atn_arena_save(cx);
    atn_status st = ATN_OK;
    schedule s;

    ATN_TRY(plan_rounds(cx, run, &s));
    for (atn_idx r = 0; r < s.rounds; r++) {
        const atn_idx tasks = s.round[r + 1] - s.round[r];

        s.begin = s.round[r];
        run->meter->from = from + share * (double)s.begin / (double)s.tasks;
        run->meter->to = from + share * (double)(s.begin + tasks) / (double)s.tasks;
        ATN_TRY(atn_parallel(cx, tasks, group_task, &s, run->what));
    }
done:
    atn_arena_rewind(cx, mark);
    return st;
}
