/* approx/draft.c -- DraftAttention: attention between cells of video frames, in low
 * resolution, says which pairs of cells are computed.
 *
 * Math    a cell is ph x pw tokens of a frame, Qd and Kd the means of the queries and
 *         keys of a cell, Ad = softmax(scale Qd Kd') over S cells. With r = 1 -
 *         sparsity and kd = int((1 - r) S^2), t is the kd-th smallest entry of Ad: cell
 *         a attends to cell b iff Ad_ab >= t. Tokens behind the video are text: they
 *         see all and all see them.
 * Oracle  kd = 0: dense. 33 frames of 48 x 80, 8 x 16: S^2 = 980100, kd = 882090, 98011
 *         pairs kept. Cells of 1 x 1: the largest entries of A. Golden rows in the
 *         tests.
 * Source  Shen et al., DraftAttention, arXiv 2505.14708, and its code.
 * Cost    2 S^2 d flop and 2 n d for the means. Memory S^2 floats, announced.
 * Limits  bidirectional, all tokens at once. A cell may be left without a pair: its
 *         rows see the text alone. Pairs that tie with t are kept, more than asked for.
 *         Of the logits the scale alone is in Ad, no bias and no cap.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "approx/draft.h"

#include <math.h>
#include <string.h>

#include "approx/blocks.h"
#include "core/kernels/kernels.h"
#include "core/rows.h"
#include "core/wide_rows.h"

typedef struct draft {
    atn_list cell;
    double sparsity;
} draft;

enum { CELL_MOST = 1 << 20, CELLS_MOST = 32768 };

static const atn_param params[] = {
    ATN_PARAM_LIST(draft, cell, "8x16", 1, CELL_MOST,
                   "rows and columns of a cell; they divide those of a frame"),
    ATN_PARAM_F64(draft, sparsity, .9, 0, 1, "share of the pairs of cells left out"),
    ATN_PARAM_END,
};

/* ---- the order ---- */

atn_idx atn_draft_tokens(const atn_draft_grid *g)
{
    return g->frames * g->height * g->width;
}

atn_idx atn_draft_cells(const atn_draft_grid *g)
{
    return g->frames * (g->height / g->ph) * (g->width / g->pw);
}

void atn_draft_order(const atn_draft_grid *g, atn_idx n, int32_t *order)
{
    const atn_idx video = atn_draft_tokens(g), strip = g->ph * g->width;
    atn_idx to = 0;

    for (atn_idx first = 0; first < video; first += strip)
        for (atn_idx x = 0; x < g->width; x += g->pw)
            for (atn_idx y = 0; y < g->ph; y++)
                for (atn_idx e = 0; e < g->pw; e++)
                    order[to++] = (int32_t)(first + y * g->width + x + e);
    for (; to < n; to++) order[to] = (int32_t)to;
}

/* ---- the grid of a layer ---- */

static bool grid_of(const draft *t, const atn_input *in, atn_draft_grid *g)
{
    const atn_list *axes = in->grid;
    const int last = axes->n - 1;

    if (axes->n < 2 || axes->n > 3 || t->cell.n != 2) return false;
    *g = (atn_draft_grid){axes->n == 3 ? axes->at[0] : 1, axes->at[last - 1],
                          axes->at[last], t->cell.at[0], t->cell.at[1]};
    return true;
}

static atn_status check(atn_ctx *cx, const draft *t, const atn_input *in,
                        atn_draft_grid *g)
{
    const atn_head *h = &in->head[0];
    atn_status st = ATN_OK;
    atn_idx tokens = 0;

    if (t->cell.n != 2)
        ATN_FAIL(ATN_USAGE,
                 "draft: cell has %d numbers, it takes rows and columns, as "
                 "8x16",
                 t->cell.n);
    if (!grid_of(t, in, g))
        ATN_FAIL(ATN_DATA,
                 "draft: the grid of the tokens has %d axes; it takes rows and columns "
                 "of an image, or frames before them (give --grid FxHxW)",
                 in->grid->n);
    if (g->frames < 1 || g->height < 1 || g->width < 1 ||
        !atn_mul(g->frames, g->height, &tokens) ||
        !atn_mul(tokens, g->width, &tokens) || tokens > h->nk)
        ATN_FAIL(ATN_DATA,
                 "draft: the grid %lldx%lldx%lld does not fit the %lld tokens of the "
                 "layer (give the grid of this text)",
                 (long long)g->frames, (long long)g->height, (long long)g->width,
                 (long long)h->nk);
    if (g->height % g->ph != 0 || g->width % g->pw != 0)
        ATN_FAIL(ATN_USAGE,
                 "draft: cells of %lldx%lld tokens do not divide frames of %lldx%lld "
                 "(give a cell that does)",
                 (long long)g->ph, (long long)g->pw, (long long)g->height,
                 (long long)g->width);
    if (h->nq != h->nk || h->sight.offset != 0)
        ATN_FAIL(ATN_DATA,
                 "draft: %lld queries from position %lld on against %lld keys are no "
                 "whole video (it takes all queries at once)",
                 (long long)h->nq, (long long)h->sight.offset, (long long)h->nk);
    if (atn_draft_cells(g) > CELLS_MOST)
        ATN_FAIL(
            ATN_USAGE,
            "draft: %lld cells are too many, at most %d are possible (give a larger "
            "cell)",
            (long long)atn_draft_cells(g), CELLS_MOST);
done:
    return st;
}

/* ---- attention between cells ---- */

typedef struct job {
    const atn_head *h;
    atn_draft_grid g;
    atn_idx cells, text;  /* text: runs of pw tokens that hold some */
    const int32_t *order; /* [n] */
    float *q;             /* means, [cells, d] */
    atn_scored k;         /* likewise */
    float *weights;       /* [cells, cells] */
    float least;          /* kept from there on */
    atn_chosen *chosen;
} job;

/* The mean of the rows of a cell. */
static void pool(const job *j, atn_cmat x, atn_idx cell, double *sum, float *out)
{
    const atn_idx n = j->g.ph * j->g.pw;

    for (atn_idx c = 0; c < x.cols; c++) sum[c] = 0;
    for (atn_idx e = 0; e < n; e++) {
        const float *row = atn_crow(x, j->order[cell * n + e]);

        for (atn_idx c = 0; c < x.cols; c++) sum[c] += (double)row[c];
    }
    for (atn_idx c = 0; c < x.cols; c++) out[c] = (float)(sum[c] / (double)n);
}

/* A panel of cells. */
static atn_status pool_cells(atn_ctx *cx, atn_idx i, void *state)
{
    const job *j = state;
    const atn_arena_mark mark = atn_arena_save(cx);
    const atn_idx d = j->h->k.cols, from = i * ATN_PANEL;
    const atn_idx n = ATN_MIN((atn_idx)ATN_PANEL, j->cells - from);
    atn_status st = ATN_OK;
    double *sum = NULL;
    float *k = NULL;

    ATN_TAKE(sum, d);
    ATN_TAKE(k, n * d);
    for (atn_idx c = 0; c < n; c++) {
        pool(j, j->h->q, from + c, sum, j->q + (from + c) * d);
        pool(j, j->h->k, from + c, sum, k + c * d);
    }
    atn_scored_put(&j->k, from, (atn_cmat){k, n, d, d});
done:
    atn_arena_rewind(cx, mark);
    return st;
}

/* The softmax of one row, in double until it is stored. */
static void soften(const float *dot, atn_idx n, double scale, double *e, float *out)
{
    for (atn_idx c = 0; c < n; c++) e[c] = scale * (double)dot[c];
    atn_wide_soften(e, n, -INFINITY);
    for (atn_idx c = 0; c < n; c++) out[c] = (float)e[c];
}

/* Rows of a few cells. */
enum { ROWS = 4 };

static atn_status weigh_cells(atn_ctx *cx, atn_idx i, void *state)
{
    const job *j = state;
    const atn_arena_mark mark = atn_arena_save(cx);
    const atn_idx d = j->h->k.cols, from = i * ROWS;
    const atn_idx n = ATN_MIN((atn_idx)ROWS, j->cells - from);
    const atn_cmat q = {j->q + from * d, n, d, d};
    atn_status st = ATN_OK;
    double *e = NULL;
    atn_mat dot;

    ATN_TAKE(e, j->cells);
    ATN_TRY(atn_scored_tile(cx, &j->k, q, 0, j->cells, &dot));
    for (atn_idx r = 0; r < n; r++)
        soften(atn_row(dot, r), j->cells, j->h->scale, e,
               j->weights + (from + r) * j->cells);
done:
    atn_arena_rewind(cx, mark);
    return st;
}

/* The k-th smallest of x [n], all >= 0, 1 <= k <= n: their bits are in their order, and
 * are counted by the upper half, then by the lower. */
enum { HALVES = 1 << 16 };

static float kth_smallest(const float *x, atn_idx n, atn_idx k, int64_t *table)
{
    uint32_t bits = 0;

    for (int shift = 16; shift >= 0; shift -= 16) {
        atn_idx half = 0;

        memset(table, 0, HALVES * sizeof *table);
        for (atn_idx e = 0; e < n; e++) {
            const uint32_t b = atn_float_bits(x[e]);

            if (shift == 16 || b >> 16 == bits >> 16) table[b >> shift & 0xffff]++;
        }
        while (half < HALVES - 1 && k > table[half]) k -= table[half++];
        bits |= (uint32_t)half << shift;
    }
    return atn_bits_float(bits);
}

/* ---- runs of tokens ---- */

/* Blocks are runs of pw tokens: a row of a cell, or text. Those that a row of weights
 * keeps, in order, into out; how many spans. */
static atn_idx kept_runs(const job *j, const float *row, atn_span *out)
{
    const atn_idx across = j->g.width / j->g.pw;
    atn_idx n = 0;

    for (atn_idx strip = 0; strip < j->cells / across; strip++, row += across) {
        const atn_idx first = n, at = strip * j->g.ph * across;

        for (atn_idx x = 0; x < across; x++) {
            if (!(row[x] >= j->least)) continue;
            if (n > first && out[n - 1].hi == at + x)
                out[n - 1].hi++;
            else
                out[n++] = (atn_span){at + x, at + x + 1};
        }
        for (atn_idx e = n - first, y = 1; e > 0 && y < j->g.ph; y++, n += e)
            for (atn_idx k = 0; k < e; k++)
                out[n + k] = (atn_span){out[first + k].lo + y * across,
                                        out[first + k].hi + y * across};
    }
    return n;
}

/* Lists of all runs of a cell; of the text behind the last cell. */
static atn_status plan_cell(atn_ctx *cx, atn_idx i, void *state)
{
    const job *j = state;
    const atn_draft_grid *g = &j->g;
    const atn_idx across = g->width / g->pw, video = atn_draft_tokens(g) / g->pw;
    const atn_idx first = i / across * g->ph * across + i % across;
    const atn_arena_mark mark = atn_arena_save(cx);
    const atn_span all = {0, video + j->text};
    atn_status st = ATN_OK;
    atn_span *spans = NULL;
    atn_idx n;

    if (i == j->cells) {
        for (atn_idx r = video; r < all.hi; r++)
            ATN_TRY(atn_chosen_put(cx, j->chosen, r, &all, 1));
        goto done;
    }
    ATN_TAKE(spans, g->frames * g->height * (across / 2 + 1) + 1);
    n = kept_runs(j, j->weights + i * j->cells, spans);
    spans[n++] = (atn_span){video, all.hi};
    for (atn_idx y = 0; y < g->ph; y++)
        ATN_TRY(atn_chosen_put(cx, j->chosen, first + y * across, spans, n));
done:
    atn_arena_rewind(cx, mark);
    return st;
}

/* ---- the plan ---- */

static double bytes(const atn_ctx *cx, const void *params_, const atn_input *in)
{
    const draft *t = params_;
    const atn_head *h = &in->head[0];
    atn_draft_grid g;
    double cells;

    if (!in->grid || !grid_of(t, in, &g)) return 0;
    cells = (double)g.frames * (double)g.height * (double)g.width /
            ((double)g.ph * (double)g.pw);
    return atn_chosen_bytes(cx, h, g.pw, g.pw, INFINITY) + cx->threads * 64 * cells +
           sizeof(float) *
               (cells * cells + 2 * (cells + ATN_PANEL) * (double)h->k.cols) +
           sizeof(int32_t) * (double)h->nk + sizeof(int64_t) * HALVES;
}

static atn_status open_job(atn_ctx *cx, job *j)
{
    const atn_head *h = j->h;
    const atn_idx d = h->k.cols;
    const atn_frame f = atn_head_frame(h, j->g.pw);
    atn_status st = ATN_OK;
    int32_t *order = NULL;
    atn_idx size = 0;

    j->cells = atn_draft_cells(&j->g);
    j->text = (h->nk - atn_draft_tokens(&j->g) + j->g.pw - 1) / j->g.pw;
    if (!atn_mul(j->cells, j->cells, &size))
        ATN_FAIL(ATN_MEMORY, "draft: %lld cells are too many", (long long)j->cells);
    ATN_TAKE(order, h->nk);
    ATN_TAKE(j->q, j->cells * d);
    ATN_TRY(atn_scored_open(cx, j->cells, d, &j->k));
    ATN_TAKE(j->weights, size);
    ATN_TRY(atn_chosen_open(cx, &f, j->g.pw, &j->chosen));
    atn_draft_order(&j->g, h->nk, order);
    j->order = order;
done:
    return st;
}

/* The threshold: pairs below it are left out. */
static atn_status cut(atn_ctx *cx, double sparsity, job *j)
{
    const atn_idx pairs = j->cells * j->cells;
    const double r = 1 - sparsity;
    const atn_idx kd = ATN_MIN((atn_idx)((1 - r) * (double)pairs), pairs);
    const atn_arena_mark mark = atn_arena_save(cx);
    atn_status st = ATN_OK;
    int64_t *table = NULL;

    j->least = 0;
    if (kd <= 0) goto done;
    ATN_TAKE(table, HALVES);
    j->least = kth_smallest(j->weights, pairs, kd, table);
done:
    atn_arena_rewind(cx, mark);
    return st;
}

/* Pairs that are kept beyond those asked for, since they tie with the last one. */
static int64_t count_ties(const job *j, double sparsity)
{
    const atn_idx pairs = j->cells * j->cells;
    const atn_idx kd = (atn_idx)((1 - (1 - sparsity)) * (double)pairs);
    int64_t kept = 0;

    for (atn_idx e = 0; e < pairs; e++) kept += j->weights[e] >= j->least;
    return kd > 0 ? kept - (pairs - kd + 1) : 0;
}

static void count(const job *j, atn_plan *out)
{
    const double s = (double)j->cells, d = (double)j->h->k.cols;
    const double video = (double)atn_draft_tokens(&j->g);

    out->index_flops = 2 * s * s * d + 2 * video * d;
    out->index_bytes = ATN_COST_BYTES * (2 * video * d + 4 * s * d + 3 * s * s);
}

static atn_status plan(atn_ctx *cx, const atn_input *in, const void *params_,
                       atn_idx first, atn_idx n, atn_plan *out)
{
    const atn_arena_mark mark = atn_arena_save(cx);
    const draft *t = params_;
    job j = {.h = &in->head[first]};
    atn_pattern *p = NULL;
    atn_status st = ATN_OK;

    ATN_ASSERT(n == 1);
    ATN_TRY(check(cx, t, in, &j.g));
    ATN_TRY(atn_mem_check(cx, bytes(cx, t, in), "draft: attention between cells"));
    ATN_TRY(open_job(cx, &j));
    ATN_TRY(atn_parallel(cx, (j.cells - 1) / ATN_PANEL + 1, pool_cells, &j, "draft"));
    ATN_TRY(atn_parallel(cx, (j.cells - 1) / ROWS + 1, weigh_cells, &j, "draft"));
    ATN_TRY(cut(cx, t->sparsity, &j));
    ATN_TRY(atn_parallel(cx, j.cells + 1, plan_cell, &j, "draft"));
    st = atn_chosen_finish(cx, j.chosen, &p);
    j.chosen = NULL;
    ATN_TRY(st);
    /* a kernel computes whole cells in the order of atn_draft_order: none in vain */
    atn_plan_mask(out, p, 0, j.g.pw, j.g.pw);
    count(&j, out);
    out->ties = count_ties(&j, t->sparsity);
done:
    atn_chosen_abandon(cx, j.chosen);
    atn_arena_rewind(cx, mark);
    return st;
}

const atn_method atn_method_draft = {
    .id = "draft",
    .title = "DraftAttention",
    .family = "block",
    .source = "Shen et al., arXiv 2505.14708; its code",
    .text = "the cells of a video whose mean queries and keys fit, and all text",
    .reads = ATN_READS_QK | ATN_READS_GRID,
    .sides = ATN_BIDIRECTIONAL,
    .unit = ATN_UNIT_HEAD,
    .params = params,
    .params_size = sizeof(draft),
    .budget = "sparsity",
    .budget_falls = true,
    .plan = plan,
    .bytes = bytes,
};
