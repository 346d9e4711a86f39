/* viz/axes.c -- linear and logarithmic axes, see the header. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "viz/axes.h"

#include <math.h>
#include <stdio.h>

static const double NOTHING = 1e-5; /* of the largest: errors of rounding */

/* Round values between the edges; of a logarithm 1, 2, 5 times powers of ten, of a long
 * one powers alone. */
static void find_ticks(atn_axis *x)
{
    static const double steps[] = {1, 2, 5};
    const int used = x->hi - x->lo < 2 ? 3 : 1;

    x->ticks = 0;
    if (!x->log) {
        x->ticks = atn_nice_ticks(x->lo, x->hi, 5, x->tick);
        return;
    }
    for (int e = (int)floor(x->lo); e <= (int)ceil(x->hi); e++)
        for (int k = 0; k < used && x->ticks < (int)ATN_LEN(x->tick); k++) {
            const double v = steps[k] * pow(10, e);

            if (log10(v) >= x->lo && log10(v) <= x->hi) x->tick[x->ticks++] = v;
        }
}

atn_axis atn_axis_of(const double *v, atn_idx n, int asked, bool from_zero)
{
    double least = INFINITY, most = -INFINITY, positive = INFINITY, margin;
    atn_axis x = {0};

    for (atn_idx i = 0; i < n; i++) most = fmax(most, v[i]);
    for (atn_idx i = 0; i < n; i++) {
        least = fmin(least, v[i]);
        if (v[i] > NOTHING * most) positive = fmin(positive, v[i]);
    }
    x.log = positive < INFINITY && asked != ATN_AXIS_LINEAR &&
            (asked == ATN_AXIS_LOG || most > 30 * positive);
    /* nothing stands at the edge of a logarithm, a factor below all else */
    if (x.log && least < positive) least = positive / 3;
    x.lo = x.log ? log10(least) : from_zero ? fmin(least, 0) : least;
    x.hi = x.log ? log10(most) : most;
    if (x.hi <= x.lo) {
        x.lo -= x.log ? .5 : 0;
        x.hi = x.lo + 1;
    }
    margin = 0.04 * (x.hi - x.lo);
    if (x.log || !from_zero) x.lo -= margin;
    x.hi += margin;
    find_ticks(&x);
    return x;
}

void atn_axis_tick_at(atn_axis *x, const double *v, int n)
{
    const double apart = (x->hi - x->lo) / 12;

    if (n > 10) return;
    for (int i = 0; i < n; i++)
        for (int k = 0; k < i; k++)
            if (fabs(atn_axis_place(x, v[i]) - atn_axis_place(x, v[k])) < apart) return;
    x->ticks = n;
    for (int i = 0; i < n; i++) x->tick[i] = v[i];
}

double atn_axis_place(const atn_axis *x, double v)
{
    if (!x->log) return v;
    return v > 0 ? fmax(log10(v), x->lo) : x->lo;
}

bool atn_axis_is_below(const atn_axis *x, double v)
{
    return x->log && !(v > 0 && log10(v) >= x->lo);
}

/* Of one form along an axis: powers of ten as such where some are too long to write. */
static void tick_label(const atn_axis *x, double v, char out[32])
{
    bool powers = x->log && x->ticks > 1, extreme = false;
    int e;

    for (int i = 0; powers && i < x->ticks; i++) {
        const double t = x->tick[i];

        powers = fabs(log10(t) - rint(log10(t))) < 1e-9;
        extreme |= t >= 0.99e5 || t < 0.99e-3;
    }
    e = powers && extreme ? (int)rint(log10(v)) : 0;
    if (powers && extreme)
        snprintf(out, 32, "1e%d", e);
    else
        atn_number_label(v, out);
}

void atn_axes_draw(atn_canvas *c, atn_plot_area *a, const atn_axis *x,
                   const atn_axis *y, const char *x_label, const char *y_label)
{
    char text[32];

    a->x0 = x->lo;
    a->x1 = x->hi;
    a->y0 = y->lo;
    a->y1 = y->hi;
    for (int i = 0; i < y->ticks; i++) {
        const double at = atn_plot_py(a, atn_axis_place(y, y->tick[i]));

        atn_canvas_grey(c, 0.9);
        atn_canvas_line(c, a->x, at, a->x + a->w, at, 0.4);
        atn_canvas_grey(c, 0);
        tick_label(y, y->tick[i], text);
        atn_canvas_text(c, a->x - c->font * 0.4, at, ATN_RIGHT, 0.85, 0, 0, text);
    }
    for (int i = 0; i < x->ticks; i++) {
        const double at = atn_plot_px(a, atn_axis_place(x, x->tick[i]));

        atn_canvas_grey(c, 0.9);
        atn_canvas_line(c, at, a->y, at, a->y + a->h, 0.4);
        atn_canvas_grey(c, 0);
        tick_label(x, x->tick[i], text);
        atn_canvas_text(c, at, a->y + a->h + c->font * 0.8, ATN_CENTRE, 0.85, 0, 0,
                        text);
    }
    atn_canvas_frame(c, a->x, a->y, a->w, a->h);
    atn_canvas_text(c, a->x + a->w / 2, a->y + a->h + c->font * 2.2, ATN_CENTRE, 1, 0,
                    a->w, x_label);
    atn_canvas_text(c, c->font * 0.9, a->y + a->h / 2, ATN_CENTRE, 1, -90, a->h,
                    y_label);
}

void atn_axes_say_below(atn_canvas *c, const atn_plot_area *a, int below, int all)
{
    char text[120];

    if (below == 0) return;
    snprintf(text, sizeof text,
             "hollow: below the axis, 0 or under %g of the largest: %d of %d points",
             NOTHING, below, all);
    atn_canvas_grey(c, 0.35);
    atn_canvas_text(c, a->x, c->height - c->font * 0.8, ATN_LEFT, 0.8, 0, a->w, text);
}
