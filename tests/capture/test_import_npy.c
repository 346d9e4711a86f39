/* tests/capture/test_import_npy.c -- arrays and their index.json into a capture. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "make_model.h"

#include "capture/import.h"
#include "core/io/capture.h"
#include "core/io/npy.h"

static char folder[600];

static const char *in_folder(const char *name)
{
    static char path[4][800];
    static int slot;

    slot = (slot + 1) % 4;
    snprintf(path[slot], sizeof path[slot], "%s/%s", folder, name);
    return path[slot];
}

/* Layers 2 and 5 of one stack, heads 1 and 3 of 4, two tokens, d = 2; numbers in order.
 * The second layer has a sink and a window. */
static const char index_json[] =
    "{\"schema\": \"attnscope/export/1\", \"files\": {\"\": {\"q\": \"q.npy\", \"k\": "
    "\"k.npy\", \"sink\": \"sink.npy\"}}, \"tokens\": {\"ids\": [7, 8], \"texts\": "
    "[\"a\", "
    "\"b\"]}, \"grid\": \"1x1\", \"grid_first\": 1, \"layers\": ["
    "{\"stack\": \"\", \"step\": 0, \"layer\": 2, \"heads\": [1, 3], \"kv_heads\": 2, "
    "\"d\": "
    "2, \"d_v\": 2, \"n_q\": 2, \"n_k\": 2, \"scale\": 0.3, \"mask\": \"causal\", "
    "\"offset\": "
    "0, \"window\": null, \"softcap\": 5.5, \"tensors\": [\"q\", \"k\"]}, "
    "{\"stack\": \"\", \"step\": 0, \"layer\": 5, \"heads\": [1, 3], \"kv_heads\": 2, "
    "\"d\": "
    "2, \"d_v\": 2, \"n_q\": 2, \"n_k\": 2, \"scale\": 0.7, \"mask\": \"causal\", "
    "\"offset\": "
    "0, \"window\": 1, \"softcap\": null, \"tensors\": [\"k\", \"q\", \"sink\"]}]}";

static void write_arrays(atn_ctx *cx, const char *name)
{
    const float q[16] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16},
                k[16] = {-1, 0, 2, 0, 0, 3, 0, 1, 0, 0, 5, 0, 6, 0, 0, 7},
                sink[4] = {-INFINITY, -INFINITY, 1.5f, -2};
    const atn_idx shape[] = {2, 2, 2, 2};

    snprintf(folder, sizeof folder, "%s", check_scratch(name));
    CHECK_OK(atn_npy_save_f32(cx, in_folder("q.npy"), q, 4, shape, true));
    CHECK_OK(atn_npy_save_f32(cx, in_folder("k.npy"), k, 4, shape, true));
    CHECK_OK(atn_npy_save_f32(cx, in_folder("sink.npy"), sink, 2, shape, true));
    write_text(folder, "index.json", index_json);
}

static void whole_again(atn_ctx *cx)
{
    atn_import_args a = {0};
    atn_import_result r;
    atn_capture *c = NULL;
    const int32_t *ids;
    atn_problem p;

    write_arrays(cx, "import-npy");
    a.npy = folder;
    a.out_dir = in_folder("run");
    CHECK_OK(atn_import(cx, &a, NULL, &r));
    CHECK(r.n == 1 && r.part[0].layers == 2 && r.part[0].heads == 2 &&
          r.part[0].causal);
    CHECK(strstr(r.note, "chosen heads") != NULL);
    CHECK_OK(atn_capture_open(cx, a.out_dir, &c));
    CHECK_EQ(atn_capture_tokens(c, &ids, NULL), 2);
    CHECK_EQ(ids[1], 8);
    CHECK_EQ(atn_capture_grid_first(c), 1);
    CHECK(atn_capture_layer(c, 0)->layer == 2 && atn_capture_layer(c, 1)->layer == 5);
    CHECK_OK(atn_capture_load(cx, c, 0, &p));
    CHECK(p.q[0] == 1 && p.k[0] == -1 && !p.sink && p.sight.softcap == 5.5);
    CHECK(p.scale == 0.3 && p.sight.window == 0);
    atn_capture_unload(cx, &p);
    CHECK_OK(atn_capture_load(cx, c, 1, &p));
    CHECK(p.q[0] == 9 && p.k[2] == 5 && p.sink[0] == 1.5f && p.sink[1] == -2);
    CHECK(p.scale == 0.7 && p.sight.window == 1 && p.sight.softcap == 0);
    atn_capture_unload(cx, &p);
    atn_capture_close(cx, c);
}

static void memory_that_fails(atn_ctx *cx)
{
    atn_import_args a = {0};
    atn_status st = ATN_MEMORY;
    atn_import_result r;

    write_arrays(cx, "import-npy-memory");
    a.force = true; /* a capture that failed behind its last layer is there */
    a.npy = in_folder("index.json");
    a.out_dir = in_folder("run");
    for (long left = 0; st != ATN_OK; left++) {
        check_failing f = {left};
        atn_ctx frail;

        CHECK(left < 2000);
        atn_ctx_init(&frail);
        frail.alloc = (atn_allocator){check_failing_resize, &f};
        st = atn_import(&frail, &a, NULL, &r);
        if (st != ATN_OK) CHECK_EQ(st, ATN_MEMORY);
        atn_ctx_release(&frail);
    }
}

/* One text of the index, what stands in its place, and what is said of it. */
static void refusals(atn_ctx *cx)
{
    static const struct {
        const char *from, *to, *message;
    } cases[] = {
        {"\"heads\": [1, 3]", "\"heads\": [3, 1]", "layers[0] has no"},
        {"\"heads\": [1, 3]", "\"heads\": [1, 3, 4]", "no multiple of \"kv_heads\""},
        {"\"heads\": [1, 3]", "\"heads\": 2", "layers[0] has no"},
        {"\"layer\": 2", "\"layer\": 5", "listed twice"},
        {"\"stack\": \"\"", "\"stack\": \"middle\"", "has the stack \"middle\""},
        {"\"stack\": \"\"", "\"stack\": \"..\"", "has the stack \"..\""},
        {"\"n_q\": 2, \"n_k\": 2", "\"n_q\": 1, \"n_k\": 1", "tokens has 2 tokens"},
        {"\"kv_heads\": 2", "\"kv_heads\": 1", "k.npy: has not the shape"},
        {"\"scale\": 0.3", "\"scale\": 0", "index.json: makes no capture"},
        {"[\"q\", \"k\"]", "[\"q\"]", "neither q and k nor p"},
        {"[\"q\", \"k\"]", "[\"q\", \"k\", \"w_o\"]", "lists \"w_o\""},
        {"[\"q\", \"k\"]", "[\"q\", \"k\", \"sink\"]", "sink.npy: layer 2, row 0"},
        {"\"q.npy\"", "\"/q.npy\"", "is no .npy beside it"},
        {"\"grid\": \"1x1\"", "\"grid\": \"3\"", "more tokens than"},
        {"export/1", "export/2", "schema"},
        {"\"layers\": [", "\"layer\": [", "no list of 1 to"},
    };

    for (size_t i = 0; i < ATN_LEN(cases); i++) {
        const char *at = strstr(index_json, cases[i].from);
        atn_import_args a = {0};
        atn_import_result r;
        char text[2000];

        CHECK(at != NULL);
        write_arrays(cx, "import-npy-refused");
        snprintf(text, sizeof text, "%.*s%s%s", (int)(at - index_json), index_json,
                 cases[i].to, at + strlen(cases[i].from));
        write_text(folder, "index.json", text);
        a.npy = folder;
        a.out_dir = in_folder("run");
        CHECK_FAILS(atn_import(cx, &a, NULL, &r), ATN_DATA, cases[i].message);
        CHECK(!atn_dir_exists(in_folder("run")));
    }
}

CHECK_MAIN({"whole again", whole_again}, {"memory that fails", memory_that_fails},
           {"refusals", refusals})
