/* cli/stored.c -- results of approx in the folder of a capture. */
// SPDX-License-Identifier: GPL-3.0-or-later
#define _POSIX_C_SOURCE 200809L
#include "cli/stored.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/io/file.h"
#include "core/io/json.h"

void atn_stored_release(atn_ctx *cx, atn_stored *s)
{
    for (int i = 0; i < ATN_STORED_FILES; i++) {
        atn_table_destroy(cx, s->at[i].approx);
        atn_table_destroy(cx, s->at[i].tiles);
        atn_free(cx, s->at[i].name);
    }
    memset(s, 0, sizeof *s);
}

void atn_stored_inputs(const atn_stored *s, atn_tradeoff_input *out)
{
    for (int i = 0; i < s->n; i++)
        out[i] = (atn_tradeoff_input){s->at[i].approx, s->at[i].tiles, s->at[i].name};
}

/* ---- which files ---- */

/* "approx-HASH.csv" of approx, "tradeoff-HASH.approx.csv" of tradeoff; the length of the
 * part before the kind through n. */
static bool is_approx(const char *name, size_t *n)
{
    const size_t hash = strcspn(name, "-") + 1;

    *n = strcspn(name, ".");
    if (*n != hash + 32) return false;
    return (strncmp(name, "approx-", 7) == 0 && strcmp(name + *n, ".csv") == 0) ||
           (strncmp(name, "tradeoff-", 9) == 0 &&
            strcmp(name + *n, ".approx.csv") == 0);
}

static int is_stored(const struct dirent *e)
{
    size_t n;

    return is_approx(e->d_name, &n);
}

static const json_t *option(const json_t *record, const char *name)
{
    return json_object_get(json_object_get(record, "options"), name);
}

/* Why results of this record are not those that are asked for; NULL = they are. */
static const char *stranger(const atn_subject *s, const json_t *record,
                            const uint64_t *seed)
{
    const char *theirs = atn_record_capture(record);
    const char *ours = atn_record_capture(s->run.json);

    if (!json_is_string(json_object_get(record, "fingerprint")))
        return "its run record has no fingerprint";
    if (!theirs || !ours || strcmp(theirs, ours) != 0)
        return "it was made of another capture, or before this one was made again";
    if (option(record, "sweep")) return "it is a sweep";
    if (option(record, "unmasked")) return "it takes the mask off";
    if (seed && (uint64_t)json_integer_value(json_object_get(record, "seed")) != *seed)
        return "it is of another --seed";
    return NULL;
}

/* What was asked for that time, and not now; false = nothing. */
static bool say_options(atn_ctx *cx, const char *path, const json_t *record)
{
    static const char *const names[] = {"as-published", "draws", "grid", "prompt"};
    bool odd = false;

    for (size_t i = 0; i < ATN_LEN(names); i++) {
        const json_t *x = option(record, names[i]);
        const char *value = json_string_value(x);

        if (!x) continue;
        odd = true;
        atn_log(cx, ATN_LOG_WARN,
                "%s was made with --%s%s%s: it is taken where no other has a case "
                "(remove it if you do not want it)",
                path, names[i], value && strcmp(value, "yes") ? " " : "",
                value && strcmp(value, "yes") ? value : "");
    }
    return odd;
}

static bool has_heads(const atn_table *t)
{
    return atn_table_find_col(t, "head") >= 0 && atn_table_find_col(t, "layer") >= 0 &&
           atn_table_find_col(t, "temperature") < 0;
}

/* ---- reading ---- */

/* What cannot be read is no reason to stop. */
static atn_status forgive(atn_ctx *cx, atn_status st, const char *path)
{
    if (st != ATN_DATA) return st;
    atn_log(cx, ATN_LOG_WARN,
            "%s is left out: %s (remove it, or run its command with --keep again)",
            path, cx->err.text);
    atn_err_clear(cx);
    return ATN_OK;
}

/* *out takes the tables where they are of heads; else it has none. */
static atn_status load(atn_ctx *cx, const char *path, const char *tiles,
                       atn_stored_one *out)
{
    atn_status st = ATN_OK;

    ATN_TRY(atn_table_load(cx, path, &out->approx));
    if (!has_heads(out->approx)) ATN_FAIL(ATN_DATA, "it has no rows of heads");
    if (atn_file_exists(tiles)) ATN_TRY(atn_table_load(cx, tiles, &out->tiles));
    if (out->tiles && atn_table_rows(out->tiles) != atn_table_rows(out->approx))
        ATN_FAIL(ATN_DATA, "it has %lld rows, and %s has %lld",
                 (long long)atn_table_rows(out->approx), tiles,
                 (long long)atn_table_rows(out->tiles));
    out->name = atn_strdup(cx, path);
    if (!out->name) ATN_TRY(cx->err.code);
done:
    if (st != ATN_OK) {
        atn_table_destroy(cx, out->approx);
        atn_table_destroy(cx, out->tiles);
        *out = (atn_stored_one){.approx = NULL};
    }
    return st;
}

/* The record says whether and when; NULL = it is taken. */
static atn_status read_record(atn_ctx *cx, const char *facts, json_t **out)
{
    atn_status st = ATN_OK;

    if (!atn_file_exists(facts)) ATN_FAIL(ATN_DATA, "it has no run record");
    ATN_TRY(atn_json_load(cx, facts, false, out));
done:
    return st;
}

static atn_status add(atn_ctx *cx, const atn_subject *s, const uint64_t *seed,
                      const char *path, const char *tiles, atn_stored *out)
{
    char *facts = atn_strfmt(cx, "%s.run.json", path);
    atn_stored_one one = {.approx = NULL};
    json_t *record = NULL;
    atn_status st = ATN_OK;
    const char *why, *started;

    if (!facts) ATN_TRY(cx->err.code);
    ATN_TRY(read_record(cx, facts, &record));
    why = stranger(s, record, seed);
    if (why) ATN_FAIL(ATN_DATA, "%s", why);
    ATN_TRY(load(cx, path, tiles, &one));
    started = json_string_value(json_object_get(record, "started"));
    snprintf(one.started, sizeof one.started, "%s", started ? started : "");
    one.sample = option(record, "rows") != NULL;
    one.odd = say_options(cx, path, record);
    out->at[out->n++] = one;
done:
    json_decref(record);
    atn_free(cx, facts);
    return forgive(cx, st, path);
}

/* Whole before sampled, as usual before otherwise, the latest first, then by name. */
static int by_worth(const void *a_, const void *b_)
{
    const atn_stored_one *a = a_, *b = b_;
    const int later = strcmp(b->started, a->started);

    if (a->sample != b->sample) return a->sample ? 1 : -1;
    if (a->odd != b->odd) return a->odd ? 1 : -1;
    return later ? later : strcmp(a->name, b->name);
}

static atn_status add_named(atn_ctx *cx, const atn_subject *s, const uint64_t *seed,
                            const char *folder, const char *name, atn_stored *out)
{
    char *path = atn_path_join(cx, folder, name), *tiles = NULL;
    atn_status st = ATN_OK;
    size_t n;

    (void)is_approx(name, &n);
    tiles = atn_strfmt(cx, "%s/%.*s.approx_tiles.csv", folder, (int)n, name);
    if (!path || !tiles) ATN_TRY(cx->err.code);
    if (out->n == ATN_STORED_FILES)
        ATN_FAIL(ATN_DATA, "%s: more than %d results of approx (remove some)", folder,
                 ATN_STORED_FILES);
    ATN_TRY(add(cx, s, seed, path, tiles, out));
done:
    atn_free(cx, tiles);
    atn_free(cx, path);
    return st;
}

atn_status atn_stored_find(atn_ctx *cx, const atn_subject *s, const uint64_t *seed,
                           atn_stored *out)
{
    char *folder = atn_path_join(cx, atn_capture_dir(s->capture), "results");
    struct dirent **entries = NULL;
    atn_status st = ATN_OK;
    int n = 0;

    if (!folder) ATN_TRY(cx->err.code);
    n = scandir(folder, &entries, is_stored, alphasort);
    if (n < 0 && errno != ENOENT)
        ATN_FAIL(ATN_NOINPUT, "%s: cannot be listed: %s", folder, strerror(errno));
    for (int i = 0; i < n; i++)
        ATN_TRY(add_named(cx, s, seed, folder, entries[i]->d_name, out));
    qsort(out->at, (size_t)out->n, sizeof *out->at, by_worth);
done:
    for (int i = 0; i < n; i++) free(entries[i]); /* scandir's own memory */
    free(entries);
    atn_free(cx, folder);
    return st;
}
