/* tests/analysis/test_ssa.c -- mass retained by the best blocks, and its bound. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "layer_model.h"

enum { MASS, DROPPED, INNER, ERROR, BOUND, SLACK, EACH };
enum { SCORE = EACH, REGRET = 2 * EACH, COLS };

/* Card A23: one row a = (.6,.25,.1,.05), V = (1,0),(0,1),(2,2),(-1,3), the first two kept:
 * h_full = (.75, .6), h_sparse = (.6, .25) / .85; .15 (max(2 sqrt 2, sqrt 10) + |h_sparse|). */
static void golden(atn_ctx *cx)
{
    const float a[] = {.6f, .25f, .1f, .05f}, v[] = {1, 0, 0, 1, 2, 2, -1, 3};
    const bool keep[] = {true};
    const atn_problem p = {.heads = 1,
                           .kv_heads = 1,
                           .nq = 1,
                           .nk = 4,
                           .dv = 2,
                           .p = a,
                           .v = v,
                           .sight = {.causal = true, .offset = 3, .key_last = 4}};
    const atn_head h = atn_problem_head(&p, 0);
    const atn_layer_facts f = {.problem = &p, .head = &h, .heads = 1, .keep = keep};
    double out[COLS];

    layer_measure(cx, &f, "ssa", "block=1,k=2", out);
    CHECK_NEAR(out[MASS], .85, 1e-7);
    CHECK_NEAR(out[DROPPED], .15, 1e-7);
    CHECK_NEAR(out[ERROR], .309048, 1e-6);
    CHECK_NEAR(out[BOUND], .589048, 1e-6);
    CHECK_NEAR(out[SLACK], .28 / sqrt(10), 1e-6);
    CHECK_NEAR(out[INNER], 1, 0); /* .25 and .1 of the .35 that remain */
    CHECK(isnan(out[SCORE + MASS]) && isnan(out[REGRET]));
    layer_measure(cx, &f, "ssa", "block=1,k=1", out);
    CHECK_NEAR(out[INNER], .25 / .35, 1e-6);
    layer_measure(cx, &f, "ssa", "block=1,k=4", out);
    CHECK_NEAR(out[MASS], 1, 0);
    CHECK_NEAR(out[BOUND], 0, 0);
    CHECK_NEAR(out[ERROR], 0, 0);
    CHECK_NEAR(out[SLACK], 0, 0);
}

/* Uniform causal rows of t blocks of 4 keys, two kept: 1, 2/3, 2/4; equal scores take the
 * first blocks. Without the first block and the last: nothing of row 7, all of row 11,
 * and all of row 15. */
static void uniform_rows(atn_ctx *cx)
{
    const atn_idx rows[] = {7, 11, 15};
    const bool keep[] = {true};
    float zero[16] = {0}, v[16] = {0};
    const atn_problem p = {.heads = 1,
                           .kv_heads = 1,
                           .nq = 16,
                           .nk = 16,
                           .d = 1,
                           .dv = 1,
                           .q = zero,
                           .k = zero,
                           .v = v};
    atn_head h = atn_problem_head(&p, 0);
    const atn_layer_facts f = {.problem = &p, .head = &h, .heads = 1, .keep = keep};
    double out[COLS];

    h.nq = 3;
    h.sight = (atn_sight){.causal = true, .key_last = 16, .rows = rows};
    layer_measure(cx, &f, "ssa", "block=4,k=2", out);
    CHECK_NEAR(out[MASS], (1 + 2. / 3 + 2. / 4) / 3, 1e-7);
    CHECK_NEAR(out[SCORE + MASS], (1 + 2. / 3 + 2. / 4) / 3, 1e-7);
    CHECK_NEAR(out[INNER], 1, 0);
    CHECK_NEAR(out[SLACK], 0, 0); /* values of zero */
    layer_measure(cx, &f, "ssa", "block=4,k=1", out);
    CHECK_NEAR(out[INNER], (1 + .5) / 2, 1e-7);
}

/* ---- a twin by definition ---- */

typedef struct twin {
    const layer_model *m;
    atn_idx b, k;
    bool group;
} twin;

static atn_idx kv_of(const twin *t, atn_idx h)
{
    return h / (t->m->problem.heads / t->m->problem.kv_heads);
}

static double weight(const twin *t, atn_idx h, atn_idx i, atn_idx j)
{
    const atn_idx nk = t->m->problem.nk;
    const double *p = t->m->p + (h * t->m->n + i) * nk;
    double total = 0;

    for (atn_idx e = 0; e < nk; e++) total += p[e];
    return p[j] / total;
}

/* The row's own score of a block: its mass, or q . mean of its keys that are no padding. */
static double own_score(const twin *t, int kind, atn_idx h, atn_idx i, atn_idx b)
{
    const layer_model *m = t->m;
    const atn_problem *p = &m->problem;
    double score = 0, n = 0;

    for (atn_idx j = b * t->b; j < (b + 1) * t->b && j < p->nk; j++) {
        if (kind == 0) {
            score += weight(t, h, i, j);
            continue;
        }
        if (j < p->sight.key_first || j >= p->sight.key_last) continue;
        for (atn_idx c = 0; c < p->d; c++)
            score += (double)m->q[(h * p->nq + (m->rows ? m->rows[i] : i)) * p->d + c] *
                     (double)m->k[(kv_of(t, h) * p->nk + j) * p->d + c];
        n++;
    }
    return kind == 0 ? score : score / n;
}

static double block_score(const twin *t, int kind, atn_idx h, atn_idx i, atn_idx b)
{
    double sum = 0;

    if (!t->group) return own_score(t, kind, h, i, b);
    for (atn_idx g = 0; g < t->m->problem.heads; g++)
        if (kv_of(t, g) == kv_of(t, h)) sum += own_score(t, kind, g, i, b);
    return sum;
}

/* kept[b]: 1 chosen, 0 not, -1 no candidate. */
static void pick(const twin *t, int kind, atn_idx h, atn_idx i, bool inner, int *kept)
{
    const layer_model *m = t->m;
    const atn_idx n = (m->problem.nk + t->b - 1) / t->b, at = layer_at(m, i);
    const bool self = m->problem.sight.causal || m->problem.nq == m->problem.nk;
    double score[LAYER_MOST];

    for (atn_idx b = 0; b < n; b++) {
        kept[b] = -1;
        for (atn_idx j = b * t->b; j < (b + 1) * t->b && j < m->problem.nk; j++)
            if (layer_sees(m, i, j)) kept[b] = 0;
        if (inner &&
            (b == m->problem.sight.key_first / t->b || (self && b == at / t->b)))
            kept[b] = -1;
        if (kept[b] == 0) score[b] = block_score(t, kind, h, i, b);
    }
    for (atn_idx r = 0; r < t->k; r++) {
        atn_idx best = -1;
        for (atn_idx b = 0; b < n; b++)
            if (kept[b] == 0 && (best < 0 || score[b] > score[best])) best = b;
        if (best >= 0) kept[best] = 1;
    }
}

static void dense_row(const twin *t, int kind, atn_idx h, atn_idx i, double *sum,
                      double *inner_rows)
{
    const layer_model *m = t->m;
    const atn_problem *p = &m->problem;
    int kept[LAYER_MOST];
    double a = 0, rest = 0, part = 0, most = 0, gap = 0, length = 0;

    pick(t, kind, h, i, true, kept);
    for (atn_idx j = 0; j < p->nk; j++) {
        if (!layer_sees(m, i, j) || kept[j / t->b] < 0) continue;
        rest += weight(t, h, i, j);
        if (kept[j / t->b] == 1) part += weight(t, h, i, j);
    }
    if (rest > 0) {
        sum[INNER] += part / rest;
        *inner_rows += 1;
    }
    pick(t, kind, h, i, false, kept);
    for (atn_idx j = 0; j < p->nk; j++) {
        double square = 0;

        if (!layer_sees(m, i, j)) continue;
        for (atn_idx c = 0; c < p->dv; c++) {
            const double x = (double)m->v[(kv_of(t, h) * p->nk + j) * p->dv + c];
            square += x * x;
        }
        if (kept[j / t->b] == 1)
            a += weight(t, h, i, j);
        else if (square > most * most)
            most = sqrt(square);
    }
    for (atn_idx c = 0; c < p->dv; c++) {
        double full = 0, sparse = 0;

        for (atn_idx j = 0; j < p->nk; j++) {
            const double x = (double)m->v[(kv_of(t, h) * p->nk + j) * p->dv + c];

            if (!layer_sees(m, i, j)) continue;
            full += weight(t, h, i, j) * x;
            if (kept[j / t->b] == 1) sparse += weight(t, h, i, j) * x / a;
        }
        gap += (full - sparse) * (full - sparse);
        length += sparse * sparse;
    }
    sum[MASS] += a;
    sum[DROPPED] += 1 - a;
    sum[ERROR] += sqrt(gap);
    sum[BOUND] += (1 - a) * (most + sqrt(length));
}

static void check_kind(const twin *t, int kind, atn_idx h, const double *o)
{
    double sum[EACH] = {0}, rows = 0, inner = 0;

    for (atn_idx i = 0; i < t->m->n; i++) {
        if (!layer_counts(t->m, i)) continue;
        dense_row(t, kind, h, i, sum, &inner);
        rows++;
    }
    CHECK_NEAR(o[MASS], sum[MASS] / rows, 2e-6);
    CHECK_NEAR(o[DROPPED], sum[DROPPED] / rows, 2e-6);
    CHECK_NEAR(o[ERROR], sum[ERROR] / rows, 4e-6);
    CHECK_NEAR(o[BOUND], sum[BOUND] / rows, 4e-6);
    CHECK(isnan(o[INNER]) == (inner == 0));
    if (inner > 0) CHECK_NEAR(o[INNER], sum[INNER] / inner, 2e-6);
    CHECK_LE(-1e-6, o[SLACK]);
}

static void check_twin(atn_ctx *cx, int kind, atn_idx b, atn_idx k, bool group)
{
    layer_model m = layer_make(cx, kind);
    const atn_layer_facts *f = layer_facts(&m);
    const twin t = {&m, b, k, group};
    double out[LAYER_HEADS * COLS];
    char params[64];

    snprintf(params, sizeof params, "block=%d,k=%d,group=%s", (int)b, (int)k,
             group ? "true" : "false");
    m.facts.skip_rows = kind == 0 || kind == 10 ? 3 : 0;
    m.keep[1] = false;
    layer_measure(cx, f, "ssa", params, out);
    for (atn_idx h = 0; h < LAYER_HEADS; h++) {
        const double *o = out + h * COLS;

        if (h == 1) {
            CHECK(isnan(o[MASS]) && isnan(o[REGRET]));
            continue;
        }
        check_kind(&t, 0, h, o);
        if (kind == 8) {
            CHECK(isnan(o[SCORE + MASS]) && isnan(o[SCORE + SLACK]) &&
                  isnan(o[REGRET]));
            continue;
        }
        check_kind(&t, 1, h, o + SCORE);
        CHECK_NEAR(o[REGRET], o[MASS] - o[SCORE + MASS], 1e-12);
        if (!group) CHECK_LE(-1e-9, o[REGRET]);
    }
    layer_drop(&m);
}

static void dense_twin(atn_ctx *cx)
{
    for (int kind = 0; kind < LAYER_KINDS; kind++) {
        print_message("%s\n", layer_kind_name(kind));
        check_twin(cx, kind, 4, 2, false);
        check_twin(cx, kind, 3, 5, true);
        check_twin(cx, kind, 1, 3, false);
        check_twin(cx, kind, 16, 16, true);
    }
}

/* No values: masses stay. A sink logit that takes everything: no row counts. */
static void what_is_missing_is_empty(atn_ctx *cx)
{
    layer_model m = layer_make(cx, 0);
    const atn_layer_facts *f;
    float sink[LAYER_HEADS] = {0, 1e30f, 0, 0};
    double out[LAYER_HEADS * COLS];

    m.problem.v = NULL;
    m.problem.sink = sink;
    f = layer_facts(&m);
    layer_measure(cx, f, "ssa", "block=4,k=2", out);
    CHECK(out[MASS] > 0 && out[SCORE + MASS] > 0 && out[INNER] > 0);
    CHECK(isnan(out[ERROR]) && isnan(out[BOUND]) && isnan(out[SLACK]));
    CHECK(isnan(out[COLS + MASS]) && isnan(out[COLS + INNER]) &&
          isnan(out[COLS + REGRET]));
    layer_drop(&m);
}

/* As many blocks as there are, or more: the same output, to the last bit. */
static void all_blocks(atn_ctx *cx)
{
    for (int kind = 0; kind < 8; kind++) {
        layer_model m = layer_make(cx, kind);
        const atn_layer_facts *f = layer_facts(&m);
        double out[LAYER_HEADS * COLS];

        layer_measure(cx, f, "ssa", kind % 2 ? "block=3,k=1000" : "block=100,k=1", out);
        for (int h = 0; h < LAYER_HEADS; h++)
            for (int c = ERROR; c <= SLACK; c++) {
                CHECK_NEAR(out[h * COLS + c], 0, 0);
                CHECK_NEAR(out[h * COLS + SCORE + c], 0, 0);
            }
        layer_drop(&m);
    }
}

/* More blocks hold more, whatever the score; the bound holds in every row. */
static void mass_grows_with_k(atn_ctx *cx)
{
    for (int kind = 0; kind < 8; kind++) {
        layer_model m = layer_make(cx, kind);
        const atn_layer_facts *f = layer_facts(&m);
        double out[LAYER_HEADS * COLS], before[LAYER_HEADS] = {0};

        for (int k = 1; k < 12; k++) {
            char params[32];

            snprintf(params, sizeof params, "block=3,k=%d", k);
            layer_measure(cx, f, "ssa", params, out);
            for (int h = 0; h < LAYER_HEADS; h++) {
                CHECK_LE(before[h] - 1e-9, out[h * COLS + MASS]);
                CHECK_LE(out[h * COLS + ERROR], out[h * COLS + BOUND] + 1e-6);
                CHECK_LE(-1e-6, out[h * COLS + SCORE + SLACK]);
                before[h] = out[h * COLS + MASS];
            }
        }
        layer_drop(&m);
    }
}

static void threads_do_not_matter(atn_ctx *cx)
{
    layer_model m = layer_make(cx, 1);
    const atn_layer_facts *f = layer_facts(&m);
    double one[LAYER_HEADS * COLS], four[LAYER_HEADS * COLS];

    cx->threads = 1;
    layer_measure(cx, f, "ssa", "block=2,k=3,group=true", one);
    cx->threads = 4;
    layer_measure(cx, f, "ssa", "block=2,k=3,group=true", four);
    CHECK(memcmp(one, four, sizeof one) == 0);
    layer_drop(&m);
}

CHECK_MAIN({"golden", golden}, {"uniform rows", uniform_rows},
           {"dense twin", dense_twin},
           {"what is missing is empty", what_is_missing_is_empty},
           {"all blocks", all_blocks}, {"mass grows with k", mass_grows_with_k},
           {"threads do not matter", threads_do_not_matter})
