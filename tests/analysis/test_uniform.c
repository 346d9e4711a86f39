/* tests/analysis/test_uniform.c -- uniform and uniformity. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "layer_model.h"
#include "measure_value.h"

#include "analysis/layer_facts.h"

enum { ERROR, RESIDUAL, FLAG, RESIDUAL_FLAG, COLS };

static const float golden_rows[] = {1, 0, 0, .5f, .5f, 0, .2f, .3f, .5f};

/* Card A11: the last row gives (1.2, 1.3), uniform (1, 1); |(.2, .3)|^2 = .13 over
 * |(1, 0)|^2 + |(.5, .5)|^2 + |(1.2, 1.3)|^2 = 4.63: sqrt(.13 / 4.63) = .167564. */
static void golden(atn_ctx *cx)
{
    const float v[] = {1, 0, 0, 1, 2, 2}, w_o[] = {3, 0, 0, 0, 0, 3};
    const bool keep[] = {true};
    const atn_problem p = {.heads = 1, .kv_heads = 1, .nq = 3, .nk = 3, .dv = 2};
    const atn_head h = {.p = {golden_rows, 3, 3, 3},
                        .v = {v, 3, 2, 2},
                        .nq = 3,
                        .nk = 3,
                        .sight = {.causal = true, .key_last = 3}};
    float out32[6];
    atn_layer_facts f = {
        .problem = &p, .head = &h, .heads = 1, .keep = keep, .out = out32};
    double out[COLS];

    CHECK_OK(atn_outputs(cx, &h, 1, memset(out32, 0, sizeof out32)));
    layer_measure(cx, &f, "uniform", "", out);
    CHECK_NEAR(out[ERROR], .167564, 1e-6);
    CHECK(isnan(out[RESIDUAL]) && isnan(out[RESIDUAL_FLAG]));
    CHECK_NEAR(out[FLAG], 0, 0);
    layer_measure(cx, &f, "uniform", "tau=0.2", out);
    CHECK_NEAR(out[FLAG], 1, 0);
    f.w_o = w_o; /* three times the identity: the one head is the layer */
    f.width = 3;
    layer_measure(cx, &f, "uniform", "tau=0.2", out);
    CHECK_NEAR(out[RESIDUAL], .167564, 1e-6);
    CHECK_NEAR(out[RESIDUAL_FLAG], 1, 0);
    /* the last row alone: sqrt(.13 / 3.13) */
    f.skip_rows = 2;
    layer_measure(cx, &f, "uniform", "", out);
    CHECK_NEAR(out[ERROR], sqrt(.13 / 3.13), 1e-6);
}

/* (U - P) V of one row by definition. */
static void dense_difference(const layer_model *m, atn_idx h, atn_idx i, double *diff)
{
    const atn_problem *p = &m->problem;
    const atn_idx kv = h / (p->heads / p->kv_heads);
    double seen = 0;

    for (atn_idx j = 0; j < p->nk; j++) seen += layer_sees(m, i, j);
    for (atn_idx c = 0; c < p->dv; c++) {
        diff[c] = 0;
        for (atn_idx j = 0; j < p->nk; j++)
            if (layer_sees(m, i, j))
                diff[c] += (1 / seen - m->p[(h * m->n + i) * p->nk + j]) *
                           (double)m->v[(kv * p->nk + j) * p->dv + c];
    }
}

static void dense_errors(const layer_model *m, atn_idx h, double *error,
                         double *residual)
{
    const atn_problem *p = &m->problem;
    double part = 0, whole = 0, wide = 0, all = 0;

    for (atn_idx i = 0; i < m->n; i++) {
        double diff[16];

        if (!layer_counts(m, i)) continue;
        dense_difference(m, h, i, diff);
        for (atn_idx c = 0; c < p->dv; c++) {
            part += diff[c] * diff[c];
            whole +=
                m->out[(h * m->n + i) * p->dv + c] * m->out[(h * m->n + i) * p->dv + c];
        }
        for (atn_idx e = 0; e < m->facts.width; e++) {
            double x = 0, y = 0;

            for (atn_idx c = 0; c < p->dv; c++)
                x += diff[c] * (double)m->w_o[(h * p->dv + c) * m->facts.width + e];
            for (atn_idx g = 0; g < p->heads; g++) y += layer_contribution(m, g, i, e);
            wide += x * x;
            all += y * y;
        }
    }
    *error = whole > 0 ? sqrt(part / whole) : NAN;
    *residual = all > 0 ? sqrt(wide / all) : NAN;
}

static void dense_twin(atn_ctx *cx)
{
    for (int kind = 0; kind < LAYER_KINDS; kind++) {
        layer_model m = layer_make(cx, kind);
        const atn_layer_facts *f = layer_facts(&m);
        double out[LAYER_HEADS * COLS], error, residual;

        print_message("%s\n", layer_kind_name(kind));
        m.facts.skip_rows = kind == 0 || kind == 10 ? 3 : 0;
        m.keep[2] = false;
        layer_measure(cx, f, "uniform", "tau=0.5", out);
        for (atn_idx h = 0; h < LAYER_HEADS; h++) {
            const double *o = out + h * COLS;

            dense_errors(&m, h, &error, &residual);
            if (h == 2) {
                CHECK(isnan(o[ERROR]) && isnan(o[RESIDUAL]) && isnan(o[FLAG]));
                continue;
            }
            CHECK_NEAR(o[ERROR], error, 2e-6 * (1 + error));
            CHECK_EQ(o[FLAG], error < .5);
            CHECK(isnan(residual) == isnan(o[RESIDUAL]));
            if (!isnan(residual))
                CHECK_NEAR(o[RESIDUAL], residual, 2e-6 * (1 + residual));
        }
        layer_drop(&m);
    }
}

/* Equal logits: every form is 0, whatever the mask. Values of zero: no relative error. */
static void uniform_attention_costs_nothing(atn_ctx *cx)
{
    for (int kind = 0; kind < 8; kind++) {
        layer_model m = layer_make(cx, kind);
        const atn_layer_facts *f = layer_facts(&m);
        double out[LAYER_HEADS * COLS];

        if (m.sink || m.slope || m.rel) { /* they are not uniform */
            layer_drop(&m);
            continue;
        }
        memset(m.q, 0, (size_t)(LAYER_HEADS * m.n * m.problem.d) * sizeof *m.q);
        layer_dense(&m);
        layer_measure(cx, f, "uniform", "", out);
        for (int h = 0; h < LAYER_HEADS; h++) {
            CHECK_NEAR(out[h * COLS + ERROR], 0, 1e-6);
            CHECK_NEAR(out[h * COLS + RESIDUAL], 0, 1e-6);
            CHECK_NEAR(out[h * COLS + FLAG], 1, 0);
        }
        memset(m.out32, 0,
               (size_t)(LAYER_HEADS * m.n * m.problem.dv) * sizeof *m.out32);
        layer_measure(cx, f, "uniform", "", out);
        CHECK(isnan(out[ERROR]) && isnan(out[RESIDUAL]) && isnan(out[FLAG]));
        layer_drop(&m);
    }
}

static double kl(atn_ctx *cx, const atn_head *h, atn_idx skip)
{
    return column_of(cx, h, NULL, skip, "uniformity",
                     atn_measure_find("uniformity")->cols[0].name);
}

/* Card A11: 0, 0, .2 ln .2 + .3 ln .3 + .5 ln .5 + ln 3 = .068959. */
static void divergence_golden(atn_ctx *cx)
{
    const atn_head h = {.p = {golden_rows, 3, 3, 3},
                        .nq = 3,
                        .nk = 3,
                        .sight = {.causal = true, .key_last = 3}};

    CHECK_NEAR(kl(cx, &h, 0), .068959 / 3, 1e-6);
    CHECK_NEAR(kl(cx, &h, 2), .068959, 1e-6);
}

static void divergence_twin(atn_ctx *cx)
{
    for (int kind = 0; kind < LAYER_KINDS; kind++) {
        layer_model m = layer_make(cx, kind);
        const atn_layer_facts *f = layer_facts(&m);

        for (atn_idx h = 0; h < LAYER_HEADS; h++) {
            double want = 0, rows = 0;

            for (atn_idx i = 0; i < m.n; i++) {
                const double *p = m.p + (h * m.n + i) * m.problem.nk;
                double seen = 0, mass = 0;

                if (!layer_counts(&m, i)) continue;
                for (atn_idx j = 0; j < m.problem.nk; j++) {
                    seen += layer_sees(&m, i, j);
                    mass += p[j];
                }
                for (atn_idx j = 0; j < m.problem.nk; j++)
                    if (p[j] > 0) want += p[j] / mass * log(p[j] / mass * seen);
                rows++;
            }
            CHECK_NEAR(kl(cx, &f->head[h], 0), want / rows, 2e-6);
        }
        layer_drop(&m);
    }
}

static void threads_do_not_matter(atn_ctx *cx)
{
    layer_model m = layer_make(cx, 1);
    const atn_layer_facts *f = layer_facts(&m);
    double one[LAYER_HEADS * COLS], four[LAYER_HEADS * COLS];

    cx->threads = 1;
    layer_measure(cx, f, "uniform", "", one);
    cx->threads = 4;
    layer_measure(cx, f, "uniform", "", four);
    CHECK(memcmp(one, four, sizeof one) == 0);
    layer_drop(&m);
}

CHECK_MAIN({"golden", golden}, {"dense twin", dense_twin},
           {"uniform attention costs nothing", uniform_attention_costs_nothing},
           {"divergence: golden", divergence_golden},
           {"divergence: dense twin", divergence_twin},
           {"threads do not matter", threads_do_not_matter})
