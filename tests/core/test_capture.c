/* tests/core/test_capture.c -- captures: written, resumed, refused, edited by hand. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "check.h"

#include <dirent.h>
#include <unistd.h>

#include "core/io/capture.h"
#include "core/io/file.h"
#include "core/io/json.h"

enum { H = 2, N = 3, D = 2 };
static const float q[H * N * D] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12};
static const float k[N * D] = {.5f, .25f, 0, 1, -1, 2};

static json_t *manifest(int layers)
{
    json_t *list = json_array();

    for (int l = 0; l < layers; l++)
        json_array_append_new(
            list, json_pack("{s:i, s:s, s:i, s:o, s:n, s:i, s:i, s:i, s:i, s:i, s:i, "
                            "s:f, s:s, s:i, s:n, "
                            "s:n, s:[s,s,s]}",
                            "index", l, "stack", "", "step", 0, "file",
                            json_sprintf("layer-%03d.safetensors", l), "hash", "heads",
                            H, "kv_heads", 1, "d", D, "d_v", D, "n_q", N, "n_k", N,
                            "scale", 0.5, "mask", "causal", "offset", 0, "window",
                            "softcap", "tensors", "q", "k", "v"));
    return json_pack("{s:{s:s, s:i, s:i, s:i}, s:[s], s:[i], s:o, s:{s:[i,i,i], "
                     "s:[s,s,s]}}",
                     "model", "name", "m", "width", 4, "layers", 3, "vocab", 9,
                     "stacks", "", "steps", 0, "layers", list, "tokens", "ids", 5, 6, 5,
                     "texts", "a", "b", "a");
}

static atn_status put(atn_ctx *cx, atn_capture_writer *w, int l)
{
    const atn_st_out t[] = {{"q", ATN_F32, 3, {H, N, D}, q},
                            {"k", ATN_F32, 3, {1, N, D}, k},
                            {"v", ATN_F32, 3, {1, N, D}, k}};

    return atn_capture_put(cx, w, l, t, 3);
}

static const char *place(const char *name)
{
    static char dir[600];

    snprintf(dir, sizeof dir, "%s/run", check_scratch(name));
    return dir;
}

static void write_capture(atn_ctx *cx, const char *dir, int layers)
{
    atn_capture_writer *w = NULL;
    json_t *m = manifest(layers);

    CHECK_OK(atn_capture_begin(cx, dir, m, "f1", false, &w));
    for (int l = 0; l < layers; l++) CHECK_OK(put(cx, w, l));
    CHECK_OK(atn_capture_finish(cx, w, NULL));
    json_decref(m);
}

static void round_trip(atn_ctx *cx)
{
    const char *dir = place("capture-round"), *const * texts;
    const int32_t *ids;
    atn_capture *c = NULL;
    atn_problem p;

    write_capture(cx, dir, 2);
    CHECK_OK(atn_capture_open(cx, dir, &c));
    CHECK(atn_capture_complete(c));
    CHECK_EQ(atn_capture_layers(c), 2);
    CHECK_EQ(atn_capture_model(c)->width, 4);
    CHECK_EQ(atn_capture_tokens(c, &ids, &texts), 3);
    CHECK(ids[1] == 6 && strcmp(texts[2], "a") == 0);
    CHECK_OK(atn_capture_load(cx, c, 1, &p));
    CHECK(p.heads == H && p.kv_heads == 1 && p.nq == N && p.scale == .5 &&
          p.sight.causal);
    CHECK(memcmp(p.q, q, sizeof q) == 0 && memcmp(p.k, k, sizeof k) == 0);
    atn_capture_unload(cx, &p);
    atn_capture_close(cx, c);
}

/* A manifest of encoder (3 tokens), decoder (2) and cross; tokens by stack as given. */
static json_t *stacks_manifest(const char *stack_tokens)
{
    static const struct {
        const char *stack;
        int nq, nk;
    } all[] = {{"encoder", 3, 3}, {"decoder", 2, 2}, {"cross", 2, 3}};
    json_t *m = manifest(3), *list = json_object_get(m, "layers");

    for (size_t i = 0; i < 3; i++) {
        json_t *l = json_array_get(list, i);

        json_object_set_new(l, "stack", json_string(all[i].stack));
        json_object_set_new(l, "n_q", json_integer(all[i].nq));
        json_object_set_new(l, "n_k", json_integer(all[i].nk));
        json_object_set_new(l, "mask", json_string(i == 1 ? "causal" : "full"));
        json_object_set_new(l, "tensors", json_pack("[s, s]", "q", "k"));
    }
    json_object_set_new(m, "stacks",
                        json_pack("[s, s, s]", "encoder", "decoder", "cross"));
    json_object_set_new(m, "tokens", json_null());
    json_object_set_new(m, "stack_tokens", json_loads(stack_tokens, 0, NULL));
    return m;
}

static void write_stacks(atn_ctx *cx, const char *dir, const char *stack_tokens)
{
    json_t *m = stacks_manifest(stack_tokens);
    atn_capture_writer *w = NULL;

    CHECK_OK(atn_capture_begin(cx, dir, m, "f1", true, &w));
    for (int i = 0; i < 3; i++) {
        const atn_idx nq = i == 0 ? 3 : 2, nk = i == 1 ? 2 : 3;
        const atn_st_out t[] = {{"q", ATN_F32, 3, {H, nq, D}, q},
                                {"k", ATN_F32, 3, {1, nk, D}, k}};

        CHECK_OK(atn_capture_put(cx, w, i, t, 2));
    }
    CHECK_OK(atn_capture_finish(cx, w, NULL));
    json_decref(m);
}

/* The queries of cross-attention are the decoder's tokens, its keys the encoder's. */
static void tokens_by_stack(atn_ctx *cx)
{
    static const char *const want[3][2] = {{"xyz", "xyz"}, {"uv", "uv"}, {"uv", "xyz"}};
    const char *dir = place("capture-stacks");
    atn_capture *c = NULL;

    write_stacks(cx, dir,
                 "{\"encoder\": {\"texts\": [\"x\", \"y\", \"z\"], \"ids\": [4, 0, 4]},"
                 " \"decoder\": {\"texts\": [\"u\", \"v\"]}}");
    CHECK_OK(atn_capture_open(cx, dir, &c));
    CHECK_EQ(atn_capture_tokens(c, NULL, NULL), 0);
    for (int i = 0; i < 3; i++) {
        const char *stack = atn_capture_layer(c, i)->stack;
        const int w = stack[0] == 'e' ? 0 : stack[0] == 'd' ? 1 : 2;
        atn_tokens t[2];

        atn_capture_layer_tokens(c, i, &t[0], &t[1]);
        for (int side = 0; side < 2; side++) {
            CHECK_EQ(t[side].n, (atn_idx)strlen(want[w][side]));
            for (atn_idx j = 0; j < t[side].n; j++)
                CHECK_EQ(t[side].texts[j][0], want[w][side][j]);
            CHECK((t[side].ids != NULL) == (want[w][side][0] == 'x'));
        }
    }
    atn_capture_close(cx, c);
}

static void wrong_tokens_by_stack(atn_ctx *cx)
{
    static const struct {
        const char *tokens, *message;
    } cases[] = {
        {"{\"cross\": {\"ids\": [1]}}", "cross"},
        {"[1]", "no object of \"encoder\" and \"decoder\""},
        {"{\"encoder\": 3}", "\"stack_tokens.encoder\" is no object"},
        {"{\"encoder\": {\"ids\": [1, 2]}}",
         "has 2 tokens, but layer 2 of cross has 3"},
        {"{\"decoder\": {\"ids\": [1]}}", "has 1 tokens, but layer 2 of cross has 2"},
        {"{\"decoder\": {\"ids\": [1, 9]}}", "stack_tokens.decoder.ids[1] is 9"},
        {"{\"decoder\": {\"ids\": [1, 2], \"texts\": [\"a\"]}}", "differ in number"},
        {"{\"decoder\": {\"texts\": [\"a\", 1]}}", "no list of strings"}};
    const char *dir = place("capture-stacks-wrong");

    for (size_t i = 0; i < ATN_LEN(cases); i++) {
        atn_capture *c = NULL;

        write_stacks(cx, dir, cases[i].tokens);
        CHECK_FAILS(atn_capture_open(cx, dir, &c), ATN_DATA, cases[i].message);
    }
}

/* Of one stack: the queries of a causal layer are the last tokens. */
static void tokens_of_layer(atn_ctx *cx)
{
    const char *dir = place("capture-layer-tokens");
    atn_capture *c = NULL;
    atn_tokens queries, keys;

    write_capture(cx, dir, 1);
    CHECK_OK(atn_capture_open(cx, dir, &c));
    atn_capture_layer_tokens(c, 0, &queries, &keys);
    CHECK(queries.n == 3 && keys.n == 3 && queries.ids[1] == 6);
    CHECK(strcmp(keys.texts[2], "a") == 0);
    atn_capture_close(cx, c);
}

static void resuming(atn_ctx *cx)
{
    const char *dir = place("capture-resume");
    atn_capture_writer *w = NULL;
    atn_capture *c = NULL;
    json_t *m = manifest(3);

    CHECK_OK(atn_capture_begin(cx, dir, m, "f1", false, &w));
    CHECK_OK(put(cx, w, 1));
    atn_capture_abandon(cx, w); /* a crash */
    cx->log_level = ATN_LOG_ERROR;
    CHECK_OK(atn_capture_open(cx, dir, &c));
    CHECK(!atn_capture_complete(c));
    CHECK_EQ(atn_capture_layers(c), 1);
    CHECK_EQ(atn_capture_layer(c, 0)->layer, 1);
    atn_capture_close(cx, c);
    CHECK_FAILS(atn_capture_begin(cx, dir, m, "other", false, &w), ATN_CANTCREATE,
                "--force");
    CHECK_OK(atn_capture_begin(cx, dir, m, "f1", false, &w));
    CHECK(!atn_capture_has_layer(w, 0) && atn_capture_has_layer(w, 1) &&
          !atn_capture_has_layer(w, 2));
    CHECK_OK(put(cx, w, 0));
    CHECK_OK(put(cx, w, 2));
    CHECK_OK(atn_capture_finish(cx, w, NULL));
    CHECK_FAILS(atn_capture_begin(cx, dir, m, "f1", false, &w), ATN_CANTCREATE,
                "complete capture");
    json_decref(m);
}

/* Names in the folder above a capture; the scratch place holds nothing else. */
static int beside(const char *dir)
{
    char above[600];
    int n = 0;
    DIR *d;

    snprintf(above, sizeof above, "%s", dir);
    *strrchr(above, '/') = '\0';
    d = opendir(above);
    CHECK(d != NULL);
    for (const struct dirent *e = readdir(d); e; e = readdir(d))
        n += e->d_name[0] != '.';
    closedir(d);
    return n;
}

static void check_fingerprint(atn_ctx *cx, const char *dir, const char *want)
{
    atn_capture *c = NULL;
    atn_problem p;

    CHECK_OK(atn_capture_open(cx, dir, &c));
    CHECK(atn_capture_complete(c));
    CHECK_STR(
        json_string_value(json_object_get(atn_capture_manifest(c), "fingerprint")),
        want);
    CHECK_OK(atn_capture_load(cx, c, 0, &p));
    atn_capture_unload(cx, &p);
    atn_capture_close(cx, c);
}

static void touch(const char *dir, const char *name)
{
    char path[800];
    FILE *f;

    snprintf(path, sizeof path, "%s/%s", dir, name);
    f = fopen(path, "w");
    CHECK(f != NULL);
    fclose(f);
}

static bool has(const char *dir, const char *name)
{
    char path[800];

    snprintf(path, sizeof path, "%s/%s", dir, name);
    return atn_file_exists(path);
}

/* The old capture reads until the new one is complete, through a crash and a resumption; its
 * results go with it, what is not ours is kept. */
static void replacing(atn_ctx *cx)
{
    const char *dir = place("capture-replace");
    char results[700], old[700], slash[700];
    atn_capture_writer *w = NULL;
    json_t *m = manifest(2);

    cx->log_level = ATN_LOG_ERROR;
    write_capture(cx, dir, 2);
    snprintf(results, sizeof results, "%s/results", dir);
    snprintf(slash, sizeof slash, "%s/", dir);
    CHECK_OK(atn_dir_make(cx, results));
    touch(results, "stats-1.csv");
    touch(results, "stats-1.csv.run.json");
    CHECK_OK(atn_capture_begin(cx, dir, m, "f2", true, &w));
    check_fingerprint(cx, dir, "f1");
    atn_capture_abandon(cx, w); /* without a layer nothing is left of it */
    CHECK_EQ(beside(dir), 1);
    CHECK_OK(atn_capture_begin(cx, dir, m, "f2", true, &w));
    CHECK_OK(put(cx, w, 1));
    atn_capture_abandon(cx, w); /* a crash */
    check_fingerprint(cx, dir, "f1");
    CHECK_EQ(beside(dir), 2);
    CHECK_OK(atn_capture_begin(cx, slash, m, "f2", true, &w));
    CHECK(!atn_capture_has_layer(w, 0) && atn_capture_has_layer(w, 1));
    CHECK_OK(put(cx, w, 0));
    check_fingerprint(cx, dir, "f1");
    CHECK(has(results, "stats-1.csv"));
    CHECK_OK(atn_capture_finish(cx, w, NULL));
    check_fingerprint(cx, dir, "f2");
    CHECK_EQ(beside(dir), 1);
    CHECK(!atn_dir_exists(results));

    touch(dir, "notes.txt");
    CHECK_OK(atn_capture_begin(cx, dir, m, "f3", true, &w));
    for (int l = 0; l < 2; l++) CHECK_OK(put(cx, w, l));
    CHECK_OK(atn_capture_finish(cx, w, NULL));
    check_fingerprint(cx, dir, "f3");
    snprintf(old, sizeof old, "%s.old-f3", dir);
    CHECK(has(old, "notes.txt") && !has(old, "layer-000.safetensors"));
    json_decref(m);
}

static void nothing_begun_leaves_nothing(atn_ctx *cx)
{
    char dir[800], above[700];
    atn_capture_writer *w = NULL;
    json_t *m = manifest(1);

    snprintf(above, sizeof above, "%s/a", check_scratch("capture-nothing"));
    snprintf(dir, sizeof dir, "%s/b/run/", above);
    CHECK_OK(atn_capture_begin(cx, dir, m, "f1", false, &w));
    CHECK(atn_dir_exists(dir));
    atn_capture_abandon(cx, w);
    CHECK(!atn_dir_exists(above));
    json_decref(m);
}

/* A layer that was edited while the capture was incomplete is not sealed. */
static void edited_layer_is_made_again(atn_ctx *cx)
{
    const char *dir = place("capture-sealed");
    const float other[H * N * D] = {9};
    const atn_st_out t[] = {{"q", ATN_F32, 3, {H, N, D}, other},
                            {"k", ATN_F32, 3, {1, N, D}, k},
                            {"v", ATN_F32, 3, {1, N, D}, k}};
    atn_capture_writer *w = NULL;
    json_t *m = manifest(2);
    char path[700];

    cx->log_level = ATN_LOG_ERROR;
    CHECK_OK(atn_capture_begin(cx, dir, m, "f1", false, &w));
    for (int l = 0; l < 2; l++) CHECK_OK(put(cx, w, l));
    atn_capture_abandon(cx, w);
    snprintf(path, sizeof path, "%s/layer-001.safetensors", dir);
    CHECK_OK(atn_st_save(cx, path, t, 3, NULL, true, NULL));
    CHECK_OK(atn_capture_begin(cx, dir, m, "f1", false, &w));
    CHECK(atn_capture_has_layer(w, 0) && !atn_capture_has_layer(w, 1));
    atn_capture_abandon(cx, w);
    json_decref(m);
}

/* A torn layer file of an interrupted capture is not counted as done. */
static void torn_layer(atn_ctx *cx)
{
    const char *dir = place("capture-torn");
    atn_capture_writer *w = NULL;
    json_t *m = manifest(1);
    char path[700];

    CHECK_OK(atn_capture_begin(cx, dir, m, "f1", false, &w));
    CHECK_OK(put(cx, w, 0));
    atn_capture_abandon(cx, w);
    snprintf(path, sizeof path, "%s/layer-000.safetensors", dir);
    CHECK_EQ(truncate(path, 100), 0);
    CHECK_OK(atn_capture_begin(cx, dir, m, "f1", false, &w));
    CHECK(!atn_capture_has_layer(w, 0));
    atn_capture_abandon(cx, w);
    json_decref(m);
}

static void other_directories_are_left_alone(atn_ctx *cx)
{
    const char *dir = check_scratch("capture-foreign");
    atn_capture_writer *w = NULL;
    json_t *m = manifest(1);
    char path[700];
    FILE *f;

    snprintf(path, sizeof path, "%s/thesis.tex", dir);
    f = fopen(path, "w");
    fclose(f);
    CHECK_FAILS(atn_capture_begin(cx, dir, m, "f", true, &w), ATN_CANTCREATE,
                "left alone");
    CHECK(atn_file_exists(path));
    CHECK_FAILS(atn_capture_begin(cx, path, m, "f", true, &w), ATN_CANTCREATE, "");
    json_decref(m);
}

/* Rewrites one key of the first layer, or of the manifest when `top`, and stands by it. */
static void edit(atn_ctx *cx, const char *dir, const char *key, json_t *value, bool top)
{
    char path[700];
    json_t *m = NULL;

    snprintf(path, sizeof path, "%s/capture.json", dir);
    CHECK_OK(atn_json_load(cx, path, false, &m));
    json_object_set_new(top ? m : json_array_get(json_object_get(m, "layers"), 0), key,
                        value);
    if (strcmp(key, "seed") != 0) json_object_del(m, "checksum");
    CHECK_OK(atn_json_save(cx, path, m));
    json_decref(m);
}

#define PLACE(file, tensor, layout, first)                                             \
    "{\"w_q\": {\"file\": \"" file "\", \"tensor\": \"" tensor "\", \"hash\": "        \
    "\"0123456789abcdef0123456789abcdef\", \"layout\": \"" layout                      \
    "\", \"first\": " #first "}}"

/* What methods ask of the tokens; absent, they are unknown. */
static void token_facts(atn_ctx *cx)
{
    char dir[700];
    atn_capture_writer *w = NULL;
    atn_capture *c = NULL;
    json_t *m = manifest(1);
    const uint8_t *roles;
    long left = 0;

    snprintf(dir, sizeof dir, "%s", place("capture-facts"));
    write_capture(cx, dir, 1);
    CHECK_OK(atn_capture_open(cx, dir, &c));
    CHECK(!atn_capture_grid(c) && !atn_capture_roles(c) && atn_capture_prompt(c) == 0);
    atn_capture_close(cx, c);
    json_object_set_new(m, "grid", json_string("1x2"));
    json_object_set_new(m, "grid_first", json_integer(1));
    json_object_set_new(m, "roles", json_pack("[s,s,s]", "global", "none", "landmark"));
    json_object_set_new(m, "prompt", json_integer(2));
    CHECK_OK(atn_capture_begin(cx, dir, m, "f2", true, &w));
    CHECK_OK(put(cx, w, 0));
    CHECK_OK(atn_capture_finish(cx, w, NULL));
    json_decref(m);
    CHECK_OK(atn_capture_open(cx, dir, &c));
    CHECK_EQ(atn_capture_grid(c)->n, 2);
    CHECK(atn_capture_grid(c)->at[0] == 1 && atn_capture_grid(c)->at[1] == 2);
    CHECK_EQ(atn_capture_grid_first(c), 1);
    roles = atn_capture_roles(c);
    CHECK(roles[0] == ATN_ROLE_GLOBAL && roles[1] == ATN_ROLE_NONE &&
          roles[2] == ATN_ROLE_LANDMARK);
    CHECK_EQ(atn_capture_prompt(c), 2);
    atn_capture_close(cx, c);
    for (atn_status st = ATN_MEMORY; st != ATN_OK; left++) {
        check_failing f = {left};
        atn_ctx frail;

        CHECK(left < 500);
        atn_ctx_init(&frail);
        frail.alloc = (atn_allocator){check_failing_resize, &f};
        st = atn_capture_open(&frail, dir, &c);
        CHECK(st == ATN_OK || st == ATN_MEMORY);
        CHECK((st == ATN_OK) == (c != NULL));
        atn_capture_close(&frail, c);
        atn_ctx_release(&frail);
    }
}

/* Where steps grow, the grid is in all of them and a role is said of every key. */
static void facts_of_steps(atn_ctx *cx)
{
    static const struct {
        const char *grid;
        int roles, prompt;
        const char *message;
    } cases[] = {
        {"3", N + 1, N + 1, NULL},
        {"4", N + 1, N, "more tokens than the 3 keys"},
        {"3", N, N, "has 3 entries"},
        {"3", N + 1, N + 2, "outside 1..4"},
    };
    char dir[700];

    snprintf(dir, sizeof dir, "%s", place("capture-facts-steps"));
    for (size_t i = 0; i < ATN_LEN(cases); i++) {
        const float more[(N + 1) * D] = {1, 2, 3, 4, 5, 6, 7, 8};
        const atn_st_out t[] = {{"q", ATN_F32, 3, {H, N, D}, q},
                                {"k", ATN_F32, 3, {1, N + 1, D}, more},
                                {"v", ATN_F32, 3, {1, N + 1, D}, more}};
        json_t *m = manifest(2), *second, *roles = json_array();
        atn_capture_writer *w = NULL;
        atn_capture *c = NULL;

        second = json_array_get(json_object_get(m, "layers"), 1);
        json_object_set_new(second, "index", json_integer(0));
        json_object_set_new(second, "step", json_integer(1));
        json_object_set_new(second, "n_k", json_integer(N + 1));
        json_object_set_new(second, "offset", json_integer(1));
        json_object_set_new(second, "file",
                            json_string("step-001/layer-000.safetensors"));
        json_object_set_new(m, "steps", json_pack("[i, i]", 0, 1));
        json_object_del(m, "tokens");
        for (int r = 0; r < cases[i].roles; r++)
            json_array_append_new(roles, json_string(atn_role_names[r % ATN_ROLES]));
        json_object_set_new(m, "roles", roles);
        json_object_set_new(m, "grid", json_string(cases[i].grid));
        json_object_set_new(m, "prompt", json_integer(cases[i].prompt));
        CHECK_OK(atn_capture_begin(cx, dir, m, "f", true, &w));
        CHECK_OK(put(cx, w, 0));
        CHECK_OK(atn_capture_put(cx, w, 1, t, 3));
        CHECK_OK(atn_capture_finish(cx, w, NULL));
        if (cases[i].message)
            CHECK_FAILS(atn_capture_open(cx, dir, &c), ATN_DATA, cases[i].message);
        else
            CHECK_OK(atn_capture_open(cx, dir, &c));
        if (c) CHECK_EQ(atn_capture_roles(c)[N], ATN_ROLE_NONE);
        atn_capture_close(cx, c);
        json_decref(m);
    }
}

/* Of two layers the first has its own rotary embedding, or says that it has none; the second
 * has the model's. */
static void rotary_of_a_layer(atn_ctx *cx)
{
    static const char own[] = "{\"pairs\": \"half\", \"frequencies\": [0.5]}";
    const char *dir = place("capture-rotary");

    write_capture(cx, dir, 2);
    for (int none = 0; none < 2; none++) {
        json_t *model = json_pack("{s:i, s:i, s:{s:s, s:[f]}}", "width", 4, "layers", 3,
                                  "rotary", "pairs", "half", "frequencies", 1.5);
        atn_capture *c = NULL;

        edit(cx, dir, "model", model, true);
        edit(cx, dir, "rotary", none ? json_null() : json_loads(own, 0, NULL), false);
        CHECK_OK(atn_capture_open(cx, dir, &c));
        CHECK_EQ(atn_capture_layer(c, 0)->rotary, none ? 0 : 1);
        if (!none) CHECK_NEAR(atn_capture_layer(c, 0)->turn[0], 0.5, 0);
        CHECK_EQ(atn_capture_layer(c, 1)->rotary, 1);
        CHECK_NEAR(atn_capture_layer(c, 1)->turn[0], 1.5, 0);
        atn_capture_close(cx, c);
    }
}

/* Long for its table: one row an edit of the manifest, with what has to be said of it. */
static void edited_by_hand(atn_ctx *cx)
{
    static const struct {
        const char *key, *json, *message;
        bool top;
    } cases[] = {
        {"heads", "0", "\"heads\" is 0", false},
        {"heads", "\"2\"", "must be an integer", false},
        {"heads", "2.0", "must be an integer", false},
        {"kv_heads", "3", "outside 1..2", false},
        {"n_q", "-1", "\"n_q\" is -1", false},
        {"n_q", "9223372036854775807", "outside", false},
        {"n_k", "null", "missing", false},
        {"file", "\"../../etc/passwd\"", "leaves the directory", false},
        {"file", "\"/etc/passwd\"", "leaves the directory", false},
        {"file", "\"gone.safetensors\"", "is missing", false},
        {"file", "5", "must be a string", false},
        {"hash", "\"12\"", "32 hexadecimal digits", false},
        {"stack", "\"cross\"", "does not list", false},
        {"step", "1", "does not list", false},
        {"step", "-1", "\"step\" is -1", false},
        {"d", "null", "\"d\" is missing", false},
        {"d_v", "0", "\"d_v\" is missing", false},
        {"scale", "-1", "\"scale\" is -1", false},
        {"scale", "0", "\"scale\" is 0", false},
        {"scale", "\"1\"", "must be a number", false},
        {"scale", "null", "\"scale\" is missing", false},
        {"offset", "5", "outside", false},
        {"offset", "1", "n_k - n_q", false},
        {"window", "0", "\"window\" is 0", false},
        {"softcap", "0", "\"softcap\" is 0", false},
        {"softcap", "-2.5", "\"softcap\" is -2.5", false},
        {"key_first", "3", "outside 0..2", false},
        {"key_last", "0", "outside 1..3", false},
        {"index", "7", "outside 0..2", false},
        {"mask", "\"sideways\"", "neither causal nor full", false},
        {"mask", "null", "neither causal nor full", false},
        {"tensors", "5", "no list of names", false},
        {"tensors", "[1]", "no list of names", false},
        {"tensors", "[\"q\", \"k\", \"w_q\"]", "\"w_q\"", false},
        {"tensors", "[\"q\", \"k\", \"rel_bias\"]", "\"rel_buckets\"", false},
        {"tensors", "[]", "neither q and k nor p", false},
        {"index", "1", "listed twice", false},
        {"rotary", "5", "layers[0]: \"rotary\" is no object", false},
        {"rotary", "{\"pairs\": \"adjacent\"}", "reads only half", false},
        {"rotary", "{\"pairs\": \"half\", \"frequencies\": [1, \"2\"]}", "no list",
         false},
        {"rotary", "{\"pairs\": \"half\", \"frequencies\": [1, 0.5]}",
         "2 \"frequencies\" turn 4 numbers, but d is 2", false},
        {"rotary", "{\"pairs\": \"half\", \"frequencies\": [-1]}",
         "frequencies[0] is -1, not from 0", false},
        {"rotary", "{\"pairs\": \"half\", \"frequencies\": [1e300]}",
         "frequencies[0] is 1e+300", false},
        {"model", "{\"rotary\": {\"pairs\": \"half\", \"frequencies\": [1, 0.5]}}",
         "turn 4 numbers", true},
        {"weights", "[]", "\"weights\" is no object", false},
        {"weights", "{\"w_q\": 1}", "weights.w_q is no object", false},
        {"weights", PLACE("../m", "t", "out_in", 0), "leaves the directory", false},
        {"weights", PLACE("/m", "t", "out_in", 0), "leaves the directory", false},
        {"weights", PLACE("m", "", "out_in", 0), "\"tensor\" is missing", false},
        {"weights", PLACE("m", "t", "turned", 0), "neither out_in nor in_out", false},
        {"weights", PLACE("m", "t", "out_in", -1), "\"first\" is -1", false},
        {"weights", "{\"w_q\": {\"file\": \"m\", \"tensor\": \"t\", \"hash\": \"1\"}}",
         "32 hexadecimal digits", false},
        {"weights", PLACE("..", "t", "out_in", 0), "leaves the directory", true},
        {"model", "{\"rotary\": 1}", "\"rotary\" is no object", true},
        {"model", "{\"rotary\": {\"pairs\": \"next\"}}", "reads only half", true},
        {"model", "{\"rotary\": {\"pairs\": \"half\", \"frequencies\": [\"1\"]}}",
         "no list of numbers", true},
        {"model", "{\"rotary\": {\"pairs\": \"half\"}}", "no list of numbers", true},
        {"schema", "\"attnscope/capture/9\"", "is not attnscope/capture/1", true},
        {"layers", "[]", "no array", true},
        {"layers", "[3]", "is no object", true},
        {"tokens", "{\"ids\": [1], \"texts\": [\"a\", \"b\"]}", "differ in number",
         true},
        {"tokens", "{\"ids\": [-1]}", "no token id", true},
        {"tokens", "{\"ids\": [5, 9, 5]}", "tokens.ids[1] is 9", true},
        {"tokens", "{\"ids\": \"x\"}", "no list of integers", true},
        {"tokens", "{\"texts\": [1, 2, 3]}", "no list of strings", true},
        {"tokens", "{\"ids\": [1, 2]}", "2 tokens, but layer 0 has 3 keys", true},
        {"tokens", "7", "\"tokens\" is no object", true},
        {"positions", "[0, 1]", "\"positions\" is reserved", true},
        {"grid", "1", "\"grid\" must be a string", true},
        {"grid_first", "1", "but there is no \"grid\"", true},
        {"grid_first", "-1", "grid_first", true},
        {"grid_first", "4", "grid_first", true},
        {"grid", "\"\"", "\"grid\" is \"\", not 1 to 3 whole numbers", true},
        {"grid", "\"3x\"", "\"grid\" is \"3x\"", true},
        {"grid", "\"x3\"", "whole numbers", true},
        {"grid", "\"1x1x1x1\"", "whole numbers", true},
        {"grid", "\"0x1\"", "whole numbers", true},
        {"grid", "\"-1x1\"", "whole numbers", true},
        {"grid", "\" 1\"", "whole numbers", true},
        {"grid", "\"1.0\"", "whole numbers", true},
        {"grid", "\"99999999999999999999\"", "whole numbers", true},
        {"grid", "\"2x2\"", "is \"2x2\", which is more tokens than the 3 keys", true},
        {"grid", "\"2147483648x2147483648x2147483648\"", "more tokens", true},
        {"roles", "5", "\"roles\" is no list of strings", true},
        {"roles", "[]", "\"roles\" has 0 entries", true},
        {"roles", "[\"none\", \"none\"]", "has 2 entries, needed is one for each of 3",
         true},
        {"roles", "[\"none\", 1, \"none\"]", "roles[1] is no string", true},
        {"roles", "[\"none\", \"none\", \"mark\"]", "roles[2] is \"mark\", not", true},
        {"prompt", "0", "\"prompt\" is 0, outside 1..3", true},
        {"prompt", "4", "\"prompt\" is 4, outside 1..3", true},
        {"prompt", "-1", "outside 1..3", true},
        {"prompt", "1.5", "\"prompt\" must be an integer", true},
        {"stacks", "5", "no list of strings", true},
        {"steps", "[\"a\"]", "no list of integers", true},
        {"stacks", "[]", "does not list", true},
        {"stacks", "[\"\", \"decoder\"]", "\"decoder\", but no layer is of it", true},
        {"steps", "[0, 7]", "\"7\", but no layer is of it", true},
        {"loss", "{\"nats_per_token\": -0.5}", "has -0.5 nats_per_token", true},
        {"loss", "{\"perplexity\": 0.5}", "a perplexity of 0.5", true},
        {"model", "5", "model: is no object", true},
        {"model", "{\"layers\": 1}", "\"index\" is 1", true},
        {"model", "{\"vocab\": -1}", "\"vocab\" is -1", true},
        {"complete", "1", "true or false", true},
        {"dtype", "\"F8\"", "\"dtype\" is \"F8\"", true},
        {"device", "1", "run/capture.json: \"device\" must be a string", true},
        {"loss", "1", "\"loss\" is no object", true},
        {"loss", "{\"tokens\": -1}", "\"tokens\" is -1", true},
        {"run", "[]", "is no object", true},
        {"fingerprint", "1", "must be a string", true},
        {"seed", "1", "was edited by hand", true}};

    for (size_t i = 0; i < ATN_LEN(cases); i++) {
        const char *dir = place("capture-edited");
        atn_capture *c = NULL;

        write_capture(cx, dir, 2);
        edit(cx, dir, cases[i].key, json_loads(cases[i].json, JSON_DECODE_ANY, NULL),
             cases[i].top);
        CHECK_FAILS(atn_capture_open(cx, dir, &c), ATN_DATA, cases[i].message);
        CHECK(c == NULL);
    }
}

/* ---- a bias by relative position ---- */

/* One layer of two heads and 3 tokens with a table of `rows` buckets. */
static void write_biased(atn_ctx *cx, const char *dir, const char *rule, int rows,
                         const float *table)
{
    const atn_st_out t[] = {{"q", ATN_F32, 3, {H, N, D}, q},
                            {"k", ATN_F32, 3, {1, N, D}, k},
                            {"v", ATN_F32, 3, {1, N, D}, k},
                            {"rel_bias", ATN_F32, 2, {rows, H}, table}};
    json_t *m = manifest(1), *layer = json_array_get(json_object_get(m, "layers"), 0);
    json_t *more = json_loads(rule, 0, NULL);
    atn_capture_writer *w = NULL;

    CHECK(more && json_object_update(layer, more) == 0);
    json_array_append_new(json_object_get(layer, "tensors"), json_string("rel_bias"));
    CHECK_OK(atn_capture_begin(cx, dir, m, "f1", true, &w));
    CHECK_OK(atn_capture_put(cx, w, 0, t, rows > 0 ? 4 : 3));
    CHECK_OK(atn_capture_finish(cx, w, NULL));
    json_decref(more);
    json_decref(m);
}

/* Buckets 0 1 | 2 2 | 3 of one direction, or {0} {1} and {2} {3} behind and ahead. */
static void bias_by_distance(atn_ctx *cx)
{
    static const float table[] = {5, -5, 6, -6, 7, -7, 8, -8},
                       back[] = {7, 6, 5, 5, 5, -7, -6, -5, -5, -5},
                       both[] = {6, 6, 5, 8, 8, -6, -6, -5, -8, -8};
    const char *dir = place("capture-bias");
    atn_capture *c = NULL;
    atn_problem p;
    atn_idx left = 0;

    write_biased(cx, dir, "{\"rel_buckets\": 4, \"rel_max_distance\": 8}", 4, table);
    CHECK_OK(atn_capture_open(cx, dir, &c));
    CHECK(!atn_capture_layer(c, 0)->rel.bidirectional);
    CHECK_OK(atn_capture_load(cx, c, 0, &p));
    for (int e = 0; e < 10; e++) CHECK_NEAR(p.rel_bias[e], back[e], 0);
    atn_capture_unload(cx, &p);
    for (atn_status st = ATN_MEMORY; st != ATN_OK; left++) {
        check_failing f = {left};
        atn_ctx frail;

        CHECK(left < 500);
        atn_ctx_init(&frail);
        frail.alloc = (atn_allocator){check_failing_resize, &f};
        st = atn_capture_load(&frail, c, 0, &p);
        CHECK(st == ATN_OK || st == ATN_MEMORY);
        atn_capture_unload(&frail, &p);
        atn_ctx_release(&frail);
    }
    atn_capture_close(cx, c);
    write_biased(
        cx, dir,
        "{\"rel_buckets\": 4, \"rel_max_distance\": 2, \"bidirectional\": true}", 4,
        table);
    CHECK_OK(atn_capture_open(cx, dir, &c));
    CHECK_OK(atn_capture_load(cx, c, 0, &p));
    for (int e = 0; e < 10; e++) CHECK_NEAR(p.rel_bias[e], both[e], 0);
    atn_capture_unload(cx, &p);
    atn_capture_close(cx, c);
}

static void biases_that_are_none(atn_ctx *cx)
{
    static const struct {
        const char *rule;
        int rows;
        const char *message;
    } cases[] = {
        {"{\"rel_buckets\": 4}", 4, "\"rel_max_distance\""},
        {"{\"rel_buckets\": 1, \"rel_max_distance\": 8}", 4, "outside 2.."},
        {"{\"rel_buckets\": 4, \"rel_max_distance\": 2}", 4, "buckets of their own"},
        {"{\"rel_buckets\": 3, \"rel_max_distance\": 8, \"bidirectional\": true}", 4,
         "fewer than two"},
        {"{\"rel_buckets\": 5, \"rel_max_distance\": 8, \"bidirectional\": true}", 4,
         "odd number"},
        {"{\"rel_buckets\": 4, \"rel_max_distance\": 8, \"bidirectional\": 1}", 4,
         "true or false"},
        {"{\"rel_buckets\": 5, \"rel_max_distance\": 8}", 4, "says [5, 2]"},
        {"{\"rel_buckets\": 4, \"rel_max_distance\": 8}", 0, "is not in the file"},
        {"{\"rel_buckets\": 1048577, \"rel_max_distance\": 8}", 4, "outside 2.."},
    };
    float table[8] = {0};
    char dir[700];

    snprintf(dir, sizeof dir, "%s", place("capture-no-bias"));
    cx->log_level = ATN_LOG_ERROR;
    for (size_t i = 0; i < ATN_LEN(cases); i++) {
        atn_capture *c = NULL;
        atn_problem p;
        atn_status st;

        write_biased(cx, dir, cases[i].rule, cases[i].rows, table);
        st = atn_capture_open(cx, dir, &c);
        if (st == ATN_OK) st = atn_capture_load(cx, c, 0, &p);
        CHECK_EQ(st, ATN_DATA);
        CHECK(strstr(cx->err.text, cases[i].message));
        atn_err_forgive(cx);
        atn_capture_close(cx, c);
    }
    table[5] = NAN; /* bucket 2 of head 1 */
    {
        bool bad[H] = {false, false};
        atn_capture *c = NULL;
        atn_problem p;

        write_biased(cx, dir, "{\"rel_buckets\": 4, \"rel_max_distance\": 8}", 4,
                     table);
        CHECK_OK(atn_capture_open(cx, dir, &c));
        CHECK_FAILS(atn_capture_load(cx, c, 0, &p), ATN_DATA, "rel_bias of head 1");
        CHECK_OK(atn_capture_load_heads(cx, c, 0, &p, bad));
        CHECK(!bad[0] && bad[1]);
        atn_capture_unload(cx, &p);
        atn_capture_close(cx, c);
    }
}

/* ---- weights of the model ---- */

/* A fused matrix of 6 inputs and 20 outputs as GPT-2 stores it, a column an output, and the
 * same with a row an output; entry (in, out) is 100 in + out. */
static void write_model(atn_ctx *cx, const char *dir, bool changed)
{
    float fused[6 * 20], turned[20 * 6];
    const atn_st_out t[] = {{"fused", ATN_F32, 2, {6, 20}, fused},
                            {"rows", ATN_F32, 2, {20, 6}, turned},
                            {"flat", ATN_F32, 1, {120}, fused}};
    char path[700];

    for (int in = 0; in < 6; in++)
        for (int out = 0; out < 20; out++)
            fused[in * 20 + out] = turned[out * 6 + in] = (float)(100 * in + out);
    if (changed) turned[7] = fused[7] = -1;
    snprintf(path, sizeof path, "%s/model.safetensors", dir);
    CHECK_OK(atn_st_save(cx, path, t, 3, NULL, true, NULL));
}

static json_t *place_of(atn_ctx *cx, const char *dir, const char *tensor,
                        const char *layout, int first, int step)
{
    char path[700], hex[33];
    const atn_st_tensor *t;
    atn_st *f = NULL;

    snprintf(path, sizeof path, "%s/model.safetensors", dir);
    CHECK_OK(atn_st_open(cx, path, &f));
    t = atn_st_find(f, tensor);
    CHECK(t != NULL);
    atn_hash_bytes(t->data, t->bytes, hex);
    atn_st_close(cx, f);
    return json_pack("{s:s, s:s, s:s, s:s, s:i, s:i}", "file", "model.safetensors",
                     "tensor", tensor, "hash", hex, "layout", layout, "first", first,
                     "step", step);
}

/* A capture of two heads of 2 and one KV head, whose model is in `model`. */
static atn_capture *open_with_weights(atn_ctx *cx, const char *dir, const char *model,
                                      json_t *layer, json_t *tokens)
{
    atn_capture_writer *w = NULL;
    json_t *m = manifest(1);
    atn_capture *c = NULL;

    json_object_set_new(json_object_get(m, "model"), "dir", json_string(model));
    CHECK_OK(atn_capture_begin(cx, dir, m, "f1", true, &w));
    CHECK_OK(atn_capture_set_weights(cx, w, 0, layer));
    CHECK_OK(put(cx, w, 0));
    atn_capture_abandon(cx, w); /* a crash; what was said of the layer is kept */
    CHECK_OK(atn_capture_begin(cx, dir, m, "f1", true, &w));
    CHECK(atn_capture_has_layer(w, 0));
    CHECK_OK(atn_capture_set(cx, w, "weights", tokens));
    CHECK_OK(atn_capture_finish(cx, w, NULL));
    CHECK_OK(atn_capture_open(cx, dir, &c));
    json_decref(m);
    return c;
}

/* Head h of w_q has the outputs 3 + 5 h, 4 + 5 h of the fused matrix, w_k the outputs 13, 14;
 * w_v stands in rows from 9 on, one head after another. */
static void weights_by_place(atn_ctx *cx)
{
    char model[700], dir[800];
    atn_idx shape[3];
    atn_weight e = {0};
    float *w = NULL, some[6];
    atn_capture *c;

    snprintf(model, sizeof model, "%s", check_scratch("capture-weights"));
    snprintf(dir, sizeof dir, "%s/run", model);
    write_model(cx, model, false);
    c = open_with_weights(
        cx, dir, model,
        json_pack("{s:o, s:o, s:o}", "w_q",
                  place_of(cx, model, "fused", "in_out", 3, 5), "w_k",
                  place_of(cx, model, "fused", "in_out", 13, 0), "w_v",
                  place_of(cx, model, "rows", "out_in", 9, 0)),
        json_pack("{s:o}", "embed", place_of(cx, model, "rows", "out_in", 0, 0)));
    CHECK_OK(atn_capture_weight(cx, c, 0, "w_q", &w, shape));
    CHECK(shape[0] == 2 && shape[1] == 2 && shape[2] == 6);
    for (int i = 0; i < 24; i++)
        CHECK_NEAR(w[i], 100 * (i % 6) + 3 + 5 * (i / 12) + i / 6 % 2, 0);
    atn_free(cx, w);
    CHECK_OK(atn_capture_weight(cx, c, 0, "w_k", &w, shape));
    CHECK(shape[0] == 1 && shape[1] == 2);
    for (int i = 0; i < 12; i++) CHECK_NEAR(w[i], 100 * (i % 6) + 13 + i / 6, 0);
    atn_free(cx, w);
    CHECK_OK(atn_capture_weight(cx, c, 0, "w_v", &w, shape));
    CHECK(shape[0] == 1 && shape[1] == 2);
    for (int i = 0; i < 12; i++) CHECK_NEAR(w[i], 100 * (i % 6) + 9 + i / 6, 0);
    atn_free(cx, w);
    CHECK_OK(atn_capture_weight_open(cx, c, -1, "embed", &e));
    CHECK(e.heads == 1 && e.rows == 20 && e.cols == 6);
    atn_weight_rows(&e, 0, 17, 1, some);
    for (int i = 0; i < 6; i++) CHECK_NEAR(some[i], 100 * i + 17, 0);
    atn_weight_close(cx, &e);
    /* nobody has said where that is */
    CHECK_OK(atn_capture_weight(cx, c, -1, "unembed", &w, shape));
    CHECK(w == NULL && shape[0] == 0);
    atn_capture_close(cx, c);
}

static void weights_gone_or_changed(atn_ctx *cx)
{
    char model[700], dir[700], other[600];
    atn_idx shape[3];
    float *w = NULL;
    atn_capture *c;

    snprintf(other, sizeof other, "%s", check_scratch("capture-moved"));
    snprintf(model, sizeof model, "%s/model", other);
    snprintf(dir, sizeof dir, "%s/run", other);
    CHECK_OK(atn_dir_make(cx, model));
    write_model(cx, model, false);
    c = open_with_weights(cx, dir, model,
                          json_pack("{s:o, s:o, s:o}", "w_q",
                                    place_of(cx, model, "rows", "out_in", 17, 0), "w_k",
                                    place_of(cx, model, "rows", "out_in", 0, 0), "w_v",
                                    place_of(cx, model, "flat", "out_in", 0, 0)),
                          json_object());
    CHECK_FAILS(atn_capture_weight(cx, c, 0, "w_q", &w, shape), ATN_DATA,
                "20 outputs, but w_q of layer 0 has 2 heads of 2, 2 apart from 17 on");
    CHECK_FAILS(atn_capture_weight(cx, c, 0, "w_v", &w, shape), ATN_DATA, "no matrix");
    write_model(cx, model, true);
    CHECK_FAILS(atn_capture_weight(cx, c, 0, "w_k", &w, shape), ATN_DATA,
                "no longer the one that");
    {
        const float x = 1;
        const atn_st_out t = {"x", ATN_F32, 1, {1}, &x};
        char path[900];

        snprintf(path, sizeof path, "%s/model.safetensors", model);
        CHECK_OK(atn_st_save(cx, path, &t, 1, NULL, true, NULL));
        CHECK_FAILS(atn_capture_weight(cx, c, 0, "w_k", &w, shape), ATN_DATA,
                    "no tensor \"rows\" any more");
        CHECK_EQ(unlink(path), 0);
    }
    CHECK_FAILS(atn_capture_weight(cx, c, 0, "w_k", &w, shape), ATN_NOINPUT,
                "are gone");
    CHECK_EQ(rmdir(model), 0);
    CHECK_FAILS(atn_capture_weight(cx, c, 0, "w_k", &w, shape), ATN_NOINPUT,
                "which is not there");
    CHECK(w == NULL);
    atn_capture_close(cx, c);
}

static void changed_layers(atn_ctx *cx)
{
    const char *dir = place("capture-changed");
    const float bad[H * N * D] = {1, 2, 3, 4, 5, 6, 7, 8, NAN, 10, 11, 12};
    atn_st_out t[] = {{"q", ATN_F32, 3, {H, N, D}, bad},
                      {"k", ATN_F32, 3, {1, N, D}, k},
                      {"v", ATN_F32, 3, {1, N, D}, k}};
    atn_capture *c = NULL;
    atn_problem p;
    char path[700];

    write_capture(cx, dir, 1);
    snprintf(path, sizeof path, "%s/layer-000.safetensors", dir);
    CHECK_OK(atn_st_save(cx, path, t, 3, NULL, true, NULL));
    CHECK_OK(atn_capture_open(cx, dir, &c));
    CHECK_FAILS(atn_capture_load(cx, c, 0, &p), ATN_DATA, "changed after the capture");
    atn_capture_close(cx, c);
    edit(cx, dir, "hash", json_null(),
         false); /* without a hash the values are still checked */
    CHECK_OK(atn_capture_open(cx, dir, &c));
    CHECK_FAILS(atn_capture_load(cx, c, 0, &p), ATN_DATA, "q of head 1, row 1");
    atn_capture_close(cx, c);
    t[0].data = q;
    t[0].shape[1] = 2;
    t[0].shape[0] = 3;
    CHECK_OK(atn_st_save(cx, path, t, 3, NULL, true, NULL));
    CHECK_OK(atn_capture_open(cx, dir, &c));
    CHECK_FAILS(atn_capture_load(cx, c, 0, &p), ATN_DATA,
                "the manifest says [2, 3, 2]");
    atn_capture_close(cx, c);
}

/* Every tensor by its own shape: heads and rows, rows alone, a list; the shared head of keys
 * with the heads that read it. */
static void numbers_are_named(atn_ctx *cx)
{
    static const struct {
        const char *name, *want;
        int rank;
        atn_idx shape[3], at;
    } cases[] = {
        {"q_pre",
         "q_pre of head 1, row 2 holds NaN or infinity (column 1)",
         3,
         {H, N, D},
         11},
        {"k",
         "k of key and value head 0 (query heads 0, 1), row 1 holds NaN",
         3,
         {1, N, D},
         3},
        {"h", "layer 0: h, row 3 holds NaN or infinity (column 0)", 2, {4, 3}, 9},
        {"sink", "layer 0: sink, row 0 holds NaN or infinity (column 5)", 1, {12}, 5}};
    const char *dir = place("capture-named");

    for (size_t i = 0; i < ATN_LEN(cases); i++) {
        float x[H * N * D], *loaded = NULL;
        atn_st_out t[] = {{"q", ATN_F32, 3, {H, N, D}, q},
                          {"k", ATN_F32, 3, {1, N, D}, k},
                          {"v", ATN_F32, 3, {1, N, D}, k},
                          {cases[i].name, ATN_F32, cases[i].rank, {0}, x}};
        const bool known = strcmp(cases[i].name, "k") == 0;
        json_t *m = manifest(1);
        atn_capture_writer *w = NULL;
        atn_capture *c = NULL;
        atn_idx shape[ATN_ST_MAX_RANK];
        atn_problem p;
        int rank;

        memcpy(x, q, sizeof x);
        x[cases[i].at] = NAN;
        memcpy(t[3].shape, cases[i].shape, sizeof cases[i].shape);
        if (known) t[1] = t[3];
        if (!known)
            json_array_append_new(
                json_object_get(json_array_get(json_object_get(m, "layers"), 0),
                                "tensors"),
                json_string(cases[i].name));
        CHECK_OK(atn_capture_begin(cx, dir, m, "f", true, &w));
        CHECK_OK(atn_capture_put(cx, w, 0, t, known ? 3 : 4));
        CHECK_OK(atn_capture_finish(cx, w, NULL));
        CHECK_OK(atn_capture_open(cx, dir, &c));
        CHECK_FAILS(atn_capture_tensor(cx, c, 0, cases[i].name, &loaded, &rank, shape),
                    ATN_DATA, cases[i].want);
        CHECK(!loaded);
        if (known) CHECK_FAILS(atn_capture_load(cx, c, 0, &p), ATN_DATA, cases[i].want);
        atn_capture_close(cx, c);
        json_decref(m);
    }
}

/* "tensors" is the word: what it does not name is not read, what it names must be there. */
static void listed_tensors(atn_ctx *cx)
{
    const float sink[H] = {3, -1};
    const atn_st_out t[] = {{"q", ATN_F32, 3, {H, N, D}, q},
                            {"k", ATN_F32, 3, {1, N, D}, k},
                            {"v", ATN_F32, 3, {1, N, D}, k},
                            {"sink", ATN_F32, 1, {H}, sink}};
    const char *dir = place("capture-listed");

    for (int listed = 0; listed < 2; listed++)
        for (int there = 0; there < 2; there++) {
            json_t *m = manifest(1),
                   *layer = json_array_get(json_object_get(m, "layers"), 0);
            atn_capture_writer *w = NULL;
            atn_capture *c = NULL;
            atn_idx shape[ATN_ST_MAX_RANK];
            float *x = NULL;
            atn_problem p;
            int rank;

            if (listed)
                json_array_append_new(json_object_get(layer, "tensors"),
                                      json_string("sink"));
            CHECK_OK(atn_capture_begin(cx, dir, m, "f", true, &w));
            CHECK_OK(atn_capture_put(cx, w, 0, t, there ? 4 : 3));
            CHECK_OK(atn_capture_finish(cx, w, NULL));
            CHECK_OK(atn_capture_open(cx, dir, &c));
            if (listed && !there) {
                CHECK_FAILS(atn_capture_load(cx, c, 0, &p), ATN_DATA,
                            "tensor \"sink\" is not in the file");
                CHECK_FAILS(atn_capture_tensor(cx, c, 0, "sink", &x, &rank, shape),
                            ATN_DATA, "tensor \"sink\" is not in the file");
            } else {
                CHECK_OK(atn_capture_load(cx, c, 0, &p));
                CHECK((p.sink != NULL) == (listed == 1));
                atn_capture_unload(cx, &p);
                CHECK_OK(atn_capture_tensor(cx, c, 0, "sink", &x, &rank, shape));
                CHECK((x != NULL) == (listed == 1));
                atn_free(cx, x);
            }
            atn_capture_close(cx, c);
            json_decref(m);
        }
}

/* "dtype" is of the files as well, where it is said. */
static void type_of_the_files(atn_ctx *cx)
{
    const char *dir = place("capture-dtype");
    atn_capture *c = NULL;
    atn_problem p;

    write_capture(cx, dir, 1);
    edit(cx, dir, "dtype", json_string("F32"), true);
    CHECK_OK(atn_capture_open(cx, dir, &c));
    CHECK_OK(atn_capture_load(cx, c, 0, &p));
    atn_capture_unload(cx, &p);
    atn_capture_close(cx, c);
    edit(cx, dir, "dtype", json_string("BF16"), true);
    CHECK_OK(atn_capture_open(cx, dir, &c));
    CHECK_FAILS(atn_capture_load(cx, c, 0, &p), ATN_DATA,
                "tensor \"q\" is F32, \"dtype\" of the manifest says BF16");
    atn_capture_close(cx, c);
}

static void weights_alone(atn_ctx *cx)
{
    const float good[] = {1, 0, .5f, .5f},
                bad[][4] = {{1, 0, .9f, .5f}, {1, 0, -.1f, .5f}};
    const char *dir = place("capture-p");
    atn_capture *c = NULL;
    atn_problem p;

    for (int i = 0; i < 3; i++) {
        const atn_st_out t = {"p", ATN_F32, 3, {1, 2, 2}, i == 0 ? good : bad[i - 1]};
        json_t *m = json_pack("{s:[{s:i, s:s, s:i, s:i, s:i, s:[s]}]}", "layers",
                              "index", 0, "file", "layer-000.safetensors", "heads", 1,
                              "n_q", 2, "n_k", 2, "tensors", "p");
        atn_capture_writer *w = NULL;

        CHECK_OK(atn_capture_begin(cx, dir, m, "f", true, &w));
        CHECK_OK(atn_capture_put(cx, w, 0, &t, 1));
        CHECK_OK(atn_capture_finish(cx, w, NULL));
        CHECK_OK(atn_capture_open(cx, dir, &c));
        if (i == 0) {
            CHECK_OK(atn_capture_load(cx, c, 0, &p));
            CHECK(p.p && !p.q && p.p[2] == .5f);
            atn_capture_unload(cx, &p);
        } else {
            CHECK_FAILS(atn_capture_load(cx, c, 0, &p), ATN_DATA,
                        "layer-000.safetensors: layer 0: p of head 0, row 1");
        }
        atn_capture_close(cx, c);
        json_decref(m);
    }
}

static void absent(atn_ctx *cx)
{
    atn_capture *c = NULL;

    CHECK_FAILS(atn_capture_open(cx, "/nonexistent", &c), ATN_NOINPUT,
                "attnscope capture");
    CHECK_FAILS(atn_capture_open(cx, check_scratch("capture-empty"), &c), ATN_NOINPUT,
                "capture.json");
}

CHECK_MAIN({"tokens by stack", tokens_by_stack},
           {"wrong tokens by stack", wrong_tokens_by_stack},
           {"tokens of a layer", tokens_of_layer}, {"round trip", round_trip},
           {"resuming", resuming}, {"replacing", replacing},
           {"nothing begun leaves nothing", nothing_begun_leaves_nothing},
           {"edited layer is made again", edited_layer_is_made_again},
           {"torn layer", torn_layer},
           {"other directories are left alone", other_directories_are_left_alone},
           {"token facts", token_facts}, {"facts of steps", facts_of_steps},
           {"rotary of a layer", rotary_of_a_layer}, {"edited by hand", edited_by_hand},
           {"changed layers", changed_layers}, {"bias by distance", bias_by_distance},
           {"biases that are none", biases_that_are_none},
           {"weights by their place", weights_by_place},
           {"weights gone or changed", weights_gone_or_changed},
           {"numbers are named", numbers_are_named}, {"listed tensors", listed_tensors},
           {"type of the files", type_of_the_files}, {"weights alone", weights_alone},
           {"absent", absent})
