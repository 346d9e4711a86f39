/* analysis/experiments/entropy.c -- the weight beyond the k best keys, between what the
 * entropy of the row allows.
 *
 * Math    theory/entropy.c. Entropies are sum p (lse - s); the weight beyond the k best
 *         is a sum over sorted weights.
 * Cost    a sort a row.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#include <math.h>
#include <string.h>

#include "analysis/experiments/worst.h"
#include "approx/method.h"
#include "core/mat.h"
#include "core/rows.h"

extern const atn_experiment atn_experiment_entropy;

static const atn_idx kept[] = {1, 2, 4, 8, 16, 32, 64, 128, 256};
enum { KS = ATN_LEN(kept), ROWS = 32 };

typedef struct asking {
    const atn_head_facts *f;
    const atn_bound *upper, *lower;
    atn_worst *worst; /* [tasks][2 KS] */
} asking;

/* One row: p is its n weights, sorted here. */
static void check_row(const asking *s, double *p, atn_idx n, double entropy,
                      atn_worst *w)
{
    atn_sort(p, n);
    for (int k = 0; k < KS; k++) {
        const atn_quantities q = {.x = {entropy, (double)kept[k], (double)n}};
        double beyond = 0;

        for (atn_idx j = 0; j < n - kept[k]; j++) beyond += p[j];
        atn_worst_take(&w[2 * k], ATN_AT_MOST, atn_bound_predict(s->upper, &q), beyond,
                       1);
        atn_worst_take(&w[2 * k + 1], ATN_AT_LEAST, atn_bound_predict(s->lower, &q),
                       beyond, 1);
    }
}

static atn_status check_rows(atn_ctx *cx, atn_idx task, void *state)
{
    const asking *s = state;
    const atn_head_facts *f = s->f;
    const atn_arena_mark mark = atn_arena_save(cx);
    atn_status st = ATN_OK;
    double *p = NULL;

    ATN_TAKE(p, f->nk);
    for (atn_idx i = task * ROWS; i < ATN_MIN((task + 1) * ROWS, f->nq); i++) {
        double entropy = 0;
        atn_idx lo, hi;

        atn_sight_row(&f->head.sight, i, &lo, &hi);
        if (isnan(f->lse[i])) continue;
        memcpy(p, f->p + i * f->nk + lo, (size_t)(hi - lo) * sizeof *p);
        for (atn_idx j = 0; j < hi - lo; j++)
            if (p[j] > 0) entropy += p[j] * (f->lse[i] - f->s[i * f->nk + lo + j]);
        check_row(s, p, hi - lo, fmax(entropy, 0), s->worst + task * 2 * KS);
    }
done:
    atn_arena_rewind(cx, mark);
    return st;
}

static atn_status head(atn_ctx *cx, const atn_trial_head *t, atn_checks *out)
{
    const atn_arena_mark mark = atn_arena_save(cx);
    const atn_idx tasks = (t->facts->nq + ROWS - 1) / ROWS;
    asking s = {t->facts, &atn_bound_entropy_topk_upper, &atn_bound_entropy_topk_lower,
                NULL};
    atn_status st = ATN_OK;

    ATN_TAKE(s.worst, (tasks + 1) * 2 * KS);
    memset(s.worst, 0, (size_t)((tasks + 1) * 2 * KS) * sizeof *s.worst);
    ATN_TRY(atn_parallel(cx, tasks, check_rows, &s, "entropy"));
    for (int b = 0; b < 2 * KS; b++) {
        char variant[32];
        atn_check c;

        if (kept[b / 2] >= t->facts->nk && b > 1) continue;
        for (atn_idx k = 1; k < tasks; k++)
            atn_worst_join(&s.worst[b], &s.worst[k * 2 * KS + b]);
        snprintf(variant, sizeof variant, "k=%lld", (long long)kept[b / 2]);
        c = atn_worst_check(&s.worst[b], b % 2 ? s.lower : s.upper, variant);
        ATN_TRY(atn_checks_add(cx, out, &c));
    }
done:
    atn_arena_rewind(cx, mark);
    return st;
}

const atn_experiment atn_experiment_entropy = {
    .id = "entropy",
    .label = "V5",
    .title = "Entropy and the best keys",
    .text = "the weight beyond the k best keys of every row, between its two bounds",
    .source = "own derivation",
    .sides = ATN_BOTH_WAYS,
    .head = head,
    .bounds = "entropy_topk_upper entropy_topk_lower",
};
