/* tests/capture/make_model.h -- copies of the parity models, changed at one place. */
// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "check.h"

#include "core/io/json.h"
#include "core/io/safetensors.h"

/* A scratch copy of tests/fixtures/parity/<base>. */
static inline const char *copy_model(const char *name, const char *base)
{
    const char *dir = check_scratch(name);
    char command[2400];

    snprintf(command, sizeof command, "cp '%s/parity/%s'/* '%s'", ATN_TEST_FIXTURES,
             base, dir);
    CHECK_EQ(system(command), 0);
    return dir;
}

static inline const char *path_in(const char *dir, const char *name)
{
    static char path[1400];

    snprintf(path, sizeof path, "%s/%s", dir, name);
    return path;
}

static inline void write_text(const char *dir, const char *name, const char *text)
{
    FILE *f = fopen(path_in(dir, name), "wb");

    CHECK(f != NULL);
    fputs(text, f);
    fclose(f);
}

/* Sets config[key] to the JSON text; NULL removes the key. */
static inline void set_config(atn_ctx *cx, const char *dir, const char *key,
                              const char *json)
{
    json_t *config = NULL;
    json_error_t error;

    CHECK_OK(atn_json_load(cx, path_in(dir, "config.json"), false, &config));
    if (json) {
        json_t *value = json_loads(json, JSON_DECODE_ANY, &error);
        CHECK(value != NULL);
        CHECK_EQ(json_object_set_new(config, key, value), 0);
    } else {
        json_object_del(config, key);
    }
    CHECK_OK(atn_json_save(cx, path_in(dir, "config.json"), config));
    json_decref(config);
}

/* Writes model.safetensors again: `edit` may rename or reshape one tensor (false =
 * leave it out) or change its data, which is a copy of size t->bytes. */
typedef bool edit_tensor(atn_st_out *t, char *data, char name[256]);

static inline void edit_weights(atn_ctx *cx, const char *dir, edit_tensor *edit)
{
    static char names[128][256];
    static atn_st_out list[128];
    atn_idx n = 0, all;
    atn_st *f = NULL;

    CHECK_OK(atn_st_open(cx, path_in(dir, "model.safetensors"), &f));
    all = atn_st_count(f);
    CHECK_LE(all, 128);
    for (atn_idx i = 0; i < all; i++) {
        const atn_st_tensor *t = atn_st_at(f, i);
        char *data = malloc(t->bytes);

        memcpy(data, t->data, t->bytes);
        snprintf(names[n], sizeof names[n], "%s", t->name);
        list[n] = (atn_st_out){names[n], t->type, t->rank, {0}, data};
        memcpy(list[n].shape, t->shape, sizeof t->shape);
        if (edit(&list[n], data, names[n]))
            n++;
        else
            free(data);
    }
    atn_st_close(cx, f);
    CHECK_OK(
        atn_st_save(cx, path_in(dir, "model.safetensors"), list, n, NULL, true, NULL));
    for (atn_idx i = 0; i < n; i++) free((void *)(uintptr_t)list[i].data);
}
