/* simulators/parallel.c -- schemes of context parallelism: how long they take.
 *
 * Math    ring: in step t rank q computes a(q, q - t) while it sends what it has; a
 *         step takes the longer of the slowest rank's work and the transfer, the last
 *         one work alone. Double ring: a round of steps within a node, and a transfer
 *         to the next node behind the whole round. All-gather, all-to-all: the
 *         collective, then all work (or work, then the collective). Work of a step is
 *         a launch on the chunk that queries and keys share (parallel_chunk.c), and
 *         from the second step on the merge of its result into what there is. Launches
 *         lose clock as one run of their sum would, not each for itself.
 *         Choosing (extra work) comes before: its flop and bytes over P, and its
 *         launches. Backward: 2.5 times the launches, K and V again, dK and dV in fp32,
 *         which travel home. LASP waits for P - 1 states one after the other.
 *         Efficiency: time of one GPU / P / time.
 * Source  cards/simulators.md 2.3; Liu et al., arXiv 2310.01889; Brandon et al.,
 *         arXiv 2311.09431; Jacobs et al., arXiv 2309.14509; Fang and Zhao,
 *         arXiv 2405.07719; Gu et al., arXiv 2406.18485; Sun et al., arXiv 2404.02882
 *         and 2502.07563.
 * Limits  the slowest rank of a step is one of those with the most pairs. The kernel,
 *         and nothing beside it, runs on the SMs: a transfer takes none of them. Linear
 *         attention (LASP) is a roofline.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "simulators/parallel_internal.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

/* What the clusters of today have, and what transfers reach of it: assumptions. */
#define NETWORK_GBS 40.0 /* 400 Gb/s a GPU, 0.8 of it */
#define SMALL_LOSS  0.1  /* of the time: less limits nothing */

/* ---- pairs of the ranks ---- */

static atn_status pairs_of(atn_ctx *cx, const atn_cp_job *j, atn_idx at, int64_t *a)
{
    const atn_arena_mark mark = atn_arena_save(cx);
    const atn_idx n = j->ranks * j->ranks;
    atn_status st = ATN_OK;
    int64_t *one = NULL;

    ATN_TAKE(one, n);
    memset(a, 0, (size_t)n * sizeof *a);
    for (atn_idx h = at; h < at + j->taken; h++) {
        ATN_TRY(atn_cp_pairs(cx, j->heads[h].pattern, j->heads[h].head, j->order,
                             j->ranks, one));
        for (atn_idx i = 0; i < n; i++) a[i] += one[i];
    }
done:
    atn_arena_rewind(cx, mark);
    return st;
}

double atn_cp_total(const int64_t *a, atn_idx n)
{
    double sum = 0;

    for (atn_idx i = 0; i < n; i++) sum += (double)a[i];
    return sum;
}

/* Which heads the slowest GPU has, a [ranks, ranks] of them; *even: mean over most. */
static atn_status slowest_heads(atn_ctx *cx, atn_cp_job *j, int64_t *a, double *even)
{
    const atn_idx n = j->ranks * j->ranks;
    atn_status st = ATN_OK;
    double most = -1, sum = 0;
    atn_idx at = 0, groups = 0;

    for (; at < j->n_heads; at += j->taken, groups++) {
        double x;

        ATN_TRY(pairs_of(cx, j, at, a));
        x = atn_cp_total(a, n);
        sum += x;
        if (x > most) {
            most = x;
            j->at = at;
        }
    }
    if (groups > 1) ATN_TRY(pairs_of(cx, j, j->at, a));
    *even = most > 0 ? sum / (double)groups / most : 1;
done:
    return st;
}

/* Mean over the heads; a key that is sent for one head may serve another of its
 * group, which is not looked at. */
static atn_status redundant_of(atn_ctx *cx, atn_cp_job *j, double *share)
{
    atn_status st = ATN_OK;
    double sum = 0, one = 0;
    int i = 0;

    for (; i < j->n_spread; i++)
        if (j->spread[i].order == j->order && j->spread[i].ranks == j->ranks) {
            *share = j->spread[i].redundant;
            return ATN_OK;
        }
    for (atn_idx h = 0; h < j->n_heads; h++) {
        ATN_TRY(atn_cp_redundant(cx, j->heads[h].pattern, j->heads[h].head, j->order,
                                 j->ranks, &one));
        sum += one;
    }
    *share = sum / (double)j->n_heads;
    j->spread[i].order = j->order;
    j->spread[i].ranks = j->ranks;
    j->spread[i].redundant = *share;
    j->n_spread++;
done:
    return st;
}

/* ---- what is possible, and what limits ---- */

static bool is_linear(const atn_cp_scheme *s)
{
    return s->kind == ATN_CP_LASP || s->kind == ATN_CP_LASP2;
}

/* The heads can be dealt out to `group` GPUs. */
static bool deals(const atn_launch *l, atn_idx group)
{
    return l->heads % group == 0 &&
           (l->kv_heads % group == 0 || group % l->kv_heads == 0);
}

/* U of USP: as asked for, or the largest possible one within a node. */
static atn_idx ulysses_of(const atn_cp_job *j)
{
    const atn_idx p = j->opts->gpus;
    atn_idx u = j->opts->ulysses;

    if (j->scheme->kind == ATN_CP_EXCHANGE) return p;
    if (j->scheme->kind != ATN_CP_USP) return 1;
    if (u > 0) return u;
    for (u = ATN_MIN(p, j->opts->node); u > 1; u--)
        if (p % u == 0 && deals(&j->sim.shape, u)) return u;
    return 1;
}

/* NULL in `note`: it can be done. */
static void refuse(const atn_cp_job *j, atn_idx u, char *note)
{
    const atn_launch *l = &j->sim.shape;
    const double nvlink = atn_device_get(j->sim.device, ATN_DEVICE_NVLINK_GBS);

    *note = 0;
    if (j->opts->gpus % u != 0)
        snprintf(note, ATN_CP_TEXT, "%lld GPUs are no groups of %lld",
                 (long long)j->opts->gpus, (long long)u);
    else if (!deals(l, u))
        snprintf(note, ATN_CP_TEXT,
                 "%lld heads and %lld KV heads cannot be dealt out to %lld GPUs",
                 (long long)l->heads, (long long)l->kv_heads, (long long)u);
    else if (ATN_MIN(j->opts->gpus, j->opts->node) > 1 && j->opts->link_gbs <= 0 &&
             !(nvlink > 0))
        snprintf(note, ATN_CP_TEXT,
                 "%s has no NVLink (give --link GB/S of what joins its GPUs)",
                 j->sim.device->id);
}

/* Bytes of one layer on a GPU, in GB: the chunk, and what the scheme holds besides. */
static double memory_of(const atn_cp_job *j, double gpus)
{
    const atn_cp_sizes *s = &j->sizes;
    const double rows = (double)s->batch * (double)s->tokens / gpus;
    const double width = (double)(s->head_dim + s->value_dim), h = (double)s->heads;
    const double kv = fmax((double)s->kv_heads, (double)s->ulysses);
    const double own = rows * width * (h + (double)s->kv_heads) * s->bytes;
    const double keys = rows * width * kv * s->bytes;
    const double sums = rows * h * ((double)s->value_dim * 4 + 4);
    const double ring = gpus > (double)s->ulysses ? keys + sums : 0;
    const double state =
        (double)s->batch * h * (double)(s->head_dim * s->value_dim) * s->bytes;

    switch (gpus > 1 ? j->scheme->kind : ATN_CP_LASP) {
    case ATN_CP_RING:
    case ATN_CP_DOUBLE_RING:
        return (own + keys + sums) / 1e9;
    case ATN_CP_GATHER:
        return (own + (gpus - 1) * keys) / 1e9;
    case ATN_CP_EXCHANGE:
        return (own + rows * width * (h + kv) * s->bytes) / 1e9;
    case ATN_CP_USP:
        return (own + rows * width * (h + kv) * s->bytes + ring) / 1e9;
    case ATN_CP_LASP2:
        return (own + gpus * state) / 1e9;
    default:
        return (own + state) / 1e9;
    }
}

/* The largest loss against one GPU's time / P. */
static const char *limit_of(const atn_cp_job *j, const atn_cp_times *t,
                            const atn_cp_result *r)
{
    const double exposed = t->all - t->work, work = t->launches;
    const double uneven = work * (1 - (r->balance > 0 ? r->balance : 1));
    const double ideal = r->single_ms / (double)j->sizes.gpus;
    const double launches = fmax(work - uneven - ideal, 0);
    const double loss[] = {exposed, uneven, t->work - work, launches};
    const bool far = j->sizes.gpus > j->opts->node;
    const char *const names[] = {far ? "network" : "link", "balance", "merge",
                                 "launches"};
    int worst = 0;

    for (int i = 1; i < 4; i++)
        if (loss[i] > loss[worst]) worst = i;
    return loss[worst] > SMALL_LOSS * t->all ? names[worst] : "attention";
}

/* ---- running ---- */

/* The ring's slowest link: tokens that hide it. Double rings hide the outer one behind
 * all steps of a round. */
static double hidden_of(const atn_cp_job *j, const atn_cp_times *t)
{
    const bool far = j->sizes.gpus > j->opts->node;
    const bool two = j->scheme->kind == ATN_CP_DOUBLE_RING;
    atn_cp_sizes s = j->sizes;
    double gbs = far ? j->network : j->link;

    if (j->ranks == 1 || !(t->share > 0)) return (double)NAN;
    s.kv_heads = ATN_MAX(s.kv_heads, s.ulysses);
    if (two) gbs = j->link;
    if (two && far) gbs = fmin(gbs, j->network * (double)s.inner);
    return atn_cp_hidden_tokens(&s, t->tflops, gbs, t->share);
}

static atn_status run_pattern(atn_ctx *cx, atn_cp_job *j, atn_cp_result *r,
                              atn_cp_times *t)
{
    const atn_arena_mark mark = atn_arena_save(cx);
    const bool ring = j->scheme->kind != ATN_CP_EXCHANGE;
    atn_status st = ATN_OK;
    int64_t *a = NULL;
    double even = 1;

    ATN_TAKE(a, j->ranks * j->ranks);
    ATN_TRY(slowest_heads(cx, j, a, &even));
    r->balance = even;
    if (ring) ATN_TRY(redundant_of(cx, j, &r->redundant));
    if (j->scheme->kind == ATN_CP_EXCHANGE) {
        ATN_TRY(atn_cp_time_exchange(cx, j, t));
    } else if (j->scheme->kind == ATN_CP_GATHER) {
        r->balance *= atn_cp_gather_balance(a, j->ranks);
        ATN_TRY(atn_cp_time_gather(cx, j, a, t));
    } else {
        r->balance *= atn_cp_ring_balance(a, j->ranks);
        ATN_TRY(atn_cp_time_ring(cx, j, a, t));
        if (j->scheme->kind == ATN_CP_USP)
            t->all += atn_cp_exchange_ms(j, (double)j->sizes.ulysses);
        r->hidden_tokens = hidden_of(j, t);
    }
done:
    atn_arena_rewind(cx, mark);
    return st;
}

static atn_status run_scheme(atn_ctx *cx, atn_cp_job *j, double single_ms,
                             atn_cp_result *r)
{
    const double gb = atn_device_get(j->sim.device, ATN_DEVICE_MEMORY_GB);
    atn_cp_times t = {0};
    atn_status st = ATN_OK;
    double ms[2];

    if (is_linear(j->scheme)) {
        atn_cp_linear_ms(j, (double)j->sizes.tokens, ms);
        r->single_ms = ms[0] + ms[1];
        r->balance = 1;
        atn_cp_time_linear(j, &t);
    } else {
        r->single_ms = atn_cp_launches_ms(j, single_ms) + atn_cp_choosing_ms(j, 1);
        ATN_TRY(run_pattern(cx, j, r, &t));
        t.work += atn_cp_choosing_ms(j, (double)j->sizes.gpus);
        t.all += atn_cp_choosing_ms(j, (double)j->sizes.gpus);
    }
    r->volume = atn_cp_volume_of(j->scheme->kind, &j->sizes, false);
    if (j->opts->backward) {
        const atn_cp_volume v = atn_cp_volume_of(j->scheme->kind, &j->sizes, true);

        r->volume.ring += v.ring;
        r->volume.exchange += v.exchange;
        r->volume.gather += v.gather;
        r->volume.states += v.states;
        r->volume.outer += v.outer;
        r->volume.total += v.total;
    }
    r->time_ms = t.all;
    r->compute_ms = t.work;
    r->exposed_ms = t.all > t.work * (1 + 1e-12) ? t.all - t.work : 0;
    r->time_low_ms = r->time_high_ms = (double)NAN;
    if (!is_linear(j->scheme)) {
        r->time_low_ms = r->exposed_ms + r->compute_ms * j->low;
        r->time_high_ms = r->exposed_ms + r->compute_ms * j->high;
    }
    r->speedup = r->single_ms / r->time_ms;
    r->efficiency = r->speedup / (double)j->sizes.gpus;
    r->memory_gb = memory_of(j, (double)j->sizes.gpus);
    r->fits = !(r->memory_gb > gb);
    r->single_fits = !(memory_of(j, 1) > gb);
    r->limited_by = limit_of(j, &t, r);
done:
    return st;
}

static void sizes_of(atn_cp_job *j, atn_idx tokens, atn_idx u)
{
    const atn_launch *l = &j->sim.shape;
    atn_idx inner = ATN_MIN(j->opts->gpus, j->opts->node);

    while (j->opts->gpus % inner) inner--;
    j->sizes = (atn_cp_sizes){.gpus = j->opts->gpus,
                              .ulysses = u,
                              .inner = inner,
                              .tokens = tokens,
                              .batch = l->batch,
                              .heads = l->heads,
                              .kv_heads = l->kv_heads,
                              .head_dim = l->head_dim,
                              .value_dim = l->value_dim,
                              .bytes = l->bytes};
    j->ranks = j->scheme->kind == ATN_CP_EXCHANGE ? 1 : j->opts->gpus / u;
    j->gpu_heads = (double)(l->heads / u);
    j->kv = (double)ATN_MAX(l->kv_heads / u, 1);
    j->taken = j->n_heads == 1 ? 1 : j->n_heads / u;
    j->at = 0;
    j->n_known = 0;
}

static atn_status begin(atn_ctx *cx, atn_cp_job *j, int scheme, atn_idx tokens,
                        atn_cp_result *r)
{
    const double nvlink = atn_device_get(j->sim.device, ATN_DEVICE_NVLINK_GBS);
    const double nan = (double)NAN;
    const atn_cp_opts *c = j->opts;
    atn_status st = ATN_OK;
    atn_idx u;

    j->scheme = &atn_cp_schemes[scheme];
    j->order = c->order >= 0 ? (atn_cp_order)c->order : j->scheme->order;
    j->link = c->link_gbs > 0 ? c->link_gbs : ATN_CP_REACHED * nvlink / 2;
    j->network = c->network_gbs > 0 ? c->network_gbs : NETWORK_GBS;
    u = ulysses_of(j);
    *r = (atn_cp_result){.scheme = scheme,
                         .order = j->order,
                         .ulysses = u,
                         .balance = nan,
                         .redundant = nan,
                         .hidden_tokens = nan};
    refuse(j, u, r->note);
    if (*r->note && c->scheme != ATN_CP_ALL)
        ATN_FAIL(ATN_USAGE, "context parallelism, %s: %s", j->scheme->name, r->note);
    if (*r->note) goto done;
    sizes_of(j, tokens, u);
    if (j->ranks == 1) r->order = j->order = ATN_CP_CONTIGUOUS; /* nothing is cut */
done:
    return st;
}

static atn_status check_opts(atn_ctx *cx, const atn_pattern *p, const atn_sim_opts *o,
                             const atn_cp_opts *c)
{
    atn_status st = ATN_OK;

    if (c->scheme < ATN_CP_ALL || c->scheme >= ATN_CP_SCHEMES)
        ATN_FAIL(ATN_USAGE, "context parallelism: no scheme %d", c->scheme);
    if (c->gpus < 1 || c->gpus > ATN_CP_GPUS_MOST || c->gpus > p->frame.nq)
        ATN_FAIL(ATN_USAGE,
                 "context parallelism: %lld GPUs for %lld tokens (1 to %d, and no more "
                 "than tokens)",
                 (long long)c->gpus, (long long)p->frame.nq, ATN_CP_GPUS_MOST);
    if (c->node < 1 || c->ulysses < 0 || c->ulysses > c->gpus)
        ATN_FAIL(ATN_USAGE,
                 "context parallelism: %lld GPUs a node, %lld in a group of %lld "
                 "(both are at least 1, and a group is of the GPUs there are)",
                 (long long)c->node, (long long)c->ulysses, (long long)c->gpus);
    if (!(c->latency_us >= 0) || !(c->merge_bytes >= 0) || !(c->link_gbs >= 0) ||
        !(c->network_gbs >= 0))
        ATN_FAIL(ATN_USAGE,
                 "context parallelism: latency, bandwidths and bytes are at least 0");
    if (o->shape.pass == ATN_PASS_DECODE)
        ATN_FAIL(ATN_USAGE,
                 "context parallelism: the schemes share out the queries of a "
                 "prefill or a training step, and a decode pass has one (give "
                 "--pass forward or backward)");
    if (p->frame.first != 0 || p->frame.nq != p->frame.nk)
        ATN_FAIL(ATN_USAGE,
                 "context parallelism: the queries must be all tokens of the "
                 "sequence, %lld of %lld are asked for",
                 (long long)p->frame.nq, (long long)p->frame.nk);
done:
    return st;
}

/* The heads as (pattern, head), 1 where they are alike. */
static atn_status list_heads(atn_ctx *cx, const atn_pattern *const *p, atn_idx n,
                             const atn_sim_opts *o, atn_cp_job *j)
{
    atn_status st = ATN_OK;

    j->n_heads = n > 1 ? n : p[0]->heads;
    if (j->n_heads > 1 && j->n_heads != o->shape.heads)
        ATN_FAIL(ATN_USAGE,
                 "context parallelism: patterns of %lld heads, for %lld heads",
                 (long long)j->n_heads, (long long)o->shape.heads);
    ATN_TAKE(j->heads, j->n_heads);
    for (atn_idx h = 0; h < j->n_heads; h++)
        j->heads[h] = n > 1 ? (atn_cp_head){p[h], 0} : (atn_cp_head){p[0], h};
done:
    return st;
}

/* One GPU that has the memory. */
static atn_status time_single(atn_ctx *cx, atn_cp_job *j, const atn_pattern *const *p,
                              atn_idx n, double *ms)
{
    const atn_launch *l = &j->sim.shape;

    return atn_cp_launch(
        cx, j, &(atn_cp_part){p, n, (double)l->heads, (double)l->kv_heads}, ms);
}

atn_status atn_cp_run(atn_ctx *cx, const atn_pattern *const *p, atn_idx n,
                      const atn_sim_opts *o, const atn_cp_opts *c, atn_cp *out)
{
    const atn_arena_mark mark = atn_arena_save(cx);
    const bool all = c->scheme == ATN_CP_ALL;
    atn_cp_job *j = NULL;
    atn_status st = ATN_OK;
    double single_ms = 0;

    memset(out, 0, sizeof *out);
    ATN_TRY(check_opts(cx, p[0], o, c));
    ATN_TAKE(j, 1);
    memset(j, 0, sizeof *j);
    j->sim = *o;
    if (o->shape.kv_heads == 0) j->sim.shape.kv_heads = o->shape.heads;
    if (o->shape.value_dim == 0) j->sim.shape.value_dim = o->shape.head_dim;
    j->opts = c;
    j->model = out->model;
    j->device = *o->device;
    j->device.number[ATN_DEVICE_MEMORY_GB].value = 1e9;
    ATN_TRY(list_heads(cx, p, n, o, j));
    if (all || !is_linear(&atn_cp_schemes[c->scheme]))
        ATN_TRY(time_single(cx, j, p, n, &single_ms));
    for (int s = all ? 0 : c->scheme; s < (all ? ATN_CP_SCHEMES : c->scheme + 1); s++) {
        atn_cp_result *r = &out->result[out->n++];

        ATN_TRY(begin(cx, j, s, p[0]->frame.nk, r));
        if (!*r->note) ATN_TRY(run_scheme(cx, j, single_ms, r));
    }
done:
    atn_arena_rewind(cx, mark);
    return st;
}
