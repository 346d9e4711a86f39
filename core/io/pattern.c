/* core/io/pattern.c -- pattern files. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "core/io/pattern.h"

#include <math.h>
#include <string.h>

#include "core/io/file.h"
#include "core/io/json.h"
#include "core/pattern_internal.h"

#define SCHEMA "attnscope/pattern/1"

/* ---- reading ---- */

enum { HEADS_MOST = 100000, FILE_MOST = 1 << 30 };

typedef struct reader {
    const char *path;
    atn_frame f;
    atn_idx row0, rows, cols; /* blocks */
    atn_pattern **heads;      /* [n_heads] */
    size_t n_heads;
    /* of the head at hand, where it has rows */
    int64_t *ptr; /* [rows + 1] */
    atn_span *spans;
    atn_idx n, room;
} reader;

static atn_status add(atn_ctx *cx, reader *r, atn_idx lo, atn_idx hi)
{
    if (r->n == r->room) {
        const atn_idx room = 2 * r->room + 64;
        atn_span *more = atn_realloc(cx, r->spans, room, sizeof *more);

        if (!more) return cx->err.code;
        r->spans = more;
        r->room = room;
    }
    r->spans[r->n++] = (atn_span){lo, hi};
    return ATN_OK;
}

/* Where an interval or block of a file stands. */
typedef struct place {
    size_t head, row, item;
} place;

/* The next interval of a row: after `last`, the end of the one before it. */
static atn_status add_checked(atn_ctx *cx, reader *r, place at, int64_t lo, int64_t hi,
                              atn_idx last)
{
    atn_status st = ATN_OK;

    if (lo < 0 || hi <= lo || hi > r->cols)
        ATN_FAIL(
            ATN_DATA,
            "%s: heads[%zu], row %zu, item %zu: [%lld, %lld) is no interval of the "
            "%lld blocks of keys (0 <= lo < hi <= %lld)",
            r->path, at.head, at.row, at.item, (long long)lo, (long long)hi,
            (long long)r->cols, (long long)r->cols);
    if (lo < last)
        ATN_FAIL(ATN_DATA,
                 "%s: heads[%zu], row %zu, item %zu: %lld comes after an interval that "
                 "ends at %lld (sort the intervals of a row, and join those that "
                 "overlap)",
                 r->path, at.head, at.row, at.item, (long long)lo, (long long)last);
    ATN_TRY(add(cx, r, lo, hi));
done:
    return st;
}

static bool is_interval(const json_t *item)
{
    return json_array_size(item) == 2 && json_is_integer(json_array_get(item, 0)) &&
           json_is_integer(json_array_get(item, 1));
}

static atn_status read_item(atn_ctx *cx, reader *r, place at, const json_t *item,
                            bool blocks, atn_idx *last)
{
    atn_status st = ATN_OK;
    int64_t lo, hi;

    if (blocks ? !json_is_integer(item) : !is_interval(item))
        ATN_FAIL(ATN_DATA, "%s: heads[%zu], row %zu, item %zu is no %s", r->path,
                 at.head, at.row, at.item,
                 blocks ? "number of a block" : "interval [lo, hi]");
    lo = json_integer_value(blocks ? item : json_array_get(item, 0));
    hi = blocks ? (lo < INT64_MAX ? lo + 1 : lo)
                : json_integer_value(json_array_get(item, 1));
    ATN_TRY(add_checked(cx, r, at, lo, hi, *last));
    *last = hi;
done:
    return st;
}

static atn_status read_row(atn_ctx *cx, reader *r, place at, const json_t *row,
                           bool blocks)
{
    const atn_idx end = r->f.causal ? r->row0 + (atn_idx)at.row + 1 : r->cols;
    const atn_idx from = r->n;
    atn_status st = ATN_OK;
    const json_t *item;
    atn_idx last = 0;

    if (!json_is_array(row))
        ATN_FAIL(ATN_DATA, "%s: heads[%zu], row %zu is no list", r->path, at.head,
                 at.row);
    json_array_foreach(row, at.item, item)
        ATN_TRY(read_item(cx, r, at, item, blocks, &last));
    r->n = from + atn_spans_join(r->spans + from, r->n - from, 0, end);
done:
    return st;
}

static atn_status read_rows(atn_ctx *cx, reader *r, size_t head, const json_t *rows,
                            bool blocks, atn_pattern **out)
{
    atn_status st = ATN_OK;
    const json_t *row;
    size_t a;

    if ((atn_idx)json_array_size(rows) != r->rows)
        ATN_FAIL(ATN_DATA,
                 "%s: heads[%zu] has %zu rows, and %lld are needed (block rows "
                 "are cut at multiples of %lld, by position)",
                 r->path, head, json_array_size(rows), (long long)r->rows,
                 (long long)r->f.block);
    ATN_NEW(r->ptr, r->rows + 1);
    ATN_NEW(r->spans, r->rows);
    r->room = r->rows;
    r->n = 0;
    json_array_foreach(rows, a, row)
    {
        if (a % 65536 == 65535)
            ATN_TRY(atn_progress(cx, "reading a pattern", (double)a, (double)r->rows));
        ATN_TRY(read_row(cx, r, (place){head, a, 0}, row, blocks));
        r->ptr[a + 1] = r->n;
    }
    st = atn_pattern_rows(cx, &r->f, 1, r->ptr, r->spans, out);
    r->ptr = NULL;
    r->spans = NULL;
    ATN_TRY(st);
done:
    return st;
}

/* ---- slices ---- */

static bool slice_type(const json_t *v, int *type)
{
    static const char *const names[] = {"full", "causal", "inverse", "both"};

    *type =
        json_is_integer(v) && json_integer_value(v) >= 0 && json_integer_value(v) <= 3
            ? (int)json_integer_value(v)
            : -1;
    for (int i = 0; *type < 0 && json_is_string(v) && i < 4; i++)
        if (strcmp(json_string_value(v), names[i]) == 0) *type = i;
    return *type >= 0;
}

static atn_status read_slice(atn_ctx *cx, const reader *r, size_t head, size_t i,
                             const json_t *item, atn_slice *s)
{
    int64_t *const ends[] = {&s->rows.lo, &s->rows.hi, &s->keys.lo, &s->keys.hi};
    const atn_idx first = r->f.first, end = first + r->f.nq;
    bool good = json_array_size(item) == 5;
    atn_status st = ATN_OK;

    for (size_t e = 0; good && e < 4; e++) {
        good = json_is_integer(json_array_get(item, e));
        *ends[e] = json_integer_value(json_array_get(item, e));
    }
    if (!good || !slice_type(json_array_get(item, 4), &s->cut))
        ATN_FAIL(ATN_DATA,
                 "%s: heads[%zu], slices[%zu] is no [q0, q1, k0, k1, TYPE] with TYPE "
                 "full, causal, inverse or both",
                 r->path, head, i);
    if (s->rows.lo < first || s->rows.hi <= s->rows.lo || s->rows.hi > end ||
        s->keys.lo < 0 || s->keys.hi <= s->keys.lo || s->keys.hi > r->f.nk)
        ATN_FAIL(ATN_DATA,
                 "%s: heads[%zu], slices[%zu]: queries [%lld, %lld) or keys [%lld, "
                 "%lld) are empty or outside of [%lld, %lld) and [0, %lld)",
                 r->path, head, i, (long long)s->rows.lo, (long long)s->rows.hi,
                 (long long)s->keys.lo, (long long)s->keys.hi, (long long)first,
                 (long long)end, (long long)r->f.nk);
done:
    return st;
}

static atn_status read_slices(atn_ctx *cx, const reader *r, size_t head,
                              const json_t *list, atn_pattern **out)
{
    const atn_arena_mark mark = atn_arena_save(cx);
    const atn_idx n = (atn_idx)json_array_size(list);
    atn_status st = ATN_OK;
    atn_slice *slices = NULL;
    atn_meeting m = {0};
    const json_t *item;
    bool meet = false;
    size_t s;

    if (r->f.block != 1)
        ATN_FAIL(
            ATN_DATA,
            "%s: heads[%zu]: slices are of tokens, but \"block\" is %lld (leave it "
            "out)",
            r->path, head, (long long)r->f.block);
    ATN_TAKE(slices, n);
    json_array_foreach(list, s, item)
        ATN_TRY(read_slice(cx, r, head, s, item, &slices[s]));
    ATN_TRY(atn_slices_meet(cx, slices, n, &meet, &m));
    if (meet)
        ATN_FAIL(ATN_DATA,
                 "%s: heads[%zu]: slices[%lld] and slices[%lld] overlap: both have "
                 "query %lld and key %lld (cut one of them there)",
                 r->path, head, (long long)m.one, (long long)m.other, (long long)m.row,
                 (long long)m.key);
    ATN_TRY(atn_pattern_slices(cx, &r->f, slices, n, out));
done:
    atn_arena_rewind(cx, mark);
    return st;
}

/* ---- the file ---- */

static atn_status read_head(atn_ctx *cx, reader *r, size_t head, const json_t *h,
                            atn_pattern **out)
{
    static const char *const forms[] = {"rows", "blocks", "slices"};
    const json_t *list = NULL;
    atn_status st = ATN_OK;
    int form = -1, n = 0;
    char where[512];

    snprintf(where, sizeof where, "%.480s: heads[%zu]", r->path, head);
    ATN_TRY(atn_json_check_keys(cx, where, h, forms, (int)ATN_LEN(forms)));
    for (int i = 0; i < 3; i++)
        if (json_object_get(h, forms[i])) {
            form = i;
            n++;
        }
    list = n == 1 ? json_object_get(h, forms[form]) : NULL;
    if (!json_is_array(list))
        ATN_FAIL(ATN_DATA, "%s must have one list, \"rows\", \"blocks\" or \"slices\"",
                 where);
    if (form == 2)
        ATN_TRY(read_slices(cx, r, head, list, out));
    else
        ATN_TRY(read_rows(cx, r, head, list, form == 1, out));
done:
    return st;
}

static atn_status read_frame(atn_ctx *cx, reader *r, const json_t *j)
{
    static const char *const keys[] = {"schema", "keys",   "queries", "first",
                                       "block",  "causal", "heads"};
    const atn_idx most = ATN_PATTERN_KEYS_MOST;
    const char *schema = NULL;
    atn_frame *f = &r->f;
    atn_status st = ATN_OK;

    ATN_TRY(atn_json_get_str(cx, r->path, j, "schema", "", &schema));
    if (strcmp(schema, SCHEMA) != 0)
        ATN_FAIL(ATN_DATA, "%s: \"schema\" is \"%.60s\", not \"" SCHEMA "\"", r->path,
                 schema);
    ATN_TRY(atn_json_check_keys(cx, r->path, j, keys, (int)ATN_LEN(keys)));
    ATN_TRY(atn_json_need_i64(cx, r->path, j, "keys", 1, most, &f->nk));
    ATN_TRY(atn_json_get_i64(cx, r->path, j, "queries", f->nk, 1, most, &f->nq));
    ATN_TRY(atn_json_get_i64(cx, r->path, j, "first", ATN_MAX(f->nk - f->nq, 0), 0,
                             most, &f->first));
    ATN_TRY(atn_json_get_i64(cx, r->path, j, "block", 1, 1, most, &f->block));
    ATN_TRY(atn_json_get_bool(cx, r->path, j, "causal", false, &f->causal));
    r->row0 = f->first / f->block;
    r->rows = (f->first + f->nq - 1) / f->block + 1 - r->row0;
    r->cols = (f->nk - 1) / f->block + 1;
done:
    return st;
}

/* Each head, and its part of the tree away. */
static atn_status read_heads(atn_ctx *cx, reader *r, json_t *heads)
{
    atn_status st = ATN_OK;

    r->n_heads = json_array_size(heads);
    if (r->n_heads < 1 || r->n_heads > HEADS_MOST)
        ATN_FAIL(ATN_DATA, "%s: \"heads\" must be a list of 1 to %d heads", r->path,
                 HEADS_MOST);
    ATN_NEW(r->heads, r->n_heads);
    for (size_t h = 0; h < r->n_heads; h++) {
        ATN_TRY(read_head(cx, r, h, json_array_get(heads, h), &r->heads[h]));
        json_array_set_new(heads, h, json_null());
    }
done:
    return st;
}

/* The text is gone once the tree is made. */
static atn_status read_tree(atn_ctx *cx, const char *path, atn_json_tree *out)
{
    atn_status st = ATN_OK;
    char *text = NULL;
    size_t size = 0;

    ATN_TRY(atn_file_read(cx, path, FILE_MOST, &text, &size));
    ATN_TRY(atn_json_tree_parse(cx, path, text, size, "a pattern file",
                                "say it in blocks or slices", out));
done:
    atn_free(cx, text);
    return st;
}

atn_status atn_pattern_load(atn_ctx *cx, const char *path, atn_pattern **out)
{
    reader r = {.path = path};
    atn_status st = ATN_OK;
    atn_json_tree j = {0};

    *out = NULL;
    ATN_TRY(read_tree(cx, path, &j));
    ATN_TRY(read_frame(cx, &r, j.root));
    ATN_TRY(read_heads(cx, &r, json_object_get(j.root, "heads")));
    if (r.n_heads == 1)
        *out = r.heads[0];
    else
        st = atn_pattern_heads(cx, r.heads, (atn_idx)r.n_heads, out);
    r.n_heads = 0;
    ATN_TRY(st);
done:
    atn_json_tree_drop(cx, &j);
    for (size_t h = 0; r.heads && h < r.n_heads; h++)
        atn_pattern_destroy(cx, r.heads[h]);
    atn_free(cx, r.heads);
    atn_free(cx, r.ptr);
    atn_free(cx, r.spans);
    return st;
}

/* ---- writing ---- */

static void write_row(const atn_span *s, atn_idx n, FILE *out)
{
    fprintf(out, "    [");
    for (atn_idx i = 0; i < n; i++)
        fprintf(out, "%s[%lld, %lld]", i ? ", " : "", (long long)s[i].lo,
                (long long)s[i].hi);
    fprintf(out, "]");
}

/* Asked while rows are written. */
static atn_status report(atn_ctx *cx, const atn_out *out, double done, double all)
{
    atn_status st = ATN_OK;

    ATN_TRY(atn_progress(cx, "writing a pattern", done, all));
    if (ferror(out->file)) ATN_FAIL(ATN_IO, "%s: cannot be written", out->path);
    if (ftello(out->file) > FILE_MOST)
        ATN_FAIL(ATN_DATA,
                 "%s: its rows need more than the 1 GiB that a pattern file may have "
                 "(choose a head with --heads, or a pattern of larger blocks)",
                 out->path);
done:
    return st;
}

/* done: heads written before, of `heads`. */
static atn_status write_head(atn_ctx *cx, const atn_pattern *p, atn_idx h, double done,
                             double heads, const atn_out *to)
{
    const atn_arena_mark mark = atn_arena_save(cx);
    const double rows = (double)(p->row1 - p->row0);
    atn_status st = ATN_OK;
    FILE *out = to->file;
    atn_span *room = NULL;

    ATN_TAKE(room, p->room);
    fprintf(out, "%s  {\"rows\": [\n", done > 0 ? ",\n" : "");
    for (atn_idx a = p->row0; a < p->row1; a++) {
        if (a % 4096 == 0)
            ATN_TRY(report(cx, to, done + (double)(a - p->row0) / rows, heads));
        if (a > p->row0) fprintf(out, ",\n");
        write_row(room, atn_pattern_row(p, h, a, room), out);
    }
    fprintf(out, "\n  ]}");
done:
    atn_arena_rewind(cx, mark);
    return st;
}

atn_status atn_pattern_save(atn_ctx *cx, const atn_pattern *p, atn_idx head,
                            const char *path, bool force)
{
    const atn_idx from = head < 0 ? 0 : head, to = head < 0 ? p->heads : head + 1;
    const atn_frame *f = &p->frame;
    atn_status st = ATN_OK;
    atn_out out = {0};

    ATN_TRY(atn_out_open(cx, path, force, &out));
    fprintf(out.file,
            "{\"schema\": \"" SCHEMA
            "\", \"keys\": %lld, \"queries\": %lld, \"first\": "
            "%lld, \"block\": %lld, \"causal\": %s, \"heads\": [\n",
            (long long)f->nk, (long long)f->nq, (long long)f->first,
            (long long)f->block, f->causal ? "true" : "false");
    for (atn_idx h = from; h < to; h++)
        ATN_TRY(write_head(cx, p, h, (double)(h - from), (double)(to - from), &out));
    fprintf(out.file, "\n]}\n");
    ATN_TRY(atn_out_commit(cx, &out));
done:
    atn_out_abort(cx, &out);
    return st;
}
