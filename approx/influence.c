/* approx/influence.c -- how much every entry of P matters, see the header.
 *
 * One task is one block of rows for all pooled heads, so that they meet without keeping
 * more than the result.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "approx/influence.h"

#include <math.h>
#include <string.h>

#include "core/kernels/kernels.h"

enum { B = ATN_INFLUENCE_BLOCK };
static const double FLOOR = 1e-6;
static const float NEAR = 0.0625f;
static const double ROUNDING = 1e-6; /* of float32, relative to what is subtracted */

typedef struct job {
    const atn_head *heads;
    atn_idx n_heads, skip, layer_rows;
    const float *d_o;
    float *squares;     /* [nk] of the values */
    atn_idx *first_row; /* [out->rows + 1] where the rows of each block begin */
    atn_influence *out;
} job;

/* Of one tile; the entry above 1/2 of a row is taken out of p and kept here. */
typedef struct tile_state {
    float *p;                 /* [rows, keys], in the end the proxy */
    float *g;                 /* [rows, keys], in the end of the gradient; or NULL */
    float *ov;                /* [rows, keys] O_i . v_j */
    float *rest;              /* [rows, dv] sum of p v without the entry taken out */
    float *o, *d_o;           /* [rows, dv] */
    atn_row_info *info;       /* [rows] */
    atn_idx *top;             /* [rows] key taken out, -1 = none */
    double *top_p, *left;     /* [rows] its weight, 1 - weight */
    double *proxy, *gradient; /* [n_heads, blocks of keys] */
} tile_state;

/* ---- entries ---- */

/* Square root of x >= 0, relative error below 3e-7, in a form that becomes vector
 * code. */
static inline float root(float x)
{
    uint32_t bits;
    float y;

    memcpy(&bits, &x, sizeof bits);
    bits = 0x5f3759df - (bits >> 1);
    memcpy(&y, &bits, sizeof y);
    for (int i = 0; i < 3; i++) y *= 1.5f - 0.5f * x * y * y;
    return x * y;
}

/* p <- p / (1 - p) |o - v| from squares and products. Where o and v are so near that
 * too few digits are left, p becomes -p; returns how many. */
static ATN_CLONES atn_idx row_proxy(float *p, const float *ov, const float *vv,
                                    float oo, atn_idx n)
{
    atn_idx near = 0;

    for (atn_idx j = 0; j < n; j++) {
        const float both = oo + vv[j], far = both - 2.0f * ov[j], w = p[j];
        const float other = 1.0f - w, odds = w / (other > 1e-6f ? other : 1e-6f);
        const int close = far < NEAR * both;

        p[j] = close ? -w : odds * root(far);
        near += close;
    }
    return near;
}

/* g <- p / (1 - p) |mean - g|, where differences up to `none` are rounding */
static ATN_CLONES void row_gradient(float *g, const float *p, float mean, float none,
                                    atn_idx n)
{
    for (atn_idx j = 0; j < n; j++) {
        const float w = p[j], other = 1.0f - w, away = fabsf(mean - g[j]);

        g[j] = w / (other > 1e-6f ? other : 1e-6f) * (away > none ? away : 0.0f);
    }
}

static double length(const float *x, atn_idx n)
{
    return sqrt(atn_row_square(x, n));
}

/* |x - scale y|, 0 where that is rounding. */
static double distance(const float *x, const float *y, double scale, atn_idx n)
{
    double far = 0, both = 0;

    for (atn_idx e = 0; e < n; e++) {
        const double a = (double)x[e], b = scale * (double)y[e];
        far += (a - b) * (a - b);
        both += a * a + b * b;
    }
    return far > ROUNDING * ROUNDING * both ? sqrt(far) : 0;
}

/* ---- tiles ---- */

/* The gradients of the tile's rows, and of their entries. */
static void fill_gradient(const job *j, const atn_head *h, const atn_tile *t,
                          tile_state *s)
{
    const atn_idx dv = h->v.cols;
    const float *all = j->d_o + (h - j->heads) * j->layer_rows * dv;

    for (atn_idx r = 0; r < t->rows; r++) {
        const atn_idx i = t->first + r, row = h->sight.rows ? h->sight.rows[i] : i;
        memcpy(s->d_o + r * dv, all + row * dv, (size_t)dv * sizeof *all);
    }
    atn_gemm(true, 1, (atn_cmat){s->d_o, t->rows, dv, dv},
             (atn_cmat){atn_crow(h->v, t->key0), t->keys, dv, h->v.ld}, 0,
             (atn_mat){s->g, t->rows, t->keys, t->keys});
}

/* Takes the entry above 1/2 out of row r, if there is one. */
static void take_top(const atn_tile *t, atn_idx r, tile_state *s)
{
    const atn_row_info *info = &s->info[r];
    float *p = s->p + r * t->keys + (info->lo - t->key0);
    const atn_idx n = info->hi - info->lo;
    const float most = atn_row_max(p, n);
    atn_idx at = 0;

    s->top[r] = -1;
    if (!(most > 0.5f)) return;
    while (p[at] != most) at++;
    p[at] = 0;
    s->top[r] = info->lo + at;
    s->top_p[r] = (double)most;
    s->left[r] = atn_row_sum(p, n) + ATN_MAX(1 - info->mass, 0.0);
}

static atn_status fill_tile(atn_ctx *cx, const job *j, const atn_head *h,
                            const atn_tile *t, tile_state *s)
{
    const atn_idx dv = h->v.cols;
    const atn_cmat p = {s->p, t->rows, t->keys, t->keys};
    const atn_cmat v = {atn_crow(h->v, t->key0), t->keys, dv, h->v.ld};
    atn_status st = ATN_OK;

    ATN_TRY(
        atn_rows_fill(cx, h, t, (atn_mat){s->p, t->rows, t->keys, t->keys}, s->info));
    for (atn_idx r = 0; r < t->rows; r++) take_top(t, r, s);
    atn_gemm(false, 1, p, v, 0, (atn_mat){s->rest, t->rows, dv, dv});
    memcpy(s->o, s->rest, (size_t)(t->rows * dv) * sizeof *s->o);
    for (atn_idx r = 0; r < t->rows; r++) {
        const float *top = s->top[r] >= 0 ? atn_crow(h->v, s->top[r]) : NULL;

        for (atn_idx e = 0; top && e < dv; e++)
            s->o[r * dv + e] += (float)s->top_p[r] * top[e];
    }
    atn_gemm(true, 1, (atn_cmat){s->o, t->rows, dv, dv}, v, 0,
             (atn_mat){s->ov, t->rows, t->keys, t->keys});
    if (s->g) fill_gradient(j, h, t, s);
done:
    return st;
}

/* Row r of the tile from weights to influence, in place. */
static void one_row(const job *j, const atn_head *h, const atn_tile *t, atn_idx r,
                    tile_state *s)
{
    const atn_idx dv = h->v.cols, lo = s->info[r].lo, n = s->info[r].hi - lo;
    const atn_idx at = r * t->keys + lo - t->key0;
    const float *o = s->o + r * dv;
    float *p = s->p + at;

    if (s->g) {
        const float *d_o = s->d_o + r * dv;
        row_gradient(s->g + at, p, (float)atn_row_dot(o, d_o, dv),
                     (float)(ROUNDING * length(o, dv) * length(d_o, dv)), n);
    }
    if (row_proxy(p, s->ov + at, j->squares + lo, (float)atn_row_square(o, dv), n) == 0)
        return;
    for (atn_idx k = 0; k < n; k++)
        if (p[k] < 0)
            p[k] = (float)(-(double)p[k] / ATN_MAX(1 + (double)p[k], FLOOR) *
                           distance(o, atn_crow(h->v, lo + k), 1, dv));
}

/* Adds row x of n entries from key `first` on to the sums of blocks. */
static void add_row(const float *x, atn_idx first, atn_idx n, double *blocks)
{
    for (atn_idx k = first; k < first + n;) {
        const atn_idx end = ATN_MIN((k / B + 1) * B, first + n);

        blocks[k / B] += atn_row_sum(x + (k - first), end - k);
        k = end;
    }
}

/* What was taken out of row r. */
static void add_top(const job *j, const atn_head *h, atn_idx r, tile_state *s)
{
    const atn_idx dv = h->v.cols, key = s->top[r];
    const atn_idx at = (h - j->heads) * j->out->keys + key / B;
    const bool alone = s->info[r].hi - s->info[r].lo == 1;
    const double p = s->top_p[r], left = alone ? 1 : s->left[r];
    const double odds = alone ? p : p / ATN_MAX(left, FLOOR);
    const float *v = atn_crow(h->v, key), *rest = s->rest + r * dv;

    /* alone, rest is 0 */
    s->proxy[at] += odds * distance(rest, v, left, dv);
    if (s->g) {
        const float *d_o = s->d_o + r * dv;
        const double away =
            fabs(atn_row_dot(rest, d_o, dv) - left * atn_row_dot(v, d_o, dv));
        const double none = ROUNDING * left * length(v, dv) * length(d_o, dv);

        if (away > none) s->gradient[at] += odds * away;
    }
}

static void add_rows(const job *j, const atn_head *h, const atn_tile *t, tile_state *s)
{
    const atn_idx of = (h - j->heads) * j->out->keys;

    for (atn_idx r = 0; r < t->rows; r++) {
        const atn_idx lo = s->info[r].lo, n = s->info[r].hi - lo;
        const atn_idx at = r * t->keys + lo - t->key0;

        if (t->first + r < j->skip || n == 0) continue;
        one_row(j, h, t, r, s);
        add_row(s->p + at, lo, n, s->proxy + of);
        if (s->g) add_row(s->g + at, lo, n, s->gradient + of);
        if (s->top[r] >= 0) add_top(j, h, r, s);
    }
}

static atn_status one_tile(atn_ctx *cx, const job *j, const atn_head *h,
                           const atn_tile *t, tile_state *s)
{
    atn_status st = ATN_OK;

    if (t->keys == 0) return ATN_OK;
    ATN_TRY(atn_stopped(cx, "influence"));
    ATN_TRY(fill_tile(cx, j, h, t, s));
    add_rows(j, h, t, s);
done:
    return st;
}

/* ---- blocks of rows ---- */

static atn_status take_tile(atn_ctx *cx, const job *j, tile_state *s)
{
    const atn_head *h = &j->heads[0];
    const atn_idx rows = atn_tile_rows(h), dv = h->v.cols;
    atn_status st = ATN_OK;

    ATN_TAKE(s->p, rows * h->nk);
    ATN_TAKE(s->rest, rows * dv);
    ATN_TAKE(s->o, rows * dv);
    ATN_TAKE(s->ov, rows * h->nk);
    ATN_TAKE(s->info, rows);
    ATN_TAKE(s->top, rows);
    ATN_TAKE(s->top_p, rows);
    ATN_TAKE(s->left, rows);
    ATN_TAKE(s->proxy, j->n_heads * j->out->keys);
    memset(s->proxy, 0, (size_t)(j->n_heads * j->out->keys) * sizeof *s->proxy);
    if (!j->d_o) goto done;
    ATN_TAKE(s->g, rows * h->nk);
    ATN_TAKE(s->d_o, rows * dv);
    ATN_TAKE(s->gradient, j->n_heads * j->out->keys);
    memset(s->gradient, 0, (size_t)(j->n_heads * j->out->keys) * sizeof *s->gradient);
done:
    return st;
}

static double tile_bytes(const job *j)
{
    const atn_head *h = &j->heads[0];
    const double rows = (double)atn_tile_rows(h), dv = (double)h->v.cols;
    const double sides = j->d_o ? 2 : 1;

    return rows *
               (4 * (1 + sides) * (double)h->nk + 12 * dv + sizeof(atn_row_info) + 24) +
           8 * sides * (double)(j->n_heads * j->out->keys);
}

static void pool(const job *j, const double *heads, double *out)
{
    for (atn_idx h = 0; h < j->n_heads; h++)
        for (atn_idx k = 0; k < j->out->keys; k++)
            out[k] = ATN_MAX(out[k], heads[h * j->out->keys + k]);
}

static atn_status one_row_block(atn_ctx *cx, atn_idx a, void *state)
{
    const job *j = state;
    const atn_idx rows = atn_tile_rows(&j->heads[0]);
    const atn_arena_mark mark = atn_arena_save(cx);
    atn_status st = ATN_OK;
    tile_state s = {0};

    ATN_TRY(take_tile(cx, j, &s));
    for (atn_idx h = 0; h < j->n_heads; h++)
        for (atn_idx i = j->first_row[a]; i < j->first_row[a + 1]; i += rows) {
            const atn_tile t =
                atn_tile_of(&j->heads[h], i, ATN_MIN(rows, j->first_row[a + 1] - i));
            ATN_TRY(one_tile(cx, j, &j->heads[h], &t, &s));
        }
    pool(j, s.proxy, j->out->proxy + a * j->out->keys);
    if (j->d_o) pool(j, s.gradient, j->out->gradient + a * j->out->keys);
done:
    atn_arena_rewind(cx, mark);
    return st;
}

/* Block of the position of query i. */
static atn_idx block_of(const atn_head *h, atn_idx i)
{
    return ATN_MAX(atn_sight_at(&h->sight, i), 0) / B;
}

atn_status atn_influence_run(atn_ctx *cx, const atn_head *heads, atn_idx n_heads,
                             const float *d_o, atn_idx layer_rows, atn_idx skip_rows,
                             atn_influence *out)
{
    const atn_head *h = &heads[0];
    const atn_arena_mark mark = atn_arena_save(cx);
    atn_status st = ATN_OK;
    job j = {.heads = heads,
             .n_heads = n_heads,
             .skip = skip_rows,
             .layer_rows = layer_rows,
             .d_o = d_o,
             .out = out};

    *out = (atn_influence){.rows = block_of(h, h->nq - 1) + 1,
                           .keys = (h->nk + B - 1) / B};
    ATN_TRY(atn_mem_check(cx,
                          8 * (double)out->rows * (double)out->keys * (d_o ? 2 : 1) +
                              tile_bytes(&j) * cx->threads + 4 * (double)h->nk,
                          "influence"));
    ATN_NEW(out->proxy, out->rows * out->keys);
    if (d_o) ATN_NEW(out->gradient, out->rows * out->keys);
    ATN_TAKE(j.squares, h->nk);
    for (atn_idx k = 0; k < h->nk; k++)
        j.squares[k] = (float)atn_row_square(atn_crow(h->v, k), h->v.cols);
    ATN_TAKE(j.first_row, out->rows + 1);
    for (atn_idx a = 0, i = 0; a <= out->rows; a++) {
        while (i < h->nq && block_of(h, i) < a) i++;
        j.first_row[a] = i;
    }
    ATN_TRY(atn_parallel(cx, out->rows, one_row_block, &j, "influence"));
done:
    atn_arena_rewind(cx, mark);
    return st;
}

double atn_influence_bytes(const atn_ctx *cx, const atn_head *h, atn_idx n_heads)
{
    atn_influence x = {.rows = block_of(h, h->nq - 1) + 1, .keys = (h->nk + B - 1) / B};
    const job j = {.heads = h, .n_heads = n_heads, .out = &x};
    const double rows = (double)x.rows, keys = (double)x.keys;

    /* the proxy, a row of it again, and squares of values */
    return sizeof(double) * (rows * keys + rows + keys) + 4 * (double)h->nk +
           sizeof(atn_idx) * (rows + 1) +
           ATN_MIN(cx->threads, rows) * (tile_bytes(&j) + 1024);
}

void atn_influence_release(atn_ctx *cx, atn_influence *x)
{
    atn_free(cx, x->proxy);
    atn_free(cx, x->gradient);
    *x = (atn_influence){0};
}
