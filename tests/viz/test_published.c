/* tests/viz/test_published.c -- predictions against published numbers: where points and
 * the band stand. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "viz/drawn.h"

#include "viz/palette.h"

/* Upper left: predicted too much; of the ratio above 1 wherever it was published. */
static void points_stand_by_both(atn_ctx *cx)
{
    const drawn_part upper = {.1, .5, .1, .45}, lower = {.5, 1, .5, .8};
    const drawn_part left_low = {.15, .5, .55, .8};
    const unsigned char *a = atn_palette_series(0, 2), *b = atn_palette_series(1, 2);
    const atn_figure_opts plain = {0}, ratio = {.params = "ratio=yes"};
    atn_table *t = drawn_table(cx, "gpu,published,predicted\na,2,500\nb,500,2\n"
                                   "none,5,\n");

    CHECK_LE(15, drawn_in(cx, "published", t, &plain, a, upper));
    CHECK_EQ(drawn_in(cx, "published", t, &plain, a, lower), 0);
    CHECK_LE(15, drawn_in(cx, "published", t, &plain, b, lower));
    CHECK_LE(15, drawn_in(cx, "published", t, &ratio, a, upper));
    CHECK_LE(15, drawn_in(cx, "published", t, &ratio, b, lower));
    CHECK_EQ(drawn_in(cx, "published", t, &ratio, b, left_low), 0);
    atn_table_destroy(cx, t);
}

/* What was fitted to is hollow: less ink of the same point. */
static void fitted_ones_are_hollow(atn_ctx *cx)
{
    const unsigned char *colour = atn_palette_series(0, 1);
    atn_table *t = drawn_table(cx, "gpu,published,predicted,in_sample\na,2,3,false\n");
    atn_table *f = drawn_table(cx, "gpu,published,predicted,in_sample\na,2,3,true\n");

    CHECK_LE(drawn_pixels(cx, "published", f, colour) + 10,
             drawn_pixels(cx, "published", t, colour));
    atn_table_destroy(cx, t);
    atn_table_destroy(cx, f);
}

static void refused(atn_ctx *cx, const char *csv, const char *why)
{
    atn_table *t = drawn_table(cx, csv);
    const char *said = atn_figure_find("published")->check(t);

    if (!said || !strstr(said, why)) fail_msg("%s", said ? said : "fits");
    atn_table_destroy(cx, t);
}

static void what_does_not_fit(atn_ctx *cx)
{
    refused(cx, "gpu,predicted\na,1\n", "no numeric column published");
    refused(cx, "gpu,published\na,1\n", "no numeric column predicted");
    refused(cx, "gpu,published,predicted\n1,1,1\n", "gpu is no text");
    refused(cx, "gpu,published,predicted\na,0,1\na,nan,1\na,1,-1\n", "no row");
}

CHECK_MAIN({"points stand by both", points_stand_by_both},
           {"fitted ones are hollow", fitted_ones_are_hollow},
           {"what does not fit", what_does_not_fit})
