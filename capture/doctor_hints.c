/* capture/doctor_hints.c -- what the difference of two tensors looks like.
 *
 * Every symptom is a test on the numbers, and is said only when it explains them: a
 * constant factor, heads in another order, rotary pairs, another angle, a soft-cap.
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

static bool is_rotated(const atn_pair *p)
{
    return p->m->config.arch->rope &&
           (p->stage == ATN_STAGE_Q || p->stage == ATN_STAGE_K);
}

static bool factor_hint(const atn_pair *p, char *hint)
{
    const double c = constant_factor(p), width = sqrt((double)p->m->config.width);
    const char *what = "";

    if (c == 0 || count_of(p) < 2) return false;
    if (p->stage == ATN_STAGE_HIDDEN && (near(c, width) || near(c, 1 / width)))
        what = ": the root of the width, by which some families scale embeddings";
    else if (p->stage == ATN_STAGE_LOGITS && (near(c, width) || near(c, 1 / width)))
        what = ": the root of the width, by which tied heads of T5 are scaled";
    else if ((p->stage == ATN_STAGE_Q || p->stage == ATN_STAGE_Q_PRE) && p->place &&
             near(c, p->place->scale))
        what = ": the scale of the dot product, which the reference has put into q "
               "(as OPT does in transformers); scores are the same";
    else if (is_rotated(p))
        what = ": the norm in front or of queries and keys, or the attention factor of "
               "the "
               "rotary embedding (yarn, longrope)";
    snprintf(hint, ATN_HINT_TEXT, "the reference is %.6g times ours%s", c, what);
    return true;
}

/* Every row is ours times a factor of its own. */
static bool row_factor_hint(const atn_pair *p, char *hint)
{
    const bool qk = p->stage != ATN_STAGE_V;
    bool shared = true;

    for (atn_idx i = 0; i < p->rows; i++) {
        double first = 0;

        for (atn_idx h = 0; h < p->heads; h++) {
            const atn_idx at = (h * p->rows + i) * p->cols;
            const float *x = p->ours + at, *y = p->reference + at;
            double xx = 0, xy = 0;

            for (atn_idx e = 0; e < p->cols; e++) {
                xx += (double)x[e] * (double)x[e];
                xy += (double)x[e] * (double)y[e];
            }
            if (!(xx > 0) || !explains(p, x, xy / xx, y, p->cols)) return false;
            if (h == 0) first = xy / xx;
            shared = shared && near(xy / xx, first);
        }
    }
    snprintf(hint, ATN_HINT_TEXT, "every token is ours times a factor of its own, %s",
             shared ? "the same in all heads: the norm in front of the projection (its "
                      "epsilon)"
             : qk   ? "another one in each head: the norm of queries and keys"
                    : "another one in each head");
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

/* Heads of ours of one kind. */
typedef struct heads {
    const char *name;
    const float *x; /* [n, rows, cols]; NULL = not at hand */
    atn_idx n;
} heads;

/* Is it `y` in its first `rows` rows? The index, or -1. */
static atn_idx find_head(const atn_pair *p, const heads *from, atn_idx rows,
                         const float *y)
{
    const atn_idx plane = p->rows * p->cols;

    for (atn_idx k = 0; from->x && k < from->n; k++)
        if (explains(p, from->x + k * plane, 1, y, rows * p->cols)) return k;
    return -1;
}

/* The reference's heads are ours of q, k and v. Rotated heads are compared at position
 * 0. */
static bool fused_hint(const atn_pair *p, char *hint)
{
    const atn_layer_dump *d = p->run;
    const atn_place *at = p->place;
    const bool pre = p->stage == ATN_STAGE_Q_PRE || p->stage == ATN_STAGE_K_PRE;
    const heads from[] = {{"q", pre ? d->q_pre : d->q, at->heads},
                          {"k", pre ? d->k_pre : d->k, at->kv_heads},
                          {"v", d->v, at->kv_heads}};
    const atn_idx rows = p->m->config.arch->rope && !pre ? 1 : p->rows;
    const char own = atn_stage_names[p->stage][0];
    atn_idx moved = -1, to = -1;
    const char *name = "";

    if (at->d != at->dv || at->nq != at->nk || p->heads > HEADS_MOST) return false;
    for (atn_idx h = 0; h < p->heads; h++) {
        atn_idx found = -1;
        size_t k = 0;

        for (; k < ATN_LEN(from) && found < 0; k++)
            found = find_head(p, &from[k], rows, p->reference + h * p->rows * p->cols);
        if (found < 0) return false;
        if (moved >= 0 || from[k - 1].name[0] == own) continue;
        moved = h;
        to = found;
        name = from[k - 1].name;
    }
    if (moved < 0) return false;
    snprintf(
        hint, ATN_HINT_TEXT,
        "the reference's %c head %lld is our %s head %lld: a fused projection of q, k "
        "and v is split in another way",
        own, (long long)moved, name, (long long)to);
    return true;
}

/* ---- rotary embedding ---- */

static bool same(const atn_pair *p, const float *x, const float *y, atn_idx n)
{
    return n == 0 || explains(p, x, 1, y, n);
}

/* x[e] = y[2 (e mod half) + e / half] of the first dim numbers, the others equal. */
static bool is_paired(const atn_pair *p, const float *x, const float *y, atn_idx dim)
{
    const atn_idx half = dim / 2;

    for (atn_idx e = 0; e < dim; e++) {
        const double a = x[e], b = y[2 * (e % half) + e / half];

        if (!(fabs(a - b) <= 1e-3 * (fabs(a) + fabs(b)) + 1e-6)) return false;
    }
    return same(p, x + dim, y + dim, p->cols - dim);
}

/* Adjacent numbers belong together in one of the two, numbers half a head apart in the
 * other: in all rows, or in those of position 0 alone. */
static bool pairs_hint(const atn_pair *p, char *hint)
{
    const atn_idx dim = atn_config_rope(&p->m->config, p->place->layer)->dim;
    bool all[2] = {true, true}, first[2] = {true, true}, moved = false;
    const bool pre = !is_rotated(p);

    if (!p->m->config.arch->rope || dim < 4 || dim > p->cols) return false;
    for (atn_idx i = 0; i < p->heads * p->rows; i++) {
        const float *x = p->ours + i * p->cols, *y = p->reference + i * p->cols;
        const bool zero = i % p->rows == 0,
                   to[2] = {is_paired(p, x, y, dim), is_paired(p, y, x, dim)};

        moved = moved || (zero && !same(p, x, y, p->cols));
        for (int k = 0; k < 2; k++) {
            all[k] = all[k] && to[k];
            first[k] = first[k] && (to[k] || !zero);
        }
    }
    if (all[0] && !pre)
        snprintf(hint, ATN_HINT_TEXT,
                 "the reference has rotary pairs side by side (as the original Llama "
                 "and GGUF "
                 "files), ours half a head apart; scores are the same");
    else if (moved && (first[0] || first[1]) && (p->rows > 1 || pre))
        snprintf(
            hint, ATN_HINT_TEXT,
            "%sthe rows of a head have the order of pairs side by side in one of the "
            "two and of halves in the other: the permutation of q and k weights of "
            "GGUF and original Llama files was left in, or done twice",
            pre ? "" : "at position 0 ");
    return *hint != '\0';
}

static double row_norm(const float *x, atn_idx n)
{
    double sum = 0;

    for (atn_idx i = 0; i < n; i++) sum += (double)x[i] * (double)x[i];
    return sqrt(sum);
}

/* Are the first dim numbers of every row `*ratio` times as long as ours, at position 0
 * so many times ours, and the others equal? */
static bool is_turned(const atn_pair *p, atn_idx dim, double *ratio)
{
    *ratio = row_norm(p->reference, dim) / row_norm(p->ours, dim);
    for (atn_idx i = 0; i < p->heads * p->rows; i++) {
        const float *x = p->ours + i * p->cols, *y = p->reference + i * p->cols;

        if (!near(*ratio * row_norm(x, dim), row_norm(y, dim))) return false;
        if (i % p->rows == 0 && !explains(p, x, *ratio, y, dim)) return false;
        if (!same(p, x + dim, y + dim, p->cols - dim)) return false;
    }
    return true;
}

static bool angle_hint(const atn_pair *p, char *hint)
{
    const atn_idx dim =
        ATN_MIN(atn_config_rope(&p->m->config, p->place->layer)->dim, p->cols);
    double ratio;

    if (!p->m->config.arch->rope || dim < 1 ||
        !(is_turned(p, dim, &ratio) || is_turned(p, p->cols, &ratio)))
        return false;
    if (near(ratio, 1))
        snprintf(
            hint, ATN_HINT_TEXT,
            "position 0 agrees and all vectors are as long as ours: another rotary "
            "angle (base theta, scaling, rotated dimensions, or the first position)");
    else
        snprintf(
            hint, ATN_HINT_TEXT,
            "position 0, and the length of all vectors, is %.5g times ours: another "
            "attention factor of the rotary embedding (yarn, longrope), and angles",
            ratio);
    return true;
}

/* ---- the others ---- */

/* Is y = cap tanh(z / cap) of the logits z behind our own cap? cap 0 = y is z. */
static bool is_capped(const atn_pair *p, double cap)
{
    const double own = p->m->config.head_softcap;
    double worst = 0, largest = 0;

    for (atn_idx i = 0; i < count_of(p); i++) {
        const double y = p->reference[i], x = p->ours[i],
                     z = own > 0 ? own * atanh(x / own) : x,
                     e = fabs(y - (cap > 0 ? cap * tanh(z / cap) : z));

        if (!(e <= worst)) worst = e;
        largest = fmax(largest, fabs(y));
    }
    return worst <= 10 * p->tolerance * largest;
}

/* The cap that takes our largest logit to the reference's; 0 = none does. */
static double solve_cap(const atn_pair *p)
{
    const double own = p->m->config.head_softcap;
    double lo, hi, z, y;
    atn_idx at = 0;

    for (atn_idx i = 0; i < count_of(p); i++)
        if (fabs((double)p->ours[i]) > fabs((double)p->ours[at])) at = i;
    z = fabs((double)p->ours[at]);
    y = fabs((double)p->reference[at]);
    if (own > 0) z = own * atanh(z / own);
    if (!(y > 0 && y < z && isfinite(z))) return 0;
    lo = y; /* a cap is above what it caps, and y rises with it */
    hi = 1e4 * z;
    for (int i = 0; i < 200; i++) {
        const double cap = (lo + hi) / 2;

        if (cap * tanh(z / cap) < y)
            lo = cap;
        else
            hi = cap;
    }
    return hi;
}

static bool cap_hint(const atn_pair *p, char *hint)
{
    const double own = p->m->config.head_softcap, cap = solve_cap(p);

    if (own > 0 && is_capped(p, 0))
        snprintf(hint, ATN_HINT_TEXT,
                 "the reference does not cap its logits, ours does at %g "
                 "(final_logit_softcapping)",
                 own);
    else if (cap > 0 && is_capped(p, cap) && !is_capped(p, 0))
        snprintf(hint, ATN_HINT_TEXT,
                 "the reference caps its logits softly at %.4g, ours %s "
                 "(final_logit_softcapping)",
                 cap, own > 0 ? "at another value" : "does not");
    return *hint != '\0';
}

static void logits_hint(const atn_pair *p, char *hint)
{
    if (!cap_hint(p, hint) && !p->departed)
        snprintf(hint, ATN_HINT_TEXT,
                 "the layers agree as far as the reference says: the last MLP, the "
                 "final norm, or "
                 "the matrix of the logits (tie_word_embeddings says whether it is the "
                 "embedding)");
}

static void hidden_hint(const atn_pair *p, char *hint)
{
    const unsigned agreed = p->before.agreed;
    const bool out = atn_stage_in(agreed, ATN_STAGE_ATTN_OUT);
    static const char mlp[] =
        "its MLP (exact gelu or tanh form, gate and up exchanged), or "
        "where its norms stand (and 1 + w)";

    if (p->place->cross) {
        if (out)
            snprintf(hint, ATN_HINT_TEXT,
                     "the self-attention of this layer agrees: the norm behind it");
        return;
    }
    if (p->place->layer == 0)
        snprintf(
            hint, ATN_HINT_TEXT,
            "the embedding: positions and where they begin, token types, its norm, "
            "its scale, or other token ids");
    else if (out)
        snprintf(hint, ATN_HINT_TEXT, "the attention of the layer before agrees: %s",
                 mlp);
    else if (atn_stage_in(agreed, ATN_STAGE_ATTN))
        snprintf(hint, ATN_HINT_TEXT,
                 "the weights of the layer before agree: %sW_O or a bias, or %s; "
                 "attn_out in "
                 "the reference would tell",
                 atn_stage_in(agreed, ATN_STAGE_V) ? "" : "its values, ", mlp);
    else if (!p->before.compared || p->before.compared == 1u << ATN_STAGE_HIDDEN)
        snprintf(
            hint, ATN_HINT_TEXT,
            "the layer before: q, k, v, attn and attn_out in the reference would tell "
            "where");
}

/* The reference's rows are the heads' outputs side by side, in front of W_O. */
static bool is_heads_output(const atn_pair *p)
{
    const atn_place *at = p->place;
    const atn_idx group = at->heads / at->kv_heads;

    if (!p->run->p || at->heads * at->dv != p->cols) return false;
    for (atn_idx h = 0; h < at->heads; h++)
        for (atn_idx i = 0; i < at->nq; i++)
            for (atn_idx e = 0; e < at->dv; e++) {
                const float *row = p->run->p + (h * at->nq + i) * at->nk;
                const double y = p->reference[i * p->cols + h * at->dv + e];
                double o = 0;

                for (atn_idx j = 0; j < at->nk; j++)
                    o += (double)row[j] *
                         (double)p->run->v[((h / group) * at->nk + j) * at->dv + e];
                if (!(fabs(o - y) <= 1e-3 * (fabs(o) + fabs(y)) + 1e-5)) return false;
            }
    return true;
}

static void output_hint(const atn_pair *p, char *hint)
{
    const bool all = atn_stage_in(p->here.agreed, ATN_STAGE_ATTN) &&
                     atn_stage_in(p->here.agreed, ATN_STAGE_V);

    snprintf(
        hint, ATN_HINT_TEXT, "%s",
        is_heads_output(p)
            ? "the reference holds the heads' outputs in front of W_O; attn_out is "
              "behind it"
        : all ? "weights and values agree: the output projection or its bias"
              : "the attention agrees as far as the reference says: values, the output "
                "projection or its bias");
}

/* q and k as they enter the dot product. */
static void rotated_hint(const atn_pair *p, char *hint)
{
    const bool pre = atn_stage_in(
        p->here.agreed, p->stage == ATN_STAGE_Q ? ATN_STAGE_Q_PRE : ATN_STAGE_K_PRE);

    if (p->m->config.arch->rope && (pairs_hint(p, hint) || angle_hint(p, hint))) return;
    snprintf(
        hint, ATN_HINT_TEXT, "%s",
        pre ? "they agree in front of the rotary embedding: its angles (theta, "
              "scaling, "
              "rotated dimensions, pairs)"
            : "the norm in front of the projection (epsilon, 1 + w), the projection, "
              "its bias, or the norm of queries and keys");
}

static void place_hint(const atn_pair *p, char *hint)
{
    switch (p->stage) {
    case ATN_STAGE_Q:
    case ATN_STAGE_K:
        rotated_hint(p, hint);
        break;
    case ATN_STAGE_Q_PRE:
    case ATN_STAGE_K_PRE:
        if (pairs_hint(p, hint)) break;
        snprintf(
            hint, ATN_HINT_TEXT,
            "the norm in front of the projection (epsilon, 1 + w), its weight or its "
            "bias, or the norm of queries and keys");
        break;
    case ATN_STAGE_V:
        snprintf(
            hint, ATN_HINT_TEXT,
            "the norm in front of the projection (epsilon, 1 + w), its weight or its "
            "bias");
        break;
    case ATN_STAGE_ATTN_OUT:
        output_hint(p, hint);
        break;
    case ATN_STAGE_HIDDEN:
        hidden_hint(p, hint);
        break;
    default:
        break;
    }
}

static bool is_of_heads(atn_stage s)
{
    return s == ATN_STAGE_Q || s == ATN_STAGE_K || s == ATN_STAGE_Q_PRE ||
           s == ATN_STAGE_K_PRE || s == ATN_STAGE_V;
}

atn_status atn_doctor_hint(atn_ctx *cx, const atn_pair *p, char hint[ATN_HINT_TEXT])
{
    hint[0] = '\0';
    for (atn_idx i = 0; i < count_of(p); i++)
        if (!isfinite(p->reference[i])) {
            snprintf(hint, ATN_HINT_TEXT, "the reference holds NaN or infinity");
            return ATN_OK;
        }
    if (p->stage == ATN_STAGE_ATTN) return atn_doctor_weights_hint(cx, p, hint);
    if (factor_hint(p, hint) || head_order_hint(p, hint)) return ATN_OK;
    if (is_of_heads(p->stage) && (fused_hint(p, hint) || row_factor_hint(p, hint)))
        return ATN_OK;
    if (p->stage == ATN_STAGE_LOGITS) logits_hint(p, hint);
    if (p->stage == ATN_STAGE_LOSS && atn_stage_in(p->here.agreed, ATN_STAGE_LOGITS))
        snprintf(hint, ATN_HINT_TEXT,
                 "the logits agree: which tokens are predicted, and whether it is "
                 "their mean");
    if (p->place) place_hint(p, hint);
    return ATN_OK;
}
