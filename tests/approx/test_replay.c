/* tests/approx/test_replay.c -- rows over kept keys, the best of many, who keeps
 * rows. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "approx/replay.h"
#include "tests/approx/zoo.h"

/* Keys 2 and 0 of three with logits 1, 9, 3 under a cap of 2, a slope of .5 from
 * position 4 and a sink of 1: 2 tanh((1 - 2) / 2), 2 tanh((3 - 1) / 2). */
static void kept_weights_have_it_all(atn_ctx *cx)
{
    const float q[] = {2}, k[] = {1, 9, 3};
    const atn_idx keys[] = {2, 0};
    const double z2 = 2 * tanh(1), z0 = 2 * tanh(-.5), e = exp(1) + exp(z0) + exp(z2);
    const atn_head h = {.q = {q, 1, 1, 1},
                        .k = {k, 3, 1, 1},
                        .nq = 1,
                        .nk = 3,
                        .scale = .5,
                        .sight = {.softcap = 2},
                        .has_sink = true,
                        .sink = 1,
                        .alibi_slope = .5};
    double w[3];

    (void)cx;
    atn_kept_weights(&h, q, 4, keys, 2, w);
    CHECK_NEAR(w[0], exp(z2) / e, 1e-15);
    CHECK_NEAR(w[1], exp(z0) / e, 1e-15);
    atn_seen_weights(&h, q, 4, (atn_span){2, 3}, w);
    CHECK_NEAR(w[0], exp(z2) / (exp(1) + exp(z2)), 1e-15);
    atn_seen_weights(&h, q, 4, (atn_span){0, 0}, w);
}

static void best_is_the_best(atn_ctx *cx)
{
    uint64_t seed = 2;

    (void)cx;
    for (int trial = 0; trial < 2000; trial++) {
        const atn_idx n = (atn_idx)(20 * zoo_uniform(&seed));
        const atn_idx k = (atn_idx)(22 * zoo_uniform(&seed));
        atn_idx best[24], kept = 0;
        int64_t ties = 5, want = 5;
        double score[24];

        for (atn_idx j = 0; j < n; j++) {
            score[j] = (double)(int)(5 * zoo_uniform(&seed));
            if (zoo_uniform(&seed) < .2) score[j] = -INFINITY;
        }
        CHECK_LE(atn_best_wide(score, n, k, best, &ties), k);
        for (atn_idx j = 0; j < n; j++) {
            atn_idx before = 0;

            for (atn_idx l = 0; l < n; l++)
                before += score[l] > score[j] || (score[l] == score[j] && l < j);
            if (score[j] == -INFINITY || before >= k) continue;
            CHECK_EQ(best[kept], j);
            kept++;
        }
        for (atn_idx j = 0, last = -1; j < n; j++) { /* ties at the cut */
            for (atn_idx b = 0; last < 0 && b < kept; b++) {
                last = best[b];
                for (atn_idx l = 0; l < kept; l++)
                    if (score[best[l]] <= score[last]) last = best[l];
            }
            if (last >= 0 && j > last) want += score[j] == score[last];
        }
        CHECK_EQ(atn_best_wide(score, n, k, best, NULL), kept);
        if (n > 0) { /* all but the worst */
            atn_idx out = atn_worst_wide(score, n, NULL);

            for (atn_idx j = 0; j < n; j++)
                CHECK(score[j] > score[out] || (score[j] == score[out] && j <= out));
        }
        CHECK_EQ(ties, want);
    }
}

/* Rows are looked for from this step back; a step that is no beginning of this one is
 * passed over. */
static void rows_are_found(atn_ctx *cx)
{
    atn_head head[3] = {{.nq = 4, .nk = 4}, {.nq = 2, .nk = 6}, {.nq = 3, .nk = 9}};
    atn_input step[3];
    float q[3][4] = {{0}};

    for (int s = 0; s < 3; s++) {
        head[s].q = (atn_cmat){q[s], head[s].nq, 1, 1};
        head[s].sight = (atn_sight){.causal = true, .offset = head[s].nk - head[s].nq};
        step[s] = (atn_input){.head = &head[s], .heads = 1, .group = 1};
    }
    for (int s = 0; s < 3; s++) {
        step[s].step = step;
        step[s].steps = 3;
        step[s].at = s;
    }
    CHECK(atn_replay_query(&step[2], 0, 8) == q[2] + 2);
    CHECK(atn_replay_query(&step[2], 0, 5) == q[1] + 1);
    CHECK(atn_replay_query(&step[2], 0, 0) == q[0]);
    CHECK(atn_replay_query(&step[1], 0, 6) == NULL);
    CHECK(atn_replay_rows(&step[2], 0, 3, 5) == NULL);
    CHECK(atn_replay_rows(&step[2], 0, 0, 4) == &head[0]);
    CHECK_EQ(atn_replay_prompt(&step[2], 0), 4);
    CHECK_EQ(atn_replay_prompt(&step[2], 7), 7);
    CHECK_EQ(atn_replay_prompt(&step[0], 0), 1);
    CHECK_EQ(atn_replay_prompt(&step[0], 70), 4);
    step[2].prompt = 5;
    CHECK_EQ(atn_replay_prompt(&step[2], 0), 5);
    CHECK_OK(atn_replay_check(cx, "x", &step[2], 0));
    head[1].sight.offset = 5; /* row 4 is missing */
    head[1].nq = 1;
    CHECK_FAILS(atn_replay_check(cx, "x", &step[2], 2), ATN_DATA,
                "x replays decoding from token 2 on, and layer 0 has no query of token "
                "4");
    head[0].nk = 9; /* another text of the same length */
    CHECK(atn_replay_query(&step[2], 0, 0) == NULL);
    CHECK_EQ(atn_replay_prompt(&(atn_input){.head = &head[2], .heads = 1}, 0), 2);
}

CHECK_MAIN({"kept weights have it all", kept_weights_have_it_all},
           {"best is the best", best_is_the_best}, {"rows are found", rows_are_found})
