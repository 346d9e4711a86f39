/* capture/config_rope.c -- the rotary embedding that config.json asks for, see
 * config.h. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include <math.h>
#include <string.h>

#include "capture/config_internal.h"
#include "core/io/json.h"

static const char *const rope_names[] = {"default", "linear",   "dynamic",     "llama3",
                                         "yarn",    "longrope", "proportional"};

const char *atn_rope_name(atn_rope_kind kind)
{
    return rope_names[kind];
}

/* The dictionary in force: rope_scaling replaces rope_parameters where both are
 * there. */
static const json_t *rope_dict(const json_t *j)
{
    const json_t *scaling = json_object_get(j, "rope_scaling");
    const json_t *parameters = json_object_get(j, "rope_parameters");

    return json_is_object(scaling) && json_object_size(scaling) > 0 ? scaling
                                                                    : parameters;
}

/* Both are objects where they are there and not null. */
static atn_status check_dicts(atn_ctx *cx, const char *path, const json_t *j)
{
    static const char *const keys[] = {"rope_scaling", "rope_parameters"};

    for (size_t i = 0; i < ATN_LEN(keys); i++) {
        const json_t *d = json_object_get(j, keys[i]);

        if (d && !json_is_object(d) && !json_is_null(d))
            return atn_fail(cx, ATN_DATA, __FILE__, __LINE__,
                            "%s: \"%s\" must be an object, or null", path, keys[i]);
    }
    return ATN_OK;
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
             "yarn, longrope, proportional",
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
            return atn_fail(cx, ATN_DATA, __FILE__, __LINE__,
                            "%s: longrope needs short_factor and long_factor of %lld "
                            "numbers, one has "
                            "%zu",
                            path, (long long)r->dim / 2, json_array_size(lists[i]));
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

    if (!grows && r->kind != ATN_ROPE_DEFAULT && r->kind != ATN_ROPE_PROPORTIONAL &&
        !json_object_get(d, "factor"))
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
    const struct {
        const char *key;
        double value, above;
    } all[] = {{"rope_theta", r->theta, 0},
               {"factor", r->factor, 0},
               {"original_max_position_embeddings", r->original, 0},
               {"attention_factor", r->attention_factor, -INFINITY},
               {"low_freq_factor", r->low, 0},
               {"high_freq_factor", r->high, r->low},
               {"beta_fast", r->beta_fast, 0},
               {"beta_slow", r->beta_slow, 0}};

    for (size_t i = 0; i < ATN_LEN(all); i++)
        if (!(all[i].value > all[i].above && isfinite(all[i].value)))
            return atn_fail(cx, ATN_DATA, __FILE__, __LINE__,
                            "%s: \"%s\" of the rotary embedding is %g; wanted a number "
                            "above %g",
                            path, all[i].key, all[i].value, all[i].above);
    return ATN_OK;
}

/* A table of angles: its dictionary, and what stands in for a theta that it lacks. */
typedef struct source {
    const json_t *d;
    const char *theta_key;
    double theta;
} source;

static atn_status rope_proportion(atn_ctx *cx, const char *path, double partial,
                                  atn_rope *r)
{
    if (!(partial > 0 && partial <= 1))
        return atn_fail(cx, ATN_DATA, __FILE__, __LINE__,
                        "%s: partial_rotary_factor is %g, outside 0 < factor <= 1",
                        path, partial);
    r->turned = (atn_idx)(partial * (double)r->dim / 2);
    return ATN_OK;
}

/* theta, and how much of a head is turned. In families without a key for it that is
 * all: transformers ignores partial_rotary_factor there without a scaling, and fails
 * on it with one. */
static atn_status rope_base(atn_ctx *cx, const char *path, const atn_config *c,
                            const source *s, atn_rope *r)
{
    const atn_arch *a = c->arch;
    const json_t *d = s->d;
    const char *part = a->keys.partial ? a->keys.partial : "partial_rotary_factor";
    double partial = a->partial > 0 ? a->partial : 1;
    atn_status st = ATN_OK;

    ATN_TRY(atn_json_get_f64(cx, path, c->json, s->theta_key, s->theta, &r->theta));
    ATN_TRY(atn_json_get_f64(cx, path, d, "rope_theta", r->theta, &r->theta));
    ATN_TRY(atn_json_get_f64(cx, path, c->json, part, partial, &partial));
    ATN_TRY(atn_json_get_f64(cx, path, d, "partial_rotary_factor", partial, &partial));
    r->dim = c->head_dim;
    if (r->kind == ATN_ROPE_PROPORTIONAL) {
        ATN_TRY(rope_proportion(cx, path, partial, r));
    } else if (a->keys.partial) {
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
static atn_status rope_original(atn_ctx *cx, const char *path, const atn_config *c,
                                const json_t *d, atn_rope *r)
{
    double inside = c->arch->original_positions;
    atn_status st = ATN_OK;

    if (inside == 0)
        ATN_TRY(atn_json_get_f64(cx, path, d, "original_max_position_embeddings",
                                 (double)c->max_positions, &inside));
    ATN_TRY(atn_json_get_f64(cx, path, c->json, "original_max_position_embeddings",
                             inside, &r->original));
done:
    return st;
}

static atn_status read_table(atn_ctx *cx, const char *path, const atn_config *c,
                             const source *s, atn_rope *r)
{
    const json_t *d = s->d;
    atn_status st = ATN_OK;

    ATN_TRY(rope_kind(cx, path, d, c->arch, r));
    ATN_TRY(rope_base(cx, path, c, s, r));
    ATN_TRY(rope_original(cx, path, c, d, r));
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

static const char *const layer_types[] = {"full_attention", "sliding_attention"};

/* rope_parameters by layer type, for a family with a table each: an entry that is not
 * there is {}, and an old rope_scaling goes into that of the full layers. */
static atn_status split_tables(atn_ctx *cx, const char *path, json_t *j,
                               const json_t *out[2])
{
    json_t *all = json_object_get(j, "rope_parameters"), *one;
    const json_t *scaling = json_object_get(j, "rope_scaling");

    if (!json_is_object(all)) json_object_set_new(j, "rope_parameters", json_object());
    all = json_object_get(j, "rope_parameters");
    if (json_object_size(all) > 0 &&
        !json_is_object(json_object_get(all, layer_types[0])) &&
        !json_is_object(json_object_get(all, layer_types[1])))
        return atn_fail(cx, ATN_DATA, __FILE__, __LINE__,
                        "%s: rope_parameters has neither a full_attention nor a "
                        "sliding_attention, which this model_type needs",
                        path);
    for (int i = 0; i < 2; i++) {
        if (!json_is_object(json_object_get(all, layer_types[i])))
            json_object_set_new(all, layer_types[i], json_object());
        out[i] = one = json_object_get(all, layer_types[i]);
        if (i > 0 || !json_is_object(scaling)) continue;
        /* "type" is the old name of what stands there as rope_type */
        if (json_object_get(scaling, "type")) json_object_del(one, "rope_type");
        json_object_update(one, (json_t *)(uintptr_t)scaling);
    }
    if (out[0] && out[1]) return ATN_OK;
    return atn_fail(cx, ATN_MEMORY, __FILE__, __LINE__,
                    "no memory for the rope tables");
}

static atn_status one_table(atn_ctx *cx, const char *path, const json_t *d)
{
    for (int i = 0; i < 2; i++)
        if (json_is_object(json_object_get(d, layer_types[i])))
            return atn_fail(cx, ATN_DATA, __FILE__, __LINE__,
                            "%s: the rope parameters are given by layer type (%s), but "
                            "all layers of this model_type share one table",
                            path, layer_types[i]);
    return ATN_OK;
}

atn_status atn_config_read_rope(atn_ctx *cx, const char *path, atn_config *c)
{
    const atn_arch *a = c->arch;
    source s = {.theta_key = a->keys.theta ? a->keys.theta : "rope_theta",
                .theta = a->theta > 0 ? a->theta : 10000};
    const json_t *tables[2], *parameters = json_object_get(c->json, "rope_parameters");
    atn_status st = ATN_OK;

    if (!a->rope) return ATN_OK;
    if (a->rope_default && (!parameters || json_is_null(parameters)))
        json_object_set_new(c->json, "rope_parameters",
                            json_loads(a->rope_default, 0, NULL));
    ATN_TRY(check_dicts(cx, path, c->json));
    c->two_ropes = a->local_theta > 0;
    if (!c->two_ropes) {
        s.d = rope_dict(c->json);
        ATN_TRY(one_table(cx, path, s.d));
        return read_table(cx, path, c, &s, &c->rope);
    }
    ATN_TRY(split_tables(cx, path, c->json, tables));
    s.d = tables[0];
    ATN_TRY(read_table(cx, path, c, &s, &c->rope));
    s = (source){tables[1], "rope_local_base_freq", a->local_theta};
    ATN_TRY(read_table(cx, path, c, &s, &c->local_rope));
done:
    return st;
}
