/* cli/pages_graph.c -- the page of a report about attention as a graph. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include <stdio.h>
#include <string.h>

#include "cli/pages_internal.h"
#include "cli/source_patterns.h"
#include "cli/sources.h"

/* Longer texts are left to commands of their own: all eigenvalues of a head cost n^3,
 * ten steps of message passing n^2 powers each, the joined patterns of its layers some
 * n heads intervals, and a map of them n^2 bits a layer. */
enum {
    SPECTRUM_TOKENS = 1024,
    ENERGY_TOKENS = 1024,
    FIELD_TOKENS = 16384,
    REACH_TOKENS = 4096
};

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
    ATN_TRY(atn_table_set_meta(cx, t, "y", column));
    ATN_TRY(atn_page_figure(
        w, t,
        &(atn_page_drawing){
            .figure = "layers",
            .name = "homophily",
            .how = how,
            .title = "Homophily by layer",
            .caption = "Mean cosine of a token's values with those of the other "
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

static atn_status energy(atn_page_writer *w)
{
    static const double p = 1.5;
    const atn_source_opts opts = {.p = &p, .n_p = 1};
    const atn_idx n = longest(w);
    atn_ctx *cx = w->cli->cx;
    atn_status st = ATN_OK;
    atn_table *t = NULL;
    char *how = atn_strfmt(cx, " --p %g%s", p, w->chosen);

    if (!how) ATN_TRY(cx->err.code);
    if (n > ENERGY_TOKENS)
        ATN_FAIL(ATN_USAGE,
                 "Energies of %lld tokens are left to attnscope graph --p %g (here at "
                 "most %d).",
                 (long long)n, p, ENERGY_TOKENS);
    ATN_TRY(atn_source_table(cx, "energy", w->subject, &opts, &t));
    ATN_TRY(atn_page_figure(
        w, t,
        &(atn_page_drawing){.figure = "energy",
                            .name = "energy",
                            .how = how,
                            .caption = "Message passing with the p-Laplacian from "
                                       "plain attention on: how much of the energy "
                                       "is left after every step"}));
done:
    atn_table_destroy(cx, t);
    atn_free(cx, how);
    return st;
}

/* ---- the best keys ---- */

static const char TAKE[] = "topk:k=8";

/* The head that looks furthest back, by the rule of the highlights; else the first. */
static atn_highlight head_of(const atn_page_writer *w, const atn_table *stats)
{
    const atn_selection *sel = &w->subject->selection;
    const atn_layer_info *l = atn_capture_layer(w->subject->capture, sel->at[0]);
    atn_highlight picks[ATN_HIGHLIGHTS],
        first = {.stack = l->stack, .step = l->step, .layer = l->layer};
    const int n = atn_highlights(stats, picks);

    for (int i = 0; i < n; i++)
        if (strcmp(picks[i].id, "far") == 0) return picks[i];
    while (first.head < sel->max_heads && !sel->heads[first.head]) first.head++;
    return first;
}

static char *caption_of(const atn_page_writer *w, const atn_highlight *h)
{
    char title[ATN_PAGE_HEAD];

    return atn_strfmt(w->cli->cx, "The eight best keys of every query of %s%s%s",
                      atn_page_head_title(w, h, title), h->what ? ", which " : "",
                      h->what ? h->what : "");
}

static atn_status picture_of(atn_page_writer *w, const atn_highlight *h)
{
    int at = atn_page_layer_of(w, h);
    atn_ctx *cx = w->cli->cx;
    const atn_arena_mark mark = atn_arena_save(cx);
    atn_subject one = *w->subject; /* borrowed but for the selection */
    const atn_pattern_source source = {
        .figure = "pattern", .subject = &one, .from = TAKE};
    char chosen[ATN_PAGE_HOW], of[ATN_PAGE_NAME], how[240], name[160], *caption = NULL;
    atn_status st = ATN_OK;
    atn_table *t = NULL;

    one.selection.n = 1;
    one.selection.at = &at;
    one.selection.n_heads = 1;
    ATN_TAKE(one.selection.heads, one.selection.max_heads);
    memset(one.selection.heads, 0, (size_t)one.selection.max_heads);
    one.selection.heads[h->head] = true;
    atn_page_head_words(w, h, chosen, of);
    snprintf(how, sizeof how, " --from %s%s", TAKE, chosen);
    snprintf(name, sizeof name, "pattern-%s", of);
    caption = caption_of(w, h);
    if (!caption) ATN_TRY(cx->err.code);
    ATN_TRY(atn_pattern_source_table(cx, &source, &t));
    ATN_TRY(atn_page_figure(
        w, t,
        &(atn_page_drawing){
            .figure = "pattern", .name = name, .how = how, .caption = caption}));
done:
    atn_table_destroy(cx, t);
    atn_free(cx, caption);
    atn_arena_rewind(cx, mark);
    return st;
}

static atn_status picture(atn_page_writer *w, const atn_table *stats)
{
    const atn_highlight h = head_of(w, stats);
    const atn_layer_info *l =
        atn_capture_layer(w->subject->capture, atn_page_layer_of(w, &h));
    atn_ctx *cx = w->cli->cx;
    atn_status st = ATN_OK;

    if (ATN_MAX(l->nq, l->nk) > FIELD_TOKENS)
        ATN_FAIL(ATN_USAGE,
                 "The best keys among %lld tokens are left to attnscope plot pattern "
                 "RUN --from %s (here at most %d).",
                 (long long)ATN_MAX(l->nq, l->nk), TAKE, FIELD_TOKENS);
    ATN_TRY(picture_of(w, &h));
done:
    return st;
}

static atn_status growth(atn_page_writer *w, const atn_pattern_source *source)
{
    char word[ATN_WINDOW_WORD];
    atn_ctx *cx = w->cli->cx;
    atn_status st = ATN_OK;
    atn_table *t = NULL;
    char *how = NULL;

    ATN_TRY(atn_pattern_source_budget(cx, source, word, &t));
    how = atn_strfmt(cx, " %s --from %s%s", word, TAKE, w->chosen);
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

static atn_status reach(atn_page_writer *w, const atn_pattern_source *source)
{
    atn_ctx *cx = w->cli->cx;
    atn_status st = ATN_OK;
    atn_table *t = NULL;
    char *how = atn_strfmt(cx, " --from %s%s", TAKE, w->chosen);

    if (!how) ATN_TRY(cx->err.code);
    ATN_TRY(atn_pattern_source_table(cx, source, &t));
    ATN_TRY(atn_page_figure(
        w, t,
        &(atn_page_drawing){.figure = "reach",
                            .name = "reach",
                            .how = how,
                            .caption = "The first layer after which a query can depend "
                                       "on a key through the eight best keys of every "
                                       "head, heads joined"}));
done:
    atn_table_destroy(cx, t);
    atn_free(cx, how);
    return st;
}

/* growth or reach, where the text is not too long for it. */
static atn_status field(atn_page_writer *w, const char *figure, atn_idx most)
{
    atn_pattern_source source = {.figure = figure, .subject = w->subject, .from = TAKE};
    const bool grows = strcmp(figure, "growth") == 0;
    const atn_idx n = longest(w);
    char *chosen = atn_pattern_selection(w->cli);
    atn_ctx *cx = w->cli->cx;
    atn_status st = ATN_OK;

    if (!chosen) ATN_TRY(cx->err.code);
    source.chosen = chosen;
    if (n > most)
        ATN_FAIL(ATN_USAGE,
                 "The %s of %lld tokens is left to attnscope %s RUN --from %s (here at "
                 "most %lld).",
                 grows ? "field" : "map of the field", (long long)n,
                 grows ? "field" : "plot reach", TAKE, (long long)most);
    ATN_TRY(grows ? growth(w, &source) : reach(w, &source));
done:
    atn_free(cx, chosen);
    return st;
}

atn_status atn_page_graph(atn_page_writer *w, const atn_table *stats)
{
    atn_ctx *cx = w->cli->cx;
    atn_status st = ATN_OK;

    ATN_TRY(atn_page_section(w, "The attention graph"));
    ATN_TRY(atn_page_or_why(w, unless_memory(w, homophily(w), "Homophilies")));
    ATN_TRY(atn_page_or_why(w, unless_memory(w, spectrum(w), "Spectra")));
    ATN_TRY(atn_page_or_why(w, unless_memory(w, energy(w), "Energies")));
    ATN_TRY(atn_page_or_why(w, unless_memory(w, picture(w, stats), "Best keys")));
    ATN_TRY(atn_page_or_why(
        w, unless_memory(w, field(w, "growth", FIELD_TOKENS), "Fields")));
    ATN_TRY(atn_page_or_why(
        w, unless_memory(w, field(w, "reach", REACH_TOKENS), "Maps of fields")));
done:
    return st;
}
