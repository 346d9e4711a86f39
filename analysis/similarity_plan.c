/* analysis/similarity_plan.c -- which layers share their leader's matrix, and what it
 * buys.
 *
 * Math    layers 0..L-1 are cut into contiguous blocks; the first layer of a block
 *         leads. A block [a, b] of several layers needs a >= first_keep,
 *         b < L - last_keep, at most kmax layers and S(a, l) >= threshold for its
 *         followers. A dynamic programme over the end of the last block maximises the
 *         summed gain of the followers; under gain ERROR it minimises the summed
 *         copy_err among plans of equally many followers.
 * Oracle  equals brute force over all 2^(L-1) partitions. TinyLlama (22 layers, D 2048,
 *         9 followers): FLOP bound 1.047 at n = 512, 1.159 at 32768.
 * Source  own definition: arXiv 2409.14595 gives no closed rule. Bounds: derived.
 * Cost    O(L kmax), times L for gain ERROR.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "analysis/similarity.h"

#include <math.h>
#include <string.h>

static const double tie = 1e-12;

void atn_share_defaults(atn_share_opts *o)
{
    *o =
        (atn_share_opts){.threshold = 0.9, .first_keep = 1, .last_keep = 1, .bytes = 2};
}

static atn_status check_opts(atn_ctx *cx, const atn_share_opts *o, const double *err)
{
    atn_status st = ATN_OK;

    if (isnan(o->threshold))
        ATN_FAIL(ATN_USAGE,
                 "plan: the threshold is not a number (give --threshold 0.9)");
    if (o->first_keep < 0 || o->last_keep < 0 || o->kmax < 0 || o->budget < 0)
        ATN_FAIL(ATN_USAGE,
                 "plan: first_keep %lld, last_keep %lld, kmax %lld, budget %lld: "
                 "none may be negative",
                 (long long)o->first_keep, (long long)o->last_keep, (long long)o->kmax,
                 (long long)o->budget);
    if (o->metric < ATN_SIM_COS_ELEM || o->metric > ATN_SIM_MATCH)
        ATN_FAIL(ATN_USAGE, "plan: no metric %d (one of " ATN_SIMILARITY_METRICS ")",
                 o->metric);
    if (o->gain < ATN_SHARE_PARAMS || o->gain > ATN_SHARE_ERROR)
        ATN_FAIL(ATN_USAGE, "plan: no gain %d (one of " ATN_SHARE_GAINS ")", o->gain);
    if (o->gain == ATN_SHARE_ERROR && !err)
        ATN_FAIL(ATN_DATA,
                 "plan: gain error needs copy_err, which this capture does not give "
                 "(capture values and w_o, or take gain params)");
    if (!(o->bytes > 0))
        ATN_FAIL(ATN_USAGE, "plan: %g bytes a number (give 1, 2 or 4)", o->bytes);
done:
    return st;
}

/* The best plan of the first `end` layers that has so many followers. */
typedef struct state {
    bool reached;
    double gain, similarity;
    int leader, before; /* of the last block; its followers before */
} state;

static bool better(const state *x, const state *y)
{
    const double scale = ATN_MAX(1.0, fabs(y->gain));

    if (!y->reached) return true;
    if (fabs(x->gain - y->gain) > tie * scale) return x->gain > y->gain;
    return x->similarity > y->similarity + tie;
}

typedef struct programme {
    int n;
    int counts; /* distinct numbers of followers kept apart, 1 if they do not matter */
    const double *s, *cost, *err;
    const atn_share_opts *o;
    state *best; /* [n + 1, counts] */
} programme;

/* Extends every plan that ends before layer a by each block [a, b]. Leaders come in
 * rising order and only a strictly better plan replaces another, so ties keep the
 * smaller leader. */
static void extend(const programme *p, int a)
{
    double gain = 0, similarity = 0;

    for (int b = a; b < p->n; b++) {
        const double like = p->s[(atn_idx)a * p->n + b];
        const int step = p->counts > 1 ? b - a : 0;

        if (b > a) {
            if (a < p->o->first_keep || b >= p->n - p->o->last_keep) return;
            if (p->o->kmax > 0 && b - a + 1 > p->o->kmax) return;
            if (!(like >= p->o->threshold)) return;
            gain += p->err ? -p->err[(atn_idx)a * p->n + b] : p->cost[b];
            similarity += like;
        }
        for (int f = 0; f + step < p->counts; f++) {
            const state *from = &p->best[(atn_idx)a * p->counts + f];
            state *to = &p->best[(atn_idx)(b + 1) * p->counts + f + step];
            const state next = {true, from->gain + gain, from->similarity + similarity,
                                a, f};

            if (from->reached && better(&next, to)) *to = next;
        }
    }
}

static void trace(const programme *p, int f, int *leader)
{
    for (int end = p->n; end > 0;) {
        const state *s = &p->best[(atn_idx)end * p->counts + f];

        for (int l = s->leader; l < end; l++) leader[l] = s->leader;
        end = s->leader;
        f = s->before;
    }
}

atn_status atn_share_solve(atn_ctx *cx, int n, const double *s, const double *cost,
                           const double *err, const atn_share_opts *opts, int *leader)
{
    const bool by_error = opts->gain == ATN_SHARE_ERROR;
    const atn_arena_mark mark = atn_arena_save(cx);
    atn_status st = ATN_OK;
    programme p = {n, by_error ? n + 1 : 1, s, cost, by_error ? err : NULL, opts, NULL};
    int f = 0;

    ATN_TRY(check_opts(cx, opts, err));
    ATN_TAKE(p.best, (atn_idx)(n + 1) * p.counts);
    memset(p.best, 0, (size_t)(n + 1) * (size_t)p.counts * sizeof *p.best);
    p.best[0].reached = true;
    for (int a = 0; a < n; a++) extend(&p, a);
    if (by_error) {
        f = opts->budget > 0 ? (int)ATN_MIN(opts->budget, (int64_t)n) : n;
        while (!p.best[(atn_idx)n * p.counts + f].reached) f--;
    }
    trace(&p, f, leader);
done:
    atn_arena_rewind(cx, mark);
    return st;
}

/* ---- bounds ---- */

typedef struct layer_work {
    double weights, qk_weights; /* all matrices of the layer; W_Q and W_K */
    double flops, qk_flops;     /* a token */
    double traffic, qk_traffic; /* unfused attention of all n tokens, numbers moved */
    double cache, k_cache;      /* numbers */
} layer_work;

static layer_work work_of(const atn_layer_cost *c, const atn_share_sizes *z)
{
    const double q = (double)(c->heads * c->d), k = (double)(c->kv_heads * c->d);
    const double v = (double)(c->kv_heads * c->dv), o = (double)(c->heads * c->dv);
    const double mlp = (z->gated ? 3 : 2) * z->width * z->ffn;
    const double nq = c->n_q > 0 ? c->n_q : c->n;
    const double scores = (double)c->heads * nq * c->n;
    layer_work w = {0};

    w.qk_weights = z->width * (q + k);
    w.weights = w.qk_weights + z->width * (v + o) + mlp;
    w.qk_flops = 2 * w.qk_weights + 2 * c->n_eff * q;
    w.flops = 2 * w.weights + 2 * c->n_eff * (q + o);
    /* scores written, read by the softmax, weights written, read again; a follower
     * reads the leader's weights once */
    w.traffic = nq * (q + o) + c->n * (k + v) + 4 * scores;
    w.qk_traffic = nq * q + c->n * k + 3 * scores;
    w.k_cache = c->n * k;
    w.cache = c->n * (k + v);
    return w;
}

static double bound(double all, double saved)
{
    return all > saved ? all / (all - saved) : NAN;
}

void atn_share_bounds(const atn_layer_cost *cost, int n, const int *leader,
                      const atn_share_sizes *sizes, double bytes, atn_share_total *out)
{
    const double vocab = sizes->width * sizes->vocab;
    bool known = true, whole;
    layer_work all = {0}, saved = {0};

    *out = (atn_share_total){.layers = n, .similarity_min = NAN, .copy_err_sum = NAN};
    for (int l = 0; l < n; l++) {
        const layer_work w = work_of(&cost[l], sizes);

        known = known && cost[l].d > 0;
        all.weights += w.weights + 2 * sizes->width; /* and two norms */
        all.flops += w.flops;
        all.traffic += w.traffic;
        all.cache += w.cache;
        if (leader[l] == l) continue;
        out->followers++;
        saved.weights += w.qk_weights;
        saved.flops += w.qk_flops;
        saved.traffic += w.qk_traffic;
        saved.cache += w.k_cache;
    }
    whole = known && sizes->width > 0 && sizes->ffn > 0 && sizes->vocab > 0;
    out->params = known && sizes->width > 0 ? saved.weights : NAN;
    out->flops = known && sizes->width > 0 ? saved.flops : NAN;
    out->cache_bytes = known ? saved.cache * bytes : NAN;
    out->attn_byte_bound = known ? bound(all.traffic, saved.traffic) : NAN;
    out->params_share = out->flops_share = out->flop_bound = out->decode_byte_bound =
        NAN;
    if (!whole) return;
    out->params_share =
        saved.weights / (all.weights + vocab * (sizes->tied ? 1 : 2) + sizes->width);
    out->flops_share = saved.flops / (all.flops + 2 * vocab);
    out->flop_bound = bound(all.flops + 2 * vocab, saved.flops);
    out->decode_byte_bound =
        bound(all.weights + vocab + all.cache, saved.weights + saved.cache);
}
