/* analysis/measures/uniform.c -- what it costs to replace a head by the mean of the
 * values.
 *
 * Math    U_i = 1 / n_i on the keys that row i sees (causal: the running mean of V).
 *         error    |(U - P) V|_F / |P V|_F
 *         residual |(U - P) V W_O|_F / |sum_h C_h|_F, C_h the contributions of the
 *         layer A head is replaceable when its error is below tau; it then needs d_v
 *         running sums instead of a cache.
 * Oracle  P = U gives 0; rows (1), (.5 .5), (.2 .3 .5) with V = (1,0), (0,1), (2,2):
 *         .167564.
 * Source  Mo et al., arXiv 2411.19652, who replace rows of cross-attention by 1 / m;
 *         the error against the layer's own output is derived.
 * Cost    2 nq dv D flop a head and twice that for the layer's output; no pass over the
 *         rows beyond the outputs. Memory a tile of 64 rows a thread.
 * Limits  Frobenius over the rows that count. Without W_O only the error; where the
 *         reference is 0, an empty cell.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#include <math.h>

#include "analysis/contributions.h"
#include "analysis/layer_facts.h"
#include "core/kernels/kernels.h"

extern const atn_measure atn_measure_uniform;

enum { ROWS = 64 };
enum { ERROR, RESIDUAL, REPLACEABLE, REPLACEABLE_RESIDUAL, N_COLS };

typedef struct uniform_params {
    double tau;
} uniform_params;

static const atn_param params[] = {
    ATN_PARAM_F64(uniform_params, tau, 0.1, 0, 1e6,
                  "a head whose error is below it is replaceable"),
    ATN_PARAM_END,
};

typedef struct job {
    const atn_layer_facts *f;
    double *error, *norm, *residual; /* [heads] squares */
} job;

/* The sum of the values of keys [lo, hi), which moves forward only. */
typedef struct window {
    double *sum; /* [dv] */
    atn_idx lo, hi;
} window;

static void add_value(double *sum, atn_cmat v, atn_idx j, double sign)
{
    const float *row = atn_crow(v, j);

    for (atn_idx c = 0; c < v.cols; c++) sum[c] += sign * (double)row[c];
}

static void move_window(window *w, atn_cmat v, atn_idx lo, atn_idx hi)
{
    if (lo >= w->hi) { /* nothing in common: start anew */
        for (atn_idx c = 0; c < v.cols; c++) w->sum[c] = 0;
        w->lo = w->hi = lo;
    }
    for (; w->hi < hi; w->hi++) add_value(w->sum, v, w->hi, 1);
    for (; w->lo < lo; w->lo++) add_value(w->sum, v, w->lo, -1);
}

/* diff [rows, dv] <- (U - P) V of rows [first, first + rows); rows that do not count
 * are 0. */
static void differ(const job *j, const atn_head *h, const float *out, atn_idx first,
                   atn_idx rows, window *w, float *diff)
{
    const atn_idx dv = h->v.cols, at = h - j->f->head;

    for (atn_idx r = 0; r < rows; r++) {
        const atn_idx i = first + r;
        const float *own = out + i * dv;
        float *to = diff + r * dv;
        atn_idx lo, hi;

        atn_sight_row(&h->sight, i, &lo, &hi);
        for (atn_idx c = 0; c < dv; c++) to[c] = 0;
        if (lo == hi) continue;
        move_window(w, h->v, lo, hi);
        for (atn_idx c = 0; c < dv; c++)
            to[c] = (float)(w->sum[c] / (double)(hi - lo) - (double)own[c]);
        j->norm[at] += atn_row_square(own, dv);
    }
    j->error[at] += atn_row_square(diff, rows * dv);
}

static atn_status one_head(atn_ctx *cx, atn_idx at, void *state)
{
    const job *j = state;
    const atn_layer_facts *f = j->f;
    const atn_head *h = &f->head[at];
    const atn_idx dv = h->v.cols, width = f->width;
    const float *out = f->out + at * h->nq * dv;
    const atn_arena_mark mark = atn_arena_save(cx);
    atn_status st = ATN_OK;
    float *diff = NULL, *wide = NULL;
    window w = {0};

    if (!f->keep[at]) return ATN_OK;
    ATN_TAKE(w.sum, dv);
    ATN_TAKE(diff, ROWS * dv);
    if (f->w_o) ATN_TAKE(wide, ROWS * width);
    for (atn_idx c = 0; c < dv; c++) w.sum[c] = 0;
    for (atn_idx first = atn_layer_first_row(f); first < h->nq; first += ROWS) {
        const atn_idx rows = ATN_MIN((atn_idx)ROWS, h->nq - first);

        ATN_TRY(atn_stopped(cx, "uniform"));
        differ(j, h, out, first, rows, &w, diff);
        if (!f->w_o) continue;
        atn_gemm(false, 1, (atn_cmat){diff, rows, dv, dv},
                 (atn_cmat){f->w_o + at * dv * width, dv, width, width}, 0,
                 (atn_mat){wide, rows, width, width});
        j->residual[at] += atn_row_square(wide, rows * width);
    }
done:
    atn_arena_rewind(cx, mark);
    return st;
}

static double ratio(double part, double whole)
{
    return whole > 0 ? sqrt(part / whole) : (double)NAN;
}

static double below(double error, double tau)
{
    return isnan(error) ? (double)NAN : error < tau;
}

static atn_status layer(atn_ctx *cx, const atn_layer_facts *f, const void *params_,
                        double *out)
{
    const double tau = ((const uniform_params *)params_)->tau;
    const atn_arena_mark mark = atn_arena_save(cx);
    const double each = (double)ROWS * 4 * (double)(f->problem->dv + f->width) +
                        8.0 * (double)f->problem->dv;
    atn_status st = ATN_OK;
    job j = {.f = f};
    double total = 0;

    ATN_TRY(atn_mem_check(cx, each * cx->threads, "uniform"));
    ATN_TAKE(j.error, f->heads);
    ATN_TAKE(j.norm, f->heads);
    ATN_TAKE(j.residual, f->heads);
    for (atn_idx h = 0; h < f->heads; h++) j.error[h] = j.norm[h] = j.residual[h] = 0;
    ATN_TRY(atn_parallel(cx, f->heads, one_head, &j, "uniform"));
    if (atn_contributions_known(f))
        ATN_TRY(atn_contribution_norms(cx, f, NULL, &total));
    for (atn_idx h = 0; h < f->heads; h++) {
        double *to = out + h * N_COLS;

        if (!f->keep[h]) continue;
        to[ERROR] = ratio(j.error[h], j.norm[h]);
        to[RESIDUAL] = ratio(j.residual[h], total);
        to[REPLACEABLE] = below(to[ERROR], tau);
        to[REPLACEABLE_RESIDUAL] = below(to[RESIDUAL], tau);
    }
done:
    atn_arena_rewind(cx, mark);
    return st;
}

static const atn_measure_col cols[] = {
    [ERROR] = {"uniform_error", "", ">= 0",
               "relative error of the head's output with uniform attention", NULL},
    [RESIDUAL] = {"uniform_residual_error", "", ">= 0",
                  "the same error after W_O, relative to the output of the layer",
                  NULL},
    [REPLACEABLE] = {"uniform_replaceable", "", "[0, 1]",
                     "1 where uniform_error < tau (uniform:tau=0.1)", NULL},
    [REPLACEABLE_RESIDUAL] = {"uniform_residual_replaceable", "", "[0, 1]",
                              "1 where uniform_residual_error < tau", NULL},
    [N_COLS] = ATN_MEASURE_COLS_END,
};

static bool mixes(const void *params_, int col)
{
    (void)params_;
    return col == RESIDUAL || col == REPLACEABLE_RESIDUAL;
}

const atn_measure atn_measure_uniform = {
    .id = "uniform",
    .title = "Replacement by uniform attention",
    .source = "Mo et al., arXiv 2411.19652 (uniform attention maps)",
    .wants = ATN_WANT_OUT | ATN_WANT_W_O,
    .named = true,
    .params = params,
    .params_size = sizeof(uniform_params),
    .cols = cols,
    .mixes = mixes,
    .layer = layer,
};
