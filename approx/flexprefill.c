/* approx/flexprefill.c -- FlexPrefill: how many blocks a head gets, and by which rule,
 * from its last queries.
 *
 * Math    P of the last `block` rows, v_j and g_d their means over columns and
 *         distances (approx/lines.h), v^ and g^ summed by blocks; a^ = softmax(scale
 *         mean(q) . mean of the keys of block c). JSD = sqrt of the Jensen-Shannon
 *         divergence of a^ and v^, nats.
 *         JSD >= tau: the first block of columns and the main diagonal, and of v^ and
 *         g^ the largest, n_v and n_g together with these: n = floor(m / block) + 1, m
 *         = #(sums of the largest <= gamma + 1e-10) + 1, not below min_budget nor above
 *         max_budget, in blocks.
 *         JSD < tau: that with n_v = n_g = min_budget, and the largest of all entries
 *         of softmax(scale mean(q) . mean(k)) by rows of blocks while their sum is at
 *         most gamma times the rows.
 *         Texts of up to 2 blocks, or min_budget, and single queries: dense.
 * Oracle  gamma = 1: dense. tau = 0: never by entries; above sqrt(ln 2) always. Uniform
 *         attention: m = floor(gamma n) + 1.
 * Source  Lai et al., arXiv 2502.20766, ByteDance-Seed/FlexPrefill
 *         flex_prefill_attention.py. As published: m is divided by 128 whatever the
 *         block; distances are pooled from the far end; sums have no slack; a share of
 *         0 makes the JSD no number, so that the head is not planned by entries.
 * Cost    2 block n d, and by entries 2 (n / block)^2 d flop. Memory rows of the last
 *         block, and by entries one number each.
 * Limits  prefill of causal heads. Equal entries: the lower row, then column.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#include <math.h>
#include <string.h>

#include "approx/lines.h"
#include "core/rows.h"
#include "core/wide_rows.h"

#define SLACK 1e-10
enum { PUBLISHED_BLOCK = 128 };

typedef struct flexprefill {
    double gamma, tau;
    int64_t block, min_budget, max_budget;
} flexprefill;

static const atn_param params[] = {
    ATN_PARAM_F64(flexprefill, gamma, .9, 0, 1, "share of the weight to be covered"),
    ATN_PARAM_F64(flexprefill, tau, .1, 0, 16,
                  "divergence below which blocks are chosen by entries"),
    ATN_PARAM_I64(flexprefill, block, 128, 1, 1 << 20, "tokens of a block"),
    ATN_PARAM_I64(flexprefill, min_budget, 512, 0, 1 << 30,
                  "tokens of columns and of diagonals at least"),
    ATN_PARAM_I64(flexprefill, max_budget, 0, 0, 1 << 30,
                  "tokens of columns and of diagonals at most, 0 = no limit"),
    ATN_PARAM_END,
};

typedef struct planning {
    const flexprefill *t;
    const atn_head *h;
    bool as_published;
    atn_idx nb; /* blocks of keys */
    atn_lines lines;
    double *column, *diagonal; /* [nb] v^, g^ */
    double flops, bytes;
} planning;

static atn_idx in_blocks(const flexprefill *t, atn_idx tokens)
{
    return (tokens + t->block - 1) / t->block;
}

/* Too short for anything but all. */
static bool is_dense(const flexprefill *t, const atn_head *h)
{
    const atn_idx least = in_blocks(t, t->min_budget) * t->block;

    return h->nq == 1 || h->nk <= ATN_MAX(2 * t->block, least);
}

/* ---- columns and diagonals ---- */

/* Means over the rows, and their sums by blocks of keys and of distances. */
static atn_status sum_lines(atn_ctx *cx, planning *p)
{
    const double rows = (double)ATN_MIN(p->t->block, p->h->nq);
    const atn_idx b = p->t->block, n = p->h->nk;
    atn_lines *l = &p->lines;
    atn_status st = ATN_OK;

    ATN_TRY(atn_lines_sum(cx, p->h, b, l));
    ATN_TAKE(p->column, p->nb);
    ATN_TAKE(p->diagonal, p->nb);
    memset(p->column, 0, (size_t)p->nb * sizeof *p->column);
    memset(p->diagonal, 0, (size_t)p->nb * sizeof *p->diagonal);
    for (atn_idx j = 0; j < l->keys; j++) {
        l->column[j] /= rows;
        p->column[(l->key0 + j) / b] += l->column[j];
    }
    for (atn_idx g = 0; g < ATN_MIN(l->reach, n); g++) {
        l->diagonal[g] /= rows;
        p->diagonal[p->as_published ? p->nb - 1 - (n - 1 - g) / b : g / b] +=
            l->diagonal[g];
    }
done:
    return st;
}

/* Blocks that hold gamma of w [n], between the least and the most. */
static atn_status blocks_of(atn_ctx *cx, const planning *p, const double *w, atn_idx n,
                            atn_idx *out)
{
    const double goal = p->t->gamma + (p->as_published ? 0 : SLACK);
    const atn_idx least = in_blocks(p->t, p->t->min_budget);
    const atn_idx most = p->t->max_budget > 0
                             ? ATN_MIN(in_blocks(p->t, p->t->max_budget), p->nb)
                             : p->nb;
    const atn_idx by = p->as_published ? PUBLISHED_BLOCK : p->t->block;
    const atn_arena_mark mark = atn_arena_save(cx);
    atn_status st = ATN_OK;
    double *scratch = NULL;
    atn_idx m;

    ATN_TAKE(scratch, n);
    m = atn_cut_keeps(w, n, atn_cut_below_sum(w, n, goal, scratch)) + 1;
    *out = ATN_MIN(ATN_MAX(m / by + 1, least), most);
done:
    atn_arena_rewind(cx, mark);
    return st;
}

/* The n_v and n_g largest blocks of both. */
static atn_status lines_pattern(atn_ctx *cx, const planning *p, atn_idx n_v,
                                atn_idx n_g, int64_t *ties, atn_pattern **out)
{
    const atn_frame f = atn_head_frame(p->h, p->t->block);
    const atn_arena_mark mark = atn_arena_save(cx);
    const atn_lines_rule by_column = {n_v, 1, 0}, by_diagonal = {n_g, 1, 0};
    atn_lines_list columns, diagonals;
    double *scratch = NULL;
    atn_status st = ATN_OK;

    ATN_TAKE(columns.at, p->nb);
    ATN_TAKE(diagonals.at, p->nb);
    ATN_TAKE(scratch, p->nb);
    columns.n = atn_lines_best(p->column, p->nb, &by_column, columns.at, scratch, ties);
    diagonals.n =
        atn_lines_best(p->diagonal, p->nb, &by_diagonal, diagonals.at, scratch, ties);
    ATN_TRY(atn_lines_pattern(cx, &f, columns, diagonals, out));
done:
    atn_arena_rewind(cx, mark);
    return st;
}

/* ---- the divergence ---- */

/* a^ into out [nb]: what the mean of the last rows gives to the means of blocks. */
static atn_status mean_row(atn_ctx *cx, planning *p, const atn_means *m, double *out)
{
    const atn_idx rows = ATN_MIN(p->t->block, p->h->nq), d = p->h->q.cols;
    const atn_cmat last = {atn_crow(p->h->q, p->h->nq - rows), rows, d, p->h->q.ld};
    const atn_arena_mark mark = atn_arena_save(cx);
    atn_means mean = *m;
    atn_status st = ATN_OK;

    ATN_TAKE(mean.q, d);
    atn_block_means(last, rows, mean.q);
    ATN_TRY(atn_means_product(cx, &mean, 0, 1, p->h->scale, out));
    atn_wide_soften(out, p->nb, -INFINITY);
done:
    atn_arena_rewind(cx, mark);
    return st;
}

/* x ln(x / m) + y ln(y / m), m their mean; 0 ln 0 = 0. */
static double divergence_of(double x, double y)
{
    const double m = (x + y) / 2;

    return (x > 0 ? x * log(x / m) : 0) + (y > 0 ? y * log(y / m) : 0);
}

/* NaN where the published code, in float32, has 0 log 0. */
static atn_status divergence(atn_ctx *cx, planning *p, const atn_means *m, double *out)
{
    const atn_arena_mark mark = atn_arena_save(cx);
    atn_status st = ATN_OK;
    bool zero = false;
    double *a = NULL, sum = 0;

    ATN_TAKE(a, p->nb);
    ATN_TRY(mean_row(cx, p, m, a));
    for (atn_idx c = 0; c < p->nb; c++) {
        sum += divergence_of(a[c], p->column[c]);
        zero |= (float)a[c] == 0 || (float)p->column[c] == 0;
    }
    *out = p->as_published && zero ? (double)NAN : sqrt(fmax(sum / 2, 0));
done:
    atn_arena_rewind(cx, mark);
    return st;
}

/* ---- by entries ---- */

typedef struct entries {
    const planning *p;
    const atn_means *means;
    int64_t *at; /* [lists + 1] */
    atn_idx *lo; /* [lists] first block of each */
    double *w;   /* [at[lists]] */
} entries;

static atn_status fill_rows(atn_ctx *cx, atn_idx task, void *state)
{
    const entries *e = state;
    const atn_idx nb = e->means->blocks, at = task * ATN_MEANS_ROWS;
    const atn_idx n = ATN_MIN((atn_idx)ATN_MEANS_ROWS, e->means->lists - at);
    const atn_arena_mark mark = atn_arena_save(cx);
    atn_status st = ATN_OK;
    double *z = NULL;

    ATN_TAKE(z, n * nb);
    ATN_TRY(atn_means_product(cx, e->means, at, n, e->p->h->scale, z));
    for (atn_idx r = 0; r < n; r++) {
        const int64_t first = e->at[at + r], end = e->at[at + r + 1];
        const double *from = z + r * nb + e->lo[at + r];

        for (int64_t x = first; x < end; x++) e->w[x] = from[x - first];
        atn_wide_soften(e->w + first, end - first, -INFINITY);
    }
done:
    atn_arena_rewind(cx, mark);
    return st;
}

/* Which blocks every block row sees. */
static atn_status place(atn_ctx *cx, entries *e)
{
    const atn_idx b = e->p->t->block, lists = e->means->lists;
    atn_status st = ATN_OK;

    ATN_TAKE(e->at, lists + 1);
    ATN_TAKE(e->lo, lists);
    e->at[0] = 0;
    for (atn_idx a = 0; a < lists; a++) {
        const atn_idx from = (e->means->first + a) * b;
        atn_idx lo, hi;

        atn_head_hull(e->p->h, from, from + b, &lo, &hi);
        e->lo[a] = lo / b;
        e->at[a + 1] = e->at[a] + (lo < hi ? (hi - 1) / b - lo / b + 1 : 0);
    }
    ATN_TRY(atn_mem_check(cx, 2.0 * sizeof(double) * (double)e->at[lists],
                          "flexprefill: pairs of blocks"));
    ATN_TAKE(e->w, e->at[lists]);
done:
    return st;
}

static atn_status put_rows(atn_ctx *cx, const entries *e, atn_cut cut,
                           atn_pattern **out)
{
    const atn_frame f = atn_head_frame(e->p->h, e->p->t->block);
    atn_chosen *chosen = NULL;
    atn_status st = ATN_OK;

    ATN_TRY(atn_chosen_open(cx, &f, e->p->t->block, &chosen));
    for (atn_idx a = 0; a < e->means->lists; a++) {
        const atn_oracle_list l = {.r = e->means->first + a,
                                   .lo = e->lo[a],
                                   .n = e->at[a + 1] - e->at[a],
                                   .w = e->w + e->at[a]};
        atn_idx equal = 0;

        if (l.n == 0) continue;
        ATN_TRY(atn_oracle_keep(cx, chosen, &l, cut));
        for (atn_idx c = 0; c < l.n; c++) equal += l.w[c] == cut.at;
        cut.ties -= ATN_MIN(equal, cut.ties);
    }
    st = atn_chosen_finish(cx, chosen, out);
    chosen = NULL;
    ATN_TRY(st);
done:
    atn_chosen_abandon(cx, chosen);
    return st;
}

static atn_status by_entries(atn_ctx *cx, planning *p, const atn_means *m,
                             atn_pattern **out)
{
    const atn_arena_mark mark = atn_arena_save(cx);
    const double slack = p->as_published ? 0 : SLACK;
    entries e = {.p = p, .means = m};
    atn_status st = ATN_OK;
    double *scratch = NULL;
    atn_cut cut;
    atn_idx n;

    ATN_TRY(place(cx, &e));
    n = e.at[m->lists];
    ATN_TAKE(scratch, n);
    ATN_TRY(atn_parallel(cx, (m->lists - 1) / ATN_MEANS_ROWS + 1, fill_rows, &e,
                         "weighing blocks"));
    cut = atn_cut_below_sum(e.w, n, p->t->gamma * (double)m->lists + slack, scratch);
    if (cut.at <= 0) cut = (atn_cut){0, 0}; /* what has no share is never kept */
    ATN_TRY(put_rows(cx, &e, cut, out));
    p->flops += (double)p->h->q.cols * (double)p->h->nq; /* means of queries */
    p->flops += 2 * (double)p->h->q.cols * (double)n;
    p->bytes += ATN_COST_BYTES * ((double)p->h->q.cols * (double)p->h->nq + (double)n);
done:
    atn_arena_rewind(cx, mark);
    return st;
}

/* ---- the method ---- */

static void count(planning *p)
{
    const double d = (double)p->h->q.cols, keys = (double)p->h->nk;

    p->flops = (2 * d + 2) * p->lines.pairs + d * keys + 2 * d * (double)p->nb;
    p->bytes = ATN_COST_BYTES * (d * (keys + (double)p->lines.rows) + p->lines.pairs);
}

static atn_status choose(atn_ctx *cx, planning *p, int64_t *ties, atn_pattern **out)
{
    const atn_idx least = ATN_MIN(in_blocks(p->t, p->t->min_budget), p->nb);
    atn_idx n_v = least, n_g = least;
    atn_pattern *lines = NULL, *some = NULL;
    atn_status st = ATN_OK;
    double jsd = 0;
    atn_means m;

    ATN_TRY(sum_lines(cx, p));
    ATN_TRY(atn_means_of(cx, p->h, p->t->block, &m));
    ATN_TRY(divergence(cx, p, &m, &jsd));
    count(p);
    if (jsd < p->t->tau) {
        ATN_TRY(by_entries(cx, p, &m, &some));
    } else {
        ATN_TRY(blocks_of(cx, p, p->lines.column, p->lines.keys, &n_v));
        ATN_TRY(blocks_of(cx, p, p->lines.diagonal, p->lines.reach, &n_g));
    }
    ATN_TRY(lines_pattern(cx, p, n_v, n_g, ties, &lines));
    if (some) {
        st = atn_pattern_union(cx, lines, some, out);
        some = NULL;
    } else {
        *out = lines;
    }
    lines = NULL;
    ATN_TRY(st);
done:
    atn_pattern_destroy(cx, lines);
    atn_pattern_destroy(cx, some);
    return st;
}

static atn_status plan(atn_ctx *cx, const atn_input *in, const void *params_,
                       atn_idx first, atn_idx n, atn_plan *out)
{
    const flexprefill *t = params_;
    planning p = {.t = t, .h = &in->head[first], .as_published = in->as_published};
    const atn_arena_mark mark = atn_arena_save(cx);
    atn_pattern *pattern = NULL;
    atn_status st = ATN_OK;

    (void)n;
    if (is_dense(t, p.h)) {
        atn_plan_all(out);
        out->tile_rows = out->tile_keys = t->block;
        goto done;
    }
    p.nb = (p.h->nk - 1) / t->block + 1;
    ATN_TRY(choose(cx, &p, &out->ties, &pattern));
    atn_plan_mask(out, pattern, 0, t->block, t->block);
    out->index_flops = p.flops;
    out->index_bytes = p.bytes;
done:
    atn_arena_rewind(cx, mark);
    return st;
}

/* The last rows decide for all. */
static unsigned looks(const void *params_, const atn_input *in)
{
    return is_dense(params_, &in->head[0]) ? 0 : ATN_LOOKS_KEYS | ATN_LOOKS_QUERIES;
}

static double bytes(const atn_ctx *cx, const void *params_, const atn_input *in)
{
    const flexprefill *t = params_;
    const atn_head *h = &in->head[0];
    const double nb = (double)h->nk / (double)t->block + 1;
    const double lists = (double)h->nq / (double)t->block + 2;

    if (is_dense(t, h)) return 0;
    return atn_lines_bytes(h) + atn_means_bytes(cx, h, t->block) +
           sizeof(double) * ((double)h->nk + 12 * nb) + 8 * (double)h->q.cols +
           sizeof(double) * 2 * lists +
           /* the entries and as much scratch; their lists; the lines */
           2 * sizeof(double) * ATN_MIN(lists * nb, lists * lists / 2 + lists * 2) +
           atn_chosen_bytes(cx, h, t->block, t->block, nb) + sizeof(atn_span) * nb +
           atn_lines_pattern_bytes(nb, nb);
}

const atn_method atn_method_flexprefill = {
    .id = "flexprefill",
    .title = "FlexPrefill",
    .family = "block",
    .source = "Lai et al., arXiv 2502.20766, ByteDance-Seed/FlexPrefill",
    .text = "blocks of columns and diagonals, or of entries, that cover a share",
    .reads = ATN_READS_QK,
    .sides = ATN_CAUSAL,
    .publishes = true,
    .params = params,
    .params_size = sizeof(flexprefill),
    .budget = "gamma",
    .looks = looks,
    .plan = plan,
    .bytes = bytes,
};
