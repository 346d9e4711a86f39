/* analysis/measures/redundancy.c -- could the layer do without a head?
 *
 * Math    map     mean over the other heads of <P_h, P_h'> / (|P_h| |P_h'|)
 *         cka     mean over the other heads of the linear CKA of the outputs O_h, O_h'
 *         cka_c   the same of the contributions C_h, C_h'. CKA is a function of C_h
 *                 C_h' alone, so O_h L with L L' = W_O^h W_O^h' stands for C_h, as
 *                 narrow as O_h.
 *         With C_h = O_h W_O^h, Y = sum_h C_h, Gamma_hh' = <C_h, C_h'>_F, o = all but
 *         h:
 *         leave_out  sqrt(Gamma_hh / 1'Gamma 1): relative error of Y without the head
 *         explained  Gamma_ho (Gamma_oo + lambda I)^-1 Gamma_oh / Gamma_hh: the share
 *                    of C_h that is a linear combination of the others, lambda = 1e-8
 *                    tr Gamma_oo / (H - 1)
 *         keep_one   <Y, C_h>^2 / (|Y|^2 |C_h|^2): the share of Y that the head alone,
 *                    scaled by gain = <Y, C_h> / |C_h|^2, gives
 * Oracle  C = (1,0), (1,0), (0,2): leave_out sqrt(1/8), sqrt(1/8), sqrt(1/2); explained
 *         1, 1, 0; keep_one 1/2 with gains 2, 2, 1. Equal heads are explained.
 * Source  Yun and Ro, arXiv 2401.16456 (SHViT): mean cosine with the other heads and
 *         ablation of single heads; the Gram form is derived. The ridge keeps equal
 *         heads from dividing 0 by 0.
 * Cost    one row pass and one SYRK an entry (map), nq dv^2 H^2 (cka, and cka_c), nq D
 *         H (H + 1) and 2 nq H dv D (Gram), H^4 / 3 (explained). Memory: tiles, and H^2
 *         doubles a group of tiles.
 * Limits  C_h = 0: explained 1, leave_out 0, keep_one 0. A layer of one head has no
 *         other: map and cka are empty, explained is 0. Without W_O map and cka only.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#include <math.h>
#include <string.h>

#include "analysis/cka.h"
#include "analysis/contributions.h"
#include "analysis/layer_facts.h"
#include "analysis/similarity_internal.h"
#include "core/kernels/kernels.h"
#include "core/linalg.h"

extern const atn_measure atn_measure_redundancy;

enum {
    MAP,
    CKA,
    CKA_DEBIASED,
    LEAVE_OUT,
    EXPLAINED,
    KEEP_ONE,
    GAIN,
    CKA_C,
    CKA_C_DEBIASED,
    N_COLS
};
static const double RIDGE = 1e-8;

/* The mean of row a of m x m without the diagonal, over what is a number. */
static double mean_of_others(const double *square, atn_idx m, atn_idx a)
{
    double sum = 0, n = 0;

    for (atn_idx b = 0; b < m; b++) {
        if (b == a || isnan(square[a * m + b])) continue;
        sum += square[a * m + b];
        n++;
    }
    return n > 0 ? sum / n : (double)NAN;
}

/* cos [m, m] <- cosines of the heads' matrices; 0 with a matrix of zeros. */
static atn_status map_cosines(atn_ctx *cx, const atn_layer_facts *f, double *cosine)
{
    const atn_similarity_opts opts = {.skip_rows = atn_layer_first_row(f)};
    const atn_arena_mark mark = atn_arena_save(cx);
    const atn_idx m = f->heads;
    atn_status st = ATN_OK;
    atn_sim_set set = {.m = m,
                       .per_layer = m,
                       .layers = 1,
                       .opts = &opts,
                       .tile_most = (double)cx->mem_limit / 8 / sizeof(float)};
    atn_sim_gram g = {0};

    ATN_TAKE(set.head, m);
    ATN_TAKE(set.slot, m);
    memcpy(set.head, f->head, (size_t)m * sizeof *set.head);
    for (atn_idx h = 0; h < m; h++) set.slot[h] = 0;
    ATN_TRY(atn_mem_check(cx, atn_sim_gram_bytes(cx, &set), "redundancy"));
    ATN_NEW(g.raw, m * m);
    ATN_NEW(g.unit, m * m);
    ATN_NEW(g.sum, m);
    ATN_NEW(g.rows, m);
    ATN_NEW(g.lost_square, m * m);
    ATN_NEW(g.lost_rows, m * m);
    ATN_TRY(atn_sim_gram_run(cx, &set, &g));
    for (atn_idx a = 0; a < m; a++)
        for (atn_idx b = 0; b < m; b++) {
            const double x = g.raw[a * m + a], y = g.raw[b * m + b];

            cosine[a * m + b] =
                x > 0 && y > 0 ? ATN_MIN(g.raw[a * m + b] / sqrt(x) / sqrt(y), 1.0) : 0;
        }
done:
    atn_free(cx, g.raw);
    atn_free(cx, g.unit);
    atn_free(cx, g.sum);
    atn_free(cx, g.rows);
    atn_free(cx, g.lost_square);
    atn_free(cx, g.lost_rows);
    atn_arena_rewind(cx, mark);
    return st;
}

/* Rows that count, in ascending order; returns how many. row may be NULL. */
static atn_idx counted_rows(const atn_layer_facts *f, atn_idx *row)
{
    atn_idx n = 0;

    for (atn_idx i = atn_layer_first_row(f); i < f->head[0].nq; i++) {
        atn_idx lo, hi;

        atn_sight_row(&f->head[0].sight, i, &lo, &hi);
        if (lo == hi) continue;
        if (row) row[n] = i;
        n++;
    }
    return n;
}

/* Views of the outputs' rows that count; of a copy where rows in between do not. */
static atn_status output_views(atn_ctx *cx, const atn_layer_facts *f, atn_cmat *x,
                               float **copy)
{
    const atn_arena_mark mark = atn_arena_save(cx);
    const atn_idx n = counted_rows(f, NULL), nq = f->head[0].nq, dv = f->problem->dv;
    atn_status st = ATN_OK;
    atn_idx *row = NULL;

    ATN_TAKE(row, n);
    counted_rows(f, row);
    if (n > 0 && row[n - 1] - row[0] != n - 1) {
        ATN_NEW(*copy, f->heads * n * dv);
        for (atn_idx h = 0; h < f->heads; h++)
            for (atn_idx i = 0; i < n; i++)
                memcpy(*copy + (h * n + i) * dv, f->out + (h * nq + row[i]) * dv,
                       (size_t)dv * sizeof **copy);
    }
    for (atn_idx h = 0; h < f->heads; h++) {
        const float *at =
            *copy ? *copy + h * n * dv : f->out + (h * nq + (n > 0 ? row[0] : 0)) * dv;

        x[h] = (atn_cmat){at, n, dv, dv};
    }
done:
    atn_arena_rewind(cx, mark);
    return st;
}

typedef struct narrow_job {
    const atn_layer_facts *f;
    const atn_cmat *x; /* [heads] outputs */
    float *y;          /* [heads, rows, dv] */
} narrow_job;

/* Outputs whose inner products of rows are those of the contributions of head h. */
static atn_status narrow_head(atn_ctx *cx, atn_idx h, void *state)
{
    const narrow_job *j = state;
    const atn_cmat x = j->x[h];
    const atn_idx dv = x.cols, width = j->f->width;
    const float *w = j->f->w_o + h * dv * width;
    const atn_arena_mark mark = atn_arena_save(cx);
    atn_status st = ATN_OK;
    double *l = NULL;
    float *l32 = NULL;

    ATN_TAKE(l, dv * dv);
    ATN_TAKE(l32, dv * dv);
    for (atn_idx a = 0; a < dv; a++)
        for (atn_idx b = 0; b <= a; b++)
            l[a * dv + b] = atn_row_dot(w + a * width, w + b * width, width);
    atn_cholesky_half(l, dv);
    for (atn_idx i = 0; i < dv * dv; i++) l32[i] = (float)l[i];
    atn_gemm(false, 1, x, (atn_cmat){l32, dv, dv, dv}, 0,
             (atn_mat){j->y + h * x.rows * dv, x.rows, dv, dv});
done:
    atn_arena_rewind(cx, mark);
    return st;
}

/* Of the contributions; x are the outputs. */
static atn_status contribution_cka(atn_ctx *cx, const atn_layer_facts *f,
                                   const atn_cmat *x, double *cka, double *debiased)
{
    const atn_idx m = f->heads, n = x[0].rows, dv = x[0].cols;
    const atn_arena_mark mark = atn_arena_save(cx);
    atn_status st = ATN_OK;
    narrow_job j = {.f = f, .x = x};
    atn_cmat *y = NULL;

    ATN_TRY(atn_mem_check(
        cx, 4 * (double)(m * n) * (double)dv + 12.0 * (double)(dv * dv) * cx->threads,
        "redundancy"));
    ATN_NEW(j.y, m * n * dv);
    ATN_TAKE(y, m);
    for (atn_idx h = 0; h < m; h++) y[h] = (atn_cmat){j.y + h * n * dv, n, dv, dv};
    ATN_TRY(atn_parallel(cx, m, narrow_head, &j, "contributions"));
    ATN_TRY(atn_cka_pairs(cx, y, m, cka, debiased));
done:
    atn_free(cx, j.y);
    atn_arena_rewind(cx, mark);
    return st;
}

/* cka[0] of the outputs; cka[1], where W_O is known, of the contributions. */
static atn_status output_cka(atn_ctx *cx, const atn_layer_facts *f,
                             double *const cka[2], double *const debiased[2])
{
    const atn_arena_mark mark = atn_arena_save(cx);
    atn_status st = ATN_OK;
    float *copy = NULL;
    atn_cmat *x = NULL;

    ATN_TAKE(x, f->heads);
    ATN_TRY(output_views(cx, f, x, &copy));
    ATN_TRY(atn_cka_pairs(cx, x, f->heads, cka[0], debiased[0]));
    if (atn_contributions_known(f))
        ATN_TRY(contribution_cka(cx, f, x, cka[1], debiased[1]));
done:
    atn_free(cx, copy);
    atn_arena_rewind(cx, mark);
    return st;
}

/* a [(m-1)^2] and b [m-1] are scratch. */
static double explained(const double *gamma, atn_idx m, atn_idx h, double *a, double *b)
{
    const atn_idx n = m - 1;
    double trace = 0, sum = 0;

    if (!(gamma[h * m + h] > 0)) return 1;
    for (atn_idx i = 0; i < m; i++)
        if (i != h) trace += gamma[i * m + i];
    if (!(trace > 0)) return 0;
    for (atn_idx i = 0; i < n; i++) {
        const atn_idx from = i + (i >= h);

        for (atn_idx j = 0; j < n; j++) a[i * n + j] = gamma[from * m + j + (j >= h)];
        a[i * n + i] += RIDGE * trace / (double)n;
        b[i] = gamma[from * m + h];
    }
    if (!atn_cholesky(a, n)) return NAN;
    atn_cholesky_solve(a, n, b);
    for (atn_idx i = 0; i < n; i++) sum += b[i] * gamma[(i + (i >= h)) * m + h];
    return ATN_MAX(0.0, ATN_MIN(sum / gamma[h * m + h], 1.0));
}

static void from_gram(const double *gamma, atn_idx m, atn_idx h, double *to)
{
    const double own = gamma[h * m + h];
    double total = 0, with = 0;

    for (atn_idx i = 0; i < m * m; i++) total += gamma[i];
    for (atn_idx b = 0; b < m; b++) with += gamma[h * m + b];
    if (!(own > 0)) {
        to[LEAVE_OUT] = to[KEEP_ONE] = 0;
        return; /* no gain */
    }
    to[GAIN] = with / own;
    if (!(total > 0)) return;
    to[LEAVE_OUT] = sqrt(own / total);
    to[KEEP_ONE] = ATN_MIN(with * with / total / own, 1.0);
}

static atn_status contributions(atn_ctx *cx, const atn_layer_facts *f, double *out)
{
    const atn_arena_mark mark = atn_arena_save(cx);
    const atn_idx m = f->heads;
    atn_status st = ATN_OK;
    double *gamma = NULL, *a = NULL, *b = NULL;

    ATN_TAKE(gamma, m * m);
    ATN_TAKE(a, m * m);
    ATN_TAKE(b, m);
    ATN_TRY(atn_contribution_gram(cx, f, gamma));
    for (atn_idx h = 0; h < m; h++) {
        if (!f->keep[h]) continue;
        out[h * N_COLS + EXPLAINED] = explained(gamma, m, h, a, b);
        from_gram(gamma, m, h, out + h * N_COLS);
    }
done:
    atn_arena_rewind(cx, mark);
    return st;
}

static atn_status layer(atn_ctx *cx, const atn_layer_facts *f, const void *params,
                        double *out)
{
    const atn_arena_mark mark = atn_arena_save(cx);
    const atn_idx m = f->heads;
    atn_status st = ATN_OK;
    double *cosine = NULL, *cka[2] = {NULL}, *debiased[2] = {NULL};

    (void)params;
    ATN_TAKE(cosine, m * m);
    for (int c = 0; c < 2; c++) {
        ATN_TAKE(cka[c], m * m);
        ATN_TAKE(debiased[c], m * m);
        for (atn_idx i = 0; i < m * m; i++) cka[c][i] = debiased[c][i] = NAN;
    }
    ATN_TRY(map_cosines(cx, f, cosine));
    ATN_TRY(output_cka(cx, f, cka, debiased));
    for (atn_idx h = 0; h < m; h++) {
        if (!f->keep[h]) continue;
        out[h * N_COLS + MAP] = mean_of_others(cosine, m, h);
        out[h * N_COLS + CKA] = mean_of_others(cka[0], m, h);
        out[h * N_COLS + CKA_DEBIASED] = mean_of_others(debiased[0], m, h);
        out[h * N_COLS + CKA_C] = mean_of_others(cka[1], m, h);
        out[h * N_COLS + CKA_C_DEBIASED] = mean_of_others(debiased[1], m, h);
    }
    if (atn_contributions_known(f)) ATN_TRY(contributions(cx, f, out));
done:
    atn_arena_rewind(cx, mark);
    return st;
}

static const atn_measure_col cols[] = {
    [MAP] = {"redundancy_map", "", "[0, 1]",
             "mean cosine of the head's matrix with those of the other heads", NULL},
    [CKA] = {"redundancy_cka", "", "[0, 1]",
             "mean linear CKA of the head's output with those of the other heads",
             NULL},
    [CKA_DEBIASED] = {"redundancy_cka_debiased", "", "[-1, 1]",
                      "the same with the unbiased estimator; may be negative", NULL},
    [LEAVE_OUT] = {"redundancy_leave_out_error", "", ">= 0",
                   "relative error of the layer's output without the head", NULL},
    [EXPLAINED] = {"redundancy_explained", "", "[0, 1]",
                   "share of the head's contribution that the others span (R^2)", NULL},
    [KEEP_ONE] = {"redundancy_keep_one", "", "[0, 1]",
                  "share of the layer's output that the head alone gives, scaled",
                  NULL},
    [GAIN] = {"redundancy_keep_one_gain", "", "any",
              "the scale of the head that does so", NULL},
    [CKA_C] = {"redundancy_cka_c", "", "[0, 1]",
               "mean linear CKA of the head's contribution with those of the others",
               NULL},
    [CKA_C_DEBIASED] = {"redundancy_cka_c_debiased", "", "[-1, 1]",
                        "the same with the unbiased estimator; may be negative", NULL},
    [N_COLS] = ATN_MEASURE_COLS_END,
};

const atn_measure atn_measure_redundancy = {
    .id = "redundancy",
    .title = "Redundancy of heads",
    .source = "Yun and Ro, arXiv 2401.16456 (SHViT); Gram of contributions derived",
    .wants = ATN_WANT_OUT | ATN_WANT_W_O,
    .named = true,
    .passes = 1,
    .cols = cols,
    .mixes = atn_measure_mixes,
    .layer = layer,
};
