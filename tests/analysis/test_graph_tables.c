/* tests/analysis/test_graph_tables.c -- the attention graph of a capture, in tables. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "check.h"

#include "analysis/graph_tables.h"
#include "stored_model.h"

static const float H4[] = {1,   0,   0,   0, .5f, .5f, 0,   0,
                           .2f, .3f, .5f, 0, .1f, .4f, .2f, .3f};
static const float X4[] = {1, 0, 0, 1, 1, 1, -1, 0};
static int32_t LABEL4[] = {0, 1, 0, 1};
static char *NAMES[] = {"even", "odd"};
static const atn_token_labels LABELS = {
    .n = 4, .label = LABEL4, .classes = 2, .name = NAMES, .what = "by hand"};

/* Layer 0: H4 of two heads, layer 1 without values. */
static void store(atn_ctx *cx, stored_model *m, const char *name)
{
    static float p[32];

    memcpy(p, H4, sizeof H4);
    memcpy(p + 16, H4, sizeof H4);
    *m = (stored_model){.layers = 2};
    for (int l = 0; l < 2; l++)
        m->layer[l] = (stored_layer){.heads = 2,
                                     .kv_heads = 1,
                                     .nq = 4,
                                     .nk = 4,
                                     .d = 1,
                                     .dv = 2,
                                     .sight = {.causal = true},
                                     .p = p,
                                     .v = l == 0 ? X4 : NULL};
    for (int l = 0; l < 2; l++) m->layer[l].kv_heads = l == 0 ? 1 : 2;
    store_model(cx, m, name);
}

static double cell(const atn_table *t, atn_idx row, const char *name)
{
    const int col = atn_table_find_col(t, name);

    if (col < 0) fail_msg("no column %s", name);
    return atn_table_get_f64(t, row, col);
}

static bool quiet;
static void sink(void *user, atn_log_level level, const char *text)
{
    (void)level;
    if (strstr(text, user)) quiet = false;
}

static void heads_by_hand(atn_ctx *cx)
{
    static char lack[] = "no values";
    atn_graph_table_opts o;
    atn_table *t = NULL;
    atn_idx failed = 9;
    stored_model m;

    cx->log_sink = sink;
    cx->log_user = lack;
    quiet = true;
    atn_graph_defaults(&o);
    o.what =
        ATN_GRAPH_LABELLED | ATN_GRAPH_FEATURE | ATN_GRAPH_FREQUENCY | ATN_GRAPH_WORST;
    o.labels = &LABELS;
    o.power = 1;
    store(cx, &m, "graph/heads");
    CHECK_OK(atn_graph_table(cx, m.capture, &m.selection, &o, &t, &failed));
    CHECK_EQ(failed, 0);
    CHECK_EQ(atn_table_rows(t), 4);
    CHECK_STR(atn_table_kind(t), "graph");
    CHECK_STR(atn_table_get_meta(t, "labels"), "by hand");
    for (int r = 0; r < 4; r++) {
        CHECK_EQ(cell(t, r, "layer"), r / 2);
        CHECK_EQ(cell(t, r, "head"), r % 2);
        CHECK_EQ(cell(t, r, "classes"), 2);
        CHECK_EQ(cell(t, r, "labelled_keys"), 4);
        CHECK_NEAR(cell(t, r, "homophily_edge"), .725, 1e-6);
        CHECK_NEAR(cell(t, r, "homophily_adjusted"), .45, 1e-6);
        CHECK_NEAR(cell(t, r, "homophily_adjusted_causal"), .175, 1e-6);
        CHECK_NEAR(cell(t, r, "homophily_edge_nodiag"), .352941, 1e-6);
        CHECK_NEAR(cell(t, r, "homophily_node_nodiag"), .323810, 1e-6);
        CHECK_NEAR(cell(t, r, "homophily_insensitive"), 0, 1e-12);
        CHECK(cell(t, r, "homophily_insensitive_diag") > .1);
        CHECK(cell(t, r, "frequency_worst_gain") > .5);
        if (r < 2) {
            CHECK_NEAR(cell(t, r, "feature_homophily"), .603033, 1e-6);
            CHECK_NEAR(cell(t, r, "feature_homophily_lift"), .071043, 1e-6);
            CHECK_NEAR(cell(t, r, "dirichlet"), 3.7, 1e-5);
            CHECK_NEAR(cell(t, r, "frequency_rayleigh"), .414693, 1e-6);
            CHECK(cell(t, r, "dirichlet_power") > 0);
        } else {
            CHECK(isnan(cell(t, r, "feature_homophily")));
            CHECK(isnan(cell(t, r, "frequency_gain")));
            CHECK(isnan(cell(t, r, "dirichlet_power")));
        }
        /* |P|^2 = 1 + .5 + .38 + .3, less 1: of P alone */
        CHECK_NEAR(cell(t, r, "attnscale_high_norm"), sqrt(1.18), 1e-6);
    }
    CHECK(!quiet);
    atn_table_destroy(cx, t);
    drop_stored(cx, &m);
}

/* Of every column with self edges and without, one. */
static void self_edges_chosen(atn_ctx *cx)
{
    atn_graph_table_opts o;
    stored_model m;

    atn_graph_defaults(&o);
    o.what = ATN_GRAPH_EDGE | ATN_GRAPH_INSENSITIVE;
    o.labels = &LABELS;
    store(cx, &m, "graph/self");
    for (int self = ATN_GRAPH_BOTH; self <= ATN_GRAPH_DROP; self++) {
        atn_table *t = NULL;
        atn_idx failed;

        o.self = (atn_graph_self)self;
        CHECK_OK(atn_graph_table(cx, m.capture, &m.selection, &o, &t, &failed));
        CHECK_EQ(atn_table_find_col(t, "homophily_edge") >= 0, self != ATN_GRAPH_DROP);
        CHECK_EQ(atn_table_find_col(t, "homophily_edge_nodiag") >= 0,
                 self != ATN_GRAPH_KEEP);
        CHECK_EQ(atn_table_find_col(t, "homophily_insensitive") >= 0,
                 self != ATN_GRAPH_KEEP);
        CHECK_EQ(atn_table_find_col(t, "homophily_node"), -1);
        atn_table_destroy(cx, t);
    }
    o.skip_rows = 4;
    {
        atn_table *t = NULL;
        atn_idx failed;

        CHECK_FAILS(atn_graph_table(cx, m.capture, &m.selection, &o, &t, &failed),
                    ATN_USAGE, "leaves no row of layer 0");
        CHECK(!t);
    }
    drop_stored(cx, &m);
}

static void class_matrix(atn_ctx *cx)
{
    static const double want[] = {.4, .6, 2.0 / 3, 1.0 / 3};
    atn_graph_table_opts o;
    atn_table *t = NULL;
    atn_idx failed;
    stored_model m;

    atn_graph_defaults(&o);
    o.labels = &LABELS;
    store(cx, &m, "graph/classes");
    CHECK_OK(atn_graph_classes_table(cx, m.capture, &m.selection, &o, &t, &failed));
    CHECK_EQ(atn_table_rows(t), 16);
    for (int r = 0; r < 16; r++) {
        CHECK_EQ(cell(t, r, "class"), r / 2 % 2);
        CHECK_EQ(cell(t, r, "key_class"), r % 2);
        CHECK_NEAR(cell(t, r, "homophily_class_share"), want[r % 4], 1e-6);
        CHECK_STR(atn_table_get_str(t, r, atn_table_find_col(t, "key_class_name")),
                  NAMES[r % 2]);
    }
    atn_table_destroy(cx, t);
    o.self = ATN_GRAPH_KEEP;
    CHECK_OK(atn_graph_classes_table(cx, m.capture, &m.selection, &o, &t, &failed));
    CHECK_NEAR(cell(t, 0, "homophily_class_share"), 1.7 / 2, 1e-6);
    atn_table_destroy(cx, t);
    drop_stored(cx, &m);
}

/* Nobody has a label: a table without rows, and the log says why. */
static void nothing_labelled(atn_ctx *cx)
{
    static char lack[] = "none of its keys has a label";
    static int32_t none[] = {-1, -1, -1, -1};
    const atn_token_labels labels = {.n = 4, .label = none, .what = "by hand"};
    atn_graph_table_opts o;
    atn_table *t = NULL;
    atn_idx failed;
    stored_model m;

    cx->log_sink = sink;
    cx->log_user = lack;
    quiet = true;
    atn_graph_defaults(&o);
    o.labels = &labels;
    store(cx, &m, "graph/nothing");
    CHECK_OK(atn_graph_classes_table(cx, m.capture, &m.selection, &o, &t, &failed));
    CHECK_EQ(atn_table_rows(t), 0);
    CHECK_EQ(failed, 0);
    CHECK(!quiet);
    atn_table_destroy(cx, t);
    o.what = ATN_GRAPH_LABELLED;
    CHECK_OK(atn_graph_table(cx, m.capture, &m.selection, &o, &t, &failed));
    CHECK_EQ(cell(t, 0, "classes"), 0);
    CHECK(isnan(cell(t, 0, "homophily_edge")));
    atn_table_destroy(cx, t);
    drop_stored(cx, &m);
}

static void spectra(atn_ctx *cx)
{
    static const double value[] = {0, .404287, .573079, .804029};
    atn_graph_table_opts o;
    atn_table *bins = NULL, *ends = NULL;
    atn_idx failed;
    stored_model m;

    atn_graph_defaults(&o);
    o.spectrum.bins = 0;
    store(cx, &m, "graph/spectra");
    CHECK_OK(atn_graph_spectrum_tables(cx, m.capture, &m.selection, &o, &bins, &ends,
                                       &failed));
    CHECK_EQ(failed, 0);
    CHECK_EQ(atn_table_rows(bins), 16);
    CHECK_EQ(atn_table_rows(ends), 4);
    for (int r = 0; r < 16; r++) { /* layer 1 has no features, but a graph */
        CHECK_EQ(isnan(cell(bins, r, "energy_share")), r >= 8);
        CHECK_EQ(cell(bins, r, "bin"), r % 4);
        CHECK_NEAR(cell(bins, r, "lambda"), value[r % 4], 1e-6);
        CHECK_EQ(cell(bins, r, "eigenvalues"), 1);
    }
    CHECK_NEAR(cell(ends, 0, "lambda_second"), .404287, 1e-6);
    CHECK_EQ(cell(ends, 0, "zero_eigenvalues"), 1);
    CHECK_NEAR(cell(ends, 2, "lambda_second"), .404287, 1e-6);
    CHECK_EQ(cell(ends, 2, "components"), 1);
    CHECK(isnan(cell(ends, 2, "energy_low_share")));
    atn_table_destroy(cx, bins);
    atn_table_destroy(cx, ends);
    drop_stored(cx, &m);
}

/* One head whose weights overflow in float32; decoding and cross-attention. */
static void other_layers(atn_ctx *cx)
{
    /* the logit of head 1, row 2, key 2 is 9e38, beyond float32 */
    const float q[] = {1, 2, 3, 1, 1, 1, 3e38f, 2}, k[] = {1, 2, 3, 1};
    const float p[] = {.2f, .8f, 0, .1f, .2f, .7f};
    stored_model m = {.layers = 2};
    atn_graph_table_opts o;
    atn_table *t = NULL, *ends = NULL;
    atn_idx failed;

    m.layer[0] = (stored_layer){.heads = 2,
                                .kv_heads = 1,
                                .nq = 4,
                                .nk = 4,
                                .d = 1,
                                .dv = 2,
                                .scale = 1,
                                .sight = {.causal = true},
                                .q = q,
                                .k = k,
                                .v = X4};
    m.layer[1] = (stored_layer){.heads = 1,
                                .kv_heads = 1,
                                .nq = 2,
                                .nk = 3,
                                .d = 1,
                                .dv = 2,
                                .sight = {.causal = true, .offset = 1},
                                .p = p,
                                .v = X4};
    atn_graph_defaults(&o);
    o.what |= ATN_GRAPH_EDGE;
    o.labels = &LABELS;
    cx->log_level = ATN_LOG_ERROR;
    store_model(cx, &m, "graph/other");
    CHECK_OK(atn_graph_table(cx, m.capture, &m.selection, &o, &t, &failed));
    CHECK_EQ(failed, 1);
    CHECK_EQ(atn_table_rows(t), 3);
    CHECK(!isnan(cell(t, 0, "feature_homophily")));
    CHECK(isnan(cell(t, 1, "feature_homophily")) &&
          isnan(cell(t, 1, "frequency_gain")));
    CHECK(!isnan(cell(t, 2, "feature_homophily"))); /* decoding has own keys */
    /* labels 0 1 0 of three tokens, the queries are the last two: .8 and .1 + .7 */
    CHECK_NEAR(cell(t, 2, "homophily_edge"), .8, 1e-6);
    CHECK_NEAR(cell(t, 2, "homophily_edge_nodiag"), .1 / .5, 1e-6);
    CHECK(isnan(cell(t, 2, "frequency_rayleigh")) &&
          !isnan(cell(t, 2, "frequency_gain")));
    atn_table_destroy(cx, t);
    CHECK_OK(
        atn_graph_spectrum_tables(cx, m.capture, &m.selection, &o, &t, &ends, &failed));
    CHECK_EQ(failed, 1);
    CHECK_EQ(atn_table_rows(t), 8);
    CHECK(isnan(cell(ends, 1, "nodes")) && isnan(cell(ends, 2, "nodes")));
    atn_table_destroy(cx, t);
    atn_table_destroy(cx, ends);
    drop_stored(cx, &m);
}

static void allocations_may_fail(atn_ctx *cx)
{
    atn_graph_table_opts o;
    stored_model m;

    atn_graph_defaults(&o);
    o.what = ATN_GRAPH_LABELLED | ATN_GRAPH_FEATURE | ATN_GRAPH_FREQUENCY;
    o.labels = &LABELS;
    store(cx, &m, "graph/memory");
    for (int which = 0; which < 3; which++) {
        atn_status st = ATN_MEMORY;

        for (long k = 0; st != ATN_OK; k++) {
            check_failing fail = {k};
            atn_table *t = NULL, *more = NULL;
            atn_idx failed;
            atn_ctx c;

            CHECK(k < 4000);
            atn_ctx_init(&c);
            c.threads = 1;
            c.log_level = ATN_LOG_ERROR;
            c.alloc = (atn_allocator){check_failing_resize, &fail};
            st = which == 0
                     ? atn_graph_table(&c, m.capture, &m.selection, &o, &t, &failed)
                 : which == 1 ? atn_graph_classes_table(&c, m.capture, &m.selection, &o,
                                                        &t, &failed)
                              : atn_graph_spectrum_tables(&c, m.capture, &m.selection,
                                                          &o, &t, &more, &failed);
            CHECK(st == ATN_OK || st == ATN_MEMORY);
            fail.left = 1 << 20;
            atn_table_destroy(&c, t);
            atn_table_destroy(&c, more);
            atn_ctx_release(&c);
        }
    }
    drop_stored(cx, &m);
}

CHECK_MAIN({"heads by hand", heads_by_hand}, {"self edges chosen", self_edges_chosen},
           {"class matrix", class_matrix}, {"nothing labelled", nothing_labelled},
           {"spectra", spectra}, {"other layers", other_layers},
           {"allocations may fail", allocations_may_fail})
