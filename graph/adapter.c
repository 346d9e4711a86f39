/* graph/adapter.c -- iterations of the adapter on one head.
 *
 * Tiles of rows belong to a few groups whose number does not depend on the threads; a
 * group adds up what its tiles send to the keys, and the groups are added in order.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "graph/adapter.h"

#include <math.h>
#include <string.h>

#include "graph/adapter_internal.h"

enum { GROUPS = 8, ROWS_MIN = 8, ARENA_END = 1 << 20 };

const atn_adapter_params atn_adapter_defaults = {
    .p = 1.5, .mu = 0.2, .eps = 1e-8, .snap = 1e-6, .damping = 1, .iterations = 1};

atn_status atn_adapter_check(atn_ctx *cx, const atn_adapter_params *a)
{
    atn_status st = ATN_OK;

    ATN_TRY(atn_pairs_check(cx, a->p, a->mu, a->snap, a->damping, a->iterations));
    if (!(a->eps >= 0 && a->eps <= 1))
        ATN_FAIL(ATN_USAGE, "eps = %g is outside 0 .. 1", a->eps);
done:
    return st;
}

void atn_adapter_move(const adapter_walk *w, const double *moved, double alpha,
                      double anchor, const double *first, double *x)
{
    const double beta = !(alpha > 0)                  ? 1
                        : w->a->beta == ATN_BETA_CODE ? 0
                                                      : alpha * anchor;

    for (atn_idx e = 0; e < w->wide; e++) {
        const double to = (alpha > 0 ? alpha * moved[e] : 0) + beta * first[e];

        x[e] += w->a->damping * (to - x[e]);
    }
}

/* ---- the room of a walk ---- */

static atn_idx width_of(const atn_adapter_input *in)
{
    return (in->v.data ? in->v.cols : in->head->v.cols) + in->signals;
}

static void shape(const atn_adapter_input *in, adapter_walk *w)
{
    w->h = in->head;
    w->nq = in->head->nq;
    w->nk = in->head->nk;
    w->wide = width_of(in);
    w->c = w->wide - in->signals;
    w->tile_rows = ATN_MAX(atn_tile_rows(in->head) / 2, (atn_idx)ROWS_MIN);
    w->tiles = (w->nq + w->tile_rows - 1) / w->tile_rows;
    w->groups = ATN_MAX(ATN_MIN((atn_idx)GROUPS, w->tiles), (atn_idx)1);
}

double atn_adapter_bytes(const atn_ctx *cx, const atn_adapter_input *in)
{
    adapter_walk w = {0};
    double nq, nk, wide, threads;

    shape(in, &w);
    threads = (double)ATN_MIN((atn_idx)cx->threads, w.groups);
    nq = (double)w.nq;
    nk = (double)w.nk;
    wide = (double)w.wide;
    return 8 * (2 * (nq + nk) * (wide + 2) + nq * (double)w.c) +
           8 * (double)w.groups * nk * (wide + 1) +
           2 * nq * (double)sizeof(adapter_row) +
           threads * atn_adapter_tile_bytes(w.tile_rows, w.nk, w.wide) +
           (threads + 1) * ARENA_END; /* what the pieces of an arena leave over */
}

/* n points, their norms and sums at `norms`; returns where the next may begin. */
static double *set_points(const adapter_walk *w, atn_idx n, double *norms,
                          atn_points *x)
{
    *x = (atn_points){.n = n, .c = w->c, .ld = w->wide, .square = norms};
    x->sum = norms + n;
    return norms + 2 * n;
}

static atn_status take_data(atn_ctx *cx, atn_points *x)
{
    atn_status st = ATN_OK;
    double *data = NULL;

    ATN_TAKE(data, x->n * x->ld);
    x->x = data;
done:
    return st;
}

static atn_status take_room(atn_ctx *cx, adapter_walk *w)
{
    const atn_idx keys = w->a->nodes ? 0 : w->groups * w->nk;
    atn_status st = ATN_OK;
    double *norms = NULL;
    atn_idx size;

    if (w->nk > INT32_MAX || w->wide > INT32_MAX || !atn_mul(w->nq, w->wide, &size) ||
        !atn_mul(w->groups * w->nk, w->wide + 1, &size))
        ATN_FAIL(ATN_MEMORY, "adapter: %lld keys of %lld numbers are too many",
                 (long long)w->nk, (long long)w->wide);
    ATN_TRY(atn_mem_check(cx, atn_adapter_bytes(cx, w->in), "the adapter of one head"));
    ATN_TAKE(norms, 4 * (w->nq + w->nk)); /* what is small first: it shares a chunk */
    norms = set_points(w, w->nq, norms, &w->q);
    norms = set_points(w, w->nq, norms, &w->q0);
    norms = set_points(w, w->nk, norms, &w->v);
    norms = set_points(w, w->nk, norms, &w->v0);
    ATN_TAKE(w->row, w->nq);
    ATN_TAKE(w->given, w->nq);
    ATN_TAKE(w->sums, keys);
    ATN_TRY(take_data(cx, &w->q));
    ATN_TRY(take_data(cx, &w->q0));
    ATN_TRY(take_data(cx, &w->v));
    ATN_TRY(take_data(cx, &w->v0));
    ATN_TAKE(w->plain, w->nq * w->c);
    ATN_TAKE(w->sent, keys * w->wide);
done:
    return st;
}

/* ---- features ---- */

static atn_status check_input(atn_ctx *cx, const atn_adapter_input *in,
                              const atn_adapter_params *a)
{
    const atn_head *h = in->head;
    const atn_cmat v = in->v.data ? in->v : h->v;
    atn_status st = ATN_OK;

    ATN_ASSERT(!h->sight.rows && (!in->signals || in->v_sent));
    if (!v.data || v.cols < 1)
        ATN_FAIL(ATN_DATA,
                 "layer %d, head %d: the adapter needs values (v), the head has none",
                 h->layer, h->head);
    if (v.rows != h->nk ||
        (in->q.data && (in->q.rows != h->nq || in->q.cols != v.cols)))
        ATN_FAIL(ATN_USAGE,
                 "layer %d, head %d: features of queries (%lld, %lld) and keys (%lld, "
                 "%lld) do not fit %lld queries and %lld keys",
                 h->layer, h->head, (long long)in->q.rows, (long long)in->q.cols,
                 (long long)v.rows, (long long)v.cols, (long long)h->nq,
                 (long long)h->nk);
    if (in->q.data) goto done;
    for (atn_idx i = 0; i < h->nq; i++)
        if (atn_adapter_own(in, i) < 0)
            ATN_FAIL(ATN_USAGE,
                     "layer %d, head %d: query %lld is none of the keys, so it has no "
                     "value for a feature (give features of the queries)",
                     h->layer, h->head, (long long)i);
done:
    if (st == ATN_OK && a->nodes &&
        (in->q.data || h->nq != h->nk || atn_adapter_own(in, 0) != 0))
        st = atn_fail(cx, ATN_USAGE, __FILE__, __LINE__,
                      "layer %d, head %d: with tokens for nodes queries and keys must "
                      "be the same tokens (use the bipartite form)",
                      h->layer, h->head);
    return st;
}

static void copy_row(const float *from, atn_idx n, double *to)
{
    for (atn_idx e = 0; e < n; e++) to[e] = (double)from[e];
}

static void load_keys(const adapter_walk *w)
{
    const atn_cmat v = w->in->v.data ? w->in->v : w->h->v;
    const atn_idx s = w->in->signals;

    for (atn_idx j = 0; j < w->nk; j++) {
        double *to = (double *)w->v0.x + j * w->wide;

        copy_row(atn_crow(v, j), w->c, to);
        if (s > 0) memcpy(to + w->c, w->in->v_sent + j * s, (size_t)s * sizeof *to);
    }
}

static void load_queries(const adapter_walk *w)
{
    const atn_idx s = w->in->signals;

    for (atn_idx i = 0; i < w->nq; i++) {
        const atn_idx own = atn_adapter_own(w->in, i);
        double *to = (double *)w->q0.x + i * w->wide;

        memset(to, 0, (size_t)w->wide * sizeof *to);
        if (own >= 0) memcpy(to, w->v0.x + own * w->wide, (size_t)w->wide * sizeof *to);
        if (w->in->q.data) copy_row(atn_crow(w->in->q, i), w->c, to);
        if (s > 0 && w->in->q_sent)
            memcpy(to + w->c, w->in->q_sent + i * s, (size_t)s * sizeof *to);
    }
}

/* Anchors keep 1 / |x| for cosines. */
static void start(const adapter_walk *w)
{
    const atn_points *const anchors[] = {&w->q0, &w->v0}, *const now[] = {&w->q, &w->v};

    load_keys(w);
    load_queries(w);
    for (int s = 0; s < 2; s++) {
        const atn_points *x = anchors[s];

        memcpy((double *)now[s]->x, x->x, (size_t)(x->n * w->wide) * sizeof(double));
        atn_points_measure(now[s]);
        memcpy(x->square, now[s]->square, (size_t)x->n * sizeof(double));
        for (atn_idx i = 0; i < x->n; i++)
            x->sum[i] = x->square[i] > 0 ? 1 / sqrt(x->square[i]) : 0;
    }
}

/* ---- an iteration ---- */

static void move_keys(const adapter_walk *w)
{
    const double anchor = 2 * w->a->mu / w->a->p;
    const atn_idx size = w->nk * w->wide;

    if (w->a->nodes) {
        memcpy((double *)w->v.x, w->q.x, (size_t)size * sizeof(double));
        return;
    }
    for (atn_idx g = 1; g < w->groups; g++) {
        for (atn_idx e = 0; e < size; e++) w->sent[e] += w->sent[g * size + e];
        for (atn_idx j = 0; j < w->nk; j++) w->sums[j] += w->sums[g * w->nk + j];
    }
    for (atn_idx j = 0; j < w->nk; j++)
        atn_adapter_move(w, w->sent + j * w->wide,
                         w->sums[j] > 0 ? 1 / (w->sums[j] + anchor) : 0, anchor,
                         w->v0.x + j * w->wide, (double *)w->v.x + j * w->wide);
}

static double energy_of(const adapter_walk *w)
{
    double pairs = 0, anchors = 0;

    for (atn_idx i = 0; i < w->nq; i++) {
        pairs += w->row[i].energy;
        anchors += w->row[i].anchor;
    }
    if (w->a->nodes) return pairs / 2 + w->a->mu * anchors;
    for (atn_idx j = 0; j < w->nk; j++)
        for (atn_idx e = 0; e < w->c; e++) {
            const double d = w->v.x[j * w->wide + e] - w->v0.x[j * w->wide + e];

            anchors += d * d;
        }
    return pairs + w->a->mu * anchors;
}

static bool counts(const adapter_walk *w, atn_idx i)
{
    return w->row[i].seen && atn_sight_query(&w->h->sight, i) >= w->in->skip_rows;
}

static double ratio(double a, double b)
{
    return b > 0 && isfinite(a) ? a / b : NAN;
}

/* The means of the rows' numbers. */
static void average(const adapter_walk *w, const adapter_row *row, atn_adapter_state *s)
{
    double mass = 0, beta = 0, self = 0, kl = 0, entropy = 0, distance = 0,
           homophily = 0, same = 0, labelled = 0, n, full;

    s->rows = s->empty = 0;
    for (atn_idx i = 0; i < w->nq; i++) {
        if (!counts(w, i)) continue;
        s->rows++;
        mass += row[i].mass;
        beta += row[i].beta;
        self += row[i].self;
        same += row[i].same;
        labelled += row[i].labelled;
        if (!(row[i].mass > 0)) {
            s->empty++;
            continue;
        }
        kl += row[i].kl;
        entropy += row[i].entropy;
        distance += row[i].distance;
        homophily += row[i].homophily;
    }
    n = (double)s->rows;
    full = (double)(s->rows - s->empty);
    s->mass = ratio(mass, n);
    s->beta = ratio(beta, n);
    s->self_share = w->in->own ? ratio(self, n) : NAN;
    s->kl = ratio(kl, full);
    s->entropy = ratio(entropy, full);
    s->distance = ratio(distance, full);
    s->homophily = ratio(homophily, full);
    s->edge = ratio(same, labelled);
}

static double change_of(const adapter_walk *w)
{
    double change = 0, plain = 0;

    for (atn_idx i = 0; i < w->nq; i++) {
        if (!counts(w, i)) continue;
        change += w->row[i].change;
        plain += w->row[i].plain;
    }
    return w->iteration == 0 ? ratio(0, plain) : sqrt(ratio(change, plain));
}

static void keep_output(const adapter_walk *w, double *out)
{
    if (out) memcpy(out, w->q.x, (size_t)(w->nq * w->wide) * sizeof *out);
}

/* Tells state[w->iteration], and what state[w->iteration + 1] is by its weights. */
static atn_status one_iteration(atn_ctx *cx, adapter_walk *w, atn_adapter_state *state,
                                double *out, bool *more)
{
    const double total = w->a->iterations + 1;
    void (*const progress)(void *, const char *, double, double) = cx->progress;
    atn_adapter_state *now = &state[w->iteration];
    const bool held = !w->moves || w->a->stop;
    atn_status st = ATN_OK;

    if (held) keep_output(w, out);
    if (w->moves && !w->a->nodes) {
        memset(w->sent, 0, (size_t)(w->groups * w->nk * w->wide) * sizeof *w->sent);
        memset(w->sums, 0, (size_t)(w->groups * w->nk) * sizeof *w->sums);
    }
    cx->progress = NULL;
    st = atn_parallel(cx, w->groups, atn_adapter_group, w, "message passing");
    cx->progress = progress;
    ATN_TRY(st);
    now->energy = energy_of(w);
    now->change = change_of(w);
    if (w->iteration == 0) {
        average(w, w->given, now);
        w->floor =
            atn_energy_floor(&w->q0, w->a->p) + atn_energy_floor(&w->v0, w->a->p);
    }
    *more = w->moves;
    now->rose =
        w->iteration > 0 && atn_energy_rose(now[-1].energy, now->energy, w->floor);
    if (w->a->stop && now->rose) *more = false;
    if (!*more) goto done;
    average(w, w->row, now + 1);
    move_keys(w);
    atn_points_measure(&w->q);
    atn_points_measure(&w->v);
    ATN_TRY(atn_progress(cx, "message passing", w->iteration + 1, total));
done:
    return st;
}

atn_status atn_adapter_run(atn_ctx *cx, const atn_adapter_input *in,
                           const atn_adapter_params *a, atn_adapter_state *state,
                           double *out, int *done)
{
    const atn_arena_mark mark = atn_arena_save(cx);
    adapter_walk w = {.in = in, .a = a};
    atn_status st = ATN_OK;
    bool more = true;

    ATN_TRY(atn_adapter_check(cx, a));
    ATN_TRY(check_input(cx, in, a));
    shape(in, &w);
    ATN_TRY(take_room(cx, &w));
    start(&w);
    for (;; w.iteration++) {
        w.moves = w.iteration < a->iterations;
        ATN_TRY(one_iteration(cx, &w, state, out, &more));
        if (!more) break;
    }
    if (done) *done = w.iteration;
done:
    atn_arena_rewind(cx, mark);
    return st;
}
