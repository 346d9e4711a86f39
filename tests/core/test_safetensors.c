/* tests/core/test_safetensors.c -- one test a rule of the format, and what is written reads back. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "check.h"

#include "core/io/safetensors.h"

static char dir[512];

/* Writes a file of a header and data_size bytes of zeros; length < 0: the header's own. */
static const char *make(const char *header, long long length, size_t data_size)
{
    static char path[600];
    const uint64_t n = length < 0 ? strlen(header) : (uint64_t)length;
    FILE *f;

    snprintf(dir, sizeof dir, "%s", check_scratch("safetensors"));
    snprintf(path, sizeof path, "%s/x.safetensors", dir);
    f = fopen(path, "wb");
    CHECK(f != NULL);
    for (int i = 0; i < 8; i++) fputc((int)(n >> (8 * i) & 255), f);
    fwrite(header, 1, strlen(header), f);
    for (size_t i = 0; i < data_size; i++) fputc(0, f);
    fclose(f);
    return path;
}

static void refuse(atn_ctx *cx, const char *header, size_t data_size, const char *rule)
{
    atn_st *f = NULL;

    CHECK_FAILS(atn_st_open(cx, make(header, -1, data_size), &f), ATN_DATA, rule);
    CHECK(f == NULL);
}

#define T(dtype, shape, begin, end)                                                    \
    "\"dtype\":\"" dtype "\",\"shape\":" shape ",\"data_offsets\":[" #begin "," #end "]"

static void lengths(atn_ctx *cx)
{
    char path[700];
    atn_st *f = NULL;
    FILE *file;

    snprintf(path, sizeof path, "%s/seven", check_scratch("safetensors-short"));
    file = fopen(path, "wb");
    fputs("1234567", file);
    fclose(file);
    CHECK_FAILS(atn_st_open(cx, path, &f), ATN_DATA, "too few");
    CHECK_FAILS(atn_st_open(cx, make("{}", 0, 0), &f), ATN_DATA, "below 2");
    CHECK_FAILS(atn_st_open(cx, make("{}", 3, 0), &f), ATN_DATA, "beyond the file");
    CHECK_FAILS(atn_st_open(cx, make("{}", 100000001, 0), &f), ATN_DATA,
                "above 100000000");
    CHECK_FAILS(atn_st_open(cx, make("{}", INT64_MAX, 0), &f), ATN_DATA,
                "above 100000000");
    CHECK_FAILS(atn_st_open(cx, "/nonexistent/x", &f), ATN_NOINPUT, "cannot be opened");
}

static void header_text(atn_ctx *cx)
{
    refuse(cx, "{\"a\xff\":1}", 0, "UTF-8");
    refuse(cx, "[1,2]", 0, "'{'");
    refuse(cx, " {}", 0, "'{'");
    refuse(cx, "{\"a\":}", 0, "no valid JSON");
    refuse(cx, "{\"t\":{" T("F32", "[1]", 0, 4) "},\"t\":{" T("F32", "[1]", 0, 4) "}}",
           4, "JSON");
    refuse(cx, "{\"__metadata__\":{\"a\":1}}", 0, "no string");
    refuse(cx, "{\"__metadata__\":null}", 0, "no object");
}

static void entries(atn_ctx *cx)
{
    refuse(cx, "{\"t\":3}", 0, "exactly");
    refuse(cx, "{\"t\":{" T("F32", "[1]", 0, 4) ",\"x\":1}}", 4, "exactly");
    refuse(cx, "{\"t\":{" T("F33", "[1]", 0, 4) "}}", 4, "unknown dtype \"F33\"");
    refuse(cx, "{\"t\":{" T("F32", "[-1]", 0, 4) "}}", 4, "dimension");
    refuse(cx, "{\"t\":{" T("F32", "[1.0]", 0, 4) "}}", 4, "dimension");
    refuse(cx, "{\"t\":{" T("F32", "[281474976710656]", 0, 4) "}}", 4, "dimension");
    refuse(cx, "{\"t\":{" T("F32", "[281474976710655,281474976710655,0]", 0, 0) "}}", 0,
           "overflows");
    refuse(cx, "{\"t\":{" T("F32", "[1,1,1,1,1,1,1,1,1]", 0, 4) "}}", 4, "rank");
    refuse(cx, "{\"t\":{" T("F32", "[2]", 0, 4) "}}", 4, "need 8 bytes");
    refuse(cx, "{\"t\":{" T("F4", "[3]", 0, 2) "}}", 2, "whole bytes");
    refuse(cx, "{\"t\":{" T("F32", "[1]", 4, 0) "}}", 4, "reversed");
    refuse(cx, "{\"t\":{" T("F32", "[1]", -4, 0) "}}", 4, "negative");
    refuse(cx, "{\"t\":{" T("F32", "[2]", 0, 8) "}}", 4, "beyond the file");
    refuse(cx, "{\"t\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4.0]}}", 4,
           "pair of integers");
}

/* Limits of ours: a name of 1 KiB is the longest, 10^6 entries are the most. */
static void own_limits(atn_ctx *cx)
{
    enum { MANY = 1000001, ENTRY = 80 };
    char name[1026] = "", header[1200], *many = malloc((size_t)MANY * ENTRY + 2);
    atn_st *f = NULL;
    size_t at = 1;

    for (size_t n = 1024; n <= 1025; n++) {
        memset(name, 'n', n);
        snprintf(header, sizeof header, "{\"%s\":{" T("F32", "[1]", 0, 4) "}}", name);
        if (n == 1025) {
            refuse(cx, header, 4, "above 1 KiB");
        } else {
            CHECK_OK(atn_st_open(cx, make(header, -1, 4), &f));
            atn_st_close(cx, f);
        }
    }
    many[0] = '{';
    for (int i = 0; i < MANY; i++)
        at += (size_t)sprintf(many + at, "%s\"%d\":{" T("U8", "[0]", 0, 0) "}",
                              i ? "," : "", i);
    many[at] = '}';
    many[at + 1] = '\0';
    refuse(cx, many, 0, "more than 1000000 tensors");
    free(many);
}

static void tiling(atn_ctx *cx)
{
    refuse(cx, "{\"t\":{" T("F32", "[1]", 4, 8) "}}", 8, "begin at 0");
    refuse(cx, "{\"a\":{" T("F32", "[1]", 0, 4) "},\"b\":{" T("F32", "[1]", 8, 12) "}}",
           12, "hole");
    refuse(cx, "{\"a\":{" T("F32", "[2]", 0, 8) "},\"b\":{" T("F32", "[1]", 4, 8) "}}",
           8, "overlap");
    refuse(cx, "{\"t\":{" T("F32", "[1]", 0, 4) "}}", 5, "trailing");
}

/* Zero-size tensors may stand anywhere; a file with no tensor is sound. */
static void odd_but_sound(atn_ctx *cx)
{
    atn_st *f = NULL;

    CHECK_OK(atn_st_open(cx, make("{}", -1, 0), &f));
    CHECK_EQ(atn_st_count(f), 0);
    CHECK(atn_st_find(f, "t") == NULL);
    atn_st_close(cx, f);
    CHECK_OK(
        atn_st_open(cx,
                    make("{\"z\":{" T("F32", "[0]", 0, 0) "},\"a\":{" T(
                             "F32", "[]", 0, 4) "},\"y\":{" T("I8", "[0]", 4, 4) "}}",
                         -1, 4),
                    &f));
    CHECK_EQ(atn_st_count(f), 3);
    CHECK_STR(atn_st_at(f, 0)->name, "a");
    CHECK_EQ(atn_st_find(f, "a")->rank, 0);
    CHECK_EQ(atn_st_find(f, "a")->count, 1);
    CHECK(!atn_st_find(f, "y")->loadable);
    atn_st_close(cx, f);
}

/* One F32 2x2 tensor "t": N = 64, 88 bytes in all, the header padded with 7 spaces. */
static void writer_oracle(atn_ctx *cx)
{
    const float x[] = {1, 2, 3, 4};
    const atn_st_out t = {"t", ATN_F32, 2, {2, 2}, x};
    char path[700], hex[33], again[33];
    unsigned char bytes[100];
    atn_st *f = NULL;
    FILE *file;
    size_t n;

    snprintf(path, sizeof path, "%s/t.safetensors", check_scratch("safetensors-out"));
    CHECK_OK(atn_st_save(cx, path, &t, 1, NULL, false, hex));
    file = fopen(path, "rb");
    n = fread(bytes, 1, sizeof bytes, file);
    fclose(file);
    CHECK_EQ(n, 88);
    CHECK_EQ(bytes[0], 64);
    CHECK(memcmp(bytes + 8 + 57, "       ", 7) == 0);
    CHECK(memcmp(bytes + 72, x, sizeof x) == 0);
    CHECK_OK(atn_st_open(cx, path, &f));
    CHECK(memcmp(atn_st_find(f, "t")->data, x, sizeof x) == 0);
    atn_st_close(cx, f);
    CHECK_FAILS(atn_st_save(cx, path, &t, 1, NULL, false, hex), ATN_CANTCREATE,
                "--force");
    CHECK_OK(atn_st_save(cx, path, &t, 1, NULL, true, again));
    CHECK_STR(again, hex);
}

static void written_order(atn_ctx *cx)
{
    const float x[] = {1, 2};
    const uint16_t h[] = {1, 2, 3};
    const int64_t i[] = {7};
    const atn_st_out t[] = {{"h", ATN_BF16, 1, {3}, h},
                            {"b", ATN_F32, 1, {2}, x},
                            {"i", ATN_I64, 1, {1}, i},
                            {"a", ATN_F32, 1, {2}, x}};
    json_t *meta = json_pack("{s:s}", "format", "pt");
    char path[700];
    atn_st *f = NULL;

    snprintf(path, sizeof path, "%s/o.safetensors", check_scratch("safetensors-order"));
    CHECK_OK(atn_st_save(cx, path, t, 4, meta, false, NULL));
    json_decref(meta);
    CHECK_OK(atn_st_open(cx, path, &f));
    CHECK((const char *)atn_st_find(f, "i")->data <
          (const char *)atn_st_find(f, "a")->data);
    CHECK((const char *)atn_st_find(f, "a")->data <
          (const char *)atn_st_find(f, "b")->data);
    CHECK((const char *)atn_st_find(f, "b")->data <
          (const char *)atn_st_find(f, "h")->data);
    CHECK_STR(json_string_value(json_object_get(atn_st_metadata(f), "format")), "pt");
    atn_st_close(cx, f);
}

/* Every shorter file is refused, none crashes (ASan). */
static void truncations(atn_ctx *cx)
{
    const char *header =
        "{\"t\":{" T("F32", "[2]", 0, 8) "},\"u\":{" T("F16", "[1]", 8, 10) "}}";
    const size_t whole = 8 + strlen(header) + 10;
    char bytes[400], path[700];
    FILE *file = fopen(make(header, -1, 10), "rb");

    CHECK_EQ(fread(bytes, 1, whole, file), whole);
    fclose(file);
    for (size_t n = 0; n < whole; n++) {
        atn_st *f = NULL;

        snprintf(path, sizeof path, "%s/cut", dir);
        file = fopen(path, "wb");
        fwrite(bytes, 1, n, file);
        fclose(file);
        CHECK(atn_st_open(cx, path, &f) == ATN_DATA && !f);
    }
}

static const char *write_index(const char *text)
{
    static char path[700];
    FILE *f;

    make("{\"t\":{" T("F32", "[1]", 0, 4) "},\"extra\":{" T("F32", "[1]", 4, 8) "}}",
         -1, 8);
    snprintf(path, sizeof path, "%s/m.safetensors.index.json", dir);
    f = fopen(path, "wb");
    fputs(text, f);
    fclose(f);
    return path;
}

static void sharded(atn_ctx *cx)
{
    atn_st *f = NULL;

    CHECK_OK(atn_st_open(
        cx, write_index("{\"metadata\":{},\"weight_map\":{\"t\":\"x.safetensors\"}}"),
        &f));
    CHECK_EQ(atn_st_count(f), 1); /* what the map does not name is ignored */
    atn_st_close(cx, f);
    CHECK_FAILS(
        atn_st_open(cx, write_index("{\"weight_map\":{\"t\":\"y.safetensors\"}}"), &f),
        ATN_NOINPUT, "y.safetensors");
    CHECK_FAILS(
        atn_st_open(cx, write_index("{\"weight_map\":{\"u\":\"x.safetensors\"}}"), &f),
        ATN_DATA, "not in its shard");
    CHECK_FAILS(
        atn_st_open(cx, write_index("{\"weight_map\":{\"t\":\"../x.safetensors\"}}"),
                    &f),
        ATN_DATA, "plain file name");
    CHECK_FAILS(atn_st_open(cx, write_index("{\"weight_map\":{\"t\":\"..\"}}"), &f),
                ATN_DATA, "plain file name");
    CHECK_FAILS(
        atn_st_open(cx, write_index("{\"weight_map\":{\"t\":\"a\\\\x.safetensors\"}}"),
                    &f),
        ATN_DATA, "plain file name");
    CHECK_FAILS(atn_st_open(cx, write_index("{\"weight_map\":{\"t\":3}}"), &f),
                ATN_DATA, "plain file name");
    CHECK_FAILS(atn_st_open(cx, write_index("{}"), &f), ATN_DATA, "weight_map");
}

static void allocations_may_fail(atn_ctx *cx)
{
    atn_status st = ATN_MEMORY;
    char path[700];
    int k = 0;

    (void)cx;
    snprintf(path, sizeof path, "%s",
             write_index("{\"weight_map\":{\"t\":\"x.safetensors\"}}"));
    for (; st != ATN_OK; k++) {
        check_failing f = {k};
        atn_st *file = NULL;
        atn_ctx frail;

        atn_ctx_init(&frail);
        frail.alloc = (atn_allocator){check_failing_resize, &f};
        st = atn_st_open(&frail, path, &file);
        CHECK(st == ATN_OK || (st == ATN_MEMORY && !file));
        f.left = 1 << 20;
        atn_st_close(&frail, file);
        atn_ctx_release(&frail);
        CHECK_LE(k, 100);
    }
    CHECK_LE(4, k);
}

CHECK_MAIN({"lengths", lengths}, {"header text", header_text}, {"entries", entries},
           {"own limits", own_limits}, {"tiling", tiling},
           {"odd but sound", odd_but_sound}, {"writer oracle", writer_oracle},
           {"written order", written_order}, {"truncations", truncations},
           {"sharded", sharded}, {"allocations may fail", allocations_may_fail})
