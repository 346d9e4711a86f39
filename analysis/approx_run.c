/* analysis/approx_run.c -- every case on every selected head, layer by layer. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "analysis/approx_dump.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "analysis/approx_oracle.h"
#include "core/rows.h"

/* Up to which heads are small enough to keep one thread each. */
static const double PAIRS_BY_HEAD = 0x1p24;

/* ---- a layer under way ---- */

typedef struct layer_run {
    atn_approx *a;
    atn_approx_layer layer;
    const bool *keep;     /* [heads] selected */
    atn_idx heads, first; /* of the layer; the first of its selected ones among all */
    atn_idx *row;         /* [heads] of the results; of selected ones */
    atn_dense *dense;     /* [heads] of selected ones that are sound */
    atn_row_sample sample;
    bool sampled;
    double *pairs; /* [nk + 1] sum over the rows of min(k, visible) */
    bool by_head;  /* heads go to threads, else the rows of one */
} layer_run;

static const atn_head *head_of(const layer_run *r, atn_idx h)
{
    return &r->layer.step[r->layer.at].head[h];
}

/* Pairs that keeping k keys a row comes to. */
static atn_status count_pairs(atn_ctx *cx, layer_run *r)
{
    const atn_head *h = head_of(r, 0);
    atn_status st = ATN_OK;

    ATN_NEW(r->pairs, h->nk + 2);
    for (atn_idx i = 0; i < h->nq; i++) {
        atn_idx lo, hi;

        atn_sight_row(&h->sight, i, &lo, &hi);
        r->pairs[hi - lo] += 1; /* rows that see so many, until the sums below */
    }
    for (atn_idx k = h->nk; k > 0; k--) r->pairs[k] += r->pairs[k + 1];
    r->pairs[0] = 0;
    for (atn_idx k = 1; k <= h->nk; k++) r->pairs[k] += r->pairs[k - 1];
done:
    return st;
}

static double target_of(const layer_run *r, const atn_approx_budget *b)
{
    const atn_idx nk = head_of(r, 0)->nk;

    if (!b->text[0]) return NAN;
    if (isnan(b->share)) return r->pairs[ATN_MIN(b->keys, nk)];
    return b->share * r->pairs[nk];
}

/* The head is left out, for the reason in the error record. */
static void give_up(atn_ctx *cx, layer_run *r, atn_idx h)
{
    if (cx->err.code != ATN_OK) atn_err_forgive(cx);
    r->layer.bad[h] = true;
    if (r->keep[h]) r->a->head[r->row[h]].failed = true;
}

/* Runs task for the heads that are selected and sound, one after another or on threads
 * of their own; the results are the same. */
static atn_status each_head(atn_ctx *cx, layer_run *r, atn_task *task)
{
    atn_status st = ATN_OK;

    if (r->by_head) return atn_parallel(cx, r->heads, task, r, "approx");
    for (atn_idx h = 0; h < r->heads; h++) ATN_TRY(task(cx, h, r));
done:
    return st;
}

static atn_status head_dense(atn_ctx *cx, atn_idx h, void *state)
{
    layer_run *r = state;
    const atn_approx_opts *o = r->a->opts;
    const atn_idx dv = r->layer.step[r->layer.at].problem.dv;
    const float *w_o = r->layer.w_o;
    const atn_dense_opts opts = {.sample = r->sampled ? &r->sample : NULL,
                                 .w_o = w_o ? w_o + h * dv * r->layer.width : NULL,
                                 .width = r->layer.width,
                                 .top_k = o->top_k > 0 ? o->top_k : ATN_APPROX_TOP_K};

    if (!r->keep[h] || r->layer.bad[h]) return ATN_OK;
    return atn_dense_make(cx, head_of(r, h), &opts, &r->dense[h]);
}

/* The heads one by one, without those whose logits are no numbers. */
static atn_status sound_dense(atn_ctx *cx, layer_run *r)
{
    atn_status st = ATN_OK;

    for (atn_idx h = 0; h < r->heads; h++) {
        atn_dense_release(cx, &r->dense[h]);
        st = head_dense(cx, h, r);
        if (st == ATN_DATA)
            give_up(cx, r, h);
        else
            ATN_TRY(st);
        st = ATN_OK;
    }
done:
    return st;
}

static atn_status make_dense(atn_ctx *cx, layer_run *r)
{
    atn_status st;

    for (atn_idx h = 0; h < r->heads; h++)
        if (r->keep[h] && r->layer.bad[h]) give_up(cx, r, h);
    st = each_head(cx, r, head_dense);
    if (st != ATN_DATA) return st;
    atn_err_clear(cx);
    return sound_dense(cx, r);
}

/* ---- one case ---- */

/* What the method lacks or forbids: an error where it was asked for by its name, else
 * said once. */
static atn_status left_out(atn_ctx *cx, atn_approx_method *m, atn_status why)
{
    if (m->named || (why != ATN_DATA && why != ATN_USAGE)) return why;
    if (!m->left_out)
        atn_log(cx, ATN_LOG_WARN, "%s is left out: %s", atn_choice_id(&m->choice),
                cx->err.text);
    m->left_out = true;
    atn_err_clear(cx);
    return ATN_OK;
}

/* What choosing looks at ahead, with the parameter as it was fitted. */
static atn_status looks_of(atn_ctx *cx, const atn_choice *choice, const atn_input *in,
                           double fitted, int *out)
{
    const atn_arena_mark mark = atn_arena_save(cx);
    atn_status st = ATN_OK;
    atn_choice c = *choice;
    char *values = NULL;
    bool falls;

    *out = -1;
    if (!in->head[0].sight.causal) return ATN_OK;
    ATN_TAKE(values, ATN_MAX(c.params_size, 1));
    if (c.params_size > 0) memcpy(values, choice->values, c.params_size);
    if (!isnan(fitted))
        atn_approx_put(atn_choice_budget(choice, &falls), values, fitted);
    c.values = values;
    *out = (int)atn_choice_looks(&c, in);
done:
    atn_arena_rewind(cx, mark);
    return st;
}

/* Within its budget, all heads of the unit together. */
static bool keeps_to(const layer_run *r, const atn_approx_case *c, const atn_fitted *f)
{
    double executed = 0;

    for (atn_idx h = 0; h < f->n; h++) executed += f->cost[h].executed;
    return !c->budget->text[0] || executed <= target_of(r, c->budget) * (double)f->n;
}

/* The units of a case, and where their searches begin. */
typedef struct unit_run {
    layer_run *r;
    atn_approx_case *c;
    const atn_input *in;
    atn_idx *first;         /* [n] */
    double *fitted;         /* [n] */
    atn_idx n, heads, done; /* units; heads of each; units before these tasks */
    double start;
    bool dumps; /* the layer of the case is begun */
} unit_run;

/* A head of the unit into the dump. */
static atn_status dump_cell(atn_ctx *cx, unit_run *u, atn_idx h, const atn_plan *p,
                            const atn_approx_cell *cell, atn_mat o)
{
    const layer_run *r = u->r;
    const atn_approx_step *step = &r->layer.step[r->layer.at];
    atn_approx_dump *d = r->a->dump;
    atn_dump_layer l = {.info = r->a->head[r->first].info,
                        .first_row = step->first_row,
                        .first_key = step->first_key};
    atn_status st = ATN_OK;

    if (!d) return ATN_OK;
    for (atn_idx k = 0; k < r->heads; k++) l.heads += r->keep[k];
    if (!u->dumps) ATN_TRY(atn_dump_begin(cx, d, (int)(u->c - r->a->cases), &l));
    u->dumps = true;
    ATN_TRY(atn_dump_head(cx, d, r->row[h] - r->first, head_of(r, h), p, cell,
                          atn_const(o)));
done:
    return st;
}

static atn_status one_cell(atn_ctx *cx, unit_run *u, atn_idx h, const atn_fitted *f,
                           atn_idx place)
{
    layer_run *r = u->r;
    const atn_approx_case *c = u->c;
    const atn_head *head = head_of(r, h);
    atn_approx_cell *cell = atn_approx_at(r->a, r->row[h], (int)(c - r->a->cases));
    const double start = atn_seconds();
    atn_mat o = {NULL, head->nq, head->v.cols, head->v.cols};
    atn_status st = ATN_OK;

    if (head->v.data) ATN_NEW(o.data, head->nq * head->v.cols);
    for (int k = 0; k < ATN_APPROX_VALUES; k++) cell->value[k] = NAN;
    atn_approx_costs(head, &f->plan[place], &f->cost[place], cell->value);
    ATN_TRY(
        atn_approx_compare(cx, head, &r->dense[h], &f->plan[place], o, cell->value));
    if (r->a->opts->timings) {
        cell->value[ATN_APPROX_PLAN_SECONDS] = f->seconds / (double)f->n;
        cell->value[ATN_APPROX_APPLY_SECONDS] = atn_seconds() - start;
    }
    ATN_TRY(looks_of(cx, &c->method->choice, &r->layer.in[r->layer.at], f->value,
                     &cell->looks));
    cell->fit = f->fit;
    cell->fitted = f->value;
    cell->tile_rows = f->plan[place].tile_rows;
    cell->tile_keys = f->plan[place].tile_keys;
    cell->keeps = keeps_to(r, c, f);
    cell->done = true;
    ATN_TRY(dump_cell(cx, u, h, &f->plan[place], cell, o));
done:
    atn_free(cx, o.data);
    return st;
}

/* Is some head of the unit selected, and are all sound? */
static bool unit_runs(atn_ctx *cx, layer_run *r, atn_approx_case *c, atn_idx first,
                      atn_idx n)
{
    bool any = false;

    for (atn_idx h = first; h < first + n; h++) any |= r->keep[h] && !r->layer.bad[h];
    for (atn_idx h = first; any && h < first + n; h++) {
        if (!r->layer.bad[h]) continue;
        if (!c->said)
            atn_log(cx, ATN_LOG_WARN,
                    "%s takes heads %lld to %lld of layer %d together, so without head "
                    "%lld it is left out there",
                    atn_choice_id(&c->method->choice), (long long)first,
                    (long long)(first + n - 1), head_of(r, 0)->layer, (long long)h);
        c->said = true;
        return false;
    }
    return any;
}

static atn_status one_unit(atn_ctx *cx, atn_idx task, void *state)
{
    unit_run *u = state;
    const atn_idx at = u->done + task, first = u->first[at];
    const atn_fit_opts opts = {.choice = &u->c->method->choice,
                               .first = first,
                               .n = u->heads,
                               .target =
                                   target_of(u->r, u->c->budget) * (double)u->heads,
                               .start = u->start,
                               .draws = u->c->draws};
    atn_status st = ATN_OK;
    atn_fitted f = {0};

    ATN_TRY(atn_approx_fit(cx, u->in, &opts, &f));
    u->fitted[at] = f.value;
    for (atn_idx h = first; h < first + u->heads; h++)
        if (u->r->keep[h] && !u->r->layer.bad[h])
            ATN_TRY(one_cell(cx, u, h, &f, h - first));
done:
    atn_fitted_release(cx, &f);
    return st;
}

/* The first search shows the others where to begin, which then may go to threads of
 * their own: random objects are drawn on one thread. */
static atn_status run_units(atn_ctx *cx, unit_run *u)
{
    atn_status st = ATN_OK;

    if (u->n == 0) return ATN_OK;
    if (isnan(u->start) && u->c->budget->text[0]) {
        ATN_TRY(one_unit(cx, 0, u));
        u->start = u->fitted[0];
        u->done = 1;
    }
    if (u->r->by_head && !u->c->draws)
        ATN_TRY(atn_parallel(cx, u->n - u->done, one_unit, u, "approx"));
    else
        for (atn_idx k = 0; k < u->n - u->done; k++) ATN_TRY(one_unit(cx, k, u));
    u->c->start = u->fitted[u->n - 1];
done:
    return st;
}

static atn_status one_case(atn_ctx *cx, layer_run *r, atn_approx_case *c)
{
    const atn_arena_mark mark = atn_arena_save(cx);
    const atn_input *in = atn_approx_layer_input(&r->layer, c->tries);
    unit_run u = {.r = r, .c = c, .in = in, .start = c->start};
    atn_status st = ATN_OK;

    u.heads = atn_choice_heads(&c->method->choice, in);
    ATN_TAKE(u.first, r->heads);
    ATN_TAKE(u.fitted, r->heads);
    for (atn_idx first = 0; first + u.heads <= r->heads; first += u.heads)
        if (unit_runs(cx, r, c, first, u.heads)) u.first[u.n++] = first;
    st = run_units(cx, &u);
    if (u.dumps && (st == ATN_OK || (!c->method->named && st != ATN_IO))) {
        const atn_status end = atn_dump_end(cx, r->a->dump);

        if (end != ATN_OK) st = end;
    }
done:
    atn_arena_rewind(cx, mark);
    return st == ATN_OK ? st : left_out(cx, c->method, st);
}

/* Whatever can be known before the work begins. */
static atn_status check_methods(atn_ctx *cx, layer_run *r, bool *runs)
{
    const atn_input *in = atn_approx_layer_input(&r->layer, NULL);
    atn_approx_list *l = &r->a->list;
    atn_status st = ATN_OK;

    for (int m = 0; m < l->n; m++) {
        st = atn_choice_check(cx, &l->method[m].choice, in);
        runs[m] = st == ATN_OK;
        if (st != ATN_OK) ATN_TRY(left_out(cx, &l->method[m], st));
        st = ATN_OK;
    }
done:
    return st;
}

/* ---- the best possible ---- */

static int by_size(const void *a_, const void *b_)
{
    const atn_idx a = *(const atn_idx *)a_, b = *(const atn_idx *)b_;

    return (a > b) - (a < b);
}

/* The largest k whose pairs are not more than those executed. */
static atn_idx keys_at(const layer_run *r, double executed)
{
    atn_idx lo = 0, hi = head_of(r, 0)->nk;

    while (lo < hi) {
        const atn_idx mid = (lo + hi + 1) / 2;

        if (r->pairs[mid] <= executed)
            lo = mid;
        else
            hi = mid - 1;
    }
    return lo;
}

static double executed_of(const layer_run *r, const atn_approx_cell *c)
{
    return rint(c->value[ATN_APPROX_EXECUTED] * r->pairs[head_of(r, 0)->nk]);
}

static atn_status head_oracle(atn_ctx *cx, atn_idx h, void *state)
{
    layer_run *r = state;
    const atn_arena_mark mark = atn_arena_save(cx);
    const int cases = r->a->n_cases;
    double *error = NULL, *mass = NULL;
    atn_status st = ATN_OK;
    atn_idx *k = NULL;
    int n = 0, kinds = 0;

    if (!r->keep[h] || r->layer.bad[h]) return ATN_OK;
    ATN_TAKE(k, cases);
    ATN_TAKE(error, cases);
    ATN_TAKE(mass, cases);
    for (int c = 0; c < cases; c++) {
        const atn_approx_cell *cell = atn_approx_at(r->a, r->row[h], c);

        if (cell->done) k[n++] = keys_at(r, executed_of(r, cell));
    }
    if (n == 0) goto done;
    qsort(k, (size_t)n, sizeof *k, by_size);
    for (int i = 0; i < n; i++)
        if (i == 0 || k[i] != k[kinds - 1]) k[kinds++] = k[i];
    ATN_TRY(atn_approx_oracle(cx, &r->dense[h], k, kinds, error, mass));
    for (int c = 0; c < cases; c++) {
        atn_approx_cell *cell = atn_approx_at(r->a, r->row[h], c);
        const atn_idx mine = cell->done ? keys_at(r, executed_of(r, cell)) : -1;

        for (int i = 0; i < kinds; i++) {
            if (k[i] != mine) continue;
            cell->value[ATN_APPROX_ORACLE_ERROR] = error[i];
            cell->value[ATN_APPROX_ORACLE_MASS] = mass[i];
        }
    }
done:
    atn_arena_rewind(cx, mark);
    return st;
}

/* ---- a layer ---- */

bool atn_approx_by_head(const atn_approx *a, const atn_head *h, atn_idx heads)
{
    const atn_idx rows = a->opts->sample;

    return !(rows > 0 && rows < h->nq) && !a->opts->dump && heads > 1 &&
           (double)h->nq * (double)h->nk <= PAIRS_BY_HEAD;
}

static atn_status start_layer(atn_ctx *cx, layer_run *r)
{
    const atn_head *h = head_of(r, 0);
    const atn_idx sample = r->a->opts->sample;
    atn_status st = ATN_OK;
    atn_idx row = r->first;

    ATN_NEW(r->dense, r->heads);
    ATN_NEW(r->row, r->heads);
    for (atn_idx i = 0; i < r->heads; i++)
        if (r->keep[i]) r->row[i] = row++;
    ATN_TRY(count_pairs(cx, r));
    if (sample > 0 && sample < h->nq) {
        ATN_TRY(atn_row_sample_draw(cx, h->nq, 0, sample, &r->sample));
        r->sampled = true;
    }
    r->by_head = !r->sampled && atn_approx_by_head(r->a, h, r->heads);
done:
    return st;
}

static atn_status run_cases(atn_ctx *cx, layer_run *r)
{
    const atn_arena_mark mark = atn_arena_save(cx);
    void (*const progress)(void *, const char *, double, double) = cx->progress;
    atn_approx *a = r->a;
    atn_status st = ATN_OK;
    bool *runs = NULL;

    ATN_TAKE(runs, a->list.n);
    ATN_TRY(check_methods(cx, r, runs));
    ATN_TRY(make_dense(cx, r));
    for (int c = 0; c < a->n_cases; c++) {
        cx->progress = progress;
        ATN_TRY(atn_progress(cx, "approx", (double)r->first * a->n_cases + c,
                             (double)a->n * a->n_cases));
        cx->progress = NULL; /* what is within a case is no news */
        if (runs[a->cases[c].method - a->list.method])
            ATN_TRY(one_case(cx, r, &a->cases[c]));
    }
    ATN_TRY(each_head(cx, r, head_oracle));
done:
    cx->progress = progress;
    atn_arena_rewind(cx, mark);
    return st;
}

static void release_layer(atn_ctx *cx, layer_run *r)
{
    for (atn_idx h = 0; r->dense && h < r->heads; h++)
        atn_dense_release(cx, &r->dense[h]);
    atn_free(cx, r->dense);
    atn_free(cx, r->row);
    atn_free(cx, r->pairs);
    atn_approx_layer_release(cx, &r->layer);
}

static atn_approx_source source_of(const atn_approx *a, uint64_t seed)
{
    atn_approx_source s = {.capture = a->capture,
                           .grid = a->opts->grid,
                           .prompt = a->opts->prompt,
                           .seed = seed,
                           .as_published = a->opts->as_published};

    for (int m = 0; m < a->list.n; m++)
        s.reads |= atn_choice_describe(&a->list.method[m].choice).reads;
    return s;
}

static atn_status run_layer(atn_ctx *cx, atn_approx *a, int i, atn_idx first)
{
    const atn_arena_mark mark = atn_arena_save(cx);
    const atn_approx_source source = source_of(a, cx->seed);
    const atn_selection *sel = a->selection;
    layer_run r = {.a = a,
                   .keep = sel->heads + i * sel->max_heads,
                   .heads = atn_capture_layer(a->capture, sel->at[i])->heads,
                   .first = first};
    atn_approx_cost need = {0};
    atn_status st = ATN_OK;

    ATN_TRY(atn_approx_need(cx, a, &source, i, &need));
    ATN_TRY(atn_mem_check(cx, need.bytes, "comparing the methods of a layer"));
    ATN_TRY(atn_approx_layer_load(cx, &source, sel->at[i], &r.layer));
    ATN_TRY(start_layer(cx, &r));
    if (head_of(&r, 0)->nq > 0 && head_of(&r, 0)->nk > 0)
        ATN_TRY(run_cases(cx, &r));
    else
        atn_log(cx, ATN_LOG_WARN, "layer %d is all padding and is left out",
                head_of(&r, 0)->layer);
done:
    release_layer(cx, &r);
    atn_arena_rewind(cx, mark);
    return st;
}

/* ---- a run ---- */

static atn_status make_cases(atn_ctx *cx, atn_approx *a)
{
    atn_approx_list *l = &a->list;
    atn_status st = ATN_OK;

    ATN_NEW(a->cases, (atn_idx)l->n * l->budgets);
    for (int m = 0; m < l->n; m++)
        for (int b = 0; b < l->budgets; b++)
            a->cases[a->n_cases++] = (atn_approx_case){
                .method = &l->method[m], .budget = &l->budget[b], .start = NAN};
done:
    return st;
}

static atn_status create(atn_ctx *cx, const atn_capture *c, const atn_selection *sel,
                         const atn_approx_opts *opts, atn_approx **out)
{
    atn_status st = ATN_OK;
    atn_approx *a = NULL;
    atn_idx n = 0, cells = 0;

    if (opts->sample != 0 && opts->sample < ATN_SAMPLE_LEAST)
        ATN_FAIL(ATN_USAGE,
                 "approx: a sample of %lld rows is too small (give %d or more)",
                 (long long)opts->sample, ATN_SAMPLE_LEAST);
    ATN_NEW(a, 1);
    *out = a;
    a->capture = c;
    a->selection = sel;
    a->opts = opts;
    a->n = sel->n_heads;
    ATN_TRY(atn_approx_list_read(cx, opts->methods, opts->budgets, &a->list));
    ATN_TRY(make_cases(cx, a));
    ATN_NEW(a->head, a->n);
    for (int i = 0; i < sel->n; i++)
        for (atn_idx h = 0; h < sel->max_heads; h++)
            if (sel->heads[i * sel->max_heads + h])
                a->head[n++] = (atn_approx_head){
                    .info = atn_capture_layer(c, sel->at[i]), .head = h};
    ATN_ASSERT(n == a->n);
    if (!atn_mul(a->n, a->n_cases, &cells))
        ATN_FAIL(ATN_MEMORY, "approx: %lld heads and %d methods are too many",
                 (long long)a->n, a->n_cases);
    ATN_NEW(a->cell, cells);
done:
    return st;
}

/* Whether two layers are in one folder of a capture. */
static bool same_folder(const atn_layer_info *x, const atn_layer_info *y)
{
    return x->step == y->step && strcmp(x->stack, y->stack) == 0;
}

static atn_status dump_draws(atn_ctx *cx, atn_approx *a, const atn_layer_info *l)
{
    atn_status st = ATN_OK;

    for (int c = 0; a->dump && c < a->n_cases; c++)
        ATN_TRY(atn_dump_draws(cx, a->dump, c, l));
done:
    return st;
}

static atn_status run_layers(atn_ctx *cx, atn_approx *a)
{
    const atn_selection *sel = a->selection;
    const atn_layer_info *last = NULL;
    atn_status st = ATN_OK;
    atn_idx first = 0;

    for (int i = 0; i < sel->n; i++) {
        const atn_layer_info *l = atn_capture_layer(a->capture, sel->at[i]);

        if (last && !same_folder(last, l)) ATN_TRY(dump_draws(cx, a, last));
        ATN_TRY(run_layer(cx, a, i, first));
        first += atn_selection_heads(sel, i);
        last = l;
    }
    if (last) ATN_TRY(dump_draws(cx, a, last));
done:
    return st;
}

/* Draws of the methods that make some, where they are kept or come from a file; a folder
 * of the dump for every case. */
static atn_status open_draws(atn_ctx *cx, atn_approx *a)
{
    const atn_approx_opts *o = a->opts;
    atn_status st = ATN_OK;

    for (int c = 0; c < a->n_cases; c++) {
        atn_approx_case *k = &a->cases[c];
        const char *id = atn_choice_id(&k->method->choice);
        int before = 0;

        for (int b = 0; b < c; b++)
            before += strcmp(atn_choice_id(&a->cases[b].method->choice), id) == 0;
        k->folder =
            before ? atn_strfmt(cx, "%s-%d", id, before + 1) : atn_strdup(cx, id);
        if (!k->folder) ATN_TRY(cx->err.code);
        if (!o->dump && !o->draws) continue;
        if (!(atn_choice_describe(&k->method->choice).reads & ATN_READS_DRAWS))
            continue;
        ATN_TRY(atn_draws_open(cx, o->draws, &k->draws));
        ATN_TRY(atn_draws_open(cx, o->draws, &k->tries));
    }
done:
    return st;
}

atn_status atn_approx_run(atn_ctx *cx, const atn_capture *c, const atn_selection *sel,
                          const atn_approx_opts *opts, atn_approx **out)
{
    atn_status st = ATN_OK;
    atn_approx *a = NULL;

    *out = NULL;
    ATN_TRY(create(cx, c, sel, opts, &a));
    ATN_TRY(open_draws(cx, a));
    if (opts->dump) ATN_TRY(atn_dump_open(cx, a, opts->dump, opts->force, &a->dump));
    ATN_TRY(run_layers(cx, a));
    if (a->dump) {
        st = atn_dump_close(cx, a->dump, opts->run);
        a->dump = NULL;
        ATN_TRY(st);
    }
    *out = a;
    a = NULL;
done:
    atn_approx_destroy(cx, a);
    return st;
}

void atn_approx_destroy(atn_ctx *cx, atn_approx *a)
{
    if (!a) return;
    atn_dump_abandon(cx, a->dump);
    for (int c = 0; c < a->n_cases; c++) {
        atn_draws_close(cx, a->cases[c].draws);
        atn_draws_close(cx, a->cases[c].tries);
        atn_free(cx, a->cases[c].folder);
    }
    atn_approx_list_release(cx, &a->list);
    atn_free(cx, a->cases);
    atn_free(cx, a->head);
    atn_free(cx, a->cell);
    atn_free(cx, a);
}

atn_idx atn_approx_failed(const atn_approx *a)
{
    atn_idx n = 0;

    for (atn_idx h = 0; h < a->n; h++) n += a->head[h].failed;
    return n;
}

atn_status atn_approx_estimate(atn_ctx *cx, const atn_capture *c,
                               const atn_selection *sel, const atn_approx_opts *opts,
                               atn_approx_cost *out)
{
    atn_approx_source source;
    atn_status st = ATN_OK;
    atn_approx *a = NULL;

    *out = (atn_approx_cost){0};
    ATN_TRY(create(cx, c, sel, opts, &a));
    source = source_of(a, cx->seed);
    for (int i = 0; i < sel->n; i++) ATN_TRY(atn_approx_need(cx, a, &source, i, out));
done:
    atn_approx_destroy(cx, a);
    return st;
}
