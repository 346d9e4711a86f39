/* simulators/parallel_time.c -- schemes of context parallelism in time: rings,
 * gathering, exchanging, and linear attention. The mathematics is in parallel.c.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "simulators/parallel_internal.h"

#include <math.h>

enum { LINEAR_BLOCK = 128 }; /* tokens that linear attention computes as a square */

/* Merging a partial result of some rows into the one in fp32. */
static double merge_ms(const atn_cp_job *j, double rows)
{
    const double n = rows * j->gpu_heads * (double)j->sizes.batch;
    const double given = j->opts->merge_bytes;
    const double bytes = given > 0 ? given : 8 + j->sizes.bytes;

    return atn_cp_pass_ms(j, n * ((double)j->sizes.value_dim * bytes + 12));
}

/* The same of gradients: those of the queries, and of the keys that travel. */
static double merge_back_ms(const atn_cp_job *j, double rows)
{
    const double d = (double)j->sizes.head_dim, dv = (double)j->sizes.value_dim;
    const double b = (double)j->sizes.batch * (8 + j->sizes.bytes);
    const double chunk = (double)j->sizes.tokens / (double)j->ranks;

    return atn_cp_pass_ms(j, rows * j->gpu_heads * d * b) +
           atn_cp_pass_ms(j, chunk * j->kv * (d + dv) * b);
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
static atn_status slowest_step(atn_ctx *cx, atn_cp_job *j, const int64_t *a, atn_idx s,
                               atn_cp_step *out, double *pairs)
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
        atn_cp_step step = {0};
        double ms;

        ATN_TRY(atn_cp_chunk_time(cx, j, &queries, &keys, &step));
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
static atn_status ring_steps(atn_ctx *cx, atn_cp_job *j, const int64_t *a,
                             atn_cp_step *step, atn_cp_times *t)
{
    const double d = (double)(j->sizes.head_dim + j->sizes.value_dim);
    const double chunk = (double)j->sizes.tokens / (double)j->ranks;
    const atn_idx r = j->ranks;
    atn_status st = ATN_OK;
    double ms = 0, pairs = 0;

    for (atn_idx s = 0; s < r; s++) {
        double own = 0;

        step[s] = (atn_cp_step){0};
        ATN_TRY(atn_progress(cx, "steps", (double)s, (double)r));
        ATN_TRY(slowest_step(cx, j, a, s, &step[s], &own));
        ms += step[s].launch_ms;
        pairs += own;
    }
    t->launches = atn_cp_launches_ms(j, ms);
    t->clock =
        ms > 0 ? t->launches / (ms * (j->opts->backward ? 1 + ATN_CP_BACKWARD : 1)) : 1;
    t->tflops =
        2 * d * pairs * j->gpu_heads * (double)j->sizes.batch / (ms * t->clock) / 1e9;
    t->share = pairs / (double)r / (chunk * chunk);
done:
    return st;
}

/* Work of each step of a pass: out [ranks]. */
static void ring_work(const atn_cp_job *j, const atn_cp_step *step, bool backward,
                      double clock, double *out)
{
    for (atn_idx s = 0; s < j->ranks; s++) {
        const bool merges = step[s].rows > 0 && (backward || s > 0);
        const double merge =
            backward ? merge_back_ms(j, step[s].rows) : merge_ms(j, step[s].rows);

        out[s] = (backward ? ATN_CP_BACKWARD : 1) * clock * step[s].launch_ms;
        if (merges) out[s] += merge;
    }
}

/* One pass of a ring: kv bytes go on in all steps but the last, grad bytes follow from
 * the second on and once more after the last. inner = steps of a round; 0 = one
 * ring. */
static double ring_ms(const atn_cp_job *j, const double *work, atn_idx inner, double kv,
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
            const double x = inner > 0 ? atn_cp_transfer_ms(j, j->link, bytes)
                                       : atn_cp_hop_ms(j, bytes);
            const double y = crosses ? atn_cp_transfer_ms(j, j->network, follows) : 0;

            sum += fmax(work[i], fmax(x, y));
        }
        if (!last) sum = fmax(sum, atn_cp_transfer_ms(j, j->network, kv));
        all += sum;
    }
    return all + (grad > 0 ? atn_cp_hop_ms(j, grad) : 0);
}

static double sum_ms(const double *x, atn_idx n)
{
    double sum = 0;

    for (atn_idx i = 0; i < n; i++) sum += x[i];
    return sum;
}

atn_status atn_cp_time_ring(atn_ctx *cx, atn_cp_job *j, const int64_t *a,
                            atn_cp_times *t)
{
    const atn_arena_mark mark = atn_arena_save(cx);
    const atn_idx inner = j->scheme->kind == ATN_CP_DOUBLE_RING ? j->sizes.inner : 0;
    const double width = (double)(j->sizes.head_dim + j->sizes.value_dim);
    const double numbers = (double)j->sizes.batch * (double)j->sizes.tokens /
                           (double)j->ranks * j->kv * width;
    atn_cp_step *step = NULL;
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

atn_status atn_cp_time_gather(atn_ctx *cx, atn_cp_job *j, const int64_t *a,
                              atn_cp_times *t)
{
    const atn_cp_share all = {{{0, j->sizes.tokens}}, 1, 1};
    const double gather = atn_cp_volume_of(ATN_CP_GATHER, &j->sizes, false).gather;
    const double once = atn_cp_collective_ms(j, (double)j->sizes.gpus, gather, true);
    atn_cp_share own;
    atn_cp_step step = {0};
    atn_status st = ATN_OK;
    atn_idx q = 0;

    for (atn_idx x = 1; x < j->ranks; x++)
        if (atn_cp_total(a + x * j->ranks, j->ranks) >
            atn_cp_total(a + q * j->ranks, j->ranks))
            q = x;
    own = atn_cp_share_of(j->order, j->sizes.tokens, j->ranks, q);
    for (int i = 0; i < own.parts; i++) {
        const atn_cp_share part = {{own.part[i]}, 1, own.step};

        ATN_TRY(atn_cp_chunk_time(cx, j, &part, &all, &step));
    }
    t->work = t->launches = atn_cp_launches_ms(j, step.launch_ms);
    t->all = t->work + once * (j->opts->backward ? 3 : 1);
done:
    return st;
}

double atn_cp_exchange_ms(const atn_cp_job *j, double group)
{
    const double rows = (double)j->sizes.batch * (double)j->sizes.tokens /
                        (double)j->sizes.gpus * j->sizes.bytes * (group - 1) / group;
    const double d = (double)j->sizes.head_dim, dv = (double)j->sizes.value_dim;
    const double q = rows * j->gpu_heads * group, k = rows * j->kv * group;
    const double once = atn_cp_collective_ms(j, group, q * d, false) +
                        atn_cp_collective_ms(j, group, k * d, false) +
                        atn_cp_collective_ms(j, group, k * dv, false) +
                        atn_cp_collective_ms(j, group, q * dv, false);

    return once * (j->opts->backward ? 2 : 1);
}

atn_status atn_cp_time_exchange(atn_ctx *cx, atn_cp_job *j, atn_cp_times *t)
{
    const atn_cp_share all = {{{0, j->sizes.tokens}}, 1, 1};
    atn_cp_step step = {0};
    atn_status st = ATN_OK;

    ATN_TRY(atn_cp_chunk_time(cx, j, &all, &all, &step));
    t->work = t->launches = atn_cp_launches_ms(j, step.launch_ms);
    t->all = t->work + atn_cp_exchange_ms(j, (double)j->sizes.gpus);
done:
    return st;
}

/* ---- linear attention ---- */

void atn_cp_linear_ms(const atn_cp_job *j, double tokens, double ms[2])
{
    const atn_device *dev = j->sim.device;
    const double best = atn_device_get(dev, ATN_DEVICE_ACHIEVABLE_16);
    const double peak = atn_device_get(dev, ATN_DEVICE_TFLOPS_16);
    const double rate = (best > 0 ? best : ATN_CP_REACHED * peak) * 1e9; /* flop a ms */
    const double d = (double)j->sizes.head_dim, dv = (double)j->sizes.value_dim;
    const double rows = tokens * (double)j->sizes.batch, h = (double)j->sizes.heads;
    const double numbers = rows * (h + (double)j->sizes.kv_heads) * (d + dv);
    const double times = j->opts->backward ? 1 + ATN_CP_BACKWARD : 1;
    const double flop[2] = {2 * rows * h * LINEAR_BLOCK * (d + dv),
                            4 * rows * h * d * dv};

    for (int i = 0; i < 2; i++)
        ms[i] = times *
                fmax(flop[i] / rate, atn_cp_pass_ms(j, numbers * j->sizes.bytes / 2));
}

void atn_cp_time_linear(atn_cp_job *j, atn_cp_times *t)
{
    const double chunk = (double)j->sizes.tokens / (double)j->sizes.gpus;
    const double passes = j->opts->backward ? 2 : 1, p = (double)j->sizes.gpus;
    const atn_cp_kind kind = j->scheme->kind;
    const double state = atn_cp_volume_of(ATN_CP_LASP, &j->sizes, false).states;
    double ms[2], wait;

    atn_cp_linear_ms(j, chunk, ms);
    if (kind == ATN_CP_LASP) {
        const double nodes = ceil(p / (double)j->opts->node) - 1;

        wait = nodes * atn_cp_transfer_ms(j, j->network, state) +
               (p - 1 - nodes) * atn_cp_transfer_ms(j, j->link, state);
    } else
        wait = atn_cp_collective_ms(j, p, (p - 1) * state, true);
    t->work = t->launches = ms[0] + ms[1];
    t->all = t->work + fmax(wait * passes - ms[0], 0); /* hidden behind the blocks */
}
