/* viz/canvas.c -- text, lines and token labels. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "viz/canvas.h"

#include <math.h>
#include <pango/pangocairo.h>
#include <string.h>

static PangoLayout *layout_of(atn_canvas *c, double size, bool bold, const char *text)
{
    PangoLayout *l = pango_cairo_create_layout(c->cr);
    PangoFontDescription *font = pango_font_description_new();

    pango_font_description_set_family(font, "DejaVu Sans, sans-serif");
    pango_font_description_set_absolute_size(font, c->font * size * PANGO_SCALE);
    if (bold) pango_font_description_set_weight(font, PANGO_WEIGHT_BOLD);
    pango_layout_set_font_description(l, font);
    pango_font_description_free(font);
    pango_layout_set_single_paragraph_mode(l, TRUE);
    pango_layout_set_text(l, text, -1);
    return l;
}

static void show(atn_canvas *c, double x, double y, atn_anchor anchor, double size,
                 bool bold, double angle, double max_width, const char *text)
{
    PangoLayout *l = layout_of(c, size, bold, text);
    int w, h;

    pango_layout_get_size(l, &w, &h);
    if (max_width > 0 && w > max_width * PANGO_SCALE) {
        pango_layout_set_width(l, (int)(max_width * PANGO_SCALE));
        pango_layout_set_ellipsize(l, PANGO_ELLIPSIZE_END);
        w = (int)(max_width * PANGO_SCALE);
    }
    cairo_save(c->cr);
    cairo_translate(c->cr, x, y);
    if (angle != 0) cairo_rotate(c->cr, angle * G_PI / 180);
    cairo_move_to(c->cr,
                  anchor == ATN_LEFT
                      ? 0
                      : -(double)w / PANGO_SCALE / (anchor == ATN_CENTRE ? 2 : 1),
                  -(double)h / PANGO_SCALE / 2);
    pango_cairo_show_layout(c->cr, l);
    cairo_restore(c->cr);
    g_object_unref(l);
}

void atn_canvas_text(atn_canvas *c, double x, double y, atn_anchor anchor, double size,
                     double angle, double max_width, const char *text)
{
    show(c, x, y, anchor, size, false, angle, max_width, text);
}

void atn_canvas_bold(atn_canvas *c, double x, double y, atn_anchor anchor, double size,
                     double max_width, const char *text)
{
    show(c, x, y, anchor, size, true, 0, max_width, text);
}

/* Bytes of the longest beginning of text that ends before a blank and fits; at least a
 * word. */
static size_t line_length(atn_canvas *c, const atn_note *n, const char *text)
{
    size_t best = strcspn(text, " ");
    char line[256];

    for (size_t end = best; text[end];) {
        end += 1 + strcspn(text + end + 1, " ");
        if (end >= sizeof line) break;
        memcpy(line, text, end);
        line[end] = '\0';
        if (atn_canvas_text_width(c, n->size, line) > n->width) break;
        best = end;
    }
    return best < sizeof line ? best : sizeof line - 1;
}

double atn_canvas_note(atn_canvas *c, const atn_note *n, bool draw)
{
    const double row = 1.3 * n->size * c->font;
    const char *at = n->text;
    double height = 0;
    char line[256];

    while (*at) {
        const size_t length = line_length(c, n, at);

        memcpy(line, at, length);
        line[length] = '\0';
        if (draw)
            atn_canvas_text(c, n->x, n->y + height + row / 2, ATN_CENTRE, n->size, 0,
                            n->width, line);
        height += row;
        at += length;
        while (*at == ' ') at++;
    }
    return height;
}

double atn_canvas_text_width(atn_canvas *c, double size, const char *text)
{
    PangoLayout *l = layout_of(c, size, false, text);
    int w, h;

    pango_layout_get_size(l, &w, &h);
    g_object_unref(l);
    return (double)w / PANGO_SCALE;
}

void atn_canvas_colour(atn_canvas *c, const unsigned char rgb[3])
{
    cairo_set_source_rgb(c->cr, rgb[0] / 255.0, rgb[1] / 255.0, rgb[2] / 255.0);
}

void atn_canvas_grey(atn_canvas *c, double level)
{
    cairo_set_source_rgb(c->cr, level, level, level);
}

void atn_canvas_ink(atn_canvas *c, const unsigned char rgb[3])
{
    const double light = 0.299 * rgb[0] + 0.587 * rgb[1] + 0.114 * rgb[2];

    atn_canvas_grey(c, light > 130 ? 0.05 : 0.98);
}

void atn_canvas_rect(atn_canvas *c, double x, double y, double w, double h)
{
    cairo_rectangle(c->cr, x, y, w, h);
    cairo_fill(c->cr);
}

void atn_canvas_frame(atn_canvas *c, double x, double y, double w, double h)
{
    cairo_set_line_width(c->cr, 0.5);
    cairo_rectangle(c->cr, x, y, w, h);
    cairo_stroke(c->cr);
}

void atn_canvas_line(atn_canvas *c, double x0, double y0, double x1, double y1,
                     double width)
{
    cairo_set_line_width(c->cr, width);
    cairo_move_to(c->cr, x0, y0);
    cairo_line_to(c->cr, x1, y1);
    cairo_stroke(c->cr);
}

atn_status atn_canvas_fits(atn_ctx *cx, const atn_canvas *c, double w, double h)
{
    if (w >= 2 * c->font && h >= 2 * c->font) return ATN_OK;
    if (!isfinite(c->height)) /* as high as it needs */
        return atn_fail(cx, ATN_USAGE, __FILE__, __LINE__,
                        "a figure %.3g points wide has no room beside text of %.3g "
                        "points (give a larger --width, or a smaller --font)",
                        c->width, c->font);
    return atn_fail(
        cx, ATN_USAGE, __FILE__, __LINE__,
        "a figure %.3g points wide and %.3g high has no room beside text of "
        "%.3g points (give a larger --width or --height, or a smaller "
        "--font)",
        c->width, c->height, c->font);
}

/* ---- token labels ---- */

/* Bytes of the well-formed sequence at s, 1 for anything else. */
static size_t sequence(const unsigned char *s)
{
    size_t n = s[0] >= 0xf0 ? 4 : s[0] >= 0xe0 ? 3 : s[0] >= 0xc0 ? 2 : 1;

    for (size_t i = 1; i < n; i++)
        if ((s[i] & 0xc0) != 0x80) return 1;
    return n;
}

/* Characters that reorder or hide the text around them: U+200B-200F, 202A-202E,
 * 2066-2069, FEFF. */
static bool is_invisible(const unsigned char *s, size_t n)
{
    if (n != 3) return false;
    if (s[0] == 0xef) return s[1] == 0xbb && s[2] == 0xbf;
    if (s[0] != 0xe2) return false;
    return (s[1] == 0x80 &&
            ((s[2] >= 0x8b && s[2] <= 0x8f) || (s[2] >= 0xaa && s[2] <= 0xae))) ||
           (s[1] == 0x81 && s[2] >= 0xa6 && s[2] <= 0xa9);
}

/* A joiner (U+200D) between characters of three bytes or more makes one picture or
 * syllable of them: bytes of joiner and next character, else 0. */
static size_t joined(const unsigned char *s, size_t before)
{
    if (before < 3 || s[0] != 0xe2 || s[1] != 0x80 || s[2] != 0x8d || s[3] < 0xe0)
        return 0;
    return 3 + sequence(s + 3);
}

/* The character at s and what is joined to it. */
static size_t cluster(const unsigned char *s)
{
    size_t last = sequence(s), n = last, more;

    while ((more = joined(s + n, last)) > 0) {
        n += more;
        last = more - 3;
    }
    return n;
}

void atn_token_label(const char *text, int chars, char *out, size_t size)
{
    const unsigned char *s = (const unsigned char *)text;
    size_t used = 0;
    int n = 0;

    for (; *s && used + 8 < size; n++) {
        const size_t whole = cluster(s);
        const size_t length = used + whole + 8 < size ? whole : sequence(s);
        const char *show_as = NULL;
        char hex[8];

        if (n == chars) break;
        if (s[0] == '\n')
            show_as = "\\n";
        else if (s[0] == '\t')
            show_as = "\\t";
        else if (s[0] == ' ')
            show_as = "\xc2\xb7";
        else if (s[0] < 0x20 || s[0] == 0x7f || (length == 1 && s[0] >= 0x80)) {
            snprintf(hex, sizeof hex, "\\x%02X", s[0]);
            show_as = hex;
        } else if (is_invisible(s, length)) {
            show_as = "\xe2\x97\xa6"; /* a small ring */
        }
        if (show_as) {
            memcpy(out + used, show_as, strlen(show_as));
            used += strlen(show_as);
        } else {
            memcpy(out + used, s, length);
            used += length;
        }
        s += length;
    }
    if (*s && used + 4 < size) {
        memcpy(out + used, "\xe2\x80\xa6", 3);
        used += 3;
    }
    out[used] = '\0';
}
