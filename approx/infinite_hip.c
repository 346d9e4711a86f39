/* approx/infinite_hip.c -- InfiniteHiP: stages of ever smaller chunks of keys, each
 * judged by a descent to one key, beside first and recent keys.
 *
 * Math    for a block of block_q queries, the first of them at position p, and with
 *         w = max(0, window - C), C the chunk of the first stage: the chunks of a stage
 *         are [L, R), those of the first L = sink, sink + C, .. and R = min(L + C,
 *         n - w). A descent halves a chunk at m = (L + R) / 2, goes on with the left
 *         half if key (L + m) / 2 scores more than key (m + R) / 2, else with the right
 *         one, down to a single key; a chunk scores the best of the winners. It stops
 *         where L > max(0, p - w), and a chunk where it never began is no candidate.
 *         The best keep / C chunks go on and are cut into those of the next stage; of
 *         the last stage k / C are kept, moved down to a multiple of C. A key scores
 *         max q_i . k_j over means q_i of `rows` queries of the block, by stages.
 *         A row sees these, the first `sink` keys and the window p - j < window.
 *         share = heads: a chunk scores the most that it scores in any head of the
 *         layer, before every choice: heads keep the same keys.
 * Oracle  k >= n and window >= C >= block_q: dense. Equal scores: the lowest chunks.
 *         What a stage keeps lies in what the one before kept. Golden rows in the
 *         tests.
 * Source  Lee et al., InfiniteHiP, arXiv 2502.08910, and its code (hip-attention,
 *         v1.2).
 * Cost    of a block of queries and a stage 4 d (block_q / rows) log2(C) flop a chunk;
 *         the first stage visits all chunks, so n^2 / (C block_q) of them. Memory those
 *         of one block of queries.
 * Limits  every block of queries searches, also while decoding: the published refresh
 *         every 32, 16, 8 steps by stages is left out. RoPE is taken as captured.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#include <math.h>
#include <string.h>

#include "approx/chosen.h"
#include "approx/generate.h"
#include "approx/rank.h"
#include "core/order.h"
#include "core/rows.h"

typedef struct infinite {
    int64_t k, block_q, sink, window, dense_layers;
    atn_list chunks, keep, rows;
    int share;
} infinite;

static const atn_param params[] = {
    ATN_PARAM_I64(infinite, k, 2048, 1, ATN_EXTENT_MOST,
                  "keys kept by the last stage, beside sink and window"),
    ATN_PARAM_I64(infinite, block_q, 64, 1, ATN_EXTENT_MOST,
                  "queries that share their keys"),
    ATN_PARAM_I64(infinite, sink, 256, 0, ATN_EXTENT_MOST, "first keys"),
    ATN_PARAM_I64(infinite, window, 1024, 0, ATN_EXTENT_MOST,
                  "recent keys, the query's own among them"),
    ATN_PARAM_LIST(infinite, chunks, "256x32x8", 1, ATN_EXTENT_MOST,
                   "keys of a chunk, by stages; each divides the one before"),
    ATN_PARAM_LIST(infinite, keep, "32768x8192", 1, ATN_EXTENT_MOST,
                   "keys that go on to the second, third .. stage"),
    ATN_PARAM_LIST(infinite, rows, "4x4x1", 1, ATN_EXTENT_MOST,
                   "neighbouring queries whose mean scores, by stages"),
    ATN_PARAM_CHOICE(infinite, share, 0, "none|heads",
                     "heads: all heads of a layer keep the same keys"),
    ATN_PARAM_I64(infinite, dense_layers, 0, 0, 1 << 20,
                  "first layers that stay dense"),
    ATN_PARAM_END,
};

static atn_status check(atn_ctx *cx, const infinite *t)
{
    const int stages = t->chunks.n;
    atn_status st = ATN_OK;

    if (stages < 1 || t->keep.n != stages - 1 || t->rows.n != stages)
        ATN_FAIL(ATN_USAGE,
                 "infinite_hip: chunks names %d stages, keep %d numbers and rows %d "
                 "(give as many rows as chunks, and one number less to keep)",
                 stages, t->keep.n, t->rows.n);
    for (int s = 1; s < stages; s++)
        if (t->chunks.at[s - 1] % t->chunks.at[s] != 0)
            ATN_FAIL(ATN_USAGE,
                     "infinite_hip: chunks of %lld keys cannot be cut into chunks of "
                     "%lld (each length has to divide the one before)",
                     (long long)t->chunks.at[s - 1], (long long)t->chunks.at[s]);
done:
    return st;
}

/* ---- one stage ---- */

typedef struct job {
    const atn_head *heads;
    infinite t; /* lengths no longer than the heads */
    bool shared;
    atn_chosen **kept;     /* [sets] of the heads that choose together */
    atn_idx unit;          /* tokens in which spans of them count */
    atn_idx members, sets; /* heads of a set */
    atn_idx first, lists;
    atn_tally *tally; /* [sets lists] */
} job;

/* What one block of queries has left. */
typedef struct chunks {
    atn_span *at; /* [n] */
    atn_idx n;
    float *score;
    atn_idx *best, kept; /* those that go on */
} chunks;

typedef struct search {
    const job *j;
    const atn_head *heads; /* [members] */
    atn_idx from, to;      /* positions of the queries */
    atn_idx lo, behind;    /* keys below lo are not seen; descents stop behind this */
    atn_tally *tally;
} search;

/* Means of the queries of a block, `rows` of them each, counted from its beginning. */
static atn_status means(atn_ctx *cx, const search *s, const atn_head *h, atn_idx rows,
                        atn_mat *out)
{
    const atn_idx offset = h->sight.offset, d = h->q.cols;
    const atn_idx row0 = ATN_MAX(s->from - offset, 0),
                  end = ATN_MIN(s->to - offset, h->nq);
    const atn_idx place = row0 + offset - s->from;
    const atn_idx short_one = ATN_MIN(rows - place % rows, end - row0);
    atn_status st = ATN_OK;
    atn_idx rest = row0 + short_one;

    *out = (atn_mat){NULL, 1 + (end - rest + rows - 1) / rows, d, d};
    ATN_TAKE(out->data, out->rows * d);
    atn_block_means((atn_cmat){atn_crow(h->q, row0), short_one, d, h->q.ld}, short_one,
                    out->data);
    if (rest < end)
        atn_block_means((atn_cmat){atn_crow(h->q, rest), end - rest, d, h->q.ld}, rows,
                        out->data + d);
done:
    return st;
}

typedef struct descent {
    atn_span *at;  /* where every chunk has come to */
    atn_idx *open; /* chunks that go on */
    atn_idx *key;  /* [2 n] the keys that their halves are judged by */
    float *fits;   /* [2 n] */
} descent;

/* One step of all descents; how many there were. */
static atn_idx descend(const search *s, const atn_head *h, const atn_rank *r,
                       const descent *d, chunks *c, bool begun)
{
    atn_idx n = 0;

    for (atn_idx e = 0; e < c->n; e++) {
        const atn_span x = d->at[e];
        const atn_idx m = (x.lo + x.hi) / 2;

        if (x.lo > s->behind || (begun && x.hi - x.lo <= 1)) continue;
        d->key[2 * n] = (x.lo + m) / 2;
        d->key[2 * n + 1] = (m + x.hi) / 2;
        d->open[n++] = e;
    }
    atn_rank_keys(r, h->k, d->key, 2 * n, d->fits);
    for (atn_idx o = 0; o < n; o++) {
        const atn_idx e = d->open[o], m = (d->at[e].lo + d->at[e].hi) / 2;
        const bool left = d->fits[2 * o] > d->fits[2 * o + 1];
        const float fit = d->fits[2 * o + (left ? 0 : 1)];

        if (left)
            d->at[e].hi = m;
        else
            d->at[e].lo = m;
        c->score[e] = ATN_MAX(c->score[e], fit);
    }
    s->tally->keys += 2 * n;
    s->tally->scored += 2 * n * r->rows;
    return n;
}

/* Scores of the chunks, of all heads of the set. */
static atn_status judge(atn_ctx *cx, const search *s, int stage, chunks *c)
{
    const atn_arena_mark mark = atn_arena_save(cx);
    descent d = {0};
    atn_status st = ATN_OK;

    ATN_TAKE(d.at, c->n);
    ATN_TAKE(d.open, c->n);
    ATN_TAKE(d.key, 2 * c->n);
    ATN_TAKE(d.fits, 2 * c->n);
    for (atn_idx e = 0; e < c->n; e++) c->score[e] = -INFINITY;
    for (atn_idx m = 0; m < s->j->members; m++) {
        const atn_arena_mark head = atn_arena_save(cx);
        const atn_head *h = &s->heads[m];
        bool begun = false;
        atn_mat q = {0};
        atn_rank r;

        ATN_TRY(means(cx, s, h, s->j->t.rows.at[stage], &q));
        ATN_TRY(atn_rank_open(cx, atn_const(q), &r));
        memcpy(d.at, c->at, (size_t)c->n * sizeof *d.at);
        while (descend(s, h, &r, &d, c, begun) > 0) begun = true;
        s->tally->rows += ATN_MIN(s->to - s->from, h->nq);
        atn_arena_rewind(cx, head);
    }
done:
    atn_arena_rewind(cx, mark);
    return st;
}

/* ---- one block of queries ---- */

/* [L, R) where the descent can begin, as far as it is seen. */
static void add(const search *s, atn_idx lo, atn_idx hi, chunks *c)
{
    if (lo < hi && lo <= s->behind && hi > s->lo) c->at[c->n++] = (atn_span){lo, hi};
}

static atn_status first_chunks(atn_ctx *cx, const search *s, chunks *c)
{
    const infinite *t = &s->j->t;
    const atn_idx size = t->chunks.at[0], nk = s->heads[0].nk;
    const atn_idx between = ATN_MAX(nk - t->sink - t->window, 0);
    const atn_idx n = between > 0 ? (between - 1) / size + 1 : 0;
    const atn_idx end = nk - ATN_MAX(t->window - size, 0);
    atn_status st = ATN_OK;

    ATN_TAKE(c->at, n);
    for (atn_idx i = 0; i < n; i++) {
        const atn_idx lo = t->sink + i * size;

        if (lo > s->behind) break;
        add(s, lo, ATN_MIN(lo + size, end), c);
    }
done:
    return st;
}

/* Those of the chosen ones, cut for the next stage. */
static atn_status cut(atn_ctx *cx, const search *s, int stage, const chunks *from,
                      chunks *c)
{
    const atn_idx size = s->j->t.chunks.at[stage], nk = s->heads[0].nk;
    const atn_idx pieces = s->j->t.chunks.at[stage - 1] / size;
    atn_status st = ATN_OK;
    atn_idx room = 0;

    for (atn_idx e = 0; e < from->kept; e++)
        room += ATN_MIN(pieces, (nk - 1 - from->at[from->best[e]].lo) / size + 1);
    *c = (chunks){0};
    ATN_TAKE(c->at, room);
    for (atn_idx e = 0; e < from->kept; e++)
        for (atn_idx x = 0; x < pieces; x++) {
            const atn_idx lo = from->at[from->best[e]].lo + x * size;

            if (lo >= nk) break;
            add(s, lo, ATN_MIN(lo + size, nk), c);
        }
done:
    return st;
}

/* All stages. */
static atn_status stages(atn_ctx *cx, const search *s, chunks *c)
{
    const infinite *t = &s->j->t;
    atn_status st = ATN_OK;

    ATN_TRY(first_chunks(cx, s, c));
    for (int stage = 0; stage < t->chunks.n; stage++) {
        const int64_t keep = stage + 1 < t->chunks.n ? t->keep.at[stage] : t->k;
        float *scratch = NULL;

        if (stage > 0) {
            const chunks before = *c;

            ATN_TRY(cut(cx, s, stage, &before, c));
        }
        ATN_TAKE(c->score, c->n);
        ATN_TAKE(scratch, c->n);
        ATN_TAKE(c->best, c->n);
        ATN_TRY(judge(cx, s, stage, c));
        c->kept = atn_best_of(c->score, c->n, (keep - 1) / t->chunks.at[stage] + 1,
                              c->best, scratch, &s->tally->ties);
    }
done:
    return st;
}

/* The i-th block of queries of the i-th set. */
static atn_status plan_one(atn_ctx *cx, atn_idx i, void *state)
{
    const job *j = state;
    const atn_arena_mark mark = atn_arena_save(cx);
    const atn_idx set = i / j->lists, r = j->first + i % j->lists;
    const atn_idx size = j->t.chunks.at[j->t.chunks.n - 1];
    search s = {.j = j,
                .heads = j->heads + set * j->members,
                .from = r * j->t.block_q,
                .to = (r + 1) * j->t.block_q,
                .tally = &j->tally[i]};
    const atn_idx w = ATN_MAX(j->t.window - j->t.chunks.at[0], 0);
    const atn_idx p0 = ATN_MAX(s.from, ATN_MAX(s.heads[0].sight.offset, 0));
    atn_status st = ATN_OK;
    atn_idx hi;
    atn_span *spans = NULL;
    chunks c = {0};

    atn_head_hull(s.heads, s.from, s.to, &s.lo, &hi);
    if (s.lo >= hi) goto done;
    s.behind = ATN_MAX(p0 - w, 0);
    ATN_TRY(stages(cx, &s, &c));
    ATN_TAKE(spans, c.kept);
    for (atn_idx e = 0; e < c.kept; e++) {
        const atn_idx lo = c.at[c.best[e]].lo / size * size;

        spans[e] = (atn_span){lo / j->unit,
                              (ATN_MIN(lo + size, s.heads->nk) - 1) / j->unit + 1};
    }
    ATN_TRY(atn_chosen_put(cx, j->kept[set], r, spans, c.kept));
done:
    atn_arena_rewind(cx, mark);
    return st;
}

/* ---- the plans ---- */

static atn_status open_job(atn_ctx *cx, const infinite *t, atn_idx n, job *j)
{
    atn_frame f = atn_head_frame(j->heads, 1);
    const atn_idx most = ATN_MAX(f.first + f.nq, f.nk);
    atn_status st = ATN_OK;

    j->t = *t;
    j->t.block_q = ATN_MIN(t->block_q, most);
    j->t.sink = ATN_MIN(t->sink, most);
    j->t.window = ATN_MIN(t->window, most + t->chunks.at[0]);
    j->members = j->shared ? n : 1;
    j->sets = n / j->members;
    j->unit = atn_common_divisor(j->t.block_q, t->chunks.at[t->chunks.n - 1]);
    f.block = j->unit;
    ATN_TAKE(j->kept, j->sets);
    memset(j->kept, 0, (size_t)j->sets * sizeof *j->kept);
    for (atn_idx s = 0; s < j->sets; s++)
        ATN_TRY(atn_chosen_open(cx, &f, j->t.block_q, &j->kept[s]));
    atn_chosen_lists(j->kept[0], &j->first, &j->lists);
    j->lists -= j->first;
    ATN_TAKE(j->tally, j->sets * j->lists);
    memset(j->tally, 0, (size_t)(j->sets * j->lists) * sizeof *j->tally);
done:
    return st;
}

/* The pattern of a set, with sink and window. */
static atn_status join(atn_ctx *cx, job *j, atn_idx set, atn_pattern **out)
{
    const atn_frame f = atn_head_frame(j->heads, 1);
    const atn_span recent = {0, ATN_MIN(j->t.window, f.first + f.nq)};
    atn_pattern *kept = NULL, *always = NULL;
    atn_status st = ATN_OK;

    st = atn_chosen_finish(cx, j->kept[set], &kept);
    j->kept[set] = NULL;
    ATN_TRY(st);
    if (recent.hi > 0 || j->t.sink > 0)
        ATN_TRY(atn_pattern_shift(cx, &f, &recent, recent.hi > 0, j->t.sink, &always));
    st = atn_generator_join(cx, kept, always, out);
    kept = always = NULL;
done:
    atn_pattern_destroy(cx, kept);
    atn_pattern_destroy(cx, always);
    return st;
}

/* Plans of a set, which share what the search cost. */
static atn_status plan_set(atn_ctx *cx, job *j, atn_idx set, atn_plan *out)
{
    const atn_tally all = atn_tally_sum(j->tally + set * j->lists, j->lists);
    atn_pattern *p = NULL;
    atn_status st = ATN_OK;

    ATN_TRY(join(cx, j, set, &p));
    for (atn_idx m = 0; m < j->members; m++)
        atn_plan_mask(&out[m], m == 0 ? p : atn_pattern_keep(p), 0, j->t.block_q,
                      ATN_MIN(j->t.chunks.at[j->t.chunks.n - 1], j->heads->nk));
    atn_tally_gathered(&all, j->heads->q.cols, out);
    atn_tally_share(out, j->members);
done:
    return st;
}

/* As published a layer shares, however it is set. */
static bool shares(const infinite *t, const atn_input *in)
{
    return t->share == 1 || in->as_published;
}

static atn_status plan(atn_ctx *cx, const atn_input *in, const void *params_,
                       atn_idx first, atn_idx n, atn_plan *out)
{
    const atn_arena_mark mark = atn_arena_save(cx);
    const infinite *t = params_;
    job j = {.heads = &in->head[first], .shared = shares(t, in)};
    atn_status st = ATN_OK;

    ATN_TRY(check(cx, t));
    if (j.heads->layer < t->dense_layers) {
        for (atn_idx h = 0; h < n; h++) atn_plan_all(&out[h]);
        goto done;
    }
    ATN_TRY(open_job(cx, t, n, &j));
    ATN_TRY(atn_parallel(cx, j.sets * j.lists, plan_one, &j, "infinite_hip"));
    for (atn_idx s = 0; s < j.sets; s++)
        ATN_TRY(plan_set(cx, &j, s, out + s * j.members));
done:
    for (atn_idx s = 0; j.kept && s < j.sets; s++) atn_chosen_abandon(cx, j.kept[s]);
    atn_arena_rewind(cx, mark);
    return st;
}

static unsigned looks(const void *params_, const atn_input *in)
{
    const infinite *t = params_;

    if (in->head[0].layer < t->dense_layers || t->chunks.n < 1) return 0;
    return (t->block_q > 1 ? ATN_LOOKS_QUERIES : 0) |
           (t->window < 2 * t->chunks.at[0] - 1 ? ATN_LOOKS_KEYS : 0);
}

static atn_unit unit_of(const void *params_, const atn_input *in)
{
    return shares(params_, in) ? ATN_UNIT_LAYER : ATN_UNIT_HEAD;
}

/* Of one block of queries on every thread: all stages, and the judging of one. */
static double stages_bytes(const infinite *t, const atn_head *h, atn_idx block_q)
{
    const double nk = (double)h->nk;
    double most = 0, sum = 0, rows = 1;

    for (int s = 0; s < t->chunks.n; s++) {
        const double size = (double)t->chunks.at[s];
        double n = nk / size + 2;

        if (s > 0)
            n = ATN_MIN(n, (double)t->keep.at[s - 1] / size + 2 +
                               (double)t->chunks.at[s - 1] / size);
        sum += n;
        most = ATN_MAX(most, n);
        rows = ATN_MAX(rows, (double)block_q / (double)t->rows.at[s] + 2);
    }
    return sum * (2 * sizeof(atn_span) + 16) + most * 48 + 4096 +
           sizeof(float) * rows * (double)h->q.cols +
           atn_rank_bytes((atn_idx)rows, h->q.cols);
}

static double bytes(const atn_ctx *cx, const void *params_, const atn_input *in)
{
    const infinite *t = params_;
    const atn_head *h = &in->head[0];
    const atn_idx most = ATN_MAX(ATN_MAX(h->sight.offset, 0) + h->nq, h->nk);
    const atn_idx block_q = ATN_MIN(t->block_q, most);
    const atn_idx last = t->chunks.n > 0 ? t->chunks.at[t->chunks.n - 1] : 1;
    const atn_idx unit = atn_common_divisor(block_q, last);
    const double lists = (double)(h->nq / block_q) + 2;
    double set;

    if (h->layer < t->dense_layers || t->chunks.n < 1 || t->rows.n < t->chunks.n ||
        t->keep.n < t->chunks.n - 1)
        return 0;
    set = atn_chosen_bytes(cx, h, unit, block_q, (double)(t->k / last + 2)) +
          sizeof(atn_tally) * lists + 2048;
    return set + cx->threads * stages_bytes(t, h, block_q);
}

const atn_method atn_method_infinite_hip = {
    .id = "infinite_hip",
    .title = "InfiniteHiP attention",
    .family = "tree",
    .source = "Lee et al., arXiv 2502.08910; hip-attention, v1.2",
    .text = "keys found by stages of ever smaller chunks, first and recent keys",
    .reads = ATN_READS_QK,
    .sides = ATN_CAUSAL,
    .unit = ATN_UNIT_LAYER,
    .unit_of = unit_of,
    .publishes = true,
    .params = params,
    .params_size = sizeof(infinite),
    .budget = "k",
    .looks = looks,
    .dense = "sink, window and k hold the whole text, or layers are below dense_layers "
             "(give smaller ones)",
    .plan = plan,
    .bytes = bytes,
};
