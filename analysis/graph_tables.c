/* analysis/graph_tables.c -- homophily and frequencies, a row a head. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "analysis/graph_tables.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "analysis/graph_internal.h"

/* All values of a head. */
typedef struct values {
    atn_homophily keep, drop;
    atn_feature_homophily f;
    double lift, lift_nodiag;
    atn_frequency q;
    double rayleigh, worst, worst_residual;
} values;

typedef struct column {
    unsigned what;
    atn_graph_self self; /* of which it is; BOTH = either */
    size_t at;           /* of the double in values */
    const char *name, *text;
} column;

#define COLUMN(what, self, field, name, text)                                          \
    {                                                                                  \
        ATN_GRAPH_##what, ATN_GRAPH_##self, offsetof(values, field), name, text        \
    }
/* One that is there with self edges and without. */
#define PAIR(what, field, name, text)                                                  \
    COLUMN(what, KEEP, keep.field, name, text),                                        \
        COLUMN(what, DROP, drop.field, name "_nodiag", text ", self edges left out")

static const column columns[] = {
    PAIR(EDGE, edge, "homophily_edge", "share of weight between equal labels, [0, 1]"),
    PAIR(NODE, node, "homophily_node", "mean of that share over rows, [0, 1]"),
    PAIR(NODE, bipartite_node, "homophily_bipartite_node",
         "mean over rows and keys, as two sets of nodes, [0, 1]"),
    PAIR(ADJUSTED, margin, "homophily_margin",
         "edge homophily if rows and keys met by their masses alone, [0, 1]"),
    PAIR(ADJUSTED, adjusted, "homophily_adjusted",
         "edge homophily above the margin's, over what is left, at most 1"),
    PAIR(ADJUSTED, null, "homophily_null",
         "edge homophily of uniform attention to the same keys, [0, 1]"),
    PAIR(ADJUSTED, adjusted_causal, "homophily_adjusted_causal",
         "edge homophily above uniform attention's, over what is left, at most 1"),
    PAIR(ADJUSTED, bipartite_adjusted, "homophily_bipartite_adjusted",
         "adjusted by degrees of queries and keys as two sets of nodes, at most 1"),
    COLUMN(
        INSENSITIVE, DROP, drop.insensitive, "homophily_insensitive",
        "class-insensitive: mean excess over the class's share of tokens, self edges "
        "left out, [0, 1]"),
    COLUMN(INSENSITIVE, KEEP, keep.insensitive, "homophily_insensitive_diag",
           "the same with self edges, [0, 1]"),
    COLUMN(FEATURE, KEEP, f.cosine, "feature_homophily",
           "mean cosine of a token with those it looks at, [-1, 1]"),
    COLUMN(FEATURE, KEEP, f.null, "feature_homophily_null",
           "the same of uniform attention, [-1, 1]"),
    COLUMN(FEATURE, KEEP, lift, "feature_homophily_lift", "their difference, [-2, 2]"),
    COLUMN(FEATURE, DROP, f.cosine_nodiag, "feature_homophily_nodiag",
           "mean cosine with other tokens it looks at, [-1, 1]"),
    COLUMN(FEATURE, DROP, f.null_nodiag, "feature_homophily_null_nodiag",
           "the same of uniform attention, [-1, 1]"),
    COLUMN(FEATURE, DROP, lift_nodiag, "feature_homophily_lift_nodiag",
           "their difference, [-2, 2]"),
    COLUMN(FEATURE, BOTH, f.cosine_output, "feature_homophily_output",
           "mean cosine of a row's output with the features it looks at, [-1, 1]"),
    COLUMN(FEATURE, BOTH, f.dirichlet, "dirichlet",
           "Dirichlet energy, sum of weight times squared distance, >= 0"),
    COLUMN(FEATURE, BOTH, f.normalised, "dirichlet_normalised",
           "over twice the squared norms of the features, >= 0"),
    COLUMN(FEATURE, BOTH, f.gap, "gap",
           "mean distance of a row's output from its token's features, >= 0"),
    COLUMN(FEATURE, BOTH, f.gap_cosine, "gap_cosine", "1 - their mean cosine, [0, 2]"),
    COLUMN(FREQUENCY, BOTH, q.ratio_in, "frequency_ratio_in",
           "norm of the features less their mean over the norm of the mean, >= 0"),
    COLUMN(FREQUENCY, BOTH, q.ratio_out, "frequency_ratio_out",
           "the same of the output P x, >= 0"),
    COLUMN(FREQUENCY, BOTH, q.gain, "frequency_gain",
           "norm of the output less its mean over that of the features, >= 0"),
    COLUMN(FREQUENCY, BOTH, q.residual_in, "frequency_residual_in",
           "root of the largest column sum times the largest row sum, features less "
           "mean, >= 0"),
    COLUMN(FREQUENCY, BOTH, q.residual_out, "frequency_residual_out",
           "the same of the output, >= 0"),
    COLUMN(FREQUENCY, BOTH, rayleigh, "frequency_rayleigh",
           "mean graph frequency of the features, [0, 2]"),
    COLUMN(FREQUENCY, BOTH, q.high_norm, "attnscale_high_norm",
           "Frobenius norm of P less uniform attention to all, >= 0"),
    COLUMN(FREQUENCY, BOTH, q.keep_lambda, "attnscale_keep_lambda",
           "AttnScale's lambda at which the gain is 1, > -1"),
    COLUMN(WORST, BOTH, worst, "frequency_worst_gain",
           "largest gain over all features, >= 0"),
    COLUMN(WORST, BOTH, worst_residual, "frequency_worst_gain_residual",
           "how near to its square an eigenvalue is known to be, >= 0"),
};

unsigned atn_graph_column(const char *name, size_t n)
{
    for (size_t i = 0; i < ATN_LEN(columns); i++)
        if (strlen(columns[i].name) == n && strncmp(columns[i].name, name, n) == 0)
            return columns[i].what;
    return 0;
}

enum { N_COLUMNS = (int)(sizeof columns / sizeof *columns) };

const char *atn_graph_column_name(int i)
{
    return i >= 0 && i < N_COLUMNS ? columns[i].name : NULL;
}

typedef struct heads {
    const atn_graph_table_opts *o;
    atn_table *t;
    atn_keys key;
    int col[N_COLUMNS]; /* -1 = not asked for */
    int power, classes, labelled;
    const atn_layer_info *said; /* of this layer the log has what stays empty */
} heads;

/* ---- one head ---- */

static atn_status take_sums(atn_ctx *cx, const atn_head *h, const atn_edge_want *w,
                            bool labels, atn_edge_sums *s)
{
    atn_status st = ATN_OK;

    ATN_TRY(atn_mem_check(cx,
                          8.0 * (double)(8 * h->nq + 3 * h->nk) +
                              4.0 * (double)h->nq * (double)w->f.cols,
                          "the attention graph"));
    ATN_TAKE(s->self, h->nq);
    ATN_TAKE(s->mass, h->nq);
    ATN_TAKE(s->square, h->nq);
    ATN_TAKE(s->columns, h->nk);
    if (w->f.data) ATN_TAKE(s->pf, h->nq * w->f.cols);
    if (w->g) ATN_TAKE(s->dot, h->nq);
    if (w->power > 0 && w->x.data) ATN_TAKE(s->energy, h->nq);
    if (!labels) goto done;
    ATN_TAKE(s->counted, h->nq);
    ATN_TAKE(s->same, h->nq);
    ATN_TAKE(s->key_counted, h->nk);
    ATN_TAKE(s->key_same, h->nk);
done:
    return st;
}

static atn_status rayleigh(atn_ctx *cx, const atn_head *h, atn_cmat x,
                           const atn_edge_want *w, const atn_edge_sums *s, double *out)
{
    const atn_arena_mark mark = atn_arena_save(cx);
    atn_status st = ATN_OK;
    double *degree = NULL;

    if (!atn_graph_is_square(h, w->self)) return ATN_OK;
    ATN_TAKE(degree, h->nk);
    atn_graph_degrees(h, s, degree);
    ATN_TRY(atn_graph_rayleigh(cx, h, x, degree, out));
done:
    atn_arena_rewind(cx, mark);
    return st;
}

static atn_status worst_gain(atn_ctx *cx, const atn_head *h, int steps, values *v)
{
    atn_status st = ATN_OK;
    atn_worst_gain w;

    ATN_TRY(atn_graph_worst_gain(cx, h, steps, &w));
    v->worst = w.value;
    v->worst_residual = w.residual;
done:
    return st;
}

static void no_values(values *v)
{
    double *x = (double *)v;

    for (size_t i = 0; i < sizeof *v / sizeof *x; i++) x[i] = NAN;
}

static atn_status compute(atn_ctx *cx, const heads *s, const atn_graph_layer *l,
                          const atn_head *h, values *v)
{
    const unsigned what = s->o->what;
    const atn_cmat x = atn_graph_features_of(l, h);
    const bool labels = (what & ATN_GRAPH_LABELLED) && l->labels.key;
    const bool features = x.data && (what & (ATN_GRAPH_FEATURE | ATN_GRAPH_FREQUENCY));
    atn_edge_want w = {.self = l->self, .skip_rows = s->o->skip_rows};
    atn_status st = ATN_OK;
    atn_edge_sums e = {0};
    atn_features f;

    if (features) {
        ATN_TRY(atn_mem_check(cx, atn_homophily_bytes(h, x.cols), "features"));
        ATN_TRY(atn_features_make(cx, h, x, s->o->centred, &f));
        w.f = (atn_cmat){f.factor, h->nk, 2 * x.cols, 2 * x.cols};
        w.g = f.square;
        if (l->self && (what & ATN_GRAPH_FEATURE)) {
            w.x = x;
            w.power = s->o->power;
        }
    }
    if (labels) {
        w.query = l->labels.query;
        w.key = l->labels.key;
    }
    if (labels || features || (what & ATN_GRAPH_FREQUENCY)) {
        ATN_TRY(take_sums(cx, h, &w, labels, &e));
        ATN_TRY(atn_edge_walk(cx, h, &w, &e));
    }
    if (labels) {
        ATN_TRY(atn_homophily_of(cx, h, &l->labels, &w, &e, true, &v->keep));
        ATN_TRY(atn_homophily_of(cx, h, &l->labels, &w, &e, false, &v->drop));
    }
    if (features && (what & ATN_GRAPH_FEATURE)) {
        ATN_TRY(atn_feature_homophily_of(cx, h, &f, &w, &e, &v->f));
        v->lift = v->f.cosine - v->f.null;
        v->lift_nodiag = v->f.cosine_nodiag - v->f.null_nodiag;
    }
    if (features && (what & ATN_GRAPH_FREQUENCY)) {
        ATN_TRY(atn_frequency_of(cx, h, &f, &w, &e, &v->q));
        ATN_TRY(rayleigh(cx, h, x, &w, &e, &v->rayleigh));
    }
    if (!features && (what & ATN_GRAPH_FREQUENCY))
        v->q.high_norm = atn_graph_high_norm(h, &e);
    if (what & ATN_GRAPH_WORST) ATN_TRY(worst_gain(cx, h, s->o->worst_steps, v));
done:
    return st;
}

/* ---- the table ---- */

static void put_labels(const heads *s, const atn_graph_layer *l)
{
    int64_t labelled = 0;

    if (s->classes < 0 || !l->labels.key) return;
    for (atn_idx j = 0; j < l->info->nk; j++) labelled += l->labels.key[j] >= 0;
    atn_table_set_i64(s->t, s->classes, l->labels.classes);
    atn_table_set_i64(s->t, s->labelled, labelled);
}

/* Once a layer; where it has no features at all that is said elsewhere. */
static void say_empty(atn_ctx *cx, heads *s, const atn_graph_layer *l,
                      const atn_head *h)
{
    const unsigned what = l->features ? s->o->what : 0;

    if (s->said == l->info) return;
    s->said = l->info;
    if ((what & ATN_GRAPH_FEATURE) && !l->self)
        atn_log(cx, ATN_LOG_WARN,
                "%s: what compares the features of query and key stays empty, its "
                "queries are not tokens of the keys' text",
                atn_layer_name(l->info).text);
    if ((what & ATN_GRAPH_FREQUENCY) && !atn_graph_is_square(h, l->self))
        atn_log(cx, ATN_LOG_WARN,
                "%s: frequency_rayleigh stays empty, its queries are not all of its "
                "keys, so its graphs have no Laplacian",
                atn_layer_name(l->info).text);
}

static atn_status visit(atn_ctx *cx, const atn_graph_layer *l, const atn_head *h,
                        bool bad, void *state)
{
    heads *s = state;
    atn_status st = ATN_OK;
    values v;

    no_values(&v);
    say_empty(cx, s, l, h);
    if (!bad) ATN_TRY(compute(cx, s, l, h, &v));
    ATN_TRY(atn_table_add_row(cx, s->t));
    ATN_TRY(atn_keys_set(cx, s->t, &s->key, l->info, h->head));
    put_labels(s, l);
    for (int c = 0; c < N_COLUMNS; c++) {
        double x;

        if (s->col[c] < 0) continue;
        memcpy(&x, (const char *)&v + columns[c].at, sizeof x);
        atn_graph_put(s->t, s->col[c], x);
    }
    if (s->power >= 0) atn_graph_put(s->t, s->power, v.f.energy);
done:
    return st;
}

static bool asked(const atn_graph_table_opts *o, const column *c)
{
    return (o->what & c->what) && (o->self == ATN_GRAPH_BOTH ||
                                   c->self == ATN_GRAPH_BOTH || o->self == c->self);
}

static atn_status add_columns(atn_ctx *cx, const atn_selection *sel, heads *s)
{
    const atn_graph_table_opts *o = s->o;
    atn_status st = ATN_OK;

    ATN_TRY(atn_keys_add(cx, sel, ATN_KEYS_HEAD, s->t, &s->key));
    s->power = s->classes = s->labelled = -1;
    if (o->what & ATN_GRAPH_LABELLED) {
        ATN_TRY(atn_table_add_col(cx, s->t, "classes", ATN_COL_I64, "",
                                  "different labels of its keys", &s->classes));
        ATN_TRY(atn_table_add_col(cx, s->t, "labelled_keys", ATN_COL_I64, "",
                                  "keys that have a label", &s->labelled));
    }
    for (int c = 0; c < N_COLUMNS; c++) {
        s->col[c] = -1;
        if (asked(o, &columns[c]))
            ATN_TRY(atn_table_add_col(cx, s->t, columns[c].name, ATN_COL_F64, "",
                                      columns[c].text, &s->col[c]));
    }
    if (o->power > 0 && (o->what & ATN_GRAPH_FEATURE))
        ATN_TRY(atn_table_add_col(
            cx, s->t, "dirichlet_power", ATN_COL_F64, "",
            "half the sum of (weight times squared distance)^(p/2)", &s->power));
done:
    return st;
}

static atn_status set_facts(atn_ctx *cx, const atn_graph_table_opts *o, atn_table *t)
{
    char number[32];
    atn_status st = ATN_OK;

    ATN_TRY(atn_table_set_meta(cx, t, "features",
                               o->features == ATN_GRAPH_HIDDEN ? "hidden" : "values"));
    if (o->labels) ATN_TRY(atn_table_set_meta(cx, t, "labels", o->labels->what));
    snprintf(number, sizeof number, "%g", o->power);
    if (o->power > 0) ATN_TRY(atn_table_set_meta(cx, t, "p", number));
done:
    return st;
}

atn_status atn_graph_table(atn_ctx *cx, const atn_capture *c, const atn_selection *sel,
                           const atn_graph_table_opts *o, atn_table **out,
                           atn_idx *failed)
{
    atn_status st = ATN_OK;
    heads s = {.o = o};

    *out = NULL;
    ATN_ASSERT(!(o->what & ATN_GRAPH_LABELLED) || o->labels);
    ATN_TRY(atn_table_create(cx, "graph", &s.t));
    ATN_TRY(add_columns(cx, sel, &s));
    ATN_TRY(set_facts(cx, o, s.t));
    ATN_TRY(atn_table_set_meta(cx, s.t, "title", "Attention as a graph"));
    ATN_TRY(atn_graph_each(cx, c, sel, o, o->what, visit, &s, failed));
    *out = s.t;
    s.t = NULL;
done:
    atn_table_destroy(cx, s.t);
    return st;
}

/* ---- classes against classes ---- */

typedef struct pairs {
    const atn_graph_table_opts *o;
    atn_table *t;
    atn_keys key;
    int from, to, from_name, to_name, share;
} pairs;

static atn_status class_matrix(atn_ctx *cx, const pairs *s, const atn_graph_layer *l,
                               const atn_head *h, double *matrix)
{
    const atn_idx n = l->labels.classes;
    const atn_edge_want w = {.self = l->self,
                             .skip_rows = s->o->skip_rows,
                             .query = l->labels.query,
                             .key = l->labels.key,
                             .classes = n};
    atn_status st = ATN_OK;
    atn_edge_sums e = {0};

    ATN_TAKE(e.self, h->nq);
    ATN_TAKE(e.counted, h->nq);
    ATN_TAKE(e.same, h->nq);
    ATN_TAKE(e.pairs, n * n);
    ATN_TRY(atn_edge_walk(cx, h, &w, &e));
    atn_class_matrix(h, &l->labels, &w, &e, s->o->self == ATN_GRAPH_KEEP, matrix);
done:
    return st;
}

static atn_status put_pair(atn_ctx *cx, const pairs *s, const atn_graph_layer *l,
                           const atn_head *h, atn_idx from, atn_idx to, double share)
{
    const atn_token_labels *names = s->o->labels;
    const atn_idx a = l->class_of[from], b = l->class_of[to];
    atn_status st = ATN_OK;

    ATN_TRY(atn_table_add_row(cx, s->t));
    ATN_TRY(atn_keys_set(cx, s->t, &s->key, l->info, h->head));
    atn_table_set_i64(s->t, s->from, a);
    ATN_TRY(atn_table_set_str(cx, s->t, s->from_name, names->name[a]));
    atn_table_set_i64(s->t, s->to, b);
    ATN_TRY(atn_table_set_str(cx, s->t, s->to_name, names->name[b]));
    atn_table_set_f64(s->t, s->share, share);
done:
    return st;
}

static atn_status visit_classes(atn_ctx *cx, const atn_graph_layer *l,
                                const atn_head *h, bool bad, void *state)
{
    const pairs *s = state;
    const atn_idx n = l->labels.classes;
    atn_status st = ATN_OK;
    double *matrix = NULL;

    if (bad || n == 0) return ATN_OK;
    if (n > ATN_GRAPH_CLASSES_MOST)
        ATN_FAIL(ATN_USAGE,
                 "graph: --class-matrix of %lld classes: at most %d (choose labels of "
                 "fewer classes)",
                 (long long)n, ATN_GRAPH_CLASSES_MOST);
    ATN_TAKE(matrix, n * n);
    ATN_TRY(class_matrix(cx, s, l, h, matrix));
    for (atn_idx a = 0; a < n; a++)
        for (atn_idx b = 0; b < n; b++)
            ATN_TRY(put_pair(cx, s, l, h, a, b, matrix[a * n + b]));
done:
    return st;
}

static atn_status add_pair_columns(atn_ctx *cx, const atn_selection *sel, pairs *s)
{
    atn_status st = ATN_OK;

    ATN_TRY(atn_keys_add(cx, sel, ATN_KEYS_HEAD, s->t, &s->key));
    ATN_TRY(atn_table_add_col(cx, s->t, "class", ATN_COL_I64, "", "of the rows, from 0",
                              &s->from));
    ATN_TRY(atn_table_add_col(cx, s->t, "class_name", ATN_COL_STR, "", "its label",
                              &s->from_name));
    ATN_TRY(atn_table_add_col(cx, s->t, "key_class", ATN_COL_I64, "",
                              "of the keys, from 0", &s->to));
    ATN_TRY(atn_table_add_col(cx, s->t, "key_class_name", ATN_COL_STR, "", "its label",
                              &s->to_name));
    ATN_TRY(atn_table_add_col(cx, s->t, "homophily_class_share", ATN_COL_F64, "",
                              "share of the weight of the rows that the keys get, "
                              "[0, 1]",
                              &s->share));
done:
    return st;
}

atn_status atn_graph_classes_table(atn_ctx *cx, const atn_capture *c,
                                   const atn_selection *sel,
                                   const atn_graph_table_opts *o, atn_table **out,
                                   atn_idx *failed)
{
    atn_status st = ATN_OK;
    pairs s = {.o = o};

    *out = NULL;
    ATN_ASSERT(o->labels);
    ATN_TRY(atn_table_create(cx, "classes", &s.t));
    ATN_TRY(add_pair_columns(cx, sel, &s));
    ATN_TRY(atn_table_set_meta(cx, s.t, "labels", o->labels->what));
    ATN_TRY(atn_table_set_meta(cx, s.t, "self",
                               o->self == ATN_GRAPH_KEEP ? "keep" : "drop"));
    ATN_TRY(atn_table_set_meta(cx, s.t, "title", "Attention from class to class"));
    ATN_TRY(atn_graph_each(cx, c, sel, o, ATN_GRAPH_EDGE, visit_classes, &s, failed));
    *out = s.t;
    s.t = NULL;
done:
    atn_table_destroy(cx, s.t);
    return st;
}
