/* simulators/simulate_count.c -- tiles of all heads, and the CTA lists of a launch.
 *
 * Math    heads that are alike share one count. Where a kernel packs the g query heads
 *         of a group into one Q tile, what the tile visits is the union over the group;
 *         a head's counts are then those of the group over g, and so is the dense
 *         launch that bounds are taken against.
 *         FA3 counts the tiles of a window by its own block range.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "simulators/simulate_internal.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/order.h"

/* What the policy makes kernels mask, of these counts. */
static const int32_t *masked_of(const sim_case *c, const atn_tiles *t,
                                const int32_t *none)
{
    if (c->policy == ATN_MASK_SKIP || (c->policy == ATN_MASK_ALL && t->sparse))
        return none;
    return c->policy == ATN_MASK_ALL ? t->visits : t->masked;
}

/* Copies the list of these counts. */
static atn_status list_of(atn_ctx *cx, const sim_case *c, const atn_tiles *t,
                          atn_cta_list *out)
{
    int32_t *visits, *masked;
    const int32_t *what;
    atn_status st = ATN_OK;

    ATN_TAKE(visits, t->ctas);
    ATN_TAKE(masked, t->ctas);
    memcpy(visits, t->visits, (size_t)t->ctas * sizeof *visits);
    memset(masked, 0, (size_t)t->ctas * sizeof *masked);
    what = masked_of(c, t, masked);
    if (what != masked) memcpy(masked, what, (size_t)t->ctas * sizeof *masked);
    *out = (atn_cta_list){t->ctas, visits, masked};
done:
    return st;
}

static atn_status window_list(atn_ctx *cx, const atn_window_rule *w, bool mask,
                              atn_cta_list *out)
{
    const atn_idx n = atn_window_ctas(w);
    int32_t *visits, *masked;
    atn_status st = ATN_OK;

    ATN_TAKE(visits, n);
    ATN_TAKE(masked, n);
    for (atn_idx m = 0; m < n; m++) {
        atn_window_tiles(w, m, visits + m, masked + m);
        if (!mask) masked[m] = 0;
    }
    *out = (atn_cta_list){n, visits, masked};
done:
    return st;
}

/* KV tile after KV tile: the Q tiles that see it. */
static atn_status backward_list(atn_ctx *cx, const atn_launch *s, bool mask, atn_idx bm,
                                atn_idx bn, atn_cta_list *out)
{
    const atn_idx n = atn_ceil_div(s->kv_len, bn), rows = atn_ceil_div(s->q_len, bm);
    const atn_idx behind = s->kv_len - s->q_len;
    int32_t *visits, *masked;
    atn_status st = ATN_OK;

    ATN_TAKE(visits, n);
    ATN_TAKE(masked, n);
    for (atn_idx j = 0; j < n; j++) {
        /* The first row that sees its first key, and that which sees its last. */
        const atn_idx sees = ATN_MAX(j * bn - behind, 0);
        const atn_idx all = ATN_MAX(ATN_MIN((j + 1) * bn, s->kv_len) - 1 - behind, 0);
        const atn_idx first = s->causal ? ATN_MIN(sees / bm, rows) : 0;

        visits[j] = (int32_t)(rows - first);
        masked[j] = s->causal && mask
                        ? (int32_t)(ATN_MIN(atn_ceil_div(all, bm), rows) - first)
                        : 0;
    }
    *out = (atn_cta_list){n, visits, masked};
done:
    return st;
}

/* Q tile after Q tile of a full or causal mask: tiles, and those with a masked pair. */
static atn_status plain_list(atn_ctx *cx, const atn_window_rule *w, bool mask,
                             atn_cta_list *out)
{
    const atn_idx n = atn_window_ctas(w), behind = w->kv_len - w->q_len;
    const atn_idx all = atn_ceil_div(w->kv_len, w->bn);
    int32_t *visits, *masked;
    atn_status st = ATN_OK;

    ATN_TAKE(visits, n);
    ATN_TAKE(masked, n);
    for (atn_idx m = 0; m < n; m++) {
        const atn_idx first = m * w->bm / w->pack;
        const atn_idx end = ATN_MIN(((m + 1) * w->bm - 1) / w->pack + 1, w->q_len);
        const atn_idx sees = ATN_MAX(end + behind, 0), whole = first + 1 + behind;
        const atn_idx hi = w->right < 0 ? all : ATN_MIN(atn_ceil_div(sees, w->bn), all);
        const atn_idx full = w->right < 0 || whole >= w->kv_len
                                 ? hi
                                 : ATN_MIN(ATN_MAX(whole, 0) / w->bn, hi);

        visits[m] = (int32_t)hi;
        masked[m] = mask ? (int32_t)(hi - full) : 0;
    }
    *out = (atn_cta_list){n, visits, masked};
done:
    return st;
}

atn_status atn_launch_dense(atn_ctx *cx, const atn_kernel *k, const atn_launch *s,
                            atn_idx bm, atn_idx bn, atn_cta_list *out)
{
    const bool mask = k->policy != ATN_MASK_SKIP && s->causal;
    const atn_window_rule w = {s->q_len,
                               s->kv_len,
                               -1,
                               s->causal ? 0 : -1,
                               bm,
                               bn,
                               k->packs_gqa ? s->heads / s->kv_heads : 1};
    atn_status st = ATN_OK;

    if (s->pass == ATN_PASS_BACKWARD)
        ATN_TRY(backward_list(cx, s, mask, bm, bn, out));
    else if (k->window_rule)
        ATN_TRY(window_list(cx, &w, mask, out));
    else
        ATN_TRY(plain_list(cx, &w, mask, out));
    if (mask && k->policy == ATN_MASK_ALL) out->masked = out->visits;
done:
    return st;
}

/* ---- heads that differ ---- */

/* n spans in any order become sorted ones that do not touch. */
static atn_idx merge_spans(atn_span *s, atn_idx n)
{
    atn_idx kept = 0;

    qsort(s, (size_t)n, sizeof *s, atn_by_begin);
    for (atn_idx i = 0; i < n; i++) {
        if (kept > 0 && s[i].lo <= s[kept - 1].hi)
            s[kept - 1].hi = ATN_MAX(s[kept - 1].hi, s[i].hi);
        else
            s[kept++] = s[i];
    }
    return kept;
}

/* What any of the query heads [first, first + n) sees. */
static atn_status union_of(atn_ctx *cx, const sim_case *c, atn_idx first, atn_idx n,
                           atn_pattern **out)
{
    atn_pattern *u = NULL;
    atn_idx head;
    atn_status st = ATN_OK;

    if (c->n == 1) return atn_pattern_together(cx, c->p[0], first, n, out);
    for (atn_idx h = first; h < first + n; h++) {
        /* The owner's count of a pattern is not ours to change, but it is balanced. */
        atn_pattern *one = atn_pattern_keep((atn_pattern *)atn_sim_head(c, h, &head));

        if (!u)
            u = one;
        else
            ATN_TRY(atn_pattern_union(cx, u, one, &u));
    }
done:
    *out = st == ATN_OK ? u : NULL;
    return st;
}

/* Whole numbers, so that sums are exact; divided once, by what they are the sum of. */
static void add(atn_sim *out, const atn_tiles *t)
{
    out->pairs += (double)t->pairs;
    out->visited += (double)t->visited;
    out->full += (double)t->full;
    out->partial += (double)t->partial;
    out->padding += (double)t->padding;
    out->flex_full += (double)t->flex_full;
    out->flex_partial += (double)t->flex_partial;
    out->ctas += (double)t->ctas;
    out->max = fmax(out->max, (double)t->max);
}

static void divide(atn_sim *out, double heads)
{
    out->pairs /= heads;
    out->visited /= heads;
    out->full /= heads;
    out->partial /= heads;
    out->padding /= heads;
    out->flex_full /= heads;
    out->flex_partial /= heads;
    out->ctas /= heads;
}

/* The tiling as the kernel has it. */
static atn_tiling packed_tiling(const sim_case *c)
{
    atn_tiling t = c->tiling;

    t.pack = c->pack;
    return t;
}

static atn_status count_group(atn_ctx *cx, const sim_case *c, atn_idx first,
                              atn_tiles *out)
{
    const atn_tiling packed = packed_tiling(c);
    atn_pattern *u = NULL;
    atn_status st = ATN_OK;

    if (c->heads == 1) return atn_tiles_count(cx, c->p[0], 0, &packed, out);
    ATN_TRY(union_of(cx, c, first, c->pack, &u));
    ATN_TRY(atn_tiles_count(cx, u, 0, &packed, out));
done:
    atn_pattern_destroy(cx, u);
    return st;
}

/* Heads one by one: counts, and their lists where they are not packed. */
static atn_status count_heads(atn_ctx *cx, const sim_case *c, atn_sim *out,
                              sim_lists *l)
{
    atn_tiles t = {0};
    atn_status st = ATN_OK;

    for (atn_idx h = 0; h < c->heads; h++) {
        atn_idx head;
        const atn_pattern *p = atn_sim_head(c, h, &head);

        ATN_TRY(atn_stopped(cx, "simulate"));
        ATN_TRY(atn_tiles_count(cx, p, head, &c->tiling, &t));
        add(out, &t);
        if (c->pack == 1) ATN_TRY(list_of(cx, c, &t, &l->list[h]));
        if (h == 0) {
            out->tiles = t;
            memset(&t, 0, sizeof t);
        } else {
            atn_tiles_release(cx, &t);
        }
    }
    divide(out, (double)c->heads);
done:
    atn_tiles_release(cx, &t);
    return st;
}

/* Lists of the launch's heads: of each where they differ. */
static atn_status spread(atn_ctx *cx, const sim_case *c, sim_lists *l)
{
    const atn_idx heads = c->shape.heads;
    atn_cta_list *all;
    atn_status st = ATN_OK;

    if (l->n == 1 || l->n == heads) return ATN_OK;
    ATN_TAKE(all, heads);
    for (atn_idx h = 0; h < heads; h++) all[h] = l->list[h % l->n];
    l->list = all;
    l->n = heads;
done:
    return st;
}

/* Counts and lists of the groups, in place of those of the heads, whose pairs stay
 * where they differ. */
static atn_status count_groups(atn_ctx *cx, const sim_case *c, atn_sim *out,
                               sim_lists *l)
{
    const double pairs = out->pairs;
    atn_tiles t = {0};
    atn_status st = ATN_OK;

    l->n = c->heads == 1 || c->pack % c->heads == 0 ? 1 : c->shape.kv_heads;
    ATN_TAKE(l->list, l->n);
    atn_tiles_release(cx, &out->tiles);
    out->visited = out->full = out->partial = out->padding = out->max = out->ctas = 0;
    out->flex_full = out->flex_partial = 0;
    for (atn_idx g = 0; g < l->n; g++) {
        ATN_TRY(atn_stopped(cx, "simulate"));
        ATN_TRY(count_group(cx, c, g * c->pack, &t));
        add(out, &t);
        ATN_TRY(list_of(cx, c, &t, &l->list[g]));
        if (g == 0) {
            out->tiles = t;
            memset(&t, 0, sizeof t);
        } else {
            atn_tiles_release(cx, &t);
        }
    }
    divide(out, (double)l->n * (double)c->pack);
    out->pairs = c->heads > 1 ? pairs : (double)out->tiles.pairs;
done:
    atn_tiles_release(cx, &t);
    return st;
}

/* Heads of a group that see other keys share tiles all the same. */
static void say_union(const sim_case *c, double apart, atn_sim *out)
{
    const double together = (double)c->pack * out->visited;

    if (c->heads > 1 && together > 1.02 * apart)
        atn_sim_note(
            out,
            "the %lld heads of a group share their tiles: %.3g times the visits "
            "of heads alone",
            (long long)c->pack, together / apart);
}

/* Of all heads, not of the first alone. */
static void find_bounds(const sim_case *c, atn_sim *out)
{
    const atn_tiling packed = packed_tiling(c);
    atn_dense_tiles d = atn_tiles_dense(c->p[0], &packed, c->causal);

    d.visited /= (double)c->pack; /* a head's part */
    out->bounds = atn_tiles_over(&d, out->pairs, out->visited, out->max);
}

atn_status atn_sim_count(atn_ctx *cx, const sim_case *c, atn_sim *out, sim_lists *l)
{
    const bool rule = c->kernel->window_rule && c->window &&
                      c->tiling.layout == ATN_LAYOUT_PLAIN && !c->tiling.backward;
    atn_status st = ATN_OK;

    l->n = c->heads;
    ATN_TAKE(l->list, l->n);
    if (c->heads > 1 || c->pack == 1) ATN_TRY(count_heads(cx, c, out, l));
    out->packed = c->pack;
    if (c->pack > 1) {
        const double apart = (double)c->pack * (out->visited - out->padding);

        ATN_TRY(count_groups(cx, c, out, l));
        say_union(c, apart, out);
    } else if (!rule) {
        ATN_TRY(spread(cx, c, l));
    }
    find_bounds(c, out);
    if (rule) {
        const atn_window_rule w = {c->shape.q_len, c->shape.kv_len, c->left, c->right,
                                   c->bm,          c->bn,           c->pack};

        l->n = 1;
        ATN_TRY(window_list(cx, &w, c->policy != ATN_MASK_SKIP, l->list));
    }
done:
    return st;
}

/* ---- decode ---- */

/* Keys that query `i` of heads [first, first + n) sees, as spans in out; their number
 * or, of spans, the keys in *keys. */
static atn_idx last_spans(const sim_case *c, atn_idx first, atn_idx n, atn_span *out)
{
    const atn_frame *f = &c->p[0]->frame;
    const atn_idx last = f->first + f->nq - 1;
    atn_idx k = 0;

    for (atn_idx h = first; h < first + n; h++) {
        atn_idx head;
        const atn_pattern *p = atn_sim_head(c, h, &head);

        k += atn_pattern_keys(p, head, last, out + k);
    }
    return merge_spans(out, k);
}

typedef struct last_row {
    atn_idx keys, tiles, full;
} last_row;

static last_row row_of(const atn_span *s, atn_idx n, atn_idx bn, atn_idx nk)
{
    last_row r = {0, 0, 0};
    atn_idx seen = -1;

    for (atn_idx i = 0; i < n; i++) {
        const atn_idx a = s[i].lo / bn, b = (s[i].hi - 1) / bn;
        const atn_idx whole = s[i].hi == nk ? atn_ceil_div(nk, bn) : s[i].hi / bn;

        r.keys += s[i].hi - s[i].lo;
        r.tiles += b - a + (a > seen);
        r.full += ATN_MAX(whole - atn_ceil_div(s[i].lo, bn), 0);
        seen = b;
    }
    return r;
}

static atn_idx most_spans(const sim_case *c, atn_idx g)
{
    atn_idx room = 0;

    for (atn_idx i = 0; i < c->n; i++) room = ATN_MAX(room, c->p[i]->room);
    return room * g;
}

static atn_status few_tiles(atn_ctx *cx, const last_row *r, atn_tiles *t)
{
    atn_status st = ATN_OK;

    ATN_NEW(t->visits, 1);
    ATN_NEW(t->masked, 1);
    ATN_NEW(t->histogram, r->tiles + 1);
    t->ctas = 1;
    t->visits[0] = (int32_t)r->tiles;
    t->masked[0] = (int32_t)(r->tiles - r->full);
    t->histogram[r->tiles] = 1;
    t->visited = t->max = r->tiles;
    t->full = t->flex_full = r->full;
    t->partial = t->flex_partial = r->tiles - r->full;
    t->pairs = r->keys;
    t->sparse = r->tiles == r->full;
    t->natten_sparse = -1;
done:
    return st;
}

static void decode_bounds(const sim_case *c, atn_sim *out)
{
    const double all = (double)atn_ceil_div(c->shape.kv_len, c->bn);
    const atn_dense_tiles dense = {1, all, all, (double)c->shape.kv_len};

    out->tiles.other = (atn_idx)all;
    out->tiles.waste = (double)(out->tiles.visited * c->bn) / (double)out->tiles.pairs;
    out->bounds = atn_tiles_over(&dense, out->pairs, out->visited, out->max);
}

atn_status atn_sim_count_last(atn_ctx *cx, const sim_case *c, atn_sim *out,
                              atn_decode_case *d)
{
    const atn_launch *s = &c->shape;
    const atn_idx g = s->heads / s->kv_heads;
    const atn_idx heads = c->heads == 1 ? 1 : s->heads;
    const atn_idx groups = c->heads == 1 ? 1 : s->kv_heads;
    double seen = 0, blocks = 0, group_tiles = 0;
    atn_span *spans;
    atn_status st = ATN_OK;

    ATN_TAKE(spans, most_spans(c, g));
    for (atn_idx h = 0; h < heads; h++) {
        const last_row r = row_of(spans, last_spans(c, h, 1, spans), c->bn, s->kv_len);

        if (h == 0) ATN_TRY(few_tiles(cx, &r, &out->tiles));
        out->pairs += (double)r.keys;
        out->visited += (double)r.tiles;
        out->full += (double)r.full;
        out->partial += (double)(r.tiles - r.full);
        out->max = fmax(out->max, (double)r.tiles);
    }
    divide(out, (double)heads);
    out->flex_full = out->flex_partial = NAN;
    /* Keys and values are read once a group. */
    for (atn_idx k = 0; k < groups; k++) {
        const last_row r = row_of(spans, last_spans(c, k * g, heads > 1 ? g : 1, spans),
                                  c->bn, s->kv_len);

        seen += (double)r.keys;
        group_tiles += (double)r.tiles;
        blocks = fmax(blocks, (double)r.tiles);
    }
    seen /= (double)groups;
    group_tiles /= (double)groups;
    out->ctas = 1;
    decode_bounds(c, out);
    out->bytes = s->bytes * (double)s->batch *
                 ((double)s->kv_heads * seen + (double)s->heads) *
                 (double)(s->head_dim + s->value_dim);
    *d = (atn_decode_case){(atn_idx)ceil(seen), (atn_idx)blocks, c->bn, c->bm,
                           c->window && c->left >= 0 && c->left + 1 < s->kv_len};
    if (blocks > group_tiles)
        atn_sim_note(out, "heads read %.6g tiles at most, %.6g on average", blocks,
                     group_tiles);
done:
    return st;
}
