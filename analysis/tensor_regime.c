/* analysis/tensor_regime.c -- the fast regime of captured heads, see the header. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "analysis/tensor_regime.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "analysis/keys.h"
#include "approx/tensor.h"
#include "core/plan.h"
#include "core/rows.h"
#include "theory/polynomial.h"

enum { MATRIX, CENTRED, TENSOR, CASES };
enum { EPS = 4 };
static const char *const cases[CASES] = {"matrix", "centred", "tensor"};
static const double eps[EPS] = {1e-1, 1e-2, 1e-3, 1e-4};

/* What is known of one head. */
typedef struct head_facts {
    int layer; /* of the selection */
    atn_idx head, nq, nk, d, dv;
    double x[CASES];
    bool exact; /* x of tensors is no bound */
    bool causal, softcap, bias;
    atn_idx offset;
    int taylor[CASES][EPS], best[CASES][EPS];
} head_facts;

typedef struct columns {
    int only; /* this e alone, 0 = all */
    atn_keys keys;
    int queries, n_keys, d, dv, x[CASES], kind;
    int taylor[CASES][EPS], best[CASES][EPS], features[CASES][EPS];
    int even[CASES][EPS], fast[CASES][EPS];
} columns;

/* ---- how large logits are ---- */

typedef struct extremes {
    const atn_head *h;
    atn_idx rows;
    double *most, *range; /* [tiles] */
} extremes;

static atn_status tile_extremes(atn_ctx *cx, atn_idx i, void *state)
{
    const extremes *e = state;
    const atn_tile t = atn_tile_of(e->h, i * e->rows, e->rows);
    const atn_arena_mark mark = atn_arena_save(cx);
    atn_mat s = {NULL, t.rows, t.keys, t.keys};
    atn_row_info *info = NULL;
    atn_status st = ATN_OK;

    e->most[i] = e->range[i] = 0;
    if (t.keys < 1) return ATN_OK;
    ATN_TAKE(s.data, t.rows * t.keys);
    ATN_TAKE(info, t.rows);
    atn_rows_logits(e->h, &t, s, info);
    for (atn_idx r = 0; r < t.rows; r++) {
        const float *x = atn_row(s, r);
        double lo = INFINITY, hi = -INFINITY;

        for (atn_idx c = info[r].lo; c < info[r].hi; c++) {
            lo = fmin(lo, (double)x[c - t.key0]);
            hi = fmax(hi, (double)x[c - t.key0]);
        }
        if (info[r].hi <= info[r].lo) continue;
        e->most[i] = fmax(e->most[i], fmax(fabs(lo), fabs(hi)));
        e->range[i] = fmax(e->range[i], (hi - lo) / 2);
    }
done:
    atn_arena_rewind(cx, mark);
    return st;
}

static atn_status matrix_x(atn_ctx *cx, const atn_head *h, head_facts *f)
{
    const atn_arena_mark mark = atn_arena_save(cx);
    extremes e = {.h = h, .rows = atn_tile_rows(h)};
    const atn_idx tiles = (h->nq + e.rows - 1) / e.rows;
    atn_status st = ATN_OK;

    ATN_TAKE(e.most, tiles);
    ATN_TAKE(e.range, tiles);
    ATN_TRY(atn_parallel(cx, tiles, tile_extremes, &e, "logits"));
    for (atn_idx i = 0; i < tiles; i++) {
        f->x[MATRIX] = fmax(f->x[MATRIX], e.most[i]);
        f->x[CENTRED] = fmax(f->x[CENTRED], e.range[i]);
    }
done:
    atn_arena_rewind(cx, mark);
    return st;
}

/* out [rows, cols] <- a view */
static atn_status contiguous(atn_ctx *cx, atn_cmat x, const float **out)
{
    float *copy = NULL;
    atn_status st = ATN_OK;

    *out = x.data;
    if (x.ld == x.cols) return ATN_OK;
    ATN_TAKE(copy, x.rows * x.cols);
    for (atn_idx i = 0; i < x.rows; i++)
        memcpy(copy + i * x.cols, atn_crow(x, i), (size_t)x.cols * sizeof *copy);
    *out = copy;
done:
    return st;
}

static atn_status tensor_x(atn_ctx *cx, const atn_head *h, head_facts *f)
{
    const atn_arena_mark mark = atn_arena_save(cx);
    atn_tensor t = {.keys = 2,
                    .nq = h->nq,
                    .nk = h->nk,
                    .d = h->q.cols,
                    .causal = h->sight.causal,
                    .offset = h->sight.offset,
                    .scale = 1 / (double)h->q.cols};
    const float *k = NULL;
    atn_status st = ATN_OK;

    ATN_TRY(contiguous(cx, h->q, &t.q.narrow));
    ATN_TRY(contiguous(cx, h->k, &k));
    t.k[0].narrow = t.k[1].narrow = k;
    f->exact = ATN_MAX(h->nq, h->nk) <= ATN_REGIME_EXACT;
    if (f->exact)
        ATN_TRY(atn_tensor_largest(cx, &t, &f->x[TENSOR]));
    else
        f->x[TENSOR] = atn_tensor_bound(&t);
done:
    atn_arena_rewind(cx, mark);
    return st;
}

static atn_status one_head(atn_ctx *cx, const atn_head *whole, head_facts *f)
{
    atn_idx first = 0;
    atn_head h = atn_head_trim(whole, &first);
    atn_status st = ATN_OK;

    f->softcap = h.sight.softcap > 0;
    f->bias = atn_head_has_bias(&h);
    f->nq = h.nq;
    f->nk = h.nk;
    f->d = h.q.cols;
    f->dv = h.v.data ? h.v.cols : h.q.cols;
    f->causal = h.sight.causal;
    f->offset = h.sight.offset;
    if (h.nq < 1 || h.nk < 1 || f->softcap || f->bias) goto done;
    ATN_TRY(matrix_x(cx, &h, f));
    ATN_TRY(tensor_x(cx, &h, f));
done:
    return st;
}

/* ---- degrees and what they cost ---- */

static atn_status degrees(atn_ctx *cx, atn_idx i, void *state)
{
    head_facts *f = (head_facts *)state + i / CASES;
    const int c = (int)(i % CASES);

    (void)cx;
    for (int e = 0; e < EPS; e++)
        f->taylor[c][e] = atn_taylor_degree(f->x[c], eps[e], true);
    atn_best_degrees(f->x[c], eps, EPS, f->best[c]);
    return ATN_OK;
}

static double features_of(const head_facts *f, int c, int degree)
{
    if (degree < 0) return INFINITY;
    return atn_polynomial_features((double)f->d + (c == CENTRED), degree);
}

static double break_even(const head_facts *f, int c, double features)
{
    const atn_tensor t = {.keys = c == TENSOR ? 2 : 1,
                          .nq = f->nq,
                          .nk = f->nk,
                          .d = f->d,
                          .dv = f->dv,
                          .causal = f->causal,
                          .offset = f->causal ? f->offset : 0};

    return atn_tensor_break_even(&t, features);
}

/* ---- the table ---- */

static atn_status add_col(atn_ctx *cx, atn_table *t, const char *form, int c, int e,
                          atn_col_type type, int *out)
{
    char name[64];
    const size_t n = strlen(form);
    const bool tokens = n > 7 && strcmp(form + n - 7, "_tokens") == 0;

    snprintf(name, sizeof name, form, cases[c], e + 1);
    return atn_table_add_col(cx, t, name, type, tokens ? "tokens" : "", NULL, out);
}

static atn_status add_case(atn_ctx *cx, atn_table *t, int c, columns *k)
{
    atn_status st = ATN_OK;

    for (int e = 0; e < EPS; e++) {
        if (k->only && k->only != e + 1) continue;
        ATN_TRY(add_col(cx, t, "degree_taylor_%s_e%d", c, e, ATN_COL_I64,
                        &k->taylor[c][e]));
        ATN_TRY(
            add_col(cx, t, "degree_best_%s_e%d", c, e, ATN_COL_I64, &k->best[c][e]));
        ATN_TRY(
            add_col(cx, t, "features_%s_e%d", c, e, ATN_COL_F64, &k->features[c][e]));
        ATN_TRY(add_col(cx, t, "break_even_%s_e%d_tokens", c, e, ATN_COL_F64,
                        &k->even[c][e]));
        ATN_TRY(add_col(cx, t, "fast_%s_e%d", c, e, ATN_COL_BOOL, &k->fast[c][e]));
    }
done:
    return st;
}

static atn_status begin(atn_ctx *cx, const atn_capture *c, const atn_selection *sel,
                        atn_table **out, columns *k)
{
    atn_table *t;
    atn_status st = ATN_OK;

    ATN_TRY(atn_table_create(cx, "tensor_regime", out));
    t = *out;
    ATN_TRY(atn_keys_add(cx, sel, ATN_KEYS_HEAD, t, &k->keys));
    ATN_TRY(atn_table_add_col(cx, t, "queries", ATN_COL_I64, "", NULL, &k->queries));
    ATN_TRY(atn_table_add_col(cx, t, "keys", ATN_COL_I64, "", NULL, &k->n_keys));
    ATN_TRY(atn_table_add_col(cx, t, "d", ATN_COL_I64, "", "of a query", &k->d));
    ATN_TRY(atn_table_add_col(cx, t, "d_v", ATN_COL_I64, "", "of a value", &k->dv));
    for (int i = 0; i < CASES; i++)
        ATN_TRY(add_col(cx, t, "x_max_%s", i, 0, ATN_COL_F64, &k->x[i]));
    ATN_TRY(atn_table_add_col(cx, t, "x_max_tensor_kind", ATN_COL_STR, "",
                              "exact, or a bound that no logit is above", &k->kind));
    for (int i = 0; i < CASES; i++) ATN_TRY(add_case(cx, t, i, k));
    ATN_TRY(atn_table_set_meta(cx, t, "title", "Where polynomial attention is fast"));
    ATN_TRY(atn_part_subtitle(cx, c, sel, t));
done:
    return st;
}

static void put_case(atn_table *t, const columns *k, const head_facts *f, int c)
{
    for (int e = 0; e < EPS; e++) {
        const double features = features_of(f, c, f->taylor[c][e]);
        const double even = break_even(f, c, features);

        if (k->only && k->only != e + 1) continue;
        if (f->taylor[c][e] >= 0)
            atn_table_set_i64(t, k->taylor[c][e], f->taylor[c][e]);
        if (f->best[c][e] >= 0) atn_table_set_i64(t, k->best[c][e], f->best[c][e]);
        if (isfinite(features)) {
            atn_table_set_f64(t, k->features[c][e], features);
            atn_table_set_f64(t, k->even[c][e], even);
        }
        atn_table_set_bool(t, k->fast[c][e], even <= (double)f->nk);
    }
}

static atn_status put_row(atn_ctx *cx, atn_table *t, const columns *k,
                          const atn_layer_info *l, const head_facts *f)
{
    atn_status st = ATN_OK;

    ATN_TRY(atn_table_add_row(cx, t));
    ATN_TRY(atn_keys_set(cx, t, &k->keys, l, f->head));
    atn_table_set_i64(t, k->queries, f->nq);
    atn_table_set_i64(t, k->n_keys, f->nk);
    atn_table_set_i64(t, k->d, f->d);
    atn_table_set_i64(t, k->dv, f->dv);
    if (f->softcap || f->bias) goto done;
    for (int c = 0; c < CASES; c++) atn_table_set_f64(t, k->x[c], f->x[c]);
    ATN_TRY(atn_table_set_str(cx, t, k->kind, f->exact ? "exact" : "bound"));
    for (int c = 0; c < CASES; c++) put_case(t, k, f, c);
done:
    return st;
}

/* One line of what no polynomial stands for. */
static void warn_of_left_out(atn_ctx *cx, const head_facts *all, atn_idx n)
{
    long long out = 0, softcap = 0, bias = 0;

    for (atn_idx i = 0; i < n; i++) {
        softcap += all[i].softcap;
        bias += all[i].bias;
        out += all[i].softcap || all[i].bias;
    }
    if (out == 0) return;
    atn_log(cx, ATN_LOG_WARN,
            "%lld of %lld heads have %s, which polynomial features do not know: their "
            "cells are empty",
            out, (long long)n,
            bias && softcap ? "a position bias or a soft-cap"
            : bias          ? "a position bias"
                            : "a soft-cap");
}

/* ---- all of it ---- */

static atn_status one_layer(atn_ctx *cx, const atn_capture *c, const atn_selection *sel,
                            int i, head_facts *all, atn_idx *n)
{
    const atn_layer_info *l = atn_capture_layer(c, sel->at[i]);
    atn_problem p = {0};
    atn_status st = ATN_OK;

    if (!l->has_qk)
        ATN_FAIL(ATN_DATA,
                 "%s holds attention matrices alone; the regime is one of queries "
                 "and keys (capture or import these)",
                 atn_layer_name(l).text);
    ATN_TRY(atn_capture_load(cx, c, sel->at[i], &p));
    for (atn_idx h = 0; h < p.heads; h++) {
        const atn_head head = atn_problem_head(&p, h);

        if (!sel->heads[i * sel->max_heads + h]) continue;
        all[*n] = (head_facts){.layer = i, .head = h};
        ATN_TRY(one_head(cx, &head, &all[(*n)++]));
        ATN_TRY(atn_progress(cx, "logits of heads", (double)*n, (double)sel->n_heads));
    }
done:
    atn_capture_unload(cx, &p);
    return st;
}

atn_status atn_tensor_regime(atn_ctx *cx, const atn_capture *c,
                             const atn_selection *sel, int only, atn_table **out)
{
    head_facts *all = NULL;
    columns k = {.only = only};
    atn_idx n = 0;
    atn_status st = ATN_OK;

    ATN_NEW(all, sel->n_heads);
    ATN_TRY(begin(cx, c, sel, out, &k));
    for (int i = 0; i < sel->n; i++) ATN_TRY(one_layer(cx, c, sel, i, all, &n));
    warn_of_left_out(cx, all, n);
    ATN_TRY(atn_parallel(cx, n * CASES, degrees, all, "degrees of polynomials"));
    for (atn_idx i = 0; i < n; i++)
        ATN_TRY(put_row(cx, *out, &k, atn_capture_layer(c, sel->at[all[i].layer]),
                        &all[i]));
done:
    atn_free(cx, all);
    return st;
}
