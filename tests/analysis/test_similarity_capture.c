/* Similarity of captures on disk: stacks, steps, head selection, W_O, memory limit. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "similarity_model.h"

/* Layer files of random tensors under the keys of docs/guide/capture-format.md. */
typedef struct writer {
    json_t *layers;
    model m;
    char path[600];
} writer;

static void describe(writer *w, int l, int step)
{
    const atn_problem *p = &w->m.p[l];
    json_t *j =
        json_pack("{s:i, s:i, s:s, s:f, s:[ssss]}", "index", l, "step", step, "mask",
                  "causal", "scale", p->scale, "tensors", "q", "k", "v", "w_o");

    json_object_set_new(j, "heads", json_integer(p->heads));
    json_object_set_new(j, "kv_heads", json_integer(p->kv_heads));
    json_object_set_new(j, "n_q", json_integer(p->nq));
    json_object_set_new(j, "n_k", json_integer(p->nk));
    json_object_set_new(j, "d", json_integer(p->d));
    json_object_set_new(j, "d_v", json_integer(p->dv));
    json_object_set_new(j, "file",
                        json_sprintf("step-%03d/layer-%03d.safetensors", step, l));
    json_array_append_new(w->layers, j);
}

static atn_st_out tensor(const char *name, const float *x, int rank, atn_idx a,
                         atn_idx b, atn_idx c)
{
    return (atn_st_out){name, ATN_F32, rank, {a, b, c}, x};
}

static atn_capture *store(atn_ctx *cx, writer *w, const char *name)
{
    json_t *manifest = json_pack("{s:s, s:{s:s, s:i, s:i, s:i, s:b}, s:o}", "schema",
                                 "attnscope/capture/1", "model", "name", "random",
                                 "width", (int)w->m.width, "ffn", 20, "vocab", 50,
                                 "gated", 1, "layers", w->layers);
    atn_capture_writer *out = NULL;
    atn_capture *c = NULL;

    snprintf(w->path, sizeof w->path, "%s/run", check_scratch(name));
    CHECK_OK(atn_capture_begin(cx, w->path, manifest, "00", false, &out));
    for (int i = 0; i < (int)json_array_size(w->layers); i++) {
        const atn_problem *p = &w->m.p[json_integer_value(
            json_object_get(json_array_get(w->layers, (size_t)i), "index"))];
        const atn_st_out t[] = {
            tensor("q", p->q, 3, p->heads, p->nq, p->d),
            tensor("k", p->k, 3, p->kv_heads, p->nk, p->d),
            tensor("v", p->v, 3, p->kv_heads, p->nk, p->dv),
            tensor("w_o", w->m.w[p->layer], 2, p->heads * p->dv, w->m.width, 0)};

        CHECK_OK(atn_capture_put(cx, out, i, t, 4));
    }
    CHECK_OK(atn_capture_finish(cx, out, NULL));
    json_decref(manifest);
    CHECK_OK(atn_capture_open(cx, w->path, &c));
    return c;
}

/* From disk as from memory. */
static void same_as_in_memory(atn_ctx *cx)
{
    writer w = {.layers = json_array(), .m = make_model(cx, 3, 4, 2, 23)};
    atn_similarity_opts o;
    atn_similarity_part ref;
    atn_share_opts share;
    atn_similarity s;
    atn_selection sel;
    atn_table *t = NULL, *sum = NULL;
    atn_capture *c;

    atn_similarity_defaults(&o);
    for (int l = 0; l < 3; l++) describe(&w, l, 0);
    c = store(cx, &w, "similarity_memory");
    CHECK_OK(atn_select(cx, c, &(atn_select_args){0}, &sel));
    CHECK_OK(atn_similarity_run(cx, c, &sel, &o, &s));
    CHECK_OK(compare(cx, &w.m, &o, &ref));
    CHECK_EQ(s.parts, 1);
    CHECK(memcmp(s.part[0].head_elem, ref.head_elem, 144 * sizeof(double)) == 0);
    CHECK(s.part[0].copy_err &&
          memcmp(s.part[0].copy_err, ref.copy_err, 9 * sizeof(double)) == 0);
    atn_share_defaults(&share);
    share.threshold = 0;
    share.first_keep = 0;
    CHECK_OK(atn_similarity_plan_table(cx, &s, &share, &t, &sum));
    /* one follower, layer 1, saves 11 (24 + 12) weights; the bound needs ffn and vocabulary */
    CHECK_NEAR(atn_table_get_f64(sum, 0, atn_table_find_col(sum, "saved_params")), 396,
               0);
    CHECK(atn_table_get_f64(sum, 0, atn_table_find_col(sum, "flop_bound")) > 1);
    atn_table_destroy(cx, t);
    atn_table_destroy(cx, sum);
    atn_similarity_release(cx, &s);
    atn_similarity_part_release(cx, &ref);
    atn_selection_release(cx, &sel);
    CHECK_OK(atn_select(cx, c, &(atn_select_args){0}, &sel));
    cx->mem_limit = 1200;
    CHECK_FAILS(atn_similarity_run(cx, c, &sel, &o, &s), ATN_MEMORY, "--mem-limit");
    cx->mem_limit = 0;
    atn_selection_release(cx, &sel);
    atn_capture_close(cx, c);
    drop_model(&w.m);
}

/* Two steps are compared within themselves; tables show the step. */
static void steps_and_heads(atn_ctx *cx)
{
    writer w = {.layers = json_array(), .m = make_model(cx, 2, 3, 3, 12)};
    atn_similarity_opts o = {.copy_err = true};
    atn_similarity s;
    atn_selection sel;
    atn_table *t = NULL;
    atn_capture *c;

    for (int step = 0; step < 2; step++)
        for (int l = 0; l < 2; l++) describe(&w, l, step);
    c = store(cx, &w, "similarity_steps");
    CHECK_OK(atn_select(cx, c, &(atn_select_args){.heads = "2,0"}, &sel));
    CHECK_OK(atn_similarity_run(cx, c, &sel, &o, &s));
    CHECK_EQ(s.parts, 2);
    CHECK_EQ(s.part[1].step, 1);
    CHECK_EQ(s.part[1].heads, 4);
    CHECK_EQ(s.part[1].head[1], 2);
    CHECK_NEAR(s.part[1].copy_err[1], s.part[0].copy_err[1], 0);
    CHECK_OK(atn_similarity_layers_table(cx, &s, &t));
    CHECK_STR(atn_table_col_name(t, 0), "step");
    CHECK_EQ(atn_table_rows(t), 8);
    CHECK(!atn_table_get_matrix(t).data);
    atn_table_destroy(cx, t);
    atn_similarity_release(cx, &s);
    atn_selection_release(cx, &sel);
    CHECK_OK(atn_select(cx, c, &(atn_select_args){.heads = "0.1,1.2"}, &sel));
    CHECK_OK(atn_similarity_run(cx, c, &sel, &(atn_similarity_opts){0}, &s));
    CHECK_FAILS(atn_similarity_layers_table(cx, &s, &t), ATN_USAGE, "--between heads");
    CHECK_OK(atn_similarity_heads_table(cx, &s, &t));
    atn_table_destroy(cx, t);
    atn_similarity_release(cx, &s);
    atn_selection_release(cx, &sel);
    atn_capture_close(cx, c);
    drop_model(&w.m);
}

CHECK_MAIN({"same as in memory", same_as_in_memory},
           {"steps and heads", steps_and_heads})
