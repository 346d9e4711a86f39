/* core/table_text.c -- tables as aligned text.
 *
 * A brief table that is wider than the screen (columns of the context) stands there as
 * several, one below the other, each with the columns that say what a row is; of few
 * rows with a line a column.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#include <string.h>

#include "core/table_internal.h"

enum {
    SHORT = 8,             /* such names stay in one piece */
    CUT = 40,              /* of a text, in brief */
    SHOWN = 4 * (CUT + 1), /* bytes of one that is cut */
    FEW = 3,               /* rows that may stand side by side */
    GAP = 2
};

/* A table as text: which columns, how wide, and their names, over several lines where
 * the table is brief. */
typedef struct layout {
    const atn_table *t;
    int *col, *width, n; /* [n] */
    int keys;            /* the first of them, which come again in every part */
    int digits;
} layout;

static bool goes_on(char c)
{
    return ((unsigned char)c & 0xc0) == 0x80;
}

static int width_of(const char *text)
{
    int width = 0;

    for (; *text; text++) width += !goes_on(*text);
    return width;
}

/* Where the n-th character of a text is. */
static const char *at_character(const char *text, int n)
{
    for (; *text && (n > 0 || goes_on(*text)); text++) n -= !goes_on(text[1]);
    return text;
}

/* The cell as it is shown: in brief the middle of a long text is left out, for
 * parameters differ at both ends. */
static const char *shown(const layout *l, atn_idx r, int c, char out[SHOWN])
{
    char buffer[CELL_TEXT];
    const char *text = table_cell(l->t, r, c, l->digits, buffer);
    const int wide = width_of(text), head = CUT * 3 / 5;
    const char *tail;

    if (text == buffer || !*text) {
        snprintf(out, SHOWN, "%s", text);
        return out;
    }
    if (!atn_table_is_brief(l->t) || wide <= CUT) return text;
    tail = at_character(text, wide - (CUT - head - 1));
    snprintf(out, SHOWN, "%.*s\xe2\x80\xa6%s", (int)(at_character(text, head) - text),
             text, tail);
    return out;
}

static void put_text(FILE *out, const char *text)
{
    for (; *text; text++) fputc((unsigned char)*text < 0x20 ? ' ' : *text, out);
}

static void put_padded(FILE *out, const char *text, int width, bool left, bool last)
{
    const int pad = ATN_MAX(width - width_of(text), 0);

    if (!left && (*text || !last)) fprintf(out, "%*s", pad, "");
    put_text(out, text);
    if (left && !last) fprintf(out, "%*s", pad, "");
    fputs(last ? "\n" : "  ", out);
}

/* Bytes of the piece of a name that fits a width, at the end of a word; a word alone
 * may be wider. */
static size_t piece(const char *name, int width)
{
    size_t n = strcspn(name, "_");

    while (name[n] == '_') {
        const size_t more = n + 1 + strcspn(name + n + 1, "_");

        if ((int)more + (name[more] == '_') > width) return n + 1;
        n = more;
    }
    return n;
}

static bool is_empty(const atn_table *t, int c)
{
    for (atn_idx r = 0; r < atn_table_rows(t); r++)
        if (atn_table_has(t, r, c)) return false;
    return atn_table_rows(t) > 0;
}

/* Do several rows say the same? */
static bool is_common(const layout *l, int c)
{
    char first[CELL_TEXT], other[CELL_TEXT];

    if (atn_table_rows(l->t) < 2 || !atn_table_has(l->t, 0, c)) return false;
    for (atn_idx r = 1; r < atn_table_rows(l->t); r++)
        if (!atn_table_has(l->t, r, c) ||
            strcmp(table_cell(l->t, 0, c, l->digits, first),
                   table_cell(l->t, r, c, l->digits, other)) != 0)
            return false;
    return true;
}

/* What all rows say, in a line, or as many as the screen needs. */
static void put_common(const layout *l, int columns, FILE *out)
{
    int at = 0;

    for (int c = 0; atn_table_is_brief(l->t) && c < atn_table_cols(l->t); c++) {
        const char *name = atn_table_col_name(l->t, c), *text;
        char buffer[CELL_TEXT];
        int wide;

        if (!is_common(l, c)) continue;
        text = table_cell(l->t, 0, c, l->digits, buffer);
        wide = width_of(name) + width_of(text) + 3; /* two blanks, a comma */
        fputs(at ? "," : "in all rows:", out);
        at += at ? 0 : 12;
        if (columns > 0 && at > 12 && at + wide > columns) {
            fputs("\n   ", out);
            at = 3;
        }
        fprintf(out, " %s ", name);
        put_text(out, text);
        at += wide;
    }
    if (at) fputc('\n', out);
}

static atn_status lay_out(atn_ctx *cx, const atn_table *t, layout *l)
{
    const bool brief = atn_table_is_brief(t);
    atn_status st = ATN_OK;
    char buffer[SHOWN];

    *l = (layout){.t = t, .digits = brief ? 4 : 6};
    ATN_TAKE(l->col, atn_table_cols(t));
    ATN_TAKE(l->width, atn_table_cols(t));
    for (int c = 0; c < atn_table_cols(t); c++) {
        const char *name = atn_table_col_name(t, c);
        int most = 0;

        if (brief && (is_empty(t, c) || is_common(l, c))) continue;
        for (atn_idx r = 0; r < atn_table_rows(t); r++)
            most = ATN_MAX(most, width_of(shown(l, r, c, buffer)));
        if (!brief || width_of(name) <= SHORT) most = ATN_MAX(most, width_of(name));
        for (size_t n; *name && brief; name += n) { /* its longest word */
            n = strcspn(name, "_");
            n += name[n] == '_';
            most = ATN_MAX(most, (int)n);
        }
        l->col[l->n] = c;
        l->width[l->n++] = most;
    }
done:
    return st;
}

static bool is_left(const layout *l, int k)
{
    return atn_table_col_type(l->t, l->col[k]) == ATN_COL_STR;
}

/* Columns [from, to) of the layout, behind its keys. */
typedef struct part {
    int from, to;
} part;

/* The next column of a part behind k; its end. */
static int next(const layout *l, part p, int k)
{
    return k + 1 == l->keys ? p.from : k + 1;
}

static void put_names(const layout *l, part p, const char **rest, FILE *out)
{
    bool more = true;

    for (int k = 0; k < l->n; k++) rest[k] = atn_table_col_name(l->t, l->col[k]);
    while (more) {
        more = false;
        for (int k = l->keys ? 0 : p.from; k < p.to; k = next(l, p, k)) {
            const size_t n = atn_table_is_brief(l->t) ? piece(rest[k], l->width[k])
                                                      : strlen(rest[k]);
            char text[256];

            snprintf(text, sizeof text, "%.*s", (int)n, rest[k]);
            rest[k] += n;
            more |= *rest[k] != '\0';
            put_padded(out, n < sizeof text ? text : rest[k] - n, l->width[k],
                       is_left(l, k), next(l, p, k) >= p.to);
        }
    }
}

static void put_part(const layout *l, part p, const char **rest, FILE *out)
{
    char buffer[SHOWN];

    put_names(l, p, rest, out);
    for (atn_idx r = 0; r < atn_table_rows(l->t); r++)
        for (int k = l->keys ? 0 : p.from; k < p.to; k = next(l, p, k))
            put_padded(out, shown(l, r, l->col[k], buffer), l->width[k], is_left(l, k),
                       next(l, p, k) >= p.to);
}

/* ---- wider than the screen ---- */

static int sum_of(const layout *l, int from, int to)
{
    int sum = 0;

    for (int k = from; k < to; k++) sum += l->width[k] + GAP;
    return sum;
}

/* Do neighbouring rows say the same in the first n columns? */
static bool repeats(const layout *l, int n)
{
    for (atn_idx r = 1; r < atn_table_rows(l->t); r++) {
        bool same = true;

        for (int k = 0; k < n && same; k++) {
            char a[CELL_TEXT], b[CELL_TEXT];

            same = strcmp(table_cell(l->t, r - 1, l->col[k], l->digits, a),
                          table_cell(l->t, r, l->col[k], l->digits, b)) == 0;
        }
        if (same) return true;
    }
    return false;
}

/* The first column; texts behind it, up to half of the screen; and what tells rows
 * apart, up to two thirds. */
static int keys_of(const layout *l, int columns)
{
    int n = 1;

    for (; n < l->n - 1; n++) {
        const bool needed = repeats(l, n);
        const int wide = sum_of(l, 0, n + 1);

        if (needed ? 3 * wide > 2 * columns : !is_left(l, n) || 2 * wide > columns)
            break;
    }
    return n;
}

static void put_parts(layout *l, int columns, const char **rest, FILE *out)
{
    l->keys = keys_of(l, columns);
    for (part p = {l->keys, l->keys}; p.from < l->n; p.from = p.to) {
        int wide = sum_of(l, 0, l->keys) - GAP;

        if (p.from > l->keys) fputc('\n', out);
        while (p.to < l->n &&
               (p.to == p.from || wide + GAP + l->width[p.to] <= columns))
            wide += GAP + l->width[p.to++];
        put_part(l, p, rest, out);
    }
}

/* A line a column: its name, and the cell of every row. With out NULL nothing is
 * written. Returns how wide it is. */
static int put_turned(const layout *l, FILE *out)
{
    const atn_idx rows = atn_table_rows(l->t);
    int names = 0, all = 0, wide[FEW] = {0};
    char buffer[SHOWN];

    for (int k = 0; k < l->n; k++) {
        names = ATN_MAX(names, width_of(atn_table_col_name(l->t, l->col[k])));
        for (atn_idx r = 0; r < rows; r++)
            wide[r] = ATN_MAX(wide[r], width_of(shown(l, r, l->col[k], buffer)));
    }
    for (atn_idx r = 0; r < rows; r++) all += GAP + wide[r];
    for (int k = 0; out && k < l->n; k++) {
        put_padded(out, atn_table_col_name(l->t, l->col[k]), names, true, false);
        for (atn_idx r = 0; r < rows; r++)
            put_padded(out, shown(l, r, l->col[k], buffer), wide[r], true,
                       r == rows - 1);
    }
    return names + all;
}

atn_status table_text(atn_ctx *cx, const atn_table *t, FILE *out)
{
    const atn_arena_mark mark = atn_arena_save(cx);
    const int columns = atn_table_is_brief(t) ? cx->columns : 0;
    const atn_idx rows = atn_table_rows(t);
    atn_status st = ATN_OK;
    const char **rest = NULL;
    layout l;

    ATN_TRY(lay_out(cx, t, &l));
    ATN_TAKE(rest, atn_table_cols(t));
    put_common(&l, columns, out);
    if (columns <= 0 || sum_of(&l, 0, l.n) - GAP <= columns)
        put_part(&l, (part){0, l.n}, rest, out);
    else if (rows >= 1 && rows <= FEW && put_turned(&l, NULL) <= columns)
        (void)put_turned(&l, out);
    else
        put_parts(&l, columns, rest, out);
done:
    atn_arena_rewind(cx, mark);
    return st;
}
