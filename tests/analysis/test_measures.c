/* tests/analysis/test_measures.c -- the row-statistics pass and the measures over it.
 *
 * Golden numbers: cards B1-B5 of the analysis of attention, worked out on F4 (the matrix of
 * TransformerLens' head-detector demo) and on uniform causal attention, whose values have
 * closed forms; each is derived in the comment beside it.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "measure_value.h"

#include "core/rng.h"

enum { MAX_N = 80 };

static const float f4[] = {1,   0,   0,   0, .5f, .5f,  0,   0,
                           .2f, .3f, .5f, 0, .1f, .15f, .5f, .25f};

static atn_head given(const float *p, atn_idx n)
{
    const atn_head h = {
        .p = {p, n, n, n}, .nq = n, .nk = n, .sight = {.causal = true, .key_last = n}};

    return h;
}

#define EARLY          "distance,entropy,induction,local,sink,topk:k="
#define VALUE(h, name) column_of(cx, &(h), NULL, 0, EARLY "2", name)

static void f4_by_hand(atn_ctx *cx)
{
    const atn_head h = given(f4, 4);

    CHECK_NEAR(VALUE(h, "entropy_mean_nats"), 0.732693, 1e-6);
    /* (1 + 2 + 2.800094 + 3.346696) / 4 */
    CHECK_NEAR(VALUE(h, "effective_keys"), 2.286698, 1e-6);
    /* (ln 2 / ln 2 + 1.029653 / ln 3 + 1.207974 / ln 4) / 3 */
    CHECK_NEAR(VALUE(h, "entropy_normalised"),
               (1 + 1.029653 / log(3) + 1.207974 / log(4)) / 3, 1e-6);
    /* 1/1, 1/.5, 1/.38, 1/.345 */
    CHECK_NEAR(VALUE(h, "participation_ratio"), (1 + 2 + 1 / .38 + 1 / .345) / 4, 1e-5);
    CHECK_NEAR(VALUE(h, "distance_mean_tokens"), 0.575, 1e-6);
    CHECK_NEAR(VALUE(h, "distance_relative"), (.5 + .35 + 1.1 / 3) / 3, 1e-6);
    /* rows 1..3 without key 0: 0, .3/.8, (.3 + .5)/.9 */
    CHECK_NEAR(VALUE(h, "distance_without_first_tokens"), (0 + .375 + .8 / .9) / 3,
               1e-6);
    CHECK_NEAR(VALUE(h, "sink_mass"), 0.45, 1e-6);
    CHECK_NEAR(VALUE(h, "sink_mass_first4"), 1, 1e-6);
    CHECK_NEAR(VALUE(h, "topk_mass"), (1 + 1 + .8 + .75) / 4, 1e-6);
    CHECK_NEAR(VALUE(h, "previous_mass"), 1.3 / 3, 1e-6);
    CHECK_NEAR(VALUE(h, "diagonal_mass"), 1.25 / 3, 1e-6);
    CHECK(isnan(VALUE(h, "induction_score")));
}

static void skipped_rows_leave_the_means(atn_ctx *cx)
{
    const atn_head h = given(f4, 4);

    CHECK_NEAR(column_of(cx, &h, NULL, 1, EARLY "1", "topk_mass"), .5,
               1e-6); /* max per row */
    CHECK_NEAR(column_of(cx, &h, NULL, 1, EARLY "1", "sink_mass"), .8 / 3, 1e-6);
}

/* Rows 2 and 3 alone, in every mean over rows: .9 = (.7 + 1.1) / 2 and so on. */
static void skipped_rows_leave_every_mean(atn_ctx *cx)
{
    static const struct {
        const char *name;
        double want;
    } cases[] = {{"distance_mean_tokens", .9},
                 {"distance_relative", (.35 + 1.1 / 3) / 2},
                 {"distance_without_first_tokens", (.375 + .8 / .9) / 2},
                 {"entropy_mean_nats", (1.029653 + 1.207974) / 2},
                 {"effective_keys", (2.800094 + 3.346696) / 2},
                 {"participation_ratio", (1 / .38 + 1 / .345) / 2},
                 {"previous_mass", (.3 + .5) / 2},
                 {"diagonal_mass", (.5 + .25) / 2}};
    const atn_head h = given(f4, 4);

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        print_message("%s\n", cases[i].name);
        CHECK_NEAR(column_of(cx, &h, NULL, 2, EARLY "1", cases[i].name), cases[i].want,
                   2e-6);
    }
}

/* Uniform rows over the keys from 2 on: rows 0 and 1 see none and are in no mean; rows 2 and
 * 3 have one key and two. */
static void rows_without_keys_leave_the_means(atn_ctx *cx)
{
    float zero[4] = {0};
    const atn_head h = {.q = {zero, 4, 1, 1},
                        .k = {zero, 4, 1, 1},
                        .nq = 4,
                        .nk = 4,
                        .scale = 1,
                        .sight = {.causal = true, .key_first = 2, .key_last = 4}};

    CHECK_NEAR(VALUE(h, "entropy_mean_nats"), log(2) / 2, 1e-6);
    CHECK_NEAR(VALUE(h, "effective_keys"), 1.5, 1e-6);
    CHECK_NEAR(VALUE(h, "participation_ratio"), 1.5, 1e-6);
    CHECK_NEAR(VALUE(h, "distance_mean_tokens"), .25, 1e-6);
    CHECK_NEAR(VALUE(h, "sink_mass"), .75, 1e-6);
    CHECK_NEAR(VALUE(h, "topk_mass"), 1, 1e-6);
}

/* A sink logit of 0 takes 1 / (t + 2) of a uniform row; what is left is spread as before. */
static void sink_leaves_the_spread(atn_ctx *cx)
{
    float zero[64] = {0};
    const atn_head h = {.q = {zero, 64, 1, 1},
                        .k = {zero, 64, 1, 1},
                        .nq = 64,
                        .nk = 64,
                        .scale = 1,
                        .has_sink = true,
                        .sight = {.causal = true, .key_last = 64}};

    CHECK_NEAR(VALUE(h, "participation_ratio"), 65 / 2., 1e-4);
    CHECK_NEAR(VALUE(h, "effective_keys"), 65 / 2., 1e-4);
}

/* UC(n): entropy ln(n!)/n, distance (n-1)/4, first-key mass H_n/n. */
static void uniform_causal_closed_forms(atn_ctx *cx)
{
    float zero[64] = {0};
    const atn_head h = {.q = {zero, 64, 1, 1},
                        .k = {zero, 64, 1, 1},
                        .nq = 64,
                        .nk = 64,
                        .scale = 1,
                        .sight = {.causal = true, .key_last = 64}};

    CHECK_NEAR(VALUE(h, "entropy_mean_nats"), 3.205753, 1e-6);
    CHECK_NEAR(VALUE(h, "entropy_normalised"), 1, 1e-6);
    CHECK_NEAR(VALUE(h, "distance_mean_tokens"), 63 / 4., 1e-5);
    CHECK_NEAR(VALUE(h, "sink_mass"), 0.0741233, 1e-7);
    CHECK_NEAR(VALUE(h, "participation_ratio"), 65 / 2., 1e-4);
    CHECK_NEAR(VALUE(h, "effective_keys"), 65 / 2., 1e-4);
}

/* Token sequence a b c a b c with perfect heads written by hand: the induction head's row 3
 * (a) looks at 1, row 4 at 2, row 5 at 3; the duplicate head's at 0, 1, 2; row 0.. on itself. */
static void perfect_induction_and_duplicate(atn_ctx *cx)
{
    const int32_t tokens[] = {7, 5, 9, 7, 5, 9};
    float p[36] = {0}, q[36] = {0};
    atn_head h;

    for (int i = 0; i < 3; i++) p[i * 6 + i] = q[i * 6 + i] = 1;
    for (int i = 3; i < 6; i++) p[i * 6 + i - 2] = q[i * 6 + i - 3] = 1;
    h = given(p, 6);
    CHECK_NEAR(column_of(cx, &h, tokens, 0, EARLY "1", "induction_score"), 1, 0);
    CHECK_NEAR(column_of(cx, &h, tokens, 0, EARLY "1", "duplicate_score"), 0, 0);
    h = given(q, 6);
    CHECK_NEAR(column_of(cx, &h, tokens, 0, EARLY "1", "induction_score"), 0, 0);
    CHECK_NEAR(column_of(cx, &h, tokens, 0, EARLY "1", "duplicate_score"), 1, 0);
}

/* Previous-token head: previous 1, distance (n-1)/n, entropy 0, effective keys 1. */
static void previous_token_head(atn_ctx *cx)
{
    float p[100] = {1};
    atn_head h;

    for (int i = 1; i < 10; i++) p[i * 10 + i - 1] = 1;
    h = given(p, 10);
    CHECK_NEAR(VALUE(h, "previous_mass"), 1, 0);
    CHECK_NEAR(VALUE(h, "diagonal_mass"), 0, 0);
    CHECK_NEAR(VALUE(h, "distance_mean_tokens"), .9, 1e-12);
    CHECK_NEAR(VALUE(h, "entropy_mean_nats"), 0, 0);
    CHECK_NEAR(VALUE(h, "effective_keys"), 1, 0);
}

/* Induction by its matrix D, pair by pair, on random tokens, windows and offsets. */
static void induction_against_pairs(atn_ctx *cx)
{
    for (int trial = 0; trial < 24; trial++) {
        const atn_idx nk = 20 + 2 * trial, nq = nk - trial % 3 * 5;
        float q[MAX_N * 4], k[MAX_N * 4], p[MAX_N];
        int32_t tokens[MAX_N];
        atn_rng r = atn_rng_stream(5, "test/measures", trial, 0);
        atn_head h = {
            .q = {q, nq, 4, 4}, .k = {k, nk, 4, 4}, .nq = nq, .nk = nk, .scale = 1};
        double want = 0, rows = 0;

        for (atn_idx i = 0; i < nk * 4; i++) {
            q[i] = (float)atn_rng_normal(&r);
            k[i] = (float)atn_rng_normal(&r);
        }
        for (atn_idx i = 0; i < nk; i++) tokens[i] = (int32_t)atn_rng_below(&r, 6);
        h.sight = (atn_sight){.causal = true,
                              .offset = nk - nq,
                              .key_last = nk,
                              .window = trial % 2 ? 9 : 0};
        for (atn_idx i = 0; i < nq; i++) {
            const atn_tile t = atn_tile_of(&h, i, 1);
            const atn_idx at = i + nk - nq;
            bool before = false;
            atn_row_info info;

            CHECK_OK(atn_rows_fill(cx, &h, &t, (atn_mat){p, 1, t.keys, MAX_N}, &info));
            for (atn_idx m = 0; m < at; m++) {
                if (tokens[m] != tokens[at]) continue;
                before = true;
                if (m + 1 >= t.key0 && m + 1 < t.key0 + t.keys)
                    want += p[m + 1 - t.key0];
            }
            rows += before;
        }
        CHECK_NEAR(column_of(cx, &h, tokens, 0, EARLY "1", "induction_score"),
                   want / rows, 1e-6);
    }
}

/* 1 <= participation ratio <= exp(entropy) <= visible keys, every row of random heads. */
static void order_of_effective_keys(atn_ctx *cx)
{
    for (int trial = 0; trial < 10; trial++) {
        float q[60 * 4], k[60 * 4];
        atn_rng r = atn_rng_stream(6, "test/measures", trial, 0);
        atn_head h = {.q = {q, 60, 4, 4},
                      .k = {k, 60, 4, 4},
                      .nq = 60,
                      .nk = 60,
                      .scale = 1,
                      .sight = {.causal = trial & 1, .key_last = 60}};
        atn_row_stats *s = NULL;
        atn_head_stats rows;

        for (int i = 0; i < 240; i++) {
            q[i] = (float)(trial * atn_rng_normal(&r));
            k[i] = (float)atn_rng_normal(&r);
        }
        CHECK_OK(atn_row_stats_run(
            cx, &h, 1, NULL, &(atn_row_stats_opts){.needs = ATN_NEED_ALL, .top_k = 3},
            &s));
        rows = atn_row_stats_head(s, 0);
        for (int i = 0; i < 60; i++) {
            CHECK_LE(1, 1 / rows.value[ATN_ROW_SQUARE][i] + 1e-5);
            CHECK_LE(1 / rows.value[ATN_ROW_SQUARE][i],
                     exp(rows.value[ATN_ROW_ENTROPY][i]) * (1 + 1e-5));
            CHECK_LE(exp(rows.value[ATN_ROW_ENTROPY][i]),
                     (double)rows.seen[i] * (1 + 1e-5));
            CHECK_LE(rows.value[ATN_ROW_TOPK][i], 1 + 1e-6);
        }
        atn_row_stats_destroy(cx, s);
    }
}

static void needs_limit_the_work(atn_ctx *cx)
{
    const atn_head h = given(f4, 4);
    atn_row_stats *s = NULL;
    atn_head_stats rows;

    CHECK_OK(atn_row_stats_run(cx, &h, 1, NULL,
                               &(atn_row_stats_opts){.needs = ATN_NEED_FIRST}, &s));
    rows = atn_row_stats_head(s, 0);
    CHECK(rows.value[ATN_ROW_FIRST] && rows.value[ATN_ROW_ENTROPY] &&
          !rows.value[ATN_ROW_SQUARE] && !rows.value[ATN_ROW_TOPK] &&
          !rows.value[ATN_ROW_INDUCTION]);
    atn_row_stats_destroy(cx, s);
}

/* The k-th allocation fails, k = 0, 1, ...: MEMORY each time, nothing leaks (ASan). */
static void allocations_may_fail(atn_ctx *cx)
{
    const atn_head h = given(f4, 4);
    const int32_t tokens[] = {1, 2, 1, 2};
    atn_status st = ATN_MEMORY;
    int k = 0;

    for (; st != ATN_OK; k++) {
        check_failing f = {k};
        atn_row_stats *s = NULL;
        atn_ctx frail;

        atn_ctx_init(&frail);
        frail.threads = cx->threads;
        frail.alloc = (atn_allocator){check_failing_resize, &f};
        st = atn_row_stats_run(&frail, &h, 1, tokens,
                               &(atn_row_stats_opts){.needs = ATN_NEED_ALL, .top_k = 2},
                               &s);
        CHECK(st == ATN_OK || (st == ATN_MEMORY && !s));
        f.left = 1 << 20;
        atn_row_stats_destroy(&frail, s);
        atn_ctx_release(&frail);
        CHECK_LE(k, 100);
    }
    CHECK_LE(3, k);
}

CHECK_MAIN({"F4 by hand", f4_by_hand},
           {"skipped rows leave the means", skipped_rows_leave_the_means},
           {"skipped rows leave every mean", skipped_rows_leave_every_mean},
           {"rows without keys leave the means", rows_without_keys_leave_the_means},
           {"a sink leaves the spread", sink_leaves_the_spread},
           {"uniform causal closed forms", uniform_causal_closed_forms},
           {"perfect induction and duplicate", perfect_induction_and_duplicate},
           {"previous-token head", previous_token_head},
           {"induction against pairs", induction_against_pairs},
           {"order of effective keys", order_of_effective_keys},
           {"needs limit the work", needs_limit_the_work},
           {"allocations may fail", allocations_may_fail})
