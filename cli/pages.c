/* cli/pages.c -- the pages of a report about one capture. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "cli/pages.h"

#include <dirent.h>
#include <stdlib.h>
#include <string.h>

#include "analysis/describe.h"
#include "analysis/highlights.h"
#include "analysis/pages.h"
#include "analysis/similarity.h"
#include "cli/sources.h"
#include "core/io/file.h"
#include "core/io/json.h"

enum { MANY_HEADS = 160, TABLE_ROWS = 16, HEAD_CELLS = 256 };

/* One report under way: its pages, the capture, and the words that name the capture in a
 * shell. */
typedef struct writer {
    atn_cli *cli;
    atn_pages *pages;
    atn_subject *subject;
    const char *dir;
    char *shell_dir; /* quoted where needed */
    char *chosen;    /* " --layers 0-1": the selection as typed, "" = everything */
} writer;

/* One figure: plot FIGURE RUN <how> --title <title> -o <name>.svg draws it again. */
typedef struct drawing {
    const char *figure, *name;
    const char *how;   /* options with a blank before each, "" = none */
    const char *title; /* NULL = the table's */
    const char *caption;
} drawing;

/* PATH as a shell reads it: quoted when it holds more than plain characters. */
static char *shell_word(atn_ctx *cx, const char *text)
{
    static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
                                "0123456789_./-+=:,@%";
    const size_t n = strlen(text);
    char *out, *at;

    if (n > 0 && strspn(text, plain) == n) return atn_strdup(cx, text);
    out = at = atn_alloc(cx, (atn_idx)(4 * n + 3), 1);
    if (!out) return NULL;
    *at++ = '\'';
    for (; *text; text++) {
        if (*text == '\'') {
            memcpy(at, "'\\''", 4);
            at += 4;
        } else {
            *at++ = *text;
        }
    }
    *at++ = '\'';
    *at = '\0';
    return out;
}

static atn_status section(writer *w, const char *heading)
{
    atn_ctx *cx = w->cli->cx;
    atn_status st = ATN_OK;
    char *text = atn_strfmt(cx, "%s%s", w->pages->prefix, heading);

    if (!text) ATN_TRY(cx->err.code);
    ATN_TRY(atn_report_section(cx, w->pages->report, text));
done:
    atn_free(cx, text);
    return st;
}

static atn_status command_of(writer *w, const drawing *d, char **out)
{
    atn_ctx *cx = w->cli->cx;
    atn_status st = ATN_OK;
    char *title = NULL;

    if (d->title) {
        title = shell_word(cx, d->title);
        if (!title) ATN_TRY(cx->err.code);
    }
    *out =
        atn_strfmt(cx, "attnscope plot %s %s%s%s%s -o %s.svg", d->figure, w->shell_dir,
                   d->how, title ? " --title " : "", title ? title : "", d->name);
    if (!*out) ATN_TRY(cx->err.code);
done:
    atn_free(cx, title);
    return st;
}

/* The figure in the report with the command that draws it again, and its file beside the report
 * where there is a folder. */
static atn_status figure(writer *w, const atn_table *t, const drawing *d)
{
    const atn_figure *f = atn_figure_find(d->figure);
    /* most weights are small: only a logarithm shows both these and the large ones */
    const atn_figure_opts opts = {
        .scale = strcmp(d->figure, "heatmap") == 0 ? "log" : NULL, .title = d->title};
    atn_ctx *cx = w->cli->cx;
    atn_status st = ATN_OK;
    char *command = NULL, *path = NULL;

    ATN_ASSERT(f);
    ATN_TRY(command_of(w, d, &command));
    ATN_TRY(atn_report_figure(cx, w->pages->report, f, t, &opts, d->caption, command));
    if (w->pages->figures_dir) {
        path = atn_strfmt(cx, "%s/%s.svg", w->pages->figures_dir, d->name);
        if (!path) ATN_TRY(cx->err.code);
        ATN_TRY(atn_figure_draw(cx, f, t, &opts, path, true));
    }
done:
    atn_free(cx, path);
    atn_free(cx, command);
    return st;
}

/* A page that this capture cannot have says why; any other failure stays one. */
static atn_status say_why(writer *w, atn_status st)
{
    atn_ctx *cx = w->cli->cx;
    char why[ATN_ERR_TEXT];

    if (st != ATN_DATA && st != ATN_USAGE) return st;
    snprintf(why, sizeof why, "%s", cx->err.text);
    atn_err_clear(cx);
    return atn_report_paragraph(cx, w->pages->report, why);
}

/* ---- pages ---- */

static atn_status captured_page(writer *w)
{
    atn_ctx *cx = w->cli->cx;
    atn_status st = ATN_OK;
    atn_table *facts = NULL, *layers = NULL;

    ATN_TRY(section(w, "What was captured"));
    ATN_TRY(atn_describe_capture(cx, w->subject->capture, &facts));
    ATN_TRY(atn_report_table(cx, w->pages->report, facts, NULL, 0));
    ATN_TRY(
        atn_describe_layers(cx, w->subject->capture, &w->subject->selection, &layers));
    ATN_TRY(atn_report_table(cx, w->pages->report, layers, "Layers", TABLE_ROWS));
done:
    atn_table_destroy(cx, facts);
    atn_table_destroy(cx, layers);
    return st;
}

static bool has_values(const atn_table *t, int col)
{
    for (atn_idx r = 0; col >= 0 && r < atn_table_rows(t); r++)
        if (atn_table_has(t, r, col)) return true;
    return false;
}

static atn_status one_measure(writer *w, const char *id, atn_table *stats, int col,
                              const char *title)
{
    const char *column = atn_table_col_name(stats, col);
    atn_ctx *cx = w->cli->cx;
    atn_status st = ATN_OK;
    char *how = atn_strfmt(cx, "%s --y %s", w->chosen, column);

    if (!how) ATN_TRY(cx->err.code);
    ATN_TRY(atn_table_set_meta(cx, stats, "y", column));
    ATN_TRY(figure(w, stats,
                   &(drawing){id, column, how, title, atn_table_col_text(stats, col)}));
done:
    atn_free(cx, how);
    return st;
}

static atn_status measures_page(writer *w, atn_table *stats)
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

    ATN_TRY(section(w, "Measures of every head"));
    for (size_t i = 0; i < ATN_LEN(shown); i++) {
        const int col = atn_table_find_col(stats, shown[i].column);

        if (!has_values(stats, col)) continue;
        ATN_TRY(one_measure(w, id, stats, col, shown[i].title));
    }
    ATN_TRY(atn_report_table(cx, w->pages->report, stats, "All measures", TABLE_ROWS));
done:
    return st;
}

static atn_status similarity_tables(writer *w, const atn_similarity *sim)
{
    atn_report *report = w->pages->report;
    atn_ctx *cx = w->cli->cx;
    atn_status st = ATN_OK;
    atn_table *layers = NULL, *plan = NULL, *totals = NULL;
    atn_share_opts share;

    atn_share_defaults(&share);
    ATN_TRY(atn_similarity_layers_table(cx, sim, &layers));
    ATN_TRY(figure(w, layers,
                   &(drawing){.figure = "similarity",
                              .name = "similarity",
                              .how = w->chosen,
                              .caption = "cos_elem: mean over heads of the cosine of "
                                         "two attention matrices"}));
    ATN_TRY(atn_report_table(cx, report, layers, "Layers against layers", TABLE_ROWS));
    ATN_TRY(atn_similarity_plan_table(cx, sim, &share, &plan, &totals));
    ATN_TRY(atn_report_table(cx, report, plan, "Sharing plan at similarity 0.9",
                             TABLE_ROWS));
    ATN_TRY(atn_report_table(cx, report, totals, "What the plan saves", 0));
done:
    atn_table_destroy(cx, layers);
    atn_table_destroy(cx, plan);
    atn_table_destroy(cx, totals);
    return st;
}

static atn_status similarity_page(writer *w)
{
    atn_ctx *cx = w->cli->cx;
    atn_status st = ATN_OK;
    atn_similarity sim = {0};
    atn_similarity_opts opts;

    ATN_TRY(section(w, "Layers compared"));
    atn_similarity_defaults(&opts);
    st = atn_similarity_run(cx, w->subject->capture, &w->subject->selection, &opts,
                            &sim);
    if (st == ATN_OK) st = similarity_tables(w, &sim);
    ATN_TRY(say_why(w, st));
done:
    atn_similarity_release(cx, &sim);
    return st;
}

/* What takes the most memory is asked about first; what else it cannot do has its page. */
static atn_status check_memory(writer *w)
{
    atn_ctx *cx = w->cli->cx;
    atn_similarity_opts opts;
    atn_status st;

    atn_similarity_defaults(&opts);
    st = atn_similarity_check(cx, w->subject->capture, &w->subject->selection, &opts);
    if (st == ATN_MEMORY) return st;
    atn_err_clear(cx);
    return ATN_OK;
}

static atn_status heads_page(writer *w)
{
    const atn_source_opts opts = {.pool = ATN_POOL_MAX};
    atn_ctx *cx = w->cli->cx;
    atn_status st = ATN_OK;
    atn_table *t = NULL;

    ATN_TRY(section(w, "All heads"));
    st = atn_source_table(cx, "heads", w->subject, &opts, &t);
    if (st == ATN_OK)
        st = figure(w, t,
                    &(drawing){.figure = "heads",
                               .name = "heads",
                               .how = w->chosen,
                               .caption = "Queries run down, keys run right; grey is "
                                          "what a query does not see"});
    ATN_TRY(say_why(w, st));
done:
    atn_table_destroy(cx, t);
    return st;
}

static int layer_at(const atn_capture *c, const atn_highlight *h)
{
    for (int i = 0; i < atn_capture_layers(c); i++) {
        const atn_layer_info *l = atn_capture_layer(c, i);

        if (l->layer == h->layer && l->step == h->step &&
            strcmp(l->stack, h->stack) == 0)
            return i;
    }
    return -1;
}

/* "Head 1.3: strongest previous-token head (previous_mass 0.9); most weight on the first key (...)": all
 * that picks[i] and the later ones say about its head. */
static char *head_caption(atn_ctx *cx, const atn_highlight *picks, int n, int i)
{
    char *text = atn_strfmt(cx, "Head %lld.%lld", (long long)picks[i].layer,
                            (long long)picks[i].head);

    for (int k = i; text && k < n; k++) {
        char *longer;

        if (!atn_highlight_same_head(&picks[i], &picks[k])) continue;
        longer = atn_strfmt(cx, "%s%s %s (%s %.3g)", text, k == i ? ":" : ";",
                            picks[k].what, picks[k].column, picks[k].value);
        atn_free(cx, text);
        text = longer;
    }
    return text;
}

static atn_status one_head(writer *w, const atn_highlight *picks, int n, int i)
{
    const atn_selection *sel = &w->subject->selection;
    const atn_highlight *h = &picks[i];
    atn_ctx *cx = w->cli->cx;
    atn_status st = ATN_OK;
    char stack[64] = "", step[32] = "", how[240], name[160];
    char *caption = head_caption(cx, picks, n, i);
    atn_table *t = NULL;

    if (!caption) ATN_TRY(cx->err.code);
    if (sel->many_stacks) snprintf(stack, sizeof stack, " --stack %.40s", h->stack);
    if (sel->many_steps)
        snprintf(step, sizeof step, " --steps %lld", (long long)h->step);
    snprintf(how, sizeof how, " --layers %lld --heads %lld%s%s --cells %d --scale log",
             (long long)h->layer, (long long)h->head, stack, step, HEAD_CELLS);
    if (sel->many_stacks) snprintf(stack, sizeof stack, "%.40s-", h->stack);
    if (sel->many_steps) snprintf(step, sizeof step, "%lld-", (long long)h->step);
    snprintf(name, sizeof name, "head-%s%s%lld-%lld", stack, step, (long long)h->layer,
             (long long)h->head);
    ATN_TRY(atn_heatmap_table(cx, w->subject->capture, layer_at(w->subject->capture, h),
                              h->head, HEAD_CELLS, ATN_POOL_MAX, &t));
    ATN_TRY(figure(
        w, t,
        &(drawing){.figure = "heatmap", .name = name, .how = how, .caption = caption}));
done:
    atn_table_destroy(cx, t);
    atn_free(cx, caption);
    return st;
}

static bool shown_before(const atn_highlight *picks, int i)
{
    for (int k = 0; k < i; k++)
        if (atn_highlight_same_head(&picks[k], &picks[i])) return true;
    return false;
}

static atn_status highlights_page(writer *w, const atn_table *stats)
{
    atn_highlight picks[ATN_HIGHLIGHTS];
    const int n = atn_highlights(stats, picks);
    atn_ctx *cx = w->cli->cx;
    atn_status st = ATN_OK;
    char text[128];

    if (n == 0) goto done;
    ATN_TRY(section(w, "Heads to look at"));
    snprintf(text, sizeof text, "The extremes of some measures among %lld head%s.",
             (long long)atn_table_rows(stats), atn_table_rows(stats) == 1 ? "" : "s");
    ATN_TRY(atn_report_paragraph(cx, w->pages->report, text));
    for (int i = 0; i < n; i++)
        if (!shown_before(picks, i)) ATN_TRY(one_head(w, picks, n, i));
done:
    return st;
}

/* ---- RUN/results/ ---- */

static int is_csv(const struct dirent *e)
{
    const size_t n = strlen(e->d_name);

    return n > 4 && strcmp(e->d_name + n - 4, ".csv") == 0;
}

/* The hash of the manifest that a run record names among its inputs; NULL = none. */
static const char *manifest_hash(const json_t *record)
{
    static const char name[] = "capture.json";
    const json_t *input;
    size_t i;

    json_array_foreach(json_object_get(record, "inputs"), i, input)
    {
        const char *path = json_string_value(json_object_get(input, "path"));
        const char *slash = path ? strrchr(path, '/') : NULL;

        if (path && strcmp(slash ? slash + 1 : path, name) == 0)
            return json_string_value(json_object_get(input, "xxh3_128"));
    }
    return NULL;
}

/* "attnscope stats RUN --keep": the command that a run record tells of. */
static char *command_line(atn_ctx *cx, const json_t *record)
{
    const json_t *argv = json_object_get(record, "argv");
    char *text = atn_strdup(cx, "attnscope");

    for (size_t i = 1; text && i < json_array_size(argv); i++) {
        const char *arg = json_string_value(json_array_get(argv, i));
        char *word = shell_word(cx, arg ? arg : ""), *longer = NULL;

        if (word) longer = atn_strfmt(cx, "%s %s", text, word);
        atn_free(cx, word);
        atn_free(cx, text);
        text = longer;
    }
    return text;
}

/* Why a stored result is not one of this capture; NULL = it is. */
static const char *stranger(const writer *w, const json_t *record)
{
    const char *theirs = manifest_hash(record),
               *ours = manifest_hash(w->subject->run.json);

    if (!theirs) return "its run record names no capture";
    if (!ours || strcmp(theirs, ours) != 0)
        return "it was made of another capture, or before this one was made again";
    return NULL;
}

static atn_status show_result(writer *w, const char *path, const json_t *record)
{
    const char *why = stranger(w, record);
    atn_ctx *cx = w->cli->cx;
    atn_status st = ATN_OK;
    atn_table *t = NULL;
    char *text = NULL;

    if (why)
        ATN_FAIL(ATN_DATA, "Left out: %s: %s (run its command with --keep again).",
                 path, why);
    text = command_line(cx, record);
    if (!text) ATN_TRY(cx->err.code);
    ATN_TRY(atn_table_load(cx, path, &t));
    ATN_TRY(atn_report_table(cx, w->pages->report, t, text, TABLE_ROWS));
done:
    atn_table_destroy(cx, t);
    atn_free(cx, text);
    return st;
}

static atn_status one_result(writer *w, const char *folder, const char *name)
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
    return say_why(w, st);
}

static atn_status results_page(writer *w)
{
    atn_ctx *cx = w->cli->cx;
    atn_status st = ATN_OK;
    struct dirent **entries = NULL;
    char *folder = atn_path_join(cx, w->dir, "results");
    int n = 0;

    if (!folder) ATN_TRY(cx->err.code);
    n = scandir(folder, &entries, is_csv, alphasort);
    if (n <= 0) goto done;
    ATN_TRY(section(w, "Stored results"));
    for (int i = 0; i < n; i++) ATN_TRY(one_result(w, folder, entries[i]->d_name));
done:
    for (int i = 0; i < n; i++) free(entries[i]); /* scandir's own memory */
    free(entries);
    atn_free(cx, folder);
    return st;
}

/* The selection as typed, for the commands that draw a figure again. */
static atn_status find_words(writer *w)
{
    static const char *const names[] = {"layers", "heads", "stack", "steps"};
    const bool selects = w->cli->command->uses & ATN_USE_SELECT;
    atn_ctx *cx = w->cli->cx;
    atn_status st = ATN_OK;
    char *word = NULL;

    w->shell_dir = shell_word(cx, w->dir);
    w->chosen = atn_strdup(cx, "");
    if (!w->shell_dir || !w->chosen) ATN_TRY(cx->err.code);
    for (size_t i = 0; selects && i < ATN_LEN(names); i++) {
        const char *typed = atn_opt_text(w->cli, names[i], NULL);
        char *longer;

        if (!typed) continue;
        word = shell_word(cx, typed);
        if (!word) ATN_TRY(cx->err.code);
        longer = atn_strfmt(cx, "%s --%s %s", w->chosen, names[i], word);
        if (!longer) ATN_TRY(cx->err.code);
        atn_free(cx, w->chosen);
        w->chosen = longer;
        atn_free(cx, word);
        word = NULL;
    }
done:
    atn_free(cx, word);
    return st;
}

atn_status atn_pages_add(atn_cli *cli, atn_pages *p, const char *dir)
{
    const atn_source_opts all = {.pool = ATN_POOL_MAX};
    atn_ctx *cx = cli->cx;
    atn_status st = ATN_OK;
    atn_subject s = {0};
    writer w = {cli, p, &s, dir, NULL, NULL};
    atn_table *stats = NULL;

    ATN_TRY(find_words(&w));
    ATN_TRY(atn_subject_open(cli, dir, &s));
    ATN_TRY(check_memory(&w));
    ATN_TRY(captured_page(&w));
    ATN_TRY(atn_source_table(cx, "bars", &s, &all, &stats));
    ATN_TRY(heads_page(&w));
    ATN_TRY(highlights_page(&w, stats));
    ATN_TRY(measures_page(&w, stats));
    ATN_TRY(similarity_page(&w));
    ATN_TRY(results_page(&w));
done:
    atn_table_destroy(cx, stats);
    atn_subject_close(cli, &s);
    atn_free(cx, w.shell_dir);
    atn_free(cx, w.chosen);
    return st;
}
