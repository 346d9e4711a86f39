/* tests/core/test_wide_rows.c -- logits and weights in double against the textbook, and
 * their bits in any tile. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "check.h"

#include "core/rng.h"
#include "core/wide_rows.h"

enum { MOST = 700, DIM = 37, STEP = DIM + 3 };

static float q_data[MOST * STEP], k_data[MOST * STEP], bias[2 * MOST];

/* Rows lie 3 floats further apart than they are long; key 5 comes again as key 411. */
static atn_head make_head(atn_idx nq, atn_idx nk, atn_idx d)
{
    atn_rng r = atn_rng_stream(3, "test/wide", nq, nk);
    atn_head h = {.q = {q_data, nq, d, d + 3},
                  .k = {k_data, nk, d, d + 3},
                  .nq = nq,
                  .nk = nk,
                  .scale = .3,
                  .sight = {.causal = true, .offset = nk - nq, .key_last = nk}};

    for (size_t e = 0; e < ATN_LEN(q_data); e++) q_data[e] = (float)atn_rng_normal(&r);
    for (size_t e = 0; e < ATN_LEN(k_data); e++) k_data[e] = (float)atn_rng_normal(&r);
    for (size_t e = 0; e < ATN_LEN(bias); e++) bias[e] = (float)atn_rng_normal(&r);
    if (nk > 411)
        memcpy(k_data + 411 * (d + 3), k_data + 5 * (d + 3), (size_t)d * sizeof(float));
    return h;
}

/* The logit by its definition, and how large its terms are. */
static double logit(const atn_head *h, atn_idx i, atn_idx j, double *size)
{
    double s = 0;

    *size = 0;
    for (atn_idx c = 0; c < h->q.cols; c++) {
        const double x = (double)atn_crow(h->q, i)[c] * (double)atn_crow(h->k, j)[c];

        s += x;
        *size += fabs(x);
    }
    s = h->scale * s + h->alibi_slope * (double)(j - i - h->sight.offset);
    if (h->rel_bias) s += (double)bias[j - i + h->q.rows - 1];
    return h->sight.softcap > 0 ? h->sight.softcap * tanh(s / h->sight.softcap) : s;
}

static void logits_against_the_textbook(atn_ctx *cx)
{
    static const atn_idx shapes[][3] = {
        {1, 1, 1}, {7, 20, 3}, {64, 64, 8}, {13, 333, 37}, {5, 700, 16}};
    double *out = malloc(sizeof *out * 64 * MOST);

    for (size_t s = 0; s < ATN_LEN(shapes); s++)
        for (int kind = 0; kind < 4; kind++) {
            atn_head h = make_head(shapes[s][0], shapes[s][1], shapes[s][2]);
            const atn_tile t = {0, h.nq, 0, h.nk};

            h.alibi_slope = kind > 0 ? -.25 : 0;
            h.sight.softcap = kind > 1 ? 4 : 0;
            if (kind > 2) h.rel_bias = bias, h.rel_zero = h.nk - 1;
            CHECK_OK(atn_wide_logits(cx, &h, &t, out));
            for (atn_idx i = 0; i < h.nq; i++)
                for (atn_idx j = 0; j < h.nk; j++) {
                    double size;
                    const double want = logit(&h, i, j, &size);

                    CHECK_NEAR(out[i * h.nk + j], want, 1e-15 * (size + 1) + 1e-14);
                }
        }
    free(out);
}

/* A row is the same bits in every tile, and equal keys are equal. */
static void bits_do_not_depend_on_the_tile(atn_ctx *cx)
{
    const atn_head h = make_head(64, MOST, DIM);
    const atn_tile all = {0, 64, 0, MOST};
    double *whole = malloc(sizeof *whole * 64 * MOST);
    double *part = malloc(sizeof *part * 64 * MOST);

    CHECK_OK(atn_wide_logits(cx, &h, &all, whole));
    for (atn_idx i = 0; i < 64; i++)
        CHECK(whole[i * MOST + 5] == whole[i * MOST + 411]);
    for (atn_idx first = 0; first < 64; first += 5)
        for (atn_idx key0 = 0; key0 < MOST; key0 += 93) {
            const atn_idx rows = ATN_MIN(first % 7 + 1, 64 - first);
            const atn_tile t = {first, rows, key0, MOST - key0};

            CHECK_OK(atn_wide_logits(cx, &h, &t, part));
            for (atn_idx r = 0; r < rows; r++)
                CHECK(memcmp(part + r * t.keys, whole + (first + r) * MOST + key0,
                             (size_t)t.keys * sizeof *part) == 0);
        }
    free(whole);
    free(part);
}

/* {ln .3, ln .5, ln .2}: these weights; with a sink logit of 0, half of each. */
static void weights(atn_ctx *cx)
{
    double x[] = {log(.3), log(.5), log(.2)}, mass;
    atn_head h = make_head(1, 3, 1);

    CHECK_OK(atn_wide_softmax(cx, &h, 0, x, 3, &mass));
    CHECK_NEAR(x[0], .3, 1e-15);
    CHECK_NEAR(x[1], .5, 1e-15);
    CHECK_NEAR(mass, 1, 1e-15);
    h.has_sink = true;
    for (int j = 0; j < 3; j++) x[j] = log(x[j]);
    CHECK_OK(atn_wide_softmax(cx, &h, 0, x, 3, &mass));
    CHECK_NEAR(x[2], .1, 1e-15);
    CHECK_NEAR(mass, .5, 1e-15);
    CHECK_OK(atn_wide_softmax(cx, &h, 0, x, 0, &mass));
    CHECK(mass == 0);
}

static void given_weights(atn_ctx *cx)
{
    const float p[] = {.1f, .2f, .3f, .4f, .5f, .6f};
    atn_head h = {.p = {p, 2, 3, 3}, .nq = 2, .nk = 3, .sight = {.key_last = 3}};
    const atn_tile t = {1, 1, 1, 2};
    double x[2], mass;

    CHECK_OK(atn_wide_logits(cx, &h, &t, x));
    CHECK(x[0] == (double)p[4] && x[1] == (double)p[5]);
    CHECK_OK(atn_wide_softmax(cx, &h, 1, x, 2, &mass));
    CHECK(x[0] == (double)p[4] && mass == (double)p[4] + (double)p[5]);
}

static void bad_numbers(atn_ctx *cx)
{
    atn_head h = make_head(1, 3, 1);
    double mass;

    h.layer = 4;
    for (int j = 0; j < 3; j++)
        for (int kind = 0; kind < 2; kind++) {
            double x[] = {1, 2, 3};

            x[j] = kind ? (double)NAN : (double)INFINITY;
            CHECK_FAILS(atn_wide_softmax(cx, &h, 0, x, 3, &mass), ATN_DATA, "layer 4");
        }
}

static void memory_runs_out(atn_ctx *cx)
{
    const atn_head h = make_head(8, 300, 8);
    const atn_tile t = {0, 8, 0, 300};
    double *out = malloc(sizeof *out * 8 * 300);
    check_failing failing = {0};
    atn_ctx mine;

    (void)cx;
    atn_ctx_init(&mine);
    mine.alloc = (atn_allocator){check_failing_resize, &failing};
    CHECK_EQ(atn_wide_logits(&mine, &h, &t, out), ATN_MEMORY);
    failing.left = 1;
    CHECK_EQ(atn_wide_logits(&mine, &h, &t, out), ATN_OK);
    atn_ctx_release(&mine);
    free(out);
}

/* ln 1, ln 2, ln 5 and a sink of ln 8: sixteenths; without it eighths. A product of 2
 * at position 5 with key 3, slope 1/2, cap 4: 4 tanh(1/4). */
static void soften_by_hand(atn_ctx *cx)
{
    const atn_head h = {.alibi_slope = .5, .sight = {.softcap = 4}}, plain = {0};
    double z[] = {log(2), 0, log(5)}, e[] = {log(2), 0, log(5)};

    (void)cx;
    atn_wide_soften(z, 3, log(8));
    atn_wide_soften(e, 3, -INFINITY);
    for (int i = 0; i < 3; i++) {
        const double want[] = {2, 1, 5};

        CHECK_NEAR(z[i], want[i] / 16, 1e-15);
        CHECK_NEAR(e[i], want[i] / 8, 1e-15);
    }
    atn_wide_soften(z, 0, -INFINITY);
    CHECK_NEAR(atn_wide_logit(&h, 2, 5, 3), 4 * tanh(.25), 1e-15);
    CHECK_NEAR(atn_wide_logit(&plain, 2, 5, 3), 2, 0);
}

CHECK_MAIN({"logits", logits_against_the_textbook},
           {"bits do not depend on the tile", bits_do_not_depend_on_the_tile},
           {"weights", weights}, {"soften", soften_by_hand},
           {"given weights", given_weights}, {"bad numbers", bad_numbers},
           {"memory runs out", memory_runs_out})
