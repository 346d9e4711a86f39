/* capture/vision.c -- images, latents, timesteps and classes, see the header. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "capture/vision.h"

#include <math.h>
#include <string.h>

#include "capture/preprocess.h"
#include "core/io/file.h"
#include "core/io/npy.h"
#include "core/param.h"

atn_status atn_vision_image(atn_ctx *cx, const atn_model *m, const char *path,
                            float **out)
{
    const atn_config *c = &m->config;
    atn_status st = ATN_OK;
    atn_image im = {0};
    atn_preprocess p;

    *out = NULL;
    ATN_TRY(atn_image_read(cx, path, &im));
    if (im.rgb) {
        ATN_TRY(atn_preprocess_load(cx, m, &p));
        ATN_TRY(atn_preprocess_apply(cx, m, &p, path, &im, out));
        goto done;
    }
    if (im.channels != c->channels || im.height != c->image_h || im.width != c->image_w)
        ATN_FAIL(ATN_DATA,
                 "%s: floats of %lldx%lldx%lld, and the model takes %lldx%lldx%lld "
                 "(floats are not preprocessed; give bytes, or a PNG)",
                 path, (long long)im.channels, (long long)im.height,
                 (long long)im.width, (long long)c->channels, (long long)c->image_h,
                 (long long)c->image_w);
    *out = im.values;
    im.values = NULL;
done:
    atn_image_release(cx, &im);
    return st;
}

/* ---- latents ---- */

/* Numbers between commas, or those of a .npy file. */
static atn_status read_numbers(atn_ctx *cx, const char *option, const char *text,
                               double **out, atn_idx *n)
{
    const size_t length = strlen(text);
    atn_status st = ATN_OK;
    atn_npy a = {0};
    char *copy = NULL, *at, *item;

    *out = NULL;
    *n = 0;
    if (length > 4 && strcmp(text + length - 4, ".npy") == 0) {
        ATN_TRY(atn_npy_load(cx, text, &a));
        ATN_NEW(*out, a.count);
        for (; *n < a.count; (*n)++)
            (*out)[*n] = a.is_float ? (double)a.f32[*n] : (double)a.i64[*n];
        if (a.rank > 1 || *n == 0)
            ATN_FAIL(ATN_DATA, "%s: is no list of numbers (%s)", text, option);
        goto done;
    }
    ATN_NEW(*out, (atn_idx)length + 1);
    copy = atn_strdup(cx, text);
    if (!copy) ATN_FAIL(ATN_MEMORY, "%s: no memory", option);
    at = copy;
    while ((item = strsep(&at, ",")))
        ATN_TRY(atn_parse_f64(cx, option, item, &(*out)[(*n)++]));
done:
    atn_free(cx, copy);
    atn_npy_release(cx, &a);
    if (st != ATN_OK) {
        atn_free(cx, *out);
        *out = NULL;
    }
    return st;
}

static atn_status load_latents(atn_ctx *cx, const atn_config *c, const char *path,
                               atn_npy *out)
{
    atn_status st = ATN_OK;
    const atn_idx *shape = out->shape;

    ATN_TRY(atn_npy_load_floats(cx, path, out));
    shape += out->rank == 4;
    if (out->rank < 3 || out->rank > 4 || out->count == 0 || shape[0] != c->channels ||
        shape[1] != c->image_h || shape[2] != c->image_w)
        ATN_FAIL(ATN_DATA,
                 "%s: latents must have the shape [%lld, %lld, %lld] of the model, or "
                 "that behind an axis of steps",
                 path, (long long)c->channels, (long long)c->image_h,
                 (long long)c->image_w);
    for (atn_idx i = 0; i < out->count; i++)
        if (!isfinite(out->f32[i]))
            ATN_FAIL(ATN_DATA, "%s: value %lld is NaN or infinity", path, (long long)i);
done:
    return st;
}

/* Steps of all three together: those that are not 1 agree. */
static atn_status count_steps(atn_ctx *cx, atn_idx latents, atn_idx times,
                              atn_idx classes, atn_idx *steps)
{
    const atn_idx n = ATN_MAX(latents, ATN_MAX(times, classes));

    *steps = n;
    if ((latents == 1 || latents == n) && (times == 1 || times == n) &&
        (classes == 1 || classes == n))
        return ATN_OK;
    return atn_fail(cx, ATN_USAGE, __FILE__, __LINE__,
                    "%lld latents, %lld timesteps and %lld classes do not fit one "
                    "another (give one for all steps, or as many of each)",
                    (long long)latents, (long long)times, (long long)classes);
}

static atn_status fill_steps(atn_ctx *cx, const atn_npy *a, const double *times,
                             atn_idx n_times, const double *classes, atn_idx n_classes,
                             atn_latents *out)
{
    const atn_idx each = a->rank == 4 ? a->count / a->shape[0] : a->count;
    const bool one = each == a->count;
    atn_status st = ATN_OK;
    atn_idx all = 0;

    if (!atn_mul(out->steps, each, &all))
        ATN_FAIL(ATN_DATA, "%lld steps are too many", (long long)out->steps);
    ATN_TRY(atn_mem_check(cx, 4 * (double)all, "the latents"));
    ATN_NEW(out->values, all);
    ATN_NEW(out->timesteps, out->steps);
    ATN_NEW(out->classes, out->steps);
    for (atn_idx s = 0; s < out->steps; s++) {
        memcpy(out->values + s * each, a->f32 + (one ? 0 : s * each),
               (size_t)each * sizeof(float));
        out->timesteps[s] = (float)times[n_times == 1 ? 0 : s];
        out->classes[s] = (int32_t)classes[n_classes == 1 ? 0 : s];
    }
done:
    return st;
}

static atn_status check_numbers(atn_ctx *cx, const atn_model *m, const double *times,
                                atn_idx n_times, const double *classes,
                                atn_idx n_classes)
{
    const atn_st_tensor *t =
        atn_model_tensor(m, m->config.arch->names.classes, 0, false);
    const atn_idx rows = t->shape[0];

    for (atn_idx i = 0; i < n_times; i++)
        if (!(times[i] >= 0 && times[i] <= 1e6))
            return atn_fail(cx, ATN_USAGE, __FILE__, __LINE__,
                            "--timesteps: %g is outside 0 .. 1000000", times[i]);
    for (atn_idx i = 0; i < n_classes; i++)
        if (!(classes[i] >= 0 && classes[i] < (double)rows) ||
            classes[i] != floor(classes[i]))
            return atn_fail(cx, ATN_USAGE, __FILE__, __LINE__,
                            "--classes: %g is no class of this model, 0 to %lld%s",
                            classes[i], (long long)(rows - 1),
                            rows > m->config.classes ? " (the last is none)" : "");
    return ATN_OK;
}

atn_status atn_vision_latents(atn_ctx *cx, const atn_model *m, const char *latents,
                              const char *timesteps, const char *classes,
                              atn_latents *out)
{
    double *times = NULL, *kinds = NULL;
    atn_idx n_times = 0, n_kinds = 0;
    atn_npy a = {0};
    atn_status st = ATN_OK;

    *out = (atn_latents){0};
    ATN_TRY(read_numbers(cx, "--timesteps", timesteps, &times, &n_times));
    ATN_TRY(read_numbers(cx, "--classes", classes, &kinds, &n_kinds));
    ATN_TRY(check_numbers(cx, m, times, n_times, kinds, n_kinds));
    ATN_TRY(load_latents(cx, &m->config, latents, &a));
    ATN_TRY(
        count_steps(cx, a.rank == 4 ? a.shape[0] : 1, n_times, n_kinds, &out->steps));
    ATN_TRY(fill_steps(cx, &a, times, n_times, kinds, n_kinds, out));
done:
    atn_npy_release(cx, &a);
    atn_free(cx, times);
    atn_free(cx, kinds);
    if (st != ATN_OK) atn_latents_release(cx, out);
    return st;
}

void atn_latents_release(atn_ctx *cx, atn_latents *l)
{
    atn_free(cx, l->values);
    atn_free(cx, l->timesteps);
    atn_free(cx, l->classes);
    *l = (atn_latents){0};
}

/* ---- the manifest ---- */

static json_t *token_texts(const atn_config *c)
{
    static const char *const specials[] = {"[CLS]", "[DIST]"};
    const atn_idx columns = c->image_w / c->patch;
    json_t *texts = json_array();

    for (atn_idx i = 0; i < c->specials; i++)
        json_array_append_new(texts, json_string(specials[i]));
    for (atn_idx i = 0; i < c->max_positions - c->specials; i++)
        json_array_append_new(texts,
                              json_sprintf("(%lld,%lld)", (long long)(i / columns),
                                           (long long)(i % columns)));
    return json_pack("{s:n, s:o}", "ids", "texts", texts);
}

static json_t *input_json(const atn_config *c, const atn_input *in)
{
    const size_t each = (size_t)(c->channels * c->image_h * c->image_w) * sizeof(float);
    const atn_idx steps = ATN_MAX(in->steps, 1);
    json_t *v, *times = json_array(), *classes = json_array();
    char hex[33];

    atn_hash_bytes(in->image ? in->image : in->latents, each * (size_t)steps, hex);
    v = json_pack("{s:s, s:s, s:I, s:I, s:I}", "kind", in->image ? "image" : "latents",
                  "hash", hex, "channels", (json_int_t)c->channels, "height",
                  (json_int_t)c->image_h, "width", (json_int_t)c->image_w);
    for (atn_idx i = 0; i < in->steps; i++) {
        json_array_append_new(times, json_real((double)in->timesteps[i]));
        json_array_append_new(classes, json_integer(in->classes[i]));
    }
    if (v && in->steps > 0) {
        json_object_set(v, "timesteps", times);
        json_object_set(v, "classes", classes);
    }
    json_decref(times);
    json_decref(classes);
    return v;
}

atn_status atn_vision_describe(atn_ctx *cx, const atn_model *m, const atn_input *in,
                               json_t *manifest)
{
    const atn_config *c = &m->config;
    json_t *grid = json_sprintf("%lldx%lld", (long long)(c->image_h / c->patch),
                                (long long)(c->image_w / c->patch));

    if (json_object_set_new(manifest, "tokens", token_texts(c)) == 0 &&
        json_object_set_new(manifest, "grid", grid) == 0 &&
        json_object_set_new(manifest, "grid_first", json_integer(c->specials)) == 0 &&
        json_object_set_new(manifest, "input", input_json(c, in)) == 0)
        return ATN_OK;
    return atn_fail(cx, ATN_MEMORY, __FILE__, __LINE__, "no memory for the manifest");
}
