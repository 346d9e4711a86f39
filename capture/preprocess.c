/* capture/preprocess.c -- reads and applies preprocessor_config.json, see the header. */
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

/* {"height", "width"}, or one number for both sides; {"shortest_edge"} gives height 0. */
static atn_status read_size(atn_ctx *cx, const char *path, const json_t *j,
                            const char *key, bool edge, atn_idx *height, atn_idx *width)
{
    const json_t *v = json_object_get(j, key);
    atn_status st = ATN_OK;

    if (!v || json_is_null(v)) return ATN_OK;
    if (json_is_integer(v)) {
        ATN_TRY(atn_json_need_i64(cx, path, j, key, 1, SIDE_MOST, width));
        *height = *width;
    } else if (edge && json_object_get(v, "shortest_edge")) {
        const json_t *longest = json_object_get(v, "longest_edge");

        if (longest && !json_is_null(longest))
            ATN_FAIL(ATN_DATA, "%s: %s.longest_edge is not supported", path, key);
        ATN_TRY(atn_json_need_i64(cx, path, v, "shortest_edge", 1, SIDE_MOST, width));
        *height = 0;
    } else {
        if (!json_is_object(v))
            ATN_FAIL(ATN_DATA, "%s: \"%s\" is neither a number nor height and width",
                     path, key);
        ATN_TRY(atn_json_need_i64(cx, path, v, "height", 1, SIDE_MOST, height));
        ATN_TRY(atn_json_need_i64(cx, path, v, "width", 1, SIDE_MOST, width));
    }
done:
    return st;
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
    int64_t filter = p->filter;
    atn_status st = ATN_OK;

    if (!json_is_object(j)) ATN_FAIL(ATN_DATA, "%s: is no JSON object", path);
    ATN_TRY(atn_json_get_bool(cx, path, j, "do_resize", p->resize, &p->resize));
    ATN_TRY(atn_json_get_bool(cx, path, j, "do_center_crop", p->crop, &p->crop));
    ATN_TRY(atn_json_get_bool(cx, path, j, "do_rescale", p->rescale, &p->rescale));
    ATN_TRY(
        atn_json_get_bool(cx, path, j, "do_normalize", p->normalize, &p->normalize));
    ATN_TRY(read_size(cx, path, j, "size", true, &p->height, &p->width));
    ATN_TRY(
        read_size(cx, path, j, "crop_size", false, &p->crop_height, &p->crop_width));
    ATN_TRY(atn_json_get_i64(cx, path, j, "resample", filter, ATN_FILTER_NEAREST,
                             ATN_FILTER_HAMMING, &filter));
    p->filter = (atn_filter)filter;
    ATN_TRY(atn_json_get_f64(cx, path, j, "rescale_factor", p->factor, &p->factor));
    if (!isfinite(p->factor))
        ATN_FAIL(ATN_DATA, "%s: \"rescale_factor\" is not finite", path);
    ATN_TRY(read_three(cx, path, j, "image_mean", -INFINITY, p->mean));
    ATN_TRY(read_three(cx, path, j, "image_std", 1e-30, p->std));
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

/* The size that `from` is resized to. */
static void target_size(const atn_preprocess *p, const atn_image *from, atn_idx *height,
                        atn_idx *width)
{
    const double h = (double)from->height, w = (double)from->width,
                 edge = (double)p->width;

    *height = p->height;
    *width = p->width;
    if (p->height > 0) return;
    if (h < w) *height = p->width;
    if (h < w) *width = (atn_idx)(edge * w / h);
    if (h >= w) *height = (atn_idx)(edge * h / w);
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
