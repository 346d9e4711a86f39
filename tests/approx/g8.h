/* tests/approx/g8.h -- the golden inputs of the methods that are no choice of keys, the
 * random objects that the second table fixes by formulas, and both tables as data.
 *
 * Inputs  n = 8, d = dv = 4, scale 1/2, zero-based i, l:
 *         q_il = sin(.1 (i+1)(l+1)), k_il = cos(.07 (i+1)(l+2)),
 *         v_il = sin(.05 (i+2)(l+3)).
 * Use     a twin in double on g8_exact() meets a row at 1e-9, a product whose heads hold
 *         these numbers as floats at 2e-5; a twin on g8_of(z), the floats, the product.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "core/apply.h"
#include "tests/approx/zoo_draws.h"

enum { G8_N = 8, G8_D = 4, G8_OMEGA = 6, G8_BITS = 3, G8_SAMPLES = 4, G8_LOW = 3 };
#define G8_SCALE 0.5

typedef struct g8 {
    double q[G8_N][G8_D], k[G8_N][G8_D], v[G8_N][G8_D];
} g8;

static inline g8 g8_exact(void)
{
    g8 x;

    for (int i = 0; i < G8_N; i++)
        for (int l = 0; l < G8_D; l++) {
            x.q[i][l] = sin(0.1 * (i + 1) * (l + 1));
            x.k[i][l] = cos(0.07 * (i + 1) * (l + 2));
            x.v[i][l] = sin(0.05 * (i + 2) * (l + 3));
        }
    return x;
}

/* One head of them as floats. */
static inline void g8_zoo(zoo *z, bool causal)
{
    const g8 x = g8_exact();

    zoo_shape(z, 1, 1, G8_N, G8_N, G8_D, G8_D);
    for (int i = 0; i < G8_N; i++)
        for (int l = 0; l < G8_D; l++) {
            z->q[i * G8_D + l] = (float)x.q[i][l];
            z->k[i * G8_D + l] = (float)x.k[i][l];
            z->v[i * G8_D + l] = (float)x.v[i][l];
        }
    z->head[0].scale = G8_SCALE;
    zoo_causal(z, causal);
}

/* The floats of a head of 8 tokens, 4 numbers each, widened. */
static inline g8 g8_of(const zoo *z)
{
    g8 x;

    for (int i = 0; i < G8_N; i++)
        for (int l = 0; l < G8_D; l++) {
            x.q[i][l] = (double)z->q[i * G8_D + l];
            x.k[i][l] = (double)z->k[i * G8_D + l];
            x.v[i][l] = (double)z->v[i * G8_D + l];
        }
    return x;
}

/* ---- random objects of the second table ---- */

/* Projections of features, row r < 6. */
static inline double g8_omega(int r, int l)
{
    return cos(0.9 * (r + 1) * (l + 1));
}

/* Hyperplanes, a column a bit: codes of the queries 2,2,2,2,2,2,0,4, of the keys
 * 2,2,0,0,4,5,5,5. */
static const double g8_planes[G8_D][G8_BITS] = {
    {0, -1, -1}, {-1, -2, 2}, {-1, 2, -1}, {-1, 2, -2}};
static const int g8_query_codes[G8_N] = {2, 2, 2, 2, 2, 2, 0, 4};
static const int g8_key_codes[G8_N] = {2, 2, 0, 0, 4, 5, 5, 5};

/* Sampled keys, by their positions in the sorted order. */
static const int32_t g8_samples[G8_SAMPLES] = {0, 4, 4, 7};

/* Projections of keys and values to three, column c < 3. */
static inline double g8_project_keys(int j, int c)
{
    return sin(0.3 * (j + 1) * (c + 1)) / sqrt(3);
}
static inline double g8_project_values(int j, int c)
{
    return cos(0.2 * (j + 1) * (c + 1)) / sqrt(3);
}

/* Rotations of the two rounds of hashes, column c < 2. */
static inline double g8_rotation(int round, int l, int c)
{
    return round == 0 ? cos(1.1 * (l + 1) * (c + 1)) : sin(1.7 * (l + 1) * (c + 1));
}

/* Landmarks of Skyformer, rows of [Q; K]. */
static const int32_t g8_landmarks[6] = {0, 3, 6, 9, 12, 15};

/* ---- the tables ---- */

typedef struct g8_row {
    const char *method;               /* see the card for the settings in words */
    double first, middle, last, norm; /* o[0][0], o[3][1], o[7][3], Frobenius */
} g8_row;

static const g8_row g8_rows[] = {
    {"softmax", .6358548731, .6640836118, .7938103550, 4.0211511133},
    {"softmax causal", .2955202067, .5822712292, .7938103550, 3.5731485139},
    {"linear", .6251505154, .7412891715, .7924843864, 4.2072240197},
    {"linear causal", .2955202067, .6116494002, .7924843864, 3.7090857030},
    {"lightning .25", .2786701350, 3.7353423092, 2.6813885051, 17.0391485186},
    {"cosformer 8", .4806718020, .6561554434, .8460863485, 4.0259245193},
    {"cosformer 8 causal", .2955202067, .5969410573, .8460863485, 3.7290371137},
    {"flow clamp 1", .4546854001, .5661677409, .5919985868, 3.1613634260},
    {"flow no clamp", .4464314855, .5592565834, .5961238417, 3.1443292133},
    {"flow clamp 1 causal", .2160419489, .4542036930, .5410925965, 2.6803163399},
    {"flow clamp 10 causal", .2160419489, .4542035419, .5410924427, 2.6803155657},
    {"nystrom 4 exact", .6344568980, .6633609003, .7934273669, 4.0202556577},
    {"nystrom 4 6 steps", .6327486669, .6636206651, .7919114946, 4.0210122573},
    {"gaussian kernel", 3.7314343512, 3.4934750387, 4.8662504607, 22.8229913209},
    {"tensor", .4749156280, .6190059694, .6142340882, 3.3725991888},
    {"combiner fixed 4 causal", .2955202067, .5822712292, .7810060785, 3.7494546135},
    {"combiner fixed 4", .5402724487, .6194611159, .7810060785, 4.0958957063},
    {"rat chunk 4 gate .5", .1477601033, .6949934707, .7644059836, 3.5799537943},
    {"titans token", .0557340270, .8175789771, 1.0826895399, 4.7729882317},
    {"titans chunk 4", .0557340270, 1.4239902010, 1.6762957385, 7.8143693880},
    {"shiftadd", .3545150484, .4629310976, .5202403066, 2.8284271247},
    {"aaren", .2955202067, .6118334832, .7870938911, 3.7098891087},
    {"hyperbolic 2I", .6699145805, .7527594114, .8046351522, 4.3146251268},
    {"scatterbrain 2I", .6362239488, .7600352222, .7985684106, 4.2949165249},
    /* the second table */
    {"positive b", .7749415086, .8513595515, .7493434017, 4.6187535057},
    {"hyperbolic b causal", .2955202067, .6371284615, .7771103434, 3.8932012555},
    {"trig b", .5986687062, .6689633582, .7753962187, 4.0032630487},
    {"scatterbrain 2I causal", .2955202067, .6680196101, .7985684106, 3.8804396158},
    {"hyper inverse", .6960104234, .7521095122, .8741810824, 4.5600198545},
    {"hyper reference", .6926926034, .7366822306, .8999547500, 4.4795923158},
    {"kdeformer", .6906525033, .7364750396, .8984513245, 4.4720453260},
    {"linformer", -.5170920355, -.7464037680, .7272767693, 2.7182742726},
    {"reformer causal", .2955202067, .5574734657, .8311402686, 4.0827179322},
    {"tensor causal", .2883459683, .3764828388, .6142340882, 2.6512739878},
    {"tensor degree 2", .4749502263, .6203534301, .6143031207, 3.3766594774},
    {"polynomial 4 causal", .2955202067, .5832774121, .7939963837, 3.5772764572},
    {"nystrom 3", .6346117117, .6638671501, .7909584256, 4.0216176438},
    {"skyformer exact", 3.7012264547, 3.4925406745, 4.7307332186, 22.5973105368},
    {"skyformer 6 steps", 3.7025373390, 3.4908684996, 4.7400519241, 22.6124615078},
    {"combiner logsparse causal", .2955202067, .6285207685, .7526588726, 3.7575018339},
    {"combiner axial 2 causal", .2955202067, .5822712292, .7414374928, 3.5861854885},
    {"rat chunk 3 gate i", .2659681860, .6074045296, .7340141745, 3.6885066133},
    {"titans chunk 3 steps", .0557340270, .9424266165, .3890559701, 4.0159255811},
};

/* The outputs o [8][4] are those of the row of the tables with this name. */
static inline void g8_check(const char *method, const double *o, double tolerance)
{
    double norm = 0;

    for (int e = 0; e < G8_N * G8_D; e++) norm += o[e] * o[e];
    for (size_t r = 0; r < ATN_LEN(g8_rows); r++) {
        if (strcmp(g8_rows[r].method, method) != 0) continue;
        CHECK_NEAR(o[0], g8_rows[r].first, tolerance);
        CHECK_NEAR(o[3 * G8_D + 1], g8_rows[r].middle, tolerance);
        CHECK_NEAR(o[7 * G8_D + 3], g8_rows[r].last, tolerance);
        CHECK_NEAR(sqrt(norm), g8_rows[r].norm, tolerance);
        return;
    }
    fail_msg("no golden row of %s", method);
}

/* What a method gives on head 0 of z: o [nq, dv] as the executor writes it, and
 * w [nq, nk] implied (either may be NULL). */
static inline void g8_run(atn_ctx *cx, const zoo *z, const char *spec, double *o,
                          double *w)
{
    const atn_head *h = &z->head[0];
    float *out = zoo_floats(h->nq * h->v.cols);
    atn_plan plans[ZOO_HEADS_MOST];
    const atn_idx n = zoo_plan(cx, z, spec, 0, plans);

    CHECK_OK(atn_plan_apply(cx, h, &plans[0],
                            (atn_mat){out, h->nq, h->v.cols, h->v.cols}, NULL, "test"));
    for (atn_idx e = 0; o && e < h->nq * h->v.cols; e++) o[e] = (double)out[e];
    if (w) CHECK_OK(atn_plan_rows(cx, h, &plans[0], 0, h->nq, w));
    zoo_release(cx, plans, n);
    free(out);
}

/* w v of head 0 and o are the same: the fast way and the plain one. */
static inline void g8_same(const zoo *z, const double *w, const double *o,
                           double tolerance)
{
    const atn_head *h = &z->head[0];

    for (atn_idx i = 0; i < h->nq; i++)
        for (atn_idx c = 0; c < h->v.cols; c++) {
            double sum = 0, scale = 1;

            for (atn_idx j = 0; j < h->nk; j++) {
                const double part = w[i * h->nk + j] * (double)atn_crow(h->v, j)[c];

                sum += part;
                scale += fabs(part);
            }
            CHECK_NEAR(o[i * h->v.cols + c], sum, tolerance * scale);
        }
}

/* A file of one draw [rows, cols] of layer 0, or of its head `head` (-1: of the layer):
 * open until zoo_draws_end. */
static inline void g8_draws(atn_ctx *cx, zoo *z, const char *scratch, const char *what,
                            int head, const float *x, atn_idx rows, atn_idx cols)
{
    char name[100];
    const atn_st_out t = {name, ATN_F32, 2, {rows, cols}, x};

    if (head < 0)
        snprintf(name, sizeof name, "%s.layer-000", what);
    else
        snprintf(name, sizeof name, "%s.layer-000.head-%03d", what, head);
    zoo_draws(cx, z, scratch, &t, 1);
}
