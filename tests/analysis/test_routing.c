/* tests/analysis/test_routing.c -- subsets of heads, and the simulator of head routing. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "layer_kinds.h"

#include "analysis/head_subsets.h"

extern const atn_measure atn_measure_routing;
static const atn_measure *const M = &atn_measure_routing;

/* ---- subsets ---- */

static void gram_of(const double *c, int n, int width, double *gram)
{
    for (int a = 0; a < n; a++)
        for (int b = 0; b < n; b++) {
            gram[a * n + b] = 0;
            for (int e = 0; e < width; e++)
                gram[a * n + b] += c[a * width + e] * c[b * width + e];
        }
}

/* Squared length of the sum of the dropped, straight from the vectors. */
static double dropped_square(const double *c, int n, int width, const bool *dropped)
{
    double square = 0;

    for (int e = 0; e < width; e++) {
        double sum = 0;
        for (int h = 0; h < n; h++) sum += dropped[h] ? c[h * width + e] : 0;
        square += sum * sum;
    }
    return square;
}

/* C = (1,0), (1,0), (0,2). Keeping two: drop either of the equal ones, the first by order.
 * Keeping one: {0, 1} leaves 4, {0, 2} and {1, 2} leave 1 + 4. Keeping none: (2,2), 8. */
static void three_heads(atn_ctx *cx)
{
    static const double c[] = {1, 0, 1, 0, 0, 2};
    double gram[9], error[4];
    bool dropped[12];

    gram_of(c, 3, 2, gram);
    for (int way = 0; way < 2; way++) {
        CHECK_OK(way ? atn_head_subsets_greedy(cx, gram, 3, error, dropped)
                     : atn_head_subsets(cx, gram, 3, error, dropped));
        CHECK_NEAR(error[3], 0, 0);
        CHECK_NEAR(error[2], 1, 1e-12);
        CHECK_NEAR(error[1], 4, 1e-12);
        CHECK_NEAR(error[0], 8, 1e-12);
        CHECK(dropped[6] && !dropped[7] && !dropped[8]);
        CHECK(dropped[3] && dropped[4] && !dropped[5]);
    }
}

/* Opposite contributions cost nothing together: a greedy removal cannot see that. */
static void greedy_is_not_exact(atn_ctx *cx)
{
    static const double c[] = {3, 0, -3, 0, 0, 1, 1, 1};
    double gram[16], exact[5], greedy[5];
    bool dropped[20];

    gram_of(c, 4, 2, gram);
    CHECK_OK(atn_head_subsets(cx, gram, 4, exact, dropped));
    CHECK_NEAR(exact[2], 0, 1e-12);
    CHECK(dropped[8] && dropped[9] && !dropped[10] && !dropped[11]);
    CHECK_OK(atn_head_subsets_greedy(cx, gram, 4, greedy, dropped));
    CHECK_NEAR(greedy[3], 1, 1e-12);
    CHECK_NEAR(greedy[2], 5, 1e-12); /* (0,1) went first; with (1,1) it makes (1,2) */
}

/* Every subset of every size, its lexicographic order by its sorted list of heads. */
static void subsets_against_all(atn_ctx *cx)
{
    for (int n = 1; n <= 9; n++) {
        double c[27], gram[81], error[10];
        bool dropped[90];
        atn_rng r = atn_rng_stream(1, "test/subsets", n, 0);

        for (int i = 0; i < 3 * n; i++) c[i] = atn_rng_normal(&r);
        if (n > 3) /* equal vectors: ties */
            for (int e = 0; e < 3; e++) c[3 * (n - 1) + e] = c[3 + e];
        if (n > 5)
            for (int e = 0; e < 3; e++) c[3 * (n - 2) + e] = c[3 + e];
        gram_of(c, n, 3, gram);
        CHECK_OK(atn_head_subsets(cx, gram, n, error, dropped));
        for (int k = 0; k <= n; k++) {
            double best = INFINITY;
            int best_list[10] = {0};

            for (int set = 0; set < 1 << n; set++) {
                int list[10], count = 0, order = 0;
                bool away[10] = {false};
                double mine;

                for (int h = 0; h < n; h++)
                    if (set >> h & 1) {
                        list[count++] = h;
                        away[h] = true;
                    }
                if (count != n - k) continue;
                mine = dropped_square(c, n, 3, away);
                for (int i = 0; i < count && order == 0; i++)
                    order = list[i] - best_list[i];
                if (mine < best - 1e-9 || (mine < best + 1e-9 && order < 0)) {
                    best = fmin(mine, best);
                    memcpy(best_list, list, sizeof list);
                }
            }
            CHECK_NEAR(error[k], best, 1e-9);
            for (int i = 0; i < n - k; i++) CHECK(dropped[k * n + best_list[i]]);
            CHECK_NEAR(dropped_square(c, n, 3, dropped + k * n), best, 1e-9);
        }
    }
}

/* 18 heads go one by one: the errors are those of the sets, and the first step is the best. */
static void many_heads(atn_ctx *cx)
{
    enum { N = 18 };
    double c[N * 4], gram[N * N], error[N + 1], least = INFINITY;
    bool dropped[N * (N + 1)];
    atn_rng r = atn_rng_stream(2, "test/subsets", 0, 0);

    for (int i = 0; i < N * 4; i++) c[i] = atn_rng_normal(&r);
    gram_of(c, N, 4, gram);
    CHECK_OK(atn_head_subsets(cx, gram, N, error, dropped));
    for (int k = 0; k <= N; k++) {
        int count = 0;

        CHECK_NEAR(error[k], dropped_square(c, N, 4, dropped + k * N), 1e-9);
        for (int h = 0; h < N; h++) count += dropped[k * N + h];
        CHECK_EQ(count, N - k);
    }
    for (int h = 0; h < N; h++) least = fmin(least, gram[h * N + h]);
    CHECK_NEAR(error[N - 1], least, 0);
}

/* ---- the measure against loops in double ---- */

typedef struct expected {
    double square[4][KIND_HEADS + 1]; /* by rule and heads kept */
    double load[4][KIND_HEADS], score[3][KIND_HEADS], agreement[3], all, tokens;
    double pair[3]; /* query with contribution, with entropy; these two */
} expected;

/* Which heads each rule keeps of one token: kept[rule][h]. */
static void choose(const double *c, const double *value, int k,
                   bool kept[4][KIND_HEADS])
{
    double best = INFINITY;

    for (int rule = 0; rule < 3; rule++)
        for (int h = 0; h < KIND_HEADS; h++) {
            int before = 0;
            for (int g = 0; g < KIND_HEADS; g++)
                before +=
                    value[rule * KIND_HEADS + g] > value[rule * KIND_HEADS + h] ||
                    (value[rule * KIND_HEADS + g] == value[rule * KIND_HEADS + h] &&
                     g < h);
            kept[rule][h] = before < k;
        }
    for (int set = 0; set < 1 << KIND_HEADS; set++) {
        bool away[KIND_HEADS];
        int count = 0;

        for (int h = 0; h < KIND_HEADS; h++) count += away[h] = set >> h & 1;
        if (count != KIND_HEADS - k) continue;
        if (dropped_square(c, KIND_HEADS, KIND_WIDTH, away) < best) {
            best = dropped_square(c, KIND_HEADS, KIND_WIDTH, away);
            for (int h = 0; h < KIND_HEADS; h++) kept[3][h] = !away[h];
        }
    }
}

static void add_token(const double *c, const double *value, int budget, expected *x)
{
    const bool none[KIND_HEADS] = {1, 1, 1, 1, 1, 1};

    for (int k = 0; k <= KIND_HEADS; k++) {
        bool kept[4][KIND_HEADS];

        choose(c, value, k, kept);
        for (int rule = 0; rule < 4; rule++) {
            bool away[KIND_HEADS];
            int both = 0, any = 0;

            for (int h = 0; h < KIND_HEADS; h++) {
                away[h] = !kept[rule][h];
                both += kept[rule][h] && kept[3][h];
                any += kept[rule][h] || kept[3][h];
                if (k == budget) x->load[rule][h] += kept[rule][h];
            }
            x->square[rule][k] += dropped_square(c, KIND_HEADS, KIND_WIDTH, away);
            if (rule < 3 && k == budget) x->agreement[rule] += both / (double)any;
        }
        for (int a = 0, p = 0; a < 3; a++)
            for (int b = a + 1; b < 3 && k == budget; b++, p++) {
                int both = 0, any = 0;

                for (int h = 0; h < KIND_HEADS; h++) {
                    both += kept[a][h] && kept[b][h];
                    any += kept[a][h] || kept[b][h];
                }
                x->pair[p] += both / (double)any;
            }
    }
    for (int rule = 0; rule < 3; rule++) {
        const double *v = value + rule * KIND_HEADS;
        double mean = 0, square = 0, sum = 0;

        for (int h = 0; h < KIND_HEADS; h++) mean += v[h] / KIND_HEADS;
        for (int h = 0; h < KIND_HEADS; h++) square += (v[h] - mean) * (v[h] - mean);
        const double std = square > 0 ? sqrt(square / (KIND_HEADS - 1)) : INFINITY;
        for (int h = 0; h < KIND_HEADS; h++) sum += exp((v[h] - mean) / std);
        for (int h = 0; h < KIND_HEADS; h++)
            x->score[rule][h] += exp((v[h] - mean) / std) / sum;
    }
    x->all += dropped_square(c, KIND_HEADS, KIND_WIDTH, none);
    x->tokens++;
}

static void expect(const kind_layer *l, atn_idx skip, int budget, expected *x)
{
    *x = (expected){0};
    for (atn_idx i = skip; i < l->head[0].nq; i++) {
        double c[KIND_HEADS * KIND_WIDTH] = {0}, value[3 * KIND_HEADS] = {0};
        int seen = 0;

        for (int h = 0; h < KIND_HEADS; h++) {
            const atn_head *a = &l->head[h];
            double logit[KIND_N], p[KIND_N], mass = 0;
            bool sees[KIND_N];

            seen = kind_row(a, i, logit, p, sees);
            for (int j = 0; j < KIND_N; j++) mass += j < a->nk ? p[j] : 0;
            for (atn_idx j = 0; j < a->nk; j++) {
                if (p[j] > 0)
                    value[2 * KIND_HEADS + h] += p[j] / mass * log(p[j] / mass);
                for (int e = 0; e < KIND_DV; e++)
                    for (int w = 0; w < KIND_WIDTH; w++)
                        c[h * KIND_WIDTH + w] +=
                            p[j] * (double)atn_crow(a->v, j)[e] *
                            l->w_o[(h * KIND_DV + e) * KIND_WIDTH + w];
            }
            for (int e = 0; e < KIND_D; e++)
                value[h] += pow((double)a->q.data[i * a->q.ld + e], 2);
            value[h] = sqrt(value[h]);
            for (int w = 0; w < KIND_WIDTH; w++)
                value[KIND_HEADS + h] += pow(c[h * KIND_WIDTH + w], 2);
            value[KIND_HEADS + h] = sqrt(value[KIND_HEADS + h]);
        }
        if (seen > 0) add_token(c, value, budget, x);
    }
}

static double column(const double *out, atn_idx h, const char *rule, const char *name)
{
    char full[80];

    snprintf(full, sizeof full, "routing_%s_%s", rule, name);
    return kind_value(M, out, h, full);
}

static void check_rule(const double *out, const expected *x, int rule, const char *name)
{
    static const char *const errors[] = {"error_50", "error_60", "error_75",
                                         "error_80", "error_90", "error_100"};
    static const int kept[] = {3, 4, 5, 5, 5, 6}; /* of 6, rounded half up */
    double share[2] = {1, 1}, balance = 0, entropy = 0, sum = 0;

    for (int k = KIND_HEADS; k >= 1; k--)
        for (int e = 0; e < 2; e++)
            if (sqrt(x->square[rule][k] / x->all) <= (e ? .1 : .05))
                share[e] = k / (double)KIND_HEADS;
    for (int h = 0; h < KIND_HEADS; h++) sum += x->load[rule][h];
    for (int h = 0; h < KIND_HEADS; h++) {
        const double f = x->load[rule][h] / sum;
        entropy -= f > 0 ? f * log(f) : 0;
        if (rule < 3)
            balance += KIND_HEADS * x->load[rule][h] * x->score[rule][h] / x->tokens /
                       x->tokens;
    }
    for (int h = 0; h < KIND_HEADS; h++) {
        for (int b = 0; b < 6; b++)
            CHECK_NEAR(column(out, h, name, errors[b]),
                       sqrt(x->square[rule][kept[b]] / x->all), 1e-5);
        CHECK_NEAR(column(out, h, name, "needed_5"), share[0], 1e-12);
        CHECK_NEAR(column(out, h, name, "needed_10"), share[1], 1e-12);
        CHECK_NEAR(column(out, h, name, "load"), x->load[rule][h] / x->tokens, 1e-9);
        CHECK_NEAR(column(out, h, name, "load_entropy"), entropy / log(KIND_HEADS),
                   1e-9);
        if (rule == 3) continue;
        CHECK_NEAR(column(out, h, name, "score"), x->score[rule][h] / x->tokens, 1e-5);
        CHECK_NEAR(column(out, h, name, "balance"), balance, 1e-5);
        CHECK_NEAR(column(out, h, name, "agreement"), x->agreement[rule] / x->tokens,
                   1e-9);
    }
}

static void against_dense(atn_ctx *cx)
{
    static const char *const names[] = {"query", "contribution", "entropy", "oracle"};
    static const char *const pairs[] = {"query_contribution", "query_entropy",
                                        "contribution_entropy"};

    for (int kind = 0; kind < KINDS; kind++)
        for (atn_idx skip = 0; skip < 2; skip++) {
            kind_layer *l = make_kind(kind, 30 + (uint64_t)kind);
            atn_layer_facts f = kind_facts(l, skip);
            expected x;
            double *out;

            /* half of the heads, k = 3 */
            out = run_kind(cx, M, &f, "budget=0.5");
            if (kind == KIND_WEIGHTS || (kind == KIND_ONE && skip > 0)) {
                CHECK(isnan(column(out, 0, "oracle", "error_50")));
                CHECK(isnan(column(out, 0, "query", "load")));
            } else {
                expect(l, skip, 3, &x);
                for (int rule = 0; rule < 4; rule++)
                    check_rule(out, &x, rule, names[rule]);
                CHECK_NEAR(kind_value(M, out, 2, "routing_oracle_exact"), 1, 0);
                for (int p = 0; p < 3; p++)
                    CHECK_NEAR(column(out, 3, pairs[p], "agreement"),
                               x.pair[p] / x.tokens, 1e-9);
            }
            free(out);
            free(l);
        }
}

/* ---- oracles of the card ---- */

/* A head whose W_O is zero is the one that the oracle and the norms drop, at no cost. */
static void silent_head_is_free(atn_ctx *cx)
{
    kind_layer *l = make_kind(KIND_CAUSAL, 50);
    const atn_layer_facts f = kind_facts(l, 0);
    double *out;

    memset(l->w_o + 2 * KIND_DV * KIND_WIDTH, 0, KIND_DV * KIND_WIDTH * sizeof *l->w_o);
    out = run_kind(cx, M, &f, "budget=0.8");
    CHECK_NEAR(column(out, 0, "oracle", "error_80"), 0, 1e-7);
    CHECK_NEAR(column(out, 0, "contribution", "error_80"), 0, 1e-7);
    CHECK_NEAR(column(out, 2, "oracle", "load"), 0, 0);
    CHECK_NEAR(column(out, 2, "contribution", "load"), 0, 0);
    CHECK_LE(1e-3, column(out, 0, "query", "error_80"));
    CHECK_NEAR(column(out, 0, "contribution", "needed_5"), 5 / 6., 1e-12);
    for (int h = 0; h < KIND_HEADS; h++)
        CHECK_NEAR(column(out, h, "query", "error_100"), 0, 0);
    free(out);
    free(l);
}

/* Queries of one length: scores are all 1/6, the first heads are kept, balance = k. */
static void uniform_router_is_balanced(atn_ctx *cx)
{
    kind_layer *l = make_kind(KIND_CAUSAL, 51);
    const atn_layer_facts f = kind_facts(l, 0);
    double *out;

    for (int i = 0; i < KIND_HEADS * KIND_N * KIND_D; i++) l->q[i] = i % 2 ? .5f : -.5f;
    out = run_kind(cx, M, &f, "budget=0.5");
    for (int h = 0; h < KIND_HEADS; h++) {
        CHECK_NEAR(column(out, h, "query", "score"), 1 / 6., 1e-12);
        CHECK_NEAR(column(out, h, "query", "load"), h < 3, 0);
        CHECK_NEAR(column(out, h, "query", "balance"), 3, 1e-12);
        CHECK_NEAR(column(out, h, "query", "load_entropy"), log(3) / log(6), 1e-12);
    }
    free(out);
    free(l);
}

/* The oracle is never worse, errors fall with the budget for it, and order of heads is only
 * names: permuted heads give permuted loads and the same errors. */
static void properties(atn_ctx *cx)
{
    for (int trial = 0; trial < 4; trial++) {
        kind_layer *l = make_kind(KIND_WINDOW, 80 + (uint64_t)trial),
                   *m = make_kind(KIND_WINDOW, 80 + (uint64_t)trial);
        static const int to[KIND_HEADS] = {3, 0, 5, 1, 4, 2};
        static const char *const names[] = {"query", "contribution", "entropy"};
        static const char *const errors[] = {"error_50", "error_60", "error_75"};
        const size_t q = KIND_N * KIND_D, v = KIND_N * KIND_DV,
                     w = KIND_DV * KIND_WIDTH;
        atn_layer_facts f, g;
        double *a, *b;

        for (int h = 0; h < KIND_HEADS; h++) {
            memcpy(m->q + (size_t)to[h] * q, l->q + (size_t)h * q, q * sizeof *l->q);
            memcpy(m->k + (size_t)to[h] * q, l->k + (size_t)h * q, q * sizeof *l->q);
            memcpy(m->v + (size_t)to[h] * v, l->v + (size_t)h * v, v * sizeof *l->q);
            memcpy(m->w_o + (size_t)to[h] * w, l->w_o + (size_t)h * w,
                   w * sizeof *l->q);
        }
        f = kind_facts(l, 1); /* in row 0 all entropies are 0: ties go by index */
        g = kind_facts(m, 1);
        a = run_kind(cx, M, &f, NULL);
        b = run_kind(cx, M, &g, NULL);
        for (int e = 0; e < 3; e++) {
            const double least = column(a, 0, "oracle", errors[e]);

            for (int r = 0; r < 3; r++) {
                CHECK_LE(least, column(a, 0, names[r], errors[e]) + 1e-12);
                CHECK_NEAR(column(a, 0, names[r], errors[e]),
                           column(b, 0, names[r], errors[e]), 1e-5);
            }
            if (e > 0) CHECK_LE(least, column(a, 0, "oracle", errors[e - 1]) + 1e-12);
        }
        for (int h = 0; h < KIND_HEADS; h++)
            CHECK_NEAR(column(a, h, "query", "load"), column(b, to[h], "query", "load"),
                       1e-9);
        free(a);
        free(b);
        free(l);
        free(m);
    }
}

/* 6 heads of 6, values of 5, width 9, 20.5 keys a row: a dropped head saves 20.5 (6 + 5) + 5 9 of
 * 6 (20.5 11 + 45) + 9 (36 + 6 11). Threads change nothing; without W_O nothing is said. */
static void saving_threads_and_gaps(atn_ctx *cx)
{
    kind_layer *l = make_kind(KIND_CAUSAL, 52);
    atn_layer_facts f = kind_facts(l, 0);
    const atn_idx n = KIND_HEADS * atn_measure_n_cols(M);
    double *a, *b;

    cx->threads = 1;
    a = run_kind(cx, M, &f, "budget=0.5");
    CHECK_NEAR(kind_value(M, a, 1, "routing_flop_saving"),
               .5 * 6 * (20.5 * 11 + 45) / (6 * (20.5 * 11 + 45) + 9 * (36 + 6 * 11)),
               1e-12);
    cx->threads = 3;
    b = run_kind(cx, M, &f, "budget=0.5");
    check_same_values(a, b, n);
    free(b);
    l->keep[0] = false;
    f.w_o = NULL;
    b = run_kind(cx, M, &f, NULL);
    for (atn_idx i = 0; i < n; i++) CHECK(isnan(b[i]));
    free(b);
    f.w_o = l->w_o;
    b = run_kind(cx, M, &f, "budget=0.5");
    CHECK(isnan(b[0]) && b[n / KIND_HEADS] == a[n / KIND_HEADS]);
    free(a);
    free(b);
    free(l);
}

/* The k-th allocation fails: MEMORY each time, nothing leaks (ASan). */
static void allocations_may_fail(atn_ctx *cx)
{
    kind_layer *l = make_kind(KIND_CAUSAL, 53);
    const atn_layer_facts f = kind_facts(l, 0);
    double out[KIND_HEADS * 60], budget = .75;
    atn_status st = ATN_MEMORY;
    int k = 0;

    CHECK_LE(atn_measure_n_cols(M), 60);
    for (; st != ATN_OK; k++) {
        check_failing fail = {k};
        atn_ctx frail;

        atn_ctx_init(&frail);
        frail.threads = cx->threads;
        frail.alloc = (atn_allocator){check_failing_resize, &fail};
        st = M->layer(&frail, &f, &budget, out);
        CHECK(st == ATN_OK || st == ATN_MEMORY);
        fail.left = 1 << 20;
        atn_ctx_release(&frail);
        CHECK_LE(k, 300);
    }
    CHECK_LE(3, k);
    cx->mem_limit = 1000;
    CHECK_FAILS(M->layer(cx, &f, &budget, out), ATN_MEMORY, "");
    cx->mem_limit = 0;
    free(l);
}

CHECK_MAIN({"three heads", three_heads}, {"greedy is not exact", greedy_is_not_exact},
           {"subsets against all", subsets_against_all}, {"many heads", many_heads},
           {"against dense", against_dense},
           {"a silent head is free", silent_head_is_free},
           {"a uniform router is balanced", uniform_router_is_balanced},
           {"properties", properties},
           {"saving, threads and gaps", saving_threads_and_gaps},
           {"allocations may fail", allocations_may_fail})
