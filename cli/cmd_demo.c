/* cli/cmd_demo.c -- attnscope demo: the embedded model, from a text to a report. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include <string.h>

#include "analysis/describe.h"
#include "capture/record.h"
#include "cli/pages.h"
#include "core/io/file.h"
#include "datasets/dataset.h"

/* The places inside OUT, in heap memory. */
typedef struct places {
    char *run, *manifest, *figures, *report, *model, *text;
} places;

static atn_status find_places(atn_ctx *cx, const char *out, places *p)
{
    atn_status st = ATN_OK;

    p->run = atn_path_join(cx, out, "run");
    p->manifest = atn_path_join(cx, out, "run/capture.json");
    p->figures = atn_path_join(cx, out, "figures");
    p->report = atn_path_join(cx, out, "index.html");
    if (!p->run || !p->manifest || !p->figures || !p->report) ATN_TRY(cx->err.code);
    ATN_TRY(atn_dataset_path(cx, "tinytales", "model", &p->model));
    ATN_TRY(atn_dataset_path(cx, "tinytales", "sample.txt", &p->text));
done:
    return st;
}

static void release_places(atn_ctx *cx, places *p)
{
    atn_free(cx, p->run);
    atn_free(cx, p->manifest);
    atn_free(cx, p->figures);
    atn_free(cx, p->report);
    atn_free(cx, p->model);
    atn_free(cx, p->text);
}

/* A demo is written into a new or empty folder, or, with --force, over an earlier demo;
 * never over anything else. */
static atn_status check_folder(atn_cli *cli, const char *out, const places *p)
{
    atn_ctx *cx = cli->cx;
    atn_status st = ATN_OK;

    if (atn_file_exists(out) && !atn_dir_exists(out))
        ATN_FAIL(ATN_CANTCREATE, "%s: is a file (give another -o)", out);
    if (!atn_dir_exists(out) || atn_dir_is_empty(out)) goto done;
    if (!atn_file_exists(p->manifest))
        ATN_FAIL(
            ATN_CANTCREATE,
            "%s: exists and holds no earlier demo; it stays as it is (give another "
            "-o)",
            out);
    if (!atn_opt_given(cli, "force"))
        ATN_FAIL(ATN_CANTCREATE,
                 "%s: holds an earlier demo (give --force to replace it)", out);
done:
    return st;
}

static atn_status capture(atn_cli *cli, const places *p, atn_run *record,
                          atn_record_result *result)
{
    atn_ctx *cx = cli->cx;
    atn_record_args args = {
        .model_dir = p->model, .out_dir = p->run, .force = true, .truncate = true};
    atn_status st = ATN_OK;
    char *text = NULL;

    ATN_TRY(atn_file_read(cx, p->text, (size_t)1 << 20, &text, &args.text_len));
    args.text = text;
    ATN_TRY(atn_run_add_input(cx, record, p->text));
    ATN_TRY(atn_record(cx, &args, record, result));
done:
    atn_free(cx, text);
    return st;
}

static atn_status report(atn_cli *cli, const places *p)
{
    atn_ctx *cx = cli->cx;
    atn_status st = ATN_OK;
    atn_pages pages = {NULL, p->figures, ""};
    atn_run record = {0};

    ATN_TRY(atn_cli_record(cli, &record));
    ATN_TRY(atn_run_add_input(cx, &record, p->manifest));
    ATN_TRY(atn_report_create(cx, "attnscope demo",
                              "the embedded model tinytales on its sample text",
                              &pages.report));
    ATN_TRY(atn_pages_add(cli, &pages, p->run));
    ATN_TRY(atn_run_finish(cx, &record));
    ATN_TRY(atn_report_save(cx, pages.report, &record, p->report, true));
done:
    atn_report_destroy(cx, pages.report);
    atn_run_release(&record);
    return st;
}

static atn_status summary(atn_cli *cli, const places *p, const atn_record_result *r)
{
    atn_ctx *cx = cli->cx;
    atn_status st = ATN_OK;
    atn_table *t = NULL;

    ATN_TRY(atn_facts_create(cx, &t));
    ATN_TRY(atn_facts_add(cx, t, "report", "%s", p->report));
    ATN_TRY(atn_facts_add(cx, t, "figures", "%s", p->figures));
    ATN_TRY(atn_facts_add(cx, t, "capture", "%s", p->run));
    ATN_TRY(atn_facts_add(cx, t, "tokens", "%lld", (long long)r->tokens));
    if (r->has_loss)
        ATN_TRY(atn_facts_add(cx, t, "next-token loss", "%.4f nats", r->loss));
    ATN_TRY(atn_cli_print(cli, t));
done:
    atn_table_destroy(cx, t);
    return st;
}

static atn_status run(atn_cli *cli)
{
    const char *out = atn_opt_text(cli, "output", "attnscope-demo");
    atn_ctx *cx = cli->cx;
    atn_status st = ATN_OK;
    places p = {NULL, NULL, NULL, NULL, NULL, NULL};
    atn_record_result result;
    atn_run record = {0};

    ATN_TRY(find_places(cx, out, &p));
    ATN_TRY(check_folder(cli, out, &p));
    ATN_TRY(atn_dir_make(cx, p.figures));
    ATN_TRY(atn_cli_record(cli, &record));
    ATN_TRY(capture(cli, &p, &record, &result));
    ATN_TRY(report(cli, &p));
    ATN_TRY(summary(cli, &p, &result));
done:
    atn_run_release(&record);
    release_places(cx, &p);
    return st;
}

static const char *const examples[] = {"demo", "demo -o demo", NULL};

const atn_command atn_command_demo = {
    .id = "demo",
    .summary = "the embedded model, from a text to a report",
    .args = "[-o DIR]",
    .examples = examples,
    .text =
        "Runs the built-in model on the built-in text and writes DIR/index.html (the "
        "report), DIR/figures (every figure as SVG) and DIR/run (the capture, for "
        "all other commands). Needs no network and takes a few seconds. Without -o "
        "DIR is attnscope-demo.",
    .uses = ATN_USE_OUTPUT,
    .max_args = 0,
    .one_piece = "it is over in seconds",
    .run = run,
};
