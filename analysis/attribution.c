/* analysis/attribution.c -- rollout and flow over the layers of a capture. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "analysis/attribution.h"

#include <math.h>
#include <string.h>

#include "analysis/keys.h"
#include "analysis/layer_facts.h"
#include "analysis/residual.h"
#include "graph/flow.h"

/* ---- one layer ---- */

/* A loaded layer and the graph of its selected heads. */
typedef struct loaded {
    atn_problem p;
    atn_rollout_layer graph;
} loaded;

static atn_status measured_rho(atn_ctx *cx, const atn_model_facts *m, int i,
                               const atn_problem *p, double *rho)
{
    const atn_arena_mark mark = atn_arena_save(cx);
    atn_layer_facts f = {0};
    atn_layer_wants wants = {.wants = ATN_RESIDUAL_WANTS, .skip_rows = m->skip_rows};
    atn_head *head = NULL;
    atn_status st = ATN_OK;

    ATN_TAKE(head, p->heads);
    for (atn_idx h = 0; h < p->heads; h++) head[h] = atn_problem_head(p, h);
    wants.head = head;
    ATN_TRY(atn_layer_facts_load(cx, m->capture, m->selection->at[i], p, &wants, &f));
    ATN_TRY(atn_residual_share(cx, &f, rho));
    if (isnan(*rho))
        ATN_FAIL(ATN_DATA,
                 "layer %d: the residual's share needs v, w_o and h (capture with "
                 "--save h, or give rho)",
                 p->layer);
done:
    atn_layer_facts_release(cx, &f);
    atn_arena_rewind(cx, mark);
    return st;
}

/* Heads are arena memory; unload the problem. */
static atn_status load(atn_ctx *cx, const atn_model_facts *m, int i,
                       const atn_attribution_opts *o, loaded *l)
{
    const bool *keep = m->selection->heads + i * m->selection->max_heads;
    atn_status st = ATN_OK;
    atn_head *head = NULL;
    atn_idx n = 0;

    l->graph =
        (atn_rollout_layer){.combine = (atn_rollout_heads)o->heads, .rho = o->rho};
    ATN_TRY(atn_capture_load(cx, m->capture, m->selection->at[i], &l->p));
    ATN_TAKE(head, l->p.heads);
    for (atn_idx h = 0; h < l->p.heads; h++)
        if (keep[h]) head[n++] = atn_problem_head(&l->p, h);
    l->graph.heads = head;
    l->graph.n_heads = n;
    if (o->residual == ATN_RESIDUAL_NONE) l->graph.rho = 0;
    if (o->residual == ATN_RESIDUAL_MEASURED)
        ATN_TRY(measured_rho(cx, m, i, &l->p, &l->graph.rho));
done:
    return st;
}

/* ---- a part ---- */

/* NULL, or why the layers have no graph. */
static const char *refusal(const atn_model_facts *m, int first, int end)
{
    for (int i = first; i < end; i++) {
        const atn_layer_info *l = atn_model_layer(m, i);

        if (strcmp(l->stack, "cross") == 0) return "their keys are of another text";
        if (l->nq != l->nk) return "their queries are not all of their tokens";
        if (l->nk != atn_model_layer(m, first)->nk) return "they differ in tokens";
    }
    return NULL;
}

static atn_status begin(atn_ctx *cx, const atn_model_facts *m, int first, int end,
                        const atn_attribution_opts *o, atn_idx nodes,
                        atn_attribution *a)
{
    const atn_layer_info *top = atn_model_layer(m, end - 1);
    const char *why = refusal(m, first, end);
    const atn_idx last = ATN_MAX(top->sight.key_last - 1, 0);
    const atn_idx token = o->token < 0 ? last : o->token;
    atn_status st = ATN_OK;

    *a = (atn_attribution){.tokens = top->nk, .block = 1};
    if (why) {
        atn_log(cx, ATN_LOG_WARN, "%s%slayers have no rollout: %s", top->stack,
                *top->stack ? " " : "", why);
        goto done;
    }
    if (token >= top->nk)
        ATN_FAIL(ATN_USAGE, "token %lld is outside 0..%lld", (long long)token,
                 (long long)top->nk - 1);
    if (nodes > 0) a->block = (top->nk + nodes - 1) / nodes;
    a->n = (top->nk + a->block - 1) / a->block;
    a->token = token / a->block;
    a->first = ATN_MIN(top->sight.key_first, top->nk - 1) / a->block;
    ATN_TRY(atn_mem_check(cx, 8.0 * (end - first) * ((double)a->n + 2), "attribution"));
    ATN_NEW(a->w, (end - first) * a->n);
    ATN_NEW(a->total, end - first);
    ATN_NEW(a->rho, end - first);
    a->layers = end - first;
done:
    return st;
}

void atn_attribution_release(atn_ctx *cx, atn_attribution *a)
{
    atn_free(cx, a->w);
    atn_free(cx, a->total);
    atn_free(cx, a->rho);
    *a = (atn_attribution){0};
}

/* Row l of w is pushed down from layer l on: rows l.. go through layer l together. */
atn_status atn_attribution_rollout(atn_ctx *cx, const atn_model_facts *m, int first,
                                   int end, const atn_attribution_opts *o,
                                   atn_attribution *out)
{
    const atn_arena_mark mark = atn_arena_save(cx);
    atn_status st = ATN_OK;
    loaded l = {0};

    ATN_TRY(begin(cx, m, first, end, o, 0, out));
    for (int i = out->layers - 1; i >= 0; i--) {
        ATN_TRY(load(cx, m, first + i, o, &l));
        out->rho[i] = l.graph.rho;
        out->total[i] = 1;
        out->w[i * out->n + out->token] = 1;
        ATN_TRY(atn_rollout_step(cx, &l.graph, out->layers - i, out->w + i * out->n));
        atn_capture_unload(cx, &l.p);
        l.p = (atn_problem){0};
    }
done:
    atn_capture_unload(cx, &l.p);
    if (st != ATN_OK) atn_attribution_release(cx, out);
    atn_arena_rewind(cx, mark);
    return st;
}

static atn_status flow_of_layers(atn_ctx *cx, const double *const *s,
                                 atn_attribution *a)
{
    atn_status st = ATN_OK;

    for (int i = 0; i < a->layers; i++) {
        double *w = a->w + i * a->n;

        ATN_TRY(atn_flow(cx, s, i + 1, a->n, a->token, w));
        for (atn_idx j = 0; j < a->n; j++) a->total[i] += w[j];
        for (atn_idx j = 0; j < a->n && a->total[i] > 0; j++) w[j] /= a->total[i];
    }
done:
    return st;
}

atn_status atn_attribution_flow(atn_ctx *cx, const atn_model_facts *m, int first,
                                int end, const atn_attribution_opts *o, atn_idx nodes,
                                atn_attribution *out)
{
    const atn_arena_mark mark = atn_arena_save(cx);
    atn_status st = ATN_OK;
    const double **s = NULL;
    double *matrix = NULL;
    loaded l = {0};

    ATN_TRY(
        begin(cx, m, first, end, o, ATN_MIN(nodes, (atn_idx)ATN_FLOW_NODES_MAX), out));
    ATN_TRY(
        atn_mem_check(cx, 8.0 * out->layers * (double)out->n * (double)out->n, "flow"));
    ATN_TAKE(s, out->layers);
    for (int i = 0; i < out->layers; i++) {
        ATN_TAKE(matrix, out->n * out->n);
        s[i] = matrix;
        ATN_TRY(load(cx, m, first + i, o, &l));
        out->rho[i] = l.graph.rho;
        ATN_TRY(atn_rollout_matrix(cx, &l.graph, out->block, matrix));
        atn_capture_unload(cx, &l.p);
        l.p = (atn_problem){0};
    }
    ATN_TRY(flow_of_layers(cx, s, out));
done:
    atn_capture_unload(cx, &l.p);
    if (st != ATN_OK) atn_attribution_release(cx, out);
    atn_arena_rewind(cx, mark);
    return st;
}

/* ---- what is said of it ---- */

/* Middle of a node, in tokens. */
static double middle(const atn_attribution *a, atn_idx node)
{
    const atn_idx from = node * a->block;
    const atn_idx to = ATN_MIN(from + a->block, a->tokens);

    return (double)(from + to - 1) / 2;
}

double *atn_attribution_say(const atn_attribution *a, int layer, double *out)
{
    const double *w = a->w + layer * a->n;
    double entropy = 0, distance = 0;
    atn_idx top = 0;

    for (atn_idx j = 0; j < a->n; j++) {
        if (w[j] > 0) entropy -= w[j] * log(w[j]);
        distance += w[j] * fabs(middle(a, a->token) - middle(a, j));
        if (w[j] > w[top]) top = j;
    }
    entropy = ATN_MAX(entropy, 0.0);
    *out++ = w[a->token];
    *out++ = w[a->first];
    *out++ = entropy;
    *out++ = exp(entropy);
    *out++ = distance;
    *out++ = w[top];
    *out++ = (double)(top * a->block);
    return out;
}

atn_status atn_attribution_model(atn_ctx *cx, const atn_model_facts *m,
                                 const atn_attribution_opts *o, atn_idx nodes, int cols,
                                 atn_attribution_put *put, double *out)
{
    const atn_selection *s = m->selection;
    atn_status st = ATN_OK;
    atn_attribution a = {0};

    for (int first = 0, end; first < s->n; first = end) {
        end = atn_selection_part(m->capture, s, first);
        if (nodes > 0)
            ATN_TRY(atn_attribution_flow(cx, m, first, end, o, nodes, &a));
        else
            ATN_TRY(atn_attribution_rollout(cx, m, first, end, o, &a));
        for (int i = first; i < end; i++) {
            const atn_idx heads = atn_selection_heads(s, i);

            if (a.layers > 0) put(&a, i - first, out);
            for (atn_idx h = 1; h < heads; h++)
                memcpy(out + h * cols, out, (size_t)cols * sizeof *out);
            out += heads * cols;
        }
        atn_attribution_release(cx, &a);
    }
done:
    atn_attribution_release(cx, &a);
    return st;
}

/* ---- the table ---- */

typedef struct columns {
    atn_keys key;
    int position, token, text, mass, flow; /* flow -1 = none */
} columns;

static atn_status add_columns(atn_ctx *cx, const atn_selection *s, bool flow,
                              atn_table *t, columns *c)
{
    atn_status st = ATN_OK;

    ATN_TRY(atn_keys_add(cx, s, ATN_KEYS_LAYER, t, &c->key));
    ATN_TRY(atn_table_add_col(cx, t, "position", ATN_COL_I64, "", "input token, from 0",
                              &c->position));
    ATN_TRY(atn_table_add_col(cx, t, "token", ATN_COL_I64, "", "token id", &c->token));
    ATN_TRY(atn_table_add_col(cx, t, "text", ATN_COL_STR, "", "text of the token",
                              &c->text));
    ATN_TRY(atn_table_add_col(cx, t, "rollout_mass", ATN_COL_F64, "",
                              "share of the state that comes from it", &c->mass));
    c->flow = -1;
    if (flow)
        ATN_TRY(atn_table_add_col(cx, t, "flow_mass", ATN_COL_F64, "",
                                  "its share of the largest flows, of a block where "
                                  "there are many tokens",
                                  &c->flow));
done:
    return st;
}

/* One layer and part of a table; flow NULL = not wanted. */
typedef struct states {
    const atn_model_facts *m;
    const atn_attribution *rollout, *flow;
    const columns *c;
    int first; /* layer of the selection that the part begins with */
} states;

static double of_token(const atn_attribution *a, int layer, atn_idx j)
{
    const atn_idx node = j / a->block, from = node * a->block;
    const atn_idx tokens = ATN_MIN(from + a->block, a->tokens) - from;

    return a->w[layer * a->n + node] / (double)tokens;
}

/* The state after layer i of the part. */
static atn_status add_state(atn_ctx *cx, const states *s, int i, atn_table *t)
{
    const atn_layer_info *info = atn_model_layer(s->m, s->first + i);
    const columns *c = s->c;
    atn_tokens queries, keys;
    bool known;
    atn_status st = ATN_OK;

    atn_capture_layer_tokens(s->m->capture, s->m->selection->at[s->first + i], &queries,
                             &keys);
    known = keys.n == s->rollout->tokens;
    for (atn_idx j = 0; j < s->rollout->tokens; j++) {
        ATN_TRY(atn_table_add_row(cx, t));
        ATN_TRY(atn_keys_set(cx, t, &c->key, info, 0));
        atn_table_set_i64(t, c->position, j);
        if (known && keys.ids) atn_table_set_i64(t, c->token, keys.ids[j]);
        if (known && keys.texts)
            ATN_TRY(atn_table_set_str(cx, t, c->text, keys.texts[j]));
        atn_table_set_f64(t, c->mass, of_token(s->rollout, i, j));
        if (s->flow) atn_table_set_f64(t, c->flow, of_token(s->flow, i, j));
    }
done:
    return st;
}

static atn_status add_part(atn_ctx *cx, states *s, int end,
                           const atn_attribution_opts *o,
                           const atn_attribution_rows *rows, atn_table *t)
{
    atn_status st = ATN_OK;
    atn_attribution rollout = {0}, flow = {0};

    ATN_TRY(atn_attribution_rollout(cx, s->m, s->first, end, o, &rollout));
    s->rollout = &rollout;
    s->flow = NULL;
    if (rows->flow > 0 && rollout.layers > 0) {
        ATN_TRY(atn_attribution_flow(cx, s->m, s->first, end, o, rows->flow, &flow));
        s->flow = &flow;
        if (flow.block > 1)
            atn_log(cx, ATN_LOG_WARN,
                    "flow: %lld tokens are averaged to %lld blocks of %lld",
                    (long long)flow.tokens, (long long)flow.n, (long long)flow.block);
    }
    for (int i = rows->last ? ATN_MAX(rollout.layers - 1, 0) : 0; i < rollout.layers;
         i++)
        ATN_TRY(add_state(cx, s, i, t));
done:
    atn_attribution_release(cx, &rollout);
    atn_attribution_release(cx, &flow);
    return st;
}

atn_status atn_rollout_table(atn_ctx *cx, const atn_model_facts *m,
                             const atn_attribution_opts *o,
                             const atn_attribution_rows *rows, atn_table **out)
{
    atn_status st = ATN_OK;
    atn_table *t = NULL;
    columns c;

    *out = NULL;
    ATN_TRY(atn_table_create(cx, "rollout", &t));
    ATN_TRY(add_columns(cx, m->selection, rows->flow > 0, t, &c));
    for (int first = 0, end; first < m->selection->n; first = end) {
        states s = {.m = m, .c = &c, .first = first};

        end = atn_selection_part(m->capture, m->selection, first);
        ATN_TRY(add_part(cx, &s, end, o, rows, t));
    }
    ATN_TRY(atn_table_set_meta(cx, t, "title",
                               rows->flow > 0 ? "Rollout and flow of attention"
                                              : "Rollout of attention"));
    *out = t;
    t = NULL;
done:
    atn_table_destroy(cx, t);
    return st;
}
