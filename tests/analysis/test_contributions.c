/* tests/analysis/test_contributions.c -- what heads add to the residual stream. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "layer_model.h"

#include "analysis/contributions.h"

/* Outputs (1), (1), (2) of three heads, one row, through W_O rows (1,0), (1,0), (0,1):
 * C = (1,0), (1,0), (0,2). */
static void golden_three_heads(atn_ctx *cx)
{
    const float out[] = {1, 1, 2}, w_o[] = {1, 0, 1, 0, 0, 1};
    const double want[] = {1, 1, 0, 1, 1, 0, 0, 0, 4};
    const atn_problem p = {.heads = 3, .kv_heads = 3, .nq = 1, .nk = 1, .dv = 1};
    const atn_head head[3] = {{.nq = 1, .nk = 1}};
    const atn_layer_facts f = {
        .problem = &p, .head = head, .heads = 3, .out = out, .w_o = w_o, .width = 2};
    double gamma[9];

    CHECK_OK(atn_contribution_gram(cx, &f, gamma));
    for (int i = 0; i < 9; i++) CHECK_NEAR(gamma[i], want[i], 1e-12);
}

static double dense_gram(const layer_model *m, atn_idx a, atn_idx b)
{
    double sum = 0;

    for (atn_idx i = 0; i < m->n; i++)
        for (atn_idx c = 0; layer_stays(m, i) && c < m->facts.width; c++)
            sum += layer_contribution(m, a, i, c) * layer_contribution(m, b, i, c);
    return sum;
}

/* |C_h|^2 is the diagonal, |Y|^2 the sum of all entries. */
static void check_norms(atn_ctx *cx, const atn_layer_facts *f, const double *gamma)
{
    double square[LAYER_HEADS], total, all = 0;

    CHECK_OK(atn_contribution_norms(cx, f, square, &total));
    for (int i = 0; i < LAYER_HEADS * LAYER_HEADS; i++) all += gamma[i];
    for (int h = 0; h < LAYER_HEADS; h++)
        CHECK_NEAR(square[h], gamma[h * LAYER_HEADS + h], 1e-12 * square[h]);
    CHECK_NEAR(total, all, 1e-6 * (1 + all));
}

static void dense_twin(atn_ctx *cx)
{
    for (int kind = 0; kind < LAYER_KINDS; kind++) {
        layer_model m = layer_make(cx, kind);
        const atn_layer_facts *f = layer_facts(&m);
        double gamma[LAYER_HEADS * LAYER_HEADS];

        m.facts.skip_rows = kind == 0 || kind == 10 ? 4 : 0;
        CHECK(atn_contributions_known(f) == (kind != 9));
        if (kind == 9) {
            layer_drop(&m);
            continue;
        }
        CHECK_OK(atn_contribution_gram(cx, f, gamma));
        for (atn_idx a = 0; a < LAYER_HEADS; a++)
            for (atn_idx b = 0; b < LAYER_HEADS; b++)
                CHECK_NEAR(gamma[a * LAYER_HEADS + b], dense_gram(&m, a, b),
                           1e-6 * (1 + dense_gram(&m, a, a) + dense_gram(&m, b, b)));
        check_norms(cx, f, gamma);
        layer_drop(&m);
    }
}

/* A layer of many tiles and a width that no lane divides. */
static layer_model large(atn_ctx *cx)
{
    layer_model m = layer_make(cx, 0);
    const atn_idx n = 1500;

    m.n = m.problem.nq = m.problem.nk = m.problem.sight.key_last = n;
    m.facts.width = 1003;
    free(m.out32);
    free(m.w_o);
    m.out32 = layer_noise(cx, LAYER_HEADS * n * m.problem.dv, 90, "out", 1);
    m.w_o = layer_noise(cx, LAYER_HEADS * m.problem.dv * m.facts.width, 90, "wide", 1);
    return m;
}

static void threads_do_not_matter(atn_ctx *cx)
{
    layer_model m = large(cx);
    const atn_layer_facts *f = layer_facts(&m);
    double one[16], four[16];

    cx->threads = 1;
    CHECK_OK(atn_contribution_gram(cx, f, one));
    cx->threads = 4;
    CHECK_OK(atn_contribution_gram(cx, f, four));
    CHECK(memcmp(one, four, sizeof one) == 0);
    layer_drop(&m);
}

typedef struct seen {
    unsigned char *rows; /* [nq] */
    atn_idx last[ATN_CONTRIBUTION_GROUPS];
} seen;

static atn_status mark_rows(atn_ctx *cx, const atn_layer_facts *f,
                            const atn_contributions *t, void *state)
{
    seen *s = state;

    (void)cx;
    CHECK(t->heads == f->heads && t->width == f->width);
    CHECK(t->group >= 0 && t->group < ATN_CONTRIBUTION_GROUPS);
    CHECK(t->first >= s->last[t->group]);
    s->last[t->group] = t->first + t->rows;
    for (atn_idx i = 0; i < t->rows; i++) s->rows[t->first + i]++;
    return ATN_OK;
}

/* Every row that is not skipped comes once, the tiles of a group in order. */
static void every_row_once(atn_ctx *cx)
{
    layer_model m = large(cx);
    const atn_layer_facts *f = layer_facts(&m);
    seen s = {.rows = calloc(1500, 1)};

    m.facts.skip_rows = 7;
    cx->threads = 1;
    CHECK_OK(atn_contributions_each(cx, f, mark_rows, &s));
    for (int i = 0; i < 1500; i++) CHECK_EQ(s.rows[i], i >= 7);
    free(s.rows);
    layer_drop(&m);
}

static void memory_is_refused_before_the_work(atn_ctx *cx)
{
    layer_model m = large(cx);
    const atn_layer_facts *f = layer_facts(&m);
    double gamma[16];

    cx->mem_limit = 64 << 10;
    CHECK_FAILS(atn_contribution_gram(cx, f, gamma), ATN_MEMORY, "contributions");
    layer_drop(&m);
}

CHECK_MAIN({"golden: three heads", golden_three_heads}, {"dense twin", dense_twin},
           {"threads do not matter", threads_do_not_matter},
           {"every row once", every_row_once},
           {"memory is refused before the work", memory_is_refused_before_the_work})
