/* core/rows.c -- the row stream and the parallel loop under it, see the header.
 *
 * A tile's logits are computed by one GEMM over the keys that some row of it sees; then
 * each row is finished while it is in cache.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "core/rows.h"

#include <math.h>
#include <omp.h>
#include <string.h>

#include "core/backend.h"
#include "core/kernels/kernels.h"

enum { TILE_FLOATS = 1 << 18, TILE_ROWS_MIN = 8, TILE_ROWS_MAX = 64 };

atn_idx atn_tile_rows(const atn_head *h)
{
    const atn_idx fit = TILE_FLOATS / ATN_MAX(h->nk, 1) / 8 * 8;

    return ATN_MIN(ATN_MAX(fit, (atn_idx)TILE_ROWS_MIN), (atn_idx)TILE_ROWS_MAX);
}

atn_tile atn_tile_of(const atn_head *h, atn_idx first, atn_idx rows)
{
    atn_tile t = {first, ATN_MIN(rows, h->nq - first), h->nk, 0};
    atn_idx end = 0;

    for (atn_idx i = first; i < first + t.rows; i++) {
        atn_idx lo, hi;
        atn_sight_row(&h->sight, i, &lo, &hi);
        if (lo == hi) continue;
        t.key0 = ATN_MIN(t.key0, lo);
        end = ATN_MAX(end, hi);
    }
    t.keys = ATN_MAX(end - t.key0, 0);
    if (t.keys == 0) t.key0 = 0;
    return t;
}

static atn_status bad_row(atn_ctx *cx, const atn_head *h, atn_idx i)
{
    return atn_fail(cx, ATN_DATA, __FILE__, __LINE__,
                    "layer %d, head %d, row %lld: a logit or weight is NaN or infinite "
                    "(look for NaN in the model's weights or the imported tensors)",
                    h->layer, h->head, (long long)i);
}

/* Logits s of the n keys from lo on, scaled already: bias and cap in place. */
static void finish_logits(const atn_head *h, atn_idx i, float *s,
                          const atn_row_info *info)
{
    const atn_idx n = info->hi - info->lo;
    const atn_idx from = info->lo - atn_sight_at(&h->sight, i);

    if (h->alibi_slope != 0) atn_row_slope(s, n, (float)h->alibi_slope, (float)from);
    if (h->rel_bias && n > 0) atn_vec_add(h->rel_bias + (h->rel_zero + from), n, s);
    if (h->sight.softcap > 0) atn_row_softcap(s, n, (float)h->sight.softcap);
}

void atn_rows_logits(const atn_head *h, const atn_tile *t, atn_mat out,
                     atn_row_info *info)
{
    ATN_ASSERT(out.rows >= t->rows && out.ld >= t->keys);
    if (!h->p.data && t->keys > 0) {
        const atn_cmat q = {atn_crow(h->q, t->first), t->rows, h->q.cols, h->q.ld};
        const atn_cmat k = {atn_crow(h->k, t->key0), t->keys, h->k.cols, h->k.ld};
        const atn_mat s = {out.data, t->rows, t->keys, out.ld};

        atn_gemm(true, (float)h->scale, q, k, 0, s);
    }
    for (atn_idx r = 0; r < t->rows; r++) {
        const atn_idx i = t->first + r;
        float *row = atn_row(out, r), *seen;

        info[r] = (atn_row_info){0};
        atn_sight_row(&h->sight, i, &info[r].lo, &info[r].hi);
        if (info[r].lo == info[r].hi) info[r].lo = info[r].hi = t->key0;
        seen = row + (info[r].lo - t->key0);
        memset(row, 0, (size_t)(info[r].lo - t->key0) * sizeof *row);
        memset(row + (info[r].hi - t->key0), 0,
               (size_t)(t->key0 + t->keys - info[r].hi) * sizeof *row);
        if (h->p.data)
            memcpy(seen, atn_crow(h->p, i) + info[r].lo,
                   (size_t)(info[r].hi - info[r].lo) * sizeof *seen);
        else
            finish_logits(h, i, seen, &info[r]);
    }
}

/* The softmax of n logits, in place. */
static atn_status softmax_row(atn_ctx *cx, const atn_head *h, atn_idx i, float *s,
                              atn_row_info *info)
{
    const atn_idx n = info->hi - info->lo;
    const float max = atn_row_max(s, n);
    double dot, denominator;
    const double sum = atn_row_exp(s, n, max, &dot);
    float scale;

    if (!isfinite(max) || !isfinite(sum) || !isfinite(dot)) return bad_row(cx, h, i);
    denominator = sum;
    if (h->has_sink) denominator += exp(h->sink - (double)max);
    /* a sink logit far above all others leaves a row without mass */
    scale = isfinite(denominator) ? (float)(1.0 / denominator) : 0.0f;
    atn_row_scale(s, n, scale);
    info->max = (double)max;
    info->lse = (double)max + log(sum);
    info->mass = scale > 0 ? sum / denominator : 0;
    info->entropy = ATN_MAX(log(sum) - dot / sum, 0.0);
    return ATN_OK;
}

/* Weights of the n keys from lo on, given: only their facts are computed. */
static atn_status given_row(atn_ctx *cx, const atn_head *h, atn_idx i, const float *p,
                            atn_row_info *info)
{
    const atn_idx n = info->hi - info->lo;

    info->max = info->lse = 0;
    info->mass = atn_row_sum(p, n);
    if (!isfinite(info->mass)) return bad_row(cx, h, i);
    info->entropy = 0;
    if (info->mass > 0)
        info->entropy =
            ATN_MAX(atn_row_plogp(p, n) / info->mass + log(info->mass), 0.0);
    return ATN_OK;
}

atn_status atn_rows_softmax(atn_ctx *cx, const atn_head *h, const atn_tile *t,
                            atn_idx r, atn_mat out, atn_row_info *info)
{
    float *seen = atn_row(out, r) + (info[r].lo - t->key0);

    if (info[r].lo == info[r].hi) return ATN_OK;
    return h->p.data ? given_row(cx, h, t->first + r, seen, &info[r])
                     : softmax_row(cx, h, t->first + r, seen, &info[r]);
}

atn_status atn_rows_fill_cpu(atn_ctx *cx, const atn_head *h, const atn_tile *t,
                             atn_mat out, atn_row_info *info)
{
    atn_status st = ATN_OK;

    atn_rows_logits(h, t, out, info);
    for (atn_idx r = 0; r < t->rows && st == ATN_OK; r++)
        st = atn_rows_softmax(cx, h, t, r, out, info);
    return st;
}

atn_status atn_rows_fill(atn_ctx *cx, const atn_head *h, const atn_tile *t, atn_mat out,
                         atn_row_info *info)
{
    return cx->backend->rows_fill(cx, h, t, out, info);
}

/* ---- the parallel loop ---- */

atn_status atn_parallel(atn_ctx *cx, atn_idx n, atn_task *task, void *state,
                        const char *what)
{
    atn_idx failed = n, done = 0;
    atn_status st = ATN_OK;

#pragma omp parallel num_threads(cx->threads) if (n > 1 && cx->threads > 1)
    {
        atn_ctx child;

        atn_ctx_fork(cx, &child);
        if (omp_get_thread_num() == 0) {
            child.progress = cx->progress;
            child.progress_user = cx->progress_user;
        }
#pragma omp for schedule(dynamic, 1)
        for (atn_idx i = 0; i < n; i++) {
            atn_status mine;
            atn_idx limit, so_far;

#pragma omp atomic read
            limit = failed;
            if (i > limit) continue;
            mine = task(&child, i, state);
#pragma omp atomic capture
            so_far = ++done;
            if (mine == ATN_OK)
                mine = atn_progress(&child, what, (double)so_far, (double)n);
            if (mine == ATN_OK) continue;
#pragma omp critical(atn_parallel_failure)
            if (i < failed) {
                st = mine;
                atn_ctx_adopt_err(cx, &child);
#pragma omp atomic write
                failed = i;
            }
        }
        atn_ctx_release(&child);
    }
    return st;
}

typedef struct stream {
    const atn_head *heads;
    const atn_idx *first_tile; /* [n_heads + 1] prefix sums of tile counts */
    atn_idx n_heads;
    atn_rows_visit *visit; /* or */
    atn_logits_visit *raw;
    void *state;
} stream;

/* Rows begin an odd number of cache lines apart: steps of a power of 2 would share
 * sets. */
static atn_idx row_step(atn_idx keys)
{
    return ((keys + 15) / 16 | 1) * 16;
}

static atn_status stream_tile(atn_ctx *cx, atn_idx i, void *state)
{
    const stream *s = state;
    const atn_arena_mark mark = atn_arena_save(cx);
    atn_status st = ATN_OK;
    atn_row_info *info = NULL;
    atn_mat p = {NULL, 0, 0, 0};
    const atn_head *h;
    atn_idx at = 0, rows;
    atn_tile t;

    while (s->first_tile[at + 1] <= i) at++;
    h = &s->heads[at];
    rows = atn_tile_rows(h);
    /* causal rows get longer: the longest tiles go first, so that threads end
     * together */
    t = atn_tile_of(h, (s->first_tile[at + 1] - 1 - i) * rows, rows);
    p.rows = t.rows;
    p.cols = t.keys;
    p.ld = row_step(t.keys);
    ATN_TAKE(p.data, t.rows * p.ld);
    ATN_TAKE(info, t.rows);
    if (s->raw) {
        atn_rows_logits(h, &t, p, info);
        ATN_TRY(s->raw(cx, h, &t, p, info, s->state));
    } else {
        ATN_TRY(atn_rows_fill(cx, h, &t, p, info));
        ATN_TRY(s->visit(cx, h, &t, atn_const(p), info, s->state));
    }
done:
    atn_arena_rewind(cx, mark);
    return st;
}

static atn_status run_stream(atn_ctx *cx, stream s, const char *what)
{
    const atn_arena_mark mark = atn_arena_save(cx);
    atn_status st = ATN_OK;
    atn_idx *first_tile = NULL;

    ATN_TRY(atn_mem_check(cx, atn_rows_stream_bytes(cx, s.heads, s.n_heads), what));
    ATN_TAKE(first_tile, s.n_heads + 1);
    first_tile[0] = 0;
    for (atn_idx i = 0; i < s.n_heads; i++) {
        const atn_idx rows = atn_tile_rows(&s.heads[i]);
        first_tile[i + 1] = first_tile[i] + (s.heads[i].nq + rows - 1) / rows;
    }
    s.first_tile = first_tile;
    ATN_TRY(atn_parallel(cx, first_tile[s.n_heads], stream_tile, &s, what));
done:
    atn_arena_rewind(cx, mark);
    return st;
}

atn_status atn_rows_stream(atn_ctx *cx, const atn_head *heads, atn_idx n_heads,
                           atn_rows_visit *visit, void *state, const char *what)
{
    return run_stream(cx, (stream){heads, NULL, n_heads, visit, NULL, state}, what);
}

atn_status atn_rows_stream_logits(atn_ctx *cx, const atn_head *heads, atn_idx n_heads,
                                  atn_logits_visit *visit, void *state,
                                  const char *what)
{
    return run_stream(cx, (stream){heads, NULL, n_heads, NULL, visit, state}, what);
}

double atn_rows_stream_bytes(const atn_ctx *cx, const atn_head *heads, atn_idx n_heads)
{
    double most = 0;

    for (atn_idx i = 0; i < n_heads; i++) {
        const double rows = (double)atn_tile_rows(&heads[i]);
        const double bytes = rows * ((double)row_step(heads[i].nk) * sizeof(float) +
                                     sizeof(atn_row_info));
        most = ATN_MAX(most, bytes);
    }
    return most * cx->threads;
}
