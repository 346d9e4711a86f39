/* analysis/measures/symmetry.c -- how symmetric is the similarity that a head computes?
 *
 * Math    s_ij = scale x_i M x_j, M = W_q' W_k (analysis/bilinear.h).
 *         share, psd     of M, from the weights
 *         negative_self  share of tokens with s_ii < 0
 *         self_rank      mean over tokens of 1 + the keys of the row that beat s_ii,
 *                        smaller keys also where equal
 *         effect         P from logits with (M + M') / 2, that is
 *                        (q_i . k_j + q_j . k_i) / 2: mean Jensen-Shannon divergence to
 *                        P, and |(P' - P) V| / |P V|; of q_pre and k_pre, both P at
 *                        rotary offset 0
 *         swap           the same of q and k as they are: query and key change places
 *                        with their positions
 *         identity       W_v = W_o = 1: min_a |a P X - C| / |C|, C = P V W_O, X the
 *                        layer's input
 *         collapse       D^2 / (2 D d): numbers of M by those of the two maps
 * Oracle  W_k = W_q: share and psd 1, effect 0; M' = -M: share 0, effect of uniform
 *         rows.
 * Source  Bermeitinger et al., arXiv 2410.13732: symmetric similarity, no W_v and W_o.
 * Cost    weights: see analysis/bilinear.h; self: one pass; effect and swap: four fills
 *         of the rows each; identity 2 nq nk D more. Memory 4 n d floats for a head
 *         with (M + M')/2.
 * Limits  biases and norms of q and k are no part of M; in the logits they are. effect
 *         and swap want as many queries as keys, each with a key of its own.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#include <math.h>
#include <string.h>

#include "analysis/bilinear.h"
#include "analysis/layer_facts.h"
#include "analysis/similarity_internal.h"
#include "core/kernels/kernels.h"

extern const atn_measure atn_measure_symmetry;

enum {
    SHARE,
    SHARE_OFFSETS,
    PSD,
    COLLAPSE,
    NEGATIVE,
    RANK,
    EFFECT_JS,
    EFFECT_ERROR,
    SWAP_JS,
    SWAP_ERROR,
    IDENTITY,
    N_COLS
};

static const atn_measure_col cols[] = {
    [SHARE] = {"symmetry_share", "", "[0, 1]",
               "share of |W_q' W_k|^2 in its symmetric part, without rotary embedding",
               NULL},
    [SHARE_OFFSETS] = {"symmetry_share_offsets", "", "[0, 1]",
                       "mean of the share over rotary offsets", NULL},
    [PSD] = {"symmetry_psd_share", "", "[0, 1]",
             "share of the squared eigenvalues of the symmetric part that belong to "
             "positive ones",
             NULL},
    [COLLAPSE] = {"symmetry_collapse_ratio", "", "> 0",
                  "numbers of W_q' W_k by those of W_q and W_k; 1 at d = D / 2", NULL},
    [NEGATIVE] = {"symmetry_negative_self", "", "[0, 1]",
                  "share of the tokens whose logit with themselves is negative", NULL},
    [RANK] = {"symmetry_self_rank", "keys", ">= 1",
              "mean rank of a token's own key in its row, 1 = the largest logit", NULL},
    [EFFECT_JS] = {"symmetry_effect_js_nats", "nats", "[0, ln 2]",
                   "divergence of the rows when M is made symmetric, at rotary offset "
                   "0; needs q_pre, k_pre",
                   NULL},
    [EFFECT_ERROR] = {"symmetry_effect_error", "", ">= 0",
                      "relative error of the head's output then", NULL},
    [SWAP_JS] = {"symmetry_swap_js_nats", "nats", "[0, ln 2]",
                 "the same of q and k as captured, positions included", NULL},
    [SWAP_ERROR] = {"symmetry_swap_error", "", ">= 0",
                    "relative error of the head's output then", NULL},
    [IDENTITY] =
        {"symmetry_identity_error", "", "[0, 1]",
         "relative error of the head's contribution when layer inputs stand in "
         "for W_v and W_o, scaled; under identity=true",
         NULL},
    [N_COLS] = ATN_MEASURE_COLS_END,
};

typedef struct symmetry_params {
    int64_t offsets;
    bool identity;
} symmetry_params;

static const atn_param params[] = {
    ATN_PARAM_I64(symmetry_params, offsets, 256, 1, 1 << 20,
                  "rotary offsets 0 .. of the mean share"),
    ATN_PARAM_BOOL(symmetry_params, identity, 0,
                   "also try layer inputs in place of W_v and W_o (needs h and w_o)"),
    ATN_PARAM_END,
};

/* ---- from the weights ---- */

typedef struct weight_job {
    const atn_layer_facts *f;
    const symmetry_params *params;
    const float *w_q, *w_k; /* [heads, d, D], [kv_heads, d, D] */
    atn_idx d, width;
    double *out;
} weight_job;

static atn_status head_weights(atn_ctx *cx, atn_idx h, void *state)
{
    const weight_job *j = state;
    const atn_layer_info *m = atn_capture_layer(j->f->capture, j->f->at);
    const atn_head *head = &j->f->head[h];
    const atn_idx d = j->d, size = d * j->width;
    const atn_arena_mark mark = atn_arena_save(cx);
    atn_status st = ATN_OK;
    double *out = j->out + h * N_COLS;
    atn_form form = {.d = d};

    if (!j->f->keep[h]) return ATN_OK;
    ATN_TAKE(form.qq, d * d);
    ATN_TAKE(form.kk, d * d);
    ATN_TAKE(form.kq, d * d);
    atn_form_fill((atn_cmat){j->w_q + h * size, d, j->width, j->width},
                  (atn_cmat){j->w_k + head->kv_head * size, d, j->width, j->width},
                  &form);
    out[SHARE] = atn_form_share(&form);
    ATN_TRY(atn_form_positive(cx, &form, &out[PSD]));
    if (m->rotary == 0) out[SHARE_OFFSETS] = out[SHARE];
    if (m->rotary > 0 && 2 * m->rotary <= d)
        ATN_TRY(atn_form_share_rotary(cx, &form, m->turn, m->rotary,
                                      ATN_MIN(j->params->offsets, head->nk),
                                      !head->sight.causal, &out[SHARE_OFFSETS]));
    out[COLLAPSE] = (double)j->width / (2 * (double)d);
done:
    atn_arena_rewind(cx, mark);
    return st;
}

/* A model that is not there any more leaves these cells empty; one that changed is an
 * error. */
static atn_status load_weight(atn_ctx *cx, const atn_layer_facts *f, const char *name,
                              float **out, atn_idx shape[3])
{
    const atn_status st = atn_capture_weight(cx, f->capture, f->at, name, out, shape);

    if (st != ATN_NOINPUT) return st;
    atn_log(cx, ATN_LOG_WARN, "%s: no symmetry of the weights: %s",
            atn_layer_facts_name(f).text, cx->err.text);
    atn_err_clear(cx);
    return ATN_OK;
}

static atn_status from_weights(atn_ctx *cx, const atn_layer_facts *f,
                               const symmetry_params *p, double *out)
{
    atn_idx of_q[3] = {0}, of_k[3] = {0};
    atn_status st = ATN_OK;
    float *w_q = NULL, *w_k = NULL;

    if (!f->capture) return ATN_OK;
    ATN_TRY(load_weight(cx, f, "w_q", &w_q, of_q));
    if (w_q) ATN_TRY(load_weight(cx, f, "w_k", &w_k, of_k));
    if (!atn_capture_layer(f->capture, f->at)->weights)
        atn_log(cx, ATN_LOG_WARN,
                "%s: no symmetry of the weights: the capture does not say where "
                "they are (capture the model again)",
                atn_layer_facts_name(f).text);
    if (!w_q || !w_k) goto done;
    if (of_q[2] != of_k[2]) goto done; /* queries and keys of different inputs */
    {
        weight_job j = {f, p, w_q, w_k, of_q[1], of_q[2], out};

        ATN_TRY(atn_mem_check(
            cx, (atn_form_bytes(j.d) + 24.0 * (double)(j.d * j.d)) * cx->threads,
            "symmetry"));
        ATN_TRY(atn_parallel(cx, f->heads, head_weights, &j, "symmetry of weights"));
    }
done:
    atn_free(cx, w_q);
    atn_free(cx, w_k);
    return st;
}

/* ---- the own key ---- */

/* rank[heads, nq]: 1 + keys that beat the own one, negative where its logit is; 0 = no
 * own. */
typedef struct self_job {
    const atn_head *heads;
    int32_t *rank;
} self_job;

static ATN_CLONES atn_idx count_at_least(const float *s, atn_idx n, float own)
{
    atn_idx beat = 0;

    for (atn_idx j = 0; j < n; j++) beat += s[j] >= own;
    return beat;
}

static ATN_CLONES atn_idx count_above(const float *s, atn_idx n, float own)
{
    atn_idx beat = 0;

    for (atn_idx j = 0; j < n; j++) beat += s[j] > own;
    return beat;
}

static atn_status rank_tile(atn_ctx *cx, const atn_head *h, const atn_tile *t,
                            atn_mat s, atn_row_info *info, void *state)
{
    const self_job *j = state;
    int32_t *rank = j->rank + (h - j->heads) * h->nq + t->first;

    (void)cx;
    for (atn_idx r = 0; r < t->rows; r++) {
        const atn_idx at = atn_sight_at(&h->sight, t->first + r);
        const float *row = atn_row(s, r) - t->key0;

        rank[r] = 0;
        if (at < info[r].lo || at >= info[r].hi) continue;
        rank[r] =
            (int32_t)(1 + count_at_least(row + info[r].lo, at - info[r].lo, row[at]) +
                      count_above(row + at + 1, info[r].hi - at - 1, row[at]));
        if (row[at] < 0) rank[r] = -rank[r];
    }
    return ATN_OK;
}

static void self_values(const atn_layer_facts *f, const int32_t *rank, double *out)
{
    for (atn_idx h = 0; h < f->heads; h++) {
        const int32_t *of = rank + h * f->head[h].nq;
        double sum = 0, negative = 0, n = 0;

        for (atn_idx i = f->skip_rows; i < f->head[h].nq; i++) {
            if (of[i] == 0) continue;
            n++;
            sum += of[i] < 0 ? -(double)of[i] : (double)of[i];
            negative += of[i] < 0;
        }
        if (n == 0) continue;
        out[h * N_COLS + RANK] = sum / n;
        if (f->problem->q) out[h * N_COLS + NEGATIVE] = negative / n;
    }
}

static atn_status own_keys(atn_ctx *cx, const atn_layer_facts *f, double *out)
{
    const atn_idx nq = f->head[0].nq;
    atn_status st = ATN_OK;
    self_job j = {f->head, NULL};

    ATN_TRY(atn_mem_check(cx, 4.0 * (double)(f->heads * nq), "symmetry"));
    ATN_NEW(j.rank, f->heads * nq);
    ATN_TRY(atn_rows_stream_logits(cx, f->head, f->heads, rank_tile, &j, "own keys"));
    self_values(f, j.rank, out);
done:
    atn_free(cx, j.rank);
    return st;
}

/* ---- a symmetric M ---- */

/* The head whose logits are (q_i . k_j + q_j . k_i) / 2: its queries are (q_i, k_i),
 * its keys (k_j, q_j). q (nq, d) of all rows of the layer, k (nk, d); `rows` of `of` at
 * least. */
static atn_status symmetric_head(atn_ctx *cx, const atn_head *of, atn_cmat q,
                                 atn_cmat k, float **data, atn_head *out)
{
    const atn_idx d = q.cols, n = k.rows;
    atn_status st = ATN_OK;

    ATN_TRY(atn_mem_check(cx, 8.0 * (double)d * (double)(of->nq + n), "symmetry"));
    ATN_NEW(*data, 2 * d * (of->nq + n));
    *out = *of;
    out->scale /= 2;
    out->q = (atn_cmat){*data, of->nq, 2 * d, 2 * d};
    out->k = (atn_cmat){*data + 2 * d * of->nq, n, 2 * d, 2 * d};
    for (atn_idx i = 0; i < of->nq; i++) {
        const atn_idx at = atn_sight_at(&of->sight, i);
        float *to = *data + 2 * d * i;

        memcpy(to, atn_crow(q, at), (size_t)d * sizeof *to);
        memcpy(to + d, atn_crow(k, at), (size_t)d * sizeof *to);
    }
    for (atn_idx j = 0; j < n; j++) {
        float *to = *data + 2 * d * (of->nq + j);

        memcpy(to, atn_crow(k, j), (size_t)d * sizeof *to);
        memcpy(to + d, atn_crow(q, j), (size_t)d * sizeof *to);
    }
done:
    return st;
}

/* js and error of the symmetric head against head `of`, whose rows are the same. */
static atn_status compare(atn_ctx *cx, const atn_head *of, atn_cmat q, atn_cmat k,
                          atn_idx skip, double *js, double *error)
{
    const atn_similarity_opts opts = {.skip_rows = skip};
    atn_status st = ATN_OK;
    atn_head pair[2];
    int slot[2] = {0, 1};
    double err[4] = {0}, apart[4] = {0};
    float *data = NULL;
    const atn_sim_set set = {.head = pair,
                             .slot = slot,
                             .m = 2,
                             .per_layer = 1,
                             .layers = 2,
                             .opts = &opts,
                             .tile_most = (double)cx->mem_limit / 8 / sizeof(float)};

    ATN_TRY(symmetric_head(cx, of, q, k, &data, &pair[0]));
    pair[1] = *of;
    ATN_TRY(atn_sim_mix_run(cx, &set, &(atn_sim_mix){.js = apart}));
    *js = apart[2];
    if (!of->v.data) goto done;
    ATN_TRY(atn_mem_check(cx, atn_sim_copy_bytes(cx, &set, of->v.cols), "symmetry"));
    ATN_TRY(atn_sim_copy_run(cx, &set, NULL, err));
    *error = isfinite(err[1]) ? err[1] : NAN; /* an output of zeros */
done:
    atn_free(cx, data);
    return st;
}

/* Every key is that of a query. */
static bool is_square(const atn_layer_facts *f)
{
    const atn_problem *p = f->problem;

    return p->q && atn_layer_is_self(f) && p->nq == p->nk && p->sight.offset == 0;
}

static atn_status swaps(atn_ctx *cx, const atn_layer_facts *f, double *out)
{
    const atn_problem *p = f->problem;
    atn_status st = ATN_OK;

    for (atn_idx h = 0; h < f->heads; h++) {
        const atn_head all = atn_problem_head(p, h);

        if (!f->keep[h]) continue;
        ATN_TRY(compare(cx, &f->head[h], all.q, all.k, f->skip_rows,
                        &out[h * N_COLS + SWAP_JS], &out[h * N_COLS + SWAP_ERROR]));
    }
done:
    return st;
}

/* A tensor of the layer with the shape of the queries, or of the keys. */
static atn_status load_pre(atn_ctx *cx, const atn_layer_facts *f, const char *name,
                           atn_idx heads, float **out)
{
    const atn_problem *p = f->problem;
    atn_idx shape[ATN_ST_MAX_RANK];
    atn_status st = ATN_OK;
    int rank = 0;

    ATN_TRY(atn_capture_tensor(cx, f->capture, f->at, name, out, &rank, shape));
    if (*out &&
        (rank != 3 || shape[0] != heads || shape[1] != p->nk || shape[2] != p->d))
        ATN_FAIL(ATN_DATA, "layer %d: \"%s\" is not of shape [%lld, %lld, %lld]",
                 p->layer, name, (long long)heads, (long long)p->nk, (long long)p->d);
done:
    return st;
}

/* The rows of q that the head has. */
static void pick_rows(atn_cmat q, const atn_head *of, float *to)
{
    for (atn_idx i = 0; i < of->nq; i++)
        memcpy(to + i * q.cols, atn_crow(q, atn_sight_at(&of->sight, i)),
               (size_t)q.cols * sizeof *to);
}

static atn_status effects(atn_ctx *cx, const atn_layer_facts *f, double *out)
{
    const atn_problem *p = f->problem;
    const atn_idx nq = f->head[0].nq;
    atn_status st = ATN_OK;
    float *q_pre = NULL, *k_pre = NULL, *rows = NULL;

    if (!f->capture) return ATN_OK;
    ATN_TRY(load_pre(cx, f, "q_pre", p->heads, &q_pre));
    if (q_pre) ATN_TRY(load_pre(cx, f, "k_pre", p->kv_heads, &k_pre));
    if (!q_pre || !k_pre) goto done;
    ATN_NEW(rows, nq * p->d);
    for (atn_idx h = 0; h < f->heads; h++) {
        const atn_idx size = p->nk * p->d;
        const atn_cmat q = {q_pre + h * size, p->nq, p->d, p->d};
        const atn_cmat k = {k_pre + f->head[h].kv_head * size, p->nk, p->d, p->d};
        atn_head bare = f->head[h];

        if (!f->keep[h]) continue;
        pick_rows(q, &f->head[h], rows);
        bare.q = (atn_cmat){rows, nq, p->d, p->d};
        bare.k = k;
        ATN_TRY(compare(cx, &bare, q, k, f->skip_rows, &out[h * N_COLS + EFFECT_JS],
                        &out[h * N_COLS + EFFECT_ERROR]));
    }
done:
    atn_free(cx, q_pre);
    atn_free(cx, k_pre);
    atn_free(cx, rows);
    return st;
}

/* ---- no values, no W_O ---- */

/* sum[heads, tiles, 3]: |P X|^2, <P X, C>, |C|^2 of every tile. */
typedef struct identity_job {
    const atn_layer_facts *f;
    const float *x; /* [nk, width] */
    double *sum;
    atn_idx tiles;
} identity_job;

static atn_status identity_tile(atn_ctx *cx, const atn_head *h, const atn_tile *t,
                                atn_cmat p, const atn_row_info *info, void *state)
{
    const identity_job *j = state;
    const atn_idx dv = h->v.cols, width = j->f->width, head = h - j->f->head;
    const atn_cmat tile = {p.data, t->rows, t->keys, p.ld};
    const atn_arena_mark mark = atn_arena_save(cx);
    atn_status st = ATN_OK;
    float *px = NULL, *o = NULL, *c = NULL;
    double *sum = j->sum + (head * j->tiles + t->first / atn_tile_rows(h)) * 3;

    (void)info;
    ATN_TAKE(px, t->rows * width);
    ATN_TAKE(o, t->rows * dv);
    ATN_TAKE(c, t->rows * width);
    atn_gemm(false, 1, tile, (atn_cmat){j->x + t->key0 * width, t->keys, width, width},
             0, (atn_mat){px, t->rows, width, width});
    atn_gemm(false, 1, tile, (atn_cmat){atn_crow(h->v, t->key0), t->keys, dv, h->v.ld},
             0, (atn_mat){o, t->rows, dv, dv});
    atn_gemm(false, 1, (atn_cmat){o, t->rows, dv, dv},
             (atn_cmat){j->f->w_o + head * dv * width, dv, width, width}, 0,
             (atn_mat){c, t->rows, width, width});
    for (atn_idx r = ATN_MAX(j->f->skip_rows - t->first, 0); r < t->rows; r++) {
        sum[0] += atn_row_square(px + r * width, width);
        sum[1] += atn_row_dot(px + r * width, c + r * width, width);
        sum[2] += atn_row_square(c + r * width, width);
    }
done:
    atn_arena_rewind(cx, mark);
    return st;
}

static void identity_values(const identity_job *j, double *out)
{
    for (atn_idx h = 0; h < j->f->heads; h++) {
        double all[3] = {0};

        for (atn_idx i = 0; i < 3 * j->tiles; i++)
            all[i % 3] += j->sum[h * j->tiles * 3 + i];
        if (!(all[2] > 0)) continue;
        out[h * N_COLS + IDENTITY] =
            all[0] > 0 ? sqrt(ATN_MAX(1 - all[1] * all[1] / all[0] / all[2], 0.0)) : 1;
    }
}

static atn_status identities(atn_ctx *cx, const atn_layer_facts *f, double *out)
{
    const atn_head *h = &f->head[0];
    const atn_idx rows = atn_tile_rows(h), width = f->width;
    atn_idx shape[ATN_ST_MAX_RANK];
    atn_status st = ATN_OK;
    identity_job j = {.f = f, .tiles = (h->nq + rows - 1) / rows};
    float *x = NULL;
    int rank = 0;

    if (!f->capture || !f->w_o || !f->problem->v) return ATN_OK;
    ATN_TRY(atn_capture_tensor(cx, f->capture, f->at, "h", &x, &rank, shape));
    if (!x || rank != 2 || shape[0] != h->nk || shape[1] != width) {
        atn_log(cx, ATN_LOG_WARN,
                "%s: no symmetry_identity_error, the capture has no layer inputs "
                "of W_O's width (h; capture with --save h)",
                atn_layer_facts_name(f).text);
        goto done;
    }
    ATN_TRY(
        atn_mem_check(cx,
                      24.0 * (double)(f->heads * j.tiles) +
                          4.0 * (double)(rows * (2 * width + h->v.cols)) * cx->threads,
                      "symmetry"));
    j.x = x;
    ATN_NEW(j.sum, f->heads * j.tiles * 3);
    ATN_TRY(atn_rows_stream(cx, f->head, f->heads, identity_tile, &j, "layer inputs"));
    identity_values(&j, out);
done:
    atn_free(cx, x);
    atn_free(cx, j.sum);
    return st;
}

static atn_status layer(atn_ctx *cx, const atn_layer_facts *f, const void *params_,
                        double *out)
{
    const symmetry_params *p = params_;
    atn_status st = ATN_OK;

    ATN_TRY(from_weights(cx, f, p, out));
    if (!atn_layer_is_self(f)) goto done;
    ATN_TRY(own_keys(cx, f, out));
    if (!is_square(f)) goto done;
    ATN_TRY(swaps(cx, f, out));
    ATN_TRY(effects(cx, f, out));
    if (p->identity) ATN_TRY(identities(cx, f, out));
done:
    return st;
}

const atn_measure atn_measure_symmetry = {
    .id = "symmetry",
    .title = "Symmetry of the similarity",
    .source = "Bermeitinger et al. 2024, arXiv 2410.13732; products of weights derived",
    .wants = ATN_WANT_W_O,
    .named = true,
    .passes = 10,
    .params = params,
    .params_size = sizeof(symmetry_params),
    .cols = cols,
    .layer = layer,
};
