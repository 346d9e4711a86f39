/* tests/viz/test_panels_data.c -- the values of panels, and what figures spectrum and energy make
 * of them. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "viz/drawn.h"

#include "viz/palette.h"
#include "viz/panels_internal.h"

static const char *const y[][2] = {{"v", "v"}, {NULL, NULL}};
static const atn_curve_kind kind = {.x = "x",
                                    .lack = "no x",
                                    .x_label = "x",
                                    .y = y,
                                    .panels_most = 4,
                                    .numeric = true,
                                    .x_high = "x_high",
                                    .by = "p",
                                    .other = "o",
                                    .relative = "v",
                                    .relative_label = "v of the first",
                                    .spread = true,
                                    .loose = true};

static void gather(atn_ctx *cx, const atn_table *t, int lines, bool absolute,
                   atn_panel_data *d)
{
    CHECK_OK(atn_panel_gather(
        cx, t,
        (atn_panels){&kind, &(atn_panels_params){.lines = lines, .absolute = absolute}},
        d));
}

/* A layer without a value has no panel. */
static void empty_panels(atn_ctx *cx)
{
    atn_table *t = drawn_table(cx, "stack,layer,head,x,v\na,0,0,0,\na,0,0,1,\n"
                                   "b,0,0,0,3\nb,0,0,1,4\nc,0,0,0,5\n");
    atn_panel_data d;

    gather(cx, t, ATN_LINES_HEADS, true, &d);
    CHECK_EQ(d.panels, 3);
    CHECK_EQ(d.n_shown, 2);
    CHECK_EQ(d.shown[0], 1);
    CHECK_EQ(d.shown[1], 2);
    atn_table_destroy(cx, t);
}

/* Heads 3, 1, 4, 2, 5 have quartiles 2, 3, 4; without 5: 1.75, 2.5, 3.25. At x = 2 two of five have
 * a value, less than half. */
static void quartiles_golden(atn_ctx *cx)
{
    atn_table *t =
        drawn_table(cx, "layer,head,x,v\n0,0,0,3\n0,1,0,1\n0,2,0,4\n0,3,0,2\n"
                        "0,4,0,5\n0,0,1,3\n0,1,1,1\n0,2,1,4\n0,3,1,2\n"
                        "0,4,1,\n0,0,2,1\n0,1,2,1\n");
    atn_panel_data d;
    double q[3];

    gather(cx, t, ATN_LINES_SPREAD, true, &d);
    CHECK_EQ(d.panels, 1);
    CHECK_EQ(d.n_lines, 5);
    CHECK_EQ(d.n_x, 3);
    CHECK(atn_panel_quartiles(&d, d.y, 0, 0, q));
    for (int k = 0; k < 3; k++) CHECK_NEAR(q[k], 2 + k, 1e-12);
    CHECK(atn_panel_quartiles(&d, d.y, 0, 1, q));
    CHECK_NEAR(q[0], 1.75, 1e-12);
    CHECK_NEAR(q[1], 2.5, 1e-12);
    CHECK_NEAR(q[2], 3.25, 1e-12);
    CHECK(!atn_panel_quartiles(&d, d.y, 0, 2, q));
    /* a row without a value breaks a curve, no row does not */
    CHECK_EQ(atn_panel_curve(&d, d.y, 0, 4)[1].n, -1);
    CHECK_EQ(atn_panel_curve(&d, d.y, 0, 4)[2].n, 0);
    atn_table_destroy(cx, t);
}

/* p splits the panels, p before layer, sorted; every head and p has a first value of its own, be it
 * last in the table. Layer 1 of p = 2: head 0 goes from 8 to 2, head 1 from 1 to .5. */
static void relative_by_head_and_p(atn_ctx *cx)
{
    atn_table *t = drawn_table(
        cx, "layer,head,p,x,v\n1,0,2,7,2\n1,1,2,7,.5\n0,0,2,7,3\n0,1,2,7,3\n"
            "0,0,1.5,7,5\n0,1,1.5,7,5\n1,0,1.5,7,5\n1,1,1.5,7,5\n"
            "1,1,2,0,1\n1,0,2,0,8\n0,0,2,0,3\n0,1,2,0,0\n0,0,1.5,0,1\n0,1,1.5,0,1\n"
            "1,0,1.5,0,1\n1,1,1.5,0,1\n");
    atn_panel_data d;

    gather(cx, t, ATN_LINES_HEADS, false, &d);
    CHECK(d.relative);
    CHECK_EQ(d.panels, 4);
    CHECK_EQ(d.n_by, 2);
    CHECK_NEAR(d.by[0], 1.5, 0);
    CHECK_NEAR(atn_panel_value(&d, &atn_panel_curve(&d, d.y, 3, 0)[1]), .25, 1e-12);
    CHECK_NEAR(atn_panel_value(&d, &atn_panel_curve(&d, d.y, 3, 1)[1]), .5, 1e-12);
    CHECK_NEAR(atn_panel_value(&d, &atn_panel_curve(&d, d.y, 0, 1)[1]), 5, 1e-12);
    CHECK(isnan(atn_panel_value(&d, &atn_panel_curve(&d, d.y, 2, 1)[1]))); /* by 0 */
    /* the mean of a layer is of ratios: (.25 + .5) / 2 */
    gather(cx, t, ATN_LINES_LAYERS, false, &d);
    CHECK_EQ(d.panels, 2);
    CHECK_NEAR(atn_panel_value(&d, &atn_panel_curve(&d, d.y, 1, 1)[1]), .375, 1e-12);
    gather(cx, t, ATN_LINES_LAYERS, true, &d);
    CHECK_NEAR(atn_panel_value(&d, &atn_panel_curve(&d, d.y, 1, 1)[0]), 4.5, 1e-12);
    atn_table_destroy(cx, t);
}

/* x is the middle of its band; a second column has its own curve; a range of more than a hundred is
 * drawn by its logarithm. */
static void bands_and_logarithms(atn_ctx *cx)
{
    atn_table *t = drawn_table(cx, "layer,head,x,x_high,v,o\n0,0,0,.5,1,2\n"
                                   "0,0,.5,1,1000,3\n"),
              *narrow = drawn_table(cx, "layer,head,x,v\n0,0,0,1\n0,0,1,2\n");
    atn_panel_data d;

    gather(cx, t, ATN_LINES_AUTO, true, &d);
    CHECK_NEAR(d.x[0], .25, 1e-12);
    CHECK_NEAR(d.x[1], .75, 1e-12);
    CHECK(d.log);
    CHECK_NEAR(atn_panel_value(&d, &atn_panel_curve(&d, d.y, 0, 0)[1]), 3, 1e-12);
    CHECK_NEAR(d.other[1].sum, 3, 0);
    CHECK_NEAR(d.other_high, 3.15, 1e-12);
    gather(cx, narrow, ATN_LINES_AUTO, true, &d);
    CHECK(!d.log && !d.other);
    atn_table_destroy(cx, t);
    atn_table_destroy(cx, narrow);
}

/* Rows of `layers` layers, `heads` heads and 6 bands. */
static atn_table *spectrum(atn_ctx *cx, int layers, int heads, bool response)
{
    static const char *const cols[] = {"layer",       "head",         "lambda_low",
                                       "lambda_high", "energy_share", "response"};
    atn_table *t = NULL;

    CHECK_OK(atn_table_create(cx, "spectrum", &t));
    for (int c = 0; c < 6; c++)
        CHECK_OK(atn_table_add_col(cx, t, cols[c], c < 2 ? ATN_COL_I64 : ATN_COL_F64,
                                   "", "", NULL));
    for (int i = 0; i < layers * heads * 6; i++) {
        CHECK_OK(atn_table_add_row(cx, t));
        atn_table_set_i64(t, 0, i / 6 / heads);
        atn_table_set_i64(t, 1, i / 6 % heads);
        atn_table_set_f64(t, 2, i % 6 / 3.);
        atn_table_set_f64(t, 3, (i % 6 + 1) / 3.);
        atn_table_set_f64(t, 4, (1 + (i / 6 + i) % 4) / 16.);
        if (response) atn_table_set_f64(t, 5, .5);
    }
    return t;
}

/* Up to seven heads have colours, more are a median; too many layers are lines. */
static void many_heads_are_a_spread(atn_ctx *cx)
{
    atn_table *few = spectrum(cx, 2, 3, false), *many = spectrum(cx, 2, 8, false),
              *deep = spectrum(cx, 13, 2, false);

    CHECK_LE(300, drawn_pixels(cx, "spectrum", few, atn_palette_series(2, 3)));
    CHECK_EQ(drawn_pixels(cx, "spectrum", many, atn_palette_series(3, 8)), 0);
    CHECK_LE(600, drawn_pixels(cx, "spectrum", many, atn_palette_series(0, 1)));
    CHECK_LE(300, drawn_pixels(cx, "spectrum", deep, atn_palette_series(12, 13)));
    CHECK_LE(300, drawn_with(cx, "spectrum", many,
                             &(atn_figure_opts){.params = "lines=layers"},
                             atn_palette_series(1, 2)));
    atn_table_destroy(cx, few);
    atn_table_destroy(cx, many);
    atn_table_destroy(cx, deep);
}

/* The response has a colour of its own, of its axis; an empty one has none. */
static void response_has_an_axis(atn_ctx *cx)
{
    static const unsigned char brown[3] = {150, 60, 0};
    atn_table *with = spectrum(cx, 1, 8, true), *without = spectrum(cx, 1, 8, false);

    CHECK_LE(300, drawn_pixels(cx, "spectrum", with, brown));
    CHECK_EQ(drawn_pixels(cx, "spectrum", without, brown), 0);
    atn_table_destroy(cx, with);
    atn_table_destroy(cx, without);
}

/* The axis of a spread is of the medians that it shows: 2 and 4 of five heads, not the 100 of one. */
static void axis_is_of_what_is_drawn(atn_ctx *cx)
{
    atn_table *t = drawn_table(
        cx, "layer,head,x,v,o\n0,0,0,1,2\n0,1,0,1,1\n0,2,0,1,100\n0,3,0,1,0\n"
            "0,4,0,1,2\n0,0,1,1,3\n0,1,1,1,5\n0,2,1,1,4\n0,3,1,1,4\n0,4,1,1,3\n");
    atn_panel_data d;

    gather(cx, t, ATN_LINES_SPREAD, true, &d);
    CHECK_NEAR(d.other_high, 4 * 1.05, 1e-12);
    gather(cx, t, ATN_LINES_HEADS, true, &d);
    CHECK_NEAR(d.other_high, 100 * 1.05, 1e-12);
    atn_table_destroy(cx, t);
}

/* A median is broken where its column has no values: of six bands the third has none. */
static void medians_break(atn_ctx *cx)
{
    static const unsigned char brown[3] = {150, 60, 0};
    const drawn_part gap = {.34, .52, .1, .3};
    int in_gap[2];

    for (int broken = 0; broken < 2; broken++) {
        char csv[4000] = "layer,head,lambda_low,lambda_high,energy_share,response\n";
        atn_table *t;

        for (int i = 0; i < 48; i++)
            snprintf(csv + strlen(csv), sizeof csv - strlen(csv),
                     "0,%d,%.4f,%.4f,.1,%s\n", i / 6, i % 6 / 3., (i % 6 + 1) / 3.,
                     broken && i % 6 == 2 ? "" : ".5");
        t = drawn_table(cx, csv);
        in_gap[broken] = drawn_in(cx, "spectrum", t, &(atn_figure_opts){0}, brown, gap);
        CHECK_LE(100, drawn_pixels(cx, "spectrum", t, brown));
        atn_table_destroy(cx, t);
    }
    CHECK_LE(20, in_gap[0]);
    CHECK_EQ(in_gap[1], 0);
}

/* One layer, one head: neither title nor legend names them, the label of x does, and a base that is
 * not iteration 0 stands in that of y. Longer labels have more ink. */
static void labels_name_what_is_alone(atn_ctx *cx)
{
    static const unsigned char ink[3] = {38, 38, 38};
    static const char *const rows[] = {
        "0,0,0,2\n0,0,1,1\n0,1,0,2\n0,1,1,1\n1,0,0,2\n1,0,1,1\n",
        "0,0,0,2\n0,0,1,1\n0,1,0,2\n0,1,1,1\n", "0,0,0,2\n0,0,1,1\n",
        "0,0,2,2\n0,0,3,1\n"};
    const atn_figure_opts low = {.height_in = 3};
    int below[4], left[4];

    for (int k = 0; k < 4; k++) {
        char csv[200];
        atn_table *t;

        snprintf(csv, sizeof csv, "layer,head,iteration,energy\n%s", rows[k]);
        t = drawn_table(cx, csv);
        below[k] = drawn_in(cx, "energy", t, &low, ink, (drawn_part){.3, .8, .8, 1});
        left[k] = drawn_in(cx, "energy", t, &low, ink, (drawn_part){0, .04, 0, 1});
        atn_table_destroy(cx, t);
    }
    CHECK(below[0] + 5 < below[1] && below[1] + 5 < below[2]);
    CHECK_LE(left[2] + 40, left[3]);
}

/* Single eigenvalues differ from head to head: a curve goes on where another has its value. */
static void single_eigenvalues(atn_ctx *cx)
{
    atn_table *t =
        drawn_table(cx, "layer,head,lambda,energy_share\n0,0,0,.5\n0,1,.1,.4\n"
                        "0,0,1.5,.5\n0,1,1.9,.6\n");

    for (int i = 0; i < 2; i++)
        CHECK_LE(300, drawn_pixels(cx, "spectrum", t, atn_palette_series(i, 2)));
    atn_table_destroy(cx, t);
}

/* The table of message passing: a panel a p, the gain by its own axis. */
static void response_of_messages(atn_ctx *cx)
{
    static const unsigned char brown[3] = {150, 60, 0};
    atn_table *t = drawn_table(
        cx, "layer,head,p,frequency_low,frequency_high,energy_in_share,gain\n"
            "0,0,1.5,0,1,.8,2\n0,0,1.5,1,2,.2,.5\n0,0,2,0,1,.8,1\n0,0,2,1,2,.2,.5\n");

    CHECK_LE(300, drawn_pixels(cx, "spectrum", t, atn_palette_series(0, 1)));
    CHECK_LE(50, drawn_pixels(cx, "spectrum", t, brown)); /* the labels of the axis */
    atn_table_destroy(cx, t);
}

static void refusals(atn_ctx *cx)
{
    atn_table *t = drawn_table(cx, "layer,head,iteration,energy\n0,0,0,0\n0,0,1,3\n");
    char *svg = NULL;
    size_t n = 0;

    drawn_fails(cx, "spectrum", t, "no column lambda_low or lambda");
    CHECK_OK(atn_figure_svg(cx, atn_figure_find("energy"), t,
                            &(atn_figure_opts){.params = "absolute=true"}, &svg, &n));
    atn_free(cx, svg);
    atn_table_destroy(cx, t);
    t = drawn_table(cx, "layer,head,iteration,energy\n0,0,0,0\n0,0,1,0\n");
    drawn_fails(cx, "energy", t, "at its first iteration");
    atn_table_destroy(cx, t);
    t = drawn_table(cx, "layer,head,energy\n0,0,1\n");
    drawn_fails(cx, "energy", t, "no column iteration");
    atn_table_destroy(cx, t);
    t = drawn_table(cx, "layer,head,p,iteration,energy\n0,0,1,0,nan\n0,0,1,1,nan\n");
    drawn_fails(cx, "energy", t, "both an x and a y");
    atn_table_destroy(cx, t);
}

/* More values of p than panels. */
static void too_many_panels(atn_ctx *cx)
{
    char csv[4000] = "layer,head,p,iteration,energy\n";
    atn_table *t;

    for (int i = 0; i < 65; i++)
        snprintf(csv + strlen(csv), sizeof csv - strlen(csv), "0,0,%d.5,0,1\n", i);
    t = drawn_table(cx, csv);
    drawn_fails(cx, "energy", t, "column p has more than 64 values");
    atn_table_destroy(cx, t);
}

CHECK_MAIN({"empty panels", empty_panels}, {"quartiles golden", quartiles_golden},
           {"relative by head and p", relative_by_head_and_p},
           {"bands and logarithms", bands_and_logarithms},
           {"many heads are a spread", many_heads_are_a_spread},
           {"response has an axis", response_has_an_axis},
           {"axis is of what is drawn", axis_is_of_what_is_drawn},
           {"medians break", medians_break},
           {"labels name what is alone", labels_name_what_is_alone},
           {"single eigenvalues", single_eigenvalues},
           {"response of messages", response_of_messages}, {"refusals", refusals},
           {"too many panels", too_many_panels})
