/* analysis/measures/detector.c -- how well a head matches a detection pattern.
 *
 * Math    D is 0/1 and lower triangular: previous D_i,i-1 = 1; duplicate D_ij = 1 iff
 *         the tokens of i and j < i are the same; induction D_ij = 1 iff token_j-1 is
 *         that of i, j - 1 < i. mul = sum P o D / sum P, after zeroing what is excluded
 *         in P (the first key, the diagonal); abs = 1 - sum |P - D| / rows = 1 - (sum P
 *         + sum D - 2 sum P o D) / rows, which is not bounded below. Stripe: r tokens
 *         repeated, mean of P_i,i-(r-1) over positions i >= r, counted from the first
 *         key; the variant with i = r - 1, whose entry is no induction event.
 * Oracle  F4 previous: mul .325, abs -.1; perfect previous head (n - 1) / n; perfect
 *         induction head on r repeated tokens: stripe 1, with the first entry
 *         r / (r + 1).
 * Source  card B5; TransformerLens' head detector and induction demo.
 * Limits  duplicate and induction need token ids; the stripe needs repeat=r or tokens
 *         that repeat with a period from the first or second on to the end.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#include <math.h>

#include "analysis/measure.h"
#include "analysis/sums.h"

extern const atn_measure atn_measure_detector;

typedef struct detector_params {
    bool exclude_first, exclude_current;
    int64_t repeat;
} detector_params;

static const atn_param params[] = {
    ATN_PARAM_BOOL(detector_params, exclude_first, 0,
                   "zero the first key's weights before mul"),
    ATN_PARAM_BOOL(detector_params, exclude_current, 0, "zero the diagonal before mul"),
    ATN_PARAM_I64(detector_params, repeat, 0, 0, 1 << 30,
                  "period of repeated tokens; 0 = found in the text"),
    ATN_PARAM_END,
};

enum {
    PREVIOUS_MUL,
    PREVIOUS_ABS,
    DUPLICATE_MUL,
    DUPLICATE_ABS,
    INDUCTION_MUL,
    INDUCTION_ABS,
    STRIPE,
    STRIPE_ALL
};

typedef struct match {
    double product, ones; /* sum P o D, sum D */
    double excluded;      /* of the product: entries that mul leaves out */
} match;

static double at(const atn_head_stats *s, atn_row_field f, atn_idx i)
{
    return s->value[f][i];
}

static int32_t token_of(const atn_head_stats *s, atn_idx i)
{
    return s->tokens[atn_sight_at(s->sight, i)];
}

static void previous_row(const atn_head_stats *s, const detector_params *p, atn_idx i,
                         match *m)
{
    const atn_idx t = atn_sight_at(s->sight, i);

    if (t < 1 || t > s->nk) return; /* no key before */
    m->product += at(s, ATN_ROW_PREVIOUS, i);
    m->ones += 1;
    if (p->exclude_first && t - 1 == s->sight->key_first)
        m->excluded += at(s, ATN_ROW_FIRST, i);
}

/* Keys of the token (shift 0) or after it (shift 1); those that are excluded lie at the
 * first key and, for a token said twice in a row, on the diagonal. */
static void token_row(const atn_head_stats *s, const detector_params *p, atn_idx i,
                      int shift, match *m)
{
    const atn_idx t = atn_sight_at(s->sight, i), first = s->sight->key_first;

    m->product += at(s, shift ? ATN_ROW_INDUCTION : ATN_ROW_DUPLICATE, i);
    m->ones += (double)s->earlier_count[i];
    if (p->exclude_first && first - shift >= 0 && first - shift < t &&
        s->tokens[first - shift] == token_of(s, i))
        m->excluded += at(s, ATN_ROW_FIRST, i);
    if (p->exclude_current && shift && t > 0 && s->tokens[t - 1] == token_of(s, i) &&
        !(p->exclude_first && t == first))
        m->excluded += at(s, ATN_ROW_DIAGONAL, i);
}

/* What mul divides by: all weight but what is excluded. */
static double kept_row(const atn_head_stats *s, const detector_params *p, atn_idx i)
{
    const bool first_is_own = atn_sight_at(s->sight, i) == s->sight->key_first;
    double kept = at(s, p->exclude_first ? ATN_ROW_REST : ATN_ROW_MASS, i);

    if (p->exclude_current && !(p->exclude_first && first_is_own))
        kept -= at(s, ATN_ROW_DIAGONAL, i);
    return kept;
}

static void scores(const match *m, double mass, double kept, double rows, double *out)
{
    const double share = (m->product - m->excluded) / kept;

    /* less is what rounding left of nothing */
    out[0] = kept > 1e-6 * mass ? fmin(fmax(share, 0), 1) : 0;
    out[1] = rows > 0 ? 1 - (mass + m->ones - 2 * m->product) / rows : NAN;
}

/* Mean of the diagonal at distance r - 1; `late`: without the row that has the first
 * key there. */
static double stripe(const atn_head_stats *s, atn_idx r, bool late)
{
    const atn_idx i = s->sight->key_first + r - 1 - s->sight->offset;
    double rows, sum;

    if (r < 2) return NAN;
    rows = atn_diagonal_entries(s, r - 1);
    sum = atn_diagonal_sum(s, r - 1);
    if (late && i >= 0 && i < s->nq && atn_row_counts(s, i)) {
        sum -= at(s, ATN_ROW_FIRST, i);
        rows--;
    }
    return rows > 0 ? fmax(sum, 0) / rows : NAN;
}

static void compute(const atn_head_stats *s, const void *params_, double *out)
{
    const detector_params *p = params_;
    const atn_idx period = p->repeat > 0 ? p->repeat : s->period;
    match previous = {0}, duplicate = {0}, induction = {0};
    double mass = 0, kept = 0, rows = 0;

    for (atn_idx i = 0; i < s->nq; i++) {
        if (!atn_row_counts(s, i)) continue;
        rows++;
        mass += at(s, ATN_ROW_MASS, i);
        kept += kept_row(s, p, i);
        previous_row(s, p, i, &previous);
        if (!s->repeated) continue;
        token_row(s, p, i, 0, &duplicate);
        token_row(s, p, i, 1, &induction);
    }
    if (rows == 0) return;
    scores(&previous, mass, kept, rows, out + PREVIOUS_MUL);
    if (s->repeated) scores(&duplicate, mass, kept, rows, out + DUPLICATE_MUL);
    if (s->repeated) scores(&induction, mass, kept, rows, out + INDUCTION_MUL);
    out[STRIPE] = stripe(s, period, true);
    out[STRIPE_ALL] = stripe(s, period, false);
}

static const atn_measure_col cols[] = {
    {"detector_previous_mul", "", "[0, 1]",
     "share of the weight on the position before", NULL},
    {"detector_previous_abs", "", "<= 1",
     "1 - mean over rows of |P - D|, previous token", NULL},
    {"detector_duplicate_mul", "", "[0, 1]",
     "share of the weight on earlier places of the same token", NULL},
    {"detector_duplicate_abs", "", "<= 1", "1 - mean over rows of |P - D|, duplicates",
     NULL},
    {"detector_induction_mul", "", "[0, 1]",
     "share of the weight on keys that followed the same token", NULL},
    {"detector_induction_abs", "", "<= 1", "1 - mean over rows of |P - D|, induction",
     NULL},
    {"detector_stripe", "", "[0, 1]",
     "repeated tokens of period r: mean weight at distance r - 1, positions >= r",
     NULL},
    {"detector_stripe_all", "", "[0, 1]", "the same, positions >= r - 1", NULL},
    ATN_MEASURE_COLS_END,
};

const atn_measure atn_measure_detector = {
    .id = "detector",
    .title = "Scores against detection patterns",
    .source = "TransformerLens head_detector.py; induction stripe of its demo",
    .needs = ATN_NEED_LOCAL | ATN_NEED_FIRST | ATN_NEED_TOKENS | ATN_NEED_DIAGONALS,
    .params = params,
    .params_size = sizeof(detector_params),
    .cols = cols,
    .by_place = (unsigned)ATN_EVERY_COL,
    .compute = compute,
};
