/* analysis/experiments/hyper_conditions.c -- HA-4: what HyperAttention assumes of a
 * head, before and after its large entries are removed.
 *
 * Math    alpha = n max_j |P e_j|^2 and ln kappa, with nothing removed, without the
 *         blocks of the sorted order (b = n / 16, 7 planes), and without the b largest
 *         weights of each row. The notes give quantiles of N2 = e^{H2}.
 *         Rows divided by wrong sums D~: weights off by a factor D / D~ - 1 a row, with
 *         errors at random. Singular values are exact.
 * Source  cards/kernel-theory.md, card 2, HA-4.
 * Limits  of a causal head alpha >= n whatever the model does: its first row is e_1.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#include <math.h>
#include <stdio.h>

#include "analysis/experiments/experiment.h"
#include "analysis/experiments/hyper_mask.h"
#include "approx/method.h"
#include "core/mat.h"
#include "core/rng.h"
#include "core/svd.h"

enum { SHARE = 16, BITS = 7 };

/* Quantiles .1, .5, .9 of N2 into a note. */
static atn_status note_rows(atn_ctx *cx, const atn_head_facts *f, char *note,
                            size_t size)
{
    const atn_arena_mark mark = atn_arena_save(cx);
    atn_status st = ATN_OK;
    atn_idx n = 0;
    double *x = NULL;

    ATN_TAKE(x, f->nq);
    for (atn_idx i = 0; i < f->nq; i++)
        if (!isnan(f->renyi[i])) x[n++] = exp(f->renyi[i]);
    atn_sort(x, n);
    if (n > 0)
        snprintf(note, size, "N2 of rows at 10, 50, 90 %%: %.3g %.3g %.3g", x[n / 10],
                 x[n / 2], x[n - 1 - n / 10]);
done:
    atn_arena_rewind(cx, mark);
    return st;
}

static atn_status check_mask(atn_ctx *cx, const atn_head_facts *f, const bool *mask,
                             const char *what, atn_checks *out)
{
    const atn_arena_mark mark = atn_arena_save(cx);
    atn_check a = {.bound = &atn_bound_hyper_alpha},
              k = {.bound = &atn_bound_hyper_kappa};
    atn_status st = ATN_OK;
    atn_unmasked u;
    double *norm = NULL;

    ATN_TAKE(norm, f->nk);
    atn_unmasked_of(f, mask, norm, &u);
    a.predicted = atn_bound_predict(
        a.bound, &(atn_quantities){.list = {norm}, .n = {(size_t)f->nk}});
    a.measured = u.square;
    ATN_TRY(note_rows(cx, f, a.note, sizeof a.note));
    k.predicted =
        atn_bound_predict(k.bound, &(atn_quantities){.x = {u.fewest, u.most, u.range}});
    k.measured = u.ln_kappa;
    k.scale = 1;
    k.cases = u.rows;
    k.not_here = u.rows == 0;
    snprintf(k.note, sizeof k.note, "%lld rows have nothing left",
             (long long)u.without);
    snprintf(a.variant, sizeof a.variant, "%s", what);
    snprintf(k.variant, sizeof k.variant, "%s", what);
    ATN_TRY(atn_checks_add(cx, out, &a));
    ATN_TRY(atn_checks_add(cx, out, &k));
done:
    atn_arena_rewind(cx, mark);
    return st;
}

/* Row sums off by eps / 3 of themselves at most, with signs and sizes at random; in half
 * of the rows by all of it, too small. */
static atn_status check_sums(atn_ctx *cx, const atn_trial_head *t, double eps,
                             atn_checks *out)
{
    const atn_head_facts *f = t->facts;
    const atn_arena_mark mark = atn_arena_save(cx);
    atn_rng r =
        atn_rng_stream(t->seed, "hyper_conditions/sums", f->head.layer, f->head.head);
    atn_check c = {.bound = &atn_bound_hyper_denominators, .scale = 1};
    double *x = NULL, *sigma = NULL;
    atn_status st = ATN_OK;

    ATN_TRY(atn_head_facts_spectrum(cx, t->facts, false));
    ATN_TAKE(x, f->nq * f->nk);
    ATN_TAKE(sigma, ATN_MIN(f->nq, f->nk));
    for (atn_idx i = 0; i < f->nq; i++) {
        const double u = atn_rng_uniform(&r), off = u < .5 ? -1 : 4 * u - 3;

        for (atn_idx j = 0; j < f->nk; j++)
            x[i * f->nk + j] = (1 / (1 + off * eps / 3) - 1) * f->p[i * f->nk + j];
    }
    ATN_TRY(atn_svd(cx, x, f->nq, f->nk, sigma, NULL, NULL));
    c.predicted = atn_bound_predict(c.bound, &(atn_quantities){.x = {eps}});
    c.not_here = !(f->sigma[0] > 0);
    c.measured = sigma[0] / f->sigma[0];
    c.cases = f->nq;
    snprintf(c.variant, sizeof c.variant, "eps=%g", eps);
    snprintf(c.note, sizeof c.note, c.not_here ? "all weights are 0" : "by |P|_op");
    ATN_TRY(atn_checks_add(cx, out, &c));
done:
    atn_arena_rewind(cx, mark);
    return st;
}

static atn_status head(atn_ctx *cx, const atn_trial_head *t, atn_checks *out)
{
    const atn_arena_mark mark = atn_arena_save(cx);
    const atn_head_facts *f = t->facts;
    const atn_idx b = ATN_MAX(f->nk / SHARE, 1);
    const atn_hash_blocks how = {t->seed, 0, BITS, b, false};
    atn_status st = ATN_OK;
    bool *masked = NULL;

    if (f->nq == 0 || f->nk == 0) return ATN_OK;
    ATN_TAKE(masked, f->nq * f->nk);
    ATN_TRY(check_mask(cx, f, NULL, "all", out));
    ATN_TRY(atn_hash_mask(cx, f, &how, masked));
    ATN_TRY(check_mask(cx, f, masked, "without blocks", out));
    ATN_TRY(atn_largest_mask(cx, f, b, masked));
    ATN_TRY(check_mask(cx, f, masked, "without the largest", out));
    ATN_TRY(check_sums(cx, t, 1, out));
    ATN_TRY(check_sums(cx, t, .1, out));
done:
    atn_arena_rewind(cx, mark);
    return st;
}

const atn_experiment atn_experiment_hyper_conditions = {
    .id = "hyper_conditions",
    .label = "HA-4",
    .title = "What HyperAttention assumes",
    .text = "alpha and kappa of a head, whole, without the blocks of the sorted order, "
            "and without the largest weights; what wrong row sums do to the weights",
    .source = "cards/kernel-theory.md, card 2, HA-4; Han et al., arXiv 2310.05869",
    .qk = true,
    .sides = ATN_BOTH_WAYS,
    .head = head,
    .bounds = "hyper_alpha hyper_kappa hyper_denominators",
};
