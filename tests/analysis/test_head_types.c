/* tests/analysis/test_head_types.c -- the rules, their order and thresholds, and a planted head of
 * every type. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "p_capture.h"

#include "analysis/head_types.h"
#include "core/rng.h"

enum { N = 64, HALF = 32, HEADS = 11 };

static int rule_of(const char *type)
{
    for (int i = 0; i < atn_n_head_rules; i++)
        if (strcmp(atn_head_rules[i].type, type) == 0) return i;
    fail_msg("no rule %s", type);
    return -1;
}

/* Scores where no rule holds: NaN does not hold. */
static void nothing(double *score)
{
    for (int i = 0; i < atn_n_head_rules; i++) score[i] = NAN;
}

static void order_of_the_rules(atn_ctx *cx)
{
    static const char *const order[] = {
        "sink",     "previous", "current", "induction",    "duplicate", "local",
        "vertical", "slash",    "uniform", "block_sparse", "mixed"};
    double score[16];

    (void)cx;
    CHECK_EQ(atn_n_head_rules, HEADS);
    nothing(score);
    CHECK_STR(atn_head_rules[atn_head_type(score, 512)].type, "mixed");
    /* from the last to the first: what is added wins */
    for (int i = HEADS - 1; i >= 0; i--) {
        CHECK_STR(atn_head_rules[i].type, order[i]);
        score[i] = atn_head_rules[i].below ? 0 : 1;
        CHECK_EQ(atn_head_type(score, 512), i);
    }
}

/* The card's numbers; a rule above holds beyond its threshold, one below at it, too. */
static void thresholds(atn_ctx *cx)
{
    static const struct {
        const char *type, *column;
        double at;
    } rules[] = {
        {"sink", "sink_columns_first", .3},    {"previous", "previous_mass", .4},
        {"current", "diagonal_mass", .4},      {"induction", "induction_score", .3},
        {"duplicate", "duplicate_score", .3},  {"local", "span_90_mean_tokens", 64},
        {"vertical", "stripes_key_mass", .3},  {"slash", "stripes_offset_mass", .3},
        {"uniform", "entropy_normalised", .8}, {"block_sparse", "blocks_density", .25}};
    double score[16];

    (void)cx;
    for (size_t k = 0; k < sizeof rules / sizeof *rules; k++) {
        const int i = rule_of(rules[k].type);
        const bool below = atn_head_rules[i].below;

        nothing(score);
        CHECK_STR(atn_head_rules[i].column, rules[k].column);
        CHECK_NEAR(atn_head_threshold(&atn_head_rules[i], 4096), rules[k].at, 0);
        score[i] = rules[k].at;
        CHECK_EQ(atn_head_type(score, 4096), below ? i : HEADS - 1);
        score[i] = rules[k].at * (1 + 1e-9);
        CHECK_EQ(atn_head_type(score, 4096), below ? HEADS - 1 : i);
    }
}

/* min(64, floor(nk / 8)) tokens. */
static void local_of_short_texts(atn_ctx *cx)
{
    const int i = rule_of("local");
    double score[16];

    (void)cx;
    CHECK_NEAR(atn_head_threshold(&atn_head_rules[i], 7), 0, 0);
    CHECK_NEAR(atn_head_threshold(&atn_head_rules[i], 439), 54, 0);
    CHECK_NEAR(atn_head_threshold(&atn_head_rules[i], 512), 64, 0);
    CHECK_NEAR(atn_head_threshold(&atn_head_rules[i], 131072), 64, 0);
    nothing(score);
    score[i] = 54;
    CHECK_EQ(atn_head_type(score, 439), i);
    CHECK_EQ(atn_head_type(score, 431), HEADS - 1);
}

/* ---- planted heads ---- */

/* Row i: share x on key `to`, the rest spread over all visible keys. */
static void row(float *p, int i, int to, float x)
{
    for (int j = 0; j <= i; j++) p[i * N + j] = (1 - x) / (float)(i + 1);
    p[i * N + to] += x;
}

static void plant(const char *type, float *p)
{
    atn_rng r = atn_rng_stream(3, "test/types", 0, 0);
    const bool late[] = {strcmp(type, "induction") == 0,
                         strcmp(type, "duplicate") == 0};

    for (int i = 0; i < N; i++) {
        row(p, i, i, 0); /* uniform */
        if (strcmp(type, "sink") == 0) row(p, i, 0, .5f);
        if (strcmp(type, "previous") == 0) row(p, i, i > 0 ? i - 1 : 0, .7f);
        if (strcmp(type, "current") == 0) row(p, i, i, .7f);
        if (late[0] && i >= HALF) row(p, i, i - HALF + 1, .7f);
        if (late[1] && i >= HALF) row(p, i, i - HALF, .7f);
        if (strcmp(type, "vertical") == 0 && i >= 9) row(p, i, 9, .6f);
        if (strcmp(type, "slash") == 0 && i >= 12) row(p, i, i - 12, .6f);
        for (int j = 0; j <= i && strcmp(type, "local") == 0; j++)
            p[i * N + j] = i - j < 6 ? 1 / (float)(i < 5 ? i + 1 : 6) : 0;
        /* rows of block a see the keys of block a / 2 */
        for (int j = 0; j <= i && strcmp(type, "block_sparse") == 0; j++)
            p[i * N + j] = j / 4 == i / 8 ? 1 / (float)(i < 4 ? i + 1 : 4) : 0;
        if (strcmp(type, "mixed") == 0) {
            double sum = 0;

            for (int j = 0; j <= i; j++)
                sum += p[i * N + j] = (float)exp(2 * atn_rng_normal(&r));
            for (int j = 0; j <= i; j++)
                p[i * N + j] = (float)((double)p[i * N + j] / sum);
        }
    }
}

static atn_capture *planted(atn_ctx *cx, const char *name, bool with_tokens)
{
    static float p[HEADS * N * N];
    int32_t tokens[N];
    const p_layer layer = {0, "", true, HEADS, N, N, p};

    memset(p, 0, sizeof p);
    for (int i = 0; i < N; i++) tokens[i] = i % HALF * 37 % 101;
    for (int h = 0; h < HEADS; h++) plant(atn_head_rules[h].type, p + h * N * N);
    return p_capture(cx, name, &layer, 1, with_tokens ? tokens : NULL);
}

static void types_of(atn_ctx *cx, const atn_capture *c, atn_table **heads,
                     atn_table **rules)
{
    char specs[ATN_HEAD_SPECS];
    atn_selection sel;
    atn_stats *stats = NULL;

    CHECK_OK(atn_select(cx, c, &(atn_select_args){0}, &sel));
    atn_head_types_measures(c, &sel, specs);
    CHECK(strstr(specs, "blocks:size=4")); /* 64 rows: 16 blocks */
    CHECK_OK(atn_stats_run(cx, c, &sel, &(atn_stats_opts){.measures = specs}, &stats));
    CHECK_OK(atn_head_types_tables(cx, stats, heads, rules));
    atn_stats_destroy(cx, stats);
    atn_selection_release(cx, &sel);
}

static void planted_heads(atn_ctx *cx)
{
    atn_capture *c = planted(cx, "types", true);
    atn_table *heads = NULL, *rules = NULL;
    int type, score, threshold;

    types_of(cx, c, &heads, &rules);
    type = atn_table_find_col(heads, "type");
    score = atn_table_find_col(heads, "score");
    threshold = atn_table_find_col(heads, "threshold");
    CHECK_EQ(atn_table_rows(heads), HEADS);
    CHECK_EQ(atn_table_rows(rules), HEADS);
    CHECK_STR(atn_table_get_meta(heads, "categories"),
              "sink,mixed,previous,current,induction,duplicate,local,vertical,slash,"
              "uniform,block_sparse");
    CHECK_STR(atn_table_get_meta(heads, "title"), "Types of heads");
    for (int h = 0; h < HEADS; h++) {
        const atn_head_rule *r = &atn_head_rules[h];

        print_message("%s\n", r->type);
        CHECK_STR(atn_table_get_str(heads, h, type), r->type);
        CHECK_STR(atn_table_get_str(rules, h, atn_table_find_col(rules, "type")),
                  r->type);
        CHECK_EQ(atn_table_get_i64(rules, h, atn_table_find_col(rules, "heads")), 1);
        CHECK_EQ(atn_table_get_i64(rules, h, atn_table_find_col(rules, "rule")), h + 1);
        if (!r->column) continue;
        /* the score is the rule's column, the threshold that of 64 keys */
        CHECK_NEAR(atn_table_get_f64(heads, h, score),
                   atn_table_get_f64(heads, h, atn_table_find_col(heads, r->column)),
                   0);
        CHECK_NEAR(atn_table_get_f64(heads, h, threshold), atn_head_threshold(r, N), 0);
    }
    /* the induction head lies on one distance as well: the rules' order decides */
    CHECK_LE(.3, atn_table_get_f64(heads, rule_of("induction"),
                                   atn_table_find_col(heads, "stripes_offset_mass")));
    atn_table_destroy(cx, heads);
    atn_table_destroy(cx, rules);
    atn_capture_close(cx, c);
}

/* Without token ids there is no induction: those heads are what they look like. */
static void without_tokens(atn_ctx *cx)
{
    atn_capture *c = planted(cx, "types_bare", false);
    atn_table *heads = NULL, *rules = NULL;

    types_of(cx, c, &heads, &rules);
    CHECK_STR(atn_table_get_str(heads, rule_of("induction"),
                                atn_table_find_col(heads, "type")),
              "slash");
    CHECK_STR(atn_table_get_str(heads, rule_of("previous"),
                                atn_table_find_col(heads, "type")),
              "previous");
    atn_table_destroy(cx, heads);
    atn_table_destroy(cx, rules);
    atn_capture_close(cx, c);
}

CHECK_MAIN({"order of the rules", order_of_the_rules}, {"thresholds", thresholds},
           {"local of short texts", local_of_short_texts},
           {"planted heads", planted_heads}, {"without tokens", without_tokens})
