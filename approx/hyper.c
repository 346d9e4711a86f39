/* approx/hyper.c -- HyperAttention: exact within blocks of tokens that hash alike,
 * uniform samples for the rest.
 *
 * Math    core(nq, nk), without a mask: bit l of x is x . g_l > 0, its place that of
 *         this word in the Gray sequence; queries and keys are sorted by place, stable;
 *         keys in blocks of b, queries in as many; a row sees the keys of its block,
 *         and of m slots s drawn uniformly with replacement those outside its block,
 *         with log weight ln(nk / m): one softmax over both. The samples only where
 *         there is more than one block.
 *         Causal: halves [0, ceil(n / 2)) and the rest in turn, as long as they have
 *         more than `min` keys, below that exact; the rectangle below the diagonal by
 *         the core, or exact where it has fewer than `min` queries. All by log-sum-exp.
 *         `order=table`, and as published: places are the Gray code of the word, not
 *         its inverse. As published keys are padded to a multiple of b by virtual ones
 *         of logit 0 and value 0; an odd n is padded by a row of zeros, which is sorted
 *         along.
 * Oracle  b >= n, or n below min: dense. The mean over the nk runs with the one sample
 *         s = 0 .. nk - 1 of the un-normalised weights is e^z, every entry. Gray codes:
 *         31 of the 127 neighbours of r = 7 that the published order puts side by side
 *         differ in more than one bit, by up to 4.
 * Source  Han et al., arXiv 2310.05869; insuhan/hyper-attn, models/attention.
 * Cost    hash 2 n d r flop, then sorts; entries n (b + m) a core call; log2(n / min)
 *         levels of half the rows each, and n min / 2 on the diagonal.
 * Limits  as published a causal mask needs as many queries as keys. The published code
 *         hides samples of the own block in half precision only; here they always are.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "approx/chosen.h"
#include "approx/grouping.h"
#include "approx/plane_hash.h"
#include "core/order.h"
#include "core/rng.h"
#include "core/rows.h"

typedef struct hyper {
    int64_t projections, block, samples, min;
    int order;
} hyper;

enum { ORDER_PATH, ORDER_TABLE };

static const atn_param params[] = {
    ATN_PARAM_I64(hyper, projections, 7, 1, 24,
                  "hyperplanes that a token is hashed by"),
    ATN_PARAM_I64(hyper, block, 256, 1, 1e9, "keys of a block, in the order sorted"),
    ATN_PARAM_I64(hyper, samples, 256, 0, 1e6, "keys sampled outside of the block"),
    ATN_PARAM_I64(hyper, min, 4096, 1, 1e9,
                  "what has fewer queries is attended exactly"),
    ATN_PARAM_CHOICE(hyper, order, ORDER_PATH, "path|table",
                     "sort by the place on the Gray path, or by the Gray code of the "
                     "word as the published code does"),
    ATN_PARAM_END,
};

/* Queries [q0, q0 + nq) on keys [k0, k0 + nk) without a mask. With the rows of zeros
 * that the published code appends they are q_size and k_size. */
typedef struct call {
    atn_idx q0, nq, q_size;
    atn_idx k0, nk, k_size;
    atn_idx q_block;
    bool samples;
} call;

/* Positions [at, at + real), size with the rows of zeros behind them. */
typedef struct range {
    atn_idx at, real, size;
} range;

typedef struct job {
    const atn_head *h;
    const hyper *t;
    bool published;
    range *ranges; /* level by level, from left to right */
    call *calls;   /* likewise */
    atn_idx *leaves;
    atn_box *boxes; /* exact, beside the leaves */
    atn_idx n_ranges, n_calls, n_leaves, n_boxes;
    atn_plane_hash hash;
    atn_idx drawn;           /* calls that sample */
    const int32_t *slots;    /* [drawn, samples] */
    int32_t *label, *q, *k;  /* of a call: places, and the order of both */
    int32_t *count, *unique; /* [nk] how often a slot was drawn; those that were */
    bool pads;               /* some keys are padded */
    double moved;            /* numbers read and written by sorting */
} job;

/* ---- which calls there are ---- */

/* The rows of the head at positions [from, to): [*first, *first + n). */
static atn_idx rows_at(const atn_head *h, atn_idx from, atn_idx to, atn_idx *first)
{
    const atn_idx off = h->sight.offset;
    const atn_idx end = ATN_MIN(to - off, h->nq);

    *first = ATN_MAX(from - off, 0);
    return ATN_MAX(end - *first, 0);
}

static void split(const job *j, range r, range *left, range *right)
{
    const atn_idx half = (r.size + 1) / 2;

    *left = (range){r.at, ATN_MIN(r.real, half), half};
    *right = (range){r.at + half, ATN_MAX(r.real - half, 0),
                     j->published ? half : r.size - half};
}

/* The rectangle of the queries of `right` and the keys of `left`. */
static call rectangle(const job *j, range left, range right)
{
    call c = {.k0 = left.at, .nk = left.real, .k_size = left.size};

    c.nq = rows_at(j->h, right.at, right.at + right.real, &c.q0);
    c.q_size = j->published ? right.size : c.nq;
    return c;
}

/* Is all of the range exact? */
static bool is_leaf(const job *j, range r)
{
    range left, right;
    atn_idx first;

    if (r.size <= j->t->min || rows_at(j->h, r.at, r.at + r.real, &first) == 0)
        return true;
    split(j, r, &left, &right);
    return left.size <= j->t->min && right.size <= j->t->min &&
           rectangle(j, left, right).q_size < j->t->min;
}

/* Blocks of a call, and whether it samples. */
static atn_status shape_call(atn_ctx *cx, const job *j, call *c)
{
    const atn_idx b = ATN_MIN(j->t->block, c->k_size);
    const atn_idx blocks = (c->k_size + b - 1) / b;
    const atn_idx padded = (c->q_size + b - 1) / b * b;
    atn_status st = ATN_OK;

    if (j->published && padded % blocks != 0)
        ATN_FAIL(
            ATN_USAGE,
            "hyper: %lld queries, padded to %lld, do not divide into the %lld "
            "blocks of keys as the published code has them (give another block, or "
            "leave out --as-published)",
            (long long)c->q_size, (long long)padded, (long long)blocks);
    if (j->published)
        c->q_block = padded / blocks;
    else
        c->q_block = c->q_size == c->k_size ? b : (c->q_size + blocks - 1) / blocks;
    c->samples = j->t->samples > 0 && c->q_size > c->q_block && blocks > 1;
done:
    return st;
}

/* Halves of halves, level by level: every range but the leaves leaves a rectangle. */
static atn_status divide(atn_ctx *cx, job *j)
{
    const atn_idx n = j->h->nk, most = ATN_MIN(n, n / (j->t->min / 2 + 1) + 1);
    atn_status st = ATN_OK;

    ATN_TAKE(j->ranges, 4 * most + 4);
    ATN_TAKE(j->calls, 2 * most + 2);
    ATN_TAKE(j->boxes, 2 * most + 2);
    ATN_TAKE(j->leaves, 4 * most + 4);
    j->ranges[j->n_ranges++] = (range){0, n, n};
    for (atn_idx e = 0; e < j->n_ranges; e++) {
        const range r = j->ranges[e];
        range left, right;
        call c;

        if (is_leaf(j, r)) {
            if (r.real > 0) j->leaves[j->n_leaves++] = r.at;
            continue;
        }
        ATN_ASSERT(j->n_ranges + 2 <= 4 * most + 4);
        split(j, r, &left, &right);
        c = rectangle(j, left, right);
        if (c.nq > 0 && c.q_size >= j->t->min) {
            ATN_TRY(shape_call(cx, j, &c));
            j->calls[j->n_calls++] = c;
        } else if (c.nq > 0) {
            j->boxes[j->n_boxes++] = (atn_box){{right.at, right.at + right.real},
                                               {left.at, left.at + left.real}};
        }
        j->ranges[j->n_ranges++] = left;
        j->ranges[j->n_ranges++] = right;
    }
done:
    return st;
}

static atn_status find_calls(atn_ctx *cx, job *j)
{
    const atn_head *h = j->h;
    atn_status st = ATN_OK;

    if (h->sight.causal) {
        if (j->published && h->nq != h->nk)
            ATN_FAIL(
                ATN_USAGE,
                "hyper: the published code halves queries and keys alike, and there "
                "are %lld queries of %lld keys (give all queries, or leave out "
                "--as-published)",
                (long long)h->nq, (long long)h->nk);
        ATN_TRY(divide(cx, j));
    } else if (h->nq >= j->t->min) {
        ATN_TAKE(j->calls, 1);
        j->calls[j->n_calls++] =
            (call){.nq = h->nq, .q_size = h->nq, .nk = h->nk, .k_size = h->nk};
        ATN_TRY(shape_call(cx, j, &j->calls[0]));
    }
    for (atn_idx c = 0; c < j->n_calls; c++) j->drawn += j->calls[c].samples;
done:
    return st;
}

/* ---- what is drawn ---- */

/* Slots of every call that samples; those of a file may be out of its range. */
static atn_status draw_slots(atn_ctx *cx, const atn_input *in, job *j)
{
    const atn_idx m = j->t->samples;
    atn_rng r = atn_rng_stream(in->seed, "hyper/samples", j->h->layer, j->h->head);
    atn_draw what = {"samples", "hyper/samples", j->h->layer, j->h->head, j->drawn, m};
    atn_idx count = 0, at = 0, most = 1;
    atn_status st = ATN_OK;
    int32_t *slots = NULL;

    if (j->drawn == 0) return ATN_OK;
    if (!atn_mul(j->drawn, m, &count))
        ATN_FAIL(ATN_MEMORY, "hyper: %lld x %lld samples are too many",
                 (long long)j->drawn, (long long)m);
    ATN_TRY(atn_draws_need(cx, in->draws, &what));
    ATN_TAKE(slots, count);
    for (atn_idx c = 0; c < j->n_calls; c++) {
        if (!j->calls[c].samples) continue;
        most = ATN_MAX(most, j->calls[c].k_size);
        for (atn_idx e = 0; e < m; e++)
            slots[at++] = (int32_t)atn_rng_below(&r, j->calls[c].k_size);
    }
    ATN_TRY(atn_draw_given_counts(cx, in->draws, &what, most, slots));
    at = 0;
    for (atn_idx c = 0; c < j->n_calls; c++)
        for (atn_idx e = 0; j->calls[c].samples && e < m; e++, at++)
            if (slots[at] >= j->calls[c].k_size)
                ATN_FAIL(
                    ATN_DATA,
                    "hyper: sample %lld of row %lld of \"samples\" is %d, and that "
                    "call has %lld keys (give draws of a run with the same length "
                    "and parameters)",
                    (long long)e, (long long)(at / m), slots[at],
                    (long long)j->calls[c].k_size);
    j->slots = slots;
done:
    return st;
}

/* ---- the hash ---- */

static atn_status hash_all(atn_ctx *cx, const atn_input *in, job *j)
{
    const atn_head *h = j->h;
    const atn_idx n = ATN_MAX(h->nq, h->nk) + 64; /* and the rows of zeros */
    atn_status st = ATN_OK;

    ATN_TRY(atn_plane_hash_make(cx, in, h, "hyper/projections", j->t->projections,
                                j->published || j->t->order == ORDER_TABLE, &j->hash));
    ATN_TAKE(j->label, n);
    ATN_TAKE(j->q, n);
    ATN_TAKE(j->k, n);
    ATN_TAKE(j->count, n);
    ATN_TAKE(j->unique, n);
    memset(j->count, 0, (size_t)n * sizeof *j->count);
done:
    return st;
}

/* ---- groups ---- */

/* Sorts both sides of a call. A row of zeros hashes to 0. */
static atn_status sort_call(atn_ctx *cx, job *j, const call *c)
{
    atn_status st = ATN_OK;

    memset(j->label, 0, (size_t)c->q_size * sizeof *j->label);
    memcpy(j->label, j->hash.q + c->q0, (size_t)c->nq * sizeof *j->label);
    ATN_TRY(atn_label_order(cx, j->label, c->q_size, j->q));
    ATN_TRY(atn_label_order(cx, j->hash.k + c->k0, c->nk, j->k));
    for (atn_idx e = 0; e < c->nk; e++) j->k[e] += (int32_t)c->k0;
    j->moved += 2 * (double)(c->q_size + c->nk);
done:
    return st;
}

/* The slots of a call, each once, ascending; how often is left in count. */
static atn_idx gather_slots(job *j, const call *c, const int32_t *slots)
{
    atn_idx n = 0;

    for (atn_idx e = 0; c->samples && e < j->t->samples; e++) j->count[slots[e]]++;
    for (atn_idx s = 0; c->samples && s < c->k_size; s++)
        if (j->count[s] > 0) j->unique[n++] = (int32_t)s;
    return n;
}

/* Keys of block t: its own, what pads it, and the n samples. */
static atn_status block_keys(atn_ctx *cx, job *j, const call *c, atn_idx t, atn_idx n,
                             atn_grouping *to)
{
    const atn_idx b = ATN_MIN(j->t->block, c->k_size), first = t * b;
    const atn_idx end = ATN_MIN(first + b, c->nk), pads = first + j->t->block - end;
    const double each = (double)c->k_size / (double)j->t->samples;
    const int32_t zero = (int32_t)j->h->nk;
    atn_status st = ATN_OK;

    ATN_TRY(atn_grouping_keys(cx, to, j->k + first, end - first, 0));
    if (j->published && pads > 0) {
        ATN_TRY(atn_grouping_keys(cx, to, &zero, 1, log((double)pads)));
        j->pads = true;
    }
    for (atn_idx e = 0; e < n; e++) {
        const int32_t s = j->unique[e];

        if (s / b == t) continue;
        ATN_TRY(atn_grouping_keys(cx, to, &j->k[s], 1, log(j->count[s] * each)));
    }
done:
    return st;
}

static atn_status group_call(atn_ctx *cx, job *j, const call *c, const int32_t *slots,
                             atn_grouping *to)
{
    atn_status st = ATN_OK;
    atn_idx unique;

    ATN_TRY(sort_call(cx, j, c));
    unique = gather_slots(j, c, slots);
    for (atn_idx t = 0; t * c->q_block < c->q_size; t++) {
        const atn_idx end = ATN_MIN((t + 1) * c->q_block, c->q_size);
        atn_idx rows = 0;

        for (atn_idx e = t * c->q_block; e < end; e++)
            if (j->q[e] < c->nq) j->label[rows++] = (int32_t)c->q0 + j->q[e];
        if (rows == 0) continue;
        ATN_TRY(atn_grouping_begin(cx, to));
        ATN_TRY(atn_grouping_rows(cx, to, j->label, rows));
        ATN_TRY(block_keys(cx, j, c, t, unique, to));
    }
    for (atn_idx e = 0; e < unique; e++) j->count[j->unique[e]] = 0;
done:
    return st;
}

static atn_status group_all(atn_ctx *cx, job *j, atn_branch *to)
{
    const int32_t *slots = j->slots;
    double groups = 0, rows = 0, keys = 0;
    atn_status st = ATN_OK;
    atn_grouping g = {0};

    for (atn_idx e = 0; e < j->n_calls; e++) {
        const call *c = &j->calls[e];
        const double blocks = ceil((double)c->q_size / (double)c->q_block);

        groups += blocks;
        rows += (double)c->nq;
        keys += (double)c->nk;
        keys += blocks * (1 + (double)ATN_MIN(c->samples ? j->t->samples : 0, c->nk));
    }
    ATN_TRY(atn_grouping_open(
        cx, &(atn_grouping_size){(atn_idx)groups, (atn_idx)rows, (atn_idx)keys, true},
        "hyper: blocks and samples", &g));
    for (atn_idx e = 0; e < j->n_calls; e++) {
        ATN_TRY(group_call(cx, j, &j->calls[e], slots, &g));
        if (j->calls[e].samples) slots += j->t->samples;
    }
    atn_grouping_finish(cx, &g, to);
done:
    atn_grouping_release(cx, &g);
    return st;
}

/* ---- the plan ---- */

/* What is exact: segments on the diagonal, and boxes. */
static atn_status plan_exact(atn_ctx *cx, job *j, atn_branch *to)
{
    const atn_frame f = atn_head_frame(j->h, 1);
    atn_status st = ATN_OK;

    if (j->n_leaves > 0) {
        qsort(j->leaves, (size_t)j->n_leaves, sizeof *j->leaves, atn_by_idx);
        ATN_TRY(atn_pattern_segments(cx, &f, j->leaves, j->n_leaves,
                                     &to->part[to->parts].pattern));
        to->parts++;
    }
    if (j->n_boxes > 0) {
        ATN_TRY(atn_pattern_boxes(cx, &f, j->boxes, j->n_boxes,
                                  &to->part[to->parts].pattern));
        to->parts++;
    }
done:
    return st;
}

/* The virtual key that pads: all zeros, for no key. */
static atn_status plan_pad(atn_ctx *cx, const atn_head *h, atn_plan *out)
{
    atn_status st = ATN_OK;

    out->virtuals = 1;
    ATN_NEW(out->vk, h->k.cols);
    if (h->v.data) ATN_NEW(out->vv, h->v.cols);
    ATN_NEW(out->expand_ptr, 2);
    ATN_NEW(out->expand, 1);
    ATN_NEW(out->expand_weight, 1);
done:
    return st;
}

static atn_status plan(atn_ctx *cx, const atn_input *in, const void *params_,
                       atn_idx first, atn_idx n, atn_plan *out)
{
    const atn_head *h = &in->head[first];
    const atn_arena_mark mark = atn_arena_save(cx);
    const double tokens = (double)(h->nq + h->nk), d = (double)h->q.cols;
    job j = {.h = h, .t = params_, .published = in->as_published};
    atn_branch *b = &out->branch[0];
    atn_status st = ATN_OK;

    (void)n;
    out->branches = 1;
    ATN_TRY(find_calls(cx, &j));
    if (j.n_calls == 0) {
        atn_plan_all(out);
        goto done;
    }
    ATN_TRY(draw_slots(cx, in, &j));
    ATN_TRY(hash_all(cx, in, &j));
    ATN_TRY(plan_exact(cx, &j, b));
    ATN_TRY(group_all(cx, &j, b));
    if (j.pads) ATN_TRY(plan_pad(cx, h, out));
    out->index_flops = 2 * tokens * d * (double)j.t->projections;
    out->index_bytes = ATN_COST_BYTES * (tokens * (d + 1) + j.moved);
done:
    atn_arena_rewind(cx, mark);
    return st;
}

/* Groups, of as many levels as the halves have: blocks, each with its keys and samples;
 * hashes; and of a causal head what is exact. */
static double bytes(const atn_ctx *cx, const void *params_, const atn_input *in)
{
    const hyper *t = params_;
    const atn_head *h = &in->head[0];
    const double nq = (double)h->nq, nk = (double)h->nk;
    const double halves = 2 * nk / (double)t->min + 2;
    const double levels =
        h->sight.causal ? ATN_MAX(log2(nk / (double)t->min) + 2, 0) : 2;
    /* a level has half of the rows and half of the keys */
    const double blocks = levels / 2 * (nk / (double)t->block + 2) + halves;
    const double exact = sizeof(call) + sizeof(range) + 3 * sizeof(atn_box) +
                         3 * sizeof(atn_slice) + 6 * sizeof(atn_idx);
    const double keys =
        levels / 2 * nk + blocks * (1 + ATN_MIN((double)t->samples, nk));

    if (h->sight.causal && h->nk <= t->min) return 0;
    return 24 * blocks + 4 * levels / 2 * nq + 8 * keys + 40 * (nq + nk) +
           (h->sight.causal ? 2 * halves * exact : 0) +
           4 * halves * (double)ATN_MIN(t->samples, h->nk) +
           8 * (double)h->q.cols * (double)t->projections +
           cx->threads * 4.0 * ATN_HASH_ROWS * (double)(h->q.cols + 32);
}

/* Rows of a rectangle are sorted together, and there is one where the first is. */
static unsigned looks(const void *params_, const atn_input *in)
{
    const hyper *t = params_;
    const atn_head *h = &in->head[0];
    const atn_idx below = in->as_published ? (h->nk + 1) / 2 : h->nk / 2;

    return h->nk > t->min && ATN_MIN(h->nq, below) >= t->min ? ATN_LOOKS_QUERIES : 0;
}

const atn_method atn_method_hyper = {
    .id = "hyper",
    .title = "HyperAttention",
    .family = "hash",
    .source = "Han et al., HyperAttention, arXiv 2310.05869; insuhan/hyper-attn",
    .text = "the block of keys that hash alike, and uniform samples of the others",
    .reads = ATN_READS_QK | ATN_READS_DRAWS,
    .sides = ATN_BOTH_WAYS,
    .publishes = true,
    .params = params,
    .params_size = sizeof(hyper),
    .exact = "block=#",
    .budget = "samples",
    .looks = looks,
    .dense = "texts up to `min` tokens stay dense (give a smaller min, and block)",
    .plan = plan,
    .bytes = bytes,
};
