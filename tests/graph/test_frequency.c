/* tests/graph/test_frequency.c -- slow and fast signals, the graph's spectrum. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "check.h"

#include "analysis/layer_model.h"
#include "core/linalg.h"
#include "graph/frequency.h"

static const float F4[] = {1,   0,   0,   0, .5f, .5f,  0,   0,
                           .2f, .3f, .5f, 0, .1f, .15f, .5f, .25f};
static const float H4[] = {1,   0,   0,   0, .5f, .5f, 0,   0,
                           .2f, .3f, .5f, 0, .1f, .4f, .2f, .3f};
static const float X4[] = {1, 0, 0, 1, 1, 1, -1, 0};

static atn_head given(const float *p, atn_idx n, bool causal)
{
    return (atn_head){.p = {p, n, n, n},
                      .nq = n,
                      .nk = n,
                      .sight = {.causal = causal, .key_last = n}};
}

/* The sums that frequencies need; heap memory, one block. */
typedef struct sums {
    double *block;
    float *pf;
    atn_edge_want want;
    atn_edge_sums s;
    atn_features f;
} sums;

static sums walk(atn_ctx *cx, const atn_head *h, atn_cmat x, bool self)
{
    sums a = {.block = malloc((size_t)(3 * h->nq + h->nk) * sizeof(double)),
              .pf = malloc((size_t)(h->nq * 2 * x.cols) * sizeof(float))};

    CHECK_OK(atn_features_make(cx, h, x, false, &a.f));
    a.want =
        (atn_edge_want){.self = self, .f = {a.f.factor, h->nk, 2 * x.cols, 2 * x.cols}};
    a.s = (atn_edge_sums){.self = a.block,
                          .mass = a.block + h->nq,
                          .square = a.block + 2 * h->nq,
                          .columns = a.block + 3 * h->nq,
                          .pf = a.pf};
    CHECK_OK(atn_edge_walk(cx, h, &a.want, &a.s));
    return a;
}

static void drop(sums *a)
{
    free(a->block);
    free(a->pf);
}

static atn_frequency frequency(atn_ctx *cx, const atn_head *h, atn_cmat x, bool self)
{
    const atn_arena_mark mark = atn_arena_save(cx);
    sums a = walk(cx, h, x, self);
    atn_frequency f;

    CHECK_OK(atn_frequency_of(cx, h, &a.f, &a.want, &a.s, &f));
    drop(&a);
    atn_arena_rewind(cx, mark);
    return f;
}

static double rayleigh(atn_ctx *cx, const atn_head *h, atn_cmat x)
{
    const atn_arena_mark mark = atn_arena_save(cx);
    sums a = walk(cx, h, x, true);
    double degree[2048], r;

    atn_graph_degrees(h, &a.s, degree);
    CHECK_OK(atn_graph_rayleigh(cx, h, x, degree, &r));
    drop(&a);
    atn_arena_rewind(cx, mark);
    return r;
}

static void uniform_causal(float *p, int n)
{
    for (int i = 0; i < n; i++)
        for (int j = 0; j < n; j++) p[i * n + j] = j <= i ? 1.0f / (float)(i + 1) : 0;
}

/* ---- golden ---- */

/* Means of 1..i: HC halves; ratios sqrt(42 / (8 4.5^2)) and sqrt(10.5 / (8 2.75^2)).
 * The residual of 1..8 has row sums up to 3.5 and column sum 16. */
static void uniform_rows(atn_ctx *cx)
{
    float p[64] = {0}, x[8];
    const atn_head h = given(p, 8, true);
    atn_frequency f;
    atn_worst_gain w;

    uniform_causal(p, 8);
    for (int i = 0; i < 8; i++) x[i] = (float)(i + 1);
    f = frequency(cx, &h, (atn_cmat){x, 8, 1, 1}, true);
    CHECK_NEAR(f.ratio_in, .509175, 5e-7);
    CHECK_NEAR(f.ratio_out, .416598, 5e-7);
    CHECK_NEAR(f.gain, .5, 1e-6);
    CHECK_NEAR(f.keep_lambda, 1, 1e-5);
    CHECK_NEAR(f.residual_in, sqrt(16 * 3.5), 1e-6);
    CHECK_NEAR(f.residual_out, sqrt(8 * 1.75), 1e-6);
    /* |P|^2 = 2.717857, less |J|^2 = 1 */
    CHECK_NEAR(f.high_norm, sqrt(1.717857), 1e-6);
    CHECK_OK(atn_graph_worst_gain(cx, &h, 40, &w));
    CHECK_NEAR(w.value, .842756, 2e-6);
    CHECK_LE(w.residual, 1e-4);
}

static void worst_gain_of_a_matrix(atn_ctx *cx)
{
    const atn_head h = given(F4, 4, true);
    atn_worst_gain w;

    CHECK_OK(atn_graph_worst_gain(cx, &h, 20, &w));
    CHECK_NEAR(w.value, .848458, 2e-6);
}

static void mean_and_identity(atn_ctx *cx)
{
    float mean[25] = {0}, identity[25] = {0}, x[10];
    const atn_head m = given(mean, 5, false), id = given(identity, 5, true);
    const atn_cmat signals = {x, 5, 2, 2};
    atn_frequency f;
    atn_worst_gain w;

    for (int i = 0; i < 25; i++) mean[i] = .2f;
    for (int i = 0; i < 5; i++) identity[6 * i] = 1;
    for (int i = 0; i < 10; i++) x[i] = (float)sin(3 * i) + (float)i;
    f = frequency(cx, &m, signals, true);
    CHECK_NEAR(f.ratio_out, 0, 1e-6);
    CHECK_NEAR(f.gain, 0, 1e-6);
    CHECK_NEAR(f.high_norm, 0, 1e-3);
    CHECK_OK(atn_graph_worst_gain(cx, &m, 20, &w));
    CHECK_NEAR(w.value, 0, 1e-3);
    f = frequency(cx, &id, signals, true);
    CHECK_NEAR(f.gain, 1, 1e-7);
    CHECK_NEAR(f.ratio_in, f.ratio_out, 1e-7);
    CHECK_NEAR(f.residual_in, f.residual_out, 1e-6);
    CHECK_NEAR(f.high_norm, 2, 1e-6);
    CHECK_OK(atn_graph_worst_gain(cx, &id, 20, &w));
    CHECK_NEAR(w.value, 1, 1e-5);
    CHECK_NEAR(rayleigh(cx, &id, signals), 0, 1e-7);
}

/* Two equal rows have the same mean; row 1, which sees keys without weight, is none of
 * them in any value. */
static void rows_without_weight(atn_ctx *cx)
{
    const float p[] = {1, 0, 0, 0, 0, 0, 1, 0, 0}, x[] = {3, 1, 2};
    const atn_head h = given(p, 3, false);
    atn_worst_gain w;

    CHECK_NEAR(frequency(cx, &h, (atn_cmat){x, 3, 1, 1}, true).gain, 0, 1e-7);
    CHECK_OK(atn_graph_worst_gain(cx, &h, 20, &w));
    CHECK_NEAR(w.value, 0, 1e-3);
}

/* On the edge of a bin but for rounding: in the upper one, and 2 in the last. */
static void bins_of_eigenvalues(atn_ctx *cx)
{
    (void)cx;
    CHECK_EQ(atn_graph_bin_of(1 - 1e-12, 8, ATN_GRAPH_EDGE_EXACT), 4);
    CHECK_EQ(atn_graph_bin_of(1 + 1e-12, 8, ATN_GRAPH_EDGE_EXACT), 4);
    CHECK_EQ(atn_graph_bin_of(1 - 1e-6, 8, ATN_GRAPH_EDGE_EXACT), 3);
    CHECK_EQ(atn_graph_bin_of(1 - 1e-6, 8, ATN_GRAPH_EDGE_STREAMED), 4);
    CHECK_EQ(atn_graph_bin_of(-1e-7, 8, ATN_GRAPH_EDGE_EXACT), 0);
    CHECK_EQ(atn_graph_bin_of(2, 8, ATN_GRAPH_EDGE_EXACT), 7);
}

/* The graph needs no signals: its ends and counts are there without. */
static void graph_without_signals(atn_ctx *cx)
{
    const atn_head h = given(H4, 4, true);

    for (int dense = 0; dense < 2; dense++) {
        const atn_graph_opts o = {
            .bins = 4, .dense = 100 * dense, .steps = 4, .edge = .45};
        atn_graph_spectrum with, s;

        CHECK_OK(atn_graph_spectrum_run(cx, &h, (atn_cmat){X4, 4, 2, 2}, &o, &with));
        CHECK_OK(atn_graph_spectrum_run(cx, &h, (atn_cmat){0}, &o, &s));
        CHECK_NEAR(s.second, with.second, 0);
        CHECK_NEAR(s.largest, with.largest, 0);
        CHECK_NEAR(s.second, .404287, 1e-5);
        CHECK_EQ(s.components, 3);
        CHECK(isnan(s.low_share) && isnan(s.low_share_out));
        CHECK_EQ(isnan(s.zeros), !dense);
        for (int b = 0; b < 4; b++) {
            CHECK(isnan(s.bin[b].energy) && isnan(s.bin[b].response));
            if (dense) CHECK_EQ(s.bin[b].count, with.bin[b].count);
        }
        atn_graph_spectrum_release(cx, &s);
        atn_graph_spectrum_release(cx, &with);
    }
}

static void graph_of_a_matrix(atn_ctx *cx)
{
    static const double value[] = {0, .404287, .573079, .804029};
    const atn_head h = given(H4, 4, true);
    const atn_cmat x = {X4, 4, 2, 2};
    const atn_graph_opts o = {.bins = 0, .dense = 100, .steps = 10, .edge = .45};
    atn_graph_spectrum s;
    double quotient = 0;

    CHECK_NEAR(rayleigh(cx, &h, x), .414693, 5e-7);
    CHECK_OK(atn_graph_spectrum_run(cx, &h, x, &o, &s));
    CHECK_EQ(s.n, 4);
    for (int k = 0; k < 4; k++) {
        CHECK_NEAR(s.bin[k].low, value[k], 5e-7);
        CHECK_EQ(s.bin[k].count, 1);
        quotient += s.bin[k].low * s.bin[k].energy;
    }
    CHECK_NEAR(quotient, .414693, 5e-7);
    CHECK_NEAR(s.second, .404287, 5e-7);
    CHECK_NEAR(s.largest, .804029, 5e-7);
    CHECK_EQ(s.zeros, 1);
    CHECK_EQ(s.components, 3); /* .5 joins 0 and 1 alone; 2 and 3 hold themselves */
    CHECK_NEAR(s.low_share, 1, 1e-12);
    atn_graph_spectrum_release(cx, &s);
}

/* D^1/2 1 is the signal without frequency: quotient 0, all energy in the first bin. */
static void constant_of_the_graph(atn_ctx *cx)
{
    const atn_head h = given(H4, 4, true);
    const atn_graph_opts o = {.bins = 8, .dense = 100, .steps = 10, .edge = .01};
    float x[4];
    double degree[4];
    atn_graph_spectrum s;
    sums a = walk(cx, &h, (atn_cmat){X4, 4, 2, 2}, true);

    atn_graph_degrees(&h, &a.s, degree);
    CHECK_NEAR(degree[0], (1 + 1.8) / 2, 1e-6);
    for (int i = 0; i < 4; i++) x[i] = (float)sqrt(degree[i]);
    CHECK_NEAR(rayleigh(cx, &h, (atn_cmat){x, 4, 1, 1}), 0, 1e-6);
    CHECK_OK(atn_graph_spectrum_run(cx, &h, (atn_cmat){x, 4, 1, 1}, &o, &s));
    CHECK_EQ(s.n, 8);
    CHECK_NEAR(s.bin[0].energy, 1, 1e-6);
    CHECK_EQ(s.components, 1);
    for (int b = 1; b < 8; b++) CHECK(!(s.bin[b].energy > 1e-6));
    atn_graph_spectrum_release(cx, &s);
    drop(&a);
}

/* ---- twins ---- */

typedef struct dense {
    double p[LAYER_MOST * LAYER_MOST], x[LAYER_MOST * 8], out[LAYER_MOST * 8];
} dense;

/* |HC|, |DC|, largest sums of columns and rows of the rows in `take`. */
static void dense_spread(const double *x, atn_idx n, atn_idx d, const bool *take,
                         double to[4])
{
    double mean[8] = {0}, column[8] = {0}, rows = 0;

    to[0] = to[1] = to[2] = to[3] = 0;
    for (atn_idx i = 0; i < n; i++) rows += take[i];
    for (atn_idx i = 0; i < n; i++)
        for (atn_idx c = 0; c < d && take[i]; c++) mean[c] += x[i * d + c] / rows;
    for (atn_idx i = 0; i < n; i++) {
        double row = 0;
        for (atn_idx c = 0; c < d && take[i]; c++) {
            to[0] += pow(x[i * d + c] - mean[c], 2);
            to[1] += mean[c] * mean[c];
            row += fabs(x[i * d + c] - mean[c]);
            column[c] += fabs(x[i * d + c] - mean[c]);
        }
        to[3] = fmax(to[3], row);
    }
    for (atn_idx c = 0; c < d; c++) to[2] = fmax(to[2], column[c]);
}

/* Largest singular value of P less the mean of the rows that are taken, by LAPACK. */
static double dense_worst(atn_ctx *cx, const double *p, atn_idx n, atn_idx nk,
                          const bool *take)
{
    static double gram[LAYER_MOST * LAYER_MOST];
    double mean[LAYER_MOST] = {0}, value[LAYER_MOST], rows = 0;

    for (atn_idx i = 0; i < n; i++) rows += take[i];
    for (atn_idx i = 0; i < n; i++)
        for (atn_idx j = 0; j < nk && take[i]; j++) mean[j] += p[i * nk + j] / rows;
    memset(gram, 0, sizeof gram);
    for (atn_idx i = 0; i < n; i++)
        for (atn_idx j = 0; j < nk && take[i]; j++)
            for (atn_idx k = 0; k < nk; k++)
                gram[j * nk + k] +=
                    (p[i * nk + j] - mean[j]) * (p[i * nk + k] - mean[k]);
    CHECK_OK(atn_eigenvalues(cx, gram, nk, value));
    return sqrt(fmax(value[nk - 1], 0));
}

static void near(double a, double b, double tol, const char *what, int kind)
{
    if (!(fabs(a - b) <= tol) && !(isnan(a) && isnan(b)))
        fail_msg("%s, %s: %.17g, wanted %.17g", layer_kind_name(kind), what, a, b);
}

static void signals_are_dense_ones(atn_ctx *cx)
{
    for (int kind = 0; kind < LAYER_KINDS; kind++) {
        layer_model m = layer_make(cx, kind);
        const atn_layer_facts *facts = layer_facts(&m);
        const atn_problem *p = &m.problem;
        const double nodes = (double)(p->sight.key_last - p->sight.key_first);

        for (atn_idx h = 0; h < p->heads; h++) {
            const atn_head *head = &facts->head[h];
            const double *rows = m.p + h * m.n * p->nk;
            bool keys[LAYER_MOST], sees[LAYER_MOST];
            double in[4], out[4], high = 0;
            double v[LAYER_MOST * 8];
            atn_worst_gain w;
            atn_frequency f;

            for (atn_idx j = 0; j < p->nk; j++)
                keys[j] = j >= p->sight.key_first && j < p->sight.key_last;
            for (atn_idx i = 0; i < m.n; i++) {
                sees[i] = layer_counts(&m, i);
                for (atn_idx j = 0; j < p->nk && sees[i]; j++)
                    if (keys[j]) high += pow(rows[i * p->nk + j] - 1 / nodes, 2);
            }
            for (atn_idx e = 0; e < p->nk * p->dv; e++)
                v[e] = (double)atn_crow(head->v, e / p->dv)[e % p->dv];
            dense_spread(v, p->nk, p->dv, keys, in);
            dense_spread(m.out + h * m.n * p->dv, m.n, p->dv, sees, out);
            f = frequency(cx, head, head->v, kind != 3);
            near(f.ratio_in, in[1] > 0 ? sqrt(in[0] / in[1]) : NAN, 1e-5, "ratio",
                 kind);
            near(f.ratio_out, out[1] > 0 ? sqrt(out[0] / out[1]) : NAN, 1e-5,
                 "ratio out", kind);
            near(f.gain, in[0] > 0 ? sqrt(out[0] / in[0]) : NAN, 1e-5, "gain", kind);
            near(f.residual_in, sqrt(in[2] * in[3]), 1e-4, "residual", kind);
            near(f.residual_out, sqrt(out[2] * out[3]), 1e-4, "residual out", kind);
            near(f.high_norm, sqrt(high), 1e-5, "high norm", kind);
            CHECK_OK(atn_graph_worst_gain(cx, head, 60, &w));
            near(w.value, dense_worst(cx, rows, m.n, p->nk, sees), 2e-4, "worst", kind);
        }
        layer_drop(&m);
    }
}

/* The Laplacian's eigenvalues and vectors of tokens [first, last). */
static void dense_laplacian(atn_ctx *cx, const double *p, atn_idx nk, atn_idx first,
                            atn_idx n, double *a, double *value)
{
    double degree[LAYER_MOST] = {0};

    for (atn_idx i = 0; i < n; i++)
        for (atn_idx j = 0; j < n; j++) {
            a[i * n + j] =
                (p[(first + i) * nk + first + j] + p[(first + j) * nk + first + i]) / 2;
            degree[i] += a[i * n + j];
        }
    for (atn_idx i = 0; i < n; i++)
        for (atn_idx j = 0; j < n; j++)
            a[i * n + j] = (i == j) - (degree[i] > 0 && degree[j] > 0
                                           ? a[i * n + j] / sqrt(degree[i] * degree[j])
                                           : 0);
    CHECK_OK(atn_eigenvectors(cx, a, n, value));
}

static void one_spectrum(atn_ctx *cx, const layer_model *m, const atn_head *head,
                         const double *p, const double *out, int kind, bool stream)
{
    const atn_idx first = m->problem.sight.key_first, d = m->problem.dv;
    const atn_idx n = m->problem.sight.key_last - first, nk = m->problem.nk;
    const atn_graph_opts o = {
        .bins = 8, .dense = stream ? 0 : 100, .steps = 60, .edge = .1};
    const double tol = stream ? 1e-4 : 1e-6;
    static double a[LAYER_MOST * LAYER_MOST];
    double value[LAYER_MOST], in_bin[8] = {0}, out_bin[8] = {0}, all = 0, quotient = 0;
    atn_graph_spectrum s;

    dense_laplacian(cx, p, nk, first, n, a, value);
    for (atn_idx k = 0; k < n; k++) {
        const int b = (int)ATN_MIN(floor((value[k] + 1e-7) * 4), 7);
        double x = 0, y = 0;

        for (atn_idx c = 0; c < d; c++) {
            double in = 0, after = 0;
            for (atn_idx i = 0; i < n; i++) {
                in += a[k * n + i] * (double)atn_crow(head->v, first + i)[c];
                after += a[k * n + i] * out[(first + i) * d + c];
            }
            x += in * in;
            y += after * after;
        }
        in_bin[b] += x;
        out_bin[b] += y;
        all += x;
        quotient += x * value[k];
    }
    CHECK_OK(atn_graph_spectrum_run(cx, head, head->v, &o, &s));
    CHECK_EQ(s.exact, !stream);
    for (int b = 0; b < 8; b++) {
        near(s.bin[b].energy, in_bin[b] / all, tol, "energy", kind);
        if (in_bin[b] > 1e-3 * all)
            near(s.bin[b].response, sqrt(out_bin[b] / in_bin[b]), 10 * tol, "response",
                 kind);
    }
    if (n > 1) near(s.second, value[1], tol, "second", kind);
    if (n > 1) near(s.largest, value[n - 1], tol, "largest", kind);
    near(rayleigh(cx, head, head->v), quotient / all, 1e-6, "quotient", kind);
    atn_graph_spectrum_release(cx, &s);
}

/* Queries that are padding see nothing. */
static void pad_queries(layer_model *m)
{
    const atn_problem *p = &m->problem;

    m->problem.sight.pad_queries = true;
    for (atn_idx h = 0; h < p->heads; h++)
        for (atn_idx i = 0; i < p->nq; i++) {
            if (i >= p->sight.key_first && i < p->sight.key_last) continue;
            memset(m->p + (h * p->nq + i) * p->nk, 0, (size_t)p->nk * sizeof *m->p);
            memset(m->out + (h * p->nq + i) * p->dv, 0, (size_t)p->dv * sizeof *m->out);
        }
}

static void spectra_are_dense_ones(atn_ctx *cx)
{
    for (int kind = 0; kind < LAYER_KINDS; kind++) {
        layer_model m = layer_make(cx, kind);
        const atn_layer_facts *facts = layer_facts(&m);
        const atn_problem *p = &m.problem;

        if (kind == 2 || kind == 5) {
            CHECK(!atn_graph_is_square(&facts->head[0], true));
            pad_queries(&m);
            facts = layer_facts(&m);
        }
        for (atn_idx h = 0; h < p->heads; h++) {
            const bool square = atn_graph_is_square(&facts->head[h], kind != 3);

            CHECK_EQ(square, kind != 3 && kind != 4 && kind != 10);
            if (!square) continue;
            for (int stream = 0; stream < 2; stream++)
                one_spectrum(cx, &m, &facts->head[h], m.p + h * p->nq * p->nk,
                             m.out + h * m.n * p->dv, kind, stream);
        }
        layer_drop(&m);
    }
}

/* ---- properties ---- */

/* Two tokens that see only themselves, and two that see each other: three parts, three
 * eigenvalues of 0. */
static void parts_of_a_graph(atn_ctx *cx)
{
    const float p[] = {1, 0, 0, 0, 0, .25f, .75f, 0, 0, .5f, .5f, 0, 0, 0, 0, 1};
    const atn_head h = given(p, 4, false);
    const atn_graph_opts o = {.bins = 4, .dense = 4, .steps = 4, .edge = .3};
    atn_graph_spectrum s;

    CHECK_OK(atn_graph_spectrum_run(cx, &h, (atn_cmat){X4, 4, 2, 2}, &o, &s));
    CHECK_EQ(s.components, 3);
    CHECK_EQ(s.zeros, 3);
    CHECK_NEAR(s.second, 0, 1e-9);
    atn_graph_spectrum_release(cx, &s);
}

static void threads_do_not_matter(atn_ctx *cx)
{
    enum { N = 600, D = 4 };
    float *q = layer_noise(cx, N * D, 0, "q", 1),
          *k = layer_noise(cx, N * D, 1, "k", 1);
    const atn_head h = {.q = {q, N, D, D},
                        .k = {k, N, D, D},
                        .nq = N,
                        .nk = N,
                        .scale = .7,
                        .sight = {.causal = true, .key_last = N}};
    const atn_cmat x = {k, N, D, D};
    const atn_graph_opts o = {.bins = 8, .dense = 0, .steps = 12, .edge = .05};
    atn_graph_spectrum s[2];
    atn_frequency f[2];
    atn_worst_gain w[2];
    double r[2];

    for (int many = 0; many < 2; many++) {
        cx->threads = many ? 4 : 1;
        f[many] = frequency(cx, &h, x, true);
        r[many] = rayleigh(cx, &h, x);
        CHECK_OK(atn_graph_spectrum_run(cx, &h, x, &o, &s[many]));
        CHECK_OK(atn_graph_worst_gain(cx, &h, 12, &w[many]));
    }
    CHECK(memcmp(&f[0], &f[1], sizeof f[0]) == 0);
    CHECK(w[0].value == w[1].value && w[0].residual == w[1].residual);
    CHECK_EQ(w[0].walks, w[1].walks);
    CHECK(memcmp(&r[0], &r[1], sizeof r[0]) == 0);
    CHECK(memcmp(s[0].bin, s[1].bin, 8 * sizeof *s[0].bin) == 0);
    CHECK(s[0].second == s[1].second && s[0].largest == s[1].largest);
    CHECK(s[0].components == s[1].components);
    for (int many = 0; many < 2; many++) atn_graph_spectrum_release(cx, &s[many]);
    free(q);
    free(k);
}

/* ---- failure ---- */

static void refusals(atn_ctx *cx)
{
    const atn_head h = given(H4, 4, true);
    const atn_cmat x = {X4, 4, 2, 2};
    atn_graph_spectrum s;

    CHECK_FAILS(
        atn_graph_spectrum_run(
            cx, &h, x, &(atn_graph_opts){.bins = 0, .dense = 3, .steps = 9}, &s),
        ATN_USAGE, "not 4");
    CHECK_FAILS(
        atn_graph_spectrum_run(
            cx, &h, x, &(atn_graph_opts){.bins = 8, .dense = 5000, .steps = 9}, &s),
        ATN_USAGE, "at most 4096");
}

static void memory_runs_out(atn_ctx *cx)
{
    const atn_head h = given(H4, 4, true);
    const atn_cmat x = {X4, 4, 2, 2};

    (void)cx;
    for (int stream = 0; stream < 2; stream++) {
        const atn_graph_opts o = {
            .bins = 8, .dense = stream ? 0 : 9, .steps = 6, .edge = .1};
        atn_status st = ATN_MEMORY;

        for (long left = 0; st != ATN_OK && left < 60; left++) {
            check_failing f = {left};
            atn_ctx broken;
            atn_graph_spectrum s;

            atn_ctx_init(&broken);
            broken.threads = 1;
            broken.alloc = (atn_allocator){check_failing_resize, &f};
            st = atn_graph_spectrum_run(&broken, &h, x, &o, &s);
            CHECK(st == ATN_OK || st == ATN_MEMORY);
            atn_graph_spectrum_release(&broken, &s);
            atn_ctx_release(&broken);
        }
        CHECK(st == ATN_OK);
    }
}

CHECK_MAIN({"uniform rows", uniform_rows},
           {"worst gain of a matrix", worst_gain_of_a_matrix},
           {"rows without weight", rows_without_weight},
           {"bins of eigenvalues", bins_of_eigenvalues},
           {"graph without signals", graph_without_signals},
           {"mean and identity", mean_and_identity},
           {"graph of a matrix", graph_of_a_matrix},
           {"constant of the graph", constant_of_the_graph},
           {"signals are dense ones", signals_are_dense_ones},
           {"spectra are dense ones", spectra_are_dense_ones},
           {"parts of a graph", parts_of_a_graph},
           {"threads do not matter", threads_do_not_matter}, {"refusals", refusals},
           {"memory runs out", memory_runs_out})
