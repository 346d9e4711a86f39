/* What a budget fits: windows in closed form, and methods made for the purpose. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "check.h"

#include "analysis/approx_fit.h"
#include "analysis/approx_list.h"

enum { N = 100 };

/* Heads without numbers: nothing here reads them. */
typedef struct mask_heads {
    float x[N];
    atn_head head[2];
    atn_input in;
} mask_heads;

static void make_heads(mask_heads *m)
{
    memset(m, 0, sizeof *m);
    for (int h = 0; h < 2; h++)
        m->head[h] = (atn_head){.q = {m->x, N, 1, 1},
                                .k = {m->x, N, 1, 1},
                                .v = {m->x, N, 1, 1},
                                .nq = N,
                                .nk = N,
                                .scale = 1,
                                .sight = {.causal = true, .key_last = N},
                                .head = h};
    m->in = (atn_input){.head = m->head, .heads = 2, .group = 2};
}

static double window_pairs(double w)
{
    return N * w - w * (w - 1) / 2;
}

static void windows(atn_ctx *cx)
{
    mask_heads m;
    atn_choice c;

    make_heads(&m);
    CHECK_OK(atn_choice_read(cx, "window", "window=7", &c));
    for (int w = 1; w <= N; w += 9)
        for (int start = 0; start < 3; start++) {
            /* one pair short of the next window, one pair above this one, just it */
            const double targets[] = {window_pairs(w + 1) - 1, window_pairs(w) + .5,
                                      window_pairs(w)};
            const atn_fit_opts o = {.choice = &c,
                                    .n = 1,
                                    .target = targets[start],
                                    .start = start == 0   ? NAN
                                             : start == 1 ? 1
                                                          : 90};
            atn_fitted f;

            if (w == N && start == 0) continue;
            CHECK_OK(atn_approx_fit(cx, &m.in, &o, &f));
            CHECK_NEAR(f.value, w, 0);
            CHECK_NEAR(f.cost[0].executed, window_pairs(w), 0);
            CHECK_EQ(f.fit, ATN_FIT_MET);
            atn_fitted_release(cx, &f);
        }
    /* what was asked for stays as it was */
    CHECK_NEAR(atn_approx_number(c.params, c.values), 7, 0);
}

static void beyond_both_ends(atn_ctx *cx)
{
    atn_fit_opts o = {.n = 1, .target = N - 1, .start = NAN};
    mask_heads m;
    atn_choice c;
    atn_fitted f;

    make_heads(&m);
    CHECK_OK(atn_choice_read(cx, "window", NULL, &c));
    o.choice = &c;
    CHECK_OK(atn_approx_fit(cx, &m.in, &o, &f)); /* a key a row is too much */
    CHECK_EQ(f.fit, ATN_FIT_LEAST);
    CHECK_NEAR(f.value, 1, 0);
    CHECK_NEAR(f.cost[0].executed, N, 0);
    atn_fitted_release(cx, &f);
    o.target = 1e9;
    CHECK_OK(atn_approx_fit(cx, &m.in, &o, &f));
    CHECK_EQ(f.fit, ATN_FIT_MOST);
    CHECK_NEAR(f.cost[0].executed, N * (N + 1) / 2, 0);
    atn_fitted_release(cx, &f);
    o.target = NAN; /* no budget */
    CHECK_OK(atn_approx_fit(cx, &m.in, &o, &f));
    CHECK_EQ(f.fit, ATN_FIT_NONE);
    CHECK(isnan(f.value) && f.plan);
    atn_fitted_release(cx, &f);
    CHECK_OK(atn_choice_read(cx, "causal", NULL, &c));
    o.target = 7; /* nothing to fit */
    CHECK_OK(atn_approx_fit(cx, &m.in, &o, &f));
    CHECK_EQ(f.fit, ATN_FIT_FIXED);
    CHECK_NEAR(f.cost[0].executed, N * (N + 1) / 2, 0);
    atn_fitted_release(cx, &f);
}

/* Keys: as many as there are, of a head 50.5 a row that sees them on average. Ranks: as
 * far as they store more. Features: all that the parameter takes. Scatterbrain: where
 * half of the numbers are all keys on both sides. */
static void where_a_search_ends(atn_ctx *cx)
{
    static const struct {
        const char *id;
        double most;
    } of[] = {{"window", N},           {"svd", N},
              {"ksparse", 51},         {"performer", 65536},
              {"scatterbrain", 4 * N}, {"rat", N}};
    mask_heads m;

    make_heads(&m);
    for (size_t k = 0; k < ATN_LEN(of); k++) {
        double most;
        atn_choice c;

        CHECK_OK(atn_choice_read(cx, of[k].id, NULL, &c));
        CHECK_OK(atn_fit_ceiling(cx, &c, &m.in, 0, false, &most));
        CHECK_NEAR(most, of[k].most, 0);
    }
}

/* ---- methods of the test: the last keys of every row ---- */

typedef struct last_keys {
    int64_t k;
    double share;
} last_keys;

static const atn_param params[] = {
    ATN_PARAM_I64(last_keys, k, 8, 0, 1e9, "keys"),
    ATN_PARAM_F64(last_keys, share, .5, 0, 1, "of all keys"), ATN_PARAM_END};

static atn_status keep_last(atn_ctx *cx, const atn_input *in, atn_idx n, atn_idx keys,
                            atn_plan *out)
{
    const atn_frame f = atn_frame_square(N, 1, true);
    const atn_span near = {0, keys};
    atn_status st = ATN_OK;

    (void)in;
    for (atn_idx h = 0; h < n; h++) {
        atn_pattern *p = NULL;

        ATN_TRY(atn_pattern_shift(cx, &f, &near, keys > 0, 0, &p));
        atn_plan_mask(&out[h], p, 0, 1, 1);
    }
done:
    return st;
}

/* Multiples of 10 alone; heads of a unit share. */
static atn_status plan_tens(atn_ctx *cx, const atn_input *in, const void *params_,
                            atn_idx first, atn_idx n, atn_plan *out)
{
    const last_keys *t = params_;
    atn_status st = ATN_OK;

    (void)first;
    if (t->k % 10 != 0)
        ATN_FAIL(ATN_USAGE, "tens: k = %lld is no multiple of 10", (long long)t->k);
    ATN_TRY(keep_last(cx, in, n, t->k, out));
done:
    return st;
}

static atn_status plan_share(atn_ctx *cx, const atn_input *in, const void *params_,
                             atn_idx first, atn_idx n, atn_plan *out)
{
    const last_keys *t = params_;

    (void)first;
    return keep_last(cx, in, n, (atn_idx)(t->share * N), out);
}

/* The larger, the less. */
static atn_status plan_falling(atn_ctx *cx, const atn_input *in, const void *params_,
                               atn_idx first, atn_idx n, atn_plan *out)
{
    const last_keys *t = params_;

    (void)first;
    return keep_last(cx, in, n, ATN_MAX(N - t->k, 0), out);
}

static atn_method method_of(const char *budget, bool falls, atn_unit unit,
                            atn_status (*plan)(atn_ctx *, const atn_input *,
                                               const void *, atn_idx, atn_idx,
                                               atn_plan *))
{
    return (atn_method){.id = "tens",
                        .sides = ATN_BOTH_WAYS,
                        .unit = unit,
                        .params = params,
                        .params_size = sizeof(last_keys),
                        .budget = budget,
                        .budget_falls = falls,
                        .plan = plan};
}

static void forbidden_values(atn_ctx *cx)
{
    const atn_method tens = method_of("k", false, ATN_UNIT_GROUP, plan_tens);
    last_keys values = {.k = 8};
    const atn_choice c = {.method = &tens,
                          .params = params,
                          .params_size = sizeof values,
                          .values = &values};
    mask_heads m;

    make_heads(&m);
    for (int w = 10; w < 90; w += 10)
        for (int start = 0; start < 2; start++) {
            const atn_fit_opts o = {.choice = &c,
                                    .n = 2,
                                    .target = 2 * window_pairs(w + 5),
                                    .start = start ? 77 : NAN};
            atn_fitted f;

            CHECK_OK(atn_approx_fit(cx, &m.in, &o, &f));
            CHECK_EQ(f.fit, ATN_FIT_MET);
            CHECK_NEAR(f.value, w, 0);
            CHECK_NEAR(f.cost[1].executed, window_pairs(w), 0);
            CHECK_EQ(cx->err.code, ATN_OK);
            atn_fitted_release(cx, &f);
        }
}

static void falling(atn_ctx *cx)
{
    const atn_method method = method_of("k", true, ATN_UNIT_HEAD, plan_falling);
    last_keys values = {.k = 8};
    const atn_choice c = {.method = &method,
                          .params = params,
                          .params_size = sizeof values,
                          .values = &values};
    const atn_fit_opts o = {
        .choice = &c, .n = 1, .target = window_pairs(30) + 3, .start = NAN};
    mask_heads m;
    atn_fitted f;

    make_heads(&m);
    CHECK_OK(atn_approx_fit(cx, &m.in, &o, &f));
    CHECK_EQ(f.fit, ATN_FIT_MET);
    CHECK_NEAR(f.value, N - 30, 0);
    atn_fitted_release(cx, &f);
}

/* Steps of a hundredth are coarser than 1 %: the search ends at its halvings, on the
 * right side of the step. */
static void real_numbers(atn_ctx *cx)
{
    const atn_method method = method_of("share", false, ATN_UNIT_HEAD, plan_share);
    last_keys values = {.share = .5};
    const atn_choice c = {.method = &method,
                          .params = params,
                          .params_size = sizeof values,
                          .values = &values};
    mask_heads m;

    make_heads(&m);
    for (int w = 1; w < 95; w += 13)
        for (int start = 0; start < 2; start++) {
            const atn_fit_opts o = {.choice = &c,
                                    .n = 1,
                                    .target = window_pairs(w + .6),
                                    .start = start ? .013 : NAN};
            atn_fitted f;

            CHECK_OK(atn_approx_fit(cx, &m.in, &o, &f));
            CHECK_EQ(f.fit, ATN_FIT_MET);
            CHECK(f.cost[0].executed == window_pairs(w) ||
                  (f.cost[0].executed >= .99 * o.target &&
                   f.cost[0].executed <= o.target));
            atn_fitted_release(cx, &f);
        }
}

/* Up and down: 3 keys more where k is odd. The best even or odd value is beside where
 * any bisection ends. */
static atn_status plan_saw(atn_ctx *cx, const atn_input *in, const void *params_,
                           atn_idx first, atn_idx n, atn_plan *out)
{
    const last_keys *t = params_;

    (void)first;
    return keep_last(cx, in, n, t->k + 3 * (t->k % 2), out);
}

static void saw(atn_ctx *cx)
{
    const atn_method method = method_of("k", false, ATN_UNIT_HEAD, plan_saw);
    last_keys values = {.k = 8};
    const atn_choice c = {.method = &method,
                          .params = params,
                          .params_size = sizeof values,
                          .values = &values};
    mask_heads m;

    make_heads(&m);
    for (int w = 4; w < 90; w++)
        for (int start = 0; start < 3; start++) {
            const atn_fit_opts o = {.choice = &c,
                                    .n = 1,
                                    .target = window_pairs(w) + .5,
                                    .start = start == 0   ? NAN
                                             : start == 1 ? (double)w - 1
                                                          : 95. - w};
            atn_fitted f;
            double got;

            CHECK_OK(atn_approx_fit(cx, &m.in, &o, &f));
            got = f.cost[0].executed;
            CHECK_EQ(f.fit, ATN_FIT_MET);
            CHECK_LE(got, o.target);
            CHECK(got >= window_pairs(w - w % 2) || got >= .99 * o.target);
            CHECK_NEAR(got, window_pairs(f.value + ((int)f.value % 2 ? 3 : 0)), 0);
            atn_fitted_release(cx, &f);
        }
}

/* Nothing below 1, or below a half, and 40 keys a row from there on. */
static atn_status plan_jump(atn_ctx *cx, const atn_input *in, const void *params_,
                            atn_idx first, atn_idx n, atn_plan *out)
{
    const last_keys *t = params_;

    (void)first;
    return keep_last(cx, in, n, t->k < 7 || t->share < .25 ? 0 : 40, out);
}

/* What executes nothing is within any budget and meets none. */
static void nothing(atn_ctx *cx)
{
    for (int i = 0; i < 4; i++) {
        const bool whole = i % 2;
        const atn_method method =
            method_of(whole ? "k" : "share", false, ATN_UNIT_HEAD, plan_jump);
        last_keys values = {.k = 50, .share = .5};
        const atn_choice c = {.method = &method,
                              .params = params,
                              .params_size = sizeof values,
                              .values = &values};
        const atn_fit_opts o = {.choice = &c,
                                .n = 1,
                                .target = window_pairs(20),
                                .start = i < 2   ? NAN
                                         : whole ? 2
                                                 : .1};
        mask_heads m;
        atn_fitted f;

        make_heads(&m);
        CHECK_OK(atn_approx_fit(cx, &m.in, &o, &f));
        CHECK_EQ(f.fit, ATN_FIT_LEAST);
        CHECK_NEAR(f.value, whole ? 7 : .25, whole ? 0 : 1e-6);
        CHECK_NEAR(f.cost[0].executed, window_pairs(40), 0);
        atn_fitted_release(cx, &f);
        values.k = whole ? values.k : 0; /* no value executes anything */
        values.share = whole ? 0 : values.share;
        CHECK_OK(atn_approx_fit(cx, &m.in, &o, &f));
        CHECK_EQ(f.fit, ATN_FIT_MOST);
        CHECK_NEAR(f.cost[0].executed, 0, 0);
        atn_fitted_release(cx, &f);
    }
}

/* No value near the start is allowed: the rule is said. */
static atn_status plan_never(atn_ctx *cx, const atn_input *in, const void *params_,
                             atn_idx first, atn_idx n, atn_plan *out)
{
    (void)in;
    (void)params_;
    (void)first;
    (void)n;
    (void)out;
    return atn_fail(cx, ATN_USAGE, __FILE__, __LINE__, "never: this is the rule");
}

static void never(atn_ctx *cx)
{
    const atn_method method = method_of("k", false, ATN_UNIT_HEAD, plan_never);
    last_keys values = {.k = 8};
    const atn_choice c = {.method = &method,
                          .params = params,
                          .params_size = sizeof values,
                          .values = &values};
    const atn_fit_opts o = {.choice = &c, .n = 1, .target = 500, .start = NAN};
    mask_heads m;
    atn_fitted f;

    make_heads(&m);
    CHECK_FAILS(atn_approx_fit(cx, &m.in, &o, &f), ATN_USAGE, "this is the rule");
    atn_fitted_release(cx, &f);
}

/* A value of an earlier run is taken as it is, and what that run said of it where it is
 * true. */
static void given(atn_ctx *cx)
{
    static const struct {
        atn_fit said, is;
        double target;
    } cases[] = {{ATN_FIT_MET, ATN_FIT_MET, 1e4},
                 {ATN_FIT_MOST, ATN_FIT_MOST, 1e4},
                 {ATN_FIT_MET, ATN_FIT_LEAST, 100},
                 {ATN_FIT_LEAST, ATN_FIT_LEAST, 100},
                 {ATN_FIT_LEAST, ATN_FIT_MET, 1e4}};
    mask_heads m;
    atn_choice c;

    make_heads(&m);
    CHECK_OK(atn_choice_read(cx, "window", "window=7", &c));
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const atn_fit_given g = {13, cases[i].said};
        const atn_fit_opts o = {
            .choice = &c, .n = 1, .target = cases[i].target, .start = 3, .given = &g};
        atn_fitted f;

        CHECK_OK(atn_approx_fit(cx, &m.in, &o, &f));
        CHECK_NEAR(f.value, 13, 0);
        CHECK_NEAR(f.cost[0].executed, window_pairs(13), 0);
        CHECK_EQ(f.fit, cases[i].is);
        atn_fitted_release(cx, &f);
    }
    CHECK_NEAR(atn_approx_number(c.params, c.values), 7, 0);
}

/* ---- spending that is known by shapes ---- */

static int plans_made;

/* Rank k: 2 k numbers a row, and a fifth of the pairs more for every 10. */
static atn_status plan_rank(atn_ctx *cx, const atn_input *in, const void *params_,
                            atn_idx first, atn_idx n, atn_plan *out)
{
    const last_keys *t = params_;
    atn_status st = ATN_OK;

    (void)first;
    plans_made++;
    if (t->share < .1 && t->k % 3 == 1)
        ATN_FAIL(ATN_USAGE, "rank: %lld is a rule broken", (long long)t->k);
    ATN_TRY(keep_last(cx, in, n, t->k, out));
    for (atn_idx h = 0; h < n; h++) out[h].numbers = 2 * (double)t->k;
done:
    return st;
}

static bool rank_spends(const void *params_, const atn_head *h, atn_spending *out)
{
    const last_keys *t = params_;
    const double k = fmin((double)t->k, (double)h->nk);

    *out = (atn_spending){.numbers = 2 * (double)t->k, .executed = window_pairs(k)};
    return t->share < .9;
}

/* Numbers a row: the rank that has them, by one plan where that is known, whatever the
 * mask leaves of the pairs; by planning all the same where it is not. Executed pairs:
 * as ever. */
static void known_spending(atn_ctx *cx)
{
    atn_method method = method_of("k", false, ATN_UNIT_GROUP, plan_rank);
    last_keys values = {.k = 8};
    const atn_choice c = {.method = &method,
                          .params = params,
                          .params_size = sizeof values,
                          .values = &values};
    mask_heads m;

    method.spends = rank_spends;
    make_heads(&m);
    for (int known = 0; known < 3; known++)
        for (int numbers = 1; numbers < 60; numbers += 3) {
            const atn_fit_opts rows = {.choice = &c,
                                       .n = 2,
                                       .target = 2 * window_pairs(numbers),
                                       .numbers = numbers,
                                       .start = NAN};
            const atn_fit_opts pairs = {.choice = &c,
                                        .n = 2,
                                        .target = 2 * window_pairs(numbers) + 1,
                                        .start = NAN};
            atn_fitted f;

            /* a rule that only planning knows; known; not known */
            values.share = known == 0 ? 0 : known == 1 ? .5 : 1;
            plans_made = 0;
            CHECK_OK(atn_approx_fit(cx, &m.in, &rows, &f));
            if (known > 0) CHECK_NEAR(f.value, numbers < 2 ? f.value : numbers / 2, 0);
            CHECK(f.plan && f.value * 2 <= ATN_MAX(numbers, 4));
            CHECK(known > 0 || (int)f.value % 3 != 1);
            if (known == 1) CHECK_EQ(plans_made, 1);
            CHECK_EQ(f.plan[0].numbers, 2 * f.value);
            CHECK_EQ(cx->err.code, ATN_OK);
            atn_fitted_release(cx, &f);
            plans_made = 0;
            CHECK_OK(atn_approx_fit(cx, &m.in, &pairs, &f));
            if (known == 1) CHECK_EQ(plans_made, 1);
            if (known > 0) {
                CHECK_NEAR(f.value, numbers, 0);
                CHECK_EQ(f.fit, ATN_FIT_MET);
            }
            CHECK_NEAR(f.cost[1].executed, window_pairs(f.value), 0);
            atn_fitted_release(cx, &f);
        }
}

/* Numbers that are as many as the pairs are stated all the same: entries shared out
 * over the rows are N of them a row, where keys that every row chooses are
 * min(N, visible). */
static atn_status plan_shared(atn_ctx *cx, const atn_input *in, const void *params_,
                              atn_idx first, atn_idx n, atn_plan *out)
{
    const last_keys *t = params_;
    const double k = fmin((double)t->k, N);
    atn_status st = ATN_OK;

    (void)first;
    ATN_TRY(keep_last(cx, in, n, (atn_idx)k, out));
    for (atn_idx h = 0; h < n; h++) out[h].numbers = window_pairs(k) / N;
done:
    return st;
}

static void stated_numbers(atn_ctx *cx)
{
    const atn_method method = method_of("k", false, ATN_UNIT_HEAD, plan_shared);
    last_keys values = {.k = 8};
    const atn_choice c = {.method = &method,
                          .params = params,
                          .params_size = sizeof values,
                          .values = &values};
    mask_heads m;

    make_heads(&m);
    for (int numbers = 5; numbers <= 50; numbers += 15) {
        const atn_fit_opts o = {.choice = &c,
                                .n = 1,
                                .target = window_pairs(numbers),
                                .numbers = numbers,
                                .start = NAN};
        double most = 0;
        atn_fitted f;

        for (int k = 1; k <= N; k++)
            if (window_pairs(k) / N <= numbers) most = k;
        CHECK_OK(atn_approx_fit(cx, &m.in, &o, &f));
        CHECK_NEAR(f.value, most, most / 50); /* ends within 1 % of the target */
        CHECK(f.plan[0].numbers >= .98 * window_pairs(most) / N);
        CHECK(f.plan[0].numbers <= numbers);
        atn_fitted_release(cx, &f);
    }
}

/* Of values that spend the same the least: a parameter of 4 is 4 to 7. */
static bool by_fours(const void *params_, const atn_head *h, atn_spending *out)
{
    const last_keys *t = params_;

    (void)h;
    *out = (atn_spending){.numbers = (double)(t->k / 4 * 4), .executed = 1};
    return true;
}

static void least_of_equal(atn_ctx *cx)
{
    atn_method method = method_of("k", false, ATN_UNIT_HEAD, plan_shared);
    last_keys values = {.k = 8};
    const atn_choice c = {.method = &method,
                          .params = params,
                          .params_size = sizeof values,
                          .values = &values};
    mask_heads m;

    method.spends = by_fours;
    make_heads(&m);
    for (int numbers = 4; numbers < 60; numbers++)
        for (int start = 1; start < 90; start += 11) {
            const atn_fit_opts o = {.choice = &c,
                                    .n = 1,
                                    .target = window_pairs(numbers),
                                    .numbers = numbers,
                                    .start = start};
            atn_fitted f;

            CHECK_OK(atn_approx_fit(cx, &m.in, &o, &f));
            CHECK_NEAR(f.value, numbers / 4 * 4, 0);
            atn_fitted_release(cx, &f);
        }
}

/* ---- lists ---- */

static void lists(atn_ctx *cx)
{
    atn_approx_list l;

    CHECK_OK(atn_approx_list_read(cx, "window:window=4,block=2,causal,window",
                                  "10%,k=2k", &l));
    CHECK_EQ(l.n, 3);
    CHECK_EQ(l.budgets, 2);
    CHECK(l.method[0].named);
    CHECK_STR(atn_choice_id(&l.method[1].choice), "causal");
    CHECK_NEAR(l.budget[0].share, .1, 1e-15);
    CHECK_EQ(l.budget[1].keys, 2048);
    CHECK_STR(l.budget[1].text, "k=2k");
    atn_approx_list_release(cx, &l);
    CHECK_OK(atn_approx_list_read(cx, "static,window:window=7", NULL, &l));
    CHECK(l.n > 10 && !l.method[0].named && l.method[l.n - 1].named);
    CHECK_EQ(l.budgets, 1);
    CHECK_STR(l.budget[0].text, "");
    atn_approx_list_release(cx, &l);
}

static void bad_lists(atn_ctx *cx)
{
    static const char *const bad[][3] = {
        {"windw", NULL, "did you mean window"}, {"", NULL, "--method is empty"},
        {"all:k=3", NULL, "several methods"},   {"window:w=3", NULL, "window"},
        {"window", "10", "'10' is none"},       {"window", "0%", "not above 0%"},
        {"window", "101%", "at most 100%"},     {"window", "k=0", "below k=1"},
        {"window", "10%,", "is none"},          {"window", "nan%", "not above 0%"}};
    atn_approx_list l;

    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        CHECK_FAILS(atn_approx_list_read(cx, bad[i][0], bad[i][1], &l), ATN_USAGE,
                    bad[i][2]);
        atn_approx_list_release(cx, &l);
    }
}

CHECK_MAIN({"known spending", known_spending}, {"stated numbers", stated_numbers},
           {"least of equal", least_of_equal}, {"windows", windows},
           {"beyond both ends", beyond_both_ends},
           {"where a search ends", where_a_search_ends},
           {"forbidden values", forbidden_values}, {"falling", falling},
           {"real numbers", real_numbers}, {"saw", saw}, {"nothing", nothing},
           {"never", never}, {"given", given}, {"lists", lists},
           {"bad lists", bad_lists})
