/* viz/scale.c -- values to colours, colour bars, ticks, matrices as rasters, token
 * axes.
 *
 * Math    linear (v - low) / (high - low); log10 with a floor f: log(max(v, f)/f) /
 *         log(high/f); rank: the share of values below v.
 * Limits  a raster has at most 1024 cells a side, all rasters of a page together
 *         RASTER_BUDGET pixels; above that neighbouring cells are joined by their
 *         maximum.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "viz/canvas.h"
#include "viz/palette.h"

enum { RASTER_CELLS = 1024, RASTER_PIXELS = 768, RASTER_BUDGET = 6 << 20 };
static const double MASKED[3] = {0.82, 0.82, 0.84};

void atn_canvas_masked(atn_canvas *c)
{
    cairo_set_source_rgb(c->cr, MASKED[0], MASKED[1], MASKED[2]);
}

atn_status atn_scale_fit(atn_ctx *cx, atn_cmat m, atn_scale_kind kind, double floor,
                         double clip, const char *palette, atn_scale *out)
{
    const bool sort = kind == ATN_SCALE_RANK || clip > 0;
    atn_status st = ATN_OK;

    *out = (atn_scale){.kind = kind,
                       .floor = floor,
                       .clip = clip,
                       .min = INFINITY,
                       .max = -INFINITY,
                       .palette = atn_palette_find(palette)};
    if (!out->palette)
        ATN_FAIL(ATN_USAGE, "palette '%s' is not one of %s", palette, ATN_PALETTES);
    if (sort) ATN_TAKE(out->sorted, m.rows * m.cols);
    for (atn_idx i = 0; i < m.rows; i++)
        for (atn_idx j = 0; j < m.cols; j++) {
            const double v = (double)atn_crow(m, i)[j];
            if (!isfinite(v)) continue;
            out->min = fmin(out->min, v);
            out->max = fmax(out->max, v);
            if (sort) out->sorted[out->n] = v;
            out->n++;
        }
    if (out->n == 0) out->min = out->max = 0;
    if (sort) atn_sort(out->sorted, out->n);
    out->low = out->min >= 0 ? 0 : out->min;
    out->high =
        clip > 0 && out->n > 0 ? atn_quantile(out->sorted, out->n, clip) : out->max;
    if (strcmp(palette, "diverging") == 0) {
        out->high = fmax(fabs(out->low), fabs(out->high));
        out->low = -out->high;
    }
    if (kind == ATN_SCALE_LOG) {
        out->high = fmax(out->high, 10 * floor);
        out->low = floor;
    }
    if (!(out->high > out->low)) out->high = out->low + 1;
done:
    return st;
}

/* How many sorted values are below v. */
static atn_idx count_below(const atn_scale *s, double v)
{
    atn_idx lo = 0, hi = s->n;

    while (lo < hi) {
        const atn_idx mid = (lo + hi) / 2;
        if (s->sorted[mid] < v)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo;
}

double atn_scale_at(const atn_scale *s, double v)
{
    if (!isfinite(v)) return NAN;
    if (s->kind == ATN_SCALE_LOG)
        return log(fmax(v, s->floor) / s->floor) / log(s->high / s->floor);
    if (s->kind == ATN_SCALE_RANK)
        return s->n > 1 ? (double)count_below(s, v) / (double)(s->n - 1) : 0;
    return (v - s->low) / (s->high - s->low);
}

void atn_number_label(double v, char out[32])
{
    if (v != 0 && (fabs(v) >= 1e5 || fabs(v) < 1e-3))
        snprintf(out, 32, "%.2g", v);
    else
        snprintf(out, 32, fabs(v) < 1e4 ? "%.4g" : "%.5g", v);
}

int atn_nice_ticks(double low, double high, int want, double ticks[16])
{
    const double span = high - low, raw = span / ATN_MAX(want, 1);
    const double power = pow(10, floor(log10(raw))), lead = raw / power;
    const double step = power * (lead <= 1 ? 1 : lead <= 2 ? 2 : lead <= 5 ? 5 : 10);
    int n = 0;

    if (!(span > 0) || !isfinite(step)) return 0;
    for (double v = ceil(low / step - 1e-9) * step; v <= high + 1e-9 * span && n < 16;
         v += step)
        ticks[n++] = fabs(v) < 1e-9 * step ? 0 : v;
    return n;
}

double atn_label_step(double cell, double need)
{
    static const double steps[] = {1, 2, 5};
    double power = 1;

    if (!(cell > 0)) return INFINITY;
    for (;; power *= 10)
        for (size_t i = 0; i < ATN_LEN(steps); i++)
            if (steps[i] * power * cell >= need) return steps[i] * power;
}

/* ---- the bar ---- */

static const double BAR_GAP = 1.2, BAR_WIDTH = 1; /* of the font */

/* Quantiles, each value once: equal values have one colour. */
static int rank_ticks(const atn_scale *s, double value[16])
{
    int n = 0;

    for (int i = 0; i < 5; i++) {
        const double v = s->n > 0 ? s->sorted[i * (s->n - 1) / 4] : 0;

        if (n == 0 || v > value[n - 1]) value[n++] = v;
    }
    return n;
}

/* A clipped scale ends in a tick of its own, and those that its label would touch
 * go. */
static int clip_ticks(const atn_scale *s, int n, double value[16])
{
    while (n > 0 && (n == 16 || atn_scale_at(s, value[n - 1]) > 0.92)) n--;
    value[n++] = s->high;
    return n;
}

int atn_scale_ticks(const atn_scale *s, double at[16], double value[16])
{
    int n = 0;

    if (s->kind == ATN_SCALE_LINEAR)
        n = atn_nice_ticks(s->low, s->high, 4, value);
    else if (s->kind == ATN_SCALE_RANK)
        n = rank_ticks(s, value);
    else
        for (double v = s->floor; v <= s->high * 1.001 && n < 16; v *= 10)
            value[n++] = v;
    if (s->clip > 0) n = clip_ticks(s, n, value);
    for (int i = 0; i < n; i++) at[i] = atn_scale_at(s, value[i]);
    return n;
}

/* The text of tick i of n; an end where colours stop before the values do says so. */
static void tick_label(const atn_scale *s, int i, int n, double value, char out[48])
{
    const bool floor = s->kind == ATN_SCALE_LOG && i == 0;
    const bool clip = s->clip > 0 && i + 1 == n;
    char text[32];

    if (s->kind == ATN_SCALE_RANK || clip)
        snprintf(text, sizeof text, "%.3g", value);
    else
        atn_number_label(value, text);
    snprintf(out, 48, "%s%s",
             floor  ? "\xe2\x89\xa4"
             : clip ? "\xe2\x89\xa5"
                    : "",
             text);
}

static double widest_tick(atn_canvas *c, const atn_scale *s)
{
    double at[16], value[16], widest = 0;
    const int n = atn_scale_ticks(s, at, value);
    char text[48];

    for (int i = 0; i < n; i++) {
        tick_label(s, i, n, value[i], text);
        widest = fmax(widest, atn_canvas_text_width(c, 0.85, text));
    }
    return widest;
}

/* From the bar's left edge to the middle of its label. */
static double label_middle(atn_canvas *c, const atn_scale *s)
{
    return BAR_WIDTH * c->font + 3.5 + widest_tick(c, s) + c->font;
}

double atn_scale_bar_room(atn_canvas *c, const atn_scale *s)
{
    /* the lines below the bar are up to 5 wide */
    return BAR_GAP * c->font + fmax(label_middle(c, s) + c->font, 6 * c->font);
}

static double bar_length(const atn_canvas *c, const atn_scale *s, double beside)
{
    const double foot = c->font * (s->clip > 0 ? 4 : 3);

    return fmin(fmax(beside - foot, c->font * 6), c->font * 22);
}

double atn_scale_bar_height(const atn_canvas *c, const atn_scale *s, double beside)
{
    return bar_length(c, s, beside) + c->font * (s->clip > 0 ? 3.5 : 2.6);
}

static void bar_foot(atn_canvas *c, const atn_scale *s, double x, double y)
{
    char text[96], low[32], high[32];

    atn_number_label(s->min, low);
    atn_number_label(s->max, high);
    snprintf(text, sizeof text, "min %s", low);
    atn_canvas_text(c, x, y + c->font * 1.1, ATN_LEFT, 0.75, 0, 0, text);
    snprintf(text, sizeof text, "max %s", high);
    atn_canvas_text(c, x, y + c->font * 2.0, ATN_LEFT, 0.75, 0, 0, text);
    if (!(s->clip > 0)) return;
    snprintf(text, sizeof text, "ends at q%.3g", s->clip);
    atn_canvas_text(c, x, y + c->font * 2.9, ATN_LEFT, 0.75, 0, 0, text);
}

void atn_scale_bar(atn_canvas *c, const atn_scale *s, double x, double y, double beside,
                   const char *label)
{
    const int steps = 64;
    const double w = BAR_WIDTH * c->font, h = bar_length(c, s, beside);
    double at[16], value[16];
    const int n = atn_scale_ticks(s, at, value);
    char text[48];

    for (int i = 0; i < steps; i++) {
        atn_canvas_colour(c, atn_palette_at(s->palette, (i + 0.5) / steps));
        /* a hair of overlap, or viewers show seams */
        atn_canvas_rect(c, x, y + h - (i + 1) * h / steps, w,
                        h / steps + (i > 0 ? 0.4 : 0));
    }
    atn_canvas_grey(c, 0.3);
    atn_canvas_frame(c, x, y, w, h);
    for (int i = 0; i < n; i++) {
        const double ty = y + h - at[i] * h;

        tick_label(s, i, n, value[i], text);
        atn_canvas_line(c, x + w, ty, x + w + 2, ty, 0.5);
        atn_canvas_text(c, x + w + 3.5, ty, ATN_LEFT, 0.85, 0, 0, text);
    }
    bar_foot(c, s, x, y + h);
    atn_canvas_text(c, x + label_middle(c, s), y + h / 2, ATN_CENTRE, 0.85, -90, h,
                    label);
}

/* ---- matrices ---- */

double atn_cells_largest(atn_cmat m, atn_idx r0, atn_idx c0, atn_idx size)
{
    double max = NAN;

    for (atn_idx r = r0; r < ATN_MIN(r0 + size, m.rows); r++)
        for (atn_idx j = c0; j < ATN_MIN(c0 + size, m.cols); j++)
            max = fmax(max, (double)atn_crow(m, r)[j]);
    return max;
}

uint32_t atn_pixel(const unsigned char rgb[3])
{
    return 0xff000000u | (uint32_t)rgb[0] << 16 | (uint32_t)rgb[1] << 8 | rgb[2];
}

static uint32_t pixel_of(const atn_scale *s, double v)
{
    const double x = atn_scale_at(s, v);

    if (isnan(x))
        return 0xff000000u | (uint32_t)(MASKED[0] * 255) << 16 |
               (uint32_t)(MASKED[1] * 255) << 8 | (uint32_t)(MASKED[2] * 255);
    return atn_pixel(atn_palette_at(s->palette, x));
}

/* `size` cells a side are one, painted `repeat` times a side: so viewers that smooth
 * images leave their edges sharp. */
typedef struct raster {
    const atn_cells *cells;
    atn_idx size, repeat;
    cairo_format_t format;
} raster;

static void paint_pixels(cairo_surface_t *image, const raster *of)
{
    const atn_cells *m = of->cells;
    const atn_idx size = of->size, repeat = of->repeat;
    const int stride = cairo_image_surface_get_stride(image);
    unsigned char *data = cairo_image_surface_get_data(image);
    const atn_idx rows = (m->rows + size - 1) / size,
                  cols = (m->cols + size - 1) / size;

    for (atn_idx r = 0; r < rows; r++) {
        uint32_t *first = (uint32_t *)(void *)(data + r * repeat * stride);

        for (atn_idx j = 0; j < cols; j++) {
            const uint32_t pixel = m->pixel(m->state, r * size, j * size, size);
            for (atn_idx k = 0; k < repeat; k++) first[j * repeat + k] = pixel;
        }
        for (atn_idx k = 1; k < repeat; k++)
            memcpy(data + (r * repeat + k) * stride, first,
                   (size_t)(cols * repeat) * sizeof *first);
    }
}

/* Pixels a side that one of so many rasters may have. */
static atn_idx raster_side(atn_idx most, atn_idx panels)
{
    const double share = (double)RASTER_BUDGET / (double)ATN_MAX(panels, 1);

    return ATN_MAX(ATN_MIN(most, (atn_idx)sqrt(share)), 1);
}

atn_idx atn_raster_join(atn_idx cells, atn_idx panels)
{
    const atn_idx most = raster_side(RASTER_CELLS, panels);

    return ATN_MAX((cells + most - 1) / most, 1);
}

static atn_status paint(atn_ctx *cx, atn_canvas *c, raster *of, atn_idx panels)
{
    const atn_cells *m = of->cells;
    const atn_idx rows = (m->rows + of->size - 1) / of->size,
                  cols = (m->cols + of->size - 1) / of->size;
    const atn_idx most = raster_side(RASTER_PIXELS, panels);
    const atn_idx repeat = of->repeat =
        ATN_MAX(most / ATN_MAX(ATN_MAX(rows, cols), 1), 1);
    cairo_surface_t *image = cairo_image_surface_create(
        of->format, (int)(cols * repeat), (int)(rows * repeat));

    if (cairo_surface_status(image) != CAIRO_STATUS_SUCCESS) {
        cairo_surface_destroy(image);
        return atn_fail(cx, ATN_MEMORY, __FILE__, __LINE__,
                        "no memory for a raster of %lld x %lld",
                        (long long)(cols * repeat), (long long)(rows * repeat));
    }
    paint_pixels(image, of);
    cairo_surface_mark_dirty(image);
    cairo_save(c->cr);
    cairo_translate(c->cr, m->x, m->y);
    cairo_scale(c->cr, m->w / (double)(cols * repeat), m->h / (double)(rows * repeat));
    cairo_set_source_surface(c->cr, image, 0, 0);
    cairo_pattern_set_filter(cairo_get_source(c->cr), CAIRO_FILTER_NEAREST);
    cairo_paint(c->cr);
    cairo_restore(c->cr);
    cairo_surface_destroy(image);
    return ATN_OK;
}

/* A matrix with its colours. */
typedef struct coloured {
    atn_cmat m;
    const atn_scale *s;
} coloured;

static uint32_t largest_pixel(const void *state, atn_idx r, atn_idx j, atn_idx n)
{
    const coloured *k = state;

    return pixel_of(k->s, atn_cells_largest(k->m, r, j, n));
}

atn_status atn_canvas_matrix(atn_ctx *cx, atn_canvas *c, atn_cmat m, const atn_scale *s,
                             double x, double y, double w, double h, atn_idx panels)
{
    const atn_cells cells = {m.rows,        m.cols,           x, y, w, h,
                             largest_pixel, &(coloured){m, s}};

    return paint(cx, c,
                 &(raster){.cells = &cells,
                           .size = atn_raster_join(ATN_MAX(m.rows, m.cols), panels),
                           .format = CAIRO_FORMAT_RGB24},
                 panels);
}

/* So many cells are joined that each has a pixel of an image; of a vector format its
 * viewer decides. */
static atn_idx join_of(atn_canvas *c, const atn_cells *m)
{
    const cairo_surface_type_t kind = cairo_surface_get_type(cairo_get_target(c->cr));
    double x = m->w / (double)m->cols, y = m->h / (double)m->rows, least;

    cairo_user_to_device_distance(c->cr, &x, &y);
    least = fmin(fabs(x), fabs(y));
    return ATN_MAX(atn_raster_join(ATN_MAX(m->rows, m->cols), 1),
                   kind == CAIRO_SURFACE_TYPE_IMAGE && least > 1e-6
                       ? (atn_idx)ceil(1 / least)
                       : 1);
}

/* Joined cells may reach beyond the last one: what lies there is cut. */
atn_status atn_canvas_cells(atn_ctx *cx, atn_canvas *c, const atn_cells *cells)
{
    const atn_idx n = join_of(c, cells);
    atn_cells whole = *cells;
    atn_status st;

    whole.w *= (double)((cells->cols + n - 1) / n * n) / (double)cells->cols;
    whole.h *= (double)((cells->rows + n - 1) / n * n) / (double)cells->rows;
    cairo_save(c->cr);
    cairo_rectangle(c->cr, cells->x, cells->y, cells->w, cells->h);
    cairo_clip(c->cr);
    st = paint(cx, c,
               &(raster){.cells = &whole, .size = n, .format = CAIRO_FORMAT_ARGB32}, 1);
    cairo_restore(c->cr);
    return st;
}

/* ---- axes ---- */

enum { LABEL_CHARS = 14 };

/* Relative size of token labels in cells of this size; 0 = they do not fit. */
static double label_size(const atn_canvas *c, const atn_ruler *a)
{
    if (!a->texts) return 0;
    return a->cell >= c->font * 1.15  ? 1
           : a->cell >= c->font * 0.7 ? a->cell / (c->font * 1.15)
                                      : 0;
}

/* The widest label at this size, in points. */
static double widest_label(atn_canvas *c, const atn_ruler *a, double size)
{
    double widest = 0;
    char label[96];

    for (atn_idx i = 0; i < (atn_idx)a->total; i++) {
        atn_token_label(a->texts[i], LABEL_CHARS, label, sizeof label);
        widest = fmax(widest, atn_canvas_text_width(c, 0.9 * size, label));
    }
    return widest;
}

/* Labels below the matrix that fit into their cells lie flat. */
static bool lies_flat(atn_canvas *c, const atn_ruler *a, double size)
{
    return !a->left && widest_label(c, a, size) < 0.9 * a->cell;
}

static double number_width(atn_canvas *c, double v)
{
    char label[32];

    snprintf(label, sizeof label, "%.0f", v);
    return atn_canvas_text_width(c, 0.9, label);
}

/* The widest label of an axis whose texts do not all fit. */
static double widest_number(atn_canvas *c, const atn_ruler *a)
{
    return a->names ? widest_label(c, a, 1) : number_width(c, a->total);
}

bool atn_ruler_skips(const atn_canvas *c, const atn_ruler *a)
{
    return label_size(c, a) == 0;
}

double atn_ruler_step(atn_canvas *c, const atn_ruler *a)
{
    const double need = fmax(widest_number(c, a) + c->font, c->font * 2.5);

    return atn_label_step(a->cell / a->unit, need);
}

double atn_ruler_room(atn_canvas *c, const atn_ruler *a)
{
    const double size = label_size(c, a);

    if (size == 0) return a->left ? widest_number(c, a) + 6 : c->font * 1.6;
    if (lies_flat(c, a, size)) return c->font * 1.6;
    return widest_label(c, a, size) + 6;
}

static void draw_texts(atn_canvas *c, const atn_ruler *a, double x, double y,
                       double size)
{
    const bool flat = lies_flat(c, a, size);
    char label[96];

    for (atn_idx i = 0; i < (atn_idx)a->total; i++) {
        const double at = ((double)i + 0.5) * a->cell;

        atn_token_label(a->texts[i], LABEL_CHARS, label, sizeof label);
        if (a->left)
            atn_canvas_text(c, x - 3, y + at, ATN_RIGHT, 0.9 * size, 0, 0, label);
        else if (flat)
            atn_canvas_text(c, x + at, y + 3 + c->font * 0.6, ATN_CENTRE, 0.9 * size, 0,
                            0, label);
        else
            atn_canvas_text(c, x + at, y + 3, ATN_RIGHT, 0.9 * size, -90, 0, label);
    }
}

/* Numbers stand at the middle of their cell; a cell that joins several, at its first
 * one. */
static void draw_numbers(atn_canvas *c, const atn_ruler *a, double x, double y)
{
    const double middle = a->unit > 1 ? 0 : 0.5;
    const double last = a->unit > 1 ? a->total : a->total - 1;
    char label[96];

    for (double v = 0; v <= last; v += a->step) {
        const double at = (v / a->unit + middle) * a->cell;

        if (a->names)
            atn_token_label(a->texts[(atn_idx)v], LABEL_CHARS, label, sizeof label);
        else
            snprintf(label, sizeof label, "%.0f", v);
        if (a->left) {
            atn_canvas_line(c, x - 2, y + at, x, y + at, 0.5);
            atn_canvas_text(c, x - 3.5, y + at, ATN_RIGHT, 0.9, 0, 0, label);
        } else {
            atn_canvas_line(c, x + at, y, x + at, y + 2, 0.5);
            atn_canvas_text(c, x + at, y + 3 + c->font * 0.6, ATN_CENTRE, 0.9, 0, 0,
                            label);
        }
    }
}

void atn_ruler_draw(atn_canvas *c, const atn_ruler *a, double x, double y)
{
    const double size = label_size(c, a);

    atn_canvas_grey(c, 0.15);
    if (size > 0)
        draw_texts(c, a, x, y, size);
    else
        draw_numbers(c, a, x, y);
}
