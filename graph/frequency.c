/* graph/frequency.c -- slow and fast signals over the tokens of a head, see the header;
 * the spectrum of its graph is in graph/graph_spectrum.c. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "graph/frequency.h"

#include <math.h>
#include <string.h>

#include "core/kernels/kernels.h"
#include "core/products.h"
#include "core/rng.h"
#include "graph/lanczos.h"

static const double TOP_TOLERANCE = 1e-5, PRECISION = 1e-6;

/* ---- signals ---- */

/* A matrix less its column means, a row at a time. */
typedef struct spread {
    double *column;            /* [d] sums of absolute values */
    double widest, square, dc; /* largest row sum; |HC|^2, |DC|^2 */
} spread;

static void add_row(spread *s, const double *less, atn_idx d)
{
    double sum = 0;

    for (atn_idx c = 0; c < d; c++) {
        sum += fabs(less[c]);
        s->column[c] += fabs(less[c]);
        s->square += less[c] * less[c];
    }
    s->widest = fmax(s->widest, sum);
}

static double residual(const spread *s, atn_idx d)
{
    double most = 0;

    for (atn_idx c = 0; c < d; c++) most = fmax(most, s->column[c]);
    return sqrt(most * s->widest);
}

static double ratio(const spread *s)
{
    return s->dc > 0 ? sqrt(s->square / s->dc) : (double)NAN;
}

static double rows_of_mean(double rows, const double *mean, atn_idx d)
{
    double sum = 0;

    for (atn_idx c = 0; c < d; c++) sum += mean[c] * mean[c];
    return rows * sum;
}

/* X itself, the tokens that are no padding. */
static atn_status spread_in(atn_ctx *cx, const atn_head *h, const atn_features *f,
                            spread *s)
{
    atn_status st = ATN_OK;
    double *less = NULL, rows = 0;

    *s = (spread){0};
    ATN_TAKE(s->column, f->d);
    ATN_TAKE(less, f->d);
    memset(s->column, 0, (size_t)f->d * sizeof *s->column);
    for (atn_idx j = h->sight.key_first; j < ATN_MIN(h->sight.key_last, f->n); j++) {
        for (atn_idx c = 0; c < f->d; c++)
            less[c] = (double)f->factor[j * 2 * f->d + c];
        add_row(s, less, f->d);
        rows++;
    }
    s->dc = rows_of_mean(rows, f->mean, f->d);
done:
    return st;
}

/* out [d] <- row i of P X. */
static void output_row(const atn_head *h, const atn_features *f,
                       const atn_edge_want *want, const atn_edge_sums *s, atn_idx i,
                       double *out)
{
    const atn_idx own = atn_edge_own(h, want->self, i);
    const float *pf = s->pf + i * 2 * f->d;
    const float *x = own >= 0 ? f->factor + own * 2 * f->d : pf;
    const double self = own >= 0 ? s->self[i] : 0, whole = s->mass[i] + s->self[i];

    for (atn_idx c = 0; c < f->d; c++)
        out[c] = (double)pf[c] + self * (double)x[c] + whole * f->mean[c];
}

/* P X, the rows that have weight. */
static atn_status spread_out(atn_ctx *cx, const atn_head *h, const atn_features *f,
                             const atn_edge_want *want, const atn_edge_sums *s,
                             spread *out)
{
    atn_status st = ATN_OK;
    double *mean = NULL, *row = NULL, rows = 0;

    *out = (spread){0};
    ATN_TAKE(out->column, f->d);
    ATN_TAKE(mean, f->d);
    ATN_TAKE(row, f->d);
    for (atn_idx c = 0; c < f->d; c++) out->column[c] = mean[c] = 0;
    for (atn_idx i = 0; i < h->nq; i++) {
        if (!atn_edge_row(s, i)) continue;
        output_row(h, f, want, s, i, row);
        rows++;
        for (atn_idx c = 0; c < f->d; c++) mean[c] += (row[c] - mean[c]) / rows;
    }
    for (atn_idx i = 0; i < h->nq; i++) {
        if (!atn_edge_row(s, i)) continue;
        output_row(h, f, want, s, i, row);
        for (atn_idx c = 0; c < f->d; c++) row[c] -= mean[c];
        add_row(out, row, f->d);
    }
    out->dc = rows_of_mean(rows, mean, f->d);
done:
    return st;
}

/* Over the rows that have weight and the keys that are no padding. */
double atn_graph_high_norm(const atn_head *h, const atn_edge_sums *s)
{
    const double n = (double)(h->sight.key_last - h->sight.key_first);
    double sum = 0;

    for (atn_idx i = 0; i < h->nq; i++) {
        const double whole = s->mass[i] + s->self[i];

        if (atn_edge_row(s, i))
            sum += s->square[i] + s->self[i] * s->self[i] - (2 * whole - 1) / n;
    }
    return sqrt(fmax(sum, 0));
}

atn_status atn_frequency_of(atn_ctx *cx, const atn_head *h, const atn_features *f,
                            const atn_edge_want *want, const atn_edge_sums *s,
                            atn_frequency *out)
{
    const atn_arena_mark mark = atn_arena_save(cx);
    atn_status st = ATN_OK;
    spread in, after;

    *out = (atn_frequency){NAN, NAN, NAN, NAN, NAN, NAN, NAN};
    ATN_TRY(spread_in(cx, h, f, &in));
    ATN_TRY(spread_out(cx, h, f, want, s, &after));
    out->ratio_in = ratio(&in);
    out->ratio_out = ratio(&after);
    if (in.square > 0) out->gain = sqrt(after.square / in.square);
    if (out->gain > 0) out->keep_lambda = 1 / out->gain - 1;
    out->residual_in = residual(&in, f->d);
    out->residual_out = residual(&after, f->d);
    out->high_norm = atn_graph_high_norm(h, s);
done:
    atn_arena_rewind(cx, mark);
    return st;
}

/* ---- the Rayleigh quotient ---- */

bool atn_graph_is_square(const atn_head *h, bool self)
{
    const atn_sight *s = &h->sight;
    const bool padded = s->key_first > 0 || s->key_last < h->nk;

    return self && h->nq == h->nk && s->offset == 0 && !s->rows &&
           (s->pad_queries || !padded);
}

void atn_graph_degrees(const atn_head *h, const atn_edge_sums *s, double *degree)
{
    for (atn_idx i = 0; i < h->nk; i++)
        degree[i] = (s->mass[i] + s->columns[i]) / 2 + s->self[i];
}

/* x'S x = x'P x for every column, x = D^-1/2 X. */
atn_status atn_graph_rayleigh(atn_ctx *cx, const atn_head *h, atn_cmat x,
                              const double *degree, double *out)
{
    const atn_idx n = h->nk, d = x.cols;
    const atn_arena_mark mark = atn_arena_save(cx);
    atn_edge_want want = {.self = true};
    atn_edge_sums s = {0};
    atn_status st = ATN_OK;
    double square = 0, within = 0;
    float *scaled = NULL;

    ATN_TRY(
        atn_mem_check(cx, 8 * (double)n * ((double)d + 1), "the Rayleigh quotient"));
    ATN_TAKE(scaled, n * d);
    ATN_TAKE(s.pf, n * d);
    ATN_TAKE(s.self, n);
    for (atn_idx i = 0; i < n; i++) {
        const bool in = i >= h->sight.key_first && i < h->sight.key_last;
        const double by = in && degree[i] > 0 ? 1 / sqrt(degree[i]) : 0;

        for (atn_idx c = 0; c < d; c++)
            scaled[i * d + c] = (float)(by * (double)atn_crow(x, i)[c]);
        if (in) square += atn_row_square(atn_crow(x, i), d);
    }
    want.f = (atn_cmat){scaled, n, d, d};
    ATN_TRY(atn_edge_walk(cx, h, &want, &s));
    for (atn_idx i = 0; i < n; i++)
        within += atn_row_dot(scaled + i * d, s.pf + i * d, d) +
                  s.self[i] * atn_row_square(scaled + i * d, d);
    *out = square > 0 ? fmin(fmax(1 - within / square, 0), 2) : (double)NAN;
done:
    atn_arena_rewind(cx, mark);
    return st;
}

/* ---- the worst gain ---- */

typedef struct centred_rows {
    const atn_head *h;
    double rows; /* that have weight */
    double *z;   /* (nk, 2) */
    int walks;
} centred_rows;

/* y = P'(I - J)P x = P'(P x) - c (c'x) / rows, c the sums of columns. */
static atn_status apply(atn_ctx *cx, const float *x, atn_idx r, float *y, void *state)
{
    centred_rows *s = state;
    const atn_idx n = s->h->nk;
    const atn_row_source m = atn_row_source_of(s->h);
    atn_status st = ATN_OK;
    double along = 0;

    ATN_ASSERT(r == 1);
    s->walks++;
    ATN_TRY(atn_product_run(
        cx, &m, &(atn_product){.r = 1, .x = x, .ones = true, .z = s->z}, "worst gain"));
    for (atn_idx j = 0; j < n; j++) along += (double)x[j] * s->z[2 * j + 1];
    for (atn_idx j = 0; j < n; j++)
        y[j] = (float)(s->z[2 * j] - s->z[2 * j + 1] * along / s->rows);
done:
    return st;
}

static atn_status rows_with_weight(atn_ctx *cx, const atn_head *h, double *rows)
{
    const atn_arena_mark mark = atn_arena_save(cx);
    const atn_edge_want want = {0};
    atn_edge_sums s = {0};
    atn_status st = ATN_OK;

    ATN_TAKE(s.self, h->nq);
    ATN_TAKE(s.mass, h->nq);
    ATN_TRY(atn_edge_walk(cx, h, &want, &s));
    for (atn_idx i = 0; i < h->nq; i++) *rows += atn_edge_row(&s, i);
done:
    atn_arena_rewind(cx, mark);
    return st;
}

atn_status atn_graph_worst_gain(atn_ctx *cx, const atn_head *h, int steps,
                                atn_worst_gain *out)
{
    const atn_lanczos_opts o = {.steps = steps, .top_tolerance = TOP_TOLERANCE};
    atn_rng random = atn_rng_stream(cx->seed, "graph/worst", h->layer, h->head);
    const atn_arena_mark mark = atn_arena_save(cx);
    atn_status st = ATN_OK;
    centred_rows s = {.h = h};
    const atn_symmetric a = {h->nk, apply, &s};
    atn_ritz *ritz = NULL;
    float *start = NULL;
    int count = 0;

    *out = (atn_worst_gain){NAN, NAN, 0};
    ATN_TRY(
        atn_mem_check(cx, 20 * (double)h->nk + 16 * (double)h->nq, "the worst gain"));
    ATN_TRY(rows_with_weight(cx, h, &s.rows));
    if (!(s.rows > 0)) goto done;
    ATN_TAKE(s.z, 2 * h->nk);
    ATN_TAKE(start, h->nk);
    ATN_TAKE(ritz, steps);
    for (atn_idx j = 0; j < h->nk; j++) start[j] = (float)atn_rng_normal(&random);
    ATN_TRY(atn_lanczos(cx, &a, start, 1, &o, ritz, &count));
    out->value = count > 0 ? sqrt(fmax(ritz[count - 1].value, 0)) : 0;
    out->residual = fmax(count > 0 ? ritz[count - 1].residual : 0, PRECISION);
    out->walks = s.walks;
done:
    atn_arena_rewind(cx, mark);
    return st;
}
