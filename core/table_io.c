/* core/table_io.c -- tables as CSV and JSONL, and back; as text: table_text.c.
 *
 * Source  RFC 4180 for CSV; libcsv parses it. Readings: LF, CRLF or CR, a byte-order
 *         mark is skipped, an empty field is a missing cell, nan and inf are lower
 *         case.
 * Limits  column types of a CSV are inferred: whole numbers, numbers, true/false, else
 *         text.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#include <csv.h>
#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/io/file.h"
#include "core/io/json.h"
#include "core/io/npy.h"
#include "core/run.h"
#include "core/table_internal.h"

static const size_t TABLE_MAX_BYTES = (size_t)1 << 31;

/* ---- writing ---- */

/* A number as %.*g, with nan and inf spelled in lower case without a sign of nan. Where
 * people read it with few digits, a count has all of its own. */
static void print_number(char out[CELL_TEXT], double v, int digits)
{
    if (isnan(v))
        snprintf(out, CELL_TEXT, "nan");
    else if (digits < 9 && fabs(v) < 1e9 && v == floor(v))
        snprintf(out, CELL_TEXT, "%.0f", v);
    else
        snprintf(out, CELL_TEXT, "%.*g", digits, v);
}

const char *table_cell(const atn_table *t, atn_idx r, int c, int digits,
                       char buffer[CELL_TEXT])
{
    if (!atn_table_has(t, r, c)) return "";
    switch (atn_table_col_type(t, c)) {
    case ATN_COL_I64:
        snprintf(buffer, CELL_TEXT, "%" PRId64, atn_table_get_i64(t, r, c));
        break;
    case ATN_COL_BOOL:
        snprintf(buffer, CELL_TEXT, "%s",
                 atn_table_get_i64(t, r, c) ? "true" : "false");
        break;
    case ATN_COL_F32:
        print_number(buffer, atn_table_get_f64(t, r, c), digits ? digits : 9);
        break;
    case ATN_COL_F64:
        print_number(buffer, atn_table_get_f64(t, r, c), digits ? digits : 17);
        break;
    case ATN_COL_STR:
        return atn_table_get_str(t, r, c);
    }
    return buffer;
}

/* Quotes where RFC 4180 asks for it, and around empty strings and blanks, which would
 * read back as missing or trimmed. */
static void put_csv(FILE *out, const char *text, bool is_string, bool last)
{
    const bool quote = strpbrk(text, ",\"\r\n") ||
                       (is_string && (!*text || text[0] == ' ' || text[0] == '\t' ||
                                      text[strlen(text) - 1] == ' ' ||
                                      text[strlen(text) - 1] == '\t'));

    if (quote)
        csv_fwrite(out, text, strlen(text));
    else
        fputs(text, out);
    fputc(last ? '\n' : ',', out);
}

static void write_csv(const atn_table *t, FILE *out)
{
    const int n = atn_table_cols(t);
    char buffer[CELL_TEXT];

    for (int c = 0; c < n; c++)
        put_csv(out, atn_table_col_name(t, c), true, c == n - 1);
    for (atn_idx r = 0; r < atn_table_rows(t); r++)
        for (int c = 0; c < n; c++)
            put_csv(out, table_cell(t, r, c, 0, buffer),
                    atn_table_col_type(t, c) == ATN_COL_STR && atn_table_has(t, r, c),
                    c == n - 1);
}

static void set_json_cell(json_t *row, const atn_table *t, atn_idx r, int c)
{
    const char *name = atn_table_col_name(t, c);
    const atn_col_type type = atn_table_col_type(t, c);
    char buffer[CELL_TEXT];

    if (!atn_table_has(t, r, c)) {
        json_object_set_new(row, name, json_null());
    } else if (type == ATN_COL_STR) {
        json_object_set_new(row, name, json_string(atn_table_get_str(t, r, c)));
    } else if (type == ATN_COL_I64) {
        json_object_set_new(row, name, json_integer(atn_table_get_i64(t, r, c)));
    } else if (type == ATN_COL_BOOL) {
        json_object_set_new(row, name, json_boolean(atn_table_get_i64(t, r, c) != 0));
    } else if (isfinite(atn_table_get_f64(t, r, c))) {
        json_object_set_new(row, name, json_real(atn_table_get_f64(t, r, c)));
    } else {
        char reason[256];
        print_number(buffer, atn_table_get_f64(t, r, c), 6);
        snprintf(reason, sizeof reason, "%s_reason", name);
        json_object_set_new(row, name, json_null());
        json_object_set_new(row, reason, json_string(buffer));
    }
}

static void write_jsonl(const atn_table *t, const atn_run *run, FILE *out)
{
    char schema[128];

    snprintf(schema, sizeof schema, "attnscope/%s/1", atn_table_kind(t));
    for (atn_idx r = 0; r < atn_table_rows(t); r++) {
        json_t *row = json_object();

        json_object_set_new(row, "schema", json_string(schema));
        if (run) json_object_set_new(row, "run", json_string(run->fingerprint));
        for (int c = 0; c < atn_table_cols(t); c++) set_json_cell(row, t, r, c);
        json_dumpf(row, out, JSON_COMPACT);
        fputc('\n', out);
        fflush(out);
        json_decref(row);
    }
}

static atn_status write_one(atn_ctx *cx, const atn_table *t, const atn_run *run,
                            atn_table_format format, FILE *out)
{
    atn_status st = ATN_OK;

    if (format == ATN_TABLE_TEXT)
        ATN_TRY(table_text(cx, t, out));
    else if (format == ATN_TABLE_CSV)
        write_csv(t, out);
    else
        write_jsonl(t, run, out);
done:
    return st;
}

static const char *heading(const atn_table *t)
{
    const char *title = atn_table_get_meta(t, "title");

    return title ? title : atn_table_kind(t);
}

atn_status atn_tables_write(atn_ctx *cx, const atn_table *const *tables, int n,
                            const atn_run *run, atn_table_format format, FILE *out)
{
    atn_status st = ATN_OK;

    for (int i = 0; i < n; i++) {
        if (i > 0 && format == ATN_TABLE_TEXT) fputc('\n', out);
        if (i > 0 && format == ATN_TABLE_TEXT && atn_table_is_brief(tables[i]))
            fprintf(out, "%s\n", heading(tables[i]));
        ATN_TRY(write_one(cx, tables[i], run, format, out));
    }
    if (run && format == ATN_TABLE_JSONL) {
        json_dumpf(run->json, out, JSON_COMPACT | JSON_SORT_KEYS);
        fputc('\n', out);
    }
    if (fflush(out) != 0 || ferror(out))
        ATN_FAIL(ATN_IO, "the %s table cannot be written: %s",
                 atn_table_kind(tables[0]), strerror(errno));
done:
    return st;
}

atn_status atn_table_write(atn_ctx *cx, const atn_table *t, const atn_run *run,
                           atn_table_format format, FILE *out)
{
    return atn_tables_write(cx, &t, 1, run, format, out);
}

/* What a CSV cannot say about a table: kind, column texts and units, metadata. */
static json_t *table_facts(const atn_table *t)
{
    json_t *meta = json_object(), *columns = json_array();

    for (int i = 0; i < atn_table_metas(t); i++) {
        const char *key, *value;
        atn_table_meta_at(t, i, &key, &value);
        json_object_set_new(meta, key, json_string(value));
    }
    for (int c = 0; c < atn_table_cols(t); c++)
        json_array_append_new(columns, json_pack("{s:s, s:s, s:s}", "name",
                                                 atn_table_col_name(t, c), "unit",
                                                 atn_table_col_unit(t, c), "text",
                                                 atn_table_col_text(t, c)));
    return json_pack("{s:s, s:o, s:o, s:s?, s:s?}", "kind", atn_table_kind(t), "meta",
                     meta, "columns", columns, "row_axis", atn_table_row_axis(t),
                     "col_axis", atn_table_col_axis(t));
}

static atn_status save_companions(atn_ctx *cx, const atn_table *t, const atn_run *run,
                                  const char *path, bool force)
{
    const atn_cmat m = atn_table_get_matrix(t);
    const atn_idx shape[] = {m.rows, m.cols};
    char *record = atn_strfmt(cx, "%s.run.json", path),
         *matrix = atn_strfmt(cx, "%s.npy", path);
    json_t *both = run ? json_copy(run->json) : json_object();
    atn_status st = ATN_OK;

    if (!record || !matrix) {
        st = cx->err.code;
        goto done;
    }
    json_object_set_new(both, "table", table_facts(t));
    if (m.data) ATN_TRY(atn_npy_save_f32(cx, matrix, m.data, 2, shape, force));
    ATN_TRY(atn_json_save(cx, record, both));
done:
    json_decref(both);
    atn_free(cx, record);
    atn_free(cx, matrix);
    return st;
}

atn_status atn_table_save(atn_ctx *cx, const atn_table *t, const atn_run *run,
                          atn_table_format format, const char *path, bool force)
{
    atn_status st = ATN_OK;
    atn_out out = {NULL, NULL, NULL};

    ATN_TRY(atn_out_open(cx, path, force, &out));
    ATN_TRY(atn_table_write(cx, t, run, format, out.file));
    if (format == ATN_TABLE_CSV) ATN_TRY(save_companions(cx, t, run, path, force));
    ATN_TRY(atn_out_commit(cx, &out));
done:
    atn_out_abort(cx, &out);
    return st;
}

/* ---- reading ---- */

typedef struct reader {
    atn_ctx *cx;
    const char *path;
    const char *text_col; /* stays text whatever it holds; "*" = all, NULL = none */
    bool alone;           /* no files beside it */
    char **fields;        /* all fields in order, NULL = empty */
    atn_idx n_fields, room, n_cols, col, line;
    atn_idx blank; /* lines since the last row, where they are empty cells */
    int ended;     /* the character that ended the line before */
    atn_status st;
} reader;

static void add_field(reader *r, const char *text, size_t n)
{
    if (r->st != ATN_OK) return;
    if (r->n_fields == r->room) {
        const atn_idx room = ATN_MAX(2 * r->room, (atn_idx)256);
        char **grown = atn_realloc(r->cx, r->fields, room, sizeof *grown);
        if (!grown) {
            r->st = r->cx->err.code;
            return;
        }
        r->fields = grown;
        r->room = room;
    }
    r->fields[r->n_fields] = text ? atn_strndup(r->cx, text, n) : NULL;
    if (text && !r->fields[r->n_fields]) {
        r->st = r->cx->err.code;
        return;
    }
    r->n_fields++;
}

static void on_field(void *text, size_t n, void *state)
{
    reader *r = state;

    r->line += r->blank;
    for (; r->blank > 0; r->blank--) add_field(r, NULL, 0);
    r->col++;
    r->ended = 0;
    add_field(r, text, n);
}

/* Of a single column a blank line is an empty cell, but behind the last row. */
static void on_row(int terminator, void *state)
{
    reader *r = state;
    const bool second = terminator == '\n' && r->ended == '\r';

    if (r->st != ATN_OK) return;
    r->ended = terminator;
    if (r->col == 0) {
        r->blank += r->n_cols == 1 && !second;
        return;
    }
    r->line++;
    if (r->n_cols == 0) r->n_cols = r->col;
    if (r->col != r->n_cols)
        r->st = atn_fail(r->cx, ATN_DATA, __FILE__, __LINE__,
                         "%s: row %lld has %lld fields, the header has %lld", r->path,
                         (long long)r->line, (long long)r->col, (long long)r->n_cols);
    r->col = 0;
}

static atn_status check_bytes(atn_ctx *cx, const char *path, const char *text,
                              size_t size)
{
    const char *nul = memchr(text, '\0', size);
    size_t bad = 0;

    if (nul)
        return atn_fail(cx, ATN_DATA, __FILE__, __LINE__, "%s: NUL at byte %zu", path,
                        (size_t)(nul - text));
    if (!atn_utf8_valid(text, size, &bad))
        return atn_fail(cx, ATN_DATA, __FILE__, __LINE__, "%s: not UTF-8 at byte %zu",
                        path, bad);
    return ATN_OK;
}

static atn_status parse_fields(atn_ctx *cx, const char *text, size_t size, reader *r)
{
    struct csv_parser parser;
    atn_status st = ATN_OK;
    size_t got = 0;

    if (csv_init(&parser,
                 CSV_STRICT | CSV_STRICT_FINI | CSV_EMPTY_IS_NULL | CSV_REPALL_NL) != 0)
        return atn_fail(cx, ATN_MEMORY, __FILE__, __LINE__,
                        "no memory for the CSV parser");
    if (size > 0) got = csv_parse(&parser, text, size, on_field, on_row, r);
    if (r->st == ATN_OK && (got != size || csv_fini(&parser, on_field, on_row, r) != 0))
        ATN_FAIL(
            ATN_DATA, "%s: row %lld, column %lld: %s", r->path, (long long)r->line + 1,
            (long long)r->col + 1,
            got == size
                ? "a quoted field is never closed"
                : "a quote stands inside a field, or text follows a closing quote");
    st = r->st;
done:
    csv_free(&parser);
    return st;
}

static bool is_number(const char *text, double *v)
{
    char *end = NULL;

    if (strcmp(text, "nan") == 0 || strcmp(text, "inf") == 0 ||
        strcmp(text, "-inf") == 0) {
        *v = text[0] == 'n'   ? (double)NAN
             : text[0] == '-' ? -(double)INFINITY
                              : (double)INFINITY;
        return true;
    }
    if (!strchr("+-.0123456789", text[0])) return false;
    *v = strtod(text, &end);
    return end != text && *end == '\0' && !strpbrk(text, "xXnN");
}

static bool is_whole(const char *text, int64_t *v)
{
    char *end = NULL;

    if (!strchr("-0123456789", text[0])) return false;
    errno = 0;
    *v = strtoll(text, &end, 10);
    return end != text && *end == '\0' && errno == 0;
}

static bool is_bool(const char *text)
{
    return strcmp(text, "true") == 0 || strcmp(text, "false") == 0;
}

/* The narrowest type of column c; DATA when numbers and text are mixed. */
static atn_status infer(const reader *r, atn_idx c, atn_col_type *type)
{
    atn_idx whole = 0, numbers = 0, bools = 0, n = 0, text_row = 0;
    const atn_idx rows = r->n_fields / r->n_cols;

    *type = ATN_COL_STR;
    if (r->text_col && (strcmp(r->text_col, "*") == 0 ||
                        strcmp(r->fields[c], r->text_col) == 0))
        return ATN_OK;
    for (atn_idx i = 1; i < rows; i++) {
        const char *field = r->fields[i * r->n_cols + c];
        int64_t v;
        double x;

        if (!field) continue;
        n++;
        whole += is_whole(field, &v);
        bools += is_bool(field);
        if (is_number(field, &x))
            numbers++;
        else if (!text_row)
            text_row = i;
    }
    *type = n == 0         ? ATN_COL_STR
            : whole == n   ? ATN_COL_I64
            : numbers == n ? ATN_COL_F64
            : bools == n   ? ATN_COL_BOOL
                           : ATN_COL_STR;
    if (*type == ATN_COL_STR && numbers > 0 && numbers > n / 2)
        return atn_fail(
            r->cx, ATN_DATA, __FILE__, __LINE__,
            "%s: row %lld, column %lld (%s): '%.40s' is no number like the others",
            r->path, (long long)text_row + 1, (long long)c + 1, r->fields[c],
            r->fields[text_row * r->n_cols + c]);
    return ATN_OK;
}

static atn_status set_cell(atn_ctx *cx, atn_table *t, int c, const char *field)
{
    double x = 0;
    int64_t v = 0;

    if (!field) return ATN_OK;
    switch (atn_table_col_type(t, c)) {
    case ATN_COL_STR:
        return atn_table_set_str(cx, t, c, field);
    case ATN_COL_BOOL:
        atn_table_set_bool(t, c, field[0] == 't');
        break;
    case ATN_COL_I64:
        (void)is_whole(field, &v);
        atn_table_set_i64(t, c, v);
        break;
    default:
        (void)is_number(field, &x);
        atn_table_set_f64(t, c, x);
    }
    return ATN_OK;
}

static atn_status add_columns(atn_ctx *cx, const reader *r, const json_t *facts,
                              atn_table *t)
{
    atn_status st = ATN_OK;

    for (atn_idx c = 0; c < r->n_cols; c++) {
        const json_t *about =
            json_array_get(json_object_get(facts, "columns"), (size_t)c);
        const char *unit = json_string_value(json_object_get(about, "unit"));
        const char *text = json_string_value(json_object_get(about, "text"));
        atn_col_type type;

        if (!r->fields[c])
            ATN_FAIL(ATN_DATA, "%s: row 1, column %lld: the header field is empty",
                     r->path, (long long)c + 1);
        if (atn_table_find_col(t, r->fields[c]) >= 0)
            ATN_FAIL(ATN_DATA, "%s: row 1, column %lld: the header repeats '%.80s'",
                     r->path, (long long)c + 1, r->fields[c]);
        ATN_TRY(infer(r, c, &type));
        ATN_TRY(atn_table_add_col(cx, t, r->fields[c], type, unit, text, NULL));
    }
done:
    return st;
}

static atn_status load_matrix(atn_ctx *cx, const char *path, const json_t *facts,
                              atn_table *t)
{
    const char *rows = json_string_value(json_object_get(facts, "row_axis"));
    const char *cols = json_string_value(json_object_get(facts, "col_axis"));
    char *npy = atn_strfmt(cx, "%s.npy", path);
    atn_status st = ATN_OK;
    atn_npy a = {0};

    if (!npy) return cx->err.code;
    if (!atn_file_exists(npy)) goto done;
    ATN_TRY(atn_npy_load(cx, npy, &a));
    if (a.rank != 2 || !a.is_float)
        ATN_FAIL(ATN_DATA, "%s: a table's matrix has two axes of floats, this has %d",
                 npy, a.rank);
    ATN_TRY(atn_table_set_matrix(cx, t,
                                 (atn_cmat){a.f32, a.shape[0], a.shape[1], a.shape[1]},
                                 rows ? rows : "row", cols ? cols : "column"));
done:
    atn_npy_release(cx, &a);
    atn_free(cx, npy);
    return st;
}

/* The facts beside a CSV; *facts stays NULL where there are none. Caller decrefs
 * *record. */
static atn_status load_facts(atn_ctx *cx, const char *path, json_t **record,
                             json_t **facts)
{
    char *name = atn_strfmt(cx, "%s.run.json", path);
    atn_status st = ATN_OK;

    if (!name) return cx->err.code;
    if (!atn_file_exists(name)) goto done;
    ATN_TRY(atn_json_load(cx, name, false, record));
    *facts = json_object_get(*record, "table");
done:
    atn_free(cx, name);
    return st;
}

static atn_status load_csv(reader r, const char *text, size_t size, atn_table **out)
{
    const size_t bom = size >= 3 && memcmp(text, "\xef\xbb\xbf", 3) == 0 ? 3 : 0;
    const char *path = r.path;
    atn_ctx *cx = r.cx;
    json_t *record = NULL, *facts = NULL, *value;
    atn_status st = ATN_OK;
    atn_table *t = NULL;
    const char *kind, *key;

    ATN_TRY(check_bytes(cx, path, text, size));
    ATN_TRY(parse_fields(cx, text + bom, size - bom, &r));
    if (r.n_cols == 0)
        ATN_FAIL(ATN_DATA, "%s: is empty; a table has a header row", path);
    if (!r.alone) ATN_TRY(load_facts(cx, path, &record, &facts));
    kind = json_string_value(json_object_get(facts, "kind"));
    ATN_TRY(atn_table_create(cx, kind ? kind : "table", &t));
    ATN_TRY(add_columns(cx, &r, facts, t));
    for (atn_idx i = 1; i < r.n_fields / r.n_cols; i++) {
        ATN_TRY(atn_table_add_row(cx, t));
        for (int c = 0; c < r.n_cols; c++)
            ATN_TRY(set_cell(cx, t, c, r.fields[i * r.n_cols + c]));
    }
    json_object_foreach(json_object_get(facts, "meta"), key,
                        value) if (json_is_string(value))
        ATN_TRY(atn_table_set_meta(cx, t, key, json_string_value(value)));
    if (!r.alone) ATN_TRY(load_matrix(cx, path, facts, t));
    *out = t;
    t = NULL;
done:
    for (atn_idx i = 0; i < r.n_fields; i++) atn_free(cx, r.fields[i]);
    atn_free(cx, r.fields);
    atn_table_destroy(cx, t);
    json_decref(record);
    return st;
}

/* ---- JSONL ---- */

static atn_col_type json_col_type(const json_t *v)
{
    if (json_is_integer(v)) return ATN_COL_I64;
    if (json_is_boolean(v)) return ATN_COL_BOOL;
    return json_is_string(v) ? ATN_COL_STR : ATN_COL_F64;
}

static bool is_data_key(const char *key)
{
    const size_t n = strlen(key);

    return strcmp(key, "schema") != 0 && strcmp(key, "run") != 0 &&
           !(n > 7 && strcmp(key + n - 7, "_reason") == 0);
}

static atn_status add_json_row(atn_ctx *cx, const char *path, atn_idx line, json_t *row,
                               atn_table *t)
{
    atn_status st = ATN_OK;
    const char *key;
    json_t *v;

    ATN_TRY(atn_table_add_row(cx, t));
    json_object_foreach(row, key, v)
    {
        const int c = atn_table_find_col(t, key);

        if (!is_data_key(key) || json_is_null(v)) continue;
        if (c < 0)
            ATN_FAIL(ATN_DATA, "%s: line %lld: key '%.80s' is not in the first line",
                     path, (long long)line, key);
        switch (atn_table_col_type(t, c)) {
        case ATN_COL_STR:
            if (!json_is_string(v)) goto mixed;
            ATN_TRY(atn_table_set_str(cx, t, c, json_string_value(v)));
            break;
        case ATN_COL_I64:
            if (!json_is_integer(v)) goto mixed;
            atn_table_set_i64(t, c, json_integer_value(v));
            break;
        case ATN_COL_BOOL:
            if (!json_is_boolean(v)) goto mixed;
            atn_table_set_bool(t, c, json_is_true(v));
            break;
        default:
            if (!json_is_number(v)) goto mixed;
            atn_table_set_f64(t, c, json_number_value(v));
        }
        continue;
    mixed:
        ATN_FAIL(ATN_DATA, "%s: line %lld: '%.80s' changes its type", path,
                 (long long)line, key);
    }
done:
    return st;
}

/* A file of lines; the table is that of the first line's schema, and what else there is
 * (further tables, the run record) is passed over. */
typedef struct json_lines {
    const char *path;
    char **at;
    atn_idx n;
    const char *schema; /* of the first line, in it */
    json_t *first;
} json_lines;

static atn_status split_lines(atn_ctx *cx, char *text, json_lines *l)
{
    atn_status st = ATN_OK;
    char *save = NULL;
    atn_idx n = 1;

    for (const char *c = text; *c; c++) n += *c == '\n';
    ATN_TAKE(l->at, n);
    for (char *at = strtok_r(text, "\n", &save); at; at = strtok_r(NULL, "\n", &save))
        l->at[l->n++] = at;
    if (l->n == 0) ATN_FAIL(ATN_DATA, "%s: holds no row", l->path);
    ATN_TRY(atn_json_parse(cx, l->path, l->at[0], strlen(l->at[0]), false, &l->first));
    l->schema = json_string_value(json_object_get(l->first, "schema"));
done:
    return st;
}

/* Row i, NULL where it says another schema. Caller json_decref()s. */
static atn_status line_row(atn_ctx *cx, const json_lines *l, atn_idx i, json_t **row)
{
    atn_status st = ATN_OK;
    const char *schema;

    ATN_TRY(atn_json_parse(cx, l->path, l->at[i], strlen(l->at[i]), false, row));
    schema = json_string_value(json_object_get(*row, "schema"));
    if (!schema || strcmp(schema, l->schema) == 0) goto done;
    json_decref(*row);
    *row = NULL;
done:
    return st;
}

/* The values of the first line, those that are null there replaced by the first that is
 * none: they tell the types of the columns. */
static atn_status find_types(atn_ctx *cx, const json_lines *l, json_t *types)
{
    atn_status st = ATN_OK;
    json_t *row = NULL, *v;
    const char *key;
    bool open = true;

    for (atn_idx i = 1; open && i < l->n; i++) {
        open = false;
        json_object_foreach(types, key, v) open |= json_is_null(v);
        if (!open) break;
        ATN_TRY(line_row(cx, l, i, &row));
        json_object_foreach(row, key, v) if (json_is_null(json_object_get(types, key)))
            json_object_set(types, key, v);
        json_decref(row);
        row = NULL;
    }
done:
    json_decref(row);
    return st;
}

static atn_status start_json_table(atn_ctx *cx, const json_lines *l, atn_table **t)
{
    char kind[64] = "table";
    atn_status st = ATN_OK;
    json_t *types = json_copy(l->first), *v;
    const char *key;

    if (!types) ATN_FAIL(ATN_MEMORY, "%s: out of memory", l->path);
    if (l->schema && strcmp(l->schema, "attnscope/run/1") == 0)
        ATN_FAIL(ATN_DATA, "%s: holds no row", l->path);
    if (!l->schema || sscanf(l->schema, "attnscope/%63[a-z_]/1", kind) != 1)
        ATN_FAIL(ATN_DATA, "%s: line 1: \"schema\" is not attnscope/<kind>/1", l->path);
    ATN_TRY(find_types(cx, l, types));
    ATN_TRY(atn_table_create(cx, kind, t));
    json_object_foreach(types, key, v) if (is_data_key(key))
        ATN_TRY(atn_table_add_col(cx, *t, key, json_col_type(v), "", "", NULL));
done:
    json_decref(types);
    return st;
}

static atn_status load_jsonl(atn_ctx *cx, const char *path, char *text, atn_table **out)
{
    const atn_arena_mark mark = atn_arena_save(cx);
    json_lines l = {.path = path};
    atn_status st = ATN_OK;
    atn_table *t = NULL;
    json_t *row = NULL;

    ATN_TRY(split_lines(cx, text, &l));
    ATN_TRY(start_json_table(cx, &l, &t));
    for (atn_idx i = 0; i < l.n; i++) {
        ATN_TRY(line_row(cx, &l, i, &row));
        if (row) ATN_TRY(add_json_row(cx, path, i + 1, row, t));
        json_decref(row);
        row = NULL;
    }
    *out = t;
    t = NULL;
done:
    json_decref(row);
    json_decref(l.first);
    atn_table_destroy(cx, t);
    atn_arena_rewind(cx, mark);
    return st;
}

atn_status atn_table_load_text(atn_ctx *cx, const char *path, const char *column,
                               atn_table **out)
{
    atn_status st = ATN_OK;
    char *text = NULL;
    size_t size = 0;

    *out = NULL;
    ATN_TRY(atn_file_read(cx, path, TABLE_MAX_BYTES, &text, &size));
    if (size > 0 && text[0] == '{')
        ATN_TRY(load_jsonl(cx, path, text, out));
    else
        ATN_TRY(load_csv((reader){.cx = cx, .path = path, .text_col = column}, text,
                         size, out));
done:
    atn_free(cx, text);
    return st;
}

atn_status atn_table_parse(atn_ctx *cx, const char *what, const char *text, size_t size,
                           atn_table **out)
{
    *out = NULL;
    return load_csv((reader){.cx = cx, .path = what, .alone = true}, text, size, out);
}

atn_status atn_table_load(atn_ctx *cx, const char *path, atn_table **out)
{
    return atn_table_load_text(cx, path, NULL, out);
}
