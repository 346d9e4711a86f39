/* approx/aaren.c -- Aaren: attention of one query, over every prefix of the keys.
 *
 * Math    w_ij = softmax over the keys j that row i sees of scale q . k_j, with one q
 *         for all rows: that of token `query`. The outputs are the prefix scan of the
 *         triples (m, u, w) = (s_j, 1, v_j) under
 *             m = max(m_a, m_b), u = u_a e^{m_a - m} + u_b e^{m_b - m}, w likewise.
 *         In trained models q is a parameter of the head; here it is a row of the run.
 * Oracle  row i is dense attention of that query over the first i + 1 keys; where i is
 *         the query itself, row i of dense attention. G8 row.
 * Source  Feng et al., arXiv 2405.13956; cards/kernel-theory.md, card 12.
 * Cost    2 d flop a key for its logit, then approx/features.h with one feature.
 * Limits  causal heads without a sink logit.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#include <math.h>

#include "approx/features.h"
#include "core/kernels/kernels.h"

typedef struct aaren {
    int64_t query;
} aaren;

static const atn_param params[] = {
    ATN_PARAM_I64(aaren, query, 0, 0, 1 << 30, "the token whose query all rows have"),
    ATN_PARAM_END,
};

static unsigned looks(const void *params_, const atn_input *in)
{
    const aaren *t = params_;

    (void)in;
    return t->query > 0 ? ATN_LOOKS_QUERIES : 0;
}

/* The row that has the query of token `at`; -1 = none. */
static atn_idx row_of(const atn_head *h, atn_idx at)
{
    for (atn_idx i = 0; i < h->nq; i++)
        if (atn_sight_at(&h->sight, i) == at) return i;
    return -1;
}

static atn_status refuse(atn_ctx *cx, const aaren *t, const atn_head *h)
{
    const bool bends = h->alibi_slope != 0 && h->sight.softcap > 0;
    const char *what = h->has_sink          ? "a sink logit"
                       : h->rel_bias        ? "a bias by relative position"
                       : h->alibi_slope < 0 ? "position biases that rise"
                       : bends              ? "position biases under a soft-cap"
                                            : NULL;
    atn_status st = ATN_OK;

    if (what)
        ATN_FAIL(ATN_DATA,
                 "aaren: a scan over prefixes has no place for %s of layer %d, head %d "
                 "(take heads without)",
                 what, h->layer, h->head);
    if (row_of(h, t->query) < 0)
        ATN_FAIL(ATN_DATA,
                 "aaren: token %lld has no query among the %lld of layer %d, which "
                 "begin at token %lld (give query=TOKEN of one of them)",
                 (long long)t->query, (long long)h->nq, h->layer,
                 (long long)(h->nq > 0 ? atn_sight_at(&h->sight, 0) : 0));
done:
    return st;
}

static atn_status set_logits(atn_ctx *cx, const atn_head *h, const float *q,
                             double *out)
{
    const double cap = h->sight.softcap;
    atn_status st = ATN_OK;

    for (atn_idx j = 0; j < h->nk; j++) {
        out[j] = h->scale * atn_row_dot(q, atn_crow(h->k, j), h->k.cols);
        if (cap > 0) out[j] = cap * tanh(out[j] / cap);
        if (!isfinite(out[j]))
            ATN_FAIL(
                ATN_DATA,
                "aaren: layer %d, head %d: the logit of key %lld is NaN or infinite "
                "(look for NaN in the model's weights or the imported tensors)",
                h->layer, h->head, (long long)j);
    }
done:
    return st;
}

static atn_status plan(atn_ctx *cx, const atn_input *in, const void *params_,
                       atn_idx first, atn_idx n, atn_plan *out)
{
    const atn_head *h = &in->head[first];
    const aaren *t = params_;
    atn_features f = {.n = 1, .decay = h->alibi_slope, .normalise = true};
    atn_status st = ATN_OK;

    ATN_ASSERT(n == 1);
    ATN_TRY(refuse(cx, t, h));
    ATN_NEW(f.q, h->nq);
    ATN_NEW(f.k, h->nk);
    ATN_NEW(f.log_k, h->nk);
    for (atn_idx i = 0; i < h->nq; i++) f.q[i] = 1;
    for (atn_idx j = 0; j < h->nk; j++) f.k[j] = 1;
    ATN_TRY(set_logits(cx, h, atn_crow(h->q, row_of(h, t->query)), f.log_k));
    st = atn_features_plan(cx, h, &f, 0, out);
    f = (atn_features){0};
    out->index_flops = 2 * (double)h->nk * (double)h->k.cols;
    out->index_bytes = ATN_COST_BYTES * (double)h->nk * (double)(h->k.cols + 1);
done:
    atn_features_release(cx, &f);
    return st;
}

static bool spends(const void *params_, const atn_head *h, atn_spending *out)
{
    (void)params_;
    out->numbers = 2;
    out->executed = atn_features_executed(h, 1);
    return true;
}

static double bytes(const atn_ctx *cx, const void *params_, const atn_input *in)
{
    const atn_head *h = &in->head[0];

    (void)params_;
    return atn_features_bytes(cx, h, 1) + ATN_METHOD_LITTLE;
}

const atn_method atn_method_aaren = {
    .id = "aaren",
    .title = "Aaren",
    .family = "recurrent",
    .source = "Feng et al., arXiv 2405.13956",
    .text = "what one query, the same for all rows, finds among the keys so far",
    .reads = ATN_READS_QK,
    .sides = ATN_CAUSAL,
    .params = params,
    .params_size = sizeof(aaren),
    .spends = spends,
    .looks = looks,
    .plan = plan,
    .bytes = bytes,
};
