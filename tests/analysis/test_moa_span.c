/* tests/analysis/test_moa_span.c -- influence of the entries of P, and elastic spans over it. */
// SPDX-License-Identifier: GPL-3.0-or-later
#define KIND_TOKENS 200 /* four blocks, the last one not full */
#include "kind_capture.h"

#include "approx/influence.h"
#include "approx/span_rules.h"
#include "analysis/stats_plan.h"

extern const atn_measure atn_measure_moa_span;
static const atn_measure *const M = &atn_measure_moa_span;
enum { B = ATN_INFLUENCE_BLOCK, MOST_BLOCKS = 4 };

/* A head of one query whose weights stand on the keys 0, 64, 128: a block of its own each. */
static atn_head three_blocks(float *p, const float *weights, const float *v)
{
    atn_head h = {.p = {p, 1, 129, 129},
                  .v = {v, 129, 1, 1},
                  .nq = 1,
                  .nk = 129,
                  .sight = {.causal = true, .offset = 128, .key_last = 129}};

    memset(p, 0, 129 * sizeof *p);
    for (int i = 0; i < 3; i++) p[64 * i] = weights[i];
    return h;
}

/* P = (.5 .3 .2), g = (1 2 4) = dO v with dO = 1: the mean is 1.9, so
 * E = .5 (1.9 - 1) / .5 = .9, .3 (1.9 - 2) / .7 = -.042857, .2 (1.9 - 4) / .8 = -.525; in one
 * dimension the proxy is the same. Taking out an entry changes the mean by exactly that:
 * (.3 2 + .2 4) / .5 = 2.8 = 1.9 + .9. */
static void three_entries(atn_ctx *cx)
{
    static const float weights[3][3] = {{.5f, .3f, .2f}, {.2f, .7f, .1f}, {0, 0, 1}};
    /* (.2 .7 .1): mean 2; .2 (1) / .8, .7 (0) / .3, .1 (-2) / .9. A row of (0 0 1) keeps no
     * other weight: nothing moves. */
    static const double want[3][3] = {
        {.9, .3 * .1 / .7, .525}, {.25, 0, .2 / .9}, {0, 0, 0}};

    for (int c = 0; c < 3; c++) {
        float p[129], v[129] = {0};
        const float d_o = 1;
        atn_influence x;
        atn_head h;

        v[0] = 1;
        v[64] = 2;
        v[128] = 4;
        h = three_blocks(p, weights[c], v);
        CHECK_OK(atn_influence_run(cx, &h, 1, &d_o, 1, 0, &x));
        CHECK(x.rows == 3 && x.keys == 3);
        for (int k = 0; k < 3; k++) {
            CHECK_NEAR(x.proxy[6 + k], want[c][k], 1e-6);
            CHECK_NEAR(x.gradient[6 + k], want[c][k], 1e-6);
            CHECK_NEAR(x.proxy[k], 0, 0);
        }
        atn_influence_release(cx, &x);
    }
}

/* sum_j (1 - P_ij) E_ij = sum_j P_ij (mean - g_ij) = 0, on rows of three entries whose signs are
 * those of mean - g. */
static void row_identity(atn_ctx *cx)
{
    atn_rng r = atn_rng_stream(7, "test/moa", 0, 0);

    for (int trial = 0; trial < 50; trial++) {
        float p[129], v[129] = {0}, w[3];
        const float d_o = 1;
        double sum = 0, mean = 0, identity = 0;
        atn_influence x;
        atn_head h;

        for (int k = 0; k < 3; k++) {
            w[k] = (float)exp(2 * atn_rng_normal(&r));
            sum += w[k];
            v[64 * k] = (float)atn_rng_normal(&r);
        }
        for (int k = 0; k < 3; k++) w[k] = (float)(w[k] / sum);
        for (int k = 0; k < 3; k++) mean += w[k] * v[64 * k];
        h = three_blocks(p, w, v);
        CHECK_OK(atn_influence_run(cx, &h, 1, &d_o, 1, 0, &x));
        for (int k = 0; k < 3; k++)
            identity +=
                (1 - w[k]) * x.gradient[6 + k] * (mean > (double)v[64 * k] ? 1 : -1);
        CHECK_NEAR(identity, 0, 2e-6);
        atn_influence_release(cx, &x);
    }
}

/* Uniform causal attention with orthonormal values: in row m = i + 1 >= 2 every entry moves the
 * output by 1/m / (1 - 1/m) sqrt((m-1)/m) = 1 / sqrt(m (m-1)), row 0 by 1. So a row adds
 * sqrt(m / (m-1)), of which the first 64 keys have min(64, m) / m. */
static void uniform_causal(atn_ctx *cx)
{
    enum { N = 150 };
    static float zero[N], v[N * N];
    double first = 1, all = 1;
    atn_influence x;
    const atn_head h = {.q = {zero, N, 1, 1},
                        .k = {zero, N, 1, 1},
                        .v = {v, N, N, N},
                        .nq = N,
                        .nk = N,
                        .scale = 1,
                        .sight = {.causal = true, .key_last = N}};
    double total = 0, part = 0;

    for (int i = 0; i < N; i++) v[i * N + i] = 1;
    for (int m = 2; m <= N; m++) {
        all += sqrt(m / (m - 1.0));
        first += sqrt(m / (m - 1.0)) * fmin(64, m) / m;
    }
    CHECK_OK(atn_influence_run(cx, &h, 1, NULL, 0, 0, &x));
    for (int i = 0; i < 9; i++) total += x.proxy[i];
    for (int i = 0; i < 9; i += 3) part += x.proxy[i];
    CHECK_NEAR(total, all, 1e-5 * all);
    CHECK_NEAR(part, first, 1e-5 * all);
    atn_influence_release(cx, &x);
}

/* Equal values, or a gradient that is the same everywhere: no entry matters. */
static void nothing_matters(atn_ctx *cx)
{
    kind_layer *l = make_kind(KIND_CAUSAL, 1);
    const atn_layer_facts f = kind_facts(l, 1);
    atn_influence x;
    double *out;

    for (int i = 0; i < KIND_HEADS * KIND_N * KIND_DV; i++) l->v[i] = l->v[i % KIND_DV];
    CHECK_OK(atn_influence_run(cx, &l->head[0], 1, l->d_o, KIND_N, 1, &x));
    for (int i = 0; i < 16; i++) CHECK(x.proxy[i] == 0 && x.gradient[i] == 0);
    atn_influence_release(cx, &x);
    out = run_kind(cx, M, &f, NULL);
    for (int i = 0; i < KIND_HEADS * atn_measure_n_cols(M); i++) CHECK(isnan(out[i]));
    free(out);
    free(l);
}

/* ---- the dense twin ---- */

/* Sums over blocks in double: |P / (1 - P) (O - v)| and |P / (1 - P) (mean - g)|. */
static void twin(const kind_layer *l, atn_idx h, atn_idx skip, double *proxy,
                 double *gradient)
{
    const atn_head *a = &l->head[h];

    for (int i = 0; i < MOST_BLOCKS * MOST_BLOCKS; i++) proxy[i] = gradient[i] = 0;
    for (atn_idx i = skip; i < a->nq; i++) {
        const atn_idx row = a->sight.rows ? a->sight.rows[i] : i;
        const float *d = l->d_o + (h * l->p.nq + row) * KIND_DV;
        double logit[KIND_N], p[KIND_N], o[KIND_DV] = {0}, mean = 0;
        bool sees[KIND_N];
        const int seen = kind_row(a, i, logit, p, sees);

        for (atn_idx j = 0; j < a->nk; j++)
            for (int e = 0; e < KIND_DV; e++) {
                o[e] += p[j] * (double)atn_crow(a->v, j)[e];
                mean += p[j] * (double)d[e] * (double)atn_crow(a->v, j)[e];
            }
        for (atn_idx j = 0; j < a->nk; j++) {
            const double odds = seen == 1 ? 1 : p[j] / fmax(1 - p[j], 1e-6);
            const atn_idx at =
                (row + a->sight.offset) / B * ((a->nk + B - 1) / B) + j / B;
            double far = 0, g = 0;

            if (!sees[j]) continue;
            for (int e = 0; e < KIND_DV; e++) {
                const double v = (double)atn_crow(a->v, j)[e];
                const double x = seen == 1 ? p[j] * v : o[e] - v;
                far += x * x;
                g += (double)d[e] * v;
            }
            proxy[at] += odds * sqrt(far);
            gradient[at] += odds * fabs(seen == 1 ? p[j] * g : mean - g);
        }
    }
}

static void blocks_against_dense(atn_ctx *cx)
{
    for (int kind = 0; kind < KINDS; kind++)
        for (atn_idx skip = 0; skip < 2; skip++) {
            kind_layer *l = make_kind(kind, 20 + (uint64_t)kind);

            for (atn_idx h = 0; h < KIND_HEADS; h++) {
                double proxy[MOST_BLOCKS * MOST_BLOCKS],
                    gradient[MOST_BLOCKS * MOST_BLOCKS];
                double all = 0, moved = 0;
                atn_influence x;

                twin(l, h, skip, proxy, gradient);
                CHECK_OK(atn_influence_run(cx, &l->head[h], 1,
                                           l->d_o + h * l->p.nq * KIND_DV, l->p.nq,
                                           skip, &x));
                CHECK_LE(x.rows * x.keys, MOST_BLOCKS * MOST_BLOCKS);
                for (atn_idx i = 0; i < x.rows * x.keys; i++) {
                    all += proxy[i];
                    moved += gradient[i];
                }
                for (atn_idx i = 0; i < x.rows * x.keys; i++) {
                    CHECK_NEAR(x.proxy[i], proxy[i], 2e-5 * all + 1e-12);
                    CHECK_NEAR(x.gradient[i], gradient[i], 2e-5 * moved + 1e-12);
                }
                atn_influence_release(cx, &x);
            }
            free(l);
        }
}

/* Pooled heads: the larger of the blocks. */
static void pooling(atn_ctx *cx)
{
    kind_layer *l = make_kind(KIND_GQA, 5);
    double most[16] = {0}, all = 0;
    atn_influence x;

    for (atn_idx h = 3; h < 6; h++) {
        double proxy[16], gradient[16];
        twin(l, h, 0, proxy, gradient);
        for (int i = 0; i < 16; i++) most[i] = fmax(most[i], proxy[i]);
    }
    for (int i = 0; i < 16; i++) all += most[i];
    CHECK_OK(atn_influence_run(cx, &l->head[3], 3, NULL, 0, 0, &x));
    for (int i = 0; i < 16; i++) CHECK_NEAR(x.proxy[i], most[i], 2e-5 * all);
    atn_influence_release(cx, &x);
    free(l);
}

/* ---- the measure ---- */

/* The mask of a rule. */
static bool in_mask(atn_idx a, atn_idx k, atn_idx b, bool causal)
{
    return k == 0 || (causal ? k <= a && a - k < b : llabs(a - k) < b);
}

/* The columns of every kind of head, from the twin's blocks and the masks above. */
static void columns_against_dense(atn_ctx *cx)
{
    static const char *const spans[] = {"moa_span_90_tokens", "moa_span_95_tokens",
                                        "moa_span_99_tokens"};
    static const double levels[] = {.9, .95, .99};

    for (int kind = 0; kind < KINDS; kind++) {
        kind_layer *l = make_kind(kind, 40 + (uint64_t)kind);
        const atn_layer_facts f = kind_facts(l, 0);
        double *out = run_kind(cx, M, &f, "pool=none,rules=2");
        const atn_idx keys = (l->p.nk + B - 1) / B;

        for (atn_idx h = 0; h < KIND_HEADS; h++) {
            double proxy[16], gradient[16], all = 0, first = 0;

            if (kind == KIND_CROSS) { /* a query has no place among the keys */
                CHECK(isnan(kind_value(M, out, h, "moa_span_90_tokens")));
                continue;
            }
            twin(l, h, 0, proxy, gradient);
            for (atn_idx i = 0; i < keys * keys; i++) all += proxy[i];
            for (atn_idx i = 0; i < keys * keys; i += keys) first += proxy[i];
            CHECK_NEAR(kind_value(M, out, h, "moa_span_first_share"), first / all,
                       2e-5);
            for (int c = 0; c < 3; c++) {
                const double got = kind_value(M, out, h, spans[c]) / B;
                double kept[2] = {0, 0};

                for (atn_idx i = 0; i < keys * keys; i++)
                    for (int less = 0; less < 2; less++)
                        if (in_mask(i / keys, i % keys, (atn_idx)got - less,
                                    l->p.sight.causal))
                            kept[less] += proxy[i] / all;
                CHECK_LE(levels[c], kept[0] + 1e-5);
                CHECK(got == 1 || kept[1] < levels[c] + 1e-5);
            }
            CHECK(isnan(kind_value(M, out, h, "moa_span_gradient_90_tokens")));
        }
        free(out);
        free(l);
    }
}

/* Lengths out of order, and a grid without a rule: alpha = -1, beta = 1 has span 0 at 1. */
static void refused(atn_ctx *cx)
{
    static const struct {
        const char *spec, *why;
    } bad[] = {{"moa_span:shortest=9000", "shortest=9000, profile=8192 and"},
               {"moa_span:longest=4096", "profile=8192 and longest=4096 must ascend"},
               {"moa_span:shortest=1,profile=1,longest=1", "no elastic rule fits"}};
    atn_stats_plan plan;

    for (size_t i = 0; i < ATN_LEN(bad); i++) {
        const atn_stats_plan_opts o = {.measures = bad[i].spec};

        CHECK_FAILS(atn_stats_plan_make(cx, &o, &plan), ATN_USAGE, bad[i].why);
        atn_stats_plan_release(cx, &plan);
    }
    CHECK_OK(atn_stats_plan_make(
        cx,
        &(atn_stats_plan_opts){.measures =
                                   "moa_span:shortest=2048,profile=2048,longest=2048"},
        &plan));
    atn_stats_plan_release(cx, &plan);
}

/* The rule is the cheapest of the grid that keeps enough; the plan keeps to its budget and at
 * most two rules. The grid is that of short lengths, so that four blocks have a choice. */
static void rules_of_a_layer(atn_ctx *cx)
{
    kind_layer *l = make_kind(KIND_CAUSAL, 60);
    const atn_layer_facts f = kind_facts(l, 0);
    double *out = run_kind(
        cx, M, &f, "retain=.8,density=.75,shortest=2048,profile=8192,longest=16384");
    double mean = 0, seen[KIND_HEADS];
    int different = 0;

    for (atn_idx h = 0; h < KIND_HEADS; h++) {
        const double alpha = kind_value(M, out, h, "moa_span_rule_alpha_tokens"),
                     beta = kind_value(M, out, h, "moa_span_rule_beta"),
                     plan = kind_value(M, out, h, "moa_span_plan_alpha_tokens") * 10 +
                            kind_value(M, out, h, "moa_span_plan_beta");
        const atn_idx b =
            ATN_MIN(atn_span_blocks(&(atn_span_rule){alpha, beta}, KIND_N), 4);
        double proxy[16], gradient[16], all = 0, kept[2] = {0, 0};
        bool known = false;

        twin(l, h, 0, proxy, gradient);
        for (int i = 0; i < 16; i++) all += proxy[i];
        for (int i = 0; i < 16; i++)
            for (int less = 0; less < 2; less++)
                if (in_mask(i / 4, i % 4, b - less, true)) kept[less] += proxy[i] / all;
        CHECK_NEAR(kind_value(M, out, h, "moa_span_rule_kept"), kept[0], 2e-5);
        CHECK(kept[0] >= .8 && (b == 1 || kept[1] < .8));
        CHECK_NEAR(kind_value(M, out, h, "moa_span_rule_density"),
                   (double)atn_span_kept(b, 4, true) / 4, 1e-12);
        mean += kind_value(M, out, h, "moa_span_plan_density") / KIND_HEADS;
        for (int i = 0; i < different; i++) known |= seen[i] == plan;
        if (!known) seen[different++] = plan;
    }
    CHECK_LE(mean, .75);
    CHECK_LE(different, 2);
    free(out);
    free(l);
}

/* Threads change nothing, heads that are not asked for neither, and all heads of a group have
 * the values of the group. */
static void same_at_any_number_of_threads(atn_ctx *cx)
{
    kind_layer *l = make_kind(KIND_GQA, 61);
    atn_layer_facts f = kind_facts(l, 0);
    const int n = atn_measure_n_cols(M);
    double *a, *b;

    cx->threads = 1;
    a = run_kind(cx, M, &f, NULL);
    cx->threads = 3;
    b = run_kind(cx, M, &f, NULL);
    check_same_values(a, b, KIND_HEADS * n);
    for (int c = 0; c < n; c++)
        CHECK(a[c] == a[2 * n + c] || (isnan(a[c]) && isnan(a[2 * n + c])));
    free(b);
    for (int h = 0; h < KIND_HEADS; h++) l->keep[h] = h == 4;
    b = run_kind(cx, M, &f, "density=1");
    CHECK(isnan(b[0]) && b[4 * n] == a[4 * n]);
    free(a);
    free(b);
    f.problem = &(atn_problem){.heads = KIND_HEADS, .kv_heads = 2, .nq = KIND_N};
    b = run_kind(cx, M, &f, NULL); /* no values: nothing can be said */
    CHECK(isnan(b[0]));
    free(b);
    free(l);
}

/* A window of one key: every row sees itself alone, so one block keeps all. */
static void itself_alone(atn_ctx *cx)
{
    kind_layer *l = make_kind(KIND_CAUSAL, 62);
    atn_layer_facts f;
    double *out, first = 0, all = 0;

    l->p.sight.window = 1;
    for (atn_idx h = 0; h < KIND_HEADS; h++) l->head[h] = atn_problem_head(&l->p, h);
    f = kind_facts(l, 0);
    out = run_kind(cx, M, &f, "density=.6");
    CHECK_NEAR(kind_value(M, out, 0, "moa_span_99_tokens"), 64, 0);
    CHECK_NEAR(kind_value(M, out, 0, "moa_span_99_density"), .5, 0); /* and the first */
    CHECK_NEAR(kind_value(M, out, 0, "moa_span_plan_kept"), 1, 1e-12);
    for (int i = 0; i < KIND_N; i++) {
        double square = 0;
        for (int e = 0; e < KIND_DV; e++)
            square += l->v[i * KIND_DV + e] * l->v[i * KIND_DV + e];
        all += sqrt(square);
        first += i < B ? sqrt(square) : 0;
    }
    CHECK_NEAR(kind_value(M, out, 0, "moa_span_first_share"), first / all, 1e-6);
    free(out);
    free(l);
}

/* ---- d_o in a capture ---- */

static void gradient_of_a_capture(atn_ctx *cx)
{
    kind_layer *l = make_kind(KIND_CAUSAL, 70);
    atn_layer_facts f = kind_facts(l, 0);
    atn_capture *c =
        kind_capture(cx, "moa-gradient", &l, 1, WITH_D_O, NULL, NULL, NULL);
    double *out;

    f.capture = c;
    out = run_kind(cx, M, &f, NULL);
    for (atn_idx h = 0; h < KIND_HEADS; h++) {
        double proxy[16], gradient[16], all = 0, first = 0;

        twin(l, h, 0, proxy, gradient);
        for (int i = 0; i < 16; i++) {
            all += gradient[i];
            first += i % 4 == 0 ? gradient[i] : 0;
        }
        CHECK_NEAR(kind_value(M, out, h, "moa_span_gradient_first_share"), first / all,
                   2e-5);
        CHECK(kind_value(M, out, h, "moa_span_gradient_99_tokens") >= 64);
    }
    free(out);
    {
        atn_problem other = l->p;
        double values[KIND_HEADS * 40];
        char params[256];

        CHECK_LE(atn_measure_n_cols(M), 40);
        CHECK_LE(M->params_size, sizeof params);
        atn_param_defaults(M->params, params);
        other.dv = 3;
        f.problem = &other;
        CHECK_FAILS(M->layer(cx, &f, params, values), ATN_DATA,
                    "\"d_o\" is not of shape");
    }
    atn_capture_close(cx, c);
    free(l);
}

/* The k-th allocation fails: MEMORY each time, nothing leaks (ASan). */
static void allocations_may_fail(atn_ctx *cx)
{
    kind_layer *l = make_kind(KIND_GQA, 71);
    const atn_layer_facts f = kind_facts(l, 0);
    double out[KIND_HEADS * 40];
    char params[256];
    atn_status st = ATN_MEMORY;
    int k = 0;

    atn_param_defaults(M->params, params);
    for (; st != ATN_OK; k++) {
        check_failing fail = {k};
        atn_ctx frail;

        atn_ctx_init(&frail);
        frail.threads = cx->threads;
        frail.alloc = (atn_allocator){check_failing_resize, &fail};
        st = M->layer(&frail, &f, params, out);
        CHECK(st == ATN_OK || st == ATN_MEMORY);
        fail.left = 1 << 20;
        atn_ctx_release(&frail);
        CHECK_LE(k, 300);
    }
    CHECK_LE(3, k);
    /* and a limit is known before the work */
    cx->mem_limit = 1000;
    CHECK_FAILS(M->layer(cx, &f, params, out), ATN_MEMORY, "");
    cx->mem_limit = 0;
    free(l);
}

CHECK_MAIN({"three entries", three_entries}, {"row identity", row_identity},
           {"uniform causal", uniform_causal}, {"nothing matters", nothing_matters},
           {"blocks against dense", blocks_against_dense}, {"pooling", pooling}, {"refused", refused},
           {"columns against dense", columns_against_dense},
           {"rules of a layer", rules_of_a_layer},
           {"same at any number of threads", same_at_any_number_of_threads},
           {"itself alone", itself_alone},
           {"gradient of a capture", gradient_of_a_capture},
           {"allocations may fail", allocations_may_fail})
