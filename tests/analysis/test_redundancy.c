/* tests/analysis/test_redundancy.c -- redundancy of heads. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "layer_model.h"

enum {
    MAP,
    CKA,
    CKA_DEBIASED,
    LEAVE_OUT,
    EXPLAINED,
    KEEP_ONE,
    GAIN,
    CKA_C,
    CKA_C_DEBIASED,
    COLS
};

/* Card A8: outputs 1, 1, 2 through (1,0), (1,0), (0,1) give C = (1,0), (1,0), (0,2), 1'Gamma1 = 8. */
static void golden(atn_ctx *cx)
{
    const float out32[] = {1, 1, 2}, w_o[] = {1, 0, 1, 0, 0, 1}, p1[] = {1, 1, 1};
    const bool keep[] = {true, true, true};
    const atn_problem p = {
        .heads = 3, .kv_heads = 3, .nq = 1, .nk = 1, .dv = 1, .p = p1};
    atn_head h[3];
    const atn_layer_facts f = {.problem = &p,
                               .head = h,
                               .heads = 3,
                               .keep = keep,
                               .out = out32,
                               .w_o = w_o,
                               .width = 2};
    const double want[3][4] = {
        {sqrt(.125), 1, .5, 2}, {sqrt(.125), 1, .5, 2}, {sqrt(.5), 0, .5, 1}};
    double out[3 * COLS];

    for (int a = 0; a < 3; a++) {
        h[a] = atn_problem_head(&p, a);
        h[a].sight.key_last = 1;
    }
    layer_measure(cx, &f, "redundancy", "", out);
    for (int a = 0; a < 3; a++) {
        CHECK_NEAR(out[a * COLS + LEAVE_OUT], want[a][0], 1e-12);
        CHECK_NEAR(out[a * COLS + EXPLAINED], want[a][1], 1e-6);
        CHECK_NEAR(out[a * COLS + KEEP_ONE], want[a][2], 1e-12);
        CHECK_NEAR(out[a * COLS + GAIN], want[a][3], 1e-12);
        CHECK_NEAR(out[a * COLS + MAP], 1, 1e-12);
        CHECK(isnan(out[a * COLS + CKA])); /* one row has no variation */
    }
}

static double dense_cosine(const layer_model *m, atn_idx a, atn_idx b)
{
    const atn_idx nk = m->problem.nk, each = m->n * nk;
    double ab = 0, aa = 0, bb = 0;

    for (atn_idx i = 0; i < each; i++) {
        if (!layer_stays(m, i / nk)) continue;
        ab += m->p[a * each + i] * m->p[b * each + i];
        aa += m->p[a * each + i] * m->p[a * each + i];
        bb += m->p[b * each + i] * m->p[b * each + i];
    }
    return ab / sqrt(aa * bb);
}

/* |Y'X|_F^2 of centred outputs, over the rows that count. */
static double dense_product(const layer_model *m, atn_idx a, atn_idx b)
{
    const atn_idx dv = m->problem.dv;
    double sum = 0, n = 0;

    for (atn_idx i = 0; i < m->n; i++) n += layer_counts(m, i);
    for (atn_idx c = 0; c < dv; c++)
        for (atn_idx e = 0; e < dv; e++) {
            double x = 0, y = 0, xy = 0;

            for (atn_idx i = 0; i < m->n; i++) {
                const double u = m->out[(a * m->n + i) * dv + c];
                const double w = m->out[(b * m->n + i) * dv + e];

                if (!layer_counts(m, i)) continue;
                x += u / n;
                y += w / n;
                xy += u * w;
            }
            sum += (xy - n * x * y) * (xy - n * x * y);
        }
    return sum;
}

/* The same of contributions. */
static double dense_product_c(const layer_model *m, atn_idx a, atn_idx b)
{
    double sum = 0, n = 0;

    for (atn_idx i = 0; i < m->n; i++) n += layer_counts(m, i);
    for (atn_idx c = 0; c < m->facts.width; c++)
        for (atn_idx e = 0; e < m->facts.width; e++) {
            double x = 0, y = 0, xy = 0;

            for (atn_idx i = 0; i < m->n; i++) {
                const double u = layer_contribution(m, a, i, c);
                const double w = layer_contribution(m, b, i, e);

                if (!layer_counts(m, i)) continue;
                x += u / n;
                y += w / n;
                xy += u * w;
            }
            sum += (xy - n * x * y) * (xy - n * x * y);
        }
    return sum;
}

static double dense_gram(const layer_model *m, atn_idx a, atn_idx b)
{
    double sum = 0;

    for (atn_idx i = 0; i < m->n; i++)
        for (atn_idx c = 0; layer_stays(m, i) && c < m->facts.width; c++)
            sum += layer_contribution(m, a, i, c) * layer_contribution(m, b, i, c);
    return sum;
}

/* R^2 by fitting: Gauss-Jordan on the normal equations of the other three heads. */
static double dense_explained(const layer_model *m, atn_idx h)
{
    enum { N = LAYER_HEADS - 1 };
    double a[N][N + 1], sum = 0;
    atn_idx of[N], n = 0;

    for (atn_idx i = 0; i < LAYER_HEADS; i++)
        if (i != h) of[n++] = i;
    for (int i = 0; i < N; i++) {
        for (int j = 0; j < N; j++) a[i][j] = dense_gram(m, of[i], of[j]);
        a[i][N] = dense_gram(m, of[i], h);
    }
    for (int i = 0; i < N; i++)
        for (int r = 0; r < N; r++) {
            const double x = a[r][i] / a[i][i];
            for (int j = 0; r != i && j <= N; j++) a[r][j] -= x * a[i][j];
        }
    for (int i = 0; i < N; i++) sum += a[i][N] / a[i][i] * dense_gram(m, of[i], h);
    return sum / dense_gram(m, h, h);
}

static void check_head(const layer_model *m, atn_idx h, const double *o)
{
    double map = 0, cka = 0, cka_c = 0, total = 0, with = 0;

    for (atn_idx b = 0; b < LAYER_HEADS; b++) {
        if (b == h) continue;
        map += dense_cosine(m, h, b) / (LAYER_HEADS - 1);
        cka += dense_product(m, h, b) /
               sqrt(dense_product(m, h, h) * dense_product(m, b, b)) /
               (LAYER_HEADS - 1);
        if (m->facts.w_o)
            cka_c += dense_product_c(m, h, b) /
                     sqrt(dense_product_c(m, h, h) * dense_product_c(m, b, b)) /
                     (LAYER_HEADS - 1);
    }
    CHECK_NEAR(o[MAP], map, 2e-6);
    CHECK(m->n > 1 || isnan(o[CKA]));
    if (m->n > 1) CHECK_NEAR(o[CKA], cka, 2e-6);
    if (m->n > 1) CHECK(o[CKA_DEBIASED] >= -1 && o[CKA_DEBIASED] < o[CKA]);
    CHECK(isnan(o[CKA_C]) == (m->n == 1 || !m->facts.w_o));
    if (!isnan(o[CKA_C])) {
        CHECK_NEAR(o[CKA_C], cka_c, 1e-5);
        CHECK(o[CKA_C_DEBIASED] >= -1 && o[CKA_C_DEBIASED] < o[CKA_C]);
    }
    if (!m->facts.w_o) {
        CHECK(isnan(o[LEAVE_OUT]) && isnan(o[EXPLAINED]) && isnan(o[KEEP_ONE]));
        return;
    }
    for (atn_idx a = 0; a < LAYER_HEADS; a++) with += dense_gram(m, h, a);
    for (atn_idx a = 0; a < LAYER_HEADS; a++)
        for (atn_idx b = 0; b < LAYER_HEADS; b++) total += dense_gram(m, a, b);
    CHECK_NEAR(o[LEAVE_OUT], sqrt(dense_gram(m, h, h) / total), 2e-6);
    CHECK_NEAR(o[EXPLAINED], dense_explained(m, h), 2e-6);
    CHECK_NEAR(o[KEEP_ONE], with * with / total / dense_gram(m, h, h), 2e-6);
    CHECK_NEAR(o[GAIN], with / dense_gram(m, h, h), 1e-5);
}

static void dense_twin(atn_ctx *cx)
{
    for (int kind = 0; kind < LAYER_KINDS; kind++) {
        layer_model m = layer_make(cx, kind);
        const atn_layer_facts *f = layer_facts(&m);
        double out[LAYER_HEADS * COLS];

        print_message("%s\n", layer_kind_name(kind));
        m.facts.skip_rows = kind == 0 || kind == 10 ? 5 : 0;
        m.keep[1] = kind != 3;
        layer_measure(cx, f, "redundancy", "", out);
        for (atn_idx h = 0; h < LAYER_HEADS; h++)
            if (m.keep[h])
                check_head(&m, h, out + h * COLS);
            else
                for (int c = 0; c < COLS; c++) CHECK(isnan(out[h * COLS + c]));
        layer_drop(&m);
    }
}

/* Head 2 becomes head 0 in all but its values, which are half as large. */
static void equal_heads_explain_one_another(atn_ctx *cx)
{
    layer_model m = layer_make(cx, 0);
    const atn_problem *p = &m.problem;
    const atn_idx q = m.n * p->d, v = m.n * p->dv, w = p->dv * m.facts.width;
    const atn_layer_facts *f = layer_facts(&m);
    double out[LAYER_HEADS * COLS];

    memcpy(m.q + 2 * q, m.q, (size_t)q * sizeof *m.q);
    memcpy(m.k + 2 * q, m.k, (size_t)q * sizeof *m.k);
    memcpy(m.w_o + 2 * w, m.w_o, (size_t)w * sizeof *m.w_o);
    for (atn_idx i = 0; i < v; i++) m.v[2 * v + i] = .5f * m.v[i];
    layer_dense(&m);
    layer_measure(cx, f, "redundancy", "", out);
    CHECK_NEAR(out[EXPLAINED], 1, 1e-6);
    CHECK_NEAR(out[2 * COLS + EXPLAINED], 1, 1e-6);
    CHECK_LE(out[COLS + EXPLAINED], .9);
    CHECK_LE(out[COLS + CKA_C], out[CKA_C]);
    CHECK_NEAR(out[LEAVE_OUT], 2 * out[2 * COLS + LEAVE_OUT], 1e-6);
    layer_drop(&m);
}

/* A head that adds nothing; then a layer that adds nothing. */
static void heads_without_output(atn_ctx *cx)
{
    layer_model m = layer_make(cx, 0);
    const atn_layer_facts *f = layer_facts(&m);
    const atn_idx each = m.n * m.problem.dv;
    double out[LAYER_HEADS * COLS];

    memset(m.out32 + each, 0, (size_t)each * sizeof *m.out32);
    layer_measure(cx, f, "redundancy", "", out);
    CHECK_NEAR(out[COLS + EXPLAINED], 1, 0);
    CHECK_NEAR(out[COLS + LEAVE_OUT], 0, 0);
    CHECK_NEAR(out[COLS + KEEP_ONE], 0, 0);
    CHECK(isnan(out[COLS + GAIN]) && isnan(out[COLS + CKA]));
    CHECK(!isnan(out[CKA]) && out[EXPLAINED] < 1);
    memset(m.out32, 0, (size_t)(LAYER_HEADS * each) * sizeof *m.out32);
    layer_measure(cx, f, "redundancy", "", out);
    CHECK_NEAR(out[EXPLAINED], 1, 0);
    CHECK_NEAR(out[LEAVE_OUT], 0, 0);
    layer_drop(&m);
}

static void a_layer_of_one_head(atn_ctx *cx)
{
    layer_model m = layer_make(cx, 0);
    const atn_layer_facts *f;
    double out[COLS];

    m.problem.heads = m.problem.kv_heads = 1;
    f = layer_facts(&m);
    layer_measure(cx, f, "redundancy", "", out);
    CHECK(isnan(out[MAP]) && isnan(out[CKA]) && isnan(out[CKA_DEBIASED]));
    CHECK_NEAR(out[LEAVE_OUT], 1, 1e-12);
    CHECK_NEAR(out[KEEP_ONE], 1, 1e-12);
    CHECK_NEAR(out[GAIN], 1, 1e-12);
    CHECK_NEAR(out[EXPLAINED], 0, 0);
    layer_drop(&m);
}

static void threads_do_not_matter(atn_ctx *cx)
{
    layer_model m = layer_make(cx, 5);
    const atn_layer_facts *f = layer_facts(&m);
    double one[LAYER_HEADS * COLS], four[LAYER_HEADS * COLS];

    cx->threads = 1;
    layer_measure(cx, f, "redundancy", "", one);
    cx->threads = 4;
    layer_measure(cx, f, "redundancy", "", four);
    CHECK(memcmp(one, four, sizeof one) == 0);
    layer_drop(&m);
}

CHECK_MAIN({"golden", golden}, {"dense twin", dense_twin},
           {"equal heads explain one another", equal_heads_explain_one_another},
           {"heads without output", heads_without_output},
           {"a layer of one head", a_layer_of_one_head},
           {"threads do not matter", threads_do_not_matter})
