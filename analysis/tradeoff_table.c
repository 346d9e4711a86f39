/* analysis/tradeoff_table.c -- the tables of a trade-off. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "analysis/tradeoff_internal.h"

enum { WORDS = 2048 };

/* Numbers of a row, in the order of their columns. */
typedef enum number {
    ERROR,
    ERROR_W_O,
    MASS,
    KL,
    EXECUTED,
    VISITED,
    DENSITY,
    TIME,
    TIME_LOW,
    TIME_HIGH,
    INDEX,
    DENSE,
    SPEEDUP,
    SPEEDUP_LOW,
    SPEEDUP_HIGH,
    WHOLE,
    NUMBERS
} number;

static const struct {
    const char *name, *unit, *text;
    bool front; /* also in the table front */
} number_columns[NUMBERS] = {
    [ERROR] = {"output_error_relative", "",
               "mean over layers of the mean over heads, as in approx; of sharing "
               "copy_err of the followers, 0 of the others",
               true},
    [ERROR_W_O] = {"output_error_w_o_relative", "",
                   "the same behind the output projection", true},
    [MASS] = {"retained_mass_mean", "", "as in approx", false},
    [KL] = {"kl_mean_nats", "nats", "as in approx", false},
    [EXECUTED] = {"executed_share", "", "as in approx", true},
    [VISITED] = {"visited_tiles", "",
                 "tiles of the kernel that are visited, of all heads and the batch; of "
                 "gathered keys those of 16 rows",
                 false},
    [DENSITY] = {"tile_density", "",
                 "cells of the visited tiles over those of dense attention: above 1 "
                 "more is computed",
                 false},
    [TIME] = {"time_ms", "ms", "predicted time of attention, with what choosing costs",
              true},
    [TIME_LOW] = {"time_low_ms", "ms", "of 5 % of what was measured for the model",
                  false},
    [TIME_HIGH] = {"time_high_ms", "ms", "95 % of it is below", false},
    [INDEX] = {"index_ms", "ms", "of it choosing", false},
    [DENSE] = {"dense_ms", "ms", "of dense attention in the dense kernel", false},
    [SPEEDUP] = {"speedup", "",
                 "dense_ms over time_ms; empty where one of them is below 0.1 ms a "
                 "launch: then it is that of starting",
                 true},
    [SPEEDUP_LOW] = {"speedup_low", "", "dense_ms over time_high_ms", false},
    [SPEEDUP_HIGH] = {"speedup_high", "", "dense_ms over time_low_ms", false},
    [WHOLE] = {"whole_speedup", "",
               "of one forward pass with all other products, where the capture says "
               "the sizes; empty where speedup is, unless the other products take at "
               "least nine times as long as attention",
               true},
};

/* ---- a row ---- */

/* What a row says: a case on one layer (l >= 0) or on the model. */
typedef struct saying {
    const trade_case *c;
    const trade_cell *cell;
    double dense_ms, dense_cells;
    double linear_ms; /* all other products; NaN = not known */
    int layers;
} saying;

static saying say(const atn_tradeoff *t, const trade_case *c, int l)
{
    saying s = {.c = c, .linear_ms = NAN};

    if (l < 0) {
        s.cell = &c->all;
        s.dense_ms = c->dense_ms;
        s.dense_cells = c->dense_cells;
        s.layers = c->layers;
        s.linear_ms = c->layers == t->layers && !isnan(t->linear_flops)
                          ? atn_trade_pass(t, t->linear_flops, t->linear_bytes).ms
                          : NAN;
        return s;
    }
    s.cell = &c->cell[l];
    s.dense_ms = t->at[0].cell[l].time.ms;
    s.dense_cells = t->at[0].cell[l].time.cells;
    s.layers = 1;
    s.linear_ms = NAN;
    return s;
}

/* All other products of the model, or their weights, whichever takes longer. */
static double whole_of(const atn_tradeoff *t, const saying *s)
{
    const double f = t->linear_flops, b = t->linear_bytes;
    const double saved_f = isnan(s->cell->saved_flops) ? 0 : s->cell->saved_flops;
    const double saved_b = isnan(s->cell->saved_bytes) ? 0 : s->cell->saved_bytes;

    if (isnan(s->linear_ms)) return NAN;
    return (s->dense_ms + s->linear_ms) /
           (s->cell->time.ms + atn_trade_pass(t, f - saved_f, b - saved_b).ms);
}

/* Times of starting are wrong by their own size: beside other products of nine times as
 * much that moves the ratio by a tenth at most. */
static bool is_small(const saying *s)
{
    return s->linear_ms >= 9 * fmax(s->dense_ms, s->cell->time.ms) &&
           s->linear_ms >= ATN_RATIO_MS * s->layers;
}

static void numbers_of(const atn_tradeoff *t, const saying *s, double x[NUMBERS])
{
    const trade_time *time = &s->cell->time;
    const bool launch = atn_trade_starts(time, s->dense_ms, s->layers);
    /* What the others are compared with, and what is the same launch. */
    const bool itself = s->c->kind == TRADE_DENSE || time->ms == s->dense_ms;

    x[ERROR] = s->cell->mean[TRADE_ERROR];
    x[ERROR_W_O] = s->cell->mean[TRADE_ERROR_W_O];
    x[MASS] = s->cell->mean[TRADE_MASS];
    x[KL] = s->cell->mean[TRADE_KL];
    x[EXECUTED] = s->cell->mean[TRADE_EXECUTED];
    x[VISITED] = time->visited;
    x[DENSITY] = time->cells / s->dense_cells;
    x[TIME] = time->ms;
    x[TIME_LOW] = time->low;
    x[TIME_HIGH] = time->high;
    x[INDEX] = time->index;
    x[DENSE] = s->dense_ms;
    x[SPEEDUP] = launch ? NAN : s->dense_ms / time->ms;
    x[SPEEDUP_LOW] = launch ? NAN : s->dense_ms / (itself ? time->ms : time->high);
    x[SPEEDUP_HIGH] = launch ? NAN : s->dense_ms / (itself ? time->ms : time->low);
    x[WHOLE] = launch && !is_small(s) ? NAN : whole_of(t, s);
}

/* The fitted parameter from the least to the largest. */
static void parameters_of(const trade_case *c, char text[WORDS])
{
    const size_t key = c->fitted ? strlen(c->fitted) : 0;
    const char *at = c->parameters;

    snprintf(text, WORDS, "%s", c->parameters);
    if (key == 0 || isnan(c->lo) || c->lo == c->hi) return;
    while (*at && !(strncmp(at, c->fitted, key) == 0 && at[key] == '=')) {
        at += strcspn(at, ",");
        at += *at == ',';
    }
    if (!*at) return;
    snprintf(text, WORDS, "%.*s%s=%.6g..%.6g%s", (int)(at - c->parameters),
             c->parameters, c->fitted, c->lo, c->hi, at + strcspn(at, ","));
}

/* ---- columns ---- */

typedef struct texts {
    int method, family, parameters, budget, fit, layers, source, limit, front;
    int number[NUMBERS];
} texts;

static atn_status add_texts(atn_ctx *cx, atn_table *t, texts *at)
{
    atn_status st = ATN_OK;

    ATN_TRY(atn_table_add_col(cx, t, "method", ATN_COL_STR, "",
                              "id of a method or pattern; dense, sharing (layers use "
                              "another's attention), hybrid (a case a layer)",
                              &at->method));
    ATN_TRY(
        atn_table_add_col(cx, t, "family", ATN_COL_STR, "", "its kind", &at->family));
    ATN_TRY(atn_table_add_col(cx, t, "parameters", ATN_COL_STR, "",
                              "as in approx; of hybrid the layers that take each case",
                              &at->parameters));
    ATN_TRY(atn_table_add_col(cx, t, "budget", ATN_COL_STR, "", "as in approx",
                              &at->budget));
    ATN_TRY(atn_table_add_col(cx, t, "budget_fit", ATN_COL_STR, "",
                              "as in approx, of the head that is furthest off: least "
                              "executes more than the budget, most less",
                              &at->fit));
done:
    return st;
}

static atn_status add_numbers(atn_ctx *cx, atn_table *t, bool front, texts *at)
{
    atn_status st = ATN_OK;

    for (int v = 0; v < NUMBERS; v++) {
        if (front && !number_columns[v].front) continue;
        ATN_TRY(atn_table_add_col(cx, t, number_columns[v].name, ATN_COL_F64,
                                  number_columns[v].unit, number_columns[v].text,
                                  &at->number[v]));
    }
    if (front) goto done;
    ATN_TRY(atn_table_add_col(cx, t, "tiles", ATN_COL_STR, "",
                              "exact: CTAs of the plan; union: of groups as one mask; "
                              "gathered: scattered keys of "
                              "a layer at least, 16 rows to a tile of which one "
                              "counts; mean, mean_gathered: made of what is executed, "
                              "a lower bound; operator: products, no tiles",
                              &at->source));
    ATN_TRY(atn_table_add_col(cx, t, "limited_by", ATN_COL_STR, "",
                              "mma, exp, smem, l2, hbm, tail, launch, passes",
                              &at->limit));
done:
    return st;
}

static atn_status set_texts(atn_ctx *cx, atn_table *t, const texts *at, const saying *s,
                            const char *parameters)
{
    const trade_case *c = s->c;
    atn_status st = ATN_OK;

    ATN_TRY(atn_table_set_str(cx, t, at->method, c->method));
    ATN_TRY(atn_table_set_str(cx, t, at->family, c->family));
    ATN_TRY(atn_table_set_str(cx, t, at->parameters, parameters));
    if (c->budget[0]) ATN_TRY(atn_table_set_str(cx, t, at->budget, c->budget));
    if (s->cell->fit)
        ATN_TRY(atn_table_set_str(cx, t, at->fit, atn_trade_fits[s->cell->fit]));
done:
    return st;
}

static void set_numbers(const atn_tradeoff *t, const saying *s, bool front,
                        const texts *at, atn_table *to)
{
    double x[NUMBERS];

    numbers_of(t, s, x);
    for (int v = 0; v < NUMBERS; v++)
        if (!(front && !number_columns[v].front) && isfinite(x[v]))
            atn_table_set_f64(to, at->number[v], x[v]);
}

static atn_status set_meta(atn_ctx *cx, const atn_tradeoff *t, atn_table *to)
{
    const char *model = atn_capture_model(t->capture)->name;
    const trade_layer *l = &t->layer[0];
    atn_status st = ATN_OK;
    char text[512 + ATN_PART_WORDS], words[ATN_PART_WORDS];

    atn_part_words(t->capture, t->selection, words);
    snprintf(text, sizeof text,
             "%s%s%s, %s against dense %s, batch %lld, %lld tokens%s%s",
             model ? model : "", model ? " on " : "on ", t->opts.device->title,
             t->sparse.id, t->dense.id, (long long)t->opts.batch,
             (long long)l->info->nk, *words ? ", " : "", words);
    ATN_TRY(atn_table_set_meta(cx, to, "subtitle", text));
    ATN_TRY(atn_table_set_meta(cx, to, "gpu", t->opts.device->id));
    ATN_TRY(atn_table_set_meta(cx, to, "kernel", t->sparse.id));
    ATN_TRY(atn_table_set_meta(cx, to, "dense_kernel", t->dense.id));
    ATN_TRY(atn_table_set_meta(cx, to, "time_model", l->model.how));
done:
    return st;
}

/* ---- tables ---- */

static atn_status one_row(atn_ctx *cx, const atn_tradeoff *t, const texts *at,
                          const saying *s, atn_table *to)
{
    atn_status st = ATN_OK;
    char text[WORDS];

    parameters_of(s->c, text);
    ATN_TRY(set_texts(cx, to, at, s, text));
    if (at->layers >= 0) atn_table_set_i64(to, at->layers, s->layers);
    set_numbers(t, s, false, at, to);
    ATN_TRY(atn_table_set_str(cx, to, at->source, atn_trade_sources[s->cell->source]));
    ATN_TRY(atn_table_set_str(cx, to, at->limit, atn_limit_names[s->cell->time.limit]));
    if (at->front >= 0 && atn_trade_may_lead(t, s->c))
        atn_table_set_bool(to, at->front, s->c->front);
done:
    return st;
}

/* A hybrid's row of a layer names what the layer takes. */
static atn_status layer_row(atn_ctx *cx, const atn_tradeoff *t, const texts *at,
                            const trade_case *c, int l, atn_table *to)
{
    const int of = c->cell[l].of;
    const saying s = say(t, c, l);
    atn_status st = ATN_OK;
    char text[WORDS], rest[WORDS];

    ATN_TRY(one_row(cx, t, at, &s, to));
    if (of < 0) return ATN_OK;
    parameters_of(&t->at[of], rest);
    snprintf(text, sizeof text, "%s%s%s%s%.1000s", t->at[of].method,
             t->at[of].budget[0] ? " " : "", t->at[of].budget, rest[0] ? ":" : "",
             rest);
    ATN_TRY(atn_table_set_str(cx, to, at->parameters, text));
done:
    return st;
}

static atn_status model_columns(atn_ctx *cx, atn_table *t, texts *at)
{
    atn_status st = ATN_OK;

    ATN_TRY(atn_table_add_col(cx, t, "layers", ATN_COL_I64, "",
                              "in which it runs; means and times are of these",
                              &at->layers));
    ATN_TRY(add_numbers(cx, t, false, at));
    ATN_TRY(atn_table_add_col(cx, t, "on_front", ATN_COL_BOOL, "",
                              "no other takes and errs no more, and one of both less; "
                              "errors below 1e-6 are rounding, and of equals the first "
                              "is; empty for oracles, for what some layer lacks, errs "
                              "by 1 or more, as an output of 0 does, or has no "
                              "speed-up",
                              &at->front));
done:
    return st;
}

atn_status atn_tradeoff_table(atn_ctx *cx, const atn_tradeoff *t, atn_keys_of per,
                              atn_table **out)
{
    const bool layers = per == ATN_KEYS_LAYER;
    texts at = {.layers = -1, .front = -1};
    atn_status st = ATN_OK;
    atn_table *to = NULL;
    atn_keys k;

    ATN_TRY(atn_table_create(cx, "tradeoff", &to));
    atn_table_be_brief(to);
    if (layers) ATN_TRY(atn_keys_add(cx, t->selection, ATN_KEYS_LAYER, to, &k));
    ATN_TRY(add_texts(cx, to, &at));
    ATN_TRY(layers ? add_numbers(cx, to, false, &at) : model_columns(cx, to, &at));
    ATN_TRY(set_meta(cx, t, to));
    for (int c = 0; c < t->n && !layers; c++) {
        const saying s = say(t, &t->at[c], -1);

        if (s.layers == 0) continue;
        ATN_TRY(atn_table_add_row(cx, to));
        ATN_TRY(one_row(cx, t, &at, &s, to));
    }
    for (int l = 0; l < t->layers && layers; l++)
        for (int c = 0; c < t->n; c++) {
            if (!t->at[c].cell[l].done) continue;
            ATN_TRY(atn_table_add_row(cx, to));
            ATN_TRY(atn_keys_set(cx, to, &k, t->layer[l].info, 0));
            ATN_TRY(layer_row(cx, t, &at, &t->at[c], l, to));
        }
    *out = to;
    to = NULL;
done:
    atn_table_destroy(cx, to);
    return st;
}

static int by_time(const void *a_, const void *b_)
{
    const trade_case *a = *(const trade_case *const *)a_;
    const trade_case *b = *(const trade_case *const *)b_;

    if (a->all.time.ms != b->all.time.ms)
        return a->all.time.ms < b->all.time.ms ? -1 : 1;
    return (a > b) - (a < b);
}

atn_status atn_tradeoff_front(atn_ctx *cx, const atn_tradeoff *t, atn_table **out)
{
    const atn_arena_mark mark = atn_arena_save(cx);
    const trade_case **front = NULL;
    texts at = {.layers = -1, .front = -1};
    atn_status st = ATN_OK;
    atn_table *to = NULL;
    char text[WORDS];
    int n = 0;

    ATN_TRY(atn_table_create(cx, "front", &to));
    atn_table_be_brief(to);
    ATN_TRY(add_texts(cx, to, &at));
    ATN_TRY(add_numbers(cx, to, true, &at));
    ATN_TRY(set_meta(cx, t, to));
    ATN_TAKE(front, t->n);
    for (int c = 0; c < t->n; c++)
        if (t->at[c].front) front[n++] = &t->at[c];
    qsort(front, (size_t)n, sizeof *front, by_time);
    for (int c = 0; c < n; c++) {
        const saying s = say(t, front[c], -1);

        ATN_TRY(atn_table_add_row(cx, to));
        parameters_of(front[c], text);
        ATN_TRY(set_texts(cx, to, &at, &s, text));
        set_numbers(t, &s, true, &at, to);
    }
    *out = to;
    to = NULL;
done:
    atn_table_destroy(cx, to);
    atn_arena_rewind(cx, mark);
    return st;
}
