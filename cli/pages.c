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
#include "analysis/stats.h"
#include "cli/sources.h"
#include "core/io/file.h"

enum { MANY_HEADS = 160, TABLE_ROWS = 16, HEAD_CELLS = 256 };

/* One report under way: its pages, the capture, and the words that name the capture in a
 * shell. */
typedef struct writer {
    atn_cli *cli;
    atn_pages *pages;
    atn_subject *subject;
    const char *dir;
    char *shell_dir; /* quoted where needed */
} writer;

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

/* The figure in the report, its file beside it where there is a folder, and the command that
 * draws it again: "attnscope plot FIGURE RUN <how> -o <name>.svg". */
static atn_status figure(writer *w, const char *id, const atn_table *t,
                         const char *name, const char *how, const char *caption)
{
    const atn_figure *f = atn_figure_find(id);
    /* most weights are small: only a logarithm shows both these and the large ones */
    const atn_figure_opts opts = {.scale = strcmp(id, "heatmap") == 0 ? "log" : NULL};
    atn_ctx *cx = w->cli->cx;
    atn_status st = ATN_OK;
    char *command = NULL, *path = NULL;

    ATN_ASSERT(f);
    command = atn_strfmt(cx, "attnscope plot %s %s%s%s -o %s.svg", id, w->shell_dir,
                         *how ? " " : "", how, name);
    if (!command) ATN_TRY(cx->err.code);
    ATN_TRY(atn_report_figure(cx, w->pages->report, f, t, &opts, caption, command));
    if (w->pages->figures_dir) {
        path = atn_strfmt(cx, "%s/%s.svg", w->pages->figures_dir, name);
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
    char how[96];

    ATN_TRY(section(w, "Measures of every head"));
    for (size_t i = 0; i < ATN_LEN(shown); i++) {
        const int col = atn_table_find_col(stats, shown[i].column);

        if (!has_values(stats, col)) continue;
        snprintf(how, sizeof how, "--y %s", shown[i].column);
        ATN_TRY(atn_table_set_meta(cx, stats, "y", shown[i].column));
        ATN_TRY(atn_table_set_meta(cx, stats, "title", shown[i].title));
        ATN_TRY(
            figure(w, id, stats, shown[i].column, how, atn_table_col_text(stats, col)));
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
    ATN_TRY(
        figure(w, "similarity", layers, "similarity", "",
               "cos_elem: mean over heads of the cosine of two attention matrices"));
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
        st = figure(
            w, "heads", t, "heads", "",
            "Queries run down, keys run right; grey is what a query does not see");
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

static atn_status one_head(writer *w, const atn_highlight *h)
{
    const atn_selection *sel = &w->subject->selection;
    const int at = layer_at(w->subject->capture, h);
    atn_ctx *cx = w->cli->cx;
    atn_status st = ATN_OK;
    atn_table *t = NULL;
    char how[200], name[96], caption[160];
    int n;

    n = snprintf(how, sizeof how, "--layers %lld --heads %lld --cells %d --scale log",
                 (long long)h->layer, (long long)h->head, HEAD_CELLS);
    if (sel->many_stacks)
        n += snprintf(how + n, sizeof how - (size_t)n, " --stack %s", h->stack);
    if (sel->many_steps)
        snprintf(how + n, sizeof how - (size_t)n, " --steps %lld", (long long)h->step);
    snprintf(name, sizeof name, "head-%lld-%lld", (long long)h->layer,
             (long long)h->head);
    snprintf(caption, sizeof caption, "Head %lld.%lld: %s (%s %.3g)",
             (long long)h->layer, (long long)h->head, h->what, h->column, h->value);
    ATN_TRY(atn_heatmap_table(cx, w->subject->capture, at, h->head, HEAD_CELLS,
                              ATN_POOL_MAX, &t));
    ATN_TRY(figure(w, "heatmap", t, name, how, caption));
done:
    atn_table_destroy(cx, t);
    return st;
}

static atn_status highlights_page(writer *w, const atn_table *stats)
{
    atn_highlight picks[ATN_HIGHLIGHTS];
    const int n = atn_highlights(stats, picks);
    atn_ctx *cx = w->cli->cx;
    atn_status st = ATN_OK;

    if (n == 0) goto done;
    ATN_TRY(section(w, "Heads to look at"));
    ATN_TRY(atn_report_paragraph(cx, w->pages->report,
                                 "Chosen by their measures, each head once."));
    for (int i = 0; i < n; i++) ATN_TRY(one_head(w, &picks[i]));
done:
    return st;
}

/* ---- RUN/results/ ---- */

static int is_csv(const struct dirent *e)
{
    const size_t n = strlen(e->d_name);

    return n > 4 && strcmp(e->d_name + n - 4, ".csv") == 0;
}

static atn_status one_result(writer *w, const char *folder, const char *name)
{
    atn_ctx *cx = w->cli->cx;
    atn_status st = ATN_OK;
    atn_table *t = NULL;
    char *path = atn_path_join(cx, folder, name);

    if (!path) ATN_TRY(cx->err.code);
    ATN_TRY(atn_table_load(cx, path, &t));
    ATN_TRY(atn_report_table(cx, w->pages->report, t, name, TABLE_ROWS));
done:
    atn_table_destroy(cx, t);
    atn_free(cx, path);
    return st;
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

atn_status atn_pages_add(atn_cli *cli, atn_pages *p, const char *dir)
{
    const atn_stats_opts opts = {0};
    atn_ctx *cx = cli->cx;
    atn_status st = ATN_OK;
    atn_subject s = {0};
    writer w = {cli, p, &s, dir, NULL};
    atn_table *stats = NULL;

    w.shell_dir = shell_word(cx, dir);
    if (!w.shell_dir) ATN_TRY(cx->err.code);
    ATN_TRY(atn_subject_open(cli, dir, &s));
    ATN_TRY(check_memory(&w));
    ATN_TRY(captured_page(&w));
    ATN_TRY(atn_stats_table(cx, s.capture, &s.selection, &opts, &stats));
    ATN_TRY(heads_page(&w));
    ATN_TRY(highlights_page(&w, stats));
    ATN_TRY(measures_page(&w, stats));
    ATN_TRY(similarity_page(&w));
    ATN_TRY(results_page(&w));
done:
    atn_table_destroy(cx, stats);
    atn_subject_close(cli, &s);
    atn_free(cx, w.shell_dir);
    return st;
}
