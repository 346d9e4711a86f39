/* analysis/adapter_pgnn.c -- pGNN on the graph of a head: its matrices, and what a row
 * of messages is like.
 *
 * Math    W = (P + P') / 2. The rows of D^-1/2 W D^-1/2, the messages of p = 2, stand
 *         for plain attention here: KL and changes are against them; O is still P V.
 * Cost    two n x n matrices in double, one of them of distances.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#include <math.h>
#include <string.h>

#include "analysis/adapter_internal.h"
#include "analysis/layer_facts.h"
#include "core/rows.h"
#include "graph/pairs.h"

enum { DENSE_MOST = 4096, TILE_ROWS = 64 };

/* ---- matrices ---- */

atn_status atn_adapter_dense_check(atn_ctx *cx, const adapter_job *j, const atn_head *h,
                                   atn_idx most, const char *what)
{
    const atn_idx asked = j->o->dense_most > 0 ? j->o->dense_most : most;
    const atn_idx ever = ATN_ADAPTER_DENSE_EVER, limit = ATN_MIN(asked, ever);
    atn_status st = ATN_OK;

    if (h->nk > limit)
        ATN_FAIL(ATN_USAGE,
                 "layer %d, head %d: %s holds a matrix of all %lld tokens, more than "
                 "%lld (capture a shorter text%s)",
                 h->layer, h->head, what, (long long)h->nk, (long long)limit,
                 h->nk <= ever ? ", or allow more with --dense N" : "");
done:
    return st;
}

static atn_status put_rows(atn_ctx *cx, const atn_head *h, const atn_tile *t,
                           atn_cmat p, const atn_row_info *info, void *state)
{
    double *w = (double *)state + t->first * h->nk;

    (void)cx;
    for (atn_idx r = 0; r < t->rows; r++, w += h->nk) {
        memset(w, 0, (size_t)h->nk * sizeof *w);
        for (atn_idx j = info[r].lo; j < info[r].hi; j++)
            w[j] = (double)atn_crow(p, r)[j - t->key0];
    }
    return ATN_OK;
}

atn_status atn_adapter_graph(atn_ctx *cx, const atn_head *h, bool diagonal, double *w)
{
    const atn_idx n = h->nk;
    atn_status st = ATN_OK;

    ATN_ASSERT(h->nq == h->nk);
    ATN_TRY(atn_rows_stream(cx, h, 1, put_rows, w, "attention graph"));
    for (atn_idx i = 0; i < n; i++) {
        if (!diagonal) w[i * n + i] = 0;
        for (atn_idx j = 0; j < i; j++)
            w[i * n + j] = w[j * n + i] = (w[i * n + j] + w[j * n + i]) / 2;
    }
done:
    return st;
}

/* ---- the states of a run ---- */

typedef struct weights_row {
    double mass, beta, kl, entropy, distance, homophily, same, labelled;
} weights_row;

typedef struct watching {
    const adapter_job *j;
    const int32_t *labels; /* [n] or NULL */
    double snap;
    const atn_head *h;
    atn_idx n, c;
    const double *w;  /* [n, n] */
    double *root;     /* [n] 1 / sqrt of the degree, 0 for 0 */
    double *given;    /* [n] of the row at hand, before the first step */
    double *distance; /* [n, n] of the features */
    atn_points x;
    double *inverse;  /* [n] 1 / |x|, 0 for 0 */
    float *plain;     /* (n, c) O */
    weights_row *row; /* [n] */
    atn_adapter_state *state;
} watching;

static double cosine_of(const watching *s, atn_idx i, atn_idx j)
{
    const double d = s->distance[i * s->n + j];

    return (s->x.square[i] + s->x.square[j] - d * d) / 2 * s->inverse[i] *
           s->inverse[j];
}

static void add_label(const watching *s, atn_idx i, atn_idx j, double a,
                      weights_row *out)
{
    const int32_t *y = s->labels;

    if (!y || y[i] < 0 || y[j] < 0) return;
    out->labelled += a;
    if (y[i] == y[j]) out->same += a;
}

static void given_row(const watching *s, atn_idx i, double *given)
{
    for (atn_idx j = 0; j < s->n; j++)
        given[j] = s->w[i * s->n + j] * s->root[i] * s->root[j];
}

/* Weights a [n] of row i against those given. */
static void describe_row(const watching *s, atn_idx i, const double *a,
                         const double *given, weights_row *out)
{
    const double mass = atn_pairs_sum(a, s->n), all = atn_pairs_sum(given, s->n);

    *out = (weights_row){.mass = mass, .beta = NAN};
    if (!(mass > 0)) return;
    for (atn_idx j = 0; j < s->n; j++) {
        const double share = a[j] / mass, before = given[j] / all;

        if (!(before > 0)) continue;
        out->kl += before * log(before / share);
        add_label(s, i, j, a[j], out);
        if (!(share > 0)) continue;
        out->entropy -= share * log(share);
        out->distance += share * s->distance[i * s->n + j];
        out->homophily += share * cosine_of(s, i, j);
    }
}

static void see_row(int iteration, atn_idx i, const double *weight, double beta,
                    double sum, double *room, void *state)
{
    const watching *s = state;

    (void)iteration;
    (void)sum;
    given_row(s, i, room);
    describe_row(s, i, weight, room, &s->row[i]);
    s->row[i].beta = beta;
}

static bool counts(const watching *s, atn_idx i)
{
    atn_idx lo, hi;

    atn_sight_row(&s->h->sight, i, &lo, &hi);
    return lo < hi && i >= s->j->o->skip_rows;
}

static double ratio(double a, double b)
{
    return b > 0 && isfinite(a) ? a / b : NAN;
}

static void average(const watching *s, atn_adapter_state *out)
{
    weights_row sum = {0};
    double full;

    *out = (atn_adapter_state){.self_share = NAN};
    for (atn_idx i = 0; i < s->n; i++) {
        const weights_row *r = &s->row[i];

        if (!counts(s, i)) continue;
        out->rows++;
        out->empty += !(r->mass > 0);
        sum.mass += r->mass;
        sum.beta += r->beta;
        sum.kl += r->kl;
        sum.entropy += r->entropy;
        sum.distance += r->distance;
        sum.homophily += r->homophily;
        sum.same += r->same;
        sum.labelled += r->labelled;
    }
    full = (double)(out->rows - out->empty);
    out->mass = ratio(sum.mass, (double)out->rows);
    out->beta = ratio(sum.beta, (double)out->rows);
    out->kl = ratio(sum.kl, full);
    out->entropy = ratio(sum.entropy, full);
    out->distance = ratio(sum.distance, full);
    out->homophily = ratio(sum.homophily, full);
    out->edge = ratio(sum.same, sum.labelled);
}

/* |F - O| / |O|; of the features themselves: 0, plain attention is iteration 0. */
static double change_of(const watching *s, int iteration, const double *f)
{
    double change = 0, plain = 0;

    for (atn_idx i = 0; i < s->n; i++)
        for (atn_idx e = 0; counts(s, i) && e < s->c; e++) {
            const double o = (double)s->plain[i * s->c + e], d = f[i * s->c + e] - o;

            change += d * d;
            plain += o * o;
        }
    return iteration == 0 ? ratio(0, plain) : sqrt(ratio(change, plain));
}

/* Rows of iteration 0 are those given, whatever is done next. */
static void see_step(int iteration, const double *f, void *state)
{
    watching *s = state;

    if (iteration == 0)
        for (atn_idx i = 0; i < s->n; i++) {
            given_row(s, i, s->given);
            describe_row(s, i, s->given, s->given, &s->row[i]);
        }
    average(s, &s->state[iteration]);
    s->state[iteration].change = change_of(s, iteration, f);
}

static atn_status distance_tile(atn_ctx *cx, atn_idx at, void *state)
{
    const watching *s = state;
    const atn_idx first = at * TILE_ROWS;
    const atn_idx rows = ATN_MIN((atn_idx)TILE_ROWS, s->n - first);
    double *d = s->distance + first * s->n;

    (void)cx;
    atn_pairs_distance(&s->x, first, rows, &s->x, 0, s->n, d);
    for (atn_idx r = 0; r < rows; r++)
        atn_pairs_repair(&s->x, first + r, &s->x, 0, s->n, s->snap, d + r * s->n);
    for (atn_idx e = 0; e < rows * s->n; e++) d[e] = sqrt(d[e]);
    return ATN_OK;
}

static atn_status prepare(atn_ctx *cx, watching *s, double *w, double *x)
{
    const atn_idx n = s->n, c = s->c;
    atn_status st = ATN_OK;

    s->w = w;
    s->x = (atn_points){.x = x, .n = n, .c = c, .ld = c};
    ATN_TAKE(s->x.square, n);
    ATN_TAKE(s->inverse, n);
    ATN_TAKE(s->root, n);
    ATN_TAKE(s->given, n);
    ATN_TAKE(s->row, n);
    ATN_TAKE(s->plain, n * c);
    memset(s->plain, 0, (size_t)(n * c) * sizeof *s->plain);
    for (atn_idx i = 0; i < n; i++)
        for (atn_idx e = 0; e < c; e++) x[i * c + e] = (double)atn_crow(s->h->v, i)[e];
    atn_points_measure(&s->x);
    ATN_TRY(atn_outputs(cx, s->h, 1, s->plain));
    ATN_TRY(atn_adapter_graph(cx, s->h, false, w));
    for (atn_idx i = 0; i < n; i++) {
        const double degree = atn_pairs_sum(w + i * n, n);

        s->root[i] = degree > 0 ? 1 / sqrt(degree) : 0;
        s->inverse[i] = s->x.square[i] > 0 ? 1 / sqrt(s->x.square[i]) : 0;
    }
    ATN_TRY(atn_parallel(cx, (n + TILE_ROWS - 1) / TILE_ROWS, distance_tile, s,
                         "distances"));
done:
    return st;
}

atn_status atn_adapter_pgnn(atn_ctx *cx, const adapter_job *j, const adapter_head *h,
                            double p, atn_adapter_state *state, int *done)
{
    const atn_arena_mark mark = atn_arena_save(cx);
    const atn_idx n = h->head.nk, c = h->head.v.cols;
    const atn_pgnn_params a = atn_adapter_opts_pgnn(j->o, p);
    watching s = {.j = j,
                  .labels = h->labels,
                  .snap = a.snap,
                  .h = &h->head,
                  .n = n,
                  .c = c,
                  .state = state};
    const atn_pgnn_watch watch = {see_row, see_step, &s};
    double *w = NULL, *x = NULL, *f = NULL, *energy = NULL;
    atn_status st = ATN_OK;
    atn_pgnn_graph graph;
    double floor;

    ATN_TRY(atn_adapter_dense_check(cx, j, &h->head, DENSE_MOST, "the form pgnn"));
    ATN_TRY(atn_mem_check(cx, 16 * (double)n * (double)n + 20 * (double)n * (double)c,
                          "the graph of a head"));
    ATN_TAKE(w, n * n);
    ATN_TAKE(s.distance, n * n);
    ATN_TAKE(x, n * c);
    ATN_TAKE(f, n * c);
    ATN_TAKE(energy, j->o->iterations + 1);
    ATN_TRY(prepare(cx, &s, w, x));
    graph = (atn_pgnn_graph){w, n, x, c, c};
    ATN_TRY(atn_pgnn_run(cx, &graph, &a, &watch, f, energy, done));
    floor = atn_pgnn_floor(&graph, a.p);
    for (int k = 0; k <= *done; k++) {
        state[k].energy = energy[k];
        state[k].rose = k > 0 && atn_energy_rose(energy[k - 1], energy[k], floor);
    }
done:
    atn_arena_rewind(cx, mark);
    return st;
}
