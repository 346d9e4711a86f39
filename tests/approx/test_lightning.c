/* Lightning: slopes, the golden row, decayed products written out here, both
 * conventions, the norm, limits and the bound of what is cut off. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "approx/lightning.h"
#include "tests/approx/g8.h"
#include "tests/approx/operator_twin.h"

static void slopes(atn_ctx *cx)
{
    static const double of_6[] = {.25, .0625, .015625, .00390625, .5, .125};
    static const double of_4[] = {.25, .0625, .015625, .00390625};

    (void)cx;
    for (int h = 0; h < 6; h++) CHECK_NEAR(atn_lightning_slope(h, 6), of_6[h], 1e-15);
    for (int h = 0; h < 4; h++) CHECK_NEAR(atn_lightning_slope(h, 4), of_4[h], 1e-15);
    for (int h = 0; h < 8; h++)
        CHECK_NEAR(atn_lightning_slope(h, 8), pow(.5, h + 1), 1e-15);
    CHECK_NEAR(atn_lightning_slope(0, 1), 1 / 256., 1e-15);
    /* three heads: of two .0625 .00390625, then the first of four */
    CHECK_NEAR(atn_lightning_slope(1, 3), .00390625, 1e-15);
    CHECK_NEAR(atn_lightning_slope(2, 3), .25, 1e-15);
}

static void golden(atn_ctx *cx)
{
    const g8 x = g8_exact();
    double o[G8_N * G8_D] = {0}, w[G8_N * G8_N], state[4][4] = {{0}};
    zoo z;

    for (int i = 0; i < G8_N; i++) /* one matrix that fades */
        for (int a = 0; a < 4; a++)
            for (int c = 0; c < 4; c++) {
                state[a][c] = exp(-.25) * state[a][c] + x.k[i][a] * x.v[i][c];
                o[i * 4 + c] += x.q[i][a] * state[a][c];
            }
    g8_check("lightning .25", o, 1e-9);
    g8_zoo(&z, true);
    g8_run(cx, &z, "lightning:slope=.25", o, w);
    g8_check("lightning .25", o, 2e-5);
    g8_same(&z, w, o, 1e-6);
    zoo_free(&z);
}

typedef struct rule {
    bool fla;
    double slope; /* -1 = by head */
    bool norm;
    int layers, layer;
} rule;

static double fades(const rule *r, atn_idx h, atn_idx heads)
{
    static const double of[4][4] = {{1 / 256.},
                                    {.0625, .00390625},
                                    {.0625, .00390625, .25},
                                    {.25, .0625, .015625, .00390625}};
    const double layer = r->layer, layers = r->layers;

    if (r->slope >= 0) return r->slope;
    if (r->fla) return 8. * (double)h / (double)heads * (1 - layer / layers);
    return of[heads - 1][h] * (1 - layer / (layers - 1) + 1e-5);
}

static void by_products(const zoo *z, atn_idx head, const void *p, double *w)
{
    const atn_head *h = &z->head[head];
    const rule *r = p;
    const double fade = fades(r, head, z->in.heads);

    for (atn_idx i = 0; i < h->nq; i++) {
        const atn_idx at = i + h->sight.offset;
        const atn_idx lo = h->sight.window ? at - h->sight.window + 1 : 0;
        double o[5] = {0}, size = 0;

        for (atn_idx j = lo > 0 ? lo : 0; j <= at; j++) {
            double *to = &w[i * h->nk + j];

            *to = twin_dot(atn_crow(h->q, i), atn_crow(h->k, j), 8) *
                  exp(-fade * (double)(at - j)) / (r->fla ? sqrt(8) : 1);
            for (int c = 0; c < 5; c++) o[c] += *to * (double)atn_crow(h->v, j)[c];
        }
        for (int c = 0; c < 5; c++) size += o[c] * o[c] / 5;
        for (atn_idx j = 0; r->norm && j <= at; j++)
            w[i * h->nk + j] /= sqrt(size + 1e-6);
    }
}

static void twin(atn_ctx *cx)
{
    static const rule rules[] = {{false, -1, false, 5, 2}, {true, -1, false, 5, 3},
                                 {false, 0, false, 5, 1},  {false, .3, true, 5, 1},
                                 {true, .05, true, 5, 1},  {false, -1, false, 5, 4}};

    for (int trial = 0; trial < CASES; trial++) {
        const rule *r = &rules[trial % (int)ATN_LEN(rules)];
        char spec[128];
        zoo z;

        case_layer(&z, trial);
        z.in.layers = r->layers;
        for (int h = 0; h < z.in.heads; h++) z.head[h].layer = r->layer;
        snprintf(spec, sizeof spec, "lightning:convention=%s,norm=%s,slope=%g",
                 r->fla ? "fla" : "transnormer", r->norm ? "srms" : "none", r->slope);
        twin_layer(cx, &z, spec, by_products, r, 1e-9);
        zoo_free(&z);
    }
}

/* Long enough for several blocks. */
static void blocks(atn_ctx *cx)
{
    const rule r = {false, .01, false, 0, 0};
    zoo z;

    zoo_random(&z, 2, 1, 517, 517, 5);
    twin_layer(cx, &z, "lightning:slope=.01", by_products, &r, 1e-9);
    zoo_free(&z);
}

/* What is further back than 6 tokens, against max |q| |k| |v| e^{-7 lam} /
 * (1 - e^{-lam}); a large slope leaves the diagonal. */
static void limits(atn_ctx *cx)
{
    double far[5], w[30];
    zoo z;

    zoo_random(&z, 1, 1, 30, 30, 5);
    for (int i = 0; i < 30; i++) {
        double sum = 0;

        memset(far, 0, sizeof far);
        zoo_row(cx, &z, "lightning:slope=.4", 0, i, w);
        for (int j = 0; j < i - 6; j++)
            for (int c = 0; c < 5; c++)
                far[c] += w[j] * (double)atn_crow(z.head[0].v, j)[c];
        for (int c = 0; c < 5; c++) sum += far[c] * far[c];
        /* all |q|, |k| <= 1.5 sqrt 8, |v| <= sqrt 5 */
        CHECK_LE(sqrt(sum), 18 * sqrt(5) * exp(-7 * .4) / (1 - exp(-.4)));
        zoo_row(cx, &z, "lightning:slope=0", 0, i, w);
        for (int j = 0; j < 30; j++)
            CHECK_NEAR(
                w[j],
                j <= i ? twin_dot(atn_crow(z.head[0].q, i), atn_crow(z.head[0].k, j), 8)
                       : 0,
                1e-12);
        zoo_row(cx, &z, "lightning:slope=1000", 0, i, w);
        for (int j = 0; j < 30; j++)
            CHECK_NEAR(
                w[j],
                j == i ? twin_dot(atn_crow(z.head[0].q, i), atn_crow(z.head[0].k, i), 8)
                       : 0,
                1e-12);
    }
    zoo_free(&z);
}

static void properties(atn_ctx *cx)
{
    static const char *const settings[] = {"", "slope=0", "slope=10000",
                                           "convention=fla", "norm=srms"};
    atn_choice c;
    atn_plan p;
    zoo z;

    zoo_random(&z, 1, 1, 200, 200, 8);
    twin_threads(cx, &z, "lightning:norm=srms");
    twin_causal(cx, &z, "lightning");
    CHECK_OK(atn_choice_read(cx, "lightning", "norm=srms", &c));
    z.head[0].v.data = NULL;
    CHECK_FAILS(atn_choice_plan(cx, &c, &z.in, 0, &p), ATN_DATA, "reads the values");
    z.head[0].sight.softcap = 4;
    CHECK_FAILS(atn_choice_plan(cx, &c, &z.in, 0, &p), ATN_DATA, "a soft-cap");
    zoo_free(&z);
    zoo_random(&z, 1, 1, 20, 20, 8);
    zoo_failing(&z, "lightning", "norm=srms");
    zoo_free(&z);
    for (int k = 0; k < 5; k++) twin_degenerate(cx, "lightning", settings[k], true);
}

/* A long head is planned in what it says that it needs, norms among it. */
static void memory(atn_ctx *cx)
{
    enum { N = 1 << 16 };
    double said;
    atn_choice c;
    atn_plan p[1];
    zoo z;

    zoo_shape(&z, 1, 1, N, N, 4, 4);
    for (int e = 0; e < 4 * N; e++)
        z.q[e] = z.k[e] = z.v[e] = (float)(7 * (e % 1000) % 11 - 5) / 8;
    CHECK_OK(atn_choice_read(cx, "lightning", "norm=srms", &c));
    said = atn_choice_bytes(cx, &c, &z.in);
    cx->mem_limit = *cx->in_use + (size_t)said;
    CHECK_OK(atn_choice_plan(cx, &c, &z.in, 0, p));
    cx->mem_limit = 0;
    zoo_release(cx, p, 1);
    zoo_free(&z);
}

CHECK_MAIN({"slopes", slopes}, {"golden", golden}, {"twin", twin}, {"blocks", blocks},
           {"limits", limits}, {"properties", properties}, {"memory", memory})
