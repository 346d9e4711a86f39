/* tests/capture/test_import_bertviz.c -- data of BertViz views, and stacks of
 * imports. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "make_model.h"

#include "capture/import.h"
#include "core/io/capture.h"
#include "core/io/file.h"
#include "core/io/npy.h"

static char folder[600]; /* of the running test */

static const char *in_folder(int slot, const char *name)
{
    static char path[8][800];

    snprintf(path[slot], sizeof path[slot], "%s/%s", folder, name);
    return path[slot];
}

static atn_status import(atn_ctx *cx, const char *json, atn_import_result *r)
{
    atn_import_args a = {.force = true};

    if (json) write_text(folder, "view.json", json);
    a.bertviz = in_folder(0, "view.json");
    a.out_dir = in_folder(1, "run");
    return atn_import(cx, &a, NULL, r);
}

/* Two layers of one head and two tokens, rows not alike. */
#define A2 "[[[[0.25, 0.75], [1, 0]]], [[[0.5, 0.5], [0.125, 0.875]]]]"

static void check_a2(atn_ctx *cx, atn_capture *c, int layer)
{
    static const float want[2][4] = {{.25f, .75f, 1, 0}, {.5f, .5f, .125f, .875f}};
    atn_idx shape[ATN_ST_MAX_RANK];
    float *p = NULL;
    int rank = 0;

    CHECK_OK(atn_capture_tensor(cx, c, layer, "p", &p, &rank, shape));
    CHECK(rank == 3 && shape[0] == 1 && shape[1] == 2 && shape[2] == 2);
    CHECK(memcmp(p, want[layer], sizeof want[layer]) == 0);
    atn_free(cx, p);
}

/* Every form of one view: parameters of now and of before, a page, the arguments. */
static void one_view(atn_ctx *cx)
{
    static const struct {
        const char *json;
        bool texts;
    } cases[] = {
        {"{\"attention\": [{\"name\": null, \"attn\": " A2
         ", \"left_text\": [\"a\", \"b\"], "
         "\"right_text\": [\"a\", \"b\"]}], \"default_filter\": \"0\", "
         "\"root_div_id\": \"x\", "
         "\"layer\": null, \"heads\": null, \"include_layers\": [0, 1]}",
         true},
        {"{\"attention\": [{\"name\": \"All\", \"attn\": " A2
         ", \"left_text\": [\"a\", \"b\"], "
         "\"right_text\": [\"a\", \"b\"]}, {\"name\": \"Sentence A -> Sentence A\", "
         "\"attn\": "
         "[[[[1]]]], \"left_text\": [\"a\"], \"right_text\": [\"a\"]}]}",
         true},
        {"{\"attention\": {\"all\": {\"attn\": " A2 ", \"left_text\": [\"a\", \"b\"], "
         "\"right_text\": [\"a\", \"b\"]}}, \"default_filter\": \"all\"}",
         true},
        {"<script>requirejs(['d3'], function ($) {\nconst params = {\"attention\": "
         "[{\"name\": "
         "null, \"attn\": " A2
         ", \"left_text\": [\"a\", \"b\"], \"right_text\": [\"a\", "
         "\"b\"]}]}; // HACK: {\"attention\": 1} is a marker\n</script>",
         true},
        {"{\"attention\": " A2 ", \"tokens\": [\"a\", \"b\"]}", true},
        {"{\"attention\": [[[[[0.25, 0.75], [1, 0]]]], [[[[0.5, 0.5], [0.125, "
         "0.875]]]]]}",
         false},
        {A2, false},
    };

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        atn_capture *c = NULL;
        atn_import_result r;
        const char *const *texts;
        const int32_t *ids;

        snprintf(folder, sizeof folder, "%s", check_scratch("bertviz-one"));
        CHECK_OK(import(cx, cases[i].json, &r));
        CHECK(r.n == 1 && r.part[0].layers == 2 && !r.part[0].causal);
        CHECK_OK(atn_capture_open(cx, in_folder(1, "run"), &c));
        check_a2(cx, c, 0);
        check_a2(cx, c, 1);
        CHECK_EQ(atn_capture_tokens(c, &ids, &texts), cases[i].texts ? 2 : 0);
        if (cases[i].texts) CHECK(strcmp(texts[1], "b") == 0 && ids[1] == 1);
        atn_capture_close(cx, c);
    }
}

/* Layers keep their numbers. */
static void chosen_layers(atn_ctx *cx)
{
    atn_capture *c = NULL;
    atn_import_result r;

    snprintf(folder, sizeof folder, "%s", check_scratch("bertviz-layers"));
    CHECK_OK(import(
        cx,
        "{\"attention\": [{\"name\": null, \"attn\": " A2 ", \"left_text\": [\"a\", "
        "\"b\"], \"right_text\": [\"a\", \"b\"]}], \"include_layers\": [3, 7]}",
        &r));
    CHECK_OK(atn_capture_open(cx, in_folder(1, "run"), &c));
    CHECK_EQ(atn_capture_layer(c, 0)->layer, 3);
    CHECK_EQ(atn_capture_layer(c, 1)->layer, 7);
    CHECK_EQ(atn_capture_model(c)->layers, 8);
    CHECK(atn_file_exists(in_folder(2, "run/layer-007.safetensors")));
    atn_capture_close(cx, c);
}

/* Encoder of 2 tokens, decoder of 1, cross-attention; given in another order. */
static void views_of_stacks(atn_ctx *cx)
{
    static const char *const forms[] = {
        "{\"attention\": [{\"name\": \"Cross\", \"attn\": [[[[0.25, 0.75]]]], "
        "\"left_text\": "
        "[\"u\"], \"right_text\": [\"a\", \"b\"]}, {\"name\": \"Encoder\", \"attn\": "
        "[[[[0.5, "
        "0.5], [1, 0]]]], \"left_text\": [\"a\", \"b\"], \"right_text\": [\"a\", "
        "\"b\"]}, "
        "{\"name\": \"Decoder\", \"attn\": [[[[1]]]], \"left_text\": [\"u\"], "
        "\"right_text\": "
        "[\"u\"]}]}",
        "{\"cross_attention\": [[[[0.25, 0.75]]]], \"encoder_attention\": [[[[0.5, "
        "0.5], [1, "
        "0]]]], \"decoder_attention\": [[[[1]]]], \"encoder_tokens\": [\"a\", \"b\"], "
        "\"decoder_tokens\": [\"u\"]}"};

    for (int i = 0; i < 2; i++) {
        atn_import_result r;
        atn_capture *c = NULL;
        atn_tokens q, k;

        snprintf(folder, sizeof folder, "%s", check_scratch("bertviz-stacks"));
        CHECK_OK(import(cx, forms[i], &r));
        CHECK(r.n == 3 && strcmp(r.part[0].stack, "encoder") == 0 &&
              strcmp(r.part[2].stack, "cross") == 0);
        CHECK_OK(atn_capture_open(cx, in_folder(1, "run"), &c));
        CHECK_EQ(atn_capture_layers(c), 3);
        CHECK_STR(atn_capture_layer(c, 0)->stack, "cross");
        atn_capture_layer_tokens(c, 0, &q, &k);
        CHECK(q.n == 1 && k.n == 2 && strcmp(q.texts[0], "u") == 0 &&
              strcmp(k.texts[1], "b") == 0);
        atn_capture_close(cx, c);
    }
}

/* neuron_view has the queries and keys; its attention tells that they are causal. */
static void queries_and_keys(atn_ctx *cx)
{
    atn_import_result r;
    atn_capture *c = NULL;
    atn_problem p;

    snprintf(folder, sizeof folder, "%s", check_scratch("bertviz-neuron"));
    CHECK_OK(import(
        cx,
        "{\"attention\": {\"all\": {\"attn\": [[[[1, 0], [0.5, 0.5]]]], \"queries\": "
        "[[[[1, 2, 3, 4], [5, 6, 7, 8]]]], \"keys\": [[[[1, 0, 0, 0], [1, 0, 0, "
        "0]]]], \"left_text\": [\"a\", \"b\"], \"right_text\": [\"a\", \"b\"]}}}",
        &r));
    CHECK(r.part[0].causal && r.part[0].causal_detected && r.part[0].d == 4);
    CHECK_OK(atn_capture_open(cx, in_folder(1, "run"), &c));
    CHECK_OK(atn_capture_load(cx, c, 0, &p));
    CHECK(p.q && p.q[7] == 8 && p.scale == .5 && p.sight.causal);
    atn_capture_unload(cx, &p);
    atn_capture_close(cx, c);
}

/* Texts a, b of the encoder and c, d of the decoder; those of Cross are given. */
#define STACKS(right, left)                                                            \
    "{\"attention\": [{\"name\": \"Encoder\", \"attn\": " A2                           \
    ", \"right_text\": [\"a\", \"b\"]}, {\"name\": \"Decoder\", \"attn\": " A2         \
    ", \"right_text\": [\"c\", \"d\"]}, {\"name\": \"Cross\", \"attn\": " A2           \
    ", \"left_text\": [" left "], \"right_text\": [" right "]}]}"

/* Layers in any order; heads that were chosen are named. */
static void chosen_layers_and_heads(atn_ctx *cx)
{
    atn_import_result r;
    atn_capture *c = NULL;

    snprintf(folder, sizeof folder, "%s", check_scratch("bertviz-chosen"));
    CHECK_OK(import(cx,
                    "{\"attention\": " A2
                    ", \"include_layers\": [2, 0], \"include_heads\": [3]}",
                    &r));
    CHECK_STR(r.note, "the heads 3 of the view are heads 0 to 0 here");
    CHECK_OK(atn_capture_open(cx, in_folder(1, "run"), &c));
    CHECK(atn_capture_layer(c, 0)->layer == 0 && atn_capture_layer(c, 1)->layer == 2);
    CHECK_EQ(atn_capture_model(c)->layers, 3);
    {
        atn_problem p;

        CHECK_OK(atn_capture_load(cx, c, 1, &p)); /* layer 2, the first of the view */
        CHECK(p.p[0] == .25f && p.p[2] == 1);
        atn_capture_unload(cx, &p);
    }
    atn_capture_close(cx, c);
    CHECK_OK(import(cx, STACKS("\"a\", \"b\"", "\"c\", \"d\""), &r));
    CHECK_STR(r.note, "");
}

/* 1000 lists that promise 1000 numbers each, but the first has them alone: 8 MB that a
 * small text asks for are not taken. */
static void ragged_lists(atn_ctx *cx)
{
    static char json[20000];
    atn_import_result r;
    size_t n = 0;

    cx->log_level = ATN_LOG_ERROR;
    snprintf(folder, sizeof folder, "%s", check_scratch("bertviz-ragged"));
    n += (size_t)snprintf(json + n, sizeof json - n, "[[[[0");
    for (int i = 1; i < 1000; i++)
        n += (size_t)snprintf(json + n, sizeof json - n, ",0");
    n += (size_t)snprintf(json + n, sizeof json - n, "]");
    for (int level = 0; level < 3; level++) {
        for (int i = 1; i < 1000; i++)
            n += (size_t)snprintf(json + n, sizeof json - n, ",0");
        n += (size_t)snprintf(json + n, sizeof json - n, "]");
    }
    write_text(folder, "view.json", json);
    cx->mem_limit = 1 << 24;
    CHECK_FAILS(import(cx, NULL, &r), ATN_DATA, "attn[0][0][1] is no list of 1000");
    cx->mem_limit = 0;
}

static void refusals(atn_ctx *cx)
{
    static const struct {
        const char *json, *message;
    } cases[] = {
        {"{\"cells\": []}", "no data of a BertViz view"},
        {"<html></html>", "holds no parameters of a BertViz view"},
        {"<html>params = {\"a\": [", "have no end"},
        {"[[[[0.5, 0.5], [1]]]]", "attn[0][0][1] is no list of 2"},
        {"[[[[0.5, 0.5], [1, \"x\"]]]]", "attn[0][0][1][1] is no number"},
        {"[[[0.5, 0.5]]]", "is not [layers][heads][queries][keys]"},
        {"[[], [1]]", "has a list that is empty"},
        {"[[[[NaN]]]]", "no valid JSON"},
        {"[[[[0.5, 0.75]]]]", "sums to more than 1"},
        {"{\"attention\": {\"aa\": {}}}", "no data of a BertViz view"},
        {"{\"attention\": [{\"name\": \"x\", \"attn\": " A2 "}, {\"name\": \"y\"}]}",
         "has 2 views, the first of name \"x\""},
        {"{\"attention\": [{\"name\": \"Encoder\", \"attn\": " A2
         "}, {\"name\": \"encoder\"}]}",
         "view 1 has the name \"encoder\""},
        {"{\"attention\": " A2 ", \"tokens\": [\"a\"]}", "no list of 2 strings"},
        {"{\"attention\": " A2 ", \"tokens\": [\"a\", 3]}",
         "entry 1 of the token texts"},
        {"{\"attention\": " A2 ", \"include_layers\": [1]}", "has 1 numbers"},
        {"{\"attention\": " A2 ", \"include_layers\": [1, 1]}",
         "include_layers[1] is 1 once more"},
        {"{\"attention\": " A2 ", \"include_layers\": [-1, 1]}",
         "include_layers[0] is -1, not the number"},
        {"{\"attention\": " A2 ", \"include_layers\": [0, \"x\"]}",
         "include_layers[1] is no integer"},
        {"{\"attention\": [{\"attn\": " A2 ", \"left_text\": [\"a\"], \"right_text\": "
         "[\"a\", \"b\"]}]}",
         "\"left_text\" has 1 entries, so it is no list of 2 strings"},
        {"{\"attention\": [{\"attn\": " A2 ", \"right_text\": [\"a\", \"b\", \"c\"]}]}",
         "\"right_text\" has 3 entries"},
        {STACKS("\"x\", \"y\"", "\"c\", \"d\""),
         "\"right_text\" of the view Cross is not the text of the view Encoder"},
        {STACKS("\"a\", \"b\"", "\"d\", \"c\""),
         "\"left_text\" of the view Cross is not the text of the view Decoder"},
        {"{\"encoder_attention\": [[[[1]]]], \"cross_attention\": [[[[0.5, 0.5]]]]}",
         "the encoder has 1 tokens, but cross-attention has 2 keys"},
    };
    atn_import_result r;

    cx->log_level = ATN_LOG_ERROR;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        snprintf(folder, sizeof folder, "%s", check_scratch("bertviz-refused"));
        CHECK_FAILS(import(cx, cases[i].json, &r), ATN_DATA, cases[i].message);
        CHECK(!atn_dir_exists(in_folder(1, "run")));
    }
    write_text(folder, "view.json", A2);
    cx->mem_limit = 1000;
    CHECK_FAILS(import(cx, NULL, &r), ATN_MEMORY, "");
    cx->mem_limit = 0;
}

static const char *ones(atn_ctx *cx, int slot, const char *name, atn_idx rows,
                        atn_idx cols)
{
    const float x[] = {1, 0, 0, 1, 0, 0, 1, 0, 0};
    const atn_idx shape[] = {rows, cols};

    CHECK_OK(atn_npy_save_f32(cx, in_folder(slot, name), x, 2, shape, true));
    return in_folder(slot, name);
}

/* --attn encoder=..,cross=.., with the tokens of both from one file or from two. */
static void sources_by_stack(atn_ctx *cx)
{
    char spec[2000], tokens[2000];
    atn_import_args a = {.p = spec, .tokens = tokens, .force = true};
    atn_import_result r;
    atn_capture *c = NULL;
    atn_tokens q, k;

    snprintf(folder, sizeof folder, "%s", check_scratch("import-stacks"));
    snprintf(spec, sizeof spec, "cross=%s,encoder=%s", ones(cx, 0, "x,=.npy", 2, 3),
             ones(cx, 1, "e.npy", 3, 3));
    a.out_dir = in_folder(2, "run");
    write_text(folder, "t.json",
               "{\"encoder\": {\"query\": [\"a\", \"b\", \"c\"]}, \"cross\": "
               "{\"query\": [\"u\", \"v\"], \"key\": [\"x\", \"y\", \"z\"]}}");
    snprintf(tokens, sizeof tokens, "%s", in_folder(3, "t.json"));
    CHECK_OK(atn_import(cx, &a, NULL, &r));
    CHECK(r.n == 2 && !r.part[0].causal && !r.part[1].causal);
    CHECK_OK(atn_capture_open(cx, a.out_dir, &c));
    atn_capture_layer_tokens(c, 0, &q, &k);
    CHECK(q.n == 2 && strcmp(q.texts[1], "v") == 0 && strcmp(k.texts[2], "c") == 0);
    atn_capture_close(cx, c);

    write_text(folder, "u.json", "[\"s\", \"t\"]");
    snprintf(tokens, sizeof tokens, "decoder=%s", in_folder(3, "u.json"));
    CHECK_OK(atn_import(cx, &a, NULL, &r));
    CHECK_OK(atn_capture_open(cx, a.out_dir, &c));
    atn_capture_layer_tokens(c, 0, &q, &k);
    CHECK(q.n == 2 && strcmp(q.texts[0], "s") == 0 && k.n == 0);
    atn_capture_close(cx, c);
}

static void wrong_stacks(atn_ctx *cx)
{
    const struct {
        atn_import_args a;
        atn_status code;
        const char *message;
    } cases[] = {
        {{.p = "encoder=a.npy,encoder=b.npy"}, ATN_USAGE, "has encoder twice"},
        {{.p = "encoder=a.npy", .grid = "2"}, ATN_USAGE, "are of a single stack"},
        {{.p = "encoder=a.npy", .v = "decoder=a.npy"},
         ATN_USAGE,
         "stack decoder has neither"},
        {{.p = "a.npy", .v = "decoder=a.npy"}, ATN_USAGE, "other tensors are of none"},
        {{.q = "encoder=a.npy", .k = "decoder=a.npy"},
         ATN_USAGE,
         "stack encoder has neither"},
        {{.p = "encoder=a.npy", .q = "encoder=a.npy", .k = "encoder=a.npy"},
         ATN_USAGE,
         "leave out one"},
        {{.bertviz = "a.json", .p = "a.npy"}, ATN_USAGE, "--bertviz has its attention"},
        {{.bertviz = "a.json", .steps = true},
         ATN_USAGE,
         "--bertviz has its attention"},
    };
    atn_import_result r;

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        atn_import_args a = cases[i].a;

        a.out_dir = "run";
        CHECK_FAILS(atn_import(cx, &a, NULL, &r), cases[i].code, cases[i].message);
    }
}

/* Published matrices of a Marian model. */
static void published(atn_ctx *cx)
{
    const char *file = check_shared("captured/opus-mt-en-de.safetensors");
    char spec[4000], tokens[1100];
    atn_import_args a = {.p = spec, .tokens = tokens};
    atn_import_result r;

    snprintf(folder, sizeof folder, "%s", check_scratch("import-marian"));
    snprintf(spec, sizeof spec, "encoder=%s:encoder,decoder=%s:decoder,cross=%s:cross",
             file, file, file);
    snprintf(tokens, sizeof tokens, "%.*s.tokens.json",
             (int)(strlen(file) - strlen(".safetensors")), file);
    a.out_dir = in_folder(0, "run");
    CHECK_OK(atn_import(cx, &a, NULL, &r));
    CHECK(r.n == 3 && r.part[0].nk == 7 && r.part[1].nk == 14 && r.part[2].nq == 14);
    CHECK(!r.part[0].causal && r.part[1].causal && !r.part[2].causal);
}

CHECK_MAIN({"one view", one_view}, {"chosen layers", chosen_layers},
           {"chosen layers and heads", chosen_layers_and_heads},
           {"ragged lists", ragged_lists}, {"views of stacks", views_of_stacks},
           {"queries and keys", queries_and_keys}, {"refusals", refusals},
           {"sources by stack", sources_by_stack}, {"wrong stacks", wrong_stacks},
           {"published", published})
