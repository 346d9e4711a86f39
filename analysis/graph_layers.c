/* analysis/graph_layers.c -- the walk over layers and heads under the tables of the
 * attention graph. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include <math.h>
#include <string.h>

#include "analysis/graph_internal.h"

void atn_graph_defaults(atn_graph_table_opts *o)
{
    *o = (atn_graph_table_opts){
        .what = ATN_GRAPH_FEATURE | ATN_GRAPH_FREQUENCY,
        .worst_steps = 40,
        .spectrum = {.bins = 8, .dense = 2048, .steps = 40, .edge = .01}};
}

void atn_graph_put(atn_table *t, int col, double value)
{
    if (!isnan(value)) atn_table_set_f64(t, col, value);
}

atn_cmat atn_graph_features_of(const atn_graph_layer *l, const atn_head *h)
{
    if (l->hidden) return (atn_cmat){l->hidden, h->nk, l->width, l->width};
    return l->features ? h->v : (atn_cmat){0};
}

/* ---- one layer ---- */

static atn_status load_hidden(atn_ctx *cx, const atn_capture *c, int at,
                              atn_graph_layer *l, float **owned)
{
    atn_idx shape[ATN_ST_MAX_RANK];
    atn_status st = ATN_OK;
    int rank = 0;

    ATN_TRY(atn_capture_tensor(cx, c, at, "h", owned, &rank, shape));
    if (!*owned || !l->self || l->info->nq != l->info->nk) goto done;
    if (rank != 2 || shape[0] != l->info->nk)
        ATN_FAIL(ATN_DATA, "%s: \"h\" has rank %d and %lld rows, not rank 2 and %lld",
                 atn_layer_name(l->info).text, rank, (long long)shape[0],
                 (long long)l->info->nk);
    l->hidden = *owned;
    l->width = shape[1];
done:
    return st;
}

static atn_status find_features(atn_ctx *cx, const atn_capture *c, int at,
                                const atn_graph_table_opts *o, atn_graph_layer *l,
                                float **owned)
{
    const bool hidden = o->features == ATN_GRAPH_HIDDEN;
    atn_status st = ATN_OK;

    if (hidden) ATN_TRY(load_hidden(cx, c, at, l, owned));
    l->features = hidden ? l->hidden != NULL : l->problem->v != NULL;
    if (!l->features)
        atn_log(cx, ATN_LOG_WARN,
                "%s: what needs features stays empty, the capture has no %s",
                atn_layer_name(l->info).text,
                hidden ? "layer inputs of all keys (h; capture with --save h)"
                       : "values (v)");
done:
    return st;
}

/* Labels of the queries are those of their own keys; the arena has them. */
static atn_status find_labels(atn_ctx *cx, const atn_graph_table_opts *o,
                              atn_graph_layer *l)
{
    int32_t *key = NULL, *query = NULL;
    atn_idx *of = NULL;
    atn_status st = ATN_OK;

    ATN_TRY(atn_token_labels_layer(cx, o->labels, l->info, l->self, &key,
                                   &l->labels.classes, &of));
    if (!key) goto done;
    ATN_TAKE(query, l->info->nq);
    for (atn_idx i = 0; i < l->info->nq; i++) {
        const atn_idx at = atn_sight_at(&l->info->sight, i);
        query[i] = at >= 0 && at < l->info->nk ? key[at] : -1;
    }
    l->labels.query = query;
    l->labels.key = key;
    l->class_of = of;
done:
    return st;
}

static atn_status visit_head(atn_ctx *cx, const atn_graph_layer *l, const atn_head *h,
                             bool bad, atn_graph_visit *visit, void *state,
                             atn_idx *failed)
{
    const atn_arena_mark mark = atn_arena_save(cx);
    atn_status st = bad ? ATN_OK : visit(cx, l, h, false, state);

    if (st == ATN_DATA) {
        atn_err_forgive(cx);
        bad = true;
        st = ATN_OK;
    }
    if (bad && st == ATN_OK) {
        ++*failed;
        st = visit(cx, l, h, true, state);
    }
    atn_arena_rewind(cx, mark);
    return st;
}

typedef struct one {
    const atn_graph_table_opts *o;
    unsigned what;
    atn_graph_visit *visit;
    void *state;
    atn_idx *failed;
} one;

static atn_status one_layer(atn_ctx *cx, const atn_capture *c, int at, const bool *keep,
                            const one *v)
{
    const atn_arena_mark mark = atn_arena_save(cx);
    const atn_layer_info *info = atn_capture_layer(c, at);
    atn_graph_layer l = {.info = info};
    atn_status st = ATN_OK;
    atn_problem p = {0};
    float *hidden = NULL;
    bool *bad = NULL;

    if (v->o->skip_rows >= info->nq)
        ATN_FAIL(ATN_USAGE,
                 "graph: --skip-rows %lld leaves no row of %s, which has %lld "
                 "(give a smaller number)",
                 (long long)v->o->skip_rows, atn_layer_name(info).text,
                 (long long)info->nq);
    ATN_TAKE(bad, info->heads);
    memset(bad, 0, (size_t)info->heads * sizeof *bad);
    ATN_TRY(atn_capture_load_heads(cx, c, at, &p, bad));
    l.problem = &p;
    l.self = strcmp(info->stack, "cross") != 0 &&
             (info->sight.causal || info->nq == info->nk);
    if (v->what & (ATN_GRAPH_FEATURE | ATN_GRAPH_FREQUENCY))
        ATN_TRY(find_features(cx, c, at, v->o, &l, &hidden));
    if (v->what & ATN_GRAPH_LABELLED) ATN_TRY(find_labels(cx, v->o, &l));
    for (atn_idx h = 0; h < info->heads; h++) {
        const atn_head head = atn_problem_head(&p, h);

        if (keep[h])
            ATN_TRY(visit_head(cx, &l, &head, bad[h], v->visit, v->state, v->failed));
    }
done:
    atn_free(cx, hidden);
    atn_capture_unload(cx, &p);
    atn_arena_rewind(cx, mark);
    return st;
}

atn_status atn_graph_each(atn_ctx *cx, const atn_capture *c, const atn_selection *sel,
                          const atn_graph_table_opts *o, unsigned what,
                          atn_graph_visit *visit, void *state, atn_idx *failed)
{
    const one v = {o, what, visit, state, failed};
    atn_status st = ATN_OK;

    *failed = 0;
    for (int i = 0; i < sel->n; i++)
        ATN_TRY(one_layer(cx, c, sel->at[i], sel->heads + i * sel->max_heads, &v));
done:
    return st;
}
