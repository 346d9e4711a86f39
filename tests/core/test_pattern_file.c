/* tests/core/test_pattern_file.c -- pattern files: what is written is read, what breaks
 * a rule is named with its place. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "core/io/pattern.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "check.h"
#include "core/io/file.h"
#include "core/rng.h"

static const char *scratch(const char *name)
{
    static char path[512];

    (void)!system("mkdir -p " ATN_TEST_SCRATCH);
    snprintf(path, sizeof path, ATN_TEST_SCRATCH "/%s", name);
    return path;
}

static void put(const char *path, const char *text)
{
    FILE *f = fopen(path, "w");

    CHECK(f != NULL);
    fputs(text, f);
    fclose(f);
}

static const char *file_of(const char *text)
{
    const char *path = scratch("pattern.json");

    put(path, text);
    return path;
}

static bool sees(const atn_pattern *p, atn_idx h, atn_idx i, atn_idx j)
{
    atn_span *room = malloc((size_t)p->room * sizeof *room);
    const atn_idx n = atn_pattern_keys(p, h, i, room);
    bool in = false;

    for (atn_idx s = 0; s < n; s++) in |= room[s].lo <= j && j < room[s].hi;
    free(room);
    return in;
}

static void what_is_written_is_read(atn_ctx *cx)
{
    atn_rng rng = atn_rng_stream(7, "test/pattern_file", 0, 0);

    for (int trial = 0; trial < 200; trial++) {
        const atn_idx n = 1 + atn_rng_below(&rng, 30);
        const atn_frame f = {n, 1 + atn_rng_below(&rng, 20), atn_rng_below(&rng, 20),
                             1 + atn_rng_below(&rng, 4), trial % 2};
        const atn_idx phase[] = {0, 1};
        const atn_span near = {0, 1 + atn_rng_below(&rng, 3)};
        const char *path = scratch("roundtrip.json");
        atn_pattern *a, *b, *back;

        CHECK_OK(atn_pattern_columns(cx, &f, 4, 1, phase, 2, &a));
        CHECK_OK(atn_pattern_shift(cx, &f, &near, 1, 0, &b));
        CHECK_OK(atn_pattern_union(cx, a, b, &a));
        CHECK_OK(atn_pattern_save(cx, a, -1, path, true));
        CHECK_OK(atn_pattern_load(cx, path, &back));
        CHECK_EQ(back->heads, 2);
        CHECK(memcmp(&back->frame.nk, &f.nk, sizeof f.nk) == 0);
        CHECK_EQ(back->frame.nq, f.nq);
        CHECK_EQ(back->frame.first, f.first);
        CHECK_EQ(back->frame.block, f.block);
        for (int h = 0; h < 2; h++)
            for (atn_idx i = f.first; i < f.first + f.nq; i++)
                for (atn_idx j = 0; j < n; j++)
                    CHECK_EQ(sees(a, h, i, j), sees(back, h, i, j));
        atn_pattern_destroy(cx, a);
        atn_pattern_destroy(cx, back);
    }
    {
        const atn_frame f = atn_frame_square(3, 1, false);
        const atn_span s = {0, 1};
        atn_pattern *p;

        CHECK_OK(atn_pattern_shift(cx, &f, &s, 1, 0, &p));
        CHECK_FAILS(atn_pattern_save(cx, p, -1, scratch("roundtrip.json"), false),
                    ATN_CANTCREATE, "--force");
        atn_pattern_destroy(cx, p);
    }
}

/* cards/analysis.md A17: type 1 in a q x k part: (r, c) iff k-1-c >= q-1-r; type 2: c
 * >= r; 3: both. Prefix-LM with prefix 3 of 7: [0,3)^2 : 0, [3,7) x [0,7) : 1. */
static void slices(atn_ctx *cx)
{
    static const char text[] =
        "{\"schema\": \"attnscope/pattern/1\", \"keys\": 9, \"heads\": ["
        "{\"slices\": [[0, 3, 0, 3, \"full\"], [3, 9, 0, 9, \"causal\"]]},"
        "{\"slices\": [[2, 6, 1, 5, 2], [4, 8, 5, 9, \"both\"]]}]}";
    static const int part[][5] = {{2, 6, 1, 5, 2}, {4, 8, 5, 9, 3}};
    atn_pattern *p;

    CHECK_OK(atn_pattern_load(cx, file_of(text), &p));
    CHECK_EQ(p->heads, 2);
    for (int i = 0; i < 9; i++)
        for (int j = 0; j < 9; j++) {
            bool in = false;

            CHECK_EQ(sees(p, 0, i, j), i < 3 ? j < 3 : j <= i);
            for (int s = 0; s < 2; s++) {
                const int *t = part[s], q = t[1] - t[0], k = t[3] - t[2];
                const int r = i - t[0], c = j - t[2];

                if (r < 0 || r >= q || c < 0 || c >= k) continue;
                in |=
                    (!(t[4] & 1) || k - 1 - c >= q - 1 - r) && (!(t[4] & 2) || c >= r);
            }
            CHECK_EQ(sees(p, 1, i, j), in);
        }
    atn_pattern_destroy(cx, p);
}

static void blocks_and_defaults(atn_ctx *cx)
{
    atn_pattern *p;

    CHECK_OK(atn_pattern_load(
        cx,
        file_of(
            "{\"schema\": \"attnscope/pattern/1\", \"keys\": 7, \"block\": 3, "
            "\"causal\": true, \"heads\": [{\"blocks\": [[0, 2], [], [0, 1, 2]]}]}"),
        &p));
    CHECK_EQ(p->frame.nq, 7);
    CHECK(sees(p, 0, 1, 1));
    CHECK(!sees(p, 0, 1, 2)); /* behind the query */
    CHECK(!sees(p, 0, 1, 6));
    CHECK(!sees(p, 0, 4, 0));
    CHECK(sees(p, 0, 6, 4));
    atn_pattern_destroy(cx, p);
    CHECK_OK(atn_pattern_load(
        cx,
        file_of("{\"schema\": \"attnscope/pattern/1\", \"keys\": 5, \"queries\": 2, "
                "\"heads\": [{\"rows\": [[[0, 2], [2, 3]], [[4, 5]]]}]}"),
        &p));
    CHECK_EQ(p->frame.first, 3);
    CHECK_EQ(p->most, 1); /* intervals that touch are one */
    CHECK(sees(p, 0, 3, 2) && !sees(p, 0, 3, 3) && sees(p, 0, 4, 4));
    atn_pattern_destroy(cx, p);
}

#define HEAD "{\"schema\": \"attnscope/pattern/1\", \"keys\": 4, "

static void rules_are_named(atn_ctx *cx)
{
    static const struct {
        const char *text, *part;
    } bad[] = {
        {"", "pattern.json"},
        {"[]", "schema"},
        {"{\"schema\": \"attnscope/stats/1\", \"keys\": 4}",
         "not \"attnscope/pattern/1\""},
        {"{\"schema\": \"attnscope/pattern/1\"}", "keys"},
        {"{\"schema\": \"attnscope/pattern/1\", \"keys\": -1, \"heads\": []}", "keys"},
        {HEAD "\"block\": 0, \"heads\": [{\"rows\": []}]}", "block"},
        {HEAD "\"heads\": []}", "heads"},
        {HEAD "\"heads\": [{\"rows\": [[], []]}]}", "has 2 rows, and 4 are needed"},
        {HEAD "\"heads\": [{}]}", "must have one list"},
        {HEAD "\"heads\": [{\"rows\": 3}]}", "must have one list"},
        {HEAD "\"heads\": [{\"rows\": [], \"blocks\": []}]}", "must have one list"},
        {HEAD "\"heads\": [{\"rows\": [[], 1, [], []]}]}", "row 1 is no list"},
        {HEAD "\"heads\": [{\"rows\": [[], [[2, 4], [1, 2]], [], []]}]}",
         "row 1, item 1: 1 comes after an interval that ends at 4"},
        {HEAD "\"heads\": [{\"rows\": [[[0, 3], [2, 4]], [], [], []]}]}",
         "row 0, item 1: 2 comes after an interval that ends at 3"},
        {HEAD "\"heads\": [{\"rows\": [[[1, 1]], [], [], []]}]}", "no interval"},
        {HEAD "\"heads\": [{\"rows\": [[[3, 5]], [], [], []]}]}", "no interval"},
        {HEAD "\"heads\": [{\"rows\": [[[0.5, 2]], [], [], []]}]}", "no interval"},
        {HEAD "\"heads\": [{\"blocks\": [[1, 1], [], [], []]}]}", "comes after"},
        {HEAD "\"heads\": [{\"blocks\": [[9223372036854775807], [], [], []]}]}",
         "no interval"},
        {HEAD "\"heads\": [{\"slices\": [[0, 9, 0, 4, 0]]}]}", "slices[0]"},
        {HEAD "\"heads\": [{\"slices\": [[0, 4, 0, 4, \"diagonal\"]]}]}", "TYPE"},
        {HEAD "\"block\": 2, \"heads\": [{\"slices\": []}]}", "slices are of tokens"},
        {HEAD
         "\"heads\": [{\"slices\": [[2, 4, 0, 2, 0], [0, 3, 0, 1, 0], [0, 2, 2, 4, "
         "0]]}]}",
         "slices[0] and slices[1] overlap: both have query 2 and key 0"},
        {HEAD "\"heads\": [{\"slices\": [[0, 4, 0, 4, 1], [0, 4, 0, 4, 2]]}]}",
         "query 0 and key 0"},
        {HEAD "\"casual\": true, \"heads\": [{\"slices\": []}]}",
         "\"casual\" is no key (nearest: causal; known: schema, keys,"},
        {HEAD "\"heads\": [{\"slices\": []}, {\"slice\": []}]}",
         "heads[1]: \"slice\" is no key (nearest: slices"},
        {HEAD "\"heads\": [{\"rows\": [[], [], [], []], \"name\": \"x\"}]}",
         "heads[0]: \"name\" is no key"},
        {"{\"schema\": \"attnscope/pattern/1\", \"keys\": 2147483648, \"heads\": "
         "[{\"rows\": []}]}",
         "has 0 rows, and 2147483648 are needed"},
    };

    cx->mem_limit = 64u << 20;
    for (size_t i = 0; i < ATN_LEN(bad); i++) {
        atn_pattern *p = NULL;
        const atn_status st = atn_pattern_load(cx, file_of(bad[i].text), &p);

        CHECK(p == NULL);
        if (st == ATN_OK || !strstr(cx->err.text, bad[i].part))
            fail_msg("%s gave \"%s\", wanted \"%s\"", bad[i].text, cx->err.text,
                     bad[i].part);
        CHECK(st == ATN_DATA || st == ATN_MEMORY);
        atn_err_clear(cx);
    }
    cx->mem_limit = 0;
}

/* However many rows there are, a slice is a slice. */
static void rows_cost_nothing(atn_ctx *cx)
{
    static const char text[] =
        "{\"schema\": \"attnscope/pattern/1\", \"keys\": 2147483648, \"heads\": ["
        "{\"slices\": [[7, 2000000000, 0, 1999999993, 1]]}, {\"slices\": []}]}";
    atn_pattern *p;
    atn_span s[1];

    cx->mem_limit = 1u << 20;
    CHECK_OK(atn_pattern_load(cx, file_of(text), &p));
    CHECK_EQ(p->room, 1);
    CHECK_EQ(atn_pattern_keys(p, 0, 1000000007, s), 1);
    CHECK(s[0].lo == 0 && s[0].hi == 1000000001);
    CHECK_EQ(atn_pattern_keys(p, 0, 6, s), 0);
    CHECK_EQ(atn_pattern_keys(p, 1, 1000000007, s), 0);
    atn_pattern_destroy(cx, p);
    cx->mem_limit = 0;
}

/* The tree of a file is refused before it is made. */
static void tree_is_counted(atn_ctx *cx)
{
    enum { N = 100000 };
    const char *path = scratch("large.json");
    size_t in_use;
    atn_pattern *p;
    FILE *f = fopen(path, "w");

    CHECK(f != NULL);
    fprintf(f,
            "{\"schema\": \"attnscope/pattern/1\", \"keys\": %d, \"heads\": [{"
            "\"rows\": [[]",
            N);
    for (int i = 1; i < N; i++) fprintf(f, ", [[0, %d]]", i);
    fprintf(f, "]}]}");
    fclose(f);
    cx->mem_limit = 32u << 20;
    CHECK_FAILS(atn_pattern_load(cx, path, &p), ATN_MEMORY, "reading a pattern file");
    CHECK(p == NULL);
    cx->mem_limit = 64u << 20;
    in_use = *cx->in_use;
    CHECK_OK(atn_pattern_load(cx, path, &p));
    CHECK(*cx->in_use - in_use < 3u << 20); /* 8 bytes of ptr and 16 of a span a row */
    atn_pattern_destroy(cx, p);
    CHECK_EQ(*cx->in_use, in_use);
    cx->mem_limit = 0;
}

static void one_head_is_written(atn_ctx *cx)
{
    const atn_frame f = atn_frame_square(9, 1, false);
    const atn_idx phase[] = {0, 1, 2};
    const char *path = scratch("head.json");
    atn_pattern *p, *back;

    CHECK_OK(atn_pattern_columns(cx, &f, 3, 1, phase, 3, &p));
    CHECK_OK(atn_pattern_save(cx, p, 1, path, true));
    CHECK_OK(atn_pattern_load(cx, path, &back));
    CHECK_EQ(back->heads, 1);
    for (atn_idx j = 0; j < 9; j++) CHECK_EQ(sees(back, 0, 5, j), j % 3 == 1);
    atn_pattern_destroy(cx, p);
    atn_pattern_destroy(cx, back);
}

/* ---- mutations ---- */

static atn_rng rng;

/* What every row promises, of all rows where they are few. */
static void check_promises(const atn_pattern *p)
{
    atn_span *s = malloc((size_t)p->room * sizeof *s);
    const atn_idx rows = p->row1 - p->row0;

    CHECK(p->most >= 0 && p->room >= p->most && p->room >= 1);
    for (int t = 0; t < 64; t++) {
        const atn_idx a = p->row0 + (rows <= 64 ? t % rows : atn_rng_below(&rng, rows));
        const atn_idx end = p->frame.causal ? ATN_MIN(a + 1, p->cols) : p->cols;
        const atn_idx n = atn_pattern_row(p, atn_rng_below(&rng, p->heads), a, s);

        CHECK(n <= p->most);
        for (atn_idx i = 0; i < n; i++) {
            CHECK(s[i].lo >= 0 && s[i].lo < s[i].hi && s[i].hi <= end);
            if (i) CHECK(s[i - 1].hi < s[i].lo);
        }
    }
    free(s);
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

/* Puts `with` in place of text [at, at + n). */
static void splice(char *text, size_t room, size_t at, size_t n, const char *with)
{
    char rest[2048];

    snprintf(rest, sizeof rest, "%s", text + at + n);
    snprintf(text + at, room - at, "%s%s", with, rest);
}

static void mutate(char *text, size_t room)
{
    static const char *const words[] = {
        "0",    "-1",   "1",      "2",   "3",   "4",        "2147483648",
        "1e9",  "null", "[]",     "{}",  "[[]", "\"full\"", "9223372036854775807",
        "true", "",     "[0, 1]", "-0.", "5",   "\"rows\"", "99999999999999999999"};
    const size_t n = strlen(text), at = (size_t)atn_rng_below(&rng, (atn_idx)n);
    const char *word = words[atn_rng_below(&rng, (atn_idx)ATN_LEN(words))];
    char piece[32] = "";
    size_t from = at, end;

    switch (atn_rng_below(&rng, 9)) {
    case 0: /* a byte */
        text[at] = (char)(1 + atn_rng_below(&rng, 255));
        break;
    case 1: /* some are left out */
        splice(text, room, at, ATN_MIN(1 + (size_t)atn_rng_below(&rng, 9), n - at), "");
        break;
    case 2: /* some come twice */
        snprintf(piece, sizeof piece, "%.*s", 1 + (int)atn_rng_below(&rng, 20),
                 text + at);
        splice(text, room, (size_t)atn_rng_below(&rng, (atn_idx)n), 0, piece);
        break;
    default: /* another number, mostly a likely one */
        while (from < n && !is_digit(text[from])) from++;
        end = from;
        while (end < n && is_digit(text[end])) end++;
        snprintf(piece, sizeof piece, "%d", (int)atn_rng_below(&rng, 6));
        if (from < n)
            splice(text, room, from, end - from, atn_rng_below(&rng, 4) ? piece : word);
    }
}

/* A mutated file is refused, or is a pattern that keeps its promises. */
static void mutations(atn_ctx *cx)
{
    static const char *const valid[] = {
        HEAD "\"causal\": true, \"heads\": [{\"rows\": [[[0, 1]], [[0, 2]], [], [[0, "
             "1], [2, 3]]]}, {\"blocks\": [[0], [0, 1], [0], [0, 1, 3]]}]}",
        HEAD "\"queries\": 3, \"first\": 2, \"heads\": [{\"slices\": [[2, 5, 0, 2, "
             "\"causal\"], [3, 5, 2, 4, 3]]}]}",
        HEAD "\"block\": 2, \"heads\": [{\"blocks\": [[0], [0, 1]]}]}",
        HEAD "\"queries\": 4, \"heads\": [{\"slices\": [[0, 1, 0, 4, 0], [1, 4, 0, 1, "
             "1], [1, 4, 2, 4, \"inverse\"]]}, {\"slices\": []}]}"};
    const char *path = scratch("pattern.json");
    int read = 0, refused = 0;

    rng = atn_rng_stream(8, "test/pattern_file", 0, 0);
    cx->mem_limit = 16u << 20;
    for (int trial = 0; trial < 6000; trial++) {
        const int times = (int)atn_rng_below(&rng, 3);
        atn_pattern *p = NULL;
        char text[1024];
        atn_status st;

        snprintf(text, sizeof text, "%s", valid[trial % (int)ATN_LEN(valid)]);
        for (int i = 0; i <= times && *text; i++) mutate(text, sizeof text);
        put(path, text);
        st = atn_pattern_load(cx, path, &p);
        if (st == ATN_OK) {
            check_promises(p);
            read++;
        } else {
            CHECK(st == ATN_DATA || st == ATN_MEMORY);
            CHECK(p == NULL && strstr(cx->err.text, st == ATN_DATA ? "pattern" : ""));
            refused++;
        }
        atn_pattern_destroy(cx, p);
        atn_err_clear(cx);
    }
    cx->mem_limit = 0;
    CHECK(read > 500 && refused > 500);
}

/* Every allocation fails in turn. */
static void memory_runs_out(atn_ctx *cx)
{
    const char *path =
        file_of(HEAD "\"heads\": [{\"slices\": [[0, 4, 0, 2, 1], [0, 4, 2, 4, 2]]}, "
                     "{\"rows\": [[], [[0, 1], [2, 3]], [], []]}]}");
    atn_status st = ATN_MEMORY;

    (void)cx;
    for (long k = 0; st != ATN_OK; k++) {
        check_failing failing = {k};
        atn_pattern *p = NULL;
        atn_ctx mine;

        atn_ctx_init(&mine);
        mine.alloc = (atn_allocator){check_failing_resize, &failing};
        st = atn_pattern_load(&mine, path, &p);
        CHECK(st == ATN_OK ? p != NULL : st == ATN_MEMORY && p == NULL);
        atn_pattern_destroy(&mine, p);
        atn_ctx_release(&mine);
    }
}

/* Truncated at every byte: an error, never a crash. */
static void cut_short(atn_ctx *cx)
{
    static const char text[] = HEAD "\"causal\": true, \"heads\": [{\"rows\": [[[0, "
                                    "1]], [[0, 2]], [], [[1, 2]]]}]}";
    char part[sizeof text];

    for (size_t n = 0; n + 1 < sizeof text; n++) {
        atn_pattern *p = NULL;

        memcpy(part, text, n);
        part[n] = '\0';
        CHECK_FAILS(atn_pattern_load(cx, file_of(part), &p), ATN_DATA, "pattern.json");
        CHECK(p == NULL);
    }
}

CHECK_MAIN({"what is written is read", what_is_written_is_read}, {"slices", slices},
           {"blocks and defaults", blocks_and_defaults},
           {"rules are named", rules_are_named}, {"cut short", cut_short},
           {"rows cost nothing", rows_cost_nothing},
           {"the tree is counted", tree_is_counted},
           {"one head is written", one_head_is_written}, {"mutations", mutations},
           {"memory runs out", memory_runs_out})
