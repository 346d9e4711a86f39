/* approx/flow.c -- Flow-Attention: what goes out of a source and into a sink is
 * conserved, so that sources compete without a softmax over pairs.
 *
 * Math    q, k <- sigmoid; sums over what each sees, sinks i over keys, sources j over
 *         queries, and eps added to every coordinate of both factors of these four:
 *             I_i = q_i . sum k_j               U_j = k_j . sum q_i
 *             I^_i = q_i . sum k_j t_j / U_j / t_i
 *             U^_j = k_j . sum q_i t_i / I_i / t_j, cut to -clamp .. clamp
 *             c_j = t_j e^{U^_j} / sum_{l seen by j} e^{U^_l},  a_i = sigmoid(I^_i)
 *             w_ij = a_i (q_i . k_j) c_j / I_i
 *         t is the number seen. A source of a causal head sees the queries up to its
 *         own position. Without a mask t = 1, except for c, and
 *         a_i = sigmoid(I^_i nq / nk).
 * Oracle  eps = 0, no mask, no clamp: sum I^_i = nk, sum U^_j = nq,
 *         sum_j q_i . k_j / I_i = 1. Constant keys and queries: sigmoid(1) mean(v). G8
 *         rows.
 * Source  Wu et al., arXiv 2202.06258; thuml/Flowformer, Flow_Attention.py; cards/
 *         kernel-theory.md, card 11. Windows are ours.
 * Cost    8 d flop a token, then approx/features.h with d features.
 * Limits  masked heads need the queries of all tokens.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#include <math.h>
#include <string.h>

#include "approx/features.h"
#include "approx/plain_head.h"
#include "approx/widen.h"

typedef struct flow {
    int clamp;
    double eps;
} flow;

enum { CLAMP_1, CLAMP_10, CLAMP_NONE };

static const atn_param params[] = {
    ATN_PARAM_CHOICE(flow, clamp, CLAMP_1, "1|10|none",
                     "where the flow out of a source is cut before they compete"),
    ATN_PARAM_F64(flow, eps, 1e-6, 0, 1, "added to both factors of the flows"),
    ATN_PARAM_END,
};

typedef struct job {
    const atn_head *h;
    const flow *t;
    bool local; /* a mask hides something: sums are of what each sees */
    atn_idx d;
    double *q, *k;                                   /* sigmoids */
    double *in, *out, *conserved_in, *conserved_out; /* I, U, I^, U^ */
} job;

/* ---- sums over what each sees ---- */

/* Counterparts [*lo, *hi) of sink or source x. */
static void sees(const job *j, atn_idx x, atn_idx others, atn_idx *lo, atn_idx *hi)
{
    *lo = 0;
    *hi = others;
    if (j->local) atn_sight_row(&j->h->sight, x, lo, hi);
}

static atn_idx count_seen(const job *j, atn_idx x)
{
    atn_idx lo, hi;

    sees(j, x, 1, &lo, &hi);
    return hi - lo;
}

/* One side of a flow: rows, and the counterparts with their divisors, NULL = 1. */
typedef struct side {
    const double *x, *others, *divisor;
    atn_idx n, n_others;
} side;

static void add_row(const job *j, const side *s, atn_idx o, double sign, double *sum)
{
    double part = 1;

    if (s->divisor)
        part = s->divisor[o] > 0 ? (double)count_seen(j, o) / s->divisor[o] : 0;
    for (atn_idx e = 0; e < j->d; e++) sum[e] += sign * part * s->others[o * j->d + e];
}

/* out [n] <- x . sum of the others that it sees; both ends of what is seen only
 * rise. */
static atn_status flows(atn_ctx *cx, const job *j, const side *s, double *out)
{
    const atn_arena_mark mark = atn_arena_save(cx);
    const double eps = j->t->eps;
    atn_status st = ATN_OK;
    atn_idx from = 0, to = 0;
    double *sum = NULL;

    ATN_TAKE(sum, j->d);
    memset(sum, 0, (size_t)j->d * sizeof *sum);
    for (atn_idx i = 0; i < s->n; i++) {
        const double *x = s->x + i * j->d;
        atn_idx lo, hi;

        sees(j, i, s->n_others, &lo, &hi);
        for (; to < hi; to++) add_row(j, s, to, 1, sum);
        for (; from < lo; from++) add_row(j, s, from, -1, sum);
        out[i] = 0;
        for (atn_idx e = 0; e < j->d; e++) out[i] += (x[e] + eps) * (sum[e] + eps);
        if (s->divisor) out[i] /= (double)count_seen(j, i);
    }
done:
    atn_arena_rewind(cx, mark);
    return st;
}

static atn_status find_flows(atn_ctx *cx, job *j)
{
    const atn_idx nq = j->h->nq, nk = j->h->nk;
    const side sinks = {j->q, j->k, NULL, nq, nk};
    const side sources = {j->k, j->q, NULL, nk, nq};
    side again_sinks = sinks, again_sources = sources;
    atn_status st = ATN_OK;

    ATN_TAKE(j->in, nq);
    ATN_TAKE(j->conserved_in, nq);
    ATN_TAKE(j->out, nk);
    ATN_TAKE(j->conserved_out, nk);
    again_sinks.divisor = j->out;
    again_sources.divisor = j->in;
    ATN_TRY(flows(cx, j, &sinks, j->in));
    ATN_TRY(flows(cx, j, &sources, j->out));
    ATN_TRY(flows(cx, j, &again_sinks, j->conserved_in));
    ATN_TRY(flows(cx, j, &again_sources, j->conserved_out));
done:
    return st;
}

/* ---- competition and allocation ---- */

/* A sum of e^z, as max and sum of e^(z - max). */
typedef struct soft {
    double max, sum;
} soft;

static void take(soft *s, double z)
{
    if (z > s->max) {
        s->sum *= exp(s->max - z);
        s->max = z;
    }
    s->sum += exp(z - s->max);
}

static double clamped(const job *j, atn_idx x)
{
    const double most = j->t->clamp == CLAMP_1    ? 1
                        : j->t->clamp == CLAMP_10 ? 10
                                                  : INFINITY;

    return fmin(fmax(j->conserved_out[x], -most), most);
}

/* a <- a and b together. */
static void join(soft *a, soft b)
{
    if (b.max > a->max) {
        const soft small = *a;

        *a = b;
        b = small;
    }
    if (b.sum > 0) a->sum += b.sum * exp(b.max - a->max);
}

/* c [nk]. Both ends of what is seen only rise: what came since `mid` is one sum, and
 * of what came before each place has the sum from it up to there, made anew when it is
 * used up. So all is added once or twice, and nothing is subtracted. */
static atn_status compete(atn_ctx *cx, const job *j, double *c)
{
    const atn_arena_mark mark = atn_arena_save(cx);
    const soft none = {-INFINITY, 0};
    soft *before = NULL, since = none;
    atn_idx mid = 0, to = 0;
    atn_status st = ATN_OK;

    ATN_TAKE(before, j->h->nk);
    for (atn_idx x = 0; x < j->h->nk; x++) {
        atn_idx lo, hi;
        soft s;

        sees(j, x, j->h->nk, &lo, &hi);
        for (; to < hi; to++) take(&since, clamped(j, to));
        if (lo > mid) {
            soft sum = none;

            for (atn_idx k = to - 1; k >= lo; k--) {
                take(&sum, clamped(j, k));
                before[k] = sum;
            }
            mid = to;
            since = none;
        }
        s = since;
        if (lo < mid) join(&s, before[lo]);
        c[x] = (double)(hi - lo) * exp(clamped(j, x) - s.max) / s.sum;
    }
done:
    atn_arena_rewind(cx, mark);
    return st;
}

static void allocate(const job *j, double *row)
{
    const double share = j->local ? 1 : (double)j->h->nq / (double)j->h->nk;

    for (atn_idx i = 0; i < j->h->nq; i++)
        row[i] =
            j->in[i] > 0 ? 1 / ((1 + exp(-share * j->conserved_in[i])) * j->in[i]) : 0;
}

/* ---- planning ---- */

static void to_sigmoids(double *x, atn_idx n)
{
    for (atn_idx e = 0; e < n; e++) x[e] = 1 / (1 + exp(-x[e]));
}

static bool is_local(const atn_head *h)
{
    return h->sight.causal ||
           (h->sight.window > 0 && h->sight.window < ATN_MAX(h->nk, h->nq));
}

static atn_status refuse(atn_ctx *cx, const atn_head *h)
{
    const bool part = h->nq != h->nk || h->sight.offset != 0;
    atn_status st = ATN_OK;

    ATN_TRY(atn_bare_logits(cx, h, "flow", 0));
    if (h->sight.rows || (is_local(h) && part))
        ATN_FAIL(ATN_DATA,
                 "flow: sources sum over the queries of all tokens, and there are %lld "
                 "for %lld tokens (capture the whole prefill)",
                 (long long)h->nq, (long long)h->nk);
done:
    return st;
}

static atn_status plan(atn_ctx *cx, const atn_input *in, const void *params_,
                       atn_idx first, atn_idx n, atn_plan *out)
{
    const atn_arena_mark mark = atn_arena_save(cx);
    const atn_head *h = &in->head[first];
    const double tokens = (double)(h->nq + h->nk);
    atn_features f = {.n = h->k.cols};
    job j = {.h = h, .t = params_, .local = is_local(h), .d = h->k.cols};
    atn_status st = ATN_OK;

    ATN_ASSERT(n == 1);
    ATN_TRY(refuse(cx, h));
    ATN_TRY(atn_widen_rows(cx, "flow", h, h->q, 1, &f.q));
    ATN_TRY(atn_widen_rows(cx, "flow", h, h->k, 1, &f.k));
    to_sigmoids(f.q, h->nq * j.d);
    to_sigmoids(f.k, h->nk * j.d);
    j.q = f.q;
    j.k = f.k;
    ATN_TRY(find_flows(cx, &j));
    ATN_NEW(f.row, h->nq);
    ATN_NEW(f.key, h->nk);
    ATN_TRY(compete(cx, &j, f.key));
    allocate(&j, f.row);
    st = atn_features_plan(cx, h, &f, 0, out);
    f = (atn_features){0};
    out->index_flops = 8 * tokens / 2 * (double)j.d;
    out->index_bytes = ATN_COST_BYTES * 2 * tokens * (double)j.d;
done:
    atn_features_release(cx, &f);
    atn_arena_rewind(cx, mark);
    return st;
}

static bool spends(const void *params_, const atn_head *h, atn_spending *out)
{
    (void)params_;
    out->numbers = 2 * (double)h->k.cols;
    out->executed = atn_features_executed(h, h->k.cols);
    return true;
}

static atn_idx rank(const void *params_, const atn_head *h)
{
    (void)params_;
    return h->k.cols;
}

static double bytes(const atn_ctx *cx, const void *params_, const atn_input *in)
{
    const atn_head *h = &in->head[0];

    (void)cx, (void)params_;
    return 8 * (double)(h->nq + h->nk) * (double)(h->k.cols + 3) +
           sizeof(soft) * (double)h->nk + 8 * 64 + 8 * (double)h->k.cols +
           ATN_METHOD_LITTLE;
}

const atn_method atn_method_flow = {
    .id = "flow",
    .title = "Flow-Attention",
    .family = "kernel",
    .source = "Wu et al., arXiv 2202.06258, thuml/Flowformer",
    .text = "sources and sinks of a flow that is conserved",
    .reads = ATN_READS_QK,
    .sides = ATN_BOTH_WAYS,
    .params = params,
    .params_size = sizeof(flow),
    .spends = spends,
    .weights = ATN_WEIGHTS_FREE,
    .rank = rank,
    .plan = plan,
    .bytes = bytes,
};
