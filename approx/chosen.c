/* approx/chosen.c -- rows of keys as planners choose them, see the header. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "approx/chosen.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/order.h"

typedef struct list {
    int32_t *items; /* coded, see atn_pattern_lists */
    atn_idx n;
} list;

struct atn_chosen {
    atn_frame frame;
    atn_idx share; /* block rows of a list */
    atn_idx first, n;
    list *at; /* [n] */
};

atn_status atn_chosen_open(atn_ctx *cx, const atn_frame *f, atn_idx share,
                           atn_chosen **out)
{
    atn_status st = ATN_OK;
    atn_chosen *c = NULL;

    *out = NULL;
    ATN_ASSERT(share >= f->block && share % f->block == 0);
    ATN_NEW(c, 1);
    c->frame = *f;
    c->share = share / f->block;
    c->first = f->first / share;
    c->n = (f->first + f->nq - 1) / share - c->first + 1;
    ATN_NEW(c->at, c->n);
    *out = c;
    c = NULL;
done:
    atn_free(cx, c);
    return st;
}

void atn_chosen_lists(const atn_chosen *c, atn_idx *first, atn_idx *end)
{
    *first = c->first;
    *end = c->first + c->n;
}

/* Sorted, joined, not empty, in place; how many are left. */
static atn_idx tidy(atn_span *s, atn_idx n)
{
    atn_idx kept = 0;

    if (n > 1) qsort(s, (size_t)n, sizeof *s, atn_by_begin);
    for (atn_idx i = 0; i < n; i++) {
        if (s[i].lo >= s[i].hi) continue;
        if (kept > 0 && s[i].lo <= s[kept - 1].hi)
            s[kept - 1].hi = ATN_MAX(s[kept - 1].hi, s[i].hi);
        else
            s[kept++] = s[i];
    }
    return kept;
}

atn_status atn_chosen_put(atn_ctx *cx, atn_chosen *c, atn_idx r, const atn_span *spans,
                          atn_idx n)
{
    const atn_arena_mark mark = atn_arena_save(cx);
    list *l = &c->at[r - c->first];
    atn_status st = ATN_OK;
    atn_span *s = NULL;

    ATN_ASSERT(r >= c->first && r < c->first + c->n && !l->items);
    ATN_TAKE(s, n);
    if (n > 0) memcpy(s, spans, (size_t)n * sizeof *s);
    n = tidy(s, n);
    ATN_NEW(l->items, atn_pattern_code(s, n, NULL));
    l->n = atn_pattern_code(s, n, l->items);
done:
    atn_arena_rewind(cx, mark);
    return st;
}

atn_status atn_chosen_put_blocks(atn_ctx *cx, atn_chosen *c, atn_idx r,
                                 const atn_idx *blocks, atn_idx n)
{
    const atn_arena_mark mark = atn_arena_save(cx);
    atn_status st = ATN_OK;
    atn_span *s = NULL;

    ATN_TAKE(s, n);
    for (atn_idx b = 0; b < n; b++) s[b] = (atn_span){blocks[b], blocks[b] + 1};
    ATN_TRY(atn_chosen_put(cx, c, r, s, n));
done:
    atn_arena_rewind(cx, mark);
    return st;
}

atn_status atn_chosen_finish(atn_ctx *cx, atn_chosen *c, atn_pattern **out)
{
    atn_status st = ATN_OK;
    int64_t *ptr = NULL;
    int32_t *items = NULL;

    *out = NULL;
    ATN_NEW(ptr, c->n + 1);
    for (atn_idx r = 0; r < c->n; r++) ptr[r + 1] = ptr[r] + c->at[r].n;
    ATN_NEW(items, ptr[c->n]);
    for (atn_idx r = 0; r < c->n; r++) {
        if (c->at[r].n > 0)
            memcpy(items + ptr[r], c->at[r].items, (size_t)c->at[r].n * sizeof *items);
        atn_free(cx, c->at[r].items);
        c->at[r].items = NULL;
    }
    st = atn_pattern_lists(cx, &c->frame, c->share, 1, ptr, items, out);
    ptr = NULL;
    items = NULL;
done:
    atn_free(cx, ptr);
    atn_free(cx, items);
    atn_chosen_abandon(cx, c);
    return st;
}

void atn_chosen_abandon(atn_ctx *cx, atn_chosen *c)
{
    if (!c) return;
    for (atn_idx r = 0; c->at && r < c->n; r++) atn_free(cx, c->at[r].items);
    atn_free(cx, c->at);
    atn_free(cx, c);
}

double atn_chosen_bytes(const atn_ctx *cx, const atn_head *h, atn_idx block,
                        atn_idx share, double most)
{
    /* a block of memory has a head of its own, some 32 bytes with what is rounded up */
    const double each = sizeof(list) + sizeof(int64_t) + 32;
    const atn_idx first = ATN_MAX(h->sight.offset, 0);
    const atn_idx end = (first + h->nq - 1) / share;
    double bytes = 0, widest = 0;

    for (atn_idx r = first / share; r <= end; r++) {
        double items, seen;
        atn_idx lo, hi;

        atn_head_hull(h, r * share, (r + 1) * share, &lo, &hi);
        seen = lo < hi ? (double)((hi - 1) / block - lo / block + 1) : 0;
        /* a span is one item where it is one block, else two; a gap is a block */
        items = fmin(2 * most, (2 * seen + 2) / 3);
        bytes += each + 2 * items * sizeof(int32_t);
        widest = fmax(widest, seen);
    }
    return bytes + cx->threads * (2 * fmin(most, widest) * sizeof(atn_span) + 4096);
}

atn_frame atn_head_frame(const atn_head *h, atn_idx block)
{
    return (atn_frame){h->nk, h->nq, ATN_MAX(h->sight.offset, 0), block,
                       h->sight.causal};
}

void atn_head_hull(const atn_head *h, atn_idx from, atn_idx to, atn_idx *lo,
                   atn_idx *hi)
{
    const atn_idx first = ATN_MAX(from - h->sight.offset, 0);
    const atn_idx end = ATN_MIN(to - h->sight.offset, h->nq);

    *lo = h->nk;
    *hi = 0;
    for (atn_idx i = first; i < end; i++) {
        atn_idx l, r;

        atn_sight_row(&h->sight, i, &l, &r);
        if (l >= r) continue;
        *lo = ATN_MIN(*lo, l);
        *hi = ATN_MAX(*hi, r);
    }
    if (*lo >= *hi) *lo = *hi = 0;
}

/* ---- the best of many ---- */

/* The k-th largest of x [n], 1 <= k <= n; x is put in another order. Hoare's selection;
 * the middle of three as pivot. */
static float kth_largest(float *x, atn_idx n, atn_idx k)
{
    atn_idx lo = 0, hi = n - 1;

    while (lo < hi) {
        const float a = x[lo], b = x[lo + (hi - lo) / 2], c = x[hi];
        const float pivot = ATN_MAX(ATN_MIN(a, b), ATN_MIN(ATN_MAX(a, b), c));
        atn_idx i = lo, j = hi;

        while (i <= j) {
            while (x[i] > pivot) i++;
            while (x[j] < pivot) j--;
            if (i > j) break;
            {
                const float swap = x[i];

                x[i++] = x[j];
                x[j--] = swap;
            }
        }
        if (k - 1 <= j)
            hi = j;
        else if (k - 1 >= i)
            lo = i;
        else
            break;
    }
    return x[k - 1];
}

atn_idx atn_best_of(const float *score, atn_idx n, atn_idx k, atn_idx *best,
                    float *scratch, int64_t *ties)
{
    atn_idx candidates = 0, kept = 0, left;
    float least;

    for (atn_idx j = 0; j < n; j++)
        if (score[j] > -INFINITY) scratch[candidates++] = score[j];
    if (k >= candidates) {
        for (atn_idx j = 0; j < n; j++)
            if (score[j] > -INFINITY) best[kept++] = j;
        return kept;
    }
    if (k <= 0) return 0;
    least = kth_largest(scratch, candidates, k);
    left = k;
    for (atn_idx j = 0; j < n; j++) left -= score[j] > least;
    for (atn_idx j = 0; j < n; j++) {
        if (!(score[j] >= least)) continue;
        if (kept < k && (score[j] > least || left > 0)) best[kept++] = j;
        left -= score[j] == least;
    }
    if (ties) *ties += ATN_MAX(-left, 0);
    return kept;
}

void atn_block_means(atn_cmat x, atn_idx block, float *out)
{
    double sum[64];

    for (atn_idx first = 0; first < x.rows; first += block) {
        const atn_idx n = ATN_MIN(block, x.rows - first);
        float *mean = out + first / block * x.cols;

        for (atn_idx c0 = 0; c0 < x.cols; c0 += (atn_idx)ATN_LEN(sum)) {
            const atn_idx m = ATN_MIN((atn_idx)ATN_LEN(sum), x.cols - c0);

            memset(sum, 0, sizeof sum);
            for (atn_idx r = first; r < first + n; r++)
                for (atn_idx c = 0; c < m; c++)
                    sum[c] += (double)atn_crow(x, r)[c0 + c];
            for (atn_idx c = 0; c < m; c++) mean[c0 + c] = (float)(sum[c] / (double)n);
        }
    }
}
