/* analysis/experiments/log_rank.c -- have the logarithms of the weights the rank that
 * queries and keys of length d can give them? A test of the capture itself: weights
 * that something was done to afterwards have more.
 *
 * Math    theory/log_rank.c, on a rectangle that is seen whole: all of an unmasked
 *         head; of a causal one the rows from n / 2 on and the keys that the first of
 *         them sees; of a window the last w / 2 rows.
 *         Stored weights, as they are: do rows sum to 1, and are they the softmax of the
 *         queries and keys beside them? Both are read before anything is divided.
 * Oracle  tests/analysis: one weight of a stored P doubled is found.
 * Cost    singular values of n / 2 x n / 2 a head, no vectors.
 * Limits  where the capture holds P beside q and k it is P that is looked at; with q
 *         and k alone the test says that they are of one piece and no more. P in 16
 *         bits is rounded by more than the test allows, and left out.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "analysis/experiments/experiment.h"
#include "analysis/experiments/facts.h"
#include "analysis/experiments/worst.h"
#include "approx/method.h"
#include "core/rows.h"
#include "core/svd.h"

extern const atn_experiment atn_experiment_log_rank;

enum { RANK, ROUNDING, ROWS, SOFTMAX, CHECKS };

typedef struct rectangle {
    atn_idx row, rows, key, keys;
} rectangle;

typedef struct layer_run {
    const atn_trial_model *t;
    const atn_layer_info *info;
    atn_problem problem;
    double unit;   /* of 16-bit products or storage; 0 = single precision */
    float *stored; /* [heads, nq, nk] of a capture that has q and k, too; NULL */
    atn_idx *head; /* [n] */
    atn_idx n;
    atn_check *check; /* [CHECKS][n]; without a bound there is none */
} layer_run;

/* Rows from `row` on, and the keys that all of them see. */
static rectangle rectangle_from(const atn_head *h, atn_idx row)
{
    rectangle r = {row, h->nq - row, 0, 0};
    atn_idx lo, hi, from = 0, to = h->nk;

    for (atn_idx i = row; i < h->nq; i++) {
        atn_sight_row(&h->sight, i, &lo, &hi);
        from = ATN_MAX(from, lo);
        to = ATN_MIN(to, hi);
    }
    r.key = from;
    r.keys = r.rows > 0 ? ATN_MAX(to - from, 0) : 0;
    return r;
}

static rectangle seen_whole(const atn_head *h)
{
    const atn_idx from[] = {0, h->nq / 2, h->nq - h->sight.window / 2};
    rectangle best = {0};

    for (int k = 0; k < 3; k++) {
        const rectangle r = rectangle_from(h, ATN_MAX(from[k], 0));

        if (ATN_MIN(r.rows, r.keys) > ATN_MIN(best.rows, best.keys)) best = r;
    }
    return best;
}

/* The singular values first and rank + 1 of ln P, NAN where a weight is 0, and the
 * largest |ln P|. */
static atn_status values_of(atn_ctx *cx, const atn_head_facts *f, const rectangle *r,
                            atn_idx rank, double out[2], double *most)
{
    const atn_arena_mark mark = atn_arena_save(cx);
    atn_status st = ATN_OK;
    double *a = NULL, *sigma = NULL;

    out[0] = out[1] = NAN;
    *most = 0;
    ATN_TRY(atn_mem_check(cx, 8 * (double)r->rows * (double)r->keys, "logarithms"));
    ATN_TAKE(a, r->rows * r->keys);
    ATN_TAKE(sigma, ATN_MIN(r->rows, r->keys));
    for (atn_idx i = 0; i < r->rows; i++)
        for (atn_idx j = 0; j < r->keys; j++) {
            const atn_idx row = r->row + i;
            const double x = f->s[row * f->nk + r->key + j] - f->lse[row];

            if (!isfinite(x)) goto done;
            a[i * r->keys + j] = x;
            *most = fmax(*most, fabs(x));
        }
    ATN_TRY(atn_svd(cx, a, r->rows, r->keys, sigma, NULL, NULL));
    out[0] = sigma[0];
    out[1] = sigma[rank];
done:
    atn_arena_rewind(cx, mark);
    return st;
}

/* Has stored P the digits of a 16-bit format only? */
static bool is_short(const atn_head_facts *f, const rectangle *r)
{
    for (atn_idx i = r->row; i < r->row + r->rows && f->head.p.data; i++)
        for (atn_idx j = r->key; j < r->key + r->keys; j++) {
            uint32_t bits;

            memcpy(&bits, atn_crow(f->head.p, i) + j, sizeof bits);
            if (bits & 0x1fff) return false;
        }
    return f->head.p.data != NULL;
}

static atn_status check_facts(atn_ctx *cx, const layer_run *l, const atn_head_facts *f,
                              double softcap, atn_check *c, atn_check *noise)
{
    const rectangle r = seen_whole(&f->head);
    const atn_idx rank = l->info->d + (f->head.alibi_slope != 0 ? 2 : 1);
    const atn_idx side = ATN_MIN(r.rows, r.keys);
    const atn_quantities q = {.x = {(double)rank, (double)side, softcap}};
    double value[2], most;
    atn_status st = ATN_OK;

    c->predicted = l->info->d > 0 ? atn_bound_predict(c->bound, &q) : NAN;
    c->measured = NAN;
    c->cases = r.rows;
    if (l->info->d <= 0)
        snprintf(c->note, sizeof c->note,
                 "the capture does not say how long keys are "
                 "(import --d)");
    else if (softcap > 0)
        snprintf(c->note, sizeof c->note, "the logits are soft-capped at %g", softcap);
    else if (f->head.rel_bias)
        snprintf(c->note, sizeof c->note, "a bias by relative position has any rank");
    else if (side <= rank)
        snprintf(c->note, sizeof c->note,
                 "%lld x %lld weights are seen whole; it takes more than %lld",
                 (long long)r.rows, (long long)r.keys, (long long)rank);
    else if (is_short(f, &r))
        snprintf(c->note, sizeof c->note, "P is stored with too few digits (--store)");
    c->not_here = c->note[0] != 0;
    if (c->not_here) return ATN_OK;
    ATN_TRY(values_of(cx, f, &r, rank, value, &most));
    c->measured = value[0] > 0 ? value[1] / value[0] : value[0];
    if (isnan(value[0])) {
        c->not_here = true;
        snprintf(c->note, sizeof c->note, "weights of 0 have no logarithm");
    } else if (f->head.p.data) {
        *noise = *c;
        noise->bound = atn_bound_find("log_rank_rounding");
        noise->predicted = atn_bound_predict(
            noise->bound,
            &(atn_quantities){.x = {most, (double)r.rows, (double)r.keys}});
        noise->measured = value[1];
        noise->only_report = true;
        snprintf(noise->note, sizeof noise->note,
                 "if it is above: P has been changed, or logits cancel");
    }
done:
    return st;
}

/* ---- stored weights, as they are ---- */

static double row_sum(const atn_head *h, atn_idx i)
{
    const float *p = atn_crow(h->p, i);
    double sum = 0;

    for (atn_idx j = 0; j < h->nk; j++) sum += (double)p[j];
    return sum;
}

/* Of rows that see a key. Without queries and keys nobody knows of a sink, which has
 * what rows lack. h is without padding. */
static void check_sums(const layer_run *l, const atn_head *h, bool is_short,
                       atn_check *c)
{
    const atn_bound *b = atn_bound_find("stored_rows");
    const atn_quantities q = {.x = {is_short ? 0x1p-8 : 0}};
    const double predicted = atn_bound_predict(b, &q);
    const atn_check at = *c;
    atn_worst worst = {0};
    bool lacks = false, above = false;

    for (atn_idx i = 0; i < h->nq; i++) {
        const double sum = row_sum(h, i);
        atn_idx lo, hi;

        atn_sight_row(&h->sight, i, &lo, &hi);
        if (lo >= hi || sum == 0) continue;
        lacks = lacks || sum < 1 - predicted;
        above = above || sum > 1 + predicted;
        atn_worst_take(&worst, b->relation, predicted, fabs(sum - 1), 0);
    }
    *c = atn_worst_check(&worst, b, at.variant);
    c->at = at.at;
    c->head = at.head;
    c->not_here = worst.cases == 0 || h->has_sink;
    if (h->has_sink)
        snprintf(c->note, sizeof c->note, "a sink logit has a share of the rows");
    else if (worst.cases == 0)
        snprintf(c->note, sizeof c->note, "all rows are 0");
    else if (lacks && !above && !l->info->has_qk) {
        c->only_report = true;
        snprintf(c->note, sizeof c->note,
                 "rows sum to less than 1, as those of a model with a sink logit do");
    }
}

static double length_of(const double *x, atn_idx n)
{
    double sum = 0;

    for (atn_idx e = 0; e < n; e++) sum += x[e] * x[e];
    return sqrt(sum);
}

/* |ln p / s|; what lies below the smallest numbers of the format is no difference. */
static double log_ratio(double p, double s, double unit)
{
    const double off = fabs(p - s) - (unit > 0 ? 0x1p-24 : 1e-37);

    return off <= 0 ? 0 : fmin(p, s) > 0 ? log1p(off / fmin(p, s)) : INFINITY;
}

static double largest_bias(const atn_head *h)
{
    const atn_idx from = h->rel_zero - atn_sight_at(&h->sight, h->nq - 1);
    const atn_idx to = h->rel_zero + h->nk - atn_sight_at(&h->sight, 0);
    double most = 0;

    for (atn_idx e = from; h->rel_bias && e < to; e++)
        most = fmax(most, fabs((double)h->rel_bias[e]));
    return most;
}

/* P of the head h, without padding, against the facts of its queries and keys. */
static void check_softmax(const layer_run *l, const atn_head *h,
                          const atn_head_facts *f, bool is_short, atn_check *c)
{
    const atn_bound *b = atn_bound_find("stored_softmax");
    const double unit = fmax(l->unit, is_short ? 0x1p-8 : 0);
    const atn_check at = *c;
    atn_worst worst = {0};
    double key = 0;

    for (atn_idx j = 0; j < f->nk; j++)
        key = fmax(key, length_of(f->k + j * f->d, f->d));
    for (atn_idx i = 0; i < f->nq; i++) {
        const float *p = atn_crow(h->p, i);
        double apart = 0, size = h->scale * length_of(f->q + i * f->d, f->d) * key;
        atn_idx lo, hi;

        atn_sight_row(&h->sight, i, &lo, &hi);
        if (lo >= hi || hi > f->nk || isnan(f->lse[i])) continue; /* cut */
        size += fabs(h->alibi_slope) * (double)h->nk + largest_bias(h);
        for (atn_idx j = 0; j < h->nk; j++)
            apart = fmax(apart, log_ratio((double)p[j],
                                          j < f->nk ? f->p[i * f->nk + j] : 0, unit));
        atn_worst_take_row(
            &worst, b->relation,
            atn_bound_predict(b, &(atn_quantities){.x = {size, (double)f->d,
                                                         (double)(hi - lo), unit}}),
            apart, 0, hi - lo < 2);
    }
    *c = atn_worst_check(&worst, b, at.variant);
    c->at = at.at;
    c->head = at.head;
    c->not_here = worst.cases == 0 || h->has_sink;
    if (c->not_here)
        snprintf(c->note, sizeof c->note,
                 h->has_sink ? "a sink logit has a share of the rows"
                             : "rows are longer than what is looked at (--tokens)");
}

static atn_status check_stored(atn_ctx *cx, const layer_run *l, const atn_head *h,
                               bool is_short, atn_check *rows, atn_check *softmax)
{
    atn_head of_qk = *h;
    atn_head_facts f = {0};
    atn_status st = ATN_OK;

    check_sums(l, h, is_short, rows);
    if (!h->q.data || !h->k.data) goto done;
    of_qk.p = (atn_cmat){0};
    ATN_TRY(atn_head_facts_make(cx, &of_qk, l->t->most, &f));
    check_softmax(l, h, &f, is_short, softmax);
done:
    atn_head_facts_release(cx, &f);
    return st;
}

static atn_status check_head(atn_ctx *cx, atn_idx task, void *state)
{
    const layer_run *l = state;
    const atn_idx head = l->head[task];
    atn_head whole = atn_problem_head(&l->problem, head), h;
    atn_check *c[CHECKS];
    atn_head_facts f = {0};
    atn_status st = ATN_OK;
    atn_idx row;

    if (l->stored) {
        whole.p = (atn_cmat){l->stored + head * whole.nq * whole.nk, whole.nq, whole.nk,
                             whole.nk};
    }
    for (int k = 0; k < CHECKS; k++) c[k] = &l->check[k * l->n + task];
    snprintf(c[RANK]->variant, sizeof c[RANK]->variant, "%s",
             whole.p.data ? "P as stored" : "P of q and k");
    h = atn_head_trim(&whole, &row);
    if (h.p.data) {
        const rectangle all = {0, h.nq, 0, h.nk};
        const atn_head_facts view = {.head = h};

        *c[ROWS] = *c[SOFTMAX] = *c[RANK];
        c[ROWS]->bound = c[SOFTMAX]->bound = NULL;
        ATN_TRY(check_stored(cx, l, &h, is_short(&view, &all), c[ROWS], c[SOFTMAX]));
        h.q = h.k = (atn_cmat){0};
    }
    ATN_TRY(atn_head_facts_make(cx, &h, l->t->most, &f));
    ATN_TRY(check_facts(cx, l, &f, h.sight.softcap, c[RANK], c[ROUNDING]));
done:
    atn_head_facts_release(cx, &f);
    return st;
}

/* P that a layer with q and k has beside them. */
static atn_status load_stored(atn_ctx *cx, layer_run *l, int at)
{
    atn_idx shape[ATN_ST_MAX_RANK];
    atn_status st = ATN_OK;
    int rank;

    if (!l->info->has_p || !l->info->has_qk) return ATN_OK;
    ATN_TRY(atn_capture_tensor(cx, l->t->capture, at, "p", &l->stored, &rank, shape));
    if (l->stored && (rank != 3 || shape[0] != l->info->heads ||
                      shape[1] != l->info->nq || shape[2] != l->info->nk))
        ATN_FAIL(ATN_DATA, "layer %d: p has another shape than [%lld, %lld, %lld]",
                 l->info->layer, (long long)l->info->heads, (long long)l->info->nq,
                 (long long)l->info->nk);
done:
    return st;
}

/* Unit of the products and of the numbers stored; 0 = single precision. */
static double unit_of(const atn_capture *c)
{
    static const struct {
        const char *key, *value;
        double unit;
    } units[] = {{"arithmetic", "tf32", 0x1p-11},
                 {"arithmetic", "bf16", 0x1p-8},
                 {"dtype", "F16", 0x1p-11},
                 {"dtype", "BF16", 0x1p-8}};
    double most = 0;

    for (size_t k = 0; k < ATN_LEN(units); k++) {
        const char *is =
            json_string_value(json_object_get(atn_capture_manifest(c), units[k].key));

        if (is && strcmp(is, units[k].value) == 0) most = fmax(most, units[k].unit);
    }
    return most;
}

static atn_status run_layer(atn_ctx *cx, const atn_trial_model *t, int i,
                            atn_checks *out)
{
    const atn_selection *sel = t->selection;
    const int at = sel->at[i];
    layer_run l = {.t = t, .info = atn_capture_layer(t->capture, at)};
    atn_status st = ATN_OK;
    bool *bad = NULL;

    ATN_NEW(bad, l.info->heads);
    ATN_NEW(l.head, l.info->heads);
    ATN_NEW(l.check, CHECKS * l.info->heads);
    l.unit = unit_of(t->capture);
    ATN_TRY(atn_capture_load_heads(cx, t->capture, at, &l.problem, bad));
    ATN_TRY(load_stored(cx, &l, at));
    for (atn_idx h = 0; h < l.info->heads; h++)
        if (sel->heads[i * sel->max_heads + h] && !bad[h]) {
            l.check[l.n] = (atn_check){
                .bound = atn_bound_find("log_rank"), .at = at, .head = (int)h};
            l.head[l.n++] = h;
        }
    ATN_TRY(atn_parallel(cx, l.n, check_head, &l, "log rank"));
    for (atn_idx k = 0; k < CHECKS * l.n; k++)
        if (l.check[k].bound) ATN_TRY(atn_checks_add(cx, out, &l.check[k]));
done:
    atn_free(cx, bad);
    atn_free(cx, l.head);
    atn_free(cx, l.check);
    atn_free(cx, l.stored);
    atn_capture_unload(cx, &l.problem);
    return st;
}

static atn_status model(atn_ctx *cx, const atn_trial_model *t, atn_checks *out)
{
    atn_status st = ATN_OK;

    for (int i = 0; i < t->selection->n; i++) ATN_TRY(run_layer(cx, t, i, out));
done:
    return st;
}

const atn_experiment atn_experiment_log_rank = {
    .id = "log_rank",
    .label = "V6",
    .title = "Is the captured attention of one piece?",
    .text = "a test of the capture: the rank of the logarithms of the weights, d + 1; "
            "stored rows sum to 1, and are the softmax of stored queries and keys",
    .source = "own derivation",
    .sides = ATN_BOTH_WAYS,
    .model = model,
    .bounds = "log_rank log_rank_rounding stored_rows stored_softmax",
};
