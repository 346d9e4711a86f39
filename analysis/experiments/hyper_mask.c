/* analysis/experiments/hyper_mask.c -- masks of large entries, and what they leave. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "analysis/experiments/hyper_mask.h"

#include <math.h>
#include <string.h>

#include "approx/grouping.h"
#include "approx/plane_hash.h"
#include "core/rng.h"

/* label [rows] <- places of the words of x [rows, d]. */
static void hash_rows(const double *x, atn_idx rows, atn_idx d, const double *planes,
                      const atn_hash_blocks *how, int32_t *label)
{
    for (atn_idx i = 0; i < rows; i++) {
        uint32_t word = 0;

        for (int l = 0; l < how->bits; l++) {
            double sum = 0;

            for (atn_idx c = 0; c < d; c++) sum += x[i * d + c] * planes[l * d + c];
            if (sum > 0) word |= (uint32_t)1 << l;
        }
        label[i] = atn_gray_place(word, how->published);
    }
}

/* label [rows] <- the block that each row is in. */
static atn_status cut(atn_ctx *cx, int32_t *label, atn_idx rows, atn_idx block)
{
    const atn_arena_mark mark = atn_arena_save(cx);
    atn_status st = ATN_OK;
    int32_t *order = NULL;

    ATN_TAKE(order, rows);
    ATN_TRY(atn_label_order(cx, label, rows, order));
    for (atn_idx e = 0; e < rows; e++) label[order[e]] = (int32_t)(e / block);
done:
    atn_arena_rewind(cx, mark);
    return st;
}

atn_status atn_hash_mask(atn_ctx *cx, const atn_head_facts *f,
                         const atn_hash_blocks *how, bool *mask)
{
    const atn_arena_mark mark = atn_arena_save(cx);
    const atn_idx blocks = ATN_MAX((f->nk + how->block - 1) / how->block, 1);
    atn_rng r = atn_rng_stream(how->seed, "experiments/hash", f->head.layer,
                               f->head.head + (how->draw << 20));
    atn_status st = ATN_OK;
    double *planes = NULL;
    int32_t *q = NULL, *k = NULL;

    ATN_TAKE(planes, how->bits * f->d);
    ATN_TAKE(q, f->nq);
    ATN_TAKE(k, f->nk);
    for (atn_idx e = 0; e < how->bits * f->d; e++) planes[e] = atn_rng_normal(&r);
    hash_rows(f->q, f->nq, f->d, planes, how, q);
    hash_rows(f->k, f->nk, f->d, planes, how, k);
    ATN_TRY(cut(cx, q, f->nq, ATN_MAX((f->nq + blocks - 1) / blocks, 1)));
    ATN_TRY(cut(cx, k, f->nk, how->block));
    for (atn_idx i = 0; i < f->nq; i++)
        for (atn_idx j = 0; j < f->nk; j++) mask[i * f->nk + j] = q[i] == k[j];
done:
    atn_arena_rewind(cx, mark);
    return st;
}

atn_status atn_largest_mask(atn_ctx *cx, const atn_head_facts *f, atn_idx n, bool *mask)
{
    const atn_arena_mark mark = atn_arena_save(cx);
    atn_status st = ATN_OK;
    double *best = NULL;

    ATN_TAKE(best, n + 1);
    memset(mask, 0, (size_t)(f->nq * f->nk) * sizeof *mask);
    for (atn_idx i = 0; i < f->nq; i++) {
        const double *p = f->p + i * f->nk;
        atn_idx have = 0, left;

        /* the n largest, descending: the last is the limit */
        for (atn_idx j = 0; j < f->nk; j++) {
            atn_idx e = have < n ? have++ : n;

            for (; e > 0 && best[e - 1] < p[j]; e--) best[e] = best[e - 1];
            best[e] = p[j];
        }
        left = ATN_MIN(have, n);
        for (atn_idx j = 0; j < f->nk && left > 0; j++)
            if (p[j] > best[ATN_MIN(have, n) - 1]) {
                mask[i * f->nk + j] = true;
                left--;
            }
        for (atn_idx j = 0; j < f->nk && left > 0; j++)
            if (p[j] == best[ATN_MIN(have, n) - 1]) {
                mask[i * f->nk + j] = true;
                left--;
            }
    }
done:
    atn_arena_rewind(cx, mark);
    return st;
}

/* Of one row: entries left, their log-sum-exp, smallest and largest logit. */
typedef struct row_left {
    atn_idx seen, n;
    double lse, lo, hi;
} row_left;

static row_left left_in_row(const atn_head_facts *f, const bool *mask, atn_idx i)
{
    const double *s = f->s + i * f->nk;
    row_left r = {.lo = INFINITY, .hi = -INFINITY};
    double sum = 0;

    for (atn_idx j = 0; j < f->nk; j++) {
        if (s[j] == -INFINITY) continue;
        r.seen++;
        if (mask && mask[i * f->nk + j]) continue;
        r.n++;
        r.lo = fmin(r.lo, s[j]);
        r.hi = fmax(r.hi, s[j]);
    }
    for (atn_idx j = 0; r.n > 0 && j < f->nk; j++)
        if (s[j] != -INFINITY && !(mask && mask[i * f->nk + j]))
            sum += exp(s[j] - r.hi);
    r.lse = r.hi + log(sum);
    return r;
}

void atn_unmasked_of(const atn_head_facts *f, const bool *mask, double *norm,
                     atn_unmasked *out)
{
    double lo = INFINITY, hi = -INFINITY, least = INFINITY, largest = -INFINITY;

    *out = (atn_unmasked){.fewest = INFINITY};
    memset(norm, 0, (size_t)f->nk * sizeof *norm);
    for (atn_idx i = 0; i < f->nq; i++) {
        const row_left r = left_in_row(f, mask, i);

        out->without += r.seen > 0 && r.n == 0;
        if (r.n == 0) continue;
        out->rows++;
        out->fewest = fmin(out->fewest, (double)r.n);
        out->most = fmax(out->most, (double)r.n);
        lo = fmin(lo, r.lo);
        hi = fmax(hi, r.hi);
        least = fmin(least, r.lse);
        largest = fmax(largest, r.lse);
        for (atn_idx j = 0; j < f->nk; j++) {
            const double p = mask && mask[i * f->nk + j] ? 0 : f->p[i * f->nk + j];
            norm[j] += p * p;
        }
    }
    out->ln_kappa = out->rows > 0 ? largest - least : NAN;
    out->range = out->rows > 0 ? hi - lo : NAN;
    for (atn_idx j = 0; j < f->nk; j++) {
        out->square += norm[j];
        out->alpha = fmax(out->alpha, (double)f->nk * norm[j]);
        norm[j] = sqrt(norm[j]);
    }
}
