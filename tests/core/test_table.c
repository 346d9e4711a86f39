/* tests/core/test_table.c -- tables out and back, and what a hostile CSV gets. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "check.h"

#include "core/run.h"
#include "core/table.h"

static atn_table *sample(atn_ctx *cx)
{
    const float m[] = {1, NAN, 3, 4};
    atn_table *t = NULL;
    int layer, name, value, flag;

    CHECK_OK(atn_table_create(cx, "sample", &t));
    CHECK_OK(atn_table_add_col(cx, t, "layer", ATN_COL_I64, "", "which layer", &layer));
    CHECK_OK(atn_table_add_col(cx, t, "name", ATN_COL_STR, "", NULL, &name));
    CHECK_OK(
        atn_table_add_col(cx, t, "time_ms", ATN_COL_F64, "ms", "how long", &value));
    CHECK_OK(atn_table_add_col(cx, t, "ok", ATN_COL_BOOL, "", NULL, &flag));
    CHECK_OK(atn_table_add_row(cx, t));
    atn_table_set_i64(t, layer, -3);
    CHECK_OK(atn_table_set_str(cx, t, name, "a \"quoted\", thing\nin two lines"));
    atn_table_set_f64(t, value, 0.1);
    atn_table_set_bool(t, flag, true);
    CHECK_OK(atn_table_add_row(cx, t));
    atn_table_set_i64(t, layer, 7);
    CHECK_OK(atn_table_set_str(cx, t, name, " blank "));
    atn_table_set_f64(t, value, INFINITY);
    CHECK_OK(atn_table_add_row(cx, t));
    atn_table_set_i64(t, layer, 9);
    CHECK_OK(atn_table_set_str(cx, t, name, ""));
    atn_table_set_f64(t, value, NAN);
    atn_table_set_bool(t, flag, false);
    CHECK_OK(atn_table_set_meta(cx, t, "title", "A title"));
    CHECK_OK(atn_table_set_meta(cx, t, "title", "Another"));
    CHECK_OK(atn_table_set_matrix(cx, t, (atn_cmat){m, 2, 2, 2}, "query", "key"));
    return t;
}

static void check_sample(const atn_table *t)
{
    CHECK_EQ(atn_table_rows(t), 3);
    CHECK_EQ(atn_table_get_i64(t, 0, 0), -3);
    CHECK_STR(atn_table_get_str(t, 0, 1), "a \"quoted\", thing\nin two lines");
    CHECK_STR(atn_table_get_str(t, 1, 1), " blank ");
    CHECK(atn_table_get_f64(t, 0, 2) == 0.1);
    CHECK(atn_table_get_i64(t, 0, 3) == 1 && !atn_table_has(t, 1, 3) &&
          atn_table_get_i64(t, 2, 3) == 0);
}

static void csv_round_trip(atn_ctx *cx)
{
    atn_table *t = sample(cx), *back = NULL;
    char path[600];

    snprintf(path, sizeof path, "%s/t.csv", check_scratch("table"));
    CHECK_OK(atn_table_save(cx, t, NULL, ATN_TABLE_CSV, path, false));
    CHECK_FAILS(atn_table_save(cx, t, NULL, ATN_TABLE_CSV, path, false), ATN_CANTCREATE,
                "--force");
    CHECK_OK(atn_table_save(cx, t, NULL, ATN_TABLE_CSV, path, true));
    CHECK_OK(atn_table_load(cx, path, &back));
    check_sample(back);
    CHECK(isinf(atn_table_get_f64(back, 1, 2)) && isnan(atn_table_get_f64(back, 2, 2)));
    CHECK_STR(atn_table_kind(back), "sample");
    CHECK_STR(atn_table_col_unit(back, 2), "ms");
    CHECK_STR(atn_table_get_meta(back, "title"), "Another");
    CHECK(atn_table_get_matrix(back).data[2] == 3 &&
          isnan(atn_table_get_matrix(back).data[1]));
    CHECK_STR(atn_table_col_axis(back), "key");
    atn_table_destroy(cx, t);
    atn_table_destroy(cx, back);
}

static void jsonl_round_trip(atn_ctx *cx)
{
    const char *argv[] = {"attnscope", "stats", "RUN"};
    atn_table *t = sample(cx), *back = NULL;
    char path[600], line[4096];
    atn_run run;
    FILE *f;

    CHECK_OK(atn_run_init(cx, &run, 3, argv));
    CHECK_OK(atn_run_add_option(cx, &run, "threshold", "0.9"));
    CHECK_OK(atn_run_finish(cx, &run));
    snprintf(path, sizeof path, "%s/t.jsonl", check_scratch("table"));
    CHECK_OK(atn_table_save(cx, t, &run, ATN_TABLE_JSONL, path, false));
    f = fopen(path, "rb");
    CHECK(fgets(line, sizeof line, f) &&
          strstr(line, "\"schema\":\"attnscope/sample/1\""));
    CHECK(strstr(line, run.fingerprint) != NULL);
    CHECK(fgets(line, sizeof line, f) && strstr(line, "\"time_ms\":null") &&
          strstr(line, "\"time_ms_reason\":\"inf\""));
    fclose(f);
    CHECK_OK(atn_table_load(cx, path, &back));
    check_sample(back);
    CHECK(!atn_table_has(back, 2, 2));
    atn_run_release(&run);
    atn_table_destroy(cx, t);
    atn_table_destroy(cx, back);
}

/* The same arguments and options give the same fingerprint; another option another. */
static void fingerprints(atn_ctx *cx)
{
    const char *argv[] = {"attnscope", "stats"};
    char hex[3][33];

    for (int i = 0; i < 3; i++) {
        atn_run run;
        CHECK_OK(atn_run_init(cx, &run, 2, argv));
        CHECK_OK(atn_run_add_option(cx, &run, "k", i < 2 ? "1" : "2"));
        CHECK_OK(atn_run_finish(cx, &run));
        memcpy(hex[i], run.fingerprint, 33);
        atn_run_release(&run);
    }
    CHECK_STR(hex[0], hex[1]);
    CHECK(strcmp(hex[0], hex[2]) != 0);
}

static const char *text_file(const char *text, size_t n)
{
    static char path[600];
    FILE *f;

    snprintf(path, sizeof path, "%s/x.csv", check_scratch("csv"));
    f = fopen(path, "wb");
    fwrite(text, 1, n, f);
    fclose(f);
    return path;
}

#define CSV(text) text_file(text, sizeof text - 1)

static void csv_readings(atn_ctx *cx)
{
    atn_table *t = NULL;

    CHECK_OK(atn_table_load(cx,
                            CSV("\xef\xbb\xbf"
                                "a,b\r\n1,x\r\n\r\n,\"y, z\"\r\n"),
                            &t));
    CHECK_EQ(atn_table_rows(t), 2);
    CHECK_STR(atn_table_col_name(t, 0), "a");
    CHECK(atn_table_get_i64(t, 0, 0) == 1 && !atn_table_has(t, 1, 0));
    CHECK_STR(atn_table_text(t, 1, 1), "y, z");
    CHECK_STR(atn_table_text(t, 1000, 1), "");
    CHECK_STR(atn_table_text(t, 1, -1), "");
    CHECK_STR(atn_table_get_str(t, 1, 1), "y, z");
    atn_table_destroy(cx, t);
    /* of one column a blank line is an empty cell, but not at the end */
    CHECK_OK(atn_table_load(cx, CSV("v\r\n1\r\n\r\n\r\n4\r\n\r\n"), &t));
    CHECK_EQ(atn_table_rows(t), 4);
    CHECK(atn_table_has(t, 0, 0) && !atn_table_has(t, 1, 0) && !atn_table_has(t, 2, 0));
    CHECK_EQ(atn_table_get_i64(t, 3, 0), 4);
    atn_table_destroy(cx, t);
    CHECK_OK(atn_table_load(cx, CSV("v,w\n1,2\n\n\n3,4\n"), &t));
    CHECK_EQ(atn_table_rows(t), 2);
    atn_table_destroy(cx, t);
    CHECK_OK(atn_table_load_text(cx, CSV("v,w\n1,2\nx,4\n07,5\n"), "v", &t));
    CHECK_STR(atn_table_get_str(t, 2, 0), "07");
    CHECK_EQ(atn_table_get_i64(t, 2, 1), 5);
    atn_table_destroy(cx, t);
    CHECK_OK(atn_table_load_text(cx, CSV("v,w\n01,2.50\n,true\n"), "*", &t));
    CHECK_STR(atn_table_get_str(t, 0, 0), "01");
    CHECK_STR(atn_table_get_str(t, 0, 1), "2.50");
    CHECK(!atn_table_has(t, 1, 0));
    CHECK_STR(atn_table_get_str(t, 1, 1), "true");
    atn_table_destroy(cx, t);
    CHECK_OK(atn_table_load(cx, CSV("v\n1\n2.5\nnan\n-inf\n"), &t));
    CHECK_EQ(atn_table_col_type(t, 0), ATN_COL_F64);
    CHECK(atn_table_get_f64(t, 1, 0) == 2.5 && isinf(atn_table_get_f64(t, 3, 0)));
    atn_table_destroy(cx, t);
}

static void csv_errors(atn_ctx *cx)
{
    atn_table *t = NULL;

    CHECK_FAILS(atn_table_load(cx, CSV("a,b\n1\n"), &t), ATN_DATA,
                "row 2 has 1 fields");
    CHECK_FAILS(atn_table_load(cx, CSV("a,b\n1,2,3\n"), &t), ATN_DATA,
                "row 2 has 3 fields");
    CHECK_FAILS(atn_table_load(cx, CSV("a,a\n1,2\n"), &t), ATN_DATA, "repeats 'a'");
    CHECK_FAILS(atn_table_load(cx, CSV("a\n\"x\n"), &t), ATN_DATA, "never closed");
    CHECK_FAILS(atn_table_load(cx, CSV("a\n\"x\"y\n"), &t), ATN_DATA, "quote");
    CHECK_FAILS(atn_table_load(cx, CSV("a\nx\"y\n"), &t), ATN_DATA, "quote");
    CHECK_FAILS(atn_table_load(cx, CSV("a\n1\0002\n"), &t), ATN_DATA, "NUL");
    CHECK_FAILS(atn_table_load(cx, CSV("a\n\xff\n"), &t), ATN_DATA, "UTF-8");
    CHECK_FAILS(atn_table_load(cx, CSV(""), &t), ATN_DATA, "empty");
    CHECK_FAILS(atn_table_load(cx, CSV("a\n1\n2\nx\n3\n"), &t), ATN_DATA,
                "row 4, column 1");
    CHECK_FAILS(atn_table_load(cx, "/nonexistent.csv", &t), ATN_NOINPUT,
                "cannot be opened");
    CHECK_FAILS(atn_table_load(cx, CSV("{\"a\":1}\n"), &t), ATN_DATA, "schema");
}

static void full_disk(atn_ctx *cx)
{
    atn_table *t = sample(cx);
    FILE *full = fopen("/dev/full", "wb");

    if (full) {
        CHECK_FAILS(atn_table_write(cx, t, NULL, ATN_TABLE_CSV, full), ATN_IO,
                    "cannot be written");
        fclose(full);
    }
    atn_table_destroy(cx, t);
}

static void text_is_aligned(atn_ctx *cx)
{
    atn_table *t = NULL;
    char *text = NULL;
    size_t n = 0;
    FILE *out = open_memstream(&text, &n);
    int a, b;

    CHECK_OK(atn_table_create(cx, "x", &t));
    CHECK_OK(atn_table_add_col(cx, t, "head", ATN_COL_I64, "", NULL, &a));
    CHECK_OK(atn_table_add_col(cx, t, "v", ATN_COL_F64, "", NULL, &b));
    CHECK_OK(atn_table_add_row(cx, t));
    atn_table_set_i64(t, a, 12);
    atn_table_set_f64(t, b, 1.0 / 3);
    CHECK_OK(atn_table_write(cx, t, NULL, ATN_TABLE_TEXT, out));
    fclose(out);
    CHECK_STR(text, "head         v\n  12  0.333333\n");
    free(text);
    atn_table_destroy(cx, t);
}

/* The first table of a file, whose first row may hold nulls; further tables and the run
 * record are passed over. */
static void jsonl_of_two_tables(atn_ctx *cx)
{
    static const char text[] =
        "{\"schema\": \"attnscope/field/1\", \"run\": \"0\", \"depth\": 0, "
        "\"done\": null, \"name\": null, \"never\": null}\n"
        "{\"schema\": \"attnscope/field/1\", \"run\": \"0\", \"depth\": 1, "
        "\"done\": true, \"name\": null, \"never\": null}\n"
        "{\"schema\": \"attnscope/pattern/1\", \"run\": \"0\", \"pairs\": 7}\n"
        "{\"schema\": \"attnscope/field/1\", \"run\": \"0\", \"depth\": 2, "
        "\"done\": false, \"name\": \"x\", \"never\": null}\n"
        "{\"schema\": \"attnscope/run/1\"}\n";
    char path[600];
    atn_table *t;
    FILE *f;

    snprintf(path, sizeof path, "%s/two.jsonl", check_scratch("table"));
    f = fopen(path, "w");
    CHECK(f != NULL);
    fputs(text, f);
    fclose(f);
    CHECK_OK(atn_table_load(cx, path, &t));
    CHECK_STR(atn_table_kind(t), "field");
    CHECK_EQ(atn_table_rows(t), 3);
    CHECK_EQ(atn_table_cols(t), 4);
    CHECK_EQ(atn_table_col_type(t, 1), ATN_COL_BOOL);
    CHECK_EQ(atn_table_col_type(t, 2), ATN_COL_STR);
    CHECK(!atn_table_has(t, 0, 1) && atn_table_has(t, 1, 1));
    CHECK_STR(atn_table_get_str(t, 2, 2), "x");
    atn_table_destroy(cx, t);

    f = fopen(path, "w");
    CHECK(f != NULL);
    fputs("{\"schema\": \"attnscope/run/1\"}\n", f);
    fclose(f);
    CHECK_FAILS(atn_table_load(cx, path, &t), ATN_DATA, "holds no row");
}

/* For a screen: what all rows say in front, names over lines, no empty column, four
 * digits; CSV stays whole. */
static void brief_text(atn_ctx *cx)
{
    static const char *const wanted = "in all rows: budget 10%\n"
                                      "method  output_\n"
                                      "         error_\n"
                                      "          value\n"
                                      "a        0.3333\n"
                                      "b        123456\n";
    atn_table *t = NULL;
    char *text = NULL, *csv = NULL;
    size_t n = 0, m = 0;
    FILE *out = open_memstream(&text, &n), *whole = open_memstream(&csv, &m);
    int at;

    CHECK_OK(atn_table_create(cx, "x", &t));
    atn_table_be_brief(t);
    CHECK(atn_table_is_brief(t));
    CHECK_OK(atn_table_add_col(cx, t, "method", ATN_COL_STR, "", NULL, &at));
    CHECK_OK(atn_table_add_col(cx, t, "budget", ATN_COL_STR, "", NULL, NULL));
    CHECK_OK(atn_table_add_col(cx, t, "nothing", ATN_COL_F64, "", NULL, NULL));
    CHECK_OK(
        atn_table_add_col(cx, t, "output_error_value", ATN_COL_F64, "", NULL, NULL));
    for (int r = 0; r < 2; r++) {
        CHECK_OK(atn_table_add_row(cx, t));
        CHECK_OK(atn_table_set_str(cx, t, at, r ? "b" : "a"));
        CHECK_OK(atn_table_set_str(cx, t, at + 1, "10%"));
        atn_table_set_f64(t, at + 3, r ? 123456 : 1. / 3);
    }
    CHECK_OK(atn_table_write(cx, t, NULL, ATN_TABLE_TEXT, out));
    CHECK_OK(atn_table_write(cx, t, NULL, ATN_TABLE_CSV, whole));
    fclose(out);
    fclose(whole);
    CHECK_STR(text, wanted);
    CHECK_STR(csv, "method,budget,nothing,output_error_value\n"
                   "a,10%,,0.33333333333333331\nb,10%,,123456\n");
    free(text);
    free(csv);
    atn_table_destroy(cx, t);
}

/* A brief table of so many rows: names, which are texts, and four numbers. */
static atn_table *wide_table(atn_ctx *cx, int rows, const char *long_text)
{
    static const char *const names[] = {"name", "aaaaaa", "bbbbbb", "cccccc", "dddddd"};
    atn_table *t;

    CHECK_OK(atn_table_create(cx, "wide", &t));
    atn_table_be_brief(t);
    for (int c = 0; c < 5; c++)
        CHECK_OK(atn_table_add_col(cx, t, names[c], c ? ATN_COL_I64 : ATN_COL_STR, "",
                                   NULL, NULL));
    for (int r = 0; r < rows; r++) {
        char text[16];

        CHECK_OK(atn_table_add_row(cx, t));
        snprintf(text, sizeof text, "r%d", r);
        CHECK_OK(atn_table_set_str(cx, t, 0, r == 0 && long_text ? long_text : text));
        for (int c = 1; c < 5; c++) atn_table_set_i64(t, c, 10 * r + c);
    }
    return t;
}

static void check_text(atn_ctx *cx, const atn_table *const *t, int n,
                       const char *wanted)
{
    char *text = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&text, &size);

    CHECK_OK(atn_tables_write(cx, t, n, NULL, ATN_TABLE_TEXT, out));
    fclose(out);
    CHECK_STR(text, wanted);
    free(text);
}

/* Wider than the screen: of few rows a line a column, of more several parts with the
 * names again; as wide as the screen it stays whole. */
static void narrow_screen(atn_ctx *cx)
{
    atn_table *two = wide_table(cx, 2, NULL), *four = wide_table(cx, 4, NULL);

    cx->columns = 36;
    check_text(cx, (const atn_table *[]){two}, 1,
               "name  aaaaaa  bbbbbb  cccccc  dddddd\n"
               "r0         1       2       3       4\n"
               "r1        11      12      13      14\n");
    cx->columns = 35;
    check_text(cx, (const atn_table *[]){two}, 1,
               "name    r0  r1\naaaaaa  1   11\nbbbbbb  2   12\n"
               "cccccc  3   13\ndddddd  4   14\n");
    cx->columns = 24;
    check_text(cx, (const atn_table *[]){four}, 1,
               "name  aaaaaa  bbbbbb\n"
               "r0         1       2\nr1        11      12\n"
               "r2        21      22\nr3        31      32\n"
               "\n"
               "name  cccccc  dddddd\n"
               "r0         3       4\nr1        13      14\n"
               "r2        23      24\nr3        33      34\n");
    cx->columns = 0;
    atn_table_destroy(cx, two);
    atn_table_destroy(cx, four);
}

/* Of a text of more than 40 characters, whatever their bytes, 24 and 15 are shown. A
 * second table has its title in front. */
static void long_texts(atn_ctx *cx)
{
    atn_table *t = wide_table(cx, 1,
                              "\xc3\xa4"
                              "bcdefghijklmnopqrstuvwxyz"
                              "ABCDEFGHIJKLMNOPQRSTUVWXY\xc3\xa9");
    atn_table *u = wide_table(cx, 1, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMN");

    cx->columns = 60;
    CHECK_OK(atn_table_set_meta(cx, u, "title", "What follows"));
    check_text(cx, (const atn_table *[]){t, u}, 2,
               "name    \xc3\xa4"
               "bcdefghijklmnopqrstuvwx\xe2\x80\xa6LMNOPQRSTUVWXY"
               "\xc3\xa9\naaaaaa  1\nbbbbbb  2\ncccccc  3\ndddddd  4\n"
               "\nWhat follows\n"
               "name    abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMN\n"
               "aaaaaa  1\nbbbbbb  2\ncccccc  3\ndddddd  4\n");
    cx->columns = 0;
    atn_table_destroy(cx, t);
    atn_table_destroy(cx, u);
}

static void some_columns(atn_ctx *cx)
{
    static const char *const names[] = {"c", "missing", "a"};
    atn_table *t, *p;
    int a, b, c;

    CHECK_OK(atn_table_create(cx, "thing", &t));
    CHECK_OK(atn_table_add_col(cx, t, "a", ATN_COL_I64, "", NULL, &a));
    CHECK_OK(atn_table_add_col(cx, t, "b", ATN_COL_F64, "ms", NULL, &b));
    CHECK_OK(atn_table_add_col(cx, t, "c", ATN_COL_STR, "", "words", &c));
    for (int i = 0; i < 40; i++) {
        CHECK_OK(atn_table_add_row(cx, t));
        atn_table_set_i64(t, a, 7 * i);
        atn_table_set_f64(t, b, i);
        if (i % 3 > 0) CHECK_OK(atn_table_set_str(cx, t, c, i % 2 ? "odd" : "even"));
    }
    CHECK_OK(atn_table_set_meta(cx, t, "title", "heading"));
    CHECK_OK(atn_table_pick(cx, t, names, 3, &p));
    CHECK(atn_table_cols(p) == 2 && atn_table_rows(p) == 40);
    CHECK_STR(atn_table_col_name(p, 0), "c");
    CHECK_STR(atn_table_col_text(p, 0), "words");
    CHECK_STR(atn_table_get_meta(p, "title"), "heading");
    for (int i = 0; i < 40; i++) {
        CHECK(atn_table_get_i64(p, i, 1) == 7 * i);
        CHECK(atn_table_has(p, i, 0) == (i % 3 > 0));
        if (i % 3 > 0) CHECK_STR(atn_table_get_str(p, i, 0), i % 2 ? "odd" : "even");
    }
    atn_table_destroy(cx, p);
    atn_table_destroy(cx, t);
}

/* In memory: quotes and types as in a file, and messages that name what was read. */
static void csv_in_memory(atn_ctx *cx)
{
    static const char csv[] = "what,n,x\n\"a, b\",3,\nc,-1,2.5\n";
    atn_table *t;

    CHECK_OK(atn_table_parse(cx, "numbers", csv, sizeof csv - 1, &t));
    CHECK_EQ(atn_table_rows(t), 2);
    CHECK_STR(atn_table_get_str(t, 0, 0), "a, b");
    CHECK_EQ(atn_table_get_i64(t, 1, 1), -1);
    CHECK(!atn_table_has(t, 0, 2));
    CHECK_NEAR(atn_table_get_f64(t, 1, 2), 2.5, 0);
    atn_table_destroy(cx, t);
    CHECK_FAILS(atn_table_parse(cx, "numbers", "a,b\n1\n", 6, &t), ATN_DATA,
                "numbers: row 2");
    CHECK(!t);
    CHECK_FAILS(atn_table_parse(cx, "numbers", "", 0, &t), ATN_DATA,
                "numbers: is empty");
}

CHECK_MAIN({"csv round trip", csv_round_trip}, {"jsonl round trip", jsonl_round_trip},
           {"jsonl of two tables", jsonl_of_two_tables}, {"fingerprints", fingerprints},
           {"csv readings", csv_readings}, {"csv errors", csv_errors},
           {"full disk", full_disk}, {"text is aligned", text_is_aligned},
           {"brief text", brief_text}, {"narrow screen", narrow_screen},
           {"long texts", long_texts}, {"some columns", some_columns},
           {"csv in memory", csv_in_memory})
