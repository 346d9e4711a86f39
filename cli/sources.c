/* cli/sources.c -- the table that a figure is drawn from, computed from a capture. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "cli/sources.h"

#include <string.h>

#include "analysis/similarity.h"
#include "analysis/stats.h"

typedef atn_status make_table(atn_ctx *cx, const atn_subject *s,
                              const atn_source_opts *opts, atn_table **out);

static atn_status heatmap(atn_ctx *cx, const atn_subject *s,
                          const atn_source_opts *opts, atn_table **out)
{
    const atn_selection *sel = &s->selection;

    if (sel->n_heads != 1)
        return atn_fail(cx, ATN_USAGE, __FILE__, __LINE__,
                        "a heatmap shows one head, %lld are chosen (give --layers L "
                        "--heads H, or draw all with: attnscope plot heads)",
                        (long long)sel->n_heads);
    for (int i = 0; i < sel->n; i++)
        for (atn_idx h = 0; h < sel->max_heads; h++)
            if (sel->heads[i * sel->max_heads + h])
                return atn_heatmap_table(cx, s->capture, sel->at[i], h,
                                         opts->cells ? opts->cells : 512, opts->pool,
                                         out);
    return atn_fail(cx, ATN_INTERNAL, __FILE__, __LINE__,
                    "the chosen head is not there");
}

static atn_status heads(atn_ctx *cx, const atn_subject *s, const atn_source_opts *opts,
                        atn_table **out)
{
    const atn_idx n = s->selection.n_heads;
    const atn_idx usual = n <= 64 ? 128 : n <= 400 ? 64 : 32;

    return atn_heads_page_table(cx, s->capture, &s->selection,
                                opts->cells ? opts->cells : usual, opts->pool, out);
}

static atn_status similarity(atn_ctx *cx, const atn_subject *s,
                             const atn_source_opts *opts, atn_table **out)
{
    atn_similarity_opts o;
    atn_similarity sim = {0};
    atn_status st = ATN_OK;

    atn_similarity_defaults(&o);
    o.copy_err = opts->copy_err;
    ATN_TRY(atn_similarity_run(cx, s->capture, &s->selection, &o, &sim));
    ATN_TRY(atn_similarity_layers_table(cx, &sim, out));
done:
    atn_similarity_release(cx, &sim);
    return st;
}

/* The measure that has a column; NULL = none. */
static const atn_measure *measure_of(const char *column)
{
    for (const atn_measure *const *m = atn_measures; *m; m++)
        for (const atn_measure_col *c = (*m)->cols; c->name; c++)
            if (strcmp(c->name, column) == 0) return *m;
    return NULL;
}

static atn_status stats(atn_ctx *cx, const atn_subject *s, const atn_source_opts *opts,
                        atn_table **out)
{
    const atn_measure *m = opts->y ? measure_of(opts->y) : NULL;
    const atn_stats_opts o = {.measures = m ? m->id : NULL};
    const char *name = atn_capture_model(s->capture)->name;
    atn_status st = ATN_OK;

    ATN_TRY(atn_stats_table(cx, s->capture, &s->selection, &o, out));
    if (m) ATN_TRY(atn_table_set_meta(cx, *out, "title", m->title));
    if (name) ATN_TRY(atn_table_set_meta(cx, *out, "subtitle", name));
done:
    return st;
}

static const struct {
    const char *figure;
    make_table *make;
    bool pools;
} sources[] = {{"bars", stats, false},
               {"heads", heads, true},
               {"heatmap", heatmap, true},
               {"line", stats, false},
               {"similarity", similarity, false}};

bool atn_source_pools(const char *figure)
{
    for (size_t i = 0; i < ATN_LEN(sources); i++)
        if (strcmp(sources[i].figure, figure) == 0) return sources[i].pools;
    return false;
}

atn_status atn_source_table(atn_ctx *cx, const char *figure, const atn_subject *s,
                            const atn_source_opts *opts, atn_table **out)
{
    *out = NULL;
    for (size_t i = 0; i < ATN_LEN(sources); i++)
        if (strcmp(sources[i].figure, figure) == 0)
            return sources[i].make(cx, s, opts, out);
    return atn_fail(
        cx, ATN_USAGE, __FILE__, __LINE__,
        "figure %s is drawn from a table, not from a capture (give a CSV or "
        "JSONL file)",
        figure);
}
