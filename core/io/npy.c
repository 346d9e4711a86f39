/* core/io/npy.c -- .npy arrays: header by a tiny literal parser, data by width.
 *
 * Layout  \x93NUMPY, major, minor, header length (u16 LE in 1.0, u32 LE from 2.0 on), a
 *         Python dict literal with exactly descr, fortran_order and shape, data.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "core/io/npy.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/io/file.h"

enum { HEADER_MAX = 10000, RANK_MAX = 8 };

typedef struct header {
    char descr[16];
    bool fortran, has_descr, has_fortran, has_shape;
    bool fields; /* descr is a list: every entry has fields */
    int rank;
    atn_idx shape[RANK_MAX];
    size_t data_at;
} header;

static const struct descr {
    const char *name;
    size_t size;
    bool is_float;
} descrs[] = {{"<f4", 4, true},  {"<f8", 8, true},  {"<f2", 2, true},
              {"<i4", 4, false}, {"<i8", 8, false}, {"<u4", 4, false},
              {"|u1", 1, false}, {"|b1", 1, false}};

/* ---- the literal parser: at is a cursor into NUL-terminated text ---- */

static void blanks(const char **at)
{
    while (**at == ' ' || **at == '\t' || **at == '\n') (*at)++;
}

static bool take(const char **at, char c)
{
    blanks(at);
    if (**at != c) return false;
    (*at)++;
    return true;
}

static bool take_word(const char **at, const char *word)
{
    blanks(at);
    if (strncmp(*at, word, strlen(word)) != 0) return false;
    *at += strlen(word);
    return true;
}

static bool take_string(const char **at, char *out, size_t size)
{
    size_t n = 0;
    char quote;

    blanks(at);
    quote = **at;
    if (quote != '\'' && quote != '"') return false;
    for ((*at)++; **at && **at != quote; (*at)++) {
        if (**at == '\\' || n + 1 >= size) return false;
        out[n++] = **at;
    }
    out[n] = '\0';
    return take(at, quote);
}

static bool take_shape(const char **at, header *h)
{
    if (!take(at, '(')) return false;
    for (h->rank = 0; !take(at, ')'); h->rank++) {
        char *end = NULL;

        blanks(at);
        if (h->rank == RANK_MAX || !isdigit((unsigned char)**at)) return false;
        h->shape[h->rank] = strtoll(*at, &end, 10);
        if (end - *at > 15) return false;
        *at = end;
        if (take(at, ',')) continue;
        if (!take(at, ')')) return false;
        h->rank++;
        /* (3) is an integer in parentheses, not a tuple */
        return h->rank > 1;
    }
    return true;
}

static bool take_member(const char **at, header *h)
{
    char key[32];

    if (!take_string(at, key, sizeof key) || !take(at, ':')) return false;
    if (strcmp(key, "descr") == 0 && !h->has_descr && take(at, '['))
        return !(h->fields = true);
    if (strcmp(key, "descr") == 0 && !h->has_descr)
        return h->has_descr = take_string(at, h->descr, sizeof h->descr);
    if (strcmp(key, "shape") == 0 && !h->has_shape)
        return h->has_shape = take_shape(at, h);
    if (strcmp(key, "fortran_order") != 0 || h->has_fortran) return false;
    h->fortran = take_word(at, "True");
    return h->has_fortran = h->fortran || take_word(at, "False");
}

static bool parse_dict(const char *text, header *h)
{
    const char *at = text;

    if (!take(&at, '{')) return false;
    while (!take(&at, '}')) {
        if (!take_member(&at, h)) return false;
        if (take(&at, ',')) continue;
        if (!take(&at, '}')) return false;
        break;
    }
    blanks(&at);
    return *at == '\0' && h->has_descr && h->has_fortran && h->has_shape;
}

static atn_status read_header(atn_ctx *cx, const char *path, const unsigned char *p,
                              size_t size, header *h)
{
    char text[HEADER_MAX + 1];
    size_t length, prefix;

    if (size < 10 || memcmp(p, "\x93NUMPY", 6) != 0)
        return atn_fail(cx, ATN_DATA, __FILE__, __LINE__,
                        "%s: is no .npy file (it does not begin with \\x93NUMPY)",
                        path);
    prefix = p[6] == 1 ? 10 : 12;
    if (p[6] < 1 || p[6] > 3 || size < prefix)
        return atn_fail(cx, ATN_DATA, __FILE__, __LINE__,
                        "%s: .npy version %d.%d is not one of 1.0, 2.0, 3.0", path,
                        p[6], p[7]);
    length = (size_t)p[8] | (size_t)p[9] << 8;
    if (prefix == 12) length |= (size_t)p[10] << 16 | (size_t)p[11] << 24;
    if (length > HEADER_MAX || length > size - prefix)
        return atn_fail(cx, ATN_DATA, __FILE__, __LINE__,
                        "%s: the header length %zu is above 10000 or beyond the file",
                        path, length);
    memcpy(text, p + prefix, length);
    text[length] = '\0';
    h->data_at = prefix + length;
    if (strlen(text) != length || !parse_dict(text, h))
        return h->fields
                   ? atn_fail(cx, ATN_DATA, __FILE__, __LINE__,
                              "%s: is a structured array, whose entries have fields; "
                              "save one field (numpy: x['name'])",
                              path)
                   : atn_fail(cx, ATN_DATA, __FILE__, __LINE__,
                              "%s: the header is not a dict of exactly descr, "
                              "fortran_order and "
                              "shape (rank at most 8)",
                              path);
    return ATN_OK;
}

/* ---- data ---- */

static const struct descr *find_descr(const char *name)
{
    for (size_t i = 0; i < ATN_LEN(descrs); i++)
        if (strcmp(descrs[i].name, name) == 0) return &descrs[i];
    return NULL;
}

static int64_t integer_at(const unsigned char *p, const char *descr)
{
    int32_t i32;
    uint32_t u32;
    int64_t i64;

    if (descr[2] == '1') return descr[1] == 'b' ? *p != 0 : *p;
    if (descr[2] == '8') {
        memcpy(&i64, p, sizeof i64);
        return i64;
    }
    if (descr[1] == 'u') {
        memcpy(&u32, p, sizeof u32);
        return u32;
    }
    memcpy(&i32, p, sizeof i32);
    return i32;
}

/* Place in the file of the element with row-major index i; Fortran order runs the first
 * axis fastest. */
static atn_idx source_index(const header *h, atn_idx i)
{
    atn_idx at = 0, stride = 1, digits[RANK_MAX];

    if (!h->fortran) return i;
    for (int r = h->rank - 1; r >= 0; r--) {
        digits[r] = i % h->shape[r];
        i /= h->shape[r];
    }
    for (int r = 0; r < h->rank; r++) {
        at += digits[r] * stride;
        stride *= h->shape[r];
    }
    return at;
}

static void copy_values(const header *h, const struct descr *d,
                        const unsigned char *data, atn_npy *out)
{
    const atn_dtype type = d->size == 8 ? ATN_F64 : d->size == 2 ? ATN_F16 : ATN_F32;

    for (atn_idx i = 0; out->f64 && i < out->count; i++)
        memcpy(&out->f64[i], data + (size_t)source_index(h, i) * d->size, d->size);
    if (out->f64) return;
    if (d->is_float && !h->fortran) {
        atn_widen(data, type, out->count, out->f32);
        return;
    }
    for (atn_idx i = 0; i < out->count; i++) {
        const unsigned char *p = data + (size_t)source_index(h, i) * d->size;

        if (d->is_float)
            atn_widen(p, type, 1, &out->f32[i]);
        else
            out->i64[i] = integer_at(p, d->name);
    }
}

enum { ANY, FLOATS, WIDE };

static atn_status parse(atn_ctx *cx, const char *path, const unsigned char *data,
                        size_t size, int wanted, atn_npy *out)
{
    atn_status st = ATN_OK;
    header h = {.rank = 0};
    const struct descr *d;
    size_t bytes = 0;

    *out = (atn_npy){.count = 1};
    ATN_TRY(read_header(cx, path, data, size, &h));
    d = find_descr(h.descr);
    if (!d)
        ATN_FAIL(ATN_DATA, "%s: descr '%s' is not read (save as one of <f4 <f8 <f2%s)",
                 path, h.descr, wanted == ANY ? " <i4 <i8 <u4 |u1 |b1" : "");
    if (wanted != ANY && !d->is_float)
        ATN_FAIL(ATN_DATA, "%s: holds integers; wanted floats (numpy: x.astype('<f4'))",
                 path);
    for (int r = 0; r < h.rank; r++) {
        out->shape[r] = h.shape[r];
        if (!atn_mul(out->count, h.shape[r], &out->count))
            ATN_FAIL(ATN_DATA, "%s: the product of the shape overflows", path);
    }
    out->rank = h.rank;
    out->is_float = d->is_float;
    if (!atn_mul_size((size_t)out->count, d->size, &bytes) || bytes != size - h.data_at)
        ATN_FAIL(
            ATN_DATA,
            "%s: the shape needs %lld values of %zu bytes, the file holds %zu bytes",
            path, (long long)out->count, d->size, size - h.data_at);
    if (d->is_float && d->size == 8 && wanted == WIDE)
        ATN_NEW(out->f64, out->count);
    else if (d->is_float)
        ATN_NEW(out->f32, out->count);
    else
        ATN_NEW(out->i64, out->count);
    copy_values(&h, d, data + h.data_at, out);
done:
    if (st != ATN_OK) atn_npy_release(cx, out);
    return st;
}

static atn_status load(atn_ctx *cx, const char *path, int wanted, atn_npy *out)
{
    atn_map m = {NULL, 0};
    atn_status st = ATN_OK;

    *out = (atn_npy){0};
    ATN_TRY(atn_map_open(cx, path, &m));
    ATN_TRY(parse(cx, path, m.data, m.size, wanted, out));
done:
    atn_map_close(&m);
    return st;
}

atn_status atn_npy_parse_floats(atn_ctx *cx, const char *what, const void *data,
                                size_t size, atn_npy *out)
{
    return parse(cx, what, data, size, FLOATS, out);
}

atn_status atn_npy_load(atn_ctx *cx, const char *path, atn_npy *out)
{
    return load(cx, path, ANY, out);
}

atn_status atn_npy_load_floats(atn_ctx *cx, const char *path, atn_npy *out)
{
    return load(cx, path, FLOATS, out);
}

atn_status atn_npy_load_wide(atn_ctx *cx, const char *path, atn_npy *out)
{
    return load(cx, path, WIDE, out);
}

void atn_npy_release(atn_ctx *cx, atn_npy *a)
{
    atn_free(cx, a->f32);
    atn_free(cx, a->f64);
    atn_free(cx, a->i64);
    *a = (atn_npy){0};
}

typedef struct numbers {
    const void *data;
    size_t size; /* of one */
    int rank;
    const atn_idx *shape;
} numbers;

/* Opens the file and writes the header; *count: how many numbers are to follow. */
static atn_status begin(atn_ctx *cx, const char *path, const numbers *x, bool force,
                        atn_out *out, atn_idx *count)
{
    atn_status st = ATN_OK;
    char dict[256], shape_text[200] = "";
    size_t used = 0, total;

    ATN_ASSERT(x->rank >= 0 && x->rank <= RANK_MAX);
    *count = 1;
    for (int r = 0; r < x->rank; r++) {
        if (!atn_mul(*count, x->shape[r], count))
            ATN_FAIL(ATN_MEMORY, "%s: the product of the shape overflows", path);
        used += (size_t)snprintf(shape_text + used, sizeof shape_text - used, "%lld,%s",
                                 (long long)x->shape[r], r + 1 < x->rank ? " " : "");
    }
    if (x->rank > 1) shape_text[used - 1] = '\0';
    snprintf(dict, sizeof dict,
             "{'descr': '<f%d', 'fortran_order': False, 'shape': (%s), }", (int)x->size,
             shape_text);
    total = (10 + strlen(dict) + 1 + 63) / 64 * 64;
    ATN_TRY(atn_out_open(cx, path, force, out));
    fputs("\x93NUMPY", out->file);
    fputc(1, out->file);
    fputc(0, out->file);
    fputc((int)((total - 10) & 0xff), out->file);
    fputc((int)((total - 10) >> 8), out->file);
    fprintf(out->file, "%-*s\n", (int)(total - 11), dict);
done:
    return st;
}

static atn_status save(atn_ctx *cx, const char *path, const numbers *x, bool force)
{
    atn_status st = ATN_OK;
    atn_out out = {NULL, NULL, NULL};
    atn_idx count = 1;

    ATN_TRY(begin(cx, path, x, force, &out, &count));
    if (fwrite(x->data, x->size, (size_t)count, out.file) != (size_t)count)
        ATN_FAIL(ATN_IO, "%s: cannot be written (is the disk full?)", path);
    ATN_TRY(atn_out_commit(cx, &out));
done:
    atn_out_abort(cx, &out);
    return st;
}

atn_status atn_npy_begin_f32(atn_ctx *cx, const char *path, int rank,
                             const atn_idx *shape, bool force, atn_out *out)
{
    atn_idx count;

    return begin(cx, path, &(numbers){NULL, sizeof(float), rank, shape}, force, out,
                 &count);
}

atn_status atn_npy_save_f32(atn_ctx *cx, const char *path, const float *data, int rank,
                            const atn_idx *shape, bool force)
{
    return save(cx, path, &(numbers){data, sizeof *data, rank, shape}, force);
}

atn_status atn_npy_save_f64(atn_ctx *cx, const char *path, const double *data, int rank,
                            const atn_idx *shape, bool force)
{
    return save(cx, path, &(numbers){data, sizeof *data, rank, shape}, force);
}
