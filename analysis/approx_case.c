/* analysis/approx_case.c -- a method at a budget on the heads of a layer. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "analysis/approx_dump.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "analysis/approx_given.h"
#include "analysis/keys.h"
#include "core/rows.h"

static double target_of(const atn_approx_running *r, const atn_approx_budget *b)
{
    const atn_idx nk = atn_running_head(r, 0)->nk;

    if (!b->text[0]) return NAN;
    if (isnan(b->share)) return r->pairs[ATN_MIN(b->keys, nk)];
    return b->share * r->pairs[nk];
}

/* The numbers a row of a budget that is of them. */
static double numbers_of(const atn_approx_budget *b)
{
    return isnan(b->share) ? (double)b->keys : 0;
}

/* st: a message about the layer under way says of which stack it is. */
static atn_status named(atn_ctx *cx, const atn_approx_running *r, atn_status st)
{
    return atn_layer_named(cx, r->a->head[r->first].info, st);
}

/* What the method lacks or forbids: an error where it was asked for by its name, else
 * said once. */
static atn_status left_out(atn_ctx *cx, atn_approx_method *m, atn_status why)
{
    if (m->named || (why != ATN_DATA && why != ATN_USAGE)) return why;
    return atn_running_leave(cx, m);
}

atn_status atn_running_leave(atn_ctx *cx, atn_approx_method *m)
{
    if (!m->left_out)
        atn_log(cx, ATN_LOG_WARN, "%s is left out: %s", atn_choice_id(&m->choice),
                cx->err.text);
    if (!m->left_out) snprintf(m->why, sizeof m->why, "%.239s", cx->err.text);
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

/* Within its budget, this head by itself: those that are fitted together share it out
 * among them, and one that has more than its part is no rival of heads that may not. */
static bool keeps_to(const atn_approx_running *r, const atn_approx_case *c,
                     const atn_plan *p, const atn_cost *cost)
{
    const double target = target_of(r, c->budget);
    const atn_spending by = {p->numbers, cost->executed};

    return isnan(target) || atn_fit_spent(numbers_of(c->budget), target, &by) <= target;
}

/* Weights of a low rank choose no keys, however their plan is made. */
static void clear_low_rank(const atn_choice *c, const atn_head *h, double *value)
{
    if (atn_choice_rank(c, h) < 0) return;
    value[ATN_APPROX_MASS] = value[ATN_APPROX_MASS_Q01] = NAN;
    value[ATN_APPROX_MASS_Q05] = value[ATN_APPROX_RECALL] = NAN;
}

/* The units of a case, and where their searches begin. */
typedef struct unit_run {
    atn_approx_running *r;
    atn_approx_case *c;
    const atn_input *in;
    atn_idx *first;         /* [n] */
    double *fitted;         /* [n] */
    atn_idx n, heads, done; /* units; heads of each; units before these tasks */
    double start;
    atn_given given;
    bool dumps; /* the layer of the case is begun */
} unit_run;

/* A head of the unit into the dump. */
static atn_status dump_cell(atn_ctx *cx, unit_run *u, atn_idx h, const atn_plan *p,
                            const atn_approx_cell *cell, atn_mat o)
{
    const atn_approx_running *r = u->r;
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
    ATN_TRY(atn_dump_head(cx, d, r->row[h] - r->first, atn_running_head(r, h), p, cell,
                          atn_const(o)));
done:
    return st;
}

static atn_status one_cell(atn_ctx *cx, unit_run *u, atn_idx h, const atn_fitted *f,
                           atn_idx place)
{
    atn_approx_running *r = u->r;
    const atn_approx_case *c = u->c;
    const atn_head *head = atn_running_head(r, h);
    atn_approx_cell *cell = atn_approx_at(r->a, r->row[h], (int)(c - r->a->cases));
    const double start = atn_seconds();
    atn_mat o = {NULL, head->nq, head->v.cols, head->v.cols};
    atn_status st = ATN_OK;

    if (head->v.data) ATN_NEW(o.data, head->nq * head->v.cols);
    for (int k = 0; k < ATN_APPROX_VALUES; k++) cell->value[k] = NAN;
    atn_approx_costs(head, &f->plan[place], &f->cost[place], cell->value);
    ATN_TRY(
        atn_approx_compare(cx, head, &r->dense[h], &f->plan[place], o, cell->value));
    clear_low_rank(&c->method->choice, head, cell->value);
    ATN_TRY(atn_running_oracle(cx, r, h, (int)(c - r->a->cases), &f->plan[place],
                               f->cost[place].executed));
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
    cell->stores = f->plan[place].numbers > 0;
    cell->keeps = keeps_to(r, c, &f->plan[place], &f->cost[place]);
    if (r->a->opts->tiles)
        ATN_TRY(atn_approx_keep_ctas(cx, r->a, head, &f->plan[place], cell));
    cell->done = true;
    ATN_TRY(dump_cell(cx, u, h, &f->plan[place], cell, o));
done:
    atn_free(cx, o.data);
    return st;
}

/* Is some head of the unit selected, and are all sound? Heads of other parts count:
 * where the searches begin hangs on the first unit. */
static bool unit_runs(atn_ctx *cx, atn_approx_running *r, atn_approx_case *c,
                      atn_idx first, atn_idx n)
{
    bool any = false;

    for (atn_idx h = first; h < first + n; h++)
        any |= r->selected[h] && !r->layer.bad[h];
    for (atn_idx h = first; any && h < first + n; h++) {
        if (!r->layer.bad[h]) continue;
        if (!c->said)
            atn_log(cx, ATN_LOG_WARN,
                    "%s takes heads %lld to %lld of layer %d together, so without head "
                    "%lld it is left out there",
                    atn_choice_id(&c->method->choice), (long long)first,
                    (long long)(first + n - 1), atn_running_head(r, 0)->layer,
                    (long long)h);
        c->said = true;
        return false;
    }
    return any;
}

static atn_status one_unit(atn_ctx *cx, atn_idx task, void *state)
{
    unit_run *u = state;
    const atn_idx at = u->done + task, first = u->first[at];
    const double pairs = target_of(u->r, u->c->budget);
    atn_fit_given earlier;
    const atn_fit_opts opts = {
        .choice = &u->c->method->choice,
        .first = first,
        .n = u->heads,
        .target = pairs * (double)u->heads,
        .numbers = numbers_of(u->c->budget),
        .start = u->start,
        .given = atn_given_of(&u->given, first, pairs, &earlier) ? &earlier : NULL,
        .draws = u->c->draws};
    atn_status st = ATN_OK;
    atn_fitted f = {0};

    ATN_TRY(atn_approx_fit(cx, u->in, &opts, &f));
    atn_given_note(&u->given, &f, first, pairs);
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
    if (u->c->budget->text[0]) {
        ATN_TRY(one_unit(cx, 0, u));
        u->start = u->fitted[0];
        u->done = 1;
    }
    if (u->r->by_head && !u->c->draws)
        ATN_TRY(atn_parallel(cx, u->n - u->done, one_unit, u, "approx"));
    else
        for (atn_idx k = 0; k < u->n - u->done; k++) ATN_TRY(one_unit(cx, k, u));
done:
    return st;
}

/* Does some head of the unit fall to this part? */
static bool is_own(const atn_approx_running *r, atn_idx first, atn_idx n)
{
    for (atn_idx h = first; h < first + n; h++)
        if (r->keep[h]) return true;
    return false;
}

/* The units of this part, and before them the first of all where a search begins from
 * it. */
static void find_units(atn_ctx *cx, unit_run *u)
{
    const bool searches = u->c->budget->text[0] != '\0';
    bool any = false;

    for (atn_idx first = 0; first + u->heads <= u->r->heads; first += u->heads) {
        if (!unit_runs(cx, u->r, u->c, first, u->heads)) continue;
        if (is_own(u->r, first, u->heads) || (searches && !any))
            u->first[u->n++] = first;
        any = true;
    }
    if (u->n == 1 && !is_own(u->r, u->first[0], u->heads)) u->n = 0;
}

/* Heads of a layer that a method was done with before it failed on another: how many
 * depends on threads, so none stay. */
static atn_status take_back(atn_ctx *cx, unit_run *u)
{
    const atn_approx_running *r = u->r;
    atn_status st;

    for (atn_idx h = 0; h < r->heads; h++) {
        atn_approx_cell *cell;

        if (!r->keep[h]) continue;
        cell = atn_approx_at(r->a, r->row[h], (int)(u->c - r->a->cases));
        atn_approx_drop_ctas(cx, r->a, cell);
        *cell = (atn_approx_cell){0};
    }
    st = atn_approx_note_taken_back(cx, r->a, (int)(u->c - r->a->cases), r->first);
    if (st != ATN_OK) return st;
    return u->dumps ? atn_dump_drop(cx, r->a->dump) : ATN_OK;
}

atn_status atn_running_case(atn_ctx *cx, atn_approx_running *r, atn_approx_case *c)
{
    const atn_arena_mark mark = atn_arena_save(cx);
    const atn_input *in = atn_approx_layer_input(&r->layer, c->tries);
    unit_run u = {.r = r,
                  .c = c,
                  .in = in,
                  .start = NAN,
                  .given = {.choice = &c->method->choice,
                            .layer = atn_running_head(r, 0)->layer,
                            .heads = r->heads}};
    atn_status st = ATN_OK;

    u.heads = atn_choice_heads(&c->method->choice, in);
    ATN_TAKE(u.first, r->heads);
    ATN_TAKE(u.fitted, r->heads);
    find_units(cx, &u);
    ATN_TRY(atn_given_read(cx, c->draws, &u.given));
    st = run_units(cx, &u);
    if (st == ATN_OK) st = atn_given_keep(cx, c->draws, &u.given);
    if (st == ATN_OK && u.dumps) st = atn_dump_end(cx, r->a->dump);
done:
    atn_arena_rewind(cx, mark);
    if (st == ATN_OK) return st;
    st = left_out(cx, c->method, named(cx, r, st));
    return st == ATN_OK ? take_back(cx, &u) : st;
}

/* Is the method for the other mask alone? */
static bool wrong_side(const atn_choice *c, const atn_input *in)
{
    const unsigned side = in->head[0].sight.causal ? ATN_CAUSAL : ATN_BIDIRECTIONAL;

    return !(atn_choice_describe(c).sides & side);
}

/* Does it go by places that the queries do not have? Other layers may have them. */
static bool misplaced(const atn_choice *c, const atn_input *in)
{
    return in->head[0].sight.cross && atn_choice_places(c);
}

/* Whatever can be known before the work begins. A method by the places of queries is
 * left out where they have none, and beside others that run one for another mask, though
 * it was named. */
atn_status atn_running_check(atn_ctx *cx, atn_approx_running *r, bool *runs)
{
    const atn_input *in = atn_approx_layer_input(&r->layer, NULL);
    atn_approx_list *l = &r->a->list;
    atn_status st = ATN_OK;
    bool any = false;

    for (int m = 0; m < l->n; m++) {
        runs[m] = atn_choice_check(cx, &l->method[m].choice, in) == ATN_OK;
        any |= runs[m];
        atn_err_clear(cx);
    }
    for (int m = 0; m < l->n; m++) {
        if (runs[m]) continue;
        st = named(cx, r, atn_choice_check(cx, &l->method[m].choice, in));
        if (misplaced(&l->method[m].choice, in) ||
            (any && wrong_side(&l->method[m].choice, in)))
            st = atn_running_leave(cx, &l->method[m]);
        else
            st = left_out(cx, &l->method[m], st);
        ATN_TRY(st);
    }
done:
    return st;
}
