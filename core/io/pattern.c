/* core/io/pattern.c -- pattern files. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "core/io/pattern.h"

#include <string.h>

#include "core/io/file.h"
#include "core/io/json.h"
#include "core/pattern_internal.h"

#define SCHEMA "attnscope/pattern/1"

/* ---- reading ---- */

typedef struct reader {
    const char *path;
    atn_frame f;
    atn_idx rows, cols; /* blocks */
    int64_t *ptr;       /* [heads * rows + 1] */
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

static atn_status read_rows(atn_ctx *cx, reader *r, size_t head, const json_t *rows,
                            bool blocks)
{
    atn_status st = ATN_OK;
    const json_t *row, *item;
    size_t a, i;

    if ((atn_idx)json_array_size(rows) != r->rows)
        ATN_FAIL(ATN_DATA, "%s: heads[%zu] has %zu rows, and %lld are needed", r->path,
                 head, json_array_size(rows), (long long)r->rows);
    json_array_foreach(rows, a, row)
    {
        const atn_idx from = r->n;
        atn_idx last = 0;

        if (!json_is_array(row))
            ATN_FAIL(ATN_DATA, "%s: heads[%zu], row %zu is no list", r->path, head, a);
        json_array_foreach(row, i, item)
            ATN_TRY(read_item(cx, r, (place){head, a, i}, item, blocks, &last));
        r->n = from + atn_spans_join(r->spans + from, r->n - from, 0, r->cols);
        r->ptr[head * (size_t)r->rows + a + 1] = r->n;
    }
done:
    return st;
}

/* ---- slices ---- */

typedef struct slice {
    int64_t q0, q1, k0, k1;
    int type; /* bit 0: not beyond the diagonal of the lower right corner; bit 1: from
                 that of the upper left on */
} slice;

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
                             const json_t *item, slice *s)
{
    int64_t *const ends[] = {&s->q0, &s->q1, &s->k0, &s->k1};
    bool good = json_array_size(item) == 5;
    atn_status st = ATN_OK;

    for (size_t e = 0; good && e < 4; e++) {
        good = json_is_integer(json_array_get(item, e));
        *ends[e] = json_integer_value(json_array_get(item, e));
    }
    if (!good || !slice_type(json_array_get(item, 4), &s->type))
        ATN_FAIL(ATN_DATA,
                 "%s: heads[%zu], slices[%zu] is no [q0, q1, k0, k1, TYPE] with TYPE "
                 "full, causal, inverse or both",
                 r->path, head, i);
    if (s->q0 < r->f.first || s->q1 <= s->q0 || s->q1 > r->f.first + r->f.nq ||
        s->k0 < 0 || s->k1 <= s->k0 || s->k1 > r->f.nk)
        ATN_FAIL(ATN_DATA,
                 "%s: heads[%zu], slices[%zu]: queries [%lld, %lld) or keys [%lld, "
                 "%lld) are empty or outside of [%lld, %lld) and [0, %lld)",
                 r->path, head, i, (long long)s->q0, (long long)s->q1, (long long)s->k0,
                 (long long)s->k1, (long long)r->f.first,
                 (long long)(r->f.first + r->f.nq), (long long)r->f.nk);
done:
    return st;
}

/* Keys of a slice for the query at i, which it has. */
static atn_span slice_keys(const slice *s, atn_idx i)
{
    atn_span x = {s->k0, s->k1};

    if (s->type & 1) x.hi = ATN_MIN(x.hi, s->k1 - (s->q1 - 1 - i));
    if (s->type & 2) x.lo = ATN_MAX(x.lo, s->k0 + (i - s->q0));
    return x;
}

static atn_status read_slices(atn_ctx *cx, reader *r, size_t head, const json_t *list)
{
    const atn_arena_mark mark = atn_arena_save(cx);
    const atn_idx n = (atn_idx)json_array_size(list);
    atn_status st = ATN_OK;
    slice *slices = NULL;
    const json_t *item;
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
    for (atn_idx a = 0; a < r->rows; a++) {
        const atn_idx i = r->f.first + a, from = r->n;

        for (atn_idx t = 0; t < n; t++)
            if (i >= slices[t].q0 && i < slices[t].q1) {
                const atn_span x = slice_keys(&slices[t], i);

                if (x.lo < x.hi) ATN_TRY(add(cx, r, x.lo, x.hi));
            }
        r->n = from + atn_spans_tidy(r->spans + from, r->n - from, 0, r->cols);
        r->ptr[(atn_idx)head * r->rows + a + 1] = r->n;
    }
done:
    atn_arena_rewind(cx, mark);
    return st;
}

/* ---- the file ---- */

static atn_status read_head(atn_ctx *cx, reader *r, size_t head, const json_t *h)
{
    static const char *const forms[] = {"rows", "blocks", "slices"};
    const json_t *list = NULL;
    atn_status st = ATN_OK;
    int form = -1, n = 0;

    for (int i = 0; i < 3; i++)
        if (json_object_get(h, forms[i])) {
            form = i;
            n++;
        }
    list = n == 1 ? json_object_get(h, forms[form]) : NULL;
    if (!json_is_array(list))
        ATN_FAIL(ATN_DATA,
                 "%s: heads[%zu] must have one list, \"rows\", \"blocks\" or "
                 "\"slices\"",
                 r->path, head);
    if (form == 2)
        ATN_TRY(read_slices(cx, r, head, list));
    else
        ATN_TRY(read_rows(cx, r, head, list, form == 1));
done:
    return st;
}

static atn_status read_frame(atn_ctx *cx, reader *r, const json_t *j)
{
    const atn_idx most = ATN_PATTERN_KEYS_MOST;
    const char *schema = NULL;
    atn_frame *f = &r->f;
    atn_status st = ATN_OK;

    ATN_TRY(atn_json_get_str(cx, r->path, j, "schema", "", &schema));
    if (strcmp(schema, SCHEMA) != 0)
        ATN_FAIL(ATN_DATA, "%s: \"schema\" is \"%.60s\", not \"" SCHEMA "\"", r->path,
                 schema);
    ATN_TRY(atn_json_need_i64(cx, r->path, j, "keys", 1, most, &f->nk));
    ATN_TRY(atn_json_get_i64(cx, r->path, j, "queries", f->nk, 1, most, &f->nq));
    ATN_TRY(atn_json_get_i64(cx, r->path, j, "first", ATN_MAX(f->nk - f->nq, 0), 0,
                             most, &f->first));
    ATN_TRY(atn_json_get_i64(cx, r->path, j, "block", 1, 1, most, &f->block));
    ATN_TRY(atn_json_get_bool(cx, r->path, j, "causal", false, &f->causal));
    r->rows = (f->first + f->nq - 1) / f->block + 1 - f->first / f->block;
    r->cols = (f->nk - 1) / f->block + 1;
done:
    return st;
}

/* Cuts the rows of a causal pattern at the diagonal, in place. */
static void cut_future(reader *r, atn_idx heads)
{
    const atn_idx row0 = r->f.first / r->f.block;
    int64_t from = 0, to = 0;

    for (atn_idx k = 0; r->f.causal && k < heads * r->rows; k++) {
        const int64_t end = r->ptr[k + 1], n = end - from;

        memmove(r->spans + to, r->spans + from, (size_t)n * sizeof *r->spans);
        to += atn_spans_join(r->spans + to, n, 0, row0 + k % r->rows + 1);
        r->ptr[k + 1] = to;
        from = end;
    }
}

atn_status atn_pattern_load(atn_ctx *cx, const char *path, atn_pattern **out)
{
    reader r = {.path = path};
    const json_t *heads, *head;
    atn_status st = ATN_OK;
    json_t *j = NULL;
    atn_idx rows = 0;
    size_t h;

    *out = NULL;
    ATN_TRY(atn_json_load(cx, path, false, &j));
    ATN_TRY(read_frame(cx, &r, j));
    heads = json_object_get(j, "heads");
    if (json_array_size(heads) < 1 || json_array_size(heads) > 100000)
        ATN_FAIL(ATN_DATA, "%s: \"heads\" must be a list of 1 to 100000 heads", path);
    if (!atn_mul((atn_idx)json_array_size(heads), r.rows, &rows))
        ATN_FAIL(ATN_DATA, "%s: too many rows", path);
    ATN_TRY(atn_mem_check(cx, 8 * (double)rows, "the rows of a pattern"));
    ATN_NEW(r.ptr, rows + 1);
    ATN_NEW(r.spans, 1);
    r.room = 1;
    json_array_foreach(heads, h, head) ATN_TRY(read_head(cx, &r, h, head));
    cut_future(&r, (atn_idx)json_array_size(heads));
    st = atn_pattern_rows(cx, &r.f, (atn_idx)json_array_size(heads), r.ptr, r.spans,
                          out);
    r.ptr = NULL;
    r.spans = NULL;
    ATN_TRY(st);
done:
    json_decref(j);
    atn_free(cx, r.ptr);
    atn_free(cx, r.spans);
    return st;
}

/* ---- writing ---- */

static void write_head(const atn_pattern *p, atn_idx h, atn_span *room, FILE *out)
{
    fprintf(out, "%s  {\"rows\": [\n", h ? ",\n" : "");
    for (atn_idx a = p->row0; a < p->row1; a++) {
        const atn_idx n = atn_pattern_row(p, h, a, room);

        fprintf(out, "    [");
        for (atn_idx s = 0; s < n; s++)
            fprintf(out, "%s[%lld, %lld]", s ? ", " : "", (long long)room[s].lo,
                    (long long)room[s].hi);
        fprintf(out, "]%s\n", a + 1 < p->row1 ? "," : "");
    }
    fprintf(out, "  ]}");
}

atn_status atn_pattern_save(atn_ctx *cx, const atn_pattern *p, const char *path,
                            bool force)
{
    const atn_arena_mark mark = atn_arena_save(cx);
    const atn_frame *f = &p->frame;
    atn_status st = ATN_OK;
    atn_span *room = NULL;
    atn_out out = {0};

    ATN_TAKE(room, p->room);
    ATN_TRY(atn_out_open(cx, path, force, &out));
    fprintf(out.file,
            "{\"schema\": \"" SCHEMA
            "\", \"keys\": %lld, \"queries\": %lld, \"first\": "
            "%lld, \"block\": %lld, \"causal\": %s, \"heads\": [\n",
            (long long)f->nk, (long long)f->nq, (long long)f->first,
            (long long)f->block, f->causal ? "true" : "false");
    for (atn_idx h = 0; h < p->heads; h++) {
        ATN_TRY(atn_progress(cx, "writing a pattern", (double)h, (double)p->heads));
        write_head(p, h, room, out.file);
    }
    fprintf(out.file, "\n]}\n");
    ATN_TRY(atn_out_commit(cx, &out));
done:
    atn_out_abort(cx, &out);
    atn_arena_rewind(cx, mark);
    return st;
}
