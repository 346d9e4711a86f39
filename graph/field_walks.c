/* graph/field_walks.c -- how many ways lead through k layers.
 *
 * Math    w_0 = 1, w_k(i) = sum of w_k-1(j) over the j that i sees in layer k and i
 *         itself, each once: walks of k steps from i. The same from w_0 = e_0 counts
 *         those that end at node 0. Depth by depth for any schedule, and only sums of
 *         what is positive: a difference of prefix sums would lose a short row beside
 *         long ones. A number is m 2^(512 e), 1 <= m < 2^512, so nothing overflows.
 *         Any rows: a tree of sums gives an interval in 2 log N additions; where rows
 *         repeat, the sum over what is held of an earlier row goes on to the next one.
 *         Rows that the last one never reaches within the depth are left as they were,
 *         for w_k-s(j) is asked for only where s steps lead to j. Same offsets
 *         everywhere: a group of offsets (field_shift.c) is a sliding sum, by the sums
 *         to both ends of pieces as long as the window. A grid: the walks are those
 *         along the axes multiplied, as rows are products that hold themselves.
 * Oracle  causal and dense: C(N - 1 + k, k). Exact below 2^53; beyond, the relative
 *         error is at most k 2^-53 times the additions of a row: 2 log2 N + 1 an
 *         interval, and of what is held the steps of a segment; the window of a sliding
 *         sum, N where all is seen (7e-9 at a million nodes and 64 layers, as roundings
 *         go 1e-11).
 * Source  sliding sums: van Herk 1992, of maxima.
 * Cost    a layer: its rows once, or some passes over the nodes for each group; 96
 *         bytes a node, 144 where sums slide.
 * Limits  rows of more than 2^33 intervals in all are left out, with a warning, and so
 *         is what needs more than 2 GiB, or than the memory limit where there is one.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#include <math.h>

#include "core/rows.h"
#include "graph/field_internal.h"

enum { CHUNK = 1024, CHUNKS = 64, STEP = 512, PREFIX_MOST = 64, GROUPS_MOST = 256 };
static const double READ_MOST = 8589934592.;

/* m 2^(STEP e), 1 <= m < 2^STEP, or m = e = 0 */
typedef struct wide {
    double m;
    int64_t e;
} wide;

static wide add(wide a, wide b)
{
    if (a.e < b.e) {
        const wide t = a;

        a = b;
        b = t;
    }
    if (a.e == b.e)
        a.m += b.m;
    else if (a.e == b.e + 1)
        a.m += b.m * 0x1p-512;
    if (a.m >= 0x1p512) {
        a.m *= 0x1p-512;
        a.e++;
    }
    return a;
}

static double log10_of(wide a)
{
    return a.m > 0 ? log10(a.m) + (double)a.e * STEP * log10(2.) : NAN;
}

/* ---- the counts ---- */

/* Both counts, before and after a layer. */
typedef struct counts {
    const atn_field_plan *plan;
    wide *tree[2];   /* [2 nodes]: leaves from `nodes` on */
    wide *next[2];   /* [nodes] */
    uint8_t *needed; /* [nodes], of any rows: the last one reaches it */
    const atn_pattern *p;
    atn_idx chunk; /* rows of a task */
} counts;

static void counts_release(atn_ctx *cx, counts *c)
{
    for (int i = 0; i < 2; i++) {
        atn_free(cx, c->tree[i]);
        atn_free(cx, c->next[i]);
    }
    atn_free(cx, c->needed);
}

/* extra: numbers a node beside the counts; and `needed`. */
static double bytes(const atn_field_plan *p, int extra)
{
    return (6. + extra) * sizeof(wide) * (double)p->nodes + (double)p->nodes;
}

static atn_status counts_make(atn_ctx *cx, const atn_field_plan *p, int extra,
                              counts *c)
{
    const wide one = {1, 0};
    atn_status st = ATN_OK;

    *c = (counts){.plan = p, .chunk = CHUNK};
    ATN_TRY(atn_mem_check(cx, bytes(p, extra), "walks"));
    for (int i = 0; i < 2; i++) {
        ATN_NEW(c->tree[i], 2 * p->nodes);
        ATN_NEW(c->next[i], p->nodes);
    }
    for (atn_idx a = 0; a < p->nodes; a++) c->tree[0][p->nodes + a] = one;
    c->tree[1][p->nodes] = one;
done:
    return st;
}

static void read_counts(const counts *c, atn_field_at *at)
{
    at->walks_log10 = log10_of(c->tree[0][2 * c->plan->nodes - 1]);
    at->walks_first_log10 = log10_of(c->tree[1][2 * c->plan->nodes - 1]);
}

static void keep_next(counts *c)
{
    for (int i = 0; i < 2; i++)
        for (atn_idx a = 0; a < c->plan->nodes; a++)
            if (!c->needed || c->needed[a])
                c->tree[i][c->plan->nodes + a] = c->next[i][a];
}

/* ---- any rows ---- */

static wide sum(const wide *tree, atn_idx nodes, atn_span s)
{
    atn_idx lo = s.lo + nodes, hi = s.hi + nodes;
    wide x = {0, 0};

    for (; lo < hi; lo /= 2, hi /= 2) {
        if (lo % 2) x = add(x, tree[lo++]);
        if (hi % 2) x = add(x, tree[--hi]);
    }
    return x;
}

/* Of sorted intervals. */
static bool holds(const atn_span *s, atn_idx n, atn_idx a)
{
    while (n > 0 && s[n - 1].lo > a) n--;
    return n > 0 && a < s[n - 1].hi;
}

/* What is held of the rows of a task: sums by place of the step. */
typedef struct holding {
    wide *of[2]; /* [step] */
} holding;

/* next(a) <- the sum over row a, and what is held of it for the rows behind. */
static void sum_row(const counts *c, atn_field_reader *r, holding *h, atn_idx a,
                    bool first)
{
    const atn_field_news news = atn_field_news_of(r, a, first);
    const atn_idx nodes = c->plan->nodes;
    const atn_span *s;
    const atn_idx n = atn_field_row_from(r, a, news.from, &s);
    const bool self = holds(s, n, a);

    for (int w = 0; w < 2; w++) {
        wide *const held = &h->of[w][news.place];
        const wide *tree = c->tree[w];
        wide x = self ? (wide){0, 0} : tree[nodes + a];

        if (news.fresh) *held = (wide){0, 0};
        for (atn_idx i = 0; i < n; i++) {
            const atn_span old = {s[i].lo, ATN_MIN(s[i].hi, news.near)};
            const atn_span rest = {ATN_MAX(s[i].lo, news.near), s[i].hi};

            if (old.lo < old.hi) *held = add(*held, sum(tree, nodes, old));
            if (rest.lo < rest.hi) x = add(x, sum(tree, nodes, rest));
        }
        c->next[w][a] = add(x, *held);
    }
}

static atn_status sum_chunk(atn_ctx *cx, atn_idx chunk, void *state)
{
    const counts *c = state;
    const atn_idx first = chunk * c->chunk;
    const atn_idx end = ATN_MIN(first + c->chunk, c->plan->nodes);
    const atn_arena_mark mark = atn_arena_save(cx);
    atn_status st = ATN_OK;
    atn_field_reader r;
    holding h;

    ATN_TRY(atn_field_reader_open(cx, c->plan, &r));
    atn_field_reader_set(&r, c->p);
    for (int w = 0; w < 2; w++) ATN_TAKE(h.of[w], atn_field_places(&r));
    for (atn_idx a = first; a < end; a++) {
        if (r.read > ATN_FIELD_READ_MOST) {
            ATN_TRY(atn_stopped(cx, "walks"));
            r.read = 0;
        }
        if (c->needed[a] || r.repeat.step > 0)
            sum_row(c, &r, &h, a, a - first < r.repeat.step);
    }
done:
    atn_arena_rewind(cx, mark);
    return st;
}

static atn_status step_rows(atn_ctx *cx, counts *c)
{
    const atn_idx nodes = c->plan->nodes;
    atn_status st = ATN_OK;

    for (int w = 0; w < 2; w++)
        for (atn_idx i = nodes - 1; i > 0; i--)
            c->tree[w][i] = add(c->tree[w][2 * i], c->tree[w][2 * i + 1]);
    ATN_TRY(atn_parallel(cx, (nodes - 1) / c->chunk + 1, sum_chunk, c, "walks"));
    keep_next(c);
done:
    return st;
}

atn_status atn_field_walks_rows(atn_ctx *cx, const atn_field_plan *p, int depth,
                                atn_field_at *at)
{
    atn_status st = ATN_OK;
    counts c;

    ATN_TRY(counts_make(cx, p, 0, &c));
    c.chunk = ATN_MAX(CHUNK, (p->nodes - 1) / CHUNKS + 1); /* what is held ends there */
    ATN_NEW(c.needed, p->nodes);
    ATN_TRY(atn_field_plan_of(cx, p, depth, p->nodes - 1, c.needed));
    read_counts(&c, &at[0]);
    for (int k = 1; k <= depth; k++) {
        c.p = atn_field_layer(p, k);
        ATN_TRY(step_rows(cx, &c));
        read_counts(&c, &at[k]);
    }
done:
    counts_release(cx, &c);
    return st;
}

/* Intervals of one layer at most, as far as the bounds of its pattern say. */
static double intervals_of(const atn_field_plan *p, const atn_pattern *q)
{
    const atn_repeat r = atn_field_repeat(p, q);
    const bool joined = q->heads == 1 || q->all_room > 0;
    const double most = joined ? (double)(q->heads == 1 ? q->most : q->all_most)
                               : (double)q->most * (double)q->heads;
    const double nodes = (double)p->nodes, step = (double)r.step;
    const double starts = CHUNKS + (r.segment > 0 ? nodes / (double)r.segment : 0);

    if (atn_field_dense(q)) return nodes;
    if (r.step == 0) return nodes * most;
    return ATN_MIN(starts * step, nodes) * most +
           nodes * ATN_MIN(most, (double)r.reach + 2 * step + 1);
}

static void none(int depth, atn_field_at *at)
{
    for (int k = 0; k <= depth; k++) at[k].walks_log10 = at[k].walks_first_log10 = NAN;
}

/* Whether there is memory for `extra` numbers a node beside the counts; where there is
 * not, the walks are left out. */
static bool room(atn_ctx *cx, const atn_field_plan *p, int extra, int depth,
                 atn_field_at *at)
{
    const double need = bytes(p, extra), most = atn_field_room(cx);

    if (need <= most) return true;
    atn_log(cx, ATN_LOG_WARN,
            "field: the walks are left out: those of %lld nodes need %.4g MiB, above "
            "%.4g (ask for fewer tokens or larger blocks, or raise --mem-limit)",
            (long long)p->nodes, need / 1048576, most / 1048576);
    none(depth, at);
    return false;
}

/* atn_field_walks_rows, where it is not too much. */
static atn_status walks_some(atn_ctx *cx, const atn_field_plan *p, int depth,
                             atn_field_at *at)
{
    double sum = 0;

    if (!room(cx, p, 0, depth, at)) return ATN_OK;
    for (int k = 1; k <= depth; k++) sum += intervals_of(p, atn_field_layer(p, k));
    if (sum <= READ_MOST) return atn_field_walks_rows(cx, p, depth, at);
    atn_log(cx, ATN_LOG_WARN,
            "field: the walks are left out: the rows of %d layers may have %.3g "
            "intervals in all, above %.3g (ask for fewer layers or tokens, or for "
            "larger blocks)",
            depth, sum, READ_MOST);
    none(depth, at);
    return ATN_OK;
}

/* ---- the same offsets everywhere ---- */

/* z(i) <- sum of x(i - t step), t < count, as far as i - t step >= 0; ends [n]. z may
 * not be x. */
static void slide(const wide *x, atn_idx n, atn_idx step, atn_idx count, wide *ends,
                  wide *z)
{
    for (atn_idx i = 0; i < n; i++)
        z[i] = i / step % count == 0 ? x[i] : add(z[i - step], x[i]);
    for (atn_idx i = n - 1; i >= 0; i--)
        ends[i] = (i / step + 1) % count == 0 || i + step >= n
                      ? x[i]
                      : add(ends[i + step], x[i]);
    for (atn_idx i = n - 1; i / step >= count; i--)
        if ((i / step + 1) % count != 0) z[i] = add(z[i], ends[i - (count - 1) * step]);
}

typedef struct sliding {
    atn_idx nodes;
    const wide *x;          /* [nodes] counts before */
    wide *y, *ends, *a, *b; /* [nodes] after, and scratch */
} sliding;

static void add_group(const sliding *s, const atn_group *g)
{
    const wide *z = s->x;

    if (g->length > 1) {
        slide(z, s->nodes, 1, g->length, s->ends, s->a);
        z = s->a;
    }
    if (g->count > 1) {
        slide(z, s->nodes, g->step, g->count, s->ends, s->b);
        z = s->b;
    }
    for (atn_idx i = g->lo; i < s->nodes; i++) s->y[i] = add(s->y[i], z[i - g->lo]);
}

/* Keys below the prefix that no offset reaches. */
static void add_prefix(const sliding *s, const atn_pattern *p)
{
    for (atn_idx c = 0; c < ATN_MIN(p->prefix, s->nodes); c++) {
        atn_idx at = 0;

        for (atn_idx i = c + 1; i < s->nodes; i++) {
            while (at < p->n_offsets && p->offsets[at].hi <= i - c) at++;
            if (at < p->n_offsets && p->offsets[at].lo <= i - c) continue;
            s->y[i] = add(s->y[i], s->x[c]);
        }
    }
}

static bool single(const atn_group *g)
{
    return g->length == 1 && g->count == 1;
}

/* What the residual and single offsets bring to one piece of both counts. */
static atn_status add_singles(atn_ctx *cx, atn_idx chunk, void *state)
{
    const counts *c = state;
    const atn_pattern *p = c->p;
    const bool self = p->n_offsets > 0 && p->offsets[0].lo == 0;
    const atn_idx nodes = c->plan->nodes, first = chunk * CHUNK;
    const atn_idx end = ATN_MIN(first + CHUNK, nodes);

    (void)cx;
    for (int w = 0; w < 2; w++) {
        const wide *x = c->tree[w] + nodes;
        wide *y = c->next[w];

        for (atn_idx i = first; i < end; i++) y[i] = self ? (wide){0, 0} : x[i];
        for (atn_idx at = 0; at < p->n_offsets;) {
            atn_group g;

            at = atn_next_group(p->offsets, p->n_offsets, at, &g);
            if (!single(&g)) continue;
            for (atn_idx i = ATN_MAX(first, g.lo); i < end; i++)
                y[i] = add(y[i], x[i - g.lo]);
        }
    }
    return ATN_OK;
}

static atn_status add_groups(atn_ctx *cx, const sliding *s, const atn_pattern *p)
{
    atn_status st = ATN_OK;

    for (atn_idx i = 0; i < p->n_offsets;) {
        atn_group g;

        i = atn_next_group(p->offsets, p->n_offsets, i, &g);
        if (single(&g)) continue;
        ATN_TRY(atn_stopped(cx, "walks"));
        add_group(s, &g);
    }
    add_prefix(s, p);
done:
    return st;
}

static void add_all(const sliding *s)
{
    s->y[0] = s->x[0];
    for (atn_idx i = 1; i < s->nodes; i++) s->y[i] = add(s->y[i - 1], s->x[i]);
}

/* Worth it, against the rows. */
static bool slides(const atn_field_plan *p)
{
    bool fits = true;

    if (atn_field_shift.fits(NULL, p, &fits) != ATN_OK || !fits) return false;
    for (int l = 0; l < p->n; l++) {
        const atn_pattern *q = p->layers[l];
        atn_idx groups = 0;

        if (atn_field_dense(q)) continue;
        for (atn_idx i = 0; i < q->n_offsets; groups++) {
            atn_group g;

            i = atn_next_group(q->offsets, q->n_offsets, i, &g);
        }
        if (q->prefix > PREFIX_MOST || groups > GROUPS_MOST) return false;
    }
    return true;
}

static atn_status walks_shift(atn_ctx *cx, const atn_field_plan *p, int depth,
                              atn_field_at *at)
{
    const atn_idx nodes = p->nodes;
    const int extra = 3;
    wide *ends = NULL, *a = NULL, *b = NULL;
    atn_status st = ATN_OK;
    counts c;

    if (!room(cx, p, extra, depth, at)) return ATN_OK;
    ATN_TRY(counts_make(cx, p, extra, &c));
    ATN_NEW(ends, nodes);
    ATN_NEW(a, nodes);
    ATN_NEW(b, nodes);
    read_counts(&c, &at[0]);
    for (int k = 1; k <= depth; k++) {
        const bool dense = atn_field_dense(atn_field_layer(p, k));

        c.p = atn_field_layer(p, k);
        if (!dense)
            ATN_TRY(
                atn_parallel(cx, (nodes - 1) / CHUNK + 1, add_singles, &c, "walks"));
        for (int w = 0; w < 2; w++) {
            const sliding s = {nodes, c.tree[w] + nodes, c.next[w], ends, a, b};

            if (dense)
                add_all(&s);
            else
                ATN_TRY(add_groups(cx, &s, c.p));
        }
        keep_next(&c);
        read_counts(&c, &at[k]);
        ATN_TRY(atn_stopped(cx, "walks"));
    }
done:
    atn_free(cx, ends);
    atn_free(cx, a);
    atn_free(cx, b);
    counts_release(cx, &c);
    return st;
}

/* ---- grids ---- */

/* The layer along axis x: a grid of that axis alone, or nothing less than all. */
static atn_status axis_layer(atn_ctx *cx, const atn_pattern *p, const atn_axes *like,
                             int x, atn_pattern **out)
{
    const atn_idx length = like->at[x].length;
    const atn_frame f = atn_frame_square(length, 1, false);
    const atn_span all = {1 - length, length};
    atn_axes a = {.rank = 1};
    atn_status st = ATN_OK;

    *out = NULL;
    if (p->axes) {
        a.at[0] = p->axes->at[x];
        ATN_TRY(atn_pattern_axes(cx, &a, out));
    } else {
        ATN_TRY(atn_pattern_shift(cx, &f, &all, 1, 0, out));
    }
done:
    return st;
}

static atn_status walks_axis(atn_ctx *cx, const atn_field_plan *p, int x, int depth,
                             atn_field_at *at)
{
    const atn_axes *like = atn_field_grid(p);
    atn_status st = ATN_OK;
    atn_pattern **layers = NULL;
    atn_field_plan line;

    ATN_NEW(layers, p->n);
    for (int i = 0; i < p->n; i++)
        ATN_TRY(axis_layer(cx, p->layers[i], like, x, &layers[i]));
    ATN_TRY(atn_field_plan_make(cx, (const atn_pattern *const *)layers, p->n, &line));
    ATN_TRY(walks_some(cx, &line, depth, at));
done:
    for (int i = 0; layers && i < p->n; i++) atn_pattern_destroy(cx, layers[i]);
    atn_free(cx, layers);
    return st;
}

static atn_status walks_axes(atn_ctx *cx, const atn_field_plan *p, int depth,
                             atn_field_at *at)
{
    atn_field_at *along = NULL;
    atn_status st = ATN_OK;

    ATN_NEW(along, depth + 1);
    for (int k = 0; k <= depth; k++) at[k].walks_log10 = at[k].walks_first_log10 = 0;
    for (int x = 0; x < atn_field_grid(p)->rank; x++) {
        ATN_TRY(walks_axis(cx, p, x, depth, along));
        for (int k = 0; k <= depth; k++) {
            at[k].walks_log10 += along[k].walks_log10;
            at[k].walks_first_log10 += along[k].walks_first_log10;
        }
    }
done:
    atn_free(cx, along);
    return st;
}

atn_status atn_field_walks(atn_ctx *cx, const atn_field_plan *p, int depth,
                           atn_field_at *at)
{
    atn_status st = ATN_OK;
    bool grid;

    ATN_TRY(atn_field_axes.fits(cx, p, &grid));
    if (grid)
        ATN_TRY(walks_axes(cx, p, depth, at));
    else if (slides(p))
        ATN_TRY(walks_shift(cx, p, depth, at));
    else
        ATN_TRY(walks_some(cx, p, depth, at));
done:
    return st;
}
