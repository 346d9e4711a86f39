/* analysis/experiments/scatterbrain.c -- V15: what Scatterbrain states, on a head.
 *
 * Math    pairs (i, j) of the head that are seen, x = q' . k', z = q' + k'. A draw is 22
 *         normal projections and two tables of two random planes; an entry relative to
 *         e^x is
 *             1 where the pair shares a word in some table, else
 *             e^{-|z|^2 / 2} mean_r cosh(w_r . z)
 *         SB-1: its mean is 1, SB-2: its variance (1 - p) (cosh |z|^2 - 1) / 22, and the
 *         share of draws in the support is p. All draws are shared by the pairs, so a
 *         check takes the mean over pairs of each draw, whose own spread gives the
 *         standard error.
 *         SB-3: relative Frobenius error of the weights and of the output of the method
 *         scatterbrain, at n / 8 numbers a row, against its support alone and its
 *         features alone with as many numbers.
 * Source  cards/kernel-theory.md, card 1 (d) and V15.
 * Limits  means are judged on pairs with |z|^2 <= 1.5, variances where |z|^2 <= 0.7: the
 *         sixth moment of a draw grows as e^{15 |z|^2}, and at 1.5 the mean of 5000
 *         squares is far from normal.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "analysis/experiments/experiment.h"
#include "analysis/experiments/means.h"
#include "approx/method.h"
#include "core/rng.h"
#include "core/rows.h"

enum { DRAWS_OF = 22, SIDES = 2, TABLES = 2, PLANES = SIDES * TABLES };
enum { PAIRS_MOST = 256, TRIED = 20000, CHUNK = 32, SHARE = 8 };
static const double MEAN_SQUARE = 1.5, VARIANCE_SQUARE = .7;

typedef struct pair {
    atn_idx i, j;
    double square, chance; /* |z|^2, p */
    double shift;          /* what the head's logit lacks of x, its bias aside: 0 */
} pair;

typedef struct trials {
    const atn_head_facts *f;
    uint64_t seed;
    int64_t draws;
    pair pair[PAIRS_MOST];
    atn_idx pairs;
    double *mean, *variance, *met; /* [draws] relative, over pairs */
} trials;

static double dot(const double *x, const double *y, atn_idx n)
{
    double sum = 0;

    for (atn_idx c = 0; c < n; c++) sum += x[c] * y[c];
    return sum;
}

/* ---- pairs ---- */

static double chance_of(const atn_head_facts *f, atn_idx i, atn_idx j)
{
    const double *q = f->q + i * f->d, *k = f->k + j * f->d;
    const double length = sqrt(dot(q, q, f->d) * dot(k, k, f->d));
    const double cosine = length > 0 ? dot(q, k, f->d) / length : 0;

    return atn_bound_predict(
        &atn_bound_sign_collision,
        &(atn_quantities){.x = {acos(fmax(fmin(cosine, 1), -1)), SIDES, TABLES}});
}

/* Up to PAIRS_MOST random pairs that are seen, with |z|^2 <= most, each once as it
 * comes. A vector without a direction is in no table. */
static void choose_pairs(trials *t, double most)
{
    const atn_head_facts *f = t->f;
    const double scale = fabs(f->head.scale);
    atn_rng r =
        atn_rng_stream(t->seed, "scatterbrain/pairs", f->head.layer, f->head.head);

    t->pairs = 0;
    for (int e = 0; e < TRIED && t->pairs < PAIRS_MOST; e++) {
        pair p = {.i = atn_rng_below(&r, f->nq), .j = atn_rng_below(&r, f->nk)};
        const double *q = f->q + p.i * f->d, *k = f->k + p.j * f->d;
        const double qq = dot(q, q, f->d), kk = dot(k, k, f->d);

        p.square = scale * (qq + kk + 2 * dot(q, k, f->d));
        if (f->s[p.i * f->nk + p.j] == -INFINITY) continue;
        if (p.square > most || p.square < 1e-6 || qq == 0 || kk == 0) continue;
        p.chance = chance_of(f, p.i, p.j);
        p.shift = scale * dot(q, k, f->d) - f->s[p.i * f->nk + p.j] +
                  atn_head_bias(&f->head, p.j, atn_sight_at(&f->head.sight, p.i));
        t->pair[t->pairs++] = p;
    }
}

/* ---- draws ---- */

static bool same_side(const atn_head_facts *f, const pair *p, const double *plane)
{
    return (dot(f->q + p->i * f->d, plane, f->d) > 0) ==
           (dot(f->k + p->j * f->d, plane, f->d) > 0);
}

static bool shares_word(const atn_head_facts *f, const pair *p, const double *planes)
{
    for (int t = 0; t < TABLES; t++) {
        bool all = true;

        for (int s = 0; s < SIDES; s++)
            all = all && same_side(f, p, planes + (t * SIDES + s) * f->d);
        if (all) return true;
    }
    return false;
}

/* e^{-|z|^2 / 2} mean_r cosh(w_r . z), relative to the weight of the head. */
static double feature(const atn_head_facts *f, const pair *p, const double *omega)
{
    const double root = sqrt(fabs(f->head.scale));
    double sum = 0;

    for (int r = 0; r < DRAWS_OF; r++) {
        const double *w = omega + r * f->d;

        sum += cosh(root * (dot(f->q + p->i * f->d, w, f->d) +
                            dot(f->k + p->j * f->d, w, f->d)));
    }
    return sum / DRAWS_OF * exp(p->shift - p->square / 2);
}

/* Of one draw the means over pairs: deviation, squared deviation over its expectation
 * less 1, pairs in the support less those expected. */
static void take_draw(trials *t, atn_idx at, const double *omega, const double *planes)
{
    const atn_head_facts *f = t->f;
    double mean = 0, variance = 0, met = 0;

    for (atn_idx e = 0; e < t->pairs; e++) {
        const pair *p = &t->pair[e];
        const bool in = shares_word(f, p, planes);
        const double off = in ? 0 : feature(f, p, omega) - 1;
        const atn_quantities q = {.x = {p->chance, p->square, DRAWS_OF, 1}};

        mean += off;
        variance += off * off / atn_bound_predict(&atn_bound_scatterbrain_variance, &q);
        met += (double)in - p->chance;
    }
    t->mean[at] = mean / (double)t->pairs;
    t->variance[at] = variance / (double)t->pairs - 1;
    t->met[at] = met / (double)t->pairs;
}

static atn_status draw_task(atn_ctx *cx, atn_idx chunk, void *state)
{
    const atn_arena_mark mark = atn_arena_save(cx);
    trials *t = state;
    const atn_head *h = &t->f->head;
    const atn_idx d = t->f->d;
    double *omega = NULL, *planes = NULL;
    atn_status st = ATN_OK;

    ATN_TAKE(omega, DRAWS_OF * d);
    ATN_TAKE(planes, PLANES * d);
    for (atn_idx at = chunk * CHUNK; at < ATN_MIN((chunk + 1) * CHUNK, t->draws);
         at++) {
        atn_rng r = atn_rng_stream(t->seed, "scatterbrain/trial", h->layer,
                                   h->head + (at << 20));

        for (atn_idx e = 0; e < DRAWS_OF * d; e++) omega[e] = atn_rng_normal(&r);
        for (atn_idx e = 0; e < PLANES * d; e++) planes[e] = atn_rng_normal(&r);
        take_draw(t, at, omega, planes);
    }
done:
    atn_arena_rewind(cx, mark);
    return st;
}

/* ---- means over draws ---- */

static atn_status add_mean(atn_ctx *cx, const trials *t, const atn_bound *bound,
                           const double *x, double predicted, double most,
                           atn_checks *out)
{
    const atn_mean m = atn_mean_of(x, t->draws);
    atn_check c = {.bound = bound, .trials = t->draws, .cases = t->pairs, .scale = 1};

    c.predicted = predicted;
    c.statistic = atn_mean_statistic(&m, 0, 1e-12);
    c.measured = m.mean + predicted;
    c.only_report = !atn_mean_is_known(&m, 1);
    snprintf(c.variant, sizeof c.variant, "|z|^2 <= %.2g", most);
    if (c.only_report)
        snprintf(c.note, sizeof c.note, "standard error %.2g, skewness %.2g: no test",
                 m.error, m.skew);
    else
        snprintf(c.note, sizeof c.note,
                 "means over pairs, relative to what is expected");
    return atn_checks_add(cx, out, &c);
}

static atn_status no_pairs(atn_ctx *cx, const atn_bound *bound, double most,
                           atn_checks *out)
{
    atn_check c = {.bound = bound, .predicted = NAN, .measured = NAN, .not_here = true};

    snprintf(c.variant, sizeof c.variant, "|z|^2 <= %.2g", most);
    snprintf(c.note, sizeof c.note, "of %d pairs tried none is so short", (int)TRIED);
    return atn_checks_add(cx, out, &c);
}

/* Mean and collisions, or variances, of pairs up to `most`. */
static atn_status check_laws(atn_ctx *cx, trials *t, bool variances, atn_checks *out)
{
    const atn_bound *bound =
        variances ? &atn_bound_scatterbrain_variance : &atn_bound_scatterbrain_mean;
    const double most = variances ? VARIANCE_SQUARE : MEAN_SQUARE;
    double chance = 0;
    atn_status st = ATN_OK;

    choose_pairs(t, most);
    if (t->pairs == 0) return no_pairs(cx, bound, most, out);
    ATN_TRY(
        atn_parallel(cx, (t->draws + CHUNK - 1) / CHUNK, draw_task, t, "Scatterbrain"));
    for (atn_idx e = 0; e < t->pairs; e++)
        chance += t->pair[e].chance / (double)t->pairs;
    if (variances) {
        ATN_TRY(add_mean(cx, t, bound, t->variance, 1, most, out));
        goto done;
    }
    ATN_TRY(add_mean(cx, t, bound, t->mean, 1, most, out));
    ATN_TRY(add_mean(cx, t, &atn_bound_sign_collision, t->met, chance, most, out));
done:
    return st;
}

/* ---- the method against its parts ---- */

typedef struct part {
    const char *id;
    char params[96];
    double weights, output; /* relative errors */
} part;

static atn_status measure(atn_ctx *cx, const atn_head_facts *f, uint64_t seed, part *p)
{
    const atn_input in = {
        .head = &f->head, .heads = 1, .group = 1, .layers = 1, .seed = seed};
    const atn_arena_mark mark = atn_arena_save(cx);
    double *w = NULL, off = 0, all = 0, o_off = 0, o_all = 0;
    atn_choice c;
    atn_plan plan = {0};
    atn_status st = ATN_OK;

    ATN_TAKE(w, f->nq * f->nk);
    ATN_TRY(atn_choice_read(cx, p->id, p->params, &c));
    ATN_TRY(atn_choice_plan(cx, &c, &in, 0, &plan));
    ATN_TRY(atn_plan_rows(cx, &f->head, &plan, 0, f->nq, w));
    for (atn_idx e = 0; e < f->nq * f->nk; e++) {
        w[e] -= f->p[e];
        off += w[e] * w[e];
        all += f->p[e] * f->p[e];
    }
    for (atn_idx e = 0; e < f->nq * f->dv; e++) {
        double sum = 0;

        for (atn_idx j = 0; j < f->nk; j++)
            sum += w[e / f->dv * f->nk + j] * f->v[j * f->dv + e % f->dv];
        o_off += sum * sum;
        o_all += f->o[e] * f->o[e];
    }
    p->weights = all > 0 ? sqrt(off / all) : NAN;
    p->output = o_all > 0 ? sqrt(o_off / o_all) : NAN;
done:
    atn_plan_release(cx, &plan);
    atn_arena_rewind(cx, mark);
    return st;
}

static atn_status add_parts(atn_ctx *cx, const char *what, double sparse, double low,
                            double both, atn_idx numbers, atn_checks *out)
{
    atn_check c = {
        .bound = &atn_bound_scatterbrain_parts, .measured = both, .trials = 1};

    c.predicted = atn_bound_predict(c.bound, &(atn_quantities){.x = {sparse, low}});
    c.not_here = isnan(both);
    snprintf(c.variant, sizeof c.variant, "%s, %lld numbers", what, (long long)numbers);
    snprintf(c.note, sizeof c.note, "sparse %.4g, features %.4g", sparse, low);
    return atn_checks_add(cx, out, &c);
}

static atn_status check_parts(atn_ctx *cx, const trials *t, atn_checks *out)
{
    const atn_head_facts *f = t->f;
    const atn_idx numbers = ATN_MAX(f->nk / SHARE, 8);
    part sparse = {.id = "window"}, low = {.id = "scatterbrain"};
    part both = {.id = "scatterbrain"};
    atn_status st = ATN_OK;

    /* a bidirectional window of w shows 2 w + 1 keys */
    snprintf(sparse.params, sizeof sparse.params, "window=%lld",
             (long long)(f->head.sight.causal ? numbers : numbers / 2));
    snprintf(low.params, sizeof low.params, "window=0,features=%lld",
             (long long)(numbers / 2));
    snprintf(both.params, sizeof both.params, "window=%lld,features=%lld",
             (long long)(f->head.sight.causal ? numbers : numbers / 2),
             (long long)(numbers / 4));
    ATN_TRY(measure(cx, f, t->seed, &sparse));
    ATN_TRY(measure(cx, f, t->seed, &low));
    ATN_TRY(measure(cx, f, t->seed, &both));
    ATN_TRY(add_parts(cx, "weights", sparse.weights, low.weights, both.weights, numbers,
                      out));
    ATN_TRY(
        add_parts(cx, "output", sparse.output, low.output, both.output, numbers, out));
done:
    return st;
}

static atn_status head(atn_ctx *cx, const atn_trial_head *h, atn_checks *out)
{
    const atn_arena_mark mark = atn_arena_save(cx);
    trials t = {.f = h->facts, .seed = h->seed, .draws = h->trials};
    atn_status st = ATN_OK;

    if (t.f->nq == 0 || t.f->nk == 0 || t.f->dv == 0) return ATN_OK;
    /* features know no cap, and x' is of a scale above 0 */
    if (t.f->head.sight.softcap > 0 || !(t.f->head.scale > 0)) return ATN_OK;
    ATN_TAKE(t.mean, t.draws);
    ATN_TAKE(t.variance, t.draws);
    ATN_TAKE(t.met, t.draws);
    ATN_TRY(check_laws(cx, &t, false, out));
    ATN_TRY(check_laws(cx, &t, true, out));
    ATN_TRY(check_parts(cx, &t, out));
done:
    atn_arena_rewind(cx, mark);
    return st;
}

const atn_experiment atn_experiment_scatterbrain = {
    .id = "scatterbrain",
    .label = "V15",
    .title = "Scatterbrain: mean, variance, and its parts",
    .text =
        "entries before normalisation, which no method gives out, so by draws of our "
        "own of features and hashes; the error of the method against its support and "
        "its features alone",
    .source = "cards/kernel-theory.md, card 1 and V15; Chen et al., arXiv 2110.15343",
    .qk = true,
    .values = true,
    .sides = ATN_BOTH_WAYS,
    .trials = 5000,
    .head = head,
    .bounds = "scatterbrain_mean scatterbrain_variance sign_collision "
              "scatterbrain_parts",
};
