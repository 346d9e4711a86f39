/* core/io/safetensors.c -- reader of one file or a sharded set, and the writer.
 *
 * A file is checked whole before anything is handed out: header, every entry, then the
 * tiling of the data buffer (sorted by begin and end, so that empty tensors may stand
 * anywhere).
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "core/io/safetensors.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include <xxhash.h>

#include "core/io/file.h"
#include "core/io/json.h"

enum { HEADER_MAX = 100000000, TENSORS_MAX = 1000000, NAME_MAX_BYTES = 1024 };
static const int64_t DIM_MAX = (int64_t)1 << 48;

/* Every dtype of the format: bits an element, and ours where it can be loaded. */
static const struct dtype {
    const char *name;
    int bits;
    int type; /* atn_dtype, -1 = not loadable */
} dtypes[] = {
    {"BOOL", 8, -1},        {"F4", 4, -1},          {"F6_E2M3", 6, -1},
    {"F6_E3M2", 6, -1},     {"U8", 8, ATN_U8},      {"I8", 8, -1},
    {"F8_E5M2", 8, -1},     {"F8_E4M3", 8, -1},     {"F8_E8M0", 8, -1},
    {"F8_E4M3FNUZ", 8, -1}, {"F8_E5M2FNUZ", 8, -1}, {"I16", 16, -1},
    {"U16", 16, -1},        {"F16", 16, ATN_F16},   {"BF16", 16, ATN_BF16},
    {"I32", 32, ATN_I32},   {"U32", 32, -1},        {"F32", 32, ATN_F32},
    {"C64", 64, -1},        {"F64", 64, ATN_F64},   {"I64", 64, ATN_I64},
    {"U64", 64, -1},
};

typedef struct shard {
    char *path;
    atn_map map;
    json_t *header;
} shard;

struct atn_st {
    shard *shards;
    atn_idx n_shards;
    atn_st_tensor *tensors; /* by name */
    atn_idx n_tensors;
    json_t *index; /* weight map of a sharded set; its strings are borrowed */
};

/* ---- one entry ---- */

static const struct dtype *find_dtype(const char *name)
{
    for (size_t i = 0; i < ATN_LEN(dtypes); i++)
        if (strcmp(dtypes[i].name, name) == 0) return &dtypes[i];
    return NULL;
}

static atn_status entry_error(atn_ctx *cx, const char *path, const char *name,
                              const char *rule)
{
    return atn_fail(
        cx, ATN_DATA, __FILE__, __LINE__,
        "%s: tensor \"%.80s\": %s (the file is damaged or hostile; fetch or "
        "convert it again)",
        path, name, rule);
}

static atn_status read_shape(atn_ctx *cx, const char *path, const char *name,
                             const json_t *shape, atn_st_tensor *t)
{
    const size_t rank = json_array_size(shape);

    if (!json_is_array(shape))
        return entry_error(cx, path, name, "\"shape\" is no array");
    if (rank > ATN_ST_MAX_RANK) return entry_error(cx, path, name, "rank above 8");
    t->rank = (int)rank;
    t->count = 1;
    for (size_t i = 0; i < rank; i++) {
        const json_t *dim = json_array_get(shape, i);
        const int64_t n = json_integer_value(dim);

        if (!json_is_integer(dim) || n < 0 || n >= DIM_MAX)
            return entry_error(cx, path, name,
                               "a dimension is no integer in 0..2^48-1");
        t->shape[i] = n;
        if (!atn_mul(t->count, n, &t->count))
            return entry_error(cx, path, name, "the product of the shape overflows");
    }
    return ATN_OK;
}

/* Fills *t from an entry; begin and end are left in bytes and data for the tiling
 * check. */
static atn_status read_entry(atn_ctx *cx, const shard *s, size_t data_at,
                             const char *name, const json_t *entry, atn_st_tensor *t)
{
    const json_t *offsets = json_object_get(entry, "data_offsets");
    const char *dtype = json_string_value(json_object_get(entry, "dtype"));
    const size_t room = s->map.size - data_at;
    const struct dtype *d;
    int64_t begin, end;
    atn_idx bits = 0;

    if (strlen(name) > NAME_MAX_BYTES)
        return entry_error(cx, s->path, name, "name above 1 KiB");
    if (!json_is_object(entry) || json_object_size(entry) != 3)
        return entry_error(cx, s->path, name,
                           "the entry must have exactly dtype, shape and data_offsets");
    if (!dtype)
        return entry_error(cx, s->path, name, "\"dtype\" is missing or no string");
    d = find_dtype(dtype);
    if (!d)
        return atn_fail(cx, ATN_DATA, __FILE__, __LINE__,
                        "%s: tensor \"%.80s\": unknown dtype \"%.40s\"", s->path, name,
                        dtype);
    if (read_shape(cx, s->path, name, json_object_get(entry, "shape"), t) != ATN_OK)
        return cx->err.code;
    if (!json_is_array(offsets) || json_array_size(offsets) != 2 ||
        !json_is_integer(json_array_get(offsets, 0)) ||
        !json_is_integer(json_array_get(offsets, 1)))
        return entry_error(cx, s->path, name,
                           "\"data_offsets\" is no pair of integers");
    begin = json_integer_value(json_array_get(offsets, 0));
    end = json_integer_value(json_array_get(offsets, 1));
    if (begin < 0 || end < begin)
        return entry_error(cx, s->path, name, "data_offsets are negative or reversed");
    if ((uint64_t)end > room)
        return entry_error(cx, s->path, name, "data_offsets reach beyond the file");
    if (!atn_mul(t->count, d->bits, &bits))
        return entry_error(cx, s->path, name, "the product of the shape overflows");
    if (bits % 8 != 0)
        return entry_error(cx, s->path, name, "its bits do not fill whole bytes");
    if (bits / 8 != end - begin)
        return atn_fail(cx, ATN_DATA, __FILE__, __LINE__,
                        "%s: tensor \"%.80s\": shape and dtype need %" PRId64
                        " bytes, data_offsets give %" PRId64,
                        s->path, name, bits / 8, end - begin);
    t->name = name;
    t->dtype = d->name;
    t->loadable = d->type >= 0;
    t->type = (atn_dtype)(d->type >= 0 ? d->type : 0);
    t->data = s->map.data + data_at + begin;
    t->bytes = (size_t)(end - begin);
    t->path = s->path;
    return ATN_OK;
}

/* ---- one file ---- */

static int by_data(const void *a, const void *b)
{
    const atn_st_tensor *x = a, *y = b;
    const char *p = x->data, *q = y->data;

    if (p != q) return p < q ? -1 : 1;
    return (x->bytes > y->bytes) - (x->bytes < y->bytes);
}

static int by_name(const void *a, const void *b)
{
    return strcmp(((const atn_st_tensor *)a)->name, ((const atn_st_tensor *)b)->name);
}

static atn_status check_tiling(atn_ctx *cx, const shard *s, size_t data_at,
                               atn_st_tensor *t, atn_idx n)
{
    const unsigned char *expected = s->map.data + data_at;

    qsort(t, (size_t)n, sizeof *t, by_data);
    for (atn_idx i = 0; i < n; i++) {
        const unsigned char *begin = t[i].data;

        if (begin > expected)
            return entry_error(cx, s->path, t[i].name,
                               i == 0 ? "the first tensor does not begin at 0"
                                      : "there is a hole in the data before it");
        if (begin < expected)
            return entry_error(cx, s->path, t[i].name,
                               "its data overlap another tensor's");
        expected = begin + t[i].bytes;
    }
    if (expected != s->map.data + s->map.size)
        return atn_fail(
            cx, ATN_DATA, __FILE__, __LINE__,
            "%s: %zu bytes follow the last tensor's data (trailing bytes are not "
            "allowed)",
            s->path, (size_t)(s->map.data + s->map.size - expected));
    return ATN_OK;
}

static atn_status check_metadata(atn_ctx *cx, const shard *s)
{
    json_t *meta = json_object_get(s->header, "__metadata__"), *value;
    const char *key;

    if (!meta) return ATN_OK;
    if (!json_is_object(meta))
        return atn_fail(cx, ATN_DATA, __FILE__, __LINE__,
                        "%s: \"__metadata__\" is no object", s->path);
    json_object_foreach(meta, key, value) if (!json_is_string(value)) return atn_fail(
        cx, ATN_DATA, __FILE__, __LINE__, "%s: __metadata__ \"%.80s\" is no string",
        s->path, key);
    return ATN_OK;
}

static atn_status read_header(atn_ctx *cx, shard *s, size_t *data_at)
{
    uint64_t n = 0;
    const char *text;
    size_t bad = 0;
    atn_status st = ATN_OK;

    if (s->map.size < 8)
        ATN_FAIL(ATN_DATA,
                 "%s: %zu bytes are too few for a safetensors file (8 at least)",
                 s->path, s->map.size);
    for (int i = 7; i >= 0; i--) n = n << 8 | s->map.data[i];
    if (n > HEADER_MAX)
        ATN_FAIL(ATN_DATA, "%s: the header length %" PRIu64 " is above 100000000",
                 s->path, n);
    if (n > s->map.size - 8)
        ATN_FAIL(ATN_DATA,
                 "%s: the header length %" PRIu64
                 " reaches beyond the file of %zu bytes "
                 "(truncated?)",
                 s->path, n, s->map.size);
    if (n < 2)
        ATN_FAIL(ATN_DATA, "%s: the header length %" PRIu64 " is below 2", s->path, n);
    text = (const char *)s->map.data + 8;
    if (text[0] != '{')
        ATN_FAIL(ATN_DATA, "%s: the header does not begin with '{'", s->path);
    if (!atn_utf8_valid(text, (size_t)n, &bad))
        ATN_FAIL(ATN_DATA, "%s: the header is not UTF-8 at byte %zu", s->path, bad);
    ATN_TRY(atn_json_parse(cx, s->path, text, (size_t)n, false, &s->header));
    if (!json_is_object(s->header))
        ATN_FAIL(ATN_DATA, "%s: the header is no JSON object", s->path);
    if (json_object_size(s->header) > TENSORS_MAX)
        ATN_FAIL(ATN_DATA, "%s: more than 1000000 tensors", s->path);
    ATN_TRY(check_metadata(cx, s));
    *data_at = 8 + (size_t)n;
done:
    return st;
}

/* Reads one file and appends its tensors to f; `only` (may be NULL) is the weight
 * map. */
static atn_status read_shard(atn_ctx *cx, atn_st *f, shard *s, const json_t *only,
                             const char *file_name)
{
    const atn_arena_mark mark = atn_arena_save(cx);
    atn_status st = ATN_OK;
    atn_st_tensor *all = NULL, *grown;
    size_t data_at = 0;
    atn_idx n = 0;
    const char *name;
    json_t *entry;

    ATN_TRY(atn_map_open(cx, s->path, &s->map));
    ATN_TRY(read_header(cx, s, &data_at));
    ATN_TAKE(all, json_object_size(s->header) + 1);
    memset(all, 0, (json_object_size(s->header) + 1) * sizeof *all);
    json_object_foreach(s->header, name, entry)
    {
        if (strcmp(name, "__metadata__") == 0) continue;
        ATN_TRY(read_entry(cx, s, data_at, name, entry, &all[n]));
        n++;
    }
    ATN_TRY(check_tiling(cx, s, data_at, all, n));
    grown = atn_realloc(cx, f->tensors, f->n_tensors + n, sizeof *grown);
    if (!grown) {
        st = cx->err.code;
        goto done;
    }
    f->tensors = grown;
    for (atn_idx i = 0; i < n; i++) {
        const char *where = json_string_value(json_object_get(only, all[i].name));
        if (!only || (where && strcmp(where, file_name) == 0))
            f->tensors[f->n_tensors++] = all[i];
    }
done:
    atn_arena_rewind(cx, mark);
    return st;
}

/* ---- a sharded set ---- */

static bool safe_file_name(const char *name)
{
    return *name && !strchr(name, '/') && !strchr(name, '\\') &&
           strcmp(name, ".") != 0 && strcmp(name, "..") != 0;
}

static atn_status add_shard(atn_ctx *cx, atn_st *f, const char *path,
                            const json_t *only, const char *file_name)
{
    shard *grown = atn_realloc(cx, f->shards, f->n_shards + 1, sizeof *grown);

    if (!grown) return cx->err.code;
    f->shards = grown;
    grown[f->n_shards] = (shard){atn_strdup(cx, path), {NULL, 0}, NULL};
    if (!grown[f->n_shards].path) return cx->err.code;
    f->n_shards++;
    return read_shard(cx, f, &f->shards[f->n_shards - 1], only, file_name);
}

static bool known_shard(const atn_st *f, const char *path)
{
    for (atn_idx i = 0; i < f->n_shards; i++)
        if (strcmp(f->shards[i].path, path) == 0) return true;
    return false;
}

static atn_status open_index(atn_ctx *cx, const char *path, atn_st *f)
{
    atn_status st = ATN_OK;
    char *dir = NULL, *shard_path = NULL;
    const char *slash = strrchr(path, '/'), *name, *file;
    json_t *map, *value;

    ATN_TRY(atn_json_load(cx, path, false, &f->index));
    map = json_object_get(f->index, "weight_map");
    if (!json_is_object(map))
        ATN_FAIL(ATN_DATA, "%s: \"weight_map\" is no object", path);
    dir = slash ? atn_strndup(cx, path, (size_t)(slash - path)) : atn_strdup(cx, ".");
    if (!dir) {
        st = cx->err.code;
        goto done;
    }
    json_object_foreach(map, name, value)
    {
        file = json_string_value(value);
        if (!file || !safe_file_name(file))
            ATN_FAIL(
                ATN_DATA,
                "%s: tensor \"%.80s\": shard name \"%.80s\" is not a plain file name",
                path, name, file ? file : "(no string)");
        shard_path = atn_path_join(cx, dir, file);
        if (!shard_path) {
            st = cx->err.code;
            goto done;
        }
        if (!known_shard(f, shard_path))
            ATN_TRY(add_shard(cx, f, shard_path, map, file));
        atn_free(cx, shard_path);
        shard_path = NULL;
    }
    qsort(f->tensors, (size_t)f->n_tensors, sizeof *f->tensors, by_name);
    json_object_foreach(map, name, value) if (!atn_st_find(f, name))
        ATN_FAIL(ATN_DATA, "%s: tensor \"%.80s\" is not in its shard %s", path, name,
                 json_string_value(value));
done:
    atn_free(cx, dir);
    atn_free(cx, shard_path);
    return st;
}

atn_status atn_st_open(atn_ctx *cx, const char *path, atn_st **out)
{
    atn_status st = ATN_OK;
    atn_st *f = NULL;

    *out = NULL;
    ATN_NEW(f, 1);
    if (atn_ends_with(path, ".index.json"))
        ATN_TRY(open_index(cx, path, f));
    else
        ATN_TRY(add_shard(cx, f, path, NULL, NULL));
    if (f->n_tensors > 0)
        qsort(f->tensors, (size_t)f->n_tensors, sizeof *f->tensors, by_name);
    *out = f;
    f = NULL;
done:
    atn_st_close(cx, f);
    return st;
}

atn_status atn_st_adopt(atn_ctx *cx, const char *path, atn_map map, json_t *names,
                        atn_st_tensor *tensors, atn_idx n, atn_st **out)
{
    atn_status st = ATN_OK;
    atn_st *f = NULL;

    *out = NULL;
    ATN_NEW(f, 1);
    f->tensors = tensors;
    f->n_tensors = n;
    tensors = NULL;
    ATN_NEW(f->shards, 1);
    f->n_shards = 1;
    f->shards[0] = (shard){.map = map, .header = names};
    map = (atn_map){0};
    names = NULL;
    f->shards[0].path = atn_strdup(cx, path);
    if (!f->shards[0].path) ATN_TRY(cx->err.code);
    for (atn_idx i = 0; i < n; i++) f->tensors[i].path = f->shards[0].path;
    if (n > 0) qsort(f->tensors, (size_t)n, sizeof *f->tensors, by_name);
    *out = f;
    f = NULL;
done:
    atn_map_close(&map);
    json_decref(names);
    atn_free(cx, tensors);
    atn_st_close(cx, f);
    return st;
}

void atn_st_close(atn_ctx *cx, atn_st *f)
{
    if (!f) return;
    for (atn_idx i = 0; i < f->n_shards; i++) {
        atn_free(cx, f->shards[i].path);
        atn_map_close(&f->shards[i].map);
        json_decref(f->shards[i].header);
    }
    json_decref(f->index);
    atn_free(cx, f->shards);
    atn_free(cx, f->tensors);
    atn_free(cx, f);
}

atn_idx atn_st_count(const atn_st *f)
{
    return f->n_tensors;
}

const atn_st_tensor *atn_st_at(const atn_st *f, atn_idx i)
{
    return &f->tensors[i];
}

const atn_st_tensor *atn_st_find(const atn_st *f, const char *name)
{
    const atn_st_tensor key = {.name = name};

    if (f->n_tensors == 0) return NULL;
    return bsearch(&key, f->tensors, (size_t)f->n_tensors, sizeof key, by_name);
}

const json_t *atn_st_metadata(const atn_st *f)
{
    return f->n_shards > 0 ? json_object_get(f->shards[0].header, "__metadata__")
                           : NULL;
}

void atn_st_forget(const atn_st_tensor *t)
{
    const uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);
    const uintptr_t begin = ((uintptr_t)t->data + page - 1) / page * page;
    const uintptr_t end = ((uintptr_t)t->data + t->bytes) / page * page;

    if (end > begin) (void)madvise((void *)begin, end - begin, MADV_DONTNEED);
}

/* ---- writer ---- */

enum { PUT_PIECE = 4 << 20 };

/* The official writer's order: wider types first, then by name. */
static int by_type_then_name(const void *a, const void *b)
{
    static const int rank[] = {
        [ATN_I64] = 0,  [ATN_F64] = 1, [ATN_F32] = 2, [ATN_I32] = 3,
        [ATN_BF16] = 4, [ATN_F16] = 5, [ATN_U8] = 6};
    const atn_st_out *x = *(const atn_st_out *const *)a,
                     *y = *(const atn_st_out *const *)b;

    if (x->type != y->type) return rank[x->type] - rank[y->type];
    return strcmp(x->name, y->name);
}

static atn_status tensor_bytes(atn_ctx *cx, const char *path, const atn_st_out *t,
                               size_t *bytes)
{
    atn_idx count = 1;

    for (int i = 0; i < t->rank; i++)
        if (!atn_mul(count, t->shape[i], &count))
            return entry_error(cx, path, t->name, "the product of the shape overflows");
    if (!atn_mul_size((size_t)count, atn_dtype_size(t->type), bytes))
        return entry_error(cx, path, t->name, "its size overflows");
    return ATN_OK;
}

/* The header as text padded with spaces to a multiple of 8; jansson memory (free()). */
static atn_status make_header(atn_ctx *cx, const char *path,
                              const atn_st_out *const *sorted, atn_idx n,
                              const json_t *metadata, char **text, size_t *length)
{
    json_t *header = json_object();
    atn_status st = ATN_OK;
    size_t at = 0;
    char *dumped = NULL;

    if (metadata)
        json_object_set(header, "__metadata__", (json_t *)(uintptr_t)metadata);
    for (atn_idx i = 0; i < n; i++) {
        json_t *shape = json_array();
        size_t bytes = 0;

        for (int r = 0; r < sorted[i]->rank; r++)
            json_array_append_new(shape, json_integer(sorted[i]->shape[r]));
        st = tensor_bytes(cx, path, sorted[i], &bytes);
        json_object_set_new(header, sorted[i]->name,
                            json_pack("{s:s, s:o, s:[I,I]}", "dtype",
                                      atn_dtype_name(sorted[i]->type), "shape", shape,
                                      "data_offsets", (json_int_t)at,
                                      (json_int_t)(at + bytes)));
        if (st != ATN_OK) goto done;
        at += bytes;
    }
    dumped = json_dumps(header, JSON_COMPACT);
    if (!dumped) ATN_FAIL(ATN_MEMORY, "%s: no memory for the header", path);
    *length = (strlen(dumped) + 7) / 8 * 8;
    *text = atn_strfmt(cx, "%-*s", (int)*length, dumped);
    if (!*text) st = cx->err.code;
done:
    free(dumped);
    json_decref(header);
    return st;
}

/* Piece by piece: what was hashed is still in the cache when it is copied, and the disk
 * begins before the flush at the end. */
static bool put(atn_out *out, XXH3_state_t *hash, const void *data, size_t size)
{
    const char *from = data;

    for (size_t at = 0; at < size; at += PUT_PIECE) {
        const size_t n = ATN_MIN(size - at, (size_t)PUT_PIECE);

        XXH3_128bits_update(hash, from + at, n);
        if (fwrite(from + at, 1, n, out->file) != n) return false;
        atn_out_hurry(out);
    }
    return true;
}

atn_status atn_st_save(atn_ctx *cx, const char *path, const atn_st_out *tensors,
                       atn_idx n, const json_t *metadata, bool force, char hex[33])
{
    const atn_arena_mark mark = atn_arena_save(cx);
    atn_status st = ATN_OK;
    atn_out out = {NULL, NULL, NULL};
    XXH3_state_t *hash = XXH3_createState();
    const atn_st_out **sorted = NULL;
    unsigned char size_field[8];
    char *header = NULL;
    size_t length = 0, bytes = 0;
    bool ok;

    if (!hash) ATN_FAIL(ATN_MEMORY, "%s: no memory for hashing", path);
    XXH3_128bits_reset(hash);
    ATN_TAKE(sorted, n);
    for (atn_idx i = 0; i < n; i++) sorted[i] = &tensors[i];
    qsort(sorted, (size_t)n, sizeof *sorted, by_type_then_name);
    ATN_TRY(make_header(cx, path, sorted, n, metadata, &header, &length));
    ATN_TRY(atn_out_open(cx, path, force, &out));
    for (int i = 0; i < 8; i++) size_field[i] = (unsigned char)(length >> (8 * i));
    ok = put(&out, hash, size_field, 8) && put(&out, hash, header, length);
    for (atn_idx i = 0; ok && i < n; i++) {
        ATN_TRY(tensor_bytes(cx, path, sorted[i], &bytes));
        ok = put(&out, hash, sorted[i]->data, bytes);
    }
    if (!ok) ATN_FAIL(ATN_IO, "%s: cannot be written (is the disk full?)", path);
    ATN_TRY(atn_out_commit(cx, &out));
    if (hex) {
        const XXH128_hash_t h = XXH3_128bits_digest(hash);
        snprintf(hex, 33, "%016llx%016llx", (unsigned long long)h.high64,
                 (unsigned long long)h.low64);
    }
done:
    atn_out_abort(cx, &out);
    atn_free(cx, header);
    if (hash) XXH3_freeState(hash);
    atn_arena_rewind(cx, mark);
    return st;
}
