/* analysis/measures/ssa.c -- how much of a row do its k best blocks of keys hold, and
 * what does the rest cost?
 *
 * Math    a = row i divided by its mass, blocks of b keys, T = the k blocks of largest
 *         score among those with a key that the row sees. Two scores:
 *           oracle   the block's mass
 *           score    q_i . mean of the block's keys
 *         mass     a(T) = sum of a over the blocks of T; dropped delta = 1 - a(T)
 *         inner    the same after the block of the first key and the query's own (not
 *                  in cross-attention) have left candidates and row: kept / remaining
 *                  mass
 *         regret   mass of the oracle - mass of the score
 *         h_full = sum a_j v_j, h_sparse = the same over T divided by a(T) (0
 *         where a(T) = 0):
 *         error    |h_full - h_sparse| = delta |h_drop - h_sparse|
 *         bound    delta (max |v_j| over the dropped keys + |h_sparse|), never below
 *                  the error
 * Oracle  a = (.6,.25,.1,.05), V = (1,0),(0,1),(2,2),(-1,3), the first two kept: delta
 *         .15, error .309048, bound .589048; a uniform row of t blocks: k / t.
 * Source  Shen et al., arXiv 2511.20102 (SSA): attention sparsity and its bound; the
 *         score is that of MoBA, arXiv 2502.13189. The identity is derived; it makes
 *         the bound a test of the kernel: slack_min below -1e-6 is a bug (the full
 *         output is in single precision).
 * Cost    one pass, and an operation a block for each of four selections; k b dv
 *         products in double a row. Memory a tile of the heads of a group, and a mean
 *         key a block.
 * Limits  rows without mass stay out; so do rows without a remaining block from
 *         `inner`. A mean key is over the whole block, future keys of the own block
 *         included, padding not. Without Q and K no score, without V no error and
 *         bound.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#include <math.h>
#include <string.h>

#include "analysis/best_k.h"
#include "analysis/layer_facts.h"
#include "analysis/similarity_internal.h"
#include "core/kernels/kernels.h"

extern const atn_measure atn_measure_ssa;

enum { GROUPS = 32 }; /* tiles are dealt to groups; fixed, so threads do not matter */
enum { ORACLE, SCORE, SCORES };
enum { MASS, DROPPED, INNER, ERROR, BOUND, SLACK, EACH }; /* columns of one score */
enum { REGRET = SCORES * EACH, N_COLS };
static const double slack_least = -1e-6; /* of the largest value: rounding */

typedef struct ssa_params {
    int64_t block, k;
    bool group;
} ssa_params;

static const atn_param params[] = {
    ATN_PARAM_I64(ssa_params, block, 16, 1, 1 << 20, "keys of a block"),
    ATN_PARAM_I64(ssa_params, k, 16, 1, 1 << 30, "blocks kept a row"),
    ATN_PARAM_BOOL(ssa_params, group, 0, "one choice for the heads of a KV head"),
    ATN_PARAM_END,
};

/* Sums over the rows of one head in one group of tiles. */
typedef struct sums {
    double rows, inner_rows;
    double value[SCORES][EACH]; /* SLACK: the least so far */
} sums;

/* Heads that choose together: [first, first + n). */
typedef struct unit {
    atn_idx first, n;
} unit;

typedef struct job {
    const atn_layer_facts *f;
    const ssa_params *p;
    unit *unit;
    atn_idx units, most;                /* heads of the largest unit */
    atn_idx first, rows, tiles, blocks; /* first row that counts */
    bool self;                          /* a query has a block of its own */
    float *mean_key;                    /* [kv_heads, blocks, d], NULL without keys */
    double *value_max; /* [kv_heads, blocks] largest |v_j|, NULL without values */
    double *scale;     /* [kv_heads] the largest of all */
    sums *sums;        /* [heads, GROUPS] */
} job;

/* A row of one head: keys [lo, hi), its blocks [b0, b0 + n). */
typedef struct row_of {
    const atn_head *head;
    const float *p; /* key lo */
    atn_idx lo, hi, b0, n;
    const double *mass; /* [n] */
    double total;
    const float *out; /* [dv], NULL without values */
    const double *value_max;
    double scale;
} row_of;

/* What one thread works with; the blocks are those of the tile, [b0, b0 + nb). */
typedef struct scratch {
    float *p;       /* [most, rows * keys] */
    float *out;     /* [most, rows, dv] */
    float *dot;     /* [most, rows, blocks] */
    double *mass;   /* [most, blocks] of the row at hand */
    double *score;  /* [SCORES, blocks] */
    double *total;  /* [most] mass of the row */
    double *sparse; /* [dv] */
    double *rest;   /* [most] mass of the row without its ends */
    bool *chosen;   /* [blocks] all false between rows */
    atn_idx *best;  /* [k + 2] */
    row_of *row;    /* [most] */
    atn_idx group;  /* of tiles */
    atn_row_info *info;
} scratch;

/* ---- the choice ---- */

/* Takes two blocks out of a choice and cuts it to k. */
static atn_idx leave_out(atn_idx *best, atn_idx held, const atn_idx leave[2], atn_idx k)
{
    atn_idx n = 0;

    for (atn_idx i = 0; i < held && n < k; i++)
        if (best[i] != leave[0] && best[i] != leave[1]) best[n++] = best[i];
    return n;
}

/* ---- one row of one head ---- */

/* Keys of block b that the row sees. */
static void keys_of(const row_of *r, atn_idx size, atn_idx b, atn_idx *from,
                    atn_idx *to)
{
    *from = ATN_MAX(r->lo, (r->b0 + b) * size);
    *to = ATN_MIN(r->hi, (r->b0 + b + 1) * size);
}

static double largest_dropped(const row_of *r, atn_idx size, const bool *chosen)
{
    double most = 0;

    for (atn_idx b = 0; b < r->n; b++) {
        atn_idx from, to;

        if (chosen[b] || r->value_max[r->b0 + b] <= most) continue;
        keys_of(r, size, b, &from, &to);
        if (to - from == size) {
            most = r->value_max[r->b0 + b];
            continue;
        }
        for (atn_idx j = from; j < to; j++)
            most = ATN_MAX(
                most, sqrt(atn_row_square(atn_crow(r->head->v, j), r->head->v.cols)));
    }
    return most;
}

/* h_sparse; returns its length. */
static double kept_output(const row_of *r, atn_idx size, const atn_idx *best, atn_idx n,
                          double kept, double *sparse)
{
    const atn_cmat v = r->head->v;
    double square = 0;

    for (atn_idx c = 0; c < v.cols; c++) sparse[c] = 0;
    for (atn_idx b = 0; b < n && kept > 0; b++) {
        atn_idx from, to;

        keys_of(r, size, best[b], &from, &to);
        for (atn_idx j = from; j < to; j++)
            atn_row_add(atn_crow(v, j), v.cols, (double)r->p[j - r->lo] / kept, sparse);
    }
    for (atn_idx c = 0; c < v.cols; c++) square += sparse[c] * sparse[c];
    return sqrt(square);
}

static double mass_of(const row_of *r, const atn_idx *best, atn_idx n)
{
    double sum = 0;

    for (atn_idx i = 0; i < n; i++) sum += r->mass[best[i]];
    return sum;
}

/* Weight of the blocks but for two: added up, as it may be far below that of the
 * two. */
static double mass_without(const row_of *r, const atn_idx leave[2])
{
    double sum = 0;

    for (atn_idx b = 0; b < r->n; b++)
        if (b != leave[0] && b != leave[1]) sum += r->mass[b];
    return sum;
}

/* ---- one row of a unit ---- */

/* Block sums of the row of every head of the unit, and from them the scores. */
static void score_blocks(const job *j, const unit *u, atn_idx r, scratch *s)
{
    const atn_idx size = j->p->block;
    row_of *row = s->row;

    for (atn_idx b = 0; b < SCORES * row[0].n; b++) s->score[b] = 0;
    for (atn_idx h = 0; h < u->n; h++) {
        double *mass = s->mass + h * j->blocks;

        row[h].total = 0;
        for (atn_idx b = 0; b < row[h].n; b++) {
            atn_idx from, to;

            keys_of(&row[h], size, b, &from, &to);
            mass[b] = atn_row_sum(row[h].p + (from - row[h].lo), to - from);
            row[h].total += mass[b];
        }
        row[h].mass = mass;
        for (atn_idx b = 0; b < row[h].n && row[h].total > 0; b++)
            s->score[b] += mass[b] / row[h].total;
        for (atn_idx b = 0; b < row[h].n && j->mean_key; b++)
            s->score[row[0].n + b] +=
                (double)s->dot[(h * j->rows + r) * j->blocks + row[h].b0 + b];
    }
}

static sums *sums_of(const job *j, const unit *u, atn_idx h, const scratch *s)
{
    return &j->sums[(u->first + h) * GROUPS + s->group];
}

/* Adds error, bound and slack of keeping the first n of `best`, of weight kept. */
static void add_bound(const job *j, const row_of *r, atn_idx n, double kept, scratch *s,
                      double *to)
{
    const atn_idx size = j->p->block;
    const double delta = n == r->n ? 0 : ATN_MAX(1 - kept / r->total, 0.0);
    double error = 0, bound, length;

    /* nothing of the row is dropped; what the two outputs differ by would be
     * rounding */
    if (delta == 0) {
        if (r->scale > 0) to[SLACK] = ATN_MIN(to[SLACK], 0.0);
        return;
    }
    length = kept_output(r, size, s->best, n, kept, s->sparse);
    for (atn_idx i = 0; i < n; i++) s->chosen[s->best[i]] = true;
    bound = delta * (largest_dropped(r, size, s->chosen) + length);
    for (atn_idx i = 0; i < n; i++) s->chosen[s->best[i]] = false;
    for (atn_idx c = 0; c < r->head->v.cols; c++) {
        const double gap = (double)r->out[c] / r->total - s->sparse[c];
        error += gap * gap;
    }
    error = sqrt(error);
    to[ERROR] += error;
    to[BOUND] += bound;
    if (r->scale > 0) to[SLACK] = ATN_MIN(to[SLACK], (bound - error) / r->scale);
}

/* Adds the row to the sums of every head of the unit, the first n of `best` being
 * kept. */
static void add_choice(const job *j, const unit *u, int kind, atn_idx n, scratch *s)
{
    for (atn_idx h = 0; h < u->n; h++) {
        double *to = sums_of(j, u, h, s)->value[kind], kept;
        const row_of *row = &s->row[h];

        if (!(row->total > 0)) continue;
        kept = mass_of(row, s->best, n);
        to[MASS] += n == row->n ? 1 : kept / row->total;
        to[DROPPED] += n == row->n ? 0 : 1 - kept / row->total;
        if (row->out) add_bound(j, row, n, kept, s, to);
    }
}

static void add_inner(const job *j, const unit *u, int kind, atn_idx n, scratch *s)
{
    for (atn_idx h = 0; h < u->n; h++)
        if (s->rest[h] > 0)
            sums_of(j, u, h, s)->value[kind][INNER] +=
                ATN_MIN(mass_of(&s->row[h], s->best, n) / s->rest[h], 1.0);
}

/* Counts the row; rows of which nothing remains are in no inner mean. */
static void count_row(const job *j, const unit *u, const atn_idx leave[2], scratch *s)
{
    for (atn_idx h = 0; h < u->n; h++) {
        s->rest[h] = mass_without(&s->row[h], leave);
        sums_of(j, u, h, s)->rows += s->row[h].total > 0;
        sums_of(j, u, h, s)->inner_rows += s->rest[h] > 0;
    }
}

/* Row i of the heads, r of the tile. */
static void add_row(const job *j, const unit *u, atn_idx i, atn_idx r, scratch *s)
{
    const atn_sight *sight = &j->f->head[0].sight;
    const atn_idx size = j->p->block, k = j->p->k, none = -1;
    const atn_idx n = s->row[0].n, b0 = s->row[0].b0;
    const atn_idx at = j->self ? atn_sight_at(sight, i) : none;
    const atn_idx ends[2] = {sight->key_first / size - b0,
                             at < 0 ? none : at / size - b0};

    score_blocks(j, u, r, s);
    count_row(j, u, ends, s);
    for (int kind = 0; kind < SCORES; kind++) {
        atn_idx held;

        if (kind == SCORE && !j->mean_key) break;
        held = atn_best_k(s->score + kind * n, n, k + 2, s->best);
        add_choice(j, u, kind, ATN_MIN(held, k), s);
        add_inner(j, u, kind, leave_out(s->best, held, ends, k), s);
    }
}

/* ---- tiles ---- */

/* P, outputs and dot products with the mean keys of head h of the unit. */
static atn_status fill_head(atn_ctx *cx, const job *j, const atn_head *h, atn_idx at,
                            const atn_tile *t, scratch *s)
{
    const atn_idx size = j->p->block, dv = h->v.cols, d = h->k.cols;
    const atn_idx first = t->key0 / size,
                  n = (t->key0 + t->keys - 1) / size - first + 1;
    const atn_mat p = {s->p + at * j->rows * h->nk, t->rows, t->keys, t->keys};
    atn_status st = ATN_OK;

    ATN_TRY(atn_rows_fill(cx, h, t, p, s->info));
    if (j->value_max)
        atn_gemm(false, 1, atn_const(p),
                 (atn_cmat){atn_crow(h->v, t->key0), t->keys, dv, h->v.ld}, 0,
                 (atn_mat){s->out + at * j->rows * dv, t->rows, dv, dv});
    if (j->mean_key)
        atn_gemm(
            true, (float)h->scale,
            (atn_cmat){atn_crow(h->q, t->first), t->rows, d, h->q.ld},
            (atn_cmat){j->mean_key + (h->kv_head * j->blocks + first) * d, n, d, d}, 0,
            (atn_mat){s->dot + at * j->rows * j->blocks + first, t->rows, n,
                      j->blocks});
done:
    return st;
}

static void set_row(const job *j, const atn_head *h, atn_idx at, const atn_tile *t,
                    atn_idx r, const scratch *s)
{
    const atn_row_info *info = &s->info[r];
    const atn_idx size = j->p->block, kv = h->kv_head;
    row_of *row = &s->row[at];

    *row = (row_of){.head = h, .lo = info->lo, .hi = info->hi, .b0 = info->lo / size};
    row->n = (info->hi - 1) / size - row->b0 + 1;
    row->p = s->p + at * j->rows * h->nk + r * t->keys + (info->lo - t->key0);
    if (!j->value_max) return;
    row->out = s->out + (at * j->rows + r) * h->v.cols;
    row->value_max = j->value_max + kv * j->blocks;
    row->scale = j->scale[kv];
}

static atn_status one_tile(atn_ctx *cx, const job *j, const unit *u, atn_idx at,
                           scratch *s)
{
    const atn_head *head = &j->f->head[u->first];
    const atn_tile t = atn_tile_of(head, at * j->rows, j->rows);
    atn_status st = ATN_OK;

    if (t.keys == 0) goto done;
    ATN_TRY(atn_stopped(cx, "ssa"));
    for (atn_idx h = 0; h < u->n; h++) ATN_TRY(fill_head(cx, j, &head[h], h, &t, s));
    for (atn_idx r = 0; r < t.rows; r++) {
        if (t.first + r < j->first || s->info[r].lo == s->info[r].hi) continue;
        for (atn_idx h = 0; h < u->n; h++) set_row(j, &head[h], h, &t, r, s);
        add_row(j, u, t.first + r, r, s);
    }
done:
    return st;
}

static atn_status one_group(atn_ctx *cx, atn_idx at, void *state)
{
    const job *j = state;
    const unit *u = &j->unit[at / GROUPS];
    const atn_head *h = &j->f->head[u->first];
    const atn_idx group = at % GROUPS, n = u->n, dv = h->v.cols;
    const atn_arena_mark mark = atn_arena_save(cx);
    atn_status st = ATN_OK;
    scratch s = {0};

    if (group >= j->tiles) return ATN_OK;
    ATN_TAKE(s.p, n * j->rows * h->nk);
    if (j->value_max) ATN_TAKE(s.out, n * j->rows * dv);
    if (j->mean_key) ATN_TAKE(s.dot, n * j->rows * j->blocks);
    ATN_TAKE(s.mass, n * j->blocks);
    ATN_TAKE(s.score, SCORES * j->blocks);
    ATN_TAKE(s.sparse, ATN_MAX(dv, 1));
    ATN_TAKE(s.chosen, j->blocks);
    ATN_TAKE(s.best, ATN_MIN(j->p->k + 2, j->blocks));
    ATN_TAKE(s.rest, n);
    memset(s.chosen, 0, (size_t)j->blocks * sizeof *s.chosen);
    ATN_TAKE(s.row, n);
    ATN_TAKE(s.info, j->rows);
    s.group = group;
    for (atn_idx tile = group; tile < j->tiles; tile += GROUPS)
        ATN_TRY(one_tile(cx, j, u, tile, &s));
done:
    atn_arena_rewind(cx, mark);
    return st;
}

/* ---- what the blocks hold ---- */

/* Mean of the keys of a block that are no padding; zeros where all are. */
static void mean_keys(const job *j, const atn_head *h, double *sum)
{
    const atn_idx size = j->p->block, d = h->k.cols;

    for (atn_idx b = 0; b < j->blocks; b++) {
        const atn_idx from = ATN_MAX(b * size, h->sight.key_first);
        const atn_idx to = ATN_MIN((b + 1) * size, h->sight.key_last);
        float *mean = j->mean_key + (h->kv_head * j->blocks + b) * d;

        for (atn_idx c = 0; c < d; c++) sum[c] = 0;
        for (atn_idx k = from; k < to; k++) atn_row_add(atn_crow(h->k, k), d, 1, sum);
        for (atn_idx c = 0; c < d; c++)
            mean[c] = to > from ? (float)(sum[c] / (double)(to - from)) : 0;
    }
}

static void value_maxima(const job *j, const atn_head *h)
{
    for (atn_idx k = h->sight.key_first; k < h->sight.key_last; k++) {
        const double length = sqrt(atn_row_square(atn_crow(h->v, k), h->v.cols));
        double *most = &j->value_max[h->kv_head * j->blocks + k / j->p->block];

        *most = ATN_MAX(*most, length);
        j->scale[h->kv_head] = ATN_MAX(j->scale[h->kv_head], length);
    }
}

/* Heap memory. */
static atn_status find_blocks(atn_ctx *cx, job *j)
{
    const atn_problem *p = j->f->problem;
    const atn_arena_mark mark = atn_arena_save(cx);
    atn_status st = ATN_OK;
    double *sum = NULL;

    ATN_TAKE(sum, ATN_MAX(p->d, 1));
    if (p->q) ATN_NEW(j->mean_key, p->kv_heads * j->blocks * p->d);
    if (p->v) ATN_NEW(j->value_max, p->kv_heads * j->blocks);
    ATN_NEW(j->scale, p->kv_heads);
    for (atn_idx h = 0; h < j->f->heads; h++) {
        const atn_head *head = &j->f->head[h];

        if (h > 0 && head[-1].kv_head == head->kv_head) continue;
        if (p->q) mean_keys(j, head, sum);
        if (p->v) value_maxima(j, head);
    }
done:
    atn_arena_rewind(cx, mark);
    return st;
}

/* The heads that choose together: those of a KV head under `group`, else each alone. */
static atn_status find_units(atn_ctx *cx, job *j)
{
    const atn_layer_facts *f = j->f;
    atn_status st = ATN_OK;

    ATN_TAKE(j->unit, f->heads);
    for (atn_idx h = 0; h < f->heads;) {
        unit u = {h, 1};
        bool any;

        while (j->p->group && h + u.n < f->heads &&
               f->head[h + u.n].kv_head == f->head[h].kv_head)
            u.n++;
        any = false;
        for (atn_idx i = 0; i < u.n; i++) any = any || f->keep[h + i];
        h += u.n;
        if (!any) continue;
        j->unit[j->units++] = u;
        j->most = ATN_MAX(j->most, u.n);
    }
done:
    return st;
}

static atn_status run_units(atn_ctx *cx, job *j)
{
    atn_status st = ATN_OK;

    ATN_NEW(j->sums, j->f->heads * GROUPS);
    for (atn_idx i = 0; i < j->f->heads * GROUPS; i++)
        for (int kind = 0; kind < SCORES; kind++)
            j->sums[i].value[kind][SLACK] = INFINITY;
    ATN_TRY(atn_parallel(cx, j->units * GROUPS, one_group, j, "ssa"));
done:
    return st;
}

static double thread_bytes(const job *j)
{
    const atn_problem *p = j->f->problem;
    const double heads = (double)j->most, rows = (double)j->rows,
                 nb = (double)j->blocks;

    return heads * (4 * rows * ((double)p->nk + (double)p->dv + nb) + 8 * nb) +
           nb * (8 * SCORES + 9) + (double)sizeof(atn_row_info) * rows +
           (double)sizeof(row_of) * heads;
}

static double kept_bytes(const job *j)
{
    const atn_problem *p = j->f->problem;

    return (double)p->kv_heads * (double)j->blocks * (4 * (double)p->d + 8) +
           (double)j->f->heads * GROUPS * (double)sizeof(sums);
}

/* ---- the columns ---- */

static void put(const job *j, atn_idx h, double *to)
{
    sums all = {0};

    for (int kind = 0; kind < SCORES; kind++) all.value[kind][SLACK] = INFINITY;
    for (atn_idx g = 0; g < GROUPS; g++) {
        const sums *s = &j->sums[h * GROUPS + g];

        all.rows += s->rows;
        all.inner_rows += s->inner_rows;
        for (int kind = 0; kind < SCORES; kind++)
            for (int c = 0; c < EACH; c++)
                all.value[kind][c] =
                    c == SLACK ? ATN_MIN(all.value[kind][c], s->value[kind][c])
                               : all.value[kind][c] + s->value[kind][c];
    }
    for (int kind = 0; kind < SCORES && all.rows > 0; kind++) {
        double *one = to + kind * EACH;

        if (kind == SCORE && !j->mean_key) break;
        for (int c = 0; c < EACH; c++) {
            if (c >= ERROR && !j->value_max) break;
            one[c] = c == SLACK ? all.value[kind][c] : all.value[kind][c] / all.rows;
        }
        one[INNER] =
            all.inner_rows > 0 ? all.value[kind][INNER] / all.inner_rows : (double)NAN;
        if (j->value_max && isinf(one[SLACK])) one[SLACK] = 0; /* values of zero */
    }
    to[REGRET] = to[MASS] - to[SCORE * EACH + MASS];
}

static void test_bound(atn_ctx *cx, const job *j, atn_idx h, const double *to)
{
    for (int kind = 0; kind < SCORES; kind++)
        if (to[kind * EACH + SLACK] < slack_least)
            atn_log(
                cx, ATN_LOG_WARN,
                "layer %d, head %d: the bound of ssa fails by %g of the largest value: "
                "please report it",
                j->f->problem->layer, (int)h, -to[kind * EACH + SLACK]);
}

static atn_status layer(atn_ctx *cx, const atn_layer_facts *f, const void *params_,
                        double *out)
{
    const atn_arena_mark mark = atn_arena_save(cx);
    const int threads = cx->threads;
    atn_status st = ATN_OK;
    job j = {.f = f, .p = params_, .rows = atn_tile_rows(&f->head[0])};

    j.first = atn_layer_first_row(f);
    j.self = atn_layer_is_self(f);
    j.tiles = (f->head[0].nq + j.rows - 1) / j.rows;
    j.blocks = (f->head[0].nk + j.p->block - 1) / j.p->block;
    ATN_TRY(find_units(cx, &j));
    cx->threads = atn_sim_threads(cx, thread_bytes(&j));
    st = atn_mem_check(cx, thread_bytes(&j) * cx->threads + kept_bytes(&j), "ssa");
    if (st == ATN_OK) st = find_blocks(cx, &j);
    if (st == ATN_OK) st = run_units(cx, &j);
    cx->threads = threads;
    ATN_TRY(st);
    for (atn_idx h = 0; h < f->heads; h++) {
        if (!f->keep[h]) continue;
        put(&j, h, out + h * N_COLS);
        test_bound(cx, &j, h, out + h * N_COLS);
    }
done:
    atn_free(cx, j.mean_key);
    atn_free(cx, j.value_max);
    atn_free(cx, j.scale);
    atn_free(cx, j.sums);
    atn_arena_rewind(cx, mark);
    return st;
}

static const atn_measure_col cols[] = {
    {"ssa_oracle_mass", "", "[0, 1]", "mean mass of the k best blocks by mass", NULL},
    {"ssa_oracle_dropped_mass", "", "[0, 1]", "mean mass of all other blocks (delta)",
     NULL},
    {"ssa_oracle_inner_mass", "", "[0, 1]",
     "ssa_oracle_mass without the first block and the query's own", NULL},
    {"ssa_oracle_error", "", ">= 0",
     "mean distance of the output of these blocks from the full one", NULL},
    {"ssa_oracle_bound", "", ">= 0", "mean of the bound on that distance", NULL},
    {"ssa_oracle_slack_min", "", ">= -1e-6",
     "least bound - error of a row, in units of the largest value", NULL},
    {"ssa_score_mass", "", "[0, 1]",
     "mean mass of the k best blocks by query times mean key", NULL},
    {"ssa_score_dropped_mass", "", "[0, 1]", "mean mass of all other blocks (delta)",
     NULL},
    {"ssa_score_inner_mass", "", "[0, 1]",
     "ssa_score_mass without the first block and the query's own", NULL},
    {"ssa_score_error", "", ">= 0",
     "mean distance of the output of these blocks from the full one", NULL},
    {"ssa_score_bound", "", ">= 0", "mean of the bound on that distance", NULL},
    {"ssa_score_slack_min", "", ">= -1e-6",
     "least bound - error of a row, in units of the largest value", NULL},
    {"ssa_regret_mass", "", "[-1, 1]",
     "mean mass that the score misses: oracle - score", NULL},
    ATN_MEASURE_COLS_END,
};

static bool mixes(const void *params_, int col)
{
    (void)col;
    return ((const ssa_params *)params_)->group;
}

const atn_measure atn_measure_ssa = {
    .id = "ssa",
    .title = "Mass retained by the best blocks",
    .source = "Shen et al., arXiv 2511.20102 (SSA); score of MoBA, arXiv 2502.13189",
    .named = true,
    .passes = 1,
    .params = params,
    .params_size = sizeof(ssa_params),
    .cols = cols,
    .mixes = mixes,
    .layer = layer,
    .by_head = true,
};
