/* viz/report.c -- builds the HTML, aside where it is long, and writes it at the end,
 * see the header.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "viz/report.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/io/file.h"
#include "viz/plot.h"

static const size_t SIZE_BUDGET = 20u << 20, SPILL = 64u << 10;
/* of a table on a sheet of paper; more than FEW are set smaller */
enum { COLUMNS = 12, FEW_COLUMNS = 8 };

/* Text; what is more than SPILL of it goes to a nameless file, where there can be
 * one. */
typedef struct buffer {
    char *data;
    size_t n, room;
    bool spills;
    FILE *file;
    size_t in_file; /* bytes */
} buffer;

struct atn_report {
    buffer contents, body;
    char *title, *subtitle;
    int sections, figures, tables, folds;
    bool open;
};

/* What is folded on the screen is folded by a check box and not by <details>, whose
 * closed parts some browsers leave out of the printed page. */
static const char STYLE[] =
    ":root{color-scheme:light dark;--ink:#1c1e21;--soft:#5f6670;--line:#d9dce1;"
    "--paper:#fff;--wash:#f5f6f8;--link:#0b57a4}"
    "@media screen and (prefers-color-scheme:dark){:root{--ink:#e6e8eb;--soft:#a2a9b3;"
    "--line:#3a3f47;--paper:#17191c;--wash:#20242a;--link:#7ab7ff}}"
    "*{box-sizing:border-box}"
    "body{margin:0;background:var(--paper);color:var(--ink);"
    "font:16px/1.5 system-ui,-apple-system,'Segoe UI','DejaVu Sans',sans-serif}"
    "main,header,nav{max-width:62rem;margin:0 auto;padding:0 1.25rem}"
    "header{padding-top:2.5rem}h1{font-size:1.9rem;line-height:1.2;margin:0 0 .3rem}"
    "h2{font-size:1.3rem;margin:2.6rem 0 .6rem;padding-top:.8rem;"
    "border-top:1px solid var(--line)}"
    "p{max-width:46rem}.lead{color:var(--soft);margin:0}a{color:var(--link)}"
    "nav ul{padding:0;margin:1rem 0 0;list-style:none;display:flex;flex-wrap:wrap;"
    "gap:.3rem 1.2rem}"
    "figure{margin:1.4rem 0}"
    "figure img{width:100%;max-width:46rem;height:auto;background:#fff;"
    "border:1px solid var(--line);border-radius:4px;padding:.4rem}"
    "figcaption{color:var(--soft);font-size:.9rem;max-width:46rem;margin-top:.4rem}"
    "code{font:.85rem/1.4 ui-monospace,'DejaVu Sans Mono',monospace;"
    "background:var(--wash);padding:.1rem .35rem;border-radius:3px;"
    "overflow-wrap:anywhere}pre{white-space:pre-wrap}"
    ".fold{position:relative;margin:1rem 0}.wide{overflow-x:auto;margin:0 0 .6rem}"
    "table{border-collapse:collapse;font-size:.85rem;"
    "font-variant-numeric:tabular-nums}"
    "caption{text-align:left;color:var(--soft);padding-bottom:.4rem}"
    "th,td{padding:.22rem .7rem;border-bottom:1px solid var(--line);text-align:left;"
    "white-space:nowrap}"
    "th{font-weight:600;vertical-align:bottom;white-space:normal}"
    "th.n,td.n{text-align:right}tbody tr:hover{background:var(--wash)}"
    ".fold>input{position:absolute;opacity:0}"
    ".fold>label{cursor:pointer;color:var(--link);text-decoration:underline}"
    ".fold>input:focus-visible~label{outline:2px solid}"
    "footer{max-width:62rem;margin:3rem auto;padding:0 1.25rem;color:var(--soft);"
    "font-size:.85rem}"
    "@media screen{.fold>input:not(:checked)~* .more,"
    ".fold>input:not(:checked)~.more{display:none}}"
    "@media print{@page{margin:14mm}body{font-size:10pt}nav,.fold>label{display:none}"
    "main,header,footer{max-width:none;padding:0}figure,tr{break-inside:avoid}"
    "h2,h2+p,caption,thead{break-after:avoid}thead{display:table-header-group}"
    "figure img{width:auto;max-width:100%;max-height:215mm}"
    "a{color:inherit;text-decoration:none}.wide{overflow:visible}"
    "table{font-size:8pt}td{white-space:normal;overflow-wrap:anywhere}"
    ".many{font-size:7pt}.many td,.many th{padding:.15rem .3rem}}";

/* ---- text ---- */

static atn_status spill(atn_ctx *cx, buffer *b)
{
    if (!b->file) b->file = tmpfile();
    b->spills = b->file != NULL;
    if (!b->file) return ATN_OK;
    if (fwrite(b->data, 1, b->n, b->file) != b->n)
        return atn_fail(
            cx, ATN_IO, __FILE__, __LINE__,
            "the temporary file of the report cannot be written: %s (is the "
            "disk full?)",
            strerror(errno));
    b->in_file += b->n;
    b->n = 0;
    return ATN_OK;
}

static atn_status put(atn_ctx *cx, buffer *b, const char *text, size_t n)
{
    if (b->spills && b->n > 0 && b->n + n >= SPILL && spill(cx, b) != ATN_OK)
        return cx->err.code;
    if (b->n + n + 1 > b->room) {
        const size_t room = ATN_MAX(2 * b->room, b->n + n + 8192);
        char *grown = atn_realloc(cx, b->data, (atn_idx)room, 1);

        if (!grown) return cx->err.code;
        b->data = grown;
        b->room = room;
    }
    memcpy(b->data + b->n, text, n);
    b->n += n;
    b->data[b->n] = '\0';
    return ATN_OK;
}

static void release(atn_ctx *cx, buffer *b)
{
    if (b->file) fclose(b->file);
    atn_free(cx, b->data);
}

static atn_status raw(atn_ctx *cx, buffer *b, const char *text)
{
    return put(cx, b, text, strlen(text));
}

/* U+202A-202E, 2066-2069, 200E, 200F reorder the text around them. */
static bool is_bidi_control(const char *s)
{
    const unsigned char *u = (const unsigned char *)s;

    return u[0] == 0xe2 && ((u[1] == 0x80 && ((u[2] >= 0xaa && u[2] <= 0xae) ||
                                              u[2] == 0x8e || u[2] == 0x8f)) ||
                            (u[1] == 0x81 && u[2] >= 0xa6 && u[2] <= 0xa9));
}

/* Text as HTML: the five characters escaped, what does not print shown as a replacement
 * mark. */
static atn_status escaped(atn_ctx *cx, buffer *b, const char *text)
{
    atn_status st = ATN_OK;

    for (const char *s = text; *s; s++) {
        const unsigned char c = (unsigned char)*s;

        if (c == '&')
            ATN_TRY(raw(cx, b, "&amp;"));
        else if (c == '<')
            ATN_TRY(raw(cx, b, "&lt;"));
        else if (c == '>')
            ATN_TRY(raw(cx, b, "&gt;"));
        else if (c == '"')
            ATN_TRY(raw(cx, b, "&quot;"));
        else if (c == '\'')
            ATN_TRY(raw(cx, b, "&#39;"));
        else if ((c < 0x20 && c != '\n' && c != '\t') || c == 0x7f)
            ATN_TRY(raw(cx, b, "\xef\xbf\xbd"));
        else if (c == 0xe2 && s[1] && s[2] && is_bidi_control(s)) {
            ATN_TRY(raw(cx, b, "\xef\xbf\xbd"));
            s += 2;
        } else
            ATN_TRY(put(cx, b, s, 1));
    }
done:
    return st;
}

/* <tag>text</tag> with the text escaped; open may carry attributes. */
static atn_status element(atn_ctx *cx, buffer *b, const char *open, const char *text,
                          const char *close)
{
    atn_status st = ATN_OK;

    ATN_TRY(raw(cx, b, open));
    ATN_TRY(escaped(cx, b, text));
    ATN_TRY(raw(cx, b, close));
done:
    return st;
}

/* ---- building ---- */

atn_status atn_report_create(atn_ctx *cx, const char *title, const char *subtitle,
                             atn_report **out)
{
    atn_status st = ATN_OK;
    atn_report *r = NULL;

    *out = NULL;
    ATN_NEW(r, 1);
    r->title = atn_strdup(cx, title);
    r->subtitle = atn_strdup(cx, subtitle ? subtitle : "");
    if (!r->title || !r->subtitle) {
        st = cx->err.code;
        goto done;
    }
    r->body.spills = true;
    ATN_TRY(raw(cx, &r->contents, ""));
    ATN_TRY(raw(cx, &r->body, ""));
    *out = r;
    r = NULL;
done:
    atn_report_destroy(cx, r);
    return st;
}

void atn_report_destroy(atn_ctx *cx, atn_report *r)
{
    if (!r) return;
    release(cx, &r->contents);
    release(cx, &r->body);
    atn_free(cx, r->title);
    atn_free(cx, r->subtitle);
    atn_free(cx, r);
}

atn_status atn_report_section(atn_ctx *cx, atn_report *r, const char *heading)
{
    char open[80];
    atn_status st = ATN_OK;

    if (r->open) ATN_TRY(raw(cx, &r->body, "</section>\n"));
    r->open = true;
    r->sections++;
    snprintf(open, sizeof open, "<section id=\"s%d\">\n<h2>", r->sections);
    ATN_TRY(element(cx, &r->body, open, heading, "</h2>\n"));
    snprintf(open, sizeof open, "<li><a href=\"#s%d\">", r->sections);
    ATN_TRY(element(cx, &r->contents, open, heading, "</a></li>\n"));
done:
    return st;
}

atn_status atn_report_paragraph(atn_ctx *cx, atn_report *r, const char *text)
{
    return element(cx, &r->body, "<p>", text, "</p>\n");
}

/* What follows, marked with class "more", is hidden on the screen until the box is
 * checked. */
static atn_status fold_begin(atn_ctx *cx, atn_report *r)
{
    char open[96];

    r->folds++;
    snprintf(open, sizeof open,
             "<div class=\"fold\"><input type=\"checkbox\" id=\"fold%d\">\n", r->folds);
    return raw(cx, &r->body, open);
}

static atn_status fold_end(atn_ctx *cx, atn_report *r, const char *label)
{
    char open[64];

    snprintf(open, sizeof open, "<label for=\"fold%d\">", r->folds);
    return element(cx, &r->body, open, label, "</label></div>\n");
}

/* ---- data ---- */

/* "</script" and "<!--" must not occur inside a script element. */
static atn_status script_json(atn_ctx *cx, buffer *b, const char *text)
{
    atn_status st = ATN_OK;

    for (const char *s = text; *s; s++)
        ATN_TRY(*s == '<' ? raw(cx, b, "\\u003c") : put(cx, b, s, 1));
done:
    return st;
}

static atn_status embed_json(atn_ctx *cx, atn_report *r, const char *id,
                             const json_t *value)
{
    char *text = json_dumps(value, JSON_COMPACT | JSON_SORT_KEYS | JSON_ENSURE_ASCII);
    atn_status st = ATN_OK;

    if (!text) ATN_FAIL(ATN_MEMORY, "no memory for the JSON of the report");
    ATN_TRY(
        element(cx, &r->body, "<script type=\"application/json\" id=\"", id, "\">"));
    ATN_TRY(script_json(cx, &r->body, text));
    ATN_TRY(raw(cx, &r->body, "</script>\n"));
done:
    free(text);
    return st;
}

static json_t *json_cell(const atn_table *t, atn_idx row, int col)
{
    const atn_col_type type = atn_table_col_type(t, col);

    if (!atn_table_has(t, row, col)) return json_null();
    if (type == ATN_COL_STR) return json_string(atn_table_get_str(t, row, col));
    if (type == ATN_COL_BOOL) return json_boolean(atn_table_get_i64(t, row, col) != 0);
    if (type == ATN_COL_I64) return json_integer(atn_table_get_i64(t, row, col));
    return isfinite(atn_table_get_f64(t, row, col))
               ? json_real(atn_table_get_f64(t, row, col))
               : json_null();
}

/* The table as JSON, so that a reader of the report can compute with it. */
static atn_status table_data(atn_ctx *cx, atn_report *r, const atn_table *t)
{
    json_t *columns = json_array(), *rows = json_array(), *all;
    atn_status st = ATN_OK;
    char id[32];

    for (int c = 0; c < atn_table_cols(t); c++)
        json_array_append_new(columns, json_string(atn_table_col_name(t, c)));
    for (atn_idx i = 0; i < atn_table_rows(t); i++) {
        json_t *row = json_array();
        for (int c = 0; c < atn_table_cols(t); c++)
            json_array_append_new(row, json_cell(t, i, c));
        json_array_append_new(rows, row);
    }
    all = json_pack("{s:s, s:o, s:o}", "kind", atn_table_kind(t), "columns", columns,
                    "rows", rows);
    r->tables++;
    snprintf(id, sizeof id, "table%d", r->tables);
    st = embed_json(cx, r, id, all);
    json_decref(all);
    return st;
}

/* ---- tables ---- */

static const char *cell_text(const atn_table *t, atn_idx row, int col, char text[64])
{
    if (!atn_table_has(t, row, col)) return "";
    switch (atn_table_col_type(t, col)) {
    case ATN_COL_STR:
        return atn_table_get_str(t, row, col);
    case ATN_COL_I64:
        snprintf(text, 64, "%" PRId64, atn_table_get_i64(t, row, col));
        break;
    case ATN_COL_BOOL:
        return atn_table_get_i64(t, row, col) ? "yes" : "no";
    default:
        snprintf(text, 64, "%.5g", atn_table_get_f64(t, row, col));
    }
    return text;
}

/* The columns of one printed table: the keys, then those from first to last. */
typedef struct span {
    int keys, first, last;
} span;

static int next_column(const span *s, int c)
{
    return c + 1 == s->keys ? ATN_MAX(s->first, s->keys) : c + 1;
}

static int first_column(const span *s)
{
    return s->keys > 0 ? 0 : s->first;
}

static int leading_keys(const atn_table *t)
{
    int n = 0;

    while (n < atn_table_cols(t) && atn_is_key_col(t, n)) n++;
    return n < COLUMNS / 2 ? n : 0;
}

static atn_status table_head(atn_ctx *cx, atn_report *r, const atn_table *t,
                             const span *s, const char *caption)
{
    const bool many = s->keys + s->last - s->first > FEW_COLUMNS;
    atn_status st = ATN_OK;

    ATN_TRY(raw(cx, &r->body,
                many ? "<div class=\"wide\"><table class=\"many\">\n"
                     : "<div class=\"wide\"><table>\n"));
    if (caption) ATN_TRY(element(cx, &r->body, "<caption>", caption, "</caption>\n"));
    ATN_TRY(raw(cx, &r->body, "<thead><tr>"));
    for (int c = first_column(s); c < s->last; c = next_column(s, c)) {
        const bool text = atn_table_col_type(t, c) == ATN_COL_STR;
        ATN_TRY(element(cx, &r->body,
                        text ? "<th scope=\"col\" title=\""
                             : "<th scope=\"col\" class=\"n\" title=\"",
                        atn_table_col_text(t, c), "\">"));
        for (const char *at = atn_table_col_name(t, c); *at; at++)
            ATN_TRY(*at == '_' ? raw(cx, &r->body, "_<wbr>")
                               : escaped(cx, &r->body, (char[]){*at, '\0'}));
        ATN_TRY(raw(cx, &r->body, "</th>"));
    }
    ATN_TRY(raw(cx, &r->body, "</tr></thead>\n<tbody>\n"));
done:
    return st;
}

static atn_status table_rows(atn_ctx *cx, atn_report *r, const atn_table *t,
                             const span *s, atn_idx first, atn_idx last)
{
    atn_status st = ATN_OK;
    char text[64];

    for (atn_idx i = first; i < last; i++) {
        ATN_TRY(raw(cx, &r->body, "<tr>"));
        for (int c = first_column(s); c < s->last; c = next_column(s, c))
            ATN_TRY(element(
                cx, &r->body,
                atn_table_col_type(t, c) == ATN_COL_STR ? "<td>" : "<td class=\"n\">",
                cell_text(t, i, c, text), "</td>"));
        ATN_TRY(raw(cx, &r->body, "</tr>\n"));
    }
done:
    return st;
}

/* One group of columns: all rows, those beyond `shown` marked to be folded. */
static atn_status table_group(atn_ctx *cx, atn_report *r, const atn_table *t,
                              const span *s, const char *caption, atn_idx shown)
{
    const atn_idx rows = atn_table_rows(t);
    atn_status st = ATN_OK;

    ATN_TRY(table_head(cx, r, t, s, caption));
    ATN_TRY(table_rows(cx, r, t, s, 0, shown));
    if (shown < rows) {
        ATN_TRY(raw(cx, &r->body, "</tbody><tbody class=\"more\">\n"));
        ATN_TRY(table_rows(cx, r, t, s, shown, rows));
    }
    ATN_TRY(raw(cx, &r->body, "</tbody></table></div>\n"));
done:
    return st;
}

/* Column groups that fit on paper, each with the keys. */
static atn_status table_groups(atn_ctx *cx, atn_report *r, const atn_table *t,
                               const char *caption, atn_idx shown)
{
    const int cols = atn_table_cols(t), keys = leading_keys(t);
    const int room = COLUMNS - keys,
              groups = ATN_MAX((cols - keys + room - 1) / room, 1);
    atn_status st = ATN_OK;

    for (int g = 0; g < groups; g++) {
        const span s = {keys, keys + g * (cols - keys) / groups,
                        keys + (g + 1) * (cols - keys) / groups};

        ATN_TRY(table_group(cx, r, t, &s, g == 0 ? caption : NULL, shown));
    }
done:
    return st;
}

atn_status atn_report_table(atn_ctx *cx, atn_report *r, const atn_table *t,
                            const char *caption, atn_idx max_rows)
{
    const atn_idx rows = atn_table_rows(t);
    const atn_idx shown = max_rows > 0 ? ATN_MIN(rows, max_rows) : rows;
    atn_status st = ATN_OK;
    char label[64];

    if (shown < rows) ATN_TRY(fold_begin(cx, r));
    ATN_TRY(table_groups(cx, r, t, caption, shown));
    snprintf(label, sizeof label, "all %lld rows", (long long)rows);
    if (shown < rows) ATN_TRY(fold_end(cx, r, label));
    ATN_TRY(table_data(cx, r, t));
done:
    return st;
}

/* ---- figures ---- */

static atn_status base64(atn_ctx *cx, buffer *b, const char *data, size_t n)
{
    static const char digits[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    const unsigned char *s = (const unsigned char *)data;
    atn_status st = ATN_OK;

    for (size_t i = 0; i < n; i += 3) {
        const size_t left = n - i;
        const uint32_t v = (uint32_t)s[i] << 16 |
                           (left > 1 ? (uint32_t)s[i + 1] << 8 : 0) |
                           (left > 2 ? s[i + 2] : 0u);
        const char out[4] = {digits[v >> 18], digits[v >> 12 & 63],
                             left > 1 ? digits[v >> 6 & 63] : '=',
                             left > 2 ? digits[v & 63] : '='};
        ATN_TRY(put(cx, b, out, 4));
    }
done:
    return st;
}

atn_status atn_report_figure(atn_ctx *cx, atn_report *r, const atn_figure *f,
                             const atn_table *t, const atn_figure_opts *o,
                             const char *caption, const char *command)
{
    atn_status st = ATN_OK;
    char open[96], *svg = NULL;
    size_t n = 0;

    ATN_TRY(atn_figure_svg(cx, f, t, o, &svg, &n));
    r->figures++;
    snprintf(open, sizeof open, "<figure class=\"atn-figure\" id=\"f%d\">\n<img alt=\"",
             r->figures);
    ATN_TRY(
        element(cx, &r->body, open, caption, "\" src=\"data:image/svg+xml;base64,"));
    ATN_TRY(base64(cx, &r->body, svg, n));
    ATN_TRY(element(cx, &r->body, "\">\n<figcaption>", caption, ""));
    if (command) ATN_TRY(element(cx, &r->body, "<br><code>", command, "</code>"));
    ATN_TRY(raw(cx, &r->body, "</figcaption>\n</figure>\n"));
done:
    atn_free(cx, svg);
    return st;
}

/* ---- saving ---- */

static atn_status run_section(atn_ctx *cx, atn_report *r, const atn_run *run)
{
    atn_status st = ATN_OK;
    char *text =
        json_dumps(run->json, JSON_INDENT(2) | JSON_SORT_KEYS | JSON_REAL_PRECISION(6));

    if (!text) ATN_FAIL(ATN_MEMORY, "no memory for the run record");
    ATN_TRY(atn_report_section(cx, r, "How this was made"));
    ATN_TRY(atn_report_paragraph(
        cx, r,
        "The run record: version, command line, seed, inputs with their "
        "hashes, and the machine."));
    ATN_TRY(fold_begin(cx, r));
    ATN_TRY(
        element(cx, &r->body, "<pre class=\"more\"><code>", text, "</code></pre>\n"));
    ATN_TRY(fold_end(cx, r, "show the run record"));
    ATN_TRY(embed_json(cx, r, "run", run->json));
done:
    free(text);
    return st;
}

/* What stands before the body. */
static atn_status page_head(atn_ctx *cx, const atn_report *r, buffer *page)
{
    atn_status st = ATN_OK;

    ATN_TRY(
        raw(cx, page,
            "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
            "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n"
            "<meta name=\"generator\" content=\"attnscope " ATN_VERSION "\">\n"));
    ATN_TRY(element(cx, page, "<title>", r->title, "</title>\n<style>"));
    ATN_TRY(raw(cx, page, STYLE));
    ATN_TRY(element(cx, page, "</style>\n</head>\n<body>\n<header>\n<h1 id=\"title\">",
                    r->title, "</h1>\n"));
    ATN_TRY(element(cx, page, "<p class=\"lead\">", r->subtitle,
                    "</p>\n</header>\n<nav aria-label=\"Contents\"><ul>\n"));
    ATN_TRY(put(cx, page, r->contents.data, r->contents.n));
    ATN_TRY(raw(cx, page, "</ul></nav>\n<main>\n"));
done:
    return st;
}

static atn_status page_tail(atn_ctx *cx, const atn_report *r, buffer *page)
{
    atn_status st = ATN_OK;

    ATN_TRY(raw(cx, page, r->open ? "</section>\n</main>\n" : "</main>\n"));
    ATN_TRY(raw(cx, page,
                "<footer>Made by attnscope " ATN_VERSION
                ". Everything on this page is in this file.</footer>\n"
                "</body>\n</html>\n"));
done:
    return st;
}

/* The text of b, that in its file first. */
static atn_status write_text(atn_ctx *cx, const buffer *b, atn_out *out)
{
    char piece[8192];
    size_t left = b->in_file, n = 0;
    atn_status st = ATN_OK;

    if (b->file && fseek(b->file, 0, SEEK_SET) != 0)
        ATN_FAIL(ATN_IO, "the temporary file of the report cannot be read: %s",
                 strerror(errno));
    for (; left > 0; left -= n) {
        n = fread(piece, 1, ATN_MIN(left, sizeof piece), b->file);
        if (n == 0) ATN_FAIL(ATN_IO, "the temporary file of the report cannot be read");
        if (fwrite(piece, 1, n, out->file) != n) break;
    }
    if (b->file) (void)fseek(b->file, 0, SEEK_END);
    if (left > 0 || fwrite(b->data, 1, b->n, out->file) != b->n)
        ATN_FAIL(ATN_IO, "%s: cannot be written (is the disk full?)", out->path);
done:
    return st;
}

atn_status atn_report_save(atn_ctx *cx, atn_report *r, const atn_run *run,
                           const char *path, bool force)
{
    atn_status st = ATN_OK;
    atn_out out = {NULL, NULL, NULL};
    buffer head = {0}, tail = {0};
    size_t size;

    if (run) ATN_TRY(run_section(cx, r, run));
    ATN_TRY(page_head(cx, r, &head));
    ATN_TRY(page_tail(cx, r, &tail));
    size = head.n + r->body.in_file + r->body.n + tail.n;
    if (size > SIZE_BUDGET)
        atn_log(cx, ATN_LOG_WARN,
                "%s has %.1f MB, above the 20 MB that browsers open comfortably "
                "(select fewer --layers or --heads)",
                path, (double)size / 1e6);
    ATN_TRY(atn_out_open(cx, path, force, &out));
    ATN_TRY(write_text(cx, &head, &out));
    ATN_TRY(write_text(cx, &r->body, &out));
    ATN_TRY(write_text(cx, &tail, &out));
    ATN_TRY(atn_out_commit(cx, &out));
done:
    atn_out_abort(cx, &out);
    release(cx, &head);
    release(cx, &tail);
    return st;
}
