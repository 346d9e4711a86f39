/* tests/capture/doctor_dump.h -- reference dumps that may be changed, and the doctor
 * over them. */
// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "capture/doctor.h"
#include "make_model.h"

enum { TENSORS_MOST = 32 };

/* The oracle of a fixture, whose tensors may be changed before it is written as a
 * dump. */
typedef struct dump {
    atn_st_out t[TENSORS_MOST];
    char name[TENSORS_MOST][32];
    atn_idx n;
    char path[700];
} dump;

static inline void read_dump(atn_ctx *cx, const char *fixture, dump *d)
{
    char path[700];
    atn_st *f = NULL;

    snprintf(path, sizeof path, "%s/parity/%s/oracle.safetensors", ATN_TEST_FIXTURES,
             fixture);
    CHECK_OK(atn_st_open(cx, path, &f));
    d->n = atn_st_count(f);
    CHECK_LE(d->n, TENSORS_MOST);
    for (atn_idx i = 0; i < d->n; i++) {
        const atn_st_tensor *t = atn_st_at(f, i);
        void *copy = malloc(t->bytes);

        memcpy(copy, t->data, t->bytes);
        snprintf(d->name[i], sizeof d->name[i], "%s", t->name);
        d->t[i] = (atn_st_out){
            .name = d->name[i], .type = t->type, .rank = t->rank, .data = copy};
        memcpy(d->t[i].shape, t->shape, sizeof d->t[i].shape);
    }
    atn_st_close(cx, f);
}

static inline atn_st_out *tensor(dump *d, const char *name)
{
    for (atn_idx i = 0; i < d->n; i++)
        if (strcmp(d->t[i].name, name) == 0) return &d->t[i];
    fail_msg("no %s", name);
    return NULL;
}

static inline float *values(dump *d, const char *name, atn_idx *n)
{
    const atn_st_out *t = tensor(d, name);

    *n = 1;
    for (int i = 0; i < t->rank; i++) *n *= t->shape[i];
    return (float *)(uintptr_t)t->data;
}

/* Runs the doctor over `model` and the dump, which is freed; the caller releases
 * *out. */
static inline void examine(atn_ctx *cx, const char *model, dump *d, double tolerance,
                           atn_doctor *out)
{
    atn_model m;
    atn_st *f = NULL;
    atn_input in = {0};
    int32_t *ids = NULL, *target = NULL;

    snprintf(d->path, sizeof d->path, "%s/dump.safetensors",
             check_scratch("doctor-dump"));
    CHECK_OK(atn_st_save(cx, d->path, d->t, d->n, NULL, true, NULL));
    CHECK_OK(atn_model_open(cx, model, &m));
    CHECK_OK(atn_st_open(cx, d->path, &f));
    CHECK_OK(atn_doctor_ids(cx, f, "ids", &ids, &in.n));
    CHECK_OK(atn_doctor_ids(cx, f, "target_ids", &target, &in.n_target));
    in.ids = ids;
    in.target = target;
    CHECK_OK(atn_doctor_run(cx, &m, &in, f, tolerance, out));
    atn_free(cx, ids);
    atn_free(cx, target);
    atn_st_close(cx, f);
    atn_model_close(cx, &m);
    for (atn_idx i = 0; i < d->n; i++) free((void *)(uintptr_t)d->t[i].data);
}

/* The first departure, layer -9 = none. */
static inline atn_compared diagnose(atn_ctx *cx, const char *model, dump *d,
                                    double tolerance)
{
    atn_compared first = {.layer = -9};
    atn_doctor doctor;

    examine(cx, model, d, tolerance, &doctor);
    if (doctor.first >= 0) first = doctor.all[doctor.first];
    atn_doctor_release(cx, &doctor);
    return first;
}

/* Leaves a tensor out. */
static inline void drop(dump *d, const char *name)
{
    atn_st_out *t = tensor(d, name);
    const atn_idx at = t - d->t;

    free((void *)(uintptr_t)t->data);
    for (atn_idx i = at; i + 1 < d->n; i++) {
        d->t[i] = d->t[i + 1];
        memcpy(d->name[i], d->name[i + 1], sizeof d->name[i]);
        d->t[i].name = d->name[i];
    }
    d->n--;
}

static inline void departs(atn_compared c, atn_stage stage, atn_idx layer,
                           const char *hint)
{
    if (c.stage != stage || c.layer != layer || !strstr(c.hint, hint))
        fail_msg("%s of layer %d: \"%s\", wanted %s of %d: \"%s\"",
                 atn_stage_names[c.stage], (int)c.layer, c.hint, atn_stage_names[stage],
                 (int)layer, hint);
    CHECK(c.departs);
}
