/* tests/analysis/test_horizon.c -- the horizon of captured layers. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "stored_model.h"

#include "graph/horizon.h"

enum { N = 40 };

#define VALUE(row, name) stored_value("horizon", out, row, name)

static void previous_token(float *p)
{
    memset(p, 0, N * N * sizeof *p);
    p[0] = 1;
    for (int i = 1; i < N; i++) p[i * N + i - 1] = 1;
}

static stored_layer layer(const float *p, atn_idx heads, atn_idx window)
{
    return (stored_layer){.heads = heads,
                          .kv_heads = heads,
                          .nq = N,
                          .nk = N,
                          .p = p,
                          .sight = {.causal = true, .window = window}};
}

/* Weights on the previous token, half of it the residual: distances are binomial. After two
 * layers .25 .5 .25; the model of W = 4: mean 2 * .75. */
static void previous_token_layers(atn_ctx *cx)
{
    static float p[N * N];
    stored_model m = {.layers = 2, .layer = {layer(p, 1, 4), layer(p, 1, 4)}};
    double out[40];

    previous_token(p);
    store_model(cx, &m, "horizon/previous");
    CHECK_OK(stored_measure(cx, &m, "horizon", 0, "eps=0.3", out));
    CHECK_NEAR(VALUE(0, "horizon_measured_mean_tokens"), .5, 1e-6);
    CHECK_NEAR(VALUE(1, "horizon_measured_mean_tokens"), 1, 1e-6);
    CHECK_NEAR(VALUE(1, "horizon_measured_sigma_tokens"), sqrt(.5), 1e-6);
    CHECK_NEAR(VALUE(1, "horizon_measured_reach_tokens"), 1, 0);
    CHECK_NEAR(VALUE(1, "horizon_measured_beyond"), 0, 1e-6);
    CHECK_NEAR(VALUE(0, "horizon_window_tokens"), 4, 0);
    CHECK_NEAR(VALUE(0, "horizon_mean_tokens"), .75, 1e-12);
    CHECK_NEAR(VALUE(1, "horizon_mean_tokens"), 1.5, 1e-12);
    CHECK_NEAR(VALUE(1, "horizon_reachable_tokens"), 6, 0);
    CHECK_NEAR(VALUE(1, "horizon_beyond"), 6 / 64.,
               1e-12); /* (1 2 3) of 4 * 4, quartered */
    CHECK_NEAR(VALUE(1, "horizon_closed_tokens"), 4 * log(.3) / log(.5), 1e-9);
    CHECK_NEAR(VALUE(1, "horizon_measured_closed_mass"), 1, 1e-6);
    CHECK_NEAR(VALUE(1, "horizon_residual"), .5, 0);
    drop_stored(cx, &m);
}

/* A layer without window ends the model, but not what is measured; a window that is given holds
 * for all. */
static void layers_without_window(atn_ctx *cx)
{
    static float p[2 * N * N];
    stored_model m = {.layers = 3,
                      .layer = {layer(p, 2, 4), layer(p, 2, 0), layer(p, 2, 4)}};
    double out[100];

    previous_token(p);
    previous_token(p + N * N);
    store_model(cx, &m, "horizon/mixed");
    CHECK_OK(stored_measure(cx, &m, "horizon", 0, "rho=0.9", out));
    CHECK(!isnan(VALUE(1, "horizon_mean_tokens")));
    CHECK(isnan(VALUE(2, "horizon_mean_tokens")));
    CHECK(isnan(VALUE(2, "horizon_window_tokens")));
    CHECK(isnan(VALUE(2, "horizon_measured_beyond")));
    CHECK_NEAR(VALUE(2, "horizon_measured_mean_tokens"), .2, 1e-6);
    CHECK(isnan(VALUE(4, "horizon_mean_tokens")));
    CHECK(!isnan(VALUE(4, "horizon_closed_tokens")));
    CHECK_NEAR(VALUE(4, "horizon_measured_mean_tokens"), .3, 1e-6);
    for (int c = 0; c < 13; c++) /* heads of a layer agree */
        CHECK(out[c] == out[13 + c] || (isnan(out[c]) && isnan(out[13 + c])));
    CHECK_OK(stored_measure(cx, &m, "horizon", 0, "rho=0.9,window=5", out));
    CHECK_NEAR(VALUE(4, "horizon_mean_tokens"), 3 * .1 * 2, 1e-12);
    CHECK_OK(stored_measure(cx, &m, "horizon", 0, "residual=none,window=5", out));
    CHECK(isnan(VALUE(0, "horizon_closed_tokens")));
    CHECK_NEAR(VALUE(0, "horizon_sigma_tokens"), sqrt((25 - 1) / 12.), 1e-12);
    CHECK_NEAR(VALUE(0, "horizon_residual"), 0, 0);
    drop_stored(cx, &m);
}

/* Uniform windows: what is measured in the middle of a long text is the model. */
static void measured_is_the_model(atn_ctx *cx)
{
    static float p[N * N];
    stored_model m = {.layers = 3,
                      .layer = {layer(p, 1, 5), layer(p, 1, 5), layer(p, 1, 5)}};
    double out[60];

    memset(p, 0, sizeof p);
    for (int i = 0; i < N; i++) {
        const int lo = i < 4 ? 0 : i - 4;
        for (int j = lo; j <= i; j++) p[i * N + j] = 1.0f / (float)(i - lo + 1);
    }
    store_model(cx, &m, "horizon/uniform");
    CHECK_OK(stored_measure(cx, &m, "horizon", 0, "rho=0.7", out));
    for (int l = 0; l < 3; l++) {
        CHECK_NEAR(VALUE(l, "horizon_measured_mean_tokens"),
                   VALUE(l, "horizon_mean_tokens"), 1e-5);
        CHECK_NEAR(VALUE(l, "horizon_measured_sigma_tokens"),
                   VALUE(l, "horizon_sigma_tokens"), 1e-5);
        CHECK_NEAR(VALUE(l, "horizon_measured_beyond"), VALUE(l, "horizon_beyond"),
                   1e-6);
        CHECK_NEAR(VALUE(l, "horizon_measured_reach_tokens"),
                   VALUE(l, "horizon_reach_tokens"), 0);
        CHECK_LE(VALUE(l, "horizon_reach_tokens"),
                 VALUE(l, "horizon_reachable_tokens"));
    }
    drop_stored(cx, &m);
}

CHECK_MAIN({"previous-token layers", previous_token_layers},
           {"layers without window", layers_without_window},
           {"measured is the model", measured_is_the_model})
