/* tests/analysis/test_rank.c -- singular values of attention and what is made of them. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "dense_heads.h"

#include "analysis/measure.h"
#include "analysis/spectrum.h"

static const float f4[] = {1,   0,   0,   0, .5f, .5f,  0,   0,
                           .2f, .3f, .5f, 0, .1f, .15f, .5f, .25f};

static atn_head given(const float *p, atn_idx nq, atn_idx nk)
{
    return (atn_head){
        .p = {p, nq, nk, nk}, .nq = nq, .nk = nk, .sight = {.key_last = nk}};
}

static const atn_spectrum_opts all = {0, 4096, 64};

/* (4 3 2 1) / 10: entropy 1.279854, its exponential 3.596115; 30 / 16; 30^2 / 354. (1 .1 .01):
 * effective 1.423741, stable 1.0101. */
static void numbers_by_hand(atn_ctx *cx)
{
    double four[] = {4, 3, 2, 1}, steep[] = {1, .1, .01}, most;
    const atn_spectrum a = {4, four, 30, 4}, b = {3, steep, 1.0101, 3};

    (void)cx;
    CHECK_NEAR(atn_spectrum_effective(&a, &most), 3.596115, 1e-6);
    CHECK_NEAR(most, 3.596115, 1e-6);
    CHECK_NEAR(atn_spectrum_stable(&a), 1.875, 1e-12);
    CHECK_NEAR(atn_spectrum_participation(&a), 2.542373, 1e-6);
    CHECK_NEAR(atn_spectrum_above(&a, .5), 3, 0);
    CHECK_NEAR(atn_spectrum_tail(&a), 0, 0);
    CHECK_NEAR(atn_spectrum_effective(&b, NULL), 1.423741, 1e-6);
    CHECK_NEAR(atn_spectrum_stable(&b), 1.0101, 1e-12);
}

/* F4: 1.205124 .757025 .415161 .165014. UC(8): largest 1.379779. */
static void matrices_by_hand(atn_ctx *cx)
{
    static const double sigma[] = {1.205124, .757025, .415161, .165014};
    float uc[64] = {0};
    atn_head h = given(f4, 4, 4);
    atn_spectrum s, c;

    CHECK_OK(atn_spectrum_run(cx, &h, &all, &s, &c));
    CHECK_EQ(s.n, 4);
    for (int i = 0; i < 4; i++) CHECK_NEAR(s.sigma[i], sigma[i], 1e-6);
    CHECK_NEAR(atn_spectrum_effective(&s, NULL), 3.280579, 1e-6);
    CHECK_NEAR(atn_spectrum_stable(&s), 1.532026, 1e-6);
    /* the operator norm of (I - 11'/4) P */
    CHECK_NEAR(c.sigma[0], .848458, 1e-6);
    atn_spectrum_release(cx, &s);
    atn_spectrum_release(cx, &c);
    for (int i = 0; i < 8; i++)
        for (int j = 0; j <= i; j++) uc[i * 8 + j] = 1.0f / (float)(i + 1);
    h = given(uc, 8, 8);
    CHECK_OK(atn_spectrum_run(cx, &h, &all, &s, &c));
    CHECK_NEAR(s.sigma[0], 1.379779, 1e-6);
    CHECK_NEAR(s.square, 2.717857, 1e-6);
    CHECK_NEAR(atn_spectrum_effective(&s, NULL), 5.271648, 1e-6);
    CHECK_NEAR(atn_spectrum_stable(&s), 1.427603, 1e-6);
    atn_spectrum_release(cx, &s);
    atn_spectrum_release(cx, &c);
}

/* n equal values; one; and a matrix of equal rows, of which nothing is left when centred. */
static void identity_and_uniform(atn_ctx *cx)
{
    float eye[25] = {0}, flat[25];
    atn_head h = given(eye, 5, 5);
    atn_spectrum s, c;

    for (int i = 0; i < 5; i++) eye[6 * i] = 1;
    for (int i = 0; i < 25; i++) flat[i] = (float)(i % 5) / 10;
    CHECK_OK(atn_spectrum_run(cx, &h, &all, &s, &c));
    CHECK_NEAR(atn_spectrum_effective(&s, NULL), 5, 1e-9);
    CHECK_NEAR(atn_spectrum_stable(&s), 5, 1e-9);
    CHECK_NEAR(atn_spectrum_participation(&s), 5, 1e-9);
    CHECK_NEAR(atn_spectrum_effective(&c, NULL), 4, 1e-6); /* less the constant */
    atn_spectrum_release(cx, &s);
    atn_spectrum_release(cx, &c);
    h = given(flat, 5, 5);
    CHECK_OK(atn_spectrum_run(cx, &h, &all, &s, &c));
    CHECK_NEAR(atn_spectrum_effective(&s, NULL), 1, 1e-6);
    CHECK_NEAR(atn_spectrum_stable(&s), 1, 1e-6);
    CHECK(isnan(atn_spectrum_stable(&c)) && isnan(atn_spectrum_effective(&c, NULL)));
    atn_spectrum_release(cx, &s);
    atn_spectrum_release(cx, &c);
}

/* ---- the twin: one-sided Jacobi rotations of the columns ---- */

enum { MOST = 72 };

static int descending(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;

    return (x < y) - (x > y);
}

/* a [rows][cols], cols <= rows; sigma[cols] */
static void jacobi(double (*a)[MOST], int rows, int cols, double *sigma)
{
    for (int sweep = 0; sweep < 40; sweep++)
        for (int p = 0; p < cols; p++)
            for (int q = p + 1; q < cols; q++) {
                double pp = 0, qq = 0, pq = 0, t, c, z;

                for (int i = 0; i < rows; i++) {
                    pp += a[i][p] * a[i][p];
                    qq += a[i][q] * a[i][q];
                    pq += a[i][p] * a[i][q];
                }
                if (fabs(pq) <= 1e-17 * sqrt(pp * qq) || pq == 0) continue;
                z = (qq - pp) / (2 * pq);
                t = (z > 0 ? 1 : -1) / (fabs(z) + sqrt(1 + z * z));
                c = 1 / sqrt(1 + t * t);
                for (int i = 0; i < rows; i++) {
                    const double x = a[i][p], y = a[i][q];
                    a[i][p] = c * (x - t * y);
                    a[i][q] = c * (y + t * x);
                }
            }
    for (int p = 0; p < cols; p++) {
        sigma[p] = 0;
        for (int i = 0; i < rows; i++) sigma[p] += a[i][p] * a[i][p];
        sigma[p] = sqrt(sigma[p]);
    }
    qsort(sigma, (size_t)cols, sizeof *sigma, descending);
}

/* Values of the rows that count, centred or not, however the matrix lies; returns how many. */
static int twin(const dense_head *x, int skip, bool centred, double *sigma)
{
    static double a[MOST][MOST];
    double mean[MOST] = {0};
    const int nk = (int)x->h.nk;
    int rows = 0, row[MOST];

    for (int i = skip; i < x->h.nq; i++) {
        bool any = false;
        for (int j = 0; j < nk; j++) any |= x->sees[i * nk + j];
        if (any) row[rows++] = i;
    }
    for (int r = 0; r < rows; r++)
        for (int j = 0; j < nk; j++) mean[j] += x->p[row[r] * nk + j] / rows;
    for (int r = 0; r < rows; r++)
        for (int j = 0; j < nk; j++) {
            const double v = x->p[row[r] * nk + j] - (centred ? mean[j] : 0);
            if (nk <= rows)
                a[r][j] = v;
            else
                a[j][r] = v;
        }
    jacobi(a, ATN_MAX(rows, nk), ATN_MIN(rows, nk), sigma);
    return ATN_MIN(rows, nk);
}

static void check_exact(atn_ctx *cx, const dense_head *x, int skip)
{
    const atn_spectrum_opts o = {skip, 4096, 64};
    double want[MOST], square = 0;
    atn_spectrum s[2];

    CHECK_OK(atn_spectrum_run(cx, &x->h, &o, &s[0], &s[1]));
    for (int c = 0; c < 2; c++) {
        const int n = twin(x, skip, c, want);

        square = 0;
        for (int i = 0; i < s[c].n; i++)
            CHECK_NEAR(s[c].sigma[i], i < n ? want[i] : 0, 2e-6);
        for (int i = 0; i < n; i++) square += want[i] * want[i];
        CHECK_NEAR(s[c].square, square, 1e-5 * (1 + square));
    }
    atn_spectrum_release(cx, &s[0]);
    atn_spectrum_release(cx, &s[1]);
}

static void exact_against_the_twin(atn_ctx *cx)
{
    for (int kind = 0; kind < DENSE_KINDS; kind++)
        for (int trial = 0; trial < 2; trial++) {
            dense_head x = make_dense((dense_kind)kind, 33 + 20 * trial, trial);

            if (kind != DENSE_BLIND)
                check_exact(cx, &x, kind == DENSE_ONE ? 0 : 3 * trial);
            drop_dense(&x);
        }
}

/* With 8 values of at most 40: the largest are right, what is left is bounded. */
static void check_largest(atn_ctx *cx, const dense_head *x, int skip)
{
    const atn_spectrum_opts some = {skip, 0, 16}, every = {skip, 4096, 16};
    atn_spectrum s[2], e[2];

    CHECK(!atn_spectrum_is_exact(&x->h, &some));
    CHECK_OK(atn_spectrum_run(cx, &x->h, &some, &s[0], &s[1]));
    CHECK_OK(atn_spectrum_run(cx, &x->h, &every, &e[0], &e[1]));
    for (int c = 0; c < 2; c++) {
        double most, least = atn_spectrum_effective(&s[c], &most), known = 0;
        const double truth = atn_spectrum_effective(&e[c], NULL);

        CHECK_EQ(s[c].n, 16);
        for (int i = 0; i < 4; i++)
            CHECK_NEAR(s[c].sigma[i], e[c].sigma[i], 2e-3 * e[c].sigma[0]);
        for (int i = 0; i < 16; i++) {
            CHECK_LE(s[c].sigma[i], e[c].sigma[i] + 1e-4);
            known += s[c].sigma[i] * s[c].sigma[i];
        }
        CHECK_NEAR(s[c].square, e[c].square, 1e-5 * e[c].square);
        CHECK_LE(least, truth * 1.02);
        CHECK_LE(truth, most * 1.001);
        CHECK_LE(atn_spectrum_participation(&s[c]),
                 atn_spectrum_participation(&e[c]) * 1.01);
        CHECK_NEAR(atn_spectrum_tail(&s[c]), 1 - known / s[c].square, 1e-6);
    }
    for (int c = 0; c < 2; c++) {
        atn_spectrum_release(cx, &s[c]);
        atn_spectrum_release(cx, &e[c]);
    }
}

static void largest_against_all(atn_ctx *cx)
{
    for (int kind = 0; kind < DENSE_KINDS; kind++) {
        dense_head x = make_dense((dense_kind)kind, 64, 5);

        if (kind != DENSE_BLIND && kind != DENSE_ONE) check_largest(cx, &x, kind % 3);
        drop_dense(&x);
    }
}

/* A matrix of five directions: all that there is is found, so the bounds meet. */
static void few_directions(atn_ctx *cx)
{
    enum { N = 150 };
    static float p[N * N];
    const atn_spectrum_opts some = {0, 0, 16}, every = {0, 4096, 16};
    atn_head h = given(p, N, N);
    atn_spectrum s, c, t, u;
    double most;

    for (int i = 0; i < N; i++)
        for (int j = 0; j < N; j++)
            p[i * N + j] = (float)(j % 5 == i % 5) * (float)(1 + j % 3) / N / 2;
    CHECK_OK(atn_spectrum_run(cx, &h, &some, &s, &c));
    CHECK_OK(atn_spectrum_run(cx, &h, &every, &t, &u));
    for (int i = 0; i < 5; i++) CHECK_NEAR(s.sigma[i], t.sigma[i], 1e-5);
    CHECK_NEAR(atn_spectrum_effective(&s, &most), atn_spectrum_effective(&t, NULL),
               1e-2);
    CHECK_NEAR(most, atn_spectrum_effective(&t, NULL), 1e-2);
    CHECK_NEAR(atn_spectrum_tail(&s), 0, 1e-6);
    atn_spectrum_release(cx, &s);
    atn_spectrum_release(cx, &c);
    atn_spectrum_release(cx, &t);
    atn_spectrum_release(cx, &u);
}

/* The bounds hold for any values: cut a known spectrum short, at many places. */
static void bounds_of_cut_spectra(atn_ctx *cx)
{
    atn_rng r = atn_rng_stream(4, "test/rank", 0, 0);

    (void)cx;
    for (int trial = 0; trial < 300; trial++) {
        double sigma[40], square = 0, most, least, truth, flat = 0;
        atn_spectrum s = {40, sigma, 0, 40};

        for (int i = 0; i < 40; i++)
            sigma[i] = trial % 3 == 0 ? 1 : pow(atn_rng_uniform(&r), 1 + trial % 7);
        qsort(sigma, 40, sizeof *sigma, descending);
        for (int i = 0; i < 40; i++) square += sigma[i] * sigma[i];
        s.square = square;
        truth = atn_spectrum_effective(&s, NULL);
        flat = atn_spectrum_participation(&s);
        s.n = 1 + trial % 39;
        least = atn_spectrum_effective(&s, &most);
        CHECK_LE(least, truth + 1e-9);
        CHECK_LE(truth, most + 1e-5); /* the tail is a difference */
        CHECK_LE(most, 40 + 1e-9);
        CHECK_LE(1 - 1e-12, least);
        CHECK_LE(atn_spectrum_participation(&s), flat + 1e-9);
    }
}

/* Logits by q k' itself, of the rows that count: trial 5 skips some, 4 and 5 have rows that see
 * no key, and 6 has no row. */
static void logits_against_the_twin(atn_ctx *cx)
{
    static const dense_kind kinds[] = {
        DENSE_DECODING,     DENSE_DECODING,     DENSE_DECODING, DENSE_ONE,
        DENSE_LEFT_PADDING, DENSE_LEFT_PADDING, DENSE_BLIND};

    for (int trial = 0; trial < 7; trial++) {
        static double a[MOST][MOST];
        dense_head x = make_dense(kinds[trial], 30, trial);
        const int skip = trial == 5 ? 9 : 0;
        double sigma[MOST];
        atn_spectrum s;

        if (trial == 1) /* a direction that no query has */
            for (int i = 0; i < x.h.nq; i++) x.q[i * DENSE_D + 2] = 0;
        for (int i = 0; i < x.h.nq; i++)
            for (int j = 0; j < x.h.nk; j++) {
                bool any = false;

                a[j][i] = 0;
                for (int k = 0; k < x.h.nk; k++) any |= x.sees[i * x.h.nk + k];
                for (int c = 0; c < DENSE_D && any && i >= skip; c++)
                    a[j][i] += x.h.scale * (double)x.q[i * DENSE_D + c] *
                               (double)x.k[j * DENSE_D + c];
            }
        jacobi(a, (int)x.h.nk, (int)x.h.nq, sigma);
        CHECK_OK(atn_spectrum_logits(cx, &x.h, skip, &s));
        CHECK_EQ(s.n, trial == 3 ? 1 : trial == 6 ? 0 : DENSE_D);
        for (int i = 0; i < s.n; i++) CHECK_NEAR(s.sigma[i], sigma[i], 1e-5 * sigma[0]);
        atn_spectrum_release(cx, &s);
        drop_dense(&x);
    }
}

/* ---- the measure ---- */

typedef struct rank_params {
    int64_t dense, values;
    double eps;
} rank_params;

static const rank_params usual = {2048, 64, .01};

static atn_status measure(atn_ctx *cx, const atn_head *h, atn_idx heads, atn_idx skip,
                          const rank_params *params, double *out)
{
    const atn_measure *m = atn_measure_find("rank");
    const bool keep[] = {true, true, false, true};
    const atn_layer_facts f = {
        .head = h, .heads = heads, .keep = keep, .skip_rows = skip};

    for (int c = 0; c < heads * atn_measure_n_cols(m); c++) out[c] = NAN;
    return m->layer(cx, &f, params, out);
}

static double column(const double *out, const char *name)
{
    const atn_measure *m = atn_measure_find("rank");

    for (int c = 0; m->cols[c].name; c++)
        if (strcmp(m->cols[c].name, name) == 0) return out[c];
    fail_msg("no column %s", name);
    return 0;
}

static void columns(atn_ctx *cx)
{
    const atn_head f = given(f4, 4, 4), heads[] = {f, f, f, f};
    const int n = atn_measure_n_cols(atn_measure_find("rank"));
    dense_head blind = make_dense(DENSE_BLIND, 12, 0);
    double out[100];

    CHECK_OK(measure(cx, heads, 4, 0, &usual, out));
    CHECK_NEAR(column(out, "rank_sigma1"), 1.205124, 1e-6);
    CHECK_NEAR(column(out, "rank_stable"), 1.532026, 1e-6);
    CHECK_NEAR(column(out, "rank_effective"), 3.280579, 1e-6);
    CHECK_NEAR(column(out, "rank_effective_most"), 3.280579, 1e-6);
    CHECK_NEAR(column(out, "rank_values"), 4, 0);
    CHECK_NEAR(column(out, "rank_centred_sigma1"), .848458, 1e-6);
    CHECK_NEAR(column(out, "rank_exact"), 1, 0);
    CHECK_NEAR(column(out, "rank_tail"), 0, 0);
    CHECK(isnan(column(out, "rank_logits_stable"))); /* P alone */
    CHECK(isnan(out[2 * n]));                        /* not kept */
    CHECK_NEAR(out[3 * n], out[0], 0);
    for (int dense = 0; dense < 2; dense++) {
        CHECK_OK(
            measure(cx, &blind.h, 1, 0, &(rank_params){dense * 2048, 8, .01}, out));
        CHECK(isnan(column(out, "rank_stable")));
        CHECK(isnan(column(out, "rank_exact")));
    }
    drop_dense(&blind);
}

/* q = diag(4, 2, 0, .1), k = 1: logits of the values 4 2 .1 0 by scale: (16 + 4 + .01)^2 /
 * (256 + 16 + .0001) = 1.472059, and two are above .05 of the largest, three above .01. */
static void columns_of_logits(atn_ctx *cx)
{
    float q[16] = {0}, k[16] = {0};
    const atn_head h = {.q = {q, 4, 4, 4},
                        .k = {k, 4, 4, 4},
                        .nq = 4,
                        .nk = 4,
                        .scale = .25,
                        .sight = {.key_last = 4}};
    double out[100];

    for (int i = 0; i < 4; i++) k[5 * i] = 1;
    q[0] = 2; /* rows out of order: the third has the largest */
    q[4 * 2 + 1] = 4;
    q[4 * 3 + 3] = .1f;
    CHECK_OK(measure(cx, &h, 1, 0, &usual, out));
    CHECK_NEAR(column(out, "rank_logits_stable"), 20.01 / 16, 1e-6);
    CHECK_NEAR(column(out, "rank_logits_participation"), 1.472059, 1e-6);
    CHECK_NEAR(column(out, "rank_logits_values"), 3, 0);
    CHECK_OK(measure(cx, &h, 1, 0, &(rank_params){2048, 64, .05}, out));
    CHECK_NEAR(column(out, "rank_logits_values"), 2, 0);
    CHECK_OK(measure(cx, &h, 1, 3, &usual, out)); /* the last row alone */
    CHECK_NEAR(column(out, "rank_logits_participation"), 1, 1e-9);
}

/* Renaming the keys, and the rows, changes no singular value; nor do threads a bit. */
static void permutations(atn_ctx *cx)
{
    dense_head x = make_dense(DENSE_CROSS, 45, 2);
    const int nq = (int)x.h.nq, nk = (int)x.h.nk,
              width = atn_measure_n_cols(atn_measure_find("rank"));
    float *a = malloc(sizeof(float) * (size_t)(nq * nk)),
          *b = malloc(sizeof(float) * (size_t)(nq * nk));
    double one[40], two[40];
    atn_head h = given(a, nq, nk), g = given(b, nq, nk);

    for (int i = 0; i < nq; i++)
        for (int j = 0; j < nk; j++) {
            a[i * nk + j] = (float)x.p[i * nk + j];
            b[(i * 5 % nq) * nk + j * 7 % nk] =
                a[i * nk + j]; /* coprime to 56 and 45 */
        }
    CHECK_OK(measure(cx, &h, 1, 0, &usual, one));
    CHECK_OK(measure(cx, &g, 1, 0, &usual, two));
    for (int c = 0; c < width; c++)
        if (!isnan(one[c])) CHECK_NEAR(one[c], two[c], 1e-6 * (1 + fabs(one[c])));
    CHECK_OK(measure(cx, &h, 1, 0, &(rank_params){0, 8, .01}, one));
    cx->threads = 1;
    CHECK_OK(measure(cx, &h, 1, 0, &(rank_params){0, 8, .01}, two));
    CHECK(memcmp(one, two, (size_t)width * sizeof *one) == 0);
    free(a);
    free(b);
    drop_dense(&x);
}

static void failures(atn_ctx *cx)
{
    dense_head x = make_dense(DENSE_CAUSAL, 30, 0);

    for (int dense = 0; dense < 2; dense++) {
        atn_status st = ATN_MEMORY;

        for (long k = 0; st != ATN_OK; k++) {
            check_failing fail = {k};
            double out[40];
            atn_ctx c;

            CHECK(k < 1000);
            atn_ctx_init(&c);
            c.threads = 1;
            c.alloc = (atn_allocator){check_failing_resize, &fail};
            st = measure(&c, &x.h, 1, 0, &(rank_params){dense * 2048, 8, .01}, out);
            CHECK(st == ATN_OK || st == ATN_MEMORY);
            fail.left = 1 << 20;
            atn_ctx_release(&c);
        }
        cx->mem_limit = 1000;
        CHECK_FAILS(atn_spectrum_run(cx, &x.h, &(atn_spectrum_opts){0, dense * 99, 8},
                                     &(atn_spectrum){0}, &(atn_spectrum){0}),
                    ATN_MEMORY, "singular values needs");
        cx->mem_limit = 0;
    }
    drop_dense(&x);
}

CHECK_MAIN({"numbers by hand", numbers_by_hand}, {"matrices by hand", matrices_by_hand},
           {"identity and uniform", identity_and_uniform},
           {"exact against the twin", exact_against_the_twin},
           {"largest against all", largest_against_all},
           {"few directions", few_directions},
           {"bounds of cut spectra", bounds_of_cut_spectra},
           {"logits against the twin", logits_against_the_twin}, {"columns", columns},
           {"columns of logits", columns_of_logits}, {"permutations", permutations},
           {"failures", failures})
