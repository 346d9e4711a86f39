/* analysis/approx_oracle.c -- the largest weights of every row, as many as methods have. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "analysis/approx_oracle.h"

#include <math.h>
#include <string.h>

#include "core/kernels/kernels.h"
#include "core/rows.h"

/* ---- how many keys ---- */

static atn_idx room_of(const atn_head *h, atn_idx i, int64_t keys)
{
    atn_idx lo, hi;

    atn_sight_row(&h->sight, i, &lo, &hi);
    return ATN_MAX(hi - lo - keys, 0);
}

/* Pairs that are taken when every row may have up to `more`. */
static double taken(const atn_head *h, const int64_t *keys, atn_idx more)
{
    double sum = 0;

    for (atn_idx i = 0; i < h->nq; i++)
        sum += (double)ATN_MIN(room_of(h, i, keys[i]), more);
    return sum;
}

void atn_approx_oracle_keys(const atn_head *h, double executed, int64_t *keys)
{
    atn_idx lo = 0, hi = h->nk;
    double left = executed;

    for (atn_idx i = 0; i < h->nq; i++) left -= (double)keys[i];
    left = fmax(left, 0);
    while (lo < hi) { /* the most rounds that are whole */
        const atn_idx mid = (lo + hi + 1) / 2;

        if (taken(h, keys, mid) <= left)
            lo = mid;
        else
            hi = mid - 1;
    }
    left -= taken(h, keys, lo);
    for (atn_idx i = 0; i < h->nq; i++) {
        const atn_idx room = room_of(h, i, keys[i]);
        const bool one = room > lo && left >= 1;

        keys[i] += ATN_MIN(room, lo) + one;
        left -= one;
    }
}

/* ---- what they reach ---- */

/* Sums of a tile, so that the order of tiles does not show. */
typedef struct part {
    double mass, error; /* weighted */
} part;

typedef struct asking {
    const atn_dense *d;
    const int32_t *k; /* [n, rows] */
    int n;
    part *parts; /* [tiles, n] */
} asking;

/* Rows of an array of numbers: which of the n sets of its row, in the order of their
 * sizes, each weight comes into first. Sets are cut at cut[s], their k-th largest; of
 * weights equal to a cut the first `quota` are in. Sets that hold the whole row come
 * last, and have no cut. */
typedef struct cuts {
    int *order;     /* [all] of methods, by k */
    float *cut;     /* [n] falling */
    atn_idx *quota; /* [n] */
    atn_idx *used;  /* [n] equal weights so far, counted at the first set of that cut */
    int n;
} cuts;

static atn_idx keys_of(const asking *a, int method, atn_idx i)
{
    return a->k[method * a->d->n + i];
}

/* By insertion: from one row to the next the order changes little. */
static void order_sets(const asking *a, atn_idx i, int *order)
{
    for (int s = 1; s < a->n; s++) {
        const int method = order[s];
        const atn_idx k = keys_of(a, method, i);
        int at = s;

        for (; at > 0 && keys_of(a, order[at - 1], i) > k; at--)
            order[at] = order[at - 1];
        order[at] = method;
    }
}

static void make_cuts(const asking *a, atn_idx i, const float *sorted, cuts *c)
{
    const atn_idx n = a->d->seen[i];

    order_sets(a, i, c->order);
    c->n = 0;
    for (int s = 0; s < a->n; s++) {
        const atn_idx k = keys_of(a, c->order[s], i);
        atn_idx above = k;

        if (k >= n) break;
        c->n++;
        c->used[s] = 0;
        c->cut[s] = k > 0 ? sorted[k - 1] : INFINITY;
        while (above > 0 && sorted[above - 1] == c->cut[s]) above--;
        c->quota[s] = k - above;
    }
}

/* The first set that has weight x; c->n = none. */
static int first_set(cuts *c, float x)
{
    int lo = 0, hi = c->n;

    while (lo < hi) { /* the first cut that is not above x */
        const int mid = (lo + hi) / 2;

        if (c->cut[mid] > x)
            lo = mid + 1;
        else
            hi = mid;
    }
    if (lo < c->n && c->cut[lo] == x) {
        const atn_idx before = c->used[lo]++;

        while (lo < c->n && c->cut[lo] == x && before >= c->quota[lo]) lo++;
    }
    return lo;
}

typedef struct row_scratch {
    float *sorted, *spare; /* [keys] */
    cuts cuts;
    double *mass; /* [n] that set s has and s - 1 has not */
    double *sum;  /* [n, dv] of outputs, likewise; then one more row */
} row_scratch;

static atn_status take_scratch(atn_ctx *cx, const asking *a, atn_idx keys,
                               row_scratch *s)
{
    const atn_idx dv = a->d->o ? a->d->head.v.cols : 0;
    atn_status st = ATN_OK;

    ATN_TAKE(s->sorted, keys);
    ATN_TAKE(s->spare, keys);
    ATN_TAKE(s->cuts.order, a->n);
    for (int k = 0; k < a->n; k++) s->cuts.order[k] = k;
    ATN_TAKE(s->cuts.cut, a->n);
    ATN_TAKE(s->cuts.quota, a->n);
    ATN_TAKE(s->cuts.used, a->n);
    ATN_TAKE(s->mass, a->n);
    ATN_TAKE(s->sum, (a->n + 1) * dv);
done:
    return st;
}

static double square_off(const float *o, const double *x, atn_idx dv, double scale)
{
    double square = 0;

    for (atn_idx e = 0; e < dv; e++) {
        const double off = (double)o[e] - scale * x[e];

        square += off * off;
    }
    return square;
}

/* Row i, whose n weights w begin with key lo and sum to `whole`. */
static void one_row(const asking *a, atn_idx i, const float *w, atn_idx lo,
                    double whole, row_scratch *s, part *to)
{
    const atn_dense *d = a->d;
    const atn_idx n = d->seen[i], dv = d->o ? d->head.v.cols : 0;
    const double weight = atn_dense_weight(d, i);
    /* what a sink takes stays in the denominator */
    const double rest = d->head.p.data ? 0 : 1 - d->share[i];
    double *all = s->sum + a->n * dv, mass = 0;

    memcpy(s->sorted, w, (size_t)n * sizeof *w);
    atn_row_sort(s->sorted, n, s->spare);
    make_cuts(a, i, s->sorted, &s->cuts);
    memset(s->mass, 0, (size_t)a->n * sizeof *s->mass);
    memset(s->sum, 0, (size_t)((a->n + 1) * dv) * sizeof *s->sum);
    for (atn_idx j = 0; j < n && s->cuts.n > 0; j++) {
        const int set = first_set(&s->cuts, w[j]);

        if (set >= s->cuts.n) continue;
        s->mass[set] += (double)w[j];
        atn_row_add(d->o ? atn_crow(d->head.v, lo + j) : w, dv, (double)w[j],
                    s->sum + set * dv);
    }
    for (int k = 0; k < a->n; k++) {
        part *mine = &to[s->cuts.order[k]];

        if (k >= s->cuts.n) { /* everything */
            mine->mass += weight;
            continue;
        }
        mass += s->mass[k];
        for (atn_idx e = 0; e < dv; e++) all[e] += s->sum[k * dv + e];
        mine->mass += weight * ATN_MIN(mass / whole, 1);
        if (dv > 0)
            mine->error += weight * square_off(d->o + i * dv, all, dv,
                                               mass > 0 ? 1 / (mass + rest) : 0);
    }
}

static atn_status visit(atn_ctx *cx, const atn_head *h, const atn_tile *t, atn_cmat p,
                        const atn_row_info *info, void *state)
{
    const asking *a = state;
    const atn_arena_mark mark = atn_arena_save(cx);
    part *to = a->parts + t->first / atn_tile_rows(h) * a->n;
    atn_status st = ATN_OK;
    row_scratch s = {0};

    ATN_TRY(take_scratch(cx, a, t->keys, &s));
    for (atn_idx r = 0; r < t->rows; r++)
        if (a->d->lse[t->first + r] > -INFINITY)
            one_row(a, t->first + r, atn_crow(p, r) + (info[r].lo - t->key0),
                    info[r].lo, info[r].mass, &s, to);
done:
    atn_arena_rewind(cx, mark);
    return st;
}

atn_status atn_approx_oracle(atn_ctx *cx, const atn_dense *d, const int32_t *k, int n,
                             double *error, double *mass)
{
    const atn_idx step = atn_tile_rows(&d->head), dv = d->o ? d->head.v.cols : 0;
    const atn_idx tiles = (d->n + step - 1) / step;
    const atn_arena_mark mark = atn_arena_save(cx);
    asking a = {.d = d, .k = k, .n = n};
    double whole = 0, weight = 0;
    atn_status st = ATN_OK;

    ATN_TAKE(a.parts, tiles * n);
    memset(a.parts, 0, (size_t)(tiles * n) * sizeof *a.parts);
    ATN_TRY(atn_rows_stream(cx, &d->head, 1, visit, &a, "the best possible"));
    for (atn_idx i = 0; i < d->n; i++) {
        if (d->lse[i] == -INFINITY) continue;
        weight += atn_dense_weight(d, i);
        if (dv > 0) whole += atn_dense_weight(d, i) * atn_row_square(d->o + i * dv, dv);
    }
    for (int s = 0; s < n; s++) {
        part sum = {0};

        for (atn_idx t = 0; t < tiles; t++) {
            sum.mass += a.parts[t * n + s].mass;
            sum.error += a.parts[t * n + s].error;
        }
        mass[s] = weight > 0 ? sum.mass / weight : NAN;
        error[s] = dv == 0 || weight == 0 ? NAN
                   : sum.error == 0       ? 0
                                          : sqrt(sum.error / whole);
    }
done:
    atn_arena_rewind(cx, mark);
    return st;
}

double atn_approx_oracle_bytes(const atn_ctx *cx, const atn_head *h, atn_idx rows,
                               int n)
{
    const double dv = h->v.data ? (double)h->v.cols : 0;
    const double step = (double)atn_tile_rows(h), tiles = ((double)rows - 1) / step + 1;
    const double row =
        2 * (double)h->nk * sizeof(float) + ((double)n + 1) * (dv + 5) * sizeof(double);

    return atn_rows_stream_bytes(cx, h, 1) + cx->threads * row +
           tiles * n * (double)sizeof(part);
}
