/* tests/viz/test_sinks.c -- the sink map: keys, buckets, layers. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "viz/drawn.h"

#include "viz/palette.h"

/* rows heads, two a layer, x columns; the value of the column `hot` is 1, of the others .0001. */
static atn_table *map(atn_ctx *cx, atn_idx rows, atn_idx cols, atn_idx hot)
{
    float *m = calloc((size_t)(rows * cols), sizeof *m);
    atn_table *t = NULL;

    CHECK_OK(atn_table_create(cx, "sinks", &t));
    CHECK_OK(atn_table_add_col(cx, t, "layer", ATN_COL_I64, "", "", NULL));
    CHECK_OK(atn_table_add_col(cx, t, "head", ATN_COL_I64, "", "", NULL));
    for (atn_idx r = 0; r < rows; r++) {
        CHECK_OK(atn_table_add_row(cx, t));
        atn_table_set_i64(t, 0, r / 2);
        atn_table_set_i64(t, 1, r % 2);
        for (atn_idx c = 0; c < cols; c++) m[r * cols + c] = c == hot ? 1 : 1e-4f;
    }
    CHECK_OK(
        atn_table_set_matrix(cx, t, (atn_cmat){m, rows, cols, cols}, "head", "key"));
    free(m);
    return t;
}

static int hot_pixels(atn_ctx *cx, const atn_table *t)
{
    return drawn_pixels(cx, "sinks", t, atn_palette_find("viridis")[255]);
}

/* A bucket is drawn wider than a key: 10.4 points against about 4. */
static void buckets_stand_apart(atn_ctx *cx)
{
    atn_table *key = map(cx, 8, 67, 3), *bucket = map(cx, 8, 67, 65);

    CHECK_LE(500, hot_pixels(cx, key));
    CHECK_LE(2 * hot_pixels(cx, key), hot_pixels(cx, bucket));
    /* as many single keys as meta says */
    CHECK_OK(atn_table_set_meta(cx, key, "single", "2"));
    drawn_fails(cx, "sinks", key, "more columns");
    CHECK_OK(atn_table_set_meta(cx, bucket, "single", "60"));
    CHECK_LE(500, hot_pixels(cx, bucket));
    atn_table_destroy(cx, key);
    atn_table_destroy(cx, bucket);
}

/* 3000 rows are three rasters: every one has its colour, none is joined with another. */
static void many_rows(atn_ctx *cx)
{
    atn_table *t = map(cx, 3000, 5, 0);
    const int many = hot_pixels(cx, t);

    atn_table_destroy(cx, t);
    t = map(cx, 1, 5, 0);
    CHECK_LE(5 * hot_pixels(cx, t), many);
    atn_table_destroy(cx, t);
}

static void masked_is_grey(atn_ctx *cx)
{
    const float m[] = {.5f, NAN, NAN, .25f, .25f, NAN};
    atn_table *t = map(cx, 2, 3, 0);

    CHECK_EQ(drawn_pixels(cx, "sinks", t, DRAWN_MASKED), 0);
    CHECK_OK(atn_table_set_matrix(cx, t, (atn_cmat){m, 2, 3, 3}, "head", "key"));
    CHECK_LE(1000, drawn_pixels(cx, "sinks", t, DRAWN_MASKED));
    atn_table_destroy(cx, t);
}

static void refusals(atn_ctx *cx)
{
    const float m[4] = {0};
    atn_table *t = drawn_table(cx, "layer,head,x\n0,0,1\n0,1,2\n");

    drawn_fails(cx, "sinks", t, "no matrix");
    CHECK_OK(atn_table_set_matrix(cx, t, (atn_cmat){m, 1, 4, 4}, "head", "key"));
    drawn_fails(cx, "sinks", t, "no matrix");
    CHECK_OK(atn_table_set_matrix(cx, t, (atn_cmat){m, 2, 2, 2}, "head", "key"));
    CHECK_LE(0, hot_pixels(cx, t));
    atn_table_destroy(cx, t);
}

CHECK_MAIN({"buckets stand apart", buckets_stand_apart}, {"many rows", many_rows},
           {"masked is grey", masked_is_grey}, {"refusals", refusals})
