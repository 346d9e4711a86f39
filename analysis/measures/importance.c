/* analysis/measures/importance.c -- which heads a layer, and a loss, rest on.
 *
 * Math    share  |C_h| / sum_h' |C_h'|, C_h = O_h W_O^h over all rows
 *         gate   |dL/dxi_h| of a factor xi_h on the output of head h, at 1: |sum_i
 *                <dL/dO_h,i, O_h,i>|; then by tokens; then by its length over the heads
 *                of the layer; then stretched so that the smallest of the selected
 *                layers is 0 and the largest 1
 * Oracle  a head with W_O = 0 has share 0; for a loss that is linear in O_h the gate is
 *         what zeroing the head changes; O_h by c and W_O by 1/c changes nothing.
 * Source  Michel, Levy, Neubig, arXiv 1905.10650; the normalisations are those of the
 *         script in Hugging Face transformers. With dL/dO_h captured no other gradient
 *         is needed.
 * Cost    one pass over the rows for the outputs, and 2 nq H dv D flop.
 * Limits  the absolute value is taken after the sum over the tokens of one capture (one
 *         step): several texts are several captures. What cannot be had stays empty.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#include <math.h>
#include <string.h>

#include "analysis/contributions.h"
#include "analysis/layer_facts.h"
#include "core/kernels/kernels.h"

extern const atn_measure atn_measure_importance;

enum { SHARE, GATE, PER_TOKEN, LAYER, SCALED, N_COLS };

static const atn_measure_col cols[] = {
    [SHARE] = {"importance_share", "", "[0, 1]",
               "length of the head's contribution by the sum of the lengths of the "
               "layer's heads",
               NULL},
    [GATE] = {"importance_gate", "", ">= 0",
              "absolute gradient of the loss by a factor on the head's output; needs "
              "d_o",
              NULL},
    [PER_TOKEN] = {"importance_gate_per_token", "", ">= 0",
                   "the same by the number of tokens", NULL},
    [LAYER] = {"importance_gate_layer", "", "[0, 1]",
               "the same by its Euclidean length over the heads of the layer", NULL},
    [SCALED] = {"importance_gate_scaled", "", "[0, 1]",
                "the last stretched from 0 to 1 over the selected layers", NULL},
    [N_COLS] = ATN_MEASURE_COLS_END,
};

/* Rows that count. */
static atn_idx tokens_of(const atn_layer_facts *f)
{
    atn_idx n = 0;

    for (atn_idx i = f->skip_rows; i < f->head[0].nq; i++) {
        atn_idx lo, hi;
        atn_sight_row(&f->head[0].sight, i, &lo, &hi);
        n += hi > lo;
    }
    return n;
}

static atn_status shares(atn_ctx *cx, const atn_layer_facts *f, double *out)
{
    const atn_arena_mark mark = atn_arena_save(cx);
    atn_status st = ATN_OK;
    double *square = NULL, sum = 0;

    ATN_TAKE(square, f->heads);
    ATN_TRY(atn_contribution_norms(cx, f, square, NULL));
    for (atn_idx h = 0; h < f->heads; h++) sum += sqrt(square[h]);
    for (atn_idx h = 0; h < f->heads && sum > 0; h++)
        out[h * N_COLS + SHARE] = sqrt(square[h]) / sum;
done:
    atn_arena_rewind(cx, mark);
    return st;
}

static void gates(const atn_layer_facts *f, const float *d_o, double *out)
{
    const atn_problem *p = f->problem;
    const atn_idx each = p->nq * p->dv, skip = f->skip_rows * p->dv,
                  tokens = tokens_of(f);
    double length = 0;

    for (atn_idx h = 0; h < f->heads && tokens > 0; h++) {
        double *to = out + h * N_COLS;

        to[GATE] = fabs(
            atn_row_dot(d_o + h * each + skip, f->out + h * each + skip, each - skip));
        to[PER_TOKEN] = to[GATE] / (double)tokens;
        length += to[GATE] * to[GATE];
    }
    for (atn_idx h = 0; h < f->heads && length > 0; h++)
        out[h * N_COLS + LAYER] = out[h * N_COLS + GATE] / sqrt(length);
}

/* out [heads, N_COLS] of all heads of a layer. */
static atn_status layer_values(atn_ctx *cx, const atn_layer_facts *f, double *out)
{
    atn_status st = ATN_OK;
    float *d_o = NULL;

    if (!f->out) goto done;
    if (atn_contributions_known(f)) ATN_TRY(shares(cx, f, out));
    ATN_TRY(atn_layer_gradient(cx, f, &d_o));
    if (d_o) gates(f, d_o, out);
done:
    atn_free(cx, d_o);
    return st;
}

/* The layer at position i of the selection. */
static atn_status one_layer(atn_ctx *cx, const atn_model_facts *m, int i, double *out)
{
    const int at = m->selection->at[i];
    const bool *keep = m->selection->heads + i * m->selection->max_heads;
    const atn_arena_mark mark = atn_arena_save(cx);
    atn_status st = ATN_OK;
    atn_layer_facts f = {0};
    atn_problem p = {0};
    atn_head *head = NULL;
    double *all = NULL;
    atn_idx row = 0;

    ATN_TRY(atn_capture_load(cx, m->capture, at, &p));
    ATN_TAKE(head, p.heads);
    ATN_TAKE(all, p.heads * N_COLS);
    for (atn_idx h = 0; h < p.heads; h++) head[h] = atn_problem_head(&p, h);
    for (atn_idx c = 0; c < p.heads * N_COLS; c++) all[c] = NAN;
    if (!p.v)
        atn_log(cx, ATN_LOG_WARN,
                "%s: importance is left out, the capture has no values (v)",
                atn_layer_name(atn_capture_layer(m->capture, at)).text);
    ATN_TRY(
        atn_layer_facts_load(cx, m->capture, at, &p,
                             &(atn_layer_wants){.wants = ATN_WANT_OUT | ATN_WANT_W_O,
                                                .keep = keep,
                                                .skip_rows = m->skip_rows,
                                                .head = head,
                                                .strict = true},
                             &f));
    ATN_TRY(layer_values(cx, &f, all));
    for (atn_idx h = 0; h < p.heads; h++)
        if (keep[h])
            memcpy(out + N_COLS * row++, all + h * N_COLS, N_COLS * sizeof *out);
done:
    atn_layer_facts_release(cx, &f);
    atn_capture_unload(cx, &p);
    atn_arena_rewind(cx, mark);
    return st;
}

static void scale(double *out, atn_idx n)
{
    double least = INFINITY, most = -INFINITY;

    for (atn_idx i = 0; i < n; i++) {
        const double x = out[i * N_COLS + LAYER];

        if (isnan(x)) continue;
        least = ATN_MIN(least, x);
        most = ATN_MAX(most, x);
    }
    for (atn_idx i = 0; i < n && most > least; i++)
        out[i * N_COLS + SCALED] = (out[i * N_COLS + LAYER] - least) / (most - least);
}

static atn_status model(atn_ctx *cx, const atn_model_facts *m, const void *params,
                        double *out)
{
    atn_status st = ATN_OK;
    atn_idx row = 0;

    (void)params;
    for (int i = 0; i < m->selection->n; i++) {
        ATN_TRY(atn_progress(cx, "importance", i, m->selection->n));
        ATN_TRY(one_layer(cx, m, i, out + row * N_COLS));
        for (atn_idx h = 0; h < m->selection->max_heads; h++)
            row += m->selection->heads[i * m->selection->max_heads + h];
    }
    scale(out, row);
done:
    return st;
}

const atn_measure atn_measure_importance = {
    .id = "importance",
    .title = "Importance of heads",
    .source = "Michel, Levy, Neubig 2019, arXiv 1905.10650; shares derived",
    .named = true,
    .passes = 1,
    .cols = cols,
    .model = model,
};
