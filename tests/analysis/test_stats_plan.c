/* tests/analysis/test_stats_plan.c -- lists of specs, quantiles over rows, bins of positions. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "measure_twin.h"
#include "measure_value.h"

static atn_status make(atn_ctx *cx, const char *specs, atn_stats_plan *plan)
{
    const atn_stats_plan_opts opts = {.measures = specs};
    const atn_status st = atn_stats_plan_make(cx, &opts, plan);

    if (st != ATN_OK) atn_stats_plan_release(cx, plan);
    return st;
}

/* The ids of a plan, in order. */
static void check_ids(atn_ctx *cx, const char *specs, const char *want)
{
    atn_stats_plan plan;
    char ids[512] = "";

    CHECK_OK(make(cx, specs, &plan));
    for (int m = 0; m < plan.n; m++) {
        strcat(ids, m > 0 ? " " : "");
        strcat(ids, plan.measure[m]->id);
    }
    CHECK_STR(ids, want);
    atn_stats_plan_release(cx, &plan);
}

/* ---- specs ---- */

static void spec_pieces(atn_ctx *cx)
{
    static const struct {
        const char *list, *want;
    } cases[] = {
        {"a,b", "a|b|"},
        {"a:x=1,y=2,b", "a(x=1,y=2)|b|"},
        {"a:x=1,b:y=2,z=3", "a(x=1)|b(y=2,z=3)|"},
        /* a parameter without a spec before it is a spec, which no measure has */
        {"a,x=1", "a|x=1|"},
        {",,a,,b,", "a|b|"},
        {"a:,b", "a()|b|"},
        {"a:x=1,,y=2", "a(x=1)|y=2|"},
        {"", ""},
        {",,", ""},
    };

    (void)cx;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char text[64], got[128] = "", *rest = text, *id, *params;

        strcpy(text, cases[i].list);
        while (atn_spec_next(&rest, &id, &params)) {
            strcat(got, id);
            if (params) {
                strcat(got, "(");
                strcat(got, params);
                strcat(got, ")");
            }
            strcat(got, "|");
        }
        CHECK_STR(got, cases[i].want);
    }
}

static void lists(atn_ctx *cx)
{
    atn_stats_plan plan;
    bool gini = false, coverage = false;

    check_ids(cx, "sink,entropy", "sink entropy");
    check_ids(cx, ",sink,,entropy,", "sink entropy");
    check_ids(cx, "sink,sink", "sink");
    check_ids(cx, NULL, "distance entropy induction local sink topk");
    CHECK_OK(make(cx, "all", &plan));
    for (int m = 0; m < plan.n; m++) {
        gini |= plan.measure[m]->named;
        coverage |= strcmp(plan.measure[m]->id, "coverage") == 0;
        CHECK(m == 0 || strcmp(plan.measure[m - 1]->id, plan.measure[m]->id) < 0);
    }
    CHECK(coverage && !gini);
    atn_stats_plan_release(cx, &plan);
    /* what is named comes where it is named */
    CHECK_OK(make(cx, "gini,all,sink", &plan));
    CHECK_STR(plan.measure[0]->id, "gini");
    atn_stats_plan_release(cx, &plan);
}

/* The spec that has parameters holds, the last of several, wherever `all` stands. */
static void overriding(atn_ctx *cx)
{
    static const struct {
        const char *specs;
        atn_idx top_k, block;
    } cases[] = {
        {"topk", 8, 0},
        {"topk:k=3", 3, 0},
        {"topk:k=3,topk:k=5", 5, 0},
        {"topk:k=3,topk", 3, 0},
        {"all,topk:k=3", 3, 64},
        {"topk:k=3,all", 3, 64},
        {"blocks:size=16,topk:k=2", 2, 16},
        {"blocks:size=16,coverage=0.5,blocks:coverage=0.5", 0, 64},
        {"topk:k=1k", 1024, 0},
    };

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        atn_stats_plan plan;

        CHECK_OK(make(cx, cases[i].specs, &plan));
        CHECK_EQ(plan.rows.top_k, cases[i].top_k);
        CHECK_EQ(plan.rows.block, cases[i].block);
        atn_stats_plan_release(cx, &plan);
    }
}

static void refused(atn_ctx *cx)
{
    static const double twice[] = {.5, .25, .5}, fine[] = {.1234567};
    atn_stats_plan_opts opts = {.quantiles = twice, .n_quantiles = 3};
    atn_stats_plan plan;

    CHECK_FAILS(make(cx, "entropi", &plan), ATN_USAGE, "nearest: entropy");
    CHECK_FAILS(make(cx, "x=1", &plan), ATN_USAGE, "no measure 'x=1'");
    CHECK_FAILS(make(cx, "entropy,k=1", &plan), ATN_USAGE, "no measure 'k=1'");
    CHECK_FAILS(make(cx, "all:k=1", &plan), ATN_USAGE, "no measure 'all'");
    CHECK_FAILS(make(cx, "", &plan), ATN_USAGE, "names no measure");
    CHECK_FAILS(make(cx, ",", &plan), ATN_USAGE, "names no measure");
    CHECK_FAILS(make(cx, "gini:k=1", &plan), ATN_USAGE, "takes no parameters");
    CHECK_FAILS(make(cx, "topk:n=1", &plan), ATN_USAGE, "no parameter 'n'");
    CHECK_FAILS(make(cx, "topk:k=0", &plan), ATN_USAGE, "below its minimum 1");
    CHECK_FAILS(make(cx, "topk:k=2x", &plan), ATN_USAGE, "2x");
    CHECK_FAILS(make(cx, "blocks:coverage=0.7", &plan), ATN_USAGE, "0.5|0.8");
    CHECK_FAILS(make(cx, "sink_columns:epsilon=nan", &plan), ATN_USAGE, "epsilon");
    CHECK_FAILS(atn_stats_plan_make(cx, &opts, &plan), ATN_USAGE, "0.5 is given twice");
    opts = (atn_stats_plan_opts){.quantiles = fine, .n_quantiles = 1};
    CHECK_FAILS(atn_stats_plan_make(cx, &opts, &plan), ATN_USAGE, "six decimals");
    atn_stats_plan_release(cx, &plan);
}

/* ---- columns ---- */

static void column_names(atn_ctx *cx)
{
    static const double q[] = {0, .05, .5, .995, .000001, 1};
    static const char *const want[] = {"entropy_mean_nats",
                                       "entropy_p0_nats",
                                       "entropy_p5_nats",
                                       "entropy_p50_nats",
                                       "entropy_p99_5_nats",
                                       "entropy_p0_0001_nats",
                                       "entropy_p100_nats",
                                       "entropy_normalised",
                                       "entropy_normalised_p0",
                                       "entropy_normalised_p5",
                                       "entropy_normalised_p50",
                                       "entropy_normalised_p99_5",
                                       "entropy_normalised_p0_0001",
                                       "entropy_normalised_p100",
                                       "effective_keys",
                                       "effective_p0_keys"};
    const atn_stats_plan_opts opts = {
        .measures = "entropy,sink_columns", .quantiles = q, .n_quantiles = 6};
    atn_stats_plan plan;
    atn_table *t = NULL;

    CHECK_OK(atn_stats_plan_make(cx, &opts, &plan));
    CHECK_OK(atn_table_create(cx, "stats", &t));
    CHECK_OK(atn_stats_plan_columns(cx, &plan, 0, plan.n_table, t));
    for (int i = 0; i < (int)(sizeof want / sizeof *want); i++)
        CHECK_EQ(atn_table_find_col(t, want[i]), i);
    /* four row columns with six quantiles each, then those of sums, which have none */
    CHECK_EQ(plan.n_table, 4 * 7 + 7);
    CHECK_EQ(atn_table_find_col(t, "sink_columns_first"), 28);
    atn_table_destroy(cx, t);
    atn_stats_plan_release(cx, &plan);
}

/* ---- quantiles ---- */

/* Rows uniform over 4, 1, 8, 2 keys have so many effective keys. Type 7: the quantile q lies
 * at place 3 q of 1, 2, 4, 8. */
static void quantiles_of_type_7(atn_ctx *cx)
{
    static const double q[] = {0, .25, .5, .75, .9, 1};
    static const double want[] = {1, 1.75, 3, 5, 6.8, 8};
    static const int keys[] = {4, 1, 8, 2};
    const atn_stats_plan_opts opts = {
        .measures = "entropy", .quantiles = q, .n_quantiles = 6};
    float p[32] = {0};
    const atn_head h = {.p = {p, 4, 8, 8}, .nq = 4, .nk = 8, .sight = {.key_last = 8}};
    atn_stats_plan plan;
    double values[64];

    for (int i = 0; i < 4; i++)
        for (int j = 0; j < keys[i]; j++) p[8 * i + j] = 1 / (float)keys[i];
    CHECK_OK(atn_stats_plan_make(cx, &opts, &plan));
    head_values(cx, &plan, &h, NULL, values);
    for (int i = 0; i < 6; i++)
        CHECK_NEAR(
            values[slot_named(&plan, "effective_keys", ATN_SLOT_QUANTILE, q[i], 0)],
            want[i], 1e-6);
    CHECK_NEAR(values[slot_named(&plan, "effective_keys", ATN_SLOT_VALUE, 0, 0)], 3.75,
               1e-6);
    atn_stats_plan_release(cx, &plan);
}

/* Skipped rows and rows whose value is no number are in no quantile: of the six previous
 * masses of a causal head row 0 has none. A column without any number has no quantile. */
static void quantiles_leave_rows_out(atn_ctx *cx)
{
    static const double q[] = {0, 1};
    static const int32_t once[] = {1, 2, 3, 4};
    static const float p[] = {1,   0,   0,   0, .5f, .5f,  0,   0,
                              .2f, .3f, .5f, 0, .1f, .15f, .5f, .25f};
    const atn_head h = {
        .p = {p, 4, 4, 4}, .nq = 4, .nk = 4, .sight = {.causal = true, .key_last = 4}};
    atn_stats_plan_opts opts = {
        .measures = "local,induction", .quantiles = q, .n_quantiles = 2};
    atn_stats_plan plan;
    double values[64];

    for (int skip = 0; skip < 3; skip += 2) {
        opts.skip_rows = skip;
        CHECK_OK(atn_stats_plan_make(cx, &opts, &plan));
        head_values(cx, &plan, &h, once, values);
        CHECK_NEAR(values[slot_named(&plan, "diagonal_mass", ATN_SLOT_QUANTILE, 0, 0)],
                   .25, 1e-7);
        CHECK_NEAR(values[slot_named(&plan, "previous_mass", ATN_SLOT_QUANTILE, 0, 0)],
                   .3, 1e-7);
        CHECK_NEAR(values[slot_named(&plan, "previous_mass", ATN_SLOT_QUANTILE, 1, 0)],
                   .5, 1e-7);
        CHECK(isnan(
            values[slot_named(&plan, "induction_score", ATN_SLOT_QUANTILE, 1, 0)]));
        atn_stats_plan_release(cx, &plan);
    }
}

/* ---- bins ---- */

/* Means of the bins, weighted by their rows that count, make the mean; one bin is the mean. */
static void bins_average_to_the_mean(atn_ctx *cx)
{
    static twin_head h;
    double values[1024];

    for (size_t k = 0; k < sizeof twin_kinds / sizeof *twin_kinds; k++)
        for (int bins = 1; bins < 50; bins += 6) {
            const twin_kind *kind = &twin_kinds[k];
            const atn_stats_plan_opts opts = {
                .measures = "confidence,sink", .skip_rows = kind->skip, .bins = bins};
            double sum = 0, rows = 0, mean;
            atn_stats_plan plan;

            twin_make(kind, 1, 1, &h);
            CHECK_OK(atn_stats_plan_make(cx, &opts, &plan));
            head_values(cx, &plan, &h.head, NULL, values);
            for (int b = 0; b < bins; b++) {
                const double x =
                    values[slot_named(&plan, "sink_mass", ATN_SLOT_BIN, 0, b)];
                double n = 0;

                for (atn_idx i = b * kind->nq / bins; i < (b + 1) * kind->nq / bins;
                     i++)
                    n += h.t.counts[i];
                CHECK(n > 0 ? !isnan(x) : isnan(x));
                if (n > 0) sum += n * x;
                rows += n;
            }
            mean = values[slot_named(&plan, "sink_mass", ATN_SLOT_VALUE, 0, 0)];
            CHECK_NEAR(mean, sum / rows, 1e-12);
            atn_stats_plan_release(cx, &plan);
        }
}

/* The k-th allocation fails: MEMORY, nothing leaks (ASan). */
static void allocations_may_fail(atn_ctx *cx)
{
    static const double q[] = {.5};
    const atn_stats_plan_opts opts = {.measures = "all,topk:k=3,topk:k=4,gini",
                                      .quantiles = q,
                                      .n_quantiles = 1,
                                      .bins = 4};
    atn_status st = ATN_MEMORY;

    (void)cx;
    for (int k = 0; st != ATN_OK; k++) {
        check_failing f = {k};
        atn_stats_plan plan;
        atn_ctx frail;

        atn_ctx_init(&frail);
        frail.alloc = (atn_allocator){check_failing_resize, &f};
        st = atn_stats_plan_make(&frail, &opts, &plan);
        CHECK(st == ATN_OK || st == ATN_MEMORY);
        atn_stats_plan_release(&frail, &plan);
        atn_ctx_release(&frail);
        CHECK_LE(k, 100);
    }
}

CHECK_MAIN({"pieces of specs", spec_pieces}, {"lists", lists},
           {"overriding", overriding}, {"refused", refused},
           {"column names", column_names}, {"quantiles of type 7", quantiles_of_type_7},
           {"quantiles leave rows out", quantiles_leave_rows_out},
           {"bins average to the mean", bins_average_to_the_mean},
           {"allocations may fail", allocations_may_fail})
