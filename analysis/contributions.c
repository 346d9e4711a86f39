/* analysis/contributions.c -- one GEMM a tile and head, see the header. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "analysis/contributions.h"

#include <string.h>

#include "analysis/layer_facts.h"
#include "analysis/similarity_internal.h"
#include "core/kernels/kernels.h"

enum {
    TILE_FLOATS = 4 << 20,
    TILE_ROWS_MAX = 64,
    CHUNK =
        1024, /* floats of a head that stay in cache while all pairs are multiplied */
};

typedef struct job {
    const atn_layer_facts *f;
    atn_contributions_visit *visit;
    void *state;
    atn_idx first, rows, tiles; /* row of the first tile; rows of one; their number */
} job;

bool atn_contributions_known(const atn_layer_facts *f)
{
    return f->heads > 0 && f->out && f->w_o && f->width > 0;
}

static atn_idx tile_rows(const atn_layer_facts *f)
{
    const double row = (double)f->heads * (double)f->width;
    const double fit = (double)TILE_FLOATS / ATN_MAX(row, 1.0);

    return (atn_idx)ATN_MAX(1.0, ATN_MIN(fit, (double)TILE_ROWS_MAX));
}

static double tile_bytes(const atn_layer_facts *f)
{
    return 4.0 * (double)f->heads * (double)f->width * (double)tile_rows(f);
}

double atn_contributions_bytes(const atn_ctx *cx, const atn_layer_facts *f)
{
    return tile_bytes(f) * atn_sim_threads(cx, tile_bytes(f));
}

/* c [heads, rows, width] of the tile. */
static void multiply(const atn_layer_facts *f, const atn_contributions *t, float *c)
{
    const atn_idx nq = f->head[0].nq, dv = f->problem->dv;

    for (atn_idx h = 0; h < t->heads; h++) {
        const atn_cmat o = {f->out + (h * nq + t->first) * dv, t->rows, dv, dv};
        const atn_cmat w = {f->w_o + h * dv * t->width, dv, t->width, t->width};
        const atn_mat to = {c + h * t->rows * t->width, t->rows, t->width, t->width};

        atn_gemm(false, 1, o, w, 0, to);
    }
}

static atn_status one_group(atn_ctx *cx, atn_idx g, void *state)
{
    const job *j = state;
    const atn_layer_facts *f = j->f;
    const atn_idx nq = f->head[0].nq;
    const atn_arena_mark mark = atn_arena_save(cx);
    atn_status st = ATN_OK;
    float *c = NULL;

    ATN_TAKE(c, f->heads * j->rows * f->width);
    for (atn_idx at = g; at < j->tiles; at += ATN_CONTRIBUTION_GROUPS) {
        const atn_idx first = j->first + at * j->rows;
        const atn_contributions t = {.first = first,
                                     .rows = ATN_MIN(j->rows, nq - first),
                                     .heads = f->heads,
                                     .width = f->width,
                                     .c = c,
                                     .group = g};

        ATN_TRY(atn_stopped(cx, "contributions"));
        multiply(f, &t, c);
        ATN_TRY(j->visit(cx, f, &t, j->state));
    }
done:
    atn_arena_rewind(cx, mark);
    return st;
}

atn_status atn_contributions_each(atn_ctx *cx, const atn_layer_facts *f,
                                  atn_contributions_visit *visit, void *state)
{
    const int threads = cx->threads;
    atn_status st = ATN_OK;
    job j = {.f = f, .visit = visit, .state = state};

    ATN_ASSERT(atn_contributions_known(f));
    ATN_TRY(atn_mem_check(cx, atn_contributions_bytes(cx, f), "contributions"));
    j.rows = tile_rows(f);
    j.first = atn_layer_first_row(f);
    j.tiles = (f->head[0].nq - j.first + j.rows - 1) / j.rows;
    cx->threads = atn_sim_threads(cx, tile_bytes(f));
    st = atn_parallel(cx, ATN_MIN(j.tiles, (atn_idx)ATN_CONTRIBUTION_GROUPS), one_group,
                      &j, "contributions");
    cx->threads = threads;
    ATN_TRY(st);
done:
    return st;
}

/* Adds the tile's inner products to the lower triangle of its group. */
static atn_status add_gram(atn_ctx *cx, const atn_layer_facts *f,
                           const atn_contributions *t, void *state)
{
    const atn_idx n = t->heads, each = t->rows * t->width;
    double *sum = (double *)state + t->group * n * n;

    (void)cx;
    (void)f;
    for (atn_idx at = 0; at < each; at += CHUNK)
        for (atn_idx a = 0; a < n; a++)
            for (atn_idx b = 0; b <= a; b++)
                sum[a * n + b] +=
                    atn_row_dot(t->c + a * each + at, t->c + b * each + at,
                                ATN_MIN((atn_idx)CHUNK, each - at));
    return ATN_OK;
}

atn_status atn_contribution_gram(atn_ctx *cx, const atn_layer_facts *f, double *gamma)
{
    const atn_idx n = f->heads, square = n * n;
    atn_status st = ATN_OK;
    double *sum = NULL;

    ATN_NEW(sum, ATN_CONTRIBUTION_GROUPS * square);
    ATN_TRY(atn_contributions_each(cx, f, add_gram, sum));
    memset(gamma, 0, (size_t)square * sizeof *gamma);
    for (atn_idx g = 0; g < ATN_CONTRIBUTION_GROUPS; g++)
        for (atn_idx i = 0; i < square; i++) gamma[i] += sum[g * square + i];
    for (atn_idx a = 0; a < n; a++)
        for (atn_idx b = 0; b < a; b++) gamma[b * n + a] = gamma[a * n + b];
done:
    atn_free(cx, sum);
    return st;
}

/* Adds |C_h|^2 of every head and, behind them, |Y|^2, to the sums of the tile's
 * group. */
static atn_status add_norms(atn_ctx *cx, const atn_layer_facts *f,
                            const atn_contributions *t, void *state)
{
    const atn_idx n = t->heads, each = t->rows * t->width;
    double *sum = (double *)state + t->group * (n + 1);
    double y[CHUNK];

    (void)cx;
    (void)f;
    for (atn_idx at = 0; at < each; at += CHUNK) {
        const atn_idx some = ATN_MIN((atn_idx)CHUNK, each - at);

        memset(y, 0, sizeof y);
        for (atn_idx h = 0; h < n; h++) {
            const float *c = t->c + h * each + at;

            sum[h] += atn_row_square(c, some);
            for (atn_idx e = 0; e < some; e++) y[e] += (double)c[e];
        }
        for (atn_idx e = 0; e < some; e++) sum[n] += y[e] * y[e];
    }
    return ATN_OK;
}

atn_status atn_contribution_norms(atn_ctx *cx, const atn_layer_facts *f, double *square,
                                  double *total)
{
    const atn_idx n = f->heads;
    atn_status st = ATN_OK;
    double *sum = NULL;

    ATN_NEW(sum, ATN_CONTRIBUTION_GROUPS * (n + 1));
    ATN_TRY(atn_contributions_each(cx, f, add_norms, sum));
    for (atn_idx g = 1; g < ATN_CONTRIBUTION_GROUPS; g++)
        for (atn_idx h = 0; h <= n; h++) sum[h] += sum[g * (n + 1) + h];
    if (square) memcpy(square, sum, (size_t)n * sizeof *square);
    if (total) *total = sum[n];
done:
    atn_free(cx, sum);
    return st;
}
