/* approx/snapkv.c -- SnapKV: the last queries of the prompt vote for the keys of it
 * that stay.
 *
 * Math    prompt of L tokens, dense. v_j = sum of P_ij over its last `window` rows i,
 *         for j < L - window; pooled_j = the mean (or maximum) of v over j - kernel/2
 *         .. j + kernel/2, zeros beyond the ends. Rows t >= L read the `k` best keys by
 *         pooled, the last `window` of the prompt, and what was generated, L .. t.
 * Oracle  kernel = window = 1: the top k of row L - 1. k >= L - window: dense. One vote
 *         and kernel 3: a third at the key and at either neighbour, at the ends too.
 * Source  Li et al., arXiv 2404.14469, and its code, whose capacity is k + window.
 * Cost    2 d flop for each of the window's rows and keys of the prompt, once. Memory
 *         O(L).
 * Limits  per query head. A key beyond the sliding window of row L - 1 is no candidate.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#include <math.h>
#include <string.h>

#include "approx/replay.h"
#include "core/rows.h"

enum { AVG, MAX, CHUNK = 1024 };

typedef struct snapkv {
    int64_t k, window, kernel, prompt;
    int pool;
} snapkv;

static const atn_param params[] = {
    ATN_PARAM_I64(snapkv, k, 2016, 1, ATN_PATTERN_KEYS_MOST,
                  "keys of the prompt kept beside the window"),
    ATN_PARAM_I64(snapkv, window, 32, 1, ATN_PATTERN_KEYS_MOST,
                  "last tokens of the prompt, which vote and stay"),
    ATN_PARAM_I64(snapkv, kernel, 5, 1, 1023, "votes that are pooled; odd"),
    ATN_PARAM_CHOICE(snapkv, pool, AVG, "avg|max", "how votes are pooled"),
    ATN_PARAM_I64(snapkv, prompt, 0, 0, ATN_PATTERN_KEYS_MOST,
                  "tokens of the prompt; 0: as captured, else a quarter"),
    ATN_PARAM_END,
};

static const atn_preset presets[] = {
    {"snapkv_small", "k=256,window=64", "the sizes of the class in the paper's code"},
    {NULL, NULL, NULL},
};

typedef struct job {
    const snapkv *t;
    const atn_input *in;
    const atn_head *h;
    atn_idx head, prompt;
    atn_idx lo, voted; /* candidates are keys [lo, voted) */
    atn_idx rows;      /* that vote: prompt - rows .. prompt - 1 */
    double *lse;       /* [rows] */
    double *vote;      /* [voted] */
    double *pooled;    /* [voted] */
} job;

static const float *query(const job *j, atn_idx r, atn_idx *at)
{
    *at = j->prompt - j->rows + r;
    return atn_replay_query(j->in, j->head, *at);
}

/* The logarithm of the sum of row r, with the sink. */
static atn_status sum_row(atn_ctx *cx, atn_idx r, void *state)
{
    const job *j = state;
    const atn_head *h = j->h;
    double max = h->has_sink ? h->sink : -INFINITY, sum = h->has_sink ? 1 : 0;
    atn_idx at, lo, hi;
    const float *q = query(j, r, &at);

    (void)cx;
    atn_replay_sees(h, at, &lo, &hi);
    for (atn_idx k = lo; k < hi; k++) {
        const double z = atn_key_logit(h, q, at, k);

        if (z > max) {
            sum = sum * exp(max - z) + 1;
            max = z;
        } else {
            sum += exp(z - max);
        }
    }
    j->lse[r] = max + log(sum);
    return ATN_OK;
}

/* The votes for the keys of chunk c. */
static atn_status vote_chunk(atn_ctx *cx, atn_idx c, void *state)
{
    const job *j = state;
    const atn_idx first = c * CHUNK, end = ATN_MIN(first + CHUNK, j->voted);

    (void)cx;
    memset(j->vote + first, 0, (size_t)(end - first) * sizeof *j->vote);
    for (atn_idx r = 0; r < j->rows; r++) {
        atn_idx at, lo, hi;
        const float *q = query(j, r, &at);

        atn_replay_sees(j->h, at, &lo, &hi);
        for (atn_idx k = ATN_MAX(first, lo); k < ATN_MIN(end, hi); k++)
            j->vote[k] += exp(atn_key_logit(j->h, q, at, k) - j->lse[r]);
    }
    return ATN_OK;
}

/* Zeros beyond the ends count in a mean, and are no maximum. */
static void pool(const job *j)
{
    const atn_idx half = j->t->kernel / 2;

    for (atn_idx k = 0; k < j->voted; k++) {
        double sum = 0, max = 0;

        for (atn_idx e = ATN_MAX(k - half, 0); e < ATN_MIN(k + half + 1, j->voted);
             e++) {
            sum += j->vote[e];
            max = ATN_MAX(max, j->vote[e]);
        }
        j->pooled[k] = k < j->lo ? -INFINITY : j->t->pool == MAX ? max : sum;
    }
}

static atn_status keep(atn_ctx *cx, const job *j, atn_lives *l, int64_t *ties)
{
    const atn_idx end = atn_replay_last(j->in) + 1, L = j->prompt;
    const atn_span rows = {L, end};
    atn_status st = ATN_OK;
    atn_idx *best = NULL, n;

    ATN_TAKE(best, j->voted + 1);
    n = atn_best_wide(j->pooled, j->voted, j->t->k, best, ties);
    for (atn_idx b = 0, from = 0; b < n; b++) {
        if (b + 1 < n && best[b + 1] == best[b] + 1) continue;
        ATN_TRY(atn_lives_add(cx, l, (atn_slice){rows, {best[from], best[b] + 1}, 0}));
        from = b + 1;
    }
    ATN_TRY(atn_lives_add(cx, l, (atn_slice){rows, {j->voted, end}, 0}));
done:
    return st;
}

/* Votes are cast in the step that has the last row of the prompt. */
static void count(const job *j, atn_plan *out)
{
    const double pairs = (double)j->rows * (double)(j->voted - j->lo + j->rows);
    const double d = (double)j->h->q.cols, n = (double)(j->voted - j->lo);

    if (j->h->sight.offset >= j->prompt) return;
    out->index_flops = pairs * (2 * d + 1) + n * (double)(j->t->kernel + 1);
    out->index_bytes = ATN_COST_BYTES * (d * (n + 2 * (double)j->rows) + 2 * n);
}

static atn_status choose(atn_ctx *cx, job *j, atn_lives *l, atn_plan *out)
{
    const atn_idx end = atn_replay_last(j->in) + 1;
    atn_status st = ATN_OK;
    atn_idx hi;

    ATN_TRY(atn_lives_prompt(cx, l, j->prompt));
    if (j->prompt >= end) goto done;
    atn_replay_sees(j->h, j->prompt - 1, &j->lo, &hi);
    j->rows = ATN_MIN(j->t->window, j->prompt);
    j->voted = j->prompt - j->rows;
    if (j->voted - j->lo <= j->t->k) { /* all of them fit */
        ATN_TRY(atn_lives_prompt(cx, l, end));
        goto done;
    }
    ATN_TRY(atn_replay_check(cx, "snapkv", j->in, j->voted));
    ATN_TAKE(j->lse, j->rows);
    ATN_TAKE(j->vote, j->voted);
    ATN_TAKE(j->pooled, j->voted);
    ATN_TRY(atn_parallel(cx, j->rows, sum_row, j, "snapkv"));
    ATN_TRY(atn_parallel(cx, (j->voted + CHUNK - 1) / CHUNK, vote_chunk, j, "snapkv"));
    pool(j);
    ATN_TRY(keep(cx, j, l, &out->ties));
    count(j, out);
done:
    return st;
}

static atn_status plan(atn_ctx *cx, const atn_input *in, const void *params_,
                       atn_idx first, atn_idx n, atn_plan *out)
{
    const snapkv *t = params_;
    job j = {.t = t, .in = in, .h = &in->head[first], .head = first};
    atn_status st = ATN_OK;
    atn_lives l = {0};

    ATN_ASSERT(n == 1);
    if (t->kernel % 2 == 0)
        ATN_FAIL(ATN_USAGE,
                 "snapkv: kernel=%lld is even, and pooling would have no middle (give "
                 "kernel=%lld)",
                 (long long)t->kernel, (long long)t->kernel + 1);
    j.prompt = atn_replay_prompt(in, t->prompt);
    ATN_TRY(choose(cx, &j, &l, out));
    ATN_TRY(atn_lives_plan(cx, &l, j.h, out));
done:
    atn_lives_release(cx, &l);
    return st;
}

/* Sums of rows, votes, pooled, the best; the slices. */
static double bytes(const atn_ctx *cx, const void *params_, const atn_input *in)
{
    const snapkv *t = params_;
    const double n = (double)in->head[0].nk;

    return cx->threads * 16 * n + 4 * 8 * n +
           5 * sizeof(atn_slice) * ATN_MIN((double)t->k + 1, n);
}

const atn_method atn_method_snapkv = {
    .id = "snapkv",
    .title = "Voted keys of the prompt (SnapKV)",
    .family = "eviction",
    .source = "Li et al., SnapKV, arXiv 2404.14469; code FasterDecoding/SnapKV",
    .text = "keys of the prompt that its last queries vote for, and all later ones",
    .reads = ATN_READS_QK | ATN_READS_PAST,
    .sides = ATN_CAUSAL,
    .unit = ATN_UNIT_HEAD,
    .params = params,
    .params_size = sizeof(snapkv),
    .presets = presets,
    .budget = "k",
    .plan = plan,
    .bytes = bytes,
};
