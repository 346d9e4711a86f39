/* analysis/experiments/joint_floor.c -- what entries and a rank together leave at least,
 * against what is found: B9.
 *
 * Math    theory/floors.c, the best of blocks of 8, 16, .. tokens and of one block.
 *         Found: by turns (approx/alternate.h) and by robust principal components
 *         (approx/rpca.h, at most 100 steps) at equal numbers, and in one step, of fewer
 *         entries than rows: the floor says something there. Nothing is masked, for a
 *         masked low rank has another rank.
 * Cost    the singular values of all blocks, 20 decompositions a budget.
 * Limits  blocks in the order of the tokens; another order may give a higher floor.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#include <math.h>
#include <string.h>

#include "analysis/experiments/experiment.h"
#include "approx/alternate.h"
#include "approx/rpca.h"
#include "core/linalg.h"
#include "core/mat.h"
#include "core/svd.h"

extern const atn_experiment atn_experiment_joint_floor;

enum { SIZES = 16, LEAST = 8, STEPS = 100 };

typedef struct floors {
    const atn_head_facts *f;
    const atn_trial_head *t;
    atn_checks *out;
    const atn_bound *bound;
    double *p;            /* [nq, nk] */
    double *sigma[SIZES]; /* of all blocks of a size, `least` a block */
    atn_idx size[SIZES], least[SIZES], blocks[SIZES];
    int sizes;
    double *tail; /* [nq nk] scratch */
} floors;

/* Singular values of the block of `size` at (row, key), zeros after the last one. */
static atn_status block_values(atn_ctx *cx, const floors *s, atn_idx size, atn_idx row,
                               atn_idx key, double *out)
{
    const atn_idx m = ATN_MIN(size, s->f->nq - row), n = ATN_MIN(size, s->f->nk - key);
    const atn_arena_mark mark = atn_arena_save(cx);
    atn_status st = ATN_OK;
    double *a = NULL;

    memset(out, 0, (size_t)size * sizeof *out);
    ATN_TAKE(a, m * n);
    for (atn_idx i = 0; i < m; i++)
        memcpy(a + i * n, s->p + (row + i) * s->f->nk + key, (size_t)n * sizeof *a);
    ATN_TRY(atn_svd(cx, a, m, n, out, NULL, NULL));
done:
    atn_arena_rewind(cx, mark);
    return st;
}

static atn_status size_values(atn_ctx *cx, floors *s, atn_idx size)
{
    const int z = s->sizes++;
    const atn_idx down = (s->f->nq + size - 1) / size,
                  across = (s->f->nk + size - 1) / size;
    atn_status st = ATN_OK;

    s->size[z] = size;
    s->blocks[z] = down * across;
    ATN_TAKE(s->sigma[z], down * across * size);
    for (atn_idx b = 0; b < down * across; b++)
        ATN_TRY(block_values(cx, s, size, b / across * size, b % across * size,
                             s->sigma[z] + b * size));
done:
    return st;
}

static atn_status all_values(atn_ctx *cx, floors *s)
{
    const atn_idx n = ATN_MAX(s->f->nq, s->f->nk);
    atn_status st = ATN_OK;

    for (atn_idx size = LEAST; size < n && s->sizes < SIZES - 1; size *= 2)
        ATN_TRY(size_values(cx, s, size));
    ATN_TRY(size_values(cx, s, n));
    ATN_TAKE(s->tail, 2 * (n + LEAST) * (n + LEAST) / LEAST + n);
done:
    return st;
}

static void turn_round(double *x, size_t n)
{
    for (size_t e = 0; e < n / 2; e++) {
        const double y = x[e];

        x[e] = x[n - 1 - e];
        x[n - 1 - e] = y;
    }
}

/* The best floor of all sizes; *at is its size. */
static double floor_of(const floors *s, atn_idx rank, double k, atn_idx *at)
{
    double best = 0;

    *at = 0;
    for (int z = 0; z < s->sizes; z++) {
        atn_quantities q = {.x = {0, k}};
        size_t n = 0;
        double x;

        for (atn_idx b = 0; b < s->blocks[z]; b++)
            for (atn_idx i = rank; i < s->size[z]; i++) {
                const double y = s->sigma[z][b * s->size[z] + i];

                if (y > 0) s->tail[n++] = y * y;
            }
        atn_sort(s->tail, (atn_idx)n);
        turn_round(s->tail, n);
        q.list[0] = s->tail;
        q.n[0] = n;
        x = atn_bound_predict(s->bound, &q);
        if (x > best || *at == 0) {
            best = x;
            *at = s->size[z];
        }
    }
    return best;
}

static atn_status judge(atn_ctx *cx, const floors *s, const atn_factors *f,
                        const char *how, const char *note)
{
    const double all = (double)s->f->nq * (double)s->f->nk;
    const double k = f->ptr ? (double)f->ptr[f->nq] : 0;
    const atn_idx rank = f->block->rank;
    atn_status st = ATN_OK;
    atn_check c = {.bound = s->bound, .scale = 1};
    atn_idx size;

    ATN_TRY(atn_factors_error(cx, &s->f->head, f, s->p, &c.measured));
    c.predicted = floor_of(s, rank, k, &size);
    snprintf(c.variant, sizeof c.variant, "%s, rank %lld, %.3g entries a row", how,
             (long long)rank, all > 0 ? k / (double)s->f->nq : 0);
    snprintf(c.note, sizeof c.note, "blocks of %lld%s%s", (long long)size,
             *note ? "; " : "", note);
    ATN_TRY(atn_checks_add(cx, s->out, &c));
done:
    return st;
}

static atn_status by_turns(atn_ctx *cx, const floors *s, atn_idx numbers)
{
    const atn_input in = {
        .head = &s->f->head, .heads = 1, .group = 1, .seed = s->t->seed};
    const atn_idx most = ATN_MIN(s->f->nq, s->f->nk);
    const atn_alternate a = {ATN_MIN(numbers / 2, s->f->nk), ATN_MIN(numbers / 4, most),
                             most > 32, false};
    atn_status st = ATN_OK;
    atn_factors f = {0};

    ATN_TRY(atn_alternate_run(cx, &in, &s->f->head, s->p, &a, &f));
    ATN_TRY(judge(cx, s, &f, "by turns", ""));
done:
    atn_factors_release(cx, &f);
    return st;
}

/* The best of a rank of a matrix, singular values in u. */
typedef struct best {
    atn_idx rank;
    double *u, *v; /* [nq, rank], [nk, rank] */
} best;

static atn_status find_best(atn_ctx *cx, const floors *s, const double *a, atn_idx rank,
                            best *out)
{
    const atn_idx nq = s->f->nq, nk = s->f->nk;
    atn_status st = ATN_OK;

    out->rank = rank;
    ATN_TAKE(out->u, nq * rank);
    ATN_TAKE(out->v, nk * rank);
    ATN_TRY(atn_lowrank_dense(cx, a, &(atn_lowrank){nq, nk, rank, out->u, out->v}));
done:
    return st;
}

/* f <- the first `rank` of it, without entries. */
static atn_status open_best(atn_ctx *cx, const floors *s, const best *b, atn_idx rank,
                            atn_factors *f)
{
    atn_status st = ATN_OK;

    ATN_TRY(atn_factors_open(cx, &s->f->head, rank, false, f));
    for (atn_idx r = 0; r < rank; r++) {
        for (atn_idx i = 0; i < s->f->nq; i++)
            f->block->u[i * rank + r] = b->u[i * b->rank + r];
        for (atn_idx j = 0; j < s->f->nk; j++)
            f->block->v[j * rank + r] = b->v[j * b->rank + r];
    }
done:
    return st;
}

/* x [nq, nk] <- weights less the low rank of f. */
static void without(const floors *s, const atn_factors *f, double *x)
{
    const atn_idx nq = s->f->nq, nk = s->f->nk, rank = f->block->rank;

    memcpy(x, s->p, (size_t)(nq * nk) * sizeof *x);
    atn_gemm_wide(ATN_ABT, -1, (atn_cwide){f->block->u, nq, rank, rank},
                  (atn_cwide){f->block->v, nk, rank, rank}, 1,
                  (atn_wide){x, nq, nk, nk});
}

/* The low rank that a pursuit found cut to numbers / 4, and the numbers / 2 largest of
 * every row of the rest: as atn_rpca_parts has it. x is scratch. */
static atn_status cut_pursuit(atn_ctx *cx, const floors *s, const best *l,
                              atn_idx numbers, double *x, const char *note)
{
    const atn_idx nk = s->f->nk;
    atn_status st = ATN_OK;
    atn_factors f = {0};

    ATN_TRY(open_best(cx, s, l, ATN_MIN(numbers / 4, l->rank), &f));
    without(s, &f, x);
    ATN_TRY(atn_keep_rows(cx, &s->f->head, x, ATN_MIN(numbers / 2, nk), false, x));
    ATN_TRY(atn_factors_take(cx, x, &f));
    ATN_TRY(judge(cx, s, &f, "rpca", note));
done:
    atn_factors_release(cx, &f);
    return st;
}

/* numbers [n] ascend. */
static atn_status by_pursuit(atn_ctx *cx, const floors *s, const atn_idx *numbers,
                             int n)
{
    const atn_arena_mark mark = atn_arena_save(cx);
    const atn_idx all = s->f->nq * s->f->nk, most = ATN_MIN(s->f->nq, s->f->nk);
    atn_rpca found = {.factor = 1, .steps = STEPS};
    atn_status st = ATN_OK;
    char note[64];
    best l;

    ATN_TAKE(found.l, all);
    ATN_TAKE(found.s, all);
    ATN_TRY(atn_rpca_run(cx, s->p, s->f->nq, s->f->nk, &found));
    snprintf(note, sizeof note, "rank %lld, %lld entries, %lld steps, %.2g",
             (long long)found.rank, (long long)found.entries, (long long)found.taken,
             found.residual);
    ATN_TRY(find_best(cx, s, found.l, ATN_MIN(numbers[n - 1] / 4, most), &l));
    for (int b = 0; b < n; b++)
        ATN_TRY(cut_pursuit(cx, s, &l, numbers[b], found.s, note));
done:
    atn_arena_rewind(cx, mark);
    return st;
}

/* The low rank of w, and the k largest of what it leaves, x [nq, nk], of which none is
 * below `least`. */
static atn_status take_largest(atn_ctx *cx, const floors *s, const best *w, double *x,
                               double least, atn_idx k)
{
    atn_status st = ATN_OK;
    atn_factors f = {0};
    atn_idx more = 0;

    ATN_TRY(open_best(cx, s, w, w->rank, &f));
    without(s, &f, x);
    for (atn_idx e = 0; e < s->f->nq * s->f->nk; e++) {
        if (fabs(x[e]) <= least) x[e] = 0;
        more += x[e] != 0;
    }
    ATN_ASSERT(more <= k);
    ATN_TRY(atn_factors_take(cx, x, &f));
    ATN_TRY(judge(cx, s, &f, "one step", ""));
done:
    atn_factors_release(cx, &f);
    return st;
}

/* The best of rank 2, then the k largest of what it leaves: k below the rows. */
static atn_status in_one_step(atn_ctx *cx, const floors *s)
{
    const atn_arena_mark mark = atn_arena_save(cx);
    const atn_idx nq = s->f->nq, all = nq * s->f->nk;
    atn_status st = ATN_OK;
    atn_factors f = {0};
    double *x = NULL, *size = NULL;
    best w;

    ATN_TAKE(x, all);
    ATN_TAKE(size, all);
    ATN_TRY(find_best(cx, s, s->p, ATN_MIN(2, ATN_MIN(nq, s->f->nk)), &w));
    ATN_TRY(open_best(cx, s, &w, w.rank, &f));
    without(s, &f, x);
    for (atn_idx e = 0; e < all; e++) size[e] = fabs(x[e]);
    atn_sort(size, all);
    for (atn_idx part = 8; part >= 2; part /= 2)
        if (nq / part > 0)
            ATN_TRY(take_largest(cx, s, &w, x, size[all - 1 - nq / part], nq / part));
done:
    atn_factors_release(cx, &f);
    atn_arena_rewind(cx, mark);
    return st;
}

static atn_status head(atn_ctx *cx, const atn_trial_head *t, atn_checks *out)
{
    static const atn_idx numbers[] = {4, 8, 16, 32};
    const atn_head_facts *f = t->facts;
    const atn_arena_mark mark = atn_arena_save(cx);
    const atn_idx most = ATN_MIN(f->nq, f->nk);
    floors s = {.f = f, .t = t, .out = out, .p = f->p};
    atn_status st = ATN_OK;

    s.bound = &atn_bound_sparse_lowrank_floor;
    if (most < 2) goto done;
    ATN_TRY(all_values(cx, &s));
    ATN_TRY(in_one_step(cx, &s));
    for (size_t b = 0; b < ATN_LEN(numbers); b++) ATN_TRY(by_turns(cx, &s, numbers[b]));
    ATN_TRY(by_pursuit(cx, &s, numbers, (int)ATN_LEN(numbers)));
done:
    atn_arena_rewind(cx, mark);
    return st;
}

const atn_experiment atn_experiment_joint_floor = {
    .id = "joint_floor",
    .label = "V4",
    .title = "Entries and a rank together",
    .text = "what sparse and low rank together leave, against what none can undercut",
    .source = "derived; alternating projections, robust principal components",
    .sides = ATN_BOTH_WAYS,
    .most = 256,
    .heads = 4,
    .head = head,
    .bounds = "sparse_lowrank_floor",
};
