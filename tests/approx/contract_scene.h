/* tests/approx/contract_scene.h -- layers that any method can plan: heads in groups,
 * with steps, a grid, roles, a prompt and what was before the rotary embedding, as far
 * as the method reads them; and all that its plans imply. */
// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "tests/approx/zoo.h"

enum {
    SCENE_HEADS = 4,
    SCENE_GROUP = 2,
    SCENE_D = 8,
    SCENE_DV = 5,
    SCENE_STEPS = 3,
    SCENE_ROTARY = 4
};

typedef struct scene {
    zoo z;
    zoo earlier[SCENE_STEPS - 1];
    atn_input step[SCENE_STEPS];
    float *q_pre, *k_pre;
    uint8_t *role;
    double turn[SCENE_ROTARY];
    uint64_t seed;
} scene;

/* Numbers e and e + rotary of the rows of x [planes, rows, d] turn by their
 * position. */
static inline void scene_turn(const scene *s, const float *pre, float *x,
                              atn_idx planes, atn_idx rows, atn_idx first)
{
    for (atn_idx r = 0; r < planes * rows; r++)
        for (int e = 0; e < SCENE_ROTARY; e++) {
            const double by = s->turn[e] * (double)(first + r % rows);
            const double a = (double)pre[r * SCENE_D + e];
            const double b = (double)pre[r * SCENE_D + e + SCENE_ROTARY];

            x[r * SCENE_D + e] = (float)(a * cos(by) - b * sin(by));
            x[r * SCENE_D + e + SCENE_ROTARY] = (float)(a * sin(by) + b * cos(by));
        }
}

/* Sizes of a layer: nq last queries of nk tokens. */
typedef struct scene_size {
    atn_idx nq, nk, heads, group;
} scene_size;

static inline void scene_frame(zoo *z, bool causal)
{
    zoo_causal(z, causal);
    for (atn_idx h = 0; h < z->in.heads; h++) z->head[h].layer = 3;
}

/* The grid is all tokens but a few, 2 x 3 x rest where that goes. */
static inline void scene_grid(scene *s, atn_idx nk)
{
    atn_list *g = &s->z.grid;

    *g = nk >= 24 ? (atn_list){3, {2, 6, nk / 12}} : (atn_list){1, {nk}};
    s->z.in.grid = g;
}

static inline void scene_add_steps(scene *s, const scene_size *z, bool causal)
{
    for (int t = 0; t < SCENE_STEPS - 1; t++) {
        zoo_random(&s->earlier[t], z->heads, z->group, z->nq, z->nk, s->seed);
        scene_frame(&s->earlier[t], causal);
        for (atn_idx e = 0; e < z->heads * z->nq * SCENE_D; e++)
            s->earlier[t].q[e] *= 1 + .1f * (float)(t - SCENE_STEPS);
        s->step[t] = s->earlier[t].in;
        s->step[t].step = s->step;
        s->step[t].steps = SCENE_STEPS;
        s->step[t].at = t;
    }
    s->z.in.step = s->step;
    s->z.in.steps = SCENE_STEPS;
    s->z.in.at = SCENE_STEPS - 1;
    s->step[SCENE_STEPS - 1] = s->z.in;
}

static inline void scene_make(scene *s, const atn_method *m, const scene_size *z,
                              bool causal, uint64_t seed)
{
    const atn_idx q = z->heads * z->nq * SCENE_D;
    const atn_idx k = z->heads / z->group * z->nk * SCENE_D;

    *s = (scene){.seed = seed};
    zoo_random(&s->z, z->heads, z->group, z->nq, z->nk, seed);
    scene_frame(&s->z, causal);
    s->q_pre = zoo_floats(q);
    s->k_pre = zoo_floats(k);
    memcpy(s->q_pre, s->z.q, (size_t)q * sizeof *s->q_pre);
    memcpy(s->k_pre, s->z.k, (size_t)k * sizeof *s->k_pre);
    for (int e = 0; e < SCENE_ROTARY; e++) s->turn[e] = pow(30, -e / 4.0);
    scene_turn(s, s->q_pre, s->z.q, z->heads, z->nq, z->nk - z->nq);
    scene_turn(s, s->k_pre, s->z.k, z->heads / z->group, z->nk, 0);
    s->role = calloc((size_t)z->nk, 1);
    for (atn_idx j = 0; j < z->nk; j++)
        s->role[j] = j % 8 == 7 ? ATN_ROLE_LANDMARK : ATN_ROLE_NONE;
    s->z.in.prompt = ATN_MAX(2 * z->nk / 3, 1);
    s->z.in.layers = 6;
    s->z.in.turn = s->turn;
    s->z.in.rotary = SCENE_ROTARY;
    s->z.in.seed = 17;
    s->z.in.role = s->role;
    scene_grid(s, z->nk);
    /* they change what many do: for those that cannot do without */
    if (m && (m->reads & ATN_READS_STEPS)) scene_add_steps(s, z, causal);
}

static inline void scene_free(scene *s)
{
    zoo_free(&s->z);
    for (int t = 0; t < SCENE_STEPS - 1; t++) zoo_free(&s->earlier[t]);
    free(s->q_pre);
    free(s->k_pre);
    free(s->role);
}

/* New numbers for the keys and values, or for the queries, beyond position i. */
static inline void scene_disturb(scene *s, atn_idx i, bool keys, uint64_t seed)
{
    const atn_head *h = &s->z.head[0];
    const atn_idx planes = keys ? s->z.in.heads / s->z.in.group : s->z.in.heads;
    const atn_idx rows = keys ? h->nk : h->nq, first = keys ? 0 : h->sight.offset;
    float *pre = keys ? s->k_pre : s->q_pre, *x = keys ? s->z.k : s->z.q;

    for (atn_idx p = 0; p < planes; p++)
        for (atn_idx r = ATN_MAX(i + 1 - first, 0); r < rows; r++) {
            for (int c = 0; c < SCENE_D; c++)
                pre[(p * rows + r) * SCENE_D + c] = (float)(6 * zoo_uniform(&seed) - 3);
            for (int c = 0; keys && c < SCENE_DV; c++)
                s->z.v[(p * rows + r) * SCENE_DV + c] = (float)zoo_uniform(&seed);
        }
    scene_turn(s, pre, x, planes, rows, first);
}

/* ---- what all plans of a layer imply ---- */

typedef struct implied {
    atn_idx heads, nq, nk;
    double *w;    /* [heads, nq, nk] */
    double *rest; /* [heads, nq, dv] the residual, in double */
    bool mask[ZOO_HEADS_MOST];
    double flops, bytes;
    int64_t ties;
} implied;

static inline void implied_free(implied *m)
{
    free(m->w);
    free(m->rest);
}

static inline void implied_head(atn_ctx *cx, const scene *s, atn_idx head,
                                const atn_plan *p, implied *m)
{
    const atn_head *h = &s->z.head[head];
    double *rest = m->rest + head * m->nq * SCENE_DV;

    CHECK_OK(atn_plan_check(cx, h, p));
    CHECK_OK(atn_plan_rows(cx, h, p, 0, m->nq, m->w + head * m->nq * m->nk));
    for (atn_idx e = 0; e < m->nq * SCENE_DV; e++)
        rest[e] = p->residual ? (double)p->residual[e] : 0;
    m->mask[head] = atn_plan_is_mask(p);
    m->flops += p->index_flops;
    m->bytes += p->index_bytes;
    m->ties += p->ties;
}

/* The first failure, or all heads. Release it in any case. */
static inline atn_status implied_make(atn_ctx *cx, const scene *s, const atn_choice *c,
                                      implied *m)
{
    const atn_idx n = atn_choice_heads(c, &s->z.in);
    const atn_head *h = &s->z.head[0];

    *m = (implied){.heads = s->z.in.heads, .nq = h->nq, .nk = h->nk};
    m->w = calloc((size_t)(m->heads * m->nq * m->nk + 1), sizeof *m->w);
    m->rest = calloc((size_t)(m->heads * m->nq * SCENE_DV + 1), sizeof *m->rest);
    for (atn_idx first = 0; first < m->heads; first += n) {
        atn_plan plans[ZOO_HEADS_MOST];
        const atn_status st = atn_choice_plan(cx, c, &s->z.in, first, plans);

        if (st != ATN_OK) return st;
        for (atn_idx k = 0; k < n; k++) implied_head(cx, s, first + k, &plans[k], m);
        zoo_release(cx, plans, n);
    }
    return ATN_OK;
}

/* Rows [0, rows) of a head are those of another, which begin `skip` later, to 1e-9. */
static inline bool implied_alike(const implied *a, const implied *b, atn_idx head,
                                 atn_idx rows, atn_idx skip)
{
    for (atn_idx i = 0; i < rows; i++) {
        const double *x = a->w + (head * a->nq + i) * a->nk;
        const double *y = b->w + (head * b->nq + i + skip) * b->nk;
        const double *r = a->rest + (head * a->nq + i) * SCENE_DV;
        const double *t = b->rest + (head * b->nq + i + skip) * SCENE_DV;

        for (atn_idx j = 0; j < a->nk; j++)
            if (!(fabs(x[j] - y[j]) <= 1e-9)) return false;
        for (int c = 0; c < SCENE_DV; c++)
            if (!(fabs(r[c] - t[c]) <= 1e-6)) return false;
    }
    return true;
}
