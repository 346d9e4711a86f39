/* analysis/experiments/facts.c -- the weights of a head in double, and what follows. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "analysis/experiments/facts.h"

#include <float.h>
#include <math.h>
#include <string.h>

#include "core/linalg.h"
#include "core/plan.h"
#include "core/svd.h"
#include "core/wide_rows.h"

/* The first tokens of a head. */
static atn_head cut_head(const atn_head *h, atn_idx most)
{
    atn_head t = *h;

    t.nq = ATN_MIN(h->nq, most);
    t.nk = ATN_MIN(h->nk, most);
    t.q.rows = h->q.data ? t.nq : 0;
    t.k.rows = h->k.data ? t.nk : 0;
    t.v.rows = h->v.data ? t.nk : 0;
    if (h->p.data) t.p = (atn_cmat){h->p.data, t.nq, t.nk, h->p.ld};
    t.sight.key_last = t.nk;
    t.has_sink = false;
    return t;
}

static void widen(atn_cmat m, double *out)
{
    for (atn_idx i = 0; i < m.rows; i++)
        for (atn_idx e = 0; e < m.cols; e++)
            out[i * m.cols + e] = (double)atn_crow(m, i)[e];
}

static atn_status take_wide(atn_ctx *cx, atn_cmat m, double **out)
{
    atn_status st = ATN_OK;

    if (!m.data) return ATN_OK;
    ATN_NEW(*out, m.rows * m.cols);
    widen(m, *out);
done:
    return st;
}

/* Row i, whose logits (or given weights) of all keys are z. */
static void set_row(atn_head_facts *f, atn_idx i, const double *z)
{
    double *s = f->s + i * f->nk, *p = f->p + i * f->nk;
    double max = -INFINITY, sum = 0, entropy = 0, squares = 0;
    atn_idx lo, hi;

    atn_sight_row(&f->head.sight, i, &lo, &hi);
    for (atn_idx j = 0; j < f->nk; j++) {
        const double x = f->head.p.data ? log(z[j]) : z[j];

        s[j] = j >= lo && j < hi ? x : -INFINITY;
        max = fmax(max, s[j]);
    }
    if (max == -INFINITY) {
        memset(p, 0, (size_t)f->nk * sizeof *p);
        return;
    }
    for (atn_idx j = 0; j < f->nk; j++) sum += p[j] = exp(s[j] - max);
    f->lse[i] = max + log(sum);
    for (atn_idx j = 0; j < f->nk; j++) {
        p[j] /= sum;
        if (p[j] > 0) entropy -= p[j] * (s[j] - f->lse[i]);
        squares += p[j] * p[j];
    }
    f->entropy[i] = fmax(entropy, 0);
    f->renyi[i] = fmax(-log(squares), 0);
}

static atn_status bad_logit(atn_ctx *cx, const atn_head_facts *f, atn_idx i)
{
    return atn_fail(cx, ATN_DATA, __FILE__, __LINE__,
                    "layer %d, head %d, row %lld: a logit or weight is NaN or infinite "
                    "(look for NaN in the model's weights or the imported tensors)",
                    f->head.layer, f->head.head, (long long)i);
}

/* The first key whose logit the rows of a head, which are of float, cannot hold, among
 * those that query i sees; nk = none. */
static atn_idx overflow_of(const atn_head_facts *f, atn_idx i, const double *z)
{
    atn_idx lo, hi;

    if (f->head.p.data) return f->nk;
    atn_sight_row(&f->head.sight, i, &lo, &hi);
    while (lo < hi && fabs(z[lo]) <= (double)FLT_MAX) lo++;
    return lo < hi ? lo : f->nk;
}

static atn_status set_rows(atn_ctx *cx, atn_head_facts *f)
{
    const atn_arena_mark mark = atn_arena_save(cx);
    const atn_idx step = atn_wide_rows(&f->head);
    atn_status st = ATN_OK;
    double *z = NULL;

    ATN_TAKE(z, step * f->nk);
    for (atn_idx first = 0; first < f->nq; first += step) {
        const atn_tile t = {first, ATN_MIN(step, f->nq - first), 0, f->nk};

        ATN_TRY(atn_wide_logits(cx, &f->head, &t, z));
        for (atn_idx r = 0; r < t.rows * f->nk; r++)
            if (!isfinite(z[r])) ATN_TRY(bad_logit(cx, f, first + r / f->nk));
        for (atn_idx r = 0; r < t.rows; r++) {
            if (overflow_of(f, first + r, z + r * f->nk) < f->nk)
                ATN_TRY(bad_logit(cx, f, first + r));
            set_row(f, first + r, z + r * f->nk);
        }
    }
done:
    atn_arena_rewind(cx, mark);
    return st;
}

static atn_status set_output(atn_ctx *cx, atn_head_facts *f)
{
    atn_status st = ATN_OK;

    if (!f->v) return ATN_OK;
    ATN_NEW(f->o, f->nq * f->dv);
    atn_gemm_wide(ATN_AB, 1, (atn_cwide){f->p, f->nq, f->nk, f->nk},
                  (atn_cwide){f->v, f->nk, f->dv, f->dv}, 0,
                  (atn_wide){f->o, f->nq, f->dv, f->dv});
done:
    return st;
}

atn_status atn_head_facts_make(atn_ctx *cx, const atn_head *h, atn_idx most,
                               atn_head_facts *out)
{
    atn_idx first_row;
    const atn_head whole = atn_head_trim(h, &first_row);
    atn_status st = ATN_OK;
    atn_idx pairs;

    *out = (atn_head_facts){.head = cut_head(&whole, most)};
    out->nq = out->head.nq;
    out->nk = out->head.nk;
    out->d = out->head.q.cols;
    out->dv = out->head.v.data ? out->head.v.cols : 0;
    out->cut = out->nq < whole.nq || out->nk < whole.nk;
    if (!atn_mul(out->nq, out->nk, &pairs))
        ATN_FAIL(ATN_MEMORY, "a matrix of %lld x %lld is too large", (long long)out->nq,
                 (long long)out->nk);
    ATN_TRY(atn_mem_check(cx, atn_head_facts_bytes(h, most), "weights of a head"));
    ATN_NEW(out->s, pairs);
    ATN_NEW(out->p, pairs);
    ATN_NEW(out->lse, out->nq);
    ATN_NEW(out->entropy, out->nq);
    ATN_NEW(out->renyi, out->nq);
    ATN_TRY(take_wide(cx, out->head.q, &out->q));
    ATN_TRY(take_wide(cx, out->head.k, &out->k));
    ATN_TRY(take_wide(cx, out->head.v, &out->v));
    for (atn_idx i = 0; i < out->nq; i++)
        out->lse[i] = out->entropy[i] = out->renyi[i] = NAN;
    if (out->nk > 0) ATN_TRY(set_rows(cx, out));
    ATN_TRY(set_output(cx, out));
done:
    return st;
}

atn_status atn_head_facts_spectrum(atn_ctx *cx, atn_head_facts *f, bool vectors)
{
    const atn_arena_mark mark = atn_arena_save(cx);
    const atn_idx r = ATN_MIN(f->nq, f->nk);
    atn_status st = ATN_OK;
    double *a = NULL;

    if (f->u || (f->sigma && !vectors)) return ATN_OK;
    ATN_TAKE(a, f->nq * f->nk);
    if (f->nq * f->nk > 0) memcpy(a, f->p, (size_t)(f->nq * f->nk) * sizeof *a);
    if (!f->sigma) ATN_NEW(f->sigma, r);
    if (vectors) {
        ATN_NEW(f->u, f->nq * r);
        ATN_NEW(f->vt, r * f->nk);
    }
    ATN_TRY(atn_svd(cx, a, f->nq, f->nk, f->sigma, f->u, f->vt));
done:
    atn_arena_rewind(cx, mark);
    return st;
}

void atn_head_facts_release(atn_ctx *cx, atn_head_facts *f)
{
    atn_free(cx, f->s);
    atn_free(cx, f->p);
    atn_free(cx, f->q);
    atn_free(cx, f->k);
    atn_free(cx, f->v);
    atn_free(cx, f->o);
    atn_free(cx, f->lse);
    atn_free(cx, f->entropy);
    atn_free(cx, f->renyi);
    atn_free(cx, f->sigma);
    atn_free(cx, f->u);
    atn_free(cx, f->vt);
    *f = (atn_head_facts){0};
}

double atn_head_facts_bytes(const atn_head *h, atn_idx most)
{
    const atn_idx nq = ATN_MIN(h->nq, most), nk = ATN_MIN(h->nk, most);
    const double m = (double)nq, n = (double)nk, r = (double)ATN_MIN(nq, nk);
    const double wide = (m + n) * (double)h->q.cols + (m + n) * (double)h->v.cols;

    return sizeof(double) * (3 * m * n + wide + 3 * m + r * (1 + m + n)) +
           atn_svd_bytes(nq, nk, true) + atn_wide_bytes(h);
}
