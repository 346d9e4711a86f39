/* viz/figure.c -- the registry of figures, and the surfaces they are drawn on. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "viz/figure.h"

#include <cairo-pdf.h>
#include <cairo-svg.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>

#include "core/io/file.h"
#include "viz/palette.h"

#define ATN_FIGURE(id) extern const atn_figure atn_figure_##id;
#include "viz/figures.def"
#undef ATN_FIGURE

const atn_figure *const atn_figures[] = {
#define ATN_FIGURE(id) &atn_figure_##id,
#include "viz/figures.def"
#undef ATN_FIGURE
    NULL,
};

static const double POINTS = 72, MAX_INCHES = 60, DEFAULT_WIDTH = 5.5;

const atn_figure *atn_figure_find(const char *id)
{
    for (const atn_figure *const *f = atn_figures; *f; f++)
        if (strcmp((*f)->id, id) == 0) return *f;
    return NULL;
}

atn_status atn_parse_length(atn_ctx *cx, const char *what, const char *text,
                            double *inches)
{
    static const struct {
        const char *unit;
        double inches;
    } units[] = {
        {"", 1}, {"in", 1}, {"mm", 1 / 25.4}, {"cm", 1 / 2.54}, {"pt", 1 / 72.0}};
    char *end = NULL;
    const double v = strtod(text, &end);

    for (size_t i = 0; end != text && i < ATN_LEN(units); i++)
        if (strcasecmp(end, units[i].unit) == 0 && v > 0 &&
            v * units[i].inches <= MAX_INCHES) {
            *inches = v * units[i].inches;
            return ATN_OK;
        }
    return atn_fail(
        cx, ATN_USAGE, __FILE__, __LINE__,
        "%s: '%s' is no length of at most 60 inches (give for example 3.25in or 84mm)",
        what, text);
}

/* ---- pieces that figures share ---- */

double atn_meta_number(const atn_table *t, const char *key, double def)
{
    const char *text = atn_table_get_meta(t, key);
    char *end = NULL;
    const double v = text ? strtod(text, &end) : def;

    return text && (end == text || !isfinite(v)) ? def : v;
}

/* Are the cells sums over blocks? */
static bool holds_masses(const atn_table *t)
{
    const char *pool = atn_table_get_meta(t, "pool");

    return pool && strcmp(pool, "sum") == 0 && atn_meta_number(t, "pool_size", 1) > 1;
}

/* "...; each cell is the max of 16 x 16": a pooled figure must say so. */
static void subtitle_of(const atn_table *t, atn_idx joined, char *out, size_t size)
{
    const char *subtitle = atn_table_get_meta(t, "subtitle");
    const char *pool = atn_table_get_meta(t, "pool");
    const double n = atn_meta_number(t, "pool_size", 1);
    size_t used;

    snprintf(out, size, "%s", subtitle ? subtitle : "");
    used = strlen(out);
    if (pool && n > 1 && holds_masses(t))
        snprintf(out + used, size - used,
                 "%seach cell is the weight of %.0f queries on %.0f keys",
                 used ? "; " : "", n, n);
    else if (pool && n > 1)
        snprintf(out + used, size - used, "%seach cell is the %s of %.0f x %.0f",
                 used ? "; " : "", pool, n, n);
    used = strlen(out);
    if (joined > 1)
        snprintf(out + used, size - used, "%sdrawn by the largest of %lld x %lld cells",
                 used ? "; " : "", (long long)joined, (long long)joined);
}

double atn_heading_height(const atn_table *t, atn_idx joined, double font)
{
    char subtitle[512];

    subtitle_of(t, joined, subtitle, sizeof subtitle);
    return font * (*subtitle ? 3.9 : 2.4);
}

double atn_figure_heading(atn_canvas *c, const atn_table *t, const atn_figure_opts *o,
                          atn_idx joined)
{
    const char *title = o->title ? o->title : atn_table_get_meta(t, "title");
    const double room = c->width - 2 * c->font;
    char subtitle[512];

    atn_canvas_grey(c, 0.05);
    atn_canvas_bold(c, c->font, c->font * 1.2, ATN_LEFT, 1.2, room, title ? title : "");
    subtitle_of(t, joined, subtitle, sizeof subtitle);
    atn_canvas_grey(c, 0.35);
    if (*subtitle)
        atn_canvas_text(c, c->font, c->font * 2.7, ATN_LEFT, 0.9, 0, room, subtitle);
    return atn_heading_height(t, joined, c->font);
}

#define USUAL_FLOOR 1e-4

const atn_param atn_colour_params[] = {
    ATN_PARAM_F64(atn_colours, floor, USUAL_FLOOR, 1e-30, 1,
                  "smallest value a log scale tells apart"),
    ATN_PARAM_F64(atn_colours, clip, 0, 0, 1,
                  "quantile where the colours end, 0 = the maximum"),
    ATN_PARAM_END,
};

static atn_status scale_kind(atn_ctx *cx, const char *name, atn_scale_kind *out)
{
    static const char *const names[] = {"linear", "log", "rank"};

    for (size_t i = 0; i < ATN_LEN(names); i++)
        if (strcmp(names[i], name) == 0) {
            *out = (atn_scale_kind)i;
            return ATN_OK;
        }
    return atn_fail(cx, ATN_USAGE, __FILE__, __LINE__, "scale '%s' is not one of %s",
                    name, ATN_SCALES);
}

atn_status atn_figure_scale(atn_ctx *cx, atn_cmat m, const atn_colours *p,
                            const atn_figure_opts *o, const char *def, atn_scale *out)
{
    const char *name = o->scale ? o->scale : def;
    atn_status st = ATN_OK;
    atn_scale_kind kind = ATN_SCALE_LINEAR;

    ATN_TRY(scale_kind(cx, name, &kind));
    if (kind != ATN_SCALE_LOG && p->floor != USUAL_FLOOR)
        ATN_FAIL(ATN_USAGE,
                 "--params floor is of a log scale, this one is %s (give "
                 "--scale log, or leave it out)",
                 name);
    if (kind == ATN_SCALE_RANK && p->clip > 0)
        ATN_FAIL(ATN_USAGE,
                 "--params clip is of a linear or log scale, a rank scale has "
                 "no values to clip (give another --scale, or leave it out)");
    ATN_TRY(atn_scale_fit(cx, m, kind, p->floor, p->clip,
                          o->palette ? o->palette : "viridis", out));
done:
    return st;
}

atn_status atn_weight_scale(atn_ctx *cx, const atn_table *t, const atn_colours *p,
                            const atn_figure_opts *o, const char *def, atn_scale *out)
{
    const bool masses = holds_masses(t);
    const char *name = o->scale ? o->scale : masses ? "log" : def;
    atn_colours with = *p;

    /* the usual floor is of weights, of which a block sums one share a row */
    if (masses && strcmp(name, "log") == 0 && with.floor == USUAL_FLOOR)
        with.floor =
            pow(10, floor(log10(with.floor * atn_meta_number(t, "pool_size", 1))));
    return atn_figure_scale(cx, atn_table_get_matrix(t), &with, o, name, out);
}

const char *atn_weight_label(const atn_table *t)
{
    return holds_masses(t) ? "weight of a block" : "weight";
}

/* ---- surfaces ---- */

typedef struct sink {
    FILE *file; /* or, when NULL, memory: */
    atn_ctx *cx;
    char *data;
    size_t n, room;
} sink;

static cairo_status_t write_sink(void *state, const unsigned char *data, unsigned int n)
{
    sink *s = state;

    if (s->file)
        return fwrite(data, 1, n, s->file) == n ? CAIRO_STATUS_SUCCESS
                                                : CAIRO_STATUS_WRITE_ERROR;
    if (s->n + n + 1 > s->room) {
        const size_t room = ATN_MAX(2 * s->room, s->n + n + 4096);
        char *grown = atn_realloc(s->cx, s->data, (atn_idx)room, 1);
        if (!grown) return CAIRO_STATUS_NO_MEMORY;
        s->data = grown;
        s->room = room;
    }
    memcpy(s->data + s->n, data, n);
    s->n += n;
    s->data[s->n] = '\0';
    return CAIRO_STATUS_SUCCESS;
}

typedef enum format { SVG, PDF, PNG } format;

static atn_status format_of(atn_ctx *cx, const char *path, format *out)
{
    static const char *const ends[] = {".svg", ".pdf", ".png"};
    const size_t n = strlen(path);

    for (size_t i = 0; i < ATN_LEN(ends); i++)
        if (n > 4 && strcasecmp(path + n - 4, ends[i]) == 0) {
            *out = (format)i;
            return ATN_OK;
        }
    return atn_fail(cx, ATN_USAGE, __FILE__, __LINE__,
                    "%s: a figure's file ends in .svg, .pdf or .png", path);
}

static void set_pdf_date(cairo_surface_t *s)
{
    const char *epoch = getenv("SOURCE_DATE_EPOCH");
    const time_t now = epoch && *epoch ? (time_t)strtoll(epoch, NULL, 10) : time(NULL);
    char stamp[32];
    struct tm utc;

    if (!gmtime_r(&now, &utc)) return;
    strftime(stamp, sizeof stamp, "%Y-%m-%dT%H:%M:%SZ", &utc);
    cairo_pdf_surface_set_metadata(s, CAIRO_PDF_METADATA_CREATE_DATE, stamp);
    cairo_pdf_surface_set_metadata(s, CAIRO_PDF_METADATA_CREATOR, "attnscope");
}

static cairo_surface_t *open_surface(format kind, sink *to, double w, double h,
                                     double dpi)
{
    cairo_surface_t *s;

    if (kind == PNG)
        return cairo_image_surface_create(CAIRO_FORMAT_RGB24,
                                          (int)ceil(w * dpi / POINTS),
                                          (int)ceil(h * dpi / POINTS));
    if (kind == SVG) {
        s = cairo_svg_surface_create_for_stream(write_sink, to, w, h);
        cairo_svg_surface_set_document_unit(s, CAIRO_SVG_UNIT_PT);
        return s;
    }
    s = cairo_pdf_surface_create_for_stream(write_sink, to, w, h);
    set_pdf_date(s);
    return s;
}

/* Options with their defaults, checked. */
typedef struct page {
    double width, height, font, dpi;
    void *params; /* arena */
} page;

/* The height that suits the width, found on a canvas of the smallest surface. */
static atn_status natural_height(atn_ctx *cx, const atn_figure *f, const atn_table *t,
                                 const atn_figure_opts *o, page *p)
{
    cairo_surface_t *surface = cairo_image_surface_create(CAIRO_FORMAT_RGB24, 1, 1);
    atn_canvas c = {cairo_create(surface), p->width, INFINITY, p->font};
    const atn_status st = f->height(cx, &c, t, p->params, o, &p->height);

    cairo_destroy(c.cr);
    cairo_surface_destroy(surface);
    if (st == ATN_OK) p->height = fmin(p->height, MAX_INCHES * POINTS);
    return st;
}

/* A column named by meta y must hold numbers, but in a figure that takes several: that
 * shows texts as well. */
static atn_status check_y(atn_ctx *cx, const atn_figure *f, const atn_table *t)
{
    const bool numbers = f->columns & ATN_FIGURE_Y && !(f->columns & ATN_FIGURE_YS);
    const char *name = numbers ? atn_table_get_meta(t, "y") : NULL;
    const int col = name ? atn_table_find_col(t, name) : -1;
    atn_status st = ATN_OK;

    if (col >= 0 && atn_table_col_type(t, col) == ATN_COL_STR)
        ATN_FAIL(ATN_USAGE,
                 "figure %s: --y %s: holds text, not numbers (name another column)",
                 f->id, name);
done:
    return st;
}

static atn_status check_colours(atn_ctx *cx, const atn_figure *f,
                                const atn_figure_opts *o)
{
    atn_status st = ATN_OK;

    if (f->scale) return ATN_OK;
    if (o->palette && !f->palette)
        ATN_FAIL(ATN_USAGE,
                 "figure %s shows no values as colours (leave --palette out)", f->id);
    if (o->scale)
        ATN_FAIL(ATN_USAGE,
                 "figure %s shows no values as colours%s (leave --scale out)", f->id,
                 f->palette ? " by a scale" : "");
done:
    return st;
}

static atn_status set_page(atn_ctx *cx, const atn_figure *f, const atn_table *t,
                           const atn_figure_opts *o, page *p)
{
    const char *reason;
    char owner[64];
    atn_status st = ATN_OK;

    ATN_TRY(check_y(cx, f, t));
    reason = f->check ? f->check(t) : NULL;
    /* of a header alone no column is known to hold numbers */
    if (reason && atn_table_cols(t) > 0 && atn_table_rows(t) == 0)
        reason = "it has no rows";
    if (reason)
        ATN_FAIL(ATN_USAGE, "figure %s cannot show a table of kind '%s': %s", f->id,
                 atn_table_kind(t), reason);
    *p = (page){.width = (o->width_in > 0 ? o->width_in : DEFAULT_WIDTH) * POINTS,
                .font = o->font_pt > 0 ? o->font_pt : 8,
                .dpi = o->dpi > 0 ? o->dpi : 300};
    if (!(p->font >= 3 && p->font <= 72 && p->dpi >= 20 && p->dpi <= 2400 &&
          p->width <= MAX_INCHES * POINTS && o->height_in <= MAX_INCHES))
        ATN_FAIL(
            ATN_USAGE,
            "a figure is at most 60 inches wide and high, its font 3 to 72 points, "
            "its resolution 20 to 2400 dpi");
    ATN_TRY(check_colours(cx, f, o));
    if (f->params) {
        snprintf(owner, sizeof owner, "figure %s", f->id);
        p->params = atn_arena_take(cx, 1, f->params_size);
        if (!p->params) return cx->err.code;
        atn_param_defaults(f->params, p->params);
        ATN_TRY(atn_param_parse(cx, owner, f->params, o->params, p->params));
    } else if (o->params && *o->params) {
        ATN_FAIL(ATN_USAGE, "figure %s has no parameters", f->id);
    }
    if (o->height_in > 0)
        p->height = o->height_in * POINTS;
    else
        ATN_TRY(natural_height(cx, f, t, o, p));
    if (p->width * p->dpi / POINTS > 32767 || p->height * p->dpi / POINTS > 32767)
        ATN_FAIL(ATN_USAGE,
                 "%.1f x %.1f inches at %.0f dpi is above 32767 pixels a side (give a "
                 "smaller --dpi or --width)",
                 p->width / POINTS, p->height / POINTS, p->dpi);
done:
    return st;
}

static atn_status render(atn_ctx *cx, const atn_figure *f, const atn_table *t,
                         const atn_figure_opts *o, format kind, sink *to)
{
    const atn_arena_mark mark = atn_arena_save(cx);
    atn_status st = ATN_OK;
    cairo_surface_t *surface = NULL;
    atn_canvas c = {0};
    page p = {0};

    ATN_TRY(set_page(cx, f, t, o, &p));
    surface = open_surface(kind, to, p.width, p.height, p.dpi);
    c = (atn_canvas){cairo_create(surface), p.width, p.height, p.font};
    if (kind == PNG) cairo_scale(c.cr, p.dpi / POINTS, p.dpi / POINTS);
    atn_canvas_grey(&c, 1);
    cairo_paint(c.cr);
    ATN_TRY(f->draw(cx, &c, t, p.params, o));
    cairo_show_page(c.cr);
    if (cairo_status(c.cr) != CAIRO_STATUS_SUCCESS)
        ATN_FAIL(ATN_INTERNAL, "figure %s: %s", f->id,
                 cairo_status_to_string(cairo_status(c.cr)));
    if (kind == PNG && cairo_surface_write_to_png_stream(surface, write_sink, to) !=
                           CAIRO_STATUS_SUCCESS)
        ATN_FAIL(ATN_IO, "figure %s cannot be written (is the disk full?)", f->id);
    cairo_surface_finish(surface);
    if (cairo_surface_status(surface) != CAIRO_STATUS_SUCCESS)
        ATN_FAIL(ATN_IO, "figure %s cannot be written: %s", f->id,
                 cairo_status_to_string(cairo_surface_status(surface)));
done:
    if (c.cr) cairo_destroy(c.cr);
    if (surface) cairo_surface_destroy(surface);
    atn_arena_rewind(cx, mark);
    return st;
}

atn_status atn_figure_draw(atn_ctx *cx, const atn_figure *f, const atn_table *t,
                           const atn_figure_opts *o, const char *path, bool force)
{
    atn_status st = ATN_OK;
    atn_out out = {NULL, NULL, NULL};
    sink to = {.cx = cx};
    format kind = SVG;

    ATN_TRY(format_of(cx, path, &kind));
    if (o->dpi > 0 && kind != PNG)
        ATN_FAIL(ATN_USAGE, "%s: only a .png has a resolution (leave --dpi out)", path);
    ATN_TRY(atn_out_open(cx, path, force, &out));
    to.file = out.file;
    ATN_TRY(render(cx, f, t, o, kind, &to));
    ATN_TRY(atn_out_commit(cx, &out));
done:
    atn_out_abort(cx, &out);
    return st;
}

atn_status atn_figure_svg(atn_ctx *cx, const atn_figure *f, const atn_table *t,
                          const atn_figure_opts *o, char **svg, size_t *n)
{
    sink to = {.cx = cx};
    const atn_status st = render(cx, f, t, o, SVG, &to);

    *svg = to.data;
    *n = to.n;
    if (st == ATN_OK) return ATN_OK;
    atn_free(cx, to.data);
    *svg = NULL;
    return st;
}
