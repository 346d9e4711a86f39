/* capture/preprocess.c -- reads and applies preprocessor_config.json, see the
 * header. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "capture/preprocess.h"

#include <math.h>

#include "capture/image_internal.h"
#include "core/io/file.h"
#include "core/io/json.h"

enum { SIDE_MOST = 1 << 16 };

static void family_defaults(const atn_config *c, atn_preprocess *p)
{
    const atn_arch_image *a = &c->arch->image;

    *p = (atn_preprocess){.resize = true,
                          .crop = a->resize != 1,
                          .rescale = true,
                          .normalize = true,
                          .height = (atn_idx)lrint((double)c->image_h * a->resize),
                          .width = (atn_idx)lrint((double)c->image_w * a->resize),
                          .crop_height = c->image_h,
                          .crop_width = c->image_w,
                          .filter = (atn_filter)a->resample,
                          .factor = 1.0 / 255,
                          .mean = {0.5, 0.5, 0.5},
                          .std = {0.5, 0.5, 0.5}};
}

static const json_t *given(const json_t *j, const char *key)
{
    const json_t *v = json_object_get(j, key);

    return v && !json_is_null(v) ? v : NULL;
}

/* One side of "size" or "crop_size". */
static atn_status read_side(atn_ctx *cx, const char *path, const char *key,
                            const json_t *v, const char *side, atn_idx *out)
{
    *out = json_integer_value(v);
    if (json_is_integer(v) && *out >= 1 && *out <= SIDE_MOST) return ATN_OK;
    return atn_fail(cx, ATN_DATA, __FILE__, __LINE__,
                    "%s: %s: \"%s\" is no whole number from 1 to %d", path, key, side,
                    (int)SIDE_MOST);
}

/* Two sides, named or in a list of height and width. */
static atn_status read_sides(atn_ctx *cx, const char *path, const char *key,
                             const json_t *v, const char *const names[2],
                             atn_idx *height, atn_idx *width)
{
    const bool list = json_is_array(v);
    atn_status st = ATN_OK;

    ATN_TRY(read_side(cx, path, key,
                      list ? json_array_get(v, 0) : json_object_get(v, names[0]),
                      names[0], height));
    ATN_TRY(read_side(cx, path, key,
                      list ? json_array_get(v, 1) : json_object_get(v, names[1]),
                      names[1], width));
done:
    return st;
}

static const char *const SIDES[] = {"height", "width"};
static const char *const MOST[] = {"max_height", "max_width"};

static atn_status bad_size(atn_ctx *cx, const char *path, const char *key,
                           const char *forms)
{
    return atn_fail(cx, ATN_DATA, __FILE__, __LINE__,
                    "%s: \"%s\" is none of: a whole number, [height, width], "
                    "{\"height\", \"width\"}%s",
                    path, key, forms);
}

/* The forms of transformers, the first of them that is there as it does. */
static atn_status read_size(atn_ctx *cx, const char *path, const json_t *j,
                            atn_preprocess *p)
{
    const json_t *v = given(j, "size"), *edge = given(v, "shortest_edge"),
                 *longest = given(v, "longest_edge");
    atn_status st = ATN_OK;

    if (!v) return ATN_OK;
    if (json_is_integer(v)) {
        ATN_TRY(read_side(cx, path, "size", v, "size", &p->width));
        p->height = p->width;
    } else if (json_is_array(v) && json_array_size(v) == 2) {
        ATN_TRY(read_sides(cx, path, "size", v, SIDES, &p->height, &p->width));
    } else if (edge) {
        ATN_TRY(read_side(cx, path, "size", edge, "shortest_edge", &p->width));
        p->height = 0;
        if (longest)
            ATN_TRY(read_side(cx, path, "size", longest, "longest_edge", &p->longest));
    } else if (given(v, "max_height") && given(v, "max_width")) {
        ATN_TRY(read_sides(cx, path, "size", v, MOST, &p->height, &p->width));
        p->within = true;
    } else if (given(v, "height") || given(v, "width")) {
        ATN_TRY(read_sides(cx, path, "size", v, SIDES, &p->height, &p->width));
    } else {
        ATN_TRY(bad_size(cx, path, "size",
                         ", {\"shortest_edge\"} with or without \"longest_edge\", "
                         "{\"max_height\", \"max_width\"}"));
    }
done:
    return st;
}

static atn_status read_crop(atn_ctx *cx, const char *path, const json_t *j,
                            atn_preprocess *p)
{
    const json_t *v = given(j, "crop_size");
    atn_status st = ATN_OK;

    if (!v) return ATN_OK;
    if (json_is_integer(v)) {
        ATN_TRY(read_side(cx, path, "crop_size", v, "crop_size", &p->crop_width));
        p->crop_height = p->crop_width;
    } else if (json_is_object(v) || (json_is_array(v) && json_array_size(v) == 2)) {
        ATN_TRY(read_sides(cx, path, "crop_size", v, SIDES, &p->crop_height,
                           &p->crop_width));
    } else {
        ATN_TRY(bad_size(cx, path, "crop_size", ""));
    }
done:
    return st;
}

static atn_status read_filter(atn_ctx *cx, const char *path, const json_t *j,
                              atn_filter *out)
{
    const char *name = json_string_value(json_object_get(j, "resample"));
    int64_t filter = *out;
    atn_status st = ATN_OK;

    if (name)
        ATN_FAIL(ATN_DATA,
                 "%s: \"resample\" is \"%.40s\"; only its number is read: 0 nearest, 1 "
                 "Lanczos, 2 bilinear, 3 bicubic, 4 box, 5 Hamming",
                 path, name);
    ATN_TRY(atn_json_get_i64(cx, path, j, "resample", filter, ATN_FILTER_NEAREST,
                             ATN_FILTER_HAMMING, &filter));
    *out = (atn_filter)filter;
done:
    return st;
}

/* transformers has sizes of its own for a file without them, whatever the model. */
static void note_absent(atn_ctx *cx, const char *path, const json_t *j,
                        const atn_preprocess *p)
{
    if (p->resize && !given(j, "size"))
        atn_log(cx, ATN_LOG_INFO,
                "%s: no \"size\"; resized to %lldx%lld, of config.json", path,
                (long long)p->height, (long long)p->width);
    if (p->crop && !given(j, "crop_size"))
        atn_log(cx, ATN_LOG_INFO,
                "%s: no \"crop_size\"; cut to %lldx%lld, of config.json", path,
                (long long)p->crop_height, (long long)p->crop_width);
}

/* Three numbers, or one for all channels. */
static atn_status read_three(atn_ctx *cx, const char *path, const json_t *j,
                             const char *key, double least, double out[3])
{
    const json_t *v = json_object_get(j, key);

    if (!v || json_is_null(v)) return ATN_OK;
    for (size_t i = 0; i < 3; i++) {
        const json_t *x = json_is_array(v) ? json_array_get(v, i) : v;

        out[i] = json_is_number(x) ? json_number_value(x) : NAN;
        if ((json_is_array(v) && json_array_size(v) != 3) || !isfinite(out[i]) ||
            out[i] < least)
            return atn_fail(cx, ATN_DATA, __FILE__, __LINE__,
                            "%s: \"%s\" is not three numbers%s", path, key,
                            least > 0 ? " above 0" : "");
    }
    return ATN_OK;
}

static atn_status read_file(atn_ctx *cx, const char *path, const json_t *j,
                            atn_preprocess *p)
{
    atn_status st = ATN_OK;

    if (!json_is_object(j)) ATN_FAIL(ATN_DATA, "%s: is no JSON object", path);
    ATN_TRY(atn_json_get_bool(cx, path, j, "do_resize", p->resize, &p->resize));
    ATN_TRY(atn_json_get_bool(cx, path, j, "do_center_crop", p->crop, &p->crop));
    ATN_TRY(atn_json_get_bool(cx, path, j, "do_rescale", p->rescale, &p->rescale));
    ATN_TRY(
        atn_json_get_bool(cx, path, j, "do_normalize", p->normalize, &p->normalize));
    ATN_TRY(read_size(cx, path, j, p));
    ATN_TRY(read_crop(cx, path, j, p));
    ATN_TRY(read_filter(cx, path, j, &p->filter));
    ATN_TRY(atn_json_get_f64(cx, path, j, "rescale_factor", p->factor, &p->factor));
    if (!isfinite(p->factor))
        ATN_FAIL(ATN_DATA, "%s: \"rescale_factor\" is not finite", path);
    ATN_TRY(read_three(cx, path, j, "image_mean", -INFINITY, p->mean));
    ATN_TRY(read_three(cx, path, j, "image_std", 1e-30, p->std));
    note_absent(cx, path, j, p);
done:
    return st;
}

atn_status atn_preprocess_load(atn_ctx *cx, const atn_model *m, atn_preprocess *out)
{
    char *path = atn_path_join(cx, m->dir, "preprocessor_config.json");
    atn_status st = ATN_OK;
    json_t *j = NULL;

    family_defaults(&m->config, out);
    if (!path) return cx->err.code;
    if (atn_file_exists(path)) {
        ATN_TRY(atn_json_load(cx, path, false, &j));
        ATN_TRY(read_file(cx, path, j, out));
    } else {
        atn_log(
            cx, ATN_LOG_INFO,
            "%s: no preprocessor_config.json; the defaults of %s: %lldx%lld, resample "
            "%d%s, mean and std 0.5",
            m->dir, m->config.arch->id, (long long)out->height, (long long)out->width,
            (int)out->filter, out->crop ? ", then the centre" : "");
    }
done:
    json_decref(j);
    atn_free(cx, path);
    return st;
}

/* The shorter side becomes p->width, less where the longer one would pass
 * p->longest. */
static void edge_size(const atn_preprocess *p, const atn_image *from, atn_idx *height,
                      atn_idx *width)
{
    const double h = (double)from->height, w = (double)from->width;
    double edge = (double)p->width;
    atn_idx side = p->width, other;

    if (p->longest > 0 && fmax(h, w) / fmin(h, w) * edge > (double)p->longest) {
        edge = (double)p->longest * fmin(h, w) / fmax(h, w);
        side = (atn_idx)nearbyint(edge);
    }
    other = (atn_idx)(h < w ? edge * w / h : edge * h / w);
    if (p->longest > 0 && side == ATN_MIN(from->height, from->width))
        other = ATN_MAX(from->height, from->width);
    *height = h < w ? side : other;
    *width = h < w ? other : side;
}

/* The size that `from` is resized to. */
static void target_size(const atn_preprocess *p, const atn_image *from, atn_idx *height,
                        atn_idx *width)
{
    const double h = (double)from->height, w = (double)from->width;

    *height = p->height;
    *width = p->width;
    if (p->within) {
        const double scale = fmin((double)p->height / h, (double)p->width / w);

        *height = (atn_idx)(h * scale);
        *width = (atn_idx)(w * scale);
    } else if (p->height == 0) {
        edge_size(p, from, height, width);
    }
}

static atn_status wrong_size(atn_ctx *cx, const atn_model *m, const char *path,
                             atn_idx height, atn_idx width)
{
    const atn_config *c = &m->config;

    return atn_fail(
        cx, ATN_DATA, __FILE__, __LINE__,
        "%s: becomes %lldx%lld, and the model has positions for %lldx%lld, "
        "which are not interpolated (%s/preprocessor_config.json: set size or "
        "crop_size to that, do_resize or do_center_crop to true)",
        path, (long long)height, (long long)width, (long long)c->image_h,
        (long long)c->image_w, m->dir);
}

/* The planes of `from`, of the part of height x width in its middle. */
static void to_planes(const atn_preprocess *p, const atn_image *from, atn_idx height,
                      atn_idx width, float *out)
{
    const atn_idx top = (from->height - height) >> 1, left = (from->width - width) >> 1;

    for (int c = 0; c < 3; c++)
        for (atn_idx i = 0; i < height; i++)
            for (atn_idx j = 0; j < width; j++) {
                const atn_idx y = i + top, x = j + left;
                const bool in = y >= 0 && y < from->height && x >= 0 && x < from->width;
                float v = in ? from->rgb[3 * (y * from->width + x) + c] : 0;

                if (p->rescale) v = (float)((double)v * p->factor);
                if (p->normalize) v = (v - (float)p->mean[c]) / (float)p->std[c];
                *out++ = v;
            }
}

atn_status atn_preprocess_apply(atn_ctx *cx, const atn_model *m,
                                const atn_preprocess *p, const char *path,
                                const atn_image *from, float **out)
{
    const atn_config *c = &m->config;
    atn_image resized = {0};
    const atn_image *at = from;
    atn_idx height, width;
    atn_status st = ATN_OK;

    *out = NULL;
    ATN_ASSERT(from->rgb != NULL);
    if (c->channels != 3)
        ATN_FAIL(
            ATN_DATA,
            "%s: the model takes %lld channels; give it as a .npy file of [%lld, H, "
            "W] floats",
            path, (long long)c->channels, (long long)c->channels);
    if (p->resize) {
        target_size(p, from, &height, &width);
        if (p->filter != ATN_FILTER_NEAREST &&
            atn_image_rows_first(from, height, width))
            atn_log(cx, ATN_LOG_INFO,
                    "%s: resized as Pillow up to 12 does; Pillow 13 takes the rows "
                    "first at this size, and some pixels come out a little different",
                    path);
        ATN_TRY(atn_image_resize(cx, from, height, width, p->filter, &resized));
        at = &resized;
    }
    height = p->crop ? p->crop_height : at->height;
    width = p->crop ? p->crop_width : at->width;
    if (height != c->image_h || width != c->image_w)
        ATN_TRY(wrong_size(cx, m, path, height, width));
    ATN_TRY(atn_mem_check(cx, 12.0 * (double)height * (double)width, "the image"));
    ATN_NEW(*out, 3 * height * width);
    to_planes(p, at, height, width, *out);
done:
    atn_image_release(cx, &resized);
    return st;
}
