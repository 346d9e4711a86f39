/* cli/cmd_plot.c -- attnscope plot: one figure of a capture or of a table. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include <stdio.h>
#include <string.h>

#include "cli/output.h"
#include "cli/sources.h"
#include "core/io/file.h"
#include "core/param.h"
#include "viz/figure.h"

static const atn_option options[] = {
    {"scale", 0, ATN_OPT_CHOICE, ATN_SCALES,
     "how values become colours (the figure's own)", 0, 0},
    {"palette", 0, ATN_OPT_CHOICE, "viridis|cividis", "colours (viridis)", 0, 0},
    {"width", 0, ATN_OPT_TEXT, "LENGTH", "as 3.25in, 84mm (5.5in)", 0, 0},
    {"height", 0, ATN_OPT_TEXT, "LENGTH", "as 60mm (as high as it needs)", 0, 0},
    {"font", 0, ATN_OPT_F64, "POINTS", "size of the text (8)", 3, 72},
    {"dpi", 0, ATN_OPT_F64, "N", "resolution of PNG (300)", 20, 2400},
    {"title", 0, ATN_OPT_TEXT, "TEXT", "heading, in place of the table's", 0, 0},
    {"params", 0, ATN_OPT_TEXT, "KEY=VALUE,...",
     "what the figure itself takes (attnscope list figures)", 0, 0},
    {"x", 0, ATN_OPT_TEXT, "COLUMN", "of lines (layer, or the first column)", 0, 0},
    {"y", 0, ATN_OPT_TEXT, "COLUMN", "the values (the figure's own); A,B,.. of a grid",
     0, 0},
    {"series", 0, ATN_OPT_TEXT, "COLUMN", "of lines (head)", 0, 0},
    {"cells", 0, ATN_OPT_COUNT, "N",
     "most cells a side before pooling (512; 32 to 128 on a page of heads)", 1, 8192},
    {"pool", 0, ATN_OPT_CHOICE, "max|mean|sum", "what a pooled cell shows (max)", 0, 0},
    ATN_OPTION_END,
};

static const atn_figure *find_figure(atn_cli *cli, const char *id)
{
    const atn_figure *f = atn_figure_find(id);
    const char *ids[64];
    int n = 0, near;

    if (f) return f;
    for (const atn_figure *const *g = atn_figures; *g && n < 64; g++)
        ids[n++] = (*g)->id;
    near = atn_nearest(id, ids, n);
    atn_fail(cli->cx, ATN_USAGE, __FILE__, __LINE__,
             "plot: there is no figure '%s'%s%s (attnscope list figures)", id,
             near >= 0 ? "; did you mean " : "", near >= 0 ? ids[near] : "");
    return NULL;
}

static atn_status read_opts(atn_cli *cli, atn_figure_opts *o)
{
    const char *width = atn_opt_text(cli, "width", NULL);
    const char *height = atn_opt_text(cli, "height", NULL);
    atn_status st = ATN_OK;
    atn_ctx *cx = cli->cx;

    *o = (atn_figure_opts){.font_pt = atn_opt_f64(cli, "font", 0),
                           .dpi = atn_opt_f64(cli, "dpi", 0),
                           .palette = atn_opt_text(cli, "palette", NULL),
                           .scale = atn_opt_text(cli, "scale", NULL),
                           .title = atn_opt_text(cli, "title", NULL),
                           .params = atn_opt_text(cli, "params", NULL)};
    if (width) ATN_TRY(atn_parse_length(cx, "--width", width, &o->width_in));
    if (height) ATN_TRY(atn_parse_length(cx, "--height", height, &o->height_in));
done:
    return st;
}

/* --x, --y and --series name columns of the table. */
static const struct {
    const char *option;
    unsigned use;
} column_options[] = {
    {"x", ATN_FIGURE_X}, {"y", ATN_FIGURE_Y}, {"series", ATN_FIGURE_SERIES}};

static atn_status no_column(atn_cli *cli, const char *option, const char *column,
                            const atn_table *t)
{
    const char *known[256];
    char list[320] = "";
    size_t used = 0;
    int n = 0, near;

    for (; n < atn_table_cols(t) && n < (int)ATN_LEN(known); n++) {
        known[n] = atn_table_col_name(t, n);
        if (used < sizeof list)
            used += (size_t)snprintf(list + used, sizeof list - used, "%s%s",
                                     n ? ", " : "", known[n]);
    }
    near = atn_nearest(column, known, n);
    return atn_fail(cli->cx, ATN_USAGE, __FILE__, __LINE__,
                    "plot: --%s: the table has no column '%.80s'%s%s; it has %s%s",
                    option, column, near >= 0 ? "; did you mean " : "",
                    near >= 0 ? known[near] : "", list,
                    used >= sizeof list ? "..." : "");
}

/* Every piece of "a,b" is a column; without `list` the whole text is one. */
static atn_status check_columns(atn_cli *cli, const char *option, const char *text,
                                bool list, const atn_table *t)
{
    atn_ctx *cx = cli->cx;
    atn_status st = ATN_OK;
    char *name = NULL;

    for (const char *at = text;;) {
        const size_t n = list ? strcspn(at, ",") : strlen(at);

        name = atn_strndup(cx, at, n);
        if (!name) ATN_TRY(cx->err.code);
        if (atn_table_find_col(t, name) < 0) ATN_TRY(no_column(cli, option, name, t));
        atn_free(cx, name);
        name = NULL;
        if (!at[n]) break;
        at += n + 1;
    }
done:
    atn_free(cx, name);
    return st;
}

static atn_status name_columns(atn_cli *cli, const atn_figure *f, atn_table *t)
{
    atn_ctx *cx = cli->cx;
    atn_status st = ATN_OK;

    for (size_t i = 0; i < ATN_LEN(column_options); i++) {
        const char *option = column_options[i].option;
        const char *column = atn_opt_text(cli, option, NULL);
        const bool list =
            column_options[i].use == ATN_FIGURE_Y && f->columns & ATN_FIGURE_YS;

        if (!column) continue;
        if (!list && strchr(column, ',') && atn_table_find_col(t, column) < 0)
            ATN_FAIL(ATN_USAGE,
                     "plot: --%s: figure %s takes one column, not a list (give one; "
                     "figure grid takes --y A,B)",
                     option, f->id);
        ATN_TRY(check_columns(cli, option, column, list, t));
        ATN_TRY(atn_table_set_meta(cx, t, option, column));
    }
done:
    return st;
}

static bool wants_table(const char *path)
{
    const size_t n = strlen(path);

    return n > 4 && strcmp(path + n - 4, ".csv") == 0;
}

/* -o FILE.csv stores the table that the figure would be drawn from. */
static atn_status check_table(atn_cli *cli, const char *path, const char *from)
{
    static const char *const drawing[] = {"scale", "palette", "width", "height",
                                          "font",  "dpi",     "title"};
    atn_ctx *cx = cli->cx;
    atn_status st = ATN_OK;

    if (!atn_dir_exists(from))
        ATN_FAIL(ATN_USAGE,
                 "%s: the table of a figure is made of a capture, and %s is none (give "
                 "-o FILE ending in .svg, .pdf or .png)",
                 path, from);
    for (size_t i = 0; i < ATN_LEN(drawing); i++)
        if (atn_opt_given(cli, drawing[i]))
            ATN_FAIL(ATN_USAGE,
                     "%s: --%s is of a drawing, not of a table (leave it out)", path,
                     drawing[i]);
done:
    return st;
}

/* What would have no effect is refused: the user meant something by it. */
static atn_status check_options(atn_cli *cli, const atn_figure *f, const char *from)
{
    static const char *const pooling[] = {"cells", "pool"};
    static const char *const selection[] = {"layers", "heads", "stack", "steps"};
    const bool capture = atn_dir_exists(from), table = atn_file_exists(from);
    const bool pools = capture && atn_source_pools(f->id);
    const char *title = atn_opt_text(cli, "title", "");
    atn_ctx *cx = cli->cx;
    atn_status st = ATN_OK;
    size_t bad = 0;

    for (size_t i = 0; i < ATN_LEN(column_options); i++)
        if (atn_opt_given(cli, column_options[i].option) &&
            !(f->columns & column_options[i].use))
            ATN_FAIL(ATN_USAGE, "plot: figure %s has no --%s (leave it out)", f->id,
                     column_options[i].option);
    for (size_t i = 0; i < ATN_LEN(pooling); i++)
        if (atn_opt_given(cli, pooling[i]) && !pools)
            ATN_FAIL(ATN_USAGE,
                     "plot: --%s is of heatmap and heads drawn from a capture: here "
                     "nothing is pooled (leave it out)",
                     pooling[i]);
    for (size_t i = 0; i < ATN_LEN(selection); i++)
        if (atn_opt_given(cli, selection[i]) && table && !capture)
            ATN_FAIL(
                ATN_USAGE,
                "plot: --%s selects from a capture, and %s is a table (leave it out, "
                "or give a capture)",
                selection[i], from);
    if (!atn_utf8_valid(title, strlen(title), &bad))
        ATN_FAIL(ATN_USAGE,
                 "plot: --title is not UTF-8 from its byte %zu on (give UTF-8)", bad);
done:
    return st;
}

static atn_status draw(atn_cli *cli, const atn_figure *f, atn_table *t,
                       const char *path)
{
    atn_ctx *cx = cli->cx;
    atn_status st = ATN_OK;
    atn_figure_opts opts;

    ATN_TRY(read_opts(cli, &opts));
    ATN_TRY(name_columns(cli, f, t));
    ATN_TRY(atn_figure_draw(cx, f, t, &opts, path, atn_opt_given(cli, "force")));
done:
    return st;
}

/* The table of a figure, computed; drawn, or stored with its run record. */
static atn_status from_capture(atn_cli *cli, const atn_figure *f, const char *dir,
                               const char *path)
{
    const atn_source_opts opts = {
        .cells = atn_opt_i64(cli, "cells", 0),
        .pool = (atn_pool)atn_opt_i64(cli, "pool", ATN_POOL_MAX),
        .y = atn_opt_text(cli, "y", NULL),
        /* the figure reads its parameters itself; here it only costs time to be
         * wrong */
        .copy_err = strstr(atn_opt_text(cli, "params", ""), "copy_err") != NULL};
    atn_ctx *cx = cli->cx;
    atn_status st = ATN_OK;
    atn_subject s = {0};
    atn_table *t = NULL;

    ATN_TRY(atn_subject_open(cli, dir, &s));
    ATN_TRY(atn_source_table(cx, f->id, &s, &opts, &t));
    if (wants_table(path)) {
        ATN_TRY(name_columns(cli, f, t));
        ATN_TRY(atn_run_finish(cx, &s.run));
        ATN_TRY(atn_table_save(cx, t, &s.run, ATN_TABLE_CSV, path,
                               atn_opt_given(cli, "force")));
    } else {
        ATN_TRY(draw(cli, f, t, path));
    }
done:
    atn_table_destroy(cx, t);
    atn_subject_close(cli, &s);
    return st;
}

/* A directory is a capture, everything else a table. */
static atn_status run(atn_cli *cli)
{
    const char *path = atn_opt_text(cli, "output", NULL), *from = cli->args[1];
    const atn_figure *f = find_figure(cli, cli->args[0]);
    atn_ctx *cx = cli->cx;
    atn_status st = ATN_OK;
    atn_table *t = NULL;

    if (!f) ATN_TRY(cx->err.code);
    if (!path)
        ATN_FAIL(ATN_USAGE,
                 "plot: give -o FILE, ending in .svg, .pdf, .png, or .csv for "
                 "the table");
    ATN_TRY(atn_cli_check_output(cli, path));
    if (wants_table(path)) ATN_TRY(check_table(cli, path, from));
    ATN_TRY(check_options(cli, f, from));
    if (atn_dir_exists(from)) {
        ATN_TRY(from_capture(cli, f, from, path));
    } else {
        ATN_TRY(atn_table_load(cx, from, &t));
        ATN_TRY(draw(cli, f, t, path));
    }
done:
    atn_table_destroy(cx, t);
    return st;
}

static const char *word(const char *option, int i)
{
    return !option && atn_figures[i] ? atn_figures[i]->id : NULL;
}

static const char *const examples[] = {
    "plot heatmap RUN --layers 2 --heads 3 -o head.svg",
    "plot heads RUN -o heads.pdf",
    "plot similarity RUN -o similarity.png",
    "plot bars RUN --y previous_mass -o previous.svg",
    "plot grid RUN --y sink_mass,previous_mass -o grid.svg",
    "plot layers stats.csv --y entropy_mean_nats -o entropy.svg",
    "plot distance RUN -o distance.csv",
    "plot heatmap RUN --layers 0 --heads 0 --scale log --width 84mm -o column.pdf",
    NULL};

const atn_command atn_command_plot = {
    .id = "plot",
    .summary = "one figure of a capture or of a table, as SVG, PDF or PNG",
    .args = "FIGURE RUN|TABLE -o FILE",
    .examples = examples,
    .text =
        "FIGURE is one of attnscope list figures. From a capture the figure's table "
        "is computed first; a table is a CSV or JSONL file that attnscope wrote. The "
        "ending of FILE chooses the format; .csv stores the figure's table, from which "
        "it can be drawn again. Long texts are pooled while the rows stream past, and "
        "the figure says how.",
    .options = options,
    .uses = ATN_USE_SELECT | ATN_USE_OUTPUT,
    .word = word,
    .min_args = 2,
    .max_args = 2,
    .run = run,
};
