/* tests/analysis/test_toeplitz.c -- the share of relative position. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "layer_model.h"

enum { LOGIT, LOGIT_NEAR, WEIGHT, WEIGHT_NEAR, LOCAL, COLS = 7 };

static void toeplitz(atn_ctx *cx, const atn_head *h, atn_idx skip, double *out)
{
    const atn_measure *m = atn_measure_find("toeplitz");
    const atn_row_stats_opts opts = {.needs = m->needs, .skip_rows = skip};
    atn_row_stats *s = NULL;
    atn_head_stats head;

    CHECK_EQ(atn_measure_n_cols(m), COLS);
    CHECK_OK(atn_row_stats_run(cx, h, 1, NULL, &opts, &s));
    head = atn_row_stats_head(s, 0);
    for (int c = 0; c < COLS; c++) out[c] = NAN;
    m->compute(&head, NULL, out);
    atn_row_stats_destroy(cx, s);
}

/* Card A14 on n = 6: z = -.5 (i - j) gives 1, with 1 more at (4, 2) .938953, at (5, 0) 1. As P =
 * .4 + z / 10 the share is the same. */
static void golden(atn_ctx *cx)
{
    float p[36] = {0};
    const atn_head h = {
        .p = {p, 6, 6, 6}, .nq = 6, .nk = 6, .sight = {.causal = true, .key_last = 6}};
    double out[COLS];

    for (int i = 0; i < 6; i++)
        for (int j = 0; j <= i; j++) p[i * 6 + j] = .4f - .05f * (float)(i - j);
    toeplitz(cx, &h, 0, out);
    CHECK_NEAR(out[WEIGHT], 1, 1e-6);
    CHECK_NEAR(out[WEIGHT_NEAR], 1, 1e-6);
    CHECK_NEAR(out[LOCAL], (.4 + 5 * .75) / 6, 1e-6);
    p[4 * 6 + 2] += .1f;
    toeplitz(cx, &h, 0, out);
    CHECK_NEAR(out[WEIGHT], .938953, 1e-6);
    p[4 * 6 + 2] -= .1f;
    p[5 * 6 + 0] += .1f;
    toeplitz(cx, &h, 0, out);
    CHECK_NEAR(out[WEIGHT], 1, 1e-6);
}

/* ---- a twin by definition, in two passes ---- */

typedef struct entries {
    const layer_model *m;
    atn_idx h, most;
    bool logs;
} entries;

static bool entry(const entries *e, atn_idx i, atn_idx j, double *z)
{
    const layer_model *m = e->m;
    const double *p = m->p + (e->h * m->n + i) * m->problem.nk;
    double mass = 0;

    if (!layer_counts(m, i) || !layer_sees(m, i, j)) return false;
    if (labs((long)(layer_at(m, i) - j)) > e->most) return false;
    *z = p[j];
    for (atn_idx k = 0; k < m->problem.nk; k++) mass += p[k];
    if (e->logs) *z = log(p[j] / mass);
    return true;
}

static double dense_share(const entries *e)
{
    const layer_model *m = e->m;
    const atn_idx nk = m->problem.nk;
    double sum[2 * LAYER_MOST] = {0}, n[2 * LAYER_MOST] = {0}, all = 0, count = 0;
    double within = 0, total = 0, z;

    for (atn_idx i = 0; i < m->n; i++)
        for (atn_idx j = 0; j < nk; j++) {
            if (!entry(e, i, j, &z)) continue;
            sum[i - j + nk] += z;
            n[i - j + nk]++;
            all += z;
            count++;
        }
    for (atn_idx i = 0; i < m->n; i++)
        for (atn_idx j = 0; j < nk; j++) {
            if (!entry(e, i, j, &z)) continue;
            within += (z - sum[i - j + nk] / n[i - j + nk]) *
                      (z - sum[i - j + nk] / n[i - j + nk]);
            total += (z - all / count) * (z - all / count);
        }
    return total > 1e-9 * count ? 1 - within / total : NAN;
}

static double dense_local(const layer_model *m, atn_idx h, atn_idx most)
{
    double sum = 0, rows = 0;

    for (atn_idx i = 0; i < m->n; i++) {
        if (!layer_counts(m, i)) continue;
        rows++;
        for (atn_idx j = 0; j < m->problem.nk; j++)
            if (labs((long)(layer_at(m, i) - j)) <= most)
                sum += m->p[(h * m->n + i) * m->problem.nk + j];
    }
    return sum / rows;
}

static void check_share(double got, double want)
{
    CHECK(isnan(got) == isnan(want));
    if (!isnan(want)) CHECK_NEAR(got, want, 2e-6);
}

static void dense_twin(atn_ctx *cx)
{
    for (int kind = 0; kind < LAYER_KINDS - 1; kind++) {
        layer_model m = layer_make(cx, kind);
        const atn_layer_facts *f = layer_facts(&m);
        const atn_idx near = m.problem.nk / 2;
        double o[COLS];

        print_message("%s\n", layer_kind_name(kind));
        m.facts.skip_rows = kind == 0 || kind == 4 ? 3 : 0;
        for (atn_idx h = 0; h < LAYER_HEADS; h++) {
            toeplitz(cx, &f->head[h], m.facts.skip_rows, o);
            check_share(o[LOGIT], dense_share(&(entries){&m, h, LAYER_MOST, true}));
            check_share(o[LOGIT_NEAR], dense_share(&(entries){&m, h, near, true}));
            check_share(o[WEIGHT], dense_share(&(entries){&m, h, LAYER_MOST, false}));
            check_share(o[WEIGHT_NEAR], dense_share(&(entries){&m, h, near, false}));
            for (int w = 0; w < 3; w++)
                CHECK_NEAR(o[LOCAL + w], dense_local(&m, h, 1 << w), 1e-6);
        }
        layer_drop(&m);
    }
}

/* Queries and keys that do not differ, both ways: every entry is 1 / n, nothing to explain. Some
 * rows only: no diagonals. A given weight of 0 has no logarithm. */
static void what_has_no_share(atn_ctx *cx)
{
    layer_model m = layer_make(cx, 2), some = layer_make(cx, 10),
                given = layer_make(cx, 8);
    const atn_layer_facts *f;
    double o[COLS];

    memset(m.q, 0, (size_t)(LAYER_HEADS * m.n * m.problem.d) * sizeof *m.q);
    f = layer_facts(&m);
    toeplitz(cx, &f->head[0], 0, o);
    CHECK(isnan(o[LOGIT]) && isnan(o[WEIGHT]) && isnan(o[LOGIT_NEAR]));
    CHECK(o[LOCAL] > 0);
    f = layer_facts(&some);
    toeplitz(cx, &f->head[0], 0, o);
    for (int c = 0; c < COLS; c++) CHECK(isnan(o[c]));
    given.given[5 * given.problem.nk + 2] = 0;
    f = layer_facts(&given);
    toeplitz(cx, &f->head[0], 0, o);
    CHECK(isnan(o[LOGIT]) && isnan(o[LOGIT_NEAR]) && o[WEIGHT] > 0);
    layer_drop(&m);
    layer_drop(&some);
    layer_drop(&given);
}

/* Only the distance counts (ALiBi with equal queries): all but the first rows agree. */
static void a_bias_is_explained(atn_ctx *cx)
{
    layer_model m = layer_make(cx, 0);
    float slope[LAYER_HEADS] = {.5f, .5f, .5f, .5f};
    const atn_layer_facts *f;
    double o[COLS], late[COLS];

    memset(m.q, 0, (size_t)(LAYER_HEADS * m.n * m.problem.d) * sizeof *m.q);
    m.problem.alibi_slope = slope;
    f = layer_facts(&m);
    toeplitz(cx, &f->head[0], 0, o);
    toeplitz(cx, &f->head[0], 20, late);
    CHECK_LE(.99, o[LOGIT]);
    CHECK_LE(o[LOGIT], late[LOGIT]);
    CHECK_NEAR(late[LOGIT], 1, 1e-6);
    CHECK_NEAR(late[WEIGHT], 1, 1e-6);
    layer_drop(&m);
}

CHECK_MAIN({"golden", golden}, {"dense twin", dense_twin},
           {"what has no share", what_has_no_share},
           {"a bias is explained", a_bias_is_explained})
