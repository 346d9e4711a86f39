/* approx/combiner.c -- Combiner: near keys one by one, all others through summaries, so
 * that every key has weight.
 *
 * Math    a summary of a set X of tokens has the key K_X = pool of k over X, logit
 *         scale q_i . K_X, and the value sum w_j v_j with w = softmax over X of scale
 *         (pool of q over X) . k_j: its weight goes to the tokens in the shares w. A
 *         row is one softmax over keys and summaries,
 *           fixed      segments of B tokens: the own one key by key, the summaries of
 *                      the earlier ones (bidirectional: of all, also the own unless
 *                      `own` says no)
 *           axial      token (r, u) of a grid with m columns: (t, u) with t < r and
 *                      (r, x) with x <= u; summaries of the column above row r for
 *                      every other x, and of every row t < r left and right of u; sums
 *                      whatever the pool
 *           columns    token (r, u) of the same grid: (r, x) with x <= u; summaries of
 *                      every column above row r
 *           logsparse  itself; [0, i) cut by the binary digits of i into ranges of a
 *                      power of 2, high to low, each a summary (of one token: the key)
 *         `log_size` adds ln |X| to the logit of a summary, as dense attention over
 *         equal keys would have it: ours, not of the paper.
 *         Under a sliding window a summary is used where all its tokens are seen, and a
 *         segment seen in part goes key by key; a range of logsparse begins at the
 *         window.
 * Oracle  fixed, causal or own=no: B = n or B = 1 is dense. Q = K = 0, n = 4, B = 2:
 *         row 3 is {1/6, 1/6, 1/3, 1/3}. axial and columns: m = n is dense. Rows sum
 *         to 1, every visible key has weight. cards/kernel-theory.md, G8 and G8-b.
 * Source  Ren et al., arXiv 2107.05768; google-research/combiner, tf/
 *         approx_attention.py. The code has no logsparse, which is a reading of ours,
 *         and columns is another one of the axial form of the paper.
 * Cost    summaries 2 (d + dv) flop a member; entries of a row: fixed B + n / B, axial
 *         3 sqrt n + sqrt n, columns 1.5 sqrt n, logsparse 1 + log2 n.
 * Limits  needs the queries of all tokens. Summaries have no position bias or soft-cap.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#include <math.h>
#include <string.h>

#include "approx/chosen.h"
#include "approx/grouping.h"
#include "core/kernels/kernels.h"
#include "core/rows.h"
#include "core/wide_rows.h"

typedef struct combiner {
    int form, pool;
    int64_t block, m;
    bool own, log_size;
} combiner;

enum { FORM_FIXED, FORM_AXIAL, FORM_COLUMNS, FORM_LOGSPARSE };
enum { POOL_MEAN, POOL_SUM, POOL_MAX };

static const atn_param params[] = {
    ATN_PARAM_CHOICE(combiner, form, FORM_FIXED, "fixed|axial|columns|logsparse",
                     "segments, both axes of a grid, its columns alone, or ranges of "
                     "powers of two"),
    ATN_PARAM_I64(combiner, block, 0, 0, 1e9,
                  "fixed: tokens of a segment, 0 = near the root of all"),
    ATN_PARAM_I64(combiner, m, 0, 0, 1e9,
                  "axial, columns: columns of the grid, 0 = those of the capture's"),
    ATN_PARAM_CHOICE(combiner, pool, POOL_MEAN, "mean|sum|max",
                     "how queries and keys are pooled; axial always takes sums"),
    ATN_PARAM_BOOL(combiner, own, 1,
                   "fixed, bidirectional: also the summary of the own segment"),
    ATN_PARAM_BOOL(combiner, log_size, 0,
                   "add the log of its tokens to the logit of a summary"),
    ATN_PARAM_END,
};

/* Tokens first, first + step, .. : count of them. */
typedef struct summary {
    atn_idx first, step, count;
} summary;

typedef struct job {
    const atn_head *h;
    const combiner *t;
    int pool;
    atn_idx n, block, m; /* tokens; of a segment; columns */
    summary *sums;       /* [n_sums] */
    atn_idx n_sums;
    atn_plan *out;
    atn_grouping groups;
    int32_t *keys; /* of a row */
} job;

/* ---- shapes ---- */

/* Is a nearer to x than b, or as near and larger? */
static bool is_nearer(atn_idx a, atn_idx b, double x)
{
    const double of_a = fabs((double)a - x), of_b = fabs((double)b - x);

    return of_a < of_b || (of_a == of_b && a > b);
}

/* The divisor of n that is nearest to x, the larger of two. */
static atn_idx divisor_near(atn_idx n, double x)
{
    atn_idx best = n;

    for (atn_idx b = 1; b <= n / b; b++) {
        if (n % b != 0) continue;
        if (is_nearer(b, best, x)) best = b;
        if (is_nearer(n / b, best, x)) best = n / b;
    }
    return best;
}

/* Near the root: a divisor within a factor of two, or else the nearest number, with
 * which the last segment is short. */
static atn_idx block_near_root(atn_idx n)
{
    const double root = sqrt((double)n);
    const atn_idx b = divisor_near(n, root);

    if ((double)b >= root / 2 && (double)b <= 2 * root) return b;
    return ATN_MAX(llround(root), 1);
}

static atn_status shape_fixed(atn_ctx *cx, job *j)
{
    atn_status st = ATN_OK;

    j->block = j->t->block > 0 ? j->t->block : block_near_root(j->n);
    if (j->t->block > 0 && j->n % j->block != 0)
        ATN_FAIL(ATN_USAGE,
                 "combiner: %lld tokens are no multiple of block = %lld (give "
                 "block=%lld, or block=0 for one near their root)",
                 (long long)j->n, (long long)j->block,
                 (long long)divisor_near(j->n, (double)j->block));
done:
    return st;
}

static bool has_grid(const combiner *t)
{
    return t->form == FORM_AXIAL || t->form == FORM_COLUMNS;
}

static const char *form_name(const combiner *t)
{
    return t->form == FORM_AXIAL ? "axial" : "columns";
}

static atn_status shape_grid(atn_ctx *cx, job *j, const atn_input *in)
{
    const atn_sight *s = &j->h->sight;
    atn_status st = ATN_OK;
    atn_idx cells = 0;

    if (!s->causal)
        ATN_FAIL(ATN_USAGE,
                 "combiner: form=%s is for causal heads, and those of layer %d are "
                 "bidirectional (give form=fixed)",
                 form_name(j->t), j->h->layer);
    if (s->window > 0 && s->window < j->n)
        ATN_FAIL(ATN_USAGE,
                 "combiner: form=%s has no summaries for a sliding window of %lld "
                 "tokens (give form=fixed or form=logsparse)",
                 form_name(j->t), (long long)s->window);
    j->m = j->t->m;
    if (j->m == 0 && (!in->grid || in->grid->n != 2))
        ATN_FAIL(ATN_DATA,
                 "combiner: form=%s reads a grid of two axes, and the capture names %s "
                 "(give m=COLUMNS, or capture with --grid ROWSxCOLUMNS)",
                 form_name(j->t), in->grid ? "one of others" : "none");
    if (j->m == 0) {
        ATN_TRY(atn_grid_check(cx, "combiner", in));
        j->m = in->grid->at[1];
        if (!atn_mul(in->grid->at[0], j->m, &cells) || cells != j->n)
            ATN_FAIL(
                ATN_USAGE,
                "combiner: form=%s fills the grid, and %lld x %lld is not the %lld "
                "tokens of layer %d (give m=COLUMNS)",
                form_name(j->t), (long long)in->grid->at[0], (long long)j->m,
                (long long)j->n, j->h->layer);
    }
    if (j->m > j->n || j->n % j->m != 0)
        ATN_FAIL(ATN_USAGE,
                 "combiner: %lld tokens are no multiple of m = %lld columns (give "
                 "m=%lld)",
                 (long long)j->n, (long long)j->m,
                 (long long)divisor_near(j->n, (double)j->m));
done:
    return st;
}

static atn_status shape(atn_ctx *cx, job *j, const atn_input *in)
{
    const atn_head *h = j->h;
    atn_status st = ATN_OK;

    j->n = h->nk;
    j->pool = j->t->form == FORM_AXIAL ? POOL_SUM : j->t->pool;
    if (h->nq != h->nk || h->sight.offset != 0)
        ATN_FAIL(
            ATN_DATA,
            "combiner: summaries pool queries too, and there are queries of %lld of "
            "the %lld tokens (capture the whole prefill)",
            (long long)h->nq, (long long)h->nk);
    if (j->t->form == FORM_FIXED) ATN_TRY(shape_fixed(cx, j));
    if (has_grid(j->t)) ATN_TRY(shape_grid(cx, j, in));
    if (j->t->form == FORM_LOGSPARSE && !h->sight.causal)
        ATN_FAIL(ATN_USAGE,
                 "combiner: form=logsparse is for causal heads, and those of layer %d "
                 "are bidirectional (give form=fixed)",
                 h->layer);
done:
    return st;
}

/* ---- which summaries there are ---- */

/* Where those of axial begin: columns above rows 1 .. R - 1, rows 0 .. R - 2 up to a
 * column and from one on. */
static atn_idx column_above(const job *j, atn_idx r, atn_idx x)
{
    return (r - 1) * j->m + x;
}

static atn_idx row_left(const job *j, atn_idx t, atn_idx u) /* u > 0 */
{
    return (j->n / j->m - 1) * j->m + t * (j->m - 1) + u - 1;
}

static atn_idx row_right(const job *j, atn_idx t, atn_idx u) /* u < m - 1 */
{
    return row_left(j, j->n / j->m - 1, 1) + t * (j->m - 1) + u;
}

/* Of ranges of 2^level tokens, level > 0: where they begin. */
static atn_idx ranges_before(const job *j, int level)
{
    atn_idx n = 0;

    for (int l = 1; l < level; l++) n += j->n >> l;
    return n;
}

static void list_columns(job *j)
{
    for (atn_idx r = 1; r < j->n / j->m; r++)
        for (atn_idx x = 0; x < j->m; x++)
            j->sums[column_above(j, r, x)] = (summary){x, j->m, r};
}

static void list_axial(job *j)
{
    const atn_idx rows = j->n / j->m, m = j->m;

    if (m == 1) return;
    list_columns(j);
    for (atn_idx t = 0; t < rows - 1; t++) {
        for (atn_idx u = 1; u < m; u++)
            j->sums[row_left(j, t, u)] = (summary){t * m, 1, u};
        for (atn_idx u = 0; u < m - 1; u++)
            j->sums[row_right(j, t, u)] = (summary){t * m + u + 1, 1, m - 1 - u};
    }
}

static atn_status list_sums(atn_ctx *cx, job *j)
{
    const atn_idx rows = j->m > 0 ? j->n / j->m : 0;
    atn_status st = ATN_OK;

    if (j->t->form == FORM_FIXED)
        j->n_sums = (j->n + j->block - 1) / j->block;
    else if (j->t->form == FORM_AXIAL)
        j->n_sums = j->m > 1 ? (rows - 1) * (j->m + 2 * (j->m - 1)) : 0;
    else if (j->t->form == FORM_COLUMNS)
        j->n_sums = (rows - 1) * j->m;
    else
        j->n_sums = ranges_before(j, 63);
    if (j->n_sums > INT32_MAX - j->n)
        ATN_FAIL(ATN_MEMORY, "combiner: %lld summaries are too many",
                 (long long)j->n_sums);
    ATN_TAKE(j->sums, j->n_sums);
    if (j->t->form == FORM_AXIAL) list_axial(j);
    if (j->t->form == FORM_COLUMNS) list_columns(j);
    for (atn_idx s = 0; j->t->form == FORM_FIXED && s < j->n_sums; s++)
        j->sums[s] = (summary){s * j->block, 1, ATN_MIN(j->block, j->n - s * j->block)};
    for (int l = 1; j->t->form == FORM_LOGSPARSE && j->n >> l > 0; l++)
        for (atn_idx s = 0; s < j->n >> l; s++)
            j->sums[ranges_before(j, l) + s] = (summary){s << l, 1, (atn_idx)1 << l};
done:
    return st;
}

/* ---- what they are ---- */

/* Pool of the rows of x in s; sum [cols] is scratch. */
static void pool(const job *j, atn_cmat x, const summary *s, double *sum)
{
    for (atn_idx e = 0; e < x.cols; e++) sum[e] = j->pool == POOL_MAX ? -INFINITY : 0;
    for (atn_idx i = 0; i < s->count; i++) {
        const float *row = atn_crow(x, s->first + i * s->step);

        for (atn_idx e = 0; e < x.cols; e++)
            sum[e] = j->pool == POOL_MAX ? fmax(sum[e], (double)row[e])
                                         : sum[e] + (double)row[e];
    }
    for (atn_idx e = 0; e < x.cols && j->pool == POOL_MEAN; e++)
        sum[e] /= (double)s->count;
}

/* Weights of the members, w [count], for the pooled query. */
static void weigh(const atn_head *h, const summary *s, const double *query, double *w)
{
    for (atn_idx i = 0; i < s->count; i++) {
        const float *key = atn_crow(h->k, s->first + i * s->step);

        w[i] = 0;
        for (atn_idx e = 0; e < h->k.cols; e++) w[i] += query[e] * (double)key[e];
        w[i] *= h->scale;
    }
    atn_wide_soften(w, s->count, -INFINITY);
}

enum { SUMS_OF_TASK = 64 };

static atn_status summarise(atn_ctx *cx, atn_idx task, void *state)
{
    const job *j = state;
    const atn_head *h = j->h;
    const atn_idx d = h->k.cols, dv = h->v.data ? h->v.cols : 0;
    const atn_idx first = task * SUMS_OF_TASK;
    const atn_arena_mark mark = atn_arena_save(cx);
    atn_status st = ATN_OK;
    double *pooled = NULL, *w = NULL, *value = NULL;

    ATN_TAKE(pooled, d);
    ATN_TAKE(value, dv);
    ATN_TAKE(w, j->n);
    for (atn_idx v = first; v < ATN_MIN(first + SUMS_OF_TASK, j->n_sums); v++) {
        const summary *s = &j->sums[v];
        const int64_t at = j->out->expand_ptr[v];

        pool(j, h->q, s, pooled);
        weigh(h, s, pooled, w);
        pool(j, h->k, s, pooled);
        for (atn_idx e = 0; e < d; e++) j->out->vk[v * d + e] = (float)pooled[e];
        for (atn_idx e = 0; e < dv; e++) value[e] = 0;
        for (atn_idx i = 0; i < s->count; i++) {
            const atn_idx token = s->first + i * s->step;

            j->out->expand[at + i] = (int32_t)token;
            j->out->expand_weight[at + i] = (float)w[i];
            if (dv > 0) atn_row_add(atn_crow(h->v, token), dv, w[i], value);
        }
        for (atn_idx e = 0; e < dv; e++) j->out->vv[v * dv + e] = (float)value[e];
    }
done:
    atn_arena_rewind(cx, mark);
    return st;
}

static atn_status make_virtuals(atn_ctx *cx, job *j)
{
    const atn_idx d = j->h->k.cols, dv = j->h->v.data ? j->h->v.cols : 0;
    atn_idx members = 0, widest = 0;
    atn_plan *out = j->out;
    atn_status st = ATN_OK;

    for (atn_idx v = 0; v < j->n_sums; v++) members += j->sums[v].count;
    if (!atn_mul(j->n_sums, d + dv, &widest))
        ATN_FAIL(ATN_MEMORY, "combiner: %lld summaries are too many",
                 (long long)j->n_sums);
    ATN_TRY(atn_mem_check(cx, 8 * (double)members + 4 * (double)widest,
                          "combiner: summaries"));
    out->virtuals = j->n_sums;
    ATN_NEW(out->vk, j->n_sums * d);
    if (j->h->v.data) ATN_NEW(out->vv, j->n_sums * dv);
    ATN_NEW(out->expand_ptr, j->n_sums + 1);
    for (atn_idx v = 0; v < j->n_sums; v++)
        out->expand_ptr[v + 1] = out->expand_ptr[v] + j->sums[v].count;
    ATN_NEW(out->expand, members);
    ATN_NEW(out->expand_weight, members);
    ATN_TRY(atn_parallel(cx, (j->n_sums + SUMS_OF_TASK - 1) / SUMS_OF_TASK, summarise,
                         j, "summaries"));
    /* members in, summaries out */
    out->index_flops = 2 * (double)members * (double)(d + dv);
    out->index_bytes = ATN_COST_BYTES * ((double)members * (double)(2 * d + dv) +
                                         (double)j->n_sums * (double)(d + dv));
done:
    return st;
}

/* ---- who reads what ---- */

static atn_status add_sum(atn_ctx *cx, job *j, atn_idx v)
{
    const int32_t key = (int32_t)(j->h->nk + v);

    return atn_grouping_keys(cx, &j->groups, &key, 1,
                             j->t->log_size ? log((double)j->sums[v].count) : 0);
}

static atn_status add_segment(atn_ctx *cx, job *j, atn_idx s)
{
    const summary *of = &j->sums[s];

    for (atn_idx i = 0; i < of->count; i++) j->keys[i] = (int32_t)(of->first + i);
    return atn_grouping_keys(cx, &j->groups, j->keys, of->count, 0);
}

/* Segments of which row i sees all or a part. */
typedef struct cover {
    atn_idx own, full0, full1; /* segments [full0, full1) are summaries */
    atn_idx left, right;       /* seen in part, -1 = none; never the own one */
} cover;

static cover cover_of(const job *j, atn_idx i)
{
    const atn_idx b = j->block;
    cover c = {.own = i / b, .left = -1, .right = -1};
    atn_idx lo, hi;

    atn_sight_row(&j->h->sight, i, &lo, &hi);
    c.full0 = (lo + b - 1) / b;
    c.full1 = j->h->sight.causal ? c.own : hi == j->n ? j->n_sums : hi / b;
    if (lo % b != 0 && lo / b != c.own) c.left = lo / b;
    if (!j->h->sight.causal && c.full1 < j->n_sums && hi % b != 0 && hi / b != c.own)
        c.right = hi / b;
    c.full1 = ATN_MAX(c.full1, c.full0);
    return c;
}

static bool same_cover(const cover *a, const cover *b)
{
    return a->own == b->own && a->full0 == b->full0 && a->full1 == b->full1 &&
           a->left == b->left && a->right == b->right;
}

/* Its summary; not the own one, bidirectional, where that is not wanted. */
static atn_status add_summary(atn_ctx *cx, job *j, const cover *c, atn_idx s)
{
    return s == c->own && !j->t->own ? ATN_OK : add_sum(cx, j, s);
}

static bool is_alone(const job *j, const cover *c)
{
    const bool own_only = c->full0 == c->own && c->full1 == c->own + 1;

    return (c->full0 == c->full1 || (own_only && !j->t->own)) && c->left < 0 &&
           c->right < 0;
}

static atn_status group_fixed(atn_ctx *cx, job *j)
{
    atn_status st = ATN_OK;
    cover last = {.own = -1};

    for (atn_idx i = 0; i < j->n; i++) {
        const cover c = cover_of(j, i);
        const int32_t row = (int32_t)i;

        if (is_alone(j, &c)) continue;
        if (!same_cover(&c, &last)) {
            ATN_TRY(atn_grouping_begin(cx, &j->groups));
            if (c.left >= 0) ATN_TRY(add_segment(cx, j, c.left));
            for (atn_idx s = c.full0; s < c.full1; s++)
                ATN_TRY(add_summary(cx, j, &c, s));
            if (c.right >= 0) ATN_TRY(add_segment(cx, j, c.right));
        }
        last = c;
        ATN_TRY(atn_grouping_rows(cx, &j->groups, &row, 1));
    }
done:
    return st;
}

static atn_status group_axial(atn_ctx *cx, job *j, atn_idx i)
{
    const atn_idx r = i / j->m, u = i % j->m;
    const int32_t row = (int32_t)i;
    atn_status st = ATN_OK;

    if (r == 0) return ATN_OK;
    ATN_TRY(atn_grouping_begin(cx, &j->groups));
    ATN_TRY(atn_grouping_rows(cx, &j->groups, &row, 1));
    for (atn_idx x = 0; x < j->m; x++)
        if (x != u) ATN_TRY(add_sum(cx, j, column_above(j, r, x)));
    for (atn_idx t = 0; t < r; t++) {
        if (u > 0) ATN_TRY(add_sum(cx, j, row_left(j, t, u)));
        if (u < j->m - 1) ATN_TRY(add_sum(cx, j, row_right(j, t, u)));
    }
done:
    return st;
}

static atn_status group_columns(atn_ctx *cx, job *j, atn_idx i)
{
    const atn_idx r = i / j->m;
    const int32_t row = (int32_t)i;
    atn_status st = ATN_OK;

    if (r == 0) return ATN_OK;
    if (i % j->m == 0) {
        ATN_TRY(atn_grouping_begin(cx, &j->groups));
        for (atn_idx x = 0; x < j->m; x++)
            ATN_TRY(add_sum(cx, j, column_above(j, r, x)));
    }
    ATN_TRY(atn_grouping_rows(cx, &j->groups, &row, 1));
done:
    return st;
}

/* [lo, i) in ranges of a power of two that begin at a multiple of it. */
static atn_status group_ranges(atn_ctx *cx, job *j, atn_idx i)
{
    const int32_t row = (int32_t)i;
    atn_status st = ATN_OK;
    atn_idx lo, hi;

    atn_sight_row(&j->h->sight, i, &lo, &hi);
    ATN_TRY(atn_grouping_begin(cx, &j->groups));
    ATN_TRY(atn_grouping_rows(cx, &j->groups, &row, 1));
    while (lo < i) {
        int level = 0;

        while (lo % ((atn_idx)2 << level) == 0 && lo + ((atn_idx)2 << level) <= i)
            level++;
        j->keys[0] = (int32_t)lo;
        if (level == 0)
            ATN_TRY(atn_grouping_keys(cx, &j->groups, j->keys, 1, 0));
        else
            ATN_TRY(add_sum(cx, j, ranges_before(j, level) + (lo >> level)));
        lo += (atn_idx)1 << level;
    }
    ATN_TRY(atn_grouping_keys(cx, &j->groups, &row, 1, 0));
done:
    return st;
}

/* Entries of all groups, nearly. */
static double entries(const job *j)
{
    const double n = (double)j->n, b = (double)j->block, m = (double)j->m;

    if (j->t->form == FORM_FIXED)
        return n / b * (j->h->sight.causal ? n / b / 2 + 1 : n / b);
    if (j->t->form == FORM_AXIAL) return n * (m - 1 + n / m);
    if (j->t->form == FORM_COLUMNS) return n; /* a list for a row of the grid */
    return n * (log2(n) / 2 + 1);
}

static atn_status group_all(atn_ctx *cx, job *j)
{
    const bool by_row = j->t->form != FORM_FIXED;
    const atn_grouping_size size = {by_row ? j->n : j->n_sums, j->n,
                                    (atn_idx)ceil(entries(j)), j->t->log_size};
    atn_status st = ATN_OK;

    ATN_TAKE(j->keys, j->n);
    ATN_TRY(atn_grouping_open(cx, &size, "combiner: who reads what", &j->groups));
    if (!by_row) ATN_TRY(group_fixed(cx, j));
    for (atn_idx i = 0; by_row && i < j->n; i++)
        if (j->t->form == FORM_AXIAL)
            ATN_TRY(group_axial(cx, j, i));
        else if (j->t->form == FORM_COLUMNS)
            ATN_TRY(group_columns(cx, j, i));
        else
            ATN_TRY(group_ranges(cx, j, i));
    atn_grouping_finish(cx, &j->groups, &j->out->branch[0]);
done:
    atn_grouping_release(cx, &j->groups);
    return st;
}

/* The next part: this pattern. */
static void add_pattern(atn_branch *b, atn_pattern *p)
{
    b->part[b->parts++].pattern = p;
}

/* What is read key by key: segments, of axial also the column above. */
static atn_status plan_direct(atn_ctx *cx, job *j)
{
    const atn_frame f = atn_head_frame(j->h, 1);
    const atn_idx step = has_grid(j->t) ? j->m : j->block;
    const atn_idx n = (j->n + step - 1) / step;
    atn_branch *b = &j->out->branch[0];
    atn_pattern *p = NULL;
    atn_status st = ATN_OK;
    atn_span *above = NULL;
    atn_idx *starts = NULL;

    ATN_TAKE(starts, n);
    for (atn_idx s = 0; s < n; s++) starts[s] = s * step;
    ATN_TRY(atn_pattern_segments(cx, &f, starts, n, &p));
    add_pattern(b, p);
    if (j->t->form != FORM_AXIAL || n == 1) goto done;
    ATN_TAKE(above, n - 1);
    for (atn_idx s = 1; s < n; s++) above[s - 1] = (atn_span){s * step, s * step + 1};
    if (step == 1) above[0].hi = n; /* they touch */
    ATN_TRY(atn_pattern_shift(cx, &f, above, step == 1 ? 1 : n - 1, 0, &p));
    add_pattern(b, p);
done:
    return st;
}

static atn_status plan(atn_ctx *cx, const atn_input *in, const void *params_,
                       atn_idx first, atn_idx n, atn_plan *out)
{
    const atn_arena_mark mark = atn_arena_save(cx);
    job j = {.h = &in->head[first], .t = params_, .out = out};
    atn_status st = ATN_OK;

    (void)n;
    out->branches = 1;
    ATN_TRY(shape(cx, &j, in));
    ATN_TRY(list_sums(cx, &j));
    ATN_TRY(make_virtuals(cx, &j));
    if (j.t->form != FORM_LOGSPARSE) ATN_TRY(plan_direct(cx, &j));
    ATN_TRY(group_all(cx, &j));
done:
    atn_arena_rewind(cx, mark);
    return st;
}

/* Summaries and their members: what is computed at a time, and who reads what, which
 * may have twice the room while it grows. */
static double bytes(const atn_ctx *cx, const void *params_, const atn_input *in)
{
    const combiner *t = params_;
    const atn_head *h = &in->head[0];
    const double dv = h->v.data ? (double)h->v.cols : 0;
    job j = {.h = h, .t = t, .n = h->nk};
    const double n = (double)j.n;
    double sums = n, members = n, lists;

    j.block = t->block > 0 ? t->block : block_near_root(j.n);
    j.m = t->m > 0 ? t->m : in->grid && in->grid->n == 2 ? in->grid->at[1] : 1;
    if (t->form == FORM_FIXED) {
        sums = n / (double)j.block + 1;
    } else if (t->form == FORM_AXIAL) {
        sums = 3 * n;
        members = n * (n / (double)j.m / 2 + (double)j.m);
    } else if (t->form == FORM_COLUMNS) {
        members = n * n / (double)j.m / 2 + n;
    } else {
        members = n * log2(n);
    }
    lists = 16 * (t->form == FORM_FIXED ? 4 * sums : n) + 8 * n +
            (t->log_size ? 8 : 4) * entries(&j) * 2;
    return sums * (sizeof(summary) + 4 * ((double)h->k.cols + dv) + 8) + 8 * members +
           lists + 24 * n + cx->threads * 8 * (n + (double)h->k.cols + dv);
}

const atn_method atn_method_combiner = {
    .id = "combiner",
    .title = "Combiner",
    .family = "summary",
    .source = "Ren et al., Combiner, arXiv 2107.05768; google-research/combiner",
    .text = "near keys one by one, all others through summaries",
    .reads = ATN_READS_QK,
    .sides = ATN_BOTH_WAYS,
    .params = params,
    .params_size = sizeof(combiner),
    .exact = "form=fixed,block=#,own=no",
    .plan = plan,
    .bytes = bytes,
};
