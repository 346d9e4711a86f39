/* simulators/tiles_grid.c -- tiles of neighbourhoods on a grid, in closed form.
 *
 * Math    axes are independent, so that the tiles of a stationary tile are a box: on
 *         one axis Q tile [a, b] visits floor(start(a) / tk) .. ceil(end(b) / tk), b
 *         perhaps in padding; of these k is full where every member sees all of it:
 *         k tk >= start of the last member and min((k + 1) tk, n) <= end(a). KV tile
 *         [a, b] is met by the queries of [q_start(a), q_end(last member)). Visits are
 *         products over the axes; sums over groups and tiles are products of sums.
 * Oracle  cards/simulators.md 1.5; brute force over all pairs.
 * Source  NATTEN, fna_fusion.hpp and fna_fusion_bwd.hpp; cards/simulators.md 1.2, 1.3.
 * Cost    the tiles along the axes, of groups of two lengths; a product a CTA.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "simulators/tiles_internal.h"

/* ---- one axis ---- */

atn_axis_tile atn_axis_forward(const atn_axis *a, atn_idx n, atn_idx tq, atn_idx tk,
                               atn_idx i)
{
    const atn_idx first = i * tq, last = ATN_MIN(first + tq, n) - 1;
    atn_idx start, end, ignored, late, whole;
    atn_axis_tile t = {.real = first < n};

    atn_axis_window(a, n, first, &start, &end);
    whole = end; /* keys that all members see end here */
    atn_axis_window(a, n, first + tq - 1, &ignored, &end);
    t.seen = (atn_span){start / tk, atn_ceil_div(end, tk)};
    if (!t.real) return t;
    atn_axis_window(a, n, last, &late, &ignored);
    t.flex = (atn_span){atn_ceil_div(late, tk), whole / tk};
    t.full = (atn_span){t.flex.lo, whole >= n ? atn_ceil_div(n, tk) : whole / tk};
    if (first + tq > n) t.flex.hi = t.flex.lo;
    return t;
}

/* The queries that see member j of a group of n: [*lo, *hi). */
static void seen_by(const atn_axis *a, atn_idx n, atn_idx j, atn_idx *lo, atn_idx *hi)
{
    const atn_idx s = a->stride, w = a->window, left = w / 2;
    const atn_idx right = w - 1 - left, centre = s - 1 - s / 2;

    if (a->causal) {
        *lo = j;
        *hi = ((j + w) / s + (j + w >= n)) * s;
    } else {
        *lo = j >= w ? (j - right + centre) / s * s : 0;
        *hi = j >= n - w ? n : (j + left + centre + 1) / s * s;
    }
    *hi = ATN_MIN(*hi, n);
}

atn_axis_tile atn_axis_backward(const atn_axis *a, atn_idx n, atn_idx tq, atn_idx tk,
                                atn_idx i)
{
    const atn_idx first = i * tk, last = ATN_MIN(first + tk, n) - 1;
    atn_idx start, end, late, whole;
    atn_axis_tile t = {.real = first < n};

    if (!t.real) return t;
    seen_by(a, n, first, &start, &whole);
    seen_by(a, n, last, &late, &end);
    t.seen = (atn_span){start / tq, atn_ceil_div(end, tq)};
    t.flex = (atn_span){atn_ceil_div(late, tq), whole / tq};
    t.full = (atn_span){t.flex.lo, whole >= n ? atn_ceil_div(n, tq) : whole / tq};
    if (first + tk > n) t.flex.hi = t.flex.lo;
    return t;
}

static atn_idx length_of(atn_span s)
{
    return ATN_MAX(s.hi - s.lo, 0);
}

static atn_axis_tile axis_tile(const atn_axis *a, atn_idx n, atn_idx tq, atn_idx tk,
                               bool backward, atn_idx i)
{
    return backward ? atn_axis_backward(a, n, tq, tk, i)
                    : atn_axis_forward(a, n, tq, tk, i);
}

atn_axis_sums atn_axis_sum(const atn_axis *a, atn_idx tq, atn_idx tk, bool backward)
{
    const atn_idx tiles = atn_axis_tiles(a, backward ? tk : tq);
    const atn_idx longer = a->length % a->dilation, n = a->length / a->dilation;
    atn_axis_sums sum = {0};

    for (int more = 0; more < 2; more++) {
        const atn_idx groups = more ? longer : a->dilation - longer;

        for (atn_idx i = 0; groups > 0 && i < tiles; i++) {
            const atn_axis_tile t = axis_tile(a, n + more, tq, tk, backward, i);
            const atn_idx seen = length_of(t.seen);

            sum.visited += groups * seen;
            sum.real += t.real ? groups * seen : 0;
            sum.full += groups * length_of(t.full);
            sum.flex += groups * length_of(t.flex);
            sum.max = ATN_MAX(sum.max, seen);
        }
    }
    return sum;
}

/* ---- NATTEN's own predicate ---- */

/* Of a group of n; a tile that divides everything needs no mask. */
static bool sparse_group(const atn_axis *a, atn_idx n, atn_idx tq, atn_idx tk)
{
    const atn_idx s = a->stride, w = a->window, half = s / 2, left = w / 2;
    const atn_idx leader = ATN_MIN(n / s * s + half, n - 1);
    const atn_idx start = ATN_MIN(ATN_MAX(leader - left, 0), n - w);
    const bool two = n % tk == 0 && atn_ceil_div(n, s) == 2 && s + half >= n - w;

    if (n == w) return true;
    return s % tq == 0 && w % tk == 0 && (n % s == 0 || start % tk == 0) &&
           ((left - half) % tk == 0 || two);
}

static bool natten_sparse(const atn_axes *g, const atn_tile_source *s)
{
    for (int i = 0; i < g->rank; i++) {
        const atn_axis *a = &g->at[i];
        const atn_idx n = a->length / a->dilation;

        if (a->causal || !sparse_group(a, n, s->tq[i], s->tk[i])) return false;
        if (a->length % a->dilation && !sparse_group(a, n + 1, s->tq[i], s->tk[i]))
            return false;
    }
    return true;
}

/* ---- all axes ---- */

/* Stationary tile i of a group of `more` above the shorter length. */
typedef struct axis_tiles {
    atn_idx groups, longer, tiles;
    int32_t *seen[2], *full[2]; /* [tiles] */
} axis_tiles;

static atn_status take_axis(atn_ctx *cx, const atn_axis *a, atn_idx tq, atn_idx tk,
                            bool backward, axis_tiles *out)
{
    atn_status st = ATN_OK;

    out->groups = a->dilation;
    out->longer = a->length % a->dilation;
    out->tiles = atn_axis_tiles(a, backward ? tk : tq);
    for (int more = 0; more < 2; more++) {
        ATN_TAKE(out->seen[more], out->tiles);
        ATN_TAKE(out->full[more], out->tiles);
        for (atn_idx i = 0; i < out->tiles; i++) {
            const atn_axis_tile t =
                axis_tile(a, a->length / a->dilation + more, tq, tk, backward, i);

            out->seen[more][i] = (int32_t)length_of(t.seen);
            /* padding has no tile that a pair could be masked in */
            out->full[more][i] = t.real ? (int32_t)length_of(t.full) : -1;
        }
    }
done:
    return st;
}

/* The CTAs of one group of all axes. */
static void fill_group(const axis_tiles *x, const int *more, atn_tiles *out,
                       atn_idx *at)
{
    for (atn_idx i = 0; i < x[0].tiles; i++)
        for (atn_idx j = 0; j < x[1].tiles; j++) {
            const int64_t seen = (int64_t)x[0].seen[more[0]][i] * x[1].seen[more[1]][j];
            const int64_t fi = x[0].full[more[0]][i], fj = x[1].full[more[1]][j];
            const int64_t full = fi < 0 || fj < 0 ? -1 : fi * fj;
            const int32_t *s = x[2].seen[more[2]], *f = x[2].full[more[2]];

            for (atn_idx k = 0; k < x[2].tiles; k++, ++*at) {
                const int64_t visits = seen * s[k];
                const bool padding = full < 0 || f[k] < 0;

                out->visits[*at] = (int32_t)visits;
                out->masked[*at] = padding ? 0 : (int32_t)(visits - full * f[k]);
            }
        }
}

static atn_status fill(atn_ctx *cx, const atn_tile_source *s, atn_tiles *out)
{
    const atn_arena_mark mark = atn_arena_save(cx);
    const atn_axis one = {1, 1, 1, 1, false};
    const int rank = s->p->axes->rank;
    axis_tiles x[ATN_AXES_MOST];
    atn_status st = ATN_OK;
    atn_idx at = 0;

    /* axes are the last ones of three, those before have one tile */
    for (int i = 0; i < ATN_AXES_MOST; i++) {
        const int of = i - (ATN_AXES_MOST - rank);

        ATN_TRY(take_axis(cx, of < 0 ? &one : &s->p->axes->at[of],
                          of < 0 ? 1 : s->tq[of], of < 0 ? 1 : s->tk[of],
                          s->t->backward, &x[i]));
    }
    for (atn_idx a = 0; a < x[0].groups; a++)
        for (atn_idx b = 0; b < x[1].groups; b++)
            for (atn_idx c = 0; c < x[2].groups; c++) {
                const int more[] = {a < x[0].longer, b < x[1].longer, c < x[2].longer};

                fill_group(x, more, out, &at);
            }
done:
    atn_arena_rewind(cx, mark);
    return st;
}

static atn_status grid_sums(atn_ctx *cx, const atn_tile_source *s, atn_tiles *out)
{
    int64_t visited = 1, real = 1, full = 1, flex = 1, max = 1;
    atn_status st = ATN_OK;

    for (int i = 0; i < s->p->axes->rank; i++) {
        const atn_axis_sums a =
            atn_axis_sum(&s->p->axes->at[i], s->tq[i], s->tk[i], s->t->backward);

        if (!atn_mul(visited, a.visited, &visited))
            ATN_FAIL(ATN_USAGE, "the grid has more visited tiles than can be counted "
                                "(give larger tiles)");
        real *= a.real;
        full *= a.full;
        flex *= a.flex;
        max *= a.max;
    }
    if (max > INT32_MAX)
        ATN_FAIL(ATN_USAGE,
                 "a tile of the grid visits %lld tiles, at most %lld can be counted "
                 "(give larger tiles)",
                 (long long)max, (long long)INT32_MAX);
    out->visited = visited;
    out->full = full;
    out->partial = real - full;
    out->padding = visited - real;
    out->flex_full = flex;
    out->flex_partial = real - flex;
    out->max = max;
    out->pairs = atn_axes_pairs(s->p->axes);
done:
    return st;
}

/* Stationary and other tiles of a grid; overflow-checked. */
static bool grid_tiles(const atn_tile_source *s, bool q, atn_idx *out)
{
    *out = 1;
    for (int i = 0; i < s->p->axes->rank; i++) {
        const atn_axis *a = &s->p->axes->at[i];
        const atn_idx side = q ? s->tq[i] : s->tk[i];

        if (!atn_mul(*out, atn_axis_tiles(a, side) * a->dilation, out)) return false;
    }
    return true;
}

atn_status atn_tiles_grid(atn_ctx *cx, const atn_tile_source *s, atn_tiles *out)
{
    atn_status st = ATN_OK;
    atn_idx ctas = 0, other = 0, along = 0;

    if (!grid_tiles(s, !s->t->backward, &ctas) ||
        !grid_tiles(s, s->t->backward, &other))
        ATN_FAIL(ATN_USAGE, "the grid has more tiles than can be counted");
    for (int i = 0; i < s->p->axes->rank; i++)
        along +=
            atn_axis_tiles(&s->p->axes->at[i], s->t->backward ? s->tk[i] : s->tq[i]);
    ATN_TRY(grid_sums(cx, s, out));
    ATN_TRY(atn_tiles_room(cx, ctas, other, 16.0 * (double)along, out));
    ATN_TRY(fill(cx, s, out));
    out->natten_sparse = natten_sparse(s->p->axes, s);
done:
    return st;
}

/* ---- rows of a grid, for a picture ---- */

/* The forward box of Q tile m and where the KV tiles of its group begin. */
static void box_of(const atn_tile_source *s, atn_idx m, atn_axis_tile *box,
                   atn_idx *base)
{
    const atn_axes *g = s->p->axes;
    atn_idx group[ATN_AXES_MOST] = {0}, tile[ATN_AXES_MOST] = {0};

    for (int i = g->rank - 1; i >= 0; i--) {
        tile[i] = m % s->nq[i];
        m /= s->nq[i];
    }
    for (int i = g->rank - 1; i >= 0; i--) {
        group[i] = m % g->at[i].dilation;
        m /= g->at[i].dilation;
    }
    *base = 0;
    for (int i = 0; i < g->rank; i++) *base = *base * g->at[i].dilation + group[i];
    for (int i = 0; i < ATN_AXES_MOST; i++) {
        const int of = i - (ATN_AXES_MOST - g->rank);

        if (of < 0) {
            box[i] = (atn_axis_tile){{0, 1}, {0, 1}, {0, 1}, true};
            continue;
        }
        box[i] = atn_axis_forward(&g->at[of], atn_axis_group(&g->at[of], group[of]),
                                  s->tq[of], s->tk[of], tile[of]);
        *base *= s->nk[of];
    }
}

static atn_idx box_ranges(const atn_tile_source *s, atn_idx base, atn_span x,
                          atn_span y, atn_span z, atn_span *out)
{
    const int rank = s->p->axes->rank;
    const atn_idx along = s->nk[rank - 1], across = rank > 1 ? s->nk[rank - 2] : 1;
    atn_idx n = 0;

    for (atn_idx i = x.lo; i < x.hi; i++)
        for (atn_idx j = y.lo; j < y.hi; j++) {
            const atn_idx at = base + (i * across + j) * along;

            n = atn_ranges_add(out, n, at + z.lo, at + ATN_MAX(z.hi, z.lo));
        }
    return n;
}

typedef struct boxes {
    atn_span *seen, *full;
} boxes;

static atn_status boxes_open(atn_ctx *cx, const atn_tile_source *s, void **scratch)
{
    atn_status st = ATN_OK;
    boxes *b = NULL;

    ATN_TAKE(b, 1);
    ATN_TAKE(b->seen, s->ranges);
    ATN_TAKE(b->full, s->ranges);
    *scratch = b;
done:
    return st;
}

static void boxes_row(const atn_tile_source *s, void *scratch, atn_idx m, atn_idx from,
                      atn_tile_row *out)
{
    const boxes *b = scratch;
    atn_axis_tile box[ATN_AXES_MOST];
    atn_idx base;

    (void)from;
    box_of(s, m, box, &base);
    *out = (atn_tile_row){.seen = b->seen, .full = b->full};
    out->n_seen = box_ranges(s, base, box[0].seen, box[1].seen, box[2].seen, b->seen);
    if (box[0].real && box[1].real && box[2].real)
        out->n_full =
            box_ranges(s, base, box[0].full, box[1].full, box[2].full, b->full);
}

void atn_tiles_boxes(atn_tile_source *s)
{
    const atn_axes *g = s->p->axes;

    s->ranges = 1;
    for (int i = 0; i < g->rank - 1; i++) s->ranges *= s->nk[i];
    s->scratch = 32 * (double)s->ranges;
    s->open = boxes_open;
    s->row = boxes_row;
    (void)grid_tiles(s, true, &s->q_tiles);
    (void)grid_tiles(s, false, &s->k_tiles);
}
