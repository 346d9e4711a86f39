/* analysis/approx_compare.c -- a plan of one head against dense attention. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "analysis/approx_compare.h"

#include <math.h>
#include <string.h>

#include "core/kernels/kernels.h"
#include "core/rows.h"

/* What is left of every row; NaN where a row does not count. Errors and sizes are
 * squares. */
enum {
    MASS,
    KL,
    ERROR,
    ERROR_W,
    SIZE,
    SIZE_W,
    RECALL,
    BOUND,
    SLACK,
    SUM,
    MATRIX,
    MATRIX_SIZE,
    NEGATIVE, /* 1 where a weight is below 0, or on what is hidden */
    ENTROPY,
    ENTROPY_SHARE,
    BY_ROW
};
enum { CHUNK = 64 };
static const double ROUNDING = 1e-5;

typedef struct comparing {
    const atn_head *h;
    const atn_dense *d;
    const atn_plan *p;
    const double *lse;   /* [nq] of a mask */
    atn_cmat o;          /* of the plan, all rows */
    double *row[BY_ROW]; /* [d->n] each */
    atn_idx step;        /* rows of a task */
} comparing;

/* ---- what outputs have in common ---- */

/* squares[r] = |x_r L|^2 of rows of x. */
static atn_status squares_behind(atn_ctx *cx, const atn_dense *d, atn_cmat x,
                                 double *squares)
{
    const atn_idx dv = x.cols;
    const atn_cmat half = {d->half, dv, dv, dv};
    atn_mat y = {NULL, x.rows, dv, dv};
    atn_status st = ATN_OK;

    ATN_TAKE(y.data, x.rows * dv);
    atn_gemm(false, 1, x, half, 0, y);
    for (atn_idx r = 0; r < x.rows; r++) squares[r] = atn_row_square(atn_row(y, r), dv);
done:
    return st;
}

/* Rows [first, first + n) of the outputs. */
static atn_status compare_outputs(atn_ctx *cx, const comparing *c, atn_idx first,
                                  atn_idx n)
{
    const atn_arena_mark mark = atn_arena_save(cx);
    const atn_dense *d = c->d;
    const atn_idx dv = c->o.cols;
    const atn_cmat o = {d->o + first * dv, n, dv, dv};
    atn_mat off = {NULL, n, dv, dv};
    atn_status st = ATN_OK;

    ATN_TAKE(off.data, n * dv);
    for (atn_idx r = 0; r < n; r++) {
        const float *mine = atn_crow(c->o, atn_dense_row(d, first + r));

        for (atn_idx k = 0; k < dv; k++)
            off.data[r * dv + k] = atn_crow(o, r)[k] - mine[k];
        c->row[ERROR][first + r] = atn_row_square(atn_row(off, r), dv);
        c->row[SIZE][first + r] = atn_row_square(atn_crow(o, r), dv);
    }
    if (!d->half) goto done;
    ATN_TRY(squares_behind(cx, d, atn_const(off), c->row[ERROR_W] + first));
    ATN_TRY(squares_behind(cx, d, o, c->row[SIZE_W] + first));
done:
    atn_arena_rewind(cx, mark);
    return st;
}

/* Rows that see no key, or give no weight, count nowhere. */
static void drop_blind(const comparing *c, atn_idx first, atn_idx n)
{
    for (atn_idx i = first; i < first + n; i++)
        for (int k = 0; c->d->lse[i] == -INFINITY && k < BY_ROW; k++)
            c->row[k][i] = NAN;
}

/* ---- masks ---- */

/* The keys that row i of the head keeps, as spans, clipped to what it sees. */
static atn_idx kept_spans(const comparing *c, atn_idx i, atn_idx lo, atn_idx hi,
                          atn_span *out)
{
    const atn_part *part = &c->p->branch[0].part[0];
    const atn_idx at = ATN_MAX(atn_sight_at(&c->h->sight, i), 0);
    atn_idx n = 1, kept = 0;

    out[0] = (atn_span){lo, hi};
    if (part->pattern) n = atn_pattern_keys(part->pattern, part->pattern_head, at, out);
    for (atn_idx k = 0; k < n; k++) {
        const atn_span s = {ATN_MAX(out[k].lo, lo), ATN_MIN(out[k].hi, hi)};

        if (s.lo < s.hi) out[kept++] = s;
    }
    return kept;
}

static double recall_of(const atn_dense *d, atn_idx i, const atn_span *spans, atn_idx n)
{
    const atn_idx tops = atn_dense_tops(d, i);
    const int32_t *top = d->top + i * d->top_k;
    atn_idx hits = 0, s = 0;

    for (atn_idx k = 0; k < tops; k++) {
        while (s < n && spans[s].hi <= top[k]) s++;
        hits += s < n && spans[s].lo <= top[k];
    }
    return (double)hits / (double)tops;
}

/* The largest |v_j| of the keys of [lo, hi) that are in no span; 0 of none. */
static double largest_dropped(const atn_dense *d, atn_idx lo, atn_idx hi,
                              const atn_span *spans, atn_idx n)
{
    double most = 0;

    for (atn_idx s = 0; s <= n; s++) {
        const atn_idx from = s > 0 ? spans[s - 1].hi : lo;
        const atn_idx to = s < n ? spans[s].lo : hi;

        if (from < to)
            most = fmax(most, (double)atn_range_max_of(&d->largest, from, to));
    }
    return most;
}

/* Weights are float32 and logits sums of products of it: what the two sides may differ
 * by, in units of the values. */
static double rounding(const atn_dense *d, atn_idx i)
{
    return 1e-5 + 1e-6 * (d->reach[i] + fabs(d->lse[i]));
}

static atn_status bound_row(atn_ctx *cx, const comparing *c, atn_idx i, double dropped)
{
    const atn_idx at = atn_dense_row(c->d, i), dv = c->o.cols;
    const double size = sqrt(atn_row_square(atn_crow(c->o, at), dv));
    const double off = sqrt(c->row[ERROR][i]);
    const double most =
        ATN_MAX((double)atn_range_max_of(&c->d->largest, 0, c->h->nk), size);
    const double bound = c->d->share[i] * (1 - c->row[MASS][i]) * (dropped + size);
    atn_status st = ATN_OK;

    c->row[BOUND][i] = bound;
    c->row[SLACK][i] = bound - off;
    if (bound - off < -rounding(c->d, i) * 2 * most)
        ATN_FAIL(ATN_INTERNAL,
                 "layer %d, head %d, row %lld: the output is %g from the dense one, "
                 "farther than the bound of what is dropped, %g: please report this",
                 c->h->layer, c->h->head, (long long)at, off, bound);
    /* by rounding alone */
    c->row[SLACK][i] = ATN_MAX(c->row[SLACK][i], 0);
done:
    return st;
}

/* ln of the dense weight of a key with logit (of given rows, weight) s. */
static double log_weight(const comparing *c, atn_idx i, double s)
{
    return (c->h->p.data ? log(s) : s) - c->d->lse[i];
}

/* Is key j in a span from *s on? */
static bool within(const atn_span *spans, atn_idx n, atn_idx j, atn_idx *s)
{
    while (*s < n && spans[*s].hi <= j) (*s)++;
    return *s < n && spans[*s].lo <= j;
}

/* Of row i, z [hi - lo] its logits: what is kept weighs by a softmax of its own, which
 * a sink is in. */
static void matrix_row(const comparing *c, atn_idx i, const atn_span *spans, atn_idx n,
                       const float *z, const atn_row_info *info)
{
    const double share = c->d->share[i];
    double all = 0, most = -INFINITY, kept = 0, off = 0, size = 0;
    atn_idx s = 0;

    for (atn_idx j = info->lo; j < info->hi; j++) {
        const double a = log_weight(c, i, (double)z[j - info->lo]);

        all += exp(a);
        if (within(spans, n, j, &s)) most = fmax(most, a);
    }
    s = 0;
    for (atn_idx j = info->lo; j < info->hi && most > -INFINITY; j++)
        if (within(spans, n, j, &s))
            kept += exp(log_weight(c, i, (double)z[j - info->lo]) - most);
    if (share < 1) kept += all * (1 / share - 1) * exp(-most);
    s = 0;
    for (atn_idx j = info->lo; j < info->hi; j++) {
        const double a = log_weight(c, i, (double)z[j - info->lo]);
        const double dense = all > 0 ? share * exp(a) / all : 0;
        const double w = within(spans, n, j, &s) && kept > 0 ? exp(a - most) / kept : 0;

        off += (w - dense) * (w - dense);
        size += dense * dense;
    }
    c->row[MATRIX][i] = off;
    c->row[MATRIX_SIZE][i] = size;
}

static atn_status matrix_rows(atn_ctx *cx, const comparing *c, const atn_tile *t,
                              atn_span *spans)
{
    const atn_arena_mark mark = atn_arena_save(cx);
    atn_mat z = {NULL, t->rows, t->keys, t->keys};
    atn_row_info *info = NULL;
    atn_status st = ATN_OK;

    ATN_TAKE(z.data, t->rows * t->keys);
    ATN_TAKE(info, t->rows);
    atn_rows_logits(&c->d->head, t, z, info);
    for (atn_idx r = 0; r < t->rows; r++) {
        const atn_idx i = t->first + r, at = atn_dense_row(c->d, i);
        atn_idx kept;

        if (c->d->lse[i] == -INFINITY) continue;
        kept = kept_spans(c, at, info[r].lo, info[r].hi, spans);
        matrix_row(c, i, spans, kept, atn_row(z, r) + (info[r].lo - t->key0), &info[r]);
    }
done:
    atn_arena_rewind(cx, mark);
    return st;
}

static atn_status mask_rows(atn_ctx *cx, atn_idx task, void *state)
{
    const comparing *c = state;
    const atn_pattern *pattern = c->p->branch[0].part[0].pattern;
    const atn_idx first = task * c->step, n = ATN_MIN(c->step, c->d->n - first);
    const atn_arena_mark mark = atn_arena_save(cx);
    atn_status st = ATN_OK;
    atn_span *spans = NULL;

    ATN_TAKE(spans, pattern ? pattern->room : 1);
    if (c->o.data) ATN_TRY(compare_outputs(cx, c, first, n));
    if (c->d->matrix) {
        const atn_tile t = atn_tile_of(&c->d->head, first, n);

        ATN_TRY(matrix_rows(cx, c, &t, spans));
    }
    for (atn_idx i = first; i < first + n; i++) {
        const atn_idx at = atn_dense_row(c->d, i);
        const double log_mass = ATN_MIN(c->lse[at] - c->d->lse[i], 0);
        atn_idx lo, hi, kept;

        atn_sight_row(&c->h->sight, at, &lo, &hi);
        if (c->d->lse[i] == -INFINITY) continue;
        kept = kept_spans(c, at, lo, hi, spans);
        c->row[MASS][i] = exp(log_mass);
        c->row[KL][i] = log_mass > -INFINITY ? -log_mass : NAN;
        c->row[RECALL][i] = recall_of(c->d, i, spans, kept);
        if (c->o.data)
            ATN_TRY(bound_row(cx, c, i, largest_dropped(c->d, lo, hi, spans, kept)));
    }
    drop_blind(c, first, n);
done:
    atn_arena_rewind(cx, mark);
    return st;
}

/* ---- other plans, by their weights ---- */

/* Adds what decompositions of a matrix give to keys that the row does not see, where
 * the dense weight is 0. Is there any? */
static bool add_leak(const comparing *c, const double *w, const atn_row_info *info,
                     double *sum, double *off)
{
    bool any = false;

    for (atn_idx j = 0; j < c->h->nk; j++) {
        if (j == info->lo) j = ATN_MAX(info->hi, info->lo);
        if (j >= c->h->nk) break;
        *sum += w[j];
        *off += w[j] * w[j];
        any |= w[j] != 0;
    }
    return any;
}

/* Row i of the comparison: w [nk] its weights, z [hi - lo] the logits (of given rows
 * the weights) of the keys it sees. */
static void weigh_row(const comparing *c, atn_idx i, const double *w, const float *z,
                      const atn_row_info *info)
{
    const atn_dense *d = c->d;
    const int32_t *top = d->top + i * d->top_k;
    double sum = 0, mass = 0, kl = 0, off = 0, size = 0;
    atn_idx hits = 0;
    bool negative = false, leak;

    for (atn_idx j = info->lo; j < info->hi; j++) {
        const double log_a = log_weight(c, i, (double)z[j - info->lo]);
        const double dense = d->share[i] * exp(log_a);

        off += (w[j] - dense) * (w[j] - dense);
        size += dense * dense;
        negative |= w[j] < 0;
        if (w[j] == 0) continue;
        sum += w[j];
        mass += exp(log_a);
        kl += w[j] * (log(w[j]) - log_a);
    }
    leak = add_leak(c, w, info, &sum, &off);
    for (atn_idx k = 0; k < atn_dense_tops(d, i); k++) hits += w[top[k]] != 0;
    c->row[SUM][i] = sum;
    c->row[MATRIX][i] = off;
    c->row[MATRIX_SIZE][i] = size;
    c->row[NEGATIVE][i] = negative || leak;
    c->row[MASS][i] = ATN_MIN(mass, 1);
    c->row[KL][i] = sum > 0 ? ATN_MAX(kl / sum - log(sum), 0) : NAN;
    c->row[RECALL][i] = (double)hits / (double)atn_dense_tops(d, i);
}

/* The weights of n rows from `first` of the comparison on, which follow one another in
 * the head unless they are drawn. */
static atn_status weights_of(atn_ctx *cx, const comparing *c, atn_idx first, atn_idx n,
                             double *w)
{
    atn_status st = ATN_OK;

    if (!c->d->sample) return atn_plan_rows(cx, c->h, c->p, first, n, w);
    for (atn_idx r = 0; r < n; r++)
        ATN_TRY(atn_plan_rows(cx, c->h, c->p, atn_dense_row(c->d, first + r), 1,
                              w + r * c->h->nk));
done:
    return st;
}

static atn_status other_rows(atn_ctx *cx, atn_idx task, void *state)
{
    const comparing *c = state;
    const atn_head *h = &c->d->head;
    const atn_tile t = atn_tile_of(h, task * c->step, c->step);
    const atn_arena_mark mark = atn_arena_save(cx);
    atn_mat z = {NULL, t.rows, t.keys, t.keys};
    atn_row_info *info = NULL;
    atn_status st = ATN_OK;
    double *w = NULL;

    ATN_TAKE(z.data, t.rows * t.keys);
    ATN_TAKE(info, t.rows);
    ATN_TAKE(w, t.rows * h->nk);
    if (c->o.data) ATN_TRY(compare_outputs(cx, c, t.first, t.rows));
    ATN_TRY(weights_of(cx, c, t.first, t.rows, w));
    atn_rows_logits(h, &t, z, info);
    for (atn_idx r = 0; r < t.rows; r++)
        if (c->d->lse[t.first + r] > -INFINITY)
            weigh_row(c, t.first + r, w + r * h->nk,
                      atn_row(z, r) + (info[r].lo - t.key0), &info[r]);
    drop_blind(c, t.first, t.rows);
done:
    atn_arena_rewind(cx, mark);
    return st;
}

/* ---- from rows to numbers ---- */

/* Mean over the rows that count, each as many as it stands for. */
static double mean(const atn_dense *d, const double *x)
{
    double sum = 0, weight = 0;

    for (atn_idx i = 0; i < d->n; i++) {
        if (isnan(x[i])) continue;
        sum += atn_dense_weight(d, i) * x[i];
        weight += atn_dense_weight(d, i);
    }
    return weight > 0 ? sum / weight : NAN;
}

static double mean_root(const atn_dense *d, const double *x)
{
    double sum = 0, weight = 0;

    for (atn_idx i = 0; i < d->n; i++) {
        if (isnan(x[i])) continue;
        sum += atn_dense_weight(d, i) * sqrt(x[i]);
        weight += atn_dense_weight(d, i);
    }
    return weight > 0 ? sum / weight : NAN;
}

static double least(const atn_dense *d, const double *x)
{
    double least = NAN;

    for (atn_idx i = 0; i < d->n; i++) least = fmin(least, x[i]);
    return least;
}

/* sqrt of the ratio of two sums; of nothing it is 0 where there is no difference. */
static double ratio(double part, double whole)
{
    return part == 0 ? 0 : sqrt(part / whole);
}

static void set_errors(const comparing *c, double *value)
{
    const atn_dense *d = c->d;

    if (!c->o.data) return;
    value[ATN_APPROX_ERROR] = ratio(mean(d, c->row[ERROR]), mean(d, c->row[SIZE]));
    value[ATN_APPROX_ERROR_ABSOLUTE] = mean_root(d, c->row[ERROR]);
    if (d->half) {
        value[ATN_APPROX_ERROR_W_O] =
            ratio(mean(d, c->row[ERROR_W]), mean(d, c->row[SIZE_W]));
        value[ATN_APPROX_ERROR_W_O_ABSOLUTE] = mean_root(d, c->row[ERROR_W]);
    }
    value[ATN_APPROX_BOUND] = mean(d, c->row[BOUND]);
    value[ATN_APPROX_SLACK] = least(d, c->row[SLACK]);
}

/* What is said of the rows as they are, and of weights. */
static void set_matrix(const comparing *c, double *value)
{
    const atn_dense *d = c->d;
    const double size = mean(d, c->row[MATRIX_SIZE]);

    for (atn_idx i = 0; i < d->n; i++) {
        if (d->lse[i] == -INFINITY) continue;
        c->row[ENTROPY][i] = d->entropy[i];
        if (d->seen[i] > 1)
            c->row[ENTROPY_SHARE][i] = d->entropy[i] / log((double)d->seen[i]);
    }
    value[ATN_APPROX_ENTROPY] = mean(d, c->row[ENTROPY]);
    value[ATN_APPROX_ENTROPY_SHARE] = mean(d, c->row[ENTROPY_SHARE]);
    if (!isnan(size)) value[ATN_APPROX_MATRIX] = ratio(mean(d, c->row[MATRIX]), size);
}

/* Pooled keys that stand for all that a row sees, and weigh it otherwise than dense
 * attention does: to have a part in each key is no choice. */
static bool pools_all(const comparing *c, const double *value)
{
    return c->p->virtuals > 0 && value[ATN_APPROX_MASS] > 1 - ROUNDING &&
           value[ATN_APPROX_MATRIX] > ROUNDING;
}

/* What weights that choose no keys cannot have. */
static void clear_choice(const comparing *c, double *value)
{
    const bool negative = mean(c->d, c->row[NEGATIVE]) > 0;

    if (negative) value[ATN_APPROX_KL] = NAN;
    if (!negative && !c->p->op.kind && !pools_all(c, value)) return;
    value[ATN_APPROX_MASS] = value[ATN_APPROX_MASS_Q01] = NAN;
    value[ATN_APPROX_MASS_Q05] = value[ATN_APPROX_RECALL] = NAN;
}

static atn_status set_values(atn_ctx *cx, const comparing *c, double *value)
{
    const atn_arena_mark mark = atn_arena_save(cx);
    const atn_dense *d = c->d;
    atn_status st = ATN_OK;
    double *sorted = NULL;
    atn_idx n = 0;

    ATN_TAKE(sorted, d->n);
    for (atn_idx i = 0; i < d->n; i++)
        if (!isnan(c->row[MASS][i])) sorted[n++] = c->row[MASS][i];
    atn_sort(sorted, n);
    value[ATN_APPROX_MASS] = mean(d, c->row[MASS]);
    value[ATN_APPROX_MASS_Q01] = atn_quantile(sorted, n, .01);
    value[ATN_APPROX_MASS_Q05] = atn_quantile(sorted, n, .05);
    value[ATN_APPROX_KL] = mean(d, c->row[KL]);
    value[ATN_APPROX_RECALL] = mean(d, c->row[RECALL]);
    value[ATN_APPROX_ROW_SUM] = mean(d, c->row[SUM]);
    set_errors(c, value);
    set_matrix(c, value);
    clear_choice(c, value);
done:
    atn_arena_rewind(cx, mark);
    return st;
}

static atn_status take_rows(atn_ctx *cx, atn_idx n, double **row)
{
    atn_status st = ATN_OK;

    for (int k = 0; k < BY_ROW; k++) {
        ATN_TAKE(row[k], n);
        for (atn_idx i = 0; i < n; i++) row[k][i] = NAN;
    }
done:
    return st;
}

atn_status atn_approx_compare(atn_ctx *cx, const atn_head *h, const atn_dense *d,
                              const atn_plan *p, atn_mat o,
                              double value[ATN_APPROX_VALUES])
{
    const bool mask = atn_plan_is_mask(p);
    const atn_arena_mark mark = atn_arena_save(cx);
    comparing c = {.h = h, .d = d, .p = p, .o = atn_const(o), .step = CHUNK};
    atn_status st = ATN_OK;
    double *lse = NULL;

    if (d->n == 0) return ATN_OK;
    ATN_TRY(take_rows(cx, d->n, c.row));
    if (mask) {
        ATN_TAKE(lse, h->nq);
    }
    if (!mask || d->matrix) c.step = atn_tile_rows(&d->head);
    if (mask || o.data) ATN_TRY(atn_plan_apply(cx, h, p, o, lse, "approx"));
    c.lse = lse;
    ATN_TRY(atn_parallel(cx, (d->n + c.step - 1) / c.step,
                         mask ? mask_rows : other_rows, &c, "approx"));
    ATN_TRY(set_values(cx, &c, value));
done:
    atn_arena_rewind(cx, mark);
    return st;
}

double atn_approx_compare_bytes(int threads, const atn_head *h, atn_idx rows)
{
    const double dv = h->v.data ? (double)h->v.cols : 0;
    const double step = (double)atn_tile_rows(h);
    const double tile = step * (double)h->nk * (sizeof(float) + sizeof(double));

    return (double)rows * (BY_ROW + 1) * sizeof(double) +
           (double)h->nq * sizeof(double) +
           threads * (tile + 2 * CHUNK * dv * sizeof(float));
}

void atn_approx_costs(const atn_head *h, const atn_plan *p, const atn_cost *c,
                      double value[ATN_APPROX_VALUES])
{
    value[ATN_APPROX_FULL] = c->full;
    value[ATN_APPROX_CAUSAL] =
        h->sight.causal && c->visible > 0 ? c->kept / c->visible : NAN;
    value[ATN_APPROX_BLOCK_CAUSAL] = c->block_causal;
    value[ATN_APPROX_KV] = c->kv;
    value[ATN_APPROX_MEAN] = c->mean;
    value[ATN_APPROX_KEPT] = c->kept;
    value[ATN_APPROX_EXECUTED] = c->visible > 0 ? c->executed / c->visible : NAN;
    value[ATN_APPROX_TILES] = c->tiles;
    value[ATN_APPROX_FLOPS] = c->flops;
    value[ATN_APPROX_BYTES] = c->bytes;
    value[ATN_APPROX_INDEX_FLOPS] = c->index_flops;
    value[ATN_APPROX_INDEX_BYTES] = c->index_bytes;
    value[ATN_APPROX_NUMBERS] = h->nq > 0 ? c->numbers / (double)h->nq : NAN;
    if (p->op.kind) value[ATN_APPROX_VANISHED] = (double)p->op.vanished;
    value[ATN_APPROX_EMPTY_ROWS] = (double)c->empty_rows;
    value[ATN_APPROX_TIES] = (double)p->ties;
}
