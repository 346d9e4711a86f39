/* tests/capture/test_doctor_hints.c -- hints: a run of a changed copy of a model is the
 * reference of the model, or the other way. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "check.h"

#include "capture/forward.h"
#include "doctor_dump.h"

static char model_a[600], model_b[600]; /* the model, and what made the reference */

/* ---- a dump of a run ---- */

static atn_st_out *add(dump *d, const char *name, int rank, const atn_idx *shape)
{
    atn_st_out *t = &d->t[d->n];
    size_t count = 1;

    CHECK(d->n < TENSORS_MOST);
    for (int i = 0; i < rank; i++) count *= (size_t)shape[i];
    snprintf(d->name[d->n], sizeof d->name[0], "%s", name);
    *t = (atn_st_out){.name = d->name[d->n++],
                      .type = ATN_F32,
                      .rank = rank,
                      .data = calloc(count, sizeof(float))};
    memcpy(t->shape, shape, (size_t)rank * sizeof *shape);
    return t;
}

static void put(dump *d, const char *name, const atn_place *p, const float *x, int rank,
                const atn_idx *plane)
{
    atn_idx shape[4] = {1}, count = 1;
    char full[32];

    if (!x) return;
    memcpy(shape + 1, plane, (size_t)rank * sizeof *plane);
    for (int i = 0; i < rank; i++) count *= plane[i];
    snprintf(full, sizeof full, "%s.%d", name, (int)p->layer);
    memcpy((void *)(uintptr_t)add(d, full, 1 + rank, shape)->data, x,
           (size_t)count * sizeof *x);
}

static atn_status on_place(atn_ctx *cx, const atn_layer_dump *l, void *state)
{
    const atn_place *p = l->place;
    const atn_idx width = p->heads * p->dv, rows[] = {p->nq, width},
                  q[] = {p->heads, p->nq, p->d}, k[] = {p->kv_heads, p->nk, p->d},
                  a[] = {p->heads, p->nq, p->nk};

    (void)cx;
    put(state, "hidden", p, l->h, 2, rows);
    put(state, "q_pre", p, l->q_pre, 3, q);
    put(state, "k_pre", p, l->k_pre, 3, k);
    put(state, "q", p, l->q, 3, q);
    put(state, "k", p, l->k, 3, k);
    put(state, "v", p, l->v, 3, k);
    put(state, "attn", p, l->p, 3, a);
    put(state, "attn_out", p, l->attn_out, 2, rows);
    return ATN_OK;
}

/* Everything of a run of 20 tokens, of models whose heads are as wide as the model. */
static void run_dump(atn_ctx *cx, const char *model, dump *d)
{
    enum { N = 20 };
    const atn_idx tokens = N, one = 1;
    int32_t *ids = calloc(N, sizeof *ids);
    atn_model m;
    atn_forward_result result;

    *d = (dump){0};
    for (int i = 0; i < N; i++) ids[i] = 3 + (7 * i * i + 5 * i) % 41;
    CHECK_OK(atn_model_open(cx, model, &m));
    atn_forward_args a = {.input = {.ids = ids, .n = N},
                          .visit = on_place,
                          .state = d,
                          .want_pre = true,
                          .want_p = true,
                          .want_h = true,
                          .want_attn_out = true,
                          .want_loss = true,
                          .last_place = INT32_MAX};
    atn_st_out *logits = add(d, "logits", 2, (atn_idx[]){N, m.config.vocab}),
               *loss = add(d, "loss", 1, &one), *t;

    a.logits = (float *)(uintptr_t)logits->data;
    CHECK_OK(atn_forward(cx, &m, &a, &result));
    *(float *)(uintptr_t)loss->data = (float)result.loss;
    t = add(d, "ids", 1, &tokens);
    free((void *)(uintptr_t)t->data);
    t->type = ATN_I32;
    t->data = ids;
    atn_model_close(cx, &m);
}

/* Leaves only what begins with one of the letters or words of `keep`, and ids. */
static void only(dump *d, const char *keep)
{
    for (atn_idx i = d->n - 1; i >= 0; i--) {
        char base[sizeof d->name[0] + 2];

        snprintf(base, sizeof base, " %s", d->name[i]);
        if (strchr(base, '.')) *strchr(base, '.') = '\0';
        strcat(base, " ");
        if (strcmp(base, " ids ") != 0 && !strstr(keep, base)) drop(d, d->name[i]);
    }
}

static void copies(const char *base)
{
    snprintf(model_a, sizeof model_a, "%s", copy_model("doctor-a", base));
    snprintf(model_b, sizeof model_b, "%s", copy_model("doctor-b", base));
}

/* ---- faults ---- */

static void config_cases(atn_ctx *cx)
{
    static const struct {
        const char *base, *key, *value;
        bool ours;        /* the model has the change, else the reference */
        const char *keep; /* NULL = all */
        atn_stage stage;
        atn_idx layer;
        const char *hint;
    } cases[] = {
        {"llama_mha", "hidden_act", "\"gelu\"", true, NULL, ATN_STAGE_HIDDEN, 1,
         "the attention of the layer before agrees: its MLP"},
        {"llama_mha", "hidden_act", "\"gelu\"", true, " hidden attn logits ",
         ATN_STAGE_HIDDEN, 1, "agree: its values, W_O or a bias, or its MLP"},
        {"llama_mha", "hidden_act", "\"gelu\"", true, " hidden attn v ",
         ATN_STAGE_HIDDEN, 1, "agree: W_O or a bias, or its MLP"},
        {"llama_mha", "rms_norm_eps", "0.5", true, " q k v ", ATN_STAGE_Q, 0,
         "the norm in front of the projection (its epsilon)"},
        {"llama_mha", "rope_parameters",
         "{\"rope_theta\": 500.0, \"rope_type\": \"default\"}", true, " hidden attn ",
         ATN_STAGE_ATTN, 0, "put q and k into the reference"},
        {"llama_mha", "rope_parameters",
         "{\"rope_theta\": 500.0, \"rope_type\": \"default\"}", true, NULL, ATN_STAGE_Q,
         0, "another rotary angle"},
        {"llama_rope_yarn", "rope_parameters",
         "{\"rope_theta\": 10000.0, \"rope_type\": \"default\"}", false, " q k ",
         ATN_STAGE_Q, 0, "attention factor"},
        {"llama_rope_yarn", "rope_parameters",
         "{\"rope_theta\": 10000.0, \"rope_type\": \"yarn\", \"factor\": 4.0, "
         "\"original_max_position_embeddings\": 32, \"attention_factor\": 1.3}",
         false, " q k ", ATN_STAGE_Q, 0, "attention factor"},
        {"gemma2", "query_pre_attn_scalar", "20", false, " q k attn ", ATN_STAGE_ATTN,
         0, "0.7746 times ours, in front of the soft-cap: another scale"},
        {"gemma2", "attn_logit_softcapping", "null", false, " q k attn ",
         ATN_STAGE_ATTN, 0, "no soft-cap"},
        {"gemma2", "attn_logit_softcapping", "null", true, " q k attn ", ATN_STAGE_ATTN,
         0, "softly at 2, ours does not"},
        {"gemma2", "attn_logit_softcapping", "5", false, " attn ", ATN_STAGE_ATTN, 0,
         "softly at 5, ours at another"},
        {"gemma2", "final_logit_softcapping", "null", false, NULL, ATN_STAGE_LOGITS, -1,
         "does not cap its logits, ours does at 3"},
        {"gemma2", "final_logit_softcapping", "null", true, NULL, ATN_STAGE_LOGITS, -1,
         "softly at 3, ours does not"},
        {"gemma2", "final_logit_softcapping", "4.7", false, NULL, ATN_STAGE_LOGITS, -1,
         "softly at 4.7, ours at another"},
    };

    for (size_t i = 0; i < ATN_LEN(cases); i++) {
        dump d;

        copies(cases[i].base);
        set_config(cx, cases[i].ours ? model_a : model_b, cases[i].key, cases[i].value);
        run_dump(cx, model_b, &d);
        if (cases[i].keep) only(&d, cases[i].keep);
        departs(diagnose(cx, model_a, &d, 1e-4), cases[i].stage, cases[i].layer,
                cases[i].hint);
    }
}

static float widen_one(const atn_st_out *t, const char *data, atn_idx i)
{
    float x;

    atn_widen(data + atn_dtype_bytes(t->type, i), t->type, 1, &x);
    return x;
}

static void store_one(const atn_st_out *t, char *data, atn_idx i, float x)
{
    uint32_t bits;

    memcpy(&bits, &x, 4);
    if (t->type == ATN_F32)
        memcpy(data + 4 * i, &bits, 4);
    else
        ((uint16_t *)(void *)data)[i] = (uint16_t)(bits >> 16); /* BF16 */
}

static atn_idx size_of(const atn_st_out *t)
{
    atn_idx n = 1;

    for (int i = 0; i < t->rank; i++) n *= t->shape[i];
    return n;
}

static void multiply(const atn_st_out *t, char *data, float c)
{
    for (atn_idx i = 0; i < size_of(t); i++)
        store_one(t, data, i, c * widen_one(t, data, i));
}

static bool other_sinks(atn_st_out *t, char *data, char name[256])
{
    if (strstr(name, "sinks"))
        for (atn_idx i = 0; i < size_of(t); i++)
            store_one(t, data, i, widen_one(t, data, i) + 1);
    return true;
}

static bool no_sinks(atn_st_out *t, char *data, char name[256])
{
    if (strstr(name, "sinks"))
        for (atn_idx i = 0; i < size_of(t); i++) store_one(t, data, i, -80);
    return true;
}

static bool longer_q(atn_st_out *t, char *data, char name[256])
{
    if (strstr(name, "q_proj.weight")) multiply(t, data, 1.5f);
    return true;
}

static bool steep(atn_st_out *t, char *data, char name[256])
{
    if (strstr(name, "q_proj.weight")) multiply(t, data, 25);
    return true;
}

static bool steeper(atn_st_out *t, char *data, char name[256])
{
    if (strstr(name, "q_proj.weight")) multiply(t, data, 25 * 1.003f);
    return true;
}

static bool other_norm(atn_st_out *t, char *data, char name[256])
{
    if (strstr(name, "input_layernorm"))
        for (atn_idx i = 0; i < size_of(t); i++)
            store_one(t, data, i, widen_one(t, data, i) + 1);
    return true;
}

/* Rows of 4 heads of 8: halves become pairs. */
static bool pairs(atn_st_out *t, char *data, char name[256])
{
    const size_t row = t->rank == 2 ? (size_t)t->shape[1] * 4 : 0;
    char *copy;

    if (!strstr(name, "q_proj.weight") && !strstr(name, "k_proj.weight")) return true;
    copy = malloc(32 * row);
    memcpy(copy, data, 32 * row);
    for (size_t h = 0; h < 4; h++)
        for (size_t e = 0; e < 8; e++)
            memcpy(data + (8 * h + 2 * (e % 4) + e / 4) * row, copy + (8 * h + e) * row,
                   row);
    free(copy);
    return true;
}

/* [q; k; v] of each of 3 heads of 8 taken from [Q; K; V], BF16. */
static bool blocks(atn_st_out *t, char *data, char name[256])
{
    const size_t row = 2 * (size_t)(t->rank == 2 ? t->shape[1] : 1);
    char *copy;

    if (!strstr(name, "query_key_value")) return true;
    copy = malloc(72 * row);
    memcpy(copy, data, 72 * row);
    for (size_t h = 0; h < 3; h++)
        for (size_t part = 0; part < 3; part++)
            memcpy(data + (3 * h + part) * 8 * row, copy + (part * 3 + h) * 8 * row,
                   8 * row);
    free(copy);
    return true;
}

static void weight_cases(atn_ctx *cx)
{
    static const struct {
        const char *base;
        edit_tensor *ours, *theirs; /* NULL = nothing */
        const char *keep;
        double tolerance;
        atn_stage stage;
        atn_idx layer;
        const char *hint;
    } cases[] = {
        {"gpt_oss", NULL, other_sinks, " attn ", 1e-4, ATN_STAGE_ATTN, 0,
         "other sink values"},
        {"gpt_oss", NULL, no_sinks, " attn ", 1e-4, ATN_STAGE_ATTN, 0,
         "leaves out the attention sinks"},
        {"llama_mha", NULL, longer_q, " attn ", 1e-4, ATN_STAGE_ATTN, 0,
         "1.5 times ours: another scale of the dot product (ours is 0.353553), or "
         "longer "
         "q, k"},
        {"llama_mha", steep, steeper, " q k attn ", 5e-3, ATN_STAGE_ATTN, 1,
         "own q and k with our mask and scale: look at these, which differ by less"},
        {"llama_mha", NULL, other_norm, " q k ", 1e-4, ATN_STAGE_Q, 0,
         "the norm in front of the projection (epsilon, 1 + w)"},
        {"llama_mha", NULL, pairs, " q k ", 1e-4, ATN_STAGE_Q, 0,
         "at position 0 the rows of a head"},
        {"llama_mha", pairs, NULL, " q k ", 1e-4, ATN_STAGE_Q, 0,
         "at position 0 the rows of a head"},
        {"llama_mha", pairs, NULL, " q_pre k_pre q ", 1e-4, ATN_STAGE_Q_PRE, 0,
         "was left in, or done twice"},
        {"gpt_neox", NULL, blocks, " q k v ", 1e-4, ATN_STAGE_Q, 0,
         "q head 1 is our k head 0: a fused projection"},
        {"gpt_neox", blocks, NULL, " q_pre ", 1e-4, ATN_STAGE_Q_PRE, 0,
         "a fused projection"},
        {"gpt_neox", blocks, NULL, " v ", 1e-4, ATN_STAGE_V, 0, "a fused projection"},
    };

    for (size_t i = 0; i < ATN_LEN(cases); i++) {
        dump d;

        copies(cases[i].base);
        if (cases[i].ours) edit_weights(cx, model_a, cases[i].ours);
        if (cases[i].theirs) edit_weights(cx, model_b, cases[i].theirs);
        run_dump(cx, model_b, &d);
        only(&d, cases[i].keep);
        departs(diagnose(cx, model_a, &d, cases[i].tolerance), cases[i].stage,
                cases[i].layer, cases[i].hint);
    }
}

/* A loss alone is no factor of ours. */
static void loss_alone(atn_ctx *cx)
{
    atn_compared c;
    atn_idx n;
    dump d;

    copies("llama_mha");
    run_dump(cx, model_b, &d);
    values(&d, "loss", &n)[0] *= 1.1f;
    c = diagnose(cx, model_a, &d, 1e-4);
    departs(c, ATN_STAGE_LOSS, -1, "the logits agree");
    CHECK(!strstr(c.hint, "times ours"));
}

CHECK_MAIN({"config cases", config_cases}, {"weight cases", weight_cases},
           {"loss alone", loss_alone})
