/* simulators/simulate_tile.c -- tiles that were asked for, and that no kernel has.
 *
 * Math    a kernel's tile has sides of whole matrix instructions (16 x 8), and its
 *         rows, keys and values are in shared memory: bm d + bn (d + dv) numbers.
 *         Counts do not ask for that; of times the note says that they do.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "simulators/machine.h"
#include "simulators/simulate_internal.h"

#include <string.h>

static const atn_idx beyond_most = 16, beyond_least = 1024;

/* Tokens of a tile, -1 = more than there can be of a sequence. */
static atn_idx tokens_of(const atn_list *l)
{
    atn_idx n = 1;

    for (int i = 0; i < l->n; i++)
        if (l->at[i] < 1 || !atn_mul(n, l->at[i], &n) || n > ATN_PATTERN_KEYS_MOST)
            return -1;
    return n;
}

atn_status atn_sim_tile_check(atn_ctx *cx, const sim_case *c)
{
    const atn_idx bm = tokens_of(&c->tiling.q), bn = tokens_of(&c->tiling.k);
    const atn_idx rows = ATN_MAX(c->p[0]->frame.nq, beyond_least) * beyond_most,
                  keys = ATN_MAX(c->p[0]->frame.nk, beyond_least) * beyond_most;
    atn_status st = ATN_OK;

    if (bm < 0 || bn < 0)
        ATN_FAIL(ATN_USAGE,
                 "simulate: a tile of --tile has a side below 1, or more than %lld "
                 "tokens (give fewer, as 128/128)",
                 (long long)ATN_PATTERN_KEYS_MOST);
    if (bm > rows && bn > keys)
        ATN_FAIL(ATN_USAGE,
                 "simulate: a tile of %lld x %lld for %lld queries and %lld keys is "
                 "nothing but padding (give a smaller --tile, as 128/128)",
                 (long long)bm, (long long)bn, (long long)c->p[0]->frame.nq,
                 (long long)c->p[0]->frame.nk);
done:
    return st;
}

static bool same(const atn_list *a, const atn_list *b)
{
    return a->n == b->n && memcmp(a->at, b->at, (size_t)a->n * sizeof a->at[0]) == 0;
}

/* The kernel has it, at this head dim or another. */
static bool of_kernel(const sim_case *c)
{
    const atn_kernel *k = c->o->kernel;

    for (int i = 0; i < k->tiles; i++)
        if (same(&k->tile[i].q, &c->tile.q) && same(&k->tile[i].k, &c->tile.k))
            return true;
    return false;
}

void atn_sim_say_tile(const sim_case *c, atn_sim *out)
{
    const atn_launch *s = &c->shape;
    const double room = 1024 * atn_device_get(c->o->device, ATN_DEVICE_SMEM_KB);
    const double need =
        s->bytes * ((double)c->bm * (double)s->head_dim +
                    (double)c->bn * (double)(s->head_dim + s->value_dim));

    if (of_kernel(c)) return;
    if (c->bm % ATN_MMA_ROWS || c->bn % ATN_MMA_KEYS)
        atn_sim_note(
            out,
            "no kernel has tiles of %lld x %lld, sides are multiples of %d and %d: "
            "counts are exact, times what tiles of this size would take",
            (long long)c->bm, (long long)c->bn, ATN_MMA_ROWS, ATN_MMA_KEYS);
    else if (need > room)
        atn_sim_note(
            out,
            "no kernel has tiles of %lld x %lld, they need %.4g KB of shared memory "
            "and an SM has %.4g: counts are exact, times what tiles of this size "
            "would take",
            (long long)c->bm, (long long)c->bn, need / 1024, room / 1024);
}
