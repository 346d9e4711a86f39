/* approx/nsa.c -- native sparse attention: compressed blocks, chosen blocks, a window.
 *
 * Math    o = g_cmp o_cmp + g_slc o_slc + g_win o_win. Compression: one key a complete
 *         block, the mean of its keys, with the mean of its values, so that a_c / B
 *         falls on each token of block c; only blocks of which the query sees all.
 *         Selection: approx/group_blocks.h. Window: the last `window` keys. Gates are
 *         parameters, or of each token where the draws file has "gates" [nq, 3] of
 *         the head, in this order.
 * Oracle  second fixture of the cards, block 4, k = 3, window 5, gates .5 .3 .2, row
 *         18: .034231 on each of the keys 0-3, o = 10.519556. cmp = slc = 0, win = 1,
 *         window >= n: dense. block = 1: compression is dense.
 * Source  Yuan et al., NSA, arXiv 2502.11089; fla-org/native-sparse-attention,
 *         ops/naive.py (compression by means, selection in the same blocks).
 * Cost    2 d flop a query and block to choose; attention over n / B means, k B chosen
 *         keys, the window. Memory O(n (k + log n)).
 * Limits  meant for models trained with it; the learned compression of the paper and
 *         its overlapping blocks are not here.
 *
 * The complete blocks of a row are cut into dyadic ranges, one group of rows and means
 * each, so that a row is in O(log n) groups.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#include <math.h>
#include <string.h>

#include "approx/generate.h"
#include "approx/group_blocks.h"

typedef struct nsa {
    int64_t k, block, window;
    double cmp, slc, win;
} nsa;

static const atn_param params[] = {
    ATN_PARAM_I64(nsa, k, 16, 1, ATN_EXTENT_MOST,
                  "blocks chosen, that of the query among them"),
    ATN_PARAM_I64(nsa, block, 64, 1, ATN_EXTENT_MOST, "tokens of a block"),
    ATN_PARAM_I64(nsa, window, 512, 1, ATN_EXTENT_MOST, "keys of the window"),
    ATN_PARAM_F64(nsa, cmp, 0, 0, 1, "gate of the compressed blocks"),
    ATN_PARAM_F64(nsa, slc, 1, 0, 1, "gate of the chosen blocks"),
    ATN_PARAM_F64(nsa, win, 0, 0, 1, "gate of the window"),
    ATN_PARAM_END,
};

static const atn_preset presets[] = {
    {"nsa_mix", "cmp=0.25,slc=0.5,win=0.25",
     "all three branches, for models without gates"},
    {0},
};

enum { CMP, SLC, WIN, GATES };

/* ---- compression ---- */

/* Ranges of 2^level blocks from 2^level index on; first[level] is the number of the
 * first one. */
typedef struct dyadic {
    atn_idx first[64], n;
} dyadic;

static dyadic dyadic_of(atn_idx blocks)
{
    dyadic d = {.n = 0};

    for (int l = 0; l < 63; l++) {
        d.first[l] = d.n;
        d.n += blocks >> l;
    }
    return d;
}

/* The first of the ranges that [*a, end) is cut into; *a goes on. */
static atn_idx next_range(const dyadic *d, atn_idx *a, atn_idx end)
{
    int level = *a ? __builtin_ctzll((unsigned long long)*a) : 61;
    atn_idx range;

    while ((atn_idx)1 << level > end - *a) level--;
    range = d->first[level] + (*a >> level);
    *a += (atn_idx)1 << level;
    return range;
}

/* Complete blocks that row i sees whole: [*a, end). */
static void whole_blocks(const atn_head *h, atn_idx i, atn_idx block, atn_idx *a,
                         atn_idx *end)
{
    const atn_block_row r = atn_block_row_of(h, i, block);

    *a = r.lo > 0 ? (r.lo - 1) / block + 1 : 0;
    *end = ATN_MAX(r.complete, *a);
}

/* Rows of each range into row (NULL: counted into at). */
static void visit_rows(const atn_head *h, atn_idx block, const dyadic *d, int64_t *at,
                       int32_t *row)
{
    for (atn_idx i = 0; i < h->nq; i++) {
        atn_idx a, end;

        whole_blocks(h, i, block, &a, &end);
        while (a < end) {
            const atn_idx range = next_range(d, &a, end);

            if (row) row[at[range]] = (int32_t)i;
            at[range]++;
        }
    }
}

/* Numbers the ranges that some row has, rows and keys of each in g; the counts in `at`
 * become where the rows of a range begin. */
static void number_ranges(const dyadic *d, atn_idx blocks, int64_t *at, atn_groups *g)
{
    atn_idx k = 0;
    int64_t rows = 0;

    for (int l = 0; l < 63; l++)
        for (atn_idx r = d->first[l]; r < d->first[l] + (blocks >> l); r++) {
            const int64_t count = at[r];

            at[r] = rows;
            rows += count;
            if (count == 0) continue;
            g->row_ptr[k + 1] = rows;
            g->key_ptr[k + 1] = g->key_ptr[k] + ((int64_t)1 << l);
            k++;
        }
}

/* The keys of a group are the blocks of its range; at: where its rows end. */
static void fill_keys(const dyadic *d, atn_idx blocks, atn_idx nk, const int64_t *at,
                      atn_groups *g)
{
    atn_idx k = 0;

    for (int l = 0; l < 63; l++)
        for (atn_idx c = 0; c < blocks >> l; c++) {
            if (at[d->first[l] + c] == g->row_ptr[k]) continue; /* no row has it */
            for (int64_t e = 0; e < (int64_t)1 << l; e++)
                g->key[g->key_ptr[k] + e] = (int32_t)(nk + (c << l) + e);
            k++;
        }
}

/* Groups of the ranges that some row has. */
static atn_status make_groups(atn_ctx *cx, const atn_head *h, atn_idx block,
                              atn_idx blocks, atn_groups *g)
{
    const atn_arena_mark mark = atn_arena_save(cx);
    const dyadic d = dyadic_of(blocks);
    atn_status st = ATN_OK;
    int64_t *at = NULL;

    ATN_TAKE(at, d.n);
    memset(at, 0, (size_t)d.n * sizeof *at);
    visit_rows(h, block, &d, at, NULL);
    for (atn_idx r = 0; r < d.n; r++) g->n += at[r] > 0;
    ATN_NEW(g->row_ptr, g->n + 1);
    ATN_NEW(g->key_ptr, g->n + 1);
    number_ranges(&d, blocks, at, g);
    ATN_NEW(g->row, g->row_ptr[g->n]);
    ATN_NEW(g->key, g->key_ptr[g->n]);
    visit_rows(h, block, &d, at, g->row);
    fill_keys(&d, blocks, h->nk, at, g);
done:
    atn_arena_rewind(cx, mark);
    return st;
}

/* One virtual key a block. */
static atn_status make_virtuals(atn_ctx *cx, const atn_head *h, atn_idx block,
                                atn_cmat means, atn_plan *out)
{
    const atn_idx blocks = means.rows;
    atn_status st = ATN_OK;

    if (h->nk + blocks > INT32_MAX)
        ATN_FAIL(ATN_DATA,
                 "nsa: %lld keys and %lld compressed ones are too many (at most 2^31 - "
                 "1 in all)",
                 (long long)h->nk, (long long)blocks);
    out->virtuals = blocks;
    ATN_NEW(out->vk, blocks * means.cols);
    memcpy(out->vk, means.data, (size_t)(blocks * means.cols) * sizeof *out->vk);
    if (h->v.data) {
        ATN_NEW(out->vv, blocks * h->v.cols);
        atn_block_means(h->v, block, out->vv);
    }
    ATN_NEW(out->expand_ptr, blocks + 1);
    ATN_NEW(out->expand, h->nk);
    ATN_NEW(out->expand_weight, h->nk);
    for (atn_idx c = 0; c < blocks; c++) {
        const atn_idx from = c * block, to = ATN_MIN(from + block, h->nk);

        out->expand_ptr[c + 1] = to;
        for (atn_idx j = from; j < to; j++) {
            out->expand[j] = (int32_t)j;
            out->expand_weight[j] = (float)(1 / (double)(to - from));
        }
    }
done:
    return st;
}

/* ---- the branches ---- */

static atn_status make_window(atn_ctx *cx, const nsa *s, const atn_head *h,
                              atn_pattern **out)
{
    const atn_frame f = atn_head_frame(h, 1);
    const atn_span near = {0, ATN_MIN(s->window, f.first + f.nq)};

    return atn_pattern_shift(cx, &f, &near, 1, 0, out);
}

/* gate [nq] of a branch: its column of `given` [nq, 3], or the parameter; none where
 * that is 1. */
static atn_status set_gate(atn_ctx *cx, const atn_head *h, const float *given,
                           int column, double gate, atn_branch *b)
{
    atn_status st = ATN_OK;

    if (!given && gate == 1) goto done;
    ATN_NEW(b->scale, h->nq);
    for (atn_idx i = 0; i < h->nq; i++)
        b->scale[i] = given ? given[GATES * i + column] : (float)gate;
done:
    return st;
}

typedef struct shared {
    const nsa *s;
    atn_cmat means;
    atn_pattern *chosen, *window; /* NULL: no branch */
    bool cmp;
} shared;

/* The branches that there are, of one head. */
static atn_status make_branches(atn_ctx *cx, const shared *x, const atn_head *h,
                                const float *given, atn_plan *out)
{
    const double gate[] = {x->s->cmp, x->s->slc, x->s->win};
    atn_status st = ATN_OK;

    for (int b = CMP; b < GATES; b++) {
        atn_branch *to = &out->branch[out->branches];
        atn_pattern *p = b == SLC ? x->chosen : b == WIN ? x->window : NULL;

        if (!p && !(b == CMP && x->cmp)) continue;
        out->branches++;
        to->parts = 1;
        if (p)
            to->part[0].pattern = atn_pattern_keep(p);
        else
            ATN_TRY(
                make_groups(cx, h, x->s->block, x->means.rows, &to->part[0].groups));
        ATN_TRY(set_gate(cx, h, given, b, gate[b], to));
    }
    if (x->cmp) ATN_TRY(make_virtuals(cx, h, x->s->block, x->means, out));
    out->tile_rows = 1;
    out->tile_keys = ATN_MIN(x->s->block, h->nk);
done:
    return st;
}

static atn_draw gates_of(const atn_head *h)
{
    return (atn_draw){.what = "gates",
                      .purpose = "nsa/gates",
                      .layer = h->layer,
                      .head = h->head,
                      .rows = h->nq,
                      .cols = GATES};
}

static atn_status plan_head(atn_ctx *cx, const atn_input *in, const shared *x,
                            const atn_head *h, atn_plan *out)
{
    const atn_arena_mark mark = atn_arena_save(cx);
    const atn_draw w = gates_of(h);
    atn_status st = ATN_OK;
    float *given = NULL;

    if (atn_draws_have(in->draws, &w)) {
        ATN_TAKE(given, h->nq * GATES);
        ATN_TRY(atn_draw_given(cx, in->draws, &w, given));
    }
    ATN_TRY(make_branches(cx, x, h, given, out));
done:
    atn_arena_rewind(cx, mark);
    return st;
}

static atn_status plan(atn_ctx *cx, const atn_input *in, const void *values,
                       atn_idx first, atn_idx n, atn_plan *out)
{
    const nsa *s = values;
    const atn_head *heads = &in->head[first];
    const atn_group_rule rule = {"nsa", s->block, s->k, in->as_published};
    atn_group_choice choice = {0};
    atn_status st = ATN_OK;
    shared x = {.s = s};
    bool given = false;

    for (atn_idx h = 0; h < n; h++) {
        const atn_draw w = gates_of(&heads[h]);

        given = given || atn_draws_have(in->draws, &w);
    }
    x.cmp = given || s->cmp > 0;
    if (!x.cmp && s->slc <= 0 && s->win <= 0)
        ATN_FAIL(ATN_USAGE,
                 "nsa: all gates are 0 (give one of cmp, slc, win in 0..1, or gates of "
                 "tokens by --draws)");
    ATN_TRY(atn_group_means(cx, &heads[0], s->block, &x.means));
    if (given || s->slc > 0)
        ATN_TRY(atn_group_blocks(cx, heads, n, &rule, x.means, &choice));
    x.chosen = choice.pattern;
    if (given || s->win > 0) ATN_TRY(make_window(cx, s, &heads[0], &x.window));
    for (atn_idx h = 0; h < n; h++) {
        ATN_TRY(plan_head(cx, in, &x, &heads[h], &out[h]));
        if (x.chosen)
            atn_tally_cost(&choice.tally, &heads[h], x.means.rows, n, &out[h]);
    }
done:
    atn_pattern_destroy(cx, choice.pattern);
    atn_pattern_destroy(cx, x.window);
    return st;
}

/* Compressed keys of a head: ranges of blocks, each with the rows that have it, and what
 * they stand for; gates of three branches. */
static double head_bytes(const nsa *s, const atn_head *h)
{
    const double blocks = (double)((h->nk - 1) / s->block + 1);
    const double ranges = log2(blocks) + 1;
    const double dv = h->v.data ? (double)h->v.cols : 0;

    return 2 * blocks * 3 * sizeof(int64_t) + sizeof(int32_t) * ranges * blocks +
           sizeof(int32_t) * (double)h->nq * (ranges / 2 + 2) +
           sizeof(float) * blocks * ((double)h->k.cols + dv) +
           sizeof(int64_t) * blocks + 8 * (double)h->nk +
           2 * GATES * sizeof(float) * (double)h->nq + 2048;
}

static double bytes(const atn_ctx *cx, const void *params_, const atn_input *in)
{
    const nsa *s = params_;
    const atn_head *h = &in->head[0];

    return atn_group_blocks_bytes(cx, h, s->block, s->k) +
           (double)in->group * head_bytes(s, h);
}

const atn_method atn_method_nsa = {
    .id = "nsa",
    .title = "NSA: native sparse attention",
    .family = "block",
    .source = "Yuan et al. 2025, arXiv 2502.11089; fla-org/native-sparse-attention",
    .text = "means of blocks, blocks chosen by them, a window, each with a gate",
    .reads = ATN_READS_QK | ATN_READS_DRAWS,
    .sides = ATN_CAUSAL,
    .weights = ATN_WEIGHTS_FREE,
    .unit = ATN_UNIT_GROUP,
    .publishes = true,
    .params = params,
    .params_size = sizeof(nsa),
    .presets = presets,
    .budget = "k",
    .plan = plan,
    .bytes = bytes,
};
