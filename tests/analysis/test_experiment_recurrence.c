/* V21: both ways agree on random heads of every kind; a number changed on the way is
 * found. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "experiment_heads.h"

extern const atn_experiment atn_experiment_recurrence;
extern const atn_experiment atn_experiment_method_limits;
static const atn_experiment *const both[] = {&atn_experiment_recurrence,
                                             &atn_experiment_method_limits};

static bool takes(dense_kind kind, int m)
{
    if (m == 1 && (kind == DENSE_CROSS || kind == DENSE_BOTH_WAYS)) return false;
    return kind != DENSE_GIVEN && kind != DENSE_BLIND;
}

/* The verdicts of a bound. */
static int count(const experiment_case *e, const char *id, atn_verdict v)
{
    int n = 0;

    for (atn_idx i = 0; i < e->checks.n; i++)
        n += strcmp(e->checks.check[i].bound->id, id) == 0 &&
             e->checks.check[i].verdict == v;
    return n;
}

static void random_heads_hold(atn_ctx *cx)
{
    for (int k = 0; k < DENSE_KINDS; k++)
        for (int m = 0; m < 2; m++)
            for (atn_idx n = 1; takes((dense_kind)k, m) && n < 100; n += 33) {
                experiment_case e = experiment_facts(cx, (dense_kind)k, n);

                if (e.facts.nq > 0 && e.facts.nk > 0) experiment_go(cx, both[m], &e, 0);
                for (atn_idx i = 0; i < e.checks.n; i++)
                    if (e.checks.check[i].verdict == ATN_VIOLATED)
                        fail_msg("kind %d, n %d: %s %s: %g, %g", k, (int)n,
                                 e.checks.check[i].bound->id, e.checks.check[i].variant,
                                 e.checks.check[i].predicted,
                                 e.checks.check[i].measured);
                if (k == DENSE_CAUSAL && n > 64)
                    CHECK_EQ(experiment_count(&e, ATN_HOLDS), e.checks.n);
                experiment_drop(cx, &e);
            }
}

/* One logit, value, output or query that is not what the rest was made of. */
static void changes_are_found(atn_ctx *cx)
{
    static const struct {
        int what;
        const char *id;
        int experiment;
    } of[] = {{0, "merged_parts", 0}, {1, "scan_prefix", 0},    {2, "chunked_decay", 0},
              {3, "rat_limit", 1},    {3, "combiner_limit", 1}, {2, "titans_limit", 1},
              {1, "titans_chunk", 1}, {1, "titans_write", 1}};

    for (size_t k = 0; k < ATN_LEN(of); k++) {
        experiment_case e = experiment_facts(cx, DENSE_CAUSAL, 40);

        if (of[k].what == 0) e.facts.o[17 * DENSE_DV + 2] += 1e-6;
        if (of[k].what == 1) e.facts.v[30 * DENSE_DV + 1] += 1e-5;
        if (of[k].what == 2) e.facts.q[33 * DENSE_D + 1] += 1e-5;
        if (of[k].what == 3) e.facts.p[25 * e.facts.nk + 3] += 1e-6;
        experiment_go(cx, both[of[k].experiment], &e, 0);
        if (count(&e, of[k].id, ATN_VIOLATED) == 0)
            fail_msg("%s does not see a change", of[k].id);
        experiment_drop(cx, &e);
    }
}

/* What a head cannot be given to is said, and is no failure. */
static void refusals(atn_ctx *cx)
{
    experiment_case e =
        experiment_run(cx, &atn_experiment_method_limits, DENSE_SOFTCAP, 30, 0);

    CHECK(count(&e, "rat_limit", ATN_NOT_APPLICABLE) > 0);
    CHECK_EQ(experiment_count(&e, ATN_VIOLATED), 0);
    experiment_drop(cx, &e);
    e = experiment_run(cx, &atn_experiment_recurrence, DENSE_CROSS, 30, 0);
    CHECK_EQ(count(&e, "chunked_decay", ATN_HOLDS), 0);
    CHECK_EQ(count(&e, "flow_conserved", ATN_HOLDS), 4); /* and of the method */
    experiment_drop(cx, &e);
}

static void threads_and_memory(atn_ctx *cx)
{
    for (int m = 0; m < 2; m++) {
        experiment_same(cx, both[m], DENSE_CAUSAL, 50, 0);
        experiment_failing(cx, both[m], DENSE_CAUSAL, 9, 0);
    }
}

CHECK_MAIN({"random heads hold", random_heads_hold},
           {"changes are found", changes_are_found}, {"refusals", refusals},
           {"threads and memory", threads_and_memory})
