/* simulators/kernel_put.c -- another tile for one head dim of a kernel.
 *
 * Math    a row of tiles serves all head dims down to the next smaller row. So D gets a
 *         row of its own, of the architecture alone, and what was used below D is said
 *         again at D - 1.
 * Oracle  on other architectures and at other head dims the tiles are what they were,
 *         also once the file is written and read.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "simulators/kernel.h"

#include <string.h>

static const unsigned masks[] = {ATN_TAKES_CAUSAL, ATN_TAKES_WINDOW};

/* Room for one more row behind the others. */
static atn_status add_row(atn_ctx *cx, atn_kernel *k, const atn_kernel_tile *t)
{
    atn_kernel_tile *grown;
    atn_status st = ATN_OK;
    int rows = 0;

    for (int i = 0; i < k->tiles; i++) rows += !k->tile[i].made;
    if (rows >= ATN_KERNEL_TILES)
        ATN_FAIL(ATN_DATA, "kernel %s: it has %d rows of tiles, no more fit in a file",
                 k->id, rows);
    grown = atn_realloc(cx, k->tile, k->tiles + 1, sizeof *grown);
    if (!grown) ATN_TRY(cx->err.code);
    k->tile = grown;
    k->tile[k->tiles++] = *t;
done:
    return st;
}

/* The row that the kernel takes for one kind of mask. */
static const atn_kernel_tile *used(const atn_kernel *on, int head_dim, atn_pass pass,
                                   unsigned takes)
{
    return atn_kernel_tile_of(on, head_dim, pass, takes, 1, 0);
}

/* The masks that take this row at D. */
static unsigned shared_by(const atn_kernel *on, const atn_kernel_tile *t, int head_dim)
{
    unsigned takes = 0;

    for (unsigned one = ATN_TAKES_FULL; one <= ATN_TAKES_ANY; one *= 2)
        if ((t->takes & one) && used(on, head_dim, t->pass, one) == t) takes |= one;
    return takes;
}

/* Of the row's masks those that it serves at D and at D - 1. */
static unsigned served_below(const atn_kernel *on, const atn_kernel_tile *t,
                             int head_dim)
{
    unsigned takes = 0;

    for (unsigned one = ATN_TAKES_FULL; one <= ATN_TAKES_ANY; one *= 2) {
        const atn_kernel_tile *at = used(on, head_dim, t->pass, one),
                              *below = used(on, head_dim - 1, t->pass, one);

        if (at && below && (t->takes & one) && at->head_dim == t->head_dim &&
            below->head_dim == t->head_dim)
            takes |= one;
    }
    return takes;
}

/* Rows of the architecture for D - 1 that say what D's row said. */
static atn_status keep_below(atn_ctx *cx, const atn_kernel *on, atn_kernel *k,
                             const atn_kernel_tile *mine)
{
    atn_status st = ATN_OK;

    for (int i = 0; mine->head_dim > 1 && i < on->tiles; i++) {
        atn_kernel_tile t = on->tile[i];

        if (t.pass != mine->pass || t.q.n != 1) continue;
        t.takes = served_below(on, &t, mine->head_dim) & mine->takes;
        if (!t.takes) continue;
        memcpy(t.architecture, mine->architecture, sizeof t.architecture);
        t.head_dim = mine->head_dim - 1;
        t.factorised = false;
        ATN_TRY(add_row(cx, k, &t));
    }
done:
    return st;
}

/* Rows that are of this architecture and head dim already give these masks up. */
static void take_over(atn_kernel *k, const atn_kernel_tile *mine)
{
    int n = 0;

    for (int i = 0; i < k->tiles; i++) {
        atn_kernel_tile *t = &k->tile[i];

        if (t->pass == mine->pass && t->q.n == 1 && t->head_dim == mine->head_dim &&
            strcmp(t->architecture, mine->architecture) == 0)
            t->takes &= ~mine->takes;
    }
    for (int i = 0; i < k->tiles; i++)
        if (k->tile[i].takes) k->tile[n++] = k->tile[i];
    k->tiles = n;
}

atn_status atn_kernel_put_tile(atn_ctx *cx, atn_kernel *k, const char *architecture,
                               const atn_kernel_tile *tile)
{
    atn_kernel_tile mine = *tile;
    atn_kernel *on = NULL;
    atn_status st = ATN_OK;
    bool own = false;

    ATN_ASSERT(tile->q.n == 1 && tile->k.n == 1 &&
               strlen(architecture) < ATN_DEVICE_ID);
    if (!atn_kernel_runs_on(k, architecture))
        ATN_FAIL(ATN_USAGE, "kernel %s does not run on %s: it has no tiles there",
                 k->id, architecture);
    ATN_NEW(on, 1);
    *on = *k;
    on->tile = NULL;
    on->fit = NULL;
    ATN_TRY(atn_kernel_copy_tiles(cx, on, k));
    atn_kernel_settle(on, architecture);
    strcpy(mine.architecture, architecture);
    mine.usual = true;
    mine.factorised = mine.made = false;
    mine.takes = 0;
    for (int i = 0; i < on->tiles; i++) own |= on->tile[i].pass == tile->pass;
    for (size_t i = 0; own && i < ATN_LEN(masks); i++) {
        const atn_kernel_tile *now = used(on, tile->head_dim, tile->pass, masks[i]);

        if (!now) continue;
        if (!mine.takes) mine.overlap = now->overlap;
        mine.takes |= shared_by(on, now, tile->head_dim);
    }
    if (!mine.takes)
        ATN_FAIL(ATN_USAGE, "kernel %s has no %s tiles of its own for head dim %d",
                 k->id, atn_pass_names[tile->pass], tile->head_dim);
    ATN_TRY(keep_below(cx, on, k, &mine));
    take_over(k, &mine);
    ATN_TRY(add_row(cx, k, &mine));
done:
    if (on) atn_free(cx, on->tile);
    atn_free(cx, on);
    return st;
}
