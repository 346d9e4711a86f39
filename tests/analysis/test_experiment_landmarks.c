/* V20 on random heads holds, with and without a mask; the verdict of a floor that is
 * undercut. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "check.h"
#include "experiment_heads.h"

extern const atn_experiment atn_experiment_landmarks;

static void random_heads_hold(atn_ctx *cx)
{
    static const dense_kind kinds[] = {
        DENSE_CAUSAL, DENSE_CROSS,     DENSE_DECODING,
        DENSE_WINDOW, DENSE_BOTH_WAYS, DENSE_SINK}; /* facts leave the sink out */

    for (size_t k = 0; k < ATN_LEN(kinds); k++) {
        experiment_case e =
            experiment_run(cx, &atn_experiment_landmarks, kinds[k], 48, 0);

        CHECK_EQ(e.checks.n, 4);
        CHECK_EQ(experiment_count(&e, ATN_HOLDS), 3);
        CHECK_EQ(experiment_count(&e, ATN_REPORTED), 1);
        CHECK_EQ(e.checks.check[0].cases, ATN_MIN(e.facts.nq, e.facts.nk) / 4);
        CHECK_LE(e.checks.check[2].predicted, e.checks.check[2].measured);
        CHECK(e.checks.check[2].measured != e.checks.check[3].measured);
        experiment_drop(cx, &e);
    }
}

/* A distance below the floor, an eigenvalue beside the map. */
static void wrong_is_found(atn_ctx *cx)
{
    experiment_case e =
        experiment_run(cx, &atn_experiment_landmarks, DENSE_CROSS, 48, 0);

    e.checks.check[0].measured += 1e-8;
    e.checks.check[2].measured = e.checks.check[2].predicted * (1 - 1e-6) - 1e-6;
    atn_checks_judge(&e.checks);
    CHECK_EQ(e.checks.check[0].verdict, ATN_VIOLATED);
    CHECK_EQ(e.checks.check[2].verdict, ATN_VIOLATED);
    experiment_drop(cx, &e);
}

static void others(atn_ctx *cx)
{
    static const dense_kind kinds[] = {DENSE_ALIBI, DENSE_SOFTCAP};

    for (size_t k = 0; k < ATN_LEN(kinds); k++) {
        experiment_case e =
            experiment_run(cx, &atn_experiment_landmarks, kinds[k], 20, 0);

        CHECK_EQ(e.checks.n, 1);
        CHECK_EQ(experiment_count(&e, ATN_NOT_APPLICABLE), 1);
        experiment_drop(cx, &e);
    }
    for (int k = 0; k < 2; k++) {
        experiment_case e = experiment_run(cx, &atn_experiment_landmarks,
                                           k ? DENSE_BLIND : DENSE_ONE, 9, 0);

        CHECK_EQ(experiment_count(&e, ATN_VIOLATED), 0);
        experiment_drop(cx, &e);
    }
}

static void threads_and_memory(atn_ctx *cx)
{
    experiment_same(cx, &atn_experiment_landmarks, DENSE_CAUSAL, 40, 0);
    experiment_failing(cx, &atn_experiment_landmarks, DENSE_CAUSAL, 12, 0);
}

CHECK_MAIN({"random heads hold", random_heads_hold},
           {"what is wrong is found", wrong_is_found}, {"other heads", others},
           {"threads, failing allocator", threads_and_memory})
