/* capture/import_tensor.c -- a tensor of a .npy, .npz or safetensors file for an
 * import. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "capture/import_internal.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "core/io/file.h"
#include "core/io/npz.h"
#include "core/io/safetensors.h"

enum { PLACES_MOST = 1000000, LAYERS_MOST = 100000 };

atn_idx atn_import_tensor_rows(const atn_import_tensor *t)
{
    return t->steps * t->layers * t->heads * t->rows;
}

atn_status atn_import_tensor_check(atn_ctx *cx, const atn_import_tensor *t)
{
    if (t->layers <= LAYERS_MOST && t->steps <= PLACES_MOST / t->layers) return ATN_OK;
    return atn_fail(cx, ATN_DATA, __FILE__, __LINE__,
                    "%s: has %lld steps of %lld layers; at most %d layers and %d in "
                    "all steps are taken",
                    t->source, (long long)t->steps, (long long)t->layers, LAYERS_MOST,
                    PLACES_MOST);
}

static atn_status shape_tensor(atn_ctx *cx, bool steps, int rank, const atn_idx *shape,
                               atn_import_tensor *t)
{
    const int axes = rank - steps; /* of a step */
    atn_status st = ATN_OK;

    if (steps && (axes < 3 || axes > 4))
        ATN_FAIL(ATN_DATA,
                 "%s: has %d axes; with --steps wanted [steps, layers, heads, n, d] or "
                 "[steps, heads, n, d]",
                 t->source, rank);
    if (axes < 2 || axes > 4)
        ATN_FAIL(ATN_DATA,
                 "%s: has %d axes; wanted [layers, heads, n, d], [heads, n, d] or [n, "
                 "d]%s",
                 t->source, rank,
                 axes == 5 ? " (or --steps, if the first is steps)" : "");
    t->steps = steps ? shape[0] : 1;
    t->layers = axes == 4 ? shape[rank - 4] : 1;
    t->heads = axes >= 3 ? shape[rank - 3] : 1;
    t->rows = shape[rank - 2];
    t->cols = shape[rank - 1];
    for (int i = 0; i < rank; i++)
        if (shape[i] < 1) ATN_FAIL(ATN_DATA, "%s: an axis has length 0", t->source);
    ATN_TRY(atn_import_tensor_check(cx, t));
done:
    return st;
}

static atn_status read_npy(atn_ctx *cx, const char *path, bool steps,
                           atn_import_tensor *t)
{
    atn_status st = ATN_OK;
    atn_npy a = {0};

    ATN_TRY(atn_npy_load_floats(cx, path, &a));
    ATN_TRY(shape_tensor(cx, steps, a.rank, a.shape, t));
    t->data = a.f32;
    a.f32 = NULL;
done:
    atn_npy_release(cx, &a);
    return st;
}

static atn_status choose_tensor(atn_ctx *cx, const char *path, const atn_st *f,
                                const char *name, const atn_st_tensor **out)
{
    char list[300] = "";
    size_t used = 0;

    *out = name ? atn_st_find(f, name) : atn_st_count(f) == 1 ? atn_st_at(f, 0) : NULL;
    if (*out) return ATN_OK;
    for (atn_idx i = 0; i < atn_st_count(f) && used < sizeof list - 1; i++)
        used += (size_t)snprintf(list + used, sizeof list - used, "%s%s", i ? ", " : "",
                                 atn_st_at(f, i)->name);
    if (atn_st_count(f) == 0)
        return atn_fail(cx, ATN_DATA, __FILE__, __LINE__, "%s: holds no tensors", path);
    if (name)
        return atn_fail(cx, ATN_DATA, __FILE__, __LINE__,
                        "%s: has no tensor \"%s\"; it has %s", path, name, list);
    return atn_fail(cx, ATN_USAGE, __FILE__, __LINE__,
                    "%s: holds several tensors, give one as %s:NAME (%s)", path, path,
                    list);
}

static atn_status read_safetensors(atn_ctx *cx, const char *path, const char *name,
                                   bool steps, atn_import_tensor *t)
{
    atn_status st = ATN_OK;
    const atn_st_tensor *found = NULL;
    atn_st *f = NULL;

    st = atn_st_open(cx, path, &f);
    if (st == ATN_DATA && !atn_ends_with(path, ".safetensors") &&
        !atn_ends_with(path, ".index.json")) {
        atn_err_clear(cx);
        ATN_FAIL(ATN_DATA,
                 "%s: is no .npy, .npz or .safetensors file, and no other is read (of "
                 "a .pt: numpy.save(\"x.npy\", torch.load(FILE).float().numpy()))",
                 path);
    }
    ATN_TRY(st);
    ATN_TRY(choose_tensor(cx, path, f, name, &found));
    if (!found->loadable || found->type == ATN_I32 || found->type == ATN_I64 ||
        found->type == ATN_U8)
        ATN_FAIL(ATN_DATA, "%s: tensor \"%s\" is %s; wanted F32, F16, BF16 or F64",
                 path, found->name, found->dtype);
    ATN_TRY(shape_tensor(cx, steps, found->rank, found->shape, t));
    ATN_NEW(t->data, found->count);
    atn_widen(found->data, found->type, found->count, t->data);
done:
    atn_st_close(cx, f);
    return st;
}

static atn_status choose_member(atn_ctx *cx, const char *path, const atn_npz *z,
                                const char *name, atn_idx *out)
{
    char list[300] = "";
    size_t used = 0;

    *out = name ? atn_npz_find(z, name) : atn_npz_count(z) == 1 ? 0 : -1;
    if (*out < 0 && name && atn_ends_with(name, ".npy")) { /* as NumPy takes it */
        char *bare = atn_strndup(cx, name, strlen(name) - strlen(".npy"));

        if (!bare) return cx->err.code;
        *out = atn_npz_find(z, bare);
        atn_free(cx, bare);
    }
    if (*out >= 0) return ATN_OK;
    for (atn_idx i = 0; i < atn_npz_count(z) && used < sizeof list - 1; i++)
        used += (size_t)snprintf(list + used, sizeof list - used, "%s%s", i ? ", " : "",
                                 atn_npz_name(z, i));
    if (atn_npz_count(z) == 0)
        return atn_fail(cx, ATN_DATA, __FILE__, __LINE__, "%s: holds no arrays", path);
    if (name)
        return atn_fail(cx, ATN_DATA, __FILE__, __LINE__,
                        "%s: has no array \"%s\"; it has %s", path, name, list);
    return atn_fail(cx, ATN_USAGE, __FILE__, __LINE__,
                    "%s: holds several arrays, give one as %s:NAME (%s)", path, path,
                    list);
}

static atn_status read_npz(atn_ctx *cx, const char *path, const char *name, bool steps,
                           atn_import_tensor *t)
{
    atn_status st = ATN_OK;
    atn_npz *z = NULL;
    atn_npy a = {0};
    atn_idx i = 0;

    ATN_TRY(atn_npz_open(cx, path, &z));
    ATN_TRY(choose_member(cx, path, z, name, &i));
    ATN_TRY(atn_npz_load_floats(cx, z, i, &a));
    ATN_TRY(shape_tensor(cx, steps, a.rank, a.shape, t));
    t->data = a.f32;
    a.f32 = NULL;
done:
    atn_npy_release(cx, &a);
    atn_npz_close(cx, z);
    return st;
}

static atn_status read_member(atn_ctx *cx, const char *path, const char *name,
                              bool steps, atn_import_tensor *t)
{
    return atn_ends_with(path, ".npz") ? read_npz(cx, path, name, steps, t)
                                       : read_safetensors(cx, path, name, steps, t);
}

/* Where :name begins; a file whose own name has a colon is taken as it is. */
static const char *find_name(const char *source)
{
    const char *member = strstr(source, ".npz:");

    if (atn_file_exists(source)) return NULL;
    if (atn_ends_with(source, ".npy")) return member ? member + strlen(".npz") : NULL;
    return strrchr(source, ':');
}

char *atn_import_path(atn_ctx *cx, const char *source)
{
    const char *colon = find_name(source);

    return colon ? atn_strndup(cx, source, (size_t)(colon - source))
                 : atn_strdup(cx, source);
}

atn_status atn_import_tensor_read(atn_ctx *cx, const char *source, bool steps,
                                  atn_import_tensor *t)
{
    const char *colon = source ? find_name(source) : NULL;
    atn_status st = ATN_OK;
    char *path = NULL;

    if (!source) return ATN_OK;
    t->source = atn_strdup(cx, source);
    path = atn_import_path(cx, source);
    if (!t->source || !path) ATN_TRY(cx->err.code);
    if (atn_ends_with(path, ".npy"))
        ATN_TRY(read_npy(cx, path, steps, t));
    else
        ATN_TRY(read_member(cx, path, colon ? colon + 1 : NULL, steps, t));
done:
    atn_free(cx, path);
    return st;
}

void atn_import_tensor_release(atn_ctx *cx, atn_import_tensor *t)
{
    atn_free(cx, t->source);
    atn_free(cx, t->data);
    *t = (atn_import_tensor){0};
}

const char *atn_import_shape_text(bool steps, const atn_import_tensor *t,
                                  char out[ATN_IMPORT_SHAPE_TEXT])
{
    int used =
        steps ? snprintf(out, ATN_IMPORT_SHAPE_TEXT, "%lld, ", (long long)t->steps) : 0;

    snprintf(out + used, ATN_IMPORT_SHAPE_TEXT - (size_t)used, "%lld, %lld, %lld, %lld",
             (long long)t->layers, (long long)t->heads, (long long)t->rows,
             (long long)t->cols);
    return out;
}

const char *atn_import_place_text(const atn_import_tensor *t, atn_idx i,
                                  char out[ATN_IMPORT_PLACE_TEXT])
{
    const atn_idx head = i / t->rows, layer = head / t->heads;
    int used = 0;

    if (t->steps > 1)
        used = snprintf(out, ATN_IMPORT_PLACE_TEXT, "step %lld, ",
                        (long long)(layer / t->layers));
    snprintf(out + used, ATN_IMPORT_PLACE_TEXT - (size_t)used,
             "layer %lld, head %lld, row %lld", (long long)(layer % t->layers),
             (long long)(head % t->heads), (long long)(i % t->rows));
    return out;
}

atn_status atn_import_tensor_finite(atn_ctx *cx, const atn_import_tensor *t)
{
    char place[ATN_IMPORT_PLACE_TEXT];

    for (atn_idx i = 0; t->data && i < atn_import_tensor_rows(t); i++)
        for (atn_idx j = 0; j < t->cols; j++)
            if (!isfinite(t->data[i * t->cols + j]))
                return atn_fail(cx, ATN_DATA, __FILE__, __LINE__,
                                "%s: %s holds NaN or infinity", t->source,
                                atn_import_place_text(t, i, place));
    return ATN_OK;
}
