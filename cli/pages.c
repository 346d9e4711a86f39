/* cli/pages.c -- the pages of a report about one capture. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "cli/pages_internal.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "analysis/clusters.h"
#include "analysis/describe.h"
#include "analysis/measure.h"
#include "analysis/similarity.h"
#include "cli/sources.h"
#include "core/io/file.h"
#include "core/io/json.h"

enum { MANY_HEADS = 160, TREE_HEADS = 256 };

static atn_status captured_page(atn_page_writer *w)
{
    atn_ctx *cx = w->cli->cx;
    atn_status st = ATN_OK;
    atn_table *facts = NULL, *layers = NULL;

    ATN_TRY(atn_page_section(w, "What was captured"));
    ATN_TRY(atn_describe_capture(cx, w->subject->capture, &facts));
    ATN_TRY(atn_report_table(cx, w->pages->report, facts, NULL, 0));
    ATN_TRY(
        atn_describe_layers(cx, w->subject->capture, &w->subject->selection, &layers));
    ATN_TRY(atn_report_table(cx, w->pages->report, layers, "Layers", ATN_PAGE_ROWS));
done:
    atn_table_destroy(cx, facts);
    atn_table_destroy(cx, layers);
    return st;
}

static atn_status one_measure(atn_page_writer *w, const char *id, atn_table *stats,
                              int col, const char *title)
{
    const char *column = atn_table_col_name(stats, col);
    atn_ctx *cx = w->cli->cx;
    atn_status st = ATN_OK;
    char *how = atn_strfmt(cx, "%s --y %s", w->chosen, column);

    if (!how) ATN_TRY(cx->err.code);
    ATN_TRY(atn_table_set_meta(cx, stats, "y", column));
    ATN_TRY(atn_page_figure(
        w, stats,
        &(atn_page_drawing){.figure = id,
                            .name = column,
                            .how = how,
                            .title = title,
                            .caption = atn_table_col_text(stats, col)}));
done:
    atn_free(cx, how);
    return st;
}

static atn_status measures_page(atn_page_writer *w, atn_table *stats)
{
    static const struct {
        const char *column, *title;
    } shown[] = {
        {"entropy_normalised", "How evenly a row spreads (1 = over all it sees)"},
        {"distance_mean_tokens", "How far back the weight lies"},
        {"previous_mass", "Weight on the previous token"},
        {"induction_score", "Weight on what followed the same token before"},
        {"sink_mass", "Weight on the first key"},
        {"topk_mass", "Weight on the eight best keys of a row"},
    };
    const char *id = w->subject->selection.n_heads > MANY_HEADS ? "line" : "bars";
    atn_ctx *cx = w->cli->cx;
    atn_status st = ATN_OK;

    ATN_TRY(atn_page_section(w, "Measures of every head"));
    for (size_t i = 0; i < ATN_LEN(shown); i++) {
        const int col = atn_table_find_col(stats, shown[i].column);

        if (!atn_source_has_values(stats, col)) continue;
        ATN_TRY(one_measure(w, id, stats, col, shown[i].title));
    }
    ATN_TRY(
        atn_report_table(cx, w->pages->report, stats, "All measures", ATN_PAGE_ROWS));
done:
    return st;
}

/* The comparison of one part, borrowed. */
static atn_similarity part_of(const atn_similarity *sim, const atn_page_part *part)
{
    atn_similarity one = *sim;

    one.part += part->index;
    one.parts = 1;
    return one;
}

static atn_status draw_similarity(atn_page_writer *w, const atn_page_part *part,
                                  const void *state)
{
    const atn_similarity one = part_of(state, part);
    atn_ctx *cx = w->cli->cx;
    atn_status st = ATN_OK;
    atn_table *t = NULL;
    char name[96];

    snprintf(name, sizeof name, "similarity%s", part->name);
    ATN_TRY(atn_similarity_layers_table(cx, &one, &t));
    ATN_TRY(atn_page_figure(
        w, t,
        &(atn_page_drawing){.figure = "similarity",
                            .name = name,
                            .how = part->how,
                            .caption = "cos_elem: mean over heads of the cosine of two "
                                       "attention matrices"}));
done:
    atn_table_destroy(cx, t);
    return st;
}

static atn_status similarity_tables(atn_page_writer *w, const atn_similarity *sim)
{
    atn_report *report = w->pages->report;
    atn_ctx *cx = w->cli->cx;
    atn_status st = ATN_OK;
    atn_table *layers = NULL, *plan = NULL, *totals = NULL;
    atn_share_opts share;

    atn_share_defaults(&share);
    ATN_TRY(atn_page_each_part(w, "similarity", draw_similarity, sim));
    ATN_TRY(atn_similarity_layers_table(cx, sim, &layers));
    ATN_TRY(
        atn_report_table(cx, report, layers, "Layers against layers", ATN_PAGE_ROWS));
    ATN_TRY(atn_similarity_plan_table(cx, sim, &share, &plan, &totals));
    ATN_TRY(atn_report_table(cx, report, plan, "Sharing plan at similarity 0.9",
                             ATN_PAGE_ROWS));
    ATN_TRY(atn_report_table(cx, report, totals, "What the plan saves", 0));
done:
    atn_table_destroy(cx, layers);
    atn_table_destroy(cx, plan);
    atn_table_destroy(cx, totals);
    return st;
}

/* The tree of heads; drawing it takes the square of their number. */
static atn_status tree(atn_page_writer *w, const atn_page_part *part, const void *state)
{
    const atn_cluster_opts opts = {.distance = ATN_CLUSTER_COSINE};
    const atn_similarity one = part_of(state, part);
    const atn_idx heads = part->sel.n_heads;
    atn_ctx *cx = w->cli->cx;
    atn_status st = ATN_OK;
    atn_table *t = NULL;
    char name[96];

    if (heads > TREE_HEADS)
        ATN_FAIL(
            ATN_USAGE,
            "A tree of %lld heads is left to attnscope similarity --clusters (here "
            "at most %d; choose fewer with --layers or --heads).",
            (long long)heads, TREE_HEADS);
    snprintf(name, sizeof name, "dendrogram%s", part->name);
    ATN_TRY(atn_clusters_table(cx, &one, &opts, &t, NULL));
    ATN_TRY(atn_page_figure(
        w, t,
        &(atn_page_drawing){.figure = "dendrogram",
                            .name = name,
                            .how = part->how,
                            .caption = "Heads that attend alike: groups join at their "
                                       "mean distance, 1 - cosine of two attention "
                                       "matrices; the tree is cut at half of the "
                                       "largest"}));
done:
    atn_table_destroy(cx, t);
    return st;
}

static atn_status similarity_page(atn_page_writer *w)
{
    atn_ctx *cx = w->cli->cx;
    atn_status st = ATN_OK;
    atn_similarity sim = {0};
    atn_similarity_opts opts;

    ATN_TRY(atn_page_section(w, "Layers compared"));
    atn_similarity_defaults(&opts);
    st = atn_similarity_run(cx, w->subject->capture, &w->subject->selection, &opts,
                            &sim);
    if (st != ATN_OK) {
        ATN_TRY(atn_page_or_why(w, st));
        goto done;
    }
    ATN_TRY(atn_page_or_why(w, similarity_tables(w, &sim)));
    ATN_TRY(atn_page_section(w, "Heads compared"));
    ATN_TRY(atn_page_each_part(w, "dendrogram", tree, &sim));
done:
    atn_similarity_release(cx, &sim);
    return st;
}

/* What there is beside any page: the text, and the table of measures as a number and a
 * mark a cell, with the room that it grows by. */
static atn_idx kept_bytes(const atn_page_writer *w)
{
    atn_idx cols = 0;

    for (const atn_measure *const *m = atn_measures; *m; m++)
        cols += atn_measure_n_cols(*m);
    return ATN_REPORT_BYTES + 2 * 9 * cols * w->subject->selection.n_heads;
}

/* What takes the most memory is asked about first; what else it cannot do has its
 * page. */
static atn_status check_memory(atn_page_writer *w)
{
    atn_ctx *cx = w->cli->cx;
    const atn_arena_mark mark = atn_arena_save(cx);
    atn_similarity_opts opts;
    atn_status st = ATN_OK;
    char *kept = NULL;

    atn_similarity_defaults(&opts);
    ATN_TAKE(kept, kept_bytes(w));
    st = atn_similarity_check(cx, w->subject->capture, &w->subject->selection, &opts);
    if (st != ATN_MEMORY) {
        atn_err_clear(cx);
        st = ATN_OK;
    }
done:
    atn_arena_rewind(cx, mark);
    return st;
}

/* ---- RUN/results/ ---- */

/* Tables that people read: CTAs of plans are for tradeoff. */
static int is_csv(const struct dirent *e)
{
    return atn_ends_with(e->d_name, ".csv") &&
           !atn_ends_with(e->d_name, ".approx_tiles.csv");
}

/* "attnscope stats RUN --keep": the command that a run record tells of. */
static char *command_line(atn_ctx *cx, const json_t *record)
{
    const json_t *argv = json_object_get(record, "argv");
    char *text = atn_strdup(cx, "attnscope");

    for (size_t i = 1; text && i < json_array_size(argv); i++) {
        const char *arg = json_string_value(json_array_get(argv, i));
        char *word = atn_page_word(cx, arg ? arg : ""), *longer = NULL;

        if (word) longer = atn_strfmt(cx, "%s %s", text, word);
        atn_free(cx, word);
        atn_free(cx, text);
        text = longer;
    }
    return text;
}

/* Why a stored result is not one of this capture; NULL = it is. */
static const char *stranger(const atn_page_writer *w, const json_t *record)
{
    const char *theirs = atn_record_capture(record),
               *ours = atn_record_capture(w->subject->run.json);

    if (!theirs) return "its run record names no capture";
    if (!ours || strcmp(theirs, ours) != 0)
        return "it was made of another capture, or before this one was made again";
    return NULL;
}

/* The figure of a trade-off that can be drawn: launches that are too short have
 * none. */
static atn_status show_tradeoff(atn_page_writer *w, const char *path,
                                const json_t *record, const atn_table *t)
{
    const char *print = json_string_value(json_object_get(record, "fingerprint"));
    char name[32];

    if (strcmp(atn_table_kind(t), "tradeoff") != 0) return ATN_OK;
    if (atn_table_find_col(t, "layer") >= 0) return ATN_OK;
    snprintf(name, sizeof name, "tradeoff-%.8s", print ? print : "");
    return atn_page_or_why(
        w, atn_page_figure(
               w, t,
               &(atn_page_drawing){.figure = "tradeoff",
                                   .name = name,
                                   .how = "",
                                   .caption = "Error on the capture against predicted "
                                              "speed-up on the GPU",
                                   .from = path}));
}

static atn_status show_result(atn_page_writer *w, const char *path,
                              const json_t *record)
{
    const char *why = stranger(w, record);
    atn_ctx *cx = w->cli->cx;
    atn_status st = ATN_OK;
    atn_table *t = NULL;
    char *text = NULL, *command = NULL;

    if (why)
        ATN_FAIL(ATN_DATA, "Left out: %s: %s (run its command with --keep again).",
                 path, why);
    ATN_TRY(atn_table_load(cx, path, &t));
    command = command_line(cx, record);
    if (!command) ATN_TRY(cx->err.code);
    text = atn_strfmt(cx, "%s: %s", atn_table_kind(t), command);
    if (!text) ATN_TRY(cx->err.code);
    ATN_TRY(show_tradeoff(w, path, record, t));
    ATN_TRY(atn_report_table(cx, w->pages->report, t, text, ATN_PAGE_ROWS));
done:
    atn_table_destroy(cx, t);
    atn_free(cx, command);
    atn_free(cx, text);
    return st;
}

static atn_status one_result(atn_page_writer *w, const char *folder, const char *name)
{
    atn_ctx *cx = w->cli->cx;
    atn_status st = ATN_OK;
    json_t *record = NULL;
    char *path = atn_path_join(cx, folder, name);
    char *facts = path ? atn_strfmt(cx, "%s.run.json", path) : NULL;

    if (!facts) ATN_TRY(cx->err.code);
    if (atn_file_exists(facts)) ATN_TRY(atn_json_load(cx, facts, false, &record));
    ATN_TRY(show_result(w, path, record));
done:
    json_decref(record);
    atn_free(cx, facts);
    atn_free(cx, path);
    return atn_page_or_why(w, st);
}

static atn_status results_page(atn_page_writer *w)
{
    atn_ctx *cx = w->cli->cx;
    atn_status st = ATN_OK;
    struct dirent **entries = NULL;
    char *folder = atn_path_join(cx, w->dir, "results");
    int n = 0;

    if (!folder) ATN_TRY(cx->err.code);
    n = scandir(folder, &entries, is_csv, alphasort);
    if (n <= 0) goto done;
    ATN_TRY(atn_page_section(w, "Stored results"));
    for (int i = 0; i < n; i++) ATN_TRY(one_result(w, folder, entries[i]->d_name));
done:
    for (int i = 0; i < n; i++) free(entries[i]); /* scandir's own memory */
    free(entries);
    atn_free(cx, folder);
    return st;
}

/* The capture and the selection as typed, for the commands that draw a figure again. */
static atn_status find_words(atn_page_writer *w)
{
    atn_ctx *cx = w->cli->cx;
    atn_status st = ATN_OK;

    w->shell_dir = atn_page_word(cx, w->dir);
    w->chosen = atn_page_chosen(w, NULL, -1);
    if (!w->shell_dir || !w->chosen) ATN_TRY(cx->err.code);
done:
    return st;
}

atn_status atn_pages_add(atn_cli *cli, atn_pages *p, const char *dir)
{
    const atn_source_opts all = {.pool = ATN_POOL_MAX};
    atn_ctx *cx = cli->cx;
    atn_status st = ATN_OK;
    atn_subject s = {0};
    atn_page_writer w = {cli, p, &s, dir, NULL, NULL};
    atn_table *stats = NULL;

    ATN_TRY(find_words(&w));
    ATN_TRY(atn_subject_open(cli, dir, &s));
    ATN_TRY(check_memory(&w));
    ATN_TRY(captured_page(&w));
    ATN_TRY(atn_source_table(cx, "bars", &s, &all, &stats));
    ATN_TRY(atn_page_heads(&w));
    ATN_TRY(atn_page_model(&w, stats));
    ATN_TRY(atn_page_highlights(&w, stats));
    ATN_TRY(measures_page(&w, stats));
    ATN_TRY(atn_page_curves(&w));
    ATN_TRY(atn_page_graph(&w, stats));
    ATN_TRY(similarity_page(&w));
    ATN_TRY(results_page(&w));
done:
    atn_table_destroy(cx, stats);
    atn_subject_close(cli, &s);
    atn_free(cx, w.shell_dir);
    atn_free(cx, w.chosen);
    return st;
}
