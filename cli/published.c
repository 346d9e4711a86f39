/* cli/published.c -- every published row through the options of `attnscope simulate`.
 *
 * Math    error = predicted / published - 1. The prediction is the cell of the table
 *         simulate (or waterfall) that `quantity` names, or its inverse: relative_time
 *         of speedup, whole_relative_time of whole_speedup. Its interval is that of the
 *         kernel's model, carried to the quantity.
 * Source  simulators/published/<file>.csv: method, source, gpu, tokens, baseline,
 *         quantity, published, in_sample (a number of the prediction was fitted to
 *         it), assumed (what of the case is not published), arguments (words of a
 *         command line; none = not predicted), reason.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "cli/published.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "cli/command.h"
#include "simulators/files.h"

enum { WORDS_MOST = 64 };

typedef enum field {
    METHOD,
    SOURCE,
    GPU,
    TOKENS,
    BASELINE,
    QUANTITY,
    PUBLISHED,
    IN_SAMPLE,
    ASSUMED,
    ARGUMENTS,
    REASON,
    FIELDS
} field;

static const char *const fields[FIELDS] = {
    "method",    "source",    "gpu",     "tokens",    "baseline", "quantity",
    "published", "in_sample", "assumed", "arguments", "reason"};

/* Of the table that comes out. */
typedef enum column {
    OUT_METHOD,
    OUT_SOURCE,
    OUT_GPU,
    OUT_KERNEL,
    OUT_BASELINE,
    OUT_PATTERN,
    OUT_TOKENS,
    OUT_HEADS,
    OUT_QUANTITY,
    OUT_PUBLISHED,
    OUT_PREDICTED,
    OUT_LOW,
    OUT_HIGH,
    OUT_ERROR,
    OUT_WITHIN,
    OUT_IN_SAMPLE,
    OUT_ASSUMED,
    OUT_REASON,
    OUT_COMMAND,
    COLUMNS
} column;

static const struct {
    const char *name, *text;
    atn_col_type type;
} columns[COLUMNS] = {
    {"method", "what was measured", ATN_COL_STR},
    {"source", "where it is published", ATN_COL_STR},
    {"gpu", "as published, or as assumed for the prediction", ATN_COL_STR},
    {"kernel", "simulated", ATN_COL_STR},
    {"baseline", "what a ratio is over", ATN_COL_STR},
    {"pattern", "simulated", ATN_COL_STR},
    {"tokens", "keys of a sequence", ATN_COL_I64},
    {"num_heads", "query heads", ATN_COL_I64},
    {"quantity", "column of simulate, or its inverse", ATN_COL_STR},
    {"published", "the number of the source", ATN_COL_F64},
    {"predicted", "by the command", ATN_COL_F64},
    {"predicted_low", "low end of the model's interval", ATN_COL_F64},
    {"predicted_high", "high end", ATN_COL_F64},
    {"error", "predicted / published - 1", ATN_COL_F64},
    {"within_interval", "published lies in the interval", ATN_COL_BOOL},
    {"in_sample", "a number of the prediction was fitted to this one", ATN_COL_BOOL},
    {"assumed", "what of the case is not published", ATN_COL_STR},
    {"reason", "of a miss, or why nothing is predicted", ATN_COL_STR},
    {"command", "that predicts it", ATN_COL_STR},
};

typedef struct reader {
    atn_cli *cli;
    const atn_table *in;
    const char *name; /* of the file */
    int col[FIELDS];
    atn_table *out;
} reader;

/* ---- a prediction ---- */

typedef struct range {
    double value, low, high;
} range;

static range inverse(range r)
{
    return (range){1 / r.value, 1 / r.high, 1 / r.low};
}

/* Of everything: what is not attention is taken as it is. */
static range whole_ms(const atn_sim *s, const atn_sim_opts *o)
{
    const double n = o->whole.layers > 0 ? o->whole.layers : 1;
    const double dense = n * o->whole.dense_layers, sparse = n - dense;

    return (range){
        s->whole_ms,
        s->whole_ms + sparse * (s->low_ms - s->time_ms) +
            dense * (s->dense_low_ms - s->dense_ms),
        s->whole_ms + sparse * (s->high_ms - s->time_ms) +
            dense * (s->dense_high_ms - s->dense_ms),
    };
}

static range whole_speedup(const atn_sim *s, const atn_sim_opts *o)
{
    const range ms = whole_ms(s, o);
    const double dense = s->whole_speedup * s->whole_ms;

    return (range){s->whole_speedup, dense / ms.high, dense / ms.low};
}

static range speedup(const atn_sim *s)
{
    return (range){s->speedup, s->speedup_low, s->speedup_high};
}

/* The time of the kernel by itself, whose passes have an interval of their own. */
static range kernel_ms(const atn_sim *s)
{
    const atn_time_fit *f = &s->model.fit;

    return (range){s->kernel_ms, s->kernel_ms * (f->low > 0 ? fmin(f->low, 1) : 1),
                   s->kernel_ms * fmax(f->high, 1)};
}

static bool find(const char *quantity, const atn_sim_item *item, range *out)
{
    const atn_sim *s = &item->sim;

    if (strcmp(quantity, "kernel_ms") == 0)
        *out = kernel_ms(s);
    else if (strcmp(quantity, "time_ms") == 0)
        *out = (range){s->time_ms, s->low_ms, s->high_ms};
    else if (strcmp(quantity, "dense_ms") == 0)
        *out = (range){s->dense_ms, s->dense_low_ms, s->dense_high_ms};
    else if (strcmp(quantity, "bound_flop") == 0)
        *out = (range){s->bounds.flop, s->bounds.flop, s->bounds.flop};
    else if (strcmp(quantity, "bound_max") == 0)
        *out = (range){s->bounds.max, s->bounds.max, s->bounds.max};
    else if (strcmp(quantity, "speedup") == 0)
        *out = speedup(s);
    else if (strcmp(quantity, "relative_time") == 0)
        *out = inverse(speedup(s));
    else if (strcmp(quantity, "whole_ms") == 0)
        *out = whole_ms(s, &item->opts);
    else if (strcmp(quantity, "whole_speedup") == 0)
        *out = whole_speedup(s, &item->opts);
    else if (strcmp(quantity, "whole_relative_time") == 0)
        *out = inverse(whole_speedup(s, &item->opts));
    else
        return false;
    return true;
}

/* ---- a row ---- */

static const char *text_of(const reader *r, atn_idx row, field f)
{
    const char *text = atn_table_col_type(r->in, r->col[f]) == ATN_COL_STR
                           ? atn_table_get_str(r->in, row, r->col[f])
                           : NULL;

    return text ? text : "";
}

static atn_status put(const reader *r, column c, const char *text)
{
    return text && *text ? atn_table_set_str(r->cli->cx, r->out, (int)c, text) : ATN_OK;
}

static void put_number(const reader *r, column c, double v)
{
    if (isfinite(v)) atn_table_set_f64(r->out, (int)c, v);
}

static atn_status put_prediction(const reader *r, atn_idx row, const atn_sim_item *item)
{
    const double published = atn_table_get_f64(r->in, row, r->col[PUBLISHED]);
    const char *quantity = text_of(r, row, QUANTITY);
    atn_ctx *cx = r->cli->cx;
    atn_status st = ATN_OK;
    range v;

    if (!find(quantity, item, &v))
        ATN_FAIL(ATN_DATA, "%s, row %lld: there is no quantity '%.40s'", r->name,
                 (long long)row + 2, quantity);
    ATN_TRY(put(r, OUT_GPU, item->opts.device->id));
    ATN_TRY(put(r, OUT_KERNEL, item->kernel->id));
    ATN_TRY(put(r, OUT_PATTERN, item->name));
    atn_table_set_i64(r->out, OUT_TOKENS, item->sim.shape.kv_len);
    atn_table_set_i64(r->out, OUT_HEADS, item->sim.shape.heads);
    put_number(r, OUT_PREDICTED, v.value);
    put_number(r, OUT_LOW, v.low);
    put_number(r, OUT_HIGH, v.high);
    put_number(r, OUT_ERROR, v.value / published - 1);
    if (isfinite(v.value) && v.low < v.high)
        atn_table_set_bool(r->out, OUT_WITHIN,
                           published >= v.low && published <= v.high);
done:
    return st;
}

/* Words between blanks; text is cut up. */
static int split(char *text, const char **words, int n)
{
    char *save = NULL;

    for (char *w = strtok_r(text, " ", &save); w && n < WORDS_MOST;
         w = strtok_r(NULL, " ", &save))
        words[n++] = w;
    return n;
}

static atn_status predict(const reader *r, atn_idx row, const char *arguments)
{
    const char *words[WORDS_MOST] = {"attnscope", r->cli->command->id};
    atn_ctx *cx = r->cli->cx;
    char *text = atn_strdup(cx, arguments);
    atn_cli cli = {.cx = cx, .command = r->cli->command, .argv = words};
    atn_simulation s = {0};
    atn_sim_list l = {0};
    atn_status st = ATN_OK;

    if (!text) return cx->err.code;
    cli.argc = split(text, words, 2);
    ATN_TRY(atn_cli_parse(&cli, 2));
    ATN_TRY(atn_simulation_read(&cli, &s));
    atn_simulation_read_rest(&cli, &s);
    ATN_TRY(atn_sim_list_words(&cli, &s, cli.args, cli.n_args, &l));
    ATN_TRY(atn_sim_list_run(cx, &l));
    if (l.n != 1)
        ATN_FAIL(ATN_DATA, "%s, row %lld: %d cases in one row", r->name,
                 (long long)row + 2, l.n);
    ATN_TRY(put_prediction(r, row, &l.item[0]));
done:
    atn_sim_list_release(cx, &l);
    atn_simulation_release(cx, &s);
    atn_cli_release(&cli);
    atn_free(cx, text);
    return st;
}

static atn_status add_row(const reader *r, atn_idx row)
{
    static const struct {
        field from;
        column to;
    } copied[] = {{METHOD, OUT_METHOD},    {SOURCE, OUT_SOURCE},
                  {GPU, OUT_GPU},          {BASELINE, OUT_BASELINE},
                  {ASSUMED, OUT_ASSUMED},  {REASON, OUT_REASON},
                  {QUANTITY, OUT_QUANTITY}};
    const char *arguments = text_of(r, row, ARGUMENTS);
    atn_ctx *cx = r->cli->cx;
    char *command = NULL;
    atn_status st = ATN_OK;

    ATN_TRY(atn_table_add_row(cx, r->out));
    for (size_t i = 0; i < ATN_LEN(copied); i++)
        ATN_TRY(put(r, copied[i].to, text_of(r, row, copied[i].from)));
    if (atn_table_has(r->in, row, r->col[TOKENS]))
        atn_table_set_i64(r->out, OUT_TOKENS,
                          atn_table_get_i64(r->in, row, r->col[TOKENS]));
    if (atn_table_has(r->in, row, r->col[IN_SAMPLE]))
        atn_table_set_bool(r->out, OUT_IN_SAMPLE,
                           atn_table_get_i64(r->in, row, r->col[IN_SAMPLE]) != 0);
    put_number(r, OUT_PUBLISHED, atn_table_get_f64(r->in, row, r->col[PUBLISHED]));
    if (!*arguments) goto done;
    command = atn_strfmt(cx, "attnscope %s %s", r->cli->command->id, arguments);
    if (!command) ATN_TRY(cx->err.code);
    ATN_TRY(put(r, OUT_COMMAND, command));
    ATN_TRY(predict(r, row, arguments));
done:
    atn_free(cx, command);
    return st;
}

/* ---- the table ---- */

static atn_status add_file(atn_cli *cli, const atn_embedded *file, atn_table *out)
{
    reader r = {.cli = cli, .name = file->name, .out = out};
    atn_ctx *cx = cli->cx;
    atn_table *in = NULL;
    atn_status st = ATN_OK;

    ATN_TRY(atn_table_parse(cx, file->name, file->text, file->size, &in));
    r.in = in;
    for (int f = 0; f < FIELDS; f++) {
        r.col[f] = atn_table_find_col(in, fields[f]);
        if (r.col[f] < 0)
            ATN_FAIL(ATN_DATA, "%s: it has no column %s", file->name, fields[f]);
    }
    for (atn_idx i = 0; i < atn_table_rows(in); i++) ATN_TRY(add_row(&r, i));
done:
    atn_table_destroy(cx, in);
    return st;
}

atn_status atn_published_table(atn_cli *cli, atn_table **out)
{
    const atn_embedded *file;
    atn_ctx *cx = cli->cx;
    atn_status st = ATN_OK;

    *out = NULL;
    ATN_TRY(atn_table_create(cx, "published", out));
    ATN_TRY(atn_table_set_meta(cx, *out, "title", "Predicted against published"));
    for (int c = 0; c < COLUMNS; c++)
        ATN_TRY(atn_table_add_col(cx, *out, columns[c].name, columns[c].type, "",
                                  columns[c].text, NULL));
    for (int i = 0; (file = atn_embedded_at("published", i)); i++)
        ATN_TRY(add_file(cli, file, *out));
done:
    if (st != ATN_OK) {
        atn_table_destroy(cx, *out);
        *out = NULL;
    }
    return st;
}
