/* approx/rank.c -- scores of gathered keys, see the header. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "approx/rank.h"

#include <math.h>
#include <string.h>

#include "core/kernels/kernels.h"

enum { KEYS = 256, AHEAD = 32 };

static atn_idx panels_of(atn_cmat q)
{
    return (q.rows - 1) / ATN_PANEL + 1;
}

atn_status atn_rank_open(atn_ctx *cx, atn_cmat q, atn_rank *out)
{
    const atn_idx d = q.cols;
    atn_status st = ATN_OK;

    *out = (atn_rank){.rows = q.rows, .d = d};
    ATN_TAKE(out->panels, panels_of(q) * ATN_PANEL * d);
    ATN_TAKE(out->keys, KEYS * d);
    ATN_TAKE(out->scores, KEYS * ATN_PANEL);
    atn_panels_pack(q.data, q.ld, q.rows, d, out->panels);
done:
    return st;
}

/* out_e = the larger of it and the scores of the first `rows` of a panel, [n, 16]. */
ATN_CLONES static void fold_scores(const float *scores, atn_idx n, atn_idx rows,
                                   float *out)
{
    for (atn_idx e = 0; e < n; e++) {
        const float *x = scores + e * ATN_PANEL;
        float max = out[e];

        if (rows >= ATN_PANEL) {
            float half[ATN_PANEL / 2];

            for (int r = 0; r < 8; r++) half[r] = x[r] > x[r + 8] ? x[r] : x[r + 8];
            for (int r = 0; r < 4; r++)
                half[r] = half[r] > half[r + 4] ? half[r] : half[r + 4];
            for (int r = 0; r < 4; r++) max = half[r] > max ? half[r] : max;
        } else {
            for (atn_idx r = 0; r < rows; r++) max = x[r] > max ? x[r] : max;
        }
        out[e] = max;
    }
}

void atn_rank_keys(const atn_rank *r, atn_cmat k, const atn_idx *key, atn_idx n,
                   float *out)
{
    const atn_idx d = r->d;

    for (atn_idx from = 0; from < n; from += KEYS) {
        const atn_idx m = ATN_MIN((atn_idx)KEYS, n - from);

        for (atn_idx e = 0; e < m; e++) {
            if (e + AHEAD < m)
                for (atn_idx c = 0; c < d; c += 16)
                    __builtin_prefetch(atn_crow(k, key[from + e + AHEAD]) + c, 0, 2);
            memcpy(r->keys + e * d, atn_crow(k, key[from + e]),
                   (size_t)d * sizeof *r->keys);
            out[from + e] = -INFINITY;
        }
        for (atn_idx row = 0; row < r->rows; row += ATN_PANEL) {
            atn_panels_dot(r->keys, d, m, r->panels + row * d, 1, d, r->scores,
                           ATN_PANEL);
            fold_scores(r->scores, m, r->rows - row, out + from);
        }
    }
}

double atn_rank_bytes(atn_idx rows, atn_idx d)
{
    return sizeof(float) *
           (((double)rows + ATN_PANEL + KEYS) * (double)d + KEYS * ATN_PANEL + 64);
}
