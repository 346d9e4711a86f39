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

static const char *file_of(const char *text)
{
    const char *path = scratch("pattern.json");
    FILE *f = fopen(path, "w");

    CHECK(f != NULL);
    fputs(text, f);
    fclose(f);
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
        CHECK_OK(atn_pattern_save(cx, a, path, true));
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
        CHECK_FAILS(atn_pattern_save(cx, p, scratch("roundtrip.json"), false),
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
        "{\"slices\": [[2, 6, 1, 5, 2], [2, 8, 4, 9, \"both\"]]}]}";
    static const int part[][5] = {{2, 6, 1, 5, 2}, {2, 8, 4, 9, 3}};
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
        {"{\"schema\": \"attnscope/pattern/1\", \"keys\": 2147483648, \"heads\": "
         "[{\"rows\": []}]}",
         ""},
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
           {"rules are named", rules_are_named}, {"cut short", cut_short})
