/* tests/viz/test_cta_timeline.c -- CTAs on SMs over time: places, colours, many. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "viz/drawn.h"

#include "viz/palette.h"

#define HEAD "sm,head,tile,begin_ms,end_ms,visits\n"

static const unsigned char *colour(double x)
{
    return atn_palette_at(atn_palette_find("viridis"), x);
}

static int pixels(atn_ctx *cx, const atn_table *t, double x, const char *params,
                  drawn_part part)
{
    const atn_figure_opts o = {.params = params};

    return drawn_in(cx, "cta_timeline", t, &o, colour(x), part);
}

static const drawn_part left = {.1, .4, .08, .8}, right = {.5, .8, .08, .8},
                        upper = {.1, .8, .08, .35}, lower = {.1, .8, .55, .8};

/* SM 0 runs all the time with 10 tiles, SM 1 half of it with 0: the upper half is of
 * one colour, the left half of the lower one of the other. */
static void ctas_have_places(atn_ctx *cx)
{
    atn_table *t = drawn_table(cx, HEAD "0,0,0,0,2,10\n1,0,1,0,1,0\n");

    CHECK_LE(10000, pixels(cx, t, 1, NULL, upper));
    CHECK_EQ(pixels(cx, t, 1, NULL, lower), 0);
    CHECK_LE(5000, pixels(cx, t, 0, NULL, left));
    CHECK_EQ(pixels(cx, t, 0, NULL, right), 0);
    atn_table_destroy(cx, t);
}

/* Numbers of SMs written as real ones are the same SMs; where one is none, its row is
 * left out. Few CTAs, and so many that they are joined. */
static void real_sms(atn_ctx *cx)
{
    static char csv[200000];
    size_t n = (size_t)snprintf(csv, sizeof csv, "%s", HEAD);
    atn_table *t =
        drawn_table(cx, HEAD "0.0,0,0,0,2,10\n1.0,0,1,0,1,0\n0.5,0,2,1,2,0\n");

    CHECK_LE(10000, pixels(cx, t, 1, NULL, upper));
    CHECK_LE(5000, pixels(cx, t, 0, NULL, left));
    CHECK_EQ(pixels(cx, t, 0, NULL, right), 0);
    atn_table_destroy(cx, t);
    for (int i = 0; i < 5000; i++)
        n += (size_t)snprintf(csv + n, sizeof csv - n, "0.0,0,%d,%d,%d,10\n", i, i,
                              i + 1);
    t = drawn_table(cx, csv);
    CHECK_LE(10000, pixels(cx, t, 1, NULL, upper));
    atn_table_destroy(cx, t);
}

/* Of heads 0 and 4 the colours are those of their numbers. */
static void colours_of_heads(atn_ctx *cx)
{
    atn_table *t = drawn_table(cx, HEAD "0,4,0,0,2,10\n1,0,1,0,2,10\n");

    CHECK_LE(10000, pixels(cx, t, 1, "colour=head", upper));
    CHECK_LE(10000, pixels(cx, t, 0, "colour=head", lower));
    atn_table_destroy(cx, t);
}

/* 6000 CTAs are joined to cells; those of SM 0 have 10 tiles, those of SM 1 have 4 and
 * end half way. */
static void many_are_joined(atn_ctx *cx)
{
    static char csv[400000];
    size_t n = (size_t)snprintf(csv, sizeof csv, "%s", HEAD);
    char *svg = NULL;
    size_t size = 0;
    atn_table *t;

    for (int i = 0; i < 3000; i++)
        n += (size_t)snprintf(csv + n, sizeof csv - n,
                              "0,0,%d,%d,%d,10\n1,0,%d,%.1f,%.1f,4\n", i, 2 * i,
                              2 * i + 2, i, (double)i, (double)i + 1);
    t = drawn_table(cx, csv);
    CHECK_LE(10000, pixels(cx, t, 1, NULL, upper));
    CHECK_EQ(pixels(cx, t, 1, NULL, lower), 0);
    CHECK_LE(5000, pixels(cx, t, .4, NULL, left));
    CHECK_EQ(pixels(cx, t, .4, NULL, right), 0);
    CHECK_OK(atn_figure_svg(cx, atn_figure_find("cta_timeline"), t,
                            &(atn_figure_opts){0}, &svg, &size));
    CHECK_LE((double)size, 300000);
    atn_free(cx, svg);
    atn_table_destroy(cx, t);
}

/* No visits; one CTA that takes no time beside one that does; empty cells. */
static void extremes(atn_ctx *cx)
{
    const unsigned char grey[3] = {153, 153, 153};
    atn_table *t = drawn_table(cx, "sm,begin_ms,end_ms\n0,0,1\n0,1,1\n1,,\n1,2,1\n");

    CHECK_LE(10000, drawn_pixels(cx, "cta_timeline", t, grey));
    atn_table_destroy(cx, t);
    t = drawn_table(cx, HEAD "4095,0,0,0,1e-12,3\n0,0,0,0,1e9,\n");
    CHECK_LE(0, pixels(cx, t, 1, NULL, DRAWN_ALL));
    atn_table_destroy(cx, t);
}

static void refusals(atn_ctx *cx)
{
    atn_table *t = drawn_table(cx, "layer,x\n0,1\n");

    drawn_fails(cx, "cta_timeline", t, "no numeric columns sm");
    atn_table_destroy(cx, t);
    t = drawn_table(cx, HEAD "0,0,0,2,1,3\n.5,0,0,0,1,3\n");
    drawn_fails(cx, "cta_timeline", t, "no row is a CTA");
    atn_table_destroy(cx, t);
    t = drawn_table(cx, HEAD "1e9,0,0,0,1,3\n");
    drawn_fails(cx, "cta_timeline", t, "more than 4096 SMs");
    atn_table_destroy(cx, t);
}

CHECK_MAIN({"CTAs have places", ctas_have_places},
           {"colours of heads", colours_of_heads}, {"many are joined", many_are_joined},
           {"real SMs", real_sms}, {"extremes", extremes}, {"refusals", refusals})
