/* tests/approx/history.h -- what the tests of methods with a history share: the sets
 * that a plan has in all rows against sets found by brute force, and captures cut into
 * steps. */
// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "tests/approx/zoo.h"

/* Every row of the plan is dense attention over want [nq, nk], renormalised. */
static inline void history_check(atn_ctx *cx, const zoo *z, const atn_plan *p,
                                 atn_idx head, const bool *want)
{
    const atn_head *h = &z->head[head];
    double *w = malloc((size_t)(h->nq * h->nk) * sizeof *w);
    double *a = malloc((size_t)h->nk * sizeof *a);

    CHECK(w && a);
    CHECK(atn_plan_is_mask(p));
    CHECK_OK(atn_plan_rows(cx, h, p, 0, h->nq, w));
    for (atn_idx i = 0; i < h->nq; i++) {
        double sum = 0;

        zoo_dense(z, head, i, a);
        for (atn_idx j = 0; j < h->nk; j++)
            if (want[i * h->nk + j]) sum += a[j];
        for (atn_idx j = 0; j < h->nk; j++) {
            const double x = want[i * h->nk + j] ? a[j] / sum : 0;

            if (fabs(w[i * h->nk + j] - x) > 1e-9)
                fail_msg("row %lld, key %lld: weight %g, wanted %g", (long long)i,
                         (long long)j, w[i * h->nk + j], x);
        }
    }
    free(w);
    free(a);
}

/* The same of one spec; of every head of it. want(z, head, sets, arg) fills [nq, nk],
 * zeroed. */
static inline void history_twin(atn_ctx *cx, const zoo *z, const char *spec,
                                void (*want)(const zoo *z, atn_idx head, bool *sets,
                                             const void *arg),
                                const void *arg)
{
    atn_plan plans[ZOO_HEADS_MOST];
    const atn_head *h = &z->head[0];
    bool *sets = malloc((size_t)(h->nq * h->nk));

    CHECK(sets);
    for (atn_idx first = 0; first < z->in.heads;) {
        const atn_idx n = zoo_plan(cx, z, spec, first, plans);

        for (atn_idx k = 0; k < n; k++) {
            memset(sets, 0, (size_t)(h->nq * h->nk));
            want(z, first + k, sets, arg);
            history_check(cx, z, &plans[k], first + k, sets);
        }
        zoo_release(cx, plans, n);
        first += n;
    }
    free(sets);
}

/* Rows [from, to) of z, as a step of their own that has the keys so far. */
static inline void history_cut(const zoo *z, atn_idx from, atn_idx to, zoo *out)
{
    *out = *z;
    out->in.head = out->head;
    for (atn_idx h = 0; h < z->in.heads; h++) {
        atn_head *at = &out->head[h];

        at->q.data = atn_crow(z->head[h].q, from);
        at->nq = at->q.rows = to - from;
        at->nk = at->k.rows = at->v.rows = at->sight.key_last = to;
        at->sight.offset = from;
    }
}

/* Plans of z cut at rows `cuts`, in steps, are those of z in one. */
static inline void history_steps(atn_ctx *cx, const zoo *z, const char *spec,
                                 const atn_idx *cuts, int n)
{
    enum { STEPS = 8 };
    atn_input in[STEPS];
    zoo part[STEPS];
    double a[ZOO_MOST], b[ZOO_MOST];
    atn_plan whole[ZOO_HEADS_MOST], plans[ZOO_HEADS_MOST];

    CHECK(n <= STEPS);
    for (int s = 0; s < n; s++) {
        history_cut(z, s ? cuts[s - 1] : 0, cuts[s], &part[s]);
        in[s] = part[s].in;
    }
    for (int s = 0; s < n; s++) {
        const atn_idx from = s ? cuts[s - 1] : 0, nk = cuts[s];

        part[s].in.step = in;
        part[s].in.steps = n;
        part[s].in.at = s;
        for (atn_idx first = 0; first < z->in.heads;) {
            const atn_idx m = zoo_plan(cx, &part[s], spec, first, plans);

            zoo_plan(cx, z, spec, first, whole);
            for (atn_idx i = from; i < nk; i++)
                for (atn_idx k = 0; k < m; k++) {
                    CHECK_OK(
                        atn_plan_rows(cx, &z->head[first + k], &whole[k], i, 1, a));
                    CHECK_OK(atn_plan_rows(cx, &part[s].head[first + k], &plans[k],
                                           i - from, 1, b));
                    for (atn_idx j = 0; j < nk; j++) CHECK_NEAR(a[j], b[j], 1e-12);
                }
            zoo_release(cx, plans, m);
            zoo_release(cx, whole, m);
            first += m;
        }
    }
}

/* The n layers of z as the steps of one. */
static inline void history_stack(zoo *const *z, atn_input *in, int n)
{
    for (int s = 0; s < n; s++) {
        z[s]->in.steps = n;
        z[s]->in.at = s;
        z[s]->in.step = in;
        in[s] = z[s]->in;
    }
}

/* The plan at 1 and 4 threads, bit by bit in what it implies; and it fails cleanly
 * whichever allocation does. */
static inline void history_robust(atn_ctx *cx, const zoo *z, const char *spec)
{
    char text[512], *params;
    atn_plan one[ZOO_HEADS_MOST], four[ZOO_HEADS_MOST];
    double a[ZOO_MOST], b[ZOO_MOST];
    atn_idx n;

    cx->threads = 1;
    n = zoo_plan(cx, z, spec, 0, one);
    cx->threads = 4;
    zoo_plan(cx, z, spec, 0, four);
    for (atn_idx k = 0; k < n; k++)
        for (atn_idx i = 0; i < z->head[k].nq; i++) {
            CHECK_OK(atn_plan_rows(cx, &z->head[k], &one[k], i, 1, a));
            CHECK_OK(atn_plan_rows(cx, &z->head[k], &four[k], i, 1, b));
            CHECK(memcmp(a, b, (size_t)z->head[k].nk * sizeof *a) == 0);
        }
    for (atn_idx k = 0; k < n; k++)
        CHECK(one[k].index_flops == four[k].index_flops && one[k].ties == four[k].ties);
    zoo_release(cx, one, n);
    zoo_release(cx, four, n);
    cx->threads = 2;
    snprintf(text, sizeof text, "%s", spec);
    params = strchr(text, ':');
    if (params) *params++ = '\0';
    zoo_failing(z, text, params);
}
