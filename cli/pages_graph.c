/* cli/pages_graph.c -- the page of a report about attention as a graph. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include <stdio.h>

#include "cli/pages_internal.h"
#include "cli/source_patterns.h"
#include "cli/sources.h"

/* Longer texts are left to commands of their own: all eigenvalues of a head cost n^3,
 * the joined patterns of its layers some n heads intervals. */
enum { SPECTRUM_TOKENS = 1024, FIELD_TOKENS = 16384 };

static atn_idx longest(const atn_page_writer *w)
{
    const atn_selection *sel = &w->subject->selection;
    atn_idx n = 0;

    for (int i = 0; i < sel->n; i++)
        n = ATN_MAX(n, atn_capture_layer(w->subject->capture, sel->at[i])->nk);
    return n;
}

/* What does not fit is left out, and the rest of the report goes on. */
static atn_status unless_memory(atn_page_writer *w, atn_status st, const char *what)
{
    atn_ctx *cx = w->cli->cx;

    if (st != ATN_MEMORY) return st;
    atn_err_clear(cx);
    return atn_fail(cx, ATN_USAGE, __FILE__, __LINE__,
                    "%s of this text need more memory than there is to be had.", what);
}

static atn_status homophily(atn_page_writer *w)
{
    static const char column[] = "feature_homophily_nodiag";
    atn_ctx *cx = w->cli->cx;
    atn_status st = ATN_OK;
    atn_table *t = NULL;
    char *how = atn_strfmt(cx, "%s --y %s", w->chosen, column);

    if (!how) ATN_TRY(cx->err.code);
    ATN_TRY(atn_source_table(cx, "layers", w->subject, &(atn_source_opts){.y = column},
                             &t));
    if (!atn_page_has_values(t, atn_table_find_col(t, column)))
        ATN_FAIL(ATN_DATA, "No head has a homophily: the capture has no values.");
    ATN_TRY(atn_table_set_meta(cx, t, "y", column));
    ATN_TRY(atn_page_figure(
        w, t,
        &(atn_page_drawing){"layers", "homophily", how, "Homophily by layer",
                            "Mean cosine of a token's values with those of the other "
                            "tokens it looks at: near 0 or below, tokens look at what "
                            "is unlike them"}));
done:
    atn_table_destroy(cx, t);
    atn_free(cx, how);
    return st;
}

static atn_status spectrum(atn_page_writer *w)
{
    const atn_idx n = longest(w);
    atn_ctx *cx = w->cli->cx;
    atn_status st = ATN_OK;
    atn_table *t = NULL;

    if (n > SPECTRUM_TOKENS)
        ATN_FAIL(
            ATN_USAGE,
            "Spectra of %lld tokens are left to attnscope graph --spectrum (here at "
            "most %d).",
            (long long)n, SPECTRUM_TOKENS);
    ATN_TRY(atn_source_table(cx, "spectrum", w->subject, &(atn_source_opts){0}, &t));
    if (!atn_page_has_values(t, atn_table_find_col(t, "energy_share")))
        ATN_FAIL(ATN_DATA, "No head has a spectrum: the capture has no values, or not "
                           "the same tokens as queries and keys.");
    ATN_TRY(atn_page_figure(
        w, t,
        &(atn_page_drawing){.figure = "spectrum",
                            .name = "spectrum",
                            .how = w->chosen,
                            .caption = "Energy of the values by eigenvalue of the "
                                       "graph's Laplacian, slow signals on the left; "
                                       "dashed: what attention leaves of each"}));
done:
    atn_table_destroy(cx, t);
    return st;
}

static atn_status field(atn_page_writer *w)
{
    static const char take[] = "topk:k=8";
    const atn_pattern_source source = {
        .figure = "growth", .subject = w->subject, .from = take};
    const atn_idx n = longest(w);
    char word[ATN_WINDOW_WORD];
    atn_ctx *cx = w->cli->cx;
    atn_status st = ATN_OK;
    atn_table *t = NULL;
    char *how = NULL;

    if (n > FIELD_TOKENS)
        ATN_FAIL(ATN_USAGE,
                 "The field of %lld tokens is left to attnscope field RUN --from %s "
                 "(here at most %d).",
                 (long long)n, take, FIELD_TOKENS);
    ATN_TRY(atn_pattern_source_budget(cx, &source, word, &t));
    how = atn_strfmt(cx, " %s --from %s%s", word, take, w->chosen);
    if (!how) ATN_TRY(cx->err.code);
    ATN_TRY(atn_page_figure(
        w, t,
        &(atn_page_drawing){.figure = "growth",
                            .name = "growth",
                            .how = how,
                            .caption = "How much of the text the last token can depend "
                                       "on through the eight best keys of every head, "
                                       "heads joined, beside a sliding window of as "
                                       "many pairs a layer"}));
done:
    atn_table_destroy(cx, t);
    atn_free(cx, how);
    return st;
}

atn_status atn_page_graph(atn_page_writer *w)
{
    atn_ctx *cx = w->cli->cx;
    atn_status st = ATN_OK;

    ATN_TRY(atn_page_section(w, "The attention graph"));
    ATN_TRY(atn_page_or_why(w, unless_memory(w, homophily(w), "Homophilies")));
    ATN_TRY(atn_page_or_why(w, unless_memory(w, spectrum(w), "Spectra")));
    ATN_TRY(atn_page_or_why(w, unless_memory(w, field(w), "Fields")));
done:
    return st;
}
