/* tests/viz/test_roofline.c -- roofs of a GPU and points below them. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "viz/drawn.h"

#include "viz/palette.h"

#define HEAD  "kind,name,gpu,kernel,flop_per_byte,tflops,hbm_gbs\n"
#define ROOFS "roof,HBM,g,k,,,1000\nroof,peak,g,k,,100,\n"

static int ink(atn_ctx *cx, const atn_table *t, drawn_part part)
{
    const unsigned char dark[3] = {38, 38, 38}; /* .15: a flat roof */

    return drawn_in(cx, "roofline", t, &(atn_figure_opts){0}, dark, part);
}

static int point(atn_ctx *cx, const atn_table *t, int i, int n)
{
    return drawn_in(cx, "roofline", t, &(atn_figure_opts){0}, atn_palette_series(i, n),
                    (drawn_part){.1, 1, .05, .7});
}

/* The peak of 100 TFLOP/s is met at 100 flop a byte: the page goes from 25 to 400, so
 * the flat roof takes its right half and none of the left. */
static void roofs_meet(atn_ctx *cx)
{
    atn_table *t = drawn_table(cx, HEAD ROOFS);

    CHECK_LE(50, ink(cx, t, (drawn_part){.6, .95, .05, .6}));
    CHECK_EQ(ink(cx, t, (drawn_part){.18, .4, .08, .2}), 0);
    atn_table_destroy(cx, t);
}

/* A row with a number for both is a point, of its own colour. */
static void kernels_are_points(atn_ctx *cx)
{
    atn_table *t = drawn_table(cx, HEAD ROOFS "kernel,a,g,k,200,50,\n"
                                              "kernel,b,g,l,300,80,\n"
                                              "kernel,c,g,l,,80,\nkernel,d,g,l,3,,\n");

    CHECK_LE(10, point(cx, t, 0, 2));
    CHECK_LE(10, point(cx, t, 1, 2));
    atn_table_destroy(cx, t);
}

/* Points alone, roofs of two GPUs, numbers beyond any page. */
static void extremes(atn_ctx *cx)
{
    atn_table *t = drawn_table(cx, "flop_per_byte,tflops\n3,4\n");

    CHECK_LE(10, point(cx, t, 0, 1));
    atn_table_destroy(cx, t);
    t = drawn_table(cx, HEAD ROOFS "roof,HBM,h,k,,,1e300\nroof,peak,h,k,,1e-300,\n"
                                   "kernel,a,x,k,1e-300,1e300,\n");
    CHECK_LE(0, point(cx, t, 0, 1));
    atn_table_destroy(cx, t);
    t = drawn_table(cx, HEAD "roof,HBM,g,k,,,1000\n");
    CHECK_LE(0, point(cx, t, 0, 1));
    atn_table_destroy(cx, t);
}

static void refusals(atn_ctx *cx)
{
    atn_table *t = drawn_table(cx, "layer,x\n0,1\n");

    drawn_fails(cx, "roofline", t, "no columns tflops and flop_per_byte");
    atn_table_destroy(cx, t);
    t = drawn_table(cx, "flop_per_byte,tflops\n0,0\n2,-1\n");
    drawn_fails(cx, "roofline", t, "no row is a roof or a point");
    atn_table_destroy(cx, t);
}

CHECK_MAIN({"roofs meet", roofs_meet}, {"kernels are points", kernels_are_points},
           {"extremes", extremes}, {"refusals", refusals})
