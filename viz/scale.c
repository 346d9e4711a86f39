/* viz/scale.c -- values to colours, colour bars, ticks, matrices as rasters, token axes.
 *
 * Math    linear (v - low) / (high - low); log10 with a floor f: log(max(v, f)/f) / log(high/f);
 *         rank: the share of values below v.
 * Limits  a raster has at most 1024 cells a side; above that neighbouring cells are joined by
 *         their maximum.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "viz/canvas.h"
#include "viz/palette.h"

enum { RASTER_CELLS = 1024, RASTER_PIXELS = 768 };
static const double MASKED[3] = {0.82, 0.82, 0.84};

static int ascending(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

static double quantile(const double *sorted, atn_idx n, double q)
{
    const double at = q * (double)(n - 1);
    const atn_idx i = (atn_idx)at;

    return i + 1 < n ? sorted[i] + (at - (double)i) * (sorted[i + 1] - sorted[i])
                     : sorted[n - 1];
}

atn_status atn_scale_fit(atn_ctx *cx, atn_cmat m, atn_scale_kind kind, double floor,
                         double clip, const char *palette, atn_scale *out)
{
    const bool sort = kind == ATN_SCALE_RANK || clip > 0;
    atn_status st = ATN_OK;

    *out = (atn_scale){.kind = kind,
                       .floor = floor,
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
    if (sort) qsort(out->sorted, (size_t)out->n, sizeof *out->sorted, ascending);
    out->low = out->min >= 0 ? 0 : out->min;
    out->high = clip > 0 && out->n > 0 ? quantile(out->sorted, out->n, clip) : out->max;
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
        snprintf(out, 32, "%.4g", v);
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

/* ---- the bar ---- */

/* Position (0..1 from the bottom) and value of up to 16 ticks. */
static int bar_ticks(const atn_scale *s, double at[16], double value[16])
{
    int n = 0;

    if (s->kind == ATN_SCALE_LINEAR) {
        n = atn_nice_ticks(s->low, s->high, 4, value);
    } else if (s->kind == ATN_SCALE_LOG) {
        for (double v = s->floor; v <= s->high * 1.001 && n < 16; v *= 10)
            value[n++] = v;
    } else {
        for (n = 0; n < 5; n++)
            value[n] = s->n > 0 ? quantile(s->sorted, s->n, n / 4.0) : 0;
    }
    for (int i = 0; i < n; i++)
        at[i] = s->kind == ATN_SCALE_RANK ? i / 4.0 : atn_scale_at(s, value[i]);
    return n;
}

void atn_scale_bar(atn_canvas *c, const atn_scale *s, double x, double y, double w,
                   double h, const char *label)
{
    enum { STEPS = 64 };
    double at[16], value[16];
    const int n = bar_ticks(s, at, value);
    char text[32], line[96], low[32], high[32];

    for (int i = 0; i < STEPS; i++) {
        atn_canvas_colour(c, atn_palette_at(s->palette, (i + 0.5) / STEPS));
        /* a hair of overlap, or viewers show seams */
        atn_canvas_rect(c, x, y + h - (i + 1) * h / STEPS, w,
                        h / STEPS + (i > 0 ? 0.4 : 0));
    }
    atn_canvas_grey(c, 0.3);
    atn_canvas_frame(c, x, y, w, h);
    for (int i = 0; i < n; i++) {
        const double ty = y + h - at[i] * h;
        atn_number_label(value[i], text);
        if (s->kind == ATN_SCALE_LOG && i == 0)
            snprintf(line, sizeof line, "\xe2\x89\xa4%s", text);
        atn_canvas_line(c, x + w, ty, x + w + 2, ty, 0.5);
        atn_canvas_text(c, x + w + 3.5, ty, ATN_LEFT, 0.85, 0, 0,
                        s->kind == ATN_SCALE_LOG && i == 0 ? line : text);
    }
    atn_number_label(s->min, low);
    atn_number_label(s->max, high);
    snprintf(line, sizeof line, "min %s", low);
    atn_canvas_text(c, x, y + h + c->font * 1.1, ATN_LEFT, 0.75, 0, 0, line);
    snprintf(line, sizeof line, "max %s", high);
    atn_canvas_text(c, x, y + h + c->font * 2.0, ATN_LEFT, 0.75, 0, 0, line);
    if (label && *label)
        atn_canvas_text(c, x + w + c->font * 3.9, y + h / 2, ATN_CENTRE, 0.85, -90, h,
                        label);
}

/* ---- matrices ---- */

/* Largest finite value of a block of cells; NaN when there is none. */
static double block_max(atn_cmat m, atn_idx r0, atn_idx c0, atn_idx size)
{
    double max = NAN;

    for (atn_idx r = r0; r < ATN_MIN(r0 + size, m.rows); r++)
        for (atn_idx j = c0; j < ATN_MIN(c0 + size, m.cols); j++)
            max = fmax(max, (double)atn_crow(m, r)[j]);
    return max;
}

static uint32_t pixel_of(const atn_scale *s, double v)
{
    const double x = atn_scale_at(s, v);
    const unsigned char *rgb;

    if (isnan(x))
        return 0xff000000u | (uint32_t)(MASKED[0] * 255) << 16 |
               (uint32_t)(MASKED[1] * 255) << 8 | (uint32_t)(MASKED[2] * 255);
    rgb = atn_palette_at(s->palette, x);
    return 0xff000000u | (uint32_t)rgb[0] << 16 | (uint32_t)rgb[1] << 8 | rgb[2];
}

/* Cells are repeated so often that viewers that smooth images leave their edges sharp. */
static void paint_pixels(cairo_surface_t *image, atn_cmat m, const atn_scale *s,
                         atn_idx size, atn_idx repeat)
{
    const int stride = cairo_image_surface_get_stride(image);
    unsigned char *data = cairo_image_surface_get_data(image);
    const atn_idx rows = (m.rows + size - 1) / size, cols = (m.cols + size - 1) / size;

    for (atn_idx r = 0; r < rows; r++) {
        uint32_t *first = (uint32_t *)(void *)(data + r * repeat * stride);

        for (atn_idx j = 0; j < cols; j++) {
            const uint32_t pixel = pixel_of(s, block_max(m, r * size, j * size, size));
            for (atn_idx k = 0; k < repeat; k++) first[j * repeat + k] = pixel;
        }
        for (atn_idx k = 1; k < repeat; k++)
            memcpy(data + (r * repeat + k) * stride, first,
                   (size_t)(cols * repeat) * sizeof *first);
    }
}

atn_status atn_canvas_matrix(atn_ctx *cx, atn_canvas *c, atn_cmat m, const atn_scale *s,
                             double x, double y, double w, double h, atn_idx *joined)
{
    const atn_idx longest = ATN_MAX(ATN_MAX(m.rows, m.cols), 1);
    const atn_idx size = (longest + RASTER_CELLS - 1) / RASTER_CELLS;
    const atn_idx rows = (m.rows + size - 1) / size, cols = (m.cols + size - 1) / size;
    const atn_idx repeat = ATN_MAX(RASTER_PIXELS / ATN_MAX(ATN_MAX(rows, cols), 1), 1);
    cairo_surface_t *image = cairo_image_surface_create(
        CAIRO_FORMAT_RGB24, (int)(cols * repeat), (int)(rows * repeat));

    if (joined) *joined = size;
    if (cairo_surface_status(image) != CAIRO_STATUS_SUCCESS) {
        cairo_surface_destroy(image);
        return atn_fail(cx, ATN_MEMORY, __FILE__, __LINE__,
                        "no memory for a raster of %lld x %lld",
                        (long long)(cols * repeat), (long long)(rows * repeat));
    }
    paint_pixels(image, m, s, size, repeat);
    cairo_surface_mark_dirty(image);
    cairo_save(c->cr);
    cairo_translate(c->cr, x, y);
    cairo_scale(c->cr, w / (double)(cols * repeat), h / (double)(rows * repeat));
    cairo_set_source_surface(c->cr, image, 0, 0);
    cairo_pattern_set_filter(cairo_get_source(c->cr), CAIRO_FILTER_NEAREST);
    cairo_paint(c->cr);
    cairo_restore(c->cr);
    cairo_surface_destroy(image);
    return ATN_OK;
}

/* ---- axes ---- */

enum { LABEL_CHARS = 14 };

/* Relative size of token labels in cells this high; 0 = they do not fit. */
static double label_size(const atn_canvas *c, atn_idx n, double extent)
{
    const double cell = extent / (double)ATN_MAX(n, 1);

    return cell >= c->font * 1.15  ? 1
           : cell >= c->font * 0.7 ? cell / (c->font * 1.15)
                                   : 0;
}

/* The widest label at this size, in points. */
static double widest_label(atn_canvas *c, const char *const *texts, atn_idx n,
                           double size)
{
    double widest = 0;
    char label[96];

    for (atn_idx i = 0; i < n; i++) {
        atn_token_label(texts[i], LABEL_CHARS, label, sizeof label);
        widest = fmax(widest, atn_canvas_text_width(c, 0.9 * size, label));
    }
    return widest;
}

double atn_axis_room(atn_canvas *c, const char *const *texts, atn_idx n, double extent,
                     double unit, bool left)
{
    const double size = texts ? label_size(c, n, extent) : 0;
    double widest;
    char label[96];

    if (size == 0) {
        snprintf(label, sizeof label, "%.0f", (double)n * unit);
        return left ? atn_canvas_text_width(c, 0.9, label) + 6 : c->font * 1.6;
    }
    widest = widest_label(c, texts, n, size);
    /* labels that fit into their cells lie flat */
    if (!left && widest < 0.9 * extent / (double)n) return c->font * 1.6;
    return widest + 6;
}

void atn_axis_draw(atn_canvas *c, const char *const *texts, atn_idx n, double x,
                   double y, double extent, double unit, bool left)
{
    const double size = texts ? label_size(c, n, extent) : 0,
                 cell = extent / (double)ATN_MAX(n, 1);
    const int want = (int)fmax(2, extent / (c->font * (left ? 4 : 6)));
    double ticks[16];
    const int n_ticks =
        size > 0 ? 0 : atn_nice_ticks(0, (double)n * unit, ATN_MIN(want, 8), ticks);
    const bool flat = size > 0 && !left && widest_label(c, texts, n, size) < 0.9 * cell;
    char label[96];

    atn_canvas_grey(c, 0.15);
    for (atn_idx i = 0; size > 0 && i < n; i++) {
        const double at = ((double)i + 0.5) * cell;

        atn_token_label(texts[i], LABEL_CHARS, label, sizeof label);
        if (left)
            atn_canvas_text(c, x - 3, y + at, ATN_RIGHT, 0.9 * size, 0, 0, label);
        else if (flat)
            atn_canvas_text(c, x + at, y + 3 + c->font * 0.6, ATN_CENTRE, 0.9 * size, 0,
                            0, label);
        else
            atn_canvas_text(c, x + at, y + 3, ATN_RIGHT, 0.9 * size, -90, 0, label);
    }
    for (int i = 0; i < n_ticks; i++) {
        const double at = ticks[i] / unit * cell;

        if (ticks[i] / unit != floor(ticks[i] / unit) && unit == 1) continue;
        atn_number_label(ticks[i], label);
        if (left) {
            atn_canvas_line(c, x - 2, y + at, x, y + at, 0.5);
            atn_canvas_text(c, x - 3.5, y + at, ATN_RIGHT, 0.9, 0, 0, label);
        } else {
            atn_canvas_line(c, x + at, y, x + at, y + 2, 0.5);
            atn_canvas_text(c, x + at, y + 3 + c->font * 0.6, ATN_CENTRE, 0.9, 0, 0,
                            label);
        }
    }
}
