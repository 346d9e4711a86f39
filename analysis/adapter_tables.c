/* analysis/adapter_tables.c -- p-Laplacian message passing on captured heads: the walk
 * over the selection, and the table of iterations.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "analysis/adapter_tables.h"

#include <math.h>
#include <string.h>

#include "analysis/adapter_internal.h"
#include "analysis/keys.h"

static const double default_p[] = {1, 1.5, 2, 2.5, 3};

const atn_adapter_opts atn_adapter_opts_default = {
    .mu = 0.2, .eps = 1e-8, .snap = -1, .damping = 1, .iterations = 10};

/* ---- options ---- */

static double snap_of(const atn_adapter_opts *o)
{
    if (!(o->snap < 0)) return o->snap;
    return o->form == ATN_FORM_PGNN ? 0 : atn_adapter_defaults.snap;
}

atn_adapter_params atn_adapter_opts_params(const atn_adapter_opts *o, double p)
{
    return (atn_adapter_params){.p = p,
                                .mu = o->mu,
                                .eps = o->eps,
                                .snap = snap_of(o),
                                .damping = o->damping,
                                .iterations = o->iterations,
                                .beta = o->beta,
                                .self = o->self,
                                .nodes = o->form == ATN_FORM_NODES,
                                .stop = o->stop};
}

atn_pgnn_params atn_adapter_opts_pgnn(const atn_adapter_opts *o, double p)
{
    return (atn_pgnn_params){.p = p,
                             .mu = o->mu,
                             .damping = o->damping,
                             .snap = snap_of(o),
                             .iterations = o->iterations,
                             .alpha = o->alpha,
                             .stop = o->stop};
}

atn_status atn_adapter_opts_check(atn_ctx *cx, const atn_adapter_opts *o)
{
    atn_status st = ATN_OK;

    if (o->p && o->n_p < 1) ATN_FAIL(ATN_USAGE, "the list of p is empty (give 1 .. 3)");
    for (int i = 0; i < (o->p ? o->n_p : 1); i++) {
        const atn_adapter_params a =
            atn_adapter_opts_params(o, o->p ? o->p[i] : default_p[0]);

        ATN_TRY(atn_adapter_check(cx, &a));
    }
    if (o->iterations > ATN_ADAPTER_ITERATIONS_MOST)
        ATN_FAIL(ATN_USAGE, "%d iterations are more than %d", o->iterations,
                 (int)ATN_ADAPTER_ITERATIONS_MOST);
    if (o->skip_rows < 0)
        ATN_FAIL(ATN_USAGE, "%lld rows to skip: 0 or more", (long long)o->skip_rows);
    if (o->dense_most < 0)
        ATN_FAIL(ATN_USAGE, "%lld nodes at most: 0 or more", (long long)o->dense_most);
    if (o->rank < 0) ATN_FAIL(ATN_USAGE, "rank %lld: 0 or more", (long long)o->rank);
done:
    return st;
}

atn_status atn_adapter_job_init(atn_ctx *cx, const atn_capture *c,
                                const atn_selection *sel, const atn_adapter_opts *o,
                                adapter_job *j)
{
    atn_status st = ATN_OK;

    *j = (adapter_job){.c = c, .sel = sel, .o = o, .p = o->p, .n_p = o->n_p};
    ATN_TRY(atn_adapter_opts_check(cx, o));
    if (!j->p) {
        j->p = default_p;
        j->n_p = ATN_LEN(default_p);
    }
    for (int i = 0; i < sel->n; i++) {
        const atn_layer_info *l = atn_capture_layer(c, sel->at[i]);

        if (o->skip_rows >= l->nq)
            ATN_FAIL(ATN_USAGE, "skipping %lld rows leaves none of %s, which has %lld",
                     (long long)o->skip_rows, atn_layer_name(l).text, (long long)l->nq);
    }
done:
    return st;
}

/* ---- the walk over the heads ---- */

bool atn_adapter_layer_own(const atn_layer_info *l)
{
    const bool within = l->sight.offset >= 0 && l->nq <= l->nk - l->sight.offset;

    return strcmp(l->stack, "cross") != 0 && within &&
           (l->sight.causal || l->nq == l->nk);
}

atn_status atn_adapter_labels(atn_ctx *cx, const adapter_job *j,
                              const atn_layer_info *l, const int32_t **labels)
{
    atn_idx classes, *of;
    atn_status st = ATN_OK;
    int32_t *key = NULL;

    if (j->o->labels)
        ATN_TRY(atn_token_labels_layer(cx, j->o->labels, l, atn_adapter_layer_own(l),
                                       &key, &classes, &of));
    *labels = key;
done:
    return st;
}

/* Names what the layer lacks, NULL = nothing. */
static const char *lack_of(const atn_layer_info *l, const atn_adapter_opts *o,
                           const adapter_kind *k)
{
    if (!l->has_v) return "values (v)";
    if (!atn_adapter_layer_own(l))
        return "value vectors of its queries, which are other tokens";
    if (o->form != ATN_FORM_BIPARTITE && l->nq != l->nk)
        return "as many queries as keys, which this form needs";
    if (k->square && (l->nq != l->nk || l->sight.offset != 0))
        return "queries and keys that are the same tokens, which the response needs";
    return NULL;
}

/* The head is done for: what it lacks is in the log. */
static bool gave_up(atn_ctx *cx, adapter_job *j, atn_status *st)
{
    if (*st != ATN_DATA) return false;
    atn_err_forgive(cx);
    j->failed++;
    *st = ATN_OK;
    return true;
}

static atn_status one_head(atn_ctx *cx, adapter_job *j, const adapter_kind *k,
                           const adapter_head *h, bool known)
{
    const atn_arena_mark mark = atn_arena_save(cx);
    atn_status st = ATN_OK;

    if (!known)
        j->failed++;
    else if (k->prepare)
        st = k->prepare(cx, j, h, k->state);
    if (gave_up(cx, j, &st)) known = false;
    ATN_TRY(st);
    for (int i = 0; i < j->n_p; i++) {
        if (known) st = k->compute(cx, j, h, j->p[i], k->state);
        if (gave_up(cx, j, &st)) known = false;
        ATN_TRY(st);
        ATN_TRY(k->emit(cx, j, h, j->p[i], known, k->state));
    }
done:
    atn_arena_rewind(cx, mark);
    return st;
}

static atn_status one_layer(atn_ctx *cx, adapter_job *j, const adapter_kind *k, int i)
{
    const atn_arena_mark mark = atn_arena_save(cx);
    const atn_layer_info *l = atn_capture_layer(j->c, j->sel->at[i]);
    const bool *keep = j->sel->heads + i * j->sel->max_heads;
    const char *lack = lack_of(l, j->o, k);
    const int32_t *labels = NULL;
    atn_status st = ATN_OK;
    atn_problem p = {0};
    bool *bad = NULL;

    if (lack) {
        atn_log(cx, ATN_LOG_WARN, "%s: left out, it lacks %s", atn_layer_name(l).text,
                lack);
        return ATN_OK;
    }
    ATN_TAKE(bad, l->heads);
    memset(bad, 0, (size_t)l->heads * sizeof *bad);
    ATN_TRY(atn_capture_load_heads(cx, j->c, j->sel->at[i], &p, bad));
    ATN_TRY(atn_adapter_labels(cx, j, l, &labels));
    for (atn_idx h = 0; h < l->heads; h++) {
        adapter_head head = {
            .info = l, .own = atn_adapter_layer_own(l), .labels = labels};

        if (!keep[h]) continue;
        head.head.head = (int)h;
        if (!bad[h]) head.head = atn_problem_head(&p, h);
        ATN_TRY(one_head(cx, j, k, &head, !bad[h]));
    }
done:
    atn_capture_unload(cx, &p);
    atn_arena_rewind(cx, mark);
    return st;
}

atn_status atn_adapter_each_head(atn_ctx *cx, adapter_job *j, const adapter_kind *k)
{
    atn_status st = ATN_OK;

    for (int i = 0; i < j->sel->n; i++) ATN_TRY(one_layer(cx, j, k, i));
done:
    return st;
}

/* ---- the rows of the iterations ---- */

typedef struct column {
    const char *name, *unit, *text;
    size_t at;   /* of the number in atn_adapter_state */
    bool change; /* less that of iteration 0 */
} column;

#define STATE(field) offsetof(atn_adapter_state, field)
static const column columns[] = {
    {"energy", "", "energy of the state after this iteration", STATE(energy), false},
    {"output_change", "", "|out - O| / |O|, O the output of plain attention",
     STATE(change), false},
    {"row_mass_mean", "", "weight that a row of the adapter gives to its keys",
     STATE(mass), false},
    {"beta_mean", "", "weight that a row keeps for its own first features", STATE(beta),
     false},
    {"self_share_mean", "", "weight of a token on itself", STATE(self_share), false},
    {"kl_mean_nats", "nats", "KL of the rows of P to those of the adapter, normalised",
     STATE(kl), false},
    {"entropy_mean_nats", "nats", "entropy of the normalised rows", STATE(entropy),
     false},
    {"entropy_change_nats", "nats", "entropy less that of plain attention",
     STATE(entropy), true},
    {"distance_mean", "", "distance of the features of a query and of its keys",
     STATE(distance), false},
    {"distance_change", "", "distance less that of plain attention", STATE(distance),
     true},
    {"homophily_feature_mean", "", "cosine of the features of a query and of its keys",
     STATE(homophily), false},
    {"homophily_feature_change", "", "cosine less that of plain attention",
     STATE(homophily), true},
    {"homophily_edge", "", "share of the labelled weight that joins equal labels",
     STATE(edge), false},
    {"homophily_edge_change", "", "that share less that of plain attention",
     STATE(edge), true},
};
enum { WITH_LABELS = 2, COLUMNS = ATN_LEN(columns) };

static atn_status add_columns(atn_ctx *cx, adapter_rows *r)
{
    const int n = r->labels ? COLUMNS : COLUMNS - WITH_LABELS;
    atn_table *t = r->table;
    atn_status st = ATN_OK;

    ATN_TRY(atn_table_add_col(cx, t, "p", ATN_COL_F64, "", "the p of the p-Laplacian",
                              &r->first));
    ATN_TRY(atn_table_add_col(cx, t, "iteration", ATN_COL_I64, "",
                              "iterations done; 0 = plain attention", NULL));
    for (int i = 0; i < n; i++)
        ATN_TRY(atn_table_add_col(cx, t, columns[i].name, ATN_COL_F64, columns[i].unit,
                                  columns[i].text, NULL));
    ATN_TRY(atn_table_add_col(cx, t, "energy_increased", ATN_COL_BOOL, "",
                              "the energy is above that of the iteration before",
                              NULL));
    ATN_TRY(atn_table_add_col(cx, t, "rows_empty", ATN_COL_I64, "",
                              "rows that see a key but give it no weight", NULL));
done:
    return st;
}

atn_status atn_adapter_rows_create(atn_ctx *cx, const adapter_job *j, const char *kind,
                                   adapter_rows *r)
{
    atn_status st = ATN_OK;

    *r = (adapter_rows){.labels = j->o->labels != NULL};
    ATN_TRY(atn_table_create(cx, kind, &r->table));
    ATN_TRY(atn_keys_add(cx, j->sel, ATN_KEYS_HEAD, r->table, &r->keys));
    ATN_TRY(add_columns(cx, r));
    ATN_TAKE(r->state, j->o->iterations + 1);
done:
    return st;
}

static double number_of(const atn_adapter_state *s, size_t at)
{
    double x;

    memcpy(&x, (const char *)s + at, sizeof x);
    return x;
}

static void set_cells(const adapter_rows *r, int iteration)
{
    const int n = r->labels ? COLUMNS : COLUMNS - WITH_LABELS, first = r->first + 2;
    const atn_adapter_state *s = &r->state[iteration];

    for (int i = 0; i < n; i++) {
        double x = number_of(s, columns[i].at);

        if (columns[i].change) x -= number_of(r->state, columns[i].at);
        if (!isnan(x)) atn_table_set_f64(r->table, first + i, x);
    }
    if (iteration > 0) atn_table_set_bool(r->table, first + n, s->rose);
    atn_table_set_i64(r->table, first + n + 1, s->empty);
}

atn_status atn_adapter_rows_emit(atn_ctx *cx, const adapter_job *j,
                                 const adapter_head *h, double p, bool known,
                                 void *rows)
{
    adapter_rows *r = rows;
    const int last = known ? r->done : j->o->iterations;
    atn_status st = ATN_OK;

    for (int k = 0; k <= last; k++) {
        ATN_TRY(atn_table_add_row(cx, r->table));
        ATN_TRY(atn_keys_set(cx, r->table, &r->keys, h->info, h->head.head));
        atn_table_set_f64(r->table, r->first, p);
        atn_table_set_i64(r->table, r->first + 1, k);
        if (known) set_cells(r, k);
    }
done:
    return st;
}

/* ---- the table ---- */

static atn_status compute(atn_ctx *cx, const adapter_job *j, const adapter_head *h,
                          double p, void *rows)
{
    const atn_adapter_params a = atn_adapter_opts_params(j->o, p);
    const atn_adapter_input in = {.head = &h->head,
                                  .own = h->own,
                                  .labels = h->labels,
                                  .skip_rows = j->o->skip_rows};
    adapter_rows *r = rows;

    if (j->o->form == ATN_FORM_PGNN)
        return atn_adapter_pgnn(cx, j, h, p, r->state, &r->done);
    return atn_adapter_run(cx, &in, &a, r->state, NULL, &r->done);
}

atn_status atn_adapter_table(atn_ctx *cx, const atn_capture *c,
                             const atn_selection *sel, const atn_adapter_opts *o,
                             atn_table **out, atn_idx *failed)
{
    const atn_arena_mark mark = atn_arena_save(cx);
    atn_status st = ATN_OK;
    adapter_rows r = {0};
    const adapter_kind k = {NULL, compute, atn_adapter_rows_emit, &r, false};
    adapter_job j;

    ATN_TRY(atn_adapter_job_init(cx, c, sel, o, &j));
    ATN_TRY(atn_adapter_rows_create(cx, &j, "adapter", &r));
    ATN_TRY(atn_adapter_each_head(cx, &j, &k));
    if (failed) *failed = j.failed;
    *out = r.table;
    r.table = NULL;
done:
    atn_table_destroy(cx, r.table);
    atn_arena_rewind(cx, mark);
    return st;
}
