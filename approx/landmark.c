/* approx/landmark.c -- Landmark attention: a token of each block stands for it in the
 * softmax, and the block's own softmax shares out what it gets.
 *
 * Math    a landmark ends its block, tokens after the last one are a block without.
 *         Of the query at t in block b: p_0 = softmax over the tokens of b up to t, no
 *         landmark among them, and the past landmarks; p_c = softmax over the ordinary
 *         tokens of block c. Weights: p_0(j) in its own block, 0 for landmarks,
 *         p_0(landmark c) p_c(j) for j of a past block c. Retrieval: of the past
 *         landmarks the k of largest logit, the others leave p_0.
 * Oracle  equal logits, a landmark every third token: row 7 is (1/8, 1/8, 0, 1/8, 1/8,
 *         0, 1/4, 1/4). Logits of landmarks that are the log-sum-exp of their blocks:
 *         dense attention over ordinary tokens. First fixture of the cards, every 4th,
 *         row 6: o = 4.707939.
 * Source  Mohtashami, Jaggi, Landmark Attention, arXiv 2305.16300;
 *         epfml/landmark-attention, lm_benchmark/models/landmark.py and
 *         llama/llama_mem.py.
 * Cost    2 d flop a query and past landmark; memory O(n k) for what is kept.
 * Limits  keys keep their positions: the squeezed ones of the reference's cache are not
 *         here. A past block without an ordinary token in sight takes its share of p_0
 *         with it: the row sums to less than 1.
 *
 * A block is a group with the logit of its landmark; what is lost goes to a virtual key
 * that stands for no token.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#include <float.h>
#include <math.h>
#include <string.h>

#include "approx/blocks.h"
#include "approx/generate.h"
#include "core/rows.h"

typedef struct landmark {
    int64_t k, every;
} landmark;

static const atn_param params[] = {
    ATN_PARAM_I64(landmark, k, 5, 1, ATN_EXTENT_MOST,
                  "past blocks read, of the best landmarks"),
    ATN_PARAM_I64(landmark, every, 0, 0, ATN_EXTENT_MOST,
                  "every which token is a landmark, 0 = as the capture says"),
    ATN_PARAM_END,
};

typedef struct work {
    const atn_head *h;
    const landmark *m;
    const atn_idx *at; /* [n] landmarks, ascending */
    atn_idx n;
    atn_scored keys; /* of landmarks */
    int64_t *ptr;    /* [nq + 1] the past blocks that each row keeps .. */
    int32_t *kept;   /* .. ascending */
    atn_chosen *own; /* tokens of the own blocks */
    atn_tally tally;
} work;

/* ---- rows ---- */

/* Landmarks at positions below t. */
static atn_idx landmarks_below(const work *w, atn_idx t)
{
    atn_idx lo = 0, hi = w->n;

    while (lo < hi) {
        const atn_idx mid = lo + (hi - lo) / 2;

        if (w->at[mid] < t)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo;
}

static atn_idx block_begin(const work *w, atn_idx block)
{
    return block > 0 ? w->at[block - 1] + 1 : 0;
}

/* Past blocks [first, own) with a landmark in sight, and the tokens of the own one. */
typedef struct mark_row {
    atn_idx first, own;
    atn_span section;
} mark_row;

static mark_row mark_row_of(const work *w, atn_idx i)
{
    const atn_block_row r = atn_block_row_of(w->h, i, 1);
    mark_row m = {.own = 0};

    if (r.lo >= r.hi) return m;
    m.own = landmarks_below(w, r.at);
    m.first = ATN_MIN(landmarks_below(w, r.lo), m.own);
    m.section.lo = ATN_MAX(block_begin(w, m.own), r.lo);
    m.section.hi = m.own < w->n ? ATN_MIN(r.hi, w->at[m.own]) : r.hi;
    return m;
}

/* ---- retrieval ---- */

/* A number that can be ranked: what has overflowed fails when the plan is applied. */
static float ranked(double x)
{
    if (isnan(x)) return -FLT_MAX;
    return (float)ATN_MAX(ATN_MIN(x, (double)FLT_MAX), -(double)FLT_MAX);
}

/* The landmarks that row i keeps, by logit; z [0] is that of landmark lo. */
static atn_status retrieve(atn_ctx *cx, const work *w, atn_idx i, const float *z,
                           atn_idx lo, atn_tally *tally)
{
    const atn_head *h = w->h;
    const mark_row r = mark_row_of(w, i);
    const atn_idx n = r.own - r.first, at = atn_sight_at(&h->sight, i);
    const atn_arena_mark mark = atn_arena_save(cx);
    atn_status st = ATN_OK;
    float *score = NULL, *scratch = NULL;
    atn_idx *best = NULL, kept;

    ATN_TAKE(score, n);
    ATN_TAKE(scratch, n);
    ATN_TAKE(best, n);
    for (atn_idx c = 0; c < n; c++) /* a soft-cap keeps the order */
        score[c] = ranked(h->scale * (double)z[r.first - lo + c] +
                          atn_head_bias(h, w->at[r.first + c], at));
    kept = atn_best_of(score, n, w->m->k, best, scratch, &tally->ties);
    tally->scored += n;
    for (atn_idx c = 0; c < kept; c++)
        w->kept[w->ptr[i] + c] = (int32_t)(r.first + best[c]);
    if (r.section.lo < r.section.hi)
        ATN_TRY(atn_chosen_put(cx, w->own, at, &r.section, 1));
done:
    atn_arena_rewind(cx, mark);
    return st;
}

static atn_span past_landmarks(const void *state, atn_idx i)
{
    const mark_row r = mark_row_of(state, i);

    return (atn_span){r.first, r.own};
}

static atn_status retrieve_tile(atn_ctx *cx, void *state, const atn_row_tile *t,
                                atn_tally *tally)
{
    const work *w = state;
    atn_status st = ATN_OK;
    atn_mat z;

    ATN_TRY(atn_scored_queries(cx, &w->keys, w->h, t, &z));
    for (atn_idx i = t->from; i < t->to; i++)
        ATN_TRY(retrieve(cx, w, i, atn_row(z, i - t->from), t->lo, tally));
done:
    return st;
}

/* ---- the plan ---- */

/* Whether row i sees an ordinary token of past block b. */
static bool has_token(const work *w, atn_idx i, atn_idx b)
{
    atn_idx lo, hi;

    atn_sight_row(&w->h->sight, i, &lo, &hi);
    return ATN_MAX(block_begin(w, b), lo) < w->at[b];
}

/* Rows of groups 2 b, of block b, and 2 b + 1, of what is lost of it, into row (NULL:
 * counted into at [2 n]). */
static void visit_rows(const work *w, int64_t *at, int32_t *row)
{
    for (atn_idx i = 0; i < w->h->nq; i++)
        for (int64_t e = w->ptr[i]; e < w->ptr[i + 1]; e++) {
            const atn_idx b = w->kept[e];
            const atn_idx g = 2 * b + !has_token(w, i, b);

            if (row) row[at[g]] = (int32_t)i;
            at[g]++;
        }
}

/* Keys and logit of a group that follows k others. */
static void fill_group(const work *w, atn_idx which, atn_idx k, atn_groups *g)
{
    const atn_idx b = which / 2, from = block_begin(w, b);
    int64_t e = g->key_ptr[k];

    g->logit[k] = (int32_t)w->at[b];
    if (which % 2)
        g->key[e++] = (int32_t)w->h->nk; /* the virtual key */
    else
        for (atn_idx j = from; j < w->at[b]; j++) g->key[e++] = (int32_t)j;
    g->key_ptr[k + 1] = e;
}

/* The groups that have rows; *lost of them give their weight to nothing. */
static atn_status make_groups(atn_ctx *cx, const work *w, atn_groups *g, atn_idx *lost)
{
    const atn_arena_mark mark = atn_arena_save(cx);
    atn_status st = ATN_OK;
    int64_t *at = NULL, rows = 0;
    atn_idx k = 0;

    *lost = 0;
    ATN_TAKE(at, 2 * w->n);
    memset(at, 0, (size_t)(2 * w->n) * sizeof *at);
    visit_rows(w, at, NULL);
    for (atn_idx b = 0; b < 2 * w->n; b++) {
        g->n += at[b] > 0;
        *lost += at[b] > 0 && b % 2;
    }
    ATN_NEW(g->row_ptr, g->n + 1);
    ATN_NEW(g->key_ptr, g->n + 1);
    ATN_NEW(g->logit, g->n);
    ATN_NEW(g->row, w->ptr[w->h->nq]);
    ATN_NEW(g->key, w->h->nk + *lost);
    for (atn_idx b = 0; b < 2 * w->n; b++) {
        const int64_t count = at[b];

        at[b] = rows;
        rows += count;
        if (count == 0) continue;
        fill_group(w, b, k, g);
        g->row_ptr[++k] = rows;
    }
    visit_rows(w, at, g->row);
done:
    atn_arena_rewind(cx, mark);
    return st;
}

/* A virtual key that stands for nothing. */
static atn_status make_nothing(atn_ctx *cx, const atn_head *h, atn_plan *out)
{
    atn_status st = ATN_OK;

    out->virtuals = 1;
    ATN_NEW(out->vk, h->k.cols);
    if (h->v.data) ATN_NEW(out->vv, h->v.cols);
    ATN_NEW(out->expand_ptr, 2);
    ATN_NEW(out->expand, 0);
    ATN_NEW(out->expand_weight, 0);
done:
    return st;
}

static atn_status make_plan(atn_ctx *cx, const work *w, atn_pattern *own, atn_plan *out)
{
    const double d = (double)w->h->k.cols;
    const atn_tally all = w->tally;
    atn_status st = ATN_OK;
    atn_idx lost = 0;

    atn_plan_mask(out, own, 0, 1, 1);
    if (w->ptr[w->h->nq] > 0) {
        out->branch[0].parts = 2;
        ATN_TRY(make_groups(cx, w, &out->branch[0].part[1].groups, &lost));
        if (lost > 0) ATN_TRY(make_nothing(cx, w->h, out));
    }
    out->index_flops = 2 * d * (double)all.scored;
    out->index_bytes =
        ATN_COST_BYTES * (d * (double)(w->n + w->h->nq) + 2 * (double)all.scored);
    out->ties = all.ties;
done:
    return st;
}

/* Where the landmarks are, in the arena. */
static atn_status find_landmarks(atn_ctx *cx, const atn_input *in, const atn_head *h,
                                 const landmark *m, work *w)
{
    atn_status st = ATN_OK;
    atn_idx *at = NULL;

    if (m->every == 0 && !in->role)
        ATN_FAIL(ATN_DATA,
                 "landmark: the capture names no landmarks (import --roles FILE, or "
                 "give landmark:every=N for every N-th token)");
    ATN_TAKE(at, m->every > 0 ? h->nk / m->every : h->nk);
    if (m->every > 0)
        for (w->n = 0; w->n < h->nk / m->every; w->n++)
            at[w->n] = (w->n + 1) * m->every - 1;
    else
        for (atn_idx j = 0; j < h->nk; j++)
            if (in->role[j] == ATN_ROLE_LANDMARK) at[w->n++] = j;
    w->at = at;
done:
    return st;
}

/* The keys of the landmarks, and room for what rows keep. */
static atn_status prepare(atn_ctx *cx, work *w)
{
    const atn_head *h = w->h;
    const atn_idx d = h->k.cols;
    atn_status st = ATN_OK;
    float *keys = NULL;

    ATN_TAKE(keys, w->n * d);
    for (atn_idx b = 0; b < w->n; b++)
        memcpy(keys + b * d, atn_crow(h->k, w->at[b]), (size_t)d * sizeof *keys);
    ATN_TRY(atn_scored_pack(cx, (atn_cmat){keys, w->n, d, d}, &w->keys));
    ATN_TAKE(w->ptr, h->nq + 1);
    w->ptr[0] = 0;
    for (atn_idx i = 0; i < h->nq; i++) {
        const mark_row r = mark_row_of(w, i);

        w->ptr[i + 1] = w->ptr[i] + ATN_MIN(r.own - r.first, w->m->k);
    }
    ATN_TAKE(w->kept, w->ptr[h->nq]);
done:
    return st;
}

static atn_status plan(atn_ctx *cx, const atn_input *in, const void *values,
                       atn_idx first, atn_idx n, atn_plan *out)
{
    const atn_head *h = &in->head[first];
    const atn_frame f = atn_head_frame(h, 1);
    work w = {.h = h, .m = values};
    atn_scoring s = {"landmark", h->nq, 0, past_landmarks, retrieve_tile, &w};
    atn_status st = ATN_OK;
    atn_pattern *own = NULL;

    ATN_ASSERT(n == 1);
    ATN_TRY(find_landmarks(cx, in, h, w.m, &w));
    ATN_TRY(prepare(cx, &w));
    ATN_TRY(atn_chosen_open(cx, &f, 1, &w.own));
    s.vectors = w.n;
    ATN_TRY(atn_scored_run(cx, &s, &w.tally));
    st = atn_chosen_finish(cx, w.own, &own);
    w.own = NULL;
    ATN_TRY(st);
    ATN_TRY(make_plan(cx, &w, own, out));
done:
    atn_chosen_abandon(cx, w.own);
    return st;
}

/* Landmarks, and the lists of what rows keep. */
static double bytes(const atn_ctx *cx, const void *values, const atn_input *in)
{
    const landmark *m = values;
    const atn_head *h = &in->head[0];
    double n = 0;

    if (m->every > 0) n = (double)(h->nk / m->every);
    for (atn_idx j = 0; m->every == 0 && in->role && j < h->nk; j++)
        n += in->role[j] == ATN_ROLE_LANDMARK;
    return atn_chosen_bytes(cx, h, 1, 1, 1) +
           (double)h->nq * (8 + 8 * ATN_MIN((double)m->k, n)) + 8 * (double)h->nk +
           n * (72 + 8 * (double)h->k.cols) +
           atn_scored_bytes(cx, (atn_idx)n, h->k.cols) + cx->threads * 24 * n;
}

const atn_method atn_method_landmark = {
    .id = "landmark",
    .title = "Landmark attention",
    .family = "block",
    .source = "Mohtashami, Jaggi 2023, arXiv 2305.16300; epfml/landmark-attention",
    .text = "its own block, and past blocks through the weight of their landmarks",
    .reads = ATN_READS_QK,
    .sides = ATN_CAUSAL,
    .params = params,
    .params_size = sizeof(landmark),
    .budget = "k",
    .dense = "a row without landmarks before it keeps all (import --roles FILE, or "
             "give every=N)",
    .plan = plan,
    .bytes = bytes,
};
