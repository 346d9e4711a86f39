/* tests/viz/test_pareto.c -- error against cost: the front, names, axes. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "viz/drawn.h"

#include "viz/palette.h"

static const char *const few =
    "method,family,budget,executed_share,output_error_relative,on_front\n"
    "a,oracle,10%,.1,.2,true\n"
    "b,static,10%,.1,.4,false\n"
    "c,static,20%,.2,.1,true\n";

/* A filled point has a disc of its family's colour, one off the front a ring: with c
 * off the front its colour is less there. */
static void the_front_is_filled(atn_ctx *cx)
{
    atn_table *on = drawn_table(cx, few), *off;
    const unsigned char *colour = atn_palette_category(1); /* static: b and c */
    const int with = drawn_pixels(cx, "pareto", on, colour);

    off = drawn_table(cx, "method,family,budget,executed_share,output_error_relative,"
                          "on_front\n"
                          "a,oracle,10%,.1,.2,true\n"
                          "b,static,10%,.1,.4,false\n"
                          "c,static,20%,.2,.1,false\n");
    CHECK_LE(drawn_pixels(cx, "pareto", off, colour) + 20, with);
    atn_table_destroy(cx, on);
    atn_table_destroy(cx, off);
}

/* Names cover white paper; of 60 points in one place most have no
 * room for theirs. */
static void names_do_not_overlap(atn_ctx *cx)
{
    const drawn_part inside = {.15, .97, .12, .75};
    const atn_figure_opts plain = {0}, bare = {.params = "names=0"};
    char csv[4096] = "method,family,executed_share,output_error_relative,on_front\n";
    atn_table *one = drawn_table(cx, few), *many;

    CHECK_LE(drawn_in(cx, "pareto", one, &plain, DRAWN_WHITE, inside) + 10,
             drawn_in(cx, "pareto", one, &bare, DRAWN_WHITE, inside));
    for (int i = 0; i < 60; i++)
        snprintf(csv + strlen(csv), sizeof csv - strlen(csv),
                 "a_long_name_%d,f,.5,.5,false\n", i);
    many = drawn_table(cx, csv);
    CHECK_LE(drawn_in(cx, "pareto", many, &plain, DRAWN_WHITE, inside),
             drawn_in(cx, "pareto", many, &bare, DRAWN_WHITE, inside) - 100);
    atn_table_destroy(cx, one);
    atn_table_destroy(cx, many);
}

/* An error of 0 stands at the edge of a logarithmic axis; one value alone is drawn. */
static void exact_methods_are_drawn(atn_ctx *cx)
{
    atn_table *t = drawn_table(cx, "method,executed_share,output_error_relative\n"
                                   "dense,1,0\na,.1,.5\nb,.05,.001\n");

    CHECK_LE(20, drawn_pixels(cx, "pareto", t, atn_palette_category(0)));
    atn_table_destroy(cx, t);
    t = drawn_table(cx, "method,executed_share,output_error_relative\ndense,1,0\n");
    CHECK_LE(8, drawn_pixels(cx, "pareto", t, atn_palette_category(0)));
    atn_table_destroy(cx, t);
}

static void refusals(atn_ctx *cx)
{
    atn_table *t = drawn_table(cx, "layer,x\n0,1\n");

    drawn_fails(cx, "pareto", t, "no column method");
    atn_table_destroy(cx, t);
    t = drawn_table(cx, "method,executed_share,output_error_relative\n7,1,.5\n");
    drawn_fails(cx, "pareto", t, "its column method is no text");
    atn_table_destroy(cx, t);
    t = drawn_table(cx, "method,executed_share,output_error_relative\na,1,\n");
    drawn_fails(cx, "pareto", t, "no ");
    atn_table_destroy(cx, t);
}

CHECK_MAIN({"the front is filled", the_front_is_filled},
           {"names do not overlap", names_do_not_overlap},
           {"exact methods are drawn", exact_methods_are_drawn}, {"refusals", refusals})
