/* core/apply_soft.c -- entries of rows, their softmax, and how two of them become one.
 *
 * Math    of two sets of entries with (m, s, o), the largest logit, sum e^(z - m) and
 *         sum e^(z - m) v: m = max(m_1, m_2), s = s_1 e^(m_1 - m) + s_2 e^(m_2 - m), o
 *         alike. Weights of a set are float, sums over sets are double. Where o leaves
 *         the range of float, though values and outputs are within it, the weights are
 *         made 2^-11 of themselves: a set has up to 2^10 of them, none above 1. Then m
 *         is 11 ln 2 more, and the set is the same.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#include <float.h>
#include <math.h>
#include <string.h>

#include "core/apply_internal.h"
#include "core/kernels/kernels.h"

atn_source atn_source_of(const atn_run *run, const atn_part *part)
{
    atn_source s = {run->h->q, run->h->k, run->h->v};

    if (part->q) s.q = (atn_cmat){part->q, s.q.rows, s.q.cols, s.q.cols};
    if (part->k) s.k = (atn_cmat){part->k, s.k.rows, s.k.cols, s.k.cols};
    return s;
}

static atn_status bad_logit(atn_ctx *cx, const atn_head *h, atn_idx i)
{
    return atn_fail(cx, ATN_DATA, __FILE__, __LINE__,
                    "layer %d, head %d, row %lld: a logit or weight is NaN or infinite "
                    "(look for NaN in the model's weights or the imported tensors)",
                    h->layer, h->head, (long long)atn_sight_query(&h->sight, i));
}

/* ---- what makes a logit ---- */

/* n logits of a row, of key[c] or of key0 + c. */
typedef struct stretch {
    float *x;
    atn_idx n;
    const int32_t *key;
    atn_idx key0;
} stretch;

/* x <- ln of the weights of row i; false: one of them is none. */
static bool given_logits(const atn_head *h, atn_idx i, const stretch *s)
{
    const float *p = atn_crow(h->p, i);
    bool good = true;

    for (atn_idx c = 0; c < s->n; c++) {
        const float w = p[s->key ? s->key[c] : s->key0 + c];

        good &= w >= 0 && w <= FLT_MAX;
        s->x[c] = logf(w);
    }
    return good;
}

static void own_last(const stretch *s, atn_idx at)
{
    if (!s->key && at >= s->key0 && at < s->key0 + s->n)
        s->x[at - s->key0] = (float)ATN_SELF_LAST;
    for (atn_idx c = 0; s->key && c < s->n; c++)
        if (s->key[c] == at) s->x[c] = (float)ATN_SELF_LAST;
}

/* Virtual keys have no cap. */
static void cap_logits(const atn_head *h, const stretch *s)
{
    for (atn_idx c = 0, end; c < s->n; c = end + 1) {
        for (end = s->key ? c : s->n; end < s->n && s->key[end] < h->nk;) end++;
        atn_row_softcap(s->x + c, end - c, (float)h->sight.softcap);
    }
}

/* A bias by relative position; virtual keys have none. */
static void add_bias(const atn_head *h, atn_idx at, const stretch *s)
{
    const atn_idx zero = h->rel_zero - at;

    if (s->key)
        atn_row_bias_at(s->x, s->key, s->n, h->rel_bias, zero, h->nk);
    else if (s->n > 0)
        atn_vec_add(h->rel_bias + (zero + s->key0), s->n, s->x);
}

/* Bias, cap and what the part has of its own, onto scale q . k of row i; false where a
 * given weight is bad. */
static bool finish_logits(const atn_head *h, const atn_part *part, atn_idx i,
                          const stretch *s)
{
    const atn_idx at = atn_sight_at(&h->sight, i);
    const float slope = (float)h->alibi_slope;

    if (h->p.data) return given_logits(h, i, s);
    if (slope != 0 && s->key)
        atn_row_slope_at(s->x, s->key, s->n, slope, at, h->nk);
    else if (slope != 0)
        atn_row_slope(s->x, s->n, slope, (float)(s->key0 - at));
    if (h->rel_bias) add_bias(h, at, s);
    if (h->sight.softcap > 0) cap_logits(h, s);
    if (part->self_last && at < h->nk) own_last(s, at);
    return true;
}

static void add_log_weight(const float *log_weight, float *x, atn_idx n)
{
    for (atn_idx c = 0; c < n; c++) x[c] += log_weight[c];
}

/* ---- rectangles ---- */

void atn_rect_logits(const atn_rect *t)
{
    const atn_head *h = t->run->h;

    if (h->p.data) return; /* they are read where the weights lie */
    atn_gemm(true, (float)h->scale, t->q, t->k, 0,
             (atn_mat){t->s, t->rows, t->cols, t->ld});
}

/* The largest logit of the cuts; false where one is bad. */
static bool finish_cuts(const atn_rect *t, atn_idx r, const atn_cut *cut, atn_idx cuts,
                        float *max)
{
    const atn_idx i = atn_rect_row(t, r);
    float *s = t->s + r * t->ld;
    bool good = true;

    *max = -INFINITY;
    for (atn_idx c = 0; c < cuts; c++) {
        const atn_idx lo = cut[c].lo, n = cut[c].hi - lo;
        const stretch x = {s + lo, n, t->key ? t->key + lo : NULL, t->key0 + lo};
        float m;

        good &= finish_logits(t->run->h, t->part, i, &x);
        if (t->log_weight) add_log_weight(t->log_weight + lo, s + lo, n);
        m = atn_row_max(s + lo, n);
        *max = m > *max ? m : *max;
    }
    return good;
}

/* A given weight of 0 has the logit -inf, and no logit is below it. */
static bool all_nothing(const atn_run *run, float max)
{
    return run->h->p.data && max == -INFINITY;
}

atn_status atn_rect_soften(atn_ctx *cx, const atn_rect *t, atn_idx r,
                           const atn_cut *cut, atn_idx cuts)
{
    const atn_run *run = t->run;
    float *s = t->s + r * t->ld, max;
    bool good = finish_cuts(t, r, cut, cuts, &max);
    const bool none = cuts == 0 || all_nothing(run, max);
    atn_idx at = 0;
    double sum = 0;

    for (atn_idx c = 0; c < cuts && !none; c++) {
        bool finite;

        memset(s + at, 0, (size_t)(cut[c].lo - at) * sizeof *s);
        sum += atn_row_exp_sum(s + cut[c].lo, cut[c].hi - cut[c].lo, max, &finite);
        good &= finite || run->h->p.data;
        at = cut[c].hi;
    }
    memset(s + at, 0, (size_t)(t->cols - at) * sizeof *s);
    t->one[r] = (atn_soft){none ? 0 : (double)max, sum, cuts > 0};
    return good && isfinite(sum) ? ATN_OK : bad_logit(cx, run->h, atn_rect_row(t, r));
}

/* ---- values ---- */

static const double FADED = 11 * 0.693147180559945309417;

/* n weights and their sum become 2^-11 of what they were. */
static void fade(float *w, atn_idx n, atn_soft *one)
{
    atn_row_scale(w, n, 0x1p-11F);
    one->max += FADED;
    one->sum *= 0x1p-11;
}

static void mix_rows(const atn_rect *t)
{
    const atn_idx dv = t->run->dv;

    atn_gemm(false, 1, (atn_cmat){t->s, t->rows, t->cols, t->ld}, t->v, 0,
             (atn_mat){t->o, t->rows, dv, dv});
}

void atn_rect_mix(const atn_rect *t)
{
    const atn_idx n = t->rows * t->run->dv;

    if (n == 0) return;
    mix_rows(t);
    if (atn_finite32(t->o, n)) return;
    for (atn_idx r = 0; r < t->rows; r++) fade(t->s + r * t->ld, t->cols, &t->one[r]);
    mix_rows(t);
}

/* One row: o <- the sum, by weights w [n]. */
static void mix_picked(float *w, const atn_picks *v, atn_soft *one, float *o)
{
    atn_row_mix(w, v, o);
    if (atn_finite32(o, v->d)) return;
    fade(w, v->n, one);
    atn_row_mix(w, v, o);
}

/* ---- one row ---- */

atn_status atn_row_picked(atn_ctx *cx, const atn_run *run, const atn_part *part,
                          atn_idx i, const atn_picked *e, atn_soft *one)
{
    const atn_head *h = run->h;
    const atn_source from = atn_source_of(run, part);
    const atn_picks k = {from.k.data, from.k.ld, e->key, e->n, from.k.cols},
                    v = {from.v.data, from.v.ld, e->key, e->n, run->dv};
    const stretch logits = {e->x, e->n, e->key, 0};
    bool good, finite = true;
    float max;

    *one = (atn_soft){0, 0, e->n > 0};
    if (!h->p.data) atn_row_dots(atn_crow(from.q, i), &k, (float)h->scale, e->x);
    good = finish_logits(h, part, i, &logits);
    if (e->log_weight) add_log_weight(e->log_weight, e->x, e->n);
    max = atn_row_max(e->x, e->n);
    if (e->n > 0 && !all_nothing(run, max)) {
        one->max = (double)max;
        one->sum = atn_row_exp_sum(e->x, e->n, max, &finite);
    }
    if (!good || !isfinite(one->sum) || !(finite || h->p.data))
        return bad_logit(cx, h, i);
    if (run->dv > 0 && one->sum > 0) mix_picked(e->x, &v, one, e->o);
    return ATN_OK;
}

atn_status atn_row_logit(atn_ctx *cx, const atn_run *run, const atn_part *part,
                         atn_idx i, int32_t key, atn_soft *one)
{
    const atn_head *h = run->h;
    const atn_source from = atn_source_of(run, part);
    const atn_idx d = from.k.cols;
    const int32_t zero = 0;
    bool good = true;
    float z = 0;
    const stretch logit = {&z, 1, &key, 0};
    const float *k = NULL;

    if (!h->p.data) {
        k = key < h->nk ? atn_crow(from.k, key) : run->plan->vk + (key - h->nk) * d;
        atn_row_dots(atn_crow(from.q, i), &(atn_picks){k, d, &zero, 1, d},
                     (float)h->scale, &z);
    }
    if (key < h->nk) good = finish_logits(h, part, i, &logit);
    *one = (atn_soft){(double)z, 1, true};
    if (all_nothing(run, z)) *one = (atn_soft){0, 0, true};
    return good && (one->sum == 0 || isfinite(z)) ? ATN_OK : bad_logit(cx, h, i);
}

/* ---- two of them ---- */

/* Factors of what `to` has, and of what comes. */
static void add_factors(atn_soft *to, const atn_soft *one, double *had, double *comes)
{
    const double max = to->sum > 0 ? ATN_MAX(to->max, one->max) : one->max;

    *had = to->sum > 0 ? exp(to->max - max) : 0;
    *comes = exp(one->max - max);
    to->sum = to->sum * *had + one->sum * *comes;
    to->max = max;
}

void atn_soft_add(atn_soft *to, double *sum, const atn_soft *one, const float *o,
                  atn_idx dv)
{
    double had, comes;

    to->any |= one->any;
    if (!(one->sum > 0)) return;
    add_factors(to, one, &had, &comes);
    for (atn_idx e = 0; e < dv; e++) sum[e] = sum[e] * had + (double)o[e] * comes;
}

void atn_soft_merge(atn_soft *to, double *sum, const atn_soft *one, const double *o,
                    atn_idx dv)
{
    double had, comes;

    to->any |= one->any;
    if (!(one->sum > 0)) return;
    add_factors(to, one, &had, &comes);
    for (atn_idx e = 0; e < dv; e++) sum[e] = sum[e] * had + o[e] * comes;
}

void atn_soft_count(const atn_head *h, atn_soft *to, double *sum, const atn_soft *one,
                    const double *o, atn_idx dv)
{
    double whole = one->sum;

    to->sum += one->any;
    if (!(one->sum > 0)) return;
    if (h->has_sink) whole += exp(h->sink - one->max);
    for (atn_idx e = 0; e < dv; e++) sum[e] += o[e] / whole;
}
