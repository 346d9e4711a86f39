/* tests/core/test_gguf.c -- GGUF files written here byte by byte, and what must not
 * pass. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "check.h"

#include "core/io/gguf.h"

/* A file in the making. */
typedef struct bytes {
    unsigned char data[4096];
    size_t n;
} bytes;

static void put(bytes *b, const void *p, size_t n)
{
    CHECK(b->n + n <= sizeof b->data);
    memcpy(b->data + b->n, p, n);
    b->n += n;
}

static void put_int(bytes *b, uint64_t x, int size)
{
    for (int i = 0; i < size; i++) {
        const unsigned char c = (unsigned char)(x >> (8 * i));
        put(b, &c, 1);
    }
}

static void put_text(bytes *b, const char *text)
{
    put_int(b, strlen(text), 8);
    put(b, text, strlen(text));
}

static void put_head(bytes *b, uint64_t tensors, uint64_t keys)
{
    b->n = 0;
    put(b, "GGUF", 4);
    put_int(b, 3, 4);
    put_int(b, tensors, 8);
    put_int(b, keys, 8);
}

/* dims fastest first, as the file has them */
static void put_info(bytes *b, const char *name, int rank, const uint64_t *dims,
                     uint32_t type, uint64_t offset)
{
    put_text(b, name);
    put_int(b, (uint64_t)rank, 4);
    for (int i = 0; i < rank; i++) put_int(b, dims[i], 8);
    put_int(b, type, 4);
    put_int(b, offset, 8);
}

static void pad(bytes *b, size_t to)
{
    while (b->n % to != 0) put_int(b, 0, 1);
}

static const char *save(const bytes *b)
{
    static char path[600];
    FILE *f;

    snprintf(path, sizeof path, "%s/x.gguf", check_scratch("gguf"));
    f = fopen(path, "wb");
    CHECK(f != NULL);
    CHECK_EQ(fwrite(b->data, 1, b->n, f), b->n);
    fclose(f);
    return path;
}

static void refuse(atn_ctx *cx, const bytes *b, const char *rule)
{
    json_t *keys = NULL;
    atn_st *f = NULL;

    CHECK_FAILS(atn_gguf_open(cx, save(b), &keys, &f), ATN_DATA, rule);
    CHECK(keys == NULL && f == NULL);
}

/* One tensor of 2 rows of 32 in Q8_0, scales 0.5 and -2: number e of row r is scale (e
 * - 16 + r). */
static void put_q8(bytes *b)
{
    const uint16_t scales[2] = {0x3800, 0xc000};
    const uint64_t dims[2] = {32, 2};

    put_head(b, 1, 0);
    put_info(b, "w", 2, dims, 8, 0);
    pad(b, 32);
    for (int r = 0; r < 2; r++) {
        put_int(b, scales[r], 2);
        for (int e = 0; e < 32; e++) put_int(b, (uint64_t)(e - 16 + r), 1);
    }
}

static void reads_q8_0(atn_ctx *cx)
{
    static const float scale[2] = {0.5f, -2};
    float x[64];
    json_t *keys = NULL;
    atn_st *f = NULL;
    const atn_st_tensor *t;
    bytes b;

    put_q8(&b);
    CHECK_OK(atn_gguf_open(cx, save(&b), &keys, &f));
    t = atn_st_find(f, "w");
    CHECK(t && t->loadable && t->type == ATN_Q8_0);
    CHECK_EQ(t->rank, 2);
    CHECK_EQ(t->shape[0], 2);
    CHECK_EQ(t->shape[1], 32);
    CHECK_EQ(t->bytes, 68);
    CHECK(atn_all_finite(t->data, t->type, t->count));
    atn_widen(t->data, t->type, t->count, x);
    for (int i = 0; i < 64; i++)
        CHECK_NEAR(x[i], scale[i / 32] * (float)(i % 32 - 16 + i / 32), 0);
    json_decref(keys);
    atn_st_close(cx, f);
    b.data[b.n - 33] = 0x7c; /* the second scale is infinite */
    b.data[b.n - 34] = 0;
    CHECK_OK(atn_gguf_open(cx, save(&b), &keys, &f));
    t = atn_st_find(f, "w");
    CHECK(!atn_all_finite(t->data, t->type, t->count));
    CHECK(atn_all_finite(t->data, t->type, 32));
    json_decref(keys);
    atn_st_close(cx, f);
}

static void put_keys(bytes *b)
{
    put_text(b, "u8");
    put_int(b, 0, 4);
    put_int(b, 200, 1);
    put_text(b, "i16");
    put_int(b, 3, 4);
    put_int(b, (uint64_t)-5, 2);
    put_text(b, "real");
    put_int(b, 6, 4);
    put_int(b, 0x3fc00000, 4); /* 1.5 */
    put_text(b, "nan");
    put_int(b, 6, 4);
    put_int(b, 0x7fc00000, 4);
    put_text(b, "yes");
    put_int(b, 7, 4);
    put_int(b, 1, 1);
    put_text(b, "text");
    put_int(b, 8, 4);
    put_text(b, "h\303\251");
    put_text(b, "bad");
    put_int(b, 8, 4);
    put_text(b, "\377");
    put_text(b, "list");
    put_int(b, 9, 4);
    put_int(b, 8, 4);
    put_int(b, 2, 8);
    put_text(b, "a");
    put_text(b, "");
}

static void reads_keys(atn_ctx *cx)
{
    json_t *keys = NULL, *list;
    atn_st *f = NULL;
    bytes b;

    put_head(&b, 0, 8);
    put_keys(&b);
    CHECK_OK(atn_gguf_open(cx, save(&b), &keys, &f));
    CHECK_EQ(json_integer_value(json_object_get(keys, "u8")), 200);
    CHECK_EQ(json_integer_value(json_object_get(keys, "i16")), -5);
    CHECK_NEAR(json_real_value(json_object_get(keys, "real")), 1.5, 0);
    CHECK(json_is_null(json_object_get(keys, "nan")));
    CHECK(json_is_true(json_object_get(keys, "yes")));
    CHECK_STR(json_string_value(json_object_get(keys, "text")), "h\303\251");
    CHECK(json_is_null(json_object_get(keys, "bad")));
    list = json_object_get(keys, "list");
    CHECK_EQ(json_array_size(list), 2);
    CHECK_STR(json_string_value(json_array_get(list, 0)), "a");
    CHECK_EQ(atn_st_count(f), 0);
    json_decref(keys);
    atn_st_close(cx, f);
}

/* Tensors in any order, found by name; the data begin at the next multiple of 64. */
static void alignment(atn_ctx *cx)
{
    const uint64_t dims[1] = {2};
    const float values[2] = {3, 4};
    float x[2];
    json_t *keys = NULL;
    atn_st *f = NULL;
    bytes b;

    put_head(&b, 2, 1);
    put_text(&b, "general.alignment");
    put_int(&b, 4, 4);
    put_int(&b, 64, 4);
    put_info(&b, "z", 1, dims, 0, 0);
    put_info(&b, "a", 1, dims, 1, 64);
    pad(&b, 64);
    put(&b, values, sizeof values);
    pad(&b, 64);
    put_int(&b, 0x3c00, 2);
    put_int(&b, 0xbc00, 2);
    CHECK_OK(atn_gguf_open(cx, save(&b), &keys, &f));
    CHECK_STR(atn_st_at(f, 0)->name, "a");
    atn_widen(atn_st_find(f, "z")->data, ATN_F32, 2, x);
    CHECK_NEAR(x[0], 3, 0);
    atn_widen(atn_st_find(f, "a")->data, ATN_F16, 2, x);
    CHECK_NEAR(x[1], -1, 0);
    json_decref(keys);
    atn_st_close(cx, f);
    b.n--;
    refuse(cx, &b, "\"a\": ends behind");
}

/* Types that are not decoded are named and left to whoever wants them. */
static void other_types(atn_ctx *cx)
{
    const uint64_t dims[2] = {256, 4};
    json_t *keys = NULL;
    atn_st *f = NULL;
    bytes b;

    put_head(&b, 2, 0);
    put_info(&b, "k", 2, dims, 12, 0);
    put_info(&b, "x", 2, dims, 777, 0);
    pad(&b, 32);
    CHECK_OK(atn_gguf_open(cx, save(&b), &keys, &f));
    CHECK(!atn_st_find(f, "k")->loadable);
    CHECK_STR(atn_st_find(f, "k")->dtype, "Q4_K");
    CHECK_STR(atn_st_find(f, "x")->dtype, "of an unknown type");
    json_decref(keys);
    atn_st_close(cx, f);
}

static void refuses_heads(atn_ctx *cx)
{
    bytes b;

    put_q8(&b);
    for (size_t n = 0; n < 28; n++) {
        bytes part = b;
        part.n = n;
        refuse(cx, &part, n < 4 ? "" : "header");
    }
    b.data[0] = 'g';
    refuse(cx, &b, "no GGUF file");
    put_q8(&b);
    b.data[4] = 1;
    refuse(cx, &b, "version 1");
    put_head(&b, UINT64_MAX, 0);
    refuse(cx, &b, "more tensors or keys");
    put_head(&b, 0, 100001);
    refuse(cx, &b, "more tensors or keys");
}

static void refuses_keys(atn_ctx *cx)
{
    bytes b;

    put_head(&b, 0, 1);
    put_int(&b, UINT64_MAX, 8);
    refuse(cx, &b, "text ends behind");
    put_head(&b, 0, 1);
    put_text(&b, "k");
    put_int(&b, 13, 4);
    refuse(cx, &b, "type that is not known");
    put_head(&b, 0, 1);
    put_text(&b, "k");
    put_int(&b, 9, 4);
    put_int(&b, 0, 4);
    put_int(&b, UINT64_MAX, 8);
    refuse(cx, &b, "more entries");
    put_head(&b, 0, 2);
    for (int i = 0; i < 2; i++) {
        put_text(&b, "k");
        put_int(&b, 7, 4);
        put_int(&b, 1, 1);
    }
    refuse(cx, &b, "key \"k\" is there twice");
    put_head(&b, 0, 1);
    put_text(&b, "k");
    for (int i = 0; i < 20; i++) {
        put_int(&b, 9, 4);
        if (i > 0) put_int(&b, 1, 8);
    }
    refuse(cx, &b, "too deep");
    put_head(&b, 0, 1);
    put_text(&b, "general.alignment");
    put_int(&b, 4, 4);
    put_int(&b, 12, 4);
    refuse(cx, &b, "alignment");
}

static void refuses_tensors(atn_ctx *cx)
{
    static const uint64_t odd[2] = {33, 2}, none[1] = {0},
                          huge[2] = {1ull << 40, 1ull << 40}, one[1] = {1};
    bytes b;

    put_head(&b, 1, 0);
    put_info(&b, "w", 2, odd, 8, 0);
    pad(&b, 32);
    refuse(cx, &b, "no whole blocks");
    put_head(&b, 1, 0);
    put_info(&b, "w", 1, none, 0, 0);
    refuse(cx, &b, "out of range");
    put_head(&b, 1, 0);
    put_info(&b, "w", 2, huge, 0, 0);
    refuse(cx, &b, "out of range");
    put_head(&b, 1, 0);
    put_info(&b, "w", 0, one, 0, 0);
    refuse(cx, &b, "1 to 4 dimensions");
    put_head(&b, 1, 0);
    put_info(&b, "w", 1, one, 0, 8);
    pad(&b, 32);
    refuse(cx, &b, "multiple of the alignment");
    put_head(&b, 1, 0);
    put_info(&b, "w", 1, one, 0, 1 << 20);
    pad(&b, 32);
    refuse(cx, &b, "begins behind");
    put_head(&b, 2, 0);
    put_info(&b, "w", 1, one, 0, 0);
    put_info(&b, "w", 1, one, 0, 32);
    pad(&b, 32);
    refuse(cx, &b, "twice");
    put_head(&b, 2, 0);
    put_info(&b, "w", 1, one, 0, 0);
    put_info(&b, "v", 1, one, 0, 0);
    pad(&b, 32);
    put_int(&b, 0, 4);
    refuse(cx, &b, "over another");
}

static void allocations_may_fail(atn_ctx *cx)
{
    atn_status st = ATN_MEMORY;
    char path[700];
    bytes b;
    int k = 0;

    (void)cx;
    put_q8(&b);
    snprintf(path, sizeof path, "%s", save(&b));
    for (; st != ATN_OK; k++) {
        check_failing f = {k};
        json_t *keys = NULL;
        atn_st *file = NULL;
        atn_ctx frail;

        atn_ctx_init(&frail);
        frail.alloc = (atn_allocator){check_failing_resize, &f};
        st = atn_gguf_open(&frail, path, &keys, &file);
        CHECK(st == ATN_OK || (st == ATN_MEMORY && !file && !keys));
        f.left = 1 << 20;
        atn_st_close(&frail, file);
        json_decref(keys);
        atn_ctx_release(&frail);
        CHECK_LE(k, 100);
    }
    CHECK_LE(3, k);
}

CHECK_MAIN({"reads q8_0", reads_q8_0}, {"reads keys", reads_keys},
           {"alignment", alignment}, {"other types", other_types},
           {"refuses heads", refuses_heads}, {"refuses keys", refuses_keys},
           {"refuses tensors", refuses_tensors},
           {"allocations may fail", allocations_may_fail})
