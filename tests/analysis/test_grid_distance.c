/* tests/analysis/test_grid_distance.c -- distances between patches of an image. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "check.h"

#include "analysis/measure.h"
#include "core/rng.h"

extern const atn_measure atn_measure_grid_distance;

static void run_of(atn_ctx *cx, const atn_head *h, const atn_capture *c,
                   const char *spec, double out[2])
{
    const bool keep = true;
    const atn_layer_facts f = {.head = h, .heads = 1, .keep = &keep, .capture = c};
    struct {
        int64_t a, b;
        double c;
    } params;

    CHECK(atn_measure_grid_distance.params_size == sizeof params);
    atn_param_defaults(atn_measure_grid_distance.params, &params);
    CHECK_OK(atn_param_parse(cx, "grid_distance", atn_measure_grid_distance.params,
                             spec, &params));
    CHECK_OK(atn_measure_grid_distance.layer(cx, &f, &params, out));
}

static void run(atn_ctx *cx, const atn_head *h, const char *spec, double out[2])
{
    run_of(cx, h, NULL, spec, out);
}

/* A class token before a 2 x 2 grid: uniform rows give (0 + 1 + 1 + sqrt 2) / 4 patches, and
 * four fifths of their weight lie on the grid. The class token's own row does not count. */
static void uniform_square(atn_ctx *cx)
{
    static float zero[5];
    const atn_head h = {.q = {zero, 5, 1, 1},
                        .k = {zero, 5, 1, 1},
                        .nq = 5,
                        .nk = 5,
                        .scale = 1,
                        .sight = {.key_last = 5}};
    double out[2];

    run(cx, &h, NULL, out);
    CHECK_NEAR(out[0], (2 + sqrt(2)) / 4, 1e-7);
    CHECK_NEAR(out[1], .8, 1e-7);
    run(cx, &h, "patch=16", out);
    CHECK_NEAR(out[0], 4 * (2 + sqrt(2)), 1e-5);
}

/* Two special tokens, 2 x 2 patches and a token of text, as the capture says. */
static void the_grid_of_the_capture(atn_ctx *cx)
{
    static float zero[7];
    const atn_st_out t[] = {{"q", ATN_F32, 3, {1, 7, 1}, zero},
                            {"k", ATN_F32, 3, {1, 7, 1}, zero}};
    json_t *m = json_pack("{s:s, s:i, s:[{s:i, s:s, s:i, s:i, s:i, s:i, s:i, s:s, "
                          "s:[s, s]}]}",
                          "grid", "2x2", "grid_first", 2, "layers", "index", 0, "file",
                          "layer-000.safetensors", "heads", 1, "d", 1, "n_q", 7, "n_k",
                          7, "scale", 1, "mask", "full", "tensors", "q", "k");
    atn_capture_writer *w = NULL;
    atn_capture *c = NULL;
    double out[2] = {NAN, NAN};
    char dir[700];
    atn_problem p;
    atn_head h;

    snprintf(dir, sizeof dir, "%s/run", check_scratch("grid-distance"));
    CHECK(m != NULL);
    CHECK_OK(atn_capture_begin(cx, dir, m, "f", true, &w));
    CHECK_OK(atn_capture_put(cx, w, 0, t, 2));
    CHECK_OK(atn_capture_finish(cx, w, NULL));
    json_decref(m);
    CHECK_OK(atn_capture_open(cx, dir, &c));
    CHECK_OK(atn_capture_load(cx, c, 0, &p));
    h = atn_problem_head(&p, 0);
    run_of(cx, &h, c, NULL, out);
    CHECK_NEAR(out[0], (2 + sqrt(2)) / 4, 1e-6);
    CHECK_NEAR(out[1], 4.0 / 7, 1e-6);
    run_of(cx, &h, c, "width=5,first=2", out); /* in place of it: one line */
    CHECK_NEAR(out[1], 5.0 / 7, 1e-6);
    h.sight.cross = true;
    out[0] = out[1] = NAN;
    run_of(cx, &h, c, NULL, out);
    CHECK(isnan(out[0]) && isnan(out[1]));
    atn_capture_unload(cx, &p);
    atn_capture_close(cx, c);
}

/* Random heads on a 5 x 3 grid behind two tokens, against loops over coordinates. */
static void against_coordinates(atn_ctx *cx)
{
    enum { N = 17, D = 3, W = 5, FIRST = 2 };

    for (int trial = 0; trial < 8; trial++) {
        atn_rng r = atn_rng_stream(4, "test/grid", trial, 0);
        float q[N * D], k[N * D];
        const atn_head h = {.q = {q, N, D, D},
                            .k = {k, N, D, D},
                            .nq = N,
                            .nk = N,
                            .scale = .7,
                            .sight = {.causal = trial & 1, .key_last = N}};
        double want = 0, share = 0, out[2];

        for (int i = 0; i < N * D; i++) {
            q[i] = (float)atn_rng_normal(&r);
            k[i] = (float)(2 * atn_rng_normal(&r));
        }
        for (int i = FIRST; i < N; i++) {
            const int end = trial & 1 ? i + 1 : N;
            double z = 0, on = 0, d = 0;

            for (int j = 0; j < end; j++) {
                double s = 0;
                for (int c = 0; c < D; c++)
                    s += (double)q[i * D + c] * (double)k[j * D + c];
                s = exp(.7 * s);
                z += s;
                if (j < FIRST) continue;
                on += s;
                d += s * sqrt(pow((i - FIRST) % W - (j - FIRST) % W, 2) +
                              pow((i - FIRST) / W - (j - FIRST) / W, 2));
            }
            want += d / on / (N - FIRST);
            share += on / z / (N - FIRST);
        }
        run(cx, &h, "width=5,first=2", out);
        CHECK_NEAR(out[0], want, 1e-6);
        CHECK_NEAR(out[1], share, 1e-6);
    }
}

static void no_square_is_refused(atn_ctx *cx)
{
    static float zero[8];
    const atn_head h = {.q = {zero, 8, 1, 1},
                        .k = {zero, 8, 1, 1},
                        .nq = 8,
                        .nk = 8,
                        .scale = 1,
                        .sight = {.key_last = 8}};
    const bool keep = true;
    const atn_layer_facts f = {.head = &h, .heads = 1, .keep = &keep};
    const struct {
        int64_t width, first;
        double patch;
    } params = {0, 1, 1};
    double out[2];

    CHECK(atn_measure_grid_distance.layer(cx, &f, &params, out) == ATN_USAGE);
    CHECK(strstr(cx->err.text, "no square"));
}

CHECK_MAIN({"the grid of the capture", the_grid_of_the_capture},
           {"uniform square", uniform_square},
           {"against coordinates", against_coordinates},
           {"no square is refused", no_square_is_refused})
