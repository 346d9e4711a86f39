/* tests/analysis/test_attribution.c -- rollout and flow as measures over a capture. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "stored_model.h"

#include "analysis/attribution.h"
#include "analysis/residual.h"

static const float A1[] = {1, 0, .5f, .5f}, A2[] = {1, 0, .25f, .75f};

static void quiet(void *user, atn_log_level level, const char *text)
{
    if (user && level == ATN_LOG_WARN) *(int *)user += strstr(text, "rollout") != NULL;
}

static stored_layer weights(const float *p, atn_idx heads, atn_idx n)
{
    return (stored_layer){.heads = heads,
                          .kv_heads = heads,
                          .nq = n,
                          .nk = n,
                          .p = p,
                          .sight = {.causal = true}};
}

/* After layer 0: row 1 of S_1 = (.25 .75); after layer 1: (.34375 .65625); distance is the first
 * share, for the token itself is at 0. */
static void rollout_by_hand(atn_ctx *cx)
{
    stored_model m = {.layers = 2, .layer = {weights(A1, 1, 2), weights(A2, 1, 2)}};
    double out[20];

    store_model(cx, &m, "attribution/hand");
    CHECK_OK(stored_measure(cx, &m, "rollout", 0, NULL, out));
    CHECK_NEAR(stored_value("rollout", out, 0, "rollout_self"), .75, 1e-7);
    CHECK_NEAR(stored_value("rollout", out, 0, "rollout_first"), .25, 1e-7);
    CHECK_NEAR(stored_value("rollout", out, 1, "rollout_self"), .65625, 1e-7);
    CHECK_NEAR(stored_value("rollout", out, 1, "rollout_first"), .34375, 1e-7);
    CHECK_NEAR(stored_value("rollout", out, 1, "rollout_distance_tokens"), .34375,
               1e-7);
    CHECK_NEAR(stored_value("rollout", out, 1, "rollout_entropy_nats"),
               -.65625 * log(.65625) - .34375 * log(.34375), 1e-7);
    CHECK_NEAR(stored_value("rollout", out, 1, "rollout_top"), .65625, 1e-7);
    CHECK_NEAR(stored_value("rollout", out, 1, "rollout_top_position"), 1, 0);
    CHECK_NEAR(stored_value("rollout", out, 1, "rollout_rho"), .5, 0);
    CHECK_OK(stored_measure(cx, &m, "rollout", 0, "residual=none", out));
    CHECK_NEAR(stored_value("rollout", out, 1, "rollout_self"), .375, 1e-7);
    CHECK_OK(stored_measure(cx, &m, "rollout", 0, "token=0", out));
    CHECK_NEAR(stored_value("rollout", out, 1, "rollout_self"), 1, 1e-7);
    CHECK_NEAR(stored_value("rollout", out, 1, "rollout_entropy_nats"), 0, 1e-7);
    CHECK_FAILS(stored_measure(cx, &m, "rollout", 0, "token=2", out), ATN_USAGE,
                "outside 0..1");
    drop_stored(cx, &m);
}

static void flow_by_hand(atn_ctx *cx)
{
    stored_model m = {.layers = 2, .layer = {weights(A1, 1, 2), weights(A2, 1, 2)}};
    double out[30];

    store_model(cx, &m, "attribution/flow");
    CHECK_OK(stored_measure(cx, &m, "flow", 0, NULL, out));
    CHECK_NEAR(stored_value("flow", out, 0, "flow_self"), .75, 1e-7);
    CHECK_NEAR(stored_value("flow", out, 0, "flow_total"), 1, 1e-7);
    CHECK_NEAR(stored_value("flow", out, 1, "flow_self"), 2 / 3., 1e-7);
    CHECK_NEAR(stored_value("flow", out, 1, "flow_first"), 1 / 3., 1e-7);
    CHECK_NEAR(stored_value("flow", out, 1, "flow_total"), 1.125, 1e-7);
    CHECK_OK(stored_measure(cx, &m, "flow", 0, "residual=none", out));
    CHECK_NEAR(stored_value("flow", out, 1, "flow_self"), .4, 1e-7);
    CHECK_OK(stored_measure(cx, &m, "flow", 0, "nodes=1", out));
    CHECK_NEAR(stored_value("flow", out, 1, "flow_self"), 1, 1e-7);
    CHECK_NEAR(stored_value("flow", out, 1, "flow_block_tokens"), 2, 0);
    CHECK_NEAR(stored_value("flow", out, 1, "flow_distance_tokens"), 0, 1e-7);
    drop_stored(cx, &m);
}

/* Three layers of two heads: the twin multiplies whole step matrices from the bottom up. */
static void rollout_against_matrices(atn_ctx *cx)
{
    enum { N = 31, D = 4, H = 2, L = 3 };
    static double r[N][N], s[N][N], next[N][N];
    stored_model m = {.layers = L};
    double out[60];

    for (int l = 0; l < L; l++)
        m.layer[l] = (stored_layer){.heads = H,
                                    .kv_heads = 1,
                                    .nq = N,
                                    .nk = N,
                                    .d = D,
                                    .sight = {.causal = true,
                                              .window = l == 1 ? 9 : 0,
                                              .key_first = 2,
                                              .key_last = N - 3},
                                    .q = stored_noise(H * N * D, 2 * l, 1),
                                    .k = stored_noise(N * D, 2 * l + 1, 1)};
    store_model(cx, &m, "attribution/random");
    for (int n = 1; n <= N;
         n++) { /* rows of float32 weights sum to 1 but for rounding */
        char spec[32];

        snprintf(spec, sizeof spec, "residual=none,nodes=%d", n);
        CHECK_OK(stored_measure(cx, &m, "flow", 0, spec, out));
        for (int l = 0; l < L; l++)
            CHECK_LE(1, stored_value("flow", out, l * H, "flow_total"));
    }
    CHECK_OK(stored_measure(cx, &m, "rollout", 0, "rho=0.3", out));
    for (int i = 0; i < N; i++)
        for (int j = 0; j < N; j++) r[i][j] = i == j;
    for (int l = 0; l < L; l++) {
        double self, entropy = 0, far = 0;
        const int at = N - 4;

        memset(s, 0, sizeof s);
        for (int i = 0; i < N; i++) {
            for (int h = 0; h < H; h++) {
                double row[N] = {0}, z = 0;
                for (int j = 2; j < N - 3 && j <= i; j++) {
                    double x = 0;
                    if (l == 1 && i - j >= 9) continue;
                    for (int c = 0; c < D; c++)
                        x += (double)m.layer[l].q[(h * N + i) * D + c] *
                             (double)m.layer[l].k[j * D + c];
                    z += row[j] = exp(x);
                }
                for (int j = 0; j < N && z > 0; j++) s[i][j] += .7 * row[j] / z / H;
                if (z == 0) s[i][i] += .7 / H;
            }
            s[i][i] += .3;
        }
        for (int i = 0; i < N; i++)
            for (int j = 0; j < N; j++) {
                next[i][j] = 0;
                for (int k = 0; k < N; k++) next[i][j] += s[i][k] * r[k][j];
            }
        memcpy(r, next, sizeof r);
        self = r[at][at];
        for (int j = 0; j < N; j++) {
            if (r[at][j] > 0) entropy -= r[at][j] * log(r[at][j]);
            far += r[at][j] * abs(at - j);
        }
        for (int h = 0; h < H; h++) {
            const int row = l * H + h;
            CHECK_NEAR(stored_value("rollout", out, row, "rollout_self"), self, 1e-6);
            CHECK_NEAR(stored_value("rollout", out, row, "rollout_first"), r[at][2],
                       1e-6);
            CHECK_NEAR(stored_value("rollout", out, row, "rollout_entropy_nats"),
                       entropy, 1e-5);
            CHECK_NEAR(stored_value("rollout", out, row, "rollout_distance_tokens"),
                       far, 1e-4);
        }
    }
    for (int l = 0; l < L; l++) {
        free((void *)m.layer[l].q);
        free((void *)m.layer[l].k);
    }
    drop_stored(cx, &m);
}

/* y = x W with P = I, V = x: W = I makes y = x, share 1/2; W = 3 I share 1/4; W = 0 share 1. */
static void measured_residual(atn_ctx *cx)
{
    enum { N = 6, D = 3 };
    static float eye[N * N], w[3][D * D];
    float *x = stored_noise(N * D, 40, 1);
    stored_model m = {.layers = 3};
    double out[40];

    for (int i = 0; i < N; i++) eye[i * (N + 1)] = 1;
    for (int i = 0; i < D; i++) {
        w[0][i * (D + 1)] = 1;
        w[1][i * (D + 1)] = 3;
    }
    for (int l = 0; l < 3; l++) {
        m.layer[l] = weights(eye, 1, N);
        m.layer[l].v = m.layer[l].h = x;
        m.layer[l].dv = m.layer[l].width = D;
        m.layer[l].w_o = w[l];
    }
    store_model(cx, &m, "attribution/residual");
    CHECK_OK(stored_measure(cx, &m, "rollout", 0, "residual=measured", out));
    CHECK_NEAR(stored_value("rollout", out, 0, "rollout_rho"), .5, 1e-6);
    CHECK_NEAR(stored_value("rollout", out, 1, "rollout_rho"), .25, 1e-6);
    CHECK_NEAR(stored_value("rollout", out, 2, "rollout_rho"), 1, 1e-6);
    drop_stored(cx, &m);
    m.layer[1].h = NULL;
    store_model(cx, &m, "attribution/residual2");
    CHECK_FAILS(stored_measure(cx, &m, "rollout", 0, "residual=measured", out),
                ATN_DATA, "needs v, w_o and h");
    CHECK_OK(stored_measure(cx, &m, "rollout", 0, NULL, out));
    drop_stored(cx, &m);
    free(x);
}

/* More queries or fewer than tokens, or layers of unequal length: empty, and said so. */
static void no_graph(atn_ctx *cx)
{
    const float wide[] = {.2f, .3f, .5f, .1f, .2f, .7f};
    stored_model m = {.layers = 2, .layer = {weights(wide, 1, 2), weights(wide, 1, 2)}};
    double out[40];
    int warned = 0;

    m.layer[0].nk = m.layer[1].nk = 3;
    m.layer[0].sight.offset = m.layer[1].sight.offset = 1;
    m.layer[0].sight.causal = m.layer[1].sight.causal = false;
    cx->log_sink = quiet;
    cx->log_user = &warned;
    store_model(cx, &m, "attribution/none");
    CHECK_OK(stored_measure(cx, &m, "rollout", 0, NULL, out));
    CHECK_EQ(warned, 1);
    for (int i = 0; i < 16; i++) CHECK(isnan(out[i]));
    CHECK_OK(stored_measure(cx, &m, "flow", 0, NULL, out));
    CHECK_EQ(warned, 2);
    drop_stored(cx, &m);
    m.layer[0] = weights(A1, 1, 2);
    m.layer[1] = weights((const float[]){1}, 1, 1);
    store_model(cx, &m, "attribution/unequal");
    CHECK_OK(stored_measure(cx, &m, "rollout", 0, NULL, out));
    CHECK(isnan(out[0]));
    drop_stored(cx, &m);
}

/* One token: all of it is itself. */
static void one_token(atn_ctx *cx)
{
    const float one = 1;
    stored_model m = {.layers = 1, .layer = {weights(&one, 1, 1)}};
    double out[20];

    store_model(cx, &m, "attribution/one");
    CHECK_OK(stored_measure(cx, &m, "rollout", 0, NULL, out));
    CHECK_NEAR(stored_value("rollout", out, 0, "rollout_self"), 1, 1e-7);
    CHECK_OK(stored_measure(cx, &m, "flow", 0, NULL, out));
    CHECK_NEAR(stored_value("flow", out, 0, "flow_self"), 1, 1e-7);
    drop_stored(cx, &m);
}

static void table(atn_ctx *cx)
{
    const int32_t ids[] = {7, 3};
    stored_model m = {.layers = 2,
                      .layer = {weights(A1, 1, 2), weights(A2, 1, 2)},
                      .ids = ids,
                      .n_ids = 2};
    const atn_attribution_opts o = {.rho = .5, .token = -1};
    atn_model_facts facts;
    atn_table *t = NULL;

    store_model(cx, &m, "attribution/table");
    facts = (atn_model_facts){m.capture, &m.selection, 0};
    CHECK_OK(
        atn_rollout_table(cx, &facts, &o, &(atn_attribution_rows){.last = true}, &t));
    CHECK_EQ(atn_table_rows(t), 2);
    CHECK_EQ(atn_table_get_i64(t, 1, atn_table_find_col(t, "layer")), 1);
    CHECK_EQ(atn_table_get_i64(t, 1, atn_table_find_col(t, "position")), 1);
    CHECK_EQ(atn_table_get_i64(t, 1, atn_table_find_col(t, "token")), 3);
    CHECK_NEAR(atn_table_get_f64(t, 1, atn_table_find_col(t, "rollout_mass")), .65625,
               1e-7);
    atn_table_destroy(cx, t);
    drop_stored(cx, &m);
}

/* After the lowest layer .25 and .75; flows of .375 and .75 after both. In one block of two
 * tokens each has half of the flow. */
static void table_of_all_layers(atn_ctx *cx)
{
    static const double mass[] = {.25, .75, .34375, .65625};
    static const double flow[] = {.25, .75, 1 / 3., 2 / 3.};
    stored_model m = {.layers = 2, .layer = {weights(A1, 1, 2), weights(A2, 1, 2)}};
    const atn_attribution_opts o = {.rho = .5, .token = -1};
    atn_model_facts facts;

    store_model(cx, &m, "attribution/all");
    facts = (atn_model_facts){m.capture, &m.selection, 0};
    for (int nodes = 0; nodes < 3; nodes++) {
        const atn_attribution_rows rows = {.flow = nodes};
        atn_table *t = NULL;

        CHECK_OK(atn_rollout_table(cx, &facts, &o, &rows, &t));
        CHECK_EQ(atn_table_rows(t), 4);
        CHECK_EQ(atn_table_find_col(t, "flow_mass") >= 0, nodes > 0);
        for (int r = 0; r < 4; r++) {
            CHECK_EQ(atn_table_get_i64(t, r, atn_table_find_col(t, "layer")), r / 2);
            CHECK_NEAR(atn_table_get_f64(t, r, atn_table_find_col(t, "rollout_mass")),
                       mass[r], 1e-7);
            if (nodes > 0)
                CHECK_NEAR(atn_table_get_f64(t, r, atn_table_find_col(t, "flow_mass")),
                           nodes == 1 ? .5 : flow[r], 1e-7);
        }
        atn_table_destroy(cx, t);
    }
    drop_stored(cx, &m);
}

static void allocations_may_fail(atn_ctx *cx)
{
    stored_model m = {.layers = 2, .layer = {weights(A1, 1, 2), weights(A2, 1, 2)}};
    static const char *const ids[] = {"rollout", "flow"};

    store_model(cx, &m, "attribution/memory");
    for (int which = 0; which < 2; which++) {
        const atn_measure *measure = atn_measure_find(ids[which]);
        const atn_model_facts facts = {m.capture, &m.selection, 0};
        void *params = calloc(1, measure->params_size);
        atn_status st = ATN_MEMORY;

        atn_param_defaults(measure->params, params);
        for (long k = 0; st != ATN_OK; k++) {
            check_failing fail = {k};
            double out[30];
            atn_ctx c;

            CHECK(k < 1000);
            atn_ctx_init(&c);
            c.threads = 1;
            c.alloc = (atn_allocator){check_failing_resize, &fail};
            st = measure->model(&c, &facts, params, out);
            CHECK(st == ATN_OK || st == ATN_MEMORY);
            fail.left = 1 << 20;
            atn_ctx_release(&c);
        }
        free(params);
    }
    drop_stored(cx, &m);
}

CHECK_MAIN({"rollout by hand", rollout_by_hand}, {"flow by hand", flow_by_hand},
           {"rollout against matrices", rollout_against_matrices},
           {"measured residual", measured_residual}, {"no graph", no_graph},
           {"one token", one_token}, {"table", table},
           {"table of all layers", table_of_all_layers},
           {"allocations may fail", allocations_may_fail})
