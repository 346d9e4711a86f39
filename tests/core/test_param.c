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
                "no parameter 'kk'");
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

CHECK_MAIN({"known words", known_words}, {"spec", spec}, {"spec errors", spec_errors},
           {"sizes", sizes}, {"lists", lists}, {"numbers between x", numbers_between_x},
           {"heads", heads}, {"nearest", nearest})
