/* tests/capture/test_place.c -- the attentions of a run. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "make_model.h"

#include "capture/place.h"

/* 8 heads: 1/2, 1/4 .. 1/256. 12 heads: the same, then every second of those of 16
 * heads, 2^-.5, 2^-1.5, .. 1 head: 2^-8. */
static void slopes(atn_ctx *cx)
{
    static const double more[] = {.70710678, .35355339, .17677670, .08838835};

    (void)cx;
    for (int h = 0; h < 8; h++) {
        CHECK_NEAR(atn_alibi_slope(h, 8), 1 / (double)(2 << h), 1e-15);
        CHECK_NEAR(atn_alibi_slope(h, 12), 1 / (double)(2 << h), 1e-15);
    }
    for (int h = 0; h < 4; h++) CHECK_NEAR(atn_alibi_slope(8 + h, 12), more[h], 1e-8);
    CHECK_NEAR(atn_alibi_slope(0, 1), 1 / 256.0, 1e-15);
    CHECK_NEAR(atn_alibi_slope(2, 3), 0.25, 1e-15); /* 2^-4, 2^-8, then 2^(-4 / 2) */
}

/* d = 8. Scale, slopes and layers as config.json says. */
static void places(atn_ctx *cx)
{
    static const struct {
        const char *model;
        atn_idx layers;
        double scale[2];
        bool causal, alibi;
        atn_idx window;
    } cases[] = {{"gpt2", 2, {.35355339, .35355339}, true, false, 0},
                 {"gpt2_old", 2, {.35355339, .17677670}, true, false, 0},
                 {"gpt2_scales", 2, {1, .5}, true, false, 0},
                 {"bloom", 2, {.40824829, .40824829}, true, true, 0},
                 {"phi3", 2, {.35355339, .35355339}, true, false, 5},
                 {"albert_groups", 6, {.35355339, .35355339}, false, false, 0}};

    for (size_t i = 0; i < ATN_LEN(cases); i++) {
        const atn_input in = {.n = 7};
        char dir[1000];
        atn_model m;
        atn_place *p = NULL;
        atn_idx n = 0;

        snprintf(dir, sizeof dir, "%s/parity/%s", ATN_TEST_FIXTURES, cases[i].model);
        cx->log_level = ATN_LOG_ERROR;
        CHECK_OK(atn_model_open(cx, dir, &m));
        CHECK_OK(atn_model_places(cx, &m, &in, &p, &n));
        CHECK_EQ(n, cases[i].layers);
        for (int l = 0; l < 2; l++) {
            CHECK_NEAR(p[l].scale, cases[i].scale[l], 1e-8);
            CHECK_EQ(p[l].sight.causal, cases[i].causal);
            CHECK_EQ(p[l].sight.window, cases[i].window);
            CHECK_EQ(p[l].has_alibi, cases[i].alibi);
        }
        atn_free(cx, p);
        atn_model_close(cx, &m);
    }
}

/* albert_groups: 3 layers of 2; embeddings 20 wide to 16, MLP 32, 4 products of
 * width^2 a layer; 7 x 7 pairs, 2 products of 2 flops a pair and channel. */
static void flops(atn_ctx *cx)
{
    const atn_input in = {.n = 7};
    atn_model m;

    cx->log_level = ATN_LOG_ERROR;
    CHECK_OK(atn_model_open(cx, ATN_TEST_FIXTURES "/parity/albert_groups", &m));
    CHECK_NEAR(
        atn_model_flops(&m, &in),
        2 * 7 * 20 * 16 + 6 * (2 * 7 * (4 * 16 * 16 + 2 * 16 * 32) + 4 * 16 * 49), 0);
    atn_model_close(cx, &m);
}

CHECK_MAIN({"slopes", slopes}, {"places", places}, {"flops", flops})
