/* analysis/approx_heads.c -- the heads of a layer: dense attention of each, then every
 * case, then the best that any mask could do at the same cost. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include <math.h>
#include <string.h>

#include "analysis/approx_internal.h"
#include "analysis/approx_oracle.h"
#include "analysis/keys.h"
#include "core/rows.h"

/* Up to which heads are small enough to keep one thread each. */
static const double PAIRS_BY_HEAD = 0x1p24;

/* Pairs that keeping k keys a row comes to. */
static atn_status count_pairs(atn_ctx *cx, atn_approx_running *r)
{
    const atn_head *h = atn_running_head(r, 0);
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

/* The head is left out, for the reason in the error record. */
static void give_up(atn_ctx *cx, atn_approx_running *r, atn_idx h)
{
    if (cx->err.code != ATN_OK) atn_err_forgive(cx);
    r->layer.bad[h] = true;
    if (r->keep[h]) r->a->head[r->row[h]].failed = true;
}

/* Runs task for the heads that are selected and sound, one after another or on threads
 * of their own; the results are the same. */
static atn_status each_head(atn_ctx *cx, atn_approx_running *r, atn_task *task)
{
    atn_status st = ATN_OK;

    if (r->by_head) return atn_parallel(cx, r->heads, task, r, "approx");
    for (atn_idx h = 0; h < r->heads; h++) ATN_TRY(task(cx, h, r));
done:
    return st;
}

static atn_status head_dense(atn_ctx *cx, atn_idx h, void *state)
{
    atn_approx_running *r = state;
    const atn_approx_opts *o = r->a->opts;
    const atn_idx dv = r->layer.step[r->layer.at].problem.dv;
    const float *w_o = r->layer.w_o;
    const atn_dense_opts opts = {.sample = r->sampled ? &r->sample : NULL,
                                 .w_o = w_o ? w_o + h * dv * r->layer.width : NULL,
                                 .width = r->layer.width,
                                 .top_k = o->top_k > 0 ? o->top_k : ATN_APPROX_TOP_K,
                                 .matrix = r->a->matrix};

    if (!r->keep[h] || r->layer.bad[h]) return ATN_OK;
    return atn_dense_make(cx, atn_running_head(r, h), &opts, &r->dense[h]);
}

/* The heads one by one, without those whose logits are no numbers. */
static atn_status sound_dense(atn_ctx *cx, atn_approx_running *r)
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

static atn_status make_dense(atn_ctx *cx, atn_approx_running *r)
{
    atn_status st;

    for (atn_idx h = 0; h < r->heads; h++)
        if (r->keep[h] && r->layer.bad[h]) give_up(cx, r, h);
    st = atn_approx_find_bad(cx, r);
    if (st != ATN_OK) return st;
    st = each_head(cx, r, head_dense);
    if (st != ATN_DATA) return st;
    atn_err_clear(cx);
    return sound_dense(cx, r);
}

/* ---- the best possible ---- */

static atn_idx compared(const atn_approx_running *r)
{
    return r->sampled ? r->sample.n : atn_running_head(r, 0)->nq;
}

/* Of case c, [rows]; the cases of a head at a temperature follow one another. */
static int32_t *best_of(const atn_approx_running *r, atn_idx h, int c)
{
    return r->best +
           ((r->row[h] - r->first) * r->a->each + c - r->first_case) * compared(r);
}

/* Room for all of them. */
static atn_status make_best(atn_ctx *cx, atn_approx_running *r, atn_idx selected)
{
    atn_status st = ATN_OK;
    atn_idx n = 0;

    if (!atn_mul(selected, r->a->each, &n) || !atn_mul(n, compared(r), &n))
        ATN_FAIL(ATN_MEMORY,
                 "approx: %lld heads of %lld rows and %d methods are too many",
                 (long long)selected, (long long)compared(r), r->a->each);
    ATN_NEW(r->best, n);
done:
    return st;
}

atn_status atn_running_oracle(atn_ctx *cx, atn_approx_running *r, atn_idx h, int c,
                              const atn_plan *p, double executed)
{
    const atn_arena_mark mark = atn_arena_save(cx);
    const atn_head *head = atn_running_head(r, h);
    const atn_dense *d = &r->dense[h];
    int32_t *best = best_of(r, h, c);
    atn_status st = ATN_OK;
    int64_t *keys = NULL;

    ATN_TAKE(keys, head->nq);
    memset(keys, 0, (size_t)head->nq * sizeof *keys);
    if (atn_plan_is_mask(p)) ATN_TRY(atn_plan_kept(cx, head, p, keys));
    atn_approx_oracle_keys(head, executed, keys);
    for (atn_idx i = 0; i < d->n; i++) best[i] = (int32_t)keys[atn_dense_row(d, i)];
done:
    atn_arena_rewind(cx, mark);
    return st;
}

static atn_status head_oracle(atn_ctx *cx, atn_idx h, void *state)
{
    atn_approx_running *r = state;
    const atn_arena_mark mark = atn_arena_save(cx);
    const int cases = r->a->each, first = r->first_case;
    double *error = NULL, *mass = NULL;
    atn_status st = ATN_OK;
    bool any = false;

    if (!r->keep[h] || r->layer.bad[h]) return ATN_OK;
    for (int c = 0; c < cases; c++)
        any |= atn_approx_at(r->a, r->row[h], first + c)->done;
    if (!any) return ATN_OK;
    ATN_TAKE(error, cases);
    ATN_TAKE(mass, cases);
    ATN_TRY(
        atn_approx_oracle(cx, &r->dense[h], best_of(r, h, first), cases, error, mass));
    for (int c = 0; c < cases; c++) {
        atn_approx_cell *cell = atn_approx_at(r->a, r->row[h], first + c);

        if (!cell->done) continue;
        cell->value[ATN_APPROX_ORACLE_ERROR] = error[c];
        cell->value[ATN_APPROX_ORACLE_MASS] = mass[c];
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

static atn_status start_layer(atn_ctx *cx, atn_approx_running *r)
{
    const atn_head *h = atn_running_head(r, 0);
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
    ATN_TRY(make_best(cx, r, row - r->first));
done:
    return st;
}

static void release_dense(atn_ctx *cx, atn_approx_running *r)
{
    for (atn_idx h = 0; r->dense && h < r->heads; h++)
        atn_dense_release(cx, &r->dense[h]);
}

/* The cases of a temperature, of those methods that run. */
static atn_status run_cases(atn_ctx *cx, atn_approx_running *r, const bool *runs)
{
    void (*const progress)(void *, const char *, double, double) = cx->progress;
    const atn_arena_mark mark = atn_arena_save(cx);
    atn_approx *a = r->a;
    atn_status st = ATN_OK;

    atn_approx_layer_warm(&r->layer, a->cases[r->first_case].temperature);
    ATN_TRY(make_dense(cx, r));
    for (int c = r->first_case; c < r->first_case + a->each; c++) {
        cx->progress = progress;
        ATN_TRY(atn_progress(cx, "approx", (double)a->heads_done * a->n_cases + c,
                             (double)a->n * a->n_cases));
        cx->progress = NULL; /* what is within a case is no news */
        if (runs[a->cases[c].method - a->list.method])
            ATN_TRY(atn_running_case(cx, r, &a->cases[c]));
    }
    ATN_TRY(each_head(cx, r, head_oracle));
done:
    release_dense(cx, r);
    cx->progress = progress;
    atn_arena_rewind(cx, mark);
    return st;
}

static atn_status run_temperatures(atn_ctx *cx, atn_approx_running *r)
{
    const atn_arena_mark mark = atn_arena_save(cx);
    const atn_approx *a = r->a;
    atn_status st = ATN_OK;
    bool *runs = NULL;

    ATN_TAKE(runs, a->list.n);
    ATN_TRY(atn_running_check(cx, r, runs));
    for (int t = 0; t < a->sweep.temperatures; t++) {
        r->first_case = t * a->each;
        ATN_TRY(run_cases(cx, r, runs));
    }
done:
    atn_arena_rewind(cx, mark);
    return st;
}

static void release_layer(atn_ctx *cx, atn_approx_running *r)
{
    release_dense(cx, r);
    atn_free(cx, r->dense);
    atn_free(cx, r->row);
    atn_free(cx, r->pairs);
    atn_free(cx, r->best);
}

atn_approx_source atn_approx_source_of(const atn_approx *a, uint64_t seed)
{
    atn_approx_source s = {.capture = a->capture,
                           .grid = a->opts->grid,
                           .prompt = a->opts->prompt,
                           .seed = seed,
                           .as_published = a->opts->as_published,
                           .unmasked = a->opts->unmasked,
                           .warms = a->sweep.warms};

    for (int m = 0; m < a->list.n; m++)
        s.reads |= atn_choice_describe(&a->list.method[m].choice).reads;
    return s;
}

atn_status atn_approx_run_layer(atn_ctx *cx, atn_approx *a, int i, atn_idx first)
{
    const atn_arena_mark mark = atn_arena_save(cx);
    const atn_approx_source source = atn_approx_source_of(a, cx->seed);
    const atn_selection *sel = a->selection;
    atn_approx_running r = {.a = a,
                            .selected = sel->heads + i * sel->max_heads,
                            .heads = atn_capture_layer(a->capture, sel->at[i])->heads,
                            .first = ATN_MAX(first, a->from)};
    atn_status st = atn_approx_layer_load(cx, &source, sel->at[i], &a->layer);

    r.layer = a->layer;
    ATN_TRY(st);
    ATN_TRY(atn_approx_keep(cx, a, i, first, &r.keep));
    ATN_TRY(start_layer(cx, &r));
    if (atn_running_head(&r, 0)->nq > 0 && atn_running_head(&r, 0)->nk > 0)
        ATN_TRY(run_temperatures(cx, &r));
    else
        atn_log(cx, ATN_LOG_WARN, "%s is all padding and is left out",
                atn_layer_name(atn_capture_layer(a->capture, sel->at[i])).text);
    a->heads_done += atn_selection_heads(sel, i);
done:
    st = atn_layer_named(cx, atn_capture_layer(a->capture, sel->at[i]), st);
    release_layer(cx, &r);
    atn_arena_rewind(cx, mark);
    return st;
}
