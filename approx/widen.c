/* approx/widen.c -- rows in double, looked at while they are copied. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "approx/widen.h"

#include <math.h>

atn_status atn_widen_rows(atn_ctx *cx, const char *owner, const atn_head *h, atn_cmat x,
                          double scale, double **out)
{
    atn_status st = ATN_OK;
    atn_idx numbers = 0;

    if (!atn_mul(x.rows, x.cols, &numbers))
        ATN_FAIL(ATN_MEMORY, "%s: %lld rows are too many", owner, (long long)x.rows);
    ATN_NEW(*out, numbers);
    for (atn_idx i = 0; i < x.rows; i++)
        for (atn_idx e = 0; e < x.cols; e++) {
            (*out)[i * x.cols + e] = scale * (double)atn_crow(x, i)[e];
            if (!isfinite((*out)[i * x.cols + e]))
                ATN_FAIL(
                    ATN_DATA,
                    "%s: layer %d, head %d: number %lld of %s %lld is NaN or "
                    "infinite (look for NaN in the model's weights or the imported "
                    "tensors)",
                    owner, h->layer, h->head, (long long)e,
                    x.data == h->q.data ? "query" : "key", (long long)i);
        }
done:
    return st;
}
