/* analysis/tradeoff_read.c -- the cases of a table of approx.
 *
 * A case is a method, a budget, and parameters but for the one that the budget fitted;
 * what comes twice of a head in one table is two cases, in this order. Where there is
 * none to fit all budgets are one case, without a budget.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "analysis/tradeoff_internal.h"
#include "approx/method.h"

enum { WORDS = 2048 };

static const char *const mean_names[TRADE_MEANS] = {
    "output_error_relative", "output_error_w_o_relative", "retained_mass_mean",
    "kl_mean_nats", "executed_share"};
static const char *const sum_names[TRADE_SUMS] = {"attention_flops", "attention_bytes",
                                                  "index_flops", "index_bytes",
                                                  "executed_tiles"};

typedef struct columns {
    int stack, step, layer, head, method, family, parameters, budget, fit, tile;
    int mean[TRADE_MEANS], sum[TRADE_SUMS];
} columns;

/* A row under way. */
typedef struct reading {
    atn_tradeoff *t;
    const atn_tradeoff_input *in;
    int input;
    columns at, beside; /* of the table, of that of CTAs */
    atn_idx row;
    const trade_layer *layer;
    int l;
    atn_idx head;
} reading;

static columns columns_of(const atn_table *t)
{
    columns c = {.stack = atn_table_find_col(t, "stack"),
                 .step = atn_table_find_col(t, "step"),
                 .layer = atn_table_find_col(t, "layer"),
                 .head = atn_table_find_col(t, "head"),
                 .method = atn_table_find_col(t, "method"),
                 .family = atn_table_find_col(t, "family"),
                 .parameters = atn_table_find_col(t, "parameters"),
                 .budget = atn_table_find_col(t, "budget"),
                 .fit = atn_table_find_col(t, "budget_fit"),
                 .tile = atn_table_find_col(t, "tile")};

    for (int v = 0; v < TRADE_MEANS; v++)
        c.mean[v] = atn_table_find_col(t, mean_names[v]);
    for (int v = 0; v < TRADE_SUMS; v++) c.sum[v] = atn_table_find_col(t, sum_names[v]);
    return c;
}

static const char *text_at(const atn_table *t, atn_idx row, int col)
{
    const bool is = col >= 0 && atn_table_col_type(t, col) == ATN_COL_STR;
    const char *text = is ? atn_table_get_str(t, row, col) : NULL;

    return text ? text : "";
}

static double number_at(const atn_table *t, atn_idx row, int col)
{
    return col < 0 ? NAN : atn_table_get_f64(t, row, col);
}

static atn_status check_table(atn_ctx *cx, const atn_tradeoff_input *in)
{
    const columns c = columns_of(in->approx);
    atn_status st = ATN_OK;

    if (c.layer < 0 || c.head < 0 || c.method < 0)
        ATN_FAIL(ATN_DATA,
                 "%s: has no rows of heads (approx RUN --keep without --per writes "
                 "them)",
                 in->name);
    if (atn_table_find_col(in->approx, "temperature") >= 0)
        ATN_FAIL(ATN_DATA, "%s: is a sweep of temperatures, not of the model as it is",
                 in->name);
    if (in->tiles && atn_table_rows(in->tiles) != atn_table_rows(in->approx))
        ATN_FAIL(ATN_DATA,
                 "%s: has %lld rows and the table of its CTAs %lld (run approx "
                 "with --keep again)",
                 in->name, (long long)atn_table_rows(in->approx),
                 (long long)atn_table_rows(in->tiles));
done:
    return st;
}

/* ---- which head ---- */

/* The layer of the row among those selected; false where it or its head is none. */
static bool find_place(reading *r)
{
    const atn_table *t = r->in->approx;
    const atn_selection *sel = r->t->selection;
    const double layer = number_at(t, r->row, r->at.layer);
    const double head = number_at(t, r->row, r->at.head);
    const double step = number_at(t, r->row, r->at.step);
    const char *stack = text_at(t, r->row, r->at.stack);

    for (int l = 0; l < r->t->layers; l++) {
        const atn_layer_info *i = r->t->layer[l].info;

        if (i->layer != layer || (r->at.step >= 0 && i->step != step)) continue;
        if (r->at.stack >= 0 && strcmp(i->stack, stack) != 0) continue;
        if (!(head >= 0 && head < (double)i->heads)) return false;
        r->l = l;
        r->layer = &r->t->layer[l];
        r->head = (atn_idx)head;
        return sel->heads[r->layer->place * sel->max_heads + r->head];
    }
    return false;
}

/* ---- which case ---- */

/* The name of the parameter that the budget fitted; NULL = none. */
static const char *fitted_of(atn_ctx *cx, const reading *r, bool *oracle)
{
    const atn_table *t = r->in->approx;
    const char *fit = text_at(t, r->row, r->at.fit);
    const bool fits = strcmp(fit, "met") == 0 || strcmp(fit, "least") == 0 ||
                      strcmp(fit, "most") == 0;
    const atn_param *p;
    atn_choice c;
    bool falls;

    *oracle = strcmp(text_at(t, r->row, r->at.family), "oracle") == 0;
    if (atn_choice_read(cx, text_at(t, r->row, r->at.method), NULL, &c) != ATN_OK) {
        atn_err_clear(cx); /* of another version: as it stands */
        return NULL;
    }
    *oracle = atn_choice_describe(&c).oracle;
    p = fits ? atn_choice_budget(&c, &falls) : NULL;
    return p ? p->name : NULL;
}

/* "a=1,k=3,b=2" without k, whose number goes through value. */
static void split_parameters(const char *text, const char *name, char rest[WORDS],
                             double *value)
{
    const size_t key = name ? strlen(name) : 0;
    size_t n = 0;

    *value = NAN;
    rest[0] = '\0';
    for (const char *at = text; *at;) {
        const size_t length = strcspn(at, ",");

        if (name && strncmp(at, name, key) == 0 && at[key] == '=')
            *value = strtod(at + key + 1, NULL);
        else if (n + length + 2 < WORDS)
            n += (size_t)snprintf(rest + n, WORDS - n, "%s%.*s", n ? "," : "",
                                  (int)length, at);
        at += length + (at[length] == ',');
    }
}

static const trade_head *head_of(const reading *r, const trade_case *c)
{
    const trade_cell *cell = &c->cell[r->l];

    return cell->head && cell->head[r->head].there ? &cell->head[r->head] : NULL;
}

/* Once a case and table. */
static void say_source(atn_ctx *cx, const reading *r, trade_case *c, bool fills)
{
    int *said = fills ? &c->filled : &c->said;

    if (*said == r->input) return;
    *said = r->input;
    if (fills)
        atn_log(cx, ATN_LOG_WARN, "%s%s%s: heads that %s lacks are taken from %s",
                c->method, c->budget[0] ? " " : "", c->budget, c->from, r->in->name);
    else
        atn_log(cx, ATN_LOG_INFO, "%s%s%s is taken from %s, not from %s", c->method,
                c->budget[0] ? " " : "", c->budget, c->from, r->in->name);
}

/* Whether the row belongs to the case of its key: it does where its head is empty.
 * *past: it is there by an earlier table, or, if fixed, by an earlier budget. */
static bool takes_row(atn_ctx *cx, const reading *r, trade_case *c, bool fixed,
                      bool *past)
{
    const trade_head *h = head_of(r, c);

    if (h && h->input != r->input) say_source(cx, r, c, false);
    *past = h && (h->input != r->input || fixed);
    if (!h && c->input != r->input) say_source(cx, r, c, true);
    return !h;
}

/* The case of the row; NULL in *out: it is there, by an earlier table or budget. */
static atn_status find_case(atn_ctx *cx, reading *r, trade_case **out)
{
    const atn_arena_mark mark = atn_arena_save(cx);
    const atn_table *t = r->in->approx;
    const bool fixed = strcmp(text_at(t, r->row, r->at.fit), "fixed") == 0;
    const trade_words w = {.method = text_at(t, r->row, r->at.method),
                           .family = text_at(t, r->row, r->at.family),
                           .parameters = text_at(t, r->row, r->at.parameters),
                           .budget = fixed ? "" : text_at(t, r->row, r->at.budget)};
    atn_status st = ATN_OK;
    char rest[WORDS], key[WORDS + 256];
    const char *fitted;
    bool oracle, past;
    double value;

    *out = NULL;
    fitted = fitted_of(cx, r, &oracle);
    split_parameters(w.parameters, fitted, rest, &value);
    snprintf(key, sizeof key, "%.100s|%.100s|%s", w.method, w.budget, rest);
    for (int c = 1; c < r->t->n && !*out; c++) {
        trade_case *k = &r->t->at[c];

        if (strcmp(k->key, key) != 0) continue;
        if (takes_row(cx, r, k, fixed, &past)) *out = k;
        if (past) goto done;
    }
    if (!*out) {
        ATN_TRY(atn_trade_add(cx, r->t, TRADE_METHOD, &w, out));
        (*out)->input = (*out)->said = (*out)->filled = r->input;
        (*out)->from = r->in->name;
        (*out)->oracle = oracle;
        (*out)->key = atn_strdup(cx, key);
        (*out)->fitted = atn_strdup(cx, fitted ? fitted : "");
        if (!(*out)->key || !(*out)->fitted) ATN_TRY(cx->err.code);
    }
    (*out)->lo = fmin((*out)->lo, value);
    (*out)->hi = fmax((*out)->hi, value);
done:
    atn_arena_rewind(cx, mark);
    return st;
}

/* ---- values ---- */

static trade_fit fit_of(const char *text)
{
    for (int i = 1; i < TRADE_FITS; i++)
        if (strcmp(text, atn_trade_fits[i]) == 0) return (trade_fit)i;
    return TRADE_UNFITTED;
}

static void add_values(const reading *r, trade_cell *cell)
{
    const atn_table *t = r->in->approx;
    long long rows = 0, keys = 0;

    for (int v = 0; v < TRADE_MEANS; v++) {
        const double x = number_at(t, r->row, r->at.mean[v]);

        if (isnan(x)) continue;
        cell->mean[v] += x;
        cell->counted[v]++;
    }
    for (int v = 0; v < TRADE_SUMS; v++) {
        const double x = number_at(t, r->row, r->at.sum[v]);

        cell->sum[v] += isnan(x) ? 0 : x;
    }
    if (sscanf(text_at(t, r->row, r->at.tile), "%lldx%lld", &rows, &keys) == 2) {
        cell->tile_rows = rows;
        cell->tile_keys = keys;
    }
    cell->chosen |= strcmp(text_at(t, r->row, r->at.family), "static") != 0;
    cell->fit = ATN_MAX(cell->fit, fit_of(text_at(t, r->row, r->at.fit)));
    cell->heads++;
}

static bool is_same_row(const reading *r)
{
    const atn_table *a = r->in->approx, *b = r->in->tiles;

    return number_at(a, r->row, r->at.layer) == number_at(b, r->row, r->beside.layer) &&
           number_at(a, r->row, r->at.head) == number_at(b, r->row, r->beside.head) &&
           strcmp(text_at(a, r->row, r->at.method),
                  text_at(b, r->row, r->beside.method)) == 0;
}

/* Rounds of hashing that a query may take part in. */
enum { ROUNDS_MOST = 1024 };

/* A query is in a CTA a round at most; a CTA visits no more tiles than twice what all
 * keys fill (a group may look back at its own). */
static bool has_room(const trade_layer *l, const atn_cta_runs *runs)
{
    const atn_idx bn = l->tile->k.at[0], tiles = 2 * ((l->info->nk + bn - 1) / bn);
    int64_t left = (l->info->nq + 1) * ROUNDS_MOST * l->pack;

    for (atn_idx i = 0; i < runs->n; i++) {
        if (runs->run[i].count > left || runs->run[i].visits > tiles) return false;
        left -= runs->run[i].count;
    }
    return true;
}

/* The CTAs of the row, packed or not. */
static atn_status read_ctas(atn_ctx *cx, const reading *r, atn_idx pack,
                            atn_cta_runs *out)
{
    const atn_kernel_tile *tile = r->layer->tile;
    const atn_tile_shape s = {r->layer->info->d, tile->q.at[0], tile->k.at[0], pack};
    char name[ATN_SHAPE_COLUMN], why[256];
    atn_status st;
    int col;

    atn_tile_shape_column(&s, name);
    col = atn_table_find_col(r->in->tiles, name);
    atn_cta_runs_release(cx, out);
    st = atn_cta_runs_parse(cx, text_at(r->in->tiles, r->row, col), out);
    if (st == ATN_OK && has_room(r->layer, out)) return ATN_OK;
    if (st != ATN_OK && st != ATN_DATA) return st;
    snprintf(why, sizeof why, "%.200s",
             st == ATN_DATA ? cx->err.text : "more than its queries and keys take");
    atn_err_clear(cx);
    return atn_fail(cx, ATN_DATA, __FILE__, __LINE__,
                    "%.200s: row %lld of the table of its CTAs, %s: %s (run approx "
                    "with --keep again)",
                    r->in->name, (long long)r->row + 1, name, why);
}

static atn_status add_ctas(atn_ctx *cx, const reading *r, trade_cell *cell)
{
    trade_head *head = &cell->head[r->head];
    atn_status st = ATN_OK;

    if (!r->in->tiles) return ATN_OK;
    if (!is_same_row(r))
        ATN_FAIL(ATN_DATA,
                 "%s: row %lld is of another head or method in the table of its CTAs "
                 "(run approx with --keep again)",
                 r->in->name, (long long)r->row + 1);
    ATN_TRY(read_ctas(cx, r, 1, &head->runs));
    if (r->layer->pack > 1) ATN_TRY(read_ctas(cx, r, r->layer->pack, &head->packed));
done:
    return st;
}

static atn_status read_row(atn_ctx *cx, reading *r)
{
    atn_status st = ATN_OK;
    trade_case *c = NULL;
    trade_cell *cell;

    if (!find_place(r)) return ATN_OK;
    ATN_TRY(find_case(cx, r, &c));
    if (!c) return ATN_OK;
    cell = &c->cell[r->l];
    if (!cell->head) ATN_NEW(cell->head, r->layer->info->heads);
    cell->head[r->head].there = true;
    cell->head[r->head].input = r->input;
    add_values(r, cell);
    ATN_TRY(add_ctas(cx, r, cell));
done:
    return st;
}

atn_status atn_trade_read(atn_ctx *cx, atn_tradeoff *t, const atn_tradeoff_input *in,
                          int input)
{
    reading r = {.t = t, .in = in, .input = input};
    atn_status st = ATN_OK;

    ATN_TRY(check_table(cx, in));
    r.at = columns_of(in->approx);
    if (in->tiles) r.beside = columns_of(in->tiles);
    for (r.row = 0; r.row < atn_table_rows(in->approx); r.row++)
        ATN_TRY(read_row(cx, &r));
done:
    return st;
}
