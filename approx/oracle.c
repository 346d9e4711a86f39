/* approx/oracle.c -- rows of weights for the oracles, and cuts of them. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "approx/oracle.h"

#include <math.h>
#include <string.h>

#include "core/wide_rows.h"

/* ---- cuts ---- */

static double middle(double a, double b, double c)
{
    return ATN_MAX(ATN_MIN(a, b), ATN_MIN(ATN_MAX(a, b), c));
}

/* x [n] by pivot: larger, equal, smaller ones; *equal and *less are where these
 * begin. */
static void part(double *x, atn_idx n, double pivot, atn_idx *equal, atn_idx *less)
{
    atn_idx lo = 0, i = 0, hi = n;

    while (i < hi) {
        const double y = x[i];

        if (y > pivot) {
            x[i++] = x[lo];
            x[lo++] = y;
        } else if (y < pivot) {
            x[i] = x[--hi];
            x[hi] = y;
        } else {
            i++;
        }
    }
    *equal = lo;
    *less = hi;
}

typedef struct goal {
    double at;
    bool count, beyond; /* numbers are counted, not added; > instead of >= */
} goal;

static bool reached(const goal *g, double sum)
{
    return g->beyond ? sum > g->at : sum >= g->at;
}

/* Selection by sums: the part in which the sum is reached is looked at again. x [n] is
 * reordered. */
static atn_cut cut_at(double *x, atn_idx n, const goal *g)
{
    atn_cut all = {-INFINITY, 0};
    double sum = 0;

    if (reached(g, 0)) return (atn_cut){INFINITY, 0};
    while (n > 0) {
        const double pivot = middle(x[0], x[n / 2], x[n - 1]);
        double more = 0;
        atn_idx equal, less;

        part(x, n, pivot, &equal, &less);
        for (atn_idx j = 0; j < equal; j++) more += g->count ? 1 : x[j];
        if (equal > 0 && reached(g, sum + more)) {
            all = (atn_cut){pivot, 0}; /* should another order fall short of it */
            n = equal;
            continue;
        }
        sum += more;
        for (atn_idx m = 1; m <= less - equal; m++) {
            sum += g->count ? 1 : pivot;
            if (reached(g, sum)) return (atn_cut){pivot, m};
        }
        x += less;
        n -= less;
    }
    return all;
}

atn_cut atn_cut_at_sum(const double *w, atn_idx n, double goal_, bool beyond,
                       double *scratch)
{
    const goal g = {goal_, false, beyond};

    if (n > 0) memcpy(scratch, w, (size_t)n * sizeof *w);
    return cut_at(scratch, n, &g);
}

atn_cut atn_cut_at_count(const double *w, atn_idx n, atn_idx k, double *scratch,
                         int64_t *ties)
{
    const goal g = {(double)k, true, false};
    atn_cut cut;

    if (k >= n) return (atn_cut){-INFINITY, 0};
    memcpy(scratch, w, (size_t)n * sizeof *w);
    cut = cut_at(scratch, n, &g);
    if (!ties || cut.ties == 0) return cut;
    for (atn_idx j = 0; j < n; j++) *ties += w[j] == cut.at;
    *ties -= cut.ties;
    return cut;
}

/* The cut without the last one that it keeps. */
static atn_cut less_one(const double *w, atn_idx n, atn_cut cut)
{
    double least = 0;
    bool any = false;

    if (cut.ties > 0) return (atn_cut){cut.at, cut.ties - 1};
    for (atn_idx j = 0; j < n; j++)
        if (w[j] > cut.at && (!any || w[j] < least)) {
            least = w[j];
            any = true;
        }
    if (!any) return cut;
    cut = (atn_cut){least, -1};
    for (atn_idx j = 0; j < n; j++) cut.ties += w[j] == least;
    return cut;
}

atn_cut atn_cut_below_sum(const double *w, atn_idx n, double most, double *scratch)
{
    const atn_cut cut = atn_cut_at_sum(w, n, most, true, scratch);
    double sum = 0;

    for (atn_idx j = 0; j < n; j++) sum += w[j];
    /* where all together stay below, none of them is what goes beyond */
    return sum > most ? less_one(w, n, cut) : cut;
}

atn_idx atn_cut_keeps(const double *w, atn_idx n, atn_cut cut)
{
    atn_idx kept = cut.ties;

    for (atn_idx j = 0; j < n; j++) kept += w[j] > cut.at;
    return kept;
}

/* ---- lists ---- */

typedef struct run {
    const atn_oracle *o;
    atn_oracle_visit *visit;
    void *state;
    atn_idx first, tasks, rows; /* lists or, of single keys, tiles of rows */
} run;

static atn_status visit_rows(atn_ctx *cx, const run *s, const atn_tile *t, double *w,
                             double *scratch)
{
    const atn_head *h = s->o->head;
    atn_status st = ATN_OK;

    for (atn_idx i = t->first; i < t->first + t->rows; i++) {
        const atn_idx at = atn_sight_at(&h->sight, i);
        atn_oracle_list l = {at, at, at + 1, 0, 0, NULL, 0, scratch};

        atn_sight_row(&h->sight, i, &l.lo, &l.n);
        l.n -= l.lo;
        if (l.n <= 0) continue;
        l.w = w + (i - t->first) * t->keys + (l.lo - t->key0);
        if (!s->o->logits) ATN_TRY(atn_wide_softmax(cx, h, i, l.w, l.n, &l.mass));
        ATN_TRY(s->visit(cx, s->o, &l, s->state));
    }
done:
    return st;
}

static atn_status run_tile(atn_ctx *cx, atn_idx task, void *state)
{
    const run *s = state;
    const atn_tile t =
        atn_tile_of(s->o->head, (s->tasks - 1 - task) * s->rows, s->rows);
    const atn_arena_mark mark = atn_arena_save(cx);
    atn_status st = ATN_OK;
    double *w = NULL, *scratch = NULL;

    ATN_TAKE(w, t.rows * t.keys);
    ATN_TAKE(scratch, t.keys);
    ATN_TRY(atn_wide_logits(cx, s->o->head, &t, w));
    ATN_TRY(visit_rows(cx, s, &t, w, scratch));
done:
    atn_arena_rewind(cx, mark);
    return st;
}

/* Adds the weights w of the keys [lo, hi) of one row to its blocks. */
static void add_row(const atn_oracle *o, const double *w, atn_idx lo, atn_idx hi,
                    double *pairs, atn_oracle_list *l)
{
    const atn_idx b = o->block;

    for (atn_idx c = lo / b; c * b < hi; c++) {
        const atn_idx from = ATN_MAX(c * b, lo), to = ATN_MIN((c + 1) * b, hi);
        double *sum = &l->w[c - l->lo];

        if (o->score == ATN_SCORE_MAX)
            for (atn_idx j = from; j < to; j++) *sum = fmax(*sum, w[j - lo]);
        else
            for (atn_idx j = from; j < to; j++) *sum += w[j - lo];
        pairs[c - l->lo] += (double)(to - from);
    }
}

static atn_status add_tile(atn_ctx *cx, const atn_oracle *o, const atn_tile *t,
                           double *w, double *pairs, atn_oracle_list *l)
{
    atn_status st = ATN_OK;

    ATN_TRY(atn_wide_logits(cx, o->head, t, w));
    for (atn_idx i = t->first; i < t->first + t->rows; i++) {
        double *row = w + (i - t->first) * t->keys, mass;
        atn_idx lo, hi;

        atn_sight_row(&o->head->sight, i, &lo, &hi);
        if (lo >= hi) continue;
        row += lo - t->key0;
        ATN_TRY(atn_wide_softmax(cx, o->head, i, row, hi - lo, &mass));
        add_row(o, row, lo, hi, pairs, l);
    }
done:
    return st;
}

/* Sums over `rows` rows become scores. */
static void finish_scores(const atn_oracle *o, atn_idx rows, const double *pairs,
                          atn_oracle_list *l)
{
    l->mass = 0;
    for (atn_idx c = 0; c < l->n; c++) {
        if (o->score == ATN_SCORE_SUM) l->w[c] /= (double)rows;
        if (o->score == ATN_SCORE_MEAN && pairs[c] > 0) l->w[c] /= pairs[c];
        l->mass += l->w[c];
    }
}

static atn_status run_list(atn_ctx *cx, atn_idx task, void *state)
{
    const run *s = state;
    const atn_oracle *o = s->o;
    const atn_head *h = o->head;
    const atn_idx r = s->first + s->tasks - 1 - task;
    const atn_idx from = ATN_MAX(r * o->block - h->sight.offset, 0);
    const atn_idx to = ATN_MIN((r + 1) * o->block - h->sight.offset, h->nq);
    const atn_arena_mark mark = atn_arena_save(cx);
    double *w = NULL, *pairs = NULL;
    atn_oracle_list l = {.r = r, .from = from + h->sight.offset};
    atn_status st = ATN_OK;
    atn_idx lo, hi;

    atn_head_hull(h, r * o->block, (r + 1) * o->block, &lo, &hi);
    if (lo >= hi) goto done;
    l.to = to + h->sight.offset;
    l.lo = lo / o->block;
    l.n = (hi - 1) / o->block - l.lo + 1;
    ATN_TAKE(l.w, l.n);
    ATN_TAKE(l.scratch, l.n);
    ATN_TAKE(pairs, l.n);
    ATN_TAKE(w, ATN_MIN(s->rows, to - from) * (hi - lo));
    memset(l.w, 0, (size_t)l.n * sizeof *l.w);
    memset(pairs, 0, (size_t)l.n * sizeof *pairs);
    for (atn_idx i = from; i < to; i += s->rows) {
        const atn_tile t = atn_tile_of(h, i, ATN_MIN(s->rows, to - i));

        ATN_TRY(add_tile(cx, o, &t, w, pairs, &l));
    }
    finish_scores(o, to - from, pairs, &l);
    ATN_TRY(s->visit(cx, o, &l, s->state));
done:
    atn_arena_rewind(cx, mark);
    return st;
}

/* Of tiles of weights on all threads, two or three numbers a key and `more` beside. */
static double running_bytes(const atn_ctx *cx, const atn_oracle *o, double more)
{
    const atn_head *h = o->head;
    const double n = (double)h->nk, nq = (double)h->nq, block = (double)o->block;
    const double most = (double)atn_wide_rows(h);
    const double rows = o->block == 1 ? most : fmin(most, block);
    const double tasks = o->block == 1 ? ceil(nq / most) : ceil(nq / block) + 1;

    return fmin(cx->threads, tasks) *
           (atn_wide_bytes(h) - sizeof(double) * n * (most - rows) +
            3 * sizeof(double) * n + more);
}

atn_status atn_oracle_run(atn_ctx *cx, const atn_oracle *o, atn_oracle_visit *visit,
                          void *state, const char *what)
{
    const atn_head *h = o->head;
    run s = {.o = o, .visit = visit, .state = state, .rows = atn_wide_rows(h)};
    atn_status st = ATN_OK;

    ATN_ASSERT(!h->sight.rows && !(o->logits && (o->block > 1 || h->p.data)));
    ATN_TRY(atn_mem_check(cx, running_bytes(cx, o, 0), what));
    if (o->block == 1) {
        s.tasks = (h->nq + s.rows - 1) / s.rows;
        ATN_TRY(atn_parallel(cx, s.tasks, run_tile, &s, what));
    } else {
        const atn_frame f = atn_head_frame(h, o->block);

        s.first = f.first / o->block;
        s.tasks = (f.first + f.nq - 1) / o->block - s.first + 1;
        ATN_TRY(atn_parallel(cx, s.tasks, run_list, &s, what));
    }
done:
    return st;
}

void atn_oracle_cost(const atn_oracle *o, atn_plan *out)
{
    const atn_head *h = o->head;
    const double pairs = atn_visible_pairs(h);

    out->index_bytes = ATN_COST_BYTES * pairs;
    if (h->p.data) return;
    out->index_flops = 2 * (double)h->q.cols * pairs;
    out->index_bytes += ATN_COST_BYTES * (double)h->q.cols * (double)(h->nq + h->nk);
}

/* ---- what is kept ---- */

atn_idx atn_cut_spans(const double *w, atn_idx n, atn_cut cut, atn_idx from,
                      atn_span *out)
{
    atn_idx spans = 0, end = -1;

    for (atn_idx j = 0; j < n; j++) {
        const double x = w[j];

        if (!(x > cut.at) && !(x == cut.at && cut.ties > 0)) continue;
        cut.ties -= x == cut.at;
        if (j == end) {
            if (out) out[spans - 1].hi++;
        } else {
            if (out) out[spans] = (atn_span){from + j, from + j + 1};
            spans++;
        }
        end = j + 1;
    }
    return spans;
}

atn_status atn_oracle_keep(atn_ctx *cx, atn_chosen *c, const atn_oracle_list *list,
                           atn_cut cut)
{
    const atn_arena_mark mark = atn_arena_save(cx);
    const atn_idx n = atn_cut_spans(list->w, list->n, cut, list->lo, NULL);
    atn_status st = ATN_OK;
    atn_span *spans = NULL;

    ATN_TAKE(spans, n);
    atn_cut_spans(list->w, list->n, cut, list->lo, spans);
    ATN_TRY(atn_chosen_put(cx, c, list->r, spans, n));
done:
    atn_arena_rewind(cx, mark);
    return st;
}

atn_status atn_oracle_open(atn_ctx *cx, const atn_oracle *o, atn_chosen **out)
{
    const atn_frame f = atn_head_frame(o->head, o->block);

    return atn_chosen_open(cx, &f, o->block, out);
}

atn_status atn_oracle_finish(atn_ctx *cx, const atn_oracle *o, atn_chosen *c,
                             atn_plan *out)
{
    atn_pattern *p = NULL;
    atn_status st = ATN_OK;

    ATN_TRY(atn_chosen_finish(cx, c, &p));
    atn_plan_mask(out, p, 0, o->block, o->block);
    atn_oracle_cost(o, out);
done:
    return st;
}

double atn_oracle_bytes(const atn_ctx *cx, const atn_oracle *o, double most)
{
    const double n = (double)o->head->nk, spans = fmin(most, n / 2 + 1);

    return atn_chosen_bytes(cx, o->head, o->block, o->block, most) +
           running_bytes(cx, o, sizeof(atn_span) * spans);
}
