/* core/io/gguf.c -- reader of GGUF files, see the header. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "core/io/gguf.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum {
    KEYS_MAX = 100000,
    TENSORS_MAX = 1000000,
    ENTRIES_MAX = 10000000,
    NAME_MAX_BYTES = 1024,
    RANK_MAX = 4,
    DEPTH_MAX = 4,   /* lists within lists */
    ENTRY_BYTES = 96 /* a value of a list as JSON, about */
};

typedef enum value_type {
    VALUE_U8,
    VALUE_I8,
    VALUE_U16,
    VALUE_I16,
    VALUE_U32,
    VALUE_I32,
    VALUE_F32,
    VALUE_BOOL,
    VALUE_STRING,
    VALUE_ARRAY,
    VALUE_U64,
    VALUE_I64,
    VALUE_F64,
    VALUE_TYPES
} value_type;

/* ggml's tensor types by number; NULL = one that is no longer used. */
static const char *const type_names[] = {
    "F32",     "F16",    "Q4_0",    "Q4_1",  NULL,     NULL,    "Q5_0",  "Q5_1",
    "Q8_0",    "Q8_1",   "Q2_K",    "Q3_K",  "Q4_K",   "Q5_K",  "Q6_K",  "Q8_K",
    "IQ2_XXS", "IQ2_XS", "IQ3_XXS", "IQ1_S", "IQ4_NL", "IQ3_S", "IQ2_S", "IQ4_XS",
    "I8",      "I16",    "I32",     "I64",   "F64",    "IQ1_M", "BF16",  NULL,
    NULL,      NULL,     "TQ1_0",   "TQ2_0", NULL,     NULL,    NULL,    "MXFP4"};

/* Where the reader is; end is the first byte that is not there. */
typedef struct cursor {
    const char *path;
    const unsigned char *begin, *at, *end;
    int64_t entries; /* of lists so far */
    char key[64];    /* whose value is read, or "" */
} cursor;

static atn_status damaged(atn_ctx *cx, const cursor *c, const char *rule)
{
    return atn_fail(
        cx, ATN_DATA, __FILE__, __LINE__,
        "%s: %s%s%s%s (the file is damaged or hostile; fetch or convert it again)",
        c->path, *c->key ? "key \"" : "", c->key, *c->key ? "\" " : "", rule);
}

static atn_status take(atn_ctx *cx, cursor *c, void *to, size_t size)
{
    if ((size_t)(c->end - c->at) < size)
        return damaged(cx, c, "ends within its header");
    memcpy(to, c->at, size);
    c->at += size;
    return ATN_OK;
}

/* A text of the file; *text points into it. */
static atn_status take_text(atn_ctx *cx, cursor *c, const char **text, size_t *size)
{
    atn_status st = ATN_OK;
    uint64_t n = 0;

    ATN_TRY(take(cx, c, &n, sizeof n));
    if (n > (uint64_t)(c->end - c->at))
        return damaged(cx, c, "a text ends behind the file");
    *text = (const char *)c->at;
    *size = (size_t)n;
    c->at += n;
done:
    return st;
}

/* The name of a key or a tensor, UTF-8 without NUL. */
static atn_status take_name(atn_ctx *cx, cursor *c, char name[NAME_MAX_BYTES + 1])
{
    atn_status st = ATN_OK;
    const char *text = NULL;
    size_t n = 0, bad = 0;

    ATN_TRY(take_text(cx, c, &text, &n));
    if (n < 1 || n > NAME_MAX_BYTES)
        return damaged(cx, c, "a name has not 1 to 1024 bytes");
    if (!atn_utf8_valid(text, n, &bad) || memchr(text, '\0', n))
        return damaged(cx, c, "a name is not UTF-8");
    memcpy(name, text, n);
    name[n] = '\0';
done:
    return st;
}

/* ---- keys ---- */

static json_t *real_or_null(double x)
{
    return isfinite(x) ? json_real(x) : json_null();
}

static const size_t value_sizes[VALUE_TYPES] = {1, 1, 2, 2, 4, 4, 4, 1, 0, 0, 8, 8, 8};

/* A number or boolean of little-endian bytes. */
static json_t *scalar(value_type type, const unsigned char *p)
{
    union {
        uint8_t u8;
        int8_t i8;
        uint16_t u16;
        int16_t i16;
        uint32_t u32;
        int32_t i32;
        uint64_t u64;
        int64_t i64;
        float f32;
        double f64;
    } v;

    memcpy(&v, p, value_sizes[type]);
    switch (type) {
    case VALUE_U8:
        return json_integer(v.u8);
    case VALUE_I8:
        return json_integer(v.i8);
    case VALUE_U16:
        return json_integer(v.u16);
    case VALUE_I16:
        return json_integer(v.i16);
    case VALUE_U32:
        return json_integer(v.u32);
    case VALUE_I32:
        return json_integer(v.i32);
    case VALUE_U64:
        return v.u64 > INT64_MAX ? json_real((double)v.u64)
                                 : json_integer((json_int_t)v.u64);
    case VALUE_I64:
        return json_integer(v.i64);
    case VALUE_F32:
        return real_or_null(v.f32);
    case VALUE_F64:
        return real_or_null(v.f64);
    case VALUE_BOOL:
        return json_boolean(v.u8);
    default:
        return NULL;
    }
}

static atn_status no_memory(atn_ctx *cx, const cursor *c)
{
    return atn_fail(cx, ATN_MEMORY, __FILE__, __LINE__, "%s: no memory for its keys",
                    c->path);
}

static atn_status take_value(atn_ctx *cx, cursor *c, uint32_t type, int depth,
                             json_t **out);

static atn_status take_list(atn_ctx *cx, cursor *c, int depth, json_t **out)
{
    atn_status st = ATN_OK;
    uint32_t type = 0;
    uint64_t n = 0;
    json_t *list = NULL;

    ATN_TRY(take(cx, c, &type, sizeof type));
    ATN_TRY(take(cx, c, &n, sizeof n));
    if (depth >= DEPTH_MAX) return damaged(cx, c, "has lists within lists too deep");
    if (n > (uint64_t)(ENTRIES_MAX - c->entries) || n > (uint64_t)(c->end - c->at))
        return damaged(cx, c, "a list has more entries than there may be");
    c->entries += (int64_t)n;
    ATN_TRY(atn_mem_check(cx, (double)c->entries * ENTRY_BYTES,
                          "the keys of the GGUF file"));
    list = json_array();
    for (uint64_t i = 0; i < n; i++) {
        json_t *v = NULL;

        ATN_TRY(take_value(cx, c, type, depth + 1, &v));
        if (json_array_append_new(list, v) != 0) ATN_TRY(no_memory(cx, c));
    }
    *out = list;
    list = NULL;
done:
    json_decref(list);
    return st;
}

static atn_status take_value(atn_ctx *cx, cursor *c, uint32_t type, int depth,
                             json_t **out)
{
    unsigned char bytes[8];
    atn_status st = ATN_OK;
    const char *text = NULL;
    size_t n = 0;

    if (type >= VALUE_TYPES)
        return damaged(cx, c, "a key has a type that is not known");
    if (type == VALUE_ARRAY) return take_list(cx, c, depth, out);
    if (type == VALUE_STRING) {
        ATN_TRY(take_text(cx, c, &text, &n));
        *out = json_stringn(text, n); /* NULL where it is not UTF-8 */
        if (!*out) *out = json_null();
    } else {
        ATN_TRY(take(cx, c, bytes, value_sizes[type]));
        *out = scalar((value_type)type, bytes);
    }
    if (!*out) ATN_TRY(no_memory(cx, c));
done:
    return st;
}

static atn_status take_keys(atn_ctx *cx, cursor *c, uint64_t n, json_t *keys)
{
    atn_status st = ATN_OK;
    char name[NAME_MAX_BYTES + 1];

    for (uint64_t i = 0; i < n; i++) {
        uint32_t type = 0;
        json_t *v = NULL;

        c->key[0] = '\0';
        ATN_TRY(take_name(cx, c, name));
        snprintf(c->key, sizeof c->key, "%.60s", name);
        if (json_object_get(keys, name)) return damaged(cx, c, "is there twice");
        ATN_TRY(take(cx, c, &type, sizeof type));
        ATN_TRY(take_value(cx, c, type, 0, &v));
        if (json_object_set_new(keys, name, v) != 0) ATN_TRY(no_memory(cx, c));
    }
    c->key[0] = '\0';
done:
    return st;
}

/* ---- tensors ---- */

static void set_type(atn_st_tensor *t, uint32_t type)
{
    static const struct {
        uint32_t ggml;
        atn_dtype type;
    } loadable[] = {
        {0, ATN_F32}, {1, ATN_F16}, {8, ATN_Q8_0}, {28, ATN_F64}, {30, ATN_BF16}};

    t->dtype = type < ATN_LEN(type_names) && type_names[type] ? type_names[type]
                                                              : "of an unknown type";
    for (size_t i = 0; i < ATN_LEN(loadable); i++)
        if (loadable[i].ggml == type) {
            t->loadable = true;
            t->type = loadable[i].type;
        }
}

static atn_status tensor_error(atn_ctx *cx, const cursor *c, const char *name,
                               const char *rule)
{
    return atn_fail(
        cx, ATN_DATA, __FILE__, __LINE__,
        "%s: tensor \"%.80s\": %s (the file is damaged or hostile; fetch or "
        "convert it again)",
        c->path, name, rule);
}

/* Everything of one info but the place of its data, which *offset is. */
static atn_status take_info(atn_ctx *cx, cursor *c, json_t *names, atn_st_tensor *t,
                            uint64_t *offset)
{
    char name[NAME_MAX_BYTES + 1];
    uint32_t rank = 0, type = 0;
    atn_status st = ATN_OK;

    ATN_TRY(take_name(cx, c, name));
    if (json_object_get(names, name))
        return tensor_error(cx, c, name, "is there twice");
    if (json_object_set_new(names, name, json_string(name)) != 0)
        ATN_TRY(no_memory(cx, c));
    t->name = json_string_value(json_object_get(names, name));
    ATN_TRY(take(cx, c, &rank, sizeof rank));
    if (rank < 1 || rank > RANK_MAX)
        return tensor_error(cx, c, name, "has not 1 to 4 dimensions");
    t->rank = (int)rank;
    t->count = 1;
    for (int i = t->rank - 1; i >= 0; i--) {
        uint64_t dim = 0;

        ATN_TRY(take(cx, c, &dim, sizeof dim));
        if (dim < 1 || dim > (uint64_t)1 << 48 ||
            !atn_mul(t->count, (atn_idx)dim, &t->count))
            return tensor_error(cx, c, name, "has a dimension out of range");
        t->shape[i] = (atn_idx)dim;
    }
    ATN_TRY(take(cx, c, &type, sizeof type));
    ATN_TRY(take(cx, c, offset, sizeof *offset));
    set_type(t, type);
done:
    return st;
}

/* data: where offsets count from. A tensor that cannot be loaded has no known size. */
static atn_status place_tensor(atn_ctx *cx, const cursor *c, const unsigned char *data,
                               uint64_t alignment, uint64_t offset, atn_st_tensor *t)
{
    const size_t room = (size_t)(c->end - data);
    const atn_idx block = t->loadable ? atn_dtype_block(t->type) : 1;

    if (offset % alignment != 0)
        return tensor_error(cx, c, t->name,
                            "does not begin at a multiple of the alignment");
    if (offset > room)
        return tensor_error(cx, c, t->name, "begins behind the file's end");
    t->data = data + offset;
    if (!t->loadable) return ATN_OK;
    if (t->shape[t->rank - 1] % block != 0)
        return tensor_error(cx, c, t->name, "has rows that are no whole blocks");
    if ((uint64_t)(t->count / block) > (room - offset) / atn_dtype_size(t->type))
        return tensor_error(cx, c, t->name, "ends behind the file's end");
    t->bytes = atn_dtype_bytes(t->type, t->count);
    return ATN_OK;
}

/* By place, empty ones do not exist. */
static int by_place(const void *a, const void *b)
{
    const atn_st_tensor *const *x = a, *const *y = b;

    return ((*x)->data > (*y)->data) - ((*x)->data < (*y)->data);
}

/* No two tensors have bytes in common; those of unknown size are left out. */
static atn_status check_overlap(atn_ctx *cx, const cursor *c, const atn_st_tensor *t,
                                atn_idx n)
{
    const atn_arena_mark mark = atn_arena_save(cx);
    const atn_st_tensor **order = NULL;
    atn_status st = ATN_OK;
    atn_idx known = 0;

    ATN_TAKE(order, ATN_MAX(n, 1));
    for (atn_idx i = 0; i < n; i++)
        if (t[i].loadable) order[known++] = &t[i];
    qsort(order, (size_t)known, sizeof *order, by_place);
    for (atn_idx i = 1; i < known; i++)
        if ((const unsigned char *)order[i]->data <
            (const unsigned char *)order[i - 1]->data + order[i - 1]->bytes)
            ATN_TRY(tensor_error(cx, c, order[i]->name, "lies over another one"));
done:
    atn_arena_rewind(cx, mark);
    return st;
}

static atn_status take_alignment(atn_ctx *cx, const cursor *c, const json_t *keys,
                                 uint64_t *out)
{
    const json_t *v = json_object_get(keys, "general.alignment");
    const json_int_t n = v ? json_integer_value(v) : 32;

    if (n < 8 || n > 1 << 20 || n % 8 != 0)
        return damaged(cx, c, "general.alignment is no multiple of 8 up to 2^20");
    *out = (uint64_t)n;
    return ATN_OK;
}

static atn_status take_tensors(atn_ctx *cx, cursor *c, atn_idx n, const json_t *keys,
                               json_t *names, atn_st_tensor *t)
{
    const atn_arena_mark mark = atn_arena_save(cx);
    uint64_t *offsets = NULL, alignment = 0, header;
    atn_status st = ATN_OK;

    ATN_TAKE(offsets, ATN_MAX(n, 1));
    ATN_TRY(take_alignment(cx, c, keys, &alignment));
    for (atn_idx i = 0; i < n; i++)
        ATN_TRY(take_info(cx, c, names, &t[i], &offsets[i]));
    header = (uint64_t)(c->at - c->begin);
    header = (header + alignment - 1) / alignment * alignment;
    if (header > (uint64_t)(c->end - c->begin)) {
        if (n > 0) ATN_TRY(damaged(cx, c, "ends within its header"));
        header = (uint64_t)(c->end - c->begin);
    }
    for (atn_idx i = 0; i < n; i++)
        ATN_TRY(place_tensor(cx, c, c->begin + header, alignment, offsets[i], &t[i]));
    ATN_TRY(check_overlap(cx, c, t, n));
done:
    atn_arena_rewind(cx, mark);
    return st;
}

/* Magic, version and counts. */
static atn_status take_head(atn_ctx *cx, cursor *c, uint64_t *tensors, uint64_t *keys)
{
    atn_status st = ATN_OK;
    uint32_t version = 0;
    char magic[4];

    ATN_TRY(take(cx, c, magic, sizeof magic));
    if (memcmp(magic, "GGUF", 4) != 0)
        ATN_FAIL(ATN_DATA, "%s: does not begin with GGUF, so it is no GGUF file",
                 c->path);
    ATN_TRY(take(cx, c, &version, sizeof version));
    if (version != 2 && version != 3)
        ATN_FAIL(ATN_DATA,
                 "%s: is of GGUF version %" PRIu32 "; 2 and 3, little-endian, are read "
                 "(convert it again with a current llama.cpp)",
                 c->path, version);
    ATN_TRY(take(cx, c, tensors, sizeof *tensors));
    ATN_TRY(take(cx, c, keys, sizeof *keys));
    if (*tensors > TENSORS_MAX || *keys > KEYS_MAX)
        ATN_TRY(damaged(cx, c, "has more tensors or keys than there may be"));
done:
    return st;
}

atn_status atn_gguf_open(atn_ctx *cx, const char *path, json_t **keys, atn_st **tensors)
{
    atn_status st = ATN_OK;
    uint64_t n = 0, n_keys = 0;
    cursor c = {.path = path};
    atn_map map = {NULL, 0};
    json_t *read = json_object(), *names = json_object();
    atn_st_tensor *t = NULL;

    *keys = NULL;
    *tensors = NULL;
    ATN_TRY(atn_map_open(cx, path, &map));
    c.begin = c.at = map.data;
    c.end = map.data + map.size;
    ATN_TRY(take_head(cx, &c, &n, &n_keys));
    ATN_TRY(take_keys(cx, &c, n_keys, read));
    ATN_NEW(t, ATN_MAX((atn_idx)n, 1));
    ATN_TRY(take_tensors(cx, &c, (atn_idx)n, read, names, t));
    st = atn_st_adopt(cx, path, map, names, t, (atn_idx)n, tensors);
    map = (atn_map){NULL, 0};
    names = NULL;
    t = NULL;
    ATN_TRY(st);
    *keys = read;
    read = NULL;
done:
    atn_map_close(&map);
    atn_free(cx, t);
    json_decref(names);
    json_decref(read);
    return st;
}
