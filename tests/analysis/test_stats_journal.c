/* tests/analysis/test_stats_journal.c -- what a journal gives back, of whole heads and
 * of some of their values, and when it stays. */
// SPDX-License-Identifier: GPL-3.0-or-later
#define _POSIX_C_SOURCE 200809L
#include <unistd.h>

#include "analysis/stats_journal.h"
#include "core/io/file.h"
#include "tests/check.h"

enum { ROWS = 3, WIDTH = 4 };
static const char print[33] = "0123456789abcdef0123456789abcdef";

typedef struct heard {
    int n;
    atn_idx row[8], empty[8];
    int first[8], count[8];
    double last[8];
} heard;

static void hear(void *user, const atn_journal_line *l)
{
    heard *h = user;

    CHECK(h->n < 8);
    h->row[h->n] = l->row;
    h->empty[h->n] = l->empty;
    h->first[h->n] = l->first;
    h->count[h->n] = l->n;
    h->last[h->n++] = l->values[l->n - 1];
}

static const char *scratch(void)
{
    static char path[64];

    snprintf(path, sizeof path, "/tmp/attnscope-journal-%ld", (long)getpid());
    return path;
}

static atn_status open_it(atn_ctx *cx, bool force, heard *h, atn_journal *j)
{
    *h = (heard){0};
    return atn_journal_open(cx, scratch(), print, ROWS, WIDTH, force, hear, h, j);
}

static void write_text(const char *text)
{
    FILE *f = fopen(scratch(), "a");

    CHECK(f != NULL);
    CHECK(fputs(text, f) >= 0);
    CHECK(fclose(f) == 0);
}

/* In the order in which they were added, to the last bit; NaN, too. */
static void comes_back(atn_ctx *cx)
{
    const double values[WIDTH] = {1.0 / 3, NAN, -0x1p-1074, 7};
    atn_journal j;
    heard h;

    CHECK_OK(open_it(cx, false, &h, &j));
    CHECK_OK(atn_journal_add(cx, &j, &(atn_journal_line){2, -1, 1, 2, values + 1}));
    CHECK_OK(atn_journal_add(cx, &j, &(atn_journal_line){2, 5, 0, WIDTH, values}));
    CHECK_OK(atn_journal_add(cx, &j, &(atn_journal_line){0, -1, 3, 1, values}));
    atn_journal_close(cx, &j, false);
    CHECK(atn_file_exists(scratch()));
    CHECK_OK(open_it(cx, false, &h, &j));
    CHECK_EQ(h.n, 3);
    CHECK(h.row[0] == 2 && h.empty[0] == -1 && h.first[0] == 1 && h.count[0] == 2);
    CHECK(h.row[1] == 2 && h.empty[1] == 5 && h.first[1] == 0 && h.count[1] == WIDTH);
    CHECK(h.row[2] == 0 && h.first[2] == 3 && h.count[2] == 1);
    CHECK(h.last[0] == -0x1p-1074 && h.last[2] == 1.0 / 3);
    atn_journal_close(cx, &j, true);
    CHECK(!atn_file_exists(scratch()));
}

/* A line that says what cannot be ends what is believed. */
static void bad_lines(atn_ctx *cx)
{
    static const char *const bad[] = {"+3 0 1 0x1p+0\n", "+-1 0 1 0x1p+0\n",
                                      "+0 4 1 0x1p+0\n", "+0 3 2 1 2\n",
                                      "+0 0 0\n",        "+0 0 9223372036854775807 1\n",
                                      "+0 -1 1 1\n",     "+0 0 2 1\n",
                                      "+0 0 1 1 2\n",    "0 0 1 2 3\n",
                                      "3 0 1 2 3 4\n",   "0 -1 1 2 3 4\n",
                                      "+0 0 1 1",        "\n"};
    const double one = 1;
    atn_journal j;
    heard h;

    for (size_t i = 0; i < ATN_LEN(bad); i++) {
        CHECK_OK(open_it(cx, false, &h, &j));
        CHECK_OK(atn_journal_add(cx, &j, &(atn_journal_line){1, -1, 0, 1, &one}));
        atn_journal_close(cx, &j, false);
        write_text(bad[i]);
        write_text("+2 0 1 0x1p+0\n");
        CHECK_OK(open_it(cx, false, &h, &j));
        CHECK_EQ(h.n, 1);
        atn_journal_close(cx, &j, true);
    }
}

static void empty_does_not_stay(atn_ctx *cx)
{
    atn_journal j;
    heard h;

    CHECK_OK(open_it(cx, false, &h, &j));
    CHECK(atn_file_exists(scratch()));
    atn_journal_close(cx, &j, false);
    CHECK(!atn_file_exists(scratch()));
    write_text("of something else\n");
    CHECK_FAILS(open_it(cx, false, &h, &j), ATN_CANTCREATE, "another request");
    CHECK(atn_file_exists(scratch())); /* not ours to remove */
    CHECK_OK(open_it(cx, true, &h, &j));
    atn_journal_close(cx, &j, false);
    CHECK(!atn_file_exists(scratch()));
}

static void is_a_journal(atn_ctx *cx)
{
    static const char text[] = "attnscope/stats-journal/2 x";

    (void)cx;
    CHECK(atn_journal_is(text, sizeof text - 1));
    for (size_t n = 0; n < 25; n++) CHECK(!atn_journal_is(text, n));
    CHECK(!atn_journal_is("attnscope/part/1 200 300 and more\n", 34));
}

CHECK_MAIN({"comes back", comes_back}, {"bad lines", bad_lines},
           {"empty does not stay", empty_does_not_stay}, {"is a journal", is_a_journal})
