/* tests/viz/test_report.c -- the report is whole, self-contained and escapes everything. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "check.h"

#include "viz/report.h"

static const char hostile[] =
    "</script><img src=x onerror=alert(1)>\"'&\x01\xe2\x80\xae";

static char *build(atn_ctx *cx, const char *path)
{
    const char *argv[] = {"attnscope", "report", hostile};
    atn_report *r = NULL;
    atn_table *t = NULL;
    atn_run run;
    const float m[] = {1, 0, .5f, .5f};
    char *html;
    FILE *f;
    size_t n;
    int name, value;

    CHECK_OK(atn_table_create(cx, "stats", &t));
    CHECK_OK(atn_table_add_col(cx, t, "name", ATN_COL_STR, "", hostile, &name));
    CHECK_OK(atn_table_add_col(cx, t, "value", ATN_COL_F64, "", "v", &value));
    for (int i = 0; i < 12; i++) {
        CHECK_OK(atn_table_add_row(cx, t));
        CHECK_OK(atn_table_set_str(cx, t, name, hostile));
        atn_table_set_f64(t, value, i == 3 ? NAN : i / 3.0);
    }
    CHECK_OK(atn_table_set_matrix(cx, t, (atn_cmat){m, 2, 2, 2}, "query", "key"));
    CHECK_OK(atn_run_init(cx, &run, 3, argv));
    CHECK_OK(atn_run_finish(cx, &run));
    CHECK_OK(atn_report_create(cx, hostile, hostile, &r));
    CHECK_OK(atn_report_section(cx, r, hostile));
    CHECK_OK(atn_report_paragraph(cx, r, hostile));
    CHECK_OK(atn_report_table(cx, r, t, hostile, 5));
    CHECK_OK(atn_report_figure(cx, r, atn_figure_find("heatmap"), t,
                               &(atn_figure_opts){0}, hostile, hostile));
    CHECK_OK(atn_report_save(cx, r, &run, path, false));
    atn_report_destroy(cx, r);
    atn_run_release(&run);
    atn_table_destroy(cx, t);
    html = calloc(1, 4 << 20);
    f = fopen(path, "rb");
    CHECK(f != NULL);
    n = fread(html, 1, (4 << 20) - 1, f);
    fclose(f);
    CHECK_LE(2000, (double)n);
    return html;
}

static int count(const char *text, const char *what)
{
    int n = 0;

    for (const char *at = strstr(text, what); at; at = strstr(at + 1, what)) n++;
    return n;
}

static void nothing_escapes(atn_ctx *cx)
{
    char path[700], *html;

    snprintf(path, sizeof path, "%s/r.html", check_scratch("report"));
    html = build(cx, path);
    CHECK(strstr(html, "<img src=x") == NULL);
    CHECK_EQ(count(html, "<script"), 2);
    CHECK_EQ(count(html, "</script>"), 2);
    CHECK(strchr(html, '\x01') == NULL);
    CHECK(strstr(html, "\xe2\x80\xae") == NULL);
    CHECK(strstr(html, "http://") == NULL && strstr(html, "https://") == NULL);
    CHECK_EQ(count(html, "<figure class=\"atn-figure\""), 1);
    CHECK_EQ(count(html, "<section"), count(html, "</section>"));
    CHECK_EQ(count(html, "<table"), 1);
    CHECK_EQ(count(html, "<tbody class=\"more\">"), 1); /* rows beyond the first five */
    CHECK_EQ(count(html, "<td class=\"n\">"), 12);
    CHECK(strstr(html, "id=\"table1\">{\"columns\":[\"name\",\"value\"]"));
    CHECK(strstr(html, "id=\"run\"") && strstr(html, "<h1 id=\"title\">"));
    free(html);
}

/* 2 keys and 21 values: three tables of 2 + 7 columns, the JSON has all 23. */
static void wide_tables_fit_paper(atn_ctx *cx)
{
    char path[700], name[32], html[1 << 16] = "";
    atn_report *r = NULL;
    atn_table *t = NULL;
    FILE *f;

    snprintf(path, sizeof path, "%s/wide.html", check_scratch("report-wide"));
    CHECK_OK(atn_table_create(cx, "stats", &t));
    for (int c = 0; c < 23; c++) {
        snprintf(name, sizeof name, "value%d", c);
        CHECK_OK(atn_table_add_col(cx, t,
                                   c == 0   ? "layer"
                                   : c == 1 ? "head"
                                            : name,
                                   ATN_COL_I64, "", NULL, NULL));
    }
    CHECK_OK(atn_table_add_row(cx, t));
    CHECK_OK(atn_report_create(cx, "t", NULL, &r));
    CHECK_OK(atn_report_table(cx, r, t, "caption", 0));
    CHECK_OK(atn_report_save(cx, r, NULL, path, false));
    f = fopen(path, "rb");
    CHECK(f && fread(html, 1, sizeof html - 1, f) > 0);
    fclose(f);
    CHECK_EQ(count(html, "<table"), 3);
    CHECK_EQ(count(html, ">layer</th>"), 3);
    CHECK_EQ(count(html, "<th "), 3 * 9);
    CHECK_EQ(count(html, "caption</caption>"), 1);
    CHECK(strstr(html, "\"value22\"]"));
    atn_report_destroy(cx, r);
    atn_table_destroy(cx, t);
}

/* 30,000 rows are 2 MB of HTML, of which 600 KiB are in memory at most; nothing is lost, and saved
 * again it is the same. */
static void long_reports_are_kept_aside(atn_ctx *cx)
{
    enum { ROWS = 30000, ROOM = 4 << 20 };
    char path[700], *html = calloc(1, ROOM), *again = calloc(1, ROOM), wanted[64];
    atn_report *r = NULL;
    atn_table *t = NULL;
    const char *at;
    FILE *f;

    snprintf(path, sizeof path, "%s/long.html", check_scratch("report-long"));
    CHECK_OK(atn_table_create(cx, "stats", &t));
    CHECK_OK(atn_table_add_col(cx, t, "row", ATN_COL_I64, "", NULL, NULL));
    for (int i = 0; i < ROWS; i++) {
        CHECK_OK(atn_table_add_row(cx, t));
        atn_table_set_i64(t, 0, i);
    }
    cx->mem_limit = *cx->in_use + (600 << 10);
    CHECK_OK(atn_report_create(cx, "t", NULL, &r));
    CHECK_OK(atn_report_table(cx, r, t, NULL, 0));
    for (int pass = 0; pass < 2; pass++) {
        CHECK_OK(atn_report_save(cx, r, NULL, path, pass > 0));
        f = fopen(path, "rb");
        CHECK(f && fread(pass ? again : html, 1, ROOM - 1, f) > 1 << 20);
        fclose(f);
    }
    CHECK_STR(html, again);
    at = strstr(html, "<tbody>");
    for (int i = 0; i < ROWS; i++) {
        const int n =
            snprintf(wanted, sizeof wanted, "<tr><td class=\"n\">%d</td></tr>\n", i);

        at = strchr(at, '\n') + 1;
        CHECK(strncmp(at, wanted, (size_t)n) == 0);
    }
    CHECK(strstr(at, "[29999]]}</script>\n</main>\n"));
    CHECK(strcmp(html + strlen(html) - 8, "</html>\n") == 0);
    cx->mem_limit = 0;
    atn_report_destroy(cx, r);
    atn_table_destroy(cx, t);
    free(html);
    free(again);
}

static void never_overwritten_unasked(atn_ctx *cx)
{
    char path[700];
    atn_report *r = NULL;

    snprintf(path, sizeof path, "%s/r.html", check_scratch("report-force"));
    CHECK_OK(atn_report_create(cx, "t", NULL, &r));
    CHECK_OK(atn_report_save(cx, r, NULL, path, false));
    CHECK_FAILS(atn_report_save(cx, r, NULL, path, false), ATN_CANTCREATE, "--force");
    CHECK_OK(atn_report_save(cx, r, NULL, path, true));
    CHECK_FAILS(atn_report_save(cx, r, NULL, "/nonexistent/r.html", true),
                ATN_CANTCREATE, "created");
    atn_report_destroy(cx, r);
}

CHECK_MAIN({"nothing escapes", nothing_escapes},
           {"wide tables fit paper", wide_tables_fit_paper},
           {"long reports are kept aside", long_reports_are_kept_aside},
           {"never overwritten unasked", never_overwritten_unasked})
