/* tests/cli/test_patterns.c -- patterns as words: layers, repetitions, unions, files. */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "cli/patterns.h"

#include <stdlib.h>
#include <string.h>

#include "check.h"
#include "core/io/pattern.h"

static const atn_layout any = {.heads = 1};

static int64_t pairs(atn_ctx *cx, const atn_pattern *p)
{
    int64_t n;

    CHECK_OK(atn_pattern_pairs(cx, p, 0, &n));
    return n;
}

static void layers(atn_ctx *cx)
{
    const atn_layout l = {.nk = 512, .heads = 1};
    atn_stack *s = malloc(sizeof *s);
    char *text;

    CHECK_OK(atn_stack_read(cx, "2xcausal,window:window=7,block=1,3xfull", &l, s));
    CHECK_EQ(s->n, 6);
    CHECK_EQ(s->items, 3);
    CHECK_EQ(pairs(cx, s->layer[0]), 512 * 513 / 2);
    CHECK_EQ(pairs(cx, s->layer[1]), 512 * 513 / 2);
    CHECK_EQ(pairs(cx, s->layer[2]), 512 * 7 - 21);
    CHECK_EQ(pairs(cx, s->layer[5]), 512 * 512);
    CHECK_EQ(s->item[2], 1);
    CHECK_EQ(s->item[5], 2);
    text = atn_stack_item(cx, s, 1);
    CHECK_STR(text, "window:window=7,block=1");
    atn_free(cx, text);
    atn_stack_release(cx, s);
    free(s);
}

/* i - j < 3 or 8 | i - j, of 16 tokens: 3 16 - 3 and one each of 8 rows. */
static void unions(atn_ctx *cx)
{
    const atn_layout l = {.nk = 16, .heads = 1};
    atn_stack *s = malloc(sizeof *s);

    CHECK_OK(atn_stack_read(cx, "window:window=3+strided:stride=8,local=1", &l, s));
    CHECK_EQ(s->n, 1);
    CHECK_EQ(pairs(cx, s->layer[0]), 3 * 16 - 3 + 8);
    atn_stack_release(cx, s);
    free(s);
}

/* Parameters stay with their spec, on either side of the sum and in lists. */
static void unions_with_parameters(atn_ctx *cx)
{
    const atn_layout l = {.nk = 64, .heads = 1};
    atn_stack *s = malloc(sizeof *s);
    int64_t at[3];

    CHECK_OK(atn_stack_read(cx,
                            "stream:sink=2,window=4,block=1+strided:stride=16,local=1,"
                            "2xwindow:window=3,block=1+causal:block=5,full",
                            &l, s));
    CHECK_EQ(s->n, 4);
    CHECK_EQ(s->items, 3);
    for (int i = 0; i < 3; i++) at[i] = pairs(cx, s->layer[i]);
    /* rows see min(i + 1, 6) keys, and those at 16, 32, 48 behind but the first two */
    CHECK_EQ(at[0], 64 * 6 - 15 + (64 - 16 - 2) + (64 - 32 - 2) + (64 - 48 - 2));
    CHECK_EQ(at[1], 64 * 65 / 2);
    CHECK(s->layer[1] == s->layer[2]);
    CHECK_EQ(s->n_own, 3);
    atn_stack_release(cx, s);
    CHECK_OK(atn_stack_read(cx, "3xbigbird:block=1", &l, s));
    CHECK_EQ(s->n_own, 3); /* other random keys in every layer */
    atn_stack_release(cx, s);
    free(s);
}

static void lengths(atn_ctx *cx)
{
    const atn_layout long_one = {.nk = 100, .heads = 1};
    atn_stack *s = malloc(sizeof *s);

    CHECK_OK(atn_stack_read(cx, "full,gna:shape=4x5,window=2x3", &any, s));
    CHECK_EQ(s->layer[0]->frame.nk, 20);
    CHECK_EQ(s->n, 2);
    atn_stack_release(cx, s);
    CHECK_FAILS(atn_stack_read(cx, "full,power", &any, s), ATN_USAGE, "--tokens");
    CHECK_FAILS(atn_stack_read(cx, "gna:shape=4x5,window=2x3", &long_one, s), ATN_USAGE,
                "20");
    free(s);
}

static void refusals(atn_ctx *cx)
{
    static const char *const bad[][2] = {{"windw", "window"},
                                         {"", "no pattern"},
                                         {"0xfull", "1 to"},
                                         {"xfull", "no pattern"},
                                         {"5000xfull", "1 to"},
                                         {"4096xfull,full", "more than"},
                                         {"2x", "missing"},
                                         {"full+", "missing"},
                                         {"+full", "missing"},
                                         {"full++causal", "missing"},
                                         {"power:window=3,window=4", "given twice"},
                                         {"window:window=0", "window"},
                                         {"nowhere.json", "nowhere.json"}};
    const atn_layout l = {.nk = 8, .heads = 1};
    atn_stack *s = malloc(sizeof *s);

    for (size_t i = 0; i < ATN_LEN(bad); i++) {
        const atn_status st = atn_stack_read(cx, bad[i][0], &l, s);

        CHECK(st == ATN_USAGE || st == ATN_NOINPUT);
        if (!strstr(cx->err.text, bad[i][1]))
            fail_msg("'%s' gave \"%s\", wanted \"%s\"", bad[i][0], cx->err.text,
                     bad[i][1]);
        CHECK_EQ(s->n, 0);
        atn_err_clear(cx);
    }
    free(s);
}

/* What can only be a path is one; ids with parameters, counts and sums are none. */
static void paths(atn_ctx *cx)
{
    static const char *const missing[] = {"table.csv", "a/b.jsonl", "runs/typo", "./x"};
    static const char *const fine[] = {
        "power",         "2xpower",    "causal+full", "no/m.json", "2xno/m.json,full",
        "power:block=1", "power_full", "nonsense"};

    for (size_t i = 0; i < ATN_LEN(missing); i++)
        CHECK_FAILS(atn_word_check(cx, missing[i]), ATN_NOINPUT, missing[i]);
    for (size_t i = 0; i < ATN_LEN(fine); i++) CHECK_OK(atn_word_check(cx, fine[i]));
    CHECK_FAILS(atn_word_check(cx, "/tmp"), ATN_NOINPUT, "without a capture");
}

/* Every word that completion offers begins a pattern, generators and presets alike. */
static void offered_words(atn_ctx *cx)
{
    int n = 0, presets = 0;

    (void)cx;
    for (; atn_pattern_word(n); n++) {
        const atn_preset *preset = NULL;

        CHECK(atn_generator_find(atn_pattern_word(n), &preset));
        presets += preset != NULL;
    }
    CHECK(n > 15 && presets >= 3);
}

static void files(atn_ctx *cx)
{
    static const char path[] = ATN_TEST_SCRATCH "/word.json";
    const atn_layout l = {.nk = 9, .heads = 1}, other = {.nk = 8, .heads = 1};
    atn_stack *s = malloc(sizeof *s);
    const atn_frame f = atn_frame_square(9, 1, true);
    const atn_span near = {0, 2};
    atn_pattern *p;

    (void)!system("mkdir -p " ATN_TEST_SCRATCH);
    CHECK_OK(atn_pattern_shift(cx, &f, &near, 1, 0, &p));
    CHECK_OK(atn_pattern_save(cx, p, -1, path, true));
    atn_pattern_destroy(cx, p);
    CHECK_OK(atn_stack_read(cx, path, &any, s));
    CHECK_EQ(pairs(cx, s->layer[0]), 17);
    atn_stack_release(cx, s);
    CHECK_OK(atn_stack_read(cx, path, &l, s));
    atn_stack_release(cx, s);
    CHECK_FAILS(atn_stack_read(cx, path, &other, s), ATN_USAGE, "9 keys");
    CHECK_OK(atn_stack_read(cx, "2x" ATN_TEST_SCRATCH "/word.json,causal", &any, s));
    CHECK_EQ(s->n, 3);
    CHECK_EQ(s->n_files, 1); /* looked at for its length, then read: named once */
    CHECK_STR(s->file[0], path);
    CHECK_EQ(pairs(cx, s->layer[1]), 17);
    CHECK_EQ(pairs(cx, s->layer[2]), 45);
    atn_stack_release(cx, s);
    CHECK_OK(atn_stack_read(
        cx, "dilated:window=3,dilation=4+" ATN_TEST_SCRATCH "/word.json", &any, s));
    CHECK_EQ(pairs(cx, s->layer[0]), 17 + 5 + 1);
    atn_stack_release(cx, s);
    free(s);
}

CHECK_MAIN({"layers", layers}, {"unions", unions},
           {"unions with parameters", unions_with_parameters}, {"lengths", lengths},
           {"refusals", refusals}, {"paths", paths}, {"offered words", offered_words},
           {"files", files})
