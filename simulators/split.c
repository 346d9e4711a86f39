/* simulators/split.c -- into how many pieces a kernel cuts the keys of a CTA.
 *
 * Math    efficiency of s pieces: w / ceil(w) with w = CTAs * s / SMs; the smallest s
 *         of at least 0.85 times the best. One piece where the CTAs fill 0.8 of the SMs
 *         anyway. FA2 counts two CTAs an SM and passes over an s that cuts no shorter
 *         than s - 1.
 * Oracle  48 CTAs on 108 SMs: 2 pieces (0.89; 3 give 0.67).
 * Source  cards/simulators.md 2.1; FlashAttention's heuristics.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "simulators/work.h"

#include <math.h>

enum { SPLITS_MOST = 128, FEW_BLOCKS = 4 };
static const double l2_bytes = 50.0 * 1024 * 1024;

static double efficiency(double ctas, int s, double sms)
{
    const double waves = ctas * s / sms;

    return waves / ceil(waves);
}

static bool eligible(const atn_split_case *c, int s)
{
    if (c->rule != ATN_SPLIT_FA2 || s == 1) return true;
    return atn_ceil_div(c->blocks, s) != (c->blocks + s - 2) / (s - 1);
}

static int best_fill(const atn_split_case *c, double sms)
{
    const int most =
        (int)ATN_MIN(SPLITS_MOST, ATN_MIN((atn_idx)sms, ATN_MAX(c->blocks, 1)));
    double best = 0;

    for (int s = 1; s <= most; s++)
        if (eligible(c, s)) best = fmax(best, efficiency(c->ctas, s, sms));
    for (int s = 1; s <= most; s++)
        if (eligible(c, s) && efficiency(c->ctas, s, sms) >= 0.85 * best) return s;
    return 1;
}

int atn_split_most(const atn_split_case *c)
{
    const double sms = (double)c->sms * (c->rule == ATN_SPLIT_FA2 ? 2 : 1);
    const bool fa3 = c->rule == ATN_SPLIT_FA3 || c->rule == ATN_SPLIT_VARLEN;

    if (c->rule == ATN_SPLIT_NONE || c->ctas < 1) return 1;
    if (c->rule == ATN_SPLIT_FILL) {
        const double fill = floor(sms / c->ctas);

        return (int)fmax(1, fmin(fill, (double)c->blocks));
    }
    if (c->ctas >= 0.8 * sms) {
        if (!fa3 || c->causal || (double)c->kv_bytes <= l2_bytes ||
            (double)c->m_blocks < 2 * sms)
            return 1;
        return (int)fmin(SPLITS_MOST, ceil((double)c->kv_bytes / l2_bytes));
    }
    if (fa3 && c->blocks <= FEW_BLOCKS) return 1;
    return best_fill(c, sms);
}

int atn_split_taken(const atn_split_all *s, int most)
{
    const double each =
        ceil(1.1 * s->batch * s->q_tiles * s->blocks * s->heads / s->sms);

    return (int)fmin(fmax(ceil(s->blocks / each), 1), most);
}
