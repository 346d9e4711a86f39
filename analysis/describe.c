/* analysis/describe.c -- what a capture holds, as tables. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "analysis/describe.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

atn_status atn_facts_create(atn_ctx *cx, atn_table **out)
{
    atn_status st = ATN_OK;
    atn_table *t = NULL;

    *out = NULL;
    ATN_TRY(atn_table_create(cx, "facts", &t));
    ATN_TRY(atn_table_add_col(cx, t, "fact", ATN_COL_STR, "", NULL, NULL));
    ATN_TRY(atn_table_add_col(cx, t, "value", ATN_COL_STR, "", NULL, NULL));
    *out = t;
    t = NULL;
done:
    atn_table_destroy(cx, t);
    return st;
}

atn_status atn_facts_add(atn_ctx *cx, atn_table *t, const char *fact, const char *fmt,
                         ...)
{
    atn_status st = ATN_OK;
    char text[1024];
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    ATN_TRY(atn_table_add_row(cx, t));
    ATN_TRY(atn_table_set_str(cx, t, 0, fact));
    ATN_TRY(atn_table_set_str(cx, t, 1, text));
done:
    return st;
}

static bool same_stack(const atn_capture *c, int a, int b)
{
    return strcmp(atn_capture_layer(c, a)->stack, atn_capture_layer(c, b)->stack) == 0;
}

/* Layer l is the first of its stack: how many layers this has at the step of l; else
 * 0. */
static int count_stack(const atn_capture *c, int l)
{
    int n = 0;

    for (int i = 0; i < l; i++)
        if (same_stack(c, i, l)) return 0;
    for (int i = l; i < atn_capture_layers(c); i++)
        n += same_stack(c, i, l) &&
             atn_capture_layer(c, i)->step == atn_capture_layer(c, l)->step;
    return n;
}

/* In the order that data passes through them, other names behind. */
static size_t stack_rank(const char *stack)
{
    static const char *const names[] = {"encoder", "decoder", "cross"};
    size_t rank = 0;

    while (rank < ATN_LEN(names) && strcmp(stack, names[rank]) != 0) rank++;
    return rank;
}

/* "6 encoder, 2 decoder, 2 cross": the layers of every stack at its first step; ""
 * where there is one stack. */
static void stacks_text(const atn_capture *c, char *out, size_t size)
{
    int stacks = 0;

    *out = '\0';
    for (size_t rank = 0; rank <= 3; rank++)
        for (int l = 0; l < atn_capture_layers(c); l++) {
            const char *stack = atn_capture_layer(c, l)->stack;
            const size_t used = strlen(out);
            const int n = stack_rank(stack) == rank ? count_stack(c, l) : 0;

            if (n == 0) continue;
            snprintf(out + used, size - used, "%s%d %.40s", used ? ", " : "", n, stack);
            stacks++;
        }
    if (stacks < 2) *out = '\0';
}

/* The manifest counts the layers of one stack. */
static atn_status model_facts(atn_ctx *cx, const atn_model_info *m, bool stacks,
                              atn_table *t)
{
    atn_status st = ATN_OK;

    if (m->name) ATN_TRY(atn_facts_add(cx, t, "model", "%s", m->name));
    if (m->dir) ATN_TRY(atn_facts_add(cx, t, "model directory", "%s", m->dir));
    if (m->model_type) ATN_TRY(atn_facts_add(cx, t, "model type", "%s", m->model_type));
    if (m->layers && !stacks)
        ATN_TRY(
            atn_facts_add(cx, t, "layers of the model", "%lld", (long long)m->layers));
    if (m->width) ATN_TRY(atn_facts_add(cx, t, "width", "%lld", (long long)m->width));
    if (m->ffn)
        ATN_TRY(atn_facts_add(cx, t, "feed-forward width", "%lld%s", (long long)m->ffn,
                              m->gated ? ", gated" : ""));
    if (m->vocab)
        ATN_TRY(atn_facts_add(cx, t, "vocabulary", "%lld%s", (long long)m->vocab,
                              m->tied ? ", tied embeddings" : ""));
done:
    return st;
}

static atn_status loss_fact(atn_ctx *cx, const json_t *loss, atn_table *t)
{
    const json_t *nats = json_object_get(loss, "nats_per_token");
    atn_status st = ATN_OK;

    if (!json_is_number(nats)) return ATN_OK;
    ATN_TRY(
        atn_facts_add(cx, t, "next-token loss", "%.4f nats", json_number_value(nats)));
    ATN_TRY(atn_facts_add(cx, t, "perplexity", "%.4g",
                          json_number_value(json_object_get(loss, "perplexity"))));
done:
    return st;
}

/* Keys of the longest layer. */
static atn_idx longest(const atn_capture *c)
{
    atn_idx n = 0;

    for (int l = 0; l < atn_capture_layers(c); l++)
        n = ATN_MAX(n, atn_capture_layer(c, l)->nk);
    return n;
}

static atn_status grid_fact(atn_ctx *cx, const atn_capture *c, atn_table *t)
{
    const atn_list *grid = atn_capture_grid(c);
    const atn_idx first = atn_capture_grid_first(c);
    atn_idx text = longest(c) - first;
    atn_status st = ATN_OK;
    char shape[128], before[64] = "", after[64] = "";
    atn_idx tokens = 1;

    if (!grid) return ATN_OK;
    for (int i = 0; i < grid->n; i++) tokens *= grid->at[i];
    text -= tokens;
    atn_list_text(grid, shape, sizeof shape);
    if (first > 0)
        snprintf(before, sizeof before, "%lld special, then ", (long long)first);
    if (text > 0) snprintf(after, sizeof after, ", then %lld of text", (long long)text);
    ATN_TRY(atn_facts_add(cx, t, "grid", "%s%s tokens%s", before, shape, after));
done:
    return st;
}

/* What the tokens are, where the capture says it. */
static atn_status token_facts(atn_ctx *cx, const atn_capture *c, atn_table *t)
{
    const uint8_t *roles = atn_capture_roles(c);
    const atn_idx n = longest(c), prompt = atn_capture_prompt(c);
    atn_idx count[ATN_ROLES] = {0};
    atn_status st = ATN_OK;

    ATN_TRY(grid_fact(cx, c, t));
    for (atn_idx i = 0; roles && i < n; i++) count[roles[i]]++;
    if (roles)
        ATN_TRY(atn_facts_add(cx, t, "roles", "%lld landmark, %lld global, %lld none",
                              (long long)count[ATN_ROLE_LANDMARK],
                              (long long)count[ATN_ROLE_GLOBAL],
                              (long long)count[ATN_ROLE_NONE]));
    if (prompt)
        ATN_TRY(atn_facts_add(cx, t, "prompt", "%lld tokens, %lld are generated",
                              (long long)prompt, (long long)(n - prompt)));
done:
    return st;
}

/* Layers come in the order of their steps. */
static atn_status step_fact(atn_ctx *cx, const atn_capture *c, atn_table *t)
{
    int steps = 0;

    for (int l = 0; l < atn_capture_layers(c); l++)
        steps += l == 0 ||
                 atn_capture_layer(c, l)->step != atn_capture_layer(c, l - 1)->step;
    return steps > 1 ? atn_facts_add(cx, t, "steps", "%d", steps) : ATN_OK;
}

static atn_status layers_fact(atn_ctx *cx, const atn_capture *c, const char *stacks,
                              atn_table *t)
{
    return atn_facts_add(cx, t, "layers captured", "%d%s%s", atn_capture_layers(c),
                         *stacks ? ": " : "", stacks);
}

/* Of a capture whose stacks have tokens each: the keys of a stack's first layer. */
static atn_status stack_tokens_fact(atn_ctx *cx, const atn_capture *c, atn_table *t)
{
    static const char *const names[] = {"encoder", "decoder"};
    bool texts = true;
    char text[96] = "";

    for (size_t s = 0; s < ATN_LEN(names); s++)
        for (int l = 0; l < atn_capture_layers(c); l++) {
            const size_t used = strlen(text);
            atn_tokens queries, keys;

            if (strcmp(atn_capture_layer(c, l)->stack, names[s]) != 0) continue;
            atn_capture_layer_tokens(c, l, &queries, &keys);
            texts = texts && (keys.n == 0 || keys.texts);
            if (keys.n > 0)
                snprintf(text + used, sizeof text - used, "%s%lld %s", used ? ", " : "",
                         (long long)keys.n, names[s]);
            break;
        }
    if (!*text) return ATN_OK;
    return atn_facts_add(cx, t, "tokens", "%s%s", text,
                         texts ? "" : ", without their texts");
}

atn_status atn_describe_capture(atn_ctx *cx, const atn_capture *c, atn_table **out)
{
    const int32_t *ids = NULL;
    const char *const *texts = NULL;
    const atn_idx tokens = atn_capture_tokens(c, &ids, &texts);
    atn_status st = ATN_OK;
    atn_table *t = NULL;
    char stacks[96];

    *out = NULL;
    stacks_text(c, stacks, sizeof stacks);
    ATN_TRY(atn_facts_create(cx, &t));
    ATN_TRY(atn_facts_add(cx, t, "capture", "%s", atn_capture_dir(c)));
    ATN_TRY(atn_facts_add(cx, t, "complete", "%s",
                          atn_capture_complete(c)
                              ? "yes"
                              : "no: run the same capture command again to finish it"));
    ATN_TRY(model_facts(cx, atn_capture_model(c), *stacks, t));
    ATN_TRY(layers_fact(cx, c, stacks, t));
    if (tokens)
        ATN_TRY(atn_facts_add(cx, t, "tokens", "%lld%s", (long long)tokens,
                              texts ? "" : ", without their texts"));
    else
        ATN_TRY(stack_tokens_fact(cx, c, t));
    ATN_TRY(step_fact(cx, c, t));
    ATN_TRY(token_facts(cx, c, t));
    ATN_TRY(loss_fact(cx, json_object_get(atn_capture_manifest(c), "loss"), t));
    *out = t;
    t = NULL;
done:
    atn_table_destroy(cx, t);
    return st;
}

/* ---- one row a layer ---- */

typedef struct layer_columns {
    int stack, step, layer, heads, kv_heads, d, dv, nq, nk, scale, mask, window,
        softcap, tensors;
} layer_columns;

static atn_status add_columns(atn_ctx *cx, atn_table *t, const atn_selection *sel,
                              layer_columns *c)
{
    const struct {
        int *at;
        const char *name;
        atn_col_type type;
        const char *text;
    } rows[] = {
        {&c->layer, "layer", ATN_COL_I64, "index in the model"},
        {&c->heads, "heads", ATN_COL_I64, "query heads"},
        {&c->kv_heads, "kv_heads", ATN_COL_I64, "key and value heads"},
        {&c->d, "d", ATN_COL_I64, "numbers of a query or key"},
        {&c->dv, "d_v", ATN_COL_I64, "numbers of a value"},
        {&c->nq, "queries", ATN_COL_I64, "rows of the attention matrix"},
        {&c->nk, "keys", ATN_COL_I64, "columns of the attention matrix"},
        {&c->scale, "scale", ATN_COL_F64, "factor of the dot product"},
        {&c->mask, "mask", ATN_COL_STR, "causal, or both ways"},
        {&c->window, "window", ATN_COL_I64, "keys of the sliding window, empty = none"},
        {&c->softcap, "softcap", ATN_COL_F64, "cap of the logits, empty = none"},
        {&c->tensors, "tensors", ATN_COL_STR, "what the layer file holds"},
    };
    atn_status st = ATN_OK;

    c->stack = c->step = -1;
    if (sel->many_stacks)
        ATN_TRY(atn_table_add_col(cx, t, "stack", ATN_COL_STR, "", NULL, &c->stack));
    if (sel->many_steps)
        ATN_TRY(atn_table_add_col(cx, t, "step", ATN_COL_I64, "", NULL, &c->step));
    for (size_t i = 0; i < ATN_LEN(rows); i++)
        ATN_TRY(atn_table_add_col(cx, t, rows[i].name, rows[i].type, "", rows[i].text,
                                  rows[i].at));
done:
    return st;
}

static atn_status add_layer(atn_ctx *cx, atn_table *t, const layer_columns *c,
                            const atn_layer_info *l)
{
    atn_status st = ATN_OK;

    ATN_TRY(atn_table_add_row(cx, t));
    if (c->stack >= 0) ATN_TRY(atn_table_set_str(cx, t, c->stack, l->stack));
    if (c->step >= 0) atn_table_set_i64(t, c->step, l->step);
    atn_table_set_i64(t, c->layer, l->layer);
    atn_table_set_i64(t, c->heads, l->heads);
    atn_table_set_i64(t, c->kv_heads, l->kv_heads);
    if (l->has_qk) atn_table_set_i64(t, c->d, l->d);
    if (l->has_v) atn_table_set_i64(t, c->dv, l->dv);
    atn_table_set_i64(t, c->nq, l->nq);
    atn_table_set_i64(t, c->nk, l->nk);
    if (l->has_qk) atn_table_set_f64(t, c->scale, l->scale);
    ATN_TRY(
        atn_table_set_str(cx, t, c->mask, l->sight.causal ? "causal" : "both ways"));
    if (l->sight.window > 0) atn_table_set_i64(t, c->window, l->sight.window);
    if (l->sight.softcap > 0) atn_table_set_f64(t, c->softcap, l->sight.softcap);
    ATN_TRY(atn_table_set_str(cx, t, c->tensors, l->tensors));
done:
    return st;
}

atn_status atn_describe_layers(atn_ctx *cx, const atn_capture *c,
                               const atn_selection *sel, atn_table **out)
{
    atn_status st = ATN_OK;
    atn_table *t = NULL;
    layer_columns columns;

    *out = NULL;
    ATN_TRY(atn_table_create(cx, "inspect", &t));
    ATN_TRY(add_columns(cx, t, sel, &columns));
    for (int i = 0; i < sel->n; i++)
        ATN_TRY(add_layer(cx, t, &columns, atn_capture_layer(c, sel->at[i])));
    *out = t;
    t = NULL;
done:
    atn_table_destroy(cx, t);
    return st;
}
