/* analysis/stats_journal.c -- finished heads on disk, see the header. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "analysis/stats_journal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/io/file.h"

#define FORMAT "attnscope/stats-journal/"
#define KIND   FORMAT "2"
enum { HEAD_SIZE = 160, NUMBER_SIZE = 40 };

static void write_head(const char fingerprint[33], atn_idx rows, int width,
                       char out[HEAD_SIZE])
{
    snprintf(out, HEAD_SIZE, KIND " %s %lld heads %d values\n", fingerprint,
             (long long)rows, width);
}

/* One complete line; false when it is none of ours, and the rest is dropped. */
static bool read_line(const char *text, atn_idx rows, int width, double *values,
                      atn_journal_line *out)
{
    const bool whole = *text != '+';
    char *at;
    const long long row = strtoll(text + !whole, &at, 10);
    const long long second = strtoll(at, &at, 10);
    const long long n = whole ? width : strtoll(at, &at, 10);

    if (row < 0 || row >= rows || second < 0) return false;
    if (!whole && (n < 1 || n > width || second > width - n)) return false;
    *out = whole ? (atn_journal_line){row, second, 0, width, values}
                 : (atn_journal_line){row, -1, (int)second, (int)n, values};
    for (int i = 0; i < n; i++) {
        char *end;

        values[i] = strtod(at, &end);
        if (end == at) return false;
        at = end;
    }
    return *at == '\n';
}

typedef struct reading {
    atn_idx rows;
    int width;
    atn_journal_found *found;
    void *user;
} reading;

/* Hands out the heads of the text after its first line; *length is what is sound of
 * it. */
static atn_status read_heads(atn_ctx *cx, const reading *r, const char *text,
                             size_t *length)
{
    const atn_arena_mark mark = atn_arena_save(cx);
    const char *line = strchr(text, '\n') + 1, *end;
    atn_status st = ATN_OK;
    double *values = NULL;

    ATN_TAKE(values, r->width);
    while ((end = strchr(line, '\n')) != NULL) {
        atn_journal_line found;

        if (!read_line(line, r->rows, r->width, values, &found)) break;
        r->found(r->user, &found);
        line = end + 1;
    }
    *length = (size_t)(line - text);
done:
    atn_arena_rewind(cx, mark);
    return st;
}

/* Does the file begin with this line? A request with other values has another one. */
static bool begins_with(const char *path, const char *head)
{
    char line[HEAD_SIZE] = "";
    FILE *f = fopen(path, "r");
    bool same = false;

    if (!f) return false;
    same = fgets(line, sizeof line, f) && strcmp(line, head) == 0;
    (void)fclose(f);
    return same;
}

/* What an earlier run left; *length 0 = start anew. */
static atn_status read_earlier(atn_ctx *cx, const char *path, const char *head,
                               bool force, const reading *r, size_t *length)
{
    /* a line a head, and at most one a value before it */
    const double most =
        200.0 + (double)r->rows * (64 + (double)r->width * (64 + 2 * NUMBER_SIZE));
    atn_status st = ATN_OK;
    char *text = NULL;
    size_t size = 0;

    *length = 0;
    if (!atn_file_exists(path)) return ATN_OK;
    if (begins_with(path, head)) {
        ATN_TRY(atn_file_read(cx, path, (size_t)most, &text, &size));
        ATN_TRY(read_heads(cx, r, text, length));
    } else if (!force) {
        ATN_FAIL(ATN_CANTCREATE,
                 "%s: was left by another request (the same command goes on with it; "
                 "--force starts anew)",
                 path);
    }
done:
    atn_free(cx, text);
    return st;
}

static atn_status io_error(atn_ctx *cx, const char *path)
{
    return atn_fail(cx, ATN_IO, __FILE__, __LINE__, "%s: %s", path, strerror(errno));
}

atn_status atn_journal_open(atn_ctx *cx, const char *path, const char fingerprint[33],
                            atn_idx rows, int width, bool force,
                            atn_journal_found *found, void *user, atn_journal *out)
{
    const reading r = {rows, width, found, user};
    char head[HEAD_SIZE];
    atn_status st = ATN_OK;
    atn_journal j = {.width = width};
    size_t length = 0;

    *out = j;
    write_head(fingerprint, rows, width, head);
    ATN_TRY(read_earlier(cx, path, head, force, &r, &length));
    j.path = atn_strdup(cx, path);
    if (!j.path) ATN_TRY(cx->err.code);
    j.file = fopen(path, length > 0 ? "r+" : "w");
    if (!j.file)
        ATN_FAIL(ATN_CANTCREATE, "%s: cannot be written: %s", path, strerror(errno));
    j.holds = length > strlen(head);
    if (length > 0) {
        if (ftruncate(fileno(j.file), (off_t)length) != 0 ||
            fseeko(j.file, (off_t)length, SEEK_SET) != 0)
            ATN_TRY(io_error(cx, path));
    } else if (fputs(head, j.file) < 0 || fflush(j.file) != 0) {
        ATN_TRY(io_error(cx, path));
    }
    *out = j;
    j = (atn_journal){0};
done:
    atn_journal_close(cx, &j, false);
    return st;
}

atn_status atn_journal_add(atn_ctx *cx, atn_journal *j, const atn_journal_line *line)
{
    const long long row = (long long)line->row;
    bool ok = line->empty >= 0
                  ? fprintf(j->file, "%lld %lld", row, (long long)line->empty) > 0
                  : fprintf(j->file, "+%lld %d %d", row, line->first, line->n) > 0;

    for (int i = 0; i < line->n && ok; i++)
        ok = fprintf(j->file, " %a", line->values[i]) > 0;
    ok = ok && fputc('\n', j->file) != EOF && fflush(j->file) == 0;
    j->holds |= ok;
    return ok ? ATN_OK : io_error(cx, j->path);
}

bool atn_journal_is(const void *data, size_t size)
{
    return size >= sizeof FORMAT && memcmp(data, FORMAT, sizeof FORMAT - 1) == 0;
}

void atn_journal_close(atn_ctx *cx, atn_journal *j, bool remove_file)
{
    const bool stays = !j->file || (j->holds && !remove_file);

    if (j->file) (void)fclose(j->file);
    if (!stays) (void)unlink(j->path);
    atn_free(cx, j->path);
    *j = (atn_journal){0};
}
