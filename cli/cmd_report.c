/* cli/cmd_report.c -- attnscope report: one HTML file about one or more captures. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include <string.h>
#include <strings.h>

#include "cli/pages.h"
#include "core/io/file.h"

static const atn_option options[] = {
    {"title", 0, ATN_OPT_TEXT, "TEXT", "heading of the report", 0, 0},
    ATN_OPTION_END,
};

static atn_status add_run(atn_cli *cli, atn_pages *pages, atn_run *run, int i)
{
    atn_ctx *cx = cli->cx;
    atn_status st = ATN_OK;
    char *manifest = NULL, *prefix = NULL;

    manifest = atn_path_join(cx, cli->args[i], "capture.json");
    prefix = atn_strfmt(cx, "%s: ", cli->args[i]);
    if (!manifest || !prefix) ATN_TRY(cx->err.code);
    pages->prefix = cli->n_args > 1 ? prefix : "";
    ATN_TRY(atn_pages_add(cli, pages, cli->args[i]));
    ATN_TRY(atn_run_add_input(cx, run, manifest));
done:
    atn_free(cx, manifest);
    atn_free(cx, prefix);
    return st;
}

static atn_status check_words(atn_cli *cli, const char *path, const char *title)
{
    static const char *const ends[] = {".html", ".htm"};
    const char *dot = path ? strrchr(path, '.') : NULL;
    atn_ctx *cx = cli->cx;
    atn_status st = ATN_OK;
    bool html = false;
    size_t bad = 0;

    if (!path) ATN_FAIL(ATN_USAGE, "report: give -o FILE.html");
    for (size_t i = 0; i < ATN_LEN(ends); i++)
        html |= dot && strcasecmp(dot, ends[i]) == 0;
    if (!html)
        ATN_FAIL(ATN_USAGE,
                 "%s: a report is HTML and its file ends in .html (print it from a "
                 "browser for a PDF)",
                 path);
    if (!atn_utf8_valid(title, strlen(title), &bad))
        ATN_FAIL(ATN_USAGE,
                 "report: --title is not UTF-8 from its byte %zu on (give UTF-8)", bad);
    ATN_TRY(atn_cli_check_output(cli, path));
done:
    return st;
}

static atn_status run(atn_cli *cli)
{
    const char *path = atn_opt_text(cli, "output", NULL);
    const char *title = atn_opt_text(cli, "title", "Attention report");
    atn_ctx *cx = cli->cx;
    atn_status st = ATN_OK;
    atn_pages pages = {NULL, NULL, ""};
    atn_run record = {0};

    ATN_TRY(check_words(cli, path, title));
    ATN_TRY(atn_cli_record(cli, &record));
    ATN_TRY(atn_report_create(cx, title, cli->n_args == 1 ? cli->args[0] : NULL,
                              &pages.report));
    for (int i = 0; i < cli->n_args; i++) ATN_TRY(add_run(cli, &pages, &record, i));
    ATN_TRY(atn_run_finish(cx, &record));
    ATN_TRY(
        atn_report_save(cx, pages.report, &record, path, atn_opt_given(cli, "force")));
done:
    atn_report_destroy(cx, pages.report);
    atn_run_release(&record);
    return st;
}

static const char *const examples[] = {"report RUN -o report.html",
                                       "report RUN RUN2 -o both.html",
                                       "report RUN --layers 0-1 -o first.html", NULL};

const atn_command atn_command_report = {
    .id = "report",
    .summary = "one HTML file: what was captured, measures, figures",
    .args = "RUN... -o FILE",
    .examples = examples,
    .text =
        "The file needs no network and no script. It shows what was captured, all "
        "heads, the model as a grid of its chief measures and types of heads, heads "
        "worth a look (of long texts with block maps), the measures, where the weight "
        "lies (distance profile, coverage curves, sink map), layers against layers "
        "with a sharing plan, the tree of heads that attend alike, and what --keep "
        "stored in RUN/results/. All heads, layers against layers and the tree are "
        "drawn once for every stack, and of more than three steps for the first, the "
        "middle and the last. Every figure has the command that draws it again; the "
        "run record is at the end.",
    .options = options,
    .uses = ATN_USE_SELECT | ATN_USE_OUTPUT,
    .one_piece = "it puts many tables into one file",
    .min_args = 1,
    .max_args = -1,
    .run = run,
};
