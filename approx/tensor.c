/* approx/tensor.c -- tensor attention, exact: tuple by tuple, a slab of the last two
 * key tensors at a time.
 *
 * Math    the tensors but the last two go by an odometer: a = s q_i prod_t K^t_{j_t};
 *         the slab is then L = (K diag(a)) K'', in tiles of rows j of K; with the
 *         largest logit m so far, E = e^{L - m}, Y = E V'', and
 *             den += sum E,  num_l += w_l sum_j V_jl Y_jl,  w = prod_t V^t_{j_t}.
 *         A larger m rescales what is summed. Order 2 is a slab of one column of ones.
 * Cost    a tile is at most TILE numbers and 2^k tuples cost 2 (d + dv) flop each.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "approx/tensor.h"

#include <math.h>

#include "core/kernels/kernels.h"
#include "core/linalg.h"
#include "core/rows.h"

enum { TILE = 1 << 17, ROWS_MOST = 512 };

typedef struct job {
    const atn_tensor *t;
    const atn_tensor_out *out;
    int outer;       /* key tensors of the odometer */
    int first, last; /* of the slab; last < 0: ones */
    atn_reals ones;
    double *largest; /* [nq] */
    bool only_largest;
} job;

/* One query on one thread. */
typedef struct scratch {
    atn_idx seen; /* keys of every tensor */
    atn_idx cols; /* of the slab: seen, or 1 */
    double *a, *w;
    float *narrow_b, *narrow_e, *narrow_y;
    double *wide_b, *wide_e, *wide_y, *row_sum;
    atn_idx at[ATN_TENSOR_KEYS_MOST];
    double max, den, largest, *num;
    bool finite;                            /* so far */
    double *marginal[ATN_TENSOR_KEYS_MOST]; /* [seen] of this query, or NULL */
} scratch;

/* Keys of every tensor that query i sees. */
static atn_idx seen_by(const atn_tensor *t, atn_idx i)
{
    return t->causal ? ATN_MAX(0, ATN_MIN(t->offset + i + 1, t->nk)) : t->nk;
}

static atn_idx tile_rows(atn_idx cols)
{
    return ATN_MAX(1, ATN_MIN(TILE / ATN_MAX(cols, 1), (atn_idx)ROWS_MOST));
}

static atn_idx slab_cols(const atn_tensor *t, atn_idx seen)
{
    return t->keys == 1 ? 1 : seen;
}

/* ---- a tile of either width: b <- K diag(a), e <- b K''; then e^(e - m), y ---- */

static ATN_CLONES void row_times(const float *x, const double *a, atn_idx n, float *y)
{
    for (atn_idx l = 0; l < n; l++) y[l] = x[l] * (float)a[l];
}

static ATN_CLONES void row_largest(const float *x, atn_idx n, float *most, float *least)
{
    *most = atn_row_max(x, n);
    *least = INFINITY;
    for (atn_idx j = 0; j < n; j++) *least = x[j] < *least ? x[j] : *least;
}

static void logits_of(const job *j, scratch *s, atn_idx from, atn_idx rows)
{
    const atn_tensor *t = j->t;
    const atn_reals k = t->k[j->first], last = j->last < 0 ? j->ones : t->k[j->last];

    if (k.wide) {
        const atn_cwide b = {s->wide_b, rows, t->d, t->d};
        const atn_cwide c = {last.wide, s->cols, t->d, t->d};
        const atn_wide e = {s->wide_e, rows, s->cols, s->cols};

        for (atn_idx r = 0; r < rows; r++)
            for (atn_idx l = 0; l < t->d; l++)
                s->wide_b[r * t->d + l] = k.wide[(from + r) * t->d + l] * s->a[l];
        atn_gemm_wide(ATN_ABT, 1, b, c, 0, e);
        return;
    }
    for (atn_idx r = 0; r < rows; r++)
        row_times(k.narrow + (from + r) * t->d, s->a, t->d, s->narrow_b + r * t->d);
    atn_gemm(true, 1, (atn_cmat){s->narrow_b, rows, t->d, t->d},
             (atn_cmat){last.narrow, s->cols, t->d, t->d}, 0,
             (atn_mat){s->narrow_e, rows, s->cols, s->cols});
}

/* The largest logit of a tile; largest |logit|, and whether all are finite, go to the
 * scratch. */
static double extremes(const job *j, scratch *s, atn_idx rows)
{
    const atn_idx n = rows * s->cols;
    double most = -INFINITY, least = INFINITY;

    if (j->t->q.wide) {
        for (atn_idx i = 0; i < n; i++) {
            const double z = s->wide_e[i];

            s->finite = s->finite && isfinite(z);
            if (z > most) most = z;
            if (z < least) least = z;
        }
    } else {
        float hi, lo;

        s->finite = s->finite && atn_finite32(s->narrow_e, n);
        if (j->largest) {
            row_largest(s->narrow_e, n, &hi, &lo);
        } else {
            hi = atn_row_max(s->narrow_e, n);
            lo = hi;
        }
        most = (double)hi;
        least = (double)lo;
    }
    s->largest = fmax(s->largest, fmax(fabs(most), fabs(least)));
    return most;
}

static void rescale(const job *j, scratch *s, double max)
{
    const double f = s->max == -INFINITY ? 0 : exp(s->max - max);

    s->den *= f;
    for (atn_idx l = 0; l < j->t->dv; l++) s->num[l] *= f;
    for (int t = 0; t < j->t->keys; t++)
        for (atn_idx i = 0; s->marginal[t] && i < s->seen; i++) s->marginal[t][i] *= f;
    s->max = max;
}

/* n logits of the tile become weights; their sum. */
static double soften(const job *j, scratch *s, atn_idx at, atn_idx n)
{
    bool finite;
    double sum = 0;

    if (!j->t->q.wide) {
        sum = atn_row_exp_sum(s->narrow_e + at, n, (float)s->max, &finite);
        return finite ? sum : NAN;
    }
    for (atn_idx c = at; c < at + n; c++) {
        s->wide_e[c] = exp(s->wide_e[c] - s->max);
        sum += s->wide_e[c];
    }
    return sum;
}

static void values_of(const job *j, scratch *s, atn_idx rows)
{
    const atn_tensor *t = j->t;
    const atn_reals v = j->last < 0 ? j->ones : t->v[j->last];

    if (v.wide)
        atn_gemm_wide(ATN_AB, 1, (atn_cwide){s->wide_e, rows, s->cols, s->cols},
                      (atn_cwide){v.wide, s->cols, t->dv, t->dv}, 0,
                      (atn_wide){s->wide_y, rows, t->dv, t->dv});
    else
        atn_gemm(false, 1, (atn_cmat){s->narrow_e, rows, s->cols, s->cols},
                 (atn_cmat){v.narrow, s->cols, t->dv, t->dv}, 0,
                 (atn_mat){s->narrow_y, rows, t->dv, t->dv});
}

static ATN_CLONES void mix_narrow(const float *v, const float *y, const double *w,
                                  atn_idx n, double *num)
{
    for (atn_idx l = 0; l < n; l++) num[l] += w[l] * (double)v[l] * (double)y[l];
}

static void add_values(const job *j, scratch *s, atn_idx from, atn_idx rows)
{
    const atn_tensor *t = j->t;
    const atn_reals v = t->v[j->first];

    for (atn_idx r = 0; r < rows; r++) {
        if (!v.wide) {
            mix_narrow(v.narrow + (from + r) * t->dv, s->narrow_y + r * t->dv, s->w,
                       t->dv, s->num);
            continue;
        }
        for (atn_idx l = 0; l < t->dv; l++)
            s->num[l] +=
                s->w[l] * v.wide[(from + r) * t->dv + l] * s->wide_y[r * t->dv + l];
    }
}

/* What the keys of every tensor got in this tile, whose rows sum to row_sum. */
static void add_marginals(const job *j, scratch *s, atn_idx from, atn_idx rows,
                          double sum)
{
    for (int t = 0; t < j->outer; t++) s->marginal[t][s->at[t]] += sum;
    for (atn_idx r = 0; r < rows; r++) s->marginal[j->first][from + r] += s->row_sum[r];
    if (j->last < 0) return;
    if (!j->t->q.wide) {
        atn_tile_columns(s->narrow_e, s->cols, rows, s->cols, s->marginal[j->last]);
        return;
    }
    for (atn_idx r = 0; r < rows; r++)
        for (atn_idx c = 0; c < s->cols; c++)
            s->marginal[j->last][c] += s->wide_e[r * s->cols + c];
}

static void add_tile(const job *j, scratch *s, atn_idx from, atn_idx rows)
{
    double most, sum = 0;

    logits_of(j, s, from, rows);
    most = extremes(j, s, rows);
    if (j->only_largest || !s->finite) return;
    if (most > s->max) rescale(j, s, most);
    if (s->marginal[0]) {
        for (atn_idx r = 0; r < rows; r++) {
            s->row_sum[r] = soften(j, s, r * s->cols, s->cols);
            sum += s->row_sum[r];
        }
        add_marginals(j, s, from, rows, sum);
    } else {
        sum = soften(j, s, 0, rows * s->cols);
    }
    s->den += sum;
    if (!j->out->o) return;
    values_of(j, s, rows);
    add_values(j, s, from, rows);
}

/* ---- a query ---- */

static void begin_slab(const job *j, scratch *s, atn_idx i)
{
    const atn_tensor *t = j->t;

    for (atn_idx l = 0; l < t->d; l++) {
        s->a[l] = t->scale * atn_real_at(t->q, i * t->d + l);
        for (int o = 0; o < j->outer; o++)
            s->a[l] *= atn_real_at(t->k[o], s->at[o] * t->d + l);
    }
    for (atn_idx l = 0; l < t->dv; l++) {
        s->w[l] = 1;
        for (int o = 0; o < j->outer; o++)
            s->w[l] *= atn_real_at(t->v[o], s->at[o] * t->dv + l);
    }
}

/* The next tuple of the odometer; false after the last. */
static bool turn(const job *j, scratch *s)
{
    for (int o = j->outer - 1; o >= 0; o--) {
        if (++s->at[o] < s->seen) return true;
        s->at[o] = 0;
    }
    return false;
}

static void finish(const job *j, scratch *s, atn_idx i)
{
    const atn_tensor *t = j->t;

    if (t->has_null) {
        if (t->null_logit > s->max) rescale(j, s, t->null_logit);
        s->den += exp(t->null_logit - s->max);
    }
    for (atn_idx l = 0; j->out->o && l < t->dv; l++)
        j->out->o[i * t->dv + l] = s->den > 0 ? s->num[l] / s->den : 0;
    for (int k = 0; s->marginal[0] && k < t->keys; k++)
        for (atn_idx c = 0; c < s->seen; c++) s->marginal[k][c] /= s->den;
}

static atn_status take(atn_ctx *cx, const job *j, scratch *s)
{
    const atn_tensor *t = j->t;
    const atn_idx cols = slab_cols(t, t->nk);
    const atn_idx rows = ATN_MIN(tile_rows(cols), t->nk);
    atn_status st = ATN_OK;

    ATN_TAKE(s->a, t->d);
    ATN_TAKE(s->w, t->dv);
    ATN_TAKE(s->num, t->dv);
    ATN_TAKE(s->row_sum, rows);
    if (t->q.wide) {
        ATN_TAKE(s->wide_b, rows * t->d);
        ATN_TAKE(s->wide_e, rows * cols);
        ATN_TAKE(s->wide_y, rows * t->dv);
    } else {
        ATN_TAKE(s->narrow_b, rows * t->d);
        ATN_TAKE(s->narrow_e, rows * cols);
        ATN_TAKE(s->narrow_y, rows * t->dv);
    }
done:
    return st;
}

static atn_status query(atn_ctx *cx, atn_idx i, void *state)
{
    const job *j = state;
    const atn_tensor *t = j->t;
    const atn_arena_mark mark = atn_arena_save(cx);
    scratch s = {.seen = seen_by(t, i), .max = -INFINITY, .finite = true};
    const atn_idx rows = ATN_MIN(tile_rows(slab_cols(t, t->nk)), t->nk);
    atn_status st = ATN_OK;

    s.cols = slab_cols(t, s.seen);
    ATN_TRY(take(cx, j, &s));
    for (atn_idx l = 0; l < t->dv; l++) s.num[l] = 0;
    for (int k = 0; j->out->marginal && k < t->keys; k++)
        s.marginal[k] = j->out->marginal + (k * t->nq + i) * t->nk;
    do {
        begin_slab(j, &s, i);
        for (atn_idx from = 0; from < s.seen; from += rows)
            add_tile(j, &s, from, ATN_MIN(rows, s.seen - from));
        if (j->outer > 0) ATN_TRY(atn_stopped(cx, "tensor attention"));
    } while (turn(j, &s));
    if (!s.finite || !isfinite(s.den))
        ATN_FAIL(ATN_DATA, "tensor: a logit of query %lld is NaN or infinite",
                 (long long)i);
    if (j->largest) j->largest[i] = s.largest;
    if (!j->only_largest) finish(j, &s, i);
done:
    atn_arena_rewind(cx, mark);
    return st;
}

static atn_status run(atn_ctx *cx, const atn_tensor *t, const atn_tensor_out *out,
                      bool only_largest)
{
    const atn_arena_mark mark = atn_arena_save(cx);
    const atn_idx ones = ATN_MAX(t->d, t->dv);
    job j = {.t = t, .out = out, .only_largest = only_largest};
    float *narrow = NULL;
    double *wide = NULL;
    atn_status st = ATN_OK;

    j.outer = t->keys > 2 ? t->keys - 2 : 0;
    j.first = j.outer;
    j.last = t->keys > 1 ? t->keys - 1 : -1;
    ATN_TAKE(narrow, ones);
    ATN_TAKE(wide, ones);
    for (atn_idx l = 0; l < ones; l++) narrow[l] = 1, wide[l] = 1;
    j.ones = t->q.wide ? (atn_reals){.wide = wide} : (atn_reals){.narrow = narrow};
    if (out->x_max) ATN_TAKE(j.largest, t->nq);
    for (atn_idx i = 0; out->marginal && i < t->keys * t->nq * t->nk; i++)
        out->marginal[i] = 0;
    ATN_TRY(atn_parallel(cx, t->nq, query, &j, "tensor attention"));
    if (out->x_max) *out->x_max = 0;
    for (atn_idx i = 0; out->x_max && i < t->nq; i++)
        *out->x_max = fmax(*out->x_max, j.largest[i]);
done:
    atn_arena_rewind(cx, mark);
    return st;
}

atn_status atn_tensor_exact(atn_ctx *cx, const atn_tensor *t, const atn_tensor_out *out)
{
    return run(cx, t, out, false);
}

atn_status atn_tensor_largest(atn_ctx *cx, const atn_tensor *t, double *x_max)
{
    const atn_tensor_out out = {.x_max = x_max};

    return run(cx, t, &out, true);
}

double atn_tensor_exact_bytes(const atn_ctx *cx, const atn_tensor *t)
{
    const atn_idx cols = slab_cols(t, t->nk), rows = ATN_MIN(tile_rows(cols), t->nk);
    const double width = t->q.wide ? sizeof(double) : sizeof(float);

    return (double)cx->threads * ((double)rows * (double)(cols + t->d + t->dv) * width +
                                  8.0 * (double)(t->d + 2 * t->dv + rows) + 4096) +
           8.0 * (double)(t->nq + 2 * (t->d + t->dv));
}

/* 1^k + .. + m^k */
static double powers(double m, int k)
{
    const double s = m * (m + 1), odd = 2 * m + 1;

    switch (k) {
    case 1:
        return s / 2;
    case 2:
        return s * odd / 6;
    case 3:
        return s * s / 4;
    case 4:
        return s * odd * (3 * s - 1) / 30;
    default:
        return s * s * (2 * s - 1) / 12;
    }
}

double atn_tensor_exact_flops(const atn_tensor *t)
{
    const double nk = (double)t->nk, first = fmax(0, (double)t->offset);
    const double last = (double)t->offset + (double)t->nq;
    double tuples = (double)t->nq * pow(nk, t->keys);

    if (t->causal) /* query i sees offset + i + 1 keys, at most all */
        tuples = powers(fmin(fmax(last, 0), nk), t->keys) -
                 powers(fmin(first, nk), t->keys) +
                 fmax(0, last - fmax(nk, first)) * pow(nk, t->keys);
    return 2 * tuples * (double)(t->d + t->dv);
}

double atn_tensor_bound(const atn_tensor *t)
{
    double sum = 0;

    for (atn_idx l = 0; l < t->d; l++) {
        double x = 0;

        for (atn_idx i = 0; i < t->nq; i++)
            x = fmax(x, fabs(atn_real_at(t->q, i * t->d + l)));
        for (int k = 0; k < t->keys; k++) {
            double most = 0;

            for (atn_idx i = 0; i < t->nk; i++)
                most = fmax(most, fabs(atn_real_at(t->k[k], i * t->d + l)));
            x *= most;
        }
        sum += x;
    }
    return fabs(t->scale) * sum;
}
