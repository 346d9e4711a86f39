/* DraftAttention: golden rows, a twin by definition, the order of cells, published
 * counts, limits. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "approx/draft.h"
#include "tests/approx/selection.h"

static void set_grid(zoo *z, long frames, long height, long width)
{
    z->grid = frames > 0 ? (atn_list){3, {frames, height, width}}
                         : (atn_list){2, {height, width}};
    z->in.grid = &z->grid;
    zoo_causal(z, false);
}

/* Second fixture of the card, bidirectional: 2 frames of 3 x 4 in cells of 1 x 2. */
static void golden_rows(atn_ctx *cx)
{
    zoo z;

    zoo_second(&z);
    set_grid(&z, 2, 3, 4);
    zoo_golden(cx, &z, "draft:cell=1x2,sparsity=.7", 0, 5, "4,5,8,9,18,19,22,23",
               .411636, 11.699041);
    zoo_golden(cx, &z, "draft:cell=1x2,sparsity=.7", 0, 17, "4,5,8,9,12,13,16,17,20,21",
               .424161, 13.695457);
    zoo_free(&z);
}

/* ---- twin ---- */

enum { N_MOST = 160 };

static int by_value(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

static void twin_rows(const atn_head *h, const long *shape, const long *cell,
                      double sparsity, uint8_t *out)
{
    static double w[N_MOST][N_MOST], all[N_MOST * N_MOST];
    const long video = shape[0] * shape[1] * shape[2], n = h->nk;
    const long down = shape[1] / cell[0], across = shape[2] / cell[1];
    const long cells = shape[0] * down * across, d = h->q.cols;
    const double r = 1 - sparsity;
    long of[N_MOST], kd = (long)((1 - r) * (double)(cells * cells)), e = 0;
    double least = 0;

    for (long t = 0; t < n; t++) {
        const long f = t / (shape[1] * shape[2]), y = t / shape[2] % shape[1];

        of[t] =
            t < video ? (f * down + y / cell[0]) * across + t % shape[2] / cell[1] : -1;
    }
    for (long a = 0; a < cells; a++) {
        double sum = 0, max = -INFINITY;

        for (long b = 0; b < cells; b++) {
            w[a][b] = 0;
            for (long c = 0; c < d; c++) {
                double q = 0, k = 0;

                for (long t = 0; t < video; t++) {
                    q += of[t] == a ? (double)atn_crow(h->q, t)[c] : 0;
                    k += of[t] == b ? (double)atn_crow(h->k, t)[c] : 0;
                }
                w[a][b] += h->scale * q * k / (double)(cell[0] * cell[0]) /
                           (double)(cell[1] * cell[1]);
            }
            max = fmax(max, w[a][b]);
        }
        for (long b = 0; b < cells; b++) sum += w[a][b] = exp(w[a][b] - max);
        for (long b = 0; b < cells; b++) all[e++] = w[a][b] = w[a][b] / sum;
    }
    qsort(all, (size_t)e, sizeof *all, by_value);
    if (kd > 0) least = all[kd - 1] * (1 - 1e-9);
    for (long i = 0; i < n; i++)
        for (long j = 0; j < n; j++)
            out[i * n + j] = of[i] < 0 || of[j] < 0 || w[of[i]][of[j]] >= least;
}

static long draw(uint64_t *seed, long lo, long hi)
{
    return lo + (long)(zoo_uniform(seed) * (double)(hi - lo + 1));
}

static void twin_of_the_choice(atn_ctx *cx)
{
    uint64_t seed = 51;

    for (int trial = 0; trial < 120; trial++) {
        const long cell[2] = {draw(&seed, 1, 3), draw(&seed, 1, 3)};
        const long shape[3] = {draw(&seed, 1, 3), cell[0] * draw(&seed, 1, 3),
                               cell[1] * draw(&seed, 1, 3)};
        const long video = shape[0] * shape[1] * shape[2];
        const long n = video + (trial % 2 ? draw(&seed, 0, 7) : 0);
        const double sparsity = (double)draw(&seed, 0, 20) / 20;
        char spec[128];
        zoo z;

        if (n > N_MOST) continue;
        zoo_random(&z, 4, 2, n, n, seed);
        set_grid(&z, shape[0] == 1 && trial % 3 ? 0 : shape[0], shape[1], shape[2]);
        snprintf(spec, sizeof spec, "draft:cell=%ldx%ld,sparsity=%.17g", cell[0],
                 cell[1], sparsity);
        for (atn_idx h = 0; h < 4; h += 3) {
            uint8_t *got = selection_of(cx, &z, spec, h);
            uint8_t *wanted = malloc((size_t)(n * n) + 1);

            twin_rows(&z.head[h], shape, cell, sparsity, wanted);
            selection_same(spec, &z, h, got, wanted);
            free(got);
            free(wanted);
        }
        zoo_free(&z);
    }
}

/* ---- derived ---- */

/* The cell that a token of the video is in. */
static atn_idx cell_of(const atn_draft_grid *g, atn_idx token)
{
    const atn_idx x = token % g->width, row = token / g->width; /* of all frames */

    return row / g->ph * (g->width / g->pw) + x / g->pw;
}

/* Two frames of 4 x 6 in cells of 2 x 3: the order by hand at its beginning; there and
 * back; cells are runs. */
static void order_is_a_permutation(atn_ctx *cx)
{
    const atn_draft_grid grids[] = {{2, 4, 6, 2, 3},
                                    {1, 1, 1, 1, 1},
                                    {3, 6, 4, 3, 1},
                                    {2, 3, 8, 1, 8},
                                    {5, 8, 6, 8, 2}};
    const int32_t wanted[] = {0, 1, 2, 6, 7, 8, 3, 4, 5, 9, 10, 11, 12, 13, 14, 18};

    (void)cx;
    for (size_t g = 0; g < ATN_LEN(grids); g++) {
        const atn_idx video = atn_draft_tokens(&grids[g]), n = video + 3;
        const atn_idx run = grids[g].ph * grids[g].pw;
        int32_t order[300], back[300];

        CHECK_LE(n, 300);
        CHECK_EQ(atn_draft_cells(&grids[g]) * run, video);
        memset(back, 0xff, sizeof back);
        atn_draft_order(&grids[g], n, order);
        for (atn_idx t = 0; t < n; t++) {
            CHECK(order[t] >= 0 && order[t] < n && back[order[t]] < 0);
            back[order[t]] = (int32_t)t;
            if (t >= video) CHECK_EQ(order[t], t);
            if (t < video) CHECK_EQ(cell_of(&grids[g], order[t]), t / run);
            if (g == 0 && t < (atn_idx)ATN_LEN(wanted)) CHECK_EQ(order[t], wanted[t]);
        }
        for (atn_idx t = 0; t < n; t++) CHECK_EQ(order[back[t]], t);
    }
}

/* The default grid of the reference: 33 frames of 48 x 80, 990 cells, of 980100 pairs
 * the 882090-th smallest is the cut, so 98011 are kept, of 128 x 128 tokens each. */
static void default_grid_keeps_what_is_published(atn_ctx *cx)
{
    int64_t pairs = 0;
    atn_plan plan;
    zoo z;

    zoo_random(&z, 1, 1, 126720, 126720, 9);
    set_grid(&z, 33, 48, 80);
    zoo_plan(cx, &z, "draft", 0, &plan);
    CHECK_OK(atn_pattern_pairs(cx, plan.branch[0].part[0].pattern, 0, &pairs));
    CHECK_EQ(pairs, (98011 + plan.ties) * 16384);
    CHECK_LE(plan.ties, 20);
    CHECK(plan.index_flops == 2 * 990. * 990 * 8 + 2 * 126720. * 8);
    zoo_release(cx, &plan, 1);
    zoo_free(&z);
}

static void limits(atn_ctx *cx)
{
    uint8_t *got;
    zoo z;

    zoo_random(&z, 1, 1, 53, 53, 5);
    set_grid(&z, 2, 4, 6);
    selection_is_dense(cx, &z, "draft:cell=2x3,sparsity=0", 0);
    selection_is_dense(cx, &z, "draft:cell=4x6,sparsity=.1", 0); /* kd = 0 of 4 */
    /* all but the largest entry, and the 5 tokens of text */
    got = selection_of(cx, &z, "draft:cell=4x6,sparsity=1", 0);
    for (long i = 0, kept = 0; i < 53; i++) {
        for (long j = 0; j < 53; j++) kept += got[i * 53 + j];
        if (i == 52) CHECK_EQ(kept, 24 * 24 + 2 * 5 * 48 + 5 * 5);
    }
    free(got);
    zoo_free(&z);
}

/* Cells of one token: the pairs with the largest weights of the whole matrix. */
static void single_tokens_are_the_largest_weights(atn_ctx *cx)
{
    double a[24 * 24], sorted[24 * 24];
    uint8_t *got;
    zoo z;

    zoo_random(&z, 1, 1, 24, 24, 6);
    set_grid(&z, 0, 4, 6);
    got = selection_of(cx, &z, "draft:cell=1x1,sparsity=.75", 0);
    for (long i = 0; i < 24; i++) zoo_dense(&z, 0, i, a + 24 * i);
    memcpy(sorted, a, sizeof a);
    qsort(sorted, 576, sizeof *sorted, by_value);
    for (long e = 0; e < 576; e++) CHECK_EQ(got[e], a[e] >= sorted[431] * (1 - 1e-9));
    free(got);
    zoo_free(&z);
}

/* The same queries and keys in all of a cell: the draft says what attention is, so
 * that what is kept is the best that so many pairs can have. */
static void constant_cells_are_ranked_exactly(atn_ctx *cx)
{
    double a[24 * 24], least = 1, most = 0;
    uint8_t *got;
    zoo z;

    zoo_random(&z, 1, 1, 24, 24, 6);
    set_grid(&z, 1, 4, 6);
    for (long t = 0; t < 24; t++) {
        const long lead = t / 12 * 12 + t % 6 / 2 * 2; /* cells of 2 x 2 */

        memmove(z.q + 8 * t, z.q + 8 * lead, 8 * sizeof *z.q);
        memmove(z.k + 8 * t, z.k + 8 * lead, 8 * sizeof *z.k);
    }
    got = selection_of(cx, &z, "draft:cell=2x2,sparsity=.6", 0);
    for (long i = 0; i < 24; i++) zoo_dense(&z, 0, i, a + 24 * i);
    for (long e = 0; e < 576; e++) {
        if (got[e]) least = fmin(least, a[e]);
        if (!got[e]) most = fmax(most, a[e]);
    }
    CHECK_LE(most, least);
    free(got);
    zoo_free(&z);
}

static void rules(atn_ctx *cx)
{
    zoo z;

    zoo_random(&z, 1, 1, 24, 24, 6);
    selection_fails(cx, &z, "draft", ATN_DATA, "grid");
    set_grid(&z, 2, 3, 4);
    selection_fails(cx, &z, "draft:cell=2x2", ATN_USAGE,
                    "cells of 2x2 tokens do not divide frames of 3x4");
    selection_fails(cx, &z, "draft:cell=3", ATN_USAGE, "cell has 1 numbers");
    selection_fails(cx, &z, "draft:cell=1x1x1", ATN_USAGE, "cell has 3 numbers");
    z.grid = (atn_list){1, {24}};
    selection_fails(cx, &z, "draft:cell=1x2", ATN_DATA, "has 1 axes");
    z.grid = (atn_list){3, {2, 4, 4}};
    selection_fails(cx, &z, "draft:cell=1x2", ATN_DATA, "does not fit the 24 tokens");
    z.grid = (atn_list){3, {INT64_MAX, INT64_MAX, 4}};
    selection_fails(cx, &z, "draft:cell=1x2", ATN_DATA, "does not fit the 24 tokens");
    z.in.grid_first = 1;
    selection_fails(cx, &z, "draft:cell=1x2", ATN_DATA, "1 special token");
    z.in.grid_first = 0;
    z.head[0].sight.cross = true;
    selection_fails(cx, &z, "draft:cell=1x2", ATN_DATA, "are other tokens");
    z.head[0].sight.cross = false;
    set_grid(&z, 2, 3, 4);
    zoo_causal(&z, true);
    selection_fails(cx, &z, "draft:cell=1x2", ATN_DATA, "for bidirectional heads");
    zoo_free(&z);
    zoo_random(&z, 1, 1, 20, 24, 6);
    set_grid(&z, 2, 3, 4);
    selection_fails(cx, &z, "draft:cell=1x2", ATN_DATA, "takes all queries at once");
    zoo_free(&z);
}

/* 200 x 200 cells of one token. */
static void too_many_cells_are_refused(atn_ctx *cx)
{
    zoo z;

    zoo_random(&z, 1, 1, 40000, 40000, 6);
    set_grid(&z, 1, 200, 200);
    selection_fails(cx, &z, "draft:cell=1x1", ATN_USAGE, "40000 cells are too many");
    cx->mem_limit = 1 << 20;
    selection_fails(cx, &z, "draft:cell=2x10", ATN_MEMORY, "draft");
    cx->mem_limit = 0;
    zoo_free(&z);
}

static void threads_and_memory(atn_ctx *cx)
{
    zoo z;

    zoo_random(&z, 1, 1, 130, 130, 13);
    set_grid(&z, 2, 8, 8);
    selection_threads(cx, &z, "draft:cell=2x2,sparsity=.8");
    selection_failing(&z, "draft:cell=2x4,sparsity=.8");
    zoo_free(&z);
}

CHECK_MAIN({"golden rows", golden_rows}, {"twin", twin_of_the_choice},
           {"order", order_is_a_permutation},
           {"default grid", default_grid_keeps_what_is_published}, {"limits", limits},
           {"single tokens", single_tokens_are_the_largest_weights},
           {"constant cells", constant_cells_are_ranked_exactly}, {"rules", rules},
           {"too many cells", too_many_cells_are_refused},
           {"threads and memory", threads_and_memory})
