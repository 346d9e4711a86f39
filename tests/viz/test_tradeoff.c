/* tests/viz/test_tradeoff.c -- error against predicted speed-up. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "viz/drawn.h"

#include "viz/palette.h"

#define HEAD                                                                           \
    "method,family,budget,output_error_relative,speedup,speedup_low,speedup_high,"     \
    "limited_by,on_front\n"                                                            \
    "dense,dense,,0,1,1,1,exp,true\n"

static const char *const few = HEAD "a,oracle,10%,.02,2,1.9,2.1,exp,\n"
                                    "b,static,10%,.4,3,2.8,3.2,exp,true\n"
                                    "c,static,20%,.5,2,1.9,2.2,exp,false\n";

/* Colours leave dense out: 1 is static, b and c. */
static int statics(atn_ctx *cx, const char *csv, drawn_part part)
{
    const atn_figure_opts bare = {.params = "names=0,intervals=0"};
    atn_table *t = drawn_table(cx, csv);
    const int n = drawn_in(cx, "tradeoff", t, &bare, atn_palette_category(1), part);

    atn_table_destroy(cx, t);
    return n;
}

/* Filled on the front, a ring beside it. */
static void the_front_is_filled(atn_ctx *cx)
{
    const drawn_part inside = {.12, .99, .05, .8};

    CHECK_LE(statics(cx,
                     HEAD "a,oracle,10%,.02,2,1.9,2.1,exp,\n"
                          "b,static,10%,.4,3,2.8,3.2,exp,false\n"
                          "c,static,20%,.5,2,1.9,2.2,exp,false\n",
                     inside) +
                 20,
             statics(cx, few, inside));
}

/* What has no speed-up is at the right edge, whatever its time would say. */
static void launches_are_at_the_edge(atn_ctx *cx)
{
    static const char *const launch = HEAD "a,oracle,10%,.02,4,3.9,4.1,exp,\n"
                                           "b,static,10%,.4,,,,launch,\n"
                                           "c,static,20%,.05,,,,launch,\n";
    static const char *const middle = HEAD "a,oracle,10%,.02,4,3.9,4.1,exp,\n"
                                           "b,static,10%,.4,2,2,2,exp,\n"
                                           "c,static,20%,.05,2,2,2,exp,\n";
    const drawn_part left = {.12, .8, .05, .8}, right = {.85, 1, .05, .8};

    CHECK_LE(10, statics(cx, launch, right));
    CHECK_LE(statics(cx, launch, left), 0);
    CHECK_LE(10, statics(cx, middle, left));
    CHECK_LE(statics(cx, middle, right), 0);
}

/* Names and whiskers cover paper. */
static void names_and_whiskers(atn_ctx *cx)
{
    const drawn_part inside = {.12, .97, .05, .78};
    const atn_figure_opts bare = {.params = "names=0,intervals=0"},
                          names = {.params = "intervals=0"},
                          whiskers = {.params = "names=0"};
    /* the axis ends at 4 with and without whiskers */
    atn_table *t = drawn_table(cx, HEAD "a,oracle,10%,.1,2,1.5,2.5,exp,true\n"
                                        "b,static,10%,.4,4,4,4,exp,true\n");
    const int white = drawn_in(cx, "tradeoff", t, &bare, DRAWN_WHITE, inside);

    CHECK_LE(drawn_in(cx, "tradeoff", t, &names, DRAWN_WHITE, inside) + 10, white);
    CHECK_LE(drawn_in(cx, "tradeoff", t, &whiskers, DRAWN_WHITE, inside) + 10, white);
    atn_table_destroy(cx, t);
}

static void refusals(atn_ctx *cx)
{
    static const struct {
        const char *csv, *why;
    } bad[] = {
        {"layer,x\n0,1\n", "no column method"},
        {"method,speedup,output_error_relative\n7,1,.5\n", "no column method of text"},
        {"method,output_error_relative\na,.5\n", "no numeric column speedup"},
        {"method,speedup\na,1\n", "no numeric column output_error_relative"},
        {"method,speedup,output_error_relative,limited_by\na,,.5,launch\n",
         "larger --batch"},
        {"method,speedup,output_error_relative\na,,.5\nb,2,\n", "larger --batch"},
        {"layer,method,speedup,output_error_relative\n0,a,2,.5\n1,a,2,.5\n",
         "without --per layer"},
    };

    for (size_t i = 0; i < ATN_LEN(bad); i++) {
        atn_table *t = drawn_table(cx, bad[i].csv);

        drawn_fails(cx, "tradeoff", t, bad[i].why);
        atn_table_destroy(cx, t);
    }
}

#define SHORT "method,family,budget,speedup,output_error_relative"

/* A table without on_front is one of a front: its points are filled, not rings. */
static void a_front_is_filled(atn_ctx *cx)
{
    static const atn_figure_opts bare = {.params = "names=0"};
    atn_table *front = drawn_table(cx, SHORT "\nm,a,,2,.1\nn,a,,3,.5\n");
    atn_table *rings = drawn_table(cx, SHORT ",on_front\nm,a,,2,.1,0\nn,a,,3,.5,0\n");
    const unsigned char *ink = atn_palette_category(0);
    const drawn_part inside = {.15, 1, .05, .75};
    const int marks = drawn_in(cx, "tradeoff", rings, &bare, ink, inside);

    CHECK_LE(10, marks);
    CHECK_LE(2 * marks, drawn_in(cx, "tradeoff", front, &bare, ink, inside));
    atn_table_destroy(cx, front);
    atn_table_destroy(cx, rings);
}

/* The lowest of a hundred strips of the plot that has this colour. */
static int lowest(atn_ctx *cx, const atn_table *t, int category)
{
    static const atn_figure_opts bare = {.params = "names=0"};
    int at = -1;

    for (int i = 0; i < 85; i++) {
        const drawn_part strip = {.15, 1, .01 * i, .01 * (i + 1)};

        if (drawn_in(cx, "tradeoff", t, &bare, atn_palette_category(category), strip))
            at = i;
    }
    return at;
}

/* An error of 1e-7 stands above one of 0, and both below all that the logarithm has. */
static void small_errors_are_apart(atn_ctx *cx)
{
    atn_table *t =
        drawn_table(cx, SHORT "\nm,a,,1,0\nn,b,,2,1e-7\no,c,,3,.1\np,d,,4,1\n");
    const int zero = lowest(cx, t, 0), tiny = lowest(cx, t, 1), low = lowest(cx, t, 2);

    CHECK_LE(0, low);
    CHECK_LE(low + 2, tiny);
    CHECK_LE(tiny + 2, zero);
    atn_table_destroy(cx, t);
}

CHECK_MAIN({"the front is filled", the_front_is_filled},
           {"launches are at the edge", launches_are_at_the_edge},
           {"names and whiskers", names_and_whiskers}, {"refusals", refusals},
           {"a front is filled", a_front_is_filled},
           {"small errors are apart", small_errors_are_apart})
