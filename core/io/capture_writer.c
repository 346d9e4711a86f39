/* core/io/capture_writer.c -- writes capture directories so that a crash loses nothing.
 *
 * The manifest stands first, with complete: false and the fingerprint of inputs and
 * options; each layer file is written aside, flushed and renamed, and its hash then
 * goes into the manifest; at the end complete becomes true. What is on disk is
 * therefore always whole. A capture that replaces another is written beside it, in
 * DIR.part-FINGERPRINT, and changes places with it when it is complete.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/io/capture.h"
#include "core/io/file.h"
#include "core/io/json.h"

struct atn_capture_writer {
    char *dir;  /* where the capture is to stand */
    char *work; /* where it is written: dir, or beside it while another stands there */
    char *manifest_path;
    size_t there; /* length of the part of `work` that we did not make */
    bool begun;
    json_t *manifest;
    json_t *replaced; /* manifest of the capture that is to go, NULL = none */
    bool *done;       /* [layers] the file is there and its hash in the manifest */
    int n_layers;
};

/* ---- what stands there already ---- */

typedef enum standing { VACANT, RESUMABLE, COMPLETE, OTHER } standing;

static const char *string_of(const json_t *obj, const char *key)
{
    const char *text = json_string_value(json_object_get(obj, key));

    return text ? text : "";
}

/* Another directory than a capture is never touched. *manifest NULL when VACANT. */
static atn_status look(atn_ctx *cx, const char *dir, const char *fingerprint,
                       standing *out, json_t **manifest)
{
    atn_status st = ATN_OK;
    json_t *found = NULL;
    char *path = NULL;

    *out = VACANT;
    *manifest = NULL;
    if (!atn_dir_exists(dir) || atn_dir_is_empty(dir)) return ATN_OK;
    path = atn_path_join(cx, dir, "capture.json");
    if (!path) ATN_TRY(cx->err.code);
    if (atn_file_exists(path)) ATN_TRY(atn_json_load(cx, path, false, &found));
    if (strncmp(string_of(found, "schema"), "attnscope/capture/", 18) != 0)
        ATN_FAIL(ATN_CANTCREATE,
                 "%s: exists and is no capture; it is left alone (choose another -o)",
                 dir);
    *out = json_is_true(json_object_get(found, "complete"))            ? COMPLETE
           : strcmp(string_of(found, "fingerprint"), fingerprint) == 0 ? RESUMABLE
                                                                       : OTHER;
    *manifest = found;
    found = NULL;
done:
    json_decref(found);
    atn_free(cx, path);
    return st;
}

/* The directory itself, so that a link to it, or "DIR/", can be replaced as well. */
static char *resolved(atn_ctx *cx, const char *dir)
{
    char real[PATH_MAX], *copy = atn_strdup(cx, realpath(dir, real) ? real : dir);
    size_t n = copy ? strlen(copy) : 0;

    while (n > 1 && copy[n - 1] == '/') copy[--n] = '\0';
    return copy;
}

/* Sets `work`, and *old to the manifest of what was written there before. */
static atn_status choose_place(atn_ctx *cx, atn_capture_writer *w,
                               const char *fingerprint, bool force, json_t **old)
{
    atn_status st = ATN_OK;
    standing at = VACANT;

    ATN_TRY(look(cx, w->dir, fingerprint, &at, old));
    if ((at == COMPLETE || at == OTHER) && !force)
        ATN_FAIL(
            ATN_CANTCREATE,
            "%s: holds %s (choose another -o, or --force to replace it)", w->dir,
            at == COMPLETE
                ? "a complete capture"
                : "an incomplete capture of other inputs or options, which cannot be "
                  "resumed");
    if (at == VACANT || at == RESUMABLE) {
        w->work = atn_strdup(cx, w->dir);
    } else {
        w->replaced = *old;
        *old = NULL;
        w->work = atn_strfmt(cx, "%s.part-%s", w->dir, fingerprint);
        if (w->work) ATN_TRY(look(cx, w->work, fingerprint, &at, old));
    }
    if (!w->work) ATN_TRY(cx->err.code);
done:
    return st;
}

/* ---- layers ---- */

static json_t *layer_at(const json_t *manifest, int i)
{
    return json_array_get(json_object_get(manifest, "layers"), (size_t)i);
}

static char *layer_path(atn_ctx *cx, const atn_capture_writer *w, int i)
{
    const char *file = string_of(layer_at(w->manifest, i), "file");

    ATN_ASSERT(*file != '\0');
    return atn_path_join(cx, w->work, file);
}

static atn_status set_hash(atn_ctx *cx, atn_capture_writer *w, int i, const char *hash)
{
    if (json_object_set_new(layer_at(w->manifest, i), "hash", json_string(hash)) != 0)
        return atn_fail(cx, ATN_MEMORY, __FILE__, __LINE__,
                        "no memory for the manifest");
    w->done[i] = true;
    return ATN_OK;
}

static atn_status save_manifest(atn_ctx *cx, atn_capture_writer *w)
{
    char hex[33];
    atn_status st = ATN_OK;

    ATN_TRY(atn_capture_checksum(cx, w->manifest, hex));
    json_object_set_new(w->manifest, "checksum", json_string(hex));
    ATN_TRY(atn_json_save(cx, w->manifest_path, w->manifest));
done:
    return st;
}

/* A layer of an earlier run counts when its file is still what was written. */
static atn_status find_layer(atn_ctx *cx, atn_capture_writer *w, const json_t *old,
                             int i)
{
    const char *hash = string_of(layer_at(old, i), "hash");
    json_t *weights = json_object_get(layer_at(old, i), "weights");
    char *path = NULL, hex[33] = "";
    atn_status st = ATN_OK;

    if (!*hash) return ATN_OK;
    path = layer_path(cx, w, i);
    if (!path) ATN_TRY(cx->err.code);
    if (atn_file_exists(path)) ATN_TRY(atn_hash_file(cx, path, hex));
    if (strcmp(hex, hash) == 0) {
        ATN_TRY(set_hash(cx, w, i, hash));
        if (weights) json_object_set(layer_at(w->manifest, i), "weights", weights);
    } else
        atn_log(cx, ATN_LOG_WARN, "%s: was %s since it was written; it is made again",
                path, *hex ? "changed" : "removed");
done:
    atn_free(cx, path);
    return st;
}

/* ---- beginning ---- */

/* Length of the longest part of a path that exists. */
static size_t existing_part(char *path)
{
    size_t n = strlen(path);

    while (n > 0) {
        const char kept = path[n];
        bool there;

        path[n] = '\0';
        there = access(path, F_OK) == 0;
        path[n] = kept;
        if (there) break;
        while (n > 0 && path[n - 1] != '/') n--;
        while (n > 0 && path[n - 1] == '/') n--;
    }
    return n;
}

atn_status atn_capture_begin(atn_ctx *cx, const char *dir, const json_t *manifest,
                             const char *fingerprint, bool force,
                             atn_capture_writer **out)
{
    atn_status st = ATN_OK;
    atn_capture_writer *w = NULL;
    json_t *old = NULL;

    *out = NULL;
    ATN_NEW(w, 1);
    w->dir = resolved(cx, dir);
    w->manifest = json_deep_copy(manifest);
    if (!w->dir || !w->manifest)
        ATN_FAIL(ATN_MEMORY, "%s: no memory for the manifest", dir);
    w->n_layers = (int)json_array_size(json_object_get(w->manifest, "layers"));
    ATN_NEW(w->done, w->n_layers);
    ATN_TRY(choose_place(cx, w, fingerprint, force, &old));
    w->manifest_path = atn_path_join(cx, w->work, "capture.json");
    if (!w->manifest_path) ATN_TRY(cx->err.code);
    for (int i = 0;
         i < w->n_layers && strcmp(string_of(old, "fingerprint"), fingerprint) == 0;
         i++)
        ATN_TRY(find_layer(cx, w, old, i));
    json_object_set_new(w->manifest, "schema", json_string("attnscope/capture/1"));
    json_object_set_new(w->manifest, "fingerprint", json_string(fingerprint));
    json_object_set_new(w->manifest, "complete", json_false());
    w->there = existing_part(w->work);
    w->begun = true;
    ATN_TRY(atn_dir_make(cx, w->work));
    ATN_TRY(save_manifest(cx, w));
    *out = w;
    w = NULL;
done:
    json_decref(old);
    atn_capture_abandon(cx, w);
    return st;
}

const char *atn_capture_work(const atn_capture_writer *w)
{
    return w->work;
}

bool atn_capture_has_layer(const atn_capture_writer *w, int i)
{
    return w->done[i];
}

/* A file below dir, by a path that is cut; the folders of steps and stacks go with
 * their last file. */
static void remove_path(const char *dir, char *path)
{
    char *slash;

    (void)remove(path);
    while ((slash = strrchr(path, '/')) && (size_t)(slash - path) > strlen(dir)) {
        *slash = '\0';
        (void)rmdir(path);
    }
}

atn_status atn_capture_put(atn_ctx *cx, atn_capture_writer *w, int i,
                           const atn_st_out *tensors, atn_idx n)
{
    char *path = layer_path(cx, w, i), *slash, hash[33];
    atn_status st = ATN_OK;

    if (!path) return cx->err.code;
    slash = strrchr(path, '/');
    if (slash) {
        *slash = '\0';
        ATN_TRY(atn_dir_make(cx, path));
        *slash = '/';
    }
    ATN_TRY(atn_st_save(cx, path, tensors, n, NULL, true, hash));
    ATN_TRY(set_hash(cx, w, i, hash));
    ATN_TRY(save_manifest(cx, w));
done:
    /* a file that the manifest does not know is none of the capture */
    if (st != ATN_OK && !w->done[i]) remove_path(w->work, path);
    atn_free(cx, path);
    return st;
}

/* Steals value. */
static atn_status set_key(atn_ctx *cx, json_t *obj, const char *key, json_t *value)
{
    if (value && json_object_set_new(obj, key, value) == 0) return ATN_OK;
    return atn_fail(cx, ATN_MEMORY, __FILE__, __LINE__, "no memory for the manifest");
}

atn_status atn_capture_set_weights(atn_ctx *cx, atn_capture_writer *w, int i,
                                   json_t *weights)
{
    return set_key(cx, layer_at(w->manifest, i), "weights", weights);
}

atn_status atn_capture_set(atn_ctx *cx, atn_capture_writer *w, const char *key,
                           json_t *value)
{
    return set_key(cx, w->manifest, key, value);
}

/* ---- ending ---- */

static void remove_at(atn_ctx *cx, const char *dir, const char *name)
{
    char *path = atn_path_join(cx, dir, name);

    if (path) remove_path(dir, path);
    atn_free(cx, path);
}

/* What commands stored with --keep. */
static void remove_results(atn_ctx *cx, const char *dir)
{
    char *results = atn_path_join(cx, dir, "results");
    DIR *d = results ? opendir(results) : NULL;
    const struct dirent *e;

    while (d && (e = readdir(d)))
        if (atn_ends_with(e->d_name, ".csv") || atn_ends_with(e->d_name, ".run.json"))
            remove_at(cx, results, e->d_name);
    if (d) closedir(d);
    if (results) (void)rmdir(results);
    atn_free(cx, results);
}

/* Removes a capture, listed by its own manifest; what else lies there stays. */
static void remove_capture(atn_ctx *cx, const char *dir, const json_t *manifest)
{
    const json_t *layer;
    size_t i;

    json_array_foreach(json_object_get(manifest, "layers"), i, layer)
    {
        const char *file = string_of(layer, "file");

        if (*file && *file != '/' && !strstr(file, "..")) remove_at(cx, dir, file);
    }
    remove_results(cx, dir);
    remove_at(cx, dir, "capture.json");
    if (rmdir(dir) != 0)
        atn_log(cx, ATN_LOG_WARN,
                "%s: keeps what lay in the replaced capture and was not part of it",
                dir);
}

/* The complete capture takes the place of the one that it replaces. */
static atn_status change_places(atn_ctx *cx, const atn_capture_writer *w)
{
    char *old =
        atn_strfmt(cx, "%s.old-%s", w->dir, string_of(w->manifest, "fingerprint"));
    atn_status st = ATN_OK;

    if (!old) return cx->err.code;
    if (rename(w->dir, old) != 0)
        ATN_FAIL(ATN_CANTCREATE,
                 "%s: cannot be replaced: %s (the new capture is complete in %s)",
                 w->dir, strerror(errno), w->work);
    if (rename(w->work, w->dir) != 0) {
        const int why = errno;

        (void)rename(old, w->dir);
        ATN_FAIL(ATN_CANTCREATE,
                 "%s: cannot be replaced: %s (the new capture is complete in %s)",
                 w->dir, strerror(why), w->work);
    }
    atn_sync_parent(w->dir);
    remove_capture(cx, old, w->replaced);
done:
    atn_free(cx, old);
    return st;
}

atn_status atn_capture_finish(atn_ctx *cx, atn_capture_writer *w, const json_t *run)
{
    atn_status st = ATN_OK;

    for (int i = 0; i < w->n_layers; i++) ATN_ASSERT(w->done[i]);
    if (run) json_object_set(w->manifest, "run", (json_t *)(uintptr_t)run);
    json_object_set_new(w->manifest, "complete", json_true());
    ATN_TRY(save_manifest(cx, w));
    if (w->replaced) ATN_TRY(change_places(cx, w));
done:
    atn_capture_abandon(cx, w);
    return st;
}

/* Without a layer there is nothing to resume: what begin made goes again. */
static void remove_beginning(atn_capture_writer *w)
{
    for (int i = 0; i < w->n_layers; i++)
        if (w->done[i]) return;
    (void)unlink(w->manifest_path);
    while (strlen(w->work) > w->there && rmdir(w->work) == 0) {
        char *end = strrchr(w->work, '/');

        while (end && end > w->work && end[-1] == '/') end--;
        *(end ? end : w->work) = '\0';
    }
}

void atn_capture_abandon(atn_ctx *cx, atn_capture_writer *w)
{
    if (!w) return;
    if (w->begun) remove_beginning(w);
    json_decref(w->manifest);
    json_decref(w->replaced);
    atn_free(cx, w->dir);
    atn_free(cx, w->work);
    atn_free(cx, w->manifest_path);
    atn_free(cx, w->done);
    atn_free(cx, w);
}
