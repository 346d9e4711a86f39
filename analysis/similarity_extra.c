/* analysis/similarity_extra.c -- comparisons of heads that are asked for one by one.
 *
 * Math    jaccard   mean over the rows with weight in both of |A and B| / |A or B|, A
 *                   and B the min(k, n) keys of largest weight among the n that the row
 *                   sees.
 *         spearman  Pearson of the ranks of the column sums, equal sums sharing the
 *                   mean of their ranks; over the keys that are padding in no layer.
 *         cka       of the outputs P V over the rows where every head has weight.
 * Oracle  columns 3 1 2 against 30 10 20: 1, against 1 3 2: -1; A = {0 1}, B = {1 2}:
 *         1/3.
 * Source  card B12.
 * Cost    jaccard: the row stream, a heap of k a row, 2 k steps a pair and row.
 *         spearman and cka share one row stream; nk doubles and nq dv floats a head.
 *         cka: see cka.h.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "analysis/cka.h"
#include "analysis/similarity_internal.h"
#include "core/kernels/kernels.h"

static const double SMOOTH = .001;

bool atn_sim_extra_wanted(const atn_similarity_opts *opts, atn_sim_extra which)
{
    switch (which) {
    case ATN_SIM_JACCARD:
        return opts->jaccard > 0;
    case ATN_SIM_SPEARMAN:
        return opts->spearman;
    case ATN_SIM_CKA:
    case ATN_SIM_CKA_DEBIASED:
        return opts->cka;
    default:
        return opts->smoothed;
    }
}

/* ---- the best keys ---- */

typedef struct jaccard_job {
    const atn_sim_set *set;
    atn_idx rows, tiles, groups, k;
    double *sum, *count; /* [groups x m x m], lower triangles */
} jaccard_job;

/* Whether key a is a worse choice than key b: less weight, or the same and behind
 * it. */
static bool worse(const float *w, int32_t a, int32_t b)
{
    return w[a] < w[b] || (w[a] <= w[b] && a > b);
}

/* heap[0..n) has the worst key at 0; puts key at `at` and lets it sink. */
static void sink(const float *w, int32_t *heap, atn_idx n, atn_idx at, int32_t key)
{
    for (;;) {
        atn_idx child = 2 * at + 1;

        if (child + 1 < n && worse(w, heap[child + 1], heap[child])) child++;
        if (child >= n || worse(w, key, heap[child])) break;
        heap[at] = heap[child];
        at = child;
    }
    heap[at] = key;
}

static int by_key(const void *a, const void *b)
{
    const int32_t x = *(const int32_t *)a, y = *(const int32_t *)b;

    return (x > y) - (x < y);
}

/* The k best of the keys [lo, hi) of a row, ascending; returns how many. */
static atn_idx best_keys(const float *w, atn_idx lo, atn_idx hi, atn_idx k,
                         int32_t *keys)
{
    const atn_idx n = ATN_MIN(k, hi - lo);

    for (atn_idx i = 0; i < n; i++) keys[i] = (int32_t)(lo + i);
    for (atn_idx i = n / 2 - 1; i >= 0; i--) sink(w, keys, n, i, keys[i]);
    for (atn_idx j = lo + n; j < hi; j++)
        if (w[j] > w[keys[0]]) sink(w, keys, n, 0, (int32_t)j);
    qsort(keys, (size_t)n, sizeof *keys, by_key);
    return n;
}

static double overlap(const int32_t *a, atn_idx na, const int32_t *b, atn_idx nb)
{
    atn_idx both = 0;

    for (atn_idx i = 0, j = 0; i < na && j < nb;) {
        both += a[i] == b[j];
        if (a[i] < b[j])
            i++;
        else if (a[i] > b[j])
            j++;
        else {
            i++;
            j++;
        }
    }
    return (double)both / (double)(na + nb - both);
}

/* Pairs of one row; keys [m][k], n[m] of them, 0 = no weight. */
static void pair_row(const jaccard_job *j, atn_idx group, const int32_t *keys,
                     const atn_idx *n)
{
    const atn_idx m = j->set->m, base = group * m * m;

    for (atn_idx a = 0; a < m; a++)
        for (atn_idx b = 0; b < a; b++) {
            if (n[a] == 0 || n[b] == 0) continue;
            j->sum[base + a * m + b] +=
                overlap(keys + a * j->k, n[a], keys + b * j->k, n[b]);
            j->count[base + a * m + b]++;
        }
}

static atn_status jaccard_group(atn_ctx *cx, atn_idx g, void *state)
{
    const jaccard_job *j = state;
    const atn_sim_set *set = j->set;
    const atn_idx m = set->m, nk = set->head[0].nk, exclude = set->opts->exclude_first;
    const atn_arena_mark mark = atn_arena_save(cx);
    atn_status st = ATN_OK;
    float *x = NULL;
    double *square = NULL, total;
    atn_row_info *info = NULL;
    int32_t *keys = NULL;
    atn_idx *n = NULL;

    ATN_TAKE(x, j->rows * nk);
    ATN_TAKE(square, j->rows);
    ATN_TAKE(info, j->rows);
    ATN_TAKE(keys, j->rows * m * j->k);
    ATN_TAKE(n, j->rows * m);
    for (atn_idx at = set->opts->skip_rows / j->rows + g; at < j->tiles;
         at += j->groups) {
        const atn_idx begin = ATN_MAX(at * j->rows, set->opts->skip_rows);
        const atn_tile t = atn_sim_tile(set, begin, (at + 1) * j->rows - begin);

        for (atn_idx a = 0; a < m; a++) {
            ATN_TRY(atn_sim_fill(cx, &set->head[a], &t, exclude, x, t.keys, info,
                                 square, &total));
            for (atn_idx r = 0; r < t.rows; r++)
                n[r * m + a] = square[r] > 0
                                   ? best_keys(x + r * t.keys,
                                               ATN_MAX(info[r].lo, exclude) - t.key0,
                                               info[r].hi - t.key0, j->k,
                                               keys + (r * m + a) * j->k)
                                   : 0;
        }
        for (atn_idx r = 0; r < t.rows; r++)
            pair_row(j, g, keys + r * m * j->k, n + r * m);
    }
done:
    atn_arena_rewind(cx, mark);
    return st;
}

static atn_status run_jaccard(atn_ctx *cx, const atn_sim_set *set, double *out)
{
    const atn_idx m = set->m, nq = set->head[0].nq;
    const int threads = cx->threads;
    atn_status st = ATN_OK;
    jaccard_job j = {.set = set,
                     .rows = atn_sim_gram_rows(set),
                     .groups = atn_sim_groups(set),
                     .k = ATN_MIN(set->opts->jaccard, set->head[0].nk)};

    j.tiles = (nq + j.rows - 1) / j.rows;
    ATN_NEW(j.sum, j.groups * m * m);
    ATN_NEW(j.count, j.groups * m * m);
    cx->threads = atn_sim_threads(cx, atn_sim_tile_bytes(set));
    st = atn_parallel(cx, j.groups, jaccard_group, &j, "best keys");
    cx->threads = threads;
    ATN_TRY(st);
    for (atn_idx a = 0; a < m; a++)
        for (atn_idx b = 0; b <= a; b++) {
            double sum = a == b, n = a == b;

            for (atn_idx g = 0; g < j.groups && a != b; g++) {
                sum += j.sum[(g * m + a) * m + b];
                n += j.count[(g * m + a) * m + b];
            }
            out[a * m + b] = out[b * m + a] = n > 0 ? sum / n : NAN;
        }
done:
    atn_free(cx, j.sum);
    atn_free(cx, j.count);
    return st;
}

/* ---- column sums and outputs, a head at a time ---- */

typedef struct walk {
    const atn_sim_set *set;
    double *columns;       /* [m, nk], NULL = not wanted */
    float **out;           /* [m][nq - skip_rows, dv], NULL = not wanted */
    unsigned char *weight; /* [m, nq - skip_rows] the row has some */
} walk;

static atn_status walk_head(atn_ctx *cx, atn_idx a, void *state)
{
    const walk *w = state;
    const atn_head *h = &w->set->head[a];
    const atn_idx skip = w->set->opts->skip_rows, step = atn_tile_rows(h);
    const atn_idx dv = h->v.cols;
    const atn_arena_mark mark = atn_arena_save(cx);
    atn_status st = ATN_OK;
    float *x = NULL;
    double *square = NULL, total;
    atn_row_info *info = NULL;

    ATN_TAKE(x, step * h->nk);
    ATN_TAKE(square, step);
    ATN_TAKE(info, step);
    for (atn_idx at = skip; at < h->nq; at += step) {
        const atn_tile t = atn_tile_of(h, at, step);

        ATN_TRY(atn_sim_fill(cx, h, &t, w->set->opts->exclude_first, x, t.keys, info,
                             square, &total));
        for (atn_idx r = 0; r < t.rows; r++) {
            w->weight[a * (h->nq - skip) + at - skip + r] = square[r] > 0;
            for (atn_idx c = 0; c < t.keys && w->columns; c++)
                w->columns[a * h->nk + t.key0 + c] += (double)x[r * t.keys + c];
        }
        if (!w->out || t.keys == 0) continue;
        atn_gemm(false, 1, (atn_cmat){x, t.rows, t.keys, t.keys},
                 (atn_cmat){atn_crow(h->v, t.key0), t.keys, dv, h->v.ld}, 0,
                 (atn_mat){w->out[a] + (at - skip) * dv, t.rows, dv, dv});
    }
done:
    atn_arena_rewind(cx, mark);
    return st;
}

typedef struct place {
    double sum;
    atn_idx key;
} place;

static int by_sum(const void *a, const void *b)
{
    const place *x = a, *y = b;

    if (x->sum != y->sum) return x->sum < y->sum ? -1 : 1;
    return (x->key > y->key) - (x->key < y->key);
}

/* x[n] <- its ranks less their mean (n - 1) / 2, ties sharing theirs. */
static void rank(double *x, atn_idx n, place *scratch)
{
    for (atn_idx j = 0; j < n; j++) scratch[j] = (place){x[j], j};
    qsort(scratch, (size_t)n, sizeof *scratch, by_sum);
    for (atn_idx i = 0, end; i < n; i = end) {
        for (end = i + 1; end < n && !(scratch[end].sum > scratch[i].sum); end++) {
        }
        for (atn_idx j = i; j < end; j++)
            x[scratch[j].key] = (double)(i + end - 1) / 2 - (double)(n - 1) / 2;
    }
}

static atn_status rank_columns(atn_ctx *cx, const walk *w, double *out)
{
    const atn_sim_set *set = w->set;
    const atn_idx m = set->m, nk = set->head[0].nk;
    const atn_arena_mark mark = atn_arena_save(cx);
    atn_status st = ATN_OK;
    atn_idx first = nk, last = 0;
    place *scratch = NULL;
    double *square = NULL;

    ATN_TAKE(scratch, nk);
    ATN_TAKE(square, m);
    for (atn_idx a = 0; a < m; a++) {
        first = ATN_MIN(first, set->head[a].sight.key_first);
        last = ATN_MAX(last, set->head[a].sight.key_last);
    }
    first = ATN_MAX(first, set->opts->exclude_first);
    last = ATN_MAX(last, first);
    for (atn_idx a = 0; a < m; a++) {
        double *x = w->columns + a * nk + first;

        rank(x, last - first, scratch);
        square[a] = atn_wide_dot(x, x, last - first);
    }
    for (atn_idx a = 0; a < m; a++)
        for (atn_idx b = 0; b <= a; b++) {
            const double both = atn_wide_dot(w->columns + a * nk + first,
                                             w->columns + b * nk + first, last - first);

            out[a * m + b] = out[b * m + a] =
                square[a] > 0 && square[b] > 0
                    ? (a == b ? 1 : both / sqrt(square[a] * square[b]))
                    : (double)NAN;
        }
done:
    atn_arena_rewind(cx, mark);
    return st;
}

/* Moves the rows where all heads have weight to the front of every output. */
static atn_idx common_rows(const walk *w, atn_idx rows)
{
    atn_idx kept = 0;

    for (atn_idx i = 0; i < rows; i++) {
        bool all = true;

        for (atn_idx a = 0; a < w->set->m; a++) all &= w->weight[a * rows + i] > 0;
        if (!all) continue;
        for (atn_idx a = 0; a < w->set->m && kept < i; a++) {
            const atn_idx dv = w->set->head[a].v.cols;
            memcpy(w->out[a] + kept * dv, w->out[a] + i * dv,
                   (size_t)dv * sizeof **w->out);
        }
        kept++;
    }
    return kept;
}

static atn_status compare_outputs(atn_ctx *cx, const walk *w, double *cka,
                                  double *debiased)
{
    const atn_idx m = w->set->m;
    const atn_idx rows = common_rows(w, w->set->head[0].nq - w->set->opts->skip_rows);
    const atn_arena_mark mark = atn_arena_save(cx);
    atn_status st = ATN_OK;
    atn_cmat *x = NULL;

    ATN_TAKE(x, m);
    for (atn_idx a = 0; a < m; a++) {
        const atn_idx dv = w->set->head[a].v.cols;
        x[a] = (atn_cmat){w->out[a], rows, dv, dv};
    }
    ATN_TRY(atn_cka_pairs(cx, x, m, cka, debiased));
done:
    atn_arena_rewind(cx, mark);
    return st;
}

static bool has_values(const atn_sim_set *set)
{
    for (atn_idx a = 0; a < set->m; a++)
        if (!set->head[a].v.data) return false;
    return true;
}

static atn_status run_walk(atn_ctx *cx, const atn_sim_set *set, double *const *x)
{
    const atn_idx m = set->m, rows = set->head[0].nq - set->opts->skip_rows;
    const bool outputs = set->opts->cka && has_values(set);
    atn_status st = ATN_OK;
    walk w = {.set = set};

    ATN_NEW(w.weight, m * rows);
    if (set->opts->spearman) ATN_NEW(w.columns, m * set->head[0].nk);
    if (outputs) {
        ATN_NEW(w.out, m);
        for (atn_idx a = 0; a < m; a++) ATN_NEW(w.out[a], rows * set->head[a].v.cols);
    }
    ATN_TRY(atn_parallel(cx, m, walk_head, &w, "columns and outputs"));
    if (w.columns) ATN_TRY(rank_columns(cx, &w, x[ATN_SIM_SPEARMAN]));
    if (outputs)
        ATN_TRY(compare_outputs(cx, &w, x[ATN_SIM_CKA], x[ATN_SIM_CKA_DEBIASED]));
done:
    for (atn_idx a = 0; w.out && a < m; a++) atn_free(cx, w.out[a]);
    atn_free(cx, w.out);
    atn_free(cx, w.columns);
    atn_free(cx, w.weight);
    return st;
}

double atn_sim_extra_bytes(const atn_ctx *cx, const atn_sim_set *set)
{
    const double m = (double)set->m, nk = (double)set->head[0].nk;
    const double rows = (double)(set->head[0].nq - set->opts->skip_rows);
    const double tile = atn_sim_tile_bytes(set),
                 stream = atn_rows_stream_bytes(cx, set->head, 1);
    double most = 0, walk_bytes = m * rows + stream;

    if (set->opts->smoothed) most = atn_sim_gram_bytes(cx, set);
    if (set->opts->jaccard > 0) {
        const double keys = 4 * m * (double)atn_sim_gram_rows(set) *
                            ATN_MIN((double)set->opts->jaccard, nk);
        most = ATN_MAX(most, (tile + keys) * atn_sim_threads(cx, tile) +
                                 16 * m * m * (double)atn_sim_groups(set));
    }
    if (set->opts->spearman) walk_bytes += 8 * m * nk;
    for (atn_idx a = 0; a < set->m && set->opts->cka; a++)
        walk_bytes += 4 * rows * (double)set->head[a].v.cols;
    return set->opts->spearman || set->opts->cka ? ATN_MAX(most, walk_bytes) : most;
}

static void fill(double *x, atn_idx n, double value)
{
    for (atn_idx i = 0; i < n; i++) x[i] = value;
}

atn_status atn_sim_extra_run(atn_ctx *cx, const atn_sim_set *set, double *const *x)
{
    const atn_similarity_opts *o = set->opts;
    atn_status st = ATN_OK;

    if (o->jaccard > 0) ATN_TRY(run_jaccard(cx, set, x[ATN_SIM_JACCARD]));
    if (o->cka && !has_values(set)) {
        atn_log(cx, ATN_LOG_WARN,
                "similarity: cka is not available: the capture has no values (v)");
        fill(x[ATN_SIM_CKA], set->m * set->m, NAN);
        fill(x[ATN_SIM_CKA_DEBIASED], set->m * set->m, NAN);
    }
    if (o->spearman || (o->cka && has_values(set))) ATN_TRY(run_walk(cx, set, x));
    if (o->smoothed)
        ATN_TRY(atn_sim_mix_run(cx, set,
                                &(atn_sim_mix){.smooth = SMOOTH,
                                               .js = x[ATN_SIM_JS_SMOOTHED],
                                               .js_sum = x[ATN_SIM_JS_SMOOTHED_SUM]}));
done:
    return st;
}
