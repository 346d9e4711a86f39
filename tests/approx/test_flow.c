/* Flow-Attention: golden rows, flows by double loops, what is conserved. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "tests/approx/g8.h"
#include "tests/approx/operator_twin.h"

typedef struct rule {
    double clamp, eps;
} rule;

/* Who sees what: source j the queries, sink i the keys. A source looks as a query at
 * its place would. */
static bool seen(const atn_head *h, atn_idx x, atn_idx other)
{
    if (h->sight.causal && other > x) return false;
    return !h->sight.window || llabs(x - other) < h->sight.window + !h->sight.causal;
}

static double sigmoid(double x)
{
    return 1 / (1 + exp(-x));
}

/* (a + eps) . (sum of b over those seen, each times part, + eps) */
static double flow(const atn_head *h, const rule *r, atn_idx x, atn_cmat of,
                   atn_cmat over, const double *part)
{
    double all = 0;

    for (atn_idx c = 0; c < of.cols; c++) {
        double sum = 0;

        for (atn_idx o = 0; o < over.rows; o++)
            if (seen(h, x, o)) sum += part[o] * sigmoid((double)atn_crow(over, o)[c]);
        all += (sigmoid((double)atn_crow(of, x)[c]) + r->eps) * (sum + r->eps);
    }
    return all;
}

static void by_flows(const zoo *z, atn_idx head, const void *p, double *w)
{
    const atn_head *h = &z->head[head];
    const bool local = h->sight.causal || (h->sight.window && h->sight.window < h->nk);
    const rule *r = p;
    double in[64], out[64], one[64], t[64], part[64], again_in[64], again_out[64];

    for (int i = 0; i < 64; i++) {
        one[i] = 1;
        t[i] = 0;
        for (int o = 0; o < h->nk; o++) t[i] += seen(h, i, o);
    }
    for (atn_idx i = 0; i < h->nq; i++) in[i] = flow(h, r, i, h->q, h->k, one);
    for (atn_idx j = 0; j < h->nk; j++) out[j] = flow(h, r, j, h->k, h->q, one);
    for (atn_idx j = 0; j < h->nk; j++) part[j] = (local ? t[j] : 1) / out[j];
    for (atn_idx i = 0; i < h->nq; i++)
        again_in[i] = flow(h, r, i, h->q, h->k, part) / (local ? t[i] : 1);
    for (atn_idx i = 0; i < h->nq; i++) part[i] = (local ? t[i] : 1) / in[i];
    for (atn_idx j = 0; j < h->nk; j++) {
        again_out[j] = flow(h, r, j, h->k, h->q, part) / (local ? t[j] : 1);
        again_out[j] = fmin(fmax(again_out[j], -r->clamp), r->clamp);
    }
    for (atn_idx j = 0; j < h->nk; j++) {
        double sum = 0, n = 0;

        for (atn_idx l = 0; l < h->nk; l++)
            if (!local || seen(h, j, l)) {
                sum += exp(again_out[l]);
                n++;
            }
        part[j] = n * exp(again_out[j]) / sum;
    }
    for (atn_idx i = 0; i < h->nq; i++) {
        const double share = local ? 1 : (double)h->nq / (double)h->nk;

        for (atn_idx j = 0; j < h->nk; j++) {
            double dot = 0;

            for (atn_idx c = 0; c < h->q.cols; c++)
                dot += sigmoid((double)atn_crow(h->q, i)[c]) *
                       sigmoid((double)atn_crow(h->k, j)[c]);
            if (!local || seen(h, i, j))
                w[i * h->nk + j] = sigmoid(share * again_in[i]) * dot / in[i] * part[j];
        }
    }
}

static void golden(atn_ctx *cx)
{
    static const struct {
        const char *name, *spec;
        bool causal;
        rule r;
    } of[] = {{"flow clamp 1", "flow", false, {1, 1e-6}},
              {"flow no clamp", "flow:clamp=none", false, {INFINITY, 1e-6}},
              {"flow clamp 1 causal", "flow", true, {1, 1e-6}},
              {"flow clamp 10 causal", "flow:clamp=10", true, {10, 1e-6}}};

    for (size_t k = 0; k < ATN_LEN(of); k++) {
        double o[G8_N * G8_D], w[G8_N * G8_N], twin[G8_N * G8_N] = {0};
        zoo z;

        g8_zoo(&z, of[k].causal);
        by_flows(&z, 0, &of[k].r, twin);
        for (int i = 0; i < G8_N; i++)
            for (int c = 0; c < G8_D; c++) {
                o[i * G8_D + c] = 0;
                for (int j = 0; j < G8_N; j++)
                    o[i * G8_D + c] += twin[i * G8_N + j] * (double)z.v[j * G8_D + c];
            }
        g8_check(of[k].name, o, 1e-6); /* of floats */
        g8_run(cx, &z, of[k].spec, o, w);
        g8_check(of[k].name, o, 2e-5);
        g8_same(&z, w, o, 1e-6);
        zoo_free(&z);
    }
}

static void twin(atn_ctx *cx)
{
    static const char *const clamps[] = {"1", "10", "none"};
    static const double most[] = {1, 10, INFINITY}, eps[] = {1e-6, 0, .01};

    for (int trial = 0; trial < 2 * CASES; trial++) {
        const rule r = {most[trial % 3], eps[trial / 3 % 3]};
        const bool causal = trial % 2;
        char spec[64];
        zoo z;

        case_layer(&z, trial / 2);
        zoo_causal(&z, causal);
        for (int h = 0; h < z.in.heads; h++) {
            if (z.head[0].nq != z.head[0].nk) z.head[h].sight.window = 0;
            if (!causal) z.head[h].sight.offset = 0;
        }
        snprintf(spec, sizeof spec, "flow:clamp=%s,eps=%g", clamps[trial % 3],
                 eps[trial / 3 % 3]);
        if (!causal || z.head[0].nq == z.head[0].nk)
            twin_layer(cx, &z, spec, by_flows, &r, 1e-9);
        zoo_free(&z);
    }
}

/* Constant keys and queries: sigmoid(1) mean(v); the mask's keys alone, causal. */
static void constant(atn_ctx *cx)
{
    double w[144];
    atn_plan p[1];
    zoo z;

    for (int causal = 0; causal < 2; causal++) {
        zoo_random(&z, 1, 1, 12, 12, 3);
        zoo_causal(&z, causal);
        for (int e = 0; e < 96; e++) z.q[e] = z.k[e] = (float)(e % 8) / 4;
        zoo_plan(cx, &z, "flow:eps=0,clamp=none", 0, p);
        CHECK_OK(atn_plan_rows(cx, &z.head[0], p, 0, 12, w));
        for (int i = 0; i < 12; i++)
            for (int j = 0; j < 12; j++)
                CHECK_NEAR(w[i * 12 + j],
                           causal && j > i ? 0
                                           : .731058578630005 / (causal ? i + 1 : 12),
                           1e-12);
        zoo_release(cx, p, 1);
        zoo_free(&z);
    }
}

/* The twin on the heads of G8: sum I^ is 8 without eps, 8.000018 with one of 1e-6. */
static void conserved(atn_ctx *cx)
{
    static const double eps[] = {0, 1e-6}, want[] = {8, 8.000018};
    zoo z;

    (void)cx;
    g8_zoo(&z, false);
    for (int e = 0; e < 2; e++) {
        const rule r = {1, eps[e]};
        const atn_head *h = &z.head[0];
        double one[8] = {1, 1, 1, 1, 1, 1, 1, 1}, part[8], sum = 0;

        for (int j = 0; j < 8; j++) part[j] = 1 / flow(h, &r, j, h->k, h->q, one);
        for (int i = 0; i < 8; i++) sum += flow(h, &r, i, h->q, h->k, part);
        CHECK_NEAR(sum, want[e], e ? 5e-7 : 1e-12);
    }
    zoo_free(&z);
}

/* Constant keys k alone: no competition, w_ij = sigmoid(I^_i) / n with
 * I^_i = n (q_i.k) / (k.sum q), of sigmoids. */
static void constant_keys(atn_ctx *cx)
{
    double w[144], flows[12], all = 0;
    zoo z;

    zoo_random(&z, 1, 1, 12, 12, 3);
    zoo_causal(&z, false);
    for (int e = 0; e < 96; e++) z.k[e] = (float)(e % 8) / 4 - 1;
    for (int i = 0; i < 12; i++) {
        flows[i] = 0;
        for (int c = 0; c < 8; c++)
            flows[i] += sigmoid((double)z.q[i * 8 + c]) * sigmoid((double)z.k[c]);
        all += flows[i];
    }
    g8_run(cx, &z, "flow:eps=0", NULL, w);
    for (int e = 0; e < 144; e++)
        CHECK_NEAR(w[e], sigmoid(12 * flows[e / 12] / all) / 12, 1e-12);
    zoo_free(&z);
}

static void refusals(atn_ctx *cx)
{
    atn_choice c;
    atn_plan p;
    zoo z;

    zoo_random(&z, 1, 1, 5, 20, 7);
    CHECK_OK(atn_choice_read(cx, "flow", "", &c));
    CHECK_FAILS(atn_choice_plan(cx, &c, &z.in, 0, &p), ATN_DATA,
                "there are 5 for 20 tokens");
    zoo_causal(&z, false);
    z.head[0].alibi_slope = .5;
    CHECK_FAILS(atn_choice_plan(cx, &c, &z.in, 0, &p), ATN_DATA, "a position bias");
    zoo_free(&z);
}

static void properties(atn_ctx *cx)
{
    static const char *const settings[] = {"", "eps=0", "clamp=none,eps=0"};
    zoo z;

    zoo_random(&z, 1, 1, 200, 200, 8);
    twin_threads(cx, &z, "flow");
    twin_causal(cx, &z, "flow");
    zoo_free(&z);
    zoo_random(&z, 1, 1, 20, 20, 8);
    zoo_failing(&z, "flow", "");
    zoo_free(&z);
    for (int k = 0; k < 3; k++) {
        twin_degenerate(cx, "flow", settings[k], true);
        twin_degenerate(cx, "flow", settings[k], false);
    }
}

CHECK_MAIN({"golden", golden}, {"twin", twin}, {"constant", constant},
           {"conserved", conserved}, {"constant keys", constant_keys},
           {"refusals", refusals}, {"properties", properties})
