/* simulators/parallel_volume.c -- schemes of context parallelism by name, and what they
 * send.
 *
 * Oracle  volumes: messages counted one by one; 1,333 tokens hide a ring at 600 TFLOP/s
 *         and 450 GB/s in 16 bits.
 * Source  cards/simulators.md 2.3.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "simulators/parallel.h"

#include <math.h>
#include <string.h>

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
