/* tests/core/test_file.c -- atomic outputs, whole-file reading, UTF-8, strict JSON. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "check.h"

#include "core/io/file.h"
#include "core/io/json.h"

static void write_text(const char *path, const char *text)
{
    FILE *f = fopen(path, "wb");

    CHECK(f != NULL);
    fputs(text, f);
    fclose(f);
}

static void outputs_are_atomic(atn_ctx *cx)
{
    char path[600], temp[700], *text = NULL;
    atn_out out;
    size_t n = 0;

    snprintf(path, sizeof path, "%s/x", check_scratch("out"));
    CHECK_OK(atn_out_open(cx, path, false, &out));
    snprintf(temp, sizeof temp, "%s", out.temp);
    fputs("new", out.file);
    CHECK(!atn_file_exists(path));
    CHECK_OK(atn_out_commit(cx, &out));
    CHECK(!atn_file_exists(temp));
    CHECK_FAILS(atn_out_open(cx, path, false, &out), ATN_CANTCREATE, "--force");
    CHECK_OK(atn_out_open(cx, path, true, &out));
    fputs("half", out.file);
    atn_out_abort(cx, &out); /* the earlier file stays */
    CHECK_OK(atn_file_read(cx, path, 100, &text, &n));
    CHECK_STR(text, "new");
    atn_free(cx, text);
    CHECK(!atn_file_exists(temp));
    CHECK_FAILS(atn_out_open(cx, "/nonexistent/x", false, &out), ATN_CANTCREATE,
                "created");
    CHECK_FAILS(atn_file_read(cx, path, 2, &text, &n), ATN_DATA, "larger than");
    CHECK_FAILS(atn_file_read(cx, "/nonexistent", 2, &text, &n), ATN_NOINPUT, "opened");
    CHECK_FAILS(atn_dir_make(cx, path), ATN_CANTCREATE, "");
}

static void utf8(atn_ctx *cx)
{
    static const char *const good[] = {
        "", "a", "\xc3\xa9", "\xe4\xbd\xa0", "\xf0\x9f\x98\x80", "\xef\xbf\xbd"};
    static const char *const bad[] = {
        "\xff", "\xc0\x80", "\xe0\x80\x80", "\xed\xa0\x80", "\xf4\x90\x80\x80",
        "\xc3", "a\xe4\xbd"};
    size_t at = 0;

    (void)cx;
    for (size_t i = 0; i < ATN_LEN(good); i++)
        CHECK(atn_utf8_valid(good[i], strlen(good[i]), &at));
    for (size_t i = 0; i < ATN_LEN(bad); i++)
        CHECK(!atn_utf8_valid(bad[i], strlen(bad[i]), &at));
    CHECK_EQ(at, 1);
}

/* XXH3-128 of the empty input, from the reference implementation's test vectors. */
static void hash_golden(atn_ctx *cx)
{
    char hex[33];

    (void)cx;
    atn_hash_bytes("", 0, hex);
    CHECK_STR(hex, "99aa06d3014798d86001c324468d497f");
}

static void json_is_strict(atn_ctx *cx)
{
    static const char *const bad[] = {"",
                                      "{\"a\":1,\"a\":2}",
                                      "{\"a\":NaN}",
                                      "{\"a\":Infinity}",
                                      "{\"a\":01}",
                                      "{'a':1}",
                                      "{\"a\":1}x",
                                      "{\"a\":\"\xff\"}",
                                      "{\"a\":9223372036854775808}"};
    char path[600];
    json_t *j = NULL;

    snprintf(path, sizeof path, "%s/x.json", check_scratch("json"));
    for (size_t i = 0; i < ATN_LEN(bad); i++) {
        write_text(path, bad[i]);
        CHECK_FAILS(atn_json_load(cx, path, false, &j), ATN_DATA, "no valid JSON");
    }
    write_text(path, bad[8]);
    CHECK_OK(atn_json_load(cx, path, true, &j));
    json_decref(j);
}

static void typed_members(atn_ctx *cx)
{
    json_t *j = json_loads(
        "{\"i\": 5, \"f\": 2.0, \"s\": \"x\", \"b\": true, \"n\": null}", 0, NULL);
    int64_t i = 0;
    double f = 0;
    bool b = false;
    const char *s = NULL;

    CHECK_OK(atn_json_get_i64(cx, "c", j, "i", 1, 0, 9, &i));
    CHECK_EQ(i, 5);
    CHECK_OK(atn_json_get_i64(cx, "c", j, "n", 7, 0, 9, &i));
    CHECK_EQ(i, 7);
    CHECK_FAILS(atn_json_get_i64(cx, "c", j, "i", 1, 0, 4, &i), ATN_DATA,
                "\"i\" is 5, outside 0..4");
    CHECK_FAILS(atn_json_get_i64(cx, "c", j, "f", 1, 0, 9, &i), ATN_DATA,
                "must be an integer, not a real");
    CHECK_FAILS(atn_json_get_i64(cx, "c", j, "s", 1, 0, 9, &i), ATN_DATA,
                "not a string");
    CHECK_FAILS(atn_json_need_i64(cx, "c", j, "z", 0, 9, &i), ATN_DATA,
                "\"z\" is missing");
    CHECK_OK(atn_json_get_f64(cx, "c", j, "i", 0, &f));
    CHECK(f == 5);
    CHECK_OK(atn_json_get_bool(cx, "c", j, "b", false, &b));
    CHECK(b);
    CHECK_OK(atn_json_get_str(cx, "c", j, "s", NULL, &s));
    CHECK_STR(s, "x");
    CHECK_FAILS(atn_json_get_bool(cx, "c", j, "i", false, &b), ATN_DATA,
                "true or false");
    json_decref(j);
}

/* A file that is beyond the limit is refused by its size, before a byte is read. */
static void files_are_sized_before(atn_ctx *cx)
{
    char path[600], *text = NULL;
    size_t n = 0;
    FILE *f;

    snprintf(path, sizeof path, "%s/large", check_scratch("sized"));
    f = fopen(path, "w");
    CHECK(f != NULL);
    for (int i = 0; i < 200000; i++) fputc('x', f);
    fclose(f);
    cx->mem_limit = 150000;
    CHECK_FAILS(atn_file_read(cx, path, 1 << 20, &text, &n), ATN_MEMORY, "large needs");
    cx->mem_limit = 0;
    CHECK_OK(atn_file_read(cx, path, 1 << 20, &text, &n));
    CHECK(n == 200000 && text[199999] == 'x' && text[200000] == '\0');
    atn_free(cx, text);
}

CHECK_MAIN({"files are sized before", files_are_sized_before},
           {"outputs are atomic", outputs_are_atomic}, {"utf8", utf8},
           {"hash golden", hash_golden}, {"json is strict", json_is_strict},
           {"typed members", typed_members})
