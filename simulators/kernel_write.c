/* simulators/kernel_write.c -- writing kernel files. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/io/file.h"
#include "core/io/json.h"
#include "simulators/kernel_internal.h"

/* jansson's *_new functions take what they are given, NULL too: one check at the end
 * finds whatever failed on the way. */
typedef struct writer {
    bool failed, not_text;
    bool unreal; /* a number is not finite, which JSON cannot say */
} writer;

static json_t *text_of(writer *w, const char *text)
{
    size_t bad;

    if (!atn_utf8_valid(text, strlen(text), &bad)) w->not_text = true;
    return json_string(text);
}

static json_t *real(writer *w, double x)
{
    if (isfinite(x)) return json_real(x);
    w->unreal = true;
    return json_null();
}

static void put(writer *w, json_t *obj, const char *key, json_t *value)
{
    if (!value || json_object_set_new(obj, key, value) != 0) w->failed = true;
}

static void add(writer *w, json_t *list, json_t *value)
{
    if (!value || json_array_append_new(list, value) != 0) w->failed = true;
}

static void put_text(writer *w, json_t *obj, const char *key, const char *text)
{
    if (*text) put(w, obj, key, text_of(w, text));
}

static json_t *bits(writer *w, unsigned set, atn_words words)
{
    json_t *list = json_array();

    for (int i = 0; i < words.n; i++)
        if (set & 1u << i) add(w, list, json_string(words.name[i]));
    return list;
}

static json_t *names(writer *w, const char (*name)[ATN_DEVICE_ID])
{
    json_t *list = json_array();

    for (int i = 0; i < ATN_KERNEL_NAMES && name[i][0]; i++)
        add(w, list, text_of(w, name[i]));
    return list;
}

static json_t *box(writer *w, const atn_list *l)
{
    json_t *list = json_array();

    for (int i = 0; i < l->n; i++) add(w, list, json_integer(l->at[i]));
    return list;
}

static json_t *tile(writer *w, const atn_kernel_tile *t)
{
    json_t *obj = json_object();

    put_text(w, obj, "architecture", t->architecture);
    put(w, obj, "head_dim", json_integer(t->head_dim));
    put(w, obj, "pass", json_string(atn_pass_names[t->pass]));
    put(w, obj, "takes", bits(w, t->takes, atn_words_of_takes()));
    put(w, obj, "q", box(w, &t->q));
    put(w, obj, "k", box(w, &t->k));
    if (t->usual) put(w, obj, "usual", json_true());
    if (t->factorised) put(w, obj, "factorised", json_true());
    if (!isnan(t->overlap)) put(w, obj, "overlap", real(w, t->overlap));
    return obj;
}

static json_t *fit(writer *w, const atn_time_fit *f)
{
    json_t *obj = json_object(), *c = json_object();

    for (int i = 0; i < ATN_TERMS; i++)
        if (f->c[i] > 0) put(w, c, atn_term_names[i], real(w, f->c[i]));
    put(w, obj, "model", json_string(atn_time_kind_names[f->model]));
    put(w, obj, "gpu", text_of(w, f->gpu));
    put_text(w, obj, "architecture", f->architecture);
    put(w, obj, "head_dim", json_integer(f->head_dim));
    put(w, obj, "pass", json_string(atn_pass_names[f->pass]));
    put(w, obj, "coefficients", c);
    put(w, obj, "slow", real(w, f->slow));
    put(w, obj, "theta_ms", real(w, f->theta_ms > 0 ? f->theta_ms : 1));
    put(w, obj, "power", real(w, f->power > 0 ? f->power : 1));
    put(w, obj, "low", real(w, f->low));
    put(w, obj, "high", real(w, f->high));
    put(w, obj, "rows", json_integer(f->rows));
    put(w, obj, "mape", real(w, f->mape));
    put(w, obj, "source", text_of(w, *f->source ? f->source : "calibrated"));
    return obj;
}

static void put_settings(writer *w, json_t *obj, const atn_kernel *k)
{
    json_t *factors = json_array(), *reach = json_object();

    for (int i = 0; i < 3; i++) add(w, factors, real(w, k->mask_factor[i]));
    put(w, obj, "policy", json_string(atn_mask_policy_names[k->policy]));
    put(w, obj, "order", json_string(atn_cta_order_names[k->order]));
    put(w, obj, "split", json_string(atn_split_rule_names[k->split]));
    put(w, obj, "window_rule", json_boolean(k->window_rule));
    put(w, obj, "packs_gqa", json_boolean(k->packs_gqa));
    put(w, obj, "sections", json_boolean(k->sections));
    put(w, obj, "by_name", json_boolean(k->by_name));
    put(w, obj, "bare", json_boolean(k->bare));
    put(w, obj, "permutes", json_boolean(k->permutes));
    put(w, obj, "ctas_per_sm", json_integer(k->ctas_per_sm));
    put(w, obj, "overlap", real(w, k->overlap));
    put(w, obj, "offload", real(w, k->offload));
    put(w, obj, "mask_factor", factors);
    for (int i = 0; i < ATN_KERNEL_NAMES && k->reach[i].architecture[0]; i++)
        put(w, reach, k->reach[i].architecture, real(w, k->reach[i].share));
    put(w, obj, "reach", reach);
    put_text(w, obj, "like", k->like);
    put(w, obj, "like_low", real(w, k->like_low));
    put(w, obj, "like_high", real(w, k->like_high));
}

static json_t *kernel(writer *w, const atn_kernel *k)
{
    json_t *obj = json_object(), *tiles = json_array(), *fits = json_array(),
           *sources = json_object();

    put(w, obj, "schema", json_string(ATN_KERNEL_SCHEMA));
    put(w, obj, "id", text_of(w, k->id));
    put(w, obj, "title", text_of(w, k->title));
    put(w, obj, "source", text_of(w, k->source));
    put(w, obj, "architectures", names(w, k->architectures));
    put(w, obj, "timings", names(w, k->timings));
    put(w, obj, "takes", bits(w, k->takes, atn_words_of_takes()));
    put(w, obj, "passes", bits(w, k->passes, atn_words_of_passes()));
    put_settings(w, obj, k);
    for (int i = 0; i < ATN_TOPICS; i++)
        put_text(w, sources, atn_kernel_topic_names[i], k->sources[i]);
    for (int i = 0; i < k->tiles; i++)
        if (!k->tile[i].made) add(w, tiles, tile(w, &k->tile[i]));
    for (int i = 0; i < k->fits; i++) add(w, fits, fit(w, &k->fit[i]));
    put(w, obj, "sources", sources);
    put(w, obj, "tiles", tiles);
    put(w, obj, "fits", fits);
    return obj;
}

/* What is written can be read. */
static atn_status read_back(atn_ctx *cx, const char *path, const char *text)
{
    atn_kernel *k = NULL;
    atn_status st = ATN_OK;

    ATN_NEW(k, 1);
    ATN_TRY(atn_kernel_parse(cx, path, text, strlen(text), k));
done:
    if (k) atn_kernel_release(cx, k);
    atn_free(cx, k);
    return st;
}

atn_status atn_kernel_save(atn_ctx *cx, const atn_kernel *k, const char *path,
                           bool force)
{
    atn_out out = {NULL, NULL, NULL};
    writer w = {0};
    json_t *obj = kernel(&w, k);
    const size_t form = JSON_INDENT(2) | JSON_REAL_PRECISION(17);
    atn_status st = ATN_OK;
    char *text = NULL;
    size_t size;

    if (w.unreal)
        ATN_FAIL(ATN_DATA,
                 "%s: kernel %s has a number that is not finite (a fit of "
                 "timings that do not go together)",
                 path, k->id);
    if (w.not_text)
        ATN_FAIL(ATN_DATA, "%s: a text of the kernel is no UTF-8, and is not written",
                 path);
    size = obj && !w.failed ? json_dumpb(obj, NULL, 0, form) : 0;
    if (size == 0) ATN_FAIL(ATN_MEMORY, "%s: no memory to write it", path);
    ATN_NEW(text, size + 1);
    if (json_dumpb(obj, text, size, form) != size)
        ATN_FAIL(ATN_MEMORY, "%s: no memory to write it", path);
    ATN_TRY(read_back(cx, path, text));
    ATN_TRY(atn_out_open(cx, path, force, &out));
    if (fputs(text, out.file) == EOF || fputc('\n', out.file) == EOF)
        ATN_FAIL(ATN_IO, "%s: cannot be written (is the disk full?)", path);
    ATN_TRY(atn_out_commit(cx, &out));
done:
    atn_out_abort(cx, &out);
    atn_free(cx, text);
    json_decref(obj);
    return st;
}
