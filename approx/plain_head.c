/* approx/plain_head.c -- heads that are softmax(scale Q K') V and nothing else. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "approx/plain_head.h"

#include <math.h>

/* The first row with a number that is none; rows = all are fine. */
static atn_idx first_bad(atn_cmat x)
{
    for (atn_idx i = 0; i < x.rows; i++)
        for (atn_idx c = 0; c < x.cols; c++)
            if (!isfinite(atn_crow(x, i)[c])) return i;
    return x.rows;
}

static atn_status refuse(atn_ctx *cx, const atn_head *h, const char *method,
                         const char *what)
{
    return atn_fail(cx, ATN_DATA, __FILE__, __LINE__,
                    "%s: layer %d, head %d has %s, which this method has no place for "
                    "(choose other layers with --layers, or a method that takes the "
                    "mask and the logits as they are, such as topk)",
                    method, h->layer, h->head, what);
}

atn_status atn_bare_logits(atn_ctx *cx, const atn_head *h, const char *method,
                           unsigned places)
{
    const char *what = NULL;

    if (h->has_sink && !(places & ATN_PLACE_SINK))
        what = "a sink logit";
    else if (h->rel_bias)
        what = "a bias by relative position";
    else if (h->alibi_slope != 0 && !(places & ATN_PLACE_BIAS))
        what = "a position bias (ALiBi)";
    else if (h->sight.softcap > 0)
        what = "a soft-cap of the logits";
    return what ? refuse(cx, h, method, what) : ATN_OK;
}

atn_status atn_plain_head(atn_ctx *cx, const atn_head *h, const char *method, bool sink)
{
    const atn_idx q = first_bad(h->q), k = first_bad(h->k);
    atn_status st = ATN_OK;

    if (atn_visible_pairs(h) < (double)h->nq * (double)h->nk)
        return refuse(cx, h, method, "a mask that hides keys");
    ATN_TRY(atn_bare_logits(cx, h, method, sink ? ATN_PLACE_SINK : 0));
    if (q < h->nq || k < h->nk)
        ATN_FAIL(
            ATN_DATA,
            "%s: layer %d, head %d: %s %lld holds a number that is NaN or infinite "
            "(look for NaN in the model's weights or the imported tensors)",
            method, h->layer, h->head, q < h->nq ? "query" : "key",
            (long long)(q < h->nq ? q : k));
done:
    return st;
}
