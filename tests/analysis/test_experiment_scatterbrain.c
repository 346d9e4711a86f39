/* V15 on random heads of short vectors holds; logits that are not those of the vectors
 * are found. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "check.h"
#include "experiment_heads.h"

extern const atn_experiment atn_experiment_scatterbrain;

/* Queries and keys short enough that pairs are judged. */
static experiment_case short_case(atn_ctx *cx, dense_kind kind, atn_idx n, double by)
{
    experiment_case e = {.x = make_dense(kind, n, 1)};

    for (atn_idx c = 0; c < e.x.h.nq * DENSE_D; c++) e.x.q[c] *= (float)by;
    for (atn_idx c = 0; c < e.x.h.nk * DENSE_D; c++) e.x.k[c] *= (float)by;
    CHECK_OK(atn_head_facts_make(cx, &e.x.h, 1024, &e.facts));
    return e;
}

static void short_heads_hold(atn_ctx *cx)
{
    static const dense_kind kinds[] = {DENSE_CAUSAL, DENSE_CROSS, DENSE_WINDOW,
                                       DENSE_ALIBI, DENSE_SINK};

    for (size_t k = 0; k < sizeof kinds / sizeof *kinds; k++) {
        experiment_case e = short_case(cx, kinds[k], 40, .3);

        experiment_go(cx, &atn_experiment_scatterbrain, &e, 2000);
        CHECK_EQ(e.checks.n, 5);
        CHECK_EQ(experiment_count(&e, ATN_HOLDS), 3);
        CHECK_EQ(experiment_count(&e, ATN_REPORTED), 2);
        experiment_drop(cx, &e);
    }
}

/* Logits that are larger than q . k by a tenth: neither mean nor variance is right. */
static void wrong_logits_are_found(atn_ctx *cx)
{
    experiment_case e = short_case(cx, DENSE_CROSS, 40, .3);

    for (atn_idx c = 0; c < e.facts.nq * e.facts.nk; c++) e.facts.s[c] += .1;
    experiment_go(cx, &atn_experiment_scatterbrain, &e, 5000);
    CHECK_EQ(experiment_count(&e, ATN_VIOLATED), 2);
    experiment_drop(cx, &e);
}

/* Long vectors: no pair is judged, and that is said. */
static void long_vectors_are_left_out(atn_ctx *cx)
{
    experiment_case e = short_case(cx, DENSE_CAUSAL, 20, 30);

    experiment_go(cx, &atn_experiment_scatterbrain, &e, 50);
    CHECK_EQ(experiment_count(&e, ATN_NOT_APPLICABLE), 2);
    CHECK(strstr(e.checks.check[0].note, "none is so short"));
    experiment_drop(cx, &e);
    e = short_case(cx, DENSE_SOFTCAP, 20, 1);
    experiment_go(cx, &atn_experiment_scatterbrain, &e, 50);
    CHECK_EQ(e.checks.n, 0);
    experiment_drop(cx, &e);
}

static void threads_and_failures(atn_ctx *cx)
{
    experiment_same(cx, &atn_experiment_scatterbrain, DENSE_CAUSAL, 30, 100);
    experiment_same(cx, &atn_experiment_scatterbrain, DENSE_BLIND, 5, 10);
    experiment_failing(cx, &atn_experiment_scatterbrain, DENSE_CAUSAL, 9, 3);
}

CHECK_MAIN({"short heads hold", short_heads_hold},
           {"wrong logits are found", wrong_logits_are_found},
           {"long vectors are left out", long_vectors_are_left_out},
           {"threads and failures", threads_and_failures})
