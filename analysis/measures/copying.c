/* analysis/measures/copying.c -- does a head raise the logit of the token it looks at?
 *
 * Math    what token t gives the logit of token u through head h, attention aside, is
 *         entry (u, t) of W_U W_O^h W_V^h W_E. Its eigenvalues but zeros are those of
 *         the d_v x d_v matrix W_V^h G W_O^h, G = E' U over the vocabulary, with rows
 *         of E and U the embedding and unembedding of a token:
 *           score           sum lambda / sum |lambda|
 *           positive_share  share of the eigenvalues with a real part above 0
 * Oracle  W_O^h = W_V^h' and U = E: all eigenvalues above 0, score 1; of the opposite
 *         sign: -1.
 * Source  Elhage et al., A Mathematical Framework for Transformer Circuits (2021):
 *         copying heads have positive eigenvalues. The product and the two readings are
 *         ours.
 * Cost    2 vocabulary D^2 flop once, 2 H_kv d_v D^2 a layer; memory D^2 floats and a
 *         layer's W_V and W_O.
 * Limits  norms, biases and position embeddings are left out; eigenvalues smaller than
 *         1e-6 of the largest are rounding of float32 and count in no share.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#include <math.h>
#include <string.h>

#include "analysis/measure.h"
#include "core/kernels/kernels.h"
#include "core/linalg.h"
#include "core/rows.h"

extern const atn_measure atn_measure_copying;

enum { SCORE, POSITIVE, N_COLS };
enum { CHUNK = 512, PANEL = 256 }; /* tokens, columns of E that one task takes */
static const double NOTHING = 1e-6;

static const atn_measure_col cols[] = {
    [SCORE] = {"copying_score", "", "[-1, 1]",
               "sum of the eigenvalues of W_U W_O W_V W_E by the sum of their absolute "
               "values",
               NULL},
    [POSITIVE] = {"copying_positive_share", "", "[0, 1]",
                  "share of these eigenvalues with a positive real part", NULL},
    [N_COLS] = ATN_MEASURE_COLS_END,
};

/* ---- G = E' U ---- */

typedef struct table_job {
    const atn_weight *embed, *unembed;
    float *g; /* [D, width of U] */
} table_job;

/* Rows [first, first + PANEL) of G. */
static atn_status one_panel(atn_ctx *cx, atn_idx panel, void *state)
{
    const table_job *j = state;
    const atn_idx width = j->embed->cols, first = panel * PANEL,
                  some = ATN_MIN((atn_idx)PANEL, width - first);
    const atn_mat g = {j->g + first * j->unembed->cols, some, j->unembed->cols,
                       j->unembed->cols};
    const atn_arena_mark mark = atn_arena_save(cx);
    atn_status st = ATN_OK;
    float *e = NULL, *turned = NULL, *u = NULL;

    ATN_TAKE(e, CHUNK * width);
    ATN_TAKE(turned, PANEL * CHUNK);
    ATN_TAKE(u, CHUNK * j->unembed->cols);
    for (atn_idx at = 0; at < j->embed->rows; at += CHUNK) {
        const atn_idx n = ATN_MIN((atn_idx)CHUNK, j->embed->rows - at);

        atn_weight_rows(j->embed, 0, at, n, e);
        atn_weight_rows(j->unembed, 0, at, n, u);
        for (atn_idx t = 0; t < n; t++)
            for (atn_idx c = 0; c < some; c++)
                turned[c * n + t] = e[t * width + first + c];
        atn_gemm(false, 1, (atn_cmat){turned, some, n, n},
                 (atn_cmat){u, n, g.cols, g.cols}, at > 0 ? 1 : 0, g);
    }
done:
    atn_arena_rewind(cx, mark);
    return st;
}

/* *g stays NULL where the capture does not name both tables. */
static atn_status make_table(atn_ctx *cx, const atn_capture *c, float **g,
                             atn_idx *width)
{
    atn_status st = ATN_OK;
    atn_weight embed = {0}, unembed = {0};
    table_job j = {&embed, &unembed, NULL};

    ATN_TRY(atn_capture_weight_open(cx, c, -1, "embed", &embed));
    ATN_TRY(atn_capture_weight_open(cx, c, -1, "unembed", &unembed));
    if (!embed.file || !unembed.file) goto done;
    if (embed.rows != unembed.rows || embed.cols != unembed.cols)
        ATN_FAIL(ATN_DATA,
                 "%s/capture.json: weights: embed is %lld x %lld, but unembed %lld x "
                 "%lld",
                 atn_capture_dir(c), (long long)embed.rows, (long long)embed.cols,
                 (long long)unembed.rows, (long long)unembed.cols);
    *width = embed.cols;
    ATN_TRY(
        atn_mem_check(cx,
                      4.0 * (double)*width *
                          ((double)*width + (double)(2 * CHUNK) * (double)cx->threads),
                      "copying"));
    ATN_NEW(j.g, *width * *width);
    ATN_TRY(atn_parallel(cx, (*width + PANEL - 1) / PANEL, one_panel, &j,
                         "embedding times unembedding"));
    if (!atn_all_finite(j.g, ATN_F32, *width * *width))
        ATN_FAIL(
            ATN_DATA,
            "%s: the embedding or unembedding holds NaN or infinity, or the product "
            "of the two overflows",
            embed.tensor->path);
    *g = j.g;
    j.g = NULL;
done:
    atn_free(cx, j.g);
    atn_weight_close(cx, &embed);
    atn_weight_close(cx, &unembed);
    return st;
}

/* ---- a layer ---- */

typedef struct layer_job {
    const atn_layer_info *info;
    const float *g, *w_v, *w_o; /* [D, D], [kv_heads, dv, D], [heads dv, D] */
    atn_idx width;
    const bool *keep;
    double *out; /* [heads, N_COLS] */
} layer_job;

static void scores(const double *re, const double *im, atn_idx n, double *out)
{
    double sum = 0, size = 0, most = 0, above = 0, count = 0;

    for (atn_idx i = 0; i < n; i++) {
        sum += re[i];
        size += hypot(re[i], im[i]);
        most = ATN_MAX(most, hypot(re[i], im[i]));
    }
    if (!(most > 0)) return;
    out[SCORE] = ATN_MAX(-1.0, ATN_MIN(sum / size, 1.0));
    for (atn_idx i = 0; i < n; i++) {
        if (hypot(re[i], im[i]) < NOTHING * most) continue;
        count++;
        above += re[i] > 0;
    }
    out[POSITIVE] = above / count;
}

/* One query head, from vg = W_V G (dv, D). */
static atn_status one_head(atn_ctx *cx, const layer_job *j, atn_idx h, const float *vg)
{
    const atn_arena_mark mark = atn_arena_save(cx);
    const atn_idx dv = j->info->dv, width = j->width;
    atn_status st = ATN_OK;
    double *a = NULL, *re = NULL, *im = NULL;

    ATN_TAKE(a, dv * dv);
    ATN_TAKE(re, dv);
    ATN_TAKE(im, dv);
    for (atn_idx r = 0; r < dv; r++)
        for (atn_idx c = 0; c < dv; c++)
            a[r * dv + c] =
                atn_row_dot(vg + r * width, j->w_o + (h * dv + c) * width, width);
    ATN_TRY(atn_eigenvalues_general(cx, a, dv, re, im));
    scores(re, im, dv, j->out + h * N_COLS);
done:
    atn_arena_rewind(cx, mark);
    return st;
}

static atn_status one_group(atn_ctx *cx, atn_idx kv, void *state)
{
    const layer_job *j = state;
    const atn_arena_mark mark = atn_arena_save(cx);
    const atn_idx dv = j->info->dv, width = j->width,
                  g = j->info->heads / j->info->kv_heads;
    atn_status st = ATN_OK;
    float *vg = NULL;

    ATN_TAKE(vg, dv * width);
    atn_gemm(false, 1, (atn_cmat){j->w_v + kv * dv * width, dv, width, width},
             (atn_cmat){j->g, width, width, width}, 0, (atn_mat){vg, dv, width, width});
    for (atn_idx h = kv * g; h < (kv + 1) * g; h++)
        if (j->keep[h]) ATN_TRY(one_head(cx, j, h, vg));
done:
    atn_arena_rewind(cx, mark);
    return st;
}

static double layer_bytes(const atn_ctx *cx, const atn_layer_info *l, atn_idx width)
{
    const double dv = (double)l->dv;

    return 4 * (double)(l->heads + l->kv_heads) * dv * (double)width +
           cx->threads * (4 * dv * (double)width + 8 * dv * (dv + 70));
}

/* Values of all heads of layer `at` into out [heads, N_COLS]. */
static atn_status one_layer(atn_ctx *cx, const atn_capture *c, int at, const float *g,
                            atn_idx width, const bool *keep, double *out)
{
    const atn_layer_info *l = atn_capture_layer(c, at);
    atn_idx shape[ATN_ST_MAX_RANK] = {0}, of_v[3] = {0};
    atn_status st = ATN_OK;
    float *w_v = NULL, *w_o = NULL;
    int rank = 0;

    ATN_TRY(atn_mem_check(cx, layer_bytes(cx, l, width), "copying"));
    ATN_TRY(atn_capture_weight(cx, c, at, "w_v", &w_v, of_v));
    ATN_TRY(atn_capture_tensor(cx, c, at, "w_o", &w_o, &rank, shape));
    if (!w_v || !w_o) {
        atn_log(cx, ATN_LOG_WARN, "%s: copying is left out, the capture has no %s",
                atn_layer_name(l).text, w_v ? "w_o" : "place of w_v");
        goto done;
    }
    if (of_v[2] != width || rank != 2 || shape[0] != l->heads * l->dv ||
        shape[1] != width)
        ATN_FAIL(ATN_DATA,
                 "%s: w_v is %lld wide, w_o %lld x %lld, but the embedding is "
                 "%lld wide and there are %lld heads of %lld",
                 atn_layer_name(l).text, (long long)of_v[2], (long long)shape[0],
                 (long long)shape[1], (long long)width, (long long)l->heads,
                 (long long)l->dv);
    {
        layer_job j = {l, g, w_v, w_o, width, keep, out};
        ATN_TRY(atn_parallel(cx, l->kv_heads, one_group, &j, "copying"));
    }
done:
    atn_free(cx, w_v);
    atn_free(cx, w_o);
    return st;
}

static atn_status model(atn_ctx *cx, const atn_model_facts *m, const void *params,
                        double *out)
{
    const atn_selection *sel = m->selection;
    const atn_arena_mark mark = atn_arena_save(cx);
    atn_status st = ATN_OK;
    atn_idx width = 0, row = 0;
    double *all = NULL;
    float *g = NULL;

    (void)params;
    ATN_TRY(make_table(cx, m->capture, &g, &width));
    if (!g) {
        atn_log(cx, ATN_LOG_WARN,
                "copying is left out: the capture does not say where embedding and "
                "unembedding are (it is an import or incomplete, or the model has no "
                "output layer)");
        goto done;
    }
    ATN_TAKE(all, sel->max_heads * N_COLS);
    for (int i = 0; i < sel->n; i++) {
        const bool *keep = sel->heads + i * sel->max_heads;

        for (atn_idx c = 0; c < sel->max_heads * N_COLS; c++) all[c] = NAN;
        ATN_TRY(one_layer(cx, m->capture, sel->at[i], g, width, keep, all));
        for (atn_idx h = 0; h < sel->max_heads; h++)
            if (keep[h])
                memcpy(out + N_COLS * row++, all + h * N_COLS, N_COLS * sizeof *out);
    }
done:
    atn_free(cx, g);
    atn_arena_rewind(cx, mark);
    return st;
}

const atn_measure atn_measure_copying = {
    .id = "copying",
    .title = "Copying score of the OV circuit",
    .source =
        "Elhage et al. 2021, A Mathematical Framework for Transformer Circuits; our "
        "reading",
    .named = true,
    .cols = cols,
    .model = model,
};
