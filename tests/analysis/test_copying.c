/* tests/analysis/test_copying.c -- eigenvalues of what a head writes, token by token. */
// SPDX-License-Identifier: GPL-3.0-or-later
#define KIND_WIDE 300 /* more than a task of the product takes */
#include "kind_capture.h"

#include <unistd.h>

#include "core/linalg.h"

extern const atn_measure atn_measure_copying;
static const atn_measure *const M = &atn_measure_copying;
enum {
    VOCAB = 700,
    SMALL = 21,
    WIDTH = KIND_WIDTH,
    DV = KIND_DV
}; /* more than a chunk */

static double value(const double *out, atn_idx row, const char *name)
{
    char full[64];

    snprintf(full, sizeof full, "copying_%s", name);
    return kind_value(M, out, row, full);
}

static float *tables(uint64_t seed, atn_idx vocab)
{
    float *x = malloc((size_t)vocab * WIDTH * sizeof *x);

    kind_noise(x, (size_t)vocab * WIDTH, 1, seed, "copying/table");
    return x;
}

/* A capture of n layers whose model has these tables (vocab, WIDTH); NULL = has none. */
static atn_capture *copying_capture(atn_ctx *cx, kind_layer *const *l, int n,
                                    const float *embed, const float *unembed,
                                    atn_idx vocab, unsigned with)
{
    json_t *weights[4] = {NULL}, *tokens = NULL;
    char model[600];

    snprintf(model, sizeof model, "%s", check_scratch("copying-model"));
    kind_model(cx, model, l, n, embed, unembed, vocab, weights, &tokens);
    return kind_capture(cx, "copying", l, n, with, json_pack("{s:s}", "dir", model),
                        weights, tokens);
}

/* With W_O = W_V' and one table the product is W_V E'E W_V': nothing is negative. The sign of
 * W_O turns all of it. */
static void one_sign(atn_ctx *cx)
{
    kind_layer *l = make_kind(KIND_CAUSAL, 1);
    float *table = tables(1, VOCAB);

    for (int sign = 1; sign >= -1; sign -= 2) {
        atn_capture *c;
        double *out;

        memset(l->w_v + 2 * WIDTH, 0, WIDTH * sizeof *l->w_v);
        for (int i = 0; i < KIND_HEADS * DV * WIDTH; i++)
            l->w_o[i] = (float)sign * l->w_v[i];
        c = copying_capture(cx, &l, 1, table, table, VOCAB, WITH_W_O);
        out = run_model_measure(cx, M, c, NULL, 0, NULL);
        for (int h = 0; h < KIND_HEADS; h++) { /* head 0 has a row of zeros */
            CHECK_NEAR(value(out, h, "score"), sign, 1e-6);
            CHECK_NEAR(value(out, h, "positive_share"), sign > 0, 0);
        }
        free(out);
        atn_capture_close(cx, c);
    }
    free(table);
    free(l);
}

/* W_U W_O W_V W_E token by token, and its eigenvalues: those of the small product and zeros. */
static void twin(const kind_layer *l, atn_idx h, const float *embed,
                 const float *unembed, atn_ctx *cx, double *score, double *share)
{
    double full[SMALL * SMALL], re[SMALL], im[SMALL], sum = 0, size = 0, most = 0;
    double above = 0, count = 0;
    const float *w_v = l->w_v + l->head[h].kv_head * DV * WIDTH,
                *w_o = l->w_o + h * DV * WIDTH;

    for (int u = 0; u < SMALL; u++)
        for (int t = 0; t < SMALL; t++) {
            full[u * SMALL + t] = 0;
            for (int e = 0; e < DV; e++) {
                double in = 0, back = 0;
                for (int w = 0; w < WIDTH; w++) {
                    in += (double)w_v[e * WIDTH + w] * (double)embed[t * WIDTH + w];
                    back += (double)w_o[e * WIDTH + w] * (double)unembed[u * WIDTH + w];
                }
                full[u * SMALL + t] += in * back;
            }
        }
    CHECK_OK(atn_eigenvalues_general(cx, full, SMALL, re, im));
    for (int i = 0; i < SMALL; i++) {
        sum += re[i];
        size += hypot(re[i], im[i]);
        most = fmax(most, hypot(re[i], im[i]));
    }
    for (int i = 0; i < SMALL; i++) {
        if (hypot(re[i], im[i]) < 1e-6 * most) continue;
        count++;
        above += re[i] > 0;
    }
    CHECK_NEAR(count, DV, 0);
    *score = sum / size;
    *share = above / count;
}

/* Two layers, grouped values, other tables for input and output, some heads. */
static void against_full_matrix(atn_ctx *cx)
{
    static const int heads[] = {0, 2, 3, 5, 1, 4}, layer[] = {0, 0, 0, 0, 1, 1};

    for (int trial = 0; trial < 6; trial++) {
        kind_layer *l[2] = {
            make_kind(trial % 2 ? KIND_GQA : KIND_CAUSAL, 10 + (uint64_t)trial),
            make_kind(trial % 2 ? KIND_GQA : KIND_CAUSAL, 50 + (uint64_t)trial)};
        float *embed = tables(2 + (uint64_t)trial, SMALL),
              *unembed = tables(60 + (uint64_t)trial, SMALL);
        atn_capture *c = copying_capture(cx, l, 2, embed, unembed, SMALL, WITH_W_O);
        double *out = run_model_measure(cx, M, c, "0.0,0.2,0.3,0.5,1.1,1.4", 0, NULL);

        for (int row = 0; row < 6; row++) {
            double score, share;

            twin(l[layer[row]], heads[row], embed, unembed, cx, &score, &share);
            CHECK_NEAR(value(out, row, "score"), score, 1e-5);
            CHECK_NEAR(value(out, row, "positive_share"), share, 1e-12);
            CHECK_LE(fabs(value(out, row, "score")), 1);
        }
        free(out);
        atn_capture_close(cx, c);
        free(l[0]);
        free(l[1]);
        free(embed);
        free(unembed);
    }
}

/* Many tokens: W_V (sum over tokens of e u') W_O', number by number. */
static void against_sum_over_tokens(atn_ctx *cx)
{
    kind_layer *l = make_kind(KIND_CAUSAL, 9);
    float *embed = tables(21, VOCAB), *unembed = tables(22, VOCAB);
    atn_capture *c = copying_capture(cx, &l, 1, embed, unembed, VOCAB, WITH_W_O);
    double *out = run_model_measure(cx, M, c, NULL, 0, NULL);

    for (int h = 0; h < KIND_HEADS; h++) {
        double a[DV * DV] = {0}, re[DV], im[DV], sum = 0, size = 0;

        for (int t = 0; t < VOCAB; t++) {
            double in[DV] = {0}, back[DV] = {0};

            for (int e = 0; e < DV; e++)
                for (int w = 0; w < WIDTH; w++) {
                    in[e] += (double)l->w_v[(h * DV + e) * WIDTH + w] *
                             (double)embed[t * WIDTH + w];
                    back[e] += (double)l->w_o[(h * DV + e) * WIDTH + w] *
                               (double)unembed[t * WIDTH + w];
                }
            for (int i = 0; i < DV * DV; i++) a[i] += in[i / DV] * back[i % DV];
        }
        CHECK_OK(atn_eigenvalues_general(cx, a, DV, re, im));
        for (int i = 0; i < DV; i++) {
            sum += re[i];
            size += hypot(re[i], im[i]);
        }
        CHECK_NEAR(value(out, h, "score"), sum / size, 1e-5);
    }
    free(out);
    atn_capture_close(cx, c);
    free(embed);
    free(unembed);
    free(l);
}

/* Coordinates of the head, and the size of its maps, change nothing. */
static void what_does_not_matter(atn_ctx *cx)
{
    kind_layer *l = make_kind(KIND_CAUSAL, 3);
    float *embed = tables(4, VOCAB), *unembed = tables(5, VOCAB);
    atn_capture *c = copying_capture(cx, &l, 1, embed, unembed, VOCAB, WITH_W_O);
    double *a = run_model_measure(cx, M, c, NULL, 0, NULL), *b;

    atn_capture_close(cx, c);
    for (int w = 0; w < WIDTH; w++) { /* (2 1; 0 .5) and its inverse transpose */
        float *v = l->w_v + w, *o = l->w_o + w;

        v[0] = 2 * v[0] + v[WIDTH];
        v[WIDTH] *= .5f;
        o[WIDTH] = 2 * o[WIDTH] - o[0];
        o[0] *= .5f;
    }
    for (int i = 0; i < DV * WIDTH; i++) l->w_o[DV * WIDTH + i] *= 8;
    c = copying_capture(cx, &l, 1, embed, unembed, VOCAB, WITH_W_O);
    cx->threads = 1;
    b = run_model_measure(cx, M, c, NULL, 0, NULL);
    for (int i = 0; i < KIND_HEADS * 2; i++) CHECK_NEAR(a[i], b[i], 1e-5);
    free(a);
    cx->threads = 3;
    a = run_model_measure(cx, M, c, NULL, 0, NULL);
    check_same_values(a, b, KIND_HEADS * 2);
    atn_capture_close(cx, c);
    free(a);
    free(b);
    free(embed);
    free(unembed);
    free(l);
}

static void what_is_missing(atn_ctx *cx)
{
    kind_layer *l = make_kind(KIND_CAUSAL, 6);
    float *table = tables(7, SMALL);
    atn_selection sel;
    atn_model_facts f = {.selection = &sel};
    double out[KIND_HEADS * 2], *got;
    char path[700];
    atn_capture *c;

    cx->log_level = ATN_LOG_ERROR;
    for (int without = 0; without < 2; without++) { /* W_O, unembedding */
        c = copying_capture(cx, &l, 1, table, without ? NULL : table, SMALL,
                            without ? WITH_W_O : 0);
        got = run_model_measure(cx, M, c, NULL, 0, NULL);
        for (int i = 0; i < KIND_HEADS * 2; i++) CHECK(isnan(got[i]));
        free(got);
        atn_capture_close(cx, c);
    }
    memset(l->w_v, 0, DV * WIDTH * sizeof *l->w_v);
    c = copying_capture(cx, &l, 1, table, table, SMALL, WITH_W_O);
    got = run_model_measure(cx, M, c, NULL, 0, NULL);
    CHECK(isnan(got[0]) && isnan(got[1]) && !isnan(got[2])); /* a map of zeros */
    free(got);
    CHECK_OK(atn_select(cx, c, &(atn_select_args){.layers = NULL}, &sel));
    f.capture = c;
    snprintf(path, sizeof path, "%s/model.safetensors", atn_capture_model(c)->dir);
    CHECK_EQ(unlink(path), 0);
    CHECK_FAILS(M->model(cx, &f, NULL, out), ATN_NOINPUT, "are gone");
    atn_selection_release(cx, &sel);
    atn_capture_close(cx, c);
    table[3] = NAN;
    c = copying_capture(cx, &l, 1, table, table, SMALL, WITH_W_O);
    CHECK_OK(atn_select(cx, c, &(atn_select_args){.layers = NULL}, &sel));
    f.capture = c;
    CHECK_FAILS(M->model(cx, &f, NULL, out), ATN_DATA, "NaN or infinity");
    cx->mem_limit = 3000;
    CHECK_FAILS(M->model(cx, &f, NULL, out), ATN_MEMORY, "");
    cx->mem_limit = 0;
    atn_selection_release(cx, &sel);
    atn_capture_close(cx, c);
    free(table);
    free(l);
}

CHECK_MAIN({"one sign", one_sign}, {"against the full matrix", against_full_matrix},
           {"against the sum over tokens", against_sum_over_tokens},
           {"what does not matter", what_does_not_matter},
           {"what is missing", what_is_missing})
