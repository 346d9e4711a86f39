/* cli/pages_model.c -- the pages of a report about the model as a whole: its heads as a
 * grid, a value by layer, and the curves of all heads.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "analysis/curves.h"
#include "cli/pages_internal.h"
#include "cli/sources.h"

/* text, or text, before, and a piece, in heap memory; frees text. */
static char *joined(atn_ctx *cx, char *text, const char *between, const char *piece)
{
    char *longer =
        atn_strfmt(cx, "%s%s%s", text ? text : "", text ? between : "", piece);

    atn_free(cx, text);
    return longer;
}

/* "a,b,c": the chief measures that this capture has, and what they are; NULL = none. */
static atn_status chief_measures(atn_ctx *cx, const atn_table *stats, char **columns,
                                 char **texts)
{
    static const char *const chief[] = {"entropy_normalised", "sink_mass",
                                        "previous_mass",      "induction_score",
                                        "diagonal_mass",      "distance_relative"};
    atn_status st = ATN_OK;
    char label[96];

    *columns = *texts = NULL;
    for (size_t i = 0; i < ATN_LEN(chief); i++) {
        const int col = atn_table_find_col(stats, chief[i]);

        if (!atn_source_has_values(stats, col)) continue;
        *columns = joined(cx, *columns, ",", chief[i]);
        snprintf(label, sizeof label, "%.90s", chief[i]);
        for (char *c = label; *c; c++)
            if (*c == '_') *c = ' ';
        *texts = joined(cx, *texts, "; ", label);
        if (*texts) *texts = joined(cx, *texts, ": ", atn_table_col_text(stats, col));
        if (!*columns || !*texts) ATN_TRY(cx->err.code);
    }
done:
    return st;
}

static atn_status grid(atn_page_writer *w, atn_table *stats, const char *columns,
                       const char *texts)
{
    atn_ctx *cx = w->cli->cx;
    atn_status st = ATN_OK;
    char *how = atn_strfmt(cx, "%s --y %s", w->chosen, columns);

    if (!how) ATN_TRY(cx->err.code);
    ATN_TRY(atn_table_set_meta(cx, stats, "y", columns));
    ATN_TRY(atn_page_figure(w, stats,
                            &(atn_page_drawing){.figure = "grid",
                                                .name = "grid",
                                                .how = how,
                                                .title = "Chief measures of every head",
                                                .caption = texts}));
done:
    atn_free(cx, how);
    return st;
}

static atn_status by_layer(atn_page_writer *w, atn_table *stats)
{
    static const char column[] = "entropy_mean_nats";
    const int col = atn_table_find_col(stats, column);
    atn_ctx *cx = w->cli->cx;
    atn_status st = ATN_OK;
    char *how = atn_strfmt(cx, "%s --y %s", w->chosen, column);

    if (!how) ATN_TRY(cx->err.code);
    if (!atn_source_has_values(stats, col)) goto done;
    ATN_TRY(atn_table_set_meta(cx, stats, "y", column));
    ATN_TRY(atn_page_figure(
        w, stats,
        &(atn_page_drawing){.figure = "layers",
                            .name = "entropy-by-layer",
                            .how = how,
                            .title = "Entropy by layer",
                            .caption = atn_table_col_text(stats, col)}));
done:
    atn_free(cx, how);
    return st;
}

static atn_status types(atn_page_writer *w)
{
    atn_report *report = w->pages->report;
    atn_ctx *cx = w->cli->cx;
    atn_status st = ATN_OK;
    atn_table *heads = NULL, *rules = NULL;
    char *how = atn_strfmt(cx, "%s --y type", w->chosen);

    if (!how) ATN_TRY(cx->err.code);
    ATN_TRY(atn_source_types(cx, w->subject, &heads, &rules));
    ATN_TRY(atn_table_set_meta(cx, heads, "y", "type"));
    ATN_TRY(atn_page_figure(
        w, heads,
        &(atn_page_drawing){.figure = "grid",
                            .name = "types",
                            .how = how,
                            .caption = "The first rule that holds names the type"}));
    ATN_TRY(atn_report_table(cx, report, rules, "The rules, in their order", 0));
done:
    atn_table_destroy(cx, heads);
    atn_table_destroy(cx, rules);
    atn_free(cx, how);
    return st;
}

atn_status atn_page_model(atn_page_writer *w, atn_table *stats)
{
    atn_ctx *cx = w->cli->cx;
    atn_status st = ATN_OK;
    char *columns = NULL, *texts = NULL;

    ATN_TRY(chief_measures(cx, stats, &columns, &texts));
    if (!columns) goto done;
    ATN_TRY(atn_page_section(w, "The model page"));
    ATN_TRY(atn_page_or_why(w, grid(w, stats, columns, texts)));
    ATN_TRY(atn_page_or_why(w, types(w)));
    ATN_TRY(atn_page_or_why(w, by_layer(w, stats)));
done:
    atn_free(cx, columns);
    atn_free(cx, texts);
    return st;
}

static atn_status one_curve(atn_page_writer *w, const atn_table *t, const char *figure,
                            const char *caption)
{
    return atn_page_or_why(w, atn_page_figure(w, t,
                                              &(atn_page_drawing){.figure = figure,
                                                                  .name = figure,
                                                                  .how = w->chosen,
                                                                  .caption = caption}));
}

atn_status atn_page_curves(atn_page_writer *w)
{
    const atn_subject *s = w->subject;
    atn_ctx *cx = w->cli->cx;
    atn_status st = ATN_OK;
    atn_curves c = {NULL, NULL, NULL};

    ATN_TRY(atn_page_section(w, "Where the weight lies"));
    st = atn_curves_run(cx, s->capture, &s->selection,
                        ATN_CURVE_DISTANCE | ATN_CURVE_COVERAGE | ATN_CURVE_SINKS, &c);
    if (st != ATN_OK) {
        st = atn_page_or_why(w, st);
        goto done;
    }
    if (atn_source_has_distances(s))
        ATN_TRY(one_curve(w, c.distance, "distance",
                          "Share of the weight by distance of query and key, in "
                          "doubling bins"));
    ATN_TRY(one_curve(w, c.coverage, "coverage",
                      "Least share of the visible keys that holds so much of a row's "
                      "weight, mean over rows"));
    ATN_TRY(one_curve(w, c.sinks, "sinks",
                      "Mean weight that the rows put on each of the first keys, grey "
                      "where fewer than half of them come after; above 0.3 a key is "
                      "called a sink, but in a text of few tokens even weights give "
                      "the first keys as much"));
done:
    atn_curves_release(cx, &c);
    return st;
}
