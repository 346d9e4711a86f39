/* analysis/measures/convolution.c -- could a short convolution over the values replace
 * a head?
 *
 * Math    p_delta = mean of P_i,t-delta over the rows that see that key; row i of the
 *         convolution is sum_delta p_delta v_t-delta / sum_delta p_delta over the
 *         distances |delta| <= w whose key it sees (delta >= 0 in a causal head). Error
 *         |conv - P V|_F / |P V|_F for w = 1, 2, 4.
 * Oracle  a head that puts p_0, p_1 on itself and the key before, in every row: error 0
 *         for every w. Rows (1), (.5 .5), (.2 .3 .5), V = (1,0), (0,1), (2,2): .173501,
 *         .088230, .088230.
 * Source  after Sugiharto et al., arXiv 2308.03429 (RCMHA), and the reading of SHViT,
 *         arXiv 2401.16456, that early layers can be convolutions; derived.
 * Cost    one pass, a head at a time; 9 floats a row; 9 dv products a row for each w.
 * Limits  Frobenius over the rows that count. On sampled rows p is their mean.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#include <math.h>

#include "analysis/layer_facts.h"
#include "core/kernels/kernels.h"
#include "core/rows.h"

extern const atn_measure atn_measure_convolution;

enum { REACH = 4, TAPS = 2 * REACH + 1 };
static const atn_idx widths[] = {1, 2, REACH};

/* What the rows put on the keys around their position: [nq, TAPS], tap
 * delta + REACH. */
typedef struct taps {
    float *of;
} taps;

static atn_status visit(atn_ctx *cx, const atn_head *h, const atn_tile *t, atn_cmat p,
                        const atn_row_info *info, void *state)
{
    const taps *near = state;

    (void)cx;
    for (atn_idx r = 0; r < t->rows; r++) {
        const atn_idx at = atn_sight_at(&h->sight, t->first + r);
        float *to = near->of + (t->first + r) * TAPS;

        for (atn_idx delta = -REACH; delta <= REACH; delta++) {
            const atn_idx j = at - delta;
            const bool seen = j >= info[r].lo && j < info[r].hi;

            to[delta + REACH] = seen ? atn_crow(p, r)[j - t->key0] : 0;
        }
    }
    return ATN_OK;
}

/* p[TAPS] <- mean over the rows from `first` on that see the key; 0 where none does. */
static void profile(const atn_head *h, atn_idx first, const float *near, double *p)
{
    for (atn_idx tap = 0; tap < TAPS; tap++) {
        double sum = 0, rows = 0;

        for (atn_idx i = first; i < h->nq; i++) {
            const atn_idx j = atn_sight_at(&h->sight, i) - (tap - REACH);
            atn_idx lo, hi;

            atn_sight_row(&h->sight, i, &lo, &hi);
            if (j < lo || j >= hi) continue;
            sum += (double)near[i * TAPS + tap];
            rows++;
        }
        p[tap] = rows > 0 ? sum / rows : 0;
    }
}

/* y [dv] <- row i of the convolution. */
static void convolve(const atn_head *h, atn_idx i, const double *p, atn_idx w,
                     double *y)
{
    const atn_idx at = atn_sight_at(&h->sight, i), dv = h->v.cols;
    double total = 0;
    atn_idx lo, hi;

    atn_sight_row(&h->sight, i, &lo, &hi);
    lo = ATN_MAX(lo, at - w);
    hi = ATN_MIN(hi, at + w + 1);
    for (atn_idx j = lo; j < hi; j++) total += p[at - j + REACH];
    for (atn_idx c = 0; c < dv; c++) y[c] = 0;
    for (atn_idx j = lo; j < hi && total > 0; j++)
        atn_row_add(atn_crow(h->v, j), dv, p[at - j + REACH] / total, y);
}

static double error_of(const atn_head *h, atn_idx first, const float *out,
                       const double *p, atn_idx w, double *y)
{
    const atn_idx dv = h->v.cols;
    double part = 0, whole = 0;

    for (atn_idx i = first; i < h->nq; i++) {
        const float *own = out + i * dv;

        convolve(h, i, p, w, y); /* 0, as own is, where the row sees no key */
        for (atn_idx c = 0; c < dv; c++)
            part += (y[c] - (double)own[c]) * (y[c] - (double)own[c]);
        whole += atn_row_square(own, dv);
    }
    return whole > 0 ? sqrt(part / whole) : (double)NAN;
}

static atn_status layer(atn_ctx *cx, const atn_layer_facts *f, const void *params,
                        double *out)
{
    const atn_arena_mark mark = atn_arena_save(cx);
    const atn_idx nq = f->head[0].nq, dv = f->problem->dv,
                  first = atn_layer_first_row(f);
    atn_status st = ATN_OK;
    double p[TAPS], *y = NULL;
    taps near = {0};

    (void)params;
    ATN_TRY(
        atn_mem_check(cx, 4.0 * TAPS * (double)nq + 8.0 * (double)dv, "convolution"));
    ATN_TAKE(near.of, nq * TAPS);
    ATN_TAKE(y, dv);
    for (atn_idx at = 0; at < f->heads; at++) {
        const atn_head *h = &f->head[at];

        if (!f->keep[at]) continue;
        ATN_TRY(atn_rows_stream(cx, h, 1, visit, &near, "convolution"));
        profile(h, first, near.of, p);
        for (size_t w = 0; w < ATN_LEN(widths); w++)
            out[at * (atn_idx)ATN_LEN(widths) + (atn_idx)w] =
                error_of(h, first, f->out + at * nq * dv, p, widths[w], y);
    }
done:
    atn_arena_rewind(cx, mark);
    return st;
}

static const atn_measure_col cols[] = {
    {"convolution_error_1", "", ">= 0",
     "relative error of the head's mean profile over distances up to 1", NULL},
    {"convolution_error_2", "", ">= 0", "the same over distances up to 2", NULL},
    {"convolution_error_4", "", ">= 0", "the same over distances up to 4", NULL},
    ATN_MEASURE_COLS_END,
};

const atn_measure atn_measure_convolution = {
    .id = "convolution",
    .title = "Replacement by a short convolution",
    .source = "after Sugiharto et al., arXiv 2308.03429 (RCMHA); derived",
    .wants = ATN_WANT_OUT,
    .named = true,
    .passes = 1,
    .cols = cols,
    .by_place = (unsigned)ATN_EVERY_COL,
    .layer = layer,
    .by_head = true,
};
