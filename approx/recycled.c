/* approx/recycled.c -- Recycled Attention: decode over a few keys, and look at all of
 * them now and then.
 *
 * Math    prompt of L tokens, dense. The small cache C starts as the `k` best keys by
 *         row L - 1, weights summed over the query heads of the KV head. Step u = 0, 1,
 *         .. (row t = L + u) is full when (u + 1) mod stride = 0, or, dynamic, when
 *         (u + 1) mod check = 0 and the mean over all query heads of the layer of
 *         cos(q_t, q of the last full row) < similar; the last full row is L - 1 at
 *         first. A full row reads all and leaves the k best by it in C; others read C
 *         and t, and leave the k best of these by it, t among them.
 * Oracle  stride = 1, or k at least the number of keys: dense. similar = -1: no row is
 *         full; similar > 1: every row that checks.
 * Source  Xu, Goyal, Choi, arXiv 2411.05787; when exactly a step is full, the sum over
 *         heads and what is cut are our reading.
 * Cost    2 d flop a key of a full row; of what the heads of a group do together each
 *         counts its share. Memory O(n), and k slices a full row.
 * Limits  nothing is saved in memory, as the full cache stays.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#include <math.h>
#include <string.h>

#include "approx/replay.h"
#include "core/kernels/kernels.h"

enum { FIXED, DYNAMIC, STOP_ROWS = 64 };

typedef struct recycled {
    int64_t k, stride, check, prompt;
    int form;
    double similar;
} recycled;

static const atn_param params[] = {
    ATN_PARAM_I64(recycled, k, 4096, 1, ATN_PATTERN_KEYS_MOST,
                  "keys of the small cache"),
    ATN_PARAM_CHOICE(recycled, form, FIXED, "fixed|dynamic",
                     "all keys are read every `stride` steps, or when queries change"),
    ATN_PARAM_I64(recycled, stride, 50, 1, ATN_PATTERN_KEYS_MOST,
                  "steps from one full step to the next, fixed"),
    ATN_PARAM_I64(recycled, check, 5, 1, ATN_PATTERN_KEYS_MOST,
                  "steps from one check to the next, dynamic"),
    ATN_PARAM_F64(recycled, similar, 0.8, -1, 2,
                  "cosine of queries below which a step that checks is full"),
    ATN_PARAM_I64(recycled, prompt, 0, 0, ATN_PATTERN_KEYS_MOST,
                  "tokens of the prompt; 0: as captured, else a quarter"),
    ATN_PARAM_END,
};

typedef struct replay {
    const recycled *t;
    const atn_input *in;
    const atn_head *h; /* the first of the group */
    atn_idx first, heads;
    atn_idx prompt, last, full; /* full: the last full row */
    atn_idx *key, *since;       /* the small cache, ascending */
    atn_idx n;
    atn_idx *best;
    double *w, *sum;
    atn_lives lives;
    double flops, numbers; /* of each head */
    int64_t ties;
} replay;

/* Work on row t: only that of this step counts. */
static void count(replay *r, atn_idx t, double flops, double numbers)
{
    if (t < r->h->sight.offset) return;
    r->flops += flops;
    r->numbers += numbers;
}

/* Once a head, and once a group. */
static double own_and_share(const replay *r)
{
    return 1 + 1 / (double)r->heads;
}

static atn_status end_life(atn_ctx *cx, replay *r, atn_idx e, atn_idx t)
{
    const atn_slice s = {{r->since[e], t}, {r->key[e], r->key[e] + 1}, 0};

    return atn_lives_add(cx, &r->lives, s);
}

/* sum <- weights of row t, added over the group: of the keys that it sees, or of those
 * in the cache. Returns how many. */
static atn_idx weigh(replay *r, atn_idx t, const atn_span *sees)
{
    const atn_idx n = sees ? sees->hi - sees->lo : r->n;

    memset(r->sum, 0, (size_t)n * sizeof *r->sum);
    for (atn_idx head = r->first; head < r->first + r->heads; head++) {
        const atn_head *h = &r->in->head[head];
        const float *q = atn_replay_query(r->in, head, t);

        if (sees)
            atn_seen_weights(h, q, t, *sees, r->w);
        else
            atn_kept_weights(h, q, t, r->key, n, r->w);
        for (atn_idx e = 0; e < n; e++) r->sum[e] += r->w[e];
    }
    /* a head adds its weights to the sums, which are compared once for all heads */
    count(r, t, (double)n * own_and_share(r), (double)n * own_and_share(r));
    return n;
}

/* Row t has read all: the best of them are the cache from row t + 1 on. */
static void refill(replay *r, atn_idx t)
{
    atn_span sees;
    atn_idx n;

    atn_replay_sees(r->h, t, &sees.lo, &sees.hi);
    n = weigh(r, t, &sees);
    /* the fused kernel that gave the output has no weights to return */
    count(r, t, 2 * (double)r->h->q.cols * (double)n, 0);
    r->n = atn_best_wide(r->sum, n, r->t->k, r->best, &r->ties);
    for (atn_idx e = 0; e < r->n; e++) {
        r->key[e] = r->best[e] + sees.lo;
        r->since[e] = t + 1;
    }
    r->full = t;
}

/* Takes out entry e, which rows read up to t. */
static atn_status take_out(atn_ctx *cx, replay *r, atn_idx e, atn_idx t)
{
    const size_t after = (size_t)(r->n - e - 1);
    atn_status st = ATN_OK;

    ATN_TRY(end_life(cx, r, e, t + 1));
    memmove(r->key + e, r->key + e + 1, after * sizeof *r->key);
    memmove(r->since + e, r->since + e + 1, after * sizeof *r->since);
    r->n--;
done:
    return st;
}

/* Row t reads the cache and itself; what it has least use for goes. */
static atn_status recycle(atn_ctx *cx, replay *r, atn_idx t)
{
    atn_status st = ATN_OK;
    atn_idx lo, hi, gone = 0;

    atn_replay_sees(r->h, t, &lo, &hi);
    while (gone < r->n && r->key[gone] < lo) ATN_TRY(end_life(cx, r, gone++, t));
    memmove(r->key, r->key + gone, (size_t)(r->n - gone) * sizeof *r->key);
    memmove(r->since, r->since + gone, (size_t)(r->n - gone) * sizeof *r->since);
    r->n -= gone;
    if (t < hi) {
        r->key[r->n] = t;
        r->since[r->n++] = t;
    }
    weigh(r, t, NULL);
    if (r->n > r->t->k) /* by one, then */
        ATN_TRY(take_out(cx, r, atn_worst_wide(r->sum, r->n, &r->ties), t));
done:
    return st;
}

/* The mean cosine of the queries of rows t and `full`, over all heads; of a query
 * without length 0. */
static double likeness(const replay *r, atn_idx t)
{
    const atn_idx d = r->h->q.cols;
    double sum = 0;

    for (atn_idx h = 0; h < r->in->heads; h++) {
        const float *a = atn_replay_query(r->in, h, t);
        const float *b = atn_replay_query(r->in, h, r->full);
        const double size = sqrt(atn_row_square(a, d) * atn_row_square(b, d));

        sum += size > 0 ? atn_row_dot(a, b, d) / size : 0;
    }
    return sum / (double)r->in->heads;
}

static bool is_full(replay *r, atn_idx t)
{
    const atn_idx step = t - r->prompt + 1;

    if (r->t->form == FIXED) return step % r->t->stride == 0;
    if (step % r->t->check != 0) return false;
    count(r, t, 6 * (double)r->h->q.cols, 2 * (double)r->h->q.cols);
    return likeness(r, t) < r->t->similar;
}

static atn_status decode(atn_ctx *cx, replay *r)
{
    atn_status st = ATN_OK;

    refill(r, r->prompt - 1);
    for (atn_idx t = r->prompt; t <= r->last; t++) {
        if (t % STOP_ROWS == 0) ATN_TRY(atn_stopped(cx, "recycled"));
        if (!is_full(r, t)) {
            ATN_TRY(recycle(cx, r, t));
            continue;
        }
        for (atn_idx e = 0; e < r->n; e++) ATN_TRY(end_life(cx, r, e, t));
        ATN_TRY(atn_lives_add(cx, &r->lives, (atn_slice){{t, t + 1}, {0, t + 1}, 0}));
        refill(r, t);
    }
    for (atn_idx e = 0; e < r->n; e++) ATN_TRY(end_life(cx, r, e, r->last + 1));
done:
    return st;
}

/* Slices: one for each key that is kept from one full row to the next, or comes and
 * goes between them. Full rows that touch have none. */
static double bytes(const atn_ctx *cx, const void *params_, const atn_input *in)
{
    const recycled *t = params_;
    const double n = (double)in->head[0].nk, k = ATN_MIN((double)t->k, n);
    const double rows = n - (double)atn_replay_prompt(in, t->prompt);
    const double every =
        ATN_MAX(t->form == FIXED ? (double)t->stride : (double)t->check, 2.0);

    (void)cx;
    return 5 * 8 * (n + 1) + 4 * sizeof(atn_slice) * ((rows / every + 1) * k + n);
}

static atn_status plan(atn_ctx *cx, const atn_input *in, const void *params_,
                       atn_idx first, atn_idx n, atn_plan *out)
{
    const recycled *t = params_;
    const atn_head *h = &in->head[first];
    const atn_idx room = h->nk + 1;
    atn_status st = ATN_OK;
    replay r = {.t = t,
                .in = in,
                .h = h,
                .first = first,
                .heads = n,
                .last = atn_replay_last(in)};

    r.prompt = atn_replay_prompt(in, t->prompt);
    ATN_TRY(atn_mem_check(cx, bytes(cx, t, in), "recycled"));
    ATN_TRY(atn_lives_prompt(cx, &r.lives, r.prompt));
    if (r.prompt <= r.last) {
        ATN_TRY(atn_replay_check(cx, "recycled", in, r.prompt - 1));
        ATN_TAKE(r.key, room);
        ATN_TAKE(r.since, room);
        ATN_TAKE(r.best, room);
        ATN_TAKE(r.w, room);
        ATN_TAKE(r.sum, room);
        ATN_TRY(decode(cx, &r));
    }
    for (atn_idx g = 0; g < n; g++) {
        ATN_TRY(atn_lives_plan(cx, &r.lives, &in->head[first + g], &out[g]));
        out[g].index_flops = r.flops;
        out[g].index_bytes = ATN_COST_BYTES * r.numbers;
        out[g].ties = r.ties;
    }
done:
    atn_lives_release(cx, &r.lives);
    return st;
}

const atn_method atn_method_recycled = {
    .id = "recycled",
    .title = "Recycled keys (Recycled Attention)",
    .family = "eviction",
    .source = "Xu, Goyal, Choi, Recycled Attention, arXiv 2411.05787",
    .text = "the best keys of the last full row, and all keys every few rows",
    .reads = ATN_READS_QK | ATN_READS_PAST,
    .sides = ATN_CAUSAL,
    .unit = ATN_UNIT_GROUP,
    .params = params,
    .params_size = sizeof(recycled),
    .budget = "k",
    .plan = plan,
    .bytes = bytes,
};
