/* viz/cta_timeline.c -- the CTAs of a launch on the SMs of a GPU, over time.
 *
 * Accepts  a table of kind timeline, a row a CTA: columns sm, begin_ms, end_ms, and
 *          visits, head, tile where there are some.
 * Limits   above 4000 CTAs, or where they are too short to be told apart, those of a
 *          cell of time are joined: its colour is the mean over time.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "viz/palette.h"
#include "viz/plot.h"

extern const atn_figure atn_figure_cta_timeline;

enum { COLOUR_TILES, COLOUR_HEAD, CTAS_MOST = 4000, BINS_MOST = 1024, SMS_MOST = 4096 };
static const double WIDTH_LEAST = 1.5; /* points of a CTA, in the mean */

typedef struct timeline_params {
    int colour;
} timeline_params;

static const atn_param params[] = {
    ATN_PARAM_CHOICE(timeline_params, colour, COLOUR_TILES, "tiles|head",
                     "what the colours are of"),
    ATN_PARAM_END,
};

typedef struct plot {
    const atn_table *t;
    int sm, begin, end, colour;
    bool heads; /* the colours are of heads */
    atn_idx ctas;
    int64_t sms;       /* largest SM + 1 */
    double from, to;   /* ms */
    double first;      /* when the first CTA begins */
    double first_idle; /* when the first SM has nothing more to do */
    double busy;       /* sum over CTAs, ms */
    atn_scale scale;
    bool scaled, joined;
    int bins; /* cells of time: no narrower than a pixel of a coarse picture, or they
                 are joined across SMs */
    float *values; /* [ctas] of the colours */
    atn_plot_area a;
    double foot;
    char note[480];
} plot;

static plot columns_of(const atn_table *t, int colour)
{
    return (plot){.t = t,
                  .sm = atn_table_find_col(t, "sm"),
                  .begin = atn_table_find_col(t, "begin_ms"),
                  .end = atn_table_find_col(t, "end_ms"),
                  .colour =
                      atn_table_find_col(t, colour == COLOUR_HEAD ? "head" : "visits"),
                  .heads = colour == COLOUR_HEAD};
}

static bool usable(const plot *p, atn_idx r)
{
    const double begin = atn_table_get_f64(p->t, r, p->begin),
                 end = atn_table_get_f64(p->t, r, p->end),
                 sm = atn_table_get_f64(p->t, r, p->sm);

    return begin >= 0 && end >= begin && end < 1e300 && sm >= 0 && sm < SMS_MOST &&
           sm == floor(sm);
}

/* Its SM, where the row is usable: the column may be one of real numbers. */
static int64_t sm_of(const plot *p, atn_idx r)
{
    return (int64_t)atn_table_get_f64(p->t, r, p->sm);
}

static const char *check(const atn_table *t)
{
    const plot p = columns_of(t, COLOUR_TILES);
    bool any = false;

    if (!atn_is_number_col(t, p.sm) || !atn_is_number_col(t, p.begin) ||
        !atn_is_number_col(t, p.end))
        return "it has no numeric columns sm, begin_ms and end_ms (give the table of "
               "attnscope plot cta_timeline)";
    for (atn_idx r = 0; r < atn_table_rows(t); r++) {
        if (atn_table_get_f64(t, r, p.sm) >= SMS_MOST)
            return "it has more than 4096 SMs";
        any |= usable(&p, r) && atn_table_get_f64(t, r, p.end) > 0;
    }
    return any ? NULL : "no row is a CTA on an SM with a beginning and an end";
}

/* ---- what there is to draw ---- */

/* When each SM ends, and what of it is idle. */
static atn_status find_ends(atn_ctx *cx, plot *p)
{
    const atn_arena_mark mark = atn_arena_save(cx);
    double *end = NULL;
    atn_status st = ATN_OK;

    ATN_TAKE(end, p->sms);
    for (int64_t s = 0; s < p->sms; s++) end[s] = p->from;
    for (atn_idx r = 0; r < atn_table_rows(p->t); r++) {
        const int64_t s = usable(p, r) ? sm_of(p, r) : -1;

        if (s >= 0) end[s] = fmax(end[s], atn_table_get_f64(p->t, r, p->end));
    }
    p->first_idle = p->to;
    for (int64_t s = 0; s < p->sms; s++) p->first_idle = fmin(p->first_idle, end[s]);
done:
    atn_arena_rewind(cx, mark);
    return st;
}

static atn_status find_range(atn_ctx *cx, plot *p)
{
    const atn_table *t = p->t;
    atn_status st = ATN_OK;

    p->from = INFINITY;
    ATN_TAKE(p->values, atn_table_rows(t));
    for (atn_idx r = 0; r < atn_table_rows(t); r++) {
        const double begin = atn_table_get_f64(t, r, p->begin),
                     end = atn_table_get_f64(t, r, p->end);

        if (!usable(p, r)) continue;
        p->values[p->ctas++] =
            (float)(p->colour >= 0 ? atn_table_get_f64(t, r, p->colour) : NAN);
        p->from = fmin(p->from, begin);
        p->to = fmax(p->to, end);
        p->busy += end - begin;
        p->sms = ATN_MAX(p->sms, sm_of(p, r) + 1);
    }
    p->first = p->from;
    p->from = fmin(p->from, 0);
    p->sms = ATN_MAX(p->sms, (int64_t)fmin(atn_meta_number(t, "sms", 1), SMS_MOST));
    ATN_TRY(find_ends(cx, p));
done:
    return st;
}

static atn_status find_colours(atn_ctx *cx, plot *p, const atn_figure_opts *o)
{
    const char *palette = o->palette ? o->palette : "viridis";
    atn_status st = ATN_OK;
    bool any = false;

    for (atn_idx i = 0; i < p->ctas; i++) any |= isfinite(p->values[i]);
    p->scaled = any;
    if (!any) goto done;
    ATN_TRY(atn_scale_fit(cx, (atn_cmat){p->values, 1, p->ctas, p->ctas},
                          ATN_SCALE_LINEAR, 1e-4, 0, palette, &p->scale));
done:
    return st;
}

static void make_note(plot *p)
{
    const double whole = (p->to - p->from) * (double)p->sms;
    const double bin = (p->to - p->from) / p->bins * 1e3;
    char ms[32], idle[32], launch[32];
    size_t n;

    atn_number_label(p->to, ms);
    atn_number_label(p->to - p->first_idle, idle);
    n = (size_t)snprintf(
        p->note, sizeof p->note,
        "%lld CTA%s on %lld SM%s in %s ms, %.4g an SM; SMs are busy %.3g %% of the "
        "time; "
        "dashed: the first SM has nothing more to do, %s ms before the end",
        (long long)p->ctas, p->ctas == 1 ? "" : "s", (long long)p->sms,
        p->sms == 1 ? "" : "s", ms, (double)p->ctas / (double)p->sms,
        whole > 0 ? 100 * p->busy / whole : 0, idle);
    atn_number_label(p->first, launch);
    if (p->first > 0)
        n += (size_t)snprintf(p->note + n, sizeof p->note - n,
                              "; white at the left: the launch, %s ms until a CTA runs",
                              launch);
    if (p->joined)
        snprintf(p->note + n, sizeof p->note - n,
                 "; CTAs are joined: a cell is %.4g us of an SM, its colour the mean",
                 bin);
}

/* ---- layout ---- */

static double note(atn_canvas *c, const plot *p, double y, bool draw)
{
    return atn_canvas_note(c,
                           &(atn_note){.x = c->width / 2,
                                       .y = y,
                                       .width = c->width - 2 * c->font,
                                       .size = 0.8,
                                       .text = p->note},
                           draw);
}

static atn_status lay_out(atn_ctx *cx, atn_canvas *c, const atn_table *t, int colour,
                          const atn_figure_opts *o, plot *p)
{
    const double top = atn_heading_height(t, 1, c->font) + c->font * 0.4;
    atn_status st = ATN_OK;
    double bar;

    *p = columns_of(t, colour);
    ATN_TRY(find_range(cx, p));
    ATN_TRY(find_colours(cx, p, o));
    bar = p->scaled ? atn_scale_bar_room(c, &p->scale) : c->font;
    p->a = (atn_plot_area){.x = c->font * 4.5, .y = top};
    p->a.w = c->width - p->a.x - bar - c->font * 0.8;
    p->joined = p->ctas > CTAS_MOST ||
                p->busy / (double)p->ctas / (p->to - p->from) * p->a.w < WIDTH_LEAST;
    p->bins = (int)fmax(16, fmin(floor(p->a.w), BINS_MOST));
    make_note(p);
    p->foot = c->font * 3.4 + note(c, p, 0, false) + c->font * 0.6;
    p->a.h = isfinite(c->height)
                 ? c->height - top - p->foot
                 : fmin(fmax(c->font * 20, 2.2 * (double)p->sms), c->font * 50);
    ATN_TRY(atn_canvas_fits(cx, c, p->a.w, p->a.h));
done:
    return st;
}

static atn_status height(atn_ctx *cx, atn_canvas *c, const atn_table *t, const void *q,
                         const atn_figure_opts *o, double *points)
{
    const timeline_params *asked = q;
    const atn_arena_mark mark = atn_arena_save(cx);
    atn_status st = ATN_OK;
    plot p;

    ATN_TRY(lay_out(cx, c, t, asked->colour, o, &p));
    *points = p.a.y + p.a.h + p.foot;
done:
    atn_arena_rewind(cx, mark);
    return st;
}

/* ---- drawing ---- */

static void draw_ticks(atn_canvas *c, const plot *p)
{
    const atn_plot_area *a = &p->a;
    double ticks[16];
    char text[32];
    int n = atn_nice_ticks(p->from, p->to, (int)fmax(2, a->w / (c->font * 6)), ticks);

    atn_canvas_grey(c, 0);
    for (int i = 0; i < n; i++) {
        const double x = atn_plot_px(a, ticks[i]);

        atn_number_label(ticks[i], text);
        atn_canvas_line(c, x, a->y + a->h, x, a->y + a->h + 2, 0.5);
        atn_canvas_text(c, x, a->y + a->h + c->font, ATN_CENTRE, 0.85, 0, 0, text);
    }
    n = atn_nice_ticks(0, (double)p->sms, (int)fmax(2, a->h / (c->font * 4)), ticks);
    for (int i = 0; i < n; i++) {
        const double y = a->y + (ticks[i] + 0.5) / (double)p->sms * a->h;

        if (ticks[i] >= (double)p->sms || ticks[i] != floor(ticks[i])) continue;
        snprintf(text, sizeof text, "%.0f", ticks[i]);
        atn_canvas_line(c, a->x - 2, y, a->x, y, 0.5);
        atn_canvas_text(c, a->x - c->font * 0.5, y, ATN_RIGHT, 0.85, 0, 0, text);
    }
    atn_canvas_text(c, a->x + a->w / 2, a->y + a->h + c->font * 2.3, ATN_CENTRE, 0.95,
                    0, a->w, "time (ms)");
    atn_canvas_text(c, c->font, a->y + a->h / 2, ATN_CENTRE, 0.95, -90, a->h, "SM");
}

static void set_colour(atn_canvas *c, const plot *p, double v)
{
    if (p->scaled && isfinite(v))
        atn_canvas_colour(c,
                          atn_palette_at(p->scale.palette, atn_scale_at(&p->scale, v)));
    else
        atn_canvas_grey(c, 0.6);
}

/* Each by itself, a hair of white between neighbours. */
static void draw_ctas(atn_canvas *c, const plot *p)
{
    const double row = p->a.h / (double)p->sms, gap = fmin(0.12 * row, 0.5);
    atn_idx i = 0;

    for (atn_idx r = 0; r < atn_table_rows(p->t); r++) {
        double x0, x1, y;

        if (!usable(p, r)) continue;
        x0 = atn_plot_px(&p->a, atn_table_get_f64(p->t, r, p->begin));
        x1 = atn_plot_px(&p->a, atn_table_get_f64(p->t, r, p->end));
        y = p->a.y + (double)sm_of(p, r) * row;
        set_colour(c, p, (double)p->values[i++]);
        atn_canvas_rect(c, x0, y + gap / 2, fmax(x1 - x0 - 0.4, 0.3), row - gap);
    }
}

/* ---- many CTAs: cells of time ---- */

typedef struct bins {
    const plot *p;
    double *time, *sum; /* [sms, bins] that is busy; of its values */
} bins;

/* Spreads the time of a CTA over its cells. */
static void add_cta(const bins *b, int64_t sm, double begin, double end, double v)
{
    const int n = b->p->bins;
    const double step = (b->p->to - b->p->from) / n;
    const double x0 = (begin - b->p->from) / step, x1 = (end - b->p->from) / step;

    for (int k = (int)fmin(x0, n - 1); k < n && k < x1; k++) {
        const double part = fmin(x1, k + 1) - fmax(x0, k);

        if (!(part > 0)) continue;
        b->time[sm * n + k] += part;
        b->sum[sm * n + k] += part * v;
    }
}

/* Paler where an SM is idle for a part of the cell. */
static uint32_t pixel(const void *state, atn_idx r, atn_idx j, atn_idx n)
{
    const bins *b = state;
    const plot *p = b->p;
    double time = 0, sum = 0, share;
    const unsigned char *of;
    unsigned char rgb[3] = {153, 153, 153};
    atn_idx cells = 0;

    for (atn_idx s = r; s < ATN_MIN(r + n, (atn_idx)p->sms); s++)
        for (atn_idx k = j; k < ATN_MIN(j + n, (atn_idx)p->bins); k++, cells++) {
            time += b->time[s * p->bins + k];
            sum += b->sum[s * p->bins + k];
        }
    if (!(time > 0)) return 0;
    share = fmin(time / (double)cells, 1);
    if (p->scaled && isfinite(sum)) {
        of = atn_palette_at(p->scale.palette, atn_scale_at(&p->scale, sum / time));
        memcpy(rgb, of, sizeof rgb);
    }
    for (int k = 0; k < 3; k++)
        rgb[k] = (unsigned char)(255 - share * (255 - rgb[k]) + 0.5);
    return atn_pixel(rgb);
}

static atn_status draw_bins(atn_ctx *cx, atn_canvas *c, const plot *p)
{
    const atn_arena_mark mark = atn_arena_save(cx);
    bins b = {.p = p};
    atn_status st = ATN_OK;
    atn_idx i = 0;

    ATN_TAKE(b.time, p->sms * p->bins);
    ATN_TAKE(b.sum, p->sms * p->bins);
    memset(b.time, 0, (size_t)(p->sms * p->bins) * sizeof *b.time);
    memset(b.sum, 0, (size_t)(p->sms * p->bins) * sizeof *b.sum);
    for (atn_idx r = 0; r < atn_table_rows(p->t); r++)
        if (usable(p, r))
            add_cta(&b, sm_of(p, r), atn_table_get_f64(p->t, r, p->begin),
                    atn_table_get_f64(p->t, r, p->end), (double)p->values[i++]);
    ATN_TRY(atn_canvas_cells(cx, c,
                             &(atn_cells){.rows = p->sms,
                                          .cols = p->bins,
                                          .x = p->a.x,
                                          .y = p->a.y,
                                          .w = p->a.w,
                                          .h = p->a.h,
                                          .pixel = pixel,
                                          .state = &b}));
done:
    atn_arena_rewind(cx, mark);
    return st;
}

static void draw_idle(atn_canvas *c, const plot *p)
{
    static const double dash[] = {3, 2};
    const double x = atn_plot_px(&p->a, p->first_idle);

    atn_canvas_grey(c, 0.1);
    cairo_set_dash(c->cr, dash, 2, 0);
    atn_canvas_line(c, x, p->a.y, x, p->a.y + p->a.h, 0.9);
    cairo_set_dash(c->cr, NULL, 0, 0);
}

static atn_status draw(atn_ctx *cx, atn_canvas *c, const atn_table *t, const void *q,
                       const atn_figure_opts *o)
{
    const timeline_params *asked = q;
    const atn_arena_mark mark = atn_arena_save(cx);
    atn_figure_opts with = *o;
    atn_status st = ATN_OK;
    plot p;

    if (!o->title && !atn_table_get_meta(t, "title"))
        with.title = "CTAs on the SMs over time";
    ATN_TRY(lay_out(cx, c, t, asked->colour, o, &p));
    (void)atn_figure_heading(c, t, &with, 1);
    p.a.x0 = p.from;
    p.a.x1 = p.to;
    if (p.joined)
        ATN_TRY(draw_bins(cx, c, &p));
    else
        draw_ctas(c, &p);
    draw_idle(c, &p);
    atn_canvas_grey(c, 0);
    atn_canvas_frame(c, p.a.x, p.a.y, p.a.w, p.a.h);
    draw_ticks(c, &p);
    if (p.scaled)
        atn_scale_bar(c, &p.scale, p.a.x + p.a.w + c->font * 1.2, p.a.y, p.a.h,
                      p.heads ? "head" : "tiles of a CTA");
    atn_canvas_grey(c, 0.3);
    (void)note(c, &p, p.a.y + p.a.h + c->font * 3.4, true);
done:
    atn_arena_rewind(cx, mark);
    return st;
}

const atn_figure atn_figure_cta_timeline = {
    .id = "cta_timeline",
    .title = "CTAs on the SMs over time",
    .text = "which SM runs which CTA and when, of a table of a schedule",
    .params = params,
    .params_size = sizeof(timeline_params),
    .palette = true,
    .check = check,
    .height = height,
    .draw = draw,
};
