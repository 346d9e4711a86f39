/* capture/resample.c -- two passes of a separable filter, see the header. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "capture/resample.h"

#include <math.h>

#include "capture/image_internal.h"

enum { BITS = 22 };

static const double PI = 3.14159265358979323846;

static double box(double x)
{
    return x > -0.5 && x <= 0.5;
}

static double bilinear(double x)
{
    x = fabs(x);
    return x < 1 ? 1 - x : 0;
}

static double bicubic(double x)
{
    const double a = -0.5;

    x = fabs(x);
    if (x < 1) return ((a + 2) * x - (a + 3)) * x * x + 1;
    return x < 2 ? (((x - 5) * x + 8) * x - 4) * a : 0;
}

static double sinc(double x)
{
    return x == 0 ? 1 : sin(PI * x) / (PI * x);
}

static double lanczos(double x)
{
    return x >= -3 && x < 3 ? sinc(x) * sinc(x / 3) : 0;
}

static double hamming(double x)
{
    x = fabs(x);
    if (x == 0) return 1;
    return x < 1 ? sinc(x) * (0.54 + 0.46 * cos(PI * x)) : 0;
}

static const struct {
    double (*f)(double x);
    double support;
} filters[] = {[ATN_FILTER_LANCZOS] = {lanczos, 3},
               [ATN_FILTER_BILINEAR] = {bilinear, 1},
               [ATN_FILTER_BICUBIC] = {bicubic, 2},
               [ATN_FILTER_BOX] = {box, 0.5},
               [ATN_FILTER_HAMMING] = {hamming, 1}};

/* What one output of an axis reads: n inputs from `first` on. */
typedef struct taps {
    atn_idx first, n;
    int32_t *weight; /* [n], 22 bits behind the point */
} taps;

static void make_taps(atn_idx in, atn_idx out, atn_idx i, atn_filter filter, double *w,
                      taps *t)
{
    const double scale = (double)in / (double)out, wide = fmax(scale, 1),
                 support = filters[filter].support * wide,
                 centre = ((double)i + 0.5) * scale;
    atn_idx end = (atn_idx)(centre + support + 0.5);
    double sum = 0;

    t->first = ATN_MAX((atn_idx)(centre - support + 0.5), 0);
    t->n = ATN_MIN(end, in) - t->first;
    for (atn_idx j = 0; j < t->n; j++) {
        w[j] = filters[filter].f(((double)(j + t->first) - centre + 0.5) * (1 / wide));
        sum += w[j];
    }
    for (atn_idx j = 0; j < t->n; j++) {
        const double part = (sum != 0 ? w[j] / sum : w[j]) * (double)(1 << BITS);

        t->weight[j] = (int32_t)(part < 0 ? part - 0.5 : part + 0.5);
    }
}

static uint8_t clip(int64_t sum)
{
    sum >>= BITS;
    return (uint8_t)(sum < 0 ? 0 : sum > 255 ? 255 : sum);
}

/* One line of one axis, 3 channels: pixels of `from` are `step` bytes apart, those of
 * `to` as many as `to_step`. */
static void filter_pixel(const taps *t, const uint8_t *from, atn_idx step, uint8_t *to)
{
    for (int c = 0; c < 3; c++) {
        int64_t sum = 1 << (BITS - 1);

        for (atn_idx j = 0; j < t->n; j++)
            sum += (int64_t)t->weight[j] * from[(t->first + j) * step + c];
        to[c] = clip(sum);
    }
}

/* Columns (across) or rows of `from` become those of `to`, which differs along that
 * axis. */
static atn_status filter_axis(atn_ctx *cx, const atn_image *from, bool across,
                              atn_filter filter, atn_image *to)
{
    const atn_arena_mark mark = atn_arena_save(cx);
    const atn_idx in = across ? from->width : from->height,
                  out = across ? to->width : to->height,
                  lines = across ? from->height : from->width;
    const double wide = fmax((double)in / (double)out, 1);
    const atn_idx most = 2 * (atn_idx)ceil(filters[filter].support * wide) + 1;
    atn_status st = ATN_OK;
    double *w = NULL;
    taps t = {0};

    ATN_TAKE(w, most);
    ATN_TAKE(t.weight, most);
    for (atn_idx i = 0; i < out; i++) {
        make_taps(in, out, i, filter, w, &t);
        for (atn_idx line = 0; line < lines; line++)
            if (across)
                filter_pixel(&t, from->rgb + 3 * line * in, 3,
                             to->rgb + 3 * (line * out + i));
            else
                filter_pixel(&t, from->rgb + 3 * line, 3 * from->width,
                             to->rgb + 3 * (i * lines + line));
    }
done:
    atn_arena_rewind(cx, mark);
    return st;
}

/* Places are summed up and not multiplied, as Pillow does. */
static void nearest(const atn_image *from, atn_image *to)
{
    const double dy = (double)from->height / (double)to->height,
                 dx = (double)from->width / (double)to->width;
    double y = 0.5 * dy;

    for (atn_idx i = 0; i < to->height; i++, y += dy) {
        double x = 0.5 * dx;

        for (atn_idx j = 0; j < to->width; j++, x += dx) {
            const atn_idx row = ATN_MIN((atn_idx)y, from->height - 1),
                          column = ATN_MIN((atn_idx)x, from->width - 1);

            for (int c = 0; c < 3; c++)
                to->rgb[3 * (i * to->width + j) + c] =
                    from->rgb[3 * (row * from->width + column) + c];
        }
    }
}

bool atn_image_rows_first(const atn_image *from, atn_idx height, atn_idx width)
{
    const atn_idx rows = from->height - height, columns = from->width - width;

    return columns != 0 && rows > 0 && rows > 2 * columns;
}

atn_status atn_image_resize(atn_ctx *cx, const atn_image *from, atn_idx height,
                            atn_idx width, atn_filter filter, atn_image *out)
{
    const bool across = width != from->width, down = height != from->height;
    atn_image between = {0};
    const atn_image *first = from;
    atn_status st = ATN_OK;

    *out = (atn_image){0};
    ATN_TRY(atn_image_new(cx, "resized", (double)height, (double)width, out));
    if (filter == ATN_FILTER_NEAREST || (!across && !down)) {
        nearest(from, out);
        goto done;
    }
    if (across && down)
        ATN_TRY(atn_image_new(cx, "resized", (double)from->height, (double)width,
                              &between));
    if (across) {
        ATN_TRY(filter_axis(cx, from, true, filter, down ? &between : out));
        first = &between;
    }
    if (down) ATN_TRY(filter_axis(cx, first, false, filter, out));
done:
    atn_image_release(cx, &between);
    if (st != ATN_OK) atn_image_release(cx, out);
    return st;
}
