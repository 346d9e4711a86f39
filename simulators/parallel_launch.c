/* simulators/parallel_launch.c -- what a GPU of several does in a step: transfers,
 * passes over memory, and launches on the queries and keys that it has.
 *
 * Math    a launch is on the chunk that queries and keys share (parallel_chunk.c), of
 *         one form timed once; without what the clock loses in long runs, which the sum
 *         of all launches loses.
 * Source  cards/simulators.md 2.3.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "simulators/parallel_internal.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "simulators/machine.h"

/* ---- transfers and passes ---- */

double atn_cp_transfer_ms(const atn_cp_job *j, double gbs, double bytes)
{
    return bytes > 0 ? bytes / (gbs * 1e6) + j->opts->latency_us / 1e3 : 0;
}

double atn_cp_hop_ms(const atn_cp_job *j, double bytes)
{
    return atn_cp_transfer_ms(j, j->sizes.gpus > j->opts->node ? j->network : j->link,
                              bytes);
}

double atn_cp_collective_ms(const atn_cp_job *j, double group, double bytes,
                            bool gathers)
{
    const double node = fmin(group, (double)j->opts->node);
    const double away = (group - node) / fmax(group - 1, 1);
    /* what is gathered comes to a node once, over the links of all its GPUs */
    const double out = bytes * away / (gathers ? node : 1) / (j->network * 1e6);
    const double in = bytes * (gathers ? 1 : 1 - away) / (j->link * 1e6);

    if (bytes <= 0) return 0;
    return fmax(away > 0 ? out : 0, node > 1 ? in : 0) + j->opts->latency_us / 1e3;
}

double atn_cp_pass_ms(const atn_cp_job *j, double bytes)
{
    return atn_machine_pass(j->sim.device, 1, 0, bytes) / 1e3;
}

double atn_cp_choosing_ms(const atn_cp_job *j, double gpus)
{
    const atn_extra_work *e = &j->sim.extra;

    return atn_machine_pass(j->sim.device, e->launches, e->flops / gpus,
                            e->bytes / gpus) /
           1e3;
}

/* ---- launches ---- */

static void say_model(atn_cp_job *j, const atn_sim *s)
{
    snprintf(j->model, sizeof((atn_cp *)0)->model, "%s%s%s", s->model.how,
             *s->note ? "; " : "", s->note);
    j->low = s->time_ms > 0 ? s->low_ms / s->time_ms : 1;
    j->high = s->time_ms > 0 ? s->high_ms / s->time_ms : 1;
    j->model = NULL;
}

atn_status atn_cp_launch(atn_ctx *cx, atn_cp_job *j, const atn_cp_part *part,
                         double *ms)
{
    const atn_frame *f = &part->p[0]->frame;
    atn_sim_opts o = j->sim;
    atn_sim s = {0};
    atn_status st = ATN_OK;

    o.device = &j->device;
    o.dense = NULL;
    o.causal = false; /* of a chunk, whose keys may lie anywhere */
    o.shape.heads = (atn_idx)part->heads;
    o.shape.kv_heads = (atn_idx)part->kv;
    o.shape.pass = ATN_PASS_FORWARD;
    o.shape.q_len = f->nq;
    o.shape.kv_len = f->nk;
    o.shape.causal = f->causal;
    o.bare = true;
    o.slots = false;
    o.extra = (atn_extra_work){0};
    o.whole = (atn_whole){0};
    ATN_TRY(atn_simulate(cx, part->p, part->n, &o, &s));
    j->fit = s.model.fit;
    if (j->model) say_model(j, &s);
    *ms = atn_time_unslowed(&j->fit, 1000 * s.kernel_ms) / 1000 + s.passes_ms;
done:
    atn_sim_release(cx, &s);
    return st;
}

/* How much slower the clock is in a run of so long. */
static double clock_of(const atn_cp_job *j, double ms)
{
    return ms > 0 ? atn_time_slowed(&j->fit, 1000 * ms) / 1000 / ms : 1;
}

double atn_cp_launches_ms(const atn_cp_job *j, double ms)
{
    const double all = ms * (j->opts->backward ? 1 + ATN_CP_BACKWARD : 1);

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

static atn_status known_launch(atn_ctx *cx, atn_cp_job *j, const atn_pattern *const *p,
                               double *ms)
{
    const uint64_t key = key_of(p, j->taken);
    atn_status st = ATN_OK;

    for (int i = 0; key && i < j->n_known; i++)
        if (j->known[i].key == key) {
            *ms = j->known[i].ms;
            return ATN_OK;
        }
    ATN_TRY(atn_cp_launch(cx, j, &(atn_cp_part){p, j->taken, j->gpu_heads, j->kv}, ms));
    if (key && j->n_known < (int)ATN_LEN(j->known)) {
        j->known[j->n_known].key = key;
        j->known[j->n_known++].ms = *ms;
    }
done:
    return st;
}

/* Nothing is cut, and heads are alike: the pattern itself, its grid and blocks. */
static atn_status whole_time(atn_ctx *cx, atn_cp_job *j, atn_cp_step *t)
{
    t->rows = (double)j->sizes.tokens;
    return atn_cp_launch(cx, j,
                         &(atn_cp_part){&j->heads[0].pattern, 1, j->gpu_heads, j->kv},
                         &t->launch_ms);
}

atn_status atn_cp_chunk_time(atn_ctx *cx, atn_cp_job *j, const atn_cp_share *q,
                             const atn_cp_share *k, atn_cp_step *t)
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

                ATN_TRY(atn_cp_chunk_time(cx, j, &x, &y, t));
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
