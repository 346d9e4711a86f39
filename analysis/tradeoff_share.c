/* analysis/tradeoff_share.c -- layers that use another's attention.
 *
 * Math    plans of analysis/similarity.h at thresholds from strict to loose, each once.
 *         A follower errs by copy_err, the others not at all. A leader writes P in the
 *         tiles that dense attention visits; a follower reads it, multiplies with its
 *         own values, and writes its output. Of a block in which that takes longer
 *         than dense attention in all its layers P is computed anew in every layer.
 * Source  cards/analysis.md A1; arXiv 2409.14595.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "analysis/tradeoff_internal.h"
#include "simulators/machine.h"

static const double thresholds[] = {0.99, 0.95, 0.9, 0.8, 0.7, 0.5};

typedef struct sharing {
    atn_tradeoff *t;
    const atn_similarity *s;
    int *leader; /* [layers] place of the leader, or its own */
    int *was;    /* of the plan before */
    double *err; /* [layers] of followers, 0 */
} sharing;

/* The layer of the trade-off that layer i of the part is; -1 = none. */
static int place_of(const atn_tradeoff *t, const atn_similarity *s,
                    const atn_similarity_part *p, int i)
{
    for (int l = 0; l < t->layers; l++) {
        const atn_layer_info *info = t->layer[l].info;

        if (info->layer == p->layer[i] && (!s->many_steps || info->step == p->step) &&
            (!s->many_stacks || strcmp(info->stack, p->stack) == 0))
            return l;
    }
    return -1;
}

/* Leaders of one part at a threshold; followers are counted. */
static atn_status solve(atn_ctx *cx, sharing *x, const atn_similarity_part *p,
                        double threshold, int *followers)
{
    const atn_arena_mark mark = atn_arena_save(cx);
    atn_status st = ATN_OK;
    double *gain = NULL;
    atn_share_opts o;
    int *leader = NULL;

    if (!p->aligned || !p->copy_err) return ATN_OK;
    atn_share_defaults(&o);
    o.threshold = threshold;
    ATN_TAKE(gain, p->layers);
    ATN_TAKE(leader, p->layers);
    for (int i = 0; i < p->layers; i++)
        gain[i] = (double)((p->cost[i].heads + p->cost[i].kv_heads) * p->cost[i].d);
    ATN_TRY(atn_share_solve(cx, p->layers, p->cos_elem, gain, p->copy_err, &o, leader));
    for (int i = 0; i < p->layers; i++) {
        const int l = place_of(x->t, x->s, p, i);
        const int to = place_of(x->t, x->s, p, leader[i]);

        if (l < 0 || to < 0 || to == l) continue;
        x->leader[l] = to;
        x->err[l] = p->copy_err[leader[i] * p->layers + i];
        ++*followers;
    }
done:
    atn_arena_rewind(cx, mark);
    return st;
}

/* Bytes of P of a layer, and of the values and outputs of one that reads it. */
static double p_bytes(const atn_tradeoff *t, int l)
{
    return t->at[0].cell[l].time.cells * t->layer[l].launch.bytes;
}

static trade_time reader_time(const atn_tradeoff *t, int l)
{
    const atn_launch *s = &t->layer[l].launch;
    const double p = p_bytes(t, l), b = (double)s->batch * s->bytes;
    const double rows = (double)(s->heads * s->q_len + s->kv_heads * s->kv_len);

    return atn_trade_pass(t, 2 * p / s->bytes * (double)s->value_dim,
                          p + b * rows * (double)s->value_dim);
}

/* The layers that lead is the leader of, itself among them: P stored, or anew. */
static void time_block(sharing *x, trade_case *c, int lead)
{
    const atn_tradeoff *t = x->t;
    const double write = atn_machine_hbm(t->opts.device, p_bytes(t, lead)) / 1000;
    double stored = write, anew = 0;

    for (int l = 0; l < t->layers; l++) {
        if (x->leader[l] != lead || l == lead) continue;
        stored += reader_time(t, l).ms;
        anew += t->at[0].cell[l].time.ms;
    }
    if (!(stored < anew)) return;
    for (int l = 0; l < t->layers; l++)
        if (x->leader[l] == lead && l != lead) {
            const trade_time dense = c->cell[l].time;

            c->cell[l].time = reader_time(t, l);
            c->cell[l].time.visited = dense.visited;
            c->cell[l].time.cells = dense.cells;
        }
    c->cell[lead].time.ms += write;
    c->cell[lead].time.low += write;
    c->cell[lead].time.high += write;
}

static atn_status add_plan(atn_ctx *cx, sharing *x, double threshold, int followers)
{
    atn_tradeoff *t = x->t;
    atn_status st = ATN_OK;
    char text[64];
    trade_words w = {.method = "sharing", .family = "sharing", .parameters = text};
    trade_case *c;

    snprintf(text, sizeof text, "threshold=%g,followers=%d", threshold, followers);
    ATN_TRY(atn_trade_add(cx, t, TRADE_SHARED, &w, &c));
    for (int l = 0; l < t->layers; l++) {
        c->cell[l] = t->at[0].cell[l];
        if (x->leader[l] == l) continue;
        c->cell[l].mean[TRADE_ERROR] = c->cell[l].mean[TRADE_ERROR_W_O] = x->err[l];
        c->cell[l].mean[TRADE_MASS] = c->cell[l].mean[TRADE_KL] = NAN;
        c->cell[l].saved_flops = t->layer[l].projections;
        c->cell[l].saved_bytes = t->layer[l].projection_bytes;
    }
    for (int l = 0; l < t->layers; l++)
        if (x->leader[l] == l) time_block(x, c, l);
done:
    return st;
}

atn_status atn_trade_share(atn_ctx *cx, atn_tradeoff *t, const atn_similarity *s)
{
    const atn_arena_mark mark = atn_arena_save(cx);
    sharing x = {.t = t, .s = s};
    atn_status st = ATN_OK;

    ATN_TAKE(x.leader, t->layers);
    ATN_TAKE(x.was, t->layers);
    ATN_TAKE(x.err, t->layers);
    for (int l = 0; l < t->layers; l++) x.was[l] = l;
    for (size_t k = 0; k < ATN_LEN(thresholds); k++) {
        int followers = 0;
        bool same = true;

        for (int l = 0; l < t->layers; l++) x.leader[l] = l;
        for (int l = 0; l < t->layers; l++) x.err[l] = 0;
        for (int p = 0; p < s->parts; p++)
            ATN_TRY(solve(cx, &x, &s->part[p], thresholds[k], &followers));
        for (int l = 0; l < t->layers; l++) same &= x.leader[l] == x.was[l];
        if (same) continue;
        ATN_TRY(add_plan(cx, &x, thresholds[k], followers));
        memcpy(x.was, x.leader, (size_t)t->layers * sizeof *x.was);
    }
done:
    atn_arena_rewind(cx, mark);
    return st;
}
