/* tests/approx/zoo.h -- the two numeric fixtures of the sparse methods, random heads,
 * and what a plan of them gives.
 *
 * First   n = 8, d = 2, dv = 1, scale 1, one head: q_i = (3i mod 5 - 2, 2i mod 3 - 1),
 *         k_j = (2j mod 5 - 2, 5j mod 3 - 1), v_j = j.
 * Second  n = 24, d = 4, dv = 1, scale 1/2, two query heads over one KV head:
 *         q^h_i[c] = (((5 + 2h) i + 3c + ic) mod 11 - 5) / 4,
 *         k_j[c] = ((7j + 2c + 3jc) mod 13 - 6) / 4, v_j = j. Both have exact ties.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "approx/method.h"
#include "tests/check.h"

enum { ZOO_HEADS_MOST = 4, ZOO_MOST = 4096 };

/* A layer of up to ZOO_HEADS_MOST heads in its own memory. */
typedef struct zoo {
    float *q, *k, *v;
    atn_head head[ZOO_HEADS_MOST];
    atn_input in;
    atn_list grid;
} zoo;

static inline float *zoo_floats(atn_idx n)
{
    float *x = malloc((size_t)n * sizeof *x + 1);

    if (!x) fail_msg("no memory");
    return x;
}

/* q [heads, nq, d], k [heads / group, nk, d], v [.., dv] are to be filled. Queries are
 * the last nq tokens. */
static inline void zoo_shape(zoo *z, atn_idx heads, atn_idx group, atn_idx nq,
                             atn_idx nk, atn_idx d, atn_idx dv)
{
    const atn_idx kv = heads / group;

    *z = (zoo){.q = zoo_floats(heads * nq * d),
               .k = zoo_floats(kv * nk * d),
               .v = zoo_floats(kv * nk * dv)};
    for (atn_idx h = 0; h < heads; h++)
        z->head[h] = (atn_head){
            .q = {z->q + h * nq * d, nq, d, d},
            .k = {z->k + h / group * nk * d, nk, d, d},
            .v = {z->v + h / group * nk * dv, nk, dv, dv},
            .nq = nq,
            .nk = nk,
            .scale = 1 / sqrt((double)d),
            .sight = {.causal = true, .offset = nk - nq, .key_last = nk},
            .head = (int)h,
            .kv_head = (int)(h / group),
        };
    z->in = (atn_input){.head = z->head, .heads = heads, .group = group};
}

static inline void zoo_free(zoo *z)
{
    free(z->q);
    free(z->k);
    free(z->v);
}

static inline void zoo_causal(zoo *z, bool causal)
{
    for (atn_idx h = 0; h < z->in.heads; h++) z->head[h].sight.causal = causal;
}

static inline void zoo_first(zoo *z)
{
    zoo_shape(z, 1, 1, 8, 8, 2, 1);
    for (int i = 0; i < 8; i++) {
        z->q[2 * i] = (float)(3 * i % 5 - 2);
        z->q[2 * i + 1] = (float)(2 * i % 3 - 1);
        z->k[2 * i] = (float)(2 * i % 5 - 2);
        z->k[2 * i + 1] = (float)(5 * i % 3 - 1);
        z->v[i] = (float)i;
    }
    z->head[0].scale = 1;
}

static inline void zoo_second(zoo *z)
{
    zoo_shape(z, 2, 2, 24, 24, 4, 1);
    for (int i = 0; i < 24; i++) {
        for (int c = 0; c < 4; c++) {
            for (int h = 0; h < 2; h++)
                z->q[(h * 24 + i) * 4 + c] =
                    (float)(((5 + 2 * h) * i + 3 * c + i * c) % 11 - 5) / 4;
            z->k[i * 4 + c] = (float)((7 * i + 2 * c + 3 * i * c) % 13 - 6) / 4;
        }
        z->v[i] = (float)i;
    }
}

/* Numbers of a small generator of its own; `seed` is moved on. */
static inline double zoo_uniform(uint64_t *seed)
{
    *seed = *seed * 6364136223846793005u + 1442695040888963407u;
    return (double)(*seed >> 11) / 9007199254740992.0;
}

static inline void zoo_random(zoo *z, atn_idx heads, atn_idx group, atn_idx nq,
                              atn_idx nk, uint64_t seed)
{
    const atn_idx d = 8, dv = 5;

    zoo_shape(z, heads, group, nq, nk, d, dv);
    for (atn_idx e = 0; e < heads * nq * d; e++)
        z->q[e] = (float)(3 * zoo_uniform(&seed) - 1.5);
    for (atn_idx e = 0; e < heads / group * nk * d; e++)
        z->k[e] = (float)(3 * zoo_uniform(&seed) - 1.5);
    for (atn_idx e = 0; e < heads / group * nk * dv; e++)
        z->v[e] = (float)(2 * zoo_uniform(&seed) - 1);
}

/* Splits "id:params" at its first colon; the plans of the unit that begins with head
 * `first` into plans [ZOO_HEADS_MOST]; how many. */
static inline atn_idx zoo_plan(atn_ctx *cx, const zoo *z, const char *spec,
                               atn_idx first, atn_plan *plans)
{
    char text[512], *params;
    atn_choice c;

    snprintf(text, sizeof text, "%s", spec);
    params = strchr(text, ':');
    if (params) *params++ = '\0';
    CHECK_OK(atn_choice_read(cx, text, params, &c));
    CHECK_OK(atn_choice_check(cx, &c, &z->in));
    CHECK_OK(atn_choice_plan(cx, &c, &z->in, first, plans));
    for (atn_idx k = 0; k < atn_choice_heads(&c, &z->in); k++)
        CHECK_OK(atn_plan_check(cx, &z->head[first + k], &plans[k]));
    return atn_choice_heads(&c, &z->in);
}

static inline void zoo_release(atn_ctx *cx, atn_plan *plans, atn_idx n)
{
    for (atn_idx k = 0; k < n; k++) atn_plan_release(cx, &plans[k]);
}

/* Whichever allocation fails, planning the first unit says MEMORY and leaves nothing
 * behind. */
static inline void zoo_failing(const zoo *z, const char *id, const char *params)
{
    atn_status st = ATN_MEMORY;

    for (long left = 0; st != ATN_OK; left++) {
        check_failing f = {left};
        atn_plan plans[ZOO_HEADS_MOST];
        atn_choice c;
        atn_ctx poor;

        atn_ctx_init(&poor);
        poor.threads = 1 + (int)(left % 2);
        poor.alloc = (atn_allocator){check_failing_resize, &f};
        st = atn_choice_read(&poor, id, params, &c);
        if (st == ATN_OK) {
            st = atn_choice_plan(&poor, &c, &z->in, 0, plans);
            if (st == ATN_OK) zoo_release(&poor, plans, atn_choice_heads(&c, &z->in));
        }
        CHECK(st == ATN_OK || st == ATN_MEMORY);
        CHECK_LE(left, 100000);
        atn_ctx_release(&poor);
        CHECK_EQ(poor.in_use_here, 0);
    }
}

/* Implied weights of row i of a head into w [nk]. Units begin at multiples of their
 * size. */
static inline void zoo_row(atn_ctx *cx, const zoo *z, const char *spec, atn_idx head,
                           atn_idx i, double *w)
{
    atn_plan plans[ZOO_HEADS_MOST];
    atn_idx n = zoo_plan(cx, z, spec, 0, plans);
    const atn_idx first = head / n * n;

    if (first > 0) {
        zoo_release(cx, plans, n);
        n = zoo_plan(cx, z, spec, first, plans);
    }
    CHECK_OK(atn_plan_rows(cx, &z->head[head], &plans[head - first], i, 1, w));
    zoo_release(cx, plans, n);
}

/* sum_j w_j v_j of the first column of the values. */
static inline double zoo_output(const zoo *z, atn_idx head, const double *w)
{
    double o = 0;

    for (atn_idx j = 0; j < z->head[head].nk; j++)
        o += w[j] * (double)atn_crow(z->head[head].v, j)[0];
    return o;
}

/* "0-3,6,7" (ranges are inclusive) is where w is not 0. */
static inline bool zoo_in_set(const char *set, atn_idx j)
{
    while (*set) {
        char *end;
        const long lo = strtol(set, &end, 10);
        const long hi = *end == '-' ? strtol(end + 1, &end, 10) : lo;

        if (j >= lo && j <= hi) return true;
        set = *end ? end + 1 : end;
    }
    return false;
}

static inline void zoo_check_set(const zoo *z, atn_idx head, const double *w,
                                 const char *set)
{
    for (atn_idx j = 0; j < z->head[head].nk; j++)
        if ((w[j] != 0) != (set[0] && zoo_in_set(set, j)))
            fail_msg("key %lld has weight %g, wanted the set {%s}", (long long)j, w[j],
                     set);
}

/* Dense weights of row i, written out here. */
static inline void zoo_dense(const zoo *z, atn_idx head, atn_idx i, double *w)
{
    const atn_head *h = &z->head[head];
    double max = -INFINITY, sum = 0;
    atn_idx lo, hi;

    atn_sight_row(&h->sight, i, &lo, &hi);
    for (atn_idx j = 0; j < h->nk; j++) w[j] = 0;
    for (atn_idx j = lo; j < hi; j++) {
        double s = 0;

        for (atn_idx c = 0; c < h->q.cols; c++)
            s += (double)atn_crow(h->q, i)[c] * (double)atn_crow(h->k, j)[c];
        w[j] = h->scale * s;
        max = fmax(max, w[j]);
    }
    for (atn_idx j = lo; j < hi; j++) sum += w[j] = exp(w[j] - max);
    for (atn_idx j = lo; j < hi; j++) w[j] /= sum;
}

/* A golden row of a mask: the set, its retained mass, the output. */
static inline void zoo_golden(atn_ctx *cx, const zoo *z, const char *spec, atn_idx head,
                              atn_idx i, const char *set, double mass, double o)
{
    double w[ZOO_MOST], a[ZOO_MOST], kept = 0;

    zoo_row(cx, z, spec, head, i, w);
    zoo_check_set(z, head, w, set);
    zoo_dense(z, head, i, a);
    for (atn_idx j = 0; j < z->head[head].nk; j++)
        if (w[j] != 0) kept += a[j];
    CHECK_NEAR(kept, mass, 1e-6);
    CHECK_NEAR(zoo_output(z, head, w), o, 1e-6);
}
