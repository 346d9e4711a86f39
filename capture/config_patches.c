/* capture/config_patches.c -- size, patches, classes of a model of images or latents.
 * What is left of a side behind the last whole patch is not seen (so transformers). */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "capture/config_internal.h"
#include "core/io/json.h"

static const int64_t BIG = 2147483647;

static const char *or_usual(const char *key, const char *usual)
{
    return key ? key : usual;
}

/* An integer, both sides, or [height, width]. */
static atn_status read_sides(atn_ctx *cx, const char *path, const atn_config *c,
                             const char *key, int64_t def, atn_idx side[2])
{
    const json_t *v = json_object_get(c->json, key);
    atn_status st = ATN_OK;

    if (!json_is_array(v)) {
        ATN_TRY(atn_json_get_i64(cx, path, c->json, key, def, 1, BIG, &side[0]));
        side[1] = side[0];
        return ATN_OK;
    }
    for (size_t i = 0; i < 2; i++) {
        const json_t *s = json_array_get(v, i);

        side[i] = json_is_integer(s) ? json_integer_value(s) : 0;
    }
    if (json_array_size(v) != 2 || side[0] < 1 || side[1] < 1 || side[0] > BIG ||
        side[1] > BIG)
        ATN_FAIL(ATN_DATA, "%s: \"%s\" is neither a whole number nor two of them", path,
                 key);
done:
    return st;
}

atn_status atn_config_read_patches(atn_ctx *cx, const char *path, atn_config *c)
{
    const atn_arch *a = c->arch;
    const char *image = or_usual(a->keys.image, "image_size");
    const char *channels = or_usual(a->keys.channels, "num_channels");
    const char *classes = or_usual(a->keys.classes, "num_classes");
    atn_idx side[2] = {0, 0}, patch[2] = {0, 0}, n = 0;
    atn_status st = ATN_OK;

    if (a->input == ATN_INPUT_TOKENS) return ATN_OK;
    ATN_TRY(read_sides(cx, path, c, image, a->image_size, side));
    ATN_TRY(read_sides(cx, path, c, "patch_size", a->patch_size, patch));
    ATN_TRY(atn_json_get_i64(cx, path, c->json, channels, a->channels, 1, 4096,
                             &c->channels));
    ATN_TRY(
        atn_json_get_i64(cx, path, c->json, classes, a->classes, 1, BIG, &c->classes));
    if (patch[0] != patch[1])
        ATN_FAIL(ATN_DATA, "%s: \"patch_size\": patches of %lldx%lld are not square",
                 path, (long long)patch[0], (long long)patch[1]);
    if (side[0] < patch[0] || side[1] < patch[0])
        ATN_FAIL(ATN_DATA, "%s: %s %lldx%lld is smaller than patch_size %lld", path,
                 image, (long long)side[0], (long long)side[1], (long long)patch[0]);
    c->image_h = side[0];
    c->image_w = side[1];
    c->patch = patch[0];
    c->specials = !!a->names.special[0] + !!a->names.special[1];
    if (!atn_mul(side[0] / patch[0], side[1] / patch[0], &n) || n > BIG - 2)
        ATN_FAIL(ATN_DATA, "%s: %s %lldx%lld makes too many patches", path, image,
                 (long long)side[0], (long long)side[1]);
    c->max_positions = c->specials + n;
done:
    return st;
}
