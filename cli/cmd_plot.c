/* cli/cmd_plot.c -- attnscope plot: one figure of a capture or of a table. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include <stdio.h>
#include <string.h>

#include "analysis/graph_tables.h"
#include "approx/method.h"
#include "cli/graph_adapter.h"
#include "cli/output.h"
#include "cli/patterns.h"
#include "cli/simulation.h"
#include "cli/source_patterns.h"
#include "cli/source_simulations.h"
#include "cli/sources.h"
#include "cli/trading.h"
#include "core/io/file.h"
#include "core/io/json.h"
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
    {"tokens", 0, ATN_OPT_COUNT, "N",
     "length of the sequence, of patterns (what the pattern says)", 1, 0x1p31},
    {"depth", 0, ATN_OPT_I64, "N",
     "layers of reach and growth (8, or as many as pattern or capture have)", 1, 4096},
    {"query-heads", 0, ATN_OPT_I64, "N",
     "heads of a layer, for patterns that differ between them (1)", 1, 65536},
    {"from", 0, ATN_OPT_TEXT, "METHOD",
     "pattern, reach and growth of a capture: what a method of attnscope list methods "
     "keeps, as topk:k=32 or minference (what the masks show)",
     0, 0},
    {"prompt", 0, ATN_OPT_COUNT, "N",
     "for --from: tokens of the prompt (what the capture says)", 1, 1e12},
    {"p", 0, ATN_OPT_TEXT, "LIST", "energy of a capture, for these p (1,1.5,2,2.5,3)",
     0, 0},
    {"iterations", 0, ATN_OPT_I64, "K", "energy of a capture: steps (10)", 1, 10000},
    ATN_OPTION_GPU,
    ATN_OPTION_KERNEL,
    ATN_OPTIONS_LAUNCH,
    ATN_OPTIONS_PASSES,
    ATN_OPTIONS_WHOLE,
    ATN_OPTION_END,
};

/* Figures of which a word is a pattern. */
static bool takes_patterns(const char *figure)
{
    return atn_draws_patterns(figure) || atn_draws_simulations(figure);
}

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

/* Names of columns, for a message. */
typedef struct column_names {
    const char *of[320];
    int n;
    char list[200];
} column_names;

static void add_name(column_names *k, const char *name)
{
    const size_t used = strlen(k->list);

    if (k->n == (int)ATN_LEN(k->of)) return;
    k->of[k->n++] = name;
    snprintf(k->list + used, sizeof k->list - used, "%s%s", used ? ", " : "", name);
}

/* Whether all of them stand there. */
static const char *rest_of(const column_names *k)
{
    return strlen(k->list) + 1 == sizeof k->list ? "..." : "";
}

static atn_status no_column(atn_cli *cli, const char *option, const char *column,
                            const atn_table *t)
{
    const bool measures = strcmp(atn_table_kind(t), "stats") == 0 &&
                          strcmp(option, "y") == 0 && atn_is_capture(cli->args[1]);
    column_names has = {.n = 0}, graph = {.n = 0};
    atn_ctx *cx = cli->cx;
    const char *name, *near = NULL;
    int at;

    for (int c = 0; c < atn_table_cols(t); c++)
        add_name(&has, atn_table_col_name(t, c));
    for (int i = 0; measures && (name = atn_graph_column_name(i)); i++)
        if (!(atn_graph_column(name, strlen(name)) & ATN_GRAPH_LABELLED))
            add_name(&graph, name);
    if ((at = atn_nearest(column, has.of, has.n)) >= 0)
        near = has.of[at];
    else if ((at = atn_nearest(column, graph.of, graph.n)) >= 0)
        near = graph.of[at];
    if (near && strcmp(near, column) == 0)
        return atn_fail(cx, ATN_USAGE, __FILE__, __LINE__,
                        "plot: --%s: %s is of the graph, the others are of measures "
                        "(give one kind)",
                        option, column);
    return atn_fail(
        cx, ATN_USAGE, __FILE__, __LINE__,
        "plot: --%s: the table has no column '%.80s'%s%s; it has %s%s%s%s%s", option,
        column, near ? "; did you mean " : "", near ? near : "", has.list,
        rest_of(&has), graph.n ? "; of the graph " : "", graph.list, rest_of(&graph));
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

/* What the words behind FIGURE are. */
typedef struct plan {
    const atn_figure *figure;
    const char *path;    /* -o */
    const char *capture; /* NULL = none */
    const char *table;   /* NULL = none */
    const char **words;  /* [n] patterns */
    int n;
} plan;

static bool wants_table(const plan *p)
{
    return atn_ends_with(p->path, ".csv");
}

static bool wants_pattern(const plan *p)
{
    return strcmp(p->figure->id, "pattern") == 0 && atn_ends_with(p->path, ".json");
}

/* A directory is a capture. Of figures of patterns what is no file of a table is a
 * pattern; of others everything else is a table. */
static bool is_table(const plan *p, const char *word)
{
    const size_t n = strlen(word);

    return !takes_patterns(p->figure->id) ||
           (atn_file_exists(word) && !(n > 5 && strcmp(word + n - 5, ".json") == 0));
}

/* What is no capture and no table is a pattern, once. */
static atn_status add_word(atn_ctx *cx, plan *p, const char *word)
{
    atn_status st = ATN_OK;

    ATN_TRY(atn_word_check(cx, word));
    for (int i = 0; i < p->n; i++)
        if (strcmp(p->words[i], word) == 0)
            ATN_FAIL(ATN_USAGE, "plot: %s is given twice (leave one out)", word);
    p->words[p->n++] = word;
done:
    return st;
}

static atn_status sort_words(atn_cli *cli, plan *p)
{
    atn_ctx *cx = cli->cx;
    atn_status st = ATN_OK;
    int tables = 0, captures = 0;

    ATN_TAKE(p->words, cli->n_args);
    for (int i = 1; i < cli->n_args; i++) {
        const char *word = cli->args[i];

        if (atn_is_capture(word)) {
            p->capture = word;
            captures++;
        } else if (is_table(p, word)) {
            p->table = word;
            tables++;
        } else {
            ATN_TRY(add_word(cx, p, word));
        }
    }
    if (captures > 1 || tables > 1 || (tables > 0 && captures + p->n > 0))
        ATN_FAIL(ATN_USAGE,
                 "plot: give one capture or one table%s (%s is one too many)",
                 atn_draws_simulations(p->figure->id) ? ", or patterns"
                 : atn_draws_patterns(p->figure->id)
                     ? ", or patterns with a capture or without"
                     : "",
                 cli->args[cli->n_args - 1]);
done:
    return st;
}

/* -o FILE.csv stores the table that the figure would be drawn from, FILE.json of figure
 * pattern the pattern itself: neither is drawn. */
static atn_status check_stored(atn_cli *cli, const plan *p)
{
    static const char *const drawing[] = {"scale",  "palette", "width",
                                          "height", "font",    "dpi",
                                          "title",  "params",  "cells"};
    const bool pattern = wants_pattern(p);
    const size_t n = ATN_LEN(drawing) - (pattern ? 0 : 2); /* a table has these */
    atn_ctx *cx = cli->cx;
    atn_status st = ATN_OK;

    if (p->table)
        ATN_FAIL(ATN_USAGE,
                 "%s: the %s of a figure is made of a %s, and %s is none (give "
                 "-o FILE ending in .svg, .pdf or .png)",
                 p->path, pattern ? "pattern" : "table",
                 pattern ? "capture or a PATTERN" : "capture", p->table);
    for (size_t i = 0; i < n; i++)
        if (atn_opt_given(cli, drawing[i]))
            ATN_FAIL(ATN_USAGE, "%s: --%s is of a drawing, not of a %s (leave it out)",
                     p->path, drawing[i], pattern ? "pattern" : "table");
done:
    return st;
}

static bool selects(const char *option)
{
    static const char *const names[] = {"layers", "heads", "stack", "steps"};

    for (size_t i = 0; i < ATN_LEN(names); i++)
        if (strcmp(names[i], option) == 0) return true;
    return false;
}

/* The figure of a capture, on a GPU, that no pattern is of. */
static bool trades_off(const plan *p)
{
    return p->capture && strcmp(p->figure->id, "tradeoff") == 0;
}

static bool is_among(const char *word, const char *const *words, int n)
{
    for (int i = 0; i < n; i++)
        if (strcmp(words[i], word) == 0) return true;
    return false;
}

/* GPU, kernel and launch are of figures that simulate; of a capture heads and their
 * size are its own. */
static atn_status check_launch(atn_cli *cli, const plan *p)
{
    static const char *const own[] = {"num-heads", "num-kv-heads", "head-dim"};
    static const char *const traded[] = {"gpu", "kernel", "dense-kernel", "batch"};
    const bool simulates = atn_draws_simulations(p->figure->id);
    const bool trades = trades_off(p);
    const char *option;
    atn_ctx *cx = cli->cx;
    atn_status st = ATN_OK;

    for (int i = 0; (option = atn_sim_source_option(i)); i++)
        if (atn_opt_given(cli, option) && (!simulates || p->table) &&
            !(trades && is_among(option, traded, (int)ATN_LEN(traded))))
            ATN_FAIL(ATN_USAGE,
                     "plot: --%s is of waterfall, speedup, roofline, tile_map and "
                     "cta_timeline of patterns or a capture (leave it out)",
                     option);
    for (size_t i = 0; simulates && p->capture && i < ATN_LEN(own); i++)
        if (atn_opt_given(cli, own[i]))
            ATN_FAIL(ATN_USAGE,
                     "plot: --%s is of a pattern; the capture %s says its own (leave "
                     "it out)",
                     own[i], p->capture);
done:
    return st;
}

/* Options that belong to some figures, or to some of what they are drawn from. */
static atn_status check_places(atn_cli *cli, const plan *p)
{
    const char *id = p->figure->id;
    const bool patterns = atn_draws_patterns(id), growth = strcmp(id, "growth") == 0,
               picture = strcmp(id, "pattern") == 0, energy = strcmp(id, "energy") == 0;
    const bool pools = p->capture && atn_source_pools(id);
    const bool simulates = atn_draws_simulations(id) && !p->table;
    const bool tiles = simulates && strcmp(id, "tile_map") == 0;
    const bool whole = simulates && strcmp(id, "waterfall") == 0;
    const bool takes = patterns && p->capture && atn_opt_given(cli, "from");
    const struct {
        const char *option;
        bool fits;
        const char *of;
    } places[] = {
        {"pool", pools,
         "heatmap and heads drawn from a capture: here nothing is pooled"},
        {"cells", pools || tiles || (patterns && !growth && !p->table),
         "heatmap and heads drawn from a capture, and of pattern, reach and tile_map: "
         "here nothing is pooled"},
        {"tokens", (patterns || simulates) && p->n > 0, "patterns"},
        {"query-heads", patterns && p->n > 0, "pattern, reach and growth of patterns"},
        {"depth", patterns && !picture && !p->table, "reach and growth of patterns"},
        {"from", (patterns || simulates) && p->capture,
         "pattern, reach and growth of a capture, and of simulations of one"},
        {"grid", takes || simulates, "what --from takes"},
        {"prompt", takes || (simulates && p->capture), "what --from takes"},
        {"p", p->capture && energy, "energy of a capture"},
        {"iterations", p->capture && energy, "energy of a capture"},
        {"attention-share", whole, "waterfall of patterns or a capture"},
        {"parameters", whole, "waterfall of patterns or a capture"},
        {"num-layers", whole, "waterfall of patterns or a capture"},
        {"dense-share", whole, "waterfall of patterns or a capture"},
        {"layers", !p->table && (p->capture || picture),
         "a capture, or figure pattern"},
        {"heads", !p->table && (p->capture || picture || tiles),
         "a capture, or of figures pattern and tile_map"},
        {"stack", !p->table && p->capture, "a capture"},
        {"steps", !p->table && p->capture, "a capture"},
    };
    atn_ctx *cx = cli->cx;
    atn_status st = ATN_OK;

    if (atn_opt_given(cli, "attention-share") && atn_opt_given(cli, "parameters"))
        ATN_FAIL(ATN_USAGE, "plot: --attention-share and --parameters say the same "
                            "(give one)");
    for (size_t i = 0; i < ATN_LEN(places); i++) {
        if (!atn_opt_given(cli, places[i].option) || places[i].fits) continue;
        if (p->table && selects(places[i].option))
            ATN_FAIL(ATN_USAGE,
                     "plot: --%s selects from a capture, and %s is a table (leave it "
                     "out, or give a capture)",
                     places[i].option, p->table);
        ATN_FAIL(ATN_USAGE, "plot: --%s is of %s (leave it out)", places[i].option,
                 places[i].of);
    }
done:
    return st;
}

/* Of a capture and patterns together the length is the capture's; its masks are alike
 * for all heads. */
static atn_status check_capture(atn_cli *cli, const plan *p)
{
    atn_ctx *cx = cli->cx;
    atn_status st = ATN_OK;

    if (!p->capture || !atn_draws_patterns(p->figure->id)) goto done;
    if (atn_opt_given(cli, "tokens"))
        ATN_FAIL(ATN_USAGE,
                 "plot: --tokens is of a pattern; the capture %s says its own (leave "
                 "it out)",
                 p->capture);
    if (atn_opt_given(cli, "heads") && !atn_opt_given(cli, "from"))
        ATN_FAIL(ATN_USAGE,
                 "plot: --heads chooses what --from takes; the masks of all heads are "
                 "alike (give --from, or leave it out)");
done:
    return st;
}

/* What would have no effect is refused: the user meant something by it. */
static atn_status check_options(atn_cli *cli, const plan *p)
{
    const char *title = atn_opt_text(cli, "title", "");
    atn_ctx *cx = cli->cx;
    atn_status st = ATN_OK;
    size_t bad = 0;

    for (size_t i = 0; i < ATN_LEN(column_options); i++)
        if (atn_opt_given(cli, column_options[i].option) &&
            !(p->figure->columns & column_options[i].use))
            ATN_FAIL(ATN_USAGE, "plot: figure %s has no --%s (leave it out)",
                     p->figure->id, column_options[i].option);
    ATN_TRY(check_capture(cli, p));
    ATN_TRY(check_places(cli, p));
    ATN_TRY(check_launch(cli, p));
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

/* The table, computed: drawn, or stored with its run record. */
static atn_status deliver(atn_cli *cli, const plan *p, atn_run *run, atn_table *t)
{
    atn_ctx *cx = cli->cx;
    atn_status st = ATN_OK;

    if (!wants_table(p)) return draw(cli, p->figure, t, p->path);
    ATN_TRY(name_columns(cli, p->figure, t));
    ATN_TRY(atn_run_finish(cx, run));
    ATN_TRY(atn_table_save(cx, t, run, ATN_TABLE_CSV, p->path,
                           atn_opt_given(cli, "force")));
done:
    return st;
}

/* The pattern itself, and beside it how it came about. */
static atn_status store_pattern(atn_cli *cli, const plan *p, atn_run *run,
                                const atn_pattern_source *source)
{
    char *record = atn_strfmt(cli->cx, "%s.run.json", p->path);
    atn_ctx *cx = cli->cx;
    atn_status st = ATN_OK;

    if (!record) ATN_TRY(cx->err.code);
    ATN_TRY(atn_pattern_source_save(cx, source, p->path, atn_opt_given(cli, "force")));
    ATN_TRY(atn_run_finish(cx, run));
    ATN_TRY(atn_json_save(cx, record, run->json));
done:
    atn_free(cx, record);
    return st;
}

static atn_status from_patterns(atn_cli *cli, const plan *p, const atn_subject *s,
                                atn_run *run)
{
    char *chosen = s ? atn_pattern_selection(cli) : NULL;
    atn_pattern_source source = {.figure = p->figure->id,
                                 .subject = s,
                                 .words = p->words,
                                 .n = p->n,
                                 .from = atn_opt_text(cli, "from", NULL),
                                 .prompt = atn_opt_i64(cli, "prompt", 0),
                                 .chosen = chosen,
                                 .run = run,
                                 .tokens = atn_opt_i64(cli, "tokens", 0),
                                 .query_heads = atn_opt_i64(cli, "query-heads", 1),
                                 .depth = (int)atn_opt_i64(cli, "depth", 0),
                                 .cells = atn_opt_i64(cli, "cells", 0),
                                 .layer = s ? NULL : atn_opt_text(cli, "layers", NULL),
                                 .head = s ? NULL : atn_opt_text(cli, "heads", NULL),
                                 .whole = wants_table(p),
                                 .y = atn_opt_text(cli, "y", NULL)};
    atn_ctx *cx = cli->cx;
    atn_status st = ATN_OK;
    atn_table *t = NULL;

    if (s && !chosen) ATN_TRY(cx->err.code);
    ATN_TRY(atn_opt_shape(cli, "grid", 3, &source.grid));
    if (wants_pattern(p)) {
        ATN_TRY(store_pattern(cli, p, run, &source));
        goto done;
    }
    ATN_TRY(atn_pattern_source_table(cx, &source, &t));
    ATN_TRY(deliver(cli, p, run, t));
done:
    atn_table_destroy(cx, t);
    atn_free(cx, chosen);
    return st;
}

static atn_status from_simulations(atn_cli *cli, const plan *p, const atn_subject *s,
                                   atn_run *run)
{
    const atn_sim_source source = {.figure = p->figure->id,
                                   .subject = s,
                                   .words = p->words,
                                   .n = p->n,
                                   .head = s ? NULL : atn_opt_text(cli, "heads", NULL),
                                   .cells = atn_opt_i64(cli, "cells", 0),
                                   .run = run};
    atn_ctx *cx = cli->cx;
    atn_status st = ATN_OK;
    atn_table *t = NULL;

    ATN_TRY(atn_sim_source_table(cli, &source, &t));
    ATN_TRY(deliver(cli, p, run, t));
done:
    atn_table_destroy(cx, t);
    return st;
}

/* From results of approx that are stored, else computed. */
static atn_status from_trading(atn_cli *cli, const plan *p, atn_subject *s)
{
    const atn_trading_opts o = {.methods = NULL};
    atn_trading trade = {.tradeoff = NULL};
    atn_ctx *cx = cli->cx;
    atn_status st = ATN_OK;
    atn_table *t = NULL;

    ATN_TRY(atn_trading_run(cli, s, &o, &trade));
    ATN_TRY(atn_tradeoff_table(cx, trade.tradeoff, ATN_KEYS_MODEL, &t));
    ATN_TRY(deliver(cli, p, &s->run, t));
done:
    atn_table_destroy(cx, t);
    atn_trading_release(cx, &trade);
    return st;
}

static atn_status from_capture(atn_cli *cli, const plan *p)
{
    double values[ATN_P_MOST];
    atn_source_opts opts = {
        .cells = atn_opt_i64(cli, "cells", 0),
        .pool = (atn_pool)atn_opt_i64(cli, "pool", ATN_POOL_MAX),
        .y = atn_opt_text(cli, "y", NULL),
        .iterations = (int)atn_opt_i64(cli, "iterations", 0),
        /* the figure reads its parameters itself; here it only costs time to be
         * wrong */
        .copy_err = strstr(atn_opt_text(cli, "params", ""), "copy_err") != NULL};
    atn_ctx *cx = cli->cx;
    atn_status st = ATN_OK;
    atn_subject s = {0};
    atn_table *t = NULL;

    ATN_TRY(atn_cli_read_p(cli, values, &opts.n_p));
    opts.p = values;
    ATN_TRY(atn_subject_open(cli, p->capture, &s));
    if (atn_draws_patterns(p->figure->id)) {
        ATN_TRY(from_patterns(cli, p, &s, &s.run));
        goto done;
    }
    if (atn_draws_simulations(p->figure->id)) {
        ATN_TRY(from_simulations(cli, p, &s, &s.run));
        goto done;
    }
    if (trades_off(p)) {
        ATN_TRY(from_trading(cli, p, &s));
        goto done;
    }
    ATN_TRY(atn_source_table(cx, p->figure->id, &s, &opts, &t));
    ATN_TRY(deliver(cli, p, &s.run, t));
done:
    atn_table_destroy(cx, t);
    atn_subject_close(cli, &s);
    return st;
}

static atn_status from_words(atn_cli *cli, const plan *p)
{
    atn_ctx *cx = cli->cx;
    atn_status st = ATN_OK;
    atn_run run = {0};

    ATN_TRY(atn_cli_record(cli, &run));
    if (atn_draws_simulations(p->figure->id))
        ATN_TRY(from_simulations(cli, p, NULL, &run));
    else
        ATN_TRY(from_patterns(cli, p, NULL, &run));
done:
    atn_run_release(&run);
    return st;
}

static atn_status from_table(atn_cli *cli, const plan *p)
{
    atn_ctx *cx = cli->cx;
    atn_status st = ATN_OK;
    atn_table *t = NULL;

    ATN_TRY(atn_table_load(cx, p->table, &t));
    ATN_TRY(draw(cli, p->figure, t, p->path));
done:
    atn_table_destroy(cx, t);
    return st;
}

static atn_status run(atn_cli *cli)
{
    plan p = {.figure = find_figure(cli, cli->args[0]),
              .path = atn_opt_text(cli, "output", NULL)};
    atn_ctx *cx = cli->cx;
    const atn_arena_mark mark = atn_arena_save(cx);
    atn_status st = ATN_OK;

    if (!p.figure) ATN_TRY(cx->err.code);
    if (!p.path)
        ATN_FAIL(ATN_USAGE,
                 "plot: give -o FILE, ending in .svg, .pdf, .png, in .csv for the "
                 "table, or in .json for the pattern itself");
    ATN_TRY(atn_cli_check_output(cli, p.path));
    ATN_TRY(sort_words(cli, &p));
    if (wants_table(&p) || wants_pattern(&p)) ATN_TRY(check_stored(cli, &p));
    ATN_TRY(check_options(cli, &p));
    ATN_TRY(p.capture ? from_capture(cli, &p)
            : p.table ? from_table(cli, &p)
                      : from_words(cli, &p));
done:
    atn_arena_rewind(cx, mark);
    return st;
}

static const char *word(const char *option, int i)
{
    if (!option) return atn_figures[i] ? atn_figures[i]->id : NULL;
    if (strcmp(option, "from") == 0) return atn_method_id(i);
    if (strcmp(option, "gpu") == 0) return atn_device_id(i);
    if (strcmp(option, "kernel") == 0 || strcmp(option, "dense-kernel") == 0)
        return atn_kernel_id(i);
    return NULL;
}

static const char *word_after(const char *first, int i)
{
    return takes_patterns(first) ? atn_pattern_word(i) : NULL;
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
    "plot pattern power:block=256,window=5,sink=1 --tokens 32768 -o pattern.svg",
    "plot pattern RUN --from topk:k=32 --layers 2 -o kept.json",
    "plot reach power --tokens 32k --depth 8 -o reach.svg",
    "plot growth power power_sliding 2xcausal,5xpower --tokens 32k -o growth.svg",
    "plot spectrum RUN --layers 0 -o spectrum.svg",
    "plot energy RUN --p 1.5,2 -o energy.svg",
    "plot layers RUN --y feature_homophily_nodiag -o homophily.svg",
    "plot growth RUN window:window=32 --from topk:k=32 -o field.svg",
    "plot waterfall power:block=256,window=5,sink=1 --tokens 128k --gpu h200 -o "
    "steps.svg",
    "plot cta_timeline causal --tokens 8k --gpu h100 --num-heads 8 -o schedule.svg",
    "plot roofline RUN --layers 0 --gpu a100 -o roofline.svg",
    NULL};

const atn_command atn_command_plot = {
    .id = "plot",
    .summary = "one figure of a capture or of a table, as SVG, PDF or PNG",
    .args = "FIGURE RUN|TABLE|PATTERN... -o FILE",
    .examples = examples,
    .text =
        "FIGURE is one of attnscope list figures. From a capture the figure's table "
        "is computed first; a table is a CSV or JSONL file that attnscope wrote. The "
        "ending of FILE chooses the format; .csv stores the figure's table, from which "
        "it can be drawn again. Long texts are pooled while the rows stream past, and "
        "the figure says how.\n"
        "Figures pattern, reach and growth are drawn from a PATTERN, too (attnscope "
        "list "
        "patterns; attnscope help field has the words): pattern shows one layer of it "
        "(--layers L --heads H, by number), growth compares several, also with those "
        "of "
        "a capture. Of figure pattern -o FILE.json stores that layer itself as a "
        "pattern "
        "file, with all heads that are chosen, which is a PATTERN again.\n"
        "Figures waterfall, speedup, roofline, tile_map and cta_timeline simulate a "
        "PATTERN, or the layers of a capture, on a GPU (--gpu; attnscope help simulate "
        "has the options); the last two show one launch. Figure tradeoff of a capture "
        "takes "
        "--gpu, --kernel, --dense-kernel and --batch (attnscope help tradeoff).",
    .options = options,
    .uses = ATN_USE_SELECT | ATN_USE_OUTPUT,
    .word = word,
    .word_after = word_after,
    .min_args = 2,
    .max_args = -1,
    .run = run,
};
