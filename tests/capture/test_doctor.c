/* tests/capture/test_doctor.c -- every symptom, made in a copy of a parity model or its dump. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "check.h"

#include "capture/doctor.h"
#include "make_model.h"

enum { TENSORS_MOST = 16 };

/* The oracle of a fixture, whose tensors may be changed before it is written as a dump. */
typedef struct dump {
    atn_st_out t[TENSORS_MOST];
    char name[TENSORS_MOST][32];
    atn_idx n;
    char path[700];
} dump;

static void read_dump(atn_ctx *cx, const char *fixture, dump *d)
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

static atn_st_out *tensor(dump *d, const char *name)
{
    for (atn_idx i = 0; i < d->n; i++)
        if (strcmp(d->t[i].name, name) == 0) return &d->t[i];
    fail_msg("no %s", name);
    return NULL;
}

static float *values(dump *d, const char *name, atn_idx *n)
{
    const atn_st_out *t = tensor(d, name);

    *n = 1;
    for (int i = 0; i < t->rank; i++) *n *= t->shape[i];
    return (float *)(uintptr_t)t->data;
}

/* Runs the doctor over `model` and the dump; the first departure. */
static atn_compared diagnose(atn_ctx *cx, const char *model, dump *d, double tolerance)
{
    atn_compared first = {.layer = -9};
    atn_model m;
    atn_st *f = NULL;
    atn_doctor doctor;
    atn_input in = {0};
    int32_t *ids = NULL;

    snprintf(d->path, sizeof d->path, "%s/dump.safetensors",
             check_scratch("doctor-dump"));
    CHECK_OK(atn_st_save(cx, d->path, d->t, d->n, NULL, true, NULL));
    CHECK_OK(atn_model_open(cx, model, &m));
    CHECK_OK(atn_st_open(cx, d->path, &f));
    CHECK_OK(atn_doctor_ids(cx, f, "ids", &ids, &in.n));
    in.ids = ids;
    CHECK_OK(atn_doctor_run(cx, &m, &in, f, tolerance, &doctor));
    if (doctor.first >= 0) first = doctor.all[doctor.first];
    atn_doctor_release(cx, &doctor);
    atn_free(cx, ids);
    atn_st_close(cx, f);
    atn_model_close(cx, &m);
    for (atn_idx i = 0; i < d->n; i++) free((void *)(uintptr_t)d->t[i].data);
    return first;
}

static void departs(atn_compared c, atn_stage stage, atn_idx layer, const char *hint)
{
    if (c.stage != stage || c.layer != layer || !strstr(c.hint, hint))
        fail_msg("%s of layer %d: \"%s\", wanted %s of %d: \"%s\"",
                 atn_stage_names[c.stage], (int)c.layer, c.hint, atn_stage_names[stage],
                 (int)layer, hint);
    CHECK(c.departs);
}

static void all_agree(atn_ctx *cx)
{
    static const char *const fixtures[] = {"llama_gqa_tied", "qwen3", "bert_mlm",
                                           "olmo2"};

    for (size_t i = 0; i < ATN_LEN(fixtures); i++) {
        dump d;

        read_dump(cx, fixtures[i], &d);
        CHECK_EQ(
            diagnose(cx, path_in(ATN_TEST_FIXTURES "/parity", fixtures[i]), &d, 1e-5)
                .layer,
            -9);
    }
}

/* Faults of the model: another config than the reference had. */
static void faults_of_config(atn_ctx *cx)
{
    static const struct {
        const char *base, *key, *value;
        atn_stage stage;
        atn_idx layer;
        const char *hint;
    } cases[] = {
        {"llama_mha", "rope_parameters",
         "{\"rope_theta\": 500.0, \"rope_type\": \"default\"}", ATN_STAGE_Q, 0,
         "rotary angle"},
        {"mistral_window", "sliding_window", "null", ATN_STAGE_ATTN, 0,
         "narrower mask"},
        {"mistral_plain", "sliding_window", "4", ATN_STAGE_ATTN, 0, "our mask hides"},
        {"llama_mha", "hidden_act", "\"gelu\"", ATN_STAGE_HIDDEN, 1, "its MLP"},
        {"llama_mha", "rms_norm_eps", "0.5", ATN_STAGE_Q, 0, ""},
    };

    for (size_t i = 0; i < ATN_LEN(cases); i++) {
        const char *dir = copy_model("doctor-model", cases[i].base);
        char model[600];
        dump d;

        snprintf(model, sizeof model, "%s", dir);
        set_config(cx, model, cases[i].key, cases[i].value);
        read_dump(cx, cases[i].base, &d);
        departs(diagnose(cx, model, &d, 1e-4), cases[i].stage, cases[i].layer,
                cases[i].hint);
    }
}

static const char *llama(void)
{
    return path_in(ATN_TEST_FIXTURES "/parity", "llama_gqa_tied");
}

static void constant_factors(atn_ctx *cx)
{
    const double width = sqrt(32), scale = 1 / sqrt(8);
    const struct {
        const char *tensor;
        double factor;
        atn_stage stage;
        const char *hint;
    } cases[] = {{"hidden", width, ATN_STAGE_HIDDEN, "root of the width"},
                 {"q", scale, ATN_STAGE_Q, "the scale of the dot product"},
                 {"v", 1.5, ATN_STAGE_V, "1.5 times ours"}};

    for (size_t i = 0; i < ATN_LEN(cases); i++) {
        atn_idx n;
        dump d;
        float *x;

        read_dump(cx, "llama_gqa_tied", &d);
        x = values(&d, cases[i].tensor, &n);
        for (atn_idx k = 0; k < n; k++) x[k] = (float)(cases[i].factor * (double)x[k]);
        departs(diagnose(cx, llama(), &d, 1e-4), cases[i].stage, 0, cases[i].hint);
    }
}

/* [2 layers, 4 heads, 24, 8]: heads 1 and 2 exchanged; numbers of a head interleaved. */
static void orders(atn_ctx *cx)
{
    const atn_idx plane = 24 * 8;
    float copy[24 * 8];
    atn_idx n;
    dump d;
    float *x;

    read_dump(cx, "llama_gqa_tied", &d);
    x = values(&d, "q", &n);
    memcpy(copy, x + plane, sizeof copy);
    memcpy(x + plane, x + 2 * plane, sizeof copy);
    memcpy(x + 2 * plane, copy, sizeof copy);
    departs(diagnose(cx, llama(), &d, 1e-4), ATN_STAGE_Q, 0, "another order");
    read_dump(cx, "llama_gqa_tied", &d);
    x = values(&d, "k", &n);
    for (atn_idx r = 0; r < n / 8; r++, x += 8) {
        float row[8];

        memcpy(row, x, sizeof row);
        for (int e = 0; e < 8; e++) x[2 * (e % 4) + e / 4] = row[e];
    }
    departs(diagnose(cx, llama(), &d, 1e-4), ATN_STAGE_K, 0, "side by side");
}

/* Rows of P with a sink, and with logits of another scale. */
static void weights(atn_ctx *cx)
{
    atn_idx n;
    dump d;
    float *x;

    read_dump(cx, "llama_gqa_tied", &d);
    x = values(&d, "attn", &n);
    for (atn_idx i = 0; i < n; i++) x[i] *= 0.75f;
    departs(diagnose(cx, llama(), &d, 1e-4), ATN_STAGE_ATTN, 0, "attention sinks");
    read_dump(cx, "llama_gqa_tied", &d);
    x = values(&d, "attn", &n);
    for (atn_idx r = 0; r < n / 24; r++, x += 24) {
        double sum = 0;

        for (int j = 0; j < 24; j++) sum += pow((double)x[j], 1.25);
        for (int j = 0; j < 24; j++) x[j] = (float)(pow((double)x[j], 1.25) / sum);
    }
    departs(diagnose(cx, llama(), &d, 1e-4), ATN_STAGE_ATTN, 0, "1.25 times ours");
}

static void soft_capped_logits(atn_ctx *cx)
{
    atn_idx n;
    dump d;
    float *x;

    read_dump(cx, "llama_gqa_tied", &d);
    x = values(&d, "logits", &n);
    for (atn_idx i = 0; i < n; i++) x[i] = (float)(30 * tanh((double)x[i] / 30));
    departs(diagnose(cx, llama(), &d, 1e-4), ATN_STAGE_LOGITS, -1, "softly at 30");
}

/* hidden of the layers' outputs: noticed, no departure. */
static void outputs_of_layers(atn_ctx *cx)
{
    const atn_idx plane = 24 * 32;
    atn_idx n;
    dump d;
    float *x;

    read_dump(cx, "llama_gqa_tied", &d);
    x = values(&d, "hidden", &n);
    memmove(x, x + plane, (size_t)plane * sizeof *x);
    CHECK_EQ(diagnose(cx, llama(), &d, 1e-4).layer, -9);
}

static void nan_in_the_dump(atn_ctx *cx)
{
    atn_idx n;
    dump d;

    read_dump(cx, "llama_gqa_tied", &d);
    values(&d, "v", &n)[n - 1] = NAN;
    departs(diagnose(cx, llama(), &d, 1e-4), ATN_STAGE_V, 1, "NaN");
}

static void refusals(atn_ctx *cx)
{
    const int32_t ids[] = {5, 6, 7};
    const float x[7] = {0};
    const atn_input in = {.ids = ids, .n = 3};
    atn_st_out t = {.name = "q", .type = ATN_F32, .rank = 1, .shape = {7}, .data = x};
    atn_doctor doctor;
    char path[700];
    atn_model m;
    atn_st *f = NULL;
    int32_t *none = NULL;
    atn_idx n;

    snprintf(path, sizeof path, "%s/d.safetensors", check_scratch("doctor-refusals"));
    CHECK_OK(atn_model_open(cx, llama(), &m));
    CHECK_OK(atn_st_save(cx, path, &t, 1, NULL, true, NULL));
    CHECK_OK(atn_st_open(cx, path, &f));
    CHECK_FAILS(atn_doctor_run(cx, &m, &in, f, 1e-4, &doctor), ATN_DATA,
                "no layers of");
    CHECK_FAILS(atn_doctor_ids(cx, f, "q", &none, &n), ATN_DATA, "wanted I32 or I64");
    atn_st_close(cx, f);
    t.name = "other";
    CHECK_OK(atn_st_save(cx, path, &t, 1, NULL, true, NULL));
    CHECK_OK(atn_st_open(cx, path, &f));
    CHECK_FAILS(atn_doctor_run(cx, &m, &in, f, 1e-4, &doctor), ATN_DATA,
                "holds none of");
    atn_st_close(cx, f);
    atn_model_close(cx, &m);
}

CHECK_MAIN({"all agree", all_agree}, {"faults of config", faults_of_config},
           {"constant factors", constant_factors}, {"orders", orders},
           {"weights", weights}, {"soft-capped logits", soft_capped_logits},
           {"outputs of layers", outputs_of_layers},
           {"nan in the dump", nan_in_the_dump}, {"refusals", refusals})
