/* tests/analysis/test_field_tables.c -- receptive fields and reach maps as tables. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "analysis/field_tables.h"

#include <math.h>
#include <stdlib.h>

#include "graph/field_patterns.h"

static double fact(const atn_table *t, const char *name)
{
    return atn_table_get_f64(t, 0, atn_table_find_col(t, name));
}

static double meta(const atn_table *t, const char *key)
{
    return strtod(atn_table_get_meta(t, key), NULL);
}

/* 600 tokens are blocks of 256, 256 and 88. A window of two blocks leaves one of the six pairs
 * (2, 0) to the second layer: 5/6 within one. */
static void reach_of_short_blocks(atn_ctx *cx)
{
    static const float want[] = {0, NAN, NAN, 1, 0, NAN, 2, 1, 0};
    atn_pattern *p = window_of(cx, 600, 256, 2, 0);
    const atn_pattern *const layers[] = {p};
    atn_table *t = NULL;
    atn_cmat m;

    CHECK_OK(atn_reach_table(cx, "w", layers, 1, 1, 512, &t));
    m = atn_table_get_matrix(t);
    CHECK_EQ(m.rows, 3);
    for (int i = 0; i < 9; i++)
        CHECK(isnan(want[i]) ? isnan(atn_crow(m, i / 3)[i % 3])
                             : atn_crow(m, i / 3)[i % 3] == want[i]);
    CHECK_EQ(fact(t, "tokens"), 600);
    CHECK_EQ(fact(t, "block"), 256);
    CHECK_NEAR(fact(t, "pairs_share"), 5. / 6, 1e-15);
    CHECK_EQ(meta(t, "keys"), 600);
    CHECK_EQ(meta(t, "tokens_per_cell"), 256);
    atn_table_destroy(cx, t);
    /* in two cells a block and a half each; all is reached after two layers */
    CHECK_OK(atn_reach_table(cx, "w", layers, 1, 2, 2, &t));
    CHECK_EQ(meta(t, "tokens_per_cell"), 384);
    CHECK_EQ(fact(t, "pairs_share"), 1);
    atn_table_destroy(cx, t);
    atn_pattern_destroy(cx, p);
}

/* A coarse map may be of one colour where little is reached: each token sees itself and the one
 * before, 199 of 5050 pairs, and cells of ten tokens next to the diagonal meet. */
static void share_is_of_pairs_not_of_cells(atn_ctx *cx)
{
    atn_pattern *p = window_of(cx, 100, 1, 2, 0);
    const atn_pattern *const layers[] = {p};
    atn_table *t = NULL;

    CHECK_OK(atn_reach_table(cx, "w", layers, 1, 1, 2, &t));
    CHECK_EQ(atn_crow(atn_table_get_matrix(t), 1)[0], 1);
    CHECK_NEAR(fact(t, "pairs_share"), 199. / 5050, 1e-15);
    atn_table_destroy(cx, t);
    atn_pattern_destroy(cx, p);
}

/* The subtitle says of what the fields are, as far as all are alike. */
static void subtitles(atn_ctx *cx)
{
    static const struct {
        atn_idx tokens[2], block[2];
        int n;
        const char *want;
    } cases[] = {{{600, 0}, {256, 0}, 1, "w0, 600 tokens in blocks of 256"},
                 {{1, 0}, {1, 0}, 1, "w0, 1 token"},
                 {{600, 600}, {256, 256}, 2, "600 tokens in blocks of 256"},
                 {{600, 600}, {256, 1}, 2, "600 tokens"},
                 {{600, 601}, {256, 256}, 2, NULL}};

    for (size_t i = 0; i < ATN_LEN(cases); i++) {
        atn_field f[2] = {{0}};
        atn_field_case c[2];
        atn_table *t = NULL;
        const char *got;

        for (int k = 0; k < cases[i].n; k++) {
            atn_pattern *p = window_of(cx, cases[i].tokens[k], cases[i].block[k], 1, 0);
            const atn_pattern *const layers[] = {p};

            CHECK_OK(
                atn_field_run(cx, layers, 1, &(atn_field_opts){.depth = 1}, &f[k]));
            c[k] = (atn_field_case){.pattern = k ? "w1" : "w0", .field = &f[k]};
            atn_pattern_destroy(cx, p);
        }
        CHECK_OK(atn_field_table(cx, c, cases[i].n, ATN_FIELD_PATTERN, &t));
        got = atn_table_get_meta(t, "subtitle");
        if (cases[i].want)
            CHECK_STR(got, cases[i].want);
        else
            CHECK(got == NULL);
        atn_table_destroy(cx, t);
        for (int k = 0; k < cases[i].n; k++) atn_field_release(cx, &f[k]);
    }
}

static void failing_allocations(atn_ctx *cx)
{
    atn_pattern *p = window_of(cx, 600, 256, 2, 0);
    const atn_pattern *const layers[] = {p};
    atn_status st = ATN_MEMORY;

    for (int k = 0; st != ATN_OK; k++) {
        check_failing failing = {k};
        atn_table *t = NULL;
        atn_ctx frail;

        atn_ctx_init(&frail);
        frail.alloc = (atn_allocator){check_failing_resize, &failing};
        st = atn_reach_table(&frail, "w", layers, 1, 2, 8, &t);
        CHECK(st == ATN_OK ? t != NULL : st == ATN_MEMORY && !t);
        failing.left = 1 << 20;
        atn_table_destroy(&frail, t);
        atn_ctx_release(&frail);
        CHECK_LE(k, 300);
    }
    atn_pattern_destroy(cx, p);
}

CHECK_MAIN({"reach of short blocks", reach_of_short_blocks},
           {"share is of pairs not of cells", share_is_of_pairs_not_of_cells},
           {"subtitles", subtitles}, {"failing allocations", failing_allocations})
