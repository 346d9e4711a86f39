/* simulators/choose.c -- the kernel that suits a GPU and a pattern. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "simulators/choose.h"

#include <stdio.h>
#include <string.h>

#include "simulators/alike.h"
#include "simulators/machine.h"
#include "simulators/tiles.h"

enum { KERNELS_TEXT = 256 };

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

/* Nothing is to be looked for: the pattern says of itself that it looks back alone. */
static bool looks_back(const atn_pattern *p)
{
    bool causal = p->axes != NULL;

    for (int i = 0; p->axes && i < p->axes->rank; i++)
        causal = causal && p->axes->at[i].causal;
    return p->frame.causal || causal ||
           (p->shift && p->n_offsets > 0 && p->prefix == 0 &&
            p->offsets[0].lo >= (p->frame.block > 1 ? 1 : 0));
}

atn_status atn_pattern_ahead(atn_ctx *cx, const atn_pattern *p, bool *ahead,
                             atn_idx *query, atn_idx *key)
{
    const atn_arena_mark mark = atn_arena_save(cx);
    const atn_frame *f = &p->frame;
    atn_span *row;
    atn_status st = ATN_OK;

    *ahead = false;
    if (looks_back(p)) return ATN_OK;
    ATN_TAKE(row, p->room);
    for (atn_idx h = 0; h < p->heads; h++)
        for (atn_idx a = p->row0; a < p->row1; a++) {
            const atn_idx n = atn_pattern_row(p, h, a, row);
            const atn_idx first = ATN_MAX(a * f->block, f->first);
            const atn_idx last = n ? ATN_MIN(row[n - 1].hi * f->block, f->nk) - 1 : 0;

            if (last <= first) continue;
            *ahead = true;
            *query = first;
            *key = last;
            goto done;
        }
done:
    atn_arena_rewind(cx, mark);
    return st;
}

unsigned atn_patterns_take(const atn_pattern *const *p, atn_idx n)
{
    if (n == 1 && p[0]->heads == 1) return atn_pattern_takes(p[0]);
    return atn_least_block(p, n) > 1 ? ATN_TAKES_BLOCKS : ATN_TAKES_ANY;
}

atn_idx atn_least_block(const atn_pattern *const *p, atn_idx n)
{
    atn_idx block = p[0]->frame.block;

    for (atn_idx i = 1; i < n; i++) block = ATN_MIN(block, p[i]->frame.block);
    return block;
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

/* It takes choices of blocks and nothing else, and none of its tiles divides these. */
static bool tiles_miss(const atn_kernel *k, const atn_launch *l, unsigned takes,
                       atn_idx block)
{
    const atn_kernel_tile *t;

    if (takes != ATN_TAKES_BLOCKS || !(k->takes & ATN_TAKES_BLOCKS) ||
        k->takes & ATN_TAKES_ANY)
        return false;
    for (int i = 0;; i++) {
        t = atn_kernel_tile_of(k, (int)l->head_dim, l->pass, ATN_TAKES_BLOCKS, 1, i);
        if (!t) return true;
        if (block % t->q.at[0] == 0 && block % t->k.at[0] == 0) return false;
    }
}

/* What a kernel must do. */
typedef struct wanted {
    unsigned takes; /* one of ATN_TAKES_* */
    atn_idx block;
    const atn_launch *launch;
} wanted;

/* How well kernel k suits, settled for the device; 0 = not at all. */
static atn_status suits(atn_ctx *cx, atn_kernel *k, const atn_device *d,
                        const wanted *w, int *score)
{
    const atn_launch *l = w->launch;
    const unsigned takes = w->takes;
    const bool has = k->takes & takes || k->takes & ATN_TAKES_ANY;
    atn_status st = ATN_OK;
    int nearest;
    bool timed;

    *score = 0;
    if (k->by_name || !atn_kernel_runs_on(k, d->architecture) ||
        !(k->passes & 1U << l->pass))
        goto done;
    atn_kernel_settle(k, d->architecture);
    if (tiles_miss(k, l, takes, w->block) &&
        atn_kernel_has_head_dim(k, (int)l->head_dim, l->pass, &nearest))
        goto done;
    ATN_TRY(is_timed(cx, k, d->architecture, &timed));
    *score = 1 + (has && !(k->takes & (ATN_TAKES_BLOCKS | ATN_TAKES_ANY)) ? 1 : 0) +
             (has ? 2 : 0) + (timed ? 4 : 0);
    if (takes == ATN_TAKES_GRID && k->takes & takes) *score += 8;
    if (atn_kernel_has_head_dim(k, (int)l->head_dim, l->pass, &nearest)) *score += 16;
    /* Of two that are as good, the one whose coefficients are its own. */
    *score = 2 * *score + (is_fitted(k, d->architecture) ? 1 : 0);
done:
    return st;
}

atn_status atn_kernels_on(atn_ctx *cx, const char *architecture, unsigned passes,
                          char *out, size_t size)
{
    atn_status st = ATN_OK;
    atn_kernel k = {0};
    size_t used = 0;

    if (size > 0) out[0] = '\0';
    for (int i = 0; atn_kernel_id(i) && used < size; i++) {
        ATN_TRY(atn_kernel_read(cx, atn_kernel_id(i), &k));
        if (atn_kernel_runs_on(&k, architecture) && k.passes & passes)
            used += (size_t)snprintf(out + used, size - used, "%s%s", used ? ", " : "",
                                     k.id);
        atn_kernel_release(cx, &k);
    }
done:
    atn_kernel_release(cx, &k);
    return st;
}

/* No kernel with this pass: there is none at all, or those that there are lack it. */
static atn_status none_for(atn_ctx *cx, const atn_device *d, atn_pass pass)
{
    atn_status st = ATN_OK;
    char others[KERNELS_TEXT];

    ATN_TRY(atn_kernels_on(cx, d->architecture, ~0U, others, sizeof others));
    if (*others)
        ATN_FAIL(ATN_USAGE,
                 "no kernel with a %s pass is described for %s, which is %s; there is "
                 "%s, without one (give --kernel FILE of one that has it, "
                 "docs/guide/kernel-files.md, another --pass or another --gpu)",
                 atn_pass_names[pass], d->id, d->architecture, others);
    ATN_FAIL(ATN_USAGE,
             "no kernel is described for %s, which is %s (give --kernel FILE of one "
             "that is, docs/guide/kernel-files.md, or another --gpu)",
             d->id, d->architecture);
done:
    return st;
}

atn_status atn_kernel_check(atn_ctx *cx, const atn_kernel *k, const atn_device *d,
                            atn_pass pass)
{
    atn_status st = ATN_OK;
    char others[KERNELS_TEXT];

    if (atn_kernel_runs_on(k, d->architecture)) goto done;
    ATN_TRY(atn_kernels_on(cx, d->architecture, 1U << pass, others, sizeof others));
    ATN_FAIL(ATN_USAGE,
             "kernel %s does not run on %s, which is %s (give %s%s, or a file of a "
             "kernel for %s)",
             k->id, d->id, d->architecture, *others ? "one of " : "another --gpu",
             others, d->architecture);
done:
    return st;
}

atn_status atn_kernel_choose(atn_ctx *cx, const atn_device *d, const atn_pattern *p,
                             const atn_launch *l, atn_kernel *out)
{
    return atn_kernel_choose_heads(cx, d, &p, 1, l, out);
}

atn_status atn_kernel_choose_heads(atn_ctx *cx, const atn_device *d,
                                   const atn_pattern *const *p, atn_idx n,
                                   const atn_launch *l, atn_kernel *out)
{
    atn_status st = ATN_OK;
    atn_kernel k = {0};
    int best = 0, at = -1, score;
    bool alike;
    wanted w;

    memset(out, 0, sizeof *out);
    ATN_TRY(atn_heads_alike(cx, p, n, &alike));
    if (alike) n = 1;
    w = (wanted){atn_patterns_take(p, n), atn_least_block(p, n), l};
    for (int i = 0; atn_kernel_id(i); i++) {
        ATN_TRY(atn_kernel_read(cx, atn_kernel_id(i), &k));
        ATN_TRY(suits(cx, &k, d, &w, &score));
        if (score > best) {
            best = score;
            at = i;
        }
        atn_kernel_release(cx, &k);
    }
    if (at < 0) ATN_TRY(none_for(cx, d, l->pass));
    ATN_TRY(atn_kernel_read(cx, atn_kernel_id(at), out));
    atn_kernel_settle(out, d->architecture);
done:
    atn_kernel_release(cx, &k);
    return st;
}

/* The largest multiple of `unit` that divides block and is not above most; 0 = none. */
static atn_idx side_in(atn_idx block, atn_idx most, atn_idx unit)
{
    for (atn_idx s = most - most % unit; s > 0; s -= unit)
        if (block % s == 0) return s;
    return 0;
}

bool atn_tile_in_blocks(atn_idx block, atn_list *q, atn_list *k)
{
    const atn_idx bm = q->n == 1 ? side_in(block, q->at[0], ATN_MMA_ROWS) : 0;
    const atn_idx bn = k->n == 1 ? side_in(block, k->at[0], ATN_MMA_KEYS) : 0;

    if (bm == 0 || bn == 0 || (bm == q->at[0] && bn == k->at[0])) return false;
    q->at[0] = bm;
    k->at[0] = bn;
    return true;
}
