/* tests/viz/test_figures.c -- palettes, scales, ticks, labels; every figure in every
 * format. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "check.h"

#include "viz/drawn.h"
#include "viz/palette.h"

/* BIDS/colormap, colormaps.py: entries 0, 64, 128, 192, 255 of viridis. */
static void viridis_golden(atn_ctx *cx)
{
    static const int want[5][4] = {{0, 68, 1, 84},
                                   {64, 59, 82, 139},
                                   {128, 33, 145, 140},
                                   {192, 94, 201, 98},
                                   {255, 253, 231, 37}};
    const unsigned char(*v)[3] = atn_palette_find("viridis");

    (void)cx;
    for (int i = 0; i < 5; i++)
        for (int c = 0; c < 3; c++) CHECK_EQ(v[want[i][0]][c], want[i][c + 1]);
    CHECK(atn_palette_find("jet") == NULL);
    CHECK(atn_palette_at(v, -1) == v[0] && atn_palette_at(v, 7) == v[255] &&
          atn_palette_at(v, NAN) == v[0]);
}

static void scales_golden(atn_ctx *cx)
{
    const float x[] = {.5f, 0, NAN, .001f, .25f, 1e-9f};
    const atn_cmat m = {x, 2, 3, 3};
    atn_scale s;

    CHECK_OK(atn_scale_fit(cx, m, ATN_SCALE_LINEAR, 1e-4, 0, "viridis", &s));
    CHECK(s.min == 0 && s.max == .5 && s.n == 5);
    CHECK_NEAR(atn_scale_at(&s, .25), .5, 1e-12);
    CHECK(isnan(atn_scale_at(&s, NAN)));
    /* log10 from 1e-4 to .5: .001 is one decade of 3.69897 */
    CHECK_OK(atn_scale_fit(cx, m, ATN_SCALE_LOG, 1e-4, 0, "viridis", &s));
    CHECK_NEAR(atn_scale_at(&s, .001), 1 / 3.6989700, 1e-6);
    CHECK_NEAR(atn_scale_at(&s, 1e-9), 0, 0);
    CHECK_NEAR(atn_scale_at(&s, .5), 1, 1e-12);
    /* ranks of 0, 1e-9, .001, .25, .5: 0, 1/4, .. 1 */
    CHECK_OK(atn_scale_fit(cx, m, ATN_SCALE_RANK, 1e-4, 0, "cividis", &s));
    CHECK_NEAR(atn_scale_at(&s, (double)x[3]), .5, 1e-12);
    CHECK_NEAR(atn_scale_at(&s, .5), 1, 1e-12);
    CHECK_OK(atn_scale_fit(cx, m, ATN_SCALE_LINEAR, 1e-4, .5, "viridis", &s));
    CHECK_NEAR(s.high, .001, 1e-9); /* the median */
    CHECK_FAILS(atn_scale_fit(cx, m, ATN_SCALE_LINEAR, 1e-4, 0, "jet", &s), ATN_USAGE,
                "viridis");
}

static void ticks_golden(atn_ctx *cx)
{
    double t[16];

    (void)cx;
    CHECK_EQ(atn_nice_ticks(0, 1, 4, t), 3);
    CHECK_NEAR(t[1], .5, 1e-12);
    CHECK_EQ(atn_nice_ticks(0, 200, 4, t), 5);
    CHECK_NEAR(t[3], 150, 0);
    CHECK_EQ(atn_nice_ticks(1, 1, 4, t), 0);
    CHECK_EQ(atn_nice_ticks(0, INFINITY, 4, t), 0);
}

static void labels_are_tame(atn_ctx *cx)
{
    char out[96];

    (void)cx;
    atn_token_label(" of", 14, out, sizeof out);
    CHECK_STR(out, "\xc2\xb7of");
    atn_token_label("a\nb\x01", 14, out, sizeof out);
    CHECK_STR(out, "a\\nb\\x01");
    atn_token_label("x\xe2\x80\xaey", 14, out, sizeof out);
    CHECK(strstr(out, "\xe2\x80\xae") == NULL);
    atn_token_label("abcdefgh", 4, out, sizeof out);
    CHECK_STR(out, "abcd\xe2\x80\xa6");
    atn_token_label("\xff\xfe", 4, out, sizeof out);
    CHECK_STR(out, "\\xFF\\xFE");
    atn_token_label("\xe4\xbd\xa0\xe5\xa5\xbd", 14, out, sizeof out);
    CHECK_STR(out, "\xe4\xbd\xa0\xe5\xa5\xbd");
    /* a joiner inside an emoji stays, and one picture counts once: man, joiner,
     * computer */
    atn_token_label("\xf0\x9f\x91\xa8\xe2\x80\x8d\xf0\x9f\x92\xbb!?", 2, out,
                    sizeof out);
    CHECK_STR(out, "\xf0\x9f\x91\xa8\xe2\x80\x8d\xf0\x9f\x92\xbb!\xe2\x80\xa6");
    atn_token_label("a\xe2\x80\x8d"
                    "b",
                    14, out, sizeof out);
    CHECK_STR(out, "a\xe2\x97\xa6"
                   "b");
}

/* Row i of n (odd) is a node of a tree: (n + 1) / 2 leaves, then each leaf joins the
 * merge before. */
static void set_node(atn_table *t, int col, atn_idx i, atn_idx n)
{
    const atn_idx leaves = (n + 1) / 2;

    atn_table_set_i64(t, col, i);
    if (i < leaves) return;
    atn_table_set_i64(t, col + 1, i == leaves ? 0 : i - 1);
    atn_table_set_i64(t, col + 2, i - leaves + 1);
    atn_table_set_f64(t, col + 3, (double)(i - leaves + 1));
}

/* A table that every figure accepts: a matrix, tokens, layer pairs, values, a tree. */
static atn_table *make_table(atn_ctx *cx, atn_idx n, const char *token)
{
    static const struct {
        const char *name;
        atn_col_type type;
    } tree[] = {{"node", ATN_COL_I64},
                {"left", ATN_COL_I64},
                {"right", ATN_COL_I64},
                {"height", ATN_COL_F64}};
    static const char *const curves[] = {"distance_first_tokens",
                                         "mass_share",
                                         "coverage",
                                         "share_mean",
                                         "depth",
                                         "accuracy_last",
                                         "lambda_low",
                                         "energy_share",
                                         "iteration",
                                         "energy",
                                         "executed_share",
                                         "output_error_relative",
                                         "temperature",
                                         "error_matrix",
                                         "row_entropy_mean_nats",
                                         "x_max_tensor",
                                         "d",
                                         "speedup",
                                         "density",
                                         "flop_per_byte",
                                         "tflops",
                                         "begin_ms",
                                         "end_ms",
                                         "published",
                                         "predicted"};
    atn_table *t = NULL;
    float *m = calloc((size_t)(n * n), sizeof *m);
    int cols[9], curve = 0, node = 0;
    char method[32];

    CHECK_OK(atn_table_create(cx, "test", &t));
    CHECK_OK(atn_table_add_col(cx, t, "layer", ATN_COL_I64, "", "layer", &cols[0]));
    CHECK_OK(atn_table_add_col(cx, t, "head", ATN_COL_I64, "", "head", &cols[1]));
    CHECK_OK(atn_table_add_col(cx, t, "layer_a", ATN_COL_I64, "", "", &cols[2]));
    CHECK_OK(atn_table_add_col(cx, t, "layer_b", ATN_COL_I64, "", "", &cols[3]));
    CHECK_OK(atn_table_add_col(cx, t, "cos_elem", ATN_COL_F64, "", "cosine", &cols[4]));
    CHECK_OK(atn_table_add_col(cx, t, "token", ATN_COL_STR, "", "", &cols[5]));
    CHECK_OK(atn_table_add_col(cx, t, "method", ATN_COL_STR, "", "", &cols[6]));
    CHECK_OK(atn_table_add_col(cx, t, "step", ATN_COL_STR, "", "", &cols[7]));
    CHECK_OK(atn_table_add_col(cx, t, "sm", ATN_COL_I64, "", "", &cols[8]));
    for (size_t k = 0; k < ATN_LEN(curves); k++)
        CHECK_OK(atn_table_add_col(cx, t, curves[k], ATN_COL_F64, "", "",
                                   k ? NULL : &curve));
    for (size_t k = 0; k < ATN_LEN(tree); k++)
        CHECK_OK(atn_table_add_col(cx, t, tree[k].name, tree[k].type, "", "",
                                   k ? NULL : &node));
    for (atn_idx i = 0; i < n; i++) {
        CHECK_OK(atn_table_add_row(cx, t));
        set_node(t, node, i, n);
        for (int k = 0; k < (int)ATN_LEN(curves); k++)
            atn_table_set_f64(t, curve + k, (double)(i % 4 + 1) / 8);
        atn_table_set_i64(t, cols[0], i / 2);
        atn_table_set_i64(t, cols[1], i % 2);
        atn_table_set_i64(t, cols[2], i % 3);
        atn_table_set_i64(t, cols[3], i / 3);
        atn_table_set_i64(t, cols[8], i % 3);
        atn_table_set_f64(t, cols[4], (double)i / (double)n);
        CHECK_OK(atn_table_set_str(cx, t, cols[5], token));
        snprintf(method, sizeof method, "method-%lld", (long long)i);
        CHECK_OK(atn_table_set_str(cx, t, cols[6], method));
        CHECK_OK(atn_table_set_str(cx, t, cols[7], method));
        /* whole numbers: reach takes no others */
        for (atn_idx j = 0; j <= i; j++) m[i * n + j] = (float)((i + j) % 2);
        for (atn_idx j = i + 1; j < n; j++) m[i * n + j] = NAN;
    }
    CHECK_OK(atn_table_set_matrix(cx, t, (atn_cmat){m, n, n, n}, "query", "key"));
    CHECK_OK(atn_table_set_meta(cx, t, "title", "A title <b> & more"));
    CHECK_OK(atn_table_set_meta(cx, t, "cells_q", "1"));
    free(m);
    return t;
}

static size_t read_file(const char *path, char *data, size_t room)
{
    FILE *f = fopen(path, "rb");
    size_t n;

    CHECK(f != NULL);
    n = fread(data, 1, room, f);
    fclose(f);
    return n;
}

/* Tags of an SVG open and close; no number is NaN. */
static void check_svg(const char *svg)
{
    int depth = 0;

    CHECK(strstr(svg, "nan") == NULL);
    for (const char *at = strchr(svg, '<'); at; at = strchr(at + 1, '<')) {
        const char *end = strchr(at, '>');
        CHECK(end != NULL);
        if (at[1] == '/')
            depth--;
        else if (at[1] != '?' && at[1] != '!' && end[-1] != '/')
            depth++;
    }
    CHECK_EQ(depth, 0);
}

static void every_figure_every_format(atn_ctx *cx)
{
    static const char *const ends[] = {"svg", "pdf", "png"};
    static char data[4 << 20], again[4 << 20];
    const char *dir = check_scratch("figures");
    atn_table *t = make_table(cx, 9, "tok");

    setenv("SOURCE_DATE_EPOCH", "1700000000", 1);
    for (int f = 0; atn_figures[f]; f++)
        for (int e = 0; e < 3; e++) {
            const atn_figure_opts o = {.dpi = e == 2 ? 60 : 0};
            char path[700];
            size_t n;

            snprintf(path, sizeof path, "%s/%s.%s", dir, atn_figures[f]->id, ends[e]);
            CHECK_OK(atn_figure_draw(cx, atn_figures[f], t, &o, path, false));
            n = read_file(path, data, sizeof data - 1);
            CHECK_LE(500, (double)n);
            data[n] = '\0';
            if (e == 0) check_svg(data);
            if (e == 1) CHECK(memcmp(data, "%PDF-", 5) == 0);
            if (e == 2) CHECK(memcmp(data, "\x89PNG", 4) == 0);
            CHECK_FAILS(atn_figure_draw(cx, atn_figures[f], t, &o, path, false),
                        ATN_CANTCREATE, "--force");
            CHECK_OK(atn_figure_draw(cx, atn_figures[f], t, &o, path, true));
            if (e > 0) CHECK_EQ(read_file(path, again, sizeof again), n);
            /* cairo numbers the parts of an SVG through the life of a process: that
             * format is compared between two runs of the program (tests/cli) */
            if (e > 0) CHECK(memcmp(data, again, n) == 0);
        }
    unsetenv("SOURCE_DATE_EPOCH");
    atn_table_destroy(cx, t);
}

/* A table from disk gives the same picture, byte by byte, as the one that was saved. */
static void figures_redraw_from_disk(atn_ctx *cx)
{
    static char data[2][4 << 20];
    const char *dir = check_scratch("redraw");
    atn_table *t = make_table(cx, 9, "tok"), *loaded = NULL;
    char path[700], png[720];

    snprintf(path, sizeof path, "%s/table.csv", dir);
    CHECK_OK(atn_table_save(cx, t, NULL, ATN_TABLE_CSV, path, false));
    CHECK_OK(atn_table_load(cx, path, &loaded));
    for (int f = 0; atn_figures[f]; f++) {
        size_t n[2];

        for (int k = 0; k < 2; k++) {
            snprintf(png, sizeof png, "%s/%d.png", dir, k);
            CHECK_OK(atn_figure_draw(cx, atn_figures[f], k ? loaded : t,
                                     &(atn_figure_opts){.dpi = 60}, png, true));
            n[k] = read_file(png, data[k], sizeof data[k]);
        }
        print_message("%s\n", atn_figures[f]->id);
        CHECK_EQ(n[0], n[1]);
        CHECK(memcmp(data[0], data[1], n[0]) == 0);
    }
    atn_table_destroy(cx, t);
    atn_table_destroy(cx, loaded);
}

/* A large matrix is pooled into one embedded raster: the SVG stays small. */
static void large_matrix_stays_small(atn_ctx *cx)
{
    atn_table *t = make_table(cx, 2048, "x");
    const atn_figure_opts o = {0};
    char *svg = NULL;
    size_t n = 0;

    CHECK_OK(atn_figure_svg(cx, atn_figure_find("heatmap"), t, &o, &svg, &n));
    CHECK_LE((double)n, 2 << 20);
    check_svg(svg);
    atn_free(cx, svg);
    atn_table_destroy(cx, t);
}

/* The letters of a drawn matrix of 2 x 3 beside a column of texts; NULL = without
 * one. */
static int letters(atn_ctx *cx, const char *column, int texts)
{
    static const float x[] = {.1f, .2f, .7f, .3f, .3f, .4f};
    atn_table *t = NULL;
    char *svg = NULL;
    size_t n = 0;
    int uses = 0;

    CHECK_OK(atn_table_create(cx, "heatmap", &t));
    if (column) CHECK_OK(atn_table_add_col(cx, t, column, ATN_COL_STR, "", NULL, NULL));
    for (int i = 0; column && i < 3; i++) {
        CHECK_OK(atn_table_add_row(cx, t));
        if (i < texts) CHECK_OK(atn_table_set_str(cx, t, 0, "wort"));
    }
    CHECK_OK(atn_table_set_matrix(cx, t, (atn_cmat){x, 2, 3, 3}, "query", "key"));
    CHECK_OK(atn_figure_svg(cx, atn_figure_find("heatmap"), t, &(atn_figure_opts){0},
                            &svg, &n));
    check_svg(svg);
    for (const char *at = svg; (at = strstr(at, "<use")); at++) uses++;
    atn_free(cx, svg);
    atn_table_destroy(cx, t);
    return uses;
}

/* A query_token names the rows where no more of them have texts: a word of four letters
 * stands where a digit was, of 2 queries or 3 keys. */
static void queries_have_names(atn_ctx *cx)
{
    const int bare = letters(cx, NULL, 0);

    CHECK_EQ(letters(cx, "query_token", 2), bare + 2 * 3);
    CHECK_EQ(letters(cx, "query_token", 3), bare);
    CHECK_EQ(letters(cx, "token", 3), bare + 3 * 3);
}

/* Of the same layer in two stacks the bars stand apart: the bars of one layer are wider
 * than those of two, between which there is room. */
static void bars_of_stacks_stand_apart(atn_ctx *cx)
{
    static const unsigned char bar[3] = {0, 114, 178};
    atn_table *one = drawn_table(cx, "layer,head,x,y\n0,0,,1\n0,0,,1\n");
    atn_table *two = drawn_table(cx, "stack,layer,head,x,y\ncross,0,0,,1\n"
                                     "encoder,0,0,,1\n");
    const atn_figure_opts o = {0};

    CHECK_LE(100 + drawn_in(cx, "bars", two, &o, bar, DRAWN_ALL),
             drawn_in(cx, "bars", one, &o, bar, DRAWN_ALL));
    atn_table_destroy(cx, one);
    atn_table_destroy(cx, two);
}

static void odd_tables(atn_ctx *cx)
{
    static const float cells[][4] = {
        {0, 0, 0, 0}, {NAN, NAN, NAN, NAN}, {1e-30f, 1e30f, -1e30f, INFINITY}};
    const atn_figure_opts opts[] = {
        {0},
        {.scale = "log"},
        {.scale = "rank", .palette = "cividis"},
        {.params = "clip=0.5"},
        {.palette = "diverging", .title = "T", .width_in = 6, .font_pt = 20}};

    for (size_t i = 0; i < ATN_LEN(cells); i++)
        for (size_t k = 0; k < ATN_LEN(opts); k++) {
            atn_table *t = NULL;
            char *svg = NULL;
            size_t n = 0;

            CHECK_OK(atn_table_create(cx, "odd", &t));
            CHECK_OK(atn_table_set_matrix(cx, t, (atn_cmat){cells[i], 2, 2, 2}, "query",
                                          "key"));
            CHECK_OK(
                atn_figure_svg(cx, atn_figure_find("heatmap"), t, &opts[k], &svg, &n));
            check_svg(svg);
            atn_free(cx, svg);
            atn_table_destroy(cx, t);
        }
}

static void refusals(atn_ctx *cx)
{
    atn_table *t = make_table(cx, 5, "x"), *empty = NULL;
    const atn_figure *heatmap = atn_figure_find("heatmap");
    char *svg = NULL;
    size_t n = 0;

    CHECK_OK(atn_table_create(cx, "nothing", &empty));
    for (int f = 0; atn_figures[f]; f++)
        CHECK_FAILS(
            atn_figure_svg(cx, atn_figures[f], empty, &(atn_figure_opts){0}, &svg, &n),
            ATN_USAGE, "nothing");
    CHECK_FAILS(atn_figure_draw(cx, heatmap, t, &(atn_figure_opts){0}, "x.jpg", false),
                ATN_USAGE, ".svg");
    CHECK_FAILS(
        atn_figure_svg(cx, heatmap, t, &(atn_figure_opts){.width_in = 1e9}, &svg, &n),
        ATN_USAGE, "inches");
    CHECK_FAILS(atn_figure_svg(cx, heatmap, t,
                               &(atn_figure_opts){.width_in = 59, .dpi = 2000}, &svg,
                               &n),
                ATN_USAGE, "32767");
    CHECK_FAILS(
        atn_figure_svg(cx, heatmap, t, &(atn_figure_opts){.scale = "cubic"}, &svg, &n),
        ATN_USAGE, "cubic");
    CHECK_FAILS(
        atn_figure_svg(cx, heatmap, t, &(atn_figure_opts){.palette = "jet"}, &svg, &n),
        ATN_USAGE, "jet");
    CHECK_FAILS(atn_figure_svg(cx, heatmap, t, &(atn_figure_opts){.params = "flor=1"},
                               &svg, &n),
                ATN_USAGE, "flor");
    CHECK_FAILS(atn_figure_svg(cx, heatmap, t,
                               &(atn_figure_opts){.scale = "rank", .params = "clip=.9"},
                               &svg, &n),
                ATN_USAGE, "clip");
    CHECK_FAILS(atn_figure_svg(cx, heatmap, t, &(atn_figure_opts){.params = "floor=.1"},
                               &svg, &n),
                ATN_USAGE, "--scale log");
    CHECK_FAILS(atn_figure_svg(cx, atn_figure_find("bars"), t,
                               &(atn_figure_opts){.scale = "log"}, &svg, &n),
                ATN_USAGE, "--scale");
    CHECK_FAILS(atn_figure_svg(cx, atn_figure_find("similarity"), t,
                               &(atn_figure_opts){.params = "from=.95"}, &svg, &n),
                ATN_USAGE, "from");
    CHECK_FAILS(
        atn_figure_draw(cx, heatmap, t, &(atn_figure_opts){.dpi = 50}, "x.svg", false),
        ATN_USAGE, "--dpi");
    /* too small for its text: refused, in words, by every figure */
    for (int f = 0; atn_figures[f]; f++) {
        CHECK_FAILS(atn_figure_svg(cx, atn_figures[f], t,
                                   &(atn_figure_opts){.width_in = .4}, &svg, &n),
                    ATN_USAGE, "--width");
        CHECK_FAILS(atn_figure_svg(cx, atn_figures[f], t,
                                   &(atn_figure_opts){.height_in = .4}, &svg, &n),
                    ATN_USAGE, "--height");
    }
    CHECK(atn_figure_find("nope") == NULL);
    atn_table_destroy(cx, t);
    atn_table_destroy(cx, empty);
}

/* A constant matrix has one rank, so its bar has one tick; a clipped one ends at its
 * quantile. */
static void bar_ticks_golden(atn_ctx *cx)
{
    const float same[] = {.5f, .5f, .5f, .5f}, one = 3, steps[] = {0, 1, 2, 3, 10};
    double at[16], value[16];
    atn_scale s;
    int n;

    CHECK_OK(atn_scale_fit(cx, (atn_cmat){same, 2, 2, 2}, ATN_SCALE_RANK, 1e-4, 0,
                           "viridis", &s));
    CHECK_EQ(atn_scale_ticks(&s, at, value), 1);
    CHECK_NEAR(value[0], .5, 0);
    CHECK_OK(atn_scale_fit(cx, (atn_cmat){&one, 1, 1, 1}, ATN_SCALE_RANK, 1e-4, 0,
                           "viridis", &s));
    CHECK_EQ(atn_scale_ticks(&s, at, value), 1);
    CHECK_OK(atn_scale_fit(cx, (atn_cmat){steps, 1, 5, 5}, ATN_SCALE_RANK, 1e-4, 0,
                           "viridis", &s));
    CHECK_EQ(atn_scale_ticks(&s, at, value), 5);
    CHECK_NEAR(at[3], .75, 1e-12);
    CHECK_NEAR(value[4], 10, 0);
    /* the quantile .75 of 0, 1, 2, 3, 10 is 3 */
    CHECK_OK(atn_scale_fit(cx, (atn_cmat){steps, 1, 5, 5}, ATN_SCALE_LINEAR, 1e-4, .75,
                           "viridis", &s));
    n = atn_scale_ticks(&s, at, value);
    CHECK_NEAR(value[n - 1], 3, 1e-12);
    CHECK_NEAR(at[n - 1], 1, 1e-12);
    CHECK_LE(at[n - 2], .92);
}

/* A table of one row a head, with a value and n x n stacked cells. */
static atn_table *heads_table(atn_ctx *cx, int layers, int heads, atn_idx n)
{
    const atn_idx rows = (atn_idx)layers * heads;
    atn_table *t = NULL;
    float *m = calloc((size_t)(rows * n * n), sizeof *m);
    char cells[32];

    CHECK_OK(atn_table_create(cx, "heads", &t));
    CHECK_OK(atn_table_add_col(cx, t, "layer", ATN_COL_I64, "", "", NULL));
    CHECK_OK(atn_table_add_col(cx, t, "head", ATN_COL_I64, "", "", NULL));
    CHECK_OK(atn_table_add_col(cx, t, "value", ATN_COL_F64, "", "", NULL));
    for (int i = 0; i < rows; i++) {
        CHECK_OK(atn_table_add_row(cx, t));
        atn_table_set_i64(t, 0, i / heads);
        atn_table_set_i64(t, 1, i % heads);
        atn_table_set_f64(t, 2, 1);
    }
    snprintf(cells, sizeof cells, "%lld", (long long)n);
    CHECK_OK(atn_table_set_meta(cx, t, "cells_q", cells));
    CHECK_OK(atn_table_set_matrix(cx, t, (atn_cmat){m, rows * n, n, n}, "q", "k"));
    free(m);
    return t;
}

/* The number after `key` at or behind `from`; NAN = there is none. */
static double number_after(const char *from, const char *key)
{
    const char *at = strstr(from, key);

    return at ? strtod(at + strlen(key), NULL) : NAN;
}

static char *svg_of(atn_ctx *cx, const char *figure, const atn_table *t)
{
    char *svg = NULL;
    size_t n = 0;

    CHECK_OK(atn_figure_svg(cx, atn_figure_find(figure), t, &(atn_figure_opts){0}, &svg,
                            &n));
    check_svg(svg);
    return svg;
}

/* Models of every shape: a page stays a page, and all its rasters together stay below 6
 * Mi pixels, whatever the cells. */
static void pages_of_heads_stay_pages(atn_ctx *cx)
{
    static const int shapes[][3] = {
        {80, 64, 4}, {4, 200, 4}, {120, 2, 8}, {12, 12, 64}, {3, 3, 700}};

    for (size_t i = 0; i < ATN_LEN(shapes); i++) {
        atn_table *t = heads_table(cx, shapes[i][0], shapes[i][1], shapes[i][2]);
        char *svg = svg_of(cx, "heads", t);
        double pixels = 0;

        CHECK_LE(number_after(svg, "height=\""), 1.5 * number_after(svg, "width=\""));
        for (const char *at = strstr(svg, "<image"); at; at = strstr(at + 1, "<image"))
            pixels += number_after(at, "width=\"") * number_after(at, "height=\"");
        CHECK_LE(1, pixels);
        CHECK_LE(pixels, 6 << 20);
        atn_free(cx, svg);
        atn_table_destroy(cx, t);
    }
    CHECK_EQ(atn_raster_join(700, 9), 1);
    CHECK_EQ(atn_raster_join(1024, 1), 1);
    CHECK_EQ(atn_raster_join(1025, 1), 2);
    CHECK_EQ(atn_raster_join(512, 144), 3); /* sqrt(6 Mi / 144) = 209 cells */
}

/* One point a series is a dot; the last of many series is drawn like the others. The
 * legend alone has at most 200 pixels of a colour. */
static void every_series_is_drawn(atn_ctx *cx)
{
    atn_table *t = heads_table(cx, 1, 1, 1);

    CHECK_LE(10, drawn_pixels(cx, "line", t, atn_palette_series(0, 1)));
    atn_table_destroy(cx, t);
    t = heads_table(cx, 2, 100, 1);
    CHECK_LE(250, drawn_pixels(cx, "bars", t, atn_palette_series(99, 100)));
    CHECK_LE(250, drawn_pixels(cx, "line", t, atn_palette_series(99, 100)));
    atn_table_destroy(cx, t);
}

/* A column without a number is refused, not drawn as an empty frame. */
static void nothing_to_draw(atn_ctx *cx)
{
    atn_table *none = NULL;
    char *svg = NULL;
    size_t n = 0;

    CHECK_OK(atn_table_create(cx, "none", &none));
    CHECK_OK(atn_table_add_col(cx, none, "layer", ATN_COL_I64, "", "", NULL));
    CHECK_OK(atn_table_add_col(cx, none, "value", ATN_COL_F64, "", "", NULL));
    CHECK_OK(atn_table_add_row(cx, none));
    atn_table_set_i64(none, 0, 0);
    CHECK_FAILS(atn_figure_svg(cx, atn_figure_find("bars"), none, &(atn_figure_opts){0},
                               &svg, &n),
                ATN_USAGE, "no number");
    CHECK_FAILS(atn_figure_svg(cx, atn_figure_find("line"), none, &(atn_figure_opts){0},
                               &svg, &n),
                ATN_USAGE, "no row");
    atn_table_destroy(cx, none);
}

static void axes_and_bars_leave_room(atn_ctx *cx)
{
    const float x[] = {.00012345f, .0023456f, .034567f, .45678f};
    cairo_surface_t *s = cairo_image_surface_create(CAIRO_FORMAT_RGB24, 1, 1);
    atn_canvas c = {cairo_create(s), 400, 400, 8};
    atn_scale scale;
    double at[16], value[16];
    atn_ruler a = {.total = 500, .unit = 1, .cell = .5};

    CHECK_OK(atn_scale_fit(cx, (atn_cmat){x, 2, 2, 2}, ATN_SCALE_RANK, 1e-4, 0,
                           "viridis", &scale));
    CHECK_EQ(atn_scale_ticks(&scale, at, value), 4);
    /* gap, bar, tick, its label and the bar's own label beside one another */
    CHECK_LE(1.2 * 8 + 8 + 3.5 + atn_canvas_text_width(&c, .85, "0.000123") + .85 * 8,
             atn_scale_bar_room(&c, &scale));
    CHECK_NEAR(atn_label_step(10, 11), 2, 0);
    CHECK_NEAR(atn_label_step(1, 11), 20, 0);
    CHECK_NEAR(atn_label_step(20, 11), 1, 0);
    /* labels of 0 .. 500, half a point a position: 3 digits of 8 points and a blank fit
     * in 50 */
    CHECK_NEAR(atn_ruler_step(&c, &a), 50, 0);
    cairo_destroy(c.cr);
    cairo_surface_destroy(s);
}

/* 33 positions in cells of 8 end at 33, not at 40: the frame is 33/8 cells wide. */
static void pooled_axes_end_at_n(atn_ctx *cx)
{
    const float m[25] = {0};
    atn_table *t = NULL;
    char *svg, *full;

    CHECK_OK(atn_table_create(cx, "heatmap", &t));
    CHECK_OK(atn_table_set_matrix(cx, t, (atn_cmat){m, 5, 5, 5}, "query", "key"));
    CHECK_OK(atn_table_set_meta(cx, t, "pool", "max"));
    CHECK_OK(atn_table_set_meta(cx, t, "pool_size", "8"));
    full = svg_of(cx, "heatmap", t);
    CHECK_OK(atn_table_set_meta(cx, t, "queries", "33"));
    CHECK_OK(atn_table_set_meta(cx, t, "keys", "33"));
    svg = svg_of(cx, "heatmap", t);
    /* of 0, 10, 20, 30, 40 the last label and its mark are gone on both axes */
    CHECK_LE((double)strlen(svg) + 100, (double)strlen(full));
    CHECK(strstr(svg, "clip-path"));
    atn_free(cx, full);
    atn_free(cx, svg);
    atn_table_destroy(cx, t);
}

/* Sums over blocks of 8 are coloured by a logarithm from .0001, a power of ten, on; a
 * maximum by a linear scale from 0 on. The smallest value, .001, is dark on one and not
 * on the other. */
static void block_maps_are_logarithmic(atn_ctx *cx)
{
    const float m[] = {8, .001f, .001f, .001f};
    const unsigned char(*v)[3] = atn_palette_find("viridis");
    atn_table *t = NULL;

    CHECK_OK(atn_table_create(cx, "heatmap", &t));
    CHECK_OK(atn_table_set_matrix(cx, t, (atn_cmat){m, 2, 2, 2}, "query", "key"));
    CHECK_OK(atn_table_set_meta(cx, t, "pool_size", "8"));
    CHECK_OK(atn_table_set_meta(cx, t, "pool", "max"));
    CHECK_LE(1000, drawn_pixels(cx, "heatmap", t, v[0]));
    CHECK_OK(atn_table_set_meta(cx, t, "pool", "sum"));
    CHECK_LE(drawn_pixels(cx, "heatmap", t, v[0]), 200); /* of the bar */
    /* log10(.001 / .0001) of log10(8 / .0001) */
    CHECK_LE(1000,
             drawn_pixels(cx, "heatmap", t, atn_palette_at(v, 1 / log10(8 / 1e-4))));
    CHECK_LE(1000,
             drawn_with(cx, "heatmap", t, &(atn_figure_opts){.scale = "linear"}, v[0]));
    CHECK_FAILS(
        atn_figure_svg(cx, atn_figure_find("heatmap"), t,
                       &(atn_figure_opts){.scale = "linear", .params = "floor=.1"},
                       &(char *){NULL}, &(size_t){0}),
        ATN_USAGE, "--scale log");
    atn_table_destroy(cx, t);
}

/* The k-th allocation fails, k = 0, 1, ...: an error each time, nothing leaks
 * (ASan). */
static void allocations_may_fail(atn_ctx *cx)
{
    atn_table *t = make_table(cx, 5, "x");

    for (int f = 0; atn_figures[f]; f++) {
        atn_status st = ATN_MEMORY;
        int k = 0;

        for (; st != ATN_OK; k++) {
            check_failing failing = {k};
            atn_ctx frail;
            char *svg = NULL;
            size_t n = 0;

            atn_ctx_init(&frail);
            frail.alloc = (atn_allocator){check_failing_resize, &failing};
            st = atn_figure_svg(&frail, atn_figures[f], t, &(atn_figure_opts){0}, &svg,
                                &n);
            CHECK(st == ATN_OK || !svg);
            failing.left = 1 << 20;
            atn_free(&frail, svg);
            atn_ctx_release(&frail);
            CHECK_LE(k, 1000);
        }
        CHECK_LE(2, k);
    }
    atn_table_destroy(cx, t);
}

static void lengths(atn_ctx *cx)
{
    double in = 0;

    CHECK_OK(atn_parse_length(cx, "--width", "84mm", &in));
    CHECK_NEAR(in, 84 / 25.4, 1e-12);
    CHECK_OK(atn_parse_length(cx, "--width", "3.25in", &in));
    CHECK_NEAR(in, 3.25, 0);
    CHECK_FAILS(atn_parse_length(cx, "--width", "-1in", &in), ATN_USAGE, "--width");
    CHECK_FAILS(atn_parse_length(cx, "--width", "9e9mm", &in), ATN_USAGE, "60 inches");
    CHECK_FAILS(atn_parse_length(cx, "--width", "3px", &in), ATN_USAGE, "3px");
}

CHECK_MAIN({"viridis golden", viridis_golden}, {"scales golden", scales_golden},
           {"ticks golden", ticks_golden}, {"labels are tame", labels_are_tame},
           {"every figure, every format", every_figure_every_format},
           {"figures redraw from disk", figures_redraw_from_disk},
           {"large matrix stays small", large_matrix_stays_small},
           {"queries have names", queries_have_names},
           {"bars of stacks stand apart", bars_of_stacks_stand_apart},
           {"odd tables", odd_tables}, {"refusals", refusals}, {"lengths", lengths},
           {"bar ticks golden", bar_ticks_golden},
           {"pages of heads stay pages", pages_of_heads_stay_pages},
           {"every series is drawn", every_series_is_drawn},
           {"nothing to draw", nothing_to_draw},
           {"axes and bars leave room", axes_and_bars_leave_room},
           {"pooled axes end at n", pooled_axes_end_at_n},
           {"block maps are logarithmic", block_maps_are_logarithmic},
           {"allocations may fail", allocations_may_fail})
