/* tests/analysis/test_importance.c -- shares of contributions, and gates from gradients. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "kind_capture.h"

extern const atn_measure atn_measure_importance;
static const atn_measure *const M = &atn_measure_importance;

static double value(const double *out, atn_idx row, const char *name)
{
    char full[64];

    snprintf(full, sizeof full, "importance_%s", name);
    return kind_value(M, out, row, full);
}

/* |C_h|, |sum <dO, O>| and the tokens of one layer, by loops in double. */
typedef struct expected {
    double length[KIND_HEADS], gate[KIND_HEADS], tokens;
} expected;

static expected expect(const kind_layer *l, atn_idx skip)
{
    expected x = {.tokens = 0};

    for (int h = 0; h < KIND_HEADS; h++) {
        double square = 0, gate = 0;

        for (atn_idx i = skip; i < l->p.nq; i++) {
            double logit[KIND_N], p[KIND_N], o[KIND_DV] = {0};
            bool sees[KIND_N];

            x.tokens += kind_row(&l->head[h], i, logit, p, sees) > 0 && h == 0;
            for (int e = 0; e < KIND_DV; e++) {
                for (atn_idx j = 0; j < l->p.nk; j++)
                    o[e] += p[j] * (double)atn_crow(l->head[h].v, j)[e];
                gate += o[e] * l->d_o[(h * l->p.nq + i) * KIND_DV + e];
            }
            for (int w = 0; w < KIND_WIDTH; w++) {
                double c = 0;
                for (int e = 0; e < KIND_DV; e++)
                    c += o[e] * l->w_o[(h * KIND_DV + e) * KIND_WIDTH + w];
                square += c * c;
            }
        }
        x.length[h] = sqrt(square);
        x.gate[h] = fabs(gate);
    }
    return x;
}

/* Two layers of every kind; the second one's heads 1 and 4 alone are asked for. */
static void against_dense(atn_ctx *cx)
{
    for (int kind = 0; kind < KINDS; kind++) {
        kind_layer *l[2] = {make_kind(kind, 10 + (uint64_t)kind),
                            make_kind(kind, 90 + (uint64_t)kind)};
        const atn_idx skip = kind == KIND_ONE ? 0 : 2;
        static const int heads[2][KIND_HEADS] = {{0, 1, 2, 3, 4, 5}, {1, 4}};
        const int n[2] = {KIND_HEADS, 2};
        double least = INFINITY, most = 0, *out;
        expected x[2];
        atn_capture *c;
        int row = 0;

        if (kind == KIND_SAMPLED) { /* a capture has all rows */
            free(l[0]);
            free(l[1]);
            continue;
        }
        c = kind_capture(cx, "importance", l, 2, WITH_W_O | WITH_D_O, NULL, NULL, NULL);
        out =
            run_model_measure(cx, M, c, "0.0,0.1,0.2,0.3,0.4,0.5,1.1,1.4", skip, NULL);
        for (int at = 0; at < 2; at++) {
            double sum = 0, square = 0;

            x[at] = expect(l[at], skip);
            for (int h = 0; h < KIND_HEADS; h++) {
                sum += x[at].length[h];
                square += x[at].gate[h] * x[at].gate[h];
            }
            for (int h = 0; h < KIND_HEADS; h++) {
                x[at].length[h] /= sum;
                x[at].gate[h] /= sqrt(square);
            }
            for (int i = 0; i < n[at]; i++) {
                least = fmin(least, x[at].gate[heads[at][i]]);
                most = fmax(most, x[at].gate[heads[at][i]]);
            }
            for (int i = 0; i < n[at]; i++, row++) {
                const int h = heads[at][i];
                CHECK_NEAR(value(out, row, "share"), x[at].length[h], 1e-5);
                CHECK_NEAR(value(out, row, "gate_layer"), x[at].gate[h], 2e-5);
                CHECK_NEAR(value(out, row, "gate"), x[at].gate[h] * sqrt(square),
                           2e-5 * sqrt(square));
                CHECK_NEAR(value(out, row, "gate_per_token"),
                           x[at].gate[h] * sqrt(square) / x[at].tokens,
                           2e-5 * sqrt(square) / x[at].tokens);
            }
        }
        for (row = 0; row < 8; row++)
            CHECK_NEAR(value(out, row, "gate_scaled"),
                       (x[row / 6].gate[heads[row / 6][row % 6]] - least) /
                           (most - least),
                       1e-4);
        free(out);
        atn_capture_close(cx, c);
        free(l[0]);
        free(l[1]);
    }
}

/* A loss sum <A, O> has the gradient A, so that a gate of 0 in place of 1 changes it by the
 * gate's gradient exactly; a head whose W_O is 0 has no share; O by 4 and W_O (and the gradient
 * by O) by 1/4 change nothing. */
static void oracles_of_the_card(atn_ctx *cx)
{
    kind_layer *l = make_kind(KIND_CAUSAL, 3);
    const size_t v = KIND_N * KIND_DV, w = KIND_DV * KIND_WIDTH;
    const atn_layer_facts f = kind_facts(l, 0);
    double loss[KIND_HEADS] = {0}, *a, *b;
    atn_capture *c;

    for (size_t i = 0; i < KIND_HEADS * v; i++)
        loss[i / v] += (double)f.out[i] * (double)l->d_o[i];
    memset(l->w_o + 5 * w, 0, w * sizeof *l->w_o);
    c = kind_capture(cx, "importance-card", &l, 1, WITH_W_O | WITH_D_O, NULL, NULL,
                     NULL);
    a = run_model_measure(cx, M, c, NULL, 0, NULL);
    atn_capture_close(cx, c);
    for (int h = 0; h < KIND_HEADS; h++)
        CHECK_NEAR(value(a, h, "gate"), fabs(loss[h]), 1e-5);
    CHECK_NEAR(value(a, 5, "share"), 0, 0);
    for (size_t i = 0; i < v; i++) {
        l->v[2 * v + i] *= 4;
        l->d_o[2 * v + i] /= 4;
    }
    for (size_t i = 0; i < w; i++) l->w_o[2 * w + i] /= 4;
    c = kind_capture(cx, "importance-card", &l, 1, WITH_W_O | WITH_D_O, NULL, NULL,
                     NULL);
    b = run_model_measure(cx, M, c, NULL, 0, NULL);
    for (int i = 0; i < KIND_HEADS * atn_measure_n_cols(M); i++)
        CHECK_NEAR(a[i], b[i], 1e-6);
    atn_capture_close(cx, c);
    free(a);
    free(b);
    free(l);
}

/* Without d_o there are shares, without W_O gates, without values nothing. */
static void what_is_missing(atn_ctx *cx)
{
    kind_layer *l = make_kind(KIND_SINK, 4);
    static const unsigned with[] = {WITH_W_O, WITH_D_O,
                                    WITH_W_O | WITH_D_O | WITHOUT_V};

    cx->log_level = ATN_LOG_ERROR;
    for (int i = 0; i < 3; i++) {
        atn_capture *c =
            kind_capture(cx, "importance-gaps", &l, 1, with[i], NULL, NULL, NULL);
        double *out = run_model_measure(cx, M, c, NULL, 0, NULL);

        CHECK_EQ(isnan(value(out, 1, "share")), i != 0);
        CHECK_EQ(isnan(value(out, 1, "gate")), i != 1);
        CHECK_EQ(isnan(value(out, 1, "gate_scaled")), i != 1);
        free(out);
        atn_capture_close(cx, c);
    }
    free(l);
}

CHECK_MAIN({"against dense", against_dense},
           {"oracles of the card", oracles_of_the_card},
           {"what is missing", what_is_missing})
