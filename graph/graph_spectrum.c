/* graph/graph_spectrum.c -- the Laplacian of a head's graph: all its eigenvalues, or
 * what Lanczos runs from the signals see of them. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include <math.h>
#include <string.h>

#include "core/kernels/kernels.h"
#include "core/linalg.h"
#include "core/products.h"
#include "core/rng.h"
#include "graph/frequency.h"
#include "graph/lanczos.h"

static const double ZERO = 1e-6;
/* Less energy than this share of all is rounding: no response there. */
static const double NOTHING_EXACT = 1e-12, NOTHING_STREAMED = 1e-6;
/* A Ritz value whose residual is larger stands for what lies about it. */
static const double CONVERGED = 1e-4;
static const double PRECISION = 1e-6; /* of products */
static const double BASIS_BYTES = 256.0 * 1048576.0;

typedef struct job {
    const atn_head *h;
    atn_cmat x;
    const atn_graph_opts *o;
    atn_idx n, first, nodes; /* nodes [first, first + nodes) are no padding */
    double *degree, *by;     /* [n] D, and D^-1/2 or 0 */
    float *out;              /* (n, d) P X */
    atn_graph_spectrum *to;
    double *in_energy, *out_energy; /* [entries] */
    double low, low_out, all, all_out;
} job;

atn_idx atn_graph_bin_of(double value, atn_idx bins, double edge)
{
    const double at = floor((value + edge) * (double)bins / 2);

    return (atn_idx)fmin(fmax(at, 0), (double)(bins - 1));
}

void atn_graph_spectrum_release(atn_ctx *cx, atn_graph_spectrum *s)
{
    atn_free(cx, s->bin);
    *s = (atn_graph_spectrum){0};
}

/* ---- what both ways need ---- */

/* Degrees, and P X. */
static atn_status walk(atn_ctx *cx, job *j)
{
    const atn_idx n = j->n, d = j->x.cols;
    const atn_edge_want want = {.self = true, .f = j->x};
    atn_status st = ATN_OK;
    atn_edge_sums s = {0};

    ATN_TAKE(j->degree, n);
    ATN_TAKE(j->by, n);
    ATN_TAKE(j->out, n * d);
    ATN_TAKE(s.self, n);
    ATN_TAKE(s.mass, n);
    ATN_TAKE(s.columns, n);
    if (d > 0) s.pf = j->out;
    ATN_TRY(atn_edge_walk(cx, j->h, &want, &s));
    atn_graph_degrees(j->h, &s, j->degree);
    for (atn_idx i = 0; i < n; i++) {
        j->by[i] = j->degree[i] > 0 ? 1 / sqrt(j->degree[i]) : 0;
        for (atn_idx c = 0; c < d; c++)
            j->out[i * d + c] += (float)(s.self[i] * (double)atn_crow(j->x, i)[c]);
    }
done:
    return st;
}

static double edge_of(const job *j)
{
    return j->to->exact ? ATN_GRAPH_EDGE_EXACT : ATN_GRAPH_EDGE_STREAMED;
}

static atn_idx bin_of(const job *j, double value)
{
    return atn_graph_bin_of(value, j->o->bins, edge_of(j));
}

static void add_energy(job *j, atn_idx entry, double value, double in, double out)
{
    j->in_energy[entry] += in;
    j->out_energy[entry] += out;
    j->all += in;
    j->all_out += out;
    if (value < 1 - edge_of(j)) {
        j->low += in;
        j->low_out += out;
    }
}

/* The energy of a Ritz value that is none of the eigenvalues lies evenly between the
 * middles to its neighbours, [from, to]. */
static void spread_energy(job *j, double from, double to, double in, double out)
{
    const double width = 2.0 / j->o->bins, least = to - from;
    const double low = fmin(fmax((1 - from) / least, 0), 1);

    for (atn_idx b = bin_of(j, from); b <= bin_of(j, to); b++) {
        const double left = b > 0 ? fmax(from, width * (double)b) : from;
        const double right =
            b + 1 < j->o->bins ? fmin(to, width * (double)(b + 1)) : to;
        const double share = fmax(right - left, 0) / least;

        j->in_energy[b] += share * in;
        j->out_energy[b] += share * out;
    }
    j->all += in;
    j->all_out += out;
    j->low += low * in;
    j->low_out += low * out;
}

static atn_status begin_entries(atn_ctx *cx, job *j, atn_idx n)
{
    atn_graph_spectrum *s = j->to;
    atn_status st = ATN_OK;

    s->n = n;
    ATN_NEW(s->bin, n);
    ATN_TAKE(j->in_energy, n);
    ATN_TAKE(j->out_energy, n);
    for (atn_idx b = 0; b < n; b++) {
        j->in_energy[b] = j->out_energy[b] = 0;
        s->bin[b] = (atn_graph_bin){2.0 * (double)b / (double)n,
                                    2.0 * (double)(b + 1) / (double)n,
                                    s->exact ? 0 : (double)NAN, NAN, NAN};
    }
done:
    return st;
}

static void finish_entries(job *j)
{
    const double least = (j->to->exact ? NOTHING_EXACT : NOTHING_STREAMED) * j->all;
    atn_graph_spectrum *s = j->to;

    s->low_share = j->all > 0 ? j->low / j->all : (double)NAN;
    s->low_share_out = j->all_out > 0 ? j->low_out / j->all_out : (double)NAN;
    for (atn_idx b = 0; b < s->n && j->all > 0; b++) {
        s->bin[b].energy = j->in_energy[b] / j->all;
        if (j->in_energy[b] > least)
            s->bin[b].response = sqrt(j->out_energy[b] / j->in_energy[b]);
    }
}

/* ---- components ---- */

typedef struct forest {
    int32_t *parent; /* [n] */
    atn_idx parts;
    double edge;
} forest;

static int32_t root(forest *f, int32_t i)
{
    while (f->parent[i] != i) i = f->parent[i] = f->parent[f->parent[i]];
    return i;
}

/* The edges of node i, to the keys at [n]. */
static void join(forest *f, atn_idx i, const atn_idx *at, atn_idx n)
{
    for (atn_idx e = 0; e < n; e++) {
        const int32_t a = root(f, (int32_t)i), b = root(f, (int32_t)at[e]);

        if (a == b) continue;
        f->parent[ATN_MAX(a, b)] = ATN_MIN(a, b);
        f->parts--;
    }
}

/* Few edges are heavy: only these are joined one thread at a time. */
static atn_status join_rows(atn_ctx *cx, const atn_head *h, const atn_tile *t,
                            atn_cmat p, const atn_row_info *info, void *state)
{
    const atn_arena_mark mark = atn_arena_save(cx);
    atn_status st = ATN_OK;
    forest *f = state;
    atn_idx *at = NULL;

    (void)h;
    (void)info;
    ATN_TAKE(at, t->keys);
    for (atn_idx r = 0; r < t->rows; r++) {
        const float *row = atn_crow(p, r);
        atn_idx n = 0;

        for (atn_idx c = 0; c < t->keys; c++)
            if ((double)row[c] >= f->edge) at[n++] = t->key0 + c;
        if (n == 0) continue;
#pragma omp critical(atn_graph_join)
        join(f, t->first + r, at, n);
    }
done:
    atn_arena_rewind(cx, mark);
    return st;
}

static atn_status components(atn_ctx *cx, const job *j)
{
    const atn_arena_mark mark = atn_arena_save(cx);
    atn_status st = ATN_OK;
    forest f = {.parts = j->nodes, .edge = j->o->edge};

    ATN_TAKE(f.parent, j->n);
    for (atn_idx i = 0; i < j->n; i++) f.parent[i] = (int32_t)i;
    ATN_TRY(atn_rows_stream(cx, j->h, 1, join_rows, &f, "components"));
    j->to->components = (double)f.parts;
done:
    atn_arena_rewind(cx, mark);
    return st;
}

/* ---- all eigenvalues ---- */

typedef struct dense {
    job *j;
    double *a;        /* [nodes, nodes] */
    double *value;    /* [nodes] */
    double *in, *out; /* [nodes] energies */
} dense;

static atn_status copy_rows(atn_ctx *cx, const atn_head *h, const atn_tile *t,
                            atn_cmat p, const atn_row_info *info, void *state)
{
    const dense *s = state;
    const atn_idx first = s->j->first, n = s->j->nodes;

    (void)cx;
    (void)h;
    for (atn_idx r = 0; r < t->rows; r++) {
        const atn_idx i = t->first + r - first;

        if (i < 0 || i >= n) continue;
        for (atn_idx k = info[r].lo; k < info[r].hi; k++)
            s->a[i * n + k - first] = (double)atn_crow(p, r)[k - t->key0];
    }
    return ATN_OK;
}

static void laplacian(dense *s)
{
    const atn_idx n = s->j->nodes;
    const double *by = s->j->by + s->j->first;

    for (atn_idx i = 0; i < n; i++) {
        for (atn_idx k = 0; k < i; k++) {
            const double both = (s->a[i * n + k] + s->a[k * n + i]) / 2;
            s->a[i * n + k] = s->a[k * n + i] = -by[i] * by[k] * both;
        }
        s->a[i * n + i] = 1 - by[i] * by[i] * s->a[i * n + i];
    }
}

/* Energy of the signals along eigenvector k. */
static atn_status project(atn_ctx *cx, atn_idx k, void *state)
{
    dense *s = state;
    const job *j = s->j;
    const atn_idx d = j->x.cols;
    const atn_arena_mark mark = atn_arena_save(cx);
    const double *u = s->a + k * j->nodes;
    atn_status st = ATN_OK;
    double *in = NULL, *out = NULL;

    ATN_TAKE(in, d);
    ATN_TAKE(out, d);
    for (atn_idx c = 0; c < d; c++) in[c] = out[c] = 0;
    for (atn_idx i = 0; i < j->nodes; i++) {
        atn_row_add(atn_crow(j->x, j->first + i), d, u[i], in);
        atn_row_add(j->out + (j->first + i) * d, d, u[i], out);
    }
    s->in[k] = s->out[k] = 0;
    for (atn_idx c = 0; c < d; c++) {
        s->in[k] += in[c] * in[c];
        s->out[k] += out[c] * out[c];
    }
done:
    atn_arena_rewind(cx, mark);
    return st;
}

static double dense_bytes(atn_idx n)
{
    return 8 * (double)n * ((double)n + 4) + atn_eigenvectors_bytes(n);
}

static atn_status take_dense(atn_ctx *cx, job *j, dense *s)
{
    const atn_idx n = j->nodes;
    atn_status st = ATN_OK;

    ATN_TRY(atn_mem_check(cx, dense_bytes(n), "all eigenvalues of the graph"));
    ATN_TAKE(s->a, n * n);
    ATN_TAKE(s->value, n);
    ATN_TAKE(s->in, n);
    ATN_TAKE(s->out, n);
    memset(s->a, 0, (size_t)(n * n) * sizeof *s->a);
done:
    return st;
}

static atn_status run_dense(atn_ctx *cx, job *j)
{
    const atn_idx n = j->nodes, bins = j->o->bins;
    atn_graph_spectrum *to = j->to;
    atn_status st = ATN_OK;
    dense s = {.j = j};

    ATN_TRY(begin_entries(cx, j, bins > 0 ? bins : n));
    ATN_TRY(take_dense(cx, j, &s));
    ATN_TRY(atn_rows_stream(cx, j->h, 1, copy_rows, &s, "graph"));
    laplacian(&s);
    ATN_TRY(atn_eigenvectors(cx, s.a, n, s.value));
    ATN_TRY(atn_parallel(cx, n, project, &s, "spectrum"));
    to->zeros = 0;
    for (atn_idx k = 0; k < n; k++) {
        const atn_idx entry = bins > 0 ? bin_of(j, s.value[k]) : k;
        const double value = fmin(fmax(s.value[k], 0), 2);

        if (bins == 0) to->bin[k].low = to->bin[k].high = value;
        to->bin[entry].count++;
        to->zeros += value < ZERO;
        add_energy(j, entry, value, s.in[k], s.out[k]);
    }
    if (n > 1) to->second = fmax(s.value[1], 0);
    if (n > 0) to->largest = s.value[n - 1];
    to->second_residual = to->largest_residual = 0;
done:
    return st;
}

/* ---- streamed ---- */

typedef struct streamed {
    job *j;
    float *scaled, *forth; /* (n, r) x / sqrt D, P of it */
    double *back;          /* (n, r) P' of it */
} streamed;

/* y = L x; padding, where vectors are 0, stays 0. */
static atn_status apply(atn_ctx *cx, const float *x, atn_idx r, float *y, void *state)
{
    streamed *s = state;
    const atn_idx n = s->j->n;
    const double *by = s->j->by;
    const atn_row_source m = atn_row_source_of(s->j->h);
    atn_status st = ATN_OK;

    for (atn_idx i = 0; i < n; i++)
        for (atn_idx c = 0; c < r; c++)
            s->scaled[i * r + c] = (float)(by[i] * (double)x[i * r + c]);
    ATN_TRY(atn_product_run(
        cx, &m,
        &(atn_product){
            .r = r, .x = s->scaled, .w = s->scaled, .z = s->back, .y = s->forth},
        "spectrum"));
    for (atn_idx i = 0; i < n; i++)
        for (atn_idx c = 0; c < r; c++) {
            const double both = ((double)s->forth[i * r + c] + s->back[i * r + c]) / 2;
            y[i * r + c] = (float)((double)x[i * r + c] - by[i] * both);
        }
done:
    return st;
}

static atn_status take_streamed(atn_ctx *cx, atn_idx r, streamed *s)
{
    const atn_idx n = s->j->n;
    atn_status st = ATN_OK;

    ATN_TRY(atn_mem_check(cx, 16 * (double)n * (double)r, "the spectrum"));
    ATN_TAKE(s->scaled, n * r);
    ATN_TAKE(s->forth, n * r);
    ATN_TAKE(s->back, n * r);
done:
    return st;
}

/* Both ends of the spectrum, from a random start without D^1/2 1. */
static atn_status ends(atn_ctx *cx, job *j)
{
    const atn_arena_mark mark = atn_arena_save(cx);
    atn_rng random = atn_rng_stream(cx->seed, "graph/ends", j->h->layer, j->h->head);
    atn_status st = ATN_OK;
    streamed s = {.j = j};
    const atn_symmetric a = {j->n, apply, &s};
    double *root_degree = NULL, sum = 0;
    float *start = NULL;
    atn_ritz *ritz = NULL;
    int count = 0;

    ATN_TRY(take_streamed(cx, 1, &s));
    ATN_TAKE(root_degree, j->n);
    ATN_TAKE(start, j->n);
    ATN_TAKE(ritz, j->o->steps);
    for (atn_idx i = 0; i < j->n; i++) sum += j->degree[i];
    for (atn_idx i = 0; i < j->n; i++) {
        const bool in = i >= j->first && i < j->first + j->nodes;

        root_degree[i] = sum > 0 ? sqrt(j->degree[i] / sum) : 0;
        start[i] = in ? (float)atn_rng_normal(&random) : 0.0f;
    }
    ATN_TRY(
        atn_lanczos(cx, &a, start, 1,
                    &(atn_lanczos_opts){.steps = j->o->steps, .without = root_degree},
                    ritz, &count));
    if (count == 0) goto done;
    j->to->second = fmax(ritz[0].value, 0);
    j->to->second_residual = fmax(ritz[0].residual, PRECISION);
    j->to->largest = ritz[count - 1].value;
    j->to->largest_residual = fmax(ritz[count - 1].residual, PRECISION);
done:
    atn_arena_rewind(cx, mark);
    return st;
}

/* Column c of X, and of P X behind them; returns |column|^2. */
static double signal(const job *j, atn_idx c, atn_idx r, float *to)
{
    const atn_idx d = j->x.cols;
    double square = 0;

    for (atn_idx i = 0; i < j->n; i++) {
        const bool in = i >= j->first && i < j->first + j->nodes;
        const float x = c < d ? atn_crow(j->x, i)[c] : j->out[i * d + c - d];

        to[i * r] = in ? x : 0.0f;
        if (in) square += (double)x * (double)x;
    }
    return square;
}

/* One run of Lanczos: of X (in), or of P X. */
static void add_run(job *j, const atn_ritz *t, int count, double square, bool in)
{
    for (int k = 0; k < count; k++) {
        const double energy = square * t[k].weight,
                     value = fmin(fmax(t[k].value, 0), 2);
        const double from = k > 0 ? (t[k - 1].value + t[k].value) / 2 : 0;
        const double to = k + 1 < count ? (t[k].value + t[k + 1].value) / 2 : 2;
        const bool apart =
            t[k].residual <= CONVERGED || !(to > from) || k == 0 || k + 1 == count;

        if (apart)
            add_energy(j, bin_of(j, value), value, in ? energy : 0, in ? 0 : energy);
        else
            spread_energy(j, from, to, in ? energy : 0, in ? 0 : energy);
    }
}

/* The columns [first, first + r) of X and P X together. */
static atn_status some_signals(atn_ctx *cx, job *j, atn_idx first, atn_idx r)
{
    const int steps = j->o->steps;
    const atn_arena_mark mark = atn_arena_save(cx);
    atn_status st = ATN_OK;
    streamed s = {.j = j};
    const atn_symmetric a = {j->n, apply, &s};
    float *start = NULL;
    double *square = NULL;
    atn_ritz *ritz = NULL;
    int *count = NULL;

    ATN_TRY(take_streamed(cx, r, &s));
    ATN_TAKE(start, j->n * r);
    ATN_TAKE(square, r);
    ATN_TAKE(ritz, r * steps);
    ATN_TAKE(count, r);
    for (atn_idx c = 0; c < r; c++) square[c] = signal(j, first + c, r, start + c);
    ATN_TRY(atn_lanczos(cx, &a, start, r, &(atn_lanczos_opts){.steps = steps}, ritz,
                        count));
    for (atn_idx c = 0; c < r; c++)
        add_run(j, ritz + c * steps, count[c], square[c], first + c < j->x.cols);
done:
    atn_arena_rewind(cx, mark);
    return st;
}

static atn_status run_streamed(atn_ctx *cx, job *j)
{
    const double column = 4.0 * (double)j->n * (j->o->steps + 1);
    const atn_idx columns = 2 * j->x.cols;
    const atn_idx most = ATN_MAX((atn_idx)(BASIS_BYTES / column), (atn_idx)1);
    atn_status st = ATN_OK;

    ATN_TRY(begin_entries(cx, j, j->o->bins));
    ATN_TRY(ends(cx, j));
    for (atn_idx first = 0; first < columns; first += most)
        ATN_TRY(some_signals(cx, j, first, ATN_MIN(most, columns - first)));
done:
    return st;
}

/* ---- either ---- */

static atn_status check(atn_ctx *cx, const job *j)
{
    const atn_graph_opts *o = j->o;
    atn_status st = ATN_OK;

    ATN_ASSERT(atn_graph_is_square(j->h, true) && (j->x.rows == j->n || !j->x.cols));
    if (o->bins == 0 && !j->to->exact)
        ATN_FAIL(ATN_USAGE,
                 "spectrum: an entry an eigenvalue (bins 0) takes at most %lld tokens, "
                 "not %lld (give bins, or a larger dense)",
                 (long long)o->dense, (long long)j->nodes);
    if (o->bins < 0 || o->bins > ATN_GRAPH_BINS_MOST || o->steps < 1 ||
        o->steps > ATN_LANCZOS_STEPS_MOST || o->dense > ATN_GRAPH_DENSE_MOST)
        ATN_FAIL(ATN_USAGE,
                 "spectrum: %d bins, %d steps, %lld tokens dense: at most %d, 1 to %d, "
                 "at most %d",
                 o->bins, o->steps, (long long)o->dense, ATN_GRAPH_BINS_MOST,
                 ATN_LANCZOS_STEPS_MOST, ATN_GRAPH_DENSE_MOST);
done:
    return st;
}

atn_status atn_graph_spectrum_run(atn_ctx *cx, const atn_head *h, atn_cmat x,
                                  const atn_graph_opts *o, atn_graph_spectrum *out)
{
    const atn_arena_mark mark = atn_arena_save(cx);
    const atn_idx first = ATN_MIN(h->sight.key_first, h->nk);
    atn_status st = ATN_OK;
    job j = {.h = h, .x = x, .o = o, .n = h->nk, .first = first, .to = out};

    j.nodes = ATN_MAX(ATN_MIN(h->sight.key_last, h->nk) - first, 0);
    *out = (atn_graph_spectrum){.nodes = j.nodes, .exact = j.nodes <= o->dense};
    out->low_share = out->low_share_out = out->zeros = out->components = NAN;
    out->second = out->largest = out->second_residual = out->largest_residual = NAN;
    ATN_TRY(check(cx, &j));
    ATN_TRY(atn_mem_check(cx, (double)j.n * (4 * (double)x.cols + 60), "the spectrum"));
    ATN_TRY(walk(cx, &j));
    ATN_TRY(out->exact ? run_dense(cx, &j) : run_streamed(cx, &j));
    finish_entries(&j);
    ATN_TRY(components(cx, &j));
done:
    if (st != ATN_OK) atn_graph_spectrum_release(cx, out);
    atn_arena_rewind(cx, mark);
    return st;
}
