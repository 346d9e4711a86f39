// SPDX-License-Identifier: GPL-3.0-or-later
#include "check.h"

#include <string.h>

#include "analysis/adapter_tables.h"
#include "analysis/adapter_weights.h"
#include "stored_model.h"

enum { N = 19, HEADS = 4, KV = 2, D = 4, WIDTH = 16 };

/* Two layers of four heads, two KV heads; the second is bidirectional. */
typedef struct model {
    stored_model stored;
    float *q[2], *k[2], *v[2], *w_o[2], *h[2];
} model;

static model make_model(void)
{
    model m = {.stored = {.layers = 2}};

    for (int l = 0; l < 2; l++) {
        m.q[l] = stored_noise(HEADS * N * D, 10 * l, 1);
        m.k[l] = stored_noise(KV * N * D, 10 * l + 1, 1);
        m.v[l] = stored_noise(KV * N * D, 10 * l + 2, 1);
        m.w_o[l] = stored_noise(HEADS * D * WIDTH, 10 * l + 3, .3);
        m.h[l] = stored_noise(N * WIDTH, 10 * l + 4, 1);
        m.stored.layer[l] = (stored_layer){.heads = HEADS,
                                           .kv_heads = KV,
                                           .nq = N,
                                           .nk = N,
                                           .d = D,
                                           .dv = D,
                                           .scale = .9,
                                           .sight = {.causal = l == 0},
                                           .q = m.q[l],
                                           .k = m.k[l],
                                           .v = m.v[l],
                                           .w_o = m.w_o[l],
                                           .h = m.h[l],
                                           .width = WIDTH};
    }
    return m;
}

static void drop_model(atn_ctx *cx, model *m)
{
    drop_stored(cx, &m->stored);
    for (int l = 0; l < 2; l++) {
        free(m->q[l]);
        free(m->k[l]);
        free(m->v[l]);
        free(m->w_o[l]);
        free(m->h[l]);
    }
}

static double cell(const atn_table *t, atn_idx row, const char *name)
{
    const int col = atn_table_find_col(t, name);

    if (col < 0) fail_msg("no column %s", name);
    return atn_table_get_f64(t, row, col);
}

static bool empty(const atn_table *t, atn_idx row, const char *name)
{
    return !atn_table_has(t, row, atn_table_find_col(t, name));
}

static atn_table *table_of(atn_ctx *cx, const model *m, const atn_adapter_opts *o,
                           atn_idx failed)
{
    atn_table *t = NULL;
    atn_idx got = -1;

    CHECK_OK(
        atn_adapter_table(cx, m->stored.capture, &m->stored.selection, o, &t, &got));
    CHECK_EQ(got, failed);
    return t;
}

/* Weights of head h of layer l by loops of our own. */
static void dense_rows(const model *m, int l, int h, double p[N][N])
{
    for (int i = 0; i < N; i++) {
        const int end = l == 0 ? i + 1 : N;
        double sum = 0;

        for (int j = 0; j < N; j++) {
            double s = 0;

            for (int c = 0; c < D; c++)
                s += (double)m->q[l][(h * N + i) * D + c] *
                     (double)m->k[l][(h / 2 * N + j) * D + c];
            p[i][j] = j < end ? exp(.9 * s) : 0;
            sum += p[i][j];
        }
        for (int j = 0; j < N; j++) p[i][j] /= sum;
    }
}

/* ---- the table of heads ---- */

/* Every row is what graph/adapter.h gives for its head. */
static void rows_of_heads(atn_ctx *cx)
{
    static const double p[] = {2.5, 1.25};
    model m = make_model();
    atn_adapter_opts o = atn_adapter_opts_default;
    atn_adapter_state s[4];
    atn_table *t;
    atn_idx row = 0;

    store_model(cx, &m.stored, "adapter_rows");
    o.p = p;
    o.n_p = 2;
    o.iterations = 3;
    o.self = ATN_SELF_DROP;
    t = table_of(cx, &m, &o, 0);
    CHECK_EQ(atn_table_rows(t), 2 * HEADS * 2 * 4);
    CHECK_STR(atn_table_kind(t), "adapter");
    CHECK_EQ(atn_table_find_col(t, "homophily_edge"), -1);
    for (int i = 0; i < 2 * HEADS * 2; i++) {
        const int l = i / (2 * HEADS), h = i / 2 % HEADS;
        atn_adapter_params a = atn_adapter_defaults;
        atn_problem problem;
        atn_head head;

        CHECK_OK(atn_capture_load(cx, m.stored.capture, l, &problem));
        head = atn_problem_head(&problem, h);
        a.p = p[i % 2];
        a.iterations = 3;
        a.self = ATN_SELF_DROP;
        CHECK_OK(atn_adapter_run(cx, &(atn_adapter_input){.head = &head, .own = true},
                                 &a, s, NULL, NULL));
        for (int k = 0; k < 4; k++, row++) {
            CHECK_EQ(cell(t, row, "layer"), l);
            CHECK_EQ(cell(t, row, "head"), h);
            CHECK_EQ(cell(t, row, "iteration"), k);
            CHECK_NEAR(cell(t, row, "p"), p[i % 2], 0);
            CHECK_NEAR(cell(t, row, "energy"), s[k].energy, 0);
            CHECK_NEAR(cell(t, row, "output_change"), s[k].change, 0);
            CHECK_NEAR(cell(t, row, "row_mass_mean"), s[k].mass, 0);
            CHECK_NEAR(cell(t, row, "kl_mean_nats"), s[k].kl, 0);
            CHECK_NEAR(cell(t, row, "entropy_change_nats"), s[k].entropy - s[0].entropy,
                       1e-15);
            CHECK_NEAR(cell(t, row, "distance_mean"), s[k].distance, 0);
            CHECK_NEAR(cell(t, row, "homophily_feature_mean"), s[k].homophily, 0);
            CHECK_EQ(cell(t, row, "rows_empty"), l == 0);
            CHECK_EQ(empty(t, row, "beta_mean"), k == 0);
            CHECK_EQ(empty(t, row, "energy_increased"), k == 0);
        }
        atn_capture_unload(cx, &problem);
    }
    atn_table_destroy(cx, t);
    drop_model(cx, &m);
}

/* Two labels, token by token in turn: the share on equal ones by hand from the rows. */
static void labels(atn_ctx *cx)
{
    static const double p[] = {2};
    model m = make_model();
    atn_adapter_opts o = atn_adapter_opts_default;
    int32_t y[N + 1];
    atn_token_labels given = {.n = N + 1, .label = y, .classes = 3};
    atn_table *t;

    store_model(cx, &m.stored, "adapter_labels");
    for (int i = 0; i < N; i++) y[i] = i == 4 ? -1 : i % 2;
    y[N] = 2; /* a token more than the layers have */
    o.p = p;
    o.n_p = 1;
    o.iterations = 1;
    o.labels = &given;
    t = table_of(cx, &m, &o, 0);
    for (int i = 0; i < 2 * HEADS; i++) {
        double w[N][N], same = 0, all = 0;

        dense_rows(&m, i / HEADS, i % HEADS, w);
        for (int a = 0; a < N; a++)
            for (int b = 0; b < N; b++)
                if (y[a] >= 0 && y[b] >= 0) {
                    all += w[a][b];
                    same += y[a] == y[b] ? w[a][b] : 0;
                }
        CHECK_NEAR(cell(t, 2 * i, "homophily_edge"), same / all, 1e-6);
        CHECK_NEAR(cell(t, 2 * i + 1, "homophily_edge_change"), 0, 1e-6); /* p = 2 */
    }
    atn_table_destroy(cx, t);
    given.n =
        N - 1; /* the layers have tokens without labels: as in the table of heads */
    cx->log_level = ATN_LOG_ERROR;
    t = table_of(cx, &m, &o, 0);
    CHECK(empty(t, 0, "homophily_edge") && !empty(t, 0, "energy"));
    atn_table_destroy(cx, t);
    drop_model(cx, &m);
}

/* NaN in head 1: its cells stay empty, the others are as they were. */
static void bad_head(atn_ctx *cx)
{
    model m = make_model(), good = make_model();
    atn_adapter_opts o = atn_adapter_opts_default;
    atn_table *t, *whole;
    const int per_head = 5 * 3;

    o.iterations = 2;
    cx->log_level = ATN_LOG_ERROR;
    m.q[0][1 * N * D + 7] = NAN;
    store_model(cx, &m.stored, "adapter_nan");
    store_model(cx, &good.stored, "adapter_good");
    t = table_of(cx, &m, &o, 1);
    whole = table_of(cx, &good, &o, 0);
    CHECK_EQ(atn_table_rows(t), 2 * HEADS * per_head);
    for (atn_idx row = 0; row < atn_table_rows(t); row++) {
        const bool bad = row / per_head == 1;

        CHECK_EQ(cell(t, row, "head"), row / per_head % HEADS);
        CHECK_EQ(cell(t, row, "iteration"), row % 3);
        CHECK_EQ(empty(t, row, "energy"), bad);
        CHECK_EQ(empty(t, row, "rows_empty"), bad);
        if (!bad) CHECK_NEAR(cell(t, row, "energy"), cell(whole, row, "energy"), 0);
    }
    atn_table_destroy(cx, t);
    atn_table_destroy(cx, whole);
    /* logits that overflow show only in the rows, and count the same */
    for (int i = 0; i < N * D; i++) good.q[1][2 * N * D + i] = 1e30f;
    for (int i = 0; i < N * D; i++) good.k[1][N * D + i] = 1e30f;
    drop_stored(cx, &good.stored);
    store_model(cx, &good.stored, "adapter_overflow");
    t = table_of(cx, &good, &o, 1);
    CHECK_EQ(atn_table_rows(t), 2 * HEADS * per_head);
    CHECK(empty(t, 6 * per_head, "energy") && !empty(t, 5 * per_head, "energy"));
    atn_table_destroy(cx, t);
    drop_model(cx, &m);
    drop_model(cx, &good);
}

static int said;
static void count_left_out(void *user, atn_log_level level, const char *text)
{
    (void)user;
    (void)level;
    said += strstr(text, "left out, it lacks") != NULL;
}

/* No values, and queries that are other tokens than the keys: left out, said once a
 * layer, and no failure. */
static void layers_that_lack(atn_ctx *cx)
{
    model m = make_model();
    atn_adapter_opts o = atn_adapter_opts_default;
    atn_idx failed = -1;
    atn_table *t;

    o.iterations = 1;
    cx->log_sink = count_left_out;
    said = 0;
    m.stored.layer[0].v = NULL;
    m.stored.layer[1].nq = N - 2;
    m.stored.layer[1].stack = "cross";
    store_model(cx, &m.stored, "adapter_lack");
    t = table_of(cx, &m, &o, 0);
    CHECK_EQ(atn_table_rows(t), 0);
    CHECK_EQ(said, 2);
    atn_table_destroy(cx, t);
    drop_model(cx, &m);
    m = make_model(); /* a decoding layer has messages but no frequencies */
    m.stored.layer[0].nq = N - 1;
    m.stored.layer[0].sight = (atn_sight){.causal = true, .offset = 1};
    m.stored.layer[0].h = NULL;
    store_model(cx, &m.stored, "adapter_decoding");
    t = table_of(cx, &m, &o, 0);
    CHECK_EQ(atn_table_rows(t), 2 * HEADS * 5 * 2);
    atn_table_destroy(cx, t);
    CHECK_OK(atn_adapter_response_table(cx, m.stored.capture, &m.stored.selection, &o,
                                        &t, &failed));
    CHECK_EQ(failed, 0);
    CHECK_EQ(atn_table_rows(t), HEADS * 5 * 8);
    CHECK_EQ(cell(t, 0, "layer"), 1);
    CHECK_EQ(said, 3);
    atn_table_destroy(cx, t);
    drop_model(cx, &m);
}

/* ---- other forms ---- */

/* Tokens for nodes: the first step is that of the bipartite form, for both sides start
 * the same; the energy is not. */
static void nodes(atn_ctx *cx)
{
    model m = make_model();
    atn_adapter_opts o = atn_adapter_opts_default;
    atn_table *t, *both;
    double energy = 0, w[N][N];

    store_model(cx, &m.stored, "adapter_nodes");
    o.iterations = 2;
    both = table_of(cx, &m, &o, 0);
    o.form = ATN_FORM_NODES;
    t = table_of(cx, &m, &o, 0);
    for (atn_idx row = 0; row < atn_table_rows(t); row += 3) {
        CHECK_NEAR(cell(t, row + 1, "output_change"),
                   cell(both, row + 1, "output_change"), 1e-14);
        CHECK_NEAR(cell(t, row, "energy"), cell(both, row, "energy") / 2,
                   1e-12 * cell(t, row, "energy"));
        CHECK(fabs(cell(t, row + 2, "output_change") -
                   cell(both, row + 2, "output_change")) > 1e-9);
    }
    dense_rows(&m, 1, 2, w); /* p = 1: the first of the list */
    for (int i = 0; i < N; i++)
        for (int j = 0; j < N; j++) {
            double d = 0;

            for (int c = 0; c < D; c++)
                d += pow((double)m.v[1][(N + i) * D + c] -
                             (double)m.v[1][(N + j) * D + c],
                         2);
            energy += sqrt(w[i][j] * d) / 2;
        }
    CHECK_NEAR(cell(t, (HEADS + 2) * 15, "energy"), energy, 1e-5 * energy);
    atn_table_destroy(cx, t);
    atn_table_destroy(cx, both);
    drop_model(cx, &m);
}

typedef struct dense_graph {
    double w[N][N], d[N], x[N][D], f[N][D], a[N][N], beta[N];
} dense_graph;

static double graph_step(dense_graph *g, double p, double mu)
{
    double next[N][D], energy = 0;

    for (int i = 0; i < N; i++) {
        double m[N], sum = 0;

        for (int j = 0; j < N; j++) {
            double s = 0;

            for (int c = 0; c < D; c++)
                s += pow(g->f[i][c] / sqrt(g->d[i]) - g->f[j][c] / sqrt(g->d[j]), 2);
            s *= g->w[i][j];
            m[j] = s > 0 ? g->w[i][j] * pow(s, (p - 2) / 2) : 0;
            energy += s > 0 ? pow(s, p / 2) / 2 : 0;
            sum += m[j] / g->d[i];
        }
        for (int j = 0; j < N; j++)
            g->a[i][j] = m[j] / sqrt(g->d[i] * g->d[j]) / (sum + 2 * mu / p);
        g->beta[i] = 2 * mu / p / (sum + 2 * mu / p);
        for (int c = 0; c < D; c++) {
            next[i][c] = g->beta[i] * g->x[i][c];
            for (int j = 0; j < N; j++) next[i][c] += g->a[i][j] * g->f[j][c];
            energy += mu * pow(g->f[i][c] - g->x[i][c], 2);
        }
    }
    memcpy(g->f, next, sizeof next);
    return energy; /* of the state before */
}

static void check_graph_row(const atn_table *t, atn_idx row, const dense_graph *g)
{
    double mass = 0, beta = 0, entropy = 0, kl = 0, distance = 0, homophily = 0;

    for (int i = 0; i < N; i++) {
        double sum = 0, given = 0;

        for (int j = 0; j < N; j++) {
            sum += g->a[i][j];
            given += g->w[i][j] / sqrt(g->d[j]);
        }
        mass += sum / N;
        beta += g->beta[i] / N;
        for (int j = 0; j < N; j++) {
            const double a = g->a[i][j] / sum;
            double d = 0, dot = 0, x = 0, y = 0;

            if (!(a > 0)) continue;
            for (int c = 0; c < D; c++) {
                d += pow(g->x[i][c] - g->x[j][c], 2);
                dot += g->x[i][c] * g->x[j][c];
                x += pow(g->x[i][c], 2);
                y += pow(g->x[j][c], 2);
            }
            entropy -= a * log(a) / N;
            kl += g->w[i][j] / sqrt(g->d[j]) / given *
                  log(g->w[i][j] / sqrt(g->d[j]) / given / a) / N;
            distance += a * sqrt(d) / N;
            homophily += a * dot / sqrt(x * y) / N;
        }
    }
    CHECK_NEAR(cell(t, row, "row_mass_mean"), mass, 1e-6);
    CHECK_NEAR(cell(t, row, "beta_mean"), beta, 1e-6);
    CHECK_NEAR(cell(t, row, "entropy_mean_nats"), entropy, 1e-5);
    CHECK_NEAR(cell(t, row, "kl_mean_nats"), kl, 1e-5);
    CHECK_NEAR(cell(t, row, "distance_mean"), distance, 1e-5);
    CHECK_NEAR(cell(t, row, "homophily_feature_mean"), homophily, 1e-5);
}

/* pGNN on (P + P') / 2 against loops of our own. */
static void pgnn(atn_ctx *cx)
{
    static const double p[] = {1.5};
    static dense_graph g;
    model m = make_model();
    atn_adapter_opts o = atn_adapter_opts_default;
    atn_table *t;

    store_model(cx, &m.stored, "adapter_pgnn");
    o.form = ATN_FORM_PGNN;
    o.p = p;
    o.n_p = 1;
    o.iterations = 3;
    t = table_of(cx, &m, &o, 0);
    for (int i = 0; i < 2 * HEADS; i++) {
        const int l = i / HEADS, h = i % HEADS;
        double rows[N][N], change = 0, plain = 0;

        dense_rows(&m, l, h, rows);
        memset(&g, 0, sizeof g);
        for (int a = 0; a < N; a++)
            for (int b = 0; b < N; b++) {
                g.w[a][b] = a == b ? 0 : (rows[a][b] + rows[b][a]) / 2;
                g.d[a] += g.w[a][b];
            }
        for (int a = 0; a < N; a++)
            for (int c = 0; c < D; c++)
                g.x[a][c] = g.f[a][c] = m.v[l][(h / 2 * N + a) * D + c];
        for (int k = 0; k < 3; k++) {
            CHECK_NEAR(cell(t, 4 * i + k, "energy"), graph_step(&g, 1.5, .2), 2e-5);
            check_graph_row(t, 4 * i + k + 1, &g);
        }
        for (int a = 0; a < N; a++)
            for (int c = 0; c < D; c++) {
                double out = 0;

                for (int b = 0; b < N; b++)
                    out += rows[a][b] * m.v[l][(h / 2 * N + b) * D + c];
                change += pow(g.f[a][c] - out, 2);
                plain += out * out;
            }
        CHECK_NEAR(cell(t, 4 * i + 3, "output_change"), sqrt(change / plain), 1e-5);
        CHECK(cell(t, 4 * i, "row_mass_mean") > cell(t, 4 * i + 1, "row_mass_mean"));
        CHECK_NEAR(cell(t, 4 * i, "kl_mean_nats"), 0, 1e-12);
    }
    atn_table_destroy(cx, t);
    o.dense_most = N - 1;
    CHECK_EQ(atn_adapter_table(cx, m.stored.capture, &m.stored.selection, &o, &t, NULL),
             ATN_USAGE);
    CHECK(strstr(cx->err.text, "matrix of all 19 tokens, more than 18 (capture a "
                               "shorter text, or allow more with --dense N)"));
    atn_err_clear(cx);
    drop_model(cx, &m);
}

/* Tokens 0 and 1 are all but equal, hold together by .5 and are drawn apart by .2: what
 * drops their pair lets them go and raises the energy. */
static void pgnn_keeps_near_pairs(atn_ctx *cx)
{
    static const double p[] = {1};
    const float rows[] = {0, .5f, .2f, 0, .5f, 0, 0, .2f, .2f, 0, 0, 0, 0, .2f, 0, 0},
                v[] = {.5f, .5000001f, -1, 2};
    stored_model m = {.layers = 1};
    atn_adapter_opts o = atn_adapter_opts_default;

    m.layer[0] = (stored_layer){
        .heads = 1, .kv_heads = 1, .nq = 4, .nk = 4, .dv = 1, .p = rows, .v = v};
    store_model(cx, &m, "adapter_near");
    o.form = ATN_FORM_PGNN;
    o.p = p;
    o.n_p = 1;
    o.mu = .05;
    for (int snaps = 0; snaps < 2; snaps++) {
        atn_table *t = NULL;
        double rises = 0;

        o.snap = snaps ? 1e-6 : -1;
        CHECK_OK(atn_adapter_table(cx, m.capture, &m.selection, &o, &t, NULL));
        for (atn_idx row = 1; row <= 10; row++)
            rises += cell(t, row, "energy_increased");
        CHECK_EQ(rises > 0, snaps);
        CHECK_EQ(empty(t, 1, "kl_mean_nats"), snaps); /* of a pair without weight */
        atn_table_destroy(cx, t);
    }
    drop_stored(cx, &m);
}

/* --alpha code scales messages by their senders: another path at p = 1.5, the same at p
 * = 2. */
static void pgnn_alpha(atn_ctx *cx)
{
    static const double p[] = {1.5, 2};
    model m = make_model();
    atn_adapter_opts o = atn_adapter_opts_default;
    atn_table *t[2];

    store_model(cx, &m.stored, "adapter_alpha");
    o.form = ATN_FORM_PGNN;
    o.p = p;
    o.n_p = 2;
    o.iterations = 2;
    for (int code = 0; code < 2; code++) {
        o.alpha = code ? ATN_ALPHA_CODE : ATN_ALPHA_PAPER;
        t[code] = table_of(cx, &m, &o, 0);
    }
    CHECK(fabs(cell(t[0], 2, "energy") - cell(t[1], 2, "energy")) > 1e-6);
    CHECK_NEAR(cell(t[0], 5, "energy"), cell(t[1], 5, "energy"), 1e-9);
    atn_table_destroy(cx, t[0]);
    atn_table_destroy(cx, t[1]);
    drop_model(cx, &m);
}

/* ---- the response ---- */

static atn_table *response_of(atn_ctx *cx, const stored_model *m,
                              const atn_adapter_opts *o)
{
    atn_table *t = NULL;

    CHECK_OK(atn_adapter_response_table(cx, m->capture, &m->selection, o, &t, NULL));
    return t;
}

/* pGNN at p = 2 scales every eigenvector by h_K, for any mu, damping and K. */
static void response_of_pgnn(atn_ctx *cx)
{
    static const double p[] = {2};
    model m = make_model();
    atn_adapter_opts o = atn_adapter_opts_default;

    store_model(cx, &m.stored, "adapter_response");
    o.form = ATN_FORM_PGNN;
    o.p = p;
    o.n_p = 1;
    for (int k = 1; k < 12; k += 3) {
        atn_table *t;

        o.iterations = k;
        o.damping = k == 4 ? .5 : 1;
        o.mu = .1 * k;
        t = response_of(cx, &m.stored, &o);
        CHECK_EQ(atn_table_rows(t), 2 * HEADS * 8);
        for (atn_idx row = 0; row < atn_table_rows(t); row += 8) {
            double in = 0, out = 0, all = 0;

            for (atn_idx b = row; b < row + 8; b++) {
                all += cell(t, b, "frequencies");
                in += cell(t, b, "energy_in_share");
                out += cell(t, b, "energy_out_share");
                if (cell(t, b, "frequencies") == 0) {
                    CHECK(empty(t, b, "signal") && empty(t, b, "gain"));
                    continue;
                }
                CHECK_NEAR(cell(t, b, "gain"), cell(t, b, "gain_p2"), 1e-10);
                CHECK_NEAR(cell(t, b, "signal"), cell(t, b, "signal_p2"), 1e-10);
                CHECK_NEAR(cell(t, b, "signal_total"), cell(t, b, "signal_p2"), 1e-10);
            }
            CHECK_EQ(all, N);
            CHECK_NEAR(in, 1, 1e-12);
            CHECK_NEAR(out, 1, 1e-12);
        }
        atn_table_destroy(cx, t);
    }
    drop_model(cx, &m);
}

/* A ring of 8, .4 on itself and .3 on both neighbours: s = .4 + .6 cos(2 pi k / 8). At k =
 * 2 and 6 s = .4, frequency .6, alone in bin 2: one step of the adapter at p = 2 leaves
 * (s + mu) / (1 + mu) = .5. */
static void response_of_a_ring(atn_ctx *cx)
{
    static const double p[] = {2, 3};
    enum { R = 8 };
    float rows[R * R] = {0}, v[R * 3];
    stored_model m = {.layers = 1};
    atn_adapter_opts o = atn_adapter_opts_default;
    atn_table *t;

    for (int i = 0; i < R; i++) {
        rows[i * R + i] = .4f;
        rows[i * R + (i + 1) % R] = rows[i * R + (i + 7) % R] = .3f;
    }
    for (int i = 0; i < R * 3; i++) v[i] = (float)((i * i * 7 + 3 * i) % 11) - 5;
    m.layer[0] = (stored_layer){
        .heads = 1, .kv_heads = 1, .nq = R, .nk = R, .dv = 3, .p = rows, .v = v};
    store_model(cx, &m, "adapter_ring");
    o.p = p;
    o.n_p = 2;
    o.iterations = 1;
    t = response_of(cx, &m, &o);
    CHECK_EQ(cell(t, 0, "frequencies"), 3);
    CHECK_EQ(cell(t, 2, "frequencies"), 2);
    CHECK_EQ(cell(t, 4, "frequencies"), 3);
    CHECK_NEAR(cell(t, 2, "frequency_low"), .5, 0);
    CHECK_NEAR(cell(t, 2, "gain"), .5, 1e-6);
    CHECK_NEAR(cell(t, 2, "signal"), .5, 1e-6);
    CHECK_NEAR(cell(t, 2, "signal_total"), .5, 1e-6);
    /* pGNN: (s + mu) / (1 + mu) as well, after one step from X */
    CHECK_NEAR(cell(t, 2, "gain_p2"), .5, 1e-6);
    /* at p = 3 the signal leaves its band, and its own share is no more than all of it */
    CHECK(cell(t, 10, "signal_total") > cell(t, 10, "signal") + 1e-6);
    atn_table_destroy(cx, t);
    o.dense_most = R - 1;
    CHECK_EQ(atn_adapter_response_table(cx, m.capture, &m.selection, &o, &t, NULL),
             ATN_USAGE);
    atn_err_clear(cx);
    drop_stored(cx, &m);
}

/* Four tokens against 36 by a matrix of rank 1: all eigenvalues but the two ends are 0,
 * frequency 1, but for rounding: they share the bin that 1 begins. */
static void response_of_two_sides(atn_ctx *cx)
{
    static const double p[] = {2};
    enum { R = 40, M = 4 };
    float rows[R * R] = {0}, v[R];
    stored_model m = {.layers = 1};
    atn_adapter_opts o = atn_adapter_opts_default;
    atn_table *t;

    for (int i = 0; i < M; i++)
        for (int j = M; j < R; j++) {
            rows[i * R + j] = (float)((i + 1) * (1 + j % 3)) / 512; /* of rank 1 */
            rows[j * R + i] = rows[i * R + j];
        }
    for (int i = 0; i < R; i++) v[i] = (float)((i * i * 7 + 3 * i) % 11) - 5;
    m.layer[0] = (stored_layer){
        .heads = 1, .kv_heads = 1, .nq = R, .nk = R, .dv = 1, .p = rows, .v = v};
    store_model(cx, &m, "adapter_sides");
    o.p = p;
    o.n_p = 1;
    t = response_of(cx, &m, &o);
    CHECK_EQ(cell(t, 0, "frequencies"), 1);
    CHECK_EQ(cell(t, 3, "frequencies"), 0);
    CHECK_EQ(cell(t, 4, "frequencies"), R - 2);
    CHECK_EQ(cell(t, 7, "frequencies"), 1);
    atn_table_destroy(cx, t);
    drop_stored(cx, &m);
}

/* --stop ends before the steps that were asked for: the closed form is of those done. */
static void response_that_stops(atn_ctx *cx)
{
    static const double p[] = {2, 3};
    model m = make_model();
    atn_adapter_opts o = atn_adapter_opts_default;
    bool early = false;
    atn_table *t;

    store_model(cx, &m.stored, "adapter_stops");
    o.form = ATN_FORM_PGNN;
    o.p = p;
    o.n_p = 2;
    o.mu = 0.01;
    o.iterations = 12;
    o.stop = true;
    t = response_of(cx, &m.stored, &o);
    for (atn_idx row = 0; row < atn_table_rows(t); row += 8) {
        atn_adapter_opts same = o;
        atn_table *want;
        const int done = (int)cell(t, row, "iterations");

        CHECK(done == 12 || row % 16 == 8); /* p = 2 never stops */
        if (done == 12 || early) continue;
        early = true;
        same.stop = false;
        same.iterations = done;
        want = response_of(cx, &m.stored, &same);
        for (atn_idx b = row; b < row + 8; b++) {
            if (cell(t, b, "frequencies") == 0) continue;
            CHECK_NEAR(cell(t, b, "gain_p2"), cell(want, b, "gain_p2"), 0);
            CHECK_NEAR(cell(t, b, "signal_p2"), cell(want, b, "signal_p2"), 0);
            CHECK_NEAR(cell(t, b, "signal"), cell(want, b, "signal"), 0);
        }
        atn_table_destroy(cx, want);
    }
    CHECK(early);
    atn_table_destroy(cx, t);
    drop_model(cx, &m);
}

/* ---- a whole adapter ---- */

enum { RANK = 8 };

typedef struct weights {
    float down[RANK * WIDTH], gate[RANK * WIDTH], up[WIDTH * RANK], bias[RANK];
} weights;

static weights make_weights(void)
{
    float *x = stored_noise(3 * RANK * WIDTH + RANK, 77, .4);
    weights w;

    memcpy(&w, x, sizeof w);
    free(x);
    return w;
}

static void save_weights(atn_ctx *cx, const weights *w, const char *path, atn_idx cols)
{
    const atn_st_out list[] = {
        {"down.weight", ATN_F32, 2, {RANK, cols}, w->down},
        {"gate.weight", ATN_F32, 2, {RANK, WIDTH}, w->gate},
        {"layers.1.up.weight", ATN_F32, 2, {WIDTH, RANK}, w->gate},
        {"up.weight", ATN_F32, 2, {WIDTH, RANK}, w->up},
        {"down.bias", ATN_F32, 1, {RANK}, w->bias}};

    CHECK_OK(atn_st_save(cx, path, list, 5, NULL, true, NULL));
}

/* [x_h]_h W_O of row i. */
static void through(const model *m, int l, const double x[HEADS][D], double out[WIDTH])
{
    for (int e = 0; e < WIDTH; e++) {
        out[e] = 0;
        for (int h = 0; h < HEADS; h++)
            for (int c = 0; c < D; c++)
                out[e] += x[h][c] * m->w_o[l][(h * D + c) * WIDTH + e];
    }
}

static void down(const weights *w, const double *x, double out[RANK])
{
    for (int r = 0; r < RANK; r++) {
        out[r] = w->bias[r];
        for (int e = 0; e < WIDTH; e++) out[r] += w->down[r * WIDTH + e] * x[e];
    }
}

typedef struct whole {
    double ratio, cosine;
} whole;

/* p = 2, where a head's rows are P / (1 + mu) and b is mu / (1 + mu); layer 1 has an up
 * projection of its own. */
static whole dense_adapter(const model *m, int l, const weights *w, double mu)
{
    static double p[HEADS][N][N], x[N][RANK], y[N][RANK], a[N][WIDTH];
    const float *up = l == 1 ? w->gate : w->up;
    double change = 0, plain = 0, cosine = 0;

    for (int h = 0; h < HEADS; h++) dense_rows(m, l, h, p[h]);
    for (int i = 0; i < N; i++) {
        double q[HEADS][D], v[HEADS][D], o[HEADS][D] = {{0}}, wide[WIDTH];

        for (int h = 0; h < HEADS; h++)
            for (int c = 0; c < D; c++) {
                q[h][c] = m->q[l][(h * N + i) * D + c];
                v[h][c] = m->v[l][(h / 2 * N + i) * D + c];
                for (int j = 0; j < N; j++)
                    o[h][c] += p[h][i][j] * m->v[l][(h / 2 * N + j) * D + c];
            }
        through(m, l, q, wide);
        down(w, wide, x[i]);
        through(m, l, v, wide);
        down(w, wide, y[i]);
        through(m, l, o, a[i]);
    }
    for (int i = 0; i < N; i++) {
        double z[RANK], dd = 0, aa = 0, dot = 0;

        for (int r = 0; r < RANK; r++) {
            double gate = 0;

            z[r] = mu * x[i][r];
            for (int j = 0; j < N; j++) z[r] += p[r / (RANK / HEADS)][i][j] * y[j][r];
            for (int e = 0; e < WIDTH; e++)
                gate += w->gate[r * WIDTH + e] * m->h[l][i * WIDTH + e];
            z[r] *= gate / 2 * (1 + erf(gate / sqrt(2))) / (1 + mu);
        }
        for (int e = 0; e < WIDTH; e++) {
            double d = 0;

            for (int r = 0; r < RANK; r++) d += up[e * RANK + r] * z[r];
            dd += d * d;
            aa += a[i][e] * a[i][e];
            dot += d * a[i][e];
        }
        change += dd;
        plain += aa;
        cosine += dot / sqrt(dd * aa) / N;
    }
    return (whole){sqrt(change / plain), cosine};
}

static void adapter_of_a_layer(atn_ctx *cx)
{
    static const double p[] = {2, 1.5};
    const weights w = make_weights();
    model m = make_model();
    atn_adapter_opts o = atn_adapter_opts_default;
    atn_table *layers = NULL, *heads = NULL;
    atn_idx failed = -1;
    char path[700];

    cx->log_level = ATN_LOG_ERROR;
    store_model(cx, &m.stored, "adapter_layers");
    snprintf(path, sizeof path, "%s.safetensors", m.stored.path);
    save_weights(cx, &w, path, WIDTH);
    o.p = p;
    o.n_p = 2;
    o.iterations = 1;
    o.weights = path;
    CHECK_OK(atn_adapter_layer_table(cx, m.stored.capture, &m.stored.selection, &o,
                                     &layers, &heads, &failed));
    CHECK_EQ(failed, 0);
    CHECK_EQ(atn_table_rows(layers), 4);
    CHECK_EQ(atn_table_rows(heads), 2 * 2 * HEADS * 2);
    CHECK_STR(atn_table_kind(heads), "adapter_heads");
    for (int l = 0; l < 2; l++) {
        const whole want = dense_adapter(&m, l, &w, .2);

        CHECK_EQ(cell(layers, 2 * l, "layer"), l);
        CHECK_EQ(cell(layers, 2 * l, "rank"), RANK);
        CHECK_NEAR(cell(layers, 2 * l, "delta_ratio"), want.ratio, 1e-4 * want.ratio);
        CHECK_NEAR(cell(layers, 2 * l, "delta_cosine_mean"), want.cosine, 1e-4);
        CHECK_NEAR(cell(layers, 2 * l, "row_mass_mean"), 1 / 1.2, 1e-5);
        CHECK_EQ(cell(layers, 2 * l, "queries_rotated"), 1);
    }
    atn_table_destroy(cx, layers);
    atn_table_destroy(cx, heads);
    drop_model(cx, &m);
}

/* Random weights are those of the seed. */
static void random_adapter(atn_ctx *cx)
{
    model m = make_model();
    atn_adapter_opts o = atn_adapter_opts_default;
    double ratio[3];

    cx->log_level = ATN_LOG_ERROR;
    store_model(cx, &m.stored, "adapter_random");
    o.iterations = 1;
    o.rank = 4;
    for (int t = 0; t < 3; t++) {
        atn_table *layers = NULL;

        cx->threads = 1 + 2 * (t == 1);
        o.seed = t == 2;
        CHECK_OK(atn_adapter_layer_table(cx, m.stored.capture, &m.stored.selection, &o,
                                         &layers, NULL, NULL));
        ratio[t] = cell(layers, 3, "delta_ratio");
        atn_table_destroy(cx, layers);
    }
    CHECK(ratio[0] > 0);
    CHECK_NEAR(ratio[0], ratio[1], 0);
    CHECK(ratio[0] != ratio[2]);
    drop_model(cx, &m);
}

static void refuse_layers(atn_ctx *cx, const model *m, const atn_adapter_opts *o,
                          atn_status want, const char *word)
{
    atn_table *layers = NULL;

    CHECK_EQ(atn_adapter_layer_table(cx, m->stored.capture, &m->stored.selection, o,
                                     &layers, NULL, NULL),
             want);
    CHECK(!layers);
    if (!strstr(cx->err.text, word))
        fail_msg("\"%s\" is not in: %s", word, cx->err.text);
    atn_err_clear(cx);
}

/* What is missing is named. */
static void layers_refused(atn_ctx *cx)
{
    static const char *const words[] = {"needs w_o", "needs the layer's input (h",
                                        "needs values (v)"};
    const weights w = make_weights();
    atn_adapter_opts o = atn_adapter_opts_default;
    char path[700];

    cx->log_level = ATN_LOG_ERROR;
    for (int t = 0; t < 3; t++) {
        model m = make_model();

        if (t == 0) m.stored.layer[0].w_o = NULL;
        if (t == 1) m.stored.layer[0].h = NULL;
        if (t == 2) m.stored.layer[0].v = NULL;
        store_model(cx, &m.stored, "adapter_refused");
        refuse_layers(cx, &m, &o, ATN_DATA, words[t]);
        drop_model(cx, &m);
    }
    {
        model m = make_model();

        store_model(cx, &m.stored, "adapter_shapes");
        snprintf(path, sizeof path, "%s.safetensors", m.stored.path);
        save_weights(cx, &w, path, WIDTH - 1);
        o.weights = path;
        refuse_layers(cx, &m, &o, ATN_DATA,
                      "\"down.weight\" has rank 2 and shape [8, 15], not [8, 16]");
        o.rank = 12;
        refuse_layers(cx, &m, &o, ATN_DATA, "has 8 rows, not 12");
        o.weights = NULL;
        o.rank = 6;
        refuse_layers(cx, &m, &o, ATN_USAGE, "give --rank a multiple of the heads");
        o.rank = 20;
        refuse_layers(cx, &m, &o, ATN_USAGE, "wider than its layer");
        o.weights = "nowhere.safetensors";
        refuse_layers(cx, &m, &o, ATN_NOINPUT, "nowhere.safetensors");
        drop_model(cx, &m);
    }
}

/* Bad numbers in a layer leave its rows empty, the next goes on. */
static void bad_layer(atn_ctx *cx)
{
    model m = make_model();
    atn_adapter_opts o = atn_adapter_opts_default;
    atn_table *layers = NULL, *heads = NULL;
    atn_idx failed = -1;

    o.iterations = 1;
    cx->log_level = ATN_LOG_ERROR;
    m.h[0][5] = INFINITY;
    store_model(cx, &m.stored, "adapter_bad_layer");
    CHECK_OK(atn_adapter_layer_table(cx, m.stored.capture, &m.stored.selection, &o,
                                     &layers, &heads, &failed));
    CHECK_EQ(failed, HEADS);
    CHECK_EQ(atn_table_rows(layers), 10);
    CHECK_EQ(atn_table_rows(heads), 2 * HEADS * 5 * 2);
    CHECK(empty(layers, 4, "delta_ratio") && !empty(layers, 5, "delta_ratio"));
    CHECK(empty(heads, 39, "energy") && !empty(heads, 40, "energy"));
    atn_table_destroy(cx, layers);
    atn_table_destroy(cx, heads);
    drop_model(cx, &m);
}

/* ---- small and padded ---- */

/* One token has no edge but itself: it stays as it is, whatever the form. */
static void one_token(atn_ctx *cx)
{
    static const double p[] = {1.5};
    const float q[] = {1, 2, 3, 4}, v[] = {1, -2, 3, -4};
    stored_model m = {.layers = 1};

    m.layer[0] = (stored_layer){.heads = 1,
                                .kv_heads = 1,
                                .nq = 1,
                                .nk = 1,
                                .d = D,
                                .dv = D,
                                .sight = {.causal = true},
                                .q = q,
                                .k = q,
                                .v = v};
    store_model(cx, &m, "adapter_one");
    for (int form = 0; form < 3; form++) {
        atn_adapter_opts o = atn_adapter_opts_default;
        atn_table *t = NULL;
        double edges = 0;

        o.p = p;
        o.n_p = 1;
        o.form = (atn_adapter_form)form;
        CHECK_OK(atn_adapter_table(cx, m.capture, &m.selection, &o, &t, NULL));
        CHECK_EQ(atn_table_rows(t), 11);
        CHECK_NEAR(cell(t, 10, "energy"), 0, 1e-12);
        CHECK_NEAR(cell(t, 10, "output_change"), 0, 1e-7);
        CHECK_EQ(cell(t, 10, "rows_empty"), form == 2);
        atn_table_destroy(cx, t);
        t = response_of(cx, &m, &o);
        CHECK_EQ(atn_table_rows(t), 8);
        for (int b = 0; b < 8; b++) edges += cell(t, b, "frequencies");
        CHECK_EQ(edges, form != 2);
        if (form != 2) CHECK_NEAR(cell(t, 0, "gain"), 1, 1e-7);
        atn_table_destroy(cx, t);
    }
    drop_stored(cx, &m);
}

/* Two tokens of padding in front: they have no edges and are in no mean. */
static void padding(atn_ctx *cx)
{
    static const double p[] = {2};
    model m = make_model();

    for (int l = 0; l < 2; l++) {
        m.stored.layer[l].sight.key_first = 2;
        m.stored.layer[l].sight.key_last = N;
    }
    store_model(cx, &m.stored, "adapter_padded");
    for (int form = 0; form < 3; form++) {
        atn_adapter_opts o = atn_adapter_opts_default;
        atn_table *t;
        double all = 0;

        o.p = p;
        o.n_p = 1;
        o.iterations = 1;
        o.form = (atn_adapter_form)form;
        t = table_of(cx, &m, &o, 0);
        for (atn_idx row = 1; row < atn_table_rows(t); row += 2) {
            CHECK_NEAR(cell(t, row, "beta_mean"), .2 / 1.2, 1e-6);
            if (form < 2) CHECK_NEAR(cell(t, row, "row_mass_mean"), 1 / 1.2, 1e-6);
            CHECK_NEAR(cell(t, row, "kl_mean_nats"), 0, 1e-7); /* p = 2 */
            CHECK_EQ(cell(t, row, "rows_empty"), 0);
        }
        atn_table_destroy(cx, t);
        t = response_of(cx, &m.stored, &o);
        for (int b = 0; b < 8; b++) {
            const double n = cell(t, b, "frequencies");

            all += n;
            if (form == 2 && n > 0) /* h_K, as without padding */
                CHECK_NEAR(cell(t, b, "signal"), cell(t, b, "signal_p2"), 1e-10);
        }
        CHECK_EQ(all, N - 2);
        atn_table_destroy(cx, t);
    }
    drop_model(cx, &m);
}

/* ---- options ---- */

static void options(atn_ctx *cx)
{
    static const double low[] = {2, .99};
    atn_adapter_opts bad[9];
    const char *const word[] = {"p = 0.99",  "list of p is empty", "mu =",
                                "damping =", "iterations",         "rows to skip",
                                "rank -1",   "snap = 0.01",        "more than 10000"};

    for (int t = 0; t < 9; t++) bad[t] = atn_adapter_opts_default;
    CHECK_OK(atn_adapter_opts_check(cx, &bad[0]));
    bad[0].p = bad[1].p = low;
    bad[0].n_p = 2;
    bad[2].mu = -1;
    bad[3].damping = 2;
    bad[4].iterations = 0;
    bad[5].skip_rows = -1;
    bad[6].rank = -1;
    bad[7].snap = .01;
    bad[8].iterations = 10001;
    for (int t = 0; t < 9; t++) {
        CHECK_EQ(atn_adapter_opts_check(cx, &bad[t]), ATN_USAGE);
        CHECK(strstr(cx->err.text, word[t]));
        atn_err_clear(cx);
    }
}

/* The k-th allocation fails, k = 0, 1, 2, ...: MEMORY, and nothing is left. */
static void failing_allocation(atn_ctx *cx)
{
    static const double p[] = {1.5};
    model m = make_model();
    atn_adapter_opts o = atn_adapter_opts_default;

    store_model(cx, &m.stored, "adapter_failing");
    o.p = p;
    o.n_p = 1;
    o.iterations = 1;
    o.rank = 4;
    for (int kind = 0; kind < 4; kind++) {
        bool through = false;

        o.form = kind == 1 ? ATN_FORM_PGNN : ATN_FORM_BIPARTITE;
        for (long k = 0; !through; k += 1 + k / 20) {
            check_failing failing = {k};
            atn_table *t = NULL, *heads = NULL;
            atn_status st;
            atn_ctx small;

            atn_ctx_init(&small);
            small.threads = 1;
            small.log_level = ATN_LOG_ERROR;
            small.alloc = (atn_allocator){check_failing_resize, &failing};
            st = kind == 2
                     ? atn_adapter_response_table(&small, m.stored.capture,
                                                  &m.stored.selection, &o, &t, NULL)
                 : kind == 3 ? atn_adapter_layer_table(&small, m.stored.capture,
                                                       &m.stored.selection, &o, &t,
                                                       &heads, NULL)
                             : atn_adapter_table(&small, m.stored.capture,
                                                 &m.stored.selection, &o, &t, NULL);
            through = st == ATN_OK;
            if (!through) CHECK_EQ(st, ATN_MEMORY);
            CHECK_EQ(t != NULL, through);
            atn_table_destroy(&small, t);
            atn_table_destroy(&small, heads);
            atn_ctx_release(&small);
            CHECK(k < 100000);
        }
    }
    drop_model(cx, &m);
}

CHECK_MAIN({"rows of heads", rows_of_heads}, {"labels", labels}, {"bad head", bad_head},
           {"layers that lack", layers_that_lack}, {"nodes", nodes}, {"pgnn", pgnn},
           {"pgnn keeps near pairs", pgnn_keeps_near_pairs}, {"pgnn alpha", pgnn_alpha},
           {"response of two sides", response_of_two_sides},
           {"response that stops", response_that_stops},
           {"response of pgnn", response_of_pgnn},
           {"response of a ring", response_of_a_ring},
           {"adapter of a layer", adapter_of_a_layer},
           {"random adapter", random_adapter}, {"layers refused", layers_refused},
           {"bad layer", bad_layer}, {"one token", one_token}, {"padding", padding},
           {"options", options}, {"failing allocation", failing_allocation})
