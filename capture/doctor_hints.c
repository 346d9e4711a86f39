/* capture/doctor_hints.c -- what the difference of two tensors looks like.
 *
 * Every symptom is a test on the numbers, and is said only when it explains them: a constant
 * factor, heads in another order, rotary pairs, another angle, a mask, a sink, a soft-cap.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#include <math.h>
#include <stdio.h>

#include "capture/doctor_internal.h"

enum { HEADS_MOST = 256 };

static atn_idx count_of(const atn_pair *p)
{
    return p->heads * p->rows * p->cols;
}

/* max |factor x - y| of n numbers, and max |y|. */
static double distance(const float *x, double factor, const float *y, atn_idx n,
                       double *largest)
{
    double worst = 0;

    *largest = 0;
    for (atn_idx i = 0; i < n; i++) {
        const double e = fabs(factor * (double)x[i] - (double)y[i]);

        if (!(e <= worst)) worst = e; /* NaN counts */
        *largest = fmax(*largest, fabs((double)y[i]));
    }
    return worst;
}

static bool explains(const atn_pair *p, const float *x, double factor, const float *y,
                     atn_idx n)
{
    double largest = 0;

    return distance(x, factor, y, n, &largest) <= p->tolerance * largest;
}

/* The c that brings ours nearest to the reference; 0 = none does. */
static double constant_factor(const atn_pair *p)
{
    double xy = 0, xx = 0;

    for (atn_idx i = 0; i < count_of(p); i++) {
        xy += (double)p->ours[i] * (double)p->reference[i];
        xx += (double)p->ours[i] * (double)p->ours[i];
    }
    if (!(xx > 0) || !explains(p, p->ours, xy / xx, p->reference, count_of(p)))
        return 0;
    return xy / xx;
}

static bool near(double x, double y)
{
    return fabs(x - y) <= 1e-3 * fabs(y);
}

static bool factor_hint(const atn_pair *p, char *hint)
{
    const double c = constant_factor(p), width = sqrt((double)p->m->config.width);
    const char *what = "";

    if (c == 0) return false;
    if (p->stage == ATN_STAGE_HIDDEN && (near(c, width) || near(c, 1 / width)))
        what = ": the root of the width, by which some families scale embeddings";
    else if (p->stage == ATN_STAGE_LOGITS && (near(c, width) || near(c, 1 / width)))
        what = ": the root of the width, by which tied heads of T5 are scaled";
    else if ((p->stage == ATN_STAGE_Q || p->stage == ATN_STAGE_Q_PRE) && p->place &&
             near(c, p->place->scale))
        what = ": the scale of the dot product, which the reference has put into q "
               "(as OPT does in transformers); scores are the same";
    snprintf(hint, ATN_HINT_TEXT, "the reference is %.6g times ours%s", c, what);
    return true;
}

/* The reference's head is ours from another place. */
static bool head_order_hint(const atn_pair *p, char *hint)
{
    const atn_idx plane = p->rows * p->cols;
    atn_idx moved = -1, from = -1;

    if (p->heads < 2 || p->heads > HEADS_MOST) return false;
    for (atn_idx h = 0; h < p->heads; h++) {
        atn_idx found = -1;

        for (atn_idx k = 0; k < p->heads && found < 0; k++)
            if (explains(p, p->ours + k * plane, 1, p->reference + h * plane, plane))
                found = k;
        if (found < 0) return false;
        if (found != h && moved < 0) {
            moved = h;
            from = found;
        }
    }
    if (moved < 0) return false;
    snprintf(
        hint, ATN_HINT_TEXT,
        "heads stand in another order: the reference's %lld is our %lld (look at how "
        "a fused projection is split, and how query heads share key heads)",
        (long long)moved, (long long)from);
    return true;
}

/* Adjacent numbers are turned together in the reference, half a head apart in ours. */
static bool pairs_hint(const atn_pair *p, char *hint)
{
    const atn_idx half = p->cols / 2;

    if (!p->m->config.arch->rope || p->cols % 2 != 0) return false;
    for (atn_idx i = 0; i < p->heads * p->rows; i++)
        for (atn_idx e = 0; e < p->cols; e++) {
            const double x = p->ours[i * p->cols + e];
            const double y = p->reference[i * p->cols + 2 * (e % half) + e / half];

            if (!(fabs(x - y) <= 1e-3 * (fabs(x) + fabs(y)) + 1e-6)) return false;
        }
    snprintf(
        hint, ATN_HINT_TEXT,
        "the reference has rotary pairs side by side (as the original Llama and GGUF "
        "files), ours half a head apart; scores are the same");
    return true;
}

static double row_norm(const float *x, atn_idx n)
{
    double sum = 0;

    for (atn_idx i = 0; i < n; i++) sum += (double)x[i] * (double)x[i];
    return sqrt(sum);
}

/* Every row as long as ours, the first one equal: only angles differ. */
static bool angle_hint(const atn_pair *p, char *hint)
{
    if (!p->m->config.arch->rope) return false;
    for (atn_idx i = 0; i < p->heads * p->rows; i++) {
        const float *x = p->ours + i * p->cols, *y = p->reference + i * p->cols;

        if (!near(row_norm(x, p->cols), row_norm(y, p->cols))) return false;
        if (i % p->rows == 0 && !explains(p, x, 1, y, p->cols)) return false;
    }
    snprintf(hint, ATN_HINT_TEXT,
             "position 0 agrees and all vectors are as long as ours: another rotary "
             "angle (base theta, scaling, rotated dimensions, or the first position)");
    return true;
}

/* ---- attention weights ---- */

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

static double least_row_sum(const atn_pair *p)
{
    double least = INFINITY;

    for (atn_idx i = 0; i < p->heads * p->rows; i++) {
        double sum = 0;

        for (atn_idx j = 0; j < p->cols; j++) sum += p->reference[i * p->cols + j];
        least = fmin(least, sum);
    }
    return least;
}

/* ln p_ref = c ln p + b in every row: the c over all rows, 0 where that is not so. */
static double logit_factor(const atn_pair *p)
{
    const double least = 1e-6;
    double xx = 0, xy = 0, yy = 0;

    for (atn_idx i = 0; i < p->heads * p->rows; i++) {
        const float *x = p->ours + i * p->cols, *y = p->reference + i * p->cols;
        double n = 0, sx = 0, sy = 0;

        for (atn_idx j = 0; j < p->cols; j++) {
            if (!(x[j] > least && y[j] > least)) continue;
            n++;
            sx += log((double)x[j]);
            sy += log((double)y[j]);
        }
        for (atn_idx j = 0; j < p->cols && n > 1; j++) {
            if (!(x[j] > least && y[j] > least)) continue;
            const double a = log((double)x[j]) - sx / n, b = log((double)y[j]) - sy / n;
            xx += a * a;
            xy += a * b;
            yy += b * b;
        }
    }
    if (!(xx > 0 && yy > 0) || xy * xy < .999999 * xx * yy) return 0;
    return xy / xx;
}

static void attention_hint(const atn_pair *p, char *hint)
{
    const unsigned qk = 1u << ATN_STAGE_Q | 1u << ATN_STAGE_K;
    double c, sum;

    if (mask_hint(p, hint)) return;
    sum = least_row_sum(p);
    if (sum < .999) {
        snprintf(
            hint, ATN_HINT_TEXT,
            "rows of the reference sum to as little as %.4g: it has attention sinks",
            sum);
        return;
    }
    c = logit_factor(p);
    if (c > 0 && !near(c, 1))
        snprintf(
            hint, ATN_HINT_TEXT,
            "logits of the reference are %.6g times ours: another scale of the dot "
            "product (ours is %.6g)",
            c, p->place->scale);
    else if ((p->agreed & qk) == qk)
        snprintf(
            hint, ATN_HINT_TEXT,
            "q and k agree and the mask is the same: a soft-cap of the logits, or a "
            "bias by position (ALiBi, relative)");
}

/* ---- the others ---- */

/* The cap that explains it, 0 = none. */
static double cap_of(const atn_pair *p)
{
    static const double caps[] = {10, 15, 20, 30, 50};

    for (size_t k = 0; k < ATN_LEN(caps); k++) {
        double worst = 0, largest = 0;

        for (atn_idx i = 0; i < count_of(p); i++) {
            const double y = p->reference[i],
                         x = caps[k] * tanh((double)p->ours[i] / caps[k]);

            worst = fmax(worst, fabs(x - y));
            largest = fmax(largest, fabs(y));
        }
        if (worst <= 10 * p->tolerance * largest) return caps[k];
    }
    return 0;
}

static void logits_hint(const atn_pair *p, char *hint)
{
    const double cap = cap_of(p);

    if (cap > 0)
        snprintf(hint, ATN_HINT_TEXT,
                 "the reference caps its logits softly at %g (final_logit_softcapping)",
                 cap);
    else
        snprintf(
            hint, ATN_HINT_TEXT,
            "the layers agree as far as the dump says: the final norm, or the matrix "
            "of the logits (tie_word_embeddings says whether it is the embedding)");
}

static void hidden_hint(const atn_pair *p, char *hint)
{
    const unsigned attention = 1u << ATN_STAGE_ATTN_OUT | 1u << ATN_STAGE_ATTN;

    if (p->place->layer == 0)
        snprintf(
            hint, ATN_HINT_TEXT,
            "the embedding: positions and where they begin, token types, its norm, "
            "its scale, or other token ids");
    else if (p->agreed & attention)
        snprintf(
            hint, ATN_HINT_TEXT,
            "the attention of the layer before agrees: its MLP (exact gelu or tanh "
            "form, gate and up exchanged), or where its norms stand (and 1 + w)");
}

/* The reference's rows are the heads' outputs side by side, in front of W_O. */
static bool is_heads_output(const atn_pair *p)
{
    const atn_place *at = p->place;
    const atn_idx group = at->heads / at->kv_heads;

    if (!p->p || at->heads * at->dv != p->cols) return false;
    for (atn_idx h = 0; h < at->heads; h++)
        for (atn_idx i = 0; i < at->nq; i++)
            for (atn_idx e = 0; e < at->dv; e++) {
                const float *row = p->p + (h * at->nq + i) * at->nk;
                const double y = p->reference[i * p->cols + h * at->dv + e];
                double o = 0;

                for (atn_idx j = 0; j < at->nk; j++)
                    o += (double)row[j] *
                         (double)p->v[((h / group) * at->nk + j) * at->dv + e];
                if (!(fabs(o - y) <= 1e-3 * (fabs(o) + fabs(y)) + 1e-5)) return false;
            }
    return true;
}

static void output_hint(const atn_pair *p, char *hint)
{
    snprintf(
        hint, ATN_HINT_TEXT, "%s",
        is_heads_output(p)
            ? "the reference holds the heads' outputs in front of W_O; attn_out is "
              "behind it"
            : "the weights of attention agree as far as the dump says: the output "
              "projection or its bias");
}

void atn_doctor_hint(const atn_pair *p, char hint[ATN_HINT_TEXT])
{
    hint[0] = '\0';
    for (atn_idx i = 0; i < count_of(p); i++)
        if (!isfinite(p->reference[i])) {
            snprintf(hint, ATN_HINT_TEXT, "the reference holds NaN or infinity");
            return;
        }
    if (p->stage == ATN_STAGE_ATTN) {
        attention_hint(p, hint);
        return;
    }
    if (factor_hint(p, hint) || head_order_hint(p, hint)) return;
    if (p->stage == ATN_STAGE_Q || p->stage == ATN_STAGE_K) {
        if (pairs_hint(p, hint) || angle_hint(p, hint)) return;
        snprintf(hint, ATN_HINT_TEXT,
                 "the projection, its bias, or the norm of queries and keys");
    }
    if (p->stage == ATN_STAGE_Q_PRE || p->stage == ATN_STAGE_K_PRE ||
        p->stage == ATN_STAGE_V)
        snprintf(
            hint, ATN_HINT_TEXT,
            "the norm in front of the projection (epsilon, 1 + w), its weight or its "
            "bias");
    if (p->stage == ATN_STAGE_ATTN_OUT) output_hint(p, hint);
    if (p->stage == ATN_STAGE_LOGITS) logits_hint(p, hint);
    if (p->stage == ATN_STAGE_HIDDEN) hidden_hint(p, hint);
}
