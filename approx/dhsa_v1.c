/* approx/dhsa_v1.c -- DHSA, first version: chunks of the text with borders where
 * attention changes, and every block of queries keeps the tokens of the chunks that fit
 * it best; one mask for all heads of a layer.
 *
 * Math    borders, an oracle here: with A the attention averaged over the heads, rows r
 *         from p + w on,
 *             past = sum_r sum_{c = p-w+1 .. p} A_rc, ahead = the same of p+1 .. p+w,
 *             ratio_p = (max + 1e-6) / (min + 1e-6) for 2 w - 1 <= p < n - 2 w;
 *         places with ratio_p > theta (elsewhere it is 0), the largest first, none
 *         within `nms` of one that is taken, at most `most`: a chunk ends behind each.
 *         score(block, chunk) = mean query of the block . mean key of the chunk times
 *         sqrt(length), queries and keys averaged over the heads before.
 *         A block whose rows see `hi` keys at most keeps k of them: the last `local`,
 *         the first `global`, then those of the best chunks, of the last one the first.
 * Oracle  A constant: ratio 1, one chunk, local and lowest keys. k >= n: dense. Golden
 *         rows and borders in the tests.
 * Source  Xiong, Zou, Fekri, Cho, Dynamic hierarchical sparse attention, arXiv
 *         2510.24606, and its code, legacy. There a predictor says the borders, and the
 *         first `global` of the keys chosen, in order of their places, make way for the
 *         first tokens, whatever they score: as_published.
 * Cost    all rows of attention, once a head; then (n / block) chunks d flop. Memory
 *         O(n w): only sums near the diagonal depend on p but through their columns.
 * Limits  an oracle: it knows rows after the query. Rows beyond a sliding window add
 *         nothing, so that the published limit of 4096 rows is that of the mask.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "approx/blocks.h"
#include "approx/generate.h"
#include "approx/rank.h"
#include "core/kernels/kernels.h"
#include "core/order.h"
#include "core/products.h"

typedef struct dhsa {
    int64_t k, local, global, block, nms, most, w, instruction;
    double theta;
    int pool;
} dhsa;

enum { POOL_NORM, POOL_MEAN, POOL_MAX };
enum { W_MOST = 1024 };

static const atn_param params[] = {
    ATN_PARAM_I64(dhsa, k, 512, 1, ATN_EXTENT_MOST, "keys kept a block of queries"),
    ATN_PARAM_I64(dhsa, local, 64, 0, ATN_EXTENT_MOST,
                  "of these the last that its rows see"),
    ATN_PARAM_I64(dhsa, global, 4, 0, ATN_EXTENT_MOST, "of these the first tokens"),
    ATN_PARAM_I64(dhsa, block, 64, 1, ATN_EXTENT_MOST, "queries that share their keys"),
    ATN_PARAM_F64(dhsa, theta, 1.1, -1, 1e6, "a border has a larger ratio"),
    ATN_PARAM_I64(dhsa, nms, 8, 0, ATN_EXTENT_MOST,
                  "places next to a border that are none"),
    ATN_PARAM_I64(dhsa, most, 0, 0, ATN_EXTENT_MOST,
                  "borders at most; 0 = 8 for every 64 tokens, one at least"),
    ATN_PARAM_I64(dhsa, w, 4, 1, W_MOST, "tokens on each side of a place"),
    ATN_PARAM_CHOICE(dhsa, pool, POOL_NORM, "avgpool_norm|avgpool|maxpool",
                     "what stands for a block or chunk; norm = times sqrt(length)"),
    ATN_PARAM_I64(dhsa, instruction, 0, 0, ATN_EXTENT_MOST,
                  "last queries, which stay dense"),
    ATN_PARAM_END,
};

/* ---- borders ---- */

/* Sums over rows: of column c those of rows c + depth and later, and the entries of the
 * rows before, which count for some places and not for others. */
typedef struct label {
    const atn_head *h;
    atn_idx depth; /* 2 w - 1 */
    double *far;   /* [nk] */
    double *near;  /* [nk, depth] A_{c+e, c} */
} label;

static atn_tile label_tile(const void *state, atn_idx first, atn_idx rows)
{
    return atn_tile_of(((const label *)state)->h, first, rows);
}

/* Rows of attention, what is near the diagonal moved away. */
static atn_status label_fill(atn_ctx *cx, const atn_tile *t, atn_mat out, void *state)
{
    const atn_arena_mark mark = atn_arena_save(cx);
    const label *l = state;
    atn_status st = ATN_OK;
    atn_row_info *info = NULL;

    ATN_TAKE(info, t->rows);
    ATN_TRY(atn_rows_fill(cx, l->h, t, out, info));
    for (atn_idx r = 0; r < t->rows; r++) {
        const atn_idx at = atn_sight_at(&l->h->sight, t->first + r);
        const atn_idx lo = ATN_MAX(at - l->depth + 1, t->key0);

        for (atn_idx c = lo; c < ATN_MIN(at + 1, t->key0 + t->keys); c++) {
            float *x = atn_row(out, r) + (c - t->key0);

            l->near[c * l->depth + at - c] += (double)*x;
            *x = 0;
        }
    }
done:
    atn_arena_rewind(cx, mark);
    return st;
}

/* far and near, of all heads together. */
static atn_status sum_heads(atn_ctx *cx, const atn_input *in, label *l)
{
    const atn_arena_mark mark = atn_arena_save(cx);
    const atn_idx nq = in->head[0].nq, nk = in->head[0].nk;
    atn_status st = ATN_OK;
    float *ones = NULL;
    double *z = NULL;

    ATN_TAKE(ones, nq);
    ATN_TAKE(z, nk);
    for (atn_idx i = 0; i < nq; i++) ones[i] = 1;
    memset(l->far, 0, (size_t)nk * sizeof *l->far);
    memset(l->near, 0, (size_t)(nk * l->depth) * sizeof *l->near);
    for (atn_idx h = 0; h < in->heads; h++) {
        const atn_product p = {.r = 1, .w = ones, .z = z};
        atn_row_source m = {nq, nk, label_tile, label_fill, l};

        l->h = &in->head[h];
        ATN_TRY(atn_product_run(cx, &m, &p, "dhsa_v1: borders"));
        for (atn_idx c = 0; c < nk; c++) l->far[c] += z[c];
    }
done:
    atn_arena_rewind(cx, mark);
    return st;
}

/* ratio [nk] from the sums; `near` becomes its sums from the end. */
static void find_ratios(const label *l, atn_idx nk, atn_idx w, atn_idx heads,
                        double *ratio)
{
    const atn_idx depth = l->depth;

    for (atn_idx c = 0; c < nk; c++)
        for (atn_idx e = depth - 2; e >= 0; e--)
            l->near[c * depth + e] += l->near[c * depth + e + 1];
    for (atn_idx p = 2 * w - 1; p < nk - 2 * w; p++) {
        double side[2] = {0, 0};

        for (atn_idx c = p - w + 1; c <= p + w; c++) { /* rows from p + w on */
            const atn_idx e = p + w - c;

            side[c > p] += l->far[c] + (e < depth ? l->near[c * depth + e] : 0);
        }
        for (int s = 0; s < 2; s++) side[s] /= (double)heads;
        ratio[p] =
            (ATN_MAX(side[0], side[1]) + 1e-6) / (ATN_MIN(side[0], side[1]) + 1e-6);
    }
}

typedef struct place {
    double ratio;
    atn_idx at;
} place;

static int by_ratio(const void *a_, const void *b_)
{
    const place *a = a_, *b = b_;

    if (a->ratio != b->ratio) return a->ratio < b->ratio ? 1 : -1;
    return (a->at > b->at) - (a->at < b->at);
}

static int by_place(const void *a_, const void *b_)
{
    const atn_idx a = *(const atn_idx *)a_, b = *(const atn_idx *)b_;

    return (a > b) - (a < b);
}

/* Where chunks begin, and nk behind the last; [*chunks + 1], in the arena. */
static atn_status choose_borders(atn_ctx *cx, const dhsa *t, const double *ratio,
                                 atn_idx nk, atn_idx **begins, atn_idx *chunks)
{
    const atn_idx most = t->most > 0 ? t->most : ATN_MAX(8 * (nk / 64), 1);
    const atn_idx near = ATN_MIN(t->nms, nk);
    atn_idx n = 0, taken = 0, *at = NULL;
    atn_status st = ATN_OK;
    place *places = NULL;
    bool *barred = NULL;

    ATN_TAKE(at, nk + 2);
    ATN_TAKE(places, nk);
    ATN_TAKE(barred, nk);
    memset(barred, 0, (size_t)nk * sizeof *barred);
    for (atn_idx p = 0; p < nk; p++)
        if (ratio[p] > t->theta) places[n++] = (place){ratio[p], p};
    if (n > 1) qsort(places, (size_t)n, sizeof *places, by_ratio);
    at[taken++] = 0;
    for (atn_idx e = 0; e < n && taken <= most; e++) {
        const atn_idx p = places[e].at, lo = ATN_MAX(p - near, 0);

        if (barred[p]) continue;
        memset(barred + lo, true, (size_t)(ATN_MIN(p + near + 1, nk) - lo));
        if (p + 1 < nk) at[taken++] = p + 1;
    }
    qsort(at, (size_t)taken, sizeof *at, by_place);
    at[taken] = nk;
    *begins = at;
    *chunks = taken;
done:
    return st;
}

/* What the label needs, where there is a place at all. */
static atn_status find_borders(atn_ctx *cx, const atn_input *in, const dhsa *t,
                               atn_idx **begins, atn_idx *chunks)
{
    const atn_idx nk = in->head[0].nk;
    label l = {.depth = 2 * t->w - 1};
    atn_status st = ATN_OK;
    double *ratio = NULL;
    atn_idx size = 0;

    ATN_TAKE(ratio, nk);
    for (atn_idx p = 0; p < nk; p++) ratio[p] = 0;
    if (nk >= 4 * t->w) {
        if (!atn_mul(nk, l.depth, &size))
            ATN_FAIL(ATN_MEMORY, "dhsa_v1: %lld tokens are too many", (long long)nk);
        ATN_TAKE(l.far, nk);
        ATN_TAKE(l.near, size);
        ATN_TRY(sum_heads(cx, in, &l));
        find_ratios(&l, nk, t->w, in->heads, ratio);
    }
    ATN_TRY(choose_borders(cx, t, ratio, nk, begins, chunks));
done:
    return st;
}

/* ---- what stands for blocks and chunks ---- */

/* The queries, or keys, of several heads. */
typedef struct pool {
    const atn_head *heads; /* every step-th */
    atn_idx count, step;
    bool keys;
    int how; /* POOL_ */
} pool;

/* Some rows, averaged over the heads; then one row for all: the mean, or the largest of
 * every column. */
static void pool_rows(const pool *p, atn_span rows, float *out)
{
    const atn_idx d = p->heads[0].q.cols;
    const double n = (double)(rows.hi - rows.lo);

    for (atn_idx c = 0; c < d; c++) {
        double all = p->how == POOL_MAX ? -INFINITY : 0;

        for (atn_idx i = rows.lo; i < rows.hi; i++) {
            double x = 0;

            for (atn_idx h = 0; h < p->count; h++) {
                const atn_head *of = &p->heads[h * p->step];

                x += (double)atn_crow(p->keys ? of->k : of->q, i)[c];
            }
            x /= (double)p->count;
            all = p->how == POOL_MAX ? ATN_MAX(all, x) : all + x;
        }
        if (p->how != POOL_MAX) all /= n;
        out[c] = (float)(p->how == POOL_NORM ? all * sqrt(n) : all);
    }
}

typedef struct job {
    const atn_input *in;
    dhsa t; /* lengths no longer than the text */
    const atn_idx *begins;
    atn_idx chunks;
    atn_scored means; /* of chunks */
    atn_chosen *chosen;
    atn_idx first, lists;
    atn_tally *tally; /* [lists] */
} job;

static atn_status pool_chunks(atn_ctx *cx, atn_idx i, void *state)
{
    const job *j = state;
    const atn_arena_mark mark = atn_arena_save(cx);
    const atn_idx d = j->in->head[0].q.cols, from = i * ATN_PANEL;
    const atn_idx n = ATN_MIN((atn_idx)ATN_PANEL, j->chunks - from);
    const pool keys = {j->in->head, j->in->heads / j->in->group, j->in->group, true,
                       j->t.pool};
    atn_status st = ATN_OK;
    float *x = NULL;

    ATN_TAKE(x, n * d);
    for (atn_idx c = 0; c < n; c++)
        pool_rows(&keys, (atn_span){j->begins[from + c], j->begins[from + c + 1]},
                  x + c * d);
    atn_scored_put(&j->means, from, (atn_cmat){x, n, d, d});
done:
    atn_arena_rewind(cx, mark);
    return st;
}

/* ---- one block of queries ---- */

typedef struct ranked {
    float score;
    atn_idx chunk;
} ranked;

static int by_score(const void *a_, const void *b_)
{
    const ranked *a = a_, *b = b_;

    if (a->score != b->score) return a->score < b->score ? 1 : -1;
    return (a->chunk > b->chunk) - (a->chunk < b->chunk);
}

/* A block of queries. */
typedef struct block {
    atn_span queries, sees; /* its rows; the hull of what these see */
    ranked *chunk;          /* best first */
    atn_idx chunks;
    atn_span *keys; /* what it keeps */
    atn_idx n;
    atn_tally *tally;
} block;

/* Ranks the chunks with a key in `of`. */
static atn_status rank_chunks(atn_ctx *cx, const job *j, atn_span of, block *b)
{
    const pool queries = {j->in->head, j->in->heads, 1, false, j->t.pool};
    const atn_idx d = j->in->head[0].q.cols;
    atn_status st = ATN_OK;
    float *q = NULL;
    atn_mat score;

    ATN_TAKE(q, d);
    ATN_TAKE(b->chunk, j->chunks);
    pool_rows(&queries, b->queries, q);
    ATN_TRY(
        atn_scored_tile(cx, &j->means, (atn_cmat){q, 1, d, d}, 0, j->chunks, &score));
    for (atn_idx c = 0; c < j->chunks; c++)
        if (j->begins[c] < of.hi && j->begins[c + 1] > of.lo)
            b->chunk[b->chunks++] = (ranked){score.data[c], c};
    if (b->chunks > 1) qsort(b->chunk, (size_t)b->chunks, sizeof *b->chunk, by_score);
    b->tally->scored += b->chunks;
    b->tally->keys += b->chunks;
done:
    return st;
}

/* Adds the keys of `of` that chunks hold, `rest` at most, best first. */
static void take_chunks(const job *j, atn_span of, atn_idx rest, block *b)
{
    bool taken = false;
    float last = 0;

    for (atn_idx e = 0; e < b->chunks; e++) {
        const ranked *r = &b->chunk[e];
        const atn_idx lo = ATN_MAX(j->begins[r->chunk], of.lo);
        const atn_idx hi = ATN_MIN(j->begins[r->chunk + 1], of.hi);
        const atn_idx here = ATN_MIN(ATN_MAX(hi - lo, 0), rest);

        if (here > 0) {
            b->keys[b->n++] = (atn_span){lo, lo + here};
            last = r->score;
            taken = true;
            rest -= here;
        }
        if (rest > 0) continue;
        if (!taken || r->score != last) break;
        b->tally->ties += ATN_MAX(hi - lo, 0) - here;
    }
}

/* The first `global` keys of the choice make way for the first tokens. */
static void overwrite(block *b, atn_idx global)
{
    atn_idx gone = 0;

    qsort(b->keys, (size_t)b->n, sizeof *b->keys, atn_by_begin);
    for (atn_idx e = 0; e < b->n && gone < global; e++) {
        const atn_idx here = ATN_MIN(b->keys[e].hi - b->keys[e].lo, global - gone);

        b->keys[e].lo += here;
        gone += here;
    }
    b->keys[b->n++] = (atn_span){0, gone};
}

static atn_status choose(atn_ctx *cx, const job *j, block *b)
{
    const dhsa *t = &j->t;
    const bool mended = !j->in->as_published;
    const atn_span sees = b->sees;
    const atn_idx local = ATN_MAX(sees.hi - ATN_MIN(t->local, t->k), sees.lo);
    atn_idx rest = t->k - (sees.hi - local), first = sees.lo;
    atn_status st = ATN_OK;

    ATN_TRY(rank_chunks(cx, j, (atn_span){sees.lo, local}, b));
    ATN_TAKE(b->keys, b->chunks + 3);
    b->keys[b->n++] = (atn_span){local, sees.hi};
    if (mended && t->global > sees.lo) {
        first = ATN_MIN(ATN_MIN(t->global, local), sees.lo + rest);
        b->keys[b->n++] = (atn_span){sees.lo, first};
        rest -= first - sees.lo;
    }
    take_chunks(j, (atn_span){first, local}, rest, b);
    if (!mended) overwrite(b, t->global);
done:
    return st;
}

static atn_status plan_block(atn_ctx *cx, atn_idx i, void *state)
{
    const job *j = state;
    const atn_head *h = &j->in->head[0];
    const atn_arena_mark mark = atn_arena_save(cx);
    const atn_idx r = j->first + i, from = r * j->t.block, to = from + j->t.block;
    block b = {.queries = {ATN_MAX(from - h->sight.offset, 0),
                           ATN_MIN(to - h->sight.offset, h->nq)},
               .tally = &j->tally[i]};
    atn_status st = ATN_OK;

    atn_head_hull(h, from, to, &b.sees.lo, &b.sees.hi);
    if (b.sees.lo >= b.sees.hi) goto done;
    ATN_TRY(choose(cx, j, &b));
    ATN_TRY(atn_chosen_put(cx, j->chosen, r, b.keys, b.n));
done:
    atn_arena_rewind(cx, mark);
    return st;
}

/* ---- the plans ---- */

static atn_status open_job(atn_ctx *cx, const dhsa *t, job *j)
{
    const atn_frame f = atn_head_frame(j->in->head, 1);
    const atn_idx most = ATN_MAX(f.first + f.nq, f.nk), d = j->in->head[0].q.cols;
    atn_status st = ATN_OK;

    j->t = *t;
    j->t.k = ATN_MIN(t->k, most);
    j->t.local = ATN_MIN(t->local, most);
    j->t.global = ATN_MIN(t->global, most);
    j->t.block = ATN_MIN(t->block, most);
    ATN_TRY(atn_chosen_open(cx, &f, j->t.block, &j->chosen));
    atn_chosen_lists(j->chosen, &j->first, &j->lists);
    j->lists -= j->first;
    ATN_TAKE(j->tally, j->lists);
    memset(j->tally, 0, (size_t)j->lists * sizeof *j->tally);
    ATN_TRY(atn_scored_open(cx, j->chunks, d, &j->means));
done:
    return st;
}

/* With the last queries, which see all. */
static atn_status join(atn_ctx *cx, job *j, atn_pattern **out)
{
    const atn_frame f = atn_head_frame(j->in->head, 1);
    const atn_idx end = f.first + f.nq, last = ATN_MIN(j->t.instruction, f.nq);
    const atn_box box = {{end - last, end}, {0, f.nk}};
    atn_pattern *chosen = NULL, *dense = NULL;
    atn_status st = ATN_OK;

    st = atn_chosen_finish(cx, j->chosen, &chosen);
    j->chosen = NULL;
    ATN_TRY(st);
    if (last > 0) ATN_TRY(atn_pattern_boxes(cx, &f, &box, 1, &dense));
    st = atn_generator_join(cx, chosen, dense, out);
    chosen = dense = NULL;
done:
    atn_pattern_destroy(cx, chosen);
    atn_pattern_destroy(cx, dense);
    return st;
}

/* The choice, which all heads share: sums, means, scores. */
static void count(const job *j, const atn_input *in, atn_plan *out)
{
    const atn_head *h = &in->head[0];
    const double d = (double)h->q.cols, kv = (double)(in->heads / in->group);
    const double pooled = d * (kv * (double)h->nk + (double)(in->heads * h->nq));
    const atn_tally all = atn_tally_sum(j->tally, j->lists);

    atn_tally_gathered(&all, h->q.cols, out);
    out->index_flops += pooled;
    out->index_bytes += ATN_COST_BYTES * pooled;
    if (h->nk >= 4 * j->t.w) {
        out->index_flops += 2 * d * (double)in->heads * atn_visible_pairs(h);
        out->index_bytes += ATN_COST_BYTES * pooled;
    }
    atn_tally_share(out, in->heads);
}

static atn_status plan(atn_ctx *cx, const atn_input *in, const void *params_,
                       atn_idx first, atn_idx n, atn_plan *out)
{
    const atn_arena_mark mark = atn_arena_save(cx);
    job j = {.in = in};
    atn_status st = ATN_OK;
    atn_pattern *p = NULL;
    atn_idx *begins = NULL;

    ATN_ASSERT(first == 0 && n == in->heads);
    ATN_TRY(find_borders(cx, in, params_, &begins, &j.chunks));
    j.begins = begins;
    ATN_TRY(open_job(cx, params_, &j));
    ATN_TRY(
        atn_parallel(cx, (j.chunks - 1) / ATN_PANEL + 1, pool_chunks, &j, "dhsa_v1"));
    ATN_TRY(atn_parallel(cx, j.lists, plan_block, &j, "dhsa_v1"));
    ATN_TRY(join(cx, &j, &p));
    for (atn_idx h = 0; h < n; h++) {
        atn_plan_mask(&out[h], h == 0 ? p : atn_pattern_keep(p), 0, j.t.block, 1);
    }
    count(&j, in, out);
done:
    atn_chosen_abandon(cx, j.chosen);
    atn_arena_rewind(cx, mark);
    return st;
}

static double bytes(const atn_ctx *cx, const void *params_, const atn_input *in)
{
    const dhsa *t = params_;
    const atn_row_source m = atn_row_source_of(&in->head[0]);
    const double nk = (double)in->head[0].nk, d = (double)in->head[0].q.cols;
    const double most = t->most > 0 ? ATN_MIN((double)t->most, nk) : nk / 8 + 1;

    return atn_chosen_bytes(cx, &in->head[0], 1, t->block, most + 4) +
           cx->threads * (96 * (most + 4) + sizeof(float) * (d + nk)) +
           atn_product_bytes(&m, 1) + 8 * nk * (2 * (double)t->w + 5) +
           sizeof(float) * d * (most + ATN_PANEL);
}

const atn_method atn_method_dhsa_v1 = {
    .id = "dhsa_v1",
    .title = "DHSA, chunks",
    .family = "block",
    .source = "Xiong et al., arXiv 2510.24606; its code, legacy",
    .text = "keys of the chunks that fit the block best, recent and first ones",
    .reads = ATN_READS_QK | ATN_READS_WEIGHTS,
    .oracle = atn_always, /* of borders */
    .sides = ATN_CAUSAL,
    .unit = ATN_UNIT_LAYER,
    .publishes = true,
    .params = params,
    .params_size = sizeof(dhsa),
    .budget = "k",
    .looks = atn_looks_ahead,
    .plan = plan,
    .bytes = bytes,
};
