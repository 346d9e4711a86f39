/* tests/analysis/test_layer_ranges.c -- layer measures keep to the ranges that they state. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "layer_model.h"

static const char *const ids[] = {"convolution", "redundancy",       "sink_value",
                                  "ssa",         "token_redundancy", "uniform"};

static double bound(const char *text, double nk)
{
    return strncmp(text, "nk", 2) == 0 ? nk : strtod(text, NULL);
}

static void check_range(const atn_measure_col *c, double x, double nk)
{
    double lo = -INFINITY, hi = INFINITY;

    if (isnan(x) || strcmp(c->range, "any") == 0) return;
    if (strncmp(c->range, ">= ", 3) == 0)
        lo = strtod(c->range + 3, NULL);
    else {
        CHECK(*c->range == '[');
        lo = bound(c->range + 1, nk);
        hi = bound(strchr(c->range, ',') + 2, nk);
    }
    if (!(x >= lo && x <= hi))
        fail_msg("%s = %.17g is outside of %s", c->name, x, c->range);
}

/* Values, weights and logits of many scales, and of none. */
static void documented_ranges(atn_ctx *cx)
{
    static const float scales[] = {1, 0, 30, 1e-6f};

    for (int kind = 0; kind < LAYER_KINDS; kind++)
        for (int trial = 0; trial < 4; trial++) {
            layer_model m = layer_make(cx, kind);
            const atn_problem *p = &m.problem;
            const atn_layer_facts *f = layer_facts(&m);
            double out[LAYER_HEADS * 32];

            for (atn_idx i = 0; i < p->heads * p->nq * p->d; i++)
                m.q[i] *= scales[trial];
            for (atn_idx i = 0; i < p->kv_heads * p->nk * p->dv; i++)
                m.v[i] *= scales[(trial + 1) % 4];
            layer_dense(&m);
            for (atn_idx i = 0; m.picked && i < p->heads * m.n * p->d; i++)
                m.picked[i] *= scales[trial];
            for (size_t id = 0; id < sizeof ids / sizeof *ids; id++) {
                const atn_measure *measure = atn_measure_find(ids[id]);
                const int n = atn_measure_n_cols(measure);

                layer_measure(cx, f, ids[id], "", out);
                for (int c = 0; c < LAYER_HEADS * n; c++)
                    check_range(&measure->cols[c % n], out[c], (double)p->nk);
            }
            layer_drop(&m);
        }
}

CHECK_MAIN({"documented ranges", documented_ranges})
