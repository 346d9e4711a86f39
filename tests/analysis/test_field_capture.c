/* tests/analysis/test_field_capture.c -- fields of captured heads, and what weight comes
 * from there, against dense products. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "analysis/field_capture.h"

#include <math.h>

#include "core/rng.h"
#include "p_capture.h"

enum { N = 14, LAYERS = 3, HEADS = 2, K = 2 };

/* Rows of weights, most of them on a few keys. */
static void random_rows(float p[LAYERS][HEADS][N][N])
{
    atn_rng rng = atn_rng_stream(3, "test/field_capture", 0, 0);

    for (int l = 0; l < LAYERS; l++)
        for (int h = 0; h < HEADS; h++)
            for (int i = 0; i < N; i++) {
                double w[N], z = 0;

                for (int j = 0; j <= i; j++) {
                    w[j] = exp(4 * atn_rng_normal(&rng));
                    z += w[j];
                }
                for (int j = 0; j < N; j++)
                    p[l][h][i][j] = j <= i ? (float)(w[j] / z) : 0;
            }
}

/* Among the K largest of the row. */
static bool is_kept(const float *row, int i, int j)
{
    int before = 0;

    for (int c = 0; c <= i; c++)
        before += row[c] > row[j] || (row[c] == row[j] && c < j);
    return j <= i && before < K;
}

typedef struct twin {
    bool reach[LAYERS + 1][N][N];
    double rollout[LAYERS + 1][N][N];
} twin;

static void dense(float p[LAYERS][HEADS][N][N], twin *t)
{
    memset(t, 0, sizeof *t);
    for (int i = 0; i < N; i++) {
        t->reach[0][i][i] = true;
        t->rollout[0][i][i] = 1;
    }
    for (int l = 0; l < LAYERS; l++)
        for (int i = 0; i < N; i++)
            for (int j = 0; j < N; j++) {
                const double step =
                    .25 * ((double)p[l][0][i][j] + (double)p[l][1][i][j]) +
                    .5 * (i == j);
                const bool edge =
                    i == j || is_kept(p[l][0][i], i, j) || is_kept(p[l][1][i], i, j);

                for (int k = 0; k < N; k++) {
                    t->rollout[l + 1][i][k] += step * t->rollout[l][j][k];
                    t->reach[l + 1][i][k] |= edge && t->reach[l][j][k];
                }
            }
}

static double cell(const atn_table *t, atn_idx row, const char *name)
{
    const int col = atn_table_find_col(t, name);

    if (col < 0) fail_msg("no column %s", name);
    return atn_table_get_f64(t, row, col);
}

static void check_depth(const atn_table *t, const twin *w, int k)
{
    int reached = 0, pairs = 0, contiguous = 0, fewest = 0;
    double inside = 0, distance = 0, sum = 0, sorted[N];

    for (int j = 0; j < N; j++) {
        const double mass = w->rollout[k][N - 1][j];

        reached += w->reach[k][N - 1][j];
        if (w->reach[k][N - 1][j]) inside += mass;
        distance += mass * (N - 1 - j);
        sorted[j] = mass;
    }
    for (int i = 0; i < N; i++)
        for (int j = 0; j < N; j++) pairs += w->reach[k][i][j];
    while (contiguous < N && w->reach[k][N - 1][N - 1 - contiguous]) contiguous++;
    for (; sum < .9; fewest++) {
        int best = 0;

        for (int j = 0; j < N; j++)
            if (sorted[j] > sorted[best]) best = j;
        sum += sorted[best];
        sorted[best] = 0;
    }
    CHECK_NEAR(cell(t, k, "depth"), k, 0);
    CHECK_NEAR(cell(t, k, "reached_blocks_last"), reached, 0);
    CHECK_NEAR(cell(t, k, "contiguous_blocks_last"), contiguous, 0);
    CHECK_NEAR(cell(t, k, "pairs_share"), (double)pairs / (N * (N + 1) / 2), 1e-12);
    CHECK_NEAR(cell(t, k, "rollout_reached_mass"), inside, 1e-6);
    CHECK_NEAR(cell(t, k, "rollout_distance_mean_tokens"), distance, 1e-5);
    CHECK_NEAR(cell(t, k, "rollout_tokens_90"), fewest, 0);
}

static atn_capture *capture(atn_ctx *cx, float p[LAYERS][HEADS][N][N],
                            atn_selection *sel)
{
    p_layer layers[LAYERS];
    atn_capture *c;

    for (int l = 0; l < LAYERS; l++)
        layers[l] = (p_layer){l, "", true, HEADS, N, N, p[l][0][0]};
    c = p_capture(cx, "field_capture", layers, LAYERS, NULL);
    CHECK_OK(atn_select(cx, c, &(atn_select_args){0}, sel));
    return c;
}

static void against_dense_products(atn_ctx *cx)
{
    static float p[LAYERS][HEADS][N][N];
    static twin w;
    atn_table *field, *patterns;
    atn_selection sel;
    atn_capture *c;
    atn_from from;

    random_rows(p);
    dense(p, &w);
    c = capture(cx, p, &sel);
    CHECK_OK(atn_from_read(cx, "topk:k=2", &from));
    {
        const atn_field_capture_opts o = {.from = &from,
                                          .pattern = "topk:k=2",
                                          .every = true,
                                          .walks = true,
                                          .rollout = true,
                                          .flow = true};

        CHECK_OK(atn_field_capture(cx, c, &sel, &o, &field, &patterns));
    }
    CHECK_EQ(atn_table_rows(field), LAYERS + 1);
    CHECK_EQ(atn_table_rows(patterns), LAYERS);
    for (int k = 0; k <= LAYERS; k++) {
        check_depth(field, &w, k);
        CHECK_LE(cell(field, k, "flow_reached_mass"), 1 + 1e-12);
        CHECK_LE(0, cell(field, k, "flow_reached_mass"));
    }
    atn_table_destroy(cx, field);
    atn_table_destroy(cx, patterns);
    atn_selection_release(cx, &sel);
    atn_capture_close(cx, c);
}

/* The masks show all: everything is reached at once, and so is all weight; depths beyond
 * the layers have no rollout. */
static void the_masks_reach_all(atn_ctx *cx)
{
    static float p[LAYERS][HEADS][N][N];
    const atn_field_capture_opts o = {.pattern = "masks",
                                      .depth = 5,
                                      .every = true,
                                      .diameter = true,
                                      .rollout = true,
                                      .flow = true};
    atn_table *field, *patterns;
    atn_selection sel;
    atn_capture *c;

    random_rows(p);
    c = capture(cx, p, &sel);
    CHECK_OK(atn_field_capture(cx, c, &sel, &o, &field, &patterns));
    for (int k = 1; k <= 5; k++) {
        CHECK_NEAR(cell(field, k, "reached_blocks_last"), N, 0);
        CHECK_NEAR(cell(field, k, "pairs_share"), 1, 0);
        if (k <= LAYERS) {
            CHECK_NEAR(cell(field, k, "rollout_reached_mass"), 1, 1e-12);
            CHECK_NEAR(cell(field, k, "flow_reached_mass"), 1, 1e-12);
        } else {
            CHECK(isnan(cell(field, k, "rollout_reached_mass")));
        }
    }
    CHECK_NEAR(cell(patterns, 2, "density_causal"), 1, 0);
    CHECK_NEAR(cell(patterns, 2, "diameter"), 1, 0);
    atn_table_destroy(cx, field);
    atn_table_destroy(cx, patterns);
    atn_selection_release(cx, &sel);
    atn_capture_close(cx, c);
}

static const char *text(const atn_table *t, atn_idx row, const char *name)
{
    return atn_table_get_str(t, row, atn_table_find_col(t, name));
}

/* One key a row, the one before: the last of N tokens is complete after N - 1 layers. Of
 * the layers that there are it is not known; repeated, as often as --depth asks for more
 * than there are, it is. */
static void layers_are_not_repeated_unasked(atn_ctx *cx)
{
    static float p[LAYERS][HEADS][N][N];
    atn_field_capture_opts o = {.pattern = "topk:k=1", .every = true, .diameter = true};
    atn_selection sel;
    atn_capture *c;
    atn_from from;

    memset(p, 0, sizeof p);
    for (int l = 0; l < LAYERS; l++)
        for (int h = 0; h < HEADS; h++)
            for (int i = 0; i < N; i++) p[l][h][i][i > 0 ? i - 1 : 0] = 1;
    c = capture(cx, p, &sel);
    CHECK_OK(atn_from_read(cx, "topk:k=1", &from));
    o.from = &from;
    for (int more = 0; more < 2; more++) {
        atn_table *field, *patterns;

        o.depth = more ? LAYERS + 1 : 0;
        CHECK_OK(atn_field_capture(cx, c, &sel, &o, &field, &patterns));
        CHECK_STR(text(patterns, 0, "complete_state_last"),
                  more ? "reached" : "unknown");
        CHECK_STR(text(patterns, 0, "diameter_state"), more ? "reached" : "unknown");
        if (more) {
            CHECK_NEAR(cell(patterns, 0, "complete_depth_last"), N - 1, 0);
            CHECK_NEAR(cell(patterns, 0, "diameter"), N - 1, 0);
        }
        atn_table_destroy(cx, field);
        atn_table_destroy(cx, patterns);
    }
    atn_selection_release(cx, &sel);
    atn_capture_close(cx, c);
}

static void other_keys_are_refused(atn_ctx *cx)
{
    static float p[6][N];
    const p_layer cross = {0, "cross", false, 1, 6, N, p[0]};
    const atn_field_capture_opts o = {.pattern = "masks"};
    atn_table *field, *patterns;
    atn_selection sel;
    atn_capture *c;

    for (int i = 0; i < 6; i++) p[i][i] = 1;
    c = p_capture(cx, "field_cross", &cross, 1, NULL);
    CHECK_OK(atn_select(cx, c, &(atn_select_args){0}, &sel));
    CHECK_FAILS(atn_field_capture(cx, c, &sel, &o, &field, &patterns), ATN_USAGE,
                "not the same tokens");
    CHECK(field == NULL && patterns == NULL);
    atn_selection_release(cx, &sel);
    atn_capture_close(cx, c);
}

CHECK_MAIN({"against dense products", against_dense_products},
           {"the masks reach all", the_masks_reach_all},
           {"layers are not repeated unasked", layers_are_not_repeated_unasked},
           {"other keys are refused", other_keys_are_refused})
