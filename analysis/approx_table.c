/* analysis/approx_table.c -- the tables of a run of approximations.
 *
 * Math    a layer's value is the plain mean of its heads', the model's that of its
 *         layers'; empty cells stay out (card 0.1, rule 9). The least slack is the
 *         least of all. Parameters that were fitted to different values are shown from
 *         the least to the largest, "k=12..20".
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "analysis/approx_internal.h"

typedef struct value_column {
    const char *name, *unit, *text;
} value_column;

static const value_column value_columns[ATN_APPROX_VALUES] = {
    [ATN_APPROX_MASS] = {"retained_mass_mean", "",
                         "mean over the rows of the dense weight of the keys kept"},
    [ATN_APPROX_MASS_Q01] = {"retained_mass_q01", "", "its 1 % quantile over the rows"},
    [ATN_APPROX_MASS_Q05] = {"retained_mass_q05", "", "its 5 % quantile over the rows"},
    [ATN_APPROX_ERROR] = {"output_error_relative", "",
                          "Frobenius norm of the difference of the outputs over that "
                          "of the dense output"},
    [ATN_APPROX_ERROR_ABSOLUTE] = {"output_error_absolute", "",
                                   "mean over the rows of the norm of the difference"},
    [ATN_APPROX_ERROR_W_O] = {"output_error_w_o_relative", "",
                              "the relative error behind the output projection"},
    [ATN_APPROX_ERROR_W_O_ABSOLUTE] = {"output_error_w_o_absolute", "",
                                       "the absolute error behind the output "
                                       "projection"},
    [ATN_APPROX_MATRIX] = {"error_matrix", "",
                           "Frobenius norm of the difference of the weights over that "
                           "of the dense weights"},
    [ATN_APPROX_KL] = {"kl_mean_nats", "nats",
                       "mean over the rows that keep a key of the divergence of the "
                       "approximate row from the dense one"},
    [ATN_APPROX_RECALL] = {"topk_recall", "",
                           "mean over the rows of the share of the best keys that is "
                           "kept"},
    [ATN_APPROX_FULL] = {"density_full", "", "kept pairs over all pairs"},
    [ATN_APPROX_CAUSAL] = {"density_causal", "",
                           "kept pairs over visible pairs, of causal heads"},
    [ATN_APPROX_BLOCK_CAUSAL] = {"density_block_causal", "",
                                 "tiles in which a key is kept over tiles with a "
                                 "visible pair, of causal heads in blocks"},
    [ATN_APPROX_KV] = {"density_kv", "", "most keys of a row over all keys"},
    [ATN_APPROX_MEAN] = {"density_mean", "",
                         "mean over the rows of kept over visible keys"},
    [ATN_APPROX_KEPT] = {"kept", "",
                         "pairs of a query and a key, or a virtual one, that are given "
                         "weight, each once"},
    [ATN_APPROX_NUMBERS] = {"numbers", "",
                            "numbers stored for a row of the weights, mean over the "
                            "rows: a key is one, a rank two"},
    [ATN_APPROX_EXECUTED] = {"executed_share", "",
                             "pairs in executed tiles over visible pairs"},
    [ATN_APPROX_TILES] = {"executed_tiles", "", "executed tiles"},
    [ATN_APPROX_FLOPS] = {"attention_flops", "flop", "of the executed tiles"},
    [ATN_APPROX_BYTES] = {"attention_bytes", "bytes", "of the executed tiles"},
    [ATN_APPROX_INDEX_FLOPS] = {"index_flops", "flop", "of choosing"},
    [ATN_APPROX_INDEX_BYTES] = {"index_bytes", "bytes", "of choosing"},
    [ATN_APPROX_EMPTY_ROWS] = {"empty_rows", "", "rows that see a key and keep none"},
    [ATN_APPROX_VANISHED] = {"vanished_rows", "",
                             "rows whose denominator is rounding, of operators"},
    [ATN_APPROX_ROW_SUM] = {"row_sum_mean", "",
                            "mean over the rows of the sum of the weights, of what is "
                            "no mask"},
    [ATN_APPROX_TIES] = {"ties", "",
                         "candidates left out that score as the last one "
                         "taken"},
    [ATN_APPROX_BOUND] = {"ssa_bound_mean", "",
                          "mean over the rows of the bound of SSA on the difference, "
                          "of masks"},
    [ATN_APPROX_SLACK] = {"ssa_bound_slack_least", "",
                          "the least of bound less difference over the rows"},
    [ATN_APPROX_ORACLE_ERROR] =
        {"oracle_error_relative", "",
         "relative error of the best keys of every row: as many "
         "as a mask keeps in it, and as many pairs as are "
         "executed beside, shared out evenly"},
    [ATN_APPROX_ORACLE_MASS] = {"oracle_retained_mass", "",
                                "retained mass of the same"},
    [ATN_APPROX_ENTROPY] = {"row_entropy_mean_nats", "nats",
                            "mean over the rows of the entropy of the dense row"},
    [ATN_APPROX_ENTROPY_SHARE] = {"row_entropy_share_mean", "",
                                  "mean over the rows that see two keys of the entropy "
                                  "over the logarithm of the keys seen"},
    [ATN_APPROX_PLAN_SECONDS] = {"plan_seconds", "s", "time of choosing"},
    [ATN_APPROX_APPLY_SECONDS] = {"apply_seconds", "s",
                                  "time of applying and comparing"},
};

static const char *const look_names[] = {"none", "keys", "queries", "keys+queries"};

/* ---- parameters ---- */

static atn_status print_parameters(atn_ctx *cx, const atn_choice *c, double fitted,
                                   char out[ATN_APPROX_PARAMETERS])
{
    const atn_arena_mark mark = atn_arena_save(cx);
    atn_status st = ATN_OK;
    char *values = NULL;
    bool falls;

    out[0] = '\0';
    if (c->params_size == 0) return ATN_OK;
    ATN_TAKE(values, c->params_size);
    memcpy(values, c->values, c->params_size);
    if (!isnan(fitted)) atn_approx_put(atn_choice_budget(c, &falls), values, fitted);
    atn_param_print(c->params, values, out, ATN_APPROX_PARAMETERS);
done:
    atn_arena_rewind(cx, mark);
    return st;
}

/* Is this "name=.."? */
static bool is_of(const char *text, const char *name)
{
    const size_t n = name ? strlen(name) : 0;

    return name && strncmp(text, name, n) == 0 && text[n] == '=';
}

/* Leaves out what the id alone would set, but for `fitted`, NULL = none. */
static atn_status drop_usual(atn_ctx *cx, const atn_choice *c, const char *fitted,
                             char text[ATN_APPROX_PARAMETERS])
{
    const atn_arena_mark mark = atn_arena_save(cx);
    char usual[ATN_APPROX_PARAMETERS], *to = text;
    atn_status st = ATN_OK;
    atn_choice plain;

    ATN_TRY(atn_choice_read(cx, atn_choice_id(c), NULL, &plain));
    ATN_TRY(print_parameters(cx, &plain, NAN, usual));
    for (char *at = text, *end; *at; at = end) {
        const char *was = usual;
        size_t n;

        end = at + strcspn(at, ",");
        n = (size_t)(end - at);
        while (*was && !(strncmp(was, at, n) == 0 && (!was[n] || was[n] == ','))) {
            was += strcspn(was, ",");
            was += *was == ',';
        }
        end += *end == ',';
        if (*was && !is_of(at, fitted)) continue;
        if (to > text) *to++ = ',';
        memmove(to, at, n);
        to += n;
    }
    *to = '\0';
done:
    atn_arena_rewind(cx, mark);
    return st;
}

/* The value of key `name` in "key=value,..", its length through n. */
static const char *value_of(const char *text, const char *name, size_t *n)
{
    const size_t key = strlen(name);

    for (const char *at = text; at && *at; at = strchr(at, ',')) {
        at += *at == ',';
        if (!is_of(at, name)) continue;
        *n = strcspn(at + key + 1, ",");
        return at + key + 1;
    }
    return NULL;
}

atn_status atn_approx_parameters(atn_ctx *cx, const atn_choice *c, double lo, double hi,
                                 char out[ATN_APPROX_PARAMETERS])
{
    char most[ATN_APPROX_PARAMETERS], both[ATN_APPROX_PARAMETERS];
    const atn_param *p;
    const char *a, *b;
    atn_status st = ATN_OK;
    size_t na, nb;
    bool falls;

    ATN_TRY(print_parameters(cx, c, lo, out));
    if (isnan(lo) || lo == hi) return ATN_OK;
    p = atn_choice_budget(c, &falls);
    ATN_TRY(print_parameters(cx, c, hi, most));
    a = value_of(out, p->name, &na);
    b = value_of(most, p->name, &nb);
    if (!a || !b) return ATN_OK;
    snprintf(both, sizeof both, "%.*s..%.*s%s", (int)(a + na - out), out, (int)nb, b,
             a + na);
    memcpy(out, both, sizeof both);
done:
    return st;
}

/* ---- some cells together ---- */

/* What a row of a table says of the heads [from, to) in one case. */
typedef struct joined {
    atn_idx n; /* cells */
    double value[ATN_APPROX_VALUES];
    double lo, hi; /* fitted */
    bool same_fit, same_looks, same_tile;
    const atn_approx_cell *one; /* of the cells */
} joined;

static void add_mean(double x, double *sum, double *n)
{
    if (isnan(x)) return;
    *sum += x;
    *n += 1;
}

static atn_idx layer_end(const atn_approx *a, atn_idx from)
{
    atn_idx i = from;

    while (i < a->n && a->head[i].info == a->head[from].info) i++;
    return i;
}

/* Mean of the heads of a layer. */
static double layer_mean(const atn_approx *a, atn_idx from, atn_idx to, int c, int v)
{
    double sum = 0, n = 0;

    for (atn_idx i = from; i < to; i++)
        if (atn_approx_at(a, i, c)->done)
            add_mean(atn_approx_at(a, i, c)->value[v], &sum, &n);
    return n > 0 ? sum / n : NAN;
}

static double value_over(const atn_approx *a, atn_idx from, atn_idx to, int c, int v)
{
    double sum = 0, n = 0, least = NAN;

    if (v == ATN_APPROX_SLACK) {
        for (atn_idx i = from; i < to; i++)
            if (atn_approx_at(a, i, c)->done)
                least = fmin(least, atn_approx_at(a, i, c)->value[v]);
        return least;
    }
    for (atn_idx i = from, end; i < to; i = end) {
        end = ATN_MIN(layer_end(a, i), to);
        add_mean(layer_mean(a, i, end, c, v), &sum, &n);
    }
    return n > 0 ? sum / n : NAN;
}

static joined join(const atn_approx *a, atn_idx from, atn_idx to, int c)
{
    joined j = {
        .lo = NAN, .hi = NAN, .same_fit = true, .same_looks = true, .same_tile = true};

    for (atn_idx i = from; i < to; i++) {
        const atn_approx_cell *cell = atn_approx_at(a, i, c);

        if (!cell->done) continue;
        if (!j.one) j.one = cell;
        j.n++;
        j.lo = fmin(j.lo, cell->fitted);
        j.hi = fmax(j.hi, cell->fitted);
        j.same_fit &= cell->fit == j.one->fit;
        j.same_looks &= cell->looks == j.one->looks;
        j.same_tile &=
            cell->tile_rows == j.one->tile_rows && cell->tile_keys == j.one->tile_keys;
    }
    for (int v = 0; v < ATN_APPROX_VALUES && j.n > 0; v++)
        j.value[v] = value_over(a, from, to, c, v);
    return j;
}

/* ---- columns that tables share ---- */

enum { METHOD, FAMILY, PARAMETERS, BUDGET, BUDGET_FIT, TEMPERATURE, NAMES };

static atn_status add_names(atn_ctx *cx, const atn_approx *a, atn_table *t, bool brief,
                            int at[NAMES])
{
    static const char *const names[TEMPERATURE][2] = {
        {"method", "its id"},
        {"family", "what kind of method it is"},
        {"parameters", "all of them; the one that the budget fitted at its value"},
        {"budget", "executed share of the visible pairs, or numbers a row"},
        {"budget_fit", "met, least or most where no value comes nearer, fixed where "
                       "there is none to fit"}};
    atn_status st = ATN_OK;

    at[TEMPERATURE] = -1;
    if (a->sweep.warms)
        ATN_TRY(atn_table_add_col(cx, t, "temperature", ATN_COL_F64, "",
                                  "what the logits are multiplied by",
                                  &at[TEMPERATURE]));
    for (int k = 0; k < TEMPERATURE; k++)
        ATN_TRY(
            atn_table_add_col(cx, t, names[k][0], ATN_COL_STR, "",
                              k == PARAMETERS && brief
                                  ? "those that are not as the id alone sets them, and "
                                    "the fitted one"
                                  : names[k][1],
                              &at[k]));
done:
    return st;
}

/* A fitted number in four digits. */
static void shorten(const char *name, const joined *j, char text[ATN_APPROX_PARAMETERS])
{
    size_t n = 0;
    const char *value = value_of(text, name, &n);
    char lo[32], hi[32], both[ATN_APPROX_PARAMETERS];

    if (!value) return;
    snprintf(lo, sizeof lo, "%.4g", j->lo);
    snprintf(hi, sizeof hi, "%.4g", j->hi);
    snprintf(both, sizeof both, "%.*s%s%s%s%s", (int)(value - text), text, lo,
             strcmp(lo, hi) == 0 ? "" : "..", strcmp(lo, hi) == 0 ? "" : hi, value + n);
    memcpy(text, both, sizeof both);
}

/* "k=3 (as published)": no parameter says so. */
static void say_published(char text[ATN_APPROX_PARAMETERS])
{
    const size_t n = strlen(text);

    snprintf(text + n, ATN_APPROX_PARAMETERS - n, "%s(as published)", n ? " " : "");
}

/* brief: of the parameters those that are not as the id alone sets them, and the one
 * that was fitted. */
static atn_status set_names(atn_ctx *cx, atn_table *t, const int at[NAMES], bool brief,
                            const atn_approx_case *c, const joined *j)
{
    const atn_choice *choice = &c->method->choice;
    const bool people = atn_table_is_brief(t);
    bool falls;
    const atn_param *fitted = isnan(j->lo) ? NULL : atn_choice_budget(choice, &falls);
    char text[ATN_APPROX_PARAMETERS];
    atn_status st = ATN_OK;

    if (at[TEMPERATURE] >= 0) atn_table_set_f64(t, at[TEMPERATURE], c->temperature);
    ATN_TRY(atn_table_set_str(cx, t, at[METHOD], atn_choice_id(choice)));
    ATN_TRY(atn_table_set_str(cx, t, at[FAMILY], atn_choice_describe(choice).family));
    ATN_TRY(atn_approx_parameters(cx, choice, j->lo, j->hi, text));
    if (brief && people && fitted && fitted->type == ATN_PARAM_F64_T)
        shorten(fitted->name, j, text);
    if (brief) ATN_TRY(drop_usual(cx, choice, fitted ? fitted->name : NULL, text));
    if (c->published && atn_choice_describe(choice).publishes) say_published(text);
    ATN_TRY(atn_table_set_str(cx, t, at[PARAMETERS], text));
    if (!c->budget->text[0]) return ATN_OK;
    ATN_TRY(atn_table_set_str(cx, t, at[BUDGET], c->budget->text));
    ATN_TRY(atn_table_set_str(cx, t, at[BUDGET_FIT],
                              j->same_fit ? atn_fit_names[j->one->fit] : "mixed"));
done:
    return st;
}

static bool shows(const atn_approx *a, int v)
{
    const bool seconds = v == ATN_APPROX_PLAN_SECONDS || v == ATN_APPROX_APPLY_SECONDS;

    return !seconds || a->opts->timings;
}

static atn_status add_values(atn_ctx *cx, const atn_approx *a, atn_table *t,
                             int at[ATN_APPROX_VALUES], int *tile, int *looks)
{
    atn_status st = ATN_OK;

    for (int v = 0; v < ATN_APPROX_VALUES; v++) {
        const value_column *c = &value_columns[v];

        if (!shows(a, v)) continue;
        ATN_TRY(
            atn_table_add_col(cx, t, c->name, ATN_COL_F64, c->unit, c->text, &at[v]));
        if (v == ATN_APPROX_TILES)
            ATN_TRY(atn_table_add_col(cx, t, "tile", ATN_COL_STR, "",
                                      "queries x keys of a tile", tile));
        if (v == ATN_APPROX_TIES)
            ATN_TRY(
                atn_table_add_col(cx, t, "lookahead", ATN_COL_STR, "",
                                  "what choosing for a row reads after it, of causal "
                                  "heads",
                                  looks));
    }
done:
    return st;
}

static atn_status set_values(atn_ctx *cx, const atn_approx *a, atn_table *t,
                             const int at[ATN_APPROX_VALUES], int tile, int looks,
                             const joined *j)
{
    atn_status st = ATN_OK;
    char text[64];

    for (int v = 0; v < ATN_APPROX_VALUES; v++)
        if (shows(a, v) && !isnan(j->value[v]))
            atn_table_set_f64(t, at[v], j->value[v]);
    snprintf(text, sizeof text, "%lldx%lld", (long long)j->one->tile_rows,
             (long long)j->one->tile_keys);
    ATN_TRY(atn_table_set_str(cx, t, tile, j->same_tile ? text : "mixed"));
    if (!j->same_looks)
        ATN_TRY(atn_table_set_str(cx, t, looks, "mixed"));
    else if (j->one->looks >= 0)
        ATN_TRY(atn_table_set_str(cx, t, looks, look_names[j->one->looks & 3]));
done:
    return st;
}

/* ---- tables ---- */

static const char *common_pattern(const atn_approx *a)
{
    for (atn_idx i = 1; i < a->n; i++)
        if (strcmp(atn_layer_pattern(a->head[i].info),
                   atn_layer_pattern(a->head[0].info)) != 0)
            return "mixed";
    return a->n > 0 ? atn_layer_pattern(a->head[0].info) : "";
}

atn_status atn_approx_table(atn_ctx *cx, const atn_approx *a, atn_keys_of per,
                            atn_table **out)
{
    int names[NAMES], values[ATN_APPROX_VALUES], tile = 0, looks = 0;
    atn_status st = ATN_OK;
    atn_table *t = NULL;
    atn_keys k;

    ATN_TRY(atn_table_create(cx, "approx", &t));
    ATN_TRY(atn_keys_add(cx, a->selection, per, t, &k));
    ATN_TRY(add_names(cx, a, t, false, names));
    ATN_TRY(add_values(cx, a, t, values, &tile, &looks));
    for (atn_idx from = 0, to; from < a->n; from = to) {
        to = per == ATN_KEYS_HEAD    ? from + 1
             : per == ATN_KEYS_LAYER ? layer_end(a, from)
                                     : a->n;
        for (int c = 0; c < a->n_cases; c++) {
            const joined j = join(a, from, to, c);

            if (j.n == 0) continue;
            ATN_TRY(atn_table_add_row(cx, t));
            ATN_TRY(atn_keys_set(cx, t, &k, a->head[from].info, a->head[from].head));
            if (per == ATN_KEYS_MODEL)
                ATN_TRY(atn_table_set_str(cx, t, k.pattern, common_pattern(a)));
            ATN_TRY(set_names(cx, t, names, false, &a->cases[c], &j));
            ATN_TRY(set_values(cx, a, t, values, tile, looks, &j));
        }
    }
    *out = t;
    t = NULL;
done:
    atn_table_destroy(cx, t);
    return st;
}

static bool is_oracle(const atn_approx *a, int c)
{
    return atn_choice_describe(&a->cases[c].method->choice).oracle;
}

/* An oracle knows dense attention: it says what could be had and is no choice, unless
 * there are oracles alone. */
static bool is_apart(const atn_approx *a, int c)
{
    bool others = false;

    for (int k = 0; k < a->n_cases; k++) others |= !is_oracle(a, k);
    return others && is_oracle(a, c);
}

/* Errors of rounding are no errors. */
static double error_of(const double *value)
{
    return fmax(value[ATN_APPROX_ERROR], 1e-6);
}

/* x executes and errs no more than y, and one of both less. */
static bool beats(const double *x, const double *y)
{
    const double less = y[ATN_APPROX_EXECUTED] - x[ATN_APPROX_EXECUTED];
    const double better = error_of(y) - error_of(x);

    return less >= 0 && better >= 0 && (less > 0 || better > 0);
}

/* What keeps nothing in any row costs nothing and is no approximation. */
static bool keeps_nothing(const double *value)
{
    return value[ATN_APPROX_KEPT] == 0;
}

static bool on_front(const atn_approx *a, const joined *all, int c)
{
    for (int k = 0; k < a->n_cases; k++)
        if (all[k].n == all[c].n &&
            a->cases[k].temperature == a->cases[c].temperature && !is_apart(a, k) &&
            !keeps_nothing(all[k].value) && !isnan(all[k].value[ATN_APPROX_ERROR]) &&
            beats(all[k].value, all[c].value))
            return false;
    return !keeps_nothing(all[c].value);
}

/* The last ones are there where weights are compared. */
static const int front_values[] = {
    ATN_APPROX_EXECUTED, ATN_APPROX_ERROR,       ATN_APPROX_ERROR_W_O,
    ATN_APPROX_MASS,     ATN_APPROX_INDEX_FLOPS, ATN_APPROX_ORACLE_ERROR,
    ATN_APPROX_NUMBERS,  ATN_APPROX_MATRIX,      ATN_APPROX_ENTROPY_SHARE};

static int fronts(const atn_approx *a)
{
    return (int)ATN_LEN(front_values) - (a->matrix ? 0 : 3);
}

static atn_status pareto_rows(atn_ctx *cx, const atn_approx *a, atn_table *t,
                              const int names[NAMES], int first, const joined *all)
{
    const int n = fronts(a);
    atn_status st = ATN_OK;

    for (int c = 0; c < a->n_cases; c++) {
        if (all[c].n == 0) continue;
        ATN_TRY(atn_table_add_row(cx, t));
        ATN_TRY(set_names(cx, t, names, true, &a->cases[c], &all[c]));
        atn_table_set_i64(t, first, all[c].n);
        for (int v = 0; v < n; v++)
            if (!isnan(all[c].value[front_values[v]]))
                atn_table_set_f64(t, first + 1 + v, all[c].value[front_values[v]]);
        if (!isnan(all[c].value[ATN_APPROX_ERROR]) && !is_apart(a, c))
            atn_table_set_bool(t, first + 1 + n, on_front(a, all, c));
    }
done:
    return st;
}

atn_status atn_approx_pareto(atn_ctx *cx, const atn_approx *a, atn_table **out)
{
    const atn_arena_mark mark = atn_arena_save(cx);
    int names[NAMES], first = 0;
    atn_status st = ATN_OK;
    atn_table *t = NULL;
    joined *all = NULL;

    ATN_TRY(atn_table_create(cx, "pareto", &t));
    if (a->opts->people) atn_table_be_brief(t);
    ATN_TRY(add_names(cx, a, t, true, names));
    ATN_TRY(atn_table_add_col(cx, t, "heads", ATN_COL_I64, "", "heads of the means",
                              &first));
    for (int v = 0; v < fronts(a); v++) {
        const value_column *c = &value_columns[front_values[v]];

        ATN_TRY(atn_table_add_col(cx, t, c->name, ATN_COL_F64, c->unit, c->text, NULL));
    }
    ATN_TRY(atn_table_add_col(
        cx, t, "on_front", ATN_COL_BOOL, "",
        "no other of as many heads executes and errs no more, and one of "
        "both less; errors below 1e-6 are rounding; empty for oracles beside others",
        NULL));
    ATN_TAKE(all, a->n_cases);
    for (int c = 0; c < a->n_cases; c++) all[c] = join(a, 0, a->n, c);
    ATN_TRY(pareto_rows(cx, a, t, names, first, all));
    *out = t;
    t = NULL;
done:
    atn_table_destroy(cx, t);
    atn_arena_rewind(cx, mark);
    return st;
}

/* ---- the best of every head ---- */

/* Of two that keep to the budget: less error, else less executed, else the first. */
static bool is_better(const double *x, const double *y)
{
    if (error_of(x) != error_of(y)) return error_of(x) < error_of(y);
    return x[ATN_APPROX_EXECUTED] < y[ATN_APPROX_EXECUTED];
}

/* The best case of head i at the temperature and budget of case `first` that is not
 * `but`, keeps something and is no oracle beside others; -1 = none. */
static int best_of(const atn_approx *a, atn_idx i, int first, int but)
{
    const int end = (first / a->each + 1) * a->each;
    int best = -1;

    for (int c = first; c < end; c += a->list.budgets) {
        const atn_approx_cell *x = atn_approx_at(a, i, c);

        if (c == but || !x->done || !x->keeps || is_apart(a, c) ||
            keeps_nothing(x->value) || isnan(x->value[ATN_APPROX_ERROR]))
            continue;
        if (best < 0 || is_better(x->value, atn_approx_at(a, i, best)->value)) best = c;
    }
    return best;
}

enum { BEST_ERROR, BEST_SHARE, BEST_SECOND, BEST_SECOND_ERROR, BEST_GAIN, BEST_ORACLE };

static void set_finite(atn_table *t, int col, double x)
{
    if (isfinite(x)) atn_table_set_f64(t, col, x);
}

static atn_status best_row(atn_ctx *cx, const atn_approx *a, atn_table *t, int at,
                           atn_idx i, int best, int second)
{
    const atn_approx_cell *x = atn_approx_at(a, i, best), *y;
    const double error = x->value[ATN_APPROX_ERROR];
    atn_status st = ATN_OK;

    set_finite(t, at + BEST_ERROR, error);
    set_finite(t, at + BEST_SHARE, x->value[ATN_APPROX_EXECUTED]);
    set_finite(t, at + BEST_ORACLE, x->value[ATN_APPROX_ORACLE_ERROR]);
    if (second < 0) return ATN_OK;
    y = atn_approx_at(a, i, second);
    ATN_TRY(atn_table_set_str(cx, t, at + BEST_SECOND,
                              atn_choice_id(&a->cases[second].method->choice)));
    set_finite(t, at + BEST_SECOND_ERROR, y->value[ATN_APPROX_ERROR]);
    set_finite(t, at + BEST_GAIN, error_of(y->value) - error_of(x->value));
done:
    return st;
}

static atn_status best_columns(atn_ctx *cx, atn_table *t, int *at)
{
    static const struct {
        const char *name;
        atn_col_type type;
        const char *text;
    } columns[] = {{"output_error_relative", ATN_COL_F64, "of this method"},
                   {"executed_share", ATN_COL_F64, "of this method"},
                   {"second", ATN_COL_STR, "the method of the second least error"},
                   {"second_error_relative", ATN_COL_F64, "its output error"},
                   {"gain", ATN_COL_F64,
                    "how much larger that error is; 0 where both are rounding"},
                   {"oracle_error_relative", ATN_COL_F64,
                    "of the best keys of every row, of as many pairs in all"}};
    atn_status st = ATN_OK;

    for (size_t k = 0; k < ATN_LEN(columns); k++)
        ATN_TRY(atn_table_add_col(cx, t, columns[k].name, columns[k].type, "",
                                  columns[k].text, k == 0 ? at : NULL));
done:
    return st;
}

atn_status atn_approx_best(atn_ctx *cx, const atn_approx *a, atn_table **out)
{
    int names[NAMES], at = 0;
    atn_status st = ATN_OK;
    atn_table *t = NULL;
    atn_keys k;

    ATN_TRY(atn_table_create(cx, "best", &t));
    if (a->opts->people) atn_table_be_brief(t);
    ATN_TRY(atn_keys_add(cx, a->selection, ATN_KEYS_HEAD, t, &k));
    ATN_TRY(add_names(cx, a, t, true, names));
    ATN_TRY(best_columns(cx, t, &at));
    for (atn_idx i = 0; i < a->n; i++)
        for (int b = 0; b < a->list.budgets * a->sweep.temperatures; b++) {
            const int first = b / a->list.budgets * a->each + b % a->list.budgets;
            const int best = best_of(a, i, first, -1);
            const int second = best_of(a, i, first, best);
            joined j;

            if (best < 0) continue;
            j = join(a, i, i + 1, best);
            ATN_TRY(atn_table_add_row(cx, t));
            ATN_TRY(atn_keys_set(cx, t, &k, a->head[i].info, a->head[i].head));
            ATN_TRY(set_names(cx, t, names, true, &a->cases[best], &j));
            ATN_TRY(best_row(cx, a, t, at, i, best, second));
        }
    *out = t;
    t = NULL;
done:
    atn_table_destroy(cx, t);
    return st;
}
