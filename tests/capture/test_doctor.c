/* tests/capture/test_doctor.c -- every symptom, made in a copy of a parity model or its
 * dump. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "check.h"

#include "capture/doctor.h"
#include "doctor_dump.h"

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

/* [2 layers, 4 heads, 24, 8]: heads 1 and 2 exchanged; numbers of a head
 * interleaved. */
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

/* NaN in q: weights that are wrong as well are not made again from it. */
static void nan_before_the_weights(atn_ctx *cx)
{
    atn_doctor doctor;
    atn_idx n;
    dump d;

    read_dump(cx, "llama_gqa_tied", &d);
    values(&d, "attn", &n)[24] -= 0.01f;
    values(&d, "attn", &n)[25] += 0.01f;
    values(&d, "q", &n)[8] = NAN;
    examine(cx, llama(), &d, 1e-4, &doctor);
    CHECK_EQ(doctor.all[doctor.first].stage, ATN_STAGE_Q);
    for (atn_idx i = 0; i < doctor.n; i++)
        if (doctor.all[i].stage == ATN_STAGE_ATTN && doctor.all[i].layer == 0) {
            CHECK(doctor.all[i].departs);
            CHECK(!strstr(doctor.all[i].hint, "own q and k"));
        }
    atn_doctor_release(cx, &doctor);
}

/* ---- names and shapes ---- */

static const atn_given *given(const atn_doctor *d, const char *name)
{
    for (atn_idx i = 0; i < d->n_given; i++)
        if (strcmp(d->given[i].name, name) == 0) return &d->given[i];
    fail_msg("no tensor %s", name);
    return NULL;
}

/* One tensor of the dump (name NULL: none) gets another name or shape; what becomes of
 * it. */
static void shapes(atn_ctx *cx)
{
    static const struct {
        const char *name, *to; /* to: another name, NULL = the same */
        int rank;              /* 0 = the same shape */
        atn_idx shape[5];
        atn_given_state state;
        const char *why;
    } cases[] = {
        {"q", NULL, 5, {2, 1, 4, 24, 8}, ATN_GIVEN_READ, ""},
        {"q", NULL, 5, {1, 2, 4, 24, 8}, ATN_GIVEN_READ, ""},
        {"loss", NULL, 0, {0}, ATN_GIVEN_READ, ""},
        {"q",
         NULL,
         4,
         {2, 24, 4, 8},
         ATN_GIVEN_REFUSED,
         "is [2, 24, 4, 8], wanted is [2, 4, 24, 8]"},
        {"attn",
         NULL,
         4,
         {4, 2, 24, 24},
         ATN_GIVEN_REFUSED,
         "wanted is [2, 4, 24, 24]"},
        {"q", NULL, 4, {1, 4, 48, 8}, ATN_GIVEN_REFUSED, "wanted is [2, 4, 24, 8]"},
        {"k",
         NULL,
         4,
         {4, 1, 24, 8},
         ATN_GIVEN_REFUSED,
         "[2, 2, 24, 8]: layers, heads, "
         "tokens, numbers of a head, or 4"},
        {"hidden", NULL, 3, {1, 48, 32}, ATN_GIVEN_REFUSED, "wanted is [2, 24, 32]"},
        {"logits", NULL, 2, {12, 144}, ATN_GIVEN_REFUSED, "wanted is [24, 72]"},
        {"q", "q.0", 0, {0}, ATN_GIVEN_REFUSED, "wanted is [4, 24, 8]: heads"},
        {"q", "q.7", 0, {0}, ATN_GIVEN_UNREAD, "layers 0 to 1"},
        {"hidden", "hidden.2", 0, {0}, ATN_GIVEN_UNREAD, ""},
        {"attn", "attention", 0, {0}, ATN_GIVEN_UNREAD, "is it \"attn\"?"},
        {"logits", "logit", 0, {0}, ATN_GIVEN_UNREAD, "is it \"logits\"?"},
        {"logits", "logits.0", 0, {0}, ATN_GIVEN_UNREAD, "no stack or layer"},
        {"q", "encoder.q", 0, {0}, ATN_GIVEN_UNREAD, "one stack"},
        {"q", "something", 0, {0}, ATN_GIVEN_UNREAD, ""},
    };

    for (size_t i = 0; i < ATN_LEN(cases); i++) {
        const char *name = cases[i].to ? cases[i].to : cases[i].name;
        const atn_given *g;
        atn_doctor doctor;
        atn_st_out *t;
        dump d;

        read_dump(cx, "llama_gqa_tied", &d);
        t = tensor(&d, cases[i].name);
        snprintf((char *)(uintptr_t)t->name, sizeof d.name[0], "%s", name);
        if (cases[i].rank) {
            t->rank = cases[i].rank;
            memcpy(t->shape, cases[i].shape, sizeof cases[i].shape);
        }
        examine(cx, llama(), &d, 1e-5, &doctor);
        g = given(&doctor, name);
        if (g->state != cases[i].state || !strstr(g->why, cases[i].why))
            fail_msg("%s: %d \"%s\", wanted %d \"%s\"", name, (int)g->state, g->why,
                     (int)cases[i].state, cases[i].why);
        CHECK(*cases[i].why || !*g->why);
        CHECK_EQ(doctor.refused >= 0, cases[i].state == ATN_GIVEN_REFUSED);
        CHECK_EQ(doctor.first, -1); /* the others were compared and agree */
        CHECK(doctor.n >= 8);
        atn_doctor_release(cx, &doctor);
    }
}

/* A loss of 2 or 3 numbers, where 23 tokens are predicted, is refused; so is a dump of
 * a model with more layers, or heads, or fewer. */
static void other_models(atn_ctx *cx)
{
    static const struct {
        const char *name;
        atn_idx at, size,
            into; /* the axis, its size, and the axis that takes the rest */
        const char *why;
    } cases[] = {{"attn", 1, 2, 0, "is [4, 2, 24, 24]"},
                 {"v", 0, 1, 1, "is [1, 4, 24, 8]"},
                 {"hidden", 0, 4, 2, "is [4, 24, 16]"}};

    for (size_t i = 0; i < ATN_LEN(cases); i++) {
        atn_doctor doctor;
        atn_st_out *t;
        dump d;

        read_dump(cx, "llama_gqa_tied", &d);
        t = tensor(&d, cases[i].name);
        t->shape[cases[i].into] =
            t->shape[cases[i].into] * t->shape[cases[i].at] / cases[i].size;
        t->shape[cases[i].at] = cases[i].size;
        examine(cx, llama(), &d, 1e-5, &doctor);
        CHECK(doctor.refused >= 0);
        CHECK(strstr(given(&doctor, cases[i].name)->why, cases[i].why) != NULL);
        atn_doctor_release(cx, &doctor);
    }
    for (int n = 2; n < 4; n++) {
        float *loss = calloc(3, sizeof *loss);
        atn_doctor doctor;
        dump d;

        read_dump(cx, "llama_gqa_tied", &d);
        free((void *)(uintptr_t)tensor(&d, "loss")->data);
        tensor(&d, "loss")->data = loss;
        tensor(&d, "loss")->shape[0] = n;
        examine(cx, llama(), &d, 1e-5, &doctor);
        CHECK(strstr(given(&doctor, "loss")->why, "wanted is [1]") != NULL);
        atn_doctor_release(cx, &doctor);
    }
}

/* [2, 13, 32] of the decoder shifted by a layer: outputs; the encoder has a fault of
 * its own, which stays. */
static void outputs_of_a_stack(atn_ctx *cx)
{
    const char *t5 = path_in(ATN_TEST_FIXTURES "/parity", "t5_relu");
    const atn_idx plane = 13 * 32;
    atn_idx n;
    dump d;
    float *x;

    read_dump(cx, "t5_relu", &d);
    x = values(&d, "decoder.hidden", &n);
    memmove(x, x + plane, (size_t)plane * sizeof *x);
    values(&d, "encoder.hidden", &n)[0] += 1;
    departs(diagnose(cx, t5, &d, 1e-4), ATN_STAGE_HIDDEN, 0, "the embedding");
    read_dump(cx, "t5_relu", &d);
    x = values(&d, "decoder.hidden", &n);
    memmove(x, x + plane, (size_t)plane * sizeof *x);
    CHECK_EQ(
        diagnose(cx, path_in(ATN_TEST_FIXTURES "/parity", "t5_relu"), &d, 1e-4).layer,
        -9);
}

/* Without target_ids the encoder alone runs: under its name, or none. */
static void encoder_alone(atn_ctx *cx)
{
    const char *t5 = path_in(ATN_TEST_FIXTURES "/parity", "t5_relu");
    atn_doctor doctor;
    dump d;

    read_dump(cx, "t5_relu", &d);
    drop(&d, "target_ids");
    examine(cx, t5, &d, 1e-5, &doctor);
    CHECK_EQ(doctor.n, 10); /* hidden, q, k, v, attn of two layers */
    CHECK_EQ(doctor.first, -1);
    CHECK_EQ(given(&doctor, "encoder.q")->state, ATN_GIVEN_READ);
    CHECK(strstr(given(&doctor, "decoder.q")->why, "target_ids") != NULL);
    CHECK(strstr(given(&doctor, "logits")->why, "target_ids") != NULL);
    atn_doctor_release(cx, &doctor);
}

/* The k-th allocation fails, where weights depart and their hint is looked for. */
static void allocations_fail(atn_ctx *cx)
{
    atn_status st = ATN_MEMORY;
    atn_idx n;
    long k = 0;
    dump d;

    read_dump(cx, "llama_gqa_tied", &d);
    values(&d, "attn", &n)[24] -= 0.01f;
    values(&d, "attn", &n)[25] += 0.01f;
    snprintf(d.path, sizeof d.path, "%s/d.safetensors", check_scratch("doctor-memory"));
    CHECK_OK(atn_st_save(cx, d.path, d.t, d.n, NULL, true, NULL));
    for (; st != ATN_OK && k < 5000; k++) {
        check_failing f = {k};
        atn_ctx one;
        atn_model m = {0};
        atn_st *file = NULL;
        atn_doctor doctor = {0};
        atn_input in = {0};
        int32_t *ids = NULL;

        atn_ctx_init(&one);
        one.alloc = (atn_allocator){check_failing_resize, &f};
        one.threads = 1;
        one.log_level = ATN_LOG_ERROR;
        st = atn_model_open(&one, llama(), &m);
        if (st == ATN_OK) st = atn_st_open(&one, d.path, &file);
        if (st == ATN_OK) st = atn_doctor_ids(&one, file, "ids", &ids, &in.n);
        in.ids = ids;
        if (st == ATN_OK) st = atn_doctor_run(&one, &m, &in, file, 1e-4, &doctor);
        if (st != ATN_OK) CHECK_EQ(st, ATN_MEMORY);
        atn_doctor_release(&one, &doctor);
        atn_free(&one, ids);
        atn_st_close(&one, file);
        atn_model_close(&one, &m);
        atn_ctx_release(&one);
    }
    CHECK_EQ(st, ATN_OK);
    CHECK_LE(20, k);
    for (atn_idx i = 0; i < d.n; i++) free((void *)(uintptr_t)d.t[i].data);
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
                "\"q\" is [7], wanted is [2, 4, 3, 8]");
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
           {"nan in the dump", nan_in_the_dump},
           {"nan before the weights", nan_before_the_weights}, {"shapes", shapes},
           {"other models", other_models}, {"outputs of a stack", outputs_of_a_stack},
           {"encoder alone", encoder_alone}, {"allocations fail", allocations_fail},
           {"refusals", refusals})
