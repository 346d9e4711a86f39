/* graph/adapter_rows.c -- one tile of rows of an iteration of the adapter.
 *
 * The numbers of a row are worked out while it is in cache; then two products take the
 * messages to the queries and to the keys.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#include <math.h>
#include <string.h>

#include "core/kernels/kernels.h"
#include "core/linalg.h"
#include "graph/adapter_internal.h"

typedef struct room {
    atn_tile t;
    atn_mat p;           /* [rows, keys] */
    atn_row_info *info;  /* [rows] */
    double *d2, *d0, *m; /* [rows, keys]: distances now, at first; messages */
    double *w, *x, *ln, *ln_w, *cosine; /* [keys] of the row at hand; w: its weights */
    double *moved;                      /* [rows, wide] */
} room;

/* One row of the tile: its keys [lo, hi), at [from, from + n) of the tile's. */
typedef struct one_row {
    atn_idx r, i, lo, n, from;
    atn_idx own; /* its own key counted from lo; -1 = does not see it */
} one_row;

double atn_adapter_tile_bytes(atn_idx rows, atn_idx nk, atn_idx wide)
{
    const double tile = (double)rows * (double)nk;

    return tile * (sizeof(float) + 3 * sizeof(double)) +
           5 * (double)nk * sizeof(double) +
           (double)rows * ((double)wide * sizeof(double) + sizeof(atn_row_info));
}

atn_idx atn_adapter_own(const atn_adapter_input *in, atn_idx i)
{
    const atn_idx at = atn_sight_at(&in->head->sight, i);

    return in->own && at >= 0 && at < in->head->nk ? at : -1;
}

static one_row row_of(const adapter_walk *w, const room *o, atn_idx r)
{
    const atn_row_info *info = &o->info[r];
    one_row at = {.r = r, .i = o->t.first + r, .lo = info->lo};
    const atn_idx own = atn_adapter_own(w->in, at.i);

    at.n = info->hi - info->lo;
    at.from = info->lo - o->t.key0;
    at.own = own >= info->lo && own < info->hi ? own - info->lo : -1;
    return at;
}

/* ---- the loops over the keys of a row ---- */

ATN_CLONES static void widen(const float *p, atn_idx n, double *w)
{
    for (atn_idx j = 0; j < n; j++) w[j] = (double)p[j];
}

ATN_CLONES static void multiply(const double *a, const double *b, atn_idx n, double *y)
{
    for (atn_idx j = 0; j < n; j++) y[j] = a[j] * b[j];
}

/* x <- || sqrt(w + eps) (v - q) + eps 1 ||^2; apart: sums of v; own: that of q. */
ATN_CLONES static void gradient(const double *w, const double *d2, const double *apart,
                                double own, atn_idx n, double eps, double c, double *x)
{
    const double least = eps * eps * c;

    for (atn_idx j = 0; j < n; j++) {
        const double s = w[j] + eps;
        const double all = s * d2[j] + 2 * eps * sqrt(s) * (apart[j] - own) + least;

        x[j] = d2[j] > 0 ? (all > 0 ? all : 0) : least;
    }
}

/* cosine <- from squared distances and norms, d2 <- distance. */
ATN_CLONES static void likeness(const double *square, const double *inverse, double own,
                                double own_inverse, atn_idx n, double *d2,
                                double *cosine)
{
    for (atn_idx j = 0; j < n; j++) {
        cosine[j] = (own + square[j] - d2[j]) * .5 * own_inverse * inverse[j];
        d2[j] = sqrt(d2[j]);
    }
}

static void labels_of(const adapter_walk *w, const one_row *at, const double *m,
                      adapter_row *out)
{
    const int32_t *y = w->in->labels;
    const atn_idx own = atn_adapter_own(w->in, at->i);

    if (!y || own < 0 || y[own] < 0) return;
    for (atn_idx j = 0; j < at->n; j++) {
        if (y[at->lo + j] < 0) continue;
        out->labelled += m[j];
        if (y[at->lo + j] == y[own]) out->same += m[j];
    }
}

/* What weights m with sum `mass` are like; ln_m their logarithms. d0 holds distances,
 * and the row's cosines are there. */
static void describe(const adapter_walk *w, const room *o, const one_row *at,
                     const double *m, double mass, const double *ln_m, adapter_row *out)
{
    const double *d0 = o->d0 + at->r * o->t.keys + at->from;

    out->entropy = out->distance = out->homophily = NAN;
    if (!(mass > 0)) return;
    out->entropy = ATN_MAX(log(mass) - atn_pairs_dot(m, ln_m, at->n) / mass, 0.0);
    out->distance = atn_pairs_dot(m, d0, at->n) / mass;
    out->homophily = atn_pairs_dot(m, o->cosine, at->n) / mass;
    labels_of(w, at, m, out);
}

/* KL of the given weights w to the messages m: both normalised. ln_g = ln (m / w). */
static double divergence(const room *o, const one_row *at, const double *m,
                         const double *ln_g, double given, double mass)
{
    if (!(given > 0 && mass > 0)) return NAN;
    for (atn_idx j = 0; j < at->n; j++)
        if (m[j] == 0 && o->w[j] > 0) return INFINITY;
    return ATN_MAX(log(mass) - log(given) - atn_pairs_dot(o->w, ln_g, at->n) / given,
                   0.0);
}

/* ---- a row ---- */

static double row_apart(const double *a, const double *b, atn_idx n)
{
    double sum = 0;

    for (atn_idx e = 0; e < n; e++) sum += (a[e] - b[e]) * (a[e] - b[e]);
    return sum;
}

/* Where the row stands before the step. */
static void stand(const adapter_walk *w, const room *o, const one_row *at,
                  adapter_row *out)
{
    const double *q = w->q.x + at->i * w->wide, *plain = w->plain + at->i * w->c;
    const double *d2 = o->d2 + at->r * o->t.keys + at->from;

    out->anchor = row_apart(q, w->q0.x + at->i * w->wide, w->c);
    out->change = row_apart(q, plain, w->c);
    out->plain = atn_pairs_dot(plain, plain, w->c);
    multiply(o->w, d2, at->n, o->x);
    atn_pairs_power(o->x, at->n, w->a->p / 2, o->ln, o->x);
    out->energy = atn_pairs_sum(o->x, at->n);
}

/* The messages of the row into the tile, and what they are like. */
static void send(const adapter_walk *w, const room *o, const one_row *at, double given,
                 adapter_row *out)
{
    const double e = (w->a->p - 2) / 2, anchor = 2 * w->a->mu / w->a->p;
    const double *d2 = o->d2 + at->r * o->t.keys + at->from;
    double *m = o->m + at->r * o->t.keys + at->from, mass, alpha;

    gradient(o->w, d2, w->v.sum + at->lo, w->q.sum[at->i], at->n, w->a->eps,
             (double)w->c, o->x);
    atn_pairs_power(o->x, at->n, e, o->ln, m);
    multiply(m, o->w, at->n, m);
    for (atn_idx j = 0; j < at->n; j++) o->ln[j] *= e;
    mass = atn_pairs_sum(m, at->n);
    out->alpha = alpha = mass > 0 ? 1 / (mass + anchor) : 0;
    out->kl = divergence(o, at, m, o->ln, given, mass);
    for (atn_idx j = 0; j < at->n; j++) o->ln[j] += o->ln_w[j];
    describe(w, o, at, m, mass, o->ln, out);
    out->mass = alpha * mass;
    out->beta = mass > 0 ? alpha * anchor : 1;
    out->self = at->own >= 0 ? alpha * m[at->own] : 0;
    out->same *= alpha;
    out->labelled *= alpha;
}

/* The weights of the row in double, without its own key where that is dropped. */
static void take_weights(const adapter_walk *w, const room *o, const one_row *at)
{
    widen(atn_row(o->p, at->r) + at->from, at->n, o->w);
    if (w->a->self == ATN_SELF_DROP && at->own >= 0) o->w[at->own] = 0;
}

static void each_row(const adapter_walk *w, const room *o, atn_idx r)
{
    const one_row at = row_of(w, o, r);
    adapter_row *out = &w->row[at.i], *given = &w->given[at.i];
    const atn_idx tile_at = r * o->t.keys + at.from;
    double *d0 = o->d0 + tile_at, mass;

    *out = (adapter_row){.seen = at.n > 0, .beta = 1};
    out->kl = out->entropy = out->distance = out->homophily = NAN;
    if (w->moves) memset(o->m + r * o->t.keys, 0, (size_t)o->t.keys * sizeof *o->m);
    take_weights(w, o, &at);
    atn_pairs_repair(&w->q, at.i, &w->v, at.lo, at.n, w->a->snap, o->d2 + tile_at);
    stand(w, o, &at, out);
    if (!w->moves) return;
    if (w->iteration == 0)
        memcpy(d0, o->d2 + tile_at, (size_t)at.n * sizeof *d0);
    else
        atn_pairs_repair(&w->q0, at.i, &w->v0, at.lo, at.n, w->a->snap, d0);
    likeness(w->v0.square + at.lo, w->v0.sum + at.lo, w->q0.square[at.i],
             w->q0.sum[at.i], at.n, d0, o->cosine);
    atn_pairs_log(o->w, at.n, o->ln_w);
    mass = atn_pairs_sum(o->w, at.n);
    if (w->iteration == 0) {
        *given = (adapter_row){.seen = out->seen, .mass = mass, .beta = NAN};
        given->kl = mass > 0 ? 0 : NAN;
        given->self = at.own >= 0 ? o->w[at.own] : 0;
        describe(w, o, &at, o->w, mass, o->ln_w, given);
    }
    send(w, o, &at, mass, out);
}

/* ---- a tile ---- */

static atn_cwide messages(const room *o)
{
    return (atn_cwide){o->m, o->t.rows, o->t.keys, o->t.keys};
}

/* O of the rows, from their weights as they are. */
static void plain_output(const adapter_walk *w, const room *o)
{
    for (atn_idx r = 0; r < o->t.rows; r++)
        widen(atn_row(o->p, r), o->t.keys, o->m + r * o->t.keys);
    atn_gemm_wide(ATN_AB, 1, messages(o),
                  (atn_cwide){w->v.x + o->t.key0 * w->wide, o->t.keys, w->c, w->wide},
                  0, (atn_wide){w->plain + o->t.first * w->c, o->t.rows, w->c, w->c});
}

/* The keys get their share of M'q and M'1, in the group's own sums. */
static void to_keys(const adapter_walk *w, const room *o, atn_idx group)
{
    double *sent = w->sent + (group * w->nk + o->t.key0) * w->wide;
    double *sums = w->sums + group * w->nk + o->t.key0;

    atn_gemm_wide(
        ATN_ATB, 1, messages(o),
        (atn_cwide){w->q.x + o->t.first * w->wide, o->t.rows, w->wide, w->wide}, 1,
        (atn_wide){sent, o->t.keys, w->wide, w->wide});
    for (atn_idx r = 0; r < o->t.rows; r++)
        for (atn_idx j = 0; j < o->t.keys; j++) sums[j] += o->m[r * o->t.keys + j];
}

/* Rows of q are read by their own tile alone, so they move in place. */
static void to_queries(const adapter_walk *w, const room *o)
{
    const double anchor = 2 * w->a->mu / w->a->p;

    atn_gemm_wide(
        ATN_AB, 1, messages(o),
        (atn_cwide){w->v.x + o->t.key0 * w->wide, o->t.keys, w->wide, w->wide}, 0,
        (atn_wide){o->moved, o->t.rows, w->wide, w->wide});
    for (atn_idx r = 0; r < o->t.rows; r++) {
        const atn_idx i = o->t.first + r;

        atn_adapter_move(w, o->moved + r * w->wide, w->row[i].alpha, anchor,
                         w->q0.x + i * w->wide, (double *)w->q.x + i * w->wide);
    }
}

/* Room for any tile, in one piece; tiles take of it what they have keys for. */
static atn_status take_room(atn_ctx *cx, const adapter_walk *w, room *o)
{
    const atn_idx size = w->tile_rows * w->nk;
    atn_status st = ATN_OK;
    double *all = NULL;

    ATN_TAKE(all, 3 * size + 5 * w->nk + w->tile_rows * w->wide);
    o->d2 = all;
    o->d0 = o->d2 + size;
    o->m = o->d0 + size;
    o->w = o->m + size;
    o->x = o->w + w->nk;
    o->ln = o->x + w->nk;
    o->ln_w = o->ln + w->nk;
    o->cosine = o->ln_w + w->nk;
    o->moved = o->cosine + w->nk;
    ATN_TAKE(o->p.data, size);
    ATN_TAKE(o->info, w->tile_rows);
done:
    return st;
}

static atn_status one_tile(atn_ctx *cx, const adapter_walk *w, atn_idx group, room *o)
{
    atn_status st = ATN_OK;

    o->p = (atn_mat){o->p.data, o->t.rows, o->t.keys, o->t.keys};
    ATN_TRY(atn_rows_fill(cx, w->h, &o->t, o->p, o->info));
    if (w->iteration == 0) plain_output(w, o);
    atn_pairs_distance(&w->q, o->t.first, o->t.rows, &w->v, o->t.key0, o->t.keys,
                       o->d2);
    if (w->iteration > 0 && w->moves)
        atn_pairs_distance(&w->q0, o->t.first, o->t.rows, &w->v0, o->t.key0, o->t.keys,
                           o->d0);
    for (atn_idx r = 0; r < o->t.rows; r++) each_row(w, o, r);
    if (!w->moves) goto done;
    if (!w->a->nodes && o->t.keys > 0) to_keys(w, o, group);
    to_queries(w, o);
done:
    return st;
}

/* Forth and back over the groups, since later rows of a causal head see more. */
atn_status atn_adapter_group(atn_ctx *cx, atn_idx group, void *state)
{
    const adapter_walk *w = state;
    const atn_arena_mark mark = atn_arena_save(cx);
    atn_status st = ATN_OK;
    room o = {0};

    ATN_TRY(take_room(cx, w, &o));
    for (atn_idx round = 0; round * w->groups < w->tiles; round++) {
        const atn_idx turn = round % 2 ? w->groups - 1 - group : group;
        const atn_idx tile = round * w->groups + turn;

        if (tile >= w->tiles) continue;
        o.t = atn_tile_of(w->h, tile * w->tile_rows, w->tile_rows);
        ATN_TRY(one_tile(cx, w, group, &o));
    }
done:
    atn_arena_rewind(cx, mark);
    return st;
}
