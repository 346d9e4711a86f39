/* core/io/capture_writer.c -- writes capture directories so that a crash loses nothing.
 *
 * The manifest stands first, with complete: false and the fingerprint of inputs and options;
 * each layer file is written aside, flushed and renamed; the manifest is written again at the
 * end with the hash of every layer. What is on disk is therefore always whole.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#include <dirent.h>
#include <string.h>
#include <unistd.h>

#include "core/io/capture.h"
#include "core/io/file.h"
#include "core/io/json.h"

typedef struct layer_state {
    bool done;
    char hash[33]; /* "" while the file was not written by us */
} layer_state;

struct atn_capture_writer {
    char *dir, *manifest_path;
    json_t *manifest;
    layer_state *layers;
    int n_layers;
};

static bool dir_is_empty(const char *dir)
{
    DIR *d = opendir(dir);
    const struct dirent *e;
    bool empty = true;

    if (!d) return false;
    while ((e = readdir(d)))
        if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0) empty = false;
    closedir(d);
    return empty;
}

static const json_t *layer_at(const atn_capture_writer *w, int i)
{
    return json_array_get(json_object_get(w->manifest, "layers"), (size_t)i);
}

static char *layer_path(atn_ctx *cx, const atn_capture_writer *w, int i)
{
    const char *file = json_string_value(json_object_get(layer_at(w, i), "file"));

    ATN_ASSERT(file != NULL);
    return atn_path_join(cx, w->dir, file);
}

static bool same_shape(const atn_st *f, const char *name, int64_t a, int64_t b,
                       int64_t c)
{
    const atn_st_tensor *t = atn_st_find(f, name);

    return t && t->rank == 3 && t->shape[0] == a && t->shape[1] == b &&
           t->shape[2] == c;
}

static int64_t number_of(const json_t *layer, const char *key)
{
    return json_integer_value(json_object_get(layer, key));
}

/* A layer of an earlier run counts only when its file reads and has every listed tensor. */
static bool layer_is_sound(atn_ctx *cx, const atn_capture_writer *w, int i)
{
    const json_t *layer = layer_at(w, i), *tensors = json_object_get(layer, "tensors"),
                 *name;
    char *path = layer_path(cx, w, i);
    atn_st *f = NULL;
    bool sound = path && atn_file_exists(path) && atn_st_open(cx, path, &f) == ATN_OK;
    size_t t;

    json_array_foreach(tensors, t, name) sound =
        sound && atn_st_find(f, json_string_value(name)) != NULL;
    if (sound && atn_st_find(f, "q"))
        sound = same_shape(f, "q", number_of(layer, "heads"), number_of(layer, "n_q"),
                           number_of(layer, "d")) &&
                same_shape(f, "k", number_of(layer, "kv_heads"),
                           number_of(layer, "n_k"), number_of(layer, "d"));
    atn_st_close(cx, f);
    atn_free(cx, path);
    atn_err_clear(cx);
    return sound;
}

/* Removes what a capture of ours consists of, listed by its own manifest. */
static void remove_old(atn_ctx *cx, const atn_capture_writer *w, const json_t *old)
{
    const json_t *layer;
    size_t i;

    json_array_foreach(json_object_get(old, "layers"), i, layer)
    {
        const char *file = json_string_value(json_object_get(layer, "file"));
        char *path;

        if (!file || *file == '/' || strstr(file, "..")) continue;
        path = atn_path_join(cx, w->dir, file);
        if (path) (void)unlink(path);
        atn_free(cx, path);
    }
    (void)unlink(w->manifest_path);
}

/* Looks at what is there already: nothing, a capture to resume, one to replace, or another
 * directory, which is never touched. */
static atn_status meet_existing(atn_ctx *cx, atn_capture_writer *w,
                                const char *fingerprint, bool force, bool *resume)
{
    const char *schema, *theirs;
    atn_status st = ATN_OK;
    json_t *old = NULL;

    *resume = false;
    if (!atn_dir_exists(w->dir) || dir_is_empty(w->dir))
        return atn_dir_make(cx, w->dir);
    if (!atn_file_exists(w->manifest_path))
        ATN_FAIL(ATN_CANTCREATE,
                 "%s: exists and is no capture; it is left alone (choose another -o)",
                 w->dir);
    ATN_TRY(atn_json_load(cx, w->manifest_path, false, &old));
    schema = json_string_value(json_object_get(old, "schema"));
    theirs = json_string_value(json_object_get(old, "fingerprint"));
    if (!schema || strncmp(schema, "attnscope/capture/", 18) != 0)
        ATN_FAIL(ATN_CANTCREATE,
                 "%s: exists and is no capture; it is left alone (choose another -o)",
                 w->dir);
    *resume = !json_is_true(json_object_get(old, "complete")) && theirs &&
              strcmp(theirs, fingerprint) == 0;
    if (*resume) goto done;
    if (!force)
        ATN_FAIL(
            ATN_CANTCREATE,
            "%s: holds %s (choose another -o, or --force to replace it)", w->dir,
            json_is_true(json_object_get(old, "complete"))
                ? "a complete capture"
                : "an incomplete capture of other inputs or options, which cannot be "
                  "resumed");
    remove_old(cx, w, old);
done:
    json_decref(old);
    return st;
}

atn_status atn_capture_begin(atn_ctx *cx, const char *dir, const json_t *manifest,
                             const char *fingerprint, bool force,
                             atn_capture_writer **out)
{
    atn_status st = ATN_OK;
    atn_capture_writer *w = NULL;
    bool resume = false;

    *out = NULL;
    ATN_NEW(w, 1);
    w->dir = atn_strdup(cx, dir);
    w->manifest_path = atn_path_join(cx, dir, "capture.json");
    w->manifest = json_deep_copy(manifest);
    if (!w->dir || !w->manifest_path || !w->manifest)
        ATN_FAIL(ATN_MEMORY, "%s: no memory for the manifest", dir);
    w->n_layers = (int)json_array_size(json_object_get(w->manifest, "layers"));
    ATN_NEW(w->layers, w->n_layers);
    ATN_TRY(meet_existing(cx, w, fingerprint, force, &resume));
    for (int i = 0; resume && i < w->n_layers; i++)
        w->layers[i].done = layer_is_sound(cx, w, i);
    json_object_set_new(w->manifest, "schema", json_string("attnscope/capture/1"));
    json_object_set_new(w->manifest, "fingerprint", json_string(fingerprint));
    json_object_set_new(w->manifest, "complete", json_false());
    ATN_TRY(atn_json_save(cx, w->manifest_path, w->manifest));
    *out = w;
    w = NULL;
done:
    atn_capture_abandon(cx, w);
    return st;
}

bool atn_capture_has_layer(const atn_capture_writer *w, int i)
{
    return w->layers[i].done;
}

atn_status atn_capture_put(atn_ctx *cx, atn_capture_writer *w, int i,
                           const atn_st_out *tensors, atn_idx n)
{
    char *path = layer_path(cx, w, i), *slash;
    atn_status st = ATN_OK;

    if (!path) return cx->err.code;
    slash = strrchr(path, '/');
    if (slash) {
        *slash = '\0';
        ATN_TRY(atn_dir_make(cx, path));
        *slash = '/';
    }
    ATN_TRY(atn_st_save(cx, path, tensors, n, NULL, true, w->layers[i].hash));
    w->layers[i].done = true;
done:
    atn_free(cx, path);
    return st;
}

atn_status atn_capture_set(atn_ctx *cx, atn_capture_writer *w, const char *key,
                           json_t *value)
{
    if (value && json_object_set_new(w->manifest, key, value) == 0) return ATN_OK;
    return atn_fail(cx, ATN_MEMORY, __FILE__, __LINE__, "no memory for the manifest");
}

/* The hash of a layer's file: known since it was written, or read back of an earlier run. */
static atn_status take_hash(atn_ctx *cx, atn_capture_writer *w, int i)
{
    char *path = layer_path(cx, w, i), *hash = w->layers[i].hash;
    atn_status st = ATN_OK;

    ATN_ASSERT(w->layers[i].done);
    if (!path) return cx->err.code;
    if (!*hash) ATN_TRY(atn_hash_file(cx, path, hash));
    json_object_set_new((json_t *)(uintptr_t)layer_at(w, i), "hash", json_string(hash));
done:
    atn_free(cx, path);
    return st;
}

atn_status atn_capture_finish(atn_ctx *cx, atn_capture_writer *w, const json_t *run)
{
    atn_status st = ATN_OK;

    for (int i = 0; i < w->n_layers; i++) ATN_TRY(take_hash(cx, w, i));
    if (run) json_object_set(w->manifest, "run", (json_t *)(uintptr_t)run);
    json_object_set_new(w->manifest, "complete", json_true());
    ATN_TRY(atn_json_save(cx, w->manifest_path, w->manifest));
done:
    atn_capture_abandon(cx, w);
    return st;
}

void atn_capture_abandon(atn_ctx *cx, atn_capture_writer *w)
{
    if (!w) return;
    json_decref(w->manifest);
    atn_free(cx, w->dir);
    atn_free(cx, w->manifest_path);
    atn_free(cx, w->layers);
    atn_free(cx, w);
}
