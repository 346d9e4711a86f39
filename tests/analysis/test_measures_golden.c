/* tests/analysis/test_measures_golden.c -- numbers of the cards B1 to B5, B11, B14, B15, each with
 * where it comes from.
 *
 * F4 is the matrix of TransformerLens' head-detector demo. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "measure_value.h"

enum { MOST = 128 };

static const float f4[] = {1,   0,   0,   0, .5f, .5f,  0,   0,
                           .2f, .3f, .5f, 0, .1f, .15f, .5f, .25f};

static atn_head given(const float *p, atn_idx nq, atn_idx nk, bool causal)
{
    return (atn_head){.p = {p, nq, nk, nk},
                      .nq = nq,
                      .nk = nk,
                      .sight = {.causal = causal, .key_last = nk}};
}

#define VALUE(h, spec, name) column_of(cx, &(h), NULL, 0, spec, name)

typedef struct golden {
    const char *spec, *name;
    double want;
} golden;

static void check_all(atn_ctx *cx, const atn_head *h, const int32_t *tokens,
                      const golden *g, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        print_message("%s of %s\n", g[i].name, g[i].spec);
        CHECK_NEAR(column_of(cx, h, tokens, 0, g[i].spec, g[i].name), g[i].want, 1e-6);
    }
}
#define CHECK_ALL(h, tokens, g) check_all(cx, &(h), tokens, g, sizeof(g) / sizeof *(g))

static void f4_rows(atn_ctx *cx)
{
    static const golden g[] = {
        /* .2 .3 .5: (-2 .2 + 2 .5) / 3 = .2; last row (-3 .1 - .15 + .25 + 3 .5) / 4 */
        {"gini", "gini_mean", (0 + 0 + .2 + .325) / 4},
        {"coverage", "coverage_50_mean_keys", 1},
        /* .5 + .3 = .8 is enough, .5 + .25 is not */
        {"coverage", "coverage_80_mean_keys", (1 + 2 + 2 + 3) / 4.},
        {"coverage", "coverage_90_mean_keys", (1 + 2 + 3 + 3) / 4.},
        {"coverage", "coverage_95_mean_keys", (1 + 2 + 3 + 4) / 4.},
        {"coverage", "coverage_90_density", (1 + 1 + 1 + .75) / 4},
        {"span", "span_50_mean_tokens", (0 + 0 + 0 + 1) / 4.},
        /* within 2 of the last row: .25 + .5 + .15 = .9 */
        {"span", "span_90_mean_tokens", (0 + 1 + 2 + 2) / 4.},
        {"span", "span_95_mean_tokens", (0 + 1 + 2 + 3) / 4.},
        /* diagonals 2.25, 1.3, .35, .1 */
        {"span", "span_share_0", 2.25 / 4},
        {"span", "span_share_1", 1.3 / 4},
        {"span", "span_share_2", .45 / 4},
        {"span", "span_share_4", 0},
        {"confidence", "confidence_mean", .625},
        /* row 0 has nothing else; 1, .5 / .8, .5 / .9 */
        {"confidence", "confidence_without_first", (1 + .625 + .5 / .9) / 3},
        {"confidence", "confidence_without_last", (1 + .5 + .5 + .5) / 4},
        {"uniformity", "uniform_kl_nats", (.068959 + .178321) / 4},
        /* .325 of all; without column 0: 1.3 - .5 of 4 - 1.8; without the diagonal: of 1.75 */
        {"detector", "detector_previous_mul", 1.3 / 4},
        {"detector:exclude_first=1", "detector_previous_mul", .8 / 2.2},
        {"detector:exclude_current=1", "detector_previous_mul", 1.3 / 1.75},
        {"detector", "detector_previous_abs", -.1},
        {"detector:exclude_first=1", "detector_previous_abs", -.1},
    };
    const atn_head h = given(f4, 4, 4, true);

    CHECK_ALL(h, NULL, g);
    CHECK_NEAR(column_of(cx, &h, NULL, 1, "confidence", "confidence_mean"), .5, 1e-7);
    CHECK(isnan(VALUE(h, "detector", "detector_induction_mul")));
    CHECK(isnan(VALUE(h, "detector", "detector_stripe")));
}

/* Column sums 1.8, .95, 1, .25 over 4, 3, 2, 1 rows: a = .45, .316667, .5, .25. */
static void f4_columns(atn_ctx *cx)
{
    static const golden g[] = {
        {"sink_columns", "sink_columns_first", .45},
        {"sink_columns", "sink_columns_top_key", 0},
        {"sink_columns", "sink_columns_top_mass", .45},
        {"sink_columns", "sink_columns_best_key", 2},
        {"sink_columns", "sink_columns_best_mass", .5},
        {"sink_columns", "sink_columns_count", 3},
        {"sink_columns:epsilon=0.4", "sink_columns_count", 2},
        /* ascending .25 .95 1 1.8: (-3 .25 - .95 + 1 + 3 1.8) / (4 4) */
        {"sink_columns", "sink_columns_gini", 4.7 / 16},
        {"stripes", "stripes_key", 2},
        {"stripes", "stripes_key_mass", .5},
        {"stripes", "stripes_key_share", 2.2 / 4},
        {"stripes", "stripes_offset_tokens", 2},
        {"stripes", "stripes_offset_mass", .35 / 2},
        {"stripes", "stripes_offset_share", .45 / 4},
    };
    const atn_head h = given(f4, 4, 4, true);

    CHECK_ALL(h, NULL, g);
}

/* b = 2: masses 2; .75 1.25. Half of the second row of blocks is in its second block; each of
 * the rows 2 and 3 needs key 2 for its half. */
static void f4_blocks(atn_ctx *cx)
{
    static const golden g[] = {
        {"blocks:size=2", "blocks_density", 1},
        {"blocks:size=2,coverage=0.5", "blocks_density", 2. / 3},
        {"blocks:size=2,coverage=0.5", "blocks_kept_mean_blocks", 1},
        {"blocks:size=2,coverage=0.5,force=1", "blocks_density", 1},
        {"blocks:size=2,coverage=0.5", "blocks_rows_density", 2. / 3},
        {"blocks:size=2,coverage=0.5", "blocks_inflation", 6. / 4},
        {"blocks:size=2", "blocks_max_density", 1},
        {"blocks:size=2,epsilon=0.4", "blocks_max_density", 2. / 3},
        {"blocks:size=2", "blocks_diagonal_share", 3.25 / 4},
        {"blocks:size=2", "blocks_first_share", 2.75 / 4},
        /* keys 0, 1, 2 | 3 in one row of blocks: 3.75 .25 */
        {"blocks:size=4,keys=3", "blocks_diagonal_share", .25 / 4},
        {"blocks:size=4,keys=3", "blocks_density", .5},
    };
    const atn_head h = given(f4, 4, 4, true);
    const atn_row_stats_opts opts = {.needs = ATN_NEED_BLOCKS, .block = 2};
    atn_row_stats *s = NULL;
    atn_head_stats rows;

    CHECK_ALL(h, NULL, g);
    CHECK_OK(atn_row_stats_run(cx, &h, 1, NULL, &opts, &s));
    rows = atn_row_stats_head(s, 0);
    CHECK_NEAR(rows.blocks[0], 2, 1e-7);
    CHECK_NEAR(rows.blocks[1], 0, 0);
    CHECK_NEAR(rows.blocks[2], .75, 1e-7);
    CHECK_NEAR(rows.blocks[3], 1.25, 1e-7);
    atn_row_stats_destroy(cx, s);
}

static atn_head uniform(atn_idx n, bool causal)
{
    static float zero[MOST];

    return (atn_head){.q = {zero, n, 1, 1},
                      .k = {zero, n, 1, 1},
                      .nq = n,
                      .nk = n,
                      .scale = 1,
                      .sight = {.causal = causal, .key_last = n}};
}

/* UC(n): a row of n_i keys needs ceil(c n_i) of them, its largest weight is 1 / n_i. Columns and
 * diagonals of UC(4) are both 25/12, 13/12, 7/12, 1/4. */
static void uniform_causal(atn_ctx *cx)
{
    static const golden g4[] = {
        {"stripes", "stripes_key", 1},
        {"stripes", "stripes_key_mass", 13. / 36},
        {"stripes", "stripes_key_share", 23. / 48},
        {"stripes", "stripes_offset_tokens", 2},
        {"stripes", "stripes_offset_mass", 7. / 24},
        {"stripes", "stripes_offset_share", 10. / 48},
        {"span", "span_share_0", 25. / 48},
    };
    static const double level[] = {.5, .8, .9, .95, .99, .999};
    static const char *const name[] = {
        "coverage_50_mean_keys", "coverage_80_mean_keys", "coverage_90_mean_keys",
        "coverage_95_mean_keys", "coverage_99_mean_keys", "coverage_999_mean_keys"};
    const atn_head four = uniform(4, true), h = uniform(64, true);
    double harmonic = 0;

    CHECK_ALL(four, NULL, g4);
    for (int l = 0; l < 6; l++) {
        double sum = 0;
        for (int n = 1; n <= 64; n++) sum += ceil(level[l] * n - 1e-9);
        CHECK_NEAR(VALUE(h, "coverage", name[l]), sum / 64, 0);
    }
    for (int n = 1; n <= 64; n++) harmonic += 1. / n;
    CHECK_NEAR(VALUE(h, "confidence", "confidence_mean"), harmonic / 64, 1e-7);
    CHECK_NEAR(VALUE(h, "sink_columns", "sink_columns_first"), 0.0741233, 1e-7);
    CHECK_NEAR(VALUE(h, "sink_columns", "sink_columns_count"), 0, 0);
    CHECK_NEAR(VALUE(h, "gini", "gini_mean"), 0, 1e-7);
    /* smoothing leaves them: ln(n!) / n */
    CHECK_NEAR(VALUE(h, "smoothed", "smoothed_mean_nats"), 3.205753, 1e-6);
    /* r = 20 over positions 20..63 and 19..63: mean of 1 / (i + 1) */
    harmonic = 0;
    for (int n = 21; n <= 64; n++) harmonic += 1. / n;
    CHECK_NEAR(VALUE(h, "detector:repeat=20", "detector_stripe"), harmonic / 44, 1e-7);
    CHECK_NEAR(VALUE(h, "detector:repeat=20", "detector_stripe_all"),
               (harmonic + 1. / 20) / 45, 1e-7);
}

/* Equal weights everywhere: what is largest is named by its lowest index. */
static void ties_by_index(atn_ctx *cx)
{
    static const golden g[] = {
        {"sink_columns", "sink_columns_top_key", 0},
        {"sink_columns", "sink_columns_best_key", 0},
        {"sink_columns", "sink_columns_top_mass", 1. / 64},
        {"stripes", "stripes_key", 1},
        {"stripes", "stripes_offset_tokens", 2},
        /* half of the keys, the first 32, are in 4 of 8 blocks of 8 */
        {"blocks:size=8,coverage=0.5", "blocks_rows_density", .5},
        {"blocks:size=8,coverage=0.5", "blocks_inflation", 1},
        {"blocks:size=8,coverage=0.5", "blocks_density", .5},
        {"sink_columns", "sink_columns_gini", 0},
    };
    const atn_head h = uniform(64, false);

    CHECK_ALL(h, NULL, g);
}

/* 2^-1 .. 2^-30, shuffled: 1 - 2^-k reaches .9, .95, .99, .999 at k = 4, 5, 7, 10. Entropy
 * 2 ln 2, participation (sum 2^-k)^2 / sum 4^-k = 3. */
static void geometric(atn_ctx *cx)
{
    static const golden g[] = {
        {"coverage", "coverage_50_mean_keys", 1},
        {"coverage", "coverage_80_mean_keys", 3},
        {"coverage", "coverage_90_mean_keys", 4},
        {"coverage", "coverage_95_mean_keys", 5},
        {"coverage", "coverage_99_mean_keys", 7},
        {"coverage", "coverage_999_mean_keys", 10},
        {"coverage", "coverage_999_density", 1. / 3},
        {"entropy", "entropy_mean_nats", 1.386294},
        {"entropy", "effective_keys", 4},
        {"entropy", "participation_ratio", 3},
        {"topk:k=3", "topk_mass", .875},
        {"confidence", "confidence_mean", .5},
    };
    float p[30] = {0};
    const atn_head h = given(p, 1, 30, false);

    for (int k = 0; k < 30; k++) p[k * 7 % 30] = ldexpf(1, -1 - k);
    CHECK_ALL(h, NULL, g);
}

/* Identity: one key a row, at distance 0. */
static void one_hot(atn_ctx *cx)
{
    static const golden g[] = {
        {"coverage", "coverage_50_mean_keys", 1},
        {"coverage", "coverage_999_mean_keys", 1},
        {"span", "span_95_mean_tokens", 0},
        {"span", "span_share_0", 1},
        {"confidence", "confidence_mean", 1},
        {"gini", "gini_mean", 1 - 1. / 16},
        {"entropy", "entropy_mean_nats", 0},
        {"sink_columns", "sink_columns_gini", 0},
        {"detector", "detector_previous_mul", 0},
        {"detector", "detector_previous_abs", 1 - 31. / 16},
        {"detector:exclude_current=1", "detector_previous_mul", 0},
        {"blocks:size=4", "blocks_diagonal_share", 1},
    };
    float p[256] = {0}, row[] = {0, 0, 1, 0};
    const atn_head h = given(p, 16, 16, false), four = given(row, 1, 4, false);
    const double q = .9999 + .0001 / 4, rest = .0001 / 4;

    for (int i = 0; i < 16; i++) p[17 * i] = 1;
    CHECK_ALL(h, NULL, g);
    CHECK_NEAR(VALUE(four, "smoothed", "smoothed_mean_nats"),
               -q * log(q) - 3 * rest * log(rest), 1e-9);
    CHECK_NEAR(VALUE(four, "smoothed", "smoothed_mean_nats"), 0.000870, 1e-6);
}

/* All weight on key 0: a_0 = 1, the others 0; Gini of the columns (n - 1) / n. */
static void sink_head(atn_ctx *cx)
{
    static const golden g[] = {
        {"sink_columns", "sink_columns_first", 1},
        {"sink_columns", "sink_columns_best_key", 0},
        {"sink_columns", "sink_columns_count", 1},
        {"sink_columns", "sink_columns_gini", 15. / 16},
        {"stripes", "stripes_key_mass", 0},
        {"stripes", "stripes_key_share", 0},
        {"blocks:size=4", "blocks_first_share", 1},
        {"detector:exclude_first=1", "detector_previous_mul", 0},
        /* of 16 rows one has key 0 just before it */
        {"detector", "detector_previous_mul", 1. / 16},
    };
    float p[256] = {0};
    const atn_head h = given(p, 16, 16, true);

    for (int i = 0; i < 16; i++) p[16 * i] = 1;
    CHECK_ALL(h, NULL, g);
    CHECK(isnan(VALUE(h, "confidence", "confidence_without_first")));
    CHECK(isnan(VALUE(h, "distance", "distance_without_first_tokens")));
}

/* Key 5 from position 5 on, the own position before; then the distance 7, key 0 before. The
 * rows 2 to 6 of the latter lie on five other diagonals. */
static void planted_lines(atn_ctx *cx)
{
    static const golden column[] = {
        {"stripes", "stripes_key", 5},
        {"stripes", "stripes_key_mass", 1},
        /* columns 1, 2, 3, 4 hold a row each */
        {"stripes", "stripes_key_share", 31. / 32},
        {"sink_columns", "sink_columns_top_key", 5},
        {"sink_columns", "sink_columns_top_mass", 1},
        {"sink_columns", "sink_columns_best_key", 5},
    };
    static const golden slash[] = {
        {"stripes", "stripes_offset_tokens", 7},
        {"stripes", "stripes_offset_mass", 1},
        {"stripes", "stripes_offset_share", 30. / 32},
        {"span", "span_share_4", 28. / 32},
    };
    float p[1024] = {0}, s[1024] = {0};
    const atn_head vertical = given(p, 32, 32, true), oblique = given(s, 32, 32, true);

    for (int i = 0; i < 32; i++) {
        p[32 * i + (i < 5 ? i : 5)] = 1;
        s[32 * i + (i < 7 ? 0 : i - 7)] = 1;
    }
    CHECK_ALL(vertical, NULL, column);
    CHECK_ALL(oblique, NULL, slash);
}

/* One query after 4100 keys, with one weight at each of 16 distances: bins that double, the last
 * from 1024 on. Half of the weight, the nearest 8, is within 127; all but the last within 4095. */
static void bins_of_distance(atn_ctx *cx)
{
    static const int far[] = {0,   1,   2,   3,    4,    7,    64,   127,
                              255, 256, 511, 1023, 1024, 2047, 4095, 4100};
    static const golden g[] = {
        {"span", "span_share_0", 1. / 16},     {"span", "span_share_1", 1. / 16},
        {"span", "span_share_2", 2. / 16},     {"span", "span_share_4", 2. / 16},
        {"span", "span_share_8", 0},           {"span", "span_share_32", 0},
        {"span", "span_share_64", 2. / 16},    {"span", "span_share_128", 1. / 16},
        {"span", "span_share_256", 2. / 16},   {"span", "span_share_512", 1. / 16},
        {"span", "span_share_1024", 4. / 16},  {"span", "span_50_mean_tokens", 127},
        {"span", "span_90_mean_tokens", 4095}, {"span", "span_95_mean_tokens", 4100}};
    static float p[4101];
    atn_head h = given(p, 1, 4101, true);

    h.sight.offset = 4100;
    for (int i = 0; i < 16; i++) p[4100 - far[i]] = 1 / 16.f;
    CHECK_ALL(h, NULL, g);
}

/* Blocks of 8 of 32 keys, uniform within: 4 of 16 blocks whatever is to be covered; half of it
 * needs 4 of the 8 keys. Then key 13 alone: one block a row, 8 entries for a key. */
static void block_diagonal_and_hot_column(atn_ctx *cx)
{
    static const golden diagonal[] = {
        {"blocks:size=8,coverage=0.5", "blocks_density", .25},
        {"blocks:size=8,coverage=0.999", "blocks_density", .25},
        {"blocks:size=8,coverage=0.999", "blocks_rows_density", .25},
        {"blocks:size=8", "blocks_kept_mean_blocks", 1},
        {"blocks:size=8,coverage=0.5", "blocks_inflation", 2},
        {"blocks:size=8,coverage=0.999", "blocks_inflation", 1},
        {"blocks:size=8", "blocks_diagonal_share", 1},
        {"blocks:size=8", "blocks_max_density", .25},
    };
    static const golden hot[] = {
        {"blocks:size=8", "blocks_density", .25},
        {"blocks:size=8", "blocks_kept_mean_blocks", 1},
        {"blocks:size=8", "blocks_rows_density", .25},
        {"blocks:size=8", "blocks_inflation", 8},
        {"blocks:size=8,force=1", "blocks_kept_mean_blocks", (2 + 2 + 3 + 3) / 4.},
        {"stripes", "stripes_key", 13},
        {"stripes", "stripes_key_mass", 1},
        {"stripes", "stripes_key_share", 1},
    };
    float p[1024] = {0}, c[1024] = {0};
    const atn_head d = given(p, 32, 32, false), h = given(c, 32, 32, false);

    for (int i = 0; i < 32; i++) {
        for (int j = 0; j < 8; j++) p[32 * i + i / 8 * 8 + j] = 1 / 8.f;
        c[32 * i + 13] = 1;
    }
    CHECK_ALL(d, NULL, diagonal);
    CHECK_ALL(h, NULL, hot);
}

/* Quotients of densities may be below 1. Of 64 causal rows three in four look at key 0, the fourth
 * is uniform: half of a row of 4 x 4 blocks is in its first block, 16 of 136; its rows need
 * keys_i / n_i = .186 of their keys. And n = 4, b = 2, rows 1 to 3 half on the keys 0 and 1: 2
 * of 3 blocks, against (1 + 1 + 2/3 + 1/2) / 4 of the keys. */
static void blocks_below_tokens(atn_ctx *cx)
{
    static const float half[] = {1,   0,   0, 0, .5f, .5f, 0, 0,
                                 .5f, .5f, 0, 0, .5f, .5f, 0, 0};
    static float p[64 * 64];
    const atn_head h = given(p, 64, 64, true), small = given(half, 4, 4, true);
    double tokens = 0;

    for (int i = 0; i < 64; i++) {
        const int n = i + 1;

        tokens += n % 4 == 0 ? .5 : 1. / n;
        p[64 * i] = 1;
        for (int j = 0; j < n && n % 4 == 0; j++) p[64 * i + j] = 1 / (float)n;
    }
    CHECK_NEAR(VALUE(h, "blocks:size=4,coverage=0.5", "blocks_density"), 16. / 136,
               1e-12);
    CHECK_NEAR(VALUE(h, "coverage", "coverage_50_density"), tokens / 64, 1e-12);
    CHECK_LE(16. / 136, tokens / 64);
    CHECK_LE(1, VALUE(h, "blocks:size=4,coverage=0.5", "blocks_inflation"));
    CHECK_NEAR(VALUE(small, "blocks:size=2,coverage=0.8", "blocks_rows_density"),
               2. / 3, 1e-12);
    CHECK_NEAR(VALUE(small, "coverage", "coverage_80_density"), 9.5 / 12, 1e-12);
    CHECK_LE(1, VALUE(small, "blocks:size=2,coverage=0.8", "blocks_inflation"));
}

/* ---- repeated tokens ---- */

enum { PREVIOUS_HEAD, INDUCTION_HEAD, DUPLICATE_HEAD, SINK_HEAD };

/* r tokens twice, `lead` first tokens of their own; rows that the head has no key for look at
 * themselves, or, of SINK_HEAD, at key 0. */
static void repeated_head(int what, int r, int lead, float *p, int32_t *tokens)
{
    const int n = 2 * r + lead;

    memset(p, 0, (size_t)(n * n) * sizeof *p);
    for (int i = 0; i < n; i++) {
        const bool again = i >= r + lead;
        int to = what == SINK_HEAD ? 0 : i;

        tokens[i] = i < lead ? 1000 : (i - lead) % r * 37 % 101;
        if (what == PREVIOUS_HEAD && i > 0) to = i - 1;
        if ((what == INDUCTION_HEAD || what == SINK_HEAD) && again) to = i - (r - 1);
        if (what == DUPLICATE_HEAD && again) to = i - r;
        p[n * i + to] = 1;
    }
}

static double score(atn_ctx *cx, int what, int r, int lead, const char *name)
{
    static float p[MOST * MOST];
    static int32_t tokens[MOST];
    const int n = 2 * r + lead;
    const atn_head h = given(p, n, n, true);

    repeated_head(what, r, lead, p, tokens);
    return column_of(cx, &h, tokens, 0, "detector", name);
}

static void detected_heads(atn_ctx *cx)
{
    /* (n - 1) / n: row 0 has no position before it */
    CHECK_NEAR(score(cx, PREVIOUS_HEAD, 20, 0, "detector_previous_mul"), 39. / 40,
               1e-12);
    CHECK_NEAR(score(cx, PREVIOUS_HEAD, 20, 0, "detector_previous_abs"), 39. / 40,
               1e-12);
    /* half of the rows; the other half is 1 apart where D has none, and D has one a row */
    CHECK_NEAR(score(cx, INDUCTION_HEAD, 20, 0, "detector_induction_mul"), .5, 1e-12);
    CHECK_NEAR(score(cx, INDUCTION_HEAD, 20, 0, "detector_induction_abs"), .5, 1e-12);
    CHECK_NEAR(score(cx, INDUCTION_HEAD, 20, 0, "detector_duplicate_mul"), 0, 0);
    /* 1 - (40 + 20) / 40 */
    CHECK_NEAR(score(cx, INDUCTION_HEAD, 20, 0, "detector_duplicate_abs"), -.5, 1e-12);
    CHECK_NEAR(score(cx, DUPLICATE_HEAD, 20, 0, "detector_duplicate_mul"), .5, 1e-12);
    CHECK_NEAR(score(cx, DUPLICATE_HEAD, 20, 0, "detector_duplicate_abs"), .5, 1e-12);
}

static void stripes_of_repeated_tokens(atn_ctx *cx)
{
    /* the entry i = r - 1 is no induction event: r / (r + 1) with it */
    CHECK_NEAR(score(cx, INDUCTION_HEAD, 20, 0, "detector_stripe"), 1, 1e-12);
    CHECK_NEAR(score(cx, INDUCTION_HEAD, 20, 0, "detector_stripe_all"), .952381, 1e-6);
    CHECK_NEAR(score(cx, INDUCTION_HEAD, 50, 0, "detector_stripe_all"), .980392, 1e-6);
    /* a sink on the first key makes just that entry a false one */
    CHECK_NEAR(score(cx, SINK_HEAD, 20, 0, "detector_stripe_all"), 1, 1e-12);
    /* behind a first token of its own position r holds the last of the first copy */
    CHECK_NEAR(score(cx, INDUCTION_HEAD, 20, 1, "detector_stripe"), 20 / 21., 1e-12);
    CHECK_NEAR(score(cx, INDUCTION_HEAD, 20, 1, "detector_stripe_all"), 20 / 22.,
               1e-12);
    CHECK(isnan(score(cx, INDUCTION_HEAD, 20, 2, "detector_stripe")));
}

/* All texts of two letters and up to 11 tokens: the period as its definition says. */
static void period_by_definition(atn_ctx *cx)
{
    static float p[121];

    for (int n = 1; n <= 11; n++)
        for (int text = 0; text < 1 << n; text++) {
            const atn_head h = given(p, n, n, true);
            atn_row_stats *s = NULL;
            int32_t tokens[11];
            int want = 0;

            for (int i = 0; i < n; i++) tokens[i] = text >> i & 1;
            for (int r = n / 2; r >= 2; r--) {
                bool all = true;
                for (int i = r + 1; i < n; i++) all &= tokens[i] == tokens[i - r];
                if (all) want = r;
            }
            CHECK_OK(
                atn_row_stats_run(cx, &h, 1, tokens, &(atn_row_stats_opts){0}, &s));
            CHECK_EQ(atn_row_stats_head(s, 0).period, want);
            atn_row_stats_destroy(cx, s);
        }
}

CHECK_MAIN({"F4, rows", f4_rows}, {"F4, columns", f4_columns},
           {"F4, blocks", f4_blocks}, {"uniform causal", uniform_causal},
           {"ties by index", ties_by_index}, {"geometric", geometric},
           {"one-hot", one_hot}, {"sink head", sink_head},
           {"planted lines", planted_lines}, {"bins of distance", bins_of_distance},
           {"block-diagonal and hot column", block_diagonal_and_hot_column},
           {"blocks below tokens", blocks_below_tokens},
           {"detected heads", detected_heads},
           {"stripes of repeated tokens", stripes_of_repeated_tokens},
           {"period by definition", period_by_definition})
