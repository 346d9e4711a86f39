/* approx/hip.c -- HiP attention: a tree search for the keys that a block of queries
 * looks for, and a window.
 *
 * Math    a block of block_q queries shares its keys. The keys before the window of its
 *         last row, T of them in blocks of `block`, are cut into ceil(k / block) chunks
 *         of nearly the same length; every chunk is halved, a half scores max q_i . k_j
 *         over some rows i of the block and the keys j of one block that stands for it,
 *         and as many halves as there were chunks go on, until they are single blocks.
 *         A row sees these and the window p - j < window.
 *         Behind the prompt rows come one by one: each `refresh`-th one searches,
 *         alone, and those after it keep what it found.
 * Oracle  k >= T: dense. Equal scores: the lowest blocks. hip_paper with k = 1 and
 *         scores -|j - j0|: finds every j0 for n <= 130. Golden rows in the tests.
 * Source  Lee et al., A training-free sub-quadratic cost transformer model serving
 *         framework with hierarchically pruned attention, arXiv 2406.09827, and its
 *         code, v1.1.
 * Cost    2 d (block_q / stride) k log2(T / k) flop a block of queries: half of what
 *         the paper counts, for a half that keeps the block which stood for the whole
 *         keeps its score. Memory little beside what is kept.
 * Limits  of a block of queries that a chunk cuts, only the rows that are there are
 *         looked at. Keys that stand for no half can be missed.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#include <math.h>
#include <string.h>

#include "approx/chosen.h"
#include "approx/generate.h"
#include "approx/rank.h"
#include "approx/replay.h"
#include "core/order.h"
#include "core/rows.h"

typedef struct hip {
    int64_t k, block_q, block, window, stride, refresh, prompt, dense_layers;
    int representative, borders;
} hip;

enum { FIRST, CENTRE };
enum { FLOOR, ROUND };

static const atn_param params[] = {
    ATN_PARAM_I64(hip, k, 512, 1, ATN_EXTENT_MOST, "keys kept beside the window"),
    ATN_PARAM_I64(hip, block_q, 32, 1, ATN_EXTENT_MOST,
                  "queries that share their keys"),
    ATN_PARAM_I64(hip, block, 2, 1, ATN_EXTENT_MOST, "keys that are kept together"),
    ATN_PARAM_I64(hip, window, 128, 0, ATN_EXTENT_MOST,
                  "recent keys, the query's own among them"),
    ATN_PARAM_I64(hip, stride, 2, 1, ATN_EXTENT_MOST,
                  "of so many rows of a block the last one scores"),
    ATN_PARAM_CHOICE(hip, representative, FIRST, "first|centre",
                     "the block that stands for a half; centre = the lower middle"),
    ATN_PARAM_CHOICE(hip, borders, FLOOR, "floor|round",
                     "how the borders of the chunks are rounded; round = half up"),
    ATN_PARAM_I64(hip, refresh, 8, 1, ATN_EXTENT_MOST,
                  "decoding steps that keep what the first of them found"),
    ATN_PARAM_I64(hip, prompt, 0, 0, ATN_EXTENT_MOST,
                  "tokens before the rows that are decoded; 0 = what the capture says, "
                  "else all rows are of the prompt"),
    ATN_PARAM_I64(hip, dense_layers, 0, 0, 1 << 20, "first layers that stay dense"),
    ATN_PARAM_END,
};

static const atn_preset presets[] = {
    {"hip_paper",
     "block_q=1,block=1,window=0,stride=1,representative=centre,borders=round",
     "one query at a time and no window, as the paper's first algorithm"},
    {NULL, NULL, NULL},
};

/* ---- one search ---- */

typedef struct piece {
    atn_idx start, size; /* blocks */
    atn_idx stands;      /* the block that stands for it */
    float score;         /* of that one; NaN = not yet known */
} piece;

typedef struct search {
    const hip *t;
    atn_cmat q, k; /* the rows that score; the keys */
    atn_rank rank;
    atn_idx lo, end;      /* keys that may be found */
    atn_idx first, count; /* their blocks */
    atn_idx chunks;
    piece *chunk, *half; /* [chunks], [2 chunks] */
    float *score, *scratch;
    atn_idx *best;
    atn_idx *key; /* those that stand for halves without a score; */
    float *fits;
    atn_tally *tally;
} search;

typedef struct found {
    atn_span *at; /* keys */
    atn_idx n;
} found;

static atn_idx border(const search *s, atn_idx i)
{
    const atn_idx up = s->t->borders == ROUND ? s->chunks / 2 : 0;

    return (s->count * i + up) / s->chunks;
}

static piece piece_of(const search *s, atn_idx start, atn_idx size)
{
    const atn_idx middle = s->t->representative == CENTRE ? (size - 1) / 2 : 0;

    return (piece){start, size, start + middle, NAN};
}

/* The halves of all chunks, none empty; how many. */
static atn_idx halve(const search *s)
{
    atn_idx n = 0;

    for (atn_idx i = 0; i < s->chunks; i++) {
        const piece *c = &s->chunk[i];
        const atn_idx left = c->size / 2;

        if (left > 0) s->half[n++] = piece_of(s, c->start, left);
        s->half[n++] = piece_of(s, c->start + left, c->size - left);
        for (atn_idx e = n - (left > 0 ? 2 : 1); e < n; e++)
            if (s->half[e].stands == c->stands) s->half[e].score = c->score;
    }
    return n;
}

/* The keys of the block that stands for a piece. */
static atn_span keys_of(const search *s, const piece *p)
{
    const atn_idx at = (s->first + p->stands) * s->t->block;

    return (atn_span){ATN_MAX(at, s->lo), ATN_MIN(at + s->t->block, s->end)};
}

/* Scores of those of n halves that have none. */
static void score_halves(const search *s, atn_idx n)
{
    atn_idx keys = 0, at = 0;

    for (atn_idx e = 0; e < n; e++) {
        const atn_span of = keys_of(s, &s->half[e]);

        if (!isnan(s->half[e].score)) continue;
        for (atn_idx j = of.lo; j < of.hi; j++) s->key[keys++] = j;
    }
    atn_rank_keys(&s->rank, s->k, s->key, keys, s->fits);
    for (atn_idx e = 0; e < n; e++) {
        const atn_span of = keys_of(s, &s->half[e]);
        piece *p = &s->half[e];

        if (isnan(p->score)) {
            p->score = -INFINITY;
            for (atn_idx j = of.lo; j < of.hi; j++, at++)
                p->score = ATN_MAX(p->score, s->fits[at]);
        }
        s->score[e] = p->score;
    }
    s->tally->keys += keys;
    s->tally->scored += keys * s->q.rows;
}

static atn_status take(atn_ctx *cx, search *s)
{
    const atn_idx keys = 2 * s->chunks * s->t->block;
    atn_status st = ATN_OK;

    ATN_TAKE(s->chunk, s->chunks);
    ATN_TAKE(s->half, 2 * s->chunks);
    ATN_TAKE(s->score, 2 * s->chunks);
    ATN_TAKE(s->scratch, 2 * s->chunks);
    ATN_TAKE(s->best, 2 * s->chunks);
    ATN_TAKE(s->key, keys);
    ATN_TAKE(s->fits, keys);
    ATN_TRY(atn_rank_open(cx, s->q, &s->rank));
done:
    return st;
}

/* What is found: single blocks as spans of keys, in the arena; everything where there
 * is room for it. */
static atn_status find(atn_ctx *cx, search *s, found *out)
{
    const atn_idx block = s->t->block;
    atn_status st = ATN_OK;
    atn_idx longest;

    s->first = s->lo / block;
    s->count = s->end > s->lo ? (s->end - 1) / block + 1 - s->first : 0;
    s->chunks = (s->t->k - 1) / block + 1;
    if (s->count <= s->chunks) {
        ATN_TAKE(out->at, 1);
        *out->at = (atn_span){s->lo, s->end};
        out->n = s->count > 0;
        goto done;
    }
    ATN_TRY(take(cx, s));
    ATN_TAKE(out->at, s->chunks);
    for (atn_idx i = 0; i < s->chunks; i++)
        s->chunk[i] = piece_of(s, border(s, i), border(s, i + 1) - border(s, i));
    for (longest = (s->count - 1) / s->chunks + 1; longest > 1;
         longest = (longest + 1) / 2) {
        const atn_idx halves = halve(s);

        score_halves(s, halves);
        s->chunks = atn_best_of(s->score, halves, s->chunks, s->best, s->scratch,
                                &s->tally->ties);
        for (atn_idx i = 0; i < s->chunks; i++) s->chunk[i] = s->half[s->best[i]];
    }
    s->tally->rows += s->q.rows;
    for (atn_idx i = 0; i < s->chunks; i++) {
        const atn_idx at = (s->first + s->chunk[i].start) * block;

        out->at[i] = (atn_span){at, ATN_MIN(at + block, s->end)};
    }
    out->n = s->chunks;
done:
    return st;
}

/* ---- all searches of a head ---- */

typedef struct job {
    const atn_head *h;
    hip t;          /* lengths no longer than the head */
    atn_idx prompt; /* rows from there on are decoded */
    atn_chosen *blocks, *steps;
    atn_idx unit;         /* tokens in which spans of `blocks` count */
    atn_idx first, lists; /* of blocks */
    atn_idx turn, turns;  /* the first of the turns of `refresh` steps */
    atn_tally *tally;     /* [lists + turns] */
} job;

/* The rows that score for the queries at positions [from, to): of every `stride` the
 * last, counted from `from`; else the last there is. */
static atn_cmat rows_that_score(const job *j, atn_idx from, atn_idx to)
{
    const atn_idx stride = j->t.stride, offset = j->h->sight.offset;
    const atn_idx row0 = ATN_MAX(from - offset, 0),
                  end = ATN_MIN(to - offset, j->h->nq);
    const atn_idx first = row0 + stride - 1 - (row0 + offset - from) % stride;
    const atn_cmat q = j->h->q;

    if (first >= end) return (atn_cmat){atn_crow(q, end - 1), 1, q.cols, q.ld};
    return (atn_cmat){atn_crow(q, first), (end - 1 - first) / stride + 1, q.cols,
                      q.ld * stride};
}

/* Positions [from, to), which have a query. */
static atn_status find_for(atn_ctx *cx, const job *j, atn_idx from, atn_idx to,
                           atn_tally *tally, found *out)
{
    search s = {.t = &j->t, .k = j->h->k, .tally = tally};
    atn_status st = ATN_OK;

    *out = (found){0};
    s.q = rows_that_score(j, from, to);
    atn_head_hull(j->h, from, to, &s.lo, &s.end);
    s.end = ATN_MAX(s.end - j->t.window, s.lo);
    ATN_TRY(find(cx, &s, out));
done:
    return st;
}

/* What was found for the queries at positions [from, to), one by one. */
static atn_status put_rows(atn_ctx *cx, const job *j, atn_idx from, atn_idx to,
                           const found *f)
{
    const atn_idx offset = ATN_MAX(j->h->sight.offset, 0);
    atn_status st = ATN_OK;

    for (atn_idx p = ATN_MAX(from, offset); p < ATN_MIN(to, offset + j->h->nq); p++)
        ATN_TRY(atn_chosen_put(cx, j->steps, p, f->at, f->n));
done:
    return st;
}

static atn_status plan_block(atn_ctx *cx, const job *j, atn_idx i)
{
    const atn_idx r = j->first + i, from = r * j->t.block_q;
    const atn_idx to = ATN_MIN(from + j->t.block_q, j->prompt);
    atn_status st = ATN_OK;
    found f;

    if (from >= to || to <= j->h->sight.offset) goto done;
    ATN_TRY(find_for(cx, j, from, to, &j->tally[i], &f));
    if (j->steps && to < from + j->t.block_q) { /* the prompt ends within */
        ATN_TRY(put_rows(cx, j, from, to, &f));
        goto done;
    }
    for (atn_idx e = 0; e < f.n; e++) {
        f.at[e].lo /= j->unit;
        f.at[e].hi = (f.at[e].hi - 1) / j->unit + 1;
    }
    ATN_TRY(atn_chosen_put(cx, j->blocks, r, f.at, f.n));
done:
    return st;
}

static atn_status plan_turn(atn_ctx *cx, const job *j, atn_idx i)
{
    const atn_idx refresh = j->t.refresh, offset = ATN_MAX(j->h->sight.offset, 0);
    const atn_idx at = j->prompt + (j->turn + i) * refresh, from = ATN_MAX(at, offset);
    atn_status st = ATN_OK;
    found f;

    ATN_TRY(find_for(cx, j, from, from + 1, &j->tally[j->lists + i], &f));
    ATN_TRY(put_rows(cx, j, from, at + refresh, &f));
done:
    return st;
}

static atn_status plan_one(atn_ctx *cx, atn_idx i, void *state)
{
    const job *j = state;
    const atn_arena_mark mark = atn_arena_save(cx);
    atn_status st = ATN_OK;

    if (i < j->lists)
        ATN_TRY(plan_block(cx, j, i));
    else
        ATN_TRY(plan_turn(cx, j, i - j->lists));
done:
    atn_arena_rewind(cx, mark);
    return st;
}

/* ---- the plan ---- */

/* Where decoding begins, `end` or later = nowhere. */
static atn_idx prompt_of(const hip *t, const atn_input *in, atn_idx end)
{
    const atn_idx prompt = atn_prompt_known(in, t->prompt);

    return prompt > 0 ? prompt : end;
}

/* No larger than what there is. */
static void set_sizes(const atn_input *in, const hip *t, job *j)
{
    const atn_frame f = atn_head_frame(j->h, 1);
    const atn_idx end = f.first + f.nq, most = ATN_MAX(end, f.nk);

    j->t = *t;
    j->t.block = ATN_MIN(t->block, most);
    j->t.block_q = ATN_MIN(t->block_q, most);
    j->t.stride = ATN_MIN(t->stride, most);
    j->t.refresh = ATN_MIN(t->refresh, most);
    j->t.k = ATN_MIN(t->k, f.nk);
    j->t.window = ATN_MIN(t->window, most);
    j->prompt = prompt_of(t, in, end);
    j->unit = atn_common_divisor(j->t.block_q, j->t.block);
}

static atn_status open_job(atn_ctx *cx, const atn_input *in, const hip *t, job *j)
{
    const atn_frame f = atn_head_frame(j->h, 1);
    const atn_idx end = f.first + f.nq;
    atn_status st = ATN_OK;
    atn_frame blocks = f;

    set_sizes(in, t, j);
    blocks.block = j->unit;
    ATN_TRY(atn_chosen_open(cx, &blocks, j->t.block_q, &j->blocks));
    atn_chosen_lists(j->blocks, &j->first, &j->lists);
    j->lists -= j->first;
    if (j->prompt < end) {
        ATN_TRY(atn_chosen_open(cx, &f, 1, &j->steps));
        j->turn = ATN_MAX(f.first - j->prompt, 0) / j->t.refresh;
        j->turns = (end - 1 - j->prompt) / j->t.refresh + 1 - j->turn;
    }
    ATN_TAKE(j->tally, j->lists + j->turns);
    memset(j->tally, 0, (size_t)(j->lists + j->turns) * sizeof *j->tally);
done:
    return st;
}

/* What was found and the window. */
static atn_status join(atn_ctx *cx, job *j, atn_pattern **out)
{
    const atn_frame f = atn_head_frame(j->h, 1);
    const atn_span recent = {0, j->t.window};
    atn_pattern *blocks = NULL, *steps = NULL, *window = NULL;
    atn_status st = ATN_OK;

    st = atn_chosen_finish(cx, j->blocks, &blocks);
    j->blocks = NULL;
    ATN_TRY(st);
    if (j->steps) {
        st = atn_chosen_finish(cx, j->steps, &steps);
        j->steps = NULL;
        ATN_TRY(st);
    }
    if (recent.hi > 0) ATN_TRY(atn_pattern_shift(cx, &f, &recent, 1, 0, &window));
    st = atn_generator_join(cx, blocks, steps, out);
    blocks = steps = NULL;
    ATN_TRY(st);
    blocks = *out;
    st = atn_generator_join(cx, blocks, window, out);
    blocks = window = NULL;
    ATN_TRY(st);
done:
    atn_pattern_destroy(cx, blocks);
    atn_pattern_destroy(cx, steps);
    atn_pattern_destroy(cx, window);
    return st;
}

static atn_status plan(atn_ctx *cx, const atn_input *in, const void *params_,
                       atn_idx first, atn_idx n, atn_plan *out)
{
    const atn_arena_mark mark = atn_arena_save(cx);
    const hip *t = params_;
    job j = {.h = &in->head[first]};
    atn_tally all;
    atn_pattern *p = NULL;
    atn_status st = ATN_OK;

    ATN_ASSERT(n == 1);
    if (j.h->layer < t->dense_layers) {
        atn_plan_all(out);
        goto done;
    }
    ATN_TRY(open_job(cx, in, t, &j));
    ATN_TRY(atn_parallel(cx, j.lists + j.turns, plan_one, &j, "hip"));
    ATN_TRY(join(cx, &j, &p));
    atn_plan_mask(out, p, 0, j.t.block_q, j.t.block);
    all = atn_tally_sum(j.tally, j.lists + j.turns);
    atn_tally_gathered(&all, j.h->q.cols, out);
done:
    atn_chosen_abandon(cx, j.blocks);
    atn_chosen_abandon(cx, j.steps);
    atn_arena_rewind(cx, mark);
    return st;
}

/* The search of a block reads the keys up to the window of its last row. */
static unsigned looks(const void *params_, const atn_input *in)
{
    const hip *t = params_;

    if (t->block_q == 1 || in->head[0].layer < t->dense_layers) return 0;
    return ATN_LOOKS_QUERIES | (t->window < t->block_q - 1 ? ATN_LOOKS_KEYS : 0);
}

/* Of one search on every thread, with what it found. */
static double search_bytes(const job *j)
{
    const double chunks = (double)((j->t.k - 1) / j->t.block + 1);
    const double rows = (double)j->t.block_q / (double)j->t.stride + 1;

    return chunks * (3 * sizeof(piece) + 48 + 3 * sizeof(atn_span) +
                     24 * (double)j->t.block) +
           sizeof(float) * rows * (double)j->h->q.cols +
           atn_rank_bytes((atn_idx)rows, j->h->q.cols);
}

static double bytes(const atn_ctx *cx, const void *params_, const atn_input *in)
{
    const hip *t = params_;
    job j = {.h = &in->head[0]};
    const atn_idx first = ATN_MAX(j.h->sight.offset, 0), end = first + j.h->nq;
    atn_head late = *j.h; /* the rows that are decoded */
    double bytes = 0, chunks;

    if (j.h->layer < t->dense_layers) return 0;
    set_sizes(in, t, &j);
    chunks = (double)((j.t.k - 1) / j.t.block + 1);
    if (j.prompt < end) {
        late.sight.offset = ATN_MAX(j.prompt, first);
        late.nq = end - late.sight.offset;
        bytes =
            atn_chosen_bytes(cx, &late, 1, 1, chunks) + 48 * (double)(first + j.h->nq);
    }
    return bytes + atn_chosen_bytes(cx, j.h, j.unit, j.t.block_q, chunks) +
           sizeof(atn_tally) *
               ((double)(j.h->nq / j.t.block_q + j.h->nq / j.t.refresh) + 4) +
           cx->threads * search_bytes(&j);
}

const atn_method atn_method_hip = {
    .id = "hip",
    .title = "HiP attention",
    .family = "tree",
    .source = "Lee et al., arXiv 2406.09827; hip-attention, v1.1",
    .text = "keys found by halving chunks of them, and a window",
    .reads = ATN_READS_QK,
    .sides = ATN_CAUSAL,
    .unit = ATN_UNIT_HEAD,
    .params = params,
    .params_size = sizeof(hip),
    .presets = presets,
    .budget = "k",
    .looks = looks,
    .plan = plan,
    .bytes = bytes,
};
