/* approx/quest.c -- Quest: the pages of keys whose largest product with the query could
 * be largest.
 *
 * Math    pages of B keys from position 0 on, of each page the smallest m and the
 *         largest M of every channel over the keys that the row sees. u_P = sum_c
 *         max(q_c m_c, q_c M_c) >= q . k of every key of the page. Kept are the
 *         max(min_pages, floor(k / B)) pages of largest u, k the budget in keys.
 *         Weights A^S. The first `dense` layers are dense.
 * Oracle  B = 1: the k keys of largest q . k; k at least the keys and a page: dense.
 *         First fixture of the cards, B = 2, two pages, row 7: bounds 3, 1, 3, 1,
 *         S = {0, 1, 4, 5}, m = .880797.
 * Source  Tang et al., Quest, arXiv 2406.10774; mit-han-lab/Quest,
 *         evaluation/quest_attention.py. As published the budget is cut at the number
 *         of keys before it is divided: a row of fewer keys loses its short page.
 * Cost    4 d flop a query and page; memory O(n (d / B + k / B)).
 * Limits  a method of decoding: a capture of all rows is replayed row by row as if
 *         decoded. Neither the newest page nor the first is forced.
 *
 * With q+ and q- the positive and negative parts, u = (q+, q-) . (M, m): a product of
 * vectors of 2 d numbers, one of the two terms of a channel being 0. Pages that a row
 * sees in part, the last one and under a sliding window the first, have bounds of their
 * own.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "approx/quest.h"

#include <math.h>
#include <string.h>

#include "approx/generate.h"
#include "approx/replay.h"
#include "core/kernels/kernels.h"
#include "core/rows.h"

typedef struct quest {
    int64_t k, block, min_pages, dense, prompt;
    bool dense_prompt;
} quest;

static const atn_param params[] = {
    ATN_PARAM_I64(quest, k, 1024, 1, ATN_EXTENT_MOST,
                  "keys a row may keep, in whole pages"),
    ATN_PARAM_I64(quest, block, 16, 1, ATN_EXTENT_MOST, "keys of a page"),
    ATN_PARAM_I64(quest, min_pages, 3, 0, ATN_EXTENT_MOST,
                  "pages kept at least, whatever the budget"),
    ATN_PARAM_I64(quest, dense, 2, 0, ATN_EXTENT_MOST, "first layers that stay dense"),
    ATN_PARAM_I64(quest, prompt, 0, 0, ATN_EXTENT_MOST,
                  "tokens of the prompt, 0 = as the capture says"),
    ATN_PARAM_BOOL(quest, dense_prompt, 0, "rows of the prompt stay dense"),
    ATN_PARAM_END,
};

/* ---- bounds ---- */

typedef struct pages {
    const atn_head *h;
    atn_idx block;
    atn_scored of; /* [M_0 m_0 M_1 m_1 ..] of whole pages */
} pages;

/* Largest and smallest of every channel so far, of keys [from, to). */
typedef struct range {
    atn_idx from, to;
    float *x; /* [2 d] as above */
} range;

static void extend(const atn_head *h, range *r, atn_idx to)
{
    for (; r->to < to; r->to++) {
        const float *k = atn_crow(h->k, r->to);

        for (atn_idx c = 0; c < h->k.cols; c++) {
            const bool none = r->to == r->from;

            if (none || k[c] > r->x[2 * c]) r->x[2 * c] = k[c];
            if (none || k[c] < r->x[2 * c + 1]) r->x[2 * c + 1] = k[c];
        }
    }
}

static atn_status open_pages(atn_ctx *cx, const atn_head *h, atn_idx block, pages *out)
{
    const atn_idx n = (h->nk - 1) / block + 1, width = 2 * h->k.cols;
    atn_status st = ATN_OK;
    float *x = NULL;

    *out = (pages){.h = h, .block = block};
    ATN_TAKE(x, n * width);
    for (atn_idx p = 0; p < n; p++) {
        range r = {p * block, p * block, x + p * width};

        extend(h, &r, ATN_MIN(r.from + block, h->nk));
    }
    ATN_TRY(atn_scored_pack(cx, (atn_cmat){x, n, width, width}, &out->of));
done:
    return st;
}

/* The pages of a row: [first, end), and what it sees of page p. */
typedef struct page_row {
    atn_block_row at;
    atn_idx first, end;
} page_row;

static page_row page_row_of(const pages *p, atn_idx i)
{
    page_row r = {.at = atn_block_row_of(p->h, i, p->block)};

    if (r.at.lo >= r.at.hi) return r;
    r.first = r.at.first;
    r.end = (r.at.hi - 1) / p->block + 1;
    return r;
}

static atn_span seen_of(const pages *p, const page_row *r, atn_idx page)
{
    return (atn_span){ATN_MAX(page * p->block, r->at.lo),
                      ATN_MIN((page + 1) * p->block, r->at.hi)};
}

static atn_span pages_of(const void *state, atn_idx i)
{
    const page_row r = page_row_of(state, i);

    return (atn_span){r.first, r.end};
}

/* Some rows and their bounds on whole pages from lo on. */
typedef struct tile {
    const pages *p;
    atn_idx from, lo;
    float *q; /* [rows, 2 d]: q+ and q- by turns */
    atn_mat u;
    range first, last; /* of pages seen in part */
    float *panel;      /* [2 d][16], the vector of such a page in lane 0 */
} tile;

static void split_signs(const atn_head *h, atn_idx from, atn_idx to, float *out)
{
    for (atn_idx i = from; i < to; i++)
        for (atn_idx c = 0; c < h->q.cols; c++, out += 2) {
            const float q = atn_crow(h->q, i)[c];

            out[0] = q > 0 ? q : 0;
            out[1] = q < 0 ? q : 0;
        }
}

static atn_status open_tile(atn_ctx *cx, const pages *p, const atn_row_tile *at,
                            tile *t)
{
    const atn_idx rows = at->to - at->from, width = 2 * p->h->q.cols;
    atn_status st = ATN_OK;

    *t = (tile){.p = p, .from = at->from, .lo = at->lo};
    ATN_TAKE(t->q, rows * width);
    ATN_TAKE(t->first.x, width);
    ATN_TAKE(t->last.x, width);
    ATN_TAKE(t->panel, width * ATN_PANEL);
    memset(t->panel, 0, (size_t)(width * ATN_PANEL) * sizeof *t->panel);
    split_signs(p->h, at->from, at->to, t->q);
    ATN_TRY(atn_scored_tile(cx, &p->of, (atn_cmat){t->q, rows, width, width}, at->lo,
                            at->hi, &t->u));
done:
    return st;
}

/* The bound on keys [s.lo, s.hi): r goes on where it began there. */
static float part_bound(tile *t, atn_idx i, atn_span s, range *r)
{
    const atn_idx width = t->p->of.d;
    float out[ATN_PANEL];

    if (r->from != s.lo || r->to > s.hi) {
        r->from = r->to = s.lo;
    }
    extend(t->p->h, r, s.hi);
    for (atn_idx c = 0; c < width; c++) t->panel[c * ATN_PANEL] = r->x[c];
    atn_panels_dot(t->q + (i - t->from) * width, width, 1, t->panel, 1, width, out,
                   ATN_PANEL);
    return out[0];
}

/* u [end - first] of row i of the tile; rows go upwards. */
static void row_bounds(tile *t, atn_idx i, const page_row *r, float *u)
{
    const atn_idx n = r->end - r->first, block = t->p->block;
    const atn_idx ends[] = {r->first, r->end - 1};

    if (n <= 0) return;
    memcpy(u, atn_row(t->u, i - t->from) + (r->first - t->lo), (size_t)n * sizeof *u);
    for (int e = 0; e < (n > 1 ? 2 : 1); e++) {
        const atn_span s = seen_of(t->p, r, ends[e]);
        const atn_idx all = ATN_MIN((ends[e] + 1) * block, t->p->h->nk);

        if (s.lo > ends[e] * block || s.hi < all)
            u[ends[e] - r->first] = part_bound(t, i, s, e ? &t->last : &t->first);
    }
}

atn_status atn_quest_bounds(atn_ctx *cx, const atn_head *h, atn_idx block, atn_idx i,
                            float *u, atn_span *seen)
{
    const atn_arena_mark mark = atn_arena_save(cx);
    atn_status st = ATN_OK;
    page_row r;
    pages p;
    tile t;

    ATN_TRY(open_pages(cx, h, block, &p));
    r = page_row_of(&p, i);
    *seen = pages_of(&p, i);
    ATN_TRY(open_tile(cx, &p, &(atn_row_tile){i, i + 1, seen->lo, seen->hi}, &t));
    row_bounds(&t, i, &r, u);
done:
    atn_arena_rewind(cx, mark);
    return st;
}

/* ---- the choice ---- */

typedef struct work {
    const quest *t;
    pages pages;
    atn_idx prompt;    /* rows at lower positions are dense */
    bool as_published; /* the budget is cut at the keys of the row */
    atn_chosen *chosen;
} work;

static atn_span work_pages(const void *state, atn_idx i)
{
    return pages_of(&((const work *)state)->pages, i);
}

static atn_status choose_row(atn_ctx *cx, const work *w, tile *t, atn_idx i,
                             atn_tally *tally)
{
    const page_row r = page_row_of(&w->pages, i);
    const atn_idx n = r.end - r.first, keys = r.at.hi - r.at.lo;
    const atn_idx budget = w->as_published ? ATN_MIN(w->t->k, keys) : w->t->k;
    const atn_arena_mark mark = atn_arena_save(cx);
    atn_status st = ATN_OK;
    float *u = NULL, *scratch = NULL;
    atn_idx *best = NULL, kept;

    if (n <= 0) goto done;
    if (r.at.at < w->prompt) {
        ATN_TRY(
            atn_chosen_put(cx, w->chosen, r.at.at, &(atn_span){r.at.lo, r.at.hi}, 1));
        goto done;
    }
    ATN_TAKE(u, n);
    ATN_TAKE(scratch, n);
    ATN_TAKE(best, n);
    row_bounds(t, i, &r, u);
    kept = atn_best_of(u, n, ATN_MAX(w->t->min_pages, budget / w->t->block), best,
                       scratch, &tally->ties);
    tally->scored += n;
    for (atn_idx p = 0; p < kept; p++) best[p] += r.first;
    ATN_TRY(atn_block_row_put(cx, w->chosen, &r.at, w->t->block, best, kept));
done:
    atn_arena_rewind(cx, mark);
    return st;
}

static atn_status choose_tile(atn_ctx *cx, void *state, const atn_row_tile *at,
                              atn_tally *tally)
{
    const work *w = state;
    atn_status st = ATN_OK;
    tile t;

    ATN_TRY(open_tile(cx, &w->pages, at, &t));
    for (atn_idx i = at->from; i < at->to; i++)
        ATN_TRY(choose_row(cx, w, &t, i, tally));
done:
    return st;
}

/* Largest and smallest of all keys, written once; every query reads those of every page
 * that it scores, as a decoder does. */
static void set_cost(const atn_head *h, atn_idx n, const atn_tally *t, atn_plan *out)
{
    const double d = (double)h->k.cols, keys = (double)h->nk * d;
    const double scores = (double)t->scored;

    out->index_flops = 2 * keys + 4 * d * scores;
    out->index_bytes = ATN_COST_BYTES *
                       (keys + 2 * d * (double)n + (double)h->nq * d + 2 * d * scores);
    out->ties = t->ties;
}

static atn_status choose(atn_ctx *cx, const atn_input *in, const quest *q,
                         const atn_head *h, atn_plan *out)
{
    const atn_frame f = atn_head_frame(h, 1);
    work w = {.t = q, .as_published = in->as_published};
    atn_scoring s = {"quest", h->nq, 0, work_pages, choose_tile, &w};
    atn_status st = ATN_OK;
    atn_pattern *p = NULL;
    atn_tally all;

    if (q->dense_prompt) w.prompt = atn_prompt_known(in, q->prompt);
    ATN_TRY(open_pages(cx, h, q->block, &w.pages));
    s.vectors = w.pages.of.n;
    ATN_TRY(atn_chosen_open(cx, &f, 1, &w.chosen));
    ATN_TRY(atn_scored_run(cx, &s, &all));
    st = atn_chosen_finish(cx, w.chosen, &p);
    w.chosen = NULL;
    ATN_TRY(st);
    atn_plan_mask(out, p, 0, 1, 1);
    set_cost(h, w.pages.of.n, &all, out);
done:
    atn_chosen_abandon(cx, w.chosen);
    return st;
}

static atn_status plan(atn_ctx *cx, const atn_input *in, const void *values,
                       atn_idx first, atn_idx n, atn_plan *out)
{
    const quest *q = values;
    const atn_head *h = &in->head[first];
    atn_status st = ATN_OK;

    ATN_ASSERT(n == 1);
    if (q->dense_prompt && atn_prompt_known(in, q->prompt) == 0)
        ATN_FAIL(ATN_DATA,
                 "quest: the capture does not say where the prompt ends, which shall "
                 "stay dense (give quest:prompt=N)");
    if (h->layer < q->dense) {
        atn_plan_all(out);
    } else {
        ATN_TRY(choose(cx, in, q, h, out));
    }
    out->tile_rows = 1;
    out->tile_keys = ATN_MIN(q->block, h->nk);
done:
    return st;
}

static double bytes(const atn_ctx *cx, const void *params_, const atn_input *in)
{
    const quest *q = params_;
    const atn_head *h = &in->head[0];
    const atn_idx blocks = (h->nk - 1) / q->block + 1;
    const double n = (double)blocks;
    const double most = ATN_MAX((double)q->min_pages, (double)q->k / (double)q->block);

    /* two bounds a page, as they are and packed; tiles of two scores */
    return atn_chosen_bytes(cx, h, 1, 1, most + 1) +
           2 * atn_scored_bytes(cx, blocks, h->k.cols) +
           8 * (n + ATN_PANEL) * (double)h->k.cols + cx->threads * 40 * n +
           sizeof(atn_tally) * ((double)h->nq / 8 + 1);
}

const atn_method atn_method_quest = {
    .id = "quest",
    .title = "Quest: pages by a bound on their scores",
    .family = "block",
    .source = "Tang et al. 2024, arXiv 2406.10774; mit-han-lab/Quest",
    .text =
        "the pages of keys that could score highest, by the range of their channels",
    .reads = ATN_READS_QK,
    .sides = ATN_BOTH_WAYS,
    .publishes = true,
    .params = params,
    .params_size = sizeof(quest),
    .budget = "k",
    .plan = plan,
    .bytes = bytes,
};
