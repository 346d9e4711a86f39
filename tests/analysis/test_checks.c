/* Verdicts: which slack holds, how a level is shared out, what is only reported. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "check.h"

#include "analysis/experiments/checks.h"
#include "core/normal.h"

static const atn_bound most = {.id = "most", .relation = ATN_AT_MOST, .verified = true};
static const atn_bound least = {
    .id = "least", .relation = ATN_AT_LEAST, .verified = true};
static const atn_bound equal = {.id = "equal", .relation = ATN_EQUAL, .verified = true};
static const atn_bound about = {.id = "about", .relation = ATN_ABOUT, .verified = true};
static const atn_bound mean = {
    .id = "mean", .relation = ATN_IN_MEAN, .verified = true, .in_mean = true};
static const atn_bound quoted = {.id = "quoted", .relation = ATN_AT_MOST};

static atn_check judge(atn_check c)
{
    atn_checks all = {&c, 1, 1};

    atn_checks_judge(&all);
    return c;
}

static void deterministic(atn_ctx *cx)
{
    (void)cx;
    CHECK_EQ(judge((atn_check){&most, .predicted = 2, .measured = 1}).verdict,
             ATN_HOLDS);
    CHECK_NEAR(judge((atn_check){&most, .predicted = 2, .measured = 1}).slack, 1, 0);
    CHECK_EQ(judge((atn_check){&most, .predicted = 1, .measured = 1 + 2e-9}).verdict,
             ATN_VIOLATED);
    CHECK_EQ(judge((atn_check){&most, .predicted = 1, .measured = 1 + .5e-9}).verdict,
             ATN_HOLDS);
    CHECK_EQ(judge((atn_check){&most, .measured = 2e-8, .scale = 100}).verdict,
             ATN_HOLDS);
    CHECK_EQ(judge((atn_check){&least, .predicted = 1, .measured = .9}).verdict,
             ATN_VIOLATED);
    CHECK_NEAR(judge((atn_check){&least, .predicted = 1, .measured = .9}).slack, -.1,
               1e-15);
    CHECK_EQ(judge((atn_check){&equal, .predicted = 1, .measured = 1}).verdict,
             ATN_HOLDS);
    CHECK_EQ(judge((atn_check){&equal, .predicted = 1, .measured = 1.1}).verdict,
             ATN_VIOLATED);
    CHECK_EQ(
        judge((atn_check){&about, .predicted = 2, .measured = 1.9, .lo = .9, .hi = 1.1})
            .verdict,
        ATN_HOLDS);
    CHECK_EQ(
        judge((atn_check){&about, .predicted = 2, .measured = 1.7, .lo = .9, .hi = 1.1})
            .verdict,
        ATN_VIOLATED);
}

/* What cannot be computed never holds; what is out of a bound's reach is no violation. */
static void odd_numbers(atn_ctx *cx)
{
    (void)cx;
    CHECK_EQ(judge((atn_check){&most, .predicted = INFINITY, .measured = 3}).verdict,
             ATN_HOLDS);
    CHECK_EQ(judge((atn_check){&most, .predicted = 1, .measured = NAN}).verdict,
             ATN_VIOLATED);
    CHECK_EQ(judge((atn_check){&most, .predicted = NAN, .measured = 3}).verdict,
             ATN_NOT_APPLICABLE);
    CHECK_EQ(judge((atn_check){&most, .predicted = 1, .measured = 3, .not_here = true})
                 .verdict,
             ATN_NOT_APPLICABLE);
    CHECK_EQ(
        judge((atn_check){&most, .predicted = 1, .measured = 3, .only_report = true})
            .verdict,
        ATN_REPORTED);
    CHECK_EQ(judge((atn_check){&quoted, .predicted = 1, .measured = 3}).verdict,
             ATN_REPORTED);
    CHECK_EQ(
        judge((atn_check){&most, .predicted = 2, .measured = 1, .failures = 1}).verdict,
        ATN_VIOLATED);
    CHECK_EQ(judge((atn_check){&mean, .predicted = 1, .measured = 1}).verdict,
             ATN_REPORTED); /* without draws */
}

/* The level of 1 in 1000 is shared by the checks of one bound, and by no others. */
static void random_checks(atn_ctx *cx)
{
    atn_check many[5] = {{0}};
    atn_checks all = {many, 5, 5};

    (void)cx;
    for (int i = 0; i < 4; i++)
        many[i] = (atn_check){&mean, .predicted = 1, .measured = 1, .trials = 100,
                              .statistic = i == 3 ? 3.5 : .1};
    many[4] = (atn_check){&most, .predicted = 1, .measured = 0};
    atn_checks_judge(&all);
    CHECK_EQ(many[0].hypotheses, 4);
    CHECK_EQ(many[4].hypotheses, 0);
    CHECK_NEAR(many[0].critical, atn_normal_critical(.001, 4), 1e-15);
    CHECK_EQ(many[3].verdict, ATN_HOLDS);           /* 3.5 < 3.66 */
    CHECK_EQ(judge(many[3]).verdict, ATN_VIOLATED); /* 3.5 > 3.29 */
    many[0].statistic = -4;
    atn_checks_judge(&all);
    CHECK_EQ(many[0].verdict, ATN_VIOLATED);
    CHECK_NEAR(many[0].slack, many[0].critical - 4, 1e-15);
}

/* Fewer than 50 draws are no test, whatever comes out. */
static void few_draws(atn_ctx *cx)
{
    atn_check c = {&mean, .predicted = 1, .measured = 9, .trials = 49, .statistic = 99};

    (void)cx;
    CHECK_EQ(judge(c).verdict, ATN_REPORTED);
    CHECK(strstr(judge(c).note, "fewer than 50 draws"));
    c.trials = 50;
    CHECK_EQ(judge(c).verdict, ATN_VIOLATED);
    CHECK_EQ(judge(c).note[0], 0);
}

/* What does not apply says why, and predicts nothing. */
static void reasons(atn_ctx *cx)
{
    static const atn_bound needs = {.id = "needs",
                                    .assumption = "n > 2",
                                    .relation = ATN_AT_MOST,
                                    .verified = true};
    atn_check c = {&needs, .predicted = 1, .measured = 3, .not_here = true};

    (void)cx;
    CHECK(isnan(judge(c).predicted));
    CHECK_STR(judge(c).note, "assumes: n > 2");
    snprintf(c.note, sizeof c.note, "no keys");
    CHECK_STR(judge(c).note, "no keys");
    c = (atn_check){&most, .predicted = NAN};
    CHECK(judge(c).note[0] != 0);
}

/* A ratio of two roundings is none. */
static void ratios_of_nothing(atn_ctx *cx)
{
    atn_check c = {&about, .predicted = 1e-20, .measured = 1e-32, .lo = .9, .hi = 1.1};

    (void)cx;
    CHECK_EQ(judge(c).verdict, ATN_VIOLATED);
    c.scale = 1;
    CHECK_EQ(judge(c).verdict, ATN_HOLDS);
}

static void list(atn_ctx *cx)
{
    const atn_check c = {&most, .predicted = 1};
    atn_checks all = {0};

    for (int i = 0; i < 100; i++) CHECK_OK(atn_checks_add(cx, &all, &c));
    CHECK_EQ(all.n, 100);
    CHECK(all.check[99].bound == &most);
    atn_checks_release(cx, &all);
    CHECK_EQ(all.n, 0);
}

CHECK_MAIN({"deterministic", deterministic}, {"odd numbers", odd_numbers},
           {"random checks", random_checks}, {"few draws", few_draws},
           {"reasons", reasons}, {"ratios of nothing", ratios_of_nothing},
           {"list", list})
