/* cli/model_tables.c -- facts, layers and costs of a model directory, see the
 * header. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "cli/model_tables.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "analysis/describe.h"
#include "capture/forward.h"
#include "capture/tokenizer.h"

/* ---- facts ---- */

static atn_status rope_fact(atn_ctx *cx, const atn_rope *r, const char *of,
                            atn_table *t)
{
    char scaling[128] = "not scaled", fact[64];

    if (r->kind != ATN_ROPE_DEFAULT)
        snprintf(scaling, sizeof scaling, "%s by %g from %g positions",
                 atn_rope_name(r->kind), r->factor, r->original);
    snprintf(fact, sizeof fact, "rotary embedding%s", of);
    return atn_facts_add(cx, t, fact, "%lld numbers a head, theta %g, %s",
                         (long long)r->dim, r->theta, scaling);
}

atn_status atn_tokenizer_fact(atn_ctx *cx, const char *dir, atn_table *t)
{
    atn_status st = ATN_OK;
    atn_tokenizer *tokenizer = NULL;
    char why[ATN_ERR_TEXT] = "";
    int32_t *ids = NULL;
    atn_idx n = 0;

    st = atn_tokenizer_load(cx, dir, &tokenizer);
    /* some only label ids */
    if (st == ATN_OK) st = atn_tokenizer_encode(cx, tokenizer, "a", 1, true, &ids, &n);
    if (st == ATN_DATA || st == ATN_NOINPUT) {
        snprintf(why, sizeof why, "%s", cx->err.text);
        atn_err_clear(cx);
        st = ATN_OK;
    }
    ATN_TRY(st);
    ATN_TRY(atn_facts_add(cx, t, "tokenizer", "%s%s", *why ? "cannot be run: " : "runs",
                          why));
done:
    atn_free(cx, ids);
    atn_tokenizer_destroy(cx, tokenizer);
    return st;
}

static atn_status input_facts(atn_ctx *cx, const atn_model *m, atn_table *t)
{
    const atn_config *c = &m->config;
    const char *what = c->arch->input == ATN_INPUT_IMAGE ? "image" : "latents";
    atn_status st = ATN_OK;

    if (c->arch->input == ATN_INPUT_TOKENS) {
        ATN_TRY(atn_facts_add(cx, t, "vocabulary", "%lld%s", (long long)c->vocab,
                              c->tied ? ", tied embeddings" : ""));
        if (c->max_positions)
            ATN_TRY(
                atn_facts_add(cx, t, "positions", "%lld", (long long)c->max_positions));
        ATN_TRY(atn_facts_add(cx, t, "next-token loss", "%s",
                              m->has_head ? "yes"
                              : !c->arch->causal
                                  ? "no: it predicts no next token"
                                  : "no, the model has no output layer"));
        ATN_TRY(atn_tokenizer_fact(cx, m->dir, t));
        goto done;
    }
    ATN_TRY(atn_facts_add(cx, t, what, "%lld channels of %lldx%lld",
                          (long long)c->channels, (long long)c->image_h,
                          (long long)c->image_w));
    ATN_TRY(atn_facts_add(cx, t, "tokens", "%lld special, then %lldx%lld patches",
                          (long long)c->specials, (long long)(c->image_h / c->patch),
                          (long long)(c->image_w / c->patch)));
    ATN_TRY(atn_facts_add(cx, t, "classes", "%lld",
                          (long long)(c->classes ? c->classes : m->labels)));
done:
    return st;
}

static atn_status size_facts(atn_ctx *cx, const atn_model *m, atn_table *t)
{
    const atn_config *c = &m->config;
    atn_status st = ATN_OK;

    if (c->n_stacks > 1)
        ATN_TRY(atn_facts_add(cx, t, "layers", "%lld encoder, %lld decoder",
                              (long long)c->stacks[0].layers,
                              (long long)c->stacks[1].layers));
    else
        ATN_TRY(atn_facts_add(cx, t, "layers", "%lld", (long long)c->layers));
    ATN_TRY(atn_facts_add(cx, t, "width", "%lld", (long long)c->width));
    ATN_TRY(atn_facts_add(
        cx, t, "heads", "%lld queries, %lld keys and values, %lld wide",
        (long long)c->heads, (long long)c->kv_heads, (long long)c->head_dim));
    ATN_TRY(atn_facts_add(cx, t, "feed-forward width", "%lld%s", (long long)c->ffn,
                          c->gated ? ", gated" : ""));
    if (c->experts)
        ATN_TRY(atn_facts_add(cx, t, "experts", "%lld, of which %lld a token",
                              (long long)c->experts, (long long)c->experts_per_token));
done:
    return st;
}

atn_status atn_model_facts(atn_ctx *cx, const atn_model *m, atn_table **out)
{
    const atn_config *c = &m->config;
    atn_status st = ATN_OK;
    atn_table *t;

    ATN_TRY(atn_facts_create(cx, out));
    t = *out;
    ATN_TRY(atn_facts_add(cx, t, "model directory", "%s", m->dir));
    ATN_TRY(atn_facts_add(cx, t, "family", "%s (%s)", c->arch->title, c->arch->id));
    ATN_TRY(size_facts(cx, m, t));
    ATN_TRY(atn_facts_add(cx, t, "weights", "%.4g million numbers, %.4g MiB",
                          atn_model_parameters(m) / 1e6,
                          atn_model_bytes(m) / (1 << 20)));
    if (c->arch->rope) ATN_TRY(rope_fact(cx, &c->rope, "", t));
    if (c->two_ropes) ATN_TRY(rope_fact(cx, &c->local_rope, " in windows", t));
    if (c->stacks[0].rel.buckets)
        ATN_TRY(atn_facts_add(cx, t, "relative positions",
                              "%lld biases a head and stack, for distances to %lld",
                              (long long)c->stacks[0].rel.buckets,
                              (long long)c->stacks[0].rel.max_distance));
    ATN_TRY(input_facts(cx, m, t));
done:
    return st;
}

/* ---- layers ---- */

enum { SAMPLE_TOKENS = 2 };

/* Something that the model could read, to see which attentions it makes. */
static atn_input sample_input(const atn_model *m, atn_idx n)
{
    const bool tokens = m->config.arch->input == ATN_INPUT_TOKENS;

    return (atn_input){.n = tokens ? n : 0,
                       .n_target = tokens && m->config.n_stacks > 1 ? n : 0,
                       .steps = m->config.arch->input == ATN_INPUT_LATENTS};
}

typedef struct layer_columns {
    int stack, layer, heads, kv_heads, d, mask, window, scale, softcap, sink, bias,
        rotary;
} layer_columns;

static atn_status add_columns(atn_ctx *cx, atn_table *t, bool stacks, layer_columns *c)
{
    atn_status st = ATN_OK;

    c->stack = -1;
    if (stacks)
        ATN_TRY(atn_table_add_col(cx, t, "stack", ATN_COL_STR, "", NULL, &c->stack));
    ATN_TRY(atn_table_add_col(cx, t, "layer", ATN_COL_I64, "", NULL, &c->layer));
    ATN_TRY(atn_table_add_col(cx, t, "heads", ATN_COL_I64, "", NULL, &c->heads));
    ATN_TRY(atn_table_add_col(cx, t, "kv_heads", ATN_COL_I64, "", NULL, &c->kv_heads));
    ATN_TRY(atn_table_add_col(cx, t, "d", ATN_COL_I64, "", NULL, &c->d));
    ATN_TRY(atn_table_add_col(cx, t, "mask", ATN_COL_STR, "", NULL, &c->mask));
    ATN_TRY(atn_table_add_col(cx, t, "window", ATN_COL_I64, "",
                              "keys of the sliding window, empty = none", &c->window));
    ATN_TRY(atn_table_add_col(cx, t, "scale", ATN_COL_F64, "",
                              "factor of the dot product", &c->scale));
    ATN_TRY(atn_table_add_col(cx, t, "softcap", ATN_COL_F64, "",
                              "of the logits, empty = none", &c->softcap));
    ATN_TRY(atn_table_add_col(cx, t, "sink", ATN_COL_BOOL, "",
                              "an extra logit a head in the denominator", &c->sink));
    ATN_TRY(atn_table_add_col(cx, t, "bias", ATN_COL_STR, "",
                              "by position, empty = none", &c->bias));
    ATN_TRY(atn_table_add_col(cx, t, "theta", ATN_COL_F64, "",
                              "base of the rotary embedding, empty = none",
                              &c->rotary));
done:
    return st;
}

static atn_status add_place(atn_ctx *cx, const atn_config *c, const atn_place *p,
                            const layer_columns *col, atn_table *t)
{
    const char *bias = p->has_alibi ? "ALiBi" : p->rel.buckets ? "relative" : NULL;
    atn_status st = ATN_OK;

    ATN_TRY(atn_table_add_row(cx, t));
    if (col->stack >= 0) ATN_TRY(atn_table_set_str(cx, t, col->stack, p->stack));
    atn_table_set_i64(t, col->layer, p->layer);
    atn_table_set_i64(t, col->heads, p->heads);
    atn_table_set_i64(t, col->kv_heads, p->kv_heads);
    atn_table_set_i64(t, col->d, p->d);
    ATN_TRY(
        atn_table_set_str(cx, t, col->mask, p->sight.causal ? "causal" : "both ways"));
    if (p->sight.window > 0) atn_table_set_i64(t, col->window, p->sight.window);
    atn_table_set_f64(t, col->scale, p->scale);
    if (p->sight.softcap > 0) atn_table_set_f64(t, col->softcap, p->sight.softcap);
    atn_table_set_bool(t, col->sink, p->has_sink);
    if (bias) ATN_TRY(atn_table_set_str(cx, t, col->bias, bias));
    if (c->arch->rope)
        atn_table_set_f64(t, col->rotary, atn_config_rope(c, p->layer)->theta);
done:
    return st;
}

atn_status atn_model_layers(atn_ctx *cx, const atn_model *m, atn_table **out)
{
    const atn_input in = sample_input(m, SAMPLE_TOKENS);
    atn_status st = ATN_OK;
    atn_place *places = NULL;
    atn_idx n = 0;
    layer_columns c;

    ATN_TRY(atn_model_places(cx, m, &in, &places, &n));
    ATN_TRY(atn_table_create(cx, "model", out));
    ATN_TRY(add_columns(cx, *out, m->config.n_stacks > 1, &c));
    for (atn_idx i = 0; i < n; i++)
        ATN_TRY(add_place(cx, &m->config, &places[i], &c, *out));
    atn_table_be_brief(*out);
done:
    atn_free(cx, places);
    return st;
}

/* ---- costs ---- */

static atn_status no_visit(atn_ctx *cx, const atn_layer_dump *dump, void *state)
{
    (void)cx, (void)dump, (void)state;
    return ATN_OK;
}

static atn_status add_cost(atn_ctx *cx, const atn_model *m, const atn_input *in,
                           atn_table *t)
{
    const double mib = 1 << 20;
    atn_status st = ATN_OK;
    atn_forward_args a = {.input = *in,
                          .visit = no_visit,
                          .want_loss = m->has_head,
                          .last_place = INT32_MAX};
    double stored = 0, dense = 0, largest = 0;
    atn_place *places = NULL;
    atn_idx n = 0;

    ATN_TRY(atn_model_places(cx, m, in, &places, &n));
    for (atn_idx i = 0; i < n; i++) {
        const atn_place *p = &places[i];

        stored += atn_place_values(p, m->config.width);
        dense += (double)p->heads * (double)p->nq * (double)p->nk;
        largest = fmax(largest, (double)(p->heads * p->dv * m->config.width));
    }
    a.visit_bytes = 4 * largest;
    ATN_TRY(atn_table_add_row(cx, t));
    atn_table_set_i64(t, 0, atn_model_tokens(m, in));
    atn_table_set_f64(t, 1, atn_model_flops(m, in) / 1e9);
    atn_table_set_f64(t, 2, atn_forward_memory(cx, m, &a) / mib);
    atn_table_set_f64(t, 3, 4 * stored / mib);
    atn_table_set_f64(t, 4, 4 * dense / mib);
done:
    atn_free(cx, places);
    return st;
}

atn_status atn_model_costs(atn_ctx *cx, const atn_model *m, atn_table **out)
{
    static const char *const names[][2] = {{"work_gflop", "GFLOP"},
                                           {"memory_mib", "MiB"},
                                           {"capture_mib", "MiB"},
                                           {"p_mib", "MiB"}};
    static const char *const texts[] = {
        "of the forward pass without the logits", "beside the mapped weights",
        "q, k, v, w_o of all layers as float32", "with --save p, beside it"};
    const atn_idx most = m->config.max_tokens ? m->config.max_tokens : 2048;
    const bool tokens = m->config.arch->input == ATN_INPUT_TOKENS;
    atn_status st = ATN_OK;

    ATN_TRY(atn_table_create(cx, "costs", out));
    ATN_TRY(atn_table_add_col(cx, *out, "tokens", ATN_COL_I64, "", NULL, NULL));
    for (size_t i = 0; i < ATN_LEN(names); i++)
        ATN_TRY(atn_table_add_col(cx, *out, names[i][0], ATN_COL_F64, names[i][1],
                                  texts[i], NULL));
    for (atn_idx n = 128; tokens && n < most && n <= 1 << 20; n *= 4) {
        const atn_input in = sample_input(m, n);

        ATN_TRY(add_cost(cx, m, &in, *out));
    }
    {
        const atn_input in = sample_input(m, most);

        ATN_TRY(add_cost(cx, m, &in, *out));
    }
    atn_table_be_brief(*out);
done:
    return st;
}
