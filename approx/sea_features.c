/* approx/sea_features.c -- positive features of keys, and their prefix sums by columns,
 * see approx/sea.h.
 *
 * A prefix is the sum of the features of the first b keys, each key added once, in
 * order; of every 64th b it is kept, so that a tile of rows begins near. Values are
 * scaled by powers of two to the largest exponent so far: exact, whatever was before.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#include <math.h>
#include <string.h>

#include "approx/random_features.h"
#include "approx/sea.h"
#include "core/kernels/kernels.h"
#include "core/wide_rows.h"

enum { MARK = 64, KEYS = 64, POWER_MOST = 1 << 20, NOTHING = -(1 << 24) };
static const double LN2 = 0.693147180559945309417;

/* ---- features ---- */

/* The logarithms of the features of the rows of x, into out [rows, m]. */
static atn_status log_features(atn_ctx *cx, const atn_sea_features *f, atn_cmat x,
                               double scale, double *out)
{
    const atn_random_map map = {.omega = {f->omega, f->m, x.cols, x.cols},
                                .scale = fabs(scale)};
    const atn_arena_mark mark = atn_arena_save(cx);
    atn_status st = ATN_OK;
    double *half = NULL;

    ATN_TAKE(half, x.rows);
    ATN_TRY(atn_random_exponents(cx, &map, x, out, half));
    for (atn_idx r = 0; r < x.rows; r++)
        for (atn_idx c = 0; c < f->m; c++) out[r * f->m + c] -= half[r];
done:
    atn_arena_rewind(cx, mark);
    return st;
}

static double largest(const double *x, atn_idx n)
{
    double max = x[0];

    for (atn_idx c = 1; c < n; c++) max = x[c] > max || isnan(x[c]) ? x[c] : max;
    return max;
}

static atn_status key_features(atn_ctx *cx, atn_idx task, void *state)
{
    const atn_sea_features *f = state;
    const atn_idx nk = f->in->head[0].nk, tiles = (nk - 1) / KEYS + 1;
    const atn_idx kv = task / tiles, from = task % tiles * KEYS;
    const atn_head *h = &f->in->head[kv * f->in->group];
    const atn_cmat x = {atn_crow(h->k, from), ATN_MIN((atn_idx)KEYS, nk - from),
                        h->k.cols, h->k.ld};
    const atn_arena_mark mark = atn_arena_save(cx);
    atn_status st = ATN_OK;
    double *a = NULL;

    ATN_TAKE(a, x.rows * f->m);
    ATN_TRY(log_features(cx, f, x, h->scale, a));
    for (atn_idx r = 0; r < x.rows; r++) {
        const atn_idx at = kv * nk + from + r;
        const double max = largest(a + r * f->m, f->m);
        double power = ceil(max / LN2);

        if (!(power <= POWER_MOST))
            ATN_FAIL(ATN_DATA,
                     "sea: layer %d, key %lld of KV head %lld: the largest feature is "
                     "e^%g (the projections are too long: give those of another run)",
                     h->layer, (long long)(from + r), (long long)kv, max);
        power = ATN_MAX(power, -(double)POWER_MOST);
        f->power[at] = (int32_t)power;
        for (atn_idx c = 0; c < f->m; c++)
            f->value[at * f->m + c] = (float)exp(a[r * f->m + c] - power * LN2);
    }
done:
    atn_arena_rewind(cx, mark);
    return st;
}

/* ---- prefix sums ---- */

/* Sum of the features of the first n keys is sum 2^power. */
typedef struct prefix {
    atn_idx n;
    int power;
    double *sum; /* [m] */
} prefix;

static void prefix_scale(prefix *p, int power, atn_idx m)
{
    const double by = ldexp(1, p->power - power);

    for (atn_idx c = 0; c < m; c++) p->sum[c] *= by;
    p->power = power;
}

/* Adds keys up to n. */
static void prefix_extend(const atn_sea_features *f, atn_idx kv, prefix *p, atn_idx n)
{
    const atn_idx nk = f->in->head[0].nk;

    for (; p->n < n; p->n++) {
        const atn_idx at = kv * nk + p->n;

        if (f->power[at] > p->power) prefix_scale(p, f->power[at], f->m);
        atn_row_add(f->value + at * f->m, f->m, ldexp(1, f->power[at] - p->power),
                    p->sum);
    }
}

static void prefix_begin(const atn_sea_features *f, atn_idx kv, prefix *p, atn_idx n)
{
    const atn_idx at = kv * f->marks + n / MARK;

    p->n = n / MARK * MARK;
    p->power = f->reach[at];
    memcpy(p->sum, f->sum + at * f->m, (size_t)f->m * sizeof *p->sum);
    prefix_extend(f, kv, p, n);
}

static atn_status sum_marks(atn_ctx *cx, atn_idx kv, void *state)
{
    const atn_sea_features *f = state;
    const atn_arena_mark mark = atn_arena_save(cx);
    atn_status st = ATN_OK;
    prefix p = {0, NOTHING, NULL};

    ATN_TAKE(p.sum, f->m);
    memset(p.sum, 0, (size_t)f->m * sizeof *p.sum);
    for (atn_idx t = 0; t < f->marks; t++) {
        ATN_TRY(atn_stopped(cx, "sea"));
        prefix_extend(f, kv, &p, t * MARK);
        f->reach[kv * f->marks + t] = p.power;
        memcpy(f->sum + (kv * f->marks + t) * f->m, p.sum,
               (size_t)f->m * sizeof *p.sum);
    }
done:
    atn_arena_rewind(cx, mark);
    return st;
}

double atn_sea_features_bytes(const atn_input *in, atn_idx m)
{
    const double kv = (double)(in->heads / in->group), nk = (double)in->head[0].nk;

    return kv * nk * (4 * (double)m + 4 + 8 * (double)m / MARK) +
           12 * (double)m * (double)in->head[0].q.cols;
}

atn_status atn_sea_features_make(atn_ctx *cx, const atn_input *in, atn_idx m,
                                 bool ortho, atn_sea_features *out)
{
    const atn_projections projections = {"sea", m, in->head[0].q.cols, ortho, false};
    const atn_idx kv = in->heads / in->group, nk = in->head[0].nk;
    atn_status st = ATN_OK;
    atn_idx values;

    *out = (atn_sea_features){.in = in, .m = m, .marks = nk / MARK + 1};
    ATN_TRY(atn_mem_check(cx, atn_sea_features_bytes(in, m), "features of sea"));
    if (!atn_mul(kv * nk, m, &values))
        ATN_FAIL(ATN_MEMORY, "sea: %lld features of %lld keys are too many",
                 (long long)m, (long long)(kv * nk));
    ATN_TAKE(out->omega, m * in->head[0].q.cols);
    ATN_TAKE(out->value, values);
    ATN_TAKE(out->power, kv * nk);
    ATN_TAKE(out->sum, kv * out->marks * m);
    ATN_TAKE(out->reach, kv * out->marks);
    ATN_TRY(atn_projections_make(cx, in, &projections, out->omega));
    ATN_TRY(atn_parallel(cx, kv * ((nk - 1) / KEYS + 1), key_features, out, "sea"));
    ATN_TRY(atn_parallel(cx, kv, sum_marks, out, "sea"));
done:
    return st;
}

/* ---- masses ---- */

/* Rows of a head. Columns are often more than keys: prefixes are of the edges that
 * differ, in order. */
typedef struct rows {
    const atn_sea_features *f;
    atn_idx kv, columns;
    atn_idx *edge; /* [columns + 1] */
    prefix *at;    /* [edges that may differ] */
    atn_idx begun; /* of them are of a row before */
    double *query; /* [m] features */
} rows;

/* A row of n keys has edges at 0 .. n, as many as columns and one at most. */
static atn_idx edges_most(atn_idx columns, atn_idx keys)
{
    return ATN_MIN(columns, keys) + 1;
}

static atn_status open_rows(atn_ctx *cx, rows *w)
{
    const atn_idx n = edges_most(w->columns, w->f->in->head[0].nk);
    atn_status st = ATN_OK;
    double *sums = NULL;

    ATN_TAKE(w->edge, w->columns + 1);
    ATN_TAKE(w->at, n);
    ATN_TAKE(w->query, w->f->m);
    ATN_TAKE(sums, n * w->f->m);
    for (atn_idx e = 0; e < n; e++) w->at[e].sum = sums + e * w->f->m;
done:
    return st;
}

/* Prefix e becomes that of n keys. The edges of the next row lie no lower as a rule:
 * it goes on from where it is, from the one before it, or from a mark. */
static void prefix_to(rows *w, atn_idx e, atn_idx n)
{
    const atn_idx mark = n / MARK * MARK;
    prefix *p = &w->at[e];

    if (e < w->begun && p->n <= n && p->n >= mark) {
        prefix_extend(w->f, w->kv, p, n);
    } else if (e > 0 && p[-1].n >= mark) {
        p->n = p[-1].n;
        p->power = p[-1].power;
        memcpy(p->sum, p[-1].sum, (size_t)w->f->m * sizeof *p->sum);
        prefix_extend(w->f, w->kv, p, n);
    } else {
        prefix_begin(w->f, w->kv, p, n);
    }
    w->begun = ATN_MAX(w->begun, e + 1);
}

/* The weight of the keys before edge e, in units of 2^power. */
static double so_far(const rows *w, atn_idx e, int power)
{
    return ldexp(atn_wide_dot(w->query, w->at[e].sum, w->f->m), w->at[e].power - power);
}

/* The masses of a row that sees the keys [lo, hi). */
static void row_masses(rows *w, const double *log_query, atn_idx lo, atn_idx hi,
                       float *mass)
{
    const double max = largest(log_query, w->f->m);
    double first, before, total;
    atn_idx e = 0;

    for (atn_idx r = 0; r < w->f->m; r++) w->query[r] = exp(log_query[r] - max);
    atn_sea_edges(hi - lo, w->columns, w->edge);
    for (atn_idx c = 0; c <= w->columns; c++)
        if (c == 0 || w->edge[c] > w->edge[c - 1]) prefix_to(w, e++, lo + w->edge[c]);
    first = before = so_far(w, 0, w->at[e - 1].power);
    total = so_far(w, e - 1, w->at[e - 1].power) - first;
    for (atn_idx c = 0, at = 0; c < w->columns; c++) {
        double part;

        mass[c] = 0;
        if (w->edge[c + 1] == w->edge[c]) continue;
        part = -before;
        before = so_far(w, ++at, w->at[e - 1].power);
        part = (part + before) / total;
        if (part > 0) mass[c] = (float)part; /* nothing, too, where all underflows */
    }
}

atn_status atn_sea_masses(atn_ctx *cx, const atn_sea_features *f, atn_idx head,
                          const atn_tile *t, atn_mat mass)
{
    const atn_head *h = &f->in->head[head];
    const atn_cmat q = {atn_crow(h->q, t->first), t->rows, h->q.cols, h->q.ld};
    const atn_arena_mark mark = atn_arena_save(cx);
    rows w = {.f = f, .kv = head / f->in->group, .columns = mass.cols};
    atn_status st = ATN_OK;
    double *log_query = NULL;

    ATN_TRY(open_rows(cx, &w));
    ATN_TAKE(log_query, t->rows * f->m);
    ATN_TRY(log_features(cx, f, q, h->scale, log_query));
    for (atn_idx r = 0; r < t->rows; r++) {
        atn_idx lo, hi;

        ATN_TRY(atn_stopped(cx, "sea"));
        atn_sight_row(&h->sight, t->first + r, &lo, &hi);
        if (lo < hi) row_masses(&w, log_query + r * f->m, lo, hi, atn_row(mass, r));
    }
done:
    atn_arena_rewind(cx, mark);
    return st;
}

double atn_sea_masses_bytes(const atn_input *in, atn_idx m, atn_idx columns,
                            double of_rows)
{
    const double edges = (double)edges_most(columns, in->head[0].nk);

    return 8 * (double)columns + edges * (24 + 8 * (double)m) +
           8 * (of_rows + 1) * (double)m;
}
