/* capture/doctor_planes.c -- the image or the latents of a reference dump, see doctor.h. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include <math.h>
#include <string.h>

#include "capture/doctor_internal.h"

/* Floats of a tensor of `count` numbers, or, with count 0, of any. */
static atn_status take_floats(atn_ctx *cx, const atn_st *dump, const char *name,
                              atn_idx count, float **out, atn_idx *n)
{
    const atn_st_tensor *t = atn_st_find(dump, name);
    atn_status st = ATN_OK;

    if (!t)
        ATN_FAIL(ATN_USAGE,
                 "doctor: the dump has no tensor \"%s\", which a model of this kind "
                 "reads",
                 name);
    if (!t->loadable || t->type == ATN_I32 || t->type == ATN_I64 || t->type == ATN_U8 ||
        t->count < 1 || t->count % ATN_MAX(count, 1) != 0)
        ATN_FAIL(ATN_DATA, "%s: tensor \"%s\" is %s of %lld; wanted floats, %lld each",
                 t->path, name, t->dtype, (long long)t->count,
                 (long long)ATN_MAX(count, 1));
    ATN_TRY(atn_mem_check(cx, 4 * (double)t->count, "the reference's input"));
    ATN_NEW(*out, t->count);
    atn_widen(t->data, t->type, t->count, *out);
    *n = t->count / ATN_MAX(count, 1);
    if (!atn_all_finite(*out, ATN_F32, t->count))
        ATN_FAIL(ATN_DATA, "%s: tensor \"%s\" holds NaN or infinity", t->path, name);
done:
    return st;
}

static atn_status check_steps(atn_ctx *cx, const atn_model *m, atn_idx latents,
                              atn_idx times, const int32_t *classes, atn_idx n)
{
    const atn_st_tensor *t =
        atn_model_tensor(m, m->config.arch->names.classes, 0, false);

    if (latents != times || latents != n)
        return atn_fail(cx, ATN_DATA, __FILE__, __LINE__,
                        "doctor: the dump has %lld latents, %lld timesteps and %lld "
                        "classes; wanted are as many of each",
                        (long long)latents, (long long)times, (long long)n);
    for (atn_idx i = 0; i < n; i++)
        if (classes[i] >= t->shape[0])
            return atn_fail(cx, ATN_DATA, __FILE__, __LINE__,
                            "doctor: class %d of step %lld is not below %lld",
                            classes[i], (long long)i, (long long)t->shape[0]);
    return ATN_OK;
}

/* [n, channels, height, width] */
static atn_status check_axes(atn_ctx *cx, const atn_st_tensor *t, const atn_config *c,
                             atn_idx n)
{
    const atn_idx want[] = {n, c->channels, c->image_h, c->image_w};
    char is[96], wanted[96];

    if (atn_same_shape(t->shape, t->rank, want, 4)) return ATN_OK;
    atn_shape_text(t->shape, t->rank, is, sizeof is);
    atn_shape_text(want, 4, wanted, sizeof wanted);
    return atn_fail(
        cx, ATN_DATA, __FILE__, __LINE__,
        "%s: tensor \"%s\" is %s, wanted is %s: one or more, channels, height, "
        "width",
        t->path, t->name, is, wanted);
}

atn_status atn_doctor_take_planes(atn_ctx *cx, const atn_model *m, const atn_st *dump,
                                  atn_doctor_planes *own, atn_input *in)
{
    const atn_config *c = &m->config;
    const bool image = c->arch->input == ATN_INPUT_IMAGE;
    const atn_idx each = c->channels * c->image_h * c->image_w;
    atn_idx n = 0, times = 0, classes = 0;
    atn_status st = ATN_OK;

    ATN_TRY(
        take_floats(cx, dump, image ? "pixels" : "latents", each, &own->values, &n));
    ATN_TRY(check_axes(cx, atn_st_find(dump, image ? "pixels" : "latents"), c, n));
    if (image && n > 1)
        ATN_FAIL(ATN_DATA, "doctor: the dump has %lld images, wanted is one",
                 (long long)n);
    if (image) {
        in->image = own->values;
        goto done;
    }
    ATN_TRY(take_floats(cx, dump, "timesteps", 0, &own->timesteps, &times));
    ATN_TRY(atn_doctor_ids(cx, dump, "classes", &own->classes, &classes));
    if (!own->classes)
        ATN_FAIL(ATN_USAGE, "doctor: the dump has no tensor \"classes\"");
    ATN_TRY(check_steps(cx, m, n, times, own->classes, classes));
    in->latents = own->values;
    in->timesteps = own->timesteps;
    in->classes = own->classes;
    in->steps = n;
done:
    return st;
}

void atn_doctor_planes_release(atn_ctx *cx, atn_doctor_planes *own)
{
    atn_free(cx, own->values);
    atn_free(cx, own->timesteps);
    atn_free(cx, own->classes);
    *own = (atn_doctor_planes){0};
}
