/* approx/dhsa.c -- DHSA, second version: every block of queries keeps the blocks of
 * keys whose means fit its own best.
 *
 * Math    score(a, c) = mean of the queries of block a . mean of the keys of block c,
 *         no scale; block a keeps k = max(1, int(density nb)) blocks, nb those of the
 *         whole text: its own, and the best k - 1 before it.
 * Oracle  density 1: dense. Golden rows in the tests.
 * Source  Xiong, Zou, Fekri, Cho, Dynamic hierarchical sparse attention, arXiv
 *         2510.24606, and its code, second version. There k blocks are chosen among
 *         all, those ahead of the queries too, which causality then takes away:
 *         as_published.
 * Cost    (n / block)^2 d flop, and 2 n d for the means. Memory the means.
 * Limits  the variants with first and recent keys, and with vertical and slash lines,
 *         are methods of their own here. Of a block of queries that a chunk cuts, the
 *         mean is that of the rows that are there.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#include <string.h>

#include "approx/blocks.h"
#include "approx/generate.h"
#include "approx/rank.h"
#include "core/kernels/kernels.h"
#include "core/rows.h"

typedef struct dhsa {
    double density;
    int64_t block;
} dhsa;

static const atn_param params[] = {
    ATN_PARAM_F64(dhsa, density, .125, 0, 1,
                  "blocks kept, as a share of those of the text; one at least"),
    ATN_PARAM_I64(dhsa, block, 128, 1, ATN_EXTENT_MOST, "tokens of a block"),
    ATN_PARAM_END,
};

enum { KEY_BLOCKS = 4 * ATN_PANEL }; /* of one task */

typedef struct job {
    const atn_head *h;
    bool as_published;
    atn_idx block, blocks; /* of keys */
    atn_idx keep;
    atn_chosen *chosen;
    atn_idx first, lists;
    atn_scored means; /* of the blocks of keys */
    atn_tally *tally; /* [lists] */
} job;

static atn_status pool_keys(atn_ctx *cx, atn_idx i, void *state)
{
    const job *j = state;
    const atn_arena_mark mark = atn_arena_save(cx);
    const atn_cmat k = j->h->k;
    const atn_idx from = i * KEY_BLOCKS * j->block;
    const atn_idx rows = ATN_MIN(KEY_BLOCKS * j->block, k.rows - from);
    const atn_idx n = (rows - 1) / j->block + 1;
    atn_status st = ATN_OK;
    float *mean = NULL;

    ATN_TAKE(mean, n * k.cols);
    atn_block_means((atn_cmat){atn_crow(k, from), rows, k.cols, k.ld}, j->block, mean);
    atn_scored_put(&j->means, i * KEY_BLOCKS, (atn_cmat){mean, n, k.cols, k.cols});
done:
    atn_arena_rewind(cx, mark);
    return st;
}

/* The mean of the queries at positions [from, to), of which there is one. */
static atn_idx pool_queries(const atn_head *h, atn_idx from, atn_idx to, float *mean)
{
    const atn_idx row0 = ATN_MAX(from - h->sight.offset, 0);
    const atn_idx rows = ATN_MIN(to - h->sight.offset, h->nq) - row0;

    atn_block_means((atn_cmat){atn_crow(h->q, row0), rows, h->q.cols, h->q.ld}, rows,
                    mean);
    return rows;
}

/* What a block of queries chooses. */
typedef struct choice {
    atn_idx *best, n;  /* blocks of keys */
    const float *mean; /* of the queries */
    atn_tally *tally;
} choice;

/* The k best of some blocks. */
static atn_status best_blocks(atn_ctx *cx, const job *j, atn_span of, atn_idx k,
                              choice *c)
{
    const atn_cmat q = {c->mean, 1, j->h->k.cols, j->h->k.cols};
    atn_status st = ATN_OK;
    float *scratch = NULL;
    atn_mat score;

    if (of.lo >= of.hi) goto done;
    ATN_TAKE(scratch, of.hi - of.lo);
    ATN_TRY(atn_scored_tile(cx, &j->means, q, of.lo, of.hi, &score));
    c->n = atn_best_of(score.data, of.hi - of.lo, k, c->best, scratch, &c->tally->ties);
    for (atn_idx b = 0; b < c->n; b++) c->best[b] += of.lo;
    c->tally->scored += of.hi - of.lo;
    c->tally->keys += of.hi - of.lo;
done:
    return st;
}

static atn_status plan_block(atn_ctx *cx, atn_idx i, void *state)
{
    const job *j = state;
    const atn_arena_mark mark = atn_arena_save(cx);
    const atn_idx r = j->first + i, from = r * j->block;
    const bool own = r < j->blocks && !j->as_published;
    choice c = {.tally = &j->tally[i]};
    atn_status st = ATN_OK;
    float *mean = NULL;
    atn_idx lo, hi;
    atn_span of;

    atn_head_hull(j->h, from, from + j->block, &lo, &hi);
    if (lo >= hi) goto done;
    ATN_TAKE(mean, j->h->q.cols);
    ATN_TAKE(c.best, j->keep + 1);
    c.mean = mean;
    c.tally->rows = pool_queries(j->h, from, from + j->block, mean);
    of = (atn_span){lo / j->block, own ? r : (hi - 1) / j->block + 1};
    if (j->as_published) of = (atn_span){0, j->blocks};
    ATN_TRY(best_blocks(cx, j, of, j->keep - own, &c));
    if (own) c.best[c.n++] = r;
    ATN_TRY(atn_chosen_put_blocks(cx, j->chosen, r, c.best, c.n));
done:
    atn_arena_rewind(cx, mark);
    return st;
}

static atn_status open_job(atn_ctx *cx, const dhsa *t, job *j)
{
    atn_frame f = atn_head_frame(j->h, 1);
    const atn_idx most = ATN_MAX(f.first + f.nq, f.nk);
    atn_status st = ATN_OK;

    f.block = j->block = ATN_MIN(t->block, most);
    j->blocks = (f.nk - 1) / j->block + 1;
    j->keep = ATN_MAX((atn_idx)(t->density * (double)j->blocks), 1);
    ATN_TRY(atn_chosen_open(cx, &f, j->block, &j->chosen));
    atn_chosen_lists(j->chosen, &j->first, &j->lists);
    j->lists -= j->first;
    ATN_TAKE(j->tally, j->lists);
    memset(j->tally, 0, (size_t)j->lists * sizeof *j->tally);
    ATN_TRY(atn_scored_open(cx, j->blocks, j->h->k.cols, &j->means));
done:
    return st;
}

static atn_status plan(atn_ctx *cx, const atn_input *in, const void *params_,
                       atn_idx first, atn_idx n, atn_plan *out)
{
    const atn_arena_mark mark = atn_arena_save(cx);
    job j = {.h = &in->head[first], .as_published = in->as_published};
    const double d = (double)j.h->k.cols;
    atn_tally all;
    atn_pattern *p = NULL;
    atn_status st = ATN_OK;

    ATN_ASSERT(n == 1);
    ATN_TRY(open_job(cx, params_, &j));
    ATN_TRY(atn_parallel(cx, (j.blocks - 1) / KEY_BLOCKS + 1, pool_keys, &j, "dhsa"));
    ATN_TRY(atn_parallel(cx, j.lists, plan_block, &j, "dhsa"));
    st = atn_chosen_finish(cx, j.chosen, &p);
    j.chosen = NULL;
    ATN_TRY(st);
    atn_plan_mask(out, p, 0, j.block, j.block);
    all = atn_tally_sum(j.tally, j.lists);
    atn_tally_gathered(&all, j.h->k.cols, out);
    out->index_flops += d * (double)(j.h->nq + j.h->nk);
    out->index_bytes += ATN_COST_BYTES * d * (double)j.h->nk;
done:
    atn_chosen_abandon(cx, j.chosen);
    atn_arena_rewind(cx, mark);
    return st;
}

static unsigned looks(const void *params_, const atn_input *in)
{
    const dhsa *t = params_;

    return (t->block > 1 ? ATN_LOOKS_QUERIES : 0) |
           (in->as_published ? ATN_LOOKS_KEYS : 0);
}

static double bytes(const atn_ctx *cx, const void *params_, const atn_input *in)
{
    const dhsa *t = params_;
    const atn_head *h = &in->head[0];
    const double blocks = (double)h->nk / (double)t->block + 1;
    const double keep = t->density * blocks + 2;

    return atn_chosen_bytes(cx, h, t->block, t->block, keep) +
           cx->threads * (8 * (blocks + 2 * ATN_PANEL) + 16 * keep +
                          sizeof(float) * (double)h->k.cols * (KEY_BLOCKS + 1)) +
           sizeof(float) * (double)h->k.cols * (blocks + ATN_PANEL) +
           sizeof(atn_tally) * ((double)h->nq / (double)t->block + 2);
}

const atn_method atn_method_dhsa = {
    .id = "dhsa",
    .title = "DHSA, fixed blocks",
    .family = "block",
    .source = "Xiong et al., arXiv 2510.24606; its code, second version",
    .text = "the blocks whose mean keys fit the block's mean query best",
    .reads = ATN_READS_QK,
    .sides = ATN_CAUSAL,
    .unit = ATN_UNIT_HEAD,
    .publishes = true,
    .params = params,
    .params_size = sizeof(dhsa),
    .budget = "density",
    .looks = looks,
    .plan = plan,
    .bytes = bytes,
};
