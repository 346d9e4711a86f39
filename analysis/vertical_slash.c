/* analysis/vertical_slash.c -- lists of verticals and slashes, and what they keep. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "analysis/vertical_slash.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "analysis/row_stats.h"
#include "core/kernels/kernels.h"

/* ---- lists ---- */

typedef struct entry {
    double sum; /* infinite: forced */
    atn_idx at;
} entry;

static int by_sum(const void *a, const void *b)
{
    const entry *x = a, *y = b;
    const atn_idx nx = x->at < 0 ? -x->at : x->at, ny = y->at < 0 ? -y->at : y->at;

    if (x->sum != y->sum) return x->sum > y->sum ? -1 : 1;
    if (nx != ny) return nx < ny ? -1 : 1;
    return (x->at > y->at) - (x->at < y->at);
}

/* The rows from `first` on, as a head of their own. */
static atn_head tail_of(const atn_head *h, atn_idx first)
{
    atn_head t = *h;

    if (t.q.data) t.q.data = atn_crow(h->q, first);
    if (t.p.data) t.p.data = atn_crow(h->p, first);
    t.nq = t.q.rows = t.p.rows = h->nq - first;
    t.sight.offset += first;
    return t;
}

/* Keys [*lo, *hi) and distances [*near, *far] that some row sees. */
static void extent(const atn_head *h, atn_idx *lo, atn_idx *hi, atn_idx *near,
                   atn_idx *far)
{
    *lo = h->nk;
    *hi = 0;
    *near = h->nk + h->nq;
    *far = -*near;
    for (atn_idx i = 0; i < h->nq; i++) {
        const atn_idx at = atn_sight_at(&h->sight, i);
        atn_idx first, last;

        atn_sight_row(&h->sight, i, &first, &last);
        if (first == last) continue;
        *lo = ATN_MIN(*lo, first);
        *hi = ATN_MAX(*hi, last);
        *near = ATN_MIN(*near, at - last + 1);
        *far = ATN_MAX(*far, at - first);
    }
}

static atn_status list(atn_ctx *cx, entry *e, atn_idx n, atn_idx **at, double **sum)
{
    atn_status st = ATN_OK;

    qsort(e, (size_t)n, sizeof *e, by_sum);
    ATN_NEW(*at, n);
    ATN_NEW(*sum, n);
    for (atn_idx i = 0; i < n; i++) {
        (*at)[i] = e[i].at;
        (*sum)[i] = e[i].sum;
    }
done:
    return st;
}

static atn_status fill_lists(atn_ctx *cx, const atn_head *h, const atn_head_stats *s,
                             atn_idx forced, atn_slash_lists *lists)
{
    const atn_arena_mark mark = atn_arena_save(cx);
    atn_idx lo, hi, near, far;
    atn_status st = ATN_OK;
    entry *e = NULL;

    extent(h, &lo, &hi, &near, &far);
    lists->keys = ATN_MAX(hi - lo, 0);
    lists->slashes = ATN_MAX(far - near + 1, 0);
    ATN_TAKE(e, ATN_MAX(lists->keys, lists->slashes));
    for (atn_idx j = 0; j < lists->keys; j++)
        e[j] = (entry){j < forced ? INFINITY : s->columns[lo + j], lo + j};
    ATN_TRY(list(cx, e, lists->keys, &lists->key, &lists->key_sum));
    for (atn_idx j = 0; j < lists->slashes; j++) {
        const atn_idx delta = near + j;
        const double sum = s->diagonals[delta - h->sight.offset + h->nk - 1];

        e[j] = (entry){delta >= 0 && delta < forced ? INFINITY : sum, delta};
    }
    ATN_TRY(list(cx, e, lists->slashes, &lists->slash, &lists->slash_sum));
    ATN_NEW(lists->rank, h->nk);
    for (atn_idx j = 0; j < h->nk; j++) lists->rank[j] = h->nk;
    for (atn_idx i = 0; i < lists->keys; i++) lists->rank[lists->key[i]] = i;
    lists->near = near;
    ATN_NEW(lists->slash_rank, lists->slashes);
    for (atn_idx i = 0; i < lists->slashes; i++)
        lists->slash_rank[lists->slash[i] - near] = i;
done:
    atn_arena_rewind(cx, mark);
    return st;
}

atn_status atn_slash_lists_make(atn_ctx *cx, const atn_head *h, atn_idx first,
                                atn_idx forced, atn_slash_lists *lists)
{
    const atn_row_stats_opts opts = {.needs = ATN_NEED_COLUMNS | ATN_NEED_DIAGONALS};
    atn_status st = ATN_OK;
    atn_row_stats *stats = NULL;
    atn_head_stats s;
    atn_head tail;

    *lists = (atn_slash_lists){0};
    ATN_ASSERT(!h->sight.rows && first >= 0 && first < h->nq);
    tail = tail_of(h, first);
    ATN_TRY(atn_row_stats_run(cx, &tail, 1, NULL, &opts, &stats));
    s = atn_row_stats_head(stats, 0);
    ATN_TRY(fill_lists(cx, &tail, &s, forced, lists));
done:
    atn_row_stats_destroy(cx, stats);
    if (st != ATN_OK) atn_slash_lists_release(cx, lists);
    return st;
}

void atn_slash_lists_release(atn_ctx *cx, atn_slash_lists *lists)
{
    atn_free(cx, lists->key);
    atn_free(cx, lists->slash);
    atn_free(cx, lists->rank);
    atn_free(cx, lists->slash_rank);
    atn_free(cx, lists->key_sum);
    atn_free(cx, lists->slash_sum);
    *lists = (atn_slash_lists){0};
}

/* ---- what is kept ---- */

/* One row: p[j - lo] is the weight on key j of [lo, hi), t the position of the
 * query. */
typedef struct row_view {
    const float *p;
    atn_idx lo, hi, t;
} row_view;

/* The chosen keys and distances of one pattern, ascending. */
typedef struct choice {
    atn_idx *key, *slash;
    atn_idx keys, slashes;
} choice;

/* Entries of an ascending list that are below `bound`. */
static atn_idx below(const atn_idx *x, atn_idx n, atn_idx bound)
{
    atn_idx lo = 0, hi = n;

    while (lo < hi) {
        const atn_idx mid = lo + (hi - lo) / 2;

        if (x[mid] < bound)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo;
}

static double kept_by_lists(const atn_slash_lists *l, const choice *c,
                            const row_view *r, atn_idx *count)
{
    const atn_idx v0 = below(c->key, c->keys, r->lo);
    const atn_idx v1 = below(c->key, c->keys, r->hi);
    const atn_idx s0 = below(c->slash, c->slashes, r->t - r->hi + 1);
    const atn_idx s1 = below(c->slash, c->slashes, r->t - r->lo + 1);
    double mass = 0;

    *count = v1 - v0;
    for (atn_idx v = v0; v < v1; v++) mass += (double)r->p[c->key[v] - r->lo];
    for (atn_idx s = s0; s < s1; s++) {
        const atn_idx j = r->t - c->slash[s];
        const bool only = l->rank[j] >= c->keys; /* no vertical */

        mass += only ? (double)r->p[j - r->lo] : 0;
        *count += only;
    }
    return mass;
}

static double kept_by_shape(const atn_slash_pattern *a, const row_view *r,
                            atn_idx first_key, atn_idx *count)
{
    const atn_idx first_end = ATN_MIN(first_key + a->verticals, r->hi);
    const atn_idx near = ATN_MAX(ATN_MAX(r->t - a->slashes, first_end), r->lo);
    const atn_idx end = ATN_MIN(r->t + a->slashes + 1, r->hi);
    double mass = 0;

    *count = 0;
    if (first_end > r->lo) {
        *count += first_end - r->lo;
        mass += atn_row_sum(r->p, first_end - r->lo);
    }
    if (end > near) {
        *count += end - near;
        mass += atn_row_sum(r->p + (near - r->lo), end - near);
    }
    return mass;
}

/* Of one row and pattern. */
typedef struct row_kept {
    double mass, best; /* shares of the row's mass; NaN: the row does not count */
    atn_idx count;
} row_kept;

typedef struct job {
    const atn_slash_pattern *pattern;
    const choice *choice; /* [n] */
    int n;
    atn_idx skip;
    row_kept *kept; /* [nq][n] */
} job;

static row_kept keep(const job *j, int a, const row_view *r, double mass,
                     atn_idx first_key, float *scratch)
{
    const atn_slash_pattern *p = &j->pattern[a];
    row_kept k = {.best = NAN};

    k.mass = p->lists ? kept_by_lists(p->lists, &j->choice[a], r, &k.count)
                      : kept_by_shape(p, r, first_key, &k.count);
    k.mass = ATN_MIN(k.mass / mass, 1.0);
    if (p->oracle)
        k.best =
            ATN_MIN(atn_row_topk(r->p, r->hi - r->lo, k.count, scratch) / mass, 1.0);
    return k;
}

static atn_status visit(atn_ctx *cx, const atn_head *h, const atn_tile *t, atn_cmat p,
                        const atn_row_info *info, void *state)
{
    const job *j = state;
    const atn_arena_mark mark = atn_arena_save(cx);
    atn_status st = ATN_OK;
    float *scratch = NULL;

    ATN_TAKE(scratch, t->keys);
    for (atn_idx r = 0; r < t->rows; r++) {
        const atn_idx i = t->first + r;
        const row_view row = {atn_crow(p, r) + (info[r].lo - t->key0), info[r].lo,
                              info[r].hi, atn_sight_at(&h->sight, i)};
        const bool counts = i >= j->skip && info[r].hi > info[r].lo && info[r].mass > 0;

        for (int a = 0; a < j->n; a++)
            j->kept[i * j->n + a] =
                counts ? keep(j, a, &row, info[r].mass, h->sight.key_first, scratch)
                       : (row_kept){NAN, NAN, 0};
    }
done:
    atn_arena_rewind(cx, mark);
    return st;
}

static void average(const atn_head *h, const job *j, int a, atn_slash_pattern *p)
{
    double mass = 0, best = 0, rows = 0, kept = 0, seen = 0;

    for (atn_idx i = 0; i < h->nq; i++) {
        const row_kept *k = &j->kept[i * j->n + a];
        atn_idx lo, hi;

        if (isnan(k->mass)) continue;
        atn_sight_row(&h->sight, i, &lo, &hi);
        mass += k->mass;
        best += k->best;
        kept += (double)k->count;
        seen += (double)(hi - lo);
        rows++;
    }
    p->mass = rows > 0 ? mass / rows : NAN;
    p->oracle_mass = rows > 0 ? best / rows : NAN;
    p->density = seen > 0 ? kept / seen : NAN;
}

static int ascending(const void *a, const void *b)
{
    const atn_idx x = *(const atn_idx *)a, y = *(const atn_idx *)b;

    return (x > y) - (x < y);
}

/* Arena memory. */
static atn_status take_sorted(atn_ctx *cx, const atn_idx *from, atn_idx n,
                              atn_idx **out)
{
    atn_status st = ATN_OK;

    ATN_TAKE(*out, n);
    if (n > 0) memcpy(*out, from, (size_t)n * sizeof **out);
    qsort(*out, (size_t)n, sizeof **out, ascending);
done:
    return st;
}

static atn_status choose(atn_ctx *cx, const atn_slash_pattern *p, choice *c)
{
    atn_status st = ATN_OK;

    *c = (choice){0};
    if (!p->lists) goto done;
    c->keys = ATN_MIN(p->verticals, p->lists->keys);
    c->slashes = ATN_MIN(p->slashes, p->lists->slashes);
    ATN_TRY(take_sorted(cx, p->lists->key, c->keys, &c->key));
    ATN_TRY(take_sorted(cx, p->lists->slash, c->slashes, &c->slash));
done:
    return st;
}

atn_status atn_slash_retained(atn_ctx *cx, const atn_head *h, atn_idx skip_rows,
                              atn_slash_pattern *pattern, int n)
{
    const atn_arena_mark mark = atn_arena_save(cx);
    atn_status st = ATN_OK;
    job j = {.pattern = pattern, .n = n, .skip = skip_rows};
    choice *c = NULL;

    ATN_TRY(atn_mem_check(cx, (double)sizeof *j.kept * n * (double)h->nq,
                          "verticals and slashes"));
    ATN_NEW(j.kept, h->nq * n);
    ATN_TAKE(c, n);
    for (int a = 0; a < n; a++) ATN_TRY(choose(cx, &pattern[a], &c[a]));
    j.choice = c;
    ATN_TRY(atn_rows_stream(cx, h, 1, visit, &j, "verticals and slashes"));
    for (int a = 0; a < n; a++) average(h, &j, a, &pattern[a]);
done:
    atn_free(cx, j.kept);
    atn_arena_rewind(cx, mark);
    return st;
}
