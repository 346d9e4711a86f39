/* approx/alternate.c -- entries and a low rank by turns. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "approx/alternate.h"

#include <math.h>
#include <string.h>

#include "approx/oracle.h"
#include "core/linalg.h"
#include "core/rows.h"

enum { ROWS = 32 };

typedef struct keeping {
    const atn_head *h;
    const double *x;
    double *s;
    atn_idx k;
    bool mask;
} keeping;

static void keep_row(const keeping *g, atn_idx i, double *size, double *scratch)
{
    const atn_idx nk = g->h->nk;
    const double *x = g->x + i * nk;
    double *s = g->s + i * nk;
    atn_idx lo, hi, n;
    atn_cut cut;

    atn_sight_row(&g->h->sight, i, &lo, &hi);
    if (lo >= hi) lo = hi = 0;
    if (!g->mask && lo < hi) {
        lo = 0;
        hi = nk;
    }
    n = hi - lo;
    for (atn_idx j = 0; j < n; j++) size[j] = fabs(x[lo + j]);
    cut = g->k > 0 ? atn_cut_at_count(size, n, g->k, scratch, NULL)
                   : (atn_cut){INFINITY, 0};
    for (atn_idx j = 0; j < nk; j++) {
        const double y = j >= lo && j < hi ? size[j - lo] : -1;
        const bool tie = y == cut.at && cut.ties > 0;

        cut.ties -= tie;
        s[j] = y > cut.at || tie ? x[j] : 0;
        if (y < 0) s[j] = 0;
    }
}

static atn_status keep_some(atn_ctx *cx, atn_idx task, void *state)
{
    const keeping *g = state;
    const atn_arena_mark mark = atn_arena_save(cx);
    atn_status st = ATN_OK;
    double *size = NULL, *scratch = NULL;

    ATN_TAKE(size, g->h->nk);
    ATN_TAKE(scratch, g->h->nk);
    for (atn_idx i = task * ROWS; i < ATN_MIN((task + 1) * ROWS, g->h->nq); i++)
        keep_row(g, i, size, scratch);
done:
    atn_arena_rewind(cx, mark);
    return st;
}

atn_status atn_keep_rows(atn_ctx *cx, const atn_head *h, const double *x, atn_idx k,
                         bool mask, double *s)
{
    keeping g = {h, x, s, k, mask};

    return atn_parallel(cx, (h->nq + ROWS - 1) / ROWS, keep_some, &g,
                        "picking entries");
}

typedef struct turns {
    const atn_head *h;
    const double *p;
    const atn_alternate *a;
    double *s, *rest; /* [nq, nk] */
    double *x;        /* directions */
} turns;

/* rest <- p - s */
static void subtract(const turns *t, const double *s)
{
    for (atn_idx e = 0; e < t->h->nq * t->h->nk; e++)
        t->rest[e] = t->p[e] - (s ? s[e] : 0);
}

/* rest <- p - L, with mask 0 where nothing is seen. */
static void without(const turns *t, const atn_lowrank *l)
{
    const atn_idx nq = t->h->nq, nk = t->h->nk;

    subtract(t, NULL);
    if (l->rank > 0)
        atn_gemm_wide(ATN_ABT, -1, (atn_cwide){l->u, nq, l->rank, l->rank},
                      (atn_cwide){l->v, nk, l->rank, l->rank}, 1,
                      (atn_wide){t->rest, nq, nk, nk});
    for (atn_idx i = 0; t->a->mask && i < nq; i++) {
        atn_idx lo, hi;

        atn_sight_row(&t->h->sight, i, &lo, &hi);
        for (atn_idx j = 0; j < nk; j++)
            if (j < lo || j >= hi) t->rest[i * nk + j] = 0;
    }
}

/* Ten rounds from the S that is there; *left is the square of the residual. */
static atn_status rounds(atn_ctx *cx, const turns *t, const atn_lowrank *l,
                         double *left)
{
    const atn_idx all = t->h->nq * t->h->nk;
    atn_status st = ATN_OK;

    for (int r = 0; r < ATN_ALTERNATE_ROUNDS; r++) {
        subtract(t, t->s);
        if (l->rank > 0)
            ATN_TRY(t->a->random ? atn_lowrank_random(cx, t->rest, t->x, l)
                                 : atn_lowrank_dense(cx, t->rest, l));
        without(t, l);
        ATN_TRY(atn_keep_rows(cx, t->h, t->rest, t->a->k, t->a->mask, t->s));
        ATN_TRY(atn_stopped(cx, "sparse and low rank"));
    }
    *left = 0;
    for (atn_idx e = 0; e < all; e++)
        *left += (t->rest[e] - t->s[e]) * (t->rest[e] - t->s[e]);
done:
    return st;
}

atn_status atn_alternate_run(atn_ctx *cx, const atn_input *in, const atn_head *h,
                             const double *p, const atn_alternate *a, atn_factors *out)
{
    const atn_arena_mark mark = atn_arena_save(cx);
    const atn_idx all = h->nq * h->nk;
    const atn_idx directions = atn_lowrank_directions(h->nq, h->nk, a->rank) * h->nk;
    turns t = {.h = h, .p = p, .a = a};
    atn_status st = ATN_OK;
    double *drawn = NULL, best = INFINITY;
    atn_factors f = {0};

    ATN_TAKE(t.s, all);
    ATN_TAKE(t.rest, all);
    ATN_TAKE(t.x, directions);
    ATN_TAKE(drawn, directions);
    if (a->random)
        ATN_TRY(
            atn_lowrank_draw(cx, in, h, "sparse_lowrank/directions", a->rank, drawn));
    for (int start = 0; start < 2; start++) {
        atn_lowrank l;
        double left;

        ATN_TRY(atn_factors_open(cx, h, a->rank, a->mask, &f));
        l = (atn_lowrank){h->nq, h->nk, a->rank, f.block->u, f.block->v};
        if (a->random) memcpy(t.x, drawn, (size_t)directions * sizeof *drawn);
        if (start == 0)
            memset(t.s, 0, (size_t)all * sizeof *t.s);
        else
            ATN_TRY(atn_keep_rows(cx, h, p, a->k, a->mask, t.s));
        ATN_TRY(rounds(cx, &t, &l, &left));
        if (start == 0 || left < best) {
            best = left;
            atn_factors_release(cx, out);
            *out = f;
            f = (atn_factors){0};
            ATN_TRY(atn_factors_take(cx, t.s, out));
        }
        atn_factors_release(cx, &f);
    }
done:
    atn_factors_release(cx, &f);
    if (st != ATN_OK) atn_factors_release(cx, out);
    atn_arena_rewind(cx, mark);
    return st;
}

double atn_alternate_bytes(atn_idx nq, atn_idx nk, const atn_alternate *a)
{
    const double all = (double)nq * (double)nk, r = (double)a->rank;
    const double l = (double)atn_lowrank_directions(nq, nk, a->rank);
    const double found = sizeof(double) * r * (double)(nq + nk) +
                         12 * ATN_MIN((double)a->k * (double)nq, all) +
                         8 * (double)(nq + 1);

    return 2 * found + sizeof(double) * (2 * all + (3 * l) * (double)nk) + 1024 +
           (a->random ? atn_lowrank_random_bytes(nq, nk, a->rank)
                      : atn_lowrank_dense_bytes(nq, nk));
}
