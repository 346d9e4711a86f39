/* approx/shiftadd.c -- ShiftAddViT's linear attention on binary codes: sums of rows
 * instead of products.
 *
 * Math    q and k of length 1; a code has 1 where an entry is above the mean of all
 *         entries of its side of this head. y_i = v_i / 2 + (1/pi) Bq_i (Bk' V), v_i
 *         the value of the query's own token; o_i = y_i / |y_i|. A zero row stays one.
 * Oracle  <a, b> = (|a| + |b| - Hamming distance) / 2 of codes. Rows of the output have
 *         length 1. G8: 18 + 21 ones, 156 additions.
 * Source  You et al., arXiv 2306.06446; GATECH-EIC/ShiftAddViT, pvt/pvt_v2.py. From
 *         the angular kernel 1 - theta/pi = 1/2 + q.k/pi + ..; v_i / 2 is the own value
 *         and not the sum over tokens that this gives.
 * Cost    dv (ones of Bq + ones of Bk) additions, which are the flops of the plan.
 * Limits  no causal form; codes depend on all rows at hand, so a chunk of queries has
 *         others. Without the convolution over the values, and the sparse term.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "approx/shiftadd.h"

#include <math.h>
#include <string.h>

#include "approx/plain_head.h"
#include "approx/shares.h"
#include "core/rows.h"

enum { TILE = ATN_SHARE_TILE };
static const double PER_PI = 0.318309886183790671538;

typedef struct codes {
    uint8_t *q, *k; /* [nq, d], [nk, d] */
} codes;

/* ---- codes ---- */

static double inverse_length(const float *x, atn_idx d)
{
    double sum = 0;

    for (atn_idx c = 0; c < d; c++) sum += (double)x[c] * (double)x[c];
    return sum > 0 ? 1 / sqrt(sum) : 0;
}

double atn_shiftadd_codes(atn_cmat x, uint8_t *out)
{
    double mean = 0, ones = 0;

    for (atn_idx i = 0; i < x.rows; i++) {
        const double by = inverse_length(atn_crow(x, i), x.cols);
        double sum = 0;

        for (atn_idx c = 0; c < x.cols; c++) sum += by * (double)atn_crow(x, i)[c];
        mean += sum;
    }
    mean /= (double)x.rows * (double)x.cols;
    for (atn_idx i = 0; i < x.rows; i++) {
        const double by = inverse_length(atn_crow(x, i), x.cols);

        for (atn_idx c = 0; c < x.cols; c++) {
            out[i * x.cols + c] = by * (double)atn_crow(x, i)[c] > mean;
            ones += out[i * x.cols + c];
        }
    }
    return ones;
}

/* ---- the fast way: sums of values, then sums of those ---- */

typedef struct pass {
    const atn_head *h;
    const codes *b;
    double *part; /* [shares, d, dv] */
    double *o;
} pass;

static atn_status gather_share(atn_ctx *cx, atn_idx at, void *state)
{
    const pass *p = state;
    const atn_head *h = p->h;
    const atn_idx d = h->k.cols, dv = h->v.cols, keys = atn_share_keys(h->nk);
    double *part = p->part + at * d * dv;

    (void)cx;
    memset(part, 0, (size_t)(d * dv) * sizeof *part);
    for (atn_idx j = at * keys; j < ATN_MIN((at + 1) * keys, h->nk); j++) {
        const float *v = atn_crow(h->v, j);

        for (atn_idx l = 0; l < d; l++) {
            if (!p->b->k[j * d + l]) continue;
            for (atn_idx c = 0; c < dv; c++) part[l * dv + c] += (double)v[c];
        }
    }
    return ATN_OK;
}

/* The value of the query's own token, NULL where that is none of the keys. */
static const float *own_value(const atn_head *h, atn_idx i)
{
    const atn_idx at = atn_sight_at(&h->sight, i);

    return at >= 0 && at < h->nk ? atn_crow(h->v, at) : NULL;
}

static double inverse_norm(const double *y, atn_idx n)
{
    double sum = 0;

    for (atn_idx c = 0; c < n; c++) sum += y[c] * y[c];
    return sum > 0 ? 1 / sqrt(sum) : 0;
}

static atn_status give_tile(atn_ctx *cx, atn_idx at, void *state)
{
    const pass *p = state;
    const atn_head *h = p->h;
    const atn_idx d = h->q.cols, dv = h->v.cols;

    (void)cx;
    for (atn_idx i = at * TILE; i < ATN_MIN((at + 1) * TILE, h->nq); i++) {
        const float *own = own_value(h, i);
        double *o = p->o + i * dv, by;

        for (atn_idx c = 0; c < dv; c++) o[c] = 0;
        for (atn_idx l = 0; l < d; l++) {
            if (!p->b->q[i * d + l]) continue;
            for (atn_idx c = 0; c < dv; c++) o[c] += p->part[l * dv + c];
        }
        for (atn_idx c = 0; c < dv; c++)
            o[c] = PER_PI * o[c] + (own ? (double)own[c] / 2 : 0);
        by = inverse_norm(o, dv);
        for (atn_idx c = 0; c < dv; c++) o[c] *= by;
    }
    return ATN_OK;
}

static atn_status apply(atn_ctx *cx, const atn_head *h, const void *state, double *o,
                        const char *what)
{
    const atn_arena_mark mark = atn_arena_save(cx);
    const atn_idx of = h->k.cols * h->v.cols, shares = atn_shares_of(h->nk);
    pass p = {h, state, NULL, o};
    atn_status st = ATN_OK;

    memset(o, 0, (size_t)(h->nq * h->v.cols) * sizeof *o);
    if (shares == 0) return ATN_OK;
    ATN_TAKE(p.part, shares * of);
    ATN_TRY(atn_parallel(cx, shares, gather_share, &p, what));
    for (atn_idx s = 1; s < shares; s++)
        for (atn_idx e = 0; e < of; e++) p.part[e] += p.part[s * of + e];
    ATN_TRY(atn_parallel(cx, (h->nq + TILE - 1) / TILE, give_tile, &p, what));
done:
    atn_arena_rewind(cx, mark);
    return st;
}

static double apply_bytes(const atn_ctx *cx, const atn_head *h, const void *state)
{
    (void)cx;
    (void)state;
    return (double)atn_shares_of(h->nk) * (double)h->k.cols * (double)h->v.cols *
               sizeof(double) +
           512;
}

/* ---- the plain way ---- */

static atn_status rows(atn_ctx *cx, const atn_head *h, const void *state, atn_idx first,
                       atn_idx n, double *w)
{
    const atn_arena_mark mark = atn_arena_save(cx);
    const atn_idx d = h->q.cols, dv = h->v.cols;
    const codes *b = state;
    atn_status st = ATN_OK;
    double *y = NULL;

    ATN_TAKE(y, dv);
    for (atn_idx i = first; i < first + n; i++) {
        const atn_idx at = atn_sight_at(&h->sight, i);
        double *row = w + (i - first) * h->nk, by;

        for (atn_idx c = 0; c < dv; c++) y[c] = 0;
        for (atn_idx j = 0; j < h->nk; j++) {
            int both = 0;

            for (atn_idx l = 0; l < d; l++) both += b->q[i * d + l] & b->k[j * d + l];
            row[j] = PER_PI * both + (j == at ? .5 : 0);
            for (atn_idx c = 0; c < dv; c++)
                y[c] += row[j] * (double)atn_crow(h->v, j)[c];
        }
        by = inverse_norm(y, dv);
        for (atn_idx j = 0; j < h->nk; j++) row[j] *= by;
    }
done:
    atn_arena_rewind(cx, mark);
    return st;
}

/* ---- the method ---- */

static void release(atn_ctx *cx, void *state)
{
    codes *b = state;

    if (b) {
        atn_free(cx, b->q);
        atn_free(cx, b->k);
    }
    atn_free(cx, b);
}

static const atn_operator_kind kind = {
    .id = "codes",
    .apply = apply,
    .rows = rows,
    .bytes = apply_bytes,
    .release = release,
};

static atn_status plan(atn_ctx *cx, const atn_input *in, const void *params_,
                       atn_idx first, atn_idx n, atn_plan *out)
{
    const atn_head *h = &in->head[first];
    const double d = (double)h->q.cols, dv = (double)h->v.cols;
    const double all = d * (double)(h->nq + h->nk);
    atn_operator op = {.kind = &kind};
    atn_status st = ATN_OK;
    codes *b = NULL;
    double ones;

    (void)params_;
    (void)n;
    ATN_TRY(atn_plain_head(cx, h, "shiftadd", false));
    if (!h->v.data)
        ATN_FAIL(ATN_DATA,
                 "shiftadd: layer %d has no values, and rows are scaled by what they "
                 "give (capture with values)",
                 h->layer);
    ATN_NEW(b, 1);
    ATN_NEW(b->q, h->nq * h->q.cols);
    ATN_NEW(b->k, h->nk * h->k.cols);
    ones = atn_shiftadd_codes(h->q, b->q) + atn_shiftadd_codes(h->k, b->k);
    op.state = b;
    op.executed = dv * ones / (2 * (d + dv));
    atn_plan_operator(out, &op, 2 * d + 1);
    b = NULL;
    out->index_flops = 3 * all + 2 * (double)h->nq * dv;
    out->index_bytes = ATN_COST_BYTES * all + all / 8;
done:
    release(cx, b);
    return st;
}

static double bytes(const atn_ctx *cx, const void *params_, const atn_input *in)
{
    const atn_head *h = &in->head[0];

    (void)cx;
    (void)params_;
    return (double)h->q.cols * (double)(h->nq + h->nk) + 1024;
}

const atn_method atn_method_shiftadd = {
    .id = "shiftadd",
    .title = "ShiftAddViT, binary codes",
    .family = "linear",
    .source = "You et al., ShiftAddViT, arXiv 2306.06446; GATECH-EIC/ShiftAddViT",
    .text = "all keys, by how many bits of two codes are on together",
    .reads = ATN_READS_QK | ATN_READS_V | ATN_READS_PLACE,
    .sides = ATN_BIDIRECTIONAL,
    .weights = ATN_WEIGHTS_FREE | ATN_WEIGHTS_VALUES,
    .plan = plan,
    .bytes = bytes,
};
