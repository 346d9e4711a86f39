/* Similarity and plans as tables: published columns, cells, captions, missing values. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "check.h"

#include "analysis/similarity.h"

static const float P3[] = {1, 0, 0, .5f, .5f, 0, .2f, .3f, .5f};
static const float U3[] = {1, 0, 0, .5f, .5f, 0, 1 / 3.f, 1 / 3.f, 1 / 3.f};
static const float V3[] = {1, 0, 0, 1, 2, 2};

/* Layers 4, 5, 6 of a made-up model: P, uniform, P; d = 8 and D = 16 for the costs. */
static atn_similarity sample(atn_ctx *cx, const float *v, const atn_similarity_opts *o)
{
    const float *const p[] = {P3, U3, P3};
    atn_similarity s = {.parts = 1, .opts = *o};
    atn_problem layers[3];

    for (int l = 0; l < 3; l++)
        layers[l] = (atn_problem){.layer = 4 + l,
                                  .heads = 1,
                                  .kv_heads = 1,
                                  .nq = 3,
                                  .nk = 3,
                                  .d = 8,
                                  .dv = 2,
                                  .p = p[l],
                                  .v = v,
                                  .sight = {.causal = true, .key_last = 3}};
    s.part = atn_alloc(cx, 1, sizeof *s.part);
    CHECK(s.part);
    CHECK_OK(atn_similarity_compare(cx, layers, 3, NULL, NULL, 16, o, s.part));
    return s;
}

static void silent(void *user, atn_log_level level, const char *text)
{
    (void)user;
    (void)level;
    (void)text;
}

static double cell(const atn_table *t, atn_idx row, const char *col)
{
    const int c = atn_table_find_col(t, col);

    if (c < 0) fail_msg("no column %s", col);
    return atn_table_get_f64(t, row, c);
}

static void layers(atn_ctx *cx)
{
    static const char *const names[] = {"layer_a", "layer_b",  "cos_elem",
                                        "cos_row", "cos_avg",  "match",
                                        "pearson", "copy_err", "pattern"};
    atn_similarity_opts o;
    atn_table *t = NULL;
    atn_similarity s;

    cx->log_sink = silent;
    atn_similarity_defaults(&o);
    s = sample(cx, V3, &o);
    CHECK_OK(atn_similarity_layers_table(cx, &s, &t));
    CHECK_EQ(atn_table_cols(t), 9);
    for (int c = 0; c < 9; c++) CHECK_STR(atn_table_col_name(t, c), names[c]);
    CHECK_EQ(atn_table_rows(t), 9);
    /* row 1 is 4 -> 5: layer 5 uses P for its uniform matrix */
    CHECK_NEAR(cell(t, 1, "layer_a"), 4, 0);
    CHECK_NEAR(cell(t, 1, "layer_b"), 5, 0);
    CHECK_NEAR(cell(t, 1, "cos_elem"), 0.987511, 1e-6);
    CHECK_NEAR(cell(t, 1, "cos_row"), 0.978862, 1e-6);
    CHECK_NEAR(cell(t, 1, "copy_err"), 0.192725, 1e-6);
    CHECK_NEAR(cell(t, 2, "copy_err"), 0, 0);
    CHECK(fabs(cell(t, 3, "copy_err") - 0.192725) >
          1e-3); /* 5 -> 4 is another number */
    CHECK_EQ(atn_table_get_matrix(t).rows, 3);
    CHECK_NEAR(
        atn_row(((atn_mat){(float *)atn_table_get_matrix(t).data, 3, 3, 3}), 1)[2],
        0.987511, 1e-6);
    CHECK(strstr(atn_table_get_meta(t, "title"), "layers"));
    CHECK(strstr(atn_table_get_meta(t, "copy_err_of"), "before W_O"));
    atn_table_destroy(cx, t);
    atn_similarity_release(cx, &s);
}

/* P alone: the column stays, its cells are missing, the reason travels along. */
static void layers_without_values(atn_ctx *cx)
{
    atn_similarity_opts o;
    atn_table *t = NULL;
    atn_similarity s;
    int col;

    cx->log_sink = silent;
    atn_similarity_defaults(&o);
    s = sample(cx, NULL, &o);
    CHECK_OK(atn_similarity_layers_table(cx, &s, &t));
    col = atn_table_find_col(t, "copy_err");
    CHECK(col >= 0 && !atn_table_has(t, 1, col));
    CHECK(strstr(atn_table_get_meta(t, "copy_err_reason"), "values"));
    atn_table_destroy(cx, t);
    atn_similarity_release(cx, &s);
    o.copy_err = false;
    s = sample(cx, V3, &o);
    CHECK_OK(atn_similarity_layers_table(cx, &s, &t));
    CHECK_EQ(atn_table_find_col(t, "copy_err"), -1);
    atn_table_destroy(cx, t);
    atn_similarity_release(cx, &s);
}

static void heads(atn_ctx *cx)
{
    atn_similarity_opts o = {.copy_err = false};
    atn_similarity s = sample(cx, V3, &o);
    atn_table *t = NULL;

    s.many_stacks = s.many_steps = true;
    CHECK_OK(atn_similarity_heads_table(cx, &s, &t));
    CHECK_STR(atn_table_col_name(t, 0), "stack");
    CHECK_STR(atn_table_col_name(t, 1), "step");
    CHECK_STR(atn_table_col_name(t, 2), "layer_a");
    CHECK_EQ(atn_table_rows(t), 6);
    CHECK_NEAR(cell(t, 4, "layer_a"), 5, 0);
    CHECK_NEAR(cell(t, 4, "layer_b"), 6, 0);
    CHECK_NEAR(cell(t, 4, "cos_elem"), 0.987511, 1e-6);
    CHECK_NEAR(cell(t, 4, "pearson"), 0.936586, 1e-6);
    atn_table_destroy(cx, t);
    atn_similarity_release(cx, &s);
}

/* Threshold .98 with nothing kept: one block led by layer 4; D = 16, H d = 8, so a follower
 * saves 16 (8 + 8) = 256 weights and 3 8 2 = 48 bytes; 2 256 + 2 1.5 8 = 536 flop. */
static void plan(atn_ctx *cx)
{
    atn_similarity_opts o;
    atn_share_opts share;
    atn_table *t = NULL, *sum = NULL;
    atn_similarity s;

    cx->log_sink = silent;
    atn_similarity_defaults(&o);
    atn_share_defaults(&share);
    share.threshold = .98;
    share.first_keep = share.last_keep = 0;
    s = sample(cx, V3, &o);
    CHECK_OK(atn_similarity_plan_table(cx, &s, &share, &t, &sum));
    CHECK_EQ(atn_table_rows(t), 3);
    CHECK_NEAR(cell(t, 2, "layer"), 6, 0);
    CHECK_NEAR(cell(t, 2, "leader"), 4, 0);
    CHECK_STR(atn_table_get_str(t, 0, atn_table_find_col(t, "role")), "leader");
    CHECK_STR(atn_table_get_str(t, 1, atn_table_find_col(t, "role")), "follower");
    CHECK_NEAR(cell(t, 1, "similarity"), 0.987511, 1e-6);
    CHECK_NEAR(cell(t, 1, "copy_err"), 0.192725, 1e-6);
    CHECK_NEAR(cell(t, 1, "saved_params"), 256, 0);
    CHECK_NEAR(cell(t, 1, "saved_flop"), 536, 0);
    CHECK_NEAR(cell(t, 1, "saved_cache_bytes"), 48, 0);
    CHECK_NEAR(cell(t, 0, "saved_params"), 0, 0);
    CHECK_EQ(atn_table_rows(sum), 1);
    CHECK_NEAR(cell(sum, 0, "followers"), 2, 0);
    CHECK_NEAR(cell(sum, 0, "saved_params"), 512, 0);
    CHECK_NEAR(cell(sum, 0, "similarity_min"), 0.987511, 1e-6);
    CHECK_NEAR(cell(sum, 0, "copy_err_sum"), 0.192725, 1e-6);
    CHECK(!atn_table_has(sum, 0, atn_table_find_col(sum, "flop_bound")));
    CHECK(strstr(atn_table_get_meta(t, "subtitle"), "2 of 3 layers follow"));
    atn_table_destroy(cx, t);
    atn_table_destroy(cx, sum);
    share.metric = ATN_SIM_COS_ROW; /* .978862 is below the threshold */
    CHECK_OK(atn_similarity_plan_table(cx, &s, &share, &t, NULL));
    CHECK_STR(atn_table_get_str(t, 0, atn_table_find_col(t, "role")), "alone");
    atn_table_destroy(cx, t);
    atn_similarity_release(cx, &s);
}

static int countdown;

static void *resize_failing(void *user, void *ptr, size_t size)
{
    (void)user;
    if (size == 0) {
        free(ptr);
        return NULL;
    }
    return --countdown < 0 ? NULL : realloc(ptr, size);
}

static void survives_failed_allocations(atn_ctx *cx)
{
    const atn_similarity_opts o = {.copy_err = true};
    const atn_allocator real = cx->alloc;
    atn_table *t = NULL, *sum = NULL, *layers_table = NULL;
    atn_status st = ATN_MEMORY;
    atn_share_opts share;
    atn_similarity s;

    cx->log_sink = silent;
    atn_share_defaults(&share);
    s = sample(cx, V3, &o);
    for (int k = 0; st != ATN_OK; k++) {
        countdown = k;
        cx->alloc.resize = resize_failing;
        st = atn_similarity_plan_table(cx, &s, &share, &t, &sum);
        if (st == ATN_OK) st = atn_similarity_layers_table(cx, &s, &layers_table);
        cx->alloc = real;
        atn_table_destroy(cx, layers_table);
        atn_table_destroy(cx, t);
        atn_table_destroy(cx, sum);
        layers_table = t = sum = NULL;
        if (st != ATN_OK) CHECK_EQ(st, ATN_MEMORY);
        CHECK_LE(k, 2000);
    }
    atn_similarity_release(cx, &s);
}

CHECK_MAIN({"layers", layers}, {"layers without values", layers_without_values},
           {"heads", heads}, {"plan", plan},
           {"survives failed allocations", survives_failed_allocations})
