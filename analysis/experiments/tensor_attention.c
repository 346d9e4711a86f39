/* analysis/experiments/tensor_attention.c -- third-order attention: features against
 * the polynomial of every logit, errors against what factors allow, and Match-3 in
 * three precisions.
 *
 * Math    theory/polynomials.c. Random Q, K, V of N tokens; every tuple by itself here,
 *         against approx/tensor.h. Match-3: q = (cos, -cos, -sin, -sin)(a_i), k1 =
 *         (cos, sin, cos, sin)(a_j), k2 = (cos, sin, sin, cos)(a_k), times c.
 * Oracle  M = 101, x_i = 3 i^2 + 5 i + 7, n = 8: matches at 0, 5, 7; with logits in
 *         bf16 the answer is wrong.
 * Cost    some n^3 with n = 24, once.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#include <float.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "analysis/experiments/worst.h"
#include "approx/tensor.h"
#include "core/kernels/kernels.h"
#include "core/mat.h"
#include "core/rng.h"

extern const atn_experiment atn_experiment_tensor_attention;

enum { N = 24, D = 4, CASES = 4 };

/* ---- features ---- */

typedef struct scene {
    atn_tensor t;
    double x[5][N * D]; /* Q, K1, K2, V1, V2 */
} scene;

static void random_scene(uint64_t seed, int trial, scene *s)
{
    atn_rng r = atn_rng_stream(seed, "tensor_attention", trial, 0);

    *s = (scene){.t = {.keys = 2, .nq = N, .nk = N, .d = D, .dv = D}};
    s->t.causal = trial % 2;
    s->t.scale = (0.5 + 0.5 * trial) / D;
    for (int k = 0; k < 5; k++)
        for (int i = 0; i < N * D; i++) s->x[k][i] = 2 * atn_rng_uniform(&r) - 1;
    s->t.q.wide = s->x[0];
    for (int k = 0; k < 2; k++) {
        s->t.k[k].wide = s->x[1 + k];
        s->t.v[k].wide = s->x[3 + k];
    }
}

static double logit(const scene *s, atn_idx i, atn_idx j, atn_idx k)
{
    double z = 0;

    for (int l = 0; l < D; l++)
        z += s->x[0][i * D + l] * s->x[1][j * D + l] * s->x[2][k * D + l];
    return s->t.scale * z;
}

static double taylor(int degree, double z)
{
    double sum = 1;

    for (int m = degree; m >= 1; m--) sum = 1 + sum * z / m;
    return sum;
}

/* Of row i: the outputs of e^z and of the polynomial, the largest |z|, the largest
 * relative error, and the range of products of values. */
typedef struct row {
    double exact[D], poly[D], x, e, range[D];
} row;

static void every_tuple(const scene *s, atn_idx i, int degree, row *r)
{
    const atn_idx seen = s->t.causal ? i + 1 : N;
    double den[2] = {0}, low[D], high[D];

    *r = (row){.x = 0};
    for (int l = 0; l < D; l++) low[l] = INFINITY, high[l] = -INFINITY;
    for (atn_idx c = 0; c < seen * seen; c++) {
        const atn_idx j = c / seen, k = c % seen;
        const double z = logit(s, i, j, k), a = exp(z), b = taylor(degree, z);

        den[0] += a;
        den[1] += b;
        r->x = fmax(r->x, fabs(z));
        r->e = fmax(r->e, fabs(b / a - 1));
        for (int l = 0; l < D; l++) {
            const double v = s->x[3][j * D + l] * s->x[4][k * D + l];

            r->exact[l] += a * v;
            r->poly[l] += b * v;
            low[l] = fmin(low[l], v);
            high[l] = fmax(high[l], v);
        }
    }
    for (int l = 0; l < D; l++) {
        r->exact[l] /= den[0];
        r->poly[l] /= den[1];
        r->range[l] = high[l] - low[l];
    }
}

/* What doubles make of T_g(z) e^-z: terms of e^X, less than e^-X is left of. */
static double rounding_of(double x)
{
    return 100 * DBL_EPSILON * exp(2 * x) / 1e-9;
}

static atn_status check_degree(atn_ctx *cx, const scene *s, int degree, atn_checks *out)
{
    const atn_bound *error = &atn_bound_tensor_error;
    const atn_bound *entry = &atn_bound_taylor_error;
    atn_check same = {.bound = &atn_bound_tensor_features}, c;
    const atn_bound *fall = &atn_bound_taylor_fall;
    atn_worst w = {0}, of_entries = {0}, of_fall = {0};
    char variant[64];
    double o[N * D];
    atn_status st = ATN_OK;

    ATN_TRY(atn_tensor_features(cx, &s->t, degree, o, NULL));
    for (atn_idx i = 0; i < N; i++) {
        row r, before;

        every_tuple(s, i, degree, &r);
        every_tuple(s, i, degree - 2, &before);
        atn_worst_take(&of_fall, ATN_AT_MOST,
                       atn_bound_predict(
                           fall, &(atn_quantities){.x = {degree - 2, r.x, before.e}}),
                       r.e, rounding_of(r.x));
        atn_worst_take(&of_entries, ATN_AT_MOST,
                       atn_bound_predict(entry, &(atn_quantities){.x = {degree, r.x}}),
                       r.e, rounding_of(r.x));
        for (int l = 0; l < D; l++) {
            same.measured = fmax(same.measured, fabs(o[i * D + l] - r.poly[l]));
            atn_worst_take(
                &w, ATN_AT_MOST,
                atn_bound_predict(error, &(atn_quantities){.x = {r.e, r.range[l]}}),
                fabs(o[i * D + l] - r.exact[l]), 1e-4);
        }
    }
    same.predicted = atn_bound_predict(same.bound, &(atn_quantities){.x = {0}});
    snprintf(variant, sizeof variant, "%s, scale %.3g, degree %d",
             s->t.causal ? "causal" : "full", s->t.scale, degree);
    snprintf(same.variant, sizeof same.variant, "%s", variant);
    ATN_TRY(atn_checks_add(cx, out, &same));
    c = atn_worst_check(&w, error, variant);
    ATN_TRY(atn_checks_add(cx, out, &c));
    c = atn_worst_check(&of_entries, entry, variant);
    ATN_TRY(atn_checks_add(cx, out, &c));
    c = atn_worst_check(&of_fall, fall, variant);
    ATN_TRY(atn_checks_add(cx, out, &c));
done:
    return st;
}

/* ---- Match-3 ---- */

typedef enum precision { AS_DOUBLE, AS_FLOAT, AS_BF16, PRODUCT, PRECISIONS } precision;
static const char *const precisions[PRECISIONS] = {
    "logits in float64", "logits in float32", "logits in bfloat16", "float32 products"};

typedef struct match {
    int n, modulus;
    int64_t x[N];
    bool hit[N];
    double c, null; /* factor, and logit of the null tuple */
    double q[N * D], k1[N * D], k2[N * D];
} match;

static void make_match(match *m)
{
    const double turn = 2 * acos(-1) / m->modulus, gap = 1 - cos(turn);

    m->c = 2 / gap * (2 * log(m->n) + log(4));
    m->null = m->c * (1 - gap / 2);
    for (int i = 0; i < m->n; i++) {
        const double a = turn * (double)m->x[i], c = cos(a), s = sin(a);

        memcpy(m->q + i * D, (double[]){c, -c, -s, -s}, D * sizeof(double));
        memcpy(m->k1 + i * D, (double[]){c, s, c, s}, D * sizeof(double));
        memcpy(m->k2 + i * D, (double[]){c, s, s, c}, D * sizeof(double));
        m->hit[i] = false;
        for (int j = 0; j < m->n; j++)
            for (int k = 0; k < m->n; k++)
                if ((m->x[i] + m->x[j] + m->x[k]) % m->modulus == 0) m->hit[i] = true;
    }
}

static double rounded(double z, precision p)
{
    if (p == AS_FLOAT) return (double)(float)z;
    if (p == AS_BF16)
        return (double)atn_bits_float((uint32_t)atn_bf16_from_f32((float)z) << 16);
    return z;
}

/* Logits rounded, softmax in double; e^null is taken out. */
static void by_logits(const match *m, precision p, double *o)
{
    const double null = rounded(m->null, p);

    for (int i = 0; i < m->n; i++) {
        double num = 0;

        for (int c = 0; c < m->n * m->n; c++) {
            const double *k1 = m->k1 + c / m->n * D, *k2 = m->k2 + c % m->n * D;
            double z = 0;

            for (int l = 0; l < D; l++) z += m->q[i * D + l] * k1[l] * k2[l];
            num += exp(rounded(m->c * z, p) - null);
        }
        o[i] = num / (1 + num);
    }
}

/* By the library, in float32 or double. */
static atn_status by_library(atn_ctx *cx, const match *m, bool wide, double *o)
{
    float narrow[3][N * D], one[N];
    double ones[N];
    atn_tensor t = {.keys = 2, .nq = m->n, .nk = m->n, .d = D, .dv = 1, .scale = m->c};

    for (int i = 0; i < m->n; i++) one[i] = 1, ones[i] = 1;
    for (int i = 0; i < m->n * D; i++) {
        narrow[0][i] = (float)m->q[i];
        narrow[1][i] = (float)m->k1[i];
        narrow[2][i] = (float)m->k2[i];
    }
    t.has_null = true;
    t.null_logit = m->null;
    t.q = wide ? (atn_reals){.wide = m->q} : (atn_reals){.narrow = narrow[0]};
    t.k[0] = wide ? (atn_reals){.wide = m->k1} : (atn_reals){.narrow = narrow[1]};
    t.k[1] = wide ? (atn_reals){.wide = m->k2} : (atn_reals){.narrow = narrow[2]};
    t.v[0] = t.v[1] = wide ? (atn_reals){.wide = ones} : (atn_reals){.narrow = one};
    return atn_tensor_exact(cx, &t, &(atn_tensor_out){.o = o});
}

/* Outputs of all tokens against what theory says where there is a match, or none. */
static atn_status check_sides(atn_ctx *cx, const match *m, const double *o,
                              const char *variant, atn_checks *out)
{
    static const atn_bound *const bounds[] = {&atn_bound_match3_miss,
                                              &atn_bound_match3_hit};
    atn_status st = ATN_OK;

    for (int hit = 0; hit < 2; hit++) {
        const atn_bound *b = bounds[hit];
        atn_worst w = {0};
        atn_check c;

        for (int i = 0; i < m->n; i++)
            if (m->hit[i] == (hit == 1))
                atn_worst_take(&w, b->relation,
                               atn_bound_predict(b, &(atn_quantities){.x = {m->n}}),
                               o[i], 1);
        if (w.cases == 0) continue;
        c = atn_worst_check(&w, b, variant);
        ATN_TRY(atn_checks_add(cx, out, &c));
    }
done:
    return st;
}

static atn_status check_match(atn_ctx *cx, const match *m, atn_checks *out)
{
    char variant[64];
    double o[N];
    atn_status st = ATN_OK;

    for (int p = 0; p < PRECISIONS; p++) {
        atn_check c = {.bound = &atn_bound_match3_indicator, .cases = m->n};

        if (p == AS_DOUBLE || p == PRODUCT)
            ATN_TRY(by_library(cx, m, p == AS_DOUBLE, o));
        else
            by_logits(m, (precision)p, o);
        for (int i = 0; i < m->n; i++) c.failures += (o[i] > 0.5) != m->hit[i];
        c.measured = (double)c.failures;
        c.predicted = atn_bound_predict(c.bound, &(atn_quantities){.x = {0}});
        c.only_report = p == AS_BF16;
        snprintf(variant, sizeof variant, "M %d, n %d, %s", m->modulus, m->n,
                 precisions[p]);
        snprintf(c.variant, sizeof c.variant, "%s", variant);
        if (p == AS_BF16)
            snprintf(c.note, sizeof c.note,
                     "logits near %.0f are off by %.3g, the gap is ln(4 n^2) = %.3g",
                     m->c, m->c / 256, log(4.0 * m->n * m->n));
        ATN_TRY(atn_checks_add(cx, out, &c));
        if (p == AS_DOUBLE) ATN_TRY(check_sides(cx, m, o, variant, out));
    }
done:
    return st;
}

static atn_status once(atn_ctx *cx, const atn_trial_model *t, atn_checks *out)
{
    static const int tokens[] = {8, 5, 16, 24}, modulus[] = {101, 7, 1009, 255};
    atn_rng r = atn_rng_stream(t->seed, "match3", 0, 0);
    atn_status st = ATN_OK;
    scene s;

    for (int trial = 0; trial < CASES; trial++) {
        random_scene(t->seed, trial, &s);
        for (int degree = 2; degree <= 8; degree += 2)
            ATN_TRY(check_degree(cx, &s, degree, out));
    }
    for (int k = 0; k < CASES; k++) {
        match m = {.n = tokens[k], .modulus = modulus[k]};

        for (int i = 0; i < m.n; i++)
            m.x[i] = k == 0 ? (3 * i * i + 5 * i + 7) % 101
                            : (int64_t)(atn_rng_uniform(&r) * m.modulus);
        make_match(&m);
        ATN_TRY(check_match(cx, &m, out));
    }
done:
    return st;
}

const atn_experiment atn_experiment_tensor_attention = {
    .id = "tensor_attention",
    .label = "V18",
    .title = "Third-order attention",
    .text = "features against every tuple, errors, and Match-3 in three precisions",
    .source = "Alman and Song, arXiv 2310.04064; Sanford et al., arXiv 2306.02896",
    .once = once,
    .bounds =
        "tensor_features tensor_error taylor_error taylor_fall match3_hit match3_miss "
        "match3_indicator",
};
