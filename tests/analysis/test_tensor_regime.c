/* tests/analysis/test_tensor_regime.c -- largest logits against loops over all pairs
 * and triples, degrees by the theory's own numbers, masks of every kind. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "check.h"
#include "kind_capture.h"

#include "analysis/tensor_regime.h"
#include "theory/polynomial.h"

static const int kinds[] = {KIND_CAUSAL, KIND_GQA,    KIND_WINDOW, KIND_PADDED,
                            KIND_SINK,   KIND_ALIBI,  KIND_FULL,   KIND_CROSS,
                            KIND_DECODE, KIND_PEAKED, KIND_ONE};
enum { LAYERS = ATN_LEN(kinds) };

static double dot3(const float *q, const float *a, const float *b, atn_idx d)
{
    double sum = 0;

    for (atn_idx l = 0; l < d; l++)
        sum += (double)q[l] * (double)a[l] * (b ? (double)b[l] : 1);
    return sum;
}

/* x[3]: of pairs, half the range of a row, of triples. */
static void twin(const atn_head *h, double x[3])
{
    const atn_idx d = h->q.cols;

    x[0] = x[1] = x[2] = 0;
    for (atn_idx i = 0; i < h->nq; i++) {
        double least = INFINITY, most = -INFINITY;
        atn_idx lo, hi, end = h->sight.key_last;

        atn_sight_row(&h->sight, i, &lo, &hi);
        if (lo == hi) continue;
        for (atn_idx j = lo; j < hi; j++) {
            const double z =
                h->scale * dot3(atn_crow(h->q, i), atn_crow(h->k, j), NULL, d);

            least = fmin(least, z);
            most = fmax(most, z);
        }
        x[0] = fmax(x[0], fmax(fabs(least), fabs(most)));
        x[1] = fmax(x[1], (most - least) / 2);
        if (h->sight.causal) end = ATN_MIN(end, h->sight.offset + i + 1);
        for (atn_idx j = h->sight.key_first; j < end; j++)
            for (atn_idx k = h->sight.key_first; k < end; k++)
                x[2] = fmax(x[2], fabs(dot3(atn_crow(h->q, i), atn_crow(h->k, j),
                                            atn_crow(h->k, k), d)) /
                                      (double)d);
    }
}

static double cell(const atn_table *t, atn_idx r, const char *name)
{
    const int col = atn_table_find_col(t, name);

    if (col < 0) fail_msg("no column %s", name);
    return atn_table_get_f64(t, r, col);
}

static void make(atn_ctx *cx, kind_layer **l, atn_capture **c, atn_selection *sel)
{
    for (int k = 0; k < LAYERS; k++) l[k] = make_kind(kinds[k], 3 + (uint64_t)k);
    *c = kind_capture(cx, "tensor_regime", l, LAYERS, 0, NULL, NULL, NULL);
    CHECK_OK(atn_select(cx, *c, &(atn_select_args){0}, sel));
}

static void drop(atn_ctx *cx, kind_layer **l, atn_capture *c, atn_selection *sel)
{
    for (int k = 0; k < LAYERS; k++) free(l[k]);
    atn_selection_release(cx, sel);
    atn_capture_close(cx, c);
}

/* Flop of the exact way less those of features, at n tokens. */
static double gain(const atn_head *h, int keys, double features, double n)
{
    const double width = KIND_D + KIND_DV;
    double tuples = n * pow(n, keys);

    if (h->sight.causal)
        tuples = keys == 1 ? n * (n + 1) / 2 : n * (n + 1) * (2 * n + 1) / 6;
    return 2 * tuples * width - 2 * (keys + 1) * n * features * KIND_DV -
           keys * features * KIND_DV - 4 * n * features;
}

/* The degrees and counts of one case in row r. */
static void check_case(const atn_table *t, atn_idx r, const char *name, double x,
                       const atn_head *h)
{
    const int more = strcmp(name, "centred") == 0;
    const int keys = strcmp(name, "tensor") == 0 ? 2 : 1;

    for (int e = 1; e <= 4; e++) {
        const double eps = pow(10, -e);
        const int g = atn_taylor_degree(x, eps, true);
        const double features = atn_polynomial_features(KIND_D + more, g);
        double even;
        char col[64];

        snprintf(col, sizeof col, "degree_taylor_%s_e%d", name, e);
        CHECK_NEAR(cell(t, r, col), g, 0);
        CHECK(g % 2 == 0 && atn_taylor_error(g, x) <= eps);
        CHECK(g == 0 || !(atn_taylor_error(g - 2, x) <= eps));
        snprintf(col, sizeof col, "degree_best_%s_e%d", name, e);
        CHECK_NEAR(cell(t, r, col), atn_best_degree(x, eps), 0);
        snprintf(col, sizeof col, "features_%s_e%d", name, e);
        CHECK_NEAR(cell(t, r, col), features, 1e-9 * features);
        snprintf(col, sizeof col, "break_even_%s_e%d_tokens", name, e);
        even = cell(t, r, col);
        if (h->nq == h->nk && h->sight.key_first == 0 && even < 1e9) {
            CHECK(gain(h, keys, features, even) > 0);
            CHECK(gain(h, keys, features, even - 1) <= 0);
        }
        snprintf(col, sizeof col, "fast_%s_e%d", name, e);
        CHECK_NEAR(cell(t, r, col), even <= cell(t, r, "keys"), 0);
    }
}

/* All but what the head is. */
static void check_empty(const atn_table *t, atn_idx r)
{
    for (int k = atn_table_find_col(t, "d_v") + 1; k < atn_table_cols(t); k++)
        CHECK(!atn_table_has(t, r, k));
}

static void every_kind(atn_ctx *cx)
{
    static const char *const cases[] = {"matrix", "centred", "tensor"};
    kind_layer *l[LAYERS];
    atn_capture *c;
    atn_selection sel;
    atn_table *t = NULL;

    make(cx, l, &c, &sel);
    CHECK_OK(atn_tensor_regime(cx, c, &sel, 0, &t));
    CHECK_EQ(atn_table_rows(t), sel.n_heads);
    for (atn_idx r = 0, at = 0; at < LAYERS; at++)
        for (atn_idx h = 0; h < l[at]->p.heads; h++, r++) {
            const atn_head head = atn_problem_head(&l[at]->p, h);
            double x[3];

            CHECK_NEAR(cell(t, r, "layer"), at, 0);
            CHECK_NEAR(cell(t, r, "head"), h, 0);
            if (kinds[at] == KIND_ALIBI) {
                check_empty(t, r);
                continue;
            }
            twin(&head, x);
            for (int k = 0; k < 3; k++) {
                char col[32];
                double got;

                snprintf(col, sizeof col, "x_max_%s", cases[k]);
                got = cell(t, r, col);
                CHECK_NEAR(got, x[k], 1e-5 * (1 + x[k]));
                check_case(t, r, cases[k], got, &head);
            }
        }
    atn_table_destroy(cx, t);
    drop(cx, l, c, &sel);
}

/* With one e there are its columns alone, with the same values; 1 and 4 threads. */
static void one_error_alone(atn_ctx *cx)
{
    kind_layer *l[LAYERS];
    atn_capture *c;
    atn_selection sel;
    atn_table *all = NULL, *one = NULL;

    make(cx, l, &c, &sel);
    cx->threads = 1;
    CHECK_OK(atn_tensor_regime(cx, c, &sel, 0, &all));
    cx->threads = 4;
    CHECK_OK(atn_tensor_regime(cx, c, &sel, 3, &one));
    CHECK(atn_table_find_col(one, "features_tensor_e2") < 0);
    for (int k = 0; k < atn_table_cols(one); k++) {
        const char *name = atn_table_col_name(one, k);

        for (atn_idx r = 0;
             atn_table_col_type(one, k) != ATN_COL_STR && r < atn_table_rows(one); r++)
            CHECK(!atn_table_has(one, r, k) ||
                  atn_table_get_f64(one, r, k) == cell(all, r, name));
    }
    atn_table_destroy(cx, all);
    atn_table_destroy(cx, one);
    drop(cx, l, c, &sel);
}

static void weights_alone(atn_ctx *cx)
{
    kind_layer *l = make_kind(KIND_WEIGHTS, 1);
    atn_capture *c = kind_capture(cx, "tensor_weights", &l, 1, 0, NULL, NULL, NULL);
    atn_selection sel;
    atn_table *t = NULL;

    CHECK_OK(atn_select(cx, c, &(atn_select_args){0}, &sel));
    CHECK_FAILS(atn_tensor_regime(cx, c, &sel, 0, &t), ATN_DATA,
                "holds attention matrices alone");
    atn_table_destroy(cx, t);
    atn_selection_release(cx, &sel);
    atn_capture_close(cx, c);
    free(l);
}

CHECK_MAIN({"every kind", every_kind}, {"one error alone", one_error_alone},
           {"weights alone", weights_alone})
