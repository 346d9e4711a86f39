/* tests/analysis/test_convolution.c -- a short convolution in place of a head. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "layer_model.h"

#include "analysis/layer_facts.h"

enum { COLS = 3 };
static const atn_idx widths[] = {1, 2, 4};

/* p = (1 + .5 + .5)/3, (.5 + .3)/2, .2; row 1 becomes (.375, .625), row 2 at w = 1 (1.25, 1.625), at
 * w = 2 (1.210526, 1.368421), against (.5, .5) and (1.2, 1.3); |P V|^2 = 4.63. */
static void golden(atn_ctx *cx)
{
    const float p3[] = {1, 0, 0, .5f, .5f, 0, .2f, .3f, .5f}, v[] = {1, 0, 0, 1, 2, 2};
    const bool keep[] = {true};
    const atn_problem p = {.heads = 1,
                           .kv_heads = 1,
                           .nq = 3,
                           .nk = 3,
                           .dv = 2,
                           .p = p3,
                           .v = v,
                           .sight = {.causal = true, .key_last = 3}};
    const atn_head h = atn_problem_head(&p, 0);
    float out32[6] = {0};
    const atn_layer_facts f = {
        .problem = &p, .head = &h, .heads = 1, .keep = keep, .out = out32};
    double out[COLS];

    CHECK_OK(atn_outputs(cx, &h, 1, out32));
    layer_measure(cx, &f, "convolution", "", out);
    CHECK_NEAR(out[0], .173501, 1e-6);
    CHECK_NEAR(out[1], .088230, 1e-6);
    CHECK_NEAR(out[2], .088230, 1e-6);
}

/* ---- a twin by definition ---- */

/* Key at distance delta of row i, or -1 when the row does not see it. */
static atn_idx key_at(const layer_model *m, atn_idx i, atn_idx delta)
{
    const atn_idx j = layer_at(m, i) - delta;

    return j >= 0 && j < m->problem.nk && layer_sees(m, i, j) ? j : -1;
}

static double dense_tap(const layer_model *m, atn_idx h, atn_idx delta)
{
    double sum = 0, rows = 0;

    for (atn_idx i = 0; i < m->n; i++) {
        const atn_idx j = key_at(m, i, delta);

        if (!layer_counts(m, i) || j < 0) continue;
        sum += m->p[(h * m->n + i) * m->problem.nk + j];
        rows++;
    }
    return rows > 0 ? sum / rows : 0;
}

static double dense_error(const layer_model *m, atn_idx h, atn_idx w)
{
    const atn_problem *p = &m->problem;
    const atn_idx kv = h / (p->heads / p->kv_heads);
    double part = 0, whole = 0;

    for (atn_idx i = 0; i < m->n; i++) {
        double total = 0;

        if (!layer_counts(m, i)) continue;
        for (atn_idx d = -w; d <= w; d++)
            if (key_at(m, i, d) >= 0) total += dense_tap(m, h, d);
        for (atn_idx c = 0; c < p->dv; c++) {
            const double own = m->out[(h * m->n + i) * p->dv + c];
            double x = 0;

            for (atn_idx d = -w; d <= w; d++)
                if (key_at(m, i, d) >= 0 && total > 0)
                    x += dense_tap(m, h, d) / total *
                         (double)m->v[(kv * p->nk + key_at(m, i, d)) * p->dv + c];
            part += (x - own) * (x - own);
            whole += own * own;
        }
    }
    return sqrt(part / whole);
}

static void dense_twin(atn_ctx *cx)
{
    for (int kind = 0; kind < LAYER_KINDS; kind++) {
        layer_model m = layer_make(cx, kind);
        const atn_layer_facts *f = layer_facts(&m);
        double out[LAYER_HEADS * COLS];

        print_message("%s\n", layer_kind_name(kind));
        m.facts.skip_rows = kind == 0 || kind == 10 ? 3 : 0;
        m.keep[0] = kind != 1;
        layer_measure(cx, f, "convolution", "", out);
        for (atn_idx h = 0; h < LAYER_HEADS; h++)
            for (int w = 0; w < COLS; w++) {
                if (!m.keep[h])
                    CHECK(isnan(out[h * COLS + w]));
                else
                    CHECK_NEAR(out[h * COLS + w], dense_error(&m, h, widths[w]), 4e-6);
            }
        layer_drop(&m);
    }
}

/* A head that reads fixed weights around its position is one, wherever it can see them all. */
static void a_filter_is_a_convolution(atn_ctx *cx)
{
    layer_model m = layer_make(cx, 8);
    const atn_layer_facts *f = layer_facts(&m);
    const atn_idx n = m.n, each = m.problem.dv;
    double out[LAYER_HEADS * COLS];

    memset(m.given, 0, (size_t)(LAYER_HEADS * n * n) * sizeof *m.given);
    memset(m.out32, 0, (size_t)(LAYER_HEADS * n * each) * sizeof *m.out32);
    for (atn_idx h = 0; h < LAYER_HEADS; h++)
        for (atn_idx i = 0; i < n; i++)
            for (atn_idx d = 0; d <= (i < h ? i : h); d++)
                m.given[(h * n + i) * n + i - d] = 1 / (float)(1 + (i < h ? i : h));
    CHECK_OK(atn_outputs(cx, f->head, LAYER_HEADS, m.out32));
    m.facts.skip_rows = 4;
    layer_measure(cx, f, "convolution", "", out);
    /* head h is the mean of h + 1 keys: reach 1 does for h = 0, 1, reach 2 for 2, 4 for 3 */
    for (int h = 0; h < LAYER_HEADS; h++)
        for (int w = 0; w < COLS; w++)
            if (widths[w] >= h)
                CHECK_NEAR(out[h * COLS + w], 0, 1e-6);
            else
                CHECK_LE(.05, out[h * COLS + w]);
    layer_drop(&m);
}

/* Cross-attention: rows beyond the last key have no key within reach and convolve to 0. */
static void rows_out_of_reach(atn_ctx *cx)
{
    layer_model m = layer_make(cx, 3);
    const atn_layer_facts *f = layer_facts(&m);
    double out[LAYER_HEADS * COLS];

    m.facts.skip_rows = m.problem.nk + 4;
    layer_measure(cx, f, "convolution", "", out);
    for (int i = 0; i < LAYER_HEADS * COLS; i++) CHECK_NEAR(out[i], 1, 1e-12);
    memset(m.out32, 0, (size_t)(LAYER_HEADS * m.n * m.problem.dv) * sizeof *m.out32);
    layer_measure(cx, f, "convolution", "", out);
    for (int i = 0; i < LAYER_HEADS * COLS; i++) CHECK(isnan(out[i]));
    layer_drop(&m);
}

CHECK_MAIN({"golden", golden}, {"dense twin", dense_twin},
           {"a filter is a convolution", a_filter_is_a_convolution},
           {"rows out of reach", rows_out_of_reach})
