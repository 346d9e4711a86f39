/* capture/doctor_weights.c -- what a difference of attention weights looks like.
 *
 * Math    ln p_ij = C tanh((c s_ij + b_ij) / C) - const_i over the keys that row i
 *         sees, with the scaled products s of ours (or of the reference's q and k), our
 *         biases b, and either the factor c of the scale or the soft-cap C fitted by
 *         least squares over differences within rows. A fit is said when it leaves 1e-6
 *         of the sum of squares and 1e-2 of what our own C and c = 1 leave.
 * Cost    the weights that the reference's q and k give are made again for some
 *         thousand rows; fits take ROWS_MOST rows and KEYS_MOST keys of each.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#include <math.h>
#include <stdio.h>

#include "capture/doctor_internal.h"
#include "core/rows.h"

enum { REMADE_MOST = 4096, ROWS_MOST = 96, KEYS_MOST = 256, GRID = 128, REFINE = 60 };

static const double seen_least = 1e-6; /* weights below it say nothing of their logit */

static bool near(double x, double y)
{
    return fabs(x - y) <= 1e-3 * fabs(y);
}

/* ---- the mask ---- */

static bool mask_hint(const atn_pair *p, char *hint)
{
    const double some = 1e-4;
    double unseen = 0, unused = 0;

    for (atn_idx h = 0; h < p->heads; h++)
        for (atn_idx i = 0; i < p->rows; i++) {
            atn_idx lo, hi;

            atn_sight_row(&p->place->sight, i, &lo, &hi);
            for (atn_idx j = 0; j < p->cols; j++) {
                const atn_idx at = (h * p->rows + i) * p->cols + j;
                const double y = p->reference[at];

                if (j < lo || j >= hi)
                    unseen = fmax(unseen, y);
                else if (y == 0)
                    unused = fmax(unused, (double)p->ours[at]);
            }
        }
    if (unseen > some)
        snprintf(
            hint, ATN_HINT_TEXT,
            "the reference gives up to %.3g to keys that our mask hides (causality, "
            "a sliding window, padding)",
            unseen);
    else if (unused > some)
        snprintf(hint, ATN_HINT_TEXT,
                 "the reference gives nothing to keys of up to %.3g in ours: it has a "
                 "narrower mask (a sliding window that counts otherwise, padding)",
                 unused);
    return unseen > some || unused > some;
}

/* ---- sinks ---- */

static double row_sum(const float *row, atn_idx n)
{
    double sum = 0;

    for (atn_idx j = 0; j < n; j++) sum += (double)row[j];
    return sum;
}

/* The least sum of a row of the reference, and how far rows are apart once both are
 * divided by their sums. */
static double least_row_sum(const atn_pair *p, double *apart)
{
    double least = INFINITY;

    *apart = 0;
    for (atn_idx i = 0; i < p->heads * p->rows; i++) {
        const float *x = p->ours + i * p->cols, *y = p->reference + i * p->cols;
        const double a = row_sum(x, p->cols), b = row_sum(y, p->cols);

        if (!(a > 0)) continue;
        least = fmin(least, b);
        for (atn_idx j = 0; j < p->cols && b > 0; j++)
            *apart = fmax(*apart, fabs((double)x[j] / a - (double)y[j] / b));
    }
    return least;
}

static bool sink_hint(const atn_pair *p, char *hint)
{
    const bool ours = p->run->sink != NULL;
    double apart;
    const double least = least_row_sum(p, &apart);

    if (!ours && least < .999)
        snprintf(
            hint, ATN_HINT_TEXT,
            "rows of the reference sum to as little as %.4g: it has attention sinks",
            least);
    else if (ours && apart <= 10 * p->tolerance)
        snprintf(
            hint, ATN_HINT_TEXT,
            least < .999
                ? "rows are ours but for a factor: the reference has other sink values"
                : "rows of the reference sum to 1, and are else ours: it leaves out "
                  "the attention sinks");
    return *hint != '\0';
}

/* ---- logits ---- */

/* The attention of the place, of our q and k or of the reference's; rel in the
 * arena. */
static atn_status problem_of(atn_ctx *cx, const atn_pair *p, atn_problem *out)
{
    const atn_layer_dump *d = p->run;
    const atn_place *at = p->place;
    atn_status st = ATN_OK;
    float *rel = NULL;

    if (d->rel_bias && at->rel.buckets > 0) {
        ATN_TAKE(rel, at->heads * (at->nq + at->nk - 1));
        atn_rel_expand(&at->rel, d->rel_bias, at->heads, at->nq, at->nk,
                       at->sight.offset, rel);
    }
    *out = (atn_problem){.layer = (int)at->layer,
                         .heads = at->heads,
                         .kv_heads = at->kv_heads,
                         .nq = at->nq,
                         .nk = at->nk,
                         .d = at->d,
                         .dv = at->dv,
                         .q = p->q ? p->q : d->q,
                         .k = p->k ? p->k : d->k,
                         .sink = d->sink,
                         .alibi_slope = at->has_alibi ? d->alibi : NULL,
                         .rel_bias = rel,
                         .scale = at->scale,
                         .sight = at->sight};
done:
    return st;
}

/* NaN, or more than a softmax takes? */
static bool is_wild(const float *x, atn_idx n)
{
    for (atn_idx i = 0; i < n; i++)
        if (!(fabs((double)x[i]) < 1e30)) return true;
    return false;
}

/* max |softmax - reference|, with our scale, bias, soft-cap, mask and sinks. */
static atn_status remake(atn_ctx *cx, const atn_pair *p, const atn_problem *of,
                         double *worst)
{
    const atn_arena_mark mark = atn_arena_save(cx);
    const atn_idx all = of->heads * of->nq;
    atn_status st = ATN_OK;
    atn_row_info *info = NULL;
    float *tile = NULL;

    *worst = 0;
    ATN_TAKE(tile, of->nk);
    ATN_TAKE(info, 1);
    for (atn_idx at = all - 1; at >= 0; at -= 1 + all / REMADE_MOST) {
        const atn_head head = atn_problem_head(of, at / of->nq);
        const atn_tile t = atn_tile_of(&head, at % of->nq, 1);
        const atn_mat row = {tile, 1, t.keys, t.keys};
        const float *y = p->reference + at * of->nk + t.key0;

        if (t.keys == 0) continue;
        atn_rows_logits(&head, &t, row, info);
        if (is_wild(tile, t.keys)) {
            *worst = INFINITY;
            goto done;
        }
        ATN_TRY(atn_rows_softmax(cx, &head, &t, 0, row, info));
        for (atn_idx j = 0; j < t.keys; j++)
            *worst = fmax(*worst, fabs((double)tile[j] - (double)y[j]));
    }
done:
    atn_arena_rewind(cx, mark);
    return st;
}

/* Entries of some rows, in a row those of keys that both give a weight. */
typedef struct sample {
    double *s, *b, *y; /* scaled product, bias, ln of the reference's weight */
    atn_idx *end;      /* [rows] */
    atn_idx rows, n;
} sample;

static void take_row(const atn_pair *p, const atn_head *h, atn_idx i, float *row,
                     sample *out)
{
    const atn_tile t = atn_tile_of(h, i, 1);
    const atn_idx first = (h->head * p->rows + i) * p->cols;
    atn_head plain = *h;
    atn_row_info info;

    plain.sight.softcap = 0;
    plain.alibi_slope = 0;
    plain.rel_bias = NULL;
    atn_rows_logits(&plain, &t, (atn_mat){row, 1, t.keys, t.keys}, &info);
    for (atn_idx j = info.lo; j < info.hi; j += 1 + (info.hi - info.lo) / KEYS_MOST) {
        if (!((double)p->ours[first + j] > seen_least &&
              (double)p->reference[first + j] > seen_least) ||
            !isfinite(row[j - t.key0]))
            continue;
        out->s[out->n] = (double)row[j - t.key0];
        out->b[out->n] = atn_head_bias(h, j, atn_sight_at(&h->sight, i));
        out->y[out->n++] = log((double)p->reference[first + j]);
    }
    out->end[out->rows++] = out->n;
}

static atn_status take_sample(atn_ctx *cx, const atn_pair *p, const atn_problem *of,
                              sample *out)
{
    const atn_idx all = of->heads * of->nq, rows = ATN_MIN(all, ROWS_MOST);
    atn_status st = ATN_OK;
    float *row = NULL;

    *out = (sample){0};
    ATN_TAKE(out->s, rows * of->nk);
    ATN_TAKE(out->b, rows * of->nk);
    ATN_TAKE(out->y, rows * of->nk);
    ATN_TAKE(out->end, rows);
    ATN_TAKE(row, of->nk);
    for (atn_idx r = 0; r < rows; r++) {
        const atn_idx at = (r + 1) * all / rows - 1;
        const atn_head head = atn_problem_head(of, at / of->nq);

        take_row(p, &head, at % of->nq, row, out);
    }
done:
    return st;
}

/* Sum of squares within rows of y - C tanh((c s + b) / C); C 0 = no soft-cap, c 0 =
 * y. */
static double squares(const sample *x, double c, double cap)
{
    double all = 0;

    for (atn_idx r = 0, i = 0; r < x->rows; r++) {
        const atn_idx first = i;
        double sum = 0, square = 0;

        for (; i < x->end[r]; i++) {
            const double z = c * x->s[i] + (c > 0 ? x->b[i] : 0),
                         e = x->y[i] - (cap > 0 ? cap * tanh(z / cap) : z);
            sum += e;
            square += e * e;
        }
        if (i > first) all += fmax(square - sum * sum / (double)(i - first), 0);
    }
    return all;
}

typedef struct fit {
    double value, rest;
} fit;

/* The least squares over the factor, or over the cap, from `lo` to `hi`. */
static fit search(const sample *x, bool over_cap, double cap, double lo, double hi)
{
    const double step = log(hi / lo) / GRID, golden = (sqrt(5) - 1) / 2;
    double best = INFINITY, a, b;
    int at = 0;

#define REST(t) squares(x, over_cap ? 1 : exp(t), over_cap ? exp(t) : cap)
    for (int i = 0; i <= GRID; i++) {
        const double rest = REST(log(lo) + i * step);

        if (!(rest < best)) continue;
        best = rest;
        at = i;
    }
    a = log(lo) + (at - 1) * step;
    b = log(lo) + (at + 1) * step;
    for (int i = 0; i < REFINE; i++) {
        const double u = b - golden * (b - a), v = a + golden * (b - a);

        if (REST(u) < REST(v))
            b = v;
        else
            a = u;
    }
    best = REST((a + b) / 2);
#undef REST
    return (fit){exp((a + b) / 2), best};
}

/* How to say that nothing is known of q and k. */
static const char *without_qk(const atn_pair *p)
{
    const unsigned qk = 1u << ATN_STAGE_Q | 1u << ATN_STAGE_K;

    return (p->here.compared & qk) == qk
               ? ""
               : "; put q and k into the reference to tell these apart";
}

static bool fit_hint(const atn_pair *p, const sample *x, char *hint)
{
    const double ours = p->place->sight.softcap, null = squares(x, 1, ours),
                 limit = fmin(1e-6 * squares(x, 0, 0), 1e-2 * null);
    const unsigned qk = 1u << ATN_STAGE_Q | 1u << ATN_STAGE_K;
    const bool agreed = (p->here.agreed & qk) == qk;
    const fit scale = search(x, false, ours, 1. / 256, 256),
              cap = search(x, true, 0, .05, 2000);
    const double none = ours > 0 ? squares(x, 1, 0) : INFINITY;

    if (!(limit > 0)) return false;
    if (none <= limit && none <= scale.rest)
        snprintf(hint, ATN_HINT_TEXT,
                 "the reference has no soft-cap of the logits (ours caps at %g)", ours);
    else if (scale.rest <= limit && scale.rest <= cap.rest && !near(scale.value, 1))
        snprintf(
            hint, ATN_HINT_TEXT,
            "logits of the reference are %.5g times ours%s: another scale of the dot "
            "product (ours is %.6g)%s%s",
            scale.value, ours > 0 ? ", in front of the soft-cap" : "", p->place->scale,
            agreed ? "" : ", or longer q, k (norm, rotary factor)", without_qk(p));
    else if (cap.rest <= limit && !near(cap.value, ours))
        snprintf(hint, ATN_HINT_TEXT,
                 "the reference caps its logits softly at %.4g, ours %s", cap.value,
                 ours > 0 ? "at another value" : "does not");
    return *hint != '\0';
}

static void rest_hint(const atn_pair *p, char *hint)
{
    const unsigned qk = 1u << ATN_STAGE_Q | 1u << ATN_STAGE_K;

    if ((p->here.agreed & qk) == qk)
        snprintf(
            hint, ATN_HINT_TEXT,
            "q and k agree and the mask is the same: a soft-cap of the logits, or a "
            "bias by position (ALiBi, relative)");
    else if ((p->here.compared & qk) != qk)
        snprintf(hint, ATN_HINT_TEXT,
                 "the mask is the same, the logits are not: the norm in front, the "
                 "projections of q and k or their norm, the rotary embedding (theta, "
                 "scaling), a soft-cap or a bias by position; put q and k into the "
                 "reference to tell these apart");
}

atn_status atn_doctor_weights_hint(atn_ctx *cx, const atn_pair *p, char *hint)
{
    const atn_arena_mark mark = atn_arena_save(cx);
    atn_problem of;
    sample x;
    const unsigned qk = 1u << ATN_STAGE_Q | 1u << ATN_STAGE_K;
    double worst = INFINITY;
    atn_status st = ATN_OK;

    if (mask_hint(p, hint) || sink_hint(p, hint)) goto done;
    ATN_TRY(problem_of(cx, p, &of));
    if (p->k) ATN_TRY(remake(cx, p, &of, &worst));
    if (worst <= p->tolerance) {
        snprintf(
            hint, ATN_HINT_TEXT,
            "they follow from the reference's own q and k with our mask and scale: "
            "look at these%s",
            (p->here.agreed & qk) == qk ? ", which differ by less than the tolerance"
                                        : "");
        goto done;
    }
    ATN_TRY(take_sample(cx, p, &of, &x));
    if (!fit_hint(p, &x, hint)) rest_hint(p, hint);
done:
    atn_arena_rewind(cx, mark);
    return st;
}
