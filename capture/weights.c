/* capture/weights.c -- names, places and hashes of weights, see the header. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "capture/weights.h"

#include <string.h>

#include "capture/slice.h"
#include "core/io/file.h"

/* The file within the model directory. */
static const char *file_within(const atn_model *m, const char *path)
{
    const size_t n = strlen(m->dir);

    if (strncmp(path, m->dir, n) != 0) return path;
    path += n;
    while (*path == '/') path++;
    return path;
}

/* Adds a weight: of a projection, where its heads are; else NULL, a row an output. */
static atn_status add_weight(atn_ctx *cx, const atn_model *m, const char *key,
                             const atn_st_tensor *t, const atn_slice *s, json_t *to)
{
    const bool in_out = s && m->config.arch->in_out;
    char hex[33];
    json_t *v;

    if (m->config.own) return ATN_OK; /* GGUF: no safetensors file to name */
    atn_hash_bytes(t->data, t->bytes, hex);
    v = json_pack("{s:s, s:s, s:s, s:s, s:I}", "file", file_within(m, t->path),
                  "tensor", t->name, "hash", hex, "layout",
                  in_out ? "in_out" : "out_in", "first",
                  (json_int_t)(s ? s->first : 0));
    if (v && s) json_object_set_new(v, "step", json_integer(s->step));
    if (v && json_object_set_new(to, key, v) == 0) return ATN_OK;
    return atn_fail(cx, ATN_MEMORY, __FILE__, __LINE__, "no memory for the manifest");
}

atn_status atn_model_place_weights(atn_ctx *cx, const atn_model *m, const atn_place *at,
                                   json_t **out)
{
    const char *const keys[] = {"w_q", "w_k", "w_v"};
    const atn_arch_names n = atn_place_names(at);
    json_t *all = json_object();
    atn_status st = ATN_OK;

    *out = NULL;
    for (int i = 0; i < (int)ATN_LEN(keys); i++) {
        const atn_slice s = atn_slice_of(&m->config, &n, (atn_part)(ATN_PART_Q + i));

        ATN_TRY(add_weight(cx, m, keys[i],
                           atn_model_tensor(m, s.name, at->layer, false), &s, all));
    }
    *out = all;
    all = NULL;
done:
    json_decref(all);
    return st;
}

atn_status atn_model_token_weights(atn_ctx *cx, const atn_model *m, json_t **out)
{
    const atn_arch_names *n = &m->config.arch->names;
    const bool direct = n->embed && !atn_config_maps(&m->config);
    json_t *all = json_object();
    atn_status st = ATN_OK;

    *out = NULL;
    if (direct)
        ATN_TRY(add_weight(cx, m, "embed", atn_model_tensor(m, n->embed, 0, false),
                           NULL, all));
    if (direct && m->has_head)
        ATN_TRY(add_weight(
            cx, m, "unembed",
            atn_model_tensor(m, m->config.tied ? n->embed : n->head, 0, false), NULL,
            all));
    *out = all;
    all = NULL;
done:
    json_decref(all);
    return st;
}

static atn_status rotary_json(atn_ctx *cx, const atn_config *c, const atn_rope *r,
                              atn_idx n, json_t **out)
{
    const atn_arena_mark mark = atn_arena_save(cx);
    atn_status st = ATN_OK;
    json_t *list = NULL;
    double *f = NULL;

    ATN_TAKE(f, r->dim / 2);
    atn_rope_frequencies(r, (double)c->max_positions, n, f);
    list = json_array();
    for (atn_idx i = 0; i < r->dim / 2; i++)
        json_array_append_new(list, json_real(f[i]));
    *out = json_pack("{s:s, s:o}", "pairs", "half", "frequencies", list);
    if (!*out) ATN_FAIL(ATN_MEMORY, "no memory for the manifest");
done:
    atn_arena_rewind(cx, mark);
    return st;
}

atn_status atn_model_rotary(atn_ctx *cx, const atn_model *m, atn_idx n, json_t **out)
{
    *out = m->config.arch->rope ? NULL : json_null();
    return *out ? ATN_OK : rotary_json(cx, &m->config, &m->config.rope, n, out);
}

atn_status atn_layer_rotary(atn_ctx *cx, const atn_model *m, atn_idx layer, atn_idx n,
                            json_t **out)
{
    const atn_rope *r = atn_config_rope(&m->config, layer);

    *out = NULL;
    return r == &m->config.rope ? ATN_OK : rotary_json(cx, &m->config, r, n, out);
}
