/* analysis/measures/routing.c -- how few heads a token needs, if a router could choose
 * them.
 *
 * Math    a token i keeps the set A(i) of its k best heads by a rule; the error of
 *           keeping k is sqrt(sum_i |sum_{h not in A(i)} C_h,i|^2 / sum_i |sum_h
 *           C_h,i|^2), C_h = O_h W_O^h.
 *         Rules, larger first, equal ones by head: query |q_h,i|, contribution |C_h,i|,
 *         entropy -H(P_h,i); oracle: the set with the smallest error
 *         (analysis/head_subsets.h). score of head e: mean over tokens of
 *         softmax_e(x_e / std_e(x)), x the rule's value, std with H - 1 (0: all equal);
 *         load: share of tokens that keep e; balance H sum_e score_e load_e; agreement
 *         of two rules: mean over tokens of the Jaccard index of what they keep.
 * Oracle  all heads: error 0. A head with W_O^h = 0 costs nothing. Equal scores:
 *         balance = k.
 * Source  Jin et al. (MoH), arXiv 2410.11842, and its training-free rule for LLaMA.
 * Cost    one pass for the entropies; H^2 D flop a token for the inner products, and
 *         2^H additions (H <= 16) or H^3 / 3 for the oracle.
 * Limits  all heads may be routed and a kept one keeps its weight; nothing is trained.
 *         Tokens that see no key are left out. Without W_O, V, or Q and K the cells
 *         stay empty.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "analysis/contributions.h"
#include "analysis/head_subsets.h"
#include "core/kernels/kernels.h"

extern const atn_measure atn_measure_routing;

typedef struct routing_params {
    double budget;
} routing_params;

static const atn_param params[] = {
    ATN_PARAM_F64(
        routing_params, budget, 0.75, 1e-6, 1,
        "share of the heads that every token keeps, for load, score, balance, "
        "agreement and saving"),
    ATN_PARAM_END,
};

/* ---- columns ---- */

enum { QUERY, CONTRIBUTION, ENTROPY, ORACLE, RULES };
enum { BUDGETS = 6, NEEDS = 2 };
static const double budgets[BUDGETS] = {.5, .6, .75, .8, .9, 1};
static const double needed[NEEDS] = {.05, .1};

/* Of a rule; the oracle has no score, and so the last three are the other rules'. */
enum {
    ERRORS,
    NEEDED = ERRORS + BUDGETS,
    LOAD = NEEDED + NEEDS,
    LOAD_ENTROPY,
    SCORE,
    BALANCE,
    AGREEMENT,
    RULE_COLS
};
enum {
    EXACT = RULES * RULE_COLS - (RULE_COLS - SCORE),
    SAVING,
    PAIR,
    N_COLS = PAIR + 3
};

enum { PAIRS = 3 };
/* Pairs of rules beside those with the oracle. */
static const int pair[PAIRS][2] = {
    {QUERY, CONTRIBUTION}, {QUERY, ENTROPY}, {CONTRIBUTION, ENTROPY}};

#define ERROR_COL(rule, percent)                                                       \
    {                                                                                  \
        "routing_" rule "_error_" percent, "", ">= 0",                                 \
            "relative error of the layer's output with " percent " % of the heads, "   \
            "by the " rule " rule",                                                    \
            NULL                                                                       \
    }
#define RULE(rule)                                                                     \
    ERROR_COL(rule, "50"), ERROR_COL(rule, "60"), ERROR_COL(rule, "75"),               \
        ERROR_COL(rule, "80"), ERROR_COL(rule, "90"), ERROR_COL(rule, "100"),          \
        {"routing_" rule "_needed_5", "", "(0, 1]",                                    \
         "least share of the heads whose error is at most 5 %", NULL},                 \
        {"routing_" rule "_needed_10", "", "(0, 1]",                                   \
         "least share of the heads whose error is at most 10 %", NULL},                \
        {"routing_" rule "_load", "", "[0, 1]",                                        \
         "share of the tokens that keep the head, at the budget", NULL},               \
    {                                                                                  \
        "routing_" rule "_load_entropy", "", "[0, 1]",                                 \
            "entropy of the heads' loads, by that of equal loads", NULL                \
    }
#define SCORED(rule)                                                                   \
    {"routing_" rule "_score", "", "[0, 1]",                                           \
     "mean over tokens of the head's score, after a softmax over the heads", NULL},    \
        {"routing_" rule "_balance", "", ">= 0",                                       \
         "H sum of score times load: the heads kept, when balanced", NULL},            \
    {                                                                                  \
        "routing_" rule "_agreement", "", "[0, 1]",                                    \
            "mean over tokens of the overlap of the kept heads with the oracle's "     \
            "(Jaccard)",                                                               \
            NULL                                                                       \
    }

#define PAIR_COL(a, b)                                                                 \
    {                                                                                  \
        "routing_" a "_" b "_agreement", "", "[0, 1]",                                 \
            "mean over tokens of the overlap of the heads that the " a " and the " b   \
            " rule keep (Jaccard)",                                                    \
            NULL                                                                       \
    }

static const atn_measure_col cols[] = {
    RULE("query"),
    SCORED("query"),
    RULE("contribution"),
    SCORED("contribution"),
    RULE("entropy"),
    SCORED("entropy"),
    RULE("oracle"),
    {"routing_oracle_exact", "", "0, 1",
     "1: the oracle tried every set of heads, 0: it removed them one by one", NULL},
    {"routing_flop_saving", "", "[0, 1)",
     "share of the layer's attention FLOPs that dropped heads save at most", NULL},
    PAIR_COL("query", "contribution"),
    PAIR_COL("query", "entropy"),
    PAIR_COL("contribution", "entropy"),
    ATN_MEASURE_COLS_END,
};

/* ---- sums ---- */

/* Sums over the tokens of one group of tiles; all arrays lie behind one another. */
typedef struct sums {
    double *error;     /* [RULES, H + 1] squared, by heads kept */
    double *load;      /* [RULES, H] */
    double *score;     /* [ORACLE, H] */
    double *agreement; /* [ORACLE] with the oracle, and [PAIRS] */
    double *rest;      /* [2] squared length of all outputs, tokens */
} sums;

static atn_idx sums_size(atn_idx h)
{
    return RULES * (h + 1) + RULES * h + ORACLE * h + ORACLE + PAIRS + 2;
}

static sums sums_at(double *x, atn_idx h)
{
    sums s = {.error = x};

    s.load = s.error + RULES * (h + 1);
    s.score = s.load + RULES * h;
    s.agreement = s.score + ORACLE * h;
    s.rest = s.agreement + ORACLE + PAIRS;
    return s;
}

typedef struct job {
    const atn_layer_facts *f;
    const atn_row_stats *rows; /* entropies of all heads */
    atn_idx kept;              /* at the budget */
    double *sums;              /* [groups, sums_size] */
} job;

/* Scratch of one token. */
typedef struct token {
    double *gram, *error, *r; /* [H, H], [H + 1], [H] */
    double *value;            /* [ORACLE, H] what the rules go by */
    int *order;               /* [H] */
    bool *dropped;            /* [H + 1, H] of the oracle */
    bool *kept;               /* [ORACLE, H] of the other rules */
} token;

static atn_status take_token(atn_ctx *cx, atn_idx h, token *t)
{
    atn_status st = ATN_OK;

    ATN_TAKE(t->gram, h * h);
    ATN_TAKE(t->error, h + 1);
    ATN_TAKE(t->r, h);
    ATN_TAKE(t->value, ORACLE * h);
    ATN_TAKE(t->order, h);
    ATN_TAKE(t->dropped, h * (h + 1));
    ATN_TAKE(t->kept, ORACLE * h);
done:
    return st;
}

/* ---- one token ---- */

static void fill_token(const job *j, const atn_contributions *c, atn_idx r, token *t)
{
    const atn_idx n = c->heads, i = c->first + r;

    for (atn_idx a = 0; a < n; a++) {
        const float *x = c->c + (a * c->rows + r) * c->width;
        const atn_cmat q = j->f->head[a].q;
        const atn_head_stats s = atn_row_stats_head(j->rows, a);

        for (atn_idx b = 0; b <= a; b++)
            t->gram[a * n + b] = t->gram[b * n + a] =
                atn_row_dot(x, c->c + (b * c->rows + r) * c->width, c->width);
        t->value[QUERY * n + a] = sqrt(atn_row_square(atn_crow(q, i), q.cols));
        t->value[CONTRIBUTION * n + a] = sqrt(t->gram[a * n + a]);
        t->value[ENTROPY * n + a] = -atn_row_value(&s, ATN_ROW_ENTROPY, i);
    }
}

/* Heads by value, the largest first, equal ones by index. */
static void sort_heads(const double *value, atn_idx n, int *order)
{
    for (atn_idx a = 0; a < n; a++) {
        atn_idx at = a;

        while (at > 0 && value[order[at - 1]] < value[a]) {
            order[at] = order[at - 1];
            at--;
        }
        order[at] = (int)a;
    }
}

/* Adds softmax(x / std x) to score[n]. */
static void add_scores(const double *x, atn_idx n, double *score)
{
    double mean = 0, square = 0, most = -INFINITY, sum = 0, std;

    for (atn_idx a = 0; a < n; a++) {
        mean += x[a] / (double)n;
        most = ATN_MAX(most, x[a]);
    }
    for (atn_idx a = 0; a < n; a++) square += (x[a] - mean) * (x[a] - mean);
    std = n > 1 ? sqrt(square / (double)(n - 1)) : 0;
    if (!(std > 0)) std = INFINITY;
    for (atn_idx a = 0; a < n; a++) sum += exp((x[a] - most) / std);
    for (atn_idx a = 0; a < n; a++) score[a] += exp((x[a] - most) / std) / sum;
}

/* Jaccard index of two sets of k heads with `both` in common. */
static double overlap(atn_idx both, atn_idx k)
{
    return (double)both / (double)(2 * k - both);
}

/* One rule but the oracle, whose choice is in t->dropped. */
static void one_rule(const job *j, int rule, const token *t, const sums *s)
{
    const atn_idx n = j->f->heads, k = j->kept;
    const double *value = t->value + rule * n;
    const bool *dropped = t->dropped + k * n;
    bool *kept = t->kept + rule * n;
    atn_idx both = 0;

    sort_heads(value, n, t->order);
    atn_head_order_errors(t->gram, n, t->order, t->error, t->r);
    for (atn_idx i = 0; i <= n; i++) s->error[rule * (n + 1) + i] += t->error[i];
    for (atn_idx i = 0; i < n; i++) kept[t->order[i]] = i < k;
    for (atn_idx i = 0; i < k; i++) {
        s->load[rule * n + t->order[i]]++;
        both += !dropped[t->order[i]];
    }
    s->agreement[rule] += overlap(both, k);
    add_scores(value, n, s->score + rule * n);
}

static void add_pairs(const job *j, const token *t, const sums *s)
{
    const atn_idx n = j->f->heads;

    for (int p = 0; p < PAIRS; p++) {
        const bool *a = t->kept + pair[p][0] * n, *b = t->kept + pair[p][1] * n;
        atn_idx both = 0;

        for (atn_idx h = 0; h < n; h++) both += a[h] && b[h];
        s->agreement[ORACLE + p] += overlap(both, j->kept);
    }
}

static atn_status one_token(atn_ctx *cx, const job *j, const atn_contributions *c,
                            atn_idx r, token *t)
{
    const atn_idx n = c->heads;
    const sums s = sums_at(j->sums + c->group * sums_size(n), n);
    atn_status st = ATN_OK;

    fill_token(j, c, r, t);
    ATN_TRY(atn_head_subsets(cx, t->gram, n, t->error, t->dropped));
    for (atn_idx i = 0; i <= n; i++) s.error[ORACLE * (n + 1) + i] += t->error[i];
    for (atn_idx h = 0; h < n; h++)
        s.load[ORACLE * n + h] += !t->dropped[j->kept * n + h];
    s.rest[0] += t->error[0]; /* all dropped */
    s.rest[1]++;
    for (int rule = 0; rule < ORACLE; rule++) one_rule(j, rule, t, &s);
    add_pairs(j, t, &s);
done:
    return st;
}

static atn_status visit(atn_ctx *cx, const atn_layer_facts *f,
                        const atn_contributions *c, void *state)
{
    const job *j = state;
    const atn_head_stats s = atn_row_stats_head(j->rows, 0);
    const atn_arena_mark mark = atn_arena_save(cx);
    atn_status st = ATN_OK;
    token t = {0};

    (void)f;
    ATN_TRY(take_token(cx, c->heads, &t));
    for (atn_idx r = 0; r < c->rows; r++)
        if (s.seen[c->first + r] > 0) ATN_TRY(one_token(cx, j, c, r, &t));
done:
    atn_arena_rewind(cx, mark);
    return st;
}

/* ---- the layer ---- */

static double error_at(const sums *s, int rule, atn_idx n, atn_idx k)
{
    return s->rest[0] > 0 ? sqrt(s->error[rule * (n + 1) + k] / s->rest[0])
                          : (double)NAN;
}

static atn_idx heads_kept(double budget, atn_idx n)
{
    return ATN_MIN(ATN_MAX((atn_idx)floor(budget * (double)n + 0.5), 1), n);
}

static double load_entropy(const double *load, atn_idx n)
{
    double sum = 0, h = 0;

    for (atn_idx e = 0; e < n; e++) sum += load[e];
    for (atn_idx e = 0; e < n; e++)
        if (load[e] > 0) h -= load[e] / sum * log(load[e] / sum);
    return n > 1 ? ATN_MAX(h, 0.0) / log((double)n) : 1;
}

static void rule_values(const sums *s, int rule, atn_idx n, atn_idx h, double *out)
{
    const double tokens = s->rest[1];
    double balance = 0;

    for (int b = 0; b < BUDGETS; b++)
        out[ERRORS + b] = error_at(s, rule, n, heads_kept(budgets[b], n));
    for (int e = 0; e < NEEDS; e++) {
        atn_idx k = 1;

        while (k < n && !(error_at(s, rule, n, k) <= needed[e])) k++;
        if (s->rest[0] > 0) out[NEEDED + e] = (double)k / (double)n;
    }
    out[LOAD] = s->load[rule * n + h] / tokens;
    out[LOAD_ENTROPY] = load_entropy(s->load + rule * n, n);
    if (rule == ORACLE) return;
    for (atn_idx e = 0; e < n; e++)
        balance += s->load[rule * n + e] / tokens * s->score[rule * n + e] / tokens;
    out[SCORE] = s->score[rule * n + h] / tokens;
    out[BALANCE] = (double)n * balance;
    out[AGREEMENT] = s->agreement[rule] / tokens;
}

/* A dropped head saves its scores, its values and its part of W_O; its query is needed
 * to choose, and keys and values serve other tokens. */
static double flop_saving(const atn_layer_facts *f, atn_idx kept)
{
    const atn_problem *p = f->problem;
    const double heads = (double)p->heads, d = (double)p->d, dv = (double)p->dv;
    const double seen = atn_visible_pairs(&f->head[0]) / (double)f->head[0].nq;
    const double width = (double)f->width;
    const double own = heads * (seen * (d + dv) + dv * width);
    const double all = own + width * (heads * d + (double)p->kv_heads * (d + dv));

    return own / all * (1 - (double)kept / heads);
}

static void write_values(const job *j, const sums *s, double *out)
{
    const atn_idx n = j->f->heads;

    for (atn_idx h = 0; h < n; h++) {
        double *to = out + h * N_COLS;

        if (!j->f->keep[h]) continue;
        for (int rule = 0; rule < RULES && s->rest[1] > 0; rule++)
            rule_values(s, rule, n, h, to + rule * RULE_COLS);
        to[EXACT] = n <= ATN_SUBSETS_EXACT;
        to[SAVING] = flop_saving(j->f, j->kept);
        for (int p = 0; p < PAIRS && s->rest[1] > 0; p++)
            to[PAIR + p] = s->agreement[ORACLE + p] / s->rest[1];
    }
}

static atn_status layer(atn_ctx *cx, const atn_layer_facts *f, const void *params_,
                        double *out)
{
    const routing_params *p = params_;
    const atn_row_stats_opts opts = {.skip_rows = f->skip_rows};
    const atn_idx size = sums_size(f->heads);
    atn_status st = ATN_OK;
    job j = {.f = f, .kept = heads_kept(p->budget, f->heads)};
    atn_row_stats *rows = NULL;
    sums all;

    if (!atn_contributions_known(f) || !f->problem->q) return ATN_OK;
    ATN_TRY(atn_mem_check(cx,
                          atn_row_stats_bytes(&f->head[0], f->heads, &opts) +
                              8 * ATN_CONTRIBUTION_GROUPS * (double)size,
                          "routing"));
    ATN_TRY(atn_row_stats_run(cx, f->head, f->heads, NULL, &opts, &rows));
    j.rows = rows;
    ATN_NEW(j.sums, ATN_CONTRIBUTION_GROUPS * size);
    ATN_TRY(atn_contributions_each(cx, f, visit, &j));
    for (atn_idx g = 1; g < ATN_CONTRIBUTION_GROUPS; g++)
        for (atn_idx i = 0; i < size; i++) j.sums[i] += j.sums[g * size + i];
    all = sums_at(j.sums, f->heads);
    write_values(&j, &all, out);
done:
    atn_row_stats_destroy(cx, rows);
    atn_free(cx, j.sums);
    return st;
}

const atn_measure atn_measure_routing = {
    .id = "routing",
    .title = "Routing of heads (MoH simulator)",
    .source =
        "Jin et al. 2025 (MoH), arXiv 2410.11842; rules and oracle without training",
    .wants = ATN_WANT_OUT | ATN_WANT_W_O | ATN_WANT_QK,
    .named = true,
    .passes = 1,
    .params = params,
    .params_size = sizeof(routing_params),
    .cols = cols,
    .mixes = atn_measure_mixes,
    .layer = layer,
};
