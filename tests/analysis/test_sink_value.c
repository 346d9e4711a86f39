/* tests/analysis/test_sink_value.c -- values of sinks. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "layer_model.h"

#include "analysis/layer_facts.h"

enum { FIRST, TOP = 2, BEST = 4, COLS = 6 };

static atn_layer_facts of_one(const atn_problem *p, const atn_head *h, const float *out)
{
    static const bool keep[] = {true};
    static const float w_o[] = {1, 0, 0, 1};
    const atn_layer_facts f = {.problem = p,
                               .head = h,
                               .heads = 1,
                               .keep = keep,
                               .out = out,
                               .w_o = w_o,
                               .width = 2};

    return f;
}

/* Rows (1), (.5, .5), values (1,0), (0,3): outputs (1,0), (.5,1.5) of lengths 1 and sqrt 2.5. Then
 * three rows that make key 1 the top (sums 1.3, 1.5, .2; a = .433, .75, .2; floor(3/2) = 1). */
static void golden(atn_ctx *cx)
{
    const float two[] = {1, 0, .5f, .5f}, v[] = {1, 0, 0, 3, 4, 3};
    const float three[] = {1, 0, 0, .2f, .8f, 0, .1f, .7f, .2f};
    atn_problem p = {
        .heads = 1, .kv_heads = 1, .nq = 2, .nk = 2, .dv = 2, .p = two, .v = v};
    float out32[6] = {0};
    atn_layer_facts f;
    atn_head h;
    double out[COLS], lengths;

    p.sight = (atn_sight){.causal = true, .key_last = 2};
    h = atn_problem_head(&p, 0);
    f = of_one(&p, &h, out32);
    CHECK_OK(atn_outputs(cx, &h, 1, out32));
    layer_measure(cx, &f, "sink_value", "", out);
    CHECK_NEAR(out[FIRST], .5, 1e-7);
    CHECK_NEAR(out[FIRST + 1], .75 * 2 / (1 + sqrt(2.5)), 1e-6);
    CHECK_NEAR(out[TOP + 1], out[FIRST + 1], 0);

    p.nq = p.nk = p.sight.key_last = 3;
    p.p = three;
    h = atn_problem_head(&p, 0);
    memset(out32, 0, sizeof out32);
    CHECK_OK(atn_outputs(cx, &h, 1, out32));
    layer_measure(cx, &f, "sink_value", "", out);
    /* outputs (1,0), (.2,2.4), (.9,2.7); mean value norm (1 + 3 + 5) / 3 */
    lengths = 1 + sqrt(.04 + 5.76) + sqrt(.81 + 7.29);
    CHECK_NEAR(out[FIRST], 1. / 3, 1e-7);
    CHECK_NEAR(out[TOP], 1, 1e-7);
    CHECK_NEAR(out[BEST], 1, 1e-7);
    CHECK_NEAR(out[FIRST + 1], 1.3 * 1 / lengths, 1e-6);
    CHECK_NEAR(out[TOP + 1], 1.5 * 3 / lengths, 1e-6);
    CHECK_NEAR(out[BEST + 1], 1.5 * 3 / lengths, 1e-6);
}

/* ---- a twin by definition ---- */

static double column(const layer_model *m, atn_idx h, atn_idx k, double *at_or_after)
{
    double sum = 0;

    *at_or_after = 0;
    for (atn_idx i = 0; i < m->n; i++) {
        if (!layer_counts(m, i)) continue;
        sum += m->p[(h * m->n + i) * m->problem.nk + k];
        *at_or_after += !m->problem.sight.causal || layer_at(m, i) >= k;
    }
    return sum;
}

static double value_norm(const layer_model *m, atn_idx h, atn_idx k, bool projected)
{
    const atn_problem *p = &m->problem;
    const float *v = m->v + (h / (p->heads / p->kv_heads) * p->nk + k) * p->dv;
    double square = 0;

    for (atn_idx e = 0; e < (projected ? m->facts.width : p->dv); e++) {
        double x = projected ? 0 : (double)v[e];

        for (atn_idx c = 0; projected && c < p->dv; c++)
            x += (double)v[c] * (double)m->w_o[(h * p->dv + c) * m->facts.width + e];
        square += x * x;
    }
    return sqrt(square);
}

static void check_key(const layer_model *m, atn_idx h, atn_idx k, const double *o)
{
    const atn_problem *p = &m->problem;
    const atn_idx a = p->sight.key_first, b = p->sight.key_last;
    double mean = 0, lengths = 0, rows;

    for (atn_idx j = a; j < b; j++)
        mean += value_norm(m, h, j, false) / (double)(b - a);
    CHECK_NEAR(o[0], value_norm(m, h, k, false) / mean, 2e-6);
    if (m->facts.width == 0) {
        CHECK(isnan(o[1]));
        return;
    }
    for (atn_idx i = 0; i < m->n; i++) {
        double square = 0;

        for (atn_idx c = 0; layer_counts(m, i) && c < m->facts.width; c++)
            square += layer_contribution(m, h, i, c) * layer_contribution(m, h, i, c);
        lengths += sqrt(square);
    }
    CHECK_NEAR(o[1], column(m, h, k, &rows) * value_norm(m, h, k, true) / lengths,
               4e-6);
}

static void dense_twin(atn_ctx *cx)
{
    for (int kind = 0; kind < LAYER_KINDS; kind++) {
        layer_model m = layer_make(cx, kind);
        const atn_layer_facts *f = layer_facts(&m);
        const atn_sight *sight = &m.problem.sight;
        double out[LAYER_HEADS * COLS];

        print_message("%s\n", layer_kind_name(kind));
        m.facts.skip_rows = kind == 0 || kind == 10 ? 3 : 0;
        m.keep[3] = false;
        layer_measure(cx, f, "sink_value", "", out);
        for (atn_idx h = 0; h < LAYER_HEADS; h++) {
            const double *o = out + h * COLS;
            atn_idx top = sight->key_first, best = sight->key_first;
            double most = -1, highest = -1, rows, sum;

            if (h == 3) {
                CHECK(isnan(o[FIRST]) && isnan(o[TOP]) && isnan(o[BEST + 1]));
                continue;
            }
            check_key(&m, h, sight->key_first, o + FIRST);
            if (kind == 10) {
                CHECK(isnan(o[TOP]) && isnan(o[BEST]));
                continue;
            }
            for (atn_idx k = sight->key_first; k < sight->key_last; k++) {
                sum = column(&m, h, k, &rows);
                if (sum > most) {
                    most = sum;
                    top = k;
                }
                if (rows == 0 ||
                    k > sight->key_first + (sight->key_last - sight->key_first) / 2 ||
                    sum / rows <= highest)
                    continue;
                highest = sum / rows;
                best = k;
            }
            check_key(&m, h, top, o + TOP);
            check_key(&m, h, best, o + BEST);
        }
        layer_drop(&m);
    }
}

/* The scale of the values does not matter, nor that of W_O; values of zero have no ratio. */
static void scales_do_not_matter(atn_ctx *cx)
{
    layer_model m = layer_make(cx, 0);
    const atn_layer_facts *f = layer_facts(&m);
    const atn_problem *p = &m.problem;
    double a[LAYER_HEADS * COLS], b[LAYER_HEADS * COLS];

    layer_measure(cx, f, "sink_value", "", a);
    for (atn_idx i = 0; i < p->heads * p->nk * p->dv; i++) m.v[i] *= 4;
    for (atn_idx i = 0; i < p->heads * m.n * p->dv; i++) m.out32[i] *= 4;
    for (atn_idx i = 0; i < p->heads * p->dv * m.facts.width; i++) m.w_o[i] *= .5f;
    layer_measure(cx, f, "sink_value", "", b);
    for (int i = 0; i < LAYER_HEADS * COLS; i++) CHECK_NEAR(a[i], b[i], 1e-12);
    memset(m.v, 0, (size_t)(p->heads * p->nk * p->dv) * sizeof *m.v);
    memset(m.out32, 0, (size_t)(p->heads * m.n * p->dv) * sizeof *m.out32);
    layer_measure(cx, f, "sink_value", "", b);
    for (int i = 0; i < LAYER_HEADS * COLS; i++) CHECK(isnan(b[i]));
    layer_drop(&m);
}

CHECK_MAIN({"golden", golden}, {"dense twin", dense_twin},
           {"scales do not matter", scales_do_not_matter})
