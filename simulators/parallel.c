/* simulators/parallel.c -- schemes of context parallelism: what they send, and how long
 * they take.
 *
 * Math    ring: in step t rank q computes a(q, q - t) while it sends what it has; a
 *         step takes the longer of the slowest rank's work and the transfer, the last
 *         one work alone. Double ring: a round of steps within a node, and a transfer
 *         to the next node behind the whole round. All-gather, all-to-all: the
 *         collective, then all work (or work, then the collective). Work of a step is
 *         a launch on the chunk that queries and keys share (parallel_chunk.c), and
 *         from the second step on the merge of its result into what there is. Launches
 *         lose clock as one run of their sum would, not each for itself.
 *         Choosing (extra work) comes before: its flop and bytes over P, and its launches.
 *         Backward: 2.5 times the launches, K and V again, dK and dV in fp32, which
 *         travel home. LASP waits for P - 1 states one after the other.
 *         Efficiency: time of one GPU / P / time.
 * Oracle  volumes: messages counted one by one; 1,333 tokens hide a ring at 600 TFLOP/s
 *         and 450 GB/s in 16 bits.
 * Source  cards/simulators.md 2.3; Liu et al., arXiv 2310.01889; Brandon et al.,
 *         arXiv 2311.09431; Jacobs et al., arXiv 2309.14509; Fang and Zhao,
 *         arXiv 2405.07719; Gu et al., arXiv 2406.18485; Sun et al., arXiv 2404.02882
 *         and 2502.07563.
 * Limits  the slowest rank of a step is one of those with the most pairs. The kernel, and
 *         nothing beside it, runs on the SMs: a transfer takes none of them. Linear
 *         attention (LASP) is a roofline.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "simulators/parallel.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "simulators/machine.h"

const char *const atn_cp_order_names[ATN_CP_ORDERS] = {"contiguous", "zigzag",
                                                       "stripe"};

const atn_cp_scheme atn_cp_schemes[ATN_CP_SCHEMES] = {
    {"ring", ATN_CP_RING, ATN_CP_CONTIGUOUS, "keys and values go round"},
    {"zigzag", ATN_CP_RING, ATN_CP_ZIGZAG,
     "a ring; rank r has chunks r and 2P - 1 - r"},
    {"stripe", ATN_CP_RING, ATN_CP_STRIPE, "a ring; rank r has every P-th token"},
    {"all-gather", ATN_CP_GATHER, ATN_CP_ZIGZAG, "all keys and values, then attention"},
    {"ulysses", ATN_CP_EXCHANGE, ATN_CP_CONTIGUOUS, "all-to-all: a GPU has some heads"},
    {"usp", ATN_CP_USP, ATN_CP_ZIGZAG, "Ulysses in groups of U, a ring of the groups"},
    {"double-ring", ATN_CP_DOUBLE_RING, ATN_CP_ZIGZAG, "rings in nodes, one of nodes"},
    {"lasp", ATN_CP_LASP, ATN_CP_CONTIGUOUS, "linear attention: states one by one"},
    {"lasp2", ATN_CP_LASP2, ATN_CP_CONTIGUOUS, "linear attention: states gathered"},
};

/* What the clusters of today have, and what transfers reach of it: assumptions. */
#define LINK_SHARE   0.8  /* of the bandwidth on paper */
#define NETWORK_GBS  40.0 /* 400 Gb/s a GPU, 0.8 of it */
#define BACKWARD     2.5  /* five products instead of two */
#define LINEAR_BLOCK 128  /* tokens that linear attention computes as a square */
#define SMALL_LOSS   0.1  /* of the time: less limits nothing */

void atn_cp_defaults(atn_cp_opts *o)
{
    *o = (atn_cp_opts){.order = -1, .gpus = 8, .node = 8, .latency_us = 10};
}

atn_status atn_cp_scheme_find(atn_ctx *cx, const char *name, int *scheme)
{
    const char *names[ATN_CP_SCHEMES + 1];
    char known[256];
    atn_status st = ATN_OK;

    for (int i = 0; i < ATN_CP_SCHEMES; i++) {
        names[i] = atn_cp_schemes[i].name;
        *scheme = i;
        if (strcmp(name, names[i]) == 0) return ATN_OK;
    }
    names[ATN_CP_SCHEMES] = "all";
    *scheme = ATN_CP_ALL;
    if (strcmp(name, "all") == 0) return ATN_OK;
    atn_known(name, names, ATN_CP_SCHEMES + 1, known, sizeof known);
    ATN_FAIL(ATN_USAGE, "context parallelism: there is no scheme \"%.60s\" %s", name,
             known);
done:
    return st;
}

atn_status atn_cp_order_find(atn_ctx *cx, const char *name, int *order)
{
    char known[128];
    atn_status st = ATN_OK;

    for (*order = 0; *order < ATN_CP_ORDERS; (*order)++)
        if (strcmp(name, atn_cp_order_names[*order]) == 0) return ATN_OK;
    atn_known(name, atn_cp_order_names, ATN_CP_ORDERS, known, sizeof known);
    ATN_FAIL(ATN_USAGE, "context parallelism: there is no order \"%.60s\" %s", name,
             known);
done:
    return st;
}

/* ---- volumes ---- */

/* What `ranks` GPUs send round: keys and values, and in the backward pass their
 * gradients, too, in fp32 and one hop more. */
static double ring_bytes(const atn_cp_sizes *s, double ranks, double kv, bool backward)
{
    const double width = (double)(s->head_dim + s->value_dim) * (double)s->batch;
    const double chunk = (double)s->tokens / (double)s->gpus * kv * width;

    return (ranks - 1) * chunk * s->bytes + (backward ? ranks * chunk * 4 : 0);
}

atn_cp_volume atn_cp_volume_of(atn_cp_kind kind, const atn_cp_sizes *s, bool backward)
{
    const double p = (double)s->gpus, u = (double)s->ulysses, h = (double)s->heads;
    const double d = (double)s->head_dim, dv = (double)s->value_dim;
    const double b = (double)s->batch, hk = (double)s->kv_heads;
    const double group = kind == ATN_CP_EXCHANGE ? p : kind == ATN_CP_USP ? u : 1;
    const double kv = fmax(hk, group), rows = b * (double)s->tokens / p;
    atn_cp_volume v = {0};

    if (kind == ATN_CP_EXCHANGE || kind == ATN_CP_USP)
        v.exchange = (group - 1) / group * rows * (h + kv) * (d + dv) * s->bytes;
    if (kind == ATN_CP_USP) v.ring = ring_bytes(s, p / u, kv, backward);
    if (kind == ATN_CP_RING || kind == ATN_CP_DOUBLE_RING)
        v.ring = ring_bytes(s, p, hk, backward);
    if (kind == ATN_CP_DOUBLE_RING) {
        const double nodes = p / (double)s->inner;

        /* the last hop of every round, and of the gradients' last one that home */
        v.outer = nodes > 1 ? ring_bytes(s, nodes, hk, backward) : 0;
    }
    if (kind == ATN_CP_GATHER)
        v.gather = ring_bytes(s, p, hk, false) * (backward ? 2 : 1);
    if (kind == ATN_CP_LASP) v.states = p > 1 ? b * h * d * dv * s->bytes : 0;
    if (kind == ATN_CP_LASP2) v.states = (p - 1) * b * h * d * dv * s->bytes;
    v.total = v.ring + v.exchange + v.gather + v.states;
    return v;
}

double atn_cp_hidden_tokens(const atn_cp_sizes *s, double tflops, double gbs,
                            double share)
{
    return 1000 * tflops / gbs * s->bytes / 2 * (double)s->kv_heads / (double)s->heads /
           share;
}

/* ---- the job ---- */

typedef struct cp_job {
    atn_sim_opts sim; /* with all sizes */
    const atn_cp_opts *opts;
    const atn_cp_scheme *scheme;
    atn_cp_order order;
    atn_device device;   /* the same, of any memory */
    atn_cp_head *heads;  /* [n_heads] of the pattern, 1: all alike */
    atn_idx n_heads, at; /* heads [at, at + taken) are those of the slowest GPU */
    atn_idx taken;
    atn_cp_sizes sizes;
    atn_idx ranks;        /* that the sequence is cut for */
    double gpu_heads, kv; /* of a GPU */
    double link, network; /* GB/s */
    atn_time_fit fit;     /* of the last launch: its clock */
    double low, high;     /* of one GPU's time: its interval */
    char *model;          /* of one GPU's; NULL = known */
    struct {
        uint64_t key;
        double ms;
    } known[64]; /* launches that were timed */
    int n_known;
    struct {
        atn_cp_order order;
        atn_idx ranks;
        double redundant;
    } spread[ATN_CP_SCHEMES]; /* ways to spread the tokens that were looked at */
    int n_spread;
} cp_job;

static double transfer_ms(const cp_job *j, double gbs, double bytes)
{
    return bytes > 0 ? bytes / (gbs * 1e6) + j->opts->latency_us / 1e3 : 0;
}

/* A message to the next GPU of a ring of all: some cross nodes, and all wait. */
static double hop_ms(const cp_job *j, double bytes)
{
    return transfer_ms(j, j->sizes.gpus > j->opts->node ? j->network : j->link, bytes);
}

/* One collective among `group` neighbours: a GPU sends `bytes` in all, to each of the
 * others alike; both kinds of link work at the same time. */
static double collective_ms(const cp_job *j, double group, double bytes, bool gathers)
{
    const double node = fmin(group, (double)j->opts->node);
    const double away = (group - node) / fmax(group - 1, 1);
    /* what is gathered comes to a node once, over the links of all its GPUs */
    const double out = bytes * away / (gathers ? node : 1) / (j->network * 1e6);
    const double in = bytes * (gathers ? 1 : 1 - away) / (j->link * 1e6);

    if (bytes <= 0) return 0;
    return fmax(away > 0 ? out : 0, node > 1 ? in : 0) + j->opts->latency_us / 1e3;
}

static double pass_ms(const cp_job *j, double bytes)
{
    return atn_machine_pass(j->sim.device, 1, 0, bytes) / 1e3;
}

/* Choosing what attention keeps, the work of which `gpus` share. */
static double choosing_ms(const cp_job *j, double gpus)
{
    const atn_extra_work *e = &j->sim.extra;

    return atn_machine_pass(j->sim.device, e->launches, e->flops / gpus,
                            e->bytes / gpus) /
           1e3;
}

/* ---- launches ---- */

static void say_model(cp_job *j, const atn_sim *s)
{
    snprintf(j->model, sizeof((atn_cp *)0)->model, "%s%s%s", s->model.how,
             *s->note ? "; " : "", s->note);
    j->low = s->time_ms > 0 ? s->low_ms / s->time_ms : 1;
    j->high = s->time_ms > 0 ? s->high_ms / s->time_ms : 1;
    j->model = NULL;
}

/* Time without what the clock loses in long runs. */
static atn_status launch(atn_ctx *cx, cp_job *j, const atn_pattern *const *p, atn_idx n,
                         double heads, double kv, double *ms)
{
    atn_sim_opts o = j->sim;
    atn_sim s = {0};
    atn_status st = ATN_OK;

    o.device = &j->device;
    o.dense = NULL;
    o.causal = false; /* of a chunk, whose keys may lie anywhere */
    o.shape.heads = (atn_idx)heads;
    o.shape.kv_heads = (atn_idx)kv;
    o.shape.pass = ATN_PASS_FORWARD;
    o.shape.q_len = p[0]->frame.nq;
    o.shape.kv_len = p[0]->frame.nk;
    o.shape.causal = p[0]->frame.causal;
    o.bare = true;
    o.slots = false;
    o.extra = (atn_extra_work){0};
    o.whole = (atn_whole){0};
    ATN_TRY(atn_simulate(cx, p, n, &o, &s));
    j->fit = s.model.fit;
    if (j->model) say_model(j, &s);
    *ms = atn_time_unslowed(&j->fit, 1000 * s.kernel_ms) / 1000 + s.passes_ms;
done:
    atn_sim_release(cx, &s);
    return st;
}

/* How much slower the clock is in a run of so long. */
static double clock_of(const cp_job *j, double ms)
{
    return ms > 0 ? atn_time_slowed(&j->fit, 1000 * ms) / 1000 / ms : 1;
}

/* Of launches, the backward ones among them. */
static double launches_ms(const cp_job *j, double ms)
{
    const double all = ms * (j->opts->backward ? 1 + BACKWARD : 1);

    return all * clock_of(j, all);
}

static void stir(uint64_t *key, int64_t x)
{
    *key = (*key ^ (uint64_t)x) * 0x9E3779B97F4A7C15u;
    *key ^= *key >> 29;
}

/* Patterns of one form have one time; 0 = it has no simple form. */
static uint64_t key_of(const atn_pattern *const *p, atn_idx n)
{
    uint64_t key = 1;

    for (atn_idx h = 0; h < n; h++) {
        const atn_frame *f = &p[h]->frame;

        if (!p[h]->shift || p[h]->n_offsets != 1) return 0;
        stir(&key, f->nq);
        stir(&key, f->nk);
        stir(&key, f->first);
        stir(&key, f->block);
        stir(&key, f->causal);
        stir(&key, p[h]->offsets[0].lo);
        stir(&key, p[h]->offsets[0].hi);
    }
    return key | 1;
}

static atn_status known_launch(atn_ctx *cx, cp_job *j, const atn_pattern *const *p,
                               double *ms)
{
    const uint64_t key = key_of(p, j->taken);
    atn_status st = ATN_OK;

    for (int i = 0; key && i < j->n_known; i++)
        if (j->known[i].key == key) {
            *ms = j->known[i].ms;
            return ATN_OK;
        }
    ATN_TRY(launch(cx, j, p, j->taken, j->gpu_heads, j->kv, ms));
    if (key && j->n_known < (int)ATN_LEN(j->known)) {
        j->known[j->n_known].key = key;
        j->known[j->n_known++].ms = *ms;
    }
done:
    return st;
}

typedef struct step_time {
    double launch_ms, rows; /* queries that have a result */
} step_time;

/* Nothing is cut, and heads are alike: the pattern itself, its grid and blocks. */
static atn_status whole_time(atn_ctx *cx, cp_job *j, step_time *t)
{
    t->rows = (double)j->sizes.tokens;
    return launch(cx, j, &j->heads[0].pattern, 1, j->gpu_heads, j->kv, &t->launch_ms);
}

/* One launch, or, where the kernel takes windows only and this is none, one for each
 * part of the queries and keys. */
static atn_status chunk_time(atn_ctx *cx, cp_job *j, const atn_cp_share *q,
                             const atn_cp_share *k, step_time *t)
{
    const bool any = (j->sim.kernel->takes & (ATN_TAKES_ANY | ATN_TAKES_BLOCKS)) != 0;
    const atn_arena_mark mark = atn_arena_save(cx);
    atn_pattern **p = NULL;
    atn_status st = ATN_OK;
    double ms = 0;

    if (j->ranks == 1 && j->n_heads == 1) return whole_time(cx, j, t);
    ATN_TAKE(p, j->taken);
    memset(p, 0, (size_t)j->taken * sizeof(*p));
    ATN_TRY(atn_cp_chunk(cx, j->heads + j->at, j->taken, q, k, p));
    if (!p[0]) goto done;
    if (!any && !p[0]->shift && (q->parts > 1 || k->parts > 1)) {
        for (int a = 0; a < q->parts; a++)
            for (int b = 0; b < k->parts; b++) {
                const atn_cp_share x = {{q->part[a]}, 1, q->step};
                const atn_cp_share y = {{k->part[b]}, 1, k->step};

                ATN_TRY(chunk_time(cx, j, &x, &y, t));
            }
        goto done;
    }
    ATN_TRY(known_launch(cx, j, (const atn_pattern *const *)p, &ms));
    t->launch_ms += ms;
    t->rows += (double)p[0]->frame.nq;
done:
    for (atn_idx h = 0; p && h < j->taken; h++) atn_pattern_destroy(cx, p[h]);
    atn_arena_rewind(cx, mark);
    return st;
}

/* ---- pairs of the ranks ---- */

static atn_status pairs_of(atn_ctx *cx, const cp_job *j, atn_idx at, int64_t *a)
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

static double total(const int64_t *a, atn_idx n)
{
    double sum = 0;

    for (atn_idx i = 0; i < n; i++) sum += (double)a[i];
    return sum;
}

/* Which heads the slowest GPU has, a [ranks, ranks] of them; *even: mean over most. */
static atn_status slowest_heads(atn_ctx *cx, cp_job *j, int64_t *a, double *even)
{
    const atn_idx n = j->ranks * j->ranks;
    atn_status st = ATN_OK;
    double most = -1, sum = 0;
    atn_idx at = 0, groups = 0;

    for (; at < j->n_heads; at += j->taken, groups++) {
        double x;

        ATN_TRY(pairs_of(cx, j, at, a));
        x = total(a, n);
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
static atn_status redundant_of(atn_ctx *cx, cp_job *j, double *share)
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

/* ---- schemes in time ---- */

typedef struct cp_times {
    double work, all; /* without, with transfers that show */
    double launches;  /* of work: the rest is merging */
    double clock;     /* factor of a launch in the run */
    double tflops;    /* that the launches reach */
    double share;     /* mean share of a chunk that the slowest rank has */
} cp_times;

/* Merging a partial result of some rows into the one in fp32. */
static double merge_ms(const cp_job *j, double rows)
{
    const double n = rows * j->gpu_heads * (double)j->sizes.batch;
    const double given = j->opts->merge_bytes;
    const double bytes = given > 0 ? given : 8 + j->sizes.bytes;

    return pass_ms(j, n * ((double)j->sizes.value_dim * bytes + 12));
}

/* The same of gradients: those of the queries, and of the keys that travel. */
static double merge_back_ms(const cp_job *j, double rows)
{
    const double d = (double)j->sizes.head_dim, dv = (double)j->sizes.value_dim;
    const double b = (double)j->sizes.batch * (8 + j->sizes.bytes);
    const double chunk = (double)j->sizes.tokens / (double)j->ranks;

    return pass_ms(j, rows * j->gpu_heads * d * b) +
           pass_ms(j, chunk * j->kv * (d + dv) * b);
}

/* The first and the last of the ranks that have, but for a hundredth, the most pairs in
 * a step: of a zigzag ring those with half the queries and those with half the keys. */
static void slowest_ranks(const int64_t *a, atn_idx r, atn_idx step, atn_idx q[2])
{
    int64_t most = 0;

    for (atn_idx x = 0; x < r; x++) most = ATN_MAX(most, a[x * r + (x - step + r) % r]);
    q[0] = -1;
    for (atn_idx x = 0; x < r; x++) {
        if (a[x * r + (x - step + r) % r] < most - most / 100) continue;
        if (q[0] < 0) q[0] = x;
        q[1] = x;
    }
}

/* Launch of a step on the slower of them; *pairs: its own. */
static atn_status slowest_step(atn_ctx *cx, cp_job *j, const int64_t *a, atn_idx s,
                               step_time *out, double *pairs)
{
    const atn_idx r = j->ranks;
    atn_idx q[2] = {0, 0};
    double worst = -1;
    atn_status st = ATN_OK;

    slowest_ranks(a, r, s, q);
    for (int i = 0; i < (q[0] == q[1] ? 1 : 2); i++) {
        const atn_idx k = (q[i] - s + r) % r;
        const atn_cp_share queries =
            atn_cp_share_of(j->order, j->sizes.tokens, r, q[i]);
        const atn_cp_share keys = atn_cp_share_of(j->order, j->sizes.tokens, r, k);
        step_time step = {0};
        double ms;

        ATN_TRY(chunk_time(cx, j, &queries, &keys, &step));
        ms = step.launch_ms + merge_ms(j, step.rows);
        if (ms <= worst) continue;
        worst = ms;
        *out = step;
        *pairs = (double)a[q[i] * r + k] / (double)j->taken;
    }
done:
    return st;
}

/* Launches of the steps of a ring: step [ranks]. */
static atn_status ring_steps(atn_ctx *cx, cp_job *j, const int64_t *a, step_time *step,
                             cp_times *t)
{
    const double d = (double)(j->sizes.head_dim + j->sizes.value_dim);
    const double chunk = (double)j->sizes.tokens / (double)j->ranks;
    const atn_idx r = j->ranks;
    atn_status st = ATN_OK;
    double ms = 0, pairs = 0;

    for (atn_idx s = 0; s < r; s++) {
        double own = 0;

        step[s] = (step_time){0};
        ATN_TRY(atn_progress(cx, "steps", (double)s, (double)r));
        ATN_TRY(slowest_step(cx, j, a, s, &step[s], &own));
        ms += step[s].launch_ms;
        pairs += own;
    }
    t->launches = launches_ms(j, ms);
    t->clock = ms > 0 ? t->launches / (ms * (j->opts->backward ? 1 + BACKWARD : 1)) : 1;
    t->tflops =
        2 * d * pairs * j->gpu_heads * (double)j->sizes.batch / (ms * t->clock) / 1e9;
    t->share = pairs / (double)r / (chunk * chunk);
done:
    return st;
}

/* Work of each step of a pass: out [ranks]. */
static void ring_work(const cp_job *j, const step_time *step, bool backward,
                      double clock, double *out)
{
    for (atn_idx s = 0; s < j->ranks; s++) {
        const bool merges = step[s].rows > 0 && (backward || s > 0);
        const double merge =
            backward ? merge_back_ms(j, step[s].rows) : merge_ms(j, step[s].rows);

        out[s] = (backward ? BACKWARD : 1) * clock * step[s].launch_ms;
        if (merges) out[s] += merge;
    }
}

/* One pass of a ring: kv bytes go on in all steps but the last, grad bytes follow from
 * the second on and once more after the last. inner = steps of a round; 0 = one ring. */
static double ring_ms(const cp_job *j, const double *work, atn_idx inner, double kv,
                      double grad)
{
    const atn_idx r = j->ranks, round = inner > 0 ? inner : r;
    double all = 0;

    for (atn_idx s = 0; s < r; s += round) {
        const bool last = s + round >= r;
        double sum = 0;

        for (atn_idx i = s; i < s + round; i++) {
            const bool sends = i + 1 < s + round, crosses = inner > 0 && i == s;
            const double follows = i > 0 ? grad : 0;
            const double bytes = (sends ? kv : 0) + (crosses ? 0 : follows);
            const double x =
                inner > 0 ? transfer_ms(j, j->link, bytes) : hop_ms(j, bytes);
            const double y = crosses ? transfer_ms(j, j->network, follows) : 0;

            sum += fmax(work[i], fmax(x, y));
        }
        if (!last) sum = fmax(sum, transfer_ms(j, j->network, kv));
        all += sum;
    }
    return all + (grad > 0 ? hop_ms(j, grad) : 0);
}

static double sum_ms(const double *x, atn_idx n)
{
    double sum = 0;

    for (atn_idx i = 0; i < n; i++) sum += x[i];
    return sum;
}

/* Ring, double ring, and the ring of USP, whose all-to-alls come before and after. */
static atn_status time_ring(atn_ctx *cx, cp_job *j, const int64_t *a, cp_times *t)
{
    const atn_arena_mark mark = atn_arena_save(cx);
    const atn_idx inner = j->scheme->kind == ATN_CP_DOUBLE_RING ? j->sizes.inner : 0;
    const double width = (double)(j->sizes.head_dim + j->sizes.value_dim);
    const double numbers = (double)j->sizes.batch * (double)j->sizes.tokens /
                           (double)j->ranks * j->kv * width;
    step_time *step = NULL;
    double *work = NULL;
    atn_status st = ATN_OK;

    ATN_TAKE(step, j->ranks);
    ATN_TAKE(work, j->ranks);
    ATN_TRY(ring_steps(cx, j, a, step, t));
    for (int back = 0; back <= j->opts->backward; back++) {
        ring_work(j, step, back, t->clock, work);
        t->work += sum_ms(work, j->ranks);
        t->all += ring_ms(j, work, inner, numbers * j->sizes.bytes,
                          back && j->ranks > 1 ? numbers * 4 : 0);
    }
done:
    atn_arena_rewind(cx, mark);
    return st;
}

static atn_status time_gather(atn_ctx *cx, cp_job *j, const int64_t *a, cp_times *t)
{
    const atn_cp_share all = {{{0, j->sizes.tokens}}, 1, 1};
    const double gather = atn_cp_volume_of(ATN_CP_GATHER, &j->sizes, false).gather;
    const double once = collective_ms(j, (double)j->sizes.gpus, gather, true);
    atn_cp_share own;
    step_time step = {0};
    atn_status st = ATN_OK;
    atn_idx q = 0;

    for (atn_idx x = 1; x < j->ranks; x++)
        if (total(a + x * j->ranks, j->ranks) > total(a + q * j->ranks, j->ranks))
            q = x;
    own = atn_cp_share_of(j->order, j->sizes.tokens, j->ranks, q);
    for (int i = 0; i < own.parts; i++) {
        const atn_cp_share part = {{own.part[i]}, 1, own.step};

        ATN_TRY(chunk_time(cx, j, &part, &all, &step));
    }
    t->work = t->launches = launches_ms(j, step.launch_ms);
    t->all = t->work + once * (j->opts->backward ? 3 : 1);
done:
    return st;
}

/* Q, K and V in, the result out; of the backward pass its gradient in, theirs out. */
static double exchange_ms(const cp_job *j, double group)
{
    const double rows = (double)j->sizes.batch * (double)j->sizes.tokens /
                        (double)j->sizes.gpus * j->sizes.bytes * (group - 1) / group;
    const double d = (double)j->sizes.head_dim, dv = (double)j->sizes.value_dim;
    const double q = rows * j->gpu_heads * group, k = rows * j->kv * group;
    const double once =
        collective_ms(j, group, q * d, false) + collective_ms(j, group, k * d, false) +
        collective_ms(j, group, k * dv, false) + collective_ms(j, group, q * dv, false);

    return once * (j->opts->backward ? 2 : 1);
}

static atn_status time_exchange(atn_ctx *cx, cp_job *j, cp_times *t)
{
    const atn_cp_share all = {{{0, j->sizes.tokens}}, 1, 1};
    step_time step = {0};
    atn_status st = ATN_OK;

    ATN_TRY(chunk_time(cx, j, &all, &all, &step));
    t->work = t->launches = launches_ms(j, step.launch_ms);
    t->all = t->work + exchange_ms(j, (double)j->sizes.gpus);
done:
    return st;
}

/* ---- linear attention ---- */

/* [0] within blocks, [1] states: of `tokens` of a GPU; both passes, if asked. */
static void linear_ms(const cp_job *j, double tokens, double ms[2])
{
    const atn_device *dev = j->sim.device;
    const double best = atn_device_get(dev, ATN_DEVICE_ACHIEVABLE_16);
    const double peak = atn_device_get(dev, ATN_DEVICE_TFLOPS_16);
    const double rate = (best > 0 ? best : LINK_SHARE * peak) * 1e9; /* flop a ms */
    const double d = (double)j->sizes.head_dim, dv = (double)j->sizes.value_dim;
    const double rows = tokens * (double)j->sizes.batch, h = (double)j->sizes.heads;
    const double numbers = rows * (h + (double)j->sizes.kv_heads) * (d + dv);
    const double times = j->opts->backward ? 1 + BACKWARD : 1;
    const double flop[2] = {2 * rows * h * LINEAR_BLOCK * (d + dv),
                            4 * rows * h * d * dv};

    for (int i = 0; i < 2; i++)
        ms[i] = times * fmax(flop[i] / rate, pass_ms(j, numbers * j->sizes.bytes / 2));
}

static void time_linear(cp_job *j, cp_times *t)
{
    const double chunk = (double)j->sizes.tokens / (double)j->sizes.gpus;
    const double passes = j->opts->backward ? 2 : 1, p = (double)j->sizes.gpus;
    const atn_cp_kind kind = j->scheme->kind;
    const double state = atn_cp_volume_of(ATN_CP_LASP, &j->sizes, false).states;
    double ms[2], wait;

    linear_ms(j, chunk, ms);
    if (kind == ATN_CP_LASP) {
        const double nodes = ceil(p / (double)j->opts->node) - 1;

        wait = nodes * transfer_ms(j, j->network, state) +
               (p - 1 - nodes) * transfer_ms(j, j->link, state);
    } else
        wait = collective_ms(j, p, (p - 1) * state, true);
    t->work = t->launches = ms[0] + ms[1];
    t->all = t->work + fmax(wait * passes - ms[0], 0); /* hidden behind the blocks */
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
static atn_idx ulysses_of(const cp_job *j)
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
static void refuse(const cp_job *j, atn_idx u, char *note)
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
static double memory_of(const cp_job *j, double gpus)
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
static const char *limit_of(const cp_job *j, const cp_times *t, const atn_cp_result *r)
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
static double hidden_of(const cp_job *j, const cp_times *t)
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

static atn_status run_pattern(atn_ctx *cx, cp_job *j, atn_cp_result *r, cp_times *t)
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
        ATN_TRY(time_exchange(cx, j, t));
    } else if (j->scheme->kind == ATN_CP_GATHER) {
        r->balance *= atn_cp_gather_balance(a, j->ranks);
        ATN_TRY(time_gather(cx, j, a, t));
    } else {
        r->balance *= atn_cp_ring_balance(a, j->ranks);
        ATN_TRY(time_ring(cx, j, a, t));
        if (j->scheme->kind == ATN_CP_USP)
            t->all += exchange_ms(j, (double)j->sizes.ulysses);
        r->hidden_tokens = hidden_of(j, t);
    }
done:
    atn_arena_rewind(cx, mark);
    return st;
}

static atn_status run_scheme(atn_ctx *cx, cp_job *j, double single_ms, atn_cp_result *r)
{
    const double gb = atn_device_get(j->sim.device, ATN_DEVICE_MEMORY_GB);
    cp_times t = {0};
    atn_status st = ATN_OK;
    double ms[2];

    if (is_linear(j->scheme)) {
        linear_ms(j, (double)j->sizes.tokens, ms);
        r->single_ms = ms[0] + ms[1];
        r->balance = 1;
        time_linear(j, &t);
    } else {
        r->single_ms = launches_ms(j, single_ms) + choosing_ms(j, 1);
        ATN_TRY(run_pattern(cx, j, r, &t));
        t.work += choosing_ms(j, (double)j->sizes.gpus);
        t.all += choosing_ms(j, (double)j->sizes.gpus);
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

static void sizes_of(cp_job *j, atn_idx tokens, atn_idx u)
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

static atn_status begin(atn_ctx *cx, cp_job *j, int scheme, atn_idx tokens,
                        atn_cp_result *r)
{
    const double nvlink = atn_device_get(j->sim.device, ATN_DEVICE_NVLINK_GBS);
    const double nan = (double)NAN;
    const atn_cp_opts *c = j->opts;
    atn_status st = ATN_OK;
    atn_idx u;

    j->scheme = &atn_cp_schemes[scheme];
    j->order = c->order >= 0 ? (atn_cp_order)c->order : j->scheme->order;
    j->link = c->link_gbs > 0 ? c->link_gbs : LINK_SHARE * nvlink / 2;
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
                             const atn_sim_opts *o, cp_job *j)
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
static atn_status time_single(atn_ctx *cx, cp_job *j, const atn_pattern *const *p,
                              atn_idx n, double *ms)
{
    return launch(cx, j, p, n, (double)j->sim.shape.heads,
                  (double)j->sim.shape.kv_heads, ms);
}

atn_status atn_cp_run(atn_ctx *cx, const atn_pattern *const *p, atn_idx n,
                      const atn_sim_opts *o, const atn_cp_opts *c, atn_cp *out)
{
    const atn_arena_mark mark = atn_arena_save(cx);
    const bool all = c->scheme == ATN_CP_ALL;
    cp_job *j = NULL;
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
