/* approx/minference.c -- MInference: every head one of a few shapes, found by a search;
 * which columns, diagonals or blocks are kept is read off the last queries, or block
 * means.
 *
 * Math    vertical_slash: P of the last rows; the v columns and the s diagonals of the
 *             largest sums (approx/lines.h), the first ones of each always among them;
 *             v and s are at least v_least and s_least
 *         a_shape: j < sink or i - j < window
 *         block: means of blocks of queries and keys, the k largest products a block
 *             row, the diagonal not forced
 *         tri: a_shape, and the last rows dense
 *         search: of a_shape (100, 800), vertical_slash (30, 800), (100, 750),
 *             (500, 700), (3500, 100) and 1 / 8 of the blocks of 32, what keeps most of
 *             the weight on the mean over rows from min(skip, nk / 2) on, at most
 *             `rows` of them, evenly spaced; the first of equal ones
 *         All sizes times `ratio`, cut to whole numbers. With `plan` the shapes and
 *         sizes are those of a file, approx/shape_file.h.
 * Oracle  v >= n, s >= n or k >= blocks: dense. Weight on one column alone: v = 1 and
 *         what is forced holds all of it.
 * Source  Jiang et al., arXiv 2407.02490, microsoft/MInference minference_forward.py
 *         and vertical_slash_index.cu. As published: the kernel attends all of the
 *         64-key blocks that it rounds diagonals to; block keeps at most n / 64 blocks;
 *         the search's band is one wider, a short prompt gets the shape of an unknown
 *         head, (1000, 6096), and so does one whose best are blocks.
 * Cost    2 last n d flop; block 2 (n / block)^2 d; search 2 rows n d. Memory a few
 *         rows, of as published and block a list a block row.
 * Limits  prefill of causal heads.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#include <math.h>
#include <string.h>

#include "approx/lines.h"
#include "approx/shape_file.h"
#include "core/wide_rows.h"

enum { SEARCH, A_SHAPE, VERTICAL_SLASH, BLOCK, TRI };
enum { KERNEL = 64 }; /* rows and keys of a tile of the kernels */
enum { V_UNKNOWN = ATN_SHAPE_V, S_UNKNOWN = ATN_SHAPE_S };

typedef struct minference {
    int64_t v, s, k, block, sink, window, tail, last;
    int64_t v_first, s_first, v_least, s_least, skip, rows;
    double ratio;
    int form;
    char plan[ATN_TEXT_MOST];
} minference;

#define SIZE(field, def, text) ATN_PARAM_I64(minference, field, def, 0, 1 << 30, text)

static const atn_param params[] = {
    ATN_PARAM_CHOICE(minference, form, SEARCH,
                     "search|a_shape|vertical_slash|block|tri",
                     "the shape of the head"),
    SIZE(v, V_UNKNOWN, "columns of vertical_slash"),
    SIZE(s, S_UNKNOWN, "diagonals of vertical_slash"),
    ATN_PARAM_I64(minference, last, 64, 1, 1 << 20, "last queries that are read"),
    SIZE(v_first, 30, "first columns, always kept"),
    SIZE(s_first, 30, "nearest diagonals, always kept"),
    SIZE(v_least, 30, "columns at least"),
    SIZE(s_least, 50, "diagonals at least"),
    SIZE(k, 100, "blocks of keys a block row of form block keeps"),
    ATN_PARAM_I64(minference, block, 64, 1, 1 << 20, "tokens of a block of form block"),
    SIZE(sink, 100, "first tokens of a_shape and tri"),
    SIZE(window, 800, "recent tokens of a_shape and tri"),
    SIZE(tail, 100, "last queries that tri leaves dense"),
    SIZE(skip, 2500, "first queries that the search does not look at"),
    ATN_PARAM_I64(minference, rows, 512, 1, 1 << 20,
                  "queries that the search looks at"),
    ATN_PARAM_F64(minference, ratio, 1, 0, 1024, "all sizes times this"),
    ATN_PARAM_TEXT(minference, plan,
                   "file with the shape of every head; form is not read"),
    ATN_PARAM_END,
};

typedef struct planning {
    const minference *t;
    const atn_head *h;
    bool as_published;
    bool summed;
    atn_lines lines; /* of the last rows, once they are summed; read only */
} planning;

/* A pattern, its tile, and what choosing it took. */
typedef struct shape {
    atn_pattern *pattern;
    atn_idx tile_rows, tile_keys;
    double flops, bytes;
    int64_t ties;
} shape;

static atn_idx scaled(const planning *p, atn_idx size)
{
    const double x = (double)size * p->t->ratio;

    return x >= 1 << 30 ? 1 << 30 : (atn_idx)x;
}

/* ---- a_shape and tri ---- */

static atn_status a_shape(atn_ctx *cx, const planning *p, atn_idx sink, atn_idx window,
                          shape *out)
{
    const atn_frame f = atn_head_frame(p->h, 1);
    const atn_span near = {0, ATN_MIN(window, f.first + f.nq)};

    out->tile_rows = out->tile_keys = KERNEL;
    return atn_pattern_shift(cx, &f, &near, near.hi > 0, ATN_MIN(sink, f.nk),
                             &out->pattern);
}

static atn_status tri(atn_ctx *cx, const planning *p, shape *out)
{
    const atn_frame f = atn_head_frame(p->h, 1);
    const atn_idx end = f.first + f.nq, tail = scaled(p, p->t->tail);
    const atn_box dense = {{ATN_MAX(end - tail, 0), end}, {0, f.nk}};
    atn_pattern *a = NULL, *last = NULL;
    atn_status st = ATN_OK;

    ATN_TRY(a_shape(cx, p, scaled(p, p->t->sink), scaled(p, p->t->window), out));
    if (tail == 0) goto done;
    ATN_TRY(atn_pattern_boxes(cx, &f, &dense, 1, &last));
    a = out->pattern;
    out->pattern = NULL;
    ATN_TRY(atn_pattern_union(cx, a, last, &out->pattern));
done:
    return st;
}

/* ---- vertical_slash ---- */

/* The 64-key blocks that the published kernel makes of diagonals, for the queries
 * [end - 64, end): the largest distance first, a block ends where its diagonal leaves
 * the queries; one that ends within 64 keys of the range so far makes that longer by a
 * whole block. Columns beyond the last range are lost. */
typedef struct rounding {
    atn_lines_list columns, diagonals;
    atn_chosen *chosen;
} rounding;

/* Ranges of one block row into out [diagonals + 1]; returns how many. Without a
 * diagonal there is one at the own queries, beyond them where all are too far. */
static atn_idx round_ranges(const rounding *r, atn_idx end, atn_span *out)
{
    const atn_idx none = r->diagonals.n > 0 ? end + KERNEL : end + 1;
    atn_idx n = 0;

    for (atn_idx s = r->diagonals.n; s-- > 0;)
        for (atn_idx g = r->diagonals.at[s].hi; g-- > r->diagonals.at[s].lo;) {
            const atn_idx to = ATN_MAX(end - g, (atn_idx)KERNEL);

            if (g >= end) continue;
            if (n == 0 || to > out[n - 1].hi + KERNEL)
                out[n++] = (atn_span){to - KERNEL, to};
            else if (to > out[n - 1].hi)
                out[n - 1].hi += KERNEL;
        }
    if (n == 0) out[n++] = (atn_span){none - KERNEL, none};
    return n;
}

static atn_status round_row(atn_ctx *cx, atn_idx task, void *state)
{
    const rounding *r = state;
    const atn_arena_mark mark = atn_arena_save(cx);
    atn_idx first, past, n, end, reach = 0;
    atn_status st = ATN_OK;
    atn_span *spans = NULL;

    atn_chosen_lists(r->chosen, &first, &past);
    end = (first + task + 1) * KERNEL;
    for (atn_idx s = 0; s < r->diagonals.n; s++)
        reach += r->diagonals.at[s].hi - r->diagonals.at[s].lo;
    ATN_TAKE(spans, reach + r->columns.n + 1);
    n = round_ranges(r, end, spans);
    reach = spans[n - 1].hi;
    for (atn_idx c = 0; c < r->columns.n && r->columns.at[c].lo < reach; c++)
        spans[n++] =
            (atn_span){r->columns.at[c].lo, ATN_MIN(r->columns.at[c].hi, reach)};
    ATN_TRY(atn_chosen_put(cx, r->chosen, first + task, spans, n));
done:
    atn_arena_rewind(cx, mark);
    return st;
}

static atn_status rounded(atn_ctx *cx, const planning *p, rounding *r, shape *out)
{
    const atn_frame f = atn_head_frame(p->h, 1);
    atn_status st = ATN_OK;
    atn_idx first, end;

    ATN_TRY(atn_chosen_open(cx, &f, KERNEL, &r->chosen));
    atn_chosen_lists(r->chosen, &first, &end);
    ATN_TRY(atn_parallel(cx, end - first, round_row, r, "rounding lines"));
    st = atn_chosen_finish(cx, r->chosen, &out->pattern);
    r->chosen = NULL;
    ATN_TRY(st);
done:
    atn_chosen_abandon(cx, r->chosen);
    r->chosen = NULL;
    return st;
}

/* What the last rows say, once for all sizes. */
static atn_status sum_lines(atn_ctx *cx, planning *p)
{
    atn_status st = ATN_OK;

    if (p->summed) goto done;
    ATN_TRY(atn_lines_sum(cx, p->h, p->t->last, &p->lines));
    p->summed = true;
done:
    return st;
}

/* The best spans of n scores, into the arena; scores stay. */
static atn_status best(atn_ctx *cx, const double *score, atn_idx n,
                       const atn_lines_rule *rule, atn_lines_list *out, int64_t *ties)
{
    double *copy = NULL, *scratch = NULL;
    atn_status st = ATN_OK;

    ATN_TAKE(out->at, ATN_MIN(rule->k, n));
    ATN_TAKE(copy, n);
    ATN_TAKE(scratch, n);
    if (n > 0) memcpy(copy, score, (size_t)n * sizeof *copy);
    out->n = atn_lines_best(copy, n, rule, out->at, scratch, ties);
done:
    return st;
}

/* The lines are summed already; round: to the blocks of the published kernel. */
static atn_status vertical_slash(atn_ctx *cx, const planning *p, atn_idx v, atn_idx s,
                                 bool round, shape *out)
{
    const atn_arena_mark mark = atn_arena_save(cx);
    const atn_frame f = atn_head_frame(p->h, 1);
    const atn_lines *l = &p->lines;
    const double d = (double)p->h->q.cols;
    const atn_lines_rule columns = {v, ATN_MAX(p->t->v_first - l->key0, 0), l->key0};
    const atn_lines_rule diagonals = {s, p->t->s_first, 0};
    atn_status st = ATN_OK;
    rounding r = {0};

    ATN_TRY(best(cx, l->column, l->keys, &columns, &r.columns, &out->ties));
    ATN_TRY(best(cx, l->diagonal, l->reach, &diagonals, &r.diagonals, &out->ties));
    out->tile_rows =
        KERNEL;         /* it gathers columns one by one, and 64 queries touch 64 */
    out->tile_keys = 1; /* keys of a diagonal */
    out->flops = (2 * d + 2) * l->pairs;
    out->bytes = ATN_COST_BYTES * (d * (double)(l->keys + l->rows) + l->pairs);
    if (round)
        ATN_TRY(rounded(cx, p, &r, out));
    else
        ATN_TRY(atn_lines_pattern(cx, &f, r.columns, r.diagonals, &out->pattern));
done:
    atn_arena_rewind(cx, mark);
    return st;
}

/* ---- block ---- */

typedef struct blocks {
    const planning *p;
    atn_means means;
    atn_idx block, k;
    atn_chosen *chosen;
    int64_t *ties;
} blocks;

static atn_status score_blocks(atn_ctx *cx, atn_idx task, void *state)
{
    const blocks *b = state;
    const atn_head *h = b->p->h;
    const atn_idx at = task * ATN_MEANS_ROWS;
    const atn_idx n = ATN_MIN((atn_idx)ATN_MEANS_ROWS, b->means.lists - at);
    const atn_arena_mark mark = atn_arena_save(cx);
    double *z = NULL, *scratch = NULL;
    atn_status st = ATN_OK;
    atn_span *spans = NULL;

    ATN_TAKE(z, n * b->means.blocks);
    ATN_TAKE(scratch, b->means.blocks);
    ATN_TAKE(spans, b->means.blocks);
    ATN_TRY(atn_means_product(cx, &b->means, at, n, 1, z));
    for (atn_idx r = 0; r < n; r++) {
        const atn_idx list = b->means.first + at + r;
        atn_idx lo, hi, kept;

        atn_head_hull(h, list * b->block, (list + 1) * b->block, &lo, &hi);
        if (lo >= hi) continue;
        lo /= b->block;
        hi = (hi - 1) / b->block + 1;
        kept = atn_lines_best(z + r * b->means.blocks + lo, hi - lo,
                              &(atn_lines_rule){b->k, 0, lo}, spans, scratch,
                              &b->ties[at + r]);
        ATN_TRY(atn_chosen_put(cx, b->chosen, list, spans, kept));
    }
done:
    atn_arena_rewind(cx, mark);
    return st;
}

/* Pairs of blocks that are scored, as many as the mask shows in squares. */
static double scored_pairs(const atn_means *m)
{
    double pairs = 0;

    for (atn_idx a = 0; a < m->lists; a++)
        pairs += (double)ATN_MIN(m->first + a + 1, m->blocks);
    return pairs;
}

static atn_status block_sparse(atn_ctx *cx, const planning *p, atn_idx block, atn_idx k,
                               shape *out)
{
    const atn_arena_mark mark = atn_arena_save(cx);
    const atn_frame f = atn_head_frame(p->h, block);
    blocks b = {.p = p, .block = block, .k = k};
    const double d = (double)p->h->q.cols;
    const double tokens = (double)(p->h->nq + p->h->nk);
    atn_status st = ATN_OK;

    if (p->as_published) b.k = ATN_MIN(b.k, p->h->nk / block);
    ATN_TRY(atn_means_of(cx, p->h, block, &b.means));
    ATN_TAKE(b.ties, b.means.lists);
    memset(b.ties, 0, (size_t)b.means.lists * sizeof *b.ties);
    ATN_TRY(atn_chosen_open(cx, &f, block, &b.chosen));
    ATN_TRY(atn_parallel(cx, (b.means.lists - 1) / ATN_MEANS_ROWS + 1, score_blocks, &b,
                         "scoring blocks"));
    for (atn_idx a = 0; a < b.means.lists; a++) out->ties += b.ties[a];
    out->tile_rows = out->tile_keys = block;
    out->flops = d * tokens + 2 * d * scored_pairs(&b.means);
    out->bytes = ATN_COST_BYTES * (d * tokens + scored_pairs(&b.means));
    st = atn_chosen_finish(cx, b.chosen, &out->pattern);
    b.chosen = NULL;
    ATN_TRY(st);
done:
    atn_chosen_abandon(cx, b.chosen);
    atn_arena_rewind(cx, mark);
    return st;
}

/* ---- search ---- */

static const struct {
    int form;
    atn_idx v, s;
} candidates[] = {{A_SHAPE, 100, 800},         {VERTICAL_SLASH, 30, 800},
                  {VERTICAL_SLASH, 100, 750},  {VERTICAL_SLASH, 500, 700},
                  {VERTICAL_SLASH, 3500, 100}, {BLOCK, 32, 8}};
enum { CANDIDATES = ATN_LEN(candidates) };

static atn_status make_candidate(atn_ctx *cx, const planning *p, int c, shape *out)
{
    const atn_idx v = candidates[c].v, s = candidates[c].s;
    const atn_idx in_blocks = p->h->nk > 0 ? (p->h->nk - 1) / v + 1 : 0;

    switch (candidates[c].form) {
    case A_SHAPE:
        return a_shape(cx, p, scaled(p, v), scaled(p, s) + p->as_published, out);
    case BLOCK:
        return block_sparse(cx, p, v, ATN_MAX(scaled(p, in_blocks / s), 1), out);
    default:
        return vertical_slash(cx, p, scaled(p, v), scaled(p, s), false, out);
    }
}

typedef struct looking {
    const atn_head *some; /* the rows that are looked at */
    const shape *shapes;
    double *held; /* [rows, CANDIDATES] weight that each keeps */
    atn_idx step, room;
} looking;

/* Weight w of the keys [lo, hi) that a candidate has in the row at this position. */
static double held_by(const atn_pattern *p, atn_idx at, const double *w, atn_idx lo,
                      atn_idx hi, atn_span *spans)
{
    const atn_idx n = atn_pattern_keys(p, 0, at, spans);
    double sum = 0;

    for (atn_idx s = 0; s < n; s++)
        for (atn_idx j = ATN_MAX(spans[s].lo, lo); j < ATN_MIN(spans[s].hi, hi); j++)
            sum += w[j - lo];
    return sum;
}

static atn_status look(atn_ctx *cx, atn_idx task, void *state)
{
    const looking *k = state;
    const atn_head *h = k->some;
    const atn_tile t = atn_tile_of(h, task * k->step, k->step);
    const atn_arena_mark mark = atn_arena_save(cx);
    atn_status st = ATN_OK;
    atn_span *spans = NULL;
    double *w = NULL;

    ATN_TAKE(w, t.rows * t.keys);
    ATN_TAKE(spans, k->room);
    ATN_TRY(atn_wide_logits(cx, h, &t, w));
    for (atn_idx r = 0; r < t.rows; r++) {
        const atn_idx i = t.first + r;
        double *row = w + r * t.keys, mass;
        atn_idx lo, hi;

        atn_sight_row(&h->sight, i, &lo, &hi);
        row += lo - t.key0;
        if (lo < hi) ATN_TRY(atn_wide_softmax(cx, h, i, row, hi - lo, &mass));
        for (int c = 0; c < CANDIDATES; c++)
            k->held[i * CANDIDATES + c] =
                lo < hi ? held_by(k->shapes[c].pattern, atn_sight_at(&h->sight, i), row,
                                  lo, hi, spans)
                        : 0;
    }
done:
    atn_arena_rewind(cx, mark);
    return st;
}

/* The rows from `from` on, at most t->rows of them, evenly spaced, the last among
 * them. */
static atn_status rows_of(atn_ctx *cx, const planning *p, atn_idx from, atn_head *out)
{
    const atn_idx all = p->h->nq - from, n = ATN_MIN(all, p->t->rows);
    atn_status st = ATN_OK;
    atn_idx *rows = NULL;

    ATN_TAKE(rows, n);
    for (atn_idx r = 0; r < n; r++) rows[n - 1 - r] = p->h->nq - 1 - r * all / n;
    ATN_TRY(atn_head_sample(cx, p->h, rows, n, out));
done:
    return st;
}

/* Which candidate keeps most. */
static atn_status choose(atn_ctx *cx, const planning *p, const shape *shapes,
                         atn_idx from, int *which)
{
    const atn_arena_mark mark = atn_arena_save(cx);
    looking k = {.shapes = shapes, .step = atn_wide_rows(p->h)};
    double best_sum = -1;
    atn_status st = ATN_OK;
    atn_head some;

    ATN_TRY(rows_of(cx, p, from, &some));
    some.has_sink = false; /* shares of what the keys get */
    k.some = &some;
    ATN_TAKE(k.held, some.nq * CANDIDATES);
    for (int c = 0; c < CANDIDATES; c++)
        k.room = ATN_MAX(k.room, shapes[c].pattern->room);
    ATN_TRY(
        atn_mem_check(cx, cx->threads * atn_wide_bytes(p->h), "minference: search"));
    ATN_TRY(
        atn_parallel(cx, (some.nq - 1) / k.step + 1, look, &k, "searching a shape"));
    for (int c = 0; c < CANDIDATES; c++) {
        double sum = 0;

        for (atn_idx i = 0; i < some.nq; i++) sum += k.held[i * CANDIDATES + c];
        if (sum <= best_sum) continue;
        best_sum = sum;
        *which = c;
    }
done:
    atn_arena_rewind(cx, mark);
    return st;
}

/* What the published search makes of its finding: lines, whatever it was. */
static atn_status as_lines(atn_ctx *cx, const planning *p, int c, shape *out)
{
    const bool unknown = c < 0 || candidates[c].form == BLOCK;
    const atn_idx v = unknown ? V_UNKNOWN : candidates[c].v;
    const atn_idx s = unknown ? S_UNKNOWN : candidates[c].s;

    return vertical_slash(cx, p, ATN_MAX(scaled(p, v), p->t->v_least),
                          ATN_MAX(scaled(p, s), p->t->s_least), true, out);
}

static atn_status search(atn_ctx *cx, planning *p, shape *out)
{
    const atn_idx nk = p->h->nk;
    const bool brief = p->as_published && nk <= p->t->skip;
    /* queries stand at positions offset .. */
    const atn_idx at = p->as_published ? p->t->skip : ATN_MIN(p->t->skip, nk / 2);
    const atn_idx from = ATN_MIN(ATN_MAX(at - p->h->sight.offset, 0), p->h->nq - 1);
    shape shapes[CANDIDATES] = {{0}};
    atn_status st = ATN_OK;
    int which = -1;

    ATN_TRY(sum_lines(cx, p));
    for (int c = 0; !brief && c < CANDIDATES; c++)
        ATN_TRY(make_candidate(cx, p, c, &shapes[c]));
    if (!brief) ATN_TRY(choose(cx, p, shapes, from, &which));
    if (p->as_published) {
        ATN_TRY(as_lines(cx, p, which, out));
    } else {
        *out = shapes[which];
        shapes[which].pattern = NULL;
    }
done:
    for (int c = 0; c < CANDIDATES; c++) atn_pattern_destroy(cx, shapes[c].pattern);
    return st;
}

/* ---- the method ---- */

static atn_status make(atn_ctx *cx, planning *p, shape *out)
{
    const minference *t = p->t;
    atn_status st = ATN_OK;

    switch (t->form) {
    case SEARCH:
        ATN_TRY(search(cx, p, out));
        break;
    case A_SHAPE:
        ATN_TRY(a_shape(cx, p, scaled(p, t->sink), scaled(p, t->window), out));
        break;
    case VERTICAL_SLASH:
        ATN_TRY(sum_lines(cx, p));
        ATN_TRY(vertical_slash(cx, p, ATN_MAX(scaled(p, t->v), t->v_least),
                               ATN_MAX(scaled(p, t->s), t->s_least), p->as_published,
                               out));
        break;
    case BLOCK:
        ATN_TRY(block_sparse(cx, p, t->block, scaled(p, t->k), out));
        break;
    case TRI:
        ATN_TRY(tri(cx, p, out));
        break;
    }
done:
    return st;
}

/* The parameters of the shape that the file has for the head. */
static atn_status read_plan(atn_ctx *cx, const atn_input *in, const atn_head *h,
                            minference *t)
{
    atn_shape_rule rule;
    atn_status st = ATN_OK;

    if (!t->plan[0]) goto done;
    ATN_TRY(atn_shape_file_read(cx, t->plan, h->layer, h->head, in->layers, &rule));
    t->form = rule.type == ATN_SHAPE_LINES  ? VERTICAL_SLASH
              : rule.type == ATN_SHAPE_BAND ? A_SHAPE
                                            : BLOCK;
    if (rule.type == ATN_SHAPE_LINES) {
        t->v = rule.v;
        t->s = rule.s;
    } else if (rule.type == ATN_SHAPE_BAND) {
        t->sink = rule.v;
        t->window = rule.s;
    }
done:
    return st;
}

static atn_status plan(atn_ctx *cx, const atn_input *in, const void *params_,
                       atn_idx first, atn_idx n, atn_plan *out)
{
    minference t = *(const minference *)params_;
    planning p = {.t = &t, .h = &in->head[first], .as_published = in->as_published};
    const atn_arena_mark mark = atn_arena_save(cx);
    atn_status st = ATN_OK;
    shape s = {0};

    (void)n;
    ATN_TRY(read_plan(cx, in, p.h, &t));
    ATN_TRY(make(cx, &p, &s));
    atn_plan_mask(out, s.pattern, 0, s.tile_rows, s.tile_keys);
    s.pattern = NULL;
    out->index_flops = s.flops;
    out->index_bytes = s.bytes;
    out->ties = s.ties;
done:
    atn_pattern_destroy(cx, s.pattern);
    atn_arena_rewind(cx, mark);
    return st;
}

/* ---- bytes ---- */

/* Scores, scratch and spans of v columns and s diagonals as they are chosen, and the
 * pattern of them. */
static double chosen_lines_bytes(const planning *p, double v, double s)
{
    const double n = (double)p->h->nk;
    const double reach = (double)(ATN_MAX(p->h->sight.offset, 0) + p->h->nq);

    v = fmin(v, n);
    s = fmin(s, reach);
    /* of all lines at most half begin a span */
    return 16 * (n + reach) + sizeof(atn_span) * (v + s) +
           atn_lines_pattern_bytes(fmin(v, n / 2 + 1), fmin(s, reach / 2 + 1));
}

/* The same in the blocks of the kernel. */
static double rounded_bytes(const atn_ctx *cx, const planning *p, double v, double s)
{
    const double n = (double)p->h->nk;
    const double reach = (double)(ATN_MAX(p->h->sight.offset, 0) + p->h->nq);
    const double lines = fmin(v, n) + fmin(s, reach) + 2;

    return 16 * (n + reach) + sizeof(atn_span) * lines * (1 + cx->threads) +
           atn_chosen_bytes(cx, p->h, 1, KERNEL, lines);
}

static double block_bytes(const atn_ctx *cx, const planning *p, atn_idx block,
                          atn_idx k)
{
    return atn_means_bytes(cx, p->h, block) +
           atn_chosen_bytes(cx, p->h, block, block, (double)k) +
           sizeof(int64_t) * ((double)p->h->nq / (double)block + 2);
}

/* The lines, all candidates, and the rows that decide. */
static double search_bytes(const atn_ctx *cx, const planning *p)
{
    const double rows = (double)ATN_MIN(p->t->rows, p->h->nq);
    const double row = sizeof(double) * CANDIDATES + sizeof(atn_idx) +
                       sizeof(float) * (double)p->h->q.cols;
    /* a row has no more spans than every other key, and room for those of all lines */
    const double spans = 4 * (double)(p->h->nq + p->h->nk);
    double bytes =
        rows * row + fmin(cx->threads, rows) * (atn_wide_bytes(p->h) + spans);

    for (int c = 0; c < CANDIDATES; c++) {
        const atn_idx v = candidates[c].v, s = candidates[c].s;
        const atn_idx k = scaled(p, ((p->h->nk - 1) / v + 1) / s);

        if (candidates[c].form == BLOCK) bytes += block_bytes(cx, p, v, ATN_MAX(k, 1));
        if (candidates[c].form == VERTICAL_SLASH)
            bytes += chosen_lines_bytes(p, (double)scaled(p, v), (double)scaled(p, s));
    }
    return bytes;
}

static double bytes(const atn_ctx *cx, const void *params_, const atn_input *in)
{
    const minference *t = params_;
    const planning p = {.t = t, .h = &in->head[0], .as_published = in->as_published};
    const double v = (double)ATN_MAX(scaled(&p, t->v), t->v_least);
    const double s = (double)ATN_MAX(scaled(&p, t->s), t->s_least);
    double bytes = 0;

    /* any shape of any size */
    if (t->plan[0])
        return 0x1p16 + atn_lines_bytes(p.h) +
               fmax(p.as_published ? rounded_bytes(cx, &p, INFINITY, INFINITY)
                                   : chosen_lines_bytes(&p, INFINITY, INFINITY),
                    block_bytes(cx, &p, t->block, scaled(&p, t->k)));
    switch (t->form) {
    case SEARCH:
        bytes = atn_lines_bytes(p.h) + search_bytes(cx, &p);
        if (p.as_published) bytes += rounded_bytes(cx, &p, INFINITY, INFINITY);
        break;
    case VERTICAL_SLASH:
        bytes = atn_lines_bytes(p.h) + (p.as_published ? rounded_bytes(cx, &p, v, s)
                                                       : chosen_lines_bytes(&p, v, s));
        break;
    case BLOCK:
        bytes = block_bytes(cx, &p, t->block, scaled(&p, t->k));
        break;
    }
    return bytes;
}

/* The last rows decide for all; in a block, its mean. */
static unsigned looks(const void *params_, const atn_input *in)
{
    const minference *t = params_;

    (void)in;
    if (!t->plan[0] && (t->form == A_SHAPE || t->form == TRI)) return 0;
    return ATN_LOOKS_KEYS | ATN_LOOKS_QUERIES;
}

static const atn_preset presets[] = {
    {"tri_shape", "form=tri", "the first and recent tokens, and dense last queries"},
    {NULL, NULL, NULL},
};

const atn_method atn_method_minference = {
    .id = "minference",
    .title = "MInference",
    .family = "lines",
    .source = "Jiang et al., arXiv 2407.02490, microsoft/MInference",
    .text = "columns and diagonals, a band, or blocks, whichever holds most",
    .reads = ATN_READS_QK,
    .sides = ATN_CAUSAL,
    .publishes = true,
    .params = params,
    .params_size = sizeof(minference),
    .presets = presets,
    .budget = "ratio",
    .looks = looks,
    .plan = plan,
    .bytes = bytes,
};
