/* tests/analysis/test_symmetry.c -- the bilinear form behind the logits, and what becomes of
 * attention when it is made symmetric. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "kind_capture.h"

#include <unistd.h>

#include "analysis/bilinear.h"

extern const atn_measure atn_measure_symmetry;
static const atn_measure *const M = &atn_measure_symmetry;
enum { D = KIND_D, WIDTH = KIND_WIDTH };

static double value(const double *out, atn_idx h, const char *name)
{
    char full[64];

    snprintf(full, sizeof full, "symmetry_%s", name);
    return kind_value(M, out, h, full);
}

/* ---- the form ---- */

typedef struct form_space {
    double qq[D * D], kk[D * D], kq[D * D];
} form_space;

static atn_form form_of(const float *w_q, const float *w_k, atn_idx d, form_space *s)
{
    atn_form f = {d, s->qq, s->kk, s->kq};

    atn_form_fill((atn_cmat){w_q, d, WIDTH, WIDTH}, (atn_cmat){w_k, d, WIDTH, WIDTH},
                  &f);
    return f;
}

/* M = sum_a w_q,a w_k,b R_ab entry by entry; R NULL = I. */
static void dense_form(const float *w_q, const float *w_k, atn_idx d, const double *r,
                       double *m)
{
    for (int i = 0; i < WIDTH; i++)
        for (int j = 0; j < WIDTH; j++) {
            m[i * WIDTH + j] = 0;
            for (atn_idx a = 0; a < d; a++)
                for (atn_idx b = 0; b < d; b++)
                    m[i * WIDTH + j] += (double)w_q[a * WIDTH + i] *
                                        (double)w_k[b * WIDTH + j] *
                                        (r ? r[a * d + b] : a == b);
        }
}

static double dense_share(const double *m)
{
    double both = 0, all = 0;

    for (int i = 0; i < WIDTH; i++)
        for (int j = 0; j < WIDTH; j++) {
            const double s = (m[i * WIDTH + j] + m[j * WIDTH + i]) / 2;
            both += s * s;
            all += m[i * WIDTH + j] * m[i * WIDTH + j];
        }
    return both / all;
}

/* Eigenvalues of the symmetric part by Jacobi rotations. */
static double dense_positive(const double *m)
{
    double s[WIDTH * WIDTH], above = 0, all = 0;

    for (int i = 0; i < WIDTH; i++)
        for (int j = 0; j < WIDTH; j++)
            s[i * WIDTH + j] = (m[i * WIDTH + j] + m[j * WIDTH + i]) / 2;
    for (int sweep = 0; sweep < 60; sweep++)
        for (int p = 0; p < WIDTH; p++)
            for (int q = p + 1; q < WIDTH; q++) {
                const double angle = .5 * atan2(2 * s[p * WIDTH + q],
                                                s[q * WIDTH + q] - s[p * WIDTH + p]);
                const double c = cos(angle), n = sin(angle);

                for (int k = 0; k < WIDTH; k++) {
                    const double x = s[k * WIDTH + p], y = s[k * WIDTH + q];
                    s[k * WIDTH + p] = c * x - n * y;
                    s[k * WIDTH + q] = n * x + c * y;
                }
                for (int k = 0; k < WIDTH; k++) {
                    const double x = s[p * WIDTH + k], y = s[q * WIDTH + k];
                    s[p * WIDTH + k] = c * x - n * y;
                    s[q * WIDTH + k] = n * x + c * y;
                }
            }
    for (int i = 0; i < WIDTH; i++) {
        const double v = s[i * WIDTH + i];
        all += v * v;
        above += v > 0 ? v * v : 0;
    }
    return above / all;
}

/* W_k = W_q: M is symmetric and no eigenvalue is negative; W_k = -W_q: none is positive; rows
 * (a, b) against (b, -a): M' = -M, nothing is symmetric; a zero map has no share. */
static void form_golden(atn_ctx *cx)
{
    kind_layer *l = make_kind(KIND_CAUSAL, 1);
    float other[D * WIDTH] = {0};
    form_space space;
    double psd = 0;
    atn_form f = form_of(l->w_q, l->w_q, D, &space);

    CHECK_NEAR(atn_form_share(&f), 1, 1e-14);
    CHECK_OK(atn_form_positive(cx, &f, &psd));
    CHECK_NEAR(psd, 1, 1e-12);
    for (int i = 0; i < D * WIDTH; i++) other[i] = -l->w_q[i];
    f = form_of(l->w_q, other, D, &space);
    CHECK_NEAR(atn_form_share(&f), 1, 1e-14);
    CHECK_OK(atn_form_positive(cx, &f, &psd));
    CHECK_NEAR(psd, 0, 1e-12);
    memcpy(other, l->w_q + WIDTH, WIDTH * sizeof *other);
    for (int i = 0; i < WIDTH; i++) other[WIDTH + i] = -l->w_q[i];
    f = form_of(l->w_q, other, 2, &space);
    CHECK_NEAR(atn_form_share(&f), 0, 1e-14);
    CHECK_OK(atn_form_positive(cx, &f, &psd));
    CHECK(isnan(psd));
    memset(other, 0, sizeof other);
    f = form_of(l->w_q, other, D, &space);
    CHECK(isnan(atn_form_share(&f)));
    CHECK_OK(atn_form_positive(cx, &f, &psd));
    CHECK(isnan(psd));
    free(l);
}

/* Any d, also where B has more rows than D columns. */
static void form_against_dense(atn_ctx *cx)
{
    double mean = 0;

    for (int trial = 0; trial < 60; trial++) {
        kind_layer *l = make_kind(KIND_CAUSAL, 100 + (uint64_t)trial);
        const atn_idx d = 1 + trial % D;
        double m[WIDTH * WIDTH], psd = 0;
        form_space space;
        const atn_form f = form_of(l->w_q, l->w_k, d, &space);

        dense_form(l->w_q, l->w_k, d, NULL, m);
        CHECK_NEAR(atn_form_share(&f), dense_share(m), 1e-12);
        CHECK_OK(atn_form_positive(cx, &f, &psd));
        CHECK_NEAR(psd, dense_positive(m), 1e-9);
        mean += atn_form_share(&f) / 60;
        free(l);
    }
    CHECK_NEAR(mean, .5 + .5 / WIDTH, .06); /* random maps: a half, and 1 / D of it */
}

/* Other coordinates of the head, R W_q and R^-T W_k, have the same M. */
static void form_has_no_coordinates(atn_ctx *cx)
{
    kind_layer *l = make_kind(KIND_CAUSAL, 7);
    float q[2 * WIDTH], k[2 * WIDTH];
    form_space space;
    double one, two, psd[2];
    atn_form f = form_of(l->w_q, l->w_k, 2, &space);

    one = atn_form_share(&f);
    CHECK_OK(atn_form_positive(cx, &f, &psd[0]));
    for (int i = 0; i < WIDTH;
         i++) { /* R = (2 1; 0 .5), its inverse transpose (.5 0; -1 2) */
        q[i] = 2 * l->w_q[i] + l->w_q[WIDTH + i];
        q[WIDTH + i] = .5f * l->w_q[WIDTH + i];
        k[i] = .5f * l->w_k[i];
        k[WIDTH + i] = -l->w_k[i] + 2 * l->w_k[WIDTH + i];
    }
    f = form_of(q, k, 2, &space);
    two = atn_form_share(&f);
    CHECK_OK(atn_form_positive(cx, &f, &psd[1]));
    CHECK_NEAR(one, two, 1e-6);
    CHECK_NEAR(psd[0], psd[1], 1e-6);
    free(l);
}

/* R_delta written out: numbers e and e + r turn by delta turn[e], the others stay. */
static void rotary_against_dense(atn_ctx *cx)
{
    static const double turn[] = {1, .3, .02};

    for (int r = 1; r <= 3; r++)
        for (int both = 0; both < 2; both++) {
            kind_layer *l = make_kind(KIND_CAUSAL, 200 + (uint64_t)r);
            form_space space;
            const atn_form f = form_of(l->w_q, l->w_k, D, &space);
            double want = 0, got = 0, n = 0;

            for (int delta = -4; delta <= (both ? 4 : 0); delta++) {
                double rotation[D * D] = {0}, m[WIDTH * WIDTH];

                for (int e = 0; e < D; e++) rotation[e * D + e] = 1;
                for (int e = 0; e < r; e++) {
                    const double c = cos(delta * turn[e]), s = sin(delta * turn[e]);
                    rotation[e * D + e] = rotation[(e + r) * D + e + r] = c;
                    rotation[e * D + e + r] = -s;
                    rotation[(e + r) * D + e] = s;
                }
                dense_form(l->w_q, l->w_k, D, rotation, m);
                want += dense_share(m);
                n++;
            }
            CHECK_OK(atn_form_share_rotary(cx, &f, turn, r, 5, both, &got));
            CHECK_NEAR(got, want / n, 1e-12);
            CHECK_OK(atn_form_share_rotary(cx, &f, turn, r, 1, both, &got));
            CHECK_NEAR(got, atn_form_share(&f), 1e-12);
            free(l);
        }
}

/* ---- own keys ---- */

static void own_keys_against_dense(atn_ctx *cx)
{
    for (int kind = 0; kind < KINDS; kind++)
        for (atn_idx skip = 0; skip < 3; skip += 2) {
            kind_layer *l = make_kind(kind, 30 + (uint64_t)kind);
            const atn_layer_facts f = kind_facts(l, skip);
            double *out = run_kind(cx, M, &f, NULL);

            for (atn_idx h = 0; h < KIND_HEADS; h++) {
                const atn_head *a = &l->head[h];
                double rank = 0, negative = 0, n = 0;

                for (atn_idx i = skip; i < a->nq; i++) {
                    const atn_idx at =
                        (a->sight.rows ? a->sight.rows[i] : i) + a->sight.offset;
                    double logit[KIND_N], p[KIND_N];
                    bool sees[KIND_N];

                    kind_row(a, i, logit, p, sees);
                    if (at >= a->nk || !sees[at]) continue;
                    n++;
                    rank++;
                    negative += logit[at] < 0;
                    for (atn_idx j = 0; j < a->nk; j++)
                        rank += sees[j] && (logit[j] > logit[at] ||
                                            (logit[j] == logit[at] && j < at));
                }
                if (kind == KIND_CROSS || n == 0) {
                    CHECK(isnan(value(out, h, "self_rank")));
                    continue;
                }
                CHECK_NEAR(value(out, h, "self_rank"), rank / n, 1e-12);
                if (kind == KIND_WEIGHTS)
                    CHECK(isnan(value(out, h, "negative_self")));
                else
                    CHECK_NEAR(value(out, h, "negative_self"), negative / n, 1e-12);
            }
            free(out);
            free(l);
        }
}

/* Logits 2, 2, 1 / 2, 2, 2 / 0, -1, -1: own ranks 1, 2 (the smaller key of equal ones first)
 * and 3; the last own logit is negative. */
static void ranks_by_hand(atn_ctx *cx)
{
    static const float q[] = {1, 0, 0, 0, 1, 0, 0, 0, 1},
                       k[] = {2, 2, 0, 2, 2, -1, 1, 2, -1};
    const atn_problem p = {.heads = 1,
                           .kv_heads = 1,
                           .nq = 3,
                           .nk = 3,
                           .d = 3,
                           .q = q,
                           .k = k,
                           .scale = 1,
                           .sight = {.key_last = 3}};
    const atn_head h = atn_problem_head(&p, 0);
    const bool keep = true;
    const atn_layer_facts f = {.problem = &p, .head = &h, .heads = 1, .keep = &keep};
    double *out = run_kind(cx, M, &f, NULL);

    CHECK_NEAR(value(out, 0, "self_rank"), (1 + 2 + 3) / 3., 1e-12);
    CHECK_NEAR(value(out, 0, "negative_self"), 1 / 3., 1e-12);
    CHECK(isnan(value(out, 0, "swap_error"))); /* no values */
    CHECK(value(out, 0, "swap_js_nats") > 0);
    free(out);
}

/* ---- made symmetric ---- */

static double plogp(double p)
{
    return p > 0 ? p * log(p) : 0;
}

/* JS and output error of rows with logits (q_i . k_j + q_j . k_i) / 2; q and k of all rows. */
static void dense_swap(const kind_layer *l, atn_idx h, atn_idx skip, const float *q_all,
                       const float *k_all, double *js, double *error)
{
    const atn_head *of = &l->head[h];
    const float *q = q_all + h * KIND_N * D, *k = k_all + of->kv_head * KIND_N * D;
    double rows = 0, far = 0, own = 0;

    *js = 0;
    for (atn_idx i = skip; i < of->nq; i++) {
        const atn_idx at = of->sight.rows ? of->sight.rows[i] : i;
        double p[2][KIND_N] = {{0}}, mass[2] = {0, 0}, max[2] = {-INFINITY, -INFINITY};
        double logit[KIND_N], unused[KIND_N], row_js = 0;
        bool sees[KIND_N];

        if (kind_row(of, i, logit, unused, sees) == 0) continue;
        for (int side = 0; side < 2; side++) {
            double s[KIND_N] = {0}, sum;

            for (int j = 0; j < KIND_N; j++) {
                double there = 0, back = 0;

                for (int e = 0; e < D; e++) {
                    there += (double)q[at * D + e] * (double)k[j * D + e];
                    back += (double)q[j * D + e] * (double)k[at * D + e];
                }
                s[j] = (side ? (there + back) / 2 : there) * of->scale +
                       of->alibi_slope * (double)(j - at);
                if (of->rel_bias) s[j] += (double)of->rel_bias[KIND_N - 1 + j - at];
                if (of->sight.softcap > 0)
                    s[j] = of->sight.softcap * tanh(s[j] / of->sight.softcap);
                if (sees[j]) max[side] = fmax(max[side], s[j]);
            }
            sum = of->has_sink ? exp(of->sink - max[side]) : 0;
            for (int j = 0; j < KIND_N; j++)
                if (sees[j]) sum += p[side][j] = exp(s[j] - max[side]);
            for (int j = 0; j < KIND_N; j++) mass[side] += p[side][j] /= sum;
        }
        for (int e = 0; e < KIND_DV; e++) {
            double o[2] = {0, 0};
            for (int side = 0; side < 2; side++)
                for (int j = 0; j < KIND_N; j++)
                    o[side] += p[side][j] * (double)atn_crow(of->v, j)[e];
            far += (o[1] - o[0]) * (o[1] - o[0]);
            own += o[0] * o[0];
        }
        for (int j = 0; j < KIND_N; j++) {
            const double a = p[0][j] / mass[0], b = p[1][j] / mass[1];
            row_js += (plogp(a) + plogp(b)) / 2 - plogp((a + b) / 2);
        }
        *js += row_js;
        rows++;
    }
    *js /= rows;
    *error = sqrt(far / own);
}

static void swap_against_dense(atn_ctx *cx)
{
    for (int kind = 0; kind < KINDS; kind++) {
        kind_layer *l = make_kind(kind, 60 + (uint64_t)kind);
        const atn_idx skip = kind == KIND_ONE ? 0 : 1;
        const atn_layer_facts f = kind_facts(l, skip);
        double *out = run_kind(cx, M, &f, NULL);

        for (atn_idx h = 0; h < KIND_HEADS; h++) {
            double js = 0, error = 0;

            CHECK(isnan(value(out, h, "effect_js_nats"))); /* no q_pre */
            if (kind == KIND_CROSS || kind == KIND_DECODE || kind == KIND_WEIGHTS) {
                CHECK(isnan(value(out, h, "swap_js_nats")));
                continue;
            }
            if (kind == KIND_ONE) { /* alone */
                CHECK_NEAR(value(out, h, "swap_js_nats"), 0, 0);
                CHECK_NEAR(value(out, h, "swap_error"), 0, 0);
                continue;
            }
            dense_swap(l, h, skip, l->q, l->k, &js, &error);
            CHECK_NEAR(value(out, h, "swap_js_nats"), js, 2e-6);
            CHECK_NEAR(value(out, h, "swap_error"), error, 1e-5 * (1 + error));
        }
        free(out);
        free(l);
    }
}

/* Equal queries and keys: the logits are symmetric, so nothing changes. With k = (q_2, -q_1)
 * they are antisymmetric, and what is left is the mean of all keys. */
static void swap_golden(atn_ctx *cx)
{
    kind_layer *l = make_kind(KIND_CAUSAL, 8);
    atn_layer_facts f = kind_facts(l, 0);
    double *out, far = 0, own = 0;

    memcpy(l->k, l->q, sizeof l->k);
    out = run_kind(cx, M, &f, NULL);
    for (int h = 0; h < KIND_HEADS; h++) {
        CHECK_NEAR(value(out, h, "swap_js_nats"), 0, 1e-7);
        CHECK_NEAR(value(out, h, "swap_error"), 0, 1e-6);
        CHECK_NEAR(value(out, h, "negative_self"), 0, 0);
    }
    free(out);
    for (int i = 0; i < KIND_HEADS * KIND_N; i++)
        for (int e = 0; e < D; e += 2) {
            l->k[i * D + e] = l->q[i * D + e + 1];
            l->k[i * D + e + 1] = -l->q[i * D + e];
        }
    f = kind_facts(l, 0);
    out = run_kind(cx, M, &f, NULL);
    for (int i = 0; i < KIND_N; i++)
        for (int e = 0; e < KIND_DV; e++) {
            double mean = 0;
            for (int j = 0; j <= i; j++) mean += l->v[j * KIND_DV + e] / (float)(i + 1);
            far += pow(mean - (double)f.out[i * KIND_DV + e], 2);
            own += pow((double)f.out[i * KIND_DV + e], 2);
        }
    CHECK_NEAR(value(out, 0, "swap_error"), sqrt(far / own), 1e-5);
    free(out);
    free(l);
}

/* ---- with a capture: weights, q_pre and k_pre, layer inputs ---- */

static void capture_against_dense(atn_ctx *cx)
{
    static const int kinds[] = {KIND_CAUSAL, KIND_GQA, KIND_FULL, KIND_SAMPLED};
    static const double turn[] = {1, .25};

    for (size_t i = 0; i < ATN_LEN(kinds); i++) {
        kind_layer *l = make_kind(kinds[i] == KIND_SAMPLED ? KIND_CAUSAL : kinds[i],
                                  300 + (uint64_t)i),
                   *some = make_kind(kinds[i], 300 + (uint64_t)i);
        atn_layer_facts f = kind_facts(some, 1);
        json_t *weights = NULL, *tokens = NULL;
        char model[600];
        atn_capture *c;
        double *out;

        snprintf(model, sizeof model, "%s", check_scratch("symmetry-model"));
        kind_model(cx, model, &l, 1, NULL, NULL, 0, &weights, &tokens);
        c = kind_capture(cx, "symmetry", &l, 1, WITH_PRE | WITH_H | WITH_W_O,
                         json_pack("{s:s, s:{s:s, s:[f,f]}}", "dir", model, "rotary",
                                   "pairs", "half", "frequencies", turn[0], turn[1]),
                         &weights, tokens);
        f.capture = c;
        out = run_kind(cx, M, &f, "identity=true,offsets=6");
        for (atn_idx h = 0; h < KIND_HEADS; h++) {
            const float *w_q = l->w_q + h * D * WIDTH,
                        *w_k = l->w_k + l->head[h].kv_head * D * WIDTH;
            double m[WIDTH * WIDTH], js, error, mean = 0, inner[3] = {0};
            form_space space;
            const atn_form form = form_of(w_q, w_k, D, &space);

            dense_form(w_q, w_k, D, NULL, m);
            CHECK_NEAR(value(out, h, "share"), dense_share(m), 1e-12);
            CHECK_NEAR(value(out, h, "psd_share"), dense_positive(m), 1e-9);
            CHECK_NEAR(value(out, h, "collapse_ratio"), WIDTH / (2. * D), 1e-12);
            CHECK_OK(atn_form_share_rotary(cx, &form, turn, 2, 6, kinds[i] == KIND_FULL,
                                           &mean));
            CHECK_NEAR(value(out, h, "share_offsets"), mean, 1e-12);
            dense_swap(some, h, 1, l->q_pre, l->k_pre, &js, &error);
            CHECK_NEAR(value(out, h, "effect_js_nats"), js, 2e-6);
            CHECK_NEAR(value(out, h, "effect_error"), error, 1e-5 * (1 + error));
            for (atn_idx r = 1; r < some->head[h].nq; r++) {
                double logit[KIND_N], p[KIND_N];
                bool sees[KIND_N];

                kind_row(&some->head[h], r, logit, p, sees);
                for (int w = 0; w < WIDTH; w++) {
                    double x = 0, y = 0;
                    for (int j = 0; j < KIND_N; j++) {
                        x += p[j] * (double)l->h[j * WIDTH + w];
                        for (int e = 0; e < KIND_DV; e++)
                            y += p[j] * (double)atn_crow(l->head[h].v, j)[e] *
                                 (double)l->w_o[(h * KIND_DV + e) * WIDTH + w];
                    }
                    inner[0] += x * x;
                    inner[1] += x * y;
                    inner[2] += y * y;
                }
            }
            CHECK_NEAR(value(out, h, "identity_error"),
                       sqrt(1 - inner[1] * inner[1] / inner[0] / inner[2]), 1e-5);
        }
        free(out);
        atn_capture_close(cx, c);
        free(l);
        free(some);
    }
}

/* A model that went away leaves the cells of the weights empty, one that changed is refused;
 * a model without rotary embedding has one share, and one of which that is not known none. */
static void models_that_moved(atn_ctx *cx)
{
    kind_layer *l = make_kind(KIND_CAUSAL, 5);
    atn_layer_facts f = kind_facts(l, 0);
    char model[600], path[700], params[64];
    double *out;

    cx->log_level = ATN_LOG_ERROR;
    CHECK_LE(M->params_size, sizeof params);
    atn_param_defaults(M->params, params);
    snprintf(model, sizeof model, "%s", check_scratch("symmetry-moved"));
    snprintf(path, sizeof path, "%s/model.safetensors", model);
    for (int step = 0; step < 4; step++) {
        json_t *weights = NULL, *tokens = NULL, *say;
        atn_capture *c;

        kind_model(cx, model, &l, 1, NULL, NULL, 0, &weights, &tokens);
        say = json_pack("{s:s}", "dir", model);
        if (step == 0) json_object_set_new(say, "rotary", json_null());
        c = kind_capture(cx, "symmetry", &l, 1, 0, say, &weights, tokens);
        f.capture = c;
        if (step == 2) CHECK_EQ(unlink(path), 0);
        if (step == 3) {
            l->w_k[3] += 1;
            kind_model(cx, model, &l, 1, NULL, NULL, 0, &weights, &tokens);
            json_decref(weights);
            json_decref(tokens);
            CHECK_FAILS(M->layer(cx, &f, params, (double[KIND_HEADS * 11]){0}),
                        ATN_DATA, "no longer the one that");
        } else {
            out = run_kind(cx, M, &f, NULL);
            CHECK_EQ(isnan(value(out, 0, "share")), step == 2);
            CHECK_EQ(isnan(value(out, 0, "share_offsets")), step != 0);
            if (step == 0)
                CHECK_NEAR(value(out, 0, "share_offsets"), value(out, 0, "share"), 0);
            CHECK(!isnan(value(out, 0, "self_rank")));
            CHECK(isnan(value(out, 0, "identity_error")));
            free(out);
        }
        atn_capture_close(cx, c);
    }
    free(l);
}

static void threads_and_failing_memory(atn_ctx *cx)
{
    kind_layer *l = make_kind(KIND_GQA, 6);
    atn_layer_facts f = kind_facts(l, 0);
    json_t *weights = NULL, *tokens = NULL;
    const atn_idx n = KIND_HEADS * atn_measure_n_cols(M);
    char model[600], params[64];
    atn_status st = ATN_MEMORY;
    atn_capture *c;
    double *a, *b;
    int k = 0;

    snprintf(model, sizeof model, "%s", check_scratch("symmetry-model"));
    kind_model(cx, model, &l, 1, NULL, NULL, 0, &weights, &tokens);
    c = kind_capture(cx, "symmetry", &l, 1, WITH_PRE | WITH_H | WITH_W_O,
                     json_pack("{s:s, s:n}", "dir", model, "rotary"), &weights, tokens);
    f.capture = c;
    cx->threads = 1;
    a = run_kind(cx, M, &f, "identity=true");
    cx->threads = 3;
    b = run_kind(cx, M, &f, "identity=true");
    check_same_values(a, b, n);
    atn_param_defaults(M->params, params);
    CHECK_OK(atn_param_parse(cx, M->id, M->params, "identity=true", params));
    for (; st != ATN_OK; k++) {
        check_failing fail = {k};
        atn_ctx frail;

        atn_ctx_init(&frail);
        frail.threads = 2;
        frail.alloc = (atn_allocator){check_failing_resize, &fail};
        st = M->layer(&frail, &f, params, b);
        CHECK(st == ATN_OK || st == ATN_MEMORY);
        fail.left = 1 << 20;
        atn_ctx_release(&frail);
        CHECK_LE(k, 900);
    }
    CHECK_LE(10, k);
    atn_capture_close(cx, c);
    free(a);
    free(b);
    free(l);
}

CHECK_MAIN({"form golden", form_golden}, {"form against dense", form_against_dense},
           {"a form has no coordinates", form_has_no_coordinates},
           {"rotary against dense", rotary_against_dense},
           {"own keys against dense", own_keys_against_dense},
           {"ranks by hand", ranks_by_hand}, {"swap against dense", swap_against_dense},
           {"swap golden", swap_golden},
           {"capture against dense", capture_against_dense},
           {"models that moved", models_that_moved},
           {"threads and failing memory", threads_and_failing_memory})
