/* analysis/experiments/gray_path.c -- V11: the order in which HyperAttention sorts.
 *
 * Math    words of 7 bits by their place: neighbours differ in one bit when places are
 *         those of the Gray sequence, and in up to 4 when they are Gray codes, as in the
 *         published code. How much weight blocks of n / 16 keys have, by either, as a
 *         mean over draws of the planes.
 * Oracle  31 of the 127 published steps differ in more than one bit.
 * Source  cards/kernel-theory.md, card 2 (g) and V11.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#include <math.h>
#include <stdio.h>

#include "analysis/experiments/experiment.h"
#include "analysis/experiments/hyper_mask.h"
#include "approx/plane_hash.h"
#include "core/rows.h"

enum { SHARE = 16, BITS = 7, WORDS = 1 << BITS };

static int bits_of(uint32_t x)
{
    int n = 0;

    for (; x; x >>= 1) n += (int)(x & 1);
    return n;
}

/* Of a fixed table: no head is looked at. */
static atn_status check_path(atn_ctx *cx, bool published, atn_checks *out)
{
    atn_check c = {
        .bound = &atn_bound_gray_path, .only_report = published, .cases = WORDS - 1};
    uint32_t at[WORDS] = {0};
    int most = 0;

    for (uint32_t w = 0; w < WORDS; w++)
        at[atn_gray_place(w, published) & (WORDS - 1)] = w;
    for (int e = 1; e < WORDS; e++) {
        const int step = bits_of(at[e] ^ at[e - 1]);

        if (step > most) most = step;
        c.failures += step != 1;
    }
    c.predicted = atn_bound_predict(c.bound, &(atn_quantities){.x = {0}});
    c.measured = most;
    snprintf(c.variant, sizeof c.variant,
             published ? "published table" : "Gray sequence");
    return atn_checks_add(cx, out, &c);
}

typedef struct capture {
    const atn_head_facts *f;
    uint64_t seed;
    double *share; /* [draws, 2] */
} capture;

static atn_status draw_task(atn_ctx *cx, atn_idx d, void *state)
{
    const atn_arena_mark mark = atn_arena_save(cx);
    const capture *c = state;
    const atn_head_facts *f = c->f;
    atn_hash_blocks how = {c->seed, d, BITS, ATN_MAX(f->nk / SHARE, 1), false};
    atn_status st = ATN_OK;
    bool *masked = NULL;

    ATN_TAKE(masked, f->nq * f->nk);
    for (int published = 0; published < 2; published++) {
        double sum = 0, all = 0;

        how.published = published;
        ATN_TRY(atn_hash_mask(cx, f, &how, masked));
        for (atn_idx e = 0; e < f->nq * f->nk; e++) {
            all += f->p[e];
            if (masked[e]) sum += f->p[e];
        }
        c->share[2 * d + published] = all > 0 ? sum / all : 0;
    }
done:
    atn_arena_rewind(cx, mark);
    return st;
}

static atn_status check_capture(atn_ctx *cx, const atn_trial_head *t, atn_checks *out)
{
    const atn_arena_mark mark = atn_arena_save(cx);
    capture j = {.f = t->facts, .seed = t->seed};
    atn_check c = {.bound = &atn_bound_gray_capture,
                   .trials = t->trials,
                   .lo = .9,
                   .hi = 1.1,
                   .only_report = true};
    double mean[2] = {0};
    int64_t better = 0;
    atn_status st = ATN_OK;

    ATN_TAKE(j.share, 2 * t->trials);
    ATN_TRY(atn_parallel(cx, t->trials, draw_task, &j, "sorted blocks"));
    for (int64_t d = 0; d < t->trials; d++) {
        for (int e = 0; e < 2; e++) mean[e] += j.share[2 * d + e] / (double)t->trials;
        better += j.share[2 * d] > j.share[2 * d + 1];
    }
    c.predicted =
        atn_bound_predict(c.bound, &(atn_quantities){.x = {fmin(mean[1], 1)}});
    c.measured = mean[0];
    snprintf(c.note, sizeof c.note, "the Gray sequence is better in %lld of %lld draws",
             (long long)better, (long long)t->trials);
    ATN_TRY(atn_checks_add(cx, out, &c));
done:
    atn_arena_rewind(cx, mark);
    return st;
}

static atn_status head(atn_ctx *cx, const atn_trial_head *t, atn_checks *out)
{
    atn_status st = ATN_OK;

    if (t->facts->nq == 0 || t->facts->nk == 0) return ATN_OK;
    ATN_TRY(check_capture(cx, t, out));
done:
    return st;
}

static atn_status once(atn_ctx *cx, const atn_trial_model *t, atn_checks *out)
{
    atn_status st = ATN_OK;

    (void)t;
    ATN_TRY(check_path(cx, false, out));
    ATN_TRY(check_path(cx, true, out));
done:
    return st;
}

const atn_experiment atn_experiment_gray_path = {
    .id = "gray_path",
    .label = "V11",
    .title = "The order in which HyperAttention sorts",
    .text =
        "steps of the Gray sequence and of the published table, and the weight that "
        "blocks have by either order",
    .source = "cards/kernel-theory.md, card 2 and V11",
    .qk = true,
    .sides = ATN_BOTH_WAYS,
    .trials = 50,
    .head = head,
    .once = once,
    .bounds = "gray_path gray_capture",
};
