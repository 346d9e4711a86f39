/* Tensor attention against plain loops over all tuples, and its features against the
 * polynomial applied to every logit. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "approx/tensor.h"
#include "check.h"

enum { N_MOST = 9, D_MOST = 6, TUPLES = N_MOST * N_MOST * N_MOST };

/* ---- the twin: every tuple by itself, in double; degree -1 is exp ---- */

static double value_at(atn_reals x, atn_idx i)
{
    return x.wide ? x.wide[i] : (double)x.narrow[i];
}

static double weight_of(double z, int degree)
{
    double term = 1, sum = 1;

    if (degree < 0) return exp(z);
    for (int m = 1; m <= degree; m++) {
        term *= z / m;
        sum += term;
    }
    return sum;
}

/* o [nq, dv], m [keys, nq, nk] or NULL; returns the largest |z|. */
static double twin(const atn_tensor *t, int degree, double *o, double *m)
{
    double largest = 0;

    for (atn_idx i = 0; m && i < t->keys * t->nq * t->nk; i++) m[i] = 0;
    for (atn_idx i = 0; i < t->nq; i++) {
        const atn_idx seen = t->causal ? i + 1 : t->nk;
        double den = t->has_null ? exp(t->null_logit) : 0, num[D_MOST] = {0};
        long count = 1;

        for (int k = 0; k < t->keys; k++) count *= (long)seen;
        for (long c = 0; c < count; c++) {
            atn_idx at[ATN_TENSOR_KEYS_MOST];
            double z = 0, w;
            long rest = c;

            for (int k = 0; k < t->keys; k++, rest /= (long)seen)
                at[k] = (atn_idx)(rest % (long)seen);
            for (atn_idx l = 0; l < t->d; l++) {
                double x = value_at(t->q, i * t->d + l);

                for (int k = 0; k < t->keys; k++)
                    x *= value_at(t->k[k], at[k] * t->d + l);
                z += x;
            }
            z *= t->scale;
            largest = fmax(largest, fabs(z));
            w = weight_of(z, degree);
            den += w;
            for (int k = 0; m && k < t->keys; k++)
                m[(k * t->nq + i) * t->nk + at[k]] += w;
            for (atn_idx l = 0; l < t->dv; l++) {
                double x = w;

                for (int k = 0; k < t->keys; k++)
                    x *= value_at(t->v[k], at[k] * t->dv + l);
                num[l] += x;
            }
        }
        for (atn_idx l = 0; l < t->dv; l++) o[i * t->dv + l] = num[l] / den;
        for (int k = 0; m && k < t->keys; k++)
            for (atn_idx j = 0; j < seen; j++) m[(k * t->nq + i) * t->nk + j] /= den;
    }
    return largest;
}

/* ---- inputs ---- */

enum { NUMBERS = N_MOST * D_MOST };

typedef struct scene {
    atn_tensor t;
    double wide[1 + 2 * ATN_TENSOR_KEYS_MOST][NUMBERS];
    float narrow[1 + 2 * ATN_TENSOR_KEYS_MOST][NUMBERS];
} scene;

static double noise(uint32_t *state)
{
    *state = *state * 1664525u + 1013904223u;
    return (double)(*state >> 8) / 8388608.0 - 1;
}

static void point(scene *s, bool wide)
{
    for (int x = 0; x < 1 + 2 * s->t.keys; x++) {
        const atn_reals r = {wide ? NULL : s->narrow[x], wide ? s->wide[x] : NULL};

        for (int i = 0; i < NUMBERS; i++) s->narrow[x][i] = (float)s->wide[x][i];
        if (x == 0) s->t.q = r;
        if (x > 0 && x <= s->t.keys) s->t.k[x - 1] = r;
        if (x > s->t.keys) s->t.v[x - 1 - s->t.keys] = r;
    }
}

static void random_scene(scene *s, int trial, int keys, bool wide)
{
    uint32_t state = (uint32_t)trial * 7919u + (uint32_t)keys;

    *s = (scene){.t = {.keys = keys,
                       .nk = 1 + trial % (keys > 2 ? 4 : 8),
                       .d = 1 + (trial / 3) % 5,
                       .dv = 1 + (trial / 2) % 4,
                       .causal = trial % 2}};
    s->t.nq = s->t.causal ? s->t.nk : 1 + trial % 7;
    s->t.scale = 1.0 / (double)s->t.d;
    s->t.has_null = trial % 5 == 0;
    s->t.null_logit = 0.3;
    for (int x = 0; x < 1 + 2 * keys; x++)
        for (int i = 0; i < NUMBERS; i++)
            s->wide[x][i] = (x == 0 ? 3 : 1.5) * noise(&state);
    point(s, wide);
}

/* G8: K2 and V2 are K and V, rolled down by a row. */
static void g8(scene *s, bool wide)
{
    *s = (scene){.t = {.keys = 2, .nq = 8, .nk = 8, .d = 4, .dv = 4, .scale = 0.25}};
    for (int i = 0; i < 8; i++)
        for (int l = 0; l < 4; l++) {
            const int rolled = (i + 1) % 8 * 4 + l;

            s->wide[0][i * 4 + l] = sin(0.1 * (i + 1) * (l + 1));
            s->wide[1][i * 4 + l] = cos(0.07 * (i + 1) * (l + 2));
            s->wide[2][rolled] = s->wide[1][i * 4 + l];
            s->wide[3][i * 4 + l] = sin(0.05 * (i + 2) * (l + 3));
            s->wide[4][rolled] = s->wide[3][i * 4 + l];
        }
    point(s, wide);
}

static void check_g8(const double *o, const double want[4], double tol)
{
    double square = 0;

    for (int i = 0; i < 32; i++) square += o[i] * o[i];
    CHECK_NEAR(o[0], want[0], tol);
    CHECK_NEAR(o[3 * 4 + 1], want[1], tol);
    CHECK_NEAR(o[7 * 4 + 3], want[2], tol);
    CHECK_NEAR(sqrt(square), want[3], tol);
}

/* The rows of the card, in double and in float. */
static void golden(atn_ctx *cx)
{
    static const double full[] = {0.4749156280, 0.6190059694, 0.6142340882,
                                  3.3725991888};
    static const double causal[] = {0.2883459683, 0.3764828388, 0.6142340882,
                                    2.6512739878};
    static const double second[] = {0.4749502263, 0.6203534301, 0.6143031207,
                                    3.3766594774};
    double o[32], x = 0;
    const atn_tensor_out out = {.o = o, .x_max = &x};
    scene s;

    for (int wide = 0; wide < 2; wide++) {
        const double tol = wide ? 1e-9 : 2e-5;

        g8(&s, wide);
        CHECK_OK(atn_tensor_exact(cx, &s.t, &out));
        check_g8(o, full, tol);
        CHECK_NEAR(x, 0.7497, 1e-4);
        CHECK_OK(atn_tensor_largest(cx, &s.t, &x));
        CHECK_NEAR(x, 0.7497, 1e-4);
        CHECK_LE(x, atn_tensor_bound(&s.t));
        CHECK_OK(atn_tensor_features(cx, &s.t, 2, o, NULL));
        check_g8(o, second, wide ? 1e-9 : 1e-6);
        s.t.causal = true;
        CHECK_OK(atn_tensor_exact(cx, &s.t, &out));
        check_g8(o, causal, tol);
    }
}

/* The largest output error of the card by degree: it falls faster than any power. */
static void error_by_degree(atn_ctx *cx)
{
    static const int degree[] = {1, 2, 4, 6, 8};
    static const double error[] = {9.06e-3, 1.71e-3, 3.49e-5, 3.69e-7, 2.42e-9};
    double exact[32], o[32];
    scene s;

    g8(&s, true);
    CHECK_OK(atn_tensor_exact(cx, &s.t, &(atn_tensor_out){.o = exact}));
    for (int g = 0; g < 5; g++) {
        double worst = 0;

        CHECK_OK(atn_tensor_features(cx, &s.t, degree[g], o, NULL));
        for (int i = 0; i < 32; i++) worst = check_worst(worst, fabs(o[i] - exact[i]));
        CHECK_NEAR(worst / error[g], 1, 5e-3);
    }
    s.t.causal = true;
    CHECK_OK(atn_tensor_exact(cx, &s.t, &(atn_tensor_out){.o = exact}));
    CHECK_OK(atn_tensor_features(cx, &s.t, 14, o, NULL));
    for (int i = 0; i < 32; i++) CHECK_NEAR(o[i], exact[i], 2e-14);
}

static void exact_is_all_tuples(atn_ctx *cx)
{
    for (int trial = 0; trial < 160; trial++) {
        const bool wide = trial % 3 != 0;
        const double tol = wide ? 1e-12 : 1e-5;
        double o[NUMBERS], m[ATN_TENSOR_KEYS_MOST * N_MOST * N_MOST];
        double want[NUMBERS], want_m[ATN_TENSOR_KEYS_MOST * N_MOST * N_MOST], x, most;
        scene s;

        random_scene(&s, trial, 1 + trial % 4, wide);
        most = twin(&s.t, -1, want, want_m);
        CHECK_OK(atn_tensor_exact(
            cx, &s.t, &(atn_tensor_out){.o = o, .marginal = m, .x_max = &x}));
        CHECK_NEAR(x, most, tol * (1 + most));
        CHECK_LE(most, atn_tensor_bound(&s.t) * (1 + 1e-12));
        for (atn_idx i = 0; i < s.t.nq * s.t.dv; i++)
            CHECK_NEAR(o[i], want[i], 8 * tol);
        for (atn_idx i = 0; i < s.t.keys * s.t.nq * s.t.nk; i++)
            CHECK_NEAR(m[i], want_m[i], tol);
        CHECK_OK(atn_tensor_exact(cx, &s.t, &(atn_tensor_out){.o = o}));
        for (atn_idx i = 0; i < s.t.nq * s.t.dv; i++)
            CHECK_NEAR(o[i], want[i], 8 * tol);
    }
}

static void features_are_the_polynomial(atn_ctx *cx)
{
    for (int trial = 0; trial < 160; trial++) {
        const int degree = trial % 4 * 2;
        double o[NUMBERS], want[NUMBERS];
        int64_t vanished = -1;
        scene s;

        random_scene(&s, trial, 1 + trial % 3, trial % 5 != 1);
        twin(&s.t, degree, want, NULL);
        CHECK_OK(atn_tensor_features(cx, &s.t, degree, o, &vanished));
        CHECK_EQ(vanished, 0);
        for (atn_idx i = 0; i < s.t.nq * s.t.dv; i++)
            CHECK_NEAR(o[i], want[i], 1e-12 * (1 + fabs(want[i])));
    }
}

/* d = 2, degree 2: 1, x, y, xx, xy, yy; weights 1, s, s, s^2/2, s^2, s^2/2. */
static void order_of_monomials(atn_ctx *cx)
{
    static const double want[] = {1, 3, 5, 9, 15, 25}, half[] = {1, 2, 2, 2, 4, 2};
    const double x[] = {3, 5};
    atn_monomials w = {.d = 2, .degree = 2};
    double stack[ATN_DEGREE_MOST], out[6];
    static atn_monomial_block b;
    atn_idx n = 0;

    (void)cx;
    atn_monomials_block(&w, 128, &b);
    CHECK_EQ(b.n, 6);
    atn_monomials_of(&b, x, 1, stack, out);
    for (int r = 0; r < 6; r++) {
        CHECK_NEAR(out[r], want[r], 0);
        CHECK_NEAR(atn_monomial_weight(&b, r, 2), half[r], 0);
    }
    atn_monomials_block(&w, 128, &b);
    CHECK_EQ(b.n, 0);
    for (int d = 1; d < 6; d++)
        for (int g = 0; g < 7; g++) {
            w = (atn_monomials){.d = d, .degree = g};
            for (n = 0; atn_monomials_next(&w);) n++;
            CHECK_NEAR(n, atn_monomials_count(d, g), 1e-9);
        }
    CHECK_NEAR(atn_monomials_count(64, 4), 814385, 1e-6); /* of the card */
    CHECK_NEAR(atn_monomials_count(16, 8), 735471, 1e-6);
}

/* Degrees far apart share nothing, in blocks of any size: values from scratch. */
static void monomials_in_blocks(atn_ctx *cx)
{
    static atn_monomial_block b;
    double x[4 * 3], stack[ATN_DEGREE_MOST * 3], out[ATN_MONOMIALS_BLOCK * 3];
    uint32_t state = 5;

    (void)cx;
    for (int i = 0; i < 12; i++) x[i] = noise(&state);
    for (int size = 1; size < 9; size++) {
        atn_monomials w = {.d = 4, .degree = 5};

        for (atn_monomials_block(&w, size, &b); b.n > 0;
             atn_monomials_block(&w, size, &b)) {
            atn_monomials_of(&b, x, 3, stack, out);
            for (int r = 0; r < b.n; r++)
                for (int i = 0; i < 3; i++) {
                    double want = 1;

                    for (int p = 0; p < b.t[r]; p++) want *= x[b.at[r][p] * 3 + i];
                    CHECK_NEAR(out[r * 3 + i], want, 1e-15);
                }
        }
    }
}

/* K2 = V2 = 1: matrix attention of scale s. One key: the product of the values. The
 * tensors in another order: the same. */
static void limits(atn_ctx *cx)
{
    double o[NUMBERS], other[NUMBERS];
    atn_tensor matrix;
    atn_reals swap;
    scene s;

    random_scene(&s, 6, 2, true);
    for (int i = 0; i < NUMBERS; i++) s.wide[2][i] = s.wide[4][i] = 1;
    matrix = s.t;
    matrix.keys = 1;
    CHECK_OK(atn_tensor_exact(cx, &s.t, &(atn_tensor_out){.o = o}));
    CHECK_OK(atn_tensor_exact(cx, &matrix, &(atn_tensor_out){.o = other}));
    for (atn_idx i = 0; i < s.t.nq * s.t.dv; i++) CHECK_NEAR(o[i], other[i], 1e-15);
    for (int keys = 2; keys < 5; keys++) {
        random_scene(&s, 14, keys, true);
        CHECK_OK(atn_tensor_exact(cx, &s.t, &(atn_tensor_out){.o = o}));
        swap = s.t.k[0], s.t.k[0] = s.t.k[keys - 1], s.t.k[keys - 1] = swap;
        swap = s.t.v[0], s.t.v[0] = s.t.v[keys - 1], s.t.v[keys - 1] = swap;
        CHECK_OK(atn_tensor_exact(cx, &s.t, &(atn_tensor_out){.o = other}));
        for (atn_idx i = 0; i < s.t.nq * s.t.dv; i++) CHECK_NEAR(o[i], other[i], 1e-14);
    }
    random_scene(&s, 8, 2, true);
    s.t.nk = 1;
    s.t.has_null = false;
    CHECK_OK(atn_tensor_exact(cx, &s.t, &(atn_tensor_out){.o = o}));
    for (atn_idx i = 0; i < s.t.nq * s.t.dv; i++)
        CHECK_NEAR(o[i], s.wide[3][i % s.t.dv] * s.wide[4][i % s.t.dv], 1e-15);
}

/* More keys than a tile holds, and causal: nothing is lost between tiles, and logits of
 * 1e4 give no NaN. */
static void long_and_large(atn_ctx *cx)
{
    enum { N = 600, D = 3 };
    static double x[5][N * D];
    static float f[5][N * D];
    static double o[N * D], again[N * D];
    atn_tensor t = {.keys = 2, .nq = N, .nk = N, .d = D, .dv = D, .scale = 40};
    uint32_t state = 77;
    double den = 0, num[D] = {0};

    t.causal = true;
    for (int k = 0; k < 5; k++)
        for (int i = 0; i < N * D; i++) {
            x[k][i] = noise(&state) * (k == 0 ? 100 : 1);
            f[k][i] = (float)x[k][i];
        }
    t.q.wide = x[0], t.k[0].wide = x[1], t.k[1].wide = x[2];
    t.v[0].wide = x[3], t.v[1].wide = x[4];
    CHECK_OK(atn_tensor_exact(cx, &t, &(atn_tensor_out){.o = o}));
    for (int i = 0; i < N * D; i++) CHECK(isfinite(o[i]));
    t.scale = 0.02;
    CHECK_OK(atn_tensor_exact(cx, &t, &(atn_tensor_out){.o = o}));
    for (int j = 0; j < N; j++)
        for (int k = 0; k < N; k++) {
            double z = 0;

            for (int l = 0; l < D; l++)
                z += x[0][(N - 1) * D + l] * x[1][j * D + l] * x[2][k * D + l];
            z = exp(0.02 * z);
            den += z;
            for (int l = 0; l < D; l++) num[l] += z * x[3][j * D + l] * x[4][k * D + l];
        }
    for (int l = 0; l < D; l++) CHECK_NEAR(o[(N - 1) * D + l], num[l] / den, 1e-12);
    t.q = (atn_reals){f[0], NULL}, t.k[0] = (atn_reals){f[1], NULL};
    t.k[1] = (atn_reals){f[2], NULL}, t.v[0] = (atn_reals){f[3], NULL};
    t.v[1] = (atn_reals){f[4], NULL};
    CHECK_OK(atn_tensor_exact(cx, &t, &(atn_tensor_out){.o = again}));
    for (int i = 0; i < N * D; i++) CHECK_NEAR(o[i], again[i], 1e-5);
}

/* The last queries of a causal head, by an offset; a query before all keys gives 0. */
static void offsets(atn_ctx *cx)
{
    double all[NUMBERS], some[NUMBERS];
    atn_tensor last;
    scene s;

    for (int keys = 1; keys < 4; keys++) {
        random_scene(&s, 7 + 8 * keys, keys, true);
        last = s.t;
        CHECK(last.causal && last.nq > 2);
        CHECK_OK(atn_tensor_exact(cx, &s.t, &(atn_tensor_out){.o = all}));
        last.nq -= 2, last.offset = 2;
        last.q.wide += 2 * last.d;
        CHECK_OK(atn_tensor_exact(cx, &last, &(atn_tensor_out){.o = some}));
        for (atn_idx i = 0; i < last.nq * last.dv; i++)
            CHECK_NEAR(some[i], all[2 * last.dv + i], 1e-15);
        last.nq = 3, last.offset = -1, last.has_null = false;
        CHECK_OK(atn_tensor_exact(cx, &last, &(atn_tensor_out){.o = some}));
        for (atn_idx l = 0; l < last.dv; l++) CHECK_NEAR(some[l], 0, 0);
        CHECK(some[last.dv] != 0);
    }
}

static void threads_agree(atn_ctx *cx)
{
    double one[NUMBERS], four[NUMBERS];
    scene s;

    for (int trial = 0; trial < 12; trial++) {
        random_scene(&s, trial, 1 + trial % 3, trial % 2);
        cx->threads = 1;
        CHECK_OK(atn_tensor_exact(cx, &s.t, &(atn_tensor_out){.o = one}));
        cx->threads = 4;
        CHECK_OK(atn_tensor_exact(cx, &s.t, &(atn_tensor_out){.o = four}));
        CHECK(memcmp(one, four, (size_t)(s.t.nq * s.t.dv) * sizeof *one) == 0);
        CHECK_OK(atn_tensor_features(cx, &s.t, 8, four, NULL));
        cx->threads = 1;
        CHECK_OK(atn_tensor_features(cx, &s.t, 8, one, NULL));
        CHECK(memcmp(one, four, (size_t)(s.t.nq * s.t.dv) * sizeof *one) == 0);
    }
}

static void hostile(atn_ctx *cx)
{
    double o[NUMBERS], x;
    scene s;

    random_scene(&s, 6, 2, true);
    s.wide[0][0] = NAN;
    CHECK_FAILS(atn_tensor_exact(cx, &s.t, &(atn_tensor_out){.o = o}), ATN_DATA,
                "query 0 is NaN or infinite");
    random_scene(&s, 6, 2, true);
    s.wide[1][0] = 1e200, s.wide[2][0] = 1e200;
    CHECK_FAILS(atn_tensor_exact(cx, &s.t, &(atn_tensor_out){.o = o}), ATN_DATA,
                "NaN or infinite");
    CHECK_FAILS(atn_tensor_features(cx, &s.t, 2, o, NULL), ATN_DATA,
                "beyond the range of double");
    for (int wide = 0; wide < 2; wide++)
        for (int bad = 0; bad < 3; bad++) { /* of the first keys, fine ones after it */
            random_scene(&s, 6, 2, true);
            for (int l = 0; l < s.t.d; l++)
                s.wide[1][l] = bad == 0 ? NAN : bad == 1 ? INFINITY : -INFINITY;
            for (int i = 0; i < NUMBERS; i++) s.wide[0][i] = s.wide[2][i] = 1;
            point(&s, wide);
            CHECK_FAILS(atn_tensor_exact(cx, &s.t, &(atn_tensor_out){.o = o}), ATN_DATA,
                        "query 0 is NaN or infinite");
            CHECK_FAILS(atn_tensor_largest(cx, &s.t, &x), ATN_DATA,
                        "query 0 is NaN or infinite");
        }
    random_scene(&s, 6, 2, true);
    for (int i = 0; i < NUMBERS; i++) s.wide[0][i] = 0; /* uniform */
    CHECK_OK(atn_tensor_largest(cx, &s.t, &x));
    CHECK_NEAR(x, 0, 0);
    CHECK_OK(atn_tensor_features(cx, &s.t, 0, o, NULL));
    for (long left = 0; left < 40; left++) {
        check_failing f = {left};
        atn_status st;
        atn_ctx small;

        atn_ctx_init(&small);
        small.threads = 1;
        small.alloc = (atn_allocator){check_failing_resize, &f};
        st = atn_tensor_features(&small, &s.t, 2, o, NULL);
        if (st == ATN_OK)
            st = atn_tensor_exact(&small, &s.t, &(atn_tensor_out){.o = o});
        CHECK(st == ATN_OK || st == ATN_MEMORY);
        atn_ctx_release(&small);
        if (st == ATN_OK) return;
    }
    CHECK(!"it never had enough");
}

CHECK_MAIN({"golden", golden}, {"error by degree", error_by_degree},
           {"exact is all tuples", exact_is_all_tuples},
           {"features are the polynomial", features_are_the_polynomial},
           {"order of monomials", order_of_monomials},
           {"monomials in blocks", monomials_in_blocks}, {"limits", limits},
           {"long and large", long_and_large}, {"offsets", offsets},
           {"threads agree", threads_agree}, {"hostile", hostile})
