/* simulators/kernel.c -- kernels: names of what is in their files, and choosing among
 * tiles. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "simulators/kernel.h"

#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "simulators/files.h"

const char *const atn_pass_names[ATN_PASSES] = {"forward", "backward", "decode"};
const char *const atn_mask_policy_names[] = {"skip", "partial", "all"};
const char *const atn_cta_order_names[] = {"first", "last", "longest"};
const char *const atn_split_rule_names[] = {"none", "fa2", "fa3", "varlen", "fill"};
const char *const atn_takes_names[] = {"full", "causal", "window",
                                       "grid", "blocks", "any"};
const char *const atn_kernel_topic_names[ATN_TOPICS] = {
    "tiles", "order", "mask", "split", "overlap", "like", "reach"};
const char *const atn_time_kind_names[] = {"four", "full", "machine"};
const char *const atn_term_names[ATN_TERMS] = {
    "t0",      "cta",     "tile",   "mask",   "gqa",    "qo",      "split",
    "part",    "l2",      "kv_64",  "kv_128", "kv_256", "kv_512",  "kv_2048",
    "kv_8192", "cta_mha", "window", "byte",   "seq",    "kv_token"};
const double atn_kv_nodes[6] = {64, 128, 256, 512, 2048, 8192};

const char *atn_kernel_id(int i)
{
    const atn_embedded *e = atn_embedded_at("kernels", i);

    return e ? e->id : NULL;
}

void atn_kernel_release(atn_ctx *cx, atn_kernel *k)
{
    atn_free(cx, k->tile);
    atn_free(cx, k->fit);
    *k = (atn_kernel){0};
}

bool atn_kernel_runs_on(const atn_kernel *k, const char *architecture)
{
    for (int i = 0; i < ATN_KERNEL_NAMES && k->architectures[i][0]; i++)
        if (strcmp(k->architectures[i], architecture) == 0) return true;
    return false;
}

bool atn_kernel_name_holds(const char *name, const char *piece)
{
    const size_t n = strlen(piece);

    if (strcmp(name, piece) == 0) return true;
    for (const char *at = name; n > 0 && at; at = strchr(at, '-')) {
        at += *at == '-';
        if (strncmp(at, piece, n) == 0 && (at[n] == '-' || at[n] == '\0')) return true;
    }
    return false;
}

bool atn_kernel_is_called(const atn_kernel *k, const char *name)
{
    if (strcmp(k->id, name) == 0) return true;
    for (int i = 0; i < ATN_KERNEL_NAMES && k->timings[i][0]; i++)
        if (atn_kernel_name_holds(name, k->timings[i])) return true;
    return false;
}

/* ---- tiles ---- */

/* What rows of this architecture alone take over from row t. */
static unsigned taken_over(const atn_kernel *k, const atn_kernel_tile *t,
                           const char *architecture)
{
    unsigned takes = 0;

    for (int i = 0; i < k->tiles; i++) {
        const atn_kernel_tile *o = &k->tile[i];

        if (strcmp(o->architecture, architecture) == 0 && o->pass == t->pass &&
            o->head_dim == t->head_dim && o->q.n == t->q.n)
            takes |= o->takes;
    }
    return takes;
}

bool atn_kernel_has_own_tiles(const atn_kernel *k)
{
    for (int i = 0; i < k->tiles; i++)
        if (k->tile[i].architecture[0]) return true;
    return false;
}

void atn_kernel_settle(atn_kernel *k, const char *architecture)
{
    int n = 0;

    if (!atn_kernel_has_own_tiles(k)) return;
    for (int i = 0; i < k->tiles; i++) {
        atn_kernel_tile *t = &k->tile[i];

        if (!t->architecture[0])
            t->takes &= ~taken_over(k, t, architecture);
        else if (strcmp(t->architecture, architecture) != 0)
            t->takes = 0;
    }
    for (int i = 0; i < k->tiles; i++)
        if (k->tile[i].takes) k->tile[n++] = k->tile[i];
    k->tiles = n;
}

atn_status atn_kernel_copy_tiles(atn_ctx *cx, atn_kernel *to, const atn_kernel *from)
{
    const size_t bytes = (size_t)from->tiles * sizeof *to->tile;
    atn_kernel_tile *tile = atn_alloc(cx, from->tiles, sizeof *tile);

    if (!tile) return cx->err.code;
    if (bytes > 0) memcpy(tile, from->tile, bytes);
    atn_free(cx, to->tile);
    to->tile = tile;
    to->tiles = from->tiles;
    return ATN_OK;
}

/* DECODE is served by the tiles of FORWARD where there are none of its own. */
static atn_pass served_by(const atn_kernel *k, atn_pass pass)
{
    for (int i = 0; i < k->tiles; i++)
        if (k->tile[i].pass == pass) return pass;
    return pass == ATN_PASS_DECODE ? ATN_PASS_FORWARD : pass;
}

/* The least head dim of tiles not below this one; 0 = none. takes 0, rank 0: any. */
static int bucket(const atn_kernel *k, int head_dim, atn_pass pass, unsigned takes,
                  int rank)
{
    const atn_pass by = served_by(k, pass);
    int least = 0;

    for (int i = 0; i < k->tiles; i++) {
        const atn_kernel_tile *t = &k->tile[i];

        if (t->pass == by && t->head_dim >= head_dim &&
            (takes == 0 || (t->takes & (takes | ATN_TAKES_ANY))) &&
            (rank == 0 || t->q.n == rank) && (least == 0 || t->head_dim < least))
            least = t->head_dim;
    }
    return least;
}

const atn_kernel_tile *atn_kernel_tile_of(const atn_kernel *k, int head_dim,
                                          atn_pass pass, unsigned takes, int rank,
                                          int index)
{
    const int row = bucket(k, head_dim, pass, takes, rank);
    const atn_pass by = served_by(k, pass);

    for (int usual = 1; row > 0 && usual >= 0; usual--)
        for (int i = 0; i < k->tiles; i++) {
            const atn_kernel_tile *t = &k->tile[i];

            if (t->pass == by && t->head_dim == row && t->q.n == rank &&
                (t->takes & (takes | ATN_TAKES_ANY)) && t->usual == (usual == 1) &&
                index-- == 0)
                return t;
        }
    return NULL;
}

bool atn_kernel_has_head_dim(const atn_kernel *k, int head_dim, atn_pass pass,
                             int *nearest)
{
    const atn_pass by = served_by(k, pass);
    int most = 0;

    *nearest = 0;
    if (head_dim > 0 && bucket(k, head_dim, pass, 0, 0) > 0) return true;
    for (int i = 0; i < k->tiles; i++)
        if (k->tile[i].pass == by) most = ATN_MAX(most, k->tile[i].head_dim);
    *nearest = head_dim > 0 ? most : 1;
    return false;
}

double atn_kernel_overlap(const atn_kernel *k, int head_dim, atn_pass pass)
{
    const int row = bucket(k, head_dim, pass, 0, 0);
    const atn_pass by = served_by(k, pass);

    for (int i = 0; i < k->tiles; i++)
        if (k->tile[i].pass == by && k->tile[i].head_dim == row &&
            !isnan(k->tile[i].overlap))
            return k->tile[i].overlap;
    return k->overlap;
}

/* Between two architectures: generations count most. INT_MAX: not of one maker. */
static int apart(const char *a, const char *b)
{
    int x, y;

    if (strcmp(a, b) == 0) return 0;
    if (sscanf(a, "sm%d", &x) != 1 || sscanf(b, "sm%d", &y) != 1) return INT_MAX;
    x = ATN_MIN(ATN_MAX(x, 0), 9999);
    y = ATN_MIN(ATN_MAX(y, 0), 9999);
    return 10000 * abs(x / 10 - y / 10) + abs(x - y) + 1;
}

atn_reach atn_kernel_reach(const atn_kernel *k, const char *architecture)
{
    atn_reach r = {ATN_REACH_OTHERWISE, NULL, false};
    int least = INT_MAX;

    for (int i = 0; i < ATN_KERNEL_NAMES && k->reach[i].architecture[0]; i++) {
        const int at = apart(k->reach[i].architecture, architecture);

        if (at >= least) continue;
        least = at;
        r = (atn_reach){k->reach[i].share, k->reach[i].architecture, at == 0};
    }
    return r;
}
