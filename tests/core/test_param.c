/* tests/core/test_param.c -- parameter tables, numbers with suffixes, lists. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "check.h"

#include "core/param.h"

typedef struct sample {
    int64_t k;
    double eps;
    bool causal;
    int kind;
} sample;

static const atn_param table[] = {
    ATN_PARAM_I64(sample, k, 64, 1, 1 << 20, "keys kept"),
    ATN_PARAM_F64(sample, eps, 0.5, 0, 1, "share"),
    ATN_PARAM_BOOL(sample, causal, 1, "mask"),
    ATN_PARAM_CHOICE(sample, kind, 1, "max|mean|sum", "operator"),
    ATN_PARAM_END,
};

static void spec(atn_ctx *cx)
{
    sample s;
    char text[128];

    atn_param_defaults(table, &s);
    CHECK(s.k == 64 && s.eps == 0.5 && s.causal && s.kind == 1);
    CHECK_OK(atn_param_parse(cx, "x", table, "k=4k,eps=.25,kind=sum,causal=no", &s));
    CHECK(s.k == 4096 && s.eps == 0.25 && !s.causal && s.kind == 2);
    atn_param_print(table, &s, text, sizeof text);
    CHECK_STR(text, "k=4096,eps=0.25,causal=0,kind=sum");
    s.k = 1000;
    s.eps = 0.1; /* the shortest text that reads back the same */
    atn_param_print(table, &s, text, sizeof text);
    CHECK_STR(text, "k=1000,eps=0.1,causal=0,kind=sum");
}

static void spec_errors(atn_ctx *cx)
{
    sample s;

    atn_param_defaults(table, &s);
    CHECK_FAILS(atn_param_parse(cx, "topk", table, "k=0", &s), ATN_USAGE,
                "below its minimum 1");
    CHECK_FAILS(atn_param_parse(cx, "topk", table, "k=-3", &s), ATN_USAGE, "minimum");
    CHECK_FAILS(atn_param_parse(cx, "topk", table, "eps=2", &s), ATN_USAGE, "maximum");
    CHECK_FAILS(atn_param_parse(cx, "topk", table, "eps=nan", &s), ATN_USAGE, "finite");
    CHECK_FAILS(atn_param_parse(cx, "topk", table, "kind=min", &s), ATN_USAGE,
                "max|mean|sum");
    CHECK_FAILS(atn_param_parse(cx, "topk", table, "kk=1", &s), ATN_USAGE,
                "topk has no parameter 'kk' (nearest: k; known: k (1..1048576), eps "
                "(0..1), causal (yes|no), kind (max|mean|sum))");
    CHECK_FAILS(atn_param_parse(cx, "topk", table, "zzz=1", &s), ATN_USAGE,
                "'zzz' (known: k (");
    CHECK_FAILS(atn_param_parse(cx, "causal", table + 4, "k=1", &s), ATN_USAGE,
                "(known: none)");
    CHECK_FAILS(atn_param_parse(cx, "topk", table, "k", &s), ATN_USAGE, "key=value");
    CHECK_FAILS(atn_param_parse(cx, "topk", table, "k=1.5", &s), ATN_USAGE, "count");
}

static void sizes(atn_ctx *cx)
{
    atn_idx n = 0;
    size_t bytes = 0;

    CHECK_OK(atn_parse_count(cx, "n", "128k", &n));
    CHECK_EQ(n, 131072);
    CHECK_OK(atn_parse_count(cx, "n", "1m", &n));
    CHECK_EQ(n, 1048576);
    CHECK_OK(atn_parse_bytes(cx, "m", "1.5GiB", &bytes));
    CHECK_EQ(bytes, 1610612736);
    CHECK_OK(atn_parse_bytes(cx, "m", "7.9MiB", &bytes));
    CHECK_EQ(bytes, 8283750); /* of 8283750.4 */
    CHECK_OK(atn_parse_bytes(cx, "m", "256mb", &bytes));
    CHECK_EQ(bytes, 256 << 20);
    CHECK_FAILS(atn_parse_count(cx, "n", "12x", &n), ATN_USAGE, "n: '12x'");
    CHECK_FAILS(atn_parse_count(cx, "n", "-1", &n), ATN_USAGE, "count");
    CHECK_FAILS(atn_parse_count(cx, "n", "", &n), ATN_USAGE, "count");
    CHECK_FAILS(atn_parse_count(cx, "n", "1e40", &n), ATN_USAGE, "count");
    CHECK_FAILS(atn_parse_bytes(cx, "m", "2 GiB", &bytes), ATN_USAGE, "size");
}

static void lists(atn_ctx *cx)
{
    atn_idx *items = NULL, n = 0;

    CHECK_OK(atn_parse_list(cx, "--layers", "0,5-7,-1,5", 12, &items, &n));
    CHECK_EQ(n, 5);
    CHECK(items[0] == 0 && items[1] == 5 && items[3] == 7 && items[4] == 11);
    atn_free(cx, items);
    CHECK_OK(atn_parse_list(cx, "--layers", NULL, 3, &items, &n));
    CHECK_EQ(n, 3);
    atn_free(cx, items);
    CHECK_FAILS(atn_parse_list(cx, "--layers", "12", 12, &items, &n), ATN_USAGE,
                "0..11");
    CHECK_FAILS(atn_parse_list(cx, "--layers", "3-1", 12, &items, &n), ATN_USAGE,
                "runs backwards (give 1-3)");
    CHECK_FAILS(atn_parse_list(cx, "--layers", "a", 12, &items, &n), ATN_USAGE, "'a'");
    CHECK_FAILS(atn_parse_list(cx, "--layers", ",", 12, &items, &n), ATN_USAGE,
                "nothing");
    CHECK_FAILS(atn_parse_list(cx, "--layers", "99999999999999999999", 12, &items, &n),
                ATN_USAGE, "no index");
}

static void heads(atn_ctx *cx)
{
    bool keep[2 * 4];

    CHECK_OK(atn_parse_heads(cx, "3,1.0", 2, 4, keep));
    CHECK(keep[3] && keep[7] && keep[4] && !keep[0] && !keep[5]);
    CHECK_OK(atn_parse_heads(cx, NULL, 2, 4, keep));
    CHECK(keep[0] && keep[7]);
    CHECK_FAILS(atn_parse_heads(cx, "2.0", 2, 4, keep), ATN_USAGE, "layers 0..1");
    CHECK_FAILS(atn_parse_heads(cx, "1.x", 2, 4, keep), ATN_USAGE, "pair");
    CHECK_FAILS(atn_parse_heads(cx, "4", 2, 4, keep), ATN_USAGE, "0..3");
}

static void nearest(atn_ctx *cx)
{
    static const char *const words[] = {"capture", "similarity", "stats"};

    (void)cx;
    CHECK_EQ(atn_nearest("similarty", words, 3), 1);
    CHECK_EQ(atn_nearest("stat", words, 3), 2);
    CHECK_EQ(atn_nearest("sim", words, 3), 1); /* begun, and far by edits */
    CHECK_EQ(atn_nearest("quux", words, 3), -1);
}

static void known_words(atn_ctx *cx)
{
    static const char *const ids[] = {"alpha", "beta", "gamma"};
    char text[64], cut[24];

    (void)cx;
    atn_known("betta", ids, 3, text, sizeof text);
    CHECK_STR(text, "(nearest: beta; known: alpha, beta, gamma)");
    atn_known("x", ids, 3, text, sizeof text);
    CHECK_STR(text, "(known: alpha, beta, gamma)");
    atn_known("betta", ids, 3, cut, sizeof cut);
    CHECK_STR(cut, "(nearest: beta; known: ");
}

/* "AxBxC" replaces the whole list; hexadecimal is no number here but a list. */
static void numbers_between_x(atn_ctx *cx)
{
    typedef struct grid {
        atn_list shape, none;
    } grid;
    static const atn_param lists_table[] = {
        ATN_PARAM_LIST(grid, shape, "16x44x80", 0, 100, "tokens along each axis"),
        ATN_PARAM_LIST(grid, none, "", -5, 5, "nothing"), ATN_PARAM_END};
    char text[128], longer[400] = "shape=1";
    grid g;

    atn_param_defaults(lists_table, &g);
    CHECK_EQ(g.shape.n, 3);
    CHECK_EQ(g.shape.at[1], 44);
    CHECK_EQ(g.none.n, 0);
    CHECK_OK(atn_param_parse(cx, "gna", lists_table, "shape=0x5,none=-2x3", &g));
    CHECK_EQ(g.shape.n, 2);
    CHECK_EQ(g.shape.at[1], 5);
    CHECK_EQ(g.none.at[0], -2);
    atn_param_print(lists_table, &g, text, sizeof text);
    CHECK_STR(text, "shape=0x5,none=-2x3");
    CHECK_OK(atn_param_parse(cx, "gna", lists_table, "shape=", &g));
    CHECK_EQ(g.shape.n, 0);
    CHECK_FAILS(atn_param_parse(cx, "gna", lists_table, "shape=3x", &g), ATN_USAGE,
                "no list of numbers");
    CHECK_FAILS(atn_param_parse(cx, "gna", lists_table, "shape=3xx4", &g), ATN_USAGE,
                "no list of numbers");
    CHECK_FAILS(atn_param_parse(cx, "gna", lists_table, "shape=3x1.5", &g), ATN_USAGE,
                "count");
    CHECK_FAILS(atn_param_parse(cx, "gna", lists_table, "shape=101x3", &g), ATN_USAGE,
                "above its maximum");
    CHECK_FAILS(atn_param_parse(cx, "gna", lists_table, "none=-6", &g), ATN_USAGE,
                "below its minimum");
    for (int i = 0; i < ATN_LIST_MOST; i++) strcat(longer, "x1");
    CHECK_FAILS(atn_param_parse(cx, "gna", lists_table, longer, &g), ATN_USAGE,
                "more than");
}

/* Whole numbers from 1 to 2^31 between x, nothing else. */
static void shapes(atn_ctx *cx)
{
    static const char *const bad[] = {
        "",    "x",   "3x",      "x3",         "3xx4",
        "0",   "-1",  "+1",      " 1",         "1 ",
        "1.0", "1e3", "4k",      "3,4",        "3X4",
        "0x",  "1x0", "1x1x1x1", "2147483649", "99999999999999999999"};
    atn_list l;
    char text[64], cut[4];

    (void)cx;
    for (size_t i = 0; i < ATN_LEN(bad); i++) CHECK(!atn_shape_read(bad[i], 3, &l));
    CHECK(atn_shape_read("2147483648x7x12", 3, &l));
    CHECK(l.n == 3 && l.at[0] == 2147483648 && l.at[1] == 7 && l.at[2] == 12);
    CHECK_EQ(atn_list_text(&l, text, sizeof text), 15);
    CHECK_STR(text, "2147483648x7x12");
    CHECK(atn_shape_read("12", 1, &l));
    CHECK_EQ(atn_list_text(&l, cut, sizeof cut), 2);
    CHECK_STR(cut, "12");
    l.n = 0;
    CHECK_EQ(atn_list_text(&l, text, sizeof text), 0);
    CHECK_STR(text, "");
}

typedef struct files {
    int64_t k;
    char plan[ATN_TEXT_MOST], other[8];
    atn_list shape;
    double wide;
} files;

static const atn_param files_table[] = {
    ATN_PARAM_I64(files, k, 4, 1, 0x1p40, "keys kept"),
    ATN_PARAM_TEXT(files, plan, "file of the plan"),
    ATN_PARAM_TEXT(files, other, "a short one"),
    ATN_PARAM_LIST(files, shape, "2x3", 1, 9, "tokens along each axis"),
    ATN_PARAM_F64(files, wide, 0.5, 0.25, INFINITY, "share"),
    ATN_PARAM_END,
};

/* A file name may hold ':' and '=', in a list of specs too; a comma ends it. */
static void texts(atn_ctx *cx)
{
    char list[] = "moa:plan=c:/a=b.json,k=3,window,moa:k=2,plan=x:y=z", *rest = list;
    char long_text[400] = "plan=", most[ATN_TEXT_MOST], text[400], *id, *params;
    files f;

    memset(&f, 1, sizeof f);
    atn_param_defaults(files_table, &f);
    CHECK_STR(f.plan, "");
    CHECK_STR(f.other, "");
    atn_param_print(files_table, &f, text, sizeof text);
    CHECK_STR(text, "k=4,plan=,other=,shape=2x3,wide=0.5");
    CHECK(atn_spec_next(&rest, &id, &params));
    CHECK_OK(atn_param_parse(cx, id, files_table, params, &f));
    CHECK_STR(f.plan, "c:/a=b.json");
    CHECK_EQ(f.k, 3);
    CHECK(atn_spec_next(&rest, &id, &params));
    CHECK(!params);
    CHECK(atn_spec_next(&rest, &id, &params));
    CHECK_OK(atn_param_parse(cx, id, files_table, params, &f));
    CHECK_STR(f.plan, "x:y=z");
    CHECK_OK(atn_param_parse(cx, "moa", files_table, "other=1234567,k=7", &f));
    atn_param_print(files_table, &f, text, sizeof text);
    CHECK_STR(text, "k=7,plan=x:y=z,other=1234567,shape=2x3,wide=0.5");
    atn_param_print(files_table, &f, text, 12);
    CHECK_STR(text, "k=7,plan=x:");
    CHECK_OK(atn_param_parse(cx, "moa", files_table, "plan=", &f));
    CHECK_STR(f.plan, "");

    memset(most, 'a', sizeof most - 1);
    most[sizeof most - 1] = '\0';
    strcat(long_text, most);
    CHECK_OK(atn_param_parse(cx, "moa", files_table, long_text, &f));
    CHECK_STR(f.plan, most);
    strcat(long_text, "a");
    CHECK_FAILS(atn_param_parse(cx, "moa", files_table, long_text, &f), ATN_USAGE,
                "256 bytes, at most 255");
    CHECK_FAILS(atn_param_parse(cx, "moa", files_table, "other=12345678", &f),
                ATN_USAGE, "at most 7");
    CHECK_FAILS(atn_param_parse(cx, "moa", files_table, "plan=a\xff", &f), ATN_USAGE,
                "not UTF-8 at byte 1");
    CHECK_FAILS(atn_param_parse(cx, "moa", files_table, "plan=ab\n", &f), ATN_USAGE,
                "control character at byte 2");
    CHECK_FAILS(atn_param_parse(cx, "moa", files_table, "plan=a,b.json", &f), ATN_USAGE,
                "a comma ends a file name");
    CHECK_FAILS(atn_param_parse(cx, "moa", files_table, "plan=a,zzz=b.json", &f),
                ATN_USAGE,
                "no parameter 'zzz' (known: k (1 or more), plan (text), other (text), "
                "shape (AxBxC of 1..9), wide (0.25 or more); a comma ends a file name");
}

/* A bound is left out only where no text reaches it. */
static void ranges(atn_ctx *cx)
{
    static const struct {
        atn_param_type type;
        double min, max;
        const char *choices, *says;
    } cases[] = {
        {ATN_PARAM_I64_T, 1, 4096, NULL, "1..4096"},
        {ATN_PARAM_I64_T, 0, 1e9, NULL, "0..1000000000"},
        {ATN_PARAM_I64_T, 0, 0x1p30, NULL, "0..1073741824"},
        {ATN_PARAM_I64_T, 1, 0x1p31, NULL, "1 or more"},
        {ATN_PARAM_I64_T, -0x1p40, 7, NULL, "7 or less"},
        {ATN_PARAM_F64_T, -1, 2.5, NULL, "-1..2.5"},
        {ATN_PARAM_F64_T, 0, 1e300, NULL, "0 or more"},
        {ATN_PARAM_F64_T, -1e300, 1e300, NULL, "any number"},
        {ATN_PARAM_LIST_T, 1, 0x1p40, "", "AxBxC of 1 or more"},
        {ATN_PARAM_CHOICE_T, 0, 0, "a|b", "a|b"},
        {ATN_PARAM_BOOL_T, 0, 1, NULL, "yes|no"},
        {ATN_PARAM_TEXT_T, 0, 256, "", "text"},
    };
    char out[64], few[4];

    (void)cx;
    for (size_t i = 0; i < ATN_LEN(cases); i++) {
        const atn_param row = {.name = "x",
                               .type = cases[i].type,
                               .min = cases[i].min,
                               .max = cases[i].max,
                               .choices = cases[i].choices};
        const size_t n = strlen(cases[i].says);

        CHECK_EQ(atn_param_range(&row, out, sizeof out), n);
        CHECK_STR(out, cases[i].says);
        CHECK_EQ(atn_param_range(&row, few, sizeof few), n);
        CHECK(strlen(few) == ATN_MIN(n, (size_t)3));
    }
}

/* Where the ranges do not fit, the names alone; and never beyond the message. */
static void many_parameters(atn_ctx *cx)
{
    enum { MANY = 80 };
    atn_param rows[MANY + 1];
    char names[MANY][16];
    int64_t x = 0;

    for (int i = 0; i < MANY; i++) {
        snprintf(names[i], sizeof names[i], "p%d", i);
        rows[i] = (atn_param){names[i], ATN_PARAM_I64_T, 0, 0, 0, 99, NULL, "", ""};
    }
    rows[12] = (atn_param)ATN_PARAM_END;
    CHECK_FAILS(atn_param_parse(cx, "m", rows, "zzz=1", &x), ATN_USAGE,
                "p10 (0..99), p11 (0..99))");
    rows[12] = rows[11];
    rows[60] = (atn_param)ATN_PARAM_END;
    CHECK_FAILS(atn_param_parse(cx, "m", rows, "zzz=1", &x), ATN_USAGE,
                "(known: p0, p1, p2,");
    CHECK_FAILS(atn_param_parse(cx, "m", rows, "zzz=1", &x), ATN_USAGE, ", p59)");
    rows[60] = rows[59];
    rows[MANY] = (atn_param)ATN_PARAM_END;
    CHECK_FAILS(atn_param_parse(cx, "m", rows, "zzz=1", &x), ATN_USAGE, "...)");
}

/* Whatever the string: taken or USAGE; what was taken prints to what reads the same. */
static void any_string(atn_ctx *cx)
{
    static const char *const pieces[] = {
        "k",    "plan",     "other", "shape", "wide", "=",    "=",  ",",
        ":",    "x",        "3",     "0",     "-1",   "1e9",  "4k", ".5",
        "\xc3", "\xc3\xa9", "\t",    "%s",    "nan",  "/a b", "==", ",,"};
    uint32_t state = 12345;
    int taken = 0;

    for (int trial = 0; trial < 20000; trial++) {
        char text[200] = "", printed[1000], again[1000];
        files f, g;
        atn_status st;

        for (uint32_t n = 1 + state % 12; n > 0; n--) {
            state = state * 1664525 + 1013904223;
            strcat(text, pieces[(state >> 16) % ATN_LEN(pieces)]);
        }
        atn_param_defaults(files_table, &f);
        st = atn_param_parse(cx, "any", files_table, text, &f);
        CHECK(st == ATN_OK || st == ATN_USAGE);
        atn_err_clear(cx);
        CHECK(memchr(f.plan, 0, sizeof f.plan) && memchr(f.other, 0, sizeof f.other));
        if (st != ATN_OK) continue;
        taken++;
        atn_param_defaults(files_table, &g);
        atn_param_print(files_table, &f, printed, sizeof printed);
        CHECK_OK(atn_param_parse(cx, "any", files_table, printed, &g));
        atn_param_print(files_table, &g, again, sizeof again);
        CHECK_STR(again, printed);
    }
    CHECK(taken > 20);
}

/* A name is added once, also where it is a part of another, and never cut. */
static void names_are_added(atn_ctx *cx)
{
    char list[24] = "";

    (void)cx;
    atn_name_add(list, sizeof list, "x-fa3-y");
    atn_name_add(list, sizeof list, "fa3");
    atn_name_add(list, sizeof list, "x-fa3-y");
    atn_name_add(list, sizeof list, "fa3");
    CHECK_STR(list, "x-fa3-y, fa3");
    atn_name_add(list, sizeof list, "a-long-name");
    CHECK_STR(list, "x-fa3-y, fa3");
    atn_name_add(list, sizeof list, "b");
    CHECK_STR(list, "x-fa3-y, fa3, b");
}

static void products_of_lists(atn_ctx *cx)
{
    const atn_list a = {3, {2, 8, 4}}, b = {2, {2, 8}}, c = {2, {8, 2}}, none = {0};

    (void)cx;
    CHECK_EQ(atn_list_product(&a), 64);
    CHECK_EQ(atn_list_product(&none), 1);
    CHECK(atn_list_same(&a, &a) && !atn_list_same(&a, &b) && !atn_list_same(&b, &c));
}

CHECK_MAIN({"known words", known_words}, {"spec", spec}, {"spec errors", spec_errors},
           {"sizes", sizes}, {"lists", lists}, {"numbers between x", numbers_between_x},
           {"heads", heads}, {"nearest", nearest}, {"texts", texts}, {"shapes", shapes},
           {"ranges", ranges}, {"many parameters", many_parameters},
           {"any string", any_string}, {"names are added", names_are_added},
           {"products of lists", products_of_lists})
