/* tests/core/test_cover.c -- coverage, spans, sorting and the sums of tiles against loops in
 * double, on rows of every spread: the kernels bin, split bins and sort only where they must.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "check.h"

#include "core/kernels/kernels.h"
#include "core/rng.h"

enum { MOST = 6000, LEVELS = ATN_COVER_LEVELS, SHAPES = 11 };
static const double levels[LEVELS] = {.5, .8, .9, .95, .99, .999};

/* Rows whose weights lie in few bins, in all of them, below the last one, in ties. */
static double make(atn_rng *r, int shape, int n, float *w)
{
    static const double spread[] = {1e-7, 1e-3, .05, 1, 2.5, 6};
    double sum = 0, mass = shape % 2 ? 1 : .3;

    for (int j = 0; j < n; j++) {
        const double x = atn_rng_normal(r);

        w[j] = (float)exp(spread[ATN_MIN(shape, 5)] * x);
        if (shape == 6) w[j] = 1;
        if (shape == 7) w[j] = (float)(1 + atn_rng_below(r, 3)); /* ties */
        if (shape == 8) w[j] = x > 1 ? w[j] : 0;
        if (shape == 9)
            w[j] = (float)(j == n / 3 ? 1e12 : exp(x) * .02);           /* far below */
        if (shape == 10) w[j] = (float)(j == n / 2 ? 20. * n : exp(x)); /* a sink */
    }
    for (int j = 0; j < n; j++) sum += (double)w[j];
    for (int j = 0; j < n && sum > 0; j++) w[j] = (float)((double)w[j] * mass / sum);
    return mass;
}

static int larger_first(const void *a, const void *b)
{
    const float x = *(const float *)a, y = *(const float *)b;

    return (x < y) - (x > y);
}

/* Counts differ by as many keys as lie within 1e-6 of the threshold. */
static void check_counts(const float *sorted, int n, const atn_cover *c)
{
    double mass = 0, sum = 0;
    int k = 0, early;

    for (int j = 0; j < n; j++) mass += (double)sorted[j];
    for (int l = 0; l < LEVELS; l++) {
        while (k < n && sum < levels[l] * mass * (1 - 1e-6)) sum += (double)sorted[k++];
        early = k;
        while (k < n && sum < levels[l] * mass * (1 + 1e-6)) sum += (double)sorted[k++];
        CHECK_LE(early, c->count[l]);
        CHECK_LE(c->count[l], k);
    }
}

/* The minimal set has as many weights as are counted, and they are the largest. */
static void check_set(const float *w, const float *sorted, int n, const atn_cover *c)
{
    for (int l = 0; l < LEVELS; l++) {
        int in = 0;

        for (int j = 0; j < n; j++)
            in += w[j] > c->least[l] || (w[j] == c->least[l] && j <= c->last[l]);
        CHECK_EQ(in, c->count[l]);
        if (in > 0) CHECK(c->least[l] == sorted[in - 1]);
    }
}

static void cover(atn_ctx *cx)
{
    static float w[MOST], sorted[MOST], picked[MOST], spare[MOST];
    static uint16_t bin[MOST];
    const atn_cover_scratch scratch = {bin, picked, spare};
    const int n[] = {1, 2, 15, 64, 127, 128, 129, 130, 500, 1024, 4099, MOST};
    atn_rng r = atn_rng_stream(2, "test/cover", 0, 0);

    (void)cx;
    for (int shape = 0; shape < SHAPES; shape++)
        for (size_t i = 0; i < ATN_LEN(n); i++) {
            const double mass = make(&r, shape, n[i], w);
            atn_cover c;

            memcpy(sorted, w, sizeof sorted);
            qsort(sorted, (size_t)n[i], sizeof *sorted, larger_first);
            atn_row_cover(w, n[i], sorted[0], mass, &scratch, &c);
            check_counts(sorted, n[i], &c);
            check_set(w, sorted, n[i], &c);
            memcpy(picked, w, sizeof picked);
            atn_row_sort(picked, n[i], spare);
            CHECK_EQ(memcmp(picked, sorted, (size_t)n[i] * sizeof *picked), 0);
        }
}

/* Sorting takes negative numbers and infinity, too. */
static void sort(atn_ctx *cx)
{
    const float want[] = {INFINITY, 3, 1e-40F, 0, -1e-40F, -2, -2, -1e30F};
    float x[] = {-2, 1e-40F, -1e30F, 3, -1e-40F, INFINITY, -2, 0}, spare[8];

    (void)cx;
    atn_row_sort(x, 8, spare);
    CHECK_EQ(memcmp(x, want, sizeof x), 0);
}

static void no_mass(atn_ctx *cx)
{
    const float w[3] = {0};
    float picked[3], spare[3];
    uint16_t bin[3];
    atn_cover c;
    double span[ATN_SPAN_LEVELS];

    (void)cx;
    atn_row_cover(w, 3, 0, 0, &(atn_cover_scratch){bin, picked, spare}, &c);
    atn_row_span(w, 3, 1, 0, span);
    for (int l = 0; l < LEVELS; l++) CHECK_EQ(c.count[l], 0);
    for (int l = 0; l < ATN_SPAN_LEVELS; l++) CHECK_EQ(span[l], 0);
}

/* What is no row of weights gives no sense, but touches no memory it should not. */
static void no_weights(atn_ctx *cx)
{
    enum { N = 3000 };
    static float w[N], picked[N], spare[N];
    static uint16_t bin[N];
    atn_rng r = atn_rng_stream(2, "test/no weights", 0, 0);

    (void)cx;
    for (int trial = 0; trial < 40; trial++) {
        const int n = trial % 2 ? N : 700;
        atn_cover c;

        for (int j = 0; j < n; j++)
            w[j] = (float)(atn_rng_normal(&r) * pow(10, trial % 20));
        atn_row_cover(w, n, atn_row_max(w, n), 1e-3,
                      &(atn_cover_scratch){bin, picked, spare}, &c);
    }
}

static void span(atn_ctx *cx)
{
    static float w[MOST];
    const double part[] = {.5, .9, .95};
    const int n[] = {1, 2, 33, 300, 2000, MOST};
    atn_rng r = atn_rng_stream(2, "test/span", 0, 0);

    (void)cx;
    for (int trial = 0; trial < 120; trial++) {
        const int m = n[trial % 6], at = (int)atn_rng_below(&r, 3 * m) - m;
        const double mass = make(&r, trial % 5 + 3 * (trial % 2), m, w);
        double got[3], sum = 0, early;
        int s = -1;

        atn_row_span(w, m, at, mass, got);
        for (int l = 0; l < 3; l++) {
            for (int pass = 0; pass < 2; pass++) {
                const double enough = part[l] * mass * (pass ? 1 + 1e-6 : 1 - 1e-6);
                while (s < 3 * m && sum < enough) {
                    s++;
                    if (at - s >= 0 && at - s < m) sum += (double)w[at - s];
                    if (s > 0 && at + s >= 0 && at + s < m) sum += (double)w[at + s];
                }
                if (pass == 0) early = s;
            }
            CHECK_LE(early, got[l]);
            CHECK_LE(got[l], s);
        }
    }
}

static void tiles(atn_ctx *cx)
{
    enum { ROWS = 21, COLS = 300, LD = 304 };
    static float p[ROWS * LD];
    double sum[ROWS + COLS], want[ROWS + COLS];
    atn_rng r = atn_rng_stream(2, "test/tiles", 0, 0);

    (void)cx;
    for (int i = 0; i < ROWS * LD; i++) p[i] = (float)atn_rng_normal(&r);
    for (int rows = 1; rows <= ROWS; rows += 5)
        for (int cols = 1; cols <= COLS; cols += 23) {
            memset(want, 0, sizeof want);
            for (int i = 0; i < rows; i++)
                for (int c = 0; c < cols; c++) want[c] += (double)p[i * LD + c];
            memset(sum, 0, sizeof sum);
            atn_tile_columns(p, LD, rows, cols, sum);
            for (int c = 0; c < cols; c++) CHECK_NEAR(sum[c], want[c], 1e-12);
            memset(want, 0, sizeof want);
            for (int i = 0; i < rows; i++)
                for (int c = 0; c < cols; c++)
                    want[c - i + rows - 1] += (double)p[i * LD + c];
            for (int e = 0; e < ROWS + COLS; e++) sum[e] = 0;
            atn_tile_diagonals(p, LD, rows, cols, sum);
            for (int e = 0; e < rows + cols - 1; e++)
                CHECK_NEAR(sum[e], want[e], 1e-12);
        }
}

static void block_maxima(atn_ctx *cx)
{
    const int edges[] = {1, 7, 16, 48, 64, 100, 128};
    float x[700];
    atn_rng r = atn_rng_stream(2, "test/blocks", 0, 0);

    (void)cx;
    for (int j = 0; j < 700; j++) x[j] = (float)atn_rng_uniform(&r);
    for (size_t e = 0; e < ATN_LEN(edges); e++)
        for (int n = 0; n <= 700; n += 50) {
            const int before = n % 7 * edges[e] / 7;
            float got[800] = {0}, want[800] = {0};

            got[0] = want[0] = .9F;
            for (int j = 0; j < n; j++) {
                float *m = &want[(before + j) / edges[e]];
                *m = x[j] > *m ? x[j] : *m;
            }
            atn_row_block_max(x, n, before, edges[e], got);
            CHECK_EQ(memcmp(got, want, sizeof got), 0);
        }
}

/* 1.25 and -0.75 in units of 1/4: 5 and -3, added to 10 and 1. */
static void fixed_point(atn_ctx *cx)
{
    const double x[] = {1.25, -.75};
    uint64_t to[] = {10, 1};

    (void)cx;
    atn_fixed_add(to, x, 2, 4);
    CHECK_EQ(to[0], 15);
    CHECK_EQ((int64_t)to[1], -2);
}

CHECK_MAIN({"cover", cover}, {"sort", sort}, {"no mass", no_mass},
           {"no weights", no_weights}, {"span", span}, {"tiles", tiles},
           {"block maxima", block_maxima}, {"fixed point", fixed_point})
