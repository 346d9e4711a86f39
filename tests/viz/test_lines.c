/* tests/viz/test_lines.c -- lines a series: figures line and growth. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "viz/drawn.h"

#include "viz/palette.h"
#include "viz/plot.h"

/* Texts are series in order of appearance, missing ones a series of their own. */
static void series_of_texts(atn_ctx *cx)
{
    atn_table *t = drawn_table(cx, "name,x\nb,1\na,2\nb,3\n,4\na,5\nb,6\n");
    static const int want[] = {0, 1, 0, 2, 1, 0};
    atn_series s;

    CHECK_OK(atn_series_find(cx, t, 0, &s));
    CHECK_EQ(s.n, 3);
    CHECK_STR(s.names[0], "b");
    CHECK_STR(s.names[1], "a");
    CHECK_STR(s.names[2], "");
    for (int r = 0; r < 6; r++) CHECK_EQ(atn_series_of(&s, t, r), want[r]);
    atn_table_destroy(cx, t);
}

static void too_many_series(atn_ctx *cx)
{
    atn_table *t = NULL;
    atn_series s;
    char name[32];

    CHECK_OK(atn_table_create(cx, "t", &t));
    CHECK_OK(atn_table_add_col(cx, t, "name", ATN_COL_STR, "", "", NULL));
    for (int i = 0; i <= ATN_SERIES_MAX; i++) {
        snprintf(name, sizeof name, "%d", i);
        CHECK_OK(atn_table_add_row(cx, t));
        CHECK_OK(atn_table_set_str(cx, t, 0, name));
    }
    CHECK_FAILS(atn_series_find(cx, t, 0, &s), ATN_USAGE, "more than 4096");
    atn_table_destroy(cx, t);
}

#define GROWTH "pattern,depth,accuracy_last,reached\n"

/* Two patterns with the same growth: the dashes of the second let the first be seen. Each of them
 * has a line and marks, about 500 pixels across. */
static void equal_lines_are_both_seen(atn_ctx *cx)
{
    atn_table *t = drawn_table(cx, GROWTH "one,0,.1,1\none,1,.6,2\none,2,1,3\n"
                                          "two,0,.1,1\ntwo,1,.6,2\ntwo,2,1,3\n");

    CHECK_LE(100, drawn_pixels(cx, "growth", t, atn_palette_series(0, 2)));
    CHECK_LE(300, drawn_pixels(cx, "growth", t, atn_palette_series(1, 2)));
    CHECK_EQ(drawn_pixels(cx, "growth", t, atn_palette_series(2, 3)), 0);
    atn_table_destroy(cx, t);
}

/* A share of .2 at most stays in the lower half of the figure; another column fills it. */
static void shares_run_to_one(atn_ctx *cx)
{
    const drawn_part upper = {0, 1, 0, .4};
    const unsigned char *blue = atn_palette_series(0, 1);
    atn_table *t = drawn_table(cx, GROWTH "one,0,.1,1\none,1,.15,2\none,2,.2,3\n");

    CHECK_EQ(drawn_in(cx, "growth", t, &(atn_figure_opts){0}, blue, upper), 0);
    CHECK_LE(50, drawn_pixels(cx, "growth", t, blue));
    CHECK_OK(atn_table_set_meta(cx, t, "y", "reached"));
    CHECK_LE(50, drawn_in(cx, "growth", t, &(atn_figure_opts){0}, blue, upper));
    atn_table_destroy(cx, t);
}

/* The marks of 3 points are dots of some 40 pixels, on a line of none between them: only the points
 * with values count. */
static void points_have_marks(atn_ctx *cx)
{
    atn_table *t = drawn_table(cx, GROWTH "one,0,.5,1\none,1,,1\none,2,,1\n");
    const int n = drawn_pixels(cx, "growth", t, atn_palette_series(0, 1));

    CHECK_LE(20, n); /* with the one in the legend */
    CHECK_LE(n, 150);
    atn_table_destroy(cx, t);
}

/* Figure line takes texts as series when told so, else none. */
static void line_by_texts(atn_ctx *cx)
{
    atn_table *t = drawn_table(cx, "name,x,y\nb,0,1\nb,1,2\na,0,2\na,1,4\n");

    CHECK_OK(atn_table_set_meta(cx, t, "x", "x"));
    CHECK_OK(atn_table_set_meta(cx, t, "y", "y"));
    CHECK_EQ(drawn_pixels(cx, "line", t, atn_palette_series(1, 2)), 0);
    CHECK_OK(atn_table_set_meta(cx, t, "series", "name"));
    for (int i = 0; i < 2; i++)
        CHECK_LE(200, drawn_pixels(cx, "line", t, atn_palette_series(i, 2)));
    atn_table_destroy(cx, t);
}

/* Two heads one after the other without a column that parts them: no line leads from the end of the
 * first back to the start of the second, through the middle of the figure. */
static void lines_do_not_go_back(atn_ctx *cx)
{
    const drawn_part middle = {.45, .65, .3, .6};
    const atn_figure_opts usual = {0};
    const unsigned char *blue = atn_palette_series(0, 1);
    atn_table *t[] = {drawn_table(cx, "x,y\n0,0\n1,0\n2,0\n0,1\n1,1\n2,1\n"),
                      drawn_table(cx, "x,y\n2,0\n1,0\n0,0\n2,1\n1,1\n0,1\n"),
                      drawn_table(cx, "x,y\n0,0\n2,1\n0,.5\n")};

    for (int k = 0; k < 2; k++) {
        CHECK_EQ(drawn_in(cx, "line", t[k], &usual, blue, middle), 0);
        CHECK_LE(600, drawn_pixels(cx, "line", t[k], blue));
    }
    /* what is left alone is a dot */
    CHECK_LE(10,
             drawn_in(cx, "line", t[2], &usual, blue, (drawn_part){0, .25, .3, .7}));
    for (int k = 0; k < 3; k++) atn_table_destroy(cx, t[k]);
}

/* Head 0 of two stacks: two lines; the third stack has no point and no line. */
static void stacks_have_lines(atn_ctx *cx)
{
    atn_table *t = drawn_table(cx, "stack,layer,head,v\nc,0,0,\nc,1,0,\n"
                                   "a,0,0,1\na,1,0,2\nb,0,0,3\nb,1,0,4\n");

    for (int i = 0; i < 2; i++)
        CHECK_LE(200, drawn_pixels(cx, "line", t, atn_palette_series(i, 2)));
    CHECK_EQ(drawn_pixels(cx, "line", t, atn_palette_series(2, 3)), 0);
    CHECK_OK(atn_table_set_meta(cx, t, "series", "stack"));
    CHECK_LE(200, drawn_pixels(cx, "line", t, atn_palette_series(2, 3)));
    atn_table_destroy(cx, t);
}

/* Names longer than the page end in an ellipsis, at a whole character. */
static void long_names(atn_ctx *cx)
{
    char csv[2000] = GROWTH;
    atn_table *t;
    char *svg = NULL;
    size_t n = 0;

    for (int k = 0; k < 2; k++) {
        for (int i = 0; i < 300; i++) strcat(csv, "\xc3\xa4");
        strcat(csv, k ? "b,1,.5,1\n" : ",0,.5,1\n");
    }
    t = drawn_table(cx, csv);
    CHECK_OK(atn_figure_svg(cx, atn_figure_find("growth"), t,
                            &(atn_figure_opts){.width_in = 3}, &svg, &n));
    atn_free(cx, svg);
    atn_table_destroy(cx, t);
}

static void refusals(atn_ctx *cx)
{
    atn_table *t = drawn_table(cx, GROWTH "one,0,nan,1\none,1,nan,2\n");

    drawn_fails(cx, "growth", t, "both an x and a y");
    CHECK_OK(atn_table_set_meta(cx, t, "y", "pattern"));
    drawn_fails(cx, "growth", t, "--y pattern: holds text, not numbers");
    atn_table_destroy(cx, t);
    t = drawn_table(cx, "pattern,accuracy_last\none,1\n");
    drawn_fails(cx, "growth", t, "no column depth");
    atn_table_destroy(cx, t);
    t = drawn_table(cx, "pattern,depth\none,1\n");
    drawn_fails(cx, "growth", t, "no column accuracy_last");
    atn_table_destroy(cx, t);
}

CHECK_MAIN({"series of texts", series_of_texts}, {"too many series", too_many_series},
           {"equal lines are both seen", equal_lines_are_both_seen},
           {"shares run to one", shares_run_to_one},
           {"points have marks", points_have_marks}, {"line by texts", line_by_texts},
           {"lines do not go back", lines_do_not_go_back},
           {"stacks have lines", stacks_have_lines}, {"long names", long_names},
           {"refusals", refusals})
