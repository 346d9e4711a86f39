/* capture/config_rope.c -- the rotary embedding that config.json asks for, see config.h. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include <math.h>
#include <string.h>

#include "capture/config_internal.h"
#include "core/io/json.h"

static const char *const rope_names[] = {"default", "linear", "dynamic",
                                         "llama3",  "yarn",   "longrope"};

const char *atn_rope_name(atn_rope_kind kind)
{
    return rope_names[kind];
}

/* The dictionary in force: rope_scaling replaces rope_parameters where both are there. */
static const json_t *rope_dict(const json_t *j)
{
    const json_t *scaling = json_object_get(j, "rope_scaling");
    const json_t *parameters = json_object_get(j, "rope_parameters");

    return json_is_object(scaling) && json_object_size(scaling) > 0 ? scaling
                                                                    : parameters;
}

static atn_status rope_kind(atn_ctx *cx, const char *path, const json_t *d,
                            const atn_arch *a, atn_rope *r)
{
    const char *type = NULL;
    atn_status st = ATN_OK;

    ATN_TRY(atn_json_get_str(cx, path, d, "type", "default", &type));
    ATN_TRY(atn_json_get_str(cx, path, d, "rope_type", type, &type));
    if (strcmp(type, "su") == 0) type = "longrope";
    if (a->longrope_only && strcmp(type, "yarn") == 0) type = "longrope";
    if (a->longrope_only && strcmp(type, "default") != 0 &&
        strcmp(type, "longrope") != 0)
        ATN_FAIL(ATN_DATA,
                 "%s: rope type \"%.60s\" is not one of default, longrope, su, yarn, "
                 "which are those of model_type %s",
                 path, type, a->id);
    for (size_t i = 0; i < ATN_LEN(rope_names); i++)
        if (strcmp(rope_names[i], type) == 0) {
            r->kind = (atn_rope_kind)i;
            return ATN_OK;
        }
    ATN_FAIL(ATN_DATA,
             "%s: rope type \"%.60s\" is not one of default, linear, dynamic, llama3, "
             "yarn, longrope",
             path, type);
done:
    return st;
}

static double yarn_scale(double factor, double m)
{
    return factor <= 1 ? 1 : 0.1 * m * log(factor) + 1;
}

static atn_status rope_attention_factor(atn_ctx *cx, const char *path, const json_t *d,
                                        atn_rope *r)
{
    double mscale = 0, all = 0, automatic = 1;
    atn_status st = ATN_OK;

    ATN_TRY(atn_json_get_f64(cx, path, d, "mscale", 0, &mscale));
    ATN_TRY(atn_json_get_f64(cx, path, d, "mscale_all_dim", 0, &all));
    if (r->kind == ATN_ROPE_YARN)
        automatic = mscale != 0 && all != 0
                        ? yarn_scale(r->factor, mscale) / yarn_scale(r->factor, all)
                        : yarn_scale(r->factor, 1);
    if (r->kind == ATN_ROPE_LONGROPE && r->factor > 1)
        automatic = sqrt(1 + log(r->factor) / log(r->original));
    ATN_TRY(atn_json_get_f64(cx, path, d, "attention_factor", automatic,
                             &r->attention_factor));
    if (r->kind != ATN_ROPE_YARN && r->kind != ATN_ROPE_LONGROPE)
        r->attention_factor = 1;
done:
    return st;
}

static bool all_positive(const json_t *list)
{
    for (size_t i = 0; i < json_array_size(list); i++)
        if (!(json_number_value(json_array_get(list, i)) > 0)) return false;
    return true;
}

static atn_status longrope_lists(atn_ctx *cx, const char *path, const json_t *d,
                                 atn_rope *r)
{
    const json_t *lists[] = {json_object_get(d, "short_factor"),
                             json_object_get(d, "long_factor")};

    for (int i = 0; i < 2; i++) {
        if ((atn_idx)json_array_size(lists[i]) != r->dim / 2)
            return atn_fail(
                cx, ATN_DATA, __FILE__, __LINE__,
                "%s: longrope needs short_factor and long_factor of %lld numbers", path,
                (long long)r->dim / 2);
        if (!all_positive(lists[i]))
            return atn_fail(cx, ATN_DATA, __FILE__, __LINE__,
                            "%s: a longrope factor is no positive number", path);
    }
    r->short_factor = lists[0];
    r->long_factor = lists[1];
    return ATN_OK;
}

/* Only yarn and longrope have a factor to fall back on: the growth of the positions. */
static atn_status rope_factor(atn_ctx *cx, const char *path, const json_t *d,
                              double positions, atn_rope *r)
{
    const bool grows = r->kind == ATN_ROPE_YARN || r->kind == ATN_ROPE_LONGROPE;
    const double ratio = grows ? positions / r->original : 1;
    atn_status st = ATN_OK;

    if (!grows && r->kind != ATN_ROPE_DEFAULT && !json_object_get(d, "factor"))
        ATN_FAIL(ATN_DATA, "%s: this rope type needs a \"factor\"", path);
    ATN_TRY(atn_json_get_f64(cx, path, d, "factor", ratio, &r->factor));
    if (grows && fabs(r->factor - ratio) > 1e-6 * ratio)
        atn_log(cx, ATN_LOG_WARN,
                "%s: the rope factor %g is not the growth of the positions, %g; the "
                "factor is obeyed",
                path, r->factor, ratio);
done:
    return st;
}

static atn_status check_rope(atn_ctx *cx, const char *path, const atn_rope *r)
{
    if (r->theta > 0 && isfinite(r->theta) && r->factor > 0 && isfinite(r->factor) &&
        r->original > 0 && isfinite(r->attention_factor) && r->high > r->low &&
        r->low > 0 && r->beta_fast > 0 && r->beta_slow > 0)
        return ATN_OK;
    return atn_fail(cx, ATN_DATA, __FILE__, __LINE__,
                    "%s: the rope parameters are out of range (theta %g, factor %g, "
                    "low/high frequency factors %g %g)",
                    path, r->theta, r->factor, r->low, r->high);
}

/* theta, and how much of a head is turned. In families without a key for it that is all:
 * transformers ignores partial_rotary_factor there without a scaling, and fails on it with
 * one. */
static atn_status rope_base(atn_ctx *cx, const char *path, const json_t *d,
                            atn_config *c)
{
    const atn_arch *a = c->arch;
    const char *theta = a->keys.theta ? a->keys.theta : "rope_theta",
               *part = a->keys.partial ? a->keys.partial : "partial_rotary_factor";
    atn_rope *r = &c->rope;
    double partial = a->partial > 0 ? a->partial : 1;
    atn_status st = ATN_OK;

    ATN_TRY(atn_json_get_f64(cx, path, c->json, theta, 10000, &r->theta));
    ATN_TRY(atn_json_get_f64(cx, path, d, "rope_theta", r->theta, &r->theta));
    ATN_TRY(atn_json_get_f64(cx, path, c->json, part, partial, &partial));
    ATN_TRY(atn_json_get_f64(cx, path, d, "partial_rotary_factor", partial, &partial));
    r->dim = c->head_dim;
    if (a->keys.partial) {
        if (!(partial * (double)c->head_dim >= 2 && partial <= 1))
            ATN_FAIL(ATN_DATA,
                     "%s: %s is %g; of a head of %lld dimensions at least 2 and at "
                     "most all are turned",
                     path, part, partial, (long long)c->head_dim);
        r->dim = (atn_idx)((double)c->head_dim * partial);
    } else if (partial != 1 && r->kind != ATN_ROPE_DEFAULT) {
        ATN_FAIL(ATN_DATA,
                 "%s: partial_rotary_factor is %g, but a scaled rotary embedding of "
                 "model_type %s turns whole heads (leave the key out, or set it to 1)",
                 path, partial, c->arch->id);
    }
    if (r->dim % 2 != 0)
        ATN_FAIL(ATN_DATA, "%s: the rotary dimension %lld is odd", path,
                 (long long)r->dim);
done:
    return st;
}

/* Where the family has a default, what stands in the dictionary counts for nothing. */
static atn_status rope_original(atn_ctx *cx, const char *path, const json_t *d,
                                atn_config *c)
{
    double inside = c->arch->original_positions;
    atn_status st = ATN_OK;

    if (inside == 0)
        ATN_TRY(atn_json_get_f64(cx, path, d, "original_max_position_embeddings",
                                 (double)c->max_positions, &inside));
    ATN_TRY(atn_json_get_f64(cx, path, c->json, "original_max_position_embeddings",
                             inside, &c->rope.original));
done:
    return st;
}

atn_status atn_config_read_rope(atn_ctx *cx, const char *path, atn_config *c)
{
    const json_t *d = rope_dict(c->json);
    atn_rope *r = &c->rope;
    atn_status st = ATN_OK;

    if (!c->arch->rope) return ATN_OK;
    ATN_TRY(rope_kind(cx, path, d, c->arch, r));
    ATN_TRY(rope_base(cx, path, d, c));
    ATN_TRY(rope_original(cx, path, d, c));
    ATN_TRY(rope_factor(cx, path, d, (double)c->max_positions, r));
    ATN_TRY(atn_json_get_f64(cx, path, d, "low_freq_factor", 1, &r->low));
    ATN_TRY(atn_json_get_f64(cx, path, d, "high_freq_factor", 4, &r->high));
    ATN_TRY(atn_json_get_f64(cx, path, d, "beta_fast", 32, &r->beta_fast));
    ATN_TRY(atn_json_get_f64(cx, path, d, "beta_slow", 1, &r->beta_slow));
    if (r->beta_fast == 0) r->beta_fast = 32;
    if (r->beta_slow == 0) r->beta_slow = 1;
    ATN_TRY(atn_json_get_bool(cx, path, d, "truncate", true, &r->truncate));
    ATN_TRY(rope_attention_factor(cx, path, d, r));
    ATN_TRY(check_rope(cx, path, r));
    if (r->kind == ATN_ROPE_LONGROPE) ATN_TRY(longrope_lists(cx, path, d, r));
done:
    return st;
}
