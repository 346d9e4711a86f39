/* simulators/decode.c -- time of one decode step: one query a sequence, many keys.
 *
 * Math    W = ceil(b hk mb s' / SMs) waves of CTAs, each of ceil(n / s') tiles of the
 *         n that the row reads; m = W (cta + mha) + W ceil(n / s') tile. They hide
 *         behind the bytes or not: (m^P + (byte MB)^P)^(1/P), P = 1 adds, P = inf is
 *         the larger one. To it t0 and what a window, splits (s > 1: c, and c b h d
 *         s'), sequences, queries and the write of new keys cost. Baseline:
 *         t0 + c MB, MB = (4 b hk L d + 4 b h d) / 1e6.
 * Oracle  P = 1, t0 = 8, byte = 1, all else 0: b = 1, h = hk = 8, d = 128, 1000 keys
 *         are 4.1 MB, so 12.1 us.
 * Source  cards/simulators.md 2.1 (splits), 6.3 (decode).
 * Cost    none to speak of: no loop over CTAs.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "simulators/model.h"

#include <math.h>

/* More query heads a KV head than this, and kernels of ATN_SPLIT_FILL read the keys
 * once for every one of them. */
enum { FILL_GROUP = 32 };

bool atn_decode_case_of(const atn_kernel *k, const atn_launch *s, atn_idx window,
                        atn_decode_case *out)
{
    const bool windowed = window > 0 && window < s->kv_len;
    const unsigned takes = windowed ? ATN_TAKES_WINDOW : ATN_TAKES_CAUSAL;
    const atn_kernel_tile *t;

    if (s->kv_len < 1 || s->head_dim < 1 || s->head_dim > INT32_MAX) return false;
    t = atn_kernel_tile_of(k, (int)s->head_dim, ATN_PASS_DECODE, takes, 1, 0);
    if (!t || t->q.at[0] < 1 || t->k.at[0] < 1) return false;
    out->window = windowed;
    out->seen = windowed ? window : s->kv_len;
    out->bm = t->q.at[0];
    out->bn = t->k.at[0];
    out->blocks = (s->kv_len - 1) / out->bn + 1 - (s->kv_len - out->seen) / out->bn;
    return true;
}

/* How the step is cut up. */
typedef struct layout {
    double kv_heads;    /* that are read */
    double m_blocks;    /* Q tiles of a KV head */
    double most, taken; /* splits: upper bound, and those of the launch */
    bool alone;         /* every query head works for itself */
} layout;

static layout lay_out(const atn_kernel *k, const atn_launch *s,
                      const atn_decode_case *c, double sms)
{
    const bool fill = k->split == ATN_SPLIT_FILL;
    const atn_idx group = s->heads / s->kv_heads;
    layout l = {.kv_heads = (double)s->kv_heads, .m_blocks = 1};
    atn_split_case split = {.rule = k->split, .sms = (atn_idx)sms, .blocks = c->blocks};
    const atn_idx all = (s->kv_len - 1) / c->bn + 1;
    atn_idx reach = s->kv_len;
    int most;

    if (fill) {
        l.alone = group == 1 || group > FILL_GROUP;
        if (group > FILL_GROUP) l.kv_heads = (double)s->heads;
    } else {
        l.m_blocks = (double)((group - 1) / c->bm + 1);
        if (c->window && c->bm < s->kv_len - c->seen) reach = c->seen + c->bm;
        if (c->window) split.blocks = (reach - 1) / c->bn + 1;
    }
    split.ctas = l.kv_heads * l.m_blocks;
    if (k->split != ATN_SPLIT_VARLEN) split.ctas *= (double)s->batch;
    split.m_blocks = (atn_idx)l.m_blocks;
    split.kv_bytes = (atn_idx)fmin(
        (double)s->kv_len * s->bytes * (double)(s->head_dim + s->value_dim), 9e18);
    most = atn_split_most(&split);
    l.most = l.taken = most;
    if (k->split == ATN_SPLIT_VARLEN && most > 1)
        l.taken = atn_split_taken(
            &(atn_split_all){(double)s->batch, l.m_blocks,
                             c->window ? (double)all : (double)c->blocks, l.kv_heads,
                             sms},
            most);
    return l;
}

static bool possible(const atn_launch *s, const atn_decode_case *c, double sms)
{
    return s->batch >= 1 && s->kv_heads >= 1 && s->heads >= s->kv_heads &&
           s->head_dim >= 1 && s->kv_len >= 1 && c->seen >= 0 && c->seen <= s->kv_len &&
           c->blocks >= 0 && c->bn >= 1 && c->bm >= 1 && sms >= 1;
}

void atn_decode_regressors(const atn_kernel *k, const atn_device *d,
                           const atn_launch *s, const atn_decode_case *c,
                           atn_regressors *out)
{
    const double sms = atn_device_get(d, ATN_DEVICE_SMS);
    const double batch = (double)s->batch, dim = (double)s->head_dim;
    const double queries = batch * (double)s->heads * dim;
    const double keys = batch * (double)s->kv_heads * dim;
    double *x = out->x, waves;
    layout l;

    for (int i = 0; i < ATN_TERMS; i++) x[i] = possible(s, c, sms) ? 0 : NAN;
    if (!possible(s, c, sms)) return;
    l = lay_out(k, s, c, sms);
    waves = ceil(batch * l.kv_heads * l.m_blocks * l.taken / sms);
    x[ATN_TERM_T0] = 1;
    x[ATN_TERM_CTA] = waves;
    x[ATN_TERM_CTA_MHA] = l.alone ? waves : 0;
    x[ATN_TERM_TILE] = waves * ceil((double)c->blocks / l.taken);
    x[ATN_TERM_BYTE] =
        2 * s->bytes * (batch * l.kv_heads * (double)c->seen * dim + queries) / 1e6;
    x[ATN_TERM_WINDOW] = c->window;
    x[ATN_TERM_SPLIT] = l.most > 1;
    x[ATN_TERM_PART] = l.most > 1 ? queries * l.taken / 1e6 : 0;
    x[ATN_TERM_SEQ] = batch / 1000;
    x[ATN_TERM_QO] = queries / 1e6;
    x[ATN_TERM_KV_TOKEN] = keys / 1e6;
    if (!k->bare)
        atn_kv_spread((double)s->kv_heads * dim, batch / 1000, x + ATN_TERM_KV);
}

/* (a^p + b^p)^(1/p) without overflow. */
static double power_sum(double a, double b, double p)
{
    const double high = fmax(a, b), low = fmin(a, b);

    if (!(high > 0) || p == 1) return a + b;
    return high * pow(1 + pow(low / high, p), 1 / p);
}

double atn_decode_sum(const atn_time_fit *f, const atn_regressors *x, bool bare)
{
    static const atn_term linear[] = {ATN_TERM_WINDOW, ATN_TERM_SPLIT, ATN_TERM_PART,
                                      ATN_TERM_SEQ, ATN_TERM_QO};
    const double *c = f->c;
    const double bytes = c[ATN_TERM_BYTE] * x->x[ATN_TERM_BYTE];
    double sum = c[ATN_TERM_T0] * x->x[ATN_TERM_T0], work;

    if (f->model != ATN_MODEL_FULL) return sum + bytes;
    work = c[ATN_TERM_CTA] * x->x[ATN_TERM_CTA] +
           c[ATN_TERM_CTA_MHA] * x->x[ATN_TERM_CTA_MHA] +
           c[ATN_TERM_TILE] * x->x[ATN_TERM_TILE];
    for (size_t i = 0; i < ATN_LEN(linear); i++) sum += c[linear[i]] * x->x[linear[i]];
    for (int i = 0; i < 6 && !bare; i++)
        sum += c[ATN_TERM_KV + i] * x->x[ATN_TERM_KV + i];
    if (!bare) sum += c[ATN_TERM_KV_TOKEN] * x->x[ATN_TERM_KV_TOKEN];
    return sum + power_sum(work, bytes, f->power);
}

double atn_decode_time(const atn_kernel *k, const atn_device *d, const atn_time_fit *f,
                       const atn_launch *s, const atn_decode_case *c, bool bare)
{
    atn_regressors x;

    atn_decode_regressors(k, d, s, c, &x);
    return atn_decode_sum(f, &x, bare);
}
