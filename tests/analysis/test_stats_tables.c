/* tests/analysis/test_stats_tables.c -- tables of stats: heads, layers, the model, profiles. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "p_capture.h"

#include "analysis/stats.h"

static const float f4[] = {1,   0,   0,   0, .5f, .5f,  0,   0,
                           .2f, .3f, .5f, 0, .1f, .15f, .5f, .25f};

typedef struct tables {
    atn_table *head, *layer, *model, *profile;
} tables;

static tables tabulate(atn_ctx *cx, atn_capture *c, const atn_stats_opts *opts)
{
    tables t = {0};
    atn_selection sel;
    atn_stats *s = NULL;

    CHECK_OK(atn_select(cx, c, &(atn_select_args){0}, &sel));
    CHECK_OK(atn_stats_run(cx, c, &sel, opts, &s));
    CHECK_EQ(atn_stats_failed(s), 0);
    CHECK_OK(atn_stats_tabulate(cx, s, ATN_PER_HEAD, &t.head));
    CHECK_OK(atn_stats_tabulate(cx, s, ATN_PER_LAYER, &t.layer));
    CHECK_OK(atn_stats_tabulate(cx, s, ATN_PER_MODEL, &t.model));
    if (opts->bins > 0) CHECK_OK(atn_stats_profile(cx, s, &t.profile));
    atn_stats_destroy(cx, s);
    atn_selection_release(cx, &sel);
    return t;
}

static void drop(atn_ctx *cx, tables *t)
{
    atn_table_destroy(cx, t->head);
    atn_table_destroy(cx, t->layer);
    atn_table_destroy(cx, t->model);
    atn_table_destroy(cx, t->profile);
}

static double number(const atn_table *t, atn_idx row, const char *col)
{
    const int at = atn_table_find_col(t, col);

    if (at < 0) fail_msg("no column %s", col);
    return atn_table_get_f64(t, row, at);
}

static const char *word(const atn_table *t, atn_idx row, const char *col)
{
    const int at = atn_table_find_col(t, col);

    if (at < 0) fail_msg("no column %s", col);
    return atn_table_get_str(t, row, at);
}

/* Layer 0: F4 and a sink; layer 1: uniform, F4, a sink. Their sink masses are .45, 1 and
 * H_4 / 4 = 25 / 48. The model's number is the mean of two layers, not of five heads. Without
 * its first key the sink has no confidence: it is in no mean of it. */
static void means_of_means(atn_ctx *cx)
{
    static const double q[] = {.5};
    const double sure = (1 + .625 + .5 / .9) / 3, flat = (1 + 1 / 2. + 1 / 3.) / 3;
    const double uc = 25 / 48.;
    float p[5 * 16] = {0};
    const p_layer layers[] = {{0, "", true, 2, 4, 4, p},
                              {1, "", true, 3, 4, 4, p + 32}};
    atn_capture *c;
    tables t;

    memcpy(p, f4, sizeof f4);
    memcpy(p + 48, f4, sizeof f4);
    for (int i = 0; i < 4; i++) {
        p[16 + 4 * i] = p[64 + 4 * i] = 1;
        for (int j = 0; j <= i; j++) p[32 + 4 * i + j] = 1 / (float)(i + 1);
    }
    c = p_capture(cx, "means", layers, 2, NULL);
    t = tabulate(cx, c,
                 &(atn_stats_opts){
                     .measures = "sink,confidence", .quantiles = q, .n_quantiles = 1});
    CHECK_EQ(atn_table_rows(t.head), 5);
    CHECK_EQ(atn_table_rows(t.layer), 2);
    CHECK_EQ(atn_table_rows(t.model), 1);
    CHECK_NEAR(number(t.head, 0, "sink_mass"), .45, 1e-7);
    CHECK_NEAR(number(t.head, 2, "sink_mass"), uc, 1e-7);
    CHECK_NEAR(number(t.layer, 0, "sink_mass"), .725, 1e-7);
    CHECK_NEAR(number(t.layer, 1, "sink_mass"), (uc + .45 + 1) / 3, 1e-7);
    CHECK_NEAR(number(t.model, 0, "sink_mass"), (.725 + (uc + 1.45) / 3) / 2, 1e-7);
    /* medians .35, 1 of layer 0 */
    CHECK_NEAR(number(t.layer, 0, "sink_mass_p50"), .675, 1e-7);
    CHECK(isnan(number(t.head, 1, "confidence_without_first")));
    CHECK_NEAR(number(t.layer, 0, "confidence_without_first"), sure, 1e-6);
    CHECK_NEAR(number(t.layer, 1, "confidence_without_first"), (sure + flat) / 2, 1e-6);
    CHECK_NEAR(number(t.model, 0, "confidence_without_first"),
               (sure + (sure + flat) / 2) / 2, 1e-6);
    CHECK_EQ(atn_table_find_col(t.layer, "head"), -1);
    CHECK_EQ(atn_table_find_col(t.model, "layer"), -1);
    drop(cx, &t);
    atn_capture_close(cx, c);
}

/* A row a head and bin; bins without rows have none; row columns alone. */
static void profile_rows(atn_ctx *cx)
{
    static const float per_row[] = {1, .5f, .2f, .1f}; /* first key of F4 */
    float p[32];
    const p_layer layer = {0, "", true, 2, 4, 4, p};
    atn_capture *c;

    memcpy(p, f4, sizeof f4);
    memcpy(p + 16, f4, sizeof f4);
    c = p_capture(cx, "profile", &layer, 1, NULL);
    for (int bins = 1; bins <= 6; bins++) {
        atn_stats_opts opts = {.measures = "sink,sink_columns", .bins = bins};
        tables t = tabulate(cx, c, &opts);
        atn_idx next = 0;

        CHECK_EQ(atn_table_rows(t.profile), 2 * (bins < 4 ? bins : 4));
        CHECK_EQ(atn_table_find_col(t.profile, "sink_columns_first"), -1);
        for (atn_idx r = 0; r < atn_table_rows(t.profile) / 2; r++) {
            const atn_idx from = atn_table_get_i64(
                t.profile, r, atn_table_find_col(t.profile, "row_first"));
            const atn_idx to = atn_table_get_i64(
                t.profile, r, atn_table_find_col(t.profile, "row_last"));
            double sum = 0;

            CHECK_EQ(from, next);
            next = to + 1;
            for (atn_idx i = from; i <= to; i++) sum += (double)per_row[i];
            CHECK_NEAR(number(t.profile, r, "sink_mass"), sum / (double)(to - from + 1),
                       1e-7);
        }
        CHECK_EQ(next, 4);
        drop(cx, &t);
    }
    atn_capture_close(cx, c);
}

/* The four patterns; stacks have a column of their own, and the model is of several. */
static void patterns(atn_ctx *cx)
{
    float p[48], q[24];
    const p_layer layers[] = {{0, "encoder", false, 1, 4, 4, p},
                              {0, "decoder", true, 1, 4, 4, p},
                              {0, "cross", false, 1, 4, 4, p},
                              {1, "cross", true, 1, 2, 4, q}};
    const p_layer alone = {0, "", false, 1, 2, 4, q};
    static const char *const want[][2] = {{"encoder", "noncausal_self"},
                                          {"decoder", "causal_self"},
                                          {"cross", "noncausal_cross"},
                                          {"cross", "causal_cross"}};
    atn_capture *c;
    tables t;

    for (int i = 0; i < 24; i++) p[i] = p[24 + i] = q[i] = .25f;
    c = p_capture(cx, "patterns", layers, 4, NULL);
    t = tabulate(cx, c, &(atn_stats_opts){.measures = "sink"});
    CHECK_EQ(atn_table_rows(t.head), 4);
    for (int i = 0; i < 4; i++) {
        int found = 0;

        for (int k = 0; k < 4; k++)
            found += strcmp(word(t.head, i, "stack"), want[k][0]) == 0 &&
                     strcmp(word(t.head, i, "pattern"), want[k][1]) == 0;
        CHECK_EQ(found, 1);
    }
    CHECK_EQ(atn_table_rows(t.layer), 4);
    CHECK_STR(word(t.model, 0, "pattern"), "mixed");
    drop(cx, &t);
    atn_capture_close(cx, c);
    /* other queries than keys, and no mask: cross-attention, whatever its name */
    c = p_capture(cx, "pattern", &alone, 1, NULL);
    t = tabulate(cx, c, &(atn_stats_opts){.measures = "sink"});
    CHECK_STR(word(t.model, 0, "pattern"), "noncausal_cross");
    CHECK_EQ(atn_table_find_col(t.head, "stack"), -1);
    drop(cx, &t);
    atn_capture_close(cx, c);
}

CHECK_MAIN({"means of means", means_of_means}, {"rows of a profile", profile_rows},
           {"patterns", patterns})
