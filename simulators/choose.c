/* simulators/choose.c -- the kernel that suits a GPU and a pattern. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "simulators/choose.h"

#include <string.h>

#include "simulators/tiles.h"

unsigned atn_pattern_takes(const atn_pattern *p)
{
    const bool square = p->frame.nq == p->frame.nk;
    atn_idx left, right;

    if (p->axes) return ATN_TAKES_GRID;
    if (atn_pattern_window(p, &left, &right)) {
        const bool all = left < 0 || left >= p->frame.nk;

        if (all && right == 0) return ATN_TAKES_CAUSAL;
        if (all && (right < 0 || right >= p->frame.nk)) return ATN_TAKES_FULL;
        return ATN_TAKES_WINDOW;
    }
    return square && p->frame.block > 1 ? ATN_TAKES_BLOCKS : ATN_TAKES_ANY;
}

/* Has it coefficients of a GPU of this architecture? */
static bool is_fitted(const atn_kernel *k, const char *architecture)
{
    for (int i = 0; i < k->fits; i++)
        if (strcmp(k->fit[i].architecture, architecture) == 0) return true;
    return false;
}

/* Or the one whose coefficients it takes. */
static atn_status is_timed(atn_ctx *cx, const atn_kernel *k, const char *architecture,
                           bool *timed)
{
    atn_status st = ATN_OK;
    atn_kernel like = {0};

    *timed = is_fitted(k, architecture);
    if (*timed || !k->like[0]) goto done;
    ATN_TRY(atn_kernel_read(cx, k->like, &like));
    *timed = is_fitted(&like, architecture);
done:
    atn_kernel_release(cx, &like);
    return st;
}

/* How well kernel k suits, settled for the device; 0 = not at all. */
static atn_status suits(atn_ctx *cx, atn_kernel *k, const atn_device *d, unsigned takes,
                        const atn_launch *l, int *score)
{
    const bool has = k->takes & takes || k->takes & ATN_TAKES_ANY;
    atn_status st = ATN_OK;
    int nearest;
    bool timed;

    *score = 0;
    if (k->by_name || !atn_kernel_runs_on(k, d->architecture) ||
        !(k->passes & 1U << l->pass))
        goto done;
    atn_kernel_settle(k, d->architecture);
    ATN_TRY(is_timed(cx, k, d->architecture, &timed));
    *score = 1 + (has && !(k->takes & (ATN_TAKES_BLOCKS | ATN_TAKES_ANY)) ? 1 : 0) +
             (has ? 2 : 0) + (timed ? 4 : 0);
    if (takes == ATN_TAKES_GRID && k->takes & takes) *score += 8;
    if (atn_kernel_has_head_dim(k, (int)l->head_dim, &nearest)) *score += 16;
    /* Of two that are as good, the one whose coefficients are its own. */
    *score = 2 * *score + (is_fitted(k, d->architecture) ? 1 : 0);
done:
    return st;
}

atn_status atn_kernel_choose(atn_ctx *cx, const atn_device *d, const atn_pattern *p,
                             const atn_launch *l, atn_kernel *out)
{
    const unsigned takes = atn_pattern_takes(p);
    atn_status st = ATN_OK;
    atn_kernel k = {0};
    int best = 0, at = -1, score;

    memset(out, 0, sizeof *out);
    for (int i = 0; atn_kernel_id(i); i++) {
        ATN_TRY(atn_kernel_read(cx, atn_kernel_id(i), &k));
        ATN_TRY(suits(cx, &k, d, takes, l, &score));
        if (score > best) {
            best = score;
            at = i;
        }
        atn_kernel_release(cx, &k);
    }
    if (at < 0)
        ATN_FAIL(
            ATN_USAGE,
            "no kernel is described for %s, which is %s (give --kernel FILE of one "
            "that is, docs/guide/kernel-files.md, or another --gpu)",
            d->id, d->architecture);
    ATN_TRY(atn_kernel_read(cx, atn_kernel_id(at), out));
    atn_kernel_settle(out, d->architecture);
done:
    atn_kernel_release(cx, &k);
    return st;
}
