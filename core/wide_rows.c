/* core/wide_rows.c -- logits and weights in double. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "core/wide_rows.h"

#include <math.h>

#include "core/kernels/kernels.h"

enum { CHUNK = 256, TILE_DOUBLES = 1 << 18, ROWS_MIN = 8, ROWS_MAX = 64 };

atn_status atn_wide_product(atn_ctx *cx, atn_cmat a, atn_cmat b, double scale,
                            double *out, atn_idx ld)
{
    const atn_arena_mark mark = atn_arena_save(cx);
    atn_status st = ATN_OK;
    double *panels = NULL;

    ATN_ASSERT(a.cols == b.cols);
    ATN_TAKE(panels, (ATN_MIN(b.rows, (atn_idx)CHUNK) + ATN_PANEL) * b.cols);
    for (atn_idx j = 0; j < b.rows; j += CHUNK) {
        const atn_idx n = ATN_MIN((atn_idx)CHUNK, b.rows - j);

        atn_panels_pack_wide(atn_crow(b, j), b.ld, n, b.cols, panels);
        atn_panels_dot_wide(a.data, a.ld, a.rows, panels, n, b.cols, scale, out + j,
                            ld);
    }
done:
    atn_arena_rewind(cx, mark);
    return st;
}

double atn_wide_logit(const atn_head *h, double s, atn_idx at, atn_idx key)
{
    if (atn_head_has_bias(h)) s += atn_head_bias(h, key, at);
    if (h->sight.softcap > 0) s = h->sight.softcap * tanh(s / h->sight.softcap);
    return s;
}

/* Bias and cap of row i, whose first entry is key `key`. */
static void finish(const atn_head *h, atn_idx i, atn_idx key, atn_idx n, double *s)
{
    const atn_idx at = atn_sight_at(&h->sight, i);

    if (!atn_head_has_bias(h) && !(h->sight.softcap > 0)) return;
    for (atn_idx j = 0; j < n; j++) s[j] = atn_wide_logit(h, s[j], at, key + j);
}

atn_status atn_wide_logits(atn_ctx *cx, const atn_head *h, const atn_tile *t,
                           double *out)
{
    atn_status st = ATN_OK;

    if (!h->p.data && t->keys > 0) {
        const atn_cmat q = {atn_crow(h->q, t->first), t->rows, h->q.cols, h->q.ld};
        const atn_cmat k = {atn_crow(h->k, t->key0), t->keys, h->k.cols, h->k.ld};

        ATN_TRY(atn_wide_product(cx, q, k, h->scale, out, t->keys));
    }
    for (atn_idx r = 0; r < t->rows; r++) {
        double *row = out + r * t->keys;

        if (!h->p.data) {
            finish(h, t->first + r, t->key0, t->keys, row);
            continue;
        }
        for (atn_idx j = 0; j < t->keys; j++)
            row[j] = (double)atn_crow(h->p, t->first + r)[t->key0 + j];
    }
done:
    return st;
}

void atn_wide_soften(double *z, atn_idx n, double sink)
{
    double max = sink, sum = 0;

    for (atn_idx e = 0; e < n; e++) max = fmax(max, z[e]);
    for (atn_idx e = 0; e < n; e++) sum += z[e] = exp(z[e] - max);
    if (sink > -INFINITY) sum += exp(sink - max);
    for (atn_idx e = 0; e < n; e++) z[e] /= sum;
}

/* exp of what a row sees, in place; returns the sum with the head's own sink logit, and
 * without it through *seen. */
static double exponents(const atn_head *h, double *x, atn_idx n, double *seen)
{
    double max = -INFINITY, sum = 0;

    for (atn_idx j = 0; j < n; j++) max = x[j] > max ? x[j] : max;
    for (atn_idx j = 0; j < n; j++) sum += x[j] = exp(x[j] - max);
    *seen = sum;
    return h->has_sink ? sum + exp(h->sink - max) : sum;
}

atn_status atn_wide_softmax(atn_ctx *cx, const atn_head *h, atn_idx i, double *x,
                            atn_idx n, double *mass)
{
    double seen = 0, sum = 1;
    atn_status st = ATN_OK;

    *mass = 0;
    if (n <= 0) goto done;
    if (h->p.data)
        for (atn_idx j = 0; j < n; j++) seen += x[j];
    else
        sum = exponents(h, x, n, &seen);
    if (!isfinite(seen))
        ATN_FAIL(ATN_DATA,
                 "layer %d, head %d, row %lld: a logit or weight is NaN or infinite "
                 "(look for NaN in the model's weights or the imported tensors)",
                 h->layer, h->head, (long long)i);
    if (!h->p.data)
        for (atn_idx j = 0; j < n; j++) x[j] /= sum;
    *mass = seen / sum;
done:
    return st;
}

atn_idx atn_wide_rows(const atn_head *h)
{
    const atn_idx fit = TILE_DOUBLES / ATN_MAX(h->nk, 1) / ROWS_MIN * ROWS_MIN;

    return ATN_MIN(ATN_MAX(fit, (atn_idx)ROWS_MIN), (atn_idx)ROWS_MAX);
}

double atn_wide_bytes(const atn_head *h)
{
    return sizeof(double) * ((double)atn_wide_rows(h) * (double)h->nk +
                             (CHUNK + ATN_PANEL) * (double)h->q.cols);
}
