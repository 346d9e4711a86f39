/* graph/edge_walk.c -- sums over the edges of the attention graph, see the header.
 *
 * Every tile is copied once without its self edges, which are large in many heads: sums
 * of the others must not be differences from them.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "graph/edge_walk.h"

#include <math.h>
#include <string.h>

#include "core/kernels/kernels.h"

static const double FIXED = 1099511627776.0; /* 2^40 */

/* What the tiles add to together, in fixed point. */
typedef struct shared {
    uint64_t *columns, *counted, *same; /* [nk] */
    uint64_t *pairs;                    /* [classes, classes] */
} shared;

typedef struct walk {
    const atn_edge_want *want;
    const atn_edge_sums *out;
    shared to;
} walk;

/* One tile without its self edges, and its own part of what is shared. */
typedef struct tile {
    const atn_tile *t;
    float *p;                         /* [rows, keys] */
    double *columns, *counted, *same; /* [keys] */
    double *pairs;                    /* [classes, classes] */
} tile;

atn_idx atn_edge_own(const atn_head *h, bool self, atn_idx i)
{
    const atn_idx at = self ? atn_sight_at(&h->sight, i) : -1;

    return at >= 0 && at < h->nk ? at : -1;
}

/* ---- a row ---- */

static void label_row(const walk *w, const tile *b, atn_idx i, const float *p)
{
    const int32_t y = w->want->query[i], *label = w->want->key + b->t->key0;
    double counted = 0, same = 0;

    for (atn_idx c = 0; y >= 0 && c < b->t->keys; c++) {
        const double any = label[c] >= 0 ? (double)p[c] : 0;
        const double equal = label[c] == y ? (double)p[c] : 0;

        counted += any;
        same += equal;
        if (!b->counted) continue;
        b->counted[c] += any;
        b->same[c] += equal;
    }
    w->out->counted[i] = counted;
    w->out->same[i] = same;
    for (atn_idx c = 0; b->pairs && y >= 0 && c < b->t->keys; c++)
        if (label[c] >= 0) b->pairs[y * w->want->classes + label[c]] += (double)p[c];
}

static double distance_square(const float *x, const float *y, atn_idx n)
{
    double lane[4] = {0}, rest = 0;
    atn_idx i = 0;

    for (; i + 4 <= n; i += 4)
        for (int l = 0; l < 4; l++) {
            const double d = (double)x[i + l] - (double)y[i + l];
            lane[l] += d * d;
        }
    for (; i < n; i++)
        rest += ((double)x[i] - (double)y[i]) * ((double)x[i] - (double)y[i]);
    return rest + (lane[0] + lane[1]) + (lane[2] + lane[3]);
}

static double row_energy(const atn_edge_want *want, const atn_tile *t, atn_idx own,
                         const float *p)
{
    const double half = want->power / 2;
    double sum = 0;

    for (atn_idx c = 0; own >= 0 && c < t->keys; c++) {
        double d;

        if (!(p[c] > 0)) continue;
        d = distance_square(atn_crow(want->x, own), atn_crow(want->x, t->key0 + c),
                            want->x.cols);
        sum += pow((double)p[c] * d, half);
    }
    return sum / 2;
}

static void one_row(const walk *w, const tile *b, const atn_head *h, atn_idx i,
                    float *p)
{
    const atn_edge_sums *out = w->out;
    const atn_tile *t = b->t;
    const atn_idx own = atn_edge_own(h, w->want->self, i), at = own - t->key0;
    const bool in = own >= 0 && at >= 0 && at < t->keys;

    if (out->self) out->self[i] = in ? (double)p[at] : 0;
    if (in) p[at] = 0;
    if (out->mass) out->mass[i] = atn_row_sum(p, t->keys);
    if (out->square) out->square[i] = atn_row_square(p, t->keys);
    if (out->dot) out->dot[i] = atn_row_dot(p, w->want->g + t->key0, t->keys);
    if (out->energy) out->energy[i] = row_energy(w->want, t, own, p);
    if (out->counted && atn_sight_query(&h->sight, i) >= w->want->skip_rows)
        label_row(w, b, i, p);
    else if (out->counted)
        out->counted[i] = out->same[i] = 0;
}

/* ---- a tile ---- */

static double *cleared(double *x, atn_idx n)
{
    if (x) memset(x, 0, (size_t)n * sizeof *x);
    return x;
}

static atn_status take_tile(atn_ctx *cx, const walk *w, tile *b)
{
    const atn_idx keys = b->t->keys, pairs = w->want->classes * w->want->classes;
    atn_status st = ATN_OK;

    ATN_TAKE(b->p, b->t->rows * keys);
    if (w->to.columns) ATN_TAKE(b->columns, keys);
    if (w->to.counted) ATN_TAKE(b->counted, keys);
    if (w->to.same) ATN_TAKE(b->same, keys);
    if (w->to.pairs) ATN_TAKE(b->pairs, pairs);
    cleared(b->columns, keys);
    cleared(b->counted, keys);
    cleared(b->same, keys);
    cleared(b->pairs, pairs);
done:
    return st;
}

static void add(uint64_t *to, const double *x, atn_idx n)
{
    if (to) atn_fixed_add(to, x, n, FIXED);
}

static void add_shared(const walk *w, const tile *b)
{
    const atn_idx key0 = b->t->key0, keys = b->t->keys;

#pragma omp critical(atn_edge_walk_add)
    {
        if (w->to.columns) add(w->to.columns + key0, b->columns, keys);
        if (w->to.counted) add(w->to.counted + key0, b->counted, keys);
        if (w->to.same) add(w->to.same + key0, b->same, keys);
        add(w->to.pairs, b->pairs, w->want->classes * w->want->classes);
    }
}

static void product(const walk *w, const tile *b)
{
    const atn_cmat f = w->want->f;
    const atn_tile *t = b->t;
    float *out = w->out->pf + t->first * f.cols;

    if (t->keys == 0)
        memset(out, 0, (size_t)(t->rows * f.cols) * sizeof *out);
    else
        atn_gemm(false, 1, (atn_cmat){b->p, t->rows, t->keys, t->keys},
                 (atn_cmat){atn_crow(f, t->key0), t->keys, f.cols, f.ld}, 0,
                 (atn_mat){out, t->rows, f.cols, f.cols});
}

static atn_status visit(atn_ctx *cx, const atn_head *h, const atn_tile *t, atn_cmat p,
                        const atn_row_info *info, void *state)
{
    const walk *w = state;
    const atn_arena_mark mark = atn_arena_save(cx);
    atn_status st = ATN_OK;
    tile b = {.t = t};

    (void)info;
    ATN_TRY(take_tile(cx, w, &b));
    for (atn_idx r = 0; r < t->rows; r++) {
        float *row = b.p + r * t->keys;

        memcpy(row, atn_crow(p, r), (size_t)t->keys * sizeof *row);
        one_row(w, &b, h, t->first + r, row);
    }
    if (w->out->pf) product(w, &b);
    if (b.columns) atn_tile_columns(b.p, t->keys, t->rows, t->keys, b.columns);
    add_shared(w, &b);
done:
    atn_arena_rewind(cx, mark);
    return st;
}

/* ---- the walk ---- */

static atn_status take_shared(atn_ctx *cx, uint64_t **x, const double *wanted,
                              atn_idx n)
{
    atn_status st = ATN_OK;

    if (!wanted) goto done;
    ATN_TAKE(*x, n);
    memset(*x, 0, (size_t)n * sizeof **x);
done:
    return st;
}

static void widen(const uint64_t *x, atn_idx n, double *out)
{
    for (atn_idx i = 0; x && i < n; i++) out[i] = (double)x[i] / FIXED;
}

double atn_edge_walk_bytes(const atn_ctx *cx, const atn_head *h,
                           const atn_edge_want *want, const atn_edge_sums *out)
{
    const double nk = (double)h->nk, rows = (double)atn_tile_rows(h);
    const double pairs = out->pairs ? (double)want->classes * (double)want->classes : 0;
    const int kept = !!out->columns + !!out->key_counted + !!out->key_same;

    return atn_rows_stream_bytes(cx, h, 1) + 8 * (kept * nk + pairs) +
           cx->threads * (4 * rows * nk + 8 * (kept * nk + pairs));
}

atn_status atn_edge_walk(atn_ctx *cx, const atn_head *h, const atn_edge_want *want,
                         const atn_edge_sums *out)
{
    const atn_arena_mark mark = atn_arena_save(cx);
    const atn_idx pairs = want->classes * want->classes;
    atn_status st = ATN_OK;
    walk w = {want, out, {0}};

    ATN_ASSERT((!out->counted || (want->key && want->query && out->same)) &&
               !out->key_counted == !out->key_same &&
               (!out->key_same || out->counted) &&
               (!out->pairs || (out->counted && want->classes > 0)));
    ATN_ASSERT((!out->pf || want->f.data) && (!out->dot || want->g) &&
               (!out->energy || (want->x.data && want->power > 0)));
    if (h->nq > ATN_EDGE_ROWS_MOST)
        ATN_FAIL(ATN_DATA,
                 "layer %d: the attention graph takes at most %d rows, not %lld",
                 h->layer, ATN_EDGE_ROWS_MOST, (long long)h->nq);
    ATN_TRY(atn_mem_check(cx, atn_edge_walk_bytes(cx, h, want, out), "the graph"));
    ATN_TRY(take_shared(cx, &w.to.columns, out->columns, h->nk));
    ATN_TRY(take_shared(cx, &w.to.counted, out->key_counted, h->nk));
    ATN_TRY(take_shared(cx, &w.to.same, out->key_same, h->nk));
    ATN_TRY(take_shared(cx, &w.to.pairs, out->pairs, pairs));
    ATN_TRY(atn_rows_stream(cx, h, 1, visit, &w, "attention graph"));
    widen(w.to.columns, h->nk, out->columns);
    widen(w.to.counted, h->nk, out->key_counted);
    widen(w.to.same, h->nk, out->key_same);
    widen(w.to.pairs, pairs, out->pairs);
done:
    atn_arena_rewind(cx, mark);
    return st;
}
