/* cli/sources.c -- the table that a figure is drawn from, computed from a capture. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "cli/sources.h"

#include <string.h>

#include "analysis/adapter_tables.h"
#include "analysis/clusters.h"
#include "analysis/curves.h"
#include "analysis/graph_tables.h"
#include "analysis/head_types.h"
#include "analysis/keys.h"
#include "analysis/similarity.h"
#include "analysis/stats.h"
#include "analysis/tensor_regime.h"

typedef atn_status make_table(atn_ctx *cx, const atn_subject *s,
                              const atn_source_opts *opts, atn_table **out);

static atn_status heatmap(atn_ctx *cx, const atn_subject *s,
                          const atn_source_opts *opts, atn_table **out)
{
    const atn_selection *sel = &s->selection;

    if (sel->n_heads != 1)
        return atn_fail(cx, ATN_USAGE, __FILE__, __LINE__,
                        "a heatmap shows one head, %lld are chosen (give%s, or draw "
                        "all with: attnscope plot heads)",
                        (long long)sel->n_heads,
                        atn_selection_narrower(s->capture, sel, ATN_NARROW_ALL).text);
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

static atn_status regime(atn_ctx *cx, const atn_subject *s, const atn_source_opts *opts,
                         atn_table **out)
{
    (void)opts;
    return atn_tensor_regime(cx, s->capture, &s->selection, 0, out);
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

/* The measure that has the column of n characters at name; NULL = none. */
static const atn_measure *measure_of(const char *name, size_t n)
{
    for (const atn_measure *const *m = atn_measures; *m; m++)
        for (const atn_measure_col *c = (*m)->cols; c->name; c++)
            if (strlen(c->name) == n && strncmp(c->name, name, n) == 0) return *m;
    return NULL;
}

/* The measures that the columns "a,b" belong to, each once, in heap memory; NULL where
 * one is unknown or there are none: then all are computed, and the figure says what is
 * missing. */
static atn_status measures_of(atn_ctx *cx, const char *columns, char **out)
{
    enum { MOST = 64 };
    const atn_measure *found[MOST];
    atn_status st = ATN_OK;
    char *list = NULL;
    int n = 0;

    *out = NULL;
    for (const char *at = columns; at && *at && n < MOST;) {
        const size_t length = strcspn(at, ",");
        const atn_measure *m = measure_of(at, length);
        bool known = false;

        if (!m) goto done;
        for (int i = 0; i < n; i++) known |= found[i] == m;
        if (!known) {
            char *longer =
                atn_strfmt(cx, "%s%s%s", list ? list : "", list ? "," : "", m->id);
            if (!longer) ATN_TRY(cx->err.code);
            atn_free(cx, list);
            list = longer;
            found[n++] = m;
        }
        at += length + (at[length] == ',');
    }
    *out = list;
    list = NULL;
done:
    atn_free(cx, list);
    return st;
}

atn_status atn_source_types(atn_ctx *cx, const atn_subject *s, atn_table **heads,
                            atn_table **rules)
{
    char specs[ATN_HEAD_SPECS];
    atn_status st = ATN_OK;
    atn_stats_opts opts = {.measures = specs};
    atn_stats *stats = NULL;

    *heads = *rules = NULL;
    atn_head_types_measures(s->capture, &s->selection, specs);
    ATN_TRY(atn_stats_run(cx, s->capture, &s->selection, &opts, &stats));
    ATN_TRY(atn_head_types_tables(cx, stats, heads, rules));
done:
    atn_stats_destroy(cx, stats);
    return st;
}

/* Is "type" among the columns "a,b"? */
static bool wants_types(const char *columns)
{
    for (const char *at = columns; at && *at;) {
        const size_t n = strcspn(at, ",");

        if (n == 4 && strncmp(at, "type", 4) == 0) return true;
        at += n + (at[n] == ',');
    }
    return false;
}

/* What of the graph table the columns "a,b" belong to; 0 where one is of none. */
static unsigned graph_columns(const char *columns)
{
    unsigned what = 0;

    for (const char *at = columns; at && *at;) {
        const size_t n = strcspn(at, ",");
        const unsigned one = atn_graph_column(at, n);

        if (!one) return 0;
        what |= one;
        at += n + (at[n] == ',');
    }
    return what;
}

bool atn_source_has_values(const atn_table *t, int col)
{
    for (atn_idx r = 0; col >= 0 && r < atn_table_rows(t); r++)
        if (atn_table_has(t, r, col)) return true;
    return false;
}

/* No head has `what`: says why. */
static atn_status none_has(atn_ctx *cx, const atn_subject *s, const char *what,
                           atn_idx failed)
{
    const atn_selection *sel = &s->selection;
    bool square = false, values = false;

    for (int i = 0; i < sel->n; i++) {
        const atn_layer_info *l = atn_capture_layer(s->capture, sel->at[i]);
        const bool own = l->nq == l->nk && !l->sight.cross;

        square |= own;
        values |= own && l->has_v;
    }
    return atn_fail(cx, ATN_DATA, __FILE__, __LINE__, "no head has %s: %s", what,
                    !square      ? "their queries and keys are not the same tokens"
                    : !values    ? "the capture has no values"
                    : failed > 0 ? "those that could have one failed"
                                 : "their features are all zero");
}

/* Has any of the columns "a,b" a value? */
static bool any_has_values(const atn_table *t, const char *columns)
{
    for (const char *at = columns; at && *at;) {
        const size_t n = strcspn(at, ",");

        for (int c = 0; c < atn_table_cols(t); c++) {
            const char *name = atn_table_col_name(t, c);

            if (strlen(name) == n && strncmp(name, at, n) == 0 &&
                atn_source_has_values(t, c))
                return true;
        }
        at += n + (at[n] == ',');
    }
    return false;
}

/* Heads that fail are named in the log and have no value. */
static atn_status graph(atn_ctx *cx, const atn_subject *s, unsigned what,
                        const char *columns, atn_table **out)
{
    atn_status st = ATN_OK;
    atn_graph_table_opts o;
    atn_idx failed = 0;

    if (what & ATN_GRAPH_LABELLED)
        ATN_FAIL(ATN_USAGE,
                 "homophily of labels is drawn from a table (attnscope graph RUN "
                 "--labels class -o FILE.csv, and that FILE in place of RUN)");
    atn_graph_defaults(&o);
    o.what = what;
    ATN_TRY(atn_graph_table(cx, s->capture, &s->selection, &o, out, &failed));
    if (!any_has_values(*out, columns))
        ATN_TRY(none_has(cx, s, strstr(columns, "homophily") ? "a homophily" : columns,
                         failed));
    ATN_TRY(atn_part_subtitle(cx, s->capture, &s->selection, *out));
done:
    return st;
}

static atn_status spectrum(atn_ctx *cx, const atn_subject *s,
                           const atn_source_opts *opts, atn_table **out)
{
    atn_status st = ATN_OK;
    atn_table *ends = NULL;
    atn_graph_table_opts o;
    atn_idx failed = 0;

    (void)opts;
    atn_graph_defaults(&o);
    ATN_TRY(atn_graph_spectrum_tables(cx, s->capture, &s->selection, &o, out, &ends,
                                      &failed));
    if (!any_has_values(*out, "energy_share"))
        ATN_TRY(none_has(cx, s, "a spectrum", failed));
    ATN_TRY(atn_part_subtitle(cx, s->capture, &s->selection, *out));
done:
    atn_table_destroy(cx, ends);
    return st;
}

static atn_status energy(atn_ctx *cx, const atn_subject *s, const atn_source_opts *opts,
                         atn_table **out)
{
    atn_adapter_opts o = atn_adapter_opts_default;
    atn_status st = ATN_OK;
    atn_idx failed = 0;

    if (opts->n_p > 0) {
        o.p = opts->p;
        o.n_p = opts->n_p;
    }
    if (opts->iterations > 0) o.iterations = opts->iterations;
    ATN_TRY(atn_adapter_table(cx, s->capture, &s->selection, &o, out, &failed));
    if (!any_has_values(*out, "energy")) ATN_TRY(none_has(cx, s, "an energy", failed));
    ATN_TRY(atn_part_subtitle(cx, s->capture, &s->selection, *out));
done:
    return st;
}

static atn_status stats(atn_ctx *cx, const atn_subject *s, const atn_source_opts *opts,
                        atn_table **out)
{
    const atn_measure *m = opts->y ? measure_of(opts->y, strlen(opts->y)) : NULL;
    const unsigned what = graph_columns(opts->y);
    atn_stats_opts o = {0};
    atn_status st = ATN_OK;
    char *measures = NULL;

    if (what) return graph(cx, s, what, opts->y, out);
    ATN_TRY(measures_of(cx, opts->y, &measures));
    o.measures = measures;
    ATN_TRY(atn_stats_table(cx, s->capture, &s->selection, &o, out));
    if (m) ATN_TRY(atn_table_set_meta(cx, *out, "title", m->title));
    ATN_TRY(atn_part_subtitle(cx, s->capture, &s->selection, *out));
done:
    atn_free(cx, measures);
    return st;
}

/* The measures; or, where types are wanted, the types and what they were found by. */
static atn_status grid(atn_ctx *cx, const atn_subject *s, const atn_source_opts *opts,
                       atn_table **out)
{
    atn_table *rules = NULL;
    atn_status st;

    if (!wants_types(opts->y)) return stats(cx, s, opts, out);
    st = atn_source_types(cx, s, out, &rules);
    atn_table_destroy(cx, rules);
    return st;
}

/* By cosine: the divergence of all pairs is for those who ask for it (attnscope
 * similarity). */
static atn_status dendrogram(atn_ctx *cx, const atn_subject *s,
                             const atn_source_opts *opts, atn_table **out)
{
    const atn_cluster_opts by = {.distance = ATN_CLUSTER_COSINE};
    atn_similarity_opts o;
    atn_similarity sim = {0};
    atn_status st = ATN_OK;

    (void)opts;
    atn_similarity_defaults(&o);
    o.copy_err = false;
    ATN_TRY(atn_similarity_run(cx, s->capture, &s->selection, &o, &sim));
    ATN_TRY(atn_clusters_table(cx, &sim, &by, out, NULL));
done:
    atn_similarity_release(cx, &sim);
    return st;
}

bool atn_source_has_distances(const atn_subject *s)
{
    for (int i = 0; i < s->selection.n; i++)
        if (!atn_capture_layer(s->capture, s->selection.at[i])->sight.cross)
            return true;
    return false;
}

/* The table of one kind of curves, ATN_CURVE_*. */
static atn_status curves(atn_ctx *cx, const atn_subject *s, unsigned which,
                         atn_table **out)
{
    atn_status st = ATN_OK;
    atn_curves c;

    if (which == ATN_CURVE_DISTANCE && !atn_source_has_distances(s))
        ATN_FAIL(ATN_DATA, "no head has distances: their queries and keys are not the "
                           "same tokens");
    ATN_TRY(atn_curves_run(cx, s->capture, &s->selection, which, &c));
    *out = c.distance ? c.distance : c.coverage ? c.coverage : c.sinks;
done:
    return st;
}

static const struct {
    const char *figure;
    make_table *make; /* NULL = curves */
    bool pools;
    const char *y;  /* what it shows where no column is named: no other is computed */
    unsigned curve; /* ATN_CURVE_* */
} sources[] = {{"bars", stats, false, NULL, 0},
               {"coverage", NULL, false, NULL, ATN_CURVE_COVERAGE},
               {"dendrogram", dendrogram, false, NULL, 0},
               {"distance", NULL, false, NULL, ATN_CURVE_DISTANCE},
               {"energy", energy, false, NULL, 0},
               {"grid", grid, false, "entropy_normalised", 0},
               {"heads", heads, true, NULL, 0},
               {"heatmap", heatmap, true, NULL, 0},
               {"layers", stats, false, "entropy_mean_nats", 0},
               {"line", stats, false, NULL, 0},
               {"similarity", similarity, false, NULL, 0},
               {"sinks", NULL, false, NULL, ATN_CURVE_SINKS},
               {"spectrum", spectrum, false, NULL, 0},
               {"tensor_regime", regime, false, NULL, 0}};

bool atn_source_pools(const char *figure)
{
    for (size_t i = 0; i < ATN_LEN(sources); i++)
        if (strcmp(sources[i].figure, figure) == 0) return sources[i].pools;
    return false;
}

atn_status atn_source_table(atn_ctx *cx, const char *figure, const atn_subject *s,
                            const atn_source_opts *opts, atn_table **out)
{
    atn_source_opts with = *opts;

    *out = NULL;
    for (size_t i = 0; i < ATN_LEN(sources); i++) {
        if (strcmp(sources[i].figure, figure) != 0) continue;
        if (sources[i].curve) return curves(cx, s, sources[i].curve, out);
        if (!with.y) with.y = sources[i].y;
        return sources[i].make(cx, s, &with, out);
    }
    return atn_fail(
        cx, ATN_USAGE, __FILE__, __LINE__,
        "figure %s is drawn from a table, not from a capture (give a CSV or "
        "JSONL file)",
        figure);
}
