/* analysis/adapter_response.c -- what all iterations together let through of every
 * graph frequency.
 *
 * Math    W = (P + P') / 2, without its diagonal in the form pgnn and with self = drop;
 *         S = D^-1/2 W D^-1/2 of the tokens with d > 0, S u_k = s_k u_k, frequency
 *         l_k = 1 - s_k in [0, 2], 8 bins of 1/4, the last one closed.
 *         features  X = the head's values, F what they become:
 *                   gain_b^2 = sum_k in b |u_k'F|^2 / sum_k in b |u_k'X|^2
 *         signals   z_b = sum_k in b g_k u_k scaled to 1, g normal and seeded, carried
 *                   along by the weights that X makes: y_b;
 *                   signal^2 = sum_k in b (u_k'y_b)^2, signal_total^2 = |y_b|^2
 *         The same of the form pgnn at p = 2, where every u_k is only scaled, by
 *         h_K(s_k), K the steps done: gain_p2^2 = sum h_K^2 |u_k'X|^2 / sum |u_k'X|^2,
 *         and so the signal.
 * Oracle  the form pgnn at p = 2: gain = gain_p2, signal = signal_total = signal_p2.
 * Source  own definition; frequencies as card A4.
 * Cost    one eigendecomposition a head, up to 9 n^3 flop, and 4 matrices n x n.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#include <math.h>
#include <string.h>

#include "analysis/adapter_internal.h"
#include "core/linalg.h"
#include "core/rng.h"
#include "graph/frequency.h"
#include "graph/pairs.h"

enum { BINS = 8, DENSE_MOST = 2048 };

typedef struct bin_facts {
    double count;
    double in, out, p2;            /* energy of the features, and h^2 times it */
    double kept, total, signal_p2; /* energy of the signal, that began as 1 */
} bin_facts;

typedef struct responses {
    atn_table *table;
    atn_keys keys;
    int first;
    atn_idx n, m;  /* tokens, those with an edge */
    atn_idx *node; /* [m] */
    double *w;     /* [n, n], of the form pgnn */
    double *u, *s; /* [m, m] rows are vectors, [m] */
    int *bin;      /* [m] of every vector */
    double *share; /* [m] g_k of its bin's signal */
    double *sent;  /* (n, BINS) the signals */
    int done;      /* steps */
    bin_facts fact[BINS];
} responses;

/* ---- the graph of a head ---- */

static atn_status take_graph(atn_ctx *cx, const adapter_job *j, const adapter_head *h,
                             responses *r)
{
    const bool diagonal = j->o->form != ATN_FORM_PGNN && j->o->self == ATN_SELF_KEEP;
    const double n = (double)r->n;
    atn_status st = ATN_OK;
    double *degree = NULL;

    ATN_TRY(atn_mem_check(cx, 16 * n * n + atn_eigenvectors_bytes(r->n),
                          "the spectrum of a head"));
    ATN_TAKE(r->w, r->n * r->n);
    ATN_TAKE(r->u, r->n * r->n);
    ATN_TAKE(degree, r->n);
    ATN_TAKE(r->node, r->n);
    ATN_TRY(atn_adapter_graph(cx, &h->head, diagonal, r->w));
    r->m = 0;
    for (atn_idx i = 0; i < r->n; i++) {
        degree[i] = atn_pairs_sum(r->w + i * r->n, r->n);
        if (degree[i] > 0) r->node[r->m++] = i;
    }
    for (atn_idx a = 0; a < r->m; a++)
        for (atn_idx b = 0; b < r->m; b++) {
            const atn_idx i = r->node[a], k = r->node[b];

            r->u[a * r->m + b] = r->w[i * r->n + k] / sqrt(degree[i]) / sqrt(degree[k]);
        }
done:
    return st;
}

/* One signal a bin, of length 1; a bin without frequencies has none. */
static void make_signals(uint64_t seed, const adapter_head *h, responses *r)
{
    atn_rng g = atn_rng_stream(seed, "adapter/response", h->head.layer, h->head.head);
    double square[BINS] = {0};

    memset(r->sent, 0, (size_t)(r->n * BINS) * sizeof *r->sent);
    for (atn_idx k = 0; k < r->m; k++) {
        r->bin[k] = (int)atn_graph_bin_of(1 - r->s[k], BINS, ATN_GRAPH_EDGE_EXACT);
        r->share[k] = atn_rng_normal(&g);
        square[r->bin[k]] += r->share[k] * r->share[k];
    }
    for (atn_idx k = 0; k < r->m; k++) {
        r->share[k] /= sqrt(square[r->bin[k]]);
        for (atn_idx a = 0; a < r->m; a++)
            r->sent[r->node[a] * BINS + r->bin[k]] += r->share[k] * r->u[k * r->m + a];
    }
}

static atn_status prepare(atn_ctx *cx, const adapter_job *j, const adapter_head *h,
                          void *state)
{
    responses *r = state;
    atn_status st = ATN_OK;

    r->n = h->head.nk;
    ATN_TRY(atn_adapter_dense_check(cx, j, &h->head, DENSE_MOST, "the response"));
    ATN_TRY(take_graph(cx, j, h, r));
    ATN_TAKE(r->s, r->n);
    ATN_TAKE(r->bin, r->n);
    ATN_TAKE(r->share, r->n);
    ATN_TAKE(r->sent, r->n * BINS);
    ATN_TRY(atn_eigenvectors(cx, r->u, r->m, r->s));
    make_signals(cx->seed, h, r);
done:
    return st;
}

/* ---- a run ---- */

/* F (n, dv + BINS) of the values with the signals behind them, after r->done steps. */
static atn_status run(atn_ctx *cx, const adapter_job *j, const adapter_head *h,
                      double p, responses *r, double *f)
{
    const atn_adapter_params a = atn_adapter_opts_params(j->o, p);
    const atn_pgnn_params pgnn = atn_adapter_opts_pgnn(j->o, p);
    const atn_adapter_input in = {
        .head = &h->head, .own = h->own, .signals = BINS, .v_sent = r->sent};
    const atn_idx c = h->head.v.cols, wide = c + BINS;
    atn_adapter_state *states = NULL;
    double *x = NULL, *energy = NULL;
    atn_status st = ATN_OK;

    if (j->o->form != ATN_FORM_PGNN) {
        ATN_TAKE(states, a.iterations + 1);
        ATN_TRY(atn_adapter_run(cx, &in, &a, states, f, &r->done));
        goto done;
    }
    ATN_TAKE(x, r->n * wide);
    ATN_TAKE(energy, a.iterations + 1);
    for (atn_idx i = 0; i < r->n; i++) {
        for (atn_idx e = 0; e < c; e++)
            x[i * wide + e] = (double)atn_crow(h->head.v, i)[e];
        memcpy(x + i * wide + c, r->sent + i * BINS, BINS * sizeof *x);
    }
    ATN_TRY(atn_pgnn_run(cx, &(atn_pgnn_graph){r->w, r->n, x, wide, c}, &pgnn, NULL, f,
                         energy, &r->done));
done:
    return st;
}

/* A column of x (n, wide) at the tokens that have an edge. */
static void gather(const responses *r, const double *x, atn_idx wide, double *out)
{
    for (atn_idx a = 0; a < r->m; a++) out[a] = x[r->node[a] * wide];
}

static double h_square(const adapter_job *j, const responses *r, atn_idx k)
{
    const double h = atn_pgnn_response(r->s[k], j->o->mu, j->o->damping, r->done);

    return h * h;
}

static double along(const responses *r, atn_idx k, const double *x)
{
    const double a = atn_pairs_dot(r->u + k * r->m, x, r->m);

    return a * a;
}

static void add_feature(const adapter_job *j, responses *r, const double *before,
                        const double *after)
{
    for (atn_idx k = 0; k < r->m; k++) {
        bin_facts *b = &r->fact[r->bin[k]];
        const double in = along(r, k, before);

        b->in += in;
        b->out += along(r, k, after);
        b->p2 += h_square(j, r, k) * in;
    }
}

static void add_signal(const adapter_job *j, responses *r, int bin, const double *after)
{
    bin_facts *b = &r->fact[bin];

    b->total = atn_pairs_dot(after, after, r->m);
    for (atn_idx k = 0; k < r->m; k++) {
        if (r->bin[k] != bin) continue;
        b->count++;
        b->kept += along(r, k, after);
        b->signal_p2 += h_square(j, r, k) * r->share[k] * r->share[k];
    }
}

static atn_status compute(atn_ctx *cx, const adapter_job *j, const adapter_head *h,
                          double p, void *state)
{
    const atn_arena_mark mark = atn_arena_save(cx);
    const atn_idx c = h->head.v.cols, wide = c + BINS;
    responses *r = state;
    double *f = NULL, *before = NULL, *after = NULL;
    atn_status st = ATN_OK;

    memset(r->fact, 0, sizeof r->fact);
    ATN_TAKE(f, r->n * wide);
    ATN_TAKE(before, r->m);
    ATN_TAKE(after, r->m);
    ATN_TRY(run(cx, j, h, p, r, f));
    for (atn_idx e = 0; e < c; e++) {
        for (atn_idx a = 0; a < r->m; a++)
            before[a] = (double)atn_crow(h->head.v, r->node[a])[e];
        gather(r, f + e, wide, after);
        add_feature(j, r, before, after);
    }
    for (int b = 0; b < BINS; b++) {
        gather(r, f + c + b, wide, after);
        add_signal(j, r, b, after);
    }
done:
    atn_arena_rewind(cx, mark);
    return st;
}

/* ---- the table ---- */

static const struct {
    const char *name, *text;
} columns[] = {
    {"frequency_low", "graph frequencies from here"},
    {"frequency_high", "to here, not included but in the last bin"},
    {"frequencies", "eigenvalues in the bin"},
    {"energy_in_share", "share of the values' energy that lies in the bin"},
    {"energy_out_share", "the same of what they become"},
    {"gain", "root of their energy in the bin after over before"},
    {"gain_p2", "the same of pGNN at p = 2 on this graph, in closed form"},
    {"signal", "length that a random signal of the bin keeps within the bin"},
    {"signal_total", "its length with what has gone to other bins"},
    {"signal_p2", "the same of pGNN at p = 2, in closed form"},
    {"iterations", "steps done: fewer than asked for where --stop ended them"},
};

static void set_cell(const responses *r, int column, double x)
{
    if (isfinite(x)) atn_table_set_f64(r->table, r->first + 2 + column, x);
}

/* Energy a over b, of which less than rounding leaves of `all` is none. */
static double root_of(double a, double b, double all)
{
    return b > 1e-24 * all ? sqrt(a / b) : NAN;
}

static atn_status emit(atn_ctx *cx, const adapter_job *j, const adapter_head *h,
                       double p, bool known, void *state)
{
    responses *r = state;
    double in = 0, out = 0;
    atn_status st = ATN_OK;

    (void)j;
    for (int b = 0; b < BINS && known; b++) {
        in += r->fact[b].in;
        out += r->fact[b].out;
    }
    for (int b = 0; b < BINS; b++) {
        const bin_facts *f = &r->fact[b];
        const bool any = f->count > 0;

        ATN_TRY(atn_table_add_row(cx, r->table));
        ATN_TRY(atn_keys_set(cx, r->table, &r->keys, h->info, h->head.head));
        atn_table_set_f64(r->table, r->first, p);
        atn_table_set_i64(r->table, r->first + 1, b);
        set_cell(r, 0, 2.0 * b / BINS);
        set_cell(r, 1, 2.0 * (b + 1) / BINS);
        if (!known) continue;
        set_cell(r, 2, f->count);
        set_cell(r, 3, in > 0 ? f->in / in : NAN);
        set_cell(r, 4, out > 0 ? f->out / out : NAN);
        set_cell(r, 5, root_of(f->out, f->in, in));
        set_cell(r, 6, root_of(f->p2, f->in, in));
        set_cell(r, 7, any ? sqrt(f->kept) : NAN);
        set_cell(r, 8, any ? sqrt(f->total) : NAN);
        set_cell(r, 9, any ? sqrt(f->signal_p2) : NAN);
        set_cell(r, 10, r->done);
    }
done:
    return st;
}

static atn_status create(atn_ctx *cx, const adapter_job *j, responses *r)
{
    atn_status st = ATN_OK;

    ATN_TRY(atn_table_create(cx, "response", &r->table));
    ATN_TRY(atn_keys_add(cx, j->sel, ATN_KEYS_HEAD, r->table, &r->keys));
    ATN_TRY(atn_table_add_col(cx, r->table, "p", ATN_COL_F64, "",
                              "the p of the p-Laplacian", &r->first));
    ATN_TRY(atn_table_add_col(cx, r->table, "bin", ATN_COL_I64, "",
                              "band of graph frequencies, from 0", NULL));
    for (size_t i = 0; i < ATN_LEN(columns); i++)
        ATN_TRY(atn_table_add_col(cx, r->table, columns[i].name, ATN_COL_F64, "",
                                  columns[i].text, NULL));
done:
    return st;
}

atn_status atn_adapter_response_table(atn_ctx *cx, const atn_capture *c,
                                      const atn_selection *sel,
                                      const atn_adapter_opts *o, atn_table **out,
                                      atn_idx *failed)
{
    atn_status st = ATN_OK;
    responses r = {0};
    const adapter_kind k = {prepare, compute, emit, &r, true};
    adapter_job j;

    ATN_TRY(atn_adapter_job_init(cx, c, sel, o, &j));
    ATN_TRY(create(cx, &j, &r));
    ATN_TRY(atn_adapter_each_head(cx, &j, &k));
    if (failed) *failed = j.failed;
    *out = r.table;
    r.table = NULL;
done:
    atn_table_destroy(cx, r.table);
    return st;
}
