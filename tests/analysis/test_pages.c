/* tests/analysis/test_pages.c -- pooled matrices, pages of heads, and what their
 * captions say about the part of the capture that they show.
 */
// SPDX-License-Identifier: GPL-3.0-or-later
#include "p_capture.h"

#include "analysis/keys.h"
#include "analysis/pages.h"

/* Two stacks: rows of the encoder 3 x 3, of cross-attention 2 x 3. */
static const float own[] = {.5f, .25f, .25f, 0, 1, 0, .2f, .2f, .6f},
                   across[] = {.1f, .2f, .7f, .3f, .3f, .4f};
static const p_layer two[] = {{0, "cross", false, 1, 2, 3, across},
                              {0, "encoder", false, 1, 3, 3, own},
                              {1, "encoder", false, 1, 3, 3, own}};

static atn_selection chosen(atn_ctx *cx, const atn_capture *c, const char *stack)
{
    atn_selection sel;

    CHECK_OK(atn_select(cx, c, &(atn_select_args){.stack = stack}, &sel));
    return sel;
}

/* {.5 .25 .25; 0 1 0; .2 .2 .6} by cells of 2: the largest, the sum and the mean of
 * {.5 .25 0 1}, {.25 0}, {.2 .2} and {.6}. */
static void golden_pools(atn_ctx *cx)
{
    static const float want[3][4] = {
        {1, .25f, .2f, .6f}, {.4375f, .125f, .2f, .6f}, {1.75f, .25f, .4f, .6f}};
    const atn_head h = {
        .p = {own, 3, 3, 3}, .nq = 3, .nk = 3, .sight = {.key_last = 3}};
    float out[4];

    CHECK_EQ(atn_pool_size(3, 3, 2), 2);
    for (int pool = 0; pool < 3; pool++) {
        CHECK_OK(atn_pool_head(cx, &h, 2, (atn_pool)pool, out));
        for (int i = 0; i < 4; i++) CHECK_NEAR(out[i], want[pool][i], 1e-6);
    }
}

static void captions(atn_ctx *cx)
{
    atn_capture *c = p_capture(cx, "pages", two, 3, NULL);
    atn_selection all = chosen(cx, c, NULL), cross = chosen(cx, c, "cross");
    atn_table *t = NULL;
    char words[ATN_PART_WORDS];

    CHECK_STR(atn_part_words(c, &all, words), "");
    CHECK_STR(atn_part_words(c, &cross, words), "cross layers");
    CHECK_STR(atn_part_words_of("encoder", 7, words), "encoder layers, step 7");
    CHECK_STR(atn_part_words_of(NULL, 7, words), "step 7");
    CHECK_OK(atn_heads_page_table(cx, c, &cross, 8, ATN_POOL_MAX, &t));
    CHECK_STR(atn_table_get_meta(t, "subtitle"), "given: cross layers");
    atn_table_destroy(cx, t);
    t = NULL;
    CHECK_FAILS(atn_heads_page_table(cx, c, &all, 8, ATN_POOL_MAX, &t), ATN_USAGE,
                "shows one stack, and cross layer 0 and encoder layer 0 are chosen "
                "(choose with --stack)");
    atn_selection_release(cx, &all);
    atn_selection_release(cx, &cross);
    atn_capture_close(cx, c);
}

/* A capture of one stack says nothing of it. */
static void one_stack(atn_ctx *cx)
{
    const p_layer plain[] = {{0, "", false, 1, 3, 3, own}};
    atn_capture *c = p_capture(cx, "plain", plain, 1, NULL);
    atn_selection all = chosen(cx, c, NULL);
    atn_table *t = NULL;
    char words[ATN_PART_WORDS];

    CHECK_STR(atn_part_words(c, &all, words), "");
    CHECK_OK(atn_heatmap_table(cx, c, 0, 0, 8, ATN_POOL_MAX, &t));
    CHECK_STR(atn_table_get_meta(t, "title"), "Layer 0, head 0");
    CHECK(atn_table_find_col(t, "query_token") < 0);
    CHECK_EQ(atn_table_rows(t), 3);
    atn_table_destroy(cx, t);
    atn_selection_release(cx, &all);
    atn_capture_close(cx, c);
}

/* A message about "layer 1" of a stack says of which; what names it already, another
 * layer or no failure stays. */
static void messages(atn_ctx *cx)
{
    static const struct {
        const char *text, *want;
    } cases[] = {
        {"those of layer 1 are causal", "those of cross layer 1 are causal"},
        {"layer 1, head 3: NaN", "cross layer 1, head 3: NaN"},
        {"cross layer 1 is long", "cross layer 1 is long"},
        {"layer 10 and layer 2", "layer 10 and layer 2"},
        {"layer 10, then layer 1", "layer 10, then cross layer 1"},
        {"player 1", "player 1"},
    };
    const atn_layer_info l = {.layer = 1, .stack = "cross"}, one = {1, .stack = ""};
    char text[ATN_ERR_TEXT];

    for (size_t i = 0; i < ATN_LEN(cases); i++) {
        const atn_status st = atn_fail(cx, ATN_DATA, "t.c", 1, "%s", cases[i].text);

        CHECK_EQ(atn_layer_named(cx, &one, st), ATN_DATA);
        CHECK_STR(cx->err.text, cases[i].text);
        CHECK_EQ(atn_layer_named(cx, &l, ATN_OK), ATN_OK);
        CHECK_STR(cx->err.text, cases[i].text);
        CHECK_EQ(atn_layer_named(cx, &l, st), ATN_DATA);
        CHECK_STR(cx->err.text, cases[i].want);
        atn_err_clear(cx);
    }
    /* one that fills the record stays in it */
    memset(text, 'x', sizeof text);
    memcpy(text, "layer 1 ", 8);
    text[sizeof text - 1] = '\0';
    CHECK_EQ(atn_layer_named(cx, &l, atn_fail(cx, ATN_DATA, "t.c", 1, "%s", text)),
             ATN_DATA);
    CHECK_EQ(strlen(cx->err.text), ATN_ERR_TEXT - 1);
    CHECK(strncmp(cx->err.text, "cross layer 1 xx", 16) == 0);
    atn_err_clear(cx);
}

CHECK_MAIN({"golden pools", golden_pools}, {"captions", captions},
           {"one stack", one_stack}, {"messages", messages})
