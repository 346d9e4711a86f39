/* analysis/experiments/combiner_floor.c -- what no Combiner over given segments can get
 * below, and what ours gets.
 *
 * Math    rows outside a segment X see it as one entry, whose shares q_X(j) are those
 *         of all of them. With masses m_i = P_i(X) the best shares are the mean of the
 *         rows, sum_i P_ij / sum_i m_i, and mean_i KL(P_i || P^_i) is at least
 *             (1 / n) sum_X sum_i sum_{j in X} P_ij ln(P_ij / (m_i q_X(j))),
 *         the information of the row about the key within its segment.
 * Oracle  8 tokens of cards/kernel-theory.md, G8, segments of 4: causal .0006103570,
 *         both ways .0012782559 nats. Segments of 1: 0.
 * Source  own derivation; cards/kernel-theory.md, card 15.
 * Cost    twice the n^2 logarithms, and the rows of a plan.
 * Limits  plain heads: no window, bias, cap or sink. Rows of the method come from
 *         floats, so a divergence is known to 1e-6.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "analysis/experiments/method_run.h"
#include "analysis/experiments/worst.h"

extern const atn_experiment atn_experiment_combiner_floor;

enum { ROWS = 16 };
static const double FLOATS = 1e3; /* times 1e-9 of a check in double */

/* The divisor of n next above its root; 0 = it is the root or n. */
static atn_idx span_across(atn_idx n)
{
    atn_idx span = 1;

    for (atn_idx b = 1; b <= n / b; b++)
        if (n % b == 0) span = b;
    return span > 1 && n / span != span ? n / span : 0;
}

/* Does row i read segment s as a summary? */
static bool is_summed(const atn_head_facts *f, atn_idx i, atn_idx s, atn_idx span)
{
    return f->head.sight.causal ? s < i / span : s != i / span;
}

/* What the rows know about the keys of segment s; mean [span] is scratch. */
static double information(const atn_head_facts *f, atn_idx s, atn_idx span,
                          double *mean)
{
    const atn_idx size =
        ATN_MIN(span, f->nk - s * span); /* the last one may be short */
    double all = 0, sum = 0;

    memset(mean, 0, (size_t)span * sizeof *mean);
    for (atn_idx i = 0; i < f->nq; i++)
        for (atn_idx j = 0; j < size && is_summed(f, i, s, span); j++)
            mean[j] += f->p[i * f->nk + s * span + j];
    for (atn_idx j = 0; j < size; j++) all += mean[j];
    for (atn_idx i = 0; i < f->nq; i++) {
        const double *p = f->p + i * f->nk + s * span;
        double mass = 0;

        if (!is_summed(f, i, s, span)) continue;
        for (atn_idx j = 0; j < size; j++) mass += p[j];
        for (atn_idx j = 0; j < size; j++)
            if (p[j] > 0) sum += p[j] * log(p[j] / mass * (all / mean[j]));
    }
    return sum;
}

/* *out <- mean of KL(P_i || rows of the plan). */
static atn_status find_divergence(atn_ctx *cx, const atn_head_facts *f,
                                  const atn_plan *p, double *out)
{
    const atn_arena_mark mark = atn_arena_save(cx);
    atn_status st = ATN_OK;
    double *w = NULL;

    *out = 0;
    ATN_TAKE(w, ROWS * f->nk);
    for (atn_idx first = 0; first < f->nq; first += ROWS) {
        const atn_idx n = ATN_MIN(ROWS, f->nq - first);
        const double *dense = f->p + first * f->nk;

        ATN_TRY(atn_plan_rows(cx, &f->head, p, first, n, w));
        for (atn_idx e = 0; e < n * f->nk; e++)
            if (dense[e] > 0) *out += dense[e] * log(dense[e] / w[e]);
    }
    *out /= (double)f->nq;
done:
    atn_arena_rewind(cx, mark);
    return st;
}

/* block 0: what the method takes. */
static atn_status check_block(atn_ctx *cx, const atn_head_facts *f, atn_idx block,
                              const char *pool, atn_checks *out)
{
    const atn_bound *b = &atn_bound_combiner_floor;
    const atn_arena_mark mark = atn_arena_save(cx);
    char params[64], variant[ATN_CHECK_TEXT], refused[ATN_CHECK_TEXT];
    double divergence, *mean = NULL;
    atn_quantities lost = {0};
    atn_status st = ATN_OK;
    atn_worst worst = {0};
    atn_plan p = {0};
    atn_idx span;
    atn_check c;

    snprintf(params, sizeof params, "block=%lld,pool=%s,own=no", (long long)block,
             pool);
    ATN_TRY(atn_method_try(cx, &f->head, "combiner", params, &p, refused));
    if (refused[0]) {
        ATN_TRY(atn_method_refused(cx, out, b->id, params, refused));
        goto done;
    }
    span = (atn_idx)(p.expand_ptr[1] - p.expand_ptr[0]);
    snprintf(variant, sizeof variant, "segments of %lld, pool %s", (long long)span,
             pool);
    ATN_TAKE(mean, span);
    for (atn_idx s = 0; s * span < f->nk; s++)
        lost.x[0] += information(f, s, span, mean) / (double)f->nq;
    lost.x[0] = fmax(lost.x[0], 0); /* but for rounding */
    ATN_TRY(find_divergence(cx, f, &p, &divergence));
    atn_worst_take(&worst, ATN_AT_LEAST, atn_bound_predict(b, &lost), divergence,
                   FLOATS);
    c = atn_worst_check(&worst, b, variant);
    snprintf(c.note, sizeof c.note, "rows of floats: known to 1e-6");
    ATN_TRY(atn_checks_add(cx, out, &c));
done:
    atn_plan_release(cx, &p);
    atn_arena_rewind(cx, mark);
    return st;
}

static bool is_plain(const atn_head_facts *f)
{
    const atn_sight *s = &f->head.sight;

    if (f->nq != f->nk || f->nq == 0 || s->offset != 0 || f->head.has_sink)
        return false;
    return !(s->window > 0 && s->window < f->nk) && !atn_head_has_bias(&f->head) &&
           !(s->softcap > 0);
}

static atn_status head(atn_ctx *cx, const atn_trial_head *t, atn_checks *out)
{
    static const char *const pools[] = {"mean", "max"};
    const atn_idx across = span_across(t->facts->nk);
    atn_status st = ATN_OK;

    for (size_t k = 0; k < ATN_LEN(pools) && is_plain(t->facts); k++) {
        ATN_TRY(check_block(cx, t->facts, 0, pools[k], out));
        if (across > 0) ATN_TRY(check_block(cx, t->facts, across, pools[k], out));
    }
done:
    return st;
}

const atn_experiment atn_experiment_combiner_floor = {
    .id = "combiner_floor",
    .label = "V21",
    .title = "What no Combiner gets below",
    .text = "divergence of Combiner from attention against the information that its "
            "segments lose in any case",
    .source = "own derivation",
    .qk = true,
    .sides = ATN_BOTH_WAYS,
    .most = 1024,
    .head = head,
    .bounds = "combiner_floor",
};
