/* approx/method.c -- the registry of methods, static patterns among them. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "approx/method.h"

#include <stdio.h>
#include <string.h>

#define ATN_METHOD(id) extern const atn_method atn_method_##id;
#include "approx/methods.def"
#undef ATN_METHOD

const atn_method *const atn_methods[] = {
#define ATN_METHOD(id) &atn_method_##id,
#include "approx/methods.def"
#undef ATN_METHOD
    NULL,
};

static const atn_param no_params[] = {ATN_PARAM_END};

bool atn_always(const void *params)
{
    (void)params;
    return true;
}

unsigned atn_looks_ahead(const void *params, const atn_input *in)
{
    (void)params;
    (void)in;
    return ATN_LOOKS_KEYS | ATN_LOOKS_QUERIES;
}

const char *atn_method_id(int i)
{
    for (const atn_method *const *m = atn_methods; *m; m++) {
        if (i-- == 0) return (*m)->id;
        for (const atn_preset *s = (*m)->presets; s && s->id; s++)
            if (i-- == 0) return s->id;
    }
    for (const atn_generator *const *g = atn_generators; *g; g++) {
        if (i-- == 0) return (*g)->id;
        for (const atn_preset *s = (*g)->presets; s && s->id; s++)
            if (i-- == 0) return s->id;
    }
    return NULL;
}

static atn_status unknown(atn_ctx *cx, const char *id)
{
    const char **ids = NULL;
    atn_status st = ATN_OK;
    int n = 0, near;

    while (atn_method_id(n)) n++;
    ATN_TAKE(ids, n);
    for (int i = 0; i < n; i++) ids[i] = atn_method_id(i);
    near = atn_nearest(id, ids, n);
    ATN_FAIL(ATN_USAGE,
             "there is no method '%.60s'%s%s (attnscope list methods names them)", id,
             near >= 0 ? "; did you mean " : "", near >= 0 ? ids[near] : "");
done:
    return st;
}

/* The method, or NULL, of an id; *preset as it is one. */
static const atn_method *find(const char *id, const atn_preset **preset)
{
    *preset = NULL;
    for (const atn_method *const *m = atn_methods; *m; m++) {
        if (strcmp((*m)->id, id) == 0) return *m;
        for (const atn_preset *s = (*m)->presets; s && s->id; s++)
            if (strcmp(s->id, id) == 0) {
                *preset = s;
                return *m;
            }
    }
    return NULL;
}

atn_status atn_choice_read(atn_ctx *cx, const char *id, const char *params,
                           atn_choice *out)
{
    atn_status st = ATN_OK;
    char *values = NULL;

    *out = (atn_choice){0};
    out->method = find(id, &out->preset);
    if (!out->method) out->generator = atn_generator_find(id, &out->preset);
    if (out->method) {
        out->params = out->method->params;
        out->params_size = out->method->params_size;
    } else if (out->generator) {
        out->params = out->generator->params;
        out->params_size = out->generator->params_size;
    } else {
        ATN_TRY(unknown(cx, id));
    }
    if (!out->params) out->params = no_params;
    ATN_TAKE(values, ATN_MAX(out->params_size, 1));
    memset(values, 0, ATN_MAX(out->params_size, 1));
    atn_param_defaults(out->params, values);
    if (out->preset)
        ATN_TRY(atn_param_parse(cx, id, out->params, out->preset->params, values));
    ATN_TRY(atn_param_parse(cx, id, out->params, params, values));
    out->values = values;
done:
    return st;
}

const char *atn_choice_id(const atn_choice *c)
{
    if (c->preset) return c->preset->id;
    return c->method ? c->method->id : c->generator->id;
}

atn_choice_facts atn_choice_describe(const atn_choice *c)
{
    const atn_generator *g = c->generator;
    const atn_method *m = c->method;

    if (m)
        return (atn_choice_facts){.title = m->title,
                                  .family = m->family,
                                  .text = m->text,
                                  .source = m->source,
                                  .reads = m->reads,
                                  .sides = m->sides,
                                  .weights = m->weights_of ? m->weights_of(c->values)
                                                           : m->weights,
                                  .exact = m->exact,
                                  .publishes = m->publishes,
                                  .oracle = m->oracle && m->oracle(c->values)};
    return (atn_choice_facts){.title = g->title,
                              .family = "static",
                              .text = g->text,
                              .source = g->source,
                              .reads = g->draws ? ATN_READS_DRAWS : 0,
                              .sides = ATN_BOTH_WAYS};
}

atn_idx atn_choice_rank(const atn_choice *c, const atn_head *h)
{
    return c->method && c->method->rank ? c->method->rank(c->values, h) : -1;
}

bool atn_choice_spends(const atn_choice *c, const atn_input *in, atn_idx head,
                       atn_spending *out)
{
    const atn_head *h = &in->head[head];

    *out = (atn_spending){0};
    if (!c->method || !c->method->spends || h->nq < 1 || h->nk < 1) return false;
    return c->method->spends(c->values, h, out);
}

const atn_param *atn_choice_budget(const atn_choice *c, bool *falls)
{
    const char *name = c->method ? c->method->budget : c->generator->budget;

    *falls = c->method ? c->method->budget_falls : c->generator->budget_falls;
    for (const atn_param *p = c->params; name && p->name; p++)
        if (strcmp(p->name, name) == 0) return p;
    return NULL;
}

unsigned atn_choice_looks(const atn_choice *c, const atn_input *in)
{
    if (!in->head[0].sight.causal || !c->method || !c->method->looks) return 0;
    return c->method->looks(c->values, in);
}

atn_unit atn_choice_unit(const atn_choice *c, const atn_input *in)
{
    if (!c->method) return ATN_UNIT_HEAD;
    return c->method->unit_of ? c->method->unit_of(c->values, in) : c->method->unit;
}

atn_idx atn_choice_heads(const atn_choice *c, const atn_input *in)
{
    switch (atn_choice_unit(c, in)) {
    case ATN_UNIT_LAYER:
        return in->heads;
    case ATN_UNIT_GROUP:
        return in->group;
    case ATN_UNIT_HEAD:
        break;
    }
    return 1;
}

/* What a layer lacks of what a method reads. */
atn_status atn_grid_check(atn_ctx *cx, const char *method, const atn_input *in)
{
    const int layer = in->head[0].layer;
    atn_status st = ATN_OK;

    if (in->grid_first > 0)
        ATN_FAIL(ATN_DATA,
                 "%s cuts the grid from the first token on, and %lld special token%s "
                 "(grid_first of the capture) stand before that of layer %d (take "
                 "another method)",
                 method, (long long)in->grid_first, in->grid_first == 1 ? "" : "s",
                 layer);
    if (in->head[0].sight.cross)
        ATN_FAIL(ATN_DATA,
                 "%s takes queries and keys of one grid, and the queries of layer %d "
                 "are other tokens (choose layers of self-attention with --stack or "
                 "--layers)",
                 method, layer);
done:
    return st;
}

bool atn_choice_places(const atn_choice *c)
{
    const atn_method *m = c->method;

    if (!m) return !(c->generator->placeless && c->generator->placeless(c->values));
    return (m->reads_of ? m->reads_of(c->values) : m->reads) & ATN_READS_PLACE;
}

/* Queries of another text stand nowhere among the keys. */
static atn_status check_place(atn_ctx *cx, const atn_choice *c, const atn_input *in)
{
    atn_status st = ATN_OK;

    if (in->head[0].sight.cross && atn_choice_places(c))
        ATN_FAIL(ATN_DATA,
                 "%s goes by the distance of query and key, and in cross-attention "
                 "(layer %d) the queries are of another text (choose layers of "
                 "self-attention with --stack or --layers)",
                 atn_choice_id(c), in->head[0].layer);
done:
    return st;
}

static atn_status check_needs(atn_ctx *cx, const atn_choice *c, const atn_input *in)
{
    const atn_method *m = c->method;
    const unsigned reads = m->reads_of ? m->reads_of(c->values) : m->reads;
    const atn_head *h = &in->head[0];
    atn_status st = ATN_OK;

    if ((reads & ATN_READS_QK) && h->p.data)
        ATN_FAIL(ATN_DATA,
                 "%s reads queries and keys, and layer %d has attention matrices alone "
                 "(capture the model, or import --q and --k)",
                 m->id, h->layer);
    if ((reads & ATN_READS_V) && !h->v.data)
        ATN_FAIL(ATN_DATA, "%s reads values, and layer %d has none (import --v)", m->id,
                 h->layer);
    if ((reads & ATN_READS_GRID) && !in->grid)
        ATN_FAIL(ATN_DATA,
                 "%s reads the grid of the tokens, and the capture names none (give "
                 "--grid AxBxC, or import with it)",
                 m->id);
    if (reads & ATN_READS_GRID) ATN_TRY(atn_grid_check(cx, m->id, in));
    if ((reads & ATN_READS_STEPS) && in->steps < 2)
        ATN_FAIL(ATN_DATA,
                 "%s reads several steps of a layer, and the capture has one (import "
                 "--steps)",
                 m->id);
    if ((reads & ATN_READS_TURN) && (in->rotary < 0 || (in->rotary > 0 && !in->turn)))
        ATN_FAIL(
            ATN_DATA,
            "%s turns queries to other positions, and the capture does not say how "
            "its model does that (capture the model itself)",
            m->id);
    if ((reads & ATN_READS_STORED) && ATN_MAX(h->nq, h->nk) > ATN_STORED_MOST)
        ATN_FAIL(
            ATN_DATA,
            "%s stores the attention matrix, and layer %d has %lld tokens, more than "
            "%d (take fewer, or another method)",
            m->id, h->layer, (long long)ATN_MAX(h->nq, h->nk), ATN_STORED_MOST);
    if (!(m->sides & (h->sight.causal ? ATN_CAUSAL : ATN_BIDIRECTIONAL)))
        ATN_FAIL(ATN_DATA, "%s is for %s heads, and those of layer %d are %s%s", m->id,
                 h->sight.causal ? "bidirectional" : "causal", h->layer,
                 h->sight.causal ? "causal" : "bidirectional",
                 h->sight.causal ? " (approx --unmasked takes the mask off them)"
                 : in->unmasked  ? " (leave out --unmasked)"
                                 : "");
done:
    return st;
}

atn_status atn_choice_check(atn_ctx *cx, const atn_choice *c, const atn_input *in)
{
    const atn_status st = check_place(cx, c, in);

    return st == ATN_OK && c->method ? check_needs(cx, c, in) : st;
}

static atn_layout layout_of(const atn_input *in, atn_idx head)
{
    const atn_head *h = &in->head[head];

    return (atn_layout){.nk = h->nk,
                        .nq = h->nq,
                        .first = ATN_MAX(h->sight.offset, 0),
                        .heads = in->heads,
                        .layer = h->layer,
                        .seed = in->seed,
                        .draws = in->draws,
                        .head = head,
                        .grid = in->grid};
}

/* A static pattern as a plan. */
static atn_status plan_static(atn_ctx *cx, const atn_choice *c, const atn_input *in,
                              atn_idx head, atn_plan *out)
{
    const atn_layout l = layout_of(in, head);
    atn_pattern *p = NULL;
    atn_status st = ATN_OK;

    ATN_TRY(c->generator->make(cx, c->values, &l, &p));
    atn_plan_mask(out, p, p->heads == 1 ? 0 : head, p->frame.block, p->frame.block);
done:
    return st;
}

atn_status atn_choice_plan(atn_ctx *cx, const atn_choice *c, const atn_input *in,
                           atn_idx first, atn_plan *out)
{
    const atn_arena_mark mark = atn_arena_save(cx);
    const atn_idx n = atn_choice_heads(c, in);
    atn_status st = ATN_OK;

    ATN_ASSERT(first >= 0 && first + n <= in->heads);
    for (atn_idx k = 0; k < n; k++) out[k] = (atn_plan){.tile_rows = 1, .tile_keys = 1};
    if (in->head[first].nq < 1 || in->head[first].nk < 1) {
        for (atn_idx k = 0; k < n; k++) atn_plan_all(&out[k]); /* all padding */
        return ATN_OK;
    }
    if (c->generator)
        ATN_TRY(plan_static(cx, c, in, first, out));
    else
        ATN_TRY(c->method->plan(cx, in, c->values, first, n, out));
done:
    if (st != ATN_OK)
        for (atn_idx k = 0; k < n; k++) atn_plan_release(cx, &out[k]);
    atn_arena_rewind(cx, mark);
    return st;
}

double atn_choice_bytes(const atn_ctx *cx, const atn_choice *c, const atn_input *in)
{
    const atn_head *h = &in->head[0];
    double bytes = 0;

    if (h->nq < 1 || h->nk < 1) return ATN_METHOD_LITTLE;
    if (c->method && c->method->bytes) bytes = c->method->bytes(cx, c->values, in);
    if (c->generator && c->generator->bytes) {
        const atn_layout l = layout_of(in, 0);

        bytes = c->generator->bytes(c->values, &l);
    }
    return bytes + ATN_METHOD_LITTLE;
}
