/* approx/reformer.c -- Reformer: tokens are hashed by random rotations, sorted by
 * bucket and cut into chunks; a chunk sees itself and the one before.
 *
 * Math    a round with rotations R [d, buckets / 2]: h(x) = argmax [xR; -xR], lower of
 *         equal ones; queries and keys are each sorted by (h, position) and cut into
 *         chunks, of `bucket` keys, the last one short; query chunk c reads key chunks
 *         c and c - 1, the first one the last. All rounds in one softmax: a pair
 *         counts as often as rounds show it, or once with `discount`.
 *         buckets = 2 ceil(n / (2 bucket)), even whatever n is.
 *         `shared`: keys are q / |q|, and a query sees itself only where it sees
 *         nothing else. As published: n is a multiple of 2 bucket; all rounds are one
 *         list, so the first chunk of a round reads the last of the round before; the
 *         discount does not know of those pairs and divides by 1e-9 what it did not
 *         count.
 * Oracle  two chunks: dense attention (shared: without oneself), for any rotation and
 *         number of rounds. Row 0 of a causal head: shared, v_0.
 * Source  Kitaev, Kaiser, Levskaya, arXiv 2001.04451; lucidrains/reformer-pytorch.
 *         Queries and keys hashed apart are a reading of ours.
 * Cost    a round: hash n d buckets flop for each side; 2 n bucket entries.
 * Limits  `shared` needs the queries of all tokens.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "approx/chosen.h"
#include "approx/dots.h"
#include "approx/grouping.h"
#include "core/order.h"
#include "core/rows.h"

typedef struct reformer {
    int64_t n_hashes, bucket;
    bool shared, discount, across;
} reformer;

static const atn_param params[] = {
    ATN_PARAM_I64(reformer, n_hashes, 8, 1, 64, "rounds of hashing"),
    ATN_PARAM_I64(reformer, bucket, 64, 1, 1e9, "keys of a chunk, and of a bucket"),
    ATN_PARAM_BOOL(reformer, shared, 0,
                   "keys are the queries at length 1, and nobody sees himself"),
    ATN_PARAM_BOOL(reformer, discount, 0,
                   "what several rounds show counts once, not as often"),
    ATN_PARAM_BOOL(reformer, across, 1, "also keys of the chunks in another bucket"),
    ATN_PARAM_END,
};

typedef struct job {
    const atn_head *h;
    const reformer *t;
    bool published;
    atn_idx bucket, chunks, buckets, q_chunk;
    /* of every round; of shared ones queries and keys are the same arrays */
    int32_t *q_label, *k_label; /* [rounds, nq], [rounds, nk] */
    int32_t *q, *k;             /* the same: tokens in the order of the round */
    int32_t *q_place;           /* [rounds, nq] where a query stands in it */
    float *rotation, *turned;   /* [d, buckets / 2], and its transpose */
    float *unit;                /* [nk, d] keys, or NULL */
    atn_chosen *chosen;
    atn_idx first; /* list of row 0 */
    atn_grouping *groups;
    int32_t *own, *seam; /* [nk] of a row: rounds that show a key, and seams */
} job;

/* ---- hashing ---- */

static atn_status check(atn_ctx *cx, const reformer *t, const atn_head *h,
                        bool published)
{
    const bool multiple = t->bucket <= h->nk / 2 && h->nk % (2 * t->bucket) == 0;
    atn_status st = ATN_OK;

    if (published && !multiple)
        ATN_FAIL(ATN_USAGE,
                 "reformer: %lld tokens are no multiple of 2 bucket = %lld, as the "
                 "published code asks (give a bucket that divides half of them, or "
                 "leave out --as-published)",
                 (long long)h->nk, (long long)(2 * t->bucket));
    if (t->shared && (h->nq != h->nk || h->sight.offset != 0))
        ATN_FAIL(
            ATN_DATA,
            "reformer: shared=1 makes keys of the queries, and there are queries of "
            "%lld of the %lld tokens (capture the whole prefill, or give shared=0)",
            (long long)h->nq, (long long)h->nk);
done:
    return st;
}

static atn_status measure(atn_ctx *cx, job *j)
{
    const atn_head *h = j->h;
    const atn_idx rounds = j->t->n_hashes;
    atn_idx all = 0;
    atn_status st = ATN_OK;

    j->bucket = ATN_MIN(j->t->bucket, h->nk);
    j->chunks = (h->nk + j->bucket - 1) / j->bucket;
    j->buckets = (j->chunks + 1) / 2 * 2;
    j->q_chunk = h->nq == h->nk ? j->bucket : (h->nq + j->chunks - 1) / j->chunks;
    if (!atn_mul(h->nq, rounds, &all) || !atn_mul(h->nk, rounds, &all) ||
        !atn_mul(j->buckets, h->q.cols, &all))
        ATN_FAIL(ATN_MEMORY, "reformer: %lld rounds of %lld tokens are too many",
                 (long long)rounds, (long long)h->nk);
    ATN_TAKE(j->q_label, rounds * h->nq);
    ATN_TAKE(j->q, rounds * h->nq);
    ATN_TAKE(j->q_place, rounds * h->nq);
    j->k_label = j->q_label;
    j->k = j->q;
    if (!j->t->shared) {
        ATN_TAKE(j->k_label, rounds * h->nk);
        ATN_TAKE(j->k, rounds * h->nk);
    }
    ATN_TAKE(j->rotation, h->q.cols * (j->buckets / 2));
    ATN_TAKE(j->turned, h->q.cols * (j->buckets / 2));
done:
    return st;
}

/* Labels and orders of round r. */
static atn_status hash_round(atn_ctx *cx, const atn_input *in, job *j, atn_idx r)
{
    const atn_idx d = j->h->q.cols, half = j->buckets / 2;
    const atn_idx nq = j->h->nq, nk = j->h->nk;
    const atn_cmat planes = {j->turned, half, d, d};
    char what[32], purpose[48];
    const atn_draw draw = {what, purpose, j->h->layer, j->h->head, d, half};
    atn_status st = ATN_OK;

    snprintf(what, sizeof what, "rotations-%03d", (int)r);
    snprintf(purpose, sizeof purpose, "reformer/%s", what);
    ATN_TRY(atn_draw_normal(cx, in->draws, in->seed, &draw, j->rotation));
    for (atn_idx c = 0; c < d; c++)
        for (atn_idx b = 0; b < half; b++)
            j->turned[b * d + c] = j->rotation[c * half + b];
    ATN_TRY(atn_dots_nearest(cx, j->h->q, planes, true, j->q_label + r * nq, "hashes"));
    ATN_TRY(atn_label_order(cx, j->q_label + r * nq, nq, j->q + r * nq));
    for (atn_idx e = 0; e < nq; e++) j->q_place[r * nq + j->q[r * nq + e]] = (int32_t)e;
    if (!j->t->shared) {
        ATN_TRY(
            atn_dots_nearest(cx, j->h->k, planes, true, j->k_label + r * nk, "hashes"));
        ATN_TRY(atn_label_order(cx, j->k_label + r * nk, nk, j->k + r * nk));
    }
done:
    return st;
}

/* ---- chunks ---- */

/* Keys in the order of a round, those of a chunk. */
typedef struct stretch {
    atn_idx round, lo, hi;
} stretch;

static stretch chunk_of(const job *j, atn_idx round, atn_idx c)
{
    return (stretch){round, c * j->bucket, ATN_MIN((c + 1) * j->bucket, j->h->nk)};
}

/* What chunk c of a round reads beside itself; false: nothing. */
static bool chunk_before(const job *j, atn_idx round, atn_idx c, stretch *out)
{
    const atn_idx rounds = j->t->n_hashes;

    if (j->chunks == 1) return false;
    if (c == 0 && j->published) round = (round + rounds - 1) % rounds;
    *out = chunk_of(j, round, c == 0 ? j->chunks - 1 : c - 1);
    return true;
}

/* The part of a stretch that is in this bucket of `round`. Labels ascend in it. */
static stretch in_bucket(const job *j, stretch s, atn_idx round, int32_t label)
{
    const int32_t *of = j->k_label + s.round * j->h->nk;
    const int32_t *order = j->k + s.round * j->h->nk;

    if (s.round != round) s.hi = s.lo; /* buckets of another round are others */
    while (s.lo < s.hi && of[order[s.lo]] < label) s.lo++;
    while (s.lo < s.hi && of[order[s.hi - 1]] > label) s.hi--;
    return s;
}

/* ---- pairs count as often as rounds show them ---- */

/* Rows [lo, hi) of the order of a round, all of one bucket where that matters, and what
 * chunk c shows them. */
static atn_status group_rows(atn_ctx *cx, const job *j, atn_idx round, atn_idx c,
                             atn_idx lo, atn_idx hi)
{
    const int32_t *rows = j->q + round * j->h->nq, *keys;
    stretch s[2] = {chunk_of(j, round, c)};
    const int n = 1 + chunk_before(j, round, c, &s[1]);
    atn_status st = ATN_OK;

    ATN_TRY(atn_grouping_begin(cx, j->groups));
    ATN_TRY(atn_grouping_rows(cx, j->groups, rows + lo, hi - lo));
    for (int e = 0; e < n; e++) {
        if (!j->t->across)
            s[e] = in_bucket(j, s[e], round, j->q_label[round * j->h->nq + rows[lo]]);
        keys = j->k + s[e].round * j->h->nk;
        ATN_TRY(atn_grouping_keys(cx, j->groups, keys + s[e].lo, s[e].hi - s[e].lo, 0));
    }
done:
    return st;
}

static atn_status group_chunk(atn_ctx *cx, const job *j, atn_idx round, atn_idx c)
{
    const int32_t *rows = j->q + round * j->h->nq;
    const int32_t *label = j->q_label + round * j->h->nq;
    const atn_idx end = ATN_MIN((c + 1) * j->q_chunk, j->h->nq);
    atn_status st = ATN_OK;

    for (atn_idx lo = c * j->q_chunk, hi; lo < end; lo = hi) {
        hi = j->t->across ? end : lo + 1;
        while (hi < end && label[rows[hi]] == label[rows[lo]]) hi++;
        ATN_TRY(group_rows(cx, j, round, c, lo, hi));
    }
done:
    return st;
}

static atn_status group_rounds(atn_ctx *cx, job *j, atn_branch *to)
{
    const atn_idx rounds = j->t->n_hashes, all = rounds * j->chunks;
    const atn_grouping_size size = {all, rounds * j->h->nq,
                                    j->t->across ? 2 * rounds * j->h->nk : 0, false};
    atn_status st = ATN_OK;
    atn_grouping g = {0};

    ATN_TRY(atn_grouping_open(cx, &size, "reformer: chunks of all rounds", &g));
    j->groups = &g;
    for (atn_idx r = 0; r < rounds; r++)
        for (atn_idx c = 0; c * j->q_chunk < j->h->nq; c++)
            ATN_TRY(group_chunk(cx, j, r, c));
    atn_grouping_finish(cx, &g, to);
done:
    atn_grouping_release(cx, &g);
    return st;
}

/* ---- pairs count once ---- */

/* The keys that row i sees, each once, ascending; own and seam, zeros before, count the
 * rounds that show each, within the round or across the seam to another. */
static atn_idx collect(const job *j, atn_idx i, int32_t *own, int32_t *seam,
                       int32_t *out)
{
    atn_idx n = 0, lo, hi;

    atn_sight_row(&j->h->sight, i, &lo, &hi);
    for (atn_idx r = 0; r < j->t->n_hashes; r++) {
        const atn_idx c = j->q_place[r * j->h->nq + i] / j->q_chunk;
        stretch s[2] = {chunk_of(j, r, c)};
        const int pieces = 1 + chunk_before(j, r, c, &s[1]);

        for (int e = 0; e < pieces; e++) {
            if (!j->t->across)
                s[e] = in_bucket(j, s[e], r, j->q_label[r * j->h->nq + i]);
            for (atn_idx x = s[e].lo; x < s[e].hi; x++) {
                const int32_t key = j->k[s[e].round * j->h->nk + x];

                if (key < lo || key >= hi) continue;
                if (own[key] == 0 && seam[key] == 0) out[n++] = key;
                *(s[e].round == r ? &own[key] : &seam[key]) += 1;
            }
        }
    }
    if (n > 1) qsort(out, (size_t)n, sizeof *out, atn_by_int32);
    return n;
}

enum { ROWS_OF_TASK = 64 };

static atn_status choose_rows(atn_ctx *cx, atn_idx task, void *state)
{
    const job *j = state;
    const atn_idx nk = j->h->nk, first = task * ROWS_OF_TASK;
    const atn_arena_mark mark = atn_arena_save(cx);
    atn_status st = ATN_OK;
    int32_t *own = NULL, *keys = NULL;
    atn_span *spans = NULL;

    ATN_TAKE(own, 2 * nk);
    ATN_TAKE(keys, nk);
    ATN_TAKE(spans, nk);
    memset(own, 0, (size_t)(2 * nk) * sizeof *own);
    for (atn_idx i = first; i < ATN_MIN(first + ROWS_OF_TASK, j->h->nq); i++) {
        const atn_idx n = collect(j, i, own, own + nk, keys);

        for (atn_idx e = 0; e < n; e++) {
            spans[e] = (atn_span){keys[e], (atn_idx)keys[e] + 1};
            own[keys[e]] = own[nk + keys[e]] = 0;
        }
        ATN_TRY(atn_chosen_put(cx, j->chosen, j->first + i, spans, n));
    }
done:
    atn_arena_rewind(cx, mark);
    return st;
}

/* All rounds as one set of keys a row. */
static atn_status choose_union(atn_ctx *cx, job *j, atn_plan *out)
{
    const atn_frame f = atn_head_frame(j->h, 1);
    const atn_idx tasks = (j->h->nq + ROWS_OF_TASK - 1) / ROWS_OF_TASK;
    atn_pattern *pattern = NULL;
    atn_status st = ATN_OK;
    atn_idx end;

    ATN_TRY(atn_chosen_open(cx, &f, 1, &j->chosen));
    atn_chosen_lists(j->chosen, &j->first, &end);
    ATN_TRY(atn_parallel(cx, tasks, choose_rows, j, "reformer"));
    st = atn_chosen_finish(cx, j->chosen, &pattern);
    j->chosen = NULL;
    if (st == ATN_OK) atn_plan_mask(out, pattern, 0, 1, 1);
done:
    atn_chosen_abandon(cx, j->chosen);
    return st;
}

/* The published discount: each showing of a pair counts 1 / (showings within rounds +
 * 1e-9), also those across a seam. */
static atn_status weigh_union(atn_ctx *cx, job *j, atn_branch *to)
{
    const atn_idx nk = j->h->nk;
    atn_status st = ATN_OK;
    atn_grouping g = {0};
    int32_t *own = NULL, *keys = NULL;

    ATN_TAKE(own, 2 * nk);
    ATN_TAKE(keys, nk);
    memset(own, 0, (size_t)(2 * nk) * sizeof *own);
    ATN_TRY(atn_grouping_open(cx, &(atn_grouping_size){j->h->nq, j->h->nq, nk, true},
                              "reformer: pairs", &g));
    for (atn_idx i = 0; i < j->h->nq; i++) {
        const int32_t row = (int32_t)i;
        const atn_idx n = collect(j, i, own, own + nk, keys);

        ATN_TRY(atn_grouping_begin(cx, &g));
        ATN_TRY(atn_grouping_rows(cx, &g, &row, 1));
        for (atn_idx e = 0; e < n; e++) {
            int32_t *mine = &own[keys[e]], *seam = &own[nk + keys[e]];

            ATN_TRY(atn_grouping_keys(cx, &g, &keys[e], 1,
                                      log((*mine + *seam) / (*mine + 1e-9))));
            *mine = *seam = 0;
        }
    }
    atn_grouping_finish(cx, &g, to);
done:
    atn_grouping_release(cx, &g);
    return st;
}

/* ---- the plan ---- */

static atn_status share_keys(atn_ctx *cx, const atn_head *h, atn_branch *b)
{
    atn_status st = ATN_OK;

    for (int k = 0; k < b->parts; k++) {
        ATN_NEW(b->part[k].k, h->nk * h->k.cols);
        atn_unit_rows(h->q, b->part[k].k);
        b->part[k].self_last = true;
    }
done:
    return st;
}

static void count(const job *j, atn_plan *out)
{
    const double rounds = (double)j->t->n_hashes, d = (double)j->h->q.cols;
    const double tokens = (double)(j->h->nq + (j->t->shared ? 0 : j->h->nk));

    /* vectors in, buckets out, and both sides of every sort */
    out->index_flops = rounds * tokens * d * (double)j->buckets;
    out->index_bytes = ATN_COST_BYTES * rounds * tokens * (d + 3);
}

static atn_status plan(atn_ctx *cx, const atn_input *in, const void *params_,
                       atn_idx first, atn_idx n, atn_plan *out)
{
    const atn_arena_mark mark = atn_arena_save(cx);
    job j = {.h = &in->head[first], .t = params_, .published = in->as_published};
    atn_status st = ATN_OK;

    (void)n;
    out->branches = 1;
    ATN_TRY(check(cx, j.t, j.h, j.published));
    ATN_TRY(measure(cx, &j));
    for (atn_idx r = 0; r < j.t->n_hashes; r++) ATN_TRY(hash_round(cx, in, &j, r));
    if (!j.t->discount)
        ATN_TRY(group_rounds(cx, &j, &out->branch[0]));
    else if (!j.published)
        ATN_TRY(choose_union(cx, &j, out));
    else
        ATN_TRY(weigh_union(cx, &j, &out->branch[0]));
    if (j.t->shared) ATN_TRY(share_keys(cx, j.h, &out->branch[0]));
    count(&j, out);
done:
    atn_arena_rewind(cx, mark);
    return st;
}

/* Hashes and the order of every round; means of a row's chunk and the one before of
 * every round; the same as lists where rounds are one set. */
static double bytes(const atn_ctx *cx, const void *params_, const atn_input *in)
{
    const reformer *t = params_;
    const atn_head *h = &in->head[0];
    const double n = (double)(h->nq + h->nk), nk = (double)h->nk;
    const double d = (double)h->q.cols, rounds = (double)t->n_hashes;
    const double b = fmin((double)t->bucket, nk);
    double bytes = 24 * rounds * n + 16 * n + 4 * d * (nk / b + 2) + 4096;

    if (t->shared) bytes += 4 * d * nk * (t->discount ? 1 : 4);
    if (t->discount)
        bytes +=
            12 * nk * (1 + cx->threads) + atn_chosen_bytes(cx, h, 1, 1, 3 * b * rounds);
    if (t->discount && in->as_published)
        bytes += 40 * (double)h->nq + 16 * (double)h->nq * fmin(3 * b * rounds, nk);
    return bytes;
}

static unsigned looks(const void *params_, const atn_input *in)
{
    const reformer *t = params_;

    (void)in;
    return t->shared ? ATN_LOOKS_QUERIES : ATN_LOOKS_KEYS | ATN_LOOKS_QUERIES;
}

const atn_method atn_method_reformer = {
    .id = "reformer",
    .title = "Reformer",
    .family = "hash",
    .source = "Kitaev et al., Reformer, arXiv 2001.04451; lucidrains/reformer-pytorch",
    .text = "chunks of keys in the order of a hash, in several rounds",
    .reads = ATN_READS_QK | ATN_READS_DRAWS,
    .sides = ATN_BOTH_WAYS,
    .publishes = true,
    .params = params,
    .params_size = sizeof(reformer),
    .budget = "bucket",
    .looks = looks,
    .plan = plan,
    .bytes = bytes,
};
