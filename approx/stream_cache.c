/* approx/stream_cache.c -- StreamingLLM as its cache has it: the keys kept get the
 * positions that they have in the cache.
 *
 * Math    row i reads the keys j < sink and the last `window`, i - window < j <= i. The
 *         cache holds sink + window keys at positions 0, 1, .. and the query stands at
 *         the last, so in the window distances are what they were; to the first keys
 *         the distance is min(i, sink + window - 1) - j. Their logits are those of the
 *         query turned back by i - min(i, sink + window - 1) positions.
 * Oracle  without a rotary embedding, and in rows below sink + window: the pattern
 *         stream. Keys that were embedded anew at their positions in the cache.
 * Source  Xiao et al., StreamingLLM, arXiv 2309.17453, and its code, whose cache, 4 +
 *         512, is the default.
 * Cost    3 flop a number that turns, 4 d flop a key kept.
 * Limits  deeper layers of a real cache hold states that were computed from windows; a
 *         capture's are those of the full text. heads with a bias by distance are refused.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#include <math.h>
#include <string.h>

#include "approx/chosen.h"

typedef struct stream_cache {
    int64_t sink, window;
} stream_cache;

static const atn_param params[] = {
    ATN_PARAM_I64(stream_cache, sink, 4, 0, ATN_PATTERN_KEYS_MOST,
                  "first keys, seen by all"),
    ATN_PARAM_I64(stream_cache, window, 512, 1, ATN_PATTERN_KEYS_MOST,
                  "nearest keys, the query's own among them"),
    ATN_PARAM_END,
};

/* The queries as they stand to the first keys. */
static atn_status turn_back(atn_ctx *cx, const stream_cache *t, const atn_input *in,
                            const atn_head *h, float **out)
{
    const atn_idx d = h->q.cols, r = in->rotary;
    atn_status st = ATN_OK;
    float *q = NULL;

    ATN_NEW(q, h->nq * d);
    for (atn_idx i = 0; i < h->nq; i++) {
        const atn_idx at = atn_sight_at(&h->sight, i);
        const atn_idx back = ATN_MAX(at - (t->sink + t->window - 1), 0);
        const float *from = atn_crow(h->q, i);
        float *to = q + i * d;

        memcpy(to, from, (size_t)d * sizeof *to);
        for (atn_idx e = 0; back > 0 && e < r; e++) {
            const double angle = -(double)back * in->turn[e];
            const double c = cos(angle), s = sin(angle);
            const double x = (double)from[e], y = (double)from[e + r];

            to[e] = (float)(x * c - y * s);
            to[e + r] = (float)(y * c + x * s);
        }
    }
    *out = q;
done:
    return st;
}

/* The first keys that are not in the window. */
static atn_status far_sink(atn_ctx *cx, const atn_frame *f, const atn_span *near,
                           atn_idx sink, atn_pattern **out)
{
    atn_pattern *first = NULL, *window = NULL;
    atn_status st = ATN_OK;

    ATN_TRY(atn_pattern_shift(cx, f, NULL, 0, sink, &first));
    ATN_TRY(atn_pattern_shift(cx, f, near, 1, 0, &window));
    st = atn_pattern_difference(cx, first, window, out);
    first = window = NULL;
done:
    atn_pattern_destroy(cx, first);
    atn_pattern_destroy(cx, window);
    return st;
}

static atn_status plan(atn_ctx *cx, const atn_input *in, const void *params_,
                       atn_idx first, atn_idx n, atn_plan *out)
{
    const stream_cache *t = params_;
    const atn_head *h = &in->head[first];
    const atn_frame f = atn_head_frame(h, 1);
    const atn_span near = {0, t->window};
    atn_branch *b = &out->branch[0];
    atn_status st = ATN_OK;
    atn_pattern *p = NULL;

    ATN_ASSERT(n == 1);
    if (atn_head_has_bias(h))
        ATN_FAIL(ATN_DATA,
                 "stream_cache: layer %d adds a bias by distance, and a plan has only "
                 "the bias of the distance in the text (use stream)",
                 h->layer);
    if (in->rotary > h->q.cols / 2)
        ATN_FAIL(ATN_DATA,
                 "stream_cache: the capture says that %lld pairs of numbers turn, and "
                 "queries of layer %d have %lld numbers",
                 (long long)in->rotary, h->layer, (long long)h->q.cols);
    ATN_TRY(atn_pattern_shift(cx, &f, &near, 1, in->rotary ? 0 : t->sink, &p));
    atn_plan_mask(out, p, 0, 1, 1);
    if (!in->rotary) goto done;
    ATN_TRY(far_sink(cx, &f, &near, t->sink, &b->part[1].pattern));
    b->parts = 2;
    ATN_TRY(turn_back(cx, t, in, h, &b->part[1].q));
    out->index_flops = 6 * (double)h->nq * (double)in->rotary;
    out->index_bytes = ATN_COST_BYTES * 4 * (double)h->nq * (double)in->rotary;
done:
    return st;
}

/* The turned queries. */
static double bytes(const atn_ctx *cx, const void *params_, const atn_input *in)
{
    const atn_head *h = &in->head[0];

    (void)cx, (void)params_;
    return sizeof(float) * (double)h->nq * (double)h->q.cols;
}

const atn_method atn_method_stream_cache = {
    .id = "stream_cache",
    .title = "Sink and window with positions in the cache (StreamingLLM)",
    .family = "static",
    .source = "Xiao et al., StreamingLLM, arXiv 2309.17453; code "
              "mit-han-lab/streaming-llm",
    .text = "the first keys as if they were near, and the nearest",
    .reads = ATN_READS_QK | ATN_READS_TURN,
    .sides = ATN_CAUSAL,
    .unit = ATN_UNIT_HEAD,
    .params = params,
    .params_size = sizeof(stream_cache),
    .budget = "window",
    .plan = plan,
    .bytes = bytes,
};
