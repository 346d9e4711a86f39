/* Similarity of published attention matrices; skipped where the shared data is not here. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "check.h"

#include "analysis/similarity.h"
#include "core/io/safetensors.h"

static void silent(void *user, atn_log_level level, const char *text)
{
    (void)user;
    (void)level;
    (void)text;
}

/* A tensor as floats of its own: mapped data may lie anywhere. Free it. */
static float *floats(const atn_st_tensor *t)
{
    float *x;

    CHECK(t && t->loadable && t->count > 0);
    x = malloc((size_t)t->count * sizeof *x);
    atn_widen(t->data, t->type, t->count, x);
    return x;
}

/* Tensor [layers, heads, a, b] with data x as problems of given rows. */
static int given_layers(const atn_st_tensor *t, const float *x, atn_problem *out)
{
    const atn_idx each = t->shape[1] * t->shape[2] * t->shape[3];

    CHECK(t->rank == 4 && t->shape[0] <= 12);
    for (int l = 0; l < t->shape[0]; l++)
        out[l] = (atn_problem){.layer = l,
                               .heads = t->shape[1],
                               .kv_heads = t->shape[1],
                               .nq = t->shape[2],
                               .nk = t->shape[3],
                               .p = x + l * each,
                               .sight = {.key_last = t->shape[3]}};
    return (int)t->shape[0];
}

/* The published numbers are cosines of head means, row by row: cos_row of layers with one
 * head, the mean. From Q and K the rows come out the same. */
static void rxnmapper(atn_ctx *cx)
{
    static const double neighbours[] = {.8994, .8703, .9106, .9346, .9522, .9611,
                                        .9662, .9684, .9686, .9755, .9806};
    const char *path = check_shared("models/rxnmapper-albert/oracle.safetensors");
    const atn_similarity_opts o = {.copy_err = false};
    const atn_idx n = 82, heads = 8;
    atn_problem given[12], mean[12], live[12];
    atn_similarity_part a, b, c;
    atn_st *f = NULL;
    float *means, *p, *q, *k;

    CHECK_OK(atn_st_open(cx, path, &f));
    p = floats(atn_st_find(f, "attn"));
    CHECK_EQ(given_layers(atn_st_find(f, "attn"), p, given), 12);
    q = floats(atn_st_find(f, "q"));
    k = floats(atn_st_find(f, "k"));
    means = calloc((size_t)(12 * n * n), sizeof *means);
    for (int l = 0; l < 12; l++) {
        mean[l] = given[l];
        mean[l].heads = mean[l].kv_heads = 1;
        mean[l].p = means + l * n * n;
        for (atn_idx h = 0; h < heads; h++)
            for (atn_idx i = 0; i < n * n; i++)
                means[l * n * n + i] += given[l].p[h * n * n + i] / 8;
        live[l] = given[l];
        live[l].p = NULL;
        live[l].q = q + l * heads * n * 32;
        live[l].k = k + l * heads * n * 32;
        live[l].d = 32;
        live[l].scale = 1 / sqrt(32.);
    }
    CHECK_OK(atn_similarity_compare(cx, mean, 12, NULL, NULL, 0, &o, &a));
    CHECK_OK(atn_similarity_compare(cx, given, 12, NULL, NULL, 0, &o, &b));
    CHECK_OK(atn_similarity_compare(cx, live, 12, NULL, NULL, 0, &o, &c));
    for (int l = 0; l < 11; l++) {
        CHECK_NEAR(a.cos_row[l * 12 + l + 1], neighbours[l], 5.1e-5);
        CHECK_NEAR(b.cos_avg[l * 12 + l + 1], a.cos_elem[l * 12 + l + 1], 2e-6);
    }
    for (int i = 0; i < 144; i++) {
        CHECK_NEAR(b.cos_elem[i], c.cos_elem[i], 2e-5);
        CHECK_NEAR(b.match[i], c.match[i], 2e-5);
        CHECK_LE(b.cos_elem[i], b.match[i]);
    }
    atn_similarity_part_release(cx, &a);
    atn_similarity_part_release(cx, &b);
    atn_similarity_part_release(cx, &c);
    free(means);
    free(p);
    free(q);
    free(k);
    atn_st_close(cx, f);
}

/* Against a plain double loop over the published matrices. */
static void captured(atn_ctx *cx, const char *name, const char *tensor)
{
    const atn_similarity_opts o = {.copy_err = true};
    const char *path = check_shared(name);
    atn_problem p[12];
    atn_similarity_part s;
    atn_st *f = NULL;
    float *x;
    atn_idx each;
    int n;

    cx->log_sink = silent;
    CHECK_OK(atn_st_open(cx, path, &f));
    x = floats(atn_st_find(f, tensor));
    n = given_layers(atn_st_find(f, tensor), x, p);
    each = p[0].nq * p[0].nk;
    CHECK_OK(atn_similarity_compare(cx, p, n, NULL, NULL, 0, &o, &s));
    CHECK(s.copy_why && !s.copy_err);
    for (int a = 0; a < n; a++)
        for (int b = 0; b < n; b++) {
            double mean = 0;
            for (atn_idx h = 0; h < p[0].heads; h++) {
                double xy = 0, xx = 0, yy = 0;
                for (atn_idx i = 0; i < each; i++) {
                    const double u = (double)p[a].p[h * each + i],
                                 v = (double)p[b].p[h * each + i];
                    xy += u * v;
                    xx += u * u;
                    yy += v * v;
                }
                mean += xy / sqrt(xx * yy) / (double)p[0].heads;
            }
            CHECK_NEAR(s.cos_elem[a * n + b], mean, 1e-6);
        }
    atn_similarity_part_release(cx, &s);
    free(x);
    atn_st_close(cx, f);
}

static void gpt2(atn_ctx *cx)
{
    captured(cx, "captured/gpt2.safetensors", "attn");
}
static void bert(atn_ctx *cx)
{
    captured(cx, "captured/bert-base-uncased.safetensors", "attn");
}
static void roberta(atn_ctx *cx)
{
    captured(cx, "captured/roberta-base.safetensors", "attn");
}
static void opus_encoder(atn_ctx *cx)
{
    captured(cx, "captured/opus-mt-en-de.safetensors", "encoder");
}
static void opus_cross(atn_ctx *cx)
{
    captured(cx, "captured/opus-mt-en-de.safetensors", "cross");
}

CHECK_MAIN({"rxnmapper", rxnmapper}, {"gpt2", gpt2}, {"bert", bert},
           {"roberta", roberta}, {"opus-mt encoder", opus_encoder},
           {"opus-mt cross", opus_cross})
