/* simulators/model.c -- the time of a prefill launch from its work.
 *
 * Math    tau = t0 + cta x0 + tile x1 + mask x2 + gqa x0 [packed, group not 4, 8, 16] +
 *         qo T h d / 1e6 + split [s > 1] + part [s > 1] T h d s' / 1e6 + l2 r +
 *         kv(hk d) T / 1000, with T tokens, s the bound and s' the number of pieces;
 *         r = clamp((F / L2 - 0.8) / 0.4, 0, 1), F = 2 T d (2 h + 4 hk) bytes; kv
 *         linear between its nodes. t = tau (1 + a tau^2 / (tau^2 + theta^2)).
 * Source  cards/simulators.md 6.3.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "simulators/model.h"

#include <math.h>

enum { BISECTIONS = 60 };

static bool cheap_group(atn_idx g)
{
    return g == 4 || g == 8 || g == 16;
}

void atn_kv_spread(double size, double amount, double *x)
{
    int i = 0;
    double at;

    if (size <= atn_kv_nodes[0]) {
        x[0] = amount;
        return;
    }
    if (size >= atn_kv_nodes[5]) {
        x[5] = amount;
        return;
    }
    while (size > atn_kv_nodes[i + 1]) i++;
    at = (size - atn_kv_nodes[i]) / (atn_kv_nodes[i + 1] - atn_kv_nodes[i]);
    x[i] = amount * (1 - at);
    x[i + 1] = amount * at;
}

void atn_prefill_regressors(const atn_kernel *k, const atn_device *d,
                            const atn_launch *s, const atn_work *w, atn_regressors *out)
{
    const double tokens = (double)s->batch * (double)s->q_len;
    const double dim = (double)s->head_dim, h = (double)s->heads;
    const double hk = (double)s->kv_heads, size = tokens * h * dim / 1e6;
    const double footprint = s->bytes * tokens * dim * (2 * h + 4 * hk);
    const double l2 = 1e6 * atn_device_get(d, ATN_DEVICE_L2_MB);
    double *x = out->x;

    *out = (atn_regressors){{0}};
    x[ATN_TERM_T0] = 1;
    x[ATN_TERM_CTA] = w->x_ctas;
    x[ATN_TERM_TILE] = w->x_tiles;
    x[ATN_TERM_MASK] = w->x_masked;
    if (k->packs_gqa && !cheap_group(s->heads / s->kv_heads))
        x[ATN_TERM_GQA] = w->x_ctas;
    x[ATN_TERM_QO] = size;
    if (w->splits > 1) {
        x[ATN_TERM_SPLIT] = 1;
        x[ATN_TERM_PART] = size * w->splits_taken;
    }
    x[ATN_TERM_L2] = fmin(1, fmax(0, (footprint / l2 - 0.8) / 0.4));
    if (!k->bare) atn_kv_spread(hk * dim, tokens / 1000, x + ATN_TERM_KV);
}

double atn_prefill_time(const atn_time_fit *f, const atn_regressors *x, bool bare)
{
    double tau = 0;

    for (int i = 0; i < ATN_TERM_CTA_MHA; i++)
        if (!bare || i < ATN_TERM_KV) tau += f->c[i] * x->x[i];
    return atn_time_slowed(f, tau);
}

double atn_time_slowed(const atn_time_fit *f, double us)
{
    const double theta = 1000 * f->theta_ms, square = us * us;

    return f->slow > 0 ? us * (1 + f->slow * square / (square + theta * theta)) : us;
}

/* It grows with tau. */
double atn_time_unslowed(const atn_time_fit *f, double us)
{
    double lo = us, hi = us;

    if (f->slow > 0) lo = us / (1 + f->slow);
    for (int i = 0; f->slow > 0 && i < BISECTIONS; i++) {
        const double tau = (lo + hi) / 2;

        if (atn_time_slowed(f, tau) > us)
            hi = tau;
        else
            lo = tau;
    }
    return (lo + hi) / 2;
}
