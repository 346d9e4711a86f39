/* analysis/experiments/method_limits.c -- settings at which recurrent methods and
 * Combiner are something else: softmax attention, an average, linear attention, an
 * exact memory.
 *
 * Math    theory/recurrence.c. Rows of a plan come from the plain reference, those of
 *         softmax attention from the facts of the head. The memory is run once more
 *         token by token in this file.
 * Cost    plans, rows, and 10 n d dv flop twice a head.
 * Limits  of bidirectional heads Combiner alone, without the summary of the own
 *         segment.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "analysis/experiments/method_run.h"
#include "analysis/experiments/worst.h"

extern const atn_experiment atn_experiment_method_limits;

enum { ROWS = 16 };

static double dot(const double *x, const double *y, atn_idx n)
{
    double sum = 0;

    for (atn_idx e = 0; e < n; e++) sum += x[e] * y[e];
    return sum;
}

static atn_status add(atn_ctx *cx, atn_checks *out, const atn_worst *w,
                      const atn_bound *bound, const char *variant)
{
    const atn_check c = atn_worst_check(w, bound, variant);

    return atn_checks_add(cx, out, &c);
}

/* ---- rows of weights ---- */

/* A method at a limit, and the weight that (i, j) has there. */
typedef struct limit {
    const atn_bound *bound;
    const char *variant, *id, *params;
    double (*weight)(const atn_head_facts *f, atn_idx i, atn_idx j);
} limit;

static double of_softmax(const atn_head_facts *f, atn_idx i, atn_idx j)
{
    return f->p[i * f->nk + j];
}

/* Gates of 1/2, a power of two for each step, which floats hold. */
static double of_average(const atn_head_facts *f, atn_idx i, atn_idx j)
{
    atn_idx lo, hi;

    atn_sight_row(&f->head.sight, i, &lo, &hi);
    return j >= lo && j < hi ? .5 * exp2(-(double)(hi - 1 - j)) : 0;
}

static double of_products(const atn_head_facts *f, atn_idx i, atn_idx j)
{
    atn_idx lo, hi;

    atn_sight_row(&f->head.sight, i, &lo, &hi);
    return j >= lo && j < hi ? dot(f->q + i * f->d, f->k + j * f->d, f->d) : 0;
}

static atn_status compare_rows(atn_ctx *cx, const atn_head_facts *f, const limit *l,
                               const atn_plan *p, atn_worst *worst)
{
    const atn_arena_mark mark = atn_arena_save(cx);
    atn_status st = ATN_OK;
    double *w = NULL;

    ATN_TAKE(w, ROWS * f->nk);
    for (atn_idx first = 0; first < f->nq; first += ROWS) {
        const atn_idx n = ATN_MIN(ROWS, f->nq - first);

        ATN_TRY(atn_plan_rows(cx, &f->head, p, first, n, w));
        for (atn_idx r = 0; r < n; r++) {
            double scale = 1;

            for (atn_idx j = 0; j < f->nk; j++)
                scale = fmax(scale, fabs(l->weight(f, first + r, j)));
            for (atn_idx j = 0; j < f->nk; j++) {
                const double plain = l->weight(f, first + r, j), w_j = w[r * f->nk + j];

                /* floats hold no smaller ones */
                if (fabs(plain) < 1e-30 && fabs(w_j) < 1e-30) continue;
                atn_worst_take(worst, ATN_EQUAL, plain, w_j, scale);
            }
        }
    }
done:
    atn_arena_rewind(cx, mark);
    return st;
}

static atn_status check_limit(atn_ctx *cx, const atn_head_facts *f, const limit *l,
                              atn_checks *out)
{
    char refused[ATN_CHECK_TEXT];
    atn_status st = ATN_OK;
    atn_worst worst = {0};
    atn_plan p = {0};

    ATN_TRY(atn_method_try(cx, &f->head, l->id, l->params, &p, refused));
    if (refused[0]) {
        ATN_TRY(atn_method_refused(cx, out, l->bound->id, l->variant, refused));
        goto done;
    }
    ATN_TRY(compare_rows(cx, f, l, &p, &worst));
    ATN_TRY(add(cx, out, &worst, l->bound, l->variant));
done:
    atn_plan_release(cx, &p);
    return st;
}

/* Summaries of several tokens know neither biases nor a cap. */
static bool is_plain(const atn_head_facts *f)
{
    return !atn_head_has_bias(&f->head) && !(f->head.sight.softcap > 0);
}

static atn_status check_weights(atn_ctx *cx, const atn_head_facts *f, atn_checks *out)
{
    char all[48], whole[64];
    const limit limits[] = {
        {&atn_bound_rat_limit, "chunk 1", "rat", "chunk=1,gate=0", of_softmax},
        {&atn_bound_rat_limit, "one chunk", "rat", "chunk=1073741824,gate=.5",
         of_average},
        {&atn_bound_combiner_limit, "segments of 1", "combiner",
         "form=fixed,block=1,own=no", of_softmax},
        {&atn_bound_combiner_limit, "one segment", "combiner", all, of_softmax},
        {&atn_bound_titans_limit, "one chunk", "titans", whole, of_products}};
    atn_status st = ATN_OK;

    snprintf(all, sizeof all, "form=fixed,block=%lld,own=no", (long long)f->nk);
    snprintf(whole, sizeof whole, "eta=0,alpha=0,theta=.5,chunk=%lld",
             (long long)f->nk);
    for (size_t k = 0; k < ATN_LEN(limits); k++) {
        const bool is_combiner = strcmp(limits[k].id, "combiner") == 0;

        if (is_combiner ? !is_plain(f) : !f->head.sight.causal) continue;
        ATN_TRY(check_limit(cx, f, &limits[k], out));
    }
done:
    return st;
}

/* ---- a memory ---- */

enum { TAUGHT = 48 };

typedef struct memory {
    double eta, alpha;
    atn_idx chunk;
    double *w, *s, *start; /* [dv, d] */
} memory;

/* Token t goes in, at the calm step of 1 / (2 chunk |k|^2). */
static void write_token(const atn_head_facts *f, const memory *m, atn_idx t)
{
    const double *k = f->k + t * f->d, *v = f->v + t * f->dv;
    const double size = dot(k, k, f->d);
    const double step = size > 0 ? .5 / (size * (double)m->chunk) : 0;
    const atn_idx all = f->d * f->dv;

    if (t % m->chunk == 0) memcpy(m->start, m->w, (size_t)all * sizeof *m->w);
    for (atn_idx c = 0; c < f->dv; c++) {
        const double miss = 2 * (dot(m->start + c * f->d, k, f->d) - v[c]);

        for (atn_idx e = 0; e < f->d; e++) {
            double *w = &m->w[c * f->d + e], *s = &m->s[c * f->d + e];

            *s = m->eta * *s - step * miss * k[e];
            *w = (1 - m->alpha) * *w + *s;
        }
    }
}

/* o [n, dv] <- what queries q read, token by token; *scale <- largest |W| |q|. */
static atn_status run_memory(atn_ctx *cx, const atn_head_facts *f, memory m,
                             const double *q, double *o, double *scale)
{
    const atn_arena_mark mark = atn_arena_save(cx);
    const atn_idx all = f->d * f->dv;
    atn_status st = ATN_OK;

    ATN_TAKE(m.w, all);
    ATN_TAKE(m.s, all);
    ATN_TAKE(m.start, all);
    memset(m.w, 0, (size_t)all * sizeof *m.w);
    memset(m.s, 0, (size_t)all * sizeof *m.s);
    *scale = 0;
    for (atn_idx t = 0; t < f->nk; t++) {
        const double *of = q + t * f->d;

        write_token(f, &m, t);
        *scale = fmax(*scale, sqrt(dot(m.w, m.w, all) * dot(of, of, f->d)));
        for (atn_idx c = 0; c < f->dv; c++)
            o[t * f->dv + c] = dot(m.w + c * f->d, of, f->d);
    }
done:
    atn_arena_rewind(cx, mark);
    return st;
}

/* The method against the recurrence; asked with keys, against the values themselves. */
static atn_status check_memory(atn_ctx *cx, const atn_head_facts *f, memory m,
                               bool with_keys, atn_checks *out)
{
    const atn_arena_mark mark = atn_arena_save(cx);
    const atn_bound *bound =
        with_keys ? &atn_bound_titans_write : &atn_bound_titans_chunk;
    char params[64], variant[48], refused[ATN_CHECK_TEXT];
    double *o = NULL, *plain = NULL, scale = 0;
    atn_head h = f->head;
    atn_status st = ATN_OK;
    atn_worst worst = {0};
    atn_plan p = {0};

    if (with_keys) h.q = h.k;
    snprintf(params, sizeof params, "eta=%g,alpha=%g,chunk=%lld", m.eta, m.alpha,
             (long long)m.chunk);
    snprintf(variant, sizeof variant, "chunk %lld", (long long)m.chunk);
    ATN_TRY(atn_method_try(cx, &h, "titans", params, &p, refused));
    if (refused[0]) {
        ATN_TRY(atn_method_refused(cx, out, bound->id, variant, refused));
        goto done;
    }
    ATN_TAKE(o, f->nk * f->dv);
    ATN_TAKE(plain, f->nk * f->dv);
    ATN_TRY(run_memory(cx, f, m, with_keys ? f->k : f->q, plain, &scale));
    ATN_TRY(atn_method_output(cx, &h, &p, o));
    for (atn_idx t = 0; t < f->nk; t++) {
        const double *k = f->k + t * f->d;

        if (with_keys && !(dot(k, k, f->d) > 0)) continue; /* a key of zeros */
        for (atn_idx e = t * f->dv; e < (t + 1) * f->dv; e++)
            atn_worst_take(&worst, ATN_EQUAL, with_keys ? f->v[e] : plain[e], o[e],
                           scale);
    }
    ATN_TRY(add(cx, out, &worst, bound, variant));
done:
    atn_plan_release(cx, &p);
    atn_arena_rewind(cx, mark);
    return st;
}

/* One key and value, over and over, at `times` the limit of the step: *calm = what is
 * missed gets less. */
static atn_status teach(atn_ctx *cx, const atn_head *h, double eta, double theta,
                        bool *calm, char refused[ATN_CHECK_TEXT])
{
    const atn_arena_mark mark = atn_arena_save(cx);
    const atn_idx dv = h->v.cols;
    const float *v = atn_crow(h->v, 0);
    double *o = NULL, first = 0, last = 0;
    char params[80];
    atn_status st = ATN_OK;
    atn_plan p = {0};

    snprintf(params, sizeof params, "eta=%g,alpha=0,chunk=1,theta=%.17g", eta, theta);
    ATN_TRY(atn_method_try(cx, h, "titans", params, &p, refused));
    if (refused[0]) goto done;
    ATN_TAKE(o, h->nq * dv);
    ATN_TRY(atn_method_output(cx, h, &p, o));
    for (atn_idx e = 0; e < dv; e++) {
        first += pow((double)v[e], 2);
        last += pow(o[(h->nq - 1) * dv + e] - (double)v[e], 2);
    }
    *calm = last < first;
done:
    atn_plan_release(cx, &p);
    atn_arena_rewind(cx, mark);
    return st;
}

/* The largest step of these that is calm, against what is said of it. */
static atn_status check_step(atn_ctx *cx, const atn_head_facts *f, atn_checks *out)
{
    static const double times[] = {.5, .9, .99, 1.01, 1.1};
    const atn_arena_mark mark = atn_arena_save(cx);
    const atn_quantities q = {.x = {.5, 4}};
    atn_check c = {.bound = &atn_bound_titans_stable, .lo = .98, .hi = 1};
    char refused[ATN_CHECK_TEXT] = "";
    atn_head h = f->head;
    atn_status st = ATN_OK;
    float *k = NULL, *v = NULL;

    h.nq = h.nk = h.sight.key_last = TAUGHT;
    ATN_TAKE(k, TAUGHT * f->d);
    ATN_TAKE(v, TAUGHT * f->dv);
    /* of length 2; the sign of each entry is that of the first key's */
    for (atn_idx e = 0; e < TAUGHT * f->d; e++)
        k[e] = (float)copysign(2 / sqrt((double)f->d), f->k[e % f->d]);
    for (atn_idx e = 0; e < TAUGHT * f->dv; e++) v[e] = 1;
    h.q = h.k = (atn_cmat){k, TAUGHT, f->d, f->d};
    h.v = (atn_cmat){v, TAUGHT, f->dv, f->dv};
    c.predicted = atn_bound_predict(c.bound, &q);
    for (size_t s = 0; s < ATN_LEN(times) && !refused[0]; s++) {
        bool calm = false;

        ATN_TRY(teach(cx, &h, q.x[0], times[s] * c.predicted, &calm, refused));
        if (calm) c.measured = times[s] * c.predicted;
    }
    snprintf(c.variant, sizeof c.variant, "eta=%g, |k|=2", q.x[0]);
    c.not_here = refused[0] != 0;
    c.cases = ATN_LEN(times);
    snprintf(c.note, sizeof c.note, "%s",
             c.not_here ? refused : "steps of .5, .9, .99, 1.01, 1.1 times the limit");
    ATN_TRY(atn_checks_add(cx, out, &c));
done:
    atn_arena_rewind(cx, mark);
    return st;
}

static atn_status check_memories(atn_ctx *cx, const atn_head_facts *f, atn_checks *out)
{
    const atn_sight *s = &f->head.sight;
    atn_status st = ATN_OK;

    if (!s->causal || f->nq != f->nk || s->offset != 0) return ATN_OK;
    ATN_TRY(check_memory(cx, f, (memory){.chunk = 1}, true, out));
    ATN_TRY(check_memory(cx, f, (memory){.5, .125, 1, 0, 0, 0}, false, out));
    ATN_TRY(check_memory(cx, f, (memory){.5, .125, ATN_MIN(16, f->nk), 0, 0, 0}, false,
                         out));
    if (f->nk >= TAUGHT && f->d > 0 && f->dv > 0) ATN_TRY(check_step(cx, f, out));
done:
    return st;
}

static atn_status head(atn_ctx *cx, const atn_trial_head *t, atn_checks *out)
{
    atn_status st = ATN_OK;

    ATN_TRY(check_weights(cx, t->facts, out));
    ATN_TRY(check_memories(cx, t->facts, out));
done:
    return st;
}

const atn_experiment atn_experiment_method_limits = {
    .id = "method_limits",
    .label = "V21",
    .title = "Methods at their limits",
    .text = "RAT, Combiner and Titans where they are softmax attention, an average, "
            "linear attention or an exact memory",
    .source = "own derivation",
    .qk = true,
    .values = true,
    .sides = ATN_BOTH_WAYS,
    .most = 512,
    .head = head,
    .bounds = "rat_limit combiner_limit titans_limit titans_write titans_chunk "
              "titans_stable",
};
