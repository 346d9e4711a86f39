/* tests/capture/test_import.c -- other people's tensors: shapes, sources, masks,
 * refusals. */
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

static void begin(const char *name)
{
    snprintf(folder, sizeof folder, "%s", check_scratch(name));
}

/* A float array .npy, version 1 with a header of 118 bytes, values given. */
static const char *npy(int slot, const char *name, int rank, const atn_idx *shape,
                       const float *x)
{
    char head[128], dims[100] = "";
    const char *path = in_folder(slot, name);
    size_t used = 0, n = 1;
    FILE *f = fopen(path, "wb");

    CHECK(f != NULL);
    for (int r = 0; r < rank; r++) {
        used +=
            (size_t)snprintf(dims + used, sizeof dims - used, "%d, ", (int)shape[r]);
        n *= (size_t)shape[r];
    }
    memset(head, ' ', sizeof head);
    memcpy(head, "\x93NUMPY\x01\x00\x76\x00", 10);
    used = (size_t)snprintf(head + 10, 118,
                            "{'descr': '<f4', 'fortran_order': False, 'shape': (%s), }",
                            dims);
    head[10 + used] = ' ';
    head[127] = '\n';
    fwrite(head, 1, 128, f);
    fwrite(x, 4, n, f);
    fclose(f);
    return path;
}

static const char *safetensors(atn_ctx *cx, int slot, const char *name,
                               const atn_st_out *list, atn_idx n)
{
    const char *path = in_folder(slot, name);

    CHECK_OK(atn_st_save(cx, path, list, n, NULL, true, NULL));
    return path;
}

static float *ramp(size_t n)
{
    static float x[4096];

    CHECK(n <= 4096);
    for (size_t i = 0; i < 4096; i++) x[i] = (float)((i * 37) % 101) / 50 - 1;
    return x;
}

/* Lower triangular rows of 1 / (i + 1), one head. */
static float *averages(atn_idx heads, atn_idx n)
{
    static float p[4096];

    memset(p, 0, sizeof p);
    for (atn_idx h = 0; h < heads; h++)
        for (atn_idx i = 0; i < n; i++)
            for (atn_idx j = 0; j <= i; j++)
                p[(h * n + i) * n + j] = 1 / (float)(i + 1);
    return p;
}

static void queries_keys_values(atn_ctx *cx)
{
    static const struct {
        int rank;
        atn_idx q[4], k[4], layers, heads, kv, nq, nk, d;
    } cases[] = {
        {2, {5, 4}, {5, 4}, 1, 1, 1, 5, 5, 4},
        {3, {6, 5, 4}, {2, 5, 4}, 1, 6, 2, 5, 5, 4},       /* grouped */
        {4, {3, 2, 5, 4}, {3, 1, 9, 4}, 3, 2, 1, 5, 9, 4}, /* continuing: offset 4 */
    };

    cx->log_level = ATN_LOG_ERROR;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        atn_import_result r;
        atn_capture *c = NULL;
        atn_problem p;
        const atn_idx k0 = cases[i].kv * cases[i].nk * cases[i].d;
        const atn_idx last = cases[i].layers - 1;

        begin("import-qkv");
        const atn_import_args a = {
            .q = npy(0, "q.npy", cases[i].rank, cases[i].q, ramp(400)),
            .k = npy(1, "k.npy", cases[i].rank, cases[i].k, ramp(400) + 7),
            .v = npy(2, "v.npy", cases[i].rank, cases[i].k, ramp(400) + 13),
            .causal = i > 0,
            .scale = i == 1 ? 0.25 : 0,
            .out_dir = in_folder(3, "run")};
        CHECK_OK(atn_import(cx, &a, NULL, &r));
        CHECK_EQ(r.part[0].layers, cases[i].layers);
        CHECK_EQ(r.part[0].heads, cases[i].heads);
        CHECK_EQ(r.part[0].kv_heads, cases[i].kv);
        CHECK_EQ(r.part[0].causal, i > 0);
        CHECK(!r.part[0].causal_detected);
        CHECK_OK(atn_capture_open(cx, a.out_dir, &c));
        CHECK_EQ(atn_capture_layers(c), cases[i].layers);
        CHECK_OK(atn_capture_load(cx, c, (int)last, &p));
        CHECK_EQ(p.nq, cases[i].nq);
        CHECK_EQ(p.nk, cases[i].nk);
        CHECK_EQ(p.sight.causal, i > 0);
        CHECK_EQ(p.sight.offset, i > 0 ? cases[i].nk - cases[i].nq : 0);
        CHECK_NEAR(p.scale, i == 1 ? 0.25 : 0.5, 1e-15);
        CHECK(memcmp(p.k, ramp(400) + 7 + last * k0, (size_t)k0 * 4) == 0);
        CHECK(memcmp(p.v, ramp(400) + 13 + last * k0, (size_t)k0 * 4) == 0);
        atn_capture_unload(cx, &p);
        atn_capture_close(cx, c);
    }
}

/* The gradient by the outputs: one a query head, as wide as the values. */
static void gradients(atn_ctx *cx)
{
    const atn_idx q[] = {2, 6, 5, 4}, k[] = {2, 2, 5, 4}, v[] = {2, 2, 5, 3},
                  d_o[] = {2, 6, 5, 3}, other[] = {2, 6, 5, 4};
    atn_idx shape[ATN_ST_MAX_RANK];
    atn_capture *c = NULL;
    atn_import_result r;
    float *x = NULL;
    int rank = 0;

    begin("import-gradient");
    atn_import_args a = {.q = npy(0, "q.npy", 4, q, ramp(400)),
                         .k = npy(1, "k.npy", 4, k, ramp(400)),
                         .v = npy(2, "v.npy", 4, v, ramp(400)),
                         .d_o = npy(3, "g.npy", 4, other, ramp(400)),
                         .out_dir = in_folder(4, "run")};
    CHECK_FAILS(atn_import(cx, &a, NULL, &r), ATN_DATA, "outputs are [2, 6, 5, 3]");
    a.d_o = npy(3, "g.npy", 4, d_o, ramp(400) + 5);
    CHECK_OK(atn_import(cx, &a, NULL, &r));
    CHECK_OK(atn_capture_open(cx, a.out_dir, &c));
    CHECK_OK(atn_capture_tensor(cx, c, 1, "d_o", &x, &rank, shape));
    CHECK(rank == 3 && shape[0] == 6 && shape[1] == 5 && shape[2] == 3);
    CHECK(memcmp(x, ramp(400) + 5 + 90, 90 * sizeof *x) == 0);
    atn_free(cx, x);
    atn_capture_close(cx, c);
    a.v = NULL;
    a.force = true;
    CHECK_FAILS(atn_import(cx, &a, NULL, &r), ATN_USAGE, "need --v");
}

static void tensors_of_a_file(atn_ctx *cx)
{
    const float *x = ramp(400);
    const atn_st_out list[] = {{"q", ATN_F32, 3, {2, 5, 4}, x},
                               {"k", ATN_F32, 3, {2, 5, 4}, x + 40},
                               {"ids", ATN_I32, 1, {2}, x}};
    atn_import_result r;
    atn_import_args a = {0};
    char q[900], k[900], none[900], ids[900];

    begin("import-st");
    safetensors(cx, 0, "dump.safetensors", list, 3);
    snprintf(q, sizeof q, "%s:q", in_folder(0, "dump.safetensors"));
    snprintf(k, sizeof k, "%s:k", in_folder(0, "dump.safetensors"));
    snprintf(none, sizeof none, "%s:w", in_folder(0, "dump.safetensors"));
    snprintf(ids, sizeof ids, "%s:ids", in_folder(0, "dump.safetensors"));
    a.out_dir = in_folder(1, "run");
    a.q = q;
    a.k = in_folder(0, "dump.safetensors");
    CHECK_FAILS(atn_import(cx, &a, NULL, &r), ATN_USAGE, "(ids, k, q)");
    a.k = none;
    CHECK_FAILS(atn_import(cx, &a, NULL, &r), ATN_DATA,
                "has no tensor \"w\"; it has ids, k, q");
    a.k = ids;
    CHECK_FAILS(atn_import(cx, &a, NULL, &r), ATN_DATA, "is I32");
    CHECK(!atn_dir_exists(a.out_dir));
    a.k = k;
    CHECK_OK(atn_import(cx, &a, NULL, &r)); /* v may be absent */
    CHECK_FAILS(atn_import(cx, &a, NULL, &r), ATN_CANTCREATE, "--force");
    a.force = true;
    CHECK_OK(atn_import(cx, &a, NULL, &r));
}

/* tests/fixtures/numpy.npz has q [2, 3] and k, which is of booleans. */
static void arrays_of_an_archive(atn_ctx *cx)
{
    atn_import_result r;
    atn_import_args a = {.q = ATN_TEST_FIXTURES "/numpy.npz:q",
                         .k = ATN_TEST_FIXTURES "/numpy.npz:q"};
    atn_capture *c = NULL;
    atn_problem p;

    begin("import-npz");
    a.out_dir = in_folder(0, "run");
    CHECK_OK(atn_import(cx, &a, NULL, &r));
    CHECK(r.part[0].nq == 2 && r.part[0].d == 3);
    CHECK_OK(atn_capture_open(cx, a.out_dir, &c));
    CHECK_OK(atn_capture_load(cx, c, 0, &p));
    CHECK(p.k[5] == 1.25F);
    atn_capture_unload(cx, &p);
    atn_capture_close(cx, c);
    a.k = ATN_TEST_FIXTURES "/numpy.npz";
    CHECK_FAILS(atn_import(cx, &a, NULL, &r), ATN_USAGE, "several arrays, give one as");
    a.k = ATN_TEST_FIXTURES "/numpy.npz:v";
    CHECK_FAILS(atn_import(cx, &a, NULL, &r), ATN_DATA,
                "has no array \"v\"; it has q, k");
    a.k = ATN_TEST_FIXTURES "/numpy.npz:k";
    CHECK_FAILS(atn_import(cx, &a, NULL, &r), ATN_DATA, "numpy.npz:k: ");
}

static void half_precision(atn_ctx *cx)
{
    const uint16_t half[] = {0x3C00, 0xC000, 0x3800, 0}; /* 1, -2, 0.5, 0 */
    const float want[] = {1, -2, 0.5F, 0};
    const atn_st_out list[] = {{"x", ATN_F16, 2, {2, 2}, half}};
    atn_import_args a = {0};
    atn_import_result r;
    atn_capture *c = NULL;
    atn_problem p;

    begin("import-half");
    a.q = a.k = a.v = safetensors(cx, 0, "x.safetensors", list, 1);
    a.out_dir = in_folder(1, "run");
    CHECK_OK(atn_import(cx, &a, NULL, &r));
    CHECK_OK(atn_capture_open(cx, a.out_dir, &c));
    CHECK_OK(atn_capture_load(cx, c, 0, &p));
    CHECK(memcmp(p.v, want, sizeof want) == 0);
    atn_capture_unload(cx, &p);
    atn_capture_close(cx, c);
}

static void weights_alone(atn_ctx *cx)
{
    const atn_idx shape[] = {2, 6, 6}, one[] = {1, 3}, tall[] = {3, 2};
    const float row[] = {0.5F, 0.25F, 0.25F, 0.2F, 0.8F, 0.1F};
    atn_import_result r;
    atn_import_args a = {0};
    atn_capture *c = NULL;
    float *p;

    begin("import-p");
    a.out_dir = in_folder(1, "run");
    a.p = npy(0, "p.npy", 3, shape, averages(2, 6));
    CHECK_OK(atn_import(cx, &a, NULL, &r));
    CHECK(r.part[0].causal && r.part[0].causal_detected);
    CHECK_OK(atn_capture_open(cx, a.out_dir, &c));
    CHECK(atn_capture_layer(c, 0)->has_p && !atn_capture_layer(c, 0)->has_qk);
    CHECK(atn_capture_layer(c, 0)->sight.causal);
    atn_capture_close(cx, c);

    a.force = true;
    p = averages(2, 6);
    p[6 * 6 + 3 * 6 + 4] = 1e-6F; /* head 1, query 3, key 4 */
    a.p = npy(0, "p.npy", 3, shape, p);
    CHECK_OK(atn_import(cx, &a, NULL, &r));
    CHECK(!r.part[0].causal && !r.part[0].causal_detected);
    a.causal = true;
    CHECK_FAILS(atn_import(cx, &a, NULL, &r), ATN_DATA, "above the diagonal");
    CHECK_OK(atn_capture_open(cx, a.out_dir, &c)); /* the refusal did not touch it */
    atn_capture_close(cx, c);

    a.p = npy(0, "p.npy", 2, one, row); /* the last query sees all keys */
    CHECK_OK(atn_import(cx, &a, NULL, &r));
    CHECK(r.part[0].causal && !r.part[0].causal_detected);
    a.causal = false;
    CHECK_OK(atn_import(cx, &a, NULL, &r));
    CHECK(!r.part[0].causal);
    a.p = npy(0, "p.npy", 2, tall, row);
    a.causal = true;
    CHECK_FAILS(atn_import(cx, &a, NULL, &r), ATN_DATA, "more queries than keys");
}

static void bad_numbers(atn_ctx *cx)
{
    const atn_idx shape[] = {2, 6, 6};
    atn_import_result r;
    atn_import_args a = {0};
    float *p;

    cx->log_level = ATN_LOG_ERROR;
    begin("import-bad");
    a.out_dir = in_folder(1, "run");
    p = averages(2, 6);
    p[6 * 6 + 3 * 6 + 1] = -0.1F;
    a.p = npy(0, "p.npy", 3, shape, p);
    CHECK_FAILS(atn_import(cx, &a, NULL, &r), ATN_DATA,
                "p.npy: layer 0, head 1, row 3 has a negative weight");
    p = averages(2, 6);
    p[2 * 6 + 1] = NAN;
    a.p = npy(0, "p.npy", 3, shape, p);
    CHECK_FAILS(atn_import(cx, &a, NULL, &r), ATN_DATA,
                "layer 0, head 0, row 2 holds NaN");
    p = averages(2, 6);
    p[4 * 6] = 3.2F;
    a.p = npy(0, "p.npy", 3, shape, p);
    CHECK_FAILS(atn_import(cx, &a, NULL, &r), ATN_DATA,
                "p.npy: layer 0, head 0, row 4 has a negative weight or sums to more "
                "than 1 (to 4)");
    CHECK(!atn_dir_exists(a.out_dir));
}

static void what_does_not_fit(atn_ctx *cx)
{
    static const struct {
        int q_rank, k_rank, v_rank;
        atn_idx q[5], k[5], v[5];
        const char *part;
    } cases[] = {
        {2, 2, 2, {5, 4}, {5, 3}, {5, 4}, "head sizes differ"},
        {3, 3, 3, {4, 5, 4}, {3, 5, 4}, {3, 5, 4}, "no multiple"},
        {4, 4, 4, {2, 1, 5, 4}, {1, 1, 5, 4}, {1, 1, 5, 4}, "numbers of layers"},
        {2, 2, 2, {5, 4}, {5, 4}, {6, 4}, "k and v differ"},
        {1, 2, 2, {5}, {5, 4}, {5, 4}, "has 1 axes"},
        {5, 2, 2, {1, 1, 1, 5, 4}, {5, 4}, {5, 4}, "has 5 axes"},
        {2, 2, 2, {0, 4}, {5, 4}, {5, 4}, "length 0"},
        {2, 2, 2, {6, 4}, {5, 4}, {5, 4}, "more queries than keys"},
    };
    atn_import_result r;

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        begin("import-unfit");
        const atn_import_args a = {
            .q = npy(0, "q.npy", cases[i].q_rank, cases[i].q, ramp(400)),
            .k = npy(1, "k.npy", cases[i].k_rank, cases[i].k, ramp(400)),
            .v = npy(2, "v.npy", cases[i].v_rank, cases[i].v, ramp(400)),
            .causal = true,
            .out_dir = in_folder(3, "run")};
        CHECK_FAILS(atn_import(cx, &a, NULL, &r), ATN_DATA, cases[i].part);
        CHECK(!atn_dir_exists(a.out_dir));
    }
}

static void wrong_use(atn_ctx *cx)
{
    atn_import_result r;
    atn_import_args a = {.q = "q.npy", .out_dir = "run"};

    CHECK_FAILS(atn_import(cx, &a, NULL, &r), ATN_USAGE, "--k");
    a.k = "k.npy";
    a.p = "p.npy";
    CHECK_FAILS(atn_import(cx, &a, NULL, &r), ATN_USAGE, "leave out one");
    a.p = NULL;
    a.scale = -1;
    CHECK_FAILS(atn_import(cx, &a, NULL, &r), ATN_USAGE, "--scale");
    a.scale = 0;
    a.window = 3000000000;
    CHECK_FAILS(atn_import(cx, &a, NULL, &r), ATN_USAGE,
                "--window 3000000000 is above 2147483647");
    a.window = 0;
    a = (atn_import_args){.p = "p.npy", .out_dir = "run", .scale = 0.5};
    CHECK_FAILS(atn_import(cx, &a, NULL, &r), ATN_USAGE,
                "--scale is of queries and keys");
    a = (atn_import_args){.p = "encoder=p.npy,cross=", .out_dir = "run"};
    CHECK_FAILS(atn_import(cx, &a, NULL, &r), ATN_USAGE, "no file follows cross=");
    a.p = "encoder=e.npy,d.npy";
    CHECK_FAILS(atn_import(cx, &a, NULL, &r), ATN_USAGE,
                "a file among those of stacks");
    a.p = "d.npy,encoder=e.npy";
    CHECK_FAILS(atn_import(cx, &a, NULL, &r), ATN_USAGE,
                "a file among those of stacks");
    a = (atn_import_args){.q = "q.npy", .k = "k.npy", .out_dir = "run"};
    a.q = "/nowhere/q.npy";
    CHECK_FAILS(atn_import(cx, &a, NULL, &r), ATN_NOINPUT, "nowhere");
}

/* A causal window of 2 shows the key before and the own one; one both ways of 1, i - 1
 * to i + 1. */
static void windows_hold_the_weight(atn_ctx *cx)
{
    const float causal[] = {1, 0, 0, .5f, .5f, 0, .25f, .25f, .5f},
                band[] = {.5f, .5f, 0, .25f, .5f, .25f, 0, .25f, .25f},
                none[] = {0, 0, 0, 0, 0, 1, 0, .5f, 0};
    const struct {
        const float *p;
        atn_idx window, empty, low;
        const char *message;
    } cases[] = {{causal, 3, 0, 0, NULL},
                 {causal, 2, 0, 0, "layer 0, head 0, row 2 has weight on key 0"},
                 {band, 1, 0, 1, NULL},
                 {none, 1, 1, 1, NULL},
                 {band, 2147483647, 0, 1, NULL}};
    const atn_idx shape[] = {3, 3};

    for (size_t i = 0; i < ATN_LEN(cases); i++) {
        atn_import_args a = {.window = cases[i].window};
        atn_import_result r;
        atn_capture *c = NULL;
        atn_problem p;

        begin("import-window");
        a.p = npy(0, "p.npy", 2, shape, cases[i].p);
        a.out_dir = in_folder(1, "run");
        if (cases[i].message) {
            CHECK_FAILS(atn_import(cx, &a, NULL, &r), ATN_DATA, cases[i].message);
            continue;
        }
        CHECK_OK(atn_import(cx, &a, NULL, &r));
        CHECK_EQ(r.part[0].empty, cases[i].empty);
        CHECK_EQ(r.part[0].low, cases[i].low);
        CHECK_OK(atn_capture_open(cx, a.out_dir, &c));
        CHECK_OK(atn_capture_load(cx, c, 0, &p));
        CHECK_EQ(p.sight.window, cases[i].window);
        atn_capture_unload(cx, &p);
        atn_capture_close(cx, c);
    }
}

static void token_texts(atn_ctx *cx)
{
    static const struct {
        const char *json, *first; /* NULL = refused */
    } cases[] = {
        {"[\"a\", \"b\", \"c\"]", "a"},
        {"{\"x\": {\"query\": [\"q\", \"r\", \"s\"], \"key\": [\"k\", \"l\", \"m\"]}}",
         "k"},
        {"{\"tokens\": [\"t\", \"u\", \"v\"], \"n\": 3}", "t"},
        {"[\"a\", \"b\"]", NULL},
        {"[1, 2, 3]", NULL},
        {"{\"n\": 3}", NULL},
    };
    const atn_idx shape[] = {3, 3};
    atn_import_result r;
    atn_import_args a = {0};

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        atn_capture *c = NULL;
        const int32_t *ids;
        const char *const *texts;

        begin("import-tokens");
        a.p = npy(0, "p.npy", 2, shape, averages(1, 3));
        write_text(folder, "tokens.json", cases[i].json);
        a.tokens = in_folder(1, "tokens.json");
        a.out_dir = in_folder(2, "run");
        if (!cases[i].first) {
            CHECK_FAILS(atn_import(cx, &a, NULL, &r), ATN_DATA, "no list of 3 strings");
            continue;
        }
        CHECK_OK(atn_import(cx, &a, NULL, &r));
        CHECK_OK(atn_capture_open(cx, a.out_dir, &c));
        CHECK_EQ(atn_capture_tokens(c, &ids, &texts), 3);
        CHECK_STR(texts[0], cases[i].first);
        CHECK((ids != NULL) == (i != 1)); /* where texts of queries are others, none */
        atn_capture_close(cx, c);
    }
}

/* Distinct texts are numbered as they first appear, by all their bytes. */
static void token_numbers(atn_ctx *cx)
{
    static const char texts[] =
        "[\"b\", \"a\", \"b\", \"\", \"\\u0001x\", \"\\u0001y\", "
        "\"a\", \"\\\\u0001x\", \"\"]";
    static const int32_t want[] = {0, 1, 0, 2, 3, 4, 1, 5, 2};
    const atn_idx square[] = {9, 9}, wide[] = {1, 9};
    const float flat[9] = {.1f, .1f, .1f, .1f, .1f, .1f, .1f, .1f, .1f};
    atn_import_result r;

    for (int queries = 1; queries <= 9; queries += 8) {
        atn_import_args a = {0};
        atn_capture *c = NULL;
        const int32_t *ids;

        begin("import-numbers");
        a.p = queries == 9 ? npy(0, "p.npy", 2, square, averages(1, 9))
                           : npy(0, "p.npy", 2, wide, flat);
        write_text(folder, "tokens.json", texts);
        a.tokens = in_folder(1, "tokens.json");
        a.out_dir = in_folder(2, "run");
        CHECK_OK(atn_import(cx, &a, NULL, &r));
        CHECK_OK(atn_capture_open(cx, a.out_dir, &c));
        CHECK_EQ(atn_capture_tokens(c, &ids, NULL), 9);
        for (int i = 0; i < 9 && queries == 9; i++) CHECK_EQ(ids[i], want[i]);
        if (queries == 1)
            CHECK(!ids); /* one query that sees all keys is not a token of theirs */
        atn_capture_close(cx, c);
    }
    {
        atn_import_args a = {0};

        begin("import-numbers-bad");
        a.p = npy(0, "p.npy", 2, square, averages(1, 9));
        write_text(folder, "tokens.json", "[\"a\", 1, 2, 3, 4, 5, 6, 7, 8]");
        a.tokens = in_folder(1, "tokens.json");
        a.out_dir = in_folder(2, "run");
        CHECK_FAILS(atn_import(cx, &a, NULL, &r), ATN_DATA,
                    "entry 1 of the token texts");
        write_text(folder, "tokens.json",
                   "[\"a\", \"b\", \"\\u0000\", \"\", \"\", \"\", \"\", \"\", \"\"]");
        CHECK_FAILS(atn_import(cx, &a, NULL, &r), ATN_DATA,
                    "entry 2 of the token texts holds the character \\u0000");
    }
}

/* The first axis is steps: [2, 3, 2, 5, 4], and [2, 2, 5, 4] of one layer. */
static void several_steps(atn_ctx *cx)
{
    const atn_idx five[] = {2, 3, 2, 5, 4}, keys[] = {2, 3, 1, 5, 4},
                  four[] = {2, 2, 5, 4}, one[] = {1, 3, 2, 5, 4}, three[] = {2, 5, 4},
                  p[] = {2, 3, 6, 6};
    atn_import_result r;
    atn_capture *c = NULL;
    atn_problem problem;
    float *weights;

    cx->log_level = ATN_LOG_ERROR;
    begin("import-steps");
    atn_import_args a = {.q = npy(0, "q.npy", 5, five, ramp(400)),
                         .k = npy(1, "k.npy", 5, keys, ramp(400) + 7),
                         .v = npy(2, "v.npy", 5, keys, ramp(400) + 13),
                         .steps = true,
                         .out_dir = in_folder(3, "run")};
    CHECK_OK(atn_import(cx, &a, NULL, &r));
    CHECK(r.part[0].steps == 2 && r.part[0].layers == 3 && r.part[0].heads == 2 &&
          r.part[0].kv_heads == 1 && r.part[0].nq == 5);
    CHECK(atn_file_exists(in_folder(4, "run/step-001/layer-002.safetensors")));
    CHECK_OK(atn_capture_open(cx, a.out_dir, &c));
    CHECK_EQ(atn_capture_layers(c), 6);
    for (int i = 0; i < 6; i++) {
        CHECK_EQ(atn_capture_layer(c, i)->step, i / 3);
        CHECK_EQ(atn_capture_layer(c, i)->layer, i % 3);
        CHECK_OK(atn_capture_load(cx, c, i, &problem));
        CHECK(memcmp(problem.q, ramp(400) + 40 * i, 40 * 4) == 0);
        CHECK(memcmp(problem.k, ramp(400) + 7 + 20 * i, 20 * 4) == 0);
        atn_capture_unload(cx, &problem);
    }
    atn_capture_close(cx, c);

    a.force = true;
    a.q = a.k = a.v = npy(0, "q.npy", 4, four, ramp(400));
    CHECK_OK(atn_import(cx, &a, NULL, &r));
    CHECK(r.part[0].steps == 2 && r.part[0].layers == 1 && r.part[0].heads == 2);
    a.q = a.k = a.v = npy(0, "q.npy", 5, one, ramp(400)); /* one step: no folder */
    CHECK_OK(atn_import(cx, &a, NULL, &r));
    CHECK(atn_file_exists(in_folder(4, "run/layer-002.safetensors")));
    CHECK(!atn_dir_exists(in_folder(4, "run/step-000")));
    a.k = npy(1, "k.npy", 5, keys, ramp(400));
    CHECK_FAILS(atn_import(cx, &a, NULL, &r), ATN_DATA,
                "k.npy [2, 3, 1, 5, 4]: the numbers of steps differ");
    a.q = npy(0, "q.npy", 3, three, ramp(400));
    CHECK_FAILS(atn_import(cx, &a, NULL, &r), ATN_DATA, "has 3 axes; with --steps");
    a.steps = false;
    a.q = npy(0, "q.npy", 5, five, ramp(400));
    CHECK_FAILS(atn_import(cx, &a, NULL, &r), ATN_DATA, "or --steps");

    a = (atn_import_args){.steps = true, .force = true, .out_dir = in_folder(3, "run")};
    weights = averages(6, 6);
    a.p = npy(0, "p.npy", 4, p, weights);
    CHECK_OK(atn_import(cx, &a, NULL, &r));
    CHECK(r.part[0].steps == 2 && r.part[0].layers == 1 && r.part[0].heads == 3 &&
          r.part[0].causal_detected);
    weights[(4 * 6 + 2) * 6] = NAN;
    a.p = npy(0, "p.npy", 4, p, weights);
    CHECK_FAILS(atn_import(cx, &a, NULL, &r), ATN_DATA,
                "p.npy: step 1, layer 0, head 1, row 2 holds NaN");
    weights[(4 * 6 + 2) * 6] = 5;
    a.p = npy(0, "p.npy", 4, p, weights);
    CHECK_FAILS(atn_import(cx, &a, NULL, &r), ATN_DATA,
                "p.npy: step 1, layer 0, head 1, row 2 has a negative weight");
    weights[(4 * 6 + 2) * 6] = 0;
    weights[(5 * 6 + 2) * 6 + 5] = 0.001F; /* step 1 alone is not causal: nothing is */
    a.p = npy(0, "p.npy", 4, p, weights);
    CHECK_OK(atn_import(cx, &a, NULL, &r));
    CHECK(!r.part[0].causal);
}

/* Roles, grid and prompt go into the manifest; what does not fit is refused. */
static void token_facts(atn_ctx *cx)
{
    static const struct {
        const char *roles, *grid;
        atn_idx prompt;
        atn_status code;
        const char *message;
    } cases[] = {
        {NULL, "2x3", 0, ATN_USAGE, "--grid 2x3 is more tokens than the 5 keys"},
        {NULL, "2x", 0, ATN_USAGE, "--grid '2x' is not 1 to 3 whole numbers"},
        {NULL, "", 0, ATN_USAGE, "--grid '' is not"},
        {NULL, "1x1x1x1", 0, ATN_USAGE, "1 to 3 whole numbers"},
        {NULL, "4294967296x4294967296x2", 0, ATN_USAGE, "whole numbers"},
        {NULL, "2147483648x2147483648x4", 0, ATN_USAGE, "more tokens"},
        {NULL, NULL, 6, ATN_USAGE, "--prompt 6 is beyond the 5 keys"},
        {NULL, NULL, -1, ATN_USAGE, "must not be negative"},
        {"[\"none\"]", NULL, 0, ATN_DATA, "roles.json: is no list of 5 strings"},
        {"{\"a\": 1}", NULL, 0, ATN_DATA, "roles.json: is no list of 5 strings"},
        {"[\"none\", \"none\", 3, \"none\", \"none\"]", NULL, 0, ATN_DATA,
         "entry 2 is no string"},
        {"[\"none\", \"none\", \"None\", \"none\", \"none\"]", NULL, 0, ATN_DATA,
         "entry 2 is \"None\", not"},
    };
    const atn_idx shape[] = {5, 4};
    atn_import_args a = {.steps = false};
    atn_import_result r;
    atn_capture *c = NULL;

    begin("import-facts");
    a.q = a.k = a.v = npy(0, "q.npy", 2, shape, ramp(400));
    a.out_dir = in_folder(1, "run");
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        a.roles = cases[i].roles ? in_folder(2, "roles.json") : NULL;
        if (a.roles) write_text(folder, "roles.json", cases[i].roles);
        a.grid = cases[i].grid;
        a.prompt = cases[i].prompt;
        CHECK_FAILS(atn_import(cx, &a, NULL, &r), cases[i].code, cases[i].message);
        CHECK(!atn_dir_exists(a.out_dir));
    }
    a.roles = in_folder(2, "roles.json");
    write_text(folder, "roles.json",
               "[\"global\", \"none\", \"none\", \"landmark\", \"none\"]");
    a.grid = "2x2";
    a.prompt = 5;
    CHECK_OK(atn_import(cx, &a, NULL, &r));
    CHECK_OK(atn_capture_open(cx, a.out_dir, &c));
    CHECK(atn_capture_grid(c)->n == 2 && atn_capture_grid(c)->at[1] == 2);
    CHECK(atn_capture_roles(c)[0] == ATN_ROLE_GLOBAL);
    CHECK(atn_capture_roles(c)[3] == ATN_ROLE_LANDMARK);
    CHECK(atn_capture_roles(c)[4] == ATN_ROLE_NONE);
    CHECK_EQ(atn_capture_prompt(c), 5);
    atn_capture_close(cx, c);
}

/* Attention of published models, as BertViz ships it: GPT-2 is found to be causal, BERT
 * not; the rows of a softmax sum to 1. */
static void captured_elsewhere(atn_ctx *cx)
{
    static const struct {
        const char *name, *tensor, *first;
        atn_idx layers, heads, nq, nk;
        bool causal;
    } cases[] = {
        {"gpt2", "", "The", 12, 12, 10, 10, true},
        {"bert-base-uncased", ":attn", "[CLS]", 12, 12, 15, 15, false},
        {"opus-mt-en-de", ":cross", " She", 6, 8, 14, 7, false},
        {"opus-mt-en-de", ":decoder", " Sie", 6, 8, 14, 14, true},
    };
    char p[1200], tokens[1200];

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        atn_import_result r;
        atn_capture *c = NULL;
        const int32_t *ids;
        const char *const *texts;
        char name[200];

        begin("import-captured");
        snprintf(name, sizeof name, "captured/%s.safetensors", cases[i].name);
        snprintf(p, sizeof p, "%s%s", check_shared(name), cases[i].tensor);
        snprintf(name, sizeof name, "captured/%s.tokens.json", cases[i].name);
        snprintf(tokens, sizeof tokens, "%s", check_shared(name));
        const atn_import_args a = {
            .p = p, .tokens = tokens, .out_dir = in_folder(0, "run")};
        CHECK_OK(atn_import(cx, &a, NULL, &r));
        CHECK_EQ(r.part[0].layers, cases[i].layers);
        CHECK_EQ(r.part[0].heads, cases[i].heads);
        CHECK_EQ(r.part[0].nq, cases[i].nq);
        CHECK_EQ(r.part[0].nk, cases[i].nk);
        CHECK_EQ(r.part[0].causal, cases[i].causal);
        CHECK_OK(atn_capture_open(cx, a.out_dir, &c));
        CHECK_EQ(atn_capture_tokens(c, &ids, &texts), cases[i].nk);
        CHECK_STR(texts[0], cases[i].first);
        atn_capture_close(cx, c);
    }
}

CHECK_MAIN({"queries, keys, values", queries_keys_values}, {"gradients", gradients},
           {"tensors of a file", tensors_of_a_file},
           {"arrays of an archive", arrays_of_an_archive},
           {"half precision", half_precision}, {"weights alone", weights_alone},
           {"bad numbers", bad_numbers}, {"what does not fit", what_does_not_fit},
           {"wrong use", wrong_use}, {"several steps", several_steps},
           {"token facts", token_facts},
           {"windows hold the weight", windows_hold_the_weight},
           {"token texts", token_texts}, {"token numbers", token_numbers},
           {"captured elsewhere", captured_elsewhere})
