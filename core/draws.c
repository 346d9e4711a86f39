/* core/draws.c -- random objects by name: drawn, or taken from a file, and kept.
 *
 * Math    the entry (i, j) of a draw [rows, cols] is number i cols + j of the stream
 *         (seed, purpose, layer, head) of core/rng, so a draw with fewer rows is the
 *         beginning of a longer one.
 * Limits  numbers are kept as F32 and counts as I32; a file may also hold numbers in
 *         F16, BF16 or F64 and counts in I64 or U8. What is found about a run is F64.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "core/draws.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "core/rng.h"

enum { NAME_BYTES = 160, SHAPE_TEXT = 96 };

typedef struct kept {
    char *name;
    void *data;     /* float, int32_t or double */
    atn_dtype type; /* F32, I32 or F64 */
    atn_idx rows, cols;
} kept;

struct atn_draws {
    atn_st *file;        /* NULL = draw everything, */
    bool *asked;         /* [tensors of it] was there a look for this name? */
    char *path;          /* unless this file was to be read */
    atn_st_tensor *lent; /* [n_lent] as if of a file */
    atn_idx n_lent;
    bool loose; /* other shapes of the file are no error */
    kept *at;   /* [n], by name */
    atn_idx n, room;
};

atn_status atn_draws_miss(atn_ctx *cx, atn_draws *d, const char *file)
{
    atn_free(cx, d->path);
    d->path = atn_strdup(cx, file);
    return d->path ? ATN_OK : cx->err.code;
}

atn_status atn_draws_open(atn_ctx *cx, const char *file, atn_draws **out)
{
    atn_status st = ATN_OK;
    atn_draws *d = NULL;

    *out = NULL;
    ATN_NEW(d, 1);
    if (file) ATN_TRY(atn_draws_miss(cx, d, file));
    if (file) ATN_TRY(atn_st_open(cx, file, &d->file));
    if (file) ATN_NEW(d->asked, atn_st_count(d->file));
    *out = d;
    d = NULL;
done:
    atn_draws_close(cx, d);
    return st;
}

static atn_status lend_one(atn_ctx *cx, const atn_draws *d, const atn_st_out *t,
                           atn_st_tensor *out)
{
    atn_status st = ATN_OK;

    *out = (atn_st_tensor){.name = t->name,
                           .dtype = atn_dtype_name(t->type),
                           .loadable = true,
                           .type = t->type,
                           .rank = t->rank,
                           .count = 1,
                           .data = t->data,
                           .path = d->path};
    ATN_ASSERT(t->rank >= 0 && t->rank <= ATN_ST_MAX_RANK);
    for (int r = 0; r < t->rank; r++) {
        out->shape[r] = t->shape[r];
        if (!atn_mul(out->count, t->shape[r], &out->count))
            ATN_FAIL(ATN_MEMORY, "%s: %s has too many numbers", d->path, t->name);
    }
    if (!atn_mul_size((size_t)out->count, atn_dtype_size(t->type), &out->bytes))
        ATN_FAIL(ATN_MEMORY, "%s: %s has too many numbers", d->path, t->name);
done:
    return st;
}

atn_status atn_draws_lend(atn_ctx *cx, const atn_st_out *tensors, atn_idx n,
                          atn_draws **out)
{
    atn_status st = ATN_OK;
    atn_draws *d = NULL;

    *out = NULL;
    ATN_NEW(d, 1);
    ATN_TRY(atn_draws_miss(cx, d, "draws in memory"));
    ATN_NEW(d->lent, n);
    for (; d->n_lent < n; d->n_lent++)
        ATN_TRY(lend_one(cx, d, &tensors[d->n_lent], &d->lent[d->n_lent]));
    *out = d;
    d = NULL;
done:
    atn_draws_close(cx, d);
    return st;
}

void atn_draws_loosen(atn_draws *d)
{
    d->loose = true;
}

void atn_draws_forget(atn_ctx *cx, atn_draws *d)
{
    for (atn_idx i = 0; i < d->n; i++) {
        atn_free(cx, d->at[i].name);
        atn_free(cx, d->at[i].data);
    }
    d->n = 0;
}

void atn_draws_close(atn_ctx *cx, atn_draws *d)
{
    if (!d) return;
    atn_draws_forget(cx, d);
    atn_free(cx, d->at);
    atn_free(cx, d->path);
    atn_free(cx, d->lent);
    atn_free(cx, d->asked);
    atn_st_close(cx, d->file);
    atn_free(cx, d);
}

atn_status atn_draws_save(atn_ctx *cx, const atn_draws *d, const char *path, bool force)
{
    const atn_arena_mark mark = atn_arena_save(cx);
    atn_status st = ATN_OK;
    atn_st_out *tensors = NULL;

    if (d->n == 0) goto done;
    ATN_TAKE(tensors, d->n);
    for (atn_idx i = 0; i < d->n; i++) {
        const kept *k = &d->at[i];

        tensors[i] = (atn_st_out){.name = k->name,
                                  .type = k->type,
                                  .rank = k->cols == 0 ? 1 : 2,
                                  .shape = {k->rows, k->cols},
                                  .data = k->data};
    }
    ATN_TRY(atn_st_save(cx, path, tensors, d->n, NULL, force, NULL));
done:
    atn_arena_rewind(cx, mark);
    return st;
}

/* ---- names and sizes ---- */

static void name_of(const atn_draw *w, char name[NAME_BYTES])
{
    int n;

    ATN_ASSERT(w->layer >= 0 && w->head >= -1);
    if (w->head < 0)
        n = snprintf(name, NAME_BYTES, "%s.layer-%03" PRId64, w->what, w->layer);
    else
        n = snprintf(name, NAME_BYTES, "%s.layer-%03" PRId64 ".head-%03" PRId64,
                     w->what, w->layer, w->head);
    ATN_ASSERT(n > 0 && n < NAME_BYTES);
}

static atn_status count_of(atn_ctx *cx, const atn_draw *w, atn_idx *count)
{
    size_t bytes = 0;

    if (!atn_mul(w->rows, w->cols == 0 ? 1 : w->cols, count) ||
        !atn_mul_size((size_t)*count, sizeof(double), &bytes))
        return atn_fail(cx, ATN_MEMORY, __FILE__, __LINE__,
                        "%s: %" PRId64 " x %" PRId64 " numbers are too many to draw",
                        w->what, w->rows, w->cols);
    return ATN_OK;
}

/* ---- what the file has ---- */

static bool fits(const atn_draw *w, const atn_st_tensor *t)
{
    return t->rank == (w->cols == 0 ? 1 : 2) && t->shape[0] == w->rows &&
           (w->cols == 0 || t->shape[1] == w->cols);
}

static const atn_st_tensor *find(const atn_draws *d, const atn_draw *w,
                                 const char *name)
{
    const atn_st_tensor *t = d && d->file ? atn_st_find(d->file, name) : NULL;

    for (atn_idx i = 0; t && i < atn_st_count(d->file); i++)
        d->asked[i] |= atn_st_at(d->file, i) == t;
    for (atn_idx i = 0; d && i < d->n_lent; i++)
        if (strcmp(d->lent[i].name, name) == 0) t = &d->lent[i];
    return t && d->loose && !fits(w, t) ? NULL : t;
}

bool atn_draws_have(const atn_draws *d, const atn_draw *w)
{
    char name[NAME_BYTES];

    name_of(w, name);
    return find(d, w, name) != NULL;
}

const char *atn_draws_tensor(const atn_draws *d, atn_idx i, bool *asked)
{
    if (!d->file || i >= atn_st_count(d->file)) return NULL;
    *asked = d->asked[i];
    return atn_st_at(d->file, i)->name;
}

bool atn_draw_parse(const char *name, atn_draw *w)
{
    const char *at = strstr(name, ".layer-");
    char again[NAME_BYTES], what[NAME_BYTES];
    int64_t layer, head = -1;

    if (!at || at - name >= NAME_BYTES / 2 ||
        sscanf(at, ".layer-%9" SCNd64 ".head-%9" SCNd64, &layer, &head) < 1 ||
        layer < 0 || head < -1)
        return false;
    snprintf(what, sizeof what, "%.*s", (int)(at - name), name);
    *w = (atn_draw){.what = what, .layer = layer, .head = head};
    name_of(w, again);
    w->what = NULL;
    return strcmp(again, name) == 0;
}

static void shape_text(int rank, const atn_idx *shape, char text[SHAPE_TEXT])
{
    size_t at = 0;

    text[0] = '\0';
    for (int i = 0; i < rank && at < SHAPE_TEXT; i++)
        at += (size_t)snprintf(text + at, SHAPE_TEXT - at, "%s%" PRId64, i ? ", " : "",
                               shape[i]);
}

atn_status atn_draws_need(atn_ctx *cx, const atn_draws *d, const atn_draw *w)
{
    const atn_idx wanted[2] = {w->rows, w->cols};
    char name[NAME_BYTES], shape[SHAPE_TEXT];

    if (!d || d->loose || !d->path) return ATN_OK;
    name_of(w, name);
    if (find(d, w, name)) return ATN_OK;
    shape_text(w->cols == 0 ? 1 : 2, wanted, shape);
    return atn_fail(
        cx, ATN_DATA, __FILE__, __LINE__,
        "%s: %s \"%s\" [%s], which has to be drawn or given (give draws of "
        "a run with the same methods, layers and heads, or draw all: leave "
        "out --draws)",
        d->path, d->file || d->lent ? "has no tensor" : "is not there, and needed is",
        name, shape);
}

static atn_status check_shape(atn_ctx *cx, const atn_draw *w, const atn_st_tensor *t)
{
    const atn_idx wanted[2] = {w->rows, w->cols};
    const int rank = w->cols == 0 ? 1 : 2;
    char found_text[SHAPE_TEXT], wanted_text[SHAPE_TEXT];

    if (fits(w, t)) return ATN_OK;
    shape_text(t->rank, t->shape, found_text);
    shape_text(rank, wanted, wanted_text);
    return atn_fail(cx, ATN_DATA, __FILE__, __LINE__,
                    "%s: tensor \"%s\": shape [%s], needed is [%s] (give draws of a "
                    "run with the same layers, length and parameters)",
                    t->path, t->name, found_text, wanted_text);
}

static atn_status type_error(atn_ctx *cx, const atn_st_tensor *t, const char *rule)
{
    return atn_fail(cx, ATN_DATA, __FILE__, __LINE__, "%s: tensor \"%s\": type %s, %s",
                    t->path, t->name, t->dtype, rule);
}

static atn_status take_numbers(atn_ctx *cx, const atn_draw *w, const atn_st_tensor *t,
                               float *out)
{
    if (!t->loadable || (t->type != ATN_F32 && t->type != ATN_F64 &&
                         t->type != ATN_F16 && t->type != ATN_BF16))
        return type_error(cx, t, "needed are numbers: F32 (or F64, F16, BF16)");
    if (check_shape(cx, w, t) != ATN_OK) return cx->err.code;
    atn_widen(t->data, t->type, t->count, out);
    for (atn_idx i = 0; i < t->count; i++)
        if (!isfinite(out[i]))
            return atn_fail(cx, ATN_DATA, __FILE__, __LINE__,
                            "%s: tensor \"%s\": number %" PRId64
                            " is %g, all must be finite as F32",
                            t->path, t->name, i, (double)out[i]);
    return ATN_OK;
}

static int64_t integer_at(const atn_st_tensor *t, atn_idx i)
{
    const unsigned char *from = t->data;
    int64_t wide;
    int32_t narrow;

    if (t->type == ATN_U8) return from[i];
    if (t->type == ATN_I64) {
        memcpy(&wide, from + i * 8, sizeof wide);
        return wide;
    }
    memcpy(&narrow, from + i * 4, sizeof narrow);
    return narrow;
}

/* All in least .. n - 1. */
static atn_status take_counts(atn_ctx *cx, const atn_draw *w, const atn_st_tensor *t,
                              atn_idx least, atn_idx n, int32_t *out)
{
    if (!t->loadable || (t->type != ATN_I32 && t->type != ATN_I64 && t->type != ATN_U8))
        return type_error(cx, t, "needed are integers: I32 (or I64, U8)");
    if (check_shape(cx, w, t) != ATN_OK) return cx->err.code;
    for (atn_idx i = 0; i < t->count; i++) {
        const int64_t x = integer_at(t, i);

        if (x < least || x >= n)
            return atn_fail(cx, ATN_DATA, __FILE__, __LINE__,
                            "%s: tensor \"%s\": number %" PRId64 " is %" PRId64
                            ", all must be in %" PRId64 "..%" PRId64,
                            t->path, t->name, i, x, least, n - 1);
        out[i] = (int32_t)x;
    }
    return ATN_OK;
}

/* ---- what is kept ---- */

/* The first place whose name is not below. */
static atn_idx place_of(const atn_draws *d, const char *name)
{
    atn_idx low = 0, high = d->n;

    while (low < high) {
        const atn_idx middle = low + (high - low) / 2;

        if (strcmp(d->at[middle].name, name) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static bool same(const kept *k, const atn_draw *w, atn_dtype type, const void *data,
                 atn_idx count)
{
    return k->type == type && k->rows == w->rows && k->cols == w->cols &&
           memcmp(k->data, data, (size_t)count * atn_dtype_size(type)) == 0;
}

/* A copy of data [count]; a name that is there already must have the
 * same numbers. */
static atn_status keep(atn_ctx *cx, atn_draws *d, const atn_draw *w, const char *name,
                       atn_dtype type, const void *data, atn_idx count)
{
    const atn_idx place = d ? place_of(d, name) : 0;
    kept new = {NULL, NULL, type, w->rows, w->cols}, *grown;
    atn_status st = ATN_OK;

    if (!d) return ATN_OK;
    if (place < d->n && strcmp(d->at[place].name, name) == 0) {
        ATN_ASSERT(same(&d->at[place], w, type, data, count));
        return ATN_OK;
    }
    if (d->n == d->room) {
        grown = atn_realloc(cx, d->at, d->room * 2 + 8, sizeof *grown);
        if (!grown) return cx->err.code;
        d->at = grown;
        d->room = d->room * 2 + 8;
    }
    new.data = atn_alloc(cx, count, atn_dtype_size(type));
    new.name = new.data ? atn_strdup(cx, name) : NULL;
    if (!new.name) {
        st = cx->err.code;
        goto done;
    }
    memcpy(new.data, data, (size_t)count * atn_dtype_size(type));
    memmove(&d->at[place + 1], &d->at[place],
            (size_t)(d->n - place) * sizeof d->at[place]);
    d->at[place] = new;
    d->n++;
    new.data = NULL;
done:
    atn_free(cx, new.data);
    return st;
}

/* ---- draws ---- */

atn_status atn_draw_normal(atn_ctx *cx, atn_draws *d, uint64_t seed, const atn_draw *w,
                           float *out)
{
    atn_rng r = atn_rng_stream(seed, w->purpose, w->layer, w->head);
    char name[NAME_BYTES];
    const atn_st_tensor *t;
    atn_status st = ATN_OK;
    atn_idx count = 0;

    name_of(w, name);
    ATN_TRY(count_of(cx, w, &count));
    ATN_TRY(atn_draws_need(cx, d, w));
    t = find(d, w, name);
    if (t)
        ATN_TRY(take_numbers(cx, w, t, out));
    else
        for (atn_idx i = 0; i < count; i++) out[i] = (float)atn_rng_normal(&r);
    ATN_TRY(keep(cx, d, w, name, ATN_F32, out, count));
done:
    return st;
}

atn_status atn_draw_given(atn_ctx *cx, atn_draws *d, const atn_draw *w, float *out)
{
    char name[NAME_BYTES];
    const atn_st_tensor *t;
    atn_status st = ATN_OK;
    atn_idx count = 0;

    name_of(w, name);
    ATN_TRY(count_of(cx, w, &count));
    t = find(d, w, name);
    if (t) ATN_TRY(take_numbers(cx, w, t, out));
    ATN_TRY(keep(cx, d, w, name, ATN_F32, out, count));
done:
    return st;
}

static atn_status given_counts(atn_ctx *cx, atn_draws *d, const atn_draw *w,
                               atn_idx least, atn_idx n, int32_t *out)
{
    char name[NAME_BYTES];
    const atn_st_tensor *t;
    atn_status st = ATN_OK;
    atn_idx count = 0;

    name_of(w, name);
    ATN_TRY(count_of(cx, w, &count));
    t = find(d, w, name);
    if (t) ATN_TRY(take_counts(cx, w, t, least, n, out));
    ATN_TRY(keep(cx, d, w, name, ATN_I32, out, count));
done:
    return st;
}

atn_status atn_draw_given_counts(atn_ctx *cx, atn_draws *d, const atn_draw *w,
                                 atn_idx n, int32_t *out)
{
    return given_counts(cx, d, w, 0, n, out);
}

atn_status atn_draw_given_gaps(atn_ctx *cx, atn_draws *d, const atn_draw *w, atn_idx n,
                               int32_t *out)
{
    return given_counts(cx, d, w, -1, n, out);
}

/* ---- what is found about a run ---- */

atn_status atn_draws_read(atn_ctx *cx, const atn_draws *d, const atn_draw *w,
                          double *out, bool *found)
{
    char name[NAME_BYTES];
    const atn_st_tensor *t;
    atn_status st = ATN_OK;
    atn_idx count = 0;

    *found = false;
    name_of(w, name);
    ATN_TRY(count_of(cx, w, &count));
    t = find(d, w, name);
    if (!t) goto done;
    if (!t->loadable || t->type != ATN_F64)
        ATN_TRY(type_error(cx, t, "needed are numbers in double: F64"));
    ATN_TRY(check_shape(cx, w, t));
    memcpy(out, t->data, (size_t)count * sizeof *out);
    *found = true;
done:
    return st;
}

atn_status atn_draws_keep(atn_ctx *cx, atn_draws *d, const atn_draw *w, const double *x)
{
    char name[NAME_BYTES];
    atn_status st = ATN_OK;
    atn_idx count = 0;

    name_of(w, name);
    ATN_TRY(count_of(cx, w, &count));
    ATN_TRY(keep(cx, d, w, name, ATN_F64, x, count));
done:
    return st;
}
